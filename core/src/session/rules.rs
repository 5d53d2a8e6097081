//! When a token is fresh, when a refresh may be sent, what the stored record says, which session is replaced.
//! docs/sessions.md §4–§7.

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::HashMap;

use super::reading::Found;
use super::record::{Life, Mark, Record, TokenHash, TokenSet, Writer};
use crate::config::Profile;
use crate::env::{BootInstant, WallTime};
use crate::error::{EndReason, StoreProblem, TokenCheck};
use crate::secret::Secret;

/// The constants of docs/sessions.md §5.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long to wait for an answer, from the transport call.
    pub(crate) answer: Duration,
    /// A refresh token is not sent again while its access token is valid, once this long has passed since its first send;
    /// before that once.
    pub(crate) window: Duration,
    /// Between two refreshes that nobody waits for.
    pub(crate) automatic_spacing: Duration,
    /// Between two refreshes for callers with an expired token.
    pub(crate) waiting_spacing: Duration,
    /// How long to wait for another process to release the lock: longer than its refresh lasts.
    pub(crate) lock: Duration,
    /// How long a set that could not be validated yet keeps callers with an expired token from another refresh.
    pub(crate) held_back: Duration,
}

const OKTA: Timing = Timing {
    answer: Duration::from_secs(12),
    window: Duration::from_secs(25),
    automatic_spacing: Duration::from_secs(30),
    waiting_spacing: Duration::from_secs(5),
    lock: Duration::from_secs(45),
    held_back: Duration::from_secs(60),
};

const OIDC: Timing = Timing { answer: Duration::from_secs(30), window: Duration::ZERO, ..OKTA };

impl Timing {
    pub(crate) fn of(profile: Profile) -> &'static Self {
        match profile {
            Profile::Okta => &OKTA,
            Profile::Oidc => &OIDC,
        }
    }
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall: WallTime,
    pub(crate) boot: BootInstant,
}

impl Now {
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self { wall: self.wall.plus(duration), boot: self.boot.plus(duration) }
    }
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
pub(crate) fn age(wall: WallTime, boot: BootInstant, now: Now) -> Option<Duration> {
    let distance = |wall: WallTime, boot: BootInstant| {
        i128::from(wall.as_millis()).saturating_sub(i128::try_from(boot.since_boot().as_millis()).unwrap_or(i128::MAX))
    };
    let drift = distance(now.wall, now.boot).saturating_sub(distance(wall, boot)).unsigned_abs();
    (drift <= MAX_DRIFT_MILLIS && now.boot >= boot).then(|| now.boot.since(boot))
}

/// How long ago a moment was, for a limit of hours: the shorter of what the two clocks say, because one may have been set, or
/// begun anew.
pub(crate) fn elapsed(since: Now, now: Now) -> Duration {
    let by_boot = (now.boot >= since.boot).then(|| now.boot.since(since.boot));
    let moved = now.wall.as_millis().saturating_sub(since.wall.as_millis());
    let by_wall = u64::try_from(moved).ok().map(Duration::from_millis);
    match (by_boot, by_wall) {
        (Some(boot), Some(wall)) => boot.min(wall),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Duration::from_millis(moved.unsigned_abs()),
    }
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
pub(crate) fn may_send(
    timing: &Timing,
    mark: Option<&Mark>,
    token: &TokenHash,
    retried: bool,
    access: Freshness,
    now: Now,
) -> MaySend {
    let Some(mark) = mark.filter(|mark| mark.token == *token) else { return MaySend::First };
    let since = age(mark.first_wall, mark.first_boot, now);
    if !retried && since.is_some_and(|since| since < timing.window || planted!(RetriesLate)) {
        MaySend::Again
    } else if access == Freshness::Expired {
        MaySend::First
    } else {
        MaySend::NotNow
    }
}

/// What the store says of the session, when an answer is to be applied or before a refresh token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It holds what this process read or wrote last.
    Unchanged,
    /// It holds something older: memory stands, and is written again.
    Stale,
    /// Another process wrote a newer set.
    Newer,
    /// Another process wrote the same set, with another mark or use counter.
    Marked,
    /// The session was ended by somebody who knows: its record is gone, or a tombstone is beside it.
    Ended(EndReason),
}

