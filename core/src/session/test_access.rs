//! What the simulator reads of stored blobs, to judge them.

use super::owed::Owed;
use super::record::Record;
use crate::env::Blob;

pub(crate) struct StoredSession {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
}

pub(crate) fn read_session(blob: &Blob) -> Option<StoredSession> {
    let record = Record::decode(blob).ok()?;
    Some(StoredSession {
        access: record.set.access_token.expose().to_owned(),
        refresh: record.set.refresh_token.map(|token| token.expose().to_owned()),
    })
}

/// The token that an entry of the queue owes.
pub(crate) fn read_owed(blob: &Blob) -> Option<String> {
    Some(Owed::decode(blob).ok()?.token.expose().to_owned())
}

/// A record of another client of the same store.
pub(crate) fn foreign_record() -> Vec<u8> {
    super::record::tests::record().encode().expose().to_vec()
}
