package org.directauth.journeys

import java.io.File
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

/** One vector of `core/conformance`; its README describes the format. */
class Vector(val file: String, val json: JsonObject) {
    val id: String get() = json.text("id")
    val config: JsonObject get() = json["config"]?.jsonObject ?: JsonObject(emptyMap())
    val server: List<JsonElement> get() = json["server"]?.jsonArray.orEmpty()
    val calls: List<JsonObject> get() = json.getValue("calls").jsonArray.map { it.jsonObject }
    val expect: JsonObject get() = json["expect"]?.jsonObject ?: JsonObject(emptyMap())

    /** What it asks for that this runner, or the public API, does not have. */
    val beyond: Set<String>
        get() {
            val words = calls.flatMap { it.keys } - VERBS - MODIFIERS
            val values = calls.flatMap { call -> listOf("store", "keys").filter { it in call }.map { "$it ${call.text(it)}" } } - MOODS
            val settings = config.keys - CONFIG
            val looks = expect.keys - EXPECT
            val odd = config["issuer"]?.jsonPrimitive?.content?.takeIf { it in ODD }
            return (words + values + settings.map { "config: $it" } + looks.map { "expect: $it" } + listOfNotNull(odd)).toSet()
        }

    companion object {
        fun all(): List<Vector> {
            val folder = File(checkNotNull(System.getProperty("directauth.conformance")))
            val files = checkNotNull(folder.listFiles { file -> file.extension == "json" }).sorted()
            return files.flatMap { file -> Json.parseToJsonElement(file.readText()).jsonArray.map { Vector(file.name, it.jsonObject) } }
        }

        private val VERBS = setOf(
            "sign_in", "sign_in_with_passkey", "registers_passkey", "answer", "renew", "step_up", "recover", "set_password", "request",
            "enrolled", "choose", "submit", "approved", "resend", "back", "cancel", "drop", "factors", "number", "attempts_left",
            "expires_in_s", "resend_in_s", "session", "call_resource", "introspect", "keys", "platform_has_keys", "refresh",
            "access_token", "concurrent_access_tokens", "authorize", "user_info", "advise", "sign_out", "sign_out_default",
            "sign_out_all", "build", "warm_up", "notify_foreground", "state", "discard_unreadable", "restore", "session_of",
            "set_default", "import", "sessions", "user", "server", "script", "clear_script", "note_refresh_token", "wait_s", "run_s",
            "set_device_clock_ms", "store", "store_has", "restart", "dies",
        )
        private val MODIFIERS = setOf(
            "gives", "remedy", "says", "retry_in_s", "hint", "server_says", "causes", "second_code", "maybe_sent", "device", "new",
            "process", "password", "otp", "push", "sms", "voice", "email", "passkey", "acr_values", "max_age_s", "code",
        )
        private val MOODS = setOf(
            "store works", "store refuses_writes", "store refuses_sessions", "store keeps_sessions", "store is_locked",
            "store is_damaged", "keys points", "keys documents", "keys are_none", "keys are_locked", "keys are_cancelled",
            "keys are_destroyed", "keys are_unsupported", "keys are_exchanged", "keys are_lost", "keys sign_something_else",
        )
        private val CONFIG = setOf(
            "scopes", "capabilities", "issuer", "client_id", "request_timeout_ms", "connect_timeout_ms", "refuse_wider_scopes",
            "keep_usernames_as_typed", "keep_in_memory", "accounts", "profile", "relying_parties", "passkey_start",
            "recovery_request", "dpop", "platform_keys", "resource_origins", "additional_parameters", "device_clock_ahead_ms",
            "settings", "users", "refresh_policy", "shared_store", "own_store", "own_dpop",
        )
        private val EXPECT = setOf("requests", "gaps_at_least_s", "attempts", "security", "live_grants")

        /** Servers that are none, which the runner in Rust makes. */
        private val ODD = setOf(
            "{expired_certificate}", "{certificate_for_another_host}", "{self_signed_certificate}",
            "{certificate_of_an_unknown_authority}", "{silent}", "{nobody}",
        )
    }
}

fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

fun JsonObject.textOrNull(name: String): String? = (this[name] as? JsonPrimitive)?.takeIf { it !is JsonNull }?.content

fun JsonObject.texts(name: String): List<String>? = (this[name] as? JsonArray)?.map { it.jsonPrimitive.content }

fun JsonObject.isSet(name: String): Boolean = (this[name] as? JsonPrimitive)?.content == "true"
