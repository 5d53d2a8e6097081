//! The switches for common troubles.

use crate::common::*;
use directauth_emulator::Emulator;

#[tokio::test]
async fn one_answer_is_rate_limited_and_then_no_more() {
    let bench = Bench::new();
    bench.tenant.troubles(|troubles| troubles.rate_limit_next = true);
    let keys = bench.client.get(&format!("{}/v1/keys", bench.tenant.issuer()), &[]).await;
    assert_eq!(keys.status, 200, "keys are free");
    let answer = bench.password(BEN).await;
    assert_eq!((answer.status, answer.header("x-rate-limit-remaining")), (429, Some("0")));
    assert_eq!((bench.outcome().as_str(), bench.tenant.current_troubles().rate_limit_next), ("rate_limit_next", false));
    bench.signed_in().await;
}

#[tokio::test]
async fn a_wrong_signature_does_not_verify_until_it_is_right_again() {
    let bench = Bench::new();
    let jwks = bench.client.get(&format!("{}/v1/keys", bench.tenant.issuer()), &[]).await.ok();
    let token = |answer: serde_json::Value| answer["id_token"].as_str().unwrap().to_owned();
    bench.tenant.troubles(|troubles| troubles.wrong_signature = true);
    let wrong = token(bench.signed_in().await);
    assert!(std::panic::catch_unwind(|| verified(&wrong, &jwks)).is_err());
    bench.tenant.troubles(|troubles| troubles.wrong_signature = false);
    verified(&token(bench.signed_in().await), &jwks);
}

#[tokio::test]
async fn offline_nobody_gets_an_answer_and_online_again_everybody_does() {
    let bench = Bench::new();
    bench.tenant.troubles(|troubles| troubles.offline = true);
    let form = [("grant_type", "password")];
    assert!(bench.client.try_post(&bench.endpoint("token"), &form).await.is_err());
    assert_eq!(bench.outcome(), "offline");
    bench.tenant.troubles(|troubles| troubles.offline = false);
    bench.signed_in().await;

    let emulator = Emulator::start().unwrap();
    let client = Client::trusting(&emulator.ca_der());
    emulator.root().troubles(|troubles| troubles.offline = true);
    assert!(client.connect(&emulator.origin()).await.is_err(), "no connection either");
    assert!(emulator.root().journal().is_empty());
    emulator.root().troubles(|troubles| troubles.offline = false);
    client.connect(&emulator.origin()).await.unwrap();
}
