package org.directauth.journeys

import java.lang.ref.WeakReference
import java.time.Duration as JavaDuration
import java.time.Instant
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.double
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import org.directauth.Accounts
import org.directauth.Advice
import org.directauth.ApproveOnDevice
import org.directauth.AuditEvent
import org.directauth.AuditKind
import org.directauth.AuditSink
import org.directauth.AuthException
import org.directauth.AuthSession
import org.directauth.AuthState
import org.directauth.ChooseFactor
import org.directauth.DPoP
import org.directauth.DirectAuthClient
import org.directauth.DirectAuthOptions
import org.directauth.EnterCode
import org.directauth.Factor
import org.directauth.FactorChoice
import org.directauth.HeaderField
import org.directauth.PasskeyStart
import org.directauth.Profile
import org.directauth.RecoveryRequest
import org.directauth.RefreshPolicy
import org.directauth.Remedy
import org.directauth.ResetPassword
import org.directauth.SessionToken
import org.directauth.SignIn
import org.directauth.SignInStep
import org.directauth.SignedIn
import org.directauth.UsePasskey
import org.directauth.WhenStorageFails
import org.directauth.WiderScopes
import org.directauth.ffi.test.TestWorld
import org.directauth.internal.CoreClient
import org.directauth.internal.clientSetup
import org.directauth.testing.Emulator
import org.directauth.testing.FakePasskeys

/** A vector fails, with what was found. */
class Mismatch(message: String) : AssertionError(message)

/** Plays one vector on the real library against the emulator, over TLS, in simulated time. */
class Play(private val vector: Vector) : AutoCloseable {
    private val config = vector.config
    private val world = TestWorld(
        config["device_clock_ahead_ms"]?.jsonPrimitive?.long ?: 0,
        config["connect_timeout_ms"]?.jsonPrimitive?.long?.let(JavaDuration::ofMillis),
    )
    private val emulator = Emulator.attach(world.control())
    private val shelf = Shelf()
    private val ownShelves = config.texts("own_store").orEmpty().associateWith { Shelf() }
    private val keys = Keys()
    private val events = CopyOnWriteArrayList<AuditEvent>()
    private val secrets = Secrets()
    private val processes = HashMap<String, Process>()
    private val started = HashSet<String>()
    private var here = "app"
    private var username = ""
    private var lastToken: String? = null
    private val noted = HashMap<String, String>()
    private var passkeys: FakePasskeys? = null

    private class Process(val client: CoreClient) {
        var step: SignInStep? = null
        var session: AuthSession? = null
    }

    private val process: Process get() = processes[here] ?: throw Mismatch("$here does not run")

    override fun close() {
        processes.values.forEach { it.client.close() }
        world.close()
    }

    suspend fun play() {
        config["settings"]?.let { emulator.settings(it.toString()) }
        config["users"]?.jsonObject?.forEach { (name, change) ->
            val user = change.jsonObject
            emulator.changeUser(
                name,
                factors = user.texts("factors")?.toSet(),
                status = user.textOrNull("status"),
                hasNoPassword = user.isSet("has_no_password"),
                assurance = user.textOrNull("assurance"),
            )
        }
        vector.server.forEach { emulator.script(it.toString()) }
        goTo("app")
        vector.calls.forEachIndexed { number, call ->
            try {
                call(call)
            } catch (e: Mismatch) {
                throw Mismatch("call ${number + 1} $call: ${e.message}")
            }
        }
        world.settle()
        val liveGrants = world.liveGrants()
        // What comes later comes too: nothing may be sent again when nobody looks any more.
        world.run(JavaDuration.ofHours(1))
        world.unusedRules().let { if (it.isNotEmpty()) throw Mismatch("prescribed answers that nobody got: $it") }
        look(liveGrants)
    }

