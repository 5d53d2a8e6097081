import Foundation

/// Where sessions are kept: opaque bytes under opaque names of `a-z 0-9 . -` that begin with a letter, at most 64 characters and
/// without user data.
///
/// Called on threads of the library that may wait, never on the caller's. What is thrown beside ``StorageError`` counts as
/// ``StorageProblem/transient``; its text is dropped. The bytes are secret: encrypt them before they leave the process's memory.
public protocol SecureStorage: AnyObject, Sendable {
    /// The value under `key`, or nil if there certainly is none. Whatever cannot be read is an error, never nil.
    func load(key: String) throws -> Data?

    /// Puts `value` under `key`, in place of what was there: the whole of it or nothing, and durable when it returns.
    func store(key: String, value: Data) throws

    /// Removes the value under `key`; removing what is not there is no error.
    func delete(key: String) throws

    /// The keys of all values, also of those that cannot be read.
    func keys() throws -> [String]
}

/// Why a ``SecureStorage`` could not do it. What is not certain is ``StorageProblem/transient``.
public struct StorageError: Error, Sendable, Hashable {
    /// What it was.
    public let problem: StorageProblem

    /// Why it could not do it. That a newer version wrote it is for the library to say: ``StorageProblem/newerVersion`` counts as
    /// ``StorageProblem/transient``.
    public init(_ problem: StorageProblem) {
        self.problem = problem
    }
}

/// Keys of the platform on P-256, in its secure hardware if it has any, each under a name of the library's making. The private part
/// never leaves the platform. Called on threads that may wait. What is thrown beside ``KeyError`` counts as ``KeyProblem/transient``.
public protocol SigningKey: AnyObject, Sendable {
    /// Makes a key pair under a name that is new; its public key: an uncompressed point of 65 bytes or a DER SubjectPublicKeyInfo.
    func create(name: String) throws -> Data

    /// The public key under `name`, in either form.
    func publicKey(name: String) throws -> Data

    /// ECDSA with SHA-256 over `message`, as DER or as r‖s of 64 bytes.
    func sign(name: String, message: Data) throws -> Data

    /// Destroys the key; destroying what is not there is no error.
    func delete(name: String) throws
}

/// Why a ``SigningKey`` could not be used. What is not certain is ``KeyProblem/transient``.
public struct KeyError: Error, Sendable, Hashable {
    /// What it was.
    public let problem: KeyProblem

    /// Why it could not be used. That it is another key is for the library to say: ``KeyProblem/changed`` counts as
    /// ``KeyProblem/transient``.
    public init(_ problem: KeyProblem) {
        self.problem = problem
    }
}

/// Excludes the other processes that use the same storage while a session is refreshed or written. The operating system must free it
/// when its holder dies.
public protocol CrossProcessLock: AnyObject, Sendable {
    /// Takes the lock; waits at most so many seconds for another process. Throws ``LockError``.
    func acquire(timeout: TimeInterval) throws

    /// Gives it back; no error if it was lost.
    func release() throws

    /// Whether it has been held without a gap since ``acquire(timeout:)``. Asked before every send and every write: quick, never blocks.
    func isStillHeld() throws -> Bool
}

/// Why a ``CrossProcessLock`` was not taken.
public enum LockError: Error, Sendable, Hashable {
    /// Another process still holds it.
    case timedOut
    /// It cannot be taken at all.
    case failed
}

/// Gives headers for requests to the issuer's origin: for a bot protection or firewall in front of the server. Reserved names are not
/// sent. Given 2 s; what goes wrong is told by an audit event, and the request is sent without them.
public protocol HeaderProvider: Sendable {
    /// The headers of one request, by name. Values are treated as secrets.
    func headers(method: String, path: String) throws -> [String: String]
}

/// Where log lines go. Called on one background thread; what it throws loses that line and nothing else.
public protocol LogSink: Sendable {
    /// Takes one line, which holds no secret.
    func log(_ level: LogLevel, _ line: String) throws
}

/// How much a log line matters.
public enum LogLevel: Sendable, Hashable, CaseIterable {
    /// A defect, or something that somebody should look at.
    case error
    /// Something odd.
    case warn
    /// Something of note.
    case info
    /// Every attempt and event.
    case debug
}

/// Where events go. Called on a background thread; what it throws loses that event and nothing else.
public protocol AuditSink: Sendable {
    /// Takes one event.
    func record(_ event: AuditEvent) throws
}

/// The platform's way to use a passkey.
public protocol PasskeyCeremony: Sendable {
    /// Lets the user answer one challenge: ``UsePasskey/requestJSON`` in, what ``UsePasskey/answer(_:)`` takes out.
    ///
    /// Throws the platform's own errors, such as when the user dismisses it.
    func get(requestJSON: String) async throws -> String
}

extension UsePasskey {
    /// Lets the user answer by one ceremony of the platform.
    public func answer(using ceremony: any PasskeyCeremony) async throws -> SignInStep {
        try await answer(ceremony.get(requestJSON: requestJSON))
    }
}
