//! The authorization server of the simulator: grants, rotation with leeway and reuse detection, ID tokens.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::json;

use super::world::lock;

use crate::env::{HeaderValue, HttpRequest, HttpResponse};
use zeroize::Zeroizing;

pub(super) const ISSUER: &str = "https://as.example/oauth2/default";
/// How long an access token lives.
pub(super) const LIFE: u64 = 3600;

/// How long a nonce is good.
const NONCE_LIFE: u64 = 1800;

/// Which answer of which grant a token came with: its name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Issue {
    pub(super) grant: usize,
    pub(super) number: usize,
}

impl Issue {
    pub(super) fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split('-').skip(1);
        Some(Self { grant: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? })
    }

    fn token(self, kind: &str) -> String {
        format!("{kind}-{:03}-{:04}", self.grant, self.number)
    }
}

/// Why a grant is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Revoked,
    Reused,
    /// An administrator's or time's doing.
    Scripted,
}

pub(super) struct Grant {
    pub(super) user: String,
    pub(super) over: Option<Over>,
    /// The issue whose refresh token is the current one.
    pub(super) current: usize,
    /// When each refresh token was replaced.
    pub(super) replaced: BTreeMap<usize, Duration>,
    /// Until when each access token is good.
    pub(super) access: BTreeMap<usize, Duration>,
    /// Issues that are not valid, or not yet.
    pub(super) unvalidated: Vec<usize>,
    /// From when on some of them are.
    valid_from: BTreeMap<usize, Duration>,
    /// The key that it is bound to, as its proofs show it.
    key: Option<String>,
    /// When its user was asked.
    auth_time: i64,
}

impl Grant {
    /// The issue that was made last.
    pub(super) fn newest(&self) -> usize {
        self.access.keys().max().copied().unwrap_or_default()
    }

    /// Whether nobody may use what this issue brought.
    pub(super) fn is_invalid(&self, number: usize, now: Duration) -> bool {
        self.unvalidated.contains(&number) && self.valid_from.get(&number).is_none_or(|from| now < *from)
    }
}

/// What is special about the server of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) leeway: u64,
    pub(super) rotates: bool,
    pub(super) openid: bool,
    /// Revoking any refresh token of a grant ends it; otherwise only the current one does.
    pub(super) any_token_ends: bool,
    /// A proof must carry its nonce, which is another one each half hour.
    pub(super) wants_nonces: bool,
}

pub(super) struct Server {
    manner: Manner,
    pub(super) grants: Vec<Grant>,
    /// What is special about the next answer to a refresh.
    pub(super) next: Option<Special>,
    /// Whether the keys are published.
    pub(super) has_keys: bool,
    /// What another library has.
    elsewhere: Option<Issue>,
    /// Who was sent a code.
    asked: String,
    /// When the second key is published.
    new_key_from: Option<Duration>,
    /// The key that the request at hand shows.
    shown: Option<String>,
}

/// A special answer to a refresh that the server acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Special {
    /// The ID token's signature is wrong.
    BadSignature,
    /// The ID token names a key that is not published yet; it is a minute later.
    NewKey,
    /// The ID token is somebody else's.
    OtherSubject,
    /// The same refresh token again, or none.
    SameToken,
    NoToken,
    /// Neither JSON nor anything.
    Rubbish,
    /// Its access token is over after this many seconds.
    Short,
}

/// What the server did with a request.
pub(super) enum Did {
    /// A document.
    Nothing,
    Issued(Issue),
    /// It refused this refresh token.
    Refused(Issue),
    Revoked(Issue),
}

