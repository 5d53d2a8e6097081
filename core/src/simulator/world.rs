//! Simulated time and processes: one thread, one task after another, and time that jumps when everything waits.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use crate::env::{BootInstant, BoxFuture, Clock, Randomness, Spawner, WallTime};

/// A process of the device; 0 is the outside: the network, the user, the operating system.
pub(super) type Pid = usize;
pub(super) const OUTSIDE: Pid = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Running,
    Suspended,
    Dead,
}

/// More polls than any case needs.
const MAX_STEPS: usize = 60_000;

#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    time: Mutex<Time>,
    tasks: Mutex<Vec<Task>>,
    incoming: Mutex<Vec<(Pid, BoxFuture<'static, ()>)>>,
    processes: Mutex<Vec<Standing>>,
    seed: Mutex<u64>,
    steps: Mutex<usize>,
}

struct Time {
    wall_millis: i64,
    boot: Duration,
    /// Since the case began; nobody sets it. Timers go by it.
    elapsed: Duration,
    timers: BTreeMap<(Duration, u64), (Pid, Waker)>,
    next_timer: u64,
}

struct Task {
    pid: Pid,
    future: BoxFuture<'static, ()>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub(super) fn new() -> Self {
        let time = Time {
            wall_millis: 1_790_000_000_000,
            boot: Duration::from_secs(1000),
            elapsed: Duration::ZERO,
            timers: BTreeMap::new(),
            next_timer: 0,
        };
        Self(Arc::new(Inner {
            time: Mutex::new(time),
            tasks: Mutex::default(),
            incoming: Mutex::default(),
            processes: Mutex::new(vec![Standing::Running]),
            seed: Mutex::new(1),
            steps: Mutex::new(0),
        }))
    }

    pub(super) fn process(&self) -> Process {
        let mut processes = lock(&self.0.processes);
        processes.push(Standing::Running);
        Process { world: self.clone(), pid: processes.len() - 1 }
    }

    pub(super) fn elapsed(&self) -> Duration {
        lock(&self.0.time).elapsed
    }

    /// Somebody sets the wall clock.
    pub(super) fn set_wall(&self, by_secs: i64) {
        lock(&self.0.time).wall_millis += by_secs * 1000;
    }

    /// The process is gone, with its tasks and timers.
    pub(super) fn kill(&self, pid: Pid) {
        lock(&self.0.processes)[pid] = Standing::Dead;
    }

    /// What a dead process left behind is dropped: not from within one of its own polls.
    fn bury(&self) {
        let dead: Vec<bool> = lock(&self.0.processes).iter().map(|standing| *standing == Standing::Dead).collect();
        let mut gone = Vec::new();
        lock(&self.0.tasks).retain_mut(|task| {
            if dead[task.pid] {
                gone.push(core::mem::replace(&mut task.future, Box::pin(core::future::ready(()))));
            }
            !dead[task.pid]
        });
        lock(&self.0.incoming).retain(|(pid, _)| !dead[*pid]);
        lock(&self.0.time).timers.retain(|_, (pid, _)| !dead[*pid]);
        drop(gone);
    }

    pub(super) fn is_dead(&self, pid: Pid) -> bool {
        lock(&self.0.processes)[pid] == Standing::Dead
    }

    pub(super) fn is_running(&self, pid: Pid) -> bool {
        lock(&self.0.processes)[pid] == Standing::Running
    }

    pub(super) fn suspend(&self, pid: Pid) {
        lock(&self.0.processes)[pid] = Standing::Suspended;
    }

    pub(super) fn wake(&self, pid: Pid) {
        let mut processes = lock(&self.0.processes);
        if processes[pid] == Standing::Suspended {
            processes[pid] = Standing::Running;
        }
    }

    /// The device starts anew, which takes a minute and a half: every process is gone, the boot clock begins again.
    pub(super) fn reboot(&self) {
        for (pid, standing) in lock(&self.0.processes).iter_mut().enumerate() {
            if pid != OUTSIDE {
                *standing = Standing::Dead;
            }
        }
        self.bury();
        self.rest(Duration::from_secs(80));
        lock(&self.0.time).boot = Duration::from_secs(10);
    }

    /// Runs until `main`, which belongs to `pid`, ends; `None` if the process died, or if nothing can ever happen again.
    pub(super) fn run<T>(&self, pid: Pid, main: impl Future<Output = T>) -> Option<T> {
        let mut main = pin!(main);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            self.bury();
            if self.is_dead(pid) {
                return None;
            }
            {
                let mut steps = lock(&self.0.steps);
                *steps += 1;
                assert!(*steps < MAX_STEPS, "endless");
            }
            let mut moved = false;
            if self.is_running(pid) && flag.0.swap(false, Ordering::SeqCst) {
                moved = true;
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(value);
                }
            }
            moved |= self.poll_tasks();
            if !moved && !self.to_next_timer() {
                return None;
            }
        }
    }

    /// Lets time pass, and everything happen that happens meanwhile.
    pub(super) fn rest(&self, duration: Duration) {
        let outside = Process { world: self.clone(), pid: OUTSIDE };
        self.run(OUTSIDE, outside.sleep(duration));
    }

    fn poll_tasks(&self) -> bool {
        let incoming: Vec<_> = lock(&self.0.incoming).drain(..).collect();
        for (pid, future) in incoming {
            let task = Task { pid, future, flag: Arc::new(Flag(AtomicBool::new(true))) };
            lock(&self.0.tasks).push(task);
        }
        let mut moved = false;
        let mut tasks = core::mem::take(&mut *lock(&self.0.tasks));
        tasks.retain_mut(|task| {
            if !self.is_running(task.pid) || !task.flag.0.swap(false, Ordering::SeqCst) {
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

    /// Everybody waits, so time goes on to the next timer of a process that runs.
    fn to_next_timer(&self) -> bool {
        let due: Vec<Waker> = {
            let running: Vec<bool> = lock(&self.0.processes).iter().map(|s| *s == Standing::Running).collect();
            let mut time = lock(&self.0.time);
            let next = time.timers.iter().find(|(_, (pid, _))| running[*pid]).map(|((at, _), _)| *at);
            let Some(at) = next else { return !lock(&self.0.incoming).is_empty() };
            let by = at.saturating_sub(time.elapsed);
            time.boot += by;
            time.elapsed += by;
            time.wall_millis += i64::try_from(by.as_millis()).unwrap();
            let now = time.elapsed;
            let due: Vec<_> = time.timers.keys().filter(|(at, _)| *at <= now).copied().collect();
            due.into_iter().filter_map(|key| time.timers.remove(&key)).map(|(_, waker)| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }
}

/// One process's view of the world: clocks, tasks, randomness.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) world: World,
    pub(super) pid: Pid,
}

impl Process {
    pub(super) fn outside(world: &World) -> Self {
        Self { world: world.clone(), pid: OUTSIDE }
    }
}

impl Clock for Process {
    fn wall(&self) -> WallTime {
        WallTime::from_millis(lock(&self.world.0.time).wall_millis)
    }

    fn boot(&self) -> BootInstant {
        BootInstant::from_boot(lock(&self.world.0.time).boot)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut sleeper = Sleeper { process: self.clone(), duration, timer: None };
        Box::pin(core::future::poll_fn(move |context| sleeper.poll(context)))
    }
}

/// Takes its timer along when it goes away.
struct Sleeper {
    process: Process,
    duration: Duration,
    timer: Option<(Duration, u64)>,
}

impl Sleeper {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut time = lock(&self.process.world.0.time);
        let key = match self.timer {
            Some(key) => key,
            None => {
                time.next_timer += 1;
                *self.timer.insert((time.elapsed.saturating_add(self.duration), time.next_timer))
            }
        };
        if time.elapsed >= key.0 {
            return Poll::Ready(());
        }
        time.timers.insert(key, (self.process.pid, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            lock(&self.process.world.0.time).timers.remove(&key);
        }
    }
}

impl Spawner for Process {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if !self.world.is_dead(self.pid) {
            lock(&self.world.0.incoming).push((self.pid, task));
        }
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }
}

impl Randomness for Process {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        let mut seed = lock(&self.world.0.seed);
        for byte in bytes {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*seed >> 56) as u8;
        }
        true
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
