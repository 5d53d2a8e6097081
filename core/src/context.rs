//! What every part of a client works with: its configuration, its environment, its store and its caches; and how a
//! request is sent.

mod proven;

use core::time::Duration;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::lock::OwnedMutexGuard;
pub(crate) use proven::{Authorization, Proven, TokenPost};

use crate::audit::{Attempt, AuditKind, Auditor, SecurityEvent, Trail};
use crate::config::{Config, Issuer, RefreshPolicy, WhenStorageFails};
use crate::discovery::Discovery;
use crate::env::{
    Blob, BootInstant, BoxFuture, Conversation, Environment, HeaderValue, HttpRequest, HttpResponse, Method,
    SigningKey, StorageKey, TokenStore, TransportError,
};
use crate::error::{Code, ConfigurationProblem, Kind, ResponseDefect, StoreProblem};
use crate::flow::SignIns;
use crate::gate::Gate;
use crate::headers::Provider;
use crate::proof::{Nonces, ProofKey};
use crate::secret::Secret;
use crate::session::queue::Waiter;
use crate::session::rules::{self, Now, Timing};
use crate::session::{State, Ticket, TokenHash, Watch};
use crate::wire::answer::{self, Failure, Leg, Reply, Why};
use crate::wire::form::Body;
use crate::wire::http_date::parse_http_date;
use crate::wire::json::Object;
use crate::wire::private::Private;
use crate::wire::rate_limit::{RateHeaders, Standing, Waits};

/// Answers of the token and direct-authentication endpoints, metadata and keys are read up to this size (row 12).
const MAX_ANSWER: usize = 1024 * 1024;
/// No store is waited for longer, whatever it says of itself.
const MAX_STORE_DEADLINE: Duration = Duration::from_secs(300);
/// Store calls of one client that may be late at once.
const MAX_LATE_CALLS: usize = 32;

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) env: Environment,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) discovery: Discovery,
    pub(crate) auditor: Auditor,
    /// Counted by its clones: the store calls that are late and still under way.
    pub(crate) late_calls: Arc<()>,
    pub(crate) standing: Mutex<Standing>,
    pub(crate) header_provider: Option<Provider>,
    pub(crate) gate: Option<Arc<Gate>>,
    /// Where the client's state is published; its sessions must not keep it alive.
    pub(crate) watch: Weak<Watch>,
    /// Whether the client was used, so that the queue is worked.
    pub(crate) is_used: AtomicBool,
    /// Whether a task waits to look again who is signed in.
    pub(crate) looks_later: AtomicBool,
    /// Who waits to work the queue.
    pub(crate) queue: Waiter,
    /// The sign-ins that run.
    pub(crate) sign_ins: Arc<SignIns>,
    /// The platform's keys.
    pub(crate) signer: Option<Arc<dyn SigningKey>>,
    /// Counted by its clones: the calls of them that are under way.
    pub(crate) key_calls: Arc<()>,
    pub(crate) nonces: Mutex<Nonces>,
    /// The keys of imports that came to nothing, with the refresh token's hash: the server may have bound it to that key.
    pub(crate) half_imported: Mutex<VecDeque<(TokenHash, ProofKey)>>,
    /// The server's clock as its last answer showed it: when that came, and seconds since 1970.
    pub(crate) server_clock: Mutex<Option<(BootInstant, i64)>>,
}

/// How an attempt ended, as an audit event says it.
pub(crate) struct Outcome {
    name: &'static str,
    status: Option<u16>,
    /// The server's name of the request.
    request_id: Option<Code>,
}

impl Outcome {
    /// Of a success, the status and the name of the request.
    pub(crate) fn of(result: Result<(u16, Option<Code>), &Failure>) -> Self {
        match result {
            Ok((status, request_id)) => Self { name: "Success", status: Some(status), request_id },
            Err(failure) => {
                Self { name: failure.why.name(), status: failure.status, request_id: failure.said.request_id.clone() }
            }
        }
    }

    /// By no answer.
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, status: None, request_id: None }
    }
}

