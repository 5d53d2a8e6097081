//! What every stored blob has around it: `magic(4) version(1) checksum(32) body`. docs/sessions.md §2.
//!
//! The checksum is SHA-256 over version and body. The body is a list of fields, `tag(1) length(4, big endian) bytes`, each
//! at most once, in ascending order of tags. A higher version, or a field that this version does not know, was written by a
//! newer version: it is left alone. All else is damage.

use ring::digest;
use zeroize::Zeroizing;

use crate::env::{Blob, BootInstant, WallTime};
use crate::error::{Code, StoreProblem};
use crate::secret::Secret;

/// What a blob is. The last byte is part of the magic number, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Session,
    Tombstone,
    Owed,
    Counter,
    Documents,
}

impl Content {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Session => *b"DAS\x01",
            Self::Tombstone => *b"DAE\x01",
            Self::Owed => *b"DAO\x01",
            Self::Counter => *b"DAC\x01",
            Self::Documents => *b"DAD\x01",
        }
    }

    /// Nothing needs more; a larger blob is not one of ours.
    fn most(self) -> usize {
        match self {
            Self::Session | Self::Tombstone | Self::Owed => 512 * 1024,
            Self::Counter => 1024,
            Self::Documents => 4 * 1024 * 1024,
        }
    }
}

const VERSION: u8 = 1;
const SUM: usize = 32;
const HEADER: usize = 4 + 1 + SUM;
/// More than a device ever holds of records that cannot be read.
pub(crate) const MAX_CODES: usize = 64;
/// A field's tag and length.
pub(crate) const HEAD: usize = 5;

fn checksum(version: u8, body: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[version]);
    context.update(body);
    context.finish()
}

/// A body under construction; allocated once.
pub(crate) struct Body(Zeroizing<Vec<u8>>);

impl Body {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn bytes(&mut self, tag: u8, value: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn optional(&mut self, tag: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.bytes(tag, value);
        }
    }

    pub(crate) fn seal(self, content: Content) -> Blob {
        let body = self.0;
        let mut blob = Vec::with_capacity(HEADER.saturating_add(body.len()));
        blob.extend_from_slice(&content.magic());
        blob.push(VERSION);
        blob.extend_from_slice(checksum(VERSION, &body).as_ref());
        blob.extend_from_slice(&body);
        Blob::new(blob)
    }
}

const TAGS: usize = 32;

/// The fields of a body by their tags.
#[derive(Default)]
pub(crate) struct Fields<'a>([Option<&'a [u8]>; TAGS]);

impl<'a> Fields<'a> {
    /// Any bytes give fields up to `last_tag`, `NewerVersion` or `Corrupt`.
    pub(crate) fn open(blob: &'a Blob, content: Content, last_tag: u8) -> Result<Self, StoreProblem> {
        // EXPOSE: parsed into fields; secrets among them wipe themselves.
        let bytes = blob.expose();
        let rest = bytes.strip_prefix(&content.magic()).ok_or(StoreProblem::Corrupt)?;
        let (version, rest) = rest.split_first().ok_or(StoreProblem::Corrupt)?;
        if *version > VERSION {
            return Err(StoreProblem::NewerVersion);
        }
        let (sum, body) = rest.split_at_checked(SUM).ok_or(StoreProblem::Corrupt)?;
        if bytes.len() > content.most() || *version != VERSION || checksum(VERSION, body).as_ref() != sum {
            return Err(StoreProblem::Corrupt);
        }
        Self::parse(body, last_tag)
    }

    fn parse(mut body: &'a [u8], last_tag: u8) -> Result<Self, StoreProblem> {
        let mut fields = Self::default();
        let mut last = 0;
        let mut is_newer = false;
        while let Some((tag, rest)) = body.split_first() {
            let field = || {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
            };
            let (value, rest) = field().ok_or(StoreProblem::Corrupt)?;
            if *tag <= last {
                return Err(StoreProblem::Corrupt);
            }
            match fields.0.get_mut(usize::from(*tag)).filter(|_| *tag <= last_tag) {
                Some(place) => *place = Some(value),
                None => is_newer = true,
            }
            last = *tag;
            body = rest;
        }
        if is_newer { Err(StoreProblem::NewerVersion) } else { Ok(fields) }
    }

