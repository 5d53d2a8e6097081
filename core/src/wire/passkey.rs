//! A passkey's challenge on its way to the platform, and the platform's assertion on its way back.
//!
//! protocol.md §1.6, §1.10 and rows 170–185; WebAuthn Level 3 §5.5, §5.8 and §6.1. The platform gets what it needs and
//! nothing that could not be checked: the relying party must be the issuer or a configured one, because an app has no
//! browser around it that would refuse another. Of what comes back the members are read that the server verifies, and
//! compared with the challenge, so that a mix-up shows before it costs an attempt.

use core::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use url::Url;

use super::answer::parse;
use super::json::{Object, Value};
use super::oob::MFA_WEBAUTHN;
use crate::error::{Kind, PasskeyProblem, ResponseDefect, Unsupported};
use crate::secret::Secret;

pub(crate) const WEBAUTHN: &str = "urn:okta:params:oauth:grant-type:webauthn";

/// WebAuthn §13.4.3: at least 16 bytes of randomness.
const MIN_CHALLENGE: usize = 16;
const MAX_CHALLENGE: usize = 1024;
/// WebAuthn §4: a credential id has at most 1,023 bytes.
const MAX_CREDENTIAL_ID: usize = 1023;
/// More is no user's list.
const MAX_CREDENTIALS: usize = 64;
/// Row 185.
const MAX_NAME: usize = 256;
/// Row 179; WebAuthn lets the client decide.
const MIN_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// What a platform gives has a few kilobytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What a ceremony needs, checked.
#[derive(Debug)]
pub(crate) struct PasskeyChallenge {
    /// base64url without padding.
    challenge: String,
    rp_id: String,
    /// The old U2F identity of the relying party, which an assertion may be for instead.
    app_id: Option<String>,
    allowed: Vec<Descriptor>,
    verification: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) enrolled: Vec<(String, String)>,
}

#[derive(Debug)]
struct Descriptor {
    /// base64url without padding.
    id: String,
    transports: Vec<&'static str>,
}

/// Which relying parties a challenge may be for: the issuer's host, and configured ones.
pub(crate) struct RelyingParties<'a> {
    pub(crate) issuer_host: &'a str,
    pub(crate) configured: &'a [String],
}

impl RelyingParties<'_> {
    fn has(&self, id: &str) -> bool {
        id == self.issuer_host || self.configured.iter().any(|known| known == id)
    }
}

/// Reads the answer to a request for a passkey.
pub(crate) fn parse_passkey(mut answer: Object, parties: &RelyingParties<'_>) -> Result<PasskeyChallenge, Kind> {
    let kind = answer.str("challengeType").or(answer.str("challenge_type"));
    let (is_named, is_passkey) = (kind.is_some(), kind.is_none_or(|kind| matches!(kind, WEBAUTHN | MFA_WEBAUTHN)));
    let enrolled = answer.get("authenticatorEnrollments").map(enrolled).unwrap_or_default();
    let options = match answer.take("publicKey") {
        Some(Value::Object(options)) if is_passkey => options,
        Some(_) if is_passkey => return Err(member("publicKey")),
        None if !is_named => return Err(member("publicKey")),
        _ => return Err(Kind::Unsupported { what: Unsupported::Challenge }),
    };
    let challenge = options.str("challenge").and_then(decoded).ok_or_else(|| member("challenge"))?;
    if !(MIN_CHALLENGE..=MAX_CHALLENGE).contains(&challenge.len()) {
        return Err(member("challenge"));
    }
    let app_id = app_id(&options, parties);
    Ok(PasskeyChallenge {
        challenge: BASE64URL_NOPAD.encode(&challenge),
        rp_id: rp_id(&options, app_id.as_deref(), parties)?,
        allowed: allowed(&options)?,
        verification: match options.str("userVerification") {
            Some("required") => "required",
            Some("discouraged") => "discouraged",
            // Missing or unknown (row 177).
            _ => "preferred",
        },
        timeout: timeout(&options),
        enrolled,
        app_id,
    })
}

