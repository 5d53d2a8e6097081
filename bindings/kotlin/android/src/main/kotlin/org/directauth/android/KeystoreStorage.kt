package org.directauth.android

import android.content.Context
import android.os.UserManager
import java.io.File
import java.security.ProviderException
import javax.crypto.Cipher
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import org.directauth.SecureStorage
import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * Sessions in files of this app that are in no backup, each sealed by AES-256-GCM with a key of AndroidKeyStore, which never leaves the
 * device's secure hardware.
 *
 * Making one touches neither files nor keys. Its functions wait for both: the library calls them on threads of its own, and an app
 * should not call them on the main thread.
 *
 * Until the device has been unlocked for the first time after a start (Direct Boot) everything is [StorageProblem.LOCKED]. A failure of
 * the platform's key store that may pass is tried again for half a second, then it is [StorageProblem.TRANSIENT]. Nothing that cannot
 * be read is ever deleted or written over by this class on its own, and no key is made under the name of an earlier one.
 *
 * @param context any of the app's
 * @param name of its folder, `a-z 0-9 -`: apps with several clients may share one storage or have several
 * @param strongBox whether new keys are made in StrongBox where the device has one: slower, and better protected against whoever has
 *   the device in hand
 */
public class KeystoreStorage internal constructor(
    context: Context,
    private val name: String,
    private val strongBox: Boolean,
    patience: Patience,
) : SecureStorage {
    private val files = SealedFiles(context, name, Keys(), patience)

    /** Touches neither files nor keys. */
    public constructor(context: Context, name: String = "sessions", strongBox: Boolean = false) : this(context, name, strongBox, Patience())

    override fun load(key: String): ByteArray? = files.load(key)

    override fun store(key: String, value: ByteArray): Unit = files.store(key, value)

    override fun delete(key: String): Unit = files.delete(key)

    override fun keys(): List<String> = files.keys()

    override fun toString(): String = "KeystoreStorage"

    /** Each under a name of its own: what an older one has sealed is never touched by making another. */
    private inner class Keys : SealingKeys {
        private val prefix = "directauth.storage.$name."

        override fun newest(folder: BlobFolder, name: String): Id? = folder.read(CURRENT)?.decodeToString()?.let { Id.parse(it, Id.KEY) }

        override fun forSealing(folder: BlobFolder, id: Id, name: String): SecretKey? = PlatformKeys.find(prefix + id)

        override fun sealByAnother(folder: BlobFolder, name: String, seal: (Id, SecretKey) -> SealedBlob): SealedBlob {
            val id = Id(random(Id.KEY))
            try {
                PlatformKeys.make(prefix + id, strongBox)
                val key = PlatformKeys.find(prefix + id) ?: throw ProviderException("the key store does not find what it has made")
                return seal(id, key).also { folder.write(CURRENT, id.toString().encodeToByteArray()) }
            } catch (e: Exception) {
                // Nothing that was sealed with it is kept, unless another thread has found its name already.
                if (runCatching { newest(folder, name) == id }.getOrDefault(true)) throw e
                runCatching { PlatformKeys.delete(prefix + id) }
                throw e
            }
        }

        override fun forOpening(folder: BlobFolder, blob: SealedBlob, name: String): SecretKey? = PlatformKeys.find(prefix + blob.key)
    }

    private companion object {
        private const val CURRENT = "_key"
    }
}

/** The keys that seal. */
internal interface SealingKeys {
    /** What it means that the key of one of this installation's records is not there. */
    val whenMissing: StorageProblem get() = StorageProblem.KEY_MISSING

    /** The name of the one that seals now; null if there is none. */
    fun newest(folder: BlobFolder, name: String): Id?

    /** Null if there is none. */
    fun forSealing(folder: BlobFolder, id: Id, name: String): SecretKey?

    /** With a new one, which is the newest then; null if none can be made without the user. */
    fun sealByAnother(folder: BlobFolder, name: String, seal: (Id, SecretKey) -> SealedBlob): SealedBlob?

    /** Null if there is none. */
    fun forOpening(folder: BlobFolder, blob: SealedBlob, name: String): SecretKey?

    /** A file is as this, as far as is known here. */
    fun known(name: String, blob: SealedBlob) = Unit
}

/** Files that are sealed by such keys. */
internal class SealedFiles(context: Context, name: String, private val keys: SealingKeys, private val patience: Patience) {
    private val context: Context = context.applicationContext ?: context

    init {
        require(Regex("[a-z0-9-]{1,32}").matches(name)) { "the name of a storage is of a-z, 0-9 and -, and not $name" }
    }

