import Foundation

/// A failed call: one case for each kind, and with each what the app should do next.
///
/// ``description`` is for logs: the kind's name, a sentence, and the ids of request and transaction; never a secret and never the
/// server's words, which are in ``serverText``. ``errorDescription``, and so `localizedDescription`, is one English sentence for users.
public enum AuthError: Error, Sendable, Hashable {
    /// The code or credential was refused, and the step stays usable. The server does not say whether the user or the password is wrong.
    case rejected(details: ErrorDetails = ErrorDetails("Rejected", .askAgain))
    /// The user said no on the device, or tapped a wrong number. Offer another factor.
    case declined(details: ErrorDetails = ErrorDetails("Declined", .chooseAnother))
    /// A policy or an assignment does not allow this; another factor may be allowed. With the server's error code.
    case notAllowed(code: String, details: ErrorDetails = ErrorDetails("NotAllowed", .chooseAnother))
    /// What was being answered is over: the prompt, the code or the whole sign-in.
    case expired(details: ErrorDetails = ErrorDetails("Expired", .startOver))
    /// Too many wrong codes in this step; nothing more is sent for it.
    case tooManyAttempts(details: ErrorDetails = ErrorDetails("TooManyAttempts", .startOver))
    /// Too many requests, or too early for a resend; the earliest time at which trying again makes sense. Nothing was consumed.
    case rateLimited(retryAt: Date, details: ErrorDetails)
    /// Only a browser can go on. With the server's error code.
    case browserRequired(reason: String, details: ErrorDetails = ErrorDetails("BrowserRequired", .openBrowser))
    /// The session is kept, but the user has to sign in again before it is renewed. With the server's error code.
    case reauthRequired(reason: String, details: ErrorDetails = ErrorDetails("ReauthRequired", .signInAgain))
    /// The session is over.
    case sessionEnded(reason: EndReason, details: ErrorDetails = ErrorDetails("SessionEnded", .signInAgain))
    /// The storage could not be read or written; nothing was lost or ended by that.
    case storageUnavailable(reason: StorageProblem, details: ErrorDetails)
    /// The key that the tokens are bound to cannot be used; nothing was lost or ended by that.
    case keyUnavailable(reason: KeyProblem, details: ErrorDetails)
    /// No usable answer came back; whether the server may have seen the request.
    case network(
        problem: NetworkProblem, maybeSent: Bool = false,
        details: ErrorDetails = ErrorDetails("Network", .checkConnection, isRetryable: true))
    /// The answer breaks the protocol; nothing of it was used. What was wrong with it, for a developer.
    case invalidResponse(what: String, details: ErrorDetails = ErrorDetails("InvalidResponse", .contactSupport))
    /// Tokens came back but did not pass validation; nothing was released. The check that failed, by the claim's or parameter's name.
    case tokenRejected(check: String, details: ErrorDetails = ErrorDetails("TokenRejected", .contactSupport))
    /// The app or the server is set up wrongly; trying again will not help. What has to be changed, for a developer.
    case configuration(what: String, details: ErrorDetails = ErrorDetails("Configuration", .fixConfiguration))
    /// The server asks for something that this version cannot do. What it is, for a developer.
    case unsupported(what: String, details: ErrorDetails = ErrorDetails("Unsupported", .chooseAnother))
    /// What the platform's passkey ceremony gave cannot be an answer to this challenge; nothing was sent.
    case passkey(problem: PasskeyProblem, details: ErrorDetails = ErrorDetails("Passkey", .chooseAnother))
    /// The app cancelled the sign-in, or began another one for the same user.
    case cancelled(details: ErrorDetails = ErrorDetails("Cancelled", .ignore))
    /// The step is answering already, was used already, or too many sign-ins run at once.
    case busy(details: ErrorDetails = ErrorDetails("Busy", .ignore))
    /// The server failed, or used an error code nobody knows; the HTTP status, and that code.
    case server(status: Int, code: String?, details: ErrorDetails)
    /// A defect of this library.
    case `internal`(details: ErrorDetails = ErrorDetails("Internal", .contactSupport))
}

extension AuthError {
    /// What goes with every error.
    public var details: ErrorDetails {
        switch self {
        case .rejected(let details), .declined(let details), .notAllowed(_, let details), .expired(let details),
            .tooManyAttempts(let details), .rateLimited(_, let details), .browserRequired(_, let details),
            .reauthRequired(_, let details), .sessionEnded(_, let details), .storageUnavailable(_, let details),
            .keyUnavailable(_, let details), .network(_, _, let details), .invalidResponse(_, let details),
            .tokenRejected(_, let details), .configuration(_, let details), .unsupported(_, let details),
            .passkey(_, let details), .cancelled(let details), .busy(let details), .server(_, _, let details),
            .internal(let details):
            details
        }
    }

