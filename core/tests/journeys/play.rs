//! Plays one vector: its calls in order, what each gives, and what is looked at in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use directauth::env::{BoxFuture, Clock, Conversation, HttpTransport, NetworkOptions, Transport};
use directauth::error::KeyProblem;
use directauth::{Error, Kind, Remedy, Session, SignOut, Step};
use directauth_emulator::Tenant;
use serde_json::{Map, Value};

use super::check::{Canaries, check, equal};
use super::format::Vector;
use super::processes::{Device, FIRST, Process};
use super::store::Mood;
use super::support::authenticator::Platform;
use super::support::keys::Mood as KeyMood;
use super::support::world::{Real, World};
use super::support::{self};

/// What is in hand between two calls.
pub(crate) struct Play<'a> {
    pub(super) world: World,
    pub(super) tenant: Tenant,
    device: Device<'a>,
    processes: BTreeMap<String, Process>,
    /// Those that were started once: a dead one is not started by a call that is meant for it.
    started: BTreeSet<String>,
    /// The process that the call is for.
    here: String,
    pub(super) username: String,
    /// The access token that a call gave last.
    last_token: Option<String>,
    /// Refresh tokens by the names that the vector gave them.
    pub(super) noted: BTreeMap<String, String>,
    pub(super) canaries: Canaries,
    /// The device's authenticator, once it has a passkey.
    pub(super) platform: Option<Platform>,
}

pub(crate) fn play(vector: &Vector) -> Result<(), String> {
    let world = World::new();
    let emulator = support::emulator();
    let tenant = emulator.tenant();
    tenant.set_clock(Arc::new(ServersOwn::new(&world, vector.config.device_clock_ahead_ms)));
    let settings = vector.config.settings.clone().unwrap_or_default();
    tenant.settings(|s| *s = settings);
    for (name, change) in &vector.config.users {
        let known = tenant.change_user(name, |user| {
            user.assurance = change.assurance.unwrap_or(user.assurance);
            user.factors = change.factors.clone().unwrap_or(core::mem::take(&mut user.factors));
            user.status = change.status.unwrap_or(user.status);
            user.password = user.password.take().filter(|_| !change.has_no_password);
        });
        assert!(known, "there is no {name}");
    }
    for rule in &vector.server {
        tenant.script(rule.clone());
    }
    assert!(vector.otherwise.as_ref().is_none_or(|why| !why.is_empty()), "otherwise than the row, but why?");
    let elsewhere = emulator.second_host_requests();
    let mut play = Play {
        device: Device::new(&world, &tenant, &vector.config),
        world,
        tenant: tenant.clone(),
        processes: BTreeMap::new(),
        started: BTreeSet::new(),
        here: FIRST.to_owned(),
        username: String::new(),
        last_token: None,
        noted: BTreeMap::new(),
        canaries: Canaries::default(),
        platform: None,
    };
    play.go_to(FIRST.to_owned());
    for (number, call) in vector.calls.iter().enumerate() {
        play.call(call).map_err(|problem| format!("call {}: {problem}", number + 1))?;
    }
    play.world.settle();
    let live_grants = tenant.live_grants();
    // What comes later comes too: nothing may be sent again when nobody looks any more.
    play.world.run(play.world.sleep(LATER));
    play.world.settle();
    play.learn();
    let unused = tenant.unused_rules();
    if !unused.is_empty() {
        return Err(format!("prescribed answers that nobody got: {unused:?}"));
    }
    check(&vector.expect, &tenant, live_grants, &play.device.events, &play.canaries, &play.noted)?;
    play.canaries.check_stored(&play.device.written())?;
    if let Some(expected) = vector.expect.other_host_requests {
        let found = emulator.second_host_requests() - elsewhere;
        equal("requests at another host", &found, &expected)?;
    }
    Ok(())
}

/// How long a vector is watched after its last call.
const LATER: Duration = Duration::from_secs(3_600);

/// The server's clock: it goes with the time, and nobody who sets the device's clock touches it.
struct ServersOwn {
    world: World,
    /// Its time minus the device's boot clock.
    ahead: Duration,
}

