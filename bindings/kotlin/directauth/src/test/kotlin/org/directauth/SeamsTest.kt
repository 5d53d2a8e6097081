package org.directauth

import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.concurrent.thread
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.directauth.ffi.test.TestDefects
import org.directauth.internal.CoreClient
import org.junit.jupiter.api.Test
import org.directauth.ffi.AuthException as CoreException

/** Sinks, headers, keys, panics, threads and the lives of objects. */
class SeamsTest {
    @Test
    fun `a sink that throws fails no sign-in, and the next event counts what was lost`() = desk {
        val taken = ConcurrentLinkedQueue<AuditEvent>()
        var thrown = 0
        val client = client {
            auditSink = AuditSink { event ->
                if (thrown++ < 2) throw (if (thrown == 1) IllegalStateException("hunter2") else AssertionError("hunter2"))
                taken += event
            }
        }
        bensSession(client)
        world.settle()
        withTimeout(10.seconds) { while (taken.isEmpty()) delay(1.milliseconds) }
        assertEquals(2, taken.first().droppedBefore)
    }

    @Test
    fun `what a sink does not take is no loss of whoever collects events`() = desk {
        val client = client { auditSink = AuditSink { throw IllegalStateException("hunter2") } }
        coroutineScope {
            val taken = ConcurrentLinkedQueue<AuditEvent>()
            val collector = launch { client.events.collect { taken += it } }
            withTimeout(10.seconds) {
                while (taken.size < 6) {
                    bensSession(client)
                    delay(5.milliseconds)
                }
            }
            collector.cancel()
            assertTrue(taken.all { it.droppedBefore == 0L }, "${taken.map { it.droppedBefore }}")
        }
    }

    @Test
    fun `events are told to whoever collects them`() = desk {
        val client = client()
        client.warmUp()
        val kinds = mutableListOf<AuditKind>()
        coroutineScope {
            val collector = launch { client.events.collect { kinds += it.kind } }
            withTimeout(10.seconds) {
                while (AuditKind.AttemptStarted(Attempt.Password) !in kinds) {
                    fails<AuthException.Rejected> { waiting { client.signIn(BEN).password("wrong") } }
                    delay(5.milliseconds)
                }
            }
            val session = bensSession(client)
            withTimeout(10.seconds) { while (AuditKind.SessionStarted(session.id) !in kinds) delay(1.milliseconds) }
            collector.cancel()
        }
        assertTrue(kinds.any { it is AuditKind.AttemptFinished && it.outcome == "Refused" }, "$kinds")
        assertFalse(BEN in kinds.toString())
    }

    @Test
    fun `log lines come without secrets, and a sink that throws is left alone`() = desk {
        val lines = ConcurrentLinkedQueue<String>()
        DirectAuthLog.setSink { level, line ->
            lines += "$level $line"
            if (lines.size % 2 == 0) throw IllegalStateException("hunter2")
        }
        val session = bensSession(client())
        withTimeout(10.seconds) { while (lines.size < 2) delay(1.milliseconds) }
        DirectAuthLog.setSink(null)
        for (secret in listOf(BENS_PASSWORD, BEN, session.accessToken(), world.lastRefreshToken())) {
            assertFalse(lines.any { secret in it }, "nothing secret in a log line")
        }
    }

    @Test
    fun `headers of the app are sent, and one that throws costs an event and no sign-in`() = desk {
        val asked = ConcurrentLinkedQueue<String>()
        val client = client { headerProvider = HeaderProvider { method, path -> mapOf("x-shield" to "ok").also { asked += "$method $path" } } }
        bensSession(client)
        assertTrue(asked.any { it.startsWith("POST ") && it.endsWith("/v1/token") }, "$asked")
        assertContains(emulator.journal().last { it.operation == "token" }.text, "x-shield")

        val events = ConcurrentLinkedQueue<AuditKind>()
        val other = client("other") {
            headerProvider = HeaderProvider { _, _ -> throw LinkageError("hunter2") }
            auditSink = AuditSink { events += it.kind }
        }
        bensSession(other)
        world.settle()
        val wanted = AuditKind.Security(SecurityEvent.HeaderProviderFailed(HeaderProblem.FAILED))
        withTimeout(10.seconds) { while (wanted !in events) delay(1.milliseconds) }
    }

