//! The one worker on a session in this process: what it holds, who asks for what, and when it is over.
//!
//! docs/sessions.md §4–§6. `refresh` runs one refresh, `held` validates again what could not be validated, `writing` keeps
//! memory and record in step.

mod held;
mod refresh;
mod stepping_up;
mod writing;

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use futures_util::lock::Mutex as AsyncMutex;
use held::HeldBack;
pub(crate) use stepping_up::{NotStepped, SteppedUp};
pub(crate) use writing::{Committed, Written};

use super::reading::is_ours;
use super::record::{Record, TokenHash, Writer, hash};
use super::rules::{self, Freshness, MaySend, Now, Seen};
use super::{ServerSignOut, reading};
use crate::audit::{AuditKind, Trail};
use crate::config::RefreshPolicy;
use crate::context::Context;
use crate::env::{BootInstant, BoxFuture, StorageKey};
use crate::error::{Code, EndReason, Error, Kind, StoreProblem};
use crate::gate::{Exclusion, Hold};
use crate::jose::id_token::IdTokenClaims;
use crate::jose::jws;
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::wire::rate_limit::MAX_AUTOMATIC;
use crate::wire::tokens::TokenKind;

pub(crate) struct Engine {
    context: Arc<Context>,
    id: Code,
    key: StorageKey,
    writer: Writer,
    state: Mutex<State>,
    running: Mutex<Option<(u64, Running)>>,
    /// One storage write at a time; held by the task that writes until its last call has returned, however late.
    writes: Arc<AsyncMutex<()>>,
    /// How many looks at the store have begun for callers, and the number of the last one that ended.
    looks: AtomicU64,
    looked: AsyncMutex<u64>,
    /// Whether its first write is over.
    established: AtomicBool,
}

type Running = Shared<BoxFuture<'static, Result<(), Error>>>;

struct State {
    /// The newest set and its mark, stored or not.
    record: Arc<Record>,
    /// The set that is handed out: it was read back equal, or could not be stored.
    serving: Arc<Record>,
    /// How many writes have succeeded: what a look found that began earlier may be of the past.
    written: u64,
    /// What was read, or written and read back, last; `None` while nothing of this session was ever stored, so that a refresh
    /// needs no mark.
    seen: Option<Seen>,
    /// The answer that could not be validated yet.
    held: Option<Arc<HeldBack>>,
    /// The cross-process lock, while the newest refresh token is only in memory.
    keeping: Option<Arc<Hold>>,
    /// Of a session that has ended: a token that is newer than the record's, or that nothing is owed.
    owed: Option<Option<(Secret, TokenKind)>>,
    /// Whether the server was told, or is being told, what is owed.
    told: bool,
    /// The claims of the newest validated ID token.
    claims: Option<Arc<IdTokenClaims>>,
    /// Whether `record` is what the store holds.
    persisted: bool,
    /// The set of the last write that began: it may be in the store, whatever was heard of that.
    perhaps_stored: Option<TokenHash>,
    /// Whether a write of it has ever begun: then it may be in the store, whatever was heard of that.
    was_written: bool,
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
    /// The access token of a refresh that a resource server's refusal caused: one for each refused token (row 277).
    renewed: Option<TokenHash>,
    /// What step-ups have left, to be given up once the store holds what took its place.
    left: Vec<Left>,
    /// The set of a step-up that gave way to another process's.
    gave_way: Option<TokenHash>,
}

/// The newest token of a grant that a step-up has left, and the key that only that one's tokens were bound to.
pub(crate) struct Left {
    token: (Secret, TokenKind),
    key: Option<ProofKey>,
}

/// What a session holds at one moment.
pub(crate) struct Snapshot {
    pub(crate) record: Arc<Record>,
    pub(crate) claims: Option<Arc<IdTokenClaims>>,
    pub(crate) ended: Option<EndReason>,
}

