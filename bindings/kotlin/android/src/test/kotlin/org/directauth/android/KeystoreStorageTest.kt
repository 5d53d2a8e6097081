package org.directauth.android

import android.content.Context
import android.os.Build
import android.os.UserManager
import android.provider.Settings
import android.security.keystore.KeyPermanentlyInvalidatedException
import android.security.keystore.UserNotAuthenticatedException
import java.io.File
import java.security.InvalidKeyException
import java.security.ProviderException
import java.security.UnrecoverableKeyException
import java.util.concurrent.atomic.AtomicInteger
import javax.crypto.spec.SecretKeySpec
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.directauth.StorageException
import org.directauth.StorageProblem
import org.directauth.testing.StorageContract
import org.directauth.testing.StorageRule
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows
import org.robolectric.annotation.Config
import org.robolectric.util.ReflectionHelpers

/** Each pain that users of other libraries have had with this, and what must come of it instead: nothing lost, and the reason told. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class KeystoreStorageTest {
    private val context: Context get() = RuntimeEnvironment.getApplication()
    private val folder get() = File(context.noBackupFilesDir, "directauth/sessions")
    private val keyStore = FakeAndroidKeyStore
    private val value = "a session".encodeToByteArray()
    private val pauses = java.util.Collections.synchronizedList(mutableListOf<Long>())

    /** As in a new process. */
    private fun storage(strongBox: Boolean = false) = KeystoreStorage(context, "sessions", strongBox, Patience { pauses += it })

    @Before
    fun begin() {
        keyStore.begin()
        isDevice("0123456789abcdef")
    }

    @After
    fun end() = keyStore.end()

    private fun isDevice(id: String) = Settings.Secure.putString(context.contentResolver, Settings.Secure.ANDROID_ID, id)

    private fun problem(call: () -> Unit): StorageProblem = assertFailsWith<StorageException> { call() }.problem

    @Test
    fun `making one touches neither files nor keys`() {
        keyStore.at = { error("nobody asked for $it") }
        storage()
        assertFalse(File(context.noBackupFilesDir, "directauth").exists())
    }

    @Test
    fun `what was stored is there in the next process, until it is deleted`() {
        assertNull(storage().load("session.a"))
        assertEquals(emptyList(), storage().keys())
        storage().store("session.a", value)
        storage().store("session.b", ByteArray(0))
        storage().store("session.a", "another".encodeToByteArray())
        assertContentEquals("another".encodeToByteArray(), storage().load("session.a"))
        assertContentEquals(ByteArray(0), storage().load("session.b"))
        assertEquals(setOf("session.a", "session.b"), storage().keys().toSet())
        storage().delete("session.a")
        storage().delete("session.a")
        assertNull(storage().load("session.a"))
        assertEquals(listOf("session.b"), storage().keys())
        assertEquals(1, keyStore.aliases.size)
    }

    @Test
    fun `what version 0_1 has written is read by every later one`() {
        // Names of keys and files, and the format: changing any of them signs everybody out.
        val secret = SecretKeySpec(ByteArray(32) { it.toByte() }, "AES")
        keyStore.giveBack(mapOf("directauth.storage.sessions.0102030405060708" to FakeAndroidKeyStore.Guarded(secret, false, false)))
        val root = File(context.noBackupFilesDir, "directauth").apply { mkdirs() }
        File(root, "_installation").writeText("${"a5".repeat(16)} 0bde3931c1ec2338a38414d24c11e3315ccc262f608a9e8bc30108145a97f331")
        File(folder.apply { mkdirs() }, "_key").writeText("0102030405060708")
        val sealed = "6e4ad5391c7cbe9ba81bacca5ac74bc56191c7ea6acb208477"
        File(folder, "session.a").writeBytes("444101${"a5".repeat(16)}0102030405060708${"07".repeat(12)}$sealed".hexToByteArray())
        assertContentEquals(value, storage().load("session.a"))
        storage().store("session.b", value)
        assertEquals(1, keyStore.aliases.size, "and its key goes on sealing")
        assertEquals("a5".repeat(16), File(folder, "session.b").readBytes().copyOfRange(3, 19).toHexString())
    }

    @Test
    fun `files hold nothing readable, and never the same twice`() {
        val storage = storage()
        storage.store("session.a", value)
        val first = File(folder, "session.a").readBytes()
        storage.store("session.a", value)
        val second = File(folder, "session.a").readBytes()
        assertFalse(first.decodeToString().contains("a session"))
        assertFalse(first.contentEquals(second))
        assertTrue(folder.path.contains("no_backup"), folder.path)
    }

    @Test
    fun `whatever is damaged is an error, and stays as it is`() {
        storage().store("session.a", value)
        val file = File(folder, "session.a")
        val whole = file.readBytes()
        for (place in whole.indices) {
            val damaged = whole.copyOf().also { it[place] = (it[place] + 1).toByte() }
            file.writeBytes(damaged)
            val problem = problem { storage().load("session.a") }
            val allowed = setOf(StorageProblem.CORRUPT, StorageProblem.KEY_MISSING, StorageProblem.FOREIGN, StorageProblem.NEWER_VERSION)
            assertTrue(problem in allowed, "$place: $problem")
            assertEquals(place == 2, problem == StorageProblem.NEWER_VERSION, "only a newer version is not damage: $place")
            assertContentEquals(damaged, file.readBytes())
        }
        for (size in 0 until whole.size) {
            file.writeBytes(whole.copyOf(size))
            assertEquals(StorageProblem.CORRUPT, problem { storage().load("session.a") }, "$size bytes")
        }
        file.writeBytes(whole)
        assertContentEquals(value, storage().load("session.a"))
    }

    @Test
    fun `no record can take the place of another`() {
        storage().store("session.a", value)
        storage().store("session.b", "another".encodeToByteArray())
        File(folder, "session.a").copyTo(File(folder, "session.b"), overwrite = true)
        assertEquals(StorageProblem.CORRUPT, problem { storage().load("session.b") })
    }

    @Test
    fun `a key that is lost ends nothing, and its name is never used again`() {
        storage().store("session.a", value)
        val file = File(folder, "session.a").readBytes()
        val taken = keyStore.takeAway()
        assertEquals(StorageProblem.KEY_MISSING, problem { storage().load("session.a") })
        assertEquals(listOf("session.a"), storage().keys())
        assertEquals(emptyList(), keyStore.aliases, "reading makes no key")
        storage().store("session.b", value)
        assertNotEquals(taken.keys.toList(), keyStore.aliases)
        assertContentEquals(value, storage().load("session.b"))
        assertContentEquals(file, File(folder, "session.a").readBytes())
        // It was not lost after all.
        keyStore.giveBack(taken)
        assertContentEquals(value, storage().load("session.a"))
        assertContentEquals(value, storage().load("session.b"))
    }

    @Test
    fun `a destroyed key is told, and what is stored next has another`() {
        storage().store("session.a", value)
        val destroyed = keyStore.aliases.single()
        var times = 0
        keyStore.at = { if (it == "begin" && times++ == 0) throw KeyPermanentlyInvalidatedException() }
        assertContentEquals(value, storage().load("session.a"), "it is believed when it is said twice")
        keyStore.at = {}
        keyStore.failing[destroyed] = KeyPermanentlyInvalidatedException()
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage().load("session.a") })
        storage().store("session.b", value)
        assertEquals(2, keyStore.aliases.size)
        assertTrue(destroyed in keyStore.aliases, "nothing is deleted")
        assertContentEquals(value, storage().load("session.b"))
    }

    @Test
    fun `a key that never works again stops no new sign-in`() {
        storage().store("session.a", value)
        val old = keyStore.aliases.single()
        for (failure in listOf(ProviderException("-33"), InvalidKeyException("Keystore operation failed"))) {
            keyStore.failing[old] = failure
            assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.a") })
            storage().store("session.b", value)
            assertContentEquals(value, storage().load("session.b"))
        }
        assertEquals(2, keyStore.aliases.size, "one other key, and the old one stays")
        keyStore.failing.clear()
        assertContentEquals(value, storage().load("session.a"))
    }

    @Test
    fun `a key that could not be looked for is not missing`() {
        storage().store("session.a", value)
        keyStore.silences.set(1)
        assertContentEquals(value, storage().load("session.a"))
        keyStore.silences.set(1)
        storage().store("session.b", value)
        keyStore.silences.set(100)
        assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.a") }, "nor if it does not find what it has made")
        keyStore.silences.set(0)
        assertEquals(1, keyStore.aliases.size, "no other key was made, and what was made to ask is gone")
    }

    @Test
    fun `a key that the store says is invalid without a cause is destroyed`() {
        storage().store("session.a", value)
        keyStore.at = { if (it == "find") throw UnrecoverableKeyException("Key permanently invalidated") }
        assertEquals(StorageProblem.KEY_DESTROYED, problem { storage().load("session.a") })
        keyStore.at = { if (it == "find") throw UnrecoverableKeyException("no answer").initCause(IllegalStateException()) }
        assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.a") })
    }

    @Test
    fun `keys do not pile up while the disk is full`() {
        // A folder of that name cannot be written.
        File(folder, "_key/x").mkdirs()
        repeat(3) { assertEquals(StorageProblem.TRANSIENT, problem { storage().store("session.a", value) }) }
        assertEquals(emptyList(), keyStore.aliases)
    }

    @Test
    fun `it works on every Android from 8 on`() {
        val now = Build.VERSION.SDK_INT
        try {
            for (level in listOf(26, 28, 30, 31, 33)) {
                ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", level)
                storage(strongBox = true).store("session.a", value)
                assertContentEquals(value, storage().load("session.a"))
                keyStore.at = { if (it == "begin") throw ProviderException(android.security.KeyStoreException(-48, "busy")) }
                assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.a") }, "$level")
                keyStore.at = {}
            }
        } finally {
            ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", now)
        }
    }

    @Test
    fun `what passes is tried again, and what does not is transient`() {
        storage().store("session.a", value)
        val failures = listOf(
            ProviderException("Failed to communicate with keystore service (-600)"),
            InvalidKeyException("Keystore operation failed"),
            android.security.KeyStoreException(-48, "the hardware is busy"),
            IllegalStateException(NullPointerException("in a binder")),
        )
        for (failure in failures) {
            for (operation in listOf("find", "begin", "finish")) {
                val left = AtomicInteger(2)
                keyStore.at = { if (it == operation && left.getAndDecrement() > 0) throw failure }
                assertContentEquals(value, storage().load("session.a"), "$operation: $failure")
                left.set(2)
                storage().store("session.b", value)
                keyStore.at = { if (it == operation) throw failure }
                assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.a") })
                assertEquals(StorageProblem.TRANSIENT, problem { storage().store("session.a", ByteArray(1)) })
                keyStore.at = {}
                assertContentEquals(value, storage().load("session.a"), "nothing was lost by it")
            }
        }
        assertTrue(pauses.sum() > 0 && pauses.max() <= 400, "half a second at most")
        assertEquals(1, keyStore.aliases.size, "and no key was made in place of one that could not be asked")
    }

    @Test
    fun `an interrupt is no loss, and is there afterwards`() {
        storage().store("session.a", value)
        val results = mutableListOf<Any?>()
        thread {
            Thread.currentThread().interrupt()
            results += storage().load("session.a")
            results += Thread.interrupted()
            val left = AtomicInteger(1)
            keyStore.at = {
                if (it == "find" && left.getAndDecrement() > 0) {
                    Thread.currentThread().interrupt()
                    throw ProviderException(InterruptedException())
                }
            }
            results += storage().load("session.a")
            results += Thread.interrupted()
        }.join()
        assertContentEquals(value, results[0] as ByteArray)
        assertEquals(true, results[1])
        assertContentEquals(value, results[2] as ByteArray)
        assertEquals(true, results[3])
    }

    @Test
    fun `before the first unlock after a start it is locked, and nothing is looked at`() {
        storage().store("session.a", value)
        val user = Shadows.shadowOf(context.getSystemService(UserManager::class.java))
        user.setUserUnlocked(false)
        keyStore.at = { error("nobody may ask for $it") }
        assertEquals(StorageProblem.LOCKED, problem { storage().load("session.a") })
        assertEquals(StorageProblem.LOCKED, problem { storage().load("session.none") })
        assertEquals(StorageProblem.LOCKED, problem { storage().store("session.a", value) })
        assertEquals(StorageProblem.LOCKED, problem { storage().delete("session.a") })
        assertEquals(StorageProblem.LOCKED, problem { storage().keys() })
        user.setUserUnlocked(true)
        keyStore.at = {}
        assertContentEquals(value, storage().load("session.a"))
    }

    @Test
    fun `records of another device are foreign, and this one's own work beside them`() {
        storage().store("session.a", value)
        keyStore.takeAway()
        isDevice("fedcba9876543210")
        assertEquals(StorageProblem.FOREIGN, problem { storage().load("session.a") })
        storage().store("session.b", value)
        assertContentEquals(value, storage().load("session.b"))
        assertEquals(StorageProblem.FOREIGN, problem { storage().load("session.a") })
    }

    @Test
    fun `a new name of the same device loses nothing`() {
        storage().store("session.a", value)
        isDevice("fedcba9876543210")
        assertContentEquals(value, storage().load("session.a"))
        assertTrue(File(context.noBackupFilesDir, "directauth/_installation").delete())
        assertContentEquals(value, storage().load("session.a"))
        File(context.noBackupFilesDir, "directauth/_installation").writeText("rubbish")
        storage().store("session.b", value)
        assertContentEquals(value, storage().load("session.b"))
    }

    @Test
    fun `a key that asks for its user says so`() {
        storage().store("session.a", value)
        for (failure in listOf(UserNotAuthenticatedException(), android.security.KeyStoreException(-26, "not authenticated"))) {
            keyStore.at = { if (it == "begin") throw InvalidKeyException(failure) }
            assertEquals(StorageProblem.NEEDS_USER, problem { storage().load("session.a") })
        }
    }

    @Test
    fun `a key is in StrongBox where that is wanted and there`() {
        keyStore.hasStrongBox = true
        storage().store("session.a", value)
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()))
        keyStore.takeAway()
        storage(strongBox = true).store("session.a", value)
        assertTrue(keyStore.strongBoxHas(keyStore.aliases.single()))
        keyStore.takeAway()
        keyStore.hasStrongBox = false
        storage(strongBox = true).store("session.a", value)
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()))
        keyStore.takeAway()
        keyStore.hasStrongBox = true
        keyStore.strongBoxFails = true
        storage(strongBox = true).store("session.a", value)
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()))
    }

    @Test
    fun `what a crash has left is no record, and a file that cannot be written is an error`() {
        storage().store("session.a", value)
        File(folder, "_unfinished0.tmp").apply { writeBytes(value) }.setLastModified(1)
        File(folder, "_unfinished1.tmp").writeBytes(value)
        assertEquals(listOf("session.a"), storage().keys())
        // A folder of that name cannot be replaced.
        File(folder, "session.b/x").mkdirs()
        assertEquals(StorageProblem.TRANSIENT, problem { storage().store("session.b", value) })
        assertEquals(StorageProblem.TRANSIENT, problem { storage().load("session.b") })
        assertEquals(1, folder.listFiles().orEmpty().count { it.name.startsWith("_unfinished") }, "nothing of it stays")
    }

    @Test
    fun `many threads and several objects at once`() {
        val failures = AtomicInteger()
        val threads = (0 until 8).map { number ->
            thread {
                repeat(20) {
                    val mine = "$number $it".encodeToByteArray()
                    storage().store("session.$number", mine)
                    if (!mine.contentEquals(storage().load("session.$number"))) failures.incrementAndGet()
                }
            }
        }
        threads.forEach(Thread::join)
        assertEquals(0, failures.get())
        assertEquals(8, storage().keys().size)
    }

    @Test
    fun `it keeps the contract of a storage`() {
        assertEquals(StorageRule.entries.toList(), StorageContract.check { storage() }.kept)
        assertEquals(emptyList(), storage().keys())
    }

    @Test
    fun `names that could leave the folder are refused`() {
        for (name in listOf("", ".", "..", "../a", "a/b", "_key", "A", "a".repeat(65))) {
            assertFailsWith<IllegalArgumentException> { storage().load(name) }
        }
        assertFailsWith<IllegalArgumentException> { KeystoreStorage(context, "../x") }
        assertEquals("KeystoreStorage", storage().toString())
    }
}
