//! What happened, for the app's own log: structured events without secrets and without user names.
//!
//! protocol.md §8.5. A sink that is slow or fails loses events, never a sign-in: the queue is bounded, drops are counted.
//! Request ids and times join these events to the server's own log, which is the authoritative one: whoever controls the
//! device controls what is logged on it (AUD-6).

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use ring::hmac;

use crate::config::{Config, Factor};
use crate::env::{Clock, Environment, Spawner};
use crate::error::{Code, EndReason, KeyProblem, TokenCheck};
use crate::secret::Secret;
use crate::session::ServerSignOut;

/// One event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it happened, by the device's wall clock.
    pub at: SystemTime,
    /// The client's issuer.
    pub issuer: Arc<str>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The random id of the sign-in, refresh or session that this belongs to.
    pub transaction_id: Code,
    /// Who it is about: a keyed hash of the user name as it was typed, in lower-case hexadecimal. Only with
    /// [`audit_users`](crate::ClientBuilder::audit_users).
    pub user: Option<Code>,
    /// What happened.
    pub kind: AuditKind,
    /// Events that were dropped since the last one that arrived.
    pub dropped_before: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
        outcome: &'static str,
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
        /// The server's id of the request.
        request_id: Option<Code>,
        /// From the first byte to the outcome, on the clock that counts sleep.
        duration: Duration,
        /// How often it had been sent before: the polls before this one, or 1 for a refresh that was repeated because its
        /// answer was lost. What a user typed is never repeated.
        retries: u32,
    },
    /// A user is signed in.
    SessionStarted {
        /// The session's id.
        session_id: Code,
    },
    /// A session's user has shown more, or again: it has other tokens now.
    SessionSteppedUp {
        /// The session's id.
        session_id: Code,
    },
    /// A session is over.
    SessionEnded {
        /// The session's id.
        session_id: Code,
        /// Why.
        reason: EndReason,
    },
    /// A sign-out has done what it could.
    SignedOut {
        /// The session's id.
        session_id: Code,
        /// What the server was told.
        server: ServerSignOut,
        /// Whether the record is gone from the store.
        deleted: bool,
    },
    /// Something that a security team wants to know.
    Security(SecurityEvent),
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// The password.
    Password,
    /// A one-time code as first factor.
    Otp,
    /// A one-time code as second factor.
    SecondFactorOtp,
    /// Sending a prompt or code to the user.
    Send(Factor),
    /// A received code.
    Code(Factor),
    /// A passkey's assertion.
    Passkey,
    /// A new password, in a recovery.
    NewPassword,
    /// The polls for a prompt: started with the first, finished with the last.
    Approval,
    /// A refresh.
    Refresh,
    /// Giving a token back (RFC 7009).
    Revocation,
}

/// Something that a security team wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecurityEvent {
    /// Tokens did not pass a check.
    TokenRejected {
        /// Which check.
        check: TokenCheck,
    },
    /// The server calls itself by another name.
    IssuerMismatch,
    /// The server tried to redirect a request.
    RedirectBlocked,
    /// The server answered a proof with bearer tokens, and they were taken ([`DPoP::Preferred`](crate::DPoP::Preferred), row
    /// 89).
    NotBound,
    /// The key that a session is bound to cannot be used any more. Nothing was ended by that (rows 273–274).
    KeyUnavailable {
        /// What the platform reported.
        problem: KeyProblem,
    },
    /// The device's clock is off by more than the tolerance.
    ClockOffset {
        /// Seconds by which the server is ahead.
        seconds: i64,
    },
    /// More scopes were granted than asked for (row 97).
    ScopeWidened,
    /// An answer brought the access token of another session, or again one that has expired (rows 100, 102).
    AccessTokenReused,
    /// The server says that a token of this session is another client's or user's (row 313).
    IntrospectionMismatch,
    /// A refresh answered for another user.
    SubjectChanged,
    /// The newest refresh token was refused.
    RefreshTokenRefused,
    /// It was refused although the server rotates tokens and its access token had not expired: perhaps somebody else used a
    /// copy of it, and the server's reuse detection ended the grant (protocol.md §4).
    RefreshReuseSuspected,
    /// Tokens arrived for a sign-in that was cancelled, and were revoked.
    LateTokensRevoked,
    /// A token was never revoked: the server could not be reached for a day. It ends by itself.
    RevocationGivenUp,
    /// A session could not be stored.
    NotPersisted,
    /// An earlier session could not be read at a sign-in, and is replaced later.
    NotReplaced,
    /// A session is neither rotated nor bound to a key (TOK-2).
    StaticBearerSession,
    /// A request went without some or all of what the app's header provider had to give. The event has an id of its own: a
    /// request can serve several sign-ins.
    HeaderProviderFailed {
        /// What went wrong.
        problem: HeaderProblem,
    },
}

