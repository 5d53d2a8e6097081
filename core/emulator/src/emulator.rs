//! A running server: its listeners, its thread, its tenants.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::{self, Guard};
use crate::net::listener::{self, Listener, Role};
use crate::net::names::{ALWAYS, Names};
use crate::net::tls::{Authority, BadTlsKind, Chained, Server};
use crate::server::{self, Plan, Request};
use crate::tenant::Tenant;

/// How often a free port is looked for that is free on both loopback addresses.
const PORT_TRIES: usize = 32;
const SHORTEST_TOKEN: usize = 16;

/// A running server. It owns a thread and a runtime of its own, works from any async runtime or none, and stops when
/// dropped.
pub struct Emulator {
    shared: Arc<Shared>,
    authority: Authority,
    leaf_der: Vec<u8>,
    leaf_spki: Vec<u8>,
    port: u16,
    control: Option<SocketAddr>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts with the built-in configuration, on loopback, on a free port, by the computer's clock.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// To start in another way.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder {
            config: Config::demo(),
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            rtt: Duration::ZERO,
            clock: Arc::new(SystemClock),
            control: None,
            control_token: None,
            names: Vec::new(),
            ca_dir: None,
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        self.shared.origin.clone()
    }

    /// The certificate of its authority, for a client to trust.
    pub fn ca_pem(&self) -> String {
        self.authority.pem.clone()
    }

    /// Whether its authority was made just now, so that no device trusts it yet.
    pub fn has_new_authority(&self) -> bool {
        self.authority.is_new
    }

    /// The same as DER.
    pub fn ca_der(&self) -> Vec<u8> {
        self.authority.der.clone()
    }

    /// The authority's public key as a DER-encoded `SubjectPublicKeyInfo`, which is what clients pin.
    pub fn ca_spki(&self) -> Vec<u8> {
        self.authority.spki()
    }

    /// The server's own certificate, as DER.
    pub fn leaf_der(&self) -> Vec<u8> {
        self.leaf_der.clone()
    }

    /// The public key of the server's own certificate, like [`ca_spki`](Self::ca_spki).
    pub fn leaf_spki(&self) -> Vec<u8> {
        self.leaf_spki.clone()
    }

    /// The control API, if it was asked for.
    pub fn control_url(&self) -> Option<String> {
        let at = self.control?;
        Some(format!("https://{}", if at.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, at.port()).into() } else { at }))
    }

    /// The address to open in a browser, with the token if there is one.
    pub fn control_page(&self) -> Option<String> {
        let query = self.control_token().map(|token| format!("?token={token}")).unwrap_or_default();
        self.control_url().map(|url| format!("{url}/{query}"))
    }

    /// What the control API asks for in `Authorization: Bearer`: if it is not on loopback, or a token was given.
    pub fn control_token(&self) -> Option<String> {
        self.shared.guard.token().map(str::to_owned)
    }

    /// The default tenant.
    pub fn root(&self) -> Tenant {
        self.shared.root.clone()
    }

    /// A new tenant with the same configuration, isolated from all others.
    pub fn tenant(&self) -> Tenant {
        self.shared.add_tenant(self.shared.config.clone())
    }

    /// A new tenant with a configuration of its own.
    pub fn tenant_with(&self, config: Config) -> Tenant {
        self.shared.add_tenant(config)
    }

    /// How many requests reached the host that [`Fault::Redirect307OtherHost`](crate::Fault::Redirect307OtherHost) leads to.
    pub fn second_host_requests(&self) -> usize {
        self.shared.evil_count.load(Ordering::SeqCst)
    }

    /// A second way in, to the same tenants, whose certificate no client may accept.
    pub fn bad_tls(&self, kind: BadTlsKind) -> Result<BadTls, StartError> {
        let entrance = self.entrance(&self.authority.bad_server(kind)?)?;
        Ok(BadTls { entrance, ca_der: self.ca_der() })
    }

    /// A second way in, to the same tenants, with a good certificate of another authority: one that is made for it and
    /// signs through an intermediate one. After its own certificate and the intermediate one the server sends `appended`,
    /// whatever that is: somebody else's certificates, say, which prove nothing.
    pub fn other_authority(&self, appended: Vec<Vec<u8>>) -> Result<OtherAuthority, StartError> {
        let chained = self.authority.chained_server(appended)?;
        Ok(OtherAuthority { entrance: self.entrance(&chained.server)?, chained })
    }

    fn entrance(&self, server: &Server) -> Result<Entrance, StartError> {
        let (sockets, port) = listen(Ipv4Addr::LOCALHOST.into(), 0)?;
        let tasks = sockets
            .into_iter()
            .map(|socket| {
                let (tls, places) = (Arc::clone(&server.tls), listener::places());
                let listener = Listener::new(socket, tls, Role::Tenants, Duration::ZERO, places)?;
                Ok(self.runtime.spawn(listener.run(Arc::clone(&self.shared))))
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|source| StartError::Listen { address: (Ipv4Addr::LOCALHOST, port).into(), source })?;
        Ok(Entrance { port, tasks })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("origin", &self.shared.origin).finish_non_exhaustive()
    }
}

