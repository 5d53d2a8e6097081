import DirectAuthTestCore
import DirectAuthTesting
import Foundation

@testable import DirectAuth

/// Plays one vector on the real library against the emulator, over TLS, in simulated time.
final class Play {
    private let vector: Vector
    private let config: JSON
    private let world: TestWorld
    private let emulator: Emulator
    private let shelf = Shelf()
    private let ownShelves: [String: Shelf]
    private let keys = Keys()
    private let recorder = Recorder()
    private var secrets = Secrets()
    private var processes: [String: Process] = [:]
    private var started: Set<String> = []
    private var here = "app"
    private var username = ""
    private var lastToken: String?
    private var noted: [String: String] = [:]
    private var passkeys: FakePasskeys?

    private final class Process {
        let client: DirectAuthClient
        var step: SignInStep?
        var session: (any AuthSession)?

        init(_ client: DirectAuthClient) {
            self.client = client
        }
    }

    init(_ vector: Vector) async throws {
        self.vector = vector
        config = vector.config
        world = try TestWorld(
            deviceClockAheadMillis: config["device_clock_ahead_ms"]?.integer ?? 0,
            connectTimeout: config["connect_timeout_ms"]?.double.map { $0 / 1000 })
        emulator = try await Emulator.attach(world.control())
        ownShelves = Dictionary((config["own_store"]?.strings ?? []).map { ($0, Shelf()) }) { first, _ in first }
    }

    func play() async throws {
        if let settings = config["settings"] { try await emulator.settings(settings.text) }
        for (name, change) in config["users"]?.object ?? [:] {
            try await emulator.changeUser(
                name, factors: change["factors"]?.strings.map { Set($0) }, status: change["status"]?.string,
                hasNoPassword: change["has_no_password"]?.bool ?? false, assurance: change["assurance"]?.string)
        }
        for rule in vector.server { try await emulator.script(rule.text) }
        try goTo("app")
        for (number, call) in vector.calls.enumerated() {
            do {
                try await play(call)
            } catch let error as Mismatch {
                throw Mismatch("call \(number + 1) \(call.text): \(error)")
            }
        }
        try world.settle()
        let liveGrants = world.liveGrants()
        // What comes later comes too: nothing may be sent again when nobody looks any more.
        try world.run(by: 3600)
        try equal("prescribed answers that nobody got", world.unusedRules(), [])
        try await look(Int(liveGrants))
    }

    private var process: Process {
        get throws {
            guard let process = processes[here] else { throw Mismatch("\(here) does not run") }
            return process
        }
    }

    private func play(_ call: JSON) async throws {
        try goTo(call["process"]?.string ?? "app")
        let outcome = try await act(call)
        try world.settle()
        secrets.typed(world.lastRefreshToken())
        var error: AuthError?
        if case .failure(let failure) = outcome { error = failure }
        if let gives = call["gives"]?.string {
            guard outcome.word == gives else {
                throw Mismatch("gives \(outcome.word), expected \(gives)\(error.map { " (\($0))" } ?? "")")
            }
        } else if let error {
            throw Mismatch("failed: \(error)")
        }
        if let error { try secrets.check("an error", everyText(of: error)) }
        if ["remedy", "says", "retry_in_s", "hint", "server_says", "causes", "second_code", "maybe_sent"]
            .contains(where: { call[$0] != nil })
        {
            guard let error else { throw Mismatch("\(outcome.word) is no error that could say something") }
            try look(at: error, call)
        }
        if let expected = call["device"]?.string {
            guard case .signedOut(let results) = outcome else { throw Mismatch("\(outcome.word) is no sign-out") }
            try equal("on the device", results.map { wordOf($0.device) }.joined(separator: ", "), expected)
        }
        if let expected = call["new"]?.bool {
            guard case .token(let token) = outcome else { throw Mismatch("\(outcome.word) is no token") }
            try equal("another token than the last one", token != lastToken, expected)
        }
        try take(outcome)
    }

