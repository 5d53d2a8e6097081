//! Plays `conformance/*.json` on the real library over real TLS against the emulator, in simulated time.
//!
//! The runner is small and knows no row: a row that needs a special case here is a verb that the format lacks. The
//! format is described in `conformance/README.md`.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directauth::env::{Clock, HttpTransport, NetworkOptions};
use directauth::{Client, Error, Factor, MemoryStore, Remedy, Session, SignIn, Step};
use directauth_emulator::{PushReaction, Rule, Settings, Tenant};
use serde::Deserialize;
use serde_json::{Map, Value};
use support::world::{Real, World};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    id: String,
    #[serde(default)]
    rows: Vec<u32>,
    title: String,
    #[serde(default)]
    config: Configuration,
    #[serde(default)]
    server: Vec<Rule>,
    calls: Vec<Map<String, Value>>,
    #[serde(default)]
    expect: Expected,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Configuration {
    scopes: Option<Vec<String>>,
    capabilities: Option<Vec<String>>,
    settings: Option<Settings>,
    issuer: Option<String>,
    client_id: Option<String>,
    request_timeout_ms: Option<u64>,
    /// By how many milliseconds the device's wall clock is ahead of the server's.
    device_clock_ahead_ms: i64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    /// The operations that reached the server, in order; `token` repeated n times is `token*n`.
    requests: Option<Vec<String>>,
    /// Least seconds between two requests of an operation, in order.
    gaps_at_least_s: BTreeMap<String, Vec<f64>>,
    /// How many grants live at the server in the end.
    live_grants: Option<usize>,
    /// How many requests reached a host that the library was redirected to.
    other_host_requests: Option<usize>,
}

fn vectors() -> Vec<(String, Vector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        let list: Vec<Vector> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        vectors.extend(list.into_iter().map(|vector| (name.clone(), vector)));
    }
    vectors
}

#[test]
fn every_vector_gives_what_it_says() {
    let vectors = vectors();
    let only = std::env::var("VECTOR").ok();
    let mut failed = Vec::new();
    let mut played = 0;
    let mut ids = std::collections::BTreeSet::new();
    for (file, vector) in &vectors {
        assert!(ids.insert(vector.id.clone()), "{file}: the id {} is there twice", vector.id);
        if only.as_ref().is_some_and(|only| *only != vector.id) {
            continue;
        }
        played += 1;
        let result = std::panic::catch_unwind(|| play(vector));
        let problem = match result {
            Ok(Ok(())) => continue,
            Ok(Err(problem)) => problem,
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "panicked".to_owned()),
        };
        failed.push(format!("{file} {} (rows {:?}: {})\n    {problem}", vector.id, vector.rows, vector.title));
    }
    println!("{played} vectors, {} failed", failed.len());
    assert!(played > 0, "no vector was played");
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// What is in hand between two calls.
struct Play {
    world: World,
    tenant: Tenant,
    client: Client,
    store: MemoryStore,
    rebuild: Box<dyn Fn() -> Client>,
    step: Option<Arc<Step>>,
    session: Option<Session>,
    username: String,
}

