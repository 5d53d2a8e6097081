//! How a session ends on purpose: its tombstone first, then the queue and the server, then its record. docs/sessions.md §6.
//!
//! What the server could not be told stays in the queue, and `queue` tells it later.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::{Either, join, select};

use super::engine::Engine;
use super::owed::Owed;
use super::record::Record;
use super::tombstone::Tombstone;
use super::{DeviceSignOut, ServerSignOut, SignOut, queue};
use crate::audit::{Attempt, AuditKind, Trail};
use crate::context::{Context, Outcome, in_background, storage};
use crate::discovery::Discovery;
use crate::error::{Code, EndReason, Error, StoreProblem};
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::wire::answer::{self, Failure, Leg, Why};
use crate::wire::rate_limit::{RateHeaders, retry_delay};
use crate::wire::requests;
use crate::wire::said;
use crate::wire::tokens::{TokenAnswer, TokenKind};

/// What the server said to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Revoked,
    /// It has no revocation endpoint.
    Unsupported,
    /// It does not want to; asking again would not help.
    Refused,
    /// It could not be reached, or asks to be left alone for a while.
    NotNow(Option<Duration>),
}

/// What the store was told of a session's end.
struct Noted {
    tombstone: Result<(), StoreProblem>,
    /// Whether the token to be revoked has its entry; there are none without a tombstone.
    entry: bool,
}

/// A session that was ended in memory: tells the store and the server.
pub(super) async fn sign_out(context: &Arc<Context>, engine: &Arc<Engine>) -> Result<SignOut, Error> {
    let (id, trail) = (engine.id().clone(), engine.trail());
    // Another process may have refreshed since this one read last.
    engine.learn_newest().await;
    if planted!(RevokesFirst)
        && let Some((token, kind)) = engine.owed()
    {
        revoke(context, trail.as_trail(), &token, kind).await;
    }
    let noted = note(engine, EndReason::SignedOut).await;
    let (server, removed) = finish(context, engine, &noted).await;
    let device = match (removed, noted.tombstone) {
        (Ok(()), _) => Ok(DeviceSignOut::Deleted),
        (Err(_), Ok(())) => Ok(DeviceSignOut::Tombstoned),
        (Err(problem), Err(_)) => Err(problem),
    };
    engine.signed_out(server, device.is_ok());
    let done = AuditKind::SignedOut { session_id: id, server, deleted: device == Ok(DeviceSignOut::Deleted) };
    context.auditor.record(trail.as_trail(), done);
    device.map(|device| SignOut { server, device }).map_err(|problem| storage(problem).into())
}

async fn note(engine: &Arc<Engine>, reason: EndReason) -> Noted {
    let tombstone = engine.bury(reason).await;
    let entry = tombstone.is_ok() && engine.owe().await;
    // Not before the tombstone: the store may still have the session with one of these.
    engine.give_up_left();
    Noted { tombstone, entry }
}

/// Tells the server and removes the record. Beside a tombstone the record is an entry too, so it goes only when its token is
/// in the queue or the server has been told; without one it goes first, since no grant is revoked while its record lives.
async fn finish(
    context: &Arc<Context>,
    engine: &Arc<Engine>,
    noted: &Noted,
) -> (ServerSignOut, Result<(), StoreProblem>) {
    let trail = engine.trail();
    let server = async |has_entry| match (engine.take_owed(), engine.unfinished_sign_out()) {
        (Some(owed), _) => tell(context, trail.as_trail(), owed, has_entry).await,
        (None, Some(earlier)) => earlier,
        (None, None) => ServerSignOut::Unsupported,
    };
    let (server, removed) = match noted {
        Noted { entry: true, .. } => join(server(true), engine.remove()).await,
        Noted { tombstone: Ok(()), .. } if engine.owed().is_none() => join(server(false), engine.remove()).await,
        Noted { tombstone: Ok(()), .. } => match server(false).await {
            // The record is the entry.
            ServerSignOut::Failed => (ServerSignOut::Pending, Err(StoreProblem::Transient)),
            told => (told, engine.remove().await),
        },
        Noted { tombstone: Err(_), .. } => {
            // No entry before that: should the process die in between, the session lives and its token is not owed.
            let removed = engine.delete(()).await;
            let has_entry = removed.is_ok() && engine.owe().await;
            (server(has_entry).await, removed)
        }
    };
    if server == ServerSignOut::Pending || removed.is_err() {
        queue::work_later(context);
    }
    // No request needs it any more: revocations carry no proof. But a session that may be found again does.
    if noted.tombstone.is_ok() || removed.is_ok() {
        context.forget_key(engine.record().proof_key.as_ref().map(ProofKey::duplicate));
    }
    (server, removed)
}

