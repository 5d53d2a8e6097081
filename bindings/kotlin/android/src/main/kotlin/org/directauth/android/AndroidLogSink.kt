package org.directauth.android

import android.util.Log
import org.directauth.LogLevel
import org.directauth.LogSink

/** The system's log, under one tag. The lines hold no secret. */
public class AndroidLogSink(private val tag: String = "DirectAuth") : LogSink {
    override fun log(level: LogLevel, line: String) {
        val priority =
            when (level) {
                LogLevel.ERROR -> Log.ERROR
                LogLevel.WARN -> Log.WARN
                LogLevel.INFO -> Log.INFO
                LogLevel.DEBUG -> Log.DEBUG
            }
        Log.println(priority, tag, line)
    }
}
