//! A device, a store and a server in simulated time, on which the real library runs and can be stopped at every effect.
//!
//! An effect is a store call or a request. Each has two points: before it takes effect, and after, before the caller hears
//! of it. A case names what happens at one point: the process dies, the call fails, the answer is lost, another process
//! acts. Everything is deterministic; nothing sleeps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use directauth::env::{
    Blob, BoxFuture, Clock, Conversation, HttpRequest, HttpResponse, StorageKey, TokenStore, Transport, TransportError,
    TransportProblem,
};
use directauth::error::{NetworkProblem, StoreProblem};
use directauth::{Client, Session, Step};
use zeroize::Zeroizing;

use super::world::World;

pub const ISSUER: &str = "https://as.example/oauth2/default";
pub const LIFE: u64 = 3600;

/// What happens at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The process dies.
    Crash,
    /// A store call fails: without effect, or with it, or says `Ok` without effect. At a request's point: nothing.
    StoreFails(Fault),
    StoreFailsAfterEffect,
    StoreLies,
    /// A store call takes longer than the library waits, and has its effect then.
    StoreHangs,
    /// A request is lost before or after the server acted, or the server answers with a status.
    RequestLost,
    AnswerLost,
    Answer(u16),
    /// Another process of the device asks for a token.
    OtherProcess,
    /// The app does something: cancels the sign-in, or asks for a token meanwhile.
    Act,
    /// The app drops the future that it waits for.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Locked,
    Transient,
    KeyMissing,
}

/// One device with one server.
#[derive(Clone)]
pub struct Device {
    pub world: World,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    blobs: BTreeMap<StorageKey, Vec<u8>>,
    /// Every blob that was ever read.
    ever: Vec<Vec<u8>>,
    server: Server,
    /// Points counted since the case began; only the first process's count.
    point: usize,
    plan: Option<(usize, Event)>,
    names: Vec<&'static str>,
    dead: bool,
    /// Whether the newest refresh token was nowhere but in the process that died.
    lost: bool,
    /// What `Act` does.
    on_act: Option<Box<dyn Fn() + Send>>,
    dropped: bool,
    /// Whether the planned event found its point to be one it can happen at.
    happened: bool,
    writes_under_way: Vec<StorageKey>,
    pub violations: Vec<String>,
}

/// The server's side of refresh tokens: rotation with leeway and reuse detection.
#[derive(Default)]
pub struct Server {
    pub leeway: u64,
    pub grants: Vec<Grant>,
    issued: u64,
    pub sent: Vec<(Duration, String)>,
    pub revoked: Vec<String>,
}

pub struct Grant {
    pub alive: bool,
    current: String,
    replaced: Vec<(String, Duration)>,
    access: Vec<(String, Duration)>,
    /// Why it died, if it did.
    pub reuse_detected: bool,
}

