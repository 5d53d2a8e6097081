//! Works what ended sessions left to do: records to delete, tokens to revoke, tombstones whose time is over.
//! docs/sessions.md §6. What is due is decided in `owed` and `tombstone`; this sequences effects.

use core::time::Duration;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::future::{Either, select};

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

/// Waits in the background until something is due. Whoever waits already looks again.
pub(super) fn work_later(context: &Arc<Context>) {
    if !context.queue.begins() {
        return;
    }
    let (client, env) = (Arc::downgrade(context), context.env.clone());
    let mut woken = context.queue.sleeps();
    in_background(&context.env, async move {
        // What has just failed is not tried at once.
        let mut pause = owed::pause(1, None);
        loop {
            if let Either::Right(_) = select(env.clock.sleep(pause), woken).await {
                // There is more; when it is due it says itself.
                env.clock.sleep(Duration::from_secs(1)).await;
            }
            let Some(context) = client.upgrade() else { return };
            let next = next_due(&context).await;
            if next.is_none() && context.queue.ends() {
                return;
            }
            pause = next.unwrap_or_default().max(Duration::from_secs(1));
            woken = context.queue.sleeps();
        }
    });
}

/// The task that waits for something to be due, if there is one.
#[derive(Default)]
pub(crate) struct Waiter(Mutex<Waits>);

#[derive(Default)]
struct Waits {
    is_there: bool,
    /// Whether there is more since it looked last.
    has_more: bool,
    /// Wakes it.
    wakes: Option<oneshot::Sender<()>>,
}

impl Waiter {
    /// There is something to be done: `true` if nobody waits, so that the caller does. Otherwise who waits is woken.
    fn begins(&self) -> bool {
        let mut waits = self.lock();
        waits.has_more = waits.is_there;
        drop(waits.wakes.take());
        !core::mem::replace(&mut waits.is_there, true)
    }

    /// Ends when there is more.
    fn sleeps(&self) -> oneshot::Receiver<()> {
        let (wakes, woken) = oneshot::channel();
        let mut waits = self.lock();
        if !core::mem::take(&mut waits.has_more) {
            waits.wakes = Some(wakes);
        }
        woken
    }

    /// Nobody waits any more, unless there is more.
    fn ends(&self) -> bool {
        let mut waits = self.lock();
        if !waits.has_more {
            waits.is_there = false;
        }
        !waits.is_there
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what is due, and gives the time until something else is.
async fn next_due(context: &Arc<Context>) -> Option<Duration> {
    // A store that fails is asked again.
    let later = Some(owed::pause(8, None));
    let Ok(mut keys) = context.stored_keys().await else { return later };
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
    match context.stored_keys().await {
        Ok(found) => keys = found,
        Err(_) => return later,
    }
    let mut left = MAX_AT_ONCE;
    for key in keys.iter().filter(|key| Owed::is_key(key)) {
        match attend(context, &keys, key, &mut left).await {
            Ok(Some(pause)) => sooner(pause),
            Ok(None) => {}
            Err(problem) if !problem.is_temporary() => {}
            Err(_) => sooner(owed::pause(8, None)),
        }
    }
    if let Ok(found) = context.stored_keys().await {
        keys = found;
    }
    for id in keys.iter().filter_map(Tombstone::id_of) {
        let _ = forget(context, &keys, &id).await;
    }
    next
}

fn has_record(keys: &[StorageKey], id: &Code) -> bool {
    keys.contains(&Record::key(id))
}

async fn exclude(context: &Arc<Context>) -> Result<Exclusion, StoreProblem> {
    if !context.may_write_others() {
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
    let writing = context.turn(&Record::key(id)).await?;
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
    let mut proof_key = None;
    match reading::record(context, &key).await {
        Ok(Some(mut record)) => {
            proof_key = record.proof_key.take();
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
    context.delete_and_check(&key, held).await?;
    // Its process may have died before it came to that.
    context.forget_key(proof_key);
    Ok(())
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
            let turn = context.turn(key).await?;
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
        let turn = context.turn(&key).await?;
        context.delete_and_check(&key, (turn, exclusion)).await?;
    }
    Ok(())
}
