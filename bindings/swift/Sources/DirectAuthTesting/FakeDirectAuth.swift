@_exported import DirectAuthAPI
import Foundation

/// A client for an app's own tests, without native code and without a server: it answers what its script says.
///
/// ```swift
/// let auth = FakeDirectAuth(.passwordThenSms(code: "123456"))
/// ```
///
/// An action that the script does not have at this point throws ``ScriptError`` with what it has.
public final class FakeDirectAuth: AuthClient, @unchecked Sendable {
    private let script: Script
    private let session: FakeSession
    private let shown = Newest<AuthState>(.signedOut)
    private let lock = NSLock()
    private let held = Newest(Held())
    private var done: [String] = []
    private var position = 0
    private var signIns = 0
    private var holding: [String] = []
    private var listeners: [UUID: AsyncStream<AuditEvent>.Continuation] = [:]

    /// A client that answers what a script says.
    ///
    /// - Parameters:
    ///   - script: what it answers.
    ///   - session: whom a sign-in signs in.
    ///   - restored: who is signed in already; nil: nobody.
    public init(_ script: Script, session: FakeSession = FakeSession(), restored: FakeSession? = nil) {
        self.script = script
        self.session = session
        if let restored { show(restored) }
    }

    /// What the app has done, in order: `signIn.password`, `choose.sms`, `submit`, …
    public var actions: [String] { lock.withLock { done } }

    /// Whether everything that the script leads to by success has been done.
    public var isFinished: Bool {
        lock.withLock {
            script.exchanges.dropFirst(position).allSatisfy { if case .failure = $0.outcome { true } else { false } }
        }
    }

    public var state: AuthState { shown.value }

    public var states: AsyncStream<AuthState> { shown.stream }

    public var events: AsyncStream<AuditEvent> {
        let id = UUID()
        let (stream, listener) = AsyncStream.makeStream(of: AuditEvent.self, bufferingPolicy: .bufferingNewest(256))
        listener.onTermination = { [weak self] _ in
            guard let self else { return }
            _ = lock.withLock { listeners.removeValue(forKey: id) }
        }
        lock.withLock { listeners[id] = listener }
        return stream
    }

    /// What the app does in a sign-in from now on waits, as on a slow network or for a user who does not answer, until ``release()``.
    ///
    /// - Parameter action: only this, by its name in ``actions``, such as `approved`; nil: whatever it does.
    public func hold(_ action: String? = nil) {
        held.show { Held(isOn: true, action: action, looks: $0.looks) }
    }

    /// Lets go on what waits.
    public func release() {
        held.show { Held(looks: $0.looks) }
    }

    /// What waits now, because it is held.
    public var waiting: [String] { lock.withLock { holding } }

    /// Shows this state, as when the storage becomes unreadable.
    public func show(_ state: AuthState) {
        shown.show(state)
    }

    /// Tells an event.
    public func tell(_ event: AuditEvent) {
        for listener in lock.withLock({ Array(listeners.values) }) { listener.yield(event) }
    }

    public func signIn(_ username: String, acrValues: [String], maxAge: TimeInterval?) -> any SignIn {
        FakeFirst(self, verb: "signIn", username.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    public func signInWithPasskey() async throws -> SignInStep {
        try await FakeTransaction(self, session.username).act("signInWithPasskey")
    }

    public func recover(_ username: String) -> any Recovery {
        FakeFirst(self, verb: "recover", username.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    public func warmUp() async throws {
        try await beginning()
    }

    public func restore() async throws -> (any AuthSession)? {
        try await beginning()
        for await state in shown.stream {
            switch state {
            case .restoring: continue
            case .signedOut: return nil
            case .signedIn(let session): return session
            case .unavailable(let problem): throw AuthError.storageUnavailable(reason: problem)
            }
        }
        throw CancellationError()
    }

    public func sessions() async throws -> [SessionInfo] {
        guard let session = try await restore() else { return [] }
        return [SessionInfo(id: session.id, username: session.username, isDefault: true)]
    }

    public func session(id: String) async throws -> (any AuthSession)? {
        guard let session = try await restore(), session.id == id else { return nil }
        return session
    }

    @discardableResult
    public func setDefault(id: String) async throws -> any AuthSession {
        guard let session = try await session(id: id) else { throw AuthError.sessionEnded(reason: .signedOut) }
        return session
    }

    @discardableResult
    public func signOut() async throws -> SignOutResult? {
        try await restore()?.signOut()
    }

    @discardableResult
    public func signOutAll() async throws -> [SignOutResult] {
        if let result = try await signOut() { [result] } else { [] }
    }

    public func importSession(refreshToken: String) async throws -> any AuthSession {
        try await beginning()
        return signedIn(session.username)
    }

    public func notifyForeground() {}

    @discardableResult
    public func discardUnreadable() async throws -> Int {
        try await beginning()
        return 0
    }

    private func show(_ session: FakeSession) {
        session.onSignOut { [weak self, id = session.id] in
            self?.shown.show { if case .signedIn(let now) = $0, now.id == id { .signedOut } else { nil } }
        }
        shown.show(.signedIn(session))
    }

    /// As the real thing: a caller that was cancelled before gets nothing.
    private func beginning() async throws {
        await Task.yield()
        try Task.checkCancellation()
    }

    /// The session that the app's test gave at first, and another one with each further sign-in.
    func signedIn(_ username: String) -> FakeSession {
        let number = lock.withLock {
            signIns += 1
            return signIns
        }
        let session = session.signedIn(username, number)
        show(session)
        return session
    }

    /// Waits as long as an action is held, unless its sign-in is cancelled meanwhile.
    func proceed(_ action: String, _ isCancelled: () -> Bool) async throws {
        try await beginning()
        lock.withLock { holding.append(action) }
        defer { lock.withLock { if let place = holding.firstIndex(of: action) { holding.remove(at: place) } } }
        for await held in held.stream where isCancelled() || !held.holds(action) { break }
        try Task.checkCancellation()
        if isCancelled() { throw AuthError.cancelled() }
    }

    /// What waits looks whether it may go on.
    func look() {
        held.show { Held(isOn: $0.isOn, action: $0.action, looks: $0.looks + 1) }
    }

    func outcome(of action: String, _ code: String?) throws -> Outcome {
        try lock.withLock { try next(action, code) }
    }

    private func next(_ action: String, _ code: String?) throws -> Outcome {
        let typed: Typed = code.map { digits($0) == digits(script.code) ? .theRightCode : .aWrongCode } ?? .anything
        done.append(action)
        for next in script.exchanges.indices.dropFirst(position) {
            let exchange = script.exchanges[next]
            let isThis = exchange.action == nil || exchange.action == action
            if isThis, exchange.typed == .anything || exchange.typed == typed {
                position = next + 1
                return exchange.outcome
            }
            // The app need not make the mistakes of the script.
            if case .step = exchange.outcome {
                if isThis, typed == .aWrongCode { return .failure(.rejected()) }
                throw ScriptError("the script goes on with \(exchange.action ?? "anything"), and not with \(action)")
            }
        }
        throw ScriptError("the script has ended; nothing answers \(action)")
    }

    private func digits(_ code: String) -> String {
        code.filter { $0.isLetter || $0.isNumber }
    }
}

extension FakeDirectAuth: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "FakeDirectAuth" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["actions": actions]) }
}

/// What waits.
private struct Held: Sendable, Equatable {
    var isOn = false
    var action: String?
    /// Grows so that whoever waits looks again.
    var looks = 0

    func holds(_ action: String) -> Bool {
        isOn && (self.action == nil || self.action == action)
    }
}
