//! A value that must not be printed, copied or left behind.
//!
//! DESIGN: secrets have no `Clone`, `Display` or serializer, print a fixed redaction and wipe themselves when dropped.

use core::fmt;

use zeroize::Zeroizing;

/// Text that is wiped when dropped and never printed: a password, a one-time code, a token.
///
/// It can neither be cloned nor serialized. [`expose`](Secret::expose) is the only way to look inside; the library marks
/// each of its own looks with the reason. Wiping covers the buffer that this value owns: a `String` handed to
/// [`Secret::new`] is taken over without a copy, a `&str` is copied and its owner keeps the original.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`; its buffer is wiped when the secret is dropped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Do not copy it into anything that outlives its use.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second owner of the same text, for the few places inside the library that need one.
    pub(crate) fn duplicate(&self) -> Self {
        // EXPOSE: copied into another self-wiping buffer of exactly its size.
        Self::from(self.expose())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_a_fixed_text() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(format!("{:#?}", Some(secret)), "Some(\n    [secret],\n)");
    }
}
