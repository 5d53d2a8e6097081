use serde_json::{Value as Json, json};

use super::*;
use crate::jose::tests::{ec_jwk, key_set, object, rsa_jwk};

const RSA_A: &[u8] = include_bytes!("../testdata/rsa-a.pk8.der");
const RSA_B: &[u8] = include_bytes!("../testdata/rsa-b.pk8.der");

/// Whether the set has an RS256 key `a` after `change` was made to it.
fn is_usable(change: impl FnOnce(&mut Json)) -> bool {
    let mut key = rsa_jwk("a", RSA_A);
    change(&mut key);
    matches!(key_set(&[key]).find("a", Algorithm::Rs256), Found::One(_))
}

fn is_usable_with(name: &str, value: impl Into<Json>) -> bool {
    is_usable(|key| key[name] = value.into())
}

fn is_usable_without(name: &str) -> bool {
    is_usable(|key| drop(key.as_object_mut().unwrap().remove(name)))
}

fn modulus(bits: usize) -> String {
    let mut bytes = vec![0xff; bits.div_ceil(8)];
    bytes[0] = 0xff >> (bytes.len() * 8 - bits);
    BASE64URL_NOPAD.encode(&bytes)
}

#[test]
fn row_212_a_key_for_something_else_is_not_eligible() {
    assert!(is_usable(|_| ()));
    assert!(is_usable_without("use") && is_usable_without("alg"));
    assert!(is_usable_with("key_ops", json!(["verify"])) && is_usable_with("key_ops", json!(["sign", "verify"])));
    let others = [
        ("use", json!("enc")),
        ("use", json!("SIG")),
        ("use", json!(7)),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!([])),
        ("key_ops", json!("verify")),
        ("alg", json!("RS512")),
        ("alg", json!("PS256")),
        ("alg", json!("RSA-OAEP")),
        ("alg", json!("ES256")),
        ("alg", json!(null)),
    ];
    for (name, value) in others {
        assert!(!is_usable_with(name, value.clone()), "{name}: {value}");
    }
}

#[test]
fn row_209_unknown_keys_and_members_are_ignored() {
    assert!(is_usable_with("x5t", json!("abc")) && is_usable_with("new", json!({"deep": [1]})));
    for kty in [json!("oct"), json!("OKP"), json!("rsa"), json!(7), json!(null)] {
        assert!(!is_usable_with("kty", kty.clone()), "{kty}");
    }
    assert!(
        !is_usable_without("kty") && !is_usable_without("n") && !is_usable_without("e") && !is_usable_without("kid")
    );
}

#[test]
fn weak_or_damaged_rsa_keys_are_skipped() {
    for bits in [2048, 2049, 4096, 8192] {
        assert!(is_usable_with("n", modulus(bits)), "{bits}");
    }
    for bits in [1, 1024, 2047, 8193, 16_384] {
        assert!(!is_usable_with("n", modulus(bits)), "{bits}");
    }
    let zeros = |count| BASE64URL_NOPAD.encode(&[vec![0; count], vec![0xff; 128]].concat());
    assert!(!is_usable_with("n", zeros(256)), "1024 bits behind zeros");
    for n in ["", "AA", "not base64!", "AAA="] {
        assert!(!is_usable_with("n", n), "{n}");
    }
    // 3, 65537
    assert!(is_usable_with("e", "Aw") && is_usable_with("e", "AQAB") && is_usable_with("e", "AAEAAQ"));
    // nothing, 0, 1, 2, 65536, 2^32 + 1
    for e in ["", "AA", "AQ", "Ag", "AQAA", "AQAAAAE"] {
        assert!(!is_usable_with("e", e), "{e}");
    }
}

#[test]
fn a_zero_before_the_modulus_changes_nothing() {
    let n = BASE64URL_NOPAD.decode(rsa_jwk("a", RSA_A)["n"].as_str().unwrap().as_bytes()).unwrap();
    let padded = BASE64URL_NOPAD.encode(&[&[0], n.as_slice()].concat());
    let mut key = rsa_jwk("a", RSA_A);
    key["n"] = padded.into();
    let set = key_set(&[key]);
    let Found::One(Key { material: Material::Rsa(components), .. }) = set.find("a", Algorithm::Rs256) else {
        panic!("one")
    };
    assert_eq!(components.n, n);
}

