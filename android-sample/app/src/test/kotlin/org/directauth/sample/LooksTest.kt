package org.directauth.sample

import org.directauth.android.FakeAndroidKeyStore
import org.directauth.testing.Emulator
import org.junit.After
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** The screens in other clothes: pictures for somebody to look at, and that nothing falls over. */
@RunWith(RobolectricTestRunner::class)
class LooksTest {
    @Before
    fun begin() {
        FakeAndroidKeyStore.begin()
        TestApp.emulator = SERVER.tenant()
    }

    @After
    fun end() = FakeAndroidKeyStore.end()

    private fun walk(suffix: String) {
        Phone().use { phone ->
            phone.until(R.string.without_password)
            phone.picture("sign-in-$suffix")
            phone.type(R.id.username, "ana@example.com")
            phone.type(R.id.password, "wrong")
            phone.tap(R.string.sign_in)
            phone.until(R.string.problem_ask_again)
            phone.picture("sign-in-refused-$suffix")
            phone.type(R.id.password, "correct horse battery")
            phone.tap(R.string.sign_in)
            phone.until(R.string.choose_factor)
            phone.picture("choose-$suffix")
            phone.tap(R.string.factor_push)
            phone.until(R.string.push_number)
            phone.picture("push-$suffix")
            phone.tap(R.string.another_way)
            phone.tap(R.string.factor_otp)
            phone.until(R.string.code_from_app)
            phone.picture("code-$suffix")
            phone.type(R.id.code, TestApp.emulator.totp("ana@example.com"))
            phone.tap(R.string.go_on)
            phone.until(R.string.ask_resource)
            phone.picture("home-$suffix")
            phone.tap(R.string.accounts)
            phone.until(R.string.add_account)
            phone.picture("accounts-$suffix")
        }
    }

    @Test
    @Config(qualifiers = "+night")
    fun `in the dark`() = walk("dark")

    @Test
    fun `in large letters`() {
        RuntimeEnvironment.setFontScale(2.0f)
        walk("large")
    }

    @Test
    @Config(qualifiers = "+de")
    fun `in German`() = walk("german")

    private companion object {
        val SERVER: Emulator by lazy { Emulator.start() }
    }
}
