import Foundation

/// Where a sign-in stands: each step offers only what can come next.
///
/// After an error the step in hand stays usable unless the error says otherwise; a step whose action has succeeded is spent, except
/// ``ChooseFactor``. A step that is let go of ends by itself.
public enum SignInStep: Sendable {
    /// Done. Letting go of the session does not sign out.
    case signedIn(any AuthSession)
    /// The server wants a second factor.
    case chooseFactor(any ChooseFactor)
    /// A prompt is on the user's device.
    case approveOnDevice(any ApproveOnDevice)
    /// A code is on its way to the user.
    case enterCode(any EnterCode)
    /// The platform is to use a passkey.
    case usePasskey(any UsePasskey)
    /// The user may set a new password.
    case resetPassword(any ResetPassword)
    /// The new password is set, and the recovery is over: sign in with it.
    case passwordChanged
    /// The server wants something that this version or the declared capabilities cannot do; what it is, for a developer.
    case unsupported(what: String)
}

extension SignInStep {
    /// Where "back" leads: the choice that this step came from; nil if it was the first factor.
    public var choice: (any ChooseFactor)? {
        switch self {
        case .approveOnDevice(let step): step.choice
        case .enterCode(let step): step.choice
        case .usePasskey(let step): step.choice
        case .signedIn, .chooseFactor, .resetPassword, .passwordChanged, .unsupported: nil
        }
    }
}

/// The factors that need no password. Each function sends one request.
public protocol FactorChoice: AnyObject, Sendable {
    /// With a code from an authenticator app.
    func otp(_ code: String) async throws -> SignInStep

    /// With a prompt on the user's device.
    func push() async throws -> SignInStep

    /// With a code by text message.
    func sms() async throws -> SignInStep

    /// With a code by a phone call.
    func voice() async throws -> SignInStep

    /// With a code by e-mail.
    func email() async throws -> SignInStep

    /// With a passkey.
    func passkey() async throws -> SignInStep
}

/// A user who is about to sign in: choose the first factor.
public protocol SignIn: FactorChoice {
    /// With the password, which is sent once and never altered.
    ///
    /// - Throws: ``AuthError/rejected(details:)`` if the server refused it; it does not say whether the user or the password is wrong.
    func password(_ password: String) async throws -> SignInStep
}

/// A user who has forgotten the password: choose the factor that shows who they are.
public protocol Recovery: FactorChoice {}

/// The server wants a second factor; the user or the app chooses one. It stays usable for another try, also after a refusal, until
/// the server forgets the sign-in.
public protocol ChooseFactor: FactorChoice {
    /// Those that can be chosen: what the server hinted, the app can do, and the server has not refused.
    var factors: [Factor] { get }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    func cancel()
}

/// A prompt is on the user's device.
public protocol ApproveOnDevice: AnyObject, Sendable {
    /// The number to show, which the user taps there; nil if the prompt asks for yes or no.
    var number: String? { get }

    /// When it ends, on the device's wall clock.
    var expiresAt: Date { get }

    /// Where "back" leads: the choice that this step came from; nil if it was the first factor.
    var choice: (any ChooseFactor)? { get }

    /// Waits until the user has answered, asking the server at its interval. May be cancelled and called again.
    ///
    /// - Throws: ``AuthError/declined(details:)`` if the user said no, or tapped a wrong number; ``AuthError/expired(details:)`` if
    ///   nobody answered in time.
    func approved() async throws -> SignInStep

    /// Sends another prompt: at most five in ten minutes.
    func resend() async throws -> SignInStep

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    func cancel()
}

/// A code is on its way to the user.
public protocol EnterCode: AnyObject, Sendable {
    /// By which way.
    var channel: Factor { get }

    /// When it ends, on the device's wall clock.
    var expiresAt: Date { get }

    /// From when on another code may be sent.
    var resendAt: Date { get }

    /// How many codes may still be entered.
    var attemptsLeft: Int { get }

    /// Where "back" leads: the choice that this step came from; nil if it was the first factor.
    var choice: (any ChooseFactor)? { get }

    /// The code that came.
    ///
    /// - Throws: ``AuthError/rejected(details:)`` if it was wrong, and the step stays usable;
    ///   ``AuthError/tooManyAttempts(details:)`` after the fifth wrong one.
    func submit(_ code: String) async throws -> SignInStep

    /// Sends another code; the old one works until that has succeeded.
    func resend() async throws -> SignInStep

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    func cancel()
}

/// The platform is to use a passkey: one ceremony for each challenge.
public protocol UsePasskey: AnyObject, Sendable {
    /// `PublicKeyCredentialRequestOptionsJSON`, for one ceremony of the platform.
    var requestJSON: String { get }

    /// The user's passkeys, if the server lists them.
    var enrolled: [EnrolledPasskey] { get }

    /// When it ends, on the device's wall clock.
    var expiresAt: Date { get }

    /// Where "back" leads: the choice that this step came from; nil if it was the first factor.
    var choice: (any ChooseFactor)? { get }

    /// The platform's `AuthenticationResponseJSON`.
    ///
    /// - Throws: ``AuthError/passkey(problem:details:)`` if it cannot be an answer to this challenge; nothing was sent.
    func answer(_ responseJSON: String) async throws -> SignInStep

    /// Another challenge, for another ceremony.
    func renew() async throws -> SignInStep

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    func cancel()
}

/// One of the user's passkeys, as the server knows it. Printing it shows nothing of it.
public struct EnrolledPasskey: Sendable, Hashable, Identifiable {
    /// The credential id, base64url.
    public let id: String
    /// What the user called it. **Untrusted** text.
    public let name: String

    /// One of the user's passkeys.
    public init(id: String, name: String) {
        self.id = id
        self.name = name
    }
}

extension EnrolledPasskey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "EnrolledPasskey([not printed])" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The user may set a new password. Only after ``AuthClient/recover(_:)``.
public protocol ResetPassword: AnyObject, Sendable {
    /// When it ends, on the device's wall clock.
    var expiresAt: Date { get }

    /// Sets it. A password that the policy refuses leaves the step usable.
    ///
    /// - Throws: ``AuthError/rejected(details:)`` if the policy refuses it; ``ServerText/causes`` may say why.
    func set(_ newPassword: String) async throws -> SignInStep

    /// Ends the recovery: nothing new is sent.
    func cancel()
}
