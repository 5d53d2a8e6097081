//! How a session ends on purpose: its tombstone first, then the server, then its record. docs/sessions.md §6.
//!
//! What the server could not be told stays in the tombstone, and `queue` tells it later.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::{Either, join, select};

use super::engine::Engine;
use super::tombstone::{self, Owed, Tombstone};
use super::{DeviceSignOut, ServerSignOut, SignOut, queue};
use crate::audit::{Attempt, AuditKind, Trail};
use crate::context::{Context, in_background, storage};
use crate::discovery::Discovery;
use crate::env::StorageKey;
use crate::error::{Code, EndReason, Error, StoreProblem};
use crate::gate::Exclusion;
use crate::secret::Secret;
use crate::wire::answer::{self, Failure, Leg, Why};
use crate::wire::rate_limit::{RateHeaders, retry_delay};
use crate::wire::requests;
use crate::wire::said;
use crate::wire::tokens::{TokenAnswer, TokenKind};

/// What the server said to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Revoked,
    /// It has no revocation endpoint.
    Unsupported,
    /// It does not want to; asking again would not help.
    Refused,
    /// It could not be reached, or asks to be left alone for a while.
    NotNow(Option<Duration>),
}

/// A session that was ended in memory: tells the store and the server. Both halves go on without each other.
pub(super) async fn sign_out(context: &Arc<Context>, engine: &Arc<Engine>) -> Result<SignOut, Error> {
    let id = engine.id().clone();
    let trail = engine.trail();
    // Another process may have refreshed since this one read last.
    engine.learn_newest().await;
    let buried = engine.bury(EndReason::SignedOut).await;
    let server = async {
        match (engine.take_owed(), engine.unfinished_sign_out()) {
            (Some(owed), _) => tell(context, trail.as_trail(), &id, owed, buried.is_ok()).await,
            (None, earlier) => earlier.unwrap_or(ServerSignOut::Failed),
        }
    };
    let (server, deleted) = join(server, engine.delete()).await;
    let device = match (deleted, buried) {
        (Ok(()), _) => Ok(DeviceSignOut::Deleted),
        (Err(_), Ok(())) => Ok(DeviceSignOut::Tombstoned),
        (Err(problem), Err(_)) => Err(problem),
    };
    engine.signed_out(server, device.is_ok());
    let done = AuditKind::SignedOut { session_id: id, server, deleted: device == Ok(DeviceSignOut::Deleted) };
    context.auditor.record(trail.as_trail(), done);
    if server == ServerSignOut::Pending {
        queue::work_later(context);
    }
    device.map(|device| SignOut { server, device }).map_err(|problem| storage(problem).into())
}

/// Ends sessions whose place another took, or which a sign-out ends along. Their tokens are revoked in the background. Gives
/// those of which the store still says nothing.
pub(super) async fn end_all(
    context: &Arc<Context>,
    sessions: Vec<Arc<Engine>>,
    reason: EndReason,
) -> Vec<StoreProblem> {
    let mut problems = Vec::new();
    for engine in sessions {
        engine.end(reason);
        engine.learn_newest().await;
        let buried = engine.bury(reason).await;
        // Deleted is as good: whoever still has it in memory finds it gone.
        let deleted = engine.delete().await;
        if let (Err(problem), Err(_), true) = (deleted, buried, engine.was_stored()) {
            problems.push(problem);
        }
        let Some(owed) = engine.take_owed() else { continue };
        let background = Arc::clone(context);
        in_background(&context.env, async move {
            let (id, trail) = (engine.id().clone(), engine.trail());
            if tell(&background, trail.as_trail(), &id, owed, buried.is_ok()).await == ServerSignOut::Pending {
                queue::work_later(&background);
            }
        });
    }
    problems
}

/// Writes a session's tombstone, or adds to the one that is there: it never loses a token that is still owed to a newer one
/// that is none.
pub(super) async fn bury(
    context: &Context,
    id: &Code,
    reason: EndReason,
    owed: impl FnOnce() -> Option<Owed> + Send,
) -> Result<(), StoreProblem> {
    let key = Tombstone::key(id);
    let _turn = context.queue_turn().await;
    let old = match context.load(&key).await? {
        Some(blob) => Tombstone::decode(&blob).ok(),
        None => None,
    };
    let (ended, reason, old_owed) = match old {
        Some(old) => (old.ended, old.reason, old.owed),
        None => (context.now(), reason, None),
    };
    // Asked now: a refresh may have brought a newer one while this waited for its turn.
    let owed = owed().or(old_owed);
    write(context, &key, id, reason, ended, owed).await
}

