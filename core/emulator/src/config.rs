//! Who exists and which rules apply: the TOML file that a person writes, and the switches that a test turns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};

const DEMO: &str = include_str!("../demo.toml");
const LONGEST_TOKEN_TYPE: usize = 64;

/// One authorization server's clients, users and rules. Read from TOML; `demo.toml` in this crate is the documented sample.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default = "Config::without_users")]
pub struct Config {
    /// The native app, a public client.
    pub client_id: String,
    /// Further clients, to show what a change of client does.
    pub other_client_ids: Vec<String>,
    /// What may be asked for.
    pub scopes: Vec<String>,
    /// `aud` of the custom authorization server's access tokens.
    pub audience: String,
    /// Timings and switches.
    pub settings: Settings,
    /// The users.
    pub users: Vec<User>,
}

impl Config {
    /// Reads a configuration and checks it.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            line: error.span().map(|span| line_of(text, span.start)),
            reason: error.message().to_owned(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The built-in configuration: five users whose passwords everybody knows.
    pub fn demo() -> Self {
        Self::from_toml(DEMO).unwrap_or_else(|_| Self::without_users())
    }

    /// The text of [`Config::demo`], with its comments.
    pub fn demo_toml() -> &'static str {
        DEMO
    }

    fn without_users() -> Self {
        Self {
            client_id: "0oaDemoNativeApp".to_owned(),
            other_client_ids: Vec::new(),
            scopes: ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec(),
            audience: "api://default".to_owned(),
            settings: Settings::default(),
            users: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |reason: String| Err(ConfigError { line: None, reason });
        if self.client_id.is_empty() {
            return wrong("client_id is empty".to_owned());
        }
        let mut names = BTreeSet::new();
        for user in &self.users {
            if user.username.is_empty() {
                return wrong("a user has an empty username".to_owned());
            }
            if !names.insert(user.username.to_lowercase()) {
                return wrong(format!("user {} appears twice", user.username));
            }
            if let Some(secret) = &user.totp_secret
                && decode_base32(secret).is_none_or(|bytes| bytes.len() < 10)
            {
                return wrong(format!("totp_secret of {} is not base32 of at least 10 bytes", user.username));
            }
            if let Some(passkey) = user.passkeys.iter().find(|passkey| passkey.point().is_none()) {
                let reason = "is not a SubjectPublicKeyInfo on P-256 in base64url";
                return wrong(format!("public_key of passkey {:?} of {} {reason}", passkey.id, user.username));
            }
        }
        self.settings.check().map_err(|reason| ConfigError { line: None, reason })
    }
}

impl Default for Config {
    /// The same as [`Config::demo`].
    fn default() -> Self {
        Self::demo()
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct ConfigError {
    /// The line in the file, from 1, when one line is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// One user, as configured.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What is typed to sign in; compared without regard to case.
    pub username: String,
    /// The password; without one the password grant refuses.
    #[serde(default)]
    pub password: Option<String>,
    /// The `name` claim.
    #[serde(default)]
    pub name: String,
    /// The `email` claim; the username when left out.
    #[serde(default)]
    pub email: String,
    /// Whether one factor is enough.
    #[serde(default)]
    pub assurance: Assurance,
    /// What is enrolled beside the password.
    #[serde(default)]
    pub factors: BTreeSet<Factor>,
    /// What a push asks.
    #[serde(default)]
    pub push: PushKind,
    /// Where SMS and calls go.
    #[serde(default)]
    pub phone: String,
    /// The shared secret of the authenticator app, base32.
    #[serde(default)]
    pub totp_secret: Option<String>,
    /// Whether the account may sign in.
    #[serde(default)]
    pub status: Status,
    /// What `passkey` among the factors verifies.
    #[serde(default)]
    pub passkeys: Vec<Passkey>,
}

/// A passkey that a user has registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passkey {
    /// The credential id, base64url.
    pub id: String,
    /// Its public key on P-256 as a SubjectPublicKeyInfo, base64url: what `getPublicKey()` gives at a registration.
    pub public_key: String,
    /// The user handle, base64url. A sign-in without a username finds the user by it.
    #[serde(default)]
    pub user_handle: Option<String>,
    /// What the user calls it.
    #[serde(default)]
    pub name: String,
    /// The signature counter of its last use.
    #[serde(default)]
    pub counter: u32,
}

impl Passkey {
    /// The public key as an uncompressed point.
    pub(crate) fn point(&self) -> Option<Vec<u8>> {
        let der = BASE64URL_NOPAD.decode(self.public_key.as_bytes()).ok()?;
        der.strip_prefix(&P256_SPKI).filter(|point| point.len() == 65 && point.first() == Some(&4)).map(<[u8]>::to_vec)
    }
}

/// DER of a SubjectPublicKeyInfo for a key on P-256, up to the point (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl User {
    pub(crate) fn totp_key(&self) -> Option<Vec<u8>> {
        self.totp_secret.as_deref().and_then(decode_base32)
    }

