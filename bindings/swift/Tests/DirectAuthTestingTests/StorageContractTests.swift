import DirectAuthAPI
import DirectAuthTesting
import XCTest

/// What is wrong with a storage, and the rule that says so.
private enum Fault: CaseIterable {
    case nothing
    case absentIsAnError, absentIsEmpty
    case emptyIsAbsent, endsAtZeroByte, isForText, keepsAtMost4096, loadTakesAway
    case keepsTheTail, appends, theFirstStays
    case deletesNothing, deletesAll, deletesForGood
    case deletesAbsentWithError
    case listsNothing, listsTwice, listsDeleted, listsWhatWasLookedFor
    case lendsItsMemory
    case deletesByPrefix, shortensKeys, mixesDotAndDash
    case livesInTheInstance
    case deletesInTheInstance
    case caches
    case losesUpdates
    case tears, hasAGap
    case leavesSomething

    var rule: StorageRule? {
        switch self {
        case .nothing: nil
        case .absentIsAnError, .absentIsEmpty: .absentIsNil
        case .emptyIsAbsent, .endsAtZeroByte, .isForText, .keepsAtMost4096, .loadTakesAway: .keepsBytes
        case .keepsTheTail, .appends, .theFirstStays: .replacesWholly
        case .deletesNothing, .deletesAll, .deletesForGood: .deletes
        case .deletesAbsentWithError: .deletesAbsent
        case .listsNothing, .listsTwice, .listsDeleted, .listsWhatWasLookedFor: .listsExactly
        case .lendsItsMemory: .sharesNoBytes
        case .deletesByPrefix, .shortensKeys, .mixesDotAndDash: .keysAreDistinct
        case .livesInTheInstance: .survivesReopening
        case .deletesInTheInstance: .deletionSurvivesReopening
        case .caches: .instancesAgree
        case .losesUpdates: .concurrentKeys
        case .tears, .hasAGap: .concurrentReplacing
        case .leavesSomething: .endsEmpty
        }
    }
}

private struct NothingThere: Error {}

private final class Place: @unchecked Sendable {
    private enum Gap { case notYet, open, over }

    let condition = NSCondition()
    var values: [String: Data] = [:]
    /// Whatever else a broken storage remembers.
    var names: Set<String> = []
    private var lent: [String: UnsafeMutableRawBufferPointer] = [:]
    private var outgrown: [UnsafeMutableRawBufferPointer] = []
    private let home = ObjectIdentifier(Thread.current)
    private var gap = Gap.notYet

    deinit {
        for memory in outgrown + lent.values { memory.deallocate() }
    }

    /// Whether this is a thread of the check, where a fault that needs two threads may show; once.
    var mayOpenGap: Bool { gap == .notYet && ObjectIdentifier(Thread.current) != home }

    /// Lets others in until one has come. Not for ever: a check in which none comes is to fail and not to hang.
    func openGap() {
        gap = .open
        let end = Date(timeIntervalSinceNow: 20)
        while gap == .open && condition.wait(until: end) {}
    }

    func closeGap() {
        if gap == .open { gap = .over }
        condition.broadcast()
    }

    /// The value in memory that the next one of its size is written into.
    func lend(_ name: String, _ value: Data) -> Data {
        if value.isEmpty { return value }
        if let memory = lent[name], memory.count != value.count {
            outgrown.append(memory)
            lent[name] = nil
        }
        let memory = lent[name] ?? UnsafeMutableRawBufferPointer.allocate(byteCount: value.count, alignment: 1)
        lent[name] = memory
        memory.copyBytes(from: value)
        guard let start = memory.baseAddress else { return Data() }
        return Data(bytesNoCopy: start, count: memory.count, deallocator: .none)
    }
}

/// A storage over shared memory, broken in one way.
private final class Broken: SecureStorage, @unchecked Sendable {
    private let fault: Fault
    private let place: Place
    private var cached: [String: Data?] = [:]
    private var hidden: Set<String> = []

    init(_ fault: Fault, _ shared: Place) {
        self.fault = fault
        place = fault == .livesInTheInstance ? Place() : shared
    }

    func load(key: String) throws -> Data? { try place.condition.withLock { try read(name(key)) } }

    func store(key: String, value: Data) throws { place.condition.withLock { write(name(key), value) } }

