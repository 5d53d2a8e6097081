package org.directauth

import java.io.File
import java.util.stream.Stream
import kotlin.test.assertEquals
import kotlinx.validation.api.dump
import kotlinx.validation.api.filterOutNonPublic
import kotlinx.validation.api.loadApiFromJvmClasses
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory

/**
 * What apps can call is what `bindings/api` says: a change of it is seen in a review.
 *
 * `API=update scripts/test kotlin` writes the files anew.
 */
class ApiTest {
    @TestFactory
    fun `what apps can call is as it is written down`(): Stream<DynamicTest> =
        listOf("api", "directauth", "okhttp", "testing", "android").map { module ->
            DynamicTest.dynamicTest(module) {
                val file = File(System.getProperty("directauth.api"), "kotlin-$module.api")
                val found = dumpOf(File("../$module/target/classes"))
                if (System.getenv("API") == "update") file.writeText(found)
                assertEquals(if (file.exists()) file.readText() else "", found, "bindings/api/${file.name}")
            }
        }.stream()

    private fun dumpOf(classes: File): String {
        val files = classes.walk().filter { it.extension == "class" && "META-INF" !in it.path }
        val api = files.map { it.inputStream() }.loadApiFromJvmClasses()
        return api.filterOutNonPublic(nonPublicPackages = listOf("org.directauth.internal", "org.directauth.ffi"))
            .dump(StringBuilder()).toString()
    }
}
