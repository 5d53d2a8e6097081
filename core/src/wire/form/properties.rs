//! Whatever a user types and a server hands out arrives as it was: row 49, RFC 6749 appendix B, and docs/protocol.md §1.0
//! on parameters that are sent twice.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::config::{ClientId, Factor, Scopes};
use crate::testing::properties;
use crate::wire::passkey::Assertion;
use crate::wire::requests::{self, Common};

/// Every name of docs/protocol.md §1 that the library sends.
const NAMES: [&str; 23] = [
    "grant_type",
    "username",
    "password",
    "login_hint",
    "otp",
    "scope",
    "grant_types_supported",
    "challenge_hint",
    "challenge_types_supported",
    "channel_hint",
    "mfa_token",
    "oob_code",
    "binding_code",
    "refresh_token",
    "token",
    "token_type_hint",
    "client_id",
    "acr_values",
    "intent",
    "authenticatorData",
    "clientDataJSON",
    "signature",
    "userHandle",
];

/// Any text, with a liking for what a form has to escape, for what is long, and for what looks like an escape already.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        3 => "[&=+% ;#?\0\r\n'\"\\\\/~*._-]{0,16}",
        2 => "(%[0-9A-Fa-f]{2}|%u[0-9a-f]{4}|&amp;|\\+|%2B|&name=|%){0,8}",
        2 => "[\u{5d0}-\u{5ea}\u{627}-\u{64a}\u{202e}\u{200f}\u{1f468}\u{200d}\u{1f511}\u{fe0f}e\u{301}\u{df}]{0,16}",
        1 => Just("\u{1f511}".repeat(1024)),
        1 => Just("%".repeat(4096)),
        1 => "[a-z ]{4096}",
    ]
}

fn parameters() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let names = subsequence(&NAMES[..], 0..=NAMES.len()).prop_shuffle();
    (names, vec(text(), NAMES.len())).prop_map(|(names, values)| names.into_iter().zip(values).collect())
}

/// The parser of WHATWG URL §5.1, for ASCII input and without its forgiveness: `None` is not the form of RFC 6749.
fn decode(body: &[u8]) -> Option<Vec<(String, String)>> {
    let hexadecimal = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_lowercase());
    let text = |encoded: &[u8]| {
        let (mut bytes, mut rest) = (Vec::new(), encoded.iter().copied());
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => u8::try_from(hexadecimal(rest.next()?)? * 16 + hexadecimal(rest.next()?)?).ok()?,
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => byte,
                _ => return None,
            });
        }
        String::from_utf8(bytes).ok()
    };
    let pair = |parameter: &[u8]| {
        let (name, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=')?);
        Some((text(name)?, text(&value[1..])?))
    };
    body.split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty()).map(pair).collect()
}

#[test]
fn the_decoder_of_this_test_is_strict() {
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(decode(b"a=+%25%26%2B%C2%A3%E2%82%AC&b="), pairs(&[("a", " %&+\u{a3}\u{20ac}"), ("b", "")]));
    assert_eq!(decode(b""), pairs(&[]));
    for bad in ["a", "a=b=c", "a= ", "a=%2b", "a=%2", "a=%", "a=\u{e9}", "a=%FF", "a=~"] {
        assert_eq!(decode(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #![proptest_config(properties(256))]

    #[test]
    fn every_parameter_arrives_as_it_was_in_a_buffer_that_never_grew(parameters in parameters()) {
        let mut form = Form::new();
        for (name, value) in &parameters {
            form.push(name, value);
        }
        let body = form.encode().into_parts().0;
        prop_assert_eq!(body.len(), body.capacity());
        let expected = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>();
        prop_assert_eq!(decode(&body), Some(expected));
    }

    #[test]
    fn what_is_put_into_a_request_is_in_it_once(typed in text(), secret in text(), token in text(), second: bool) {
        let common = Common {
            client_id: ClientId::parse("0oa1").unwrap(),
            scopes: Scopes::parse(["openid", "offline_access"]).unwrap(),
            capabilities: Factor::ALL.to_vec(),
            is_direct: true,
            additional: Default::default(),
            acr_values: second.then(|| "phr phrh".to_owned()),
            intent: second.then_some(("intent", "recovery")),
        };
        let (id, mfa_token) = (&common.client_id, second.then_some(token.as_str()));
        let assertion = Assertion {
            authenticator_data: token.as_str().into(),
            client_data: secret.as_str().into(),
            signature: typed.as_str().into(),
            user_handle: second.then(|| token.as_str().into()),
        };
        let requests: [(Body, &[(&str, &str)]); 11] = [
            (requests::password(&common, &typed, &secret), &[("username", &typed), ("password", &secret)]),
            (requests::otp(&common, &typed, &secret), &[("login_hint", &typed), ("otp", &secret)]),
            (requests::primary_authenticate(&common, &typed, Factor::Sms), &[("login_hint", &typed)]),
            (requests::challenge(&common, &token, Factor::Push), &[("mfa_token", &token)]),
            (
                requests::oob(&common, &token, Some(&secret), mfa_token),
                &[
                    ("oob_code", &token),
                    ("binding_code", &secret),
                    (if second { "mfa_token" } else { "oob_code" }, &token),
                ],
            ),
            (requests::primary_passkey(&common, Some(&typed), mfa_token), &[("login_hint", &typed)]),
            (
                requests::passkey(&common, &assertion, mfa_token),
                &[("authenticatorData", &token), ("clientDataJSON", &secret), ("signature", &typed)],
            ),
            (requests::introspect(id, &token, "access_token"), &[("token", &token)]),
            (requests::mfa_otp(&common, &token, &secret), &[("mfa_token", &token), ("otp", &secret)]),
            (requests::refresh(id, &token, &typed, &[]), &[("refresh_token", &token)]),
            (requests::revoke(id, &token, "refresh_token"), &[("token", &token)]),
        ];
        for (body, expected) in requests {
            let decoded = decode(body.as_ref()).unwrap();
            prop_assert_eq!(decoded.last().map(|(name, _)| name.as_str()), Some("client_id"));
            let once = decoded.iter().cloned().collect::<BTreeMap<_, _>>();
            prop_assert_eq!(once.len(), decoded.len());
            prop_assert!(once.keys().all(|name| NAMES.contains(&name.as_str())), "{:?}", once.keys());
            for (name, value) in expected {
                prop_assert_eq!(once.get(*name).map(String::as_str), Some(*value));
            }
            prop_assert_eq!(body.as_ref().len(), body.into_parts().0.capacity());
        }
    }
}
