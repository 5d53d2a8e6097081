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
    func seal(_ value: Data, key: SecretBytes, associated: Data) throws -> Data
    /// Throws if it is not what was sealed.
    func open(_ sealed: Data, key: SecretBytes, associated: Data) throws -> Data
}

/// As ``KeychainStorage``, and readable only after the user has shown a face or finger: until ``unlock(reason:)``, and again from
/// ``lock()`` on, reading and writing is ``StorageProblem/needsUser``.
///
/// What the system guards is one key, which seals the sessions. It is in this process's memory until ``lock()``. After a change of what is
/// enrolled, or when the passcode is removed, the system gives that key to nobody: ``unlock(reason:)`` says
/// ``StorageProblem/keyDestroyed``, and so does everything else from then on, until ``renew(reason:)``. Safe for several threads.
public final class BiometricStorage: SecureStorage {
    private let keychain: any Keychain
    private let items: KeychainStorage
    private let bound: any BoundItems
    private let sealing: any Sealing
    private let held: HeldKey
    /// One prompt after the other.
    private let queue = DispatchQueue(label: "org.directauth.biometric", qos: .userInitiated)

    /// - Parameter later: does something after so many seconds.
    init(
        keychain: any Keychain, bound: any BoundItems, sealing: any Sealing,
        later: @escaping @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void = BiometricStorage.later
    ) {
        self.keychain = keychain
        items = KeychainStorage(keychain: keychain)
        self.bound = bound
        self.sealing = sealing
        held = HeldKey(later: later)
    }

