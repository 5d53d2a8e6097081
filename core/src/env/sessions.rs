//! The live sessions and the clients of a process: whoever opens a session gets the one engine that works on it.

use core::any::Any;
use core::fmt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use futures_util::lock::Mutex as AsyncMutex;

type AnyEngine = dyn Any + Send + Sync;

/// One engine for each session id, so that two clients of a process never refresh the same session at once.
#[derive(Default)]
pub struct SessionTable {
    engines: Mutex<Weaks<AnyEngine>>,
    /// The clients, each of which shows who is signed in.
    clients: Mutex<Vec<Weak<AnyEngine>>>,
    /// One write under a key at a time, also when its engine is gone and a late store call is not.
    writes: Mutex<Weaks<AsyncMutex<()>>>,
}

/// What lives elsewhere, by name.
struct Weaks<T: ?Sized> {
    all: HashMap<String, Weak<T>>,
    /// When there are so many, the dead ones are removed: seldom enough that it costs each insertion little.
    tidy_at: usize,
}

const FIRST_TIDY: usize = 64;

impl<T: ?Sized> Default for Weaks<T> {
    fn default() -> Self {
        Self { all: HashMap::new(), tidy_at: FIRST_TIDY }
    }
}

impl<T: ?Sized> Weaks<T> {
    fn get(&self, name: &str) -> Option<Arc<T>> {
        self.all.get(name).and_then(Weak::upgrade)
    }

    fn insert(&mut self, name: &str, weak: Weak<T>) {
        if self.all.len() >= self.tidy_at {
            self.all.retain(|_, known| known.strong_count() > 0);
            self.tidy_at = self.all.len().saturating_mul(2).max(FIRST_TIDY);
        }
        self.all.insert(name.to_owned(), weak);
    }

    fn live(&self) -> impl Iterator<Item = Arc<T>> {
        self.all.values().filter_map(Weak::upgrade)
    }
}

impl SessionTable {
    /// An empty table: in a test, another process.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The table that all clients of this process share.
    pub fn of_this_process() -> Arc<Self> {
        static TABLE: OnceLock<Arc<SessionTable>> = OnceLock::new();
        Arc::clone(TABLE.get_or_init(SessionTable::new))
    }

    /// The live engine of `id`, or the one that `make` makes, which then is it.
    pub(crate) fn get_or_insert<T: Any + Send + Sync>(&self, id: &str, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(id).and_then(|engine| engine.downcast::<T>().ok()) {
            return engine;
        }
        let engine = make();
        let weak: Weak<T> = Arc::downgrade(&engine);
        engines.insert(id, weak);
        engine
    }
}

impl SessionTable {
    /// The live engine of `id`.
    pub(crate) fn get<T: Any + Send + Sync>(&self, id: &str) -> Option<Arc<T>> {
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.get(id)?.downcast().ok()
    }

    /// The right to write under a key.
    pub(crate) fn writes(&self, key: &str) -> Arc<AsyncMutex<()>> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = writes.get(key) {
            return known;
        }
        let new = Arc::default();
        writes.insert(key, Arc::downgrade(&new));
        new
    }

    /// From here on one of [`clients`](Self::clients).
    pub(crate) fn joins<T: Any + Send + Sync>(&self, client: &Arc<T>) {
        let weak: Weak<T> = Arc::downgrade(client);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(weak);
    }

    /// All clients of the process.
    pub(crate) fn clients<T: Any + Send + Sync>(&self) -> Vec<Arc<T>> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(|client| client.upgrade()?.downcast().ok()).collect()
    }

    /// All live engines.
    pub(crate) fn live<T: Any + Send + Sync>(&self) -> Vec<Arc<T>> {
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.live().filter_map(|engine| engine.downcast().ok()).collect()
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable").finish_non_exhaustive()
    }
}
