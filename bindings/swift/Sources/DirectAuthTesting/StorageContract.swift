import DirectAuthAPI
import Foundation

/// Checks an app's own ``SecureStorage`` against what the library relies on (docs/own-storage.md). Run it as a test of the app, on every
/// platform that the storage is made for; a place kept for tests is enough.
///
/// It does not provoke failures, and it cannot see whether a write outlives a power failure. A fault that only some moments show may be
/// missed.
public enum StorageContract {
    /// Checks every ``StorageRule``, in their order, and blocks until it is done.
    ///
    /// The place has to be empty, else nothing is touched. It is empty afterwards, also after a violation if `delete` works. Several
    /// threads call the storage at once. A call that never returns is not noticed: give the test a deadline.
    ///
    /// - Parameter open: gives a new instance over the same place, as a new process would: nothing may be shared between instances but
    ///   the place. One that returns the same object each time checks a storage whose place is that object. Called on the caller's thread
    ///   only.
    /// - Returns: what was checked.
    /// - Throws: ``StorageContractViolation`` for the first rule that is broken; what `open` throws, as it is.
    public static func check(open: @Sendable () throws -> any SecureStorage) throws -> Report {
        let found = try Handle(open()).keys(.startsEmpty)
        try StorageRule.startsEmpty.holds(found.isEmpty, "it has \(found.count) keys")
        do {
            try checkEmptyPlace { try Handle(open()) }
        } catch {
            // What was broken is told, and not what follows from it.
            if let storage = try? open() {
                for name in Names.every { try? storage.delete(key: name) }
            }
            throw error
        }
        try endsEmpty(Handle(open()))
        return Report(kept: StorageRule.allCases)
    }

    /// What was checked and found kept.
    public struct Report: Sendable, Hashable, CustomStringConvertible {
        /// The rules, in the order in which they were checked.
        public let kept: [StorageRule]
        /// One rule a line.
        public var description: String { kept.map { "kept: \($0.text)" }.joined(separator: "\n") }
    }
}

/// One rule for a ``SecureStorage``, as ``StorageContract`` checks it.
public enum StorageRule: Sendable, Hashable, CaseIterable {
    /// Not a rule for a storage but for the test: it touches nothing where there is something already.
    case startsEmpty
    /// A first start is no failure.
    case absentIsNil
    /// Any byte, any length from none to 512 KiB, which is the most that the library writes.
    case keepsBytes
    /// Nothing is left of a longer value, nothing is appended to a shorter one.
    case replacesWholly
    /// What is gone is absent again, and all else stays.
    case deletes
    /// The library deletes again after a restart.
    case deletesAbsent
    /// A value that is not listed is a session that nobody finds.
    case listsExactly
    /// `Data` may lie over memory that the storage writes again, or over a mapped file.
    case sharesNoBytes
    /// The longest keys, keys that are the beginning of another, dots, dashes, names of devices, numbers.
    case keysAreDistinct
    /// As far as one process can see it: through another instance.
    case survivesReopening
    /// Otherwise a session that was signed out comes back.
    case deletionSurvivesReopening
    /// No instance may answer from what it remembers.
    case instancesAgree
    /// No write may undo another one's.
    case concurrentKeys
    /// A reader never sees a half-written value, nor none while one replaces another.
    case concurrentReplacing
    /// After a check the place is as it was.
    case endsEmpty

    /// What holds where it is kept.
    public var text: String {
        switch self {
        case .startsEmpty: "the place is empty when the check begins"
        case .absentIsNil: "what is absent is nil, not an error"
        case .keepsBytes: "what is loaded equals what was stored"
        case .replacesWholly: "a stored value replaces the old one wholly"
        case .deletes: "delete removes its value and no other"
        case .deletesAbsent: "deleting what is absent is no error"
        case .listsExactly: "keys lists exactly the values that are there, each once"
        case .sharesNoBytes: "what was loaded stays as it is when another value is stored"
        case .keysAreDistinct: "every key has a value of its own"
        case .survivesReopening: "what was stored is there in a new instance"
        case .deletionSurvivesReopening: "what was deleted stays absent in a new instance"
        case .instancesAgree: "two instances over one place see each other's writes"
        case .concurrentKeys: "values stored or deleted at the same time under different keys do not disturb each other"
        case .concurrentReplacing: "a load during a store gives the old or the new value whole"
        case .endsEmpty: "the place is empty again after everything was deleted"
        }
    }
}

