//! Who is signed in, as an app shows it: the newest state, always delivered. docs/sessions.md §10.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Session;
use crate::error::StoreProblem;

/// Who is signed in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// The store is being read. Show a splash screen.
    Restoring,
    /// Nobody, certainly. Show the sign-in screen.
    SignedOut,
    /// This user; with several accounts, the default one.
    SignedIn(Session),
    /// The store cannot be read, which does not mean that nobody is signed in. If the reason is temporary
    /// ([`StoreProblem::is_temporary`]), show a locked screen and call
    /// [`notify_foreground`](crate::Client::notify_foreground) when the device is unlocked; otherwise the sign-in screen.
    Unavailable(StoreProblem),
}

impl State {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Restoring, Self::Restoring) | (Self::SignedOut, Self::SignedOut) => true,
            (Self::SignedIn(one), Self::SignedIn(other)) => one.is_same(other),
            (Self::Unavailable(one), Self::Unavailable(other)) => one == other,
            _ => false,
        }
    }
}

/// The states of one client, from the current one on.
pub struct States {
    watch: Arc<Watch>,
    /// Of the state that was given last; 0 before the first.
    seen: u64,
}

impl States {
    /// The next state: at first the current one, then whenever it has changed. States in between that nobody asked for are
    /// left out; the newest is always given.
    pub async fn next(&mut self) -> State {
        poll_fn(|context| {
            let mut inner = self.watch.lock();
            if inner.version > self.seen {
                self.seen = inner.version;
                return Poll::Ready(inner.state.clone());
            }
            if !inner.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                inner.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}

/// Holds the state and wakes who waits for it.
pub(crate) struct Watch {
    inner: Mutex<Inner>,
    /// Whether the first restore was begun.
    started: AtomicBool,
}

struct Inner {
    state: State,
    version: u64,
    wakers: Vec<Waker>,
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        let inner = Inner { state: State::Restoring, version: 1, wakers: Vec::new() };
        Arc::new(Self { inner: Mutex::new(inner), started: AtomicBool::new(false) })
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    pub(crate) fn states(self: &Arc<Self>) -> States {
        States { watch: Arc::clone(self), seen: 0 }
    }

    /// `true` for the first caller only: he begins the restore.
    pub(crate) fn starts(&self) -> bool {
        !self.started.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn publish(&self, state: State) {
        self.started.store(true, Ordering::SeqCst);
        let (old, wakers) = {
            let mut inner = self.lock();
            if inner.state.is_same(&state) {
                return;
            }
            inner.version = inner.version.saturating_add(1);
            (core::mem::replace(&mut inner.state, state), core::mem::take(&mut inner.wakers))
        };
        // Outside the lock: the last handle on a session may go with it.
        drop(old);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
