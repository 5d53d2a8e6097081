//! What `/primary-authenticate` and `/challenge` answer: a prompt on the user's device, or a code on its way.
//!
//! protocol.md §1.10, §1.11, §2.4; rows 105–123, 154–158.

use core::time::Duration;

use super::json::{Object, Value};
use crate::config::Factor;
use crate::error::{Kind, ResponseDefect, Unsupported};
use crate::secret::Secret;

/// An out-of-band authentication that the server has begun.
#[derive(Debug)]
pub(crate) struct Oob {
    pub(crate) oob_code: Secret,
    pub(crate) binding: Binding,
    /// From the moment the answer came.
    pub(crate) expires_in: Duration,
}

/// What ties the prompt to this sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nothing: the user taps yes or no. Poll.
    None { interval: Duration },
    /// A number shown here, tapped there. Poll.
    Transfer { number: String, interval: Duration },
    /// A code received there, typed here. Do not poll.
    Prompt,
}

/// What `/challenge` wants next.
#[derive(Debug)]
pub(crate) enum Challenge {
    /// A one-time code after all (row 154).
    Otp,
    /// As asked.
    Oob(Oob),
}

pub(crate) const MFA_OOB: &str = "http://auth0.com/oauth/grant-type/mfa-oob";
pub(crate) const MFA_OTP: &str = "http://auth0.com/oauth/grant-type/mfa-otp";
pub(crate) const MFA_WEBAUTHN: &str = "urn:okta:params:oauth:grant-type:mfa-webauthn";

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// The draft that these grants come from recommends at most ten minutes; nobody waits longer than this (row 112).
const MAX_LIFE: Duration = Duration::from_secs(900);
const MAX_OOB_CODE: usize = 64 * 1024;

/// Reads an answer to a request for `factor`.
pub(crate) fn parse_oob(mut answer: Object, factor: Factor) -> Result<Oob, Kind> {
    if let Some(Value::String(channel)) = answer.get("channel")
        && channel.as_str() != factor.name()
    {
        return Err(defect(ResponseDefect::ChannelMismatch));
    }
    let oob_code = match answer.take("oob_code") {
        Some(Value::String(code)) if (1..=MAX_OOB_CODE).contains(&code.as_str().len()) => code.into_secret(),
        _ => return Err(member("oob_code")),
    };
    let expires_in = match seconds(&answer, "expires_in") {
        None => DEFAULT_LIFE,
        Some(Err(())) => return Err(member("expires_in")),
        // A prompt that is over already is never asked about (row 111).
        Some(Ok(life)) if life.is_zero() => return Err(Kind::Expired),
        Some(Ok(life)) => life.min(MAX_LIFE),
    };
    let binding = match answer.get("binding_method") {
        Some(Value::String(method)) => match method.as_str() {
            "none" => Binding::None { interval: interval(&answer, expires_in)? },
            "transfer" => {
                Binding::Transfer { number: binding_code(&answer)?, interval: interval(&answer, expires_in)? }
            }
            "prompt" => Binding::Prompt,
            _ => return Err(Kind::Unsupported { what: Unsupported::BindingMethod }),
        },
        _ => return Err(member("binding_method")),
    };
    Ok(Oob { oob_code, binding, expires_in })
}

/// Reads an answer of `/challenge` to a request for `factor`.
pub(crate) fn parse_challenge(answer: Object, factor: Factor) -> Result<Challenge, Kind> {
    match answer.get("challenge_type") {
        Some(Value::String(kind)) if kind.as_str() == MFA_OTP => Ok(Challenge::Otp),
        Some(Value::String(kind)) if kind.as_str() == MFA_OOB => parse_oob(answer, factor).map(Challenge::Oob),
        // Row 156: without a type, the code tells.
        None | Some(Value::Null) if answer.get("oob_code").is_some() => parse_oob(answer, factor).map(Challenge::Oob),
        None | Some(Value::Null) => Err(member("challenge_type")),
        Some(_) => Err(Kind::Unsupported { what: Unsupported::Challenge }),
    }
}

/// Rows 106–110: missing, zero and negative mean the default; fractions are rounded up; one that allows no poll at all
/// before the end is refused.
fn interval(answer: &Object, life: Duration) -> Result<Duration, Kind> {
    let interval = match seconds(answer, "interval") {
        None => DEFAULT_INTERVAL,
        Some(Err(())) => return Err(member("interval")),
        Some(Ok(interval)) if interval.is_zero() => DEFAULT_INTERVAL,
        Some(Ok(interval)) => interval,
    };
    if interval >= life { Err(member("interval")) } else { Ok(interval) }
}

/// Rows 47, 119, 121: a string is kept as it is, a whole number is printed; 1 to 8 ASCII letters and digits.
fn binding_code(answer: &Object) -> Result<String, Kind> {
    let code = match answer.get("binding_code") {
        Some(Value::String(text)) => text.as_str().to_owned(),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(whole @ 0..) => whole.to_string(),
            _ => return Err(member("binding_code")),
        },
        _ => return Err(member("binding_code")),
    };
    let sane = (1..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if sane { Ok(code) } else { Err(member("binding_code")) }
}

/// A number of seconds, also as a decimal string, rounded up; negative is zero. `None` if missing or null.
fn seconds(answer: &Object, name: &str) -> Option<Result<Duration, ()>> {
    let number = match answer.get(name)? {
        Value::Null => return None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) if is_short_decimal(text.as_str()) => text.as_str().parse().unwrap_or(f64::NAN),
        _ => return Some(Err(())),
    };
    if number.is_nan() {
        return Some(Err(()));
    }
    // A ceiling far above every use keeps the conversion in range.
    Some(Ok(Duration::from_secs(number.clamp(0.0, 1e9).ceil() as u64)))
}

