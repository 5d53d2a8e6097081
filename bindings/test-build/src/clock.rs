//! Simulated clocks. Time jumps to the next timer when everything else waits, and only while a test waits for a call of the
//! library (`begin` and `end`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use directauth::env::{BootInstant, BoxFuture, Clock, WallTime};

use crate::runtime::{calls_under_way, rests};

/// If nothing comes to rest for longer, the test is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// How often it is looked whether everything waits.
const LOOK: Duration = Duration::from_micros(200);
/// How often it has to look the same.
const LOOKS: usize = 10;

/// The clocks of one device. Clones are handles on the same ones.
#[derive(Clone)]
pub(crate) struct Clocks(Arc<Inner>);

struct Inner {
    time: Mutex<Time>,
    /// Requests on the real network and calls of the app's side: while there are any, time stands still.
    in_flight: AtomicUsize,
    waited_for: Mutex<WaitedFor>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitedFor {
    /// Calls of the library that a test waits for.
    calls: usize,
    /// No test will come any more.
    is_over: bool,
}

struct Time {
    wall_millis: i64,
    boot: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_timer: u64,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        let time = Time {
            wall_millis: 1_790_000_000_000,
            boot: Duration::from_secs(1000),
            timers: BTreeMap::new(),
            next_timer: 0,
        };
        let clocks = Self(Arc::new(Inner {
            time: Mutex::new(time),
            in_flight: AtomicUsize::new(0),
            waited_for: Mutex::default(),
            changed: Condvar::new(),
        }));
        let these = clocks.clone();
        std::thread::spawn(move || these.jump_when_waited_for());
        clocks
    }

    fn jump_when_waited_for(&self) {
        loop {
            let waited_for = lock(&self.0.waited_for);
            let nothing = |state: &mut WaitedFor| state.calls == 0 && !state.is_over;
            let waited_for = self.0.changed.wait_while(waited_for, nothing).unwrap_or_else(PoisonError::into_inner);
            if waited_for.is_over {
                return;
            }
            drop(waited_for);
            if self.is_waited_for() && self.is_at_rest() && self.is_waited_for() {
                self.jump(Duration::MAX);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// No test will wait for a call any more.
    pub(crate) fn stop(&self) {
        lock(&self.0.waited_for).is_over = true;
        self.0.changed.notify_all();
    }

    /// A test waits for a call of the library from now on.
    pub(crate) fn begin(&self) {
        let mut waited_for = lock(&self.0.waited_for);
        waited_for.calls += 1;
        self.0.changed.notify_all();
    }

    /// The call has ended.
    pub(crate) fn end(&self) {
        let mut waited_for = lock(&self.0.waited_for);
        waited_for.calls = waited_for.calls.saturating_sub(1);
    }

    /// Whether such a call is still under way in the library, and not just on its way back to the test.
    fn is_waited_for(&self) -> bool {
        let waited_for = lock(&self.0.waited_for);
        waited_for.calls > 0 && calls_under_way() > 0
    }

    /// Whether nothing goes on but by a timer: nobody has moved between several looks, since a thread that is woken needs a moment
    /// to say so.
    fn is_at_rest(&self) -> bool {
        let look = || (self.0.in_flight.load(Ordering::SeqCst) == 0).then(rests).flatten();
        let Some(first) = look() else { return false };
        (0..LOOKS).all(|_| {
            std::thread::sleep(LOOK);
            look() == Some(first)
        })
    }

    /// Waits until nothing goes on but by a timer; false if that never comes.
    pub(crate) fn settle(&self) -> bool {
        let began = Instant::now();
        while !self.is_at_rest() {
            if began.elapsed() > STUCK {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Both clocks go on, as when the device sleeps.
    pub(crate) fn advance(&self, by: Duration) {
        let due = {
            let mut time = lock(&self.0.time);
            time.go(by);
            time.take_due()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Time passes, and what waits for it runs when it is due; false if something never comes to rest.
    pub(crate) fn run(&self, by: Duration) -> bool {
        let until = lock(&self.0.time).boot.saturating_add(by);
        loop {
            if !self.settle() {
                return false;
            }
            if !self.jump(until) {
                let left = until.saturating_sub(lock(&self.0.time).boot);
                self.advance(left);
                return self.settle();
            }
        }
    }

    /// To the next timer, if it is not after `latest`.
    fn jump(&self, latest: Duration) -> bool {
        let due = {
            let mut time = lock(&self.0.time);
            let Some(((at, _), _)) = time.timers.first_key_value() else { return false };
            let at = *at;
            if at > latest {
                return false;
            }
            let by = at.saturating_sub(time.boot);
            time.go(by);
            time.take_due()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall(&self, by_millis: i64) {
        lock(&self.0.time).wall_millis += by_millis;
    }

    pub(crate) fn wall_millis(&self) -> i64 {
        lock(&self.0.time).wall_millis
    }

    /// While it is held time stands still.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(self.clone())
    }
}

pub(crate) struct InFlight(Clocks);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Time {
    fn go(&mut self, by: Duration) {
        self.boot = self.boot.saturating_add(by);
        self.wall_millis = self.wall_millis.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    fn take_due(&mut self) -> Vec<Waker> {
        let later = self.timers.split_off(&(self.boot + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.timers, later).into_values().collect()
    }
}

impl Clock for Clocks {
    fn wall(&self) -> WallTime {
        WallTime::from_millis(self.wall_millis())
    }

    fn boot(&self) -> BootInstant {
        BootInstant::from_boot(lock(&self.0.time).boot)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clocks = self.clone();
        let mut key: Option<(Duration, u64)> = None;
        let timer = Timer { clocks: self.clone(), key: Mutex::new(None) };
        Box::pin(std::future::poll_fn(move |context| {
            let mut time = lock(&clocks.0.time);
            let (at, number) = *key.get_or_insert_with(|| {
                time.next_timer += 1;
                (time.boot.saturating_add(duration), time.next_timer)
            });
            if time.boot >= at {
                return Poll::Ready(());
            }
            time.timers.insert((at, number), context.waker().clone());
            *lock(&timer.key) = Some((at, number));
            Poll::Pending
        }))
    }
}

/// Takes a timer along when its sleeper goes away.
struct Timer {
    clocks: Clocks,
    key: Mutex<Option<(Duration, u64)>>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = *lock(&self.key) {
            lock(&self.clocks.0.time).timers.remove(&key);
        }
    }
}

/// The emulator's clock: it goes with the time, and nobody who sets the device's clock touches it.
pub(crate) struct ServersOwn {
    clocks: Clocks,
    /// Its time minus the boot clock.
    ahead: Duration,
}

impl ServersOwn {
    pub(crate) fn new(clocks: &Clocks, device_ahead_millis: i64) -> Self {
        let now = u64::try_from(clocks.wall_millis().saturating_sub(device_ahead_millis)).unwrap_or_default();
        let ahead = Duration::from_millis(now).saturating_sub(clocks.boot().since_boot());
        Self { clocks: clocks.clone(), ahead }
    }
}

impl directauth_emulator::Clock for ServersOwn {
    fn now(&self) -> Duration {
        self.ahead + self.clocks.boot().since_boot()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
