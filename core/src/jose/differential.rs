//! Every token here is read twice, by this library and by somebody else's (docs/protocol.md §6.2, rows 205–256).
//!
//! What we accept, they accept with the same claims. What only they accept falls under a rule of `STRICTER`, what only we
//! accept under one of `LOOSER`, what both accept under no rule of `STRICTER`; and each of these rules is met at least
//! once, so that neither list outlives its rules.
//!
//! `SEED=7 TIMES=25 cargo test -p directauth --lib differential -- --nocapture` looks further.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};

use super::id_token::{Age, AtHash, IdTokenClaims};
use super::jws::Algorithm;
use super::tests::{ACCESS_TOKEN, CLIENT, at_hash, key_set};
use super::{Verdict, check_id_token, jwks, thumbprint};
use crate::error::TokenCheck;
use crate::testing::{cases, seed};
use crate::wire::json::another::{has_number_beyond_floats, same_object, shape};

mod theirs;
mod tokens;

use tokens::{Case, Workshop};

/// A case as serde_json sees it.
struct Seen<'a> {
    case: &'a Case,
    published: &'a [Json],
    header: Json,
    payload: Json,
    /// The bytes of the two.
    texts: [Vec<u8>; 2],
}

impl<'a> Seen<'a> {
    fn new(case: &'a Case, published: &'a [Json]) -> Self {
        let texts = [0, 1].map(|at| {
            let part = case.token.split('.').nth(at).unwrap_or_default();
            BASE64URL_NOPAD.decode(part.as_bytes()).unwrap_or_default()
        });
        let [header, payload] = [0, 1].map(|at: usize| serde_json::from_slice(&texts[at]).unwrap_or_default());
        Self { case, published, header, payload, texts }
    }

    fn claim(&self, name: &str) -> &Json {
        &self.payload[name]
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.claim(name).as_f64()
    }

    /// Seconds from now to a date, its fraction as it is.
    fn until(&self, name: &str) -> Option<f64> {
        Some(self.number(name)? - self.case.expect.now as f64)
    }

    fn named_keys(&self) -> Vec<&Json> {
        self.published.iter().filter(|key| key["kid"].is_string() && key["kid"] == self.header["kid"]).collect()
    }

    fn any_text(&self, holds: impl Fn(&[u8]) -> bool) -> bool {
        self.texts.iter().any(|text| holds(text))
    }
}

/// The name of a rule, what we answer by it, and when it is the reason.
type Stricter = (&'static str, Option<TokenCheck>, fn(&Seen<'_>) -> bool);

/// `None` is [`Verdict::UnknownKey`].
const UNKNOWN_KEY: Option<TokenCheck> = None;

