//! Who exists and which rules apply: the TOML file that a person writes, and the switches that a test turns.

use std::collections::BTreeSet;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::settings::{Settings, with_changes};

const DEMO: &str = include_str!("../demo.toml");

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
        config.check().map_err(|mistake| ConfigError { line: mistake.line(text), reason: mistake.reason })?;
        Ok(config)
    }

    /// Changes one setting; the value as TOML has it, or a bare word for a text.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let wrong = |reason: String| ConfigError { line: None, reason };
        let value = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
            Ok(mut table) => table.remove("value").and_then(|value| serde_json::to_value(value).ok()),
            Err(_) => Some(value.into()),
        };
        let value = value.ok_or_else(|| wrong(format!("{name} has a value that cannot be read")))?;
        let is_known = serde_json::to_value(&self.settings).is_ok_and(|members| members.get(name).is_some());
        if !is_known {
            return Err(wrong(format!("there is no setting {name}; see --print-config and the README")));
        }
        let changes = [(name.to_owned(), value)].into_iter().collect();
        let changed = with_changes(&self.settings, changes, Settings::checked);
        let named = |reason: String| if reason.starts_with(name) { reason } else { format!("{name}: {reason}") };
        self.settings = changed.map_err(|reason| wrong(named(reason)))?;
        Ok(())
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

    fn check(&self) -> Result<(), Mistake> {
        if self.client_id.is_empty() {
            return Err(Mistake::at(["client_id"], "client_id is empty"));
        }
        let mut names = BTreeSet::new();
        for (index, user) in self.users.iter().enumerate() {
            let wrong = |key: &str, reason: String| Err(Mistake::at(["users", &index.to_string(), key], reason));
            if user.username.is_empty() {
                return wrong("username", "a user has an empty username".to_owned());
            }
            if !names.insert(user.username.to_lowercase()) {
                return wrong("username", format!("user {} appears twice", user.username));
            }
            if let Some(secret) = &user.totp_secret
                && decode_base32(secret).is_none_or(|bytes| bytes.len() < 10)
            {
                return wrong(
                    "totp_secret",
                    format!("totp_secret of {} is not base32 of at least 10 bytes", user.username),
                );
            }
            if user.factors.contains(&Factor::Totp) && user.totp_secret.is_none() {
                return wrong("factors", format!("{} has the factor totp but no totp_secret", user.username));
            }
            let is_wrong = |(_, passkey): &(usize, &Passkey)| passkey.point().is_none();
            if let Some((place, passkey)) = user.passkeys.iter().enumerate().find(is_wrong) {
                let reason = "is not a SubjectPublicKeyInfo on P-256 in base64url";
                let reason = format!("public_key of passkey {:?} of {} {reason}", passkey.id, user.username);
                let path = ["users", &index.to_string(), "passkeys", &place.to_string(), "public_key"];
                return Err(Mistake::at(path, reason));
            }
        }
        self.settings.check().map_err(|wrong| Mistake::at(["settings", wrong.key], wrong.reason))
    }
}

/// What is wrong with a configuration that can be read.
struct Mistake {
    /// The keys and indices that lead to it.
    path: Vec<String>,
    reason: String,
}

impl Mistake {
    fn at<'a>(path: impl IntoIterator<Item = &'a str>, reason: impl Into<String>) -> Self {
        Self { path: path.into_iter().map(str::to_owned).collect(), reason: reason.into() }
    }

    /// Its line, or that of what it is missing from.
    fn line(&self, text: &str) -> Option<usize> {
        let table = DeTable::parse(text).ok()?;
        let mut place = None;
        let mut value: Option<&DeValue<'_>> = None;
        for step in &self.path {
            let next = match value {
                None => table.get_ref().get(step.as_str()),
                Some(DeValue::Table(table)) => table.get(step.as_str()),
                Some(DeValue::Array(values)) => step.parse().ok().and_then(|index: usize| values.get(index)),
                Some(_) => None,
            };
            let Some(next) = next else { break };
            place = Some(next.span().start);
            value = Some(next.get_ref());
        }
        place.map(|offset| line_of(text, offset))
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

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
        }
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
    fn a_misspelt_key_is_named_with_its_line() {
        let error = Config::from_toml("client_id = \"a\"\n\n[settings]\nintervall = 3\n").unwrap_err();
        assert_eq!(error.line, Some(4));
        assert!(error.reason.contains("intervall"), "{error}");
    }

    #[test]
    fn a_setting_is_changed_by_its_name() {
        let mut config = Config::demo();
        for (name, value) in [
            ("mfa_required_status", "400"),
            ("dpop_downgrade", "true"),
            ("rotation", "static"),
            ("recovery_request", "\"intent\""),
            ("passkey_origins", "['https://a.example']"),
            ("rate_limit_envelopes", "{ token = 'api' }"),
        ] {
            config.set(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let settings = &config.settings;
        assert_eq!((settings.mfa_required_status, settings.dpop_downgrade), (400, true));
        assert_eq!((settings.passkey_origins.len(), settings.rate_limit_envelopes.len()), (1, 1));
        let before = settings.clone();
        for (name, value, part) in [
            ("nonsense", "1", "no setting nonsense"),
            ("interval", "soon", "interval"),
            ("totp_skew", "99", "more than 20"),
            ("rotation", "sometimes", "sometimes"),
        ] {
            let error = config.set(name, value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(config.settings, before, "a wrong one changes nothing");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let user = |rest: &str| format!("# who\n[[users]]\nusername = 'a'\n{rest}\n");
        for (text, line, part) in [
            ("client_id = ''".to_owned(), Some(1), "empty"),
            (user("[[users]]\nusername = 'A'"), Some(5), "twice"),
            (user("totp_secret = 'no'"), Some(4), "totp_secret"),
            (user("password = 'p'\nfactors = ['sms', 'totp']"), Some(5), "no totp_secret"),
            (user("passkeys = [{ id = 'a', public_key = 'b' }]"), Some(4), "SubjectPublicKeyInfo"),
            (user("passkeys = [\n  { id = 'a', public_key = 'b' },\n]"), Some(5), "SubjectPublicKeyInfo"),
            (user("factors = ['pigeon']"), Some(4), "pigeon"),
            (user("[settings]\ninterval = 1\ntotp_skew = 99"), Some(6), "totp_skew"),
            (user("[settings]\ngrants = ['x']"), Some(5), "unknown grant"),
            (user("[settings]\nmfa_required_status = 200"), Some(5), "mfa_required_status"),
            (user("[settings.rate_limit_envelopes]\nnowhere = 'api'"), Some(4), "nowhere"),
            (user("[settings]\ninterval = 'soon'"), Some(5), "soon"),
            (user("= 3"), Some(4), ""),
        ] {
            let error = Config::from_toml(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}\n{error}");
            assert!(error.reason.contains(part), "{error}");
        }
    }
}
