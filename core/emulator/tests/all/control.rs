//! The control API, as a test in another language uses it.

use crate::common::*;
use directauth_emulator::{Answer as Prescribed, Config, Emulator, Rule};
use serde_json::{Value, json};

struct Desk {
    emulator: Emulator,
    client: Client,
}

impl Desk {
    fn new() -> Self {
        let emulator = Emulator::builder().config(Config::demo()).control(true).start().unwrap();
        let client = Client::trusting(&emulator.ca_der());
        Self { emulator, client }
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.get(&format!("{}{path}", self.emulator.control_url().unwrap()), &[]).await
    }

    async fn post(&self, path: &str, body: Value) -> u16 {
        let url = format!("{}{path}", self.emulator.control_url().unwrap());
        let headers = [("content-type", "application/json")];
        self.client.send("POST", &url, &headers, body.to_string().into_bytes()).await.unwrap().status
    }

    async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let fixed = [("client_id", "0oaDemoNativeApp"), ("scope", SCOPE)];
        let form: Vec<_> = fixed.into_iter().chain(form.iter().copied()).collect();
        self.client.post(&format!("{}/v1/token", self.emulator.root().issuer()), &form).await
    }

    async fn password(&self, user: (&str, &str)) -> Answer {
        self.token(&[("grant_type", "password"), ("username", user.0), ("password", user.1)]).await
    }
}

#[tokio::test]
async fn users_codes_and_pushes_are_handled() {
    let desk = Desk::new();
    let users = desk.get("/users").await.ok();
    assert_eq!((users.as_array().unwrap().len(), &users[0]["username"]), (5, &json!(ANA.0)));
    assert!(!users.to_string().contains(ANA.1), "no password");

    let mfa = desk.password(ANA).await.text("mfa_token");
    let form = [("client_id", "0oaDemoNativeApp"), ("mfa_token", &mfa), ("channel_hint", "push")];
    let url = format!("{}/v1/challenge", desk.emulator.root().issuer());
    let oob = desk.client.post(&url, &form).await.text("oob_code");
    let pushes = desk.get("/pushes").await.ok();
    let (id, number) = (pushes[0]["id"].as_u64().unwrap(), pushes[0]["number"].as_str().unwrap());
    assert_eq!(desk.post(&format!("/pushes/{}/tap", id + 1), json!({"number": number})).await, 409);
    assert_eq!(desk.post(&format!("/pushes/{id}/tap"), json!({"number": number})).await, 204);
    assert_eq!(desk.post(&format!("/pushes/{id}/approve"), json!({})).await, 409, "answered already");
    desk.token(&[("grant_type", MFA_OOB), ("mfa_token", &mfa), ("oob_code", &oob)]).await.ok();

    let code = desk.get("/totp/ben%40example.com").await.text("code");
    desk.token(&[("grant_type", OTP), ("login_hint", BEN.0), ("otp", &code)]).await.ok();
    assert_eq!(desk.get("/totp/cleo@example.com").await.status, 404);

    let mfa = desk.password(CLEO).await.text("mfa_token");
    let form = [("client_id", "0oaDemoNativeApp"), ("mfa_token", &mfa), ("channel_hint", "sms")];
    desk.client.post(&url, &form).await.ok();
    let outbox = desk.get("/outbox").await.ok();
    assert_eq!((&outbox[0]["username"], outbox[0]["code"].as_str().map(str::len)), (&json!(CLEO.0), Some(6)));

    let journal = desk.get("/journal").await;
    assert_eq!(journal.json()["entries"].as_array().unwrap().len(), 6);
    assert!(!String::from_utf8(journal.body).unwrap().contains("correct horse"), "secrets are masked");
}

#[tokio::test]
async fn rules_settings_locks_keys_and_time_are_changed() {
    let desk = Desk::new();
    let rule = json!({"on": "token", "answer": {"status": 503, "json": {"error": "server_error"}}});
    assert_eq!(desk.post("/script", rule).await, 204);
    assert_eq!(desk.post("/script", json!({"on": "token", "answer": {}})).await, 400);
    assert_eq!(desk.password(BEN).await.status, 503);
    let point = [
        &[0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8][..],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4],
        &[7; 64],
    ]
    .concat();
    let passkey = json!({"id": "AQID", "public_key": data_encoding::BASE64URL_NOPAD.encode(&point)});
    assert_eq!(desk.post("/users/ben@example.com/passkeys", passkey.clone()).await, 204);
    assert_eq!(desk.post("/users/who@example.com/passkeys", passkey).await, 409);
    let no_key = json!({"id": "AQID", "public_key": "AAAA"});
    assert_eq!(desk.post("/users/ben@example.com/passkeys", no_key).await, 409);
    assert_eq!(desk.post("/users/ben@example.com/lock", json!(null)).await, 204);
    desk.password(BEN).await.refused(400, "invalid_grant");
    assert_eq!(desk.post("/users/ben@example.com/unlock", json!(null)).await, 204);
    assert_eq!(desk.post("/users/nobody@example.com/lock", json!(null)).await, 409);
    let tokens = desk.password(BEN).await.ok();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let me = async || desk.client.get(&desk.emulator.root().resource_url(), &[("authorization", &bearer)]).await.status;
    assert_eq!(me().await, 200);
    assert_eq!(desk.post("/clock", json!({"advance_s": 3600})).await, 204);
    assert_eq!(me().await, 401);
    assert_eq!(desk.post("/settings", json!({"interval": 9})).await, 204);
    assert_eq!(desk.get("/settings").await.ok()["interval"], json!(9));
    assert_eq!(desk.post("/settings", json!({"intervall": 9})).await, 400);
    assert_eq!(desk.post("/keys/rotate", json!(null)).await, 204);
    assert_eq!(desk.post("/keys/replace", json!(null)).await, 204);
    assert_eq!(desk.post("/push-reactions", json!({"approve": {"after_polls": 2}})).await, 204);
    assert_eq!(desk.post("/push-reactions", json!("ignore")).await, 204);
    assert_eq!(desk.post("/reset", json!(null)).await, 204);
    assert_eq!(desk.get("/settings").await.ok()["interval"], json!(1));
    assert_eq!(desk.get("/journal").await.ok()["entries"], json!([]));
    assert_eq!(desk.post("/nonsense", json!(null)).await, 404);
}

