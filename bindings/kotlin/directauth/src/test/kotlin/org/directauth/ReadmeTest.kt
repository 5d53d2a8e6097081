package org.directauth

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import main
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.jupiter.api.Test

/** The README's program is this one, and it does what it says. */
class ReadmeTest {
    @Test
    fun `the README's program is the one that is compiled here`() {
        val program = File("src/test/kotlin/ReadmeProgram.kt").readText()
        assertTrue("```kotlin\n$program```\n" in File("../../../README.md").readText(), "README.md does not have ReadmeProgram.kt as it is")
        assertTrue(program.lines().size <= 31, "30 lines")
    }

    @Test
    fun `it signs in and out`() {
        val output = ByteArrayOutputStream()
        val before = System.out
        System.setOut(PrintStream(output))
        try {
            main()
        } finally {
            System.setOut(before)
        }
        assertEquals("signed in: Ana Ibarra\nsigned out: REVOKED\n", output.toString())
    }
}