/// What was read, or written and read back, last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) generation: u64,
    pub(crate) writer: Writer,
    /// A hash of its tokens.
    pub(crate) set: TokenHash,
    pub(crate) refresh: Option<TokenHash>,
}

impl Seen {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            generation: record.generation,
            writer: record.writer,
            set: record.set_hash(),
            refresh: record.refresh_hash(),
        }
    }
}

/// *Newer* is what another writer wrote at a higher generation than this process has read or read back; memory's own
/// generation, stored or not, says nothing (docs/sessions.md §4). `seen`: `None` if nothing was ever stored.
pub(crate) fn compare(record: &Record, seen: Option<Seen>, own: &Writer, found: &Found) -> Stored {
    let (generation, writer) = seen.map_or((0, [0; 16]), |seen| (seen.generation, seen.writer));
    match found {
        Found::Ended(reason) => Stored::Ended(*reason),
        Found::Absent if seen.is_some() => Stored::Ended(EndReason::SignedOut),
        Found::Absent => Stored::Unchanged,
        Found::Record(found) if found.id != record.id => Stored::Ended(EndReason::SignedOut),
        Found::Record(found) if found.writer != *own && found.generation > generation && !planted!(IgnoresNewer) => {
            let same_set = seen.is_some_and(|seen| seen.set == found.set_hash());
            if same_set { Stored::Marked } else { Stored::Newer }
        }
        Found::Record(found) => {
            let is = |generation, writer| found.generation == generation && found.writer == writer;
            // Memory's own: a write that failed or was late, and had its effect all the same.
            let known = is(generation, writer) || is(record.generation, record.writer);
            if known { Stored::Unchanged } else { Stored::Stale }
        }
    }
}

/// What memory holds once another process's record was read that is *newer*, or *marked*; and whether that is what the store
/// holds. Of memory stays what the store does not have yet: a set of its own, unless a newer one was found, and a choice of the
/// default.
pub(crate) fn taken_over(own: &Record, found: Record, verdict: Stored, writer: Writer) -> (Record, bool) {
    let use_counter = own.use_counter.max(found.use_counter);
    let has_its_set = verdict == Stored::Newer || own.set_hash() == found.set_hash();
    if has_its_set && use_counter == found.use_counter {
        return (found, true);
    }
    let generation = found.generation.max(own.generation).saturating_add(1);
    if has_its_set {
        return (Record { generation, writer, use_counter, ..found }, false);
    }
    // Of one who died during a refresh with the same refresh token.
    let left = found.mark.filter(|mark| Some(mark.token) == own.refresh_hash());
    let mark = own.mark.or(left);
    (Record { generation, writer, use_counter, mark, ..own.duplicate() }, false)
}

/// What is known of a step-up in memory when a *newer* record was read.
pub(crate) struct SteppedUp {
    /// Whether there is a grant that a step-up has left, and that is not given up yet.
    pub(crate) has_left: bool,
    /// The set that was last read from the store, or read back.
    pub(crate) seen: Option<TokenHash>,
    /// The set of the last write that began: it may be in the store, whatever was heard of that.
    pub(crate) perhaps_stored: Option<TokenHash>,
    /// When the user was asked, by the record that was read, held against memory's; `None` if one does not say.
    pub(crate) asked: Option<Ordering>,
}

