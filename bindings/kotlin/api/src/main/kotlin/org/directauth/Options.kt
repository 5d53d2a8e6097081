package org.directauth

import kotlin.time.Duration

/**
 * How a client is set up. What is null is the library's default.
 *
 * A wrong value is told by the first call, as [AuthException.Configuration] with what has to be changed.
 */
public class DirectAuthOptions {
    /** The scopes to ask for; `openid` alone if not given. `offline_access` for a refresh token. */
    public var scopes: List<String>? = null

    /** The factors that the app has screens for; all if not given. Only these are offered to the server and to the user. */
    public var capabilities: List<Factor>? = null

    /** Where tokens may go besides the issuer's origin, each `https://host[:port]`. */
    public var resourceOrigins: List<String> = emptyList()

    /** Relying party ids besides the issuer's host. */
    public var relyingParties: List<String> = emptyList()

    /** Where a passkey is asked for as the second factor. */
    public var passkeyStart: PasskeyStart? = null

    /** How a recovery is asked for. */
    public var recoveryRequest: RecoveryRequest? = null

    /** Whether tokens are bound to a key of this device (RFC 9449). */
    public var dpop: DPoP? = null

    /** More form parameters for the direct-authentication and token endpoints. Reserved names are refused. */
    public var additionalParameters: Map<String, String>? = null

    /** How long a connection may take; 10 s if not given. */
    public var connectTimeout: Duration? = null

    /** How long a request may take; 30 s if not given. */
    public var requestTimeout: Duration? = null

    /** Which certificate authorities vouch for the server: on Android Mozilla's if not given, elsewhere the platform's. */
    public var trust: Trust? = null

    /** Public keys of which one must vouch for the server, each `sha256/` and base64; at least two. */
    public var pins: List<String>? = null

    /** Whether blanks around a typed user name are removed; yes if not given. */
    public var trimUsernames: Boolean? = null

    /** Whether a sign-in goes on when the storage cannot be written. */
    public var whenStorageFails: WhenStorageFails? = null

    /** What becomes of tokens with more scopes than were asked for. */
    public var widerScopes: WiderScopes? = null

    /** What kind of server it is. */
    public var profile: Profile? = null

    /** How many users may be signed in at once. */
    public var accounts: Accounts? = null

    /** Whether this process refreshes. */
    public var refreshPolicy: RefreshPolicy? = null

    /** Whether other processes use the same storage. */
    public var sharedStore: Boolean = false

    /** How long one call of the storage may take, for one that asks the user; 10 s if not given. */
    public var storageCallDeadline: Duration? = null

    /** The same of the platform's keys. */
    public var keyCallDeadline: Duration? = null

    /** Where sessions are kept. Only in memory if not given: then a session ends with the process. */
    public var storage: SecureStorage? = null

    /** The platform's keys, for tokens that are bound to one; a key in software if not given. */
    public var signingKey: SigningKey? = null

    /** The lock that the processes of one storage share. */
    public var crossProcessLock: CrossProcessLock? = null

    /** The app's own headers. */
    public var headerProvider: HeaderProvider? = null

    /** Where events go, for an app that wants them from the first moment on; see also [DirectAuthClient.events]. */
    public var auditSink: AuditSink? = null

    /** The key under which user names are hashed in events; without it they are left out. Secret. */
    public var auditKey: String? = null

    /** The proxy; none if not given. */
    public var proxy: Proxy? = null
}

/** A way to show who one is, besides the password. */
public enum class Factor {
    /** A one-time code from an authenticator app. */
    OTP,

    /** A prompt on the user's device. */
    PUSH,

    /** A code by text message. */
    SMS,

    /** A code by a phone call. */
    VOICE,

    /** A code by e-mail. */
    EMAIL,

    /** A passkey (WebAuthn). */
    PASSKEY,
}

/** Where a passkey is asked for as the second factor. */
public enum class PasskeyStart {
    /** At `/challenge`, as every other second factor. */
    CHALLENGE,

    /** At `/primary-authenticate`. */
    PRIMARY_AUTHENTICATE,
}

/** How a recovery is asked for. */
public enum class RecoveryRequest {
    /** By `intent=recovery`. */
    INTENT,

    /** By `prompt=recover_authenticator`. */
    PROMPT,
}

/** Whether tokens are bound to a key of this device (RFC 9449). */
public enum class DPoP {
    /** They are bearer tokens. */
    OFF,

    /** They are if the server can. */
    PREFERRED,

    /** They are, or nobody is signed in. */
    REQUIRED,
}

/** What kind of server it is. */
public enum class Profile {
    /** Okta, or a server that treats refresh tokens as Okta does. */
    OKTA,

    /** Any OpenID provider. */
    OIDC,
}

/** How many users may be signed in at once. */
public enum class Accounts {
    /** One: a sign-in replaces whatever session was there. */
    ONE,

    /** Many: a sign-in replaces the same user's session only. */
    MANY,
}

/** Whether this process refreshes. */
public enum class RefreshPolicy {
    /** Whenever it is due. */
    WHEN_DUE,

    /** Never, for a widget or an extension without a lock. */
    NEVER,
}

/** Whether a sign-in goes on when the storage cannot be written. */
public enum class WhenStorageFails {
    /** Refuse before the credential is sent. */
    REFUSE,

    /** Sign in all the same and keep the session in memory. */
    KEEP_IN_MEMORY,
}

/** What becomes of tokens with more scopes than were asked for. */
public enum class WiderScopes {
    /** They are taken. */
    ACCEPT,

    /** They are not. */
    REFUSE,
}

/** Which certificate authorities vouch for the server. */
public sealed interface Trust {
    /** The platform's own verifier and its settings. Not available on Android in this version. */
    public data object Platform : Trust

    /** Mozilla's authorities, compiled in. */
    public data object Bundled : Trust

    /** Only the authorities of a PEM text. */
    public data class Custom(public val pem: String) : Trust
}

/** How the server is reached. */
public sealed interface Proxy {
    /** The proxy that the process's environment names. */
    public data object System : Proxy

    /** `http://[user:password@]host:port`. Printing it does not show the password. */
    public class Http(public val url: String) : Proxy {
        override fun toString(): String = "Http([not printed])"
    }
}