impl Device {
    pub fn new(leeway: u64) -> Self {
        let inner = Inner {
            blobs: BTreeMap::new(),
            ever: Vec::new(),
            server: Server { leeway, ..Server::default() },
            point: 0,
            plan: None,
            names: Vec::new(),
            dead: false,
            lost: false,
            on_act: None,
            dropped: false,
            happened: false,
            writes_under_way: Vec::new(),
            violations: Vec::new(),
        };
        Self { world: World::new(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Whether the process that died took the newest refresh token along.
    pub fn lost(&self) -> bool {
        self.lock().lost
    }

    pub fn was_dropped(&self) -> bool {
        self.lock().dropped
    }

    pub fn on_act(&self, act: impl Fn() + Send + 'static) {
        self.lock().on_act = Some(Box::new(act));
    }

    /// Whether a token is or was in the store.
    pub fn was_stored(&self, token: &str) -> bool {
        let inner = self.lock();
        inner.ever.iter().any(|blob| blob.windows(token.len()).any(|window| window == token.as_bytes()))
    }

    pub fn violated(&self, what: &str) {
        self.lock().violations.push(what.to_owned());
    }

    pub fn live_grants(&self) -> usize {
        self.server(|server| server.grants.iter().filter(|grant| grant.alive).count())
    }

    /// A new process: its own session table and caches, the same store and server.
    pub fn process(&self, counted: bool) -> Client {
        let transport = SimTransport { device: self.clone(), counted };
        let store = SimStore { device: self.clone(), counted };
        Client::builder(ISSUER, "id")
            .scopes(["offline_access"])
            .store(store)
            .environment(self.world.environment(transport))
            .build()
            .expect("a valid configuration")
    }

    pub fn sign_in(&self, client: &Client) -> Session {
        match self.world.run(client.sign_in("ana").password("pw")) {
            Ok(Step::SignedIn(session)) => session,
            other => panic!("{other:?}"),
        }
    }

    /// From here on points are counted, and `event` happens at `point`.
    pub fn plan(&self, point: usize, event: Event) {
        let mut inner = self.lock();
        inner.point = 0;
        inner.names.clear();
        inner.plan = Some((point, event));
        inner.happened = false;
    }

    /// Runs until `main` ends or the process is dead.
    pub fn run<T>(&self, main: impl Future<Output = T>) -> Option<T> {
        let result = self.world.try_run(main, || self.lock().dead);
        if self.lock().dead { None } else { result }
    }

    /// Lets what was started in the background come to its end, unless the process is dead.
    pub fn settle(&self) {
        if !self.lock().dead {
            self.world.settle();
        }
    }

    /// The process is gone, if it is not yet; the next begins after `pause`, perhaps after a reboot.
    pub fn restart(&self, pause: Duration, reboot: bool) {
        self.world.kill();
        {
            let mut inner = self.lock();
            inner.dead = false;
            inner.plan = None;
            inner.writes_under_way.clear();
        }
        self.world.advance(pause);
        if reboot {
            self.world.reboot();
        }
    }

    pub fn points(&self) -> Vec<&'static str> {
        self.lock().names.clone()
    }

    pub fn happened(&self) -> bool {
        self.lock().happened
    }

    pub fn records(&self) -> usize {
        self.lock().blobs.keys().filter(|key| key.as_str().starts_with("session.")).count()
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    pub fn server<T>(&self, look: impl FnOnce(&mut Server) -> T) -> T {
        look(&mut self.lock().server)
    }

    /// Whether the server takes this access token now.
    pub fn accepts(&self, token: &str) -> bool {
        let now = self.server_now();
        let inner = self.lock();
        inner
            .server
            .grants
            .iter()
            .any(|grant| grant.alive && grant.access.iter().any(|(known, until)| known == token && now < *until))
    }

    /// The server has its own clock, which nobody sets and which survives a reboot of the device.
    pub fn server_now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.world.wall().as_millis()).expect("after 1970"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a point and says what happens there. `Crash` has already happened when this returns.
    fn point(&self, name: &'static str, counted: bool) -> Option<Event> {
        let mut inner = self.lock();
        if !counted || inner.plan.is_none() {
            return None;
        }
        let point = inner.point;
        inner.point += 1;
        inner.names.push(name);
        let event = inner.plan.filter(|(at, _)| *at == point).map(|(_, event)| event)?;
        match event {
            Event::Crash => {
                inner.dead = true;
                inner.happened = true;
                inner.lost = inner.newest_is_only_in_memory();
            }
            Event::Drop => {
                inner.dropped = true;
                inner.happened = true;
            }
            Event::Act => {
                inner.happened = true;
                let act = inner.on_act.take();
                drop(inner);
                if let Some(act) = act {
                    act();
                }
            }
            _ => {}
        }
        Some(event)
    }

    fn happens(&self) {
        self.lock().happened = true;
    }

    /// A dead process waits for ever.
    async fn unless_dead(&self) {
        if self.lock().dead {
            std::future::pending::<()>().await;
        }
    }

    async fn other_process(&self, event: Option<Event>) {
        if event == Some(Event::OtherProcess) {
            self.happens();
            let other = self.process(false);
            if let Ok(Some(session)) = other.restore().await
                && let Ok(token) = session.access_token().await
                && !self.accepts(token.expose())
            {
                self.lock().violations.push("the other process got a token that the server refuses".to_owned());
            }
        }
    }
}

impl Inner {
    fn newest_is_only_in_memory(&self) -> bool {
        self.server.grants.iter().filter(|grant| grant.alive).any(|grant| {
            let token = grant.current.as_bytes();
            !self.blobs.values().any(|blob| blob.windows(token.len()).any(|window| window == token))
        })
    }
}

#[derive(Clone)]
struct SimStore {
    device: Device,
    counted: bool,
}

impl SimStore {
    /// One store call with its two points.
    async fn call<T>(
        &self,
        key: &StorageKey,
        names: [&'static str; 2],
        writes: bool,
        effect: impl FnOnce(&mut BTreeMap<StorageKey, Vec<u8>>) -> T,
        lie: T,
    ) -> Result<T, StoreProblem> {
        let device = &self.device;
        let event = device.point(names[0], self.counted);
        device.unless_dead().await;
        device.other_process(event).await;
        {
            let mut inner = device.lock();
            if writes && self.counted {
                if inner.writes_under_way.contains(key) {
                    inner.violations.push(format!("two writes of {key:?} at once"));
                }
                inner.writes_under_way.push(key.clone());
            }
        }
        let result = match event {
            Some(Event::StoreFails(problem)) => {
                device.happens();
                Err(match problem {
                    Fault::Locked => StoreProblem::Locked,
                    Fault::Transient => StoreProblem::Transient,
                    Fault::KeyMissing => StoreProblem::KeyMissing,
                })
            }
            Some(Event::StoreFailsAfterEffect) => {
                device.happens();
                effect(&mut device.lock().blobs);
                Err(StoreProblem::Transient)
            }
            Some(Event::StoreHangs) => {
                device.happens();
                device.world.sleep(Duration::from_secs(20)).await;
                Ok(effect(&mut device.lock().blobs))
            }
            Some(Event::StoreLies) if writes => {
                device.happens();
                Ok(lie)
            }
            _ => Ok(effect(&mut device.lock().blobs)),
        };
        if !writes {
            let mut inner = device.lock();
            let now: Vec<_> = inner.blobs.values().cloned().collect();
            inner.ever.extend(now);
        }
        let event = device.point(names[1], self.counted);
        device.unless_dead().await;
        if writes && self.counted {
            let mut inner = device.lock();
            if let Some(at) = inner.writes_under_way.iter().position(|known| known == key) {
                inner.writes_under_way.remove(at);
            }
        }
        device.other_process(event).await;
        result
    }
}

impl TokenStore for SimStore {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        let effect = |blobs: &mut BTreeMap<StorageKey, Vec<u8>>| blobs.get(key).cloned().map(Blob::new);
        Box::pin(self.call(key, ["load", "loaded"], false, effect, None))
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        let effect = |blobs: &mut BTreeMap<StorageKey, Vec<u8>>| {
            blobs.insert(key.clone(), blob.expose().to_vec());
        };
        Box::pin(self.call(key, ["store", "stored"], true, effect, ()))
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        let effect = |blobs: &mut BTreeMap<StorageKey, Vec<u8>>| {
            blobs.remove(key);
        };
        Box::pin(self.call(key, ["delete", "deleted"], true, effect, ()))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        let effect = |blobs: &mut BTreeMap<StorageKey, Vec<u8>>| blobs.keys().cloned().collect();
        Box::pin(async move {
            let none = StorageKey::parse("none").expect("a key");
            self.call(&none, ["keys", "listed"], false, effect, Vec::new()).await
        })
    }
}

#[derive(Clone)]
struct SimTransport {
    device: Device,
    counted: bool,
}

impl Transport for SimTransport {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(self.clone())
    }
}

impl Conversation for SimTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let this = self.clone();
        Box::pin(async move { this.exchange(request).await })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl SimTransport {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let device = &self.device;
        let event = device.point("send", self.counted);
        device.unless_dead().await;
        device.other_process(event).await;
        let lost = |kind| {
            device.happens();
            Err(TransportError { problem: TransportProblem::Network(kind), maybe_sent: true })
        };
        match event {
            Some(Event::RequestLost) => {
                self.device.world.sleep(request.deadline).await;
                return lost(NetworkProblem::Timeout);
            }
            Some(Event::Answer(status)) => {
                device.happens();
                return Ok(json(status, r#"{"error":"invalid_grant"}"#));
            }
            _ => {}
        }
        let now = device.server_now();
        let answer = device.lock().server.answer(&request, now);
        let late = event == Some(Event::AnswerLost);
        let event = device.point("answered", self.counted);
        device.unless_dead().await;
        device.other_process(event).await;
        if late || event == Some(Event::AnswerLost) {
            self.device.world.sleep(request.deadline).await;
            return lost(NetworkProblem::Timeout);
        }
        Ok(answer)
    }
}

impl Server {
    fn answer(&mut self, request: &HttpRequest, now: Duration) -> HttpResponse {
        let url = url::Url::parse(&request.url).expect("a URL");
        let form: BTreeMap<String, String> = request
            .body
            .as_ref()
            .map(|body| url::form_urlencoded::parse(body).into_owned().collect())
            .unwrap_or_default();
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        match url.path() {
            "/oauth2/default/.well-known/openid-configuration" => json(
                200,
                &format!(
                    r#"{{"issuer":"{ISSUER}","token_endpoint":"{ISSUER}/v1/token","jwks_uri":"{ISSUER}/v1/keys","revocation_endpoint":"{ISSUER}/v1/revoke"}}"#
                ),
            ),
            "/oauth2/default/v1/primary-authenticate" => {
                json(200, r#"{"oob_code":"o","channel":"sms","binding_method":"prompt","expires_in":300}"#)
            }
            "/oauth2/default/v1/token" if field("grant_type") != "refresh_token" => self.begin(now),
            "/oauth2/default/v1/token" => self.refresh(&field("refresh_token"), now),
            "/oauth2/default/v1/revoke" => {
                self.revoke(&field("token"));
                HttpResponse { status: 200, headers: vec![], body: Zeroizing::new(vec![]) }
            }
            other => panic!("no such endpoint: {other}"),
        }
    }

    fn begin(&mut self, now: Duration) -> HttpResponse {
        let current = self.name("rt");
        let grant = Grant { alive: true, current, replaced: vec![], access: vec![], reuse_detected: false };
        self.grants.push(grant);
        let index = self.grants.len() - 1;
        self.tokens(index, now)
    }

    fn refresh(&mut self, token: &str, now: Duration) -> HttpResponse {
        self.sent.push((now, token.to_owned()));
        let leeway = Duration::from_secs(self.leeway);
        let new = self.name("rt");
        for (index, grant) in self.grants.iter_mut().enumerate() {
            let replaced_at = grant.replaced.iter().find(|(known, _)| known == token).map(|(_, at)| *at);
            let in_time =
                grant.current == token || replaced_at.is_some_and(|at| now <= at + leeway && leeway > Duration::ZERO);
            if !grant.alive || (!in_time && replaced_at.is_none()) {
                continue;
            }
            if !in_time {
                grant.alive = false;
                grant.reuse_detected = true;
                break;
            }
            let old = std::mem::replace(&mut grant.current, new);
            grant.replaced.push((old, now));
            return self.tokens(index, now);
        }
        json(400, r#"{"error":"invalid_grant"}"#)
    }

    fn revoke(&mut self, token: &str) {
        self.revoked.push(token.to_owned());
        for grant in &mut self.grants {
            let is_its = grant.current == token || grant.replaced.iter().any(|(known, _)| known == token);
            grant.alive &= !is_its;
        }
    }

    fn tokens(&mut self, grant: usize, now: Duration) -> HttpResponse {
        let access = self.name("at");
        let grant = &mut self.grants[grant];
        grant.access.push((access.clone(), now + Duration::from_secs(LIFE)));
        let refresh = &grant.current;
        json(
            200,
            &format!(
                r#"{{"token_type":"Bearer","access_token":"{access}","refresh_token":"{refresh}","expires_in":{LIFE}}}"#
            ),
        )
    }

    fn name(&mut self, kind: &str) -> String {
        self.issued += 1;
        format!("{kind}{}", self.issued)
    }
}

fn json(status: u16, body: &str) -> HttpResponse {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    HttpResponse { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) }
}
