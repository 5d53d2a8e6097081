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

        override fun newest(folder: BlobFolder, name: String): Pair<Id, SecretKey>? {
            val id = folder.read(CURRENT)?.decodeToString()?.let { Id.parse(it, Id.KEY) } ?: return null
            return PlatformKeys.find(prefix + id)?.let { id to it }
        }

        override fun sealByAnother(folder: BlobFolder, seal: (Pair<Id, SecretKey>) -> SealedBlob): SealedBlob {
            val id = Id(random(Id.KEY))
            try {
                PlatformKeys.make(prefix + id, strongBox)
                val key = PlatformKeys.find(prefix + id) ?: throw ProviderException("the key store does not find what it has made")
                return seal(id to key).also { folder.write(CURRENT, id.toString().encodeToByteArray()) }
            } catch (e: Exception) {
                // Nothing that was sealed with it is kept.
                runCatching { PlatformKeys.delete(prefix + id) }
                throw e
            }
        }

        override fun find(folder: BlobFolder, id: Id, name: String): SecretKey? = PlatformKeys.find(prefix + id)
    }

    private companion object {
        private const val CURRENT = "_key"
    }
}

/** The keys that seal. */
internal interface SealingKeys {
    /** What it means that the key of one of this installation's records is not there. */
    val whenMissing: StorageProblem get() = StorageProblem.KEY_MISSING

    /** The one that seals now; null if there is none. */
    fun newest(folder: BlobFolder, name: String): Pair<Id, SecretKey>?

    /** With a new one, which is the newest then; null if none can be made without the user. */
    fun sealByAnother(folder: BlobFolder, seal: (Pair<Id, SecretKey>) -> SealedBlob): SealedBlob?

    /** Null if there is none. */
    fun find(folder: BlobFolder, id: Id, name: String): SecretKey?
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
        val secret = keys.find(folder, blob.key, key) ?: throw StorageException(whyMissing(blob))
        val cipher = Cipher.getInstance(PlatformKeys.CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, secret, GCMParameterSpec(8 * SealedBlob.TAG, blob.nonce))
        cipher.updateAAD(SealedBlob.associated(blob.installation, blob.key, key))
        cipher.doFinal(blob.sealed)
    }

    fun store(key: String, value: ByteArray) {
        val sealed =
            try {
                working(key) { sealed(key, value) }
            } catch (e: StorageException) {
                if (e.problem !in OF_A_KEY) throw e
                // A key that works no more stops no new sign-in, and what it has sealed stays as it is. If no other works either, the
                // first reason is told.
                val byAnother = runCatching { working(key) { synchronized(MAKING) { keys.sealByAnother(folder) { seal(key, value, it) } } } }
                byAnother.getOrNull() ?: throw e
            }
        working(key) { folder.write(key, sealed.encode()) }
    }

    private fun sealed(key: String, value: ByteArray): SealedBlob {
        keys.newest(folder, key)?.let { return seal(key, value, it) }
        // Looked for once more by whoever was not the first to come.
        return synchronized(MAKING) {
            keys.newest(folder, key)?.let { seal(key, value, it) } ?: keys.sealByAnother(folder) { seal(key, value, it) }
        } ?: throw StorageException(keys.whenMissing)
    }

    fun delete(key: String): Unit = working(key) { folder.delete(key) }

    fun keys(): List<String> = working { folder.names().filter(NAMES::matches) }

    private fun seal(name: String, value: ByteArray, by: Pair<Id, SecretKey>): SealedBlob {
        val (id, secret) = by
        val here = installation.id()
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

    fun <T> working(work: () -> T): T = patience.patiently {
        if (context.getSystemService(UserManager::class.java)?.isUserUnlocked == false) throw StorageException(StorageProblem.LOCKED)
        work()
    }

    private fun <T> working(key: String, work: () -> T): T {
        require(NAMES.matches(key)) { "a storage key is of a-z, 0-9, . and -, at most 64" }
        return working(work)
    }

    private companion object {
        val NAMES = Regex("[a-z0-9-][a-z0-9.-]{0,63}")
        val OF_A_KEY = setOf(StorageProblem.TRANSIENT, StorageProblem.KEY_DESTROYED, StorageProblem.KEY_MISSING)

        /** One key at a time is made in a process. */
        val MAKING = Any()
    }
}
