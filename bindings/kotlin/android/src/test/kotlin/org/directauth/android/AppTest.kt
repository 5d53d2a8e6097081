package org.directauth.android

import android.app.Activity
import android.app.Application
import android.content.Intent
import android.credentials.CredentialOption
import android.util.Log
import java.net.InetSocketAddress
import java.net.ProxySelector
import java.net.SocketAddress
import java.net.URI
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.directauth.DirectAuthClient
import org.directauth.LogLevel
import org.directauth.Proxy
import org.directauth.testing.FakeDirectAuth
import org.directauth.testing.Script
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowLog

/** What an app joins to its client. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], manifest = Config.NONE)
class AppTest {
    private val application: Application get() = RuntimeEnvironment.getApplication()

    private class Counting(client: DirectAuthClient) : DirectAuthClient by client {
        var times = 0

        override fun notifyForeground() {
            times++
        }
    }

    @Test
    fun `a client hears of the foreground once for all activities, and of the device's unlocking`() {
        val client = Counting(FakeDirectAuth(Script.password()))
        val following = client.followApp(application)
        val first = Robolectric.buildActivity(Activity::class.java).create().start()
        val second = Robolectric.buildActivity(Activity::class.java).create().start()
        assertEquals(1, client.times)
        first.stop()
        second.stop()
        second.start()
        assertEquals(2, client.times)
        application.sendBroadcast(Intent(Intent.ACTION_USER_UNLOCKED))
        application.sendBroadcast(Intent(Intent.ACTION_USER_PRESENT))
        org.robolectric.shadows.ShadowLooper.idleMainLooper()
        assertEquals(4, client.times)
        following.close()
        following.close()
        second.stop()
        second.start()
        application.sendBroadcast(Intent(Intent.ACTION_USER_UNLOCKED))
        org.robolectric.shadows.ShadowLooper.idleMainLooper()
        assertEquals(4, client.times)
    }

    @Test
    fun `log lines go to the system's log`() {
        for (level in LogLevel.entries) AndroidLogSink("tag").log(level, "line $level")
        val logged = ShadowLog.getLogsForTag("tag").map { it.type to it.msg }
        val expected = listOf(Log.ERROR to "line ERROR", Log.WARN to "line WARN", Log.INFO to "line INFO", Log.DEBUG to "line DEBUG")
        assertEquals(expected, logged)
    }

    @Test
    fun `the device's proxy is found for the issuer`() {
        val before = ProxySelector.getDefault()
        try {
            ProxySelector.setDefault(object : ProxySelector() {
                override fun select(uri: URI): List<java.net.Proxy> =
                    when (uri.host) {
                        "near.example" -> listOf(java.net.Proxy.NO_PROXY)
                        "v6.example" -> listOf(http("fd00::1"))
                        "first.example" -> listOf(java.net.Proxy.NO_PROXY, http("proxy.example"))
                        else -> listOf(java.net.Proxy(java.net.Proxy.Type.SOCKS, InetSocketAddress.createUnresolved("s.example", 1)), http("proxy.example"))
                    }

                private fun http(host: String) = java.net.Proxy(java.net.Proxy.Type.HTTP, InetSocketAddress.createUnresolved(host, 3128))

                override fun connectFailed(uri: URI, address: SocketAddress, e: java.io.IOException) = Unit
            })
            assertEquals("http://proxy.example:3128", assertIs<Proxy.Http>(systemProxy("https://acme.okta.com/oauth2/default")).url)
            assertNull(systemProxy("https://near.example"))
            assertEquals("http://[fd00::1]:3128", assertIs<Proxy.Http>(systemProxy("https://v6.example")).url)
            assertNull(systemProxy("https://first.example"), "the first way is the one")
            assertNull(systemProxy("no address"))
            assertNull(systemProxy("https://"))
        } finally {
            ProxySelector.setDefault(before)
        }
    }

    @Test
    fun `a passkey is asked for as providers understand it`() {
        assertTrue(SystemPasskeys.isSupported)
        val option: CredentialOption = SystemPasskeys.option("""{"challenge":"x"}""")
        assertEquals("androidx.credentials.TYPE_PUBLIC_KEY_CREDENTIAL", option.type)
        for (data in listOf(option.credentialRetrievalData, option.candidateQueryData)) {
            assertEquals("""{"challenge":"x"}""", data.getString("androidx.credentials.BUNDLE_KEY_REQUEST_JSON"))
        }
    }
}