    @Sendable
    private static func later(_ seconds: TimeInterval, _ work: @escaping @Sendable () -> Void) {
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + seconds, execute: work)
    }

    /// Whether it can be read and written.
    public var isUnlocked: Bool { held.isOpen }

    /// Forgets the key. An ``unlock(reason:)`` that has begun before does not undo it.
    ///
    /// From now on nothing can be read. What a refresh that was sent before still has to write is taken for a minute, and sealed, since
    /// the session would be lost with it; then the key is wiped.
    public func lock() { held.close() }

    func unlock(asking prompt: any UserPrompt) async throws {
        try await oneAfterTheOther(prompt) { storage in
            guard let keys = try storage.keyNames() else { return try storage.makeTheFirst(prompt) }
            if !storage.held.isOpen(with: keys.current) { try storage.open(keys.current, prompt) }
        }
    }

    func renew(asking prompt: any UserPrompt) async throws {
        try await oneAfterTheOther(prompt) { storage in
            storage.held.forget()
            let former = try? storage.keyNames()
            try storage.make(prompt) { name in
                do {
                    try storage.items.store(key: KeyNames.account, value: KeyNames(current: name, after: former).encoded)
                } catch {
                    // It may have been written all the same.
                    guard (try? storage.keyNames())?.current == name else { throw error }
                }
            }
            // Of no use any more; if it stays it harms nobody.
            if let former { _ = storage.bound.delete(former.current.account) }
        }
    }

    public func load(key: String) throws -> Data? {
        guard let stored = try items.load(key: key) else { return nil }
        let blob = try SealedItem(stored)
        let (name, secret) = try held.forReading(key)
        guard blob.key == name else { throw StorageError(try whyAnotherKey(blob.key)) }
        do {
            return try sealing.open(blob.sealed, key: secret, associated: SealedItem.associated(name, key))
        } catch {
            throw StorageError(.corrupt)
        }
    }

    public func store(key: String, value: Data) throws {
        let (name, secret) = try held.forWriting(key)
        // What a renewed key's predecessor seals could not be read again.
        guard try keyNames()?.current == name else { throw StorageError(.needsUser) }
        let sealed: Data
        do {
            sealed = try sealing.seal(value, key: secret, associated: SealedItem.associated(name, key))
        } catch {
            throw StorageError(.transient)
        }
        try items.store(key: key, value: SealedItem(key: name, sealed: sealed).encoded)
        guard try keyNames()?.current == name else { throw StorageError(.needsUser) }
    }

    /// Also while it is locked.
    public func delete(key: String) throws { try items.delete(key: key) }

    public func keys() throws -> [String] { try items.keys().filter { $0 != KeyNames.account } }

    /// Nil if no key was ever made. An item beside it says so, because the system may say of what it has destroyed that it is not found.
    private func keyNames() throws -> KeyNames? { try items.load(key: KeyNames.account).map(KeyNames.init) }

    /// Only a key that was given up is known to be gone.
    private func whyAnotherKey(_ name: KeyName) throws -> StorageProblem {
        guard let keys = try keyNames() else { return .keyMissing }
        if keys.current == name { return .needsUser }
        return keys.former.contains(name) ? .keyDestroyed : .keyMissing
    }

    private func makeTheFirst(_ prompt: any UserPrompt) throws {
        // A key that cannot be found is not made anew.
        guard try keys().isEmpty else { throw StorageError(.keyMissing) }
        var isSecond = false
        do {
            try make(prompt) { name in
                let status = keychain.add(KeyNames.account, KeyNames(current: name, after: nil).encoded)
                isSecond = status == .duplicateItem
                guard status == .success else { throw StorageError(isSecond ? .needsUser : status.problem) }
            }
        } catch where isSecond {
            // Another process was faster: its key is the one.
            guard let keys = try keyNames() else { throw StorageError(.transient) }
            try open(keys.current, prompt)
        }
    }

    /// - Parameter naming: makes it the one that is looked for.
    private func make(_ prompt: any UserPrompt, naming: (KeyName) throws -> Void) throws {
        let name = KeyName.random()
        let secret = SecretBytes.random(count: KeyName.secret)
        let status = secret.asData { bound.add(name.account, $0) }
        guard status == .success else { throw StorageError(status.problem) }
        do {
            // Read back before anything counts on it, which asks the user as every later time.
            try open(name, prompt)
            try naming(name)
        } catch {
            held.forget()
            _ = bound.delete(name.account)
            throw error
        }
    }

    private func open(_ name: KeyName, _ prompt: any UserPrompt) throws {
        let before = held.locks
        let (status, found) = bound.load(name.account, asking: prompt)
        switch status {
        case .success:
            guard let found, found.count == KeyName.secret else { throw StorageError(.transient) }
            guard held.hold(name, SecretBytes(found), unlessLockedSince: before) else { throw StorageError(.needsUser) }
        case .itemNotFound:
            held.destroyed()
            throw StorageError(.keyDestroyed)
        default: throw StorageError(status.problem)
        }
    }

    /// The keychain waits for the user, so it waits on a thread that nobody else needs.
    private func oneAfterTheOther(_ prompt: any UserPrompt, _ work: @escaping @Sendable (BiometricStorage) throws -> Void) async throws {
        let once = Once()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
                once.wait(done)
                queue.async {
                    guard once.isWaiting else { return }
                    let result = Result { try work(self) }
                    // What nobody waits for any more opens nothing.
                    if !once.finish(result) { self.held.forget() }
                }
            }
        } onCancel: {
            prompt.cancel()
            once.cancel()
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
    static let size = 16
    /// Bytes of the key itself.
    static let secret = 32

    let bytes: Data

    static func random() -> KeyName {
        KeyName(bytes: Data((0..<size).map { _ in UInt8.random(in: .min ... .max) }))
    }

    var account: String { "_key." + bytes.map { String(format: "%02x", $0) }.joined() }
}

/// Which key seals, and which did before and were given up: an item of its own that is bound to nobody.
struct KeyNames: Sendable {
    static let account = "_bound"
    private static let version: UInt8 = 1
    private static let most = 16

    let current: KeyName
    let former: [KeyName]

    init(current: KeyName, after previous: KeyNames?) {
        self.current = current
        former = Array((previous.map { [$0.current] + $0.former } ?? []).prefix(Self.most))
    }

