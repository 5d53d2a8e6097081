//! Simulated clocks, spawner and executor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use directauth::env::{
    BootInstant, BoxFuture, Clock, Conversation, Environment, HttpRequest, HttpResponse, Randomness, SessionTable,
    Spawner, Transport, TransportError, WallTime,
};

/// If the real network is silent for longer, the test is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// One device: its clocks and tasks. Clones are handles on the same device.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    time: Mutex<Time>,
    tasks: Mutex<Vec<Task>>,
    incoming: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// Requests on the real network: while there are any, time stands still.
    in_flight: AtomicUsize,
    seed: Mutex<u64>,
    bell: Arc<Bell>,
}

struct Time {
    wall_millis: i64,
    boot: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_timer: u64,
}

struct Task {
    future: BoxFuture<'static, ()>,
    flag: Arc<Flag>,
}

/// Rings when any task can go on.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

struct Flag {
    ready: AtomicBool,
    bell: Arc<Bell>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.ready.store(true, Ordering::SeqCst);
        *lock(&self.bell.rung) = true;
        self.bell.heard.notify_all();
    }
}

impl World {
    pub fn new() -> Self {
        Self::starting_at(1_790_000_000_000)
    }

    pub fn starting_at(wall_millis: i64) -> Self {
        let time = Time { wall_millis, boot: Duration::from_secs(1000), timers: BTreeMap::new(), next_timer: 0 };
        Self(Arc::new(Inner {
            time: Mutex::new(time),
            tasks: Mutex::default(),
            incoming: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            seed: Mutex::new(1),
            bell: Arc::default(),
        }))
    }

    /// The environment of one process on this device.
    pub fn environment(&self, transport: impl Transport + 'static) -> Environment {
        Environment {
            transport: Arc::new(transport),
            clock: Arc::new(self.clone()),
            spawner: Arc::new(self.clone()),
            randomness: Arc::new(self.clone()),
            sessions: SessionTable::new(),
        }
    }

    /// Both clocks go on, as when the device sleeps.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut time = lock(&self.0.time);
            time.boot += by;
            time.wall_millis += i64::try_from(by.as_millis()).expect("a short time");
            time.take_due()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, by_millis: i64) {
        lock(&self.0.time).wall_millis += by_millis;
    }

    /// The device starts anew: the boot clock begins again, every task is gone.
    pub fn reboot(&self) {
        self.kill();
        lock(&self.0.time).boot = Duration::from_secs(10);
    }

    /// The process dies: every task and timer of it is gone.
    pub fn kill(&self) {
        lock(&self.0.tasks).clear();
        lock(&self.0.incoming).clear();
        lock(&self.0.time).timers.clear();
        self.0.in_flight.store(0, Ordering::SeqCst);
    }

    pub fn wall_millis(&self) -> i64 {
        lock(&self.0.time).wall_millis
    }

    /// Runs `main` to its end; time jumps to the next timer whenever nothing else can happen.
    pub fn run<T>(&self, main: impl Future<Output = T>) -> T {
        self.try_run(main, || false).expect("nothing stops this run")
    }

    /// As [`run`](World::run), but looks at `stop` between any two polls; `None` if it said so.
    pub fn try_run<T>(&self, main: impl Future<Output = T>, stop: impl Fn() -> bool) -> Option<T> {
        let mut main = pin!(main);
        let flag = Arc::new(Flag { ready: AtomicBool::new(true), bell: Arc::clone(&self.0.bell) });
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            if stop() {
                return None;
            }
            *lock(&self.0.bell.rung) = false;
            let mut moved = false;
            if flag.ready.swap(false, Ordering::SeqCst) {
                moved = true;
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(value);
                }
            }
            moved |= self.poll_tasks(&stop);
            if !moved {
                self.wait();
            }
        }
    }

    /// Lets spawned tasks run, and their requests end, until all wait; without letting time pass.
    pub fn settle(&self) {
        loop {
            *lock(&self.0.bell.rung) = false;
            if self.poll_tasks(&|| false) {
                continue;
            }
            if self.0.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.wait();
        }
    }

    fn poll_tasks(&self, stop: &impl Fn() -> bool) -> bool {
        let incoming: Vec<_> = lock(&self.0.incoming).drain(..).collect();
        for future in incoming {
            let flag = Arc::new(Flag { ready: AtomicBool::new(true), bell: Arc::clone(&self.0.bell) });
            lock(&self.0.tasks).push(Task { future, flag });
        }
        let mut moved = false;
        let mut tasks: Vec<Task> = lock(&self.0.tasks).drain(..).collect();
        tasks.retain_mut(|task| {
            if stop() || !task.flag.ready.swap(false, Ordering::SeqCst) {
                return true;
            }
            moved = true;
            let waker = Waker::from(Arc::clone(&task.flag));
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        let mut kept = lock(&self.0.tasks);
        tasks.append(&mut kept);
        *kept = tasks;
        moved
    }

    /// Everything waits: for the network, or else for the next timer.
    fn wait(&self) {
        if self.0.in_flight.load(Ordering::SeqCst) > 0 {
            let rung = lock(&self.0.bell.rung);
            let (rung, timeout) =
                self.0.bell.heard.wait_timeout_while(rung, STUCK, |rung| !*rung).expect("nobody panics with the bell");
            drop(rung);
            assert!(!timeout.timed_out(), "the network is silent and no deadline ended the request");
            return;
        }
        if *lock(&self.0.bell.rung) {
            return;
        }
        let due = {
            let mut time = lock(&self.0.time);
            let Some(((at, _), _)) = time.timers.first_key_value() else {
                drop(time);
                panic!("everything waits and no timer is set: a deadlock");
            };
            let by = at.saturating_sub(time.boot);
            time.boot += by;
            time.wall_millis += i64::try_from(by.as_millis()).expect("a short time");
            time.take_due()
        };
        due.into_iter().for_each(Waker::wake);
    }
}

impl Time {
    fn take_due(&mut self) -> Vec<Waker> {
        let later = self.timers.split_off(&(self.boot + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.timers, later).into_values().collect()
    }
}

impl Clock for World {
    fn wall(&self) -> WallTime {
        WallTime::from_millis(lock(&self.0.time).wall_millis)
    }

    fn boot(&self) -> BootInstant {
        BootInstant::from_boot(lock(&self.0.time).boot)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let world = self.clone();
        let mut key: Option<(Duration, u64)> = None;
        let guard = TimerGuard { world: world.clone(), key: Mutex::new(None) };
        Box::pin(std::future::poll_fn(move |context| {
            let mut time = lock(&world.0.time);
            let (at, number) = *key.get_or_insert_with(|| {
                time.next_timer += 1;
                (time.boot.saturating_add(duration), time.next_timer)
            });
            if time.boot >= at {
                return Poll::Ready(());
            }
            time.timers.insert((at, number), context.waker().clone());
            *lock(&guard.key) = Some((at, number));
            Poll::Pending
        }))
    }
}

/// Takes a timer along when its sleeper goes away.
struct TimerGuard {
    world: World,
    key: Mutex<Option<(Duration, u64)>>,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        if let Some(key) = *lock(&self.key) {
            lock(&self.world.0.time).timers.remove(&key);
        }
    }
}

impl Spawner for World {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        lock(&self.0.incoming).push(task);
        *lock(&self.0.bell.rung) = true;
        self.0.bell.heard.notify_all();
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }
}

