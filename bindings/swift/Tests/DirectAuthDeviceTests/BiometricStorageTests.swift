import DirectAuthAPI
import DirectAuthTesting
import XCTest

@testable import DirectAuthDevice

/// What the system does with a bound item: asks, refuses, and forgets it when what is enrolled changes.
private final class FakeBoundItems: BoundItems, @unchecked Sendable {
    private let keychain = FakeKeychain()
    private let guarding = NSLock()
    private var questions = 0

    var asked: Int { guarding.withLock { questions } }
    var values: [String: Data] { keychain.values }

    func next(_ call: String, _ statuses: KeychainStatus...) {
        for status in statuses { keychain.next(call, status) }
    }

    /// Another finger was enrolled, or the passcode was removed.
    func invalidate() {
        for account in keychain.values.keys { _ = keychain.delete(account) }
    }

    func add(_ account: String, _ value: Data) -> KeychainStatus {
        // The caller's bytes are gone after the call.
        keychain.add(account, Data(Array(value)))
    }

    func load(_ account: String, asking prompt: any UserPrompt) -> (KeychainStatus, Data?) {
        guarding.withLock { questions += 1 }
        (prompt as? Answered)?.meanwhile()
        if let prompt = prompt as? Unanswered {
            prompt.shown.fulfill()
            prompt.takenBack.wait()
            return (.userCanceled, nil)
        }
        return keychain.load(account)
    }

    func delete(_ account: String) -> KeychainStatus { keychain.delete(account) }
}

private struct Answered: UserPrompt {
    var meanwhile: @Sendable () -> Void = {}

    func cancel() {}
}

/// A prompt that nobody answers.
private final class Unanswered: UserPrompt, @unchecked Sendable {
    let shown = XCTestExpectation(description: "the prompt is shown")
    let takenBack = DispatchSemaphore(value: 0)

    func cancel() { takenBack.signal() }
}

/// In place of AES-GCM, which is not on this platform: it hides nothing, and opens only what was sealed with the same key for the same account.
private struct Envelope: Sealing {
    func seal(_ value: Data, key: SecretBytes, associated: Data) throws -> Data { mark(key, associated) + value }

    func open(_ sealed: Data, key: SecretBytes, associated: Data) throws -> Data {
        guard sealed.starts(with: mark(key, associated)) else { throw StorageError(.transient) }
        return Data(sealed.dropFirst(mark(key, associated).count))
    }

    private func mark(_ key: SecretBytes, _ associated: Data) -> Data { key.withUnsafeBytes { Data($0.prefix(4)) } + associated }
}

/// Storages that were unlocked before they are needed, because unlocking waits for a user.
private final class Unlocked: @unchecked Sendable {
    private let guarding = NSLock()
    private var storages: [BiometricStorage]

    init(_ storages: [BiometricStorage]) { self.storages = storages }

    func next() throws -> BiometricStorage {
        try guarding.withLock {
            guard let storage = storages.popLast() else { throw StorageError(.needsUser) }
            return storage
        }
    }
}

final class BiometricStorageTests: XCTestCase {
    private let keychain = FakeKeychain()
    private let bound = FakeBoundItems()
    private lazy var storage = another()
    private let value = Data("a session".utf8)

    private let waiting = Waiting()

    private func another() -> BiometricStorage {
        BiometricStorage(
            keychain: keychain, bound: bound, sealing: Envelope(), elapsed: { [waiting] in waiting.elapsed },
            later: { [waiting] in waiting.add($1) })
    }

    /// What is to be done a minute later.
    private final class Waiting: @unchecked Sendable {
        private let guarding = NSLock()
        private var works: [@Sendable () -> Void] = []
        private var now: TimeInterval = 0
        var elapsed: TimeInterval { guarding.withLock { now } }

        /// As in a process that the system has stopped.
        func sleep() { guarding.withLock { now += 60 } }

        func add(_ work: @escaping @Sendable () -> Void) { guarding.withLock { works.append(work) } }

        func pass() {
            let due = guarding.withLock {
                now += 60
                defer { works = [] }
                return works
            }
            for work in due { work() }
        }
    }

    private func problem<T>(_ call: () async throws -> T) async -> StorageProblem? {
        do {
            XCTFail("gave \(try await call())")
            return nil
        } catch {
            return (error as? StorageError)?.problem
        }
    }

    func testMakingOneAsksNobodyAndSaysNothing() {
        XCTAssertFalse(storage.isUnlocked)
        XCTAssertEqual(keychain.calls, [])
        XCTAssertEqual(bound.asked, 0)
        XCTAssertEqual("\(storage)", "BiometricStorage")
    }

