//! Which key a key is, whatever it is called: the JWK thumbprint with SHA-256.
//!
//! RFC 7638 §3: the required members of the key's type and no other, in lexicographic order, without white space; hashed,
//! then base64url. RFC 7638 §3.2 names the members of RSA and EC keys. What must not matter stays out: `kid`, `use`,
//! `alg`, certificates, private members.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};

/// The thumbprint of an RSA key; modulus and exponent begin with a byte other than zero (RFC 7518 §2, `Base64urlUInt`).
pub(super) fn rsa(n: &[u8], e: &[u8]) -> String {
    of(&format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, BASE64URL_NOPAD.encode(e), BASE64URL_NOPAD.encode(n)))
}

/// As [`p256`], the hash itself.
pub(super) fn p256_hash(x: &[u8; 32], y: &[u8; 32]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest(&SHA256, p256_json(x, y).as_bytes());
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

/// The thumbprint of a P-256 key; both coordinates have 32 bytes, leading zeros included (RFC 7518 §6.2.1.2).
pub(super) fn p256(x: &[u8], y: &[u8]) -> String {
    of(&p256_json(x, y))
}

fn p256_json(x: &[u8], y: &[u8]) -> String {
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

fn of(json: &str) -> String {
    BASE64URL_NOPAD.encode(digest(&SHA256, json.as_bytes()).as_ref())
}