fn play(vector: &Vector) -> Result<(), String> {
    let world = World::new();
    let emulator = support::emulator();
    let tenant = emulator.tenant();
    tenant.set_clock(Arc::new(world.clone()));
    let settings = vector.config.settings.clone().unwrap_or_default();
    tenant.settings(|s| *s = settings);
    let server_clock_behind = vector.config.device_clock_ahead_ms;
    if server_clock_behind != 0 {
        tenant.set_clock(Arc::new(Shifted(world.clone(), server_clock_behind)));
    }
    for rule in &vector.server {
        tenant.script(rule.clone());
    }
    let elsewhere = emulator.second_host_requests();
    let store = MemoryStore::new();
    let rebuild = {
        let (world, tenant, store) = (world.clone(), tenant.clone(), store.clone());
        let config = &vector.config;
        let issuer = config.issuer.as_ref().map_or_else(|| tenant.issuer(), |text| fill(text, &tenant));
        let client_id = config.client_id.clone().unwrap_or_else(|| tenant.client_id());
        let scopes = config.scopes.clone();
        let capabilities = config.capabilities.clone();
        let timeout = Duration::from_millis(config.request_timeout_ms.unwrap_or(20_000));
        move || {
            let options = NetworkOptions { trust: support::trust(), connect_timeout: Duration::from_secs(10) };
            let transport = Real::new(&world, HttpTransport::new(options));
            let default = || ["openid", "profile", "offline_access"].map(str::to_owned).to_vec();
            let mut builder = Client::builder(issuer.clone(), client_id.clone())
                .scopes(scopes.clone().unwrap_or_else(default))
                .store(store.clone())
                .request_timeout(timeout)
                .environment(world.environment(transport));
            if let Some(capabilities) = &capabilities {
                builder = builder.capabilities(capabilities.iter().map(|name| factor(name)));
            }
            builder.build().expect("a valid configuration")
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
    };
    for (number, call) in vector.calls.iter().enumerate() {
        play.call(call).map_err(|problem| format!("call {}: {problem}", number + 1))?;
    }
    drop(play.client);
    play.world.settle();
    check_journal(&vector.expect, &tenant)?;
    if let Some(expected) = vector.expect.other_host_requests {
        let found = emulator.second_host_requests() - elsewhere;
        equal("requests at another host", &found, &expected)?;
    }
    Ok(())
}

struct Shifted(World, i64);
impl directauth_emulator::Clock for Shifted {
    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.wall_millis() - self.1).expect("after 1970"))
    }
}

impl Play {
    fn call(&mut self, call: &Map<String, Value>) -> Result<(), String> {
        let mut call = call.clone();
        let gives = call.remove("gives").map(|v| v.as_str().expect("text").to_owned());
        let remedy = call.remove("remedy").map(|v| v.as_str().expect("text").to_owned());
        let retry_in_s = call.remove("retry_in_s").map(|v| v.as_u64().expect("seconds"));
        let says = call.remove("says").map(|v| v.as_str().expect("text").to_owned());
        let outcome = self.act(&mut call)?;
        self.world.settle();
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
        if let (Some(remedy), Some(error)) = (remedy, &error) {
            equal("remedy", &remedy_name(error.remedy()), &remedy)?;
        }
        if let (Some(seconds), Some(error)) = (retry_in_s, &error) {
            let Remedy::Wait(Some(at)) = error.remedy() else { return Err("no time to wait until".into()) };
            equal("retry in", &self.seconds_until(at), &seconds)?;
        }
        if let (Some(says), Some(error)) = (says, &error) {
            let text = error.to_string();
            if !text.contains(&says) {
                return Err(format!("says {text:?}, which does not contain {says:?}"));
            }
        }
        match outcome {
            Outcome::Step(Step::SignedIn(session)) => {
                self.session = Some(session);
                self.step = None;
            }
            Outcome::Step(step) => self.step = Some(Arc::new(step)),
            _ => {}
        }
        Ok(())
    }

