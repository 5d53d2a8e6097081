//! Requests that no client would make, to every endpoint. Each gets an answer that is no failure of the server's, nothing
//! panics, and afterwards the server works as before. A failure names its seed; a run repeats
//! itself but for what the server makes up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use directauth_emulator::{Clock, Emulator, EmulatorBuilder};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::*;

const CASES: u64 = 8_000;
/// Longer than any answer takes; a request without one fails the test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Panics of emulators' threads, whatever becomes of them.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn panics() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |information| {
            if std::thread::current().name() == Some("directauth-emulator") {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(information);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}

/// SplitMix64: enough to spread cases, and nothing else.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }

    /// A text with what parsers stumble over.
    fn text(&mut self) -> String {
        const PIECES: [&str; 20] = [
            "a",
            "0",
            " ",
            "%",
            "%00",
            "%zz",
            "%C3%28",
            "&",
            "=",
            "+",
            "/",
            "..",
            "\"",
            "\\",
            "{",
            "é",
            "\u{202e}",
            "💥",
            "-1",
            "99999999999999999999",
        ];
        if self.one_in(200) {
            return self.pick(&PIECES).repeat(20_000);
        }
        (0..self.below(6)).map(|_| self.pick(&PIECES)).collect()
    }

    /// Some bytes otherwise, more or fewer.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next().to_le_bytes()[0]),
                2 if at < bytes.len() => bytes[at] = self.next().to_le_bytes()[0],
                _ => bytes.splice(at..at, *b"%&={\"\r\n").for_each(drop),
            }
        }
    }

    fn json(&mut self, depth: usize, names: &[&str]) -> Value {
        match self.below(if depth == 0 { 7 } else { 10 }) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.next()),
            3 => json!(self.below(5)),
            4 => json!(-1.5e300),
            5 => json!(self.text()),
            6 => json!(self.pick(names)),
            7 => (0..self.below(4)).map(|_| self.json(depth - 1, names)).collect(),
            _ => {
                let mut object = serde_json::Map::new();
                for _ in 0..self.below(4) {
                    let name = if self.one_in(5) { self.text() } else { self.pick(names).to_owned() };
                    object.insert(name, self.json(depth - 1, names));
                }
                Value::Object(object)
            }
        }
    }
}

struct Case {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Case {
    /// More than the server reads.
    fn is_too_large(&self) -> bool {
        self.body.len() > 256 * 1024 || self.headers.iter().any(|(_, value)| value.len() > 32 * 1024)
    }
}

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"];

/// A connection that is made anew when the server has ended it.
struct Line<'a> {
    client: &'a Client,
    origin: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Line<'a> {
    fn new(client: &'a Client, origin: String) -> Self {
        Self { client, origin, sender: None }
    }

    async fn answer(&mut self, case: &Case) -> Result<Option<Answer>, Failure> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let stream = self.client.connect(&self.origin).await?;
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await?;
        let mut request = hyper::Request::builder().method(case.method).uri(&case.target).header("host", "localhost");
        for (name, value) in &case.headers {
            request = request.header(*name, value.as_slice());
        }
        // What a client cannot even write is no case.
        let Ok(request) = request.body(Full::new(Bytes::from(case.body.clone()))) else { return Ok(None) };
        let (head, body) = timeout(PATIENCE, sender.send_request(request)).await??.into_parts();
        if head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            // It never ends.
            return Ok(None);
        }
        let body = timeout(PATIENCE, body.collect()).await??.to_bytes().to_vec();
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        if head.headers.get("connection").is_none_or(|value| value != "close") {
            self.sender = Some(sender);
        }
        Ok(Some(Answer { status: head.status.as_u16(), headers, body }))
    }
}

/// Answered, by no failure, and in the words that it says.
fn check(seed: u64, case: &Case, answer: &Answer) {
    let told = || format!("seed {seed}: {} {} {answer:?}", case.method, case.target);
    assert!((200..500).contains(&answer.status), "{}", told());
    let is_json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if is_json && case.method != "HEAD" {
        assert!(serde_json::from_slice::<Value>(&answer.body).is_ok(), "{}", told());
    }
}

/// What the server has given out, by the name of its member: what a client that is halfway through would send back.
#[derive(Default)]
struct Pool(BTreeMap<String, Vec<String>>);

