#if canImport(Security)
    import DirectAuthAPI
    import Foundation
    import Security

    extension KeychainStorage {
        /// When items can be read. None of them leaves the device.
        public enum Accessibility: Sendable, Hashable, CaseIterable {
            /// From the first unlock after a start on: in the background too.
            case afterFirstUnlock
            /// While the device is unlocked.
            case whenUnlocked
            /// While the device is unlocked; the system deletes the items when its passcode is removed.
            case whenPasscodeSet

            fileprivate var attribute: CFString {
                switch self {
                case .afterFirstUnlock: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
                case .whenUnlocked: kSecAttrAccessibleWhenUnlockedThisDeviceOnly
                case .whenPasscodeSet: kSecAttrAccessibleWhenPasscodeSetThisDeviceOnly
                }
            }
        }

        /// A storage of this app, or of a group of apps and extensions. Touches nothing yet.
        ///
        /// - Parameters:
        ///   - service: apart from others of the app.
        ///   - accessGroup: with the team's prefix. If it is not given, the first of the app's entitlement: an app with extensions or
        ///     variants should name it, so that none of them finds the others' sessions.
        ///   - accessibility: when it can be read.
        public convenience init(
            service: String? = nil, accessGroup: String? = nil, accessibility: Accessibility = .afterFirstUnlock
        ) {
            self.init(keychain: SystemKeychain(service: service ?? Service.sessions, accessGroup: accessGroup, accessible: accessibility.attribute as String))
        }
    }

    /// Generic passwords of one service.
    struct SystemKeychain: Keychain {
        let service: String
        let accessGroup: String?
        let accessible: String

        func load(_ account: String) -> (KeychainStatus, Data?) {
            var query = item(account)
            query[kSecReturnData as String] = true
            query[kSecMatchLimit as String] = kSecMatchLimitOne
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            return (KeychainStatus(rawValue: status), found as? Data)
        }

        func add(_ account: String, _ value: Data) -> KeychainStatus {
            let attributes = item(account).merging([kSecValueData as String: value, kSecAttrAccessible as String: accessible]) { $1 }
            return KeychainStatus(rawValue: SecItemAdd(attributes as CFDictionary, nil))
        }

        func update(_ account: String, _ value: Data) -> KeychainStatus {
            let change: [String: Any] = [kSecValueData as String: value, kSecAttrAccessible as String: accessible]
            return KeychainStatus(rawValue: SecItemUpdate(item(account) as CFDictionary, change as CFDictionary))
        }

        func delete(_ account: String) -> KeychainStatus {
            KeychainStatus(rawValue: SecItemDelete(item(account) as CFDictionary))
        }

        func accounts() -> (KeychainStatus, [String]) {
            var query = item(nil)
            query[kSecReturnAttributes as String] = true
            query[kSecMatchLimit as String] = kSecMatchLimitAll
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            guard status == errSecSuccess else { return (KeychainStatus(rawValue: status), []) }
            // What cannot be read as a list of names is no empty list.
            let names = (found as? [[String: Any]])?.map { $0[kSecAttrAccount as String] as? String }
            guard let names, !names.contains(nil) else { return (.unreadable, []) }
            return (.success, names.compactMap { $0 })
        }

        func item(_ account: String?) -> [String: Any] {
            var query: [String: Any] = [
                kSecClass as String: kSecClassGenericPassword,
                kSecAttrService as String: service,
                // On a Mac too the keychain that knows of access groups and accessibility.
                kSecUseDataProtectionKeychain as String: true,
            ]
            if let account { query[kSecAttrAccount as String] = account }
            if let accessGroup { query[kSecAttrAccessGroup as String] = accessGroup }
            return query
        }
    }
#endif
