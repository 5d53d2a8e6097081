//! One sign-in's "stop now", heard by whoever waits, until the point of no return.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared;

/// Running, then cancelled or committed, for good.
pub(super) struct Cancellation {
    switch: Mutex<Switch>,
    heard: Shared<oneshot::Receiver<()>>,
}

enum Switch {
    Running(oneshot::Sender<()>),
    Cancelled,
    /// The session is being stored; its sender stays, so that nobody hears of a cancellation.
    Committed(oneshot::Sender<()>),
}

impl Cancellation {
    pub(super) fn new() -> Self {
        let (switch, heard) = oneshot::channel();
        Self { switch: Mutex::new(Switch::Running(switch)), heard: heard.shared() }
    }

    /// Cancels what is still running.
    pub(super) fn cancel(&self) {
        let mut switch = self.switch();
        if let Switch::Running(_) = *switch {
            *switch = Switch::Cancelled;
        }
    }

    /// Does something if it is not cancelled, and so that it cannot be meanwhile.
    pub(super) fn unless_cancelled(&self, then: impl FnOnce()) -> bool {
        let switch = self.switch();
        let goes_on = !matches!(*switch, Switch::Cancelled);
        if goes_on {
            then();
        }
        goes_on
    }

    /// Cancels what is still running, if `may` says so; it is asked so that nothing begins meanwhile.
    pub(super) fn cancel_if(&self, may: impl FnOnce() -> bool) -> bool {
        let mut switch = self.switch();
        let may = may();
        if may && let Switch::Running(_) = *switch {
            *switch = Switch::Cancelled;
        }
        may
    }

    /// The point of no return: `false` if it was cancelled before.
    pub(super) fn commit(&self) -> bool {
        let mut switch = self.switch();
        match core::mem::replace(&mut *switch, Switch::Cancelled) {
            Switch::Running(sender) | Switch::Committed(sender) => {
                *switch = Switch::Committed(sender);
                true
            }
            Switch::Cancelled => false,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(*self.switch(), Switch::Cancelled)
    }

    /// Completes when cancelled.
    pub(super) async fn cancelled(&self) {
        let _ = self.heard.clone().await;
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_cannot_be_cancelled_and_the_other_way_round() {
        let it = Cancellation::new();
        assert!(it.commit());
        it.cancel();
        assert!(!it.is_cancelled() && it.cancelled().now_or_never().is_none());

        let it = Cancellation::new();
        it.cancel();
        assert!(it.is_cancelled() && it.cancelled().now_or_never().is_some());
        assert!(!it.commit() && it.is_cancelled());
    }
}
