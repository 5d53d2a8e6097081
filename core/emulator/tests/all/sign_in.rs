//! The sign-ins that an app makes, from the first request to the call of an API.

use crate::common::*;
use directauth_emulator::PushReaction;
use serde_json::{Value, json};

#[tokio::test]
async fn both_servers_publish_metadata_at_every_documented_place() {
    let bench = Bench::new();
    let (custom, org) = (bench.tenant.issuer(), bench.tenant.org_issuer());
    let origin = EMULATOR.origin();
    let path = custom.strip_prefix(&origin).unwrap();
    for (url, issuer) in [
        (format!("{custom}/.well-known/openid-configuration"), &custom),
        (format!("{custom}/.well-known/oauth-authorization-server"), &custom),
        (format!("{origin}/.well-known/oauth-authorization-server{path}"), &custom),
        (format!("{org}/.well-known/openid-configuration?client_id=0oaDemoNativeApp"), &org),
    ] {
        let metadata = bench.client.get(&url, &[]).await.ok();
        assert_eq!(metadata["issuer"], json!(issuer), "{url}");
        let keys = bench.client.get(metadata["jwks_uri"].as_str().unwrap(), &[]).await;
        assert_eq!(keys.ok()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(keys.header("cache-control"), Some("max-age=3600, must-revalidate"));
    }
    let metadata = bench.client.get(&format!("{custom}/.well-known/openid-configuration"), &[]).await.ok();
    assert_eq!(metadata["token_endpoint"], json!(format!("{custom}/v1/token")));
}

#[tokio::test]
async fn the_issuer_follows_the_name_that_the_client_used() {
    let bench = Bench::new();
    let url = bench.tenant.issuer().replace("localhost", "127.0.0.1");
    let metadata = bench.client.get(&format!("{url}/.well-known/openid-configuration"), &[]).await.ok();
    assert_eq!(metadata["issuer"], json!(url));
}

#[tokio::test]
async fn discovery_refuses_an_unknown_client_and_an_unknown_server() {
    let bench = Bench::new();
    let wrong = format!("{}/.well-known/openid-configuration?client_id=typo", bench.tenant.issuer());
    let answer = bench.client.get(&wrong, &[]).await;
    assert_eq!((answer.status, answer.json()["errorCode"].clone()), (400, json!("invalid_client")));
    let typo = format!("{}/oauth2/defualt/.well-known/openid-configuration", bench.tenant.org_issuer());
    let answer = bench.client.get(&typo, &[]).await;
    assert_eq!((answer.status, answer.json()["errorCode"].clone()), (404, json!("E0000007")));
}

#[tokio::test]
async fn a_password_alone_signs_in_where_one_factor_is_enough() {
    let bench = Bench::new();
    let answer = bench.password(BEN).await;
    let tokens = answer.ok();
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["scope"]),
        (&json!("Bearer"), &json!(3600), &json!(SCOPE))
    );
    for header in ["date", "x-okta-request-id", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"] {
        assert!(answer.header(header).is_some(), "{header}: {answer:?}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-cache, no-store"));

    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let access = tokens["access_token"].as_str().unwrap();
    let claims = verified(tokens["id_token"].as_str().unwrap(), &keys);
    let hash = ring::digest::digest(&ring::digest::SHA256, access.as_bytes());
    assert_eq!(claims["at_hash"], json!(data_encoding::BASE64URL_NOPAD.encode(&hash.as_ref()[..16])));
    assert_eq!(claims["iss"], json!(bench.tenant.issuer()));
    assert_eq!(claims["aud"], json!("0oaDemoNativeApp"));
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert_eq!(claims["preferred_username"], json!("ben@example.com"));
    assert_eq!((claims["email"].clone(), claims["acr"].clone()), (Value::Null, Value::Null));
    assert!(claims["jti"].as_str().unwrap().starts_with("ID."));
    assert_eq!(verified(access, &keys)["cid"], json!("0oaDemoNativeApp"));

    assert_eq!(bench.resource(access).await.ok()["username"], json!("ben@example.com"));
    let me =
        bench.client.get(&bench.endpoint("userinfo"), &[("authorization", &format!("Bearer {access}"))]).await.ok();
    assert_eq!((&me["sub"], &me["name"]), (&claims["sub"], &json!("Ben Okafor")));
}

