//! What the app's side implements: storage, keys, lock and headers. All of it is called on threads that may wait, never on the
//! caller's, and no lock of the library is held meanwhile.
//!
//! Each method has a `Result`, so that an exception which its platform did not declare becomes an error: its text, which
//! might be about a secret, is dropped.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use directauth::env::{Blob, BoxFuture, LockProblem, StorageKey};
use directauth::error::{KeyProblem, StoreProblem};
use directauth::{HeaderProviderError, OutgoingRequest, TokenStore};
use uniffi::UnexpectedUniFFICallbackError;

/// Where sessions are kept: opaque bytes under opaque names of `a-z 0-9 . -` that begin with a letter, at most 64 characters and
/// without user data.
///
/// `store` replaces the whole value or leaves the old one, and is durable when it returns. What is absent is null; whatever
/// cannot be read is an error, never absent. The bytes are secret: encrypt them before they leave the process's memory.
#[uniffi::export(with_foreign)]
pub trait SecureStorage: Send + Sync {
    /// The value under `key`, or null if there certainly is none.
    fn load(&self, key: String) -> Result<Option<Vec<u8>>, StorageException>;
    /// Puts `value` under `key`, in place of what was there.
    fn store(&self, key: String, value: Vec<u8>) -> Result<(), StorageException>;
    /// Removes the value under `key`; removing what is not there is no error.
    fn delete(&self, key: String) -> Result<(), StorageException>;
    /// The keys of all values, also of those that cannot be read.
    fn keys(&self) -> Result<Vec<String>, StorageException>;
}

/// Why a storage could not do it. The first four are temporary; what is not certain is `Transient`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum StorageException {
    /// The device is locked, or was not unlocked since it started.
    #[error("the device is locked")]
    Locked,
    /// The user has to authenticate to the device first.
    #[error("the user has to unlock it")]
    NeedsUser,
    /// The user dismissed the device's prompt.
    #[error("the user dismissed the prompt")]
    UserCancelled,
    /// It did not work this time: busy, full, or out of time.
    #[error("it failed this time")]
    Transient,
    /// The data was restored from another device and cannot be read here.
    #[error("the data belongs to another device")]
    Foreign,
    /// The data is damaged.
    #[error("the data is damaged")]
    Corrupt,
    /// The key is missing (perhaps a missing access group).
    #[error("the key is missing")]
    KeyMissing,
    /// The platform destroyed the key.
    #[error("the key was destroyed")]
    KeyDestroyed,
}

impl From<UnexpectedUniFFICallbackError> for StorageException {
    fn from(_: UnexpectedUniFFICallbackError) -> Self {
        Self::Transient
    }
}

impl From<StorageException> for StoreProblem {
    fn from(problem: StorageException) -> Self {
        match problem {
            StorageException::Locked => Self::Locked,
            StorageException::NeedsUser => Self::NeedsUser,
            StorageException::UserCancelled => Self::UserCancelled,
            StorageException::Transient => Self::Transient,
            StorageException::Foreign => Self::Foreign,
            StorageException::Corrupt => Self::Corrupt,
            StorageException::KeyMissing => Self::KeyMissing,
            StorageException::KeyDestroyed => Self::KeyDestroyed,
        }
    }
}

/// A foreign storage as the core calls it: on a thread that may wait, so its futures are ready at once.
pub(crate) struct ForeignStorage {
    pub(crate) storage: Arc<dyn SecureStorage>,
    pub(crate) call_deadline: Duration,
}

impl TokenStore for ForeignStorage {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        Box::pin(async { Ok(self.storage.load(key.as_str().to_owned())?.map(Blob::new)) })
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        // EXPOSE: the storage's own copy, which it encrypts; the buffer that carries it there is freed by this library.
        Box::pin(async { Ok(self.storage.store(key.as_str().to_owned(), blob.expose().to_vec())?) })
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async { Ok(self.storage.delete(key.as_str().to_owned())?) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        // A name that is none of the library's is not its own.
        Box::pin(async { Ok(self.storage.keys()?.iter().filter_map(|key| StorageKey::parse(key)).collect()) })
    }

    fn call_deadline(&self) -> Duration {
        self.call_deadline
    }
}

/// Keys of the platform on P-256, in its secure hardware if it has any, each under a name of the library's making. The private
/// part never leaves the platform.
#[uniffi::export(with_foreign)]
pub trait SigningKey: Send + Sync {
    /// Makes a key pair under a name that is new, and gives its public key: an uncompressed point of 65 bytes or a DER
    /// SubjectPublicKeyInfo.
    fn create(&self, name: String) -> Result<Vec<u8>, KeyException>;
    /// The public key under `name`, in either form.
    fn public_key(&self, name: String) -> Result<Vec<u8>, KeyException>;
    /// ECDSA with SHA-256 over `message`, as DER or as r‖s of 64 bytes.
    fn sign(&self, name: String, message: Vec<u8>) -> Result<Vec<u8>, KeyException>;
    /// Destroys the key; destroying what is not there is no error.
    fn delete(&self, name: String) -> Result<(), KeyException>;
}

