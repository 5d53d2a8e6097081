//! A signed-in user's session: its tokens, kept fresh, attached to requests, given up. docs/sessions.md.

mod claims;
mod engine;
mod record;
mod rules;

use core::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::{Either, join, select};

pub use claims::Claims;
use engine::Engine;
use record::{Life, Record, Rotation, TokenSet};

use crate::audit::{Attempt, AuditKind, SecurityEvent, Trail};
use crate::config::Scopes;
use crate::context::{Context, bearer_header, in_background, storage};
use crate::discovery::Discovery;
use crate::env::{BootInstant, StorageKey, WallTime};
use crate::error::{Code, ConfigurationProblem, EndReason, Error, Kind, StoreProblem, TokenCheck, Unsupported};
use crate::jose::id_token::IdTokenClaims;
use crate::secret::Secret;
use crate::wire::answer::{self, Failure, Leg};
use crate::wire::metadata::Metadata;
use crate::wire::requests;
use crate::wire::said;
use crate::wire::tokens::TokenAnswer;

/// A signed-in user.
///
/// Cheap to clone; all clones, also of other clients of this process, work on one engine, so that however many callers ask
/// for a token at once, one refresh is sent. Dropping it ends nothing.
#[derive(Clone)]
pub struct Session {
    engine: Arc<Engine>,
    /// Of the client that this handle came from: it decides where tokens may go.
    context: Arc<Context>,
}

impl Session {
    /// The session's random id; it says nothing about the user.
    pub fn id(&self) -> String {
        self.engine.snapshot().record.id.as_str().to_owned()
    }

    /// The username that was typed.
    pub fn username(&self) -> String {
        self.engine.snapshot().record.username.clone()
    }

    /// The claims of the newest validated ID token; `None` if `openid` was not among the scopes, or the session has ended.
    pub fn claims(&self) -> Option<Claims> {
        let snapshot = self.engine.snapshot();
        snapshot.claims.filter(|_| snapshot.ended.is_none()).map(Claims::new)
    }

    /// The scopes that the server granted, which may be fewer than asked for (RFC 6749 §3.3).
    pub fn granted_scopes(&self) -> Vec<String> {
        let record = self.engine.snapshot().record;
        record.scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }

