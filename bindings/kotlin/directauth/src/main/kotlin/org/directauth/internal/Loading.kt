package org.directauth.internal

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.launch
import org.directauth.AuthException
import org.directauth.LogSink
import org.directauth.ffi.InternalException
import org.directauth.ffi.setLogSink
import org.directauth.ffi.AuthException as CoreException

/** Where the native library is loaded and clients are built, one after another: never on the caller's thread. */
internal val loading = CoroutineScope(SupervisorJob() + Dispatchers.Default.limitedParallelism(1, "directauth"))

internal object CoreLog {
    fun setSink(sink: LogSink?) {
        loading.launch { setLogSink(sink?.let(::LogSinkForCore)) }
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
