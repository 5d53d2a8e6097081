//! Works what ended sessions left to do: records to delete, tokens to revoke, tombstones whose time is over.
//! docs/sessions.md §6. What is due is decided in `tombstone`; this sequences effects.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::reading::{self, is_of};
use super::record::Record;
use super::tombstone::{self, Due, Tombstone};
use super::{ServerSignOut, ending};
use crate::audit::{SecurityEvent, Trail};
use crate::context::{Context, in_background};
use crate::error::{Code, StoreProblem};

/// At most this many tombstones are worked at a time; the others have their turn later.
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

/// Waits in the background until the next token is due.
pub(super) fn work_later(context: &Arc<Context>) {
    if context.queue_waits.swap(true, Ordering::SeqCst) {
        return;
    }
    let (client, env) = (Arc::downgrade(context), context.env.clone());
    in_background(&context.env, async move {
        // What has just failed is not tried at once.
        let mut pause = tombstone::pause(1, None);
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

/// Does what is due, and gives the time until the next token is.
async fn next_due(context: &Arc<Context>) -> Option<Duration> {
    let keys = context.stored_keys().await.ok()?;
    let mut next: Option<Duration> = None;
    for id in keys.iter().filter_map(Tombstone::id_of).take(MAX_AT_ONCE) {
        let has_record = keys.contains(&Record::key(&id));
        if let Ok(Some(pause)) = attend(context, &id, has_record).await {
            next = Some(next.map_or(pause, |next| next.min(pause)));
        }
    }
    next
}

async fn attend(context: &Arc<Context>, id: &Code, has_record: bool) -> Result<Option<Duration>, StoreProblem> {
    let key = Tombstone::key(id);
    let Some(tombstone) = reading::tombstone(context, &key).await? else { return Ok(None) };
    if !is_of(context, &tombstone.issuer, &tombstone.client_id) {
        return Ok(None);
    }
    let has_record = has_record && context.delete_and_check(&Record::key(id), ()).await.is_err();
    let trail = Trail { id, user: "" };
    match tombstone::due(&tombstone, context.now(), has_record) {
        Due::Rest => Ok(None),
        Due::RevokeIn(pause) => Ok(Some(pause)),
        Due::Revoke => {
            let Some(owed) = tombstone.owed else { return Ok(None) };
            let tries = owed.tries.saturating_add(1);
            let told = ending::tell(context, trail, id, owed, true).await;
            Ok((told == ServerSignOut::Pending).then(|| tombstone::pause(tries, None)))
        }
        Due::Delete { given_up } => {
            // The last look: nothing but a session that is certainly gone loses its tombstone.
            if reading::record(context, &Record::key(id)).await?.is_none() {
                context.delete_and_check(&key, ()).await?;
                if given_up {
                    context.auditor.security(trail, SecurityEvent::RevocationGivenUp);
                }
            }
            Ok(None)
        }
    }
}