/// The headers of a request.
pub(crate) type Headers = Vec<(Cow<'static, str>, HeaderValue)>;

impl Context {
    /// The same client at another issuer: its own documents and limits, and no sessions.
    pub(crate) fn at(&self, issuer: Issuer) -> Self {
        let config = Config { issuer, ..self.config.clone() };
        Self {
            auditor: self.auditor.at(&config),
            config,
            env: self.env.clone(),
            store: Arc::clone(&self.store),
            discovery: Discovery::default(),
            late_calls: Arc::clone(&self.late_calls),
            standing: Mutex::default(),
            header_provider: self.header_provider.clone(),
            gate: self.gate.clone(),
            watch: Weak::new(),
            is_used: AtomicBool::default(),
            looks_later: AtomicBool::default(),
            queue: Waiter::default(),
            sign_ins: Arc::clone(&self.sign_ins),
            signer: self.signer.clone(),
            key_calls: Arc::clone(&self.key_calls),
            nonces: Mutex::default(),
            half_imported: Mutex::default(),
            server_clock: Mutex::default(),
        }
    }

    /// Posts a form once.
    pub(crate) async fn post(
        &self,
        via: &dyn Conversation,
        url: &str,
        body: Body,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let provided = self.provided_headers(Method::Post, url).await;
        self.post_with(via, url, provided, body, deadline).await
    }

    /// As [`post`](Context::post), for a caller that has asked for the provided headers itself.
    pub(crate) async fn post_with(
        &self,
        via: &dyn Conversation,
        url: &str,
        provided: Headers,
        body: Body,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let types = ["application/json", "application/x-www-form-urlencoded"];
        self.send_body(via, Method::Post, url, provided, types, body, deadline).await
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    async fn send_body(
        &self,
        via: &dyn Conversation,
        method: Method,
        url: &str,
        mut headers: Headers,
        [accept, content_type]: [&'static str; 2],
        body: Body,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let (body, mut private) = body.into_parts();
        hide(&headers, &mut private);
        headers.extend([
            (Cow::Borrowed("accept"), HeaderValue::Plain(accept)),
            (Cow::Borrowed("content-type"), HeaderValue::Plain(content_type)),
        ]);
        let request =
            HttpRequest { method, url: url.to_owned(), headers, body: Some(body), max_response: MAX_ANSWER, deadline };
        let reply = self.send(via, request, private, true).await?;
        // A PUT goes to an API, whose nonces are its own.
        if method == Method::Post {
            self.nonces().heard(reply.response.header("dpop-nonce"));
        }
        Ok(reply)
    }

    /// Gets a JSON document, by the access token if one is given.
    pub(crate) async fn get(
        &self,
        via: &dyn Conversation,
        url: &str,
        by: Option<(&Secret, Authorization)>,
    ) -> Result<Reply, TransportError> {
        // EXPOSE: copied into a list that wipes itself, to be masked in what the server says.
        let mut private = Private::of(by.as_ref().map(|(token, _)| token.expose()));
        let mut headers = self.provided_headers(Method::Get, url).await;
        hide(&headers, &mut private);
        headers.push((Cow::Borrowed("accept"), HeaderValue::Plain("application/json")));
        let has_token = by.is_some();
        headers.extend(by.into_iter().flat_map(|(_, authorization)| authorization.into_headers()));
        let request = HttpRequest {
            method: Method::Get,
            url: url.to_owned(),
            headers,
            body: None,
            max_response: MAX_ANSWER,
            deadline: self.config.request_timeout,
        };
        self.send(via, request, private, has_token).await
    }

    async fn send(
        &self,
        via: &dyn Conversation,
        request: HttpRequest,
        private: Private,
        counted: bool,
    ) -> Result<Reply, TransportError> {
        let response = via.send(request).await?;
        let now = self.env.clock.boot();
        // All that is sent from here goes to the issuer. A copy of an earlier answer says nothing of the time.
        if let (Some(date), None) = (response.header("date").and_then(parse_http_date), response.header("age")) {
            *self.server_clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, date));
        }
        self.standing().heard(response.status, &RateHeaders::of(&response), counted, now);
        Ok(Reply { response, private })
    }

    /// The JSON object of a success, or what the answer means instead (`wire::answer`).
    pub(crate) fn read(&self, reply: &Reply, leg: Leg) -> Result<Object, Failure> {
        answer::read(reply, leg).map_err(|failure| failure.waiting(self.waits()))
    }

    /// A server that calls itself by another name, or sends the client elsewhere, is told to the app's log (AUD-2).
    pub(crate) fn report_oddity(&self, trail: Trail<'_>, failure: &Failure) {
        let event = match &failure.why {
            Why::Fatal(Kind::Configuration { what: ConfigurationProblem::IssuerMismatch { .. } }) => {
                SecurityEvent::IssuerMismatch
            }
            Why::Fatal(Kind::InvalidResponse { what: ResponseDefect::Redirect }) => SecurityEvent::RedirectBlocked,
            _ => return,
        };
        self.auditor.security(trail, event);
    }

    /// Tells the app's log how an attempt ended that began at `began`.
    pub(crate) fn attempt_finished(
        &self,
        trail: Trail<'_>,
        attempt: Attempt,
        began: BootInstant,
        outcome: Outcome,
        retries: u32,
    ) {
        let duration = self.env.clock.boot().since(began);
        let Outcome { name: outcome, status, request_id } = outcome;
        let finished = AuditKind::AttemptFinished { attempt, outcome, status, request_id, duration, retries };
        self.auditor.record(trail, finished);
    }

    /// Whether work that nobody waits for should wait, because the server wants quiet.
    pub(crate) fn should_be_quiet(&self) -> bool {
        self.standing().wants_quiet(self.env.clock.boot())
    }

    /// Both clocks at this moment.
    pub(crate) fn now(&self) -> Now {
        Now { wall: self.env.clock.wall(), boot: self.env.clock.boot() }
    }

    /// The constants of docs/sessions.md §5.
    pub(crate) fn timing(&self) -> &'static Timing {
        Timing::of(self.config.profile)
    }

    /// The right to write under a key, for this process. Not waited for without end: a store call may hang.
    pub(crate) async fn turn(&self, key: &StorageKey) -> Result<OwnedMutexGuard<()>, StoreProblem> {
        self.in_turn(self.env.sessions.writes(key.as_str()).lock_owned()).await
    }

    /// One session of this issuer and client is established at a time, or becomes the default.
    pub(crate) async fn establishing(&self) -> OwnedMutexGuard<()> {
        self.one_after_another("establishing").await
    }

    /// One refresh token is imported at a time.
    pub(crate) async fn importing(&self) -> OwnedMutexGuard<()> {
        self.one_after_another("importing").await
    }

    async fn one_after_another(&self, what: &str) -> OwnedMutexGuard<()> {
        let (issuer, client_id) = (self.config.issuer.as_str(), self.config.client_id.as_str());
        // No storage key: those have no spaces.
        self.env.sessions.writes(&format!("{what} {issuer} {client_id}")).lock_owned().await
    }

    /// Whether it has shown sessions of the issuer and client of `other`.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        let is_same = self.config.issuer.as_str() == other.config.issuer.as_str()
            && self.config.client_id.as_str() == other.config.client_id.as_str();
        is_same && self.watch.upgrade().is_some_and(|watch| watch.has_started())
    }

    /// Whether it shows that the store cannot be read for a reason that may go by itself.
    pub(crate) fn shows_nothing(&self) -> bool {
        let state = self.watch.upgrade().map(|watch| watch.state());
        matches!(state, Some(State::Unavailable(problem)) if rules::may_work_by_itself(problem))
    }

    /// Waits for a turn as long as for one store call.
    pub(crate) async fn in_turn<T>(&self, turn: impl Future<Output = T>) -> Result<T, StoreProblem> {
        let turn = core::pin::pin!(turn);
        match select(turn, self.env.clock.sleep(self.store_deadline())).await {
            Either::Left((guard, _)) => Ok(guard),
            Either::Right(_) => Err(StoreProblem::Transient),
        }
    }

    /// Before a look at who is signed in.
    pub(crate) fn ticket(&self) -> Ticket {
        self.watch.upgrade().map_or_else(Ticket::default, |watch| watch.ticket())
    }

    /// Tells whoever watches the client's state what a look has found that began with `ticket`.
    pub(crate) fn publish(&self, state: State, ticket: Ticket) {
        if let Some(watch) = self.watch.upgrade() {
            watch.publish(state, ticket);
        }
    }

    /// Whether this process may write and delete what others may be writing: it has the lock, or is the one that refreshes.
    pub(crate) fn may_write_others(&self) -> bool {
        self.gate.is_some() || self.config.refresh_policy == RefreshPolicy::WhenDue
    }

    /// A store that needs longer has failed this time (docs/sessions.md §4).
    pub(crate) fn store_deadline(&self) -> Duration {
        if planted!(WaitsForStore) {
            return Duration::from_secs(3600);
        }
        self.store.call_deadline().min(MAX_STORE_DEADLINE)
    }

    pub(crate) fn waits(&self) -> Waits {
        let mut spread = [0];
        // Without randomness nothing is added.
        let _ = self.env.randomness.fill(&mut spread);
        let [spread] = spread;
        Waits { back_off: self.standing().back_off(), spread }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the app's header provider has for a request to the issuer's origin; nothing for any other, and nothing if it
    /// fails or is late.
    pub(crate) async fn provided_headers(&self, method: Method, url: &str) -> Headers {
        let Some(provider) = &self.header_provider else { return Headers::new() };
        let Some(path) = self.config.issuer.path_of(url) else { return Headers::new() };
        let (headers, problem) = provider.ask(&self.env, method, path).await;
        if let (Some(problem), Some(id)) = (problem, self.random_id()) {
            self.auditor.security(Trail { id: &id, user: "" }, SecurityEvent::HeaderProviderFailed { problem });
        }
        headers.into_iter().map(|(name, value)| (Cow::Owned(name), HeaderValue::Secret(value))).collect()
    }

    /// Runs `work` on a task of its own; a caller that goes away does not stop it, it is only told.
    ///
    /// `None` if the task panicked or could not be run, which is a defect.
    pub(crate) fn detached<T, F, W>(&self, work: W) -> impl Future<Output = Option<T>> + use<T, F, W>
    where
        W: FnOnce(Abandoned) -> F,
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (caller, waiting) = oneshot::channel::<()>();
        let (done, result) = oneshot::channel();
        let work = work(Abandoned(Arc::new(caller)));
        self.env.spawner.spawn(Box::pin(async move {
            let _ = done.send(work.await);
        }));
        async move {
            let _present = waiting;
            result.await.ok()
        }
    }

    /// A random identifier of 128 bits, in lower-case hexadecimal; `None` if the system has no randomness.
    pub(crate) fn random_id(&self) -> Option<Code> {
        let mut bytes = [0; 16];
        self.env
            .randomness
            .fill(&mut bytes)
            .then(|| data_encoding::HEXLOWER.encode(&bytes))
            .and_then(|t| Code::parse(&t))
    }

    /// Reads a blob; what cannot be read is an error, never absent.
    pub(crate) async fn load(&self, key: &StorageKey) -> Result<Option<Blob>, StoreProblem> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.in_time(async move { store.load(&key).await }).await
    }

    /// Writes a blob and reads it back: stored means read back equal, whatever `store` said (docs/sessions.md §4).
    /// `writing` is held until the last call has returned, also if that is after the deadline.
    pub(crate) async fn store_and_check(
        &self,
        key: &StorageKey,
        blob: Blob,
        writing: impl Send + 'static,
    ) -> Result<(), StoreProblem> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.in_time(async move {
            let _writing = writing;
            let written = store.store(&key, &blob).await;
            match (store.load(&key).await, written) {
                (Ok(Some(found)), _) if found == blob => Ok(()),
                (_, Err(problem)) | (Err(problem), Ok(())) => Err(problem),
                (Ok(_), Ok(())) => Err(StoreProblem::Transient),
            }
        })
        .await
    }

    /// Deletes a blob and looks that it is gone.
    pub(crate) async fn delete_and_check(
        &self,
        key: &StorageKey,
        writing: impl Send + 'static,
    ) -> Result<(), StoreProblem> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.in_time(async move {
            let _writing = writing;
            let deleted = store.delete(&key).await;
            match (store.load(&key).await, deleted) {
                (Ok(None), _) => Ok(()),
                (_, Err(problem)) | (Err(problem), Ok(())) => Err(problem),
                (Ok(Some(_)), Ok(())) => Err(StoreProblem::Transient),
            }
        })
        .await
    }

    pub(crate) async fn stored_keys(&self) -> Result<Vec<StorageKey>, StoreProblem> {
        let store = Arc::clone(&self.store);
        self.in_time(async move { store.keys().await }).await
    }

    /// Runs a store call where it may block, and so that one that is late ends by itself instead of half way. While too
    /// many are late no further one is begun: each holds a thread.
    async fn in_time<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, StoreProblem>> + Send + 'static,
    ) -> Result<T, StoreProblem> {
        if Arc::strong_count(&self.late_calls) > MAX_LATE_CALLS {
            return Err(StoreProblem::Transient);
        }
        let mut call: BoxFuture<'static, _> = Box::pin(call);
        // A store that breaks its word, and is not ready, goes where the others go.
        if !self.store.may_block()
            && let Some(result) = call.as_mut().now_or_never()
        {
            return result;
        }
        let (done, result) = oneshot::channel();
        // Ends when the call is over and nobody has heard of it.
        let (late, counted) = oneshot::channel::<Arc<()>>();
        self.env.spawner.spawn_blocking(Box::pin(async move {
            let _ = done.send(call.await);
            drop(counted);
        }));
        match select(result, self.env.clock.sleep(self.store_deadline())).await {
            Either::Left((result, _)) => result.unwrap_or(Err(StoreProblem::Transient)),
            Either::Right(_) => {
                // It stays in the channel for as long as the call lasts.
                let _ = late.send(Arc::clone(&self.late_calls));
                Err(StoreProblem::Transient)
            }
        }
    }

    /// The server's time at this moment by the answer just received, or the device's own.
    pub(crate) fn server_time(&self, response: &HttpResponse) -> ServerTime {
        let device = self.env.clock.wall().as_secs();
        let server = response.header("date").and_then(parse_http_date);
        ServerTime { at: server.unwrap_or(device), ahead: server.map_or(0, |server| server.saturating_sub(device)) }
    }
}

