package org.directauth.android

import android.content.Context
import android.os.UserManager
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import java.security.KeyPairGenerator
import java.security.PrivateKey
import java.security.PublicKey
import java.security.Signature
import java.security.spec.ECGenParameterSpec
import org.directauth.KeyException
import org.directauth.KeyProblem
import org.directauth.SigningKey
import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * Keys on P-256 in AndroidKeyStore for tokens that are bound to the device (RFC 9449): in StrongBox where the device has one, otherwise
 * in its trusted execution environment. They never leave it.
 *
 * @param context any of the app's
 * @param strongBox whether StrongBox is asked first: it is slower, and signs few things at once
 */
public class KeystoreSigningKey internal constructor(context: Context, private val strongBox: Boolean, private val patience: Patience) : SigningKey {
    private val context: Context = context.applicationContext ?: context

    /** Touches no keys. */
    public constructor(context: Context, strongBox: Boolean = true) : this(context, strongBox, Patience())

    override fun create(name: String): ByteArray = working {
        if (strongBox) withoutStrongBoxToo { generate(name, it) } else generate(name, false)
    }

    private fun generate(name: String, strongBox: Boolean): ByteArray {
        val parameters =
            KeyGenParameterSpec.Builder(PREFIX + name, KeyProperties.PURPOSE_SIGN)
                .setAlgorithmParameterSpec(ECGenParameterSpec("secp256r1"))
                .setDigests(KeyProperties.DIGEST_SHA256)
                .inStrongBox(strongBox)
        val generator = KeyPairGenerator.getInstance(KeyProperties.KEY_ALGORITHM_EC, PlatformKeys.PROVIDER)
        generator.initialize(parameters.build())
        return generator.generateKeyPair().public.encoded
    }

    override fun publicKey(name: String): ByteArray = working {
        val key: PublicKey? = PlatformKeys.certainly { PlatformKeys.store().getCertificate(PREFIX + name) }?.publicKey
        (key ?: throw StorageException(StorageProblem.KEY_MISSING)).encoded
    }

    override fun sign(name: String, message: ByteArray): ByteArray = working {
        val key = PlatformKeys.certainly { PlatformKeys.store().getKey(PREFIX + name, null) } as PrivateKey? ?: throw StorageException(StorageProblem.KEY_MISSING)
        Signature.getInstance("SHA256withECDSA").run {
            initSign(key)
            update(message)
            sign()
        }
    }

    override fun delete(name: String): Unit = working { PlatformKeys.delete(PREFIX + name) }

    override fun toString(): String = "KeystoreSigningKey"

    private fun <T> working(work: () -> T): T =
        try {
            if (context.getSystemService(UserManager::class.java)?.isUserUnlocked == false) throw KeyException(KeyProblem.LOCKED)
            patience.patiently(work)
        } catch (e: StorageException) {
            throw KeyException(keyProblemOf(e))
        }

    private companion object {
        private const val PREFIX = "directauth.signing."
    }
}
