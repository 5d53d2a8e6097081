//! What happens to a grant after the sign-in: rotation, leeway, reuse, expiry, revocation (protocol.md §4).

use crate::common::*;
use directauth_emulator::Rotation;
use serde_json::{Value, json};

fn token(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refresh_replaces_the_refresh_token_and_keeps_who_and_when() {
    let bench = Bench::new();
    let first = bench.signed_in().await;
    bench.advance(3000);
    let second = bench.refresh(&token(&first, "refresh_token")).await.ok();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let (before, after) = (verified(&token(&first, "id_token"), &keys), verified(&token(&second, "id_token"), &keys));
    for claim in ["sub", "iss", "aud", "auth_time", "amr"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    assert_eq!(after["iat"].as_u64(), before["iat"].as_u64().map(|iat| iat + 3000));
    bench.resource(&token(&first, "access_token")).await.ok();
    assert_eq!(bench.tenant.live_grants(), 1);
}

#[tokio::test]
async fn within_the_leeway_the_old_token_works_and_the_newest_one_counts() {
    let bench = Bench::new();
    let first = token(&bench.signed_in().await, "refresh_token");
    bench.refresh(&first).await.ok(); // the answer is lost
    bench.advance(30);
    let third = token(&bench.refresh(&first).await.ok(), "refresh_token");
    bench.advance(100);
    bench.refresh(&third).await.ok();
    assert_eq!(bench.tenant.live_grants(), 1);
}

#[tokio::test]
async fn after_the_leeway_the_old_token_kills_the_grant_with_all_access_tokens() {
    let bench = Bench::new();
    let first = bench.signed_in().await;
    let second = bench.refresh(&token(&first, "refresh_token")).await.ok();
    bench.resource(&token(&second, "access_token")).await.ok();
    bench.advance(31);
    bench.refresh(&token(&first, "refresh_token")).await.refused(400, "invalid_grant");
    assert_eq!(bench.outcome(), "refresh_token_reuse");
    bench.refresh(&token(&second, "refresh_token")).await.refused(400, "invalid_grant");
    for tokens in [&first, &second] {
        let answer = bench.resource(&token(tokens, "access_token")).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""), "{answer:?}");
    }
    assert_eq!(bench.tenant.live_grants(), 0);
}

#[tokio::test]
async fn reuse_is_detected_for_the_last_hundred_replaced_tokens() {
    let bench = Bench::new();
    let mut tokens = vec![token(&bench.signed_in().await, "refresh_token")];
    for _ in 0..101 {
        let next = token(&bench.refresh(tokens.last().unwrap()).await.ok(), "refresh_token");
        tokens.push(next);
    }
    bench.advance(31);
    bench.refresh(&tokens[0]).await.refused(400, "invalid_grant");
    assert_eq!((bench.outcome().as_str(), bench.tenant.live_grants()), ("invalid_refresh_token", 1));
    bench.refresh(&tokens[1]).await.refused(400, "invalid_grant");
    assert_eq!((bench.outcome().as_str(), bench.tenant.live_grants()), ("refresh_token_reuse", 0));
}

#[tokio::test]
async fn without_leeway_the_old_token_is_reuse_at_once() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.leeway = 0);
    let first = token(&bench.signed_in().await, "refresh_token");
    let second = token(&bench.refresh(&first).await.ok(), "refresh_token");
    bench.refresh(&first).await.refused(400, "invalid_grant");
    bench.refresh(&second).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_static_refresh_token_stays_the_same() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.rotation = Rotation::Static);
    let first = token(&bench.signed_in().await, "refresh_token");
    for _ in 0..3 {
        bench.advance(3600);
        assert_eq!(token(&bench.refresh(&first).await.ok(), "refresh_token"), first);
    }
}

#[tokio::test]
async fn a_rotated_token_inherits_the_end_and_an_idle_one_dies_sooner() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| {
        settings.refresh_token_lifetime = 10_000;
        settings.refresh_idle_lifetime = 6_000;
    });
    let mut newest = token(&bench.signed_in().await, "refresh_token");
    bench.advance(5_999);
    newest = token(&bench.refresh(&newest).await.ok(), "refresh_token");
    bench.advance(4_001);
    bench.refresh(&newest).await.refused(400, "invalid_grant");
    let idle = token(&bench.signed_in().await, "refresh_token");
    bench.advance(6_000);
    bench.refresh(&idle).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_not_for_more() {
    let bench = Bench::new();
    let first = token(&bench.signed_in().await, "refresh_token");
    let with = async |scope: &str| {
        bench.post("token", &[("grant_type", "refresh_token"), ("refresh_token", &first), ("scope", scope)]).await
    };
    with("openid demo.read").await.refused(400, "access_denied");
    let less = with("offline_access").await.ok();
    assert_eq!((&less["scope"], &less["id_token"]), (&json!("offline_access"), &Value::Null));
}

