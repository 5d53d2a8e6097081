//! The device of the simulator: a store, a network and a lock, each of whose calls can be stopped before and after it takes
//! effect; and how each event happens.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::events::{Act, Event, NetFault, Place, StoreFault, Who};
use super::history::{Facts, History};
use super::server::{Did, ISSUER, Manner, Server, json_answer};
use super::world::{Pid, Process, World, lock};
use crate::Client;
use crate::config::{Accounts, DPoP, Profile, RefreshPolicy};
use crate::env::{
    Blob, BoxFuture, Clock, Conversation, CrossProcessLock, Environment, HeaderValue, HttpRequest, HttpResponse,
    LockProblem, SessionTable, Spawner, StorageKey, TokenStore, Transport, TransportError, TransportProblem,
};
use crate::error::{NetworkProblem, StoreProblem};

/// How the clients of a case are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) manner: Manner,
    pub(super) profile: Profile,
    pub(super) accounts: Accounts,
    /// All processes have the cross-process lock; otherwise the others never refresh.
    pub(super) lock: bool,
}

#[derive(Clone)]
pub(super) struct Device {
    pub(super) world: World,
    pub(super) setup: Setup,
    inner: Arc<Mutex<Inner>>,
}

pub(super) struct Inner {
    blobs: BTreeMap<StorageKey, Vec<u8>>,
    /// What was there before the last write.
    before: BTreeMap<StorageKey, Option<Vec<u8>>>,
    /// What later processes find.
    at_restart: BTreeMap<StorageKey, Option<Vec<u8>>>,
    unavailable_until: Duration,
    offline_until: Duration,
    pub(super) server: Server,
    holder: Option<(Pid, usize)>,
    seats: usize,
    /// Whose points are counted.
    subject: Option<Pid>,
    places: Vec<Place>,
    plan: Vec<(usize, Event)>,
    on_act: Vec<(Act, Box<dyn Fn() + Send>)>,
    left: bool,
    pub(super) crashed: Option<(u64, bool)>,
    pub(super) history: History,
}