impl Pool {
    fn gather(&mut self, target: &str, answer: &Answer) {
        let Ok(Value::Object(members)) = serde_json::from_slice(&answer.body) else { return };
        for (name, value) in members {
            let Value::String(text) = value else { continue };
            // A second factor's is another one.
            let is_second = name == "oob_code" && target.ends_with("challenge");
            let known = self.0.entry(if is_second { "mfa_oob_code".to_owned() } else { name }).or_default();
            known.push(text);
            if known.len() > 20 {
                known.drain(..10);
            }
        }
    }

    fn one(&self, name: &str, chance: &mut Chance) -> String {
        match self.0.get(name) {
            // The newest, so that what belongs together comes together.
            Some(known) if chance.one_in(2) => known[known.len() - 1].clone(),
            Some(known) => known[chance.below(known.len())].clone(),
            None => "none-yet".to_owned(),
        }
    }

    fn any(&self, chance: &mut Chance) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() { String::new() } else { self.one(chance.pick(&names), chance) }
    }
}

/// A request that a client would make: where to, and its form.
fn usual(chance: &mut Chance, bench: &Bench, pool: &Pool) -> (&'static str, Vec<(&'static str, String)>) {
    let user = [ANA, BEN, CLEO, ("dora@example.com", "dora-password"), ("emil@example.com", "x")][chance.below(5)];
    let name = user.0.to_owned();
    let channel = chance.pick(&["push", "sms", "voice", "email"]).to_owned();
    let code = bench.tenant.totp(user.0).unwrap_or_else(|| "123456".to_owned());
    let sent = bench.tenant.last_code(user.0).unwrap_or_else(|| "000000".to_owned());
    let mut pool = |name: &str| pool.one(name, chance);
    let (mfa, oob, mfa_oob) = (pool("mfa_token"), pool("oob_code"), pool("mfa_oob_code"));
    let (access, refresh) = (pool("access_token"), pool("refresh_token"));
    // A push has none.
    let binding = chance.one_in(2).then_some(("binding_code", sent));
    let grant = |grant: &str| ("grant_type", grant.to_owned());
    let token = |name: &str| match name {
        "access_token" => access.clone(),
        _ => refresh.clone(),
    };
    match chance.below(12) {
        0 | 1 => ("token", vec![grant("password"), ("username", name), ("password", user.1.to_owned())]),
        2 => ("token", vec![grant(OTP), ("login_hint", name), ("otp", code)]),
        3 => ("token", vec![grant(MFA_OTP), ("mfa_token", mfa), ("otp", code)]),
        4 => (
            "primary-authenticate",
            vec![("login_hint", name), ("challenge_hint", OOB.to_owned()), ("channel_hint", channel)],
        ),
        5 => {
            let types = chance.pick(&[MFA_OOB, MFA_OTP, "urn:okta:params:oauth:grant-type:mfa-webauthn"]).to_owned();
            let form = [("mfa_token", mfa), ("challenge_types_supported", types), ("channel_hint", channel)];
            ("challenge", form.to_vec())
        }
        6 => ("token", [grant(OOB), ("oob_code", oob)].into_iter().chain(binding).collect()),
        7 => {
            ("token", [grant(MFA_OOB), ("mfa_token", mfa), ("oob_code", mfa_oob)].into_iter().chain(binding).collect())
        }
        8 => ("token", vec![grant("refresh_token"), ("refresh_token", refresh)]),
        9 => ("revoke", vec![("token", token(chance.pick(&["access_token", "refresh_token"])))]),
        10 => ("introspect", vec![("token", token(chance.pick(&["access_token", "refresh_token"])))]),
        _ => ("userinfo", vec![]),
    }
}