/// Rows 171–173.
fn rp_id(options: &Object, app_id: Option<&str>, parties: &RelyingParties<'_>) -> Result<String, Kind> {
    let named = match options.get("rpId") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.as_str().to_owned()),
        Some(_) => return Err(member("rpId")),
    };
    let of_app_id = || Url::parse(app_id?).ok()?.host_str().map(str::to_owned);
    let id = named.or_else(of_app_id).unwrap_or_else(|| parties.issuer_host.to_owned());
    if parties.has(&id) { Ok(id) } else { Err(member("rpId")) }
}

/// `extensions.appid`, if it is of a relying party that may be meant; other extensions are not asked for.
fn app_id(options: &Object, parties: &RelyingParties<'_>) -> Option<String> {
    let Some(Value::Object(extensions)) = options.get("extensions") else { return None };
    let text = extensions.str("appid")?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let url = Url::parse(text).ok().filter(|url| is_plain && url.scheme() == "https")?;
    url.host_str().filter(|host| parties.has(host)).map(|_| text.to_owned())
}

/// Rows 176–178: without a list the passkey says whose it is.
fn allowed(options: &Object) -> Result<Vec<Descriptor>, Kind> {
    let items = match options.get("allowCredentials") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_CREDENTIALS => items,
        Some(_) => return Err(member("allowCredentials")),
    };
    let mut allowed = Vec::new();
    for item in items {
        let Value::Object(item) = item else { return Err(member("allowCredentials")) };
        if item.str("type") != Some("public-key") {
            continue;
        }
        let id = item.str("id").and_then(decoded).filter(|id| (1..=MAX_CREDENTIAL_ID).contains(&id.len()));
        let id = id.ok_or_else(|| member("allowCredentials"))?;
        allowed.push(Descriptor { id: BASE64URL_NOPAD.encode(&id), transports: transports(item) });
    }
    if allowed.is_empty() && !items.is_empty() {
        return Err(Kind::Unsupported { what: Unsupported::Credential });
    }
    Ok(allowed)
}

/// Those that WebAuthn §5.8.4 knows; others are left out (row 177).
fn transports(item: &Object) -> Vec<&'static str> {
    const KNOWN: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];
    let named = item.get("transports").and_then(Value::as_array).unwrap_or_default();
    KNOWN.into_iter().filter(|known| named.iter().any(|name| name.as_str() == Some(known))).collect()
}

/// Row 179.
fn timeout(options: &Object) -> Duration {
    match options.get("timeout") {
        Some(Value::Number(millis)) => {
            Duration::from_secs((millis.as_f64() / 1000.0).clamp(0.0, 1e6) as u64).clamp(MIN_TIMEOUT, MAX_TIMEOUT)
        }
        _ => MAX_TIMEOUT,
    }
}

/// Ids and names of the user's passkeys, for a list to choose from; what cannot be read is left out.
fn enrolled(list: &Value) -> Vec<(String, String)> {
    let entry = |item: &Value| {
        let Value::Object(item) = item else { return None };
        let id = item.str("credentialId").and_then(decoded).filter(|id| (1..=MAX_CREDENTIAL_ID).contains(&id.len()))?;
        let name = item.str("displayName").unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_NAME);
        Some((BASE64URL_NOPAD.encode(&id), name.collect()))
    };
    list.as_array().unwrap_or_default().iter().take(MAX_CREDENTIALS).filter_map(entry).collect()
}

/// base64url; padding is tolerated, the other alphabet is not (row 175).
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()
}

fn member(name: &'static str) -> Kind {
    Kind::InvalidResponse { what: ResponseDefect::Member(name) }
}

