package org.directauth.internal

import java.time.Instant
import kotlin.time.Duration
import org.directauth.Advice
import org.directauth.AuthSession
import org.directauth.AuthorizationHeaders
import org.directauth.Claims
import org.directauth.HeaderField
import org.directauth.Introspection
import org.directauth.SessionToken
import org.directauth.SignIn
import org.directauth.SignOutResult
import org.directauth.ffi.AuthSession as Core
import org.directauth.ffi.AuthorizationHeaders as CoreHeaders
import org.directauth.ffi.ClaimsInterface as CoreClaims
import org.directauth.ffi.HeaderField as CoreHeaderField

/** A session of the core. Two of the same session are equal. */
internal class CoreSession(private val client: CoreClient, private val core: Core) : AuthSession {
    override val id: String = core.id()
    override val username: String get() = translated { core.username() }
    override val claims: Claims? get() = translated { core.claims()?.let(::ClaimsOfCore) }
    override val grantedScopes: List<String> get() = translated { core.grantedScopes() }
    override val expiresAt: Instant get() = translated { core.expiresAt() }
    override val isPersisted: Boolean get() = translated { core.isPersisted() }
    override val canRefresh: Boolean get() = translated { core.canRefresh() }
    override val isDPoPBound: Boolean get() = translated { core.isDpopBound() }

    override suspend fun accessToken(): String = client.reading { core.accessToken() }

    override fun idToken(): String? = translated { core.idToken() }

    override suspend fun refresh(): Unit = client.call { core.refresh() }

    override suspend fun authorize(method: String, url: String): AuthorizationHeaders =
        client.reading { HeadersOfCore(core.authorize(method, url)) }

    override suspend fun advise(used: AuthorizationHeaders, status: Int, headers: List<HeaderField>): Advice {
        require(used is HeadersOfCore) { "these headers are not from this library's authorize" }
        return client.reading { core.advise(used.core, status, headers.map { CoreHeaderField(it.name, it.value) }).forApp() }
    }

    override fun stepUp(acrValues: List<String>, maxAge: Duration?): SignIn =
        CoreSignIn(client) { core.stepUp(acrValues, maxAge?.forCore("maxAge")) }

    override suspend fun userInfo(): Claims = client.reading { ClaimsOfCore(core.userInfo()) }

    override suspend fun introspect(token: SessionToken): Introspection =
        client.reading {
            val answer = core.introspect(token.like())
            Introspection(answer.isActive, answer.claims?.let(::ClaimsOfCore))
        }

    override suspend fun signOut(): SignOutResult = client.call { core.signOut().forApp() }

    override fun equals(other: Any?): Boolean = other is CoreSession && other.id == id

    override fun hashCode(): Int = id.hashCode()

    override fun toString(): String = "AuthSession($id)"
}

private class HeadersOfCore(val core: CoreHeaders) : AuthorizationHeaders {
    override val values: Map<String, String> get() = translated { core.values() }

    override fun toString(): String = "AuthorizationHeaders([secret])"
}

private class ClaimsOfCore(private val core: CoreClaims) : Claims {
    override val subject: String get() = translated { core.subject() }

    override fun text(name: String): String? = translated { core.text(name) }

    override fun integer(name: String): Long? = translated { core.integer(name) }

    override fun flag(name: String): Boolean? = translated { core.flag(name) }

    override fun texts(name: String): List<String> = translated { core.texts(name) }

    override fun toString(): String = "Claims([not printed])"
}
