import DirectAuthAPI
import DirectAuthTesting
import XCTest

@testable import DirectAuthDevice

/// A keychain in memory, which says what the platform's says.
final class FakeKeychain: Keychain, @unchecked Sendable {
    private let lock = NSLock()
    private var items: [String: Data] = [:]
    private var planned: [String: [KeychainStatus]] = [:]
    private var asked: [String] = []
    private var lies: [String: KeychainStatus] = [:]

    var calls: [String] { lock.withLock { asked } }
    var values: [String: Data] { lock.withLock { items } }

    /// What the next calls of a kind say instead of being done.
    func next(_ call: String, _ statuses: KeychainStatus...) {
        lock.withLock { planned[call, default: []] += statuses }
    }

    /// The next call of a kind is done, and says that it was not.
    func failAfter(_ call: String, _ status: KeychainStatus) {
        lock.withLock { lies[call] = status }
    }

    func put(_ account: String, _ value: Data) {
        lock.withLock { items[account] = value }
    }

    private func doing<T>(_ call: String, _ failed: (KeychainStatus) -> T, _ work: () -> T) -> T {
        lock.withLock {
            asked.append(call)
            if var statuses = planned[call], !statuses.isEmpty {
                let status = statuses.removeFirst()
                planned[call] = statuses
                return failed(status)
            }
            let done = work()
            return lies.removeValue(forKey: call).map(failed) ?? done
        }
    }

    func load(_ account: String) -> (KeychainStatus, Data?) {
        doing("load", { ($0, nil) }) { items[account].map { (.success, $0) } ?? (.itemNotFound, nil) }
    }

    func add(_ account: String, _ value: Data) -> KeychainStatus {
        doing("add", { $0 }) {
            if items[account] != nil { return .duplicateItem }
            items[account] = value
            return .success
        }
    }

    func update(_ account: String, _ value: Data) -> KeychainStatus {
        doing("update", { $0 }) {
            if items[account] == nil { return .itemNotFound }
            items[account] = value
            return .success
        }
    }

    func delete(_ account: String) -> KeychainStatus {
        doing("delete", { $0 }) { items.removeValue(forKey: account) == nil ? .itemNotFound : .success }
    }

    func accounts() -> (KeychainStatus, [String]) {
        doing("accounts", { ($0, []) }) { items.isEmpty ? (.itemNotFound, []) : (.success, Array(items.keys)) }
    }
}

/// Every pain that users of other libraries have had with the keychain, and what must come of it instead.
final class KeychainTests: XCTestCase {
    private let keychain = FakeKeychain()
    private var storage: KeychainStorage { KeychainStorage(keychain: keychain) }
    private let value = Data("a session".utf8)

    private static let problems: [KeychainStatus: StorageProblem] = [
        .interactionNotAllowed: .locked, .authFailed: .needsUser, .interactionRequired: .needsUser, .userCanceled: .userCancelled,
        .missingEntitlement: .keyMissing, .noAccessForItem: .keyMissing, .decode: .corrupt,
        // errSecNotAvailable, errSecParam, errSecIO, errSecInternalComponent, and what nobody knows.
        KeychainStatus(rawValue: -25291): .transient, KeychainStatus(rawValue: -50): .transient, KeychainStatus(rawValue: -36): .transient,
        KeychainStatus(rawValue: -2070): .transient, KeychainStatus(rawValue: 12345): .transient,
    ]

    private func problem<T>(_ call: () throws -> T) -> StorageProblem? {
        do {
            XCTFail("gave \(try call())")
            return nil
        } catch {
            return (error as? StorageError)?.problem
        }
    }

    func testMakingOneTouchesNothing() {
        _ = storage
        XCTAssertEqual(keychain.calls, [])
        XCTAssertEqual("\(storage)", "KeychainStorage")
    }

    func testWhatWasStoredIsThereUntilItIsDeleted() throws {
        XCTAssertNil(try storage.load(key: "session.a"))
        XCTAssertEqual(try storage.keys(), [])
        try storage.store(key: "session.a", value: value)
        try storage.store(key: "session.a", value: Data("another".utf8))
        try storage.store(key: "session.b", value: Data())
        XCTAssertEqual(try storage.load(key: "session.a"), Data("another".utf8))
        XCTAssertEqual(try storage.load(key: "session.b"), Data())
        XCTAssertEqual(Set(try storage.keys()), ["session.a", "session.b"])
        try storage.delete(key: "session.a")
        try storage.delete(key: "session.a")
        XCTAssertNil(try storage.load(key: "session.a"))
    }

    func testItKeepsTheContractOfAStorage() throws {
        let report = try StorageContract.check { [keychain] in KeychainStorage(keychain: keychain) }
        XCTAssertEqual(report.kept, StorageRule.allCases)
        XCTAssertEqual(keychain.values, [:])
    }

