import DirectAuthAPI
import DirectAuthTesting
import SampleModel
import XCTest

/// What the app shows for what the library says, on the fake: no native code, no server, no view.
final class AppModelTests: XCTestCase {
    func testAPasswordIsEnough() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.password()))
            XCTAssertTrue(model.isSignIn)
            model.signIn("ana@example.com", password: "correct horse battery")
            XCTAssertTrue(model.isBusy)
            try await until(model) { $0.isHome }
            XCTAssertNil(model.problem)
        }
    }

    func testACodeByTextMessageWrongOnce() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.passwordThenSms(code: "123456")))
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.choices?.contains(.sms) == true }
            model.choose(.sms)
            try await until(model) { $0.code?.way == .sms && !$0.isBusy }
            model.submit("000000")
            try await until(model) { $0.problem != nil }
            XCTAssertEqual(model.failure?.remedy, .askAgain)
            XCTAssertNotNil(model.code)
            try await until(model) { !$0.isBusy }
            model.submit("123456")
            try await until(model) { $0.isHome }
        }
    }

    func testAnAuthenticatorCodeIsTypedBeforeAnythingIsSent() async throws {
        try await onMain {
            let fake = FakeDirectAuth(.passwordThenOtp(code: "123456"))
            let model = try await start(fake)
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.choices != nil }
            let before = fake.actions
            model.choose(.otp)
            XCTAssertEqual(model.code?.way, .otp)
            XCTAssertEqual(fake.actions, before)
            model.submit("123456")
            try await until(model) { $0.isHome }
        }
    }

    func testAPushShowsItsNumberAndCanBeGivenUp() async throws {
        try await onMain {
            let fake = FakeDirectAuth(.passwordThenPush())
            fake.hold("approved")
            let model = try await start(fake)
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.choices != nil }
            model.choose(.push)
            try await until(model) { if case .push = $0.screen { !$0.isBusy } else { false } }
            guard case .push(let number, _, _) = model.screen else { return XCTFail("no push") }
            XCTAssertNotNil(number)
            XCTAssertTrue(model.isSigningIn)
            model.back()
            XCTAssertTrue(model.isSignIn && !model.isBusy)
            fake.release()
        }
    }

    func testAfterADeclinedPushThereIsAnotherWay() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.declinedPushThenSms(code: "123456")))
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.choices != nil }
            model.choose(.push)
            try await until(model) { $0.problem != nil && $0.choices != nil }
            guard case .declined = model.failure else { return XCTFail("\(String(describing: model.problem))") }
            model.choose(.sms)
            XCTAssertNil(model.problem)
            try await until(model) { $0.code?.way == .sms && !$0.isBusy }
            model.submit("123456")
            try await until(model) { $0.isHome }
        }
    }

    func testWithoutAConnectionTheUserNameStays() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.failing(.network(problem: .connect))))
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.problem != nil }
            XCTAssertEqual(model.screen, .signIn(SignInScreen.named("ana@example.com")))
            XCTAssertEqual(model.failure?.remedy, .checkConnection)
        }
    }

    func testTwoTapsAreOneSignIn() async throws {
        try await onMain {
            let fake = FakeDirectAuth(.password())
            let model = try await start(fake)
            model.signIn("ana@example.com", password: "correct horse battery")
            model.signIn("ana@example.com", password: "correct horse battery")
            try await until(model) { $0.isHome }
            XCTAssertEqual(fake.actions.filter { $0 == "signIn.password" }.count, 1)
        }
    }

    func testWhoWasSignedInIsThereAndIsToldWhenThatEnds() async throws {
        try await onMain {
            let fake = FakeDirectAuth(.password(), restored: FakeSession())
            let model = try await start(fake)
            XCTAssertNotNil(model.home)
            fake.show(.signedOut)
            try await until(model) { $0.isSignIn }
            XCTAssertEqual(model.problem, .ended)
        }
    }

    func testASignInThatDiedWithTheProcessIsTold() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.password()), wasInterrupted: true)
            XCTAssertTrue(model.isSignIn)
            XCTAssertEqual(model.problem, .interrupted)
        }
    }

    func testAnUnreadableStorageIsNotSignedOut() async throws {
        try await onMain {
            let fake = FakeDirectAuth(.password(), restored: FakeSession())
            fake.show(.unavailable(.locked))
            let model = try await start(fake)
            XCTAssertEqual(model.screen, .unavailable(.locked))
            fake.show(.signedIn(FakeSession()))
            try await until(model) { $0.home != nil }
        }
    }

    func testSigningOutLeadsToTheSignInWithoutAComplaint() async throws {
        try await onMain {
            let model = try await start(FakeDirectAuth(.password(), restored: FakeSession()))
            model.signOut()
            try await until(model) { $0.isSignIn && !$0.isBusy }
            XCTAssertNil(model.problem)
        }
    }
}

@MainActor
private func start(_ fake: FakeDirectAuth, wasInterrupted: Bool = false) async throws -> AppModel {
    let model = AppModel(auth: fake, resource: Answering())
    model.start(wasInterrupted: wasInterrupted)
    try await until(model) { $0.screen != .starting }
    return model
}
