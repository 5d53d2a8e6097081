//! Keys that sign proofs (RFC 9449): the platform's, which never leave it, and the library's own in software.

use core::time::Duration;

use data_encoding::BASE64_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use super::BoxFuture;
use crate::error::KeyProblem;
use crate::secret::Secret;

/// Keys of the platform on P-256, in its secure hardware if it has any, each under a name of the library's making
/// (`[a-z0-9.-]`, at most 64 characters, without user data). The private part never leaves the platform.
///
/// Each call may block on the platform; the library sets a time limit.
pub trait SigningKey: Send + Sync {
    /// Makes a key pair under a name that is new, and gives its public key: an uncompressed point of 65 bytes (SEC 1, as Apple's
    /// systems export it) or a DER SubjectPublicKeyInfo (as Android's do).
    fn create<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>>;
    /// The public key under `name`, in either form.
    fn public_key<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>>;
    /// ECDSA with SHA-256 over `message`, as DER or as r‖s of 64 bytes. The library checks it against the public key.
    fn sign<'a>(&'a self, name: &'a str, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>>;
    /// Destroys the key; destroying what is not there is no error.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), KeyProblem>>;
    /// How long the library waits for one call; 10 s if not implemented, five minutes at most. Keys that ask the user say how
    /// long that may take.
    fn call_deadline(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A key pair in this process's memory. Its random numbers are the system's, as those of TLS are.
pub(crate) struct SoftwareKey(EcdsaKeyPair);

impl SoftwareKey {
    /// A new one, and the text that [`open`](SoftwareKey::open) takes: PKCS#8 in base64.
    pub(crate) fn generate() -> Option<(Self, Secret)> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).ok()?;
        let text = Secret::from(Zeroizing::new(BASE64_NOPAD.encode(pkcs8.as_ref())));
        Some((Self::open(&text)?, text))
    }

    pub(crate) fn open(text: &Secret) -> Option<Self> {
        // EXPOSE: decoded into a buffer that wipes itself.
        let pkcs8 = Zeroizing::new(BASE64_NOPAD.decode(text.expose().as_bytes()).ok()?);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new());
        pair.ok().map(Self)
    }

    /// An uncompressed point.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.sign(&SystemRandom::new(), message).ok().map(|signature| signature.as_ref().to_vec())
    }
}
