import DirectAuthAPI
import DirectAuthTesting
import XCTest

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// How an app is written with this, and how it tests itself with the fake.
final class SnippetTests: XCTestCase {
    @MainActor
    private final class Model {
        let auth: any AuthClient
        var step: SignInStep?
        var problem: AuthError?
        var task: Task<Void, Never>?

        init(_ auth: any AuthClient) {
            self.auth = auth
        }

        func password(_ pw: String) {
            task = Task { do { step = try await auth.signIn("ana@acme.com").password(pw)
                while case .approveOnDevice(let push) = step { step = try await push.approved() }
              } catch let e as AuthError { problem = e } catch {} }           // CancellationError: nothing to show
        }

        func on(_ action: @escaping @Sendable (SignInStep) async throws -> SignInStep) {
            guard let step else { return }
            task = Task { do { self.step = try await action(step) } catch let e as AuthError { problem = e } catch {} }
        }

        var screen: String {
            switch auth.state {
            case .restoring: "splash"
            case .signedOut: "sign in"
            case .signedIn(let session): "home of \(session.username)"
            case .unavailable(let reason): reason.isTemporary ? "locked" : "sign in, because \(reason)"
            }
        }
    }

    /// On Linux a test's own function cannot be on the main actor.
    private func onMain(_ work: @escaping @MainActor @Sendable () async throws -> Void) async throws {
        try await Task { @MainActor in try await work() }.value
    }

    func testAWrongCodeLeavesTheStepOnScreenUsable() async throws {
        try await onMain {
            let auth = FakeDirectAuth(.passwordThenSms(code: "123456"))
            let model = Model(auth)
            XCTAssertEqual(model.screen, "sign in")
            model.password("anything")
            await model.task?.value
            model.on { step in
                guard case .chooseFactor(let choice) = step else { return step }
                return try await choice.sms()
            }
            await model.task?.value
            for code in ["000000", "123456"] {
                model.on { step in
                    guard case .enterCode(let enter) = step else { return step }
                    return try await enter.submit(code)
                }
                await model.task?.value
                if code == "000000" { XCTAssertEqual(model.problem?.remedy, .askAgain) }
            }
            guard case .signedIn = model.step else { return XCTFail("\(String(describing: model.step))") }
            XCTAssertEqual(model.screen, "home of ana@acme.com")
            XCTAssertTrue(auth.isFinished)
            try await auth.signOut()
            XCTAssertEqual(model.screen, "sign in")
            auth.show(.unavailable(.locked))
            XCTAssertEqual(model.screen, "locked")
        }
    }

    func testAPromptIsWaitedForByItself() async throws {
        try await onMain {
            let model = Model(FakeDirectAuth(.passwordThenPush()))
            model.password("anything")
            await model.task?.value
            model.on { step in
                guard case .chooseFactor(let choice) = step else { return step }
                return try await choice.push()
            }
            await model.task?.value
            guard case .approveOnDevice(let push) = model.step else { return XCTFail("\(String(describing: model.step))") }
            XCTAssertNotNil(push.number)
            model.on { _ in try await push.approved() }
            await model.task?.value
            XCTAssertEqual(model.screen, "home of ana@acme.com")
        }
    }

    func testACancelledTaskShowsNothing() async throws {
        try await onMain {
            let auth = FakeDirectAuth(.password())
            let model = Model(auth)
            model.password("anything")
            model.task?.cancel()
            await model.task?.value
            XCTAssertNil(model.step)
            XCTAssertNil(model.problem)
            XCTAssertEqual(auth.actions, [])
        }
    }

    func testAnErrorAndAfterThatWhatTheScriptGoesOnWith() async throws {
        let auth = FakeDirectAuth(.failing(.network(problem: .connect)) + .password())
        do {
            _ = try await auth.signIn("ana@acme.com").password("anything")
            XCTFail("no error")
        } catch AuthError.network(.connect, let maybeSent, _) {
            XCTAssertFalse(maybeSent)
        }
        guard case .signedIn = try await auth.signIn("ana@acme.com").password("anything") else { return XCTFail("not signed in") }
        do {
            _ = try await auth.signIn("ana@acme.com").password("anything")
            XCTFail("no error")
        } catch let error as ScriptError {
            XCTAssertTrue(error.description.contains("ended"), error.description)
        }
    }

    /// As an app writes it; it is compiled, and not run: there is no such server.
    private func yardstick(_ session: any AuthSession, _ request: URLRequest) async throws -> Data {
        let (data, _) = try await URLSession.shared.data(for: request, authorizedBy: session)
        return data
    }

    func testEveryReadyMadeScriptIsThere() {
        let scripts: [Script] = [
            .password(), .passwordThenOtp(), .passwordThenSms(), .passwordThenEmail(), .passwordThenPush(),
            .declinedPushThenSms(), .passwordThenPasskey(), .passkey(), .recovery(),
        ]
        for script in scripts { XCTAssertFalse(FakeDirectAuth(script).isFinished) }
    }
}
