//! The client: configured once, used for every sign-in.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::audit::{AuditSink, Auditor};
use crate::config::{
    Accounts, ClientId, Config, DPoP, Factor, Issuer, Origin, PasskeyStart, Profile, RecoveryRequest, RefreshPolicy,
    Scopes, WhenStorageFails, WiderScopes, additional, relying_party, time_limit,
};
use crate::context::Context;
use crate::discovery::Discovery;
use crate::env::{
    CrossProcessLock, Environment, MemoryStore, NetworkOptions, Pin, Pins, Proxy, SigningKey, TokenStore, Trust,
};
use crate::error::{ConfigurationProblem, Error, Kind};
use crate::flow::{self, Organization, Recovery, SignIn, Step};
use crate::gate::Gate;
use crate::headers::{HeaderProvider, Provider};
use crate::secret::Secret;
use crate::session::{self, Session, SessionInfo, SignOut, State, States, Watch};

/// A client of one authorization server. Cheap to clone; clones share caches and limits.
#[derive(Clone)]
pub struct Client {
    context: Arc<Context>,
    watch: Arc<Watch>,
    organization: Arc<Organization>,
}

impl Client {
    /// Begins the configuration: the issuer exactly as the server writes it (`https://acme.okta.com/oauth2/default`), and
    /// the client id of a native app.
    pub fn builder(issuer: impl Into<String>, client_id: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            issuer: issuer.into(),
            client_id: client_id.into(),
            scopes: vec!["openid".to_owned()],
            capabilities: Factor::ALL.to_vec(),
            resource_origins: Vec::new(),
            relying_parties: Vec::new(),
            passkey_start: PasskeyStart::default(),
            recovery_request: RecoveryRequest::default(),
            dpop: DPoP::default(),
            additional: Vec::new(),
            signing_key: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            trust: Trust::default(),
            pins: None,
            proxy: Proxy::None,
            header_provider: None,
            trim_usernames: true,
            when_storage_fails: WhenStorageFails::default(),
            store: None,
            audit_sink: None,
            audit_users: None,
            wider_scopes: WiderScopes::default(),
            profile: Profile::default(),
            accounts: Accounts::default(),
            refresh_policy: RefreshPolicy::default(),
            lock: None,
            shared_store: false,
            environment: None,
        }
    }

    /// A user who is about to sign in. Sends nothing yet.
    pub fn sign_in(&self, username: &str) -> SignIn {
        SignIn::new(Arc::clone(&self.context), Arc::clone(&self.context.sign_ins), username)
    }

    /// A passkey that says itself whose it is (a discoverable credential): no username is typed. Gives
    /// [`Step::UsePasskey`](crate::Step::UsePasskey).
    ///
    /// Sends `/primary-authenticate` with `challenge_hint=webauthn` and without a `login_hint` (protocol.md §1.10). The
    /// session's username is what the ID token says (`preferred_username`), or empty.
    ///
    /// # Errors
    /// As [`SignIn::passkey`]. [`Kind::Configuration`] with `invalid_request` also if the server wants a username.
    pub async fn sign_in_with_passkey(&self) -> Result<Step, Error> {
        SignIn::of_anybody(Arc::clone(&self.context), Arc::clone(&self.context.sign_ins)).passkey().await
    }

    /// A user who has forgotten the password: choose another factor to show who they are. Sends nothing yet. See [`Recovery`].
    pub fn recover(&self, username: &str) -> Recovery {
        Recovery::new(
            Arc::clone(&self.context),
            Arc::clone(&self.context.sign_ins),
            Arc::clone(&self.organization),
            username,
        )
    }

    /// Fetches metadata and keys and opens a connection for the next sign-in, while the user is still typing.
    ///
    /// At most two requests, without user data. The connection waits for 60 s. Failures are not reported: the sign-in
    /// meets and tells them.
    pub async fn warm_up(&self) {
        flow::warm_up(&self.context, &self.context.sign_ins).await;
    }

    /// Who is signed in, as far as is known now. The first call starts the restore and says [`State::Restoring`].
    pub fn state(&self) -> State {
        self.start_watching();
        self.watch.state()
    }

    /// The state from now on: the current one at first, then each newer one. The newest is always delivered.
    pub fn states(&self) -> States {
        self.start_watching();
        self.watch.states()
    }

    /// Observing the state starts the restore.
    fn start_watching(&self) {
        if self.watch.starts() {
            session::read_again(&self.context);
        }
    }

    /// The session that is signed in, with several accounts the default one: of those that live in this process, and those
    /// that an earlier run of the app, or another process, left in the store. `None` if there certainly is none.
    ///
    /// No request, unless that run died during a refresh less than 25 seconds ago: that refresh is taken up in the
    /// background, while the server may still repeat its answer (docs/sessions.md §5). What earlier sign-outs could not tell
    /// the server is told it in the background too.
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: the store cannot be read; that does not mean that there is no session. Its reason says
    /// whether it can be read later; if not, a new sign-in works, and [`discard_unreadable`](Client::discard_unreadable)
    /// clears the way.
    pub async fn restore(&self) -> Result<Option<Session>, Error> {
        session::restore(&self.context).await
    }

    /// Everybody who is signed in, the default first. Reads the store; no request.
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: not all of them can be read now.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        session::sessions(&self.context).await
    }

    /// One session by its id; `None` if it is over. Reads the store; no request.
    ///
    /// # Errors
    /// As [`sessions`](Client::sessions).
    pub async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        session::session(&self.context, id).await
    }

    /// Makes a session the default one, which [`restore`](Client::restore) and [`state`](Client::state) give, and stores
    /// that.
    ///
    /// # Errors
    /// [`Kind::SessionEnded`]: there is no such session. [`Kind::StorageUnavailable`]: it is the default for as long as this
    /// process lives, and is stored as soon as the store works. [`Kind::Busy`]: a refresh came in between; call it again.
    pub async fn set_default(&self, id: &str) -> Result<Session, Error> {
        session::set_default(&self.context, id).await
    }

    /// Signs the default session out, as [`Session::sign_out`]; `None` if there is none.
    ///
    /// # Errors
    /// As [`restore`](Client::restore) and [`Session::sign_out`].
    pub async fn sign_out(&self) -> Result<Option<SignOut>, Error> {
        match self.restore().await? {
            Some(session) => session.sign_out().await.map(Some),
            None => Ok(None),
        }
    }

    /// Signs every session out, as [`Session::sign_out`].
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: not all of them can be read now; those that can be are signed out. Or the first error of
    /// a sign-out, after all were tried.
    pub async fn sign_out_all(&self) -> Result<Vec<SignOut>, Error> {
        session::sign_out_all(&self.context).await
    }

    /// Takes over a session from another library by its refresh token: one refresh, whose tokens are validated as at a
    /// sign-in. The server may replace the refresh token; the old one is then worthless, also for that library. The username
    /// is what the ID token says (`preferred_username`), or empty.
    ///
    /// If it fails, nothing changes here: no session is stored, none is replaced, and nothing is revoked.
    ///
    /// # Errors
    /// [`Kind::ReauthRequired`]: the server does not accept the refresh token. [`Kind::StorageUnavailable`]: nothing was
    /// sent. [`Kind::TokenRejected`]: the answer did not pass validation; with the scope `openid` an ID token has to be in
    /// it. [`Kind::Network`], [`Kind::Server`], [`Kind::RateLimited`], [`Kind::Configuration`]: try again with the same
    /// token.
    pub async fn import_session(&self, refresh_token: impl Into<Secret>) -> Result<Session, Error> {
        session::import(&self.context, refresh_token.into()).await
    }

    /// To be called when the app comes to the foreground or the device is unlocked: who is signed in is read again, what
    /// could not be stored is stored, what could not be revoked is revoked. In the background; returns at once.
    pub fn notify_foreground(&self) {
        session::notify_foreground(&self.context);
    }

    /// Deletes stored sessions that can never be read again (damaged, a destroyed key, another device's), of whatever client:
    /// what cannot be read names no owner. By the app's explicit wish only; gives how many. A session that lives in this
    /// process is written anew from memory. Nothing that can be read, now or later, is touched. No request.
    ///
    /// # Errors
    /// [`Kind::StorageUnavailable`]: the store cannot be listed, or a record cannot be deleted.
    pub async fn discard_unreadable(&self) -> Result<usize, Error> {
        session::discard_unreadable(&self.context).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("issuer", &self.context.config.issuer).finish_non_exhaustive()
    }
}

