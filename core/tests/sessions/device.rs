//! A device with an app on it, and a store whose calls fail when a test says so.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use directauth::env::{Blob, BoxFuture, Clock, Environment, HttpTransport, NetworkOptions, StorageKey};
use directauth::error::StoreProblem;
use directauth::{Accounts, Client, ClientBuilder, Error, Kind, MemoryStore, Session, State, Step, TokenStore};
use directauth_emulator::{Assurance, Config, Tenant};

use super::support::line::Line;
use super::support::world::{Real, World};
use super::support::{emulator, trust};

pub(crate) const ANA: &str = "ana@example.com";
pub(crate) const BEN: &str = "ben@example.com";

/// Longer than an access token lives.
pub(crate) const EXPIRED: Duration = Duration::from_secs(3601);
/// Long enough that it is renewed early, and not over.
pub(crate) const DUE: Duration = Duration::from_secs(3300);

/// Every problem that a store can have.
pub(crate) const PROBLEMS: [StoreProblem; 9] = [
    StoreProblem::Locked,
    StoreProblem::NeedsUser,
    StoreProblem::UserCancelled,
    StoreProblem::Transient,
    StoreProblem::Foreign,
    StoreProblem::Corrupt,
    StoreProblem::KeyMissing,
    StoreProblem::KeyDestroyed,
    StoreProblem::NewerVersion,
];

/// A device, its store, and the server of its app. Two users can sign in with a password alone.
pub(crate) struct Device {
    pub(crate) world: World,
    pub(crate) tenant: Tenant,
    pub(crate) store: Flaky,
    pub(crate) line: Line,
}

impl Device {
    pub(crate) fn new() -> Self {
        let mut config = Config::demo();
        config.users.iter_mut().for_each(|user| user.assurance = Assurance::OneFactor);
        let (world, tenant) = (World::new(), emulator().tenant_with(config));
        tenant.set_clock(Arc::new(world.clone()));
        let store = Flaky::new(&world);
        Self { world, tenant, store, line: Line::default() }
    }

    /// A process of its own.
    pub(crate) fn process(&self) -> Environment {
        let options = NetworkOptions { trust: trust(), ..NetworkOptions::default() };
        self.world.environment(self.line.over(Real::new(&self.world, HttpTransport::new(options))))
    }

    /// A client in `process`.
    pub(crate) fn builder(&self, process: &Environment) -> ClientBuilder {
        Client::builder(self.tenant.issuer(), self.tenant.client_id())
            .scopes(["openid", "profile", "offline_access"])
            .request_timeout(Duration::from_secs(20))
            .store(self.store.clone())
            .environment(process.clone())
    }

    /// The app is started: another process with one client.
    pub(crate) fn start(&self) -> Client {
        self.builder(&self.process()).build().expect("a valid configuration")
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let done = self.world.run(work);
        self.world.settle();
        done
    }

    /// Time goes on, and whatever is due happens.
    pub(crate) fn rest(&self, duration: Duration) {
        self.run(self.world.sleep(duration));
    }

