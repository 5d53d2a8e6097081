package org.directauth.android

import android.os.Build
import android.security.KeyStoreException
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.UserNotAuthenticatedException
import java.security.UnrecoverableKeyException
import javax.crypto.AEADBadTagException
import org.directauth.KeyProblem
import org.directauth.StorageException
import org.directauth.StorageProblem

/** Why the platform could not do it. What is not certain is [StorageProblem.TRANSIENT]: nothing is lost by that. */
internal fun problemOf(failure: Throwable): StorageProblem {
    for (cause in generateSequence(failure) { it.cause }.take(DEEPEST)) {
        when {
            cause is StorageException -> return cause.problem
            cause is KeyPermanentlyInvalidatedException -> return StorageProblem.KEY_DESTROYED
            // So getKey says the same, and gives no cause for it.
            cause is UnrecoverableKeyException && cause.cause == null -> return StorageProblem.KEY_DESTROYED
            cause is UserNotAuthenticatedException -> return StorageProblem.NEEDS_USER
            cause is AEADBadTagException -> return StorageProblem.CORRUPT
            Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU -> problemOfKeyStore(cause)?.let { return it }
        }
    }
    return StorageProblem.TRANSIENT
}

/** The same of a key that signs. */
internal fun keyProblemOf(failure: Throwable): KeyProblem =
    when (problemOf(failure)) {
        StorageProblem.LOCKED -> KeyProblem.LOCKED
        StorageProblem.NEEDS_USER -> KeyProblem.NEEDS_USER
        StorageProblem.USER_CANCELLED -> KeyProblem.USER_CANCELLED
        StorageProblem.KEY_DESTROYED -> KeyProblem.DESTROYED
        StorageProblem.KEY_MISSING, StorageProblem.FOREIGN -> KeyProblem.MISSING
        else -> KeyProblem.TRANSIENT
    }

@FromApi(33)
private fun problemOfKeyStore(failure: Throwable): StorageProblem? =
    when {
        failure !is KeyStoreException -> null
        failure.requiresUserAuthentication() -> StorageProblem.NEEDS_USER
        failure.isTransientFailure -> StorageProblem.TRANSIENT
        failure.numericErrorCode == KeyStoreException.ERROR_KEY_CORRUPTED -> StorageProblem.KEY_DESTROYED
        failure.numericErrorCode == KeyStoreException.ERROR_KEY_DOES_NOT_EXIST -> StorageProblem.KEY_MISSING
        else -> StorageProblem.TRANSIENT
    }

/** A chain of causes may be a circle. */
private const val DEEPEST = 8
