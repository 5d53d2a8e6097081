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
    engines: Mutex<HashMap<String, Weak<AnyEngine>>>,
    /// The clients, each of which shows who is signed in.
    clients: Mutex<Vec<Weak<AnyEngine>>>,
    /// One write under a key at a time, also when its engine is gone and a late store call is not.
    writes: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
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
        let live = engines.get(id).and_then(Weak::upgrade).and_then(|engine| engine.downcast::<T>().ok());
        if let Some(engine) = live {
            return engine;
        }
        engines.retain(|_, engine| engine.strong_count() > 0);
        let engine = make();
        let weak: Weak<T> = Arc::downgrade(&engine);
        engines.insert(id.to_owned(), weak);
        engine
    }
}

impl SessionTable {
    /// The live engine of `id`.
    pub(crate) fn get<T: Any + Send + Sync>(&self, id: &str) -> Option<Arc<T>> {
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.get(id)?.upgrade()?.downcast().ok()
    }

    /// The right to write under a key.
    pub(crate) fn writes(&self, key: &str) -> Arc<AsyncMutex<()>> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = writes.get(key).and_then(Weak::upgrade) {
            return known;
        }
        writes.retain(|_, known| known.strong_count() > 0);
        let new = Arc::default();
        writes.insert(key.to_owned(), Arc::downgrade(&new));
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
        engines.values().filter_map(|engine| engine.upgrade()?.downcast().ok()).collect()
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable").finish_non_exhaustive()
    }
}
