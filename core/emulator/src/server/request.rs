//! What a request is: where it goes, what it carries, and whether it has the form that every protocol endpoint asks for.

use super::answer::Refusal;
use super::catalogue;

/// A request as it came, its body read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) connection: u64,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_form(&self) -> bool {
        let essence = self.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    fn accepts_json(&self) -> bool {
        let Some(accept) = self.header("accept") else { return true };
        accept.split(',').any(|range| {
            let essence = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            matches!(essence.as_str(), "application/json" | "application/*" | "*/*")
        })
    }

    /// POST, a form, JSON accepted: what every protocol endpoint requires (protocol.md §1.0).
    pub(crate) fn require_form_post(&self) -> Result<(), Refusal> {
        self.require_method("POST")?;
        if !self.is_form() || !self.accepts_json() {
            let summary = "Bad request.  Accept and/or Content-Type headers likely do not match supported values.";
            return Err(Refusal::Api { status: 400, code: "E0000021", summary: summary.to_owned() });
        }
        Ok(())
    }

    pub(crate) fn require_method(&self, method: &str) -> Result<(), Refusal> {
        if self.method == method {
            return Ok(());
        }
        let summary = "The endpoint does not support the provided HTTP method";
        Err(Refusal::Api { status: 405, code: "E0000022", summary: summary.to_owned() })
    }
}

/// A decoded form.
#[derive(Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn of(request: &Request) -> Self {
        if !request.is_form() {
            return Self(Vec::new());
        }
        Self(form_urlencoded::parse(&request.body).into_owned().collect())
    }

    /// The first value, also when it is empty.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A value that is there and not empty; RFC 6749 §3.1 treats an empty one as left out.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.value(name).ok_or_else(|| Refusal::of(catalogue::MISSING_TOKEN_REQUEST_PARAMETER, name))
    }

    pub(crate) fn require_no_duplicates(&self) -> Result<(), Refusal> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if self.0.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(Refusal::of(catalogue::ILLEGAL_DUPLICATED_PARAMETERS, name));
            }
        }
        Ok(())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

/// Which of a tenant's two authorization servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The organisation's own; its access tokens are opaque.
    Org,
    /// The custom one, `default`.
    Custom,
}

impl Server {
    pub(crate) fn issuer(self, base: &str) -> String {
        match self {
            Self::Org => base.to_owned(),
            Self::Custom => format!("{base}/oauth2/default"),
        }
    }

    /// Where its operations are.
    pub(crate) fn endpoints(self, base: &str) -> String {
        match self {
            Self::Org => format!("{base}/oauth2/v1"),
            Self::Custom => format!("{base}/oauth2/default/v1"),
        }
    }

    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Custom => "default",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Metadata,
    Keys,
    Token,
    PrimaryAuthenticate,
    OobAuthenticate,
    Challenge,
    Revoke,
    Introspect,
    UserInfo,
    Resource,
    Other,
}

impl Operation {
    pub(crate) const ALL: [Self; 11] = [
        Self::Metadata,
        Self::Keys,
        Self::Token,
        Self::PrimaryAuthenticate,
        Self::OobAuthenticate,
        Self::Challenge,
        Self::Revoke,
        Self::Introspect,
        Self::UserInfo,
        Self::Resource,
        Self::Other,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Keys => "keys",
            Self::Token => "token",
            Self::PrimaryAuthenticate => "primary-authenticate",
            Self::OobAuthenticate => "oob-authenticate",
            Self::Challenge => "challenge",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::UserInfo => "userinfo",
            Self::Resource => "resource",
            Self::Other => "other",
        }
    }

    fn of_endpoint(name: &str) -> Self {
        [
            Self::Token,
            Self::PrimaryAuthenticate,
            Self::OobAuthenticate,
            Self::Challenge,
            Self::Revoke,
            Self::Introspect,
            Self::UserInfo,
            Self::Keys,
        ]
        .into_iter()
        .find(|operation| operation.name() == name)
        .unwrap_or(Self::Other)
    }
}

/// Where a path leads, inside a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) operation: Operation,
}

const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";

impl Place {
    /// Where no path of a tenant leads.
    pub(crate) const NOWHERE: Self = Self { server: Server::Org, operation: Operation::Other };

    /// Splits a path into the tenant's name (empty for the root tenant) and the place there.
    pub(crate) fn find(path: &str) -> (&str, Self) {
        // RFC 8414 §3.1 puts the well-known part before the issuer's path; Okta has it in both places.
        if let Some(issuer_path) = path.strip_prefix(OAUTH_METADATA) {
            let (tenant, rest) = split_tenant(issuer_path);
            let place = match rest {
                "" => Self { server: Server::Org, operation: Operation::Metadata },
                "/oauth2/default" => Self { server: Server::Custom, operation: Operation::Metadata },
                _ => Self::NOWHERE,
            };
            return (tenant, place);
        }
        let (tenant, rest) = split_tenant(path);
        (tenant, Self::inside(rest))
    }

