//! A new session takes its place: stored first, then what it replaces is ended. docs/sessions.md §4, §6.

use std::sync::Arc;

use super::accounts::live;
use super::ending;
use super::engine::Engine;
use super::reading::{Survey, survey};
use super::record::{Life, MAX_REPLACED, Record, Rotation, TokenSet};
use super::rules::{self, Now};
use super::{Session, State, accounts};
use crate::audit::{AuditKind, SecurityEvent, Trail};
use crate::config::{Accounts, Scopes};
use crate::context::Context;
use crate::error::{Code, EndReason, Kind};
use crate::jose::id_token::IdTokenClaims;
use crate::wire::tokens::TokenAnswer;

/// Validated tokens that become a session.
pub(crate) struct NewSession {
    pub(crate) tokens: TokenAnswer,
    pub(crate) claims: Option<IdTokenClaims>,
    pub(crate) username: String,
    pub(crate) requested: Scopes,
    /// When the request was sent that brought them.
    pub(crate) sent: Now,
    pub(crate) transaction_id: Code,
}

/// What became of validated tokens.
pub(crate) enum Established {
    Session(Session),
    /// Nobody wants the session any more; its tokens are to be given back.
    NotWanted(TokenAnswer),
    /// It could not be; its tokens are to be given back.
    Failed(TokenAnswer, Kind),
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
    let Some(id) = id else { return Established::Failed(new.tokens, Kind::Internal) };
    let found = survey(context).await;
    let all_read = found.as_ref().is_ok_and(|found| found.unreadable.is_empty());
    let found = found.unwrap_or_default();
    if !commit() {
        return Established::NotWanted(new.tokens);
    }
    let trail = Trail { id: &new.transaction_id, user: &new.username };
    let brought = new.tokens.duplicate();
    let record = record_of(context, &id, writer, &found, &new);
    let engine = Engine::new(context, record, new.claims, false, writer);
    let engine = context.env.sessions.get_or_insert(id.as_str(), || engine);
    engine.watched_by(context);
    context.auditor.record(trail, AuditKind::SessionStarted { session_id: id });
    let problem = engine.first_write().await;
    if problem.is_some() {
        context.auditor.security(trail, SecurityEvent::NotPersisted);
    }
    let session = Session { engine: Arc::clone(&engine), context: Arc::clone(context) };
    let replaced = replaced_by(context, &engine, found);
    let problems = ending::end_all(context, replaced.clone(), EndReason::Replaced).await;
    if let (Some(problem), true) = (problem, !problems.is_empty()) {
        // The store knows neither that this one began nor that the other is over: after a restart that one would be back.
        engine.end(EndReason::Replaced);
        return Established::Failed(brought, Kind::StorageUnavailable { reason: problem });
    }
    if !problems.is_empty() || !all_read {
        context.auditor.security(trail, SecurityEvent::NotReplaced);
    }
    context.publish(State::SignedIn(session.clone()));
    replaced.iter().for_each(|other| other.tell_watchers(Some(context)));
    Established::Session(session)
}

fn record_of(context: &Context, id: &Code, writer: [u8; 16], found: &Survey, new: &NewSession) -> Record {
    let tokens = new.tokens.duplicate();
    let subject = new.claims.as_ref().map(|claims| claims.subject.clone());
    let alone = context.config.accounts == Accounts::One;
    let in_memory = context.env.sessions.live::<Engine>();
    let counters = found.records.iter().chain(&found.replaced).map(|record| record.use_counter);
    let counters = counters.chain(in_memory.iter().map(|engine| engine.snapshot().record.use_counter));
    let named = found.records.iter().filter(|record| alone || (subject.is_some() && record.subject == subject));
    // Who cannot be read now may be one of them.
    let unread = found.unreadable.iter().map(|(id, _)| id.clone());
    let replaces = named.map(|record| record.id.clone()).chain(unread).take(MAX_REPLACED).collect();
    Record {
        generation: 1,
        writer,
        id: id.clone(),
        issuer: context.config.issuer.as_str().to_owned(),
        client_id: context.config.client_id.as_str().to_owned(),
        username: new.username.clone(),
        use_counter: rules::next_counter(context.env.clock.wall(), counters),
        scope: tokens.scope.unwrap_or_else(|| split(new.requested.as_str())).join(" "),
        set: TokenSet {
            access_token: tokens.access_token,
            life: Life { sent_wall: new.sent.wall, sent_boot: new.sent.boot, secs: tokens.lifetime_secs },
            // Row 92: without `openid` an ID token is dropped, unvalidated as it is.
            id_token: new.claims.as_ref().and(tokens.id_token),
            refresh_token: tokens.refresh_token,
        },
        subject,
        rotation: Rotation::Unknown,
        mark: None,
        replaces,
        alone,
        proof_key: None,
        nonce: None,
    }
}

/// The sessions whose place the new one takes, stored or only live.
fn replaced_by(context: &Arc<Context>, newest: &Arc<Engine>, found: Survey) -> Vec<Arc<Engine>> {
    let mut others = live(context);
    let stored = found.records.into_iter().chain(found.replaced).map(|record| accounts::open(context, record));
    for engine in stored {
        if !others.iter().any(|known| Arc::ptr_eq(known, &engine)) {
            others.push(engine);
        }
    }
    let new = newest.record();
    others.retain(|other| !Arc::ptr_eq(other, newest) && rules::is_replaced(&other.record(), &new));
    others
}

fn split(scope: &str) -> Vec<String> {
    scope.split(' ').map(str::to_owned).collect()
}