impl ServersOwn {
    fn new(world: &World, device_clock_ahead_ms: i64) -> Self {
        let now = u64::try_from(world.wall_millis() - device_clock_ahead_ms).expect("after 1970");
        Self { world: world.clone(), ahead: Duration::from_millis(now) - world.boot().since_boot() }
    }
}

impl directauth_emulator::Clock for ServersOwn {
    fn now(&self) -> Duration {
        self.ahead + self.world.boot().since_boot()
    }
}

impl Play<'_> {
    fn call(&mut self, call: &Map<String, Value>) -> Result<(), String> {
        let mut call = call.clone();
        let gives = call.remove("gives").map(|v| v.as_str().expect("text").to_owned());
        let remedy = call.remove("remedy").map(|v| v.as_str().expect("text").to_owned());
        let retry_in_s = call.remove("retry_in_s").map(|v| v.as_u64().expect("seconds"));
        let says = call.remove("says").map(|v| v.as_str().expect("text").to_owned());
        let server_says = call.remove("server_says");
        let hint = call.remove("hint");
        let causes = call.remove("causes");
        let maybe_sent = call.remove("maybe_sent");
        let second_code = call.remove("second_code");
        let device = call.remove("device").map(|v| v.as_str().expect("text").to_owned());
        let new = call.remove("new").map(|v| v.as_bool().expect("true or false"));
        self.go_to(take_text(&mut call, "process").unwrap_or_else(|| FIRST.to_owned()));
        let outcome = self.act(&mut call)?;
        self.world.settle();
        self.learn();
        if let Some((name, _)) = call.iter().next() {
            return Err(format!("unknown key {name}"));
        }
        let word = outcome.word();
        let error = match &outcome {
            Outcome::Error(error) => Some(error.clone()),
            _ => None,
        };
        match &gives {
            Some(gives) => equal("gives", &word, gives).map_err(|p| format!("{p} ({error:?})"))?,
            None if error.is_some() => return Err(format!("failed: {error:?}")),
            None => {}
        }
        let is_about_an_error = remedy.is_some()
            || says.is_some()
            || retry_in_s.is_some()
            || [&causes, &server_says, &hint, &maybe_sent, &second_code].iter().any(|key| key.is_some());
        if error.is_none() && is_about_an_error {
            return Err(format!("{word} is no error that could say something"));
        }
        if let (Some(remedy), Some(error)) = (remedy, &error) {
            equal("remedy", &remedy_name(error.remedy()), &remedy)?;
        }
        if let (Some(seconds), Some(error)) = (retry_in_s, &error) {
            let Remedy::Wait(Some(at)) = error.remedy() else { return Err("no time to wait until".into()) };
            let found = self.seconds_until(at);
            // Up to a quarter is added, so that not all devices come back at the same moment.
            let latest = (seconds + seconds.div_ceil(4)).min(seconds.max(3_600));
            if found < seconds || found > latest {
                return Err(format!("retry in {found} s, expected {seconds} s or up to a quarter more"));
            }
        }
        if let (Some(says), Some(error)) = (says, &error) {
            let (text, says) = (error.to_string(), fill(&says, &self.tenant));
            if !text.contains(&says) {
                return Err(format!("says {text:?}, which does not contain {says:?}"));
            }
        }
        if let Some(error) = &error {
            self.canaries.check_error(error)?;
            if let Some(wanted) = server_says {
                let found = error.server_text().and_then(|text| text.description());
                equal("the server says", &Value::from(found), &wanted)?;
            }
            if let Some(wanted) = causes {
                let found = error.server_text().map(|text| Value::from(text.causes()));
                equal("the causes", &found, &Some(wanted))?;
            }
            if let Some(wanted) = second_code {
                let found = error.server_text().and_then(|text| text.second_code());
                equal("the second code", &Value::from(found), &wanted)?;
            }
            if let Some(wanted) = maybe_sent {
                let found = match error.kind() {
                    Kind::Network { maybe_sent, .. } => Some(*maybe_sent),
                    _ => None,
                };
                equal("maybe sent", &Value::from(found), &wanted)?;
            }
            if let Some(wanted) = hint {
                let found = error.hint().map(|hint| format!("{hint:?}"));
                equal("hint", &Value::from(found), &wanted)?;
            }
        }
        if let Some(device) = device {
            let Outcome::SignedOut(done) = &outcome else { return Err(format!("{word} is no sign-out")) };
            let found: Vec<_> = done.iter().map(|done| format!("{:?}", done.device)).collect();
            equal("on the device", &found.join(", "), &device)?;
        }
        if let Some(new) = new {
            let Outcome::Token(token) = &outcome else { return Err(format!("{word} is no token")) };
            equal("another token than the last one", &(self.last_token.as_ref() != Some(token)), &new)?;
        }
        self.take(outcome);
        Ok(())
    }

    fn act(&mut self, call: &mut Map<String, Value>) -> Result<Outcome, String> {
        let world = self.world.clone();
        if let Some(calls) = call.remove("at_once") {
            return self.at_once(calls);
        }
        if let Some(outcome) = self.live_and_die(call)? {
            return Ok(outcome);
        }
        if self.world_goes_on(call)? {
            return Ok(Outcome::Done);
        }
        if !self.processes.contains_key(&self.here) {
            return Err(format!("{} does not run", self.here));
        }
        let when_sent = call.remove("when_sent");
        let when_asked = call.remove("when_asked");
        let dies_after_writes = call.remove("dies_after_writes");
        if let Some(mut request) = self.request(call)? {
            if let Some(writes) = dies_after_writes {
                let writes = usize::try_from(writes.as_u64().ok_or("how many writes")?).map_err(|e| e.to_string())?;
                let store = self.process().store.clone();
                store.stop_at(writes);
                let done = world.try_run(request.as_mut(), || store.has_stopped());
                equal("ended before it was written", &done.map(|done| done.word()), &None::<String>)?;
                drop(request);
                let died = self.die();
                store.go_on();
                return Ok(died);
            }
            let mut then = VecDeque::new();
            then.extend(when_sent.map(|then| (Moment::Sent, then)));
            then.extend(when_asked.map(|then| (Moment::Asked, then)));
            return self.until(request, then, || {});
        }
        if when_sent.is_some() || when_asked.is_some() || dies_after_writes.is_some() {
            return Err("when_sent, when_asked and dies_after_writes go with a request".into());
        }
        if let Some(outcome) = self.look_at_step(call)? {
            return Ok(outcome);
        }
        if let Some(outcome) = self.look_at_sessions(call)? {
            return Ok(outcome);
        }
        Err(format!("nothing to do it with, or an unknown verb: {call:?}"))
    }

    /// Runs it, with what is done at the moments of it that are named, one after another.
    fn until(
        &mut self,
        mut request: Request,
        mut then: VecDeque<(Moment, Value)>,
        go_on: impl FnOnce(),
    ) -> Result<Outcome, String> {
        let world = self.world.clone();
        let Some((moment, deeds)) = then.pop_front() else {
            go_on();
            return Ok(world.run(request));
        };
        let (line, keys) = (self.device.line.clone(), self.device.keys.clone());
        match moment {
            Moment::Sent => line.hold_next(),
            Moment::Asked => keys.ask_next(),
        }
        // Not before the next moment is waited for, which may come at once.
        go_on();
        let is_reached = || match moment {
            Moment::Sent => line.holds(),
            Moment::Asked => keys.ask(),
        };
        let ended = world.try_run(request.as_mut(), is_reached).map(|ended| ended.word());
        equal("ended before anybody could do anything", &ended, &None::<String>)?;
        self.meanwhile(&deeds, moment, request, then)
    }

    /// Somebody does something while an answer is on its way, or while the user is asked.
    fn meanwhile(
        &mut self,
        deeds: &Value,
        moment: Moment,
        request: Request,
        then: VecDeque<(Moment, Value)>,
    ) -> Result<Outcome, String> {
        let (line, keys) = (self.device.line.clone(), self.device.keys.clone());
        let go_on = move || match moment {
            Moment::Sent => line.let_go(),
            Moment::Asked => keys.agree(),
        };
        if deeds.is_string() && !then.is_empty() {
            return Err("nothing comes after who has gone".into());
        }
        let gone = match deeds.as_str() {
            Some("leaves") => "Left",
            Some("drops") => {
                self.process_mut().step = None;
                "Dropped"
            }
            Some("dies") => {
                drop(request);
                let died = self.die();
                go_on();
                return Ok(died);
            }
            Some(other) => return Err(format!("unknown deed {other}")),
            None => {
                let calls: Vec<Map<String, Value>> =
                    serde_json::from_value(deeds.clone()).map_err(|error| error.to_string())?;
                let here = self.here.clone();
                for call in &calls {
                    self.call(call).map_err(|problem| format!("meanwhile: {problem}"))?;
                }
                self.here = here;
                return self.until(request, then, go_on);
            }
        };
        drop(request);
        go_on();
        Ok(Outcome::Value(gone.to_owned()))
    }

    /// What happens to processes and the device; `None` if the call is about something else.
    fn live_and_die(&mut self, call: &mut Map<String, Value>) -> Result<Option<Outcome>, String> {
        if call.remove("dies").is_some() {
            return Ok(Some(self.die()));
        }
        if call.remove("reboots").is_some() {
            while let Some((_, process)) = self.processes.pop_first() {
                process.die();
            }
            self.device.clock.reboot();
            return Ok(Some(Outcome::Done));
        }
        if call.remove("restart").is_some() {
            self.world.settle();
            if self.processes.contains_key(&self.here) {
                self.die();
            }
            let process = self.device.start(&self.here);
            self.processes.insert(self.here.clone(), process);
            return Ok(Some(Outcome::Done));
        }
        Ok(None)
    }

    /// What others do, and time; whether the call is about that.
    fn world_goes_on(&mut self, call: &mut Map<String, Value>) -> Result<bool, String> {
        let world = &self.world;
        if let Some(reaction) = call.remove("user") {
            self.expect_of_user(reaction)?;
        } else if let Some(seconds) = call.remove("wait_s") {
            world.advance(Duration::from_secs(seconds.as_u64().ok_or("seconds")?));
        } else if let Some(seconds) = call.remove("run_s") {
            world.run(world.sleep(Duration::from_secs(seconds.as_u64().ok_or("seconds")?)));
        } else if let Some(millis) = call.remove("set_device_clock_ms") {
            world.set_wall(millis.as_i64().ok_or("milliseconds")?);
        } else if let Some(seconds) = call.remove("boot_clock_back_s") {
            self.device.clock.set_back(Duration::from_secs(seconds.as_u64().ok_or("seconds")?));
        } else if let Some(mood) = take_text(call, "store") {
            let store = self.device.store_of(&self.here);
            match mood.as_str() {
                "works" => store.set(Mood::Works),
                "refuses_sessions" => store.set(Mood::RefusesSessions),
                "refuses_writes" => store.set(Mood::RefusesWrites),
                "keeps_sessions" => store.set(Mood::KeepsSessions),
                "is_locked" => store.set(Mood::Locked),
                "is_damaged" => store.damage(world),
                other => return Err(format!("unknown state {other} of the store")),
            }
        } else if let Some(mood) = take_text(call, "keys") {
            let keys = &self.device.keys;
            match mood.as_str() {
                "points" => keys.be(KeyMood::Points),
                "documents" => keys.be(KeyMood::Documents),
                "fixed" => keys.be(KeyMood::Fixed),
                "sign_something_else" => keys.be(KeyMood::WrongSignature),
                "are_none" => keys.be(KeyMood::Nonsense),
                "are_locked" => keys.be(KeyMood::Says(KeyProblem::Locked)),
                "are_cancelled" => keys.be(KeyMood::Says(KeyProblem::UserCancelled)),
                "are_destroyed" => keys.be(KeyMood::Says(KeyProblem::Destroyed)),
                "are_unsupported" => keys.be(KeyMood::Says(KeyProblem::Unsupported)),
                "are_exchanged" => keys.exchange(),
                "are_lost" => keys.lose_all(),
                other => return Err(format!("unknown state {other} of the keys")),
            }
        } else if call.remove("loses_lock").is_some() {
            self.device.takes_lock_from(&self.here);
        } else if let Some(expected) = call.remove("platform_has_keys") {
            equal("keys of the platform", &Value::from(self.device.keys.names().len()), &expected)?;
        } else if let Some(name) = take_text(call, "note_refresh_token") {
            let [_, refresh_token, _] = self.tenant.last_tokens();
            self.noted.insert(name, refresh_token);
        } else if let Some(what) = take_text(call, "server") {
            match what.as_str() {
                "rotates_keys" => self.tenant.rotate_keys(),
                "replaces_keys" => self.tenant.replace_keys(),
                "withdraws_key" => self.tenant.withdraw_key(),
                "revokes_everything" => self.tenant.revoke_everything(),
                "locks_user" if self.tenant.lock_user(&self.username, true) => {}
                other => return Err(format!("unknown event {other}")),
            }
        } else if let Some(rule) = call.remove("script") {
            self.tenant.script(serde_json::from_value(rule).map_err(|error| error.to_string())?);
        } else if let Some(username) = take_text(call, "registers_passkey") {
            let mut platform = Platform::at(&origin_of(&self.tenant.issuer()));
            platform.registers(&self.tenant, &username);
            self.platform = Some(platform);
        } else if call.remove("clear_script").is_some() {
            self.tenant.clear_script();
        } else if let Some(expected) = call.remove("store_has") {
            let expected: Map<String, Value> = serde_json::from_value(expected).map_err(|error| error.to_string())?;
            for (kind, expected) in expected {
                equal(&kind, &Value::from(self.device.store_of(&self.here).count(&kind, world)), &expected)?;
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What may send something, ready to be run.
    fn request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        match self.sign_in_request(call)? {
            Some(request) => Ok(Some(request)),
            None => self.session_request(call),
        }
    }

    /// How the app itself reaches an API.
    pub(super) fn api(&self) -> Arc<dyn Conversation> {
        let options = NetworkOptions { trust: support::trust(), ..NetworkOptions::default() };
        Real::new(&self.world, HttpTransport::new(options)).background()
    }

    /// The next call is for this process.
    fn go_to(&mut self, name: String) {
        if self.started.insert(name.clone()) {
            self.processes.insert(name.clone(), self.device.start(&name));
        }
        self.here = name;
    }

    pub(super) fn process(&self) -> &Process {
        self.processes.get(&self.here).expect("it lives")
    }

    pub(super) fn process_mut(&mut self) -> &mut Process {
        self.processes.get_mut(&self.here).expect("it lives")
    }

    fn die(&mut self) -> Outcome {
        self.processes.remove(&self.here).expect("it lives").die();
        Outcome::Value("Died".into())
    }

    /// What has become secret since: whatever a request carried and whatever tokens came.
    fn learn(&mut self) {
        self.canaries.sent(&self.tenant.journal());
        self.tenant.last_tokens().iter().for_each(|token| self.canaries.typed(token));
    }

    /// Several requests begun in the same moment; the last that gives a step or a session decides what is in hand.
    fn at_once(&mut self, calls: Value) -> Result<Outcome, String> {
        let mut calls: Vec<Map<String, Value>> = serde_json::from_value(calls).map_err(|error| error.to_string())?;
        let (mut requests, mut places) = (Vec::new(), Vec::new());
        for call in &mut calls {
            self.go_to(take_text(call, "process").unwrap_or_else(|| FIRST.to_owned()));
            requests.push(self.request(call)?.ok_or("not a request")?);
            places.push(self.here.clone());
            if let Some((name, _)) = call.iter().next() {
                return Err(format!("unknown key {name} in at_once"));
            }
        }
        let results = self.world.clone().run(futures_util::future::join_all(requests));
        let tokens: BTreeSet<_> = results.iter().filter_map(Outcome::token).collect();
        equal("one token for all", &(tokens.len() <= 1), &true)?;
        let mut words = Vec::new();
        for (result, place) in results.into_iter().zip(places) {
            words.push(result.word());
            self.here = place;
            self.take(result);
        }
        Ok(Outcome::Value(words.join(", ")))
    }

    /// What is in hand after a call.
    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Step(Step::SignedIn(session)) => {
                let process = self.process_mut();
                process.session = Some(session);
                process.step = None;
            }
            Outcome::Step(step) => self.process_mut().step = Some(Arc::new(step)),
            Outcome::Session(_, session) => self.process_mut().session = Some(session),
            Outcome::Token(token) => self.last_token = Some(token),
            Outcome::SignedOut(_) | Outcome::Done | Outcome::Value(_) | Outcome::Error(_) => {}
        }
    }

    pub(super) fn seconds_until(&self, at: std::time::SystemTime) -> u64 {
        let now = self.world.wall().to_system_time();
        at.duration_since(now).map_or(0, |left| left.as_secs())
    }
}