const STRICTER: &[Stricter] = &[
    ("64 KiB", Some(TokenCheck::Malformed), |seen| seen.case.token.len() > 64 * 1024),
    ("row 219: ES256 is not switched on", Some(TokenCheck::Algorithm), |seen| {
        seen.header["alg"] == "ES256" && !seen.case.allowed.contains(&Algorithm::Es256)
    }),
    ("row 230: a name twice", Some(TokenCheck::Malformed), |seen| {
        seen.any_text(|text| shape(text).is_ok_and(|shape| shape.has_duplicates))
    }),
    ("nested deeper than 16", Some(TokenCheck::Malformed), |seen| {
        seen.any_text(|text| shape(text).is_ok_and(|shape| shape.depth > 16))
    }),
    ("more than 20,000 values", Some(TokenCheck::Malformed), |seen| {
        seen.any_text(|text| shape(text).is_ok_and(|shape| shape.values > 20_000))
    }),
    ("crit", Some(TokenCheck::Critical), |seen| seen.header.get("crit").is_some()),
    ("row 226: typ", Some(TokenCheck::Type), |seen| {
        let is_jwt = |typ: &Json| matches!(typ.as_str(), Some("JWT" | "jwt"));
        seen.header.get("typ").is_some_and(|typ| !is_jwt(typ))
    }),
    ("row 222: no kid", Some(TokenCheck::KeyId), |seen| !seen.header["kid"].is_string()),
    ("row 223: kid of more than 1,024 bytes", Some(TokenCheck::KeyId), |seen| {
        seen.header["kid"].as_str().is_some_and(|kid| kid.len() > 1_024)
    }),
    ("row 207: two keys under one kid", Some(TokenCheck::KeyId), |seen| {
        // As numbers: a zero in front makes no other key.
        let number = |text: &Json| {
            let bytes = BASE64URL_NOPAD.decode(text.as_str().unwrap_or_default().as_bytes()).unwrap();
            bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>()
        };
        let keys = seen.named_keys().into_iter().map(|key| ["n", "e", "x", "y"].map(|name| number(&key[name])));
        keys.collect::<BTreeSet<_>>().len() > 1
    }),
    ("row 212: a key with another use", UNKNOWN_KEY, |seen| {
        seen.named_keys().iter().all(|key| key.get("use").is_some_and(|usage| usage != "sig"))
    }),
    ("row 212: a key for another algorithm", UNKNOWN_KEY, |seen| {
        seen.named_keys().iter().all(|key| key.get("alg").is_some_and(|alg| *alg != seen.header["alg"]))
    }),
    ("row 212: a key that is not to verify", UNKNOWN_KEY, |seen| {
        let may_not = |operations: &Json| !operations.to_string().contains("\"verify\"");
        seen.named_keys().iter().all(|key| key.get("key_ops").is_some_and(may_not))
    }),
    ("a key on another curve", UNKNOWN_KEY, |seen| seen.named_keys().iter().all(|key| key["crv"] == "P-384")),
    ("an RSA key of less than 2,048 bits", UNKNOWN_KEY, |seen| {
        // Four characters are three bytes.
        seen.named_keys().iter().all(|key| key["n"].as_str().is_some_and(|n| n.len() < 2_048 / 6))
    }),
    ("an RSA exponent of 1", UNKNOWN_KEY, |seen| seen.named_keys().iter().all(|key| key["e"] == "AQ")),
    ("iss in an array", Some(TokenCheck::Issuer), |seen| seen.claim("iss").is_array()),
    ("row 237: another audience too", Some(TokenCheck::Audience), |seen| {
        seen.claim("aud").as_array().is_some_and(|audience| audience.iter().any(|one| one != CLIENT))
    }),
    ("row 237: azp", Some(TokenCheck::AuthorizedParty), |seen| {
        !seen.claim("azp").is_null() && seen.claim("azp") != CLIENT
    }),
    ("row 239: sub is empty or of more than 255 bytes", Some(TokenCheck::Subject), |seen| {
        seen.claim("sub").as_str().is_some_and(|sub| sub.is_empty() || sub.len() > 255)
    }),
    ("row 240: exp itself is too late", Some(TokenCheck::Expired), |seen| seen.until("exp") == Some(-120.0)),
    ("row 240: the fraction of exp is cut off", Some(TokenCheck::Expired), |seen| {
        seen.until("exp").is_some_and(|exp| exp.fract() != 0.0 && exp.trunc() >= -121.0 && exp < -119.0)
    }),
    ("row 240: exp beyond 2^53", Some(TokenCheck::Expired), |seen| {
        seen.claim("exp").as_u64().is_some_and(|exp| exp > 1 << 53)
            || seen.number("exp") > Some(9_007_199_254_740_992.0)
    }),
    ("row 240: exp is not after iat", Some(TokenCheck::Expired), |seen| {
        seen.number("exp").map(f64::trunc) <= seen.number("iat").map(f64::trunc)
    }),
    ("row 242: iat is missing or no date", Some(TokenCheck::IssuedAt), |seen| {
        seen.number("iat").is_none_or(|iat| iat.abs() > 9_007_199_254_740_992.0)
    }),
    ("row 242: iat in the future", Some(TokenCheck::IssuedAt), |seen| {
        seen.until("iat").is_some_and(|iat| iat.floor() > 120.0)
    }),
    ("row 243: iat long ago", Some(TokenCheck::IssuedAt), |seen| {
        seen.case.expect.age == Age::Fresh && seen.until("iat").is_some_and(|iat| iat.floor() < -300.0)
    }),
    ("row 247: nonce", Some(TokenCheck::Nonce), |seen| {
        seen.case.expect.nonce.is_some_and(|sent| seen.claim("nonce") != sent)
    }),
    ("row 249: auth_time is no date", Some(TokenCheck::AuthTime), |seen| {
        !seen.claim("auth_time").is_null() && seen.number("auth_time").is_none()
    }),
    ("row 249: max_age", Some(TokenCheck::AuthTime), |seen| {
        let age = seen.until("auth_time").map(|time| -time);
        seen.case.expect.max_age == Some(60) && age.is_none_or(|age| !(-120.0..=180.0).contains(&age.ceil()))
    }),
    ("row 250: acr", Some(TokenCheck::Acr), |seen| {
        !seen.case.expect.acr_values.is_empty() && seen.claim("acr") != "phr"
    }),
    ("row 251: at_hash of something else", Some(TokenCheck::AccessTokenHash), |seen| {
        let is_other = *seen.claim("at_hash") != at_hash(ACCESS_TOKEN);
        seen.case.expect.access_token.is_some() && !seen.claim("at_hash").is_null() && is_other
    }),
    ("row 252: no at_hash", Some(TokenCheck::AccessTokenHash), |seen| {
        let is_required = seen.case.expect.at_hash == AtHash::Required && seen.case.expect.access_token.is_some();
        is_required && seen.claim("at_hash").is_null()
    }),
];

