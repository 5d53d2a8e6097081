//! The one worker on a session in this process: refreshes, writes and ends it. docs/sessions.md §4–§6.
//!
//! The numbers in the comments are those of docs/sessions.md §5. The decisions are in `rules`; this sequences effects.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Either, Shared, select};
use futures_util::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::ServerSignOut;
use super::record::{Mark, Record, Rotation, TokenHash, TokenSet, Writer, hash};
use super::rules::{self, Freshness, MaySend, Now, OKTA, Stored};
use crate::audit::{Attempt, AuditKind, SecurityEvent};
use crate::context::{Context, STORE_DEADLINE, in_background, storage};
use crate::discovery::Discovery;
use crate::env::{BootInstant, BoxFuture, HttpResponse, StorageKey};
use crate::error::{Code, EndReason, Error, Kind, NetworkProblem, StoreProblem, TokenCheck};
use crate::jose::id_token::IdTokenClaims;
use crate::jose::jwks::KeySet;
use crate::jose::jws;
use crate::secret::Secret;
use crate::validation::{self, Occasion};
use crate::wire::answer::{self, Failure, Leg, Why};
use crate::wire::metadata::Metadata;
use crate::wire::requests;
use crate::wire::tokens::{TokenAnswer, parse_tokens};

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

/// What became of a write.
enum Written {
    Stored,
    /// The store did not take it; memory stands.
    Kept(StoreProblem),
    /// The record is gone: the session was ended by somebody who knows.
    Gone,
    /// Another process had written a newer set, which is ours now.
    Superseded,
}

/// The answer to a refresh token.
struct Sent {
    answer: Result<(TokenAnswer, HttpResponse), Failure>,
    /// Whether the server may have acted on a send whose answer never came.
    unknown: bool,
}

