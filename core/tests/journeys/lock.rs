//! The lock that the processes of a vector share, as the operating system keeps it: taken from a process that dies.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use directauth::CrossProcessLock;
use directauth::env::{BoxFuture, Clock, LockProblem};
use futures_util::future::{Either, select};

use super::support::world::World;

#[derive(Clone)]
pub(crate) struct LockFile {
    world: World,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    holder: Option<String>,
    waiting: Vec<Waker>,
}

impl LockFile {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), state: Arc::default() }
    }

    /// The lock as one process has it.
    pub(crate) fn handle(&self, process: &str) -> Handle {
        Handle { file: self.clone(), process: process.to_owned() }
    }

    /// Nobody holds it any more, if this process did.
    pub(crate) fn taken_from(&self, process: &str) {
        let mut state = self.state.lock().expect("nobody panics with it");
        if state.holder.as_deref() == Some(process) {
            state.holder = None;
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

pub(crate) struct Handle {
    file: LockFile,
    process: String,
}

impl CrossProcessLock for Handle {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        let taken = std::future::poll_fn(|context| {
            let mut state = self.file.state.lock().expect("nobody panics with it");
            if state.holder.is_none() {
                state.holder = Some(self.process.clone());
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        });
        Box::pin(async move {
            match select(taken, self.file.world.sleep(timeout)).await {
                Either::Left(_) => Ok(()),
                Either::Right(_) => Err(LockProblem::TimedOut),
            }
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.file.taken_from(&self.process) })
    }

    fn still_held(&self) -> bool {
        let state = self.file.state.lock().expect("nobody panics with it");
        state.holder.as_deref() == Some(self.process.as_str())
    }
}
