//! Lockout and rate limits (protocol.md §5), by a clock that the test holds.

use crate::common::*;
use directauth_emulator::Envelope;
use serde_json::json;

#[tokio::test]
async fn the_tenth_wrong_password_locks_the_account_without_saying_so() {
    let bench = Bench::new();
    for _ in 0..9 {
        bench.password((BEN.0, "wrong")).await.refused(400, "invalid_grant");
    }
    bench.password(BEN).await.ok();
    for _ in 0..10 {
        bench.password((BEN.0, "wrong")).await.refused(400, "invalid_grant");
    }
    bench.password(BEN).await.refused(400, "invalid_grant");
    bench.tenant.lock_user(BEN.0, false);
    bench.password(BEN).await.ok();
}

#[tokio::test]
async fn five_codes_in_five_minutes_then_429_until_the_time_it_names() {
    let bench = Bench::new();
    let wrong = bench.tenant.wrong_totp(BEN.0).unwrap();
    let attempt = async |code: &str| bench.token(OTP, &[("login_hint", BEN.0), ("otp", code)]).await;
    for _ in 0..5 {
        attempt(&wrong).await.refused(400, "invalid_grant");
    }
    let limited = attempt(&bench.tenant.totp(BEN.0).unwrap()).await;
    // The body says invalid_grant: only the status tells.
    limited.refused(429, "invalid_grant");
    assert_eq!(
        (limited.header("x-rate-limit-limit"), limited.header("x-rate-limit-remaining")),
        (Some("5"), Some("0"))
    );
    let reset: u64 = limited.header("x-rate-limit-reset").unwrap().parse().unwrap();
    bench.clock.set(std::time::Duration::from_secs(reset));
    attempt(&bench.tenant.totp(BEN.0).unwrap()).await.ok();
    for _ in 0..5 {
        attempt(&wrong).await.refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn codes_that_were_sent_count_as_well() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(CLEO).await;
    let oob = bench.challenge(&mfa, "sms").await.text("oob_code");
    let right = bench.tenant.last_code(CLEO.0).unwrap();
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let submit = async |code: &str| {
        bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob), ("binding_code", code)]).await
    };
    for _ in 0..5 {
        submit(wrong).await.refused(400, "invalid_grant");
    }
    submit(&right).await.refused(429, "invalid_grant");
}

#[tokio::test]
async fn one_message_per_channel_and_half_minute() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    bench.challenge(&mfa, "sms").await.ok();
    bench.challenge(&mfa, "voice").await.ok();
    bench.advance(29);
    bench.challenge(&mfa, "sms").await.refused(429, "invalid_grant");
    bench.tenant.settings(|settings| settings.rate_limit_envelope = Envelope::Api);
    assert_eq!(bench.challenge(&mfa, "sms").await.json()["errorCode"], json!("E0000109"));
    assert_eq!(bench.challenge(&mfa, "voice").await.json()["errorCode"], json!("E0000133"));
    bench.advance(1);
    bench.challenge(&mfa, "sms").await.ok();
    bench.challenge(&mfa, "email").await.ok();
    assert_eq!(bench.challenge(&mfa, "email").await.json()["errorCode"], json!("E0000118"));
    assert_eq!(bench.tenant.outbox().len(), 4);
}

#[tokio::test]
async fn requests_can_be_limited_per_user_and_second_and_per_minute() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.token_requests_per_second = 4);
    for _ in 0..4 {
        bench.password(BEN).await.ok();
    }
    assert_eq!(bench.password(BEN).await.status, 429);
    bench.password(CLEO).await.refused(403, "mfa_required");
    bench.advance(1);
    bench.password(BEN).await.ok();

    bench.advance(60);
    bench.tenant.settings(|settings| settings.requests_per_minute = 2);
    let remaining = bench.password(BEN).await.header("x-rate-limit-remaining").map(str::to_owned);
    assert_eq!(remaining.as_deref(), Some("1"));
    bench.password(BEN).await.ok();
    assert_eq!(bench.password(BEN).await.status, 429);
    assert_eq!(bench.client.get(&bench.endpoint("keys"), &[]).await.status, 200, "keys are free");
}
