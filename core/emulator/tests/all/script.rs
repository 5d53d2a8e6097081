//! Prescribed answers: fixed ones, real ones with changes, and tokens that a client must refuse.

use crate::common::*;
use directauth_emulator::{Answer as Prescribed, JwtMutation, Rule, Signature, TokenMutation};
use serde_json::{Value, json};

fn rule(json: Value) -> Rule {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn fixed_answers_come_in_order_and_then_the_real_ones() {
    let bench = Bench::new();
    bench.tenant.script(rule(json!({"on": "token", "grant": "password", "answer": {"status": 429, "headers": {"Retry-After": "20", "X-Two": ["a", "b"]}, "json": {"error": "invalid_grant"}}})));
    bench.tenant.script(rule(json!({"on": "token", "answer": {"status": 200, "body": "<html>{client_id}", "headers": {"Content-Type": "text/html"}}})));
    let limited = bench.password(BEN).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("20")));
    assert_eq!(limited.header("x-rate-limit-reset"), None, "only what the script says");
    assert_eq!(limited.headers.iter().filter(|(name, _)| name == "x-two").count(), 2);
    let html = bench.password(BEN).await;
    assert_eq!(
        (html.header("content-type"), html.body.as_slice()),
        (Some("text/html"), &b"<html>0oaDemoNativeApp"[..])
    );
    bench.password(BEN).await.ok();
    let outcomes: Vec<String> = bench.tenant.journal().of("token").iter().map(|entry| entry.outcome.clone()).collect();
    assert_eq!(outcomes, ["scripted", "scripted", "ok"]);
}

#[tokio::test]
async fn a_rule_can_hold_for_ever_until_the_script_is_cleared() {
    let bench = Bench::new();
    bench.tenant.script(Rule::on("token").after(1).times(0).answer(Prescribed::error("temporarily_unavailable")));
    bench.password(BEN).await.ok();
    for _ in 0..3 {
        bench.password(BEN).await.refused(400, "temporarily_unavailable");
    }
    bench.tenant.clear_script();
    bench.password(BEN).await.ok();
}

#[tokio::test]
async fn a_real_answer_can_be_edited() {
    let bench = Bench::new();
    bench.tenant.script(rule(
        json!({"on": "metadata", "answer": {"real": {"set": {"issuer": "{issuer}/"}, "omit": ["jwks_uri"]}}}),
    ));
    let url = format!("{}/.well-known/openid-configuration", bench.tenant.issuer());
    let metadata = bench.client.get(&url, &[]).await.ok();
    assert_eq!(metadata["issuer"], json!(format!("{}/", bench.tenant.issuer())));
    assert_eq!(metadata["jwks_uri"], Value::Null);
    assert!(metadata["token_endpoint"].is_string());
}

