// What the app implements, as the core calls it. What is thrown beside the declared exceptions reaches the core without its text.

package org.directauth.internal

import org.directauth.AuditSink
import org.directauth.CrossProcessLock
import org.directauth.HeaderProvider
import org.directauth.KeyException
import org.directauth.KeyProblem
import org.directauth.LockException
import org.directauth.LogSink
import org.directauth.SecureStorage
import org.directauth.SigningKey
import org.directauth.StorageException
import org.directauth.StorageProblem
import org.directauth.ffi.AuditEvent as CoreAuditEvent
import org.directauth.ffi.AuditSink as CoreAuditSink
import org.directauth.ffi.CrossProcessLock as CoreLock
import org.directauth.ffi.HeaderProvider as CoreHeaderProvider
import org.directauth.ffi.KeyException as CoreKeyException
import org.directauth.ffi.LockException as CoreLockException
import org.directauth.ffi.LogLevel as CoreLogLevel
import org.directauth.ffi.LogSink as CoreLogSink
import org.directauth.ffi.SecureStorage as CoreStorage
import org.directauth.ffi.SigningKey as CoreSigningKey
import org.directauth.ffi.StorageException as CoreStorageException

internal class StorageForCore(private val storage: SecureStorage) : CoreStorage {
    override fun load(key: String): ByteArray? = typed { storage.load(key) }

    override fun store(key: String, value: ByteArray): Unit = typed { storage.store(key, value) }

    override fun delete(key: String): Unit = typed { storage.delete(key) }

    override fun keys(): List<String> = typed { storage.keys() }

    private inline fun <T> typed(work: () -> T): T =
        try {
            work()
        } catch (e: StorageException) {
            throw when (e.problem) {
                StorageProblem.LOCKED -> CoreStorageException.Locked()
                StorageProblem.NEEDS_USER -> CoreStorageException.NeedsUser()
                StorageProblem.USER_CANCELLED -> CoreStorageException.UserCancelled()
                StorageProblem.FOREIGN -> CoreStorageException.Foreign()
                StorageProblem.CORRUPT -> CoreStorageException.Corrupt()
                StorageProblem.KEY_MISSING -> CoreStorageException.KeyMissing()
                StorageProblem.KEY_DESTROYED -> CoreStorageException.KeyDestroyed()
                // Whether a newer version wrote it is for the library to say.
                StorageProblem.TRANSIENT, StorageProblem.NEWER_VERSION -> CoreStorageException.Transient()
            }
        }
}

internal class KeysForCore(private val keys: SigningKey) : CoreSigningKey {
    override fun create(name: String): ByteArray = typed { keys.create(name) }

    override fun publicKey(name: String): ByteArray = typed { keys.publicKey(name) }

    override fun sign(name: String, message: ByteArray): ByteArray = typed { keys.sign(name, message) }

    override fun delete(name: String): Unit = typed { keys.delete(name) }

    private inline fun <T> typed(work: () -> T): T =
        try {
            work()
        } catch (e: KeyException) {
            throw when (e.problem) {
                KeyProblem.LOCKED -> CoreKeyException.Locked()
                KeyProblem.NEEDS_USER -> CoreKeyException.NeedsUser()
                KeyProblem.USER_CANCELLED -> CoreKeyException.UserCancelled()
                KeyProblem.MISSING -> CoreKeyException.Missing()
                KeyProblem.DESTROYED -> CoreKeyException.Destroyed()
                KeyProblem.UNSUPPORTED -> CoreKeyException.Unsupported()
                // Whether it is another key is for the library to say.
                KeyProblem.TRANSIENT, KeyProblem.CHANGED -> CoreKeyException.Transient()
            }
        }
}

internal class LockForCore(private val lock: CrossProcessLock) : CoreLock {
    override fun acquire(timeoutMillis: Long): Unit = typed { lock.acquire(timeoutMillis) }

    override fun release(): Unit = typed { lock.release() }

    override fun stillHeld(): Boolean = typed { lock.stillHeld() }

    private inline fun <T> typed(work: () -> T): T =
        try {
            work()
        } catch (e: LockException) {
            throw if (e.stillHolds) CoreLockException.TimedOut() else CoreLockException.Failed()
        }
}

internal class HeadersForCore(private val provider: HeaderProvider) : CoreHeaderProvider {
    override fun headers(method: String, path: String): Map<String, String> = provider.headers(method, path)
}

internal class LogSinkForCore(private val sink: LogSink) : CoreLogSink {
    override fun log(level: CoreLogLevel, line: String): Unit = sink.log(level.like(), line)
}

internal class AuditSinkForCore(private val sink: AuditSink) : CoreAuditSink {
    override fun record(event: CoreAuditEvent): Unit = sink.record(event.forApp())
}
