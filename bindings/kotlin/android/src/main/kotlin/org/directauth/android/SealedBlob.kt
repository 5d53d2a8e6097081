package org.directauth.android

import java.nio.ByteBuffer
import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * What a file holds: which key has sealed it, on which installation, and the sealed bytes.
 *
 * `DA`, version, installation (16), key id (8), nonce (12), AES-256-GCM ciphertext with its tag. Everything before the nonce and the
 * name that it is stored under are authenticated too, so that no file can take another's place.
 */
internal class SealedBlob(val installation: Id, val key: Id, val nonce: ByteArray, val sealed: ByteArray) {
    fun encode(): ByteArray = header(installation, key) + nonce + sealed

    companion object {
        const val NONCE = 12
        const val TAG = 16
        private const val VERSION: Byte = 1
        private val MAGIC = byteArrayOf('D'.code.toByte(), 'A'.code.toByte())
        private const val HEADER = 3 + Id.INSTALLATION + Id.KEY

        fun decode(bytes: ByteArray): SealedBlob {
            if (bytes.size < MAGIC.size + 1 || bytes[0] != MAGIC[0] || bytes[1] != MAGIC[1]) throw StorageException(StorageProblem.CORRUPT)
            // A newer version of the app has been here, and may come again: nothing is damaged.
            if (bytes[2] > VERSION) throw StorageException(StorageProblem.NEWER_VERSION)
            if (bytes[2] != VERSION || bytes.size < HEADER + NONCE + TAG) throw StorageException(StorageProblem.CORRUPT)
            val rest = ByteBuffer.wrap(bytes, 3, bytes.size - 3)
            fun take(count: Int) = ByteArray(count).also(rest::get)
            return SealedBlob(Id(take(Id.INSTALLATION)), Id(take(Id.KEY)), take(NONCE), take(rest.remaining()))
        }

        /** What is authenticated beside the sealed bytes. */
        fun associated(installation: Id, key: Id, name: String): ByteArray = header(installation, key) + name.encodeToByteArray()

        private fun header(installation: Id, key: Id) = MAGIC + VERSION + installation.bytes + key.bytes
    }
}

/** A random name. */
internal class Id(val bytes: ByteArray) {
    override fun equals(other: Any?): Boolean = other is Id && other.bytes.contentEquals(bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** In hexadecimal. */
    override fun toString(): String = bytes.joinToString("") { "%02x".format(it) }

    companion object {
        const val INSTALLATION = 16
        const val KEY = 8

        /** What [toString] has made, if it has so many bytes. */
        fun parse(text: String, size: Int): Id? {
            if (text.length != 2 * size || text.any { it !in '0'..'9' && it !in 'a'..'f' }) return null
            return Id(ByteArray(size) { text.substring(2 * it, 2 * it + 2).toInt(16).toByte() })
        }
    }
}
