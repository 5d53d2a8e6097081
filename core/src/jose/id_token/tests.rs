use serde_json::{Value as Json, json};

use super::*;
use crate::jose::tests::{ACCESS_TOKEN, CLIENT, ISSUER, NOW, at_hash, claims, expect, object};

fn with(name: &str, value: impl Into<Json>) -> Json {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Json {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn failed(claims: &Json, expect: &Expect<'_>) -> Option<TokenCheck> {
    validate(object(claims), expect).err()
}

#[derive(Clone, Copy)]
struct Row(u16, &'static str);

/// A case that passes has `None`.
fn run(cases: impl IntoIterator<Item = (Row, Json, Option<TokenCheck>)>, expect: &Expect<'_>) {
    for (Row(row, what), claims, expected) in cases {
        assert_eq!(failed(&claims, expect), expected, "row {row}: {what}");
    }
}

#[test]
fn iss_aud_azp_and_sub() {
    use TokenCheck::{Audience, AuthorizedParty, Issuer, Subject};
    run(
        [
            (Row(232, "as it should be"), claims(), None),
            (Row(232, "another org"), with("iss", "https://other.example/oauth2/default"), Some(Issuer)),
            (Row(233, "the org's own server"), with("iss", "https://acme.example"), Some(Issuer)),
            (Row(234, "trailing slash"), with("iss", format!("{ISSUER}/")), Some(Issuer)),
            (Row(234, "case"), with("iss", ISSUER.to_uppercase()), Some(Issuer)),
            (Row(234, "look-alike letter"), with("iss", ISSUER.replace('a', "\u{430}")), Some(Issuer)),
            (Row(234, "missing"), without("iss"), Some(Issuer)),
            (Row(234, "array"), with("iss", json!([ISSUER])), Some(Issuer)),
            (Row(235, "another client"), with("aud", "other"), Some(Audience)),
            (Row(235, "prefix"), with("aud", "0oa1b2c"), Some(Audience)),
            (Row(235, "empty"), with("aud", json!([])), Some(Audience)),
            (Row(235, "missing"), without("aud"), Some(Audience)),
            (Row(235, "number"), with("aud", 7), Some(Audience)),
            (Row(235, "array of one"), with("aud", json!([CLIENT])), None),
            (Row(235, "array of one, twice"), with("aud", json!([CLIENT, CLIENT])), None),
            (Row(237, "another one too"), with("aud", json!([CLIENT, "other"])), Some(Audience)),
            (Row(237, "a number too"), with("aud", json!([CLIENT, 7])), Some(Audience)),
            (Row(237, "azp is this client"), with("azp", CLIENT), None),
            (Row(237, "azp is null"), with("azp", Json::Null), None),
            (Row(237, "azp is another client"), with("azp", "other"), Some(AuthorizedParty)),
            (Row(237, "azp is a number"), with("azp", 7), Some(AuthorizedParty)),
            (Row(239, "missing"), without("sub"), Some(Subject)),
            (Row(239, "empty"), with("sub", ""), Some(Subject)),
            (Row(239, "number"), with("sub", 7), Some(Subject)),
            (Row(239, "300 characters"), with("sub", "x".repeat(300)), Some(Subject)),
            (Row(239, "256 characters"), with("sub", "x".repeat(256)), Some(Subject)),
            (Row(239, "255 characters"), with("sub", "x".repeat(255)), None),
        ],
        &expect(),
    );
}

#[test]
fn exp_iat_and_nbf() {
    use TokenCheck::{Expired, IssuedAt, NotBefore};
    let times = |iat: i64, exp: i64| {
        let mut claims = with("iat", iat);
        claims["exp"] = exp.into();
        claims
    };
    run(
        [
            (Row(240, "121 s ago"), times(NOW - 130, NOW - 121), Some(Expired)),
            (Row(240, "120 s ago"), times(NOW - 130, NOW - 120), Some(Expired)),
            (Row(240, "119 s ago"), times(NOW - 130, NOW - 119), None),
            (Row(240, "missing"), without("exp"), Some(Expired)),
            (Row(240, "text"), with("exp", "1700003600"), Some(Expired)),
            (Row(240, "float"), with("exp", 1_700_003_600.9), None),
            (Row(240, "2^53"), with("exp", 1_i64 << 53), None),
            (Row(240, "beyond 2^53"), with("exp", (1_i64 << 53) + 1), Some(Expired)),
            (Row(240, "the largest integer"), with("exp", i64::MAX), Some(Expired)),
            (Row(240, "a large float"), with("exp", 1e300), Some(Expired)),
            (Row(240, "negative"), with("exp", i64::MIN), Some(Expired)),
            (Row(240, "not after iat"), times(NOW, NOW), Some(Expired)),
            (Row(240, "before iat"), times(NOW, NOW - 1), Some(Expired)),
            (Row(242, "121 s ahead"), with("iat", NOW + 121), Some(IssuedAt)),
            (Row(242, "120 s ahead"), with("iat", NOW + 120), None),
            (Row(242, "missing"), without("iat"), Some(IssuedAt)),
            (Row(242, "text"), with("iat", "1700000000"), Some(IssuedAt)),
            (Row(242, "a large float"), with("iat", -1e300), Some(IssuedAt)),
            (Row(243, "300 s old"), with("iat", NOW - 300), None),
            (Row(243, "301 s old"), with("iat", NOW - 301), Some(IssuedAt)),
            (Row(243, "as small as it can be"), with("iat", i64::MIN), Some(IssuedAt)),
            (Row(246, "121 s ahead"), with("nbf", NOW + 121), Some(NotBefore)),
            (Row(246, "120 s ahead"), with("nbf", NOW + 120), None),
            (Row(246, "long past"), with("nbf", 0), None),
            (Row(246, "null"), with("nbf", Json::Null), None),
            (Row(246, "text"), with("nbf", "0"), Some(NotBefore)),
            (Row(246, "a large float"), with("nbf", -1e300), Some(NotBefore)),
        ],
        &expect(),
    );
    // What serde_json cannot write.
    for (name, check) in [("exp", Expired), ("iat", IssuedAt), ("nbf", NotBefore), ("auth_time", TokenCheck::AuthTime)]
    {
        let text = with(name, "HERE").to_string().replace("\"HERE\"", "1e400");
        let payload = crate::wire::json::parse_object(text.as_bytes(), crate::wire::json::Limits::default()).unwrap();
        assert_eq!(validate(payload, &expect()).err(), Some(check), "{name}: 1e400");
    }
}

#[test]
fn no_clock_makes_the_arithmetic_overflow() {
    for now in [i64::MIN, -1, 0, i64::MAX] {
        for max_age in [None, Some(i64::MIN), Some(0), Some(i64::MAX)] {
            for edge in [-(1_i64 << 53), 1 << 53] {
                let claims = [("iat", edge), ("exp", edge), ("nbf", edge), ("auth_time", edge)];
                for (name, value) in claims {
                    let _verdict = failed(&with(name, value), &Expect { now, max_age, ..expect() });
                }
            }
        }
    }
}

#[test]
fn rows_244_and_245_only_the_given_clock_counts() {
    let two_days = 2 * 86_400;
    assert_eq!(failed(&claims(), &Expect { now: NOW - two_days, ..expect() }), Some(TokenCheck::IssuedAt));
    assert_eq!(failed(&claims(), &Expect { now: NOW + two_days, ..expect() }), Some(TokenCheck::Expired));
}

#[test]
fn nonce() {
    let sent = Expect { nonce: Some("n-1"), ..expect() };
    run(
        [
            (Row(247, "as sent"), with("nonce", "n-1"), None),
            (Row(247, "missing"), claims(), Some(TokenCheck::Nonce)),
            (Row(247, "different"), with("nonce", "n-2"), Some(TokenCheck::Nonce)),
            (Row(247, "number"), with("nonce", 1), Some(TokenCheck::Nonce)),
        ],
        &sent,
    );
    run(
        [(Row(248, "not sent"), with("nonce", "n-1"), None), (Row(248, "not sent"), with("nonce", 7), None)],
        &expect(),
    );
}

#[test]
fn auth_time() {
    use TokenCheck::AuthTime;
    run(
        [
            (Row(249, "60 s and the skew ago"), with("auth_time", NOW - 180), None),
            (Row(249, "older"), with("auth_time", NOW - 181), Some(AuthTime)),
            (Row(249, "missing"), without("auth_time"), Some(AuthTime)),
            (Row(249, "null"), with("auth_time", Json::Null), Some(AuthTime)),
            (Row(249, "text"), with("auth_time", "1700000000"), Some(AuthTime)),
            (Row(249, "within the skew"), with("auth_time", NOW + 120), None),
            (Row(249, "in the future"), with("auth_time", NOW + 121), Some(AuthTime)),
        ],
        &Expect { max_age: Some(60), ..expect() },
    );
    run(
        [
            (Row(249, "not asked for, old"), with("auth_time", 0), None),
            (Row(249, "not asked for, missing"), without("auth_time"), None),
            (Row(249, "not asked for, text"), with("auth_time", "x"), Some(AuthTime)),
        ],
        &expect(),
    );
}

#[test]
fn acr() {
    let asked = ["urn:okta:loa:2fa:any".to_owned(), "phr".to_owned()];
    run(
        [
            (Row(250, "the first"), with("acr", "urn:okta:loa:2fa:any"), None),
            (Row(250, "the second"), with("acr", "phr"), None),
            (Row(250, "lower"), with("acr", "urn:okta:loa:1fa:pwd"), Some(TokenCheck::Acr)),
            (Row(250, "missing"), claims(), Some(TokenCheck::Acr)),
            (Row(250, "array"), with("acr", json!(["phr"])), Some(TokenCheck::Acr)),
            (Row(250, "both in one"), with("acr", "urn:okta:loa:2fa:any phr"), Some(TokenCheck::Acr)),
        ],
        &Expect { acr_values: &asked, ..expect() },
    );
    run([(Row(250, "not asked for"), with("acr", "anything"), None)], &expect());
}

#[test]
fn at_hash_binds_the_access_token() {
    use TokenCheck::AccessTokenHash;
    let mismatch = [
        (Row(251, "of another token"), with("at_hash", at_hash("other")), Some(AccessTokenHash)),
        (
            Row(251, "of the whole hash"),
            with("at_hash", BASE64URL_NOPAD.encode(digest(&SHA256, ACCESS_TOKEN.as_bytes()).as_ref())),
            Some(AccessTokenHash),
        ),
        (Row(251, "padded"), with("at_hash", at_hash(ACCESS_TOKEN) + "=="), Some(AccessTokenHash)),
        (Row(251, "empty"), with("at_hash", ""), Some(AccessTokenHash)),
        (Row(251, "number"), with("at_hash", 7), Some(AccessTokenHash)),
    ];
    run(mismatch.clone(), &expect());
    run(mismatch, &Expect { at_hash: AtHash::IfPresent, ..expect() });
    let missing = |expected| {
        [(Row(252, "missing"), without("at_hash"), expected), (Row(252, "null"), with("at_hash", Json::Null), expected)]
    };
    run(missing(Some(AccessTokenHash)), &expect());
    run(missing(None), &Expect { at_hash: AtHash::IfPresent, ..expect() });
    run(missing(None), &Expect { access_token: None, ..expect() });
    // The example of OIDC Core appendix A.3, RS256.
    let example = Expect { access_token: Some("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), ..expect() };
    run([(Row(251, "OIDC Core A.3"), with("at_hash", "77QmUPtjPfzWtF2AnpK9RQ"), None)], &example);
}

#[test]
fn row_103_an_earlier_token_does_not_fit_the_new_access_token() {
    let new_token = Expect { access_token: Some("new-access-token"), ..expect() };
    assert_eq!(failed(&claims(), &new_token), Some(TokenCheck::AccessTokenHash));
}

#[test]
fn rows_254_and_256_what_decides_nothing_fails_nothing() {
    let read = |claims: &Json| validate(object(claims), &expect()).unwrap();
    for odd in [json!(["new_factor", 42, null, "pwd"]), json!("pwd"), json!(null)] {
        read(&with("amr", odd));
    }
    let odd = "<b>\u{202e}\n\0";
    assert_eq!(read(&with("email", odd)).raw.str("email"), Some(odd));
    assert_eq!(read(&with("email", json!({"a": 1}))).raw.str("email"), None);
    assert_eq!(read(&with("nonce", 7)).nonce, None);
}

#[test]
fn a_refreshed_token_continues_the_sign_in() {
    use TokenCheck::{Audience, AuthTime, IssuedAt, Issuer, Malformed, Nonce, Subject};
    let previous = IdTokenClaims::read(object(&with("nonce", "n-1"))).unwrap();
    let refresh = Expect { now: NOW + 3_000, age: Age::Refreshed, previous: Some(&previous), ..expect() };
    let new = |name: &str, value: Json| {
        let mut claims = with("iat", NOW + 3_000);
        claims["exp"] = (NOW + 6_600).into();
        claims[name] = value;
        claims
    };
    run(
        [
            (Row(257, "the same user"), new("x", json!(1)), None),
            (Row(257, "another user"), new("sub", json!("00u2")), Some(Subject)),
            (Row(257, "nobody is not another user"), new("sub", json!("")), Some(Malformed)),
            (Row(258, "iss"), new("iss", json!("https://acme.example")), Some(Issuer)),
            (Row(258, "aud"), new("aud", json!("other")), Some(Audience)),
            (Row(258, "aud in another form"), new("aud", json!([CLIENT])), None),
            (Row(259, "auth_time differs"), new("auth_time", json!(NOW + 3_000)), Some(AuthTime)),
            (Row(259, "auth_time missing"), new("auth_time", Json::Null), None),
            (Row(260, "nonce as it was"), new("nonce", json!("n-1")), None),
            (Row(260, "nonce differs"), new("nonce", json!("n-2")), Some(Nonce)),
            (Row(260, "nonce is a number"), new("nonce", json!(1)), Some(Nonce)),
            (Row(243, "old, because it was validated late"), new("iat", json!(NOW + 1_000)), None),
            (Row(103, "older than the one before"), new("iat", json!(NOW - 121)), Some(IssuedAt)),
            (Row(103, "from a server whose clock is behind"), new("iat", json!(NOW - 120)), None),
            (Row(240, "expired"), new("exp", json!(NOW + 2_000)), Some(TokenCheck::Expired)),
            (Row(251, "at_hash"), new("at_hash", json!("x")), Some(TokenCheck::AccessTokenHash)),
        ],
        &refresh,
    );

    let plain = IdTokenClaims::read(object(&without("auth_time"))).unwrap();
    let refresh = Expect { previous: Some(&plain), ..refresh };
    run(
        [
            (Row(259, "auth_time is new"), new("auth_time", json!(NOW)), None),
            (Row(260, "nonce is new"), new("nonce", json!("n-1")), Some(Nonce)),
            (Row(260, "nonce is new and a number"), new("nonce", json!(1)), Some(Nonce)),
        ],
        &refresh,
    );
}

#[test]
fn row_257_only_a_token_that_is_valid_otherwise_says_that_the_user_is_another_one() {
    let previous = IdTokenClaims::read(object(&claims())).unwrap();
    let refresh = Expect { age: Age::Refreshed, previous: Some(&previous), ..expect() };
    let also = |name: &str, value: Json| {
        let mut other = with("sub", "00u2");
        other[name] = value;
        failed(&other, &refresh)
    };
    assert_eq!(also("exp", json!(NOW - 1_000)), Some(TokenCheck::Expired));
    assert_eq!(also("at_hash", json!("x")), Some(TokenCheck::AccessTokenHash));
    assert_eq!(also("iss", json!("x")), Some(TokenCheck::Issuer));
    assert_eq!(also("x", json!(1)), Some(TokenCheck::Subject));
}

#[test]
fn rows_258_a_session_of_another_issuer_or_client_is_not_continued() {
    let refreshed = |name: &str, value: &str| {
        let previous = IdTokenClaims::read(object(&with(name, value))).unwrap();
        failed(&claims(), &Expect { age: Age::Refreshed, previous: Some(&previous), ..expect() })
    };
    assert_eq!(refreshed("iss", "https://old.example"), Some(TokenCheck::Issuer));
    assert_eq!(refreshed("aud", "old-client"), Some(TokenCheck::Audience));
}

#[test]
fn the_first_failed_check_is_reported() {
    let mut all = json!({});
    let order = [
        ("iss", json!(ISSUER), TokenCheck::Issuer),
        ("aud", json!(CLIENT), TokenCheck::Audience),
        ("sub", json!("00u1"), TokenCheck::Subject),
        ("exp", json!(NOW + 10), TokenCheck::Expired),
        ("iat", json!(NOW), TokenCheck::IssuedAt),
        ("nonce", json!("n"), TokenCheck::Nonce),
        ("auth_time", json!(NOW), TokenCheck::AuthTime),
        ("acr", json!("phr"), TokenCheck::Acr),
        ("at_hash", json!(at_hash(ACCESS_TOKEN)), TokenCheck::AccessTokenHash),
    ];
    let acr_values = ["phr".to_owned()];
    let everything = Expect { nonce: Some("n"), max_age: Some(60), acr_values: &acr_values, ..expect() };
    for (name, value, check) in order {
        assert_eq!(failed(&all, &everything), Some(check), "without {name}");
        all[name] = value;
    }
    assert_eq!(failed(&all, &everything), None);
}

#[test]
fn printing_shows_no_content() {
    let claims = IdTokenClaims::read(object(&claims())).unwrap();
    assert_eq!(format!("{claims:?}"), "IdTokenClaims { issuer, subject, audience, issued_at, .. }");
}