/// What becomes of it.
pub(crate) enum Above {
    /// There is none that the store has not heard of.
    Nothing,
    /// It is kept, above what was read: the user has shown more since, and what another process has refreshed is of the grant
    /// that was left.
    Kept(Box<Record>),
    /// What was read is another step-up, which is later or binds the session; this one is nobody's.
    GivenWay,
    /// It may be in the store, and what was read may come from it, or from the grant that was left: that one stands, and nothing
    /// is revoked, for it might be its own.
    InDoubt,
}

/// Whether a step-up in memory stays above a *newer* record.
pub(crate) fn kept_above(own: &Record, found: &Record, verdict: Stored, known: &SteppedUp, writer: Writer) -> Above {
    let set = Some(own.set_hash());
    if verdict != Stored::Newer || !known.has_left || known.seen == set {
        return Above::Nothing;
    }
    if known.asked == Some(Ordering::Greater) || (found.proof_key.is_some() && own.proof_key.is_none()) {
        return Above::GivenWay;
    }
    if known.perhaps_stored == set && known.asked != Some(Ordering::Less) {
        return Above::InDoubt;
    }
    let generation = found.generation.max(own.generation).saturating_add(1);
    Above::Kept(Box::new(Record { generation, writer, ..own.duplicate() }))
}

/// Whether `record` is one whose place `by` took (docs/sessions.md §6): by its name, because `by` stands alone, or because
/// both are the same user's.
pub(crate) fn is_replaced(record: &Record, by: &Record) -> bool {
    if planted!(ReplacesNothing) {
        return false;
    }
    let same_user = record.subject.is_some() && record.subject == by.subject;
    // Of many accounts most pairs end here.
    if !(by.alone || same_user) || record.id == by.id {
        return false;
    }
    let same_client = record.issuer == by.issuer && record.client_id == by.client_id;
    let is_earlier = (record.use_counter, record.id.as_str()) < (by.use_counter, by.id.as_str());
    // A name counts also if the other one was made the default meanwhile; of two that name each other the later one stays.
    let is_named = by.replaces.contains(&record.id) && (is_earlier || !record.replaces.contains(&by.id));
    let outranks = record.replaces.contains(&by.id) && !is_named;
    same_client && (is_named || (is_earlier && !outranks))
}

/// Of each of these whether its place was taken by another of them. A session's place is taken by one that stands alone, or
/// by one of the same user; of many accounts most pairs need no look.
pub(crate) fn replaced_among(records: &[&Record]) -> Vec<bool> {
    let alone: Vec<&Record> = records.iter().filter(|record| record.alone).copied().collect();
    let mut of_user: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in records {
        if let Some(subject) = &record.subject {
            of_user.entry(subject).or_default().push(record);
        }
    }
    let is_replaced_by = |record: &Record, others: &[&Record]| others.iter().any(|by| is_replaced(record, by));
    let same_user = |record: &Record| record.subject.as_deref().and_then(|subject| of_user.get(subject));
    let is_over = |record: &&Record| {
        is_replaced_by(record, &alone) || same_user(record).is_some_and(|others| is_replaced_by(record, others))
    };
    records.iter().map(is_over).collect()
}

/// Whether the tokens of a session that ended for this reason are revoked: at other servers than Okta's that could end the
/// session too that took its place (docs/sessions.md §6).
pub(crate) fn is_revoked(profile: Profile, reason: EndReason) -> bool {
    profile == Profile::Okta || reason != EndReason::Replaced
}

/// The use counter of a session that becomes the default: the time, and above every other that is known, also when the wall
/// clock was set back.
pub(crate) fn next_counter(now: WallTime, known: impl IntoIterator<Item = i64>) -> i64 {
    let highest = known.into_iter().max().unwrap_or(i64::MIN);
    now.as_millis().max(highest.saturating_add(1))
}

