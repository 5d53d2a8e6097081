//! The switches of one authorization server: timings, limits, and which document or server an answer is to look like.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Factor;

const LONGEST_TOKEN_TYPE: usize = 64;

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
    pub(crate) fn check(&self) -> Result<(), WrongSetting> {
        let wrong = |key, reason: String| Err(WrongSetting { key, reason: format!("{key} {reason}") });
        if let Some(unknown) = self.grants.iter().find(|grant| crate::server::grant_uris().all(|known| known != *grant))
        {
            return wrong("grants", format!("has the unknown grant {unknown}"));
        }
        if self.totp_skew > 20 {
            return wrong("totp_skew", "is more than 20 steps".to_owned());
        }
        for (key, status) in [
            ("mfa_required_status", self.mfa_required_status),
            ("unsupported_challenge_type_status", self.unsupported_challenge_type_status),
            ("several_credentials_status", self.several_credentials_status),
        ] {
            if !(400..500).contains(&status) {
                return wrong(key, format!("is {status}, which is not a 4xx"));
            }
        }
        if let Some(unknown) = self.rate_limit_envelopes.keys().find(|name| !crate::server::is_operation(name)) {
            return wrong("rate_limit_envelopes", format!("has the unknown operation {unknown}"));
        }
        if self.token_type.len() > LONGEST_TOKEN_TYPE || !self.token_type.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("token_type", format!("is not up to {LONGEST_TOKEN_TYPE} visible ASCII characters"));
        }
        Ok(())
    }

    /// The same, with only the reason.
    pub(crate) fn checked(&self) -> Result<(), String> {
        self.check().map_err(|wrong| wrong.reason)
    }

    /// The member `expires_in`.
    pub(crate) fn expires_in(&self, seconds: u64) -> Value {
        if self.expires_in_as_text { seconds.to_string().into() } else { seconds.into() }
    }

    pub(crate) fn leeway(&self) -> Duration {
        Duration::from_secs(self.leeway)
    }
}

/// The current switches with some changed; those that are not named stay as they are.
pub(crate) fn with_changes<T: Serialize + DeserializeOwned>(
    current: &T,
    changes: Map<String, Value>,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, String> {
    let mut members = serde_json::to_value(current).map_err(|error| error.to_string())?;
    if let Value::Object(members) = &mut members {
        members.extend(changes);
    }
    let changed = serde_json::from_value(members).map_err(|error| error.to_string())?;
    check(&changed).map(|()| changed)
}

/// A setting with a value that it cannot have.
#[derive(Debug)]
pub(crate) struct WrongSetting {
    pub(crate) key: &'static str,
    pub(crate) reason: String,
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_printed_configuration_has_every_setting_with_its_default() {
        let demo = crate::Config::demo_toml();
        let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        // What begins with `#` and is no sentence, switched on.
        let switched_on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if is_setting(rest) || rest.starts_with("    \"") || rest == "]" => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = demo.lines().map(switched_on).collect();
        let written: toml::Table = toml::from_str(&text).unwrap();
        let names = |settings: &Value| settings.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let settings = serde_json::to_value(&written["settings"]).unwrap();
        assert_eq!(names(&settings), names(&serde_json::to_value(Settings::default()).unwrap()));
        let settings = crate::Config::from_toml(&text).unwrap().settings;
        assert_eq!(settings, Settings { interval: 1, ..Settings::default() });
    }
}
