#if canImport(LocalAuthentication) && canImport(CryptoKit) && canImport(Security) && (os(iOS) || os(macOS) || os(visionOS))
    import CryptoKit
    import DirectAuthAPI
    import Foundation
    import LocalAuthentication
    import Security

    extension BiometricStorage {
        /// A storage of this app, or of a group of apps and extensions. Touches nothing yet. An app for iOS says in its Info.plist what
        /// Face ID is for (`NSFaceIDUsageDescription`).
        ///
        /// - Parameters:
        ///   - service: another one than that of other storages.
        ///   - accessGroup: as of ``KeychainStorage``.
        public convenience init(service: String? = nil, accessGroup: String? = nil) {
            let accessible = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly as String
            let service = service ?? Service.biometric
            self.init(
                keychain: SystemKeychain(service: service, accessGroup: accessGroup, accessible: accessible),
                bound: SystemBoundItems(service: Service.key(of: service), accessGroup: accessGroup), sealing: AesGcm())
        }

        /// Asks the user, and holds the key after it. Does nothing if it is unlocked. The first time the key is made.
        ///
        /// - Parameter reason: what the user reads in the prompt of Touch ID.
        /// - Throws: ``StorageError``: ``StorageProblem/userCancelled``, ``StorageProblem/needsUser`` if nobody was recognised or nothing
        ///   is enrolled, ``StorageProblem/keyDestroyed`` after a change of what is enrolled, ``StorageProblem/locked``,
        ///   ``StorageProblem/transient``. `CancellationError` if the task is cancelled, which takes the prompt away.
        public func unlock(reason: String) async throws { try await unlock(asking: Prompt(reason)) }

        /// Begins anew with another key, such as after ``StorageProblem/keyDestroyed``: what was stored can never be read again, and
        /// `discardUnreadable()` deletes it. Throws as ``unlock(reason:)``.
        public func renew(reason: String) async throws { try await renew(asking: Prompt(reason)) }
    }

    /// A context of its own for each question: none of them is answered by an earlier touch.
    private final class Prompt: UserPrompt, @unchecked Sendable {
        // Documented to be usable from any thread.
        let context = LAContext()

        init(_ reason: String) {
            context.localizedReason = reason
            // The passcode would not open it.
            context.localizedFallbackTitle = ""
            context.touchIDAuthenticationAllowableReuseDuration = 0
        }

        func cancel() { context.invalidate() }
    }

    /// Generic passwords that the system gives out only after the enrolled face or finger was seen, and that it makes unreadable when what
    /// is enrolled has changed.
    private struct SystemBoundItems: BoundItems {
        let service: String
        let accessGroup: String?

        func add(_ account: String, _ value: Data) -> KeychainStatus {
            let access = SecAccessControlCreateWithFlags(
                nil, kSecAttrAccessibleWhenPasscodeSetThisDeviceOnly, .biometryCurrentSet, nil)
            guard let access else { return .authFailed }
            var attributes = item(account)
            attributes[kSecValueData as String] = value
            attributes[kSecAttrAccessControl as String] = access
            return KeychainStatus(rawValue: SecItemAdd(attributes as CFDictionary, nil))
        }

        func load(_ account: String, asking prompt: any UserPrompt) -> (KeychainStatus, Data?) {
            guard let prompt = prompt as? Prompt else { return (.authFailed, nil) }
            var query = item(account)
            query[kSecReturnData as String] = true
            query[kSecMatchLimit as String] = kSecMatchLimitOne
            query[kSecUseAuthenticationContext as String] = prompt.context
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            return (KeychainStatus(rawValue: status), found as? Data)
        }

        func delete(_ account: String) -> KeychainStatus {
            KeychainStatus(rawValue: SecItemDelete(item(account) as CFDictionary))
        }

        private func item(_ account: String) -> [String: Any] {
            SystemKeychain(service: service, accessGroup: accessGroup, accessible: "").item(account)
        }
    }

    struct AesGcm: Sealing {
        func seal(_ value: Data, key: SecretBytes, associated: Data) throws -> Data {
            guard let sealed = try AES.GCM.seal(value, using: SymmetricKey(data: key), authenticating: associated).combined else {
                throw StorageError(.transient)
            }
            return sealed
        }

        func open(_ sealed: Data, key: SecretBytes, associated: Data) throws -> Data {
            try AES.GCM.open(AES.GCM.SealedBox(combined: sealed), using: SymmetricKey(data: key), authenticating: associated)
        }
    }
#endif
