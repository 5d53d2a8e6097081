import DirectAuthAPI
import Foundation

/// One of the app's screens, with what it needs. Nothing in it is secret: what a user types goes from its field to the library.
public enum Screen: Sendable, Hashable {
    /// The storage is being read.
    case starting
    /// Who signs in, and by what first.
    case signIn(SignInScreen)
    /// The server wants one more factor.
    case choose([Factor])
    /// A code that was sent, or that the user's authenticator app shows.
    case code(CodeScreen)
    /// A push waits on the user's device.
    case push(number: String?, expiresAt: Date, canChooseAnother: Bool)
    /// The platform asks for a passkey.
    case passkey(canChooseAnother: Bool)
    /// Somebody is signed in.
    case home(HomeScreen)
    /// Everybody who is signed in.
    case accounts([SessionInfo])
    /// Whether somebody is signed in cannot be known now, or never any more.
    case unavailable(StorageProblem)
}

public struct SignInScreen: Sendable, Hashable {
    public var username = ""
    /// Who is signed in shows more: the username is given.
    public var isStepUp = false
    /// Somebody is signed in already, and stays.
    public var isAnother = false

    /// With a user name that is there already.
    public static func named(_ username: String, isStepUp: Bool = false) -> SignInScreen {
        SignInScreen(username: username, isStepUp: isStepUp)
    }
}

public struct CodeScreen: Sendable, Hashable {
    public var way: Factor
    public var canResend: Bool
    /// From when on another one may be asked for.
    public var resendAt: Date?
    public var expiresAt: Date?
    public var canChooseAnother: Bool
}

public struct HomeScreen: Sendable, Hashable {
    public struct Claim: Sendable, Hashable, Identifiable {
        public var name: String
        public var value: String
        public var id: String { name }
    }

    public var name: String
    public var username: String
    public var claims: [Claim]
    public var scopes: [String]
    public var expiresAt: Date
    public var canRefresh: Bool
    public var isPersisted: Bool
    /// What the protected resource answered last.
    public var answer: String?
}

/// What a user has to know; the words for it are in the app's string catalogue.
public enum Problem: Sendable, Hashable {
    /// The library says what is wrong, and what helps.
    case failed(AuthError)
    /// A sign-in was under way when the system ended the app.
    case interrupted
    /// The session is of no use until the user signs in again.
    case signInAgain
    /// The session ended without the user's doing.
    case ended
    /// The protected resource does not answer as it should; its status, if there was one.
    case resource(status: Int?)
    /// This device has no passkeys for apps.
    case noPasskeys
}
