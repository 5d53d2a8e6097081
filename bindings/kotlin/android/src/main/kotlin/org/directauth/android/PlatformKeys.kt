package org.directauth.android

import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import java.security.KeyStore
import java.security.ProviderException
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey

/** AES keys in AndroidKeyStore: the calls of the platform, and nothing else. They throw what the platform throws. */
internal object PlatformKeys {
    const val PROVIDER = "AndroidKeyStore"
    const val CIPHER = "AES/GCM/NoPadding"

    /** Null if there certainly is none. */
    fun find(alias: String): SecretKey? = certainly { store().getKey(alias, null) } as SecretKey?

    /**
     * What the key store says, if it is asked twice: before Android 12 it says of a key that it is not there, and later of a certificate,
     * also when it could not look. It is believed once it has made another key and found that.
     */
    fun <T> certainly(ask: () -> T?): T? {
        ask()?.let { return it }
        synchronized(this) {
            try {
                make(PROBE, strongBox = false)
                if (store().getKey(PROBE, null) == null) throw ProviderException("the key store does not find what it has made")
            } finally {
                runCatching { delete(PROBE) }
            }
        }
        return ask()
    }

    private const val PROBE = "directauth.probe"

    /** Makes one under a name that is new, in StrongBox if that is wanted and there. */
    fun make(alias: String, strongBox: Boolean, bind: KeyGenParameterSpec.Builder.() -> Unit = {}): SecretKey {
        fun generate(strongBox: Boolean): SecretKey {
            val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
            val parameters =
                KeyGenParameterSpec.Builder(alias, purposes)
                    .setKeySize(256)
                    .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                    .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                    .inStrongBox(strongBox)
                    .apply(bind)
            val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, PROVIDER)
            generator.init(parameters.build())
            return generator.generateKey()
        }
        return if (strongBox) withoutStrongBoxToo(::generate) else generate(false)
    }

    fun delete(alias: String) {
        store().deleteEntry(alias)
    }

    fun store(): KeyStore = KeyStore.getInstance(PROVIDER).apply { load(null) }
}

internal fun KeyGenParameterSpec.Builder.inStrongBox(wanted: Boolean): KeyGenParameterSpec.Builder =
    if (wanted && Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) inStrongBox() else this

@FromApi(28)
private fun KeyGenParameterSpec.Builder.inStrongBox() = setIsStrongBoxBacked(true)

/** Most devices have no StrongBox, and some a faulty one: then the trusted execution environment makes the key. */
internal fun <T> withoutStrongBoxToo(make: (Boolean) -> T): T =
    try {
        make(Build.VERSION.SDK_INT >= Build.VERSION_CODES.P)
    } catch (_: ProviderException) {
        make(false)
    }