impl Server {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            grants: Vec::new(),
            next: None,
            has_keys: true,
            elsewhere: None,
            asked: String::new(),
            new_key_from: None,
            shown: None,
        }
    }

    pub(super) fn accepts(&self, token: &str, now: Duration) -> bool {
        let Some(issue) = Issue::parse(token) else { return false };
        let grant = &self.grants[issue.grant];
        grant.over.is_none() && grant.access.get(&issue.number).is_some_and(|until| now < *until)
    }

    pub(super) fn live(&self) -> Vec<usize> {
        (0..self.grants.len()).filter(|index| self.grants[*index].over.is_none()).collect()
    }

    pub(super) fn answer(&mut self, request: &HttpRequest, now: Duration) -> (HttpResponse, Did) {
        let proof = request.headers.iter().find(|(name, _)| name == "dpop");
        self.shown = proof.and_then(|(_, proof)| part_of(proof, 0)?.get("jwk").map(ToString::to_string));
        let nonce = format!("nonce-{}", now.as_secs() / NONCE_LIFE);
        let is_good = proof.is_none_or(|(_, proof)| nonce_of(proof).as_deref() == Some(&nonce));
        let (mut answer, did) = if self.manner.wants_nonces && !is_good {
            (json_answer(400, r#"{"error":"use_dpop_nonce"}"#), Did::Nothing)
        } else {
            self.act(request, now, wall(now))
        };
        answer.headers.push(date(now));
        if self.manner.wants_nonces && self.shown.is_some() {
            answer.headers.push(("dpop-nonce".to_owned(), nonce));
        }
        (answer, did)
    }

    fn act(&mut self, request: &HttpRequest, now: Duration, wall: i64) -> (HttpResponse, Did) {
        let url = url::Url::parse(&request.url).unwrap();
        let form: BTreeMap<String, String> = request
            .body
            .as_ref()
            .map(|body| url::form_urlencoded::parse(body).into_owned().collect())
            .unwrap_or_default();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match url.path().strip_prefix("/oauth2/default").unwrap() {
            "/.well-known/openid-configuration" => (json_answer(200, &metadata()), Did::Nothing),
            "/v1/keys" if self.has_keys => {
                let has_new = self.new_key_from.is_some_and(|from| now >= from);
                (json_answer(200, &keys(has_new)), Did::Nothing)
            }
            "/v1/keys" => (json_answer(503, "{}"), Did::Nothing),
            "/v1/token" if field("grant_type") == "refresh_token" => self.refresh(field("refresh_token"), now, wall),
            "/v1/primary-authenticate" => {
                self.asked = field("login_hint").to_owned();
                let prompt = r#"{"oob_code":"o","channel":"sms","binding_method":"prompt","expires_in":300}"#;
                (json_answer(200, prompt), Did::Nothing)
            }
            "/v1/token" if field("username").is_empty() => {
                let user = self.asked.clone();
                self.begin(&user, now, wall)
            }
            "/v1/token" => self.begin(field("username"), now, wall),
            "/v1/revoke" => self.revoke(field("token")),
            other => panic!("no such endpoint: {other}"),
        }
    }

    /// A grant that another library has.
    pub(super) fn grant_elsewhere(&mut self, user: &str, now: Duration) {
        self.begin(user, now, wall(now));
        self.elsewhere = Some(Issue { grant: self.grants.len() - 1, number: 0 });
    }

    pub(super) fn has_import(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// The refresh token of the other library.
    pub(super) fn import_token(&self) -> String {
        self.elsewhere.unwrap().token("rt")
    }

    fn begin(&mut self, user: &str, now: Duration, wall: i64) -> (HttpResponse, Did) {
        self.grants.push(Grant {
            user: user.to_owned(),
            over: None,
            current: 0,
            replaced: BTreeMap::new(),
            access: BTreeMap::new(),
            unvalidated: Vec::new(),
            valid_from: BTreeMap::new(),
            key: self.shown.clone(),
            auth_time: wall,
        });
        let issue = Issue { grant: self.grants.len() - 1, number: 0 };
        (self.tokens(issue, None, now, wall), Did::Issued(issue))
    }

    fn refresh(&mut self, token: &str, now: Duration, wall: i64) -> (HttpResponse, Did) {
        let issue = Issue::parse(token).unwrap();
        let leeway = Duration::from_secs(self.manner.leeway);
        let grant = &mut self.grants[issue.grant];
        let refused = || (json_answer(400, r#"{"error":"invalid_grant"}"#), Did::Refused(issue));
        if grant.over.is_some() {
            return refused();
        }
        if grant.key.is_some() && grant.key != self.shown {
            return (json_answer(400, r#"{"error":"invalid_dpop_proof"}"#), Did::Nothing);
        }
        if let Some(at) = grant.replaced.get(&issue.number)
            && now > *at + leeway
        {
            grant.over = Some(Over::Reused);
            return refused();
        }
        if self.shown.is_some() {
            grant.key.clone_from(&self.shown);
        }
        let special = self.next.take();
        let number = grant.newest() + 1;
        let next = Issue { grant: issue.grant, number };
        if self.manner.rotates && !matches!(special, Some(Special::SameToken | Special::NoToken)) {
            let old = core::mem::replace(&mut grant.current, number);
            grant.replaced.entry(old).or_insert(now);
        }
        (self.tokens(next, special, now, wall), Did::Issued(next))
    }

    fn revoke(&mut self, token: &str) -> (HttpResponse, Did) {
        let issue = Issue::parse(token).unwrap();
        let grant = &mut self.grants[issue.grant];
        // At the worst for whoever wants it to end a token that was replaced is unknown; at the worst for whoever uses it any
        // of them ends it.
        if token.starts_with("rt") && (issue.number == grant.current || self.manner.any_token_ends) {
            grant.over.get_or_insert(Over::Revoked);
        }
        (HttpResponse { status: 200, headers: vec![], body: Zeroizing::new(vec![]) }, Did::Revoked(issue))
    }

    fn tokens(&mut self, issue: Issue, special: Option<Special>, now: Duration, wall: i64) -> HttpResponse {
        let life = if special == Some(Special::Short) { 5 } else { LIFE };
        let grant = &mut self.grants[issue.grant];
        grant.access.insert(issue.number, now + Duration::from_secs(life));
        let access = issue.token("at");
        let token_type = if self.shown.is_some() { "DPoP" } else { "Bearer" };
        let mut answer = json!({ "token_type": token_type, "access_token": access, "expires_in": life });
        let current = Issue { number: grant.current, ..issue };
        if special != Some(Special::NoToken) {
            answer["refresh_token"] = current.token("rt").into();
        }
        if special == Some(Special::NewKey) {
            self.new_key_from = Some(now + Duration::from_secs(60));
        }
        let grant = &mut self.grants[issue.grant];
        if self.manner.openid {
            if matches!(special, Some(Special::BadSignature | Special::NewKey | Special::OtherSubject)) {
                grant.unvalidated.push(issue.number);
            }
            if let Some(from) = self.new_key_from.filter(|_| special == Some(Special::NewKey)) {
                grant.valid_from.insert(issue.number, from);
            }
            answer["id_token"] = id_token(grant, &access, special, wall).into();
        }
        if special == Some(Special::Rubbish) {
            grant.unvalidated.push(issue.number);
            return json_answer(200, "rubbish");
        }
        json_answer(200, &answer.to_string())
    }
}

/// The header of a proof, or its claims.
fn part_of(proof: &HeaderValue, number: usize) -> Option<serde_json::Value> {
    let HeaderValue::Secret(proof) = proof else { return None };
    let part = BASE64URL_NOPAD.decode(proof.expose().split('.').nth(number)?.as_bytes()).ok()?;
    serde_json::from_slice(&part).ok()
}

/// The nonce that a proof carries.
fn nonce_of(proof: &HeaderValue) -> Option<String> {
    part_of(proof, 1)?.get("nonce")?.as_str().map(str::to_owned)
}

fn metadata() -> String {
    json!({
        "issuer": ISSUER, "token_endpoint": format!("{ISSUER}/v1/token"), "jwks_uri": format!("{ISSUER}/v1/keys"),
        "revocation_endpoint": format!("{ISSUER}/v1/revoke"), "grant_types_supported": ["password", "refresh_token"],
    })
    .to_string()
}

fn key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::from_pkcs8(include_bytes!("../jose/testdata/rsa-a.pk8.der")).unwrap())
}

fn keys(has_new: bool) -> String {
    let public: RsaPublicKeyComponents<Vec<u8>> = key().public_key().into();
    let named = |kid: &str| {
        json!({
            "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
            "n": BASE64URL_NOPAD.encode(&public.n), "e": BASE64URL_NOPAD.encode(&public.e),
        })
    };
    let names = if has_new { &["k1", "k2"][..] } else { &["k1"] };
    json!({ "keys": names.iter().map(|name| named(name)).collect::<Vec<_>>() }).to_string()
}

fn id_token(Grant { user, auth_time, .. }: &Grant, access: &str, special: Option<Special>, wall: i64) -> String {
    let kid = if special == Some(Special::NewKey) { "k2" } else { "k1" };
    let sub = if special == Some(Special::OtherSubject) { "00u-other".to_owned() } else { format!("00u-{user}") };
    let hash = ring::digest::digest(&ring::digest::SHA256, access.as_bytes());
    let claims = json!({
        "iss": ISSUER, "sub": sub, "aud": "id", "iat": wall, "exp": wall + 3600, "auth_time": auth_time,
        "at_hash": BASE64URL_NOPAD.encode(&hash.as_ref()[..16]),
    });
    let encode = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed =
        format!("{}.{}", encode(json!({ "alg": "RS256", "kid": kid }).to_string()), encode(claims.to_string()));
    let mut signature = sign(&signed);
    if special == Some(Special::BadSignature) {
        signature[9] ^= 1;
    }
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Cases are alike, so most of their tokens are the same ones.
fn sign(text: &str) -> Vec<u8> {
    static SIGNED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    if let Some(known) = lock(&SIGNED).get(text) {
        return known.clone();
    }
    let mut signature = vec![0; key().public().modulus_len()];
    key().sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    lock(&SIGNED).insert(text.to_owned(), signature.clone());
    signature
}

/// The server's own clock, in seconds since 1970.
pub(super) fn wall(elapsed: Duration) -> i64 {
    1_790_000_000 + i64::try_from(elapsed.as_secs()).unwrap()
}

pub(super) fn date(elapsed: Duration) -> (String, String) {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000) + elapsed;
    ("date".to_owned(), httpdate::fmt_http_date(now))
}

pub(super) fn json_answer(status: u16, body: &str) -> HttpResponse {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    HttpResponse { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) }
}
