//! The cross-process lock as one process uses it: taken once, shared by whatever needs it, given back when nobody does.
//! docs/sessions.md §5.2, §5.8, §8.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use futures_util::lock::{Mutex as AsyncMutex, MutexGuard};

use crate::env::{Clock, CrossProcessLock, LockProblem, Spawner};

/// Beyond its own time limit the foreign lock gets this long to say so.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Gate {
    lock: Arc<dyn CrossProcessLock>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    /// One acquires at a time.
    slot: AsyncMutex<Slot>,
}

#[derive(Default)]
struct Slot {
    held: Weak<Hold>,
    /// Ends when the last hold has been given back.
    released: Option<oneshot::Receiver<()>>,
}

/// The lock is ours for as long as one of these lives, unless it is lost.
pub(crate) struct Hold {
    gate: Arc<Gate>,
    /// How often it was lost and taken again.
    lost: AtomicU64,
    released: Option<oneshot::Sender<()>>,
}

impl Gate {
    pub(crate) fn new(lock: Arc<dyn CrossProcessLock>, clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>) -> Self {
        Self { lock, clock, spawner, slot: AsyncMutex::default() }
    }

    /// The hold of this process, or a new one. Waits at most `timeout` for another process, and for others of this one.
    async fn hold(self: &Arc<Self>, timeout: Duration) -> Result<Arc<Hold>, LockProblem> {
        let began = self.clock.boot();
        let left = || timeout.saturating_sub(self.clock.boot().since(began));
        let Some(mut slot) = self.slot(timeout).await else { return Err(LockProblem::TimedOut) };
        if let Some(hold) = slot.held.upgrade() {
            if !self.lock.still_held() {
                // Before it is ours again: whoever has it from before must not take it for whole.
                hold.lost.fetch_add(1, Ordering::SeqCst);
                self.blocking(left(), |lock| async move { lock.release().await }, |()| false).await?;
                self.take(left()).await?;
            }
            return Ok(hold);
        }
        if let Some(released) = &mut slot.released {
            // What hangs there is not waited for without end; it is still waited for by the next one.
            let limit = self.clock.sleep(left().saturating_add(GRACE));
            if let Either::Right(_) = select(released, limit).await {
                return Err(LockProblem::TimedOut);
            }
        }
        slot.released = None;
        self.take(left()).await?;
        let (sender, receiver) = oneshot::channel();
        let hold = Arc::new(Hold { gate: Arc::clone(self), lost: AtomicU64::new(0), released: Some(sender) });
        *slot = Slot { held: Arc::downgrade(&hold), released: Some(receiver) };
        Ok(hold)
    }

    /// One after another, but not for longer than `timeout`.
    async fn slot(&self, timeout: Duration) -> Option<MutexGuard<'_, Slot>> {
        if let Some(slot) = self.slot.try_lock() {
            return Some(slot);
        }
        match select(self.slot.lock(), self.clock.sleep(timeout)).await {
            Either::Left((slot, _)) => Some(slot),
            Either::Right(_) => None,
        }
    }

    async fn take(&self, timeout: Duration) -> Result<(), LockProblem> {
        self.blocking(timeout, move |lock| async move { lock.acquire(timeout).await }, Result::is_ok).await?
    }

    /// Runs a call where it may block. One that is late is not waited for; a lock that it takes all the same is given back, and only
    /// that: another attempt may hold it by then.
    async fn blocking<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        timeout: Duration,
        call: impl FnOnce(Arc<dyn CrossProcessLock>) -> F,
        has_taken: fn(&T) -> bool,
    ) -> Result<T, LockProblem> {
        let (done, result) = oneshot::channel();
        let (call, lock) = (call(Arc::clone(&self.lock)), Arc::clone(&self.lock));
        self.spawner.spawn_blocking(Box::pin(async move {
            if done.send(call.await).is_err_and(|late| has_taken(&late)) {
                lock.release().await;
            }
        }));
        match select(result, self.clock.sleep(timeout.saturating_add(GRACE))).await {
            Either::Left((result, _)) => result.map_err(|_| LockProblem::Failed),
            // One that came in the same moment counts: nobody else would give it back.
            Either::Right((_, mut result)) => {
                result.close();
                result.try_recv().ok().flatten().ok_or(LockProblem::TimedOut)
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (lock, released) = (Arc::clone(&self.gate.lock), self.released.take());
        self.gate.spawner.spawn_blocking(Box::pin(async move {
            lock.release().await;
            drop(released);
        }));
    }
}

/// The right to refresh and to write a session, as far as other processes go. Without a lock it is always there.
pub(crate) struct Exclusion {
    gate: Option<Arc<Gate>>,
    hold: Option<Arc<Hold>>,
    lost: u64,
}

impl Exclusion {
    /// Where there is no lock, or nothing is to be sent or written.
    pub(crate) fn none() -> Self {
        Self { gate: None, hold: None, lost: 0 }
    }

    pub(crate) async fn acquire(gate: Option<&Arc<Gate>>, timeout: Duration) -> Result<Self, LockProblem> {
        let Some(gate) = gate else { return Ok(Self::none()) };
        let hold = gate.hold(timeout).await?;
        let lost = hold.lost.load(Ordering::SeqCst);
        Ok(Self { gate: Some(Arc::clone(gate)), hold: Some(hold), lost })
    }

    /// Whether nobody else can have refreshed or written since it was acquired, or renewed.
    pub(crate) fn is_whole(&self) -> bool {
        match (&self.gate, &self.hold) {
            _ if planted!(KeepsLostLock) => true,
            (Some(gate), Some(hold)) => gate.lock.still_held() && hold.lost.load(Ordering::SeqCst) == self.lost,
            _ => true,
        }
    }

    /// Takes it again if it was lost: then `true`, and the record has to be read again.
    pub(crate) async fn renew(&mut self, timeout: Duration) -> Result<bool, LockProblem> {
        if self.is_whole() {
            return Ok(false);
        }
        *self = Self::acquire(self.gate.as_ref(), timeout).await?;
        Ok(true)
    }

    /// Keeps the lock for as long as what this returns lives.
    pub(crate) fn keep(&self) -> Option<Arc<Hold>> {
        self.hold.clone()
    }
}