/// The configuration of a [`Client`], checked by [`build`](ClientBuilder::build).
#[must_use]
pub struct ClientBuilder {
    issuer: String,
    client_id: String,
    scopes: Vec<String>,
    capabilities: Vec<Factor>,
    resource_origins: Vec<String>,
    relying_parties: Vec<String>,
    passkey_start: PasskeyStart,
    recovery_request: RecoveryRequest,
    dpop: DPoP,
    additional: Vec<(String, String)>,
    signing_key: Option<Arc<dyn SigningKey>>,
    connect_timeout: Duration,
    request_timeout: Duration,
    trust: Trust,
    pins: Option<Vec<Pin>>,
    proxy: Proxy,
    header_provider: Option<Arc<dyn HeaderProvider>>,
    trim_usernames: bool,
    when_storage_fails: WhenStorageFails,
    store: Option<Arc<dyn TokenStore>>,
    audit_sink: Option<Arc<dyn AuditSink>>,
    audit_users: Option<Secret>,
    wider_scopes: WiderScopes,
    profile: Profile,
    accounts: Accounts,
    refresh_policy: RefreshPolicy,
    lock: Option<Arc<dyn CrossProcessLock>>,
    shared_store: bool,
    environment: Option<Environment>,
}

impl ClientBuilder {
    /// The scopes to ask for; `openid` if not called. `offline_access` for a refresh token.
    pub fn scopes<I: IntoIterator<Item = S>, S: Into<String>>(mut self, scopes: I) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Where sessions are kept. Without one they live in memory and end with the process.
    pub fn store(mut self, store: impl TokenStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The second factors that the app has screens for; all if not called. The server is told, and only these are offered.
    pub fn capabilities(mut self, factors: impl IntoIterator<Item = Factor>) -> Self {
        self.capabilities = factors.into_iter().collect();
        self
    }

    /// Where [`Session::authorize`] may send tokens besides the issuer's own origin, as `https://host[:port]`.
    pub fn resource_origins<I: IntoIterator<Item = S>, S: Into<String>>(mut self, origins: I) -> Self {
        self.resource_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Relying parties that a passkey challenge may be for, besides the issuer's own host: where passkeys were registered for
    /// a domain above it, `acme.com` for the issuer `id.acme.com`. A challenge for any other is refused, because an app has no
    /// browser around it that would refuse it.
    pub fn relying_parties<I: IntoIterator<Item = S>, S: Into<String>>(mut self, ids: I) -> Self {
        self.relying_parties = ids.into_iter().map(Into::into).collect();
        self
    }

    /// Where a passkey is asked for as the second factor; see [`PasskeyStart`].
    pub fn passkey_start(mut self, start: PasskeyStart) -> Self {
        self.passkey_start = start;
        self
    }

    /// How a recovery is asked for; see [`RecoveryRequest`].
    pub fn recovery_request(mut self, request: RecoveryRequest) -> Self {
        self.recovery_request = request;
        self
    }

    /// Whether tokens are bound to a key (RFC 9449); [`DPoP::Off`] if not called. Sessions keep what they were made with.
    ///
    /// With it, a server that wants a nonce in the proof costs one request more where none is known yet or the known one
    /// has expired; what the user typed is then sent twice, since such a server asks before it looks (protocol.md §3, Q4).
    pub fn dpop(mut self, dpop: DPoP) -> Self {
        self.dpop = dpop;
        self
    }

    /// Parameters that are added to every request to the token endpoint, such as an `audience` that a server wants. At most 16,
    /// each name once, values of at most 1,024 bytes without control characters. They are no place for secrets, and cannot
    /// replace what the library sends: its own names, and those that would name another client or grant, are refused.
    pub fn additional_parameters<I, N, V>(mut self, parameters: I) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        self.additional = parameters.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    /// The platform's keys for that; keys in software, stored with the session, if not called or if the platform has none.
    pub fn signing_key(mut self, keys: impl SigningKey + 'static) -> Self {
        self.signing_key = Some(Arc::new(keys));
        self
    }

    /// Limit for name resolution, TCP, the proxy's tunnel and TLS together; 10 s if not called, ten minutes at most.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limit for one request from its start to the last byte of its answer; 30 s if not called, ten minutes at most.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Which certificate authorities vouch for the server; see [`Trust`].
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Public keys of which one must vouch for the server, besides everything that [`Trust`] checks; none in particular if
    /// not called. At least two different ones, because one is a backup: on the day when the server's key changes, a client
    /// that knows only the old one connects to nothing. Prefer keys of the authorities that issue the server's certificates;
    /// a leaf's key often changes with each renewal.
    ///
    /// With [`Trust::Bundled`] and [`Trust::Custom`] a pin may match the leaf's key or any other of the path that was
    /// verified, the authority's own included, and never a certificate that the server merely sends along. With
    /// [`Trust::Platform`] only the leaf's: the platform does not say which path it has verified.
    ///
    /// All connections are to the issuer's host, so the pins hold for all of them. A mismatch is
    /// [`NetworkProblem::Pin`](crate::error::NetworkProblem::Pin): nothing was sent, and a session and its tokens stay.
    ///
    /// ```
    /// use directauth::{Client, Pin, Trust};
    ///
    /// let client = Client::builder("https://id.acme.com/oauth2/default", "0oa1b2c3")
    ///     .trust(Trust::Bundled)
    ///     .pins([
    ///         Pin::parse("sha256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=")?, // ISRG Root X1
    ///         Pin::parse("sha256/diGVwiVYbubAI3RW4hB9xU8e/CH2GnkuvVFZE8zmgzI=")?, // ISRG Root X2, the backup
    ///     ])
    ///     .build()?;
    /// # Ok::<(), directauth::Error>(())
    /// ```
    pub fn pins(mut self, pins: impl IntoIterator<Item = Pin>) -> Self {
        self.pins = Some(pins.into_iter().collect());
        self
    }

    /// The proxy that the connections go through; none if not called, whatever the environment says. See [`Proxy`].
    ///
    /// If the proxy fails, that is [`NetworkProblem::Proxy`](crate::error::NetworkProblem::Proxy).
    ///
    /// ```
    /// use directauth::{Client, Proxy};
    ///
    /// let client = Client::builder("https://acme.okta.com/oauth2/default", "0oa1b2c3")
    ///     .proxy(Proxy::Http("http://proxy.acme.com:3128".to_owned()))
    ///     .build()?;
    /// # Ok::<(), directauth::Error>(())
    /// ```
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Adds headers to every request to the issuer's origin, for a bot protection or firewall in front of it; see
    /// [`HeaderProvider`]. However it fails, no sign-in fails for it.
    pub fn header_provider(mut self, provider: impl HeaderProvider + 'static) -> Self {
        self.header_provider = Some(Arc::new(provider));
        self
    }

    /// Whether white space around usernames is removed (keyboards add it); yes if not called.
    pub fn trim_usernames(mut self, trim: bool) -> Self {
        self.trim_usernames = trim;
        self
    }

    /// What a sign-in does when the store cannot be written; it refuses if not called.
    pub fn when_storage_fails(mut self, what: WhenStorageFails) -> Self {
        self.when_storage_fails = what;
        self
    }

    /// Where audit events go.
    pub fn audit_sink(mut self, sink: impl AuditSink + 'static) -> Self {
        self.audit_sink = Some(Arc::new(sink));
        self
    }

    /// Whom audit events are about, as a hash of the user name under `key`; nobody if not called. Whoever has the key can try
    /// names: keep it where the events are read, and change it when old events should no longer be joined to new ones.
    pub fn audit_users(mut self, key: impl Into<Secret>) -> Self {
        self.audit_users = Some(key.into());
        self
    }

    /// What becomes of tokens with more scopes than were asked for; they are taken if not called.
    pub fn wider_scopes(mut self, what: WiderScopes) -> Self {
        self.wider_scopes = what;
        self
    }

    /// What kind of server it is; see [`Profile`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// How many users may be signed in at once; one if not called. See [`Accounts`].
    pub fn accounts(mut self, accounts: Accounts) -> Self {
        self.accounts = accounts;
        self
    }

    /// Whether this process refreshes; see [`RefreshPolicy`].
    pub fn refresh_policy(mut self, policy: RefreshPolicy) -> Self {
        self.refresh_policy = policy;
        self
    }

    /// Whether other processes use the store too, so that it is read before each token is handed out: they may have
    /// refreshed, or signed out. Needs to be said only by the one process that refreshes where there is no lock; a
    /// [`cross_process_lock`](ClientBuilder::cross_process_lock) and [`RefreshPolicy::Never`] imply it.
    pub fn shared_store(mut self, shared: bool) -> Self {
        self.shared_store = shared;
        self
    }

    /// Several processes share the store, and this lock excludes them from each other. All of them need one on the same
    /// place. Each call then reads the store before it hands out a token.
    pub fn cross_process_lock(mut self, lock: impl CrossProcessLock + 'static) -> Self {
        self.lock = Some(Arc::new(lock));
        self
    }

    /// Another world than the real one, for tests. Trust, pins, proxy and connect timeout are checked, but how it connects is
    /// then its own affair.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Checks the configuration. Fast; no network, no store, no thread.
    ///
    /// # Errors
    /// [`Kind::Configuration`] with the first thing that has to be changed.
    pub fn build(self) -> Result<Client, Error> {
        let configuration = |what| Error::from(Kind::Configuration { what });
        let issuer =
            Issuer::parse(&self.issuer).map_err(|problem| configuration(ConfigurationProblem::Issuer(problem)))?;
        let origins: Result<Vec<_>, _> = self.resource_origins.iter().map(|origin| Origin::parse(origin)).collect();
        let parties: Result<Vec<_>, _> = self.relying_parties.iter().map(|id| relying_party(id)).collect();
        let mut capabilities = self.capabilities;
        capabilities.sort_unstable();
        capabilities.dedup();
        let config = Config {
            issuer,
            client_id: ClientId::parse(&self.client_id).map_err(configuration)?,
            scopes: Scopes::parse(&self.scopes).map_err(configuration)?,
            capabilities,
            resource_origins: origins.map_err(configuration)?,
            relying_parties: parties.map_err(configuration)?,
            passkey_start: self.passkey_start,
            recovery_request: self.recovery_request,
            dpop: self.dpop,
            additional: additional(self.additional).map_err(configuration)?,
            request_timeout: time_limit(self.request_timeout).map_err(configuration)?,
            trim_usernames: self.trim_usernames,
            when_storage_fails: self.when_storage_fails,
            wider_scopes: self.wider_scopes,
            profile: self.profile,
            accounts: self.accounts,
            refresh_policy: self.refresh_policy,
            shared_store: self.shared_store || self.lock.is_some() || self.refresh_policy == RefreshPolicy::Never,
        };
        self.trust.check().map_err(configuration)?;
        let connect_timeout = time_limit(self.connect_timeout).map_err(configuration)?;
        let pins = self.pins.map(Pins::new).transpose().map_err(configuration)?;
        self.proxy.check().map_err(configuration)?;
        let options = NetworkOptions { trust: self.trust, pins, proxy: self.proxy, connect_timeout };
        let env = self.environment.unwrap_or_else(|| Environment::system(options));
        let auditor = Auditor::new(self.audit_sink, self.audit_users.as_ref(), &config, &env);
        let gate = self.lock.map(|lock| Arc::new(Gate::new(lock, Arc::clone(&env.clock), Arc::clone(&env.spawner))));
        let watch = Watch::new();
        let context = Context {
            config,
            env,
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            discovery: Discovery::default(),
            auditor,
            late_calls: Arc::default(),
            standing: Default::default(),
            header_provider: self.header_provider.map(Provider::new),
            gate,
            watch: Arc::downgrade(&watch),
            is_used: Default::default(),
            looks_later: Default::default(),
            queue: Default::default(),
            sign_ins: Arc::default(),
            signer: self.signing_key,
            key_calls: Arc::default(),
            nonces: Default::default(),
            half_imported: Default::default(),
            server_clock: Default::default(),
        };
        let context = Arc::new(context);
        context.env.sessions.joins(&context);
        Ok(Client { context, watch, organization: Arc::default() })
    }
}
