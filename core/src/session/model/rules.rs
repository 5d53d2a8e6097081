//! The rules of docs/sessions.md §4–§8 as pure functions, and the wrong ones that a test plants.

use super::state::{Cell, Kind, Mark, Memory, Moment, Record, Tombstone};

/// A rule that somebody might have written instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    Nothing,
    /// §5.3: no mark is written.
    NoMark,
    /// §5.4: the same refresh token again after the 25 s, while its access token is valid.
    LateRetry,
    /// §5.4: no retry after a lost answer.
    NoRetry,
    /// §5.4: the retry in the Oidc profile too.
    OidcRetries,
    /// §5.4: a 429 to the retry clears the mark though the first answer was lost.
    ClearsMarkAfterLoss,
    /// §5, end: a young mark that is found at start is not taken up.
    DoesNotResume,
    /// §5.2: interrupted, it goes on without taking the lock and reading again.
    GoesOnAfterSuspension,
    /// §5.2: the record is not read before the token is presented.
    SendsWithoutReading,
    /// §4: what is there is not looked at before a write.
    WritesWithoutReading,
    /// §3: a failed read counts as an absent record.
    ErrorIsAbsent,
    /// §3, §4: a record that cannot be read is written over.
    WritesOverUnreadable,
    /// §4: a record that differs only by another process's mark means drop.
    DropsForAMark,
    /// §4: handed out as stored once the store said so.
    TrustsTheStore,
    /// §4: while a late call is out, the next write goes.
    WritesWhileLate,
    /// §4, §5.5: the answer is applied although the session was ended, and the read-back does not look either.
    AppliesAfterEnd,
    /// §5.5: a refresh token received after the end goes nowhere.
    DropsReceived,
    /// §5.5: it is queued before the sign-out has written its tombstone.
    QueuesBeforeTombstone,
    /// §5.5: a tombstoned session's received token is revoked though the tombstone says that none is.
    RevokesReplaced,
    /// §5.6: released before it was validated.
    ReleasesHeld,
    /// §5.6: a set held back is released although the record holds another refresh token.
    ReleasesOverNewer,
    /// §5.6: no refresh as long as a set is held back, without bound.
    HoldsForever,
    /// §5.6: what failed validation is not stored.
    DropsUnvalidated,
    /// §5.7: `invalid_grant` ends the session without another look.
    EndsWithoutReading,
    /// §5.7: and if that look fails.
    EndsUnread,
    /// §5.8: the lock is given back while the newest refresh token is only in memory.
    ReleasesUnstored,
    /// §6: the sign-out deletes the record and writes no tombstone.
    NoTombstone,
    /// §6: the queue is one blob that is read, changed and written.
    QueueInOneBlob,
    /// §6: the tombstone goes after a day whatever is beside it.
    BuriesByHours,
    /// §6: the worker does not look at the record beside the tombstone.
    WorkerIgnoresRecord,
    /// §6: the record beside the tombstone is deleted though it could not be read.
    DeletesUnseen,
    /// §6: it is deleted without the lock.
    DeletesUnlocked,
    /// §7: life goes on counting over a reboot or a clock that was set.
    CountsOverReboot,
    /// §8: `RefreshPolicy::Never` refreshes.
    NeverRefreshes,
    /// §5: the task goes with its caller.
    CancelStops,
    /// §5.3: a static token's lost answer is not marked.
    StaticStaysUnmarked,
}

#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) okta: bool,
    pub(super) wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    Due,
    Expired,
}

/// An access token's life, and the part of it after which a call refreshes early.
pub(super) const LIFE: u32 = 3600;
const EARLY: u32 = 360;
pub(super) const DAY: u32 = 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaySend {
    First,
    Again,
    NotNow,
}

/// What reading a record and its tombstone gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Unavailable,
    Found(Cell, Option<Tombstone>),
}

/// What that says to a process that knows the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Unreadable,
    Ended,
    /// It was there and is not.
    Gone,
    /// Another process's newer set.
    Newer(Record),
    /// The same refresh token, with another process's mark.
    OthersMark(Record),
    Same,
}

