package org.directauth.journeys

import java.time.Duration
import java.util.stream.Stream
import kotlin.test.assertTrue
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertTimeoutPreemptively
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** The vectors that all languages share, on the real library. `-DargLine=-Dvector=NAME` plays one of them, or one file. */
class JourneysTest {
    private val vectors = Vector.all()

    @TestFactory
    fun `vectors give what they say`(): Stream<DynamicTest> {
        val only = System.getProperty("vector")
        return vectors.filter { it.beyond.isEmpty() && (only == null || it.id == only || it.file == only) }
            .map { vector -> DynamicTest.dynamicTest("${vector.file} ${vector.id}") { played(vector) } }
            .stream()
    }

    @Test
    fun `every journey is played, and what is left out is known`() {
        val beyond = vectors.filter { it.beyond.isNotEmpty() }
        val journeys = beyond.filter { it.file == "journeys.json" }
        assertTrue(journeys.isEmpty(), "journeys that this runner cannot play: ${journeys.map { it.id to it.beyond }}")
        val words = beyond.flatMap { it.beyond }.groupingBy { it }.eachCount()
        println("${vectors.size - beyond.size} of ${vectors.size} vectors played; left out for: $words")
    }

    private fun played(vector: Vector) {
        // Nothing waits in simulated time: what takes so long never ends.
        assertTimeoutPreemptively(Duration.ofSeconds(60)) {
            runBlocking(Dispatchers.Default) { Play(vector).use { it.play() } }
        }
    }
}
