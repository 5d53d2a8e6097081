//! A token that is still to be revoked: one entry of the revocation queue. docs/sessions.md §6.

use core::time::Duration;

use super::record::{TokenHash, hash};
use super::rules::{self, Now};
use super::tombstone::KEPT;
use crate::env::{Blob, StorageKey};
use crate::envelope::{Body, Content, Fields, HEAD, moment};
use crate::error::{Code, StoreProblem};
use crate::secret::Secret;
use crate::wire::tokens::TokenKind;

/// One token of one session that is over.
pub(crate) struct Owed {
    /// The session's id; of a sign-in that was given up, one of its own.
    pub(crate) id: Code,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) token: Secret,
    pub(crate) kind: TokenKind,
    pub(crate) since: Now,
    /// How often the server was asked in vain.
    pub(crate) tries: u32,
    /// Not before.
    pub(crate) again: Option<Now>,
}

/// Between two tries: at first, and at most. The server's own wish counts if it is longer.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What an entry asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tell the server.
    Revoke,
    /// Tell it after this time.
    RevokeIn(Duration),
    /// A day has gone by; the token ends by itself.
    GiveUp,
}

/// When to ask again after `tries` tries in vain, the last one just now.
pub(crate) fn pause(tries: u32, server: Option<Duration>) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).max(server.unwrap_or_default()).min(KEPT)
}

const PREFIX: &str = "owed.";
const LAST_TAG: u8 = 8;

impl Owed {
    /// Under the session's id and the token's hash: each token has an entry of its own, and only one.
    pub(crate) fn key(&self) -> StorageKey {
        StorageKey::of(&format!("{PREFIX}{}.", self.id), &short(&hash(&self.token)))
    }

    /// Whether a storage key is that of an entry.
    pub(crate) fn is_key(key: &StorageKey) -> bool {
        key.as_str().starts_with(PREFIX)
    }

    /// Whether a storage key is that of an entry of this session.
    pub(crate) fn is_of(key: &StorageKey, id: &Code) -> bool {
        let rest = key.as_str().strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(id.as_str()));
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    pub(crate) fn due(&self, now: Now) -> Due {
        // One try at least, however long the device was off.
        if self.tries > 0 && rules::elapsed(self.since, now) >= KEPT {
            return Due::GiveUp;
        }
        match self.again.map(|again| until(again, now)) {
            Some(left) if !left.is_zero() => Due::RevokeIn(left),
            _ => Due::Revoke,
        }
    }

    /// After a try in vain.
    pub(crate) fn delayed(self, now: Now, server: Option<Duration>) -> Self {
        let tries = self.tries.saturating_add(1);
        Self { tries, again: Some(now.plus(pause(tries, server))), ..self }
    }

    pub(crate) fn encode(&self) -> Blob {
        let texts = [self.id.as_str().len(), self.issuer.len(), self.client_id.len(), self.token.len()];
        let size = texts.iter().fold(64 + HEAD * usize::from(LAST_TAG), |sum, len| sum.saturating_add(*len));
        let mut body = Body::with_capacity(size);
        // EXPOSE: into the blob, which wipes itself and which the store encrypts.
        body.bytes(1, self.token.expose().as_bytes());
        body.bytes(2, &[self.kind as u8]);
        body.bytes(3, &self.tries.to_be_bytes());
        body.optional(4, self.again.map(|at| moment(at.wall, at.boot)).as_ref().map(|bytes| &bytes[..]));
        body.bytes(5, self.id.as_str().as_bytes());
        body.bytes(6, self.issuer.as_bytes());
        body.bytes(7, self.client_id.as_bytes());
        body.bytes(8, &moment(self.since.wall, self.since.boot));
        body.seal(Content::Owed)
    }

    /// Any bytes give a typed answer.
    pub(crate) fn decode(blob: &Blob) -> Result<Self, StoreProblem> {
        read(&Fields::open(blob, Content::Owed, LAST_TAG)?).ok_or(StoreProblem::Corrupt)
    }
}

/// How long it is until a moment that was computed as `now` plus a pause; a clock that was set makes it no longer than that.
fn until(at: Now, now: Now) -> Duration {
    let by_boot = at.boot.since(now.boot);
    let by_wall = u64::try_from(at.wall.as_millis().saturating_sub(now.wall.as_millis())).unwrap_or(0);
    by_boot.min(Duration::from_millis(by_wall))
}

/// Enough to tell a session's tokens apart.
fn short(hash: &TokenHash) -> Code {
    Code::of_hash(&hash[..8])
}

fn read(fields: &Fields<'_>) -> Option<Owed> {
    let at = |fields: &Fields<'_>, tag| fields.moment(tag).map(|(wall, boot)| Now { wall, boot });
    Some(Owed {
        token: fields.secret(1)?,
        kind: match fields.raw(2)? {
            [0] => TokenKind::Refresh,
            [1] => TokenKind::Access,
            _ => return None,
        },
        tries: u32::from_be_bytes(fields.array(3)?),
        again: fields.optional(4, at)?,
        id: Code::parse(&fields.text(5)?)?,
        issuer: fields.text(6)?,
        client_id: fields.text(7)?,
        since: at(fields, 8)?,
    })
}

#[cfg(test)]
#[path = "owed_tests.rs"]
mod tests;
