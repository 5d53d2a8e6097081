package org.directauth.android

import android.content.Context
import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import java.security.InvalidAlgorithmParameterException
import javax.crypto.Cipher
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import javax.crypto.spec.SecretKeySpec
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import org.directauth.SecureStorage
import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * As [KeystoreStorage], and readable only after the user has shown a fingerprint or face: until [unlock], and again from [lock] on,
 * everything but deleting is [StorageProblem.NEEDS_USER].
 *
 * The key that the platform guards opens only what the user has just agreed to (a `CryptoObject`, each time), so no hook in the app's
 * process gets past it. It wraps one data key, which is in this process's memory until [lock]. After a change of what is enrolled the
 * platform destroys it: [unlock] says [StorageProblem.KEY_DESTROYED], and so does everything else from then on, until [renew]. Needs API 28.
 *
 * @param context any of the app's
 * @param name of its folder, another one than that of other storages
 * @param strongBox as of [KeystoreStorage]
 */
public class BiometricStorage internal constructor(
    context: Context,
    private val name: String,
    private val strongBox: Boolean,
    patience: Patience,
    later: (millis: Long, work: () -> Unit) -> Unit,
) : SecureStorage {
    private val files = SealedFiles(context, name, Keys(), patience)
    private val held = Held(later)

    /** Touches neither files nor keys. */
    public constructor(context: Context, name: String = "biometric", strongBox: Boolean = false) :
        this(context, name, strongBox, Patience(), ::later)

    /** Whether it can be read and written. */
    public val isUnlocked: Boolean get() = held.isOpen

    /**
     * Asks the user by [gate], and holds the data key after it. Does nothing if it is unlocked. The first time the keys are made.
     *
     * @throws StorageException [StorageProblem.USER_CANCELLED], [StorageProblem.NEEDS_USER] after too many tries or if nothing is enrolled,
     *   [StorageProblem.KEY_DESTROYED] after a change of what is enrolled, [StorageProblem.FOREIGN] or [StorageProblem.KEY_MISSING] if the
     *   device has not made it, [StorageProblem.LOCKED], [StorageProblem.TRANSIENT]
     */
    public suspend fun unlock(gate: BiometricGate): Unit = oneAfterTheOther {
        val stored = withContext(Dispatchers.IO) { files.working { bound() } }
        when {
            stored == null -> make(gate)
            !held.isOpenWith(stored.key) -> open(stored, gate)
        }
    }

    /**
     * Forgets the data key. An [unlock] that has begun before does not undo it.
     *
     * From now on nothing can be read. What a refresh that was sent before still has to write is taken for a minute, and sealed, since the
     * session would be lost with it; then the key is wiped.
     */
    public fun lock() {
        held.close()
    }

    /**
     * Begins anew with other keys, such as after [StorageProblem.KEY_DESTROYED]: what was stored can never be read again, and
     * [org.directauth.DirectAuthClient.discardUnreadable] deletes it.
     */
    public suspend fun renew(gate: BiometricGate): Unit = oneAfterTheOther {
        held.forget()
        val former = withContext(Dispatchers.IO) { runCatching { files.working { bound() } }.getOrNull() }
        make(gate)
        // What it wraps was written over.
        if (former != null) withContext(Dispatchers.IO) { runCatching { files.working { PlatformKeys.delete(alias(former.key)) } } }
    }

    override fun load(key: String): ByteArray? = files.load(key)

    override fun store(key: String, value: ByteArray): Unit = files.store(key, value)

    override fun delete(key: String): Unit = files.delete(key)

    override fun keys(): List<String> = files.keys()

    override fun toString(): String = "BiometricStorage"

    /** One prompt at a time, and none that a cancelled caller has left open. */
    private suspend fun oneAfterTheOther(work: suspend () -> Unit) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) throw StorageException(StorageProblem.NEEDS_USER)
        ASKING.withLock {
            try {
                work()
            } catch (e: CancellationException) {
                held.forget()
                throw e
            } catch (e: StorageException) {
                if (e.problem == StorageProblem.KEY_DESTROYED) held.destroyed()
                throw e
            }
        }
    }

    private suspend fun make(gate: BiometricGate) {
        val before = held.locks
        val id = Id(random(Id.KEY))
        var isKept = false
        try {
            val cipher = withContext(Dispatchers.IO) { files.working { cipherOfNew(id) } }
            val allowed = asked(gate, cipher)
            withContext(Dispatchers.IO) {
                files.working {
                    val data = random(DATA_KEY)
                    try {
                        val here = files.here()
                        allowed.updateAAD(SealedBlob.associated(here, id, BOUND))
                        val wrapped = SealedBlob(here, id, allowed.iv, allowed.doFinal(data)).encode()
                        // From here on it may be what is there.
                        isKept = true
                        files.folder.write(BOUND, wrapped)
                        held.hold(id, data, before)
                    } finally {
                        data.fill(0)
                    }
                }
            }
        } finally {
            if (!isKept) withContext(NonCancellable + Dispatchers.IO) { runCatching { PlatformKeys.delete(alias(id)) } }
        }
    }

    private fun cipherOfNew(id: Id): Cipher {
        val bound =
            try {
                PlatformKeys.make(alias(id), strongBox) { bindToUser() }
            } catch (_: InvalidAlgorithmParameterException) {
                // Nothing is enrolled that it could be bound to.
                throw StorageException(StorageProblem.NEEDS_USER)
            }
        return Cipher.getInstance(PlatformKeys.CIPHER).apply { init(Cipher.ENCRYPT_MODE, bound) }
    }

    private fun bound(): SealedBlob? = files.folder.read(BOUND)?.let(SealedBlob::decode)

    private suspend fun open(stored: SealedBlob, gate: BiometricGate) {
        val before = held.locks
        val cipher = withContext(Dispatchers.IO) {
            files.working {
                // The platform takes it away with the lock screen, too.
                val bound = PlatformKeys.find(alias(stored.key)) ?: throw StorageException(files.whyMissing(stored))
                Cipher.getInstance(PlatformKeys.CIPHER).apply {
                    init(Cipher.DECRYPT_MODE, bound, GCMParameterSpec(8 * SealedBlob.TAG, stored.nonce))
                }
            }
        }
        val allowed = asked(gate, cipher)
        withContext(Dispatchers.IO) {
            files.working {
                allowed.updateAAD(SealedBlob.associated(stored.installation, stored.key, BOUND))
                val data = allowed.doFinal(stored.sealed)
                try {
                    held.hold(stored.key, data, before)
                } finally {
                    data.fill(0)
                }
            }
        }
    }

    private suspend fun asked(gate: BiometricGate, cipher: Cipher): Cipher =
        try {
            gate.authenticate(cipher)
        } catch (e: CancellationException) {
            throw e
        } catch (e: Exception) {
            throw StorageException(problemOf(e))
        }

    private fun KeyGenParameterSpec.Builder.bindToUser() {
        setUserAuthenticationRequired(true)
        setInvalidatedByBiometricEnrollment(true)
        // For one operation, each time.
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) byStrongBiometrics()
    }

    @FromApi(30)
    private fun KeyGenParameterSpec.Builder.byStrongBiometrics() = setUserAuthenticationParameters(0, KeyProperties.AUTH_BIOMETRIC_STRONG)

    private fun alias(id: Id) = "directauth.biometric.$name.$id"

    /** The data key: while it is open for everything, and for a minute more for what is being written. */
    private class Held(private val later: (Long, () -> Unit) -> Unit) {
        private var bytes: ByteArray? = null
        private var id: Id? = null
        private var open = false
        private var isDestroyed = false

        /** What was written since it was closed, and may be read back once. */
        private val written = HashSet<String>()

        /** How often it was closed. */
        @get:Synchronized
        var locks = 0
            private set

        @get:Synchronized
        val isOpen: Boolean get() = open

        @Synchronized
        fun isOpenWith(id: Id): Boolean = open && this.id == id

        @Synchronized
        fun forReading(name: String): Pair<Id, SecretKey> = if (open || written.remove(name)) key() else throw closed()

        @Synchronized
        fun forWriting(name: String): Pair<Id, SecretKey> {
            val key = key()
            if (!open) written += name
            return key
        }

        private fun key(): Pair<Id, SecretKey> = (id ?: throw closed()) to SecretKeySpec(bytes ?: throw closed(), "AES")

        private fun closed() = StorageException(if (isDestroyed) StorageProblem.KEY_DESTROYED else StorageProblem.NEEDS_USER)

        /** Unless it was closed while the user was asked. */
        @Synchronized
        fun hold(id: Id, data: ByteArray, locksBefore: Int) {
            if (locks != locksBefore) throw StorageException(StorageProblem.NEEDS_USER)
            wipe()
            bytes = data.copyOf()
            this.id = id
            open = true
            isDestroyed = false
        }

        @Synchronized
        fun close() {
            val now = ++locks
            if (!open) return
            open = false
            later(WRITING_MILLIS) { wipeIfStill(now) }
        }

        @Synchronized
        private fun wipeIfStill(closed: Int) {
            if (locks == closed && !open) wipe()
        }

        @Synchronized
        fun forget() {
            locks++
            wipe()
        }

        @Synchronized
        fun destroyed() {
            isDestroyed = true
        }

        private fun wipe() {
            bytes?.fill(0)
            bytes = null
            id = null
            open = false
            written.clear()
        }
    }

    private inner class Keys : SealingKeys {
        /** Another data key has sealed it, before [renew]. */
        override val whenMissing: StorageProblem get() = StorageProblem.KEY_DESTROYED

        override fun newest(folder: BlobFolder, name: String): Pair<Id, SecretKey> {
            val key = held.forWriting(name)
            // What a renewed key's predecessor seals could not be read again.
            if (bound()?.key != key.first) throw StorageException(StorageProblem.NEEDS_USER)
            return key
        }

        override fun sealByAnother(folder: BlobFolder, seal: (Pair<Id, SecretKey>) -> SealedBlob): SealedBlob? = null

        override fun find(folder: BlobFolder, id: Id, name: String): SecretKey? {
            val key = held.forReading(name)
            if (key.first == id) return key.second
            if (bound()?.key == id) throw StorageException(StorageProblem.NEEDS_USER)
            return null
        }
    }

    private companion object {
        private const val BOUND = "_bound"
        private const val DATA_KEY = 32

        /** Longer than a request may take. */
        private const val WRITING_MILLIS = 60_000L

        /** A user is asked one thing at a time. */
        val ASKING = Mutex()

        fun later(millis: Long, work: () -> Unit) {
            CoroutineScope(Dispatchers.IO).launch {
                delay(millis)
                work()
            }
        }
    }
}

/** Lets the user show who they are, for one use of a key. */
public fun interface BiometricGate {
    /**
     * Asks, and gives the cipher that may be used then: that of the platform's or AndroidX's `CryptoObject`.
     *
     * @throws StorageException [StorageProblem.USER_CANCELLED] and the other reasons; anything else is [StorageProblem.TRANSIENT]
     */
    public suspend fun authenticate(cipher: Cipher): Cipher
}
