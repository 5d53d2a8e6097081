// What the app implements, as the core calls it. What is thrown beside the declared errors reaches the core without its text.

import DirectAuthAPI
import Foundation

final class StorageForCore: CoreSecureStorage {
    private let storage: any SecureStorage

    init(_ storage: any SecureStorage) {
        self.storage = storage
    }

    func load(key: String) throws -> Data? { try typed { try storage.load(key: key) } }

    func store(key: String, value: Data) throws { try typed { try storage.store(key: key, value: value) } }

    func delete(key: String) throws { try typed { try storage.delete(key: key) } }

    func keys() throws -> [String] { try typed { try storage.keys() } }

    private func typed<T>(_ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch let error as StorageError {
            throw error.forCore
        }
    }
}

extension StorageError {
    fileprivate var forCore: CoreStorageError {
        switch problem {
        case .locked: .locked
        case .needsUser: .needsUser
        case .userCancelled: .userCancelled
        case .foreign: .foreign
        case .corrupt: .corrupt
        case .keyMissing: .keyMissing
        case .keyDestroyed: .keyDestroyed
        // Whether a newer version wrote it is for the library to say.
        case .transient, .newerVersion: .transient
        }
    }
}

final class KeysForCore: CoreSigningKey {
    private let keys: any SigningKey

    init(_ keys: any SigningKey) {
        self.keys = keys
    }

    func create(name: String) throws -> Data { try typed { try keys.create(name: name) } }

    func publicKey(name: String) throws -> Data { try typed { try keys.publicKey(name: name) } }

    func sign(name: String, message: Data) throws -> Data { try typed { try keys.sign(name: name, message: message) } }

    func delete(name: String) throws { try typed { try keys.delete(name: name) } }

    private func typed<T>(_ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch let error as KeyError {
            throw error.forCore
        }
    }
}

extension KeyError {
    fileprivate var forCore: CoreKeyError {
        switch problem {
        case .locked: .locked
        case .needsUser: .needsUser
        case .userCancelled: .userCancelled
        case .missing: .missing
        case .destroyed: .destroyed
        case .unsupported: .unsupported
        // Whether it is another key is for the library to say.
        case .transient, .changed: .transient
        }
    }
}

final class LockForCore: CoreCrossProcessLock {
    private let lock: any CrossProcessLock

    init(_ lock: any CrossProcessLock) {
        self.lock = lock
    }

    func acquire(timeoutMillis: Int64) throws { try typed { try lock.acquire(timeout: TimeInterval(timeoutMillis) / 1000) } }

    func release() throws { try typed { try lock.release() } }

    func stillHeld() throws -> Bool { try typed { try lock.isStillHeld() } }

    private func typed<T>(_ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch LockError.timedOut {
            throw CoreLockError.timedOut
        } catch LockError.failed {
            throw CoreLockError.failed
        }
    }
}

final class HeadersForCore: CoreHeaderProvider {
    private let provider: any HeaderProvider

    init(_ provider: any HeaderProvider) {
        self.provider = provider
    }

    func headers(method: String, path: String) throws -> [String: String] { try provider.headers(method: method, path: path) }
}

final class AuditSinkForCore: CoreAuditSink {
    private let sink: any AuditSink

    init(_ sink: any AuditSink) {
        self.sink = sink
    }

    func record(event: CoreAuditEvent) throws { try sink.record(AuditEvent(event)) }
}

final class LogSinkForCore: CoreLogSink {
    private let sink: any LogSink

    init(_ sink: any LogSink) {
        self.sink = sink
    }

    func log(level: CoreLogLevel, line: String) throws { try sink.log(LogLevel(level), line) }
}
