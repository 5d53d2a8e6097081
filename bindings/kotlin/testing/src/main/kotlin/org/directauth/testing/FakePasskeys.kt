package org.directauth.testing

import java.security.KeyPair
import java.security.KeyPairGenerator
import java.security.MessageDigest
import java.security.SecureRandom
import java.security.Signature
import java.security.spec.ECGenParameterSpec
import java.util.Base64
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import org.directauth.PasskeyCeremony

/**
 * A device with one passkey, in software: it signs what a real one would sign, and never asks anybody.
 *
 * [Emulator.addPasskey] registers it at the emulator.
 *
 * @param origin whose ceremony it is: the issuer's origin, or `android:apk-key-hash:…`
 * @param username whose passkey it is, for a sign-in without a username
 */
public class FakePasskeys(private val origin: String, username: String) : PasskeyCeremony {
    private val keys: KeyPair = KeyPairGenerator.getInstance("EC").apply { initialize(ECGenParameterSpec("secp256r1")) }.generateKeyPair()
    private val id = ByteArray(16).also(SecureRandom()::nextBytes)
    private val userHandle = "handle of $username".toByteArray()
    private var signatures = 0

    /** The passkey as the emulator's `POST /users/USER/passkeys` takes it: public parts only, in JSON. */
    public val registration: String =
        buildJsonObject {
            put("id", base64Url(id))
            put("public_key", base64Url(keys.public.encoded))
            put("user_handle", base64Url(userHandle))
            put("name", "a passkey in software")
        }.toString()

    /** What the next answers are. */
    @Volatile
    public var behaviour: Behaviour = Behaviour.SIGNS

    /** What a device may answer. */
    public enum class Behaviour {
        /** What it should. */
        SIGNS,

        /** An answer with a signature that nobody made. */
        SIGNS_NOTHING,

        /** The answer to another challenge. */
        ANSWERS_ANOTHER_CHALLENGE,

        /** What is no answer at all. */
        TALKS_NONSENSE,
    }

    override suspend fun get(requestJson: String): String {
        if (behaviour == Behaviour.TALKS_NONSENSE) return "{}"
        val options = Json.parseToJsonElement(requestJson).jsonObject.let { it["publicKey"]?.jsonObject ?: it }
        val challenge =
            if (behaviour == Behaviour.ANSWERS_ANOTHER_CHALLENGE) base64Url(ByteArray(32)) else options.text("challenge")
        val allowed = (options["allowCredentials"] as? JsonArray).orEmpty().map { it.jsonObject.text("id") }
        check(allowed.isEmpty() || base64Url(id) in allowed) { "the server asks for other passkeys than this one" }
        val clientData =
            buildJsonObject {
                put("type", "webauthn.get")
                put("challenge", challenge)
                put("origin", origin)
                put("crossOrigin", false)
            }.toString().toByteArray()
        // WebAuthn §6.1: the relying party, that somebody was there and was verified, and how often it has signed.
        val counter = synchronized(this) { ++signatures }
        val flags = byteArrayOf(0x05)
        val authenticatorData = sha256(options.text("rpId").toByteArray()) + flags + counter.bigEndian()
        val signature =
            if (behaviour == Behaviour.SIGNS_NOTHING) ByteArray(70) { 1 } else sign(authenticatorData + sha256(clientData))
        return buildJsonObject {
            put("id", base64Url(id))
            put("rawId", base64Url(id))
            put("type", "public-key")
            put("authenticatorAttachment", "platform")
            put("clientExtensionResults", JsonObject(emptyMap()))
            put(
                "response",
                buildJsonObject {
                    put("clientDataJSON", base64Url(clientData))
                    put("authenticatorData", base64Url(authenticatorData))
                    put("signature", base64Url(signature))
                    put("userHandle", base64Url(userHandle))
                },
            )
        }.toString()
    }

    private fun sign(message: ByteArray): ByteArray =
        Signature.getInstance("SHA256withECDSA").run {
            initSign(keys.private)
            update(message)
            sign()
        }

    private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

    private fun Int.bigEndian() = ByteArray(4) { (this ushr (24 - 8 * it)).toByte() }

    private fun sha256(bytes: ByteArray): ByteArray = MessageDigest.getInstance("SHA-256").digest(bytes)

    private fun base64Url(bytes: ByteArray): String = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes)
}
