//! What a client is set up with, checked once: a value of these types is usable.

use core::fmt;
use core::time::Duration;

use std::sync::Arc;

use url::Url;

use crate::error::{ConfigurationProblem, IssuerProblem};

/// The authorization server's identifier, exactly as the server writes it (RFC 8414 §2, OpenID Connect Discovery §4.3).
///
/// https, without user info, query or fragment, and already in the form in which a URL parser would print it, so that
/// comparing it code point by code point is the whole comparison (rows 188–189).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`IssuerProblem`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, IssuerProblem> {
        if text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(IssuerProblem::NotCanonical);
        }
        let url = Url::parse(text).map_err(|_| IssuerProblem::NotAUrl)?;
        if url.scheme() != "https" {
            return Err(IssuerProblem::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err(IssuerProblem::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(IssuerProblem::QueryOrFragment);
        }
        if !url.has_host() {
            return Err(IssuerProblem::NotAUrl);
        }
        // A URL without path prints with a final slash that an issuer need not have.
        let printed = url.as_str();
        if printed != text && printed.strip_suffix('/') != Some(text) {
            return Err(IssuerProblem::NotCanonical);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The identifier, unchanged.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https://host[:port]`.
    pub(crate) fn origin(&self) -> Origin {
        Origin::of(&self.url)
    }

    /// The issuer of the organisation's own server, which alone gives out tokens for Okta's APIs (protocol.md §1.0);
    /// `None` if this one is not named as Okta names them.
    pub(crate) fn organization(&self) -> Option<Self> {
        let Some((organization, id)) = self.text.split_once("/oauth2/") else { return Some(self.clone()) };
        let is_id = !id.is_empty() && !id.contains('/');
        is_id.then(|| Self::parse(organization).ok()).flatten()
    }

    /// The host, without a port.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The path of a URL of the issuer's origin; `None` for any other URL.
    pub(crate) fn path_of(&self, url: &str) -> Option<String> {
        let is_ours = Origin::of_request(url).is_some_and(|origin| origin == self.origin());
        Url::parse(url).ok().filter(|_| is_ours).map(|url| url.path().to_owned())
    }

    /// The OpenID Connect discovery document; `client_id` because the issuer may differ by client (protocol.md §1.0).
    pub(crate) fn metadata_url(&self, client_id: &ClientId, profile: Profile) -> String {
        let base = self.text.trim_end_matches('/');
        if profile == Profile::Oidc {
            return format!("{base}/.well-known/openid-configuration");
        }
        let query: String = url::form_urlencoded::byte_serialize(client_id.as_str().as_bytes()).collect();
        format!("{base}/.well-known/openid-configuration?client_id={query}")
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A client id: 1 to 255 visible ASCII characters (RFC 6749 appendix A.1, without the space).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(String);

impl ClientId {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigurationProblem> {
        let visible = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        visible.then(|| Self(text.to_owned())).ok_or(ConfigurationProblem::ClientId)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The scopes of a client, in the one spelling that all legs of a sign-in send (RFC 6749 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(String);

/// Longest scope parameter that Okta takes at the first leg (protocol.md §1.1).
const MAX_SCOPE: usize = 1024;

impl Scopes {
    pub(crate) fn parse<I: IntoIterator<Item = S>, S: AsRef<str>>(scopes: I) -> Result<Self, ConfigurationProblem> {
        let mut list: Vec<String> = Vec::new();
        for scope in scopes {
            let scope = scope.as_ref();
            let legal = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            if scope.is_empty() || !scope.bytes().all(legal) {
                return Err(ConfigurationProblem::Scope);
            }
            if !list.iter().any(|known| known == scope) {
                list.push(scope.to_owned());
            }
        }
        let joined = list.join(" ");
        if joined.is_empty() || joined.len() > MAX_SCOPE {
            return Err(ConfigurationProblem::Scope);
        }
        Ok(Self(joined))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn contains(&self, scope: &str) -> bool {
        self.0.split(' ').any(|known| known == scope)
    }
}

/// What a sign-in has to reach (OpenID Connect Core §3.1.2.1, RFC 9470): nothing in particular by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assurance {
    /// One of these, the most wanted first; all if empty.
    pub(crate) acr_values: Vec<String>,
    /// Seconds since the user was last asked, at most.
    pub(crate) max_age: Option<i64>,
}

const MAX_ACR_VALUES: usize = 1024;

impl Assurance {
    /// Context classes are names without blanks.
    pub(crate) fn parse(acr_values: &[String], max_age: Option<Duration>) -> Result<Self, ConfigurationProblem> {
        let is_name = |value: &String| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        let length: usize = acr_values.iter().map(|value| value.len().saturating_add(1)).sum();
        if !acr_values.iter().all(is_name) || length > MAX_ACR_VALUES {
            return Err(ConfigurationProblem::AcrValues);
        }
        let max_age = max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        Ok(Self { acr_values: acr_values.to_vec(), max_age })
    }

    /// The parameter `acr_values`, if there is one.
    pub(crate) fn acr_values(&self) -> Option<String> {
        (!self.acr_values.is_empty()).then(|| self.acr_values.join(" "))
    }

    /// Whether it can be seen in an ID token only.
    pub(crate) fn is_asked_for(&self) -> bool {
        !self.acr_values.is_empty() || self.max_age.is_some()
    }
}

/// `https://host[:port]`, the unit that decides where a token may go (protocol.md TOK-9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ConfigurationProblem> {
        let url = Url::parse(text).map_err(|_| ConfigurationProblem::ResourceOrigin)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none() && !text.contains('@');
        if url.scheme() == "https" && url.has_host() && bare && anonymous {
            Ok(Self::of(&url))
        } else {
            Err(ConfigurationProblem::ResourceOrigin)
        }
    }

    /// The origin of a URL that a token may be sent to, if it is one at all.
    pub(crate) fn of_request(text: &str) -> Option<Self> {
        // What URL parsers repair in different ways is refused: another one will read this text when it is used.
        if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
        plain.then(|| Self::of(&url))
    }

    fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

/// A way to prove who the user is, besides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Factor {
    /// A one-time code from an authenticator app.
    Otp,
    /// A prompt on the user's device, with or without a number to tap.
    Push,
    /// A code by text message.
    Sms,
    /// A code by a phone call.
    Voice,
    /// A code by e-mail.
    Email,
    /// A passkey (WebAuthn).
    Passkey,
}

impl Factor {
    /// All factors that this version can do.
    pub const ALL: [Self; 6] = [Self::Otp, Self::Push, Self::Sms, Self::Voice, Self::Email, Self::Passkey];

    /// A stable name: `otp`, `push`, `sms`, `voice`, `email`, `passkey`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Otp => "otp",
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
            Self::Passkey => "passkey",
        }
    }
}

impl core::str::FromStr for Factor {
    type Err = ConfigurationProblem;

    /// The factor of a stable name.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|factor| factor.name() == name).ok_or(ConfigurationProblem::Capability)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything about a client that does not change.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) issuer: Issuer,
    pub(crate) client_id: ClientId,
    pub(crate) scopes: Scopes,
    pub(crate) capabilities: Vec<Factor>,
    pub(crate) resource_origins: Vec<Origin>,
    pub(crate) relying_parties: Vec<String>,
    pub(crate) passkey_start: PasskeyStart,
    pub(crate) recovery_request: RecoveryRequest,
    pub(crate) dpop: DPoP,
    /// Names and values that the app adds to token requests.
    pub(crate) additional: Arc<[(String, String)]>,
    pub(crate) request_timeout: Duration,
    pub(crate) trim_usernames: bool,
    pub(crate) when_storage_fails: WhenStorageFails,
    pub(crate) wider_scopes: WiderScopes,
    pub(crate) profile: Profile,
    pub(crate) accounts: Accounts,
    pub(crate) refresh_policy: RefreshPolicy,
    /// Whether other processes may write in the store.
    pub(crate) shared_store: bool,
}

impl Config {
    /// Whether a session's token may be sent to `url`: https, and the issuer's origin or a configured one.
    pub(crate) fn may_receive_tokens(&self, url: &str) -> bool {
        Origin::of_request(url)
            .is_some_and(|origin| origin == self.issuer.origin() || self.resource_origins.contains(&origin))
    }
}

/// What a sign-in does when the token store cannot be written (docs/sessions.md §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenStorageFails {
    /// Refuse before the credential is sent.
    #[default]
    Refuse,
    /// Sign in all the same and keep the session in memory.
    KeepInMemory,
}

/// What becomes of tokens with more scopes than were asked for (protocol.md row 97). An audit event tells of it either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WiderScopes {
    /// They are taken; [`Session::granted_scopes`](crate::Session::granted_scopes) shows what was granted.
    #[default]
    Accept,
    /// A sign-in fails with [`TokenCheck::Scope`](crate::error::TokenCheck::Scope) and gives them back; at a refresh they are
    /// not released, and the session stays.
    Refuse,
}

/// Where a passkey is asked for as the second factor: Okta's two SDKs differ (protocol.md §1.16, X2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasskeyStart {
    /// At `/challenge`, as every other second factor.
    #[default]
    Challenge,
    /// At `/primary-authenticate`, with the `mfa_token`.
    PrimaryAuthenticate,
}