/// The name of a rule, and when it is the reason.
type Looser = (&'static str, fn(&Seen<'_>) -> bool);

const LOOSER: &[Looser] = &[
    ("row 39: a byte order mark", |seen| seen.any_text(|text| text.starts_with("\u{feff}".as_bytes()))),
    ("row 45: a number beyond floats", |seen| seen.any_text(has_number_beyond_floats)),
    ("row 209: a mistyped member of the key", |seen| seen.named_keys().iter().any(|key| key["x5c"].is_number())),
    ("row 225: a mistyped member of the header that nobody reads", |seen| {
        let texts = ["cty", "jku", "x5u", "x5t", "enc", "zip"];
        let mistyped = texts.iter().any(|name| !matches!(seen.header[name], Json::Null | Json::String(_)));
        mistyped
            || !matches!(seen.header["jwk"], Json::Null | Json::Object(_))
            || !matches!(seen.header["x5c"], Json::Null | Json::Array(_))
    }),
    ("row 246: nbf is null, so absent", |seen| seen.payload.get("nbf").is_some_and(Json::is_null)),
    ("row 246: nbf before 1970", |seen| seen.number("nbf").is_some_and(|nbf| nbf < 0.0)),
    ("row 246: the fraction of nbf is cut off", |seen| seen.until("nbf").map(f64::trunc) == Some(120.0)),
];

/// What the two readers make of one token, as the name under which it is counted.
fn compare(
    case: &Case,
    published: &[Json],
    ours: &jwks::KeySet,
    theirs: &theirs::Keys,
) -> Result<&'static str, String> {
    let verdict = check_id_token(&case.token, ours, case.allowed, &case.expect);
    let theirs = theirs.check(&case.token, &case.expect);
    match (verdict, theirs) {
        (Verdict::Valid(ours), Ok(theirs)) => {
            let seen = Seen::new(case, published);
            match STRICTER.iter().find(|(_, _, holds)| holds(&seen)) {
                Some((name, ..)) => Err(format!("not refused: {name}")),
                None if is_same(&ours, &theirs) => Ok("both accept"),
                None => Err("different claims".to_owned()),
            }
        }
        (Verdict::UnknownKey | Verdict::Rejected(_), Err(_)) => Ok("both refuse"),
        (Verdict::Valid(_), Err(error)) => {
            let seen = Seen::new(case, published);
            let rule = LOOSER.iter().find(|(_, holds)| holds(&seen));
            rule.map(|(name, _)| *name).ok_or_else(|| format!("only we accept: {error}"))
        }
        (verdict, Ok(_)) => {
            let answer = if let Verdict::Rejected(check) = verdict { Some(check) } else { UNKNOWN_KEY };
            let seen = Seen::new(case, published);
            let rule = STRICTER.iter().find(|(_, check, holds)| *check == answer && holds(&seen));
            rule.map(|(name, ..)| *name).ok_or_else(|| format!("only they accept: {answer:?}"))
        }
    }
}

