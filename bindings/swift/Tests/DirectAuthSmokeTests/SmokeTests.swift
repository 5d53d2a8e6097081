import DirectAuth
import XCTest

/// The native library is found, loaded and called: with the XCFramework on Apple systems, with cargo's library elsewhere.
final class SmokeTests: XCTestCase {
    func testTheNativeLibraryAnswers() async {
        let client = DirectAuthClient(issuer: "http://not.secure", clientID: "0oa1b2c3")
        do {
            _ = try await client.restore()
            XCTFail("an issuer without https was taken")
        } catch AuthError.configuration {
            // The core has looked at it.
        } catch {
            XCTFail("\(error)")
        }
    }
}
