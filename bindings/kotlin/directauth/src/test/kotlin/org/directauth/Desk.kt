package org.directauth

import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.directauth.ffi.test.TestWorld
import org.directauth.internal.CoreClient
import org.directauth.internal.clientSetup
import org.directauth.testing.Emulator
import org.directauth.testing.MemoryStorage

const val ANA = "ana@example.com"
const val ANAS_PASSWORD = "correct horse battery"
const val BEN = "ben@example.com"
const val BENS_PASSWORD = "tr0ub4dor&3"

/** A device and a server in simulated time, for one test. */
class Desk : AutoCloseable {
    val world = TestWorld(0, null)
    val emulator = Emulator.attach(world.control())
    val storage = MemoryStorage()
    private val clients = mutableListOf<CoreClient>()

    /** A client in a process of the device. */
    fun client(process: String = "app", configure: DirectAuthOptions.() -> Unit = {}): DirectAuthClient {
        val options = DirectAuthOptions().apply {
            scopes = listOf("openid", "profile", "offline_access")
            storage = this@Desk.storage
            configure()
        }
        val client = CoreClient(clientSetup(emulator.issuer, emulator.clientId, options)) { world.build(it, process) }
        clients += client
        return client
    }

    /** A call of the library, while which simulated time may pass. */
    suspend fun <T> waiting(work: suspend CoroutineScope.() -> T): T {
        world.begin()
        try {
            return coroutineScope(work)
        } finally {
            world.end()
        }
    }

    /** The state that the client comes to, while simulated time passes. */
    suspend fun becomes(client: DirectAuthClient, isIt: (AuthState) -> Boolean): AuthState {
        while (!isIt(client.state.value)) {
            world.run(java.time.Duration.ofSeconds(1))
            delay(1.milliseconds)
        }
        return client.state.value
    }

    suspend fun bensSession(client: DirectAuthClient): AuthSession =
        assertIs<SignedIn>(waiting { client.signIn(BEN).password(BENS_PASSWORD) }).session

    override fun close() {
        clients.forEach { it.close() }
        world.close()
    }
}

/** Nothing waits in simulated time: what takes so long never ends. */
fun desk(test: suspend Desk.() -> Unit): Unit =
    runBlocking(Dispatchers.Default) { withTimeout(2.minutes) { Desk().use { it.test() } } }

/** In real time, against the emulator's own binary, which the whole test run shares. */
object RealEmulator {
    val tenants: Emulator by lazy { Emulator.start() }
}

fun realClient(emulator: Emulator, configure: DirectAuthOptions.() -> Unit): DirectAuthClient =
    DirectAuthClient(emulator.issuer, emulator.clientId) {
        scopes = listOf("openid", "profile", "offline_access")
        trust = Trust.Custom(emulator.caPem)
        configure()
    }

suspend inline fun <reified T : Throwable> fails(crossinline work: suspend () -> Unit): T {
    val failure = runCatching { work() }.exceptionOrNull()
    return assertFailsWith<T> { failure?.let { throw it } }
}
