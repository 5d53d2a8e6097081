// Names: those of the app are the plain ones, those of the generated code begin with Core.

import DirectAuthAPI
internal import DirectAuthCore

typealias AuthClient = DirectAuthAPI.AuthClient
typealias AuthSession = DirectAuthAPI.AuthSession
typealias AuthState = DirectAuthAPI.AuthState
typealias AuthError = DirectAuthAPI.AuthError
typealias SignInStep = DirectAuthAPI.SignInStep
typealias SignIn = DirectAuthAPI.SignIn
typealias Recovery = DirectAuthAPI.Recovery
typealias ChooseFactor = DirectAuthAPI.ChooseFactor
typealias ApproveOnDevice = DirectAuthAPI.ApproveOnDevice
typealias EnterCode = DirectAuthAPI.EnterCode
typealias UsePasskey = DirectAuthAPI.UsePasskey
typealias ResetPassword = DirectAuthAPI.ResetPassword
typealias EnrolledPasskey = DirectAuthAPI.EnrolledPasskey
typealias SessionInfo = DirectAuthAPI.SessionInfo
typealias SessionToken = DirectAuthAPI.SessionToken
typealias Introspection = DirectAuthAPI.Introspection
typealias Claims = DirectAuthAPI.Claims
typealias HeaderField = DirectAuthAPI.HeaderField
typealias AuthorizationHeaders = DirectAuthAPI.AuthorizationHeaders
typealias Advice = DirectAuthAPI.Advice
typealias SignOutResult = DirectAuthAPI.SignOutResult
typealias ServerSignOut = DirectAuthAPI.ServerSignOut
typealias DeviceSignOut = DirectAuthAPI.DeviceSignOut
typealias ErrorDetails = DirectAuthAPI.ErrorDetails
typealias ServerText = DirectAuthAPI.ServerText
typealias Remedy = DirectAuthAPI.Remedy
typealias Hint = DirectAuthAPI.Hint
typealias EndReason = DirectAuthAPI.EndReason
typealias StorageProblem = DirectAuthAPI.StorageProblem
typealias StorageError = DirectAuthAPI.StorageError
typealias KeyProblem = DirectAuthAPI.KeyProblem
typealias KeyError = DirectAuthAPI.KeyError
typealias LockError = DirectAuthAPI.LockError
typealias NetworkProblem = DirectAuthAPI.NetworkProblem
typealias PasskeyProblem = DirectAuthAPI.PasskeyProblem
typealias HeaderProblem = DirectAuthAPI.HeaderProblem
typealias Factor = DirectAuthAPI.Factor
typealias PasskeyStart = DirectAuthAPI.PasskeyStart
typealias RecoveryRequest = DirectAuthAPI.RecoveryRequest
typealias DPoP = DirectAuthAPI.DPoP
typealias Profile = DirectAuthAPI.Profile
typealias Accounts = DirectAuthAPI.Accounts
typealias RefreshPolicy = DirectAuthAPI.RefreshPolicy
typealias WhenStorageFails = DirectAuthAPI.WhenStorageFails
typealias WiderScopes = DirectAuthAPI.WiderScopes
typealias Trust = DirectAuthAPI.Trust
typealias AuditEvent = DirectAuthAPI.AuditEvent
typealias AuditKind = DirectAuthAPI.AuditKind
typealias Attempt = DirectAuthAPI.Attempt
typealias SecurityEvent = DirectAuthAPI.SecurityEvent
typealias LogLevel = DirectAuthAPI.LogLevel
typealias SecureStorage = DirectAuthAPI.SecureStorage
typealias SigningKey = DirectAuthAPI.SigningKey
typealias CrossProcessLock = DirectAuthAPI.CrossProcessLock
typealias HeaderProvider = DirectAuthAPI.HeaderProvider
typealias AuditSink = DirectAuthAPI.AuditSink
typealias LogSink = DirectAuthAPI.LogSink

typealias CoreClient = DirectAuthCore.DirectAuthClient
typealias CoreSetup = DirectAuthCore.ClientSetup
typealias CoreConfig = DirectAuthCore.ClientConfig
typealias CoreSession = DirectAuthCore.AuthSession
typealias CoreState = DirectAuthCore.AuthState
typealias CoreError = DirectAuthCore.AuthError
typealias CoreStep = DirectAuthCore.SignInStep
typealias CoreSignIn = DirectAuthCore.SignIn
typealias CoreRecovery = DirectAuthCore.Recovery
typealias CoreChooseFactor = DirectAuthCore.ChooseFactor
typealias CoreApproveOnDevice = DirectAuthCore.ApproveOnDevice
typealias CoreEnterCode = DirectAuthCore.EnterCode
typealias CoreUsePasskey = DirectAuthCore.UsePasskey
typealias CoreResetPassword = DirectAuthCore.ResetPassword
typealias CoreHeaders = DirectAuthCore.AuthorizationHeaders
typealias CoreClaims = DirectAuthCore.Claims

/// What the core throws, as the app sees it. Whatever it throws beside its errors is a defect of the library; its text stays here.
func translated<T>(_ work: () throws -> T) throws -> T {
    do {
        return try work()
    } catch {
        throw forApp(error)
    }
}

func translated<T: Sendable>(_ work: () async throws -> sending T) async throws -> sending T {
    do {
        return try await work()
    } catch {
        throw forApp(error)
    }
}

func forApp(_ error: any Error) -> any Error {
    switch error {
    case let error as CoreError: AuthError(error)
    case is CancellationError, is AuthError: error
    default: AuthError.internal()
    }
}

/// Prints as one word, whatever is in it.
protocol Discreet: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Discreet {
    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: []) }
}
