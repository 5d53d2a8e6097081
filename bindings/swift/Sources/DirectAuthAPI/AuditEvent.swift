import Foundation

/// One event for the app's own log, without secrets and without user names.
public struct AuditEvent: Sendable, Hashable {
    /// When it happened, by the device's wall clock.
    public let at: Date
    /// The client's issuer.
    public let issuer: String
    /// The client's id.
    public let clientID: String
    /// The random id of the sign-in, refresh or session that this belongs to.
    public let transactionID: String
    /// Who it is about: a keyed hash of the user name, if the app gave a key for that.
    public let user: String?
    /// What happened.
    public let kind: AuditKind
    /// Events that were dropped since the last one that arrived.
    public let droppedBefore: Int64

    /// One event.
    public init(
        at: Date, issuer: String, clientID: String, transactionID: String, user: String? = nil, kind: AuditKind,
        droppedBefore: Int64 = 0
    ) {
        self.at = at
        self.issuer = issuer
        self.clientID = clientID
        self.transactionID = transactionID
        self.user = user
        self.kind = kind
        self.droppedBefore = droppedBefore
    }
}

/// What happened.
public enum AuditKind: Sendable, Hashable {
    /// A credential, code, challenge or refresh is about to be sent.
    case attemptStarted(Attempt)
    /// It has ended: `Success`, `MoreAssurance`, `Refused`, or an error's kind by its name; the HTTP status, if there was an answer; the
    /// server's id of the request; the seconds from the first byte to the outcome; and how often it had been sent before.
    case attemptFinished(Attempt, outcome: String, status: Int?, requestID: String?, duration: TimeInterval, retries: Int)
    /// A user is signed in.
    case sessionStarted(sessionID: String)
    /// A session's user has shown more, or again.
    case sessionSteppedUp(sessionID: String)
    /// A session is over.
    case sessionEnded(sessionID: String, reason: EndReason)
    /// A sign-out has done what it could: what the server was told, and whether the record is gone from the storage.
    case signedOut(sessionID: String, server: ServerSignOut, deleted: Bool)
    /// Something that a security team wants to know.
    case security(SecurityEvent)
    /// What a newer core may add, as it prints it.
    case other(String)
}

/// What was attempted.
public enum Attempt: Sendable, Hashable {
    /// The password.
    case password
    /// A one-time code as first factor.
    case otp
    /// A one-time code as second factor.
    case secondFactorOTP
    /// Sending a prompt or code to the user.
    case send(Factor)
    /// A received code.
    case code(Factor)
    /// A passkey's assertion.
    case passkey
    /// A new password, in a recovery.
    case newPassword
    /// The polls for a prompt.
    case approval
    /// A refresh.
    case refresh
    /// Giving a token back.
    case revocation
    /// What a newer core may add.
    case other
}

/// Something that a security team wants to know.
public enum SecurityEvent: Sendable, Hashable {
    /// Tokens did not pass a check.
    case tokenRejected(check: String)
    /// The server calls itself by another name.
    case issuerMismatch
    /// The server tried to redirect a request.
    case redirectBlocked
    /// The server answered a proof with bearer tokens, and they were taken.
    case notBound
    /// The key that a session is bound to cannot be used any more.
    case keyUnavailable(KeyProblem)
    /// The device's clock is off by more than the tolerance: seconds by which the server is ahead.
    case clockOffset(seconds: Int64)
    /// More scopes were granted than asked for.
    case scopeWidened
    /// An answer brought the access token of another session, or again one that has expired.
    case accessTokenReused
    /// The server says that a token of this session is another client's or user's.
    case introspectionMismatch
    /// A refresh answered for another user.
    case subjectChanged
    /// The newest refresh token was refused.
    case refreshTokenRefused
    /// It was refused although nobody should have used it before.
    case refreshReuseSuspected
    /// Tokens arrived for a sign-in that was cancelled, and were revoked.
    case lateTokensRevoked
    /// A token was never revoked: the server could not be reached for a day.
    case revocationGivenUp
    /// A session could not be stored.
    case notPersisted
    /// An earlier session could not be read at a sign-in, and is replaced later.
    case notReplaced
    /// A session is neither rotated nor bound to a key.
    case staticBearerSession
    /// A request went without some or all of what the app's header provider had to give.
    case headerProviderFailed(HeaderProblem)
    /// What a newer core may add, as it prints it.
    case other(String)
}

/// Why a request went without headers of the app's provider.
public enum HeaderProblem: Sendable, Hashable, CaseIterable {
    /// It reported an error, or threw.
    case failed
    /// It needed longer than 2 s.
    case late
    /// It was not asked, because as many calls as allowed are still under way.
    case busy
    /// Some of its headers are reserved, malformed, repeated or too many; the others were sent.
    case refused
}