#[tokio::test]
async fn prescribed_tokens_are_real_ones_for_the_user_of_the_sign_in() {
    let bench = Bench::new();
    bench.tenant.script(rule(json!({"on": "primary-authenticate", "answer": {"json": {"oob_code": "o1", "channel": "push", "binding_method": "none", "expires_in": 300}}})));
    bench.tenant.script(rule(json!({"on": "token", "answer": {"tokens": {}}})));
    bench
        .post("primary-authenticate", &[("login_hint", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push")])
        .await
        .ok();
    let tokens = bench.token(OOB, &[("oob_code", "o1")]).await.ok();
    assert_eq!(bench.resource(tokens["access_token"].as_str().unwrap()).await.ok()["username"], json!(CLEO.0));
}

#[tokio::test]
async fn prescribed_tokens_work_like_any_and_refresh() {
    let bench = Bench::new();
    bench.tenant.script(rule(json!({"on": "token", "times": 2, "answer": {"tokens": {"set": {"token_type": "MAC"}}}})));
    let first = bench.token("password", &[("username", CLEO.0), ("password", "anything")]).await.ok();
    assert_eq!(first["token_type"], json!("MAC"));
    assert_eq!(bench.resource(first["access_token"].as_str().unwrap()).await.ok()["username"], json!(CLEO.0));
    let second = bench.refresh(first["refresh_token"].as_str().unwrap()).await.ok();
    bench.refresh(second["refresh_token"].as_str().unwrap()).await.ok();
    assert_eq!(bench.tenant.live_grants(), 1);
}

#[tokio::test]
async fn every_way_to_spoil_an_id_token_spoils_that_and_nothing_else() {
    let bench = Bench::new();
    let spoilt = async |mutation: JwtMutation| {
        let mutation = TokenMutation { id_token: Some(mutation), ..TokenMutation::default() };
        bench.tenant.script(Rule::on("token").answer(Prescribed::tokens(mutation)));
        let jwt = bench.password(BEN).await.text("id_token");
        let part = |index: usize| {
            data_encoding::BASE64URL_NOPAD.decode(jwt.split('.').nth(index).unwrap().as_bytes()).unwrap()
        };
        (serde_json::from_slice::<Value>(&part(0)).unwrap(), String::from_utf8(part(1)).unwrap(), part(2))
    };
    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let with = |signature| JwtMutation { signature, ..JwtMutation::default() };
    let key = |index: usize| keys["keys"][index]["kid"].clone();

    let (header, good, signature) = spoilt(with(Signature::Rs256)).await;
    assert_eq!((&header["alg"], &header["kid"], signature.len()), (&json!("RS256"), &key(0), 256));
    assert!(spoilt(with(Signature::Empty)).await.2.is_empty());
    for (how, alg, length) in [
        (Signature::Flip, "RS256", 256),
        (Signature::OtherKey, "RS256", 256),
        (Signature::OtherPublishedKey, "RS256", 256),
        (Signature::Hs256WithPublicKey, "HS256", 32),
        (Signature::Rs512, "RS512", 256),
        (Signature::Ps256, "PS256", 256),
    ] {
        let (header, _, signature) = spoilt(with(how)).await;
        assert_eq!((&header["alg"], signature.len()), (&json!(alg), length), "{how:?}");
    }
    let mutation: JwtMutation = serde_json::from_value(json!({
        "claims": {"aud": ["other"], "exp": {"now": -600}}, "remove": ["at_hash"], "header": {"alg": "none"}, "remove_header": ["kid"],
    }))
    .unwrap();
    let (header, payload, _) = spoilt(mutation).await;
    let payload: Value = serde_json::from_str(&payload).unwrap();
    let good: Value = serde_json::from_str(&good).unwrap();
    assert_eq!(header, json!({ "alg": "none" }));
    assert_eq!((&payload["aud"], &payload["at_hash"]), (&json!(["other"]), &Value::Null));
    assert_eq!(payload["exp"].as_u64().unwrap() + 600, payload["iat"].as_u64().unwrap());
    assert_eq!(payload["sub"], good["sub"]);
    let raw = JwtMutation { payload: Some("{\"sub\":1,\"sub\":2}".to_owned()), ..JwtMutation::default() };
    assert_eq!(spoilt(raw).await.1, "{\"sub\":1,\"sub\":2}");
}

#[tokio::test]
async fn a_signature_by_another_published_key_verifies_with_that_one_only() {
    let bench = Bench::new();
    bench
        .tenant
        .script(rule(json!({"on": "token", "answer": {"tokens": {"id_token": {"signature": "other_published_key"}}}})));
    let jwt = bench.password(BEN).await.text("id_token");
    let mut keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let (first, second) = (keys["keys"][0]["kid"].clone(), keys["keys"][1]["kid"].clone());
    keys["keys"][0]["kid"] = second;
    keys["keys"][1]["kid"] = first;
    verified(&jwt, &keys);
}

#[tokio::test]
async fn the_journal_has_what_was_sent_and_prints_no_secret() {
    let bench = Bench::new();
    bench.password(BEN).await.ok();
    bench.advance(7);
    bench.password(BEN).await.ok();
    let journal = bench.tenant.journal();
    assert_eq!((journal.len(), journal.count("token"), journal.connections()), (2, 2, 2));
    assert_eq!(journal.operations(), ["token", "token"]);
    assert_eq!(journal.gaps("token"), [std::time::Duration::from_secs(7)]);
    let entry = journal.of("token")[0];
    assert_eq!((entry.grant(), entry.param("password")), (Some("password"), Some(BEN.1)));
    assert_eq!((entry.header("Accept"), entry.status), (Some("application/json"), Some(200)));
    let printed = format!("{journal:?} {:?}", bench.tenant);
    assert!(printed.contains("password=***") && !printed.contains(BEN.1), "{printed}");
    bench.tenant.clear_journal();
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let (one, other) = (Bench::new(), Bench::new());
    let tokens = one.signed_in().await;
    assert_eq!(other.resource(tokens["access_token"].as_str().unwrap()).await.status, 401);
    other.refresh(tokens["refresh_token"].as_str().unwrap()).await.refused(400, "invalid_grant");
    assert_eq!((one.tenant.journal().len(), other.tenant.journal().len()), (1, 2));
}
