// The core's steps as the app sees them.

package org.directauth.internal

import java.time.Instant
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import org.directauth.ApproveOnDevice
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
import org.directauth.ffi.ApproveOnDeviceInterface as CoreApproveOnDevice
import org.directauth.ffi.ChooseFactorInterface as CoreChooseFactor
import org.directauth.ffi.EnterCodeInterface as CoreEnterCode
import org.directauth.ffi.RecoveryInterface as CoreRecoveryStart
import org.directauth.ffi.ResetPasswordInterface as CoreResetPassword
import org.directauth.ffi.SignInInterface as CoreSignInStart
import org.directauth.ffi.SignInStep as CoreStep
import org.directauth.ffi.UsePasskeyInterface as CoreUsePasskey

internal fun CoreStep.forApp(client: CoreClient): SignInStep =
    when (this) {
        is CoreStep.SignedIn -> SignedIn(CoreSession(client, session))
        is CoreStep.ChooseFactor -> ChooseFactorOfCore(client, step)
        is CoreStep.ApproveOnDevice -> ApproveOnDeviceOfCore(client, step)
        is CoreStep.EnterCode -> EnterCodeOfCore(client, step)
        is CoreStep.UsePasskey -> UsePasskeyOfCore(client, step)
        is CoreStep.ResetPassword -> ResetPasswordOfCore(client, step)
        CoreStep.PasswordChanged -> PasswordChanged
        is CoreStep.Unsupported -> UnsupportedStep(what)
    }

/** Made by the first call, since the native library is not loaded on the caller's thread. */
private class Later<T : Any>(private val make: suspend () -> T) {
    private val mutex = Mutex()
    private var made: T? = null

    suspend fun get(): T = mutex.withLock { made ?: make().also { made = it } }
}

internal class CoreSignIn(private val client: CoreClient, make: suspend () -> CoreSignInStart) : SignIn {
    private val core = Later(make)

    override suspend fun password(password: String) = client.step { core.get().password(password) }

    override suspend fun otp(code: String) = client.step { core.get().otp(code) }

    override suspend fun push() = client.step { core.get().push() }

    override suspend fun sms() = client.step { core.get().sms() }

    override suspend fun voice() = client.step { core.get().voice() }

    override suspend fun email() = client.step { core.get().email() }

    override suspend fun passkey() = client.step { core.get().passkey() }

    override fun toString() = "SignIn"
}

internal class CoreRecovery(private val client: CoreClient, make: suspend () -> CoreRecoveryStart) : Recovery {
    private val core = Later(make)

    override suspend fun otp(code: String) = client.step { core.get().otp(code) }

    override suspend fun push() = client.step { core.get().push() }

    override suspend fun sms() = client.step { core.get().sms() }

    override suspend fun voice() = client.step { core.get().voice() }

    override suspend fun email() = client.step { core.get().email() }

    override suspend fun passkey() = client.step { core.get().passkey() }

    override fun toString() = "Recovery"
}

private class ChooseFactorOfCore(private val client: CoreClient, private val core: CoreChooseFactor) : ChooseFactor {
    override val factors: List<Factor> get() = translated { core.factors().map { it.like() } }

    override suspend fun otp(code: String) = client.step { core.otp(code) }

    override suspend fun push() = client.step { core.push() }

    override suspend fun sms() = client.step { core.sms() }

    override suspend fun voice() = client.step { core.voice() }

    override suspend fun email() = client.step { core.email() }

    override suspend fun passkey() = client.step { core.passkey() }

    override fun cancel() = translated { core.cancel() }

    override fun toString() = "ChooseFactor"
}

private class ApproveOnDeviceOfCore(private val client: CoreClient, private val core: CoreApproveOnDevice) : ApproveOnDevice {
    override val number: String? get() = translated { core.number() }
    override val expiresAt: Instant get() = translated { core.expiresAt() }
    override val choice: ChooseFactor? get() = translated { core.choice()?.let { ChooseFactorOfCore(client, it) } }

    override suspend fun approved() = client.step { core.approved() }

    override suspend fun resend() = client.step { core.resend() }

    override fun cancel() = translated { core.cancel() }

    override fun toString() = "ApproveOnDevice"
}

private class EnterCodeOfCore(private val client: CoreClient, private val core: CoreEnterCode) : EnterCode {
    override val channel: Factor get() = translated { core.channel().like() }
    override val expiresAt: Instant get() = translated { core.expiresAt() }
    override val resendAt: Instant get() = translated { core.resendAt() }
    override val attemptsLeft: Int get() = translated { core.attemptsLeft() }
    override val choice: ChooseFactor? get() = translated { core.choice()?.let { ChooseFactorOfCore(client, it) } }

    override suspend fun submit(code: String) = client.step { core.submit(code) }

    override suspend fun resend() = client.step { core.resend() }

    override fun cancel() = translated { core.cancel() }

    override fun toString() = "EnterCode"
}

private class UsePasskeyOfCore(private val client: CoreClient, private val core: CoreUsePasskey) : UsePasskey {
    override val requestJson: String get() = translated { core.requestJson() }
    override val enrolled: List<EnrolledPasskey> get() = translated { core.enrolled().map { it.forApp() } }
    override val expiresAt: Instant get() = translated { core.expiresAt() }
    override val choice: ChooseFactor? get() = translated { core.choice()?.let { ChooseFactorOfCore(client, it) } }

    override suspend fun answer(responseJson: String) = client.step { core.answer(responseJson) }

    override suspend fun renew() = client.step { core.renew() }

    override fun cancel() = translated { core.cancel() }

    override fun toString() = "UsePasskey"
}

private class ResetPasswordOfCore(private val client: CoreClient, private val core: CoreResetPassword) : ResetPassword {
    override val expiresAt: Instant get() = translated { core.expiresAt() }

    override suspend fun set(newPassword: String) = client.step { core.set(newPassword) }

    override fun cancel() = translated { core.cancel() }

    override fun toString() = "ResetPassword"
}