/// A rule that is broken, and what was seen instead. Never contains the bytes of a value.
public struct StorageContractViolation: Error, CustomStringConvertible, LocalizedError, Sendable {
    /// The rule.
    public let rule: StorageRule
    /// What was seen.
    public let seen: String
    /// What the storage threw, if it did.
    public let cause: (any Error)?

    public var description: String { "broken: \(rule.text); but \(seen)" }
    public var errorDescription: String? { description }
}

private func checkEmptyPlace(_ open: () throws -> Handle) throws {
    let storage = try open()
    try absentIsNil(storage)
    try keepsBytes(storage)
    try replacesWholly(storage)
    try deletes(storage)
    try deletesAbsent(storage)
    try listsExactly(storage)
    try sharesNoBytes(storage)
    try keysAreDistinct(storage)
    try survivesReopening(open)
    try instancesAgree(open(), open())
    try concurrentKeys(open(), open())
    try concurrentReplacing(open(), open())
}

private func absentIsNil(_ storage: Handle) throws {
    try storage.finds(.absentIsNil, Names.a, nil)
}

private func keepsBytes(_ storage: Handle) throws {
    let rule = StorageRule.keepsBytes
    let everyByte = Data(UInt8.min...UInt8.max)
    let values = [pattern(1, 100), Data(), everyByte, Data(count: 33), pattern(2, largest), pattern(3, 7)]
    // Each under a key of its own: replacing is another rule.
    for (name, value) in zip(Names.six, values) {
        try storage.put(rule, name, value)
        try storage.finds(rule, name, value)
    }
    // A load takes nothing away.
    for (name, value) in zip(Names.six, values) { try storage.finds(rule, name, value) }
    for name in Names.six { try storage.delete(rule, name) }
}

private func replacesWholly(_ storage: Handle) throws {
    let rule = StorageRule.replacesWholly
    for (seed, length) in [(4, 300), (5, 20), (6, 5000), (7, 4999), (8, 4999), (9, 0), (10, 1)] {
        try storage.put(rule, Names.a, pattern(seed, length))
        try storage.finds(rule, Names.a, pattern(seed, length))
    }
}

private func deletes(_ storage: Handle) throws {
    let rule = StorageRule.deletes
    try storage.put(rule, Names.a, pattern(13, 40))
    try storage.put(rule, Names.b, pattern(14, 40))
    try storage.delete(rule, Names.a)
    try storage.finds(rule, Names.a, nil)
    try storage.finds(rule, Names.b, pattern(14, 40))
    // A key that was deleted can be used again.
    try storage.put(rule, Names.a, pattern(15, 40))
    try storage.finds(rule, Names.a, pattern(15, 40))
    try storage.delete(rule, Names.a)
    try storage.delete(rule, Names.b)
}

private func deletesAbsent(_ storage: Handle) throws {
    let rule = StorageRule.deletesAbsent
    try storage.delete(rule, Names.c)
    try storage.put(rule, Names.c, pattern(16, 40))
    try storage.delete(rule, Names.c)
    try storage.delete(rule, Names.c)
    try storage.finds(rule, Names.c, nil)
}

private func listsExactly(_ storage: Handle) throws {
    let rule = StorageRule.listsExactly
    try storage.lists(rule, [])
    try storage.put(rule, Names.a, pattern(11, 50))
    try storage.lists(rule, [Names.a])
    try storage.put(rule, Names.b, Data())
    try storage.put(rule, Names.a, pattern(12, 60))
    try storage.lists(rule, [Names.a, Names.b])
    // Looking for what is absent does not create it.
    try storage.finds(rule, Names.c, nil)
    try storage.lists(rule, [Names.a, Names.b])
    try storage.delete(rule, Names.a)
    try storage.lists(rule, [Names.b])
    try storage.delete(rule, Names.b)
    try storage.lists(rule, [])
}