/// How an [`Emulator`] starts.
#[must_use]
pub struct EmulatorBuilder {
    config: Config,
    host: IpAddr,
    port: u16,
    rtt: Duration,
    clock: Arc<dyn Clock>,
    control: Option<SocketAddr>,
    control_token: Option<String>,
    names: Vec<String>,
    ca_dir: Option<PathBuf>,
}

impl EmulatorBuilder {
    /// Clients, users and rules; [`Config::demo`] by default.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The address to listen on; loopback by default. The certificate is for it too.
    pub fn host(mut self, host: IpAddr) -> Self {
        self.host = host;
        self
    }

    /// The port; a free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Lets every byte travel for half of `rtt` in each direction, TLS handshake included.
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// The clock of the default tenant and, until they get another one, of all others.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether to offer the control API and its page, on a loopback port of its own.
    pub fn control(mut self, control: bool) -> Self {
        self.control = control.then(|| (Ipv4Addr::LOCALHOST, 0).into());
        self
    }

    /// Offers the control API and its page there. Beyond loopback it asks for a token.
    pub fn control_at(mut self, address: SocketAddr) -> Self {
        self.control = Some(address);
        self
    }

    /// The token that the control API asks for, on loopback too: at least 16 letters, digits and `-_.~`. Without it one that
    /// nobody can guess beyond loopback, and none on loopback.
    pub fn control_token(mut self, token: &str) -> Self {
        self.control_token = Some(token.to_owned());
        self
    }

