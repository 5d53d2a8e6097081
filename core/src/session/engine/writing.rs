//! The session in memory and its record: what is newer, what is written when, what is handed out. docs/sessions.md §3–§4.

use core::time::Duration;
use std::sync::Arc;

use futures_util::lock::OwnedMutexGuard;

use super::stepping_up::owed_by;
use super::{Engine, Left, claims_of};
use crate::context::{in_background, storage};
use crate::discovery::Discovery;
use crate::error::{EndReason, Error, Kind, StoreProblem};
use crate::gate::Exclusion;
use crate::jose::id_token::IdTokenClaims;
use crate::proof::ProofKey;
use crate::session::accounts::tell_all;
use crate::session::queue::{self, Unknown};
use crate::session::reading::{self, Found};
use crate::session::record::{Record, TokenHash, hash};
use crate::session::rules::{self, Above, Seen, Stored};

/// What became of a write.
pub(crate) enum Written {
    Stored,
    /// The store did not take it; memory stands.
    Kept(StoreProblem),
    /// The session was ended by somebody who knows.
    Ended(EndReason),
    /// Another process had written a newer set, which is ours now.
    Superseded,
}

/// Whether memory took the next record.
pub(crate) enum Committed {
    Yes,
    Ended(EndReason),
    /// Another process's set was taken over meanwhile.
    OtherToken,
}

/// A record that could not be stored is tried again after this long, then after twice as long, and so on.
const REWRITE_FIRST: Duration = Duration::from_secs(1);
const REWRITE_LAST: Duration = Duration::from_secs(60);
/// A lock that is lost again and again is not waited for without end.
const MAX_LOOKS: usize = 3;

impl Engine {
    /// Stores a new session, whose record nobody else knows; what cannot be stored lives in memory and is said so.
    pub(crate) async fn first_write(self: &Arc<Self>) -> Option<StoreProblem> {
        match self.persist_alone().await {
            Written::Kept(problem) => {
                self.rewrite_later();
                Some(problem)
            }
            _ => None,
        }
    }