fn protocol_case(chance: &mut Chance, bench: &Bench, tenant: &str, pool: &Pool) -> Case {
    const PATHS: [&str; 18] = [
        "/oauth2/default/v1/token",
        "/oauth2/default/v1/challenge",
        "/oauth2/default/v1/primary-authenticate",
        "/oauth2/default/v1/oob-authenticate",
        "/oauth2/default/v1/revoke",
        "/oauth2/default/v1/introspect",
        "/oauth2/default/v1/userinfo",
        "/oauth2/default/v1/keys",
        "/oauth2/v1/token",
        "/oauth2/v1/challenge",
        "/oauth2/v1/userinfo",
        "/oauth2/v1/introspect",
        "/oauth2/default/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/api/me",
        "/idp/myaccount/password",
        "/",
        "/oauth2/default/v1/",
    ];
    const NAMES: [&str; 26] = [
        "client_id",
        "client_secret",
        "client_assertion",
        "grant_type",
        "scope",
        "username",
        "password",
        "login_hint",
        "otp",
        "oob_code",
        "binding_code",
        "mfa_token",
        "refresh_token",
        "token",
        "token_type_hint",
        "channel_hint",
        "challenge_hint",
        "challenge_types_supported",
        "acr_values",
        "max_age",
        "nonce",
        "authenticatorData",
        "clientDataJSON",
        "signature",
        "userHandle",
        "audience",
    ];
    const VALUES: [&str; 30] = [
        "0oaDemoNativeApp",
        "0oaDemoOtherApp",
        "password",
        "refresh_token",
        OTP,
        OOB,
        MFA_OTP,
        MFA_OOB,
        "urn:okta:params:oauth:grant-type:webauthn",
        "urn:okta:params:oauth:grant-type:mfa-webauthn",
        "urn:ietf:params:oauth:grant-type:device_code",
        SCOPE,
        "openid demo.read",
        ANA.0,
        ANA.1,
        BEN.0,
        BEN.1,
        CLEO.0,
        CLEO.1,
        "push",
        "sms",
        "voice",
        "email",
        "000000",
        "urn:okta:loa:2fa:any",
        "recovery",
        "-1",
        "0",
        "eyJhbGciOiJub25lIn0.e30.",
        "AAAA",
    ];
    const KINDS: [&str; 5] = [
        "application/x-www-form-urlencoded",
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded; a=b",
        ";",
    ];
    let value = |chance: &mut Chance| match chance.below(6) {
        0 => chance.text(),
        1 | 2 => pool.any(chance),
        _ => chance.pick(&VALUES).to_owned(),
    };
    let name = |chance: &mut Chance| if chance.one_in(12) { chance.text() } else { chance.pick(&NAMES).to_owned() };
    let (endpoint, form) = usual(chance, bench, pool);
    let mut form: Vec<(String, String)> = form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    form.push(("client_id".to_owned(), "0oaDemoNativeApp".to_owned()));
    if endpoint == "token" {
        form.push(("scope".to_owned(), SCOPE.to_owned()));
    }
    // Half of them stay as they are, and bring what the others need.
    let is_usual = chance.one_in(2);
    for _ in 0..if is_usual { 0 } else { chance.below(3) } {
        let at = chance.below(form.len());
        match chance.below(4) {
            0 if !form.is_empty() => drop(form.remove(at)),
            1 if !form.is_empty() => form.push(form[at].clone()),
            2 if !form.is_empty() => form[at].1 = value(chance),
            _ => form.push((name(chance), value(chance))),
        }
    }
    let encoded = |form: &[(String, String)]| {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes()
    };
    let mut body = encoded(&form);
    let mut target = if is_usual || !chance.one_in(3) {
        format!("{tenant}/oauth2/{}v1/{endpoint}", if !is_usual && chance.one_in(5) { "" } else { "default/" })
    } else {
        format!("{}{}", if chance.one_in(10) { "" } else { tenant }, chance.pick(&PATHS))
    };
    if is_usual {
        let access = format!("Bearer {}", pool.one("access_token", chance)).into_bytes();
        let headers =
            vec![("content-type", KINDS[0].into()), ("accept", "application/json".into()), ("authorization", access)];
        let headers = if endpoint == "userinfo" { headers } else { headers[..2].to_vec() };
        return Case { method: "POST", target, headers, body };
    }
    if chance.one_in(10) {
        target.push('/');
        target.push_str(&form_urlencoded::byte_serialize(chance.text().as_bytes()).collect::<String>());
    }
    if chance.one_in(8) {
        target = format!("{target}?{}", String::from_utf8_lossy(&encoded(&[(name(chance), value(chance))])));
    }
    if chance.one_in(4) {
        chance.spoil(&mut body);
    }
    if chance.one_in(300) {
        body.resize(300 * 1024, b'a');
    }
    let kind = if chance.one_in(10) { chance.pick(&KINDS) } else { KINDS[0] };
    let accept = if chance.one_in(10) { "text/html" } else { "application/json" };
    let mut headers = vec![("content-type", kind.into()), ("accept", accept.into())];
    if chance.one_in(4) {
        let scheme = chance.pick(&["Bearer ", "DPoP ", "Basic ", "Bearer", "bearer  ", ""]);
        headers.push(("authorization", format!("{scheme}{}", value(chance)).into_bytes()));
    }
    if chance.one_in(4) {
        headers.push(("dpop", value(chance).into_bytes()));
    }
    if chance.one_in(50) {
        headers.push(("x-long", vec![b'x'; 40 * 1024]));
    }
    let method = if chance.one_in(6) { chance.pick(&METHODS) } else { "POST" };
    Case { method, target, headers, body }
}

