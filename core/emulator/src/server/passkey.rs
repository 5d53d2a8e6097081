//! Passkeys: the challenge, and the verification of its assertion (protocol.md §1.6, §1.10; WebAuthn Level 3 §7.2).
//!
//! No credential id is sent, so each of the user's keys is tried.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::{digest, signature};
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::policy::{Bound, Leg, Method};
use super::request::Form;
use super::state::Random;
use super::{Call, GrantType, State, catalogue};
use crate::config::{Factor, Passkey};
use crate::settings::UserVerification;

/// A challenge that waits for its assertion.
pub(crate) struct PasskeyChallenge {
    /// Nobody's, if the passkey says whose it is.
    account: Option<usize>,
    bound: Bound,
    /// Of the sign-in whose second factor it is.
    mfa_token: Option<String>,
    rp_id: String,
    ends: Duration,
}

/// What an authenticator has signed, taken apart.
struct Assertion {
    authenticator_data: Vec<u8>,
    client_data: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<String>,
    is_verified: bool,
    counter: u32,
}

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

impl State {
    /// Begins a ceremony and says what the platform needs for it.
    pub(crate) fn start_passkey(
        &mut self,
        call: &Call<'_>,
        account: Option<usize>,
        bound: Bound,
        mfa_token: Option<String>,
    ) -> Result<Map<String, Value>, Refusal> {
        let challenge = Random::token(32)?;
        let rp_id = match self.settings.passkey_rp_id.as_str() {
            "" => host_of(&call.origin).to_owned(),
            configured => configured.to_owned(),
        };
        let mut options = Map::new();
        options.insert("challenge".to_owned(), json!(challenge));
        if self.settings.passkey_rp_id_in_answer {
            options.insert("rpId".to_owned(), json!(rp_id));
        }
        options.insert("userVerification".to_owned(), json!(self.settings.passkey_user_verification));
        options.insert("timeout".to_owned(), json!(self.settings.passkey_timeout_ms));
        let known = account.and_then(|account| self.accounts.get(account)).map(|account| &account.user.passkeys);
        let listed = known.filter(|_| self.settings.passkey_lists_credentials);
        let descriptor = |passkey: &Passkey| json!({ "id": passkey.id, "type": "public-key" });
        let allowed: Vec<Value> = listed.into_iter().flatten().map(descriptor).collect();
        options.insert("allowCredentials".to_owned(), json!(allowed));
        let enrolled = |passkey: &Passkey| json!({ "credentialId": passkey.id, "displayName": passkey.name });
        let enrolled: Vec<Value> = listed.into_iter().flatten().map(enrolled).collect();
        let kind = if mfa_token.is_some() { GrantType::MfaWebAuthn } else { GrantType::WebAuthn };
        let mut answer = Map::new();
        answer.insert("challengeType".to_owned(), json!(kind.uri()));
        answer.insert("publicKey".to_owned(), options.into());
        answer.insert("authenticatorEnrollments".to_owned(), json!(enrolled));
        let ends = call.now.saturating_add(Duration::from_millis(self.settings.passkey_timeout_ms));
        self.passkey_challenges.add(challenge, PasskeyChallenge { account, bound, mfa_token, rp_id, ends });
        Ok(answer)
    }

