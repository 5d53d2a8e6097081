//! One refresh of a session, from the re-read to the stored answer. docs/sessions.md §5, whose numbers stand in the comments.
//!
//! The decisions are in `rules`; this sequences effects.

use std::sync::Arc;

use super::Engine;
use super::writing::{Committed, Written};
use crate::audit::{Attempt, AuditKind, SecurityEvent, Trail};
use crate::config::WiderScopes;
use crate::context::{Headers, ServerTime, storage};
use crate::discovery::Discovery;
use crate::env::{BootInstant, Method};
use crate::error::{Code, EndReason, Error, Kind, NetworkProblem, TokenCheck};
use crate::jose::id_token::IdTokenClaims;
use crate::jose::jwks::KeySet;
use crate::secret::Secret;
use crate::session::record::{Life, Mark, Record, Rotation, TokenSet, hash};
use crate::session::rules::{self, Freshness, MaySend, Now, OKTA};
use crate::session::{give_back, is_in_use, newest};
use crate::validation::{self, Occasion};
use crate::wire::answer::{Failure, Leg, Reply, Why};
use crate::wire::metadata::Metadata;
use crate::wire::requests;
use crate::wire::said;
use crate::wire::tokens::{TokenAnswer, parse_tokens};

/// The answer to a refresh token.
struct Sent {
    answer: Result<(TokenAnswer, Reply), Failure>,
    /// Whether the server may have acted on a send whose answer never came.
    unknown: bool,
    /// How often it was sent before the send that was answered.
    retries: u32,
}

/// What is sent.
struct Presented<'a> {
    metadata: &'a Metadata,
    token: &'a Secret,
    scope: &'a str,
}

/// The answer to a refresh and what it is validated with.
struct Answered<'a> {
    metadata: &'a Arc<Metadata>,
    keys: Option<Arc<KeySet>>,
    tokens: TokenAnswer,
    server: ServerTime,
    sent: Now,
}

impl Engine {
    /// Refreshes the session once.
    pub(super) async fn refresh_once(self: &Arc<Self>) -> Result<(), Error> {
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
        let background = self.context.env.transport.background();
        let discovered = Discovery::both(&self.context, &background, self.wants_id_token()).await;
        let (metadata, keys) = discovered.map_err(|failure| {
            self.report_oddity(id, &failure);
            self.error(failure)
        })?;
        // The app's own code may take its time too.
        let provided = self.context.provided_headers(Method::Post, metadata.token_endpoint.as_str()).await;
        // Limits are checked at the send: the network may have been slow, the process may have slept.
        let may_send = self.may_send(&presented, token)?;
        // 3: the mark, or no send
        self.mark(&presented, token, may_send).await?;
        // 4
        let began = self.now();
        self.audit(id, AuditKind::AttemptStarted { attempt: Attempt::Refresh });
        let form = Presented { metadata: &metadata, token, scope: &presented.scope };
        let sent = self.send(id, &form, may_send, provided).await;
        self.report(id, &sent, began.boot);
        // 5 to 7
        match sent.answer {
            Ok((tokens, reply)) => {
                let server = self.context.server_time(&reply.response);
                // It knows the old refresh token.
                drop(reply);
                let new = Answered { metadata: &metadata, keys, tokens, server, sent: began };
                self.apply(id, &presented, new).await
            }
            Err(failure) => {
                let surely_unused = may_send == MaySend::First && presented.mark.is_none() && !sent.unknown;
                self.refused(id, &presented, failure, surely_unused).await
            }
        }
    }

