//! Whether an ID token may be believed.
//!
//! The order of docs/protocol.md §6.2: form and header, key, signature, and only then the claims. An algorithm outside
//! the caller's list is refused before any key is looked at (R8725 §3.1), and nothing in the token names its own key other
//! than by `kid` (R8725 §3.10).

pub(crate) mod dpop;
pub(crate) mod id_token;
pub(crate) mod jwks;
pub(crate) mod jws;
mod thumbprint;

use crate::error::TokenCheck;
use id_token::{Expect, IdTokenClaims};
use jwks::{Found, KeySet};
use jws::Algorithm;

/// The outcome of looking at an ID token.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Every check passed.
    Valid(IdTokenClaims),
    /// The key is not in the set: fetch the set once more (rows 205, 208), then reject with [`TokenCheck::KeyId`].
    UnknownKey,
    /// A check failed.
    Rejected(TokenCheck),
}

/// Checks signature and claims of an ID token.
pub(crate) fn check_id_token(compact: &str, keys: &KeySet, allowed: &[Algorithm], expect: &Expect<'_>) -> Verdict {
    let jws = match jws::parse(compact, allowed) {
        Ok(jws) => jws,
        Err(check) => return Verdict::Rejected(check),
    };
    let key = match keys.find(&jws.kid, jws.alg) {
        Found::One(key) => key,
        Found::None => return Verdict::UnknownKey,
        Found::Ambiguous => return Verdict::Rejected(TokenCheck::KeyId),
    };
    let claims =
        key.verify(&jws).and_then(|()| jws.into_payload()).and_then(|payload| id_token::validate(payload, expect));
    match claims {
        Ok(claims) => Verdict::Valid(claims),
        Err(check) => Verdict::Rejected(check),
    }
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