    func delete(key: String) throws { try place.condition.withLock { try remove(name(key)) } }

    func keys() throws -> [String] { place.condition.withLock { list() } }

    private func name(_ key: String) -> String {
        switch fault {
        case .shortensKeys: String(key.prefix(63))
        case .mixesDotAndDash: String(key.map { $0 == "." ? "-" : $0 })
        default: key
        }
    }

    private func read(_ name: String) throws -> Data? {
        if hidden.contains(name) { return nil }
        let found = place.values[name]
        switch fault {
        case .absentIsAnError:
            guard let found else { throw StorageError(.keyMissing) }
            return found
        case .absentIsEmpty: return found ?? Data()
        case .emptyIsAbsent: return found?.isEmpty == true ? nil : found
        case .endsAtZeroByte: return found.map { Data($0.prefix { $0 != 0 }) }
        case .isForText: return found.map { Data(String(decoding: $0, as: UTF8.self).utf8) }
        case .loadTakesAway: place.values[name] = nil
        case .listsWhatWasLookedFor: place.names.insert(name)
        case .caches:
            if let known = cached[name] { return known }
            cached.updateValue(found, forKey: name)
        case .tears, .hasAGap: place.closeGap()
        default: break
        }
        return found
    }

    private func write(_ name: String, _ value: Data) {
        let old = place.values[name]
        var kept = value
        switch fault {
        case .theFirstStays where old != nil: return
        case .deletesForGood where place.names.contains(name): return
        case .keepsAtMost4096: kept = Data(value.prefix(4096))
        case .keepsTheTail: kept = value + Data((old ?? Data()).dropFirst(value.count))
        case .appends: kept = (old ?? Data()) + value
        case .listsDeleted: place.names.insert(name)
        case .lendsItsMemory: kept = place.lend(name, value)
        case .deletesInTheInstance: hidden.remove(name)
        case .caches: cached.updateValue(value, forKey: name)
        case .losesUpdates where old == nil: loseUpdates()
        case .tears where old != nil && place.mayOpenGap:
            place.values[name] = Data(value.prefix(value.count / 2))
            place.openGap()
        case .hasAGap where old != nil && place.mayOpenGap:
            place.values[name] = nil
            place.openGap()
        default: break
        }
        place.values[name] = kept
    }

    /// All values are one file, which is read here; what others write until it is written is lost.
    private func loseUpdates() {
        guard place.mayOpenGap else { return place.closeGap() }
        let all = place.values
        place.openGap()
        place.values = all
    }

    private func remove(_ name: String) throws {
        switch fault {
        case .deletesNothing: return
        case .deletesAll: place.values = [:]
        case .deletesForGood: place.names.insert(name)
        case .deletesAbsentWithError where place.values[name] == nil: throw NothingThere()
        case .deletesByPrefix: place.values = place.values.filter { !$0.key.hasPrefix(name) }
        case .deletesInTheInstance:
            hidden.insert(name)
            return
        case .caches: cached.updateValue(nil, forKey: name)
        // Of those sizes are the last values of all.
        case .leavesSomething where [2000, 6000].contains(place.values[name]?.count): place.values["left"] = Data()
        default: break
        }
        place.values[name] = nil
    }

    private func list() -> [String] {
        let names = place.values.keys.filter { !hidden.contains($0) }
        return switch fault {
        case .listsNothing: []
        case .listsTwice: names + names.prefix(1)
        case .listsDeleted, .listsWhatWasLookedFor: Array(place.names.union(names))
        default: names
        }
    }
}

/// The check of apps' own storages finds each way to be broken, by the rule that is broken, and nothing where nothing is.
final class StorageContractTests: XCTestCase {
    private func check(_ fault: Fault, _ place: Place = Place()) -> StorageContractViolation? {
        check { Broken(fault, place) }
    }

    private func check(_ open: @Sendable () throws -> any SecureStorage) -> StorageContractViolation? {
        do {
            _ = try StorageContract.check(open: open)
            return nil
        } catch {
            return error as? StorageContractViolation
        }
    }