    func testOnlyWhileItIsUnlocked() async throws {
        let early = await problem { try self.storage.store(key: "session.a", value: self.value) }
        XCTAssertEqual(early, .needsUser)
        XCTAssertNil(try storage.load(key: "session.a"), "what is not there is absent, locked or not")

        try await storage.unlock(asking: Answered())
        try await storage.unlock(asking: Answered())
        XCTAssertEqual(bound.asked, 1)
        try storage.store(key: "session.a", value: value)
        XCTAssertEqual(try storage.load(key: "session.a"), value)

        storage.lock()
        storage.lock()
        waiting.pass()
        let late = await problem { try self.storage.load(key: "session.a") }
        XCTAssertEqual(late, .needsUser)
        let later = await problem { try self.storage.store(key: "session.a", value: self.value) }
        XCTAssertEqual(later, .needsUser)
        XCTAssertEqual(try storage.keys(), ["session.a"])

        let nextLaunch = another()
        try await nextLaunch.unlock(asking: Answered())
        XCTAssertEqual(try nextLaunch.load(key: "session.a"), value)
        nextLaunch.lock()
        try nextLaunch.delete(key: "session.a")
        XCTAssertNil(try nextLaunch.load(key: "session.a"))
    }

    func testItKeepsTheContractOfAStorageWhileItIsUnlocked() async throws {
        var storages: [BiometricStorage] = []
        for _ in 0..<20 {
            let storage = another()
            try await storage.unlock(asking: Answered())
            storages.append(storage)
        }
        let unlocked = Unlocked(storages)
        let report = try StorageContract.check { try unlocked.next() }
        XCTAssertEqual(report.kept, StorageRule.allCases)
        XCTAssertEqual(Array(keychain.values.keys), ["_bound"])
    }

    func testAChangeOfWhatIsEnrolledIsDestroyedAndNotAbsent() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        bound.invalidate()
        let nextLaunch = another()
        let destroyed = await problem { try await nextLaunch.unlock(asking: Answered()) }
        XCTAssertEqual(destroyed, .keyDestroyed)
        XCTAssertTrue(keychain.values.keys.contains("session.a"), "nothing is deleted for that")
        let told = await problem { try nextLaunch.load(key: "session.a") }
        XCTAssertEqual(told, .keyDestroyed, "and everything says it from then on")

