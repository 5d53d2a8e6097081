package org.directauth.android

import android.content.Context
import android.hardware.biometrics.BiometricPrompt
import android.provider.Settings
import android.security.keystore.KeyPermanentlyInvalidatedException
import java.io.File
import javax.crypto.Cipher
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.suspendCancellableCoroutine
import org.directauth.StorageException
import org.directauth.StorageProblem
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class BiometricStorageTest {
    private val context: Context get() = RuntimeEnvironment.getApplication()
    private val folder get() = File(context.noBackupFilesDir, "directauth/biometric")
    private val keyStore = FakeAndroidKeyStore
    private val value = "a session".encodeToByteArray()
    private var asked = 0

    /** The user agrees, and to this use of the key alone. */
    private val agrees = BiometricGate { cipher ->
        asked++
        keyStore.userAgrees = true
        cipher
    }

    private val waiting = mutableListOf<() -> Unit>()
    private var elapsed = 0L

    private fun storage() = BiometricStorage(context, "biometric", false, Patience {}, { elapsed }) { _, work -> waiting += work }

    private fun aMinuteLater() {
        elapsed += 60_000
        waiting.toList().also { waiting.clear() }.forEach { it() }
    }

    @Before
    fun begin() {
        keyStore.begin()
        Settings.Secure.putString(context.contentResolver, Settings.Secure.ANDROID_ID, "0123456789abcdef")
    }

    @After
    fun end() = keyStore.end()

    private fun problem(call: suspend () -> Unit): StorageProblem = runBlocking { assertFailsWith<StorageException> { call() }.problem }

    private fun unlocked(): BiometricStorage = runBlocking {
        storage().apply { unlock(agrees) }
    }.also { keyStore.userAgrees = false }

    @Test
    fun `it is readable from the user's agreement on, until it is locked`() {
        val storage = storage()
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.store("session.a", value) })
        assertEquals(emptyList(), keyStore.aliases)
        runBlocking { storage.unlock(agrees) }
        keyStore.userAgrees = false
        assertTrue(storage.isUnlocked)
        assertNull(storage.load("session.a"))
        storage.store("session.a", value)
        assertContentEquals(value, storage.load("session.a"))
        runBlocking { storage.unlock(agrees) }
        assertEquals(1, asked, "it is asked once")
        storage.lock()
        storage.lock()
        assertFalse(storage.isUnlocked)
        aMinuteLater()
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.load("session.a") })
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.store("session.a", value) })
        assertEquals(listOf("session.a"), storage.keys())
        // In the next process.
        assertContentEquals(value, unlocked().load("session.a"))
        assertEquals(2, asked)
        storage.delete("session.a")
        assertEquals(emptyList(), storage.keys())
    }

    @Test
    fun `what is locked while the user is asked stays locked`() {
        unlocked().store("session.a", value)
        val storage = storage()
        val late = problem {
            storage.unlock { cipher ->
                keyStore.userAgrees = true
                cipher.also { storage.lock() }
            }
        }
        assertEquals(StorageProblem.NEEDS_USER, late)
        assertFalse(storage.isUnlocked)
        runBlocking { storage.unlock(agrees) }
        assertContentEquals(value, storage.load("session.a"))
    }

    @Test
    fun `a gate that only says yes opens nothing`() {
        unlocked().store("session.a", value)
        val storage = storage()
        assertEquals(StorageProblem.TRANSIENT, problem { storage.unlock { it } })
        assertFalse(storage.isUnlocked)
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.load("session.a") })
        assertFalse(folder.listFiles().orEmpty().any { it.readBytes().decodeToString().contains("a session") })
    }

    @Test
    fun `a user who does not want to loses nothing`() {
        unlocked().store("session.a", value)
        val storage = storage()
        val refusals = listOf(StorageProblem.USER_CANCELLED, StorageProblem.LOCKED, StorageProblem.NEEDS_USER)
        for (problem in refusals) assertEquals(problem, problem { storage.unlock { throw StorageException(problem) } })
        assertEquals(StorageProblem.TRANSIENT, problem { storage.unlock { error("the prompt has crashed") } })
        assertContentEquals(value, unlocked().load("session.a"))
    }

    @Test
    fun `a change of what is enrolled is told, and what was stored stays until the app gives it up`() {
        unlocked().store("session.a", value)
        val record = File(folder, "session.a").readBytes()
        keyStore.at = { if (it == "begin") throw KeyPermanentlyInvalidatedException() }
        val storage = storage()
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage.unlock(agrees) })
        keyStore.at = {}
        assertContentEquals(record, File(folder, "session.a").readBytes())
        runBlocking { storage.renew(agrees) }
        keyStore.userAgrees = false
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage.load("session.a") })
        storage.store("session.b", value)
        assertContentEquals(value, unlocked().load("session.b"))
        assertEquals(1, keyStore.aliases.size)
    }

    @Test
    fun `what is destroyed is told by everything, in each way that the platform says it`() {
        unlocked().store("session.a", value)
        val taken = keyStore.takeAway()
        // With the lock screen it takes the key away.
        val storage = storage()
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage.unlock(agrees) })
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage.load("session.a") })
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage.store("session.b", value) })
        assertNull(storage.load("session.none"))
        keyStore.giveBack(taken)
        keyStore.at = { if (it == "find") throw java.security.UnrecoverableKeyException("Key permanently invalidated") }
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage().unlock(agrees) })
    }

    @Test
    fun `what a refresh still has to write is written after it was locked, and nothing else`() {
        unlocked().apply {
            store("session.a", value)
            store("session.b", value)
            store("counter", value)
        }
        val storage = unlocked()
        assertContentEquals(value, storage.load("session.a"))
        assertContentEquals(value, storage.load("counter"))
        storage.lock()
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.load("session.b") }, "what it has not had before")
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.load("counter") }, "what is no session")
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.store("counter", value) })
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.store("session.new", value) })
        // As a refresh does: a look, the write, and its reading back.
        assertContentEquals(value, storage.load("session.a"))
        storage.store("session.a", "rotated".encodeToByteArray())
        assertContentEquals("rotated".encodeToByteArray(), storage.load("session.a"))
        unlocked().store("session.a", "another one's".encodeToByteArray())
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.load("session.a") }, "what another has changed")
        // Also if nothing woke this process in time.
        elapsed += 60_000
        assertEquals(StorageProblem.NEEDS_USER, problem { storage.store("session.a", value) })
        // Opened again before the minute was over, it stays open.
        val other = unlocked()
        other.lock()
        runBlocking { other.unlock(agrees) }
        aMinuteLater()
        assertTrue(other.isUnlocked)
    }

    @Test
    fun `a cancelled unlock closes nothing that another has opened`() {
        val storage = unlocked()
        runBlocking {
            val late = launch(start = kotlinx.coroutines.CoroutineStart.UNDISPATCHED) {
                coroutineContext[kotlinx.coroutines.Job]?.cancel()
                storage.unlock(agrees)
            }
            late.join()
        }
        assertTrue(storage.isUnlocked)
    }

    @Test
    fun `a key that was destroyed says nothing of the next one`() {
        unlocked().store("session.a", value)
        keyStore.takeAway()
        val first = storage()
        assertEquals(StorageProblem.KEY_DESTROYED, problem { first.unlock(agrees) })
        val second = storage()
        runBlocking { second.renew(agrees) }
        second.store("session.b", value)
        assertEquals(StorageProblem.KEY_DESTROYED, problem { first.load("session.a") })
        assertEquals(StorageProblem.NEEDS_USER, problem { first.load("session.b") })
        assertEquals(StorageProblem.NEEDS_USER, problem { first.store("session.b", value) })
    }

    @Test
    fun `two that unlock for the first time make one key`() {
        val (first, second) = storage() to storage()
        runBlocking {
            val both = listOf(first, second).map { launch(kotlinx.coroutines.Dispatchers.Default) { it.unlock(agrees) } }
            both.forEach { it.join() }
        }
        assertEquals(1, keyStore.aliases.size)
        first.store("session.a", value)
        assertContentEquals(value, second.load("session.a"))
        // And one that is renewed elsewhere seals nothing more.
        runBlocking { second.renew(agrees) }
        assertEquals(StorageProblem.NEEDS_USER, problem { first.store("session.b", value) })
    }

    @Test
    fun `a prompt that is given up leaves no key, and nothing open`() {
        val storage = storage()
        runBlocking {
            val shown = kotlinx.coroutines.CompletableDeferred<Unit>()
            val asking = launch(kotlinx.coroutines.Dispatchers.Default) { storage.unlock { shown.complete(Unit); kotlinx.coroutines.awaitCancellation() } }
            shown.await()
            asking.cancel()
            asking.join()
        }
        assertEquals(emptyList(), keyStore.aliases)
        assertFalse(storage.isUnlocked)
    }

    @Test
    fun `without anything enrolled it needs its user`() {
        keyStore.hasEnrolled = false
        assertEquals(StorageProblem.NEEDS_USER, problem { storage().unlock(agrees) })
        assertEquals(emptyList(), keyStore.aliases)
    }

    @Test
    fun `another device's is foreign`() {
        unlocked().store("session.a", value)
        keyStore.takeAway()
        Settings.Secure.putString(context.contentResolver, Settings.Secure.ANDROID_ID, "fedcba9876543210")
        assertEquals(StorageProblem.FOREIGN, problem { storage().unlock(agrees) })
    }

    @Test
    fun `a prompt that answers twice is heard once`() {
        val heard = problem {
            suspendCancellableCoroutine<Cipher> { waiting ->
                val answer = SystemBiometricGate.Answer(waiting)
                answer.onAuthenticationError(BiometricPrompt.BIOMETRIC_ERROR_USER_CANCELED, "")
                answer.onAuthenticationError(BiometricPrompt.BIOMETRIC_ERROR_LOCKOUT, "")
            }
        }
        assertEquals(StorageProblem.USER_CANCELLED, heard)
    }

    @Test
    fun `what the platform's prompt says`() {
        val known = mapOf(
            BiometricPrompt.BIOMETRIC_ERROR_USER_CANCELED to StorageProblem.USER_CANCELLED,
            BiometricPrompt.BIOMETRIC_ERROR_CANCELED to StorageProblem.TRANSIENT,
            BiometricPrompt.BIOMETRIC_ERROR_TIMEOUT to StorageProblem.NEEDS_USER,
            BiometricPrompt.BIOMETRIC_ERROR_LOCKOUT to StorageProblem.NEEDS_USER,
            BiometricPrompt.BIOMETRIC_ERROR_LOCKOUT_PERMANENT to StorageProblem.NEEDS_USER,
            BiometricPrompt.BIOMETRIC_ERROR_NO_BIOMETRICS to StorageProblem.NEEDS_USER,
            BiometricPrompt.BIOMETRIC_ERROR_HW_UNAVAILABLE to StorageProblem.TRANSIENT,
            BiometricPrompt.BIOMETRIC_ERROR_VENDOR to StorageProblem.TRANSIENT,
        )
        for ((code, problem) in known) assertEquals(problem, problemOfBiometricError(code))
    }
}
