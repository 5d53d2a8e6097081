package org.directauth.testing

import java.time.Instant
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicBoolean
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
import org.directauth.ApproveOnDevice
import org.directauth.AuditEvent
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DirectAuthClient
import org.directauth.EndReason
import org.directauth.EnrolledPasskey
import org.directauth.EnterCode
import org.directauth.Factor
import org.directauth.PasswordChanged
import org.directauth.Recovery
import org.directauth.ResetPassword
import org.directauth.SessionInfo
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignOutResult
import org.directauth.SignedIn
import org.directauth.UnsupportedStep
import org.directauth.UsePasskey

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
     * What the app does from now on waits, as on a slow network or for a user who does not answer, until [release].
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

    override fun signIn(username: String, acrValues: List<String>, maxAge: Duration?): SignIn = First(username)

    override suspend fun signInWithPasskey(): SignInStep = SignInInHand(session.username).act("signInWithPasskey")

    override fun recover(username: String): Recovery = FirstOfRecovery(username)

    override suspend fun warmUp(): Unit = yield()

    override suspend fun restore(): AuthSession? {
        yield()
        return (shown.value as? AuthState.SignedIn)?.session
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
    private fun signedIn(username: String): FakeSession =
        synchronized(this) { session.signedIn(username, ++signIns) }.also(::show)

    /** What waits; [looks] grows so that whoever waits looks again. */
    private data class Held(val isOn: Boolean = false, val action: String? = null, val looks: Int = 0) {
        fun holds(action: String) = isOn && (this.action == null || this.action == action)
    }

    /** One sign-in: what its steps share. */
    private inner class SignInInHand(val username: String) {
        @Volatile
        var isCancelled = false
            private set

        @Volatile
        var choice: FakeChooseFactor? = null

        fun cancel() {
            isCancelled = true
            // What waits looks again.
            held.update { it.copy(looks = it.looks + 1) }
        }

        suspend fun act(action: String, code: String? = null): SignInStep {
            // As the real thing: a caller that was cancelled before gets nothing.
            yield()
            held.first { isCancelled || !it.holds(action) }
            if (isCancelled) throw AuthException.Cancelled()
            val outcome = synchronized(this@FakeDirectAuth) { outcomeOf(action, code) }
            return when (outcome) {
                is Outcome.Failure -> throw outcome.error
                is Outcome.Step -> stepOf(outcome.make)
            }
        }

        private fun stepOf(kind: StepKind): SignInStep =
            when (kind) {
                StepKind.SignedIn -> SignedIn(signedIn(username))
                is StepKind.ChooseFactor -> FakeChooseFactor(this, kind.factors).also { choice = it }
                is StepKind.ApproveOnDevice -> FakeApproveOnDevice(this, kind.number)
                is StepKind.EnterCode -> FakeEnterCode(this, kind.channel)
                StepKind.UsePasskey -> FakeUsePasskey(this)
                StepKind.ResetPassword -> FakeResetPassword(this)
                StepKind.PasswordChanged -> PasswordChanged
                StepKind.Unsupported -> UnsupportedStep("as the script says")
            }
    }

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

    private inner class First(private val username: String) : SignIn {
        override suspend fun password(password: String) = SignInInHand(username).act("signIn.password")

        override suspend fun otp(code: String) = SignInInHand(username).act("signIn.otp", code)

        override suspend fun push() = SignInInHand(username).act("signIn.push")

        override suspend fun sms() = SignInInHand(username).act("signIn.sms")

        override suspend fun voice() = SignInInHand(username).act("signIn.voice")

        override suspend fun email() = SignInInHand(username).act("signIn.email")

        override suspend fun passkey() = SignInInHand(username).act("signIn.passkey")
    }

    private inner class FirstOfRecovery(private val username: String) : Recovery {
        override suspend fun otp(code: String) = SignInInHand(username).act("recover.otp", code)

        override suspend fun push() = SignInInHand(username).act("recover.push")

        override suspend fun sms() = SignInInHand(username).act("recover.sms")

        override suspend fun voice() = SignInInHand(username).act("recover.voice")

        override suspend fun email() = SignInInHand(username).act("recover.email")

        override suspend fun passkey() = SignInInHand(username).act("recover.passkey")
    }

    /** A step: it takes one action at a time, and unless it is a choice none after one that succeeded. */
    private abstract class FakeStep(protected val signIn: SignInInHand) {
        private val isBusy = AtomicBoolean(false)

        @Volatile
        private var isSpent = false

        fun cancel() {
            signIn.cancel()
        }

        protected open val isChoice: Boolean get() = false

        protected open fun refused(): AuthException? = null

        suspend fun go(action: String, code: String? = null): SignInStep {
            if (isSpent && !signIn.isCancelled) throw AuthException.Busy()
            if (!isBusy.compareAndSet(false, true)) throw AuthException.Busy()
            try {
                return signIn.act(action, code).also { isSpent = !isChoice }
            } catch (e: AuthException.Rejected) {
                throw refused() ?: e
            } finally {
                isBusy.set(false)
            }
        }
    }

    private class FakeChooseFactor(signIn: SignInInHand, override val factors: List<Factor>) : FakeStep(signIn), ChooseFactor {
        override val isChoice get() = true

        override suspend fun otp(code: String) = go("choose.otp", code)

        override suspend fun push() = go("choose.push")

        override suspend fun sms() = go("choose.sms")

        override suspend fun voice() = go("choose.voice")

        override suspend fun email() = go("choose.email")

        override suspend fun passkey() = go("choose.passkey")
    }

    private class FakeApproveOnDevice(signIn: SignInInHand, override val number: String?) : FakeStep(signIn), ApproveOnDevice {
        override val expiresAt: Instant = Instant.now().plusSeconds(300)
        override val choice: ChooseFactor? = signIn.choice

        override suspend fun approved() = go("approved")

        override suspend fun resend() = go("resend")
    }

    private class FakeEnterCode(signIn: SignInInHand, override val channel: Factor) : FakeStep(signIn), EnterCode {
        override val expiresAt: Instant = Instant.now().plusSeconds(300)
        override val resendAt: Instant = Instant.now().plusSeconds(30)
        override val choice: ChooseFactor? = signIn.choice

        @Volatile
        override var attemptsLeft: Int = 5
            private set

        /** The fifth wrong code ends the step. */
        override fun refused(): AuthException? {
            attemptsLeft = maxOf(0, attemptsLeft - 1)
            return if (attemptsLeft == 0) AuthException.TooManyAttempts() else null
        }

        override suspend fun submit(code: String) = go("submit", code)

        override suspend fun resend() = go("resend")
    }

    private class FakeUsePasskey(signIn: SignInInHand) : FakeStep(signIn), UsePasskey {
        override val requestJson: String = """{"challenge":"ZmFrZQ","rpId":"localhost","allowCredentials":[]}"""
        override val enrolled: List<EnrolledPasskey> = emptyList()
        override val expiresAt: Instant = Instant.now().plusSeconds(60)
        override val choice: ChooseFactor? = signIn.choice

        override suspend fun answer(responseJson: String) = go("answer")

        override suspend fun renew() = go("renew")
    }

    private class FakeResetPassword(signIn: SignInInHand) : FakeStep(signIn), ResetPassword {
        override val expiresAt: Instant = Instant.now().plusSeconds(900)

        override suspend fun set(newPassword: String) = go("setPassword")
    }
}
