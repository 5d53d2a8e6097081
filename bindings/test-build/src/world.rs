//! A device and a server in one simulated time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use directauth::Trust;
use directauth::env::{
    BoxFuture, Conversation, Environment, HttpRequest, HttpResponse, HttpTransport, NetworkOptions, SessionTable,
    Spawner, SystemRandomness, Transport, TransportError,
};
use directauth_emulator::{Emulator, Settings, Tenant};
use directauth_ffi::{AuthError, ClientSetup, DirectAuthClient};
use tokio::task::AbortHandle;

use crate::clock::{Clocks, ServersOwn, lock};
use crate::runtime::background;

/// A world could not be made, or has come to no rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum WorldException {
    /// The emulator does not start, or has no control port.
    #[error("the emulator does not start")]
    NoEmulator,
    /// Something goes on for more than a minute of real time.
    #[error("something never comes to rest")]
    Stuck,
}

/// A device, and a tenant of an emulator that runs in this process, in one simulated time. It jumps to the next timer when everything
/// waits, but only between [`begin`](TestWorld::begin) and [`end`](TestWorld::end).
#[derive(uniffi::Object)]
pub struct TestWorld {
    clocks: Clocks,
    tenant: Tenant,
    control: String,
    connect_timeout: Duration,
    processes: Mutex<BTreeMap<String, Process>>,
}

#[derive(Clone)]
struct Process {
    sessions: Arc<SessionTable>,
    tasks: Arc<Mutex<Option<Vec<AbortHandle>>>>,
}

fn emulator() -> Option<&'static Emulator> {
    static EMULATOR: OnceLock<Option<Emulator>> = OnceLock::new();
    EMULATOR.get_or_init(|| Emulator::builder().control(true).start().ok()).as_ref()
}

#[uniffi::export]
impl TestWorld {
    /// A new device, whose wall clock is ahead of the server's by so much, and a new tenant.
    #[uniffi::constructor(default(device_clock_ahead_millis = 0, connect_timeout = None))]
    pub fn new(device_clock_ahead_millis: i64, connect_timeout: Option<Duration>) -> Result<Arc<Self>, WorldException> {
        let emulator = emulator().ok_or(WorldException::NoEmulator)?;
        let tenant = emulator.tenant();
        // The vectors say what is otherwise than these, and not than the demo's.
        tenant.settings(|settings| *settings = Settings::default());
        let clocks = Clocks::new();
        tenant.set_clock(Arc::new(ServersOwn::new(&clocks, device_clock_ahead_millis)));
        let control = emulator.control_url().ok_or(WorldException::NoEmulator)?;
        Ok(Arc::new(Self {
            control: format!("{control}/t/{}", tenant.name()),
            clocks,
            tenant,
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(10)),
            processes: Mutex::default(),
        }))
    }

    /// The address of the tenant's control API.
    pub fn control(&self) -> String {
        self.control.clone()
    }

    /// The certificate authority of the emulator, as PEM.
    pub fn ca_pem(&self) -> String {
        emulator().map(Emulator::ca_pem).unwrap_or_default()
    }

    /// A client in one of the processes of this device. It trusts the emulator alone.
    pub fn build(&self, setup: Arc<ClientSetup>, process: String) -> Result<Arc<DirectAuthClient>, AuthError> {
        let trust = Trust::Custom(emulator().map(Emulator::ca_der).into_iter().collect());
        let options = NetworkOptions { trust, connect_timeout: self.connect_timeout, ..NetworkOptions::default() };
        let process = lock(&self.processes).entry(process).or_insert_with(Process::new).clone();
        setup.build_in(Environment {
            transport: Arc::new(Network { clocks: self.clocks.clone(), inner: HttpTransport::new(options) }),
            clock: Arc::new(self.clocks.clone()),
            spawner: Arc::new(Tasks { clocks: self.clocks.clone(), running: Arc::clone(&process.tasks) }),
            randomness: Arc::new(SystemRandomness::default()),
            sessions: process.sessions,
        })
    }

    /// The process dies: its tasks stop where they are. The next client that is built in it is in a new one.
    pub fn kill(&self, process: String) {
        let Some(process) = lock(&self.processes).remove(&process) else { return };
        lock(&process.tasks).take().into_iter().flatten().for_each(|task| task.abort());
    }

    /// The test waits for a call of the library from now on.
    pub fn begin(&self) {
        self.clocks.begin();
    }

    /// The call has ended.
    pub fn end(&self) {
        self.clocks.end();
    }

    /// Waits, in real time, until nothing goes on but by a timer.
    pub fn settle(&self) -> Result<(), WorldException> {
        if self.clocks.settle() { Ok(()) } else { Err(WorldException::Stuck) }
    }

    /// Both clocks go on at once, as when the device sleeps.
    pub fn advance(&self, by: Duration) {
        self.clocks.advance(by);
    }

    /// Time passes, and what waits for it runs when it is due.
    pub fn run(&self, by: Duration) -> Result<(), WorldException> {
        if self.clocks.run(by) { Ok(()) } else { Err(WorldException::Stuck) }
    }

    /// Somebody sets the device's clock, by so much.
    pub fn set_wall(&self, by_millis: i64) {
        self.clocks.set_wall(by_millis);
    }

    /// The device's wall clock, in milliseconds since 1970.
    pub fn wall_millis(&self) -> i64 {
        self.clocks.wall_millis()
    }

    /// The prescribed answers that nobody got.
    pub fn unused_rules(&self) -> Vec<String> {
        self.tenant.unused_rules()
    }

    /// How many sign-ins live at the server.
    pub fn live_grants(&self) -> i32 {
        i32::try_from(self.tenant.live_grants()).unwrap_or(i32::MAX)
    }

    /// The refresh token that was given out last.
    pub fn last_refresh_token(&self) -> String {
        let [_, refresh_token, _] = self.tenant.last_tokens();
        refresh_token
    }

    /// Requests that reached a host to which the server has sent the client.
    pub fn other_host_requests(&self) -> i32 {
        emulator().map_or(0, |emulator| i32::try_from(emulator.second_host_requests()).unwrap_or(i32::MAX))
    }
}

