package org.directauth.android

import android.system.ErrnoException
import android.system.Os
import android.system.OsConstants
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.StandardCopyOption
import java.nio.file.StandardOpenOption
import org.directauth.StorageException
import org.directauth.StorageProblem

/** Files that are there whole or not at all, and durable when a call returns. Every failure is an [IOException], and none is an absence. */
internal class BlobFolder(private val folder: File) {
    @Volatile
    private var isSwept = false

    /** Null if there certainly is no such file. */
    fun read(name: String): ByteArray? {
        val file = File(folder, name).toPath()
        return try {
            if (Files.size(file) > LARGEST) throw StorageException(StorageProblem.CORRUPT)
            Files.readAllBytes(file)
        } catch (_: NoSuchFileException) {
            null
        }
    }

    fun write(name: String, bytes: ByteArray) {
        if (!folder.isDirectory) create(folder)
        sweep()
        val unfinished = File.createTempFile(UNFINISHED, null, folder)
        try {
            FileOutputStream(unfinished).use {
                it.write(bytes)
                it.fd.sync()
            }
            Files.move(unfinished.toPath(), File(folder, name).toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
        } catch (e: IOException) {
            unfinished.delete()
            throw e
        }
        makeNamesDurable()
    }

    fun delete(name: String) {
        if (Files.deleteIfExists(File(folder, name).toPath())) makeNamesDurable()
    }

    /** The names of all files that were not left unfinished. */
    fun names(): List<String> =
        try {
            Files.newDirectoryStream(folder.toPath()).use { files -> files.map { it.fileName.toString() } }
                .filterNot { it.startsWith(UNFINISHED) }
        } catch (_: NoSuchFileException) {
            emptyList()
        } catch (e: java.nio.file.DirectoryIteratorException) {
            throw IOException(e)
        }

    /** Its name too has to be there after a loss of power. */
    private fun create(folder: File) {
        val parent = folder.absoluteFile.parentFile ?: return
        if (!parent.isDirectory) create(parent)
        Files.createDirectories(folder.toPath())
        makeNamesDurable(parent)
    }

    /** What a process that died has left, long enough ago not to be another one's work. */
    private fun sweep() {
        if (isSwept) return
        isSwept = true
        val old = System.currentTimeMillis() - LEFT_FOR_MILLIS
        folder.listFiles { file -> file.name.startsWith(UNFINISHED) && file.lastModified() < old }.orEmpty().forEach { it.delete() }
    }

    private fun makeNamesDurable(folder: File = this.folder) {
        try {
            FileChannel.open(folder.toPath(), StandardOpenOption.READ).use { it.force(true) }
        } catch (_: IOException) {
            // Not every Android's channels open folders.
            try {
                val descriptor = Os.open(folder.path, OsConstants.O_RDONLY, 0)
                try {
                    Os.fsync(descriptor)
                } finally {
                    Os.close(descriptor)
                }
            } catch (e: ErrnoException) {
                throw IOException(e)
            }
        }
    }

    private companion object {
        /** No storage key has an underscore. */
        const val UNFINISHED = "_unfinished"
        const val LARGEST = 4L * 1024 * 1024
        const val LEFT_FOR_MILLIS = 24L * 3600 * 1000
    }
}
