import DirectAuthAPI
import DirectAuthTesting
import XCTest

/// What the fake shares with the real thing beyond its steps: who may act when, and how a sign-in and a session end.
final class FakeTests: XCTestCase {
    func testAStepTakesOneActionAtATimeAndNoneAfterItHasSucceeded() async throws {
        let auth = FakeDirectAuth(.passwordThenPush())
        let push = try await prompt(auth)
        auth.hold("approved")
        let waiting = Task { try await push.approved() }
        await until { auth.waiting == ["approved"] }
        let meanwhile = await error { _ = try await push.resend() }
        XCTAssertEqual(meanwhile, "busy")
        auth.release()
        guard case .signedIn = try await waiting.value else { return XCTFail("not signed in") }
        let again = await error { _ = try await push.approved() }
        XCTAssertEqual(again, "busy")
    }

    func testACancelledSignInEndsWhoeverWaitsInIt() async throws {
        let auth = FakeDirectAuth(.passwordThenPush())
        let push = try await prompt(auth)
        let choice = try XCTUnwrap(push.choice)
        auth.hold()
        let waiting = Task { await error { _ = try await push.approved() } }
        await until { auth.waiting == ["approved"] }
        choice.cancel()
        let (first, second) = (await waiting.value, await error { _ = try await choice.push() })
        XCTAssertEqual(first, "cancelled")
        XCTAssertEqual(second, "cancelled")
        XCTAssertEqual(auth.actions, ["signIn.password", "choose.push"])
        XCTAssertEqual(auth.state, .signedOut)
    }

    func testACancelledTaskThatWaitsThrowsAndLeavesTheStepUsable() async throws {
        let auth = FakeDirectAuth(.passwordThenPush())
        let push = try await prompt(auth)
        auth.hold("approved")
        let waiting = Task { try await push.approved() }
        await until { auth.waiting == ["approved"] }
        waiting.cancel()
        do {
            _ = try await waiting.value
            XCTFail("no error")
        } catch is CancellationError {}
        auth.release()
        guard case .signedIn = try await push.approved() else { return XCTFail("not signed in") }
    }

    func testTheFifthWrongCodeEndsTheStep() async throws {
        let auth = FakeDirectAuth(.passwordThenSms())
        guard case .chooseFactor(let choice) = try await auth.signIn("ana@example.com").password("anything"),
            case .enterCode(let enter) = try await choice.sms()
        else { return XCTFail("no code is asked for") }
        var errors: [String] = []
        for _ in 1...5 { errors.append(await error { _ = try await enter.submit("000000") }) }
        XCTAssertEqual(errors, ["rejected", "rejected", "rejected", "rejected", "tooManyAttempts"])
        XCTAssertEqual(enter.attemptsLeft, 0)
        let right = await error { _ = try await enter.submit("123456") }
        XCTAssertEqual(right, "busy")
        XCTAssertEqual(auth.state, .signedOut)
    }

    func testAPromptThatWasDeclinedIsNotWaitedForAgainAndAnotherFactorIs() async throws {
        let auth = FakeDirectAuth(.declinedPushThenSms())
        let push = try await prompt(auth)
        let declined = await error { _ = try await push.approved() }
        let again = await error { _ = try await push.approved() }
        XCTAssertEqual([declined, again], ["declined", "busy"])
        guard case .enterCode(let enter)? = try await push.choice?.sms(), case .signedIn = try await enter.submit("123456") else {
            return XCTFail("not signed in")
        }
    }

