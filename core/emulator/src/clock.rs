//! What time it is for a tenant. Every lifetime, limit and poll interval is measured on its clock, so that a test can
//! let five minutes pass without waiting for them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time as the duration since the Unix epoch.
pub trait Clock: Send + Sync {
    /// The time now, since the Unix epoch.
    fn now(&self) -> Duration;
}

/// The computer's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct VirtualClock(Mutex<Duration>);

impl VirtualClock {
    /// A clock that shows `start` (since the Unix epoch).
    pub fn new(start: Duration) -> Self {
        Self(Mutex::new(start))
    }

    /// A clock that shows the computer's time of this moment.
    pub fn starting_now() -> Self {
        Self::new(SystemClock.now())
    }

    /// Shows `now` from here on.
    pub fn set(&self, now: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(by);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
