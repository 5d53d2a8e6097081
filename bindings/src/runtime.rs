//! Where exported work runs: on two threads of this library's own, never on the caller's.
//!
//! What a caller does not wait for any more is dropped there, which is how the core learns that nobody wants it; what the core
//! runs to its end it has put on tasks of its own. A panic becomes `Internal`, and its text stays here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;

use directauth::{Error, Kind};
use futures_channel::oneshot;
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::AuthError;

const WORKERS: usize = 2;

/// `None` if the system gave no thread.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let start = || Builder::new_multi_thread().worker_threads(WORKERS).thread_name("directauth").build().ok();
    RUNTIME.get_or_init(start).as_ref()
}

/// For the test build, whose time stands still while work goes on there.
#[doc(hidden)]
pub fn runtime_handle() -> Option<tokio::runtime::Handle> {
    runtime().map(|runtime| runtime.handle().clone())
}

/// Says where it panicked, and not with which text, which might be about a secret. Of this library alone: each has a standard
/// library of its own.
pub(crate) fn keep_panics_quiet() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location();
            tracing::error!(target: "directauth", place = place.map(tracing::field::display), "a defect of the library");
        }));
    });
}

/// Runs work to its end, or until its caller goes away.
#[doc(hidden)]
pub async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, AuthError> {
    let (tell, told) = oneshot::channel();
    // Of one type for all calls: each type of task is code of its own, together 0.3 MB.
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { drop(tell.send(work.await)) });
    let Some(_task) = start(work) else { return Err(internal()) };
    // Nothing is told by what panicked.
    told.await.unwrap_or_else(|_| Err(Kind::Internal.into())).map_err(AuthError::from)
}

fn start(work: Pin<Box<dyn Future<Output = ()> + Send>>) -> Option<Task> {
    runtime().map(|runtime| Task(runtime.spawn(work)))
}

/// The same for a queue's next item, which is no work: it waits in its caller, and holds up nobody.
pub(crate) async fn next<T>(item: impl Future<Output = T>) -> Result<T, AuthError> {
    AssertUnwindSafe(item).catch_unwind().await.map_err(|_| internal())
}

/// The same for what does not wait.
#[doc(hidden)]
pub fn finish_now<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, AuthError> {
    keep_panics_quiet();
    let result = catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|_| Err(Kind::Internal.into())).map_err(AuthError::from)
}

fn internal() -> AuthError {
    Error::from(Kind::Internal).into()
}

/// Stopped when it is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
