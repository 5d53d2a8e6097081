//! Who is signed in, and what happens, as queues that the app's side pulls from: no callback, no cycle, and the bound is here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use directauth::{State, States};
use futures_channel::{mpsc, oneshot};
use futures_util::future::{Either, Shared, select};
use futures_util::lock::Mutex as AsyncMutex;
use futures_util::{FutureExt, StreamExt};

use crate::audit::AuditEvent;
use crate::error::{AuthError, StorageProblem};
use crate::runtime::next;
use crate::session::AuthSession;

/// Who is signed in.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum AuthState {
    /// The storage is being read. Show a splash screen.
    Restoring,
    /// Nobody.
    SignedOut,
    /// Somebody; with several accounts the default one.
    SignedIn {
        /// The session.
        session: Arc<AuthSession>,
    },
    /// It cannot be known now, or never any more, by the reason.
    Unavailable {
        /// What the storage reported.
        reason: StorageProblem,
        /// Whether it can be known later on this device.
        is_temporary: bool,
    },
}

impl From<State> for AuthState {
    fn from(state: State) -> Self {
        match state {
            State::SignedOut => Self::SignedOut,
            State::SignedIn(session) => Self::SignedIn { session: AuthSession::of(session) },
            State::Unavailable(problem) => {
                Self::Unavailable { reason: problem.into(), is_temporary: problem.is_temporary() }
            }
            // And what a newer core may add: wait for the next one.
            _ => Self::Restoring,
        }
    }
}

/// The states from one moment on.
#[derive(uniffi::Object)]
pub struct StateEvents {
    states: Arc<AsyncMutex<States>>,
    end: End,
}

impl StateEvents {
    pub(crate) fn of(states: States) -> Arc<Self> {
        Arc::new(Self { states: Arc::new(AsyncMutex::new(states)), end: End::new() })
    }
}

#[uniffi::export]
impl StateEvents {
    /// The next state: the current one at first, then the newest whenever it is another one. Null once it is cancelled.
    pub async fn next(&self) -> Result<Option<AuthState>, AuthError> {
        let (states, end) = (Arc::clone(&self.states), self.end.clone());
        next(end.before(async { states.lock().await.next().await.into() })).await
    }

    /// Whoever waits for the next one is told that there is none.
    pub fn cancel(&self) {
        self.end.come();
    }
}

/// Events that wait for the app's side; more of them are dropped and counted.
const MAX_QUEUED: usize = 256;

/// What happens from one moment on.
#[derive(uniffi::Object)]
pub struct AuditEvents {
    events: Arc<AsyncMutex<mpsc::Receiver<AuditEvent>>>,
    end: End,
}

#[uniffi::export]
impl AuditEvents {
    /// The next event. Null once it is cancelled.
    pub async fn next(&self) -> Result<Option<AuditEvent>, AuthError> {
        let (events, end) = (Arc::clone(&self.events), self.end.clone());
        Ok(next(end.before(async { events.lock().await.next().await })).await?.flatten())
    }

    /// Whoever waits for the next one is told that there is none.
    pub fn cancel(&self) {
        self.end.come();
    }
}

/// Where the core's events go: to the app's sink if it has one, and to whoever listens.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<Vec<Listener>>>);

struct Listener {
    queue: mpsc::Sender<AuditEvent>,
    dropped: i64,
}

impl Listeners {
    pub(crate) fn listen(&self) -> Arc<AuditEvents> {
        let (queue, events) = mpsc::channel(MAX_QUEUED);
        self.lock().push(Listener { queue, dropped: 0 });
        Arc::new(AuditEvents { events: Arc::new(AsyncMutex::new(events)), end: End::new() })
    }

    /// Tells it to each; those that have gone are forgotten.
    pub(crate) fn tell(&self, event: &AuditEvent) {
        self.lock().retain_mut(|listener| {
            let mut event = event.clone();
            event.dropped_before = event.dropped_before.saturating_add(listener.dropped);
            match listener.queue.try_send(event) {
                Ok(()) => listener.dropped = 0,
                Err(refused) if refused.is_full() => listener.dropped = listener.dropped.saturating_add(1),
                Err(_) => return false,
            }
            true
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a queue, which comes once and stays.
#[derive(Clone)]
struct End {
    came: Shared<oneshot::Receiver<()>>,
    /// Until it has come.
    goes_on: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl End {
    fn new() -> Self {
        let (goes_on, came) = oneshot::channel();
        Self { came: came.shared(), goes_on: Arc::new(Mutex::new(Some(goes_on))) }
    }

    fn come(&self) {
        self.goes_on.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// `None` if it comes first.
    async fn before<T>(self, next: impl Future<Output = T>) -> Option<T> {
        match select(core::pin::pin!(next), self.came).await {
            Either::Left((next, _)) => Some(next),
            Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::time::SystemTime;

    use super::*;
    use crate::audit::{AuditKind, SecurityEvent};

    fn event() -> AuditEvent {
        AuditEvent {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            issuer: "https://acme.example".to_owned(),
            client_id: "app".to_owned(),
            transaction_id: "t".to_owned(),
            user: None,
            kind: AuditKind::Security { event: SecurityEvent::NotBound },
            dropped_before: 2,
        }
    }

    #[test]
    fn what_a_slow_listener_misses_is_counted() {
        let listeners = Listeners::default();
        let slow = listeners.listen();
        // The channel has one place more for each sender.
        for _ in 0..MAX_QUEUED + 1 + 3 {
            listeners.tell(&event());
        }
        let mut queue = slow.events.try_lock().expect("nobody else looks");
        for _ in 0..=MAX_QUEUED {
            assert_eq!(queue.try_recv().expect("it is there").dropped_before, 2);
        }
        assert!(queue.next().now_or_never().is_none());
        listeners.tell(&event());
        let next = queue.try_recv().expect("it is there");
        assert_eq!(next.dropped_before, 2 + 3);
    }

    #[test]
    fn a_listener_that_has_gone_is_forgotten() {
        let listeners = Listeners::default();
        let (here, gone) = (listeners.listen(), listeners.listen());
        drop(gone);
        listeners.tell(&event());
        assert_eq!(listeners.lock().len(), 1);
        drop(here);
        listeners.tell(&event());
        assert!(listeners.lock().is_empty());
    }

    #[test]
    fn the_end_comes_once_and_stays() {
        let end = End::new();
        let waits = end.clone().before(std::future::pending::<()>());
        let mut waits = core::pin::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        end.come();
        end.come();
        assert_eq!(waits.now_or_never(), Some(None));
        assert_eq!(end.before(std::future::pending::<()>()).now_or_never(), Some(None));
    }
}
