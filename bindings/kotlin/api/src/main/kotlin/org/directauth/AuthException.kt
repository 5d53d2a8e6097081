package org.directauth

import java.time.Instant

/**
 * A failed call: one class for each kind, and with each what the app should do next.
 *
 * [message] is for logs and not for users: the kind's name, a sentence, and the ids of request and transaction; never a secret and
 * never the server's words, which are in [serverText].
 */
public sealed class AuthException(
    /** What goes with every error. */
    public val details: ErrorDetails,
) : Exception(details.toString()) {
    /** What the app should do next. */
    public val remedy: Remedy get() = details.remedy

    /** Whether the same call may succeed later without anything else being changed. */
    public val isRetryable: Boolean get() = details.isRetryable

    /** The server's id of the request, for its log and its support. */
    public val requestId: String? get() = details.requestId

    /** The library's own random id of the sign-in, as the audit events carry it. */
    public val transactionId: String? get() = details.transactionId

    /** What the server's sentence gives away beyond its code, for better wording. */
    public val hint: Hint? get() = details.hint

    /** What the server said in words. */
    public val serverText: ServerText? get() = details.serverText

    /** The code or credential was refused, and the step stays usable. The server does not say whether the user or the password is wrong. */
    public class Rejected(details: ErrorDetails = ErrorDetails("Rejected", Remedy.AskAgain)) : AuthException(details)

    /** The user said no on the device, or tapped a wrong number. Offer another factor. */
    public class Declined(details: ErrorDetails = ErrorDetails("Declined", Remedy.ChooseAnother)) : AuthException(details)

    /** A policy or an assignment does not allow this; another factor may be allowed. */
    public class NotAllowed(
        /** The server's error code. */
        public val code: String,
        details: ErrorDetails = ErrorDetails("NotAllowed", Remedy.ChooseAnother),
    ) : AuthException(details)

    /** What was being answered is over: the prompt, the code or the whole sign-in. */
    public class Expired(details: ErrorDetails = ErrorDetails("Expired", Remedy.StartOver)) : AuthException(details)

    /** Too many wrong codes in this step; nothing more is sent for it. */
    public class TooManyAttempts(details: ErrorDetails = ErrorDetails("TooManyAttempts", Remedy.StartOver)) : AuthException(details)

    /** Too many requests, or too early for a resend. Nothing was consumed. */
    public class RateLimited(
        /** The earliest time at which trying again makes sense. */
        public val retryAt: Instant,
        details: ErrorDetails = ErrorDetails("RateLimited", Remedy.Wait(retryAt), isRetryable = true),
    ) : AuthException(details)

    /** Only a browser can go on. */
    public class BrowserRequired(
        /** The server's error code. */
        public val reason: String,
        details: ErrorDetails = ErrorDetails("BrowserRequired", Remedy.OpenBrowser),
    ) : AuthException(details)

    /** The session is kept, but the user has to sign in again before it is renewed. */
    public class ReauthRequired(
        /** The server's error code. */
        public val reason: String,
        details: ErrorDetails = ErrorDetails("ReauthRequired", Remedy.SignInAgain),
    ) : AuthException(details)

    /** The session is over. */
    public class SessionEnded(
        /** Why it ended. */
        public val reason: EndReason,
        details: ErrorDetails = ErrorDetails("SessionEnded", Remedy.SignInAgain),
    ) : AuthException(details)

    /** The storage could not be read or written; nothing was lost or ended by that. */
    public class StorageUnavailable(
        /** What the storage reported. */
        public val reason: StorageProblem,
        details: ErrorDetails =
            ErrorDetails("StorageUnavailable", if (reason.isTemporary) Remedy.Unlock else Remedy.ContactSupport, reason.isTemporary),
    ) : AuthException(details)

    /** The key that the tokens are bound to cannot be used; nothing was lost or ended by that. */
    public class KeyUnavailable(
        /** What the platform reported. */
        public val reason: KeyProblem,
        details: ErrorDetails =
            ErrorDetails("KeyUnavailable", if (reason.isTemporary) Remedy.Unlock else Remedy.SignInAgain, reason.isTemporary),
    ) : AuthException(details)

    /** No usable answer came back. */
    public class Network(
        /** What failed. */
        public val problem: NetworkProblem,
        /** Whether the server may have seen the request. */
        public val maybeSent: Boolean = false,
        details: ErrorDetails = ErrorDetails("Network", Remedy.CheckConnection, isRetryable = true),
    ) : AuthException(details)

    /** The answer breaks the protocol; nothing of it was used. */
    public class InvalidResponse(
        /** What was wrong with it, for a developer. */
        public val what: String,
        details: ErrorDetails = ErrorDetails("InvalidResponse", Remedy.ContactSupport),
    ) : AuthException(details)

    /** Tokens came back but did not pass validation; nothing was released. */
    public class TokenRejected(
        /** The check that failed, by the claim's or parameter's name. */
        public val check: String,
        details: ErrorDetails = ErrorDetails("TokenRejected", Remedy.ContactSupport),
    ) : AuthException(details)

    /** The app or the server is set up wrongly; trying again will not help. */
    public class Configuration(
        /** What has to be changed, for a developer. */
        public val what: String,
        details: ErrorDetails = ErrorDetails("Configuration", Remedy.FixConfiguration),
    ) : AuthException(details)

    /** The server asks for something that this version cannot do. */
    public class Unsupported(
        /** What it is, for a developer. */
        public val what: String,
        details: ErrorDetails = ErrorDetails("Unsupported", Remedy.ChooseAnother),
    ) : AuthException(details)

    /** What the platform's passkey ceremony gave cannot be an answer to this challenge; nothing was sent. */
    public class Passkey(
        /** What is wrong with it. */
        public val problem: PasskeyProblem,
        details: ErrorDetails = ErrorDetails("Passkey", Remedy.ChooseAnother),
    ) : AuthException(details)

    /** The app cancelled the sign-in, or began another one for the same user. */
    public class Cancelled(details: ErrorDetails = ErrorDetails("Cancelled", Remedy.Ignore)) : AuthException(details)

    /** The step is answering already, was used already, or too many sign-ins run at once. */
    public class Busy(details: ErrorDetails = ErrorDetails("Busy", Remedy.Ignore)) : AuthException(details)

    /** The server failed, or used an error code nobody knows. */
    public class Server(
        /** The HTTP status. */
        public val status: Int,
        /** The server's error code. */
        public val code: String? = null,
        details: ErrorDetails =
            if (status >= 500 || code == "server_error" || code == "temporarily_unavailable") {
                ErrorDetails("Server", Remedy.Wait(null), isRetryable = true)
            } else {
                ErrorDetails("Server", Remedy.ContactSupport)
            },
    ) : AuthException(details)

    /** A defect of this library. */
    public class Internal(details: ErrorDetails = ErrorDetails("Internal", Remedy.ContactSupport)) : AuthException(details)
}

