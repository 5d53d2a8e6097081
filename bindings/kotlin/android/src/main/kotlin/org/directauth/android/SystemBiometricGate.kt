package org.directauth.android

import android.app.Activity
import android.hardware.biometrics.BiometricPrompt
import android.os.Build
import android.os.CancellationSignal
import javax.crypto.Cipher
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlinx.coroutines.CancellableContinuation
import kotlinx.coroutines.suspendCancellableCoroutine
import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * The platform's own prompt. Needs API 28 and the permission `USE_BIOMETRIC`, which this library declares.
 *
 * @param activity over which it is shown
 * @param title what it says
 * @param cancel what the button says by which the user gets out of it
 */
public class SystemBiometricGate(private val activity: Activity, private val title: CharSequence, private val cancel: CharSequence) : BiometricGate {
    override suspend fun authenticate(cipher: Cipher): Cipher {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) throw StorageException(StorageProblem.NEEDS_USER)
        return suspendCancellableCoroutine { waiting ->
            val signal = CancellationSignal()
            waiting.invokeOnCancellation { signal.cancel() }
            ask(cipher, signal, waiting)
        }
    }

    @FromApi(28)
    private fun ask(cipher: Cipher, signal: CancellationSignal, waiting: CancellableContinuation<Cipher>) {
        BiometricPrompt.Builder(activity)
            .setTitle(title)
            .setNegativeButton(cancel, activity.mainExecutor) { _, _ -> waiting.fail(StorageProblem.USER_CANCELLED) }
            .build()
            .authenticate(BiometricPrompt.CryptoObject(cipher), signal, activity.mainExecutor, Answer(waiting))
    }

    @FromApi(28)
    internal class Answer(private val waiting: CancellableContinuation<Cipher>) : BiometricPrompt.AuthenticationCallback() {
        override fun onAuthenticationSucceeded(result: BiometricPrompt.AuthenticationResult) {
            val cipher = result.cryptoObject?.cipher
            if (cipher == null) waiting.fail(StorageProblem.TRANSIENT) else if (waiting.isActive) waiting.resume(cipher)
        }

        override fun onAuthenticationError(code: Int, message: CharSequence?) = waiting.fail(problemOfBiometricError(code))
    }
}

private fun CancellableContinuation<Cipher>.fail(problem: StorageProblem) {
    if (isActive) resumeWithException(StorageException(problem))
}

/** Why the user was not recognised. */
internal fun problemOfBiometricError(code: Int): StorageProblem =
    when (code) {
        BiometricPrompt.BIOMETRIC_ERROR_USER_CANCELED -> StorageProblem.USER_CANCELLED
        BiometricPrompt.BIOMETRIC_ERROR_TIMEOUT,
        BiometricPrompt.BIOMETRIC_ERROR_LOCKOUT,
        BiometricPrompt.BIOMETRIC_ERROR_LOCKOUT_PERMANENT,
        BiometricPrompt.BIOMETRIC_ERROR_NO_BIOMETRICS,
        BiometricPrompt.BIOMETRIC_ERROR_NO_DEVICE_CREDENTIAL,
        -> StorageProblem.NEEDS_USER
        // Such as BIOMETRIC_ERROR_CANCELED, by the system: nobody said no.
        else -> StorageProblem.TRANSIENT
    }
