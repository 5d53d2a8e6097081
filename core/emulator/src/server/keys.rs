//! The keys that tokens are signed with: three public test keys, of which two are published at any time. When a key is
//! published, beside when it signs, is decided here (rows 205–215, protocol.md §6.4).
//!
//! Two more are never published by a tenant itself: somebody else's RSA key, and one on P-256 for prescribed ES256 signatures.

use std::sync::OnceLock;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};

static PKCS8: [&[u8]; 4] = [
    include_bytes!("../../keys/public-test-key-1.pk8"),
    include_bytes!("../../keys/public-test-key-2.pk8"),
    include_bytes!("../../keys/public-test-key-3.pk8"),
    include_bytes!("../../keys/public-test-key-4.pk8"),
];
static P256: &[u8] = include_bytes!("../../keys/public-test-key-p256.pk8");
static PAIRS: OnceLock<Option<Pairs>> = OnceLock::new();
/// The server's keys take turns; the one after them is somebody else's.
const OWN: u64 = 3;

struct Pairs {
    rsa: [RsaKeyPair; 4],
    p256: EcdsaKeyPair,
}

/// DER of a SubjectPublicKeyInfo for a 2048-bit RSA key, up to the key itself.
const SPKI_PREFIX: [u8; 24] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x0f, 0x00,
];

/// A tenant's view of the keys. Each rotation signs with a key whose `kid` nobody has seen yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyRing {
    generation: u64,
    withdrawn: bool,
    rotated: Option<Rotated>,
}

#[derive(Clone, Copy, Debug)]
struct Rotated {
    at: Duration,
    /// How often the keys were asked for since, and given without the new one.
    fetches: u32,
}

impl KeyRing {
    /// Signs with a new key from here on; the one before it stays published.
    pub(crate) fn rotate(&mut self, now: Duration) {
        self.generation += 1;
        self.withdrawn = false;
        self.rotated = Some(Rotated { at: now, fetches: 0 });
    }

    /// The same in an emergency: no key that was published before is published any more.
    pub(crate) fn replace(&mut self, now: Duration) {
        self.generation += 1;
        self.rotate(now);
    }

    /// Takes the signing key out of the published set, while tokens are still signed with it.
    pub(crate) fn withdraw(&mut self) {
        self.withdrawn = true;
    }

    /// The signing key.
    pub(crate) fn current(&self) -> Option<Key> {
        Key::of_generation(self.generation + 1)
    }

    /// The other published key.
    pub(crate) fn previous(&self) -> Option<Key> {
        Key::of_generation(self.generation)
    }

    /// The published set (RFC 7517). After a rotation the signing key is missing until `lag` has passed and the set was
    /// given without it `lag_fetches` times.
    pub(crate) fn publish(&mut self, now: Duration, lag: Duration, lag_fetches: u32) -> Value {
        let is_late = match &mut self.rotated {
            Some(rotated) if now < rotated.at.saturating_add(lag) || rotated.fetches < lag_fetches => {
                rotated.fetches = rotated.fetches.saturating_add(1);
                true
            }
            _ => false,
        };
        let current = if self.withdrawn || is_late { None } else { self.current() };
        let keys: Vec<Value> = current.into_iter().chain(self.previous()).map(|key| key.jwk()).collect();
        json!({ "keys": keys })
    }
}

/// One RSA key and its `kid`.
pub(crate) struct Key {
    pub(crate) kid: String,
    pair: &'static RsaKeyPair,
}

impl Key {
    fn of_generation(generation: u64) -> Option<Self> {
        Self::load(generation % OWN, format!("demo-key-{generation}"))
    }

    /// Somebody else's key: no tenant publishes it.
    pub(crate) fn foreign() -> Option<Self> {
        Self::load(OWN, "evil-key".to_owned())
    }

    fn load(index: u64, kid: String) -> Option<Self> {
        let pair = PAIRS.get_or_init(load).as_ref()?.rsa.get(usize::try_from(index).ok()?)?;
        Some(Self { kid, pair })
    }

    /// An RSA signature.
    pub(crate) fn sign(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(padding, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    /// The public key's text as a PEM file has it.
    pub(crate) fn public_pem(&self) -> String {
        let der = [&SPKI_PREFIX, self.pair.public().as_ref()].concat();
        let base64 = data_encoding::BASE64.encode(&der);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// The modulus, big-endian.
    pub(crate) fn modulus(&self) -> Vec<u8> {
        PublicKeyComponents::<Vec<u8>>::from(self.pair.public()).n
    }

    /// `n` of its JWK.
    pub(crate) fn n(&self) -> String {
        BASE64URL_NOPAD.encode(&self.modulus())
    }

    /// `e` of its JWK.
    pub(crate) fn e(&self) -> String {
        BASE64URL_NOPAD.encode(&PublicKeyComponents::<Vec<u8>>::from(self.pair.public()).e)
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": self.n(), "e": self.e() })
    }
}

/// The key on P-256, which no tenant publishes by itself.
pub(crate) struct P256Key(&'static EcdsaKeyPair);

impl P256Key {
    pub(crate) fn load() -> Option<Self> {
        Some(Self(&PAIRS.get_or_init(load).as_ref()?.p256))
    }

    /// An ES256 signature (RFC 7518 §3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec())
    }

    /// `x` and `y` of its JWK.
    pub(crate) fn point(&self) -> (String, String) {
        // SEC 1: 0x04, then the coordinates.
        let point = self.0.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y))
    }
}

/// RS256's padding; the default everywhere.
pub(crate) static RS256: &dyn RsaEncoding = &signature::RSA_PKCS1_SHA256;

/// Whether the built-in keys can be read, which a start checks once.
pub(crate) fn are_usable() -> bool {
    PAIRS.get_or_init(load).is_some()
}

fn load() -> Option<Pairs> {
    let [first, second, third, foreign] = PKCS8.map(|der| RsaKeyPair::from_pkcs8(der).ok());
    let p256 =
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, P256, &SystemRandom::new()).ok()?;
    Some(Pairs { rsa: [first?, second?, third?, foreign?], p256 })
}
