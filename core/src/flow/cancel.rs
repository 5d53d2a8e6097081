//! One sign-in's "stop now", heard by whoever waits.

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared;
use std::sync::{Mutex, PoisonError};

pub(super) struct Cancellation {
    switch: Mutex<Option<oneshot::Sender<()>>>,
    heard: Shared<oneshot::Receiver<()>>,
}

impl Cancellation {
    pub(super) fn new() -> Self {
        let (switch, heard) = oneshot::channel();
        Self { switch: Mutex::new(Some(switch)), heard: heard.shared() }
    }

    /// For good; again does nothing.
    pub(super) fn cancel(&self) {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Completes when cancelled.
    pub(super) async fn cancelled(&self) {
        let _ = self.heard.clone().await;
    }
}
