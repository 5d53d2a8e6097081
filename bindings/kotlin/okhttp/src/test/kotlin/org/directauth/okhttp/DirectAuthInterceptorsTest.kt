package org.directauth.okhttp

import java.io.IOException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import mockwebserver3.MockResponse
import mockwebserver3.MockWebServer
import okhttp3.Call
import okhttp3.Callback
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okhttp3.WebSocket
import okhttp3.WebSocketListener
import okhttp3.tls.HandshakeCertificates
import okhttp3.tls.HeldCertificate
import okio.BufferedSink
import org.directauth.Advice
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthorizationHeaders
import org.directauth.NetworkProblem
import org.directauth.testing.FakeSession
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test

class DirectAuthInterceptorsTest {
    private val certificate = HeldCertificate.Builder().addSubjectAlternativeName("localhost").build()
    private val server = server()
    private val other = server()
    private val session = FakeSession()

    private fun server() = MockWebServer().apply {
        useHttps(HandshakeCertificates.Builder().heldCertificate(certificate).build().sslSocketFactory())
    }

    @BeforeEach
    fun start() {
        server.start()
        other.start()
    }

    @AfterEach
    fun stop() {
        server.close()
        other.close()
    }

    private val client by lazy {
        val trust = HandshakeCertificates.Builder().addTrustedCertificate(certificate.certificate).build()
        OkHttpClient.Builder()
            .sslSocketFactory(trust.sslSocketFactory(), trust.trustManager)
            .directAuth(origins = setOf("https://localhost:${server.port}")) { session }
            .build()
    }

    private fun get(path: String = "/me"): Response = client.newCall(Request(server.url(path))).execute()

    private fun answer(code: Int, vararg headers: Pair<String, String>) =
        MockResponse.Builder().code(code).apply { headers.forEach { (name, value) -> addHeader(name, value) } }.build()

    private fun MockWebServer.token(): String? = takeRequest().headers["authorization"]

    @Test
    fun `a request to a known origin carries the token`() {
        server.enqueue(answer(200))
        assertEquals(200, get().code)
        assertEquals("Bearer fake-access-token-0", server.token())
    }

    @Test
    fun `a redirect to another origin does not, and one to the same gets headers of its own`() {
        server.enqueue(answer(302, "Location" to "/elsewhere"))
        server.enqueue(answer(302, "Location" to other.url("/x").toString()))
        other.enqueue(answer(200))
        assertEquals(200, get().code)
        assertEquals("Bearer fake-access-token-0", server.token())
        assertEquals("Bearer fake-access-token-0", server.token())
        assertNull(other.token())
    }

    @Test
    fun `another origin gets nothing`() {
        other.enqueue(answer(401))
        assertEquals(401, client.newCall(Request(other.url("/"))).execute().code)
        assertNull(other.token())
        assertEquals(1, other.requestCount)
    }

    @Test
    fun `a refused token is sent once more, and not twice`() {
        server.enqueue(answer(401))
        server.enqueue(answer(200))
        assertEquals(200, get().code)
        assertEquals("Bearer fake-access-token-0", server.token())
        assertEquals("Bearer fake-access-token-1", server.token())
        server.enqueue(answer(401))
        server.enqueue(answer(401))
        assertEquals(401, get().code)
        assertEquals(4, server.requestCount)
    }

    @Test
    fun `a body that can be sent only once is not sent twice`() {
        val once = object : RequestBody() {
            override fun contentType() = "text/plain".toMediaType()

            override fun isOneShot() = true

            override fun writeTo(sink: BufferedSink) {
                sink.writeUtf8("once")
            }
        }
        server.enqueue(answer(401))
        assertEquals(401, client.newCall(Request.Builder().url(server.url("/")).post(once).build()).execute().code)
        assertEquals(1, server.requestCount)
        server.enqueue(answer(401))
        server.enqueue(answer(200))
        assertEquals(200, client.newCall(Request.Builder().url(server.url("/")).post("often".toRequestBody()).build()).execute().code)
        assertEquals(3, server.requestCount)
    }

