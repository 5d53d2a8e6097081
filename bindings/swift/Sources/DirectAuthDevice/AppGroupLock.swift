import DirectAuthAPI
import Foundation

/// A time that the system may end: on iOS nothing may hold a lock on a shared file while its process is suspended.
protocol ExpiringActivity: Sendable {
    /// Begins one, and gives what ends it; nil if the system allows none now. `expired` is called if the system ends it.
    func begin(_ expired: @escaping @Sendable () -> Void) -> (@Sendable () -> Void)?
}

/// The lock that an app and its extensions share: `flock` on a file of their app group, which the system frees when a process dies.
///
/// It is held only within a time that the system grants (`performExpiringActivity`): when that is over the lock is given back, and the
/// library sends and writes nothing more under it. Safe for several threads; one of them holds it at a time.
public final class AppGroupLock: CrossProcessLock, @unchecked Sendable {
    private let file: URL
    private let activity: any ExpiringActivity
    private let state = NSLock()
    private var descriptor: Int32?
    private var end: (@Sendable () -> Void)?
    /// Grows with each time of holding, so that the end of an earlier one ends no later one.
    private var turn = 0

    init(file: URL, activity: any ExpiringActivity) {
        self.file = file
        self.activity = activity
    }

    deinit {
        descriptor.map { _ = close($0) }
        end?()
    }

    public func acquire(timeout: TimeInterval) throws {
        let mine = state.withLock {
            turn += 1
            return turn
        }
        guard let end = activity.begin({ [weak self] in self?.letGo(mine) }) else { throw LockError.failed }
        do {
            let descriptor = try taken(within: timeout)
            let isExpired = state.withLock {
                guard turn == mine, self.descriptor == nil else { return true }
                (self.descriptor, self.end) = (descriptor, end)
                return false
            }
            if isExpired {
                close(descriptor)
                throw LockError.failed
            }
        } catch {
            end()
            throw error
        }
    }

    public func release() throws {
        letGo(state.withLock { turn })
    }

    public func isStillHeld() -> Bool {
        state.withLock { descriptor != nil }
    }

    private func letGo(_ which: Int) {
        let (descriptor, end) = state.withLock {
            guard turn == which else { return (Int32?.none, (@Sendable () -> Void)?.none) }
            // Whoever is still waiting for it does not get it any more.
            turn += 1
            defer { (self.descriptor, self.end) = (nil, nil) }
            return (self.descriptor, self.end)
        }
        descriptor.map { _ = close($0) }
        end?()
    }

    /// A file that is open and locked.
    private func taken(within timeout: TimeInterval) throws -> Int32 {
        let descriptor = open(file.path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LockError.failed }
        let until = DispatchTime.now() + timeout
        while true {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
            guard errno == EWOULDBLOCK || errno == EINTR, DispatchTime.now() < until else {
                let isHeldElsewhere = errno == EWOULDBLOCK || errno == EINTR
                close(descriptor)
                throw isHeldElsewhere ? LockError.timedOut : LockError.failed
            }
            usleep(10_000)
        }
    }
}

extension AppGroupLock: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "AppGroupLock" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

#if canImport(Darwin)
    extension AppGroupLock {
        /// The lock of an app group.
        ///
        /// - Parameters:
        ///   - appGroup: as the entitlement names it, such as `group.com.acme.app`.
        ///   - name: one for each storage that is shared.
        /// - Throws: ``LockError/failed`` if the app is not in that group.
        public convenience init(appGroup: String, name: String = "directauth.lock") throws {
            guard let folder = FileManager.default.containerURL(forSecurityApplicationGroupIdentifier: appGroup) else {
                throw LockError.failed
            }
            self.init(file: folder.appendingPathComponent(name), activity: SystemActivity())
        }
    }

    struct SystemActivity: ExpiringActivity {
        func begin(_ expired: @escaping @Sendable () -> Void) -> (@Sendable () -> Void)? {
            #if os(macOS)
                // A Mac does not suspend.
                return {}
            #else
                let (begun, over) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
                let answer = Allowed()
                ProcessInfo.processInfo.performExpiringActivity(withReason: "refreshing a session") { isExpiring in
                    if isExpiring {
                        expired()
                        // It may be the first that is heard: then nothing was granted.
                        begun.signal()
                        over.signal()
                    } else {
                        answer.allow()
                        begun.signal()
                        over.wait()
                    }
                }
                begun.wait()
                return answer.isAllowed ? { over.signal() } : nil
            #endif
        }
    }

    private final class Allowed: @unchecked Sendable {
        private let lock = NSLock()
        private var value = false

        var isAllowed: Bool { lock.withLock { value } }

        func allow() { lock.withLock { value = true } }
    }
#endif
