//! A new password by Okta's MyAccount API: what is sent, and what the answers mean. protocol.md §1.14, rows 330–335.

use zeroize::Zeroizing;

use super::answer::{self, Failure, Leg, Reply, Why};
use super::form::Body;
use super::private::Private;
use crate::error::{Code, ConfigurationProblem, Kind};

/// The scope that a new password takes, and no other (protocol.md §2.6).
pub(crate) const SCOPE: &str = "okta.myAccount.password.manage";
/// Below the issuer of the organisation's own server.
pub(crate) const PATH: &str = "/idp/myaccount/password";
/// Without the version the API answers 406 (row 333).
pub(crate) const ACCEPT: &str = "application/json; okta-version=1.0.0";

const BEFORE: &[u8] = br#"{"profile":{"password":""#;
const AFTER: &[u8] = br#""}}"#;

/// `{"profile":{"password":"…"}}` in a buffer of exactly its size that wipes itself.
pub(crate) fn body(password: &str) -> Body {
    let length: usize = password.bytes().map(|byte| escaped(byte).map_or(1, |_| 6)).sum();
    let mut json = Zeroizing::new(Vec::with_capacity(length.saturating_add(BEFORE.len() + AFTER.len())));
    json.extend_from_slice(BEFORE);
    for byte in password.bytes() {
        match escaped(byte) {
            Some(escape) => json.extend_from_slice(&escape),
            None => json.push(byte),
        }
    }
    json.extend_from_slice(AFTER);
    Body::of(json, Private::of([password]))
}

/// RFC 8259 §7: the two marks and the control characters; everything else stands for itself.
fn escaped(byte: u8) -> Option<[u8; 6]> {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) };
    (byte < 0x20 || matches!(byte, b'"' | b'\\'))
        .then(|| [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)])
}

/// Whether the password is set, or what the answer means instead.
pub(crate) fn read(reply: &Reply) -> Result<(), Failure> {
    let status = reply.response.status;
    // A 200 could be anybody's page, so it has to be JSON.
    if matches!(status, 201 | 204) {
        return Ok(());
    }
    let Err(failure) = answer::read(reply, Leg::Elsewhere) else { return Ok(()) };
    let code = match &failure.why {
        Why::Fatal(Kind::Server { code, .. }) => code.clone(),
        _ => None,
    };
    let why = match status {
        400 if code.as_ref().is_some_and(|code| code.as_str() == "E0000001") => Why::Refused,
        401 => Why::Expired,
        403 => Why::Denied(code.unwrap_or_else(|| Code::of("access_denied"))),
        406 => Why::Fatal(Kind::Configuration { what: ConfigurationProblem::Request(Code::of("not_acceptable")) }),
        _ => failure.why,
    };
    Err(Failure { why, ..failure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::HttpResponse;

    #[test]
    fn a_password_is_one_json_string_whatever_is_in_it() {
        for (password, expected) in [
            ("a new horse", r#"{"profile":{"password":"a new horse"}}"#),
            (r#"","x":"\"#, r#"{"profile":{"password":"\u0022,\u0022x\u0022:\u0022\u005c"}}"#),
            ("\u{1}\u{1f}é🔑/", "{\"profile\":{\"password\":\"\\u0001\\u001fé🔑/\"}}"),
        ] {
            let (bytes, private) = body(password).into_parts();
            assert_eq!(String::from_utf8(bytes.to_vec()).unwrap(), expected);
            assert_eq!(bytes.capacity(), bytes.len(), "never moved, so nothing is left behind");
            assert!(private.mask(password).contains("[masked]"));
            let parsed = answer::parse(&bytes).unwrap();
            assert!(matches!(parsed.get("profile"), Some(crate::wire::json::Value::Object(profile))
                if profile.str("password") == Some(password)));
        }
    }

    #[test]
    fn what_the_answers_mean() {
        let of = |status: u16, code: &str| {
            let body = if code.is_empty() { Vec::new() } else { format!(r#"{{"errorCode":"{code}"}}"#).into_bytes() };
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            let response = HttpResponse { status, headers, body: Zeroizing::new(body) };
            read(&Reply { response, private: Private::default() })
        };
        for done in [201, 204] {
            assert!(of(done, "").is_ok());
        }
        for (row, status, code, expected) in [
            (330, 400, "E0000001", "Refused"),
            (330, 401, "E0000015", "Expired"),
            (330, 401, "", "Expired"),
            (332, 403, "E0000038", "NotAllowed"),
            (332, 403, "", "NotAllowed"),
            (333, 406, "", "Configuration"),
            (0, 429, "E0000047", "RateLimited"),
            (0, 503, "", "Server"),
            (0, 302, "", "InvalidResponse"),
            (0, 200, "", "InvalidResponse"),
            (0, 400, "E0000003", "Server"),
        ] {
            assert_eq!(of(status, code).unwrap_err().why.name(), expected, "row {row}, {status} {code}");
        }
    }
}
