package org.directauth.internal

import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicReference
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.directauth.AuditEvent
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.DirectAuthClient
import org.directauth.Recovery
import org.directauth.SessionInfo
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignOutResult
import org.directauth.ffi.ClientSetup
import org.directauth.ffi.Disposable
import org.directauth.ffi.AuthSession as CoreAuthSession
import org.directauth.ffi.AuthState as CoreState
import org.directauth.ffi.DirectAuthClient as Core
import org.directauth.ffi.SignInStep as CoreStep

/** A client of the core, which is built when it is first needed. */
@OptIn(ExperimentalCoroutinesApi::class)
internal class CoreClient(setUp: () -> ClientSetup, build: (ClientSetup) -> Core = ClientSetup::build) : DirectAuthClient {
    private val scope = CoroutineScope(SupervisorJob() + calls)
    private val closed = AtomicBoolean(false)
    private val setUp = AtomicReference(setUp)
    private val built: Deferred<Core> =
        scope.async(loading.coroutineContext.minusKey(Job), CoroutineStart.LAZY) {
            // Not kept any longer than it is needed: it knows the app's secrets.
            val setUp = checkNotNull(this@CoreClient.setUp.getAndSet(null))
            built { setUp().use(build) }
        }

    private val shown = MutableStateFlow<AuthState>(AuthState.Restoring)
    private val readable = shown.asStateFlow()
    private val looking = Any()
    private val isWatched = AtomicBoolean(false)

    override val state: StateFlow<AuthState>
        get() {
            // Noted before the follower runs, which shows the first state.
            if (!closed.get() && isWatched.compareAndSet(false, true)) scope.launch { follow() }
            return readable
        }

    override val events: Flow<AuditEvent> =
        flow {
            val events = translated { core().auditEvents() }
            val atTheEnd = scope.coroutineContext.job.invokeOnCompletion { unlessItFails { events.cancel() } }
            try {
                while (true) emit(translated { events.next() }?.forApp() ?: break)
            } finally {
                atTheEnd.dispose()
                events.cancel()
                events.close()
            }
        }.flowOn(calls)

    override fun signIn(username: String, acrValues: List<String>, maxAge: Duration?): SignIn =
        CoreSignIn(this) { core().signIn(username, acrValues, maxAge?.forCore("maxAge")) }

    override suspend fun signInWithPasskey(): SignInStep = step { core().signInWithPasskey() }

    override fun recover(username: String): Recovery = CoreRecovery(this) { core().recover(username) }

    override suspend fun warmUp(): Unit = call { core().warmUp() }

    override suspend fun restore(): AuthSession? = session { core().restore() }

    override suspend fun sessions(): List<SessionInfo> = call { core().sessions().map { it.forApp() } }

    override suspend fun session(id: String): AuthSession? = session { core().session(id) }

    override suspend fun setDefault(id: String): AuthSession = checkNotNull(session { core().setDefault(id) })

    override suspend fun signOut(): SignOutResult? = call { core().signOut()?.forApp() }

    override suspend fun signOutAll(): List<SignOutResult> = call { core().signOutAll().map { it.forApp() } }

    override suspend fun importSession(refreshToken: String): AuthSession =
        checkNotNull(session { core().importSession(refreshToken) })

    override fun notifyForeground() {
        scope.launch { tellOfForeground() }
    }

    suspend fun tellOfForeground() {
        unlessItFails { core().notifyForeground() }
    }

    override suspend fun discardUnreadable(): Int = call { core().discardUnreadable() }

    override fun close() {
        if (!closed.compareAndSet(false, true)) return
        scope.cancel()
        setUp.set(null)
        built.invokeOnCompletion { failure -> if (failure == null) built.getCompleted().destroy() }
    }

    override fun toString(): String = "DirectAuthClient"

    /** Runs one call of the core, off the caller's thread, and then shows the state that it led to. */
    suspend fun <T> call(work: suspend () -> T): T =
        withContext(calls) {
            try {
                translated { work() }
            } finally {
                look()
            }
        }

    /** The same for a call that changes the state only if it fails: that it is over shows in its error. */
    suspend fun <T> reading(work: suspend () -> T): T =
        withContext(calls) {
            try {
                translated { work() }
            } catch (e: AuthException) {
                look()
                throw e
            }
        }

    /** The same for a step. One that nobody gets, because the caller was cancelled, is let go of at once. */
    suspend fun step(work: suspend () -> CoreStep): SignInStep = keeping(work) { it.forApp(this) }

    /** The same for a session. */
    suspend fun session(work: suspend () -> CoreAuthSession?): AuthSession? =
        keeping(work) { session -> session?.let { CoreSession(this, it) } }

    suspend fun <C, T> keeping(work: suspend () -> C, forApp: (C) -> T): T {
        var came: C? = null
        try {
            return call { forApp(work().also { came = it }) }
        } catch (e: CancellationException) {
            Disposable.destroy(came)
            throw e
        }
    }

    /** The core's client; the first call builds it. */
    suspend fun core(): Core {
        check(!closed.get()) { CLOSED }
        try {
            return built.await()
        } catch (e: CancellationException) {
            currentCoroutineContext().ensureActive()
            throw IllegalStateException(CLOSED)
        }
    }

    private suspend fun follow() {
        try {
            core().states().use { states ->
                while (true) {
                    // It only says that there is a newer one.
                    Disposable.destroy(states.next() ?: break)
                    look()
                }
            }
        } catch (e: CancellationException) {
            throw e
        } catch (_: Throwable) {
            // A client that cannot be built says so to whoever calls it; nobody is signed in.
            if (!closed.get()) shown.value = AuthState.SignedOut
        }
    }

    /** Shows the newest state, if anybody wants to see it: what a call has led to is shown before the call returns. */
    private fun look() {
        if (!isWatched.get() || !built.isCompleted || closed.get()) return
        val core = if (built.getCompletionExceptionOrNull() == null) built.getCompleted() else return
        synchronized(looking) {
            val newest =
                try {
                    translated { core.state() }
                } catch (_: AuthException.Internal) {
                    return
                } catch (_: IllegalStateException) {
                    // Closed meanwhile.
                    return
                }
            val state = newest.forApp()
            if (state == shown.value) newest.destroy() else shown.value = state
        }
    }

    private fun CoreState.forApp(): AuthState =
        when (this) {
            CoreState.Restoring -> AuthState.Restoring
            CoreState.SignedOut -> AuthState.SignedOut
            is CoreState.SignedIn -> AuthState.SignedIn(CoreSession(this@CoreClient, session))
            is CoreState.Unavailable -> AuthState.Unavailable(reason.like())
        }

    private companion object {
        const val CLOSED = "this client is closed"
    }
}
