//! Rows 205–261 of docs/protocol.md §7.H and §7.I on whole tokens, signed here or by somebody else.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value as Json, json};

use super::id_token::{Age, AtHash, Expect};
use super::*;
use crate::wire::json::{Limits, Object, parse_object};

const RSA_A: &[u8] = include_bytes!("testdata/rsa-a.pk8.der");
const RSA_B: &[u8] = include_bytes!("testdata/rsa-b.pk8.der");
const P256: &[u8] = include_bytes!("testdata/p256.pk8.der");

const RS256_ONLY: &[Algorithm] = &[Algorithm::Rs256];
const BOTH: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256];

pub(super) const NOW: i64 = 1_700_000_000;
pub(super) const ISSUER: &str = "https://acme.example/oauth2/default";
pub(super) const CLIENT: &str = "0oa1b2c3";
pub(super) const ACCESS_TOKEN: &str = "access-token";

pub(super) fn expect() -> Expect<'static> {
    Expect {
        issuer: ISSUER,
        client_id: CLIENT,
        access_token: Some(ACCESS_TOKEN),
        at_hash: AtHash::Required,
        now: NOW,
        nonce: None,
        max_age: None,
        acr_values: &[],
        age: Age::Fresh,
        previous: None,
    }
}

/// What Okta sends.
pub(super) fn claims() -> Json {
    json!({
        "iss": ISSUER, "sub": "00u1", "aud": CLIENT, "iat": NOW, "exp": NOW + 3600, "auth_time": NOW - 2,
        "ver": 1, "jti": "ID.1", "idp": "00o1", "amr": ["pwd", "swk", "mfa"], "at_hash": at_hash(ACCESS_TOKEN),
        "name": "Ana", "preferred_username": "ana@acme.example", "email": "ana@acme.example",
    })
}

pub(super) fn at_hash(access_token: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, access_token.as_bytes());
    BASE64URL_NOPAD.encode(&hash.as_ref()[..16])
}

pub(super) fn object(json: &Json) -> Object {
    parse_object(json.to_string().as_bytes(), Limits::default()).unwrap()
}

pub(super) fn rsa_jwk(kid: &str, key: &[u8]) -> Json {
    let RsaPublicKeyComponents { n, e } =
        RsaPublicKeyComponents::<Vec<u8>>::from(RsaKeyPair::from_pkcs8(key).unwrap().public_key());
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
        "n": BASE64URL_NOPAD.encode(&n), "e": BASE64URL_NOPAD.encode(&e)})
}

pub(super) fn ec_jwk(kid: &str) -> Json {
    let point = p256().public_key().as_ref().to_vec();
    json!({"kty": "EC", "crv": "P-256", "kid": kid,
        "x": BASE64URL_NOPAD.encode(&point[1..33]), "y": BASE64URL_NOPAD.encode(&point[33..])})
}

fn p256() -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, P256, &SystemRandom::new()).unwrap()
}

pub(super) fn key_set(keys: &[Json]) -> KeySet {
    jwks::parse_keys(&object(&json!({"keys": keys}))).unwrap()
}

/// Keys `a` (RSA), `b` (RSA) and `e` (P-256).
fn keys() -> KeySet {
    key_set(&[rsa_jwk("a", RSA_A), rsa_jwk("b", RSA_B), ec_jwk("e")])
}

fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(payload.as_bytes()))
}

fn rsa_signature(key: &[u8], padding: &'static dyn ring::signature::RsaEncoding, input: &str) -> Vec<u8> {
    let key = RsaKeyPair::from_pkcs8(key).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    signature
}

/// A token signed with RSA key `a`, whatever its texts are.
fn signed_text(header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let signature = BASE64URL_NOPAD.encode(&rsa_signature(RSA_A, &RSA_PKCS1_SHA256, &input));
    format!("{input}.{signature}")
}

fn signed(header: &Json, payload: &Json) -> String {
    signed_text(&header.to_string(), &payload.to_string())
}

fn header() -> Json {
    json!({"alg": "RS256", "kid": "a"})
}

fn header_with(name: &str, value: impl Into<Json>) -> Json {
    let mut header = header();
    header[name] = value.into();
    header
}

fn check(token: &str) -> Verdict {
    check_id_token(token, &keys(), RS256_ONLY, &expect())
}

fn assert_rejected(row: u16, verdict: Verdict, expected: TokenCheck) {
    match verdict {
        Verdict::Rejected(check) => assert_eq!(check, expected, "row {row}"),
        other => panic!("row {row}: {other:?}"),
    }
}

#[test]
fn a_token_as_okta_sends_it_is_valid() {
    let Verdict::Valid(claims) = check(&signed(&header(), &claims())) else { panic!("valid") };
    assert_eq!((claims.issuer.as_str(), claims.subject.as_str()), (ISSUER, "00u1"));
    assert_eq!(claims.audience, [CLIENT]);
    assert_eq!((claims.issued_at, claims.auth_time, claims.nonce), (NOW, Some(NOW - 2), None));
    assert_eq!((claims.raw.str("name"), claims.raw.str("jti")), (Some("Ana"), Some("ID.1")));
}

