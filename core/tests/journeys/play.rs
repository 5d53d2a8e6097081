//! Plays one vector: its configuration, its calls in order, and what each gives.

use std::sync::Arc;
use std::time::Duration;

use directauth::env::{BoxFuture, Clock, HttpTransport, NetworkOptions};
use directauth::{Client, Error, Factor, Kind, MemoryStore, Remedy, Session, SignIn, Step, WiderScopes};
use directauth_emulator::{BadTls, BadTlsKind, PushReaction, Tenant};
use serde_json::{Map, Value};

use super::check::{Canaries, Events, check, equal};
use super::format::Vector;
use super::support::world::{Real, World};
use super::support::{self};

/// What is in hand between two calls.
struct Play {
    world: World,
    tenant: Tenant,
    client: Result<Client, Error>,
    store: MemoryStore,
    rebuild: Box<dyn Fn() -> Result<Client, Error>>,
    step: Option<Arc<Step>>,
    session: Option<Session>,
    username: String,
    canaries: Canaries,
}

pub(crate) fn play(vector: &Vector) -> Result<(), String> {
    let world = World::new();
    let emulator = support::emulator();
    let tenant = emulator.tenant();
    tenant.set_clock(Arc::new(ServersOwn::new(&world, vector.config.device_clock_ahead_ms)));
    let settings = vector.config.settings.clone().unwrap_or_default();
    tenant.settings(|s| *s = settings);
    for rule in &vector.server {
        tenant.script(rule.clone());
    }
    assert!(vector.otherwise.as_ref().is_none_or(|why| !why.is_empty()), "otherwise than the row, but why?");
    let elsewhere = emulator.second_host_requests();
    let store = MemoryStore::new();
    let events = Events::default();
    let odd = vector.config.issuer.as_deref().and_then(OddServer::of);
    let rebuild = {
        let (world, tenant, store, events) = (world.clone(), tenant.clone(), store.clone(), events.clone());
        let config = &vector.config;
        let issuer = match (&odd, &config.issuer) {
            // At the tenant's path, so that a client that went on in spite of everything is seen there.
            (Some(odd), _) => format!("{}{}", odd.origin(), path(&tenant.issuer())),
            (None, Some(text)) => fill(text, &tenant),
            (None, None) => tenant.issuer(),
        };
        let wider = if config.refuse_wider_scopes { WiderScopes::Refuse } else { WiderScopes::Accept };
        let trim = !config.keep_usernames_as_typed;
        let connect = Duration::from_millis(config.connect_timeout_ms.unwrap_or(10_000));
        let client_id = config.client_id.clone().unwrap_or_else(|| tenant.client_id());
        let scopes = config.scopes.clone();
        let capabilities = config.capabilities.clone();
        let timeout = Duration::from_millis(config.request_timeout_ms.unwrap_or(20_000));
        move || {
            let options =
                NetworkOptions { trust: support::trust(), connect_timeout: connect, ..NetworkOptions::default() };
            let transport = Real::new(&world, HttpTransport::new(options));
            let default = || ["openid", "profile", "offline_access"].map(str::to_owned).to_vec();
            let mut builder = Client::builder(issuer.clone(), client_id.clone())
                .scopes(scopes.clone().unwrap_or_else(default))
                .store(store.clone())
                .request_timeout(timeout)
                .wider_scopes(wider)
                .trim_usernames(trim)
                .audit_sink(events.clone())
                .environment(world.environment(transport));
            if let Some(capabilities) = &capabilities {
                builder = builder.capabilities(capabilities.iter().map(|name| factor(name)));
            }
            builder.build()
        }
    };
    let mut play = Play {
        client: rebuild(),
        rebuild: Box::new(rebuild),
        world,
        tenant: tenant.clone(),
        store,
        step: None,
        session: None,
        username: String::new(),
        canaries: Canaries::default(),
    };
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
    check(&vector.expect, &tenant, live_grants, &events, &play.canaries)?;
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

/// The path of a URL of the emulator.
fn path(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("an absolute URL");
    rest.find('/').map_or("", |at| &rest[at..])
}

impl Play {
    fn call(&mut self, call: &Map<String, Value>) -> Result<(), String> {
        let mut call = call.clone();
        let gives = call.remove("gives").map(|v| v.as_str().expect("text").to_owned());
        let remedy = call.remove("remedy").map(|v| v.as_str().expect("text").to_owned());
        let retry_in_s = call.remove("retry_in_s").map(|v| v.as_u64().expect("seconds"));
        let says = call.remove("says").map(|v| v.as_str().expect("text").to_owned());
        let server_says = call.remove("server_says");
        let hint = call.remove("hint");
        let maybe_sent = call.remove("maybe_sent");
        let second_code = call.remove("second_code");
        let outcome = self.act(&mut call)?;
        self.world.settle();
        self.learn();
        if let Some((name, _)) = call.iter().next() {
            return Err(format!("unknown key {name}"));
        }
        let (word, error) = match &outcome {
            Outcome::Step(step) => (step_name(step).to_owned(), None),
            Outcome::Done => ("Done".to_owned(), None),
            Outcome::Value(value) => (value.clone(), None),
            Outcome::Error(error) => (error.kind().name().to_owned(), Some(error.clone())),
        };
        match &gives {
            Some(gives) => equal("gives", &word, gives).map_err(|p| format!("{p} ({error:?})"))?,
            None if error.is_some() => return Err(format!("failed: {error:?}")),
            None => {}
        }
        let is_about_an_error = remedy.is_some()
            || says.is_some()
            || retry_in_s.is_some()
            || [&server_says, &hint, &maybe_sent, &second_code].iter().any(|key| key.is_some());
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
        if let Outcome::Step(step) = outcome {
            self.take(step);
        }
        Ok(())
    }

    fn act(&mut self, call: &mut Map<String, Value>) -> Result<Outcome, String> {
        let world = self.world.clone();
        if call.remove("build").is_some() {
            return Ok(self.client.as_ref().map_or_else(|error| Outcome::Error(error.clone()), |_| Outcome::Done));
        }
        if let Some(calls) = call.remove("at_once") {
            return self.at_once(calls);
        }
        let when_sent = take_text(call, "when_sent");
        let request = self.request(call)?;
        if request.is_none() && when_sent.is_some() {
            return Err("when_sent goes with a request of a sign-in".into());
        }
        if let Some(mut request) = request {
            let Some(then) = when_sent else { return Ok(world.run(request).into()) };
            let before = self.tenant.journal().count("token");
            let tenant = self.tenant.clone();
            let answered = world.try_run(request.as_mut(), || tenant.journal().count("token") > before);
            equal("answered before anybody could do anything", &answered.is_some(), &false)?;
            return match then.as_str() {
                "leaves" => Ok(Outcome::Value("Left".into())),
                "cancels" => {
                    self.cancel()?;
                    Ok(world.run(request).into())
                }
                other => Err(format!("unknown deed {other}")),
            };
        }
        if call.remove("back").is_some() {
            let choice = self.step.as_deref().and_then(Step::choice);
            return Ok(Outcome::Step(Step::ChooseFactor(choice.ok_or("not a second factor")?)));
        }
        if call.remove("cancel").is_some() {
            self.cancel()?;
            return Ok(Outcome::Done);
        }
        if let Some(expected) = call.remove("factors") {
            let Some(Step::ChooseFactor(choice)) = self.step.as_deref() else { return Err("no choice".into()) };
            let found: Vec<_> = choice.factors().into_iter().map(|f| Value::from(f.name())).collect();
            equal("factors", &Value::Array(found), &expected)?;
            return Ok(Outcome::Done);
        }
        if let Some(expected) = call.remove("number") {
            let Some(Step::ApproveOnDevice(step)) = self.step.as_deref() else { return Err("no push".into()) };
            if let Some(expected) = expected.as_str() {
                equal("the number", &step.number(), &Some(expected))?;
                return Ok(Outcome::Done);
            }
            equal("a number is shown", &step.number().is_some(), &expected.as_bool().expect("true, false or a text"))?;
            if let Some(number) = step.number() {
                let pending = self.tenant.pending_pushes();
                let shown = pending.iter().any(|push| push.number.as_deref() == Some(number));
                equal("the number is the one on the device", &shown, &true)?;
            }
            return Ok(Outcome::Done);
        }
        if let Some(expected) = call.remove("expires_in_s") {
            let at = match (self.step.as_deref(), &self.session) {
                (Some(Step::ApproveOnDevice(step)), _) => step.expires_at(),
                (Some(Step::EnterCode(step)), _) => step.expires_at(),
                (None, Some(session)) => session.expires_at(),
                other => return Err(format!("nothing expires: {other:?}")),
            };
            equal("expires in", &Value::from(self.seconds_until(at)), &expected)?;
            return Ok(Outcome::Done);
        }
        if let Some(expected) = call.remove("resend_in_s") {
            let Some(Step::EnterCode(step)) = self.step.as_deref() else { return Err("no code step".into()) };
            equal("resend in", &Value::from(self.seconds_until(step.resend_at())), &expected)?;
            return Ok(Outcome::Done);
        }
        if let Some(expected) = call.remove("attempts_left") {
            let Some(Step::EnterCode(step)) = self.step.as_deref() else { return Err("no code step".into()) };
            equal("attempts left", &Value::from(step.attempts_left()), &expected)?;
            return Ok(Outcome::Done);
        }
        if let Some(reaction) = call.remove("user") {
            let reaction: Map<String, Value> = serde_json::from_value(reaction).map_err(|e| e.to_string())?;
            for (what, value) in reaction {
                let after_polls = value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("a number of polls")?;
                self.tenant.on_next_push(match what.as_str() {
                    "approves_after_polls" => PushReaction::Approve { after_polls },
                    "declines_after_polls" => PushReaction::Deny { after_polls },
                    "taps_wrong_number_after_polls" => PushReaction::WrongNumber { after_polls },
                    other => return Err(format!("unknown reaction {other}")),
                });
            }
            return Ok(Outcome::Done);
        }
        if let Some(seconds) = call.remove("wait_s") {
            world.advance(Duration::from_secs(seconds.as_u64().ok_or("seconds")?));
            return Ok(Outcome::Done);
        }
        if let Some(millis) = call.remove("set_device_clock_ms") {
            world.set_wall(millis.as_i64().ok_or("milliseconds")?);
            return Ok(Outcome::Done);
        }
        if let Some(what) = take_text(call, "server") {
            match what.as_str() {
                "rotates_keys" => self.tenant.rotate_keys(),
                "replaces_keys" => self.tenant.replace_keys(),
                "withdraws_key" => self.tenant.withdraw_key(),
                "revokes_everything" => self.tenant.revoke_everything(),
                "locks_user" => self.tenant.lock_user(&self.username, true),
                other => return Err(format!("unknown event {other}")),
            }
            return Ok(Outcome::Done);
        }
        if let Some(rule) = call.remove("script") {
            self.tenant.script(serde_json::from_value(rule).map_err(|error| error.to_string())?);
            return Ok(Outcome::Done);
        }
        if call.remove("warm_up").is_some() {
            world.run(self.client().warm_up());
            return Ok(Outcome::Done);
        }
        if call.remove("restart").is_some() {
            self.session = None;
            self.step = None;
            self.world.settle();
            self.client = (self.rebuild)();
            return Ok(Outcome::Done);
        }
        if call.remove("restore").is_some() {
            return Ok(match world.run(self.client().restore()) {
                Ok(Some(session)) => {
                    self.session = Some(session);
                    Outcome::Value("Restored".into())
                }
                Ok(None) => Outcome::Value("None".into()),
                Err(error) => Outcome::Error(error),
            });
        }
        self.act_on_session(call)
    }

    /// What has become secret since: whatever a request carried and whatever tokens came.
    fn learn(&mut self) {
        self.canaries.sent(&self.tenant.journal());
        self.tenant.last_tokens().iter().for_each(|token| self.canaries.typed(token));
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("a valid configuration")
    }

    fn cancel(&self) -> Result<(), String> {
        match self.step.as_deref() {
            Some(Step::ApproveOnDevice(step)) => step.cancel(),
            Some(Step::EnterCode(step)) => step.cancel(),
            Some(Step::ChooseFactor(step)) => step.cancel(),
            other => return Err(format!("nothing to cancel: {other:?}")),
        }
        Ok(())
    }

    /// Several requests begun in the same moment; the first that gives a step decides what is in hand.
    fn at_once(&mut self, calls: Value) -> Result<Outcome, String> {
        let mut calls: Vec<Map<String, Value>> = serde_json::from_value(calls).map_err(|error| error.to_string())?;
        let mut requests = Vec::new();
        for call in &mut calls {
            requests.push(self.request(call)?.ok_or("not a request")?);
            if let Some((name, _)) = call.iter().next() {
                return Err(format!("unknown key {name} in at_once"));
            }
        }
        let results = self.world.clone().run(futures_util::future::join_all(requests));
        let mut words = Vec::new();
        for result in results {
            match result {
                Ok(step) => {
                    words.push(step_name(&step));
                    self.take(step);
                }
                Err(error) => words.push(error.kind().name()),
            }
        }
        Ok(Outcome::Value(words.join(", ")))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::SignedIn(session) => {
                self.session = Some(session);
                self.step = None;
            }
            step => self.step = Some(Arc::new(step)),
        }
    }

    /// What sends something for a sign-in, ready to be run.
    fn request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        if let Some(username) = take_text(call, "sign_in") {
            self.username = username.trim().to_owned();
            self.canaries.typed(&self.username.clone());
            let sign_in = self.client().sign_in(&username);
            return self.first_factor(call, sign_in).map(Some);
        }
        if let Some(factor) = take_text(call, "choose") {
            let choice = match self.step.as_deref() {
                Some(Step::ChooseFactor(choice)) => choice.clone(),
                other => return Err(format!("no choice in hand, but {other:?}")),
            };
            let code = take_text(call, "code").map(|code| self.type_code(&code));
            return Ok(Some(Box::pin(async move {
                match factor.as_str() {
                    "otp" => choice.otp(code.expect("a code")).await,
                    "push" => choice.push().await,
                    "sms" => choice.sms().await,
                    "voice" => choice.voice().await,
                    "email" => choice.email().await,
                    other => panic!("unknown factor {other}"),
                }
            })));
        }
        if let Some(code) = take_text(call, "submit") {
            let code = self.type_code(&code);
            let step = self.step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::EnterCode(step)) => step.submit(code).await,
                    other => panic!("no code step, but {other:?}"),
                }
            })));
        }
        if call.remove("approved").is_some() {
            let step = self.step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::ApproveOnDevice(step)) => step.approved().await,
                    other => panic!("no push step, but {other:?}"),
                }
            })));
        }
        if call.remove("resend").is_some() {
            let step = self.step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::ApproveOnDevice(step)) => step.resend().await,
                    Some(Step::EnterCode(step)) => step.resend().await,
                    other => panic!("nothing to resend: {other:?}"),
                }
            })));
        }
        Ok(None)
    }

    fn first_factor(&mut self, call: &mut Map<String, Value>, sign_in: SignIn) -> Result<Request, String> {
        if let Some(password) = take_text(call, "password") {
            self.canaries.typed(&password);
            return Ok(Box::pin(async move { sign_in.password(password).await }));
        }
        if let Some(code) = take_text(call, "otp") {
            let code = self.type_code(&code);
            return Ok(Box::pin(async move { sign_in.otp(code).await }));
        }
        for name in ["push", "sms", "voice", "email"] {
            if call.remove(name).is_some() {
                return Ok(Box::pin(async move {
                    match name {
                        "push" => sign_in.push().await,
                        "sms" => sign_in.sms().await,
                        "voice" => sign_in.voice().await,
                        _ => sign_in.email().await,
                    }
                }));
            }
        }
        Err("no first factor given".into())
    }

    fn type_code(&mut self, code: &str) -> String {
        let code = self.fill_code(code);
        self.canaries.typed(&code);
        code
    }

    fn act_on_session(&self, call: &mut Map<String, Value>) -> Result<Outcome, String> {
        let world = &self.world;
        let name = call.keys().next().cloned().ok_or("an empty call")?;
        let value = call.remove(&name);
        let session = self.session.clone().ok_or(format!("no session for {name}"))?;
        let done = |result: Result<(), Error>| result.map_or_else(Outcome::Error, |()| Outcome::Done);
        Ok(match name.as_str() {
            "refresh" => done(world.run(session.refresh())),
            "access_token" => done(world.run(session.access_token()).map(drop)),
            "authorize" => {
                let url = fill(value.as_ref().and_then(Value::as_str).unwrap_or("{resource}"), &self.tenant);
                match world.run(session.authorize("GET", &url)) {
                    Ok(headers) => {
                        let bearer = headers.iter().all(|(n, v)| n == "authorization" && v.starts_with("Bearer "));
                        equal("a bearer header", &bearer, &true)?;
                        Outcome::Done
                    }
                    Err(error) => Outcome::Error(error),
                }
            }
            "user_info" => match world.run(session.user_info()) {
                Ok(claims) => Outcome::Value(claims.preferred_username().unwrap_or_default().to_owned()),
                Err(error) => Outcome::Error(error),
            },
            "concurrent_access_tokens" => {
                let count = value.and_then(|v| v.as_u64()).ok_or("how many")?;
                let calls = (0..count).map(|_| session.access_token());
                let results = world.run(futures_util::future::join_all(calls));
                let tokens: Result<Vec<_>, _> = results.into_iter().collect();
                match tokens {
                    Ok(tokens) => {
                        let same = tokens.windows(2).all(|pair| pair[0].expose() == pair[1].expose());
                        equal("all callers get the same token", &same, &true)?;
                        Outcome::Done
                    }
                    Err(error) => Outcome::Error(error),
                }
            }
            "sign_out" => match world.run(session.sign_out()) {
                Ok(result) => Outcome::Value(format!("{:?}", result.server)),
                Err(error) => Outcome::Error(error),
            },
            "session" => {
                let expected: Map<String, Value> =
                    serde_json::from_value(value.unwrap_or_default()).map_err(|error| error.to_string())?;
                for (what, expected) in expected {
                    let found = match what.as_str() {
                        "persisted" => Value::from(session.is_persisted()),
                        "can_refresh" => Value::from(session.can_refresh()),
                        "scopes" => Value::from(session.granted_scopes()),
                        "username" => Value::from(session.username()),
                        "claims" => Value::from(session.claims().is_some()),
                        "preferred_username" => {
                            Value::from(session.claims().and_then(|c| c.preferred_username().map(str::to_owned)))
                        }
                        "name" => Value::from(session.claims().and_then(|c| c.name().map(str::to_owned))),
                        "amr" => Value::from(
                            session.claims().map(|c| c.texts("amr").into_iter().map(str::to_owned).collect::<Vec<_>>()),
                        ),
                        "stored" => Value::from(stored(&self.store, world)),
                        other => return Err(format!("unknown property {other}")),
                    };
                    equal(&what, &found, &expected)?;
                }
                Outcome::Done
            }
            other => return Err(format!("unknown verb {other}")),
        })
    }

    fn seconds_until(&self, at: std::time::SystemTime) -> u64 {
        let now = self.world.wall().to_system_time();
        at.duration_since(now).map_or(0, |left| left.as_secs())
    }

    fn fill_code(&self, code: &str) -> String {
        let user = &self.username;
        match code {
            "$totp" => self.tenant.totp(user).expect("the user has an authenticator app"),
            "$wrong_totp" => self.tenant.wrong_totp(user).expect("the user has an authenticator app"),
            "$code" => self.tenant.last_code(user).expect("a code was sent"),
            "$code_spaced" => {
                let code = self.tenant.last_code(user).expect("a code was sent");
                format!(" {}-{} ", &code[..3], &code[3..])
            }
            "$wrong_code" => {
                let right = self.tenant.last_code(user).expect("a code was sent");
                let first = if right.starts_with('1') { '2' } else { '1' };
                format!("{first}{}", &right[1..])
            }
            other => other.to_owned(),
        }
    }
}

