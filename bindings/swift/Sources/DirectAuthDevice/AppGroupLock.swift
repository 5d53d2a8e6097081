import DirectAuthAPI
import Foundation

/// A time that the system may end: on iOS nothing may hold a lock on a shared file while its process is suspended.
protocol ExpiringActivity: Sendable {
    /// Begins one, and gives what ends it; nil if the system allows none now, or not in time. `expired` is called if the system ends it.
    func begin(within timeout: TimeInterval, _ expired: @escaping @Sendable () -> Void) -> (@Sendable () -> Void)?
}

/// The lock that an app and its extensions share: `flock` on a file of their app group, which the system frees when a process dies.
///
/// It is held only within a time that the system grants (`performExpiringActivity`): when that is over the lock is given back, and the
/// library sends and writes nothing more under it. Safe for several threads; one of them holds it at a time.
public final class AppGroupLock: CrossProcessLock, @unchecked Sendable {
    private let file: URL
    private let activity: any ExpiringActivity
    private let state = NSLock()
    private var held: Held?
    /// The times of those that wait for it, and that the system has not ended yet.
    private var waiting: Set<Int> = []
    private var last = 0

    private struct Held {
        let time: Int
        let descriptor: Int32
        let end: @Sendable () -> Void

        func giveBack() {
            close(descriptor)
            end()
        }
    }

    init(file: URL, activity: any ExpiringActivity) {
        self.file = file
        self.activity = activity
    }

    deinit {
        held?.giveBack()
    }

    public func acquire(timeout: TimeInterval) throws {
        let until = DispatchTime.now() + timeout
        let mine = state.withLock {
            last += 1
            waiting.insert(last)
            return last
        }
        defer { state.withLock { _ = waiting.remove(mine) } }
        guard let end = activity.begin(within: timeout, { [weak self] in self?.expire(mine) }) else { throw LockError.failed }
        do {
            try take(mine, until, end)
        } catch {
            end()
            throw error
        }
    }

    public func release() throws {
        state.withLock { taking() }?.giveBack()
    }

    public func isStillHeld() -> Bool {
        state.withLock { held.map { isStill($0.descriptor) } ?? false }
    }

    /// The system ends one time: that of whoever holds it, or of one that waits and does not get it any more.
    private func expire(_ time: Int) {
        state.withLock {
            waiting.remove(time)
            return held?.time == time ? taking() : nil
        }?.giveBack()
    }

    private func taking() -> Held? {
        defer { held = nil }
        return held
    }

    private func take(_ mine: Int, _ until: DispatchTime, _ end: @escaping @Sendable () -> Void) throws {
        let descriptor = open(file.path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LockError.failed }
        #if os(iOS) || os(visionOS)
            // It has no content, and a refresh in the background opens it while the device is locked.
            try? FileManager.default.setAttributes([.protectionKey: FileProtectionType.none], ofItemAtPath: file.path)
        #endif
        while true {
            // Taken and noted in one step: the end of its time finds either the one that waits or the one that holds.
            let outcome: LockError?? = state.withLock {
                guard waiting.contains(mine) else { return .some(.failed) }
                guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                    return errno == EWOULDBLOCK || errno == EINTR ? .none : .some(.failed)
                }
                guard isStill(descriptor) else { return .some(.failed) }
                waiting.remove(mine)
                held = Held(time: mine, descriptor: descriptor, end: end)
                return .some(nil)
            }
            switch outcome {
            case .some(nil): return
            case .some(let failure?):
                close(descriptor)
                throw failure
            case nil:
                guard DispatchTime.now() < until else {
                    close(descriptor)
                    throw LockError.timedOut
                }
                usleep(10_000)
            }
        }
    }

    /// Whether the open file is the one that others find: one that was deleted or replaced locks nobody out.
    private func isStill(_ descriptor: Int32) -> Bool {
        var (mine, theirs) = (stat(), stat())
        return fstat(descriptor, &mine) == 0 && stat(file.path, &theirs) == 0 && mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev
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
        /// - Throws: ``LockError/failed`` if the app is not in that group; a Mac does not tell.
        public convenience init(appGroup: String, name: String = "directauth.lock") throws {
            guard let folder = FileManager.default.containerURL(forSecurityApplicationGroupIdentifier: appGroup) else {
                throw LockError.failed
            }
            self.init(file: folder.appendingPathComponent(name), activity: SystemActivity())
        }
    }

    struct SystemActivity: ExpiringActivity {
        func begin(within timeout: TimeInterval, _ expired: @escaping @Sendable () -> Void) -> (@Sendable () -> Void)? {
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
                // Its answer comes from another thread, also for whoever does not want to wait for the lock.
                guard begun.wait(timeout: .now() + max(timeout, 1)) == .success else {
                    // If it begins later, it ends at once.
                    over.signal()
                    return nil
                }
                guard answer.isAllowed else { return nil }
                return { over.signal() }
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