impl Device {
    pub(super) fn new(setup: Setup) -> Self {
        let inner = Inner {
            blobs: BTreeMap::new(),
            before: BTreeMap::new(),
            at_restart: BTreeMap::new(),
            unavailable_until: Duration::ZERO,
            offline_until: Duration::ZERO,
            server: Server::new(setup.manner),
            holder: None,
            seats: 0,
            subject: None,
            places: Vec::new(),
            plan: Vec::new(),
            on_act: Vec::new(),
            left: false,
            crashed: None,
            history: History::default(),
        };
        Self { world: World::new(), setup, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// A client of a process; `leads` if it is the one that refreshes where there is no lock.
    pub(super) fn client(&self, process: &Process, sessions: &Arc<SessionTable>, leads: bool) -> Client {
        let number = {
            let mut inner = self.lock();
            inner.seats += 1;
            inner.seats
        };
        let seat = Seat { device: self.clone(), process: process.clone(), number };
        let environment = Environment {
            transport: Arc::new(seat.clone()),
            clock: Arc::new(process.clone()),
            spawner: Arc::new(process.clone()),
            randomness: Arc::new(process.clone()),
            sessions: Arc::clone(sessions),
        };
        let scopes: &[&str] =
            if self.setup.manner.openid { &["openid", "offline_access"] } else { &["offline_access"] };
        let policy = if leads || self.setup.lock { RefreshPolicy::WhenDue } else { RefreshPolicy::Never };
        let builder = Client::builder(ISSUER, "id")
            .scopes(scopes.iter().copied())
            .store(seat.clone())
            .profile(self.setup.profile)
            .accounts(self.setup.accounts)
            .refresh_policy(policy)
            .shared_store(true)
            .environment(environment);
        let builder = if self.setup.lock { builder.cross_process_lock(seat) } else { builder };
        // With a key in software.
        let builder = if self.setup.manner.wants_nonces { builder.dpop(DPoP::Required) } else { builder };
        builder.build().unwrap()
    }

    /// From here on the points of `subject` are counted, and the events happen.
    pub(super) fn plan(&self, subject: Pid, events: &[(usize, Event)]) {
        let mut inner = self.lock();
        inner.subject = Some(subject);
        inner.places.clear();
        inner.plan = events.to_vec();
    }

    /// After a crash the next process meets what is left of the plan; `false` if nothing is.
    pub(super) fn goes_on_with(&self, next: Pid) -> bool {
        let mut inner = self.lock();
        inner.subject = Some(next);
        inner.crashed = None;
        !inner.plan.is_empty()
    }

    pub(super) fn on_act(&self, act: Act, run: impl Fn() + Send + 'static) {
        self.lock().on_act.push((act, Box::new(run)));
    }

    /// The points that were met.
    pub(super) fn places(&self) -> Vec<Place> {
        self.lock().places.clone()
    }

    pub(super) fn has_left(&self) -> bool {
        self.lock().left
    }

    /// No more events, and everything is healthy again.
    pub(super) fn calm_down(&self) {
        let mut inner = self.lock();
        inner.plan.clear();
        inner.subject = None;
        inner.unavailable_until = Duration::ZERO;
        inner.offline_until = Duration::ZERO;
        inner.server.has_keys = true;
        inner.server.next = None;
    }

    /// The processes are dead; the next one begins later, perhaps after a reboot, and finds what the storage has lost.
    pub(super) fn pauses(&self, pause: u64, reboot: bool) {
        self.world.rest(Duration::from_secs(pause));
        if reboot {
            self.world.reboot();
            let now = self.world.elapsed();
            self.lock().history.rebooted(now);
        }
        self.lose();
    }

    pub(super) fn go_offline(&self, duration: Duration) {
        let now = self.world.elapsed();
        self.lock().offline_until = now + duration;
    }

    /// What later processes find of what the storage lost.
    pub(super) fn lose(&self) {
        let mut inner = self.lock();
        for (key, blob) in core::mem::take(&mut inner.at_restart) {
            match blob {
                Some(blob) => drop(inner.blobs.insert(key, blob)),
                None => drop(inner.blobs.remove(&key)),
            }
        }
    }

    /// A process dies in the middle of something.
    pub(super) fn crash(&self, pid: Pid) {
        self.lock().history.crashed(pid);
        self.kill(pid);
    }

    /// A process is gone.
    pub(super) fn kill(&self, pid: Pid) {
        self.world.kill(pid);
        let elapsed = self.world.elapsed();
        let mut inner = self.lock();
        if inner.holder.is_some_and(|(holder, _)| holder == pid) {
            inner.holder = None;
        }
        let Inner { history, blobs, server, .. } = &mut *inner;
        history.died(pid, elapsed, &Facts { blobs, server });
    }

    pub(super) fn blobs(&self) -> BTreeMap<StorageKey, Vec<u8>> {
        self.lock().blobs.clone()
    }

    pub(super) fn plant(&self, key: &str, bytes: &[u8]) {
        self.lock().blobs.insert(StorageKey::parse(key).unwrap(), bytes.to_vec());
    }

    /// Looks at what is true, and notes it.
    pub(super) fn note<T>(&self, note: impl FnOnce(&mut History, &Facts<'_>) -> T) -> T {
        let mut inner = self.lock();
        let Inner { history, blobs, server, .. } = &mut *inner;
        note(history, &Facts { blobs, server })
    }

    /// Counts a point and lets happen what happens there. An event that belongs to the call is given back.
    fn point(&self, process: &Process, place: Place) -> Option<Event> {
        let event = {
            let mut inner = self.lock();
            if inner.subject != Some(process.pid) {
                return None;
            }
            let point = inner.places.len();
            inner.places.push(place);
            let at = inner.plan.iter().position(|(at, _)| *at == point)?;
            inner.plan.remove(at).1
        };
        let now = self.world.elapsed();
        self.lock().history.happened(event, now);
        match event {
            Event::Crash { pause, reboot } => {
                self.lock().crashed = Some((pause, reboot));
                self.crash(process.pid);
            }
            // A call that has begun is not taken back; whoever takes the lock away waits for it.
            Event::Suspend { secs, freed } => {
                self.suspend(process, secs, freed && !matches!(place, Place::Write | Place::Sent));
            }
            Event::SetClock(secs) => self.world.set_wall(secs),
            Event::Act(Act::Leave) => self.lock().left = true,
            Event::Act(act) => self.act_now(act),
            Event::Store(_) | Event::Net(_) => return Some(event),
        }
        None
    }

    fn suspend(&self, process: &Process, secs: u64, freed: bool) {
        self.world.suspend(process.pid);
        let now = self.world.elapsed();
        {
            let mut inner = self.lock();
            if freed && inner.holder.is_some_and(|(holder, _)| holder == process.pid) {
                inner.holder = None;
            }
            let Inner { history, blobs, server, .. } = &mut *inner;
            history.suspended(process.pid, now, secs, &Facts { blobs, server });
        }
        let (device, pid, outside) = (self.clone(), process.pid, Process::outside(&self.world));
        let waking = outside.clone();
        outside.spawn(Box::pin(async move {
            waking.sleep(Duration::from_secs(secs)).await;
            device.world.wake(pid);
        }));
        if freed {
            self.act_now(Act::Token(Who::Other));
        }
    }

    fn act_now(&self, act: Act) {
        let run = {
            let mut inner = self.lock();
            let at = inner.on_act.iter().position(|(known, _)| *known == act);
            at.map(|at| inner.on_act.remove(at).1)
        };
        if let Some(run) = run {
            run();
        }
    }
}

/// A process at the device: its store, its network, its lock.
#[derive(Clone)]
struct Seat {
    device: Device,
    process: Process,
    /// Two clients of a process hold the lock apart from each other.
    number: usize,
}

impl Seat {
    /// What is dead does nothing more, and what is suspended nothing yet.
    async fn alive(&self) {
        core::future::poll_fn(|context| {
            if self.device.world.is_running(self.process.pid) {
                return core::task::Poll::Ready(());
            }
            // Polled again when the process runs again, if it ever does.
            context.waker().wake_by_ref();
            core::task::Poll::Pending
        })
        .await;
    }

    async fn point(&self, place: Place) -> Option<Event> {
        let event = self.device.point(&self.process, place);
        self.alive().await;
        event
    }

    async fn sleep(&self, secs: u64) {
        self.process.sleep(Duration::from_secs(secs)).await;
    }

    async fn read<T>(
        &self,
        key: Option<&StorageKey>,
        look: impl Fn(&BTreeMap<StorageKey, Vec<u8>>) -> T,
        stale: impl Fn(&Inner) -> T,
    ) -> Result<T, StoreProblem> {
        let event = self.point(Place::Read).await;
        let result = match self.fault(event) {
            Some(StoreFault::Fails(reason)) => Err(reason.problem()),
            Some(StoreFault::Unavailable) => Err(StoreProblem::Locked),
            Some(StoreFault::FailsAfterEffect) => Err(StoreProblem::Transient),
            Some(fault @ StoreFault::Slow) => {
                // What it says is of then.
                let found = look(&self.device.lock().blobs);
                self.sleep(fault.seconds()).await;
                Ok(found)
            }
            Some(fault @ (StoreFault::Hangs | StoreFault::HangsLong)) => {
                self.sleep(fault.seconds()).await;
                Ok(look(&self.device.lock().blobs))
            }
            Some(StoreFault::Stale) => Ok(stale(&self.device.lock())),
            _ => Ok(look(&self.device.lock().blobs)),
        };
        {
            let mut inner = self.device.lock();
            let found = key.and_then(|key| inner.blobs.get(key).cloned());
            let (pid, now) = (self.process.pid, self.device.world.elapsed());
            inner.history.read(pid, key, result.as_ref().err().copied(), found.as_deref(), now);
        }
        self.point(Place::After).await;
        result
    }

    async fn write(&self, key: &StorageKey, bytes: Option<&[u8]>) -> Result<(), StoreProblem> {
        let (pid, device) = (self.process.pid, &self.device);
        device.lock().history.write_begins(pid, key, bytes, device.world.elapsed());
        let event = self.point(Place::Write).await;
        // Somebody else may look before it has its effect.
        self.process.sleep(Duration::from_millis(5)).await;
        let fault = self.fault(event);
        let result = match fault {
            Some(StoreFault::Fails(reason)) => Err(reason.problem()),
            Some(StoreFault::Unavailable) => Err(StoreProblem::Locked),
            Some(StoreFault::FailsAfterEffect) => {
                self.put(key, bytes);
                Err(StoreProblem::Transient)
            }
            Some(StoreFault::Lies) => Ok(()),
            Some(fault @ (StoreFault::Slow | StoreFault::Hangs | StoreFault::HangsLong)) => {
                self.sleep(fault.seconds()).await;
                self.put(key, bytes);
                Ok(())
            }
            _ => {
                self.put(key, bytes);
                Ok(())
            }
        };
        if matches!(fault, Some(StoreFault::Torn | StoreFault::Gone)) {
            let torn = bytes.filter(|_| fault == Some(StoreFault::Torn)).map(|bytes| bytes[..bytes.len() / 2].to_vec());
            device.lock().at_restart.insert(key.clone(), torn);
        }
        device.lock().history.write_ended(pid, key);
        self.point(Place::After).await;
        result
    }

    fn put(&self, key: &StorageKey, bytes: Option<&[u8]>) {
        let now = self.device.world.elapsed();
        let mut inner = self.device.lock();
        let Inner { history, blobs, before, server, at_restart, .. } = &mut *inner;
        history.written(self.process.pid, key, blobs.get(key).map(Vec::as_slice), bytes, now, server);
        // A later write heals what would have been lost.
        at_restart.remove(key);
        let old = match bytes {
            Some(bytes) => blobs.insert(key.clone(), bytes.to_vec()),
            None => blobs.remove(key),
        };
        before.insert(key.clone(), old);
    }

    fn fault(&self, event: Option<Event>) -> Option<StoreFault> {
        let now = self.device.world.elapsed();
        let mut inner = self.device.lock();
        if let Some(Event::Store(StoreFault::Unavailable)) = event {
            inner.unavailable_until = now + Duration::from_secs(2 * 3600);
        }
        match event {
            Some(Event::Store(fault)) => Some(fault),
            _ if now < inner.unavailable_until => Some(StoreFault::Unavailable),
            _ => None,
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let device = &self.device;
        let asked = {
            let mut inner = device.lock();
            let Inner { history, server, .. } = &mut *inner;
            history.sending(self.process.pid, &request, device.world.elapsed(), server)
        };
        let event = self.point(Place::Sent).await;
        let fault = match event {
            Some(Event::Net(fault)) => Some(fault),
            _ => None,
        };
        let result = self.carry(&request, fault).await;
        {
            let mut inner = device.lock();
            let now = device.world.elapsed();
            let maybe_sent = result.as_ref().err().is_none_or(|error| error.maybe_sent);
            if let (true, Ok(answer)) = (request.url.ends_with("/v1/revoke"), &result) {
                inner.history.revocation_answered(&request, answer);
            }
            inner.history.answered(self.process.pid, asked, result.as_ref().ok(), maybe_sent, now);
        }
        self.point(Place::Answered).await;
        result
    }

    async fn carry(&self, request: &HttpRequest, fault: Option<NetFault>) -> Result<HttpResponse, TransportError> {
        let device = &self.device;
        let deadline = request.deadline.as_secs();
        let fails = |kind, maybe_sent| Err(TransportError { problem: TransportProblem::Network(kind), maybe_sent });
        if let Some(NetFault::Offline(secs)) = fault {
            device.lock().offline_until = device.world.elapsed() + Duration::from_secs(secs);
        }
        if device.world.elapsed() < device.lock().offline_until {
            return fails(NetworkProblem::Connect, false);
        }
        match fault {
            Some(NetFault::NotSent) => return fails(NetworkProblem::Connect, false),
            Some(NetFault::RequestLost) => {
                self.sleep(deadline).await;
                return fails(NetworkProblem::Timeout, true);
            }
            Some(NetFault::Answer(status, error)) => {
                return Ok(json_answer(status, &format!("{{\"error\":\"{error}\"}}")));
            }
            Some(NetFault::Late(secs)) => {
                let (late, again) = (self.clone(), copy(request));
                let outside = Process::outside(&device.world);
                let clock = outside.clone();
                outside.spawn(Box::pin(async move {
                    clock.sleep(Duration::from_secs(secs)).await;
                    late.reach(&again);
                }));
                self.sleep(deadline).await;
                return fails(NetworkProblem::Timeout, true);
            }
            Some(NetFault::Special(special)) => device.lock().server.next = Some(special),
            Some(NetFault::Over) => {
                let mut inner = device.lock();
                for grant in &mut inner.server.grants {
                    grant.over.get_or_insert(super::server::Over::Scripted);
                }
            }
            Some(NetFault::NoKeys) => {
                device.lock().server.has_keys = false;
                let (device, outside) = (device.clone(), Process::outside(&device.world));
                let clock = outside.clone();
                outside.spawn(Box::pin(async move {
                    clock.sleep(Duration::from_secs(60)).await;
                    device.lock().server.has_keys = true;
                }));
            }
            _ => {}
        }
        // On the wire it is nobody's any more: it arrives also if its sender sleeps or is dead.
        let (arrives, answer) = futures_channel::oneshot::channel();
        let (seat, again, outside) = (self.clone(), copy(request), Process::outside(&device.world));
        let clock = outside.clone();
        outside.spawn(Box::pin(async move {
            clock.sleep(Duration::from_millis(50)).await;
            let answer = seat.reach(&again);
            clock.sleep(Duration::from_millis(50)).await;
            let _ = arrives.send(answer);
        }));
        let Ok(answer) = answer.await else { return fails(NetworkProblem::Interrupted, true) };
        match fault {
            Some(NetFault::AnswerLost) => {
                self.sleep(deadline).await;
                fails(NetworkProblem::Timeout, true)
            }
            Some(NetFault::Slow(secs)) if secs < deadline => {
                self.sleep(secs).await;
                Ok(answer)
            }
            Some(NetFault::Slow(_)) => {
                self.sleep(deadline).await;
                fails(NetworkProblem::Timeout, true)
            }
            _ => Ok(answer),
        }
    }

    /// The server acts.
    fn reach(&self, request: &HttpRequest) -> HttpResponse {
        let now = self.device.world.elapsed();
        let mut inner = self.device.lock();
        let (answer, did) = inner.server.answer(request, now);
        let Inner { history, blobs, server, .. } = &mut *inner;
        let facts = Facts { blobs, server };
        match did {
            Did::Nothing => {}
            Did::Issued(issue) => history.issued(issue, now),
            Did::Refused(issue) => history.refused(issue, now, &facts),
            Did::Revoked(issue) => history.revoked(issue, &facts),
        }
        answer
    }
}

fn copy(request: &HttpRequest) -> HttpRequest {
    HttpRequest {
        method: request.method,
        url: request.url.clone(),
        // Nothing but the proof matters here.
        headers: request
            .headers
            .iter()
            .filter_map(|(name, value)| match value {
                HeaderValue::Secret(proof) if name == "dpop" => {
                    Some((name.clone(), HeaderValue::Secret(proof.duplicate())))
                }
                _ => None,
            })
            .collect(),
        body: request.body.clone(),
        max_response: request.max_response,
        deadline: request.deadline,
    }
}

impl TokenStore for Seat {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        let blob = |bytes: Option<&Vec<u8>>| bytes.cloned().map(Blob::new);
        Box::pin(async move {
            let look = |blobs: &BTreeMap<StorageKey, Vec<u8>>| blob(blobs.get(key));
            let stale = |inner: &Inner| match inner.before.get(key) {
                Some(before) => blob(before.as_ref()),
                None => blob(inner.blobs.get(key)),
            };
            self.read(Some(key), look, stale).await
        })
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(self.write(key, Some(blob.expose())))
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(self.write(key, None))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(async move {
            let look = |blobs: &BTreeMap<StorageKey, Vec<u8>>| blobs.keys().cloned().collect();
            self.read(None, look, |inner: &Inner| inner.blobs.keys().cloned().collect()).await
        })
    }
}

impl Transport for Seat {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(self.clone())
    }
}

impl Conversation for Seat {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let this = self.clone();
        Box::pin(async move { this.exchange(request).await })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(core::future::ready(()))
    }
}

impl CrossProcessLock for Seat {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        Box::pin(async move {
            self.point(Place::Locking).await;
            let until = self.device.world.elapsed() + timeout;
            loop {
                {
                    let mut inner = self.device.lock();
                    if inner.holder.is_none() {
                        inner.holder = Some((self.process.pid, self.number));
                        break;
                    }
                }
                if self.device.world.elapsed() >= until {
                    return Err(LockProblem::TimedOut);
                }
                self.sleep(1).await;
            }
            self.point(Place::After).await;
            Ok(())
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut inner = self.device.lock();
            if inner.holder == Some((self.process.pid, self.number)) {
                inner.holder = None;
            }
        })
    }

    fn still_held(&self) -> bool {
        self.device.lock().holder == Some((self.process.pid, self.number))
    }
}
