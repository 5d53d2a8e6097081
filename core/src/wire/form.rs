//! The form that every request carries.
//!
//! RFC 6749 appendix B: `application/x-www-form-urlencoded` of UTF-8 text, the serializer of the WHATWG URL standard §5.2
//! (docs/protocol.md §1.0, row 49). A name is sent once: servers refuse a repeated parameter. Values are passwords, codes
//! and tokens, so they are borrowed until they are written into one buffer of exactly their size that wipes itself.

use core::fmt;

use zeroize::Zeroizing;

use super::private::Private;

/// Parameters of one request, in the order in which they are sent.
pub(crate) struct Form<'a> {
    parameters: Vec<(&'a str, &'a str)>,
    private: Vec<&'a str>,
}

impl<'a> Form<'a> {
    pub(crate) fn new() -> Self {
        Self { parameters: Vec::new(), private: Vec::new() }
    }

    /// Adds a parameter that must not show anywhere: what a user typed, or a token.
    pub(crate) fn private(&mut self, name: &'static str, value: &'a str) {
        self.push(name, value);
        self.private.push(value);
    }

    /// Adds a parameter. A name that is already there keeps its first value, so that nothing can override what a
    /// transaction has fixed; to try is a programming error that debug builds stop at.
    pub(crate) fn push(&mut self, name: &'static str, value: &'a str) {
        let is_new = self.parameters.iter().all(|(other, _)| *other != name);
        debug_assert!(is_new, "the form already has {name}");
        if is_new {
            self.parameters.push((name, value));
        }
    }

    /// Adds what the app adds. A name that is there already keeps its value: these were refused when the client was built, and
    /// are left out here.
    pub(crate) fn all(&mut self, parameters: &'a [(String, String)]) {
        for (name, value) in parameters {
            if self.parameters.iter().all(|(other, _)| other != name) {
                self.parameters.push((name, value));
            }
        }
    }

    /// The encoded form.
    pub(crate) fn encode(self) -> Body {
        let lengths = self.parameters.iter().map(|(name, value)| encoded_length(name) + encoded_length(value));
        let text = lengths.sum::<usize>();
        // One `=` for each parameter, and one `&` between two.
        let separators = (2 * self.parameters.len()).saturating_sub(1);
        let mut body = Zeroizing::new(Vec::with_capacity(text + separators));
        for (name, value) in &self.parameters {
            if !body.is_empty() {
                body.push(b'&');
            }
            encode_into(&mut body, name);
            body.push(b'=');
            encode_into(&mut body, value);
        }
        Body { body, private: Private::of(self.private) }
    }
}

/// An encoded form and the private values in it, wiped when dropped.
pub(crate) struct Body {
    body: Zeroizing<Vec<u8>>,
    private: Private,
}

impl Body {
    /// A body that is no form, and what of it must not show in the answer.
    pub(super) fn of(body: Zeroizing<Vec<u8>>, private: Private) -> Self {
        Self { body, private }
    }

    /// What is sent beside it and must not show in the answer either.
    pub(crate) fn hide(&mut self, value: &str) {
        self.private.add(value);
    }

    /// The same once more, for the one answer after which it may be sent again (`proof`).
    pub(crate) fn duplicate(&self) -> Self {
        Self { body: Zeroizing::new(self.body.to_vec()), private: self.private.duplicate() }
    }

    /// What is sent, and what of it must not show in the answer.
    pub(crate) fn into_parts(self) -> (Zeroizing<Vec<u8>>, Private) {
        (self.body, self.private)
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[form]")
    }
}

fn encode_into(body: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => body.push(b'+'),
            _ if is_plain(byte) => body.push(byte),
            _ => body.extend_from_slice(&[b'%', hexadecimal(byte >> 4), hexadecimal(byte & 0xf)]),
        }
    }
}

fn encoded_length(text: &str) -> usize {
    text.bytes().map(|byte| if byte == b' ' || is_plain(byte) { 1 } else { 3 }).sum()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

fn hexadecimal(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + (nibble - 10) }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
