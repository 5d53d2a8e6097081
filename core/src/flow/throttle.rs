//! How often something may be sent to one user, or for one: a courtesy to the user and the server, not a security boundary,
//! since an attacker has a client of his own (LIM-6).
//!
//! protocol.md §5, LIM-2 and LIM-5. Prompts and codes: one text message, call or e-mail in 30 seconds, one push in 5, five
//! pushes in ten minutes. First factors that a user types: one in a second, and from the third that is refused in a row on
//! after 2, 4, 8 … 60 seconds. The token endpoint: four requests in a second.

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
        // A challenge goes to the app, and disturbs nobody.
        Factor::Passkey => Duration::ZERO,
        Factor::Otp | Factor::Sms | Factor::Voice | Factor::Email => Duration::from_secs(30),
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

/// What users tried, for all users of a client.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    users: Vec<(String, History)>,
}

#[derive(Debug, Default)]
struct History {
    /// The last first factor.
    first_factor: Option<BootInstant>,
    /// How many of them were refused in a row.
    refused: u32,
    /// The last requests to the token endpoint, the newest last.
    token_calls: Vec<BootInstant>,
}

/// Between two first factors of a user.
const FIRST_FACTOR_SPACING: Duration = Duration::from_secs(1);
/// So many may be refused before the distance grows.
const FREE_REFUSALS: u32 = 3;
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Requests to the token endpoint for one user in [`TOKEN_WINDOW`].
const MAX_TOKEN_CALLS: usize = 4;
const TOKEN_WINDOW: Duration = Duration::from_secs(1);

impl Attempts {
    /// The moment from which the user's next first factor may be sent (now, if that is past).
    pub(crate) fn first_factor_at(&self, username: &str, now: BootInstant) -> BootInstant {
        let history = self.users.iter().find(|(user, _)| user == username).map(|(_, history)| history);
        let Some((last, refused)) = history.and_then(|history| Some((history.first_factor?, history.refused))) else {
            return now;
        };
        let doublings = refused.saturating_add(1).saturating_sub(FREE_REFUSALS).min(6);
        last.plus(FIRST_FACTOR_SPACING.saturating_mul(1 << doublings).min(MAX_DELAY)).max(now)
    }

    /// Remembers a first factor, before it is sent.
    pub(crate) fn remember_first_factor(&mut self, username: &str, now: BootInstant) {
        self.history(username, now).first_factor = Some(now);
    }

    /// The server refused it.
    pub(crate) fn refused(&mut self, username: &str) {
        self.change(username, |history| history.refused = history.refused.saturating_add(1));
    }

    /// The server took it.
    pub(crate) fn accepted(&mut self, username: &str) {
        self.change(username, |history| history.refused = 0);
    }

    /// Takes the place of a request to the token endpoint, or says how long to wait before there is one.
    pub(crate) fn token_call(&mut self, username: &str, now: BootInstant) -> Duration {
        let calls = &mut self.history(username, now).token_calls;
        calls.retain(|at| now.since(*at) < TOKEN_WINDOW);
        match calls.first() {
            Some(oldest) if calls.len() >= MAX_TOKEN_CALLS => oldest.plus(TOKEN_WINDOW).since(now),
            _ => {
                calls.push(now);
                Duration::ZERO
            }
        }
    }

    fn change(&mut self, username: &str, change: impl FnOnce(&mut History)) {
        if let Some((_, history)) = self.users.iter_mut().find(|(user, _)| user == username) {
            change(history);
        }
    }

    /// The newest last; who did nothing for ten minutes is forgotten.
    fn history(&mut self, username: &str, now: BootInstant) -> &mut History {
        let recent = |at: &BootInstant| now.since(*at) < WINDOW;
        self.users.retain(|(_, history)| history.first_factor.iter().chain(&history.token_calls).any(recent));
        let known = self.users.iter().position(|(user, _)| user == username);
        let history = known.map(|index| self.users.remove(index).1).unwrap_or_default();
        if self.users.len() >= MAX_REMEMBERED {
            self.users.remove(0);
        }
        &mut self.users.push_mut((username.to_owned(), history)).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments at which a user who tries as soon as allowed, and is always refused, does so.
    fn refused_at(attempts: &mut Attempts, times: usize) -> Vec<u64> {
        let mut now = at(0);
        (0..times)
            .map(|_| {
                now = attempts.first_factor_at("ana", now);
                attempts.remember_first_factor("ana", now);
                attempts.refused("ana");
                now.since_boot().as_secs()
            })
            .collect()
    }

    #[test]
    fn refusals_in_a_row_slow_a_user_down() {
        let mut attempts = Attempts::default();
        assert_eq!(refused_at(&mut attempts, 10), [0, 1, 2, 4, 8, 16, 32, 64, 124, 184], "LIM-2");
        assert_eq!(attempts.first_factor_at("ben", at(185)), at(185), "another user");
        attempts.accepted("ana");
        assert_eq!(attempts.first_factor_at("ana", at(184)), at(185));
        attempts.remember_first_factor("ben", at(800));
        assert_eq!(attempts.users.len(), 1, "who did nothing for ten minutes is forgotten");
    }

    #[test]
    fn four_requests_to_the_token_endpoint_in_a_second() {
        let mut attempts = Attempts::default();
        let at = |millis| BootInstant::from_boot(Duration::from_millis(millis));
        for now in [0, 100, 200, 300] {
            assert_eq!(attempts.token_call("ana", at(now)), Duration::ZERO, "LIM-5");
        }
        assert_eq!(attempts.token_call("ana", at(400)), Duration::from_millis(600), "LIM-5");
        assert_eq!(attempts.token_call("ben", at(400)), Duration::ZERO, "another user");
        assert_eq!(attempts.token_call("ana", at(1000)), Duration::ZERO);
        assert_eq!(attempts.token_call("ana", at(1000)), Duration::from_millis(100));
    }

    #[test]
    fn the_memory_of_attempts_is_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..1000 {
            attempts.remember_first_factor(&format!("user{n}"), at(1));
        }
        assert_eq!(attempts.users.len(), MAX_REMEMBERED);
    }

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
