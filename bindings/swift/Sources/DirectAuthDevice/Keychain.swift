import DirectAuthAPI
import Foundation

/// The keychain as the platform has it: each function is one call, and gives its `OSStatus`.
protocol Keychain: Sendable {
    func load(_ account: String) -> (KeychainStatus, Data?)
    func add(_ account: String, _ value: Data) -> KeychainStatus
    func update(_ account: String, _ value: Data) -> KeychainStatus
    func delete(_ account: String) -> KeychainStatus
    func accounts() -> (KeychainStatus, [String])
}

/// What a call of the keychain says: `OSStatus`, by the numbers of `SecBase.h`.
struct KeychainStatus: RawRepresentable, Equatable, Hashable, Sendable {
    let rawValue: Int32

    static let success = KeychainStatus(rawValue: 0)
    static let itemNotFound = KeychainStatus(rawValue: -25300)
    static let duplicateItem = KeychainStatus(rawValue: -25299)
    static let interactionNotAllowed = KeychainStatus(rawValue: -25308)
    static let interactionRequired = KeychainStatus(rawValue: -25315)
    static let authFailed = KeychainStatus(rawValue: -25293)
    static let userCanceled = KeychainStatus(rawValue: -128)
    static let missingEntitlement = KeychainStatus(rawValue: -34018)
    static let noAccessForItem = KeychainStatus(rawValue: -25243)
    static let decode = KeychainStatus(rawValue: -26275)
    /// `errSecInternalComponent`, for an answer that makes no sense.
    static let unreadable = KeychainStatus(rawValue: -2070)

    /// Why it could not be done. What is not certain is ``StorageProblem/transient``: nothing is lost by that.
    var problem: StorageProblem {
        switch self {
        // Before the first unlock after a start, and wherever nobody can be asked.
        case .interactionNotAllowed: .locked
        case .authFailed, .interactionRequired: .needsUser
        case .userCanceled: .userCancelled
        // The app was signed without the group that its items are in, which a new build mends.
        case .missingEntitlement, .noAccessForItem: .keyMissing
        case .decode: .corrupt
        default: .transient
        }
    }
}

/// Under which services items are kept unless an app says otherwise: another name would lose what is there.
enum Service {
    static let sessions = "org.directauth.sessions"
    static let biometric = "org.directauth.biometric"
    static let keys = "org.directauth.keys"

    /// The key that seals what is under a service of ``BiometricStorage``.
    static func key(of service: String) -> String { service + ".key" }
}

/// Sessions in the keychain of this device, each a generic password that no backup takes elsewhere.
///
/// Until the device has been unlocked for the first time after a start everything is ``StorageProblem/locked``; whether it is, only the
/// keychain's own answer says. Items outlive the app: they are there again when it is installed anew, and nothing is wiped at a first
/// launch. Safe for several threads.
public final class KeychainStorage: SecureStorage {
    private let keychain: any Keychain

    init(keychain: any Keychain) {
        self.keychain = keychain
    }

    public func load(key: String) throws -> Data? {
        let (status, value) = keychain.load(key)
        switch status {
        case .success:
            guard let value else { throw StorageError(.transient) }
            return value
        case .itemNotFound: return nil
        default: throw StorageError(status.problem)
        }
    }

    /// An item is changed in one step: it is never gone in between.
    public func store(key: String, value: Data) throws {
        var status = keychain.update(key, value)
        if status == .itemNotFound { status = keychain.add(key, value) }
        // Another process was faster.
        if status == .duplicateItem { status = keychain.update(key, value) }
        guard status == .success else { throw StorageError(status.problem) }
    }

    public func delete(key: String) throws {
        let status = keychain.delete(key)
        guard status == .success || status == .itemNotFound else { throw StorageError(status.problem) }
    }

    public func keys() throws -> [String] {
        let (status, accounts) = keychain.accounts()
        switch status {
        case .success: return accounts
        case .itemNotFound: return []
        default: throw StorageError(status.problem)
        }
    }
}

extension KeychainStorage: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "KeychainStorage" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
