package org.directauth

import java.time.Instant
import kotlin.time.Duration

/** One event for the app's own log, without secrets and without user names. */
public data class AuditEvent(
    /** When it happened, by the device's wall clock. */
    public val at: Instant,
    /** The client's issuer. */
    public val issuer: String,
    /** The client's id. */
    public val clientId: String,
    /** The random id of the sign-in, refresh or session that this belongs to. */
    public val transactionId: String,
    /** Who it is about: a keyed hash of the user name, if the app gave a key for that. */
    public val user: String?,
    /** What happened. */
    public val kind: AuditKind,
    /** Events that were dropped since the last one that arrived. */
    public val droppedBefore: Long,
)

/** What happened. */
public sealed interface AuditKind {
    /** A credential, code, challenge or refresh is about to be sent. */
    public data class AttemptStarted(public val attempt: Attempt) : AuditKind

    /** It has ended. */
    public data class AttemptFinished(
        /** What was attempted. */
        public val attempt: Attempt,
        /** How it ended: `Success`, `MoreAssurance`, `Refused`, or an error's kind by its name. */
        public val outcome: String,
        /** The HTTP status, if there was an answer. */
        public val status: Int?,
        /** The server's id of the request. */
        public val requestId: String?,
        /** From the first byte to the outcome. */
        public val duration: Duration,
        /** How often it had been sent before. */
        public val retries: Int,
    ) : AuditKind

    /** A user is signed in. */
    public data class SessionStarted(public val sessionId: String) : AuditKind

    /** A session's user has shown more, or again. */
    public data class SessionSteppedUp(public val sessionId: String) : AuditKind

    /** A session is over. */
    public data class SessionEnded(public val sessionId: String, public val reason: EndReason) : AuditKind

    /** A sign-out has done what it could. */
    public data class SignedOut(
        /** The session's id. */
        public val sessionId: String,
        /** What the server was told. */
        public val server: ServerSignOut,
        /** Whether the record is gone from the storage. */
        public val deleted: Boolean,
    ) : AuditKind

    /** Something that a security team wants to know. */
    public data class Security(public val event: SecurityEvent) : AuditKind

    /** What a newer core may add, as it prints it. */
    public data class Other(public val what: String) : AuditKind
}

/** What was attempted. */
public sealed interface Attempt {
    /** The password. */
    public data object Password : Attempt

    /** A one-time code as first factor. */
    public data object Otp : Attempt

    /** A one-time code as second factor. */
    public data object SecondFactorOtp : Attempt

    /** Sending a prompt or code to the user. */
    public data class Send(public val factor: Factor) : Attempt

    /** A received code. */
    public data class Code(public val factor: Factor) : Attempt

    /** A passkey's assertion. */
    public data object Passkey : Attempt

    /** A new password, in a recovery. */
    public data object NewPassword : Attempt

    /** The polls for a prompt. */
    public data object Approval : Attempt

    /** A refresh. */
    public data object Refresh : Attempt

    /** Giving a token back. */
    public data object Revocation : Attempt

    /** What a newer core may add. */
    public data object Other : Attempt
}

/** Something that a security team wants to know. */
public sealed interface SecurityEvent {
    /** Tokens did not pass a check. */
    public data class TokenRejected(public val check: String) : SecurityEvent

    /** The server calls itself by another name. */
    public data object IssuerMismatch : SecurityEvent

    /** The server tried to redirect a request. */
    public data object RedirectBlocked : SecurityEvent

    /** The server answered a proof with bearer tokens, and they were taken. */
    public data object NotBound : SecurityEvent

    /** The key that a session is bound to cannot be used any more. */
    public data class KeyUnavailable(public val problem: KeyProblem) : SecurityEvent

    /** The device's clock is off by more than the tolerance: seconds by which the server is ahead. */
    public data class ClockOffset(public val seconds: Long) : SecurityEvent

    /** More scopes were granted than asked for. */
    public data object ScopeWidened : SecurityEvent

    /** An answer brought the access token of another session, or again one that has expired. */
    public data object AccessTokenReused : SecurityEvent

    /** The server says that a token of this session is another client's or user's. */
    public data object IntrospectionMismatch : SecurityEvent

    /** A refresh answered for another user. */
    public data object SubjectChanged : SecurityEvent

    /** The newest refresh token was refused. */
    public data object RefreshTokenRefused : SecurityEvent

    /** It was refused although nobody should have used it before. */
    public data object RefreshReuseSuspected : SecurityEvent

    /** Tokens arrived for a sign-in that was cancelled, and were revoked. */
    public data object LateTokensRevoked : SecurityEvent

    /** A token was never revoked: the server could not be reached for a day. */
    public data object RevocationGivenUp : SecurityEvent

    /** A session could not be stored. */
    public data object NotPersisted : SecurityEvent

    /** An earlier session could not be read at a sign-in, and is replaced later. */
    public data object NotReplaced : SecurityEvent

    /** A session is neither rotated nor bound to a key. */
    public data object StaticBearerSession : SecurityEvent

    /** A request went without some or all of what the app's header provider had to give. */
    public data class HeaderProviderFailed(public val problem: HeaderProblem) : SecurityEvent

    /** What a newer core may add, as it prints it. */
    public data class Other(public val what: String) : SecurityEvent
}

/** Why a request went without headers of the app's provider. */
public enum class HeaderProblem {
    /** It reported an error, or threw. */
    FAILED,

    /** It needed longer than 2 s. */
    LATE,

    /** It was not asked, because as many calls as allowed are still under way. */
    BUSY,

    /** Some of its headers are reserved, malformed, repeated or too many; the others were sent. */
    REFUSED,
}