    pub(crate) fn try_sign_in(&self, client: &Client, user: &str) -> Result<Session, Error> {
        let password = if user == ANA { "correct horse battery" } else { "tr0ub4dor&3" };
        match self.run(client.sign_in(user).password(password))? {
            Step::SignedIn(session) => Ok(session),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn signs_in(&self, client: &Client, user: &str) -> Session {
        self.try_sign_in(client, user).expect("signed in")
    }

    /// The app was used, and its process is gone: what is left is in the store. Gives the session's id.
    pub(crate) fn left_signed_in(&self, user: &str) -> String {
        let client = self.start();
        let session = self.signs_in(&client, user);
        assert!(session.is_persisted());
        let id = session.id();
        drop((session, client));
        self.dies();
        id
    }

    /// The process dies.
    pub(crate) fn dies(&self) {
        self.world.kill();
        self.tenant.clear_journal();
    }

    pub(crate) fn restored(&self, client: &Client) -> Option<Session> {
        self.run(client.restore()).expect("the store can be read")
    }

    pub(crate) fn token(&self, session: &Session) -> Result<String, Error> {
        self.run(session.access_token()).map(|token| token.expose().to_owned())
    }

    /// Ready when the server has got so far, whoever is told.
    pub(crate) fn until(&self, reached: impl Fn() -> bool) -> impl Future<Output = ()> {
        let limit = Instant::now() + Duration::from_secs(20);
        poll_fn(move |context| {
            if reached() {
                return Poll::Ready(());
            }
            assert!(Instant::now() < limit, "it never came");
            std::thread::yield_now();
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// How many requests of this kind have come.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.tenant.journal().count(operation)
    }
}

/// The state in a word: a user, or what else.
pub(crate) fn word(state: &State) -> String {
    match state {
        State::SignedIn(session) => session.username(),
        State::Unavailable(problem) => format!("{problem:?}"),
        other => format!("{other:?}"),
    }
}

/// A client in a process of its own, for several accounts.
pub(crate) fn many(device: &Device) -> Client {
    device.builder(&device.process()).accounts(Accounts::Many).build().expect("a valid configuration")
}

/// Why the store cannot be used, as the error says it.
pub(crate) fn unavailable<T: std::fmt::Debug>(result: Result<T, Error>) -> StoreProblem {
    match result.expect_err("the store fails").kind() {
        Kind::StorageUnavailable { reason } => *reason,
        other => panic!("{other:?}"),
    }
}

/// One of the four calls of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Load,
    Store,
    Delete,
    List,
}

/// What a call does instead of its work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// It fails.
    Says(StoreProblem),
    /// It does its work, and fails.
    SaysAfterAll(StoreProblem),
    /// It does nothing, and says that it did.
    Lies,
    /// It writes the first half.
    Tears,
    /// It does its work after so long.
    Hangs(Duration),
    /// It fails after so long.
    SaysLate(Duration, StoreProblem),
}

/// Which calls are in trouble, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    calls: Vec<Call>,
    keys: String,
    trouble: Trouble,
    spared: usize,
    left: usize,
    until: Option<Duration>,
    until_deleted: bool,
}

impl Fault {
    /// All calls of these kinds, until the store heals.
    pub(crate) fn on(calls: &[Call], trouble: Trouble) -> Self {
        Self {
            calls: calls.to_vec(),
            keys: String::new(),
            trouble,
            spared: 0,
            left: usize::MAX,
            until: None,
            until_deleted: false,
        }
    }

    /// Every call fails for the same reason.
    pub(crate) fn all(problem: StoreProblem) -> Self {
        Self::on(&[Call::Load, Call::Store, Call::Delete, Call::List], Trouble::Says(problem))
    }

    /// Only blobs whose keys begin like this.
    pub(crate) fn of(mut self, keys: impl Into<String>) -> Self {
        self.keys = keys.into();
        self
    }

    /// The first `calls` of them work.
    pub(crate) fn after(mut self, calls: usize) -> Self {
        self.spared = calls;
        self
    }

    /// So many of them, no more.
    pub(crate) fn times(mut self, calls: usize) -> Self {
        self.left = calls;
        self
    }

    /// Until the boot clock says this.
    pub(crate) fn until(mut self, boot: Duration) -> Self {
        self.until = Some(boot);
        self
    }

    /// Until the blob is deleted: what is written anew has a new key.
    pub(crate) fn until_deleted(mut self) -> Self {
        self.until_deleted = true;
        self
    }
}

/// A store in memory that fails as it is told to. Clones are the same store.
#[derive(Clone)]
pub(crate) struct Flaky {
    blobs: MemoryStore,
    world: World,
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    faults: Vec<Fault>,
    calls: Vec<(Call, String)>,
    deadline: Duration,
}

impl Flaky {
    pub(crate) fn new(world: &World) -> Self {
        let plan = Plan { faults: Vec::new(), calls: Vec::new(), deadline: Duration::from_secs(10) };
        Self { blobs: MemoryStore::new(), world: world.clone(), plan: Arc::new(Mutex::new(plan)) }
    }

    pub(crate) fn fails(&self, fault: Fault) {
        self.plan().faults.push(fault);
    }

