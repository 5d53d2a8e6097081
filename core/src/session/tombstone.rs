//! The end of a session as it is stored. docs/sessions.md §2, §6.
//!
//! A record beside its tombstone is ended, whatever it says. A tombstone is written once and never changed, so that nobody
//! has to exclude anybody; what is still to be revoked stands in entries of their own (`owed`), or in the record beside it.

use core::time::Duration;

use super::record::{Record, TokenHash};
use super::rules::{self, Now};
use crate::env::{Blob, StorageKey};
use crate::envelope::{Body, Content, Fields, HEAD, moment};
use crate::error::{Code, EndReason, StoreProblem};

/// A session that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) id: Code,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) reason: EndReason,
    pub(crate) ended: Now,
    /// The sessions whose place this one had taken: they are over, though its record is gone.
    pub(crate) replaces: Vec<Code>,
    /// The refresh token that it was imported with: it is not imported again.
    pub(crate) imported: Option<TokenHash>,
}

/// A tombstone is kept this long at least: another process may still hold the session in memory.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

const PREFIX: &str = "ended.";
const LAST_TAG: u8 = 7;

impl Tombstone {
    pub(crate) fn of(record: &Record, reason: EndReason, ended: Now) -> Self {
        Self {
            id: record.id.clone(),
            issuer: record.issuer.clone(),
            client_id: record.client_id.clone(),
            reason,
            ended,
            // With several accounts nobody can tell any more which of them it was.
            replaces: if record.alone { record.replaces.clone() } else { Vec::new() },
            imported: record.imported,
        }
    }

    pub(crate) fn key(id: &Code) -> StorageKey {
        StorageKey::of(PREFIX, id)
    }

    /// The session whose tombstone a storage key is of.
    pub(crate) fn id_of(key: &StorageKey) -> Option<Code> {
        Code::parse(key.as_str().strip_prefix(PREFIX)?)
    }

    /// Whether its time is over. Its record, its entries, and what it replaced have to be gone besides.
    pub(crate) fn is_old(&self, now: Now) -> bool {
        rules::elapsed(self.ended, now) >= KEPT
    }

    pub(crate) fn encode(&self) -> Blob {
        let ids: Vec<&str> = self.replaces.iter().map(Code::as_str).collect();
        let ids = ids.join(" ");
        let texts = [self.id.as_str().len(), self.issuer.len(), self.client_id.len(), ids.len()];
        let size = texts.iter().fold(64 + HEAD * usize::from(LAST_TAG), |sum, len| sum.saturating_add(*len));
        let mut body = Body::with_capacity(size);
        body.bytes(1, self.id.as_str().as_bytes());
        body.bytes(2, self.issuer.as_bytes());
        body.bytes(3, self.client_id.as_bytes());
        body.bytes(4, &[code_of(self.reason)]);
        body.bytes(5, &moment(self.ended.wall, self.ended.boot));
        body.optional(6, (!ids.is_empty()).then_some(ids.as_bytes()));
        body.optional(7, self.imported.as_ref().map(|hash| &hash[..]));
        body.seal(Content::Tombstone)
    }

    /// Any bytes give a typed answer.
    pub(crate) fn decode(blob: &Blob) -> Result<Self, StoreProblem> {
        read(&Fields::open(blob, Content::Tombstone, LAST_TAG)?).ok_or(StoreProblem::Corrupt)
    }
}

fn code_of(reason: EndReason) -> u8 {
    match reason {
        EndReason::SignedOut => 1,
        EndReason::Replaced => 2,
        EndReason::RefreshTokenRefused => 3,
        EndReason::SubjectChanged => 4,
        EndReason::RefreshInterrupted => 5,
    }
}

fn read(fields: &Fields<'_>) -> Option<Tombstone> {
    let (wall, boot) = fields.moment(5)?;
    Some(Tombstone {
        id: Code::parse(&fields.text(1)?)?,
        issuer: fields.text(2)?,
        client_id: fields.text(3)?,
        reason: match fields.raw(4)? {
            [1] => EndReason::SignedOut,
            [2] => EndReason::Replaced,
            [3] => EndReason::RefreshTokenRefused,
            [4] => EndReason::SubjectChanged,
            [5] => EndReason::RefreshInterrupted,
            _ => return None,
        },
        ended: Now { wall, boot },
        replaces: fields.optional(6, Fields::codes)?.unwrap_or_default(),
        imported: fields.optional(7, Fields::array)?,
    })
}

#[cfg(test)]
#[path = "tombstone_tests.rs"]
mod tests;
