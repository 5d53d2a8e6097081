package org.directauth.testing

import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import org.directauth.SecureStorage
import org.directauth.StorageException

/**
 * Checks an app's own [SecureStorage] against what the library relies on (docs/own-storage.md). Run it as a test of the app, on every
 * platform that the storage is made for; a place kept for tests is enough.
 *
 * It does not provoke failures, and it cannot see whether a write outlives a power failure. A fault that only some moments show may be
 * missed.
 */
public object StorageContract {
    /**
     * Checks every [StorageRule], in their order, and blocks until it is done.
     *
     * The place has to be empty, else nothing is touched. It is empty afterwards, also after a violation if `delete` works. Several
     * threads call the storage at once. A call that never returns is not noticed: give the test a deadline.
     *
     * @param open gives a new instance over the same place, as a new process would: nothing may be shared between instances but the place.
     *   One that returns the same object each time checks a storage whose place is that object. Called on the caller's thread only; what
     *   it throws is thrown on
     * @throws StorageContractViolation for the first rule that is broken
     */
    public fun check(open: () -> SecureStorage): Report {
        val found = Handle(open()).keys(StorageRule.STARTS_EMPTY)
        StorageRule.STARTS_EMPTY.holds(found.isEmpty()) { "it has ${found.size} keys" }
        try {
            checkEmptyPlace { Handle(open()) }
        } catch (e: Throwable) {
            // What was broken is told, and not what follows from it.
            runCatching { open() }.onSuccess { storage -> EVERY_NAME.forEach { runCatching { storage.delete(it) } } }
            throw e
        }
        endsEmpty(Handle(open()))
        return Report(StorageRule.entries.toList())
    }

    /** What was checked and found kept. */
    public class Report internal constructor(
        /** The rules, in the order in which they were checked. */
        public val kept: List<StorageRule>,
    ) {
        /** One rule a line. */
        override fun toString(): String = kept.joinToString("\n") { "kept: ${it.text}" }
    }
}

/** One rule for a [SecureStorage], as [StorageContract] checks it. */
public enum class StorageRule(
    /** What holds where it is kept. */
    public val text: String,
) {
    /** Not a rule for a storage but for the test: it touches nothing where there is something already. */
    STARTS_EMPTY("the place is empty when the check begins"),

    /** A first start is no failure. */
    ABSENT_IS_NULL("what is absent is null, not an error"),

    /** Any byte, any length from none to 512 KiB, which is the most that the library writes. */
    KEEPS_BYTES("what is loaded equals what was stored"),

    /** Nothing is left of a longer value, nothing is appended to a shorter one. */
    REPLACES_WHOLLY("a stored value replaces the old one wholly"),

    /** What is gone is absent again, and all else stays. */
    DELETES("delete removes its value and no other"),

    /** The library deletes again after a restart. */
    DELETES_ABSENT("deleting what is absent is no error"),

    /** A value that is not listed is a session that nobody finds. */
    LISTS_EXACTLY("keys lists exactly the values that are there, each once"),

    /** Neither the array that was given nor one that was returned is what is kept. */
    SHARES_NO_BYTES("what is done to an array outside changes nothing inside, nor the other way round"),

    /** The longest keys, keys that are the beginning of another, dots, dashes, names of devices, numbers. */
    KEYS_ARE_DISTINCT("every key has a value of its own"),

    /** As far as one process can see it: through another instance. */
    SURVIVES_REOPENING("what was stored is there in a new instance"),

    /** Otherwise a session that was signed out comes back. */
    DELETION_SURVIVES_REOPENING("what was deleted stays absent in a new instance"),

    /** No instance may answer from what it remembers. */
    INSTANCES_AGREE("two instances over one place see each other's writes"),

    /** No write may undo another one's. */
    CONCURRENT_KEYS("values stored or deleted at the same time under different keys do not disturb each other"),

    /** A reader never sees a half-written value, nor none while one replaces another. */
    CONCURRENT_REPLACING("a load during a store gives the old or the new value whole"),

    /** After a check the place is as it was. */
    ENDS_EMPTY("the place is empty again after everything was deleted"),
}

/**
 * A rule that is broken, and what was seen instead. Never contains the bytes of a value.
 *
 * Its cause is what the storage threw, if it did.
 */
public class StorageContractViolation internal constructor(
    /** The rule. */
    public val rule: StorageRule,
    /** What was seen. */
    public val seen: String,
    cause: Throwable? = null,
) : AssertionError("broken: ${rule.text}; but $seen", cause)