/// Blocking calls on threads of their own, as in the real world. Simulated time stands still while one of them runs, unless
/// it [`hangs`].
pub struct Threads(pub World);

thread_local! {
    static CALL: RefCell<Option<InFlight>> = const { RefCell::new(None) };
}

impl Spawner for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        let call = InFlight::begin(&self.0);
        std::thread::spawn(move || {
            CALL.set(Some(call));
            futures_executor::block_on(task);
            hangs();
        });
    }
}

/// The blocking call on this thread is not going to return soon: time goes on without it.
pub fn hangs() {
    if let Some(call) = CALL.take() {
        let bell = Arc::clone(&call.0.0.bell);
        drop(call);
        *lock(&bell.rung) = true;
        bell.heard.notify_all();
    }
}

impl Randomness for World {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        let mut seed = lock(&self.0.seed);
        for byte in bytes {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*seed >> 56) as u8;
        }
        true
    }
}

/// The emulator lives in the same time.
impl directauth_emulator::Clock for World {
    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.wall_millis()).expect("after 1970"))
    }
}

/// A real transport; simulated time stands still while one of its requests is under way.
pub struct Real<T> {
    world: World,
    inner: T,
}

impl<T: Transport> Real<T> {
    pub fn new(world: &World, inner: T) -> Self {
        Self { world: world.clone(), inner }
    }
}

impl<T: Transport> Transport for Real<T> {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        let inner: Arc<dyn Conversation> = Arc::from(self.inner.conversation()?);
        Ok(Box::new(RealConversation { world: self.world.clone(), inner }))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(RealConversation { world: self.world.clone(), inner: self.inner.background() })
    }
}

struct RealConversation {
    world: World,
    inner: Arc<dyn Conversation>,
}

impl Conversation for RealConversation {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let flight = InFlight::begin(&self.world);
        let answer = self.inner.send(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(flight);
            answer
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let flight = InFlight::begin(&self.world);
        let closed = self.inner.close();
        Box::pin(async move {
            closed.await;
            drop(flight);
        })
    }
}

struct InFlight(World);

impl InFlight {
    fn begin(world: &World) -> Self {
        world.0.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(world.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let _ = self.0.0.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
