package org.directauth

import java.time.Instant
import kotlin.time.Duration

/**
 * A signed-in user. Letting go of it ends nothing. Every handle on one session shows the same, newest tokens.
 *
 * Every suspending function throws [AuthException]: [AuthException.SessionEnded] once the session is over,
 * [AuthException.ReauthRequired] if it is kept but cannot be renewed without the user.
 */
public interface AuthSession {
    /** The session's random id; it says nothing about the user. */
    public val id: String

    /** The username that was typed. */
    public val username: String

    /** The claims of the newest validated ID token; null if the scope `openid` was not granted. */
    public val claims: Claims?

    /** The scopes that the server granted. */
    public val grantedScopes: List<String>

    /** When the access token expires, on the device's wall clock. */
    public val expiresAt: Instant

    /** Whether the newest tokens are in the storage. */
    public val isPersisted: Boolean

    /** Whether the server gave a refresh token. */
    public val canRefresh: Boolean

    /** Whether its tokens are bound to a key, so that they are of no use to whoever steals them. */
    public val isDPoPBound: Boolean

    /** The access token, refreshed first if it has expired. Prefer [authorize]. */
    public suspend fun accessToken(): String

    /** The newest validated ID token in its compact form; null if there is none. */
    public fun idToken(): String?

    /** Refreshes now, or waits for the refresh that is under way. It runs to its end whoever is waiting. */
    public suspend fun refresh()

    /**
     * The headers that authorize one request. Refreshes when due; ask anew for each send.
     *
     * @throws AuthException.Configuration if [url] is not https, or neither of the issuer's nor of a configured origin
     */
    public suspend fun authorize(method: String, url: String): AuthorizationHeaders

    /**
     * What to do with a resource server's answer to a request that carried [used].
     *
     * @param headers the answer's; only `WWW-Authenticate` and `DPoP-Nonce` matter. A field that came several times is given as often
     */
    public suspend fun advise(used: AuthorizationHeaders, status: Int, headers: List<HeaderField>): Advice

    /** A sign-in of this session's user that reaches what a resource demands. Sends nothing yet. The session stays what it is. */
    public fun stepUp(acrValues: List<String> = emptyList(), maxAge: Duration? = null): SignIn

    /** What the server's userinfo endpoint says of the user. */
    public suspend fun userInfo(): Claims

    /** Asks the server whether a token still works. */
    public suspend fun introspect(token: SessionToken): Introspection

    /** Signs out, also offline. */
    public suspend fun signOut(): SignOutResult
}

/** The headers that authorize one request. Printing them shows none of it. */
public interface AuthorizationHeaders {
    /** By name: `authorization`, and `dpop` if the token is bound to a key. Do not log the values. */
    public val values: Map<String, String>
}

/** One field of a resource server's answer. Printing it does not show the value. */
public class HeaderField(
    /** Its name, in any case. */
    public val name: String,
    /** Its value. */
    public val value: String,
) {
    override fun equals(other: Any?): Boolean = other is HeaderField && other.name == name && other.value == value

    override fun hashCode(): Int = 31 * name.hashCode() + value.hashCode()

    override fun toString(): String = "$name: [not printed]"
}

/** What an app does with a resource server's answer. */
public sealed interface Advice {
    /** It is the app's. */
    public data object Proceed : Advice

    /** Send the same request once more, with the headers of another [AuthSession.authorize]. */
    public data object Retry : Advice

    /** The resource wants the user to show more, or again: [AuthSession.stepUp] with this, then send the request again. */
    public data class StepUp(
        /** One of these, the most wanted first; any if empty. */
        public val acrValues: List<String>,
        /** How long ago the user may have been asked. */
        public val maxAge: Duration?,
    ) : Advice

    /** The session is over, or cannot be renewed without the user. */
    public data object SignInAgain : Advice
}

/** Which token of a session the server is asked about. */
public enum class SessionToken {
    /** The access token. */
    ACCESS,

    /** The refresh token. */
    REFRESH,
}

/** What the server says of a token. */
public class Introspection(
    /** Whether the token works now. */
    public val isActive: Boolean,
    /** What else it says, of an active token. **Untrusted** text. */
    public val claims: Claims?,
) {
    override fun toString(): String = "Introspection(${if (isActive) "active" else "inactive"})"
}

/** Validated claims. Their text comes from the server's directory: show it as text, never as markup. Printing them shows none. */
public interface Claims {
    /** `sub`: the user's identifier at the issuer; the only claim to recognise a user by. */
    public val subject: String

    /** Any claim that is text, such as `name`, `email`, `preferred_username`. */
    public fun text(name: String): String?

    /** Any claim that is a whole number, such as `auth_time`. */
    public fun integer(name: String): Long?

    /** Any claim that is true or false, such as `email_verified`. */
    public fun flag(name: String): Boolean?

    /** Any claim that is a list of texts, such as `amr`; empty if it is not there. */
    public fun texts(name: String): List<String>
}

/** What became of a session at sign-out, in both places. Either way nothing of it is used any more. */
public data class SignOutResult(
    /** What the server was told. */
    public val server: ServerSignOut,
    /** What the storage holds. */
    public val device: DeviceSignOut,
)

/** What the server was told at sign-out. */
public enum class ServerSignOut {
    /** It revoked the tokens. */
    REVOKED,

    /** It could not be reached; it is told later, for up to 24 hours. */
    PENDING,

    /** It refused, or nothing could be noted for later; its tokens end by themselves. */
    FAILED,

    /** It has no revocation endpoint; its tokens end by themselves. */
    UNSUPPORTED,
}

/** What the storage holds after a sign-out. */
public enum class DeviceSignOut {
    /** The record is deleted. */
    DELETED,

    /** The record could not be deleted yet; a tombstone beside it says that it is ended. */
    TOMBSTONED,
}