    private suspend fun call(call: JsonObject) {
        goTo(call.textOrNull("process") ?: "app")
        val outcome = act(call)
        world.settle()
        secrets.came(world.lastRefreshToken())
        val word = outcome.word
        val error = (outcome as? Outcome.Failure)?.error
        val gives = call.textOrNull("gives")
        if (gives != null) {
            if (word != gives) throw Mismatch("gives $word, expected $gives${error?.let { " (${it.message})" }.orEmpty()}")
        } else if (error != null) {
            throw Mismatch("failed: ${error.message}")
        }
        error?.let { secrets.check("an error", it.message + it + it.stackTraceToString()) }
        if (ABOUT_ERRORS.any { it in call }) lookAt(error ?: throw Mismatch("$word is no error that could say something"), call)
        call.textOrNull("device")?.let { expected ->
            val done = (outcome as? Outcome.SignedOut)?.done ?: throw Mismatch("$word is no sign-out")
            equal("on the device", done.joinToString { words(it.device.name) }, expected)
        }
        call["new"]?.jsonPrimitive?.boolean?.let { expected ->
            val token = (outcome as? Outcome.Token)?.token ?: throw Mismatch("$word is no token")
            equal("another token than the last one", token != lastToken, expected)
        }
        take(outcome)
    }

    private fun lookAt(error: AuthException, call: JsonObject) {
        call.textOrNull("remedy")?.let { equal("remedy", error.remedy::class.simpleName, it) }
        call["retry_in_s"]?.jsonPrimitive?.long?.let { wanted ->
            val at = (error.remedy as? Remedy.Wait)?.until ?: throw Mismatch("no time to wait until")
            val found = secondsUntil(at)
            // Up to a quarter is added, so that not all devices come back at the same moment.
            val latest = minOf(wanted + (wanted + 3) / 4, maxOf(wanted, 3_600))
            if (found !in wanted..latest) throw Mismatch("retry in $found s, expected $wanted s or up to a quarter more")
        }
        call.textOrNull("says")?.let { says ->
            if (fill(says) !in error.message.orEmpty()) throw Mismatch("says ${error.message}, which does not contain $says")
        }
        val text = error.serverText
        if ("server_says" in call) equal("the server says", text?.description, call.textOrNull("server_says"))
        if ("causes" in call) equal("the causes", text?.causes, call.texts("causes"))
        if ("second_code" in call) equal("the second code", text?.secondCode, call.textOrNull("second_code"))
        if ("hint" in call) equal("hint", error.hint?.name?.let(::words), call.textOrNull("hint"))
        call["maybe_sent"]?.let { equal("maybe sent", (error as? AuthException.Network)?.maybeSent, it.jsonPrimitive.booleanOrNull) }
    }

    private suspend fun act(call: JsonObject): Outcome {
        when {
            "dies" in call -> {
                die()
                return Outcome.Value("Died")
            }
            "restart" in call -> {
                world.settle()
                if (here in processes) die()
                processes[here] = start()
                return Outcome.Done
            }
            worldGoesOn(call) -> return Outcome.Done
        }
        return try {
            signIn(call) ?: session(call) ?: lookAtStep(call) ?: lookAtSessions(call)
                ?: throw Mismatch("nothing to do it with, or an unknown verb")
        } catch (e: AuthException) {
            Outcome.Failure(e)
        }
    }

