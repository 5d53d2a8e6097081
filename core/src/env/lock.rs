//! The lock that two processes of one store share (docs/sessions.md §8).

use core::time::Duration;

use super::BoxFuture;

/// Excludes the other processes that use the same store while a session is refreshed or written.
///
/// The operating system must free it when its holder dies, however it dies: otherwise a crash would keep every other process
/// from refreshing. A lock on a file in the shared container does that ([`FileLock`](super::FileLock)). It also has to
/// exclude another `CrossProcessLock` of the same process on the same store. On iOS the lock is held and the refresh runs
/// inside `performExpiringActivity`; its expiry releases the lock, and `still_held` says so from then on.
///
/// One call at a time, except after an `acquire` that took 5 s longer than its time limit; one that comes too late and
/// succeeds all the same is followed by a `release`.
pub trait CrossProcessLock: Send + Sync {
    /// Takes the lock; waits at most `timeout` for another process to release it. May block its thread: it is called where
    /// that harms nobody.
    ///
    /// # Errors
    /// [`LockProblem::TimedOut`]: another process still holds it. [`LockProblem::Failed`]: it cannot be taken at all.
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>>;
    /// Gives it back; no error if it was lost.
    fn release(&self) -> BoxFuture<'_, ()>;
    /// Whether it has been held without a gap since `acquire`. Asked before every send and every write: quick, never blocks.
    fn still_held(&self) -> bool;
}

/// Why a lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockProblem {
    /// Another process still holds it.
    #[error("another process holds the lock")]
    TimedOut,
    /// The lock cannot be taken: its file cannot be opened, or the platform refuses.
    #[error("the lock cannot be taken")]
    Failed,
}
