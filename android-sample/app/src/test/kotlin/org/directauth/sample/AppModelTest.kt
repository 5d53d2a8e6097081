package org.directauth.sample

import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.TestScope
import kotlinx.coroutines.test.UnconfinedTestDispatcher
import kotlinx.coroutines.test.advanceUntilIdle
import kotlinx.coroutines.test.runTest
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.Factor
import org.directauth.NetworkProblem
import org.directauth.Remedy
import org.directauth.StorageProblem
import org.directauth.testing.FakeDirectAuth
import org.directauth.testing.FakeSession
import org.directauth.testing.Script
import org.junit.jupiter.api.Test

/** What the app shows for what the library says, on the fake: no native code, no server, no Android. */
@OptIn(ExperimentalCoroutinesApi::class)
class AppModelTest {
    private val nothing = object : Resource {
        override suspend fun ask(session: AuthSession): ResourceAnswer = ResourceAnswer.Text("me")
    }

    private fun app(fake: FakeDirectAuth, resource: Resource = nothing, wasInterrupted: Boolean = false, act: TestScope.(AppModel) -> Unit) =
        runTest(UnconfinedTestDispatcher()) {
            val model = AppModel(fake, resource, backgroundScope)
            model.start(wasInterrupted)
            advanceUntilIdle()
            act(model)
        }

    private val AppModel.screen: Screen get() = shown.value.screen

    private inline fun <reified E : AuthException> AppModel.assertFailed(): E = assertIs<E>(assertIs<Problem.Failed>(shown.value.problem).error)

    @Test
    fun `a password is enough`() = app(FakeDirectAuth(Script.password())) { model ->
        assertIs<Screen.SignIn>(model.screen)
        model.signIn("ana@example.com", "correct horse battery")
        advanceUntilIdle()
        assertIs<Screen.Home>(model.screen)
        assertTrue(!model.shown.value.isBusy && model.shown.value.problem == null)
    }

    @Test
    fun `a code by text message, wrong once`() = app(FakeDirectAuth(Script.passwordThenSms(code = "123456"))) { model ->
        model.signIn("ana@example.com", "correct horse battery")
        advanceUntilIdle()
        assertTrue(Factor.SMS in assertIs<Screen.Choose>(model.screen).factors)
        model.choose(Factor.SMS)
        advanceUntilIdle()
        assertEquals(Factor.SMS, assertIs<Screen.Code>(model.screen).way)
        model.submit("000000")
        advanceUntilIdle()
        assertIs<Screen.Code>(model.screen)
        assertEquals(Remedy.AskAgain, model.assertFailed<AuthException.Rejected>().remedy)
        model.submit("123456")
        advanceUntilIdle()
        assertIs<Screen.Home>(model.screen)
    }

    @Test
    fun `an authenticator code is typed before anything is sent`() {
        val fake = FakeDirectAuth(Script.passwordThenOtp(code = "123456"))
        app(fake) { model ->
            model.signIn("ana@example.com", "correct horse battery")
            advanceUntilIdle()
            val before = fake.actions
            model.choose(Factor.OTP)
            assertEquals(Screen.Code(Factor.OTP, canResend = false, null, null, canChooseAnother = true), model.screen)
            assertEquals(before, fake.actions)
            model.submit("123456")
            advanceUntilIdle()
            assertIs<Screen.Home>(model.screen)
        }
    }

    @Test
    fun `a push shows its number, and can be given up`() {
        val fake = FakeDirectAuth(Script.passwordThenPush())
        fake.hold("approved")
        app(fake) { model ->
            model.signIn("ana@example.com", "correct horse battery")
            advanceUntilIdle()
            model.choose(Factor.PUSH)
            advanceUntilIdle()
            val push = assertIs<Screen.Push>(model.screen)
            assertTrue(push.number!!.isNotEmpty() && !model.shown.value.isBusy && model.isSigningIn)
            model.back()
            assertIs<Screen.SignIn>(model.screen)
            fake.release()
            advanceUntilIdle()
            assertIs<Screen.SignIn>(model.screen, "what comes later changes nothing")
        }
    }

