//! A store that says it is empty when asked for its keys, to fill it: each sign-in reads what is listed, and a thousand of
//! them would read a million records.

use std::time::Duration;

use directauth::TokenStore;
use directauth::env::{Blob, BoxFuture, StorageKey};
use directauth::error::StoreProblem;

pub(crate) struct Unlisted<S>(pub(crate) S);

impl<S: TokenStore> TokenStore for Unlisted<S> {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        self.0.load(key)
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.0.store(key, blob)
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.0.delete(key)
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn call_deadline(&self) -> Duration {
        self.0.call_deadline()
    }

    fn may_block(&self) -> bool {
        self.0.may_block()
    }
}
