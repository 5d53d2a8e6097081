//! What can be prescribed about tokens: for every row of protocol.md §7.I, and 100 and 103, an answer that differs from
//! a good one in that and in nothing else.

use crate::common::*;
use data_encoding::BASE64URL_NOPAD;
use ring::{hmac, signature};
use serde_json::{Value, json};

impl Bench {
    /// A sign-in whose answer is prescribed: `tokens` of the rule.
    async fn prescribed(&self, tokens: Value) -> Value {
        let rule = json!({"on": "token", "answer": {"tokens": tokens}});
        self.tenant.script(serde_json::from_value(rule).unwrap());
        self.password(BEN).await.ok()
    }

    async fn id_token(&self, mutation: Value) -> Jwt {
        let tokens = self.prescribed(json!({ "id_token": mutation })).await;
        Jwt { text: tokens["id_token"].as_str().unwrap().to_owned(), at_hash: hash(&tokens["access_token"]) }
    }

    async fn keys(&self) -> Value {
        self.client.get(&self.endpoint("keys"), &[]).await.ok()
    }
}

struct Jwt {
    text: String,
    /// What it should be.
    at_hash: Value,
}

impl Jwt {
    fn part(&self, index: usize) -> &str {
        self.text.split('.').nth(index).unwrap()
    }

    fn decoded(&self, index: usize) -> Vec<u8> {
        BASE64URL_NOPAD.decode(self.part(index).as_bytes()).unwrap()
    }

    fn text(&self, index: usize) -> String {
        String::from_utf8(self.decoded(index)).unwrap()
    }

    fn header(&self) -> Value {
        serde_json::from_slice(&self.decoded(0)).unwrap()
    }

    fn claims(&self) -> Value {
        serde_json::from_slice(&self.decoded(1)).unwrap()
    }

    fn message(&self) -> &[u8] {
        self.text.rsplit_once('.').unwrap().0.as_bytes()
    }

    fn is_signed_by(&self, how: &signature::RsaParameters, key: &Value) -> bool {
        let part = |name: &str| BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes()).unwrap();
        let public = signature::RsaPublicKeyComponents { n: part("n"), e: part("e") };
        public.verify(how, self.message(), &self.decoded(2)).is_ok()
    }
}

fn hash(token: &Value) -> Value {
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_str().unwrap().as_bytes());
    json!(BASE64URL_NOPAD.encode(&hash.as_ref()[..16]))
}

const RS256: &signature::RsaParameters = &signature::RSA_PKCS1_2048_8192_SHA256;

#[tokio::test]
async fn no_algorithm_in_every_spelling_has_no_signature() {
    let bench = Bench::new();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let jwt = bench.id_token(json!({"header": {"alg": alg}, "signature": "empty"})).await;
        assert_eq!((&jwt.header()["alg"], jwt.part(2)), (&json!(alg), ""));
        assert_eq!(jwt.claims()["at_hash"], jwt.at_hash);
    }
}

#[tokio::test]
async fn other_algorithms_are_really_signed_with() {
    let bench = Bench::new();
    let key = bench.keys().await["keys"][0].clone();
    let modulus = BASE64URL_NOPAD.decode(key["n"].as_str().unwrap().as_bytes()).unwrap();
    let jwt = bench.id_token(json!({"signature": "hs256_with_modulus"})).await;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &modulus), jwt.message(), &jwt.decoded(2)).unwrap();
    assert_eq!((&jwt.header()["alg"], &jwt.header()["kid"]), (&json!("HS256"), &key["kid"]));
    let jwt = bench.id_token(json!({"signature": "rs512"})).await;
    assert!(jwt.is_signed_by(&signature::RSA_PKCS1_2048_8192_SHA512, &key));
    let jwt = bench.id_token(json!({"signature": "ps256"})).await;
    assert!(jwt.is_signed_by(&signature::RSA_PSS_2048_8192_SHA256, &key));
}

