//! A signed-in user's session: its tokens, kept fresh, attached to requests, given up. docs/sessions.md.

mod accounts;
mod advice;
mod claims;
mod counter;
mod ending;
mod engine;
mod establish;
mod import;
mod introspection;
#[cfg(test)]
mod model;
mod owed;
mod presenting;
pub(crate) mod queue;
mod reading;
mod record;
pub(crate) mod rules;
mod state;
#[cfg(test)]
pub(crate) mod test_access;
mod tombstone;

use core::fmt;
use std::sync::Arc;
use std::time::SystemTime;

pub use accounts::SessionInfo;
pub(crate) use accounts::{
    discard_unreadable, notify_foreground, read_again, restore, session, sessions, set_default, sign_out_all,
};
pub use advice::{Advice, StepUpDemand};
pub use claims::Claims;
pub(crate) use ending::{give_back, newest, revoke_once};
use engine::Engine;
pub(crate) use engine::{NotStepped, SteppedUp};
pub(crate) use establish::{Before, Established, NewSession, establish, prepare};
pub(crate) use import::import;
pub use introspection::{IntrospectedToken, Introspection};
pub(crate) use record::TokenHash;
pub use state::{State, States};
pub(crate) use state::{Ticket, Watch};

use crate::audit::Trail;
use crate::config::{Accounts, Scopes};
use crate::context::{Authorization, Context};
use crate::discovery::Discovery;
use crate::env::Conversation;
use crate::error::{ConfigurationProblem, EndReason, Error, Kind, TokenCheck, Unsupported};
use crate::jose::dpop;
use crate::jose::id_token::IdTokenClaims;
use crate::proof::{Proof, ProofKey};
use crate::secret::Secret;
use crate::wire::answer::{Failure, Leg, Reply, Why};

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
        self.engine.is_persisted()
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
    /// `method` (in capital letters) and `url` are part of the proof if tokens are bound to a key (RFC 9449): pass the request's
    /// own, and ask anew for each send, also for a redirect or a repetition. Refreshes when due.
    ///
    /// # Errors
    /// [`Kind::Configuration`]: `url` is not https, or neither of the issuer's origin nor of a configured resource origin
    /// (protocol.md TOK-9). [`Kind::KeyUnavailable`]: the key that the token is bound to. Otherwise as
    /// [`access_token`](Session::access_token).
    pub async fn authorize(&self, method: &str, url: &str) -> Result<AuthorizationHeaders, Error> {
        if !self.context.config.may_receive_tokens(url) {
            return Err(Kind::Configuration { what: ConfigurationProblem::OriginNotAllowed }.into());
        }
        if !dpop::is_method(method) {
            return Err(Kind::Configuration { what: ConfigurationProblem::Method }.into());
        }
        let (token, key) = self.engine.access().await?;
        let Authorization { value, proof } = self.context.authorization(method, url, &token, key.as_ref()).await?;
        let target = url.to_owned();
        Ok(AuthorizationHeaders { authorization: value, proof, token: record::hash(&token), target })
    }

    /// Whether its tokens are bound to a key (RFC 9449), so that they are of no use to whoever steals them.
    pub fn is_dpop_bound(&self) -> bool {
        self.engine.record().proof_key.is_some()
    }

    pub(crate) fn proof_key(&self) -> Option<ProofKey> {
        self.engine.record().proof_key.as_ref().map(ProofKey::duplicate)
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
        let (mut reply, mut used) = self.get(&*via, url.as_str()).await?;
        if context.wants_another_proof(url.as_str(), &reply.response) {
            (reply, used) = self.get(&*via, url.as_str()).await?;
            context.wants_another_proof(url.as_str(), &reply.response);
        }
        if reply.response.status == 401 && self.renews(&used).await? {
            // Perhaps the token was revoked before its time: one refresh, one more try (row 308).
            (reply, _) = self.get(&*via, url.as_str()).await?;
        }
        reply.private.add(&self.username());
        let record = self.engine.snapshot().record;
        let answer = context.read(&reply, Leg::Elsewhere).map_err(|failure| {
            context.report_oddity(Trail { id: &record.id, user: &record.username }, &failure);
            match (&failure.why, reply.response.status) {
                // Resource servers say why in a header and seldom in JSON (RFC 6750 §3; rows 308, 309).
                (Why::Fatal(Kind::InvalidResponse { .. }), status @ (401 | 403)) => {
                    Error::from(Kind::Server { status, code: None }).with(failure.said)
                }
                _ => fail(failure),
            }
        })?;
        let subject = self.engine.snapshot().claims.map(|claims| claims.subject.clone());
        match answer.str("sub") {
            Some(sub) if subject.as_deref().is_none_or(|known| known == sub) => Ok(Claims::of_object(answer)),
            _ => Err(Kind::TokenRejected { check: TokenCheck::Subject }.into()),
        }
    }

    /// Asks a resource of the server's own, by the access token that then was the newest.
    async fn get(&self, via: &dyn Conversation, url: &str) -> Result<(Reply, TokenHash), Error> {
        let (token, key) = self.engine.access().await?;
        let authorization = self.context.authorization("GET", url, &token, key.as_ref()).await?;
        let reply = self.context.get(via, url, Some((&token, authorization))).await.map_err(Kind::from)?;
        Ok((reply, record::hash(&token)))
    }

    /// Signs out: nothing of the session is used any more, in any process that can read the store; its refresh token is
    /// revoked, which revokes its access token; its record is deleted. With [`Accounts::One`] any other session that is still
    /// stored ends along. Works offline: the server is then told later, for up to 24 hours, also by a later run of the app.
    ///
    /// A caller that goes away does not stop it half way. A refresh that is under way is not waited for; the tokens that it
    /// brings are revoked (docs/sessions.md §6).
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: the store would neither note the end nor delete the record, so a later run of the app may
    /// find the session again (its tokens were revoked if the server could be reached); call it again.
    /// [`Kind::SessionEnded`]: it had ended already.
    pub async fn sign_out(&self) -> Result<SignOut, Error> {
        let is_first = self.engine.end(EndReason::SignedOut);
        if !is_first && self.engine.unfinished_sign_out().is_none() {
            self.engine.alive()?;
        }
        let alone = self.context.config.accounts == Accounts::One;
        if alone {
            self.context.publish(State::SignedOut, self.context.ticket());
        }
        let (engine, context) = (Arc::clone(&self.engine), Arc::clone(&self.context));
        let done = self.context.detached(move |_| async move {
            let result = ending::sign_out(&context, &engine).await;
            if alone {
                accounts::end_others(&context, &engine).await;
            }
            // Another may be the default now, or, with one account, may have signed in meanwhile.
            accounts::tell_all(&context);
            result
        });
        done.await.unwrap_or_else(|| Err(Kind::Internal.into()))
    }

    /// Of the client that this handle came from.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Whether it lives, and this process may give it other tokens.
    pub(crate) fn may_step_up(&self) -> Result<(), Error> {
        self.engine.alive()?;
        let record = self.engine.record();
        // Known to the server's last run of the app.
        self.context.seed_nonce(record.nonce.as_deref());
        if record.subject.is_none() || !self.context.config.scopes.contains("openid") {
            // Nobody could tell whether it is the same user.
            return Err(Kind::Configuration { what: ConfigurationProblem::AcrValues }.into());
        }
        let what = Unsupported::StepUpHere;
        if self.engine.may_step_up() { Ok(()) } else { Err(Kind::Unsupported { what }.into()) }
    }

    /// The scopes of a step-up: the client's, and what the session has besides.
    pub(crate) fn scopes_for_more(&self) -> Scopes {
        let (configured, granted) = (&self.context.config.scopes, self.granted_scopes());
        let all = configured.as_str().split(' ').map(str::to_owned).chain(granted);
        Scopes::parse(all).unwrap_or_else(|_| configured.clone())
    }

    /// Whether an ID token speaks of this session's user.
    pub(crate) fn is_of(&self, claims: Option<&IdTokenClaims>) -> bool {
        let known = self.engine.record().subject.clone();
        claims.is_some_and(|claims| known.is_some_and(|known| known == claims.subject))
    }

    /// Takes the tokens of a step-up; see [`Engine::step_up`].
    pub(crate) async fn take(&self, new: SteppedUp, commit: impl FnOnce() -> bool) -> Result<(), NotStepped> {
        self.engine.step_up(new, commit).await
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine)
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
    /// For one send.
    proof: Option<Proof>,
    /// Which token it is.
    token: TokenHash,
    /// The URL that they are for.
    target: String,
}

