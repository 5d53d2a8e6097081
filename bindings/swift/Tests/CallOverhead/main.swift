// What a call costs in Swift beside the same call in Rust, in one process. Part of `scripts/bench` and of no test run.

import DirectAuthCore
import DirectAuthTestCore
import DirectAuthTesting
import Foundation

final class Storage: DirectAuthCore.SecureStorage {
    private let inner = MemoryStorage()

    func load(key: String) throws -> Data? { try inner.load(key: key) }
    func store(key: String, value: Data) throws { try inner.store(key: key, value: value) }
    func delete(key: String) throws { try inner.delete(key: key) }
    func keys() throws -> [String] { try inner.keys() }
}

let times: Int32 = 2_000

func row(_ name: String, swift: (Int32) async throws -> Void, rust: (Int32) throws -> TimeInterval) async throws {
    try await swift(times)
    _ = try rust(times)
    let began = DispatchTime.now().uptimeNanoseconds
    try await swift(times)
    let here = Double(DispatchTime.now().uptimeNanoseconds - began) / 1_000 / Double(times)
    let there = try rust(times) * 1_000_000 / Double(times)
    let columns = [here, there, here / there].map { String(format: "%12.1f", $0) }.joined()
    print(name.padding(toLength: 38, withPad: " ", startingAt: 0) + columns)
}

let emulator = try await Emulator.start()
let setup = ClientSetup(
    config: ClientConfig(
        issuer: emulator.issuer, clientId: emulator.clientID, scopes: ["openid", "offline_access"],
        trust: .custom(pem: emulator.caPEM)))
setup.setStorage(storage: Storage())
let client = try setup.build()
guard case .signedIn(let session) = try await client.signIn(username: "ben@example.com", acrValues: [], maxAge: nil)
    .password(password: "tr0ub4dor&3")
else { fatalError("ben needs no second factor") }
let bench = TestBench()
print("swift call                                swift µs     rust µs  swift/rust")
try await row(
    "a property (username)", swift: { for _ in 0..<$0 { _ = session.username() } },
    rust: { bench.usernames(session: session, times: $0) })
try await row(
    "a call that waits (accessToken)", swift: { for _ in 0..<$0 { _ = try await session.accessToken() } },
    rust: { try bench.accessTokens(session: session, times: $0) })
try await row(
    "one that reads the storage (sessions)", swift: { for _ in 0..<$0 { _ = try await client.sessions() } },
    rust: { try bench.lists(client: client, times: $0) })
