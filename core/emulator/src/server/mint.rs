//! How tokens are made (protocol.md §6.2, §6.3), and how a script spoils them before and after they are signed (rows
//! 84–104, 217–261).

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::{digest, hmac, signature};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::fill::{Filler, members};
use super::grants::{AccessToken, Grant};
use super::keys::{self, Key, P256Key};
use super::state::{Account, Random};
use super::{Call, Server, State, catalogue};
use crate::script::{JwtMutation, Signature, TokenMutation};

/// The tokens that a tenant gave out last.
#[derive(Default)]
pub(crate) struct Previous {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) id_token: String,
}

impl State {
    /// The members of an answer with tokens.
    pub(super) fn mint(
        &mut self,
        call: &Call<'_>,
        id: u64,
        scopes: &[String],
        refresh: Option<String>,
        mutation: &TokenMutation,
    ) -> Result<Value, Refusal> {
        let grant = self.grants.grant(id).ok_or(catalogue::SERVER_ERROR)?.clone();
        let access_token = self.access_token(call, &grant, scopes)?;
        let ends = call.now.saturating_add(Duration::from_secs(self.settings.access_token_lifetime));
        self.grants.add_access(
            access_token.clone(),
            AccessToken::new(id, scopes.to_vec(), call.now, ends, grant.thumbprint.clone()),
        );

        let mut answer = Map::new();
        let token_type = if grant.thumbprint.is_some() { "DPoP" } else { self.settings.token_type.as_str() };
        answer.insert("token_type".to_owned(), json!(token_type));
        answer.insert("expires_in".to_owned(), self.settings.expires_in(self.settings.access_token_lifetime));
        answer.insert("access_token".to_owned(), json!(access_token));
        answer.insert("scope".to_owned(), json!(scopes.join(" ")));
        if let Some(refresh) = refresh {
            answer.insert("refresh_token".to_owned(), json!(refresh));
        }
        answer.extend(mutation.set.clone());
        let wants_id_token = scopes.iter().any(|scope| scope == "openid") || mutation.id_token.is_some();
        if wants_id_token && !mutation.set.contains_key("id_token") {
            let access_token = answer.get("access_token").and_then(Value::as_str).map(str::to_owned);
            let id_token = self.id_token(call, &grant, scopes, access_token.as_deref(), mutation.id_token.as_ref())?;
            answer.insert("id_token".to_owned(), json!(id_token));
        }
        answer.retain(|name, _| !mutation.omit.contains(name));
        let Previous { access_token, refresh_token, id_token } = &mut self.previous;
        for (name, place) in [("access_token", access_token), ("refresh_token", refresh_token), ("id_token", id_token)]
        {
            if let Some(token) = answer.get(name).and_then(Value::as_str) {
                token.clone_into(place);
            }
        }
        Ok(Value::Object(answer))
    }

    fn access_token(&self, call: &Call<'_>, grant: &Grant, scopes: &[String]) -> Result<String, Refusal> {
        // The org's own server gives out tokens that mean nothing to anybody else.
        if grant.server == Server::Org {
            return Random::token(32);
        }
        let account = self.account(grant.account)?;
        let now = call.seconds();
        let mut claims = object(json!({
            "ver": 1, "jti": format!("AT.{}", Random::token(20)?), "iss": call.issuer(), "aud": self.audience,
            "iat": now, "exp": now.saturating_add(self.settings.access_token_lifetime), "cid": grant.client,
            "uid": account.subject, "scp": scopes, "auth_time": grant.auth_time, "sub": account.user.username,
        }));
        if let Some(acr) = &grant.acr {
            claims.insert("acr".to_owned(), json!(acr));
        }
        if let Some(thumbprint) = &grant.thumbprint {
            claims.insert("cnf".to_owned(), json!({ "jkt": thumbprint }));
        }
        self.sign(claims, &JwtMutation::default(), now)
    }

    fn id_token(
        &self,
        call: &Call<'_>,
        grant: &Grant,
        scopes: &[String],
        access_token: Option<&str>,
        mutation: Option<&JwtMutation>,
    ) -> Result<String, Refusal> {
        let account = self.account(grant.account)?;
        let now = call.seconds();
        let mut claims = object(json!({
            "ver": 1, "jti": format!("ID.{}", Random::token(20)?), "iss": call.issuer(), "aud": grant.client,
            "sub": account.subject, "iat": now, "exp": now.saturating_add(self.settings.id_token_lifetime),
            "auth_time": grant.auth_time, "amr": grant.amr, "idp": "00oDemoIdp",
        }));
        if let Some(access_token) = access_token {
            claims.insert("at_hash".to_owned(), json!(token_hash(access_token)));
        }
        if let Some(acr) = &grant.acr {
            claims.insert("acr".to_owned(), json!(acr));
        }
        for (name, value) in profile_claims(account, scopes) {
            claims.insert(name.to_owned(), value);
        }
        self.sign(claims, mutation.unwrap_or(&self.signing()), now)
    }