    fn act(&mut self, call: &mut Map<String, Value>) -> Result<Outcome, String> {
        let world = self.world.clone();
        if let Some(username) = take_text(call, "sign_in") {
            self.username = username.trim().to_owned();
            let sign_in = self.client.sign_in(&username);
            return self.first_factor(call, &sign_in);
        }
        if let Some(factor) = take_text(call, "choose") {
            let choice = match self.step.as_deref() {
                Some(Step::ChooseFactor(choice)) => choice.clone(),
                other => return Err(format!("no choice in hand, but {other:?}")),
            };
            let code = take_text(call, "code").map(|code| self.fill_code(&code));
            return Ok(world
                .run(async {
                    match factor.as_str() {
                        "otp" => choice.otp(code.expect("a code")).await,
                        "push" => choice.push().await,
                        "sms" => choice.sms().await,
                        "voice" => choice.voice().await,
                        "email" => choice.email().await,
                        other => panic!("unknown factor {other}"),
                    }
                })
                .into());
        }
        if let Some(code) = take_text(call, "submit") {
            let code = self.fill_code(&code);
            let Some(Step::EnterCode(step)) = self.step.as_deref() else { return Err("no code step".into()) };
            return Ok(world.run(step.submit(code)).into());
        }
        if call.remove("approved").is_some() {
            let Some(Step::ApproveOnDevice(step)) = self.step.as_deref() else { return Err("no push step".into()) };
            return Ok(world.run(step.approved()).into());
        }
        if call.remove("resend").is_some() {
            return Ok(match self.step.as_deref() {
                Some(Step::ApproveOnDevice(step)) => world.run(step.resend()).into(),
                Some(Step::EnterCode(step)) => world.run(step.resend()).into(),
                other => return Err(format!("nothing to resend: {other:?}")),
            });
        }
        if call.remove("back").is_some() {
            let choice = self.step.as_deref().and_then(Step::choice);
            return Ok(Outcome::Step(Step::ChooseFactor(choice.ok_or("not a second factor")?)));
        }
        if call.remove("cancel").is_some() {
            match self.step.as_deref() {
                Some(Step::ApproveOnDevice(step)) => step.cancel(),
                Some(Step::EnterCode(step)) => step.cancel(),
                Some(Step::ChooseFactor(step)) => step.cancel(),
                other => return Err(format!("nothing to cancel: {other:?}")),
            }
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
            equal("a number is shown", &step.number().is_some(), &expected.as_bool().expect("true or false"))?;
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
            world.run(self.client.warm_up());
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
            return Ok(match world.run(self.client.restore()) {
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

    fn first_factor(&self, call: &mut Map<String, Value>, sign_in: &SignIn) -> Result<Outcome, String> {
        let world = &self.world;
        if let Some(password) = take_text(call, "password") {
            return Ok(world.run(sign_in.password(password)).into());
        }
        if let Some(code) = take_text(call, "otp") {
            return Ok(world.run(sign_in.otp(self.fill_code(&code))).into());
        }
        for name in ["push", "sms", "voice", "email"] {
            if call.remove(name).is_some() {
                return Ok(world
                    .run(async {
                        match name {
                            "push" => sign_in.push().await,
                            "sms" => sign_in.sms().await,
                            "voice" => sign_in.voice().await,
                            _ => sign_in.email().await,
                        }
                    })
                    .into());
            }
        }
        Err("no first factor given".into())
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
    world.run(store.keys()).expect("memory").len()
}

fn check_journal(expected: &Expected, tenant: &Tenant) -> Result<(), String> {
    let journal = tenant.journal();
    if let Some(requests) = &expected.requests {
        let mut wanted = Vec::new();
        for item in requests {
            let (name, times) = item.split_once('*').unwrap_or((item, "1"));
            wanted.extend(std::iter::repeat_n(name, times.parse().expect("a number")));
        }
        equal("requests", &journal.operations(), &wanted)?;
    }
    for (operation, least) in &expected.gaps_at_least_s {
        let gaps: Vec<f64> = journal.gaps(operation).iter().map(Duration::as_secs_f64).collect();
        if gaps.len() < least.len() || gaps.iter().zip(least).any(|(gap, least)| gap + 1e-6 < *least) {
            return Err(format!("gaps of {operation}: {gaps:?}, at least {least:?}"));
        }
    }
    if let Some(live) = expected.live_grants {
        equal("live grants", &tenant.live_grants(), &live)?;
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}

fn take_text(call: &mut Map<String, Value>, name: &str) -> Option<String> {
    match call.remove(name)? {
        Value::String(text) => Some(text),
        other => panic!("{name} must be text, not {other}"),
    }
}

fn fill(text: &str, tenant: &Tenant) -> String {
    text.replace("{issuer}", &tenant.issuer())
        .replace("{org_issuer}", &tenant.org_issuer())
        .replace("{resource}", &tenant.resource_url())
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