async fn write(
    context: &Context,
    key: &StorageKey,
    id: &Code,
    reason: EndReason,
    ended: super::rules::Now,
    owed: Option<Owed>,
) -> Result<(), StoreProblem> {
    let tombstone = Tombstone {
        id: id.clone(),
        issuer: context.config.issuer.as_str().to_owned(),
        client_id: context.config.client_id.as_str().to_owned(),
        reason,
        ended,
        owed,
    };
    context.store_and_check(key, tombstone.encode(), ()).await
}

/// Tells the server, and notes in the tombstone what came of it.
pub(super) async fn tell(
    context: &Arc<Context>,
    trail: Trail<'_>,
    id: &Code,
    owed: Owed,
    is_buried: bool,
) -> ServerSignOut {
    let told = revoke(context, trail, &owed.token, owed.kind).await;
    if is_buried {
        note(context, id, &owed, told).await;
    }
    match told {
        Told::Revoked => ServerSignOut::Revoked,
        Told::Unsupported => ServerSignOut::Unsupported,
        Told::Refused => ServerSignOut::Failed,
        Told::NotNow(_) if is_buried => ServerSignOut::Pending,
        Told::NotNow(_) => ServerSignOut::Failed,
    }
}

/// The tombstone after a try: without the token, or with the time of the next try. One that meanwhile holds another token
/// is left alone. If it cannot be written, the server is told once more later, which does no harm (RFC 7009 §2.2).
async fn note(context: &Arc<Context>, id: &Code, owed: &Owed, told: Told) {
    let key = Tombstone::key(id);
    let Ok(_excluded) = Exclusion::acquire(context.gate.as_ref(), context.timing().lock).await else { return };
    let _turn = context.queue_turn().await;
    let Ok(Some(blob)) = context.load(&key).await else { return };
    let Ok(old) = Tombstone::decode(&blob) else { return };
    if !old.owed.as_ref().is_some_and(|known| known.is(&owed.token)) {
        return;
    }
    let next = match told {
        Told::Revoked | Told::Unsupported | Told::Refused => None,
        Told::NotNow(server) => {
            let tries = owed.tries.saturating_add(1);
            let again = Some(context.now().plus(tombstone::pause(tries, server)));
            Some(Owed { token: owed.token.duplicate(), kind: owed.kind, tries, again })
        }
    };
    let _ = write(context, &key, id, old.reason, old.ended, next).await;
}

/// Gives back, in the background, the token of a sign-in that nobody wants or that did not pass validation. It goes into the
/// queue first: the process may die before the server has heard.
pub(crate) fn give_back(context: &Arc<Context>, trail: Trail<'_>, (token, kind): (Secret, TokenKind)) {
    let background = Arc::clone(context);
    let (transaction, user) = (trail.id.clone(), trail.user.to_owned());
    in_background(&context.env, async move {
        let trail = Trail { id: &transaction, user: &user };
        let Some(id) = background.random_id() else { return };
        let entry = Owed::new(token.duplicate(), kind);
        let is_buried = bury(&background, &id, EndReason::Replaced, move || Some(entry)).await.is_ok();
        match tell(&background, trail, &id, Owed::new(token, kind), is_buried).await {
            ServerSignOut::Pending => queue::work_later(&background),
            // There never was a record.
            _ if is_buried => drop(background.delete_and_check(&Tombstone::key(&id), ()).await),
            _ => {}
        }
    });
}

/// The token whose revocation ends the grant: the refresh token, which takes its access token along (row 304).
pub(crate) fn newest(tokens: &TokenAnswer) -> (Secret, TokenKind) {
    match &tokens.refresh_token {
        Some(token) => (token.duplicate(), TokenKind::Refresh),
        None => (tokens.access_token.duplicate(), TokenKind::Access),
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
        let (outcome, status, request_id) = match &result {
            Ok(request_id) => ("Success", Some(200), request_id.clone()),
            Err(failure) => (failure.why.name(), failure.status, failure.said.request_id.clone()),
        };
        let duration = context.env.clock.boot().since(began);
        let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration, retries: 0 };
        context.auditor.record(trail, finished);
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
