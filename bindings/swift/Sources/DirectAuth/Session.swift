import DirectAuthAPI
import Foundation

/// A session of the core.
final class SessionOfCore: AuthSession, Discreet {
    private let core: CoreSession
    private let looking: Looking
    let id: String

    init(_ core: CoreSession, _ looking: Looking) {
        self.core = core
        self.looking = looking
        id = core.id()
    }

    var username: String { core.username() }
    var claims: (any Claims)? { core.claims().map(ClaimsOfCore.init) }
    var grantedScopes: [String] { core.grantedScopes() }
    var expiresAt: Date { core.expiresAt() }
    var isPersisted: Bool { core.isPersisted() }
    var canRefresh: Bool { core.canRefresh() }
    var isDPoPBound: Bool { core.isDpopBound() }

    func accessToken() async throws -> String { try await looking.call { [core] in try await core.accessToken() } }

    func idToken() -> String? { core.idToken() }

    func refresh() async throws { try await looking.call { [core] in try await core.refresh() } }

    func authorize(method: String, url: URL) async throws -> any AuthorizationHeaders {
        try await looking.call { [core] in
            try HeadersOfCore(await core.authorize(method: method, url: url.absoluteString))
        }
    }

    func advise(used: any AuthorizationHeaders, status: Int, headers: [HeaderField]) async throws -> Advice {
        guard let used = used as? HeadersOfCore, let status = Int32(exactly: status) else {
            throw AuthError.configuration(what: "these headers are not from this library's authorize")
        }
        let fields = headers.map { CoreHeaderField(name: $0.name, value: $0.value) }
        return Advice(try await looking.call { [core] in try await core.advise(used: used.core, status: status, headers: fields) })
    }

    func stepUp(acrValues: [String], maxAge: TimeInterval?) -> any SignIn {
        SignInOfCore(looking) { [core] in
            core.stepUp(acrValues: acrValues, maxAge: try lengthOfTime(maxAge, "maxAge"))
        }
    }

    func userInfo() async throws -> any Claims {
        ClaimsOfCore(try await looking.call { [core] in try await core.userInfo() })
    }

    func introspect(_ token: SessionToken) async throws -> Introspection {
        let answer = try await looking.call { [core] in try await core.introspect(token: token.forCore) }
        return Introspection(isActive: answer.isActive, claims: answer.claims.map(ClaimsOfCore.init))
    }

    @discardableResult
    func signOut() async throws -> SignOutResult {
        SignOutResult(try await looking.call { [core] in try await core.signOut() })
    }

    var description: String { "AuthSession(\(id))" }
}

private final class HeadersOfCore: AuthorizationHeaders, Discreet {
    let core: CoreHeaders
    let values: [String: String]

    init(_ core: CoreHeaders) throws {
        self.core = core
        values = try core.values()
    }

    var description: String { "AuthorizationHeaders([secret])" }
}

private final class ClaimsOfCore: Claims, Discreet {
    private let core: CoreClaims

    init(_ core: CoreClaims) {
        self.core = core
    }

    var subject: String { core.subject() }

    func text(_ name: String) -> String? { core.text(name: name) }

    func integer(_ name: String) -> Int64? { core.integer(name: name) }

    func flag(_ name: String) -> Bool? { core.flag(name: name) }

    func texts(_ name: String) -> [String] { core.texts(name: name) }

    var description: String { "Claims([not printed])" }
}