    /// When the access token expires, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        let life = self.engine.snapshot().record.set.life;
        let secs = u64::try_from(life.secs).unwrap_or(0);
        life.sent_wall.plus(core::time::Duration::from_secs(secs)).to_system_time()
    }

    /// Whether the newest tokens are in the store. If not, they live in memory and are written again by later calls.
    pub fn is_persisted(&self) -> bool {
        self.engine.snapshot().persisted
    }

    /// Whether the server gave a refresh token (`offline_access`).
    pub fn can_refresh(&self) -> bool {
        self.engine.can_refresh()
    }

    /// The access token, for a caller that builds its own request. Prefer [`authorize`](Session::authorize).
    ///
    /// Refreshes first if it has expired (docs/sessions.md §5: one request, whoever asks), and in the background if it
    /// soon will. A caller that goes away does not stop a refresh.
    ///
    /// # Errors
    /// [`Kind::SessionEnded`]: signed out, replaced, or the server refused the newest refresh token (`invalid_grant`).
    /// [`Kind::ReauthRequired`]: expired without a refresh token, or a policy wants the user; the session is kept.
    /// [`Kind::Network`], [`Kind::Server`], [`Kind::RateLimited`], [`Kind::Configuration`], [`Kind::TokenRejected`],
    /// [`Kind::StorageUnavailable`]: not now; the session is kept.
    pub async fn access_token(&self) -> Result<Secret, Error> {
        self.engine.access_token().await
    }

    /// The newest validated ID token in its compact form; `None` as for [`claims`](Session::claims).
    pub fn id_token(&self) -> Option<Secret> {
        let snapshot = self.engine.snapshot();
        snapshot.record.set.id_token.as_ref().filter(|_| snapshot.ended.is_none()).map(Secret::duplicate)
    }

    /// Refreshes now (protocol.md §1.7), or waits for the refresh that is under way. One that succeeded less than five
    /// seconds ago is enough; one that failed so recently gives its error again.
    ///
    /// # Errors
    /// As [`access_token`](Session::access_token).
    pub async fn refresh(&self) -> Result<(), Error> {
        self.engine.refresh().await
    }

    /// The headers that authorize one request to `url`.
    ///
    /// `method` is part of the proof once tokens are bound to a key; pass the request's own. Refreshes when due.
    ///
    /// # Errors
    /// [`Kind::Configuration`]: `url` is not https, or neither of the issuer's origin nor of a configured resource origin
    /// (protocol.md TOK-9). Otherwise as [`access_token`](Session::access_token).
    pub async fn authorize(&self, method: &str, url: &str) -> Result<AuthorizationHeaders, Error> {
        let _ = method;
        if !self.context.config.may_receive_tokens(url) {
            return Err(Kind::Configuration { what: ConfigurationProblem::OriginNotAllowed }.into());
        }
        let token = self.engine.access_token().await?;
        Ok(AuthorizationHeaders { authorization: bearer_header(&token) })
    }

    /// What the server's userinfo endpoint says of the user (OpenID Connect Core §5.3, protocol.md §1.14), as JSON text.
    ///
    /// # Errors
    /// [`Kind::TokenRejected`]: its `sub` is not this session's (row 306). [`Kind::Unsupported`]: the server has no such
    /// endpoint. Otherwise as [`access_token`](Session::access_token).
    pub async fn user_info(&self) -> Result<Claims, Error> {
        let context = &self.context;
        let via = context.env.transport.background();
        let fail = |failure: Failure| failure.into_error(context.env.clock.wall());
        let metadata = Discovery::metadata(context, &via).await.map_err(fail)?;
        let url = metadata.userinfo.as_ref().ok_or(Kind::Unsupported { what: Unsupported::UserInfo })?;
        let token = self.engine.access_token().await?;
        let mut reply = context.get(&*via, url.as_str(), Some(&token)).await.map_err(Kind::from)?;
        if reply.response.status == 401 {
            // Perhaps the token was revoked before its time: one refresh, one more try (row 308).
            self.engine.refresh().await?;
            let token = self.engine.access_token().await?;
            reply = context.get(&*via, url.as_str(), Some(&token)).await.map_err(Kind::from)?;
        }
        reply.private.add(&self.username());
        let record = self.engine.snapshot().record;
        let answer = context.read(&reply, Leg::Elsewhere).map_err(|failure| {
            context.report_oddity(Trail { id: &record.id, user: &record.username }, &failure);
            fail(failure)
        })?;
        let subject = self.engine.snapshot().claims.map(|claims| claims.subject.clone());
        match answer.str("sub") {
            Some(sub) if subject.as_deref().is_none_or(|known| known == sub) => Ok(Claims::of_object(answer)),
            _ => Err(Kind::TokenRejected { check: TokenCheck::Subject }.into()),
        }
    }

    /// Signs out: nothing of the session is used any more, its record is deleted (and any older one that a sign-in of this
    /// client could not replace), and its refresh token is revoked, which revokes its access token. Works offline; the
    /// result then says that the server was not told.
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: the record could not be deleted (the tokens were revoked if the server could be
    /// reached); call it again. [`Kind::SessionEnded`]: it had ended already.
    pub async fn sign_out(&self) -> Result<SignOut, Error> {
        let token = self.engine.end(EndReason::SignedOut);
        let earlier = self.engine.unfinished_sign_out();
        if token.is_none() && earlier.is_none() {
            self.engine.alive()?;
        }
        let (engine, context) = (Arc::clone(&self.engine), Arc::clone(&self.context));
        // A caller that goes away does not stop it half way; the deletion does not wait for the network.
        let done = self.context.detached(move |_| async move {
            let record = engine.snapshot().record;
            let trail = Trail { id: &record.id, user: &record.username };
            let server = async {
                match token {
                    Some((token, hint)) => revoke_newest(&context, trail, &token, hint).await,
                    None => earlier.unwrap_or(ServerSignOut::Failed),
                }
            };
            let device = async {
                let own = engine.delete().await;
                // Not beside a sign-in that is being stored.
                let _establishing = context.establishing.lock().await;
                // What an earlier sign-in could not replace must not come back now.
                let records = stored(&context).await.map(|stored| stored.records).unwrap_or_default();
                own.and(end_others(&context, &engine, records, EndReason::SignedOut).await)
            };
            let (server, device) = join(server, device).await;
            engine.signed_out(server, device.is_ok());
            let session_id = record.id.clone();
            let done = AuditKind::SignedOut { session_id, server, deleted: device.is_ok() };
            context.auditor.record(trail, done);
            (server, device)
        });
        match done.await {
            Some((server, Ok(()))) => Ok(SignOut { server }),
            Some((_, Err(problem))) => Err(storage(problem).into()),
            None => Err(Kind::Internal.into()),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The headers that authorize one request.
pub struct AuthorizationHeaders {
    authorization: Secret,
}

impl AuthorizationHeaders {
    /// Names and values. Do not log the values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        // EXPOSE: the purpose of this type; the caller writes them into a request.
        [("authorization", self.authorization.expose())].into_iter()
    }
}

impl fmt::Debug for AuthorizationHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationHeaders([secret])")
    }
}