/// When somebody does something while a request is under way.
#[derive(Clone, Copy)]
enum Moment {
    /// The server has acted, and its answer is on its way.
    Sent,
    /// The platform asks the user before it signs.
    Asked,
}

pub(super) type Request = BoxFuture<'static, Outcome>;

/// What a call gives.
pub(super) enum Outcome {
    Step(Step),
    /// How the session was come by.
    Session(&'static str, Session),
    Token(String),
    SignedOut(Vec<SignOut>),
    Done,
    Value(String),
    Error(Error),
}

impl Outcome {
    fn word(&self) -> String {
        match self {
            Self::Step(step) => step_name(step).to_owned(),
            Self::Session(how, _) => (*how).to_owned(),
            Self::Token(_) | Self::Done => "Done".to_owned(),
            Self::SignedOut(done) if done.is_empty() => "None".to_owned(),
            Self::SignedOut(done) => {
                done.iter().map(|done| format!("{:?}", done.server)).collect::<Vec<_>>().join(", ")
            }
            Self::Value(value) => value.clone(),
            Self::Error(error) => error.kind().name().to_owned(),
        }
    }

    fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            _ => None,
        }
    }
}

impl From<Result<Step, Error>> for Outcome {
    fn from(result: Result<Step, Error>) -> Self {
        result.map_or_else(Outcome::Error, Outcome::Step)
    }
}

