//! What we sent and must not see again: a server that echoes a password, a code or a user name in an error must not get
//! it into a log or onto a screen through us.
//!
//! DESIGN of the error type: codes and ids that hold such a value are dropped, in the server's text it is masked. A value
//! is looked for as it is and in its form-encoded spelling, in any case (servers fold user names to lower case). One to
//! three bytes say too little to be looked for inside words: they count only where they stand alone.

use core::fmt;

use zeroize::Zeroizing;

use super::form::encoded;

/// The private values of one request, wiped when dropped.
#[derive(Default)]
pub(crate) struct Private(Vec<Zeroizing<String>>);

/// What stands in the place of a masked value.
const MASK: &str = "[masked]";
/// Shorter values count only as whole words.
const SHORT: usize = 4;

impl Private {
    /// The spellings of `values` in which a server may echo them, the longest first: one may contain another.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut private = Self::default();
        for value in values {
            private.add(value);
        }
        private
    }

    /// One value more.
    pub(crate) fn add(&mut self, value: &str) {
        let spellings = &mut self.0;
        if !value.is_empty() {
            let plus = encoded(value);
            let percent = with_percent(&plus);
            let is_escaped = plus.as_str() != value;
            spellings.push(Zeroizing::new(value.to_owned()));
            if percent != plus {
                spellings.push(percent);
            }
            if is_escaped {
                spellings.push(plus);
            }
        }
        spellings.sort_by_key(|spelling| core::cmp::Reverse(spelling.len()));
    }

    /// Whether one of the values is in `text`.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|value| find(text, value).is_some())
    }

    /// `text` with each of the values masked.
    pub(crate) fn mask(&self, text: &str) -> Zeroizing<String> {
        let mut masked = Zeroizing::new(text.to_owned());
        for value in &self.0 {
            masked = mask_one(&masked, value);
        }
        masked
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// A space as `%20` instead of `+`; in one buffer, so that nothing is left behind by growing.
fn with_percent(plus: &str) -> Zeroizing<String> {
    let mut percent = Zeroizing::new(String::with_capacity(plus.len().saturating_mul(3)));
    for character in plus.chars() {
        match character {
            '+' => percent.push_str("%20"),
            other => percent.push(other),
        }
    }
    percent
}

fn mask_one(text: &str, value: &str) -> Zeroizing<String> {
    let room = text.len().saturating_add(text.len() / value.len().max(1) * MASK.len());
    let mut masked = Zeroizing::new(String::with_capacity(room));
    let mut rest = text;
    while let Some(at) = find(rest, value) {
        let (before, from) = rest.split_at(at);
        masked.push_str(before);
        masked.push_str(MASK);
        rest = from.get(value.len()..).unwrap_or_default();
    }
    masked.push_str(rest);
    masked
}

/// Where `value` begins in `text`, ASCII letters compared without case.
fn find(text: &str, value: &str) -> Option<usize> {
    let (haystack, needle) = (text.as_bytes(), value.as_bytes());
    let alone = |at: usize| {
        let before = at.checked_sub(1).and_then(|index| haystack.get(index));
        let after = haystack.get(at.saturating_add(needle.len()));
        [before, after].into_iter().flatten().all(|byte| !byte.is_ascii_alphanumeric())
    };
    haystack
        .windows(needle.len().max(1))
        .enumerate()
        .filter(|(_, window)| window.eq_ignore_ascii_case(needle))
        .map(|(at, _)| at)
        .find(|at| needle.len() >= SHORT || alone(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_found_in_every_spelling() {
        let private = Private::of(["Tr0ub4dor & Söhne", "ana@example.com", "42"]);
        for text in [
            "the password Tr0ub4dor & Söhne is wrong",
            "tr0ub4dor & Söhne",
            "Tr0ub4dor+%26+S%C3%B6hne",
            "tr0ub4dor%20%26%20s%c3%b6hne",
            "ANA@EXAMPLE.COM",
            "ana%40example.com",
            "42",
            "code:42.",
        ] {
            assert!(private.is_in(text), "{text}");
            assert!(!private.is_in(&private.mask(text)), "{text}");
        }
        for text in ["Tr0ub4dor", "ana", "1423", "a42", ""] {
            assert!(!private.is_in(text), "{text}");
            assert_eq!(*private.mask(text), text);
        }
    }

    #[test]
    fn every_occurrence_is_masked_and_nothing_else() {
        let private = Private::of(["secret", "secret-longer", "é1"]);
        for (text, expected) in [
            ("secret and secret", "[masked] and [masked]"),
            ("secret-longer", "[masked]"),
            ("ésecreté", "é[masked]é"),
            ("é1 é12", "[masked] é12"),
            ("secre", "secre"),
        ] {
            assert_eq!(*private.mask(text), expected, "{text}");
        }
        assert_eq!(*Private::of([""]).mask("nothing was sent"), "nothing was sent");
    }
}
