import DirectAuthAPI
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
    private var done: [String] = []
    private var position = 0
    private var choice: FakeChooseFactor?
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
        if let restored { hold(restored) }
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

    /// Shows this state, as when the storage becomes unreadable.
    public func show(_ state: AuthState) {
        shown.show(state)
    }

    /// Tells an event.
    public func tell(_ event: AuditEvent) {
        for listener in lock.withLock({ Array(listeners.values) }) { listener.yield(event) }
    }

    public func signIn(_ username: String, acrValues: [String], maxAge: TimeInterval?) -> any SignIn {
        FakeFirst(self, "signIn", username)
    }

    public func signInWithPasskey() async throws -> SignInStep {
        try await act("signInWithPasskey")
    }

    public func recover(_ username: String) -> any Recovery {
        FakeFirst(self, "recover", username)
    }

    public func warmUp() async throws {
        try await beginning()
    }

    public func restore() async throws -> (any AuthSession)? {
        try await beginning()
        if case .signedIn(let session) = shown.value { return session }
        return nil
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
        hold(session)
        return session
    }

    public func notifyForeground() {}

    @discardableResult
    public func discardUnreadable() async throws -> Int {
        try await beginning()
        return 0
    }

    private func hold(_ session: FakeSession) {
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

    fileprivate func typed(_ username: String) {
        session.typed(username)
    }

    fileprivate func act(_ action: String, code: String? = nil, refused: () -> Void = {}) async throws -> SignInStep {
        try await beginning()
        switch try lock.withLock({ try outcome(of: action, code) }) {
        case .failure(let error):
            if case .rejected = error { refused() }
            throw error
        case .step(let kind):
            return step(kind)
        }
    }

    private func outcome(of action: String, _ code: String?) throws -> Outcome {
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

    private func step(_ kind: StepKind) -> SignInStep {
        let choice = lock.withLock { self.choice }
        switch kind {
        case .signedIn:
            hold(session)
            return .signedIn(session)
        case .chooseFactor(let factors):
            let step = FakeChooseFactor(self, factors)
            lock.withLock { self.choice = step }
            return .chooseFactor(step)
        case .approveOnDevice(let number): return .approveOnDevice(FakeApproveOnDevice(self, choice, number))
        case .enterCode(let channel): return .enterCode(FakeEnterCode(self, choice, channel))
        case .usePasskey: return .usePasskey(FakeUsePasskey(self, choice))
        case .resetPassword: return .resetPassword(FakeResetPassword(self, nil))
        case .passwordChanged: return .passwordChanged
        case .unsupported: return .unsupported(what: "as the script says")
        }
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

private final class FakeFirst: SignIn, Recovery {
    private let auth: FakeDirectAuth
    private let verb: String
    private let username: String

    init(_ auth: FakeDirectAuth, _ verb: String, _ username: String) {
        self.auth = auth
        self.verb = verb
        self.username = username
    }

    func password(_ password: String) async throws -> SignInStep { try await begin("password") }

    func otp(_ code: String) async throws -> SignInStep { try await begin("otp", code) }

    func push() async throws -> SignInStep { try await begin("push") }

    func sms() async throws -> SignInStep { try await begin("sms") }

    func voice() async throws -> SignInStep { try await begin("voice") }

    func email() async throws -> SignInStep { try await begin("email") }

    func passkey() async throws -> SignInStep { try await begin("passkey") }

    private func begin(_ factor: String, _ code: String? = nil) async throws -> SignInStep {
        auth.typed(username)
        return try await auth.act("\(verb).\(factor)", code: code)
    }
}

/// What every step has: it can be cancelled, and knows where "back" leads.
private class FakeStep: @unchecked Sendable {
    fileprivate let auth: FakeDirectAuth
    fileprivate let lock = NSLock()
    private var isCancelled = false
    let choice: (any ChooseFactor)?

    init(_ auth: FakeDirectAuth, _ choice: (any ChooseFactor)?) {
        self.auth = auth
        self.choice = choice
    }

    func cancel() {
        lock.withLock { isCancelled = true }
    }

    func go(_ action: String, code: String? = nil, refused: () -> Void = {}) async throws -> SignInStep {
        if lock.withLock({ isCancelled }) { throw AuthError.cancelled() }
        return try await auth.act(action, code: code, refused: refused)
    }
}

private final class FakeChooseFactor: FakeStep, ChooseFactor, @unchecked Sendable {
    let factors: [Factor]

    init(_ auth: FakeDirectAuth, _ factors: [Factor]) {
        self.factors = factors
        super.init(auth, nil)
    }

    func otp(_ code: String) async throws -> SignInStep { try await go("choose.otp", code: code) }

    func push() async throws -> SignInStep { try await go("choose.push") }

    func sms() async throws -> SignInStep { try await go("choose.sms") }

    func voice() async throws -> SignInStep { try await go("choose.voice") }

    func email() async throws -> SignInStep { try await go("choose.email") }

    func passkey() async throws -> SignInStep { try await go("choose.passkey") }
}

private final class FakeApproveOnDevice: FakeStep, ApproveOnDevice, @unchecked Sendable {
    let number: String?
    let expiresAt = Date().addingTimeInterval(300)

    init(_ auth: FakeDirectAuth, _ choice: (any ChooseFactor)?, _ number: String?) {
        self.number = number
        super.init(auth, choice)
    }

    func approved() async throws -> SignInStep { try await go("approved") }

    func resend() async throws -> SignInStep { try await go("resend") }
}

private final class FakeEnterCode: FakeStep, EnterCode, @unchecked Sendable {
    let channel: Factor
    let expiresAt = Date().addingTimeInterval(300)
    let resendAt = Date().addingTimeInterval(30)
    private var attempts = 5

    init(_ auth: FakeDirectAuth, _ choice: (any ChooseFactor)?, _ channel: Factor) {
        self.channel = channel
        super.init(auth, choice)
    }

    var attemptsLeft: Int { lock.withLock { attempts } }

    func submit(_ code: String) async throws -> SignInStep {
        try await go("submit", code: code) { lock.withLock { attempts -= 1 } }
    }

    func resend() async throws -> SignInStep { try await go("resend") }
}

private final class FakeUsePasskey: FakeStep, UsePasskey, @unchecked Sendable {
    let requestJSON = #"{"challenge":"ZmFrZQ","rpId":"localhost","allowCredentials":[]}"#
    let enrolled: [EnrolledPasskey] = []
    let expiresAt = Date().addingTimeInterval(60)

    func answer(_ responseJSON: String) async throws -> SignInStep { try await go("answer") }

    func renew() async throws -> SignInStep { try await go("renew") }
}

private final class FakeResetPassword: FakeStep, ResetPassword, @unchecked Sendable {
    let expiresAt = Date().addingTimeInterval(900)

    func set(_ newPassword: String) async throws -> SignInStep { try await go("setPassword") }
}
