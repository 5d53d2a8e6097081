package org.directauth.sample

import java.io.IOException
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import org.directauth.Advice
import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DirectAuthClient
import org.directauth.EnterCode
import org.directauth.Factor
import org.directauth.FactorChoice
import org.directauth.PasskeyCeremony
import org.directauth.Remedy
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.UsePasskey
import org.directauth.answer

/**
 * What the app shows, and what it does about what the user does. It lives as long as the process, so that a rotation changes nothing;
 * it has no Android in it, so that it runs in a unit test.
 *
 * All of it happens on [scope]'s one thread. One thing is under way at a time, and [back] gives it up.
 */
class AppModel(private val auth: DirectAuthClient, private val resource: Resource, private val scope: CoroutineScope) {
    private val state = MutableStateFlow(Shown(Screen.Starting))

    /** What is shown. */
    val shown: StateFlow<Shown> = state.asStateFlow()

    /** The platform's passkeys, as long as a window is there to ask in; null where apps have none. */
    var passkeys: PasskeyCeremony? = null

    /** Whether a sign-in would be lost if the process ended now. */
    val isSigningIn: Boolean get() = state.value.screen.let { it is Screen.Choose || it is Screen.Code || it is Screen.Push || it is Screen.Passkey }

    /** Whether there is anything to go back from. */
    val canGoBack: Boolean
        get() = when (val here = state.value.screen) {
            is Screen.SignIn -> state.value.isBusy || here.isStepUp || here.isAnother
            is Screen.Accounts -> true
            else -> isSigningIn
        }

    /** Nothing may take the user's place in the middle of it. */
    private val isAsking: Boolean
        get() = isSigningIn || (state.value.screen as? Screen.SignIn)?.let { state.value.isBusy || it.isStepUp || it.isAnother } == true

    private var work: Job? = null
    private var turns = 0
    private var isStarted = false
    private var session: AuthSession? = null

    /** The step that the server is at, and its choice of another way. */
    private var step: SignInStep? = null

    /** The sign-in of who is signed in already, for a step-up. */
    private var steppingUp: SignIn? = null

    /** Where a typed code goes. */
    private var codeTo: (suspend (String) -> SignInStep)? = null

    /**
     * Shows who is signed in. To be called whenever there is a window; only the first call of a process does something.
     *
     * @param wasInterrupted the system ended the app during a sign-in, of which nothing is left
     */
    fun start(wasInterrupted: Boolean) {
        if (isStarted) return
        isStarted = true
        var problem: Problem? = if (wasInterrupted) Problem.Interrupted else null
        scope.launch {
            auth.state.collect { now ->
                when (now) {
                    AuthState.Restoring -> if (session == null && !isAsking) show(Screen.Starting)
                    is AuthState.Unavailable -> if (!isAsking) show(Screen.Unavailable(now.reason))
                    // Also what was complete before the user gave it up.
                    is AuthState.SignedIn -> if (isAsking) session = now.session else home(now.session, problem = problem)
                    AuthState.SignedOut -> {
                        val ended = Problem.Ended.takeIf { session != null }
                        session = null
                        if (!isAsking && state.value.screen !is Screen.SignIn) show(Screen.SignIn(), ended ?: problem)
                    }
                }
                if (now is AuthState.SignedIn || now == AuthState.SignedOut) problem = null
            }
        }
    }

    // --- signing in

    /** The user is typing: the server is looked up meanwhile. */
    fun isTyping() {
        scope.launch { runCatching { auth.warmUp() } }
    }

    fun signIn(username: String, password: String) = follow(username) { auth.signIn(username).password(password) }

    /** Without a password. */
    fun signInBy(factor: Factor, username: String) {
        val signIn = auth.signIn(username)
        if (factor == Factor.OTP) askForCode(signIn) else follow(username) { signIn.begin(factor) }
    }

    /** A passkey that says itself whose it is. */
    fun signInWithPasskey() {
        if (passkeys == null) problem(Problem.NoPasskeys) else follow("") { auth.signInWithPasskey() }
    }

    fun choose(factor: Factor) {
        val choice = step as? ChooseFactor ?: return
        when {
            factor == Factor.OTP -> askForCode(choice)
            factor == Factor.PASSKEY && passkeys == null -> problem(Problem.NoPasskeys)
            else -> follow { choice.begin(factor) }
        }
    }

    fun submit(code: String) {
        val to = codeTo ?: return
        follow { to(code) }
    }

    fun resend() {
        when (val here = step) {
            is EnterCode -> follow { here.resend() }
            is ApproveOnDevice -> resend(here)
            is UsePasskey -> follow { here.renew() }
            else -> Unit
        }
    }

