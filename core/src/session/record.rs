//! What one session stores. docs/sessions.md §2.

use ring::digest;
use zeroize::Zeroizing;

use crate::env::{Blob, BootInstant, StorageKey, WallTime};
use crate::envelope::{Body, Content, Fields, HEAD, moment};
use crate::error::{Code, StoreProblem};
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::wire::tokens::TokenKind;

/// Who wrote a record: random for each engine of each process run.
pub(crate) type Writer = [u8; 16];
/// SHA-256 of a refresh token and a block of zeros.
pub(crate) type TokenHash = [u8; 32];

/// One session as it is stored.
pub(crate) struct Record {
    pub(crate) generation: u64,
    pub(crate) writer: Writer,
    pub(crate) id: Code,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) subject: Option<String>,
    pub(crate) username: String,
    /// Wall-clock milliseconds of the last sign-in; the highest is the default account.
    pub(crate) use_counter: i64,
    /// The granted scopes, separated by spaces.
    pub(crate) scope: String,
    pub(crate) set: TokenSet,
    pub(crate) rotation: Rotation,
    pub(crate) mark: Option<Mark>,
    /// The sessions whose place this one takes, as far as the sign-in could name them.
    pub(crate) replaces: Vec<Code>,
    /// Whether it takes the place of every session of its issuer and client with a lower use counter (`Accounts::One`).
    pub(crate) alone: bool,
    pub(crate) proof_key: Option<ProofKey>,
    /// The last nonce of the authorization server (RFC 9449 §8).
    pub(crate) nonce: Option<String>,
    /// The refresh token that it was imported with, so that importing it again finds this session.
    pub(crate) imported: Option<TokenHash>,
}

/// The tokens of one answer, validated.
pub(crate) struct TokenSet {
    pub(crate) access_token: Secret,
    pub(crate) life: Life,
    pub(crate) id_token: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
}

/// When the request was sent whose answer brought a token, and for how long it lasts from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) sent_wall: WallTime,
    pub(crate) sent_boot: BootInstant,
    pub(crate) secs: i64,
}

/// What is known of the server's refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    Unknown,
    Static,
    Rotating,
}

/// A refresh is, or was, under way with this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) first_wall: WallTime,
    pub(crate) first_boot: BootInstant,
    pub(crate) token: TokenHash,
}

const PREFIX: &str = "session.";
const LAST_TAG: u8 = 24;

impl Record {
    /// Where a session is stored: under its random id, which says nothing about the user.
    pub(crate) fn key(id: &Code) -> StorageKey {
        StorageKey::of(PREFIX, id)
    }

    /// The session whose record a storage key is of.
    pub(crate) fn id_of(key: &StorageKey) -> Option<Code> {
        Code::parse(key.as_str().strip_prefix(PREFIX)?)
    }

    pub(crate) fn encode(&self) -> Blob {
        let mut body = Body::with_capacity(self.size());
        // The tokens first: the last block of what is hashed stays in a dead stack frame.
        // EXPOSE: into the blob, which wipes itself and which the store encrypts.
        body.bytes(1, self.set.access_token.expose().as_bytes());
        // EXPOSE: as above.
        body.optional(2, self.set.id_token.as_ref().map(|token| token.expose().as_bytes()));
        // EXPOSE: as above.
        body.optional(3, self.set.refresh_token.as_ref().map(|token| token.expose().as_bytes()));
        body.bytes(4, &self.generation.to_be_bytes());
        body.bytes(5, &self.writer);
        body.bytes(6, self.id.as_str().as_bytes());
        body.bytes(7, self.issuer.as_bytes());
        body.bytes(8, self.client_id.as_bytes());
        body.optional(9, self.subject.as_deref().map(str::as_bytes));
        body.bytes(10, self.username.as_bytes());
        body.bytes(11, &self.use_counter.to_be_bytes());
        body.bytes(12, self.scope.as_bytes());
        body.bytes(13, &moment(self.set.life.sent_wall, self.set.life.sent_boot));
        body.bytes(14, &self.set.life.secs.to_be_bytes());
        body.bytes(15, &[self.rotation as u8]);
        if let Some(mark) = &self.mark {
            body.bytes(16, &moment(mark.first_wall, mark.first_boot));
            body.bytes(17, &mark.token);
        }
        if !self.replaces.is_empty() {
            let ids: Vec<&str> = self.replaces.iter().map(Code::as_str).collect();
            body.bytes(18, ids.join(" ").as_bytes());
        }
        if self.alone {
            body.bytes(19, &[1]);
        }
        match &self.proof_key {
            None => {}
            // EXPOSE: as above.
            Some(ProofKey::Software(key)) => body.bytes(20, key.expose().as_bytes()),
            Some(ProofKey::Platform { name, thumbprint }) => {
                body.bytes(21, name.as_bytes());
                body.bytes(22, thumbprint);
            }
        }
        body.optional(23, self.nonce.as_deref().map(str::as_bytes));
        body.optional(24, self.imported.as_ref().map(|hash| &hash[..]));
        body.seal(Content::Session)
    }

    /// Any bytes give a typed answer: the record, `NewerVersion` or `Corrupt`.
    pub(crate) fn decode(blob: &Blob) -> Result<Self, StoreProblem> {
        read(&Fields::open(blob, Content::Session, LAST_TAG)?).ok_or(StoreProblem::Corrupt)
    }