    func testOnlyNotFoundIsAbsentAndEveryOtherStatusIsItsReason() throws {
        try storage.store(key: "session.a", value: value)
        for (status, expected) in Self.problems {
            keychain.next("load", status)
            XCTAssertEqual(problem { try storage.load(key: "session.a") }, expected, "\(status)")
            keychain.next("update", status)
            XCTAssertEqual(problem { try storage.store(key: "session.a", value: Data()) }, expected, "\(status)")
            keychain.next("add", status)
            XCTAssertEqual(problem { try storage.store(key: "session.new", value: Data()) }, expected, "\(status)")
            keychain.next("delete", status)
            XCTAssertEqual(problem { try storage.delete(key: "session.a") }, expected, "\(status)")
            keychain.next("accounts", status)
            XCTAssertEqual(problem { try storage.keys() }, expected, "\(status)")
        }
        XCTAssertEqual(keychain.values, ["session.a": value], "nothing was lost by any of them, and nothing was made")
    }

    func testAnItemIsNeverGoneWhileItIsChanged() throws {
        try storage.store(key: "session.a", value: value)
        try storage.store(key: "session.a", value: Data("another".utf8))
        XCTAssertEqual(keychain.calls, ["update", "add", "update"])
    }

    func testAnotherProcessThatWasFasterIsWrittenOver() throws {
        keychain.put("session.a", Data("theirs".utf8))
        keychain.next("update", .itemNotFound)
        try storage.store(key: "session.a", value: value)
        XCTAssertEqual(keychain.values, ["session.a": value])
        // And one that has deleted it meanwhile is no success.
        keychain.next("update", .itemNotFound, .itemNotFound)
        XCTAssertEqual(problem { try storage.store(key: "session.a", value: Data()) }, .transient)
    }

    func testAnAnswerWithoutAValueIsNoAbsence() {
        keychain.next("load", .success)
        XCTAssertEqual(problem { try storage.load(key: "session.a") }, .transient)
    }
}

final class SecureEnclaveSigningKeyTests: XCTestCase {
    private final class FakeEnclave: Enclave, @unchecked Sendable {
        struct Failure: Error {}
        var makes = true
        var takes = true
        /// How often it fails before it takes a key.
        var failures = 0

        func make() throws -> Data {
            guard makes else { throw Failure() }
            return Data((0..<16).map { _ in UInt8.random(in: 0...255) })
        }

        func publicKey(_ key: Data) throws -> Data {
            try fail()
            guard takes else { throw Failure() }
            return Data([4]) + key
        }

        private func fail() throws {
            guard failures == 0 else {
                failures -= 1
                throw Failure()
            }
        }

        func sign(_ key: Data, _ message: Data) throws -> Data {
            try fail()
            guard takes else { throw Failure() }
            return key + message
        }
    }

    private let keychain = FakeKeychain()
    private let enclave = FakeEnclave()
    private lazy var keys = SecureEnclaveSigningKey(enclave: enclave, keychain: keychain)

    private func problem<T>(_ call: () throws -> T) -> KeyProblem? {
        do {
            XCTFail("gave \(try call())")
            return nil
        } catch {
            return (error as? KeyError)?.problem
        }
    }

    func testItSignsAsLongAsItIsThere() throws {
        let made = try keys.create(name: "k1")
        XCTAssertEqual(try keys.publicKey(name: "k1"), made)
        XCTAssertEqual(try keys.sign(name: "k1", message: Data([1])), made.dropFirst() + [1])
        try keys.delete(name: "k1")
        try keys.delete(name: "k1")
        XCTAssertEqual(problem { try keys.sign(name: "k1", message: Data()) }, .missing)
        XCTAssertEqual(problem { try keys.publicKey(name: "k1") }, .missing)
    }

    func testFailuresAreToldByTheirReasonAndNothingIsDeleted() throws {
        _ = try keys.create(name: "k1")
        let problems: [KeychainStatus: KeyProblem] = [
            .interactionNotAllowed: .locked, .authFailed: .needsUser, .userCanceled: .userCancelled, .missingEntitlement: .missing,
            KeychainStatus(rawValue: -50): .transient,
        ]
        for (status, expected) in problems {
            keychain.next("load", status)
            XCTAssertEqual(problem { try keys.sign(name: "k1", message: Data()) }, expected)
            keychain.next("add", status)
            XCTAssertEqual(problem { try keys.create(name: "k2") }, expected)
        }
        XCTAssertEqual(keychain.values.count, 1)
        XCTAssertFalse(keychain.calls.contains("delete"))
    }

    func testAKeyThatTheEnclaveDoesNotTakeIsDestroyedOnlyIfItMakesOthers() throws {
        _ = try keys.create(name: "k1")
        enclave.failures = 1
        XCTAssertNoThrow(try keys.sign(name: "k1", message: Data()), "what passes is no loss")
        enclave.takes = false
        for makes in [true, false] {
            enclave.makes = makes
            XCTAssertEqual(problem { try keys.sign(name: "k1", message: Data()) }, makes ? .destroyed : .transient)
            XCTAssertEqual(problem { try keys.publicKey(name: "k1") }, makes ? .destroyed : .transient)
        }
        enclave.makes = true
        XCTAssertThrowsError(try keys.create(name: "k2"))
        XCTAssertEqual(Array(keychain.values.keys), ["k1"], "nothing was deleted, and nothing half made is left")
    }

    func testADeviceWithoutAnEnclaveSaysSo() {
        let keys = SecureEnclaveSigningKey(enclave: nil, keychain: keychain)
        XCTAssertEqual(problem { try keys.create(name: "k1") }, .unsupported)
    }
}
