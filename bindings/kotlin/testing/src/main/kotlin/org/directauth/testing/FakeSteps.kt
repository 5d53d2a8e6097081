package org.directauth.testing

import java.time.Instant
import java.util.concurrent.atomic.AtomicBoolean
import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.ChooseFactor
import org.directauth.EnrolledPasskey
import org.directauth.EnterCode
import org.directauth.Factor
import org.directauth.PasswordChanged
import org.directauth.Recovery
import org.directauth.ResetPassword
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.UnsupportedStep
import org.directauth.UsePasskey

/** One sign-in: what its steps share. */
internal class FakeTransaction(private val auth: FakeDirectAuth, private val username: String) {
    private var wrongCodes = 0
    private var wrongOtps = 0

    @Volatile
    var isCancelled = false
        private set

    /** Whether it has led to its end, after which no step of it does anything. */
    @Volatile
    var isFinished = false
        private set

    /** The choice that was offered last. */
    @Volatile
    var choice: ChooseFactor? = null
        private set

    fun cancel() {
        isCancelled = true
        auth.look()
    }

    /** How many codes that were sent to the user, or of an authenticator app, may still be wrong: for all steps together. */
    fun attemptsLeft(factor: Factor): Int = synchronized(this) { 5 - if (factor == Factor.OTP) wrongOtps else wrongCodes }

    /** Counts a wrong code; the fifth is one too many. */
    fun refused(factor: Factor, error: AuthException): AuthException {
        synchronized(this) { if (factor == Factor.OTP) wrongOtps = minOf(5, wrongOtps + 1) else wrongCodes = minOf(5, wrongCodes + 1) }
        return if (attemptsLeft(factor) == 0) AuthException.TooManyAttempts() else error
    }

    suspend fun act(action: String, code: String? = null): SignInStep {
        auth.proceed(action) { isCancelled }
        return when (val outcome = auth.outcome(action, code)) {
            is Outcome.Failure -> throw outcome.error
            is Outcome.Step -> stepOf(outcome.make)
        }
    }

    private fun stepOf(kind: StepKind): SignInStep =
        when (kind) {
            StepKind.SignedIn -> SignedIn(auth.signedIn(username)).also { isFinished = true }
            is StepKind.ChooseFactor -> FakeChooseFactor(this, kind.factors).also { choice = it }
            is StepKind.ApproveOnDevice -> FakeApproveOnDevice(this, kind.number)
            is StepKind.EnterCode -> FakeEnterCode(this, kind.channel)
            StepKind.UsePasskey -> FakeUsePasskey(this)
            StepKind.ResetPassword -> FakeResetPassword(this)
            StepKind.PasswordChanged -> PasswordChanged.also { isFinished = true }
            StepKind.Unsupported -> UnsupportedStep("as the script says")
        }
}

/** The first factor of a sign-in or a recovery; each that is chosen begins another. */
internal class FakeFirst(private val auth: FakeDirectAuth, private val verb: String, private val username: String) : SignIn, Recovery {
    override suspend fun password(password: String) = begin("password")

    override suspend fun otp(code: String) = begin("otp", code)

    override suspend fun push() = begin("push")

    override suspend fun sms() = begin("sms")

    override suspend fun voice() = begin("voice")

    override suspend fun email() = begin("email")

    override suspend fun passkey() = begin("passkey")

    private suspend fun begin(factor: String, code: String? = null) = FakeTransaction(auth, username).act("$verb.$factor", code)
}

/** A step: it takes one action at a time, and unless it is a choice none after one that succeeded. */
internal abstract class FakeStep(protected val signIn: FakeTransaction, private val isChoice: Boolean = false) {
    private val isBusy = AtomicBoolean(false)

    @Volatile
    private var isSpent = false

    fun cancel() {
        signIn.cancel()
    }

    /** Why an action is refused before anything is sent; null: it is not. */
    protected open fun objection(action: String): AuthException? = null

    /** What an action's failure becomes. */
    protected open fun failed(action: String, error: AuthException): AuthException = error

    /** Nothing but what begins it anew may follow. */
    protected fun spend() {
        isSpent = true
    }

