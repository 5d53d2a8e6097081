//! What an answer says besides its meaning: the server's id of the request, its own words, and a hint for better wording.
//!
//! Nothing is ever decided on it (docs/protocol.md §2.3). The words are untrusted (rows 42, 64, 80, VAL-7): what we sent is
//! masked, control and direction characters are taken out, the length is bounded.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::json::{Object, Value};
use super::private::{MASK, Private};
use crate::env::HttpResponse;
use crate::error::{Code, Hint, Said, ServerText};

/// Longest text that is kept, in bytes (row 42).
const MAX_TEXT: usize = 1024;
/// Causes that are kept.
const MAX_CAUSES: usize = 16;
/// Longest text that is looked at: masking compares it with everything that was sent.
const MAX_LOOKED_AT: usize = 4096;
/// What is cut off at the end of a text that was longer: it may be a part of a value that was cut in two.
const FRAYED: usize = 256;

/// What `response` says, and `envelope`, its body, if there is one that can be read.
pub(crate) fn said(response: &HttpResponse, envelope: Option<&Object>, private: &Private) -> Said {
    Said {
        request_id: request_id(response, private),
        text: envelope.and_then(|envelope| text(envelope, private)).map(Arc::new),
        hint: envelope.and_then(hint),
    }
}

/// The server's id of the request, if it is harmless to log.
pub(crate) fn request_id(response: &HttpResponse, private: &Private) -> Option<Code> {
    response.header("x-okta-request-id").and_then(|id| code(id, private))
}

/// An identifier of the server that may be shown: allow-listed characters, and none of what we sent.
pub(crate) fn code(text: &str, private: &Private) -> Option<Code> {
    Code::parse(text).filter(|code| !private.is_in(code.as_str()))
}

fn text(envelope: &Object, private: &Private) -> Option<ServerText> {
    let words = |name| envelope.str(name).map(|text| readable(text, private)).filter(|text| !text.is_empty());
    // `error` decides; `errorCode` beside it is kept for whoever reads the log (row 57).
    let second_code = envelope.get("error").and(envelope.str("errorCode")).and_then(|text| code(text, private));
    let text = ServerText {
        description: words("error_description").or_else(|| words("errorSummary")),
        uri: words("error_uri"),
        second_code,
        causes: causes(envelope, private),
    };
    let is_empty =
        text.description.is_none() && text.uri.is_none() && text.second_code.is_none() && text.causes.is_empty();
    (!is_empty).then_some(text)
}

/// `errorCauses[].errorSummary`.
fn causes(envelope: &Object, private: &Private) -> Vec<String> {
    let Some(Value::Array(causes)) = envelope.get("errorCauses") else { return Vec::new() };
    let summaries = causes.iter().take(MAX_CAUSES).filter_map(|cause| match cause {
        Value::Object(cause) => cause.str("errorSummary"),
        _ => None,
    });
    summaries.map(|text| readable(text, private)).filter(|text| !text.is_empty()).collect()
}

/// Masked, cleaned, then cut: in this order no part of a value can come through.
fn readable(text: &str, private: &Private) -> String {
    let mut clean = Zeroizing::new(String::with_capacity(text.len().min(MAX_LOOKED_AT)));
    let mut characters = text.chars().filter(|c| is_readable(*c));
    let is_whole = loop {
        match characters.next() {
            None => break true,
            Some(c) if clean.len().saturating_add(c.len_utf8()) > MAX_LOOKED_AT => break false,
            Some(c) => clean.push(c),
        }
    };
    let masked = private.mask(&clean);
    let usable = if is_whole || masked.ends_with(MASK) { masked.len() } else { masked.len().saturating_sub(FRAYED) };
    let mut end = usable.min(MAX_TEXT);
    while !masked.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    masked.get(..end).unwrap_or_default().to_owned()
}

/// Neither a control character nor one that hides, turns or breaks what stands around it.
pub(super) fn is_readable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}');
    !c.is_control() && !invisible
}