/// A record that could not be stored is tried again after this long, then after twice as long, and so on.
const REWRITE_FIRST: Duration = Duration::from_secs(1);
const REWRITE_LAST: Duration = Duration::from_secs(60);

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

    /// Deletes a record that cannot be read any more, and writes what memory has.
    pub(crate) async fn discard_stored(self: &Arc<Self>) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        self.context.delete_and_check(&self.key, writing).await?;
        if self.alive().is_ok() {
            {
                let mut state = self.state();
                state.was_stored = false;
                state.persisted = false;
            }
            self.first_write().await;
        }
        Ok(())
    }

    /// Stores a new session; what cannot be stored lives in memory and is said so.
    pub(crate) async fn first_write(self: &Arc<Self>) {
        if let Written::Kept(_) = self.persist().await {
            self.rewrite_later();
        }
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
        let set = &state.record.set;
        Some(match &set.refresh_token {
            Some(token) => (token.duplicate(), "refresh_token"),
            None => (set.access_token.duplicate(), "access_token"),
        })
    }

    /// Removes the record, after whatever write is under way.
    pub(crate) async fn delete(&self) -> Result<(), StoreProblem> {
        let writing = self.writing().await?;
        self.context.delete_and_check(&self.key, writing).await
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

    /// Refreshes the session once.
    async fn refresh_once(self: &Arc<Self>) -> Result<(), Error> {
        let id = self.context.random_id().ok_or(Kind::Internal)?;
        self.refresh_as(&id).await.map_err(|error| error.with_transaction_id(&id))
    }

    async fn refresh_as(self: &Arc<Self>, id: &Code) -> Result<(), Error> {
        // 2: what another process may have done meanwhile
        if self.adopt_newer().await? && self.freshness() == Freshness::Fresh {
            return Ok(());
        }
        let presented = Arc::clone(&self.state().record);
        let Some(token) = presented.set.refresh_token.as_ref() else {
            return Err(Kind::ReauthRequired { reason: Code::of("no_refresh_token") }.into());
        };
        // What may not be sent anyway costs no request.
        self.may_send(&presented, token)?;
        let (metadata, keys) = self.discover().await.map_err(|failure| self.error(failure))?;
        // Limits are checked at the send: the network may have been slow, the process may have slept.
        let may_send = self.may_send(&presented, token)?;
        // 3: the mark, or no send
        self.mark(&presented, token, may_send).await?;
        // 4
        let began = self.now();
        self.context.auditor.record(id, AuditKind::AttemptStarted { attempt: Attempt::Refresh });
        let sent = self.send(&metadata, token, &presented.scope, may_send).await;
        self.report(id, &sent.answer, began.boot);
        // 5 to 7
        match sent.answer {
            Ok((tokens, response)) => {
                let new = Answered { metadata: &metadata, keys, tokens, response: &response, sent: began };
                self.apply(id, &presented, new).await
            }
            Err(failure) => {
                let surely_unused = may_send == MaySend::First && presented.mark.is_none() && !sent.unknown;
                self.refused(id, failure, surely_unused).await
            }
        }
    }

    fn may_send(&self, record: &Record, token: &Secret) -> Result<MaySend, Error> {
        let hash = hash(token);
        let retried = self.state().retried == Some(hash);
        match rules::may_send(record.mark.as_ref(), &hash, retried, self.freshness(), self.now()) {
            MaySend::NotNow => Err(Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: true }.into()),
            allowed => Ok(allowed),
        }
    }

    /// Reads the record again; `true` if another process had refreshed, and its set is ours now.
    async fn adopt_newer(&self) -> Result<bool, Error> {
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
    fn compare(&self, found: Option<Record>) -> Stored {
        let mut state = self.state();
        let verdict = rules::compare(&state.record.id, state.seen, &self.writer, found.as_ref());
        match (verdict, found) {
            (Stored::Newer, Some(found)) => {
                state.claims = claims_of(&found).map(Arc::new).or_else(|| state.claims.clone());
                state.seen = found.generation;
                state.record = Arc::new(found);
                state.serving = Arc::clone(&state.record);
                state.persisted = true;
            }
            (Stored::Gone, _) => {
                state.ended.get_or_insert(EndReason::SignedOut);
            }
            _ => {}
        }
        verdict
    }

    async fn discover(&self) -> Result<(Arc<Metadata>, Option<Arc<KeySet>>), Failure> {
        let background = self.context.env.transport.background();
        let metadata = Discovery::metadata(&self.context, &background).await?;
        // Keys before the send: an answer that cannot be validated helps nobody.
        let keys = match self.wants_id_token() {
            true => Some(Discovery::keys(&self.context, &background, &metadata).await?),
            false => None,
        };
        Ok((metadata, keys))
    }

    /// Whether ID tokens are validated and kept: asked for, or there already. Not by the granted scope, which an answer
    /// can narrow.
    fn wants_id_token(&self) -> bool {
        self.context.config.scopes.contains("openid") || self.state().claims.is_some()
    }

    /// Notes the first send of a refresh token, which bounds the second; in the store too, unless the token never changes
    /// or nothing of this session is stored. What cannot be noted is not sent.
    async fn mark(self: &Arc<Self>, presented: &Record, token: &Secret, may_send: MaySend) -> Result<(), Error> {
        if may_send == MaySend::Again {
            self.alive()?;
            self.state().retried = Some(hash(token));
            return Ok(());
        }
        let now = self.now();
        let mark = Mark { first_wall: now.wall, first_boot: now.boot, token: hash(token) };
        let before = presented.mark;
        self.commit(|record| record.with_mark(Some(mark)))?;
        self.state().retried = None;
        let in_memory_only = presented.rotation == Rotation::Static || !self.state().was_stored;
        if in_memory_only {
            return Ok(());
        }
        match self.persist().await {
            Written::Stored => Ok(()),
            Written::Kept(problem) => {
                // Nothing was sent under this mark.
                let _ = self.commit(|record| record.with_mark(before));
                self.rewrite_later();
                Err(storage(problem).into())
            }
            Written::Gone => Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into()),
            Written::Superseded => Err(Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: false }.into()),
        }
    }

    /// Sends, and once more at once if the answer was lost and the time for it is not over.
    async fn send(&self, metadata: &Metadata, token: &Secret, scope: &str, may_send: MaySend) -> Sent {
        let began = self.context.env.clock.boot();
        let first = self.send_once(metadata, token, scope).await;
        let unknown = matches!(first, Err(Failure { why: Why::NoAnswer { maybe_acted: true, .. }, .. }));
        let in_time = self.context.env.clock.boot().since(began) < OKTA.window;
        if !unknown || may_send == MaySend::Again || !in_time || self.alive().is_err() {
            return Sent { answer: first, unknown };
        }
        self.state().retried = Some(hash(token));
        Sent { answer: self.send_once(metadata, token, scope).await, unknown }
    }

    async fn send_once(
        &self,
        metadata: &Metadata,
        token: &Secret,
        scope: &str,
    ) -> Result<(TokenAnswer, HttpResponse), Failure> {
        let background = self.context.env.transport.background();
        // EXPOSE: written into the request body, which wipes itself after its one send.
        let body = requests::refresh(&self.context.config.client_id, token.expose(), scope);
        let url = metadata.token_endpoint.as_str();
        let response = self.context.post(&*background, url, body, OKTA.answer).await;
        let response = response.map_err(|error| Failure::from(error).lost_if_unusable())?;
        let mut answer = answer::read(&response, Leg::Refresh).map_err(Failure::lost_if_unusable)?;
        let tokens = parse_tokens(&mut answer).map_err(|kind| Failure::after(&response, kind).lost())?;
        Ok((tokens, response))
    }

    /// 5 and 6: the answer belongs to a session that is still the same, or is given back.
    async fn apply(self: &Arc<Self>, id: &Code, presented: &Record, new: Answered<'_>) -> Result<(), Error> {
        let Answered { metadata, keys, tokens, response, sent } = new;
        let background = self.context.env.transport.background();
        let previous = self.state().claims.clone();
        let occasion = Occasion {
            metadata,
            keys,
            server: self.context.server_time(response),
            received: self.context.env.clock.boot(),
            id_token_required: false,
            id_token_wanted: self.wants_id_token(),
            previous: previous.as_deref(),
        };
        let validated = validation::validate(&self.context, &background, &tokens, &occasion).await;
        if let Err(Kind::TokenRejected { check }) = validated {
            self.context.auditor.security(id, SecurityEvent::TokenRejected { check });
            if check == TokenCheck::Subject && previous.is_some() {
                self.context.auditor.security(id, SecurityEvent::SubjectChanged);
                self.give_back(metadata, super::newest(tokens));
                self.end(EndReason::SubjectChanged);
                let _ = self.delete().await;
                return Err(Kind::SessionEnded { reason: EndReason::SubjectChanged }.into());
            }
        }
        // For the case that the session has ended meanwhile and nobody else knows this token.
        let received = super::newest_of(&tokens);
        let next = merge(presented, tokens, &validated, sent);
        if next.rotation == Rotation::Static && presented.rotation != Rotation::Static {
            self.context.auditor.security(id, SecurityEvent::StaticBearerSession);
        }
        if let Err(ended) = self.commit(|_| next) {
            self.give_back(metadata, received);
            return Err(ended);
        }
        match self.persist().await {
            Written::Stored => {}
            Written::Kept(_) => {
                self.context.auditor.security(id, SecurityEvent::NotPersisted);
                self.rewrite_later();
            }
            Written::Gone => {
                self.give_back(metadata, received);
                return Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into());
            }
            // The other process holds a token of the same grant: giving this one back would end that one too.
            Written::Superseded => return self.superseded(),
        }
        self.serve(validated?)
    }

    /// Hands out the newest set from now on.
    fn serve(&self, claims: Option<IdTokenClaims>) -> Result<(), Error> {
        let mut state = self.state();
        state.serving = Arc::clone(&state.record);
        if let Some(claims) = claims {
            state.claims = Some(Arc::new(claims));
        }
        drop(state);
        self.alive()
    }

    /// Another process's set was taken over: good, or worth another refresh.
    fn superseded(&self) -> Result<(), Error> {
        match self.freshness() {
            Freshness::Fresh => Ok(()),
            _ => Err(Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: false }.into()),
        }
    }

    /// 7 and every other "no".
    async fn refused(self: &Arc<Self>, id: &Code, failure: Failure, surely_unused: bool) -> Result<(), Error> {
        let request_id = failure.request_id.clone();
        if !matches!(failure.why, Why::Refused) {
            if surely_unused {
                // The server did not act: the next refresh is like a first one.
                let _ = self.commit(|record| record.with_mark(None));
                if self.state().was_stored && matches!(self.persist().await, Written::Kept(_)) {
                    self.rewrite_later();
                }
            }
            return Err(self.error(failure));
        }
        // If the store cannot be read, nothing ends; if a newer token is there, it is used.
        if self.adopt_newer().await? {
            return self.superseded();
        }
        self.context.auditor.security(id, SecurityEvent::RefreshTokenRefused);
        self.end(EndReason::RefreshTokenRefused);
        let _ = self.delete().await;
        Err(Error::from(Kind::SessionEnded { reason: EndReason::RefreshTokenRefused }).with_request_id(request_id))
    }

    fn error(&self, failure: Failure) -> Error {
        let kind = failure.why.into_kind(self.context.env.clock.wall());
        Error::from(kind).with_request_id(failure.request_id)
    }

    /// The next record in memory: by this writer, at a higher generation than any that was read. An ended session has none.
    fn commit(&self, make: impl FnOnce(&Record) -> Record) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(reason) = state.ended {
            return Err(Kind::SessionEnded { reason }.into());
        }
        let generation = state.seen.max(state.record.generation).saturating_add(1);
        let next = Record { generation, writer: self.writer, ..make(&state.record) };
        state.record = Arc::new(next);
        Ok(())
    }

    /// Stores what memory holds, after a look at what is there (docs/sessions.md §4).
    async fn persist(&self) -> Written {
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
    fn rewrite_later(self: &Arc<Self>) {
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
    fn persist_now(self: &Arc<Self>) {
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

    fn give_back(&self, metadata: &Arc<Metadata>, (token, hint): (Secret, &'static str)) {
        let (context, metadata) = (Arc::clone(&self.context), Arc::clone(metadata));
        in_background(&self.context.env, async move {
            let _ = super::revoke(&context, &metadata, &token, hint).await;
        });
    }

    fn report(&self, id: &Code, answer: &Result<(TokenAnswer, HttpResponse), Failure>, began: BootInstant) {
        let duration = self.context.env.clock.boot().since(began);
        let (outcome, status, request_id) = match answer {
            Ok((_, response)) => ("Success", Some(response.status), answer::request_id(response)),
            Err(failure) => (failure.why.name(), failure.status, failure.request_id.clone()),
        };
        let attempt = Attempt::Refresh;
        let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration };
        self.context.auditor.record(id, finished);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<(u64, Running)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a refresh and what it is validated with.
struct Answered<'a> {
    metadata: &'a Arc<Metadata>,
    keys: Option<Arc<KeySet>>,
    tokens: TokenAnswer,
    response: &'a HttpResponse,
    sent: Now,
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

/// The set after a refresh: what the answer omits is carried over; what was not validated is not released (6).
fn merge(
    presented: &Record,
    tokens: TokenAnswer,
    validated: &Result<Option<IdTokenClaims>, Kind>,
    sent: Now,
) -> Record {
    let old = presented.duplicate();
    let rotated = tokens.refresh_token.as_ref().map(|new| Some(hash(new)) != presented.refresh_hash());
    let rotation = match rotated {
        Some(true) => Rotation::Rotating,
        Some(false) => Rotation::Static,
        None => old.rotation,
    };
    let refresh_token = tokens.refresh_token.or(old.set.refresh_token);
    let set = match validated {
        Ok(claims) => TokenSet {
            access_token: tokens.access_token,
            life: super::record::Life { sent_wall: sent.wall, sent_boot: sent.boot, secs: tokens.lifetime_secs },
            id_token: claims.as_ref().and(tokens.id_token).or(old.set.id_token),
            refresh_token,
        },
        Err(_) => TokenSet { refresh_token, ..old.set },
    };
    let scope = match tokens.scope {
        Some(scope) if validated.is_ok() => scope.join(" "),
        _ => old.scope,
    };
    Record { set, rotation, scope, mark: None, ..old }
}

/// The claims of a stored ID token: it was validated before it was stored, and the record's checksum holds.
fn claims_of(record: &Record) -> Option<IdTokenClaims> {
    let token = record.set.id_token.as_ref()?;
    // EXPOSE: parsed for its claims.
    let jws = jws::parse(token.expose(), &[jws::Algorithm::Rs256]).ok()?;
    IdTokenClaims::read(jws.into_payload().ok()?)
}
