package org.directauth.testing

import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertSame
import kotlinx.coroutines.async
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.runCurrent
import kotlinx.coroutines.test.runTest
import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DeviceSignOut
import org.directauth.EnterCode
import org.directauth.NetworkProblem
import org.directauth.ServerSignOut
import org.directauth.SignOutResult
import org.directauth.SignedIn
import org.directauth.StorageProblem
import org.directauth.UsePasskey
import org.directauth.answer
import org.junit.jupiter.api.Test

/** What the fake shares with the real thing beyond its steps: who may act when, and how a sign-in and a session end. */
@OptIn(kotlinx.coroutines.ExperimentalCoroutinesApi::class)
class FakeTest {
    @Test
    fun `a step takes one action at a time, and none after it has succeeded`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenPush())
        val push = prompt(auth)
        auth.hold("approved")
        val waiting = async { push.approved() }
        runCurrent()
        assertFailsWith<AuthException.Busy> { push.resend() }
        auth.release()
        assertIs<SignedIn>(waiting.await())
        assertFailsWith<AuthException.Busy> { push.approved() }
    }

    @Test
    fun `a cancelled sign-in ends whoever waits in it`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenPush())
        val push = prompt(auth)
        val choice = checkNotNull(push.choice)
        auth.hold()
        val waiting = async { runCatching { push.approved() }.exceptionOrNull() }
        runCurrent()
        choice.cancel()
        assertIs<AuthException.Cancelled>(waiting.await())
        assertFailsWith<AuthException.Cancelled> { choice.push() }
        assertEquals(listOf("signIn.password", "choose.push"), auth.actions)
        assertEquals(AuthState.SignedOut, auth.state.value)
    }

    @Test
    fun `a cancelled caller leaves the step usable`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenPush())
        val push = prompt(auth)
        auth.hold("approved")
        val waiting = launch { push.approved() }
        runCurrent()
        waiting.cancel()
        waiting.join()
        auth.release()
        assertIs<SignedIn>(push.approved())
    }

    @Test
    fun `the fifth wrong code ends the step`() = runTest {
        val auth = FakeDirectAuth(Script.passwordThenSms())
        val choice = assertIs<ChooseFactor>(auth.signIn("ana@example.com").password("anything"))
        val enter = assertIs<EnterCode>(choice.sms())
        repeat(4) { assertFailsWith<AuthException.Rejected> { enter.submit("000000") } }
        assertFailsWith<AuthException.TooManyAttempts> { enter.submit("000000") }
        assertEquals(0, enter.attemptsLeft)
        assertFailsWith<AuthException.Busy> { enter.submit("123456") }
        assertEquals(AuthState.SignedOut, auth.state.value)
    }

    @Test
    fun `a prompt that was declined is not waited for again, and another factor is`() = runTest {
        val auth = FakeDirectAuth(Script.declinedPushThenSms())
        val push = prompt(auth)
        assertFailsWith<AuthException.Declined> { push.approved() }
        assertFailsWith<AuthException.Busy> { push.approved() }
        assertIs<SignedIn>(assertIs<EnterCode>(checkNotNull(push.choice).sms()).submit("123456"))
    }

    @Test
    fun `a challenge is answered once`() = runTest {
        val journey =
            """
            {"id":"x","calls":[
              {"sign_in":"ana","passkey":true,"gives":"UsePasskey"},
              {"answer":"refused","gives":"Rejected"},
              {"renew":true,"gives":"UsePasskey"},
              {"answer":"good","gives":"SignedIn"}]}
            """
        val auth = FakeDirectAuth(Script.of(journey))
        val asked = assertIs<UsePasskey>(auth.signIn("ana").passkey())
        assertFailsWith<AuthException.Rejected> { asked.answer("{}") }
        assertFailsWith<AuthException.Busy> { asked.answer("{}") }
        val next = assertIs<UsePasskey>(asked.renew())
        assertIs<SignedIn>(next.answer(FakePasskeys("https://localhost", "ana")))
    }

    @Test
    fun `a storage that cannot be read is an error, and not nobody`() = runTest {
        val auth = FakeDirectAuth(Script.password(), restored = FakeSession())
        auth.show(AuthState.Unavailable(StorageProblem.LOCKED))
        assertFailsWith<AuthException.StorageUnavailable> { auth.restore() }
        assertFailsWith<AuthException.StorageUnavailable> { auth.sessions() }
        assertFailsWith<AuthException.StorageUnavailable> { auth.signOut() }
        auth.show(AuthState.Restoring)
        val restoring = async { auth.restore() }
        runCurrent()
        val session = FakeSession()
        auth.show(AuthState.SignedIn(session))
        assertSame(session, restoring.await())
    }

    @Test
    fun `a sign-in replaces who was there`() = runTest {
        val auth = FakeDirectAuth(Script.password(), restored = FakeSession(username = "ben"))
        val ana = assertIs<SignedIn>(auth.signIn(" ana ").password("anything")).session
        val shown = assertIs<AuthState.SignedIn>(auth.state.value).session
        assertSame(shown, ana)
        assertEquals("ana", shown.username)
    }

    @Test
    fun `each sign-in is a session of its own`() = runTest {
        val session = FakeSession()
        val auth = FakeDirectAuth(Script.password() + Script.password(), session)
        val ana = assertIs<SignedIn>(auth.signIn("ana@acme.com").password("anything")).session
        val ben = assertIs<SignedIn>(auth.signIn("ben@acme.com").password("anything")).session
        assertSame(session, ana)
        assertEquals(listOf("ana@acme.com", "ben@acme.com"), listOf(ana.username, ben.username))
        assertNotEquals(ana.id, ben.id)
        assertEquals(AuthState.SignedIn(ben), auth.state.value)
    }

    @Test
    fun `a sign-out without a network is told later, and ends the session`() = runTest {
        val session = FakeSession()
        val auth = FakeDirectAuth(Script.password(), restored = session)
        session.problem = AuthException.Network(NetworkProblem.CONNECT, maybeSent = false)
        assertEquals(SignOutResult(ServerSignOut.PENDING, DeviceSignOut.DELETED), session.signOut())
        assertEquals(AuthState.SignedOut, auth.state.value)
        session.problem = null
        assertFailsWith<AuthException.SessionEnded> { session.accessToken() }
    }

    private suspend fun prompt(auth: FakeDirectAuth): ApproveOnDevice {
        val choice = assertIs<ChooseFactor>(auth.signIn("ana@example.com").password("anything"))
        return assertIs<ApproveOnDevice>(choice.push())
    }
}
