import DirectAuthAPI
import Foundation

/// A running `directauth-emulator`: the server to test an app against. What its users do, and what goes wrong, is said here.
///
/// Every function waits for the emulator's answer; ``EmulatorError`` if there is none or it refuses. One that ``start(program:arguments:)``
/// has started ends with ``stop()``, or when nobody holds it any more.
public final class Emulator: Sendable {
    /// The issuer to configure a client with.
    public let issuer: String
    /// The issuer of the org authorization server.
    public let orgIssuer: String
    /// The client id to configure a client with.
    public let clientID: String
    /// A protected resource, for access tokens.
    public let resourceURL: URL
    /// The certificate of its authority, as PEM: the trust to configure a client with.
    public let caPEM: String

    /// For requests of a test's own.
    package let server: LocalServer
    package var controlAddress: String { control }
    private let control: String
    private let token: String?
    private let running: (any Running)?

    private init(control: String, token: String? = nil, server: LocalServer, running: (any Running)?) async throws {
        let about = try await Self.ask(server, control, token, "GET", "/", nil)
        self.control = control
        self.token = token
        self.server = server
        self.running = running
        issuer = try about.text("issuer")
        orgIssuer = try about.text("org_issuer")
        clientID = try about.text("client_id")
        let resource = try about.text("resource_url")
        guard let url = URL(string: resource) else { throw EmulatorError("\(resource) is no address") }
        resourceURL = url
        caPEM = try about.text("ca_pem")
    }

