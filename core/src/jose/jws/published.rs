//! The examples of RFC 7515, 7517, 7518, 7520, 7638 and 9449: keys, signatures and thumbprints that others computed.
//!
//! Most of these tokens have no `kid` or are no ID tokens, so they come in below the header rules, and what the header
//! rules say of them is checked beside. That a text is the RFC's own shows in that its signature verifies.

use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};
use serde_json::{Value as Json, json};

use super::*;
use crate::jose::jwks::{Found, KeySet, parse_keys};
use crate::jose::tests::{expect, key_set, object};
use crate::jose::{Verdict, check_id_token};

const BOTH: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256];

fn example(name: &str) -> Json {
    let all: Json = serde_json::from_str(include_str!("../testdata/published.json")).unwrap();
    all[name].clone()
}

fn token(name: &str) -> String {
    example(name)["token"].as_str().unwrap().to_owned()
}

fn bytes(json: &Json) -> Vec<u8> {
    BASE64URL_NOPAD.decode(json.as_str().unwrap().as_bytes()).unwrap()
}

fn with(key: &Json, name: &str, value: impl Into<Json>) -> Json {
    let mut key = key.clone();
    key[name] = value.into();
    key
}

/// The published key of an example, made findable.
fn keys(name: &str) -> KeySet {
    key_set(&[with(&example(name)["jwk"], "kid", "published")])
}

/// The signature alone, as it is checked after the header.
fn verify(keys: &KeySet, alg: Algorithm, signing_input: &[u8], signature: &[u8]) -> Result<(), TokenCheck> {
    let Found::One(key) = keys.find("published", alg) else { panic!("no usable key") };
    let (kid, signature, payload) = ("published".to_owned(), signature.to_vec(), Zeroizing::default());
    key.verify(&Jws { kid, alg, signing_input, signature, payload })
}

fn signed_parts(token: &str) -> (Vec<u8>, Vec<u8>) {
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    (signing_input.as_bytes().to_vec(), BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap())
}

/// Row 227, on signatures of somebody else: RFC 7515 appendices A.2 and A.3, RFC 7520 §4.1, RFC 9449 §4.1.
#[test]
fn published_signatures_verify_and_with_one_changed_byte_they_do_not() {
    for (name, alg) in [
        ("RFC 7515 A.2", Algorithm::Rs256),
        ("RFC 7515 A.3", Algorithm::Es256),
        ("RFC 7520 4.1", Algorithm::Rs256),
        ("RFC 9449 4.1", Algorithm::Es256),
    ] {
        let keys = keys(name);
        let (signing_input, signature) = signed_parts(&token(name));
        assert_eq!(verify(&keys, alg, &signing_input, &signature), Ok(()), "{name}");
        for at in 0..signing_input.len() {
            let mut changed = signing_input.clone();
            changed[at] ^= 1;
            assert_eq!(verify(&keys, alg, &changed, &signature), Err(TokenCheck::Signature), "{name}: byte {at}");
        }
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert_eq!(verify(&keys, alg, &signing_input, &changed), Err(TokenCheck::Signature), "{name}: byte {at}");
        }
    }
}

#[test]
fn the_payload_of_rfc_7515_is_read_as_it_is_written() {
    // Line breaks inside the JSON, and a claim whose name is a URI.
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"x"}"#);
    let original = token("RFC 7515 A.2");
    let payload = original.split('.').nth(1).unwrap();
    let claims = parse(&format!("{header}.{payload}.AAAA"), BOTH).ok().unwrap().into_payload().unwrap();
    assert_eq!((claims.str("iss"), claims.i64("exp")), (Some("joe"), Some(1_300_819_380)));
    assert!(matches!(claims.get("http://example.com/is_root"), Some(crate::wire::json::Value::Bool(true))));
}

