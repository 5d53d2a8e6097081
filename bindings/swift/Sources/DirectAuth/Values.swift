// The core's values as the app sees them, and the app's as the core does.

import DirectAuthAPI
import Foundation

// --- errors

extension AuthError {
    init(_ core: CoreError) {
        self =
            switch core {
            case .rejected(let details): .rejected(details: ErrorDetails(details))
            case .declined(let details): .declined(details: ErrorDetails(details))
            case .notAllowed(let code, let details): .notAllowed(code: code, details: ErrorDetails(details))
            case .expired(let details): .expired(details: ErrorDetails(details))
            case .tooManyAttempts(let details): .tooManyAttempts(details: ErrorDetails(details))
            case .rateLimited(let retryAt, let details): .rateLimited(retryAt: retryAt, details: ErrorDetails(details))
            case .browserRequired(let reason, let details): .browserRequired(reason: reason, details: ErrorDetails(details))
            case .reauthRequired(let reason, let details): .reauthRequired(reason: reason, details: ErrorDetails(details))
            case .sessionEnded(let reason, let details):
                .sessionEnded(reason: EndReason(reason), details: ErrorDetails(details))
            case .storageUnavailable(let reason, let details):
                .storageUnavailable(reason: StorageProblem(reason), details: ErrorDetails(details))
            case .keyUnavailable(let reason, let details):
                .keyUnavailable(reason: KeyProblem(reason), details: ErrorDetails(details))
            case .network(let problem, let maybeSent, let details):
                .network(problem: NetworkProblem(problem), maybeSent: maybeSent, details: ErrorDetails(details))
            case .invalidResponse(let what, let details): .invalidResponse(what: what, details: ErrorDetails(details))
            case .tokenRejected(let check, let details): .tokenRejected(check: check, details: ErrorDetails(details))
            case .configuration(let what, let details): .configuration(what: what, details: ErrorDetails(details))
            case .unsupported(let what, let details): .unsupported(what: what, details: ErrorDetails(details))
            case .passkey(let problem, let details): .passkey(problem: PasskeyProblem(problem), details: ErrorDetails(details))
            case .cancelled(let details): .cancelled(details: ErrorDetails(details))
            case .busy(let details): .busy(details: ErrorDetails(details))
            case .server(let status, let code, let details):
                .server(status: Int(status), code: code, details: ErrorDetails(details))
            case .internal(let details): .internal(details: ErrorDetails(details))
            }
    }
}

extension ErrorDetails {
    init(_ core: CoreErrorDetails) {
        self.init(
            core.text, Remedy(core.remedy), isRetryable: core.isRetryable, requestID: core.requestId,
            transactionID: core.transactionId, hint: core.hint.map(Hint.init), serverText: core.serverText.map(ServerText.init))
    }
}

extension ServerText {
    init(_ core: CoreServerText) {
        self.init(text: core.text, uri: core.uri, secondCode: core.secondCode, causes: core.causes)
    }
}

extension Remedy {
    init(_ core: CoreRemedy) {
        self =
            switch core {
            case .askAgain: .askAgain
            case .chooseAnother: .chooseAnother
            case .startOver: .startOver
            case .wait(let until): .wait(until: until)
            case .signInAgain: .signInAgain
            case .openBrowser: .openBrowser
            case .checkConnection: .checkConnection
            case .unlock: .unlock
            case .contactSupport: .contactSupport
            case .fixConfiguration: .fixConfiguration
            case .ignore: .ignore
            }
    }
}

extension Hint {
    init(_ core: CoreHint) {
        self =
            switch core {
            case .passwordExpired: .passwordExpired
            case .secondFactorNotEnabled: .secondFactorNotEnabled
            }
    }
}

extension EndReason {
    init(_ core: CoreEndReason) {
        self =
            switch core {
            case .signedOut: .signedOut
            case .replaced: .replaced
            case .refreshTokenRefused: .refreshTokenRefused
            case .refreshInterrupted: .refreshInterrupted
            case .subjectChanged: .subjectChanged
            }
    }
}

extension StorageProblem {
    init(_ core: CoreStorageProblem) {
        self =
            switch core {
            case .locked: .locked
            case .needsUser: .needsUser
            case .userCancelled: .userCancelled
            case .transient: .transient
            case .foreign: .foreign
            case .corrupt: .corrupt
            case .keyMissing: .keyMissing
            case .keyDestroyed: .keyDestroyed
            case .newerVersion: .newerVersion
            }
    }
}

extension KeyProblem {
    init(_ core: CoreKeyProblem) {
        self =
            switch core {
            case .locked: .locked
            case .needsUser: .needsUser
            case .userCancelled: .userCancelled
            case .transient: .transient
            case .missing: .missing
            case .destroyed: .destroyed
            case .changed: .changed
            case .unsupported: .unsupported
            }
    }
}

extension NetworkProblem {
    init(_ core: CoreNetworkProblem) {
        self =
            switch core {
            case .connect: .connect
            case .tls: .tls
            case .timeout: .timeout
            case .interrupted: .interrupted
            case .captivePortal: .captivePortal
            case .pin: .pin
            case .proxy: .proxy
            }
    }
}

extension PasskeyProblem {
    init(_ core: CorePasskeyProblem) {
        self =
            switch core {
            case .malformed: .malformed
            case .otherChallenge: .otherChallenge
            case .otherCredential: .otherCredential
            case .otherRelyingParty: .otherRelyingParty
            }
    }
}