/// How a recovery is asked for: Okta's two SDKs differ (protocol.md §1.16, X1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryRequest {
    /// By `intent=recovery`.
    #[default]
    Intent,
    /// By `prompt=recover_authenticator`.
    Prompt,
}

/// Whether tokens are bound to a key of this device (RFC 9449), so that they are of no use to whoever steals them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DPoP {
    /// They are bearer tokens.
    #[default]
    Off,
    /// They are if the server can; it may answer with bearer tokens, which an audit event tells.
    Preferred,
    /// They are, or nobody is signed in.
    Required,
}

/// What kind of server it is, where servers differ in what the standards leave open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Okta, or a server that treats refresh tokens as Okta does: a refresh token that was just replaced works for a while
    /// longer, so that a lost answer can be asked for again, and revoking one ends no other sign-in (protocol.md §4).
    #[default]
    Okta,
    /// Any OpenID provider. A refresh token whose answer was lost is not sent again while its access token is valid, and a
    /// session that a new sign-in replaces is not revoked: at some servers that ends the new one too.
    Oidc,
}

/// How many users may be signed in at once (docs/sessions.md §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accounts {
    /// One: a sign-in replaces whatever session was there, and a sign-out ends all there are.
    #[default]
    One,
    /// Many: a sign-in replaces the same user's session only. The one that signed in last, or was chosen with
    /// [`Client::set_default`](crate::Client::set_default), is the default.
    Many,
}

