package org.directauth.android

import android.os.Build
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotSame
import kotlinx.coroutines.runBlocking
import org.directauth.DirectAuthClient
import org.directauth.SignedIn
import org.directauth.Trust
import org.directauth.testing.Emulator
import org.directauth.testing.MemoryStorage
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class LoadsTest {
    @Test
    fun `the library that ships loads in this class loader, and signs in`() = runBlocking<Unit> {
        assertEquals(35, Build.VERSION.SDK_INT)
        assertNotSame(ClassLoader.getSystemClassLoader(), DirectAuthClient::class.java.classLoader)
        Emulator.start().use { emulator ->
            val client = DirectAuthClient(emulator.issuer, emulator.clientId) {
                trust = Trust.Custom(emulator.caPem)
                storage = MemoryStorage()
            }
            val session = assertIs<SignedIn>(client.signIn("ben@example.com").password("tr0ub4dor&3")).session
            assertEquals("ben@example.com", session.username)
            client.close()
        }
    }
}
