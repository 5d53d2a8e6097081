import DirectAuth
import DirectAuthTesting
import XCTest

/// Every way to sign in, in real time against the emulator's own binary.
final class FlowTests: LibraryTestCase {
    private func ready(configure: (inout DirectAuthOptions) -> Void = { _ in }) async throws -> (Emulator, DirectAuthClient) {
        let emulator = try await RealEmulator.tenant()
        try await emulator.settings(#"{"interval":1}"#)
        return (emulator, emulator.client(configure: configure))
    }

    func testATenantKeepsItsEmulatorAndOneElsewhereIsKnownByItsAuthority() async throws {
        let tenant = try await Emulator.start().tenant()
        let signedIn = try await tenant.client().signIn(ben).password(bensPassword)
        _ = try signedIn.asSession()
        let again = try await Emulator.attach(tenant.controlAddress, caPEM: tenant.caPEM)
        let live = try await again.liveGrants()
        XCTAssertEqual(live, 1)
        for address in ["http://127.0.0.1:1", "https://emulator.example"] {
            let error = await errorOf(try await Emulator.attach(address))
            XCTAssertTrue(error is EmulatorError, "\(String(describing: error))")
        }
    }

    func testAPasswordAlone() async throws {
        let (emulator, auth) = try await ready()
        let refused = await authErrorOf(try await auth.signIn(ben).password("wrong"))
        XCTAssertEqual(refused?.remedy, .askAgain)
        let session = try await auth.signIn("  \(ben) ").password(bensPassword).asSession()
        XCTAssertEqual(session.username, ben)
        XCTAssertTrue(session.canRefresh)
        XCTAssertEqual(Set(session.grantedScopes), ["openid", "profile", "offline_access"])
        XCTAssertGreaterThan(session.expiresAt, Date())
        let live = try await emulator.liveGrants()
        XCTAssertEqual(live, 1)
    }

    func testAPromptWithANumberThatTheUserApproves() async throws {
        let (emulator, auth) = try await ready()
        let choice = try await auth.signIn(ana).password(anasPassword).asChooseFactor()
        let push = try await choice.push().asApproveOnDevice()
        XCTAssertGreaterThan(push.expiresAt, Date())
        let prompts = try await emulator.prompts()
        let prompt = try XCTUnwrap(prompts.first)
        XCTAssertEqual(push.number, prompt.number)
        try await emulator.approve(prompt)
        _ = try await push.approved().asSession()
    }

    func testAPromptThatTheUserDeclinesLeadsBackToTheChoice() async throws {
        let (emulator, auth) = try await ready()
        let push = try await auth.signIn(ana).password(anasPassword).asChooseFactor().push()
        let prompts = try await emulator.prompts()
        try await emulator.deny(XCTUnwrap(prompts.first))
        let declined = await authErrorOf(try await push.asApproveOnDevice().approved())
        guard case .declined? = declined else { return XCTFail("\(String(describing: declined))") }
        XCTAssertEqual(declined?.remedy, .chooseAnother)
        _ = try await XCTUnwrap(push.choice).otp(emulator.totp(ana)).asSession()
    }

    func testCodesByTextMessagePhoneCallAndEMail() async throws {
        let (emulator, auth) = try await ready()
        for factor in [Factor.sms, .voice, .email] {
            let choice = try await auth.signIn(ana).password(anasPassword).asChooseFactor()
            let step =
                switch factor {
                case .sms: try await choice.sms()
                case .voice: try await choice.voice()
                default: try await choice.email()
                }
            let enter = try step.asEnterCode()
            XCTAssertEqual(enter.channel, factor)
            XCTAssertGreaterThan(enter.expiresAt, enter.resendAt)
            let refused = await authErrorOf(try await enter.submit("000000"))
            XCTAssertEqual(refused?.remedy, .askAgain)
            XCTAssertEqual(enter.attemptsLeft, 4)
            let code = try await emulator.lastCode(ana)
            _ = try await enter.submit(XCTUnwrap(code)).asSession()
        }
    }

    func testAPasskeyAsFirstAndAsSecondFactorAndWithoutAUsername() async throws {
        let (emulator, auth) = try await ready()
        let origin = try XCTUnwrap(URL(string: emulator.issuer))
        let passkeys = try FakePasskeys(origin: "https://localhost:\(XCTUnwrap(origin.port))", username: ana)
        try await emulator.addPasskey(ana, passkeys)
        let ways: [() async throws -> SignInStep] = [
            { try await auth.signIn(ana).password(anasPassword).asChooseFactor().passkey() },
            { try await auth.signIn(ana).passkey() },
            { try await auth.signInWithPasskey() },
        ]
        for begin in ways {
            let asked = try await begin().asUsePasskey()
            passkeys.behaviour = .answersAnotherChallenge
            let other = await authErrorOf(try await asked.answer(passkeys.get(requestJSON: asked.requestJSON)))
            guard case .passkey(.otherChallenge, _)? = other else { return XCTFail("\(String(describing: other))") }
            passkeys.behaviour = .signs
            let session = try await asked.answer(passkeys.get(requestJSON: asked.requestJSON)).asSession()
            XCTAssertNotNil(session.claims)
        }
    }

    func testAForgottenPassword() async throws {
        let (emulator, auth) = try await ready()
        let reset = try await auth.recover(ben).otp(emulator.totp(ben)).asResetPassword()
        let weak = await authErrorOf(try await reset.set("short"))
        XCTAssertEqual(weak?.remedy, .askAgain)
        guard case .passwordChanged = try await reset.set("another battery, correct") else { return XCTFail("not changed") }
        _ = try await auth.signIn(ben).password("another battery, correct").asSession()
    }

    func testASessionRefreshesStepsUpIsAskedAboutAndSignsOut() async throws {
        let (emulator, auth) = try await ready()
        let session = try await auth.signIn(ben).password(bensPassword).asSession()
        let old = try await session.accessToken()
        try await session.refresh()
        let token = try await session.accessToken()
        XCTAssertNotEqual(token, old)
        let introspection = try await session.introspect(.access)
        XCTAssertTrue(introspection.isActive)
        let userInfo = try await session.userInfo()
        XCTAssertEqual(userInfo.subject, session.claims?.subject)
        let used = try await session.authorize(method: "GET", url: emulator.resourceURL)
        let answer = try await emulator.server.send("GET", emulator.resourceURL.absoluteString, headers: used.values)
        XCTAssertEqual(answer.status, 200)
        let advice = try await session.advise(used: used, status: 200, headers: [])
        XCTAssertEqual(advice, .proceed)
        let elsewhere = try XCTUnwrap(URL(string: "https://elsewhere.example/"))
        let refused = await authErrorOf(try await session.authorize(method: "GET", url: elsewhere))
        guard case .configuration? = refused else { return XCTFail("\(String(describing: refused))") }
        _ = try await session.stepUp(maxAge: 0).password(bensPassword).asSession()
        let result = try await auth.signOut()
        XCTAssertEqual(result, SignOutResult(server: .revoked, device: .deleted))
        let over = await authErrorOf(try await session.accessToken())
        guard case .sessionEnded(.signedOut, _)? = over else { return XCTFail("\(String(describing: over))") }
        let nobody = try await auth.signOut()
        XCTAssertNil(nobody)
    }

    func testSeveralAccounts() async throws {
        let storage = MemoryStorage()
        let (emulator, auth) = try await ready {
            $0.accounts = .many
            $0.storage = storage
        }
        let bens = try await auth.signIn(ben).password(bensPassword).asSession()
        let anas = try await auth.signIn(ana).password(anasPassword).asChooseFactor().otp(emulator.totp(ana)).asSession()
        let users = try await auth.sessions()
        XCTAssertEqual(Set(users.map(\.username)), [ana, ben])
        for session in [bens, anas] {
            try await auth.setDefault(id: session.id)
            let restored = try await auth.restore()
            XCTAssertEqual(restored?.id, session.id)
        }
        let found = try await auth.session(id: bens.id)
        XCTAssertEqual(found?.username, ben)
        let unknown = try await auth.session(id: "unknown")
        XCTAssertNil(unknown)
        let results = try await auth.signOutAll()
        XCTAssertEqual(results.count, 2)
        let discarded = try await auth.discardUnreadable()
        XCTAssertEqual(discarded, 0)
    }

    func testTokensThatAreBoundToAKeyOfThePlatform() async throws {
        let keys = Keys()
        let (emulator, auth) = try await ready {
            $0.dpop = .required
            $0.signingKey = keys
        }
        let session = try await auth.signIn(ben).password(bensPassword).asSession()
        XCTAssertTrue(session.isDPoPBound)
        XCTAssertEqual(keys.count, 1)
        let headers = try await session.authorize(method: "GET", url: emulator.resourceURL).values
        XCTAssertEqual(Set(headers.keys), ["authorization", "dpop"])
        let answer = try await emulator.server.send("GET", emulator.resourceURL.absoluteString, headers: headers)
        XCTAssertEqual(answer.status, 200)
    }

    func testAnEmulatorThatCannotRunSaysSo() async throws {
        for (program, arguments) in [("no-such-program-here", []), (nil, ["--no-such-option"])] as [(String?, [String])] {
            let error = await errorOf(try await Emulator.start(program: program, arguments: arguments))
            XCTAssertTrue(error is EmulatorError, "\(String(describing: error))")
        }
        let elsewhere = await errorOf(try await Emulator.attach("https://emulator.example:1"))
        XCTAssertTrue(elsewhere is EmulatorError, "\(String(describing: elsewhere))")
        let unsure = await errorOf(try await Emulator.attach("https://127.0.0.1:1", token: "a-token-of-somebody"))
        XCTAssertTrue("\(String(describing: unsure))".contains("authority"), "\(String(describing: unsure))")
    }
}