#[tokio::test]
async fn the_protocol_survives_any_request() {
    let before = panics();
    let bench = Bench::new();
    let root = EMULATOR.origin();
    let tenant = bench.tenant.org_issuer().strip_prefix(&root).unwrap().to_owned();
    let mut line = Line::new(&bench.client, root);
    let mut pool = Pool::default();
    let mut outcomes = BTreeSet::new();
    for seed in 0..CASES {
        let mut chance = Chance(seed);
        if chance.one_in(2) {
            bench.advance(chance.next() % 8);
        }
        let now = bench.clock.now();
        if chance.one_in(200) {
            bench.advance(chance.next());
        }
        if chance.one_in(400) {
            // Locked and limited users would be all that is left of them.
            bench.tenant.reset();
        }
        let case = protocol_case(&mut chance, &bench, &tenant, &pool);
        let answered = line.answer(&case).await;
        bench.clock.set(now);
        let answer = match answered {
            Ok(Some(answer)) => answer,
            Ok(None) => continue,
            // The server stops reading there, and ends the connection; the refusal may be lost with it.
            Err(_) if case.is_too_large() => continue,
            Err(error) => panic!("seed {seed}: {} {error}", case.target),
        };
        check(seed, &case, &answer);
        if seed % 100 == 99 {
            outcomes.extend(bench.tenant.journal().0.iter().rev().take(100).map(|entry| entry.outcome.clone()));
        }
        pool.gather(&case.target, &answer);
    }
    // It was not the same refusal over and over.
    for outcome in ["ok", "mfa_required", "direct_auth_authorization_pending", "user_rate_limited"] {
        assert!(outcomes.contains(outcome), "{outcome}: {outcomes:?}");
    }
    assert!(outcomes.len() > 35, "{outcomes:?}");
    bench.tenant.reset();
    bench.signed_in().await;
    assert_eq!(panics(), before);
}

fn control_case(chance: &mut Chance) -> Case {
    const PATHS: [&str; 33] = [
        "/",
        "/events",
        "/page.js",
        "/keys/replace",
        "/keys/withdraw",
        "/revoke-everything",
        "/?token=a-token-of-somebody",
        "/users",
        "/pushes",
        "/outbox",
        "/journal",
        "/journal/1",
        "/journal/99999999999999999999",
        "/journal/clear",
        "/ca.pem",
        "/page.css",
        "/settings",
        "/troubles",
        "/script",
        "/script/clear",
        "/totp/ana@example.com",
        "/totp/%F0%9F%92%A5",
        "/tenants",
        "/pushes/1/approve",
        "/pushes/1/tap",
        "/pushes/18446744073709551616/deny",
        "/push-reactions",
        "/reset",
        "/users/ana%40example.com",
        "/users/ben@example.com/lock",
        "/users/ben@example.com/passkeys",
        "/keys/rotate",
        "/clock",
    ];
    const BODIES: [&str; 12] = [
        r#"{"advance_s":18446744073709551615}"#,
        r#"{"advance_s":60}"#,
        r#"{"number":"42"}"#,
        r#"{"interval":18446744073709551615,"oob_lifetime":18446744073709551615}"#,
        r#"{"access_token_lifetime":18446744073709551615,"totp_skew":20}"#,
        r#"{"rate_limit_next":true,"slow_ms":1}"#,
        r#"{"wrong_signature":true}"#,
        r#"{"on":"token","answer":{"status":200,"json":{"a":1}},"times":2}"#,
        r#"{"approve":{"after_polls":3}}"#,
        r#"{"assurance":"1fa","factors":["totp"],"status":"locked"}"#,
        r#"{"id":"AAAA","public_key":"AAAA","user_handle":"AAAA"}"#,
        r#"{"grants":["password"],"token_type":"é","dpop":"required"}"#,
    ];
    const NAMES: [&str; 14] = [
        "advance_s",
        "number",
        "interval",
        "grants",
        "rotation",
        "slow_ms",
        "offline",
        "on",
        "answer",
        "status",
        "times",
        "approve",
        "factors",
        "id",
    ];
    let mut target = chance.pick(&PATHS).to_owned();
    if chance.one_in(10) {
        target = format!("/t/t1{target}");
    } else if chance.one_in(10) {
        target =
            format!("/t/{}{target}", form_urlencoded::byte_serialize(chance.text().as_bytes()).collect::<String>());
    }
    let mut body = if chance.one_in(2) {
        chance.pick(&BODIES).as_bytes().to_vec()
    } else {
        chance.json(3, &NAMES).to_string().into_bytes()
    };
    if chance.one_in(4) {
        chance.spoil(&mut body);
    }
    let accept = if chance.one_in(3) { "text/html" } else { "*/*" };
    let method = match chance.below(10) {
        0 => chance.pick(&METHODS),
        1..=3 => "GET",
        _ => "POST",
    };
    let mut headers = vec![("content-type", "application/json".into()), ("accept", accept.into())];
    if chance.one_in(3) {
        // Who asks, as far as a browser or a program says.
        let name = chance.pick(&["origin", "cookie", "authorization", "sec-fetch-site", "sec-fetch-mode"]);
        let value = match chance.below(3) {
            0 => chance.text(),
            1 => chance.pick(&["https://localhost", "null", "same-origin", "cross-site", "navigate"]).to_owned(),
            _ => chance.pick(&["Bearer ", "bearer a-token", "__Host-directauth-control-1=x", "=;;="]).to_owned(),
        };
        headers.push((name, value.into_bytes()));
    }
    // Most know the token, if there is one.
    if !chance.one_in(4) {
        headers.push(("authorization", "Bearer a-token-of-somebody".into()));
    }
    Case { method, target, headers, body }
}

