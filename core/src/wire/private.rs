//! What we sent and must not see again: a server that echoes a password, a code or a user name in an error must not get
//! it into a log or onto a screen through us.
//!
//! Codes and ids that hold such a value are dropped; in the server's text it is masked. A value is looked for as it is, in any
//! case, and in the spellings that servers write into messages: percent-encoded in three ways, with HTML entities, without
//! what is taken out of texts. If letters and digits alone still show one, the whole text is dropped. One to three bytes say
//! too little to be looked for inside words: they count only where they stand alone. The server chooses both sides of the
//! comparison (an `mfa_token` is its own), so texts are short before they come here and of a long value only the beginning is
//! looked for.

use core::fmt;

use zeroize::Zeroizing;

use super::said::is_readable;

/// The private values of one request, wiped when dropped.
#[derive(Default)]
pub(crate) struct Private(Vec<Zeroizing<String>>);

/// What stands in the place of a masked value.
pub(super) const MASK: &str = "[masked]";
/// Shorter values count only as whole words.
const SHORT: usize = 4;
/// Of a longer value this much is looked for; what follows in the text and agrees is masked with it.
const LOOKED_FOR: usize = 64;
/// A part of a value that is at least this long is recognised as an id.
const PART: usize = 12;
/// So many letters and digits are needed to drop a text for them.
const ENOUGH: usize = 6;

impl Private {
    /// The private values of a request.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut private = Self::default();
        for value in values {
            private.add(value);
        }
        private
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self::of(self.0.iter().map(|value| value.as_str()))
    }

    /// One value more.
    pub(crate) fn add(&mut self, value: &str) {
        if !value.is_empty() && self.0.iter().all(|known| known.as_str() != value) {
            self.0.push(Zeroizing::new(value.to_owned()));
        }
    }

    /// Whether an id or code of the server (letters, digits and a few marks, at most 64 of them) shows one of the values, or is
    /// a part of one.
    pub(crate) fn is_in(&self, code: &str) -> bool {
        let plain = letters_and_digits(code);
        self.0.iter().any(|value| {
            let bare = letters_and_digits(value);
            find(code, value).is_some()
                || (bare.len() >= ENOUGH && plain.contains(bare.as_str()))
                || (plain.len() >= PART && bare.contains(plain.as_str()))
        })
    }

    /// `text` with each of the values masked; nothing if one shows all the same.
    pub(crate) fn mask(&self, text: &str) -> Zeroizing<String> {
        let mut spellings: Vec<_> = self.0.iter().flat_map(|value| spellings(value)).collect();
        // The longest first: one may contain another.
        spellings.sort_by_key(|spelling| core::cmp::Reverse(spelling.len()));
        let mut masked = Zeroizing::new(text.to_owned());
        for spelling in spellings.iter().filter(|spelling| !spelling.is_empty()) {
            masked = mask_one(&masked, spelling);
        }
        let (plain, bones) = (letters_and_digits(&masked), skeleton(&masked));
        let shows = |value: &Zeroizing<String>| {
            let (bare, of_value) = (letters_and_digits(value), skeleton(value));
            let is_in = |text: &str, part: &str| part.len() >= ENOUGH && text.contains(beginning(part));
            is_in(&plain, &bare) || is_in(&bones, &of_value)
        };
        // Only where somebody may have written it otherwise: what nobody ever escapes was found as it is.
        let may_be_escaped =
            |value: &str| !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if self.0.iter().any(|value| may_be_escaped(value) && shows(value)) {
            Zeroizing::new(MASK.to_owned())
        } else {
            masked
        }
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

/// How a server may write a value into a message.
fn spellings(value: &str) -> [Zeroizing<String>; 7] {
    let form = |c: char| c.is_ascii_alphanumeric() || "*-._".contains(c);
    let component = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()".contains(c);
    let path = |c: char| c.is_ascii_alphanumeric() || "-_.~/".contains(c);
    [
        Zeroizing::new(value.to_owned()),
        spelled(value, |c, text| {
            if is_readable(c) {
                text.push(c)
            }
        }),
        spelled(value, |c, text| if c == ' ' { text.push('+') } else { percent(c, form, text) }),
        spelled(value, |c, text| percent(c, form, text)),
        spelled(value, |c, text| percent(c, component, text)),
        spelled(value, |c, text| percent(c, path, text)),
        spelled(value, |c, text| match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            other => text.push(other),
        }),
    ]
}

/// `value`, each character written by `write`: in one buffer, so that nothing is left behind by growing.
fn spelled(value: &str, write: impl Fn(char, &mut String)) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(value.len().saturating_mul(6)));
    value.chars().for_each(|c| write(c, &mut text));
    text
}

fn percent(c: char, is_plain: impl Fn(char) -> bool, text: &mut String) {
    if is_plain(c) {
        return text.push(c);
    }
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase();
        text.extend(['%', digit(byte >> 4), digit(byte & 0xF)]);
    }
}

/// Lower-case letters and digits of any script, and nothing else.
fn letters_and_digits(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
    plain.extend(text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase));
    plain
}

/// The ASCII letters and digits that are left when everything that stands for another character is taken out: `\u00f6`,
/// `&ouml;`, `&#x27;`, `%C3`, also if that was escaped in turn. A value and its escaped copy have the same.
fn skeleton(text: &str) -> Zeroizing<String> {
    let mut bones = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\\' => after.strip_prefix('u').and_then(|hex| skip_hexadecimal(hex, 4)).unwrap_or(after),
            '%' => {
                let mut inner = after;
                while let Some(more) = inner.strip_prefix("25").filter(|more| skip_hexadecimal(more, 2).is_some()) {
                    inner = more;
                }
                skip_hexadecimal(inner, 2).unwrap_or(after)
            }
            '&' => {
                let mut inner = after;
                while let Some(more) = inner.strip_prefix("amp;") {
                    inner = more;
                }
                skip_entity(inner).unwrap_or(inner)
            }
            _ => {
                if c.is_ascii_alphanumeric() {
                    bones.push(c.to_ascii_lowercase());
                }
                after
            }
        };
    }
    bones
}

