package org.directauth.testing

import java.time.Instant
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.directauth.AuthException
import org.directauth.EndReason
import org.directauth.Factor
import org.directauth.KeyProblem
import org.directauth.NetworkProblem
import org.directauth.PasskeyProblem
import org.directauth.StorageProblem

/**
 * What a [FakeDirectAuth] answers, one action of the app after another.
 *
 * The ready-made ones are the journeys that the library itself is tested with: what they lead to is what the real thing leads to. An
 * app need not make the mistakes that a script contains: a refusal that the app did not provoke is passed over, and a wrong code is
 * refused wherever a code is expected.
 */
public class Script internal constructor(
    internal val exchanges: List<Exchange>,
    /** The code that is right, wherever one is typed. */
    public val code: String,
) {
    /** First this, then [next], whose code is taken. */
    public operator fun plus(next: Script): Script = Script(exchanges + next.exchanges, next.code)

    public companion object {
        private const val CODE = "123456"

        /** The password is enough. */
        public fun password(): Script = journey("password")

        /** The password, then a code from an authenticator app. */
        public fun passwordThenOtp(code: String = CODE): Script = journey("password-then-otp", code)

        /** The password, then a code by text message. */
        public fun passwordThenSms(code: String = CODE): Script = journey("sms-code", code)

        /** The password, then a code by e-mail. */
        public fun passwordThenEmail(code: String = CODE): Script = journey("email-code", code)

        /** The password, then a prompt with a number, which the user approves. */
        public fun passwordThenPush(): Script = journey("push-with-number")

        /** The password, a prompt that the user declines, and after that a code by text message. */
        public fun declinedPushThenSms(code: String = CODE): Script = journey("declined-push-then-sms", code)

        /** The password, then a passkey. */
        public fun passwordThenPasskey(): Script = journey("passkey-as-second-factor")

        /** A passkey without a username. */
        public fun passkey(): Script = journey("passkey-of-anybody")

        /** A code from an authenticator app, and then a new password. */
        public fun recovery(code: String = CODE): Script = journey("recovery-requests", code)

        /** The next action fails with this, whatever it is; then the script goes on with what is added to it. */
        public fun failing(error: AuthException): Script = Script(listOf(Exchange(null, Typed.ANYTHING, Outcome.Failure(error))), CODE)

        /** One of the library's journeys, by the id that it has in `core/conformance`. */
        public fun journey(id: String, code: String = CODE): Script {
            val journey = JOURNEYS[id] ?: throw IllegalArgumentException("there is no journey $id, or it is not about steps alone")
            return of(journey, code)
        }

        /** A journey in the format of `core/conformance`, as JSON. */
        public fun of(journey: String, code: String = CODE): Script = of(Json.parseToJsonElement(journey).jsonObject, code)

        internal fun of(journey: JsonObject, code: String = CODE): Script = Script(Reading(journey).exchanges, code)

        private val JOURNEYS: Map<String, JsonObject> by lazy {
            listOf("journeys.json", "g-passkeys.json", "n-recovery.json")
                .flatMap { file ->
                    val text = checkNotNull(Script::class.java.getResourceAsStream(file)) { "$file is not in this artifact" }
                    text.use { Json.parseToJsonElement(it.readBytes().decodeToString()).jsonArray }
                }
                .map { it.jsonObject }
                .associateBy { it.getValue("id").jsonPrimitive.content }
        }
    }
}

/** One action of the app and what it leads to. */
internal class Exchange(
    /** Null: any action. */
    val action: String?,
    val typed: Typed,
    val outcome: Outcome,
)

internal enum class Typed { ANYTHING, THE_RIGHT_CODE, A_WRONG_CODE }

internal sealed interface Outcome {
    class Failure(val error: AuthException) : Outcome

    class Step(val make: StepKind) : Outcome
}

/** What a step is made from. */
internal sealed interface StepKind {
    data object SignedIn : StepKind

    class ChooseFactor(var factors: List<Factor>) : StepKind

    class ApproveOnDevice(var number: String?) : StepKind

    class EnterCode(val channel: Factor) : StepKind

    data object UsePasskey : StepKind

    data object ResetPassword : StepKind

    data object PasswordChanged : StepKind

    data object Unsupported : StepKind
}

/** The exchanges of a journey. */
private class Reading(journey: JsonObject) {
    val exchanges = mutableListOf<Exchange>()
    private var channel = Factor.SMS

    init {
        for (call in journey.getValue("calls").jsonArray) read(call.jsonObject)
    }