    private func look(at error: AuthError, _ call: JSON) throws {
        if let wanted = call["remedy"]?.string { try equal("remedy", wordOf(error.remedy), wanted) }
        if let wanted = call["retry_in_s"]?.integer {
            guard case .wait(let until?) = error.remedy else { throw Mismatch("no time to wait until") }
            // Up to a quarter is added, so that not all devices come back at the same moment.
            let latest = min(wanted + (wanted + 3) / 4, max(wanted, 3600))
            let found = secondsUntil(until)
            guard (wanted...latest).contains(found) else {
                throw Mismatch("retry in \(found) s, expected \(wanted) s or up to a quarter more")
            }
        }
        if let says = call["says"]?.string, !error.description.contains(fill(says)) {
            throw Mismatch("says \(error), which does not contain \(says)")
        }
        let text = error.serverText
        if let wanted = call["server_says"] { try equal("the server says", text?.text, wanted.string) }
        if let wanted = call["causes"] { try equal("the causes", text?.causes, wanted.strings) }
        if let wanted = call["second_code"] { try equal("the second code", text?.secondCode, wanted.string) }
        if let wanted = call["hint"] { try equal("hint", error.hint.map(wordOf), wanted.string) }
        if let wanted = call["maybe_sent"]?.bool {
            guard case .network(_, let maybeSent, _) = error else { throw Mismatch("\(error) is not about the network") }
            try equal("maybe sent", maybeSent, wanted)
        }
    }

    private func act(_ call: JSON) async throws -> Outcome {
        if call["dies"] != nil {
            die()
            return .value("Died")
        }
        if call["restart"] != nil {
            try world.settle()
            if processes[here] != nil { die() }
            processes[here] = try start()
            return .done
        }
        if try await worldGoesOn(call) { return .done }
        do {
            if let outcome = try await signIn(call) { return outcome }
            if let outcome = try await lookAtStep(call) { return outcome }
            if let outcome = try await session(call) { return outcome }
            if let outcome = try await lookAtSessions(call) { return outcome }
            throw Mismatch("nothing to do it with, or an unknown verb")
        } catch let error as AuthError {
            return .failure(error)
        }
    }

    /// What others do, and time; whether the call is about that.
    private func worldGoesOn(_ call: JSON) async throws -> Bool {
        if let reactions = call["user"]?.object {
            for (what, polls) in reactions {
                let polls = Int(polls.integer ?? 0)
                switch what {
                case "approves_after_polls": try await emulator.onNextPrompt(.approve(afterPolls: polls))
                case "declines_after_polls": try await emulator.onNextPrompt(.deny(afterPolls: polls))
                case "taps_wrong_number_after_polls": try await emulator.onNextPrompt(.wrongNumber(afterPolls: polls))
                default: throw Mismatch("unknown reaction \(what)")
                }
            }
        } else if let seconds = call["wait_s"]?.double {
            world.advance(by: seconds)
        } else if let seconds = call["run_s"]?.double {
            try world.run(by: seconds)
        } else if let millis = call["set_device_clock_ms"]?.integer {
            world.setWall(byMillis: millis)
        } else if let mood = call["store"]?.string {
            if mood == "is_damaged" { shelf(of: here).damage() } else { shelf(of: here).mood = mood }
        } else if let mood = call["keys"]?.string {
            try keys.become(mood)
        } else if let count = call["platform_has_keys"]?.integer {
            try equal("keys of the platform", keys.count, Int(count))
        } else if let name = call["note_refresh_token"]?.string {
            noted[name] = world.lastRefreshToken()
        } else if let what = call["server"]?.string {
            switch what {
            case "rotates_keys": try await emulator.rotateKeys()
            case "replaces_keys": try await emulator.replaceKeys()
            case "withdraws_key": try await emulator.withdrawKey()
            case "revokes_everything": try await emulator.revokeEverything()
            case "locks_user": try await emulator.lock(username)
            default: throw Mismatch("unknown event \(what)")
            }
        } else if let rule = call["script"] {
            try await emulator.script(rule.text)
        } else if call["clear_script"] != nil {
            try await emulator.clearScript()
        } else if let user = call["registers_passkey"]?.string {
            let passkeys = try FakePasskeys(origin: originOf(emulator.issuer), username: user)
            try await emulator.addPasskey(user, passkeys)
            self.passkeys = passkeys
        } else if let wanted = call["store_has"]?.object {
            for (kind, count) in wanted { try equal(kind, shelf(of: here).count(kind), Int(count.integer ?? -1)) }
        } else {
            return false
        }
        return true
    }

