//! When to ask again while a prompt waits on the user's device.
//!
//! protocol.md §2.2 and §2.4, rows 105–139; RFC 8628 §3.5. The interval never shrinks within a transaction, and the
//! deadline is looked at in one place.

use core::time::Duration;

use crate::env::BootInstant;
use crate::error::{Kind, NetworkProblem, Unsupported};
use crate::wire::answer::{MoreAssurance, Why};
use crate::wire::rate_limit::MAX_AUTOMATIC;

/// The state of one series of polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: Duration,
    deadline: BootInstant,
    next: BootInstant,
    /// A poll is on its way.
    out: bool,
    /// An earlier poll's answer is unknown: a refusal may be about the code that it used up.
    uncertain: bool,
    /// Web pages that came in a row instead of an answer (row 138).
    pages: u32,
}

/// What comes after one answer.
#[derive(Debug)]
pub(crate) enum Move {
    /// Wait, then poll, unless the deadline has come.
    Wait,
    /// Ask for a second factor.
    Choose(MoreAssurance),
    /// It is over.
    Stop(Kind),
}

/// RFC 8628 §3.5 and CIBA §11.
const SLOW_DOWN_STEP: Duration = Duration::from_secs(5);
/// The interval is doubled up to this when the server cannot be reached.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// More web pages in a row are no flaky proxy.
const MAX_PAGES: u32 = 3;

impl Schedule {
    /// Polls every `interval` until `deadline`; the first one too comes after one interval.
    pub(crate) fn new(interval: Duration, deadline: BootInstant, now: BootInstant) -> Self {
        let mut schedule = Self { interval, next: now, deadline, out: false, uncertain: false, pages: 0 };
        schedule.wait_at_least(Duration::ZERO, now);
        schedule
    }

    /// How long to wait before the next poll.
    pub(crate) fn wait(&self, now: BootInstant) -> Duration {
        self.next.since(now)
    }

    /// Whether it is too late for another poll.
    pub(crate) fn is_over(&self, now: BootInstant) -> bool {
        now >= self.deadline
    }

    /// A poll is about to be sent. If nobody hears its answer, the next one keeps its distance all the same.
    pub(crate) fn begin(&mut self, now: BootInstant) {
        self.uncertain |= self.out;
        self.out = true;
        self.wait_at_least(Duration::ZERO, now);
    }

    fn wait_at_least(&mut self, least: Duration, now: BootInstant) -> Move {
        self.next = now.plus(self.interval.max(least)).min(self.deadline);
        Move::Wait
    }

    /// The next move after one failed poll, at `now`.
    pub(crate) fn after(&mut self, why: Why, now: BootInstant) -> Move {
        self.out = false;
        if !matches!(why, Why::NoAnswer { .. }) {
            self.pages = 0;
        }
        match why {
            Why::Pending => {
                self.uncertain = false;
                self.wait_at_least(Duration::ZERO, now)
            }
            Why::SlowDown => {
                self.uncertain = false;
                self.interval = self.interval.saturating_add(SLOW_DOWN_STEP);
                self.wait_at_least(Duration::ZERO, now)
            }
            Why::RateLimited(delay) => self.wait_at_least(delay.unwrap_or_default().min(MAX_AUTOMATIC), now),
            Why::NoAnswer { kind, maybe_acted } => self.after_no_answer(kind, maybe_acted, now),
            Why::MoreAssurance(mfa) => Move::Choose(mfa),
            Why::Refused if self.uncertain => Move::Stop(Kind::Expired),
            Why::Refused => Move::Stop(Kind::Declined),
            Why::Denied(_) | Why::Expired => Move::Stop(Kind::Expired),
            Why::Proof(_) => Move::Stop(Kind::Unsupported { what: Unsupported::DPoP }),
            Why::Policy(code) => Move::Stop(Kind::NotAllowed { code }),
            Why::Fatal(kind) => Move::Stop(kind),
        }
    }