type Request = BoxFuture<'static, Result<Step, Error>>;

enum Outcome {
    Step(Step),
    Done,
    Value(String),
    Error(Error),
}

impl From<Result<Step, Error>> for Outcome {
    fn from(result: Result<Step, Error>) -> Self {
        result.map_or_else(Outcome::Error, Outcome::Step)
    }
}

fn stored(store: &MemoryStore, world: &World) -> usize {
    use directauth::TokenStore;
    let keys = world.run(store.keys()).expect("memory");
    keys.iter().filter(|key| key.as_str().starts_with("session.")).count()
}

fn take_text(call: &mut Map<String, Value>, name: &str) -> Option<String> {
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
}

/// A server that is not the emulator as it should be, or no server at all.
enum OddServer {
    Tls(BadTls),
    /// Somebody listens, accepts, and says nothing.
    Silent(std::net::TcpListener),
    Nobody(u16),
    /// Speaks TLS 1.1 and nothing newer: answers every ClientHello with the alert `protocol_version` (RFC 8446 §6.2).
    OldTls(u16),
}

impl OddServer {
    fn of(issuer: &str) -> Option<Self> {
        let tls = |kind| Self::Tls(support::emulator().bad_tls(kind).expect("a listener"));
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        Some(match issuer {
            "{expired_certificate}" => tls(BadTlsKind::Expired),
            "{certificate_for_another_host}" => tls(BadTlsKind::WrongHost),
            "{self_signed_certificate}" => tls(BadTlsKind::SelfSigned),
            "{certificate_of_an_unknown_authority}" => tls(BadTlsKind::UnknownCa),
            "{old_tls}" => {
                let listener = listen();
                let port = listener.local_addr().expect("its address").port();
                std::thread::spawn(move || {
                    while let Ok((mut client, _)) = listener.accept() {
                        let _ = std::io::Read::read(&mut client, &mut [0; 4096]);
                        let _ = std::io::Write::write_all(&mut client, &[21, 3, 1, 0, 2, 2, 70]);
                    }
                });
                Self::OldTls(port)
            }
            "{silent}" => Self::Silent(listen()),
            "{nobody}" => Self::Nobody(listen().local_addr().expect("its address").port()),
            _ => return None,
        })
    }

    fn origin(&self) -> String {
        let port = match self {
            Self::Tls(server) => return server.origin(),
            Self::Silent(listener) => listener.local_addr().expect("its address").port(),
            Self::Nobody(port) | Self::OldTls(port) => *port,
        };
        format!("https://127.0.0.1:{port}")
    }
}

fn factor(name: &str) -> Factor {
    name.parse().expect("a factor")
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::SignedIn(_) => "SignedIn",
        Step::ChooseFactor(_) => "ChooseFactor",
        Step::ApproveOnDevice(_) => "ApproveOnDevice",
        Step::EnterCode(_) => "EnterCode",
        Step::Unsupported(_) => "UnsupportedStep",
        _ => "another step",
    }
}

fn remedy_name(remedy: Remedy) -> String {
    let name = format!("{remedy:?}");
    name.split('(').next().unwrap_or_default().to_owned()
}
