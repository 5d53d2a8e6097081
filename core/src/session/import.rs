//! A session from a refresh token that another library had: one validated refresh. docs/sessions.md §10.

use std::sync::Arc;

use super::accounts::{handle, open};
use super::engine::Engine;
use super::establish::{Established, NewSession, establish, prepare};
use super::presenting::{self, OneSend, Presented, is_lost, present};
use super::reading::{is_ours, survey};
use super::record::{Record, TokenHash, hash};
use super::{Session, give_back, newest, queue};
use crate::audit::{Attempt, AuditKind, SecurityEvent, Trail};
use crate::config::{Assurance, DPoP, WiderScopes};
use crate::context::{Context, storage};
use crate::discovery::Discovery;
use crate::env::Method;
use crate::error::{Code, Error, Kind, StoreProblem, TokenCheck};
use crate::gate::Exclusion;
use crate::proof::{self, ProofKey};
use crate::secret::Secret;
use crate::validation::{self, Occasion};
use crate::wire::answer::{Failure, Why};
use crate::wire::tokens::TokenAnswer;

/// Runs to its end whoever waits: a refresh token that was replaced half way would be lost.
pub(crate) async fn import(context: &Arc<Context>, token: Secret) -> Result<Session, Error> {
    queue::first_use(context);
    let id = context.random_id().ok_or(Kind::Internal)?;
    let (importing, transaction) = (Arc::clone(context), id.clone());
    let done = context.detached(move |_| async move {
        let (hash, mut made) = (hash(&token), None);
        let taken = take_over(&importing, &transaction, token, &mut made).await;
        match (&taken, made) {
            (Err(_), Some(Made { key, may_be_bound: true })) => {
                // The next import of the same token shows it again.
                let mut waiting = importing.half_imported();
                let oldest = if waiting.len() < MAX_HALF_IMPORTED { None } else { waiting.pop_front() };
                waiting.push_back((hash, key));
                drop(waiting);
                importing.forget_key(oldest.map(|(_, key)| key));
            }
            // No session came of it, so its key is nobody's.
            (Err(_), Some(Made { key, .. })) => importing.forget_key(Some(key)),
            _ => {}
        }
        taken
    });
    done.await.unwrap_or_else(|| Err(Kind::Internal.into())).map_err(|error| error.with_transaction_id(&id))
}

/// The key that an import shows.
struct Made {
    key: ProofKey,
    /// Whether an answer was lost by which the server may have bound the token to it.
    may_be_bound: bool,
}

/// Keys that wait for another import of their token, of one client.
const MAX_HALF_IMPORTED: usize = 8;

/// Takes the key that waits for this token.
fn half_imported(context: &Context, hash: &TokenHash) -> Option<ProofKey> {
    let mut waiting = context.half_imported();
    let place = waiting.iter().position(|(of, _)| of == hash)?;
    waiting.remove(place).map(|(_, key)| key)
}

