//! What a user typed, made fit to be sent, or refused before it costs an attempt. protocol.md VAL-2 and row 142.

use zeroize::Zeroizing;

use crate::secret::Secret;

const MAX_USERNAME: usize = 1024;
const MAX_PASSWORD: usize = 4096;
const MAX_CODE: usize = 64;

/// A username without surrounding white space (keyboards add it), if `trim` says so.
pub(crate) fn username(typed: &str, trim: bool) -> Option<String> {
    let name = if trim { typed.trim() } else { typed };
    let sane = (1..=MAX_USERNAME).contains(&name.len()) && !name.chars().any(char::is_control);
    sane.then(|| name.to_owned())
}

/// Whether a password can be sent; it is never altered.
pub(crate) fn is_password(typed: &Secret) -> bool {
    // EXPOSE: looked at for characters that no password field yields; nothing is kept.
    let text = typed.expose();
    (1..=MAX_PASSWORD).contains(&text.len()) && !text.contains(['\0', '\r', '\n'])
}

/// A one-time code as ASCII digits: full-width and other decimal digits are converted, spaces and dashes dropped.
pub(crate) fn code(typed: &Secret) -> Option<Secret> {
    // EXPOSE: copied digit by digit into a buffer that wipes itself.
    let text = typed.expose();
    if text.len() > MAX_CODE {
        return None;
    }
    let mut digits = Zeroizing::new(String::with_capacity(MAX_CODE));
    for c in text.chars() {
        if let Some(digit) = ascii_digit(c) {
            digits.push(digit);
        } else if !(c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}')) {
            return None;
        }
    }
    if digits.is_empty() { None } else { Some(Secret::from(digits)) }
}

/// The first character of each run of ten decimal digits that keyboards produce.
const ZEROS: [char; 6] = ['0', '\u{FF10}', '\u{0660}', '\u{06F0}', '\u{0966}', '\u{09E6}'];

fn ascii_digit(c: char) -> Option<char> {
    ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero))?;
        char::from_digit(value, 10).filter(char::is_ascii_digit)
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_normalised() {
        for (typed, expected) in [
            ("123456", Some("123456")),
            (" 123 456 ", Some("123456")),
            ("123-456", Some("123456")),
            ("１２３４５６", Some("123456")),
            ("١٢٣٤٥٦", Some("123456")),
            ("۱۲۳۴۵۶", Some("123456")),
            ("012345", Some("012345")),
            ("12a456", None),
            ("", None),
            (" - ", None),
            ("1;2", None),
            ("½", None),
        ] {
            assert_eq!(code(&Secret::from(typed)).as_ref().map(Secret::expose), expected, "{typed:?}");
        }
        assert!(code(&Secret::new("1".repeat(65))).is_none());
    }

    #[test]
    fn usernames_are_trimmed_and_bounded() {
        assert_eq!(username(" ana@example.com\t", true).as_deref(), Some("ana@example.com"));
        assert_eq!(username(" ana", false).as_deref(), Some(" ana"));
        for bad in ["", "  ", "a\0b", "a\r\nb", &"a".repeat(1025)] {
            assert_eq!(username(bad, true), None, "{bad:?}");
        }
    }

    #[test]
    fn passwords_are_bounded_and_never_altered() {
        assert!(is_password(&Secret::from(" p w \u{1F511} ")));
        for bad in [String::new(), "a\nb".into(), "a\0".into(), "a".repeat(4097)] {
            assert!(!is_password(&Secret::new(bad)));
        }
    }
}