    /** What others do, and time; whether the call is about that. */
    private fun worldGoesOn(call: JsonObject): Boolean {
        fun number(name: String) = call.getValue(name).jsonPrimitive.long
        when {
            "user" in call -> call.getValue("user").jsonObject.forEach { (what, polls) ->
                val afterPolls = polls.jsonPrimitive.int
                emulator.onNextPrompt(
                    when (what) {
                        "approves_after_polls" -> Emulator.Reaction.approve(afterPolls)
                        "declines_after_polls" -> Emulator.Reaction.deny(afterPolls)
                        "taps_wrong_number_after_polls" -> Emulator.Reaction.wrongNumber(afterPolls)
                        else -> throw Mismatch("unknown reaction $what")
                    },
                )
            }
            "wait_s" in call -> world.advance(JavaDuration.ofSeconds(number("wait_s")))
            "run_s" in call -> world.run(JavaDuration.ofSeconds(number("run_s")))
            "set_device_clock_ms" in call -> world.setWall(number("set_device_clock_ms"))
            "store" in call -> if (call.text("store") == "is_damaged") shelfOf(here).damage() else shelfOf(here).mood = call.text("store")
            "keys" in call -> keys.mood = call.text("keys")
            "platform_has_keys" in call -> equal("keys of the platform", keys.size.toLong(), number("platform_has_keys"))
            "note_refresh_token" in call -> noted[call.text("note_refresh_token")] = world.lastRefreshToken()
            "server" in call -> when (val what = call.text("server")) {
                "rotates_keys" -> emulator.rotateKeys()
                "replaces_keys" -> emulator.replaceKeys()
                "withdraws_key" -> emulator.withdrawKey()
                "revokes_everything" -> emulator.revokeEverything()
                "locks_user" -> emulator.lock(username)
                else -> throw Mismatch("unknown event $what")
            }
            "script" in call -> emulator.script(call.getValue("script").toString())
            "clear_script" in call -> emulator.clearScript()
            "registers_passkey" in call -> {
                val user = call.text("registers_passkey")
                passkeys = FakePasskeys(originOf(emulator.issuer), user).also { emulator.addPasskey(user, it) }
            }
            "store_has" in call -> call.getValue("store_has").jsonObject.forEach { (kind, expected) ->
                equal(kind, shelfOf(here).count(kind), expected.jsonPrimitive.int)
            }
            else -> return false
        }
        return true
    }

    private suspend fun signIn(call: JsonObject): Outcome? {
        val step = process.step
        val next: SignInStep = when {
            "sign_in" in call -> {
                secrets.typed(typed(call.text("sign_in")))
                val age = call["max_age_s"]?.jsonPrimitive?.long?.seconds
                first(call, process.client.signIn(call.text("sign_in"), call.texts("acr_values").orEmpty(), age))
            }
            "step_up" in call -> {
                val session = process.session ?: throw Mismatch("no session")
                username = session.username
                val age = call["max_age_s"]?.jsonPrimitive?.long?.seconds
                first(call, session.stepUp(call.texts("acr_values").orEmpty(), age))
            }
            "recover" in call -> {
                secrets.typed(typed(call.text("recover")))
                first(call, process.client.recover(call.text("recover")))
            }
            "sign_in_with_passkey" in call -> waiting { process.client.signInWithPasskey() }
            "set_password" in call -> {
                val password = call.text("set_password").also(secrets::neverStored)
                waiting { (step as? ResetPassword ?: throw Mismatch("no new password is asked for, but $step")).set(password) }
            }
            "answer" in call -> {
                val asked = step as? UsePasskey ?: throw Mismatch("no passkey step, but $step")
                val answer = answer(call.text("answer"), asked.requestJson)
                waiting { asked.answer(answer) }
            }
            "renew" in call -> waiting { (step as? UsePasskey ?: throw Mismatch("no passkey step, but $step")).renew() }
            "choose" in call -> {
                val choice = step as? ChooseFactor ?: throw Mismatch("no choice in hand, but $step")
                factor(choice, call.text("choose"), call.textOrNull("code")?.let(::typeCode))
            }
            "submit" in call -> {
                val code = typeCode(call.text("submit"))
                waiting { (step as? EnterCode ?: throw Mismatch("no code step, but $step")).submit(code) }
            }
            "approved" in call -> waiting { (step as? ApproveOnDevice ?: throw Mismatch("no push step, but $step")).approved() }
            "resend" in call -> when (step) {
                is ApproveOnDevice -> waiting { step.resend() }
                is EnterCode -> waiting { step.resend() }
                else -> throw Mismatch("nothing to resend: $step")
            }
            else -> return null
        }
        return Outcome.Step(next)
    }