    private func signIn(_ call: JSON) async throws -> Outcome? {
        let process = try process
        let step = process.step
        let acrValues = call["acr_values"]?.strings ?? []
        let maxAge = call["max_age_s"]?.double
        let next: SignInStep
        if let user = call["sign_in"]?.string {
            secrets.typed(typed(user))
            next = try await first(call, process.client.signIn(user, acrValues: acrValues, maxAge: maxAge))
        } else if call["step_up"] != nil {
            guard let session = process.session else { throw Mismatch("no session") }
            username = session.username
            next = try await first(call, session.stepUp(acrValues: acrValues, maxAge: maxAge))
        } else if let user = call["recover"]?.string {
            secrets.typed(typed(user))
            next = try await first(call, process.client.recover(user))
        } else if call["sign_in_with_passkey"] != nil {
            next = try await waiting { try await process.client.signInWithPasskey() }
        } else if let password = call["set_password"]?.string {
            secrets.neverStored(password)
            let reset = try inHand(step).asResetPassword()
            next = try await waiting { try await reset.set(password) }
        } else if let kind = call["answer"]?.string {
            let asked = try inHand(step).asUsePasskey()
            let response = try await answer(kind, asked.requestJSON)
            next = try await waiting { try await asked.answer(response) }
        } else if call["renew"] != nil {
            let asked = try inHand(step).asUsePasskey()
            next = try await waiting { try await asked.renew() }
        } else if let name = call["choose"]?.string {
            let choice = try inHand(step).asChooseFactor()
            let code: String? = if let text = call["code"]?.string { try await typeCode(text) } else { nil }
            next = try await factor(choice, name, code)
        } else if let text = call["submit"]?.string {
            let code = try await typeCode(text)
            let enter = try inHand(step).asEnterCode()
            next = try await waiting { try await enter.submit(code) }
        } else if call["approved"] != nil {
            let push = try inHand(step).asApproveOnDevice()
            next = try await waiting { try await push.approved() }
        } else if call["resend"] != nil {
            switch step {
            case .approveOnDevice(let push): next = try await waiting { try await push.resend() }
            case .enterCode(let enter): next = try await waiting { try await enter.resend() }
            default: throw Mismatch("nothing to resend: \(String(describing: step))")
            }
        } else {
            return nil
        }
        return .step(next)
    }

    private func inHand(_ step: SignInStep?) throws -> SignInStep {
        guard let step else { throw Mismatch("no step in hand") }
        return step
    }

    private func first(_ call: JSON, _ choice: any FactorChoice) async throws -> SignInStep {
        if let password = call["password"]?.string {
            secrets.neverStored(password)
            guard let signIn = choice as? any SignIn else { throw Mismatch("a password is no factor of a recovery") }
            return try await waiting { try await signIn.password(password) }
        }
        if let text = call["otp"]?.string { return try await factor(choice, "otp", typeCode(text)) }
        guard let name = ["push", "sms", "voice", "email", "passkey"].first(where: { call[$0] != nil }) else {
            throw Mismatch("no first factor given")
        }
        return try await factor(choice, name, nil)
    }

    private func factor(_ choice: any FactorChoice, _ name: String, _ code: String?) async throws -> SignInStep {
        try await waiting {
            switch name {
            case "otp":
                guard let code else { throw Mismatch("no code") }
                return try await choice.otp(code)
            case "push": return try await choice.push()
            case "sms": return try await choice.sms()
            case "voice": return try await choice.voice()
            case "email": return try await choice.email()
            case "passkey": return try await choice.passkey()
            default: throw Mismatch("unknown factor \(name)")
            }
        }
    }

    private func answer(_ kind: String, _ request: String) async throws -> String {
        switch kind {
        case "signed":
            guard let passkeys else { throw Mismatch("nobody has a passkey") }
            return try await passkeys.get(requestJSON: request)
        case "unsigned": return try unsigned(request, challenge: nil)
        case "of_another_challenge": return try unsigned(request, challenge: "QW5vdGhlciBjaGFsbGVuZ2U")
        case "nonsense": return "{}"
        default: throw Mismatch("unknown answer \(kind)")
        }
    }