// --- steps and sessions

extension Factor {
    init(_ core: CoreFactor) {
        self =
            switch core {
            case .otp: .otp
            case .push: .push
            case .sms: .sms
            case .voice: .voice
            case .email: .email
            case .passkey: .passkey
            }
    }

    var forCore: CoreFactor {
        switch self {
        case .otp: .otp
        case .push: .push
        case .sms: .sms
        case .voice: .voice
        case .email: .email
        case .passkey: .passkey
        }
    }
}

extension EnrolledPasskey {
    init(_ core: CoreEnrolledPasskey) {
        self.init(id: core.id, name: core.name)
    }
}

extension SessionInfo {
    init(_ core: CoreSessionInfo) {
        self.init(id: core.id, username: core.username, isDefault: core.isDefault)
    }
}

extension Advice {
    init(_ core: CoreAdvice) {
        self =
            switch core {
            case .proceed: .proceed
            case .retry: .retry
            case .stepUp(let acrValues, let maxAge): .stepUp(StepUpRequired(acrValues: acrValues, maxAge: maxAge))
            case .signInAgain: .signInAgain
            }
    }
}

extension SessionToken {
    var forCore: CoreSessionToken {
        switch self {
        case .access: .access
        case .refresh: .refresh
        }
    }
}

extension SignOutResult {
    init(_ core: CoreSignOutResult) {
        self.init(server: ServerSignOut(core.server), device: DeviceSignOut(core.device))
    }
}

extension ServerSignOut {
    init(_ core: CoreServerSignOut) {
        self =
            switch core {
            case .revoked: .revoked
            case .pending: .pending
            case .failed: .failed
            case .unsupported: .unsupported
            }
    }
}

extension DeviceSignOut {
    init(_ core: CoreDeviceSignOut) {
        self =
            switch core {
            case .deleted: .deleted
            case .tombstoned: .tombstoned
            }
    }
}

// --- events and logs

extension AuditEvent {
    init(_ core: CoreAuditEvent) {
        self.init(
            at: core.at, issuer: core.issuer, clientID: core.clientId, transactionID: core.transactionId, user: core.user,
            kind: AuditKind(core.kind), droppedBefore: core.droppedBefore)
    }
}

extension AuditKind {
    init(_ core: CoreAuditKind) {
        self =
            switch core {
            case .attemptStarted(let attempt): .attemptStarted(Attempt(attempt))
            case .attemptFinished(let attempt, let outcome, let status, let requestID, let duration, let retries):
                .attemptFinished(
                    Attempt(attempt), outcome: outcome, status: status.map(Int.init), requestID: requestID, duration: duration,
                    retries: Int(retries))
            case .sessionStarted(let id): .sessionStarted(sessionID: id)
            case .sessionSteppedUp(let id): .sessionSteppedUp(sessionID: id)
            case .sessionEnded(let id, let reason): .sessionEnded(sessionID: id, reason: EndReason(reason))
            case .signedOut(let id, let server, let deleted):
                .signedOut(sessionID: id, server: ServerSignOut(server), deleted: deleted)
            case .security(let event): .security(SecurityEvent(event))
            case .other(let what): .other(what)
            }
    }
}

extension Attempt {
    init(_ core: CoreAttempt) {
        self =
            switch core {
            case .password: .password
            case .otp: .otp
            case .secondFactorOtp: .secondFactorOTP
            case .send(let factor): .send(Factor(factor))
            case .code(let factor): .code(Factor(factor))
            case .passkey: .passkey
            case .newPassword: .newPassword
            case .approval: .approval
            case .refresh: .refresh
            case .revocation: .revocation
            case .other: .other
            }
    }
}

extension SecurityEvent {
    init(_ core: CoreSecurityEvent) {
        self =
            switch core {
            case .tokenRejected(let check): .tokenRejected(check: check)
            case .issuerMismatch: .issuerMismatch
            case .redirectBlocked: .redirectBlocked
            case .notBound: .notBound
            case .keyUnavailable(let problem): .keyUnavailable(KeyProblem(problem))
            case .clockOffset(let seconds): .clockOffset(seconds: seconds)
            case .scopeWidened: .scopeWidened
            case .accessTokenReused: .accessTokenReused
            case .introspectionMismatch: .introspectionMismatch
            case .subjectChanged: .subjectChanged
            case .refreshTokenRefused: .refreshTokenRefused
            case .refreshReuseSuspected: .refreshReuseSuspected
            case .lateTokensRevoked: .lateTokensRevoked
            case .revocationGivenUp: .revocationGivenUp
            case .notPersisted: .notPersisted
            case .notReplaced: .notReplaced
            case .staticBearerSession: .staticBearerSession
            case .headerProviderFailed(let problem): .headerProviderFailed(HeaderProblem(problem))
            case .other(let what): .other(what)
            }
    }
}

extension HeaderProblem {
    init(_ core: CoreHeaderProblem) {
        self =
            switch core {
            case .failed: .failed
            case .late: .late
            case .busy: .busy
            case .refused: .refused
            }
    }
}

extension LogLevel {
    init(_ core: CoreLogLevel) {
        self =
            switch core {
            case .error: .error
            case .warn: .warn
            case .info: .info
            case .debug: .debug
            }
    }
}
