//! Processes on one device: each with sessions and connections of its own, all with the same clocks, which can be moved on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use directauth::env::{
    BootInstant, BoxFuture, Clock, Environment, NetworkOptions, SessionTable, SystemClock, WallTime,
};
use directauth::{Client, ClientBuilder, FileStore, TokenStore, Trust};

use crate::server::Server;

/// The machine's clocks, ahead by what they were moved on; clones go together.
#[derive(Clone, Default)]
pub(crate) struct Ahead(Arc<AtomicU64>);

impl Ahead {
    /// Time goes by; long enough, a session takes the next refresh for another one.
    pub(crate) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).expect("a short time");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn by(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Ahead {
    fn wall(&self) -> WallTime {
        SystemClock.wall().plus(self.by())
    }

    fn boot(&self) -> BootInstant {
        SystemClock.boot().plus(self.by())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(duration)
    }
}

/// A client in a process that has just started, with whatever `configure` adds.
pub(crate) fn start(
    server: &Server,
    clock: &Ahead,
    store: impl TokenStore + 'static,
    configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Client {
    let trust = Trust::Custom(vec![server.authority.clone()]);
    let environment = Environment {
        clock: Arc::new(clock.clone()),
        sessions: SessionTable::new(),
        ..Environment::system(NetworkOptions { trust, ..NetworkOptions::default() })
    };
    let builder = Client::builder(server.issuer.clone(), server.client_id.clone())
        .scopes(["openid", "profile", "offline_access"])
        .store(store)
        .environment(environment);
    configure(builder).build().expect("a valid configuration")
}

/// A temporary folder, gone with this value.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        Self(std::env::temp_dir().join(format!("directauth-bench-{}-{number}", std::process::id())))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::open(&self.0).expect("a folder of its own")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