    @Test
    fun `after a declined push there is another way`() = app(FakeDirectAuth(Script.declinedPushThenSms(code = "123456"))) { model ->
        model.signIn("ana@example.com", "correct horse battery")
        advanceUntilIdle()
        model.choose(Factor.PUSH)
        advanceUntilIdle()
        model.assertFailed<AuthException.Declined>()
        assertTrue(Factor.SMS in assertIs<Screen.Choose>(model.screen).factors)
        model.choose(Factor.SMS)
        advanceUntilIdle()
        assertNull(model.shown.value.problem, "it is over")
        model.submit("123456")
        advanceUntilIdle()
        assertIs<Screen.Home>(model.screen)
    }

    @Test
    fun `without a connection the user name stays, and a second try is one`() {
        val offline = AuthException.Network(NetworkProblem.CONNECT, maybeSent = false)
        val fake = FakeDirectAuth(Script.failing(offline) + Script.password())
        app(fake) { model ->
            model.signIn("ana@example.com", "correct horse battery")
            advanceUntilIdle()
            assertEquals(Screen.SignIn("ana@example.com"), model.screen)
            assertEquals(Remedy.CheckConnection, model.assertFailed<AuthException.Network>().remedy)
            model.signIn("ana@example.com", "correct horse battery")
            advanceUntilIdle()
            assertIs<Screen.Home>(model.screen)
        }
    }

    @Test
    fun `two taps are one sign-in`() {
        val fake = FakeDirectAuth(Script.password())
        fake.hold()
        app(fake) { model ->
            model.signIn("ana@example.com", "correct horse battery")
            model.signIn("ana@example.com", "correct horse battery")
            assertTrue(model.shown.value.isBusy)
            fake.release()
            advanceUntilIdle()
            assertEquals(1, fake.actions.count { it == "signIn.password" })
        }
    }

    @Test
    fun `who was signed in is there at the start, and is told when that ends`() {
        val fake = FakeDirectAuth(Script.password(), restored = FakeSession())
        app(fake) { model ->
            assertIs<Screen.Home>(model.screen)
            fake.show(AuthState.SignedOut)
            advanceUntilIdle()
            assertIs<Screen.SignIn>(model.screen)
            assertEquals(Problem.Ended, model.shown.value.problem)
        }
    }

    @Test
    fun `a sign-in that died with the process is told`() = app(FakeDirectAuth(Script.password()), wasInterrupted = true) { model ->
        assertIs<Screen.SignIn>(model.screen)
        assertEquals(Problem.Interrupted, model.shown.value.problem)
    }

    @Test
    fun `an unreadable storage is not signed out`() {
        val fake = FakeDirectAuth(Script.password(), restored = FakeSession())
        fake.show(AuthState.Unavailable(StorageProblem.LOCKED))
        app(fake) { model ->
            assertEquals(Screen.Unavailable(StorageProblem.LOCKED), model.screen)
            fake.show(AuthState.SignedIn(FakeSession()))
            advanceUntilIdle()
            assertIs<Screen.Home>(model.screen)
        }
    }

    @Test
    fun `the resource's answer is shown, and its refusal`() {
        val answers = ArrayDeque(listOf(ResourceAnswer.Text("me"), ResourceAnswer.Refused(403)))
        val resource = object : Resource {
            override suspend fun ask(session: AuthSession): ResourceAnswer = answers.removeFirst()
        }
        app(FakeDirectAuth(Script.password(), restored = FakeSession()), resource) { model ->
            model.askResource()
            advanceUntilIdle()
            assertEquals("me", assertIs<Screen.Home>(model.screen).answer)
            model.askResource()
            advanceUntilIdle()
            assertEquals(Problem.Resource(403), model.shown.value.problem)
        }
    }

    @Test
    fun `signing out leads to the sign-in, without a complaint`() = app(FakeDirectAuth(Script.password(), restored = FakeSession())) { model ->
        val problems = mutableListOf<Problem?>()
        backgroundScope.launch { model.shown.collect { problems += it.problem } }
        model.signOut()
        advanceUntilIdle()
        assertEquals(setOf<Problem?>(null), problems.toSet(), "at no moment")
        assertIs<Screen.SignIn>(model.screen)
        assertNull(model.shown.value.problem)
    }
}