    /// What was left out follows from the username.
    pub(crate) fn fill_in(&mut self) {
        if self.email.is_empty() {
            self.email = self.username.clone();
        }
        if self.name.is_empty() {
            self.name = self.username.clone();
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("assurance", &self.assurance)
            .field("factors", &self.factors)
            .field("push", &self.push)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// How many factors a sign-in takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assurance {
    /// Any one factor.
    #[default]
    #[serde(rename = "1fa")]
    OneFactor,
    /// Two different factors, or a passkey that has verified its user.
    #[serde(rename = "2fa")]
    TwoFactors,
    /// A passkey.
    #[serde(rename = "phr")]
    PhishingResistant,
}

/// An enrolled factor beside the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Codes of an authenticator app (RFC 6238).
    Totp,
    /// A prompt on the user's device.
    Push,
    /// A code by text message.
    Sms,
    /// A code by telephone call.
    Voice,
    /// A code by e-mail.
    Email,
    /// A passkey (WebAuthn).
    Passkey,
}

impl Factor {
    /// All there are.
    pub(crate) const ALL: [Self; 6] = [Self::Totp, Self::Push, Self::Sms, Self::Voice, Self::Email, Self::Passkey];

    /// The value of `channel_hint` that asks for it; authenticator apps and passkeys have none.
    pub(crate) fn channel(self) -> Option<&'static str> {
        match self {
            Self::Totp | Self::Passkey => None,
            Self::Push => Some("push"),
            Self::Sms => Some("sms"),
            Self::Voice => Some("voice"),
            Self::Email => Some("email"),
        }
    }

    pub(crate) fn from_channel(hint: &str) -> Option<Self> {
        [Self::Push, Self::Sms, Self::Voice, Self::Email].into_iter().find(|factor| factor.channel() == Some(hint))
    }

    /// Its value in the `amr` claim.
    pub(crate) fn amr(self) -> &'static str {
        match self {
            Self::Totp => "otp",
            Self::Push => "swk",
            Self::Sms => "sms",
            Self::Voice => "tel",
            Self::Email => "email",
            Self::Passkey => "hwk",
        }
    }
}

/// What a push asks on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushKind {
    /// Approve or deny (`binding_method=none`).
    #[default]
    Plain,
    /// Tap the number that the app shows (`binding_method=transfer`).
    Number,
}

/// Whether an account may sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It may.
    #[default]
    Active,
    /// Locked out, and hidden: every answer is the one for a wrong credential.
    Locked,
    /// The password is right but has expired.
    PasswordExpired,
    /// The user exists but was not given the app.
    Unassigned,
}