#[tokio::test]
async fn an_es256_signature_verifies_with_the_key_that_a_rule_publishes() {
    let bench = Bench::new();
    let published = json!({"on": "keys", "answer": {"json": {"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": "{ec_key_x}", "y": "{ec_key_y}"},
    ]}}});
    bench.tenant.script(serde_json::from_value(published).unwrap());
    let key = bench.keys().await["keys"][0].clone();
    let jwt = bench.id_token(json!({"signature": "es256", "header": {"kid": "ec"}})).await;
    assert_eq!(jwt.header(), json!({"alg": "ES256", "kid": "ec"}));
    let part = |name: &str| BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes()).unwrap();
    let point = [vec![4], part("x"), part("y")].concat();
    let public = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
    public.verify(jwt.message(), &jwt.decoded(2)).unwrap();
}

#[tokio::test]
async fn somebody_elses_key_can_come_along_in_the_header() {
    let bench = Bench::new();
    let jwk = json!({"kty": "RSA", "n": "{evil_key_n}", "e": "{evil_key_e}"});
    let header = json!({"kid": "{evil_key_kid}", "jwk": jwk, "jku": "{evil_origin}/keys", "x5u": "{evil_origin}/x", "x5c": ["AAAA"]});
    let jwt = bench.id_token(json!({"signature": "other_key", "header": header})).await;
    let header = jwt.header();
    assert!(jwt.is_signed_by(RS256, &header["jwk"]), "{header}");
    for key in bench.keys().await["keys"].as_array().unwrap() {
        assert!(!jwt.is_signed_by(RS256, key));
        assert_ne!(key["kid"], header["kid"]);
    }
    let jku = header["jku"].as_str().unwrap();
    assert!(jku.starts_with("https://127.0.0.1:") && header["x5c"] == json!(["AAAA"]), "{jku}");
    bench.tenant.rotate_keys();
    let jwt = bench.id_token(json!({"signature": "other_key"})).await;
    for _ in 0..3 {
        assert!(bench.keys().await["keys"].as_array().unwrap().iter().all(|key| !jwt.is_signed_by(RS256, key)));
        bench.tenant.rotate_keys();
    }
}

#[tokio::test]
async fn headers_can_be_odd_and_still_signed() {
    let bench = Bench::new();
    let key = bench.keys().await["keys"][0].clone();
    for (mutation, expected) in [
        (json!({"remove_header": ["kid"]}), json!({"alg": "RS256"})),
        (json!({"header": {"kid": "../../x"}}), json!({"alg": "RS256", "kid": "../../x"})),
        (json!({"header": {"kid": "ключ\u{202e}"}}), json!({"alg": "RS256", "kid": "ключ\u{202e}"})),
        (json!({"header": {"kid": "{repeat 10240 k}"}}), json!({"alg": "RS256", "kid": "k".repeat(10240)})),
        (
            json!({"header": {"typ": "at+jwt", "crit": ["exp"], "exp": 1}}),
            json!({"alg": "RS256", "kid": key["kid"], "typ": "at+jwt", "crit": ["exp"], "exp": 1}),
        ),
    ] {
        let jwt = bench.id_token(mutation).await;
        assert_eq!(jwt.header(), expected);
        assert!(jwt.is_signed_by(RS256, &key));
    }
}

