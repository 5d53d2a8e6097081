//! The shipped transport: reqwest on rustls.
//!
//! Each sign-in gets a thread and a runtime of its own that end with it: buffers of a connection (TLS records, HTTP
//! parsers) keep what went through them, and only dropping the runtime frees them at a known moment. Background requests
//! share one client on the library's background thread. HTTP/1.1, no redirects, no cookies, no retries, no proxy but the
//! one that the options name.

use core::time::Duration;
use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_channel::oneshot;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::pins::PinMismatch;
use super::proxy::Route;
use super::transport::{
    Conversation, HeaderValue, HttpRequest, HttpResponse, Method, NetworkOptions, Transport, TransportError,
    TransportProblem,
};
use super::{BoxFuture, Clock, SystemClock};
use crate::error::{ConfigurationProblem, NetworkProblem, ResponseDefect};

/// At most this many sign-ins have connections at once; each costs a thread.
const MAX_CONVERSATIONS: usize = 16;
/// A connection that was idle for longer, by the clock that counts sleep, is not used again.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// How long the kernel tries to deliver what was sent. Apple systems have no such option.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNDELIVERED: Duration = Duration::from_secs(12);
/// Longest header value that is kept.
const MAX_HEADER_VALUE: usize = 4096;

/// reqwest on rustls (ring), configured as the module's text says.
pub struct HttpTransport {
    setup: Arc<Setup>,
    open: Arc<AtomicUsize>,
    background: Arc<BackgroundConversation>,
}

impl HttpTransport {
    /// Opens nothing and reads nothing; that happens with the first request, on the library's own threads.
    pub fn new(options: NetworkOptions) -> Self {
        let setup = Arc::new(Setup { options, prepared: Mutex::new(None) });
        Self {
            background: Arc::new(BackgroundConversation {
                client: Arc::new(Mutex::new(Held::new(Arc::clone(&setup), WhatFor::Background))),
            }),
            open: Arc::new(AtomicUsize::new(0)),
            setup,
        }
    }
}

impl Transport for HttpTransport {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        let slot = Slot::take(&self.open).ok_or_else(|| not_sent(TransportProblem::TooManyConversations))?;
        let conversation = ThreadConversation::start(Arc::clone(&self.setup), slot)
            .ok_or_else(|| not_sent(TransportProblem::TooManyConversations))?;
        Ok(Box::new(conversation))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::clone(&self.background) as Arc<dyn Conversation>
    }
}

/// What every connection is made with, prepared by the first thread that needs it (the platform's roots may be slow to
/// load).
struct Setup {
    options: NetworkOptions,
    prepared: Mutex<Option<(rustls::ClientConfig, Option<Arc<Route>>)>>,
}

impl Setup {
    fn prepared(&self) -> Result<(rustls::ClientConfig, Option<Arc<Route>>), ConfigurationProblem> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*prepared {
            Some(prepared) => Ok(prepared.clone()),
            None => {
                let NetworkOptions { trust, pins, proxy, .. } = &self.options;
                // What is not UTF-8 must not count as missing: with a mark in it, it is refused.
                let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
                let route = proxy.route(variable)?.map(Arc::new);
                Ok(prepared.insert((super::tls::client_config(trust, pins.as_ref())?, route)).clone())
            }
        }
    }

    fn client(&self, what_for: WhatFor) -> Result<Client, TransportError> {
        let (config, route) = self.prepared().map_err(|what| not_sent(TransportProblem::Configuration(what)))?;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("directauth/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.options.connect_timeout)
            .pool_idle_timeout(MAX_IDLE)
            .pool_max_idle_per_host(1)
            .tcp_nodelay(true);
        // Bytes that were not acknowledged in this time are never delivered, also after the request was given up.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let builder = match what_for {
            WhatFor::Background => builder.tcp_user_timeout(UNDELIVERED),
            // reqwest's own 30 s: what a user waits for is not cut short by a gap in the radio.
            WhatFor::SignIn => builder,
        };
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = what_for;
        let builder = match &route {
            Some(route) => builder.proxy(tunnel(route)?),
            None => builder,
        };
        let http = builder.build();
        let http = http.map_err(|_| not_sent(TransportProblem::Configuration(ConfigurationProblem::PlatformTrust)))?;
        Ok(Client { http, route })
    }
}

/// The proxy of a route, for the connections that the route carries.
fn tunnel(route: &Arc<Route>) -> Result<reqwest::Proxy, TransportError> {
    let carrier = Arc::clone(route);
    let proxy = reqwest::Proxy::custom(move |url| carrier.carries(url).then(|| carrier.proxy.url.clone()));
    match &route.proxy.authorization {
        Some(value) => Ok(proxy.custom_http_auth(sensitive(value)?)),
        None => Ok(proxy),
    }
}