    /// One that runs already.
    ///
    /// - Parameters:
    ///   - control: the address of its control API, which it prints; or that of one tenant, with `/t/NAME`.
    ///   - caPEM: the certificate of its authority, as PEM. If it is not given the emulator has to be on this machine: whoever
    ///     answers there is believed once, to learn which authority to trust from then on.
    ///   - token: what its control API asks for beyond loopback; with `caPEM` only, so that nobody else gets it.
    public static func attach(_ control: String, caPEM: String? = nil, token: String? = nil) async throws -> Emulator {
        let control = control.hasSuffix("/") ? String(control.dropLast()) : control
        guard let address = URL(string: control), address.scheme == "https", let host = address.host else {
            throw EmulatorError("\(control) is no https address")
        }
        if let caPEM {
            return try await Emulator(control: control, token: token, server: LocalServer(authority: caPEM), running: nil)
        }
        guard token == nil else { throw EmulatorError("a token is for the emulator alone: give its authority (caPEM) too") }
        guard ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host) else {
            throw EmulatorError("\(host) is another machine: give its certificate authority too")
        }
        let about = try await ask(LocalServer(.anybody), control, nil, "GET", "/", nil)
        return try await Emulator(control: control, server: LocalServer(authority: about.text("ca_pem")), running: nil)
    }

    /// Ends the emulator if this started it.
    public func stop() {
        running?.stop()
    }

    /// Another server in the same process, with users, clock, script and journal of its own.
    public func tenant() async throws -> Emulator {
        let name = try await post("/tenants").text("tenant")
        let root = control.components(separatedBy: "/t/")[0]
        return try await Emulator(control: "\(root)/t/\(name)", token: token, server: server, running: running.map(Kept.init))
    }

    // --- what its users have and do

    /// A code of the user's authenticator app that works now.
    public func totp(_ username: String) async throws -> String {
        try await get("/totp/\(encoded(username))").text("code")
    }

    /// A code that the user's authenticator app does not show now.
    public func wrongTOTP(_ username: String) async throws -> String {
        try await get("/totp/\(encoded(username))").text("wrong")
    }

    /// The prompts that wait on users' devices.
    public func prompts() async throws -> [Prompt] {
        try await get("/pushes").array.orEmpty.map { prompt in
            Prompt(
                id: prompt["id"]?.integer ?? 0, username: try prompt.text("username"), number: prompt["number"]?.string,
                choices: prompt["choices"]?.strings ?? [])
        }
    }

    /// The user approves the prompt, and taps the right number.
    public func approve(_ prompt: Prompt) async throws {
        if let number = prompt.number {
            try await tap(prompt, number: number)
        } else {
            try await post("/pushes/\(prompt.id)/approve")
        }
    }

    /// The user says no.
    public func deny(_ prompt: Prompt) async throws {
        try await post("/pushes/\(prompt.id)/deny")
    }

    /// The user taps a number.
    public func tap(_ prompt: Prompt, number: String) async throws {
        try await post("/pushes/\(prompt.id)/tap", ["number": .string(number)])
    }

    /// What the user will do with the next prompt.
    public func onNextPrompt(_ reaction: Reaction) async throws {
        try await post("/push-reactions", reaction.json)
    }

    /// The last code that was sent to the user by text message, phone call or e-mail; nil if none was.
    public func lastCode(_ username: String) async throws -> String? {
        try await get("/outbox").array.orEmpty.last { $0["username"]?.string?.lowercased() == username.lowercased() }?["code"]?.string
    }

    /// What is otherwise of a user from now on; what is nil stays.
    public func changeUser(
        _ username: String, needsSecondFactor: Bool? = nil, factors: Set<String>? = nil, status: String? = nil,
        hasNoPassword: Bool = false, assurance: String? = nil
    ) async throws {
        var change: [String: JSON] = [:]
        change["assurance"] = (assurance ?? needsSecondFactor.map { $0 ? "2fa" : "1fa" }).map(JSON.string)
        change["factors"] = factors.map { .array($0.sorted().map(JSON.string)) }
        change["status"] = status.map(JSON.string)
        if hasNoPassword { change["has_no_password"] = true }
        try await post("/users/\(encoded(username))", .object(change))
    }

    /// Registers a passkey that ``FakePasskeys`` has made.
    public func addPasskey(_ username: String, _ passkeys: FakePasskeys) async throws {
        try await post("/users/\(encoded(username))/passkeys", JSON(parsing: passkeys.registration))
    }

    // --- what happens at the server

    /// Locks the account. What the user holds goes on working.
    public func lock(_ username: String) async throws {
        try await post("/users/\(encoded(username))/lock")
    }

    /// Unlocks the account.
    public func unlock(_ username: String) async throws {
        try await post("/users/\(encoded(username))/unlock")
    }

    /// Ends every session at the server.
    public func revokeEverything() async throws {
        try await post("/revoke-everything")
    }

    /// Signs with a new key from now on.
    public func rotateKeys() async throws {
        try await post("/keys/rotate")
    }

    /// Unpublishes the key that signs.
    public func withdrawKey() async throws {
        try await post("/keys/withdraw")
    }

    /// Signs with a new key, and nothing signed before verifies any more.
    public func replaceKeys() async throws {
        try await post("/keys/replace")
    }

    /// Prescribes an answer: a rule as `core/emulator/README.md` describes them, in JSON.
    public func script(_ rule: String) async throws {
        try await post("/script", JSON(parsing: rule))
    }

    /// Forgets all prescribed answers.
    public func clearScript() async throws {
        try await post("/script/clear")
    }

    /// The prescribed answers that nobody got yet.
    public func unusedRules() async throws -> [String] {
        try await get("/script")["unused"]?.strings ?? []
    }

    /// The requests that reached the server, in order; secrets are masked.
    public func journal() async throws -> [JournalEntry] {
        try await get("/journal")["entries"]?.array.orEmpty.map(JournalEntry.init) ?? []
    }

    /// How many sign-ins live at the server.
    public func liveGrants() async throws -> Int {
        Int(try await get("/")["live_grants"]?.integer ?? 0)
    }

    /// Switches and timings as `core/emulator/README.md` describes them, in JSON; what is not named stays.
    public func settings(_ change: String) async throws {
        try await post("/settings", JSON(parsing: change))
    }

    /// Time passes at the server, in seconds.
    public func advanceClock(by seconds: Int) async throws {
        try await post("/clock", ["advance_s": .integer(Int64(seconds))])
    }

    /// Back to the configuration that it was started with.
    public func reset() async throws {
        try await post("/reset")
    }

    // --- its control API

    private func get(_ path: String) async throws -> JSON {
        try await Self.ask(server, control, token, "GET", path, nil)
    }

    @discardableResult
    private func post(_ path: String, _ body: JSON = .null) async throws -> JSON {
        try await Self.ask(server, control, token, "POST", path, body)
    }

    private static func ask(
        _ server: LocalServer, _ control: String, _ token: String?, _ method: String, _ path: String, _ body: JSON?
    ) async throws -> JSON {
        // The same address is a page for who takes HTML.
        var headers = ["Accept": "application/json"]
        if let token { headers["Authorization"] = "Bearer \(token)" }
        if body != nil { headers["Content-Type"] = "application/json" }
        let answer = try await server.send(method, control + path, headers: headers, body: body?.encoded)
        let text = String(decoding: answer.body, as: UTF8.self)
        guard answer.status < 400 else { throw EmulatorError("the emulator refuses \(method) \(path): \(answer.status) \(text)") }
        return text.isEmpty ? .null : try JSON(parsing: text)
    }

    private func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }

    /// A prompt on a user's device.
    public struct Prompt: Sendable, Hashable, Identifiable {
        /// Its number at the emulator.
        public let id: Int64
        /// Whose device it is on.
        public let username: String
        /// The number to tap; nil if it asks for yes or no.
        public let number: String?
        /// The numbers that the device shows.
        public let choices: [String]
    }

    /// What a user does with a prompt.
    public struct Reaction: Sendable {
        let json: JSON

        /// Approves, tapping the right number, when the app has asked so often.
        public static func approve(afterPolls polls: Int) -> Reaction { after("approve", polls) }

        /// Says no.
        public static func deny(afterPolls polls: Int) -> Reaction { after("deny", polls) }

        /// Taps a wrong number.
        public static func wrongNumber(afterPolls polls: Int) -> Reaction { after("wrong_number", polls) }

        /// Does nothing.
        public static let ignore = Reaction(json: "ignore")

        private static func after(_ what: String, _ polls: Int) -> Reaction {
            Reaction(json: .object([what: ["after_polls": .integer(Int64(polls))]]))
        }
    }

    /// One request of the journal.
    public struct JournalEntry: Sendable {
        /// All that the emulator says of it, as JSON.
        public let json: String
        /// What was asked for: `token`, `challenge`, `keys` …
        public let operation: String
        /// When, in milliseconds since 1970 on the emulator's clock.
        public let atMillis: Int64

        init(_ entry: JSON) {
            json = entry.text
            operation = entry["operation"]?.string ?? ""
            atMillis = entry["at_ms"]?.integer ?? 0
        }
    }
}