impl Engine {
    pub(crate) fn new(
        context: &Arc<Context>,
        record: Record,
        claims: Option<IdTokenClaims>,
        persisted: bool,
        writer: Writer,
    ) -> Arc<Self> {
        let claims = claims.or_else(|| claims_of(&record)).map(Arc::new);
        let record = Arc::new(record);
        let state = State {
            serving: Arc::clone(&record),
            written: 0,
            seen: persisted.then(|| Seen::of(&record)),
            held: None,
            keeping: None,
            owed: None,
            told: false,
            record: Arc::clone(&record),
            claims,
            persisted,
            was_written: persisted,
            perhaps_stored: None,
            rewriting: false,
            persisting: false,
            ended: None,
            signed_out: None,
            last_refresh: None,
            refreshes: 0,
            refused_write: None,
            retried: None,
            renewed: None,
            left: Vec::new(),
            gave_way: None,
        };
        Arc::new(Self {
            context: Arc::clone(context),
            id: record.id.clone(),
            key: Record::key(&record.id),
            writer,
            state: Mutex::new(state),
            running: Mutex::new(None),
            writes: context.env.sessions.writes(Record::key(&record.id).as_str()),
            looks: AtomicU64::new(0),
            looked: AsyncMutex::default(),
            established: AtomicBool::new(persisted),
        })
    }

    /// The newest of what memory holds, stored and handed out or not.
    pub(crate) fn record(&self) -> Arc<Record> {
        Arc::clone(&self.state().record)
    }

    pub(crate) fn id(&self) -> &Code {
        &self.id
    }

    /// What audit events of this session belong to.
    pub(crate) fn trail(&self) -> OwnTrail {
        OwnTrail { id: self.id.clone(), user: self.state().record.username.clone() }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot { record: Arc::clone(&state.serving), claims: state.claims.clone(), ended: state.ended }
    }

    /// Whether the set that is handed out is in the store.
    pub(crate) fn is_persisted(&self) -> bool {
        let state = self.state();
        state.persisted || state.seen.is_some_and(|seen| seen.set == state.serving.set_hash())
    }

    /// Whether it was opened by this very client, so that it is in its store also if it could not be written yet.
    pub(crate) fn is_of(&self, context: &Arc<Context>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }

    /// Its first write is over, well or not: it may be handed out.
    pub(crate) fn is_established(&self) {
        self.established.store(true, Ordering::SeqCst);
    }

    /// Whether it may be handed out.
    pub(crate) fn is_there(&self) -> bool {
        self.established.load(Ordering::SeqCst)
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
        if interrupted && self.context.config.refresh_policy == RefreshPolicy::WhenDue {
            drop(self.start(Duration::ZERO, None));
        }
    }

    /// The access token, refreshed if need be.
    pub(crate) async fn access_token(self: &Arc<Self>) -> Result<Secret, Error> {
        self.access().await.map(|(token, _)| token)
    }

    /// The access token, refreshed if need be, and the key that it is bound to. 1 of the contract.
    pub(crate) async fn access(self: &Arc<Self>) -> Result<(Secret, Option<ProofKey>), Error> {
        self.alive()?;
        self.look_again().await?;
        self.persist_now();
        let timing = self.context.timing();
        match self.freshness() {
            Freshness::Fresh => {}
            Freshness::Expired if self.context.config.refresh_policy == RefreshPolicy::Never => {
                return Err(refreshed_elsewhere());
            }
            Freshness::Due if self.context.config.refresh_policy == RefreshPolicy::Never => {}
            // Row 321: the token is good for a while, and the server asked for quiet.
            Freshness::Due if self.context.should_be_quiet() => {}
            // Started by this call, waited for by nobody; too early for another is no news.
            Freshness::Due => drop(self.start(timing.automatic_spacing, Some(Freshness::Fresh))),
            Freshness::Expired => {
                if let Some(running) = self.start(timing.waiting_spacing, Some(Freshness::Due))? {
                    running.await?;
                }
            }
        }
        self.alive()?;
        let state = self.state();
        let key = state.serving.proof_key.as_ref().map(ProofKey::duplicate);
        Ok((state.serving.set.access_token.duplicate(), key))
    }

