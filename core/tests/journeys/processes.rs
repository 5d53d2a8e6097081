//! The processes of a vector: each has a client, tasks and a session table of its own; they share the device's clocks, and
//! its store and lock unless the vector says otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use directauth::env::{BootInstant, BoxFuture, Clock, Environment, HttpTransport, NetworkOptions, Spawner, WallTime};
use directauth::{
    Accounts, Client, DPoP, Error, Factor, PasskeyStart, Profile, RecoveryRequest, RefreshPolicy, Session, Step,
    WhenStorageFails, WiderScopes,
};
use directauth_emulator::Tenant;
use futures_util::future::{AbortHandle, abortable};

use super::check::Events;
use super::format::Configuration;
use super::lock::LockFile;
use super::odd::OddServer;
use super::play::fill;
use super::store::Shelf;
use super::support;
use super::support::keys::PlatformKeys;
use super::support::line::Line;
use super::support::world::{Real, World};

/// The process that calls go to unless they name another.
pub(crate) const FIRST: &str = "app";

/// What all processes of a vector share.
pub(crate) struct Device<'a> {
    pub(crate) world: World,
    pub(crate) tenant: Tenant,
    /// The store of all processes but those that have one of their own.
    store: Shelf,
    own_stores: BTreeMap<&'a str, Shelf>,
    pub(crate) clock: DeviceClock,
    pub(crate) line: Line,
    pub(crate) events: Events,
    config: &'a Configuration,
    odd: Option<OddServer>,
    lock: LockFile,
    pub(crate) keys: PlatformKeys,
}

impl<'a> Device<'a> {
    pub(crate) fn new(world: &World, tenant: &Tenant, config: &'a Configuration) -> Self {
        Self {
            world: world.clone(),
            tenant: tenant.clone(),
            store: Shelf::default(),
            own_stores: config.own_store.iter().map(|name| (name.as_str(), Shelf::default())).collect(),
            clock: DeviceClock { world: world.clone(), back: Arc::default() },
            line: Line::default(),
            events: Events::default(),
            config,
            odd: config.issuer.as_deref().and_then(OddServer::of),
            lock: LockFile::new(world),
            keys: PlatformKeys::default(),
        }
    }

    /// A new process.
    pub(crate) fn start(&self, name: &str) -> Process {
        let tasks = Tasks { world: self.world.clone(), running: Arc::new(Mutex::new(Some(Vec::new()))) };
        let store = self.store_of(name).clone();
        let client = self.client(name, &tasks, &store);
        Process { name: name.to_owned(), client, step: None, session: None, store, tasks, lock: self.lock.clone() }
    }

    pub(crate) fn store_of(&self, process: &str) -> &Shelf {
        self.own_stores.get(process).unwrap_or(&self.store)
    }

    /// As the system does when a process sleeps.
    pub(crate) fn takes_lock_from(&self, process: &str) {
        self.lock.taken_from(process);
    }

    /// Everything that was ever written to a store.
    pub(crate) fn written(&self) -> String {
        self.own_stores.values().fold(self.store.written(), |all, own| all + &own.written())
    }

