//! What tokens are for and what ends them: `/userinfo`, `/revoke`, `/introspect` (protocol.md §1.12–§1.14), and a small
//! protected resource that answers like any API would (RFC 6750).

use serde_json::{Map, Value, json};

use super::answer::{Refusal, Reply};
use super::grants::{AccessToken, Grant};
use super::mint::profile_claims;
use super::request::Form;
use super::{Answered, Call, State, catalogue};

impl State {
    /// `GET …/userinfo`.
    pub(crate) fn user_info(&mut self, call: &Call<'_>) -> Answered {
        call.request.require_method(&["GET", "POST"])?;
        let (access, grant) = self.presented(call).map(|(access, grant)| (access.clone(), grant.clone()))?;
        if grant.server != call.place.server {
            return Err(INVALID_TOKEN);
        }
        if !access.scopes.iter().any(|scope| scope == "openid") {
            let description = "The access token must provide access to at least one of these scopes - openid";
            let (status, error) = (403, Some("insufficient_scope"));
            return Err(Refusal::Resource { status, scheme: "Bearer", error, description });
        }
        let account = self.account(grant.account)?;
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(account.subject));
        claims
            .extend(profile_claims(account, &access.scopes).into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(Reply::json(200, &claims.into()))
    }

    /// `GET …/api/me`: who calls, and with which scopes.
    pub(crate) fn resource(&mut self, call: &Call<'_>) -> Answered {
        call.request.require_method(&["GET"])?;
        let (access, grant) = self.presented(call).map(|(access, grant)| (access.clone(), grant.clone()))?;
        let account = self.account(grant.account)?;
        Ok(Reply::json(
            200,
            &json!({
                "sub": account.subject,
                "username": account.user.username,
                "name": account.user.name,
                "scopes": access.scopes,
            }),
        ))
    }

    /// `POST …/revoke`: always 200 for a known client, whatever the token was.
    pub(crate) fn revoke(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        let client = self.client(call, form)?;
        let token = form.value("token").ok_or(catalogue::REQUEST_MISSING_TOKEN)?;
        self.grants.revoke(token, &client, call.place.server);
        Ok(Reply::empty(200))
    }

    /// `POST …/introspect`.
    pub(crate) fn introspect(&self, call: &Call<'_>, form: &Form) -> Answered {
        let client = self.client(call, form)?;
        let token = form.value("token").ok_or(catalogue::REQUEST_MISSING_TOKEN)?;
        let known = self.describe_token(call, token, &client).unwrap_or_else(|| json!({ "active": false }));
        Ok(Reply::json(200, &known))
    }

    fn describe_token(&self, call: &Call<'_>, token: &str, client: &str) -> Option<Value> {
        let is_here = |grant: &Grant| grant.server == call.place.server && grant.client == client;
        if let Some((access, grant)) = self.grants.access(token, call.now).filter(|(_, grant)| is_here(grant)) {
            let account = self.account(grant.account).ok()?;
            return Some(json!({
                "active": true, "token_type": access.token_type(&self.settings.token_type), "scope": access.scopes.join(" "), "client_id": grant.client,
                "username": account.user.username, "exp": access.ends.as_secs(), "iat": access.issued.as_secs(),
                "sub": account.user.username, "aud": self.audience, "iss": call.issuer(), "uid": account.subject,
            }));
        }
        if let Some((_, grant)) = self.grants.refresh(token, call.now).filter(|(_, grant)| is_here(grant)) {
            let account = self.account(grant.account).ok()?;
            return Some(json!({
                "active": true, "client_id": grant.client, "username": account.user.username,
                "sub": account.user.username, "iss": call.issuer(), "uid": account.subject,
            }));
        }
        let claims = self.own_id_token(token)?;
        let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        let ends = claims.get("exp").and_then(Value::as_u64)?;
        if !is("iss", &call.issuer()) || !is("aud", client) || ends <= call.seconds() {
            return None;
        }
        let mut described = claims;
        described.insert("active".to_owned(), json!(true));
        Some(described.into())
    }

    /// The access token that a request presents, if it works: a bound one by the DPoP scheme with a proof by its key, any other
    /// as a bearer token.
    pub(crate) fn presented(&mut self, call: &Call<'_>) -> Result<(&AccessToken, &Grant), Refusal> {
        let header = call.request.header("authorization").ok_or(NO_CREDENTIALS)?;
        let (scheme, token) = header.split_once(' ').ok_or(NO_CREDENTIALS)?;
        let (scheme, token) = (scheme.to_ascii_lowercase(), token.trim());
        let bound = match self.grants.access(token, call.now) {
            None => return Err(INVALID_TOKEN),
            Some((access, _)) => access.thumbprint.clone(),
        };
        match (scheme.as_str(), bound) {
            ("bearer", None) => {}
            ("bearer", Some(_)) => return Err(catalogue::DPOP_AUTHENTICATION_SCHEME_REQUIRED.into()),
            ("dpop", None) => {
                let (error, description) = (Some("invalid_token"), "The presented access_token is not DPoP bound.");
                return Err(Refusal::Resource { status: 401, scheme: "DPoP", error, description });
            }
            ("dpop", Some(bound)) => {
                if self.resource_proof(call, token)?.thumbprint != bound {
                    return Err(catalogue::INVALID_ACCESS_TOKEN_DPOP_BINDING.into());
                }
            }
            _ => return Err(NO_CREDENTIALS),
        }
        self.grants.access(token, call.now).ok_or(INVALID_TOKEN)
    }
}

const NO_CREDENTIALS: Refusal = Refusal::Resource { status: 401, scheme: "Bearer", error: None, description: "" };
const INVALID_TOKEN: Refusal = Refusal::Resource {
    status: 401,
    scheme: "Bearer",
    error: Some("invalid_token"),
    description: "The access token is invalid",
};
