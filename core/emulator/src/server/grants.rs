//! What a sign-in leaves behind: grants, their refresh and access tokens, rotation with leeway and reuse detection
//! (protocol.md §4), and how tokens are made (§6.2, §6.3).

use std::collections::HashMap;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::{digest, hmac, signature};
use serde_json::{Map, Value, json};

use super::answer::{Refusal, Reply};
use super::catalogue::Row;
use super::keys::{self, Key};
use super::policy::{Bound, Leg, Method};
use super::request::Form;
use super::state::Random;
use super::{Answered, Call, Server, State, catalogue};
use crate::config::{Rotation, Status};
use crate::script::{JwtMutation, Signature, TokenMutation};

/// On the wire like any refresh token that does not work; the journal tells them apart.
const REUSED: &Row = &Row { code: "refresh_token_reuse", ..*catalogue::INVALID_REFRESH_TOKEN };
const SWEEP_ABOVE: usize = 10_000;

/// All grants of a tenant and the tokens under them.
#[derive(Default)]
pub(crate) struct Grants {
    next: u64,
    grants: HashMap<u64, Grant>,
    refresh: HashMap<String, RefreshToken>,
    access: HashMap<String, AccessToken>,
}

/// What one sign-in was allowed.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) account: usize,
    pub(crate) client: String,
    pub(crate) server: Server,
    scopes: Vec<String>,
    auth_time: u64,
    amr: Vec<&'static str>,
    acr: Option<String>,
    ends: Option<Duration>,
    is_ended: bool,
}

#[derive(Clone)]
pub(crate) struct RefreshToken {
    pub(crate) grant: u64,
    last_used: Duration,
    replaced_at: Option<Duration>,
}

/// An access token that was given out.
#[derive(Clone)]
pub(crate) struct AccessToken {
    pub(crate) grant: u64,
    pub(crate) scopes: Vec<String>,
    pub(crate) issued: Duration,
    pub(crate) ends: Duration,
    is_revoked: bool,
}

impl Grants {
    pub(crate) fn grant(&self, id: u64) -> Option<&Grant> {
        self.grants.get(&id)
    }

    /// A token that works now, with its grant.
    pub(crate) fn access(&self, token: &str, now: Duration) -> Option<(&AccessToken, &Grant)> {
        let access = self.access.get(token).filter(|access| !access.is_revoked && access.ends > now)?;
        let grant = self.grants.get(&access.grant).filter(|grant| !grant.is_ended)?;
        Some((access, grant))
    }

    /// The newest refresh token of a grant that has not ended, with its grant.
    pub(crate) fn refresh(&self, token: &str, now: Duration) -> Option<(&RefreshToken, &Grant)> {
        let refresh = self.refresh.get(token).filter(|refresh| refresh.replaced_at.is_none())?;
        let grant = self.grants.get(&refresh.grant).filter(|grant| grant.is_live(now))?;
        Some((refresh, grant))
    }

    /// Revokes a token of this client and server; a refresh token takes its grant along, with all access tokens.
    pub(crate) fn revoke(&mut self, token: &str, client: &str, server: Server) {
        let is_own = |grants: &HashMap<u64, Grant>, id| {
            grants.get(&id).is_some_and(|grant: &Grant| grant.client == client && grant.server == server)
        };
        if let Some(access) = self.access.get_mut(token)
            && is_own(&self.grants, access.grant)
        {
            access.is_revoked = true;
        }
        if let Some(refresh) = self.refresh.get(token)
            && is_own(&self.grants, refresh.grant)
        {
            self.end(refresh.grant);
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.grants.values_mut().for_each(|grant| grant.is_ended = true);
    }

    /// Grants under which some token still works.
    pub(crate) fn live(&self, now: Duration) -> usize {
        let alive = |id: &u64, grant: &Grant| {
            !grant.is_ended
                && (self.access.values().any(|access| access.grant == *id && !access.is_revoked && access.ends > now)
                    || (grant.is_live(now) && self.refresh.values().any(|refresh| refresh.grant == *id)))
        };
        self.grants.iter().filter(|(id, grant)| alive(id, grant)).count()
    }

    pub(crate) fn sweep(&mut self, now: Duration) {
        if self.access.len() > SWEEP_ABOVE {
            self.access.retain(|_, access| access.ends > now);
        }
        if self.grants.len() > SWEEP_ABOVE {
            let access = &self.access;
            self.grants.retain(|id, grant| grant.is_live(now) || access.values().any(|access| access.grant == *id));
            let grants = &self.grants;
            self.refresh.retain(|_, refresh| grants.contains_key(&refresh.grant));
        }
    }

    fn open(&mut self, grant: Grant) -> u64 {
        self.next += 1;
        self.grants.insert(self.next, grant);
        self.next
    }

    fn end(&mut self, id: u64) {
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.is_ended = true;
        }
    }

