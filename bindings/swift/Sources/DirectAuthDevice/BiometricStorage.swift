import DirectAuthAPI
import Foundation

/// The item that only the user opens: one key in the keychain, bound to the faces and fingers that were enrolled when it was made.
protocol BoundItems: Sendable {
    func add(_ account: String, _ value: Data) -> KeychainStatus
    /// Asks the user, and waits for the answer.
    func load(_ account: String, asking prompt: any UserPrompt) -> (KeychainStatus, Data?)
    func delete(_ account: String) -> KeychainStatus
}

/// What asks the user: `LAContext` on a device.
protocol UserPrompt: Sendable {
    /// Takes the question back.
    func cancel()
}

/// Authenticated encryption: AES-256-GCM on a device.
protocol Sealing: Sendable {
    func seal(_ value: Data, key: Data, associated: Data) throws -> Data
    /// Throws if it is not what was sealed.
    func open(_ sealed: Data, key: Data, associated: Data) throws -> Data
}

/// As ``KeychainStorage``, and readable only after the user has shown a face or finger: until ``unlock(reason:)``, and again from
/// ``lock()`` on, reading and writing is ``StorageProblem/needsUser``.
///
/// What the system guards is one key, which seals the sessions. It is in this process's memory until ``lock()``. After a change of what is
/// enrolled, or when the passcode is removed, the system gives that key to nobody: it is ``StorageProblem/keyDestroyed``, until
/// ``renew(reason:)``. Safe for several threads.
public final class BiometricStorage: SecureStorage {
    private let items: KeychainStorage
    private let bound: any BoundItems
    private let sealing: any Sealing
    private let held = HeldKey()
    /// Unlocking and renewing, one after the other.
    private let queue = DispatchQueue(label: "org.directauth.biometric", qos: .userInitiated)

    init(keychain: any Keychain, bound: any BoundItems, sealing: any Sealing) {
        items = KeychainStorage(keychain: keychain)
        self.bound = bound
        self.sealing = sealing
    }

    /// Whether it can be read and written.
    public var isUnlocked: Bool { held.current != nil }

    /// Forgets the key. An ``unlock(reason:)`` that has begun before does not undo it.
    public func lock() { held.forget() }

    func unlock(asking prompt: any UserPrompt) async throws {
        try await onQueue(prompt) { storage in
            let name = try storage.nameOfKey()
            if let name, storage.held.current?.0 == name { return }
            if let name { try storage.open(name, prompt) } else { try storage.make(prompt) }
        }
    }

    func renew(asking prompt: any UserPrompt) async throws {
        try await onQueue(prompt) { storage in
            storage.lock()
            let former = try storage.nameOfKey()
            try storage.make(prompt)
            // Of no use any more; if it stays it harms nobody.
            if let former { _ = storage.bound.delete(former.account) }
        }
    }

    public func load(key: String) throws -> Data? {
        guard let stored = try items.load(key: key) else { return nil }
        let (name, secret) = try heldKey()
        let blob = try SealedItem(stored)
        guard blob.key == name else {
            // Another process has renewed the key, which only the user can open; or this was sealed before that.
            throw StorageError(try nameOfKey() == blob.key ? .needsUser : .keyDestroyed)
        }
        do {
            return try sealing.open(blob.sealed, key: secret, associated: SealedItem.associated(name, key))
        } catch {
            throw StorageError(.corrupt)
        }
    }

    public func store(key: String, value: Data) throws {
        let (name, secret) = try heldKey()
        // What a renewed key's predecessor seals could not be read again.
        guard try nameOfKey() == name else { throw StorageError(.needsUser) }
        let sealed: Data
        do {
            sealed = try sealing.seal(value, key: secret, associated: SealedItem.associated(name, key))
        } catch {
            throw StorageError(.transient)
        }
        try items.store(key: key, value: SealedItem(key: name, sealed: sealed).encoded)
    }

    /// Also while it is locked.
    public func delete(key: String) throws { try items.delete(key: key) }

    public func keys() throws -> [String] { try items.keys().filter { $0 != KeyName.companion } }

    private func heldKey() throws -> (KeyName, Data) {
        guard let current = held.current else { throw StorageError(.needsUser) }
        return current
    }

    /// Nil if no key was ever made. An item beside it says so, because the system may say of what it has destroyed that it is not found.
    private func nameOfKey() throws -> KeyName? {
        guard let stored = try items.load(key: KeyName.companion) else { return nil }
        return try KeyName(stored)
    }