    /** Another push. If the server gives none, the one that is there goes on waiting for its answer. */
    private fun resend(push: ApproveOnDevice) {
        giveUp()
        work = busy {
            try {
                val next = try {
                    patiently { push.resend() }
                } catch (error: AuthException) {
                    if (error.remedy !is Remedy.Wait && error.remedy != Remedy.CheckConnection) throw error
                    return@busy show(push, Problem.Failed(error))
                }
                show(next)
            } catch (error: AuthException) {
                refused(error, null)
            }
        }
    }

    /** What was given up before may still be on its way: then the library is busy for a moment. */
    private suspend fun <T> patiently(act: suspend () -> T): T {
        repeat(PATIENCE) {
            try {
                return act()
            } catch (_: AuthException.Busy) {
                delay(MOMENT)
            }
        }
        return act()
    }

    /** Another way to show who one is. */
    fun chooseAnother() {
        val choice = step.choice() ?: return back()
        giveUp()
        scope.launch { show(choice) }
    }

    /** Gives up what is under way: nothing more is sent. */
    fun back() {
        giveUp()
        forgetSignIn()
        val known = session
        when (state.value.screen) {
            is Screen.Accounts -> known?.let(::home)
            else -> if (known == null) show(Screen.SignIn()) else home(known)
        }
    }

    private suspend fun FactorChoice.begin(factor: Factor): SignInStep =
        when (factor) {
            Factor.PUSH -> push()
            Factor.SMS -> sms()
            Factor.VOICE -> voice()
            Factor.EMAIL -> email()
            Factor.PASSKEY -> passkey()
            Factor.OTP -> error("a code is typed first")
        }

    private fun askForCode(to: FactorChoice) {
        codeTo = { code -> to.otp(code) }
        show(Screen.Code(Factor.OTP, canResend = false, resendAt = null, expiresAt = null, canChooseAnother = to is ChooseFactor))
    }

    /** Does one thing of a sign-in, and shows where it leads. */
    private fun follow(username: String? = null, act: suspend () -> SignInStep) {
        if (work?.isActive == true) return
        work = busy {
            try {
                show(patiently(act))
            } catch (error: AuthException) {
                refused(error, username)
            }
        }
    }

    private suspend fun show(next: SignInStep, problem: Problem? = null) {
        step = next
        codeTo = null
        when (next) {
            is SignedIn -> {
                forgetSignIn()
                home(next.session)
            }
            is ChooseFactor -> show(Screen.Choose(next.factors))
            is EnterCode -> {
                codeTo = next::submit
                show(Screen.Code(next.channel, canResend = true, next.resendAt, next.expiresAt, next.choice != null))
            }
            is ApproveOnDevice -> {
                show(Screen.Push(next.number, next.expiresAt, next.choice != null), problem)
                show(next.approved())
            }
            is UsePasskey -> {
                show(Screen.Passkey(next.choice != null))
                // Dismissed or failed on the device, the step stays: the user may try again, or choose another way.
                val ceremony = passkeys ?: return problem(Problem.NoPasskeys)
                val answer = try {
                    ceremony.get(next.requestJson)
                } catch (error: CancellationException) {
                    throw error
                } catch (_: Exception) {
                    return
                }
                show(next.answer(answer))
            }
            else -> back()
        }
    }

    /** After an error the step in hand stays usable; its remedy says whether to ask again, or where else to go. */
    private suspend fun refused(error: AuthException, username: String?) {
        val problem = Problem.Failed(error)
        when (error.remedy) {
            Remedy.Ignore -> if (error is AuthException.Busy) problem(problem)
            is Remedy.Unlock -> problem(problem)
            is Remedy.AskAgain, is Remedy.Wait, is Remedy.CheckConnection -> {
                username?.let { typed -> state.update { if (it.screen is Screen.SignIn) it.copy(screen = it.screen.copy(username = typed)) else it } }
                problem(problem)
            }
            else -> {
                val choice = step.choice()?.takeIf { error.remedy != Remedy.SignInAgain && it.factors.isNotEmpty() }
                if (choice != null) {
                    show(choice)
                } else {
                    forgetSignIn()
                    session?.let(::home) ?: show(Screen.SignIn(username.orEmpty()))
                }
                problem(problem)
            }
        }
    }

    private fun SignInStep?.choice(): ChooseFactor? =
        when (this) {
            is ChooseFactor -> this
            is EnterCode -> choice
            is ApproveOnDevice -> choice
            is UsePasskey -> choice
            else -> null
        }

    private fun forgetSignIn() {
        when (val here = step) {
            is ChooseFactor -> here.cancel()
            is EnterCode -> here.cancel()
            is ApproveOnDevice -> here.cancel()
            is UsePasskey -> here.cancel()
            else -> Unit
        }
        step = null
        codeTo = null
    }

    // --- signed in

    fun refresh() = withSession { it.refresh() }