    /// What the app should do next.
    public var remedy: Remedy { details.remedy }

    /// Whether the same call may succeed later without anything else being changed.
    public var isRetryable: Bool { details.isRetryable }

    /// The server's id of the request, for its log and its support.
    public var requestID: String? { details.requestID }

    /// The library's own random id of the sign-in, as the audit events carry it.
    public var transactionID: String? { details.transactionID }

    /// What the server's sentence gives away beyond its code, for better wording.
    public var hint: Hint? { details.hint }

    /// What the server said in words.
    public var serverText: ServerText? { details.serverText }
}

extension AuthError {
    /// Too many requests; with what usually goes with it.
    public static func rateLimited(retryAt: Date) -> AuthError {
        .rateLimited(retryAt: retryAt, details: ErrorDetails("RateLimited", .wait(until: retryAt), isRetryable: true))
    }

    /// The storage could not be read or written; with what usually goes with it.
    public static func storageUnavailable(reason: StorageProblem) -> AuthError {
        let remedy: Remedy = reason.isTemporary ? .unlock : .contactSupport
        return .storageUnavailable(reason: reason, details: ErrorDetails("StorageUnavailable", remedy, isRetryable: reason.isTemporary))
    }

    /// The key cannot be used; with what usually goes with it.
    public static func keyUnavailable(reason: KeyProblem) -> AuthError {
        let remedy: Remedy = reason.isTemporary ? .unlock : .signInAgain
        return .keyUnavailable(reason: reason, details: ErrorDetails("KeyUnavailable", remedy, isRetryable: reason.isTemporary))
    }

    /// The server failed; with what usually goes with it.
    public static func server(status: Int, code: String? = nil) -> AuthError {
        let isRetryable = status >= 500 || code == "server_error" || code == "temporarily_unavailable"
        let remedy: Remedy = isRetryable ? .wait(until: nil) : .contactSupport
        return .server(status: status, code: code, details: ErrorDetails("Server", remedy, isRetryable: isRetryable))
    }
}

extension AuthError: CustomStringConvertible, CustomDebugStringConvertible {
    /// For logs, not for users.
    public var description: String { details.description }
    public var debugDescription: String { description }
}

extension AuthError: LocalizedError {
    /// One English sentence for users, by the remedy alone. Show better ones where the app knows more.
    public var errorDescription: String? {
        switch remedy {
        case .askAgain: "That did not match. Please check what you entered and try again."
        case .chooseAnother: "That did not work. Please choose another way to sign in."
        case .startOver: "This sign-in is over. Please start again."
        case .wait: "This is not possible right now. Please try again later."
        case .signInAgain: "Please sign in again."
        case .openBrowser: "Please continue in your browser."
        case .checkConnection: "There is no connection. Please check your network and try again."
        case .unlock: "Please unlock your device and try again."
        case .contactSupport: "Something went wrong. Please contact support."
        case .fixConfiguration: "This app is not set up correctly. Please contact its developer."
        case .ignore: "This was cancelled or is already under way."
        }
    }
}

/// What goes with every error. Printing it shows nothing of the server's words.
public struct ErrorDetails: Sendable, Hashable {
    /// The kind's name and a sentence, for logs; not for users.
    public let text: String
    /// What the app should do next.
    public let remedy: Remedy
    /// Whether the same call may succeed later without anything else being changed.
    public let isRetryable: Bool
    /// The server's id of the request, for its log and its support.
    public let requestID: String?
    /// The library's own random id of the sign-in, as the audit events carry it.
    public let transactionID: String?
    /// What the server's sentence gives away beyond its code, for better wording.
    public let hint: Hint?
    /// What the server said in words.
    public let serverText: ServerText?

    /// What goes with an error.
    public init(
        _ text: String, _ remedy: Remedy, isRetryable: Bool = false, requestID: String? = nil, transactionID: String? = nil,
        hint: Hint? = nil, serverText: ServerText? = nil
    ) {
        self.text = text
        self.remedy = remedy
        self.isRetryable = isRetryable
        self.requestID = requestID
        self.transactionID = transactionID
        self.hint = hint
        self.serverText = serverText
    }
}

extension ErrorDetails: CustomStringConvertible, CustomDebugStringConvertible {
    public var description: String {
        text + (requestID.map { ", request \($0)" } ?? "") + (transactionID.map { ", transaction \($0)" } ?? "")
    }
    public var debugDescription: String { description }
}

/// The server's own words about a failure. **Untrusted**: show them to developers, never as part of your own page, never as markup, and
/// never open the address. Printing this shows none of it.
public struct ServerText: Sendable, Hashable {
    /// Its text on the error.
    public let text: String?
    /// The address of a page about it. Do not open it.
    public let uri: String?
    /// Okta's own code, if it stood beside the one that decided.
    public let secondCode: String?
    /// Okta's causes, a sentence each: such as the requirements that a new password does not meet.
    public let causes: [String]

