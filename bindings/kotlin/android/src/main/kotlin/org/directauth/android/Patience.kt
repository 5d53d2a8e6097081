package org.directauth.android

import org.directauth.StorageException
import org.directauth.StorageProblem

/**
 * Calls of the platform's key store, which fails now and then, and which takes an interrupt of its caller for a failure: tried again a
 * few times, and the interrupt is kept for afterwards.
 */
internal class Patience(private val sleep: (Long) -> Unit = Thread::sleep) {
    /** What the last attempt gives; a [StorageException] whatever it was that failed. */
    fun <T> patiently(work: () -> T): T {
        var wasInterrupted = Thread.interrupted()
        var before: StorageProblem? = null
        try {
            for (pause in PAUSES_MILLIS) {
                try {
                    return work()
                } catch (e: StorageException) {
                    // Found out, and not a failure.
                    throw e
                } catch (e: Exception) {
                    val problem = problemOf(e)
                    // That a key is gone for good is believed when it is said twice.
                    val isDoubtful = problem == StorageProblem.KEY_DESTROYED && problem != before
                    if (problem != StorageProblem.TRANSIENT && !isDoubtful) throw StorageException(problem)
                    before = problem
                }
                wasInterrupted = Thread.interrupted() || wasInterrupted
                try {
                    sleep(pause)
                } catch (_: InterruptedException) {
                    wasInterrupted = true
                }
            }
            try {
                return work()
            } catch (e: Exception) {
                val problem = problemOf(e)
                throw StorageException(if (problem == StorageProblem.KEY_DESTROYED && problem != before) StorageProblem.TRANSIENT else problem)
            }
        } finally {
            if (wasInterrupted) Thread.currentThread().interrupt()
        }
    }

    private companion object {
        val PAUSES_MILLIS = longArrayOf(20, 100, 400)
    }
}
