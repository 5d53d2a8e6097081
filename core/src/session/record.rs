//! What one session stores: a bounded, checksummed blob. docs/sessions.md §2.
//!
//! `magic(4) version(1) checksum(32) body`; the checksum is SHA-256 over version and body. The body is a list of fields,
//! `tag(1) length(4, big endian) bytes`, each at most once, in ascending order of tags.

use ring::digest;
use zeroize::Zeroizing;

use crate::env::{Blob, BootInstant, StorageKey, WallTime};
use crate::error::{Code, StoreProblem};
use crate::secret::Secret;

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

const MAGIC: [u8; 4] = *b"DAS\x01";
const VERSION: u8 = 1;
/// No session needs more; a larger blob is not one of ours.
const MAX_RECORD: usize = 512 * 1024;
const PREFIX: &str = "session.";

impl Record {
    /// Where a session is stored: under its random id, which says nothing about the user.
    pub(crate) fn key(id: &Code) -> Option<StorageKey> {
        StorageKey::parse(&format!("{PREFIX}{id}"))
    }

    /// Where this record is stored.
    pub(crate) fn key_of(&self) -> StorageKey {
        StorageKey::of_session(PREFIX, &self.id)
    }

    /// Whether a storage key is one of a session.
    pub(crate) fn is_key(key: &StorageKey) -> bool {
        key.as_str().starts_with(PREFIX)
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
        let body = body.0;
        let mut blob = Vec::with_capacity(HEADER.saturating_add(body.len()));
        blob.extend_from_slice(&MAGIC);
        blob.push(VERSION);
        blob.extend_from_slice(checksum(VERSION, &body).as_ref());
        blob.extend_from_slice(&body);
        Blob::new(blob)
    }

    /// Any bytes give a typed answer: the record, `NewerVersion` or `Corrupt`.
    pub(crate) fn decode(blob: &Blob) -> Result<Self, StoreProblem> {
        // EXPOSE: parsed into fields that wipe themselves.
        let bytes = blob.expose();
        let rest = bytes.strip_prefix(&MAGIC).ok_or(StoreProblem::Corrupt)?;
        let (version, rest) = rest.split_first().ok_or(StoreProblem::Corrupt)?;
        if *version > VERSION {
            return Err(StoreProblem::NewerVersion);
        }
        let (sum, body) = rest.split_at_checked(SUM).ok_or(StoreProblem::Corrupt)?;
        if bytes.len() > MAX_RECORD || *version != VERSION || checksum(VERSION, body).as_ref() != sum {
            return Err(StoreProblem::Corrupt);
        }
        Fields::parse(body).and_then(Fields::into_record).ok_or(StoreProblem::Corrupt)
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
        }
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
        ];
        // Room for the fixed fields and every field's head.
        texts.iter().fold(512, |sum, len| sum.saturating_add(*len))
    }
}

impl TokenSet {
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
const SUM: usize = 32;
const HEADER: usize = MAGIC.len() + 1 + SUM;

fn checksum(version: u8, body: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[version]);
    context.update(body);
    context.finish()
}

fn moment(wall: WallTime, boot: BootInstant) -> [u8; 16] {
    let boot = u64::try_from(boot.since_boot().as_millis()).unwrap_or(u64::MAX);
    let both = (u128::from(wall.as_millis().cast_unsigned()) << 64) | u128::from(boot);
    both.to_be_bytes()
}

/// The body under construction; allocated once.
struct Body(Zeroizing<Vec<u8>>);

impl Body {
    fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    fn bytes(&mut self, tag: u8, value: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn optional(&mut self, tag: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.bytes(tag, value);
        }
    }
}

const TAGS: usize = 18;

/// The fields of a body by their tags.
#[derive(Default)]
struct Fields<'a>([Option<&'a [u8]>; TAGS]);

impl<'a> Fields<'a> {
    fn parse(mut body: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut last = 0;
        while let Some((tag, rest)) = body.split_first() {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            if *tag <= last {
                return None;
            }
            *fields.0.get_mut(usize::from(*tag))? = Some(value);
            last = *tag;
            body = rest;
        }
        Some(fields)
    }

    fn into_record(self) -> Option<Record> {
        let (sent_wall, sent_boot) = self.moment(13)?;
        let mark = match self.raw(16) {
            None => None,
            Some(_) => {
                let (first_wall, first_boot) = self.moment(16)?;
                Some(Mark { first_wall, first_boot, token: self.raw(17)?.try_into().ok()? })
            }
        };
        Some(Record {
            generation: u64::from_be_bytes(self.raw(4)?.try_into().ok()?),
            writer: self.raw(5)?.try_into().ok()?,
            id: Code::parse(&self.text(6)?)?,
            issuer: self.text(7)?,
            client_id: self.text(8)?,
            subject: if self.raw(9).is_some() { Some(self.text(9)?) } else { None },
            username: self.text(10)?,
            use_counter: i64::from_be_bytes(self.raw(11)?.try_into().ok()?),
            scope: self.text(12)?,
            set: TokenSet {
                access_token: self.secret(1)?,
                life: Life { sent_wall, sent_boot, secs: i64::from_be_bytes(self.raw(14)?.try_into().ok()?) },
                id_token: if self.raw(2).is_some() { Some(self.secret(2)?) } else { None },
                refresh_token: if self.raw(3).is_some() { Some(self.secret(3)?) } else { None },
            },
            rotation: match self.raw(15)? {
                [0] => Rotation::Unknown,
                [1] => Rotation::Static,
                [2] => Rotation::Rotating,
                _ => return None,
            },
            mark,
        })
    }

    fn raw(&self, tag: usize) -> Option<&'a [u8]> {
        *self.0.get(tag)?
    }

    fn text(&self, tag: usize) -> Option<String> {
        core::str::from_utf8(self.raw(tag)?).ok().map(str::to_owned)
    }

    fn secret(&self, tag: usize) -> Option<Secret> {
        core::str::from_utf8(self.raw(tag)?).ok().map(Secret::from)
    }

    fn moment(&self, tag: usize) -> Option<(WallTime, BootInstant)> {
        let both = u128::from_be_bytes(self.raw(tag)?.try_into().ok()?);
        let wall = u64::try_from(both >> 64).ok()?.cast_signed();
        let boot = u64::try_from(both & u128::from(u64::MAX)).ok()?;
        Some((WallTime::from_millis(wall), BootInstant::from_boot(core::time::Duration::from_millis(boot))))
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
pub(crate) mod tests;
