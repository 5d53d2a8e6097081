package org.directauth.testing

import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.runCurrent
import kotlinx.coroutines.test.runTest
import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DirectAuthClient
import org.directauth.EnterCode
import org.directauth.Remedy
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.StorageProblem
import org.junit.jupiter.api.Test

/** How an app is written with this, as the README shows it; and how it tests itself with the fake. */
@OptIn(kotlinx.coroutines.ExperimentalCoroutinesApi::class)
class SnippetsTest {
    data class Ui(val step: SignInStep? = null, val problem: AuthException? = null)

    class Model(private val auth: DirectAuthClient, private val scope: CoroutineScope) {
        val ui = MutableStateFlow(Ui())
        private var job: Job? = null

        fun password(u: String, p: String) = go { auth.signIn(u).password(p) }

        fun sms() = on<ChooseFactor> { it.sms() }

        fun push() = on<ChooseFactor> { it.push() }

        fun code(c: String) = on<EnterCode> { it.submit(c) }

        fun back() {
            job?.cancel()
            ui.value = Ui()
        }

        private inline fun <reified S : SignInStep> on(crossinline action: suspend (S) -> SignInStep) {
            val step = ui.value.step as? S ?: return
            go { action(step) }
        }

        private fun show(step: SignInStep) {
            ui.value = Ui(step)
        }

        private fun go(call: suspend () -> SignInStep) {
            job = scope.launch {
                try {
                    var step = call().also(::show)
                    while (step is ApproveOnDevice) step = step.approved().also(::show)
                } catch (e: AuthException) {
                    ui.update { it.copy(problem = e) }
                }
            }
        }
    }

    private fun screen(auth: DirectAuthClient): String =
        when (val s = auth.state.value) {
            AuthState.Restoring -> "splash"
            AuthState.SignedOut -> "sign in"
            is AuthState.SignedIn -> "home of ${s.session.username}"
            is AuthState.Unavailable -> if (s.reason.isTemporary) "locked" else "sign in, because ${s.reason}"
        }

    @Test
    fun `a wrong code leaves the step on screen usable`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenSms(code = "123456"))
        val model = Model(auth, this)
        assertEquals("sign in", screen(auth))
        model.password("ana@example.com", "anything")
        runCurrent()
        model.sms()
        runCurrent()
        model.code("000000")
        runCurrent()
        assertEquals(Remedy.AskAgain, assertIs<AuthException.Rejected>(model.ui.value.problem).remedy)
        assertEquals(4, assertIs<EnterCode>(model.ui.value.step).attemptsLeft)
        model.code("123456")
        runCurrent()
        assertIs<SignedIn>(model.ui.value.step)
        assertNull(model.ui.value.problem)
        assertEquals("home of ana@example.com", screen(auth))
        assertEquals(listOf("signIn.password", "choose.sms", "submit", "submit"), auth.actions)
        auth.signOut()
        assertEquals("sign in", screen(auth))
    }

    @Test
    fun `a push is waited for, and back leads to the beginning`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenPush())
        val model = Model(auth, this)
        model.password("ana@example.com", "anything")
        runCurrent()
        model.push()
        auth.hold("approved")
        runCurrent()
        // Nobody has answered yet.
        assertEquals("95", assertIs<ApproveOnDevice>(model.ui.value.step).number)
        model.back()
        auth.release()
        runCurrent()
        assertEquals(Ui(), model.ui.value)
        assertEquals("sign in", screen(auth))

        val other = FakeDirectAuth(Script.passwordThenPush())
        val patient = Model(other, this)
        patient.password("ana@example.com", "anything")
        runCurrent()
        patient.push()
        runCurrent()
        assertIs<SignedIn>(patient.ui.value.step)
    }

    @Test
    fun `an error before all others, and what the app does about it`() = runTest {
        val auth = FakeDirectAuth(Script.failing(AuthException.Server(503)) + Script.password())
        val model = Model(auth, this)
        model.password("ben@example.com", "anything")
        runCurrent()
        assertEquals(Remedy.Wait(null), model.ui.value.problem?.remedy)
        model.password("ben@example.com", "anything")
        runCurrent()
        assertIs<SignedIn>(model.ui.value.step)
    }

    @Test
    fun `the app's start by state`() = runTest {
        val auth = FakeDirectAuth(Script.password(), restored = FakeSession(username = "cleo@example.com"))
        assertEquals("home of cleo@example.com", screen(auth))
        auth.show(AuthState.Unavailable(StorageProblem.LOCKED))
        assertEquals("locked", screen(auth))
        auth.show(AuthState.Unavailable(StorageProblem.KEY_DESTROYED))
        assertEquals("sign in, because KEY_DESTROYED", screen(auth))
    }

    @Test
    fun `an action that the script does not have says what it has`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenSms())
        val choice = assertIs<ChooseFactor>(auth.signIn("ana@example.com").password("anything"))
        val problem = runCatching { choice.push() }.exceptionOrNull()
        assertEquals("the script goes on with choose.sms, and not with choose.push", assertIs<IllegalStateException>(problem).message)
    }
}
