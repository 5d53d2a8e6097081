package org.directauth

import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import okhttp3.Request
import org.directauth.okhttp.SignInAgainException
import org.directauth.okhttp.directAuth
import org.directauth.testing.Emulator
import org.directauth.testing.MemoryStorage
import org.junit.jupiter.api.Test

/** The adapter with the real library, at the emulator's protected resource. */
class OkHttpTest {
    private fun trustOf(emulator: Emulator): X509TrustManager {
        val keys = java.security.KeyStore.getInstance(java.security.KeyStore.getDefaultType()).apply { load(null, null) }
        val certificates = java.security.cert.CertificateFactory.getInstance("X.509")
        keys.setCertificateEntry("emulator", certificates.generateCertificate(emulator.caPem.byteInputStream()))
        val managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(keys) }
        return managers.trustManagers.filterIsInstance<X509TrustManager>().single()
    }

    @Test
    fun `a proof with the resource's own nonce, a revoked token, and the end of the session`() = runBlocking<Unit> {
        val emulator = RealEmulator.tenants.tenant()
        emulator.settings("""{"dpop_resource_nonce":true}""")
        val client = realClient(emulator) {
            dpop = DPoP.REQUIRED
            storage = MemoryStorage()
        }
        val session = (client.signIn(BEN).password(BENS_PASSWORD) as SignedIn).session
        val origin = emulator.resourceUrl.substringBefore("/api").substringBefore("/t/")
        val http = OkHttpClient.Builder()
            .sslSocketFactory(emulator.socketFactory, trustOf(emulator))
            .directAuth(origins = setOf(origin)) { session }
            .build()
        fun call() = http.newCall(Request.Builder().url(emulator.resourceUrl).build()).execute().use { it.code }
        fun asked() = emulator.journal().count { it.operation == "resource" }
        assertEquals(200, call())
        assertEquals(2, asked(), "the first has no nonce yet")
        assertEquals(200, call())
        assertEquals(3, asked(), "the next has it")
        session.signOut()
        assertFailsWith<java.io.IOException> { call() }
        assertEquals(3, asked())
        val nobody = http.newBuilder().apply { interceptors().clear(); networkInterceptors().clear() }.directAuth(setOf(origin)) { null }.build()
        assertFailsWith<SignInAgainException> { nobody.newCall(Request.Builder().url(emulator.resourceUrl).build()).execute() }
        client.close()
    }
}
