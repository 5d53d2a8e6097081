//! Tasks, timers and random numbers of the shipped environment.
//!
//! One background thread with a small runtime, started by the first use and kept for the life of the process: it runs
//! what must outlive its caller (a refresh, a revocation) and every timer. Futures of the public API run on any executor.

use core::time::Duration;
use std::sync::OnceLock;

use futures_channel::oneshot;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::{Builder, Handle};

use super::BoxFuture;

/// Runs tasks that outlive their caller.
pub trait Spawner: Send + Sync {
    /// Runs `task` to its end, whoever waits for it. Must neither poll it nor block before it returns.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Runs `task`, whose polls may block (a keystore that waits for the user), away from every other task.
    fn spawn_blocking(&self, task: BoxFuture<'static, ()>);
}

/// A source of unpredictable bytes.
pub trait Randomness: Send + Sync {
    /// Fills `bytes`; `false` if the system has none to give.
    fn fill(&self, bytes: &mut [u8]) -> bool;
}

/// Tasks run on the library's background thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSpawner;

impl Spawner for SystemSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Some(handle) = background() {
            handle.spawn(async move {
                task.await;
                scrub_stack();
            });
        }
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        if let Some(handle) = background() {
            handle.spawn_blocking(move || {
                handle.block_on(task);
                scrub_stack();
            });
        }
    }
}

/// The operating system's random numbers.
#[derive(Debug)]
pub struct SystemRandomness(SystemRandom);

impl Default for SystemRandomness {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        self.0.fill(bytes).is_ok()
    }
}

pub(super) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    let until = tokio::time::Instant::now().checked_add(duration);
    // Set only when somebody waits: most deadlines are kept.
    Box::pin(async move {
        let (done, waiting) = oneshot::channel();
        if let Some(handle) = background() {
            handle.spawn(async move {
                let mut done = done;
                // A sleeper that went away takes its timer with it.
                let timer = core::pin::pin!(async {
                    match until {
                        Some(until) => tokio::time::sleep_until(until).await,
                        None => core::future::pending().await,
                    }
                });
                let gone = core::pin::pin!(done.cancellation());
                futures_util::future::select(timer, gone).await;
                let _ = done.send(());
            });
        }
        let _ = waiting.await;
    })
}

/// How deep the library's tasks reach below their first frame. Each page that a new thread touches costs a page fault, so
/// no deeper; frames of unoptimised code are larger.
const DEPTH: usize = if cfg!(debug_assertions) { 256 } else { 64 } * 1024;

/// Overwrites the dead frames below this one: hash functions and ciphers leave their last block there, and these threads
/// live on. Deeper than any task of the library reaches.
#[inline(never)]
pub(super) fn scrub_stack() {
    // What may be looked at has to be written, and by a fill instead of byte after byte: this runs after every task.
    let frame = [0_u8; DEPTH];
    core::hint::black_box(&frame);
}

/// The background runtime's handle; `None` only if the system refuses a thread.
pub(super) fn background() -> Option<&'static Handle> {
    static BACKGROUND: OnceLock<Option<Handle>> = OnceLock::new();
    BACKGROUND.get_or_init(start).as_ref()
}

/// Store calls, header providers, audit sinks and name resolutions at once, of all clients: more than a few of them can hold
/// when the app's own code hangs. An idle thread ends after some seconds.
const MAX_BLOCKED: usize = 256;

fn start() -> Option<Handle> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(MAX_BLOCKED).build().ok()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("directauth".to_owned())
        .spawn(move || runtime.block_on(core::future::pending::<()>()))
        .ok()?;
    Some(handle)
}
