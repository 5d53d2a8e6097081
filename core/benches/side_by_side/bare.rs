//! The same requests without any care: reqwest and serde_json, nothing checked, nothing stored, nothing wiped.

use std::cell::RefCell;
use std::sync::Arc;

use directauth::internals::IdTokenRules;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::server::Server;
use crate::{PASSWORD, USER};

/// A client with an open connection that knows the token endpoint.
pub(crate) struct Warm {
    runtime: Runtime,
    client: reqwest::Client,
    token_endpoint: String,
    client_id: String,
}

impl Warm {
    pub(crate) fn sign_in(self) {
        self.runtime.block_on(sign_in(&self.client, &self.token_endpoint, &self.client_id));
    }
}

pub(crate) fn warm_client(server: &Server) -> Warm {
    let runtime = runtime();
    let (client, token_endpoint) = runtime.block_on(async {
        let client = client(server);
        let metadata = metadata(&client, server).await;
        keys(&client, &metadata).await;
        (client, text(&metadata, "token_endpoint"))
    });
    Warm { runtime, client, token_endpoint, client_id: server.client_id.clone() }
}

/// A refresh token, and an open connection.
pub(crate) struct SignedIn {
    warm: Warm,
    refresh_token: RefCell<String>,
}

impl SignedIn {
    pub(crate) fn at(server: &Server) -> Self {
        let warm = warm_client(server);
        let tokens = warm.runtime.block_on(sign_in(&warm.client, &warm.token_endpoint, &warm.client_id));
        Self { warm, refresh_token: RefCell::new(text(&tokens, "refresh_token")) }
    }

    pub(crate) fn refresh(&self) {
        self.refresh_by(&self.warm.runtime, &self.warm.client);
    }

    /// On a new connection, with everything known but that.
    pub(crate) fn cold_refresh(&self, server: &Server) {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        self.refresh_by(&runtime, &client(server));
    }

    fn refresh_by(&self, runtime: &Runtime, client: &reqwest::Client) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", &self.refresh_token.borrow())
            .append_pair("scope", "openid profile offline_access")
            .append_pair("client_id", &self.warm.client_id)
            .finish();
        let tokens = runtime.block_on(post(client, &self.warm.token_endpoint, form));
        self.refresh_token.replace(text(&tokens, "refresh_token"));
    }
}

pub(crate) fn cold_sign_in(server: &Server) {
    runtime().block_on(async {
        let client = client(server);
        let metadata = metadata(&client, server).await;
        keys(&client, &metadata).await;
        sign_in(&client, &text(&metadata, "token_endpoint"), &server.client_id).await;
    });
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn client(server: &Server) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(server.authority.as_slice())).expect("a certificate");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().expect("a client")
}

async fn metadata(client: &reqwest::Client, server: &Server) -> Value {
    let url = format!("{}/.well-known/openid-configuration?client_id={}", server.issuer, server.client_id);
    get(client, &url).await
}

async fn keys(client: &reqwest::Client, metadata: &Value) -> Value {
    get(client, &text(metadata, "jwks_uri")).await
}

async fn get(client: &reqwest::Client, url: &str) -> Value {
    let response = client.get(url).header("accept", "application/json").send().await.expect("an answer");
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

pub(crate) async fn sign_in(client: &reqwest::Client, token_endpoint: &str, client_id: &str) -> Value {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "password")
        .append_pair("username", USER)
        .append_pair("password", PASSWORD)
        .append_pair("scope", "openid profile offline_access")
        .append_pair("client_id", client_id)
        .finish();
    post(client, token_endpoint, form).await
}

async fn post(client: &reqwest::Client, token_endpoint: &str, form: String) -> Value {
    let (status, answer) = ask(client, token_endpoint, form).await;
    assert_eq!(status, 200, "tokens");
    answer
}

/// A form and what it is answered, whatever that is.
pub(crate) async fn ask(client: &reqwest::Client, endpoint: &str, form: String) -> (u16, Value) {
    let response = client
        .post(endpoint)
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON"))
}

pub(crate) fn text(object: &Value, name: &str) -> String {
    object[name].as_str().expect("text").to_owned()
}

/// One pair of real tokens, and what its two sides of the comparison need.
pub(crate) struct Sample {
    id_token: String,
    access_token: String,
    rules: IdTokenRules,
    issued_at: i64,
    key: RsaPublicKeyComponents<Vec<u8>>,
    signature: Vec<u8>,
}

impl Sample {
    pub(crate) fn of(server: &Server) -> Self {
        let (metadata, keys, tokens) = runtime().block_on(async {
            let client = client(server);
            let metadata = metadata(&client, server).await;
            let keys = keys(&client, &metadata).await;
            let tokens = sign_in(&client, &text(&metadata, "token_endpoint"), &server.client_id).await;
            (metadata, keys, tokens)
        });
        let base64 = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
        let id_token = text(&tokens, "id_token");
        let parts: Vec<_> = id_token.split('.').map(base64).collect();
        let (header, claims): (Value, Value) =
            (serde_json::from_slice(&parts[0]).expect("JSON"), serde_json::from_slice(&parts[1]).expect("JSON"));
        let all = keys["keys"].as_array().expect("keys");
        let key = all.iter().find(|key| key["kid"] == header["kid"]).expect("the key");
        let rules = IdTokenRules::new(keys.to_string().as_bytes(), &text(&metadata, "issuer"), &server.client_id);
        Self {
            access_token: text(&tokens, "access_token"),
            rules: rules.expect("a key set"),
            issued_at: claims["iat"].as_i64().expect("a time"),
            key: RsaPublicKeyComponents { n: base64(&text(key, "n")), e: base64(&text(key, "e")) },
            signature: parts[2].clone(),
            id_token,
        }
    }

    pub(crate) fn check_with_all_rules(&self) {
        self.rules.check(&self.id_token, &self.access_token, self.issued_at).expect("a valid token");
    }

    pub(crate) fn verify_signature_only(&self) {
        let (signed, _) = self.id_token.rsplit_once('.').expect("three parts");
        let verified = self.key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &self.signature);
        verified.expect("a valid signature");
    }
}