/// Timings and switches of one authorization server. Durations are in seconds unless the name says otherwise; every
/// field can be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Grants that the app may use; the full list by default.
    pub grants: Vec<String>,
    /// Between two polls; what `interval` says.
    pub interval: u64,
    /// A poll that is early by no more than this many milliseconds is not answered `slow_down`.
    pub poll_tolerance_ms: u64,
    /// Life of an `oob_code`; what its `expires_in` says.
    pub oob_lifetime: u64,
    /// Life of an `mfa_token`.
    pub mfa_token_lifetime: u64,
    /// Life of an access token; what `expires_in` says.
    pub access_token_lifetime: u64,
    /// Life of an ID token.
    pub id_token_lifetime: u64,
    /// Life of a grant from its first token on; 0 for unlimited. A rotated refresh token inherits the end.
    pub refresh_token_lifetime: u64,
    /// A refresh token unused for this long dies; 0 for never.
    pub refresh_idle_lifetime: u64,
    /// Whether a refresh replaces the refresh token.
    pub rotation: Rotation,
    /// How long a replaced refresh token still works.
    pub leeway: u64,
    /// Wrong passwords in a row until the account locks; 0 for never.
    pub lockout_attempts: u32,
    /// Codes that one user may try in `otp_window`, of any kind; a right one clears the count. 0 for no limit.
    pub otp_limit: u32,
    /// The window of `otp_limit`.
    pub otp_window: u64,
    /// Steps of 30 s before and after now whose authenticator-app code is accepted.
    pub totp_skew: u64,
    /// One SMS and one call in this time per phone; 0 for no limit.
    pub phone_send_interval: u64,
    /// One e-mail in this time per address; 0 for no limit.
    pub email_send_interval: u64,
    /// Requests that one user may make to `/token` in a second; 0 for no limit.
    pub token_requests_per_second: u32,
    /// Requests to everything but keys and metadata in a minute; 0 for no limit.
    pub requests_per_minute: u32,
    /// The shape of a 429 body.
    pub rate_limit_envelope: Envelope,
    /// Operations whose 429 has another shape than that.
    pub rate_limit_envelopes: BTreeMap<String, Envelope>,
    /// `token_type` of tokens.
    pub token_type: String,
    /// Whether `expires_in` is a JSON string, of tokens and of prompts.
    pub expires_in_as_text: bool,
    /// Whether a push says its `interval`; polls are held to it anyway.
    pub interval_in_answer: bool,
    /// Whether the deprecated `/oob-authenticate` exists.
    pub oob_authenticate: bool,
    /// Whether the grant mfa-oob needs its `mfa_token`; if not, its `oob_code` alone says which sign-in is meant.
    pub mfa_oob_needs_mfa_token: bool,
    /// The HTTP status for several client credentials in one request: 401 as catalogued, 400 as in the API description.
    pub several_credentials_status: u16,
    /// Whether another factor can be chosen with the same `mfa_token` after a declined prompt.
    pub mfa_token_survives_decline: bool,
    /// The HTTP status of `mfa_required`: 403 as documented, 400 or 401 as seen elsewhere.
    pub mfa_required_status: u16,
    /// Whether `mfa_required` lists `supported_challenge_types`.
    pub hint_challenge_types: bool,
    /// Whether that list is a JSON array instead of a text with blanks.
    pub challenge_types_as_array: bool,
    /// Whether `binding_code` is a JSON number.
    pub binding_code_as_number: bool,
    /// Whether the channel `email` exists.
    pub email_channel: bool,
    /// Whether `scope` is refused on `/challenge` and `/primary-authenticate`.
    pub refuse_scope_on_challenge: bool,
    /// The HTTP status for a challenge type that is not supported: 400 `invalid_request` or 403 `access_denied`.
    pub unsupported_challenge_type_status: u16,
    /// The text in `error_description`.
    pub descriptions: Descriptions,
    /// `max-age` of the keys.
    pub keys_max_age: u64,
    /// How long after a rotation the new key is not published yet.
    pub keys_lag: u64,
    /// How often the keys are given without the new one after a rotation.
    pub keys_lag_fetches: u32,
    /// `rpId` of a passkey challenge; empty for the host of the issuer.
    pub passkey_rp_id: String,
    /// Whether a passkey challenge says its `rpId`.
    pub passkey_rp_id_in_answer: bool,
    /// Origins that an assertion may come from, beside the issuer's own: of web pages, and of Android apps as
    /// `android:apk-key-hash:` and the hash of the certificate.
    pub passkey_origins: Vec<String>,
    /// Whether a passkey has to verify its user.
    pub passkey_user_verification: UserVerification,
    /// Life of a passkey challenge in milliseconds; what its `timeout` says.
    pub passkey_timeout_ms: u64,
    /// Whether a passkey challenge lists the user's credentials.
    pub passkey_lists_credentials: bool,
    /// Where a passkey is asked for as the second factor.
    pub passkey_second_factor_at: SecondFactorAt,
    /// Whether a user may set a new password without the old one.
    pub recovery: bool,
    /// What may begin a recovery.
    pub recovery_factors: BTreeSet<Factor>,
    /// How a recovery is asked for.
    pub recovery_request: RecoveryRequest,
    /// The least length of a new password.
    pub password_min_length: usize,
    /// What becomes of a DPoP proof.
    pub dpop: DpopPolicy,
    /// Whether a proof for `/token` needs a nonce, as at Okta.
    pub dpop_nonce: bool,
    /// Whether the nonce is looked at when the grant has been used up already.
    pub dpop_nonce_after_grant: bool,
    /// Whether proofs are checked and bearer tokens given out all the same.
    pub dpop_downgrade: bool,
    /// Whether resources want a nonce of their own in a proof.
    pub dpop_resource_nonce: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grants: crate::server::grant_uris().map(str::to_owned).collect(),
            interval: 5,
            poll_tolerance_ms: 100,
            oob_lifetime: 300,
            mfa_token_lifetime: 600,
            access_token_lifetime: 3600,
            id_token_lifetime: 3600,
            refresh_token_lifetime: 90 * 86_400,
            refresh_idle_lifetime: 7 * 86_400,
            rotation: Rotation::Rotate,
            leeway: 30,
            lockout_attempts: 10,
            otp_limit: 5,
            otp_window: 300,
            totp_skew: 2,
            phone_send_interval: 30,
            email_send_interval: 5,
            token_requests_per_second: 0,
            requests_per_minute: 0,
            rate_limit_envelope: Envelope::OAuth,
            rate_limit_envelopes: BTreeMap::new(),
            token_type: "Bearer".to_owned(),
            expires_in_as_text: false,
            interval_in_answer: true,
            oob_authenticate: true,
            mfa_oob_needs_mfa_token: true,
            several_credentials_status: 401,
            mfa_token_survives_decline: true,
            mfa_required_status: 403,
            hint_challenge_types: false,
            challenge_types_as_array: false,
            binding_code_as_number: false,
            email_channel: true,
            refuse_scope_on_challenge: true,
            unsupported_challenge_type_status: 400,
            descriptions: Descriptions::English,
            keys_max_age: 3600,
            keys_lag: 0,
            keys_lag_fetches: 0,
            passkey_rp_id: String::new(),
            passkey_rp_id_in_answer: true,
            passkey_origins: Vec::new(),
            passkey_user_verification: UserVerification::Preferred,
            passkey_timeout_ms: 60_000,
            passkey_lists_credentials: true,
            passkey_second_factor_at: SecondFactorAt::Both,
            recovery: true,
            recovery_factors: Factor::ALL.into(),
            recovery_request: RecoveryRequest::Both,
            password_min_length: 8,
            dpop: DpopPolicy::Optional,
            dpop_nonce: true,
            dpop_nonce_after_grant: false,
            dpop_downgrade: false,
            dpop_resource_nonce: false,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(unknown) = self.grants.iter().find(|grant| crate::server::grant_uris().all(|known| known != *grant))
        {
            return Err(format!("settings.grants has the unknown grant {unknown}"));
        }
        if self.totp_skew > 20 {
            return Err("settings.totp_skew is more than 20 steps".to_owned());
        }
        let statuses =
            [self.mfa_required_status, self.unsupported_challenge_type_status, self.several_credentials_status];
        if statuses.iter().any(|status| !(400..500).contains(status)) {
            return Err("a status in settings is not a 4xx".to_owned());
        }
        if let Some(unknown) = self.rate_limit_envelopes.keys().find(|name| !crate::server::is_operation(name)) {
            return Err(format!("settings.rate_limit_envelopes has the unknown operation {unknown}"));
        }
        if self.token_type.len() > LONGEST_TOKEN_TYPE || !self.token_type.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("settings.token_type is not a short text of visible ASCII characters".to_owned());
        }
        Ok(())
    }

    /// The member `expires_in`.
    pub(crate) fn expires_in(&self, seconds: u64) -> serde_json::Value {
        if self.expires_in_as_text { seconds.to_string().into() } else { seconds.into() }
    }

    pub(crate) fn leeway(&self) -> Duration {
        Duration::from_secs(self.leeway)
    }
}

