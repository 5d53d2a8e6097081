import DirectAuthAPI
import Foundation

/// The Secure Enclave as the platform has it: keys as what only it can read again.
protocol Enclave: Sendable {
    /// A new key.
    func make() throws -> Data
    /// Its public part, as a point of 65 bytes.
    func publicKey(_ key: Data) throws -> Data
    /// ECDSA with SHA-256, as DER.
    func sign(_ key: Data, _ message: Data) throws -> Data
}

/// Keys on P-256 for tokens that are bound to the device (RFC 9449), in its Secure Enclave. They never leave it; what the keychain holds
/// of them is of no use elsewhere.
public final class SecureEnclaveSigningKey: SigningKey {
    private let enclave: (any Enclave)?
    private let keychain: any Keychain

    /// - Parameter enclave: nil: this device has none, and the library takes a key in software.
    init(enclave: (any Enclave)?, keychain: any Keychain) {
        self.enclave = enclave
        self.keychain = keychain
    }

    public func create(name: String) throws -> Data {
        guard let enclave else { throw KeyError(.unsupported) }
        let key = try enclave.make()
        let point = try enclave.publicKey(key)
        let status = keychain.add(name, key)
        guard status == .success else { throw KeyError(status.keyProblem) }
        return point
    }

    public func publicKey(name: String) throws -> Data {
        let (enclave, key) = try find(name)
        return try using(enclave) { try enclave.publicKey(key) }
    }

    public func sign(name: String, message: Data) throws -> Data {
        let (enclave, key) = try find(name)
        return try using(enclave) { try enclave.sign(key, message) }
    }

    public func delete(name: String) throws {
        let status = keychain.delete(name)
        guard status == .success || status == .itemNotFound else { throw KeyError(status.keyProblem) }
    }

    /// An Enclave that makes keys, and does not take this one before and after, never will: the device was erased since, and its keychain
    /// restored.
    private func using(_ enclave: any Enclave, _ work: () throws -> Data) throws -> Data {
        if let done = try? work() { return done }
        guard (try? enclave.make()) != nil else { throw KeyError(.transient) }
        if let done = try? work() { return done }
        throw KeyError(.destroyed)
    }

    private func find(_ name: String) throws -> (any Enclave, Data) {
        guard let enclave else { throw KeyError(.unsupported) }
        let (status, key) = keychain.load(name)
        guard status == .success else { throw KeyError(status.keyProblem) }
        guard let key else { throw KeyError(.transient) }
        return (enclave, key)
    }
}

extension KeychainStatus {
    /// The same of a key that signs.
    fileprivate var keyProblem: KeyProblem {
        if self == .itemNotFound { return .missing }
        switch problem {
        case .locked: return .locked
        case .needsUser: return .needsUser
        case .userCancelled: return .userCancelled
        case .keyMissing: return .missing
        default: return .transient
        }
    }
}

extension SecureEnclaveSigningKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "SecureEnclaveSigningKey" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

#if canImport(CryptoKit) && canImport(Security)
    import CryptoKit

    extension SecureEnclaveSigningKey {
        /// Keys of this app, or of a group of apps and extensions. Touches nothing yet.
        ///
        /// - Parameters:
        ///   - service: apart from others of the app.
        ///   - accessGroup: as of ``KeychainStorage``, and the same if that is shared.
        public convenience init(service: String? = nil, accessGroup: String? = nil) {
            let accessible = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly as String
            self.init(
                enclave: SecureEnclave.isAvailable ? SystemEnclave() : nil,
                keychain: SystemKeychain(service: service ?? Service.keys, accessGroup: accessGroup, accessible: accessible))
        }
    }

    import Security

    private struct SystemEnclave: Enclave {
        private typealias Key = SecureEnclave.P256.Signing.PrivateKey

        func make() throws -> Data {
            // Usable from the first unlock on, as the sessions that it is for.
            let access = SecAccessControlCreateWithFlags(
                nil, kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly, .privateKeyUsage, nil)
            guard let access else { throw KeyError(.transient) }
            return try Key(accessControl: access).dataRepresentation
        }

        func publicKey(_ key: Data) throws -> Data { try Key(dataRepresentation: key).publicKey.x963Representation }

        func sign(_ key: Data, _ message: Data) throws -> Data {
            try Key(dataRepresentation: key).signature(for: message).derRepresentation
        }
    }
#endif
