import DirectAuth
import DirectAuthTesting
import Foundation

/// The store of a vector: on a device that can be locked, full or damaged; what was ever written is remembered.
final class Shelf: SecureStorage, @unchecked Sendable {
    private let lock = NSLock()
    private var values: [String: Data] = [:]
    private var everything = ""
    private var currentMood = "works"

    var mood: String {
        get { lock.withLock { currentMood } }
        set { lock.withLock { currentMood = newValue } }
    }

    /// Everything that was ever written, as text.
    var written: String { lock.withLock { everything } }

    /// How many values there are of one kind: `session`, `ended`, `owed`.
    func count(_ kind: String) -> Int { lock.withLock { values.keys.filter { $0.hasPrefix(kind + ".") }.count } }

    /// One byte of every session's record is not what it was.
    func damage() {
        lock.withLock {
            for (key, value) in values where isSession(key) {
                var damaged = Array(value)
                damaged[damaged.count - 1] ^= 1
                values[key] = Data(damaged)
            }
        }
    }

    func load(key: String) throws -> Data? { try working { values[key] } }

    func store(key: String, value: Data) throws {
        try working {
            if currentMood == "refuses_writes" || (currentMood == "refuses_sessions" && isSession(key)) {
                throw StorageError(.transient)
            }
            everything += String(decoding: value, as: UTF8.self) + "\n"
            values[key] = value
        }
    }

    func delete(key: String) throws {
        try working {
            if currentMood == "keeps_sessions" && isSession(key) { throw StorageError(.transient) }
            values[key] = nil
        }
    }

    func keys() throws -> [String] { try working { Array(values.keys) } }

    private func isSession(_ key: String) -> Bool { key.hasPrefix("session.") }

    private func working<T>(_ work: () throws -> T) throws -> T {
        try lock.withLock {
            if currentMood == "is_locked" { throw StorageError(.locked) }
            return try work()
        }
    }
}

/// The platform's keys of a vector.
final class Keys: SigningKey, @unchecked Sendable {
    private let lock = NSLock()
    private var pairs: [String: SoftwareKey] = [:]
    private var mood = "points"

    func become(_ mood: String) throws {
        try lock.withLock {
            switch mood {
            case "are_exchanged": for name in pairs.keys { pairs[name] = try SoftwareKey() }
            case "are_lost": pairs = [:]
            default: self.mood = mood
            }
        }
    }

    var count: Int { lock.withLock { pairs.count } }

    func create(name: String) throws -> Data {
        try working {
            guard pairs[name] == nil else { throw Mismatch("the name \(name) is not new") }
            pairs[name] = try SoftwareKey()
            return try publicPart(name)
        }
    }

    func publicKey(name: String) throws -> Data { try working { try publicPart(name) } }

    func sign(name: String, message: Data) throws -> Data {
        try working { try pair(name).sign(mood == "sign_something_else" ? Data("something else".utf8) : message) }
    }

    func delete(name: String) throws { try working { pairs[name] = nil } }

    private func publicPart(_ name: String) throws -> Data {
        let key = try pair(name)
        return switch mood {
        case "are_none": Data(repeating: 7, count: 65)
        case "documents": key.document
        default: key.point
        }
    }

    private func pair(_ name: String) throws -> SoftwareKey {
        guard let key = pairs[name] else { throw KeyError(.missing) }
        return key
    }

    private func working<T>(_ work: () throws -> T) throws -> T {
        try lock.withLock {
            switch mood {
            case "are_locked": throw KeyError(.locked)
            case "are_cancelled": throw KeyError(.userCancelled)
            case "are_destroyed": throw KeyError(.destroyed)
            case "are_unsupported": throw KeyError(.unsupported)
            default: return try work()
            }
        }
    }
}

/// Takes every event.
final class Recorder: AuditSink, @unchecked Sendable {
    private let lock = NSLock()
    private var taken: [AuditEvent] = []

    var events: [AuditEvent] { lock.withLock { taken } }

    func record(_ event: AuditEvent) { lock.withLock { taken.append(event) } }
}

/// Whatever is secret in a run: it must show in no error, no event, and what was typed must not be stored.
struct Secrets {
    private var shown: Set<String> = []
    private var stored: Set<String> = []

    /// Shorter values would be found by chance.
    private static let shortest = 4

    mutating func typed(_ text: String) {
        if text.count >= Self.shortest { shown.insert(text) }
    }

    mutating func neverStored(_ text: String) {
        typed(text)
        if text.count >= Self.shortest { stored.insert(text) }
    }

    func check(_ place: String, _ text: String) throws {
        if let secret = shown.first(where: { Self.shows(text, $0) }) { throw Mismatch("\(secret) shows in \(place): \(text)") }
    }

    func checkStored(_ text: String) throws {
        if let secret = stored.first(where: { Self.shows(text, $0) }) { throw Mismatch("\(secret) was written to the store") }
    }

    /// Digits alone only where they stand alone, since times and ids are full of digits.
    private static func shows(_ text: String, _ secret: String) -> Bool {
        guard secret.allSatisfy(\.isNumber) else { return text.contains(secret) }
        var rest = Substring(text)
        while let found = rest.range(of: secret) {
            let before = found.lowerBound == text.startIndex ? nil : text[text.index(before: found.lowerBound)]
            let after = found.upperBound == text.endIndex ? nil : text[found.upperBound]
            if ![before, after].contains(where: { $0.map { $0.isLetter || $0.isNumber } ?? false }) { return true }
            rest = text[found.upperBound...]
        }
        return false
    }
}