    /// Where other processes write too, what they wrote counts. A store that cannot be read says nothing. One look serves all
    /// who came before it began.
    async fn look_again(self: &Arc<Self>) -> Result<(), Error> {
        if !self.context.config.shared_store {
            return Ok(());
        }
        let before = self.looks.load(Ordering::SeqCst);
        let mut looked = self.looked.lock().await;
        if *looked > before {
            return self.alive();
        }
        let number = self.looks.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let found = self.adopt_newer().await;
        // Not reached by one whose caller went away.
        *looked = number;
        match found {
            Err(error) if matches!(error.kind(), Kind::StorageUnavailable { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A refresh now, or the one that is under way, or the one of a moment ago.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), Error> {
        self.alive()?;
        if self.context.config.refresh_policy == RefreshPolicy::Never {
            self.look_again().await?;
            return if self.freshness() == Freshness::Expired { Err(refreshed_elsewhere()) } else { Ok(()) };
        }
        self.persist_now();
        let spacing = self.context.timing().waiting_spacing;
        let just_now = {
            let now = self.context.env.clock.boot();
            let state = self.state();
            state.last_refresh.as_ref().is_some_and(|(at, error)| error.is_none() && now.since(*at) < spacing)
        };
        if just_now {
            return Ok(());
        }
        match self.start(spacing, None)? {
            Some(running) => running.await,
            None => Ok(()),
        }
    }

    /// Whether this access token is the one that is handed out.
    pub(crate) fn serves(&self, token: &TokenHash) -> bool {
        hash(&self.state().serving.set.access_token) == *token
    }

    /// Whether it came from a refresh that a resource server's refusal caused.
    pub(crate) fn was_renewed(&self, token: &TokenHash) -> bool {
        self.state().renewed.as_ref() == Some(token)
    }

    /// A resource server's refusal has caused a refresh, and this is what came of it.
    pub(crate) fn is_renewed(&self) {
        let mut state = self.state();
        state.renewed = Some(hash(&state.serving.set.access_token));
    }

    pub(crate) fn can_refresh(&self) -> bool {
        self.state().record.set.refresh_token.is_some()
    }

    /// Marks the session ended in memory; no call, write or refresh starts any more. `false` if it had ended already.
    pub(crate) fn end(&self, reason: EndReason) -> bool {
        self.end_if(reason, |_| true)
    }

    /// As [`end`](Self::end), if its record is certainly not in the store, nor ever will be; otherwise `false` too.
    pub(crate) async fn end_unwritten(&self, reason: EndReason) -> bool {
        if self.end_if(reason, |state| !state.was_written) {
            return true;
        }
        // A write that has failed: no other begins meanwhile, and what nobody has heard of still has the turn.
        let Ok(_turn) = self.context.turn(&self.key).await else { return false };
        let found = reading::record(&self.context, &self.key).await;
        matches!(found, Ok(None)) && self.end(reason)
    }

    fn end_if(&self, reason: EndReason, may_end: impl FnOnce(&State) -> bool) -> bool {
        let mut state = self.state();
        if state.ended.is_some() || !may_end(&state) {
            return false;
        }
        state.ended = Some(reason);
        state.held = None;
        state.keeping = None;
        if !rules::is_revoked(self.context.config.profile, reason) {
            state.owed = Some(None);
        }
        drop(state);
        self.audit(&self.id, AuditKind::SessionEnded { session_id: self.id.clone(), reason });
        true
    }

    /// Whether the store is known to have held its record.
    pub(crate) fn was_stored(&self) -> bool {
        self.state().seen.is_some()
    }

    /// The authorization server's last nonce, for a later run of the app.
    fn newest_nonce(&self) -> Option<String> {
        self.context.nonces().server().map(str::to_owned)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What is to be revoked of a session that has ended: the newest refresh token that is known, or the access token if
    /// there is none.
    pub(crate) fn owed(&self) -> Option<(Secret, TokenKind)> {
        let state = self.state();
        match &state.owed {
            Some(owed) => owed.as_ref().map(|(token, kind)| (token.duplicate(), *kind)),
            None => {
                let (token, kind) = state.record.set.newest();
                Some((token.duplicate(), kind))
            }
        }
    }

    /// As [`owed`](Self::owed), for the one who tells the server; once for each token.
    pub(crate) fn take_owed_token(&self) -> Option<(Secret, TokenKind)> {
        let told = core::mem::replace(&mut self.state().told, true);
        if told { None } else { self.owed() }
    }

    /// An ended session got a token that perhaps nobody else knows. Nothing, if nothing of it is to be revoked.
    pub(super) fn received(&self, (token, kind): (Secret, TokenKind)) {
        let is_known = self.owed().is_none_or(|(known, _)| hash(&known) == hash(&token));
        if !is_known {
            let mut state = self.state();
            state.owed = Some(Some((token, kind)));
            state.told = false;
        }
    }

    /// Before a session ends: another process may have stored a newer refresh token.
    pub(crate) async fn learn_newest(&self) {
        let Some(seen) = self.state().seen else { return };
        let Ok(Some(found)) = reading::record(&self.context, &self.key).await else { return };
        let mut state = self.state();
        let is_newer = found.writer != self.writer && found.generation > seen.generation;
        if is_newer && found.id == self.id && is_ours(&self.context, &found) && state.owed.is_none() {
            state.owed = found.set.refresh_token.map(|token| Some((token, TokenKind::Refresh)));
        }
    }

    /// Remembers how a sign-out went, so that one whose deletion failed can be repeated.
    pub(crate) fn signed_out(&self, server: ServerSignOut, deleted: bool) {
        let mut state = self.state();
        state.signed_out = Some((server, deleted));
        // Whoever repeats it tells the server again.
        state.told &= deleted || server == ServerSignOut::Revoked;
    }

    /// Whether the server has nothing more to be told.
    pub(crate) fn is_told(&self) -> bool {
        let server = self.state().signed_out.map(|(server, _)| server);
        matches!(server, Some(ServerSignOut::Revoked | ServerSignOut::Unsupported))
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

    /// The right to refresh and write, as far as other processes go. Waited for no longer than another one's refresh lasts.
    async fn exclude(&self) -> Result<Exclusion, StoreProblem> {
        let timing = self.context.timing();
        Exclusion::acquire(self.context.gate.as_ref(), timing.lock).await.map_err(|_| StoreProblem::Transient)
    }

    pub(super) fn audit(&self, id: &Code, kind: AuditKind) {
        let record = Arc::clone(&self.state().record);
        self.context.auditor.record(Trail { id, user: &record.username }, kind);
    }

    fn now(&self) -> Now {
        self.context.now()
    }

    fn freshness(&self) -> Freshness {
        rules::freshness(self.state().serving.set.life, self.now())
    }

    /// The refresh that is running, or a new one; `None` if the token is meanwhile as fresh as `enough`. It runs to its end
    /// whoever waits. While it is too early for another, the last one's error again.
    fn start(self: &Arc<Self>, spacing: Duration, enough: Option<Freshness>) -> Result<Option<Running>, Error> {
        // Held throughout: a refresh that has just ended is seen either as running or by its result.
        let mut running = self.running();
        if let Some((_, running)) = &*running
            && !planted!(RefreshesTwice)
        {
            return Ok(Some(running.clone()));
        }
        if enough.is_some_and(|enough| self.freshness() <= enough) {
            return Ok(None);
        }
        if let Some(check) = self.held_back(self.freshness() == Freshness::Expired) {
            return Err(Kind::TokenRejected { check }.into());
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
        Ok(Some(self.run(&mut running, |engine| async move { engine.refresh_once().await })))
    }

    /// The one piece of work that may send or replace the refresh token, to its end whoever waits.
    fn run<F: Future<Output = Result<(), Error>> + Send + 'static>(
        self: &Arc<Self>,
        running: &mut Option<(u64, Running)>,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Running {
        let number = {
            let mut state = self.state();
            state.refreshes = state.refreshes.saturating_add(1);
            state.refreshes
        };
        let (engine, cleaner, began) = (Arc::clone(self), Arc::clone(self), self.now().boot);
        let task = self.context.detached(move |_| async move {
            let mut done = Done { engine, number, began, error: Some(Kind::Internal.into()) };
            let result = work(Arc::clone(&done.engine)).await;
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
        task
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

/// The trail of a session, owned.
pub(crate) struct OwnTrail {
    id: Code,
    user: String,
}

impl OwnTrail {
    pub(crate) fn as_trail(&self) -> Trail<'_> {
        Trail { id: &self.id, user: &self.user }
    }
}

fn refreshed_elsewhere() -> Error {
    Kind::ReauthRequired { reason: Code::of("refreshed_elsewhere") }.into()
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