/// Whether this process refreshes (docs/sessions.md §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshPolicy {
    /// Whenever it is due. Of several processes that share a store only one may do so, unless all of them have a
    /// [`CrossProcessLock`](crate::env::CrossProcessLock).
    #[default]
    WhenDue,
    /// Never, for a widget or an extension without such a lock: tokens are used while they are valid, and the store is read
    /// before each use, since the other process renews them. One that has expired gives
    /// [`Kind::ReauthRequired`](crate::Kind::ReauthRequired) with the reason `refreshed_elsewhere`: the session is there, and
    /// the app has to be opened.
    Never,
}

/// A relying party id (WebAuthn §5.1.2): a host name as a URL has it.
pub(crate) fn relying_party(id: &str) -> Result<String, ConfigurationProblem> {
    let url = Url::parse(&format!("https://{id}")).map_err(|_| ConfigurationProblem::RelyingParty)?;
    let is_host = url.host_str() == Some(id) && url.port().is_none();
    if is_host { Ok(id.to_owned()) } else { Err(ConfigurationProblem::RelyingParty) }
}

/// Parameters that the library sends itself, that would name another client, or that belong to grants which it does not have.
const RESERVED: [&str; 44] = [
    "acr_values",
    "actor_token",
    "actor_token_type",
    "assertion",
    "audience_hint",
    "authenticatordata",
    "binding_code",
    "challenge_hint",
    "challenge_types_supported",
    "channel_hint",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "clientdatajson",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "device_code",
    "dpop_jkt",
    "grant_type",
    "grant_types_supported",
    "id_token_hint",
    "intent",
    "login_hint",
    "max_age",
    "mfa_token",
    "nonce",
    "oob_code",
    "otp",
    "password",
    "prompt",
    "redirect_uri",
    "refresh_token",
    "request",
    "request_uri",
    "response_type",
    "scope",
    "signature",
    "state",
    "userhandle",
    "username",
];
const MAX_ADDITIONAL: usize = 16;
const MAX_ADDITIONAL_VALUE: usize = 1024;