    fn after_no_answer(&mut self, kind: Kind, maybe_acted: bool, now: BootInstant) -> Move {
        if matches!(kind, Kind::Network { kind: NetworkProblem::CaptivePortal, .. }) {
            self.pages += 1;
            if self.pages > MAX_PAGES {
                return Move::Stop(kind);
            }
        }
        // A wrong certificate is no flaky network: asking every few seconds would only hide it (row 1).
        if matches!(kind, Kind::Network { kind: NetworkProblem::Tls | NetworkProblem::Pin, .. }) {
            return Move::Stop(kind);
        }
        self.uncertain |= maybe_acted;
        self.interval = self.interval.saturating_mul(2).min(MAX_BACK_OFF.max(self.interval));
        self.wait_at_least(Duration::ZERO, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    fn offline(maybe_acted: bool) -> Why {
        let kind = Kind::Network { kind: NetworkProblem::Timeout, maybe_sent: maybe_acted };
        Why::NoAnswer { kind, maybe_acted }
    }

    fn page() -> Why {
        let kind = Kind::Network { kind: NetworkProblem::CaptivePortal, maybe_sent: true };
        Why::NoAnswer { kind, maybe_acted: true }
    }

    /// The waits in seconds after each answer, all at the same moment; "stop" with the kind ends the list.
    fn waits(answers: Vec<Why>) -> (Vec<u64>, Option<Kind>) {
        let mut schedule = Schedule::new(Duration::from_secs(5), at(300), at(0));
        let mut waits = vec![schedule.wait(at(0)).as_secs()];
        for answer in answers {
            schedule.begin(at(0));
            match schedule.after(answer, at(0)) {
                Move::Wait => waits.push(schedule.wait(at(0)).as_secs()),
                Move::Choose(_) => return (waits, None),
                Move::Stop(kind) => return (waits, Some(kind)),
            }
        }
        (waits, None)
    }

    #[test]
    fn intervals_grow_and_never_shrink() {
        let server = |maybe_acted| {
            let kind = Kind::Server { status: 503, code: None };
            Why::NoAnswer { kind, maybe_acted }
        };
        for (row, answers, expected) in [
            (124, vec![Why::Pending, Why::Pending], vec![5, 5, 5]),
            (126, vec![Why::SlowDown, Why::Pending, Why::Pending], vec![5, 10, 10, 10]),
            (127, vec![Why::SlowDown, Why::SlowDown, Why::SlowDown], vec![5, 10, 15, 20]),
            (18, vec![offline(true), offline(true), Why::Pending], vec![5, 10, 20, 20]),
            (136, (0..5).map(|_| server(true)).collect(), vec![5, 10, 20, 40, 60, 60]),
            (135, vec![Why::RateLimited(Some(Duration::from_secs(12))), Why::Pending], vec![5, 12, 5]),
            (320, vec![Why::RateLimited(None)], vec![5, 5]),
            (138, vec![page(), Why::Pending, page(), page(), page()], vec![5, 10, 10, 20, 40, 60]),
        ] {
            assert_eq!(waits(answers), (expected, None), "row {row}");
        }
    }

    #[test]
    fn what_ends_the_series() {
        let denied = || Why::Denied(Code::of("access_denied"));
        let refused = |kind| Kind::Network { kind, maybe_sent: false };
        let untrusted = |kind| Why::NoAnswer { kind: refused(kind), maybe_acted: false };
        for (row, answers, expected) in [
            (129, vec![Why::Refused], Kind::Declined),
            (130, vec![denied()], Kind::Expired),
            (131, vec![Why::Expired], Kind::Expired),
            // The lost poll may have used the code up: that is no "no" of the user.
            (129, vec![offline(true), Why::Refused], Kind::Expired),
            (129, vec![offline(false), Why::Refused], Kind::Declined),
            (129, vec![offline(true), Why::Pending, Why::Refused], Kind::Declined),
            (325, vec![Why::Policy(Code::of("E0000150"))], Kind::NotAllowed { code: Code::of("E0000150") }),
            (137, vec![Why::Fatal(Kind::Server { status: 400, code: None })], Kind::Server { status: 400, code: None }),
            (1, vec![untrusted(NetworkProblem::Tls)], refused(NetworkProblem::Tls)),
            (1, vec![untrusted(NetworkProblem::Pin)], refused(NetworkProblem::Pin)),
            (
                138,
                vec![page(), page(), page(), page()],
                Kind::Network { kind: NetworkProblem::CaptivePortal, maybe_sent: true },
            ),
        ] {
            assert_eq!(waits(answers).1, Some(expected), "row {row}");
        }
    }

    #[test]
    fn the_deadline_wins() {
        let mut schedule = Schedule::new(Duration::from_secs(5), at(300), at(297));
        assert_eq!(schedule.wait(at(297)), Duration::from_secs(3), "row 132");
        assert!(!schedule.is_over(at(299)) && schedule.is_over(at(300)));
        assert_eq!(schedule.wait(at(1500)), Duration::ZERO, "row 133: the device slept");
        let hour = || Why::RateLimited(Some(Duration::from_secs(3600)));
        assert!(matches!(schedule.after(hour(), at(100)), Move::Wait));
        assert_eq!(schedule.wait(at(100)), Duration::from_secs(120), "row 317: nobody waits an hour by himself");
        assert!(matches!(schedule.after(hour(), at(220)), Move::Wait));
        assert_eq!(schedule.wait(at(220)), Duration::from_secs(80));
    }

    #[test]
    fn a_poll_that_nobody_waited_for_counts() {
        let mut schedule = Schedule::new(Duration::from_secs(5), at(300), at(0));
        schedule.begin(at(5));
        assert_eq!(schedule.wait(at(6)), Duration::from_secs(4), "row 369");
        schedule.begin(at(10));
        assert!(matches!(schedule.after(Why::Refused, at(10)), Move::Stop(Kind::Expired)), "its answer is unknown");
    }
}
