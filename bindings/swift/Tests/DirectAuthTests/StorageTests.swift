import DirectAuth
import DirectAuthTesting
import XCTest

/// A storage that fails in every way it can. Nothing is lost by any of them, and nothing secret shows.
final class StorageTests: LibraryTestCase {
    /// Works until it is told to do something else.
    private final class Faulty: SecureStorage {
        let inner: MemoryStorage
        let onLoad = Shared<@Sendable () throws -> Void>({})
        let onStore = Shared<@Sendable () throws -> Void>({})

        init(_ inner: MemoryStorage = MemoryStorage()) {
            self.inner = inner
        }

        func load(key: String) throws -> Data? {
            try onLoad.value()
            return try inner.load(key: key)
        }

        func store(key: String, value: Data) throws {
            try onStore.value()
            try inner.store(key: key, value: value)
        }

        func delete(key: String) throws { try inner.delete(key: key) }

        func keys() throws -> [String] { try inner.keys() }
    }

    func testEachTypedFailureIsToldAsItIsAndWhetherItIsTemporary() async throws {
        let desk = try await Desk()
        _ = try await desk.bensSession(desk.client("first"))
        for problem in StorageProblem.allCases where problem != .newerVersion {
            let auth = desk.client("process of \(problem)")
            desk.storage.problem = problem
            let error = await authErrorOf(try await desk.waiting { try await auth.restore() })
            guard case .storageUnavailable(let reason, _)? = error else { return XCTFail("\(String(describing: error))") }
            XCTAssertEqual(reason, problem)
            XCTAssertEqual(error?.isRetryable, problem.isTemporary)
            XCTAssertEqual(error?.remedy, problem.isTemporary ? .unlock : .contactSupport)
            await assertState(of: auth, becomes: .unavailable(problem))
            desk.storage.problem = nil
            auth.notifyForeground()
            try await eventually("signed in again after \(problem)") { if case .signedIn = auth.state { true } else { false } }
        }
    }

    func testS3WhatIsThrownUndeclaredCountsAsTransientAndNobodyAsksForItsText() async throws {
        let desk = try await Desk()
        _ = try await desk.bensSession(desk.client("first"))
        let faulty = Faulty(desk.storage)
        let auth = desk.client { $0.storage = faulty }
        let asked = Undeclared.asked.value
        faulty.onLoad.value = { throw Undeclared() }
        let error = await authErrorOf(try await desk.waiting { try await auth.restore() })
        guard case .storageUnavailable(.transient, _)? = error else { return XCTFail("\(String(describing: error))") }
        XCTAssertFalse(everyText(of: error as Any).contains("hunter2"))
        // And it is no empty storage, and no write that has succeeded.
        faulty.onLoad.value = {}
        let restored = try await desk.waiting { try await auth.restore() }
        XCTAssertNotNil(restored)
        faulty.onStore.value = { throw Undeclared() }
        let before = try await desk.requests("token")
        let refused = await authErrorOf(try await desk.waiting { try await auth.signIn(ben).password(bensPassword) })
        guard case .storageUnavailable(.transient, _)? = refused else { return XCTFail("\(String(describing: refused))") }
        let after = try await desk.requests("token")
        XCTAssertEqual(after, before, "no password was sent")
        XCTAssertEqual(Undeclared.asked.value, asked, "nobody asks for the text of what was thrown")
    }

    func testASignInWhoseSessionCannotBeStoredIsRefusedOrKeptInMemoryIfTheAppSaysSo() async throws {
        let desk = try await Desk()
        desk.storage.writeProblem = .transient
        let refuses = desk.client("refuses")
        let error = await authErrorOf(try await desk.waiting { try await refuses.signIn(ben).password(bensPassword) })
        guard case .storageUnavailable? = error else { return XCTFail("\(String(describing: error))") }
        let session = try await desk.bensSession(desk.client("keeps") { $0.whenStorageFails = .keepInMemory })
        XCTAssertFalse(session.isPersisted)
        let token = try await session.accessToken()
        XCTAssertFalse(token.isEmpty)
    }

    func testAStorageThatBlocksIsGivenUpAfterItsTimeAndTheSessionIsStillThereLater() async throws {
        let emulator = try await RealEmulator.tenant()
        let faulty = Faulty()
        _ = try await emulator.client { $0.storage = faulty }.signIn(ben).password(bensPassword).asSession()
        // What the first client knows in memory, a client with another storage object does not.
        let other = Faulty(faulty.inner)
        other.onLoad.value = { Thread.sleep(forTimeInterval: 3) }
        let auth = emulator.client {
            $0.storage = other
            $0.storageCallDeadline = 0.2
        }
        let began = Date()
        let error = await authErrorOf(try await auth.restore())
        guard case .storageUnavailable(.transient, _)? = error else { return XCTFail("\(String(describing: error))") }
        XCTAssertLessThan(Date().timeIntervalSince(began), 2.5)
        other.onLoad.value = {}
        let restored = try await auth.restore()
        XCTAssertNotNil(restored)
    }

    func testAStorageMayCallBackIntoTheClient() async throws {
        let desk = try await Desk()
        let (calls, answers) = (Shared(0), Shared(0))
        let faulty = Faulty()
        let auth = desk.client { $0.storage = faulty }
        faulty.onStore.value = { [weak auth] in
            guard let auth else { return }
            _ = auth.state
            guard calls.change({ $0 += 1; return $0 <= 3 }) else { return }
            let done = DispatchSemaphore(value: 0)
            Task.detached {
                if (try? await auth.sessions()) != nil { answers.change { $0 += 1 } }
                done.signal()
            }
            done.wait()
        }
        _ = try await desk.bensSession(auth)
        XCTAssertEqual(answers.value, min(3, calls.value), "each got its answer")
        XCTAssertGreaterThan(answers.value, 0)
        let names = try await auth.sessions().map(\.username)
        XCTAssertEqual(names, [ben])
    }
}
