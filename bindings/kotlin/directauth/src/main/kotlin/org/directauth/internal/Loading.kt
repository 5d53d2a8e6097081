package org.directauth.internal

import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.launch
import org.directauth.AuthException
import org.directauth.ErrorDetails
import org.directauth.LogSink
import org.directauth.Remedy
import org.directauth.ffi.uniffiEnsureInitialized
import org.directauth.ffi.InternalException
import org.directauth.ffi.setLogSink
import org.directauth.ffi.AuthException as CoreException

/** Where all calls of the core run: not the default dispatcher, whose few threads an app may block while it waits for one of them. */
internal val calls: CoroutineDispatcher = Dispatchers.IO.limitedParallelism(64, "directauth")

/** Where the native library is loaded and clients are built, one after another: never on the caller's thread. */
internal val loading = CoroutineScope(SupervisorJob() + Dispatchers.IO.limitedParallelism(1, "directauth loading"))

internal object CoreLog {
    fun setSink(sink: LogSink?) {
        loading.launch { unlessItFails { setLogSink(sink?.let(::LogSinkForCore)) } }
    }
}

/** Work that nobody waits for: what cannot be done is told by the call that somebody does wait for. */
internal inline fun unlessItFails(work: () -> Unit) {
    try {
        work()
    } catch (e: CancellationException) {
        throw e
    } catch (_: Throwable) {
        // The library may be missing for this platform, which no caller of this can mend.
    }
}

/** What the core throws, as the app sees it. */
internal inline fun <T> translated(work: () -> T): T =
    try {
        work()
    } catch (e: CoreException) {
        throw e.forApp()
    } catch (_: InternalException) {
        // A defect of the library; its text stays there.
        throw AuthException.Internal()
    }

/**
 * The same while a client is built, where a library that cannot be loaded is noticed: it is not there for this platform (a [LinkageError]),
 * is another version's, or the app was shrunk without the rules for JNA (an [IllegalArgumentException] of it).
 */
internal inline fun <T> built(work: () -> T): T =
    try {
        // That the library is the one that this code was made for: another one would read memory wrongly.
        uniffiEnsureInitialized()
        translated(work)
    } catch (e: IllegalArgumentException) {
        throw unusable(e)
    } catch (e: LinkageError) {
        throw unusable(e)
    }

internal fun unusable(e: Throwable): AuthException {
    val what = "the native library cannot be used: ${e.javaClass.simpleName}"
    return AuthException.Configuration(what, ErrorDetails("Configuration: $what", Remedy.FixConfiguration))
}
