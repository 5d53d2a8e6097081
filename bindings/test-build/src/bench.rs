//! The same calls from this side of the language boundary, for `scripts/bench`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use directauth_ffi::{AuthError, AuthSession, DirectAuthClient};
use futures_executor::block_on;

/// Makes calls as often as it is told, and says how long they took together.
#[derive(uniffi::Object, Default)]
pub struct TestBench;

#[uniffi::export]
impl TestBench {
    /// Makes one.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }

    /// What does not wait and gives a text.
    pub fn usernames(&self, session: Arc<AuthSession>, times: i32) -> Duration {
        let began = Instant::now();
        for _ in 0..times {
            core::hint::black_box(session.username());
        }
        began.elapsed()
    }

    /// What waits, and is answered without network and storage.
    pub fn access_tokens(&self, session: Arc<AuthSession>, times: i32) -> Result<Duration, AuthError> {
        let began = Instant::now();
        for _ in 0..times {
            core::hint::black_box(block_on(session.access_token())?);
        }
        Ok(began.elapsed())
    }

    /// What waits and reads the app's storage.
    pub fn lists(&self, client: Arc<DirectAuthClient>, times: i32) -> Result<Duration, AuthError> {
        let began = Instant::now();
        for _ in 0..times {
            core::hint::black_box(block_on(client.sessions())?);
        }
        Ok(began.elapsed())
    }
}