    /// What is done with the step in hand, or seen of it, without a request.
    private func lookAtStep(_ call: JSON) async throws -> Outcome? {
        let process = try process
        let step = process.step
        if call["back"] != nil {
            guard let choice = step?.choice else { throw Mismatch("not a second factor") }
            return .step(.chooseFactor(choice))
        } else if call["cancel"] != nil {
            switch step {
            case .approveOnDevice(let step): step.cancel()
            case .enterCode(let step): step.cancel()
            case .usePasskey(let step): step.cancel()
            case .chooseFactor(let step): step.cancel()
            case .resetPassword(let step): step.cancel()
            default: throw Mismatch("nothing to cancel")
            }
        } else if let wanted = call["factors"]?.strings {
            try equal("factors", inHand(step).asChooseFactor().factors.map { String(describing: $0) }, wanted)
        } else if let wanted = call["request"]?.object {
            let found = try JSON(parsing: inHand(step).asUsePasskey().requestJSON)
            for (name, expected) in wanted { try equal(name, found[name] ?? .null, expected) }
        } else if let wanted = call["enrolled"]?.strings {
            try equal("enrolled", inHand(step).asUsePasskey().enrolled.map(\.name), wanted)
        } else if let wanted = call["number"] {
            let found = try inHand(step).asApproveOnDevice().number
            switch wanted {
            case true: try await equal("on the device", emulator.prompts().contains { $0.number == found && found != nil }, true)
            case false: try equal("the number", found, nil)
            default: try equal("the number", found, wanted.string)
            }
        } else if let wanted = call["expires_in_s"]?.integer {
            let at: Date? =
                switch step {
                case .approveOnDevice(let step): step.expiresAt
                case .enterCode(let step): step.expiresAt
                case .usePasskey(let step): step.expiresAt
                case .resetPassword(let step): step.expiresAt
                default: process.session?.expiresAt
                }
            guard let at else { throw Mismatch("nothing expires") }
            try equal("expires in", secondsUntil(at), wanted)
        } else if let wanted = call["resend_in_s"]?.integer {
            try equal("resend in", secondsUntil(inHand(step).asEnterCode().resendAt), wanted)
        } else if let wanted = call["attempts_left"]?.integer {
            try equal("attempts left", inHand(step).asEnterCode().attemptsLeft, Int(wanted))
        } else {
            return nil
        }
        return .done
    }

    private func session(_ call: JSON) async throws -> Outcome? {
        let process = try process
        let client = process.client
        if call["restore"] != nil {
            return try await waiting { try await client.restore() }.map { .session("Restored", $0) } ?? .value("None")
        } else if let name = call["import"]?.string {
            let token = noted[name] ?? name
            return .session("Imported", try await waiting { try await client.importSession(refreshToken: token) })
        } else if call["sign_out_default"] != nil {
            return .signedOut([try await waiting { try await client.signOut() }].compactMap { $0 })
        } else if call["sign_out_all"] != nil {
            return .signedOut(try await waiting { try await client.signOutAll() })
        } else if let user = call["session_of"]?.string {
            let found = try await waiting { () async throws -> (any AuthSession)? in
                guard let id = try await Self.id(of: user, client) else { return nil }
                return try await client.session(id: id)
            }
            return found.map { .session("Found", $0) } ?? .value("None")
        } else if let user = call["set_default"]?.string {
            return .session(
                "Default", try await waiting { try await client.setDefault(id: Self.id(of: user, client) ?? "") })
        }
        guard let session = process.session else { return nil }
        if call["refresh"] != nil {
            try await waiting { try await session.refresh() }
            return .done
        } else if call["access_token"] != nil {
            return .token(try await waiting { try await session.accessToken() })
        } else if let count = call["concurrent_access_tokens"]?.integer {
            let tokens = try await waiting {
                try await withThrowingTaskGroup(of: String.self) { group in
                    for _ in 0..<count { group.addTask { try await session.accessToken() } }
                    return try await group.reduce(into: Set<String>()) { $0.insert($1) }
                }
            }
            try equal("all callers get the same token", tokens.count, 1)
            return .done
        } else if let address = call["authorize"] {
            let text = fill(address.string ?? "{resource}")
            guard let url = URL(string: text) else { throw Mismatch("\(text) is no address") }
            let headers = try await waiting { try await session.authorize(method: "GET", url: url) }.values
            let (scheme, names): (String, Set<String>) =
                session.isDPoPBound ? ("DPoP ", ["authorization", "dpop"]) : ("Bearer ", ["authorization"])
            try equal("headers", Set(headers.keys), names)
            try equal("scheme", headers["authorization"]?.hasPrefix(scheme), true)
            return .done
        } else if let answer = call["advise"] {
            let fields = (answer["www_authenticate"]?.strings ?? []).map { HeaderField(name: "WWW-Authenticate", value: $0) }
            let status = Int(answer["status"]?.integer ?? 0)
            let url = emulator.resourceURL
            let advice = try await waiting {
                try await session.advise(used: session.authorize(method: "GET", url: url), status: status, headers: fields)
            }
            return .value(wordOf(advice))
        } else if let query = call["call_resource"]?.string {
            let (advice, status) = try await callResource(session, query)
            return .value(String(advice == .retry ? try await callResource(session, query).1 : status))
        } else if let token = call["introspect"]?.string {
            let answer = try await waiting { try await session.introspect(token == "refresh" ? .refresh : .access) }
            return .value(answer.isActive ? "active" : "inactive")
        } else if call["user_info"] != nil {
            return .value(try await waiting { try await session.userInfo() }.text("preferred_username") ?? "")
        } else if call["sign_out"] != nil {
            return .signedOut([try await waiting { try await session.signOut() }])
        }
        return nil
    }