fn skip_hexadecimal(text: &str, digits: usize) -> Option<&str> {
    let (number, rest) = text.split_at_checked(digits)?;
    number.bytes().all(|b| b.is_ascii_hexdigit()).then_some(rest)
}

/// The name or number of an HTML entity, with its semicolon.
fn skip_entity(text: &str) -> Option<&str> {
    let end = text.bytes().take(10).position(|b| b == b';')?;
    let (name, rest) = (text.get(..end)?, text.get(end..)?.strip_prefix(';')?);
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#')).then_some(rest)
}

/// What is looked for of a value.
fn beginning(value: &str) -> &str {
    let mut end = value.len().min(LOOKED_FOR);
    while !value.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    value.get(..end).unwrap_or_default()
}

fn mask_one(text: &str, value: &str) -> Zeroizing<String> {
    let room = text.len().saturating_add((text.len() / beginning(value).len().max(1)).saturating_mul(MASK.len()));
    let mut masked = Zeroizing::new(String::with_capacity(room));
    let mut rest = text;
    while let Some(at) = find(rest, value) {
        let (before, from) = rest.split_at(at);
        masked.push_str(before);
        masked.push_str(MASK);
        rest = from.get(common(from, value)..).unwrap_or_default();
    }
    masked.push_str(rest);
    masked
}

/// How many bytes of `text` agree with the beginning of `value`, cut back to a character's end.
fn common(text: &str, value: &str) -> usize {
    let pairs = text.bytes().zip(value.bytes());
    let mut length = pairs.take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count();
    while !text.is_char_boundary(length) {
        length = length.saturating_sub(1);
    }
    length
}

/// Where `value`, or the beginning of a long one, is in `text`, ASCII letters compared without case.
fn find(text: &str, value: &str) -> Option<usize> {
    let (haystack, needle) = (text.as_bytes(), beginning(value).as_bytes());
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
    fn what_was_sent_is_masked_in_every_spelling() {
        for (value, text) in [
            ("Tr0ub4dor & Söhne", "the password Tr0ub4dor & Söhne is wrong"),
            ("Tr0ub4dor & Söhne", "tr0ub4dor & Söhne"),
            ("Tr0ub4dor & Söhne", "Tr0ub4dor+%26+S%C3%B6hne"),
            ("Tr0ub4dor & Söhne", "tr0ub4dor%20%26%20s%c3%b6hne"),
            ("Tr0ub4dor & Söhne", "Tr0ub4dor &amp; Söhne"),
            ("Tr0ub4dor & Söhne", "TR0UB4DOR & SÖHNE"),
            ("Tr0ub4dor & Söhne", r"Tr0ub4dor & S\u00f6hne"),
            ("Tr0ub4dor & Söhne", "Tr0ub4dor &amp; S&ouml;hne"),
            ("Tr0ub4dor & Söhne", "Tr0ub4dor &amp;amp; S&amp;#246;hne"),
            ("O'Hara-secret", "O&#x27;Hara-secret"),
            ("O'Hara-secret", r"O\u0027Hara-secret"),
            ("hunter2/2024secret", "hunter2&#x2F;2024secret"),
            ("hunter2&2024secret", "hunter2%25262024secret"),
            ("p!w&secret3", "p!w%26secret3"),
            ("p~w/secret4&", "p~w/secret4%26"),
            ("a\"b\\secret1", r#"{"password":"a\"b\\secret1"}"#),
            ("ana@example.com", "ANA@EXAMPLE.COM"),
            ("ana@example.com", "ana%40example.com"),
            ("ANA.JÖRG@example.com", "ana.jörg@example.com"),
            ("42", "42"),
            ("42", "code:42."),
        ] {
            let masked = Private::of([value]).mask(text);
            for part in ["r0ub4dor", "secret", "ana", "jörg", "42"] {
                assert!(!masked.to_lowercase().contains(part), "{value} in {text}: {}", *masked);
            }
        }
        for (value, text) in [
            ("Tr0ub4dor & Söhne", "Tr0ub4dor"),
            ("ana@example.com", "ana"),
            ("42", "1423"),
            ("42", "a42"),
            ("user.name", "The username or password is wrong."),
            ("client.app", "User is not assigned to the client application."),
            ("pass-word", "Password has expired."),
            ("correct horse battery", "Use the correct OTP and try again."),
        ] {
            assert_eq!(*Private::of([value]).mask(text), text, "that is not it");
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

    #[test]
    fn a_long_value_is_known_by_its_beginning_and_masked_to_its_end() {
        let token = "0123456789abcdef".repeat(100);
        let private = Private::of([token.as_str()]);
        assert_eq!(*private.mask(&format!("bad: {token}.")), "bad: [masked].");
        assert_eq!(*private.mask(&format!("bad: {}…", &token[..300])), "bad: [masked]…", "cut off");
        let other = format!("bad: {}", "f".repeat(300));
        assert_eq!(*private.mask(&other), other);
    }

    #[test]
    fn ids_that_show_a_value_or_a_part_of_one() {
        let private = Private::of(["hunter2", "tok-0123456789-abcdefghij", "42"]);
        for code in ["hunter2", "x.HUNTER2.y", "hunt-er2", "0123456789-abcdef", "req-42", "42"] {
            assert!(private.is_in(code), "{code}");
        }
        for code in ["hunter", "0123456789", "req-4242", "invalid_grant"] {
            assert!(!private.is_in(code), "{code}");
        }
    }
}