#[tokio::test]
async fn header_and_payload_can_be_any_text_around_the_real_members() {
    let bench = Bench::new();
    let key = bench.keys().await["keys"][0].clone();
    for (payload, is_around) in [
        (r#"{"sub":"first",{members}}"#, true),
        (r#"{{members},"aud":"other"}"#, true),
        ("[{{members}}]", true),
        ("[1]", false),
        ("\"text\"", false),
        ("not json", false),
        ("", false),
    ] {
        let jwt = bench.id_token(json!({ "payload": payload })).await;
        assert!(jwt.is_signed_by(RS256, &key), "{payload}");
        let text = jwt.text(1);
        let (before, after) = payload.split_once("{members}").unwrap_or((payload, ""));
        assert!(text.starts_with(before) && text.ends_with(after), "{text}");
        assert_eq!(text.contains("\"iss\""), is_around, "{text}");
    }
    for header in ["not json", "[]", r#"{"alg":"none",{members}}"#] {
        let jwt = bench.id_token(json!({ "header_text": header })).await;
        assert!(jwt.is_signed_by(RS256, &key), "{header}");
        let (before, _) = header.split_once("{members}").unwrap_or((header, ""));
        let text = jwt.text(0);
        assert!(text.starts_with(before) && text.contains("RS256") == header.contains("{members}"), "{text}");
    }
}

#[tokio::test]
async fn the_compact_form_can_be_any_text_around_the_parts() {
    let bench = Bench::new();
    for compact in
        ["{header}.{payload}.{signature}==", "{header}.{payload}", "{header}.{payload}.{signature}.{signature}.x"]
    {
        let jwt = bench.id_token(json!({ "compact": compact })).await;
        let (header, payload) = (jwt.part(0).to_owned(), jwt.part(1).to_owned());
        let signature = jwt.text.split('.').nth(2).map(|part| part.trim_end_matches('=')).unwrap_or_default();
        let expected = compact.replace("{header}", &header).replace("{payload}", &payload);
        assert_eq!(jwt.text, expected.replace("{signature}", signature));
        assert_eq!(
            (jwt.header()["alg"].clone(), jwt.claims()["aud"].clone()),
            (json!("RS256"), json!("0oaDemoNativeApp"))
        );
    }
}

#[tokio::test]
async fn claims_know_the_other_issuer_the_time_and_the_hash_of_another_token() {
    let bench = Bench::new();
    let earlier = bench.signed_in().await;
    let jwt = bench
        .id_token(json!({"claims": {
            "iss": "{org_issuer}",
            "elsewhere": "https://LOCALHOST:{port}{issuer_path}",
            "iat": {"now": -301},
            "at_hash": {"hash_of": "{previous_access_token}"},
            "name": "<b>\u{202e}",
        }}))
        .await;
    let claims = jwt.claims();
    assert_eq!(claims["iss"], json!(bench.tenant.org_issuer()));
    assert_eq!(claims["elsewhere"], json!(bench.tenant.issuer().replace("localhost", "LOCALHOST")));
    assert_eq!(claims["iat"], json!(bench.tenant.now().as_secs() - 301));
    assert_eq!(claims["at_hash"], hash(&earlier["access_token"]));
    assert_ne!(claims["at_hash"], jwt.at_hash);
    assert_eq!(claims["name"], json!("<b>\u{202e}"));
    assert_eq!(bench.id_token(json!({"remove": ["at_hash"]})).await.claims()["at_hash"], Value::Null);
}

#[tokio::test]
async fn tokens_of_the_answer_before_can_come_again() {
    let bench = Bench::new();
    let earlier = bench.signed_in().await;
    bench.advance(400);
    let replayed = bench.prescribed(json!({"set": {"id_token": "{previous_id_token}"}})).await;
    assert_eq!(replayed["id_token"], earlier["id_token"]);
    assert_ne!(replayed["access_token"], earlier["access_token"]);
    let previous = json!({"access_token": "{previous_access_token}", "refresh_token": "{previous_refresh_token}"});
    let twice = bench.prescribed(json!({ "set": previous })).await;
    assert_eq!(twice["access_token"], replayed["access_token"]);
    assert_eq!(twice["refresh_token"], replayed["refresh_token"]);
    assert_ne!(twice["id_token"], replayed["id_token"]);
    let claims = verified(twice["id_token"].as_str().unwrap(), &bench.keys().await);
    assert_eq!(claims["at_hash"], hash(&twice["access_token"]), "at_hash is that of the token in the answer");
    // What an answer leaves out was not given out.
    bench.prescribed(json!({"omit": ["id_token"]})).await;
    let again = bench.prescribed(json!({"set": {"id_token": "{previous_id_token}"}})).await;
    assert_eq!(again["id_token"], twice["id_token"]);
}
