package org.directauth.internal

import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.toJavaDuration
import org.directauth.AuthException
import org.directauth.DirectAuthOptions
import org.directauth.Proxy
import org.directauth.Trust
import org.directauth.ffi.ClientConfig
import org.directauth.ffi.ClientSetup
import org.directauth.ffi.Accounts as CoreAccounts
import org.directauth.ffi.DPoP as CoreDPoP
import org.directauth.ffi.PasskeyStart as CorePasskeyStart
import org.directauth.ffi.Profile as CoreProfile
import org.directauth.ffi.RecoveryRequest as CoreRecoveryRequest
import org.directauth.ffi.RefreshPolicy as CoreRefreshPolicy
import org.directauth.ffi.Trust as CoreTrust
import org.directauth.ffi.WhenStorageFails as CoreWhenStorageFails
import org.directauth.ffi.WiderScopes as CoreWiderScopes

/** How to set up a client of the core, with the options as they are now. To be called where the native library may be loaded. */
internal fun clientSetup(issuer: String, clientId: String, options: DirectAuthOptions): () -> ClientSetup {
    // What cannot be given to the core is told where it is built.
    val config = runCatching { ClientConfig(
        issuer = issuer,
        clientId = clientId,
        scopes = options.scopes?.toList(),
        capabilities = options.capabilities?.map { it.like() },
        resourceOrigins = options.resourceOrigins.toList(),
        relyingParties = options.relyingParties.toList(),
        passkeyStart = options.passkeyStart?.like<CorePasskeyStart>(),
        recoveryRequest = options.recoveryRequest?.like<CoreRecoveryRequest>(),
        dpop = options.dpop?.like<CoreDPoP>(),
        additionalParameters = options.additionalParameters?.toMap(),
        connectTimeout = options.connectTimeout?.forCore("connectTimeout"),
        requestTimeout = options.requestTimeout?.forCore("requestTimeout"),
        trust = options.trust?.forCore(),
        pins = options.pins?.toList(),
        trimUsernames = options.trimUsernames,
        whenStorageFails = options.whenStorageFails?.like<CoreWhenStorageFails>(),
        widerScopes = options.widerScopes?.like<CoreWiderScopes>(),
        profile = options.profile?.like<CoreProfile>(),
        accounts = options.accounts?.like<CoreAccounts>(),
        refreshPolicy = options.refreshPolicy?.like<CoreRefreshPolicy>(),
        sharedStore = options.sharedStore,
        storageCallDeadline = options.storageCallDeadline?.forCore("storageCallDeadline"),
        keyCallDeadline = options.keyCallDeadline?.forCore("keyCallDeadline"),
    ) }
    val storage = options.storage?.let(::StorageForCore)
    val signingKey = options.signingKey?.let(::KeysForCore)
    val lock = options.crossProcessLock?.let(::LockForCore)
    val headers = options.headerProvider?.let(::HeadersForCore)
    val audit = options.auditSink?.let(::AuditSinkForCore)
    val auditKey = options.auditKey
    val proxy = options.proxy
    return {
        ClientSetup(config.getOrThrow()).apply {
            storage?.let(::setStorage)
            signingKey?.let(::setSigningKey)
            lock?.let(::setCrossProcessLock)
            headers?.let(::setHeaderProvider)
            audit?.let(::setAuditSink)
            auditKey?.let(::setAuditKey)
            when (proxy) {
                null -> {}
                Proxy.System -> useSystemProxy()
                is Proxy.Http -> setProxy(proxy.url)
            }
        }
    }
}

private fun Trust.forCore(): CoreTrust =
    when (this) {
        Trust.Platform -> CoreTrust.Platform
        Trust.Bundled -> CoreTrust.Bundled
        is Trust.Custom -> CoreTrust.Custom(pem)
    }

/** How long something may take: the generated code has an exception of its own for what is no length of time. */
internal fun Duration.forCore(name: String): java.time.Duration {
    if (this !in Duration.ZERO..LONGEST) throw AuthException.Configuration("$name has to be from 0 to 10^9 seconds")
    return toJavaDuration()
}

private val LONGEST = 1_000_000_000.seconds
