// The generated types under names of their own: many are called as the ones that the app sees, so no other file imports both.

internal import DirectAuthCore

typealias CoreAccounts = DirectAuthCore.Accounts
typealias CoreAdvice = DirectAuthCore.Advice
typealias CoreApproveOnDevice = DirectAuthCore.ApproveOnDevice
typealias CoreAttempt = DirectAuthCore.Attempt
typealias CoreAuditEvent = DirectAuthCore.AuditEvent
typealias CoreAuditEvents = DirectAuthCore.AuditEvents

typealias CoreAuditKind = DirectAuthCore.AuditKind
typealias CoreAuditSink = DirectAuthCore.AuditSink
typealias CoreError = DirectAuthCore.AuthError
typealias CoreSession = DirectAuthCore.AuthSession
typealias CoreState = DirectAuthCore.AuthState
typealias CoreHeaders = DirectAuthCore.AuthorizationHeaders
typealias CoreChooseFactor = DirectAuthCore.ChooseFactor
typealias CoreClaims = DirectAuthCore.Claims
typealias CoreConfig = DirectAuthCore.ClientConfig
typealias CoreSetup = DirectAuthCore.ClientSetup
typealias CoreCrossProcessLock = DirectAuthCore.CrossProcessLock
typealias CoreDPoP = DirectAuthCore.DPoP
typealias CoreDeviceSignOut = DirectAuthCore.DeviceSignOut
typealias CoreClient = DirectAuthCore.DirectAuthClient
typealias CoreEndReason = DirectAuthCore.EndReason
typealias CoreEnrolledPasskey = DirectAuthCore.EnrolledPasskey
typealias CoreEnterCode = DirectAuthCore.EnterCode
typealias CoreErrorDetails = DirectAuthCore.ErrorDetails
typealias CoreFactor = DirectAuthCore.Factor
typealias CoreHeaderField = DirectAuthCore.HeaderField
typealias CoreHeaderProblem = DirectAuthCore.HeaderProblem
typealias CoreHeaderProvider = DirectAuthCore.HeaderProvider
typealias CoreHint = DirectAuthCore.Hint
typealias CoreKeyError = DirectAuthCore.KeyException
typealias CoreKeyProblem = DirectAuthCore.KeyProblem
typealias CoreLockError = DirectAuthCore.LockException
typealias CoreLogLevel = DirectAuthCore.LogLevel
typealias CoreLogSink = DirectAuthCore.LogSink
typealias CoreNetworkProblem = DirectAuthCore.NetworkProblem
typealias CorePasskeyProblem = DirectAuthCore.PasskeyProblem
typealias CorePasskeyStart = DirectAuthCore.PasskeyStart
typealias CoreProfile = DirectAuthCore.Profile
typealias CoreRecovery = DirectAuthCore.Recovery
typealias CoreRecoveryRequest = DirectAuthCore.RecoveryRequest
typealias CoreRefreshPolicy = DirectAuthCore.RefreshPolicy
typealias CoreRemedy = DirectAuthCore.Remedy
typealias CoreResetPassword = DirectAuthCore.ResetPassword
typealias CoreSecureStorage = DirectAuthCore.SecureStorage
typealias CoreSecurityEvent = DirectAuthCore.SecurityEvent
typealias CoreServerSignOut = DirectAuthCore.ServerSignOut
typealias CoreServerText = DirectAuthCore.ServerText
typealias CoreSessionInfo = DirectAuthCore.SessionInfo
typealias CoreSessionToken = DirectAuthCore.SessionToken
typealias CoreSignIn = DirectAuthCore.SignIn
typealias CoreStep = DirectAuthCore.SignInStep
typealias CoreSignOutResult = DirectAuthCore.SignOutResult
typealias CoreSigningKey = DirectAuthCore.SigningKey

typealias CoreStorageError = DirectAuthCore.StorageException
typealias CoreStorageProblem = DirectAuthCore.StorageProblem
typealias CoreTrust = DirectAuthCore.Trust
typealias CoreUsePasskey = DirectAuthCore.UsePasskey
typealias CoreWhenStorageFails = DirectAuthCore.WhenStorageFails
typealias CoreWiderScopes = DirectAuthCore.WiderScopes

func setCoreLogSink(_ sink: (any CoreLogSink)?) throws {
    try setLogSink(sink: sink)
}