/// Why a request went without headers of the app's [`HeaderProvider`](crate::HeaderProvider).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// It reported an error, or panicked.
    Failed,
    /// It needed longer than 2 s.
    Late,
    /// It was not asked, because as many calls as allowed (16) are still under way.
    Busy,
    /// Some of its headers are reserved, malformed, repeated or too many; the others were sent.
    Refused,
}

/// Where events go.
pub trait AuditSink: Send + Sync {
    /// Takes one event, on a background thread.
    ///
    /// # Errors
    /// An error counts as a dropped event and changes nothing else.
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError>;
}

/// The sink could not take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit sink did not take the event")]
pub struct SinkError;

/// The bounded queue before the sink.
#[derive(Clone)]
pub(crate) struct Auditor {
    sink: Option<Arc<dyn AuditSink>>,
    salt: Option<hmac::Key>,
    issuer: Arc<str>,
    client_id: Arc<str>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    queue: Arc<Mutex<Queue>>,
}

/// What an event belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    /// The id of the sign-in, refresh or session.
    pub(crate) id: &'a Code,
    /// The user name as it was typed, or empty for what belongs to nobody; only its keyed hash goes into an event, and only
    /// if the app wants it.
    pub(crate) user: &'a str,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<AuditEvent>,
    dropped: u64,
    draining: bool,
}

const MAX_QUEUED: usize = 256;

impl Auditor {
    /// `salt`: the key under which user names are hashed, if the app wants them.
    pub(crate) fn new(
        sink: Option<Arc<dyn AuditSink>>,
        salt: Option<&Secret>,
        config: &Config,
        env: &Environment,
    ) -> Self {
        Self {
            sink,
            // EXPOSE: becomes the key of the hash.
            salt: salt.map(|salt| hmac::Key::new(hmac::HMAC_SHA256, salt.expose().as_bytes())),
            issuer: config.issuer.as_str().into(),
            client_id: config.client_id.as_str().into(),
            clock: Arc::clone(&env.clock),
            spawner: Arc::clone(&env.spawner),
            queue: Arc::default(),
        }
    }

    /// The same log for a client at another issuer.
    pub(crate) fn at(&self, config: &Config) -> Self {
        Self { issuer: config.issuer.as_str().into(), ..self.clone() }
    }

    pub(crate) fn record(&self, trail: Trail<'_>, kind: AuditKind) {
        tracing::debug!(target: "directauth", transaction = %trail.id, event = ?kind);
        let Some(sink) = &self.sink else { return };
        let mut queue = lock(&self.queue);
        if queue.events.len() >= MAX_QUEUED {
            queue.dropped = queue.dropped.saturating_add(1);
            return;
        }
        let event = AuditEvent {
            at: self.clock.wall().to_system_time(),
            issuer: Arc::clone(&self.issuer),
            client_id: Arc::clone(&self.client_id),
            transaction_id: trail.id.clone(),
            user: self.salt.as_ref().filter(|_| !trail.user.is_empty()).and_then(|salt| hash(salt, trail.user)),
            kind,
            dropped_before: 0,
        };
        queue.events.push_back(event);
        let idle = !core::mem::replace(&mut queue.draining, true);
        drop(queue);
        if idle {
            let (sink, queue) = (Arc::clone(sink), Arc::clone(&self.queue));
            self.spawner.spawn_blocking(Box::pin(async move { drain(&*sink, &queue) }));
        }
    }

    pub(crate) fn security(&self, trail: Trail<'_>, event: SecurityEvent) {
        self.record(trail, AuditKind::Security(event));
    }
}

/// HMAC-SHA-256 of a user name, cut to 128 bits: enough to tell users of one app apart, useless without the key.
fn hash(salt: &hmac::Key, user: &str) -> Option<Code> {
    let tag = hmac::sign(salt, user.as_bytes());
    Code::parse(&HEXLOWER.encode(tag.as_ref().get(..16)?))
}