    private func callResource(_ session: any AuthSession, _ query: String) async throws -> (Advice, Int) {
        let address = emulator.resourceURL.absoluteString + query
        guard let url = URL(string: address) else { throw Mismatch("\(address) is no address") }
        let used = try await waiting { try await session.authorize(method: "GET", url: url) }
        let answer = try await emulator.server.send("GET", address, headers: used.values)
        let fields = answer.headers.map { HeaderField(name: $0.name, value: $0.value) }
        return (try await waiting { try await session.advise(used: used, status: answer.status, headers: fields) }, answer.status)
    }

    private static func id(of user: String, _ client: DirectAuthClient) async throws -> String? {
        try await client.sessions().first { $0.username == user }?.id
    }

    private func lookAtSessions(_ call: JSON) async throws -> Outcome? {
        let process = try process
        let client = process.client
        if call["build"] != nil {
            _ = try await client.core()
        } else if call["warm_up"] != nil {
            try await waiting { try await client.warmUp() }
        } else if call["notify_foreground"] != nil {
            client.notifyForeground()
        } else if call["state"] != nil {
            return .value(await state(of: client, call["gives"]?.string))
        } else if let wanted = call["sessions"]?.strings {
            let found = try await waiting { try await client.sessions() }
            try equal("sessions", found.map(\.username), wanted)
            try equal("the first is the default", found.map(\.isDefault), found.indices.map { $0 == 0 })
        } else if let wanted = call["discard_unreadable"]?.integer {
            try await equal("discarded", waiting { try await client.discardUnreadable() }, Int(wanted))
        } else if let wanted = call["session"]?.object {
            try lookAtSession(wanted)
        } else if call["drop"] != nil {
            process.step = nil
        } else {
            return nil
        }
        return .done
    }

    private func lookAtSession(_ wanted: [String: JSON]) throws {
        guard let session = try process.session else { throw Mismatch("no session to look at") }
        func json(_ text: String?) -> JSON { text.map(JSON.string) ?? .null }
        for (what, expected) in wanted {
            let found: JSON =
                switch what {
                case "persisted": .bool(session.isPersisted)
                case "can_refresh": .bool(session.canRefresh)
                case "scopes": .array(session.grantedScopes.map(JSON.string))
                case "username": .string(session.username)
                case "bound": .bool(session.isDPoPBound)
                case "claims": .bool(session.claims != nil)
                case "preferred_username", "name": json(session.claims?.text(what))
                case "amr": session.claims.map { .array($0.texts("amr").map(JSON.string)) } ?? .null
                case "stored": .integer(Int64(shelf(of: here).count("session")))
                default: throw Mismatch("unknown property \(what)")
                }
            try equal(what, found, expected)
        }
    }

