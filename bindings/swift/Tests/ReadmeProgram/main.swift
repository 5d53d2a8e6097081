import DirectAuth
import DirectAuthTesting

let emulator = try await Emulator.start() // runs directauth-emulator; an app names its own server
let auth = DirectAuthClient(issuer: emulator.issuer, clientID: emulator.clientID) {
    $0.scopes = ["openid", "profile", "offline_access"]
    $0.trust = .custom(pem: emulator.caPEM) // for the emulator only
    $0.storage = MemoryStorage() // on a device: one that encrypts
}
var step = try await auth.signIn("ana@example.com").password("correct horse battery")
signingIn: while true {
    switch step {
    case .chooseFactor(let choice):
        step = try await choice.sms() // or otp(code), push(), voice(), email(), passkey()
    case .enterCode(let code):
        do {
            step = try await code.submit(emulator.lastCode("ana@example.com") ?? "")
        } catch AuthError.rejected {
            continue  // a wrong code: the step stays usable
        }
    case .approveOnDevice(let push):
        step = try await push.approved()
    case .signedIn(let session):
        print("signed in: \(session.claims?.text("name") ?? "")")
        print("signed out: \(try await session.signOut().server)")
        break signingIn
    default: fatalError("not expected: \(step)")
    }
}
