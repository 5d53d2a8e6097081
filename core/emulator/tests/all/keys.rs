//! When keys are published, and what else can stand among them (protocol.md §6.4, rows 205–215).

use crate::common::*;
use serde_json::{Value, json};

impl Bench {
    async fn published(&self) -> Value {
        self.client.get(&self.endpoint("keys"), &[]).await.ok()
    }

    /// Which `kid` a new sign-in's ID token names, and whether the keys have it now.
    async fn signs_with(&self) -> (String, bool) {
        let kid = kid(&self.signed_in().await);
        let keys = self.published().await;
        let has = has(&keys, &kid);
        (kid, has)
    }
}

fn kid(tokens: &Value) -> String {
    let header = tokens["id_token"].as_str().unwrap().split('.').next().unwrap();
    let header = data_encoding::BASE64URL_NOPAD.decode(header.as_bytes()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn has(keys: &Value, kid: &str) -> bool {
    keys["keys"].as_array().unwrap().iter().any(|key| key["kid"] == *kid)
}

#[tokio::test]
async fn after_a_rotation_the_new_key_can_be_published_late_by_time() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.keys_lag = 60);
    let (before, is_there) = bench.signs_with().await;
    assert!(is_there, "no lag without a rotation");
    bench.tenant.rotate_keys();
    let (after, is_there) = bench.signs_with().await;
    assert!(after != before && !is_there);
    assert!(has(&bench.published().await, &before), "the old one is there meanwhile");
    bench.advance(59);
    assert!(!has(&bench.published().await, &after));
    bench.advance(1);
    assert!(has(&bench.published().await, &after));
}

#[tokio::test]
async fn after_a_rotation_the_new_key_can_be_published_late_by_fetches() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.keys_lag_fetches = 2);
    bench.tenant.rotate_keys();
    let after = kid(&bench.signed_in().await);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(has(&bench.published().await, &after));
    }
    assert_eq!(seen, [false, false, true, true]);
    bench.tenant.rotate_keys();
    let next = kid(&bench.signed_in().await);
    assert!(!has(&bench.published().await, &next), "each rotation is late again");
}

#[tokio::test]
async fn in_an_emergency_nothing_that_was_signed_before_verifies() {
    let bench = Bench::new();
    let before = bench.signed_in().await;
    let known = bench.published().await;
    bench.tenant.replace_keys();
    let keys = bench.published().await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    for key in known["keys"].as_array().unwrap() {
        assert!(!has(&keys, key["kid"].as_str().unwrap()), "{key}");
    }
    let introspected = bench.post("introspect", &[("token", before["id_token"].as_str().unwrap())]).await.ok();
    assert_eq!(introspected, json!({"active": false}));
    let after = bench.signed_in().await;
    verified(after["id_token"].as_str().unwrap(), &keys);
    assert!(!has(&known, &kid(&after)));
}

#[tokio::test]
async fn any_set_can_be_made_of_the_real_keys() {
    let bench = Bench::new();
    let real = bench.published().await;
    let answer = json!({"on": "keys", "times": 1, "answer": {"json": {"keys": [
        {"kty": "oct", "kid": "{key_kid}", "k": "AAAA"},
        {"kty": "RSA", "kid": "{key_kid}", "n": "{key_n}", "e": "{key_e}", "use": "enc"},
        {"kty": "RSA", "kid": "{key_kid}", "n": "{old_key_n}", "e": "{old_key_e}"},
        {"kty": "RSA", "n": "{key_n}", "e": "{key_e}"},
        {"kty": "RSA", "kid": "{old_key_kid}", "n": "{evil_key_n}", "e": "{evil_key_e}"},
    ]}}});
    bench.tenant.script(serde_json::from_value(answer).unwrap());
    let made = bench.published().await;
    let (key, old) = (&real["keys"][0], &real["keys"][1]);
    assert_eq!([&made["keys"][0]["kid"], &made["keys"][1]["kid"], &made["keys"][2]["kid"]], [&key["kid"]; 3]);
    assert_eq!((&made["keys"][1]["n"], &made["keys"][1]["e"]), (&key["n"], &key["e"]));
    assert_eq!((&made["keys"][2]["n"], &made["keys"][4]["kid"]), (&old["n"], &old["kid"]));
    assert!(made["keys"][4]["n"].as_str().is_some_and(|n| n.len() == 342 && n != key["n"] && n != old["n"]));
    let jwt = bench.signed_in().await;
    verified(
        jwt["id_token"].as_str().unwrap(),
        &json!({"keys": [{"kid": kid(&jwt), "n": made["keys"][3]["n"], "e": "AQAB"}]}),
    );

    let many = json!({"on": "keys", "answer": {
        "real": {}, "text": "{\"keys\":[{repeat 10000 {\"kty\":\"oct\"},}{\"kty\":\"oct\"}]}"}});
    bench.tenant.script(serde_json::from_value(many).unwrap());
    assert_eq!(bench.published().await["keys"].as_array().unwrap().len(), 10_001);
}
