package org.directauth.android

import android.content.Context
import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import javax.crypto.Cipher
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import javax.crypto.spec.SecretKeySpec
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.Dispatchers
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
 * platform destroys it: [unlock] and everything else is [StorageProblem.KEY_DESTROYED], until [renew]. Needs API 28.
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
) : SecureStorage {
    private val files = SealedFiles(context, name, Keys(), patience)
    private val held = Held()

    /** Touches neither files nor keys. */
    public constructor(context: Context, name: String = "biometric", strongBox: Boolean = false) : this(context, name, strongBox, Patience())

    /** Whether it can be read and written. */
    public val isUnlocked: Boolean get() = held.key != null

    /**
     * Asks the user by [gate], and holds the data key after it. Does nothing if it is unlocked. The first time the keys are made.
     *
     * @throws StorageException [StorageProblem.USER_CANCELLED], [StorageProblem.NEEDS_USER] after too many tries or if nothing is enrolled,
     *   [StorageProblem.KEY_DESTROYED] after a change of what is enrolled, [StorageProblem.FOREIGN] or [StorageProblem.KEY_MISSING] if the
     *   device has not made it, [StorageProblem.LOCKED], [StorageProblem.TRANSIENT]
     */
    public suspend fun unlock(gate: BiometricGate) {
        if (isUnlocked) return
        val stored = withContext(Dispatchers.IO) { files.working { files.folder.read(BOUND)?.let(SealedBlob::decode) } }
        if (stored == null) make(gate) else open(stored, gate)
    }

    /** Forgets the data key. */
    public fun lock() {
        held.forget()
    }

    /**
     * Begins anew with other keys, such as after [StorageProblem.KEY_DESTROYED]: what was stored can never be read again, and
     * [org.directauth.DirectAuthClient.discardUnreadable] deletes it.
     */
    public suspend fun renew(gate: BiometricGate) {
        lock()
        make(gate)
    }

    override fun load(key: String): ByteArray? = files.load(key)

    override fun store(key: String, value: ByteArray): Unit = files.store(key, value)

    override fun delete(key: String): Unit = files.delete(key)

    override fun keys(): List<String> = files.keys()

    override fun toString(): String = "BiometricStorage"

    private suspend fun make(gate: BiometricGate) {
        val id = Id(random(Id.KEY))
        val alias = alias(id)
        val cipher = withContext(Dispatchers.IO) {
            files.working {
                val bound = PlatformKeys.make(alias, strongBox) { bindToUser() }
                Cipher.getInstance(PlatformKeys.CIPHER).apply { init(Cipher.ENCRYPT_MODE, bound) }
            }
        }
        val allowed = asked(gate, cipher)
        withContext(Dispatchers.IO) {
            files.working {
                val data = random(DATA_KEY)
                try {
                    val here = files.here()
                    allowed.updateAAD(SealedBlob.associated(here, id, BOUND))
                    files.folder.write(BOUND, SealedBlob(here, id, allowed.iv, allowed.doFinal(data)).encode())
                    held.hold(id, data)
                } finally {
                    data.fill(0)
                }
            }
        }
    }

    private suspend fun open(stored: SealedBlob, gate: BiometricGate) {
        val cipher = withContext(Dispatchers.IO) {
            files.working {
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
                    held.hold(stored.key, data)
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

    /** The data key, while it is unlocked. */
    private class Held {
        private var bytes: ByteArray? = null
        private var id: Id? = null

        @get:Synchronized
        val key: Pair<Id, SecretKey>?
            get() {
                val (id, bytes) = (id ?: return null) to (bytes ?: return null)
                return id to SecretKeySpec(bytes, "AES")
            }

        @Synchronized
        fun hold(id: Id, data: ByteArray) {
            forget()
            bytes = data.copyOf()
            this.id = id
        }

        @Synchronized
        fun forget() {
            bytes?.fill(0)
            bytes = null
            id = null
        }
    }

    private inner class Keys : SealingKeys {
        override fun newest(folder: BlobFolder): Pair<Id, SecretKey> = held.key ?: throw StorageException(StorageProblem.NEEDS_USER)

        override fun another(folder: BlobFolder): Pair<Id, SecretKey> = throw StorageException(StorageProblem.KEY_DESTROYED)

        /** Null if another data key has sealed it, before [renew] or on another device. */
        override fun find(folder: BlobFolder, id: Id): SecretKey? = newest(folder).takeIf { it.first == id }?.second
    }

    private companion object {
        const val BOUND = "_bound"
        const val DATA_KEY = 32
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