/// What became of a session at sign-out. On the device its record is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignOut {
    /// What the server was told.
    pub server: ServerSignOut,
}

/// What the server was told at sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerSignOut {
    /// It revoked the tokens (RFC 7009).
    Revoked,
    /// It could not be reached or refused; its tokens end by themselves.
    Failed,
    /// It has no revocation endpoint.
    Unsupported,
}

/// Validated tokens that become a session.
pub(crate) struct NewSession {
    pub(crate) tokens: TokenAnswer,
    pub(crate) claims: Option<IdTokenClaims>,
    pub(crate) username: String,
    pub(crate) requested: Scopes,
    pub(crate) sent: (WallTime, BootInstant),
    pub(crate) transaction_id: Code,
}

/// Whether a live session of this process holds this access token: then an answer that brings it was meant for another
/// (row 100).
pub(crate) fn is_in_use(context: &Context, access_token: &Secret, own: Option<&Engine>) -> bool {
    let others = context.env.sessions.live::<Engine>();
    others.iter().filter(|engine| own.is_none_or(|own| !core::ptr::eq(Arc::as_ptr(engine), own))).any(|engine| {
        let snapshot = engine.snapshot();
        // EXPOSE: compared.
        snapshot.ended.is_none() && snapshot.record.set.access_token.expose() == access_token.expose()
    })
}

/// What became of validated tokens.
pub(crate) enum Established {
    Session(Session),
    /// Nobody wants the session any more; its tokens are to be given back.
    NotWanted(TokenAnswer),
    /// The system has no randomness.
    Failed(TokenAnswer),
}

/// Stores a new session in the place of the one that was there. From `commit` on it exists, whoever is waiting.
pub(crate) async fn establish(
    context: &Arc<Context>,
    new: NewSession,
    commit: impl FnOnce() -> bool + Send,
) -> Established {
    // One after another: of two sign-ins at once the later one replaces the earlier.
    let _establishing = context.establishing.lock().await;
    let mut writer = [0; 16];
    let id = context.random_id().filter(|_| context.env.randomness.fill(&mut writer));
    let Some(id) = id else { return Established::Failed(new.tokens) };
    let Some(key) = Record::key(&id) else { return Established::Failed(new.tokens) };
    let found = stored(context).await;
    let all_read = matches!(found, Ok(Stored { problem: None, .. }));
    let others = found.map(|stored| stored.records).unwrap_or_default();
    if !commit() {
        return Established::NotWanted(new.tokens);
    }
    let granted = new.tokens.scope.clone().unwrap_or_else(|| split(new.requested.as_str()));
    let in_memory = live(context).into_iter().map(|engine| engine.snapshot().record.use_counter);
    let highest = others.iter().map(|record| record.use_counter).chain(in_memory).max().unwrap_or(i64::MIN);
    let record = Record {
        generation: 1,
        writer,
        id: id.clone(),
        issuer: context.config.issuer.as_str().to_owned(),
        client_id: context.config.client_id.as_str().to_owned(),
        subject: new.claims.as_ref().map(|claims| claims.subject.clone()),
        username: new.username.clone(),
        // Above every other, also when the wall clock was set back.
        use_counter: context.env.clock.wall().as_millis().max(highest.saturating_add(1)),
        scope: granted.join(" "),
        set: TokenSet {
            access_token: new.tokens.access_token,
            life: Life { sent_wall: new.sent.0, sent_boot: new.sent.1, secs: new.tokens.lifetime_secs },
            // Row 92: without `openid` an ID token is dropped, unvalidated as it is.
            id_token: new.claims.as_ref().and(new.tokens.id_token),
            refresh_token: new.tokens.refresh_token,
        },
        rotation: Rotation::Unknown,
        mark: None,
    };
    let engine = Engine::new(context, key, record, new.claims, false, writer);
    let engine = context.env.sessions.get_or_insert(id.as_str(), || engine);
    let trail = Trail { id: &new.transaction_id, user: &new.username };
    context.auditor.record(trail, AuditKind::SessionStarted { session_id: id });
    engine.first_write().await;
    if !engine.snapshot().persisted {
        context.auditor.security(trail, SecurityEvent::NotPersisted);
    }
    if end_others(context, &engine, others, EndReason::Replaced).await.is_err() || !all_read {
        context.auditor.security(trail, SecurityEvent::NotReplaced);
    }
    Established::Session(Session { engine, context: Arc::clone(context) })
}

