package org.directauth.android

import android.app.Activity
import android.credentials.CredentialManager
import android.credentials.CredentialOption
import android.credentials.GetCredentialException
import android.credentials.GetCredentialRequest
import android.credentials.GetCredentialResponse
import android.os.Build
import android.os.Bundle
import android.os.CancellationSignal
import android.os.OutcomeReceiver
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlinx.coroutines.suspendCancellableCoroutine
import org.directauth.PasskeyCeremony

/**
 * The passkeys of the user's credential providers, by the platform's own CredentialManager. Needs API 34 ([isSupported]); on older
 * devices an app implements [PasskeyCeremony] by AndroidX's.
 *
 * @param activity over which the platform shows its sheet
 */
public class SystemPasskeys(private val activity: Activity) : PasskeyCeremony {
    /**
     * Throws the platform's `GetCredentialException`, such as of the type `TYPE_USER_CANCELED`, and [UnsupportedOperationException] before
     * API 34 and where the device has no credential manager.
     */
    override suspend fun get(requestJson: String): String {
        if (!isSupported) throw UnsupportedOperationException("the platform has no passkeys before API 34")
        return ask(requestJson)
    }

    @FromApi(34)
    private suspend fun ask(requestJson: String): String {
        val request = GetCredentialRequest.Builder(Bundle()).addCredentialOption(option(requestJson)).build()
        val manager = activity.getSystemService(CredentialManager::class.java)
            ?: throw UnsupportedOperationException("this device has no credential manager")
        return suspendCancellableCoroutine { waiting ->
            val signal = CancellationSignal()
            waiting.invokeOnCancellation { signal.cancel() }
            val answer =
                object : OutcomeReceiver<GetCredentialResponse, GetCredentialException> {
                    override fun onResult(result: GetCredentialResponse) {
                        val json = result.credential.data.getString(RESPONSE)
                        if (json != null) waiting.resume(json) else onError(GetCredentialException(GetCredentialException.TYPE_UNKNOWN))
                    }

                    override fun onError(error: GetCredentialException) {
                        if (waiting.isActive) waiting.resumeWithException(error)
                    }
                }
            manager.getCredential(activity, request, signal, activity.mainExecutor, answer)
        }
    }

    public companion object {
        /** Whether the platform has them. */
        public val isSupported: Boolean get() = Build.VERSION.SDK_INT >= Build.VERSION_CODES.UPSIDE_DOWN_CAKE

        // What credential providers understand: the names are those of AndroidX, by which they were written.
        private const val TYPE = "androidx.credentials.TYPE_PUBLIC_KEY_CREDENTIAL"
        private const val SUBTYPE = "androidx.credentials.BUNDLE_KEY_SUBTYPE"
        private const val GET = "androidx.credentials.BUNDLE_VALUE_SUBTYPE_GET_PUBLIC_KEY_CREDENTIAL_OPTION"
        private const val REQUEST = "androidx.credentials.BUNDLE_KEY_REQUEST_JSON"
        private const val RESPONSE = "androidx.credentials.BUNDLE_KEY_AUTHENTICATION_RESPONSE_JSON"

        @FromApi(34)
        internal fun option(requestJson: String): CredentialOption {
            val data = Bundle().apply {
                putString(SUBTYPE, GET)
                putString(REQUEST, requestJson)
            }
            // A provider needs the request to tell whether it has anything for it.
            return CredentialOption.Builder(TYPE, data, Bundle(data)).build()
        }
    }
}
