package org.directauth.testing

import java.util.concurrent.CopyOnWriteArrayList
import kotlin.time.Duration
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.yield
import org.directauth.AuditEvent
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.DirectAuthClient
import org.directauth.EndReason
import org.directauth.Recovery
import org.directauth.SessionInfo
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignOutResult

/**
 * A client for an app's own tests, without native code and without a server: it answers what its [script] says.
 *
 * ```
 * val auth = FakeDirectAuth(Script.passwordThenSms(code = "123456"))
 * ```
 *
 * An action that the script does not have at this point throws [IllegalStateException] with what it has.
 *
 * @param session whom a sign-in signs in
 * @param restored who is signed in already; null: nobody
 */
public class FakeDirectAuth(
    private val script: Script,
    private val session: FakeSession = FakeSession(),
    restored: FakeSession? = null,
) : DirectAuthClient {
    private val shown = MutableStateFlow<AuthState>(AuthState.SignedOut)
    private val told = MutableSharedFlow<AuditEvent>(extraBufferCapacity = 256)
    private val done = CopyOnWriteArrayList<String>()
    private val held = MutableStateFlow(Held())
    private var position = 0
    private var signIns = 0

    init {
        restored?.let(::show)
    }

    /** What the app has done, in order: `signIn.password`, `choose.sms`, `submit`, … */
    public val actions: List<String> get() = done.toList()

    /** Whether everything that the script leads to by success has been done. */
    public val isFinished: Boolean
        get() = synchronized(this) { script.exchanges.drop(position).all { it.outcome is Outcome.Failure } }

    override val state: StateFlow<AuthState> = shown.asStateFlow()

    override val events: Flow<AuditEvent> = told.asSharedFlow()

    /**
     * What the app does in a sign-in from now on waits, as on a slow network or for a user who does not answer, until [release].
     *
     * @param action only this, by its name in [actions], such as `approved`; null: whatever it does
     */
    public fun hold(action: String? = null) {
        held.update { Held(isOn = true, action, it.looks) }
    }

    /** Lets go on what waits. */
    public fun release() {
        held.update { Held(looks = it.looks) }
    }

    /** Shows this state, as when the storage becomes unreadable. */
    public fun show(state: AuthState) {
        shown.value = state
    }

    /** Tells an event. */
    public fun tell(event: AuditEvent) {
        told.tryEmit(event)
    }

    override fun signIn(username: String, acrValues: List<String>, maxAge: Duration?): SignIn = FakeFirst(this, "signIn", username.trim())

    override suspend fun signInWithPasskey(): SignInStep = FakeTransaction(this, session.username).act("signInWithPasskey")

    override fun recover(username: String): Recovery = FakeFirst(this, "recover", username.trim())

    override suspend fun warmUp(): Unit = yield()

    override suspend fun restore(): AuthSession? {
        yield()
        return when (val state = shown.first { it != AuthState.Restoring }) {
            is AuthState.SignedIn -> state.session
            is AuthState.Unavailable -> throw AuthException.StorageUnavailable(state.reason)
            else -> null
        }
    }

    override suspend fun sessions(): List<SessionInfo> = listOfNotNull(restore()?.let { SessionInfo(it.id, it.username, true) })

    override suspend fun session(id: String): AuthSession? = restore()?.takeIf { it.id == id }

    override suspend fun setDefault(id: String): AuthSession =
        session(id) ?: throw AuthException.SessionEnded(EndReason.SIGNED_OUT)

    override suspend fun signOut(): SignOutResult? = restore()?.signOut()

    override suspend fun signOutAll(): List<SignOutResult> = listOfNotNull(signOut())

    override suspend fun importSession(refreshToken: String): AuthSession {
        yield()
        return signedIn(session.username)
    }

    override fun notifyForeground(): Unit = Unit

    override suspend fun discardUnreadable(): Int = 0

    override fun close(): Unit = Unit

    private fun show(session: FakeSession) {
        session.onSignOut = { shown.compareAndSet(AuthState.SignedIn(session), AuthState.SignedOut) }
        shown.value = AuthState.SignedIn(session)
    }

    /** The session that the app's test gave at first, and another one with each further sign-in. */
    internal fun signedIn(username: String): FakeSession =
        synchronized(this) { session.signedIn(username, ++signIns) }.also(::show)

    /** Waits as long as an action is held, unless its sign-in is cancelled meanwhile. */
    internal suspend fun proceed(action: String, isCancelled: () -> Boolean) {
        // As the real thing: a caller that was cancelled before gets nothing.
        yield()
        held.first { isCancelled() || !it.holds(action) }
        if (isCancelled()) throw AuthException.Cancelled()
    }

    /** What waits looks whether it may go on. */
    internal fun look() {
        held.update { it.copy(looks = it.looks + 1) }
    }

    internal fun outcome(action: String, code: String?): Outcome = synchronized(this) { outcomeOf(action, code) }

    private fun outcomeOf(action: String, code: String?): Outcome {
        val typed =
            when {
                code == null -> Typed.ANYTHING
                digits(code) == digits(script.code) -> Typed.THE_RIGHT_CODE
                else -> Typed.A_WRONG_CODE
            }
        done += action
        var next = position
        while (next < script.exchanges.size) {
            val exchange = script.exchanges[next]
            val isThis = exchange.action == null || exchange.action == action
            if (isThis && (exchange.typed == Typed.ANYTHING || exchange.typed == typed)) {
                position = next + 1
                return exchange.outcome
            }
            // The app need not make the mistakes of the script.
            if (exchange.outcome is Outcome.Step) {
                if (isThis && typed == Typed.A_WRONG_CODE) return Outcome.Failure(AuthException.Rejected())
                error("the script goes on with ${exchange.action}, and not with $action")
            }
            next++
        }
        error("the script has ended; nothing answers $action")
    }

    private fun digits(code: String) = code.filter(Char::isLetterOrDigit)

    /** What waits; [looks] grows so that whoever waits looks again. */
    private data class Held(val isOn: Boolean = false, val action: String? = null, val looks: Int = 0) {
        fun holds(action: String) = isOn && (this.action == null || this.action == action)
    }
}