/// The engine of a stored record: the live one, or a new one.
fn open(context: &Arc<Context>, record: Record) -> Arc<Engine> {
    let mut writer = [0; 16];
    if !context.env.randomness.fill(&mut writer) {
        // Without randomness another record's writer is taken for a stranger, which is safe.
        writer = [0xFF; 16];
    }
    let id = record.id.clone();
    context.env.sessions.get_or_insert(id.as_str(), || {
        let key = Record::key_of(&record);
        Engine::new(context, key, record, None, true, writer)
    })
}

/// The session of this issuer and client, or `None` if there certainly is none: the one that lives in this process, else
/// the newest in the store. A refresh that was interrupted a moment ago is taken up in the background.
pub(crate) async fn restore(context: &Arc<Context>) -> Result<Option<Session>, Error> {
    let counter = |engine: &Arc<Engine>| engine.snapshot().record.use_counter;
    // Perhaps the store does not hold it yet.
    let live = live(context).into_iter().filter(|engine| engine.alive().is_ok());
    if let Some(engine) = live.max_by_key(counter) {
        return Ok(Some(Session { engine, context: Arc::clone(context) }));
    }
    let Stored { records, problem } = stored(context).await?;
    // What cannot be read now may be newer than what can; what can never be read again is not waited for.
    match problem {
        Some(problem) if problem.is_temporary() || records.is_empty() => return Err(storage(problem).into()),
        _ => {}
    }
    // One that was signed out and could not be deleted is none.
    let engines = records.into_iter().map(|record| open(context, record)).filter(|engine| engine.alive().is_ok());
    let Some(engine) = engines.max_by_key(counter) else { return Ok(None) };
    engine.resume();
    Ok(Some(Session { engine, context: Arc::clone(context) }))
}

/// Deletes the records that no later call can ever read. Gives how many.
pub(crate) async fn discard_unreadable(context: &Arc<Context>) -> Result<usize, Error> {
    let mut discarded = 0;
    for key in context.stored_keys().await.map_err(storage)?.iter().filter(|key| Record::is_key(key)) {
        let hopeless = matches!(
            read(context, key).await,
            Err(StoreProblem::Corrupt | StoreProblem::KeyDestroyed | StoreProblem::Foreign)
        );
        if hopeless {
            match live(context).into_iter().find(|engine| engine.is_stored_at(key)) {
                // Memory has what the store has lost: it is written anew.
                Some(engine) => engine.discard_stored().await.map_err(storage)?,
                None => context.delete_and_check(key, ()).await.map_err(storage)?,
            }
            discarded += 1;
        }
    }
    Ok(discarded)
}

/// The live sessions of this very client.
fn live(context: &Arc<Context>) -> Vec<Arc<Engine>> {
    let mut live = context.env.sessions.live::<Engine>();
    live.retain(|engine| engine.belongs_to(context));
    live
}

async fn read(context: &Context, key: &StorageKey) -> Result<Option<Record>, StoreProblem> {
    context.load(key).await?.map(|blob| Record::decode(&blob)).transpose()
}

/// The records of this issuer and client that can be read, and why others cannot.
struct Stored {
    records: Vec<Record>,
    problem: Option<StoreProblem>,
}

async fn stored(context: &Context) -> Result<Stored, Error> {
    let mut found = Stored { records: Vec::new(), problem: None };
    for key in context.stored_keys().await.map_err(storage)?.iter().filter(|key| Record::is_key(key)) {
        match read(context, key).await {
            Ok(Some(record)) if is_ours(context, &record) && Record::key(&record.id).as_ref() == Some(key) => {
                found.records.push(record);
            }
            Ok(_) => {}
            // A temporary problem is the one to tell.
            Err(_) if found.problem.is_some_and(StoreProblem::is_temporary) => {}
            Err(problem) => found.problem = Some(problem),
        }
    }
    Ok(found)
}

