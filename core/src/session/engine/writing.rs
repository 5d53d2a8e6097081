//! The session in memory and its record: what is newer, what is written when, what is handed out. docs/sessions.md §3–§4.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::lock::OwnedMutexGuard;

use super::{Engine, claims_of};
use crate::audit::AuditKind;
use crate::context::{STORE_DEADLINE, in_background, storage};
use crate::error::{EndReason, Error, Kind, StoreProblem};
use crate::jose::id_token::IdTokenClaims;
use crate::session::record::{Record, TokenHash};
use crate::session::rules::{self, Stored};

/// What became of a write.
pub(super) enum Written {
    Stored,
    /// The store did not take it; memory stands.
    Kept(StoreProblem),
    /// The record is gone: the session was ended by somebody who knows.
    Gone,
    /// Another process had written a newer set, which is ours now.
    Superseded,
}

/// Whether memory took the next record.
pub(super) enum Committed {
    Yes,
    Ended(EndReason),
    /// Another process's set was taken over meanwhile.
    OtherToken,
}

/// A record that could not be stored is tried again after this long, then after twice as long, and so on.
const REWRITE_FIRST: Duration = Duration::from_secs(1);
const REWRITE_LAST: Duration = Duration::from_secs(60);

impl Engine {
    /// Stores a new session; what cannot be stored lives in memory and is said so.
    pub(crate) async fn first_write(self: &Arc<Self>) {
        if let Written::Kept(_) = self.persist().await {
            self.rewrite_later();
        }
    }

    /// Deletes a record that cannot be read any more, and writes what memory has.
    pub(crate) async fn discard_stored(self: &Arc<Self>) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        // From here on an absent record says nothing.
        let was_stored = {
            let mut state = self.state();
            state.persisted = false;
            core::mem::replace(&mut state.was_stored, false)
        };
        if let Err(problem) = self.context.delete_and_check(&self.key, writing).await {
            self.state().was_stored = was_stored;
            return Err(problem);
        }
        if self.alive().is_ok() {
            self.first_write().await;
        }
        Ok(())
    }

    /// Removes the record, after whatever write is under way.
    pub(crate) async fn delete(&self) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        self.context.delete_and_check(&self.key, writing).await
    }

    /// Reads the record again; `true` if another process had refreshed, and its set is ours now.
    pub(super) async fn adopt_newer(&self) -> Result<bool, Error> {
        if !self.state().was_stored {
            return Ok(false);
        }
        let found = self.context.load(&self.key).await.map_err(storage)?;
        let found = found.map(|blob| Record::decode(&blob)).transpose().map_err(storage)?;
        match self.compare(found) {
            Stored::Unchanged => Ok(false),
            Stored::Newer => Ok(true),
            Stored::Gone => Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into()),
        }
    }

    /// Holds a record that was read against memory, and takes over what is newer, or the end.
    pub(super) fn compare(&self, found: Option<Record>) -> Stored {
        let mut state = self.state();
        if found.is_none() && !state.was_stored {
            return Stored::Unchanged;
        }
        let verdict = rules::compare(&state.record.id, state.seen, &self.writer, found.as_ref());
        match (verdict, found) {
            (Stored::Newer, Some(found)) => {
                state.claims = claims_of(&found).map(Arc::new).or_else(|| state.claims.clone());
                state.seen = found.generation;
                state.record = Arc::new(found);
                state.serving = Arc::clone(&state.record);
                state.persisted = true;
            }
            (Stored::Gone, _) if state.ended.is_none() => {
                let reason = EndReason::SignedOut;
                state.ended = Some(reason);
                let id = state.record.id.clone();
                drop(state);
                // Deleted by another process, or by whoever cleared the store: somebody may want to know who.
                self.audit(&id, AuditKind::SessionEnded { session_id: id.clone(), reason });
            }
            _ => {}
        }
        verdict
    }

    /// The next record in memory: by this writer, at a higher generation than any that was read. An ended session has none,
    /// nor one that holds another refresh token than `presented` (docs/sessions.md §5, item 5).
    pub(super) fn commit(&self, presented: TokenHash, make: impl FnOnce(&Record) -> Record) -> Committed {
        let mut state = self.state();
        if let Some(reason) = state.ended {
            return Committed::Ended(reason);
        }
        if state.record.refresh_hash() != Some(presented) {
            return Committed::OtherToken;
        }
        let generation = state.seen.max(state.record.generation).saturating_add(1);
        let next = Record { generation, writer: self.writer, ..make(&state.record) };
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

    /// Stores what memory holds, after a look at what is there (docs/sessions.md §4).
    pub(super) async fn persist(&self) -> Written {
        let writing = match self.writing().await {
            Ok(writing) => writing,
            Err(problem) => return self.not_stored(problem),
        };
        if self.state().was_stored {
            let found = match self.context.load(&self.key).await {
                Ok(found) => found.map(|blob| Record::decode(&blob)).transpose(),
                Err(problem) => Err(problem),
            };
            match found.map(|found| self.compare(found)) {
                Ok(Stored::Unchanged) => {}
                Ok(Stored::Newer) => return Written::Superseded,
                Ok(Stored::Gone) => return Written::Gone,
                // No write for a record that cannot be read.
                Err(problem) => return self.not_stored(problem),
            }
        }
        let record = {
            let state = self.state();
            if state.ended.is_some() {
                return Written::Gone;
            }
            Arc::clone(&state.record)
        };
        match self.context.store_and_check(&self.key, record.encode(), writing).await {
            Ok(()) => {
                let mut state = self.state();
                state.was_stored = true;
                state.seen = state.seen.max(record.generation);
                state.persisted = state.record.generation == record.generation;
                Written::Stored
            }
            Err(problem) => self.not_stored(problem),
        }
    }

    fn not_stored(&self, problem: StoreProblem) -> Written {
        let now = self.context.env.clock.boot();
        let mut state = self.state();
        state.persisted = false;
        state.refused_write = Some((now, problem));
        Written::Kept(problem)
    }

    /// The right to write. Not waited for without end: a store call may hang.
    async fn writing(&self) -> Result<OwnedMutexGuard<()>, StoreProblem> {
        let lock = core::pin::pin!(Arc::clone(&self.writes).lock_owned());
        match select(lock, self.context.env.clock.sleep(STORE_DEADLINE)).await {
            Either::Left((guard, _)) => Ok(guard),
            Either::Right(_) => Err(StoreProblem::Transient),
        }
    }

    /// Writes again until it works, the session ends, or the store says that it never will. The task keeps the engine alive:
    /// a set that is only in memory must not go with the last `Session` of the app.
    pub(super) fn rewrite_later(self: &Arc<Self>) {
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
                hopeless =
                    matches!(engine.persist().await, Written::Kept(problem) if !rules::may_work_by_itself(problem));
            }
        });
    }

    /// A caller is there, so perhaps the device is unlocked now: an unstored set is written at once, in the background.
    pub(super) fn persist_now(self: &Arc<Self>) {
        {
            let now = self.context.env.clock.boot();
            let mut state = self.state();
            let too_early =
                state.refused_write.is_some_and(|(at, problem)| !rules::may_write_again(problem, now.since(at)));
            if state.persisted || state.persisting || too_early {
                return;
            }
            state.persisting = true;
        }
        let engine = Arc::clone(self);
        in_background(&self.context.env, async move {
            let written = engine.persist().await;
            engine.state().persisting = false;
            if matches!(written, Written::Kept(_)) {
                engine.rewrite_later();
            }
        });
    }
}
