//! Passkeys against the emulator's verification, with somebody else's authenticator (protocol.md §1.6, rows 170–185).

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::time::Duration;

use directauth::error::{PasskeyProblem, ResponseDefect};
use directauth::{Client, Error, Factor, Kind, PasskeyStart, Remedy, Session, Step, UsePasskey};
use directauth_emulator::{Answer, Fault, Rule, SecondFactorAt, Tenant, UserVerification};
use futures_executor::block_on;
use serde_json::json;
use support::authenticator::Platform;
use support::emulator;
use support::net::{builder, client};

const ANA: &str = "ana@example.com";
const BEN: &str = "ben@example.com";

fn origin(tenant: &Tenant) -> String {
    let issuer = tenant.issuer();
    let after_scheme = issuer.strip_prefix("https://").expect("https");
    let host = after_scheme.split('/').next().expect("a host");
    format!("https://{host}")
}

/// A tenant where `username` has a passkey, and the device that has it.
fn registered(username: &str) -> (Tenant, Client, Platform) {
    let tenant = emulator().tenant();
    let mut platform = Platform::at(&origin(&tenant));
    platform.registers(&tenant, username);
    let client = client(&tenant);
    (tenant, client, platform)
}

fn passkey(step: Result<Step, Error>) -> UsePasskey {
    match step {
        Ok(Step::UsePasskey(step)) => step,
        other => panic!("{other:?}"),
    }
}

fn signed_in(step: Result<Step, Error>) -> Session {
    match step {
        Ok(Step::SignedIn(session)) => session,
        other => panic!("{other:?}"),
    }
}

