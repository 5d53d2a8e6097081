//! The answer that carries tokens, syntax only; protocol.md §1.1 and rows 44–50, 84–99.

use super::json::{Object, Text, Value};
use crate::error::{Kind, ResponseDefect, TokenCheck};
use crate::secret::Secret;

/// The tokens of one answer, not yet validated.
pub(crate) struct TokenAnswer {
    pub(crate) access_token: Secret,
    /// Whether it is bound to the key that was shown (RFC 9449 §5).
    pub(crate) is_bound: bool,
    pub(crate) lifetime_secs: i64,
    pub(crate) id_token: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
    /// The granted scopes, or `None`: as requested.
    pub(crate) scope: Option<Vec<String>>,
}

/// What kind of token it is: the hint of RFC 7009 §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Refresh,
    Access,
}

impl TokenKind {
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Refresh => "refresh_token",
            Self::Access => "access_token",
        }
    }
}

impl TokenAnswer {
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            access_token: self.access_token.duplicate(),
            is_bound: self.is_bound,
            lifetime_secs: self.lifetime_secs,
            id_token: self.id_token.as_ref().map(Secret::duplicate),
            refresh_token: self.refresh_token.as_ref().map(Secret::duplicate),
            scope: self.scope.clone(),
        }
    }
}

/// A token longer than this is not one (rows 48, 50).
const MAX_TOKEN: usize = 64 * 1024;
/// What a missing `expires_in` means (row 46).
const UNKNOWN_LIFETIME: i64 = 300;
/// Ten years; more is as good as that (row 45).
const MAX_LIFETIME: i64 = 10 * 365 * 24 * 3600;

/// Reads a 200 of the token endpoint. Takes the tokens out only if all is well.
/// `shown`: whether the request showed a key.
pub(crate) fn parse_tokens(answer: &mut Object, shown: bool) -> Result<TokenAnswer, Kind> {
    let rejected = |check| Kind::TokenRejected { check };
    let is = |kind: &str| answer.str("token_type").is_some_and(|said| said.eq_ignore_ascii_case(kind));
    // Without a key a DPoP token could not be used (row 90).
    let is_bound = shown && is("dpop");
    if !is_bound && !is("bearer") {
        return Err(rejected(TokenCheck::TokenType));
    }
    if !answer.str("access_token").is_some_and(is_b64token) {
        return Err(rejected(TokenCheck::AccessToken));
    }
    if !is_absent_or(answer.get("refresh_token"), is_vschar) {
        return Err(rejected(TokenCheck::RefreshToken));
    }
    let scope = match answer.get("scope") {
        None | Some(Value::Null) => None,
        Some(Value::String(scope)) => Some(parse_scope(scope).ok_or_else(bad_scope)?),
        Some(_) => return Err(bad_scope()),
    };
    let lifetime_secs = lifetime(answer.get("expires_in"));
    let access_token = take(answer, "access_token").ok_or(rejected(TokenCheck::AccessToken))?;
    Ok(TokenAnswer {
        access_token,
        is_bound,
        lifetime_secs,
        id_token: take(answer, "id_token"),
        refresh_token: take(answer, "refresh_token"),
        scope,
    })
}

/// A token of an answer that cannot be used, to be given back: whoever issued it has a grant to end.
pub(crate) fn salvage(answer: &mut Object) -> Option<(Secret, TokenKind)> {
    [TokenKind::Refresh, TokenKind::Access].into_iter().find_map(|kind| {
        let usable = answer.str(kind.hint()).is_some_and(is_vschar);
        usable.then(|| take(answer, kind.hint())).flatten().map(|token| (token, kind))
    })
}

fn take(answer: &mut Object, name: &str) -> Option<Secret> {
    match answer.take(name) {
        Some(Value::String(token)) => Some(token.into_secret()),
        _ => None,
    }
}

fn is_absent_or(value: Option<&Value>, good: impl FnOnce(&str) -> bool) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => good(text.as_str()),
        Some(_) => false,
    }
}

/// Rows 44–46. Anything that is no positive whole number of seconds means: expired already, refresh before use.
fn lifetime(value: Option<&Value>) -> i64 {
    let number = match value {
        None | Some(Value::Null) => return UNKNOWN_LIFETIME,
        Some(Value::Number(number)) => number.as_i64().unwrap_or_else(|| whole(number.as_f64())),
        Some(Value::String(text)) if (1..=10).contains(&text.as_str().len()) => {
            if !text.as_str().bytes().all(|b| b.is_ascii_digit()) {
                return UNKNOWN_LIFETIME;
            }
            text.as_str().parse().unwrap_or(0)
        }
        Some(_) => return UNKNOWN_LIFETIME,
    };
    number.clamp(0, MAX_LIFETIME)
}

/// A number that is not written as an integer: `3600.0` is one all the same, a fraction is none.
fn whole(number: f64) -> i64 {
    if number.is_infinite() {
        0
    } else if number >= 1e10 {
        MAX_LIFETIME
    } else if number.fract() == 0.0 && number > 0.0 {
        number as i64
    } else {
        0
    }
}

