package org.directauth

import kotlin.test.assertTrue
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runBlocking
import org.directauth.ffi.ClientConfig
import org.directauth.ffi.ClientSetup
import org.directauth.ffi.test.TestBench
import org.directauth.internal.StorageForCore
import org.directauth.testing.MemoryStorage
import org.junit.jupiter.api.Test
import org.directauth.ffi.SignInStep as CoreStep
import org.directauth.ffi.Trust as CoreTrust

/** What a call costs in Kotlin beside the same call in Rust, in one process. Part of `scripts/bench` and of no test run. */
class CallOverheadBench {
    @Test
    fun overhead(): Unit = runBlocking(Dispatchers.Default) {
        val emulator = RealEmulator.tenants.tenant()
        val config = ClientConfig(emulator.issuer, emulator.clientId, listOf("openid", "offline_access"), trust = CoreTrust.Custom(emulator.caPem))
        val client = ClientSetup(config).apply { setStorage(StorageForCore(MemoryStorage())) }.build()
        val step = client.signIn(BEN, emptyList(), null).password(BENS_PASSWORD)
        val session = (step as CoreStep.SignedIn).session
        val bench = TestBench()
        println("kotlin call                         kotlin µs     rust µs   kotlin/rust")
        row("a property (username)", { repeat(it) { session.username() } }) { bench.usernames(session, it) }
        row("a call that waits (accessToken)", { repeat(it) { session.accessToken() } }) { bench.accessTokens(session, it) }
        row("one that reads the storage (sessions)", { repeat(it) { client.sessions() } }) { bench.lists(client, it) }
    }

    private suspend fun row(name: String, kotlin: suspend (Int) -> Unit, rust: (Int) -> java.time.Duration) {
        kotlin(WARM)
        rust(WARM)
        val began = System.nanoTime()
        kotlin(TIMES)
        val here = (System.nanoTime() - began) / 1000.0 / TIMES
        val there = rust(TIMES).toNanos() / 1000.0 / TIMES
        assertTrue(here > 0 && there > 0)
        println("%-36s %8.1f %11.1f %13.1f".format(name, here, there, here / there))
    }

    private companion object {
        const val WARM = 2_000
        const val TIMES = 2_000
    }
}
