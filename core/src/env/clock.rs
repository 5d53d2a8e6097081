//! Two clocks: the wall clock, which users set, and the boot clock, which counts sleep and only goes forward.
//!
//! Deadlines and intervals use the boot clock (protocol.md rows 133–134), timestamps for others use the wall clock.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use super::BoxFuture;

/// A moment on the device's wall clock, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(i64);

impl WallTime {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The same moment later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// As the standard library's type; a moment that it cannot hold becomes the epoch.
    pub fn to_system_time(self) -> SystemTime {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        let moment = if self.0 >= 0 { UNIX_EPOCH.checked_add(distance) } else { UNIX_EPOCH.checked_sub(distance) };
        moment.unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for WallTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => Self(millis(before.duration()).saturating_neg()),
        }
    }
}

/// A moment on the boot clock: time since the device started, sleep included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// From the time since the device started.
    pub const fn from_boot(since: Duration) -> Self {
        Self(since)
    }

    /// The time since the device started.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// The same moment later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this is; zero if it is not after it (row 375: a clock that goes backwards is no panic).
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clocks of a device.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> WallTime;
    /// The boot clock.
    fn boot(&self) -> BootInstant;
    /// Completes after `duration`. It may complete later (the device slept), so callers look at [`boot`](Clock::boot) again.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clocks of the machine this runs on.
///
/// The boot clock is `CLOCK_BOOTTIME` on Linux and Android, `CLOCK_MONOTONIC` on Apple systems (where it counts sleep),
/// and `std::time::Instant` elsewhere. `Instant` on Linux stops while the device sleeps, hence not that.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> WallTime {
        SystemTime::now().into()
    }

    fn boot(&self) -> BootInstant {
        BootInstant(boot_time())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        super::runtime::sleep(duration)
    }
}

#[cfg(unix)]
fn boot_time() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos.min(999_999_999))
}

#[cfg(not(unix))]
fn boot_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_survives_both_ends_of_time() {
        for millis in [0, 1, -1, 1_790_000_000_123, -5_000, i64::MAX, i64::MIN] {
            let time = WallTime::from_millis(millis);
            let _ = time.to_system_time();
            assert!(time.plus(Duration::MAX) >= time);
        }
        assert_eq!(WallTime::from(WallTime::from_millis(-1500).to_system_time()), WallTime::from_millis(-1500));
        assert_eq!(WallTime::from_millis(-1).as_secs(), -1);
    }

    #[test]
    fn a_boot_clock_that_goes_backwards_counts_as_no_time() {
        let early = BootInstant::from_boot(Duration::from_secs(1));
        let late = BootInstant::from_boot(Duration::from_secs(3));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert!(SystemClock.boot() <= SystemClock.boot());
    }
}