/// The sentences that say more than their code, as Okta's catalogue of 2026.08.1 has them; another language or another
/// server gives no hint, and nothing else changes (rows 64–65).
const SENTENCES: &[(&str, &str, Hint)] = &[
    ("invalid_grant", "Password has expired.", Hint::PasswordExpired),
    ("access_denied", "The user's password is expired.", Hint::PasswordExpired),
    (
        "invalid_grant",
        "Resource owner password credentials cannot be used with MFA enabled.",
        Hint::SecondFactorNotEnabled,
    ),
];

fn hint(envelope: &Object) -> Option<Hint> {
    let (error, description) = (envelope.str("error")?, envelope.str("error_description")?);
    SENTENCES.iter().find(|(code, sentence, _)| *code == error && *sentence == description).map(|(_, _, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::parse;

    fn of(json: &str) -> Said {
        let headers = vec![("x-okta-request-id".to_owned(), "req-hunter2-1".to_owned())];
        let response = HttpResponse { status: 400, headers, body: Zeroizing::new(Vec::new()) };
        said(&response, Some(&parse(json.as_bytes()).unwrap()), &Private::of(["hunter2"]))
    }

    fn description(json: &str) -> Option<String> {
        of(json).text.and_then(|text| text.description().map(str::to_owned))
    }

    #[test]
    fn words_are_kept_apart_cleaned_and_masked() {
        let long = "é".repeat(100_000);
        for (row, description_in, expected) in [
            (42, r"plain", "plain"),
            (42, r"a\u0000b\u001b[31mc\nd\re\tf\u007f\u0085", "ab[31mcdef"),
            (42, "a\u{202e}b\u{2066}c\u{200f}d\u{2028}e\u{feff}f\u{e0041}", "abcdef"),
            (42, "\u{1f511} schlüssel", "\u{1f511} schlüssel"),
            (42, "hunter2 is wrong", "[masked] is wrong"),
            // Taken apart by characters that are removed later, it would come together again.
            (42, "hun\u{200b}ter2 is wrong", "[masked] is wrong"),
            (42, &"hunter2".repeat(2000), &"[masked]".repeat(128)),
            (42, &long, &"é".repeat(512)),
        ] {
            let json = format!(r#"{{"error":"x","error_description":"{description_in}"}}"#);
            assert_eq!(description(&json).as_deref(), Some(expected), "row {row}");
        }
        let uri = of(r#"{"error":"x","error_uri":"javascript:alert(1)"}"#).text.unwrap();
        assert_eq!(uri.uri(), Some("javascript:alert(1)"), "row 80");
        assert_eq!(description(r#"{"errorCode":"E1","errorSummary":"why"}"#).as_deref(), Some("why"));
        let both = of(r#"{"error":"x","errorCode":"E0000001"}"#).text.unwrap();
        assert_eq!(both.second_code(), Some("E0000001"), "row 57");
        assert!(of(r#"{"error":"x","error_description":""}"#).text.is_none());
        assert!(of(r#"{"errorCode":"E0000001"}"#).text.is_none());
    }

    #[test]
    fn what_we_sent_is_no_id_and_no_code() {
        assert!(of("{}").request_id.is_none());
        let private = Private::of(["hunter2"]);
        assert!(code("x-hunter2", &private).is_none() && code("HUNTER2", &private).is_none());
        assert_eq!(code("x-hunter", &private).unwrap().as_str(), "x-hunter");
    }

    #[test]
    fn only_known_sentences_give_a_hint() {
        let hint =
            |error: &str, words: &str| of(&format!(r#"{{"error":"{error}","error_description":"{words}"}}"#)).hint;
        assert_eq!(hint("invalid_grant", "Password has expired."), Some(Hint::PasswordExpired), "row 64");
        assert_eq!(hint("access_denied", "The user's password is expired."), Some(Hint::PasswordExpired), "row 64");
        let mfa = "Resource owner password credentials cannot be used with MFA enabled.";
        assert_eq!(hint("invalid_grant", mfa), Some(Hint::SecondFactorNotEnabled), "row 65");
        assert_eq!(hint("access_denied", "Password has expired."), None);
        assert_eq!(hint("invalid_grant", "password has expired"), None);
    }
}
