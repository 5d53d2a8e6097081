//! Every effect of the library, behind traits: network, storage, time, tasks, randomness, and the sessions of a process.
//!
//! The rest of the crate gets all of them from one [`Environment`], so a test can replace the whole world and stop the
//! library at any point. Apps never need this module: [`Client::builder`](crate::Client::builder) uses
//! [`Environment::system`].

mod clock;
mod file_lock;
mod file_store;
mod http;
mod lock;
mod pins;
mod proxy;
mod runtime;
mod sessions;
mod signing;
mod store;
mod tls;
mod transport;

use std::sync::Arc;

pub use clock::{BootInstant, Clock, SystemClock, WallTime};
pub use file_lock::FileLock;
pub use file_store::FileStore;
pub use http::HttpTransport;
pub use lock::{CrossProcessLock, LockProblem};
pub use pins::{Pin, Pins};
pub use proxy::Proxy;
pub use runtime::{Randomness, Spawner, SystemRandomness, SystemSpawner};
pub use sessions::SessionTable;
pub use signing::SigningKey;
pub(crate) use signing::SoftwareKey;
pub use store::{Blob, MemoryStore, StorageKey, TokenStore};
pub use tls::Trust;
pub use transport::{
    Conversation, HeaderValue, HttpRequest, HttpResponse, Method, NetworkOptions, Transport, TransportError,
    TransportProblem,
};

/// A boxed future, as the traits of this module return them.
pub type BoxFuture<'a, T> = core::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything the library can do to the outside world, except the token store, which each client is given.
#[derive(Clone)]
pub struct Environment {
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Wall clock, boot clock and sleeping.
    pub clock: Arc<dyn Clock>,
    /// Where tasks run that outlive their caller.
    pub spawner: Arc<dyn Spawner>,
    /// Unpredictable bytes.
    pub randomness: Arc<dyn Randomness>,
    /// The live sessions of this process: one engine for each, whatever client asks.
    pub sessions: Arc<SessionTable>,
}

impl Environment {
    /// The real world: reqwest on rustls, the system's clocks and random numbers, one background thread, and the session
    /// table of this process. Starts nothing and reads nothing yet.
    pub fn system(options: NetworkOptions) -> Self {
        Self {
            transport: Arc::new(HttpTransport::new(options)),
            clock: Arc::new(SystemClock),
            spawner: Arc::new(SystemSpawner),
            randomness: Arc::new(SystemRandomness::default()),
            sessions: SessionTable::of_this_process(),
        }
    }
}
