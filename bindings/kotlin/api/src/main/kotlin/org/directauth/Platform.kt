package org.directauth

/**
 * Where sessions are kept: opaque bytes under opaque names of `a-z 0-9 . -` that begin with a letter, at most 64 characters and
 * without user data.
 *
 * Called on threads of the library that may wait, never on the caller's. What is thrown beside [StorageException] counts as
 * [StorageProblem.TRANSIENT]; its text is dropped. The bytes are secret: encrypt them before they leave the process's memory.
 */
public interface SecureStorage {
    /** The value under [key], or null if there certainly is none. Whatever cannot be read is an exception, never null. */
    public fun load(key: String): ByteArray?

    /** Puts [value] under [key], in place of what was there: the whole of it or nothing, and durable when it returns. */
    public fun store(key: String, value: ByteArray)

    /** Removes the value under [key]; removing what is not there is no error. */
    public fun delete(key: String)

    /** The keys of all values, also of those that cannot be read. */
    public fun keys(): List<String>
}

/** Why a [SecureStorage] could not do it. What is not certain is [StorageProblem.TRANSIENT]. */
public class StorageException(public val problem: StorageProblem) : Exception("the storage: $problem")

/**
 * Keys of the platform on P-256, in its secure hardware if it has any, each under a name of the library's making. The private part
 * never leaves the platform. Called on threads that may wait. What is thrown beside [KeyException] counts as [KeyProblem.TRANSIENT].
 */
public interface SigningKey {
    /** Makes a key pair under a name that is new; its public key: an uncompressed point of 65 bytes or a DER SubjectPublicKeyInfo. */
    public fun create(name: String): ByteArray

    /** The public key under [name], in either form. */
    public fun publicKey(name: String): ByteArray

    /** ECDSA with SHA-256 over [message], as DER or as r‖s of 64 bytes. */
    public fun sign(name: String, message: ByteArray): ByteArray

    /** Destroys the key; destroying what is not there is no error. */
    public fun delete(name: String)
}

/** Why a [SigningKey] could not be used. What is not certain is [KeyProblem.TRANSIENT]. */
public class KeyException(public val problem: KeyProblem) : Exception("the key: $problem")

/**
 * Excludes the other processes that use the same storage while a session is refreshed or written. The operating system must free it
 * when its holder dies.
 */
public interface CrossProcessLock {
    /** Takes the lock; waits at most so many milliseconds for another process. Throws [LockException]. */
    public fun acquire(timeoutMillis: Long)

    /** Gives it back; no error if it was lost. */
    public fun release()

    /** Whether it has been held without a gap since [acquire]. Asked before every send and every write: quick, never blocks. */
    public fun stillHeld(): Boolean
}

/** Why a [CrossProcessLock] was not taken: because another process [stillHolds] it, or because it cannot be taken at all. */
public class LockException(public val stillHolds: Boolean) :
    Exception(if (stillHolds) "another process holds the lock" else "the lock cannot be taken")

/**
 * Gives headers for requests to the issuer's origin: for a bot protection or firewall in front of the server. Reserved names are not
 * sent. Given 2 s; what goes wrong is told by an audit event, and the request is sent without them.
 */
public fun interface HeaderProvider {
    /** The headers of one request, by name. Values are treated as secrets. */
    public fun headers(method: String, path: String): Map<String, String>
}

/** Where log lines go. Called on one background thread; what it throws loses that line and nothing else. */
public fun interface LogSink {
    /** Takes one line, which holds no secret. */
    public fun log(level: LogLevel, line: String)
}

/** How much a log line matters. */
public enum class LogLevel {
    /** A defect, or something that somebody should look at. */
    ERROR,

    /** Something odd. */
    WARN,

    /** Something of note. */
    INFO,

    /** Every attempt and event. */
    DEBUG,
}

/** Where events go. Called on a background thread; what it throws loses that event and nothing else. */
public fun interface AuditSink {
    /** Takes one event. */
    public fun record(event: AuditEvent)
}

/** The platform's way to use a passkey. */
public fun interface PasskeyCeremony {
    /**
     * Lets the user answer one challenge: [UsePasskey.requestJson] in, what [UsePasskey.answer] takes out.
     *
     * Throws the platform's own exceptions, such as when the user dismisses it.
     */
    public suspend fun get(requestJson: String): String
}

/** Lets the user answer by one ceremony of the platform. */
public suspend fun UsePasskey.answer(ceremony: PasskeyCeremony): SignInStep = answer(ceremony.get(requestJson))