impl From<Result<(), Error>> for Outcome {
    fn from(result: Result<(), Error>) -> Self {
        result.map_or_else(Outcome::Error, |()| Outcome::Done)
    }
}

impl From<Result<u16, Error>> for Outcome {
    fn from(result: Result<u16, Error>) -> Self {
        result.map_or_else(Outcome::Error, |status| Outcome::Value(status.to_string()))
    }
}

impl From<Result<Vec<SignOut>, Error>> for Outcome {
    fn from(result: Result<Vec<SignOut>, Error>) -> Self {
        result.map_or_else(Outcome::Error, Outcome::SignedOut)
    }
}

/// The origin of an address.
pub(super) fn origin_of(url: &str) -> String {
    let rest = url.strip_prefix("https://").expect("https");
    format!("https://{}", rest.split('/').next().expect("a host"))
}

pub(super) fn take_text(call: &mut Map<String, Value>, name: &str) -> Option<String> {
    match call.remove(name)? {
        Value::String(text) => Some(text),
        other => panic!("{name} must be text, not {other}"),
    }
}

pub(crate) fn fill(text: &str, tenant: &Tenant) -> String {
    text.replace("{issuer}", &tenant.issuer())
        .replace("{org_issuer}", &tenant.org_issuer())
        .replace("{client_id}", &tenant.client_id())
        .replace("{resource}", &tenant.resource_url())
        .replace("{origin}", &origin_of(&tenant.issuer()))
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::SignedIn(_) => "SignedIn",
        Step::ChooseFactor(_) => "ChooseFactor",
        Step::ApproveOnDevice(_) => "ApproveOnDevice",
        Step::EnterCode(_) => "EnterCode",
        Step::UsePasskey(_) => "UsePasskey",
        Step::ResetPassword(_) => "ResetPassword",
        Step::PasswordChanged => "PasswordChanged",
        Step::Unsupported(_) => "UnsupportedStep",
        _ => "another step",
    }
}

fn remedy_name(remedy: Remedy) -> String {
    let name = format!("{remedy:?}");
    name.split('(').next().unwrap_or_default().to_owned()
}