    /// Whose passkey has answered. The challenge is spent, whatever comes of it.
    pub(crate) fn redeem_passkey(
        &mut self,
        call: &Call<'_>,
        leg: &Leg,
        form: &Form,
        mfa_token: Option<&str>,
    ) -> Result<(usize, Method), Refusal> {
        let [authenticator_data, client_data, signature] =
            ["authenticatorData", "clientDataJSON", "signature"].map(|name| form.value(name).and_then(decoded));
        let (Some(authenticator_data), Some(client_data), Some(signature)) =
            (authenticator_data, client_data, signature)
        else {
            return Err(catalogue::DIRECT_AUTH_INVALID_WEBAUTHN_REQUEST.into());
        };
        let said: Map<String, Value> =
            serde_json::from_slice(&client_data).map_err(|_| catalogue::DIRECT_AUTH_INVALID_WEBAUTHN_CHALLENGE_DATA)?;
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let challenge = text("challenge").ok_or(catalogue::DIRECT_AUTH_INVALID_WEBAUTHN_CHALLENGE_DATA)?;
        let pending = self.passkey_challenges.find_mut(challenge).ok_or(catalogue::DIRECT_AUTH_NO_PENDING_CHALLENGE)?;
        if pending.mfa_token.as_deref() != mfa_token {
            return Err(catalogue::DIRECT_AUTH_WEBAUTHN_CHALLENGE_NOT_FOR_MFA_TOKEN.into());
        }
        pending.bound.check(leg)?;
        let pending = self.passkey_challenges.remove(challenge).ok_or(catalogue::DIRECT_AUTH_NO_PENDING_CHALLENGE)?;
        if pending.ends <= call.now {
            return Err(catalogue::DIRECT_AUTH_NO_PENDING_CHALLENGE.into());
        }
        let refused = || Refusal::from(catalogue::DIRECT_AUTH_VERIFICATION_FAILURE);
        let origin = text("origin").ok_or_else(refused)?;
        let is_cross_origin = said.get("crossOrigin").is_some_and(|crossed| *crossed != Value::Bool(false));
        if text("type") != Some("webauthn.get") || !self.is_origin(call, origin) || is_cross_origin {
            return Err(refused());
        }
        let user_handle = form.value("userHandle").map(str::to_owned);
        let assertion = self
            .read_assertion(&pending, authenticator_data, client_data, signature, user_handle)
            .ok_or_else(refused)?;
        let account =
            pending.account.or_else(|| self.account_of(assertion.user_handle.as_deref())).ok_or_else(refused)?;
        if self.account(account)?.is_locked() {
            return Err(refused());
        }
        self.check_enrolled(account, Factor::Passkey)?;
        let passkeys = &mut self.account_mut(account)?.user.passkeys;
        let passkey = passkeys.iter_mut().find(|passkey| assertion.is_by(passkey)).ok_or_else(refused)?;
        // A counter that does not grow is that of a copy (§6.1.1).
        if (assertion.counter != 0 || passkey.counter != 0) && assertion.counter <= passkey.counter {
            return Err(refused());
        }
        passkey.counter = assertion.counter;
        Ok((account, Method::Passkey { is_verified: assertion.is_verified }))
    }

    fn read_assertion(
        &self,
        pending: &PasskeyChallenge,
        authenticator_data: Vec<u8>,
        client_data: Vec<u8>,
        signature: Vec<u8>,
        user_handle: Option<String>,
    ) -> Option<Assertion> {
        let (hash, rest) = authenticator_data.split_at_checked(32)?;
        let (&flags, rest) = rest.split_first()?;
        let counter = u32::from_be_bytes(*rest.first_chunk()?);
        let is_verified = flags & USER_VERIFIED != 0;
        let must_verify = self.settings.passkey_user_verification == UserVerification::Required;
        let is_ours = digest::digest(&digest::SHA256, pending.rp_id.as_bytes()).as_ref() == hash;
        if !is_ours || flags & USER_PRESENT == 0 || (must_verify && !is_verified) {
            return None;
        }
        Some(Assertion { authenticator_data, client_data, signature, user_handle, is_verified, counter })
    }

    fn is_origin(&self, call: &Call<'_>, origin: &str) -> bool {
        origin == call.origin || self.settings.passkey_origins.iter().any(|known| known == origin)
    }

    /// Who a user handle is.
    fn account_of(&self, user_handle: Option<&str>) -> Option<usize> {
        let handle = user_handle?;
        let has = |passkey: &Passkey| passkey.user_handle.as_deref() == Some(handle);
        self.accounts.iter().position(|account| account.user.passkeys.iter().any(has))
    }
}

impl Assertion {
    fn is_by(&self, passkey: &Passkey) -> bool {
        let is_handle = self.user_handle.is_none() || self.user_handle == passkey.user_handle;
        let Some(point) = passkey.point().filter(|_| is_handle) else { return false };
        let mut signed = self.authenticator_data.clone();
        signed.extend_from_slice(digest::digest(&digest::SHA256, &self.client_data).as_ref());
        let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point);
        key.verify(&signed, &self.signature).is_ok()
    }
}

/// base64url without padding, and nothing else.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// The host of an origin, without its port.
fn host_of(origin: &str) -> &str {
    let host = origin.strip_prefix("https://").unwrap_or(origin);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
