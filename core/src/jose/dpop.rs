//! Proofs that a request is made by whoever has a key: what is signed, and which signature may be sent.
//!
//! RFC 9449 §4.2; protocol.md §3. One algorithm, ES256. A platform's key signs in DER or as r‖s (RFC 7518 §3.4); either way the
//! signature is checked against the public key before it is sent.

use core::fmt::Write;

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use url::Url;

use super::thumbprint;

/// A public key on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    x: [u8; 32],
    y: [u8; 32],
}

/// SHA-256 of a public key's required members (RFC 7638).
pub(crate) type Thumbprint = [u8; 32];

/// A DER SubjectPublicKeyInfo on P-256 up to the point (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Longer is no nonce of any server.
const MAX_NONCE: usize = 1024;

impl PublicKey {
    /// Of an uncompressed point (SEC 1 §2.3.3), alone as Apple's systems export it, or in a SubjectPublicKeyInfo as Android
    /// does.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let point = bytes.strip_prefix(&SPKI).unwrap_or(bytes);
        let (x, y) = point.strip_prefix(&[4])?.split_first_chunk::<32>()?;
        Some(Self { x: *x, y: y.try_into().ok()? })
    }

    pub(crate) fn thumbprint(&self) -> Thumbprint {
        thumbprint::p256_hash(&self.x, &self.y)
    }

    fn point(&self) -> Vec<u8> {
        [&[4], self.x.as_slice(), self.y.as_slice()].concat()
    }
}

/// What a proof says.
pub(crate) struct Claims<'a> {
    /// Never used before.
    pub(crate) id: &'a str,
    pub(crate) method: &'a str,
    /// As [`target`] gives it.
    pub(crate) url: &'a str,
    /// Seconds since 1970 by the server's clock.
    pub(crate) issued_at: i64,
    pub(crate) nonce: Option<&'a str>,
    /// The access token that goes with it.
    pub(crate) access_token: Option<&'a str>,
}