fn is_same(ours: &IdTokenClaims, theirs: &Json) -> bool {
    let audience = match &theirs["aud"] {
        Json::Array(audience) => audience.clone(),
        one => vec![one.clone()],
    };
    let date = |name: &str| theirs[name].as_f64().map(|date| date as i64);
    same_object(&ours.raw, theirs)
        && theirs["iss"] == ours.issuer.as_str()
        && theirs["sub"] == ours.subject.as_str()
        && json!(audience) == json!(ours.audience)
        && date("iat") == Some(ours.issued_at)
        && date("auth_time") == ours.auth_time
        && theirs["nonce"].as_str() == ours.nonce.as_deref()
}

#[test]
fn two_readers_agree_on_every_token_but_for_named_rules() {
    let seed = seed();
    let mut workshop = Workshop::new(seed);
    let published = workshop.published().to_vec();
    let (ours, theirs) = (key_set(&published), theirs::Keys::read(&published));
    let (mut outcomes, mut changes) = (BTreeMap::<&str, u32>::new(), BTreeMap::<&str, u32>::new());
    for number in 0..cases(4_000) {
        let case = workshop.next();
        match compare(&case, &published, &ours, &theirs) {
            Ok(name) => *outcomes.entry(name).or_default() += 1,
            Err(difference) => {
                let seen = Seen::new(&case, &published);
                panic!(
                    "SEED={seed}, case {number} ({:?}): {difference}\n{}\n{}\n{}\n{:?}",
                    case.changes, seen.header, seen.payload, case.token, case.expect.age,
                )
            }
        }
        for change in case.changes {
            *changes.entry(change).or_default() += 1;
        }
    }
    println!("SEED={seed}\n{outcomes:#?}\n{changes:#?}");
    let rules = STRICTER.iter().map(|(name, ..)| *name).chain(LOOSER.iter().map(|(name, _)| *name));
    let never = rules.filter(|name| !outcomes.contains_key(name)).collect::<Vec<_>>();
    assert!(never.is_empty(), "rules that no case met: {never:?}");
    assert!(outcomes["both accept"] > 500 && outcomes["both refuse"] > 500, "{outcomes:?}");
}

#[test]
fn a_seed_says_what_the_tokens_are() {
    let [mut one, mut same, mut other] = [1, 1, 2].map(Workshop::new);
    for _ in 0..100 {
        assert_eq!(one.next().token, same.next().token);
    }
    assert_ne!(one.next().token, other.next().token);
}

/// The other reader has to be able to say no as well.
#[test]
fn the_other_reader_verifies_what_is_published_and_nothing_else() {
    let all: Json = serde_json::from_str(include_str!("testdata/published.json")).unwrap();
    for name in ["RFC 7515 A.2", "RFC 7515 A.3", "RFC 7520 4.1", "RFC 9449 4.1"] {
        let token = all[name]["token"].as_str().unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let verifies = |input: &str, signature: &str| theirs::verifies(&all[name]["jwk"], input, signature);
        assert!(verifies(input, signature), "{name}");
        let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!verifies(input, &BASE64URL_NOPAD.encode(&changed)), "{name}: byte {at}");
        }
        assert!(!verifies(&input.replace("eyJ", "eyK"), signature), "{name}");
        assert!(!verifies(input, &BASE64URL_NOPAD.encode(&[&[0], bytes.as_slice()].concat())), "{name}");
    }
}

#[test]
fn two_libraries_give_a_key_the_same_thumbprint() {
    let workshop = Workshop::new(seed());
    let bytes = |text: &Json| BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let mut compared = 0;
    for key in workshop.published() {
        let ours = match key["kty"].as_str() {
            // The zero in front is what the two treat differently; row 207 has a test of its own.
            Some("RSA") if bytes(&key["n"])[0] != 0 && key["kid"] != "odd" => {
                thumbprint::rsa(&bytes(&key["n"]), &bytes(&key["e"]))
            }
            Some("EC") if key["crv"] == "P-256" => thumbprint::p256(&bytes(&key["x"]), &bytes(&key["y"])),
            _ => continue,
        };
        assert_eq!(ours, theirs::thumbprint(key), "{key}");
        compared += 1;
    }
    assert!(compared > 10);
}
