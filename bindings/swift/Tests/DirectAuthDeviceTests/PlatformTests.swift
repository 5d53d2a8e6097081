import DirectAuthAPI
import DirectAuthTesting
import XCTest

@testable import DirectAuthDevice

/// What is asked of the platform and what it says, without the platform.
final class PlatformTests: XCTestCase {
    func testARequestForAPasskeyIsRead() throws {
        let json = #"{"challenge":"AQID-_8","rpId":"acme.com","allowCredentials":[{"type":"public-key","id":"BAUG"}],"userVerification":"required"}"#
        let request = try PasskeyRequest(json: json)
        XCTAssertEqual(request.challenge, Data([1, 2, 3, 0xFB, 0xFF]))
        XCTAssertEqual(request.relyingParty, "acme.com")
        XCTAssertEqual(request.allowed, [Data([4, 5, 6])])
        XCTAssertEqual(request.userVerification, "required")
        XCTAssertEqual(try PasskeyRequest(json: #"{"challenge":"AQID","rpId":"a"}"#).userVerification, "preferred")
        for wrong in ["", "{}", #"{"challenge":"AQID"}"#, #"{"challenge":"","rpId":"a"}"#, #"{"challenge":"A+ID","rpId":"a"}"#] {
            XCTAssertThrowsError(try PasskeyRequest(json: wrong), wrong)
        }
    }

    func testAnAnswerIsWrittenAsAPlatformInSoftwareWritesIt() async throws {
        let passkeys = try FakePasskeys(origin: "https://acme.com", username: "ana")
        let theirs = try JSON(parsing: await passkeys.get(requestJSON: #"{"challenge":"AQID","rpId":"acme.com"}"#))
        func bytes(_ name: String) throws -> Data { try XCTUnwrap(Data(base64URL: XCTUnwrap(theirs["response"]?[name]?.string))) }
        let answer = PasskeyAnswer(
            id: try XCTUnwrap(Data(base64URL: XCTUnwrap(theirs["id"]?.string))), clientDataJSON: try bytes("clientDataJSON"),
            authenticatorData: try bytes("authenticatorData"), signature: try bytes("signature"), userHandle: try bytes("userHandle"))
        func object(_ text: String) throws -> [String: Any] {
            try XCTUnwrap(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        }
        var expected = try object(theirs.text)
        // The system does not say whether it was this device or a phone nearby.
        XCTAssertNotNil(expected.removeValue(forKey: "authenticatorAttachment"))
        XCTAssertEqual(try object(answer.json) as NSDictionary, expected as NSDictionary)
        let nobody = PasskeyAnswer(
            id: Data([1]), clientDataJSON: Data([1]), authenticatorData: Data([1]), signature: Data([1]), userHandle: Data())
        XCTAssertNil(try JSON(parsing: nobody.json)["response"]?["userHandle"])
    }

    func testTheFirstProxyThatCanBeUsedIsTaken() {
        func proxy(_ entries: (String, String?, Int?)...) -> String? {
            guard case .http(let url)? = systemProxy(entries.map { ProxyEntry(type: $0.0, host: $0.1, port: $0.2) }) else { return nil }
            return url
        }
        XCTAssertNil(proxy())
        XCTAssertNil(proxy(("kCFProxyTypeNone", nil, nil), ("kCFProxyTypeHTTP", "a", 1)))
        XCTAssertEqual(proxy(("kCFProxyTypeHTTPS", "proxy.acme.com", 3128)), "http://proxy.acme.com:3128")
        XCTAssertEqual(proxy(("kCFProxyTypeSOCKS", "a", 1), ("kCFProxyTypeHTTP", "::1", 8080)), "http://[::1]:8080")
        XCTAssertNil(proxy(("kCFProxyTypeAutoConfigurationURL", nil, nil), ("kCFProxyTypeHTTP", nil, 1)))
    }

    func testAFollowerHearsUntilItIsLetGoOf() {
        let center = NotificationCenter()
        let heard = Heard()
        var follower: AppFollower? = AppFollower(center, [Notification.Name("front"), Notification.Name("unlocked")]) { heard.add() }
        center.post(name: Notification.Name("front"), object: nil)
        center.post(name: Notification.Name("unlocked"), object: nil)
        center.post(name: Notification.Name("other"), object: nil)
        XCTAssertEqual(heard.times, 2)
        XCTAssertNotNil(follower)
        follower = nil
        center.post(name: Notification.Name("front"), object: nil)
        XCTAssertEqual(heard.times, 2)
    }

    private final class Heard: @unchecked Sendable {
        private let lock = NSLock()
        private var count = 0

        var times: Int { lock.withLock { count } }

        func add() { lock.withLock { count += 1 } }
    }
}