/// What `htu` names: the URL without query and fragment (row 278).
pub(crate) fn target(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// A method that a proof may name: a token of capital letters, as all are.
pub(crate) fn is_method(method: &str) -> bool {
    (1..=32).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// RFC 9449 §8.1: visible ASCII without quote and backslash.
pub(crate) fn is_nonce(nonce: &str) -> bool {
    let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    (1..=MAX_NONCE).contains(&nonce.len()) && nonce.bytes().all(legal)
}

/// Header and claims as they are signed. `None` if one of the values could not stand in JSON as it is; none that a caller has
/// checked does that.
pub(crate) fn signing_input(key: &PublicKey, claims: &Claims<'_>) -> Option<String> {
    let base64url = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let (x, y) = (base64url(&key.x), base64url(&key.y));
    let header =
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}}}"#);
    let texts = [Some(claims.id), Some(claims.method), Some(claims.url), claims.nonce];
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    if !texts.into_iter().flatten().all(is_plain) {
        return None;
    }
    let Claims { id, method, url, issued_at, .. } = claims;
    let mut body = format!(r#"{{"jti":"{id}","htm":"{method}","htu":"{url}","iat":{issued_at}"#);
    if let Some(nonce) = claims.nonce {
        write!(body, r#","nonce":"{nonce}""#).ok()?;
    }
    if let Some(token) = claims.access_token {
        write!(body, r#","ath":"{}""#, base64url(digest(&SHA256, token.as_bytes()).as_ref())).ok()?;
    }
    body.push('}');
    Some(format!("{}.{}", base64url(header.as_bytes()), base64url(body.as_bytes())))
}

/// The proof, if the signature is one by this key.
pub(crate) fn signed(key: &PublicKey, input: &str, signature: &[u8]) -> Option<String> {
    let fixed = match signature.len() {
        64 => signature.to_vec(),
        _ => fixed(signature)?.to_vec(),
    };
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point());
    verifier.verify(input.as_bytes(), &fixed).ok()?;
    Some(format!("{input}.{}", BASE64URL_NOPAD.encode(&fixed)))
}

/// r‖s of a DER `SEQUENCE { INTEGER r, INTEGER s }` (RFC 3279 §2.2.3).
fn fixed(der: &[u8]) -> Option<[u8; 64]> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    if tag != 0x30 || usize::from(length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    let mut both = [0; 64];
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(&r);
    second.copy_from_slice(&s);
    rest.is_empty().then_some(both)
}

/// A positive integer of at most 32 bytes, and what follows.
fn integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::from(length))?;
    // A first bit that is set would mean a negative number, so a zero may stand before it.
    let magnitude = match bytes {
        [0, magnitude @ ..] if magnitude.first().is_some_and(|first| first & 0x80 != 0) => magnitude,
        [first, ..] if first & 0x80 == 0 && *first != 0 => bytes,
        _ => return None,
    };
    let mut whole = [0; 32];
    let start = 32_usize.checked_sub(magnitude.len())?;
    whole.get_mut(start..)?.copy_from_slice(magnitude);
    (tag == 2).then_some((whole, rest))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    fn claims<'a>() -> Claims<'a> {
        Claims {
            id: "j",
            method: "POST",
            url: "https://as.example/token",
            issued_at: 1,
            nonce: None,
            access_token: None,
        }
    }

    fn pkcs8() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap().as_ref().to_vec()
    }

    #[test]
    fn the_example_of_rfc_9449() {
        // §4.1 and §6.1 of the RFC: this key, and its thumbprint in a token's `cnf`.
        let base64url = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let x = base64url("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs");
        let y = base64url("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA");
        let key = PublicKey::parse(&[&[4], x.as_slice(), y.as_slice()].concat()).unwrap();
        assert_eq!(BASE64URL_NOPAD.encode(&key.thumbprint()), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let spki = [SPKI.as_slice(), &[4], &x, &y].concat();
        assert_eq!(PublicKey::parse(&spki), Some(key.clone()));
        let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        let input = signing_input(
            &key,
            &Claims {
                id: "e1j3V_bKic8-LAEB",
                method: "GET",
                url: "https://resource.example.org/protectedresource",
                issued_at: 1_562_262_618,
                nonce: None,
                access_token: Some(token),
            },
        );
        let body = base64url(input.unwrap().split_once('.').unwrap().1);
        // §7.1: the same claims in another order.
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"jti":"e1j3V_bKic8-LAEB","htm":"GET","htu":"https://resource.example.org/protectedresource","iat":1562262618,"ath":"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}"#
        );
    }

    #[test]
    fn keys_that_are_none() {
        for bad in [&[][..], &[4; 64], &[2; 65], &[4; 66], &SPKI, &[0x30; 91]] {
            assert_eq!(PublicKey::parse(bad), None, "{}", HEXLOWER.encode(bad));
        }
    }

    #[test]
    fn both_forms_of_a_signature_are_taken_and_no_other_one() {
        let (pkcs8, random) = (pkcs8(), SystemRandom::new());
        let fixed = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random).unwrap();
        let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random).unwrap();
        let key = PublicKey::parse(fixed.public_key().as_ref()).unwrap();
        let input = signing_input(&key, &claims()).unwrap();
        // Often enough to meet short integers and such that begin with a zero.
        for _ in 0..2000 {
            let signature = der.sign(&random, input.as_bytes()).unwrap();
            assert!(signed(&key, &input, signature.as_ref()).is_some(), "{}", HEXLOWER.encode(signature.as_ref()));
        }
        let good = fixed.sign(&random, input.as_bytes()).unwrap();
        assert!(signed(&key, &input, good.as_ref()).is_some());
        let mut flipped = good.as_ref().to_vec();
        flipped[5] ^= 1;
        let of_another = fixed.sign(&random, b"another").unwrap();
        for bad in [&flipped[..], of_another.as_ref(), &[], &good.as_ref()[..63], &[0; 64], &[0x30, 0]] {
            assert_eq!(signed(&key, &input, bad), None);
        }
        let der = der.sign(&random, input.as_bytes()).unwrap();
        let mut longer = der.as_ref().to_vec();
        longer.push(0);
        assert_eq!(signed(&key, &input, &longer), None);
        assert_eq!(signed(&key, &input, &der.as_ref()[..der.as_ref().len() - 1]), None);
    }

    #[test]
    fn what_is_named_and_what_is_not() {
        for (row, url, expected) in [
            (278, "https://h.example/p?q=1#f", "https://h.example/p"),
            (278, "https://h.example", "https://h.example/"),
            (278, "https://H.example:443/a/../b", "https://h.example/b"),
            (278, "https://h.example:8443/%7Ea?x", "https://h.example:8443/%7Ea"),
        ] {
            assert_eq!(target(url).as_deref(), Some(expected), "row {row}");
        }
        for (good, nonce) in [(true, "abc.-~!"), (false, ""), (false, "a b"), (false, "a\"b"), (false, "é")] {
            assert_eq!(is_nonce(nonce), good, "{nonce:?}");
        }
        assert!(!is_nonce(&"a".repeat(1025)));
        assert!(is_method("PATCH") && !is_method("get") && !is_method("") && !is_method("A\"B"));
        let key = PublicKey::parse(&[&[4][..], &[7; 64]].concat()).unwrap();
        assert!(signing_input(&key, &Claims { nonce: Some("a\"b"), ..claims() }).is_none());
        let input = signing_input(&key, &Claims { nonce: Some("n-1"), ..claims() }).unwrap();
        let body = BASE64URL_NOPAD.decode(input.split_once('.').unwrap().1.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"jti":"j","htm":"POST","htu":"https://as.example/token","iat":1,"nonce":"n-1"}"#
        );
    }
}