#[test]
fn p256_keys_are_for_es256_only() {
    let found = |key: Json, alg| matches!(key_set(&[key]).find("e", alg), Found::One(_));
    assert!(found(ec_jwk("e"), Algorithm::Es256));
    assert!(!found(ec_jwk("e"), Algorithm::Rs256));
    for (name, value) in [("crv", "P-384"), ("crv", ""), ("x", "AAAA"), ("y", ""), ("alg", "RS256"), ("use", "enc")] {
        let mut key = ec_jwk("e");
        key[name] = value.into();
        assert!(!found(key, Algorithm::Es256), "{name}: {value}");
    }
}

#[test]
fn row_207_two_usable_keys_under_one_kid_are_ambiguous() {
    let set = key_set(&[rsa_jwk("a", RSA_A), rsa_jwk("a", RSA_B), ec_jwk("a")]);
    assert!(matches!(set.find("a", Algorithm::Rs256), Found::Ambiguous));
    assert!(matches!(set.find("a", Algorithm::Es256), Found::One(_)));
    assert!(matches!(set.find("b", Algorithm::Rs256), Found::None));
}

#[test]
fn row_207_the_same_key_listed_twice_is_one_key() {
    let found = |keys: &[Json], alg| match key_set(keys).find("a", alg) {
        Found::One(_) => "one",
        Found::None => "none",
        Found::Ambiguous => "ambiguous",
    };
    let (rsa, other_rsa, ec) = (rsa_jwk("a", RSA_A), rsa_jwk("a", RSA_B), ec_jwk("a"));
    let with = |key: &Json, name: &str, value: Json| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    // However the second entry is written, it is the same number.
    let n = BASE64URL_NOPAD.decode(rsa["n"].as_str().unwrap().as_bytes()).unwrap();
    let padded = with(&rsa, "n", BASE64URL_NOPAD.encode(&[&[0], n.as_slice()].concat()).into());
    let renamed = with(&rsa, "x5t", json!("abc"));
    for same in [&rsa, &padded, &renamed, &with(&rsa, "e", json!("AAEAAQ"))] {
        assert_eq!(found(&[rsa.clone(), same.clone(), rsa.clone()], Algorithm::Rs256), "one", "{same}");
        assert_eq!(found(&[same.clone(), other_rsa.clone(), rsa.clone()], Algorithm::Rs256), "ambiguous", "{same}");
        assert_eq!(found(&[rsa.clone(), same.clone(), other_rsa.clone()], Algorithm::Rs256), "ambiguous", "{same}");
    }
    // Another exponent under the same modulus is another key.
    assert_eq!(found(&[rsa.clone(), with(&rsa, "e", json!("Aw"))], Algorithm::Rs256), "ambiguous");
    assert_eq!(found(&[ec.clone(), ec.clone()], Algorithm::Es256), "one");
    for coordinate in ["x", "y"] {
        let other = with(&ec, coordinate, BASE64URL_NOPAD.encode(&[7; 32]).into());
        assert_eq!(found(&[ec.clone(), other], Algorithm::Es256), "ambiguous", "{coordinate}");
    }
}

#[test]
fn row_213_a_set_is_an_array_of_at_most_64_keys() {
    let set = |keys: Json| parse_keys(&object(&json!({ "keys": keys })));
    for no_set in [json!({}), json!("x"), json!(null), json!(vec![json!({}); 65]), json!(vec![json!({}); 10_000])] {
        assert!(set(no_set).is_none());
    }
    assert!(parse_keys(&object(&json!({}))).is_none());
    assert!(set(json!([])).is_some());
    let mut keys = vec![json!({}); 63];
    keys.push(rsa_jwk("a", RSA_A));
    assert!(matches!(set(json!(keys)).unwrap().find("a", Algorithm::Rs256), Found::One(_)));
}