/// Rows 217–219: RFC 7515 appendices A.1 (HS256), A.4 (ES512) and A.5 (none), each with its own key in the set.
#[test]
fn published_tokens_of_other_algorithms_are_refused_by_the_list() {
    let (signing_input, tag) = signed_parts(&token("RFC 7515 A.1"));
    let secret = bytes(&example("RFC 7515 A.1")["jwk"]["k"]);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signing_input, &tag).expect("the RFC's own MAC");

    for name in ["RFC 7515 A.1", "RFC 7515 A.4", "RFC 7515 A.5"] {
        assert_eq!(parse(&token(name), BOTH).err(), Some(TokenCheck::Algorithm), "{name}");
        let key = with(&example(name)["jwk"], "kid", "published");
        let verdict = check_id_token(&token(name), &key_set(&[key]), BOTH, &expect());
        assert!(matches!(verdict, Verdict::Rejected(TokenCheck::Algorithm)), "{name}: {verdict:?}");
    }
    // Row 222: what is allowed stumbles over the next rule.
    for name in ["RFC 7515 A.2", "RFC 7515 A.3"] {
        assert_eq!(parse(&token(name), BOTH).err(), Some(TokenCheck::KeyId), "{name}");
    }
}

/// Row 231: RFC 7520 §4.1 has a `kid`, so it comes in through the front door; what it signs is prose.
#[test]
fn the_cookbook_verifies_and_is_no_id_token() {
    let (keys, token) = (key_set(&[example("RFC 7520 4.1")["jwk"].clone()]), token("RFC 7520 4.1"));
    let jws = parse(&token, BOTH).ok().unwrap();
    let Found::One(key) = keys.find("bilbo.baggins@hobbiton.example", jws.alg) else { panic!("no usable key") };
    assert_eq!(key.verify(&jws), Ok(()));
    assert!(jws.payload.starts_with("It\u{2019}s a dangerous business, Frodo".as_bytes()));
    assert_eq!(jws.into_payload().err(), Some(TokenCheck::Malformed));
    let verdict = check_id_token(&token, &keys, BOTH, &expect());
    assert!(matches!(verdict, Verdict::Rejected(TokenCheck::Malformed)), "{verdict:?}");
}

/// Rows 225 and 226: the DPoP proof of RFC 9449 §4.1 is signed by the key that its own header carries.
#[test]
fn a_proof_with_its_key_in_the_header_is_refused_by_its_type() {
    assert_eq!(parse(&token("RFC 9449 4.1"), BOTH).err(), Some(TokenCheck::Type));
}

/// RFC 7518 §3.4: the signature is R and S side by side, 32 bytes each.
#[test]
fn an_es256_signature_has_exactly_64_bytes() {
    let (keys, (signing_input, signature)) = (keys("RFC 7515 A.3"), signed_parts(&token("RFC 7515 A.3")));
    let refused = |signature: &[u8]| verify(&keys, Algorithm::Es256, &signing_input, signature).is_err();
    assert!(!refused(&signature));

    let der = der(&signature);
    let jwk = &example("RFC 7515 A.3")["jwk"];
    let point = [vec![4], bytes(&jwk["x"]), bytes(&jwk["y"])].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&signing_input, &der).expect("the same in DER");
    assert!(refused(&der));

    let (r, s) = signature.split_at(32);
    let zero = [0; 32];
    for (what, other) in [
        ("nothing", vec![]),
        ("a byte too few", signature[..63].to_vec()),
        ("a byte too many", [&signature, [0].as_slice()].concat()),
        ("a zero before each half", [&[0], r, &[0], s].concat()),
        ("halves exchanged", [s, r].concat()),
        ("R is zero", [&zero, s].concat()),
        ("S is zero", [r, &zero].concat()),
        ("both are zero", vec![0; 64]),
        ("both are beyond the order", vec![0xff; 64]),
    ] {
        assert!(refused(&other), "{what}");
    }
}

/// `ECDSA-Sig-Value` of RFC 3279 §2.2.3.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let digits = half.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
        let sign = if digits[0] >= 0x80 { vec![0] } else { vec![] };
        [vec![2, u8::try_from(sign.len() + digits.len()).unwrap()], sign, digits].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

fn set(name: &str) -> KeySet {
    parse_keys(&object(&example(name))).unwrap()
}

fn has(set: &KeySet, kid: &str, alg: Algorithm) -> bool {
    matches!(set.find(kid, alg), Found::One(_))
}

const RSA_KID: &str = "2011-04-29";

#[test]
fn the_public_keys_of_rfc_7517_a1_are_taken() {
    let published = set("RFC 7517 A.1");
    assert!(has(&published, RSA_KID, Algorithm::Rs256) && !has(&published, RSA_KID, Algorithm::Es256));
    // Row 212: the EC key of the example is for encryption.
    assert!(!has(&published, "1", Algorithm::Es256));
    let ec = with(&example("RFC 7517 A.1")["keys"][0], "use", "sig");
    assert!(has(&key_set(&[ec]), "1", Algorithm::Es256));
}

