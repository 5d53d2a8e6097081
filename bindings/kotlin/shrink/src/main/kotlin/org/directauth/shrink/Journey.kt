package org.directauth.shrink

import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.runBlocking
import org.directauth.AuditSink
import org.directauth.AuthException
import org.directauth.ChooseFactor
import org.directauth.CrossProcessLock
import org.directauth.DPoP
import org.directauth.DirectAuthClient
import org.directauth.DirectAuthLog
import org.directauth.EnterCode
import org.directauth.HeaderProvider
import org.directauth.KeyException
import org.directauth.KeyProblem
import org.directauth.SecureStorage
import org.directauth.SignedIn
import org.directauth.SigningKey
import org.directauth.StorageException
import org.directauth.StorageProblem
import org.directauth.Trust
import org.directauth.testing.Emulator

/** What an app does, with everything that native code calls back into: what R8 took too much of fails here. */
fun main(): Unit = runBlocking {
    val counts = Counts()
    DirectAuthLog.setSink { _, _ -> counts.logged.incrementAndGet() }
    Emulator.start().use { emulator ->
        val storage = Notes(counts)
        fun client() = DirectAuthClient(emulator.issuer, emulator.clientId) {
            scopes = listOf("openid", "profile", "offline_access")
            trust = Trust.Custom(emulator.caPem)
            this.storage = storage
            dpop = DPoP.REQUIRED
            signingKey = NoKeys(counts)
            crossProcessLock = Alone(counts)
            headerProvider = HeaderProvider { _, _ -> mapOf("x-shield" to "ok").also { counts.headers.incrementAndGet() } }
            auditSink = AuditSink { counts.audited.incrementAndGet() }
        }
        client().use { client ->
            val wrong = runCatching { client.signIn(ANA).password("wrong") }.exceptionOrNull()
            check(wrong is AuthException.Rejected && wrong.remedy.toString().isNotEmpty()) { "a wrong password was $wrong" }
            val choose = client.signIn(ANA).password(PASSWORD) as ChooseFactor
            val code = choose.sms() as EnterCode
            check(runCatching { code.submit("000000") }.exceptionOrNull() is AuthException.Rejected)
            val session = (code.submit(emulator.lastCode(ANA).orEmpty()) as SignedIn).session
            check(session.claims?.text("name") == "Ana Ibarra" && session.isPersisted && session.isDPoPBound)
            check(session.authorize("GET", emulator.resourceUrl).values.keys == setOf("authorization", "dpop"))
        }
        client().use { client ->
            storage.fails = true
            val locked = runCatching { client.restore() }.exceptionOrNull()
            check(locked is AuthException.StorageUnavailable && locked.reason == StorageProblem.LOCKED) { "a locked device was $locked" }
            storage.fails = false
            val session = checkNotNull(client.restore())
            session.refresh()
            println("signed out: ${session.signOut().server}")
            check(client.restore() == null)
        }
    }
    DirectAuthLog.setSink(null)
    println(counts)
    check(counts.all.all { it.get() > 0 }) { "something was never called back" }
}

private const val ANA = "ana@example.com"
private const val PASSWORD = "correct horse battery"

class Counts {
    val logged = AtomicInteger()
    val stored = AtomicInteger()
    val keyed = AtomicInteger()
    val locked = AtomicInteger()
    val headers = AtomicInteger()
    val audited = AtomicInteger()
    val all get() = listOf(logged, stored, keyed, locked, headers, audited)

    override fun toString() = "log lines, storage calls, key calls, locks, header calls, events: $all"
}

private class Notes(private val counts: Counts) : SecureStorage {
    private val notes = LinkedHashMap<String, ByteArray>()
    @Volatile var fails = false

    @Synchronized override fun load(key: String): ByteArray? {
        counts.stored.incrementAndGet()
        if (fails) throw StorageException(StorageProblem.LOCKED)
        return notes[key]
    }

    @Synchronized override fun store(key: String, value: ByteArray) {
        notes[key] = value
    }

    @Synchronized override fun delete(key: String) {
        notes.remove(key)
    }

    @Synchronized override fun keys() = notes.keys.toList()
}

private class NoKeys(private val counts: Counts) : SigningKey {
    override fun create(name: String): ByteArray {
        counts.keyed.incrementAndGet()
        throw KeyException(KeyProblem.UNSUPPORTED)
    }

    override fun publicKey(name: String): ByteArray = throw KeyException(KeyProblem.MISSING)

    override fun sign(name: String, message: ByteArray): ByteArray = throw KeyException(KeyProblem.MISSING)

    override fun delete(name: String) = Unit
}

private class Alone(private val counts: Counts) : CrossProcessLock {
    override fun acquire(timeoutMillis: Long) {
        counts.locked.incrementAndGet()
    }

    override fun release() = Unit

    override fun stillHeld() = true
}