/// Why a key could not be used. The first four are temporary; what is not certain is `Transient`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum KeyException {
    /// The device is locked, or was not unlocked since it started.
    #[error("the device is locked")]
    Locked,
    /// The user has to authenticate to the device first.
    #[error("the user has to unlock it")]
    NeedsUser,
    /// The user dismissed the device's prompt.
    #[error("the user dismissed the prompt")]
    UserCancelled,
    /// It did not work this time.
    #[error("it failed this time")]
    Transient,
    /// There is no such key.
    #[error("the key is missing")]
    Missing,
    /// The platform destroyed the key, as after a change of the enrolled fingers.
    #[error("the key was destroyed")]
    Destroyed,
    /// The platform has no keys on P-256: the library makes one in software.
    #[error("the platform has no such keys")]
    Unsupported,
}

impl From<UnexpectedUniFFICallbackError> for KeyException {
    fn from(_: UnexpectedUniFFICallbackError) -> Self {
        Self::Transient
    }
}

impl From<KeyException> for KeyProblem {
    fn from(problem: KeyException) -> Self {
        match problem {
            KeyException::Locked => Self::Locked,
            KeyException::NeedsUser => Self::NeedsUser,
            KeyException::UserCancelled => Self::UserCancelled,
            KeyException::Transient => Self::Transient,
            KeyException::Missing => Self::Missing,
            KeyException::Destroyed => Self::Destroyed,
            KeyException::Unsupported => Self::Unsupported,
        }
    }
}

/// Foreign keys as the core calls them.
pub(crate) struct ForeignKeys {
    pub(crate) keys: Arc<dyn SigningKey>,
    pub(crate) call_deadline: Duration,
}

impl directauth::SigningKey for ForeignKeys {
    fn create<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async { Ok(self.keys.create(name.to_owned())?) })
    }

    fn public_key<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async { Ok(self.keys.public_key(name.to_owned())?) })
    }

    fn sign<'a>(&'a self, name: &'a str, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, KeyProblem>> {
        Box::pin(async { Ok(self.keys.sign(name.to_owned(), message.to_vec())?) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), KeyProblem>> {
        Box::pin(async { Ok(self.keys.delete(name.to_owned())?) })
    }

    fn call_deadline(&self) -> Duration {
        self.call_deadline
    }
}

/// Excludes the other processes that use the same storage while a session is refreshed or written. The operating system must
/// free it when its holder dies.
#[uniffi::export(with_foreign)]
pub trait CrossProcessLock: Send + Sync {
    /// Takes the lock; waits at most so many milliseconds for another process.
    fn acquire(&self, timeout_millis: i64) -> Result<(), LockException>;
    /// Gives it back; no error if it was lost.
    fn release(&self) -> Result<(), LockException>;
    /// Whether it has been held without a gap since `acquire`. Asked before every send and every write: quick, never blocks.
    fn still_held(&self) -> Result<bool, LockException>;
}

/// Why a lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum LockException {
    /// Another process still holds it.
    #[error("another process holds the lock")]
    TimedOut,
    /// The lock cannot be taken at all.
    #[error("the lock cannot be taken")]
    Failed,
}

impl From<UnexpectedUniFFICallbackError> for LockException {
    fn from(_: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

/// A foreign lock as the core calls it.
pub(crate) struct ForeignLock(pub(crate) Arc<dyn CrossProcessLock>);

impl directauth::CrossProcessLock for ForeignLock {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        Box::pin(async move {
            self.0.acquire(millis).map_err(|problem| match problem {
                LockException::TimedOut => LockProblem::TimedOut,
                LockException::Failed => LockProblem::Failed,
            })
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // A lock that cannot be given back is lost, which its next holder learns by waiting.
            let _ = self.0.release();
        })
    }

    fn still_held(&self) -> bool {
        // Who does not know does not hold it.
        self.0.still_held().unwrap_or(false)
    }
}

/// Gives headers for requests to the issuer's origin: for a bot protection or firewall in front of the server. Reserved names
/// are not sent. Given 2 s; what goes wrong is told by an audit event, and the request is sent without them.
#[uniffi::export(with_foreign)]
pub trait HeaderProvider: Send + Sync {
    /// The headers of one request, by name. Values are treated as secrets.
    fn headers(&self, method: String, path: String) -> Result<HashMap<String, String>, HeaderException>;
}

/// The provider has no headers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum HeaderException {
    /// Whatever the reason: the request goes without them.
    #[error("the header provider has no headers to give")]
    Failed,
}

impl From<UnexpectedUniFFICallbackError> for HeaderException {
    fn from(_: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

/// A foreign provider as the core calls it.
pub(crate) struct ForeignHeaders(pub(crate) Arc<dyn HeaderProvider>);

impl directauth::HeaderProvider for ForeignHeaders {
    fn headers(&self, request: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
        let headers = self.0.headers(request.method.as_str().to_owned(), request.path.clone());
        headers.map(|headers| headers.into_iter().collect()).map_err(|_| HeaderProviderError)
    }
}