/// A record names its issuer and client; a client configured otherwise neither sends, changes nor deletes it.
fn is_ours(context: &Context, record: &Record) -> bool {
    record.issuer == context.config.issuer.as_str() && record.client_id == context.config.client_id.as_str()
}

/// Ends every older session of this client, stored or only live: one account, one session. Their tokens are revoked in the
/// background. An error means that one could not be deleted.
async fn end_others(
    context: &Arc<Context>,
    newest: &Arc<Engine>,
    records: Vec<Record>,
    reason: EndReason,
) -> Result<(), StoreProblem> {
    let mut others = live(context);
    others.extend(records.into_iter().map(|record| open(context, record)));
    let counter = newest.snapshot().record.use_counter;
    others.retain(|other| !Arc::ptr_eq(other, newest) && other.snapshot().record.use_counter < counter);
    let mut result = Ok(());
    for other in others {
        // One that had ended already is deleted all the same: perhaps it could not be then.
        let token = other.end(reason);
        result = result.and(other.delete().await);
        if let Some((token, hint)) = token {
            let context = Arc::clone(context);
            in_background(&Arc::clone(&context).env, async move {
                let record = other.snapshot().record;
                let trail = Trail { id: &record.id, user: &record.username };
                let _ = revoke_newest(&context, trail, &token, hint).await;
            });
        }
    }
    result
}

/// The token whose revocation ends the grant: the refresh token, which takes its access token along (row 304).
pub(crate) fn newest(tokens: &TokenAnswer) -> (Secret, &'static str) {
    match &tokens.refresh_token {
        Some(token) => (token.duplicate(), "refresh_token"),
        None => (tokens.access_token.duplicate(), "access_token"),
    }
}

/// Gives a token back in the background.
pub(crate) fn give_back(
    context: &Arc<Context>,
    trail: Trail<'_>,
    metadata: &Arc<Metadata>,
    (token, hint): (Secret, &'static str),
) {
    let (background, metadata) = (Arc::clone(context), Arc::clone(metadata));
    let (id, user) = (trail.id.clone(), trail.user.to_owned());
    in_background(&context.env, async move {
        let trail = Trail { id: &id, user: &user };
        let _ = revoke(&background, trail, &metadata, &token, hint).await;
    });
}

/// Gives a token back (RFC 7009). Not retried; an unknown token counts as revoked.
pub(crate) async fn revoke(
    context: &Context,
    trail: Trail<'_>,
    metadata: &Metadata,
    token: &Secret,
    hint: &'static str,
) -> ServerSignOut {
    let Some(url) = &metadata.revocation else { return ServerSignOut::Unsupported };
    let via = context.env.transport.background();
    let (attempt, began) = (Attempt::Revocation, context.env.clock.boot());
    context.auditor.record(trail, AuditKind::AttemptStarted { attempt });
    // EXPOSE: written into the request body, which wipes itself after its one send.
    let body = requests::revoke(&context.config.client_id, token.expose(), hint);
    let reply = context.post(&*via, url.as_str(), body, context.config.request_timeout).await;
    let result = reply.map_err(Failure::from).and_then(|mut reply| {
        reply.private.add(trail.user);
        answer::read_empty(&reply, Leg::Elsewhere).map(|()| said::request_id(&reply.response, &reply.private))
    });
    let (outcome, status, request_id) = match &result {
        Ok(request_id) => ("Success", Some(200), request_id.clone()),
        Err(failure) => (failure.why.name(), failure.status, failure.said.request_id.clone()),
    };
    let duration = context.env.clock.boot().since(began);
    let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration, retries: 0 };
    context.auditor.record(trail, finished);
    if result.is_ok() { ServerSignOut::Revoked } else { ServerSignOut::Failed }
}

/// As [`revoke`], metadata included; not waited for longer than one request may take.
async fn revoke_newest(context: &Arc<Context>, trail: Trail<'_>, token: &Secret, hint: &'static str) -> ServerSignOut {
    let via = context.env.transport.background();
    let revoked = core::pin::pin!(async {
        match Discovery::metadata(context, &via).await {
            Ok(metadata) => revoke(context, trail, &metadata, token, hint).await,
            Err(_) => ServerSignOut::Failed,
        }
    });
    match select(revoked, context.env.clock.sleep(context.config.request_timeout)).await {
        Either::Left((server, _)) => server,
        Either::Right(_) => ServerSignOut::Failed,
    }
}

fn split(scope: &str) -> Vec<String> {
    scope.split(' ').map(str::to_owned).collect()
}