    /** @param anew for what begins the step anew, spent or not */
    protected suspend fun go(action: String, code: String? = null, anew: Boolean = false): SignInStep {
        if (!signIn.isCancelled && (signIn.isFinished || isSpent && !anew)) throw AuthException.Busy()
        if (!isBusy.compareAndSet(false, true)) throw AuthException.Busy()
        try {
            if (!signIn.isCancelled) objection(action)?.let { throw it }
            try {
                return signIn.act(action, code).also { if (!isChoice) spend() }
            } catch (e: AuthException) {
                throw failed(action, e)
            }
        } finally {
            isBusy.set(false)
        }
    }
}

internal class FakeChooseFactor(signIn: FakeTransaction, override val factors: List<Factor>) : FakeStep(signIn, isChoice = true), ChooseFactor {
    /** Five wrong codes of an authenticator app end the choice. */
    override fun objection(action: String) = if (signIn.attemptsLeft(Factor.OTP) == 0) AuthException.Expired() else null

    override fun failed(action: String, error: AuthException) =
        if (action == "choose.otp" && error is AuthException.Rejected) signIn.refused(Factor.OTP, error) else error

    override suspend fun otp(code: String) = go("choose.otp", code)

    override suspend fun push() = go("choose.push")

    override suspend fun sms() = go("choose.sms")

    override suspend fun voice() = go("choose.voice")

    override suspend fun email() = go("choose.email")

    override suspend fun passkey() = go("choose.passkey")
}

internal class FakeApproveOnDevice(signIn: FakeTransaction, override val number: String?) : FakeStep(signIn), ApproveOnDevice {
    override val expiresAt: Instant = Instant.now().plusSeconds(300)
    override val choice: ChooseFactor? = signIn.choice

    /** A prompt that was answered, or is over, is not waited for again. */
    override fun failed(action: String, error: AuthException) =
        error.also { if (action == "approved" && !it.isRetryable && it !is AuthException.Cancelled) spend() }

    override suspend fun approved() = go("approved")

    override suspend fun resend() = go("resend", anew = true)
}

internal class FakeEnterCode(signIn: FakeTransaction, override val channel: Factor) : FakeStep(signIn), EnterCode {
    override val expiresAt: Instant = Instant.now().plusSeconds(300)
    override val resendAt: Instant = Instant.now().plusSeconds(30)
    override val choice: ChooseFactor? = signIn.choice
    override val attemptsLeft: Int get() = signIn.attemptsLeft(channel)

    override fun objection(action: String) = if (action == "submit" && attemptsLeft == 0) AuthException.TooManyAttempts() else null

    override fun failed(action: String, error: AuthException): AuthException {
        if (action != "submit" || error !is AuthException.Rejected) return error
        return signIn.refused(channel, error).also { if (attemptsLeft == 0) spend() }
    }

    override suspend fun submit(code: String) = go("submit", code)

    override suspend fun resend() = go("resend", anew = true)
}

internal class FakeUsePasskey(signIn: FakeTransaction) : FakeStep(signIn), UsePasskey {
    override val requestJson: String = """{"challenge":"ZmFrZQ","rpId":"localhost","allowCredentials":[]}"""
    override val enrolled: List<EnrolledPasskey> = emptyList()
    override val expiresAt: Instant = Instant.now().plusSeconds(60)
    override val choice: ChooseFactor? = signIn.choice

    /** A challenge is answered once, unless that surely was not sent. */
    override fun failed(action: String, error: AuthException): AuthException {
        val surelyUnsent =
            error is AuthException.Passkey || error is AuthException.RateLimited || error is AuthException.Cancelled ||
                error is AuthException.Network && !error.maybeSent
        if (action == "answer" && !surelyUnsent) spend()
        return error
    }

    override suspend fun answer(responseJson: String) = go("answer")

    override suspend fun renew() = go("renew", anew = true)
}

internal class FakeResetPassword(signIn: FakeTransaction) : FakeStep(signIn), ResetPassword {
    override val expiresAt: Instant = Instant.now().plusSeconds(900)

    override suspend fun set(newPassword: String) = go("setPassword")
}
