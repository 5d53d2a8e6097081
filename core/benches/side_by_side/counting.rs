//! A store that counts the calls it passes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use directauth::TokenStore;
use directauth::env::{Blob, BoxFuture, StorageKey};
use directauth::error::StoreProblem;

/// How often a store was called, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) load: u32,
    pub(crate) store: u32,
    pub(crate) delete: u32,
    pub(crate) keys: u32,
}

/// Clones share their counts.
#[derive(Clone)]
pub(crate) struct Counting<S> {
    inner: S,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    load: AtomicU32,
    store: AtomicU32,
    delete: AtomicU32,
    keys: AtomicU32,
}

impl<S> Counting<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, counts: Arc::default() }
    }

    /// The calls since the last time, once what works in the background has come to rest.
    pub(crate) fn take(&self) -> Calls {
        const REST: Duration = Duration::from_millis(100);
        let mut seen = self.calls();
        loop {
            std::thread::sleep(REST);
            let calls = self.calls();
            if calls == seen {
                break;
            }
            seen = calls;
        }
        let Counts { load, store, delete, keys } = &*self.counts;
        [load, store, delete, keys].iter().for_each(|count| count.store(0, Ordering::SeqCst));
        seen
    }

    fn calls(&self) -> Calls {
        let Counts { load, store, delete, keys } = &*self.counts;
        let [load, store, delete, keys] = [load, store, delete, keys].map(|count| count.load(Ordering::SeqCst));
        Calls { load, store, delete, keys }
    }
}

impl<S: TokenStore> TokenStore for Counting<S> {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        self.counts.load.fetch_add(1, Ordering::SeqCst);
        self.inner.load(key)
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.counts.store.fetch_add(1, Ordering::SeqCst);
        self.inner.store(key, blob)
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.counts.delete.fetch_add(1, Ordering::SeqCst);
        self.inner.delete(key)
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        self.counts.keys.fetch_add(1, Ordering::SeqCst);
        self.inner.keys()
    }

    fn call_deadline(&self) -> Duration {
        self.inner.call_deadline()
    }

    fn may_block(&self) -> bool {
        self.inner.may_block()
    }
}