/// What has to be ended with the emulator.
private protocol Running: Sendable {
    func stop()
}

/// A tenant keeps the emulator alive and does not end it.
private final class Kept: Running {
    private let emulator: any Running

    init(_ emulator: any Running) {
        self.emulator = emulator
    }

    func stop() {}
}

#if os(macOS) || os(Linux)
    extension Emulator {
        /// Starts the emulator on a free port of loopback.
        ///
        /// - Parameters:
        ///   - program: the binary; if not given the environment's `DIRECTAUTH_EMULATOR`, or `directauth-emulator` on the path.
        ///   - arguments: more of its command line, as `--help` describes it.
        public static func start(program: String? = nil, arguments: [String] = []) async throws -> Emulator {
            let command = program ?? ProcessInfo.processInfo.environment["DIRECTAUTH_EMULATOR"] ?? "directauth-emulator"
            let program = try StartedProgram(command, arguments)
            let control = try await program.control()
            // Its authority is made in a folder that nobody else knows.
            let authority = try String(contentsOf: program.folder.appendingPathComponent("ca.pem"), encoding: .utf8)
            return try await Emulator(control: control, server: LocalServer(authority: authority), running: program)
        }
    }

    private final class StartedProgram: Running, @unchecked Sendable {
        let folder: URL
        private let command: String
        private let process = Process()
        private let output = Pipe()
        /// Nothing is written there; it ends with this process, however that ends.
        private let input = Pipe()

        init(_ command: String, _ arguments: [String]) throws {
            self.command = command
            folder = FileManager.default.temporaryDirectory.appendingPathComponent("directauth-emulator-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [command, "--stop-with-stdin", "--ca-dir", folder.path] + arguments
            process.standardInput = input
            process.standardOutput = output
            process.standardError = output
            do {
                try process.run()
            } catch {
                try? FileManager.default.removeItem(at: folder)
                throw EmulatorError("cannot run \(command): \(error)")
            }
            AtExit.shared.add(process, folder)
        }

        deinit {
            stop()
        }

        /// The address of its control API, from what it prints. From then on somebody reads what else it prints, so that it never waits.
        func control() async throws -> String {
            // What never says it is none, and ends.
            let limit = DispatchWorkItem { [self] in process.end() }
            DispatchQueue.global().asyncAfter(deadline: .now() + 30, execute: limit)
            defer { limit.cancel() }
            let found: Result<String, EmulatorError> = await withCheckedContinuation { continuation in
                DispatchQueue.global().async { [output, command] in
                    var text = ""
                    while true {
                        let data = output.fileHandleForReading.availableData
                        if data.isEmpty {
                            let hint = "build it with `cargo build -p directauth-emulator`, and name it in DIRECTAUTH_EMULATOR"
                            let error = EmulatorError("\(command) does not run: \(text.isEmpty ? hint : text)")
                            return continuation.resume(returning: .failure(error))
                        }
                        text += String(decoding: data, as: UTF8.self)
                        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                        guard let line = lines.first(where: { $0.hasPrefix("control") }) else { continue }
                        output.fileHandleForReading.readabilityHandler = { handle in
                            if handle.availableData.isEmpty { handle.readabilityHandler = nil }
                        }
                        let control = line.dropFirst("control".count).trimmingCharacters(in: .whitespaces)
                        return continuation.resume(returning: .success(control))
                    }
                }
            }
            return try found.get()
        }

        func stop() {
            process.end()
            AtExit.shared.remove(process)
            try? FileManager.default.removeItem(at: folder)
        }
    }

    /// Ends what a test left running.
    private final class AtExit: @unchecked Sendable {
        static let shared = AtExit()
        private let lock = NSLock()
        private var running: [ObjectIdentifier: (Process, URL)] = [:]

        private init() {
            atexit { AtExit.shared.endAll() }
        }

        func add(_ process: Process, _ folder: URL) {
            lock.withLock { running[ObjectIdentifier(process)] = (process, folder) }
        }

        func remove(_ process: Process) { lock.withLock { running[ObjectIdentifier(process)] = nil } }

        private func endAll() {
            for (process, folder) in lock.withLock({ running.values }) {
                process.end()
                try? FileManager.default.removeItem(at: folder)
            }
        }
    }

    extension Process {
        /// A thread of Swift's pool blocks all signals, and what it starts inherits that on Linux: so this is the one that nobody blocks.
        fileprivate func end() {
            if isRunning { kill(processIdentifier, SIGKILL) }
        }
    }
#endif

extension JSON {
    fileprivate func text(_ name: String) throws -> String {
        guard let text = self[name]?.string else { throw EmulatorError("the emulator's answer has no \(name)") }
        return text
    }
}

extension Optional where Wrapped == [JSON] {
    fileprivate var orEmpty: [JSON] { self ?? [] }
}
