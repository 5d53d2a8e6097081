package org.directauth

import java.io.File
import java.io.IOException
import kotlin.io.path.createTempDirectory
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import org.directauth.testing.Emulator
import org.junit.jupiter.api.Test

/** The emulator's helper, where others may reach the control API too. */
class EmulatorTest {
    @Test
    fun beyondLoopbackItsTokenIsAskedFor() {
        val token = "a-token-of-somebody"
        val folder = createTempDirectory("directauth-emulator-token").toFile()
        val command = listOf(System.getenv("DIRECTAUTH_EMULATOR"), "--control-bind", "0.0.0.0", "--ca-dir", folder.path)
        val builder = ProcessBuilder(command + "--stop-with-stdin").redirectError(ProcessBuilder.Redirect.DISCARD)
        builder.environment()["DIRECTAUTH_EMULATOR_TOKEN"] = token
        val process = builder.start()
        try {
            val lines = process.inputStream.bufferedReader().lineSequence()
            val control = lines.first { it.startsWith("control") }.substringAfter("control").trim()
            val authority = File(folder, "ca.pem").readText()
            val emulator = Emulator.attach(control, authority, token)
            assertEquals("0oaDemoNativeApp", emulator.clientId)
            assertEquals(emulator.clientId, emulator.tenant().clientId)
            assertFailsWith<IOException> { Emulator.attach(control, authority) }
            assertFailsWith<IllegalArgumentException> { Emulator.attach(control, token = token) }
        } finally {
            process.destroy()
            folder.deleteRecursively()
        }
    }
}