/// RFC 6749 §3.3: separated by single spaces; more of them are forgiven, other characters are not (row 99).
fn parse_scope(scope: &Text) -> Option<Vec<String>> {
    let mut granted: Vec<String> = Vec::new();
    for item in scope.as_str().split(' ').filter(|item| !item.is_empty()) {
        if !item.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
            return None;
        }
        if !granted.iter().any(|known| known == item) {
            granted.push(item.to_owned());
        }
    }
    Some(granted)
}

/// RFC 6750 §2.1, so that the token can stand in a header (row 48).
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    token.len() <= MAX_TOKEN && !body.is_empty() && body.bytes().all(legal)
}

/// RFC 6749 appendix A.17.
fn is_vschar(token: &str) -> bool {
    (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| matches!(b, 0x20..=0x7E))
}

fn bad_scope() -> Kind {
    Kind::InvalidResponse { what: ResponseDefect::Member("scope") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::parse;

    fn tokens(json: &str) -> Result<TokenAnswer, Kind> {
        parse_tokens(&mut parse(json.as_bytes()).unwrap(), false)
    }

    fn with(members: &str) -> Result<TokenAnswer, Kind> {
        tokens(&format!(r#"{{"token_type":"Bearer","access_token":"at"{members}}}"#))
    }

    fn check(answer: Result<TokenAnswer, Kind>) -> TokenCheck {
        match answer.err() {
            Some(Kind::TokenRejected { check }) => check,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn token_types() {
        for (row, kind) in [(85, "bearer"), (85, "BEARER"), (85, "Bearer")] {
            let answer = tokens(&format!(r#"{{"token_type":"{kind}","access_token":"a"}}"#));
            assert!(answer.is_ok(), "row {row}");
        }
        for (kind, bound) in [("dpop", true), ("DPoP", true), ("Bearer", false)] {
            let json = format!(r#"{{"token_type":"{kind}","access_token":"a"}}"#);
            let answer = parse_tokens(&mut parse(json.as_bytes()).unwrap(), true).ok().unwrap();
            assert_eq!(answer.is_bound, bound, "rows 88, 89");
        }
        for (row, json) in [
            (84, r#"{"access_token":"a"}"#),
            (86, r#"{"access_token":"a","token_type":"MAC"}"#),
            (86, r#"{"access_token":"a","token_type":"N_A"}"#),
            (90, r#"{"access_token":"a","token_type":"DPoP"}"#),
        ] {
            assert_eq!(check(tokens(json)), TokenCheck::TokenType, "row {row}");
        }
    }

    #[test]
    fn access_tokens_fit_into_a_header() {
        for (row, token) in [
            (87, "null"),
            (87, "42"),
            (48, r#""""#),
            (48, r#""a b""#),
            (48, r#""a\r\nX: y""#),
            (48, r#""a\u0000""#),
            (48, r#""ä""#),
            (48, r#""=""#),
        ] {
            let json = format!(r#"{{"token_type":"Bearer","access_token":{token}}}"#);
            assert_eq!(check(tokens(&json)), TokenCheck::AccessToken, "row {row}: {token}");
        }
        let long = format!(r#"{{"token_type":"Bearer","access_token":"{}"}}"#, "a".repeat(MAX_TOKEN + 1));
        assert_eq!(check(tokens(&long)), TokenCheck::AccessToken, "row 48");
        assert_eq!(check(tokens(r#"{"token_type":"Bearer"}"#)), TokenCheck::AccessToken, "row 87");
    }

    #[test]
    fn refresh_tokens_are_visible_ascii() {
        assert!(with(r#","refresh_token":"q\"b\\s""#).is_ok(), "row 50");
        assert!(with(r#","refresh_token":null"#).unwrap().refresh_token.is_none());
        for bad in [r#""""#, r#""a\n""#, "7"] {
            assert_eq!(check(with(&format!(r#","refresh_token":{bad}"#))), TokenCheck::RefreshToken, "row 50");
        }
    }

    #[test]
    fn lifetimes() {
        for (row, members, expected) in [
            (44, r#","expires_in":"3600""#, 3600),
            (44, r#","expires_in":"1h""#, 300),
            (44, r#","expires_in":"99999999999""#, 300),
            (45, r#","expires_in":-1"#, 0),
            (45, r#","expires_in":0"#, 0),
            (45, r#","expires_in":3600.5"#, 0),
            (45, r#","expires_in":3600.0"#, 3600),
            (45, r#","expires_in":1e400"#, 0),
            (45, r#","expires_in":99999999999"#, MAX_LIFETIME),
            (46, "", 300),
            (46, r#","expires_in":null"#, 300),
        ] {
            assert_eq!(with(members).unwrap().lifetime_secs, expected, "row {row}: {members}");
        }
    }

    #[test]
    fn scopes() {
        let scope = |text: &str| with(&format!(r#","scope":{text}"#)).map(|answer| answer.scope);
        assert_eq!(scope(r#""a  b a""#).unwrap().unwrap(), ["a", "b"], "row 99");
        assert_eq!(with("").unwrap().scope, None, "row 98");
        for bad in [r#""a\tb""#, r#""a\"b""#, "3"] {
            assert!(scope(bad).is_err(), "row 99: {bad}");
        }
    }
}
