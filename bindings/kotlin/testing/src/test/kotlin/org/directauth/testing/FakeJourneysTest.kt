package org.directauth.testing

import java.util.stream.Stream
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlinx.coroutines.test.runTest
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.directauth.ApproveOnDevice
import org.directauth.AuthException
import org.directauth.ChooseFactor
import org.directauth.EnterCode
import org.directauth.FactorChoice
import org.directauth.ResetPassword
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.UsePasskey
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/**
 * The library's journeys on the fake's scripts: what the fake gives is what the real thing gives, which `JourneysTest` plays from the
 * same files. Time, the server and sessions are not the fake's affair; those calls are passed over.
 */
class FakeJourneysTest {
    private val vectors: List<JsonObject> =
        listOf("journeys.json", "g-passkeys.json", "n-recovery.json").flatMap { file ->
            val text = checkNotNull(Script::class.java.getResourceAsStream(file)).readBytes().decodeToString()
            Json.parseToJsonElement(text).jsonArray.map { it.jsonObject }
        }

    @TestFactory
    fun `journeys give the same on the fake`(): Stream<DynamicTest> =
        vectors.map { vector -> DynamicTest.dynamicTest(vector.text("id")) { play(vector) } }.stream()

    @Test
    fun `they are many, and about steps`() {
        assertTrue(vectors.size > 80)
        val actions = vectors.flatMap { Script.of(it).exchanges }.mapNotNull { it.action }.toSet()
        for (action in listOf("signIn.password", "signIn.otp", "choose.push", "approved", "submit", "resend", "answer", "setPassword")) {
            assertTrue(action in actions, action)
        }
    }

    private fun play(vector: JsonObject) = runTest {
        val script = Script.of(vector, code = "123456")
        val auth = FakeDirectAuth(script)
        var step: SignInStep? = null
        for (call in vector.getValue("calls").jsonArray.map { it.jsonObject }) {
            val gives = (call["gives"] as? JsonPrimitive)?.content
            val outcome =
                try {
                    act(auth, step, call, gives) ?: continue
                } catch (e: AuthException) {
                    assertEquals(gives, e::class.simpleName, "$call")
                    (call["remedy"] as? JsonPrimitive)?.let { assertEquals(it.content, e.remedy::class.simpleName, "$call") }
                    continue
                }
            if (gives != null) assertEquals(gives, nameOf(outcome), "$call")
            step = outcome
        }
        assertTrue(auth.isFinished, "what the script has was done: ${auth.actions}")
    }

    /** Null if the call is about something else than steps. */
    private suspend fun act(auth: FakeDirectAuth, step: SignInStep?, call: JsonObject, gives: String?): SignInStep? {
        // A journey that does not say what a call gives cannot be a script.
        val isRequest = listOf("sign_in", "recover", "choose", "submit", "approved", "resend", "answer", "renew", "set_password", "sign_in_with_passkey")
        if (isRequest.any { it in call } && gives == null) return null
        when {
            "sign_in" in call -> return first(auth.signIn(call.text("sign_in")), call)
            "recover" in call -> return first(auth.recover(call.text("recover")), call)
            "sign_in_with_passkey" in call -> return auth.signInWithPasskey()
            "choose" in call -> return factor(assertIs<ChooseFactor>(step), call.text("choose"), call["code"]?.jsonPrimitive?.content)
            "submit" in call -> return assertIs<EnterCode>(step).submit(codeOf(call.text("submit")))
            "approved" in call -> return assertIs<ApproveOnDevice>(step).approved()
            "resend" in call -> return if (step is EnterCode) step.resend() else assertIs<ApproveOnDevice>(step).resend()
            "answer" in call -> return assertIs<UsePasskey>(step).answer("{}")
            "renew" in call -> return assertIs<UsePasskey>(step).renew()
            "set_password" in call -> return assertIs<ResetPassword>(step).set(call.text("set_password"))
            "back" in call -> return when (step) {
                is EnterCode -> step.choice
                is ApproveOnDevice -> step.choice
                is UsePasskey -> step.choice
                else -> null
            }
            "cancel" in call -> when (step) {
                is EnterCode -> step.cancel()
                is ApproveOnDevice -> step.cancel()
                is UsePasskey -> step.cancel()
                is ChooseFactor -> step.cancel()
                is ResetPassword -> step.cancel()
                else -> {}
            }
            "factors" in call && step is ChooseFactor -> {
                val wanted = (call.getValue("factors") as JsonArray).map { it.jsonPrimitive.content }
                assertEquals(wanted, step.factors.map { it.name.lowercase() })
            }
            "number" in call && (call["number"] as? JsonPrimitive)?.isString == false ->
                assertEquals(call.getValue("number").jsonPrimitive.boolean, assertIs<ApproveOnDevice>(step).number != null)
            "attempts_left" in call -> assertEquals(call.text("attempts_left").toInt(), assertIs<EnterCode>(step).attemptsLeft)
        }
        return null
    }

    private suspend fun first(choice: FactorChoice, call: JsonObject): SignInStep {
        (call["password"] as? JsonPrimitive)?.let { return (choice as SignIn).password(it.content) }
        (call["otp"] as? JsonPrimitive)?.let { return choice.otp(codeOf(it.content)) }
        return factor(choice, listOf("push", "sms", "voice", "email", "passkey").first { it in call }, null)
    }

    private suspend fun factor(choice: FactorChoice, name: String, code: String?): SignInStep =
        when (name) {
            "otp" -> choice.otp(codeOf(checkNotNull(code)))
            "push" -> choice.push()
            "sms" -> choice.sms()
            "voice" -> choice.voice()
            "email" -> choice.email()
            else -> choice.passkey()
        }

    private fun codeOf(text: String): String =
        when (text) {
            "\$totp", "\$code" -> "123456"
            "\$code_spaced" -> " 123-456 "
            else -> if (text.startsWith("\$wrong")) "654321" else text
        }

    private fun nameOf(step: SignInStep): String =
        when (step) {
            is SignedIn -> "SignedIn"
            is ChooseFactor -> "ChooseFactor"
            is ApproveOnDevice -> "ApproveOnDevice"
            is EnterCode -> "EnterCode"
            is UsePasskey -> "UsePasskey"
            is ResetPassword -> "ResetPassword"
            is org.directauth.PasswordChanged -> "PasswordChanged"
            is org.directauth.UnsupportedStep -> "UnsupportedStep"
        }

    private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content
}