    private suspend fun first(call: JsonObject, choice: FactorChoice): SignInStep {
        call.textOrNull("password")?.let { password ->
            secrets.neverStored(password)
            return waiting { (choice as SignIn).password(password) }
        }
        call.textOrNull("otp")?.let { return factor(choice, "otp", typeCode(it)) }
        val name = listOf("push", "sms", "voice", "email", "passkey").firstOrNull { it in call } ?: throw Mismatch("no first factor given")
        return factor(choice, name, null)
    }

    private suspend fun factor(choice: FactorChoice, name: String, code: String?): SignInStep = waiting {
        when (name) {
            "otp" -> choice.otp(code ?: throw Mismatch("no code"))
            "push" -> choice.push()
            "sms" -> choice.sms()
            "voice" -> choice.voice()
            "email" -> choice.email()
            "passkey" -> choice.passkey()
            else -> throw Mismatch("unknown factor $name")
        }
    }

    private suspend fun answer(kind: String, request: String): String =
        when (kind) {
            "signed" -> (passkeys ?: throw Mismatch("nobody has a passkey")).get(request)
            "unsigned" -> unsigned(request, null)
            "of_another_challenge" -> unsigned(request, "QW5vdGhlciBjaGFsbGVuZ2U")
            "nonsense" -> "{}"
            else -> throw Mismatch("unknown answer $kind")
        }

    /** What is done with the step in hand, or seen of it, without a request. */
    private fun lookAtStep(call: JsonObject): Outcome? {
        val step = process.step
        when {
            "back" in call -> return Outcome.Step(step?.choice ?: throw Mismatch("not a second factor"))
            "cancel" in call -> when (step) {
                is ApproveOnDevice -> step.cancel()
                is EnterCode -> step.cancel()
                is UsePasskey -> step.cancel()
                is ChooseFactor -> step.cancel()
                is ResetPassword -> step.cancel()
                else -> throw Mismatch("nothing to cancel: $step")
            }
            "factors" in call -> equal("factors", (step as? ChooseFactor)?.factors?.map { it.name.lowercase() }, call.texts("factors"))
            "request" in call -> {
                val found = parse((step as? UsePasskey ?: throw Mismatch("no passkey step")).requestJson)
                call.getValue("request").jsonObject.forEach { (name, expected) -> equal(name, found[name] ?: JsonNull, expected) }
            }
            "enrolled" in call -> equal("enrolled", (step as? UsePasskey)?.enrolled?.map { it.name }, call.texts("enrolled"))
            "number" in call -> lookAtNumber(step, call.getValue("number").jsonPrimitive)
            "expires_in_s" in call -> {
                val at = when (step) {
                    is ApproveOnDevice -> step.expiresAt
                    is EnterCode -> step.expiresAt
                    is UsePasskey -> step.expiresAt
                    is ResetPassword -> step.expiresAt
                    else -> process.session?.expiresAt ?: throw Mismatch("nothing expires: $step")
                }
                equal("expires in", secondsUntil(at), call.getValue("expires_in_s").jsonPrimitive.long)
            }
            "resend_in_s" in call ->
                equal("resend in", secondsUntil((step as EnterCode).resendAt), call.getValue("resend_in_s").jsonPrimitive.long)
            "attempts_left" in call ->
                equal("attempts left", (step as? EnterCode)?.attemptsLeft, call.getValue("attempts_left").jsonPrimitive.int)
            else -> return null
        }
        return Outcome.Done
    }

    private fun lookAtNumber(step: SignInStep?, expected: JsonPrimitive) {
        val found = (step as? ApproveOnDevice ?: throw Mismatch("no push")).number
        when (expected.booleanOrNull) {
            null -> equal("the number", found, expected.content)
            true -> equal("the number is the one on the device", emulator.prompts().any { it.number == found && found != null }, true)
            false -> equal("the number", found, null)
        }
    }

