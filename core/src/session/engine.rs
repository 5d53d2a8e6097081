//! The one worker on a session in this process: what it holds, who asks for what, and when it is over.
//!
//! docs/sessions.md §4–§6. `refresh` runs one refresh, `writing` keeps memory and record in step.

mod refresh;
mod writing;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use futures_util::lock::Mutex as AsyncMutex;

use super::ServerSignOut;
use super::record::{Record, TokenHash, Writer};
use super::rules::{self, Freshness, MaySend, Now, OKTA};
use crate::audit::{AuditKind, Trail};
use crate::context::Context;
use crate::env::{BootInstant, BoxFuture, StorageKey};
use crate::error::{Code, EndReason, Error, Kind, StoreProblem};
use crate::jose::id_token::IdTokenClaims;
use crate::jose::jws;
use crate::secret::Secret;
use crate::wire::rate_limit::MAX_AUTOMATIC;

pub(crate) struct Engine {
    context: Arc<Context>,
    key: StorageKey,
    writer: Writer,
    state: Mutex<State>,
    running: Mutex<Option<(u64, Running)>>,
    /// One storage write at a time; held by the task that writes until its last call has returned, however late.
    writes: Arc<AsyncMutex<()>>,
}

type Running = Shared<BoxFuture<'static, Result<(), Error>>>;

struct State {
    /// The newest set and its mark, stored or not.
    record: Arc<Record>,
    /// The set that is handed out: it was read back equal, or could not be stored.
    serving: Arc<Record>,
    /// The highest generation that was read, or written and read back.
    seen: u64,
    /// The claims of the newest validated ID token.
    claims: Option<Arc<IdTokenClaims>>,
    /// Whether `record` is what the store holds.
    persisted: bool,
    /// Whether the store ever held a record of this session: then a refresh needs its mark stored.
    was_stored: bool,
    /// Whether a task is under way that writes `record` again and again until it is stored.
    rewriting: bool,
    /// Whether a caller has set off a write of its own.
    persisting: bool,
    ended: Option<EndReason>,
    /// What the server was told at sign-out, and whether the record is gone.
    signed_out: Option<(ServerSignOut, bool)>,
    last_refresh: Option<(BootInstant, Option<Error>)>,
    refreshes: u64,
    /// Why and when the store did not take the record.
    refused_write: Option<(BootInstant, StoreProblem)>,
    /// The refresh token whose one retry has been used.
    retried: Option<TokenHash>,
}

/// What a session holds at one moment.
pub(crate) struct Snapshot {
    pub(crate) record: Arc<Record>,
    pub(crate) claims: Option<Arc<IdTokenClaims>>,
    pub(crate) persisted: bool,
    pub(crate) ended: Option<EndReason>,
}

impl Engine {
    pub(crate) fn new(
        context: &Arc<Context>,
        key: StorageKey,
        record: Record,
        claims: Option<IdTokenClaims>,
        persisted: bool,
        writer: Writer,
    ) -> Arc<Self> {
        let claims = claims.or_else(|| claims_of(&record)).map(Arc::new);
        let record = Arc::new(record);
        let state = State {
            serving: Arc::clone(&record),
            seen: if persisted { record.generation } else { 0 },
            record,
            claims,
            persisted,
            was_stored: persisted,
            rewriting: false,
            persisting: false,
            ended: None,
            signed_out: None,
            last_refresh: None,
            refreshes: 0,
            refused_write: None,
            retried: None,
        };
        Arc::new(Self {
            context: Arc::clone(context),
            key,
            writer,
            state: Mutex::new(state),
            running: Mutex::new(None),
            writes: Arc::default(),
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            record: Arc::clone(&state.serving),
            claims: state.claims.clone(),
            persisted: state.persisted,
            ended: state.ended,
        }
    }

    /// Whether it is a session of this very client.
    pub(crate) fn belongs_to(&self, context: &Arc<Context>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }

    /// Whether its record is under `key`.
    pub(crate) fn is_stored_at(&self, key: &StorageKey) -> bool {
        self.key == *key
    }

    /// Takes up a refresh that the death of an earlier process interrupted, while the server may still repeat its answer.
    pub(crate) fn resume(self: &Arc<Self>) {
        let record = Arc::clone(&self.state().record);
        let interrupted = record.mark.is_some()
            && record
                .set
                .refresh_token
                .as_ref()
                .is_some_and(|token| self.may_send(&record, token).ok() == Some(MaySend::Again));
        if interrupted {
            drop(self.start(Duration::ZERO, None));
        }
    }

    /// The access token, refreshed if need be. 1 of the contract.
    pub(crate) async fn access_token(self: &Arc<Self>) -> Result<Secret, Error> {
        self.alive()?;
        self.persist_now();
        match self.freshness() {
            Freshness::Fresh => {}
            // Row 321: the token is good for a while, and the server asked for quiet.
            Freshness::Due if self.context.should_be_quiet() => {}
            // Started by this call, waited for by nobody; too early for another is no news.
            Freshness::Due => drop(self.start(OKTA.automatic_spacing, Some(Freshness::Fresh))),
            Freshness::Expired => {
                if let Some(running) = self.start(OKTA.waiting_spacing, Some(Freshness::Due))? {
                    running.await?;
                }
            }
        }
        self.alive()?;
        Ok(self.state().serving.set.access_token.duplicate())
    }

    /// A refresh now, or the one that is under way, or the one of a moment ago.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), Error> {
        self.alive()?;
        self.persist_now();
        let just_now = {
            let now = self.context.env.clock.boot();
            let state = self.state();
            state
                .last_refresh
                .as_ref()
                .is_some_and(|(at, error)| error.is_none() && now.since(*at) < OKTA.waiting_spacing)
        };
        if just_now {
            return Ok(());
        }
        match self.start(OKTA.waiting_spacing, None)? {
            Some(running) => running.await,
            None => Ok(()),
        }
    }

