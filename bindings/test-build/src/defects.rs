//! Defects on purpose: what becomes of a panic, and of a result that nobody takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use directauth_ffi::{AuthError, finish, finish_now};

/// Text that must not be seen by anybody.
const SECRET: &str = "hunter2";

/// Calls that fail in ways the library never should.
#[derive(uniffi::Object, Default)]
pub struct TestDefects;

#[uniffi::export]
impl TestDefects {
    /// Makes some.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }

    /// Panics where a call that waits works.
    pub async fn panic(&self) -> Result<(), AuthError> {
        finish(async { panic!("the password is {SECRET}") }).await
    }

    /// Panics in a call that does not wait.
    pub fn panic_now(&self) -> Result<(), AuthError> {
        finish_now(|| panic!("the password is {SECRET}"))
    }

    /// A result that is ready after so many turns of the runtime.
    pub async fn counted(&self, turns: i32) -> Result<Arc<Counted>, AuthError> {
        finish(async move {
            for _ in 0..turns {
                std::future::poll_fn({
                    let mut yielded = false;
                    move |context| {
                        if core::mem::replace(&mut yielded, true) {
                            return std::task::Poll::Ready(());
                        }
                        context.waker().wake_by_ref();
                        std::task::Poll::Pending
                    }
                })
                .await;
            }
            Ok(Counted::new())
        })
        .await
    }

    /// How many results somebody holds.
    pub fn held(&self) -> i64 {
        HELD.load(Ordering::SeqCst)
    }
}

static HELD: AtomicI64 = AtomicI64::new(0);

/// A result that is counted while it is held.
#[derive(uniffi::Object)]
pub struct Counted(());

impl Counted {
    fn new() -> Arc<Self> {
        HELD.fetch_add(1, Ordering::SeqCst);
        Arc::new(Self(()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::SeqCst);
    }
}
