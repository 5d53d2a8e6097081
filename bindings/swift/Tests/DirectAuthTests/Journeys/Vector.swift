import DirectAuthTesting
import Foundation

/// One vector of `core/conformance`; its README describes the format.
struct Vector: Sendable {
    let file: String
    let json: JSON

    var id: String { json["id"]?.string ?? "" }
    var config: JSON { json["config"] ?? [:] }
    var server: [JSON] { json["server"]?.array ?? [] }
    var calls: [JSON] { json["calls"]?.array ?? [] }
    var expect: JSON { json["expect"] ?? [:] }

    /// What it asks for that this runner, or the public API, does not have.
    var beyond: Set<String> {
        let members = calls.compactMap(\.object)
        let words = Set(members.flatMap(\.keys)).subtracting(Self.verbs).subtracting(Self.modifiers)
        let moods = members.flatMap { call in
            ["store", "keys"].compactMap { name in call[name]?.string.map { "\(name) \($0)" } }
        }
        let settings = Set((config.object ?? [:]).keys).subtracting(Self.configurable)
        let looks = Set((expect.object ?? [:]).keys).subtracting(Self.expectable)
        let odd = config["issuer"]?.string.flatMap { Self.oddServers.contains($0) ? $0 : nil }
        return words.union(Set(moods).subtracting(Self.moods)).union(settings.map { "config: \($0)" })
            .union(looks.map { "expect: \($0)" }).union([odd].compactMap { $0 })
    }

    /// All of one file; of every file in their order if none is named.
    static func all(of name: String? = nil) throws -> [Vector] {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "json" && (name == nil || $0.lastPathComponent == name) }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
        return try files.flatMap { file in
            let vectors = try JSONDecoder().decode(JSON.self, from: Data(contentsOf: file)).array ?? []
            return vectors.map { Vector(file: file.lastPathComponent, json: $0) }
        }
    }

    private static let folder = URL(fileURLWithPath: #filePath)
        .appendingPathComponent("../../../../../../core/conformance").standardizedFileURL

    private static let verbs: Set<String> = [
        "sign_in", "sign_in_with_passkey", "registers_passkey", "answer", "renew", "step_up", "recover", "set_password", "request",
        "enrolled", "choose", "submit", "approved", "resend", "back", "cancel", "drop", "factors", "number", "attempts_left",
        "expires_in_s", "resend_in_s", "session", "call_resource", "introspect", "keys", "platform_has_keys", "refresh",
        "access_token", "concurrent_access_tokens", "authorize", "user_info", "advise", "sign_out", "sign_out_default",
        "sign_out_all", "build", "warm_up", "notify_foreground", "state", "discard_unreadable", "restore", "session_of",
        "set_default", "import", "sessions", "user", "server", "script", "clear_script", "note_refresh_token", "wait_s", "run_s",
        "set_device_clock_ms", "store", "store_has", "restart", "dies",
    ]
    private static let modifiers: Set<String> = [
        "gives", "remedy", "says", "retry_in_s", "hint", "server_says", "causes", "second_code", "maybe_sent", "device", "new",
        "process", "password", "otp", "push", "sms", "voice", "email", "passkey", "acr_values", "max_age_s", "code",
    ]
    private static let moods: Set<String> = [
        "store works", "store refuses_writes", "store refuses_sessions", "store keeps_sessions", "store is_locked",
        "store is_damaged", "keys points", "keys documents", "keys are_none", "keys are_locked", "keys are_cancelled",
        "keys are_destroyed", "keys are_unsupported", "keys are_exchanged", "keys are_lost", "keys sign_something_else",
    ]
    private static let configurable: Set<String> = [
        "scopes", "capabilities", "issuer", "client_id", "request_timeout_ms", "connect_timeout_ms", "refuse_wider_scopes",
        "keep_usernames_as_typed", "keep_in_memory", "accounts", "profile", "relying_parties", "passkey_start",
        "recovery_request", "dpop", "platform_keys", "resource_origins", "additional_parameters", "device_clock_ahead_ms",
        "settings", "users", "refresh_policy", "shared_store", "own_store", "own_dpop",
    ]
    private static let expectable: Set<String> = ["requests", "gaps_at_least_s", "attempts", "security", "live_grants"]

    /// Servers that are none, which the runner in Rust makes.
    private static let oddServers: Set<String> = [
        "{expired_certificate}", "{certificate_for_another_host}", "{self_signed_certificate}",
        "{certificate_of_an_unknown_authority}", "{silent}", "{nobody}",
    ]
}
