//! When a token is fresh, when a refresh may be sent, and what its answer does. docs/sessions.md §5 and §7.

use core::time::Duration;

use super::record::{Life, Mark, Record, TokenHash, TokenSet, Writer};
use crate::env::{BootInstant, WallTime};
use crate::error::{Code, StoreProblem};
use crate::secret::Secret;

/// The constants of docs/sessions.md §5 for the Okta profile.
pub(crate) struct Timing {
    /// How long to wait for an answer, from the transport call.
    pub(crate) answer: Duration,
    /// A refresh token is not sent again while its access token is valid, once this long has passed since its first send.
    pub(crate) window: Duration,
    /// Between two refreshes that nobody waits for.
    pub(crate) automatic_spacing: Duration,
    /// Between two refreshes for callers with an expired token.
    pub(crate) waiting_spacing: Duration,
}

pub(crate) const OKTA: Timing = Timing {
    answer: Duration::from_secs(12),
    window: Duration::from_secs(25),
    automatic_spacing: Duration::from_secs(30),
    waiting_spacing: Duration::from_secs(5),
};

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: WallTime,
    pub(crate) boot: BootInstant,
}

/// How usable an access token is; less is fresher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// Use it.
    Fresh,
    /// Use it, and refresh meanwhile.
    Due,
    /// Refresh first.
    Expired,
}

/// The clocks may drift apart by this much before one of them was set (docs/sessions.md §7).
const MAX_DRIFT_MILLIS: u128 = 60_000;

/// Early at `life − min(max(60 s, 10 %), 50 %)`; a clock that was set, or a reboot, counts as expired.
pub(crate) fn freshness(life: Life, now: Now) -> Freshness {
    let Some(age) = age(life.sent_wall, life.sent_boot, now) else { return Freshness::Expired };
    let whole = Duration::from_secs(u64::try_from(life.secs).unwrap_or(0));
    let early = (whole / 10).max(Duration::from_secs(60)).min(whole / 2);
    if age >= whole {
        Freshness::Expired
    } else if age >= whole.saturating_sub(early) {
        Freshness::Due
    } else {
        Freshness::Fresh
    }
}

/// The same access token again must not live longer because it came again (row 102): its end stays where it was, unless the
/// answer says an earlier one.
pub(crate) fn life_of(old: &TokenSet, access_token: &Secret, new: Life) -> Life {
    let ends = |life: Life| life.sent_wall.plus(Duration::from_secs(u64::try_from(life.secs).unwrap_or(0)));
    // After a reboot, or with a clock that was set, the old end is a guess, and the server has just said better.
    let then = Now { wall: new.sent_wall, boot: new.sent_boot };
    let is_known = age(old.life.sent_wall, old.life.sent_boot, then).is_some();
    if is_same(old, access_token) && is_known && ends(new) > ends(old.life) { old.life } else { new }
}

/// The same access token again, and it is over (row 102).
pub(crate) fn is_spent(old: &TokenSet, access_token: &Secret, now: Now) -> bool {
    let is_known = age(old.life.sent_wall, old.life.sent_boot, now).is_some();
    is_same(old, access_token) && is_known && freshness(old.life, now) == Freshness::Expired
}

fn is_same(old: &TokenSet, access_token: &Secret) -> bool {
    // EXPOSE: compared.
    old.access_token.expose() == access_token.expose()
}

/// How long ago a moment was; `None` if the clocks cannot tell any more.
fn age(wall: WallTime, boot: BootInstant, now: Now) -> Option<Duration> {
    let distance = |wall: WallTime, boot: BootInstant| {
        i128::from(wall.as_millis()).saturating_sub(i128::try_from(boot.since_boot().as_millis()).unwrap_or(i128::MAX))
    };
    let drift = distance(now.wall, now.boot).saturating_sub(distance(wall, boot)).unsigned_abs();
    (drift <= MAX_DRIFT_MILLIS && now.boot >= boot).then(|| now.boot.since(boot))
}

