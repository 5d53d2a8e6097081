//! The other reader: the JOSE of `jsonwebtoken`, with RSA and P-256 that are not ring's.
//!
//! RS256 is RFC 8017 §8.2.2 on big numbers, P-256 and SHA-256 are the RustCrypto crates. Not `jsonwebtoken`'s own are the
//! dates, because it reads the system's clock: `in_time` is its formula with a clock that stands still.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use num_bigint::BigUint;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::jose::id_token::{Expect, SKEW};

static ARITHMETIC: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils { compute_digest: hash, ..KeyUtils::new_unimplemented() },
};

fn hash(data: &[u8], function: ThumbprintHash) -> Result<Vec<u8>, Error> {
    assert_eq!(function, ThumbprintHash::SHA256);
    Ok(Sha256::digest(data).to_vec())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rsa { n: BigUint::from_bytes_be(n), e: BigUint::from_bytes_be(e) }))
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
            Ok(Box::new(P256(VerifyingKey::from_sec1_bytes(point).map_err(|_| ErrorKind::InvalidEcdsaKey)?)))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

struct Rsa {
    n: BigUint,
    e: BigUint,
}

impl Verifier<Vec<u8>> for Rsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let length = self.n.to_bytes_be().len();
        let number = BigUint::from_bytes_be(signature);
        let is_signature = signature.len() == length && number < self.n;
        let expected = || BigUint::from_bytes_be(&emsa_pkcs1_v1_5(message, length));
        if is_signature && number.modpow(&self.e, &self.n) == expected() { Ok(()) } else { Err(SignatureError::new()) }
    }
}

impl JwtVerifier for Rsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// RFC 8017 §9.2 with SHA-256.
pub(super) fn emsa_pkcs1_v1_5(message: &[u8], length: usize) -> Vec<u8> {
    const SHA256_INFO: [u8; 19] = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let padding = vec![0xff; length - SHA256_INFO.len() - 32 - 3];
    [&[0, 1], padding.as_slice(), &[0], &SHA256_INFO, &Sha256::digest(message)].concat()
}

struct P256(VerifyingKey);

impl Verifier<Vec<u8>> for P256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for P256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

/// A key set as `jsonwebtoken` reads it.
pub(super) struct Keys(Vec<(Option<String>, Algorithm, DecodingKey)>);

impl Keys {
    pub(super) fn read(keys: &[Json]) -> Self {
        // A second call finds that it is there already.
        let _installed = ARITHMETIC.install_default();
        let read = |key: &Json| {
            let jwk = serde_json::from_value::<Jwk>(key.clone()).ok()?;
            let algorithm = match key["kty"].as_str()? {
                "RSA" => Algorithm::RS256,
                "EC" => Algorithm::ES256,
                _ => return None,
            };
            Some((jwk.common.key_id.clone(), algorithm, DecodingKey::from_jwk(&jwk).ok()?))
        };
        Self(keys.iter().filter_map(read).collect())
    }

    /// The claims of a token that some key with its `kid`, or any key if it has none, verifies.
    pub(super) fn check(&self, token: &str, expect: &Expect<'_>) -> Result<Json, String> {
        let named = decode_header(token).map_err(|error| error.to_string())?.kid;
        let mut failure = "no key".to_owned();
        for (kid, algorithm, key) in &self.0 {
            if named.is_some() && named != *kid {
                continue;
            }
            match decode::<Json>(token, key, &validation(*algorithm, expect)) {
                Ok(data) => {
                    return if in_time(&data.claims, expect.now) { Ok(data.claims) } else { Err("dates".into()) };
                }
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }
}

fn validation(algorithm: Algorithm, expect: &Expect<'_>) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[expect.issuer]);
    validation.set_audience(&[expect.client_id]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    validation
}

/// `exp >= now - leeway` and `nbf <= now + leeway`, both rounded and neither negative.
fn in_time(claims: &Json, now: i64) -> bool {
    let (now, leeway) = (now.unsigned_abs(), SKEW.unsigned_abs());
    let date = |claim: &Json| {
        let float = claim.as_f64().filter(|date| *date >= 0.0 && *date < 1.8e19);
        claim.as_u64().or(float.map(|date| date.round() as u64))
    };
    let is_alive = date(&claims["exp"]).is_some_and(|exp| exp >= now - leeway);
    let has_begun = claims.get("nbf").is_none_or(|nbf| date(nbf).is_some_and(|nbf| nbf <= now + leeway));
    is_alive && has_begun
}

/// The RFC 7638 thumbprint as `jsonwebtoken` computes it.
pub(super) fn thumbprint(key: &Json) -> String {
    let _installed = ARITHMETIC.install_default();
    serde_json::from_value::<Jwk>(key.clone()).unwrap().thumbprint(ThumbprintHash::SHA256).unwrap()
}

/// The signature alone.
pub(super) fn verifies(key: &Json, signing_input: &str, signature: &str) -> bool {
    let _installed = ARITHMETIC.install_default();
    let jwk = serde_json::from_value::<Jwk>(key.clone()).unwrap();
    let algorithm = if key["kty"] == "RSA" { Algorithm::RS256 } else { Algorithm::ES256 };
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::crypto::verify(signature, signing_input.as_bytes(), &key, algorithm).unwrap()
}
