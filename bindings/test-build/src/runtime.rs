//! Where the library's tasks run in a test, and whether any of them goes on.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// Tasks that outlive their caller: in the real world they have a thread of their own too.
pub(crate) fn background() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(1).thread_name("background").build().ok())
        .as_ref()
}

/// How many calls the library works on.
pub(crate) fn calls_under_way() -> usize {
    directauth_ffi::runtime_handle().map_or(0, |handle| handle.metrics().num_alive_tasks())
}

/// How often the library's threads have gone to rest, if no task of it can go on by itself.
pub(crate) fn rests() -> Option<u64> {
    let handles =
        directauth_ffi::runtime_handle().into_iter().chain(background().map(|runtime| runtime.handle().clone()));
    handles.map(|handle| parked(&handle)).sum()
}

/// How often its workers have gone to rest, if all of them rest and nothing waits for them.
fn parked(handle: &Handle) -> Option<u64> {
    let metrics = handle.metrics();
    let mut rests = 0_u64;
    for worker in 0..metrics.num_workers() {
        let count = metrics.worker_park_unpark_count(worker);
        // Odd: it is parked.
        if count.is_multiple_of(2) {
            return None;
        }
        rests = rests.wrapping_add(count);
    }
    (metrics.global_queue_depth() == 0).then_some(rests)
}
