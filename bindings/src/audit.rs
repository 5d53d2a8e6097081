//! Events for the app's own log. The core's documentation of `audit` holds here too.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use directauth::audit as core_audit;
use directauth::audit::SinkError;
use uniffi::UnexpectedUniFFICallbackError;

use crate::config::Factor;
use crate::error::{EndReason, KeyProblem, likeness};
use crate::events::Listeners;
use crate::session::ServerSignOut;

/// Where events go. Called on a background thread; what it throws loses that event and nothing else.
#[uniffi::export(with_foreign)]
pub trait AuditSink: Send + Sync {
    /// Takes one event.
    fn record(&self, event: AuditEvent) -> Result<(), SinkException>;
}

/// The sink could not take an event: it counts as dropped, and nothing else changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum SinkException {
    /// Whatever the reason.
    #[error("the sink did not take it")]
    Failed,
}

impl From<UnexpectedUniFFICallbackError> for SinkException {
    fn from(_: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

/// The app's sink, if it has one, and the queues of its listeners, as the core calls them.
pub(crate) struct Sinks {
    pub(crate) foreign: Option<Arc<dyn AuditSink>>,
    /// Events that the app's sink did not take: they are its own loss and not the listeners'.
    pub(crate) lost: AtomicI64,
    pub(crate) listeners: Listeners,
}

impl core_audit::AuditSink for Sinks {
    fn record(&self, event: &core_audit::AuditEvent) -> Result<(), SinkError> {
        let mut event = AuditEvent::from(event);
        self.listeners.tell(&event);
        let Some(sink) = &self.foreign else { return Ok(()) };
        // Called by one thread at a time, in order.
        let lost = self.lost.load(Ordering::SeqCst).saturating_add(event.dropped_before);
        event.dropped_before = lost;
        let taken = sink.record(event).is_ok();
        self.lost.store(if taken { 0 } else { lost.saturating_add(1) }, Ordering::SeqCst);
        Ok(())
    }
}

/// One event, without secrets and without user names.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct AuditEvent {
    /// When it happened, by the device's wall clock.
    pub at: SystemTime,
    /// The client's issuer.
    pub issuer: String,
    /// The client's id.
    pub client_id: String,
    /// The random id of the sign-in, refresh or session that this belongs to.
    pub transaction_id: String,
    /// Who it is about: a keyed hash of the user name, if the app gave a key for that.
    pub user: Option<String>,
    /// What happened.
    pub kind: AuditKind,
    /// Events that were dropped since the last one that arrived.
    pub dropped_before: i64,
}

impl From<&core_audit::AuditEvent> for AuditEvent {
    fn from(event: &core_audit::AuditEvent) -> Self {
        Self {
            at: event.at,
            issuer: event.issuer.to_string(),
            client_id: event.client_id.to_string(),
            transaction_id: event.transaction_id.to_string(),
            user: event.user.as_ref().map(ToString::to_string),
            kind: (&event.kind).into(),
            dropped_before: i64::try_from(event.dropped_before).unwrap_or(i64::MAX),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum AuditKind {
    /// A credential, code, challenge or refresh is about to be sent.
    AttemptStarted {
        /// What is attempted.
        attempt: Attempt,
    },
    /// It has ended.
    AttemptFinished {
        /// What was attempted.
        attempt: Attempt,
        /// How it ended: `Success`, `MoreAssurance`, `Refused`, or an error's kind by its name.
        outcome: String,
        /// The HTTP status, if there was an answer.
        status: Option<i32>,
        /// The server's id of the request.
        request_id: Option<String>,
        /// From the first byte to the outcome.
        duration: Duration,
        /// How often it had been sent before.
        retries: i32,
    },
    /// A user is signed in.
    SessionStarted {
        /// The session's id.
        session_id: String,
    },
    /// A session's user has shown more, or again.
    SessionSteppedUp {
        /// The session's id.
        session_id: String,
    },
    /// A session is over.
    SessionEnded {
        /// The session's id.
        session_id: String,
        /// Why.
        reason: EndReason,
    },
    /// A sign-out has done what it could.
    SignedOut {
        /// The session's id.
        session_id: String,
        /// What the server was told.
        server: ServerSignOut,
        /// Whether the record is gone from the storage.
        deleted: bool,
    },
    /// Something that a security team wants to know.
    Security {
        /// What.
        event: SecurityEvent,
    },
    /// What a newer core may add.
    Other {
        /// As the core prints it.
        what: String,
    },
}

impl From<&core_audit::AuditKind> for AuditKind {
    fn from(kind: &core_audit::AuditKind) -> Self {
        use core_audit::AuditKind as Core;
        match kind {
            Core::AttemptStarted { attempt } => Self::AttemptStarted { attempt: (*attempt).into() },
            Core::AttemptFinished { attempt, outcome, status, request_id, duration, retries } => {
                Self::AttemptFinished {
                    attempt: (*attempt).into(),
                    outcome: (*outcome).to_owned(),
                    status: status.map(i32::from),
                    request_id: request_id.as_ref().map(ToString::to_string),
                    duration: *duration,
                    retries: i32::try_from(*retries).unwrap_or(i32::MAX),
                }
            }
            Core::SessionStarted { session_id } => Self::SessionStarted { session_id: session_id.to_string() },
            Core::SessionSteppedUp { session_id } => Self::SessionSteppedUp { session_id: session_id.to_string() },
            Core::SessionEnded { session_id, reason } => {
                Self::SessionEnded { session_id: session_id.to_string(), reason: (*reason).into() }
            }
            Core::SignedOut { session_id, server, deleted } => {
                Self::SignedOut { session_id: session_id.to_string(), server: (*server).into(), deleted: *deleted }
            }
            Core::Security(event) => Self::Security { event: event.into() },
            other => Self::Other { what: format!("{other:?}") },
        }
    }
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Attempt {
    /// The password.
    Password,
    /// A one-time code as first factor.
    Otp,
    /// A one-time code as second factor.
    SecondFactorOtp,
    /// Sending a prompt or code to the user.
    Send {
        /// Of this kind.
        factor: Factor,
    },
    /// A received code.
    Code {
        /// Of this kind.
        factor: Factor,
    },
    /// A passkey's assertion.
    Passkey,
    /// A new password, in a recovery.
    NewPassword,
    /// The polls for a prompt.
    Approval,
    /// A refresh.
    Refresh,
    /// Giving a token back.
    Revocation,
    /// What a newer core may add.
    Other,
}

impl From<core_audit::Attempt> for Attempt {
    fn from(attempt: core_audit::Attempt) -> Self {
        use core_audit::Attempt as Core;
        match attempt {
            Core::Password => Self::Password,
            Core::Otp => Self::Otp,
            Core::SecondFactorOtp => Self::SecondFactorOtp,
            Core::Send(factor) => Self::Send { factor: factor.into() },
            Core::Code(factor) => Self::Code { factor: factor.into() },
            Core::Passkey => Self::Passkey,
            Core::NewPassword => Self::NewPassword,
            Core::Approval => Self::Approval,
            Core::Refresh => Self::Refresh,
            Core::Revocation => Self::Revocation,
            _ => Self::Other,
        }
    }
}

/// Something that a security team wants to know.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SecurityEvent {
    /// Tokens did not pass a check.
    TokenRejected {
        /// Which check.
        check: String,
    },
    /// The server calls itself by another name.
    IssuerMismatch,
    /// The server tried to redirect a request.
    RedirectBlocked,
    /// The server answered a proof with bearer tokens, and they were taken.
    NotBound,
    /// The key that a session is bound to cannot be used any more.
    KeyUnavailable {
        /// What the platform reported.
        problem: KeyProblem,
    },
    /// The device's clock is off by more than the tolerance.
    ClockOffset {
        /// Seconds by which the server is ahead.
        seconds: i64,
    },
    /// More scopes were granted than asked for.
    ScopeWidened,
    /// An answer brought the access token of another session, or again one that has expired.
    AccessTokenReused,
    /// The server says that a token of this session is another client's or user's.
    IntrospectionMismatch,
    /// A refresh answered for another user.
    SubjectChanged,
    /// The newest refresh token was refused.
    RefreshTokenRefused,
    /// It was refused although nobody should have used it before.
    RefreshReuseSuspected,
    /// Tokens arrived for a sign-in that was cancelled, and were revoked.
    LateTokensRevoked,
    /// A token was never revoked: the server could not be reached for a day.
    RevocationGivenUp,
    /// A session could not be stored.
    NotPersisted,
    /// An earlier session could not be read at a sign-in, and is replaced later.
    NotReplaced,
    /// A session is neither rotated nor bound to a key.
    StaticBearerSession,
    /// A request went without some or all of what the app's header provider had to give.
    HeaderProviderFailed {
        /// What went wrong.
        problem: HeaderProblem,
    },
    /// What a newer core may add.
    Other {
        /// As the core prints it.
        what: String,
    },
}

impl From<&core_audit::SecurityEvent> for SecurityEvent {
    fn from(event: &core_audit::SecurityEvent) -> Self {
        use core_audit::SecurityEvent as Core;
        match event {
            Core::TokenRejected { check } => Self::TokenRejected { check: check.to_string() },
            Core::IssuerMismatch => Self::IssuerMismatch,
            Core::RedirectBlocked => Self::RedirectBlocked,
            Core::NotBound => Self::NotBound,
            Core::KeyUnavailable { problem } => Self::KeyUnavailable { problem: (*problem).into() },
            Core::ClockOffset { seconds } => Self::ClockOffset { seconds: *seconds },
            Core::ScopeWidened => Self::ScopeWidened,
            Core::AccessTokenReused => Self::AccessTokenReused,
            Core::IntrospectionMismatch => Self::IntrospectionMismatch,
            Core::SubjectChanged => Self::SubjectChanged,
            Core::RefreshTokenRefused => Self::RefreshTokenRefused,
            Core::RefreshReuseSuspected => Self::RefreshReuseSuspected,
            Core::LateTokensRevoked => Self::LateTokensRevoked,
            Core::RevocationGivenUp => Self::RevocationGivenUp,
            Core::NotPersisted => Self::NotPersisted,
            Core::NotReplaced => Self::NotReplaced,
            Core::StaticBearerSession => Self::StaticBearerSession,
            Core::HeaderProviderFailed { problem } => Self::HeaderProviderFailed { problem: (*problem).into() },
            other => Self::Other { what: format!("{other:?}") },
        }
    }
}

likeness! {
    /// Why a request went without headers of the app's provider.
    HeaderProblem of directauth::audit::HeaderProblem, else Failed {
        /// It reported an error, or panicked.
        Failed,
        /// It needed longer than 2 s.
        Late,
        /// It was not asked, because as many calls as allowed are still under way.
        Busy,
        /// Some of its headers are reserved, malformed, repeated or too many; the others were sent.
        Refused,
    }
}