/// What the app's provider gives is a secret too.
fn hide(provided: &Headers, private: &mut Private) {
    for (_, value) in provided {
        if let HeaderValue::Secret(value) = value {
            // EXPOSE: copied into a list that wipes itself, to be masked in what the server says.
            private.add(value.expose());
        }
    }
}

/// The server's clock as one answer showed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerTime {
    /// Unix seconds.
    pub(crate) at: i64,
    /// Seconds by which it is ahead of the device.
    pub(crate) ahead: i64,
}

/// Knows whether the caller of a detached task went away.
#[derive(Clone)]
pub(crate) struct Abandoned(Arc<oneshot::Sender<()>>);

impl Abandoned {
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_canceled()
    }
}

/// Whether the store can be written at all, asked before a credential is spent (docs/sessions.md §4).
///
/// Under a key of its own: sign-ins of several users, and of several processes, probe at the same time. On a task of its
/// own: a caller that goes away leaves no key behind.
pub(crate) async fn probe(context: &Arc<Context>, id: &Code) -> Result<(), Kind> {
    if context.config.when_storage_fails == WhenStorageFails::KeepInMemory {
        return Ok(());
    }
    let key = StorageKey::of("probe.", id);
    let probing = Arc::clone(context);
    let probe = async move {
        probing.store_and_check(&key, Blob::new(b"probe".to_vec()), ()).await?;
        probing.delete_and_check(&key, ()).await
    };
    if !context.store.may_block() {
        return probe.await.map_err(storage);
    }
    context.detached(move |_| probe).await.unwrap_or(Err(StoreProblem::Transient)).map_err(storage)
}

/// Runs work to its end without anybody waiting.
pub(crate) fn in_background(env: &Environment, work: impl Future<Output = ()> + Send + 'static) {
    let work: BoxFuture<'static, ()> = Box::pin(work);
    env.spawner.spawn(work);
}

/// A store problem as an error kind.
pub(crate) fn storage(reason: StoreProblem) -> Kind {
    Kind::StorageUnavailable { reason }
}