    pub(crate) fn heals(&self) {
        self.plan().faults.clear();
    }

    /// What it says of how long its calls may take.
    pub(crate) fn says_deadline(&self, deadline: Duration) {
        self.plan().deadline = deadline;
    }

    /// The calls on such keys since the last look.
    pub(crate) fn calls(&self, call: Call, keys: &str) -> usize {
        let plan = self.plan();
        plan.calls.iter().filter(|(made, key)| *made == call && key.starts_with(keys)).count()
    }

    pub(crate) fn forget_calls(&self) {
        self.plan().calls.clear();
    }

    /// What is there under such keys, whatever fails.
    pub(crate) fn content(&self, keys: &str) -> BTreeMap<String, Vec<u8>> {
        let all = futures_executor::block_on(self.blobs.keys()).expect("memory");
        let found = all.iter().filter(|key| key.as_str().starts_with(keys));
        found
            .filter_map(|key| {
                let blob = futures_executor::block_on(self.blobs.load(key)).expect("memory")?;
                Some((key.as_str().to_owned(), blob.expose().to_vec()))
            })
            .collect()
    }

    /// Somebody else writes there.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let key = StorageKey::parse(key).expect("a key");
        futures_executor::block_on(self.blobs.store(&key, &Blob::new(bytes.to_vec()))).expect("memory");
    }

    /// Somebody else removes everything.
    pub(crate) fn clear(&self) {
        for key in futures_executor::block_on(self.blobs.keys()).expect("memory") {
            futures_executor::block_on(self.blobs.delete(&key)).expect("memory");
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, call: Call, key: &str) -> Option<Trouble> {
        let now = self.world.boot().since_boot();
        let mut plan = self.plan();
        plan.calls.push((call, key.to_owned()));
        if call == Call::Delete {
            plan.faults.retain(|fault| !(fault.until_deleted && key.starts_with(&fault.keys)));
        }
        let is_met = |fault: &Fault| {
            fault.calls.contains(&call)
                && key.starts_with(&fault.keys)
                && fault.until.is_none_or(|until| now < until)
                && fault.left > 0
        };
        let fault = plan.faults.iter_mut().find(|fault| is_met(fault))?;
        if fault.spared > 0 {
            fault.spared -= 1;
            return None;
        }
        fault.left -= 1;
        Some(fault.trouble)
    }

    /// Does `work`, or what the plan says instead.
    async fn call<T>(
        &self,
        trouble: Option<Trouble>,
        nothing: T,
        work: impl Future<Output = Result<T, StoreProblem>>,
    ) -> Result<T, StoreProblem> {
        match trouble {
            Some(Trouble::Says(problem)) => Err(problem),
            Some(Trouble::SaysAfterAll(problem)) => work.await.and(Err(problem)),
            Some(Trouble::Lies) => Ok(nothing),
            Some(Trouble::Hangs(long)) => {
                self.world.sleep(long).await;
                work.await
            }
            Some(Trouble::SaysLate(long, problem)) => {
                self.world.sleep(long).await;
                Err(problem)
            }
            Some(Trouble::Tears) | None => work.await,
        }
    }
}

impl TokenStore for Flaky {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        Box::pin(async move {
            let trouble = self.trouble(Call::Load, key.as_str());
            self.call(trouble, None, async { self.blobs.load(key).await }).await
        })
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async move {
            let trouble = self.trouble(Call::Store, key.as_str());
            let whole = blob.expose();
            let written = if matches!(trouble, Some(Trouble::Tears)) { &whole[..whole.len() / 2] } else { whole };
            let blob = Blob::new(written.to_vec());
            self.call(trouble, (), async { self.blobs.store(key, &blob).await }).await
        })
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async move {
            let trouble = self.trouble(Call::Delete, key.as_str());
            self.call(trouble, (), async { self.blobs.delete(key).await }).await
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(async move {
            let trouble = self.trouble(Call::List, "");
            self.call(trouble, Vec::new(), async { self.blobs.keys().await }).await
        })
    }

    fn call_deadline(&self) -> Duration {
        self.plan().deadline
    }
}
