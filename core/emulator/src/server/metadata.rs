//! What a client learns before it signs in: the metadata documents and the keys (protocol.md §1.14).

use std::time::Duration;

use serde_json::json;

use super::answer::{Refusal, Reply};
use super::{Answered, Call, Server, State};
use crate::settings::DpopPolicy;

impl State {
    pub(crate) fn metadata(&self, call: &Call<'_>) -> Answered {
        call.request.require_method(&["GET"])?;
        self.check_client_in_query(call)?;
        let endpoints = call.place.server.endpoints(&call.base);
        let scopes: Vec<&String> = self.scopes_of(call.place.server).collect();
        let document = json!({
            "issuer": call.issuer(),
            "authorization_endpoint": format!("{endpoints}/authorize"),
            "token_endpoint": format!("{endpoints}/token"),
            "userinfo_endpoint": format!("{endpoints}/userinfo"),
            "jwks_uri": format!("{endpoints}/keys"),
            "introspection_endpoint": format!("{endpoints}/introspect"),
            "revocation_endpoint": format!("{endpoints}/revoke"),
            "end_session_endpoint": format!("{endpoints}/logout"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            // As on a real org: no grant of direct authentication is listed.
            "grant_types_supported": ["authorization_code", "refresh_token", "password"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": scopes,
            "token_endpoint_auth_methods_supported": ["none"],
            "introspection_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "claims_supported": ["iss", "ver", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "idp", "acr",
                "at_hash", "name", "email", "email_verified", "preferred_username"],
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": self.dpop_algorithms(),
        });
        Ok(Reply::json(200, &document).header("Cache-Control", "max-age=86400, must-revalidate"))
    }

    pub(crate) fn keys_document(&mut self, call: &Call<'_>) -> Answered {
        call.request.require_method(&["GET"])?;
        self.check_client_in_query(call)?;
        let max_age = format!("max-age={}, must-revalidate", self.settings.keys_max_age);
        let lag = Duration::from_secs(self.settings.keys_lag);
        let keys = self.keys.publish(call.now, lag, self.settings.keys_lag_fetches);
        Ok(Reply::json(200, &keys).header("Cache-Control", max_age))
    }

    /// The scopes that a server knows: the org's own only those of OpenID Connect.
    pub(crate) fn scopes_of(&self, server: Server) -> impl Iterator<Item = &String> {
        self.scopes.iter().filter(move |scope| server == Server::Custom || is_oidc_scope(scope))
    }

    fn dpop_algorithms(&self) -> &[&str] {
        if self.settings.dpop == DpopPolicy::Off { &[] } else { &["RS256", "ES256"] }
    }

    fn check_client_in_query(&self, call: &Call<'_>) -> Result<(), Refusal> {
        call.request.require_no_duplicates_in_query()?;
        let named = call.request.query.iter().find(|(name, _)| name == "client_id");
        match named {
            Some((_, client)) if !self.knows_client(client) => {
                Err(Refusal::UnknownClient { client: printable(client) })
            }
            _ => Ok(()),
        }
    }
}

/// A scope that OpenID Connect defines.
pub(crate) fn is_oidc_scope(scope: &str) -> bool {
    matches!(scope, "openid" | "profile" | "email" | "address" | "phone" | "offline_access")
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}