    val folder: BlobFolder by lazy { BlobFolder(File(this.context.noBackupFilesDir, "directauth/$name")) }
    private val installation by lazy { Installation(this.context, BlobFolder(File(this.context.noBackupFilesDir, "directauth"))) }

    fun load(key: String): ByteArray? = working(key) {
        val bytes = folder.read(key) ?: return@working null
        val blob = SealedBlob.decode(bytes)
        val secret = keys.forOpening(folder, blob, key) ?: throw StorageException(whyMissing(blob))
        val cipher = Cipher.getInstance(PlatformKeys.CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, secret, GCMParameterSpec(8 * SealedBlob.TAG, blob.nonce))
        cipher.updateAAD(SealedBlob.associated(blob.installation, blob.key, key))
        cipher.doFinal(blob.sealed).also { keys.known(key, blob) }
    }

    fun store(key: String, value: ByteArray) {
        val attempt = Attempt()
        val sealed =
            try {
                working(key) { sealed(key, value, attempt) }
            } catch (e: StorageException) {
                val failed = attempt.failed ?: throw e
                // A key that works no more stops no new sign-in, and what it has sealed stays as it is. If no other works either, the
                // first reason is told.
                runCatching { working(key) { sealedWithout(failed, key, value) } }.getOrNull() ?: throw e
            }
        working(key) {
            // From here on it may be there, whatever is heard of that.
            keys.known(key, sealed)
            folder.write(key, sealed.encode())
        }
    }

    /** Which key did not work. */
    private class Attempt {
        var failed: Id? = null
    }

    private fun sealed(key: String, value: ByteArray, attempt: Attempt): SealedBlob {
        attempt.failed = null
        val here = installation.id()
        sealedByNewest(here, key, value, attempt)?.let { return it }
        // Looked for once more by whoever was not the first to come.
        return synchronized(MAKING) { sealedByNewest(here, key, value, attempt) ?: sealedByAnother(here, key, value) }
            ?: throw StorageException(keys.whenMissing)
    }

    /** Null if there is none. */
    private fun sealedByNewest(here: Id, key: String, value: ByteArray, attempt: Attempt): SealedBlob? {
        val id = keys.newest(folder, key) ?: return null
        attempt.failed = id
        val sealed = keys.forSealing(folder, id, key)?.let { seal(here, key, value, id, it) }
        attempt.failed = null
        return sealed
    }

    private fun sealedWithout(failed: Id, key: String, value: ByteArray): SealedBlob? {
        val here = installation.id()
        return synchronized(MAKING) {
            // Another thread may have made one meanwhile.
            val isNew = keys.newest(folder, key).let { it != null && it != failed }
            if (isNew) sealedByNewest(here, key, value, Attempt()) else sealedByAnother(here, key, value)
        }
    }

    private fun sealedByAnother(here: Id, key: String, value: ByteArray): SealedBlob? =
        keys.sealByAnother(folder, key) { id, secret -> seal(here, key, value, id, secret) }

    fun delete(key: String): Unit = working(key) { folder.delete(key) }

    fun keys(): List<String> = working { folder.names().filter(NAMES::matches) }

    private fun seal(here: Id, name: String, value: ByteArray, id: Id, secret: SecretKey): SealedBlob {
        val cipher = Cipher.getInstance(PlatformKeys.CIPHER)
        // The key store makes the nonce.
        cipher.init(Cipher.ENCRYPT_MODE, secret)
        cipher.updateAAD(SealedBlob.associated(here, id, name))
        return SealedBlob(here, id, cipher.iv, cipher.doFinal(value))
    }

    /** A record of elsewhere is told apart from one whose key the platform has lost. */
    fun whyMissing(blob: SealedBlob): StorageProblem =
        if (blob.installation == installation.id()) keys.whenMissing else StorageProblem.FOREIGN

    fun here(): Id = installation.id()

    fun <T> working(work: () -> T): T = patience.patiently { unlocked(work) }

    /** What cannot be done twice, such as the one use of a key that a user has agreed to. */
    fun <T> once(work: () -> T): T =
        try {
            unlocked(work)
        } catch (e: Exception) {
            throw StorageException(problemOf(e))
        }

    private fun <T> unlocked(work: () -> T): T {
        if (context.getSystemService(UserManager::class.java)?.isUserUnlocked == false) throw StorageException(StorageProblem.LOCKED)
        return work()
    }

    private fun <T> working(key: String, work: () -> T): T {
        require(NAMES.matches(key)) { "a storage key is of a-z, 0-9, . and -, at most 64" }
        return working(work)
    }

    private companion object {
        val NAMES = Regex("[a-z0-9-][a-z0-9.-]{0,63}")
        /** One key at a time is made in a process. */
        val MAKING = Any()
    }
}
