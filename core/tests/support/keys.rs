//! A platform's keys, for tests: pairs that a test can lock, destroy or exchange. ECDSA by `p256`, so that another
//! implementation than the library's signs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use directauth::SigningKey;
use directauth::env::BoxFuture;
use directauth::error::KeyProblem;
use futures_channel::oneshot;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, Signature, SigningKey as Pair};
use ring::rand::{SecureRandom, SystemRandom};

/// How the platform is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As Apple's: points, and signatures in DER.
    #[default]
    Points,
    /// As Android's: SubjectPublicKeyInfo.
    Documents,
    /// Signatures as r‖s.
    Fixed,
    /// Its signatures are of something else.
    WrongSignature,
    /// What it says is no key.
    Nonsense,
    /// Each call gives this.
    Says(KeyProblem),
}

/// Clones share their keys.
#[derive(Clone, Default)]
pub struct PlatformKeys(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    mood: Mood,
    keys: BTreeMap<String, Pair>,
    calls: Vec<&'static str>,
    /// The user is asked before the next signature.
    asks: bool,
    /// The signature that waits for the user.
    asked: Option<oneshot::Sender<()>>,
}

impl PlatformKeys {
    pub fn be(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// The keys that there are.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys.keys().cloned().collect()
    }

    /// Another key under each name.
    pub fn exchange(&self) {
        self.lock().keys.values_mut().for_each(|pair| *pair = fresh());
    }

    pub fn lose_all(&self) {
        self.lock().keys.clear();
    }

    /// The next signature waits for the user.
    pub fn ask_next(&self) {
        self.lock().asks = true;
    }

    /// Whether the user is being asked.
    pub fn ask(&self) -> bool {
        self.lock().asked.is_some()
    }

    /// The user agrees.
    pub fn agree(&self) {
        let mut inner = self.lock();
        inner.asks = false;
        inner.asked = None;
    }

    /// Waits for the user, if the user is to be asked.
    async fn ask_user(&self) {
        let agreed = {
            let mut inner = self.lock();
            if !std::mem::take(&mut inner.asks) {
                return;
            }
            let (asked, agreed) = oneshot::channel();
            inner.asked = Some(asked);
            agreed
        };
        let _ = agreed.await;
    }

    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, call: &'static str) -> Result<Mood, KeyProblem> {
        let mut inner = self.lock();
        inner.calls.push(call);
        match inner.mood {
            Mood::Says(problem) => Err(problem),
            mood => Ok(mood),
        }
    }

    fn public(&self, name: &str, mood: Mood) -> Result<Vec<u8>, KeyProblem> {
        let inner = self.lock();
        let key = inner.keys.get(name).ok_or(KeyProblem::Missing)?.verifying_key();
        Ok(match mood {
            Mood::Nonsense => vec![7; 65],
            Mood::Documents => [&SPKI, key.to_encoded_point(false).as_bytes()].concat(),
            _ => key.to_encoded_point(false).as_bytes().to_vec(),
        })
    }
}

/// Of a SubjectPublicKeyInfo on P-256 what stands before the point (RFC 5480).
const SPKI: [u8; 26] =
    *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

fn fresh() -> Pair {
    let mut scalar = [0; 32];
    SystemRandom::new().fill(&mut scalar).expect("random numbers");
    Pair::from_slice(&scalar).expect("nearly every number is one")
}

impl SigningKey for PlatformKeys {
    fn create<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async move {
            let mood = self.begin("create")?;
            assert!(self.lock().keys.insert(name.to_owned(), fresh()).is_none(), "the name is new");
            self.public(name, mood)
        })
    }

    fn public_key<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async move {
            let mood = self.begin("public_key")?;
            self.public(name, mood)
        })
    }

    fn sign<'a>(&'a self, name: &'a str, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async move {
            self.ask_user().await;
            let mood = self.begin("sign")?;
            let inner = self.lock();
            let pair = inner.keys.get(name).ok_or(KeyProblem::Missing)?;
            Ok(match mood {
                Mood::Fixed => {
                    let signature: Signature = pair.sign(message);
                    signature.to_bytes().to_vec()
                }
                Mood::WrongSignature => {
                    let signature: DerSignature = pair.sign(b"something else");
                    signature.as_bytes().to_vec()
                }
                _ => {
                    let signature: DerSignature = pair.sign(message);
                    signature.as_bytes().to_vec()
                }
            })
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), KeyProblem>> {
        Box::pin(async move {
            self.begin("delete")?;
            self.lock().keys.remove(name);
            Ok(())
        })
    }

    fn call_deadline(&self) -> Duration {
        Duration::from_secs(300)
    }
}