    private suspend fun session(call: JsonObject): Outcome? {
        val client = process.client
        suspend fun idOf(username: String) = client.sessions().firstOrNull { it.username == username }?.id
        when {
            "restore" in call -> return waiting { client.restore() }?.let { Outcome.Session("Restored", it) } ?: Outcome.Value("None")
            "import" in call -> {
                val token = call.text("import").let { noted[it] ?: it }
                return Outcome.Session("Imported", waiting { client.importSession(token) })
            }
            "sign_out_default" in call -> return Outcome.SignedOut(listOfNotNull(waiting { client.signOut() }))
            "sign_out_all" in call -> return Outcome.SignedOut(waiting { client.signOutAll() })
            "session_of" in call -> {
                val found = waiting { idOf(call.text("session_of"))?.let { client.session(it) } }
                return found?.let { Outcome.Session("Found", it) } ?: Outcome.Value("None")
            }
            "set_default" in call ->
                return Outcome.Session("Default", waiting { client.setDefault(idOf(call.text("set_default")).orEmpty()) })
        }
        val session = process.session ?: return null
        return when {
            "refresh" in call -> Outcome.Done.also { waiting { session.refresh() } }
            "access_token" in call -> Outcome.Token(waiting { session.accessToken() })
            "concurrent_access_tokens" in call -> {
                val count = call.getValue("concurrent_access_tokens").jsonPrimitive.int
                val tokens = waiting { coroutineScope { List(count) { async { session.accessToken() } }.awaitAll() } }
                equal("all callers get the same token", tokens.toSet().size, 1)
                Outcome.Done
            }
            "authorize" in call -> {
                val url = fill(call.textOrNull("authorize") ?: "{resource}")
                val headers = waiting { session.authorize("GET", url) }.values
                val (scheme, names) = if (session.isDPoPBound) "DPoP " to setOf("authorization", "dpop") else "Bearer " to setOf("authorization")
                equal("headers", headers.keys, names)
                equal("scheme", headers.getValue("authorization").startsWith(scheme), true)
                Outcome.Done
            }
            "advise" in call -> {
                val answer = call.getValue("advise").jsonObject
                val fields = answer.texts("www_authenticate").orEmpty().map { HeaderField("WWW-Authenticate", it) }
                val advice = waiting { session.advise(session.authorize("GET", emulator.resourceUrl), answer.getValue("status").jsonPrimitive.int, fields) }
                Outcome.Value(wordOf(advice))
            }
            "call_resource" in call -> {
                val url = emulator.resourceUrl + call.text("call_resource")
                suspend fun send(): Pair<Advice, Int> {
                    val used = waiting { session.authorize("GET", url) }
                    val (status, fields) = callResource(emulator.socketFactory, url, used.values)
                    return waiting { session.advise(used, status, fields) } to status
                }
                val (advice, status) = send()
                Outcome.Value((if (advice == Advice.Retry) send().second else status).toString())
            }
            "introspect" in call -> {
                val token = if (call.text("introspect") == "refresh") SessionToken.REFRESH else SessionToken.ACCESS
                Outcome.Value(if (waiting { session.introspect(token) }.isActive) "active" else "inactive")
            }
            "user_info" in call -> Outcome.Value(waiting { session.userInfo() }.text("preferred_username").orEmpty())
            "sign_out" in call -> Outcome.SignedOut(listOf(waiting { session.signOut() }))
            else -> null
        }
    }

    private suspend fun lookAtSessions(call: JsonObject): Outcome? {
        val client = process.client
        when {
            "build" in call -> client.core()
            "warm_up" in call -> waiting { client.warmUp() }
            "notify_foreground" in call -> client.tellOfForeground()
            "state" in call -> return Outcome.Value(stateOf(client, call.textOrNull("gives")))
            "sessions" in call -> {
                val found = waiting { client.sessions() }
                equal("sessions", found.map { it.username }, call.texts("sessions"))
                equal("the first is the default", found.map { it.isDefault }, found.indices.map { it == 0 })
            }
            "discard_unreadable" in call ->
                equal("discarded", waiting { client.discardUnreadable() }, call.getValue("discard_unreadable").jsonPrimitive.int)
            "session" in call -> lookAtSession(call.getValue("session").jsonObject)
            "drop" in call -> {
                val dropped = WeakReference(process.step)
                process.step = null
                untilCollected(dropped)
            }
            else -> return null
        }
        return Outcome.Done
    }

