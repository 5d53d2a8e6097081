import DirectAuthAPI
import DirectAuthTesting
import XCTest

/// The library's journeys on the fake's scripts: what the fake gives is what the real thing gives, which the tests of the library play
/// from the same files. Time, the server and sessions are not the fake's affair; those calls are passed over.
final class FakeJourneyTests: XCTestCase {
    func testJourneysGiveTheSameOnTheFake() async throws {
        let folder = URL(fileURLWithPath: #filePath).appendingPathComponent("../../../../../core/conformance").standardizedFileURL
        let files = ["journeys.json", "g-passkeys.json", "n-recovery.json"]
        let vectors = try files.flatMap {
            try JSON(parsing: String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8)).array ?? []
        }
        XCTAssertGreaterThan(vectors.count, 80)
        for vector in vectors {
            do {
                try await play(vector)
            } catch {
                XCTFail("\(vector["id"]?.string ?? ""): \(error)")
            }
        }
    }

    private struct Mismatch: Error, CustomStringConvertible {
        let description: String
    }

    private func play(_ vector: JSON) async throws {
        let auth = FakeDirectAuth(try .of(vector.text))
        var step: SignInStep?
        for call in vector["calls"]?.array ?? [] {
            let gives = call["gives"]?.string
            do {
                guard let next = try await act(auth, step, call) else { continue }
                if let gives { try equal(name(of: next), gives, call) }
                step = next
            } catch let error as AuthError {
                try equal(capital(Mirror(reflecting: error).children.first?.label ?? ""), gives, call)
                if let remedy = call["remedy"]?.string {
                    let found = Mirror(reflecting: error.remedy).children.first?.label ?? String(describing: error.remedy)
                    try equal(capital(found), remedy, call)
                }
            }
        }
        guard auth.isFinished else { throw Mismatch(description: "the script goes on after \(auth.actions)") }
    }

    private func equal<T: Equatable>(_ found: T, _ expected: T, _ call: JSON) throws {
        if found != expected { throw Mismatch(description: "\(call.text): \(found), expected \(expected)") }
    }

    /// nil if the call is about something else than steps.
    private func act(_ auth: FakeDirectAuth, _ step: SignInStep?, _ call: JSON) async throws -> SignInStep? {
        let requests = [
            "sign_in", "recover", "choose", "submit", "approved", "resend", "answer", "renew", "set_password", "sign_in_with_passkey",
        ]
        // A journey that does not say what a call gives cannot be a script.
        if requests.contains(where: { call[$0] != nil }), call["gives"] == nil { return nil }
        if let user = call["sign_in"]?.string { return try await first(auth.signIn(user), call) }
        if let user = call["recover"]?.string { return try await first(auth.recover(user), call) }
        if call["sign_in_with_passkey"] != nil { return try await auth.signInWithPasskey() }
        if call["back"] != nil { return step?.choice.map { .chooseFactor($0) } }
        switch step {
        case .chooseFactor(let choice):
            if let name = call["choose"]?.string { return try await factor(choice, name, call["code"]?.string) }
            if let wanted = call["factors"]?.strings { try equal(choice.factors.map { String(describing: $0) }, wanted, call) }
            if call["cancel"] != nil { choice.cancel() }
        case .enterCode(let enter):
            if let code = call["submit"]?.string { return try await enter.submit(typed(code)) }
            if call["resend"] != nil { return try await enter.resend() }
            if let wanted = call["attempts_left"]?.integer { try equal(enter.attemptsLeft, Int(wanted), call) }
            if call["cancel"] != nil { enter.cancel() }
        case .approveOnDevice(let push):
            if call["approved"] != nil { return try await push.approved() }
            if call["resend"] != nil { return try await push.resend() }
            if let wanted = call["number"]?.bool { try equal(push.number != nil, wanted, call) }
            if call["cancel"] != nil { push.cancel() }
        case .usePasskey(let asked):
            if call["answer"] != nil { return try await asked.answer("{}") }
            if call["renew"] != nil { return try await asked.renew() }
            if call["cancel"] != nil { asked.cancel() }
        case .resetPassword(let reset):
            if let password = call["set_password"]?.string { return try await reset.set(password) }
            if call["cancel"] != nil { reset.cancel() }
        case .signedIn, .passwordChanged, .unsupported, nil: break
        }
        return nil
    }

    private func first(_ choice: any FactorChoice, _ call: JSON) async throws -> SignInStep {
        if let password = call["password"]?.string, let signIn = choice as? any SignIn { return try await signIn.password(password) }
        if let code = call["otp"]?.string { return try await choice.otp(typed(code)) }
        return try await factor(choice, ["push", "sms", "voice", "email", "passkey"].first { call[$0] != nil } ?? "", nil)
    }

    private func factor(_ choice: any FactorChoice, _ name: String, _ code: String?) async throws -> SignInStep {
        switch name {
        case "otp": try await choice.otp(typed(code ?? ""))
        case "push": try await choice.push()
        case "sms": try await choice.sms()
        case "voice": try await choice.voice()
        case "email": try await choice.email()
        default: try await choice.passkey()
        }
    }

    private func typed(_ text: String) -> String {
        switch text {
        case "$totp", "$code": "123456"
        case "$code_spaced": " 123-456 "
        default: text.hasPrefix("$wrong") ? "654321" : text
        }
    }

    private func name(of step: SignInStep) -> String {
        if case .unsupported = step { return "UnsupportedStep" }
        return capital(Mirror(reflecting: step).children.first?.label ?? String(describing: step))
    }

    private func capital(_ word: String) -> String { word.prefix(1).uppercased() + word.dropFirst() }
}
