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

/** A text as it may pass through memory without being found there; the same again gives the text. */
fun disguised(text: String): String = text.map { it.code.xor(1).toChar() }.joinToString("")

/** Signs in, lets go of everything, and waits to be looked at. */
fun main(arguments: Array<String>) {
    val (issuer, clientId, ca, code) = arguments
    val kept = canary('k', 'c').toByteArray()
    val memory = Memory(kept.size.toLong()).apply { write(0, kept, 0, kept.size) }
    val client = DirectAuthClient(issuer, clientId) {
        scopes = listOf("openid", "offline_access")
        trust = Trust.Custom(File(ca).readText())
        storage = MemoryStorage()
    }
    val tokens = runBlocking {
        check(runCatching { client.signIn("ben@example.com").password(canary('n', 'o')) }.exceptionOrNull() is AuthException.Rejected)
        val choice = client.signIn("ben@example.com").password(canary('p', 'w')) as ChooseFactor
        check(runCatching { choice.otp(canary('c', 'd')) }.exceptionOrNull() is AuthException.Rejected)
        val session = (choice.otp(code) as SignedIn).session
        listOf(session.accessToken(), checkNotNull(session.idToken())).map(::disguised)
    }
    client.close()
    for (token in tokens) println("token $token")
    println("signed in")
    System.out.flush()
    // What the app let go of is freed when the collector has found that out, which it does as often as it is asked.
    while (readlnOrNull() != null) {
        System.gc()
        println("collected")
        System.out.flush()
    }
    memory.clear()
}
