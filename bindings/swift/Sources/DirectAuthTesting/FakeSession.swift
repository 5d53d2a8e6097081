import DirectAuthAPI
import Foundation

/// A signed-in user for an app's own tests.
public final class FakeSession: AuthSession, @unchecked Sendable {
    public let id: String
    public let grantedScopes: [String]
    private static let numbers = Numbers()
    private let origins: Set<String>?
    private let claimValues: [String: any Sendable]
    private let fakeClaims: FakeClaims
    private let reauthentication: (@Sendable () -> any SignIn)?
    private let lock = NSLock()
    private var typedUsername: String
    private var refreshes = 0
    private var isOver = false
    private var currentProblem: AuthError?
    private var nextAdvice: [Advice] = []
    private var signedOut: @Sendable () -> Void = {}
    private var allowedScheme = "https"

    /// A signed-in user.
    ///
    /// - Parameters:
    ///   - id: the session's id; nil: one of its own.
    ///   - username: replaced by what is typed at the first sign-in.
    ///   - claims: texts, whole numbers as `Int64` or `Int`, truth values, and lists of texts.
    ///   - grantedScopes: with `offline_access` it can be refreshed.
    ///   - origins: where ``authorize(method:url:)`` lets the token go, each `https://host[:port]`; nil: to every https address.
    ///   - reauthentication: what ``stepUp(acrValues:maxAge:)`` begins; if nil, every factor of that fails.
    public init(
        id: String? = nil, username: String = "ana@example.com", claims: [String: any Sendable] = ["sub": "fake-subject"],
        grantedScopes: [String] = ["openid", "profile", "offline_access"], origins: Set<String>? = nil,
        reauthentication: (@Sendable () -> any SignIn)? = nil
    ) {
        self.id = id ?? "fake-session-\(Self.numbers.next())"
        self.grantedScopes = grantedScopes
        self.origins = origins
        self.reauthentication = reauthentication
        typedUsername = username
        claimValues = claims
        fakeClaims = FakeClaims(claims)
    }

    /// What every call that waits throws from now on; nil: nothing.
    public var problem: AuthError? {
        get { lock.withLock { currentProblem } }
        set { lock.withLock { currentProblem = newValue } }
    }

    /// What ``advise(used:status:headers:)`` says next, in order; after that, ``Advice/proceed``, and ``Advice/retry`` after a 401.
    public var advice: [Advice] {
        get { lock.withLock { nextAdvice } }
        set { lock.withLock { nextAdvice = newValue } }
    }

    /// How often it was refreshed.
    public var refreshCount: Int { lock.withLock { refreshes } }

    public var username: String { lock.withLock { typedUsername } }
    public var claims: (any Claims)? { fakeClaims }
    public var expiresAt: Date { Date().addingTimeInterval(3600) }
    public var isPersisted: Bool { true }
    public var canRefresh: Bool { grantedScopes.contains("offline_access") }
    public var isDPoPBound: Bool { false }

    public func accessToken() async throws -> String { try await living { "fake-access-token-\(refreshes)" } }

    public func idToken() -> String? { nil }

    public func refresh() async throws { try await living { refreshes += 1 } }

    public func authorize(method: String, url: URL) async throws -> any AuthorizationHeaders {
        try await living {
            let port = url.port.map { ":\($0)" } ?? ""
            let isKnown = origins.map { $0.contains("https://\(url.host ?? "")\(port)") } ?? true
            guard url.scheme == allowedScheme, isKnown else {
                throw AuthError.configuration(what: "the address is not one of this client's")
            }
            return FakeHeaders(["authorization": "Bearer fake-access-token-\(refreshes)"])
        }
    }

    public func advise(used: any AuthorizationHeaders, status: Int, headers: [HeaderField]) async throws -> Advice {
        try await living {
            let said = nextAdvice.isEmpty ? (status == 401 ? Advice.retry : .proceed) : nextAdvice.removeFirst()
            if said == .retry { refreshes += 1 }
            return said
        }
    }

    public func stepUp(acrValues: [String], maxAge: TimeInterval?) -> any SignIn {
        reauthentication?() ?? FakeDirectAuth(Script(exchanges: [], code: ""), session: self).signIn(username)
    }

    public func userInfo() async throws -> any Claims { try await living { fakeClaims } }

    public func introspect(_ token: SessionToken) async throws -> Introspection {
        try await living { Introspection(isActive: true, claims: fakeClaims) }
    }

    /// Works without the server too: with a ``problem`` of the network it is told later.
    @discardableResult
    public func signOut() async throws -> SignOutResult {
        await Task.yield()
        try Task.checkCancellation()
        let (server, tell) = try lock.withLock {
            if isOver { throw AuthError.sessionEnded(reason: .signedOut) }
            var server = ServerSignOut.revoked
            if case .network? = currentProblem { server = .pending } else if let currentProblem { throw currentProblem }
            isOver = true
            return (server, signedOut)
        }
        tell()
        return SignOutResult(server: server, device: .deleted)
    }

    /// Lets the token go without TLS, to a test's own server.
    package func allow(scheme: String) {
        lock.withLock { allowedScheme = scheme }
    }

    func onSignOut(_ told: @escaping @Sendable () -> Void) {
        lock.withLock { signedOut = told }
    }

    /// This one at the first sign-in, and otherwise one like it.
    func signedIn(_ username: String, _ number: Int) -> FakeSession {
        let isThis = lock.withLock {
            guard number == 1, !isOver else { return false }
            typedUsername = username
            return true
        }
        if isThis { return self }
        let another = FakeSession(
            id: "\(id)-\(number)", username: username, claims: claimValues, grantedScopes: grantedScopes, origins: origins,
            reauthentication: reauthentication)
        another.problem = problem
        another.allow(scheme: lock.withLock { allowedScheme })
        return another
    }

    private func living<T: Sendable>(_ work: () throws -> T) async throws -> T {
        // As the real thing: a caller that was cancelled before gets nothing.
        await Task.yield()
        try Task.checkCancellation()
        return try lock.withLock {
            if let currentProblem { throw currentProblem }
            if isOver { throw AuthError.sessionEnded(reason: .signedOut) }
            return try work()
        }
    }
}

extension FakeSession: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "FakeSession(\(id))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["id": id]) }
}

private final class FakeHeaders: AuthorizationHeaders {
    let values: [String: String]

    init(_ values: [String: String]) {
        self.values = values
    }
}

private final class FakeClaims: Claims {
    private let values: [String: any Sendable]

    init(_ values: [String: any Sendable]) {
        self.values = values
    }

    var subject: String { text("sub") ?? "" }

    func text(_ name: String) -> String? { values[name] as? String }

    func integer(_ name: String) -> Int64? { values[name] as? Int64 ?? (values[name] as? Int).map(Int64.init) }

    func flag(_ name: String) -> Bool? { values[name] as? Bool }

    func texts(_ name: String) -> [String] { values[name] as? [String] ?? [] }
}

extension FakeHeaders: Discreet {}

extension FakeClaims: Discreet {}

private final class Numbers: @unchecked Sendable {
    private let lock = NSLock()
    private var last = 0

    func next() -> Int {
        lock.withLock {
            last += 1
            return last
        }
    }
}
