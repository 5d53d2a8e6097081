package org.directauth.testing

import java.net.URI
import java.time.Instant
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlinx.coroutines.yield
import org.directauth.Advice
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthorizationHeaders
import org.directauth.Claims
import org.directauth.DeviceSignOut
import org.directauth.EndReason
import org.directauth.HeaderField
import org.directauth.Introspection
import org.directauth.ServerSignOut
import org.directauth.SessionToken
import org.directauth.SignIn
import org.directauth.SignOutResult

/**
 * A signed-in user for an app's own tests.
 *
 * @param username replaced by what is typed at the first sign-in
 * @param values the claims: texts, numbers, truth values and lists of texts
 * @param origins where [authorize] lets the token go, each `https://host[:port]`; null: to every https address
 * @param reauthentication what [stepUp] begins; null: it throws [IllegalStateException]
 */
public class FakeSession(
    override val id: String = "fake-session-${numbers.incrementAndGet()}",
    username: String = "ana@example.com",
    private val values: Map<String, Any> = mapOf("sub" to "fake-subject"),
    override val grantedScopes: List<String> = listOf("openid", "profile", "offline_access"),
    private val origins: Set<String>? = null,
    private val reauthentication: (() -> SignIn)? = null,
) : AuthSession {
    internal var onSignOut: () -> Unit = {}
    private var refreshes = 0
    private var isOver = false

    @Volatile
    override var username: String = username
        private set

    /** What every call that waits throws from now on; null: nothing. */
    @Volatile
    public var problem: AuthException? = null

    /** What [advise] says next, in order; after that, [Advice.Proceed], and [Advice.Retry] after a 401. */
    public val advice: ArrayDeque<Advice> = ArrayDeque()

    /** How often it was refreshed. */
    public val refreshCount: Int get() = synchronized(this) { refreshes }

    override val claims: Claims = FakeClaims(values)
    override val expiresAt: Instant get() = Instant.now().plusSeconds(3_600)
    override val isPersisted: Boolean get() = true
    override val canRefresh: Boolean get() = "offline_access" in grantedScopes
    override val isDPoPBound: Boolean get() = false

    override suspend fun accessToken(): String = living { "fake-access-token-$refreshes" }

    override fun idToken(): String? = null

    override suspend fun refresh(): Unit = living { refreshes++ }

    override suspend fun authorize(method: String, url: String): AuthorizationHeaders =
        living {
            val address = URI(url)
            val port = if (address.port == -1) "" else ":${address.port}"
            val isKnown = origins == null || "https://${address.host}$port" in origins
            if (address.scheme != "https" || !isKnown) throw AuthException.Configuration("the address is not one of this client's")
            FakeHeaders(mapOf("authorization" to "Bearer fake-access-token-$refreshes"))
        }

    override suspend fun advise(used: AuthorizationHeaders, status: Int, headers: List<HeaderField>): Advice =
        living {
            val said = advice.removeFirstOrNull() ?: if (status == 401) Advice.Retry else Advice.Proceed
            if (said == Advice.Retry) refreshes++
            said
        }

    override fun stepUp(acrValues: List<String>, maxAge: Duration?): SignIn =
        checkNotNull(reauthentication) { "this fake has no sign-in for a step-up" }()

    override suspend fun userInfo(): Claims = living { claims }

    override suspend fun introspect(token: SessionToken): Introspection = living { Introspection(true, claims) }

    /** Works without the server too: with a [problem] of the network it is told later. */
    override suspend fun signOut(): SignOutResult {
        yield()
        val server = if (problem is AuthException.Network) ServerSignOut.PENDING else problem?.let { throw it } ?: ServerSignOut.REVOKED
        synchronized(this) {
            if (isOver) throw AuthException.SessionEnded(EndReason.SIGNED_OUT)
            isOver = true
        }
        onSignOut()
        return SignOutResult(server, DeviceSignOut.DELETED)
    }

    override fun toString(): String = "FakeSession($id)"

    /** This one at the first sign-in, and otherwise one like it. */
    internal fun signedIn(username: String, number: Int): FakeSession {
        val isThis = synchronized(this) { number == 1 && !isOver }
        if (!isThis) {
            return FakeSession("$id-$number", username, values, grantedScopes, origins, reauthentication).also { it.problem = problem }
        }
        this.username = username
        return this
    }

    private suspend fun <T> living(work: () -> T): T {
        yield()
        problem?.let { throw it }
        return synchronized(this) {
            if (isOver) throw AuthException.SessionEnded(EndReason.SIGNED_OUT)
            work()
        }
    }

    private companion object {
        val numbers = AtomicInteger()
    }

    private class FakeHeaders(override val values: Map<String, String>) : AuthorizationHeaders

    private class FakeClaims(private val values: Map<String, Any>) : Claims {
        override val subject: String get() = text("sub").orEmpty()

        override fun text(name: String): String? = values[name] as? String

        override fun integer(name: String): Long? = (values[name] as? Number)?.toLong()

        override fun flag(name: String): Boolean? = values[name] as? Boolean

        override fun texts(name: String): List<String> = (values[name] as? List<*>).orEmpty().filterIsInstance<String>()
    }
}