    private fun read(call: JsonObject) {
        val last = (exchanges.lastOrNull()?.outcome as? Outcome.Step)?.make
        // What the app sees of a step says how it is made.
        call["factors"]?.let { factors -> (last as? StepKind.ChooseFactor)?.factors = factors.jsonArray.map { it.factor() } }
        call["number"]?.let { number -> (last as? StepKind.ApproveOnDevice)?.number = number.number() }
        val (action, typed) = actionOf(call) ?: return
        exchanges += Exchange(action, typed, outcomeOf(call["gives"]?.jsonPrimitive?.content ?: return))
    }

    private fun actionOf(call: JsonObject): Pair<String, Typed>? {
        val first = FIRST.firstOrNull { it in call }
        val second = call["choose"]?.jsonPrimitive?.content
        (first ?: second)?.let { factor -> Factor.entries.firstOrNull { it.name.equals(factor, true) } }?.let { channel = it }
        return when {
            "sign_in" in call && first != null -> "signIn.$first" to typed(call[first])
            "recover" in call && first != null -> "recover.$first" to typed(call[first])
            second != null -> "choose.$second" to typed(call["code"])
            "submit" in call -> "submit" to typed(call["submit"])
            "approved" in call -> "approved" to Typed.ANYTHING
            "resend" in call -> "resend" to Typed.ANYTHING
            "sign_in_with_passkey" in call -> "signInWithPasskey" to Typed.ANYTHING
            "answer" in call -> "answer" to Typed.ANYTHING
            "renew" in call -> "renew" to Typed.ANYTHING
            "set_password" in call -> "setPassword" to Typed.ANYTHING
            else -> null
        }
    }

    private fun typed(what: JsonElement?): Typed =
        when (val text = (what as? JsonPrimitive)?.contentOrNull) {
            "\$totp", "\$code", "\$code_spaced" -> Typed.THE_RIGHT_CODE
            else -> if (text != null && text.startsWith("\$wrong")) Typed.A_WRONG_CODE else Typed.ANYTHING
        }

    private fun outcomeOf(gives: String): Outcome =
        when (gives) {
            "SignedIn" -> Outcome.Step(StepKind.SignedIn)
            "ChooseFactor" -> Outcome.Step(StepKind.ChooseFactor(Factor.entries.toList()))
            "ApproveOnDevice" -> Outcome.Step(StepKind.ApproveOnDevice("95"))
            "EnterCode" -> Outcome.Step(StepKind.EnterCode(channel))
            "UsePasskey" -> Outcome.Step(StepKind.UsePasskey)
            "ResetPassword" -> Outcome.Step(StepKind.ResetPassword)
            "PasswordChanged" -> Outcome.Step(StepKind.PasswordChanged)
            "UnsupportedStep" -> Outcome.Step(StepKind.Unsupported)
            else -> Outcome.Failure(errorOfKind(gives))
        }

    private fun JsonElement.factor(): Factor = Factor.valueOf(jsonPrimitive.content.uppercase())

    private fun JsonElement.number(): String? =
        when (jsonPrimitive.booleanOrNull) {
            true -> "95"
            false -> null
            null -> jsonPrimitive.content
        }

    private companion object {
        val FIRST = listOf("password", "otp", "push", "sms", "voice", "email", "passkey")
    }
}

/** An error of this kind, as the library makes it of a usual answer. */
internal fun errorOfKind(kind: String): AuthException =
    when (kind) {
        "Rejected" -> AuthException.Rejected()
        "Declined" -> AuthException.Declined()
        "NotAllowed" -> AuthException.NotAllowed("access_denied")
        "Expired" -> AuthException.Expired()
        "TooManyAttempts" -> AuthException.TooManyAttempts()
        "RateLimited" -> AuthException.RateLimited(Instant.now().plusSeconds(30))
        "BrowserRequired" -> AuthException.BrowserRequired("interaction_required")
        "ReauthRequired" -> AuthException.ReauthRequired("login_required")
        "SessionEnded" -> AuthException.SessionEnded(EndReason.SIGNED_OUT)
        "StorageUnavailable" -> AuthException.StorageUnavailable(StorageProblem.LOCKED)
        "KeyUnavailable" -> AuthException.KeyUnavailable(KeyProblem.LOCKED)
        "Network" -> AuthException.Network(NetworkProblem.CONNECT)
        "InvalidResponse" -> AuthException.InvalidResponse("as the script says")
        "TokenRejected" -> AuthException.TokenRejected("as the script says")
        "Configuration" -> AuthException.Configuration("as the script says")
        "Unsupported" -> AuthException.Unsupported("as the script says")
        "Passkey" -> AuthException.Passkey(PasskeyProblem.MALFORMED)
        "Cancelled" -> AuthException.Cancelled()
        "Busy" -> AuthException.Busy()
        "Server" -> AuthException.Server(503)
        "Internal" -> AuthException.Internal()
        else -> throw IllegalArgumentException("there is no step and no error $kind")
    }