    pub(super) fn may_send(&self, record: &Record, token: &Secret) -> Result<MaySend, Error> {
        let hash = hash(token);
        let retried = self.state().retried == Some(hash);
        match rules::may_send(record.mark.as_ref(), &hash, retried, self.freshness(), self.now()) {
            MaySend::NotNow => Err(Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: true }.into()),
            allowed => Ok(allowed),
        }
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
        match self.commit(mark.token, |record| record.with_mark(Some(mark))) {
            Committed::Yes => {}
            Committed::Ended(reason) => return Err(Kind::SessionEnded { reason }.into()),
            Committed::OtherToken => return Err(superseded()),
        }
        self.state().retried = None;
        let in_memory_only = presented.rotation == Rotation::Static || !self.state().was_stored;
        if in_memory_only {
            return Ok(());
        }
        match self.persist().await {
            Written::Stored => Ok(()),
            Written::Kept(problem) => {
                // Nothing was sent under this mark.
                self.commit(mark.token, |record| record.with_mark(before));
                self.rewrite_later();
                Err(storage(problem).into())
            }
            Written::Gone => Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into()),
            Written::Superseded => Err(superseded()),
        }
    }

    /// Sends, and once more at once if the answer was lost and the time for it is not over.
    async fn send(&self, id: &Code, form: &Presented<'_>, may_send: MaySend, provided: Headers) -> Sent {
        let began = self.context.env.clock.boot();
        let first = self.send_once(id, form, provided).await;
        let unknown = matches!(first, Err(Failure { why: Why::NoAnswer { maybe_acted: true, .. }, .. }));
        let is_late = || self.context.env.clock.boot().since(began) >= OKTA.window || self.alive().is_err();
        if !unknown || may_send == MaySend::Again || is_late() {
            return Sent { answer: first, unknown, retries: 0 };
        }
        let url = form.metadata.token_endpoint.as_str();
        let provided = self.context.provided_headers(Method::Post, url).await;
        if is_late() {
            return Sent { answer: first, unknown, retries: 0 };
        }
        self.state().retried = Some(hash(form.token));
        Sent { answer: self.send_once(id, form, provided).await, unknown, retries: 1 }
    }

    async fn send_once(
        &self,
        id: &Code,
        form: &Presented<'_>,
        provided: Headers,
    ) -> Result<(TokenAnswer, Reply), Failure> {
        let background = self.context.env.transport.background();
        // EXPOSE: written into the request body, which wipes itself after its one send.
        let body = requests::refresh(&self.context.config.client_id, form.token.expose(), form.scope);
        let url = form.metadata.token_endpoint.as_str();
        let reply = self.context.post_with(&*background, url, provided, body, OKTA.answer).await;
        let mut reply = reply.map_err(|error| Failure::from(error).lost_if_unusable())?;
        reply.private.add(&self.snapshot().record.username);
        let mut answer = self.context.read(&reply, Leg::Refresh).map_err(Failure::lost_if_unusable)?;
        let tokens = parse_tokens(&mut answer).map_err(|kind| Failure::after(&reply, kind).lost())?;
        if is_in_use(&self.context, &tokens.access_token, Some(self)) {
            // Meant for another session (row 100): nothing of it is ours, and our own answer is lost.
            self.security(id, SecurityEvent::AccessTokenReused);
            let kind = Kind::TokenRejected { check: TokenCheck::AccessTokenReused };
            return Err(Failure::after(&reply, kind).lost());
        }
        Ok((tokens, reply))
    }

    /// 5 and 6: the answer belongs to a session that is still the same, or is given back.
    async fn apply(self: &Arc<Self>, id: &Code, presented: &Record, new: Answered<'_>) -> Result<(), Error> {
        let Answered { metadata, keys, tokens, server, sent } = new;
        let background = self.context.env.transport.background();
        let previous = self.state().claims.clone();
        let occasion = Occasion {
            metadata,
            keys,
            server,
            received: self.context.env.clock.boot(),
            id_token_required: false,
            id_token_wanted: self.wants_id_token(),
            previous: previous.as_deref(),
        };
        // First whose they are, then whether they are suitable.
        let validated = validation::validate(&self.context, &background, &tokens, &occasion).await.and_then(|claims| {
            let check = self.unsuitable(id, presented, &tokens, sent);
            check.map_or(Ok(claims), |check| Err(Kind::TokenRejected { check }))
        });
        if let Err(Kind::TokenRejected { check }) = validated {
            self.security(id, SecurityEvent::TokenRejected { check });
            if check == TokenCheck::Subject && previous.is_some() {
                self.security(id, SecurityEvent::SubjectChanged);
                self.give_back(id, metadata, newest(&tokens));
                self.end(EndReason::SubjectChanged);
                let _ = self.delete().await;
                return Err(Kind::SessionEnded { reason: EndReason::SubjectChanged }.into());
            }
        }
        // For the case that the session has ended meanwhile and nobody else knows this token.
        let received = newest(&tokens);
        let next = merge(presented, tokens, &validated, sent);
        if next.rotation == Rotation::Static && presented.rotation != Rotation::Static {
            self.security(id, SecurityEvent::StaticBearerSession);
        }
        let Some(hash) = presented.refresh_hash() else { return Err(Kind::Internal.into()) };
        match self.commit(hash, |_| next) {
            Committed::Yes => {}
            Committed::Ended(reason) => {
                self.give_back(id, metadata, received);
                return Err(Kind::SessionEnded { reason }.into());
            }
            // As below: the other process holds a token of the same grant.
            Committed::OtherToken => return self.superseded(),
        }
        match self.persist().await {
            Written::Stored => {}
            Written::Kept(_) => {
                self.security(id, SecurityEvent::NotPersisted);
                self.rewrite_later();
            }
            Written::Gone => {
                self.give_back(id, metadata, received);
                return Err(Kind::SessionEnded { reason: EndReason::SignedOut }.into());
            }
            // The other process holds a token of the same grant: giving this one back would end that one too.
            Written::Superseded => return self.superseded(),
        }
        self.serve(validated?)
    }

    /// Why tokens that may be valid are not for this session.
    fn unsuitable(&self, id: &Code, presented: &Record, tokens: &TokenAnswer, sent: Now) -> Option<TokenCheck> {
        if rules::is_spent(&presented.set, &tokens.access_token, sent) {
            self.security(id, SecurityEvent::AccessTokenReused);
            return Some(TokenCheck::AccessTokenReused);
        }
        let asked = |scope: &String| {
            self.context.config.scopes.contains(scope) || presented.scope.split(' ').any(|known| known == scope)
        };
        if tokens.scope.as_ref().is_some_and(|granted| !granted.iter().all(asked)) {
            self.security(id, SecurityEvent::ScopeWidened);
            return (self.context.config.wider_scopes == WiderScopes::Refuse).then_some(TokenCheck::Scope);
        }
        None
    }

    /// Another process's set was taken over: good, or worth another refresh.
    fn superseded(&self) -> Result<(), Error> {
        match self.freshness() {
            Freshness::Fresh => Ok(()),
            _ => Err(superseded()),
        }
    }

    /// 7 and every other "no".
    async fn refused(
        self: &Arc<Self>,
        id: &Code,
        presented: &Record,
        failure: Failure,
        surely_unused: bool,
    ) -> Result<(), Error> {
        self.report_oddity(id, &failure);
        let said = failure.said.clone();
        if !matches!(failure.why, Why::Refused) {
            if surely_unused {
                // The server did not act: the next refresh is like a first one.
                if let Some(hash) = presented.refresh_hash() {
                    self.commit(hash, |record| record.with_mark(None));
                }
                if self.state().was_stored && matches!(self.persist().await, Written::Kept(_)) {
                    self.rewrite_later();
                }
            }
            return Err(self.error(failure));
        }
        // If the store cannot be read, nothing ends; if a newer token is there, it is used.
        if self.adopt_newer().await? || self.state().record.refresh_hash() != presented.refresh_hash() {
            return self.superseded();
        }
        self.security(id, SecurityEvent::RefreshTokenRefused);
        // An expired or revoked grant is refused too, but seldom while its access token is still good.
        if presented.rotation == Rotation::Rotating && surely_unused && self.freshness() != Freshness::Expired {
            self.security(id, SecurityEvent::RefreshReuseSuspected);
        }
        self.end(EndReason::RefreshTokenRefused);
        let _ = self.delete().await;
        Err(Error::from(Kind::SessionEnded { reason: EndReason::RefreshTokenRefused }).with(said))
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(self.context.env.clock.wall())
    }

    fn give_back(&self, id: &Code, metadata: &Arc<Metadata>, token: (Secret, &'static str)) {
        let record = Arc::clone(&self.state().record);
        give_back(&self.context, Trail { id, user: &record.username }, metadata, token);
    }

    fn report_oddity(&self, id: &Code, failure: &Failure) {
        let record = Arc::clone(&self.state().record);
        self.context.report_oddity(Trail { id, user: &record.username }, failure);
    }

    fn security(&self, id: &Code, event: SecurityEvent) {
        self.audit(id, AuditKind::Security(event));
    }

    fn report(&self, id: &Code, sent: &Sent, began: BootInstant) {
        let duration = self.context.env.clock.boot().since(began);
        let retries = sent.retries;
        let (outcome, status, request_id) = match &sent.answer {
            Ok((_, reply)) => {
                ("Success", Some(reply.response.status), said::request_id(&reply.response, &reply.private))
            }
            Err(failure) => (failure.why.name(), failure.status, failure.said.request_id.clone()),
        };
        let attempt = Attempt::Refresh;
        let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration, retries };
        self.audit(id, finished);
    }
}

/// Another process's set was taken over; nothing was sent for it yet.
fn superseded() -> Error {
    Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: false }.into()
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
    let life = Life { sent_wall: sent.wall, sent_boot: sent.boot, secs: tokens.lifetime_secs };
    let life = rules::life_of(&old.set, &tokens.access_token, life);
    let refresh_token = tokens.refresh_token.or(old.set.refresh_token);
    let set = match validated {
        Ok(claims) => TokenSet {
            access_token: tokens.access_token,
            life,
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