/// What an app may add to token requests.
pub(crate) fn additional(parameters: Vec<(String, String)>) -> Result<Arc<[(String, String)]>, ConfigurationProblem> {
    for (index, (name, value)) in parameters.iter().enumerate() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(legal);
        let lower = name.to_ascii_lowercase();
        let is_new = parameters.iter().take(index).all(|(other, _)| !other.eq_ignore_ascii_case(name));
        let is_value = value.len() <= MAX_ADDITIONAL_VALUE && !value.chars().any(char::is_control);
        if !is_name || !is_new || !is_value || RESERVED.contains(&lower.as_str()) || index >= MAX_ADDITIONAL {
            let shown = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
            return Err(ConfigurationProblem::AdditionalParameter(shown));
        }
    }
    Ok(parameters.into())
}

/// A time limit: more than nothing, and at most ten minutes.
pub(crate) fn time_limit(limit: Duration) -> Result<Duration, ConfigurationProblem> {
    let sane = !limit.is_zero() && limit <= Duration::from_secs(600);
    sane.then_some(limit).ok_or(ConfigurationProblem::TimeLimit)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config() -> Config {
        Config {
            issuer: Issuer::parse("https://a.example/oauth2/x").unwrap(),
            client_id: ClientId::parse("id").unwrap(),
            scopes: Scopes::parse(["openid"]).unwrap(),
            capabilities: vec![],
            resource_origins: vec![Origin::parse("https://api.example:8443").unwrap()],
            relying_parties: vec![],
            passkey_start: PasskeyStart::Challenge,
            recovery_request: RecoveryRequest::Intent,
            dpop: DPoP::Off,
            additional: Arc::default(),
            request_timeout: Duration::from_secs(1),
            trim_usernames: true,
            when_storage_fails: WhenStorageFails::Refuse,
            wider_scopes: WiderScopes::Accept,
            profile: Profile::Okta,
            accounts: Accounts::One,
            refresh_policy: RefreshPolicy::WhenDue,
            shared_store: false,
        }
    }

    #[test]
    fn an_issuer_is_https_and_written_as_the_server_writes_it() {
        for good in [
            "https://acme.okta.com",
            "https://acme.okta.com/",
            "https://acme.okta.com/oauth2/default",
            "https://localhost:8443/oauth2/default",
            "https://127.0.0.1:1/t/x",
            "https://xn--mnchen-3ya.example",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        use IssuerProblem::*;
        for (bad, why) in [
            ("", NotAUrl),
            ("acme.okta.com", NotAUrl),
            ("htps://acme.okta.com", NotHttps),
            ("http://acme.okta.com", NotHttps),
            ("https://", NotAUrl),
            ("https://ana@acme.okta.com", UserInfo),
            ("https://ana:pw@acme.okta.com", UserInfo),
            ("https://@acme.okta.com", UserInfo),
            ("https://acme.okta.com?x=1", QueryOrFragment),
            ("https://acme.okta.com/#f", QueryOrFragment),
            ("https://ACME.okta.com", NotCanonical),
            ("https://acme.okta.com:443", NotCanonical),
            ("https://acme.okta.com/a/../b", NotCanonical),
            ("https://münchen.example", NotCanonical),
            (" https://acme.okta.com", NotCanonical),
            ("https://acme.okta.com/\n", NotCanonical),
        ] {
            assert_eq!(Issuer::parse(bad).unwrap_err(), why, "{bad:?}");
        }
    }

    #[test]
    fn what_an_app_may_add() {
        let of = |parameters: &[(&str, &str)]| {
            additional(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(of(&[("audience", "https://api.example"), ("x-tenant.id", "é")]).unwrap().len(), 2);
        assert!(RESERVED.is_sorted() && RESERVED.iter().all(|name| *name == name.to_ascii_lowercase()));
        let long = "a".repeat(1025);
        for bad in [
            &[("scope", "admin")][..],
            &[("Client_ID", "x")],
            &[("authenticatorData", "x")],
            &[("", "x")],
            &[("a b", "x")],
            &[("a", "x\n")],
            &[("a", &long)],
            &[("a", "1"), ("A", "2")],
        ] {
            assert!(matches!(of(bad), Err(ConfigurationProblem::AdditionalParameter(_))), "{bad:?}");
        }
        let many: Vec<(String, String)> = (0..17).map(|n| (format!("p{n}"), String::new())).collect();
        assert_eq!(additional(many), Err(ConfigurationProblem::AdditionalParameter("p16".to_owned())));
    }

    #[test]
    fn metadata_is_asked_for_with_the_client_id() {
        let issuer = Issuer::parse("https://a.example/oauth2/x/").unwrap();
        let url = issuer.metadata_url(&ClientId::parse("id&1").unwrap(), Profile::Okta);
        assert_eq!(url, "https://a.example/oauth2/x/.well-known/openid-configuration?client_id=id%261");
    }

    #[test]
    fn only_urls_of_its_origin_have_a_path_at_the_issuer() {
        let issuer = Issuer::parse("https://a.example/oauth2/x").unwrap();
        for (url, path) in [
            ("https://a.example/oauth2/x/v1/token?x=1#f", Some("/oauth2/x/v1/token")),
            ("https://a.example:443", Some("/")),
            ("https://a.example:8443/oauth2/x/v1/token", None),
            ("http://a.example/oauth2/x/v1/token", None),
            ("https://b.a.example/oauth2/x", None),
            ("https://ana@a.example/", None),
            ("nonsense", None),
        ] {
            assert_eq!(issuer.path_of(url).as_deref(), path, "{url}");
        }
    }

    #[test]
    fn scopes_have_one_spelling() {
        let scopes = Scopes::parse(["openid", "profile", "openid"]).unwrap();
        assert_eq!(scopes.as_str(), "openid profile");
        assert!(scopes.contains("openid") && !scopes.contains("open"));
        for bad in [vec![], vec![""], vec!["a b"], vec!["a\"b"], vec!["ä"]] {
            assert!(Scopes::parse(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(Scopes::parse(["x".repeat(1025)]).is_err());
    }

    #[test]
    fn tokens_go_to_https_of_known_origins_only() {
        let config = config();
        for yes in ["https://a.example/me?x=1", "https://api.example:8443/x", "https://A.example:443/"] {
            assert!(config.may_receive_tokens(yes), "{yes}");
        }
        for no in [
            "http://a.example/me",
            "https://api.example/x",
            "https://evil.example/",
            "https://a.example.evil.example/",
            "https://a.example@evil.example/",
            "https://u:p@a.example/",
            "https://a.example\\@evil.example/",
            "https://a.example\t/",
            " https://a.example/",
            "nonsense",
        ] {
            assert!(!config.may_receive_tokens(no), "{no}");
        }
        for bad in ["http://a.example", "https://a.example/x", "https://u@a.example", "a.example"] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn relying_parties_are_host_names() {
        for good in ["acme.com", "id.acme.com", "localhost", "xn--mnchen-3ya.example"] {
            assert_eq!(relying_party(good).as_deref(), Ok(good));
        }
        for bad in
            ["", "https://acme.com", "acme.com:8443", "acme.com/", "ACME.com", "a b", "ana@acme.com", "münchen.example"]
        {
            assert!(relying_party(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn time_limits_are_bounded() {
        assert!(time_limit(Duration::ZERO).is_err());
        assert!(time_limit(Duration::from_secs(601)).is_err());
        assert!(time_limit(Duration::from_secs(600)).is_ok());
    }
}
