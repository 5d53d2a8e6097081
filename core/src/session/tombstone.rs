//! The end of a session as it is stored, and what is left to do about it. docs/sessions.md §2, §6.
//!
//! A record beside its tombstone is ended, whatever it says. The tombstone carries the token that is still to be revoked, so
//! that all of them together are the revocation queue.

use core::time::Duration;

use super::record::hash;
use super::rules::{self, Now};
use crate::env::{Blob, StorageKey};
use crate::envelope::{Body, Content, Fields, HEAD, moment};
use crate::error::{Code, EndReason, StoreProblem};
use crate::secret::Secret;
use crate::wire::tokens::TokenKind;

/// A session that is over.
pub(crate) struct Tombstone {
    pub(crate) id: Code,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) reason: EndReason,
    pub(crate) ended: Now,
    /// What the server has not been told yet.
    pub(crate) owed: Option<Owed>,
}

/// A token to be revoked.
pub(crate) struct Owed {
    pub(crate) token: Secret,
    pub(crate) kind: TokenKind,
    /// How often the server was asked in vain.
    pub(crate) tries: u32,
    /// Not before.
    pub(crate) again: Option<Now>,
}

impl Owed {
    pub(crate) fn new(token: Secret, kind: TokenKind) -> Self {
        Self { token, kind, tries: 0, again: None }
    }

    pub(crate) fn is(&self, token: &Secret) -> bool {
        hash(&self.token) == hash(token)
    }
}

/// A tombstone is kept this long: another process may still hold the session in memory.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Between two tries to revoke: at first, and at most. The server's own wish counts if it is longer.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What a tombstone asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tell the server.
    Revoke,
    /// Tell it after this time.
    RevokeIn(Duration),
    /// Nothing, until its time is over.
    Rest,
    /// Its time is over. `given_up`: the server was never told.
    Delete { given_up: bool },
}

/// A record that cannot be deleted keeps its tombstone, or it would come back.
pub(crate) fn due(tombstone: &Tombstone, now: Now, has_record: bool) -> Due {
    let is_old = rules::elapsed(tombstone.ended, now) >= KEPT;
    match &tombstone.owed {
        // One try at least, however long the device was off.
        Some(owed) if !is_old || owed.tries == 0 => match &owed.again {
            Some(again) if !is_old => match until(*again, now) {
                Duration::ZERO => Due::Revoke,
                left => Due::RevokeIn(left),
            },
            _ => Due::Revoke,
        },
        owed if is_old && !has_record => Due::Delete { given_up: owed.is_some() },
        _ => Due::Rest,
    }
}

/// When to ask again after `tries` tries in vain, the last one just now.
pub(crate) fn pause(tries: u32, server: Option<Duration>) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).max(server.unwrap_or_default()).min(KEPT)
}

/// How long it is until a moment that was computed as `now` plus a pause; a clock that was set makes it no longer than that.
fn until(at: Now, now: Now) -> Duration {
    let by_boot = at.boot.since(now.boot);
    let by_wall = u64::try_from(at.wall.as_millis().saturating_sub(now.wall.as_millis())).unwrap_or(0);
    by_boot.min(Duration::from_millis(by_wall))
}

const PREFIX: &str = "ended.";
const LAST_TAG: u8 = 9;

impl Tombstone {
    pub(crate) fn key(id: &Code) -> StorageKey {
        StorageKey::of(PREFIX, id)
    }

    /// The session whose tombstone a storage key is of.
    pub(crate) fn id_of(key: &StorageKey) -> Option<Code> {
        Code::parse(key.as_str().strip_prefix(PREFIX)?)
    }

    pub(crate) fn encode(&self) -> Blob {
        let owed = self.owed.as_ref();
        let texts = self.id.as_str().len().saturating_add(self.issuer.len()).saturating_add(self.client_id.len());
        let size = owed.map_or(0, |owed| owed.token.len()).saturating_add(texts).saturating_add(64 + HEAD * 10);
        let mut body = Body::with_capacity(size);
        if let Some(owed) = owed {
            // EXPOSE: into the blob, which wipes itself and which the store encrypts.
            body.bytes(1, owed.token.expose().as_bytes());
            body.bytes(2, &[owed.kind as u8]);
            body.bytes(3, &owed.tries.to_be_bytes());
            if let Some(again) = owed.again {
                body.bytes(4, &moment(again.wall, again.boot));
            }
        }
        body.bytes(5, self.id.as_str().as_bytes());
        body.bytes(6, self.issuer.as_bytes());
        body.bytes(7, self.client_id.as_bytes());
        body.bytes(8, &[code_of(self.reason)]);
        body.bytes(9, &moment(self.ended.wall, self.ended.boot));
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
    let at = |fields: &Fields<'_>, tag| fields.moment(tag).map(|(wall, boot)| Now { wall, boot });
    let owed = fields.optional(1, |fields, tag| {
        Some(Owed {
            token: fields.secret(tag)?,
            kind: match fields.raw(2)? {
                [0] => TokenKind::Refresh,
                [1] => TokenKind::Access,
                _ => return None,
            },
            tries: u32::from_be_bytes(fields.array(3)?),
            again: fields.optional(4, at)?,
        })
    });
    Some(Tombstone {
        id: Code::parse(&fields.text(5)?)?,
        issuer: fields.text(6)?,
        client_id: fields.text(7)?,
        reason: match fields.raw(8)? {
            [1] => EndReason::SignedOut,
            [2] => EndReason::Replaced,
            [3] => EndReason::RefreshTokenRefused,
            [4] => EndReason::SubjectChanged,
            [5] => EndReason::RefreshInterrupted,
            _ => return None,
        },
        ended: at(fields, 9)?,
        owed: owed?,
    })
}

#[cfg(test)]
#[path = "tombstone_tests.rs"]
mod tests;