    func testTheStorageInMemoryKeepsTheContractAndIsEmptyAfterwards() throws {
        let storage = MemoryStorage()
        let report = try StorageContract.check { storage }
        XCTAssertEqual(report.kept, StorageRule.allCases)
        XCTAssertEqual("\(report)", StorageRule.allCases.map { "kept: \($0.text)" }.joined(separator: "\n"))
        XCTAssertEqual(storage.count, 0)
    }

    func testAStorageWithoutFaultPassesSoItIsTheFaultThatIsFound() throws {
        let place = Place()
        _ = try StorageContract.check { Broken(.nothing, place) }
        XCTAssertEqual(place.values, [:])
    }

    func testEachFaultIsFoundByTheRuleThatItBreaks() {
        for fault in Fault.allCases where fault != .nothing {
            let violation = check(fault)
            XCTAssertNotNil(violation, "\(fault)")
            XCTAssertEqual(violation?.rule, fault.rule, "\(fault): \(violation?.description ?? "passes")")
        }
    }

    func testEachRuleHasAFaultThatBreaksIt() {
        let broken = Set(Fault.allCases.compactMap(\.rule))
        XCTAssertEqual(Set(StorageRule.allCases).subtracting(broken), [.startsEmpty])
    }

    func testAPlaceThatIsNotEmptyIsNotTouched() throws {
        let storage = MemoryStorage()
        let value = Data("a session".utf8)
        try storage.store(key: "session.1", value: value)
        let violation = check { storage }
        XCTAssertEqual(violation?.rule, .startsEmpty)
        XCTAssertEqual(violation?.seen, "it has 1 keys")
        XCTAssertEqual(try storage.keys(), ["session.1"])
        XCTAssertEqual(try storage.load(key: "session.1"), value)
    }

    func testAfterAViolationThePlaceIsEmptyAgain() {
        for fault in [Fault.theFirstStays, .listsNothing, .shortensKeys, .caches, .tears] {
            let place = Place()
            XCTAssertNotNil(check(fault, place), "\(fault)")
            XCTAssertEqual(place.values, [:], "\(fault)")
        }
    }

    func testAViolationSaysWhatIsBrokenAndNoBytes() {
        let violation = check(.keepsAtMost4096)
        let seen = "4096 bytes came instead of 524288, the first 4096 of them right"
        XCTAssertEqual(violation?.seen, seen)
        XCTAssertEqual(violation?.description, "broken: what is loaded equals what was stored; but \(seen)")
        XCTAssertEqual(violation?.errorDescription, violation?.description)
        XCTAssertNil(violation?.cause)
    }

    func testWhatTheStorageThrewIsTheCauseWithItsReasonIfItIsATypedOne() {
        let typed = check(.absentIsAnError)
        XCTAssertEqual(typed?.seen, "load of contract-a failed: keyMissing")
        XCTAssertEqual(typed?.cause as? StorageError, StorageError(.keyMissing))
        let other = check(.deletesAbsentWithError)
        XCTAssertEqual(other?.seen, "delete of contract-c failed: NothingThere")
        XCTAssertTrue(other?.cause is NothingThere)
    }

    func testWhatOpenThrowsIsThrownAsItIs() {
        XCTAssertThrowsError(try StorageContract.check { throw NothingThere() }) { XCTAssertTrue($0 is NothingThere, "\($0)") }
    }

    func testTheCheckAsksForKeysThatTheLibraryMayUseUpToTheLongest() throws {
        let asked = Asked()
        _ = try StorageContract.check { asked }
        let allowed = Set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        for key in asked.names {
            XCTAssertTrue((1...64).contains(key.count) && key.allSatisfy(allowed.contains) && !key.hasPrefix("."), key)
        }
        XCTAssertEqual(asked.names.map(\.count).max(), 64)
    }
}

/// Remembers what was deleted: every key of the check.
private final class Asked: SecureStorage, @unchecked Sendable {
    private let inner = MemoryStorage()
    private let lock = NSLock()
    private var deleted: Set<String> = []

    var names: Set<String> { lock.withLock { deleted } }

    func load(key: String) throws -> Data? { try inner.load(key: key) }

    func store(key: String, value: Data) throws { try inner.store(key: key, value: value) }

    func delete(key: String) throws {
        lock.withLock { _ = deleted.insert(key) }
        try inner.delete(key: key)
    }

    func keys() throws -> [String] { try inner.keys() }
}
