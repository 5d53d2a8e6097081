//! Answers that no server of ours gives, echoes of what was sent, and callers that leave at the worst moment: the real library
//! on a network that is one function, in simulated time.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use directauth::TokenStore;
use directauth::audit::{AuditEvent, AuditKind, AuditSink, SinkError};
use directauth::env::{Blob, StorageKey};
use directauth::env::{
    BoxFuture, Clock, Conversation, HttpRequest, HttpResponse, MemoryStore, Transport, TransportError,
};
use directauth::{
    Client, ClientBuilder, Error, HeaderProvider, HeaderProviderError, Kind, OutgoingRequest, Session, Step,
};
use futures_util::FutureExt;
use support::world::World;
use zeroize::Zeroizing;

const ISSUER: &str = "https://as.example/oauth2/default";

#[derive(Clone)]
struct Req {
    url: String,
    body: String,
    at: Duration,
}

type Answer = (u16, Vec<(&'static str, String)>, String);
type Script = Arc<dyn Fn(&Req) -> Answer + Send + Sync>;

#[derive(Clone)]
struct Net {
    world: World,
    script: Script,
    seen: Arc<Mutex<Vec<Req>>>,
}

impl Net {
    /// Answers metadata requests with [`metadata`], everything else by `script`.
    fn new(world: &World, script: impl Fn(&Req) -> Answer + Send + Sync + 'static) -> Self {
        Self::scripted(world, move |r| if r.url.contains("well-known") { metadata() } else { script(r) })
    }
    fn scripted(world: &World, script: impl Fn(&Req) -> Answer + Send + Sync + 'static) -> Self {
        Self { world: world.clone(), script: Arc::new(script), seen: Arc::default() }
    }
    fn count(&self, end: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|r| r.url.contains(end)).count()
    }
    fn times(&self, end: &str) -> Vec<u64> {
        self.seen.lock().unwrap().iter().filter(|r| r.url.contains(end)).map(|r| r.at.as_secs()).collect()
    }
}
impl Transport for Net {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        Ok(Box::new(self.clone()))
    }
    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(self.clone())
    }
}
impl Conversation for Net {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let this = self.clone();
        let body = request.body.as_ref().map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
        let url = request.url.clone();
        Box::pin(async move {
            // one network round trip
            this.world.sleep(Duration::from_millis(100)).await;
            let req = Req { url, body, at: this.world.boot().since_boot() };
            this.seen.lock().unwrap().push(req.clone());
            let (status, mut headers, body) = (this.script)(&req);
            if !headers.iter().any(|(n, _)| *n == "content-type") {
                headers.push(("content-type", "application/json".into()));
            }
            let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            Ok(HttpResponse { status, headers, body: Zeroizing::new(body.into_bytes()) })
        })
    }
    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn metadata() -> Answer {
    (
        200,
        vec![],
        format!(
            r#"{{"issuer":"{ISSUER}","token_endpoint":"{ISSUER}/v1/token","jwks_uri":"{ISSUER}/v1/keys","revocation_endpoint":"{ISSUER}/v1/revoke","userinfo_endpoint":"{ISSUER}/v1/userinfo"}}"#
        ),
    )
}
fn ok(body: impl Into<String>) -> Answer {
    (200, vec![], body.into())
}
fn err(status: u16, body: impl Into<String>) -> Answer {
    (status, vec![], body.into())
}

fn builder(world: &World, net: &Net) -> ClientBuilder {
    Client::builder(ISSUER, "id").scopes(["offline_access"]).environment(world.environment(net.clone()))
}
fn signed_in(step: Result<Step, Error>) -> Session {
    match step {
        Ok(Step::SignedIn(s)) => s,
        o => panic!("{o:?}"),
    }
}

#[derive(Default, Clone)]
struct Log(Arc<Mutex<Vec<AuditEvent>>>);
impl AuditSink for Log {
    fn record(&self, e: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(e.clone());
        Ok(())
    }
}