/// Whether a refresh replaces the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// A new refresh token each time, the old one dies after the leeway; its later use kills the grant.
    Rotate,
    /// The same refresh token until it ends.
    Static,
}

/// Whether a passkey has to verify its user, by PIN or biometrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserVerification {
    /// It does.
    Required,
    /// If it can.
    Preferred,
    /// It need not.
    Discouraged,
}

/// Where Okta's two SDKs ask for a passkey as the second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactorAt {
    /// Either place.
    Both,
    /// `/challenge` only.
    Challenge,
    /// `/primary-authenticate` with the `mfa_token` only.
    PrimaryAuthenticate,
}

/// What becomes of a DPoP proof on a token request (RFC 9449).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpopPolicy {
    /// It is not looked at: tokens are bearer tokens.
    Off,
    /// Who sends one gets tokens that are bound to its key.
    Optional,
    /// A request without one is refused.
    Required,
}

/// How Okta's two SDKs ask for a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryRequest {
    /// Either way.
    Both,
    /// `intent=recovery` only.
    Intent,
    /// `prompt=recover_authenticator` only.
    Prompt,
}

/// Which of Okta's two error bodies a 429 carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// `error` and `error_description`; the `error` is, misleadingly, `invalid_grant`.
    #[serde(rename = "oauth", alias = "o_auth")]
    OAuth,
    /// `errorCode` and `errorSummary`.
    Api,
}