    /// The same session with another mark.
    pub(crate) fn with_mark(&self, mark: Option<Mark>) -> Self {
        Self { mark, ..self.duplicate() }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            generation: self.generation,
            writer: self.writer,
            id: self.id.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            subject: self.subject.clone(),
            username: self.username.clone(),
            use_counter: self.use_counter,
            scope: self.scope.clone(),
            set: self.set.duplicate(),
            rotation: self.rotation,
            mark: self.mark,
            replaces: self.replaces.clone(),
            alone: self.alone,
            proof_key: self.proof_key.as_ref().map(ProofKey::duplicate),
            nonce: self.nonce.clone(),
            imported: self.imported,
        }
    }

    /// Whether two records hold the same tokens.
    pub(crate) fn set_hash(&self) -> TokenHash {
        let mut both = hash(&self.set.access_token);
        for (to, from) in both.iter_mut().zip(self.refresh_hash().unwrap_or_default()) {
            *to = to.wrapping_mul(3) ^ from;
        }
        both
    }

    pub(crate) fn refresh_hash(&self) -> Option<TokenHash> {
        self.set.refresh_token.as_ref().map(hash)
    }

    fn size(&self) -> usize {
        let token = |token: &Option<Secret>| token.as_ref().map_or(0, Secret::len);
        let texts = [
            self.id.as_str().len(),
            self.issuer.len(),
            self.client_id.len(),
            self.subject.as_ref().map_or(0, String::len),
            self.username.len(),
            self.scope.len(),
            self.set.access_token.len(),
            token(&self.set.id_token),
            token(&self.set.refresh_token),
            self.replaces.iter().map(|id| id.as_str().len().saturating_add(1)).sum(),
            match &self.proof_key {
                None => 0,
                Some(ProofKey::Software(key)) => key.len(),
                Some(ProofKey::Platform { name, .. }) => name.len(),
            },
            self.nonce.as_ref().map_or(0, String::len),
            // The fields of fixed size, and every field's head.
            256,
            HEAD.saturating_mul(usize::from(LAST_TAG)),
        ];
        texts.iter().fold(0, |sum, len| sum.saturating_add(*len))
    }
}

impl TokenSet {
    /// The token whose revocation ends the grant: the refresh token, which takes its access token along (row 304).
    pub(crate) fn newest(&self) -> (&Secret, TokenKind) {
        match &self.refresh_token {
            Some(token) => (token, TokenKind::Refresh),
            None => (&self.access_token, TokenKind::Access),
        }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            access_token: self.access_token.duplicate(),
            life: self.life,
            id_token: self.id_token.as_ref().map(Secret::duplicate),
            refresh_token: self.refresh_token.as_ref().map(Secret::duplicate),
        }
    }
}

pub(crate) fn hash(token: &Secret) -> TokenHash {
    // Padded by a whole block, so that what the hash function leaves behind is not the end of the token.
    let mut padded = Zeroizing::new(Vec::with_capacity(token.len().saturating_add(HASH_BLOCK)));
    // EXPOSE: hashed.
    padded.extend_from_slice(token.expose().as_bytes());
    padded.resize(token.len().saturating_add(HASH_BLOCK), 0);
    let mut out = TokenHash::default();
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, &padded).as_ref()) {
        *to = *from;
    }
    out
}

const HASH_BLOCK: usize = 64;

fn read(fields: &Fields<'_>) -> Option<Record> {
    let (sent_wall, sent_boot) = fields.moment(13)?;
    let mark = fields.optional(16, |fields, tag| {
        let (first_wall, first_boot) = fields.moment(tag)?;
        Some(Mark { first_wall, first_boot, token: fields.array(17)? })
    });
    let replaces = fields.optional(18, Fields::codes);
    let proof_key = match (fields.optional(20, Fields::secret)?, fields.optional(21, Fields::text)?) {
        (None, None) => None,
        (Some(key), None) => Some(ProofKey::Software(key)),
        (None, Some(name)) => Some(ProofKey::Platform { name, thumbprint: fields.array(22)? }),
        (Some(_), Some(_)) => return None,
    };
    Some(Record {
        generation: u64::from_be_bytes(fields.array(4)?),
        writer: fields.array(5)?,
        id: Code::parse(&fields.text(6)?)?,
        issuer: fields.text(7)?,
        client_id: fields.text(8)?,
        subject: fields.optional(9, Fields::text)?,
        username: fields.text(10)?,
        use_counter: i64::from_be_bytes(fields.array(11)?),
        scope: fields.text(12)?,
        set: TokenSet {
            access_token: fields.secret(1)?,
            life: Life { sent_wall, sent_boot, secs: i64::from_be_bytes(fields.array(14)?) },
            id_token: fields.optional(2, Fields::secret)?,
            refresh_token: fields.optional(3, Fields::secret)?,
        },
        rotation: match fields.raw(15)? {
            [0] => Rotation::Unknown,
            [1] => Rotation::Static,
            [2] => Rotation::Rotating,
            _ => return None,
        },
        mark: mark?,
        replaces: replaces?.unwrap_or_default(),
        alone: match fields.raw(19) {
            None => false,
            Some([1]) => true,
            Some(_) => return None,
        },
        proof_key,
        nonce: fields.optional(23, Fields::text)?,
        imported: fields.optional(24, Fields::array)?,
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
pub(crate) mod tests;
