//! The keys that tokens are signed with: three public test keys, of which two are published at any time.

use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};

static PKCS8: [&[u8]; 3] = [
    include_bytes!("../../keys/public-test-key-1.pk8"),
    include_bytes!("../../keys/public-test-key-2.pk8"),
    include_bytes!("../../keys/public-test-key-3.pk8"),
];
static PAIRS: OnceLock<Option<[RsaKeyPair; 3]>> = OnceLock::new();

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
}

impl KeyRing {
    /// Signs with a new key from here on; the one before it stays published.
    pub(crate) fn rotate(&mut self) {
        self.generation += 1;
        self.withdrawn = false;
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

    /// A key that is not published.
    pub(crate) fn unpublished(&self) -> Option<Key> {
        Key::of_generation(self.generation + 2)
    }

    /// The published set (RFC 7517).
    pub(crate) fn jwks(&self) -> Value {
        let current = if self.withdrawn { None } else { self.current() };
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
        let index = usize::try_from(generation % 3).ok()?;
        let pair = PAIRS.get_or_init(load).as_ref()?.get(index)?;
        Some(Self { kid: format!("demo-key-{generation}"), pair })
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

    fn jwk(&self) -> Value {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.pair.public());
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
            "n": BASE64URL_NOPAD.encode(&public.n), "e": BASE64URL_NOPAD.encode(&public.e),
        })
    }
}

/// RS256's padding; the default everywhere.
pub(crate) static RS256: &dyn RsaEncoding = &signature::RSA_PKCS1_SHA256;

/// Whether the built-in keys can be read, which a start checks once.
pub(crate) fn are_usable() -> bool {
    PAIRS.get_or_init(load).is_some()
}

fn load() -> Option<[RsaKeyPair; 3]> {
    let [first, second, third] = PKCS8.map(|der| RsaKeyPair::from_pkcs8(der).ok());
    Some([first?, second?, third?])
}