    /// Another host name or address that clients use; the certificate is for it too, and the authority may sign for it.
    pub fn name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// A folder to keep the certificate authority in, so that a device that trusts it still does after a restart.
    pub fn ca_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.ca_dir = Some(folder.into());
        self
    }

    /// Starts.
    pub fn start(self) -> Result<Emulator, StartError> {
        if !server::keys_are_usable() {
            return Err(StartError::Keys);
        }
        // What has no certificate anyway, and can be named.
        let is_beyond = |host: &IpAddr| !ALWAYS.contains(host) && !host.is_unspecified();
        let beyond = Some(self.host).filter(is_beyond);
        let mut names = Names::default();
        for name in &self.names {
            if !names.add(name) {
                return Err(StartError::Name { name: name.clone() });
            }
        }
        names.addresses.extend(beyond.into_iter().chain(self.control.map(|at| at.ip()).filter(is_beyond)));
        let token = self.token()?;
        // Before anything is written: a start that fails changes no authority that another process uses.
        let (sockets, port) = listen(self.host, self.port)?;
        let (evil_sockets, evil_port) = listen(Ipv4Addr::LOCALHOST.into(), 0)?;
        let (control_sockets, control) = match self.control {
            Some(at) => {
                let (sockets, port) = listen(at.ip(), at.port())?;
                (sockets, Some(SocketAddr::new(at.ip(), port)))
            }
            None => (Vec::new(), None),
        };
        let guard = Guard::new(token, control.map_or(0, |at| at.port())).ok_or(StartError::Random)?;
        let authority = match &self.ca_dir {
            Some(folder) => Authority::kept_in(folder, names)?,
            None => Authority::create(names)?,
        };
        let server = authority.server()?;
        let origin = match beyond {
            Some(host) => format!("https://{}", SocketAddr::new(host, port)),
            None => format!("https://localhost:{port}"),
        };
        let shared = Arc::new(Shared {
            connections: AtomicU64::new(0),
            guard,
            pages: control::places(),
            evil_count: Arc::default(),
            root: Tenant::new(String::new(), &origin, self.config.clone(), Arc::clone(&self.clock)),
            origin,
            ca_pem: authority.pem.clone(),
            evil_port,
            config: self.config,
            clock: self.clock,
            tenants: Mutex::default(),
            tenants_made: AtomicUsize::new(0),
        });

        let mut listeners = Vec::new();
        let roles = [
            (sockets, Role::Tenants, self.rtt),
            (evil_sockets, Role::Evil(Arc::clone(&shared.evil_count)), Duration::ZERO),
            (control_sockets, Role::Control, Duration::ZERO),
        ];
        for (sockets, role, rtt) in roles {
            let places = listener::places();
            for socket in sockets {
                let address = socket.local_addr().unwrap_or((self.host, port).into());
                let listener = Listener::new(socket, Arc::clone(&server.tls), role.clone(), rtt, Arc::clone(&places));
                listeners.push(listener.map_err(|source| StartError::Listen { address, source })?);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let on_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("directauth-emulator".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    for listener in listeners {
                        tokio::spawn(listener.run(Arc::clone(&on_thread)));
                    }
                    // Ends when the emulator is dropped; the runtime drops every connection with it.
                    let _ = stopped.await;
                });
            })
            .map_err(StartError::Thread)?;
        Ok(Emulator {
            shared,
            authority,
            leaf_der: server.certificate,
            leaf_spki: server.spki,
            port,
            control,
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl EmulatorBuilder {
    /// The token that the control port asks for.
    fn token(&self) -> Result<Option<String>, StartError> {
        match &self.control_token {
            Some(token)
                if token.len() < SHORTEST_TOKEN
                    || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) =>
            {
                Err(StartError::Token)
            }
            Some(token) => Ok(Some(token.clone())),
            None if self.control.is_some_and(|at| !at.ip().is_loopback()) => {
                server::unguessable().map(Some).ok_or(StartError::Random)
            }
            None => Ok(None),
        }
    }
}

/// A further listener. Stops when dropped.
struct Entrance {
    port: u16,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Entrance {
    fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A listener with a certificate that no client may accept. Stops when dropped.
pub struct BadTls {
    entrance: Entrance,
    ca_der: Vec<u8>,
}

impl BadTls {
    /// Its address, `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        self.entrance.origin()
    }

    /// The authority that a client in a test trusts: the emulator's.
    pub fn ca_der(&self) -> Vec<u8> {
        self.ca_der.clone()
    }
}

/// A listener with a good certificate of another authority than the emulator's. Stops when dropped.
pub struct OtherAuthority {
    entrance: Entrance,
    chained: Chained,
}

impl OtherAuthority {
    /// Its address, `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        self.entrance.origin()
    }

    /// The authority, as DER.
    pub fn root_der(&self) -> Vec<u8> {
        self.chained.root.clone()
    }

    /// The authority's public key, like [`Emulator::ca_spki`].
    pub fn root_spki(&self) -> Vec<u8> {
        self.chained.root_spki.clone()
    }

    /// The same of the intermediate authority.
    pub fn intermediate_spki(&self) -> Vec<u8> {
        self.chained.intermediate_spki.clone()
    }

    /// The same of the server's own certificate.
    pub fn leaf_spki(&self) -> Vec<u8> {
        self.chained.server.spki.clone()
    }
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Somebody else listens there.
    #[error("port {port} is in use; choose another one, or none for a free one")]
    PortInUse {
        /// The port that was asked for.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for; port 0 for any.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of the certificate authority cannot be used.
    #[error("cannot keep the certificate authority in {}: {source}", folder.display())]
    CaFolder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name is neither a host name nor an address.
    #[error("{name:?} is neither a host name nor an address")]
    Name {
        /// What was given.
        name: String,
    },
    /// The token for the control API is none.
    #[error("the token for the control API is not made of at least {SHORTEST_TOKEN} letters, digits and -_.~")]
    Token,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a token")]
    Random,
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The built-in signing keys are unusable.
    #[error("the built-in signing keys cannot be read")]
    Keys,
    /// No thread or runtime could be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What the listeners share.
pub(crate) struct Shared {
    pub(crate) connections: AtomicU64,
    /// Of the control port.
    pub(crate) guard: Guard,
    /// How many pages of the control port may still be opened.
    pub(crate) pages: Arc<Semaphore>,
    evil_count: Arc<AtomicUsize>,
    origin: String,
    ca_pem: String,
    evil_port: u16,
    config: Config,
    clock: Arc<dyn Clock>,
    root: Tenant,
    tenants: Mutex<HashMap<String, Tenant>>,
    tenants_made: AtomicUsize,
}

impl Shared {
    /// Whether the emulator is to look as if it were not there.
    pub(crate) fn is_offline(&self) -> bool {
        self.root.current_troubles().offline
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Takes a request to the tenant that its path names.
    pub(crate) fn take(&self, request: &Request) -> Plan {
        let (name, place) = server::Place::find(&request.path);
        match self.find_tenant(name) {
            Some(tenant) => tenant.take(request, place, self.evil_origin()),
            None => self.root.take(request, server::Place::NOWHERE, self.evil_origin()),
        }
    }

    pub(crate) fn find_tenant(&self, name: &str) -> Option<Tenant> {
        if name.is_empty() {
            return Some(self.root.clone());
        }
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn add_tenant(&self, config: Config) -> Tenant {
        let name = format!("t{}", self.tenants_made.fetch_add(1, Ordering::Relaxed) + 1);
        let tenant = Tenant::new(name.clone(), &self.origin, config, Arc::clone(&self.clock));
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(name, tenant.clone());
        tenant
    }

    /// A new tenant like the default one, unless there are too many already.
    pub(crate) fn add_default_tenant(&self, most: usize) -> Option<Tenant> {
        (self.tenants_made.load(Ordering::Relaxed) < most).then(|| self.add_tenant(self.config.clone()))
    }

    /// Another host than the server's own.
    pub(crate) fn evil_origin(&self) -> String {
        format!("https://127.0.0.1:{}", self.evil_port)
    }
}

/// Listens on an address; with 127.0.0.1 also on ::1, where there is one, because `localhost` may mean either.
fn listen(host: IpAddr, port: u16) -> Result<(Vec<TcpListener>, u16), StartError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { port },
        _ => StartError::Listen { address: (host, port).into(), source },
    };
    let mut tries = PORT_TRIES;
    loop {
        let first = TcpListener::bind((host, port)).map_err(failed)?;
        let bound = first.local_addr().map_err(failed)?.port();
        if host != IpAddr::from(Ipv4Addr::LOCALHOST) {
            return Ok((vec![first], bound));
        }
        match TcpListener::bind((Ipv6Addr::LOCALHOST, bound)) {
            Ok(second) => return Ok((vec![first, second], bound)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tries -= 1;
                if port != 0 || tries == 0 {
                    return Err(failed(error));
                }
            }
            // No IPv6 here.
            Err(_) => return Ok((vec![first], bound)),
        }
    }
}