    @Test
    fun `a key that cannot be used is told by its reason`() = desk {
        for (problem in listOf(KeyProblem.LOCKED, KeyProblem.NEEDS_USER, KeyProblem.USER_CANCELLED, KeyProblem.TRANSIENT)) {
            val client = client("$problem") {
                dpop = DPoP.REQUIRED
                signingKey = FailingKeys { throw KeyException(problem) }
            }
            val error = fails<AuthException.KeyUnavailable> { waiting { client.signIn(BEN).password(BENS_PASSWORD) } }
            assertEquals(problem, error.reason)
            assertTrue(error.isRetryable)
        }
        for (thrown in listOf(IllegalStateException("hunter2"), OutOfMemoryError("hunter2"))) {
            val client = client(thrown.javaClass.name) {
                dpop = DPoP.REQUIRED
                signingKey = FailingKeys { throw thrown }
            }
            val error = fails<AuthException.KeyUnavailable> { waiting { client.signIn(BEN).password(BENS_PASSWORD) } }
            assertEquals(KeyProblem.TRANSIENT, error.reason)
            assertFalse("hunter2" in error.stackTraceToString())
        }
        // A device without such keys gets one in software.
        val session = bensSession(client("software") {
            dpop = DPoP.REQUIRED
            signingKey = FailingKeys { throw KeyException(KeyProblem.UNSUPPORTED) }
        })
        assertTrue(session.isDPoPBound)
    }

    private class FailingKeys(private val fail: () -> Nothing) : SigningKey {
        override fun create(name: String): ByteArray = fail()

        override fun publicKey(name: String): ByteArray = fail()

        override fun sign(name: String, message: ByteArray): ByteArray = fail()

        override fun delete(name: String) = Unit
    }

    @Test
    fun `a lock that cannot be taken stops the refresh and not the session`() = desk {
        var state = "works"
        val lock = object : CrossProcessLock {
            override fun acquire(timeoutMillis: Long) {
                if (state == "busy") throw LockException(stillHolds = true)
                if (state == "fails") throw LockException(stillHolds = false)
                if (state == "throws") throw StackOverflowError("hunter2")
            }

            override fun release() = check(state != "throws") { "hunter2" }

            override fun stillHeld(): Boolean = true
        }
        val session = bensSession(client { crossProcessLock = lock })
        for (how in listOf("busy", "fails", "throws")) {
            state = how
            val error = fails<AuthException.StorageUnavailable> { waiting { session.refresh() } }
            assertFalse("hunter2" in error.stackTraceToString())
        }
        state = "works"
        world.advance(java.time.Duration.ofMinutes(2))
        waiting { session.refresh() }
        assertTrue(session.accessToken().isNotEmpty())
    }

    @Test
    fun `a panic arrives as an error without its text, and the process lives`() = desk {
        val defects = TestDefects()
        val errors = listOf(fails<CoreException.Internal> { defects.panic() }, fails<CoreException.Internal> { defects.panicNow() })
        for (error in errors) assertFalse("hunter2" in error.stackTraceToString() + error.details)
        bensSession(client())
    }

    @Test
    fun `K2 - an exception says what the error says`() = desk {
        val error = fails<AuthException.Configuration> { client { additionalParameters = mapOf("scope" to "x") }.warmUp() }
        assertContains(error.message.orEmpty(), "Configuration")
        assertEquals(error.details.toString(), error.message)
        val core = fails<CoreException.Internal> { TestDefects().panic() }
        assertEquals(core.details.toString(), core.message)
        assertContains(core.message.orEmpty(), "Internal")
    }

    @Test
    fun `what is no length of time is refused as a wrong option is`() = desk {
        val session = bensSession(client())
        for (time in listOf((-1).seconds, Duration.INFINITE, -Duration.INFINITE)) {
            fails<AuthException.Configuration> { client().signIn(BEN, maxAge = time).password(BENS_PASSWORD) }
            fails<AuthException.Configuration> { session.stepUp(maxAge = time).password(BENS_PASSWORD) }
            fails<AuthException.Configuration> { client { connectTimeout = time }.warmUp() }
            fails<AuthException.Configuration> { client { keyCallDeadline = time }.warmUp() }
        }
    }

    @Test
    fun `ten threads at once get what one gets`() = desk {
        val client = client()
        val session = bensSession(client)
        val tokens = ConcurrentLinkedQueue<String>()
        val problems = ConcurrentLinkedQueue<Throwable>()
        val threads = List(10) {
            thread {
                try {
                    repeat(20) {
                        runBlocking {
                            tokens += session.accessToken()
                            assertEquals(BEN, session.username)
                            assertEquals("Ben Okafor", session.claims?.text("name"))
                            assertEquals(1, client.sessions().size)
                            assertEquals(setOf("authorization"), session.authorize("GET", emulator.resourceUrl).values.keys)
                        }
                    }
                } catch (e: Throwable) {
                    problems += e
                }
            }
        }
        threads.forEach { it.join() }
        assertEquals(emptyList(), problems.toList())
        assertEquals(1, tokens.toSet().size)
    }

    @Test
    fun `a client may be closed early, twice, or never`() = desk {
        val unused = client()
        unused.close()
        unused.close()
        fails<IllegalStateException> { unused.restore() }
        assertEquals(AuthState.Restoring, unused.state.value)

        val client = client("second")
        val session = bensSession(client)
        client.state.first { it is AuthState.SignedIn }
        client.close()
        client.close()
        fails<IllegalStateException> { client.restore() }
        fails<IllegalStateException> { client.signIn(BEN).password(BENS_PASSWORD) }
        // Nobody was signed out, and the session in hand goes on.
        assertTrue(session.accessToken().isNotEmpty())
        assertEquals(BEN, client("third").restore()?.username)
    }