/// Ends sessions whose place another took, or which a sign-out ends along. Their tokens are revoked in the background. Gives
/// why the store still says nothing of some of them.
///
/// `at_once`: they are over whatever the store says. Otherwise one of which the store cannot be told goes on.
pub(super) async fn end_all(
    context: &Arc<Context>,
    sessions: Vec<Arc<Engine>>,
    reason: EndReason,
    at_once: bool,
) -> Vec<StoreProblem> {
    let mut problems = Vec::new();
    for engine in sessions {
        if at_once {
            engine.end(reason);
        }
        engine.learn_newest().await;
        let tombstone = engine.bury(reason).await;
        // Deleted is as good: whoever still has it in memory finds it gone.
        let is_noted = tombstone.is_ok() || !engine.was_stored();
        let removed = if is_noted { Ok(()) } else { engine.delete(()).await };
        if let (Err(problem), false) = (removed, is_noted) {
            problems.push(problem);
            if !at_once {
                continue;
            }
        }
        engine.end(reason);
        engine.give_up_left();
        let noted = Noted { entry: tombstone.is_ok() && engine.owe().await, tombstone };
        let background = Arc::clone(context);
        in_background(&context.env, async move {
            let _ = finish(&background, &engine, &noted).await;
        });
    }
    problems
}

/// Writes a session's tombstone, once.
pub(super) async fn bury(context: &Context, record: &Record, reason: EndReason) -> Result<(), StoreProblem> {
    let key = Tombstone::key(&record.id);
    let turn = context.turn(&key).await?;
    if context.load(&key).await?.is_some() {
        return Ok(());
    }
    let tombstone = Tombstone::of(record, reason, context.now());
    context.store_and_check(&key, tombstone.encode(), turn).await
}

/// Puts a token into the queue.
pub(super) async fn owe(context: &Context, id: &Code, token: &Secret, kind: TokenKind) -> Result<(), StoreProblem> {
    let entry = entry(context, id, token, kind);
    let turn = context.turn(&entry.key()).await?;
    if planted!(ForgetsOwed) {
        return Ok(());
    }
    context.store_and_check(&entry.key(), entry.encode(), turn).await
}

fn entry(context: &Context, id: &Code, token: &Secret, kind: TokenKind) -> Owed {
    Owed {
        id: id.clone(),
        issuer: context.config.issuer.as_str().to_owned(),
        client_id: context.config.client_id.as_str().to_owned(),
        token: token.duplicate(),
        kind,
        since: context.now(),
        tries: 0,
        again: None,
    }
}

/// Tells the server. `kept`: the token has an entry, which says afterwards what came of it. If that cannot be written, the
/// server is told once more later, which does no harm (RFC 7009 §2.2).
pub(super) async fn tell(context: &Arc<Context>, trail: Trail<'_>, owed: Owed, kept: bool) -> ServerSignOut {
    let told = revoke(context, trail, &owed.token, owed.kind).await;
    if kept
        && !planted!(ForgetsOwed)
        && let Ok(turn) = context.turn(&owed.key()).await
    {
        let key = owed.key();
        let _ = match told {
            Told::NotNow(server) => {
                let delayed = owed.delayed(context.now(), server);
                context.store_and_check(&key, delayed.encode(), turn).await
            }
            _ => context.delete_and_check(&key, turn).await,
        };
    }
    match told {
        Told::Revoked => ServerSignOut::Revoked,
        Told::Unsupported => ServerSignOut::Unsupported,
        Told::NotNow(_) if kept => ServerSignOut::Pending,
        Told::Refused | Told::NotNow(_) => ServerSignOut::Failed,
    }
}

/// Gives back, in the background, the token of a sign-in that nobody wants or that did not pass validation. It goes into the
/// queue first: the process may die before the server has heard.
pub(crate) fn give_back(context: &Arc<Context>, trail: Trail<'_>, (token, kind): (Secret, TokenKind)) {
    let background = Arc::clone(context);
    let (transaction, user) = (trail.id.clone(), trail.user.to_owned());
    in_background(&context.env, async move {
        let trail = Trail { id: &transaction, user: &user };
        let Some(id) = background.random_id() else { return };
        let kept = owe(&background, &id, &token, kind).await.is_ok();
        let owed = entry(&background, &id, &token, kind);
        if tell(&background, trail, owed, kept).await == ServerSignOut::Pending {
            queue::work_later(&background);
        }
    });
}

