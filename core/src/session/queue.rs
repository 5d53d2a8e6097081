//! Works what ended sessions left to do: records to delete, tokens to revoke, tombstones whose time is over.
//! docs/sessions.md §6. What is due is decided in `owed` and `tombstone`; this sequences effects.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::owed::{self, Due, Owed};
use super::reading::{self, is_of};
use super::record::{Record, TokenHash, hash};
use super::tombstone::Tombstone;
use super::{ServerSignOut, ending, rules};
use crate::audit::{SecurityEvent, Trail};
use crate::context::{Context, in_background};
use crate::env::StorageKey;
use crate::error::{Code, StoreProblem};
use crate::gate::Exclusion;

/// At most this many tokens are revoked at a time; the others have their turn a little later. What rests does not count.
const MAX_AT_ONCE: usize = 64;

/// The first use of a client works the queue, in the background.
pub(crate) fn first_use(context: &Arc<Context>) {
    if !context.is_used.swap(true, Ordering::SeqCst) {
        let background = Arc::clone(context);
        in_background(&context.env, async move { work(&background).await });
    }
}

/// Works the queue now. What is left is taken up when it is due, for as long as the client lives.
pub(crate) async fn work(context: &Arc<Context>) {
    if next_due(context).await.is_some() {
        work_later(context);
    }
}

/// Waits in the background until something is due.
pub(super) fn work_later(context: &Arc<Context>) {
    if context.queue_waits.swap(true, Ordering::SeqCst) {
        return;
    }
    let (client, env) = (Arc::downgrade(context), context.env.clone());
    in_background(&context.env, async move {
        // What has just failed is not tried at once.
        let mut pause = owed::pause(1, None);
        loop {
            env.clock.sleep(pause).await;
            let Some(context) = client.upgrade() else { return };
            match next_due(&context).await {
                Some(next) => pause = next.max(Duration::from_secs(1)),
                None => {
                    context.queue_waits.store(false, Ordering::SeqCst);
                    return;
                }
            }
        }
    });
}

/// Does what is due, and gives the time until something else is.
async fn next_due(context: &Arc<Context>) -> Option<Duration> {
    let mut keys = context.stored_keys().await.ok()?;
    let is_ours = |key: &&StorageKey| Owed::is_key(key) || Tombstone::id_of(key).is_some();
    keys.iter().find(is_ours)?;
    let mut next: Option<Duration> = None;
    let mut sooner = |pause: Duration| next = Some(next.map_or(pause, |next| next.min(pause)));
    for id in keys.iter().filter_map(Tombstone::id_of).filter(|id| has_record(&keys, id)) {
        if clear(context, &id).await.is_err() {
            sooner(owed::pause(8, None));
        }
    }
    // What was cleared has left entries.
    keys = context.stored_keys().await.ok()?;
    let mut left = MAX_AT_ONCE;
    for key in keys.iter().filter(|key| Owed::is_key(key)) {
        if let Ok(Some(pause)) = attend(context, &keys, key, &mut left).await {
            sooner(pause);
        }
    }
    keys = context.stored_keys().await.ok()?;
    for id in keys.iter().filter_map(Tombstone::id_of) {
        let _ = forget(context, &keys, &id).await;
    }
    next
}

fn has_record(keys: &[StorageKey], id: &Code) -> bool {
    keys.contains(&Record::key(id))
}

async fn exclude(context: &Arc<Context>) -> Result<Exclusion, StoreProblem> {
    if !context.may_delete() {
        return Err(StoreProblem::Transient);
    }
    Exclusion::acquire(context.gate.as_ref(), context.timing().lock).await.map_err(|_| StoreProblem::Transient)
}

/// Deletes the record beside a tombstone; its token goes into the queue first.
async fn clear(context: &Arc<Context>, id: &Code) -> Result<(), StoreProblem> {
    let Some(tombstone) = reading::tombstone(context, &Tombstone::key(id)).await? else { return Ok(()) };
    if !is_of(context, &tombstone.issuer, &tombstone.client_id) {
        return Ok(());
    }
    let exclusion = exclude(context).await?;
    let writing = context.in_turn(context.env.sessions.writes(id.as_str()).lock_owned()).await?;
    let is_revoked = rules::is_revoked(context.config.profile, tombstone.reason);
    let unknown = if is_revoked { Unknown::Anything } else { Unknown::Nothing };
    remove(context, id, unknown, (writing, exclusion)).await
}