    @Test
    fun `what a resource demands is an exception with the demand`() {
        server.enqueue(answer(401))
        session.advice += Advice.StepUp(listOf("phr"), 300.seconds)
        val demand = assertFailsWith<StepUpRequiredException> { get() }
        assertEquals(listOf("phr") to 300.seconds, demand.acrValues to demand.maxAge)
        server.enqueue(answer(401))
        session.advice += Advice.SignInAgain
        assertFailsWith<SignInAgainException> { get() }
    }

    @Test
    fun `what the library cannot do is an IOException with its error, and nothing is sent`() {
        session.problem = AuthException.Network(NetworkProblem.CONNECT)
        val problem = assertFailsWith<AuthorizationException> { get() }
        assertIs<AuthException.Network>(problem.cause)
        assertIs<IOException>(problem)
        assertEquals(0, server.requestCount)
    }

    @Test
    fun `nobody signed in is said before anything is sent`() {
        val nobody = client.newBuilder().apply {
            interceptors().clear()
            networkInterceptors().clear()
        }.directAuth(setOf("https://localhost:${server.port}")) { null }.build()
        assertFailsWith<SignInAgainException> { nobody.newCall(Request(server.url("/"))).execute() }
        assertEquals(0, server.requestCount)
    }

    @Test
    fun `a call that is cancelled or interrupted while it waits ends with an IOException`() {
        val gate = CompletableDeferred<Unit>()
        val slow = object : AuthSession by session {
            override suspend fun authorize(method: String, url: String): AuthorizationHeaders {
                gate.await()
                return session.authorize(method, url)
            }
        }
        val waiting = client.newBuilder().apply {
            interceptors().clear()
            networkInterceptors().clear()
        }.directAuth(setOf("https://localhost:${server.port}")) { slow }.build()
        val problems = LinkedBlockingQueue<IOException>()
        val answers = object : Callback {
            override fun onFailure(call: Call, e: IOException) {
                problems += e
            }

            override fun onResponse(call: Call, response: Response) = response.close()
        }
        val call = waiting.newCall(Request(server.url("/")))
        call.enqueue(answers)
        while (waiting.dispatcher.runningCallsCount() == 0) Thread.onSpinWait()
        call.cancel()
        assertIs<IOException>(problems.poll(10, TimeUnit.SECONDS))
        waiting.newCall(Request(server.url("/"))).enqueue(answers)
        waiting.dispatcher.executorService.shutdownNow()
        assertIs<IOException>(problems.poll(10, TimeUnit.SECONDS))
        assertEquals(0, server.requestCount)
    }

    @Test
    fun `a web socket carries the token too`() {
        server.enqueue(answer(403))
        val closed = CountDownLatch(1)
        client.newWebSocket(Request(server.url("/socket")), object : WebSocketListener() {
            override fun onFailure(webSocket: WebSocket, t: Throwable, response: Response?) = closed.countDown()
        })
        assertTrue(closed.await(10, TimeUnit.SECONDS))
        assertEquals("Bearer fake-access-token-0", server.token())
    }

    @Test
    fun `an app's own authorization is left alone`() {
        server.enqueue(answer(401))
        val request = Request.Builder().url(server.url("/")).header("Authorization", "Basic abc").build()
        assertEquals(401, client.newCall(request).execute().code)
        assertEquals("Basic abc", server.token())
        assertEquals(1, server.requestCount)
    }

    @Test
    fun `an origin that is none is refused`() {
        for (wrong in listOf("http://acme.example", "https://acme.example/api", "https://acme.example/?x", "acme.example")) {
            assertFailsWith<IllegalArgumentException>(wrong) { OkHttpClient.Builder().directAuth(setOf(wrong)) { session } }
        }
        assertFalse(session.refreshCount > 0)
    }
}