fn is_short_decimal(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn member(name: &'static str) -> Kind {
    defect(ResponseDefect::Member(name))
}

fn defect(what: ResponseDefect) -> Kind {
    Kind::InvalidResponse { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::parse;

    fn push(json: &str) -> Result<Oob, Kind> {
        parse_oob(parse(json.as_bytes()).unwrap(), Factor::Push)
    }

    fn with(members: &str) -> Result<Oob, Kind> {
        push(&format!(r#"{{"oob_code":"o","channel":"push","binding_method":"none"{members}}}"#))
    }

    fn interval_of(members: &str) -> Result<u64, Kind> {
        with(members).map(|oob| match oob.binding {
            Binding::None { interval } => interval.as_secs(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn intervals() {
        for (row, members, expected) in [
            (105, r#","interval":5,"expires_in":300"#, Ok(5)),
            (106, "", Ok(5)),
            (107, r#","interval":0"#, Ok(5)),
            (107, r#","interval":-1"#, Ok(5)),
            (108, r#","interval":2.5"#, Ok(3)),
            (108, r#","interval":"7""#, Ok(7)),
            (108, r#","interval":null"#, Ok(5)),
            (108, r#","interval":"x""#, Err(member("interval"))),
            (108, r#","interval":true"#, Err(member("interval"))),
            (109, r#","interval":100000,"expires_in":300"#, Err(member("interval"))),
            (109, r#","interval":1e400"#, Err(member("interval"))),
            (110, r#","interval":60"#, Ok(60)),
        ] {
            assert_eq!(interval_of(members), expected, "row {row}: {members}");
        }
    }

    #[test]
    fn lifetimes() {
        for (row, members, expected) in [
            (111, "", Ok(300)),
            (111, r#","expires_in":0"#, Err(Kind::Expired)),
            (111, r#","expires_in":-1"#, Err(Kind::Expired)),
            (112, r#","expires_in":1e9"#, Ok(900)),
            (112, r#","expires_in":1e400"#, Ok(900)),
            (112, r#","expires_in":[]"#, Err(member("expires_in"))),
        ] {
            assert_eq!(with(members).map(|oob| oob.expires_in.as_secs()), expected, "row {row}: {members}");
        }
    }

    #[test]
    fn bindings() {
        let transfer = |code: &str| {
            push(&format!(r#"{{"oob_code":"o","binding_method":"transfer"{code}}}"#)).map(|oob| match oob.binding {
                Binding::Transfer { number, .. } => number,
                other => panic!("{other:?}"),
            })
        };
        for (row, code, expected) in [
            (47, r#","binding_code":"95""#, Ok("95")),
            (47, r#","binding_code":95"#, Ok("95")),
            (47, r#","binding_code":"05""#, Ok("05")),
            (47, r#","binding_code":9.5"#, Err(member("binding_code"))),
            (47, r#","binding_code":-5"#, Err(member("binding_code"))),
            (47, r#","binding_code":true"#, Err(member("binding_code"))),
            (119, "", Err(member("binding_code"))),
            (121, r#","binding_code":"<script>95""#, Err(member("binding_code"))),
            (121, r#","binding_code":"123456789""#, Err(member("binding_code"))),
            (121, r#","binding_code":"""#, Err(member("binding_code"))),
        ] {
            assert_eq!(transfer(code).as_deref(), expected.as_ref().copied(), "row {row}: {code}");
        }
        let none = push(r#"{"oob_code":"o","binding_method":"none","binding_code":"95"}"#).unwrap();
        assert!(matches!(none.binding, Binding::None { .. }), "row 120");
        let sms = r#"{"oob_code":"o","channel":"sms","binding_method":"prompt","expires_in":300}"#;
        let sms = parse_oob(parse(sms.as_bytes()).unwrap(), Factor::Sms).unwrap();
        assert_eq!(sms.binding, Binding::Prompt, "row 122");
        for (row, json, expected) in [
            (113, r#"{"binding_method":"none"}"#, member("oob_code")),
            (113, r#"{"oob_code":"","binding_method":"none"}"#, member("oob_code")),
            (113, r#"{"oob_code":1,"binding_method":"none"}"#, member("oob_code")),
            (
                114,
                r#"{"oob_code":"o","channel":"sms","binding_method":"none"}"#,
                defect(ResponseDefect::ChannelMismatch),
            ),
            (117, r#"{"oob_code":"o","binding_method":"qr"}"#, Kind::Unsupported { what: Unsupported::BindingMethod }),
            (118, r#"{"oob_code":"o"}"#, member("binding_method")),
        ] {
            assert_eq!(push(json).unwrap_err(), expected, "row {row}: {json}");
        }
    }

    #[test]
    fn challenges() {
        let challenge = |json: &str| parse_challenge(parse(json.as_bytes()).unwrap(), Factor::Push);
        let otp = format!(r#"{{"challenge_type":"{MFA_OTP}"}}"#);
        assert!(matches!(challenge(&otp), Ok(Challenge::Otp)), "row 154");
        let oob = format!(r#"{{"challenge_type":"{MFA_OOB}","oob_code":"o","binding_method":"none"}}"#);
        assert!(matches!(challenge(&oob), Ok(Challenge::Oob(_))), "row 155");
        let bare = r#"{"oob_code":"o","binding_method":"none"}"#;
        assert!(matches!(challenge(bare), Ok(Challenge::Oob(_))), "row 156");
        let unknown = challenge(r#"{"challenge_type":"urn:new"}"#).unwrap_err();
        assert_eq!(unknown, Kind::Unsupported { what: Unsupported::Challenge }, "row 158");
        assert_eq!(challenge("{}").unwrap_err(), member("challenge_type"));
    }
}
