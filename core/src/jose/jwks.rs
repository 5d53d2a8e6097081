//! The server's public keys, and which of them may verify a token.
//!
//! RFC 7517 and RFC 7518 §6; docs/protocol.md §6.2 steps 3–4 and rows 205–213. A key that cannot verify RS256 or ES256 is
//! skipped, whatever it is: unknown type, encryption key, other algorithm, weak or damaged key, no `kid`. Two usable keys
//! under one `kid` are as good as none; the same key listed twice is one key.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};

use super::jws::{Algorithm, Jws};
use super::thumbprint;
use crate::error::TokenCheck;
use crate::wire::json::{Object, Value};

const MAX_KEYS: usize = 64;

/// The usable keys of a JWK set.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

/// Reads a JWK set; `None` if it is none or names more than 64 keys (row 213).
pub(crate) fn parse_keys(document: &Object) -> Option<KeySet> {
    let keys = document.get("keys")?.as_array().filter(|keys| keys.len() <= MAX_KEYS)?;
    Some(KeySet(keys.iter().filter_map(parse_key).collect()))
}

/// What a look-up found.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    One(&'a Key),
    None,
    Ambiguous,
}

impl KeySet {
    /// The one key that `kid` names for `alg`.
    pub(crate) fn find(&self, kid: &str, alg: Algorithm) -> Found<'_> {
        let mut keys = self.0.iter().filter(|key| key.kid == kid && key.algorithm() == alg);
        let Some(key) = keys.next() else { return Found::None };
        // Row 207: names collide, thumbprints do not.
        let is_only_one = keys.all(|other| other.thumbprint() == key.thumbprint());
        if is_only_one { Found::One(key) } else { Found::Ambiguous }
    }
}

/// A public key for one algorithm.
#[derive(Debug)]
pub(crate) struct Key {
    kid: String,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256 { x: Vec<u8>, y: Vec<u8> },
}

impl Key {
    /// Verifies the signature of a token whose header named this key.
    pub(crate) fn verify(&self, jws: &Jws<'_>) -> Result<(), TokenCheck> {
        let verified = match (&self.material, jws.alg) {
            (Material::Rsa(key), Algorithm::Rs256) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, jws.signing_input, &jws.signature)
            }
            (Material::P256 { x, y }, Algorithm::Es256) => {
                // SEC 1 §2.3.3: 4 stands for a point that is not compressed.
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(jws.signing_input, &jws.signature)
            }
            (Material::Rsa(_) | Material::P256 { .. }, _) => return Err(TokenCheck::Algorithm),
        };
        verified.map_err(|_| TokenCheck::Signature)
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256 { .. } => Algorithm::Es256,
        }
    }

    fn thumbprint(&self) -> String {
        match &self.material {
            Material::Rsa(key) => thumbprint::rsa(&key.n, &key.e),
            Material::P256 { x, y } => thumbprint::p256(x, y),
        }
    }
}

fn parse_key(value: &Value) -> Option<Key> {
    let Value::Object(jwk) = value else { return None };
    let material = match jwk.str("kty")? {
        "RSA" => rsa(jwk)?,
        "EC" => p256(jwk)?,
        _ => return None,
    };
    let key = Key { kid: jwk.str("kid")?.to_owned(), material };
    is_for_verifying(jwk, key.algorithm()).then_some(key)
}

/// `use`, `key_ops` and `alg` may be absent, but must not say otherwise (R7517 §4.2–4.4, row 212).
fn is_for_verifying(jwk: &Object, alg: Algorithm) -> bool {
    let says = |name, wanted| jwk.get(name).is_none_or(|value| value.as_str() == Some(wanted));
    let may_verify = |operations: &Value| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|one| one.as_str() == Some("verify")))
    };
    says("use", "sig") && says("alg", alg.name()) && jwk.get("key_ops").is_none_or(may_verify)
}

/// 2048 to 8192 bits, and an exponent of at most four bytes.
fn rsa(jwk: &Object) -> Option<Material> {
    let (n, e) = (unsigned(jwk, "n")?, unsigned(jwk, "e")?);
    let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
    let is_odd = e.last()? & 1 == 1;
    let is_sound = (2048..=8192).contains(&bits) && e.len() <= 4 && is_odd && e != [1];
    is_sound.then_some(Material::Rsa(RsaPublicKeyComponents { n, e }))
}

fn p256(jwk: &Object) -> Option<Material> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    let is_p256 = jwk.str("crv")? == "P-256" && x.len() == 32 && y.len() == 32;
    is_p256.then_some(Material::P256 { x, y })
}

/// A number without leading zeros; some servers send them, RFC 7518 §6.3.1.1 notes.
fn unsigned(jwk: &Object, name: &str) -> Option<Vec<u8>> {
    let mut number = bytes(jwk, name)?;
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    Some(number)
}

fn bytes(jwk: &Object, name: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(jwk.str(name)?.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