    private func make(_ prompt: any UserPrompt) throws {
        let name = KeyName.random()
        var secret = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) })
        defer { secret.resetBytes(in: 0..<secret.count) }
        let status = bound.add(name.account, secret)
        guard status == .success else { throw StorageError(status.problem) }
        do {
            // Read back before anything counts on it, which asks the user as every later time.
            try open(name, prompt)
            try items.store(key: KeyName.companion, value: name.encoded)
        } catch {
            lock()
            _ = bound.delete(name.account)
            throw error
        }
    }

    private func open(_ name: KeyName, _ prompt: any UserPrompt) throws {
        let before = held.locks
        let (status, secret) = bound.load(name.account, asking: prompt)
        switch status {
        case .success:
            guard let secret, secret.count == 32 else { throw StorageError(.transient) }
            guard held.hold(name, secret, unlessLockedSince: before) else { throw StorageError(.needsUser) }
        case .itemNotFound: throw StorageError(.keyDestroyed)
        default: throw StorageError(status.problem)
        }
    }

    /// The keychain waits for the user, so it waits on a thread that nobody else needs.
    private func onQueue(_ prompt: any UserPrompt, _ work: @escaping @Sendable (BiometricStorage) throws -> Void) async throws {
        try await withTaskCancellationHandler {
            do {
                try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
                    queue.async { done.resume(with: Result { try work(self) }) }
                }
            } catch where Task.isCancelled {
                throw CancellationError()
            }
        } onCancel: {
            prompt.cancel()
        }
    }
}

extension BiometricStorage: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "BiometricStorage" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A key's random name: one that was destroyed is never made again under the same.
struct KeyName: Equatable, Sendable {
    /// The account of the item that says which key was made.
    static let companion = "_bound"
    static let size = 16
    private static let version: UInt8 = 1

    let bytes: Data

    static func random() -> KeyName {
        KeyName(bytes: Data((0..<size).map { _ in UInt8.random(in: .min ... .max) }))
    }

    var account: String { "_key." + bytes.map { String(format: "%02x", $0) }.joined() }
    var encoded: Data { [Self.version] + bytes }

    init(bytes: Data) { self.bytes = bytes }

    init(_ stored: Data) throws {
        guard let version = stored.first else { throw StorageError(.corrupt) }
        guard version <= Self.version else { throw StorageError(.newerVersion) }
        guard version == Self.version, stored.count == 1 + Self.size else { throw StorageError(.corrupt) }
        bytes = Data(stored.dropFirst())
    }
}

/// What is stored of a value: the version, the name of the key that has sealed it, and the sealed value.
struct SealedItem {
    private static let version: UInt8 = 1

    let key: KeyName
    let sealed: Data

    init(key: KeyName, sealed: Data) {
        self.key = key
        self.sealed = sealed
    }

    init(_ stored: Data) throws {
        guard let version = stored.first else { throw StorageError(.corrupt) }
        guard version <= Self.version else { throw StorageError(.newerVersion) }
        guard version == Self.version, stored.count > 1 + KeyName.size else { throw StorageError(.corrupt) }
        key = KeyName(bytes: Data(stored.dropFirst().prefix(KeyName.size)))
        sealed = Data(stored.dropFirst(1 + KeyName.size))
    }

    var encoded: Data { [Self.version] + key.bytes + sealed }

    /// A value that was moved to another account, or under another key's name, is not what was sealed.
    static func associated(_ key: KeyName, _ account: String) -> Data { [version] + key.bytes + Data(account.utf8) }
}

/// The key, while it is unlocked.
private final class HeldKey: @unchecked Sendable {
    private let guarding = NSLock()
    private var key: (KeyName, Data)?
    private var forgotten = 0

    var current: (KeyName, Data)? { guarding.withLock { key } }

    /// How often it was locked.
    var locks: Int { guarding.withLock { forgotten } }

    func hold(_ name: KeyName, _ secret: Data, unlessLockedSince before: Int) -> Bool {
        guarding.withLock {
            guard forgotten == before else { return false }
            // Bytes of its own, so that nobody else holds those that are wiped.
            key = (name, Data(Array(secret)))
            return true
        }
    }

    func forget() {
        guarding.withLock {
            forgotten += 1
            guard var (_, secret) = key else { return }
            key = nil
            secret.resetBytes(in: 0..<secret.count)
        }
    }
}
