//! Who is signed in, as an app shows it: the newest state, always delivered. docs/sessions.md §10.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::BTreeMap;
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
    /// Tells its waker from those of others.
    number: u64,
}

impl States {
    /// The next state: at first the current one, then whenever it has changed. States in between that nobody asked for are
    /// left out; the newest is always given.
    pub async fn next(&mut self) -> State {
        poll_fn(|context| {
            let earlier = {
                let mut inner = self.watch.lock();
                if inner.version > self.seen {
                    self.seen = inner.version;
                    return Poll::Ready(inner.state.clone());
                }
                inner.wakers.insert(self.number, context.waker().clone())
            };
            // Outside the lock: a task may go with its waker, and whatever that holds.
            drop(earlier);
            Poll::Pending
        })
        .await
    }
}

impl Drop for States {
    fn drop(&mut self) {
        let waker = self.watch.lock().wakers.remove(&self.number);
        drop(waker);
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
    /// Of those who wait, one for each.
    wakers: BTreeMap<u64, Waker>,
    observers: u64,
    /// The ticket that was given last, and that of the look whose result is shown.
    given: Ticket,
    shown: Ticket,
}

/// When somebody began to find out who is signed in: what was looked up earlier does not replace what was found out later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        let inner = Inner {
            state: State::Restoring,
            version: 1,
            wakers: BTreeMap::new(),
            observers: 0,
            given: Ticket::default(),
            shown: Ticket::default(),
        };
        Arc::new(Self { inner: Mutex::new(inner), started: AtomicBool::new(false) })
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    pub(crate) fn states(self: &Arc<Self>) -> States {
        let mut inner = self.lock();
        inner.observers = inner.observers.saturating_add(1);
        States { watch: Arc::clone(self), seen: 0, number: inner.observers }
    }

    /// `true` for the first caller only: he begins the restore.
    pub(crate) fn starts(&self) -> bool {
        !self.started.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    /// To be taken before the look whose result is published.
    pub(crate) fn ticket(&self) -> Ticket {
        let mut inner = self.lock();
        inner.given = Ticket(inner.given.0.saturating_add(1));
        inner.given
    }

    /// Shows a state, unless one is shown that was looked up later.
    pub(crate) fn publish(&self, state: State, ticket: Ticket) {
        self.started.store(true, Ordering::SeqCst);
        let (old, wakers) = {
            let mut inner = self.lock();
            if ticket < inner.shown {
                return;
            }
            inner.shown = ticket;
            if inner.state.is_same(&state) {
                return;
            }
            inner.version = inner.version.saturating_add(1);
            (core::mem::replace(&mut inner.state, state), core::mem::take(&mut inner.wakers))
        };
        // Outside the lock: the last handle on a session may go with it.
        drop(old);
        wakers.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