fn with_password(client: &Client) -> directauth::ChooseFactor {
    match block_on(client.sign_in(ANA).password("correct horse battery")) {
        Ok(Step::ChooseFactor(choice)) => choice,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_passkey_signs_in_alone_and_once() {
    let (tenant, client, mut platform) = registered(BEN);
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    assert_eq!(step.enrolled()[0].name, "the software authenticator");
    let answer = platform.asked(step.request_json()).expect("signed");
    let session = signed_in(block_on(step.answer(&answer)));
    assert_eq!(session.username(), BEN);
    let journal = tenant.journal();
    let request = journal.of("token")[0];
    for name in ["authenticatorData", "clientDataJSON", "signature", "userHandle"] {
        let value = request.param(name).unwrap_or_default();
        assert!(!value.is_empty() && !value.contains('='), "{name} is base64url without padding (row 182)");
    }
    assert_eq!(request.param("mfa_token"), None);
    let again = block_on(step.answer(&answer)).expect_err("spent");
    assert_eq!(again.kind(), &Kind::Busy);
    assert_eq!(tenant.journal().count("token"), 1, "an assertion is never sent twice (row 181)");
}

#[test]
fn a_verified_passkey_is_two_factors_and_an_unverified_one_is_one() {
    let (_tenant, client, mut platform) = registered(ANA);
    let step = passkey(block_on(client.sign_in(ANA).passkey()));
    signed_in(block_on(step.answer(&platform.asked(step.request_json()).expect("signed"))));

    let tenant = emulator().tenant();
    let mut platform = Platform::without_verification(&origin(&tenant));
    platform.registers(&tenant, ANA);
    let client = support::net::client(&tenant);
    let step = passkey(block_on(client.sign_in(ANA).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    let Ok(Step::ChooseFactor(choice)) = block_on(step.answer(&answer)) else { panic!("one factor") };
    let totp = tenant.totp(ANA).expect("a code");
    signed_in(block_on(choice.otp(totp)));
}

#[test]
fn a_passkey_is_the_second_factor_at_either_place() {
    for (start, at, operation) in [
        (PasskeyStart::Challenge, SecondFactorAt::Challenge, "challenge"),
        (PasskeyStart::PrimaryAuthenticate, SecondFactorAt::PrimaryAuthenticate, "primary-authenticate"),
    ] {
        let (tenant, _, mut platform) = registered(ANA);
        tenant.settings(|settings| settings.passkey_second_factor_at = at);
        let client = builder(&tenant).passkey_start(start).build().expect("valid");
        let choice = with_password(&client);
        assert!(choice.factors().contains(&Factor::Passkey));
        let step = passkey(block_on(choice.passkey()));
        assert_eq!(tenant.journal().count(operation), 1);
        signed_in(block_on(step.answer(&platform.asked(step.request_json()).expect("signed"))));
        // The other variant.
        let other = match start {
            PasskeyStart::Challenge => PasskeyStart::PrimaryAuthenticate,
            _ => PasskeyStart::Challenge,
        };
        let client = builder(&tenant).passkey_start(other).build().expect("valid");
        let error = block_on(with_password(&client).passkey()).expect_err("not there");
        assert!(matches!(error.kind(), Kind::Configuration { .. }), "{error:?}");
    }
}

#[test]
fn nobody_needs_to_type_a_name() {
    let (tenant, client, mut platform) = registered(BEN);
    let step = passkey(block_on(client.sign_in_with_passkey()));
    assert!(step.request_json().contains("\"allowCredentials\":[]"), "row 176");
    let answer = platform.asked(step.request_json()).expect("a discoverable credential");
    let session = signed_in(block_on(step.answer(&answer)));
    assert_eq!(session.username(), BEN, "what the server calls the user");
    assert_eq!(tenant.journal().of("primary-authenticate")[0].param("login_hint"), None);
}

#[test]
fn a_refused_assertion_needs_another_challenge() {
    let (tenant, client, mut platform) = registered(BEN);
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let mut answer: serde_json::Value =
        serde_json::from_str(&platform.asked(step.request_json()).expect("signed")).expect("JSON");
    answer["response"]["signature"] = json!("MEUCIQDx");
    let error = block_on(step.answer(&answer.to_string())).expect_err("a wrong signature");
    assert_eq!(error.kind(), &Kind::Rejected);
    assert_eq!(tenant.journal().count("token"), 1);
    let error = block_on(step.answer(&answer.to_string())).expect_err("spent");
    assert_eq!(error.kind(), &Kind::Busy);
    assert_eq!(tenant.journal().count("token"), 1, "row 181");
    let step = passkey(block_on(step.renew()));
    signed_in(block_on(step.answer(&platform.asked(step.request_json()).expect("signed"))));
}

#[test]
fn what_cannot_be_the_answer_is_not_sent() {
    let (tenant, client, mut platform) = registered(BEN);
    let earlier = passkey(block_on(client.sign_in(BEN).passkey()));
    let stale = platform.asked(earlier.request_json()).expect("signed");
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    for (answer, problem) in [
        (stale.as_str(), PasskeyProblem::OtherChallenge),
        ("{}", PasskeyProblem::Malformed),
        ("", PasskeyProblem::Malformed),
    ] {
        let error = block_on(step.answer(answer)).expect_err("not an answer");
        assert_eq!(error.kind(), &Kind::Passkey { problem });
        assert_eq!(error.remedy(), Remedy::ChooseAnother);
    }
    assert_eq!(tenant.journal().count("token"), 0);
    // The user had dismissed the sheet before, and now does not (row 180).
    signed_in(block_on(step.answer(&platform.asked(step.request_json()).expect("signed"))));
}

#[test]
fn a_platform_without_the_passkey_leads_to_another_factor() {
    let (tenant, client, _) = registered(ANA);
    let mut empty = Platform::at(&origin(&tenant));
    let step = passkey(block_on(with_password(&client).passkey()));
    empty.asked(step.request_json()).expect_err("there is none here");
    assert_eq!(tenant.journal().count("token"), 1, "row 180: no call");
    let choice = step.choice().expect("a second factor");
    signed_in(block_on(choice.otp(tenant.totp(ANA).expect("a code"))));
}

#[test]
fn another_relying_party_is_refused_before_any_ceremony() {
    for id in ["evil.example", "com", "sub.localhost"] {
        let (tenant, client, _) = registered(BEN);
        tenant.settings(|settings| settings.passkey_rp_id = id.to_owned());
        let error = block_on(client.sign_in(BEN).passkey()).expect_err("a stranger's");
        assert_eq!(error.kind(), &Kind::InvalidResponse { what: ResponseDefect::Member("rpId") }, "rows 172, 173");
    }
    // A domain above the issuer's, where the app says so.
    let tenant = emulator().tenant();
    tenant.settings(|settings| {
        settings.passkey_rp_id = "acme.com".to_owned();
        settings.passkey_origins = vec!["https://acme.com".to_owned()];
    });
    let mut platform = Platform::at("https://acme.com");
    platform.registers(&tenant, BEN);
    let client = builder(&tenant).relying_parties(["acme.com"]).build().expect("valid");
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    signed_in(block_on(step.answer(&platform.asked(step.request_json()).expect("signed"))));
}

#[test]
fn the_server_verifies_what_was_signed() {
    let refused = |change: &dyn Fn(&Tenant, &mut Platform)| {
        let (tenant, client, mut platform) = registered(BEN);
        change(&tenant, &mut platform);
        let step = passkey(block_on(client.sign_in(BEN).passkey()));
        let answer = platform.asked(step.request_json()).expect("signed");
        let error = block_on(step.answer(&answer)).expect_err("refused");
        assert_eq!(error.kind(), &Kind::Rejected);
        assert_eq!(tenant.live_grants(), 0);
    };
    // Another origin for the same relying party.
    refused(&|tenant, platform| {
        let mut elsewhere = Platform::at("https://localhost:1");
        elsewhere.registers(tenant, BEN);
        *platform = elsewhere;
    });
    // A copy of the authenticator: the counter does not grow.
    refused(&|tenant, platform| {
        let mut copied = platform.makes(BEN);
        copied.counter = 1000;
        assert!(tenant.add_passkey(BEN, copied));
    });
    // Somebody else's key under the same id.
    refused(&|tenant, platform| {
        let known = platform.makes(BEN);
        let other = Platform::at(&origin(tenant)).makes(BEN);
        let mixed = directauth_emulator::Passkey { id: known.id, ..other };
        assert!(tenant.add_passkey(BEN, mixed));
    });
    // A user who has to be verified, and was not.
    let tenant = emulator().tenant();
    let mut platform = Platform::without_verification(&origin(&tenant));
    platform.registers(&tenant, BEN);
    let client = support::net::client(&tenant);
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    tenant.settings(|settings| settings.passkey_user_verification = UserVerification::Required);
    assert_eq!(block_on(step.answer(&answer)).expect_err("refused").kind(), &Kind::Rejected);
}

#[test]
fn an_android_app_is_an_origin_too() {
    let fingerprint = ["AB"; 32].join(":");
    let tenant = emulator().tenant();
    tenant.settings(|settings| settings.passkey_rp_id = "acme.com".to_owned());
    let mut platform = Platform::of_android_app("acme.com", &fingerprint);
    platform.registers(&tenant, BEN);
    let client = builder(&tenant).relying_parties(["acme.com"]).build().expect("valid");
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    assert_eq!(block_on(step.answer(&answer)).expect_err("an unknown app").kind(), &Kind::Rejected);
    let hash = data_encoding::BASE64URL_NOPAD.encode(&[0xAB; 32]);
    tenant.settings(|settings| settings.passkey_origins = vec![format!("android:apk-key-hash:{hash}")]);
    let step = passkey(block_on(step.renew()));
    let answer = platform.asked(step.request_json()).expect("signed");
    signed_in(block_on(step.answer(&answer)));
}

#[test]
fn an_answer_that_surely_was_not_seen_may_be_sent_again() {
    let (tenant, client, mut platform) = registered(BEN);
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    tenant.script(Rule::on("token").answer(Answer::status(429)));
    let error = block_on(step.answer(&answer)).expect_err("too many requests");
    assert!(matches!(error.kind(), Kind::RateLimited { .. }), "{error:?}");
    signed_in(block_on(step.answer(&answer)));

    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    tenant.script(Rule::on("token").answer(Answer::fault(Fault::CloseAfterProcessing)));
    let error = block_on(step.answer(&answer)).expect_err("no answer");
    assert!(matches!(error.kind(), Kind::Network { maybe_sent: true, .. }), "{error:?}");
    assert_eq!(block_on(step.answer(&answer)).expect_err("spent").kind(), &Kind::Busy);
}

#[test]
fn a_challenge_ends() {
    let tenant = emulator().tenant();
    let clock = std::sync::Arc::new(directauth_emulator::VirtualClock::new(tenant.now()));
    tenant.set_clock(clock.clone());
    let mut platform = Platform::at(&origin(&tenant));
    platform.registers(&tenant, BEN);
    let client = client(&tenant);
    let step = passkey(block_on(client.sign_in(BEN).passkey()));
    let answer = platform.asked(step.request_json()).expect("signed");
    clock.advance(Duration::from_secs(61));
    assert_eq!(block_on(step.answer(&answer)).expect_err("over").kind(), &Kind::Rejected);
}
