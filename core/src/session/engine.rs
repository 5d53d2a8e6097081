//! The one worker on a session in this process: refreshes, writes and ends it. docs/sessions.md §4–§6.
//!
//! The numbers in the comments are those of docs/sessions.md §5. The decisions are in `rules`; this sequences effects.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use futures_util::lock::Mutex as AsyncMutex;

use super::record::{Mark, Record, Rotation, TokenSet, Writer, hash};
use super::rules::{self, Freshness, MaySend, Now, OKTA, Stored};
use crate::audit::{Attempt, AuditKind, SecurityEvent};
use crate::context::{Context, in_background, storage};
use crate::env::{BootInstant, BoxFuture, HttpResponse, StorageKey};
use crate::error::{Code, EndReason, Error, Kind, NetworkProblem, StoreProblem, TokenCheck};
use crate::jose::id_token::IdTokenClaims;
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
    running: Mutex<Option<Running>>,
    /// One storage write at a time; an async lock, held by the task that writes.
    writes: AsyncMutex<()>,
}

type Running = Shared<BoxFuture<'static, Result<(), Error>>>;

struct State {
    record: Arc<Record>,
    /// The claims of the newest validated ID token.
    claims: Option<Arc<IdTokenClaims>>,
    persisted: bool,
    ended: Option<EndReason>,
    last_refresh: Option<(BootInstant, Option<Error>)>,
    last_write: BootInstant,
}

/// What a session holds at one moment.
pub(crate) struct Snapshot {
    pub(crate) record: Arc<Record>,
    pub(crate) claims: Option<Arc<IdTokenClaims>>,
    pub(crate) persisted: bool,
}

/// After a write that failed, the next try comes no sooner (docs/sessions.md §4).
const REWRITE_AFTER: Duration = Duration::from_secs(30);

impl Engine {
    pub(crate) fn new(
        context: &Arc<Context>,
        record: Record,
        claims: Option<IdTokenClaims>,
        persisted: bool,
        writer: Writer,
    ) -> Option<Arc<Self>> {
        let key = Record::key(&record.id)?;
        let claims = claims.or_else(|| claims_of(&record)).map(Arc::new);
        let last_write = context.env.clock.boot();
        let state = State { record: Arc::new(record), claims, persisted, ended: None, last_refresh: None, last_write };
        Some(Arc::new(Self {
            context: Arc::clone(context),
            key,
            writer,
            state: Mutex::new(state),
            running: Mutex::new(None),
            writes: AsyncMutex::new(()),
        }))
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot { record: Arc::clone(&state.record), claims: state.claims.clone(), persisted: state.persisted }
    }

    /// Stores a new session; what cannot be stored lives in memory and is said so.
    pub(crate) async fn first_write(&self) {
        let record = self.state().record.duplicate();
        self.write(record).await;
    }

    /// The access token, refreshed if need be. 1 of the contract.
    pub(crate) async fn access_token(self: &Arc<Self>) -> Result<Secret, Error> {
        self.alive()?;
        self.persist_later();
        match self.freshness() {
            Freshness::Fresh => {}
            Freshness::Due => {
                if self.may_refresh(OKTA.automatic_spacing).is_ok() && self.can_refresh() {
                    // Started by this call, waited for by nobody.
                    drop(self.start());
                }
            }
            Freshness::Expired => {
                self.may_refresh(OKTA.waiting_spacing)?;
                self.start().await?;
            }
        }
        self.alive()?;
        Ok(self.state().record.set.access_token.duplicate())
    }