async fn take_over(
    context: &Arc<Context>,
    id: &Code,
    token: Secret,
    made: &mut Option<Made>,
) -> Result<Session, Error> {
    let trail = Trail { id, user: "" };
    let fail = |failure: Failure| {
        context.report_oddity(trail, &failure);
        match failure.why {
            // The user signs in; there is nothing to type again.
            Why::Refused => {
                let kind = Kind::ReauthRequired { reason: Code::of("invalid_grant") };
                Error::from(kind).with(failure.said)
            }
            _ => failure.into_error(context.env.clock.wall()),
        }
    };
    let hash = hash(&token);
    // One after another in this process, and with a lock on this device: the same token is not sent twice.
    let _importing = context.importing().await;
    if let Some(session) = known(context, &hash).await? {
        context.forget_key(half_imported(context, &hash));
        return Ok(session);
    }
    let before = prepare(context, id).await?;
    let via = context.env.transport.background();
    let openid = context.config.scopes.contains("openid");
    let (metadata, keys) = Discovery::both(context, &via, openid).await.map_err(fail)?;
    let url = metadata.token_endpoint.as_str();
    // The app's own code and a key of the platform take their time, and nobody else waits for that.
    let provided = context.provided_headers(Method::Post, url).await;
    if proof::is_shown(context.config.dpop, &metadata)? {
        *made = Some(match half_imported(context, &hash) {
            Some(key) => Made { key, may_be_bound: true },
            None => Made { key: context.new_proof_key(id).await?, may_be_bound: false },
        });
    }
    let key = made.as_ref().map(|made| made.key.duplicate());
    let proven = context.prove_if(key.as_ref(), url).await?;
    let lock = Exclusion::acquire(context.gate.as_ref(), context.timing().lock).await;
    let excluded = lock.map_err(|_| storage(StoreProblem::Transient))?;
    // Another process may have been quicker.
    if let (true, Some(session)) = (context.gate.is_some(), known(context, &hash).await?) {
        context.forget_key(made.take().map(|made| made.key));
        return Ok(session);
    }
    if !excluded.is_whole() {
        return Err(storage(StoreProblem::Transient).into());
    }
    let sent = context.now();
    context.auditor.record(trail, AuditKind::AttemptStarted { attempt: Attempt::Refresh });
    // No scope: what was granted once (RFC 6749 §6).
    let form = Presented { metadata: &metadata, token: &token, scope: "", own: None };
    let mut retries = 0;
    let mut answer =
        present(context, trail, &form, OneSend { provided, proven, since: sent.boot, may_ask_again: true }, &excluded)
            .await;
    let was_lost = is_lost(&answer);
    if was_lost {
        let provided = context.provided_headers(Method::Post, url).await;
        let proven = context.prove_if(key.as_ref(), url).await;
        // Who has lost the lock does not know who else has sent it, and what was rotated since.
        let is_in_time = context.env.clock.boot().since(sent.boot) < context.timing().window;
        if let (Ok(proven), true, true) = (proven, is_in_time, excluded.is_whole()) {
            retries = 1;
            answer = present(
                context,
                trail,
                &form,
                OneSend { provided, proven, since: sent.boot, may_ask_again: true },
                &excluded,
            )
            .await;
        }
    }
    let outcome = presenting::outcome(&answer);
    context.attempt_finished(trail, Attempt::Refresh, sent.boot, outcome, retries);
    if let Some(made) = made {
        let is_refused = matches!(&answer, Err(Failure { why: Why::Refused, .. }));
        let is_bound = matches!(&answer, Ok((tokens, _)) if tokens.is_bound);
        made.may_be_bound = (made.may_be_bound || was_lost || is_lost(&answer) || is_bound) && !is_refused;
    }
    let (tokens, reply) = answer.map_err(fail)?;
    if key.is_some() && !tokens.is_bound {
        if context.config.dpop == DPoP::Required {
            return Err(Kind::TokenRejected { check: TokenCheck::Unbound }.into());
        }
        context.auditor.security(trail, SecurityEvent::NotBound);
    }
    let proof_key = key.filter(|_| tokens.is_bound);
    if proof_key.is_none() {
        context.forget_key(made.take().map(|made| made.key));
    }
    let tokens = TokenAnswer { refresh_token: tokens.refresh_token.or(Some(token)), ..tokens };
    let occasion = Occasion {
        metadata: &metadata,
        keys: keys.as_ref(),
        server: context.server_time(&reply.response),
        received: context.env.clock.boot(),
        id_token_required: openid,
        id_token_wanted: openid,
        previous: None,
        assurance: &Assurance::default(),
    };
    drop(reply);
    // Nothing is revoked if they are not good: the app still has the token, and perhaps uses it elsewhere.
    let claims = validation::validate(context, &via, &tokens, &occasion).await?;
    let is_wider = |granted: &Vec<String>| !granted.iter().all(|scope| context.config.scopes.contains(scope));
    if tokens.scope.as_ref().is_some_and(is_wider) {
        context.auditor.security(trail, SecurityEvent::ScopeWidened);
        if context.config.wider_scopes == WiderScopes::Refuse {
            return Err(Kind::TokenRejected { check: TokenCheck::Scope }.into());
        }
    }
    let username = claims.as_ref().and_then(|claims| claims.raw.str("preferred_username")).unwrap_or_default();
    let new = NewSession {
        username: username.to_owned(),
        tokens,
        claims,
        requested: context.config.scopes.clone(),
        sent,
        transaction_id: id.clone(),
        before,
        imported: Some(hash),
        proof_key,
    };
    let established = establish(context, new, || true).await;
    drop(excluded);
    match established {
        Established::Session(session) => Ok(session),
        Established::NotWanted(tokens) => {
            give_back(context, trail, newest(&tokens));
            Err(Kind::Cancelled.into())
        }
        // Its refresh token may be the app's own still.
        Established::Failed(_, kind) => Err(kind.into()),
    }
}

/// The session that a refresh token came to be when it was imported before: sending it again could end that.
async fn known(context: &Arc<Context>, hash: &TokenHash) -> Result<Option<Session>, Error> {
    let found = survey(context).await.map_err(storage)?;
    // What cannot be read may be it.
    if let Some(problem) = found.problem() {
        return Err(storage(problem).into());
    }
    let is_it = |record: &Record| record.imported == Some(*hash) || record.refresh_hash() == Some(*hash);
    if let Some(record) = found.records.into_iter().find(|record| is_it(record)) {
        return Ok(Some(handle(context, open(context, record))));
    }
    // Of whichever client of this process: perhaps it is not stored yet.
    let mut live = context.env.sessions.live::<Engine>().into_iter();
    let is_here = |engine: &Arc<Engine>| {
        let record = engine.record();
        engine.is_there() && engine.alive().is_ok() && is_ours(context, &record) && is_it(&record)
    };
    if let Some(engine) = live.find(is_here) {
        return Ok(Some(handle(context, engine)));
    }
    // It was signed out, or replaced.
    let is_over =
        found.replaced.iter().any(is_it) || found.tombstones.iter().any(|tombstone| tombstone.imported == Some(*hash));
    if is_over {
        return Err(Kind::ReauthRequired { reason: Code::of("imported_before") }.into());
    }
    Ok(None)
}
