package org.directauth.sample

import android.os.Bundle
import android.os.Parcel
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.directauth.android.FakeAndroidKeyStore
import org.directauth.testing.Emulator
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment

/** The app as a user sees it: the library that ships, its storage, and a real server. */
@RunWith(RobolectricTestRunner::class)
class JourneysTest {
    private val server: Emulator get() = TestApp.emulator

    @Before
    fun begin() {
        FakeAndroidKeyStore.begin()
        TestApp.emulator = SERVER.tenant()
    }

    @After
    fun end() = FakeAndroidKeyStore.end()

    private fun Phone.signIn(username: String, password: String) {
        until(R.string.sign_in)
        type(R.id.username, username)
        type(R.id.password, password)
        tap(R.string.sign_in)
    }

    @Test
    fun `a password is enough, and a rotation changes nothing`() {
        Phone().use { phone ->
            phone.until(R.string.sign_in)
            phone.picture("sign-in")
            phone.signIn(BEN, BENS_PASSWORD)
            phone.until("Hello, Ben Okafor")
            phone.picture("home")
            phone.tap(R.string.ask_resource)
            assertContains(phone.until("It answered"), BEN)
            phone.tap(R.string.refresh)
            phone.rotate()
            phone.until("Hello, Ben Okafor")
            assertContains(phone.until("It answered"), BEN)
        }
    }

    @Test
    fun `a wrong password is told, and is gone from its field`() {
        Phone().use { phone ->
            phone.signIn(BEN, "wrong")
            phone.until(R.string.problem_ask_again)
            phone.picture("sign-in-refused")
            assertEquals("", phone.textOf(R.id.password))
            assertEquals(BEN, phone.textOf(R.id.username))
        }
    }

