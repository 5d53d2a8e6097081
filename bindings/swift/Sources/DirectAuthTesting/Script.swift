import DirectAuthAPI
import Foundation

/// What a ``FakeDirectAuth`` answers, one action of the app after another.
///
/// The ready-made ones are the journeys that the library itself is tested with: what they lead to is what the real thing leads to. An
/// app need not make the mistakes that a script contains: a refusal that the app did not provoke is passed over, and a wrong code is
/// refused wherever a code is expected.
public struct Script: Sendable {
    let exchanges: [Exchange]
    /// The code that is right, wherever one is typed.
    public let code: String

    /// First this, then `next`, whose code is taken.
    public static func + (first: Script, next: Script) -> Script {
        Script(exchanges: first.exchanges + next.exchanges, code: next.code)
    }

    /// The password is enough.
    public static func password() -> Script { known("password") }

    /// The password, then a code from an authenticator app.
    public static func passwordThenOtp(code: String = "123456") -> Script { known("password-then-otp", code) }

    /// The password, then a code by text message.
    public static func passwordThenSms(code: String = "123456") -> Script { known("sms-code", code) }

    /// The password, then a code by e-mail.
    public static func passwordThenEmail(code: String = "123456") -> Script { known("email-code", code) }

    /// The password, then a prompt with a number, which the user approves.
    public static func passwordThenPush() -> Script { known("push-with-number") }

    /// The password, a prompt that the user declines, and after that a code by text message.
    public static func declinedPushThenSms(code: String = "123456") -> Script { known("declined-push-then-sms", code) }

    /// The password, then a passkey.
    public static func passwordThenPasskey() -> Script { known("passkey-as-second-factor") }

    /// A passkey without a username.
    public static func passkey() -> Script { known("passkey-of-anybody") }

    /// A code from an authenticator app, and then a new password.
    public static func recovery(code: String = "123456") -> Script { known("recovery-requests", code) }

    /// The next action fails with this, whatever it is; then the script goes on with what is added to it.
    public static func failing(_ error: AuthError) -> Script {
        Script(exchanges: [Exchange(action: nil, typed: .anything, outcome: .failure(error))], code: "123456")
    }

    /// One of the library's journeys, by the id that it has in `core/conformance`.
    ///
    /// - Throws: ``ScriptError`` if there is none, or it is not about steps alone.
    public static func journey(_ id: String, code: String = "123456") throws -> Script {
        guard let journey = journeys[id] else { throw ScriptError("there is no journey \(id), or it is not about steps alone") }
        return try Script(journey: journey, code: code)
    }

    /// A journey in the format of `core/conformance`, as JSON.
    public static func of(_ journey: String, code: String = "123456") throws -> Script {
        try Script(journey: JSON(parsing: journey), code: code)
    }

    private static func known(_ id: String, _ code: String = "123456") -> Script {
        do {
            return try journey(id, code: code)
        } catch {
            preconditionFailure("the journey \(id): \(error)")
        }
    }

    private static let journeys: [String: JSON] = {
        let files = [PackageResources.journeys_json, PackageResources.g_passkeys_json, PackageResources.n_recovery_json]
        let all = files.flatMap { (try? JSONDecoder().decode(JSON.self, from: Data($0)))?.array ?? [] }
        return Dictionary(all.compactMap { journey in journey["id"]?.string.map { ($0, journey) } }) { first, _ in first }
    }()
}

/// What a script cannot answer: a mistake in a test.
public struct ScriptError: Error, CustomStringConvertible, LocalizedError, Sendable {
    /// What it has instead.
    public let description: String
    public var errorDescription: String? { description }

    init(_ description: String) {
        self.description = description
    }
}

/// One action of the app and what it leads to.
struct Exchange: Sendable {
    /// nil: any action.
    let action: String?
    let typed: Typed
    var outcome: Outcome
}

enum Typed: Sendable {
    case anything, theRightCode, aWrongCode
}

enum Outcome: Sendable {
    case failure(AuthError)
    case step(StepKind)
}

/// What a step is made from.
enum StepKind: Sendable {
    case signedIn
    case chooseFactor([Factor])
    case approveOnDevice(number: String?)
    case enterCode(Factor)
    case usePasskey
    case resetPassword
    case passwordChanged
    case unsupported
}

