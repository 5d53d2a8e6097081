package org.directauth

import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import org.directauth.testing.Emulator
import org.directauth.testing.MemoryStorage
import org.junit.jupiter.api.Test

/** The whole way once, against the emulator's own binary and in real time. */
class FirstSignInTest {
    @Test
    fun `a user signs in with a password and a code, and out again`() = runBlocking<Unit> {
        Emulator.start().use { emulator ->
            val storage = MemoryStorage()
            val client = DirectAuthClient(emulator.issuer, emulator.clientId) {
                scopes = listOf("openid", "profile", "offline_access")
                capabilities = listOf(Factor.OTP, Factor.SMS)
                trust = Trust.Custom(emulator.caPem)
                this.storage = storage
            }
            // From here on it is looked at.
            client.state
            assertNull(client.restore())
            val choose = assertIs<ChooseFactor>(client.signIn("ana@example.com").password("correct horse battery"))
            assertEquals(setOf(Factor.OTP, Factor.SMS), choose.factors.toSet())
            val session = assertIs<SignedIn>(choose.otp(emulator.totp("ana@example.com"))).session
            assertEquals(AuthState.SignedIn(session), client.state.value)
            assertEquals("Ana Ibarra", session.claims?.text("name"))
            assertTrue(session.isPersisted)
            val headers = session.authorize("GET", emulator.resourceUrl).values
            assertEquals(setOf("authorization"), headers.keys)
            assertEquals(ServerSignOut.REVOKED, session.signOut().server)
            assertEquals(AuthState.SignedOut, client.state.value)
            assertNull(client.restore())
            client.close()
        }
    }
}
