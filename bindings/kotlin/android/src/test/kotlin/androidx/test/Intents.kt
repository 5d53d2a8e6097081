// As Monitor.kt.

package androidx.test.runner.intent

interface IntentMonitor

interface IntentStubber

object IntentMonitorRegistry {
    @JvmStatic
    fun registerInstance(monitor: IntentMonitor?) = Unit
}

object IntentStubberRegistry {
    @JvmStatic
    fun isLoaded(): Boolean = false
}
