//! A small client that shares nothing with the library under test or with the emulator: hyper on tokio-rustls.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use directauth_emulator::{Emulator, Tenant, VirtualClock};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const OTP: &str = "urn:okta:params:oauth:grant-type:otp";
pub(crate) const OOB: &str = "urn:okta:params:oauth:grant-type:oob";
pub(crate) const MFA_OTP: &str = "http://auth0.com/oauth/grant-type/mfa-otp";
pub(crate) const MFA_OOB: &str = "http://auth0.com/oauth/grant-type/mfa-oob";
pub(crate) const SCOPE: &str = "openid profile offline_access";

pub(crate) const ANA: (&str, &str) = ("ana@example.com", "correct horse battery");
pub(crate) const BEN: (&str, &str) = ("ben@example.com", "tr0ub4dor&3");
pub(crate) const CLEO: (&str, &str) = ("cleo@example.com", "cleo-password");

/// One server for all tests of a file; each has a tenant of its own.
pub(crate) static EMULATOR: LazyLock<Emulator> = LazyLock::new(|| Emulator::start().unwrap());

/// A tenant whose clock stands still, and a client for it.
pub(crate) struct Bench {
    pub(crate) tenant: Tenant,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) client: Client,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (tenant, clock) = (EMULATOR.tenant(), Arc::new(VirtualClock::starting_now()));
        tenant.set_clock(clock.clone());
        Self { tenant, clock, client: Client::trusting(&EMULATOR.ca_der()) }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{}/v1/{name}", self.tenant.issuer())
    }

    /// A form to an endpoint of the custom server, with the client's id.
    pub(crate) async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> Answer {
        let client_id = self.tenant.client_id();
        let form: Vec<_> = [("client_id", client_id.as_str())].into_iter().chain(form.iter().copied()).collect();
        self.client.post(&self.endpoint(endpoint), &form).await
    }

    /// A token request with the usual scope.
    pub(crate) async fn token(&self, grant: &str, form: &[(&str, &str)]) -> Answer {
        let form: Vec<_> = [("grant_type", grant), ("scope", SCOPE)].into_iter().chain(form.iter().copied()).collect();
        self.post("token", &form).await
    }

    pub(crate) async fn password(&self, user: (&str, &str)) -> Answer {
        self.token("password", &[("username", user.0), ("password", user.1)]).await
    }

    /// Ben, signed in with his password alone.
    pub(crate) async fn signed_in(&self) -> Value {
        self.password(BEN).await.ok()
    }

    /// The `mfa_token` of a user whose password is right.
    pub(crate) async fn mfa_token(&self, user: (&str, &str)) -> String {
        let answer = self.password(user).await;
        answer.refused(403, "mfa_required");
        answer.text("mfa_token")
    }

    pub(crate) async fn challenge(&self, mfa_token: &str, channel: &str) -> Answer {
        let form = [("mfa_token", mfa_token), ("challenge_types_supported", MFA_OOB), ("channel_hint", channel)];
        self.post("challenge", &form).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post("token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub(crate) async fn resource(&self, access_token: &str) -> Answer {
        self.client.get(&self.tenant.resource_url(), &[("authorization", &format!("Bearer {access_token}"))]).await
    }

    /// How the last request was decided.
    pub(crate) fn outcome(&self) -> String {
        self.tenant.journal().0.last().unwrap().outcome.clone()
    }
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {self:?}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.json()["error"].as_str()), (status, Some(error)), "{self:?}");
    }
}

#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    pub(crate) fn trusting(ca: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    pub(crate) async fn connect(&self, url: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let uri: hyper::Uri = url.parse().unwrap();
        let host = uri.host().unwrap().to_owned();
        let socket = TcpStream::connect((host.as_str(), uri.port_u16().unwrap())).await?;
        TlsConnector::from(Arc::clone(&self.0)).connect(ServerName::try_from(host).unwrap(), socket).await
    }

    pub(crate) async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", url, headers, Vec::new()).await.unwrap()
    }

    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> Answer {
        self.try_post(url, form).await.unwrap()
    }

    pub(crate) async fn try_post(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        self.send("POST", url, &headers, body.into_bytes()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let stream = self.connect(url).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let uri: hyper::Uri = url.parse().unwrap();
        let mut request = hyper::Request::builder().method(method).uri(uri.path_and_query().unwrap().as_str());
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", uri.authority().unwrap().as_str());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await?;
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        Ok(Answer { status: head.status.as_u16(), headers, body: body.collect().await?.to_bytes().to_vec() })
    }
}

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The claims of a JWT whose signature is right by a key of the set.
pub(crate) fn verified(jwt: &str, jwks: &Value) -> Value {
    let [header, payload, signature]: [&str; 3] = jwt.split('.').collect::<Vec<_>>().try_into().unwrap();
    let decode = |part: &str| data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    let key =
        jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).expect("the kid is published");
    let part = |name: &str| decode(key[name].as_str().unwrap());
    let public = ring::signature::RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let message = jwt.rsplit_once('.').unwrap().0;
    public
        .verify(&ring::signature::RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decode(signature))
        .expect("the signature is right");
    serde_json::from_slice(&decode(payload)).unwrap()
}