#[tokio::test]
async fn the_control_port_survives_any_request() {
    survives(Emulator::builder().control(true)).await;
}

#[tokio::test]
async fn the_control_port_survives_any_request_with_a_token() {
    survives(Emulator::builder().control(true).control_token("a-token-of-somebody")).await;
}

async fn survives(builder: EmulatorBuilder) {
    let before = panics();
    let emulator = builder.start().unwrap();
    let client = Client::trusting(&emulator.ca_der());
    let tenant = emulator.root();
    let issuer = tenant.issuer();
    let form = [
        ("client_id", "0oaDemoNativeApp"),
        ("grant_type", "password"),
        ("scope", SCOPE),
        ("username", BEN.0),
        ("password", BEN.1),
    ];
    let mut line = Line::new(&client, emulator.control_url().unwrap());
    let mut statuses = BTreeSet::new();
    for seed in 0..CASES {
        let mut chance = Chance(seed);
        let case = control_case(&mut chance);
        let answer = line.answer(&case).await.unwrap_or_else(|error| panic!("seed {seed}: {} {error}", case.target));
        let Some(answer) = answer else { continue };
        check(seed, &case, &answer);
        statuses.insert(answer.status);
        if chance.one_in(20) {
            // Whatever it was set to, its other side does not fall over. A fault that was prescribed may break this.
            let _ = timeout(PATIENCE, client.try_post(&format!("{issuer}/v1/token"), &form)).await.unwrap();
        }
    }
    for status in [200, 201, 204, 400, 403, 404, 405, 409] {
        assert!(statuses.contains(&status), "{status}: {statuses:?}");
    }
    tenant.reset();
    client.post(&format!("{issuer}/v1/token"), &form).await.ok();
    assert_eq!(panics(), before);
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_connection_only() {
    let before = panics();
    let bench = Bench::new();
    let url = bench.endpoint("token");
    let path = url.strip_prefix(&EMULATOR.origin()).unwrap();
    let form = "client_id=0oaDemoNativeApp&grant_type=password&username=ben@example.com&password=x";
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        )
        .into_bytes();
        for _ in 0..=chance.below(4) {
            chance.spoil(&mut bytes);
        }
        let mut stream = bench.client.connect(&url).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        // No more comes: so it must end, with an answer or without.
        stream.shutdown().await.unwrap();
        let mut seen = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut seen)).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
        assert!(seen.is_empty() || seen.starts_with(b"HTTP/1.1 "), "seed {seed}");
    }
    bench.signed_in().await;
    assert_eq!(panics(), before);
}
