package org.directauth.okhttp

import java.io.IOException
import java.io.InterruptedIOException
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlinx.coroutines.cancel
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import okhttp3.Call
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
 * library's error as its cause. A call that is cancelled while it waits for a refresh ends; the refresh does not.
 *
 * Use no `Cache` with such a client, or one for each user: it sits in front of the network, and does not know whose answer it keeps.
 *
 * @param origins where tokens may go, each `https://host[:port]`; they have to be the client's `resourceOrigins` or its issuer's too
 * @param session who is signed in; null: nobody
 * @throws IllegalArgumentException if one of [origins] is not an https origin
 */
public fun OkHttpClient.Builder.directAuth(origins: Set<String>, session: () -> AuthSession?): OkHttpClient.Builder {
    val known = origins.map(Origin::parse).toSet()
    return addInterceptor(RetryOnce(known, session)).addNetworkInterceptor(AuthorizeEachHop(known, session))
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
        val session = signedIn(session)
        val (authorized, headers) = authorized(chain, session, request)
        attempt?.last = session to headers
        return chain.proceed(authorized)
    }
}

private fun authorized(chain: Interceptor.Chain, session: AuthSession, request: Request): Pair<Request, AuthorizationHeaders> {
    val headers = chain.call().waiting { session.authorize(request.method, request.url.toString()) }
    val authorized = request.newBuilder()
    headers.values.forEach { (name, value) -> authorized.header(name, value) }
    return authorized.build() to headers
}

/** An application interceptor: it sees the final answer once. */
private class RetryOnce(private val origins: Set<Origin>, private val session: () -> AuthSession?) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        // Network interceptors are passed over for a web socket, which is not redirected either.
        val asked = chain.request()
        if (asked.header("Upgrade").equals("websocket", true) && Origin(asked.url) in origins && asked.header(AUTHORIZATION) == null) {
            return chain.proceed(authorized(chain, signedIn(session), asked).first)
        }
        val attempt = Attempt()
        val request = chain.request().newBuilder().tag(Attempt::class.java, attempt).build()
        val response = chain.proceed(request)
        return when (val advice = advice(chain, response, attempt)) {
            Advice.Proceed -> response
            Advice.Retry -> if (request.canBeSentTwice()) again(chain, request, response, attempt) else response
            else -> response.use { throw problem(advice) }
        }
    }

    private fun again(chain: Interceptor.Chain, request: Request, refused: Response, attempt: Attempt): Response {
        refused.close()
        val response = chain.proceed(request)
        return when (val advice = advice(chain, response, attempt)) {
            // What a second attempt did not mend is the app's to see.
            Advice.Proceed, Advice.Retry -> response
            else -> response.use { throw problem(advice) }
        }
    }

    private fun advice(chain: Interceptor.Chain, response: Response, attempt: Attempt): Advice {
        val (session, used) = attempt.last ?: return Advice.Proceed
        val fields = response.headers.map { (name, value) -> HeaderField(name, value) }
        try {
            return chain.call().waiting { session.advise(used, response.code, fields) }
        } catch (e: Throwable) {
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

private fun signedIn(session: () -> AuthSession?): AuthSession = session() ?: throw SignInAgainException("nobody is signed in")

/** Waits on OkHttp's thread until it is done or the call is cancelled. Whatever goes wrong is an [IOException], as OkHttp wants it. */
private fun <T> Call.waiting(work: suspend () -> T): T {
    try {
        return runBlocking {
            val watch = launch {
                while (!isCanceled()) delay(LOOK_MILLIS)
                this@runBlocking.cancel()
            }
            work().also { watch.cancel() }
        }
    } catch (e: AuthException) {
        throw AuthorizationException(e)
    } catch (e: InterruptedException) {
        Thread.currentThread().interrupt()
        throw InterruptedIOException("interrupted")
    } catch (_: CancellationException) {
        throw IOException("Canceled")
    } catch (e: RuntimeException) {
        throw IOException("the request could not be authorized: ${e.message}", e)
    }
}

/** How soon it is seen that a call was cancelled. */
private const val LOOK_MILLIS = 50L
private const val AUTHORIZATION = "Authorization"