impl Drop for TestWorld {
    fn drop(&mut self) {
        self.clocks.stop();
    }
}

impl Process {
    fn new() -> Self {
        Self { sessions: SessionTable::new(), tasks: Arc::new(Mutex::new(Some(Vec::new()))) }
    }
}

/// The tasks of one process.
struct Tasks {
    clocks: Clocks,
    /// `None` once it is dead.
    running: Arc<Mutex<Option<Vec<AbortHandle>>>>,
}

impl Spawner for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let Some(runtime) = background() else { return };
        if let Some(running) = &mut *lock(&self.running) {
            running.retain(|task| !task.is_finished());
            running.push(runtime.spawn(task).abort_handle());
        }
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        if lock(&self.running).is_none() {
            return;
        }
        let call = self.clocks.in_flight();
        // Like the real ones, these calls are not stopped by anybody.
        let name = format!("call {}", { CALLS.fetch_add(1, Ordering::SeqCst) });
        let _ = std::thread::Builder::new().name(name).spawn(move || {
            futures_executor::block_on(task);
            drop(call);
        });
    }
}

static CALLS: AtomicU64 = AtomicU64::new(1);

/// The real network; simulated time stands still while a request is under way.
struct Network {
    clocks: Clocks,
    inner: HttpTransport,
}

impl Transport for Network {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        Ok(Box::new(Line { clocks: self.clocks.clone(), inner: Arc::from(self.inner.conversation()?) }))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(Line { clocks: self.clocks.clone(), inner: self.inner.background() })
    }
}

struct Line {
    clocks: Clocks,
    inner: Arc<dyn Conversation>,
}

impl Conversation for Line {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let flight = self.clocks.in_flight();
        let answer = self.inner.send(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(flight);
            answer
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let flight = self.clocks.in_flight();
        let closed = self.inner.close();
        Box::pin(async move {
            closed.await;
            drop(flight);
        })
    }
}