    func testAChallengeIsAnsweredOnce() async throws {
        let journey = #"""
            {"id":"x","calls":[
              {"sign_in":"ana","passkey":true,"gives":"UsePasskey"},
              {"answer":"refused","gives":"Rejected"},
              {"renew":true,"gives":"UsePasskey"},
              {"answer":"good","gives":"SignedIn"}]}
            """#
        let auth = FakeDirectAuth(try .of(journey))
        guard case .usePasskey(let asked) = try await auth.signIn("ana").passkey() else { return XCTFail("no passkey is asked for") }
        let refused = await error { _ = try await asked.answer("{}") }
        let again = await error { _ = try await asked.answer("{}") }
        XCTAssertEqual([refused, again], ["rejected", "busy"])
        guard case .usePasskey(let next) = try await asked.renew() else { return XCTFail("no other challenge") }
        let ceremony = try FakePasskeys(origin: "https://localhost", username: "ana")
        guard case .signedIn = try await next.answer(using: ceremony) else { return XCTFail("not signed in") }
    }

    func testAStorageThatCannotBeReadIsAnErrorAndNotNobody() async throws {
        let auth = FakeDirectAuth(.password(), restored: FakeSession())
        auth.show(.unavailable(.locked))
        let errors = [
            await error { _ = try await auth.restore() }, await error { _ = try await auth.sessions() },
            await error { _ = try await auth.signOut() },
        ]
        XCTAssertEqual(errors, ["storageUnavailable", "storageUnavailable", "storageUnavailable"])
        auth.show(.restoring)
        let restoring = Task { try await auth.restore() }
        let session = FakeSession()
        auth.show(.signedIn(session))
        let restored = try await restoring.value
        XCTAssertIdentical(restored, session)
    }

    func testASignInReplacesWhoWasThere() async throws {
        let auth = FakeDirectAuth(.password(), restored: FakeSession(username: "ben"))
        guard case .signedIn(let ana) = try await auth.signIn(" ana ").password("anything") else { return XCTFail("not signed in") }
        guard case .signedIn(let shown) = auth.state else { return XCTFail("\(auth.state)") }
        XCTAssertIdentical(shown, ana)
        XCTAssertEqual(shown.username, "ana")
    }

    func testEachSignInIsASessionOfItsOwn() async throws {
        let session = FakeSession()
        let auth = FakeDirectAuth(.password() + .password(), session: session)
        guard case .signedIn(let ana) = try await auth.signIn("ana@acme.com").password("anything"),
            case .signedIn(let ben) = try await auth.signIn("ben@acme.com").password("anything")
        else { return XCTFail("not signed in") }
        XCTAssertIdentical(ana, session)
        XCTAssertEqual([ana.username, ben.username], ["ana@acme.com", "ben@acme.com"])
        XCTAssertNotEqual(ana.id, ben.id)
        XCTAssertEqual(auth.state, .signedIn(ben))
    }

    func testASignOutWithoutANetworkIsToldLaterAndEndsTheSession() async throws {
        let session = FakeSession()
        let auth = FakeDirectAuth(.password(), restored: session)
        session.problem = .network(problem: .connect)
        let result = try await session.signOut()
        XCTAssertEqual(result, SignOutResult(server: .pending, device: .deleted))
        XCTAssertEqual(auth.state, .signedOut)
        session.problem = nil
        let after = await error { _ = try await session.accessToken() }
        XCTAssertEqual(after, "sessionEnded")
    }

    private func prompt(_ auth: FakeDirectAuth) async throws -> any ApproveOnDevice {
        guard case .chooseFactor(let choice) = try await auth.signIn("ana@example.com").password("anything"),
            case .approveOnDevice(let push) = try await choice.push()
        else { throw AuthError.internal() }
        return push
    }
}

/// The case of the ``AuthError`` that this throws; another error's text otherwise.
private func error(_ work: () async throws -> Void) async -> String {
    do {
        try await work()
        return "none"
    } catch let error as AuthError {
        return Mirror(reflecting: error).children.first?.label ?? "\(error)"
    } catch {
        return "\(error)"
    }
}

/// Other tasks go on until this is so.
private func until(_ isSo: () -> Bool) async {
    for _ in 0..<1_000_000 where !isSo() { await Task.yield() }
    XCTAssertTrue(isSo())
}
