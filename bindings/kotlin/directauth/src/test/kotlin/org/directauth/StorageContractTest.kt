package org.directauth

import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.directauth.testing.MemoryStorage
import org.directauth.testing.StorageContract
import org.directauth.testing.StorageContractViolation
import org.directauth.testing.StorageRule
import org.junit.jupiter.api.Test

/** The check of apps' own storages finds each way to be broken, by the rule that is broken, and nothing where nothing is. */
class StorageContractTest {
    /** What is wrong with a storage, and the rule that says so. */
    private enum class Fault(val rule: StorageRule?) {
        NONE(null),
        ABSENT_IS_AN_ERROR(StorageRule.ABSENT_IS_NULL),
        ABSENT_IS_EMPTY(StorageRule.ABSENT_IS_NULL),
        EMPTY_IS_ABSENT(StorageRule.KEEPS_BYTES),
        ENDS_AT_ZERO_BYTE(StorageRule.KEEPS_BYTES),
        IS_FOR_TEXT(StorageRule.KEEPS_BYTES),
        KEEPS_AT_MOST_4096(StorageRule.KEEPS_BYTES),
        LOAD_TAKES_AWAY(StorageRule.KEEPS_BYTES),
        KEEPS_THE_TAIL(StorageRule.REPLACES_WHOLLY),
        APPENDS(StorageRule.REPLACES_WHOLLY),
        THE_FIRST_STAYS(StorageRule.REPLACES_WHOLLY),
        DELETES_NOTHING(StorageRule.DELETES),
        DELETES_ALL(StorageRule.DELETES),
        DELETES_FOR_GOOD(StorageRule.DELETES),
        DELETES_ABSENT_WITH_ERROR(StorageRule.DELETES_ABSENT),
        LISTS_NOTHING(StorageRule.LISTS_EXACTLY),
        LISTS_TWICE(StorageRule.LISTS_EXACTLY),
        LISTS_DELETED(StorageRule.LISTS_EXACTLY),
        LISTS_WHAT_WAS_LOOKED_FOR(StorageRule.LISTS_EXACTLY),
        KEEPS_THE_ARRAY_IT_IS_GIVEN(StorageRule.SHARES_NO_BYTES),
        GIVES_THE_ARRAY_IT_KEEPS(StorageRule.SHARES_NO_BYTES),
        DELETES_BY_PREFIX(StorageRule.KEYS_ARE_DISTINCT),
        SHORTENS_KEYS(StorageRule.KEYS_ARE_DISTINCT),
        MIXES_DOT_AND_DASH(StorageRule.KEYS_ARE_DISTINCT),
        LIVES_IN_THE_INSTANCE(StorageRule.SURVIVES_REOPENING),
        DELETES_IN_THE_INSTANCE(StorageRule.DELETION_SURVIVES_REOPENING),
        CACHES(StorageRule.INSTANCES_AGREE),
        LOSES_UPDATES(StorageRule.CONCURRENT_KEYS),
        TEARS(StorageRule.CONCURRENT_REPLACING),
        HAS_A_GAP(StorageRule.CONCURRENT_REPLACING),
        LEAVES_SOMETHING(StorageRule.ENDS_EMPTY),
    }

    private enum class Gap { NOT_YET, OPEN, OVER }

    private class Place {
        val lock = ReentrantLock()
        val values = HashMap<String, ByteArray>()

        /** Whatever else a broken storage remembers. */
        val names = HashSet<String>()
        private val home = Thread.currentThread()
        private val closed = lock.newCondition()
        private var gap = Gap.NOT_YET

        /** Whether this is a thread of the check, where a fault that needs two threads may show; once. */
        val mayOpenGap: Boolean get() = Thread.currentThread() != home && gap == Gap.NOT_YET

        /** Lets others in until one has come. Not for ever: a check in which none comes is to fail and not to hang. */
        fun openGap() {
            gap = Gap.OPEN
            while (gap == Gap.OPEN) if (!closed.await(20, TimeUnit.SECONDS)) return
        }

        fun closeGap() {
            if (gap == Gap.OPEN) gap = Gap.OVER
            closed.signalAll()
        }
    }