impl Rules {
    fn is(self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    /// §5.4: how long an answer is waited for.
    pub(super) fn answer_wait(self) -> u32 {
        if self.okta { 12 } else { 30 }
    }

    /// §5.4: no further send of a refresh token while its access token is valid, this long after the first.
    pub(super) fn window(self) -> u32 {
        match (self.okta, self.wrong) {
            (true, Wrong::LateRetry) => 3000,
            (true, _) => 25,
            (false, _) => 0,
        }
    }

    /// §7: how long ago; nothing if a reboot or a set clock is between.
    pub(super) fn age(self, then: Moment, now: Moment) -> Option<u32> {
        (then.epoch == now.epoch || self.is(Wrong::CountsOverReboot)).then(|| now.at.saturating_sub(then.at))
    }

    /// §5.1, §7.
    pub(super) fn freshness(self, sent: Moment, now: Moment) -> Freshness {
        match self.age(sent, now) {
            Some(age) if age < LIFE - EARLY => Freshness::Fresh,
            Some(age) if age < LIFE => Freshness::Due,
            _ => Freshness::Expired,
        }
    }

    /// §5.1: at least 30 s between two refreshes that nobody waits for, 5 s for a caller with an expired token.
    pub(super) fn is_spaced(self, tried: Option<Moment>, access: Freshness, now: Moment) -> bool {
        let spacing = if access == Freshness::Expired { 5 } else { 30 };
        tried.and_then(|tried| self.age(tried, now)).is_none_or(|age| age >= spacing)
    }

    /// §5.1 and §5.6, mended: none starts while a set is held back, but for 60 s at most once nothing valid can be served.
    pub(super) fn may_refresh_while_held(self, since: Moment, access: Freshness, now: Moment) -> bool {
        !self.is(Wrong::HoldsForever)
            && access == Freshness::Expired
            && self.age(since, now).is_none_or(|age| age >= 60)
    }

    /// §5.4 and the last paragraph of §5.
    pub(super) fn may_send(
        self,
        mark: Option<Mark>,
        rt: u8,
        retried: Option<u8>,
        access: Freshness,
        now: Moment,
    ) -> MaySend {
        let Some(mark) = mark.filter(|mark| mark.rt == rt) else { return MaySend::First };
        let retried = retried == Some(rt) && !self.is(Wrong::LateRetry);
        if !retried && self.age(mark.first, now).is_some_and(|age| age < self.window()) {
            MaySend::Again
        } else if access == Freshness::Expired {
            MaySend::First
        } else {
            MaySend::NotNow
        }
    }

    /// §5.4: a lost answer is asked for again, once and at once.
    pub(super) fn retries_at_once(self, first: Moment, now: Moment, retried: bool) -> bool {
        match self.wrong {
            Wrong::NoRetry => false,
            Wrong::OidcRetries if !self.okta => !retried,
            _ => self.okta && !retried && self.age(first, now).is_some_and(|age| age < self.window()),
        }
    }

    /// §5.4, mended: what surely did not reach the server clears the mark, but not after a lost answer.
    pub(super) fn clears_mark(self, unknown: bool) -> bool {
        !unknown || self.is(Wrong::ClearsMarkAfterLoss)
    }

    /// §5.3: the mark is written unless the refresh token is known to be static.
    pub(super) fn writes_mark(self, kind: Kind) -> bool {
        kind != Kind::Static && !self.is(Wrong::NoMark)
    }

    /// §5.3, mended: the answer to a static token was lost, and nobody knows what it said; from now on it is marked.
    pub(super) fn marks_after_loss(self, kind: Kind) -> bool {
        kind == Kind::Static && !self.is(Wrong::StaticStaysUnmarked)
    }

    /// §2: what an answer shows of the refresh tokens.
    pub(super) fn kind_after(self, presented: u8, received: u8, before: Kind) -> Kind {
        match (presented == received, before) {
            (false, _) | (true, Kind::Rotating) => Kind::Rotating,
            (true, _) => Kind::Static,
        }
    }

    /// §4 and §5.5: what a look at the record says.
    pub(super) fn compare(self, memory: &Memory, run: u8, read: Read) -> Found {
        let (cell, tombstone) = match read {
            Read::Unavailable if self.is(Wrong::ErrorIsAbsent) => (Cell::Absent, None),
            Read::Unavailable => return Found::Unreadable,
            Read::Found(cell, tombstone) => (cell, tombstone),
        };
        if tombstone.is_some() {
            return Found::Ended;
        }
        match cell {
            Cell::Torn if self.is(Wrong::ErrorIsAbsent) => Found::Gone,
            Cell::Torn => Found::Unreadable,
            Cell::Absent if memory.was_stored => Found::Gone,
            Cell::Absent => Found::Same,
            Cell::Record(found) if found.writer != run && found.generation > memory.seen => {
                if found.rt == memory.record.rt && found.set == memory.record.set {
                    Found::OthersMark(found)
                } else {
                    Found::Newer(found)
                }
            }
            Cell::Record(_) => Found::Same,
        }
    }

    /// §6, mended: the tombstone goes when the day is over, nothing is queued and the record's key reads as absent.
    pub(super) fn may_bury(self, tombstone: Tombstone, now: u32, read: Read, queue: u8) -> bool {
        let nothing_beside = matches!(read, Read::Found(Cell::Absent, _)) && queue == 0;
        now >= tombstone.since + DAY && (nothing_beside || self.is(Wrong::BuriesByHours))
    }

    /// §6: whose refresh tokens are revoked.
    pub(super) fn revokes_replaced(self) -> bool {
        self.okta
    }
}
