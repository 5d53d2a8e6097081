//! Finding secrets in memory: each in several spellings, whole and in pieces.

use std::collections::HashMap;
use std::fmt;

use crate::process::Region;

/// A piece of a secret as short as this counts.
const PIECE: usize = 8;
const PAGE: usize = 4096;

/// Something that must not be found.
#[derive(Clone)]
pub(crate) struct Needle {
    pub(crate) name: String,
    value: String,
}

impl Needle {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// As a library, a form and a Java or Windows string would write it.
    fn spellings(&self) -> Vec<Vec<u8>> {
        let plain = self.value.as_bytes().to_vec();
        let wide = self.value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut spellings = vec![plain, wide];
        for space in ["+", "%20"] {
            let form: Vec<u8> = self.value.bytes().flat_map(|byte| form_encoded(byte, space)).collect();
            if !spellings.contains(&form) {
                spellings.push(form);
            }
        }
        spellings
    }

    /// A code of a few digits also occurs by chance, inside of a time or a length.
    pub(crate) fn is_number(&self) -> bool {
        self.value.bytes().all(|byte| byte.is_ascii_digit())
    }
}

fn form_encoded(byte: u8, space: &str) -> Vec<u8> {
    match byte {
        b' ' => space.as_bytes().to_vec(),
        _ if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => vec![byte],
        _ => format!("%{byte:02X}").into_bytes(),
    }
}

/// One copy.
pub(crate) struct Hit {
    /// Which needle.
    pub(crate) needle: usize,
    pub(crate) whole: bool,
    /// Where, and what is around it.
    place: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Needles prepared for a search.
pub(crate) struct Search {
    needles: Vec<Needle>,
    spellings: Vec<Spelling>,
    /// The pieces by their first four bytes: spelling and offset in it.
    pieces: HashMap<[u8; 4], Vec<(usize, usize)>>,
    /// Whether any piece begins with these two bytes.
    begins: Vec<bool>,
}

struct Spelling {
    needle: usize,
    bytes: Vec<u8>,
    /// The shortest piece that counts: all of it if it is short.
    least: usize,
}

impl Search {
    pub(crate) fn new(needles: &[Needle]) -> Self {
        let mut this = Self {
            needles: needles.to_vec(),
            spellings: Vec::new(),
            pieces: HashMap::new(),
            begins: vec![false; 1 << 16],
        };
        for (needle, it) in needles.iter().enumerate() {
            for bytes in it.spellings() {
                let least = if it.is_number() { bytes.len() } else { PIECE.min(bytes.len()) };
                for (offset, piece) in bytes.windows(least).enumerate() {
                    let Some(first) = piece.first_chunk::<4>() else { continue };
                    this.pieces.entry(*first).or_default().push((this.spellings.len(), offset));
                    if let Some(begin) = this.begins.get_mut(index_of([first[0], first[1]])) {
                        *begin = true;
                    }
                }
                this.spellings.push(Spelling { needle, bytes, least });
            }
        }
        this
    }

    pub(crate) fn run(&self, memory: &[Region]) -> Vec<Hit> {
        memory.iter().flat_map(|region| self.run_in(region)).collect()
    }

    fn run_in(&self, region: &Region) -> Vec<Hit> {
        let mut hits = Vec::new();
        let bytes = region.bytes.as_slice();
        // Where the last copy of each needle ended: its inner pieces are no further copies.
        let mut ends = vec![0; self.needles.len()];
        for (page, content) in bytes.chunks(PAGE).enumerate() {
            if ZEROS.starts_with(content) {
                continue;
            }
            let start = page * PAGE;
            for (at, pair) in (start..).zip(bytes.get(start..).unwrap_or_default().windows(2).take(content.len())) {
                let [one, two] = *pair else { continue };
                if self.begins.get(index_of([one, two])) == Some(&true)
                    && let Some((spelling, offset, length)) = self.longest_at(bytes, at)
                    && let Some(end) = ends.get_mut(spelling.needle)
                    && at >= *end
                {
                    *end = at + length;
                    if let Some(hit) = self.hit(region, at, spelling, offset, length) {
                        hits.push(hit);
                    }
                }
            }
        }
        hits
    }

    /// The longest piece of any spelling that stands at `at`, with its offset in the spelling and its length.
    fn longest_at(&self, bytes: &[u8], at: usize) -> Option<(&Spelling, usize, usize)> {
        let here = bytes.get(at..)?;
        let candidates = self.pieces.get(here.first_chunk::<4>()?)?;
        candidates
            .iter()
            .filter_map(|(spelling, offset)| {
                let spelling = self.spellings.get(*spelling)?;
                let piece = spelling.bytes.get(*offset..)?;
                let length = piece.iter().zip(here).take_while(|(a, b)| a == b).count();
                (length >= spelling.least).then_some((spelling, *offset, length))
            })
            .max_by_key(|(_, _, length)| *length)
    }

    fn hit(&self, region: &Region, at: usize, spelling: &Spelling, offset: usize, length: usize) -> Option<Hit> {
        let needle = self.needles.get(spelling.needle)?;
        let before = at.checked_sub(1).and_then(|at| region.bytes.get(at));
        let after = region.bytes.get(at + length);
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        // A form's `otp=123456` counts, whatever stands behind it.
        if needle.is_number() && before != Some(&b'=') && (is_digit(before) || is_digit(after)) {
            return None;
        }
        let whole = offset == 0 && length == spelling.bytes.len();
        let around = region.bytes.get(at.saturating_sub(64)..(at + length + 64).min(region.bytes.len()))?;
        let place = format!(
            "{} {:#x} {} of {} at {offset}, {length} bytes: {}",
            if region.name.is_empty() { "(anonymous)" } else { &region.name },
            region.start + at as u64,
            if whole { "all" } else { "a piece" },
            needle.name,
            around.escape_ascii()
        );
        Some(Hit { needle: spelling.needle, whole, place })
    }
}

static ZEROS: [u8; PAGE] = [0; PAGE];

fn index_of(pair: [u8; 2]) -> usize {
    usize::from(u16::from_le_bytes(pair))
}