#[tokio::test]
async fn the_org_server_gives_out_opaque_access_tokens_for_its_own_userinfo_only() {
    let bench = Bench::new();
    let org = bench.tenant.org_issuer();
    let form = [
        ("client_id", "0oaDemoNativeApp"),
        ("grant_type", "password"),
        ("username", BEN.0),
        ("password", BEN.1),
        ("scope", "openid email"),
    ];
    let tokens = bench.client.post(&format!("{org}/oauth2/v1/token"), &form).await.ok();
    assert_eq!(tokens["refresh_token"], Value::Null);
    let access = tokens["access_token"].as_str().unwrap();
    assert!(!access.contains('.'), "opaque");
    let keys = bench.client.get(&format!("{org}/oauth2/v1/keys"), &[]).await.ok();
    let claims = verified(tokens["id_token"].as_str().unwrap(), &keys);
    assert_eq!((&claims["iss"], &claims["email"]), (&json!(org), &json!("ben@example.com")));
    let bearer = format!("Bearer {access}");
    bench.client.get(&format!("{org}/oauth2/v1/userinfo"), &[("authorization", &bearer)]).await.ok();
    assert_eq!(bench.client.get(&bench.endpoint("userinfo"), &[("authorization", &bearer)]).await.status, 401);
    let custom_scope = form.map(|(name, value)| (name, if name == "scope" { "openid demo.read" } else { value }));
    bench.client.post(&format!("{org}/oauth2/v1/token"), &custom_scope).await.refused(400, "invalid_scope");
}

#[tokio::test]
async fn a_code_of_the_authenticator_app_signs_in_and_works_once() {
    let bench = Bench::new();
    let wrong = bench.tenant.wrong_totp(BEN.0).unwrap();
    bench.token(OTP, &[("login_hint", BEN.0), ("otp", &wrong)]).await.refused(400, "invalid_grant");
    assert_eq!(bench.outcome(), "direct_auth_invalid_otp");
    let code = bench.tenant.totp(BEN.0).unwrap();
    bench.token(OTP, &[("login_hint", BEN.0), ("otp", &code)]).await.ok();
    bench.token(OTP, &[("login_hint", BEN.0), ("otp", &code)]).await.refused(400, "invalid_grant");
    let next = bench.tenant.totp(BEN.0).unwrap();
    bench.token(OTP, &[("login_hint", BEN.0), ("otp", &next)]).await.ok();
}

#[tokio::test]
async fn a_password_then_a_wrong_code_then_the_right_one_on_the_same_mfa_token() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    let wrong = bench.tenant.wrong_totp(ANA.0).unwrap();
    bench.token(MFA_OTP, &[("mfa_token", &mfa), ("otp", &wrong)]).await.refused(400, "invalid_grant");
    let named = bench.post("challenge", &[("mfa_token", &mfa), ("challenge_types_supported", MFA_OTP)]).await.ok();
    assert_eq!(named, json!({ "challenge_type": MFA_OTP }));
    let code = bench.tenant.totp(ANA.0).unwrap();
    let tokens = bench.token(MFA_OTP, &[("mfa_token", &mfa), ("otp", &code)]).await.ok();
    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    assert_eq!(verified(tokens["id_token"].as_str().unwrap(), &keys)["amr"], json!(["pwd", "otp", "mfa"]));
    let again = bench.tenant.totp(ANA.0).unwrap();
    bench.token(MFA_OTP, &[("mfa_token", &mfa), ("otp", &again)]).await.refused(403, "access_denied");
}

