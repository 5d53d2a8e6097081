//! What the app's log hears of a sign-in's requests, and what counts of them.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::Transaction;
use crate::audit::{Attempt, AuditKind, SecurityEvent};
use crate::context::{Abandoned, Outcome};
use crate::env::BootInstant;
use crate::error::{Code, Kind, ResponseDefect};
use crate::wire::answer::{Failure, Why};

/// The polls of one wait, from the first that was sent.
pub(super) struct Series {
    began: BootInstant,
    polls: u32,
}

impl Transaction {
    pub(super) async fn report<T>(
        &self,
        attempt: Attempt,
        abandoned: &Abandoned,
        work: impl Future<Output = Result<(T, Option<Code>), Failure>>,
    ) -> Result<T, Failure> {
        let clock = &self.context.env.clock;
        let began = clock.boot();
        if attempt != Attempt::Approval || self.poll_is_first() {
            self.context.auditor.record(self.trail(), AuditKind::AttemptStarted { attempt });
        }
        // A cancelled or dropped sign-in sends nothing new.
        let gone = !self.is_wanted(abandoned);
        let result = if gone { Err(Failure::local(Kind::Cancelled)) } else { work.await };
        self.on_the_wire.store(false, Ordering::SeqCst);
        if let Attempt::Password | Attempt::Otp = attempt {
            self.count_first_factor(&result);
        }
        // A series of polls goes on; its end is reported by who knows that it is one.
        let goes_on = attempt == Attempt::Approval
            && matches!(
                &result,
                Err(Failure { why: Why::Pending | Why::SlowDown | Why::RateLimited(_) | Why::NoAnswer { .. }, .. })
            );
        if !goes_on {
            let outcome = Outcome::of(result.as_ref().map(|(_, request_id)| (200, request_id.clone())));
            if attempt == Attempt::Approval {
                self.polls_end(outcome);
            } else {
                self.context.attempt_finished(self.trail(), attempt, began, outcome, 0);
            }
            if let Err(Failure { why: Why::Fatal(Kind::InvalidResponse { what: ResponseDefect::Redirect }), .. }) =
                &result
            {
                self.context.auditor.security(self.trail(), SecurityEvent::RedirectBlocked);
            }
        }
        result.map(|(value, _)| value)
    }

    /// Counts what the server refused or took of what a user typed first (LIM-2), also if nobody waits for it any more.
    fn count_first_factor<T>(&self, result: &Result<T, Failure>) {
        let mut attempts = self.sign_ins.attempts();
        match result {
            Ok(_) | Err(Failure { why: Why::MoreAssurance(_), .. }) => attempts.accepted(&self.username),
            Err(Failure { why: Why::Refused, .. }) => attempts.refused(&self.username),
            Err(_) => {}
        }
    }

    /// A poll is about to be sent; whether it is the first of its series.
    fn poll_is_first(&self) -> bool {
        let now = self.context.env.clock.boot();
        let mut series = self.series();
        let series = series.get_or_insert(Series { began: now, polls: 0 });
        series.polls = series.polls.saturating_add(1);
        series.polls == 1
    }

    /// A series of polls ends, if one was begun.
    pub(in crate::flow) fn polls_end(&self, outcome: Outcome) {
        let Some(Series { began, polls }) = self.series().take() else { return };
        self.context.attempt_finished(self.trail(), Attempt::Approval, began, outcome, polls.saturating_sub(1));
    }

    fn series(&self) -> MutexGuard<'_, Option<Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