private fun checkEmptyPlace(open: () -> Handle) {
    val storage = open()
    absentIsNull(storage)
    keepsBytes(storage)
    replacesWholly(storage)
    deletes(storage)
    deletesAbsent(storage)
    listsExactly(storage)
    sharesNoBytes(storage)
    keysAreDistinct(storage)
    survivesReopening(open)
    instancesAgree(open(), open())
    concurrentKeys(open(), open())
    concurrentReplacing(open(), open())
}

private fun absentIsNull(storage: Handle) = storage.finds(StorageRule.ABSENT_IS_NULL, A, null)

private fun keepsBytes(storage: Handle) {
    val rule = StorageRule.KEEPS_BYTES
    val everyByte = ByteArray(256) { it.toByte() }
    val values = listOf(pattern(1, 100), ByteArray(0), everyByte, ByteArray(33), pattern(2, LARGEST), pattern(3, 7))
    // Each under a key of its own: replacing is another rule.
    for ((name, value) in SIX.zip(values)) {
        storage.put(rule, name, value)
        storage.finds(rule, name, value)
    }
    // A load takes nothing away.
    for ((name, value) in SIX.zip(values)) storage.finds(rule, name, value)
    for (name in SIX) storage.delete(rule, name)
}

private fun replacesWholly(storage: Handle) {
    val rule = StorageRule.REPLACES_WHOLLY
    for ((seed, length) in listOf(4 to 300, 5 to 20, 6 to 5000, 7 to 4999, 8 to 4999, 9 to 0, 10 to 1)) {
        storage.put(rule, A, pattern(seed, length))
        storage.finds(rule, A, pattern(seed, length))
    }
}

private fun deletes(storage: Handle) {
    val rule = StorageRule.DELETES
    storage.put(rule, A, pattern(13, 40))
    storage.put(rule, B, pattern(14, 40))
    storage.delete(rule, A)
    storage.finds(rule, A, null)
    storage.finds(rule, B, pattern(14, 40))
    // A key that was deleted can be used again.
    storage.put(rule, A, pattern(15, 40))
    storage.finds(rule, A, pattern(15, 40))
    storage.delete(rule, A)
    storage.delete(rule, B)
}

private fun deletesAbsent(storage: Handle) {
    val rule = StorageRule.DELETES_ABSENT
    storage.delete(rule, C)
    storage.put(rule, C, pattern(16, 40))
    storage.delete(rule, C)
    storage.delete(rule, C)
    storage.finds(rule, C, null)
}

private fun listsExactly(storage: Handle) {
    val rule = StorageRule.LISTS_EXACTLY
    storage.lists(rule)
    storage.put(rule, A, pattern(11, 50))
    storage.lists(rule, A)
    storage.put(rule, B, ByteArray(0))
    storage.put(rule, A, pattern(12, 60))
    storage.lists(rule, A, B)
    // Looking for what is absent does not create it.
    storage.finds(rule, C, null)
    storage.lists(rule, A, B)
    storage.delete(rule, A)
    storage.lists(rule, B)
    storage.delete(rule, B)
    storage.lists(rule)
}

private fun sharesNoBytes(storage: Handle) {
    val rule = StorageRule.SHARES_NO_BYTES
    val given = pattern(17, 400)
    storage.putAsIs(rule, A, given)
    given.fill(1)
    val first = storage.load(rule, A)
    rule.holds(pattern(17, 400).contentEquals(first)) { "a change of the array that was given to store changed the value" }
    first?.fill(2)
    val second = storage.load(rule, A)
    rule.holds(pattern(17, 400).contentEquals(second)) { "a change of the array that load returned changed the value" }
    storage.put(rule, A, pattern(18, 400))
    rule.holds(pattern(17, 400).contentEquals(second)) { "a later store changed the array that load had returned" }
    storage.delete(rule, A)
    rule.holds(pattern(17, 400).contentEquals(second)) { "delete changed the array that load had returned" }
}

private fun keysAreDistinct(storage: Handle) {
    val rule = StorageRule.KEYS_ARE_DISTINCT
    val named = DISTINCT.mapIndexed { number, name -> name to pattern(200 + number, 30) }
    for ((name, value) in named) storage.put(rule, name, value)
    for ((name, value) in named) storage.finds(rule, name, value)
    storage.lists(rule, *DISTINCT.toTypedArray())
    // One after the other, so that a delete that takes a neighbour along is seen.
    for ((number, name) in DISTINCT.withIndex()) {
        storage.delete(rule, name)
        storage.lists(rule, *DISTINCT.drop(number + 1).toTypedArray())
    }
}

