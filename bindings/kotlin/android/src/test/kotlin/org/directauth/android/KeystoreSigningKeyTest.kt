package org.directauth.android

import android.content.Context
import android.os.UserManager
import android.security.keystore.KeyPermanentlyInvalidatedException
import java.security.KeyFactory
import java.security.ProviderException
import java.security.Signature
import java.security.spec.X509EncodedKeySpec
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.directauth.KeyException
import org.directauth.KeyProblem
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class KeystoreSigningKeyTest {
    private val context: Context get() = RuntimeEnvironment.getApplication()
    private val keyStore = FakeAndroidKeyStore
    private val keys by lazy { KeystoreSigningKey(context, true, Patience {}) }
    private val message = "a proof".encodeToByteArray()

    @Before
    fun begin() = keyStore.begin()

    @After
    fun end() = keyStore.end()

    private fun problem(call: () -> Unit): KeyProblem = assertFailsWith<KeyException> { call() }.problem

    @Test
    fun `it signs as long as it is there`() {
        val made = keys.create("k1")
        assertContentEquals(made, keys.publicKey("k1"))
        val signature = keys.sign("k1", message)
        val verifier = Signature.getInstance("SHA256withECDSA").apply {
            initVerify(KeyFactory.getInstance("EC").generatePublic(X509EncodedKeySpec(made)))
            update(message)
        }
        assertTrue(verifier.verify(signature))
        keys.delete("k1")
        keys.delete("k1")
        assertEquals(KeyProblem.MISSING, problem { keys.sign("k1", message) })
        assertEquals(KeyProblem.MISSING, problem { keys.publicKey("k1") })
    }

    @Test
    fun `it is in StrongBox where there is one`() {
        keyStore.hasStrongBox = true
        keys.create("k1")
        assertTrue(keyStore.strongBoxHas(keyStore.aliases.single()))
        keyStore.takeAway()
        keyStore.hasStrongBox = false
        keys.create("k2")
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()))
        keyStore.takeAway()
        keyStore.hasStrongBox = true
        KeystoreSigningKey(context, false, Patience {}).create("k3")
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()), "where the app does not want it")
        keyStore.takeAway()
        keyStore.strongBoxFails = true
        keys.create("k4")
        assertFalse(keyStore.strongBoxHas(keyStore.aliases.single()), "nor where it is faulty")
    }

    @Test
    fun `its failures are told by their reason, and what passes is tried again`() {
        val made = keys.create("k1")
        for (call in listOf({ keys.publicKey("k1") }, { keys.sign("k1", message) })) {
            keyStore.silences.set(1)
            assertTrue(call().isNotEmpty())
            keyStore.silences.set(100)
            assertEquals(KeyProblem.TRANSIENT, problem { call() }, "it could not be looked for")
            keyStore.silences.set(0)
        }
        assertContentEquals(made, keys.publicKey("k1"))
        var left = 2
        keyStore.at = { if (it == "find" && left-- > 0) throw ProviderException("busy") }
        keys.sign("k1", message)
        keyStore.at = { throw ProviderException("busy") }
        assertEquals(KeyProblem.TRANSIENT, problem { keys.sign("k1", message) })
        keyStore.at = { throw KeyPermanentlyInvalidatedException() }
        assertEquals(KeyProblem.DESTROYED, problem { keys.sign("k1", message) })
        keyStore.at = {}
        Shadows.shadowOf(context.getSystemService(UserManager::class.java)).setUserUnlocked(false)
        assertEquals(KeyProblem.LOCKED, problem { keys.sign("k1", message) })
    }
}
