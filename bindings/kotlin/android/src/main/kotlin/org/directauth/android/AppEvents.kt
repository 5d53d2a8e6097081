package org.directauth.android

import android.app.Activity
import android.app.Application
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.Build
import android.os.Bundle
import java.util.concurrent.atomic.AtomicBoolean
import org.directauth.DirectAuthClient

/**
 * Tells a client when the app comes to the foreground and when the device is unlocked: what could not be read before is read then.
 *
 * Returns what ends that; an app that keeps the client as long as its process needs not.
 */
public fun DirectAuthClient.followApp(application: Application): AutoCloseable {
    val activities = Foreground(this)
    val unlocking = Unlocking(this)
    application.registerActivityLifecycleCallbacks(activities)
    val filter = IntentFilter(Intent.ACTION_USER_UNLOCKED).apply { addAction(Intent.ACTION_USER_PRESENT) }
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
        application.registerReceiver(unlocking, filter, Context.RECEIVER_NOT_EXPORTED)
    } else {
        // Only the system can send these.
        application.registerReceiver(unlocking, filter)
    }
    val closed = AtomicBoolean()
    return AutoCloseable {
        if (!closed.compareAndSet(false, true)) return@AutoCloseable
        application.unregisterActivityLifecycleCallbacks(activities)
        application.unregisterReceiver(unlocking)
    }
}

private class Unlocking(private val client: DirectAuthClient) : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {
        client.notifyForeground()
    }
}

/** The first activity that is seen after none was. */
private class Foreground(private val client: DirectAuthClient) : Application.ActivityLifecycleCallbacks {
    private var seen = 0
    private var isChanging = false

    override fun onActivityStarted(activity: Activity) {
        if (seen++ == 0 && !isChanging) client.notifyForeground()
        isChanging = false
    }

    override fun onActivityStopped(activity: Activity) {
        // One that was there before is not counted.
        seen = maxOf(0, seen - 1)
        // One that comes again, turned, was never away.
        isChanging = activity.isChangingConfigurations
    }

    override fun onActivityCreated(activity: Activity, state: Bundle?) = Unit

    override fun onActivityResumed(activity: Activity) = Unit

    override fun onActivityPaused(activity: Activity) = Unit

    override fun onActivitySaveInstanceState(activity: Activity, state: Bundle) = Unit

    override fun onActivityDestroyed(activity: Activity) = Unit
}
