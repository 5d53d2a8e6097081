//! Where sessions are kept: opaque blobs under opaque keys, with typed failures (docs/sessions.md §3–§4).

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::BoxFuture;
use crate::error::StoreProblem;

/// The name of one blob: 1 to 64 characters of `a-z 0-9 . -`, without user data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey(String);

impl StorageKey {
    /// `text` if it has only the allowed characters.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// One of the library's own names; both parts have only allowed characters.
    pub(crate) fn of(prefix: &str, id: &crate::error::Code) -> Self {
        Self(format!("{prefix}{id}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The bytes of one record; wiped when dropped, never printed.
#[derive(PartialEq, Eq)]
pub struct Blob(Zeroizing<Vec<u8>>);

impl Blob {
    /// Takes over `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. A store must encrypt them before they leave the process's memory.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secret bytes]", self.0.len())
    }
}

/// A place that keeps blobs.
///
/// `store` replaces the whole blob or leaves the old one, and is durable when it returns. Absent is `Ok(None)`; whatever
/// cannot be read is an error, never absent. Each call may block on the platform: the library sets deadlines and holds
/// no lock meanwhile.
pub trait TokenStore: Send + Sync {
    /// The blob under `key`, or `None` if there certainly is none.
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>>;
    /// Puts `blob` under `key`, in place of what was there.
    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>>;
    /// Removes the blob under `key`; removing what is not there is no error.
    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>>;
    /// The keys of all blobs, also of those that cannot be read.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>>;
    /// How long the library waits for one call before it goes on without it; 10 s if not implemented, five minutes at most.
    /// A store that asks the user (a biometric prompt) says how long that may take. A call that is late still counts: no
    /// other write of the same session begins before it has returned.
    fn call_deadline(&self) -> Duration {
        Duration::from_secs(10)
    }
    /// Whether a call may take its time. If not, every call is ready when it is first polled, and the library runs it where
    /// it is instead of on a thread that may wait.
    fn may_block(&self) -> bool {
        true
    }
}

/// Keeps everything in memory: sessions end with the process. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    blobs: Arc<Mutex<BTreeMap<StorageKey, Blob>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<StorageKey, Blob>) -> T) -> T {
        work(&mut self.blobs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TokenStore for MemoryStore {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        let found = self.with(|blobs| blobs.get(key).map(|blob| Blob::new(blob.expose().to_vec())));
        Box::pin(core::future::ready(Ok(found)))
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        let copy = Blob::new(blob.expose().to_vec());
        self.with(|blobs| blobs.insert(key.clone(), copy));
        Box::pin(core::future::ready(Ok(())))
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.with(|blobs| blobs.remove(key));
        Box::pin(core::future::ready(Ok(())))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        let keys = self.with(|blobs| blobs.keys().cloned().collect());
        Box::pin(core::future::ready(Ok(keys)))
    }

    fn may_block(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_keys_are_short_and_plain() {
        for good in ["a", "session.0a1b", "x-1"] {
            assert!(StorageKey::parse(good).is_some(), "{good}");
        }
        for bad in ["", "A", "a/b", "a b", "ü", &"a".repeat(65)] {
            assert!(StorageKey::parse(bad).is_none(), "{bad}");
        }
    }
}