    /// The state, or what it becomes: it is shown by another thread.
    private func state(of client: DirectAuthClient, _ wanted: String?) async -> String {
        func now() -> String {
            switch client.state {
            case .restoring: "Restoring"
            case .signedOut: "SignedOut"
            case .signedIn(let session): "SignedIn \(session.username)"
            case .unavailable(let problem): "Unavailable \(wordOf(problem))"
            }
        }
        var found = now()
        for _ in 0..<5000 {
            if found == wanted { break }
            try? await Task.sleep(nanoseconds: 1_000_000)
            found = now()
        }
        return found
    }

    private func look(_ liveGrants: Int) async throws {
        let expect = vector.expect
        let journal = try await emulator.journal()
        if let wanted = expect["requests"]?.strings {
            let all = wanted.flatMap { item -> [String] in
                let parts = item.split(separator: "*").map(String.init)
                return Array(repeating: parts[0], count: parts.count > 1 ? Int(parts[1]) ?? 1 : 1)
            }
            try equal("requests", journal.map(\.operation), all)
        }
        for (operation, least) in expect["gaps_at_least_s"]?.object ?? [:] {
            let times = journal.filter { $0.operation == operation }.map { Double($0.atMillis) / 1000 }
            let gaps = zip(times, times.dropFirst()).map { $1 - $0 }
            let wanted = (least.array ?? []).compactMap(\.double)
            if gaps.count < wanted.count || zip(gaps, wanted).contains(where: { $0 + 1e-3 < $1 }) {
                throw Mismatch("gaps of \(operation): \(gaps), at least \(wanted)")
            }
        }
        if let wanted = expect["live_grants"]?.integer { try equal("live grants", liveGrants, Int(wanted)) }
        let kinds = recorder.events.map(\.kind)
        if let wanted = expect["security"]?.strings {
            try equal("security events", kinds.compactMap { if case .security(let event) = $0 { wordOf(event) } else { nil } }, wanted)
        }
        if let wanted = expect["attempts"]?.strings {
            let attempts = kinds.compactMap { kind -> String? in
                guard case .attemptFinished(let attempt, let outcome, _, _, _, _) = kind else { return nil }
                return "\(wordOf(attempt)) \(outcome)"
            }
            try equal("attempts", attempts, wanted)
        }
        try secrets.check("an audit event", everyText(of: recorder.events))
        for shelf in [shelf] + ownShelves.values { try secrets.checkStored(shelf.written) }
    }

    /// A call of the library, while which simulated time may pass.
    private func waiting<T>(_ work: () async throws -> T) async throws -> T {
        world.begin()
        defer { world.end() }
        return try await work()
    }

    private func take(_ outcome: Outcome) throws {
        switch outcome {
        case .step(.signedIn(let session)):
            try process.session = session
            try process.step = nil
        case .step(let step): try process.step = step
        case .session(_, let session): try process.session = session
        case .token(let token):
            lastToken = token
            secrets.typed(token)
        case .done, .signedOut, .value, .failure: break
        }
    }

    private func goTo(_ name: String) throws {
        here = name
        if started.insert(name).inserted { processes[name] = try start() }
    }

    private func die() {
        world.kill(process: here)
        processes[here] = nil
    }

    private func shelf(of process: String) -> Shelf { ownShelves[process] ?? shelf }

    private func start() throws -> Process {
        var options = DirectAuthOptions()
        options.scopes = config["scopes"]?.strings ?? ["openid", "profile", "offline_access"]
        options.capabilities = try config["capabilities"]?.strings.map { try $0.map { try one(of: Factor.self, $0) } }
        options.requestTimeout = (config["request_timeout_ms"]?.double ?? 20_000) / 1000
        options.widerScopes = config["refuse_wider_scopes"]?.bool == true ? .refuse : .accept
        options.trimUsernames = config["keep_usernames_as_typed"]?.bool != true
        if config["keep_in_memory"]?.bool == true { options.whenStorageFails = .keepInMemory }
        options.accounts = try config["accounts"]?.string.map { try one(of: Accounts.self, $0) }
        options.profile = try config["profile"]?.string.map { try one(of: Profile.self, $0) }
        options.relyingParties = config["relying_parties"]?.strings ?? []
        options.passkeyStart = try config["passkey_start"]?.string.map { try one(of: PasskeyStart.self, $0) }
        options.recoveryRequest = try config["recovery_request"]?.string.map { try one(of: RecoveryRequest.self, $0) }
        let dpop = config["own_dpop"]?[here]?.string ?? config["dpop"]?.string
        options.dpop = try dpop.map { try one(of: DPoP.self, $0) }
        options.resourceOrigins = config["resource_origins"]?.strings ?? []
        options.additionalParameters = config["additional_parameters"]?.object?.compactMapValues(\.string)
        options.refreshPolicy = try config["refresh_policy"]?[here]?.string.map { try one(of: RefreshPolicy.self, $0) }
        options.sharedStore = config["shared_store"]?.bool == true
        options.storage = shelf(of: here)
        if config["platform_keys"]?.bool == true { options.signingKey = keys }
        options.auditSink = recorder
        let issuer = config["issuer"]?.string.map(fill) ?? emulator.issuer
        let clientID = config["client_id"]?.string ?? emulator.clientID
        return Process(
            DirectAuthClient(issuer: issuer, clientID: clientID, options: options) { [world, here] setup in
                try world.build(setup: setup, process: here)
            })
    }

