package org.directauth.android

import android.content.Context
import android.provider.Settings
import java.security.MessageDigest
import java.security.SecureRandom

/**
 * This installation on this device. Another one that got these files by a backup or a clone has a name of its own, so that it knows
 * which records are not its own.
 */
internal class Installation(private val context: Context, private val folder: BlobFolder) {
    private var known: Id? = null

    /** Made and stored if there is none, or if the one there is another device's. */
    fun id(): Id = synchronized(Installation) {
        known?.let { return it }
        val device = device()
        val (id, itsDevice) = folder.read(NAME)?.decodeToString()?.split(' ').orEmpty().let { it.getOrNull(0) to it.getOrNull(1) }
        val stored = id?.takeIf { itsDevice == device }?.let { Id.parse(it, Id.INSTALLATION) }
        val current = stored ?: Id(random(Id.INSTALLATION)).also { folder.write(NAME, "$it $device".encodeToByteArray()) }
        known = current
        current
    }

    /** Different for each device, user and signing key of the app, and of no use elsewhere. */
    private fun device(): String {
        val id = Settings.Secure.getString(context.contentResolver, Settings.Secure.ANDROID_ID).orEmpty()
        return Id(MessageDigest.getInstance("SHA-256").digest("directauth $id".encodeToByteArray())).toString()
    }

    private companion object {
        const val NAME = "_installation"
    }
}

internal fun random(size: Int): ByteArray = ByteArray(size).also(SecureRandom()::nextBytes)