    /// A refresh now, or the one that is under way.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), Error> {
        self.alive()?;
        self.start().await
    }

    pub(crate) fn can_refresh(&self) -> bool {
        self.state().record.set.refresh_token.is_some()
    }

    /// Marks the session ended in memory; no call, write or refresh starts any more. Gives the newest refresh token, or the
    /// access token if there is none, and what kind it is.
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
        let _writes = self.writes.lock().await;
        self.context.delete_and_check(&self.key).await
    }

    fn alive(&self) -> Result<(), Error> {
        match self.state().ended {
            Some(reason) => Err(Kind::SessionEnded { reason }.into()),
            None => Ok(()),
        }
    }

    fn now(&self) -> Now {
        Now { wall: self.context.env.clock.wall(), boot: self.context.env.clock.boot() }
    }

    fn freshness(&self) -> Freshness {
        rules::freshness(self.state().record.set.life, self.now())
    }

    /// The last refresh's error again while it is too early for another, unless one is running.
    fn may_refresh(&self, spacing: Duration) -> Result<(), Error> {
        if self.running().is_some() {
            return Ok(());
        }
        let now = self.context.env.clock.boot();
        match &self.state().last_refresh {
            Some((at, error)) if now.since(*at) < spacing => match error {
                Some(error) => Err(error.clone()),
                None => {
                    Err(Kind::RateLimited { retry_at: self.context.env.clock.wall().plus(spacing).to_system_time() }
                        .into())
                }
            },
            _ => Ok(()),
        }
    }

    /// The refresh that is running, or a new one. It runs to its end whoever waits.
    fn start(self: &Arc<Self>) -> Running {
        let mut running = self.running();
        if let Some(running) = &*running {
            return running.clone();
        }
        let engine = Arc::clone(self);
        let task = self.context.detached(move |_| async move {
            let began = engine.context.env.clock.boot();
            let result = engine.refresh_once().await;
            engine.state().last_refresh = Some((began, result.as_ref().err().cloned()));
            *engine.running() = None;
            result
        });
        let task: BoxFuture<'static, Result<(), Error>> =
            Box::pin(async move { task.await.unwrap_or_else(|| Err(Kind::Internal.into())) });
        let task = task.shared();
        *running = Some(task.clone());
        task
    }

    /// Refreshes the session once.
    async fn refresh_once(&self) -> Result<(), Error> {
        let id = self.context.random_id().ok_or(Kind::Internal)?;
        let tagged = |error: Error| error.with_transaction_id(&id);
        // 2: what another process may have done meanwhile
        if self.adopt_newer().await.map_err(tagged)? && self.freshness() == Freshness::Fresh {
            return Ok(());
        }
        let record = Arc::clone(&self.state().record);
        let Some(token) = record.set.refresh_token.as_ref() else {
            return Err(tagged(Kind::ReauthRequired { reason: Code::of("no_refresh_token") }.into()));
        };
        let (metadata, _keys) = self.discover().await.map_err(|failure| tagged(self.error(failure)))?;
        // 3: the mark, or no send
        let record = self.mark(&record, token).await.map_err(tagged)?;
        // 4
        let sent = self.now();
        self.context.auditor.record(&id, AuditKind::AttemptStarted { attempt: Attempt::Refresh });
        let answer = self.send(&metadata, token, &record.scope).await;
        self.report(&id, &answer, sent.boot);
        // 5 to 7
        let result = match answer {
            Ok((tokens, response)) => self.apply(&id, &metadata, &record, tokens, &response, sent).await,
            Err(failure) => self.refused(&id, &record, failure).await,
        };
        result.map_err(tagged)
    }

    /// Reads the record again; `true` if another process had refreshed, and its set is ours now.
    async fn adopt_newer(&self) -> Result<bool, Error> {
        let (known, persisted) = {
            let state = self.state();
            (Arc::clone(&state.record), state.persisted)
        };
        if !persisted {
            return Ok(false);
        }
        let found = match self.context.load(&self.key).await.map_err(storage)? {
            Some(blob) => Some(Record::decode(&blob).map_err(storage)?),
            None => None,
        };
        match rules::compare(&known, found.as_ref()) {
            Stored::Unchanged => Ok(false),
            Stored::Gone => {
                self.state().ended.get_or_insert(EndReason::SignedOut);
                Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into())
            }
            Stored::Newer => {
                if let Some(found) = found {
                    let claims = claims_of(&found).map(Arc::new);
                    let mut state = self.state();
                    state.record = Arc::new(found);
                    state.claims = claims;
                }
                Ok(true)
            }
        }
    }

    async fn discover(&self) -> Result<(Arc<Metadata>, ()), Failure> {
        let background = self.context.env.transport.background();
        let metadata = self.context.discovery.metadata(&self.context, &*background).await?;
        // Keys before the send: an answer that cannot be validated helps nobody.
        if self.wants_id_token() {
            self.context.discovery.keys(&self.context, &*background, &metadata).await?;
        }
        Ok((metadata, ()))
    }

    fn wants_id_token(&self) -> bool {
        self.state().record.scope.split(' ').any(|scope| scope == "openid")
    }

    /// Writes the mark that bounds a second send, unless the refresh token never changes.
    async fn mark(&self, record: &Arc<Record>, token: &Secret) -> Result<Arc<Record>, Error> {
        let now = self.now();
        let token_hash = hash(token);
        let mark = match rules::may_send(record.mark.as_ref(), &token_hash, self.freshness(), now) {
            MaySend::First => Mark { first_wall: now.wall, first_boot: now.boot, token: token_hash },
            MaySend::Again => return Ok(Arc::clone(record)),
            MaySend::NotNow => {
                return Err(Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: true }.into());
            }
        };
        if record.rotation == Rotation::Static || !self.state().persisted {
            return Ok(Arc::clone(record));
        }
        let marked = Arc::new(self.next(record.with_mark(Some(mark))));
        let _writes = self.writes.lock().await;
        self.alive()?;
        self.context.store_and_check(&self.key, marked.encode()).await.map_err(storage)?;
        self.state().record = Arc::clone(&marked);
        Ok(marked)
    }

    /// Sends, and once more at once if the answer was lost (not if the server said no).
    async fn send(
        &self,
        metadata: &Metadata,
        token: &Secret,
        scope: &str,
    ) -> Result<(TokenAnswer, HttpResponse), Failure> {
        let first = self.send_once(metadata, token, scope).await;
        match &first {
            Err(Failure { why: Why::NoAnswer { maybe_acted: true, .. }, .. }) if self.alive().is_ok() => {
                self.send_once(metadata, token, scope).await
            }
            _ => first,
        }
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
        let response = self.context.post(&*background, url, body, OKTA.answer).await?;
        let answer = answer::read(&response, Leg::Refresh)?;
        // A 200 that cannot be used is a lost answer.
        let lost = |kind| Failure {
            why: Why::NoAnswer { kind, maybe_acted: true },
            ..Failure::after(&response, Kind::Internal)
        };
        let tokens = parse_tokens(answer).map_err(lost)?;
        Ok((tokens, response))
    }

    /// 5 and 6: the answer belongs to a session that is still the same, or is given back.
    async fn apply(
        &self,
        id: &Code,
        metadata: &Arc<Metadata>,
        presented: &Record,
        tokens: TokenAnswer,
        response: &HttpResponse,
        sent: Now,
    ) -> Result<(), Error> {
        let background = self.context.env.transport.background();
        let previous = self.state().claims.clone();
        let occasion = Occasion {
            metadata,
            server: self.context.server_time(response),
            received: self.context.env.clock.boot(),
            id_token_required: false,
            id_token_wanted: self.wants_id_token(),
            previous: previous.as_deref(),
        };
        let validated = validation::validate(&self.context, &*background, &tokens, &occasion).await;
        let other_user =
            previous.is_some() && matches!(validated, Err(Kind::TokenRejected { check: TokenCheck::Subject }));
        if let Err(reason) = self.still_ours(presented).await {
            self.give_back(metadata, tokens);
            return Err(Kind::SessionEnded { reason }.into());
        }
        if other_user {
            self.context.auditor.security(id, SecurityEvent::SubjectChanged);
            self.give_back(metadata, tokens);
            self.end(EndReason::SubjectChanged);
            let _ = self.delete().await;
            return Err(Kind::SessionEnded { reason: EndReason::SubjectChanged }.into());
        }
        let record = self.next(merge(presented, tokens, validated.is_ok(), sent));
        if record.rotation == Rotation::Static && presented.rotation != Rotation::Static {
            self.context.auditor.security(id, SecurityEvent::StaticBearerSession);
        }
        if self.write(record).await == Written::Ended {
            return Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into());
        }
        if !self.state().persisted {
            self.context.auditor.security(id, SecurityEvent::NotPersisted);
        }
        match validated {
            Ok(Some(claims)) => {
                self.state().claims = Some(Arc::new(claims));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(kind) => {
                if let Kind::TokenRejected { check } = kind {
                    self.context.auditor.security(id, SecurityEvent::TokenRejected { check });
                }
                Err(kind.into())
            }
        }
    }

    /// Whether the session still is what was presented: not ended, and the record still holds that refresh token.
    async fn still_ours(&self, presented: &Record) -> Result<(), EndReason> {
        if let Some(reason) = self.state().ended {
            return Err(reason);
        }
        if !self.state().persisted {
            return Ok(());
        }
        let found = match self.context.load(&self.key).await {
            Ok(Some(blob)) => match Record::decode(&blob) {
                Ok(record) => Some(record),
                // Unreadable counts as unchanged.
                Err(_) => return Ok(()),
            },
            Ok(None) => None,
            Err(_) => return Ok(()),
        };
        match rules::compare(presented, found.as_ref()) {
            Stored::Unchanged => Ok(()),
            Stored::Newer if found.is_some_and(|found| found.refresh_hash() == presented.refresh_hash()) => Ok(()),
            Stored::Newer => Err(EndReason::Replaced),
            Stored::Gone => Err(EndReason::SignedOut),
        }
    }

    /// 7 and every other "no".
    async fn refused(&self, id: &Code, presented: &Record, failure: Failure) -> Result<(), Error> {
        let request_id = failure.request_id.clone();
        let maybe_acted = matches!(failure.why, Why::NoAnswer { maybe_acted: true, .. });
        if !matches!(failure.why, Why::Refused) {
            if !maybe_acted {
                self.clear_mark(presented).await;
            }
            return Err(self.error(failure));
        }
        // If the store cannot be read, nothing ends; if a newer token is there, it is used by the next call.
        if self.adopt_newer().await? {
            return Err(Error::from(Kind::Server { status: 400, code: Some(Code::of("invalid_grant")) })
                .with_request_id(request_id));
        }
        self.context.auditor.security(id, SecurityEvent::RefreshTokenRefused);
        self.end(EndReason::RefreshTokenRefused);
        let _ = self.delete().await;
        Err(Error::from(Kind::SessionEnded { reason: EndReason::RefreshTokenRefused }).with_request_id(request_id))
    }

    /// The server surely did not act: the next refresh is like a first one.
    async fn clear_mark(&self, presented: &Record) {
        if presented.mark.is_some() && self.state().persisted {
            let _ = self.write(self.next(presented.with_mark(None))).await;
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let kind = failure.why.into_kind(self.context.env.clock.wall());
        Error::from(kind).with_request_id(failure.request_id)
    }

    /// The record that follows: a higher generation than any that was read, by this writer.
    fn next(&self, record: Record) -> Record {
        let known = self.state().record.generation;
        Record { generation: known.max(record.generation).saturating_add(1), writer: self.writer, ..record }
    }

    /// Memory first, then the store: what cannot be stored is used from memory and written again later.
    async fn write(&self, record: Record) -> Written {
        let record = Arc::new(record);
        let _writes = self.writes.lock().await;
        {
            let mut state = self.state();
            if state.ended.is_some() {
                return Written::Ended;
            }
            state.record = Arc::clone(&record);
        }
        let stored = self.context.store_and_check(&self.key, record.encode()).await.is_ok();
        let mut state = self.state();
        state.persisted = stored;
        state.last_write = self.context.env.clock.boot();
        Written::Kept
    }

    /// A set that could not be stored is tried again by later calls.
    fn persist_later(self: &Arc<Self>) {
        let due = {
            let state = self.state();
            let since = self.context.env.clock.boot().since(state.last_write);
            !state.persisted && since >= REWRITE_AFTER
        };
        if due {
            self.state().last_write = self.context.env.clock.boot();
            let engine = Arc::clone(self);
            in_background(&self.context.env, async move {
                let record = engine.next(engine.state().record.duplicate());
                engine.write(record).await;
            });
        }
    }

    fn give_back(&self, metadata: &Arc<Metadata>, tokens: TokenAnswer) {
        let (context, metadata) = (Arc::clone(&self.context), Arc::clone(metadata));
        in_background(&self.context.env, async move {
            let (token, hint) = super::newest(tokens);
            let _ = super::revoke(&context, &metadata, &token, hint).await;
        });
    }

    fn report(&self, id: &Code, answer: &Result<(TokenAnswer, HttpResponse), Failure>, began: BootInstant) {
        let duration = self.context.env.clock.boot().since(began);
        let (outcome, status, request_id) = match answer {
            Ok((_, response)) => ("Refreshed", Some(response.status), answer::request_id(response)),
            Err(failure) => {
                let outcome = match &failure.why {
                    Why::NoAnswer { kind, .. } | Why::Fatal(kind) => kind.name(),
                    Why::RateLimited(_) => "RateLimited",
                    _ => "Refused",
                };
                (outcome, failure.status, failure.request_id.clone())
            }
        };
        let attempt = Attempt::Refresh;
        let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration };
        self.context.auditor.record(id, finished);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(PartialEq, Eq)]
enum Written {
    Kept,
    Ended,
}

/// The set after a refresh: what the answer omits is carried over; what was not validated is not released (6).
fn merge(presented: &Record, tokens: TokenAnswer, validated: bool, sent: Now) -> Record {
    let old = presented.duplicate();
    let rotated = tokens.refresh_token.as_ref().map(|new| Some(hash(new)) != presented.refresh_hash());
    let rotation = match rotated {
        Some(true) => Rotation::Rotating,
        Some(false) => Rotation::Static,
        None => old.rotation,
    };
    let refresh_token = tokens.refresh_token.or(old.set.refresh_token);
    let set = if validated {
        TokenSet {
            access_token: tokens.access_token,
            life: super::record::Life { sent_wall: sent.wall, sent_boot: sent.boot, secs: tokens.lifetime_secs },
            id_token: tokens.id_token.or(old.set.id_token),
            refresh_token,
        }
    } else {
        TokenSet { refresh_token, ..old.set }
    };
    let scope = match tokens.scope {
        Some(scope) if validated => scope.join(" "),
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
