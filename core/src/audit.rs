//! What happened, for the app's own log: structured events without secrets and without user names.
//!
//! protocol.md §8.5. A sink that is slow or fails loses events, never a sign-in: the queue is bounded, drops are counted.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Factor;
use crate::env::Spawner;
use crate::error::{Code, TokenCheck};

/// One event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The random id of the sign-in or refresh that this belongs to.
    pub transaction_id: Code,
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
    /// A poll for a prompt. Only the last one of a series is reported.
    Approval,
    /// A refresh.
    Refresh,
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
    /// The device's clock is off by more than the tolerance.
    ClockOffset {
        /// Seconds by which the server is ahead.
        seconds: i64,
    },
    /// More scopes were granted than asked for.
    ScopeWidened,
    /// A refresh answered for another user.
    SubjectChanged,
    /// The newest refresh token was refused.
    RefreshTokenRefused,
    /// Tokens arrived for a sign-in that was cancelled, and were revoked.
    LateTokensRevoked,
    /// A session could not be stored.
    NotPersisted,
    /// An earlier session could not be read at a sign-in, and is replaced later.
    NotReplaced,
    /// A session is neither rotated nor bound to a key (TOK-2).
    StaticBearerSession,
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
pub(crate) struct Auditor {
    sink: Option<Arc<dyn AuditSink>>,
    spawner: Arc<dyn Spawner>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<AuditEvent>,
    dropped: u64,
    draining: bool,
}

const MAX_QUEUED: usize = 256;

impl Auditor {
    pub(crate) fn new(sink: Option<Arc<dyn AuditSink>>, spawner: Arc<dyn Spawner>) -> Self {
        Self { sink, spawner, queue: Arc::default() }
    }

    pub(crate) fn record(&self, transaction_id: &Code, kind: AuditKind) {
        tracing::debug!(target: "directauth", transaction = %transaction_id, event = ?kind);
        let Some(sink) = &self.sink else { return };
        let mut queue = lock(&self.queue);
        if queue.events.len() >= MAX_QUEUED {
            queue.dropped = queue.dropped.saturating_add(1);
            return;
        }
        let event = AuditEvent { transaction_id: transaction_id.clone(), kind, dropped_before: 0 };
        queue.events.push_back(event);
        let idle = !core::mem::replace(&mut queue.draining, true);
        drop(queue);
        if idle {
            let (sink, queue) = (Arc::clone(sink), Arc::clone(&self.queue));
            self.spawner.spawn_blocking(Box::pin(async move { drain(&*sink, &queue) }));
        }
    }

    pub(crate) fn security(&self, transaction_id: &Code, event: SecurityEvent) {
        self.record(transaction_id, AuditKind::Security(event));
    }
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
    use crate::env::BoxFuture;
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

    fn event() -> AuditKind {
        AuditKind::Security(SecurityEvent::NotPersisted)
    }

    #[test]
    fn a_sink_that_fails_or_panics_loses_events_and_nothing_else() {
        let sink = Arc::new(Flaky::default());
        let auditor = Auditor::new(Some(Arc::clone(&sink) as Arc<dyn AuditSink>), Arc::new(Here));
        for _ in 0..3 {
            auditor.record(&Code::of("t"), event());
        }
        assert_eq!(sink.calls.load(Ordering::SeqCst), 3);
        assert!(sink.dropped.load(Ordering::SeqCst) >= 2, "the third event tells of the two that were lost");
    }

    #[test]
    fn the_queue_is_bounded_and_counts_what_it_drops() {
        let auditor = Auditor::new(Some(Arc::new(Flaky::default())), Arc::new(Never));
        for _ in 0..MAX_QUEUED + 10 {
            auditor.record(&Code::of("t"), event());
        }
        let queue = lock(&auditor.queue);
        assert_eq!((queue.events.len(), queue.dropped), (MAX_QUEUED, 10));
    }
}