    private fun lookAtSession(expected: JsonObject) {
        val session = process.session ?: throw Mismatch("no session to look at")
        fun json(text: String?): JsonElement = text?.let(::JsonPrimitive) ?: JsonNull
        expected.forEach { (what, wanted) ->
            val found: JsonElement = when (what) {
                "persisted" -> JsonPrimitive(session.isPersisted)
                "can_refresh" -> JsonPrimitive(session.canRefresh)
                "scopes" -> JsonArray(session.grantedScopes.map(::JsonPrimitive))
                "username" -> json(session.username)
                "bound" -> JsonPrimitive(session.isDPoPBound)
                "claims" -> JsonPrimitive(session.claims != null)
                "preferred_username", "name" -> json(session.claims?.text(what))
                "amr" -> session.claims?.let { JsonArray(it.texts("amr").map(::JsonPrimitive)) } ?: JsonNull
                "stored" -> JsonPrimitive(shelfOf(here).count("session"))
                else -> throw Mismatch("unknown property $what")
            }
            equal(what, found, wanted)
        }
    }

    /** The state, or what it becomes: it is shown by another thread. */
    private suspend fun stateOf(client: DirectAuthClient, wanted: String?): String {
        fun now() = when (val state = client.state.value) {
            AuthState.Restoring -> "Restoring"
            AuthState.SignedOut -> "SignedOut"
            is AuthState.SignedIn -> "SignedIn ${state.session.username}"
            is AuthState.Unavailable -> "Unavailable ${words(state.reason.name)}"
        }
        withTimeoutOrNull(5.seconds) { while (now() != wanted) delay(1.milliseconds) }
        return now()
    }

    private fun look(liveGrants: Int) {
        val expect = vector.expect
        val journal = emulator.journal()
        expect.texts("requests")?.let { wanted ->
            val all = wanted.flatMap { item -> List(item.substringAfter('*', "1").toInt()) { item.substringBefore('*') } }
            equal("requests", journal.map { it.operation }, all)
        }
        expect["gaps_at_least_s"]?.jsonObject?.forEach { (operation, least) ->
            val times = journal.filter { it.operation == operation }.map { it.atMillis / 1000.0 }
            val gaps = times.zipWithNext { a, b -> b - a }
            val wanted = least.jsonArray.map { it.jsonPrimitive.double }
            if (gaps.size < wanted.size || gaps.zip(wanted).any { (gap, least) -> gap + 1e-3 < least }) {
                throw Mismatch("gaps of $operation: $gaps, at least $wanted")
            }
        }
        expect["live_grants"]?.let { equal("live grants", liveGrants, it.jsonPrimitive.int) }
        val security = events.mapNotNull { (it.kind as? AuditKind.Security)?.event }
        expect.texts("security")?.let { equal("security events", security.map { event -> event::class.simpleName }, it) }
        val attempts = events.mapNotNull { it.kind as? AuditKind.AttemptFinished }
        expect.texts("attempts")?.let { equal("attempts", attempts.map { "${it.attempt::class.simpleName} ${it.outcome}" }, it) }
        secrets.check("an audit event", events.toString())
        (ownShelves.values + shelf).forEach { secrets.checkStored(it.written) }
    }

    /** A call of the library, while which simulated time may pass. */
    private suspend fun <T> waiting(work: suspend CoroutineScope.() -> T): T {
        world.begin()
        try {
            return coroutineScope(work)
        } finally {
            world.end()
        }
    }

    private fun take(outcome: Outcome) {
        when (outcome) {
            is Outcome.Step -> {
                val step = outcome.step
                if (step is SignedIn) {
                    process.session = step.session
                    process.step = null
                } else {
                    process.step = step
                }
            }
            is Outcome.Session -> process.session = outcome.session
            is Outcome.Token -> {
                lastToken = outcome.token
                secrets.came(outcome.token)
            }
            else -> {}
        }
    }

