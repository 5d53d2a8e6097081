//! The form and the header of a signed token.
//!
//! RFC 7515 §7.1 and docs/protocol.md §6.2 steps 1–2 (rows 217–231): three parts of base64url without padding, white space
//! or stray bits, a header with unique names, an algorithm of the caller's list, no `crit`, no other type than `JWT`.
//! Members that point to a key (`jku`, `jwk`, `x5u`, `x5c`) are not read. The payload stays bytes until the signature has
//! been verified.

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::error::TokenCheck;
use crate::wire::json::{Limits, Object, parse_object};

const MAX_TOKEN_BYTES: usize = 64 * 1024;
const MAX_KEY_ID_BYTES: usize = 1024;

/// A signature algorithm of public keys (RFC 7518 §3.1). There is no other kind: the client has no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// The name in headers, keys and metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A token whose header has been checked and whose signature has not.
pub(crate) struct Jws<'a> {
    pub(crate) kid: String,
    pub(crate) alg: Algorithm,
    pub(super) signing_input: &'a [u8],
    pub(super) signature: Vec<u8>,
    payload: Zeroizing<Vec<u8>>,
}

impl Jws<'_> {
    /// The claims, after [`Key::verify`](super::jwks::Key::verify), or of a token that was verified before it was stored.
    pub(crate) fn into_payload(self) -> Result<Object, TokenCheck> {
        parse_object(&self.payload, Limits::default()).map_err(|_| TokenCheck::Malformed)
    }
}

/// Reads the compact serialization.
pub(crate) fn parse<'a>(compact: &'a str, allowed: &[Algorithm]) -> Result<Jws<'a>, TokenCheck> {
    if compact.len() > MAX_TOKEN_BYTES {
        return Err(TokenCheck::Malformed);
    }
    // A fourth part would leave a dot in the payload, which base64url does not have.
    let (signing_input, signature) = compact.rsplit_once('.').ok_or(TokenCheck::Malformed)?;
    let (header, payload) = signing_input.split_once('.').ok_or(TokenCheck::Malformed)?;
    let (header, payload, signature) = (decode(header)?, Zeroizing::new(decode(payload)?), decode(signature)?);

    let header = parse_object(&header, Limits::default()).map_err(|_| TokenCheck::Malformed)?;
    let alg = header.str("alg").ok_or(TokenCheck::Algorithm)?;
    let alg = *allowed.iter().find(|allowed| allowed.name() == alg).ok_or(TokenCheck::Algorithm)?;
    if header.get("crit").is_some() {
        return Err(TokenCheck::Critical);
    }
    // RFC 7515 §4.1.9: a media type, so its case does not matter.
    if header.get("typ").is_some_and(|typ| !typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))) {
        return Err(TokenCheck::Type);
    }
    let kid = header.str("kid").filter(|kid| kid.len() <= MAX_KEY_ID_BYTES).ok_or(TokenCheck::KeyId)?;
    Ok(Jws { kid: kid.to_owned(), alg, signing_input: signing_input.as_bytes(), signature, payload })
}

fn decode(part: &str) -> Result<Vec<u8>, TokenCheck> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenCheck::Malformed)
}

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;