    @Test
    fun `the events of a client end when it is closed`() = desk {
        val client = client()
        coroutineScope {
            val taken = ConcurrentLinkedQueue<AuditEvent>()
            val collector = launch { client.events.collect { taken += it } }
            withTimeout(10.seconds) {
                while (taken.isEmpty()) {
                    bensSession(client)
                    delay(5.milliseconds)
                }
            }
            client.close()
            withTimeout(10.seconds) { collector.join() }
            assertFalse(collector.isCancelled)
        }
    }

    @Test
    fun `a library that cannot be loaded is told by the call, and no thread dies of it`() = runBlocking<Unit> {
        val uncaught = ConcurrentLinkedQueue<Throwable>()
        val before = Thread.getDefaultUncaughtExceptionHandler()
        Thread.setDefaultUncaughtExceptionHandler { _, e -> uncaught += e }
        try {
            for (thrown in listOf(UnsatisfiedLinkError("hunter2"), NoClassDefFoundError("hunter2"), IllegalArgumentException("hunter2"))) {
                val client = CoreClient({ throw thrown })
                assertEquals(AuthState.SignedOut, withTimeout(10.seconds) { client.state.first { it != AuthState.Restoring } })
                client.notifyForeground()
                val error = fails<AuthException.Configuration> { client.restore() }
                assertFalse("hunter2" in error.stackTraceToString())
                client.close()
            }
            val closing = List(50) { client -> DirectAuthClient("https://acme.example", "app$client") }
            closing.forEach {
                it.state
                it.notifyForeground()
                it.close()
                it.notifyForeground()
            }
            assertEquals(emptyList(), uncaught.toList())
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before)
        }
    }

    @Test
    fun `all threads of the app may wait at once`() = desk {
        val session = bensSession(client())
        // More than the default dispatcher has threads.
        val tokens = coroutineScope { List(200) { async(Dispatchers.Default) { runBlocking { session.accessToken() } } }.awaitAll() }
        assertEquals(1, tokens.toSet().size)
    }

    @Test
    fun `wrong options are told by the first call, with what to change`() = desk {
        val client = DirectAuthClient("http://acme.example", "app")
        assertEquals(AuthState.SignedOut, withTimeout(10.seconds) { client.state.first { it != AuthState.Restoring } })
        val error = fails<AuthException.Configuration> { client.signIn(BEN).password(BENS_PASSWORD) }
        assertContains(error.message.orEmpty(), "https")
        assertEquals(Remedy.FixConfiguration, error.remedy)
        val pins = DirectAuthClient("https://acme.example", "app") { pins = listOf("sha256/AAAA") }
        assertIs<AuthException.Configuration>(fails<AuthException> { pins.restore() })
    }

    @Test
    fun `nothing secret shows in what is printed`() = desk {
        val printed = mutableListOf<Any?>()
        val client = client { auditKey = "a key of the app's own" }
        printed += client
        val signIn = client.signIn(ANA).also { printed += it }
        val choice = assertIs<ChooseFactor>(waiting { signIn.password(ANAS_PASSWORD) }).also { printed += it }
        printed += client.recover(ANA)
        printed += waiting { choice.push() }
        printed += EnrolledPasskey("AQID918273", "918273")
        val code = waiting { choice.sms() }.also { printed += it } as EnterCode
        printed += fails<AuthException.Rejected> { waiting { code.submit("918273") } }
        val session = (waiting { code.submit(checkNotNull(emulator.lastCode(ANA))) } as SignedIn).also { printed += it }.session
        printed.addAll(listOf(session, session.claims, client.sessions(), client.state.value, session.userInfo()))
        val headers = session.authorize("GET", emulator.resourceUrl).also { printed += it }
        printed += session.introspect(SessionToken.ACCESS)
        printed += HeaderField("DPoP-Nonce", "918273")
        printed += Proxy.Http("http://ana:918273@localhost:1")
        printed += AuthException.Rejected(ErrorDetails("Rejected", Remedy.AskAgain, serverText = ServerText("918273")))
        val secrets = listOf(
            ANAS_PASSWORD, "918273", checkNotNull(emulator.lastCode(ANA)), session.accessToken(), checkNotNull(session.idToken()),
            world.lastRefreshToken(), headers.values.getValue("authorization"), "a key of the app's own", ANA, "Ana Ibarra",
        )
        for (what in printed) {
            val text = if (what is Throwable) what.stackTraceToString() else what.toString()
            for (secret in secrets) assertFalse(secret in text, "$secret shows in $text")
        }
        assertNotEquals(0, printed.size)
    }
}
