import DirectAuthTestCore
import DirectAuthTesting
import XCTest

@testable import DirectAuth

/// Sinks, headers, keys, locks, panics, tasks and the lives of objects.
final class SeamsTests: LibraryTestCase {
    private struct Sink: AuditSink, LogSink {
        let events = Shared<[AuditEvent]>([])
        let lines = Shared<[String]>([])
        var failures = 0

        func record(_ event: AuditEvent) throws {
            let count = events.change { $0.append(event); return $0.count }
            if count <= failures { throw Undeclared() }
        }

        func log(_ level: LogLevel, _ line: String) throws {
            let count = lines.change { $0.append("\(level) \(line)"); return $0.count }
            if count % 2 == 0 { throw Undeclared() }
        }
    }

    func testASinkThatThrowsFailsNoSignInAndTheNextEventCountsWhatWasLost() async throws {
        let desk = try await Desk()
        let sink = Sink(failures: 2)
        _ = try await desk.bensSession(desk.client { $0.auditSink = sink })
        try await eventually("a third event") { sink.events.value.count > 2 }
        XCTAssertEqual(sink.events.value[2].droppedBefore, 2)
    }

    func testEventsAreToldToWhoeverListens() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let kinds = Shared<[AuditKind]>([])
        // Nothing is built yet, and nobody iterates: what happens from now on is told all the same.
        let events = auth.events
        _ = await authErrorOf(try await desk.waiting { try await auth.signIn(ben).password("wrong") })
        let late = auth.events
        let session = try await desk.bensSession(auth)
        let listening = Task { for await event in events { kinds.change { $0.append(event.kind) } } }
        try await eventually("a session") { kinds.value.contains(.sessionStarted(sessionID: session.id)) }
        listening.cancel()
        await listening.value
        XCTAssertEqual(kinds.value.filter { $0 == .attemptStarted(.password) }.count, 2, "\(kinds.value)")
        var lateKinds: [AuditKind] = []
        for await event in late {
            lateKinds.append(event.kind)
            if case .sessionStarted = event.kind { break }
        }
        XCTAssertEqual(lateKinds.filter { $0 == .attemptStarted(.password) }.count, 1, "\(lateKinds)")
        XCTAssertTrue(kinds.value.contains { if case .attemptFinished(_, "Refused", _, _, _, _) = $0 { true } else { false } })
        XCTAssertFalse(everyText(of: kinds.value).contains(ben))
    }

    func testLogLinesComeWithoutSecretsAndASinkThatThrowsIsLeftAlone() async throws {
        let desk = try await Desk()
        let sink = Sink()
        DirectAuthLog.setSink(sink)
        let session = try await desk.bensSession(desk.client())
        try await eventually("two lines") { sink.lines.value.count >= 2 }
        DirectAuthLog.setSink(nil)
        let token = try await session.accessToken()
        for secret in [bensPassword, ben, token, desk.world.lastRefreshToken(), "hunter2"] {
            XCTAssertFalse(sink.lines.value.contains { $0.contains(secret) }, "nothing secret in a log line")
        }
    }

    private struct Headers: HeaderProvider {
        let asked = Shared<[String]>([])
        var fails = false

        func headers(method: String, path: String) throws -> [String: String] {
            asked.change { $0.append("\(method) \(path)") }
            if fails { throw Undeclared() }
            return ["x-shield": "ok"]
        }
    }

    func testHeadersOfTheAppAreSentAndAProviderThatThrowsCostsAnEventAndNoSignIn() async throws {
        let desk = try await Desk()
        let headers = Headers()
        _ = try await desk.bensSession(desk.client { $0.headerProvider = headers })
        XCTAssertTrue(headers.asked.value.contains { $0.hasPrefix("POST ") && $0.hasSuffix("/v1/token") })
        let request = try await desk.emulator.journal().last { $0.operation == "token" }
        XCTAssertTrue(try XCTUnwrap(request).json.contains("x-shield"))

        let sink = Sink()
        let other = desk.client("other") {
            $0.headerProvider = Headers(fails: true)
            $0.auditSink = sink
        }
        _ = try await desk.bensSession(other)
        try await eventually("an event") {
            sink.events.value.contains { $0.kind == .security(.headerProviderFailed(.failed)) }
        }
    }

    private final class FailingKeys: SigningKey {
        let error: any Error

        init(_ error: any Error) {
            self.error = error
        }

        func create(name: String) throws -> Data { throw error }

        func publicKey(name: String) throws -> Data { throw error }

        func sign(name: String, message: Data) throws -> Data { throw error }

        func delete(name: String) {}
    }

    func testAKeyThatCannotBeUsedIsToldByItsReason() async throws {
        let desk = try await Desk()
        let failures: [(any Error, KeyProblem)] =
            [KeyProblem.locked, .needsUser, .userCancelled, .transient].map { (KeyError($0), $0) } + [(Undeclared(), .transient)]
        for (thrown, problem) in failures {
            let auth = desk.client("\(problem) \(type(of: thrown))") {
                $0.dpop = .required
                $0.signingKey = FailingKeys(thrown)
            }
            let error = await authErrorOf(try await desk.waiting { try await auth.signIn(ben).password(bensPassword) })
            guard case .keyUnavailable(let reason, _)? = error else { return XCTFail("\(String(describing: error))") }
            XCTAssertEqual(reason, problem)
            XCTAssertEqual(error?.isRetryable, true)
        }
        // A device without such keys gets one in software.
        let session = try await desk.bensSession(
            desk.client("software") {
                $0.dpop = .required
                $0.signingKey = FailingKeys(KeyError(.unsupported))
            })
        XCTAssertTrue(session.isDPoPBound)
    }

    private final class Lock: CrossProcessLock {
        let error = Shared<(any Error)?>(nil)

        func acquire(timeout: TimeInterval) throws { if let error = error.value { throw error } }

        func release() throws { if error.value is Undeclared { throw Undeclared() } }

        func isStillHeld() -> Bool { true }
    }

    func testALockThatCannotBeTakenStopsTheRefreshAndNotTheSession() async throws {
        let desk = try await Desk()
        let lock = Lock()
        let session = try await desk.bensSession(desk.client { $0.crossProcessLock = lock })
        let failures: [any Error & Sendable] = [LockError.timedOut, LockError.failed, Undeclared()]
        for failure in failures {
            lock.error.value = failure
            let error = await authErrorOf(try await desk.waiting { try await session.refresh() })
            guard case .storageUnavailable? = error else { return XCTFail("\(String(describing: error))") }
        }
        lock.error.value = nil
        desk.world.advance(by: 120)
        try await desk.waiting { try await session.refresh() }
    }

    func testAPanicArrivesAsAnErrorWithoutItsTextAndTheProcessLives() async throws {
        let defects = TestDefects()
        let errors = [await errorOf(try await defects.panic()), await errorOf(try defects.panicNow())]
        for error in errors {
            guard let error = error as? CoreError, case .internal = error else { return XCTFail("\(String(describing: error))") }
            XCTAssertFalse(everyText(of: error).contains("hunter2"))
            guard case AuthError.internal? = forApp(error) as? AuthError else { return XCTFail("\(error)") }
        }
        let desk = try await Desk()
        _ = try await desk.bensSession(desk.client())
    }

    func testS1ErrorsHaveCasesWithASmallLetter() {
        // Without the patch this does not compile.
        let errors: [any Error] = [
            CoreStorageError.locked, CoreKeyError.missing, CoreLockError.timedOut, WorldException.stuck,
        ]
        XCTAssertEqual(errors.map { String(describing: $0) }, ["locked", "missing", "timedOut", "stuck"])
    }

    func testTenTasksAtOnceGetWhatOneGets() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        let session = try await desk.bensSession(auth)
        try await session.refresh()
        let before = try await desk.requests("token")
        let tokens = try await withThrowingTaskGroup(of: Set<String>.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    var tokens: Set<String> = []
                    for _ in 0..<20 {
                        tokens.insert(try await session.accessToken())
                        let found = try await auth.restore()
                        XCTAssertEqual(found?.id, session.id)
                        XCTAssertEqual(found?.claims?.subject, session.claims?.subject)
                    }
                    return tokens
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.formUnion($1) }
        }
        XCTAssertEqual(tokens.count, 1)
        let after = try await desk.requests("token")
        XCTAssertEqual(after, before)
    }

    func testWrongOptionsAreToldByTheFirstCallWithWhatToChange() async throws {
        let desk = try await Desk()
        let auth = desk.client { $0.additionalParameters = ["scope": "x"] }
        for _ in 0..<2 {
            let error = await authErrorOf(try await auth.warmUp())
            guard case .configuration(let what, _)? = error else { return XCTFail("\(String(describing: error))") }
            XCTAssertTrue(what.contains("scope"), what)
            XCTAssertEqual(error?.remedy, .fixConfiguration)
        }
        await assertState(of: auth, becomes: .signedOut)
        auth.notifyForeground()
        let events = await auth.events.first { _ in true }
        XCTAssertNil(events)
    }

    func testWhatIsNoLengthOfTimeIsRefusedAndEndsNoProcess() async throws {
        let desk = try await Desk()
        let session = try await desk.bensSession(desk.client())
        for seconds in [-1, .nan, .infinity, 1e300] {
            let auth = desk.client()
            var errors = [
                await authErrorOf(try await auth.signIn(ben, maxAge: seconds).password(bensPassword)),
                await authErrorOf(try await session.stepUp(maxAge: seconds).password(bensPassword)),
            ]
            let options: [WritableKeyPath<DirectAuthOptions, TimeInterval?>] =
                [\.connectTimeout, \.requestTimeout, \.storageCallDeadline, \.keyCallDeadline]
            for option in options {
                errors.append(await authErrorOf(try await desk.client { $0[keyPath: option] = seconds }.warmUp()))
            }
            for error in errors {
                guard case .configuration? = error else { return XCTFail("\(seconds): \(String(describing: error))") }
            }
        }
    }

    func testWhatIsEndedTwiceOrEarlyEndsOnce() async throws {
        let desk = try await Desk()
        var auth: DirectAuthClient? = desk.client()
        let signIn = try XCTUnwrap(auth).signIn(ana)
        let choice = try await desk.waiting { try await signIn.password(anasPassword) }.asChooseFactor()
        let push = try await desk.waiting { try await choice.push() }.asApproveOnDevice()
        for _ in 0..<2 {
            push.cancel()
            choice.cancel()
        }
        let error = await authErrorOf(try await desk.waiting { try await push.approved() })
        guard case .cancelled? = error else { return XCTFail("\(String(describing: error))") }
        // Steps, sessions and streams outlive their client, and it them.
        let other = try XCTUnwrap(auth)
        let states = other.states
        let session = try await desk.bensSession(other)
        _ = try await desk.waiting { try await session.signOut() }
        let again = await authErrorOf(try await desk.waiting { try await session.signOut() })
        guard case .sessionEnded? = again else { return XCTFail("\(String(describing: again))") }
        let listening = Task { for await _ in states {} }
        listening.cancel()
        await listening.value
        auth = nil
        let late = await authErrorOf(try await desk.waiting { try await choice.sms() })
        guard case .cancelled? = late else { return XCTFail("\(String(describing: late))") }
    }

    func testTheStateIsShownBeforeTheCallThatLedToItReturns() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        await assertState(of: auth, becomes: .signedOut)
        for _ in 0..<10 {
            let session = try await desk.bensSession(auth)
            XCTAssertEqual(auth.state, .signedIn(session))
            try await desk.waiting { _ = try await session.signOut() }
            XCTAssertEqual(auth.state, .signedOut)
        }
    }

    func testStatesBeginWithThatOfNowAndEndWithTheNewest() async throws {
        let desk = try await Desk()
        let auth = desk.client()
        await assertState(of: auth, becomes: .signedOut)
        let seen = Shared<[AuthState]>([])
        let states = auth.states
        let listening = Task { for await state in states { seen.change { $0.append(state) } } }
        try await eventually("the state of now") { seen.value == [.signedOut] }
        let session = try await desk.bensSession(auth)
        try await eventually("signed in") { seen.value.last == .signedIn(session) }
        listening.cancel()
        await listening.value
    }

    func testAClientThatNobodyHoldsEndsItsStatesAndASessionGoesOn() async throws {
        let desk = try await Desk()
        var auth: DirectAuthClient? = desk.client()
        weak var gone = auth
        let session = try await desk.bensSession(XCTUnwrap(auth))
        let states = try XCTUnwrap(auth?.states)
        let events = try XCTUnwrap(auth?.events)
        let statesEnd = Task { for await _ in states {} }
        let eventsEnd = Task { for await _ in events {} }
        try await Task.sleep(nanoseconds: 20_000_000)
        auth = nil
        XCTAssertNil(gone)
        await statesEnd.value
        let token = try await session.accessToken()
        XCTAssertFalse(token.isEmpty)
        eventsEnd.cancel()
        await eventsEnd.value
    }
}