    private fun goTo(name: String) {
        here = name
        if (started.add(name)) processes[name] = start()
    }

    private fun die() {
        world.kill(here)
        processes.remove(here)?.client?.close()
    }

    private fun shelfOf(process: String): Shelf = ownShelves[process] ?: shelf

    private fun start(): Process {
        val options = DirectAuthOptions().apply {
            scopes = config.texts("scopes") ?: listOf("openid", "profile", "offline_access")
            capabilities = config.texts("capabilities")?.map { Factor.valueOf(it.uppercase()) }
            requestTimeout = (config["request_timeout_ms"]?.jsonPrimitive?.long ?: 20_000).milliseconds
            widerScopes = if (config.isSet("refuse_wider_scopes")) WiderScopes.REFUSE else WiderScopes.ACCEPT
            trimUsernames = !config.isSet("keep_usernames_as_typed")
            if (config.isSet("keep_in_memory")) whenStorageFails = WhenStorageFails.KEEP_IN_MEMORY
            accounts = config.textOrNull("accounts")?.let { Accounts.valueOf(it.uppercase()) }
            profile = config.textOrNull("profile")?.let { Profile.valueOf(it.uppercase()) }
            relyingParties = config.texts("relying_parties").orEmpty()
            passkeyStart = config.textOrNull("passkey_start")?.let { PasskeyStart.valueOf(it.uppercase()) }
            recoveryRequest = config.textOrNull("recovery_request")?.let { RecoveryRequest.valueOf(it.uppercase()) }
            val own = config["own_dpop"]?.jsonObject?.textOrNull(here)
            dpop = (own ?: config.textOrNull("dpop"))?.let { DPoP.valueOf(it.uppercase()) }
            resourceOrigins = config.texts("resource_origins").orEmpty()
            additionalParameters = config["additional_parameters"]?.jsonObject?.mapValues { it.value.jsonPrimitive.content }
            refreshPolicy = config["refresh_policy"]?.jsonObject?.textOrNull(here)?.let { RefreshPolicy.valueOf(it.uppercase()) }
            sharedStore = config.isSet("shared_store")
            storage = shelfOf(here)
            if (config.isSet("platform_keys")) signingKey = keys
            auditSink = AuditSink { events += it }
        }
        val issuer = config.textOrNull("issuer")?.let(::fill) ?: emulator.issuer
        val clientId = config.textOrNull("client_id") ?: emulator.clientId
        val name = here
        return Process(CoreClient(clientSetup(issuer, clientId, options)) { world.build(it, name) })
    }

    private fun typed(username: String): String = username.trim().also { this.username = it }

    private fun typeCode(code: String): String = fillCode(code).also(secrets::neverStored)

    private fun fillCode(code: String): String {
        fun sent() = emulator.lastCode(username) ?: throw Mismatch("no code was sent")
        return when (code) {
            "\$totp" -> emulator.totp(username)
            "\$wrong_totp" -> emulator.wrongTotp(username)
            "\$code" -> sent()
            "\$code_spaced" -> sent().let { " ${it.take(3)}-${it.drop(3)} " }
            "\$wrong_code" -> sent().let { (if (it.startsWith("1")) "2" else "1") + it.drop(1) }
            else -> code
        }
    }

    private fun fill(text: String): String =
        text.replace("{issuer}", emulator.issuer).replace("{org_issuer}", emulator.orgIssuer)
            .replace("{client_id}", emulator.clientId).replace("{resource}", emulator.resourceUrl)
            .replace("{origin}", originOf(emulator.issuer))

    private fun secondsUntil(at: Instant): Long = maxOf(0, (at.toEpochMilli() - world.wallMillis()) / 1000)

    private companion object {
        val ABOUT_ERRORS = setOf("remedy", "says", "retry_in_s", "hint", "server_says", "causes", "second_code", "maybe_sent")
    }
}
