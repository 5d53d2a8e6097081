package org.directauth

import kotlin.time.Duration
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.StateFlow

/**
 * A client of one authorization server: who is signed in, and the ways to sign in.
 *
 * The library makes one with `DirectAuthClient(issuer, clientId) { … }`; the `directauth-testing` artifact has a fake. Keep one
 * for each server as long as the process lives. All functions may be called on any thread, the main one too: work is done elsewhere.
 *
 * Every suspending function throws [AuthException], and [kotlin.coroutines.cancellation.CancellationException] if its caller was
 * cancelled. A cancelled sign-in sends nothing new and signs nobody in, unless it was complete already: then [state] shows it. A
 * cancelled refresh runs to its end and is stored.
 */
public interface DirectAuthClient : AutoCloseable {
    /**
     * Who is signed in; the newest state is always delivered.
     *
     * The first look at it starts the restore, which reads the storage on another thread: so what is read first is
     * [AuthState.Restoring], and an app collects it, or calls [restore]. If the client is configured wrongly it becomes
     * [AuthState.SignedOut], and every call says what is wrong.
     */
    public val state: StateFlow<AuthState>

    /**
     * What happens from the moment of collecting on, for the app's own log: without secrets and without user names. A collector that
     * is slower than 256 events misses some, which the next one counts in [AuditEvent.droppedBefore].
     */
    public val events: Flow<AuditEvent>

    /**
     * A user who is about to sign in. Sends nothing yet.
     *
     * @param acrValues what the sign-in has to reach, the most wanted first
     * @param maxAge how long ago the user may have been asked
     */
    public fun signIn(username: String, acrValues: List<String> = emptyList(), maxAge: Duration? = null): SignIn

    /** A passkey that says itself whose it is: no username is typed. Sends one request. */
    public suspend fun signInWithPasskey(): SignInStep

    /** A user who has forgotten the password. Sends nothing yet. */
    public fun recover(username: String): Recovery

    /**
     * Fetches metadata and keys and opens a connection for the next sign-in, while the user is still typing. What fails there is no
     * error here: the sign-in meets and tells it.
     *
     * @throws AuthException.Configuration if the client is configured wrongly
     */
    public suspend fun warmUp()

    /**
     * The session that is signed in, with several accounts the default one; null if nobody is.
     *
     * @throws AuthException.StorageUnavailable if the storage cannot be read now; nothing is lost or ended by that
     */
    public suspend fun restore(): AuthSession?

    /** Everybody who is signed in, the default first. */
    public suspend fun sessions(): List<SessionInfo>

    /** One session by its [AuthSession.id]; null if there is none. */
    public suspend fun session(id: String): AuthSession?

    /** Makes a session the default one. */
    public suspend fun setDefault(id: String): AuthSession

    /** Signs the default session out, also offline; null if nobody is signed in. */
    public suspend fun signOut(): SignOutResult?

    /** Signs every session out. */
    public suspend fun signOutAll(): List<SignOutResult>

    /** Takes over a session from another library by its refresh token: one validated refresh. If that fails nothing changes. */
    public suspend fun importSession(refreshToken: String): AuthSession

    /** To be called when the app comes to the foreground or the device is unlocked: what was unavailable is read again. */
    public fun notifyForeground()

    /** Deletes stored sessions that can never be read again; gives how many. */
    public suspend fun discardUnreadable(): Int

    /** Ends [events], leaves [state] as it is, and gives the client's memory back. Nobody is signed out. Later calls throw [IllegalStateException]. */
    override fun close()
}

/** Who is signed in. */
public sealed interface AuthState {
    /** The storage is being read. Show a splash screen. */
    public data object Restoring : AuthState

    /** Nobody. */
    public data object SignedOut : AuthState

    /** Somebody; with several accounts the default one. */
    public data class SignedIn(public val session: AuthSession) : AuthState

    /** It cannot be known now, or never any more: see [StorageProblem.isTemporary]. */
    public data class Unavailable(public val reason: StorageProblem) : AuthState
}

/** One of the signed-in users, for a list to choose from. Printing it does not show the user's name. */
public class SessionInfo(
    /** The session's random id. */
    public val id: String,
    /** The username that was typed. */
    public val username: String,
    /** Whether it is the one that [DirectAuthClient.restore] gives. */
    public val isDefault: Boolean,
) {
    override fun equals(other: Any?): Boolean =
        other is SessionInfo && other.id == id && other.username == username && other.isDefault == isDefault

    override fun hashCode(): Int = id.hashCode()

    override fun toString(): String = "SessionInfo($id${if (isDefault) ", the default" else ""})"
}
