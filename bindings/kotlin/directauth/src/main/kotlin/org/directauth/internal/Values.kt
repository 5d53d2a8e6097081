// The core's values as the app sees them.

package org.directauth.internal

import kotlin.enums.enumEntries
import kotlin.time.toKotlinDuration
import org.directauth.Advice
import org.directauth.Attempt
import org.directauth.AuditEvent
import org.directauth.AuditKind
import org.directauth.AuthException
import org.directauth.EnrolledPasskey
import org.directauth.ErrorDetails
import org.directauth.Hint
import org.directauth.Remedy
import org.directauth.SecurityEvent
import org.directauth.ServerText
import org.directauth.SessionInfo
import org.directauth.SignOutResult
import org.directauth.ffi.Advice as CoreAdvice
import org.directauth.ffi.Attempt as CoreAttempt
import org.directauth.ffi.AuditEvent as CoreAuditEvent
import org.directauth.ffi.AuditKind as CoreAuditKind
import org.directauth.ffi.AuthException as CoreException
import org.directauth.ffi.EnrolledPasskey as CoreEnrolledPasskey
import org.directauth.ffi.ErrorDetails as CoreErrorDetails
import org.directauth.ffi.Remedy as CoreRemedy
import org.directauth.ffi.SecurityEvent as CoreSecurityEvent
import org.directauth.ffi.ServerText as CoreServerText
import org.directauth.ffi.SessionInfo as CoreSessionInfo
import org.directauth.ffi.SignOutResult as CoreSignOutResult

/**
 * The value of the same name in the other language's enum: both have the same ones, which a test compares. Not by `valueOf`, which looks
 * for a method that R8 takes away.
 */
internal inline fun <reified T : Enum<T>> Enum<*>.like(): T = enumEntries<T>().first { it.name == name }

internal fun CoreException.forApp(): AuthException =
    when (this) {
        is CoreException.Rejected -> AuthException.Rejected(details.forApp())
        is CoreException.Declined -> AuthException.Declined(details.forApp())
        is CoreException.NotAllowed -> AuthException.NotAllowed(code, details.forApp())
        is CoreException.Expired -> AuthException.Expired(details.forApp())
        is CoreException.TooManyAttempts -> AuthException.TooManyAttempts(details.forApp())
        is CoreException.RateLimited -> AuthException.RateLimited(retryAt, details.forApp())
        is CoreException.BrowserRequired -> AuthException.BrowserRequired(reason, details.forApp())
        is CoreException.ReauthRequired -> AuthException.ReauthRequired(reason, details.forApp())
        is CoreException.SessionEnded -> AuthException.SessionEnded(reason.like(), details.forApp())
        is CoreException.StorageUnavailable -> AuthException.StorageUnavailable(reason.like(), details.forApp())
        is CoreException.KeyUnavailable -> AuthException.KeyUnavailable(reason.like(), details.forApp())
        is CoreException.Network -> AuthException.Network(problem.like(), maybeSent, details.forApp())
        is CoreException.InvalidResponse -> AuthException.InvalidResponse(what, details.forApp())
        is CoreException.TokenRejected -> AuthException.TokenRejected(check, details.forApp())
        is CoreException.Configuration -> AuthException.Configuration(what, details.forApp())
        is CoreException.Unsupported -> AuthException.Unsupported(what, details.forApp())
        is CoreException.Passkey -> AuthException.Passkey(problem.like(), details.forApp())
        is CoreException.Cancelled -> AuthException.Cancelled(details.forApp())
        is CoreException.Busy -> AuthException.Busy(details.forApp())
        is CoreException.Server -> AuthException.Server(status, code, details.forApp())
        is CoreException.Internal -> AuthException.Internal(details.forApp())
    }

private fun CoreErrorDetails.forApp() =
    ErrorDetails(text, remedy.forApp(), isRetryable, requestId, transactionId, hint?.like<Hint>(), serverText?.forApp())

private fun CoreServerText.forApp() = ServerText(text, uri, secondCode, causes)

private fun CoreRemedy.forApp(): Remedy =
    when (this) {
        CoreRemedy.AskAgain -> Remedy.AskAgain
        CoreRemedy.ChooseAnother -> Remedy.ChooseAnother
        CoreRemedy.StartOver -> Remedy.StartOver
        is CoreRemedy.Wait -> Remedy.Wait(until)
        CoreRemedy.SignInAgain -> Remedy.SignInAgain
        CoreRemedy.OpenBrowser -> Remedy.OpenBrowser
        CoreRemedy.CheckConnection -> Remedy.CheckConnection
        CoreRemedy.Unlock -> Remedy.Unlock
        CoreRemedy.ContactSupport -> Remedy.ContactSupport
        CoreRemedy.FixConfiguration -> Remedy.FixConfiguration
        CoreRemedy.Ignore -> Remedy.Ignore
    }