#[tokio::test]
async fn a_push_with_a_number_is_approved_by_tapping_it() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    let prompt = bench.challenge(&mfa, "push").await.ok();
    assert_eq!(
        (&prompt["challenge_type"], &prompt["channel"], &prompt["binding_method"]),
        (&json!(MFA_OOB), &json!("push"), &json!("transfer"))
    );
    assert_eq!((&prompt["expires_in"], &prompt["interval"]), (&json!(300), &json!(1)));
    let pushes = bench.tenant.pending_pushes();
    assert_eq!((pushes.len(), pushes[0].choices.len()), (1, 3));
    assert_eq!(json!(pushes[0].number), prompt["binding_code"]);

    let oob = prompt["oob_code"].as_str().unwrap().to_owned();
    let poll = async || bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await;
    poll().await.refused(400, "authorization_pending");
    bench.advance(1);
    assert!(bench.tenant.tap_number(ANA.0, prompt["binding_code"].as_str().unwrap()));
    poll().await.ok();
    bench.advance(1);
    poll().await.refused(403, "access_denied");
}

#[tokio::test]
async fn a_wrong_number_or_a_denial_rejects_once_and_another_factor_still_works() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    for deny in [false, true] {
        let oob = bench.challenge(&mfa, "push").await.text("oob_code");
        let push = bench.tenant.pending_pushes().pop().unwrap();
        let wrong = push.choices.iter().find(|choice| push.number.as_ref() != Some(choice)).unwrap();
        assert!(if deny { bench.tenant.deny_push(ANA.0) } else { bench.tenant.tap_number(ANA.0, wrong) });
        bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await.refused(400, "invalid_grant");
        assert_eq!(bench.outcome(), "direct_auth_oob_reject");
        bench.advance(1);
        bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await.refused(403, "access_denied");
    }
    let code = bench.tenant.totp(ANA.0).unwrap();
    bench.token(MFA_OTP, &[("mfa_token", &mfa), ("otp", &code)]).await.ok();
}

#[tokio::test]
async fn a_declined_push_can_end_the_whole_sign_in() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.mfa_token_survives_decline = false);
    bench.tenant.on_next_push(PushReaction::Deny { after_polls: 0 });
    let mfa = bench.mfa_token(CLEO).await;
    let oob = bench.challenge(&mfa, "push").await.text("oob_code");
    bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await.refused(400, "invalid_grant");
    bench.challenge(&mfa, "sms").await.refused(403, "access_denied");
}

#[tokio::test]
async fn reactions_answer_pushes_after_so_many_polls() {
    let bench = Bench::new();
    bench.tenant.on_next_push(PushReaction::WrongNumber { after_polls: 1 });
    bench.tenant.on_next_push(PushReaction::Approve { after_polls: 2 });
    let mfa = bench.mfa_token(CLEO).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let oob = bench.challenge(&mfa, "push").await.text("oob_code");
        loop {
            bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await;
            bench.advance(1);
            seen.push(bench.outcome());
            if bench.outcome() != "direct_auth_authorization_pending" {
                break;
            }
        }
    }
    let pending = "direct_auth_authorization_pending";
    assert_eq!(seen, [pending, "direct_auth_oob_reject", pending, pending, "ok"]);
}

#[tokio::test]
async fn a_push_nobody_answers_expires() {
    let bench = Bench::new();
    bench.tenant.on_next_push(PushReaction::Ignore);
    let mfa = bench.mfa_token(CLEO).await;
    let oob = bench.challenge(&mfa, "push").await.text("oob_code");
    bench.advance(299);
    bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await.refused(400, "authorization_pending");
    bench.advance(1);
    assert!(!bench.tenant.approve_push(CLEO.0), "too late");
    bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob)]).await.refused(403, "access_denied");
}

#[tokio::test]
async fn polling_too_fast_is_answered_slow_down_and_makes_the_interval_longer() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.interval = 5);
    let mfa = bench.mfa_token(CLEO).await;
    let prompt = bench.challenge(&mfa, "push").await.ok();
    assert_eq!(prompt["interval"], json!(5));
    let oob = prompt["oob_code"].as_str().unwrap();
    for (wait_ms, error) in [
        (0, "authorization_pending"),
        (4_900, "authorization_pending"), // within the tolerance
        (4_899, "slow_down"),             // now 10 s
        (9_000, "slow_down"),             // now 15 s
        (15_000, "authorization_pending"),
    ] {
        bench.clock.advance(std::time::Duration::from_millis(wait_ms));
        bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", oob)]).await.refused(400, error);
    }
    bench.advance(15);
    assert!(bench.tenant.approve_push(CLEO.0));
    bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", oob)]).await.ok();
}

