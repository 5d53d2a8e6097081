//! Proofs of possession: what the server refuses, and what it binds (RFC 9449 §4.3, §5, §7; protocol.md §3, row 279).

use data_encoding::BASE64URL_NOPAD;
use directauth_emulator::DpopPolicy;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};

use crate::common::{Answer, BEN, Bench, SCOPE, verified};

struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap())
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)})
    }

    fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let json = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, json.as_bytes()).as_ref())
    }

    /// A proof with some members of header and claims changed, or left out where they are null.
    fn proof(&self, header: Value, claims: Value) -> String {
        let with = |mut object: Map<String, Value>, changes: Value| {
            object.extend(changes.as_object().unwrap().clone());
            object.retain(|_, value| !value.is_null());
            BASE64URL_NOPAD.encode(Value::Object(object).to_string().as_bytes())
        };
        let object = |value: Value| value.as_object().unwrap().clone();
        let header = with(object(json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})), header);
        let message = format!("{header}.{}", with(object(json!({})), claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

struct Desk {
    bench: Bench,
    key: Key,
    used: std::cell::Cell<u32>,
}

impl Desk {
    fn new() -> Self {
        Self { bench: Bench::new(), key: Key::new(), used: std::cell::Cell::new(0) }
    }

    /// The claims of a proof for the token endpoint.
    fn claims(&self) -> Value {
        self.used.set(self.used.get() + 1);
        let iat = self.bench.tenant.now().as_secs();
        json!({"htm": "POST", "htu": self.bench.endpoint("token"), "iat": iat, "jti": format!("j{}", self.used.get())})
    }

    fn with(&self, changes: Value) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    }

    async fn post(&self, form: &[(&str, &str)], proofs: &[String]) -> Answer {
        let url = self.bench.endpoint("token");
        let mut headers = vec![("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(proofs.iter().map(|proof| ("dpop", proof.as_str())));
        let client_id = self.bench.tenant.client_id();
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form).append_pair("client_id", &client_id);
        self.bench.client.send("POST", &url, &headers, body.finish().into_bytes()).await.unwrap()
    }

    async fn password(&self, proofs: &[String]) -> Answer {
        let form = [("grant_type", "password"), ("username", BEN.0), ("password", BEN.1), ("scope", SCOPE)];
        self.post(&form, proofs).await
    }

    async fn proven(&self, nonce: Option<&str>) -> Answer {
        self.password(&[self.key.proof(json!({}), self.with(json!({ "nonce": nonce })))]).await
    }

    async fn resource(&self, scheme: &str, token: &str, proofs: &[String]) -> Answer {
        let authorization = format!("{scheme} {token}");
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", proof.as_str())));
        self.bench.client.send("GET", &self.bench.tenant.resource_url(), &headers, Vec::new()).await.unwrap()
    }

    fn resource_claims(&self, token: &str, changes: Value) -> Value {
        let ath = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let mut claims = self.with(json!({"htm": "GET", "htu": self.bench.tenant.resource_url(), "ath": ath}));
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    }
}

#[tokio::test]
async fn a_nonce_is_asked_for_renewed_after_a_day_and_works_for_three() {
    let desk = Desk::new();
    let answer = desk.proven(None).await;
    answer.refused(400, "use_dpop_nonce");
    let first = answer.header("dpop-nonce").unwrap().to_owned();
    let answer = desk.proven(Some(&first)).await;
    assert_eq!(answer.ok()["token_type"], "DPoP");
    assert_eq!(answer.header("dpop-nonce"), None, "it is still the newest");
    desk.bench.advance(86_401);
    let answer = desk.proven(Some(&first)).await;
    answer.ok();
    let second = answer.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(first, second);
    desk.bench.advance(2 * 86_400);
    desk.proven(Some(&first)).await.refused(400, "use_dpop_nonce");
    desk.proven(Some("made up")).await.refused(400, "use_dpop_nonce");
    desk.proven(Some(&second)).await.ok();
}

#[tokio::test]
async fn what_is_refused_of_a_proof() {
    let desk = Desk::new();
    desk.bench.tenant.settings(|settings| settings.dpop_nonce = false);
    let now = desk.bench.tenant.now().as_secs();
    let private = {
        let mut jwk = desk.key.jwk();
        jwk["d"] = json!("AQ");
        jwk
    };
    for (code, header, claims) in [
        ("invalid_dpop_proof_invalid_type", json!({"typ": null}), json!({})),
        ("invalid_dpop_proof_invalid_type", json!({"typ": "JWT"}), json!({})),
        ("invalid_dpop_proof_invalid_signature_algorithm", json!({"alg": "none"}), json!({})),
        ("invalid_dpop_proof_invalid_signature_algorithm", json!({"alg": "HS256"}), json!({})),
        ("invalid_dpop_proof_invalid_jwt", json!({"jwk": null}), json!({})),
        ("invalid_dpop_proof_invalid_jwt", json!({ "jwk": private }), json!({})),
        ("invalid_dpop_proof_invalid_signature", json!({"jwk": Key::new().jwk()}), json!({})),
        ("invalid_dpop_proof_invalid_htm", json!({}), json!({"htm": "GET"})),
        ("invalid_dpop_proof_invalid_htu", json!({}), json!({"htu": "https://elsewhere.example/token"})),
        ("invalid_dpop_proof_invalid_htu", json!({}), json!({"htu": desk.bench.endpoint("token?x=1")})),
        ("invalid_dpop_proof_invalid_iat", json!({}), json!({"iat": null})),
        ("invalid_dpop_proof_jwt_issued_in_future", json!({}), json!({"iat": now + 301})),
        ("invalid_dpop_proof_jwt_too_old", json!({}), json!({"iat": now - 301})),
        ("invalid_dpop_proof_jwt_expired", json!({}), json!({"exp": now})),
        ("invalid_dpop_proof_invalid_jti", json!({}), json!({"jti": null})),
        ("invalid_dpop_proof_invalid_jti", json!({}), json!({"jti": ""})),
    ] {
        let answer = desk.password(&[desk.key.proof(header, desk.with(claims))]).await;
        answer.refused(400, "invalid_dpop_proof");
        assert_eq!(desk.bench.outcome(), code);
    }
    let once = desk.key.proof(json!({}), desk.claims());
    desk.password(std::slice::from_ref(&once)).await.ok();
    desk.password(&[once]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "dpop_proof_already_used");
    let two = [desk.key.proof(json!({}), desk.claims()), desk.key.proof(json!({}), desk.claims())];
    desk.password(&two).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "invalid_dpop_proof_multiple_headers_not_allowed");
    desk.password(&["a.b.c".to_owned()]).await.refused(400, "invalid_dpop_proof");
    desk.bench.tenant.settings(|settings| settings.dpop = DpopPolicy::Required);
    desk.password(&[]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "invalid_dpop_proof_missing_header");
}

#[tokio::test]
async fn tokens_are_bound_to_the_key_and_work_with_no_other() {
    let desk = Desk::new();
    desk.bench.tenant.settings(|settings| settings.dpop_nonce = false);
    let tokens = desk.proven(None).await.ok();
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let keys = desk.bench.client.get(&desk.bench.endpoint("keys"), &[]).await.json();
    assert_eq!(verified(access, &keys)["cnf"]["jkt"], desk.key.thumbprint());
    let good = |changes: Value| desk.key.proof(json!({}), desk.resource_claims(access, changes));
    assert_eq!(desk.resource("DPoP", access, &[good(json!({}))]).await.status, 200);
    desk.resource("Bearer", access, &[]).await.refused(400, "invalid_request");
    assert_eq!(desk.bench.outcome(), "dpop_authentication_scheme_required");
    desk.resource("DPoP", access, &[]).await.refused(400, "invalid_request");
    assert_eq!(desk.bench.outcome(), "dpop_proof_required_for_token");
    desk.resource("DPoP", access, &[good(json!({"ath": "x"}))]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "dpop_proof_invalid_ath");
    let other = Key::new();
    let by_another = other.proof(json!({}), desk.resource_claims(access, json!({})));
    desk.resource("DPoP", access, &[by_another]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "invalid_access_token_dpop_binding");
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    desk.post(&form, &[]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "invalid_dpop_proof_invalid_public_key_binding");
    desk.post(&form, &[other.proof(json!({}), desk.claims())]).await.refused(400, "invalid_dpop_proof");
    assert_eq!(desk.bench.outcome(), "invalid_dpop_proof_invalid_public_key_binding");
    assert_eq!(desk.post(&form, &[desk.key.proof(json!({}), desk.claims())]).await.ok()["token_type"], "DPoP");
    let bearer = desk.password(&[]).await.ok();
    let bearer = bearer["access_token"].as_str().unwrap();
    let proof = desk.key.proof(json!({}), desk.resource_claims(bearer, json!({})));
    let answer = desk.resource("DPoP", bearer, &[proof]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().starts_with("DPoP algs="));
}

#[tokio::test]
async fn all_legs_of_a_sign_in_show_one_key() {
    let desk = Desk::new();
    desk.bench.tenant.settings(|settings| settings.dpop_nonce = false);
    let form = [
        ("grant_type", "password"),
        ("username", "ana@example.com"),
        ("password", "correct horse battery"),
        ("scope", SCOPE),
    ];
    let answer = desk.post(&form, &[desk.key.proof(json!({}), desk.claims())]).await;
    answer.refused(403, "mfa_required");
    let (mfa, otp) = (answer.text("mfa_token"), desk.bench.tenant.totp("ana@example.com").unwrap());
    let grant = "http://auth0.com/oauth/grant-type/mfa-otp";
    let form = [("grant_type", grant), ("mfa_token", &mfa), ("otp", &otp), ("scope", SCOPE)];
    desk.post(&form, &[Key::new().proof(json!({}), desk.claims())]).await.refused(400, "invalid_dpop_proof");
    let answer = desk.post(&form, &[desk.key.proof(json!({}), desk.claims())]).await;
    assert_eq!(answer.ok()["token_type"], "DPoP");
}

#[tokio::test]
async fn variants() {
    let desk = Desk::new();
    desk.bench.tenant.settings(|settings| {
        settings.dpop_nonce = false;
        settings.dpop_downgrade = true;
    });
    assert_eq!(desk.proven(None).await.ok()["token_type"], "Bearer");
    desk.bench.tenant.settings(|settings| {
        settings.dpop_downgrade = false;
        settings.dpop_nonce = true;
        settings.dpop_nonce_after_grant = true;
        settings.dpop_resource_nonce = true;
    });
    let answer = desk.proven(None).await;
    answer.refused(400, "use_dpop_nonce");
    assert_eq!(desk.bench.tenant.live_grants(), 2, "the grant was given before the nonce was looked at");
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let tokens = desk.proven(Some(&nonce)).await.ok();
    let access = tokens["access_token"].as_str().unwrap();
    let answer =
        desk.resource("DPoP", access, &[desk.key.proof(json!({}), desk.resource_claims(access, json!({})))]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().contains("use_dpop_nonce"));
    let own = answer.header("dpop-nonce").unwrap();
    assert_ne!(own, nonce, "not the authorization server's");
    let proof = desk.key.proof(json!({}), desk.resource_claims(access, json!({ "nonce": own })));
    assert_eq!(desk.resource("DPoP", access, &[proof]).await.status, 200);
    desk.bench.tenant.settings(|settings| settings.dpop = DpopPolicy::Off);
    assert_eq!(desk.password(&["nonsense".to_owned()]).await.ok()["token_type"], "Bearer");
}
