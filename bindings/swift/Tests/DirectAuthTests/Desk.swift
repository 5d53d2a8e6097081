import DirectAuthTestCore
import DirectAuthTesting
import Foundation
import XCTest

@testable import DirectAuth

let ana = "ana@example.com"
let anasPassword = "correct horse battery"
let ben = "ben@example.com"
let bensPassword = "tr0ub4dor&3"

/// A device and a server in simulated time, for one test.
final class Desk: Sendable {
    let world: TestWorld
    let emulator: Emulator
    let storage = MemoryStorage()

    init() async throws {
        world = try TestWorld()
        emulator = try await Emulator.attach(world.control())
    }

    /// A client in a process of the device.
    func client(_ process: String = "app", configure: (inout DirectAuthOptions) -> Void = { _ in }) -> DirectAuthClient {
        var options = DirectAuthOptions()
        options.scopes = ["openid", "profile", "offline_access"]
        options.storage = storage
        configure(&options)
        return DirectAuthClient(issuer: emulator.issuer, clientID: emulator.clientID, options: options) { [world] setup in
            try world.build(setup: setup, process: process)
        }
    }

    /// A call of the library, while which simulated time may pass.
    func waiting<T>(_ work: () async throws -> T) async throws -> T {
        // What has just ended must not count as under way: then time would stand still.
        try world.settle()
        world.begin()
        defer { world.end() }
        return try await work()
    }

    func bensSession(_ auth: any AuthClient) async throws -> any AuthSession {
        try await waiting { try await auth.signIn(ben).password(bensPassword) }.asSession()
    }

    func requests(_ operation: String) async throws -> Int {
        try await emulator.journal().filter { $0.operation == operation }.count
    }
}

/// In real time, against the emulator's own binary, which the whole test run shares.
enum RealEmulator {
    private static let shared = Task { try await Emulator.start() }

    static func tenant() async throws -> Emulator {
        try await shared.value.tenant()
    }
}

extension Emulator {
    func client(configure: (inout DirectAuthOptions) -> Void = { _ in }) -> DirectAuthClient {
        DirectAuthClient(issuer: issuer, clientID: clientID) {
            $0.scopes = ["openid", "profile", "offline_access"]
            $0.trust = .custom(pem: caPEM)
            configure(&$0)
        }
    }
}

/// Waits in real time until something is so that other threads bring about.
func eventually(_ what: String, file: StaticString = #filePath, line: UInt = #line, _ isSo: () async throws -> Bool) async throws {
    for _ in 0..<10_000 {
        if try await isSo() { return }
        try await Task.sleep(nanoseconds: 1_000_000)
    }
    XCTFail("never: \(what)", file: file, line: line)
}

/// A value that several threads change.
final class Shared<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var current: Value

    init(_ value: Value) {
        current = value
    }

    var value: Value {
        get { lock.withLock { current } }
        set { lock.withLock { current = newValue } }
    }

    @discardableResult
    func change<T>(_ work: (inout Value) -> T) -> T {
        lock.withLock { work(&current) }
    }
}

/// What nobody has declared, with a text that nobody may see; it notices if somebody asks for that.
struct Undeclared: Error, CustomStringConvertible, CustomDebugStringConvertible, LocalizedError {
    static let asked = Shared(0)

    var description: String {
        Self.asked.change { $0 += 1 }
        return "hunter2"
    }
    var debugDescription: String { description }
    var errorDescription: String? { description }
}
