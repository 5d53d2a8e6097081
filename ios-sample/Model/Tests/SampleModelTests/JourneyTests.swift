import DirectAuth
import DirectAuthTesting
import SampleModel
import XCTest

private let ana = "ana@example.com"
private let anasPassword = "correct horse battery"
private let ben = "ben@example.com"
private let bensPassword = "tr0ub4dor&3"

/// The model on the library that ships, against a real server: a process of the emulator.
final class JourneyTests: XCTestCase {
    func testAPasswordARefreshAndOut() async throws {
        try await onMain {
            let (model, emulator) = try await start()
            model.signIn(ben, password: bensPassword)
            try await until(model) { $0.isHome }
            XCTAssertEqual(model.home?.name, "Ben Okafor")
            model.refresh()
            try await until(model) { $0.isHome }
            XCTAssertNil(model.problem)
            model.signOut()
            try await until(model) { $0.isSignIn && !$0.isBusy }
            let left = try await emulator.liveGrants()
            XCTAssertEqual(left, 0)
            emulator.stop()
        }
    }

    func testAWrongPasswordIsTold() async throws {
        try await onMain {
            let (model, emulator) = try await start()
            model.signIn(ben, password: "wrong")
            try await until(model) { $0.problem != nil }
            XCTAssertEqual(model.failure?.remedy, .askAgain)
            XCTAssertEqual(model.screen, .signIn(SignInScreen.named(ben)))
            emulator.stop()
        }
    }

    func testAPushWithItsNumber() async throws {
        try await onMain {
            let (model, emulator) = try await start()
            model.signIn(ana, password: anasPassword)
            try await until(model) { $0.choices != nil }
            model.choose(.push)
            try await until(model) { if case .push = $0.screen { true } else { false } }
            let prompts = try await emulator.prompts()
            guard case .push(let number, _, _) = model.screen else { return XCTFail("no push") }
            XCTAssertEqual(number, prompts.first?.number)
            try await emulator.approve(prompts[0])
            try await until(model) { $0.isHome }
            emulator.stop()
        }
    }

    func testTwoAccountsAndAStepUp() async throws {
        try await onMain {
            let (model, emulator) = try await start()
            model.signIn(ben, password: bensPassword)
            try await until(model) { $0.isHome }
            model.stepUp()
            XCTAssertEqual(model.screen, .signIn(SignInScreen.named(ben, isStepUp: true)))
            model.stepUp(password: bensPassword)
            try await until(model) { $0.choices != nil }
            model.choose(.otp)
            model.submit(try await emulator.totp(ben))
            try await until(model) { $0.isHome }
            XCTAssertTrue(model.home?.claims.contains { $0.name == "amr" && $0.value.contains("otp") } == true)

            model.addAccount()
            model.signIn(ana, password: anasPassword)
            try await until(model) { $0.choices != nil }
            model.choose(.sms)
            try await until(model) { $0.code?.way == .sms && !$0.isBusy }
            let code = try await emulator.lastCode(ana)
            model.submit(code ?? "")
            try await until(model) { $0.home?.name == "Ana Ibarra" && !$0.isBusy }
            model.accounts()
            try await until(model) { if case .accounts = $0.screen { !$0.isBusy } else { false } }
            guard case .accounts(let sessions) = model.screen else { return XCTFail("no accounts") }
            XCTAssertEqual(Set(sessions.map(\.username)), [ana, ben])
            model.switchTo(sessions.first { $0.username == ben }?.id ?? "")
            try await until(model) { $0.home?.name == "Ben Okafor" && !$0.isBusy }
            emulator.stop()
        }
    }
}

@MainActor
private func start() async throws -> (AppModel, Emulator) {
    let emulator = try await Emulator.start()
    let auth = DirectAuthClient(issuer: emulator.issuer, clientID: emulator.clientID) {
        $0.scopes = ["openid", "profile", "offline_access"]
        $0.accounts = .many
        $0.trust = .custom(pem: emulator.caPEM)
        $0.storage = MemoryStorage()
    }
    let model = AppModel(auth: auth, resource: Answering())
    model.start(wasInterrupted: false)
    try await until(model) { $0.isSignIn }
    return (model, emulator)
}
