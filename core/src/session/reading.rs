//! What the store holds: of one session, or of all of this client. docs/sessions.md §2–§3.

use core::fmt;
use std::collections::HashSet;
use std::sync::Arc;

use super::owed::Owed;
use super::record::Record;
use super::rules;
use super::tombstone::Tombstone;
use crate::context::Context;
use crate::env::StorageKey;
use crate::error::{Code, EndReason, StoreProblem};

/// What the store says of one session.
pub(crate) enum Found {
    Record(Box<Record>),
    Absent,
    /// There is a tombstone.
    Ended(EndReason),
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "Record({}, generation {})", record.id, record.generation),
            Self::Absent => f.write_str("Absent"),
            Self::Ended(reason) => write!(f, "Ended({reason:?})"),
        }
    }
}

/// Looks at a session's record, then at its tombstone: whoever ends the session in between is noticed.
pub(crate) async fn look(context: &Context, id: &Code) -> Result<Found, StoreProblem> {
    let record = record(context, &Record::key(id)).await?;
    if let Some(reason) = end_of(context, id).await? {
        return Ok(Found::Ended(reason));
    }
    Ok(record.map_or(Found::Absent, |record| Found::Record(Box::new(record))))
}

/// Why a session has a tombstone, if it has one. A damaged one counts: nobody but who ends a session writes there.
pub(crate) async fn end_of(context: &Context, id: &Code) -> Result<Option<EndReason>, StoreProblem> {
    let found = context.load(&Tombstone::key(id)).await?.filter(|_| !planted!(IgnoresTombstones));
    Ok(found.map(|blob| Tombstone::decode(&blob).map_or(EndReason::SignedOut, |tombstone| tombstone.reason)))
}

pub(crate) async fn record(context: &Context, key: &StorageKey) -> Result<Option<Record>, StoreProblem> {
    let found = match context.load(key).await {
        Err(_) if planted!(ErrorIsAbsent) => None,
        found => found?,
    };
    found.map(|blob| Record::decode(&blob)).transpose()
}

pub(crate) async fn tombstone(context: &Context, key: &StorageKey) -> Result<Option<Tombstone>, StoreProblem> {
    context.load(key).await?.map(|blob| Tombstone::decode(&blob)).transpose()
}

pub(crate) async fn owed(context: &Context, key: &StorageKey) -> Result<Option<Owed>, StoreProblem> {
    context.load(key).await?.map(|blob| Owed::decode(&blob)).transpose()
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
    /// The tombstones of this client.
    pub(crate) tombstones: Vec<Tombstone>,
    /// Whether a record that was listed was gone when it was read.
    pub(crate) vanished: bool,
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
    let ended = keys.iter().filter_map(Tombstone::id_of).filter(|_| !planted!(IgnoresTombstones)).collect();
    let mut found = Survey { ended, ..Survey::default() };
    let ended: HashSet<String> = found.ended.iter().map(|id| id.as_str().to_owned()).collect();
    let mut records = Vec::new();
    for key in &keys {
        let Some(id) = Record::id_of(key).filter(|id| !ended.contains(id.as_str())) else { continue };
        match record(context, key).await {
            Ok(Some(record)) if record.id == id && is_ours(context, &record) => records.push(record),
            Ok(Some(_)) => {}
            Ok(None) => found.vanished = !planted!(ErrorIsAbsent),
            Err(problem) => found.unreadable.push((id, problem)),
        }
    }
    for id in found.ended.clone() {
        match tombstone(context, &Tombstone::key(&id)).await {
            Ok(Some(tombstone)) if is_of(context, &tombstone.issuer, &tombstone.client_id) => {
                found.tombstones.push(tombstone);
            }
            // What it had replaced may still be there.
            Err(problem) if problem.is_temporary() => found.unreadable.push((id, problem)),
            _ => {}
        }
    }
    let named: HashSet<String> =
        found.tombstones.iter().flat_map(|tombstone| &tombstone.replaces).map(|id| id.as_str().to_owned()).collect();
    let replaced = rules::replaced_among(&records.iter().collect::<Vec<_>>());
    for (record, replaced) in records.into_iter().zip(replaced) {
        if replaced || named.contains(record.id.as_str()) {
            found.replaced.push(record)
        } else {
            found.records.push(record)
        }
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