    /** A storage over shared memory, broken in one way. */
    private class Broken(private val fault: Fault, shared: Place) : SecureStorage {
        private val place = if (fault == Fault.LIVES_IN_THE_INSTANCE) Place() else shared
        private val values get() = place.values
        private val cached = HashMap<String, ByteArray?>()
        private val hidden = HashSet<String>()

        private fun name(key: String): String =
            when (fault) {
                Fault.SHORTENS_KEYS -> key.take(63)
                Fault.MIXES_DOT_AND_DASH -> key.replace('.', '-')
                else -> key
            }

        override fun load(key: String): ByteArray? = place.lock.withLock { read(name(key)) }

        override fun store(key: String, value: ByteArray): Unit = place.lock.withLock { write(name(key), value) }

        override fun delete(key: String): Unit = place.lock.withLock { remove(name(key)) }

        override fun keys(): List<String> = place.lock.withLock { list() }

        private fun read(name: String): ByteArray? {
            if (name in hidden) return null
            val kept = values[name]
            if (fault == Fault.GIVES_THE_ARRAY_IT_KEEPS) return kept
            val found = kept?.copyOf()
            return when (fault) {
                Fault.ABSENT_IS_AN_ERROR -> found ?: throw StorageException(StorageProblem.KEY_MISSING)
                Fault.ABSENT_IS_EMPTY -> found ?: ByteArray(0)
                Fault.EMPTY_IS_ABSENT -> found?.takeIf { it.isNotEmpty() }
                Fault.ENDS_AT_ZERO_BYTE -> found?.takeWhile { it != 0.toByte() }?.toByteArray()
                Fault.IS_FOR_TEXT -> found?.decodeToString()?.encodeToByteArray()
                Fault.LOAD_TAKES_AWAY -> found.also { values.remove(name) }
                Fault.LISTS_WHAT_WAS_LOOKED_FOR -> found.also { place.names += name }
                Fault.CACHES -> {
                    if (name !in cached) cached[name] = found
                    cached[name]?.copyOf()
                }
                Fault.TEARS, Fault.HAS_A_GAP -> found.also { place.closeGap() }
                else -> found
            }
        }

        private fun write(name: String, value: ByteArray) {
            val old = values[name]
            when (fault) {
                Fault.THE_FIRST_STAYS -> if (old != null) return
                Fault.DELETES_FOR_GOOD -> if (name in place.names) return
                Fault.LISTS_DELETED -> place.names += name
                Fault.DELETES_IN_THE_INSTANCE -> hidden -= name
                Fault.CACHES -> cached[name] = value.copyOf()
                Fault.LOSES_UPDATES -> if (old == null) losing()
                Fault.TEARS ->
                    if (old != null && place.mayOpenGap) {
                        values[name] = value.copyOf(value.size / 2)
                        place.openGap()
                    }
                Fault.HAS_A_GAP ->
                    if (old != null && place.mayOpenGap) {
                        values.remove(name)
                        place.openGap()
                    }
                else -> {}
            }
            values[name] =
                when (fault) {
                    Fault.KEEPS_AT_MOST_4096 -> value.copyOf(minOf(value.size, 4096))
                    Fault.KEEPS_THE_TAIL -> value + old.orEmpty().drop(value.size)
                    Fault.APPENDS -> old.orEmpty().toByteArray() + value
                    Fault.KEEPS_THE_ARRAY_IT_IS_GIVEN -> value
                    else -> value.copyOf()
                }
        }

        private fun ByteArray?.orEmpty(): List<Byte> = this?.asList().orEmpty()

        /** All values are one file, which is read here; what others write until it is written is lost. */
        private fun losing() {
            if (place.mayOpenGap) {
                val all = HashMap(values)
                place.openGap()
                values.clear()
                values.putAll(all)
            } else {
                place.closeGap()
            }
        }

        private fun remove(name: String) {
            when (fault) {
                Fault.DELETES_NOTHING -> return
                Fault.DELETES_ALL -> values.clear()
                Fault.DELETES_FOR_GOOD -> place.names += name
                Fault.DELETES_ABSENT_WITH_ERROR -> if (name !in values) throw IllegalStateException("there is no $name")
                Fault.DELETES_BY_PREFIX -> values.keys.removeAll { it.startsWith(name) }
                Fault.DELETES_IN_THE_INSTANCE -> {
                    hidden += name
                    return
                }
                Fault.CACHES -> cached[name] = null
                // Of those sizes are the last values of all.
                Fault.LEAVES_SOMETHING -> if (values[name]?.size in listOf(2000, 6000)) values["left"] = ByteArray(0)
                else -> {}
            }
            values.remove(name)
        }