/// Whether a refresh token may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaySend {
    /// As if for the first time: write a new mark.
    First,
    /// The one retry after a lost answer: the mark keeps its instant.
    Again,
    /// Not while the access token is valid.
    NotNow,
}

/// docs/sessions.md §5 item 4 and its last paragraph. `retried`: this process has used the token's one retry.
pub(crate) fn may_send(mark: Option<&Mark>, token: &TokenHash, retried: bool, access: Freshness, now: Now) -> MaySend {
    let Some(mark) = mark.filter(|mark| mark.token == *token) else { return MaySend::First };
    let since = age(mark.first_wall, mark.first_boot, now);
    if !retried && since.is_some_and(|since| since < OKTA.window) {
        MaySend::Again
    } else if access == Freshness::Expired {
        MaySend::First
    } else {
        MaySend::NotNow
    }
}

/// What the stored record says when an answer is to be applied, or before a refresh token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is ours, or it cannot be read: memory stands.
    Unchanged,
    /// Another process wrote a newer set.
    Newer,
    /// It is gone: the session was ended by somebody who knows.
    Gone,
}

/// *Newer* is what another writer wrote at a higher generation than this process has read or read back; memory's own
/// generation, stored or not, says nothing (docs/sessions.md §4).
pub(crate) fn compare(id: &Code, seen: u64, own: &Writer, found: Option<&Record>) -> Stored {
    match found {
        None => Stored::Gone,
        Some(found) if found.id != *id => Stored::Gone,
        Some(found) if found.writer != *own && found.generation > seen => Stored::Newer,
        Some(_) => Stored::Unchanged,
    }
}

/// Whether a write that the store refused may succeed without anybody's doing, so that a timer tries it again. A prompt is
/// for a user who is there.
pub(crate) fn may_work_by_itself(problem: StoreProblem) -> bool {
    problem.is_temporary() && !matches!(problem, StoreProblem::NeedsUser | StoreProblem::UserCancelled)
}