    /// The value that is called so, as `primary_authenticate`.
    private func one<Value: CaseIterable>(of type: Value.Type, _ name: String) throws -> Value {
        let plain = name.replacingOccurrences(of: "_", with: "")
        guard let value = type.allCases.first(where: { String(describing: $0).lowercased() == plain }) else {
            throw Mismatch("\(type) has no \(name)")
        }
        return value
    }

    private func typed(_ username: String) -> String {
        self.username = username.trimmingCharacters(in: .whitespacesAndNewlines)
        return self.username
    }

    private func typeCode(_ code: String) async throws -> String {
        let typed = try await fillCode(code)
        secrets.neverStored(typed)
        return typed
    }

    private func fillCode(_ code: String) async throws -> String {
        func sent() async throws -> String {
            guard let code = try await emulator.lastCode(username) else { throw Mismatch("no code was sent") }
            return code
        }
        switch code {
        case "$totp": return try await emulator.totp(username)
        case "$wrong_totp": return try await emulator.wrongTOTP(username)
        case "$code": return try await sent()
        case "$code_spaced":
            let sent = try await sent()
            return " \(sent.prefix(3))-\(sent.dropFirst(3)) "
        case "$wrong_code":
            let sent = try await sent()
            return (sent.hasPrefix("1") ? "2" : "1") + sent.dropFirst()
        default: return code
        }
    }

    private func fill(_ text: String) -> String {
        let values = [
            "{issuer}": emulator.issuer, "{org_issuer}": emulator.orgIssuer, "{client_id}": emulator.clientID,
            "{resource}": emulator.resourceURL.absoluteString, "{origin}": originOf(emulator.issuer),
        ]
        return values.reduce(text) { $0.replacingOccurrences(of: $1.key, with: $1.value) }
    }

    private func secondsUntil(_ at: Date) -> Int64 {
        let millis = Int64((at.timeIntervalSince1970 * 1000).rounded())
        return max(0, (millis - world.wallMillis()) / 1000)
    }
}

private func equal<T: Equatable>(_ what: String, _ found: T, _ expected: T) throws {
    guard found == expected else { throw Mismatch("\(what): \(found), expected \(expected)") }
}

private func originOf(_ url: String) -> String {
    url.split(separator: "/", maxSplits: 3).prefix(2).joined(separator: "//")
}

/// An answer to a request, or to another challenge, that nobody has signed.
private func unsigned(_ request: String, challenge: String?) throws -> String {
    let asked = try JSON(parsing: request)
    let client = JSON.object([
        "type": "webauthn.get", "challenge": .string(challenge ?? asked["challenge"]?.string ?? ""), "origin": "https://localhost",
    ])
    let data = try SoftwareKey.sha256(Data((asked["rpId"]?.string ?? "").utf8)) + [5, 0, 0, 0, 1]
    let id = asked["allowCredentials"]?.array?.first?["id"]?.string ?? "AQID"
    return JSON.object([
        "id": .string(id), "rawId": .string(id), "type": "public-key",
        "response": .object([
            "clientDataJSON": .string(base64URL(client.encoded)), "authenticatorData": .string(base64URL(data)),
            "signature": .string(base64URL(Data("nobody's".utf8))),
        ]),
    ]).text
}