    fn client(&self, name: &str, tasks: &Tasks, store: &Shelf) -> Result<Client, Error> {
        let config = self.config;
        let issuer = match (&self.odd, &config.issuer) {
            // At the tenant's path, so that a client that went on in spite of everything is seen there.
            (Some(odd), _) => format!("{}{}", odd.origin(), path(&self.tenant.issuer())),
            (None, Some(text)) => fill(text, &self.tenant),
            (None, None) => self.tenant.issuer(),
        };
        let client_id = config.client_id.clone().unwrap_or_else(|| self.tenant.client_id());
        let default = || ["openid", "profile", "offline_access"].map(str::to_owned).to_vec();
        let mut builder = Client::builder(issuer, client_id)
            .scopes(config.scopes.clone().unwrap_or_else(default))
            .store(store.clone())
            .request_timeout(Duration::from_millis(config.request_timeout_ms.unwrap_or(20_000)))
            .wider_scopes(if config.refuse_wider_scopes { WiderScopes::Refuse } else { WiderScopes::Accept })
            .trim_usernames(!config.keep_usernames_as_typed)
            .shared_store(config.shared_store)
            .audit_sink(self.events.clone())
            .environment(self.environment(tasks));
        if let Some(capabilities) = &config.capabilities {
            builder = builder.capabilities(capabilities.iter().map(|name| name.parse::<Factor>().expect("a factor")));
        }
        if config.keep_in_memory {
            builder = builder.when_storage_fails(WhenStorageFails::KeepInMemory);
        }
        if config.lock {
            builder = builder.cross_process_lock(self.lock.handle(name));
        }
        builder = match config.accounts.as_deref() {
            None | Some("one") => builder,
            Some("many") => builder.accounts(Accounts::Many),
            Some(other) => panic!("unknown accounts {other}"),
        };
        builder = builder.relying_parties(config.relying_parties.clone());
        builder = match config.passkey_start.as_deref() {
            None | Some("challenge") => builder,
            Some("primary_authenticate") => builder.passkey_start(PasskeyStart::PrimaryAuthenticate),
            Some(other) => panic!("unknown place {other}"),
        };
        builder = match config.recovery_request.as_deref() {
            None | Some("intent") => builder,
            Some("prompt") => builder.recovery_request(RecoveryRequest::Prompt),
            Some(other) => panic!("unknown request {other}"),
        };
        builder = match config.own_dpop.get(name).or(config.dpop.as_ref()).map(String::as_str) {
            None | Some("off") => builder,
            Some("preferred") => builder.dpop(DPoP::Preferred),
            Some("required") => builder.dpop(DPoP::Required),
            Some(other) => panic!("unknown word {other}"),
        };
        if config.platform_keys {
            builder = builder.signing_key(self.keys.clone());
        }
        builder = builder.resource_origins(config.resource_origins.clone());
        builder = builder.additional_parameters(config.additional_parameters.clone());
        builder = match config.profile.as_deref() {
            None | Some("okta") => builder,
            Some("oidc") => builder.profile(Profile::Oidc),
            Some(other) => panic!("unknown profile {other}"),
        };
        builder = match config.refresh_policy.get(name).map(String::as_str) {
            None | Some("when_due") => builder,
            Some("never") => builder.refresh_policy(RefreshPolicy::Never),
            Some(other) => panic!("unknown refresh policy {other}"),
        };
        builder.build()
    }

    fn environment(&self, tasks: &Tasks) -> Environment {
        let connect_timeout = Duration::from_millis(self.config.connect_timeout_ms.unwrap_or(10_000));
        let options = NetworkOptions { trust: support::trust(), connect_timeout, ..NetworkOptions::default() };
        let transport = self.line.over(Real::new(&self.world, HttpTransport::new(options)));
        Environment {
            clock: Arc::new(self.clock.clone()),
            spawner: Arc::new(tasks.clone()),
            ..self.world.environment(transport)
        }
    }
}

/// The path of a URL of the emulator.
fn path(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("an absolute URL");
    rest.find('/').map_or("", |at| &rest[at..])
}

/// One process, with what its app has in hand.
pub(crate) struct Process {
    name: String,
    pub(crate) client: Result<Client, Error>,
    pub(crate) step: Option<Arc<Step>>,
    pub(crate) session: Option<Session>,
    pub(crate) store: Shelf,
    tasks: Tasks,
    lock: LockFile,
}

impl Process {
    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().expect("a valid configuration")
    }

    /// It dies now: its tasks stop where they are, the system takes its lock away, the store stays.
    pub(crate) fn die(self) {
        self.tasks.stop();
        self.lock.taken_from(&self.name);
    }
}

/// The tasks of one process.
#[derive(Clone)]
struct Tasks {
    world: World,
    /// `None` once the process is dead.
    running: Arc<Mutex<Option<Vec<AbortHandle>>>>,
}

impl Tasks {
    fn stop(&self) {
        let running = self.running.lock().expect("nobody panics with them").take();
        running.into_iter().flatten().for_each(|task| task.abort());
        // They go when they are looked at next.
        self.world.settle();
    }
}

impl Spawner for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let (task, handle) = abortable(task);
        if let Some(running) = &mut *self.running.lock().expect("nobody panics with them") {
            running.push(handle);
        } else {
            return;
        }
        self.world.spawn(Box::pin(async move {
            let _ = task.await;
        }));
    }

    fn spawn_blocking(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }
}

/// The clocks of the device. The world's own go on under them, and so does the server's.
#[derive(Clone)]
pub(crate) struct DeviceClock {
    world: World,
    /// By how much the boot clock is behind the world's.
    back: Arc<Mutex<Duration>>,
}

impl DeviceClock {
    /// The boot clock begins anew.
    pub(crate) fn reboot(&self) {
        self.set_back(self.world.boot().since_boot() - Duration::from_secs(10));
    }

    /// The boot clock is behind the world's by this much.
    pub(crate) fn set_back(&self, by: Duration) {
        *self.back.lock().expect("nobody panics with it") = by;
    }
}

impl Clock for DeviceClock {
    fn wall(&self) -> WallTime {
        self.world.wall()
    }

    fn boot(&self) -> BootInstant {
        let back = *self.back.lock().expect("nobody panics with it");
        BootInstant::from_boot(self.world.boot().since_boot().saturating_sub(back))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(duration)
    }
}
