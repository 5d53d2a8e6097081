import Foundation

/// How a client is set up. What is nil is the library's default. Times are in seconds. Printing it shows no values.
///
/// A wrong value is told by the first call, as ``AuthError/configuration(what:details:)`` with what has to be changed.
public struct DirectAuthOptions: Sendable {
    /// The scopes to ask for; `openid` alone if not given. `offline_access` for a refresh token.
    public var scopes: [String]?

    /// The factors that the app has screens for; all if not given. Only these are offered to the server and to the user.
    public var capabilities: [Factor]?

    /// Where tokens may go besides the issuer's origin, each `https://host[:port]`.
    public var resourceOrigins: [String] = []

    /// Relying party ids besides the issuer's host.
    public var relyingParties: [String] = []

    /// Where a passkey is asked for as the second factor.
    public var passkeyStart: PasskeyStart?

    /// How a recovery is asked for.
    public var recoveryRequest: RecoveryRequest?

    /// Whether tokens are bound to a key of this device (RFC 9449).
    public var dpop: DPoP?

    /// More form parameters for the direct-authentication and token endpoints. Reserved names are refused.
    public var additionalParameters: [String: String]?

    /// How long a connection may take; 10 s if not given.
    public var connectTimeout: TimeInterval?

    /// How long a request may take; 30 s if not given.
    public var requestTimeout: TimeInterval?

    /// Which certificate authorities vouch for the server; the platform's if not given.
    public var trust: Trust?

    /// Public keys of which one must vouch for the server, each `sha256/` and base64; at least two.
    public var pins: [String]?

    /// Whether blanks around a typed user name are removed; yes if not given.
    public var trimUsernames: Bool?

    /// Whether a sign-in goes on when the storage cannot be written.
    public var whenStorageFails: WhenStorageFails?

    /// What becomes of tokens with more scopes than were asked for.
    public var widerScopes: WiderScopes?

    /// What kind of server it is.
    public var profile: Profile?

    /// How many users may be signed in at once.
    public var accounts: Accounts?

    /// Whether this process refreshes.
    public var refreshPolicy: RefreshPolicy?

    /// Whether other processes use the same storage.
    public var sharedStore = false

    /// How long one call of the storage may take, for one that asks the user; 10 s if not given.
    public var storageCallDeadline: TimeInterval?

    /// The same of the platform's keys.
    public var keyCallDeadline: TimeInterval?

    /// Where sessions are kept. Only in memory if not given: then a session ends with the process.
    public var storage: (any SecureStorage)?

    /// The platform's keys, for tokens that are bound to one; a key in software if not given.
    public var signingKey: (any SigningKey)?

    /// The lock that the processes of one storage share.
    public var crossProcessLock: (any CrossProcessLock)?

    /// The app's own headers.
    public var headerProvider: (any HeaderProvider)?

    /// Where events go, for an app that wants them from the first moment on; see also ``AuthClient/events``.
    public var auditSink: (any AuditSink)?

    /// The key under which user names are hashed in events; without it they are left out. Secret.
    public var auditKey: String?

    /// The proxy; none if not given.
    public var proxy: Proxy?

    /// The library's defaults.
    public init() {}
}

extension DirectAuthOptions: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "DirectAuthOptions" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A way to show who one is, besides the password.
public enum Factor: Sendable, Hashable, CaseIterable {
    /// A one-time code from an authenticator app.
    case otp
    /// A prompt on the user's device.
    case push
    /// A code by text message.
    case sms
    /// A code by a phone call.
    case voice
    /// A code by e-mail.
    case email
    /// A passkey (WebAuthn).
    case passkey
}

/// Where a passkey is asked for as the second factor.
public enum PasskeyStart: Sendable, Hashable, CaseIterable {
    /// At `/challenge`, as every other second factor.
    case challenge
    /// At `/primary-authenticate`.
    case primaryAuthenticate
}

/// How a recovery is asked for.
public enum RecoveryRequest: Sendable, Hashable, CaseIterable {
    /// By `intent=recovery`.
    case intent
    /// By `prompt=recover_authenticator`.
    case prompt
}

/// Whether tokens are bound to a key of this device (RFC 9449).
public enum DPoP: Sendable, Hashable, CaseIterable {
    /// They are bearer tokens.
    case off
    /// They are if the server can.
    case preferred
    /// They are, or nobody is signed in.
    case required
}

/// What kind of server it is.
public enum Profile: Sendable, Hashable, CaseIterable {
    /// Okta, or a server that treats refresh tokens as Okta does.
    case okta
    /// Any OpenID provider.
    case oidc
}

/// How many users may be signed in at once.
public enum Accounts: Sendable, Hashable, CaseIterable {
    /// One: a sign-in replaces whatever session was there.
    case one
    /// Many: a sign-in replaces the same user's session only.
    case many
}

/// Whether this process refreshes.
public enum RefreshPolicy: Sendable, Hashable, CaseIterable {
    /// Whenever it is due.
    case whenDue
    /// Never, for a widget or an extension without a lock.
    case never
}

/// Whether a sign-in goes on when the storage cannot be written.
public enum WhenStorageFails: Sendable, Hashable, CaseIterable {
    /// Refuse before the credential is sent.
    case refuse
    /// Sign in all the same and keep the session in memory.
    case keepInMemory
}

/// What becomes of tokens with more scopes than were asked for.
public enum WiderScopes: Sendable, Hashable, CaseIterable {
    /// They are taken.
    case accept
    /// They are not.
    case refuse
}

/// Which certificate authorities vouch for the server.
public enum Trust: Sendable, Hashable {
    /// The platform's own verifier and its settings.
    case platform
    /// Mozilla's authorities, compiled in.
    case bundled
    /// Only the authorities of a PEM text.
    case custom(pem: String)
}

/// How the server is reached. Printing it does not show the password.
public enum Proxy: Sendable, Hashable {
    /// The proxy that the process's environment names.
    case system
    /// `http://[user:password@]host:port`.
    case http(String)
}

extension Proxy: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        switch self {
        case .system: "Proxy(system)"
        case .http: "Proxy([not printed])"
        }
    }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
