//! The claims of an ID token whose signature has been verified.
//!
//! OIDC Core §3.1.3.7 in the order of docs/protocol.md §6.2 steps 6–13, and §12.2 for a refreshed token (rows 232–261).
//! `now` is the server's time as its `Date` header told it, so a wrong device clock does not matter (row 244). An optional
//! claim that is `null` is absent; a date is a number within ±2^53, its fraction cut off.

use core::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};

use crate::error::TokenCheck;
use crate::wire::json::{Object, Value};

/// How far the two clocks may be apart.
pub(crate) const SKEW: i64 = 120;
/// How old a token of a sign-in may be: an older one is a replay (row 103).
const MAX_AGE_AT_SIGN_IN: i64 = 300;
const MAX_SUBJECT_BYTES: usize = 255;

/// What the claims are compared with.
#[derive(Clone, Copy)]
pub(crate) struct Expect<'a> {
    /// The issuer of the validated metadata.
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// The access token that came with the ID token.
    pub(crate) access_token: Option<&'a str>,
    pub(crate) at_hash: AtHash,
    /// The server's time, in seconds since 1970.
    pub(crate) now: i64,
    /// The nonce that was sent.
    pub(crate) nonce: Option<&'a str>,
    /// The `max_age` that was sent.
    pub(crate) max_age: Option<i64>,
    /// The `acr_values` that were sent; empty if none were.
    pub(crate) acr_values: &'a [String],
    pub(crate) age: Age,
    /// On refresh, the claims of the session so far.
    pub(crate) previous: Option<&'a IdTokenClaims>,
}

/// Whether an ID token that came with an access token must be bound to it (row 252).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtHash {
    Required,
    IfPresent,
}

/// Whether the token must have been issued just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// The answer to a sign-in: at most 300 seconds old.
    Fresh,
    /// The answer to a refresh, which may be validated late.
    Refreshed,
}

/// The claims of a valid ID token. Names and addresses are the server's text, not checked in any way (row 256).
#[derive(Clone)]
pub(crate) struct IdTokenClaims {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: Vec<String>,
    pub(crate) issued_at: i64,
    pub(crate) auth_time: Option<i64>,
    pub(crate) nonce: Option<String>,
    /// Every claim.
    pub(crate) raw: Arc<Object>,
}

impl IdTokenClaims {
    /// Reads claims without judging them, for a token that was validated before it was stored.
    pub(crate) fn read(payload: Object) -> Option<Self> {
        let text = |name| payload.str(name).map(str::to_owned);
        Some(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            audience: audience(&payload)?.into_iter().map(str::to_owned).collect(),
            issued_at: date(&payload, "iat")?,
            auth_time: date(&payload, "auth_time"),
            nonce: text("nonce"),
            raw: Arc::new(payload),
        })
    }
}

impl fmt::Debug for IdTokenClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdTokenClaims { issuer, subject, audience, issued_at, .. }")
    }
}

/// Checks the claims and gives them out.
pub(crate) fn validate(payload: Object, expect: &Expect<'_>) -> Result<IdTokenClaims, TokenCheck> {
    check_issuer(&payload, expect)?;
    check_audience(&payload, expect)?;
    check_subject(&payload, expect)?;
    check_times(&payload, expect)?;
    check_nonce(&payload, expect)?;
    check_auth_time(&payload, expect)?;
    check_acr(&payload, expect)?;
    check_at_hash(&payload, expect)?;
    let claims = IdTokenClaims::read(payload).ok_or(TokenCheck::Malformed)?;
    if let Some(previous) = expect.previous {
        check_refreshed(&claims, previous)?;
    }
    Ok(claims)
}

/// Step 6.
fn check_issuer(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    require(payload.str("iss") == Some(expect.issuer), TokenCheck::Issuer)
}

/// Step 7: this client, and nobody whom it would have to trust as well.
fn check_audience(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let audience = audience(payload).ok_or(TokenCheck::Audience)?;
    let is_ours = !audience.is_empty() && audience.iter().all(|one| *one == expect.client_id);
    require(is_ours, TokenCheck::Audience)?;
    let is_authorized = optional(payload, "azp").is_none_or(|azp| azp.as_str() == Some(expect.client_id));
    require(is_authorized, TokenCheck::AuthorizedParty)
}

/// Step 8.
fn check_subject(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let is_subject = payload.str("sub").is_some_and(|sub| (1..=MAX_SUBJECT_BYTES).contains(&sub.len()));
    // On refresh `Subject` ends the session (row 257), and a token that names nobody does not name another user.
    let failed = if expect.previous.is_some() { TokenCheck::Malformed } else { TokenCheck::Subject };
    require(is_subject, failed)
}