/** What goes with every error. Printing it shows nothing of the server's words. */
public class ErrorDetails(
    /** The kind's name and a sentence, for logs; not for users. */
    public val text: String,
    /** What the app should do next. */
    public val remedy: Remedy,
    /** Whether the same call may succeed later without anything else being changed. */
    public val isRetryable: Boolean = false,
    /** The server's id of the request, for its log and its support. */
    public val requestId: String? = null,
    /** The library's own random id of the sign-in, as the audit events carry it. */
    public val transactionId: String? = null,
    /** What the server's sentence gives away beyond its code, for better wording. */
    public val hint: Hint? = null,
    /** What the server said in words. */
    public val serverText: ServerText? = null,
) {
    override fun toString(): String = buildString {
        append(text)
        requestId?.let { append(", request ").append(it) }
        transactionId?.let { append(", transaction ").append(it) }
    }
}

/**
 * The server's own words about a failure. **Untrusted**: show them to developers, never as part of your own page, never as markup, and
 * never open the address. Printing this shows none of it.
 */
public class ServerText(
    /** Its description of the error. */
    public val description: String? = null,
    /** The address of a page about it. Do not open it. */
    public val uri: String? = null,
    /** Okta's own code, if it stood beside the one that decided. */
    public val secondCode: String? = null,
    /** Okta's causes, a sentence each: such as the requirements that a new password does not meet. */
    public val causes: List<String> = emptyList(),
) {
    override fun toString(): String = "[untrusted text]"
}

/** What the app should do next. */
public sealed interface Remedy {
    /** Let the user type it again; the step in hand stays usable. */
    public data object AskAgain : Remedy