    /// The server's own words.
    public init(text: String? = nil, uri: String? = nil, secondCode: String? = nil, causes: [String] = []) {
        self.text = text
        self.uri = uri
        self.secondCode = secondCode
        self.causes = causes
    }
}

extension ServerText: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "[untrusted text]" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// What the app should do next.
public enum Remedy: Sendable, Hashable {
    /// Let the user type it again; the step in hand stays usable.
    case askAgain
    /// Offer another factor.
    case chooseAnother
    /// Begin the sign-in again.
    case startOver
    /// Wait, until the given time if there is one, then try the same again.
    case wait(until: Date?)
    /// Send the user to the sign-in screen.
    case signInAgain
    /// Continue in a browser.
    case openBrowser
    /// Ask the user to look at the network, then try again.
    case checkConnection
    /// Ask the user to unlock the device, then try again.
    case unlock
    /// Show the request id and let the user ask for help.
    case contactSupport
    /// A developer or administrator has to change something.
    case fixConfiguration
    /// Nothing to show.
    case ignore
}

/// What a sentence of the server gives away. Decide on the error and its remedy, which do not depend on it.
public enum Hint: Sendable, Hashable, CaseIterable {
    /// The password was right and has expired: offer to set a new one.
    case passwordExpired
    /// An administrator has to enable a second factor for this app.
    case secondFactorNotEnabled
}

/// Why a session ended.
public enum EndReason: Sendable, Hashable, CaseIterable {
    /// The user signed out.
    case signedOut
    /// A new sign-in took its place.
    case replaced
    /// The server refused the newest refresh token.
    case refreshTokenRefused
    /// The same, after a refresh whose answer never arrived.
    case refreshInterrupted
    /// The server answered for another user.
    case subjectChanged
}

/// What a storage reported.
public enum StorageProblem: Sendable, Hashable, CaseIterable {
    /// The device is locked, or was not unlocked since it started.
    case locked
    /// The user has to authenticate to the device first.
    case needsUser
    /// The user dismissed the device's prompt.
    case userCancelled
    /// It did not work this time: busy, full, or out of time.
    case transient
    /// The data was restored from another device and cannot be read here.
    case foreign
    /// The data is damaged.
    case corrupt
    /// The key is missing.
    case keyMissing
    /// The platform destroyed the key.
    case keyDestroyed
    /// A newer version of this library wrote the data.
    case newerVersion

    /// Whether the data may be readable later on this device, without the user signing in again.
    public var isTemporary: Bool {
        switch self {
        case .locked, .needsUser, .userCancelled, .transient: true
        case .foreign, .corrupt, .keyMissing, .keyDestroyed, .newerVersion: false
        }
    }
}

/// What the platform reported of a key that signs proofs.
public enum KeyProblem: Sendable, Hashable, CaseIterable {
    /// The device is locked, or was not unlocked since it started.
    case locked
    /// The user has to authenticate to the device first.
    case needsUser
    /// The user dismissed the device's prompt.
    case userCancelled
    /// It did not work this time, or not in time.
    case transient
    /// There is no such key.
    case missing
    /// The platform destroyed the key, as after a change of the enrolled fingers.
    case destroyed
    /// There is a key under that name, but another one.
    case changed
    /// The platform has no keys on P-256.
    case unsupported

    /// Whether the key may be usable later.
    public var isTemporary: Bool {
        switch self {
        case .locked, .needsUser, .userCancelled, .transient: true
        case .missing, .destroyed, .changed, .unsupported: false
        }
    }
}

/// What failed on the way to the server and back.
public enum NetworkProblem: Sendable, Hashable, CaseIterable {
    /// No connection: offline, name not found, refused.
    case connect
    /// The server's certificate is not trusted, or its TLS version is too old.
    case tls
    /// The deadline passed.
    case timeout
    /// The connection broke before the answer was complete.
    case interrupted
    /// A web page came instead of the server's answer.
    case captivePortal
    /// The server's certificate is valid, but matches none of the configured pins.
    case pin
    /// The proxy cannot be reached, or does not let the connection through.
    case proxy
}

/// What is wrong with the platform's answer to a passkey challenge.
public enum PasskeyProblem: Sendable, Hashable, CaseIterable {
    /// It is no answer to a request for a sign-in.
    case malformed
    /// It answers another challenge: each needs a ceremony of its own.
    case otherChallenge
    /// It is by a credential that the server did not ask for.
    case otherCredential
    /// It is for another relying party.
    case otherRelyingParty
}
