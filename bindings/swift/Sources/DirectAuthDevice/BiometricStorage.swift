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

    /// - Parameters:
    ///   - elapsed: seconds of a clock that counts sleep.
    ///   - later: does something after so many seconds.
    init(
        keychain: any Keychain, bound: any BoundItems, sealing: any Sealing,
        elapsed: @escaping @Sendable () -> TimeInterval = BiometricStorage.elapsed,
        later: @escaping @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void = BiometricStorage.later
    ) {
        self.keychain = keychain
        items = KeychainStorage(keychain: keychain)
        self.bound = bound
        self.sealing = sealing
        held = HeldKey(elapsed: elapsed, later: later)
    }

    @Sendable
    private static func later(_ seconds: TimeInterval, _ work: @escaping @Sendable () -> Void) {
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + seconds, execute: work)
    }

    @Sendable
    private static func elapsed() -> TimeInterval {
        var now = timespec()
        #if canImport(Darwin)
            clock_gettime(CLOCK_MONOTONIC, &now)
        #else
            clock_gettime(CLOCK_BOOTTIME, &now)
        #endif
        return TimeInterval(now.tv_sec) + TimeInterval(now.tv_nsec) / 1e9
    }

    /// Whether it can be read and written.
    public var isUnlocked: Bool { held.isOpen }

    /// Forgets the key. An ``unlock(reason:)`` that has begun before does not undo it.
    ///
    /// A refresh that was sent before has a minute more to write what has come of it, and for that a session can be read that this object
    /// has read or written before, as long as nobody else has changed it: the session would be lost otherwise. Nothing else can be read or
    /// written from now on. Then the key is wiped; in a process that the system has stopped, when it goes on.
    public func lock() { held.close() }

    func unlock(asking prompt: any UserPrompt) async throws {
        try await oneAfterTheOther(prompt) { storage, before in
            guard let keys = try storage.keyNames() else { return try storage.makeTheFirst(prompt, before) }
            if !storage.held.isOpen(with: keys.current) { try storage.open(keys.current, prompt, before) }
        }
    }

    func renew(asking prompt: any UserPrompt) async throws {
        try await oneAfterTheOther(prompt) { storage, before in
            let former = try storage.formerNames()
            storage.held.forget()
            try storage.make(prompt, before) { name in
                try storage.items.store(key: KeyNames.account, value: KeyNames(current: name, after: former).encoded)
            }
            // Of no use any more; if it stays it harms nobody.
            if let former { _ = storage.bound.delete(former.current.account) }
        }
    }

    public func load(key: String) throws -> Data? {
        guard let stored = try items.load(key: key) else { return nil }
        let blob = try SealedItem(stored)
        let (name, secret) = try held.forReading(key, stored, sealedBy: blob.key)
        guard blob.key == name else { throw StorageError(try whyAnotherKey(blob.key)) }
        do {
            let value = try sealing.open(blob.sealed, key: secret, associated: SealedItem.associated(name, key))
            held.known(key, stored)
            return value
        } catch {
            throw StorageError(.corrupt)
        }
    }

    public func store(key: String, value: Data) throws {
        let current = try keyNames()?.current
        let (name, secret) = try held.forWriting(key, current)
        // What a renewed key's predecessor seals could not be read again.
        guard current == name else { throw StorageError(.needsUser) }
        let sealed: Data
        do {
            sealed = try sealing.seal(value, key: secret, associated: SealedItem.associated(name, key))
        } catch {
            throw StorageError(.transient)
        }
        let stored = SealedItem(key: name, sealed: sealed).encoded
        // From here on it may be there, whatever is heard of that.
        held.known(key, stored)
        try items.store(key: key, value: stored)
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
        return keys.wasGivenUp(name) ? .keyDestroyed : .keyMissing
    }

    /// Nil if nobody knows them any more: then every key but the next one was given up.
    private func formerNames() throws -> KeyNames? {
        do {
            return try keyNames()
        } catch let error as StorageError where error.problem == .corrupt {
            return nil
        }
    }

    private func makeTheFirst(_ prompt: any UserPrompt, _ before: Int) throws {
        // A key that cannot be found is not made anew.
        guard try keys().isEmpty else { throw StorageError(.keyMissing) }
        var isSecond = false
        do {
            try make(prompt, before) { name in
                let status = keychain.add(KeyNames.account, KeyNames(current: name).encoded)
                isSecond = status == .duplicateItem
                guard status == .success else { throw StorageError(isSecond ? .needsUser : status.problem) }
            }
        } catch where isSecond {
            // Another process was faster: its key is the one.
            guard let keys = try keyNames() else { throw StorageError(.transient) }
            try open(keys.current, prompt, before)
        }
    }

    /// - Parameter naming: makes it the one that is looked for.
    private func make(_ prompt: any UserPrompt, _ before: Int, naming: (KeyName) throws -> Void) throws {
        let name = KeyName.random()
        let secret = SecretBytes.random(count: KeyName.secret)
        let status = secret.asData { bound.add(name.account, $0) }
        guard status == .success else { throw StorageError(status.problem) }
        do {
            // Read back before anything counts on it, which asks the user as every later time.
            guard try found(name, prompt).count == KeyName.secret else { throw StorageError(.transient) }
            try naming(name)
        } catch {
            switch Result(catching: { try keyNames()?.current }) {
            case .success(name): break  // It was written all the same.
            case .success:
                _ = bound.delete(name.account)
                throw error
            // Nobody knows, so it stays.
            case .failure: throw error
            }
        }
        guard held.hold(name, secret, unlessLockedSince: before) else { throw StorageError(.needsUser) }
    }

    private func open(_ name: KeyName, _ prompt: any UserPrompt, _ before: Int) throws {
        do {
            let secret = SecretBytes(try found(name, prompt))
            guard held.hold(name, secret, unlessLockedSince: before) else { throw StorageError(.needsUser) }
        } catch let error as StorageError {
            if error.problem == .keyDestroyed { held.destroyed(name) }
            throw error
        }
    }

    private func found(_ name: KeyName, _ prompt: any UserPrompt) throws -> Data {
        let (status, found) = bound.load(name.account, asking: prompt)
        switch status {
        case .success:
            guard let found, found.count == KeyName.secret else { throw StorageError(.transient) }
            return found
        case .itemNotFound: throw StorageError(.keyDestroyed)
        default: throw StorageError(status.problem)
        }
    }

    /// The keychain waits for the user, so it waits on a thread that nobody else needs.
    private func oneAfterTheOther(
        _ prompt: any UserPrompt, _ work: @escaping @Sendable (BiometricStorage, _ locksBefore: Int) throws -> Void
    ) async throws {
        let (once, before) = (Once(), held.locks)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
                once.wait(done)
                queue.async {
                    guard once.isWaiting else { return }
                    let openings = self.held.openings
                    let result = Result { try work(self, before) }
                    // What was opened for nobody is closed; what was open before stays.
                    if !once.finish(result), self.held.openings != openings { self.held.forget() }
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
    private let former: [KeyName]
    /// Every other key was given up, known or not.
    private let isOnly: Bool

    /// The first.
    init(current: KeyName) {
        (self.current, former, isOnly) = (current, [], false)
    }

    /// - Parameter previous: nil if nobody knows them any more.
    init(current: KeyName, after previous: KeyNames?) {
        self.current = current
        let all = previous.map { [$0.current] + $0.former } ?? []
        former = Array(all.prefix(Self.most))
        isOnly = previous?.isOnly ?? true || all.count > Self.most
    }

    func wasGivenUp(_ name: KeyName) -> Bool { name != current && (isOnly || former.contains(name)) }

    /// The version, the names, the newest first, and a byte more if the current one is the only one.
    var encoded: Data { ([current] + former).reduce(into: Data([Self.version])) { $0 += $1.bytes } + (isOnly ? [1] : []) }

    init(_ stored: Data) throws {
        guard let version = stored.first else { throw StorageError(.corrupt) }
        guard version <= Self.version else { throw StorageError(.newerVersion) }
        let rest = Data(stored.dropFirst())
        let (count, more) = rest.count.quotientAndRemainder(dividingBy: KeyName.size)
        guard version == Self.version, count > 0, more == 0 || (more == 1 && rest.last == 1) else { throw StorageError(.corrupt) }
        let names = (0..<count).map { KeyName(bytes: rest.subdata(in: $0 * KeyName.size..<($0 + 1) * KeyName.size)) }
        (current, former, isOnly) = (names[0], Array(names.dropFirst()), more == 1)
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

/// The key: while it is open for everything, and for a minute more for a refresh that was sent before.
private final class HeldKey: @unchecked Sendable {
    /// Longer than a request may take.
    private static let writing: TimeInterval = 60
    /// How the library's names of sessions begin.
    private static let sessions = "session."

    private let elapsed: @Sendable () -> TimeInterval
    private let later: @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void
    private let guarding = NSLock()
    private var key: (name: KeyName, secret: SecretBytes)?
    private var open = false
    private var wipedAt: TimeInterval = 0
    private var holds = 0
    private var closings = 0
    private var destroyedKey: KeyName?
    /// Sessions as this object has last read or written them, sealed.
    private var known: [String: Data] = [:]

    init(
        elapsed: @escaping @Sendable () -> TimeInterval,
        later: @escaping @Sendable (TimeInterval, @escaping @Sendable () -> Void) -> Void
    ) {
        (self.elapsed, self.later) = (elapsed, later)
    }

    var isOpen: Bool { guarding.withLock { open } }

    /// How often it was locked.
    var locks: Int { guarding.withLock { closings } }

    /// How often it was opened.
    var openings: Int { guarding.withLock { holds } }

    func isOpen(with name: KeyName) -> Bool { guarding.withLock { open && key?.name == name } }

    func forReading(_ account: String, _ stored: Data, sealedBy name: KeyName) throws -> (KeyName, SecretBytes) {
        try guarding.withLock {
            wipeIfOver()
            guard let key, open || known[account] == stored else { throw closed(name) }
            return key
        }
    }

    func forWriting(_ account: String, _ current: KeyName?) throws -> (KeyName, SecretBytes) {
        let (found, number): ((KeyName, SecretBytes), Int?) = try guarding.withLock {
            wipeIfOver()
            guard let key, open || known[account] != nil else { throw closed(current) }
            return (key, open ? nil : closing())
        }
        if let number { wipeLater(number) }
        return found
    }

    func known(_ account: String, _ stored: Data) {
        if account.hasPrefix(Self.sessions) { guarding.withLock { known[account] = stored } }
    }

    func hold(_ name: KeyName, _ secret: SecretBytes, unlessLockedSince before: Int) -> Bool {
        guarding.withLock {
            guard closings == before else { return false }
            wipe()
            (key, open) = ((name, secret), true)
            holds += 1
            return true
        }
    }

    func close() {
        let number: Int? = guarding.withLock {
            closings += 1
            guard open else { return nil }
            open = false
            return closing()
        }
        if let number { wipeLater(number) }
    }

    func forget() { guarding.withLock { wipe() } }

    func destroyed(_ name: KeyName) { guarding.withLock { destroyedKey = name } }

    private func closing() -> Int {
        wipedAt = elapsed() + Self.writing
        return holds
    }

    private func wipeLater(_ number: Int) {
        later(Self.writing) { [weak self] in
            guard let self else { return }
            self.guarding.withLock { if self.holds == number { self.wipeIfOver() } }
        }
    }

    private func wipeIfOver() {
        if !open, elapsed() >= wipedAt { wipe() }
    }

    private func closed(_ name: KeyName?) -> StorageError {
        StorageError(name != nil && name == destroyedKey ? .keyDestroyed : .needsUser)
    }

    /// Its bytes are wiped with the last call that still uses them.
    private func wipe() {
        (key, open) = (nil, false)
        known.removeAll()
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
