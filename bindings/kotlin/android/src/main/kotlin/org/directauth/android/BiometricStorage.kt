package org.directauth.android

import android.content.Context
import android.os.Build
import android.os.SystemClock
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
    elapsed: () -> Long,
    later: (millis: Long, work: () -> Unit) -> Unit,
) : SecureStorage {
    private val files = SealedFiles(context, name, Keys(), patience)
    private val held = Held(elapsed, later)

    /** Touches neither files nor keys. */
    public constructor(context: Context, name: String = "biometric", strongBox: Boolean = false) :
        this(context, name, strongBox, Patience(), SystemClock::elapsedRealtime, ::later)

    /** Whether it can be read and written. */
    public val isUnlocked: Boolean get() = held.isOpen

    /**
     * Asks the user by [gate], and holds the data key after it. Does nothing if it is unlocked. The first time the keys are made.
     *
     * @throws StorageException [StorageProblem.USER_CANCELLED], [StorageProblem.NEEDS_USER] after too many tries or if nothing is enrolled,
     *   [StorageProblem.KEY_DESTROYED] after a change of what is enrolled, [StorageProblem.FOREIGN] or [StorageProblem.KEY_MISSING] if the
     *   device has not made it, [StorageProblem.LOCKED], [StorageProblem.TRANSIENT]
     */
    public suspend fun unlock(gate: BiometricGate): Unit = oneAfterTheOther { attempt ->
        val stored = withContext(Dispatchers.IO) { files.working { bound() } }
        when {
            stored == null -> make(gate, attempt)
            !held.isOpenWith(stored.key) -> open(stored, gate, attempt)
        }
    }

    /**
     * Forgets the data key. An [unlock] that has begun before does not undo it.
     *
     * A refresh that was sent before has a minute more to write what has come of it, and for that a session can be read that this object
     * has read or written before, as long as nobody else has changed it: the session would be lost otherwise. Nothing else can be read or
     * written from now on. Then the key is wiped; in a process that the system has stopped, when it goes on.
     */
    public fun lock() {
        held.close()
    }

    /**
     * Begins anew with other keys, such as after [StorageProblem.KEY_DESTROYED]: what was stored can never be read again, and
     * [org.directauth.DirectAuthClient.discardUnreadable] deletes it.
     */
    public suspend fun renew(gate: BiometricGate): Unit = oneAfterTheOther { attempt ->
        held.forget()
        val former = withContext(Dispatchers.IO) { runCatching { files.working { bound() } }.getOrNull() }
        make(gate, attempt)
        // What it wraps was written over.
        if (former != null) withContext(Dispatchers.IO) { runCatching { files.working { PlatformKeys.delete(alias(former.key)) } } }
    }

    override fun load(key: String): ByteArray? = files.load(key)

    override fun store(key: String, value: ByteArray): Unit = files.store(key, value)

    override fun delete(key: String): Unit = files.delete(key)

    override fun keys(): List<String> = files.keys()

    override fun toString(): String = "BiometricStorage"

    /** One call of [unlock] or [renew]: when it began, and what it has opened. */
    private class Attempt(val locksBefore: Int) {
        var opened: Int? = null
    }

    /** One prompt at a time, and nothing open that a cancelled caller has opened. */
    private suspend fun oneAfterTheOther(work: suspend (Attempt) -> Unit) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.P) throw StorageException(StorageProblem.NEEDS_USER)
        val attempt = Attempt(held.locks)
        ASKING.withLock {
            try {
                work(attempt)
            } catch (e: CancellationException) {
                attempt.opened?.let(held::forgetIfStill)
                throw e
            }
        }
    }

    private suspend fun make(gate: BiometricGate, attempt: Attempt) {
        val id = Id(random(Id.KEY))
        val data = random(DATA_KEY)
        try {
            val cipher = withContext(Dispatchers.IO) { files.working { cipherOfNew(id) } }
            val allowed = asked(gate, cipher)
            withContext(Dispatchers.IO) {
                val wrapped = files.once {
                    val here = files.here()
                    allowed.updateAAD(SealedBlob.associated(here, id, BOUND))
                    SealedBlob(here, id, allowed.iv, allowed.doFinal(data))
                }
                files.working { files.folder.write(BOUND, wrapped.encode()) }
                attempt.opened = held.hold(id, data, attempt.locksBefore)
            }
        } finally {
            data.fill(0)
            withContext(NonCancellable + Dispatchers.IO) {
                // Only what certainly nothing names.
                val isNamed = runCatching { files.working { bound()?.key == id } }.getOrDefault(true)
                if (!isNamed) runCatching { PlatformKeys.delete(alias(id)) }
            }
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

    private suspend fun open(stored: SealedBlob, gate: BiometricGate, attempt: Attempt) {
        val cipher = toldIfDestroyed(stored) {
            withContext(Dispatchers.IO) {
                files.working {
                    // The platform takes it away with the lock screen, too.
                    val bound = PlatformKeys.find(alias(stored.key)) ?: throw StorageException(files.whyMissing(stored))
                    Cipher.getInstance(PlatformKeys.CIPHER).apply {
                        init(Cipher.DECRYPT_MODE, bound, GCMParameterSpec(8 * SealedBlob.TAG, stored.nonce))
                    }
                }
            }
        }
        val allowed = asked(gate, cipher)
        withContext(Dispatchers.IO) {
            val data = files.once {
                allowed.updateAAD(SealedBlob.associated(stored.installation, stored.key, BOUND))
                allowed.doFinal(stored.sealed)
            }
            try {
                attempt.opened = held.hold(stored.key, data, attempt.locksBefore)
            } finally {
                data.fill(0)
            }
        }
    }

    /** What is told once of a key is true of all that it has sealed. */
    private suspend fun <T> toldIfDestroyed(stored: SealedBlob, work: suspend () -> T): T =
        try {
            work()
        } catch (e: StorageException) {
            if (e.problem == StorageProblem.KEY_DESTROYED) held.destroyed(stored.key)
            throw e
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

    /** The data key: while it is open for everything, and for a minute more for a refresh that was sent before. */
    private class Held(private val elapsed: () -> Long, private val later: (Long, () -> Unit) -> Unit) {
        private var bytes: ByteArray? = null
        private var id: Id? = null
        private var open = false
        private var wipedAt = 0L
        private var holds = 0
        private var destroyedKey: Id? = null

        /** Sessions as this object has last read or written them. */
        private val known = HashMap<String, SealedBlob>()

        /** How often it was locked. */
        @get:Synchronized
        var locks = 0
            private set

        @get:Synchronized
        val isOpen: Boolean get() = open

        @Synchronized
        fun isOpenWith(id: Id): Boolean = open && this.id == id

        /** Null if another key has sealed it. */
        @Synchronized
        fun forReading(name: String, blob: SealedBlob): SecretKey? {
            if (!isThere()) throw closed(blob.key)
            if (!open && !known[name].isSame(blob)) throw closed(blob.key)
            return if (id == blob.key) key() else null
        }

        @Synchronized
        fun forWriting(name: String): Id {
            if (!isThere() || (!open && name !in known)) throw StorageException(StorageProblem.NEEDS_USER)
            if (!open) closeIn(WRITING_MILLIS)
            return id ?: throw StorageException(StorageProblem.NEEDS_USER)
        }

        @Synchronized
        fun forSealing(id: Id): SecretKey? = if (isThere() && this.id == id) key() else null

        @Synchronized
        fun known(name: String, blob: SealedBlob) {
            if (name.startsWith(SESSIONS)) known[name] = blob
        }

        private fun key() = SecretKeySpec(bytes ?: throw StorageException(StorageProblem.NEEDS_USER), "AES")

        private fun isThere(): Boolean {
            if (!open && elapsed() >= wipedAt) wipe()
            return bytes != null
        }

        @Synchronized
        fun isDestroyed(id: Id?): Boolean = id != null && destroyedKey == id

        private fun closed(id: Id) = StorageException(if (isDestroyed(id)) StorageProblem.KEY_DESTROYED else StorageProblem.NEEDS_USER)

        /** Unless it was locked since; the number of this opening. */
        @Synchronized
        fun hold(id: Id, data: ByteArray, locksBefore: Int): Int {
            if (locks != locksBefore) throw StorageException(StorageProblem.NEEDS_USER)
            wipe()
            bytes = data.copyOf()
            this.id = id
            open = true
            return ++holds
        }

        @Synchronized
        fun close() {
            locks++
            if (!open) return
            open = false
            closeIn(WRITING_MILLIS)
        }

        private fun closeIn(millis: Long) {
            wipedAt = elapsed() + millis
            val mine = holds
            later(millis) { wipeIfOver(mine) }
        }

        @Synchronized
        private fun wipeIfOver(hold: Int) {
            if (holds == hold && !open && elapsed() >= wipedAt) wipe()
        }

        @Synchronized
        fun forget() = wipe()

        @Synchronized
        fun forgetIfStill(hold: Int) {
            if (holds == hold) wipe()
        }

        @Synchronized
        fun destroyed(id: Id) {
            destroyedKey = id
        }

        private fun wipe() {
            bytes?.fill(0)
            bytes = null
            id = null
            open = false
            known.clear()
        }

        private fun SealedBlob?.isSame(other: SealedBlob) =
            this != null && key == other.key && nonce.contentEquals(other.nonce) && sealed.contentEquals(other.sealed)
    }

    private inner class Keys : SealingKeys {
        /** Another data key has sealed it, before [renew]. */
        override val whenMissing: StorageProblem get() = StorageProblem.KEY_DESTROYED

        override fun newest(folder: BlobFolder, name: String): Id {
            val current = bound()?.key
            if (held.isDestroyed(current)) throw StorageException(StorageProblem.KEY_DESTROYED)
            // What a renewed key's predecessor seals could not be read again.
            return held.forWriting(name).takeIf { it == current } ?: throw StorageException(StorageProblem.NEEDS_USER)
        }

        override fun forSealing(folder: BlobFolder, id: Id, name: String): SecretKey =
            held.forSealing(id) ?: throw StorageException(StorageProblem.NEEDS_USER)

        override fun sealByAnother(folder: BlobFolder, name: String, seal: (Id, SecretKey) -> SealedBlob): SealedBlob? = null

        override fun forOpening(folder: BlobFolder, blob: SealedBlob, name: String): SecretKey? {
            held.forReading(name, blob)?.let { return it }
            if (bound()?.key == blob.key) throw StorageException(StorageProblem.NEEDS_USER)
            return null
        }

        override fun known(name: String, blob: SealedBlob) = held.known(name, blob)
    }

    private companion object {
        private const val BOUND = "_bound"
        private const val DATA_KEY = 32

        /** Longer than a request may take. */
        private const val WRITING_MILLIS = 60_000L

        /** How the library's names of sessions begin. */
        private const val SESSIONS = "session."

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
