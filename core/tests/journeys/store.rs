//! The store of a vector: in memory, on a device that can be locked, full or damaged; what was ever written is remembered.

use std::sync::{Arc, Mutex, MutexGuard};

use directauth::env::{Blob, BoxFuture, StorageKey};
use directauth::error::StoreProblem;
use directauth::{MemoryStore, TokenStore};

use super::support::world::World;

/// Clones share their content.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    blobs: MemoryStore,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mood: Mood,
    /// Everything that was ever written, as text.
    written: Vec<String>,
    /// So many writes of a session's record are left until the process dies in one.
    until_death: Option<usize>,
    has_stopped: bool,
}

/// What the store does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What it is asked to.
    #[default]
    Works,
    /// It writes no record of a session.
    RefusesSessions,
    /// It writes nothing.
    RefusesWrites,
    /// It deletes no record of a session.
    KeepsSessions,
    /// The device is locked: nothing can be read or written.
    Locked,
}

const SESSION: &str = "session.";

impl Shelf {
    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// The `n`th write of a session's record from now on has its effect and never returns.
    pub(crate) fn stop_at(&self, n: usize) {
        self.state().until_death = Some(n);
    }

    /// Whether that write is there.
    pub(crate) fn has_stopped(&self) -> bool {
        self.state().has_stopped
    }

    /// It works again, for the next process.
    pub(crate) fn go_on(&self) {
        let mut state = self.state();
        state.until_death = None;
        state.has_stopped = false;
    }

    /// Everything that was ever written.
    pub(crate) fn written(&self) -> String {
        self.state().written.join("\n")
    }

    /// How many blobs there are of one kind: `session`, `ended`, `owed`.
    pub(crate) fn count(&self, kind: &str, world: &World) -> usize {
        let keys = world.run(self.blobs.keys()).expect("memory");
        keys.iter().filter(|key| key.as_str().split('.').next() == Some(kind)).count()
    }

    /// One byte of every session's record is not what it was.
    pub(crate) fn damage(&self, world: &World) {
        for key in world.run(self.blobs.keys()).expect("memory") {
            if !key.as_str().starts_with(SESSION) {
                continue;
            }
            let blob = world.run(self.blobs.load(&key)).expect("memory").expect("it was listed");
            let mut bytes = blob.expose().to_vec();
            *bytes.last_mut().expect("not empty") ^= 1;
            world.run(self.blobs.store(&key, &Blob::new(bytes))).expect("memory");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

fn refused<'a, T: Send + 'a>(problem: StoreProblem) -> BoxFuture<'a, Result<T, StoreProblem>> {
    Box::pin(std::future::ready(Err(problem)))
}

impl TokenStore for Shelf {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        match self.state().mood {
            Mood::Locked => refused(StoreProblem::Locked),
            _ => self.blobs.load(key),
        }
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        let mut state = self.state();
        let is_session = key.as_str().starts_with(SESSION);
        match state.mood {
            Mood::Locked => return refused(StoreProblem::Locked),
            Mood::RefusesWrites => return refused(StoreProblem::Transient),
            Mood::RefusesSessions if is_session => return refused(StoreProblem::Transient),
            _ => {}
        }
        state.written.push(String::from_utf8_lossy(blob.expose()).into_owned());
        let done = self.blobs.store(key, blob);
        if is_session && let Some(left) = &mut state.until_death {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.has_stopped = true;
                return Box::pin(std::future::pending());
            }
        }
        done
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        match self.state().mood {
            Mood::Locked => refused(StoreProblem::Locked),
            Mood::KeepsSessions if key.as_str().starts_with(SESSION) => refused(StoreProblem::Transient),
            _ => self.blobs.delete(key),
        }
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        match self.state().mood {
            Mood::Locked => refused(StoreProblem::Locked),
            _ => self.blobs.keys(),
        }
    }

    fn may_block(&self) -> bool {
        false
    }
}