#[test]
fn a_token_signed_by_openssl_is_valid() {
    let keys = parse_object(include_bytes!("testdata/openssl.jwks.json"), Limits::default()).unwrap();
    let keys = jwks::parse_keys(&keys).unwrap();
    let expect = Expect { access_token: Some("openssl-access-token"), ..expect() };
    let verdict = check_id_token(include_str!("testdata/openssl.jwt"), &keys, RS256_ONLY, &expect);
    assert!(matches!(verdict, Verdict::Valid(claims) if claims.subject == "00u1"));
}

#[test]
fn rows_217_to_219_an_algorithm_outside_the_list_is_refused_before_any_key_is_looked_at() {
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        // An unknown key shows that none was looked for.
        let input = signing_input(&json!({"alg": alg, "kid": "unknown"}).to_string(), &claims().to_string());
        assert_rejected(217, check(&format!("{input}.")), TokenCheck::Algorithm);
    }
    let modulus = BASE64URL_NOPAD.decode(rsa_jwk("a", RSA_A)["n"].as_str().unwrap().as_bytes()).unwrap();
    let input = signing_input(&json!({"alg": "HS256", "kid": "a"}).to_string(), &claims().to_string());
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &modulus), input.as_bytes());
    assert_rejected(218, check(&format!("{input}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))), TokenCheck::Algorithm);
    for alg in ["RS512", "PS256", "ES256", "rs256", "RS256 "] {
        assert_rejected(219, check(&signed(&json!({"alg": alg, "kid": "unknown"}), &claims())), TokenCheck::Algorithm);
    }
    for header in [json!({"kid": "a"}), header_with("alg", 7), header_with("alg", Json::Null)] {
        assert_rejected(217, check(&signed(&header, &claims())), TokenCheck::Algorithm);
    }
    let input = signing_input(&header().to_string(), &claims().to_string());
    let sha512 = BASE64URL_NOPAD.encode(&rsa_signature(RSA_A, &RSA_PKCS1_SHA512, &input));
    assert_rejected(219, check(&format!("{input}.{sha512}")), TokenCheck::Signature);
}

#[test]
fn row_219_es256_is_valid_only_where_it_is_allowed() {
    let header = json!({"alg": "ES256", "kid": "e", "typ": "JWT"});
    let input = signing_input(&header.to_string(), &claims().to_string());
    let signature = p256().sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    let token = format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref()));
    assert!(matches!(check_id_token(&token, &keys(), BOTH, &expect()), Verdict::Valid(_)));
    assert_rejected(219, check(&token), TokenCheck::Algorithm);
    // The same kid, but a key of the other type.
    let confused = signed(&json!({"alg": "ES256", "kid": "a"}), &claims());
    assert!(matches!(check_id_token(&confused, &keys(), BOTH, &expect()), Verdict::UnknownKey));
}

