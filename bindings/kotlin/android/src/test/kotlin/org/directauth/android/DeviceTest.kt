package org.directauth.android

import android.app.Application
import android.content.Intent
import android.os.Looper
import android.os.UserManager
import java.util.concurrent.ConcurrentHashMap
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.directauth.AuthState
import org.directauth.DPoP
import org.directauth.DirectAuthClient
import org.directauth.HeaderProvider
import org.directauth.SignedIn
import org.directauth.StorageException
import org.directauth.StorageProblem
import org.directauth.Trust
import org.directauth.testing.Emulator
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowLooper

/** The library that ships, against the emulator, with what the platform keeps for it. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class DeviceTest {
    private val application: Application get() = RuntimeEnvironment.getApplication()

    @Before
    fun begin() = FakeAndroidKeyStore.begin()

    @After
    fun end() = FakeAndroidKeyStore.end()

    /** As in a new process. */
    private fun client(emulator: Emulator) =
        DirectAuthClient(emulator.issuer, emulator.clientId) {
            scopes = listOf("openid", "profile", "offline_access")
            trust = Trust.Custom(emulator.caPem)
            storage = KeystoreStorage(application)
            signingKey = KeystoreSigningKey(application)
            dpop = DPoP.REQUIRED
        }

    @Test
    fun `from the main thread neither keys nor files are touched there`() = runBlocking<Unit> {
        val main = Looper.getMainLooper().thread
        assertEquals(main, Thread.currentThread(), "tests run on it")
        val threads = ConcurrentHashMap.newKeySet<Thread>()
        FakeAndroidKeyStore.at = { threads += Thread.currentThread() }
        Emulator.start().use { emulator ->
            client(emulator).use { client ->
                val session = assertIs<SignedIn>(client.signIn("ben@example.com").password("tr0ub4dor&3")).session
                session.authorize("GET", emulator.resourceUrl)
                session.refresh()
                session.signOut()
            }
            val biometric = BiometricStorage(application)
            biometric.unlock { FakeAndroidKeyStore.userAgrees = true; it }
            biometric.lock()
            biometric.unlock { it }
        }
        assertTrue(threads.isNotEmpty())
        assertTrue(main !in threads)
    }

    @Test
    fun `what a change of the enrolled fingers has cost is given up, and the app goes on`() = runBlocking<Unit> {
        Emulator.start().use { emulator ->
            val agrees = BiometricGate { cipher -> cipher.also { FakeAndroidKeyStore.userAgrees = true } }
            fun client(storage: BiometricStorage) = DirectAuthClient(emulator.issuer, emulator.clientId) {
                scopes = listOf("openid", "profile", "offline_access")
                trust = Trust.Custom(emulator.caPem)
                this.storage = storage
            }
            val first = BiometricStorage(application).apply { unlock(agrees) }
            client(first).use { assertIs<SignedIn>(it.signIn("ben@example.com").password("tr0ub4dor&3")) }
            FakeAndroidKeyStore.takeAway()
            val second = BiometricStorage(application)
            assertEquals(StorageProblem.KEY_DESTROYED, assertFailsWith<StorageException> { second.unlock(agrees) }.problem)
            second.renew(agrees)
            client(second).use { client ->
                assertEquals(1, client.discardUnreadable())
                assertNull(client.restore())
                val session = assertIs<SignedIn>(client.signIn("ben@example.com").password("tr0ub4dor&3")).session
                assertTrue(session.isPersisted)
            }
        }
    }

    @Test
    fun `a refresh that was sent before the storage is locked is there in the next process`() = runBlocking<Unit> {
        Emulator.start().use { emulator ->
            val agrees = BiometricGate { cipher -> cipher.also { FakeAndroidKeyStore.userAgrees = true } }
            fun client(storage: BiometricStorage, headers: HeaderProvider? = null) = DirectAuthClient(emulator.issuer, emulator.clientId) {
                scopes = listOf("openid", "profile", "offline_access")
                trust = Trust.Custom(emulator.caPem)
                this.storage = storage
                headerProvider = headers
            }
            val first = BiometricStorage(application).apply { unlock(agrees) }
            var isLeaving = false
            // Asked when the request is about to leave: the app goes to the background then.
            val headers = HeaderProvider { _, path ->
                if (isLeaving && path.endsWith("/token")) first.lock()
                emptyMap()
            }
            client(first, headers).use { client ->
                val session = assertIs<SignedIn>(client.signIn("ben@example.com").password("tr0ub4dor&3")).session
                isLeaving = true
                session.refresh()
                assertFalse(first.isUnlocked)
                assertTrue(session.isPersisted)
            }
            client(BiometricStorage(application).apply { unlock(agrees) }).use { client ->
                assertNotNull(client.restore()).refresh()
            }
        }
    }

    @Test
    fun `a session is there after a start of the device, from its first unlock on`() = runBlocking<Unit> {
        Emulator.start().use { emulator ->
            client(emulator).use { client ->
                val session = assertIs<SignedIn>(client.signIn("ben@example.com").password("tr0ub4dor&3")).session
                assertTrue(session.isDPoPBound)
                assertTrue(session.isPersisted)
            }
            val user = Shadows.shadowOf(application.getSystemService(UserManager::class.java))
            user.setUserUnlocked(false)
            client(emulator).use { client ->
                client.followApp(application).use {
                    val state = withTimeout(20.seconds) { client.state.first { it != AuthState.Restoring } }
                    assertEquals(StorageProblem.LOCKED, assertIs<AuthState.Unavailable>(state).reason)
                    user.setUserUnlocked(true)
                    application.sendBroadcast(Intent(Intent.ACTION_USER_UNLOCKED))
                    ShadowLooper.idleMainLooper()
                    val session = withTimeout(20.seconds) { client.state.first { it is AuthState.SignedIn } }
                    val restored = assertIs<AuthState.SignedIn>(session).session
                    assertEquals("ben@example.com", restored.username)
                    // With the key that the first process has made.
                    restored.refresh()
                    restored.signOut()
                }
            }
            assertEquals(emptyList(), KeystoreStorage(application).keys().filter { it.startsWith("session.") })
            assertTrue(FakeAndroidKeyStore.aliases.none { it.startsWith("directauth.signing.") }, "the key has gone with its session")
        }
    }
}