extension Script {
    fileprivate init(journey: JSON, code: String) throws {
        var reading = Reading()
        for call in journey["calls"]?.array ?? [] { try reading.read(call) }
        self.init(exchanges: reading.exchanges, code: code)
    }
}

/// The exchanges of a journey.
private struct Reading {
    var exchanges: [Exchange] = []
    private var channel = Factor.sms

    mutating func read(_ call: JSON) throws {
        // What the app sees of a step says how it is made.
        if let last = exchanges.indices.last {
            switch exchanges[last].outcome {
            case .step(.chooseFactor):
                if let factors = call["factors"]?.strings {
                    exchanges[last].outcome = .step(.chooseFactor(factors.compactMap(factor)))
                }
            case .step(.approveOnDevice):
                if let number = call["number"] {
                    let shown = number.bool.map { $0 ? "95" : nil } ?? number.string
                    exchanges[last].outcome = .step(.approveOnDevice(number: shown))
                }
            default: break
            }
        }
        guard let (action, typed) = action(of: call), let gives = call["gives"]?.string else { return }
        exchanges.append(Exchange(action: action, typed: typed, outcome: try outcome(gives)))
    }

    private mutating func action(of call: JSON) -> (String, Typed)? {
        let first = ["password", "otp", "push", "sms", "voice", "email", "passkey"].first { call[$0] != nil }
        let second = call["choose"]?.string
        if let chosen = (first ?? second).flatMap(factor) { channel = chosen }
        if call["sign_in"] != nil, let first { return ("signIn.\(first)", typed(call[first])) }
        if call["recover"] != nil, let first { return ("recover.\(first)", typed(call[first])) }
        if let second { return ("choose.\(second)", typed(call["code"])) }
        if call["submit"] != nil { return ("submit", typed(call["submit"])) }
        let plain = [
            "approved": "approved", "resend": "resend", "sign_in_with_passkey": "signInWithPasskey", "answer": "answer",
            "renew": "renew", "set_password": "setPassword",
        ]
        return plain.first { call[$0.key] != nil }.map { ($0.value, .anything) }
    }

    private func typed(_ what: JSON?) -> Typed {
        guard case .string(let text)? = what else { return .anything }
        if ["$totp", "$code", "$code_spaced"].contains(text) { return .theRightCode }
        return text.hasPrefix("$wrong") ? .aWrongCode : .anything
    }

    private func outcome(_ gives: String) throws -> Outcome {
        switch gives {
        case "SignedIn": .step(.signedIn)
        case "ChooseFactor": .step(.chooseFactor(Factor.allCases))
        case "ApproveOnDevice": .step(.approveOnDevice(number: "95"))
        case "EnterCode": .step(.enterCode(channel))
        case "UsePasskey": .step(.usePasskey)
        case "ResetPassword": .step(.resetPassword)
        case "PasswordChanged": .step(.passwordChanged)
        case "UnsupportedStep": .step(.unsupported)
        default: .failure(try errorOfKind(gives))
        }
    }

    private func factor(_ name: String) -> Factor? {
        Factor.allCases.first { String(describing: $0) == name.lowercased() }
    }
}

/// An error of this kind, as the library makes it of a usual answer.
func errorOfKind(_ kind: String) throws -> AuthError {
    switch kind {
    case "Rejected": .rejected()
    case "Declined": .declined()
    case "NotAllowed": .notAllowed(code: "access_denied")
    case "Expired": .expired()
    case "TooManyAttempts": .tooManyAttempts()
    case "RateLimited": .rateLimited(retryAt: Date().addingTimeInterval(30))
    case "BrowserRequired": .browserRequired(reason: "interaction_required")
    case "ReauthRequired": .reauthRequired(reason: "login_required")
    case "SessionEnded": .sessionEnded(reason: .signedOut)
    case "StorageUnavailable": .storageUnavailable(reason: .locked)
    case "KeyUnavailable": .keyUnavailable(reason: .locked)
    case "Network": .network(problem: .connect)
    case "InvalidResponse": .invalidResponse(what: "as the script says")
    case "TokenRejected": .tokenRejected(check: "as the script says")
    case "Configuration": .configuration(what: "as the script says")
    case "Unsupported": .unsupported(what: "as the script says")
    case "Passkey": .passkey(problem: .malformed)
    case "Cancelled": .cancelled()
    case "Busy": .busy()
    case "Server": .server(status: 503)
    case "Internal": .internal()
    default: throw ScriptError("there is no step and no error \(kind)")
    }
}
