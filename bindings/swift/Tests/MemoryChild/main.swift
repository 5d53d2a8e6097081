import DirectAuth
import DirectAuthTesting
import Foundation

/// A text that stands in no file: 24 letters, by a number.
func canary(_ seed: Int) -> String {
    var letter = seed * 7919
    return String(
        (0..<24).map { _ in
            letter = (letter * 1_103_515_245 + 12345) & 0x7fff_ffff
            return Character(UnicodeScalar(UInt8(97 + (letter >> 16) % 26)))
        })
}

/// A text as it may pass through memory without being found there; the same again gives the text.
func disguised(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 ^ 1 }, as: UTF8.self)
}

func signIn(_ issuer: String, _ clientID: String, _ ca: String, _ code: String) async throws -> [String] {
    let auth = DirectAuthClient(issuer: issuer, clientID: clientID) {
        $0.scopes = ["openid", "offline_access"]
        $0.trust = .custom(pem: ca)
        $0.storage = MemoryStorage()
    }
    do {
        _ = try await auth.signIn("ben@example.com").password(canary(2))
        fatalError("a wrong password signs in")
    } catch AuthError.rejected {}
    guard case .chooseFactor(let choice) = try await auth.signIn("ben@example.com").password(canary(1)) else { fatalError("no choice") }
    do {
        _ = try await choice.otp(canary(3))
        fatalError("a wrong code signs in")
    } catch AuthError.rejected {}
    guard case .signedIn(let session) = try await choice.otp(code) else { fatalError("not signed in") }
    return [disguised(try await session.accessToken()), disguised(session.idToken() ?? "")]
}

signal(SIGPIPE, SIG_IGN)
let (issuer, clientID, code) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])
let ca = try String(contentsOfFile: CommandLine.arguments[4], encoding: .utf8)
let kept = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 24)
_ = kept.initialize(from: canary(9).utf8)
let tokens = try await signIn(issuer, clientID, ca, code)
for token in tokens { FileHandle.standardOutput.write(Data("token \(token)\n".utf8)) }
FileHandle.standardOutput.write(Data("signed in\n".utf8))
// Until whoever looks has seen enough.
_ = readLine()
kept.deallocate()
