package org.directauth

import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.directauth.testing.MemoryStorage
import org.junit.jupiter.api.Test

/** A storage that fails in every way it can. Nothing is lost by any of them, and nothing secret shows. */
class StorageFaultsTest {
    /** Works until it is told to do something else. */
    private class Faulty(val inner: MemoryStorage = MemoryStorage()) : SecureStorage {
        @Volatile
        var onLoad: () -> Unit = {}

        @Volatile
        var onStore: () -> Unit = {}

        override fun load(key: String): ByteArray? {
            onLoad()
            return inner.load(key)
        }

        override fun store(key: String, value: ByteArray) {
            onStore()
            inner.store(key, value)
        }

        override fun delete(key: String) = inner.delete(key)

        override fun keys(): List<String> = inner.keys()
    }

    @Test
    fun `each typed failure is told as it is, and whether it is temporary`() = desk {
        bensSession(client("first"))
        for (problem in StorageProblem.entries - StorageProblem.NEWER_VERSION) {
            val client = client("process of $problem")
            storage.problem = problem
            val error = fails<AuthException.StorageUnavailable> { waiting { client.restore() } }
            assertEquals(problem, error.reason)
            assertEquals(problem.isTemporary, error.isRetryable)
            assertEquals(if (problem.isTemporary) Remedy.Unlock else Remedy.ContactSupport, error.remedy)
            assertEquals(problem, assertIs<AuthState.Unavailable>(becomes(client) { it != AuthState.Restoring }).reason)
            storage.problem = null
            client.notifyForeground()
            assertEquals(BEN, assertIs<AuthState.SignedIn>(becomes(client) { it is AuthState.SignedIn }).session.username)
        }
    }

    @Test
    fun `who looks at the state only after a restore sees what that found`() = desk {
        storage.problem = StorageProblem.LOCKED
        repeat(200) {
            val client = client("process $it")
            fails<AuthException.StorageUnavailable> { waiting { client.restore() } }
            withTimeout(10.seconds) { client.state.first { state -> state is AuthState.Unavailable } }
        }
    }

    @Test
    fun `K1 - what is thrown undeclared counts as transient, and nobody asks for its text`() = desk {
        val faulty = Faulty(storage)
        bensSession(client("first"))
        var asked = 0
        val secretive =
            object : RuntimeException() {
                override val message: String
                    get() {
                        asked++
                        return "hunter2"
                    }
            }
        for (thrown in listOf(IllegalStateException("hunter2"), RuntimeException(RuntimeException("hunter2")), secretive)) {
            faulty.onLoad = { throw thrown }
            val client = client(thrown.javaClass.name) { storage = faulty }
            val error = fails<AuthException.StorageUnavailable> { waiting { client.restore() } }
            assertEquals(StorageProblem.TRANSIENT, error.reason)
            assertFalse("hunter2" in error.stackTraceToString())
        }
        assertEquals(0, asked, "nobody asks for the text of what was thrown")
    }

    @Test
    fun `K1 - an Error is a failure too, and not an empty storage or a success`() = desk {
        val faulty = Faulty(storage)
        bensSession(client("first"))
        val client = client { storage = faulty }
        faulty.onLoad = { throw StackOverflowError("hunter2") }
        val error = fails<AuthException.StorageUnavailable> { waiting { client.restore() } }
        assertEquals(StorageProblem.TRANSIENT, error.reason)
        assertFalse("hunter2" in error.stackTraceToString())
        faulty.onLoad = {}
        assertNotNull(waiting { client.restore() })
        faulty.onStore = { throw LinkageError("hunter2") }
        fails<AuthException.StorageUnavailable> { waiting { client.signIn(BEN).password(BENS_PASSWORD) } }
        assertEquals(1, emulator.journal().count { it.operation == "token" }, "no second password was sent")
    }

    @Test
    fun `a sign-in whose session cannot be stored is refused, or kept in memory if the app says so`() = desk {
        storage.writeProblem = StorageProblem.TRANSIENT
        fails<AuthException.StorageUnavailable> { waiting { client("refuses").signIn(BEN).password(BENS_PASSWORD) } }
        val session = bensSession(client("keeps") { whenStorageFails = WhenStorageFails.KEEP_IN_MEMORY })
        assertFalse(session.isPersisted)
        assertTrue(session.accessToken().isNotEmpty())
    }

    @Test
    fun `a storage that blocks is given up after its time, and the session is still there later`(): Unit = runBlocking {
        RealEmulator.tenants.tenant().let { emulator ->
            val faulty = Faulty()
            val first = realClient(emulator) { storage = faulty }
            assertIs<SignedIn>(first.signIn(BEN).password(BENS_PASSWORD))
            first.close()
            faulty.onLoad = { Thread.sleep(3_000) }
            val client = realClient(emulator) {
                storage = faulty
                storageCallDeadline = 200.milliseconds
            }
            val error = withTimeout(10.seconds) { fails<AuthException.StorageUnavailable> { client.restore() } }
            assertEquals(StorageProblem.TRANSIENT, error.reason)
            faulty.onLoad = {}
            assertNotNull(client.restore())
            client.close()
        }
    }

    @Test
    fun `a storage may call back into the client`() = desk {
        val calls = AtomicInteger()
        val faulty = Faulty()
        lateinit var client: DirectAuthClient
        faulty.onStore = {
            if (calls.getAndIncrement() < 3) runBlocking { client.sessions() }
            client.state.value
        }
        client = client { storage = faulty }
        bensSession(client)
        assertTrue(calls.get() > 0)
        assertEquals(listOf(BEN), client.sessions().map { it.username })
    }
}
