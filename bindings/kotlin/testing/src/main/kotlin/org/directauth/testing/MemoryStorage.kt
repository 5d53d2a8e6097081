package org.directauth.testing

import org.directauth.SecureStorage
import org.directauth.StorageException
import org.directauth.StorageProblem

/** A storage in memory, which can be told to fail. Safe for several threads. */
public class MemoryStorage : SecureStorage {
    private val values = HashMap<String, ByteArray>()

    /** What every call reports from now on; null: it works. */
    @Volatile
    public var problem: StorageProblem? = null

    /** What every call that writes reports from now on; null: it works. */
    @Volatile
    public var writeProblem: StorageProblem? = null

    /** How many values there are. */
    public val size: Int get() = synchronized(values) { values.size }

    override fun load(key: String): ByteArray? = working(problem) { values[key]?.copyOf() }

    override fun store(key: String, value: ByteArray): Unit = working(problem ?: writeProblem) { values[key] = value.copyOf() }

    override fun delete(key: String): Unit = working(problem ?: writeProblem) { values.remove(key) }

    override fun keys(): List<String> = working(problem) { values.keys.toList() }

    /** Everything is gone, as after an uninstallation. */
    public fun clear(): Unit = synchronized(values) { values.clear() }

    private inline fun <T> working(problem: StorageProblem?, work: () -> T): T {
        problem?.let { throw StorageException(it) }
        return synchronized(values) { work() }
    }
}
