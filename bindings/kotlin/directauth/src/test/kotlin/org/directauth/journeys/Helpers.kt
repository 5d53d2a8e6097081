package org.directauth.journeys

import java.lang.ref.WeakReference
import java.net.URI
import java.security.MessageDigest
import java.util.Base64
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLSocketFactory
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.put
import org.directauth.Advice
import org.directauth.ApproveOnDevice
import org.directauth.ChooseFactor
import org.directauth.EnterCode
import org.directauth.HeaderField
import org.directauth.SignInStep
import org.directauth.UsePasskey

fun equal(what: String, found: Any?, expected: Any?) {
    if (found != expected) throw Mismatch("$what: $found, expected $expected")
}

fun parse(text: String): JsonObject = Json.parseToJsonElement(text).jsonObject

fun originOf(url: String): String = URI(url).let { "https://${it.authority}" }

val SignInStep.choice: ChooseFactor?
    get() =
        when (this) {
            is ApproveOnDevice -> choice
            is EnterCode -> choice
            is UsePasskey -> choice
            else -> null
        }

fun wordOf(advice: Advice): String =
    when (advice) {
        Advice.Proceed -> "Proceed"
        Advice.Retry -> "Retry"
        Advice.SignInAgain -> "SignInAgain"
        is Advice.StepUp -> "StepUp " + advice.acrValues.joinToString(" ") + (advice.maxAge?.let { ", ${it.inWholeSeconds} s" } ?: "")
    }

/** How the app itself reaches an API: the status, and what the answer's headers say. */
fun callResource(trust: SSLSocketFactory, url: String, headers: Map<String, String>): Pair<Int, List<HeaderField>> {
    val connection = URI(url).toURL().openConnection() as HttpsURLConnection
    connection.sslSocketFactory = trust
    headers.forEach(connection::setRequestProperty)
    val status = connection.responseCode
    val fields = connection.headerFields.filterKeys { it != null }.flatMap { (name, values) -> values.map { HeaderField(name, it) } }
    connection.disconnect()
    return status to fields
}

/** Waits until nobody holds it any more, and the library has learnt that. */
suspend fun untilCollected(dropped: WeakReference<*>) {
    val held = withTimeoutOrNull(10.seconds) {
        while (dropped.get() != null) {
            System.gc()
            delay(5.milliseconds)
        }
        // The cleaner has a thread of its own, and another object to find.
        repeat(2) {
            System.gc()
            delay(20.milliseconds)
        }
    } == null
    if (held) throw Mismatch("somebody still holds the step")
}

/** An answer to a request, or to another challenge, that nobody has signed. */
fun unsigned(request: String, challenge: String?): String {
    val asked = parse(request)
    fun base64Url(bytes: ByteArray) = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes)
    val client = """{"type":"webauthn.get","challenge":"${challenge ?: asked.text("challenge")}","origin":"https://localhost"}"""
    val data = MessageDigest.getInstance("SHA-256").digest(asked.text("rpId").toByteArray()) + byteArrayOf(5, 0, 0, 0, 1)
    val id = (asked["allowCredentials"] as? JsonArray)?.firstOrNull()?.jsonObject?.text("id") ?: "AQID"
    return buildJsonObject {
        put("id", id)
        put("rawId", id)
        put("type", "public-key")
        put(
            "response",
            buildJsonObject {
                put("clientDataJSON", base64Url(client.toByteArray()))
                put("authenticatorData", base64Url(data))
                put("signature", base64Url("nobody's".toByteArray()))
            },
        )
    }.toString()
}

/** Whatever is secret in a run: it must show in no error, no event, and what was typed must not be stored. */
class Secrets {
    private val shown = HashSet<String>()
    private val stored = HashSet<String>()

    fun typed(text: String) {
        if (text.length >= SHORTEST) shown += text
    }

    fun neverStored(text: String) {
        typed(text)
        if (text.length >= SHORTEST) stored += text
    }

    fun came(token: String) = typed(token)

    fun check(place: String, text: String) {
        shown.firstOrNull { shows(text, it) }?.let { throw Mismatch("$it shows in $place: $text") }
    }

    fun checkStored(text: String) {
        stored.firstOrNull { shows(text, it) }?.let { throw Mismatch("$it was written to the store") }
    }

    /** Digits alone only where they stand alone, since times and ids are full of digits. */
    private fun shows(text: String, secret: String): Boolean {
        if (!secret.all(Char::isDigit)) return secret in text
        return Regex("(?<![A-Za-z0-9])${Regex.escape(secret)}(?![A-Za-z0-9])").containsMatchIn(text)
    }

    private companion object {
        /** Shorter values would be found by chance. */
        const val SHORTEST = 4
    }
}
