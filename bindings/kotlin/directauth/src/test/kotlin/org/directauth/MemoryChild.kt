package org.directauth

import com.sun.jna.Memory
import java.io.File
import kotlinx.coroutines.runBlocking
import org.directauth.testing.MemoryStorage

/** A text that stands in no file: 24 letters, by two of them. */
fun canary(first: Char, second: Char): String = buildString {
    var letter = first.code * 31 + second.code
    repeat(24) {
        letter = (letter * 1103515245 + 12345) and 0x7fffffff
        append('a' + (letter shr 16) % 26)
    }
}

/** Signs in, lets go of the password, and waits to be looked at. */
fun main(arguments: Array<String>) {
    val (issuer, clientId, ca) = arguments
    val kept = canary('k', 'c').toByteArray()
    val memory = Memory(kept.size.toLong()).apply { write(0, kept, 0, kept.size) }
    val client = DirectAuthClient(issuer, clientId) {
        scopes = listOf("openid", "offline_access")
        trust = Trust.Custom(File(ca).readText())
        storage = MemoryStorage()
    }
    runBlocking {
        val step = client.signIn("ben@example.com").password(canary('p', 'w'))
        check(step is SignedIn)
    }
    repeat(3) { System.gc() }
    println("signed in")
    System.out.flush()
    Thread.sleep(60_000)
    memory.clear()
}