private func sharesNoBytes(_ storage: Handle) throws {
    let rule = StorageRule.sharesNoBytes
    try storage.put(rule, Names.a, pattern(17, 400))
    let loaded = try storage.load(rule, Names.a)
    // Of the same length: a mapped file that became shorter would end the process.
    try storage.put(rule, Names.a, pattern(18, 400))
    try rule.holds(loaded == pattern(17, 400), "a later store changed what load had returned")
    try storage.delete(rule, Names.a)
}

private func keysAreDistinct(_ storage: Handle) throws {
    let rule = StorageRule.keysAreDistinct
    for (number, name) in Names.distinct.enumerated() { try storage.put(rule, name, pattern(200 + number, 30)) }
    for (number, name) in Names.distinct.enumerated() { try storage.finds(rule, name, pattern(200 + number, 30)) }
    try storage.lists(rule, Names.distinct)
    // One after the other, so that a delete that takes a neighbour along is seen.
    for (number, name) in Names.distinct.enumerated() {
        try storage.delete(rule, name)
        try storage.lists(rule, Array(Names.distinct.dropFirst(number + 1)))
    }
}

private func survivesReopening(_ open: () throws -> Handle) throws {
    let first = try open()
    // Whatever was deleted so far.
    try first.lists(.deletionSurvivesReopening, [])

    let stored = StorageRule.survivesReopening
    try first.put(stored, Names.a, pattern(70, 1000))
    try first.put(stored, Names.b, pattern(71, 1000))
    try first.put(stored, Names.a, pattern(72, 900))
    let second = try open()
    try second.lists(stored, [Names.a, Names.b])
    try second.finds(stored, Names.a, pattern(72, 900))
    try second.finds(stored, Names.b, pattern(71, 1000))

    let deleted = StorageRule.deletionSurvivesReopening
    try second.delete(deleted, Names.a)
    let third = try open()
    try third.finds(deleted, Names.a, nil)
    try third.lists(deleted, [Names.b])
    try third.finds(deleted, Names.b, pattern(71, 1000))
    try third.delete(deleted, Names.b)
}

private func instancesAgree(_ one: Handle, _ other: Handle) throws {
    let rule = StorageRule.instancesAgree
    // Both look first, and then do not answer from what they saw.
    for handle in [one, other] {
        try handle.finds(rule, Names.a, nil)
        try handle.lists(rule, [])
    }
    for (seed, writer, reader) in [(73, one, other), (74, other, one)] {
        try writer.put(rule, Names.a, pattern(seed, 200))
        try reader.finds(rule, Names.a, pattern(seed, 200))
        try reader.lists(rule, [Names.a])
    }
    try one.put(rule, Names.b, pattern(75, 200))
    try other.put(rule, Names.c, pattern(76, 200))
    for handle in [one, other] { try handle.lists(rule, [Names.a, Names.b, Names.c]) }
    for (name, deleter, reader) in [(Names.a, one, other), (Names.b, other, one), (Names.c, one, other)] {
        try deleter.delete(rule, name)
        try reader.finds(rule, name, nil)
    }
    try other.lists(rule, [])
}

private func concurrentKeys(_ one: Handle, _ other: Handle) throws {
    let rule = StorageRule.concurrentKeys
    let handles = [one, other, one, other]
    let size = Names.atOnce.count / handles.count
    func eachGroup(_ work: @escaping @Sendable (_ handle: Handle, _ number: Int) throws -> Void) throws {
        var works: [@Sendable () throws -> Void] = []
        for (group, handle) in handles.enumerated() {
            works.append { for number in (group * size)..<((group + 1) * size) { try work(handle, number) } }
        }
        try atOnce(works)
    }
    for round in 0..<rounds {
        let values = Names.atOnce.indices.map { pattern(300 + rounds * $0 + round, 3000) }
        try eachGroup { handle, number in try handle.put(rule, Names.atOnce[number], values[number]) }
        try one.lists(rule, Names.atOnce)
        for (name, value) in zip(Names.atOnce, values) { try other.finds(rule, name, value) }
        try eachGroup { handle, number in try handle.delete(rule, Names.atOnce[number]) }
        try other.lists(rule, [])
    }
}