/// What an ended session's record may hold that the queue does not know.
pub(super) enum Unknown {
    /// Whatever it is.
    Anything,
    /// Another token than this one, which has its entry or was told to the server.
    AllBut(TokenHash),
    /// Nothing of it is revoked.
    Nothing,
}

/// Deletes an ended session's record, after a last look at it: what it holds and nobody knows yet goes into the queue. What
/// cannot be read now stays; what can never be read goes.
pub(super) async fn remove(
    context: &Arc<Context>,
    id: &Code,
    unknown: Unknown,
    held: impl Send + 'static,
) -> Result<(), StoreProblem> {
    let key = Record::key(id);
    match reading::record(context, &key).await {
        Ok(Some(record)) => {
            let (token, kind) = record.set.newest();
            let is_unknown = match unknown {
                Unknown::Anything => true,
                Unknown::AllBut(known) => hash(token) != known,
                Unknown::Nothing => false,
            };
            if is_unknown && !planted!(DeletesBlindly) {
                ending::owe(context, id, token, kind).await?;
            }
        }
        Ok(None) => return Ok(()),
        Err(problem) if problem.is_temporary() => return Err(problem),
        Err(_) => {}
    }
    context.delete_and_check(&key, held).await
}

/// Works one entry.
async fn attend(
    context: &Arc<Context>,
    keys: &[StorageKey],
    key: &StorageKey,
    left: &mut usize,
) -> Result<Option<Duration>, StoreProblem> {
    let Some(entry) = reading::owed(context, key).await? else { return Ok(None) };
    if !is_of(context, &entry.issuer, &entry.client_id) {
        return Ok(None);
    }
    // Nothing of a session is revoked that has no tombstone and lives.
    if has_record(keys, &entry.id) && !keys.contains(&Tombstone::key(&entry.id)) {
        return Ok(None);
    }
    let id = entry.id.clone();
    let trail = Trail { id: &id, user: "" };
    match entry.due(context.now()) {
        Due::RevokeIn(pause) => Ok(Some(pause)),
        Due::GiveUp => {
            let turn = context.queue_turn().await?;
            context.delete_and_check(key, turn).await?;
            context.auditor.security(trail, SecurityEvent::RevocationGivenUp);
            Ok(None)
        }
        Due::Revoke if *left == 0 => Ok(Some(Duration::from_secs(1))),
        Due::Revoke => {
            *left = left.saturating_sub(1);
            let tries = entry.tries.saturating_add(1);
            let told = ending::tell(context, trail, entry, true).await;
            Ok((told == ServerSignOut::Pending).then(|| owed::pause(tries, None)))
        }
    }
}

/// Deletes a tombstone, once a day has gone by and nothing is left that it speaks of.
async fn forget(context: &Arc<Context>, keys: &[StorageKey], id: &Code) -> Result<(), StoreProblem> {
    let key = Tombstone::key(id);
    let Some(tombstone) = reading::tombstone(context, &key).await? else { return Ok(()) };
    let is_ours = is_of(context, &tombstone.issuer, &tombstone.client_id);
    let is_needed = has_record(keys, id)
        || keys.iter().any(|key| Owed::is_of(key, id))
        || tombstone.replaces.iter().any(|replaced| has_record(keys, replaced));
    if !is_ours || is_needed || !tombstone.is_old(context.now()) {
        return Ok(());
    }
    let exclusion = exclude(context).await?;
    // The last look: nothing but a session that is certainly gone loses its tombstone.
    if reading::record(context, &Record::key(id)).await?.is_none() {
        let turn = context.queue_turn().await?;
        context.delete_and_check(&key, (turn, exclusion)).await?;
    }
    Ok(())
}
