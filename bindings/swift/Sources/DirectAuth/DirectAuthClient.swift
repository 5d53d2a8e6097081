@_exported import DirectAuthAPI
import Foundation

/// A client of one authorization server.
///
/// ```swift
/// let auth = DirectAuthClient(issuer: "https://acme.okta.com/oauth2/default", clientID: "0oa1b2c3") {
///     $0.scopes = ["openid", "profile", "offline_access"]
///     $0.storage = storage
/// }
/// ```
///
/// Making one does nothing yet: the first call builds it, on a thread of the library. Keep one for each server as long as the process
/// lives. When the last reference is gone ``states`` end, and nobody is signed out.
public final class DirectAuthClient: AuthClient {
    private let engine: Engine

    /// A client of one authorization server. What is wrong with its configuration is told by the first call.
    ///
    /// - Parameters:
    ///   - issuer: exactly as the server writes it, such as `https://acme.okta.com/oauth2/default`.
    ///   - clientID: the client id of a native app.
    ///   - configure: changes the options.
    public convenience init(issuer: String, clientID: String, configure: (inout DirectAuthOptions) -> Void = { _ in }) {
        var options = DirectAuthOptions()
        configure(&options)
        self.init(issuer: issuer, clientID: clientID, options: options)
    }

    /// A client of one authorization server. What is wrong with its configuration is told by the first call.
    public convenience init(issuer: String, clientID: String, options: DirectAuthOptions) {
        self.init(issuer: issuer, clientID: clientID, options: options) { try $0.build() }
    }

    init(
        issuer: String, clientID: String, options: DirectAuthOptions, build: @escaping @Sendable (CoreSetup) throws -> CoreClient
    ) {
        engine = Engine { try build(try coreSetup(issuer: issuer, clientID: clientID, options: options)) }
    }

    public var state: AuthState { engine.state }

    public var states: AsyncStream<AuthState> { engine.states }

    public var events: AsyncStream<AuditEvent> {
        let (listening, promise) = AsyncStream.makeStream(of: CoreAuditEvents.self)
        // Before anybody gets the client: no event of theirs is missed.
        engine.whenBuilt { core in
            if let events = try? core?.auditEvents() { promise.yield(events) }
            promise.finish()
        }
        let source = Task.detached { await listening.first { _ in true } }
        return AsyncStream {
            await (try? source.value?.next()).flatMap { $0 }.map(AuditEvent.init)
        } onCancel: {
            Task.detached { await source.value?.cancel() }
        }
    }

    public func signIn(_ username: String, acrValues: [String], maxAge: TimeInterval?) -> any SignIn {
        SignInOfCore(Looking(engine)) { [engine] in
            let maxAge = try lengthOfTime(maxAge, "maxAge")
            return try await engine.core().signIn(username: username, acrValues: acrValues, maxAge: maxAge)
        }
    }

    public func signInWithPasskey() async throws -> SignInStep {
        try await looking.step { [engine] in try await engine.core().signInWithPasskey() }
    }

    public func recover(_ username: String) -> any Recovery {
        RecoveryOfCore(Looking(engine)) { [engine] in try await engine.core().recover(username: username) }
    }

    public func warmUp() async throws {
        try await looking.call { [engine] in try await engine.core().warmUp() }
    }

    public func restore() async throws -> (any AuthSession)? {
        try await looking.keeping { [engine] in try await engine.core().restore() }.map { SessionOfCore($0, looking) }
    }

    public func sessions() async throws -> [SessionInfo] {
        try await looking.call { [engine] in try await engine.core().sessions() }.map(SessionInfo.init)
    }

    public func session(id: String) async throws -> (any AuthSession)? {
        try await looking.keeping { [engine] in try await engine.core().session(id: id) }.map { SessionOfCore($0, looking) }
    }

    @discardableResult
    public func setDefault(id: String) async throws -> any AuthSession {
        SessionOfCore(try await looking.keeping { [engine] in try await engine.core().setDefault(id: id) }, looking)
    }

    @discardableResult
    public func signOut() async throws -> SignOutResult? {
        try await looking.call { [engine] in try await engine.core().signOut() }.map(SignOutResult.init)
    }

    @discardableResult
    public func signOutAll() async throws -> [SignOutResult] {
        try await looking.call { [engine] in try await engine.core().signOutAll() }.map(SignOutResult.init)
    }

    public func importSession(refreshToken: String) async throws -> any AuthSession {
        let session = try await looking.keeping { [engine] in try await engine.core().importSession(refreshToken: refreshToken) }
        return SessionOfCore(session, looking)
    }

    public func notifyForeground() {
        engine.notifyForeground()
    }

    @discardableResult
    public func discardUnreadable() async throws -> Int {
        Int(try await looking.call { [engine] in try await engine.core().discardUnreadable() })
    }

    /// Builds the core's client now.
    func core() async throws -> CoreClient {
        try await engine.core()
    }

    private var looking: Looking { Looking(engine) }
}

extension DirectAuthClient: Discreet {
    public var description: String { "DirectAuthClient" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// What the library tells of its work, for the app's own log: of the whole process, without secrets.
public enum DirectAuthLog {
    /// Gives the lines to `sink`, or to nobody. Returns at once; lines of this moment may still go where they went before.
    public static func setSink(_ sink: (any LogSink)?) {
        building.async { try? setCoreLogSink(sink.map(LogSinkForCore.init)) }
    }
}
