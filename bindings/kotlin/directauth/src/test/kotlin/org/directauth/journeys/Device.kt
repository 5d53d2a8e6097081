package org.directauth.journeys

import java.security.KeyPair
import java.security.KeyPairGenerator
import java.security.Signature
import java.security.interfaces.ECPublicKey
import java.security.spec.ECGenParameterSpec
import org.directauth.KeyException
import org.directauth.KeyProblem
import org.directauth.SecureStorage
import org.directauth.SigningKey
import org.directauth.StorageException
import org.directauth.StorageProblem

/** The store of a vector: on a device that can be locked, full or damaged; what was ever written is remembered. */
class Shelf : SecureStorage {
    private val values = HashMap<String, ByteArray>()
    private val everything = StringBuilder()

    @Volatile
    var mood: String = "works"

    /** Everything that was ever written, as text. */
    val written: String get() = synchronized(values) { everything.toString() }

    /** How many values there are of one kind: `session`, `ended`, `owed`. */
    fun count(kind: String): Int = synchronized(values) { values.keys.count { it.substringBefore('.') == kind } }

    /** One byte of every session's record is not what it was. */
    fun damage(): Unit = synchronized(values) {
        values.filterKeys(::isSession).values.forEach { it[it.size - 1] = (it[it.size - 1].toInt() xor 1).toByte() }
    }

    override fun load(key: String): ByteArray? = working { values[key]?.copyOf() }

    override fun store(key: String, value: ByteArray) = working {
        if (mood == "refuses_writes" || (mood == "refuses_sessions" && isSession(key))) throw StorageException(StorageProblem.TRANSIENT)
        everything.appendLine(value.decodeToString())
        values[key] = value.copyOf()
    }

    override fun delete(key: String): Unit = working {
        if (mood == "keeps_sessions" && isSession(key)) throw StorageException(StorageProblem.TRANSIENT)
        values.remove(key)
    }

    override fun keys(): List<String> = working { values.keys.toList() }

    private fun isSession(key: String) = key.startsWith("session.")

    private inline fun <T> working(work: () -> T): T {
        if (mood == "is_locked") throw StorageException(StorageProblem.LOCKED)
        return synchronized(values) { work() }
    }
}

/** The platform's keys of a vector. */
class Keys : SigningKey {
    private val pairs = HashMap<String, KeyPair>()

    @Volatile
    var mood: String = "points"
        set(value) = synchronized(pairs) {
            when (value) {
                "are_exchanged" -> pairs.keys.toList().forEach { pairs[it] = fresh() }
                "are_lost" -> pairs.clear()
                else -> field = value
            }
        }

    val size: Int get() = synchronized(pairs) { pairs.size }

    override fun create(name: String): ByteArray = working {
        check(pairs.put(name, fresh()) == null) { "the name is new" }
        public(name)
    }

    override fun publicKey(name: String): ByteArray = working { public(name) }

    override fun sign(name: String, message: ByteArray): ByteArray = working {
        Signature.getInstance("SHA256withECDSA").run {
            initSign(pair(name).private)
            update(if (mood == "sign_something_else") "something else".toByteArray() else message)
            sign()
        }
    }

    override fun delete(name: String): Unit = working { pairs.remove(name) }

    private fun public(name: String): ByteArray {
        val key = pair(name).public as ECPublicKey
        if (mood == "are_none") return ByteArray(65) { 7 }
        if (mood == "documents") return key.encoded
        return byteArrayOf(4) + key.w.affineX.toByteArray().last32() + key.w.affineY.toByteArray().last32()
    }

    private fun ByteArray.last32() = if (size >= 32) copyOfRange(size - 32, size) else ByteArray(32 - size) + this

    private fun pair(name: String): KeyPair = pairs[name] ?: throw KeyException(KeyProblem.MISSING)

    private inline fun <T> working(work: () -> T): T {
        when (mood) {
            "are_locked" -> throw KeyException(KeyProblem.LOCKED)
            "are_cancelled" -> throw KeyException(KeyProblem.USER_CANCELLED)
            "are_destroyed" -> throw KeyException(KeyProblem.DESTROYED)
            "are_unsupported" -> throw KeyException(KeyProblem.UNSUPPORTED)
        }
        return synchronized(pairs) { work() }
    }

    private fun fresh(): KeyPair = KeyPairGenerator.getInstance("EC").apply { initialize(ECGenParameterSpec("secp256r1")) }.generateKeyPair()
}
