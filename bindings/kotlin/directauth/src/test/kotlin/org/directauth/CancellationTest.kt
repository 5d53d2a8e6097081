package org.directauth

import java.time.Duration as JavaDuration
import kotlin.coroutines.cancellation.CancellationException
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.withTimeout
import org.directauth.ffi.Disposable
import org.directauth.ffi.test.Counted
import org.directauth.ffi.test.TestDefects
import org.directauth.internal.CoreClient
import org.junit.jupiter.api.Test

/** Who goes away leaves nothing behind, and loses nothing. */
class CancellationTest {
    @Test
    fun `cancelling while a push waits ends the polling`() = desk {
        val client = client()
        val choice = assertIs<ChooseFactor>(waiting { client.signIn(ANA).password(ANAS_PASSWORD) })
        val push = assertIs<ApproveOnDevice>(waiting { choice.push() })
        fun polls() = emulator.journal().count { it.operation == "token" } - 1
        coroutineScope {
            val waits = launch { waiting { push.approved() } }
            withTimeout(20.seconds) { while (polls() < 2) delay(1.milliseconds) }
            waits.cancelAndJoin()
        }
        world.settle()
        val before = polls()
        world.run(JavaDuration.ofMinutes(2))
        assertTrue(polls() - before <= 0, "no poll after the cancellation: ${polls() - before}")
        // And it can be waited for again.
        emulator.approve(emulator.prompts().single())
        assertIs<SignedIn>(waiting { push.approved() })
    }

    @Test
    fun `back and another method do not need the password again`() = desk {
        val client = client()
        val choice = assertIs<ChooseFactor>(waiting { client.signIn(ANA).password(ANAS_PASSWORD) })
        val push = assertIs<ApproveOnDevice>(waiting { choice.push() })
        val code = assertIs<EnterCode>(waiting { checkNotNull(push.choice).sms() })
        fails<AuthException.Rejected> { waiting { code.submit("000000") } }
        assertEquals(4, code.attemptsLeft)
        assertIs<SignedIn>(waiting { code.submit(checkNotNull(emulator.lastCode(ANA))) })
        assertEquals(1, emulator.journal().count { "\"password\"" in it.text && it.operation == "token" })
    }

    @Test
    fun `a refresh whose caller has gone is stored all the same`() = desk {
        val client = client()
        val session = bensSession(client)
        val old = session.accessToken()
        emulator.script("""{"on":"token","grant":"refresh_token","answer":{"real":{},"delay_ms":150}}""")
        coroutineScope {
            val refresh = launch { session.refresh() }
            withTimeout(10.seconds) { while (emulator.unusedRules.isNotEmpty()) delay(1.milliseconds) }
            refresh.cancelAndJoin()
            assertTrue(refresh.isCancelled, "it was under way")
        }
        world.settle()
        world.kill("app")
        val restored = checkNotNull(client("app").restore())
        assertNotEquals(old, restored.accessToken())
        assertEquals(2, emulator.journal().count { it.operation == "token" }, "the sign-in and one refresh")
    }

    @Test
    fun `a call that was cancelled throws the language's own exception`() = desk {
        emulator.script("""{"on":"token","answer":{"fault":"stall"}}""")
        val client = client()
        coroutineScope {
            val signIn = async { client.signIn(BEN).password(BENS_PASSWORD) }
            withTimeout(10.seconds) { while (emulator.unusedRules.isNotEmpty()) delay(1.milliseconds) }
            signIn.cancel()
            assertIs<CancellationException>(runCatching { signIn.await() }.exceptionOrNull())
        }
    }

    @Test
    fun `a sign-in that is cancelled while its answer is on the way signs nobody in`() = desk {
        val client = client()
        client.warmUp()
        repeat(3) { round ->
            emulator.script("""{"on":"token","answer":{"real":{},"delay_ms":100}}""")
            coroutineScope {
                val signIn = async { client.signIn(BEN).password(BENS_PASSWORD) }
                withTimeout(10.seconds) { while (emulator.unusedRules.isNotEmpty()) delay(1.milliseconds) }
                signIn.cancel()
                assertIs<CancellationException>(runCatching { signIn.await() }.exceptionOrNull())
            }
            withTimeout(10.seconds) { while (emulator.journal().count { it.operation == "revoke" } <= round) delay(1.milliseconds) }
            world.settle()
            assertEquals(null, waiting { client.restore() })
            assertEquals(0, emulator.liveGrants)
            // So that the next attempt is not held back.
            world.run(JavaDuration.ofMinutes(1))
        }
    }

    @Test
    fun `a result that came for a cancelled caller is let go of at once`() = desk {
        val client = client() as CoreClient
        val defects = TestDefects()
        coroutineScope {
            val call = launch {
                client.keeping({ Held(defects.counted(0)) }) {
                    assertEquals(1, defects.held())
                    coroutineContext.cancel()
                }
            }
            call.join()
            assertTrue(call.isCancelled)
        }
        assertEquals(0, defects.held())
    }

    private class Held(private val counted: Counted) : Disposable {
        override fun destroy() = counted.close()
    }

    @Test
    fun `K3 - two thousand cancellations at the last moment leave no object behind`() = runBlocking(Dispatchers.Default) {
        val defects = TestDefects()
        var cancelled = 0
        val random = Random(7)
        repeat(2_000) {
            val call = async { defects.counted(random.nextInt(0, 4)).close() }
            // Aimed at the moment between the result and its arrival; a delay would be too coarse.
            val until = System.nanoTime() + random.nextLong(0, 500_000)
            while (System.nanoTime() < until) Thread.onSpinWait()
            call.cancel()
            if (runCatching { call.await() }.exceptionOrNull() is CancellationException) cancelled++
        }
        assertTrue(cancelled > 100, "the races were close: $cancelled were cancelled")
        withTimeout(10.seconds) {
            while (defects.held() != 0L) delay(1.milliseconds)
        }
        println("K3: $cancelled of 2000 calls were cancelled, ${defects.held()} results are held")
    }

    @Test
    fun `cancelled sign-ins never sign in, unless they were complete before`() = runBlocking(Dispatchers.Default) {
        val emulator = RealEmulator.tenants.tenant()
        val client = realClient(emulator) {}
        client.warmUp()
        val random = Random(11)
        var done = 0
        repeat(100) {
            supervisorScope {
                // Busy while the one before is on the wire.
                val signIn = async { client.signIn(BEN).password(BENS_PASSWORD) }
                delay(random.nextInt(0, 60).milliseconds)
                signIn.cancel()
                runCatching { signIn.await() }.onSuccess { done++ }
            }
        }
        println("$done of 100 sign-ins were faster than their cancellation")
        // One account: at most the last one that was complete lives on; what came for nobody is given back.
        withTimeout(30.seconds) {
            while (true) {
                val live = emulator.liveGrants
                if (live == (if (client.restore() == null) 0 else 1)) break
                delay(20.milliseconds)
            }
        }
        // The last one may still be on the wire.
        val last = withTimeout(30.seconds) {
            var step: SignInStep? = null
            while (step == null) {
                step = try {
                    client.signIn(BEN).password(BENS_PASSWORD)
                } catch (_: AuthException.Busy) {
                    null.also { delay(5.milliseconds) }
                }
            }
            step
        }
        assertIs<SignedIn>(last)
        client.close()
    }
}