fn token(at: &str, rt: &str, life: u32) -> Answer {
    ok(format!(r#"{{"token_type":"Bearer","access_token":"{at}","refresh_token":"{rt}","expires_in":{life}}}"#))
}

fn echo_password(password: &str, echoed: &str) -> Option<String> {
    let world = World::new();
    let echoed = serde_json::to_string(&format!("wrong: {echoed}!")).unwrap();
    let net =
        Net::new(&world, move |_| err(400, format!(r#"{{"error":"invalid_grant","error_description":{echoed}}}"#)));
    let client = builder(&world, &net).build().unwrap();
    let e = world.run(client.sign_in("ANA.JÖRG@example.com").password(password)).expect_err("no");
    e.server_text().and_then(|t| t.description().map(str::to_owned))
}

#[test]
fn a_password_with_characters_that_are_cleaned_away_is_masked() {
    for (p, must_not) in [
        ("Hearts\u{2764}\u{fe0f}4ever", "4ever"),
        ("tab\there-secret", "here-secret"),
        ("fam\u{1f468}\u{200d}\u{1f469}ily-secret", "ily-secret"),
        ("soft\u{ad}hyphen-secret", "hyphen-secret"),
    ] {
        let d = echo_password(p, p).unwrap();
        assert!(!d.contains(must_not), "LEAK {p:?} -> {d:?}");
    }
}

#[test]
fn a_value_is_masked_in_the_spellings_that_servers_use() {
    let mut leaks = vec![];
    for (p, echoed, must_not) in [
        ("a\"b\\secret1", "{\\\"password\\\":\\\"a\\\"b\\\\\\\\secret1\\\"}", "secret1"), // JSON in JSON
        ("x'y&secret2", "x&#39;y&amp;secret2", "secret2"),                                // HTML
        ("p!w&secret3", "p!w%26secret3", "secret3"),                                      // encodeURIComponent
        ("p~w/secret4&", "p~w/secret4%26", "secret4"),                                    // Python quote
        ("x", "ana.jörg@example.com", "jörg"),                                            // user name folded
    ] {
        let d = echo_password(p, echoed).unwrap();
        if d.contains(must_not) {
            leaks.push(format!("{p:?} as {echoed:?} -> {d:?}"));
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn a_user_name_shows_at_no_endpoint() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.body.contains("grant_type=password") {
            return token("at1", "rt1", 3600);
        }
        (
            400,
            vec![("x-okta-request-id", "req-ana.smith-7".into())],
            r#"{"error":"ana.smith_unknown","error_description":"User ana.smith is not assigned"}"#.into(),
        )
    });
    let log = Log::default();
    let client = builder(&world, &net).audit_sink(log.clone()).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana.smith").password("pw-pw-pw")));
    let e = world.run(s.refresh()).expect_err("no");
    let e2 = world.run(s.user_info()).expect_err("no");
    let _ = world.run(s.sign_out());
    world.settle();
    let all = format!(
        "{e} {e:?} {e2:?} {:?} {:?} {:#?}",
        e.server_text().and_then(|t| t.description().map(str::to_owned)),
        e.request_id(),
        log.0.lock().unwrap()
    );
    let hits: Vec<_> = all.lines().filter(|l| l.contains("ana.smith")).collect();
    assert!(hits.is_empty(), "LEAK {hits:#?}");
}

#[test]
fn the_remedy_does_not_depend_on_what_was_typed() {
    let outcome = |user: &str, password: &str, status, body: &'static str| {
        let world = World::new();
        let net = Net::new(&world, move |_| err(status, body));
        let client = builder(&world, &net).build().unwrap();
        let e = world.run(client.sign_in(user).password(password)).expect_err("no");
        format!("{:?} {:?} {}", e.kind(), e.remedy(), e.is_retryable())
    };
    let body = r#"{"error":"temporarily_unavailable"}"#;
    assert_eq!(outcome("ana", "hunter22", 400, body), outcome("ana", "unavailable", 400, body));
    let body = r#"{"error":"consent_required"}"#;
    assert_eq!(outcome("ana", "hunter22", 400, body), outcome("consent", "hunter22", 400, body));
}

#[test]
fn a_token_that_came_along_is_no_request_id() {
    let world = World::new();
    let net = Net::new(&world, |_| {
        let mut a = token("at1", "rt-new-secret", 3600);
        a.1.push(("x-okta-request-id", "rt-new-secret".into()));
        a
    });
    let log = Log::default();
    let client = builder(&world, &net).audit_sink(log.clone()).build().unwrap();
    let _s = signed_in(world.run(client.sign_in("ana.smith").password("pw-pw-pw")));
    world.settle();
    let all = format!("{:?}", log.0.lock().unwrap());
    assert!(!all.contains("rt-new-secret"), "LEAK");
}

#[test]
fn row_102_does_not_hold_when_the_clock_was_set() {
    let world = World::new();
    let net = Net::new(&world, |_| token("same-at", "same-rt", 3600));
    let client = builder(&world, &net).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    world.run(s.access_token()).expect("fresh");
    world.set_wall(10 * 60_000); // the phone gets its time from the network
    world.advance(Duration::from_secs(60));
    let r = world.run(s.access_token());
    for _ in 0..3 {
        world.advance(Duration::from_secs(600));
    }
    r.expect("the server has just said that the token is good for an hour");
}

#[test]
fn row_102_does_not_hold_after_a_reboot() {
    let world = World::new();
    let net = Net::new(&world, |_| token("same-at", "same-rt", 3600));
    let store = MemoryStore::new();
    let client = builder(&world, &net).store(store.clone()).build().unwrap();
    drop(signed_in(world.run(client.sign_in("ana").password("pw-pw-pw"))));
    world.reboot();
    let client = builder(&world, &net).store(store.clone()).build().unwrap();
    let s = world.run(client.restore()).unwrap().unwrap();
    world.run(s.access_token()).expect("the server has just said that the token is good for an hour");
}

#[test]
fn row_100_holds_at_a_refresh_too() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.body.contains("grant_type=password") {
            return if r.body.contains("username=ana") {
                token("at-of-ana", "rt-ana", 3600)
            } else {
                token("at-of-ben", "rt-ben", 3600)
            };
        }
        // a cache mix-up at a proxy: ben's refresh gets ana's answer
        token("at-of-ana", "rt-ana", 3600)
    });
    let env = world.environment(net.clone());
    let make =
        |id: &str| Client::builder(ISSUER, id).scopes(["offline_access"]).environment(env.clone()).build().unwrap();
    let (a, b) = (make("one"), make("two"));
    let _ana = signed_in(world.run(a.sign_in("ana").password("pw-pw-pw")));
    let ben = signed_in(world.run(b.sign_in("ben").password("pw-pw-pw")));
    let r = world.run(ben.refresh());
    let t = world.run(ben.access_token());
    assert!(t.map(|t| t.expose() != "at-of-ana").unwrap_or(true), "ben holds ana's access token: {r:?}");
}

#[test]
fn a_refusal_counts_also_if_its_caller_has_left() {
    let world = World::new();
    let net = Net::new(&world, |_| err(400, r#"{"error":"invalid_grant"}"#));
    let client = builder(&world, &net).build().unwrap();
    world.run(client.warm_up());
    for _ in 0..6 {
        let sign_in = client.sign_in("ana");
        let mut f = Box::pin(sign_in.password("wrong-pw"));
        // polled until the request is on the wire, then dropped
        world.run(async {
            let before = net.count("/token");
            let _ = before;
            futures_util::future::select(&mut f, world.sleep(Duration::from_millis(50))).await;
        });
        drop(f);
        world.advance(Duration::from_millis(1100));
        world.settle();
        world.run(world.sleep(Duration::from_millis(300)));
    }
    let n = net.count("/token");
    let e = world.run(client.sign_in("ana").password("wrong-pw")).expect_err("no");
    assert!(
        matches!(e.kind(), Kind::RateLimited { .. }) || n < 4,
        "seven wrong passwords in {:?}, none held back: {:?}",
        net.times("/token"),
        e.kind()
    );
}

#[test]
fn a_refresh_that_nobody_waits_for_keeps_retry_after() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.body.contains("grant_type=password") {
            return token("at1", "rt1", 3600);
        }
        (429, vec![("retry-after", "120".into())], r#"{"error":"invalid_grant"}"#.into())
    });
    let client = builder(&world, &net).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    world.advance(Duration::from_secs(3300)); // due
    for _ in 0..4 {
        world.run(s.access_token()).expect("still good");
        world.settle();
        world.run(world.sleep(Duration::from_secs(31)));
    }
    let times = net.times("/token");
    assert!(times.windows(2).skip(1).all(|w| w[1] - w[0] >= 120), "asked to wait 120 s: {times:?}");
}

#[test]
fn callers_with_an_expired_token_keep_retry_after() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.body.contains("grant_type=password") {
            return token("at1", "rt1", 3600);
        }
        (429, vec![("retry-after", "120".into())], r#"{"error":"invalid_grant"}"#.into())
    });
    let client = builder(&world, &net).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    world.advance(Duration::from_secs(3700));
    for _ in 0..24 {
        let _ = world.run(s.access_token());
        world.run(world.sleep(Duration::from_secs(5)));
    }
    let times = net.times("/token");
    assert!(times.len() <= 3, "{times:?}");
}