#[tokio::test]
async fn a_code_by_sms_is_typed_back_and_a_wrong_one_can_be_corrected() {
    let bench = Bench::new();
    for channel in ["sms", "voice", "email"] {
        let mfa = bench.mfa_token(ANA).await;
        let prompt = bench.challenge(&mfa, channel).await.ok();
        assert_eq!((&prompt["binding_method"], &prompt["interval"]), (&json!("prompt"), &Value::Null));
        let oob = prompt["oob_code"].as_str().unwrap();
        let message = bench.tenant.outbox().pop().unwrap();
        assert_eq!((message.username.as_str(), message.channel.as_str()), (ANA.0, channel));
        let wrong = if message.code == "000000" { "000001" } else { "000000" };
        let submit = async |code: &str| {
            bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", oob), ("binding_code", code)]).await
        };
        submit(wrong).await.refused(400, "invalid_grant");
        submit(&message.code).await.ok();
        submit(&message.code).await.refused(403, "access_denied");
    }
    assert_eq!(bench.tenant.last_code(ANA.0), bench.tenant.outbox().pop().map(|message| message.code));
}

#[tokio::test]
async fn a_push_can_be_the_first_factor_also_by_the_deprecated_endpoint() {
    let bench = Bench::new();
    for endpoint in ["primary-authenticate", "oob-authenticate"] {
        bench.tenant.on_next_push(PushReaction::Approve { after_polls: 0 });
        let form = [("login_hint", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push")];
        let prompt = bench.post(endpoint, &form).await.ok();
        assert_eq!((&prompt["binding_method"], &prompt["challenge_type"]), (&json!("none"), &Value::Null));
        let oob = prompt["oob_code"].as_str().unwrap();
        let answer = bench.token(OOB, &[("oob_code", oob)]).await;
        answer.refused(403, "mfa_required");
        let mfa = answer.text("mfa_token");
        bench.challenge(&mfa, "push").await.refused(403, "access_denied");
        assert_eq!(bench.outcome(), "direct_auth_not_challenged_for_required_factor_type");
        let oob = bench.challenge(&mfa, "sms").await.text("oob_code");
        let code = bench.tenant.last_code(CLEO.0).unwrap();
        bench.token(MFA_OOB, &[("mfa_token", &mfa), ("oob_code", &oob), ("binding_code", &code)]).await.ok();
        bench.advance(30);
    }
    assert_eq!(bench.tenant.journal().count("oob-authenticate"), 1);
}

#[tokio::test]
async fn context_classes_are_met_echoed_or_refused() {
    let bench = Bench::new();
    let with = async |acr: &str| {
        bench.token("password", &[("username", BEN.0), ("password", BEN.1), ("acr_values", acr)]).await
    };
    let keys = bench.client.get(&bench.endpoint("keys"), &[]).await.ok();
    let tokens = with("urn:okta:loa:1fa:pwd").await.ok();
    assert_eq!(verified(tokens["id_token"].as_str().unwrap(), &keys)["acr"], json!("urn:okta:loa:1fa:pwd"));
    let tokens = with("unheard:of").await.ok();
    assert_eq!(verified(tokens["id_token"].as_str().unwrap(), &keys)["acr"], json!("urn:okta:loa:1fa:any"));
    with("phr").await.refused(400, "unmet_authentication_requirements");
    with("urn:okta:app:mfa:attestation").await.refused(400, "invalid_request");
    let answer = with("urn:okta:loa:2fa:any").await;
    answer.refused(403, "mfa_required");
    let (mfa, code) = (answer.text("mfa_token"), bench.tenant.totp(BEN.0).unwrap());
    let form = [("mfa_token", mfa.as_str()), ("otp", &code), ("acr_values", "urn:okta:loa:2fa:any")];
    let tokens = bench.token(MFA_OTP, &form).await.ok();
    assert_eq!(verified(tokens["id_token"].as_str().unwrap(), &keys)["acr"], json!("urn:okta:loa:2fa:any"));
}
