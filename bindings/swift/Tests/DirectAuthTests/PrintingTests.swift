import DirectAuth
import DirectAuthTesting
import XCTest

/// Nothing secret, and nothing of the server's words, shows in what is printed of anything.
final class PrintingTests: LibraryTestCase {
    func testNothingSecretShowsInWhatIsPrinted() async throws {
        let desk = try await Desk()
        let options = Shared<DirectAuthOptions?>(nil)
        let auth = desk.client {
            $0.auditKey = "hunter2-audit-key"
            $0.proxy = nil
            options.value = $0
        }
        var proxied = DirectAuthOptions()
        proxied.proxy = .http("http://me:hunter2@proxy.example:3128")
        let signIn = auth.signIn(ana)
        let choice = try await desk.waiting { try await signIn.password(anasPassword) }
        let back = try choice.asChooseFactor()
        let enter = try await desk.waiting { try await back.sms() }
        let sms = try await desk.emulator.lastCode(ana)
        let refused = await authErrorOf(try await desk.waiting { try await enter.asEnterCode().submit("000000") })
        let push = try await desk.waiting { try await back.push() }
        let done = try await desk.waiting { try await back.otp(desk.emulator.totp(ana)) }
        let session = try done.asSession()
        let headers = try await session.authorize(method: "GET", url: desk.emulator.resourceURL)
        let token = try await session.accessToken()
        let introspection = try await session.introspect(.access)
        let userInfo = try await session.userInfo()
        let infos = try await auth.sessions()
        _ = auth.state
        await assertState(of: auth, becomes: .signedIn(session))
        let recovery = auth.recover(ana)
        let passkeys = try FakePasskeys(origin: "https://localhost", username: ana)
        try await desk.emulator.addPasskey(ana, passkeys)
        try await desk.emulator.changeUser(ana, factors: ["totp", "passkey"])
        let passkey = try await desk.waiting { try await auth.signIn(ana).passkey() }
        let challenge = try XCTUnwrap(JSON(parsing: passkey.asUsePasskey().requestJSON)["challenge"]?.string)
        let reset = try await desk.waiting { try await auth.recover(ben).otp(desk.emulator.totp(ben)) }
        _ = try reset.asResetPassword()
        let fake = FakeSession(username: ana, claims: ["sub": "hunter2"])
        let fakeHeaders = try await fake.authorize(method: "GET", url: XCTUnwrap(URL(string: "https://api.acme.com")))
        let fakeAuth = FakeDirectAuth(.passwordThenSms(), restored: fake)
        let fakeChoice = try await fakeAuth.signIn(ana).password(anasPassword)
        let fakeEnter = try await fakeChoice.asChooseFactor().sms()
        let values: [Any] = [
            auth, auth.state, options.value as Any, proxied, proxied.proxy as Any, signIn, recovery, choice, enter, push, done, session,
            headers, session.claims as Any, introspection, userInfo, infos, desk.storage, refused as Any, session.stepUp(maxAge: 0),
            HeaderField(name: "WWW-Authenticate", value: "hunter2"), EnrolledPasskey(id: "hunter2", name: "hunter2"),
            passkey, reset, AuthState.unavailable(.locked), passkeys, fake, fakeHeaders, fake.claims as Any, fakeAuth, fakeChoice,
            fakeEnter, fakeAuth.state, fakeAuth.signIn(ana),
            Introspection(isActive: true, claims: session.claims),
        ]
        let secrets =
            [anasPassword, ana, token, desk.world.lastRefreshToken(), session.idToken(), sms, "hunter2", challenge, session.claims?.subject]
            .compactMap { $0 } + headers.values.values + fakeHeaders.values.values
        for value in values {
            let text = everyText(of: value)
            for secret in secrets { XCTAssertFalse(text.contains(secret), "\(secret) shows in \(text)") }
        }
    }

    func testTheServersWordsShowInNoErrorAndAreThereWhenAskedFor() async throws {
        let desk = try await Desk()
        try await desk.emulator.script(
            #"{"on":"token","answer":{"status":400,"json":{"error":"invalid_grant","error_description":"the servers words"}}}"#)
        let auth = desk.client()
        let error = await authErrorOf(try await desk.waiting { try await auth.signIn(ben).password(bensPassword) })
        let found = try XCTUnwrap(error)
        XCTAssertEqual(found.serverText?.text, "the servers words")
        XCTAssertFalse(everyText(of: found).contains("servers words"))
        XCTAssertTrue(found.description.hasPrefix("Rejected"), found.description)
        XCTAssertTrue(found.description.contains(try XCTUnwrap(found.transactionID)))
        XCTAssertEqual(found.errorDescription, "That did not match. Please check what you entered and try again.")
        XCTAssertEqual(found.localizedDescription, found.errorDescription)
        XCTAssertFalse(everyText(of: found).contains(bensPassword))
    }

    func testEveryRemedyHasASentenceForUsers() {
        let remedies: [Remedy] = [
            .askAgain, .chooseAnother, .startOver, .wait(until: nil), .wait(until: Date()), .signInAgain, .openBrowser,
            .checkConnection, .unlock, .contactSupport, .fixConfiguration, .ignore,
        ]
        let sentences = remedies.map { AuthError.rejected(details: ErrorDetails("Internal words", $0)).localizedDescription }
        XCTAssertEqual(Set(sentences).count, remedies.count - 1)
        for sentence in sentences {
            XCTAssertTrue(sentence.hasSuffix("."), sentence)
            XCTAssertFalse(sentence.contains("Internal words"))
        }
    }
}