    /** Asks the protected resource; if it wants more, the user shows more, and may ask again. */
    fun askResource() = withSession { session ->
        when (val answer = resource.ask(session)) {
            is ResourceAnswer.Text -> home(session, answer.text)
            is ResourceAnswer.Refused -> problem(Problem.Resource(answer.status))
            ResourceAnswer.SignInAgain -> show(Screen.SignIn(session.username), Problem.SignInAgain)
            is ResourceAnswer.StepUp -> stepUp(session, answer.advice)
        }
    }

    /** The user shows a second factor, whatever the session has shown so far. */
    fun stepUp() {
        val here = session ?: return
        scope.launch { stepUp(here, Advice.StepUp(listOf(TWO_FACTORS), null)) }
    }

    private fun stepUp(session: AuthSession, wanted: Advice.StepUp) {
        steppingUp = session.stepUp(wanted.acrValues, wanted.maxAge)
        show(Screen.SignIn(session.username, isStepUp = true))
    }

    /** The password of who is signed in, for a step-up. */
    fun stepUpBy(password: String) {
        val signIn = steppingUp ?: return
        follow { signIn.password(password) }
    }

    fun signOut() {
        if (work?.isActive == true) return
        val here = session
        work = busy {
            try {
                // It is the user's doing: nobody has to be told that it ended.
                session = null
                auth.signOut()
                auth.restore()?.let(::home) ?: show(Screen.SignIn())
            } catch (error: AuthException) {
                session = session ?: here
                problem(Problem.Failed(error))
            }
        }
    }

    /** Everybody who is signed in. */
    fun accounts() = withSession { show(Screen.Accounts(auth.sessions())) }

    fun switchTo(id: String) = withSession { home(auth.setDefault(id)) }

    /** One more, beside those who are signed in. */
    fun addAccount() {
        if (work?.isActive != true) show(Screen.SignIn(isAnother = true))
    }

    // --- the storage

    /** Looks again whether the storage can be read. */
    fun lookAgain() = auth.notifyForeground()

    /** Gives up what can never be read again, and lets the user sign in. */
    fun discard() {
        if (work?.isActive == true) return
        work = busy {
            try {
                auth.discardUnreadable()
                auth.restore()?.let(::home) ?: show(Screen.SignIn())
            } catch (error: AuthException) {
                problem(Problem.Failed(error))
            }
        }
    }

    private fun withSession(act: suspend (AuthSession) -> Unit) {
        val here = session ?: return
        if (work?.isActive == true) return
        work = busy {
            try {
                act(here)
                // A refresh on the way has changed what is known.
                val home = state.value.screen as? Screen.Home
                if (session === here && home != null && state.value.problem == null) home(here, home.answer)
            } catch (_: AuthException.SessionEnded) {
                problem(Problem.Ended)
            } catch (_: AuthException.ReauthRequired) {
                show(Screen.SignIn(here.username), Problem.SignInAgain)
            } catch (error: AuthException) {
                problem(Problem.Failed(error))
            } catch (_: IOException) {
                problem(Problem.Resource(null))
            }
        }
    }

    private fun home(session: AuthSession) = home(session, answer = null)

    private fun home(session: AuthSession, answer: String? = null, problem: Problem? = null) {
        this.session = session
        val claims = session.claims
        val shown = listOf("sub", "name", "preferred_username", "email", "acr").mapNotNull { name -> claims?.text(name)?.let { name to it } }
        val methods = claims?.texts("amr").orEmpty()
        show(
            Screen.Home(
                name = claims?.text("name") ?: session.username,
                username = session.username,
                claims = if (methods.isEmpty()) shown else shown + ("amr" to methods.joinToString(" ")),
                scopes = session.grantedScopes,
                expiresAt = session.expiresAt,
                canRefresh = session.canRefresh,
                isPersisted = session.isPersisted,
                answer = answer,
            ),
            problem,
        )
    }

    /** What is done last is what counts: something that was given up changes nothing any more. */
    private fun busy(act: suspend () -> Unit): Job {
        val turn = ++turns
        state.update { it.copy(isBusy = true, problem = null) }
        return scope.launch {
            try {
                act()
            } finally {
                if (turn == turns) state.update { it.copy(isBusy = false) }
            }
        }
    }

    private fun giveUp() {
        turns += 1
        work?.cancel()
        state.update { it.copy(isBusy = false) }
    }

    private fun show(screen: Screen, problem: Problem? = null) = state.update { Shown(screen, it.isBusy && screen !is Screen.Push, problem) }

    private fun problem(problem: Problem) = state.update { it.copy(problem = problem) }

    private companion object {
        const val PATIENCE = 50
        val MOMENT = 100.milliseconds
        const val TWO_FACTORS = "urn:okta:loa:2fa:any"
    }
}