        try await nextLaunch.renew(asking: Answered())
        let old = await problem { try nextLaunch.load(key: "session.a") }
        XCTAssertEqual(old, .keyDestroyed)
        try nextLaunch.store(key: "session.a", value: Data("anew".utf8))
        XCTAssertEqual(try nextLaunch.load(key: "session.a"), Data("anew".utf8))
        XCTAssertEqual(bound.values.count, 1)
    }

    func testWhatTheUserDoesHasItsReasonAndMakesNothing() async throws {
        let answers: [KeychainStatus: StorageProblem] = [
            .userCanceled: .userCancelled, .authFailed: .needsUser, .interactionRequired: .needsUser, .interactionNotAllowed: .locked,
            KeychainStatus(rawValue: -50): .transient,
        ]
        for (status, expected) in answers {
            bound.next("load", status)
            let first = await problem { try await self.storage.unlock(asking: Answered()) }
            XCTAssertEqual(first, expected)
            XCTAssertFalse(storage.isUnlocked)
            XCTAssertEqual(bound.values.count, 0, "a key that nobody agreed to is not left behind")
            XCTAssertEqual(keychain.values.count, 0)
        }
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        storage.lock()
        let before = (bound.values, keychain.values)
        for (status, expected) in answers {
            bound.next("load", status)
            let later = await problem { try await self.storage.unlock(asking: Answered()) }
            XCTAssertEqual(later, expected)
            XCTAssertEqual(bound.values, before.0)
            XCTAssertEqual(keychain.values, before.1)
        }
    }

    func testAKeyIsMadeOnlyIfThereCertainlyIsNone() async throws {
        for status in [KeychainStatus.interactionNotAllowed, .missingEntitlement, KeychainStatus(rawValue: -2070)] {
            keychain.next("load", status)
            let unsure = await problem { try await self.storage.unlock(asking: Answered()) }
            XCTAssertEqual(unsure, status.problem)
            XCTAssertEqual(bound.values.count, 0)
        }
        // What says that there is one could not be written: then there is none.
        keychain.next("add", KeychainStatus(rawValue: -34))
        let full = await problem { try await self.storage.unlock(asking: Answered()) }
        XCTAssertEqual(full, .transient)
        XCTAssertFalse(storage.isUnlocked)
        XCTAssertEqual(bound.values.count, 0)
    }

    func testAnotherProcessThatRenewsIsNoticed() async throws {
        try await storage.unlock(asking: Answered())
        let other = another()
        try await other.renew(asking: Answered())
        let stale = await problem { try self.storage.store(key: "session.a", value: self.value) }
        XCTAssertEqual(stale, .needsUser, "nothing is sealed with a key that is no more")
        try other.store(key: "session.a", value: value)
        let unread = await problem { try self.storage.load(key: "session.a") }
        XCTAssertEqual(unread, .needsUser)
        try await storage.unlock(asking: Answered())
        XCTAssertEqual(try storage.load(key: "session.a"), value)
    }

    func testWhatWasMovedOrDamagedIsCorrupt() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        let sealed = try XCTUnwrap(keychain.values["session.a"])
        for (name, damaged, expected) in [
            ("moved", sealed, StorageProblem.corrupt), ("cut", sealed.prefix(20), .corrupt), ("empty", Data(), .corrupt),
            ("newer", Data([2]) + sealed.dropFirst(), .newerVersion), ("older", Data([0]) + sealed.dropFirst(), .corrupt),
            ("another key's", sealed.prefix(1) + Data(repeating: 7, count: 16) + sealed.dropFirst(17), .keyMissing),
        ] {
            keychain.put("session.b", damaged)
            let found = await problem { try self.storage.load(key: "session.b") }
            XCTAssertEqual(found, expected, name)
        }
        for (companion, expected) in [(Data(), StorageProblem.corrupt), (Data([1, 2]), .corrupt), (Data([9]), .newerVersion)] {
            keychain.put("_bound", companion)
            let found = await problem { try await self.another().unlock(asking: Answered()) }
            XCTAssertEqual(found, expected)
        }
    }

    /// Changing any of these signs everybody out.
    func testWhatVersion01HasWrittenIsReadByEveryLaterOne() async throws {
        XCTAssertEqual(
            [Service.sessions, Service.biometric, Service.keys, Service.key(of: Service.biometric)],
            ["org.directauth.sessions", "org.directauth.biometric", "org.directauth.keys", "org.directauth.biometric.key"])
        let name = Data((1...16).map(UInt8.init))
        keychain.put("_bound", Data([1]) + name)
        XCTAssertEqual(bound.add("_key.0102030405060708090a0b0c0d0e0f10", Data(repeating: 9, count: 32)), .success)
        // The key's first bytes and what is authenticated stand for the sealing here.
        let associated = Data([1]) + name + Data("session.a".utf8)
        keychain.put("session.a", Data([1]) + name + Data(repeating: 9, count: 4) + associated + value)
        try await storage.unlock(asking: Answered())
        XCTAssertEqual(try storage.load(key: "session.a"), value)
    }

    func testWhatARefreshStillHasToWriteIsWrittenAfterItWasLockedAndNothingElse() async throws {
        try await storage.unlock(asking: Answered())
        for account in ["session.a", "session.b", "counter"] { try storage.store(key: account, value: value) }
        let other = another()
        try await other.unlock(asking: Answered())
        XCTAssertEqual(try other.load(key: "session.a"), value)
        XCTAssertEqual(try other.load(key: "counter"), value)
        other.lock()
        for account in ["session.b", "counter"] {
            let refused = await problem { try other.load(key: account) }
            XCTAssertEqual(refused, .needsUser, "what it has not had before, or what is no session")
        }
        for account in ["session.new", "counter"] {
            let refused = await problem { try other.store(key: account, value: self.value) }
            XCTAssertEqual(refused, .needsUser)
        }
        // As a refresh does: a look, the write, and its reading back.
        XCTAssertEqual(try other.load(key: "session.a"), value)
        try other.store(key: "session.a", value: Data("rotated".utf8))
        XCTAssertEqual(try other.load(key: "session.a"), Data("rotated".utf8))
        try storage.store(key: "session.a", value: Data("another one's".utf8))
        let changed = await problem { try other.load(key: "session.a") }
        XCTAssertEqual(changed, .needsUser, "what another has changed")
        waiting.sleep()
        let over = await problem { try other.store(key: "session.a", value: self.value) }
        XCTAssertEqual(over, .needsUser, "also if nothing woke this process in time")

        storage.lock()
        try await storage.unlock(asking: Answered())
        waiting.pass()
        XCTAssertTrue(storage.isUnlocked, "opened before the minute was over, it stays open")
    }

    func testAKeyThatWasDestroyedSaysNothingOfTheNextOne() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        bound.invalidate()
        let (first, second) = (another(), another())
        let destroyed = await problem { try await first.unlock(asking: Answered()) }
        XCTAssertEqual(destroyed, .keyDestroyed)
        try await second.renew(asking: Answered())
        try second.store(key: "session.b", value: value)
        let old = await problem { try first.load(key: "session.a") }
        let new = await problem { try first.load(key: "session.b") }
        XCTAssertEqual([old, new], [.keyDestroyed, .needsUser])
    }

    func testWhatNobodyKnowsAnyMoreWasGivenUpByARenewal() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        keychain.put("_bound", Data([1, 2, 3]))
        for status in [KeychainStatus.interactionNotAllowed, KeychainStatus(rawValue: -50)] {
            keychain.next("load", status)
            let unsure = await problem { try await self.storage.renew(asking: Answered()) }
            XCTAssertEqual(unsure, status.problem)
        }
        try await storage.renew(asking: Answered())
        let old = await problem { try self.storage.load(key: "session.a") }
        XCTAssertEqual(old, .keyDestroyed)
        // Also after more renewals than names are kept.
        try storage.store(key: "session.b", value: value)
        for _ in 0..<20 { try await storage.renew(asking: Answered()) }
        let older = await problem { try self.storage.load(key: "session.b") }
        XCTAssertEqual(older, .keyDestroyed)
    }

    func testACancelledUnlockClosesNothingThatWasOpenBefore() async throws {
        try await storage.unlock(asking: Answered())
        let task = Task { [storage] in
            withUnsafeCurrentTask { $0?.cancel() }
            try await storage.unlock(asking: Answered())
        }
        _ = await task.result
        XCTAssertTrue(storage.isUnlocked)
    }

    func testTwoThatUnlockForTheFirstTimeHaveOneKey() async throws {
        let other = another()
        // The other one is there between this one's look and its write.
        try await storage.unlock(
            asking: Answered(meanwhile: { [bound] in
                guard bound.asked == 1 else { return }
                let done = DispatchSemaphore(value: 0)
                Task.detached {
                    try? await other.unlock(asking: Answered())
                    done.signal()
                }
                done.wait()
            }))
        XCTAssertTrue(storage.isUnlocked && other.isUnlocked)
        XCTAssertEqual(bound.values.count, 1)
        try storage.store(key: "session.a", value: value)
        XCTAssertEqual(try other.load(key: "session.a"), value)
    }

    func testAKeyIsNotMadeAnewWhereThereAreRecords() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        _ = keychain.delete("_bound")
        let lost = await problem { try await self.another().unlock(asking: Answered()) }
        XCTAssertEqual(lost, .keyMissing)
        XCTAssertEqual(bound.values.count, 1)
    }

    func testANameThatWasWrittenThoughAnErrorCameKeepsItsKey() async throws {
        try await storage.unlock(asking: Answered())
        // The keychain does it, and says that it has not.
        keychain.failAfter("update", KeychainStatus(rawValue: -36))
        try await storage.renew(asking: Answered())
        try storage.store(key: "session.a", value: value)
        let nextLaunch = another()
        try await nextLaunch.unlock(asking: Answered())
        XCTAssertEqual(try nextLaunch.load(key: "session.a"), value)
    }

    func testWhoWaitsBehindAnotherPromptCanGiveUp() async throws {
        let prompt = Unanswered()
        let first = Task { [storage] in try await storage.unlock(asking: prompt) }
        await fulfillment(of: [prompt.shown], timeout: 60)
        let second = Task { [storage] in try await storage.unlock(asking: Answered()) }
        second.cancel()
        do {
            try await second.value
            XCTFail("unlocked")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        first.cancel()
        _ = await first.result
        XCTAssertEqual(bound.asked, 1, "nobody is asked for who has given up")
    }

    #if canImport(CryptoKit)
        func testSealedByAesGcm() throws {
            let key = SecretBytes(Data(repeating: 9, count: 32))
            let sealed = try AesGcm().seal(value, key: key, associated: Data([1]))
            XCTAssertEqual(sealed.count, 12 + value.count + 16)
            XCTAssertEqual(try AesGcm().open(sealed, key: key, associated: Data([1])), value)
            XCTAssertThrowsError(try AesGcm().open(sealed, key: key, associated: Data([2])))
        }
    #endif

    func testWhatIsLockedWhileTheUserIsAskedStaysLocked() async throws {
        try await storage.unlock(asking: Answered())
        try storage.store(key: "session.a", value: value)
        storage.lock()
        let late = await problem { [storage] in try await storage.unlock(asking: Answered(meanwhile: { storage.lock() })) }
        XCTAssertEqual(late, .needsUser)
        XCTAssertFalse(storage.isUnlocked)
        try await storage.unlock(asking: Answered())
        XCTAssertEqual(try storage.load(key: "session.a"), value)
    }

    func testACancelledTaskTakesThePromptAway() async throws {
        let prompt = Unanswered()
        let task = Task { [storage] in try await storage.unlock(asking: prompt) }
        await fulfillment(of: [prompt.shown], timeout: 60)
        task.cancel()
        do {
            try await task.value
            XCTFail("unlocked")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        XCTAssertFalse(storage.isUnlocked)
        // What it had made is gone when the next one has its turn.
        try await storage.unlock(asking: Answered())
        XCTAssertEqual(bound.values.count, 1)
    }
}