/// Whether a caller's presence is reason enough to try a refused write again.
pub(crate) fn may_write_again(problem: StoreProblem, since: Duration) -> bool {
    let pause = match problem {
        StoreProblem::NeedsUser | StoreProblem::UserCancelled => Duration::from_secs(60),
        problem if problem.is_temporary() => Duration::from_secs(5),
        _ => return false,
    };
    since >= pause
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: u64 = 1_000;
    const WALL: i64 = 1_790_000_000_000;

    fn now(seconds: u64) -> Now {
        Now {
            wall: WallTime::from_millis(WALL + seconds as i64 * 1000),
            boot: BootInstant::from_boot(Duration::from_secs(BOOT + seconds)),
        }
    }

    fn life(secs: i64) -> Life {
        Life { sent_wall: now(0).wall, sent_boot: now(0).boot, secs }
    }

    #[test]
    fn when_a_token_is_due() {
        use Freshness::*;
        for (secs, at, expected) in [
            (3600, 0, Fresh),
            (3600, 3239, Fresh),
            (3600, 3240, Due),
            (3600, 3599, Due),
            (3600, 3600, Expired),
            (300, 239, Fresh),
            (300, 240, Due),
            (60, 29, Fresh),
            (60, 30, Due),
            (0, 0, Expired),
            (-5, 0, Expired),
        ] {
            assert_eq!(freshness(life(secs), now(at)), expected, "{secs} s after {at} s");
        }
    }

    #[test]
    fn the_same_token_again_does_not_live_longer() {
        let old = |secs| TokenSet { life: life(secs), ..crate::session::record::tests::record().set };
        let same = || Secret::from(old(0).access_token.expose());
        let later = |secs| Life { sent_wall: now(100).wall, sent_boot: now(100).boot, secs };
        assert_eq!(life_of(&old(3600), &same(), later(3600)), life(3600), "row 102");
        assert_eq!(life_of(&old(3600), &same(), later(60)), later(60), "row 102: sooner is believed");
        assert_eq!(life_of(&old(3600), &Secret::from("another"), later(3600)), later(3600));
        assert!(is_spent(&old(3600), &same(), now(3600)) && !is_spent(&old(3600), &same(), now(3599)), "row 102");
        assert!(!is_spent(&old(3600), &Secret::from("another"), now(3600)));
        let rebooted = |seconds| Now { boot: BootInstant::from_boot(Duration::from_secs(5)), ..now(seconds) };
        assert!(!is_spent(&old(3600), &same(), rebooted(10)), "nobody knows when its time began");
        let after = Life { sent_wall: rebooted(10).wall, sent_boot: rebooted(10).boot, secs: 3600 };
        assert_eq!(life_of(&old(3600), &same(), after), after);
    }

    #[test]
    fn a_clock_that_was_set_or_a_reboot_counts_as_expired() {
        let shifted = |millis: i64| Now { wall: WallTime::from_millis(now(10).wall.as_millis() + millis), ..now(10) };
        assert_eq!(freshness(life(3600), shifted(60_000)), Freshness::Fresh);
        assert_eq!(freshness(life(3600), shifted(-60_000)), Freshness::Fresh);
        assert_eq!(freshness(life(3600), shifted(60_001)), Freshness::Expired);
        assert_eq!(freshness(life(3600), shifted(-3_600_000)), Freshness::Expired);
        let rebooted = Now { boot: BootInstant::from_boot(Duration::from_secs(5)), ..now(10) };
        assert_eq!(freshness(life(3600), rebooted), Freshness::Expired);
    }

    #[test]
    fn when_a_refresh_token_may_be_sent() {
        let token = [1; 32];
        let mark = Mark { first_wall: now(0).wall, first_boot: now(0).boot, token };
        let other = Mark { token: [2; 32], ..mark };
        use Freshness::*;
        for (mark, access, at, expected) in [
            (None, Due, 0, MaySend::First),
            (Some(other), Due, 1, MaySend::First),
            (Some(mark), Due, 24, MaySend::Again),
            (Some(mark), Expired, 24, MaySend::Again),
            (Some(mark), Due, 25, MaySend::NotNow),
            (Some(mark), Fresh, 3000, MaySend::NotNow),
            (Some(mark), Expired, 25, MaySend::First),
        ] {
            assert_eq!(may_send(mark.as_ref(), &token, false, access, now(at)), expected, "{access:?} at {at}");
        }
        let rebooted = Now { boot: BootInstant::from_boot(Duration::ZERO), ..now(5) };
        assert_eq!(may_send(Some(&mark), &token, false, Expired, rebooted), MaySend::First);
        assert_eq!(may_send(Some(&mark), &token, true, Due, now(5)), MaySend::NotNow);
        assert_eq!(may_send(Some(&mark), &token, true, Expired, now(5)), MaySend::First);
    }

    #[test]
    fn what_the_stored_record_says() {
        let record = |id: &str, writer: u8, generation: u64| Record {
            id: Code::parse(id).unwrap(),
            writer: [writer; 16],
            generation,
            ..crate::session::record::tests::record()
        };
        let (ours, id) = ([1; 16], Code::parse("s").unwrap());
        for (found, seen, expected) in [
            (None, 5, Stored::Gone),
            (Some(record("other", 1, 5)), 5, Stored::Gone),
            (Some(record("s", 1, 9)), 5, Stored::Unchanged),
            (Some(record("s", 2, 5)), 5, Stored::Unchanged),
            (Some(record("s", 2, 4)), 5, Stored::Unchanged),
            (Some(record("s", 2, 6)), 5, Stored::Newer),
        ] {
            assert_eq!(compare(&id, seen, &ours, found.as_ref()), expected, "seen {seen}");
        }
    }
}
