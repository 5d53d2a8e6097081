package org.directauth.android

import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.StrongBoxUnavailableException
import java.io.InputStream
import java.io.OutputStream
import java.security.AlgorithmParameters
import java.security.Key
import java.security.KeyPair
import java.security.KeyPairGenerator
import java.security.KeyPairGeneratorSpi
import java.security.KeyStoreException
import java.security.KeyStoreSpi
import java.security.Provider
import java.security.PublicKey
import java.security.SecureRandom
import java.security.Security
import java.security.cert.Certificate
import java.security.spec.AlgorithmParameterSpec
import java.util.Collections
import java.util.Date
import java.util.Enumeration
import javax.crypto.Cipher
import javax.crypto.CipherSpi
import javax.crypto.KeyGeneratorSpi
import javax.crypto.SecretKey
import javax.crypto.spec.SecretKeySpec

/** A device's key store: keys that cannot be taken out of it, and everything that goes wrong with real ones. */
object FakeAndroidKeyStore {
    private val keys = Collections.synchronizedMap(LinkedHashMap<String, Any>())

    /** What happens at an operation (`find`, `make`, `begin`, `finish`, `sign`): it may throw. */
    @Volatile
    var at: (operation: String) -> Unit = {}

    /** Keys that are there and that no operation works with. */
    val failing = java.util.concurrent.ConcurrentHashMap<String, Exception>()

    /** How often it says of a key that it is not there, because it could not look. */
    val silences = java.util.concurrent.atomic.AtomicInteger()

    @Volatile
    var hasStrongBox = false

    /** Whether the secure element that is there fails. */
    @Volatile
    var strongBoxFails = false

    @Volatile
    var hasEnrolled = true

    /** Whether the user agrees to the use of a key that is bound to that. */
    @Volatile
    var userAgrees = false

    val aliases: List<String> get() = keys.keys.toList()

    /** An empty one, which works. */
    fun begin() {
        keys.clear()
        at = {}
        hasStrongBox = false
        strongBoxFails = false
        hasEnrolled = true
        userAgrees = false
        failing.clear()
        silences.set(0)
        Security.removeProvider(Provided.NAME)
        Security.insertProviderAt(Provided(), 1)
    }

    fun end() {
        Security.removeProvider(Provided.NAME)
    }

    /** The keys leave with what has them: another device has none of them. */
    fun takeAway(): Map<String, Any> = LinkedHashMap(keys).also { keys.clear() }

    fun giveBack(taken: Map<String, Any>) = keys.putAll(taken)

    fun strongBoxHas(alias: String): Boolean = (keys[alias] as? Guarded)?.inStrongBox ?: (keys[alias] as Pair<*, *>).second as Boolean

    class Provided : Provider(NAME, "1", "for tests") {
        init {
            put("KeyStore.AndroidKeyStore", Store::class.java.name)
            put("KeyGenerator.AES", Generator::class.java.name)
            put("KeyPairGenerator.EC", PairGenerator::class.java.name)
            put("Cipher.AES/GCM/NoPadding", GuardedCipher::class.java.name)
            put("Cipher.AES/GCM/NoPadding SupportedKeyClasses", Guarded::class.java.name)
        }

        companion object {
            const val NAME = "AndroidKeyStore"
        }
    }

    /** A key that only its own store can use. */
    class Guarded(val secret: SecretKey, val needsUser: Boolean, val inStrongBox: Boolean) : SecretKey {
        override fun getAlgorithm() = "AES"

        override fun getFormat(): String? = null

        override fun getEncoded(): ByteArray? = null
    }

    class Store : KeyStoreSpi() {
        override fun engineGetKey(alias: String, password: CharArray?): Key? {
            at("find")
            if (silences.getAndDecrement() > 0) return null
            return when (val found = keys[alias]) {
                is Guarded -> found
                is Pair<*, *> -> (found.first as KeyPair).private
                else -> null
            }
        }

        override fun engineGetCertificate(alias: String): Certificate? {
            at("find")
            if (silences.getAndDecrement() > 0) return null
            return ((keys[alias] as? Pair<*, *>)?.first as? KeyPair)?.let { Certified(it.public) }
        }

        override fun engineDeleteEntry(alias: String) {
            at("delete")
            keys.remove(alias)
        }

        override fun engineContainsAlias(alias: String) = alias in keys

        override fun engineAliases(): Enumeration<String> = Collections.enumeration(aliases)

        override fun engineSize() = keys.size

        override fun engineIsKeyEntry(alias: String) = alias in keys

        override fun engineLoad(stream: InputStream?, password: CharArray?) = Unit

        override fun engineStore(stream: OutputStream?, password: CharArray?) = throw KeyStoreException()

        override fun engineGetCertificateChain(alias: String): Array<Certificate>? = engineGetCertificate(alias)?.let { arrayOf(it) }

        override fun engineGetCreationDate(alias: String) = Date()

        override fun engineSetKeyEntry(alias: String, key: Key, password: CharArray?, chain: Array<Certificate>?) = throw KeyStoreException()

        override fun engineSetKeyEntry(alias: String, key: ByteArray, chain: Array<Certificate>?) = throw KeyStoreException()

