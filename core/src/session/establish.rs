//! A new session takes its place: stored first, then what it replaces is ended. docs/sessions.md §4, §6.

use std::sync::Arc;

use super::accounts::{live_or, show};
use super::ending;
use super::engine::Engine;
use super::reading::{Survey, survey};
use super::record::{Life, Record, Rotation, TokenHash, TokenSet};
use super::rules::{self, Now};
use super::{Session, counter};
use crate::audit::{AuditKind, SecurityEvent, Trail};
use crate::config::{Accounts, Scopes, WhenStorageFails};
use crate::context::{Context, probe, storage};
use crate::envelope::MAX_CODES;
use crate::error::{Code, EndReason, Kind};
use crate::jose::id_token::IdTokenClaims;
use crate::proof::ProofKey;
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
    /// What the store held before.
    pub(crate) before: Before,
    /// The refresh token that it was imported with.
    pub(crate) imported: Option<TokenHash>,
    /// The key that the tokens are bound to.
    pub(crate) proof_key: Option<ProofKey>,
}

/// What the store held when the credential was not sent yet: what could be read then may be unreadable later.
#[derive(Default)]
pub(crate) struct Before {
    ids: Vec<Code>,
    counter: Option<i64>,
}

/// Looks whether the store can be written, and what it holds, before a credential is sent (docs/sessions.md §4, §6).
pub(crate) async fn prepare(context: &Arc<Context>, id: &Code) -> Result<Before, Kind> {
    probe(context, id).await?;
    match survey(context).await {
        Ok(found) => {
            let all = || found.records.iter().chain(&found.replaced);
            all().for_each(|record| context.seed_nonce(record.nonce.as_deref()));
            let ids = all().map(|record| record.id.clone()).chain(found.unreadable.iter().map(|(id, _)| id.clone()));
            Ok(Before { ids: ids.collect(), counter: all().map(|record| record.use_counter).max() })
        }
        Err(_) if context.config.when_storage_fails == WhenStorageFails::KeepInMemory => Ok(Before::default()),
        Err(problem) => Err(storage(problem)),
    }
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
    let _establishing = context.establishing().await;
    let mut writer = [0; 16];
    let id = context.random_id().filter(|_| context.env.randomness.fill(&mut writer));
    let Some(id) = id else { return Established::Failed(new.tokens, Kind::Internal) };
    let found = survey(context).await;
    let all_read = found.as_ref().is_ok_and(|found| found.unreadable.is_empty());
    let found = found.unwrap_or_default();
    let in_memory = context.env.sessions.live::<Engine>();
    let counters = found.records.iter().chain(&found.replaced).map(|record| record.use_counter);
    let counters = counters.chain(in_memory.iter().map(|engine| engine.record().use_counter)).chain(new.before.counter);
    let use_counter = counter::next(context, counters).await;
    if !commit() {
        return Established::NotWanted(new.tokens);
    }
    let trail = Trail { id: &new.transaction_id, user: &new.username };
    let brought = new.tokens.duplicate();
    let record = Record { use_counter, writer, ..record_of(context, &id, &found, &new) };
    let engine = Engine::new(context, record, new.claims, false, writer);
    let engine = context.env.sessions.get_or_insert(id.as_str(), || engine);
    context.auditor.record(trail, AuditKind::SessionStarted { session_id: id });
    let problem = engine.first_write().await;
    if problem.is_some() {
        context.auditor.security(trail, SecurityEvent::NotPersisted);
    }
    let session = Session { engine: Arc::clone(&engine), context: Arc::clone(context) };
    let replaced = replaced_by(context, &engine, found);
    let problems = ending::end_all(context, replaced.clone(), EndReason::Replaced, problem.is_none()).await;
    engine.is_established();
    if let (Some(problem), false) = (problem, problems.is_empty()) {
        // The store knows neither that this one began nor that the other is over: after a restart that one would be back.
        if engine.end_unwritten(EndReason::Replaced).await {
            return Established::Failed(brought, Kind::StorageUnavailable { reason: problem });
        }
        // But it may have taken this one's record, which would take the other's place one day, its tokens revoked: so it stays.
        for other in &replaced {
            other.end(EndReason::Replaced);
        }
    }
    if !problems.is_empty() || !all_read {
        context.auditor.security(trail, SecurityEvent::NotReplaced);
    }
    show(context, &session);
    Established::Session(session)
}

fn record_of(context: &Context, id: &Code, found: &Survey, new: &NewSession) -> Record {
    let tokens = new.tokens.duplicate();
    let subject = new.claims.as_ref().map(|claims| claims.subject.clone());
    let alone = context.config.accounts == Accounts::One;
    let named = found.records.iter().filter(|record| alone || (subject.is_some() && record.subject == subject));
    // Who cannot be read now may be one of them.
    let unread = found.unreadable.iter().map(|(id, _)| id.clone());
    // And who could be read before, or could not, with one account is one of them in any case.
    let before = new.before.ids.iter().filter(|_| alone).cloned();
    let mut replaces: Vec<Code> = named.map(|record| record.id.clone()).chain(unread).chain(before).collect();
    replaces.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    replaces.dedup();
    replaces.truncate(MAX_CODES);
    Record {
        generation: 1,
        writer: Default::default(),
        id: id.clone(),
        issuer: context.config.issuer.as_str().to_owned(),
        client_id: context.config.client_id.as_str().to_owned(),
        username: new.username.clone(),
        use_counter: 0,
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
        proof_key: new.proof_key.as_ref().map(ProofKey::duplicate),
        nonce: context.nonces().server().map(str::to_owned),
        imported: new.imported,
    }
}

/// The sessions whose place the new one takes, stored or only live.
fn replaced_by(context: &Arc<Context>, newest: &Arc<Engine>, found: Survey) -> Vec<Arc<Engine>> {
    let mut others = live_or(context, found.records.into_iter().chain(found.replaced));
    let new = newest.record();
    others.retain(|other| !Arc::ptr_eq(other, newest) && rules::is_replaced(&other.record(), &new));
    others
}

fn split(scope: &str) -> Vec<String> {
    scope.split(' ').map(str::to_owned).collect()
}