    /// The version, and the names, the newest first.
    var encoded: Data { ([current] + former).reduce(into: Data([Self.version])) { $0 += $1.bytes } }

    init(_ stored: Data) throws {
        guard let version = stored.first else { throw StorageError(.corrupt) }
        guard version <= Self.version else { throw StorageError(.newerVersion) }
        let rest = Data(stored.dropFirst())
        guard version == Self.version, !rest.isEmpty, rest.count % KeyName.size == 0 else { throw StorageError(.corrupt) }
        let names = stride(from: 0, to: rest.count, by: KeyName.size).map { KeyName(bytes: rest.subdata(in: $0..<$0 + KeyName.size)) }
        (current, former) = (names[0], Array(names.dropFirst()))
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

/// The key: while it is open for everything, and for a minute more for what is being written.
private final class HeldKey: @unchecked Sendable {
    /// Longer than a request may take.
    private static let writing: TimeInterval = 60

    private let later: @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void
    private let guarding = NSLock()
    private var key: (name: KeyName, secret: SecretBytes)?
    private var open = false
    private var isDestroyed = false
    /// What was written since it was closed, and may be read back once.
    private var written: Set<String> = []
    private var closings = 0

    init(later: @escaping @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void) {
        self.later = later
    }

    var isOpen: Bool { guarding.withLock { open } }

    /// How often it was closed.
    var locks: Int { guarding.withLock { closings } }

    func isOpen(with name: KeyName) -> Bool { guarding.withLock { open && key?.name == name } }

    func forReading(_ account: String) throws -> (KeyName, SecretBytes) {
        try guarding.withLock {
            guard open || written.remove(account) != nil, let key else { throw closed }
            return key
        }
    }

    func forWriting(_ account: String) throws -> (KeyName, SecretBytes) {
        try guarding.withLock {
            guard let key else { throw closed }
            if !open { written.insert(account) }
            return key
        }
    }

    func hold(_ name: KeyName, _ secret: SecretBytes, unlessLockedSince before: Int) -> Bool {
        guarding.withLock {
            guard closings == before else { return false }
            forgetKey()
            (key, open, isDestroyed) = ((name, secret), true, false)
            return true
        }
    }

    func close() {
        let now: Int? = guarding.withLock {
            closings += 1
            guard open else { return nil }
            open = false
            return closings
        }
        guard let now else { return }
        later(Self.writing) { [weak self] in
            self?.guarding.withLock {
                if let self, self.closings == now, !self.open { self.forgetKey() }
            }
        }
    }

    func forget() {
        guarding.withLock {
            closings += 1
            forgetKey()
        }
    }

    func destroyed() {
        guarding.withLock { isDestroyed = true }
    }

    private var closed: StorageError { StorageError(isDestroyed ? .keyDestroyed : .needsUser) }

    /// Its bytes are wiped with the last call that still uses them.
    private func forgetKey() {
        (key, open) = (nil, false)
        written.removeAll()
    }
}

/// A caller that is answered once.
private final class Once: @unchecked Sendable {
    private let guarding = NSLock()
    private var waiting: CheckedContinuation<Void, any Error>?
    private var isCancelled = false

    var isWaiting: Bool { guarding.withLock { waiting != nil } }

    func wait(_ continuation: CheckedContinuation<Void, any Error>) {
        let isTooLate = guarding.withLock {
            if !isCancelled { waiting = continuation }
            return isCancelled
        }
        if isTooLate { continuation.resume(throwing: CancellationError()) }
    }

    /// False if nobody waits any more.
    func finish(_ result: Result<Void, any Error>) -> Bool {
        let continuation = taken()
        continuation?.resume(with: result)
        return continuation != nil
    }

    func cancel() {
        guarding.withLock { isCancelled = true }
        taken()?.resume(throwing: CancellationError())
    }

    private func taken() -> CheckedContinuation<Void, any Error>? {
        guarding.withLock {
            defer { waiting = nil }
            return waiting
        }
    }
}
