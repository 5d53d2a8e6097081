//! Who is signed in, as a queue that the app's side pulls from: no callback, no cycle, and the bound is here.

use std::sync::{Arc, Mutex, PoisonError};

use directauth::{State, States};
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, Shared, select};
use futures_util::lock::Mutex as AsyncMutex;

use crate::error::{AuthError, StorageProblem};
use crate::runtime::finish;
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
    ended: Shared<oneshot::Receiver<()>>,
    /// Until it is cancelled.
    goes_on: Mutex<Option<oneshot::Sender<()>>>,
}

impl StateEvents {
    pub(crate) fn of(states: States) -> Arc<Self> {
        let (goes_on, ended) = oneshot::channel();
        Arc::new(Self {
            states: Arc::new(AsyncMutex::new(states)),
            ended: ended.shared(),
            goes_on: Mutex::new(Some(goes_on)),
        })
    }
}

#[uniffi::export]
impl StateEvents {
    /// The next state: the current one at first, then the newest whenever it is another one. Null once it is cancelled.
    pub async fn next(&self) -> Result<Option<AuthState>, AuthError> {
        let (states, ended) = (Arc::clone(&self.states), self.ended.clone());
        finish(async move {
            let mut states = states.lock().await;
            let next = core::pin::pin!(states.next());
            Ok(match select(next, ended).await {
                Either::Left((state, _)) => Some(state.into()),
                Either::Right(_) => None,
            })
        })
        .await
    }

    /// Whoever waits for the next one is told that there is none.
    pub fn cancel(&self) {
        self.goes_on.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