/// Connections that are made in one way.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    route: Option<Arc<Route>>,
}

impl Client {
    fn goes_through_a_proxy(&self, url: &str) -> bool {
        let carries = |route: &Arc<Route>| url::Url::parse(url).is_ok_and(|url| route.carries(&url));
        self.route.as_ref().is_some_and(carries)
    }
}

/// Whose connections they are.
#[derive(Clone, Copy)]
enum WhatFor {
    SignIn,
    Background,
}

/// A client that is made anew when its connections were idle for too long.
struct Held {
    setup: Arc<Setup>,
    what_for: WhatFor,
    client: Option<Client>,
    last_used: super::BootInstant,
}

impl Held {
    fn new(setup: Arc<Setup>, what_for: WhatFor) -> Self {
        Self { setup, what_for, client: None, last_used: super::BootInstant::from_boot(Duration::ZERO) }
    }

    fn client(&mut self) -> Result<Client, TransportError> {
        let now = SystemClock.boot();
        if now.since(self.last_used) > MAX_IDLE {
            self.client = None;
        }
        self.last_used = now;
        match &self.client {
            Some(client) => Ok(client.clone()),
            None => {
                let client = self.setup.client(self.what_for)?;
                self.client = Some(client.clone());
                Ok(client)
            }
        }
    }
}

type Reply = oneshot::Sender<Result<HttpResponse, TransportError>>;

struct BackgroundConversation {
    client: Arc<Mutex<Held>>,
}

impl Conversation for BackgroundConversation {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let (reply, answer) = oneshot::channel();
        let held = Arc::clone(&self.client);
        let runtime = super::runtime::background();
        if let Some(runtime) = runtime {
            runtime.spawn(async move {
                if reply.is_canceled() {
                    return;
                }
                let client = held.lock().unwrap_or_else(PoisonError::into_inner).client();
                let result = match client {
                    Ok(client) => exchange(&client, request).await,
                    Err(error) => Err(error),
                };
                if result.is_err() {
                    // A request that was given up must not leave a connection behind that a late answer could reach.
                    held.lock().unwrap_or_else(PoisonError::into_inner).client = None;
                }
                let _ = reply.send(result);
            });
        }
        receive(runtime.is_some(), answer)
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).client = None;
        Box::pin(core::future::ready(()))
    }
}

/// The place that a conversation takes among the allowed ones.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < MAX_CONVERSATIONS).then_some(n + 1)).ok()?;
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct ThreadConversation {
    /// `None` once closed.
    requests: Mutex<Option<mpsc::UnboundedSender<(HttpRequest, Reply)>>>,
    ended: futures_util::future::Shared<oneshot::Receiver<()>>,
}

impl ThreadConversation {
    fn start(setup: Arc<Setup>, slot: Slot) -> Option<Self> {
        let (requests, queue) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("directauth-signin".to_owned())
            .spawn(move || {
                run(setup, queue);
                super::runtime::scrub_stack();
                drop(slot);
                let _ = end.send(());
            })
            .ok()?;
        Some(Self { requests: Mutex::new(Some(requests)), ended: futures_util::FutureExt::shared(ended) })
    }
}

impl Conversation for ThreadConversation {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let (reply, answer) = oneshot::channel();
        let begun = match &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(requests) => requests.send((request, reply)).is_ok(),
            None => false,
        };
        receive(begun, answer)
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = self.ended.clone();
        Box::pin(async move {
            let _ = ended.await;
        })
    }
}

fn receive(
    begun: bool,
    answer: oneshot::Receiver<Result<HttpResponse, TransportError>>,
) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
    Box::pin(async move {
        if !begun {
            return Err(not_sent(TransportProblem::Network(NetworkProblem::Connect)));
        }
        // No reply at all: its thread is gone, who knows how far it came.
        answer.await.unwrap_or_else(|_| Err(maybe_sent(TransportProblem::Network(NetworkProblem::Interrupted))))
    })
}

/// The life of a conversation's thread; everything that saw a byte of it is gone when this returns.
fn run(setup: Arc<Setup>, mut queue: mpsc::UnboundedReceiver<(HttpRequest, Reply)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut held = Held::new(setup, WhatFor::SignIn);
        while let Some((request, reply)) = queue.recv().await {
            // Whoever asked went away before a byte of it was sent.
            if reply.is_canceled() {
                continue;
            }
            let result = match held.client() {
                Ok(client) => exchange(&client, request).await,
                Err(error) => Err(error),
            };
            held.last_used = SystemClock.boot();
            if result.is_err() {
                held.client = None;
            }
            let _ = reply.send(result);
        }
    });
    // Name resolution may still hold a blocking thread; it knows no secret and is not waited for.
    runtime.shutdown_background();
}