#[test]
fn a_poll_waits_no_longer_than_two_minutes_for_a_reset() {
    let world = World::new();
    let n = Arc::new(Mutex::new(0));
    let net = Net::new(&world, move |r| {
        if r.url.contains("primary-authenticate") {
            return ok(
                r#"{"oob_code":"oob-code-1","channel":"push","binding_method":"none","interval":5,"expires_in":300}"#,
            );
        }
        let mut n = n.lock().unwrap();
        *n += 1;
        if *n == 1 {
            return (
                429,
                vec![("date", "Mon, 21 Sep 2026 14:13:20 GMT".into()), ("x-rate-limit-reset", "4294967295".into())],
                r#"{"error":"invalid_grant"}"#.into(),
            );
        }
        token("at1", "rt1", 3600)
    });
    let client = builder(&world, &net).build().unwrap();
    let step = world.run(client.sign_in("ana").push());
    let Ok(Step::ApproveOnDevice(p)) = step else { panic!("{step:?}") };
    let r = world.run(p.approved());
    signed_in(r);
}

#[test]
fn a_series_of_polls_is_started_once_and_finished_once() {
    let world = World::new();
    let n = Arc::new(Mutex::new(0));
    let net = Net::new(&world, move |r| {
        if r.url.contains("primary-authenticate") {
            return ok(
                r#"{"oob_code":"oob-code-1","channel":"push","binding_method":"none","interval":5,"expires_in":300}"#,
            );
        }
        let mut n = n.lock().unwrap();
        *n += 1;
        match *n {
            1 | 2 => err(503, ""),
            3 => (429, vec![], "".into()),
            4 => err(400, r#"{"error":"authorization_pending"}"#),
            _ => token("at1", "rt1", 3600),
        }
    });
    let log = Log::default();
    let client = builder(&world, &net).audit_sink(log.clone()).build().unwrap();
    let step = world.run(client.sign_in("ana").push());
    let Ok(Step::ApproveOnDevice(p)) = step else { panic!("{step:?}") };
    signed_in(world.run(p.approved()));
    world.settle();
    let events = log.0.lock().unwrap();
    let count = |f: &dyn Fn(&AuditKind) -> bool| events.iter().filter(|e| f(&e.kind)).count();
    let started = count(&|k| matches!(k, AuditKind::AttemptStarted { attempt: directauth::audit::Attempt::Approval }));
    let finished =
        count(&|k| matches!(k, AuditKind::AttemptFinished { attempt: directauth::audit::Attempt::Approval, .. }));
    assert_eq!((started, finished), (1, 1));
}

struct Sleepy {
    world: World,
    by: Arc<Mutex<Duration>>,
}
impl HeaderProvider for Sleepy {
    fn headers(&self, r: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
        if r.path.ends_with("/token") {
            self.world.advance(*self.by.lock().unwrap());
        }
        Ok(vec![])
    }
}

#[test]
fn a_device_that_sleeps_while_the_provider_is_asked_sends_no_second_time() {
    // first send lost at t=0; retry of the same process used? A new process finds the mark at 24 s and the device sleeps.
    let world = World::new();
    let n = Arc::new(Mutex::new(0));
    let nn = n.clone();
    let net = Net::new(&world, move |r| {
        if r.body.contains("grant_type=password") {
            return token("at1", "rt1", 36000);
        }
        *nn.lock().unwrap() += 1;
        err(503, "")
    });
    let by = Arc::new(Mutex::new(Duration::ZERO));
    let client =
        builder(&world, &net).header_provider(Sleepy { world: world.clone(), by: by.clone() }).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    // The answer to the first send is lost, and the device sleeps while the provider is asked for the second.
    let t0 = world.boot().since_boot().as_secs();
    *by.lock().unwrap() = Duration::from_secs(1800);
    let _ = world.run(s.refresh());
    let times: Vec<_> = net.times("/token").into_iter().filter(|t| *t > t0).map(|t| t - t0).collect();
    assert_eq!(times.len(), 1, "the first send, with its mark just written, and no second: {times:?}");
}

#[test]
fn sign_ins_that_were_dropped_fetch_nothing() {
    let world = World::new();
    let net = Net::scripted(&world, |r| {
        if r.url.contains("well-known") {
            let mut m = metadata();
            m.1.push(("cache-control", "no-store".into()));
            m
        } else {
            ok(r#"{"keys":[]}"#)
        }
    });
    let client = builder(&world, &net).scopes(["openid"]).build().unwrap();
    let mut many = vec![];
    for n in 0..12 {
        let sign_in = client.sign_in(&format!("user{n}"));
        many.push(Box::pin(async move { sign_in.password("pw-pw-pw").await }));
    }
    // each is polled once (its task is queued behind the first fetch), then all are dropped
    world.run(async {
        for f in &mut many {
            let _ = f.now_or_never();
        }
    });
    drop(many);
    world.settle();
    world.run(world.sleep(Duration::from_secs(20)));
    let n = net.count("well-known");
    assert!(n <= 1, "{n} at {:?}", net.times("well-known"));
}

struct Liar;
impl TokenStore for Liar {
    fn load<'a>(&'a self, _: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, directauth::error::StoreProblem>> {
        Box::pin(std::future::pending())
    }
    fn store<'a>(
        &'a self,
        _: &'a StorageKey,
        _: &'a Blob,
    ) -> BoxFuture<'a, Result<(), directauth::error::StoreProblem>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn delete<'a>(&'a self, _: &'a StorageKey) -> BoxFuture<'a, Result<(), directauth::error::StoreProblem>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, directauth::error::StoreProblem>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }
    fn may_block(&self) -> bool {
        false
    }
}

#[test]
fn a_store_that_breaks_its_word_ends_at_the_deadline() {
    let world = World::new();
    let net = Net::new(&world, |_| metadata());
    let client = builder(&world, &net).store(Liar).build().unwrap();
    let sign_in = client.sign_in("ana");
    let w = world.clone();
    let r = world
        .run(futures_util::future::select(Box::pin(sign_in.password("pw-pw-pw")), w.sleep(Duration::from_secs(3600))));
    assert!(matches!(r, futures_util::future::Either::Left(_)), "an hour later it still hangs");
}

#[test]
fn masking_is_bounded_whatever_the_server_sends() {
    let big = "a".repeat(64 * 1024 - 1) + "b";
    let world = World::new();
    let b2 = big.clone();
    let net = Net::new(&world, move |r| {
        if r.body.contains("grant_type=password") {
            return err(403, format!(r#"{{"error":"mfa_required","mfa_token":"{b2}"}}"#));
        }
        err(
            400,
            format!(
                r#"{{"error":"invalid_grant","error_description":"{}","error_uri":"{}"}}"#,
                "a".repeat(127 * 1024),
                "a".repeat(127 * 1024)
            ),
        )
    });
    let client = builder(&world, &net).build().unwrap();
    let step = world.run(client.sign_in("ana").password("pw-pw-pw"));
    let Ok(Step::ChooseFactor(c)) = step else { panic!("{step:?}") };
    // All of one text against all of one token takes minutes; this ends with the other tests.
    let error = world.run(c.otp("123456")).expect_err("refused");
    let text = error.server_text().expect("words");
    assert!(text.description().is_some_and(|words| words.len() <= 1024) && text.uri().is_some());
}

struct Fixed(&'static str);
impl HeaderProvider for Fixed {
    fn headers(&self, _: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
        Ok(vec![("x-sensor".into(), self.0.into())])
    }
}

#[test]
fn what_the_header_provider_gives_is_masked() {
    let world = World::new();
    let net = Net::new(&world, |_| {
        (
            403,
            vec![("x-okta-request-id", "sensor-secret-123".into())],
            r#"{"error":"access_denied","error_description":"bad sensor sensor-secret-123"}"#.into(),
        )
    });
    let client = builder(&world, &net).header_provider(Fixed("sensor-secret-123")).build().unwrap();
    let e = world.run(client.sign_in("ana").password("pw-pw-pw")).expect_err("no");
    let all = format!("{e:?} {:?}", e.server_text());
    let d = e.server_text().and_then(|t| t.description().map(str::to_owned));
    assert!(
        !all.contains("sensor-secret") && !d.as_deref().unwrap_or("").contains("sensor-secret"),
        "LEAK {all} {d:?}"
    );
}

/// Answers no token request before the test's sender is dropped.
struct Hang(Mutex<std::sync::mpsc::Receiver<()>>);
impl HeaderProvider for Hang {
    fn headers(&self, r: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
        if r.path.ends_with("/token") {
            support::world::hangs();
            let _ended = self.0.lock().unwrap().recv();
        }
        Ok(vec![])
    }
}

#[test]
fn a_sign_in_whose_bytes_have_not_left_makes_nobody_wait() {
    let (_until_the_end, ended) = std::sync::mpsc::channel();
    let world = World::new();
    let net = Net::new(&world, |_| token("at1", "rt1", 3600));
    let env = directauth::env::Environment {
        spawner: Arc::new(support::world::Threads(world.clone())),
        ..world.environment(net.clone())
    };
    let client = Client::builder(ISSUER, "id")
        .scopes(["offline_access"])
        .environment(env)
        .header_provider(Hang(Mutex::new(ended)))
        .build()
        .unwrap();
    let first = client.sign_in("ana");
    let f = Box::pin(first.password("pw-pw-pw"));
    let r = world.run(futures_util::future::select(f, world.sleep(Duration::from_millis(1600))));
    let futures_util::future::Either::Right((_, f)) = r else { panic!() };
    drop(f); // the user goes back; nothing of the password has left the device
    assert_eq!(net.count("/token"), 0);
    let r = world.run(client.sign_in("ana").password("pw-pw-pw"));
    assert!(!matches!(r.as_ref().map_err(Error::kind), Err(Kind::Busy)), "Busy although no byte was sent");
}

fn quiet(with_userinfo: bool) -> usize {
    let world = World::new();
    let net = Net::new(&world, move |r| {
        if r.url.contains("userinfo") {
            return ok(r#"{"sub":"x"}"#);
        } // no rate headers
        let mut a = token("at1", "rt1", 120);
        a.1.push(("date", "Mon, 21 Sep 2026 14:13:20 GMT".into()));
        a.1.push(("x-rate-limit-remaining", "0".into()));
        a.1.push(("x-rate-limit-reset", (1_790_000_000_u64 + 110).to_string()));
        a
    });
    let client = builder(&world, &net).build().unwrap();
    let s = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    if with_userinfo {
        world.run(s.user_info()).expect("told");
    }
    world.advance(Duration::from_secs(70));
    world.run(s.access_token()).expect("good");
    world.run(world.sleep(Duration::from_secs(1)));
    net.count("/token") - 1
}

#[test]
fn an_answer_without_rate_headers_forgets_nothing() {
    assert_eq!(quiet(false), 0);
    assert_eq!(quiet(true), 0, "an answer without any rate header emptied the memory");
}

#[test]
fn a_code_that_was_never_sent_costs_no_attempt() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.body.contains("grant_type=password") {
            return err(403, r#"{"error":"mfa_required","mfa_token":"mfa-token-1"}"#);
        }
        err(400, r#"{"error":"invalid_grant"}"#)
    });
    let client = builder(&world, &net).build().unwrap();
    let Ok(Step::ChooseFactor(c)) = world.run(client.sign_in("ana").password("pw-pw-pw")) else { panic!() };
    world.advance(Duration::from_secs(2));
    for _ in 0..4 {
        world.run(c.otp("111111")).expect_err("wrong");
    }
    let n = net.count("/token");
    assert_eq!(n, 5);
    // the fifth is held back by LIM-5 and the caller goes away
    let f = Box::pin(c.otp("222222"));
    let r = world.run(futures_util::future::select(f, world.sleep(Duration::from_millis(100))));
    drop(r);
    world.run(world.sleep(Duration::from_secs(5)));
    assert_eq!(net.count("/token"), n, "nothing was sent");
    let e = world.run(c.otp("222222")).expect_err("wrong");
    assert!(
        !matches!(e.kind(), Kind::TooManyAttempts) || net.count("/token") > n,
        "{e:?}: the fifth code was never sent"
    );
}

#[test]
fn going_back_sixteen_times_locks_nobody_out() {
    // a slow metadata document that may not be kept; the real transport has 16 conversations
    let world = World::new();
    struct Limited(Net, Arc<std::sync::atomic::AtomicUsize>);
    struct Slot(Net, Arc<std::sync::atomic::AtomicUsize>);
    impl Drop for Slot {
        fn drop(&mut self) {
            self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    impl Conversation for Slot {
        fn send(&self, r: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
            let (w, f) = (self.0.world.clone(), self.0.send(r));
            Box::pin(async move {
                w.sleep(Duration::from_secs(20)).await;
                f.await
            })
        }
        fn close(&self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }
    impl Transport for Limited {
        fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 16 {
                self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                return Err(TransportError {
                    problem: directauth::env::TransportProblem::TooManyConversations,
                    maybe_sent: false,
                });
            }
            Ok(Box::new(Slot(self.0.clone(), self.1.clone())))
        }
        fn background(&self) -> Arc<dyn Conversation> {
            Arc::new(self.0.clone())
        }
    }
    let net = Net::scripted(&world, |r| {
        if r.url.contains("well-known") {
            let mut m = metadata();
            m.1.push(("cache-control", "no-store".into()));
            m
        } else {
            token("at1", "rt1", 3600)
        }
    });
    let client = Client::builder(ISSUER, "id")
        .scopes(["offline_access"])
        .environment(world.environment(Limited(net.clone(), Arc::default())))
        .build()
        .unwrap();
    for _ in 0..16 {
        let sign_in = client.sign_in("ana");
        let f = Box::pin(sign_in.password("pw-pw-pw"));
        drop(world.run(futures_util::future::select(f, world.sleep(Duration::from_millis(100)))));
    }
    let t0 = world.boot().since_boot();
    world.run(world.sleep(Duration::from_secs(25)));
    let r = world.run(client.sign_in("ben").password("pw-pw-pw"));
    let took = (world.boot().since_boot() - t0).as_secs();
    assert!(took < 100, "{r:?} after {took} s; metadata requests {}", net.count("well-known"));
}

#[test]
fn an_old_rate_limit_holds_no_refresh_back() {
    let world = World::new();
    let refreshes = Arc::new(Mutex::new(0));
    let count = refreshes.clone();
    let net = Net::new(&world, move |r| {
        if r.body.contains("username=ana") {
            return token("at1", "rt1", 3600);
        }
        if r.body.contains("username=ben") {
            let headers = vec![("x-rate-limit-remaining", "0".into()), ("retry-after", "100".into())];
            return (400, headers, r#"{"error":"invalid_grant"}"#.into());
        }
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => (429, vec![("retry-after", "10".into())], String::new()),
            _ => token("at2", "rt2", 3600),
        }
    });
    let client = builder(&world, &net).build().unwrap();
    let session = signed_in(world.run(client.sign_in("ana").password("pw-pw-pw")));
    world.advance(Duration::from_secs(3300));
    world.run(session.refresh()).expect_err("limited");
    world.advance(Duration::from_secs(1000));
    world.run(client.sign_in("ben").password("pw-pw-pw")).expect_err("refused, and the bucket is empty");
    world.run(session.access_token()).expect("somebody waits, and nobody said no to this");
}

#[test]
fn a_series_of_polls_that_is_cancelled_is_finished_too() {
    let world = World::new();
    let net = Net::new(&world, |r| {
        if r.url.contains("primary-authenticate") {
            return ok(r#"{"oob_code":"oob-code-1","channel":"push","binding_method":"none","expires_in":300}"#);
        }
        err(400, r#"{"error":"authorization_pending"}"#)
    });
    let log = Log::default();
    let client = builder(&world, &net).audit_sink(log.clone()).build().unwrap();
    let Ok(Step::ApproveOnDevice(push)) = world.run(client.sign_in("ana").push()) else { panic!("no push") };
    let later = async {
        world.sleep(Duration::from_secs(12)).await;
        push.cancel();
    };
    let (result, ()) = world.run(futures_util::future::join(push.approved(), later));
    assert_eq!(result.expect_err("cancelled").kind(), &Kind::Cancelled);
    let Ok(Step::ApproveOnDevice(push)) = world.run(client.sign_in("ben").push()) else { panic!("no push") };
    world.advance(Duration::from_secs(400));
    assert_eq!(world.run(push.approved()).expect_err("over").kind(), &Kind::Expired);
    world.settle();
    let events = log.0.lock().unwrap();
    let polls: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            AuditKind::AttemptStarted { attempt: directauth::audit::Attempt::Approval } => Some("started"),
            AuditKind::AttemptFinished { attempt: directauth::audit::Attempt::Approval, outcome, .. } => Some(*outcome),
            _ => None,
        })
        .collect();
    assert_eq!(polls, ["started", "Cancelled"], "and none for a prompt that was never asked about");
}