impl PasskeyChallenge {
    /// `PublicKeyCredentialRequestOptionsJSON` (WebAuthn §5.5), as Android's CredentialManager and browsers take it.
    pub(crate) fn request_json(&self) -> String {
        // Every text in it is base64url, a host name, or checked to need no escape.
        let quoted = |texts: &[&str]| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(",");
        let credential = |known: &Descriptor| {
            let transports = match known.transports.as_slice() {
                [] => String::new(),
                transports => format!(",\"transports\":[{}]", quoted(transports)),
            };
            format!("{{\"type\":\"public-key\",\"id\":\"{}\"{transports}}}", known.id)
        };
        let allowed = self.allowed.iter().map(credential).collect::<Vec<_>>().join(",");
        let extensions = self.app_id.as_ref().map(|id| format!(",\"extensions\":{{\"appid\":\"{id}\"}}"));
        format!(
            "{{\"challenge\":\"{}\",\"rpId\":\"{}\",\"timeout\":{},\"userVerification\":\"{}\",\"allowCredentials\":[{allowed}]{}}}",
            self.challenge,
            self.rp_id,
            self.timeout.as_millis(),
            self.verification,
            extensions.unwrap_or_default(),
        )
    }
}

/// What the platform has signed, as it is sent: base64url without padding.
pub(crate) struct Assertion {
    pub(crate) authenticator_data: Secret,
    pub(crate) client_data: Secret,
    pub(crate) signature: Secret,
    pub(crate) user_handle: Option<Secret>,
}

/// Authenticator data (WebAuthn §6.1): 32 bytes of hash, one of flags, four of counter.
const MIN_AUTHENTICATOR_DATA: usize = 37;
const USER_PRESENT: u8 = 0x01;

/// Reads `AuthenticationResponseJSON` (WebAuthn §5.1), and whether it answers this challenge.
pub(crate) fn parse_assertion(json: &str, challenge: &PasskeyChallenge) -> Result<Assertion, PasskeyProblem> {
    use PasskeyProblem::{Malformed, OtherChallenge, OtherCredential, OtherRelyingParty};
    if json.len() > MAX_ANSWER {
        return Err(Malformed);
    }
    let answer = parse(json.as_bytes()).map_err(|_| Malformed)?;
    let Some(Value::Object(response)) = answer.get("response") else { return Err(Malformed) };
    let bytes = |object: &Object, name| object.str(name).and_then(decoded).filter(|bytes| !bytes.is_empty());
    let required = |name| bytes(response, name).ok_or(Malformed);
    let credential = bytes(&answer, "id").or_else(|| bytes(&answer, "rawId")).ok_or(Malformed)?;
    let (data, client, signature) =
        (required("authenticatorData")?, required("clientDataJSON")?, required("signature")?);
    let user_handle = bytes(response, "userHandle");

    let said = parse(&client).map_err(|_| Malformed)?;
    if said.str("type") != Some("webauthn.get") {
        return Err(Malformed);
    }
    let said = said.str("challenge").and_then(decoded).ok_or(Malformed)?;
    if BASE64URL_NOPAD.encode(&said) != challenge.challenge {
        return Err(OtherChallenge);
    }
    let credential = BASE64URL_NOPAD.encode(&credential);
    if !challenge.allowed.is_empty() && challenge.allowed.iter().all(|known| known.id != credential) {
        return Err(OtherCredential);
    }
    let (hash, flags) = match data.split_at_checked(32) {
        Some((hash, [flags, ..])) if data.len() >= MIN_AUTHENTICATOR_DATA => (hash, *flags),
        _ => return Err(Malformed),
    };
    let is_of = |party: &str| digest::digest(&digest::SHA256, party.as_bytes()).as_ref() == hash;
    if !is_of(&challenge.rp_id) && !challenge.app_id.as_deref().is_some_and(is_of) {
        return Err(OtherRelyingParty);
    }
    if flags & USER_PRESENT == 0 {
        return Err(Malformed);
    }
    let encoded = |bytes: &[u8]| Secret::new(BASE64URL_NOPAD.encode(bytes));
    Ok(Assertion {
        authenticator_data: encoded(&data),
        client_data: encoded(&client),
        signature: encoded(&signature),
        user_handle: user_handle.as_deref().map(encoded),
    })
}

#[cfg(test)]
mod tests;