impl AuthorizationHeaders {
    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn used(&self) -> &TokenHash {
        &self.token
    }

    /// Names and values: `authorization`, and `dpop` if the token is bound to a key. Do not log the values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        // EXPOSE: the purpose of this type; the caller writes them into a request.
        let proof = self.proof.as_ref().map(|proof| ("dpop", proof.value.expose()));
        // EXPOSE: as above.
        core::iter::once(("authorization", self.authorization.expose())).chain(proof)
    }
}

impl fmt::Debug for AuthorizationHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationHeaders([secret])")
    }
}

/// What became of a session at sign-out, in both places. Either way nothing of it is used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignOut {
    /// What the server was told.
    pub server: ServerSignOut,
    /// What the store holds.
    pub device: DeviceSignOut,
}

/// What the server was told at sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerSignOut {
    /// It revoked the tokens (RFC 7009).
    Revoked,
    /// It could not be reached; it is told later, for up to 24 hours.
    Pending,
    /// It refused, or it could not be reached and nothing could be noted for later; its tokens end by themselves.
    Failed,
    /// It has no revocation endpoint; its tokens end by themselves.
    Unsupported,
}

/// What the store holds after a sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceSignOut {
    /// The record is deleted.
    Deleted,
    /// The record could not be deleted yet; a tombstone beside it says that it is ended.
    Tombstoned,
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