    /** Offer another factor. */
    public data object ChooseAnother : Remedy

    /** Begin the sign-in again. */
    public data object StartOver : Remedy

    /** Wait, until the given time if there is one, then try the same again. */
    public data class Wait(
        /** The earliest time. */
        public val until: Instant?,
    ) : Remedy

    /** Send the user to the sign-in screen. */
    public data object SignInAgain : Remedy

    /** Continue in a browser. */
    public data object OpenBrowser : Remedy

    /** Ask the user to look at the network, then try again. */
    public data object CheckConnection : Remedy

    /** Ask the user to unlock the device, then try again. */
    public data object Unlock : Remedy

    /** Show the request id and let the user ask for help. */
    public data object ContactSupport : Remedy

    /** A developer or administrator has to change something. */
    public data object FixConfiguration : Remedy

    /** Nothing to show. */
    public data object Ignore : Remedy
}

/** What a sentence of the server gives away. Decide on the error and its remedy, which do not depend on it. */
public enum class Hint {
    /** The password was right and has expired: offer to set a new one. */
    PASSWORD_EXPIRED,

    /** An administrator has to enable a second factor for this app. */
    SECOND_FACTOR_NOT_ENABLED,
}

/** Why a session ended. */
public enum class EndReason {
    /** The user signed out. */
    SIGNED_OUT,

    /** A new sign-in took its place. */
    REPLACED,

    /** The server refused the newest refresh token. */
    REFRESH_TOKEN_REFUSED,

    /** The same, after a refresh whose answer never arrived. */
    REFRESH_INTERRUPTED,

    /** The server answered for another user. */
    SUBJECT_CHANGED,
}

/** What a storage reported. */
public enum class StorageProblem(
    /** Whether the data may be readable later on this device, without the user signing in again. */
    public val isTemporary: Boolean,
) {
    /** The device is locked, or was not unlocked since it started. */
    LOCKED(true),

    /** The user has to authenticate to the device first. */
    NEEDS_USER(true),

    /** The user dismissed the device's prompt. */
    USER_CANCELLED(true),

    /** It did not work this time: busy, full, or out of time. */
    TRANSIENT(true),

    /** The data was restored from another device and cannot be read here. */
    FOREIGN(false),

    /** The data is damaged. */
    CORRUPT(false),

    /** The key is missing. */
    KEY_MISSING(false),

    /** The platform destroyed the key. */
    KEY_DESTROYED(false),

    /** A newer version of this library wrote the data. */
    NEWER_VERSION(false),
}

/** What the platform reported of a key that signs proofs. */
public enum class KeyProblem(
    /** Whether the key may be usable later. */
    public val isTemporary: Boolean,
) {
    /** The device is locked, or was not unlocked since it started. */
    LOCKED(true),

    /** The user has to authenticate to the device first. */
    NEEDS_USER(true),

    /** The user dismissed the device's prompt. */
    USER_CANCELLED(true),

    /** It did not work this time, or not in time. */
    TRANSIENT(true),

    /** There is no such key. */
    MISSING(false),

    /** The platform destroyed the key, as after a change of the enrolled fingers. */
    DESTROYED(false),

    /** There is a key under that name, but another one. */
    CHANGED(false),

    /** The platform has no keys on P-256. */
    UNSUPPORTED(false),
}

/** What failed on the way to the server and back. */
public enum class NetworkProblem {
    /** No connection: offline, name not found, refused. */
    CONNECT,

    /** The server's certificate is not trusted, or its TLS version is too old. */
    TLS,

    /** The deadline passed. */
    TIMEOUT,

    /** The connection broke before the answer was complete. */
    INTERRUPTED,

    /** A web page came instead of the server's answer. */
    CAPTIVE_PORTAL,

    /** The server's certificate is valid, but matches none of the configured pins. */
    PIN,

    /** The proxy cannot be reached, or does not let the connection through. */
    PROXY,
}

/** What is wrong with the platform's answer to a passkey challenge. */
public enum class PasskeyProblem {
    /** It is no answer to a request for a sign-in. */
    MALFORMED,

    /** It answers another challenge: each needs a ceremony of its own. */
    OTHER_CHALLENGE,

    /** It is by a credential that the server did not ask for. */
    OTHER_CREDENTIAL,

    /** It is for another relying party. */
    OTHER_RELYING_PARTY,
}
