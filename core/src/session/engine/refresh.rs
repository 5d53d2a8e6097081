//! One refresh of a session, from the re-read to the stored answer. docs/sessions.md §5, whose numbers stand in the comments.
//!
//! The decisions are in `rules`; this sequences effects.

use std::sync::Arc;

use super::Engine;
use super::held::HeldBack;
use super::writing::{Committed, Written};
use crate::audit::{Attempt, AuditKind, SecurityEvent, Trail};
use crate::config::{Assurance, WiderScopes};
use crate::context::{Headers, Proven, ServerTime, storage};
use crate::discovery::Discovery;
use crate::env::{BootInstant, Method};
use crate::error::{Code, EndReason, Error, Kind, NetworkProblem, StoreProblem, TokenCheck};
use crate::gate::Exclusion;
use crate::jose::id_token::IdTokenClaims;
use crate::jose::jwks::KeySet;
use crate::proof::{Proof, ProofKey, may_send_again};
use crate::secret::Secret;
use crate::session::accounts::tell_all;
use crate::session::ending::{self, newest};
use crate::session::presenting::{self, Answer, OneSend, Presented, is_lost, present};
use crate::session::record::{Life, Mark, Record, Rotation, TokenSet, hash};
use crate::session::rules::{self, Freshness, MaySend, Now};
use crate::validation::{self, Occasion};
use crate::wire::answer::{Failure, Leg, Why};
use crate::wire::metadata::Metadata;
use crate::wire::tokens::{TokenAnswer, TokenKind};

/// A refresh reaches nothing that the sign-in had not (protocol.md §6.5).
static ANY: Assurance = Assurance { acr_values: Vec::new(), max_age: None };

/// What a refresh needs before it may be sent.
struct Ready {
    metadata: Arc<Metadata>,
    keys: Option<Arc<KeySet>>,
    provided: Headers,
    /// By the platform's key that the session then had.
    proof: Option<(ProofKey, Proof)>,
}

/// Which round of a refresh it is, or comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Last,
    Over,
}

