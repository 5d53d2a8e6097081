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
        self.header("accept").is_some_and(|accept| accept.split(',').any(is_json_range))
    }

    /// POST, a form, JSON asked for: what every protocol endpoint requires (protocol.md §1.0).
    pub(crate) fn require_form_post(&self) -> Result<(), Refusal> {
        self.require_method(&["POST"])?;
        if !self.is_form() || !self.accepts_json() {
            return Err(Refusal::api(catalogue::E0000021, ""));
        }
        if !is_well_formed(&self.body) {
            return Err(Refusal::api(catalogue::E0000003, ""));
        }
        Ok(())
    }

    pub(crate) fn require_method(&self, methods: &[&'static str]) -> Result<(), Refusal> {
        if methods.contains(&self.method.as_str()) {
            return Ok(());
        }
        Err(Refusal::Method { allow: if methods.len() > 1 { "GET, POST" } else { methods.first().unwrap_or(&"") } })
    }

    pub(crate) fn require_no_duplicates_in_query(&self) -> Result<(), Refusal> {
        match first_duplicate(&self.query) {
            Some(_) => Err(catalogue::DUPLICATE_OAUTH_PARAMS.into()),
            None => Ok(()),
        }
    }

    /// Refuses what a form belongs in but the query has; `allowed` alone may be there, once.
    pub(crate) fn only_from_query(&self, allowed: Option<&str>) -> Result<Option<&str>, Refusal> {
        let foreign = || self.query.iter().map(|(name, _)| name.as_str()).filter(|name| Some(*name) != allowed);
        if foreign().any(|name| CLIENT_CREDENTIALS.contains(&name)) {
            return Err(catalogue::CLIENT_CREDENTIALS_IN_QUERY.into());
        }
        self.require_no_duplicates_in_query()?;
        if let Some(name) = foreign().next() {
            return Err(Refusal::out_of_place(name));
        }
        Ok(self.query.first().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }
}

const CLIENT_CREDENTIALS: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// Whether a range of `Accept` takes JSON (RFC 9110 §12.5.1).
fn is_json_range(range: &str) -> bool {
    let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next().unwrap_or_default();
    let is_refused = parts.any(|part| {
        let quality = part.strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok());
        quality.is_some_and(|quality| quality <= 0.0)
    });
    matches!(essence.as_str(), "application/json" | "application/*" | "*/*") && !is_refused
}

/// Whether a form is percent-encoded UTF-8 and nothing else.
fn is_well_formed(form: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(form.len());
    let mut rest = form;
    loop {
        rest = match rest {
            [] => return std::str::from_utf8(&decoded).is_ok(),
            [b'%', high, low, rest @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
                decoded.push(high << 4 | low);
                rest
            }
            [b'%', ..] => return false,
            [byte, rest @ ..] if byte.is_ascii_graphic() => {
                decoded.push(*byte);
                rest
            }
            _ => return false,
        };
    }
}

fn first_duplicate(pairs: &[(String, String)]) -> Option<&str> {
    let is_repeated = |index: usize, name: &String| pairs.iter().take(index).any(|(earlier, _)| earlier == name);
    pairs.iter().enumerate().find(|(index, (name, _))| is_repeated(*index, name)).map(|(_, (name, _))| name.as_str())
}

const CREDENTIALS: [&str; 12] = [
    "username",
    "password",
    "login_hint",
    "otp",
    "oob_code",
    "binding_code",
    "mfa_token",
    "refresh_token",
    "authenticatorData",
    "clientDataJSON",
    "signature",
    "userHandle",
];

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
        match first_duplicate(&self.0) {
            Some(name) => Err(Refusal::of(catalogue::ILLEGAL_DUPLICATED_PARAMETERS, name)),
            None => Ok(()),
        }
    }

    /// Refuses what shows who the user is where this request has no use for it: a client that mixes up two grants must
    /// not find out by a wrong password.
    pub(crate) fn refuse_credentials_but(&self, used: &[&str]) -> Result<(), Refusal> {
        let foreign = CREDENTIALS.iter().find(|name| !used.contains(name) && self.first(name).is_some());
        foreign.map_or(Ok(()), |name| Err(Refusal::out_of_place(name)))
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
    Password,
    Other,
}

impl Operation {
    pub(crate) const ALL: [Self; 12] = [
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
        Self::Password,
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
            Self::Password => "password",
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
        if path == "/idp/myaccount/password" {
            return Self { server: Server::Org, operation: Operation::Password };
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
    pub(crate) const OFFERED: [Self; 8] = [
        Self::Password,
        Self::Otp,
        Self::Oob,
        Self::MfaOtp,
        Self::MfaOob,
        Self::RefreshToken,
        Self::WebAuthn,
        Self::MfaWebAuthn,
    ];
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

    /// What shows who the user is. A `login_hint` is welcome on every leg that has no `username`.
    pub(crate) fn credentials(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["username", "password"],
            Self::Otp => &["login_hint", "otp"],
            Self::Oob => &["login_hint", "oob_code", "binding_code"],
            Self::MfaOtp => &["login_hint", "mfa_token", "otp"],
            Self::MfaOob => &["login_hint", "mfa_token", "oob_code", "binding_code"],
            Self::RefreshToken => &["refresh_token"],
            Self::WebAuthn => &["login_hint", "authenticatorData", "clientDataJSON", "signature", "userHandle"],
            Self::MfaWebAuthn => {
                &["login_hint", "mfa_token", "authenticatorData", "clientDataJSON", "signature", "userHandle"]
            }
            _ => &CREDENTIALS,
        }
    }

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