    pub(crate) fn raw(&self, tag: usize) -> Option<&'a [u8]> {
        *self.0.get(tag)?
    }

    pub(crate) fn array<const N: usize>(&self, tag: usize) -> Option<[u8; N]> {
        self.raw(tag)?.try_into().ok()
    }

    pub(crate) fn text(&self, tag: usize) -> Option<String> {
        core::str::from_utf8(self.raw(tag)?).ok().map(str::to_owned)
    }

    pub(crate) fn secret(&self, tag: usize) -> Option<Secret> {
        core::str::from_utf8(self.raw(tag)?).ok().map(Secret::from)
    }

    pub(crate) fn moment(&self, tag: usize) -> Option<(WallTime, BootInstant)> {
        let both = u128::from_be_bytes(self.array(tag)?);
        let wall = u64::try_from(both >> 64).ok()?.cast_signed();
        let boot = u64::try_from(both & u128::from(u64::MAX)).ok()?;
        Some((WallTime::from_millis(wall), BootInstant::from_boot(core::time::Duration::from_millis(boot))))
    }

    /// Ids that are separated by spaces, not too many.
    pub(crate) fn codes(&self, tag: usize) -> Option<Vec<Code>> {
        let codes: Option<Vec<Code>> = self.text(tag)?.split(' ').map(Code::parse).collect();
        codes.filter(|codes| codes.len() <= MAX_CODES)
    }

    /// A field that may be missing; one that is there has to be readable.
    pub(crate) fn optional<T>(&self, tag: usize, read: impl FnOnce(&Self, usize) -> Option<T>) -> Option<Option<T>> {
        match self.raw(tag) {
            None => Some(None),
            Some(_) => read(self, tag).map(Some),
        }
    }
}

/// A moment on both clocks, in milliseconds.
pub(crate) fn moment(wall: WallTime, boot: BootInstant) -> [u8; 16] {
    let boot = u64::try_from(boot.since_boot().as_millis()).unwrap_or(u64::MAX);
    let both = (u128::from(wall.as_millis().cast_unsigned()) << 64) | u128::from(boot);
    both.to_be_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every damaged or torn byte of `blob` gives `Corrupt`, or `NewerVersion` where the version stands.
    pub(crate) fn every_damage_is_noticed(blob: &Blob, decode: impl Fn(&Blob) -> Option<StoreProblem>) {
        for position in 0..blob.expose().len() {
            let mut bytes = blob.expose().to_vec();
            bytes[position] ^= 0x40;
            let expected = if position == 4 { StoreProblem::NewerVersion } else { StoreProblem::Corrupt };
            assert_eq!(decode(&Blob::new(bytes)), Some(expected), "byte {position}");
        }
        for length in 0..blob.expose().len() {
            let torn = Blob::new(blob.expose()[..length].to_vec());
            assert_eq!(decode(&torn), Some(StoreProblem::Corrupt), "torn after {length}");
        }
        let mut longer = blob.expose().to_vec();
        longer.push(0);
        assert_eq!(decode(&Blob::new(longer)), Some(StoreProblem::Corrupt));
        assert_eq!(decode(&Blob::new(vec![0; 600 * 1024])), Some(StoreProblem::Corrupt));
    }

    fn sealed(body: &[u8]) -> Blob {
        let mut sealed = Body::with_capacity(body.len());
        sealed.0.extend_from_slice(body);
        sealed.seal(Content::Session)
    }

    #[test]
    fn fields_are_in_order_whole_and_known() {
        let problem = |body: &[u8]| Fields::open(&sealed(body), Content::Session, 2).err();
        assert_eq!(problem(b"\x01\0\0\0\0\x02\0\0\0\x01x"), None);
        assert_eq!(problem(b""), None);
        for (body, expected) in [
            (&b"\x02\0\0\0\0\x01\0\0\0\0"[..], StoreProblem::Corrupt),
            (b"\x01\0\0\0\0\x01\0\0\0\0", StoreProblem::Corrupt),
            (b"\0\0\0\0\0", StoreProblem::Corrupt),
            (b"\x01\xff\xff\xff\xff", StoreProblem::Corrupt),
            (b"\x01\0\0", StoreProblem::Corrupt),
            (b"\x03\0\0\0\0", StoreProblem::NewerVersion),
            (b"\xff\0\0\0\0", StoreProblem::NewerVersion),
            (b"\xff\0\0\0\0\x01\0\0\0\0", StoreProblem::Corrupt),
        ] {
            assert_eq!(problem(body), Some(expected), "{body:?}");
        }
        assert_eq!(Fields::open(&sealed(b""), Content::Tombstone, 2).err(), Some(StoreProblem::Corrupt));
    }
}