        private fun list(): List<String> {
            val names = values.keys.filter { it !in hidden }
            return when (fault) {
                Fault.LISTS_NOTHING -> emptyList()
                Fault.LISTS_TWICE -> names + names.take(1)
                Fault.LISTS_DELETED, Fault.LISTS_WHAT_WAS_LOOKED_FOR -> (names + place.names).distinct()
                else -> names
            }
        }
    }

    private fun violation(fault: Fault, place: Place = Place()): StorageContractViolation =
        assertFailsWith<StorageContractViolation>(fault.name) { StorageContract.check { Broken(fault, place) } }

    @Test
    fun `the storage in memory keeps the contract and is empty afterwards`() {
        val storage = MemoryStorage()
        val report = StorageContract.check { storage }
        assertEquals(StorageRule.entries.toList(), report.kept)
        assertEquals(StorageRule.entries.map { "kept: ${it.text}" }, report.toString().lines())
        assertEquals(0, storage.size)
    }

    @Test
    fun `a storage without fault passes, so it is the fault that is found`() {
        val place = Place()
        StorageContract.check { Broken(Fault.NONE, place) }
        assertEquals(emptySet(), place.values.keys)
    }

    @Test
    fun `each fault is found by the rule that it breaks`() {
        for (fault in Fault.entries - Fault.NONE) {
            val violation = violation(fault)
            assertEquals(fault.rule, violation.rule, "$fault: ${violation.message}")
        }
    }

    @Test
    fun `each rule has a fault that breaks it`() {
        assertEquals(StorageRule.entries.toSet() - StorageRule.STARTS_EMPTY, Fault.entries.mapNotNull { it.rule }.toSet())
    }

    @Test
    fun `a place that is not empty is not touched`() {
        val storage = MemoryStorage()
        val value = "a session".encodeToByteArray()
        storage.store("session.1", value)
        val violation = assertFailsWith<StorageContractViolation> { StorageContract.check { storage } }
        assertEquals(StorageRule.STARTS_EMPTY, violation.rule)
        assertEquals("it has 1 keys", violation.seen)
        assertEquals(listOf("session.1"), storage.keys())
        assertContentEquals(value, storage.load("session.1"))
    }

    @Test
    fun `after a violation the place is empty again`() {
        for (fault in listOf(Fault.THE_FIRST_STAYS, Fault.LISTS_NOTHING, Fault.SHORTENS_KEYS, Fault.CACHES, Fault.TEARS)) {
            val place = Place()
            violation(fault, place)
            assertEquals(emptySet(), place.values.keys, fault.name)
        }
    }

    @Test
    fun `a violation says what is broken and no bytes`() {
        val violation = violation(Fault.KEEPS_AT_MOST_4096)
        assertEquals("4096 bytes came instead of 524288, the first 4096 of them right", violation.seen)
        assertEquals("broken: what is loaded equals what was stored; but ${violation.seen}", violation.message)
        assertNull(violation.cause)
    }

    @Test
    fun `what the storage threw is the cause, with its reason if it is a typed one`() {
        val typed = violation(Fault.ABSENT_IS_AN_ERROR)
        assertEquals("load of contract-a failed: KEY_MISSING", typed.seen)
        assertIs<StorageException>(typed.cause)
        val other = violation(Fault.DELETES_ABSENT_WITH_ERROR)
        assertEquals("delete of contract-c failed: java.lang.IllegalStateException", other.seen)
        assertIs<IllegalStateException>(other.cause)
    }

    @Test
    fun `the check asks for keys that the library may use, up to the longest`() {
        val asked = HashSet<String>()
        val inner = MemoryStorage()
        StorageContract.check {
            object : SecureStorage by inner {
                override fun delete(key: String) {
                    synchronized(asked) { asked += key }
                    inner.delete(key)
                }
            }
        }
        for (key in asked) assertTrue(Regex("[a-z0-9-][a-z0-9.-]{0,63}").matches(key), key)
        assertEquals(64, asked.maxOf { it.length })
    }
}
