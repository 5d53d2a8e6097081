import DirectAuthAPI
import Foundation

/// A storage in memory, which can be told to fail. Safe for several threads.
public final class MemoryStorage: SecureStorage, @unchecked Sendable {
    private let lock = NSLock()
    private var values: [String: Data] = [:]
    private var currentProblem: StorageProblem?
    private var currentWriteProblem: StorageProblem?

    /// An empty one, which works.
    public init() {}

    /// What every call reports from now on; nil: it works.
    public var problem: StorageProblem? {
        get { lock.withLock { currentProblem } }
        set { lock.withLock { currentProblem = newValue } }
    }

    /// What every call that writes reports from now on; nil: it works.
    public var writeProblem: StorageProblem? {
        get { lock.withLock { currentWriteProblem } }
        set { lock.withLock { currentWriteProblem = newValue } }
    }

    /// How many values there are.
    public var count: Int { lock.withLock { values.count } }

    public func load(key: String) throws -> Data? {
        try working { values[key] }
    }

    public func store(key: String, value: Data) throws {
        try working(writes: true) { values[key] = value }
    }

    public func delete(key: String) throws {
        try working(writes: true) { values[key] = nil }
    }

    public func keys() throws -> [String] {
        try working { Array(values.keys) }
    }

    /// Everything is gone, as after an uninstallation.
    public func clear() {
        lock.withLock { values = [:] }
    }

    private func working<T>(writes: Bool = false, _ work: () -> T) throws -> T {
        try lock.withLock {
            if let problem = currentProblem ?? (writes ? currentWriteProblem : nil) { throw StorageError(problem) }
            return work()
        }
    }
}

extension MemoryStorage: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "MemoryStorage" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
