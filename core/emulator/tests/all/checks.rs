//! A client that does something wrong is told so: every check at least once, by its internal code in the journal.

use crate::common::*;
use directauth_emulator::Config;
use serde_json::json;

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn protocol_endpoints_take_forms_by_post_and_answer_json() {
    let bench = Bench::new();
    let url = bench.endpoint("token");
    let send = async |method: &str, headers: &[(&str, &str)]| {
        let answer = bench.client.send(method, &url, headers, b"grant_type=password".to_vec()).await.unwrap();
        (answer.status, answer.json()["errorCode"].clone())
    };
    assert_eq!(send("GET", &[]).await, (405, json!("E0000022")));
    assert_eq!(send("POST", &[("content-type", "application/json")]).await, (400, json!("E0000021")));
    assert_eq!(send("POST", &[]).await, (400, json!("E0000021")));
    for accept in ["text/html", "application/json;q=0", "application/problem+json", ""] {
        assert_eq!(
            send("POST", &[("content-type", FORM), ("accept", accept)]).await,
            (400, json!("E0000021")),
            "{accept}"
        );
    }
    assert_eq!(send("POST", &[("content-type", FORM)]).await, (400, json!("E0000021")), "JSON must be asked for");
    // Past that check, with a parameter on the type and any type accepted, it is a protocol error.
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8"), ("accept", "*/*")];
    let answer = bench.client.send("POST", &url, &headers, b"grant_type=password".to_vec()).await.unwrap();
    answer.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_parameter_must_not_come_twice() {
    let bench = Bench::new();
    let form = [("username", BEN.0), ("username", BEN.0), ("password", BEN.1)];
    bench.token("password", &form).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "illegal_duplicated_parameters");
}

#[tokio::test]
async fn another_method_is_refused_with_the_ones_that_are_meant() {
    let bench = Bench::new();
    for (method, endpoint, allow) in [
        ("GET", "token", "POST"),
        ("PUT", "challenge", "POST"),
        ("POST", "keys", "GET"),
        ("PUT", "userinfo", "GET, POST"),
    ] {
        let answer = bench.client.send(method, &bench.endpoint(endpoint), &[], Vec::new()).await.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{endpoint}");
        assert_eq!(answer.json()["errorCode"], json!("E0000022"));
    }
}

#[tokio::test]
async fn a_form_is_percent_encoded_utf_8() {
    let bench = Bench::new();
    for (body, error) in [
        ("grant_type=password&username=%C3%BC", None),
        ("grant_type=password&username=%C3", Some("E0000003")),
        ("grant_type=password&username=%ff", Some("E0000003")),
        ("grant_type=password&username=%zz", Some("E0000003")),
        ("grant_type=password&username=%4", Some("E0000003")),
        ("grant_type=password&username=a b", Some("E0000003")),
        ("grant_type=password&username=\u{fc}", Some("E0000003")),
        ("grant_type=password&username=a\r\n", Some("E0000003")),
    ] {
        let headers = [("content-type", FORM), ("accept", "application/json")];
        let answer = bench.client.send("POST", &bench.endpoint("token"), &headers, body.into()).await.unwrap();
        assert_eq!(answer.json()["errorCode"].as_str(), error, "{body}");
    }
}

#[tokio::test]
async fn nothing_of_a_form_may_be_in_the_query() {
    let bench = Bench::new();
    let form = [
        ("client_id", "0oaDemoNativeApp"),
        ("grant_type", "password"),
        ("username", BEN.0),
        ("password", BEN.1),
        ("scope", SCOPE),
    ];
    for (query, left_out, outcome) in [
        ("scope=openid", "scope", "E0000001"),
        ("password=tr0ub4dor%263", "password", "E0000001"),
        ("foreign=1", "", "E0000001"),
        ("foreign=1&foreign=2", "", "duplicate_oauth_params"),
        ("client_id=0oaDemoNativeApp", "client_id", "client_credentials_in_query"),
        ("client_secret=x", "", "client_credentials_in_query"),
        ("foreign=1&client_assertion=x", "", "client_credentials_in_query"),
        ("client_assertion_type=x", "", "client_credentials_in_query"),
        ("", "", "ok"),
    ] {
        let form: Vec<_> = form.into_iter().filter(|(name, _)| *name != left_out).collect();
        bench.client.post(&format!("{}?{query}", bench.endpoint("token")), &form).await;
        assert_eq!(bench.outcome(), outcome, "{query}");
    }
    // Introspection alone has a documented parameter there, and there or in the body only.
    let token = [("token", "unknown")];
    let here = [("token", "unknown"), ("client_id", "0oaDemoNativeApp")];
    let url = |query: &str| format!("{}?{query}", bench.endpoint("introspect"));
    assert_eq!(bench.client.post(&url("client_id=0oaDemoNativeApp"), &token).await.status, 200);
    for (query, form, outcome) in [
        ("client_id=0oaDemoNativeApp", &here[..], "illegal_duplicated_parameters"),
        ("client_id=0oaDemoNativeApp&client_id=x", &token[..], "duplicate_oauth_params"),
        ("client_id=0oaDemoNativeApp&token=unknown", &token[..], "E0000001"),
        ("=0oaDemoNativeApp", &token[..], "E0000001"),
    ] {
        bench.client.post(&url(query), form).await;
        assert_eq!(bench.outcome(), outcome, "{query}");
    }
    for endpoint in ["v1/keys", ".well-known/openid-configuration"] {
        let url = format!("{}/{endpoint}?client_id=0oaDemoNativeApp&client_id=x", bench.tenant.issuer());
        bench.client.get(&url, &[]).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn what_belongs_to_another_grant_is_refused_before_it_looks_like_a_wrong_credential() {
    let bench = Bench::new();
    for (grant, form, name) in [
        ("password", vec![("login_hint", BEN.0), ("password", BEN.1)], "login_hint"),
        ("password", vec![("username", BEN.0), ("password", BEN.1), ("otp", "1")], "otp"),
        ("password", vec![("username", BEN.0), ("password", BEN.1), ("mfa_token", "x")], "mfa_token"),
        (OTP, vec![("username", BEN.0), ("otp", "1")], "username"),
        (OTP, vec![("login_hint", BEN.0), ("otp", "1"), ("password", BEN.1)], "password"),
        (OOB, vec![("oob_code", "x"), ("otp", "1")], "otp"),
        (OOB, vec![("oob_code", "x"), ("mfa_token", "x")], "mfa_token"),
        (MFA_OTP, vec![("mfa_token", "x"), ("otp", "1"), ("oob_code", "x")], "oob_code"),
        (MFA_OTP, vec![("mfa_token", "x"), ("binding_code", "1")], "binding_code"),
        (MFA_OOB, vec![("mfa_token", "x"), ("oob_code", "x"), ("otp", "1")], "otp"),
        ("refresh_token", vec![("refresh_token", "x"), ("username", BEN.0)], "username"),
        ("refresh_token", vec![("refresh_token", "x"), ("mfa_token", "")], "mfa_token"),
    ] {
        let answer = bench.token(grant, &form).await;
        assert_eq!(answer.json()["errorSummary"], json!(format!("Api validation failed: {name}")), "{grant} {form:?}");
    }
    let primary = [("login_hint", CLEO.0), ("username", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push")];
    assert_eq!(bench.post("primary-authenticate", &primary).await.json()["errorCode"], json!("E0000001"));
    let mfa = bench.mfa_token(CLEO).await;
    let challenge = [("mfa_token", mfa.as_str()), ("oob_code", "x"), ("channel_hint", "push")];
    assert_eq!(bench.post("challenge", &challenge).await.json()["errorCode"], json!("E0000001"));
    assert!(bench.tenant.pending_pushes().is_empty());
}

#[tokio::test]
async fn a_poll_does_not_send_the_number_back() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    let prompt = bench.challenge(&mfa, "push").await.ok();
    let oob = prompt["oob_code"].as_str().unwrap();
    let with = async |binding_code: Option<&str>| {
        let mut form = vec![("mfa_token", mfa.as_str()), ("oob_code", oob)];
        form.extend(binding_code.map(|code| ("binding_code", code)));
        bench.token(MFA_OOB, &form).await;
        bench.outcome()
    };
    assert!(bench.tenant.approve_push(ANA.0));
    assert_eq!(with(prompt["binding_code"].as_str()).await, "E0000001");
    assert_eq!(with(Some("")).await, "E0000001");
    assert_eq!(with(None).await, "ok", "that was no poll");
}

#[tokio::test]
async fn the_client_is_public_and_known() {
    let bench = Bench::new();
    let (url, client) = (bench.endpoint("token"), ("client_id", "0oaDemoNativeApp"));
    let post = async |url: &str, form: &[(&str, &str)]| {
        bench.client.post(url, form).await;
        bench.outcome()
    };
    assert_eq!(post(&url, &[("grant_type", "password")]).await, "missing_client_credentials");
    assert_eq!(post(&url, &[("client_id", "typo")]).await, "invalid_client_id");
    assert_eq!(post(&url, &[client, ("client_secret", "x")]).await, "invalid_token_endpoint_auth_method");
    assert_eq!(post(&format!("{url}?client_id=x"), &[client]).await, "client_credentials_in_query");
    assert_eq!(post(&url, &[client, ("client_assertion", "x")]).await, "invalid_token_endpoint_auth_method");
    assert_eq!(
        post(&url, &[client, ("client_secret", "x"), ("client_assertion", "y")]).await,
        "multiple_client_credentials"
    );

    let headers = [("content-type", FORM), ("accept", "application/json"), ("authorization", "Basic eDp5")];
    let with_header = async |body: &str| bench.client.send("POST", &url, &headers, body.into()).await.unwrap();
    with_header("grant_type=password").await.refused(401, "invalid_client");
    assert_eq!(bench.outcome(), "invalid_token_endpoint_auth_method");
    for body in ["client_id=0oaDemoNativeApp", "client_id=0oaDemoNativeApp&client_secret=x", "client_secret=x"] {
        with_header(body).await.refused(401, "invalid_request");
        assert_eq!(bench.outcome(), "multiple_client_credentials", "{body}");
    }
    bench.tenant.settings(|settings| settings.several_credentials_status = 400);
    with_header("client_id=0oaDemoNativeApp").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn the_grant_type_must_be_named_offered_and_allowed() {
    let bench = Bench::new();
    bench.post("token", &[]).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "token_request_missing_grant_type");
    for grant in ["typo", "urn:ietf:params:oauth:grant-type:device_code"] {
        bench.token(grant, &[]).await.refused(400, "unsupported_grant_type");
    }
    bench.tenant.settings(|settings| settings.grants.retain(|grant| grant != "password" && grant != OOB));
    bench.password(BEN).await.refused(400, "unauthorized_client");
    let form = [("login_hint", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push")];
    bench.post("primary-authenticate", &form).await.refused(400, "unauthorized_client");
}

#[tokio::test]
async fn each_grant_needs_its_parameters() {
    let bench = Bench::new();
    for (grant, form, outcome) in [
        ("password", vec![("password", "x")], "missing_token_request_parameter"),
        ("password", vec![("username", "x"), ("password", "")], "missing_token_request_parameter"),
        (OTP, vec![("otp", "1")], "direct_auth_missing_login_hint"),
        (OTP, vec![("login_hint", BEN.0)], "missing_token_request_parameter"),
        (OOB, vec![], "missing_token_request_parameter"),
        (MFA_OTP, vec![("otp", "1")], "missing_token_request_parameter"),
        (MFA_OOB, vec![("oob_code", "1")], "missing_token_request_parameter"),
        ("refresh_token", vec![], "missing_token_request_parameter"),
        (OOB, vec![("oob_code", "unknown")], "direct_auth_expired_token"),
        (MFA_OTP, vec![("mfa_token", "unknown"), ("otp", "1")], "direct_auth_expired_token"),
        ("refresh_token", vec![("refresh_token", "unknown")], "invalid_refresh_token"),
    ] {
        bench.token(grant, &form).await;
        assert_eq!(bench.outcome(), outcome, "{grant} {form:?}");
    }
    bench.post("revoke", &[]).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "request_missing_token");
}

#[tokio::test]
async fn scopes_must_be_there_known_and_of_openid() {
    let bench = Bench::new();
    let with = async |scope: Option<&str>| {
        let mut form = vec![("grant_type", "password"), ("username", BEN.0), ("password", BEN.1)];
        form.extend(scope.map(|scope| ("scope", scope)));
        bench.post("token", &form).await;
        bench.outcome()
    };
    assert_eq!(with(None).await, "missing_scopes");
    assert_eq!(with(Some("")).await, "missing_scopes");
    assert_eq!(with(Some("openid nonsense")).await, "no_matching_scope");
    assert_eq!(with(Some("profile")).await, "openid_scope_required");
    assert_eq!(with(Some(&"openid ".repeat(200))).await, "invalid_scope");
    let long = |length: usize| format!("openid {}", "x".repeat(length - 7));
    assert_eq!(with(Some(&long(1024))).await, "no_matching_scope");
    assert_eq!(with(Some(&long(1025))).await, "invalid_scope");
    let refresh = bench.signed_in().await["refresh_token"].as_str().unwrap().to_owned();
    for (length, outcome) in [(4096, "refresh_scopes_denied"), (4097, "invalid_scope")] {
        let scope = long(length);
        bench.post("token", &[("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", &scope)]).await;
        assert_eq!(bench.outcome(), outcome, "{length}");
    }
    assert_eq!(with(Some("demo.read")).await, "ok");
}

#[tokio::test]
async fn scope_has_no_place_where_a_prompt_starts_unless_the_server_is_told_to_bear_it() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(CLEO).await;
    let challenge = [("mfa_token", mfa.as_str()), ("channel_hint", "push"), ("scope", SCOPE)];
    let primary = [("login_hint", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push"), ("scope", SCOPE)];
    bench.post("challenge", &challenge).await.refused(400, "invalid_scope");
    bench.post("primary-authenticate", &primary).await.refused(400, "invalid_scope");
    assert_eq!(bench.outcome(), "direct_auth_scope_not_allowed");
    bench.tenant.settings(|settings| settings.refuse_scope_on_challenge = false);
    bench.post("challenge", &challenge).await.ok();
    bench.post("primary-authenticate", &primary).await.ok();
}

#[tokio::test]
async fn later_legs_must_say_what_the_first_one_said() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    let code = bench.tenant.totp(ANA.0).unwrap();
    let leg = [
        ("client_id", "0oaDemoNativeApp"),
        ("grant_type", MFA_OTP),
        ("mfa_token", mfa.as_str()),
        ("otp", code.as_str()),
        ("scope", SCOPE),
    ];
    let changed = |name: &'static str, value: &'static str| {
        let kept = leg.iter().copied().filter(move |(key, _)| *key != name);
        kept.chain([(name, value)]).collect::<Vec<_>>()
    };
    let org = format!("{}/oauth2/v1/token", bench.tenant.org_issuer());
    let here = bench.endpoint("token");
    for (url, form, outcome) in [
        (&here, changed("client_id", "0oaDemoOtherApp"), "direct_auth_invalid_client_id"),
        (&org, leg.to_vec(), "direct_auth_invalid_as_id"),
        (&here, changed("scope", "openid offline_access"), "direct_auth_invalid_scope"),
        (&here, changed("scope", "profile openid offline_access"), "direct_auth_invalid_scope"),
        (&here, changed("acr_values", "urn:okta:loa:2fa:any"), "direct_auth_acr_values_changed"),
        (&here, changed("intent", "other"), "direct_auth_intent_values_changed"),
        (&here, leg.to_vec(), "ok"),
    ] {
        bench.client.post(url, &form).await;
        assert_eq!(bench.outcome(), outcome);
    }
}

#[tokio::test]
async fn the_legs_of_a_push_as_first_factor_are_bound_too() {
    let bench = Bench::new();
    let form = [("login_hint", CLEO.0), ("challenge_hint", OOB), ("channel_hint", "push")];
    let oob = bench.post("primary-authenticate", &form).await.text("oob_code");
    bench.token(OOB, &[("oob_code", &oob), ("acr_values", "x")]).await;
    assert_eq!(bench.outcome(), "direct_auth_acr_values_changed");
    bench.token(OOB, &[("oob_code", &oob)]).await.refused(400, "authorization_pending");
    bench.advance(1);
    bench
        .post("token", &[("grant_type", OOB), ("oob_code", &oob), ("scope", "openid")])
        .await
        .refused(400, "invalid_scope");
}

#[tokio::test]
async fn a_prompt_belongs_to_the_sign_in_that_started_it() {
    let bench = Bench::new();
    let (first, second) = (bench.mfa_token(CLEO).await, bench.mfa_token(CLEO).await);
    let oob = bench.challenge(&first, "push").await.text("oob_code");
    for (grant, form) in [
        (MFA_OOB, vec![("mfa_token", second.as_str()), ("oob_code", oob.as_str())]),
        (OOB, vec![("oob_code", oob.as_str())]),
    ] {
        bench.token(grant, &form).await.refused(400, "invalid_request");
        assert_eq!(bench.outcome(), "direct_auth_oob_code_not_for_mfa_token");
    }
    bench.token(MFA_OOB, &[("mfa_token", &first), ("oob_code", &oob)]).await.refused(400, "authorization_pending");
}

#[tokio::test]
async fn an_mfa_token_expires() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    bench.advance(600);
    let code = bench.tenant.totp(ANA.0).unwrap();
    bench.token(MFA_OTP, &[("mfa_token", &mfa), ("otp", &code)]).await.refused(403, "access_denied");
    assert_eq!(bench.outcome(), "direct_auth_expired_token");
}

#[tokio::test]
async fn the_start_of_a_prompt_needs_valid_hints() {
    let bench = Bench::new();
    let mfa = bench.mfa_token(ANA).await;
    let hint = |hint: &'static str| vec![("login_hint", CLEO.0), ("challenge_hint", hint), ("channel_hint", "push")];
    for (endpoint, form, outcome) in [
        ("primary-authenticate", vec![], "direct_auth_missing_login_hint"),
        ("primary-authenticate", vec![("login_hint", CLEO.0)], "missing_token_request_parameter"),
        ("primary-authenticate", hint("password"), "direct_auth_invalid_challenge_hint"),
        (
            "primary-authenticate",
            hint("urn:okta:params:oauth:grant-type:mfa-webauthn"),
            "direct_auth_invalid_challenge_hint",
        ),
        ("oob-authenticate", vec![("login_hint", CLEO.0)], "missing_token_request_parameter"),
        (
            "oob-authenticate",
            vec![("login_hint", CLEO.0), ("channel_hint", "pigeon")],
            "direct_auth_invalid_channel_hint",
        ),
        (
            "oob-authenticate",
            vec![("login_hint", CLEO.0), ("channel_hint", "email")],
            "direct_auth_factor_enrollment_required",
        ),
        (
            "oob-authenticate",
            vec![("login_hint", "who@example.com"), ("channel_hint", "push")],
            "direct_auth_invalid_login_hint",
        ),
        (
            "oob-authenticate",
            vec![("login_hint", "dora@example.com"), ("channel_hint", "push")],
            "direct_auth_invalid_login_hint",
        ),
        ("oob-authenticate", vec![("login_hint", "emil@example.com"), ("channel_hint", "push")], "user_not_assigned"),
        ("challenge", vec![], "missing_token_request_parameter"),
        ("challenge", vec![("mfa_token", "unknown")], "direct_auth_expired_token"),
        (
            "challenge",
            vec![("mfa_token", &mfa), ("challenge_types_supported", "pigeon")],
            "direct_auth_invalid_challenge_type",
        ),
        (
            "challenge",
            vec![("mfa_token", &mfa), ("challenge_types_supported", MFA_OOB)],
            "missing_token_request_parameter",
        ),
        ("challenge", vec![("mfa_token", &mfa), ("channel_hint", "pigeon")], "direct_auth_invalid_channel_hint"),
        ("challenge", vec![("mfa_token", &mfa)], "ok"),
    ] {
        bench.post(endpoint, &form).await;
        assert_eq!(bench.outcome(), outcome, "{endpoint} {form:?}");
    }
    bench.tenant.settings(|settings| {
        settings.email_channel = false;
        settings.unsupported_challenge_type_status = 403;
    });
    bench.challenge(&mfa, "email").await.refused(400, "invalid_request");
    bench
        .post("challenge", &[("mfa_token", &mfa), ("challenge_types_supported", "pigeon")])
        .await
        .refused(403, "access_denied");
}

#[tokio::test]
async fn what_the_app_says_it_can_do_is_honoured() {
    let bench = Bench::new();
    let with = async |supported: &str| {
        let form = [("username", CLEO.0), ("password", CLEO.1), ("grant_types_supported", supported)];
        bench.token("password", &form).await;
        bench.outcome()
    };
    assert_eq!(with(&format!("password {MFA_OOB}")).await, "mfa_required");
    assert_eq!(with(&format!("password {MFA_OTP}")).await, "direct_auth_grant_types_supported_not_prompted");
    assert_eq!(with("password pigeon").await, "direct_auth_invalid_grant_type_supported");
    bench.tenant.settings(|settings| settings.grants.retain(|grant| grant != MFA_OOB));
    assert_eq!(with("password").await, "direct_auth_prompted_grant_type_disabled_for_client");
}

#[tokio::test]
async fn accounts_that_may_not_sign_in_are_refused_as_documented() {
    let bench = Bench::new();
    bench.password(("nobody@example.com", "x")).await.refused(400, "invalid_grant");
    let unknown = bench.password(("nobody@example.com", "x")).await.body;
    let locked = bench.password(("dora@example.com", "dora-password")).await.body;
    assert_eq!(locked, unknown, "a lockout does not show");
    let code = bench.tenant.totp("dora@example.com").unwrap();
    bench.token(OTP, &[("login_hint", "dora@example.com"), ("otp", &code)]).await.refused(400, "invalid_grant");
    bench.password(("emil@example.com", "wrong")).await.refused(400, "invalid_grant");
    bench.password(("emil@example.com", "emil-password")).await.refused(400, "access_denied");
    assert_eq!(bench.outcome(), "user_not_assigned");
    bench.password(("BEN@example.com", BEN.1)).await.ok();
    bench.tenant.lock_user("dora@example.com", false);
    assert_eq!(bench.password(("dora@example.com", "dora-password")).await.status, 200);
}

#[tokio::test]
async fn passkeys_are_refused_with_the_servers_own_errors() {
    let bench = Bench::new();
    let webauthn = "urn:okta:params:oauth:grant-type:webauthn";
    let mfa_webauthn = "urn:okta:params:oauth:grant-type:mfa-webauthn";
    let mfa = bench.mfa_token(ANA).await;
    let base64url = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let (no_challenge, unknown) = (base64url("{}"), base64url(r#"{"challenge":"unknown"}"#));
    let assertion = |client: &'static str| {
        vec![("scope", SCOPE), ("authenticatorData", "AA"), ("signature", "AA"), ("clientDataJSON", client)]
    };
    let leak = |text: &String| -> &'static str { text.clone().leak() };
    let (no_challenge, unknown) = (leak(&no_challenge), leak(&unknown));
    let token =
        |grant: &'static str, form: Vec<(&'static str, &'static str)>| [vec![("grant_type", grant)], form].concat();
    for (endpoint, form, outcome) in [
        ("primary-authenticate", vec![("challenge_hint", webauthn)], "ok"),
        (
            "primary-authenticate",
            vec![("challenge_hint", webauthn), ("login_hint", BEN.0)],
            "direct_auth_factor_enrollment_required",
        ),
        (
            "primary-authenticate",
            vec![("challenge_hint", webauthn), ("login_hint", "who@example.com")],
            "direct_auth_invalid_login_hint",
        ),
        (
            "primary-authenticate",
            vec![("challenge_hint", webauthn), ("mfa_token", &mfa)],
            "direct_auth_factor_enrollment_required",
        ),
        (
            "challenge",
            vec![("mfa_token", mfa.as_str()), ("challenge_types_supported", mfa_webauthn)],
            "direct_auth_factor_enrollment_required",
        ),
        ("token", token(webauthn, vec![("scope", SCOPE)]), "direct_auth_invalid_webauthn_request"),
        ("token", token(webauthn, assertion("not base64!")), "direct_auth_invalid_webauthn_request"),
        ("token", token(webauthn, assertion("AA==")), "direct_auth_invalid_webauthn_request"),
        ("token", token(webauthn, assertion("AAAA")), "direct_auth_invalid_webauthn_challenge_data"),
        ("token", token(webauthn, assertion(no_challenge)), "direct_auth_invalid_webauthn_challenge_data"),
        ("token", token(webauthn, assertion(unknown)), "direct_auth_no_pending_challenge"),
        (
            "token",
            vec![("grant_type", mfa_webauthn), ("scope", SCOPE), ("mfa_token", &mfa)],
            "direct_auth_invalid_webauthn_request",
        ),
    ] {
        bench.post(endpoint, &form).await;
        assert_eq!(bench.outcome(), outcome, "{endpoint} {form:?}");
    }
    bench.tenant.settings(|settings| {
        settings.passkey_second_factor_at = directauth_emulator::SecondFactorAt::PrimaryAuthenticate;
    });
    bench.post("challenge", &[("mfa_token", mfa.as_str()), ("challenge_types_supported", mfa_webauthn)]).await;
    assert_eq!(bench.outcome(), "direct_auth_invalid_challenge_type");
    bench.tenant.settings(|settings| {
        settings.passkey_second_factor_at = directauth_emulator::SecondFactorAt::Challenge;
    });
    bench.post("primary-authenticate", &[("challenge_hint", webauthn), ("mfa_token", &mfa)]).await;
    assert_eq!(bench.outcome(), "direct_auth_invalid_challenge_hint");
}

#[tokio::test]
async fn switches_change_how_the_same_answer_looks() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| {
        settings.mfa_required_status = 400;
        settings.hint_challenge_types = true;
        settings.binding_code_as_number = true;
        settings.descriptions = directauth_emulator::Descriptions::Empty;
    });
    let answer = bench.password(ANA).await;
    answer.refused(400, "mfa_required");
    assert_eq!(answer.json()["error_description"], json!(""));
    let hint = answer.text("supported_challenge_types");
    assert_eq!(hint, format!("{MFA_OOB} {MFA_OTP}"));
    assert!(bench.challenge(&answer.text("mfa_token"), "push").await.ok()["binding_code"].is_u64());
}

#[tokio::test]
async fn users_who_lack_what_a_sign_in_takes_are_refused_as_documented() {
    let toml = r#"
        client_id = "0oaDemoNativeApp"
        [[users]]
        username = "expired"
        password = "x"
        status = "password_expired"
        [[users]]
        username = "without-password"
        [[users]]
        username = "without-second"
        password = "x"
        assurance = "2fa"
    "#;
    let bench = Bench { tenant: EMULATOR.tenant_with(Config::from_toml(toml).unwrap()), ..Bench::new() };
    for (user, status, outcome) in [
        ("expired", 400, "expired_password_credentials"),
        ("without-password", 400, "missing_password_enrollment"),
        ("without-second", 403, "direct_auth_requirements_no_supported_authenticators"),
    ] {
        assert_eq!(bench.password((user, "x")).await.status, status);
        assert_eq!(bench.outcome(), outcome);
    }
    bench.token(OTP, &[("login_hint", "expired"), ("otp", "000000")]).await.refused(403, "access_denied");
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_has_nothing() {
    let bench = Bench::new();
    let url = format!("{}/t/none/oauth2/default/.well-known/openid-configuration", EMULATOR.origin());
    let answer = bench.client.get(&url, &[]).await;
    assert_eq!((answer.status, answer.json()["errorCode"].clone()), (404, json!("E0000007")));
}