#[test]
fn rows_205_to_209_the_key_must_be_the_one_that_the_token_names() {
    let token = signed(&header(), &claims());
    let verdict = |keys: &[Json]| check_id_token(&token, &key_set(keys), RS256_ONLY, &expect());
    let key = rsa_jwk("a", RSA_A);
    let keyless = {
        let mut key = key.clone();
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let encryption = {
        let mut key = key.clone();
        key["use"] = "enc".into();
        key
    };

    assert!(matches!(verdict(&[]), Verdict::UnknownKey), "row 205");
    assert!(matches!(verdict(&[rsa_jwk("b", RSA_A)]), Verdict::UnknownKey), "row 205");
    assert_rejected(207, verdict(&[key.clone(), rsa_jwk("a", RSA_B)]), TokenCheck::KeyId);
    assert!(matches!(verdict(&[key.clone(), key.clone()]), Verdict::Valid(_)), "row 207: one key, listed twice");
    assert_rejected(207, verdict(&[key.clone(), key.clone(), rsa_jwk("a", RSA_B)]), TokenCheck::KeyId);
    assert!(matches!(verdict(&[key.clone(), encryption, ec_jwk("a")]), Verdict::Valid(_)), "row 207");
    assert!(matches!(verdict(&[keyless]), Verdict::UnknownKey), "row 208");
    let others = [json!({"kty": "oct", "kid": "a", "k": "AAAA"}), json!({"kty": "new", "kid": "a"}), json!(7)];
    assert!(matches!(verdict(&[&others[..], &[key]].concat()), Verdict::Valid(_)), "row 209");
}

#[test]
fn row_221_another_key_of_the_set_does_not_verify() {
    assert_rejected(221, check(&signed(&header_with("kid", "b"), &claims())), TokenCheck::Signature);
}

#[test]
fn rows_222_and_223_kid_is_required_and_only_a_name() {
    assert_rejected(222, check(&signed(&json!({"alg": "RS256"}), &claims())), TokenCheck::KeyId);
    assert_rejected(222, check(&signed(&header_with("kid", 7), &claims())), TokenCheck::KeyId);
    assert_rejected(223, check(&signed(&header_with("kid", "k".repeat(10_000)), &claims())), TokenCheck::KeyId);
    for kid in ["../../x", "\u{1f511}", "a'; --", "k", " a", "A"] {
        assert!(matches!(check(&signed(&header_with("kid", kid), &claims())), Verdict::UnknownKey), "row 223: {kid}");
        let found = check_id_token(
            &signed(&header_with("kid", kid), &claims()),
            &key_set(&[rsa_jwk(kid, RSA_A)]),
            RS256_ONLY,
            &expect(),
        );
        assert!(matches!(found, Verdict::Valid(_)), "row 223: {kid}");
    }
}

#[test]
fn row_225_members_that_carry_a_key_are_not_read() {
    let mut header = header();
    header["jku"] = "https://evil.example/keys".into();
    header["x5u"] = 7.into();
    header["jwk"] = rsa_jwk("a", RSA_B);
    header["x5c"] = json!(["AAAA"]);
    assert!(matches!(check(&signed(&header, &claims())), Verdict::Valid(_)));
    let input = signing_input(&header.to_string(), &claims().to_string());
    let theirs = BASE64URL_NOPAD.encode(&rsa_signature(RSA_B, &RSA_PKCS1_SHA256, &input));
    assert_rejected(225, check(&format!("{input}.{theirs}")), TokenCheck::Signature);
}

#[test]
fn row_226_another_type_of_token_is_refused() {
    for typ in [json!("at+jwt"), json!("dpop+jwt"), json!("logout+jwt"), json!(""), json!(7), json!(null)] {
        assert_rejected(226, check(&signed(&header_with("typ", typ), &claims())), TokenCheck::Type);
    }
    for typ in ["JWT", "jwt"] {
        assert!(matches!(check(&signed(&header_with("typ", typ), &claims())), Verdict::Valid(_)), "row 226: {typ}");
    }
}

#[test]
fn a_critical_header_is_refused_even_if_it_names_nothing() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
        assert_rejected(226, check(&signed(&header_with("crit", crit), &claims())), TokenCheck::Critical);
    }
}

#[test]
fn row_227_a_changed_token_does_not_verify() {
    let token = signed(&header(), &claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    assert_rejected(227, check(&format!("{input}.")), TokenCheck::Signature);
    assert_rejected(227, check(&format!("{token}==")), TokenCheck::Malformed);
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    for bit in [0, 7, 8, 1000, 2047] {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_rejected(227, check(&format!("{input}.{}", BASE64URL_NOPAD.encode(&flipped))), TokenCheck::Signature);
    }
    for wrong_length in [[&[0], bytes.as_slice()].concat(), bytes[1..].to_vec(), [bytes.as_slice(), &[0]].concat()] {
        assert_rejected(
            227,
            check(&format!("{input}.{}", BASE64URL_NOPAD.encode(&wrong_length))),
            TokenCheck::Signature,
        );
    }
    let mut other = claims();
    other["sub"] = "00u2".into();
    let swapped = signing_input(&header().to_string(), &other.to_string());
    assert_rejected(227, check(&format!("{swapped}.{signature}")), TokenCheck::Signature);
}

#[test]
fn rows_230_and_231_names_are_unique_and_both_parts_are_objects() {
    let payload = claims().to_string();
    for duplicate in
        [r#","sub":"00u1"}"#, r#","aud":"0oa1b2c3"}"#, r#","s\u0075b":"00u1"}"#, r#","address":{"a":1,"a":1}}"#]
    {
        let payload = payload.replacen('}', "", 1) + duplicate;
        assert_rejected(230, check(&signed_text(&header().to_string(), &payload)), TokenCheck::Malformed);
    }
    assert_rejected(
        230,
        check(&signed_text(r#"{"alg":"RS256","alg":"RS256","kid":"a"}"#, &payload)),
        TokenCheck::Malformed,
    );
    for not_an_object in ["", "[]", "\"x\"", "null", "{", "{}x"] {
        assert_rejected(231, check(&signed_text(&header().to_string(), not_an_object)), TokenCheck::Malformed);
        assert_rejected(231, check(&signed_text(not_an_object, &payload)), TokenCheck::Malformed);
    }
}

#[test]
fn the_signature_is_looked_at_before_the_claims() {
    // Payload damaged and signature wrong: the claims of somebody else are not even parsed.
    let input = signing_input(&header().to_string(), "not JSON");
    assert_rejected(231, check(&format!("{input}.AAAA")), TokenCheck::Signature);
}

#[test]
fn a_failed_claim_is_reported_as_such() {
    let mut other = claims();
    other["iss"] = "https://evil.example".into();
    assert_rejected(232, check(&signed(&header(), &other)), TokenCheck::Issuer);
}