    /// A new refresh token; whatever was the newest one before is replaced now.
    fn add_refresh(&mut self, grant: u64, now: Duration) -> Result<String, Refusal> {
        for refresh in self.refresh.values_mut().filter(|refresh| refresh.grant == grant) {
            refresh.replaced_at.get_or_insert(now);
        }
        let token = Random::token(32)?;
        self.refresh.insert(token.clone(), RefreshToken { grant, last_used: now, replaced_at: None });
        Ok(token)
    }
}

impl Grant {
    fn is_live(&self, now: Duration) -> bool {
        !self.is_ended && self.ends.is_none_or(|ends| ends > now)
    }
}

impl State {
    /// Tokens for a user who has shown enough.
    pub(crate) fn issue(&mut self, call: &Call<'_>, bound: &Bound, account: usize, methods: &[Method]) -> Answered {
        let scopes = bound.scopes();
        let wants_refresh = scopes.iter().any(|scope| scope == "offline_access");
        let mut amr: Vec<&'static str> = methods.iter().map(|method| method.amr()).collect();
        if methods.len() > 1 {
            amr.push("mfa");
        }
        let acr = bound.acr_reached(methods);
        let grant = self.open_grant(call, account, bound.client.clone(), scopes.clone(), amr, acr);
        let refresh = if wants_refresh { Some(self.grants.add_refresh(grant, call.now)?) } else { None };
        let tokens = self.mint(call, grant, &scopes, refresh, &TokenMutation::default())?;
        Ok(Reply::json(200, &tokens))
    }

    fn open_grant(
        &mut self,
        call: &Call<'_>,
        account: usize,
        client: String,
        scopes: Vec<String>,
        amr: Vec<&'static str>,
        acr: Option<String>,
    ) -> u64 {
        let ends = match self.settings.refresh_token_lifetime {
            0 => None,
            seconds => Some(call.now.saturating_add(Duration::from_secs(seconds))),
        };
        let server = call.place.server;
        let auth_time = call.seconds();
        self.grants.open(Grant { account, client, server, scopes, auth_time, amr, acr, ends, is_ended: false })
    }

    /// The refresh grant.
    pub(crate) fn refresh(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let token = form.required("refresh_token")?;
        let known = self.grants.refresh.get(token).ok_or(catalogue::INVALID_REFRESH_TOKEN)?;
        let (id, last_used, replaced_at) = (known.grant, known.last_used, known.replaced_at);
        let grant = self.grants.grant(id).ok_or(catalogue::INVALID_REFRESH_TOKEN)?.clone();
        self.count_token_request(grant.account, call.now)?;
        if grant.client != leg.client {
            return Err(catalogue::MISMATCHED_CLIENT.into());
        }
        if grant.server != leg.server {
            return Err(catalogue::MISMATCHED_AUTHORIZATION_SERVER.into());
        }
        let idle = Duration::from_secs(self.settings.refresh_idle_lifetime);
        let is_idle = !idle.is_zero() && last_used.saturating_add(idle) <= call.now;
        let may_sign_in = self.account(grant.account)?.user.status != Status::Unassigned;
        if !grant.is_live(call.now) || is_idle || !may_sign_in {
            return Err(catalogue::INVALID_REFRESH_TOKEN.into());
        }
        if let Some(replaced_at) = replaced_at
            && (self.settings.leeway == 0 || call.now > replaced_at.saturating_add(self.settings.leeway()))
        {
            // Reuse: somebody else may have it. Nothing of this grant works any more.
            self.grants.end(id);
            return Err(REUSED.into());
        }
        let scopes = narrowed(&grant.scopes, leg.scope.as_deref())?;
        let next = match self.settings.rotation {
            Rotation::Rotate => self.grants.add_refresh(id, call.now)?,
            Rotation::Static => {
                if let Some(known) = self.grants.refresh.get_mut(token) {
                    known.last_used = call.now;
                }
                token.to_owned()
            }
        };
        let tokens = self.mint(call, id, &scopes, Some(next), &TokenMutation::default())?;
        Ok(Reply::json(200, &tokens))
    }

    /// Tokens that a script prescribes: real ones, without any check of the request, then changed.
    pub(crate) fn unchecked_tokens(&mut self, call: &Call<'_>, form: &Form, mutation: &TokenMutation) -> Answered {
        let refreshed =
            form.value("refresh_token").and_then(|token| self.grants.refresh.get(token)).map(|known| known.grant);
        let (grant, scopes) = match refreshed.and_then(|id| Some((id, self.grants.grant(id)?.scopes.clone()))) {
            Some(of_the_grant) => of_the_grant,
            None => {
                let account = self.account_in(form);
                let client = form.value("client_id").unwrap_or(&self.client_id).to_owned();
                let scope = form.value("scope").unwrap_or("openid profile offline_access");
                let scopes: Vec<String> = scope.split(' ').map(str::to_owned).collect();
                let acr = form.value("acr_values").and_then(|values| values.split(' ').next()).map(str::to_owned);
                (self.open_grant(call, account, client, scopes.clone(), vec!["pwd"], acr), scopes)
            }
        };
        let wants_refresh = scopes.iter().any(|scope| scope == "offline_access");
        let refresh = if wants_refresh { Some(self.grants.add_refresh(grant, call.now)?) } else { None };
        let tokens = self.mint(call, grant, &scopes, refresh, mutation)?;
        Ok(Reply::json(200, &tokens))
    }