/// Revokes, in the background and once, a token that must not be stored, not even to be revoked later.
pub(crate) fn revoke_once(context: &Arc<Context>, trail: Trail<'_>, (token, kind): (Secret, TokenKind)) {
    let background = Arc::clone(context);
    let (transaction, user) = (trail.id.clone(), trail.user.to_owned());
    in_background(&context.env, async move {
        let trail = Trail { id: &transaction, user: &user };
        revoke(&background, trail, &token, kind).await;
    });
}

/// The token whose revocation ends the grant: the refresh token, which takes its access token along (row 304).
pub(crate) fn newest(tokens: &TokenAnswer) -> (Secret, TokenKind) {
    match &tokens.refresh_token {
        Some(token) => (token.duplicate(), TokenKind::Refresh),
        None => (tokens.access_token.duplicate(), TokenKind::Access),
    }
}

impl Engine {
    /// Writes the tombstone. Tried twice, because what has to be done without one is not safe if the process dies then.
    pub(super) async fn bury(&self, reason: EndReason) -> Result<(), StoreProblem> {
        match bury(self.context(), &self.record(), reason).await {
            Err(_) => bury(self.context(), &self.record(), reason).await,
            done => done,
        }
    }

    /// Puts what is owed into the queue; `true` if there is an entry.
    pub(super) async fn owe(&self) -> bool {
        match self.owed().filter(|_| !self.is_told()) {
            Some((token, kind)) => owe(self.context(), self.id(), &token, kind).await.is_ok(),
            None => false,
        }
    }

    /// As [`owed`](Self::owed), for the one who tells the server; once.
    fn take_owed(&self) -> Option<Owed> {
        let (token, kind) = self.take_owed_token()?;
        Some(entry(self.context(), self.id(), &token, kind))
    }

    /// A session that ended while a token was on its way: what came goes into the queue, or is revoked at once if that cannot
    /// be written. In the background.
    pub(super) fn settle(self: &Arc<Self>, reason: EndReason) {
        let engine = Arc::clone(self);
        in_background(&self.context().env, async move {
            let noted = note(&engine, reason).await;
            let (trail, context) = (engine.trail(), engine.context());
            let Some(owed) = engine.take_owed() else { return };
            if tell(context, trail.as_trail(), owed, noted.entry).await == ServerSignOut::Pending {
                queue::work_later(context);
            }
        });
    }
}

/// Gives a token back (RFC 7009), metadata included; not waited for longer than one request may take. An unknown token counts
/// as revoked.
async fn revoke(context: &Arc<Context>, trail: Trail<'_>, token: &Secret, kind: TokenKind) -> Told {
    let revoked = core::pin::pin!(async {
        let via = context.env.transport.background();
        let metadata = match Discovery::metadata(context, &via).await {
            Ok(metadata) => metadata,
            Err(failure) => return told(&failure, None),
        };
        let Some(url) = &metadata.revocation else { return Told::Unsupported };
        let (attempt, began) = (Attempt::Revocation, context.env.clock.boot());
        context.auditor.record(trail, AuditKind::AttemptStarted { attempt });
        // EXPOSE: written into the request body, which wipes itself after its one send.
        let body = requests::revoke(&context.config.client_id, token.expose(), kind.hint());
        let reply = context.post(&*via, url.as_str(), body, context.config.request_timeout).await;
        let delay = reply.as_ref().ok().and_then(|reply| retry_delay(&RateHeaders::of(&reply.response)));
        let result = reply.map_err(Failure::from).and_then(|mut reply| {
            reply.private.add(trail.user);
            answer::read_empty(&reply, Leg::Elsewhere).map(|()| said::request_id(&reply.response, &reply.private))
        });
        let outcome = Outcome::of(result.as_ref().map(|request_id| (200, request_id.clone())));
        context.attempt_finished(trail, attempt, began, outcome, 0);
        result.as_ref().map_or_else(|failure| told(failure, delay), |_| Told::Revoked)
    });
    match select(revoked, context.env.clock.sleep(context.config.request_timeout)).await {
        Either::Left((told, _)) => told,
        Either::Right(_) => Told::NotNow(None),
    }
}

/// Whether a failed revocation is worth another try, and when the server wants it (row 300).
fn told(failure: &Failure, delay: Option<Duration>) -> Told {
    match &failure.why {
        Why::RateLimited(delay) => Told::NotNow(*delay),
        Why::NoAnswer { .. } => Told::NotNow(delay),
        _ => Told::Refused,
    }
}