    @Test
    fun `a second factor by text message`() {
        Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.until(R.string.choose_factor)
            phone.picture("choose")
            phone.tap(R.string.factor_sms)
            phone.until(R.string.code_from_sms)
            phone.picture("code")
            phone.type(R.id.code, server.lastCode(ANA)!!)
            phone.tap(R.string.go_on)
            phone.until("Hello, Ana Ibarra")
        }
    }

    @Test
    fun `a wrong code is told, and the next one is tried on the same step`() {
        Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.tap(R.string.factor_otp)
            phone.type(R.id.code, server.wrongTotp(ANA))
            phone.tap(R.string.go_on)
            phone.until(R.string.problem_ask_again)
            phone.type(R.id.code, server.totp(ANA))
            phone.tap(R.string.go_on)
            phone.until("Hello, Ana Ibarra")
        }
    }

    @Test
    fun `a push with its number, large`() {
        Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.tap(R.string.factor_push)
            phone.until(R.string.push_number)
            val prompt = server.prompts().single()
            assertEquals(prompt.number, phone.textOf(R.id.number))
            phone.picture("push")
            server.approve(prompt)
            phone.until("Hello, Ana Ibarra")
        }
    }

    @Test
    fun `a declined push leads to another way`() {
        Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.tap(R.string.factor_push)
            phone.until(R.string.push_number)
            server.deny(server.prompts().single())
            phone.until(R.string.problem_declined)
            phone.picture("declined")
            phone.tap(R.string.factor_otp)
            phone.until(R.string.code_from_app)
        }
    }

    @Test
    fun `without a password`() {
        Phone().use { phone ->
            phone.until(R.string.sign_in)
            phone.type(R.id.username, BEN)
            phone.tap(R.string.factor_otp)
            phone.type(R.id.code, server.totp(BEN))
            phone.tap(R.string.go_on)
            phone.until("Hello, Ben Okafor")
        }
    }

    @Test
    fun `two accounts, and each is signed out by itself`() {
        Phone().use { phone ->
            phone.signIn(BEN, BENS_PASSWORD)
            phone.tap(R.string.accounts)
            phone.tap(R.string.add_account)
            phone.type(R.id.username, ANA)
            phone.type(R.id.password, ANAS_PASSWORD)
            phone.tap(R.string.sign_in)
            phone.tap(R.string.factor_otp)
            phone.type(R.id.code, server.totp(ANA))
            phone.tap(R.string.go_on)
            phone.until("Hello, Ana Ibarra")
            phone.tap(R.string.accounts)
            phone.until(BEN)
            phone.picture("accounts")
            phone.tap(BEN)
            phone.until("Hello, Ben Okafor")
            phone.tap(R.string.sign_out)
            phone.until("Hello, Ana Ibarra")
            phone.tap(R.string.sign_out)
            phone.until(R.string.without_password)
            assertEquals(0, server.liveGrants)
        }
    }

    @Test
    fun `a step-up shows more in the same session`() {
        Phone().use { phone ->
            phone.signIn(BEN, BENS_PASSWORD)
            phone.tap(R.string.step_up)
            phone.until(R.string.sign_in_again)
            phone.picture("step-up")
            phone.type(R.id.password, BENS_PASSWORD)
            phone.tap(R.string.sign_in)
            phone.tap(R.string.factor_otp)
            phone.type(R.id.code, server.totp(BEN))
            phone.tap(R.string.go_on)
            assertContains(phone.until("amr: "), "otp")
        }
    }

    @Test
    fun `who is signed out by the server is told so`() {
        Phone().use { phone ->
            phone.signIn(BEN, BENS_PASSWORD)
            phone.until("Hello, Ben Okafor")
            server.revokeEverything()
            phone.tap(R.string.refresh)
            phone.until(R.string.without_password)
            phone.until(R.string.problem_ended)
        }
    }

    @Test
    fun `a sign-in that died with the process starts over with a clear word, and without a password`() {
        val saved = Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.until(R.string.choose_factor)
            phone.saved()
        }
        assertTrue(saved.getBoolean("signing_in"))
        // In a new process everything but that is new.
        (RuntimeEnvironment.getApplication() as TestApp).startAnew()
        Phone(saved).use { phone ->
            phone.until(R.string.problem_interrupted)
            phone.picture("interrupted")
            assertEquals("", phone.textOf(R.id.password))
        }
    }

    @Test
    fun `what is typed stays over a rotation, and a password is in no saved state`() {
        Phone().use { phone ->
            phone.until(R.string.without_password)
            phone.type(R.id.username, ANA)
            phone.type(R.id.password, ANAS_PASSWORD)
            val saved = phone.saved()
            assertTrue(saved.holds(ANA), "what is kept can be found")
            assertFalse(saved.holds(ANAS_PASSWORD))
            phone.rotate()
            assertEquals(ANA, phone.textOf(R.id.username))
            assertEquals("", phone.textOf(R.id.password))
        }
    }

    @Test
    fun `another push that the server does not give leaves the first one waiting`() {
        Phone().use { phone ->
            phone.signIn(ANA, ANAS_PASSWORD)
            phone.tap(R.string.factor_push)
            phone.until(R.string.push_number)
            phone.tap(R.string.resend)
            phone.until("Too many requests")
            server.approve(server.prompts().first())
            phone.until("Hello, Ana Ibarra")
        }
    }

    /** Whether a text is in what the system would write down, in either of the ways that Android writes texts. */
    private fun Bundle.holds(text: String): Boolean {
        val parcel = Parcel.obtain()
        parcel.writeBundle(this)
        val written = parcel.marshall().toString(Charsets.ISO_8859_1)
        parcel.recycle()
        return listOf(Charsets.UTF_16LE, Charsets.UTF_8).any { String(text.toByteArray(it), Charsets.ISO_8859_1) in written }
    }

    @Test
    fun `a session is there in the next process`() {
        Phone().use { phone ->
            phone.signIn(BEN, BENS_PASSWORD)
            phone.until("Hello, Ben Okafor")
        }
        (RuntimeEnvironment.getApplication() as TestApp).startAnew()
        Phone().use { phone -> phone.until("Hello, Ben Okafor") }
    }

    private companion object {
        const val ANA = "ana@example.com"
        const val ANAS_PASSWORD = "correct horse battery"
        const val BEN = "ben@example.com"
        const val BENS_PASSWORD = "tr0ub4dor&3"
        val SERVER: Emulator by lazy { Emulator.start() }
    }
}
