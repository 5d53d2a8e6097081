//! Placeholders in prescribed answers: names in braces that stand for what a test cannot know beforehand.
//!
//! One pass: what is filled in is not read again. Anything else in braces stays as it is.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

/// `{repeat N TEXT}` that would be longer stays as it is.
const LONGEST_REPEAT: usize = 16 * 1024 * 1024;
/// Longest name of a placeholder, with what is added to it.
const LONGEST_NAME: usize = 40;

/// The values of the placeholders for one answer.
#[derive(Clone)]
pub(crate) struct Filler {
    values: Vec<(&'static str, String)>,
    now: u64,
}

impl Filler {
    /// `now` is what `{now}` and `{date}` count from.
    pub(crate) fn new(now: u64, values: Vec<(&'static str, String)>) -> Self {
        Self { values, now }
    }

    /// The same with more names.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { values: self.values.iter().cloned().chain(more).collect(), now: self.now }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let (value, length) = self.placeholder(from).unwrap_or_else(|| ("{".to_owned(), 1));
            filled.push_str(&value);
            rest = from.get(length..).unwrap_or_default();
        }
        filled.push_str(rest);
        filled
    }

    /// Text in bytes; what is no text stays as it is.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(bytes) {
            Ok(text) => self.text(&text).into_bytes(),
            Err(error) => error.into_bytes(),
        }
    }

    /// Every string in a JSON value, names of members excepted.
    pub(crate) fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), self.json(value))).collect(),
            other => other.clone(),
        }
    }

    /// What stands for the placeholder that `from` begins with, and how long that is.
    fn placeholder(&self, from: &str) -> Option<(String, usize)> {
        if let Some(inner) = from.strip_prefix("{repeat ") {
            let (times, text) = inner.split_once(' ')?;
            let text = text.get(..closing_brace(text)?)?;
            let unit = self.text(text);
            let times: usize = times.parse().ok()?;
            let length = "{repeat ".len() + inner.split_once(' ')?.0.len() + 1 + text.len() + 1;
            return (times.checked_mul(unit.len())? <= LONGEST_REPEAT).then(|| (unit.repeat(times), length));
        }
        let end = from.bytes().take(LONGEST_NAME).position(|byte| byte == b'}')?;
        let name = from.get(1..end)?;
        let known = self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        Some((known.or_else(|| self.time(name))?, end + 1))
    }

    /// `now`, `now+7`, `date-60`: seconds since the epoch, or a date as HTTP has it.
    fn time(&self, name: &str) -> Option<String> {
        let (is_date, offset) = match (name.strip_prefix("now"), name.strip_prefix("date")) {
            (Some(offset), _) => (false, offset),
            (_, Some(offset)) => (true, offset),
            _ => return None,
        };
        let offset: i64 = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+').or(offset.starts_with('-').then_some(offset))?.parse().ok()?
        };
        let seconds = self.now.saturating_add_signed(offset);
        if is_date { http_date(Duration::from_secs(seconds)) } else { Some(seconds.to_string()) }
    }
}

/// The members of a JSON object's text, without the braces.
pub(crate) fn members(json: &str) -> &str {
    json.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default()
}

/// RFC 9110 §5.6.7; none where the year has more than four digits.
pub(crate) fn http_date(time: Duration) -> Option<String> {
    let is_writable = time < Duration::from_secs(250_000_000_000);
    UNIX_EPOCH.checked_add(time).filter(|_| is_writable).map(httpdate::fmt_http_date)
}

/// Where the brace is that closes one opened before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.bytes().position(|byte| match byte {
        b'{' => {
            depth += 1;
            false
        }
        b'}' if depth == 0 => true,
        b'}' => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filler() -> Filler {
        Filler::new(784_111_777, vec![("issuer", "https://a/{client_id}".into()), ("client_id", "c".into())])
    }

    #[test]
    fn names_are_filled_in_once_and_other_braces_stay() {
        for (text, filled) in [
            ("{issuer}/", "https://a/{client_id}/"),
            ("{\"a\":{client_id}}", "{\"a\":c}"),
            ("{isuer} {} { {{client_id}", "{isuer} {} { {c"),
            ("{nowhere} {now 1} {date7}", "{nowhere} {now 1} {date7}"),
            ("{now} {now+7} {now-777}", "784111777 784111784 784111000"),
            ("{date}", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("{date-60}", "Sun, 06 Nov 1994 08:48:37 GMT"),
            ("{date+999999999999}", "{date+999999999999}"),
            ("{repeat 3 ab}-{repeat 0 x}", "ababab-"),
            ("[{repeat 2 {\"kty\":\"oct\"},}{}]", "[{\"kty\":\"oct\"},{\"kty\":\"oct\"},{}]"),
            ("{repeat 2 {client_id}.}", "c.c."),
            ("{repeat x a} {repeat 2 a", "{repeat x a} {repeat 2 a"),
            ("é{", "é{"),
        ] {
            assert_eq!(filler().text(text), filled);
        }
    }

    #[test]
    fn a_repeat_has_a_longest_length() {
        assert_eq!(filler().text("{repeat 16777216 a}").len(), 16 * 1024 * 1024);
        assert_eq!(filler().text("{repeat 16777217 a}"), "{repeat 16777217 a}");
    }

    #[test]
    fn in_json_the_strings_are_filled_at_every_depth() {
        let filled = filler().json(&json!({"{client_id}": ["{client_id}", 1, {"a": "{now+1}"}]}));
        assert_eq!(filled, json!({"{client_id}": ["c", 1, {"a": "784111778"}]}));
        assert_eq!(members(" {\"a\":1} "), "\"a\":1");
        assert_eq!(members("[1]"), "");
    }
}