    fn inside(path: &str) -> Self {
        if path == "/api/me" {
            return Self { server: Server::Custom, operation: Operation::Resource };
        }
        let (server, rest) = match path.strip_prefix("/oauth2/default/") {
            Some(rest) => (Server::Custom, rest),
            None => (Server::Org, path.strip_prefix("/oauth2/").or(path.strip_prefix('/')).unwrap_or_default()),
        };
        let is_well_known = path.strip_prefix("/oauth2/default").unwrap_or(path);
        let operation = if is_well_known == OAUTH_METADATA || is_well_known == "/.well-known/openid-configuration" {
            Operation::Metadata
        } else if path.starts_with("/oauth2/") {
            rest.strip_prefix("v1/").map_or(Operation::Other, Operation::of_endpoint)
        } else {
            Operation::Other
        };
        Self { server, operation }
    }
}

fn split_tenant(path: &str) -> (&str, &str) {
    let Some(rest) = path.strip_prefix("/t/") else { return ("", path) };
    rest.find('/').map_or((rest, ""), |end| rest.split_at(end))
}

/// The grants of direct authentication that are offered here, and the names of some that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantType {
    Password,
    Otp,
    Oob,
    MfaOtp,
    MfaOob,
    RefreshToken,
    WebAuthn,
    MfaWebAuthn,
    AuthorizationCode,
    DeviceCode,
    TokenExchange,
}

impl GrantType {
    pub(crate) const OFFERED: [Self; 6] =
        [Self::Password, Self::Otp, Self::Oob, Self::MfaOtp, Self::MfaOob, Self::RefreshToken];
    const KNOWN: [(Self, &'static str, &'static str); 11] = [
        (Self::Password, "password", "password"),
        (Self::Otp, "otp", "urn:okta:params:oauth:grant-type:otp"),
        (Self::Oob, "oob", "urn:okta:params:oauth:grant-type:oob"),
        (Self::MfaOtp, "mfa-otp", "http://auth0.com/oauth/grant-type/mfa-otp"),
        (Self::MfaOob, "mfa-oob", "http://auth0.com/oauth/grant-type/mfa-oob"),
        (Self::RefreshToken, "refresh_token", "refresh_token"),
        (Self::WebAuthn, "webauthn", "urn:okta:params:oauth:grant-type:webauthn"),
        (Self::MfaWebAuthn, "mfa-webauthn", "urn:okta:params:oauth:grant-type:mfa-webauthn"),
        (Self::AuthorizationCode, "authorization_code", "authorization_code"),
        (Self::DeviceCode, "device_code", "urn:ietf:params:oauth:grant-type:device_code"),
        (Self::TokenExchange, "token-exchange", "urn:ietf:params:oauth:grant-type:token-exchange"),
    ];

    pub(crate) fn from_short(short: &str) -> Option<Self> {
        Self::KNOWN.iter().find(|(_, name, _)| *name == short).map(|(grant, _, _)| *grant)
    }

    pub(crate) fn from_uri(uri: &str) -> Option<Self> {
        Self::KNOWN.iter().find(|(_, _, known)| *known == uri).map(|(grant, _, _)| *grant)
    }

    pub(crate) fn uri(self) -> &'static str {
        Self::KNOWN.iter().find(|(grant, _, _)| *grant == self).map_or("", |(_, _, uri)| *uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_okta_has_them() {
        use Operation::*;
        for (path, tenant, server, operation) in [
            ("/.well-known/openid-configuration", "", Server::Org, Metadata),
            ("/.well-known/oauth-authorization-server", "", Server::Org, Metadata),
            ("/.well-known/oauth-authorization-server/oauth2/default", "", Server::Custom, Metadata),
            ("/.well-known/oauth-authorization-server/t/t1/oauth2/default", "t1", Server::Custom, Metadata),
            ("/.well-known/oauth-authorization-server/t/t1", "t1", Server::Org, Metadata),
            ("/oauth2/default/.well-known/oauth-authorization-server", "", Server::Custom, Metadata),
            ("/t/t1/oauth2/default/.well-known/openid-configuration", "t1", Server::Custom, Metadata),
            ("/oauth2/v1/token", "", Server::Org, Token),
            ("/oauth2/default/v1/token", "", Server::Custom, Token),
            ("/t/t1/oauth2/default/v1/challenge", "t1", Server::Custom, Challenge),
            ("/t/t1/api/me", "t1", Server::Custom, Resource),
            ("/v1/token", "", Server::Org, Other),
            ("/oauth2/other/v1/token", "", Server::Org, Other),
            ("/oauth2/v1/metadata", "", Server::Org, Other),
            ("/t/t1", "t1", Server::Org, Other),
        ] {
            assert_eq!(Place::find(path), (tenant, Place { server, operation }), "{path}");
        }
    }
}
