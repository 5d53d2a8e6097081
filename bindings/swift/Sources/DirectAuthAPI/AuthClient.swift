import Foundation

/// A client of one authorization server: who is signed in, and the ways to sign in.
///
/// The library's own is `DirectAuthClient(issuer:clientID:)`; `DirectAuthTesting` has a fake. Keep one for each server as long as the
/// process lives. All of it may be called from any task or thread, the main one too: work is done elsewhere.
///
/// Every function that throws throws ``AuthError``, and `CancellationError` if its task was cancelled. A cancelled sign-in sends
/// nothing new; one that was complete before is signed in, which ``state`` shows, and so is a session that was imported or made the
/// default. A cancelled refresh runs to its end and is stored. Times of waiting are in seconds.
public protocol AuthClient: AnyObject, Sendable {
    /// Who is signed in, by what is known now; ``states`` tells of changes.
    ///
    /// The first look at it starts the restore, which reads the storage. If the client is configured wrongly it is
    /// ``AuthState/signedOut``, and every call says what is wrong.
    var state: AuthState { get }

    /// Who is signed in: the state of now first, and then always the newest. States that nobody took in time are left out.
    var states: AsyncStream<AuthState> { get }

    /// What happens from now on, for the app's own log: without secrets and without user names. Who takes them more slowly than 256
    /// events come misses some, which the next one counts in ``AuditEvent/droppedBefore``.
    var events: AsyncStream<AuditEvent> { get }

    /// A user who is about to sign in. Sends nothing yet.
    ///
    /// - Parameters:
    ///   - username: as it was typed.
    ///   - acrValues: what the sign-in has to reach, the most wanted first.
    ///   - maxAge: how long ago the user may have been asked, in seconds.
    func signIn(_ username: String, acrValues: [String], maxAge: TimeInterval?) -> any SignIn

    /// A passkey that says itself whose it is: no username is typed. Sends one request.
    func signInWithPasskey() async throws -> SignInStep

    /// A user who has forgotten the password. Sends nothing yet.
    func recover(_ username: String) -> any Recovery

    /// Fetches metadata and keys and opens a connection for the next sign-in, while the user is still typing. What fails there is no
    /// error here: the sign-in meets and tells it.
    ///
    /// - Throws: ``AuthError/configuration(what:details:)`` if the client is configured wrongly.
    func warmUp() async throws

    /// The session that is signed in, with several accounts the default one; nil if nobody is.
    ///
    /// - Throws: ``AuthError/storageUnavailable(reason:details:)`` if the storage cannot be read now; nothing is lost or ended by that.
    func restore() async throws -> (any AuthSession)?

    /// Everybody who is signed in, the default first.
    func sessions() async throws -> [SessionInfo]

    /// One session by its ``AuthSession/id``; nil if there is none.
    func session(id: String) async throws -> (any AuthSession)?

    /// Makes a session the default one.
    @discardableResult
    func setDefault(id: String) async throws -> any AuthSession

    /// Signs the default session out, also offline; nil if nobody is signed in.
    @discardableResult
    func signOut() async throws -> SignOutResult?

    /// Signs every session out.
    @discardableResult
    func signOutAll() async throws -> [SignOutResult]

    /// Takes over a session from another library by its refresh token: one validated refresh. If that fails nothing changes.
    func importSession(refreshToken: String) async throws -> any AuthSession

    /// To be called when the app comes to the foreground or the device is unlocked: what was unavailable is read again.
    func notifyForeground()

    /// Deletes stored sessions that can never be read again; gives how many.
    @discardableResult
    func discardUnreadable() async throws -> Int
}

extension AuthClient {
    /// A user who is about to sign in. Sends nothing yet.
    public func signIn(_ username: String) -> any SignIn {
        signIn(username, acrValues: [], maxAge: nil)
    }

    /// A user who is about to sign in, and what that has to reach, the most wanted first. Sends nothing yet.
    public func signIn(_ username: String, acrValues: [String]) -> any SignIn {
        signIn(username, acrValues: acrValues, maxAge: nil)
    }

    /// A user who is about to sign in, and how many seconds ago they may have been asked. Sends nothing yet.
    public func signIn(_ username: String, maxAge: TimeInterval?) -> any SignIn {
        signIn(username, acrValues: [], maxAge: maxAge)
    }
}

/// Who is signed in.
public enum AuthState: Sendable {
    /// The storage is being read. Show a splash screen.
    case restoring
    /// Nobody.
    case signedOut
    /// Somebody; with several accounts the default one.
    case signedIn(any AuthSession)
    /// It cannot be known now, or never any more: see ``StorageProblem/isTemporary``.
    case unavailable(StorageProblem)
}

extension AuthState: Equatable {
    /// Two states are equal if they say the same of the same session.
    public static func == (left: AuthState, right: AuthState) -> Bool {
        switch (left, right) {
        case (.restoring, .restoring), (.signedOut, .signedOut): true
        case (.signedIn(let left), .signedIn(let right)): left.id == right.id
        case (.unavailable(let left), .unavailable(let right)): left == right
        default: false
        }
    }
}

/// One of the signed-in users, for a list to choose from. Printing it does not show the user's name.
public struct SessionInfo: Sendable, Hashable, Identifiable {
    /// The session's random id.
    public let id: String
    /// The username that was typed.
    public let username: String
    /// Whether it is the one that ``AuthClient/restore()`` gives.
    public let isDefault: Bool

    /// One of the signed-in users.
    public init(id: String, username: String, isDefault: Bool) {
        self.id = id
        self.username = username
        self.isDefault = isDefault
    }
}

extension SessionInfo: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "SessionInfo(\(id)\(isDefault ? ", the default" : ""))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["id": id, "isDefault": isDefault]) }
}