private func concurrentReplacing(_ one: Handle, _ other: Handle) throws {
    let rule = StorageRule.concurrentReplacing
    let values = (0...replacements).map { pattern(100 + $0, 2000 + 1500 * ($0 % 3)) }
    let course = Course()
    let write: @Sendable () throws -> Void = {
        defer { course.isOver = true }
        for number in 1...replacements {
            course.begun = number
            try one.put(rule, Names.a, values[number])
            course.finished = number
        }
    }
    let untilItIsOver: @Sendable (() throws -> Void) throws -> Void = { look in
        repeat {
            try look()
            // A lock that is not fair would keep the writer waiting.
            sched_yield()
        } while !course.isOver
    }
    let read: @Sendable (Handle) throws -> Void = { handle in
        // Whatever was there when the load began, or came before it ended.
        let oldest = course.finished
        let answer = try handle.load(rule, Names.a)
        let newest = course.begun
        guard let loaded = answer else { return try rule.holds(false, "none was there") }
        try rule.holds(values[oldest...newest].contains(loaded), "\(loaded.count) bytes came that are neither value")
    }
    try one.put(rule, Names.a, values[0])
    try atOnce([
        write,
        { try untilItIsOver { try read(one) } },
        { try untilItIsOver { try read(other) } },
        { try untilItIsOver { try other.lists(rule, [Names.a]) } },
    ])
    try other.finds(rule, Names.a, values[replacements])

    // Two writers: one of them is the last, and nothing is mixed.
    let (left, right) = (pattern(98, 6000), pattern(99, 2000))
    try atOnce([{ try one.put(rule, Names.a, left) }, { try other.put(rule, Names.a, right) }])
    let last = try one.load(rule, Names.a)
    try rule.holds(last == left || last == right, "after two stores at once it is neither's value")
    try other.finds(rule, Names.a, last)
    try one.delete(rule, Names.a)
}

/// Where one writer is.
private final class Course: @unchecked Sendable {
    private let lock = NSLock()
    private var numbers = (begun: 0, finished: 0)
    private var hasEnded = false

    var begun: Int {
        get { lock.withLock { numbers.begun } }
        set { lock.withLock { numbers.begun = newValue } }
    }

    var finished: Int {
        get { lock.withLock { numbers.finished } }
        set { lock.withLock { numbers.finished = newValue } }
    }

    var isOver: Bool {
        get { lock.withLock { hasEnded } }
        set { lock.withLock { hasEnded = newValue } }
    }
}

/// Runs all of it at the same time, each on a thread of its own, and throws the first failure when all have ended.
private func atOnce(_ works: [@Sendable () throws -> Void]) throws {
    let together = Together(works.count)
    for work in works {
        Thread.detachNewThread {
            together.begin()
            together.end(Result { try work() })
        }
    }
    try together.wait()
}

/// Threads that begin together, and what they failed with.
private final class Together: @unchecked Sendable {
    private let condition = NSCondition()
    private var missing: Int
    private var running: Int
    private var failure: (any Error)?

    init(_ count: Int) {
        missing = count
        running = count
    }

    func begin() {
        condition.withLock {
            missing -= 1
            condition.broadcast()
            while missing > 0 { condition.wait() }
        }
    }

    func end(_ result: Result<Void, any Error>) {
        condition.withLock {
            if case .failure(let error) = result, failure == nil { failure = error }
            running -= 1
            condition.broadcast()
        }
    }

    func wait() throws {
        try condition.withLock {
            while running > 0 { condition.wait() }
            if let failure { throw failure }
        }
    }
}

/// Deletes only the keys of the check, whatever else may have come meanwhile.
private func endsEmpty(_ storage: Handle) throws {
    for name in Names.every { try storage.delete(.endsEmpty, name) }
    try storage.lists(.endsEmpty, [])
}

extension StorageRule {
    fileprivate func holds(_ kept: Bool, _ seen: @autoclosure () -> String) throws {
        if !kept { throw StorageContractViolation(rule: self, seen: seen(), cause: nil) }
    }
}