    fn sign(&self, mut claims: Map<String, Value>, mutation: &JwtMutation, now: u64) -> Result<String, Refusal> {
        let unavailable = || Refusal::from(catalogue::SERVER_ERROR);
        let key = self.keys.current().ok_or_else(unavailable)?;
        let mut header = object(json!({ "kid": key.kid, "alg": mutation.signature.alg() }));
        header.extend(mutation.header.clone());
        header.retain(|name, _| !mutation.remove_header.contains(name));
        for (name, value) in &mutation.claims {
            claims.insert(name.clone(), computed(now, value));
        }
        claims.retain(|name, _| !mutation.remove.contains(name));
        let encode = |object: Map<String, Value>, template: &Option<String>| {
            let text = Value::Object(object).to_string();
            let text = template.as_ref().map_or(text.clone(), |template| template.replace("{members}", members(&text)));
            BASE64URL_NOPAD.encode(text.as_bytes())
        };
        let header = encode(header, &mutation.header_text);
        let payload = encode(claims, &mutation.payload);
        let message = format!("{header}.{payload}");
        let signature = self.signature(&key, mutation.signature, message.as_bytes()).ok_or_else(unavailable)?;
        let signature = BASE64URL_NOPAD.encode(&signature);
        Ok(match &mutation.compact {
            None => format!("{message}.{signature}"),
            // Base64url has no braces: what is filled in is not taken for a name.
            Some(compact) => {
                let with_header = compact.replace("{header}", &header);
                with_header.replace("{payload}", &payload).replace("{signature}", &signature)
            }
        })
    }

    fn signature(&self, key: &Key, how: Signature, message: &[u8]) -> Option<Vec<u8>> {
        let hs256 = |secret: &[u8]| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            Some(hmac::sign(&secret, message).as_ref().to_vec())
        };
        match how {
            Signature::Rs256 => key.sign(keys::RS256, message),
            Signature::Flip => key.sign(keys::RS256, message).map(|mut signature| {
                if let Some(byte) = signature.last_mut() {
                    *byte ^= 1;
                }
                signature
            }),
            Signature::Empty => Some(Vec::new()),
            Signature::OtherKey => Key::foreign()?.sign(keys::RS256, message),
            Signature::OtherPublishedKey => self.keys.previous()?.sign(keys::RS256, message),
            Signature::Hs256WithPublicKey => hs256(key.public_pem().as_bytes()),
            Signature::Hs256WithModulus => hs256(&key.modulus()),
            Signature::Rs512 => key.sign(&signature::RSA_PKCS1_SHA512, message),
            Signature::Ps256 => key.sign(&signature::RSA_PSS_SHA256, message),
            Signature::Es256 => P256Key::load()?.sign(message),
        }
    }

    /// The claims of an ID token that this server signed with a published key; nothing is said about its times.
    pub(crate) fn own_id_token(&self, token: &str) -> Option<Map<String, Value>> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        let (_, payload) = message.split_once('.')?;
        // PKCS#1 v1.5 signatures are deterministic: signing again verifies.
        let keys = self.keys.current().into_iter().chain(self.keys.previous());
        let is_ours = keys.filter_map(|key| key.sign(keys::RS256, message.as_bytes())).any(|ours| ours == signature);
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok().filter(|_| is_ours)?;
        serde_json::from_slice(&payload).ok()
    }
}

impl Signature {
    /// What the header says.
    fn alg(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Flip | Self::Empty | Self::OtherKey | Self::OtherPublishedKey => "RS256",
            Self::Hs256WithPublicKey | Self::Hs256WithModulus => "HS256",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }
}

impl TokenMutation {
    /// The same with its placeholders filled in.
    pub(super) fn filled(&self, filler: &Filler) -> Self {
        Self {
            omit: self.omit.clone(),
            set: fill_members(&self.set, filler),
            id_token: self.id_token.as_ref().map(|mutation| JwtMutation {
                claims: fill_members(&mutation.claims, filler),
                header: fill_members(&mutation.header, filler),
                header_text: mutation.header_text.as_deref().map(|text| filler.text(text)),
                payload: mutation.payload.as_deref().map(|text| filler.text(text)),
                compact: mutation.compact.as_deref().map(|text| filler.text(text)),
                ..mutation.clone()
            }),
        }
    }
}

pub(super) fn fill_members(members: &Map<String, Value>, filler: &Filler) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), filler.json(value))).collect()
}

/// The claims about a person that scopes open.
pub(crate) fn profile_claims(account: &Account, scopes: &[String]) -> Vec<(&'static str, Value)> {
    let has = |scope: &str| scopes.iter().any(|granted| granted == scope);
    let mut claims = Vec::new();
    if has("profile") {
        claims.push(("name", json!(account.user.name)));
        claims.push(("preferred_username", json!(account.user.username)));
    }
    if has("email") {
        claims.push(("email", json!(account.user.email)));
        claims.push(("email_verified", json!(true)));
    }
    claims
}

/// `at_hash` of a token (OpenID Connect Core §3.1.3.6, for RS256).
fn token_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    BASE64URL_NOPAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

/// `{"now": n}` is the time in `n` seconds, `{"hash_of": token}` the hash as `at_hash` has it.
fn computed(now: u64, value: &Value) -> Value {
    let only = |name: &str| value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get(name));
    if let Some(offset) = only("now").and_then(Value::as_i64) {
        return json!(now.saturating_add_signed(offset));
    }
    match only("hash_of").and_then(Value::as_str) {
        Some(token) => json!(token_hash(token)),
        None => value.clone(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