    /// Deletes a record that cannot be read any more, and writes what memory has.
    pub(crate) async fn discard_stored(self: &Arc<Self>) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        // From here on an absent record says nothing.
        let seen = {
            let mut state = self.state();
            state.persisted = false;
            state.seen.take()
        };
        if let Err(problem) = self.context.delete_and_check(&self.key, writing).await {
            self.state().seen = seen;
            return Err(problem);
        }
        if self.alive().is_ok() {
            self.first_write().await;
        }
        Ok(())
    }

    /// Removes the record, after whatever write is under way. `kept` until the last call has returned, however late.
    pub(crate) async fn delete(&self, kept: impl Send + 'static) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        self.context.delete_and_check(&self.key, (writing, kept)).await
    }

    /// Removes the record of a session that has a tombstone, after a last look at it. Who may not write now, or has to wait
    /// for another process, leaves it to the queue.
    pub(crate) async fn remove(&self) -> Result<(), StoreProblem> {
        let context = &self.context;
        let writing = self.writing().await?;
        let exclusion = Exclusion::acquire(context.gate.as_ref(), Duration::ZERO).await;
        match exclusion {
            Ok(exclusion) if context.may_write_others() => {
                let unknown = match self.owed() {
                    Some((token, _)) => Unknown::AllBut(hash(&token)),
                    None => Unknown::Nothing,
                };
                queue::remove(context, &self.id, unknown, (writing, exclusion)).await
            }
            _ => Err(StoreProblem::Transient),
        }
    }

    /// Reads the record again; `true` if another process had refreshed, and its set is ours now.
    pub(super) async fn adopt_newer(self: &Arc<Self>) -> Result<bool, Error> {
        let written = self.state().written;
        let found = match reading::look(&self.context, &self.id).await {
            // Nothing of it was ever stored, as far as is known: what cannot be read hides nothing.
            Err(_) if !self.was_stored() => return Ok(false),
            found => found.map_err(storage)?,
        };
        match self.compare(found, written) {
            Stored::Unchanged | Stored::Stale | Stored::Marked => Ok(false),
            Stored::Newer => Ok(true),
            Stored::Ended(_) => Err(self.ended_elsewhere()),
        }
    }

    /// A look at the store in passing: what another process wrote since is taken over.
    pub(crate) fn learns(self: &Arc<Self>, found: Record) {
        let found = Found::Record(Box::new(found));
        let (verdict, written) = {
            let state = self.state();
            if state.ended.is_some() {
                return;
            }
            (rules::compare(&state.record, state.seen, &self.writer, &found), state.written)
        };
        // An older look says nothing.
        if matches!(verdict, Stored::Newer | Stored::Marked) {
            self.compare(found, written);
        }
    }

    /// The session is over, as another process or an earlier look knows.
    pub(crate) fn ended_elsewhere(&self) -> Error {
        let reason = self.state().ended.unwrap_or(EndReason::SignedOut);
        Kind::SessionEnded { reason }.into()
    }

    /// Holds what was read against memory, and takes over what is newer, or the end. `written`: how many writes had succeeded
    /// when the look began.
    fn compare(self: &Arc<Self>, found: Found, written: u64) -> Stored {
        let mut state = self.state();
        if matches!(found, Found::Absent) && state.written != written {
            // It looked before the record was there.
            return Stored::Unchanged;
        }
        let verdict = rules::compare(&state.record, state.seen, &self.writer, &found);
        // A write of one's own that nobody had heard of.
        if let Found::Record(found) = &found
            && found.id == self.id
            && found.writer == self.writer
            && state.seen.is_none_or(|seen| found.generation > seen.generation)
        {
            state.seen = Some(Seen::of(found));
        }
        if let Found::Record(found) = &found {
            let auth_time = |record: &Record| claims_of(record).and_then(|claims| claims.auth_time);
            let has_left = verdict == Stored::Newer && !state.left.is_empty();
            let times = has_left.then(|| auth_time(found).zip(auth_time(&state.record))).flatten();
            let known = rules::SteppedUp {
                has_left,
                seen: state.seen.map(|seen| seen.set),
                perhaps_stored: state.perhaps_stored,
                asked: times.map(|(theirs, own)| theirs.cmp(&own)),
            };
            match rules::kept_above(&state.record, found, verdict, &known, self.writer) {
                Above::Nothing => {}
                Above::Kept(above) => {
                    // Its key is destroyed with its tokens: until the store holds another, it is in use.
                    let key = key_but_not(found, &above);
                    state.left.push(Left { token: owed_by(found), key });
                    state.seen = Some(Seen::of(found));
                    state.record = Arc::from(above);
                    state.persisted = false;
                    drop(state);
                    self.rewrite_later();
                    return Stored::Stale;
                }
                Above::GivenWay => {
                    // Nobody else knows these tokens.
                    let key = key_but_not(&state.record, found);
                    let own = Left { token: owed_by(&state.record), key };
                    state.gave_way = Some(state.record.set_hash());
                    state.left.push(own);
                }
                Above::InDoubt => {
                    state.gave_way = Some(state.record.set_hash());
                    state.left.clear();
                }
            }
        }
        match (verdict, found) {
            (Stored::Newer | Stored::Marked, Found::Record(found)) => {
                state.seen = Some(Seen::of(&found));
                let claims = claims_of(&found);
                let (record, persisted) = rules::taken_over(&state.record, *found, verdict, self.writer);
                state.record = Arc::new(record);
                state.persisted = persisted;
                let is_newer = verdict == Stored::Newer;
                if is_newer {
                    state.claims = claims.map(Arc::new).or_else(|| state.claims.take());
                    state.serving = Arc::clone(&state.record);
                    state.held = None;
                    state.keeping = None;
                }
                drop(state);
                if is_newer {
                    // What took the place of a grant that a step-up had left is in the store.
                    self.give_up_left();
                }
                if !persisted {
                    self.rewrite_later();
                }
            }
            // Written again, but not by a process that may not write what others may be writing.
            (Stored::Stale, _) => state.persisted &= !self.context.may_write_others(),
            (Stored::Ended(reason), _) => {
                // What only memory has nobody else can revoke.
                let is_alone = state.seen.is_some_and(|seen| seen.refresh != state.record.refresh_hash());
                drop(state);
                // By another process, or by whoever cleared the store: somebody may want to know who.
                if self.end(reason) {
                    tell_all(&self.context);
                    if is_alone && !planted!(DropsReceived) {
                        self.settle(reason);
                    }
                    self.give_up_left();
                }
            }
            _ => {}
        }
        verdict
    }

    /// The next record in memory: by this writer, at a higher generation than any that was read. An ended session has none,
    /// nor one that holds another refresh token than `presented` (docs/sessions.md §5, item 5).
    pub(crate) fn commit(&self, presented: Option<TokenHash>, make: impl FnOnce(&Record) -> Record) -> Committed {
        self.commit_leaving(presented, make, |_| None)
    }

    /// The same, of a step-up: what it leaves is noted in the same moment.
    pub(crate) fn commit_leaving(
        &self,
        presented: Option<TokenHash>,
        make: impl FnOnce(&Record) -> Record,
        leave: impl FnOnce(&Record) -> Option<Left>,
    ) -> Committed {
        let mut state = self.state();
        if let Some(reason) = state.ended {
            return Committed::Ended(reason);
        }
        if state.record.refresh_hash() != presented {
            return Committed::OtherToken;
        }
        let generation = state.seen.map_or(0, |seen| seen.generation).max(state.record.generation).saturating_add(1);
        let next = Record { generation, writer: self.writer, ..make(&state.record) };
        if let Some(left) = leave(&state.record) {
            state.left.push(left);
        }
        state.record = Arc::new(next);
        Committed::Yes
    }

    /// Hands out the newest set from now on.
    pub(super) fn serve(&self, claims: Option<IdTokenClaims>) -> Result<(), Error> {
        let mut state = self.state();
        state.serving = Arc::clone(&state.record);
        if let Some(claims) = claims {
            state.claims = Some(Arc::new(claims));
        }
        drop(state);
        self.alive()
    }

    /// As [`persist`](Self::persist), with an exclusion of its own.
    pub(crate) async fn persist_alone(self: &Arc<Self>) -> Written {
        match self.exclude().await {
            Ok(mut exclusion) => self.persist(&mut exclusion).await,
            Err(problem) => self.not_stored(problem, None),
        }
    }

    /// Stores what memory holds, after a look at what is there (docs/sessions.md §4).
    pub(super) async fn persist(self: &Arc<Self>, exclusion: &mut Exclusion) -> Written {
        let writing = match self.writing().await {
            Ok(writing) => writing,
            Err(problem) => return self.not_stored(problem, Some(exclusion)),
        };
        // Whoever lost the lock takes it again and looks again.
        for _ in 0..MAX_LOOKS {
            if exclusion.renew(self.context.timing().lock).await.is_err() {
                return self.not_stored(StoreProblem::Transient, Some(exclusion));
            }
            if planted!(WritesBlindly) {
                return self.write(exclusion, writing).await;
            }
            let written = self.state().written;
            match reading::look(&self.context, &self.id).await.map(|found| self.compare(found, written)) {
                Ok(Stored::Unchanged | Stored::Stale | Stored::Marked) => {}
                Ok(Stored::Newer) => return Written::Superseded,
                Ok(Stored::Ended(reason)) => return Written::Ended(reason),
                // No write for a record that cannot be read.
                Err(problem) => return self.not_stored(problem, Some(exclusion)),
            }
            if exclusion.is_whole() {
                return self.write(exclusion, writing).await;
            }
        }
        self.not_stored(StoreProblem::Transient, Some(exclusion))
    }

    async fn write(self: &Arc<Self>, exclusion: &Exclusion, writing: OwnedMutexGuard<()>) -> Written {
        let record = {
            let mut state = self.state();
            if let Some(reason) = state.ended {
                return Written::Ended(reason);
            }
            state.was_written = true;
            // From here on it may be there, whatever is heard of that.
            state.perhaps_stored = Some(state.record.set_hash());
            Arc::clone(&state.record)
        };
        // Both are kept until the last call has returned, however late.
        let kept = (writing, exclusion.keep());
        let stored = self.context.store_and_check(&self.key, record.encode(), kept).await;
        if stored.is_ok() {
            // Whatever becomes of the next look: it is there.
            let mut state = self.state();
            state.written = state.written.saturating_add(1);
            if state.seen.is_none_or(|seen| record.generation > seen.generation) {
                state.seen = Some(Seen::of(&record));
            }
        }
        // A sign-out in between has left its tombstone: the record is ended, stored or not.
        match reading::end_of(&self.context, &self.id).await {
            Ok(Some(reason)) => {
                self.compare(Found::Ended(reason), 0);
                return Written::Ended(reason);
            }
            Ok(None) => {}
            Err(problem) => {
                if stored.is_ok() && self.is_newest(&record) {
                    // Ended or not: it is in the store, and what it has left is nobody's.
                    self.give_up_left();
                }
                return self.not_stored(problem, Some(exclusion));
            }
        }
        match stored {
            Ok(()) => {
                let mut state = self.state();
                let is_newest = (state.record.generation, state.record.writer) == (record.generation, record.writer);
                state.persisted = is_newest;
                if is_newest {
                    state.keeping = None;
                }
                drop(state);
                if is_newest {
                    self.give_up_left();
                }
                Discovery::keep(&self.context);
                Written::Stored
            }
            Err(problem) => self.not_stored(problem, Some(exclusion)),
        }
    }

    fn is_newest(&self, record: &Record) -> bool {
        let newest = self.record();
        (newest.generation, newest.writer) == (record.generation, record.writer)
    }

    fn not_stored(&self, problem: StoreProblem, exclusion: Option<&Exclusion>) -> Written {
        let now = self.context.env.clock.boot();
        let mut state = self.state();
        state.persisted = false;
        // No other process refreshes with what is not the newest any more.
        let is_old = state.seen.is_some_and(|seen| seen.refresh != state.record.refresh_hash());
        if is_old
            && state.ended.is_none()
            && let Some(hold) = exclusion.and_then(Exclusion::keep)
        {
            state.keeping = Some(hold);
        }
        state.refused_write = Some((now, problem));
        Written::Kept(problem)
    }

    /// The right to write. Not waited for without end: a store call may hang.
    async fn writing(&self) -> Result<OwnedMutexGuard<()>, StoreProblem> {
        self.context.in_turn(Arc::clone(&self.writes).lock_owned()).await
    }

    /// Writes again until it works, the session ends, or the store says that it never will. The task keeps the engine alive:
    /// a set that is only in memory must not go with the last `Session` of the app.
    pub(crate) fn rewrite_later(self: &Arc<Self>) {
        if core::mem::replace(&mut self.state().rewriting, true) {
            return;
        }
        let engine = Arc::clone(self);
        in_background(&self.context.env, async move {
            let mut pause = REWRITE_FIRST;
            let mut hopeless = false;
            loop {
                {
                    // Decided and noted in one: who comes later starts a task of its own.
                    let mut state = engine.state();
                    if state.persisted || state.ended.is_some() || hopeless {
                        state.rewriting = false;
                        return;
                    }
                }
                engine.context.env.clock.sleep(pause).await;
                pause = pause.saturating_mul(2).min(REWRITE_LAST);
                let written = engine.persist_alone().await;
                hopeless = matches!(written, Written::Kept(problem) if !rules::may_work_by_itself(problem));
            }
        });
    }

    /// A caller is there, so perhaps the device is unlocked now: an unstored set is written at once, in the background.
    pub(crate) fn persist_now(self: &Arc<Self>) {
        self.persist_if(rules::may_write_again);
    }

    /// The app says that the device is unlocked: whatever the store refused a moment ago is tried again.
    pub(crate) fn persist_at_once(self: &Arc<Self>) {
        self.persist_if(|_, _| true);
    }

    fn persist_if(self: &Arc<Self>, may_write_again: impl FnOnce(StoreProblem, Duration) -> bool) {
        {
            let now = self.context.env.clock.boot();
            let mut state = self.state();
            let too_early = state.refused_write.is_some_and(|(at, problem)| !may_write_again(problem, now.since(at)));
            if state.persisted || state.persisting || too_early {
                return;
            }
            state.persisting = true;
        }
        let engine = Arc::clone(self);
        in_background(&self.context.env, async move {
            let written = engine.persist_alone().await;
            engine.state().persisting = false;
            if matches!(written, Written::Kept(_)) {
                engine.rewrite_later();
            }
        });
    }
}

/// The key of a record that another does not have.
fn key_but_not(of: &Record, other: &Record) -> Option<ProofKey> {
    let key = of.proof_key.as_ref()?;
    let is_kept = other.proof_key.as_ref().is_some_and(|kept| kept.is(key));
    (!is_kept).then(|| key.duplicate())
}