    /// The user that a request is about; failing that the one that an earlier request was about, or the first.
    pub(crate) fn account_in(&mut self, form: &Form) -> usize {
        let named = form.value("username").or(form.value("login_hint")).and_then(|name| self.find_account(name));
        let begun = form.value("mfa_token").and_then(|token| self.transactions.get(token)).map(|begun| begun.account);
        self.last_account = named.or(begun).unwrap_or(self.last_account);
        self.last_account
    }

    fn mint(
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
        let scopes_kept = scopes.to_vec();
        let access = AccessToken { grant: id, scopes: scopes_kept, issued: call.now, ends, is_revoked: false };
        self.grants.access.insert(access_token.clone(), access);

        let mut answer = Map::new();
        answer.insert("token_type".to_owned(), json!("Bearer"));
        answer.insert("expires_in".to_owned(), json!(self.settings.access_token_lifetime));
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
        self.sign(claims, None, now)
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
            let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
            let left = hash.as_ref().get(..16).unwrap_or_default();
            claims.insert("at_hash".to_owned(), json!(BASE64URL_NOPAD.encode(left)));
        }
        if let Some(acr) = &grant.acr {
            claims.insert("acr".to_owned(), json!(acr));
        }
        for (name, value) in profile_claims(account, scopes) {
            claims.insert(name.to_owned(), value);
        }
        self.sign(claims, mutation, now)
    }

    fn sign(
        &self,
        mut claims: Map<String, Value>,
        mutation: Option<&JwtMutation>,
        now: u64,
    ) -> Result<String, Refusal> {
        let none = JwtMutation::default();
        let mutation = mutation.unwrap_or(&none);
        let unavailable = || Refusal::from(catalogue::SERVER_ERROR);
        let key = self.keys.current().ok_or_else(unavailable)?;
        let alg = match mutation.signature {
            Signature::Hs256WithPublicKey => "HS256",
            Signature::Rs512 => "RS512",
            Signature::Ps256 => "PS256",
            _ => "RS256",
        };
        let mut header = object(json!({ "kid": key.kid, "alg": alg }));
        header.extend(mutation.header.clone());
        header.retain(|name, _| !mutation.remove_header.contains(name));
        for (name, value) in &mutation.claims {
            claims.insert(name.clone(), relative_to(now, value));
        }
        claims.retain(|name, _| !mutation.remove.contains(name));
        let payload = mutation.payload.clone().unwrap_or_else(|| Value::Object(claims).to_string());
        let message = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(Value::Object(header).to_string().as_bytes()),
            BASE64URL_NOPAD.encode(payload.as_bytes())
        );
        let signature = self.signature(&key, mutation.signature, message.as_bytes()).ok_or_else(unavailable)?;
        Ok(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    fn signature(&self, key: &Key, how: Signature, message: &[u8]) -> Option<Vec<u8>> {
        match how {
            Signature::Rs256 => key.sign(keys::RS256, message),
            Signature::Flip => key.sign(keys::RS256, message).map(|mut signature| {
                if let Some(byte) = signature.last_mut() {
                    *byte ^= 1;
                }
                signature
            }),
            Signature::Empty => Some(Vec::new()),
            Signature::OtherKey => self.keys.unpublished()?.sign(keys::RS256, message),
            Signature::OtherPublishedKey => self.keys.previous()?.sign(keys::RS256, message),
            Signature::Hs256WithPublicKey => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_pem().as_bytes());
                Some(hmac::sign(&secret, message).as_ref().to_vec())
            }
            Signature::Rs512 => key.sign(&signature::RSA_PKCS1_SHA512, message),
            Signature::Ps256 => key.sign(&signature::RSA_PSS_SHA256, message),
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

/// The claims about a person that scopes open.
pub(crate) fn profile_claims(account: &super::state::Account, scopes: &[String]) -> Vec<(&'static str, Value)> {
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

/// The scopes of a refresh: those of the grant, or fewer when fewer are asked for.
fn narrowed(granted: &[String], asked: Option<&str>) -> Result<Vec<String>, Refusal> {
    let Some(asked) = asked else { return Ok(granted.to_vec()) };
    let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
    let denied: Vec<&str> = asked.iter().filter(|scope| !granted.contains(scope)).map(String::as_str).collect();
    if denied.is_empty() { Ok(asked) } else { Err(Refusal::of(catalogue::REFRESH_SCOPES_DENIED, denied.join(", "))) }
}

/// `{"now": n}` is the time in `n` seconds.
fn relative_to(now: u64, value: &Value) -> Value {
    let offset = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("now")?.as_i64());
    offset.map_or_else(|| value.clone(), |offset| json!(now.saturating_add_signed(offset)))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

impl Bound {
    fn scopes(&self) -> Vec<String> {
        self.scope().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }
}
