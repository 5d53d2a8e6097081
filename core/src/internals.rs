//! What benchmarks and fuzz targets need to reach and apps do not: only with the feature `internals`, and without any
//! promise.

use crate::error::TokenCheck;
use crate::jose::id_token::{Age, AtHash, Expect};
use crate::jose::jwks::{KeySet, parse_keys};
use crate::jose::jws::Algorithm;
use crate::jose::{Verdict, check_id_token};
use crate::wire::answer::parse;

/// The rules for an ID token, with a key set that is parsed already.
#[derive(Debug)]
pub struct IdTokenRules {
    keys: KeySet,
    issuer: String,
    client_id: String,
}

impl IdTokenRules {
    /// `None` if `jwks` is no key set.
    pub fn new(jwks: &[u8], issuer: &str, client_id: &str) -> Option<Self> {
        let keys = parse_keys(&parse(jwks).ok()?)?;
        Some(Self { keys, issuer: issuer.to_owned(), client_id: client_id.to_owned() })
    }

    /// Every check of a sign-in at `now` (seconds since 1970).
    ///
    /// # Errors
    /// The check that failed; an unknown key counts as [`TokenCheck::KeyId`].
    pub fn check(&self, id_token: &str, access_token: &str, now: i64) -> Result<(), TokenCheck> {
        let expect = Expect {
            issuer: &self.issuer,
            client_id: &self.client_id,
            access_token: Some(access_token),
            at_hash: AtHash::Required,
            now,
            nonce: None,
            max_age: None,
            acr_values: &[],
            age: Age::Fresh,
            previous: None,
        };
        match check_id_token(id_token, &self.keys, &[Algorithm::Rs256], &expect) {
            Verdict::Valid(_) => Ok(()),
            Verdict::Rejected(check) => Err(check),
            Verdict::UnknownKey => Err(TokenCheck::KeyId),
        }
    }
}
