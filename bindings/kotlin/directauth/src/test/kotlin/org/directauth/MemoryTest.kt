package org.directauth

import java.io.File
import java.io.RandomAccessFile
import java.util.concurrent.TimeUnit
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.directauth.testing.Emulator
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.condition.EnabledOnOs
import org.junit.jupiter.api.condition.OS

/**
 * When a sign-in is over, nothing secret of it is in the memory of a JVM that runs it, but where the app and the JVM keep their own
 * objects: the Java heap, which nobody can wipe. A parent reads all other memory of its child, in the library that ships.
 */
@EnabledOnOs(OS.LINUX)
class MemoryTest {
    @Test
    fun `outside the Java heap there is no copy of a password, a code or a token`() {
        // None is in any class file, nor on the command line: the child makes them from what is.
        val password = canary('p', 'w')
        val users = File.createTempFile("users", ".toml")
        users.writeText(
            """
            client_id = "0oaDemoNativeApp"
            scopes = ["openid", "profile", "offline_access"]
            [[users]]
            username = "ben@example.com"
            name = "Ben"
            password = "$password"
            assurance = "2fa"
            factors = ["totp"]
            totp_secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
            """.trimIndent(),
        )
        Emulator.start(null, "--config", users.path).use { emulator ->
            val child = child(emulator)
            try {
                val output = child.inputStream.bufferedReader()
                val heap = heapOf(output.lineSequence().first { "Heap address" in it })
                val said = output.lineSequence().takeWhileIncluding { it != "signed in" }
                assertEquals("signed in", said.last(), "$said")
                val tokens = said.mapNotNull { it.substringAfter("token ", "").ifEmpty { null } }.map(::disguised)
                assertEquals(2, tokens.size)
                val secrets = listOf(password, canary('n', 'o'), canary('c', 'd')) + tokens
                val asking = child.outputStream.bufferedWriter()
                var found: Map<String, List<String>>
                var looks = 0
                do {
                    asking.write("collect\n")
                    asking.flush()
                    assertEquals("collected", output.readLine())
                    found = search(child.pid(), heap, secrets + canary('k', 'c'))
                } while (secrets.any { found.getValue(it).isNotEmpty() } && ++looks < 20)
                for (secret in secrets) assertEquals(emptyList(), found.getValue(secret), "copies of ${secret.take(8)}…")
                assertTrue(found.getValue(canary('k', 'c')).isNotEmpty(), "what is kept on purpose is found, so the search works")
            } finally {
                child.destroyForcibly().waitFor(10, TimeUnit.SECONDS)
                users.delete()
            }
        }
    }

    private fun child(emulator: Emulator): Process {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val library = System.getProperty("jna.library.path")
        val ca = File.createTempFile("emulator-ca", ".pem").apply { writeText(emulator.caPem) }
        return ProcessBuilder(
            java, "-Xmx128m", "-XX:+UseSerialGC", "-Xlog:gc+heap+coops=debug:stdout", "-Djna.library.path=$library",
            "-cp", System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path"),
            "org.directauth.MemoryChildKt", emulator.issuer, emulator.clientId, ca.path, emulator.totp("ben@example.com"),
        ).redirectErrorStream(true).start()
    }

    /** Up to and with the first that ends it. */
    private fun Sequence<String>.takeWhileIncluding(goesOn: (String) -> Boolean): List<String> = buildList {
        for (line in this@takeWhileIncluding) {
            add(line)
            if (!goesOn(line)) break
        }
    }

    /** `Heap address: 0x…, size: 128 MB`. */
    private fun heapOf(line: String): LongRange {
        val start = Regex("Heap address: 0x([0-9a-f]+)").find(line)!!.groupValues[1].toLong(16)
        val size = Regex("size: (\\d+) MB").find(line)!!.groupValues[1].toLong() * 1024 * 1024
        return start until start + size
    }

    /** In which mappings each text is. */
    private fun search(pid: Long, heap: LongRange, texts: List<String>): Map<String, List<String>> {
        val found = texts.associateWith { mutableListOf<String>() }
        RandomAccessFile("/proc/$pid/mem", "r").use { memory ->
            for (mapping in File("/proc/$pid/maps").readLines()) {
                val (range, rights) = mapping.split(' ')
                val (start, end) = range.split('-').map { it.toULong(16).toLong() }
                if (!rights.startsWith("rw") || start in heap || start < 0) continue
                val bytes = ByteArray((end - start).toInt())
                try {
                    memory.seek(start)
                    memory.readFully(bytes)
                } catch (_: java.io.IOException) {
                    continue
                }
                for (text in texts) if (bytes.contains(text.toByteArray()) || bytes.contains(text.toByteArray(Charsets.UTF_16LE))) found.getValue(text) += mapping
            }
        }
        return found
    }

    private fun ByteArray.contains(what: ByteArray): Boolean {
        var at = 0
        while (at <= size - what.size) {
            if (this[at] == what[0] && what.indices.all { this[at + it] == what[it] }) return true
            at++
        }
        return false
    }
}
