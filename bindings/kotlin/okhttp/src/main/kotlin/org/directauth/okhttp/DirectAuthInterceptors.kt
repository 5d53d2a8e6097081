package org.directauth.okhttp

import java.io.IOException
import kotlin.time.Duration
import kotlinx.coroutines.runBlocking
import okhttp3.HttpUrl
import okhttp3.HttpUrl.Companion.toHttpUrl
import okhttp3.Interceptor
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.Response
import org.directauth.Advice
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthorizationHeaders
import org.directauth.HeaderField

/**
 * Authorizes requests to [origins] with the session that is signed in.
 *
 * Each request on the network, each hop of a redirect too, gets headers of its own, and only if it goes to one of [origins]. What
 * the server answers is looked at: a request that it refused for its token or its proof is sent once more if that can help, and if its
 * body can be sent twice. A request that has an `Authorization` header already is left alone.
 *
 * What goes wrong is an [IOException]: [SignInAgainException], [StepUpRequiredException], or [AuthorizationException] with the
 * library's error as its cause.
 *
 * @param origins where tokens may go, each `https://host[:port]`; they have to be the client's `resourceOrigins` or its issuer's too
 * @param session who is signed in; null: nobody
 * @throws IllegalArgumentException if one of [origins] is not an https origin
 */
public fun OkHttpClient.Builder.directAuth(origins: Set<String>, session: () -> AuthSession?): OkHttpClient.Builder {
    val known = origins.map(Origin::parse).toSet()
    return addInterceptor(RetryOnce()).addNetworkInterceptor(AuthorizeEachHop(known, session))
}

/** The session is over, or cannot be renewed without the user: send the user to the sign-in screen. */
public class SignInAgainException internal constructor(message: String) : IOException(message)

/** The resource wants the user to show more, or again: [AuthSession.stepUp] with this, then send the request again. */
public class StepUpRequiredException internal constructor(
    /** One of these, the most wanted first; any if empty. */
    public val acrValues: List<String>,
    /** How long ago the user may have been asked. */
    public val maxAge: Duration?,
) : IOException("the resource asks for more assurance")

/** The request could not be authorized; [cause] says why, and what to do. */
public class AuthorizationException internal constructor(override val cause: AuthException) : IOException(cause.message, cause)

private data class Origin(val scheme: String, val host: String, val port: Int) {
    constructor(url: HttpUrl) : this(url.scheme, url.host, url.port)

    companion object {
        fun parse(text: String): Origin {
            val url = text.toHttpUrl()
            require(url.isHttps && url.encodedPath == "/" && url.query == null) { "$text is not an https origin, such as https://api.acme.com" }
            return Origin(url)
        }
    }
}

/** What the hops of one request were authorized with. */
private class Attempt {
    /** Of the last hop; null if it went to another origin. */
    @Volatile
    var last: Pair<AuthSession, AuthorizationHeaders>? = null
}

/** A network interceptor: it sees each hop, so that each has a fresh proof and is checked for where it goes. */
private class AuthorizeEachHop(private val origins: Set<Origin>, private val session: () -> AuthSession?) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        val request = chain.request()
        val attempt = request.tag(Attempt::class.java)
        attempt?.last = null
        if (Origin(request.url) !in origins || request.header(AUTHORIZATION) != null) return chain.proceed(request)
        val session = session() ?: throw SignInAgainException("nobody is signed in")
        val headers = asIOException { session.authorize(request.method, request.url.toString()) }
        val authorized = request.newBuilder()
        headers.values.forEach { (name, value) -> authorized.header(name, value) }
        attempt?.last = session to headers
        return chain.proceed(authorized.build())
    }
}

/** An application interceptor: it sees the final answer once. */
private class RetryOnce : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        val attempt = Attempt()
        val request = chain.request().newBuilder().tag(Attempt::class.java, attempt).build()
        val response = chain.proceed(request)
        return when (val advice = advice(response, attempt)) {
            Advice.Proceed -> response
            Advice.Retry -> if (request.canBeSentTwice()) again(chain, request, response, attempt) else response
            else -> response.use { throw problem(advice) }
        }
    }

    private fun again(chain: Interceptor.Chain, request: Request, refused: Response, attempt: Attempt): Response {
        refused.close()
        val response = chain.proceed(request)
        return when (val advice = advice(response, attempt)) {
            // What a second attempt did not mend is the app's to see.
            Advice.Proceed, Advice.Retry -> response
            else -> response.use { throw problem(advice) }
        }
    }

    private fun advice(response: Response, attempt: Attempt): Advice {
        val (session, used) = attempt.last ?: return Advice.Proceed
        val fields = response.headers.map { (name, value) -> HeaderField(name, value) }
        try {
            return asIOException { session.advise(used, response.code, fields) }
        } catch (e: IOException) {
            response.close()
            throw e
        }
    }

    private fun problem(advice: Advice): IOException =
        when (advice) {
            is Advice.StepUp -> StepUpRequiredException(advice.acrValues, advice.maxAge)
            else -> SignInAgainException("the session is over, or cannot be renewed without the user")
        }

    private fun Request.canBeSentTwice(): Boolean = body?.run { !isOneShot() && !isDuplex() } ?: true
}

private fun <T> asIOException(work: suspend () -> T): T =
    try {
        runBlocking { work() }
    } catch (e: AuthException) {
        throw AuthorizationException(e)
    }

private const val AUTHORIZATION = "Authorization"
