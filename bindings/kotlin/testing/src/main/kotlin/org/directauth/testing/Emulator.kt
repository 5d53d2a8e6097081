package org.directauth.testing

import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.net.URI
import java.net.URLEncoder
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.security.cert.X509Certificate
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLSocketFactory
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import kotlinx.serialization.json.put

/**
 * A running `directauth-emulator`: the server to test an app against. What its users do, and what goes wrong, is said here.
 *
 * Every function waits for the emulator's answer; [IOException] if there is none or it refuses.
 */
public class Emulator private constructor(
    private val control: String,
    private val trust: SSLSocketFactory,
    private val token: String?,
    private val process: Process?,
    private val folder: File?,
) : AutoCloseable {
    private val about: JsonObject = get("/").jsonObject

    /** The issuer to configure a client with. */
    public val issuer: String = about.text("issuer")

    /** The issuer of the org authorization server. */
    public val orgIssuer: String = about.text("org_issuer")

    /** The client id to configure a client with. */
    public val clientId: String = about.text("client_id")

    /** A protected resource, for access tokens. */
    public val resourceUrl: String = about.text("resource_url")

    /** The certificate of its authority, as PEM: the trust to configure a client with. */
    public val caPem: String = about.text("ca_pem")

    /** For the requests of a test's own. */
    public val socketFactory: SSLSocketFactory get() = trust

    /** How many sign-ins live at the server. */
    public val liveGrants: Int get() = get("/").jsonObject.getValue("live_grants").jsonPrimitive.int

    /** Another server in the same process, with users, clock, script and journal of its own. */
    public fun tenant(): Emulator {
        val name = post("/tenants").jsonObject.text("tenant")
        return Emulator("${control.substringBefore("/t/")}/t/$name", trust, token, null, null)
    }

    /** A code of the user's authenticator app that works now. */
    public fun totp(username: String): String = get("/totp/${encoded(username)}").jsonObject.text("code")

    /** A code that the user's authenticator app does not show now. */
    public fun wrongTotp(username: String): String = get("/totp/${encoded(username)}").jsonObject.text("wrong")

    /** The prompts that wait on users' devices. */
    public fun prompts(): List<Prompt> =
        get("/pushes").jsonArray.map {
            val prompt = it.jsonObject
            Prompt(
                prompt.getValue("id").jsonPrimitive.long,
                prompt.text("username"),
                prompt.textOrNull("number"),
                (prompt["choices"] as? JsonArray).orEmpty().map { choice -> choice.jsonPrimitive.content },
            )
        }

    /** The user approves the prompt, and taps the right number. */
    public fun approve(prompt: Prompt) {
        if (prompt.number == null) post("/pushes/${prompt.id}/approve") else tap(prompt, prompt.number)
    }

    /** The user says no. */
    public fun deny(prompt: Prompt) {
        post("/pushes/${prompt.id}/deny")
    }

    /** The user taps a number. */
    public fun tap(prompt: Prompt, number: String) {
        post("/pushes/${prompt.id}/tap", buildJsonObject { put("number", number) })
    }

    /** What the user will do with the next prompt. */
    public fun onNextPrompt(reaction: Reaction) {
        post("/push-reactions", reaction.json)
    }

    /** The last code that was sent to the user by text message, phone call or e-mail; null if none was. */
    public fun lastCode(username: String): String? =
        get("/outbox").jsonArray.map { it.jsonObject }.lastOrNull { it.text("username").equals(username, true) }?.text("code")

    /** Prescribes an answer: a rule as `core/emulator/README.md` describes them, in JSON. */
    public fun script(rule: String) {
        post("/script", Json.parseToJsonElement(rule))
    }

    /** Forgets all prescribed answers. */
    public fun clearScript() {
        post("/script/clear")
    }

    /** The prescribed answers that nobody got yet. */
    public val unusedRules: List<String>
        get() = get("/script").jsonObject.getValue("unused").jsonArray.map { it.jsonPrimitive.content }

    /** The requests that reached the server, in order; secrets are masked. */
    public fun journal(): List<JournalEntry> =
        get("/journal").jsonObject.getValue("entries").jsonArray.map { JournalEntry(it.jsonObject) }

    /** What is otherwise of a user from now on; what is null stays. */
    public fun changeUser(
        username: String,
        needsSecondFactor: Boolean? = null,
        factors: Set<String>? = null,
        status: String? = null,
        hasNoPassword: Boolean = false,
        assurance: String? = null,
    ) {
        val change = buildJsonObject {
            (assurance ?: needsSecondFactor?.let { if (it) "2fa" else "1fa" })?.let { put("assurance", it) }
            factors?.let { put("factors", JsonArray(it.map(::JsonPrimitive))) }
            status?.let { put("status", it) }
            if (hasNoPassword) put("has_no_password", true)
        }
        post("/users/${encoded(username)}", change)
    }

    /** Registers a passkey that [FakePasskeys] has made. */
    public fun addPasskey(username: String, passkeys: FakePasskeys) {
        post("/users/${encoded(username)}/passkeys", Json.parseToJsonElement(passkeys.registration))
    }

    /** Locks the account, or unlocks it. What the user holds goes on working. */
    public fun lock(username: String, locked: Boolean = true) {
        post("/users/${encoded(username)}/${if (locked) "lock" else "unlock"}")
    }

    /** Ends every session at the server. */
    public fun revokeEverything() {
        post("/revoke-everything")
    }

    /** Signs with a new key from now on. */
    public fun rotateKeys() {
        post("/keys/rotate")
    }

    /** Unpublishes the key that signs. */
    public fun withdrawKey() {
        post("/keys/withdraw")
    }

    /** Signs with a new key, and nothing signed before verifies any more. */
    public fun replaceKeys() {
        post("/keys/replace")
    }

    /** Switches and timings as `core/emulator/README.md` describes them, in JSON; what is not named stays. */
    public fun settings(change: String) {
        post("/settings", Json.parseToJsonElement(change))
    }

    /** Time passes at the server. */
    public fun advanceClock(by: Duration) {
        post("/clock", buildJsonObject { put("advance_s", by.inWholeSeconds) })
    }

    /** Back to the configuration that it was started with. */
    public fun reset() {
        post("/reset")
    }

    /** Stops the emulator if this started it. */
    override fun close() {
        process?.run {
            destroy()
            if (!waitFor(5, TimeUnit.SECONDS)) destroyForcibly()
        }
        folder?.deleteRecursively()
    }

    private fun get(path: String): JsonElement = request("GET", path, null)

    private fun post(path: String, body: JsonElement = JsonNull): JsonElement = request("POST", path, body)

    private fun request(method: String, path: String, body: JsonElement?): JsonElement = ask(control, trust, token, method, path, body)

    /** A prompt on a user's device. */
    public class Prompt internal constructor(
        /** Its number at the emulator. */
        public val id: Long,
        /** Whose device it is on. */
        public val username: String,
        /** The number to tap; null if it asks for yes or no. */
        public val number: String?,
        /** The numbers that the device shows. */
        public val choices: List<String>,
    )

    /** What a user does with a prompt. */
    public class Reaction private constructor(internal val json: JsonElement) {
        public companion object {
            /** Approves, tapping the right number, when the app has asked so often. */
            public fun approve(afterPolls: Int): Reaction = after("approve", afterPolls)

            /** Says no. */
            public fun deny(afterPolls: Int): Reaction = after("deny", afterPolls)

            /** Taps a wrong number. */
            public fun wrongNumber(afterPolls: Int): Reaction = after("wrong_number", afterPolls)

            /** Does nothing. */
            public fun ignore(): Reaction = Reaction(JsonPrimitive("ignore"))

            private fun after(what: String, polls: Int) =
                Reaction(buildJsonObject { put(what, buildJsonObject { put("after_polls", polls) }) })
        }
    }

    /** One request of the journal. */
    public class JournalEntry internal constructor(private val json: JsonObject) {
        /** All that the emulator says of it, as JSON; secrets are masked. */
        public val text: String get() = json.toString()

        /** What was asked for: `token`, `challenge`, `keys` … */
        public val operation: String get() = json.text("operation")

        /** When, in milliseconds since 1970 on the emulator's clock. */
        public val atMillis: Long get() = json.getValue("at_ms").jsonPrimitive.long
    }

    public companion object {
        /**
         * Starts the emulator on a free port of loopback.
         *
         * @param program the binary; if not given the environment's `DIRECTAUTH_EMULATOR`, or `directauth-emulator` on the path
         * @param arguments more of its command line, as `--help` describes it
         */
        public fun start(program: String? = null, vararg arguments: String): Emulator {
            val command = program ?: System.getenv("DIRECTAUTH_EMULATOR") ?: "directauth-emulator"
            val folder = kotlin.io.path.createTempDirectory("directauth-emulator").toFile()
            val process =
                try {
                    // Its standard input ends with this process, however that ends.
                    ProcessBuilder(listOf(command, "--stop-with-stdin", "--ca-dir", folder.path) + arguments)
                        // Not inherited: who waits for the end of this process's output would wait for the emulator's.
                        .redirectErrorStream(true)
                        .start()
                } catch (e: IOException) {
                    folder.deleteRecursively()
                    throw IOException("cannot run $command: build it with `cargo build -p directauth-emulator`, or name it", e)
                }
            Runtime.getRuntime().addShutdownHook(Thread { process.destroy() })
            val output = process.inputStream.bufferedReader()
            val isFound = CountDownLatch(1)
            // What never says where it is is none, and ends.
            thread(isDaemon = true) { if (!isFound.await(30, TimeUnit.SECONDS)) process.destroy() }
            val said = mutableListOf<String>()
            val control = output.lineSequence().onEach { said += it }.firstOrNull { it.startsWith("control") }?.substringAfter("control")?.trim()
            isFound.countDown()
            if (control == null) {
                process.destroy()
                folder.deleteRecursively()
                throw IOException("$command ended before it said where its control API is: ${said.joinToString(" ")}")
            }
            // Nobody may make it wait for a full pipe.
            thread(isDaemon = true) { output.forEachLine { } }
            return here(control, process, folder)
        }

        /**
         * One that runs already.
         *
         * @param control the address of its control API, which it prints; or that of one tenant, with `/t/NAME`
         * @param caPem its authority, as `--ca-out` writes it; not needed if it runs on this machine
         * @param token what its control API asks for beyond loopback; with `caPem` only, so that nobody else gets it
         */
        public fun attach(control: String, caPem: String? = null, token: String? = null): Emulator {
            require(control.startsWith("https://")) { "the control API is at an https address, and $control is none" }
            if (caPem != null) return Emulator(control.trimEnd('/'), trusting(caPem), token, null, null)
            require(token == null) { "a token is for the emulator alone: give its authority (caPem) too" }
            return here(control.trimEnd('/'), null, null)
        }

        private fun here(control: String, process: Process?, folder: File?): Emulator {
            val host = URI(control).host
            // Whoever answers there is believed once, to learn whom to trust: so it must be this machine.
            require(host in setOf("127.0.0.1", "localhost", "[::1]")) { "the emulator at $host is another machine: give its authority (caPem)" }
            val about = ask(control, TRUSTING_ANYBODY, null, "GET", "/", null).jsonObject
            return Emulator(control, trusting(about.text("ca_pem")), null, process, folder)
        }

        private val TRUSTING_ANYBODY: SSLSocketFactory by lazy {
            val anybody =
                object : X509TrustManager {
                    override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String) = Unit

                    override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String) = Unit

                    override fun getAcceptedIssuers(): Array<X509Certificate> = emptyArray()
                }
            SSLContext.getInstance("TLS").apply { init(null, arrayOf(anybody), null) }.socketFactory
        }

        private fun trusting(caPem: String): SSLSocketFactory {
            val keys = KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null, null) }
            val certificate = CertificateFactory.getInstance("X.509").generateCertificate(ByteArrayInputStream(caPem.toByteArray()))
            keys.setCertificateEntry("emulator", certificate)
            val managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(keys) }
            return SSLContext.getInstance("TLS").apply { init(null, managers.trustManagers, null) }.socketFactory
        }

        private fun ask(
            control: String,
            trust: SSLSocketFactory,
            token: String?,
            method: String,
            path: String,
            body: JsonElement?,
        ): JsonElement {
            val connection = URI(control + path).toURL().openConnection() as HttpsURLConnection
            connection.sslSocketFactory = trust
            connection.requestMethod = method
            connection.connectTimeout = 10_000
            connection.readTimeout = 30_000
            // Unasked, a JVM takes HTML first, as a browser does, and would get the page.
            connection.setRequestProperty("Accept", "application/json")
            if (token != null) connection.setRequestProperty("Authorization", "Bearer $token")
            if (body != null) {
                connection.doOutput = true
                connection.setRequestProperty("Content-Type", "application/json")
                connection.outputStream.use { it.write(body.toString().toByteArray()) }
            }
            val status = connection.responseCode
            val text = (if (status < 400) connection.inputStream else connection.errorStream)?.use { it.readBytes().decodeToString() }
            if (status >= 400) throw IOException("the emulator refuses $method $path: $status $text")
            return if (text.isNullOrEmpty()) JsonNull else Json.parseToJsonElement(text)
        }
    }
}

private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

private fun JsonObject.textOrNull(name: String): String? = (this[name] as? JsonPrimitive)?.takeIf { it !is JsonNull }?.content

private fun encoded(text: String): String = URLEncoder.encode(text, "UTF-8").replace("+", "%20")
