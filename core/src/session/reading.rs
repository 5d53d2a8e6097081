//! What the store holds: of one session, or of all of this client. docs/sessions.md §2–§3.

use core::fmt;
use std::sync::Arc;

use super::record::Record;
use super::rules;
use super::tombstone::Tombstone;
use crate::context::Context;
use crate::env::StorageKey;
use crate::error::{Code, StoreProblem};

/// What the store says of one session.
pub(crate) enum Found {
    Record(Box<Record>),
    Absent,
    /// There is a tombstone.
    Ended,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "Record({}, generation {})", record.id, record.generation),
            Self::Absent => f.write_str("Absent"),
            Self::Ended => f.write_str("Ended"),
        }
    }
}

/// Looks at a session's record, then at its tombstone: whoever ends the session in between is noticed.
pub(crate) async fn look(context: &Context, id: &Code) -> Result<Found, StoreProblem> {
    let record = record(context, &Record::key(id)).await?;
    if is_ended(context, id).await? {
        return Ok(Found::Ended);
    }
    Ok(record.map_or(Found::Absent, |record| Found::Record(Box::new(record))))
}

/// Whether a session has a tombstone. Damaged ones count: nobody but a sign-out or a replacement writes there.
pub(crate) async fn is_ended(context: &Context, id: &Code) -> Result<bool, StoreProblem> {
    Ok(context.load(&Tombstone::key(id)).await?.is_some())
}

pub(crate) async fn record(context: &Context, key: &StorageKey) -> Result<Option<Record>, StoreProblem> {
    context.load(key).await?.map(|blob| Record::decode(&blob)).transpose()
}

pub(crate) async fn tombstone(context: &Context, key: &StorageKey) -> Result<Option<Tombstone>, StoreProblem> {
    context.load(key).await?.map(|blob| Tombstone::decode(&blob)).transpose()
}

/// What the store holds for this issuer and client.
#[derive(Default)]
pub(crate) struct Survey {
    /// The sessions that are neither ended nor replaced.
    pub(crate) records: Vec<Record>,
    /// Those whose place another one took, and which have no tombstone yet.
    pub(crate) replaced: Vec<Record>,
    /// What cannot be read, of whatever client.
    pub(crate) unreadable: Vec<(Code, StoreProblem)>,
    /// The sessions that have a tombstone, of whatever client.
    pub(crate) ended: Vec<Code>,
}

impl Survey {
    /// Why not everything could be read; a temporary reason is the one to tell.
    pub(crate) fn problem(&self) -> Option<StoreProblem> {
        let problems = || self.unreadable.iter().map(|(_, problem)| *problem);
        problems().find(|problem| problem.is_temporary()).or_else(|| problems().next())
    }
}

/// Reads every record. Only an error of the list itself is an error.
pub(crate) async fn survey(context: &Arc<Context>) -> Result<Survey, StoreProblem> {
    let keys = context.stored_keys().await?;
    let mut found = Survey { ended: keys.iter().filter_map(Tombstone::id_of).collect(), ..Survey::default() };
    let mut records = Vec::new();
    for key in &keys {
        let Some(id) = Record::id_of(key).filter(|id| !found.ended.contains(id)) else { continue };
        match record(context, key).await {
            Ok(Some(record)) if record.id == id && is_ours(context, &record) => records.push(record),
            Ok(_) => {}
            Err(problem) => found.unreadable.push((id, problem)),
        }
    }
    let replaced: Vec<bool> =
        records.iter().map(|record| records.iter().any(|by| rules::is_replaced(record, by))).collect();
    for (record, replaced) in records.into_iter().zip(replaced) {
        if replaced { found.replaced.push(record) } else { found.records.push(record) }
    }
    Ok(found)
}

/// A record names its issuer and client; a client configured otherwise neither sends, changes nor deletes it.
pub(crate) fn is_ours(context: &Context, record: &Record) -> bool {
    is_of(context, &record.issuer, &record.client_id)
}

pub(crate) fn is_of(context: &Context, issuer: &str, client_id: &str) -> bool {
    issuer == context.config.issuer.as_str() && client_id == context.config.client_id.as_str()
}