        override fun engineSetCertificateEntry(alias: String, certificate: Certificate) = throw KeyStoreException()

        override fun engineIsCertificateEntry(alias: String) = false

        override fun engineGetCertificateAlias(certificate: Certificate): String? = null
    }

    private class Certified(private val key: PublicKey) : Certificate("X.509") {
        override fun getEncoded() = ByteArray(0)

        override fun verify(key: PublicKey) = Unit

        override fun verify(key: PublicKey, provider: String) = Unit

        override fun toString() = "a certificate"

        override fun getPublicKey() = key
    }

    class Generator : KeyGeneratorSpi() {
        private lateinit var parameters: KeyGenParameterSpec

        override fun engineInit(parameters: AlgorithmParameterSpec, random: SecureRandom?) {
            this.parameters = parameters as KeyGenParameterSpec
            if (this.parameters.isUserAuthenticationRequired && !hasEnrolled) {
                val why = IllegalStateException("At least one biometric must be enrolled to create keys requiring user authentication for every use")
                throw java.security.InvalidAlgorithmParameterException(why)
            }
        }

        override fun engineInit(random: SecureRandom?) = throw UnsupportedOperationException()

        override fun engineInit(size: Int, random: SecureRandom?) = throw UnsupportedOperationException()

        override fun engineGenerateKey(): SecretKey {
            at("make")
            check(parameters.keySize == 256 && parameters.blockModes.contentEquals(arrayOf("GCM")))
            check(parameters.isRandomizedEncryptionRequired)
            val secret = SecretKeySpec(random(32), "AES")
            return Guarded(secret, parameters.isUserAuthenticationRequired, inStrongBox(parameters)).also { keys[parameters.keystoreAlias] = it }
        }
    }

    class PairGenerator : KeyPairGeneratorSpi() {
        private lateinit var parameters: KeyGenParameterSpec

        override fun initialize(parameters: AlgorithmParameterSpec, random: SecureRandom?) {
            this.parameters = parameters as KeyGenParameterSpec
        }

        override fun initialize(size: Int, random: SecureRandom?) = throw UnsupportedOperationException()

        override fun generateKeyPair(): KeyPair {
            at("make")
            // The one that Robolectric brings along.
            val pair = KeyPairGenerator.getInstance("EC", "BC").run {
                initialize(parameters.algorithmParameterSpec)
                generateKeyPair()
            }
            keys[parameters.keystoreAlias] = pair to inStrongBox(parameters)
            return pair
        }
    }

    private fun inStrongBox(parameters: KeyGenParameterSpec): Boolean {
        if (parameters.isStrongBoxBacked && strongBoxFails) throw java.security.ProviderException("secure element, -49")
        if (parameters.isStrongBoxBacked && !hasStrongBox) throw StrongBoxUnavailableException("there is none")
        return parameters.isStrongBoxBacked
    }

    class GuardedCipher : CipherSpi() {
        private val inner = Cipher.getInstance("AES/GCM/NoPadding", "SunJCE")
        private var needsUser = false

        override fun engineInit(mode: Int, key: Key, random: SecureRandom?) {
            inner.init(mode, begin(key))
        }

        override fun engineInit(mode: Int, key: Key, parameters: AlgorithmParameterSpec?, random: SecureRandom?) {
            // A nonce of the caller's is for decryption alone.
            check(mode == Cipher.DECRYPT_MODE || parameters == null)
            inner.init(mode, begin(key), parameters)
        }

        override fun engineInit(mode: Int, key: Key, parameters: AlgorithmParameters?, random: SecureRandom?) = throw UnsupportedOperationException()

        private fun begin(key: Key): SecretKey {
            at("begin")
            keys.entries.firstOrNull { it.value === key }?.let { failing[it.key] }?.let { throw it }
            needsUser = (key as Guarded).needsUser
            return key.secret
        }

        override fun engineUpdateAAD(source: ByteArray, offset: Int, length: Int) {
            finish()
            inner.updateAAD(source, offset, length)
        }

        override fun engineDoFinal(input: ByteArray, offset: Int, length: Int): ByteArray {
            finish()
            return inner.doFinal(input, offset, length)
        }

        private fun finish() {
            at("finish")
            if (needsUser && !userAgrees) throw javax.crypto.IllegalBlockSizeException("the user has not agreed")
        }

        override fun engineGetIV(): ByteArray = inner.iv

        override fun engineSetMode(mode: String) = Unit

        override fun engineSetPadding(padding: String) = Unit

        override fun engineGetBlockSize() = inner.blockSize

        override fun engineGetOutputSize(length: Int) = inner.getOutputSize(length)

        override fun engineGetParameters(): AlgorithmParameters = inner.parameters

        override fun engineUpdate(input: ByteArray, offset: Int, length: Int): ByteArray? = inner.update(input, offset, length)

        override fun engineUpdate(input: ByteArray, offset: Int, length: Int, output: ByteArray, to: Int) = throw UnsupportedOperationException()

        override fun engineDoFinal(input: ByteArray, offset: Int, length: Int, output: ByteArray, to: Int) = throw UnsupportedOperationException()
    }
}