/// RFC 7517 A.2 publishes the private halves: signatures made with them verify, and the members are not read.
#[test]
fn private_members_of_a_key_do_not_matter() {
    let [ec, rsa] = [0, 1].map(|at| example("RFC 7517 A.2")["keys"][at].clone());
    let input = b"a text that no RFC has";
    let random = SystemRandom::new();

    let public_key = PublicKeyComponents { n: bytes(&rsa["n"]), e: bytes(&rsa["e"]) };
    let member = |name: &str| bytes(&rsa[name]);
    let components = KeyPairComponents {
        public_key,
        d: member("d"),
        p: member("p"),
        q: member("q"),
        dP: member("dp"),
        dQ: member("dq"),
        qInv: member("qi"),
    };
    let private = RsaKeyPair::from_components(&components).unwrap();
    let mut by_rsa = vec![0; private.public().modulus_len()];
    private.sign(&RSA_PKCS1_SHA256, &random, input, &mut by_rsa).unwrap();

    let point = [vec![4], bytes(&ec["x"]), bytes(&ec["y"])].concat();
    let (signing, scalar) = (&ECDSA_P256_SHA256_FIXED_SIGNING, bytes(&ec["d"]));
    let private = EcdsaKeyPair::from_private_key_and_public_key(signing, &scalar, &point, &random).unwrap();
    let by_ec = private.sign(&random, input).unwrap().as_ref().to_vec();

    for (key, alg, signature) in [(rsa, Algorithm::Rs256, by_rsa), (with(&ec, "use", "sig"), Algorithm::Es256, by_ec)] {
        let key = with(&key, "kid", "published");
        let mut public = key.clone();
        public.as_object_mut().unwrap().retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
        assert_ne!(public, key);
        let mut broken = key.clone();
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            broken[private] = json!({"not": ["a", "number"]});
        }
        for key in [key, public, broken] {
            assert_eq!(verify(&key_set(&[key]), alg, input, &signature), Ok(()), "{alg:?}");
        }
    }
}

/// Row 209: a symmetric key in a set of public keys is passed over, whatever the token says.
#[test]
fn the_symmetric_keys_of_rfc_7517_a3_are_ignored() {
    let kid = "HMAC key used in JWS spec Appendix A.1 example";
    let keys = ["RFC 7517 A.3", "RFC 7517 A.1"].map(|name| example(name)["keys"].as_array().unwrap().clone());
    let keys = key_set(&keys.concat());
    for alg in [Algorithm::Rs256, Algorithm::Es256] {
        assert!(matches!(keys.find(kid, alg), Found::None));
    }
    assert!(has(&keys, RSA_KID, Algorithm::Rs256));
}

/// Row 225, for keys: RFC 7517 appendix B. The certificate speaks of the same key, and is not read.
#[test]
fn the_certificate_beside_a_key_is_not_read() {
    let key = example("RFC 7517 B");
    let certificate = data_encoding::BASE64.decode(key["x5c"][0].as_str().unwrap().as_bytes()).unwrap();
    let n = bytes(&key["n"]);
    assert!(certificate.windows(n.len()).any(|window| window == n), "the RFC's certificate has the RFC's key");
    assert!(has(&key_set(std::slice::from_ref(&key)), "1b94c", Algorithm::Rs256));
    for other in [json!(["AAAA"]), json!(7), json!([])] {
        assert!(has(&key_set(&[with(&key, "x5c", other)]), "1b94c", Algorithm::Rs256));
    }
}

/// RFC 7638 §3.1, and the `jkt` that RFC 9449 §6.1 gives for the key of its §4.1.
#[test]
fn published_thumbprints() {
    use crate::jose::thumbprint;
    let rsa = example("RFC 7638 3.1");
    assert_eq!(thumbprint::rsa(&bytes(&rsa["jwk"]["n"]), &bytes(&rsa["jwk"]["e"])), rsa["thumbprint"]);
    let ec = example("RFC 9449 4.1");
    assert_eq!(thumbprint::p256(&bytes(&ec["jwk"]["x"]), &bytes(&ec["jwk"]["y"])), ec["thumbprint"]);
}