/// The answer to a refresh token.
struct Sent {
    answer: Answer,
    /// Whether the server may have acted on a send whose answer never came.
    unknown: bool,
    /// How often it was sent before the send that was answered.
    retries: u32,
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
        let result = async {
            match self.refresh_as(&id, Round::First).await? {
                Round::Over => Ok(()),
                _ => self.refresh_as(&id, Round::Last).await.map(drop),
            }
        };
        result.await.map_err(|error| error.with_transaction_id(&id))
    }

    /// One round of it: `Last` if another is needed, without the lock while a key of the platform asks its user.
    async fn refresh_as(self: &Arc<Self>, id: &Code, round: Round) -> Result<Round, Error> {
        let at_hand = if self.context.gate.is_some() {
            // Nobody is asked for what another process has done already.
            if self.adopt_newer().await? && self.freshness() == Freshness::Fresh {
                return Ok(Round::Over);
            }
            // Before the lock is taken: nobody else waits for it while a slow server or the user is asked.
            Some(self.make_ready(id, &self.record()).await)
        } else {
            None
        };
        // 2: what another process may have done meanwhile
        let mut exclusion = match at_hand {
            Some(Err(_)) => Exclusion::none(),
            _ => self.exclude().await.map_err(storage)?,
        };
        if self.adopt_newer().await? && self.freshness() == Freshness::Fresh {
            return Ok(Round::Over);
        }
        let presented = Arc::clone(&self.state().record);
        let Some(token) = presented.set.refresh_token.as_ref() else {
            return Err(Kind::ReauthRequired { reason: Code::of("no_refresh_token") }.into());
        };
        // What may not be sent anyway costs no request, and asks nobody.
        self.may_send(&presented, token)?;
        let Ready { metadata, keys, provided, proof } = match at_hand {
            Some(ready) => ready?,
            None => self.make_ready(id, &presented).await?,
        };
        self.may_send(&presented, token)?;
        self.context.seed_nonce(presented.nonce.as_deref());
        let key = presented.proof_key.as_ref();
        let proof = proof.filter(|(by, proof)| {
            // An older nonce may do in the last round; the user is not asked for ever.
            key.is_some_and(|key| key.is(by)) && (round == Round::Last || self.context.is_current(proof))
        });
        let proven = match (key, proof) {
            (Some(key), Some((_, proof))) => Some((key, proof)),
            // Another process has bound it meanwhile, or heard of another nonce: the user is not asked with the lock in hand,
            // unless that goes on.
            (Some(ProofKey::Platform { .. }), None) if self.context.gate.is_some() && round == Round::First => {
                return Ok(Round::Last);
            }
            (Some(key), None) => Some((key, self.prove(id, key, metadata.token_endpoint.as_str()).await?)),
            (None, _) => None,
        };
        // Limits are checked at the send: the network may have been slow, the process may have slept.
        let may_send = self.may_send(&presented, token)?;
        // 3: the mark, or no send
        let mark = self.mark(&mut exclusion, &presented, token, may_send).await?;
        // 4
        let began = self.now();
        self.audit(id, AuditKind::AttemptStarted { attempt: Attempt::Refresh });
        let carried = proven.as_ref().and_then(|(_, proof)| proof.nonce.clone());
        let is_of_platform = matches!(key, Some(ProofKey::Platform { .. }));
        let form = Presented { metadata: &metadata, token, scope: &presented.scope, own: Some(self) };
        let sent = self.send(id, &mut exclusion, &form, may_send, (provided, proven)).await;
        let trail = Trail { id, user: &presented.username };
        let outcome = presenting::outcome(&sent.answer);
        self.context.attempt_finished(trail, Attempt::Refresh, began.boot, outcome, sent.retries);
        // 5 to 7
        match sent.answer {
            Ok((tokens, reply)) => {
                let server = self.context.server_time(&reply.response);
                // It knows the old refresh token.
                drop(reply);
                let new = Answered { metadata: &metadata, keys, tokens, server, sent: began };
                if let Some(held) = self.apply(id, &mut exclusion, &presented, new).await? {
                    // Its refresh token is stored; what is fetched now holds up no other process.
                    drop(exclusion);
                    self.hold_back(id, held).await?;
                }
                Ok(Round::Over)
            }
            Err(failure) => {
                let is_first = may_send == MaySend::First && presented.mark.is_none();
                // Also nobody else has sent it since: a mark of one's own is not the first one any more.
                let surely_unused = is_first && !sent.unknown && self.record().mark == mark;
                let nonce = self.context.nonces().server().map(str::to_owned);
                let wants_proof = failure.refused_proof().is_some_and(|error| {
                    may_send_again(Leg::Refresh, error.as_str(), carried.as_deref(), nonce.as_deref())
                });
                let asks_again = wants_proof
                    && !sent.unknown
                    && may_send == MaySend::First
                    && is_of_platform
                    && round == Round::First;
                let refused =
                    self.refused(id, &mut exclusion, &presented, failure, surely_unused.then_some(mark)).await;
                // The user is asked again without the lock.
                let is_still_newest = self.record().refresh_hash() == presented.refresh_hash();
                if refused.is_err() && !is_still_newest && self.alive().is_ok() {
                    // Another process's set was taken over meanwhile.
                    return self.superseded().map(|()| Round::Over);
                }
                if asks_again && is_still_newest && self.alive().is_ok() {
                    Ok(Round::Last)
                } else {
                    refused.map(|()| Round::Over)
                }
            }
        }
    }

    /// What takes its time: the server's documents, the app's own code, and a key of the platform, which may ask the user.
    async fn make_ready(self: &Arc<Self>, id: &Code, record: &Record) -> Result<Ready, Error> {
        let (metadata, keys) = self.discover(id).await?;
        let url = metadata.token_endpoint.as_str();
        let provided = self.context.provided_headers(Method::Post, url).await;
        self.context.seed_nonce(record.nonce.as_deref());
        // A key in software asks nobody: its proof is made at the send. Nor is anybody asked for what may not be sent anyway.
        let may_send = record.set.refresh_token.as_ref().is_some_and(|token| self.may_send(record, token).is_ok());
        let proof = match &record.proof_key {
            Some(key @ ProofKey::Platform { .. }) if may_send => {
                Some((key.duplicate(), self.prove(id, key, url).await?))
            }
            _ => None,
        };
        Ok(Ready { metadata, keys, provided, proof })
    }

    /// A proof by the session's key. One that is gone for good is told to the app's log; nothing ends (row 274).
    async fn prove(self: &Arc<Self>, id: &Code, key: &ProofKey, url: &str) -> Result<Proof, Error> {
        self.context.prove_to_server(key, url).await.map_err(|kind| {
            if let Kind::KeyUnavailable { reason } = kind
                && !reason.is_temporary()
            {
                self.security(id, SecurityEvent::KeyUnavailable { problem: reason });
            }
            kind.into()
        })
    }

    /// Metadata, and keys if ID tokens are used.
    async fn discover(self: &Arc<Self>, id: &Code) -> Result<(Arc<Metadata>, Option<Arc<KeySet>>), Error> {
        let background = self.context.env.transport.background();
        Discovery::both(&self.context, &background, self.wants_id_token()).await.map_err(|failure| {
            self.report_oddity(id, &failure);
            self.error(failure)
        })
    }

    pub(super) fn may_send(&self, record: &Record, token: &Secret) -> Result<MaySend, Error> {
        let hash = hash(token);
        let retried = self.state().retried == Some(hash);
        let timing = self.context.timing();
        match rules::may_send(timing, record.mark.as_ref(), &hash, retried, self.freshness(), self.now()) {
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
    /// or nothing of this session is stored. What cannot be noted is not sent. Gives the mark that it is sent under, if it is
    /// a new one.
    async fn mark(
        self: &Arc<Self>,
        exclusion: &mut Exclusion,
        presented: &Record,
        token: &Secret,
        may_send: MaySend,
    ) -> Result<Option<Mark>, Error> {
        if may_send == MaySend::Again {
            self.alive()?;
            // A newer one may have been taken over meanwhile.
            if !exclusion.is_whole() || self.record().refresh_hash() != Some(hash(token)) {
                return Err(superseded());
            }
            self.state().retried = Some(hash(token));
            return Ok(None);
        }
        let now = self.now();
        let mark = Mark { first_wall: now.wall, first_boot: now.boot, token: hash(token) };
        let before = presented.mark;
        match self.commit(Some(mark.token), |record| record.with_mark(Some(mark))) {
            Committed::Yes => {}
            Committed::Ended(reason) => return Err(Kind::SessionEnded { reason }.into()),
            Committed::OtherToken => return Err(superseded()),
        }
        self.state().retried = None;
        let in_memory_only = presented.rotation == Rotation::Static || !self.was_stored();
        let problem = if in_memory_only {
            None
        } else {
            match self.persist(exclusion).await {
                // Another one's took its place: who had lost the lock is not the first to send.
                Written::Stored if self.record().mark != Some(mark) => return Err(superseded()),
                Written::Stored => None,
                Written::Kept(problem) => Some(storage(problem).into()),
                Written::Ended(_) => return Err(self.ended_elsewhere()),
                Written::Superseded => return Err(superseded()),
            }
        };
        // Who has lost the lock meanwhile knows nothing of the record any more; the next refresh begins with a look.
        let problem = problem.or_else(|| (!exclusion.is_whole()).then(superseded));
        let Some(problem) = problem else { return self.alive().map(|()| Some(mark)) };
        // Nothing was sent under this mark. Another process's, if that took its place, stays.
        let withdrawn = |record: &Record| if record.mark == Some(mark) { before } else { record.mark };
        self.commit(Some(mark.token), |record| record.with_mark(withdrawn(record)));
        if !in_memory_only {
            self.state().persisted = false;
            self.rewrite_later();
        }
        Err(problem)
    }

    /// Sends, and once more at once if the answer was lost and the time for it is not over.
    async fn send(
        self: &Arc<Self>,
        id: &Code,
        exclusion: &mut Exclusion,
        form: &Presented<'_>,
        may_send: MaySend,
        (provided, proven): (Headers, Option<Proven<'_>>),
    ) -> Sent {
        let began = self.context.env.clock.boot();
        let key = proven.as_ref().map(|(key, _)| *key);
        // A key of the platform asks its user again without the lock, unless time presses.
        let may_ask_again = may_send == MaySend::Again;
        let record = self.record();
        // A second send counts from the first one, which the mark tells.
        let noted = record.mark.filter(|_| may_ask_again && !planted!(RetriesLate)).map(|mark| mark.first_boot);
        let first = OneSend { provided, proven, since: noted.unwrap_or(began), may_ask_again };
        let trail = Trail { id, user: &record.username };
        let first = present(&self.context, trail, form, first, exclusion).await;
        let unknown = is_lost(&first);
        let window = self.context.timing().window;
        let is_late = || self.context.env.clock.boot().since(began) >= window || self.alive().is_err();
        if !unknown || may_send == MaySend::Again || is_late() || planted!(NoRetry) {
            return Sent { answer: first, unknown, retries: 0 };
        }
        let url = form.metadata.token_endpoint.as_str();
        let provided = self.context.provided_headers(Method::Post, url).await;
        // Before the last look: a key of the platform may take its time.
        let proven = match key {
            Some(key) => match self.prove(id, key, url).await {
                Ok(proof) => Some((key, proof)),
                Err(_) => return Sent { answer: first, unknown, retries: 0 },
            },
            None => None,
        };
        // Another process may have refreshed while the lock was lost.
        let renewed = exclusion.renew(self.context.timing().lock).await;
        let is_old = match renewed {
            Ok(false) => false,
            Ok(true) => {
                self.adopt_newer().await.is_err() || self.state().record.refresh_hash() != Some(hash(form.token))
            }
            Err(_) => true,
        };
        if is_late() || is_old || !exclusion.is_whole() {
            return Sent { answer: first, unknown, retries: 0 };
        }
        self.state().retried = Some(hash(form.token));
        let again = OneSend { provided, proven, since: began, may_ask_again: true };
        Sent { answer: present(&self.context, trail, form, again, exclusion).await, unknown, retries: 1 }
    }

    /// 5 and 6: the answer belongs to a session that is still the same, or is given back. Nothing is fetched before the new
    /// refresh token is stored: what cannot be validated with the keys at hand comes back.
    async fn apply(
        self: &Arc<Self>,
        id: &Code,
        exclusion: &mut Exclusion,
        presented: &Record,
        new: Answered<'_>,
    ) -> Result<Option<HeldBack>, Error> {
        let Answered { metadata, keys, tokens, server, sent } = new;
        let received = self.context.env.clock.boot();
        let previous = self.state().claims.clone();
        let occasion = self.occasion(metadata, keys.as_ref(), previous.as_deref(), (server, received));
        let validated = validation::validate_at_hand(&self.context, &tokens, &occasion);
        let validated = self.suitable(id, presented, &tokens, sent, validated);
        // For the case that the session has ended meanwhile and nobody else knows this token.
        let brought = newest(&tokens);
        let held = match validated {
            Err(Kind::TokenRejected { check }) if rules::may_become_valid(check) => {
                Some(HeldBack::new(metadata, &tokens, server, received, sent, check))
            }
            Err(Kind::TokenRejected { check: TokenCheck::Subject }) if previous.is_some() => {
                let subject = Kind::TokenRejected { check: TokenCheck::Subject };
                return Err(self.reject(id, subject, Some(brought)).await);
            }
            _ => None,
        };
        let next = Record { nonce: self.newest_nonce(), ..merge(presented, tokens, &validated, sent) };
        let is_bound = next.proof_key.is_some();
        if next.rotation == Rotation::Static && presented.rotation != Rotation::Static && !is_bound {
            self.security(id, SecurityEvent::StaticBearerSession);
        }
        // The app may have chosen this session as the default meanwhile.
        let next = |current: &Record| Record { use_counter: current.use_counter.max(next.use_counter), ..next };
        match self.commit(presented.refresh_hash(), next) {
            Committed::Yes => {}
            Committed::Ended(reason) => return Err(self.ended_meanwhile(reason, brought)),
            // As below: the other process holds a token of the same grant.
            Committed::OtherToken => return self.superseded().map(|()| None),
        }
        if planted!(ServesFirst) {
            self.serve(None)?;
        }
        match self.persist(exclusion).await {
            Written::Stored => {}
            Written::Kept(_) => {
                self.security(id, SecurityEvent::NotPersisted);
                self.rewrite_later();
            }
            Written::Ended(reason) => return Err(self.ended_meanwhile(reason, brought)),
            // The other process holds a token of the same grant: giving this one back would end that one too.
            Written::Superseded => return self.superseded().map(|()| None),
        }
        match (held, validated) {
            (Some(held), _) => Ok(Some(held)),
            (None, Ok(claims)) => self.serve(claims).map(|()| None),
            (None, Err(kind)) => Err(self.reject(id, kind, None).await),
        }
    }

    /// What an answer's ID token is held against.
    pub(super) fn occasion<'a>(
        &self,
        metadata: &'a Arc<Metadata>,
        keys: Option<&'a Arc<KeySet>>,
        previous: Option<&'a IdTokenClaims>,
        (server, received): (ServerTime, BootInstant),
    ) -> Occasion<'a> {
        Occasion {
            metadata,
            keys,
            server,
            received,
            id_token_required: false,
            id_token_wanted: self.wants_id_token(),
            previous,
            assurance: &ANY,
        }
    }

    /// The tokens are not to be used. If they are somebody else's the session ends (§1 d), and `received`, which came along, is
    /// revoked.
    pub(super) async fn reject(
        self: &Arc<Self>,
        id: &Code,
        kind: Kind,
        received: Option<(Secret, TokenKind)>,
    ) -> Error {
        if let Kind::TokenRejected { check } = kind {
            self.security(id, SecurityEvent::TokenRejected { check });
            if check == TokenCheck::Subject && self.state().claims.is_some() {
                return self.end_for_another_user(id, received).await;
            }
        }
        kind.into()
    }

    /// A validly signed token speaks of somebody else (§1 d): what it came with is revoked.
    async fn end_for_another_user(self: &Arc<Self>, id: &Code, received: Option<(Secret, TokenKind)>) -> Error {
        self.security(id, SecurityEvent::SubjectChanged);
        let reason = EndReason::SubjectChanged;
        if self.end(reason) {
            if let Some(token) = received {
                self.received(token);
            }
            tell_all(&self.context);
            ending::end_all(&self.context, vec![Arc::clone(self)], reason, true).await;
        }
        self.ended_elsewhere()
    }

    /// The session ended while its refresh was on the way.
    fn ended_meanwhile(self: &Arc<Self>, reason: EndReason, received: (Secret, TokenKind)) -> Error {
        if !planted!(DropsReceived) {
            self.received(received);
            self.settle(reason);
        }
        Kind::SessionEnded { reason }.into()
    }

    /// First whose they are, then whether they are suitable for this session.
    pub(super) fn suitable(
        &self,
        id: &Code,
        presented: &Record,
        tokens: &TokenAnswer,
        sent: Now,
        validated: Result<Option<IdTokenClaims>, Kind>,
    ) -> Result<Option<IdTokenClaims>, Kind> {
        let claims = validated?;
        let check = self.unsuitable(id, presented, tokens, sent);
        check.map_or(Ok(claims), |check| Err(Kind::TokenRejected { check }))
    }

    /// Why tokens that may be valid are not for this session.
    fn unsuitable(&self, id: &Code, presented: &Record, tokens: &TokenAnswer, sent: Now) -> Option<TokenCheck> {
        if presented.proof_key.is_some() && !tokens.is_bound {
            // Of no use to whoever has the key, and of use to everybody else (row 88).
            return Some(TokenCheck::Unbound);
        }
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
    pub(super) fn superseded(&self) -> Result<(), Error> {
        self.alive()?;
        match self.freshness() {
            Freshness::Fresh => Ok(()),
            _ => Err(superseded()),
        }
    }

    /// 7 and every other "no". `unused`: the mark that it was sent under, if the server surely has not acted on it.
    async fn refused(
        self: &Arc<Self>,
        id: &Code,
        exclusion: &mut Exclusion,
        presented: &Record,
        failure: Failure,
        unused: Option<Option<Mark>>,
    ) -> Result<(), Error> {
        let surely_unused = unused.is_some();
        self.report_oddity(id, &failure);
        if self.record().refresh_hash() != presented.refresh_hash() {
            // Whatever became of the old one, another process has a newer set, and so have we.
            return self.superseded();
        }
        let said = failure.said.clone();
        let is_refusal = matches!(failure.why, Why::Refused) || planted!(EndsOnAnyRefusal);
        if !is_refusal {
            if presented.rotation == Rotation::Static && !surely_unused {
                // Perhaps it has begun to rotate: from here on the mark is stored.
                self.commit(presented.refresh_hash(), |record| Record {
                    rotation: Rotation::Unknown,
                    ..record.duplicate()
                });
                if self.was_stored() && matches!(self.persist(exclusion).await, Written::Kept(_)) {
                    self.rewrite_later();
                }
            }
            if let Some(mark) = unused {
                // The server did not act: the next refresh is like a first one, unless another process has sent it since.
                let withdrawn = |record: &Record| if record.mark == mark { None } else { record.mark };
                self.commit(presented.refresh_hash(), |record| record.with_mark(withdrawn(record)));
                if self.was_stored() && matches!(self.persist(exclusion).await, Written::Kept(_)) {
                    self.rewrite_later();
                }
            }
            return Err(self.error(failure));
        }
        exclusion.renew(self.context.timing().lock).await.map_err(|_| storage(StoreProblem::Transient))?;
        // If the store cannot be read, nothing ends; if a newer token is there, it is used.
        if self.adopt_newer().await? || self.state().record.refresh_hash() != presented.refresh_hash() {
            return self.superseded();
        }
        self.security(id, SecurityEvent::RefreshTokenRefused);
        // An expired or revoked grant is refused too, but seldom while its access token is still good.
        if presented.rotation == Rotation::Rotating && surely_unused && self.freshness() != Freshness::Expired {
            self.security(id, SecurityEvent::RefreshReuseSuspected);
        }
        let reason = if surely_unused { EndReason::RefreshTokenRefused } else { EndReason::RefreshInterrupted };
        self.end(reason);
        tell_all(&self.context);
        if self.delete(exclusion.keep()).await.is_ok() {
            self.context.forget_key(presented.proof_key.as_ref().map(ProofKey::duplicate));
        }
        self.give_up_left();
        Err(Error::from(Kind::SessionEnded { reason }).with(said))
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(self.context.env.clock.wall())
    }

    fn report_oddity(&self, id: &Code, failure: &Failure) {
        let record = Arc::clone(&self.state().record);
        self.context.report_oddity(Trail { id, user: &record.username }, failure);
    }

    pub(super) fn security(&self, id: &Code, event: SecurityEvent) {
        self.audit(id, AuditKind::Security(event));
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
        // Once is enough: who has rotated may do so again.
        Some(false) if old.rotation != Rotation::Rotating => Rotation::Static,
        _ => old.rotation,
    };
    let life = Life { sent_wall: sent.wall, sent_boot: sent.boot, secs: tokens.lifetime_secs };
    let life = rules::life_of(&old.set, &tokens.access_token, life);
    let refresh_token = tokens.refresh_token.or(old.set.refresh_token);
    let set = match validated {
        Ok(claims) => TokenSet {
            access_token: if planted!(MixesSets) { old.set.access_token } else { tokens.access_token },
            life,
            id_token: claims.as_ref().and(tokens.id_token).or(old.set.id_token),
            refresh_token,
        },
        Err(_) if planted!(HandsOutUnvalidated) => {
            TokenSet { access_token: tokens.access_token, life, id_token: old.set.id_token, refresh_token }
        }
        Err(_) => TokenSet { refresh_token, ..old.set },
    };
    let scope = match tokens.scope {
        Some(scope) if validated.is_ok() => scope.join(" "),
        _ => old.scope,
    };
    Record { set, rotation, scope, mark: None, ..old }
}