    pub(crate) fn can_refresh(&self) -> bool {
        self.state().record.set.refresh_token.is_some()
    }

    /// Marks the session ended in memory; no call, write or refresh starts any more. Gives the newest refresh token, or the
    /// access token if there is none, and what kind it is; `None` if it had ended already.
    pub(crate) fn end(&self, reason: EndReason) -> Option<(Secret, &'static str)> {
        let mut state = self.state();
        if state.ended.is_some() {
            return None;
        }
        state.ended = Some(reason);
        let record = Arc::clone(&state.record);
        drop(state);
        self.audit(&record.id, AuditKind::SessionEnded { session_id: record.id.clone(), reason });
        Some(match &record.set.refresh_token {
            Some(token) => (token.duplicate(), "refresh_token"),
            None => (record.set.access_token.duplicate(), "access_token"),
        })
    }

    /// Remembers how a sign-out went, so that one whose deletion failed can be repeated.
    pub(crate) fn signed_out(&self, server: ServerSignOut, deleted: bool) {
        self.state().signed_out = Some((server, deleted));
    }

    /// What the server was told by a sign-out that could not delete the record.
    pub(crate) fn unfinished_sign_out(&self) -> Option<ServerSignOut> {
        self.state().signed_out.filter(|(_, deleted)| !deleted).map(|(server, _)| server)
    }

    pub(crate) fn alive(&self) -> Result<(), Error> {
        match self.state().ended {
            Some(reason) => Err(Kind::SessionEnded { reason }.into()),
            None => Ok(()),
        }
    }

    pub(super) fn audit(&self, id: &Code, kind: AuditKind) {
        let record = Arc::clone(&self.state().record);
        self.context.auditor.record(Trail { id, user: &record.username }, kind);
    }

    fn now(&self) -> Now {
        Now { wall: self.context.env.clock.wall(), boot: self.context.env.clock.boot() }
    }

    fn freshness(&self) -> Freshness {
        rules::freshness(self.state().serving.set.life, self.now())
    }

    /// The refresh that is running, or a new one; `None` if the token is meanwhile as fresh as `enough`. It runs to its end
    /// whoever waits. While it is too early for another, the last one's error again.
    fn start(self: &Arc<Self>, spacing: Duration, enough: Option<Freshness>) -> Result<Option<Running>, Error> {
        // Held throughout: a refresh that has just ended is seen either as running or by its result.
        let mut running = self.running();
        if let Some((_, running)) = &*running {
            return Ok(Some(running.clone()));
        }
        if enough.is_some_and(|enough| self.freshness() <= enough) {
            return Ok(None);
        }
        if !self.can_refresh() {
            return Err(Kind::ReauthRequired { reason: Code::of("no_refresh_token") }.into());
        }
        let now = self.now();
        if let Some((at, Some(error))) = &self.state().last_refresh
            && let Kind::RateLimited { retry_at } = error.kind()
            && now.wall.to_system_time() < *retry_at
            && now.boot.since(*at) < MAX_AUTOMATIC
        {
            // The server said until when; the error of then says it too.
            return Err(error.clone());
        }
        if let Some((at, error)) = &self.state().last_refresh
            && now.boot.since(*at) < spacing
        {
            let wait = at.plus(spacing).since(now.boot);
            let too_early = || Kind::RateLimited { retry_at: now.wall.plus(wait).to_system_time() }.into();
            return Err(error.clone().unwrap_or_else(too_early));
        }
        let number = {
            let mut state = self.state();
            state.refreshes = state.refreshes.saturating_add(1);
            state.refreshes
        };
        let (engine, cleaner) = (Arc::clone(self), Arc::clone(self));
        let task = self.context.detached(move |_| async move {
            let mut done = Done { engine, number, began: now.boot, error: Some(Kind::Internal.into()) };
            let result = done.engine.refresh_once().await;
            done.error = result.as_ref().err().cloned();
            result
        });
        let task: BoxFuture<'static, Result<(), Error>> = Box::pin(async move {
            task.await.unwrap_or_else(|| {
                // It panicked, or could not be run at all.
                cleaner.no_longer_runs(number);
                Err(Kind::Internal.into())
            })
        });
        let task = task.shared();
        *running = Some((number, task.clone()));
        Ok(Some(task))
    }

    fn no_longer_runs(&self, number: u64) {
        self.running().take_if(|(running, _)| *running == number);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<(u64, Running)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refresh is over, also if it panicked: first its result is there, then it no longer runs.
struct Done {
    engine: Arc<Engine>,
    number: u64,
    began: BootInstant,
    error: Option<Error>,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.engine.state().last_refresh = Some((self.began, self.error.take()));
        self.engine.no_longer_runs(self.number);
    }
}

/// The claims of a stored ID token: it was validated before it was stored, and the record's checksum holds.
fn claims_of(record: &Record) -> Option<IdTokenClaims> {
    let token = record.set.id_token.as_ref()?;
    // EXPOSE: parsed for its claims.
    let jws = jws::parse(token.expose(), &[jws::Algorithm::Rs256]).ok()?;
    IdTokenClaims::read(jws.into_payload().ok()?)
}
