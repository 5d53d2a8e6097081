import DirectAuth
import DirectAuthTesting
import XCTest

/// The whole way once, against the emulator's own binary and in real time.
final class FirstSignInTests: LibraryTestCase {
    func testAUserSignsInWithAPasswordAndACodeAndOutAgain() async throws {
        let emulator = try await Emulator.start()
        let auth = DirectAuthClient(issuer: emulator.issuer, clientID: emulator.clientID) {
            $0.scopes = ["openid", "profile", "offline_access"]
            $0.capabilities = [.otp, .sms]
            $0.trust = .custom(pem: emulator.caPEM)
            $0.storage = MemoryStorage()
        }
        let nobody = try await auth.restore()
        XCTAssertNil(nobody)
        let choose = try await auth.signIn("ana@example.com").password("correct horse battery").asChooseFactor()
        XCTAssertEqual(Set(choose.factors), [.otp, .sms])
        let session = try await choose.otp(emulator.totp("ana@example.com")).asSession()
        await assertState(of: auth, becomes: .signedIn(session))
        XCTAssertEqual(session.claims?.text("name"), "Ana Ibarra")
        XCTAssertTrue(session.isPersisted)
        let headers = try await session.authorize(method: "GET", url: emulator.resourceURL).values
        XCTAssertEqual(Array(headers.keys), ["authorization"])
        let result = try await session.signOut()
        XCTAssertEqual(result.server, .revoked)
        XCTAssertEqual(auth.state, .signedOut)
        let nobodyAgain = try await auth.restore()
        XCTAssertNil(nobodyAgain)
    }
}
