import Foundation

/// A signed-in user. Letting go of it ends nothing. Every handle on one session shows the same, newest tokens.
///
/// Every function that throws throws ``AuthError``: ``AuthError/sessionEnded(reason:details:)`` once the session is over,
/// ``AuthError/reauthRequired(reason:details:)`` if it is kept but cannot be renewed without the user.
public protocol AuthSession: AnyObject, Sendable {
    /// The session's random id; it says nothing about the user.
    var id: String { get }

    /// The username that was typed.
    var username: String { get }

    /// The claims of the newest validated ID token; nil if the scope `openid` was not granted.
    var claims: (any Claims)? { get }

    /// The scopes that the server granted.
    var grantedScopes: [String] { get }

    /// When the access token expires, on the device's wall clock.
    var expiresAt: Date { get }

    /// Whether the newest tokens are in the storage.
    var isPersisted: Bool { get }

    /// Whether the server gave a refresh token.
    var canRefresh: Bool { get }

    /// Whether its tokens are bound to a key, so that they are of no use to whoever steals them.
    var isDPoPBound: Bool { get }

    /// The access token, refreshed first if it has expired. Prefer ``authorize(method:url:)``.
    func accessToken() async throws -> String

    /// The newest validated ID token in its compact form; nil if there is none.
    func idToken() -> String?

    /// Refreshes now, or waits for the refresh that is under way. It runs to its end whoever is waiting.
    func refresh() async throws

    /// The headers that authorize one request. Refreshes when due; ask anew for each send.
    ///
    /// - Throws: ``AuthError/configuration(what:details:)`` if the address is not https, or neither of the issuer's nor of a configured
    ///   origin.
    func authorize(method: String, url: URL) async throws -> any AuthorizationHeaders

    /// What to do with a resource server's answer to a request that carried `used`.
    ///
    /// - Parameters:
    ///   - used: what ``authorize(method:url:)`` of this client has given for that request.
    ///   - status: the answer's.
    ///   - headers: the answer's; only `WWW-Authenticate` and `DPoP-Nonce` matter. A field that came several times is given as often.
    func advise(used: any AuthorizationHeaders, status: Int, headers: [HeaderField]) async throws -> Advice

    /// A sign-in of this session's user that reaches what a resource demands. Sends nothing yet. The session stays what it is.
    func stepUp(acrValues: [String], maxAge: TimeInterval?) -> any SignIn

    /// What the server's userinfo endpoint says of the user.
    func userInfo() async throws -> any Claims

    /// Asks the server whether a token still works.
    func introspect(_ token: SessionToken) async throws -> Introspection

    /// Signs out, also offline.
    @discardableResult
    func signOut() async throws -> SignOutResult
}

extension AuthSession {
    /// A sign-in of this session's user that reaches one of these, the most wanted first. Sends nothing yet.
    public func stepUp(acrValues: [String]) -> any SignIn {
        stepUp(acrValues: acrValues, maxAge: nil)
    }

    /// A sign-in of this session's user, who may have been asked so many seconds ago. Sends nothing yet.
    public func stepUp(maxAge: TimeInterval?) -> any SignIn {
        stepUp(acrValues: [], maxAge: maxAge)
    }

    /// A sign-in that reaches what a resource has demanded. Sends nothing yet.
    public func stepUp(_ demand: StepUpRequired) -> any SignIn {
        stepUp(acrValues: demand.acrValues, maxAge: demand.maxAge)
    }
}

/// The headers that authorize one request. Printing them shows none of it.
public protocol AuthorizationHeaders: AnyObject, Sendable {
    /// By name: `authorization`, and `dpop` if the token is bound to a key. Do not log the values.
    var values: [String: String] { get }
}

/// One field of a resource server's answer. Printing it does not show the value.
public struct HeaderField: Sendable, Hashable {
    /// Its name, in any case.
    public let name: String
    /// Its value.
    public let value: String

    /// One field of a resource server's answer.
    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

extension HeaderField: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "\(name): [not printed]" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["name": name]) }
}

/// What an app does with a resource server's answer.
public enum Advice: Sendable, Hashable {
    /// It is the app's.
    case proceed
    /// Send the same request once more, with the headers of another ``AuthSession/authorize(method:url:)``.
    case retry
    /// The resource wants the user to show more, or again: ``AuthSession/stepUp(_:)`` with this, then send the request again.
    case stepUp(StepUpRequired)
    /// The session is over, or cannot be renewed without the user.
    case signInAgain
}

/// What a resource demands of the user before it answers; thrown by `URLSession.data(for:authorizedBy:)`.
public struct StepUpRequired: Error, Sendable, Hashable {
    /// One of these, the most wanted first; any if empty.
    public let acrValues: [String]
    /// How long ago the user may have been asked, in seconds.
    public let maxAge: TimeInterval?

    /// What a resource demands.
    public init(acrValues: [String] = [], maxAge: TimeInterval? = nil) {
        self.acrValues = acrValues
        self.maxAge = maxAge
    }
}

extension StepUpRequired: LocalizedError {
    public var errorDescription: String? { "Please confirm that it is you." }
}

/// Which token of a session the server is asked about.
public enum SessionToken: Sendable, Hashable, CaseIterable {
    /// The access token.
    case access
    /// The refresh token.
    case refresh
}

/// What the server says of a token. Printing it shows only whether it works.
public struct Introspection: Sendable {
    /// Whether the token works now.
    public let isActive: Bool
    /// What else it says, of an active token. **Untrusted** text.
    public let claims: (any Claims)?

    /// What the server says of a token.
    public init(isActive: Bool, claims: (any Claims)?) {
        self.isActive = isActive
        self.claims = claims
    }
}

extension Introspection: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Introspection(\(isActive ? "active" : "inactive"))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["isActive": isActive]) }
}

/// Validated claims. Their text comes from the server's directory: show it as text, never as markup. Printing them shows none.
public protocol Claims: AnyObject, Sendable {
    /// `sub`: the user's identifier at the issuer; the only claim to recognise a user by.
    var subject: String { get }

    /// Any claim that is text, such as `name`, `email`, `preferred_username`.
    func text(_ name: String) -> String?

    /// Any claim that is a whole number, such as `auth_time`.
    func integer(_ name: String) -> Int64?

    /// Any claim that is true or false, such as `email_verified`.
    func flag(_ name: String) -> Bool?

    /// Any claim that is a list of texts, such as `amr`; empty if it is not there.
    func texts(_ name: String) -> [String]
}

/// What became of a session at sign-out, in both places. Either way nothing of it is used any more.
public struct SignOutResult: Sendable, Hashable {
    /// What the server was told.
    public let server: ServerSignOut
    /// What the storage holds.
    public let device: DeviceSignOut

    /// What became of a session at sign-out.
    public init(server: ServerSignOut, device: DeviceSignOut) {
        self.server = server
        self.device = device
    }
}

/// What the server was told at sign-out.
public enum ServerSignOut: Sendable, Hashable, CaseIterable {
    /// It revoked the tokens.
    case revoked
    /// It could not be reached; it is told later, for up to 24 hours.
    case pending
    /// It refused, or nothing could be noted for later; its tokens end by themselves.
    case failed
    /// It has no revocation endpoint; its tokens end by themselves.
    case unsupported
}

/// What the storage holds after a sign-out.
public enum DeviceSignOut: Sendable, Hashable, CaseIterable {
    /// The record is deleted.
    case deleted
    /// The record could not be deleted yet; a tombstone beside it says that it is ended.
    case tombstoned
}