#[tokio::test]
async fn a_user_is_changed_and_what_is_left_of_a_script_is_told() {
    let desk = Desk::new();
    assert_eq!(desk.get("/").await.text("ca_pem"), desk.emulator.ca_pem());
    assert_eq!(desk.get("/script").await.ok(), json!({"unused": []}));
    assert_eq!(desk.post("/script", json!({"on": "challenge", "answer": {"status": 503}})).await, 204);
    assert_eq!(desk.get("/script").await.ok()["unused"].as_array().unwrap().len(), 1);

    assert_eq!(desk.post("/users/ben@example.com", json!({"assurance": "2fa"})).await, 204);
    desk.password(BEN).await.refused(403, "mfa_required");
    assert_eq!(desk.post("/users/ben@example.com", json!({"assurance": "1fa", "factors": ["sms"]})).await, 204);
    desk.password(BEN).await.ok();
    assert_eq!(desk.get("/users").await.ok()[1]["factors"], json!(["sms"]));
    assert_eq!(desk.post("/users/ben@example.com", json!({"status": "locked"})).await, 204);
    desk.password(BEN).await.refused(400, "invalid_grant");
    assert_eq!(desk.post("/users/ben@example.com", json!({"status": "active", "has_no_password": true})).await, 204);
    desk.password(BEN).await.refused(400, "invalid_grant");
    assert_eq!(desk.post("/users/ben@example.com", json!({"asurance": "1fa"})).await, 400);
    assert_eq!(desk.post("/users/who@example.com", json!({})).await, 409);
}

#[tokio::test]
async fn rules_are_taken_up_to_a_bound_and_used_up_ones_make_room() {
    let desk = Desk::new();
    let rule = Rule::on("token").answer(Prescribed::status(503));
    for _ in 0..1_000 {
        desk.emulator.root().script(rule.clone());
    }
    let another = json!({"on": "token", "answer": {"status": 503}});
    assert_eq!(desk.post("/script", another.clone()).await, 429);
    assert_eq!(desk.password(BEN).await.status, 503);
    assert_eq!(desk.post("/script", another.clone()).await, 204);
    assert_eq!(desk.post("/script", another.clone()).await, 429);
    assert_eq!(desk.post("/script/clear", json!(null)).await, 204);
    assert_eq!(desk.post("/script", another).await, 204);
}

#[tokio::test]
async fn a_tenant_is_made_and_addressed_by_its_path() {
    let desk = Desk::new();
    let url = format!("{}/tenants", desk.emulator.control_url().unwrap());
    let made = desk.client.send("POST", &url, &[], Vec::new()).await.unwrap();
    assert_eq!(made.status, 201);
    let (name, issuer) = (made.text("tenant"), made.text("issuer"));
    assert_eq!(
        desk.client.get(&format!("{issuer}/.well-known/openid-configuration"), &[]).await.ok()["issuer"],
        json!(issuer)
    );
    assert_eq!(desk.get(&format!("/t/{name}/journal")).await.ok()["entries"].as_array().unwrap().len(), 1);
    assert_eq!(desk.get("/journal").await.ok()["entries"], json!([]));
    assert_eq!(desk.get("/t/none/journal").await.status, 404);
}

#[tokio::test]
async fn only_loopback_names_and_no_foreign_page_are_answered() {
    let desk = Desk::new();
    let url = format!("{}/users", desk.emulator.control_url().unwrap());
    for headers in [
        [("host", "attacker.example")],
        [("host", "localhost.attacker.example:1")],
        [("origin", "https://attacker.example")],
    ] {
        assert_eq!(desk.client.send("GET", &url, &headers, Vec::new()).await.unwrap().status, 403, "{headers:?}");
    }
    assert_eq!(desk.client.send("GET", &url, &[("host", "localhost")], Vec::new()).await.unwrap().status, 200);
    assert_eq!(Emulator::start().unwrap().control_url(), None, "only when asked for");
}