/// The text in `error_description`, on which no client may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Descriptions {
    /// As catalogued.
    English,
    /// In another language.
    Other,
    /// The empty string.
    Empty,
}

fn decode_base32(secret: &str) -> Option<Vec<u8>> {
    let bare: String = secret.chars().filter(|c| !c.is_whitespace() && *c != '=').collect();
    BASE32_NOPAD.decode(bare.to_ascii_uppercase().as_bytes()).ok()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configuration_is_valid_and_has_its_five_users() {
        let config = Config::from_toml(DEMO).unwrap();
        assert_eq!(config.users.len(), 5);
        assert_eq!(config.settings, Settings { interval: 1, ..Settings::default() });
    }

    #[test]
    fn the_settings_that_the_readme_names_exist() {
        let readme = include_str!("../README.md");
        let section = readme.split("\n## Settings").nth(1).unwrap().split("\n## ").next().unwrap();
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let mut named = 0;
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            for name in row.split('|').nth(1).unwrap().split(", ") {
                let name = name.trim().trim_matches('`');
                assert!(settings.get(name).is_some(), "{name}");
                named += 1;
            }
        }
        assert!(named > 15, "{named}");
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let error = Config::from_toml("client_id = \"a\"\n\n[settings]\nintervall = 3\n").unwrap_err();
        assert_eq!(error.line, Some(4));
        assert!(error.reason.contains("intervall"), "{error}");
    }

    #[test]
    fn a_user_that_appears_twice_is_refused() {
        let error = Config::from_toml("[[users]]\nusername='a'\n[[users]]\nusername='A'\n").unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
}