/// A storage whose every answer is looked at.
private struct Handle: Sendable {
    private let storage: any SecureStorage

    init(_ storage: any SecureStorage) {
        self.storage = storage
    }

    func load(_ rule: StorageRule, _ name: String) throws -> Data? {
        try call(rule, "load of \(name)") { try storage.load(key: name) }
    }

    func put(_ rule: StorageRule, _ name: String, _ value: Data) throws {
        try call(rule, "store of \(name)") { try storage.store(key: name, value: value) }
    }

    func delete(_ rule: StorageRule, _ name: String) throws {
        try call(rule, "delete of \(name)") { try storage.delete(key: name) }
    }

    func keys(_ rule: StorageRule) throws -> [String] {
        try call(rule, "keys") { try storage.keys() }
    }

    func finds(_ rule: StorageRule, _ name: String, _ expected: Data?) throws {
        guard let loaded = try load(rule, name) else { return try rule.holds(expected == nil, "\(name) is absent") }
        guard let expected else { return try rule.holds(false, "\(name) is there") }
        try rule.holds(loaded == expected, difference(loaded, expected))
    }

    func lists(_ rule: StorageRule, _ expected: [String]) throws {
        let listed = try keys(rule)
        let (there, wanted) = (Set(listed), Set(expected))
        guard listed.count != expected.count || there != wanted else { return }
        // A few say enough.
        let missing = wanted.subtracting(there).sorted().prefix(3).joined(separator: ", ")
        let more = there.subtracting(wanted).sorted().prefix(3).joined(separator: ", ")
        try rule.holds(false, "keys lists \(listed.count) instead of \(expected.count); missing: [\(missing)], too many: [\(more)]")
    }

    private func call<T>(_ rule: StorageRule, _ call: String, _ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch {
            let reason = (error as? StorageError).map { "\($0.problem)" } ?? "\(type(of: error))"
            throw StorageContractViolation(rule: rule, seen: "\(call) failed: \(reason)", cause: error)
        }
    }
}

/// How two values differ, without what they are.
private func difference(_ found: Data, _ expected: Data) -> String {
    let same = zip(found, expected).prefix { $0 == $1 }.count
    return "\(found.count) bytes came instead of \(expected.count), the first \(same) of them right"
}

/// The keys of the check.
private enum Names {
    static let a = "contract-a"
    static let b = "contract-b"
    static let c = "contract-c"
    static let six = (1...6).map { "contract-\($0)" }
    static let atOnce = (0..<16).map { "contract-at-once-\($0)" }

    /// Keys that a careless storage takes for one another, or for something else than a name. The library's own begin with a letter.
    static let distinct: [String] = {
        let long = String(repeating: "0", count: 63)
        let id = String(repeating: "0123456789abcdef", count: 2)
        // As long as a key may be, and one less.
        var names = [long, long + "0", long + "1", long + "-", long + ".", String(repeating: "z", count: 64)]
        names.append(String(repeating: "x.", count: 30) + "-a.9")
        // The forms that the library uses.
        names += ["session.\(id)", "ended.\(id)", "owed.\(id).0123456789abcdef", "public.\(id)", "probe.\(id)", "counter", "session", id]
        names += ["a", "aa", "ab", "ba", "b", "a.", "a-", "-a", "a.a", "a-a", "a..a", "a.b", "a.a.b", "-", "--"]
        names += ["0", "00", "1", "01", "1.0", "1.00", "-1", "nul", "con.txt", "a.tmp", "a.blob", "null", "true"]
        return names
    }()

    static let every = [a, b, c] + six + atOnce + distinct
}

/// The most that the library writes.
private let largest = 512 * 1024
private let rounds = 4
private let replacements = 40

/// Bytes that are others for each seed, and at each place.
private func pattern(_ seed: Int, _ length: Int) -> Data {
    var state = (UInt32(seed) &* 0x9e37_79b9) | 1
    let bytes = (0..<length).map { _ in
        state ^= state << 13
        state ^= state >> 17
        state ^= state << 5
        return UInt8(truncatingIfNeeded: state)
    }
    return Data(bytes)
}
