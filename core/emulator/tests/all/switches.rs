//! The same answer as other documents and other servers have it (protocol.md §1.16), and what every answer carries.

use crate::common::*;
use directauth_emulator::{Answer as Prescribed, Config, Envelope, PushReaction, Rule};
use serde_json::{Value, json};

#[tokio::test]
async fn the_deprecated_start_of_a_prompt_can_be_gone() {
    let bench = Bench::new();
    let form = [("login_hint", CLEO.0), ("channel_hint", "push")];
    bench.post("oob-authenticate", &form).await.ok();
    bench.tenant.settings(|settings| settings.oob_authenticate = false);
    let gone = bench.post("oob-authenticate", &form).await;
    assert_eq!((gone.status, gone.json()["errorCode"].clone()), (404, json!("E0000007")));
    bench.post("primary-authenticate", &[&form[..], &[("challenge_hint", OOB)]].concat()).await.ok();
}

#[tokio::test]
async fn a_second_prompt_can_do_without_its_mfa_token() {
    let bench = Bench::new();
    bench.tenant.on_next_push(PushReaction::Approve { after_polls: 0 });
    let mfa = bench.mfa_token(CLEO).await;
    let oob = bench.challenge(&mfa, "push").await.text("oob_code");
    let other = bench.mfa_token(CLEO).await;
    bench.token(MFA_OOB, &[("oob_code", &oob)]).await.refused(400, "invalid_request");
    bench.tenant.settings(|settings| settings.mfa_oob_needs_mfa_token = false);
    bench.token(MFA_OOB, &[("oob_code", &oob), ("mfa_token", &other)]).await.refused(400, "invalid_request");
    bench.token(MFA_OOB, &[("oob_code", "unknown")]).await.refused(403, "access_denied");
    bench.token(MFA_OOB, &[("oob_code", &oob)]).await.ok();
    let first = bench.post("oob-authenticate", &[("login_hint", CLEO.0), ("channel_hint", "push")]).await;
    bench.token(MFA_OOB, &[("oob_code", &first.text("oob_code"))]).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "direct_auth_oob_code_not_for_mfa_token");
}

#[tokio::test]
async fn tokens_can_have_another_type_and_their_life_as_text() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| {
        settings.token_type = "bEARER".to_owned();
        settings.expires_in_as_text = true;
    });
    let tokens = bench.signed_in().await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bEARER"), &json!("3600")));
    let described = bench.post("introspect", &[("token", tokens["access_token"].as_str().unwrap())]).await.ok();
    assert_eq!(described["token_type"], json!("bEARER"));
    let mfa = bench.mfa_token(CLEO).await;
    assert_eq!(bench.challenge(&mfa, "push").await.ok()["expires_in"], json!("300"));
}

#[tokio::test]
async fn a_push_can_leave_its_interval_out_and_is_held_to_it_anyway() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.interval_in_answer = false);
    let mfa = bench.mfa_token(CLEO).await;
    let prompt = bench.challenge(&mfa, "push").await.ok();
    assert_eq!(prompt["interval"], Value::Null);
    let poll = [("mfa_token", mfa.as_str()), ("oob_code", prompt["oob_code"].as_str().unwrap())];
    bench.token(MFA_OOB, &poll).await.refused(400, "authorization_pending");
    bench.token(MFA_OOB, &poll).await.refused(400, "slow_down");
}

#[tokio::test]
async fn the_factors_that_are_left_can_be_a_list() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| {
        settings.hint_challenge_types = true;
        settings.challenge_types_as_array = true;
    });
    assert_eq!(bench.password(ANA).await.json()["supported_challenge_types"], json!([MFA_OOB, MFA_OTP]));
}

#[tokio::test]
async fn a_429_has_the_envelope_of_its_operation() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| {
        settings.requests_per_minute = 1;
        settings.rate_limit_envelopes = [("token".to_owned(), Envelope::Api)].into();
    });
    bench.password(BEN).await.ok();
    let token = bench.password(BEN).await;
    assert_eq!((token.status, token.json()["errorCode"].clone()), (429, json!("E0000047")));
    bench.post("challenge", &[]).await.refused(429, "invalid_grant");
    bench.tenant.settings(|settings| settings.rate_limit_envelope = Envelope::Api);
    assert_eq!(bench.post("challenge", &[]).await.json()["errorCode"], json!("E0000047"));
}

#[test]
fn a_switch_that_makes_no_sense_is_refused() {
    for (setting, word) in [
        ("several_credentials_status = 500", "4xx"),
        ("token_type = \"two words\"", "token_type"),
        ("rate_limit_envelopes = { tokens = \"api\" }", "tokens"),
        ("rate_limit_envelopes = { token = \"b\" }", "b"),
    ] {
        let error = Config::from_toml(&format!("[settings]\n{setting}\n")).unwrap_err();
        assert!(error.to_string().contains(word), "{setting}: {error}");
    }
}

fn limits(answer: &Answer) -> [u64; 3] {
    ["limit", "remaining", "reset"].map(|name| {
        let value = answer.header(&format!("x-rate-limit-{name}")).unwrap_or_else(|| panic!("{name}: {answer:?}"));
        value.parse().unwrap()
    })
}

#[tokio::test]
async fn every_answer_says_what_is_left_of_the_tightest_limit() {
    let bench = Bench::new();
    let minute = bench.tenant.now().as_secs() + 61;
    for answer in [
        bench.password(BEN).await,
        bench.password((BEN.0, "wrong")).await,
        bench.post("revoke", &[("token", "unknown")]).await,
        bench.post("nonsense", &[]).await,
        bench.resource("unknown").await,
    ] {
        let [limit, remaining, reset] = limits(&answer);
        assert!(limit == 10_000 && remaining < limit && reset <= minute, "{answer:?}");
    }
    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await;
    assert_eq!(limits(&keys)[..2], [10_000, 10_000], "keys are free");

    bench.advance(60);
    bench.tenant.settings(|settings| {
        settings.requests_per_minute = 10;
        settings.token_requests_per_second = 4;
    });
    for remaining in [3, 2, 1, 0] {
        assert_eq!(limits(&bench.password(BEN).await)[..2], [4, remaining]);
    }
    let second = bench.tenant.now().as_secs() + 2;
    assert!(limits(&bench.password(BEN).await)[2] <= second);
    assert_eq!(limits(&bench.password(CLEO).await)[..2], [4, 3], "another user");
    assert_eq!(limits(&bench.post("revoke", &[("token", "x")]).await)[..2], [10, 3], "no user: the minute");
}

#[tokio::test]
async fn headers_of_a_script_replace_those_of_the_real_answer() {
    let bench = Bench::new();
    let prescribed = Prescribed::real().header("X-Rate-Limit-Remaining", "0").header("Date", "{date+60}");
    bench.tenant.script(Rule::on("token").answer(prescribed));
    let answer = bench.password(BEN).await;
    answer.ok();
    assert_eq!(limits(&answer)[..2], [10_000, 0]);
    let named = |name: &str| answer.headers.iter().filter(|(key, _)| key == name).count();
    assert_eq!((named("x-rate-limit-remaining"), named("date")), (1, 1));
    assert_ne!(answer.header("date"), bench.password(BEN).await.header("date"));
    assert_eq!(bench.tenant.live_grants(), 2, "the work was done");
}
