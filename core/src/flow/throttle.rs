//! How often prompts and codes may be sent to one user: a courtesy to the user, not a security boundary.
//!
//! protocol.md §5 and LIM-2: one text message, call or e-mail in 30 seconds, one push in 5, five pushes in ten minutes.

use core::time::Duration;

use crate::config::Factor;
use crate::env::BootInstant;

/// What was sent in the last ten minutes, for all users of a client.
#[derive(Debug, Default)]
pub(crate) struct Sends {
    sent: Vec<(String, Factor, BootInstant)>,
}

const WINDOW: Duration = Duration::from_secs(600);
const MAX_PUSHES: usize = 5;
/// More than this is no device's user; the oldest is forgotten.
const MAX_REMEMBERED: usize = 256;

/// The least time between two sends.
pub(crate) fn spacing(factor: Factor) -> Duration {
    match factor {
        Factor::Push => Duration::from_secs(5),
        _ => Duration::from_secs(30),
    }
}

impl Sends {
    /// The moment from which `factor` may be sent to `username` (now, if that is past).
    pub(crate) fn allowed_at(&self, username: &str, factor: Factor, now: BootInstant) -> BootInstant {
        let times = || self.sent.iter().filter(|(u, f, _)| u == username && *f == factor).map(|(_, _, at)| *at);
        let spaced = times().max().map_or(now, |last| last.plus(spacing(factor)));
        if factor != Factor::Push {
            return spaced.max(now);
        }
        let recent: Vec<_> = times().filter(|at| now.since(*at) < WINDOW).collect();
        let oldest_that_counts = recent.len().checked_sub(MAX_PUSHES).and_then(|index| recent.get(index));
        let below_cap = oldest_that_counts.map_or(now, |at| at.plus(WINDOW));
        spaced.max(below_cap).max(now)
    }

    /// Takes back a send that surely did not happen.
    pub(crate) fn forget(&mut self, username: &str, factor: Factor, at: BootInstant) {
        self.sent.retain(|(u, f, when)| !(u == username && *f == factor && *when == at));
    }

    /// Remembers a send, before it happens: a caller that goes away must not get one for nothing.
    pub(crate) fn remember(&mut self, username: &str, factor: Factor, now: BootInstant) {
        self.sent.retain(|(_, _, at)| now.since(*at) < WINDOW);
        if self.sent.len() >= MAX_REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push((username.to_owned(), factor, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn codes_are_thirty_seconds_apart() {
        let mut sends = Sends::default();
        assert_eq!(sends.allowed_at("ana", Factor::Sms, at(7)), at(7));
        sends.remember("ana", Factor::Sms, at(7));
        assert_eq!(sends.allowed_at("ana", Factor::Sms, at(17)), at(37), "row 144");
        assert_eq!(sends.allowed_at("ana", Factor::Sms, at(40)), at(40));
        assert_eq!(sends.allowed_at("ana", Factor::Voice, at(8)), at(8), "another channel");
        assert_eq!(sends.allowed_at("ben", Factor::Sms, at(8)), at(8), "another user");
        sends.forget("ana", Factor::Sms, at(7));
        assert_eq!(sends.allowed_at("ana", Factor::Sms, at(17)), at(17));
    }

    #[test]
    fn five_pushes_in_ten_minutes() {
        let mut sends = Sends::default();
        for second in [0, 10, 20, 30, 40] {
            assert_eq!(sends.allowed_at("ana", Factor::Push, at(second)), at(second));
            sends.remember("ana", Factor::Push, at(second));
        }
        assert_eq!(sends.allowed_at("ana", Factor::Push, at(50)), at(600));
        assert_eq!(sends.allowed_at("ana", Factor::Push, at(600)), at(600));
        sends.remember("ana", Factor::Push, at(600));
        assert_eq!(sends.allowed_at("ana", Factor::Push, at(606)), at(610));
    }

    #[test]
    fn memory_is_bounded() {
        let mut sends = Sends::default();
        for n in 0..1000 {
            sends.remember(&format!("user{n}"), Factor::Sms, at(1));
        }
        assert_eq!(sends.sent.len(), MAX_REMEMBERED);
        sends.remember("ana", Factor::Sms, at(2000));
        assert_eq!(sends.sent.len(), 1);
    }
}
