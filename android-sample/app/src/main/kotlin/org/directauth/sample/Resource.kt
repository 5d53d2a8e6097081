package org.directauth.sample

import java.io.IOException
import java.net.URL
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLSocketFactory
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.directauth.Advice
import org.directauth.AuthSession
import org.directauth.HeaderField

/** An API that wants the session's access token. */
interface Resource {
    /** @throws IOException if it cannot be reached */
    suspend fun ask(session: AuthSession): ResourceAnswer
}

/** What came of asking it. */
sealed interface ResourceAnswer {
    /** Its answer. */
    data class Text(val text: String) : ResourceAnswer

    /** It wants more assurance than the session's sign-in has shown. */
    data class StepUp(val advice: Advice.StepUp) : ResourceAnswer

    /** It takes no token of this session any more. */
    data object SignInAgain : ResourceAnswer

    /** Another status than 200. */
    data class Refused(val status: Int) : ResourceAnswer
}

/** The same over HTTPS. An app with OkHttp takes the interceptor of `directauth-okhttp` instead, which does all of this. */
class HttpsResource(private val url: String, private val trust: SSLSocketFactory? = null) : Resource {
    override suspend fun ask(session: AuthSession): ResourceAnswer {
        // The library knows from the answer whether a fresh token or another proof would help; then it is asked once more.
        var isRetry = false
        while (true) {
            val headers = session.authorize("GET", url)
            val answer = withContext(Dispatchers.IO) { send(headers.values) }
            // Also of a good answer: it may bring the nonce for the next one.
            when (val advice = session.advise(headers, answer.status, answer.headers)) {
                is Advice.StepUp -> return ResourceAnswer.StepUp(advice)
                Advice.SignInAgain -> return ResourceAnswer.SignInAgain
                Advice.Retry -> if (isRetry) return ResourceAnswer.Refused(answer.status)
                else -> return if (answer.status in 200..299) ResourceAnswer.Text(answer.text) else ResourceAnswer.Refused(answer.status)
            }
            isRetry = true
        }
    }

    private class Answer(val status: Int, val headers: List<HeaderField>, val text: String)

    private fun send(headers: Map<String, String>): Answer {
        val connection = URL(url).openConnection() as HttpsURLConnection
        try {
            trust?.let { connection.sslSocketFactory = it }
            // A token is for this address alone.
            connection.instanceFollowRedirects = false
            connection.connectTimeout = TIMEOUT_MILLIS
            connection.readTimeout = TIMEOUT_MILLIS
            headers.forEach(connection::setRequestProperty)
            val status = connection.responseCode
            val body = if (status < 400) connection.inputStream else connection.errorStream
            val fields = connection.headerFields.filterKeys { it != null }.flatMap { (name, values) -> values.map { HeaderField(name, it) } }
            return Answer(status, fields, body?.use { it.readBytes().decodeToString() }.orEmpty())
        } finally {
            connection.disconnect()
        }
    }

    private companion object {
        const val TIMEOUT_MILLIS = 15_000
    }
}