internal fun CoreAdvice.forApp(): Advice =
    when (this) {
        CoreAdvice.Proceed -> Advice.Proceed
        CoreAdvice.Retry -> Advice.Retry
        is CoreAdvice.StepUp -> Advice.StepUp(acrValues, maxAge?.toKotlinDuration())
        CoreAdvice.SignInAgain -> Advice.SignInAgain
    }

internal fun CoreSessionInfo.forApp() = SessionInfo(id, username, isDefault)

internal fun CoreSignOutResult.forApp() = SignOutResult(server.like(), device.like())

internal fun CoreEnrolledPasskey.forApp() = EnrolledPasskey(id, name)

internal fun CoreAuditEvent.forApp() = AuditEvent(at, issuer, clientId, transactionId, user, kind.forApp(), droppedBefore)

private fun CoreAuditKind.forApp(): AuditKind =
    when (this) {
        is CoreAuditKind.AttemptStarted -> AuditKind.AttemptStarted(attempt.forApp())
        is CoreAuditKind.AttemptFinished ->
            AuditKind.AttemptFinished(attempt.forApp(), outcome, status, requestId, duration.toKotlinDuration(), retries)
        is CoreAuditKind.SessionStarted -> AuditKind.SessionStarted(sessionId)
        is CoreAuditKind.SessionSteppedUp -> AuditKind.SessionSteppedUp(sessionId)
        is CoreAuditKind.SessionEnded -> AuditKind.SessionEnded(sessionId, reason.like())
        is CoreAuditKind.SignedOut -> AuditKind.SignedOut(sessionId, server.like(), deleted)
        is CoreAuditKind.Security -> AuditKind.Security(event.forApp())
        is CoreAuditKind.Other -> AuditKind.Other(what)
    }

private fun CoreAttempt.forApp(): Attempt =
    when (this) {
        CoreAttempt.Password -> Attempt.Password
        CoreAttempt.Otp -> Attempt.Otp
        CoreAttempt.SecondFactorOtp -> Attempt.SecondFactorOtp
        is CoreAttempt.Send -> Attempt.Send(factor.like())
        is CoreAttempt.Code -> Attempt.Code(factor.like())
        CoreAttempt.Passkey -> Attempt.Passkey
        CoreAttempt.NewPassword -> Attempt.NewPassword
        CoreAttempt.Approval -> Attempt.Approval
        CoreAttempt.Refresh -> Attempt.Refresh
        CoreAttempt.Revocation -> Attempt.Revocation
        CoreAttempt.Other -> Attempt.Other
    }

private fun CoreSecurityEvent.forApp(): SecurityEvent =
    when (this) {
        is CoreSecurityEvent.TokenRejected -> SecurityEvent.TokenRejected(check)
        CoreSecurityEvent.IssuerMismatch -> SecurityEvent.IssuerMismatch
        CoreSecurityEvent.RedirectBlocked -> SecurityEvent.RedirectBlocked
        CoreSecurityEvent.NotBound -> SecurityEvent.NotBound
        is CoreSecurityEvent.KeyUnavailable -> SecurityEvent.KeyUnavailable(problem.like())
        is CoreSecurityEvent.ClockOffset -> SecurityEvent.ClockOffset(seconds)
        CoreSecurityEvent.ScopeWidened -> SecurityEvent.ScopeWidened
        CoreSecurityEvent.AccessTokenReused -> SecurityEvent.AccessTokenReused
        CoreSecurityEvent.IntrospectionMismatch -> SecurityEvent.IntrospectionMismatch
        CoreSecurityEvent.SubjectChanged -> SecurityEvent.SubjectChanged
        CoreSecurityEvent.RefreshTokenRefused -> SecurityEvent.RefreshTokenRefused
        CoreSecurityEvent.RefreshReuseSuspected -> SecurityEvent.RefreshReuseSuspected
        CoreSecurityEvent.LateTokensRevoked -> SecurityEvent.LateTokensRevoked
        CoreSecurityEvent.RevocationGivenUp -> SecurityEvent.RevocationGivenUp
        CoreSecurityEvent.NotPersisted -> SecurityEvent.NotPersisted
        CoreSecurityEvent.NotReplaced -> SecurityEvent.NotReplaced
        CoreSecurityEvent.StaticBearerSession -> SecurityEvent.StaticBearerSession
        is CoreSecurityEvent.HeaderProviderFailed -> SecurityEvent.HeaderProviderFailed(problem.like())
        is CoreSecurityEvent.Other -> SecurityEvent.Other(what)
    }