fn drain(sink: &dyn AuditSink, queue: &Mutex<Queue>) {
    loop {
        let mut event = {
            let mut queue = lock(queue);
            let Some(event) = queue.events.pop_front() else {
                queue.draining = false;
                return;
            };
            AuditEvent { dropped_before: core::mem::take(&mut queue.dropped), ..event }
        };
        // A sink that panics loses this event; the guard below it is the thread's own.
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sink.record(&event)));
        if !matches!(taken, Ok(Ok(()))) {
            event.dropped_before = event.dropped_before.saturating_add(1);
            let mut queue = lock(queue);
            queue.dropped = queue.dropped.saturating_add(event.dropped_before);
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::env::{BoxFuture, NetworkOptions};
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Here;
    impl Spawner for Here {
        fn spawn(&self, _: BoxFuture<'static, ()>) {}
        fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
            assert!(task.now_or_never().is_some());
        }
    }

    struct Never;
    impl Spawner for Never {
        fn spawn(&self, _: BoxFuture<'static, ()>) {}
        fn spawn_blocking(&self, _: BoxFuture<'static, ()>) {}
    }

    #[derive(Default)]
    struct Flaky {
        calls: AtomicUsize,
        dropped: AtomicUsize,
    }
    impl AuditSink for Flaky {
        fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
            self.dropped.fetch_add(event.dropped_before as usize, Ordering::SeqCst);
            match self.calls.fetch_add(1, Ordering::SeqCst) {
                0 => Err(SinkError),
                1 => panic!("a sink's own defect"),
                _ => Ok(()),
            }
        }
    }

    fn auditor(sink: Arc<dyn AuditSink>, spawner: Arc<dyn Spawner>, salt: Option<&Secret>) -> Auditor {
        let options = NetworkOptions { trust: crate::Trust::Bundled, ..NetworkOptions::default() };
        Auditor::new(Some(sink), salt, &config(), &Environment { spawner, ..Environment::system(options) })
    }

    fn trail(id: &Code) -> Trail<'_> {
        Trail { id, user: "ana@example.com" }
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<AuditEvent>>);
    impl AuditSink for Kept {
        fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
            self.0.lock().map_err(|_| SinkError)?.push(event.clone());
            Ok(())
        }
    }

    #[test]
    fn users_are_told_apart_by_a_keyed_hash_and_only_if_the_app_wants_it() {
        let user_of = |salt: Option<&str>, user| {
            let sink = Arc::new(Kept::default());
            let salt = salt.map(Secret::from);
            let auditor = auditor(Arc::clone(&sink) as Arc<dyn AuditSink>, Arc::new(Here), salt.as_ref());
            auditor.record(Trail { id: &Code::of("t"), user }, event());
            let events = sink.0.lock().unwrap();
            assert_eq!((&*events[0].issuer, &*events[0].client_id), ("https://a.example/oauth2/x", "id"));
            events[0].user.clone().map(|user| user.as_str().to_owned())
        };
        assert_eq!(user_of(None, "ana@example.com"), None);
        let ana = user_of(Some("salt"), "ana@example.com").unwrap();
        assert_eq!(ana.len(), 32);
        assert_eq!(user_of(Some("salt"), "ana@example.com").unwrap(), ana);
        assert_ne!(user_of(Some("salt"), "ben@example.com").unwrap(), ana);
        assert_ne!(user_of(Some("pepper"), "ana@example.com").unwrap(), ana);
    }

    fn event() -> AuditKind {
        AuditKind::Security(SecurityEvent::NotPersisted)
    }

    #[test]
    fn a_sink_that_fails_or_panics_loses_events_and_nothing_else() {
        let sink = Arc::new(Flaky::default());
        let auditor = auditor(Arc::clone(&sink) as Arc<dyn AuditSink>, Arc::new(Here), None);
        for _ in 0..3 {
            auditor.record(trail(&Code::of("t")), event());
        }
        assert_eq!(sink.calls.load(Ordering::SeqCst), 3);
        assert!(sink.dropped.load(Ordering::SeqCst) >= 2, "the third event tells of the two that were lost");
    }

    #[test]
    fn the_queue_is_bounded_and_counts_what_it_drops() {
        let auditor = auditor(Arc::new(Flaky::default()), Arc::new(Never), None);
        for _ in 0..MAX_QUEUED + 10 {
            auditor.record(trail(&Code::of("t")), event());
        }
        let queue = lock(&auditor.queue);
        assert_eq!((queue.events.len(), queue.dropped), (MAX_QUEUED, 10));
    }
}
