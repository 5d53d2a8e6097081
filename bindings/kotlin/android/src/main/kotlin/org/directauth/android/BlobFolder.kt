package org.directauth.android

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
        Files.createDirectories(folder.toPath())
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

    private fun makeNamesDurable() {
        FileChannel.open(folder.toPath(), StandardOpenOption.READ).use { it.force(true) }
    }

    private companion object {
        /** No storage key has an underscore. */
        const val UNFINISHED = "_unfinished"
        const val LARGEST = 4L * 1024 * 1024
    }
}