/// One request, one answer, one deadline for all of it.
async fn exchange(client: &Client, request: HttpRequest) -> Result<HttpResponse, TransportError> {
    let deadline = request.deadline;
    match tokio::time::timeout(deadline, attempt(client, request)).await {
        Ok(result) => result,
        Err(_) => Err(maybe_sent(TransportProblem::Network(NetworkProblem::Timeout))),
    }
}

async fn attempt(client: &Client, request: HttpRequest) -> Result<HttpResponse, TransportError> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
    };
    let mut builder = client.http.request(method, &request.url);
    for (name, value) in &request.headers {
        builder = match value {
            HeaderValue::Plain(value) => builder.header(name.as_ref(), *value),
            HeaderValue::Secret(secret) => builder.header(name.as_ref(), sensitive(secret)?),
        };
    }
    if let Some(body) = request.body {
        // Sent without a copy, and wiped by its owner when the last reference goes.
        builder = builder.body(Bytes::from_owner(body));
    }
    let through_a_proxy = client.goes_through_a_proxy(&request.url);
    let response = builder.send().await.map_err(|error| classify(&error, through_a_proxy))?;
    read(response, request.max_response).await
}

fn sensitive(secret: &crate::secret::Secret) -> Result<reqwest::header::HeaderValue, TransportError> {
    // EXPOSE: written into the request's header; the HTTP stack never logs a value marked sensitive.
    let value = reqwest::header::HeaderValue::from_str(secret.expose());
    let mut value = value.map_err(|_| not_sent(TransportProblem::Defect(ResponseDefect::Member("access_token"))))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(mut response: reqwest::Response, max: usize) -> Result<HttpResponse, TransportError> {
    let defect = |what| maybe_sent(TransportProblem::Defect(what));
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .filter(|(_, value)| value.len() <= MAX_HEADER_VALUE)
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    if response.headers().get("content-encoding").is_some_and(|value| value != "identity") {
        return Err(defect(ResponseDefect::ContentEncoding));
    }
    let announced = response.content_length().unwrap_or(0);
    if announced > max as u64 {
        return Err(defect(ResponseDefect::TooLarge));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(usize::try_from(announced).unwrap_or(0).max(4096)));
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error, false))? {
        if body.len().saturating_add(chunk.len()) > max {
            return Err(defect(ResponseDefect::TooLarge));
        }
        append(&mut body, &chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

/// Appends, growing by copy and wipe rather than by a reallocation that leaves the old bytes behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len().saturating_add(chunk.len());
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

/// What a reqwest error means here. Its text holds the URL and is never kept.
fn classify(error: &reqwest::Error, through_a_proxy: bool) -> TransportError {
    if let Some(problem) = tls_problem(error) {
        return not_sent(TransportProblem::Network(problem));
    }
    if error.is_connect() {
        let problem = match error.is_timeout() {
            true => NetworkProblem::Timeout,
            false if through_a_proxy && !is_beyond_the_proxy(error) => NetworkProblem::Proxy,
            false => NetworkProblem::Connect,
        };
        return not_sent(TransportProblem::Network(problem));
    }
    if error.is_builder() {
        return not_sent(TransportProblem::Network(NetworkProblem::Connect));
    }
    let problem = if error.is_timeout() { NetworkProblem::Timeout } else { NetworkProblem::Interrupted };
    maybe_sent(TransportProblem::Network(problem))
}

/// A failed handshake, found by type in the chain of causes. Nothing of the request had been sent then.
fn tls_problem(error: &reqwest::Error) -> Option<NetworkProblem> {
    if !error.is_connect() {
        return None;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(if is_pin_mismatch(error) { NetworkProblem::Pin } else { NetworkProblem::Tls });
        }
        // An I/O error hides what it wraps from `source`, and TLS errors come wrapped in two of them.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    None
}

fn is_pin_mismatch(error: &rustls::Error) -> bool {
    use rustls::{CertificateError, Error, OtherError};
    matches!(error, Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) if cause.is::<PinMismatch>())
}

/// Whether a connection failed after the proxy had opened the tunnel: then it is the server's, or the network's.
///
/// The tunnel's error has a type without a public name, but the one step that follows it, the TLS handshake, fails with an
/// I/O error and nothing else. So what counts is the type of the connector's own error: the cause of the client's error,
/// which is the cause of `error`. (tests/network_options.rs has a proxy for each way to fail.)
fn is_beyond_the_proxy(error: &reqwest::Error) -> bool {
    error.source().and_then(std::error::Error::source).is_some_and(|cause| cause.is::<std::io::Error>())
}

fn not_sent(problem: TransportProblem) -> TransportError {
    TransportError { problem, maybe_sent: false }
}

fn maybe_sent(problem: TransportProblem) -> TransportError {
    TransportError { problem, maybe_sent: true }
}