private fun survivesReopening(open: () -> Handle) {
    val first = open()
    // Whatever was deleted so far.
    first.lists(StorageRule.DELETION_SURVIVES_REOPENING)

    val stored = StorageRule.SURVIVES_REOPENING
    first.put(stored, A, pattern(70, 1000))
    first.put(stored, B, pattern(71, 1000))
    first.put(stored, A, pattern(72, 900))
    val second = open()
    second.lists(stored, A, B)
    second.finds(stored, A, pattern(72, 900))
    second.finds(stored, B, pattern(71, 1000))

    val deleted = StorageRule.DELETION_SURVIVES_REOPENING
    second.delete(deleted, A)
    val third = open()
    third.finds(deleted, A, null)
    third.lists(deleted, B)
    third.finds(deleted, B, pattern(71, 1000))
    third.delete(deleted, B)
}

private fun instancesAgree(one: Handle, other: Handle) {
    val rule = StorageRule.INSTANCES_AGREE
    // Both look first, and then do not answer from what they saw.
    for (handle in listOf(one, other)) {
        handle.finds(rule, A, null)
        handle.lists(rule)
    }
    for ((seed, writer, reader) in listOf(Triple(73, one, other), Triple(74, other, one))) {
        writer.put(rule, A, pattern(seed, 200))
        reader.finds(rule, A, pattern(seed, 200))
        reader.lists(rule, A)
    }
    one.put(rule, B, pattern(75, 200))
    other.put(rule, C, pattern(76, 200))
    for (handle in listOf(one, other)) handle.lists(rule, A, B, C)
    for ((name, deleter, reader) in listOf(Triple(A, one, other), Triple(B, other, one), Triple(C, one, other))) {
        deleter.delete(rule, name)
        reader.finds(rule, name, null)
    }
    other.lists(rule)
}

private fun concurrentKeys(one: Handle, other: Handle) {
    val rule = StorageRule.CONCURRENT_KEYS
    val handles = listOf(one, other, one, other)
    val groups = AT_ONCE.chunked(AT_ONCE.size / handles.size)
    fun eachGroup(work: (Handle, String) -> Unit) =
        atOnce(handles.zip(groups) { handle, names -> { names.forEach { work(handle, it) } } })
    repeat(ROUNDS) { round ->
        fun value(name: String) = pattern(300 + ROUNDS * AT_ONCE.indexOf(name) + round, 3000)
        eachGroup { handle, name -> handle.put(rule, name, value(name)) }
        one.lists(rule, *AT_ONCE.toTypedArray())
        for (name in AT_ONCE) other.finds(rule, name, value(name))
        eachGroup { handle, name -> handle.delete(rule, name) }
        other.lists(rule)
    }
}

private fun concurrentReplacing(one: Handle, other: Handle) {
    val rule = StorageRule.CONCURRENT_REPLACING
    val values = (0..REPLACEMENTS).map { pattern(100 + it, 2000 + 1500 * (it % 3)) }
    val begun = AtomicInteger()
    val finished = AtomicInteger()
    val isOver = AtomicBoolean()
    fun write() {
        try {
            for (number in 1..REPLACEMENTS) {
                begun.set(number)
                one.put(rule, A, values[number])
                finished.set(number)
            }
        } finally {
            isOver.set(true)
        }
    }
    fun untilItIsOver(look: () -> Unit) {
        do {
            look()
            // A lock that is not fair would keep the writer waiting.
            Thread.yield()
        } while (!isOver.get())
    }
    fun read(handle: Handle) {
        // Whatever was there when the load began, or came before it ended.
        val oldest = finished.get()
        val loaded = handle.load(rule, A)
        val newest = begun.get()
        val isWhole = loaded != null && values.subList(oldest, newest + 1).any { it.contentEquals(loaded) }
        rule.holds(isWhole) { if (loaded == null) "none was there" else "${loaded.size} bytes came that are neither value" }
    }
    one.put(rule, A, values[0])
    atOnce(
        listOf(
            { write() },
            { untilItIsOver { read(one) } },
            { untilItIsOver { read(other) } },
            { untilItIsOver { other.lists(rule, A) } },
        ),
    )
    other.finds(rule, A, values.last())

    // Two writers: one of them is the last, and nothing is mixed.
    val left = pattern(98, 6000)
    val right = pattern(99, 2000)
    atOnce(listOf({ one.put(rule, A, left) }, { other.put(rule, A, right) }))
    val last = one.load(rule, A)
    rule.holds(left.contentEquals(last) || right.contentEquals(last)) { "after two stores at once it is neither's value" }
    other.finds(rule, A, last)
    one.delete(rule, A)
}

