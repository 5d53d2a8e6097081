//! A forgotten password: who may recover, and what the MyAccount API takes (protocol.md §1.14, §2.6).

use serde_json::json;

use crate::common::{Answer, BEN, Bench, SCOPE};

const MANAGE: &str = "okta.myAccount.password.manage";
const OTP: &str = "urn:okta:params:oauth:grant-type:otp";

async fn at_org(bench: &Bench, grant: &str, form: &[(&str, &str)]) -> Answer {
    let url = format!("{}/oauth2/v1/token", bench.tenant.org_issuer());
    let mut whole = vec![("grant_type", grant), ("client_id", "0oaDemoNativeApp")];
    whole.extend_from_slice(form);
    bench.client.post(&url, &whole).await
}

async fn recovery_token(bench: &Bench) -> String {
    let otp = bench.tenant.totp(BEN.0).unwrap();
    let form = [("login_hint", BEN.0), ("otp", &otp), ("scope", MANAGE), ("intent", "recovery")];
    let answer = at_org(bench, OTP, &form).await.ok();
    assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none());
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn put(bench: &Bench, token: &str, accept: &str, body: Vec<u8>) -> Answer {
    let url = format!("{}/idp/myaccount/password", bench.tenant.org_issuer());
    let bearer = format!("Bearer {token}");
    let headers = [("accept", accept), ("content-type", "application/json"), ("authorization", &bearer)];
    bench.client.send("PUT", &url, &headers, body).await.unwrap()
}

const ACCEPT: &str = "application/json; okta-version=1.0.0";

fn body(password: &str) -> Vec<u8> {
    json!({ "profile": { "password": password } }).to_string().into_bytes()
}

#[tokio::test]
async fn recovery_is_the_orgs_own_server_s_and_never_by_a_password() {
    let bench = Bench::new();
    let with_password = [("username", BEN.0), ("password", BEN.1)];
    for asked in [("intent", "recovery"), ("prompt", "recover_authenticator")] {
        let form = [&with_password[..], &[asked]].concat();
        bench.token("password", &form).await.refused(400, "invalid_scope");
        assert_eq!(bench.outcome(), "direct_auth_invalid_scope_for_intent");
        let here = [("grant_type", "password"), ("scope", MANAGE)];
        bench.post("token", &[&here[..], &form].concat()).await.refused(400, "invalid_scope");
        at_org(&bench, "password", &[&form[..], &[("scope", MANAGE)]].concat()).await.refused(403, "access_denied");
        assert_eq!(bench.outcome(), "direct_auth_recovery_authenticator_disabled");
        at_org(&bench, "password", &[&form[..], &[("scope", SCOPE)]].concat()).await.refused(400, "invalid_scope");
        assert_eq!(bench.outcome(), "direct_auth_invalid_scope_for_intent");
    }
    let form = [&with_password[..], &[("scope", MANAGE)]].concat();
    at_org(&bench, "password", &form).await.refused(400, "invalid_scope");
    bench.token("password", &[&with_password[..], &[("intent", "x")]].concat()).await.refused(400, "invalid_request");
    assert_eq!(bench.outcome(), "direct_auth_invalid_intent");
    bench.tenant.settings(|settings| settings.recovery = false);
    let otp = bench.tenant.totp(BEN.0).unwrap();
    let form = [("login_hint", BEN.0), ("otp", &otp), ("scope", MANAGE), ("intent", "recovery")];
    at_org(&bench, OTP, &form).await.refused(403, "access_denied");
    assert_eq!(bench.outcome(), "direct_auth_recovery_not_enabled_for_user");
}

#[tokio::test]
async fn a_new_password_takes_the_place_of_the_old_one() {
    let bench = Bench::new();
    let token = recovery_token(&bench).await;
    let answer = put(&bench, &token, ACCEPT, body("a new horse 1")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), Some("application/json;okta-version=1.0.0"));
    bench.password(BEN).await.refused(400, "invalid_grant");
    bench.password((BEN.0, "a new horse 1")).await.ok();
}

#[tokio::test]
async fn what_the_api_refuses() {
    let bench = Bench::new();
    let token = recovery_token(&bench).await;
    let session = bench.signed_in().await;
    let session = session["access_token"].as_str().unwrap();
    for (token, accept, body, status, code) in [
        (token.as_str(), "application/json", body("a new horse 1"), 406, ""),
        ("nothing", ACCEPT, body("a new horse 1"), 401, "E0000015"),
        (session, ACCEPT, body("a new horse 1"), 403, "E0000006"),
        (&token, ACCEPT, b"{".to_vec(), 400, "E0000003"),
        (&token, ACCEPT, b"{\"password\":\"a new horse 1\"}".to_vec(), 400, "E0000003"),
        (&token, ACCEPT, body("short"), 400, "E0000001"),
        (&token, ACCEPT, body("ben is my name"), 400, "E0000001"),
        (&token, ACCEPT, body(BEN.1), 400, "E0000001"),
    ] {
        let answer = put(&bench, token, accept, body).await;
        assert_eq!(answer.status, status, "{code}");
        if status != 406 {
            assert_eq!(answer.text("errorCode"), code);
        }
        if code == "E0000001" {
            let cause = answer.json()["errorCauses"][0]["errorSummary"].as_str().unwrap().to_owned();
            assert!(cause.contains("Password"), "{cause}");
        }
    }
    bench.password(BEN).await.ok();
}