#[tokio::test]
async fn a_refresh_token_belongs_to_its_client_and_its_server() {
    let bench = Bench::new();
    let first = token(&bench.signed_in().await, "refresh_token");
    let form = |client| [("client_id", client), ("grant_type", "refresh_token"), ("refresh_token", first.as_str())];
    let org = format!("{}/oauth2/v1/token", bench.tenant.org_issuer());
    bench.client.post(&bench.endpoint("token"), &form("0oaDemoOtherApp")).await.refused(400, "invalid_grant");
    assert_eq!(bench.outcome(), "mismatched_client");
    bench.client.post(&org, &form("0oaDemoNativeApp")).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "mismatched_authorization_server");
    bench.refresh(&first).await.ok();
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_rest_and_a_refresh_token_takes_all() {
    let bench = Bench::new();
    let first = bench.signed_in().await;
    let answer = bench.post("revoke", &[("token", &token(&first, "access_token"))]).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("content-type")), (200, 0, None));
    assert_eq!(bench.resource(&token(&first, "access_token")).await.status, 401);
    let second = bench.refresh(&token(&first, "refresh_token")).await.ok();
    bench.resource(&token(&second, "access_token")).await.ok();

    let other = [("client_id", "0oaDemoOtherApp"), ("token", &token(&second, "refresh_token"))];
    assert_eq!(bench.client.post(&bench.endpoint("revoke"), &other).await.status, 200);
    bench.resource(&token(&second, "access_token")).await.ok();

    // Also by a token that was replaced: it is the same grant.
    assert_eq!(bench.post("revoke", &[("token", &token(&first, "refresh_token"))]).await.status, 200);
    assert_eq!(bench.resource(&token(&second, "access_token")).await.status, 401);
    bench.refresh(&token(&second, "refresh_token")).await.refused(400, "invalid_grant");
    assert_eq!(bench.post("revoke", &[("token", "unknown")]).await.status, 200);
    assert_eq!(bench.tenant.live_grants(), 0);
}

#[tokio::test]
async fn an_administrator_can_end_everything() {
    let bench = Bench::new();
    let tokens = bench.signed_in().await;
    bench.tenant.revoke_everything();
    assert_eq!(bench.resource(&token(&tokens, "access_token")).await.status, 401);
    bench.refresh(&token(&tokens, "refresh_token")).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn the_resource_and_userinfo_challenge_those_without_a_token_that_works() {
    let bench = Bench::new();
    let bare = bench.client.get(&bench.tenant.resource_url(), &[]).await;
    assert_eq!((bare.status, bare.header("www-authenticate")), (401, Some("Bearer")));
    let tokens = bench.signed_in().await;
    bench.advance(3600);
    assert_eq!(bench.resource(&token(&tokens, "access_token")).await.status, 401, "expired");
    let form = [("username", BEN.0), ("password", BEN.1), ("grant_type", "password"), ("scope", "demo.read")];
    let bearer = format!("Bearer {}", bench.post("token", &form).await.text("access_token"));
    let answer = bench.client.get(&bench.endpoint("userinfo"), &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"), "{answer:?}");
}

#[tokio::test]
async fn introspection_describes_tokens_that_work_to_their_own_client() {
    let bench = Bench::new();
    let tokens = bench.signed_in().await;
    for (name, member) in [("access_token", "scope"), ("refresh_token", "username"), ("id_token", "preferred_username")]
    {
        let described = bench.post("introspect", &[("token", &token(&tokens, name))]).await.ok();
        assert_eq!(described["active"], json!(true), "{name}");
        assert!(described[member].is_string(), "{name}: {described}");
    }
    // The documentation has the client's id in the query.
    let url = format!("{}?client_id=0oaDemoNativeApp", bench.endpoint("introspect"));
    let access = token(&tokens, "access_token");
    assert_eq!(bench.client.post(&url, &[("token", &access)]).await.ok()["active"], json!(true));
    let other = [("client_id", "0oaDemoOtherApp"), ("token", access.as_str())];
    let inactive = json!({ "active": false });
    assert_eq!(bench.client.post(&bench.endpoint("introspect"), &other).await.ok(), inactive);
    bench.advance(3600);
    for name in ["access_token", "id_token"] {
        assert_eq!(bench.post("introspect", &[("token", &token(&tokens, name))]).await.ok(), inactive, "{name}");
    }
}

#[tokio::test]
async fn keys_rotate_and_can_be_withdrawn() {
    let bench = Bench::new();
    let keys = async || bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let kid = |jwt: &str| {
        let header = data_encoding::BASE64URL_NOPAD.decode(jwt.split('.').next().unwrap().as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
    };
    let has = |jwks: &Value, kid: &Value| jwks["keys"].as_array().unwrap().iter().any(|key| key["kid"] == *kid);
    let before = (keys().await, token(&bench.signed_in().await, "id_token"));
    bench.tenant.rotate_keys();
    let after = (keys().await, token(&bench.signed_in().await, "id_token"));
    assert!(!has(&before.0, &kid(&after.1)), "a key that nobody has seen");
    assert!(has(&after.0, &kid(&before.1)), "the one before it is still there");
    verified(&after.1, &after.0);
    bench.tenant.withdraw_key();
    assert!(!has(&keys().await, &kid(&token(&bench.signed_in().await, "id_token"))));
    bench.tenant.rotate_keys();
    verified(&token(&bench.signed_in().await, "id_token"), &keys().await);
}
