//! What the server says about itself, and which of it may be used.
//!
//! RFC 8414 §3.3 and OIDC Discovery §4.3; docs/protocol.md §6.1 and rows 186–199. The issuer is compared code point by
//! code point, and a document of another issuer is not used at all. Every endpoint is https at the issuer's own host and
//! port. The two direct-authentication endpoints are in no metadata: they are the token endpoint with its last path
//! segment replaced (§1.0).

use url::Url;

use super::json::{Object, Value};
use crate::config::Profile;
use crate::error::{ConfigurationProblem, IssuerProblem};

/// The usable part of the metadata.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) token_endpoint: Url,
    /// Whether a password may be sent; a session that is there is refreshed all the same.
    pub(crate) takes_passwords: bool,
    /// Only where there is direct authentication.
    pub(crate) direct: Option<DirectEndpoints>,
    pub(crate) jwks_uri: Url,
    pub(crate) revocation: Option<Url>,
    pub(crate) introspection: Option<Url>,
    pub(crate) userinfo: Option<Url>,
    /// What the server signs ID tokens with; can only narrow the client's own list (row 199).
    pub(crate) id_token_algs: Option<Vec<String>>,
    /// What it can verify DPoP proofs with (RFC 9449 §5.1), if it says so.
    pub(crate) dpop_algs: Option<Vec<String>>,
}

/// Okta's two endpoints that are in no metadata.
#[derive(Clone, Debug)]
pub(crate) struct DirectEndpoints {
    pub(crate) primary_authenticate: Url,
    pub(crate) challenge: Url,
}

/// Reads the metadata that was fetched for `configured_issuer`.
///
/// An optional endpoint that is not usable is a missing capability (row 192); a required one is an error.
pub(crate) fn parse_metadata(
    document: &Object,
    configured_issuer: &str,
    profile: Profile,
) -> Result<Metadata, ConfigurationProblem> {
    let issuer = document.str("issuer").unwrap_or_default();
    if issuer != configured_issuer {
        return Err(ConfigurationProblem::IssuerMismatch {
            configured: configured_issuer.to_owned(),
            found: printable(issuer),
        });
    }
    let base = Url::parse(issuer).map_err(|_| ConfigurationProblem::Issuer(IssuerProblem::NotAUrl))?;
    let optional = |name| endpoint(document, name, &base);
    let required = |name| optional(name).ok_or(ConfigurationProblem::Endpoint(name));

    let token_endpoint = required("token_endpoint")?;
    let beside_token =
        |operation| sibling(&token_endpoint, operation).ok_or(ConfigurationProblem::Endpoint("token_endpoint"));
    let direct = match profile {
        Profile::Okta => Some(DirectEndpoints {
            primary_authenticate: beside_token("primary-authenticate")?,
            challenge: beside_token("challenge")?,
        }),
        Profile::Oidc => None,
    };
    let grants = strings(document, "grant_types_supported").unwrap_or_default();
    Ok(Metadata {
        issuer: issuer.to_owned(),
        // What Okta lists says nothing of direct authentication (protocol.md §1.0). Of another server it does, and one that lists
        // nothing has the default, which is without the password (OpenID Connect Discovery §3).
        takes_passwords: profile == Profile::Okta || grants.iter().any(|grant| grant == "password"),
        direct,
        token_endpoint,
        jwks_uri: required("jwks_uri")?,
        revocation: optional("revocation_endpoint"),
        introspection: optional("introspection_endpoint"),
        userinfo: optional("userinfo_endpoint"),
        id_token_algs: strings(document, "id_token_signing_alg_values_supported"),
        dpop_algs: strings(document, "dpop_signing_alg_values_supported"),
    })
}

/// An endpoint that may be used: https, at the issuer's host and port, without userinfo and fragment.
fn endpoint(document: &Object, name: &str, issuer: &Url) -> Option<Url> {
    let text = document.str(name)?;
    // The URL parser drops tabs and line breaks and trims white space instead of refusing them.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_https = url.scheme() == "https";
    let is_same_host = url.host().is_some() && url.host() == issuer.host();
    let is_same_port = url.port_or_known_default() == issuer.port_or_known_default();
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_https && is_same_host && is_same_port && is_bare).then_some(url)
}

/// The token endpoint with its last path segment, which must be `token`, replaced (rows 195–196).
fn sibling(token_endpoint: &Url, operation: &str) -> Option<Url> {
    if token_endpoint.path_segments()?.next_back()? != "token" {
        return None;
    }
    let mut url = token_endpoint.clone();
    url.path_segments_mut().ok()?.pop().push(operation);
    Some(url)
}

fn strings(document: &Object, name: &str) -> Option<Vec<String>> {
    let items = document.get(name)?.as_array()?;
    Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Foreign text for an error message; what is not visible ASCII shows as a question mark.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|character| if character.is_ascii_graphic() { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