/// Whether time or other keys may make a token valid that is not yet, so that its set is held back (docs/sessions.md §5.6).
/// What can never become valid is dropped: a set that is held back keeps others from being fetched.
pub(crate) fn may_become_valid(check: TokenCheck) -> bool {
    matches!(check, TokenCheck::KeysUnreachable | TokenCheck::KeyId | TokenCheck::IssuedAt | TokenCheck::NotBefore)
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
    use crate::error::Code;

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
            assert_eq!(may_send(&OKTA, mark.as_ref(), &token, false, access, now(at)), expected, "{access:?} at {at}");
        }
        let rebooted = Now { boot: BootInstant::from_boot(Duration::ZERO), ..now(5) };
        assert_eq!(may_send(&OKTA, Some(&mark), &token, false, Expired, rebooted), MaySend::First);
        assert_eq!(may_send(&OKTA, Some(&mark), &token, true, Due, now(5)), MaySend::NotNow);
        assert_eq!(may_send(&OKTA, Some(&mark), &token, true, Expired, now(5)), MaySend::First);
        for (access, expected) in [(Due, MaySend::NotNow), (Fresh, MaySend::NotNow), (Expired, MaySend::First)] {
            assert_eq!(may_send(&OIDC, Some(&mark), &token, false, access, now(0)), expected, "Oidc, {access:?}");
        }
        assert_eq!(may_send(&OIDC, None, &token, false, Due, now(0)), MaySend::First);
    }

    fn stored(id: &str, writer: u8, generation: u64) -> Record {
        Record {
            id: Code::parse(id).unwrap(),
            writer: [writer; 16],
            generation,
            ..crate::session::record::tests::record()
        }
    }

    #[test]
    fn what_the_stored_record_says() {
        let memory = stored("s", 1, 8);
        let with_tokens = |id, writer, generation, access: &str| {
            let record = stored(id, writer, generation);
            let set = TokenSet { access_token: Secret::from(access), ..record.set.duplicate() };
            Found::Record(Box::new(Record { set, ..record }))
        };
        let found = |id, writer, generation| with_tokens(id, writer, generation, "another");
        let seen = Some(Seen::of(&stored("s", 1, 5)));
        let signed_out = Stored::Ended(EndReason::SignedOut);
        for (found, seen, expected) in [
            (Found::Absent, seen, signed_out),
            (Found::Absent, None, Stored::Unchanged),
            (Found::Ended(EndReason::Replaced), seen, Stored::Ended(EndReason::Replaced)),
            (Found::Ended(EndReason::SignedOut), None, signed_out),
            (found("other", 1, 5), seen, signed_out),
            (found("s", 1, 5), seen, Stored::Unchanged),
            (found("s", 1, 8), seen, Stored::Unchanged),
            (found("s", 1, 4), seen, Stored::Stale),
            (found("s", 1, 7), seen, Stored::Stale),
            (found("s", 2, 5), seen, Stored::Stale),
            (found("s", 2, 4), seen, Stored::Stale),
            (found("s", 2, 6), seen, Stored::Newer),
            (found("s", 2, 9), seen, Stored::Newer),
            (found("s", 2, 1), None, Stored::Newer),
            (with_tokens("s", 2, 6, "at"), seen, Stored::Marked),
            (with_tokens("s", 2, 5, "at"), seen, Stored::Stale),
        ] {
            assert_eq!(compare(&memory, seen, &[1; 16], &found), expected, "{found:?}");
        }
    }

    #[test]
    fn what_another_process_wrote_does_not_undo_what_only_memory_has() {
        let record = |writer, generation, access: &str, use_counter, mark| {
            let record = stored("s", writer, generation);
            let set = TokenSet { access_token: Secret::from(access), ..record.set.duplicate() };
            Record { set, use_counter, mark, ..record }
        };
        let own_token = stored("s", 1, 1).refresh_hash().expect("there is one");
        let mark = |token, at| {
            Some(Mark {
                first_wall: WallTime::from_millis(at),
                first_boot: BootInstant::from_boot(Duration::ZERO),
                token,
            })
        };
        let (mine, theirs) = (mark(own_token, 1), mark(own_token, 2));
        for (own, found, verdict, expected) in [
            // The set, its mark, and the counter; whether it is stored, and by whom it was written.
            (("a", 5, None), ("b", 5, theirs), Stored::Newer, ("b", 5, theirs, true, 2)),
            (("a", 5, mine), ("b", 9, None), Stored::Newer, ("b", 9, None, true, 2)),
            (("a", 9, mine), ("b", 5, None), Stored::Newer, ("b", 9, None, false, 1)),
            (("a", 5, mine), ("a", 5, theirs), Stored::Marked, ("a", 5, theirs, true, 2)),
            (("a", 9, None), ("a", 5, theirs), Stored::Marked, ("a", 9, theirs, false, 1)),
            (("a", 5, None), ("a", 9, None), Stored::Marked, ("a", 9, None, true, 2)),
            (("n", 5, None), ("a", 9, theirs), Stored::Marked, ("n", 9, theirs, false, 1)),
            (("n", 9, mine), ("a", 5, theirs), Stored::Marked, ("n", 9, mine, false, 1)),
            (("n", 5, None), ("a", 5, mark([7; 32], 3)), Stored::Marked, ("n", 5, None, false, 1)),
        ] {
            let make = |writer, generation, (access, counter, mark)| record(writer, generation, access, counter, mark);
            let (record, persisted) = taken_over(&make(1, 8, own), make(2, 6, found), verdict, [1; 16]);
            // EXPOSE: made up here.
            let access = record.set.access_token.expose();
            let got = (access, record.use_counter, record.mark, persisted, record.writer[0]);
            assert_eq!(got, expected, "{own:?}, {found:?}");
            assert_eq!(record.generation, if persisted { 6 } else { 9 }, "above every other");
        }
    }

    #[test]
    fn a_step_up_that_is_not_stored_yet_is_kept_above_what_the_grant_before_it_became() {
        let key = || Some(crate::proof::ProofKey::Platform { name: "dpop.a".into(), thumbprint: [7; 32] });
        let stored = |id, writer, generation| Record { proof_key: None, ..stored(id, writer, generation) };
        let own = || stored("s", 1, 8);
        let other = Some([9; 32]);
        let bound = |record: Record| Record { proof_key: key(), ..record };
        let known = |has_left, seen, is_later: bool| {
            let asked = is_later.then_some(Ordering::Greater);
            SteppedUp { has_left, seen, perhaps_stored: None, asked }
        };
        let perhaps = |asked| SteppedUp { perhaps_stored: Some(own().set_hash()), asked, ..known(true, other, false) };
        for (what, own, found, verdict, known, expected) in [
            ("not stored", own(), stored("s", 2, 6), Stored::Newer, known(true, other, false), "Kept 9"),
            ("nothing ever stored", own(), stored("s", 2, 9), Stored::Newer, known(true, None, false), "Kept 10"),
            ("stored", own(), stored("s", 2, 9), Stored::Newer, known(true, Some(own().set_hash()), false), "Nothing"),
            ("nothing left", own(), stored("s", 2, 9), Stored::Newer, known(false, other, false), "Nothing"),
            ("marked", own(), stored("s", 2, 9), Stored::Marked, known(true, other, false), "Nothing"),
            ("stale", own(), stored("s", 2, 6), Stored::Stale, known(true, other, false), "Nothing"),
            ("asked later", own(), stored("s", 2, 9), Stored::Newer, known(true, other, true), "GivenWay"),
            ("perhaps stored", own(), stored("s", 2, 9), Stored::Newer, perhaps(Some(Ordering::Equal)), "InDoubt"),
            ("perhaps, no time", own(), stored("s", 2, 9), Stored::Newer, perhaps(None), "InDoubt"),
            ("perhaps, before", own(), stored("s", 2, 9), Stored::Newer, perhaps(Some(Ordering::Less)), "Kept 10"),
            ("perhaps, later", own(), stored("s", 2, 9), Stored::Newer, perhaps(Some(Ordering::Greater)), "GivenWay"),
            ("binds", own(), bound(stored("s", 2, 9)), Stored::Newer, known(true, other, false), "GivenWay"),
            ("both bound", bound(own()), bound(stored("s", 2, 6)), Stored::Newer, known(true, other, false), "Kept 9"),
        ] {
            let got = match kept_above(&own, &found, verdict, &known, [1; 16]) {
                Above::Nothing => "Nothing".to_owned(),
                Above::Kept(record) => {
                    assert_eq!(record.writer, [1; 16], "{what}");
                    format!("Kept {}", record.generation)
                }
                Above::GivenWay => "GivenWay".to_owned(),
                Above::InDoubt => "InDoubt".to_owned(),
            };
            assert_eq!(got, expected, "{what}");
        }
    }

    #[test]
    fn who_takes_whose_place() {
        let record = |id: &str, counter: i64| Record {
            use_counter: counter,
            replaces: vec![],
            alone: false,
            ..stored(id, 1, 1)
        };
        let old = record("a", 10);
        let alone = Record { alone: true, ..record("b", 20) };
        assert!(is_replaced(&old, &alone));
        assert!(!is_replaced(&alone, &old), "what is later stays");
        assert!(is_replaced(&old, &Record { use_counter: 10, ..alone.duplicate() }), "of two at once the ids decide");
        assert!(!is_replaced(&old, &Record { issuer: "https://b.example".into(), ..alone.duplicate() }));
        assert!(!is_replaced(&old, &Record { client_id: "other".into(), ..alone.duplicate() }));
        let named = Record { replaces: vec![Code::of("a")], ..record("b", 20) };
        assert!(is_replaced(&old, &named), "the same user");
        assert!(
            !is_replaced(&Record { subject: Some("00u2".into()), ..old.duplicate() }, &named),
            "could not be read then"
        );
        assert!(!is_replaced(
            &Record { subject: None, ..old.duplicate() },
            &Record { subject: None, ..named.duplicate() }
        ));
        assert!(is_replaced(&record("c", 1), &named), "of one user the earlier one, named or not");
        let other_user = |record: Record| Record { subject: Some("00u2".into()), ..record };
        assert!(!is_replaced(&other_user(record("c", 1)), &named));
        assert!(is_replaced(&named, &record("d", 30)));
        let raised = Record { use_counter: 30, ..old.duplicate() };
        assert!(is_replaced(&raised, &named), "also if it was made the default meanwhile");
        assert!(!is_replaced(&named, &named));
    }

    #[test]
    fn who_is_replaced_among_many_is_who_any_other_replaces() {
        let users = [None, Some("ana"), Some("ben")];
        let record = |number: usize| Record {
            use_counter: (number * 7 % 5) as i64,
            subject: users[number % 3].map(Into::into),
            alone: number.is_multiple_of(4),
            replaces: if number.is_multiple_of(2) {
                vec![Code::parse(&format!("r{}", (number + 3) % 12)).unwrap()]
            } else {
                vec![]
            },
            ..stored(&format!("r{number}"), 1, 1)
        };
        for among in 1..4096_usize {
            let records: Vec<Record> = (0..12).filter(|number| among & (1 << number) != 0).map(record).collect();
            let all: Vec<&Record> = records.iter().collect();
            let expected: Vec<bool> = all.iter().map(|one| all.iter().any(|by| is_replaced(one, by))).collect();
            assert_eq!(replaced_among(&all), expected, "{among:b}");
        }
    }

    #[test]
    fn the_next_counter_is_above_all_others() {
        for (now, known, expected) in
            [(50, vec![], 50), (50, vec![10, 20], 50), (50, vec![70], 71), (50, vec![i64::MAX], i64::MAX)]
        {
            assert_eq!(next_counter(WallTime::from_millis(now), known), expected);
        }
    }
}