/** Runs all of it at the same time, each on a thread of its own, and throws the first failure when all have ended. */
private fun atOnce(works: List<() -> Unit>) {
    val missing = CountDownLatch(works.size)
    val failures = ConcurrentLinkedQueue<Throwable>()
    val threads = works.map { work ->
        thread(isDaemon = true, name = "storage-contract") {
            try {
                missing.countDown()
                missing.await()
                work()
            } catch (e: Throwable) {
                failures.add(e)
            }
        }
    }
    for (each in threads) each.join()
    failures.poll()?.let { throw it }
}

/** Deletes only the keys of the check, whatever else may have come meanwhile. */
private fun endsEmpty(storage: Handle) {
    val rule = StorageRule.ENDS_EMPTY
    for (name in EVERY_NAME) storage.delete(rule, name)
    storage.lists(rule)
}

private inline fun StorageRule.holds(kept: Boolean, seen: () -> String) {
    if (!kept) throw StorageContractViolation(this, seen())
}

/** A storage whose every answer is looked at. */
private class Handle(private val storage: SecureStorage) {
    fun load(rule: StorageRule, name: String): ByteArray? = call(rule, "load of $name") { storage.load(name) }

    /** Gives a copy: a storage may wipe what it was given. */
    fun put(rule: StorageRule, name: String, value: ByteArray) = putAsIs(rule, name, value.copyOf())

    fun putAsIs(rule: StorageRule, name: String, value: ByteArray) = call(rule, "store of $name") { storage.store(name, value) }

    fun delete(rule: StorageRule, name: String) = call(rule, "delete of $name") { storage.delete(name) }

    fun keys(rule: StorageRule): List<String> = call(rule, "keys") { storage.keys() }

    fun finds(rule: StorageRule, name: String, expected: ByteArray?) {
        val loaded = load(rule, name)
        when {
            loaded == null -> rule.holds(expected == null) { "$name is absent" }
            expected == null -> rule.holds(false) { "$name is there" }
            else -> rule.holds(loaded.contentEquals(expected)) { difference(loaded, expected) }
        }
    }

    fun lists(rule: StorageRule, vararg expected: String) {
        val listed = keys(rule)
        val missing = expected.toList() - listed.toSet()
        val more = listed - expected.toSet()
        rule.holds(listed.size == expected.size && missing.isEmpty() && more.isEmpty()) {
            // A few say enough.
            "keys lists ${listed.size} instead of ${expected.size}; missing: ${missing.take(3)}, too many: ${more.take(3)}"
        }
    }

    private inline fun <T> call(rule: StorageRule, call: String, work: () -> T): T =
        try {
            work()
        } catch (e: Exception) {
            val reason = (e as? StorageException)?.problem ?: e.javaClass.name
            throw StorageContractViolation(rule, "$call failed: $reason", e)
        }
}

/** How two values differ, without what they are. */
private fun difference(found: ByteArray, expected: ByteArray): String {
    val same = found.zip(expected).takeWhile { (one, other) -> one == other }.size
    return "${found.size} bytes came instead of ${expected.size}, the first $same of them right"
}

private const val A = "contract-a"
private const val B = "contract-b"
private const val C = "contract-c"
private val SIX = List(6) { "contract-${it + 1}" }
private val AT_ONCE = List(16) { "contract-at-once-$it" }

/** Keys that a careless storage takes for one another, or for something else than a name. The library's own begin with a letter. */
private val DISTINCT: List<String> = buildList {
    // As long as a key may be, and one less.
    for (last in listOf("", "0", "1", "-", ".")) add("0".repeat(63) + last)
    add("z".repeat(64))
    add("x.".repeat(30) + "-a.9")
    // The forms that the library uses.
    val id = "0123456789abcdef".repeat(2)
    addAll(listOf("session.$id", "ended.$id", "owed.$id.0123456789abcdef", "public.$id", "probe.$id", "counter", "session", id))
    addAll(listOf("a", "aa", "ab", "ba", "b", "a.", "a-", "-a", "a.a", "a-a", "a..a", "a.b", "a.a.b", "-", "--"))
    addAll(listOf("0", "00", "1", "01", "1.0", "1.00", "-1", "nul", "con.txt", "a.tmp", "a.blob", "null", "true"))
}

private val EVERY_NAME = listOf(A, B, C) + SIX + AT_ONCE + DISTINCT

/** The most that the library writes. */
private const val LARGEST = 512 * 1024

private const val ROUNDS = 4
private const val REPLACEMENTS = 40

/** Bytes that are others for each seed, and at each place. */
private fun pattern(seed: Int, length: Int): ByteArray {
    var state = (seed.toUInt() * 0x9e3779b9u) or 1u
    return ByteArray(length) {
        state = state xor (state shl 13)
        state = state xor (state shr 17)
        state = state xor (state shl 5)
        state.toByte()
    }
}