/// Step 9.
fn check_times(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let latest = expect.now.saturating_add(SKEW);
    let expires_at = date(payload, "exp").ok_or(TokenCheck::Expired)?;
    require(expect.now < expires_at.saturating_add(SKEW), TokenCheck::Expired)?;
    let issued_at = date(payload, "iat").ok_or(TokenCheck::IssuedAt)?;
    let is_recent = match expect.age {
        Age::Fresh => expect.now.saturating_sub(issued_at) <= MAX_AGE_AT_SIGN_IN,
        Age::Refreshed => true,
    };
    require(issued_at <= latest && is_recent, TokenCheck::IssuedAt)?;
    require(expires_at > issued_at, TokenCheck::Expired)?;
    match optional(payload, "nbf") {
        Some(_) => require(date(payload, "nbf").is_some_and(|nbf| nbf <= latest), TokenCheck::NotBefore),
        None => Ok(()),
    }
}

/// Step 10: a nonce that was not asked for does not matter (row 248).
fn check_nonce(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let is_ours = expect.nonce.is_none_or(|nonce| payload.str("nonce") == Some(nonce));
    require(is_ours, TokenCheck::Nonce)
}

/// Step 11.
fn check_auth_time(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let auth_time = date(payload, "auth_time");
    let is_readable = auth_time.is_some() || optional(payload, "auth_time").is_none();
    require(is_readable, TokenCheck::AuthTime)?;
    let Some(max_age) = expect.max_age else { return Ok(()) };
    let is_recent = auth_time.is_some_and(|time| {
        let age = expect.now.saturating_sub(time);
        (-SKEW..=max_age.saturating_add(SKEW)).contains(&age)
    });
    require(is_recent, TokenCheck::AuthTime)
}

/// Step 12: servers ignore values that they do not know, so the answer has to be looked at (docs/protocol.md §6.5).
fn check_acr(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let is_asked_for = || payload.str("acr").is_some_and(|acr| expect.acr_values.iter().any(|value| value == acr));
    require(expect.acr_values.is_empty() || is_asked_for(), TokenCheck::Acr)
}

/// Step 13: the left half of the SHA-256 of the access token; both algorithms have it.
fn check_at_hash(payload: &Object, expect: &Expect<'_>) -> Result<(), TokenCheck> {
    let Some(access_token) = expect.access_token else { return Ok(()) };
    let Some(at_hash) = optional(payload, "at_hash") else {
        return require(expect.at_hash == AtHash::IfPresent, TokenCheck::AccessTokenHash);
    };
    let hash = digest(&SHA256, access_token.as_bytes());
    let left_half = hash.as_ref().get(..16).map(|half| BASE64URL_NOPAD.encode(half));
    let is_ours = left_half.is_some_and(|half| at_hash.as_str() == Some(&half));
    require(is_ours, TokenCheck::AccessTokenHash)
}

/// OIDC Core §12.2. Comes last: only a token that is valid in every other way can say that the user is another one.
fn check_refreshed(claims: &IdTokenClaims, previous: &IdTokenClaims) -> Result<(), TokenCheck> {
    require(claims.issuer == previous.issuer, TokenCheck::Issuer)?;
    require(is_same_audience(&claims.audience, &previous.audience), TokenCheck::Audience)?;
    require(claims.subject == previous.subject, TokenCheck::Subject)?;
    // "New" within the skew: two servers of a cluster may have issued the two.
    require(claims.issued_at >= previous.issued_at.saturating_sub(SKEW), TokenCheck::IssuedAt)?;
    let is_same_sign_in = claims.auth_time.zip(previous.auth_time).is_none_or(|(now, then)| now == then);
    require(is_same_sign_in, TokenCheck::AuthTime)?;
    let is_same_nonce = match optional(&claims.raw, "nonce") {
        Some(nonce) => nonce.as_str().is_some() && nonce.as_str() == previous.nonce.as_deref(),
        None => true,
    };
    require(is_same_nonce, TokenCheck::Nonce)
}

fn is_same_audience(one: &[String], other: &[String]) -> bool {
    one.iter().all(|name| other.contains(name)) && other.iter().all(|name| one.contains(name))
}

/// One string, or an array of nothing but strings.
fn audience(payload: &Object) -> Option<Vec<&str>> {
    match payload.get("aud")? {
        Value::String(one) => Some(vec![one.as_str()]),
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn optional<'a>(payload: &'a Object, name: &str) -> Option<&'a Value> {
    payload.get(name).filter(|value| !matches!(value, Value::Null))
}

/// A `NumericDate` (R7519 §2), whole seconds.
fn date(payload: &Object, name: &str) -> Option<i64> {
    const LARGEST: i64 = 1 << 53;
    let Value::Number(number) = payload.get(name)? else { return None };
    // The cast saturates, so an infinite number fails the comparison like any other large one.
    let seconds = number.as_i64().unwrap_or_else(|| number.as_f64() as i64);
    (-LARGEST..=LARGEST).contains(&seconds).then_some(seconds)
}

fn require(holds: bool, check: TokenCheck) -> Result<(), TokenCheck> {
    if holds { Ok(()) } else { Err(check) }
}

#[cfg(test)]
mod tests;
