//! Pins, proxies, trust and the header provider, over real TLS to the emulator: what they let through, what they refuse,
//! and what each party gets to see.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use directauth::audit::{AuditEvent, AuditKind, AuditSink, HeaderProblem, SecurityEvent, SinkError};
use directauth::env::{Clock, Environment, HttpTransport, Method, NetworkOptions, Pins, Spawner};
use directauth::error::{ConfigurationProblem, NetworkProblem};
use directauth::{
    Client, ClientBuilder, Error, HeaderProvider, HeaderProviderError, Kind, MemoryStore, OutgoingRequest, Pin, Proxy,
    Remedy, Session, Step, Trust,
};
use directauth_emulator::{BadTlsKind, Journal, Tenant};
use futures_executor::block_on;
use futures_util::future::{Either, select};
use support::net::{at, builder};
use support::proxy::{ConnectProxy, Manner};
use support::world::{Real, Threads, World, hangs};
use support::{emulator, trust};

const USER: &str = "ben@example.com";
const PASSWORD: &str = "tr0ub4dor&3";
const BAD: [BadTlsKind; 4] =
    [BadTlsKind::Expired, BadTlsKind::WrongHost, BadTlsKind::SelfSigned, BadTlsKind::UnknownCa];

/// A pin that no key has.
const SPARE: Pin = Pin::from_sha256([7; 32]);
const OTHER_SPARE: Pin = Pin::from_sha256([8; 32]);

fn sign_in(client: &Client) -> Result<Session, Error> {
    match block_on(client.sign_in(USER).password(PASSWORD))? {
        Step::SignedIn(session) => Ok(session),
        other => panic!("{other:?}"),
    }
}

fn network<T: std::fmt::Debug>(result: Result<T, Error>) -> (NetworkProblem, bool) {
    match result.expect_err("no network").kind() {
        Kind::Network { kind, maybe_sent } => (*kind, *maybe_sent),
        other => panic!("{other:?}"),
    }
}

fn configuration(builder: ClientBuilder) -> ConfigurationProblem {
    match builder.build().expect_err("a mistake").kind() {
        Kind::Configuration { what } => what.clone(),
        other => panic!("{other:?}"),
    }
}

fn pinned(tenant: &Tenant, pins: [Pin; 2]) -> Client {
    builder(tenant).pins(pins).build().expect("valid")
}

fn pin_of_leaf() -> Pin {
    Pin::of_spki(&emulator().leaf_spki())
}

fn pin_of_ca() -> Pin {
    Pin::of_spki(&emulator().ca_spki())
}

/// The tenant's issuer at another way in.
fn issuer_at(tenant: &Tenant, origin: &str) -> String {
    tenant.issuer().replace(&emulator().origin(), origin)
}

// ---- trust ----

#[test]
fn each_trust_refuses_a_certificate_that_is_not_right() {
    let tenant = emulator().tenant();
    for kind in BAD {
        let server = emulator().bad_tls(kind).expect("a listener");
        for trust in [trust(), Trust::Bundled, Trust::Platform] {
            let client = at(&issuer_at(&tenant, &server.origin()), trust.clone());
            assert_eq!(network(sign_in(&client)), (NetworkProblem::Tls, false), "row 1: {kind:?}, {trust:?}");
        }
    }
    assert!(tenant.journal().is_empty());
    sign_in(&builder(&tenant).build().expect("valid")).expect("the right one, and an authority that is trusted");
}

#[test]
fn a_server_that_speaks_no_tls_of_today_gets_a_hello_and_an_alert() {
    // ServerHello (RFC 2246, RFC 4346 §7.4.1.3): the version is wrong, everything else is what a client of today offers.
    let hello = |version: u8| {
        let mut message = vec![2, 0, 0, 38, 3, version];
        message.extend([0x5A; 32]);
        message.extend([0, 0xC0, 0x2F, 0]);
        let mut record = vec![22, 3, version, 0, 42];
        record.extend(message);
        record
    };
    let protocol_version = vec![21, 3, 1, 0, 2, 2, 70];
    for (what, answer) in [("TLS 1.0", hello(1)), ("TLS 1.1", hello(2)), ("an alert", protocol_version)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut header = [0; 5];
            socket.read_exact(&mut header).expect("a record");
            assert_eq!(header[0], 22, "a handshake");
            let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            socket.read_exact(&mut hello).expect("the hello");
            socket.write_all(&answer).expect("the answer");
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest);
            rest
        });
        let client = at(&format!("https://127.0.0.1:{port}"), trust());
        assert_eq!(network(sign_in(&client)), (NetworkProblem::Tls, false), "row 1: {what}");
        let rest = server.join().expect("no assertion failed");
        let is_alert = rest.len() == 7 && rest[0] == 21;
        assert!(rest.is_empty() || is_alert, "{what}: {rest:?}");
    }
}

// ---- pins ----

#[test]
fn too_few_pins_are_told_at_once() {
    let client = || Client::builder("https://acme.okta.com", "id");
    for few in [vec![], vec![SPARE], vec![SPARE, SPARE]] {
        assert_eq!(configuration(client().pins(few)), ConfigurationProblem::TooFewPins);
    }
    assert!(client().pins([SPARE, OTHER_SPARE]).build().is_ok());
    let error = Error::from(Pin::parse("sha256/AAAA").expect_err("too short"));
    assert_eq!(error.remedy(), Remedy::FixConfiguration);
}

#[test]
fn a_pin_on_any_key_of_the_verified_path_lets_the_server_through() {
    let tenant = emulator().tenant();
    for pins in [[pin_of_leaf(), SPARE], [SPARE, pin_of_leaf()], [pin_of_ca(), SPARE], [SPARE, pin_of_ca()]] {
        let session = sign_in(&pinned(&tenant, pins)).expect("pinned");
        // On another connection, whose TLS session is resumed.
        block_on(session.refresh()).expect("still pinned");
    }
    let other = emulator().other_authority(vec![]).expect("a listener");
    for key in [other.leaf_spki(), other.intermediate_spki(), other.root_spki()] {
        let client = Client::builder(issuer_at(&tenant, &other.origin()), tenant.client_id())
            .trust(Trust::Custom(vec![other.root_der()]))
            .pins([Pin::of_spki(&key), SPARE])
            .build()
            .expect("valid");
        sign_in(&client).expect("pinned");
    }
}

#[test]
fn a_server_without_a_pinned_key_gets_nothing() {
    let tenant = emulator().tenant();
    let without = builder(&tenant).build().expect("valid");
    let client = pinned(&tenant, [SPARE, OTHER_SPARE]);
    let error = sign_in(&client).expect_err("no pin matches");
    assert_eq!((error.remedy(), error.is_retryable()), (Remedy::CheckConnection, true));
    assert_eq!(network(Err::<(), _>(error)), (NetworkProblem::Pin, false));
    assert!(tenant.journal().is_empty(), "{:?}", tenant.journal());

    // Whoever has no pins gets in, and leaves no TLS session behind that who has them could resume.
    sign_in(&without).expect("trusted");
    let requests = tenant.journal().len();
    assert_eq!(network(sign_in(&client)), (NetworkProblem::Pin, false));
    assert_eq!(tenant.journal().len(), requests);
}

#[test]
fn certificates_that_are_merely_sent_along_match_no_pin() {
    let tenant = emulator().tenant();
    // An attacker with a certificate of another authority that the client trusts sends the pinned ones after his own.
    let appended = vec![emulator().ca_der(), emulator().leaf_der()];
    let attacker = emulator().other_authority(appended).expect("a listener");
    let both = Trust::Custom(vec![emulator().ca_der(), attacker.root_der()]);
    let client = |origin: &str, pins: Option<[Pin; 2]>| {
        let mut client = Client::builder(issuer_at(&tenant, origin), tenant.client_id()).trust(both.clone());
        if let Some(pins) = pins {
            client = client.pins(pins);
        }
        client.build().expect("valid")
    };
    let pins = Some([pin_of_ca(), pin_of_leaf()]);
    assert_eq!(network(sign_in(&client(&attacker.origin(), pins))), (NetworkProblem::Pin, false));
    assert!(tenant.journal().is_empty(), "{:?}", tenant.journal());
    sign_in(&client(&attacker.origin(), None)).expect("without pins he would get the password");
    sign_in(&client(&emulator().origin(), pins)).expect("the server itself");
}

#[test]
fn pins_only_refuse() {
    let tenant = emulator().tenant();
    for trust in [Trust::Bundled, Trust::Platform] {
        let client = builder(&tenant).trust(trust.clone()).pins([pin_of_leaf(), pin_of_ca()]).build().expect("valid");
        assert_eq!(network(sign_in(&client)), (NetworkProblem::Tls, false), "{trust:?}");
    }
    for kind in BAD {
        let server = emulator().bad_tls(kind).expect("a listener");
        let client = Client::builder(server.origin(), "id").trust(trust()).pins([pin_of_leaf(), pin_of_ca()]);
        let client = client.build().expect("valid");
        assert_eq!(network(sign_in(&client)), (NetworkProblem::Tls, false), "{kind:?}");
    }
    assert!(tenant.journal().is_empty());
}

#[test]
fn a_session_outlives_a_refresh_that_the_pins_refuse() {
    let tenant = emulator().tenant();
    let store = MemoryStore::new();
    let client = |pins: [Pin; 2]| builder(&tenant).store(store.clone()).pins(pins).build().expect("valid");
    // Each session is dropped with its client, so that the next one is a new process as far as this goes.
    drop(sign_in(&client([pin_of_ca(), SPARE])).expect("pinned"));
    let requests = tenant.journal().len();

    let session = block_on(client([SPARE, OTHER_SPARE]).restore()).expect("readable").expect("a session");
    let token = block_on(session.access_token()).expect("fresh");
    assert_eq!(network(block_on(session.refresh())), (NetworkProblem::Pin, false));
    assert_eq!(tenant.journal().len(), requests, "not a byte");
    assert!(session.is_persisted());
    let same = block_on(session.access_token()).expect("nothing ended");
    assert_eq!(same.expose(), token.expose());
    drop((session, same));

    let session = block_on(client([SPARE, pin_of_leaf()]).restore()).expect("readable").expect("still there");
    block_on(session.refresh()).expect("the refresh token was never used");
    assert_eq!(tenant.live_grants(), 1);
}

// ---- proxies ----

fn through(tenant: &Tenant, proxy: &str) -> Client {
    builder(tenant).proxy(Proxy::Http(proxy.to_owned())).build().expect("valid")
}

#[test]
fn a_proxy_that_cannot_be_meant_is_told_at_once() {
    let client = |proxy: &str| Client::builder("https://acme.okta.com", "id").proxy(Proxy::Http(proxy.to_owned()));
    for bad in ["proxy:3128", "https://proxy:3128", "socks5://proxy:1080", "http://proxy", "http://u:p@w@proxy:1"] {
        assert_eq!(configuration(client(bad)), ConfigurationProblem::Proxy, "{bad}");
    }
    assert!(client("http://proxy:3128").build().is_ok());
    let options = NetworkOptions {
        proxy: Proxy::Http("http://ana:hunter2@proxy:3128".to_owned()),
        pins: Some(Pins::new([SPARE, OTHER_SPARE]).expect("two")),
        ..NetworkOptions::default()
    };
    let printed = format!("{options:?}");
    assert!(printed.contains("http://proxy:3128") && printed.contains("sha256/Bwc"), "{printed}");
    assert!(!printed.contains("ana") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_proxy_carries_what_it_cannot_read() {
    let tenant = emulator().tenant();
    let proxy = ConnectProxy::start(Manner::Tunnel);
    let session = sign_in(&through(&tenant, &format!("http://{}", proxy.address()))).expect("through the proxy");
    block_on(session.refresh()).expect("through the proxy");
    let token = block_on(session.access_token()).expect("fresh");

    let seen = proxy.seen();
    assert_eq!((seen.len(), tenant.journal().connections()), (2, 2), "the sign-in's connection and the refresh's");
    for connection in &seen {
        let to = format!("localhost:{}", emulator().port());
        assert!(connection.head.starts_with(&format!("CONNECT {to} HTTP/1.1\r\n")), "{}", connection.head);
        let mut headers = connection.headers();
        headers.sort();
        let agent = concat!("directauth/", env!("CARGO_PKG_VERSION"));
        let expected = [("host", to.as_str()), ("user-agent", agent)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(headers, expected, "{}", connection.head);
        assert_eq!(&connection.sent[..2], [22, 3], "TLS from the first byte on");
        for secret in [USER, "ben%40example.com", PASSWORD, "tr0ub4dor%263", "grant_type", token.expose()] {
            assert!(!connection.holds(secret), "{secret}");
        }
    }
}

#[test]
fn credentials_are_for_the_proxy_alone() {
    let tenant = emulator().tenant();
    let proxy = ConnectProxy::start(Manner::Tunnel);
    sign_in(&through(&tenant, &format!("http://Aladdin:open%20sesame@{}", proxy.address()))).expect("through");
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    let authorization = ("proxy-authorization".to_owned(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
    assert!(seen[0].headers().contains(&authorization), "{}", seen[0].head);
    for entry in tenant.journal().0 {
        assert_eq!((entry.header("proxy-authorization"), entry.header("authorization")), (None, None), "{entry:?}");
    }
}

#[test]
fn a_proxy_that_does_not_let_through_has_an_error_of_its_own() {
    let tenant = emulator().tenant();
    let elsewhere = ConnectProxy::start(Manner::Tunnel);
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\n\r\n", elsewhere.address());
    for (answer, problem) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", NetworkProblem::Proxy),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", NetworkProblem::Proxy),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", NetworkProblem::Proxy),
        (&*moved.leak(), NetworkProblem::Proxy),
        ("HTTP/1.1 204 No Content\r\n\r\n", NetworkProblem::Proxy),
        ("SSH-2.0-not-http\r\n", NetworkProblem::Proxy),
        ("HTTP/1.1 200", NetworkProblem::Proxy),
        ("", NetworkProblem::Proxy),
        // The tunnel is open: what breaks then is behind the proxy.
        ("HTTP/1.1 200 Connection established\r\n\r\n", NetworkProblem::Connect),
    ] {
        let proxy = ConnectProxy::start(Manner::Say(answer));
        let error = sign_in(&through(&tenant, &format!("http://{}", proxy.address()))).expect_err("no tunnel");
        assert_eq!(error.remedy(), Remedy::CheckConnection);
        assert_eq!(network(Err::<(), _>(error)), (problem, false), "{answer:?}");
        assert!(proxy.seen().iter().all(|seen| !seen.holds(USER) && !seen.holds("tr0ub4dor")));
    }
    assert!(elsewhere.seen().is_empty(), "a proxy's redirect is not followed");

    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    assert_eq!(network(sign_in(&through(&tenant, &format!("http://{nobody}")))), (NetworkProblem::Proxy, false));
    assert!(tenant.journal().is_empty());
}

#[test]
fn a_proxy_that_says_nothing_ends_at_the_connect_timeout() {
    let tenant = emulator().tenant();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = builder(&tenant)
        .proxy(Proxy::Http(format!("http://{}", silent.local_addr().expect("its address"))))
        .connect_timeout(Duration::from_millis(200))
        .build()
        .expect("valid");
    assert_eq!(network(sign_in(&client)), (NetworkProblem::Timeout, false));
}

#[test]
fn certificates_and_pins_are_checked_through_a_proxy_as_without_one() {
    let tenant = emulator().tenant();
    let proxy = ConnectProxy::start(Manner::Tunnel);
    let client = |issuer: String, pins: [Pin; 2]| {
        let client = Client::builder(issuer, tenant.client_id()).trust(trust()).pins(pins);
        client.proxy(Proxy::Http(format!("http://{}", proxy.address()))).build().expect("valid")
    };
    for kind in BAD {
        let server = emulator().bad_tls(kind).expect("a listener");
        let client = client(issuer_at(&tenant, &server.origin()), [pin_of_ca(), SPARE]);
        assert_eq!(network(sign_in(&client)), (NetworkProblem::Tls, false), "{kind:?}");
    }
    assert_eq!(network(sign_in(&client(tenant.issuer(), [OTHER_SPARE, SPARE]))), (NetworkProblem::Pin, false));
    assert!(tenant.journal().is_empty());
    assert_eq!(proxy.seen().len(), BAD.len() + 1);
    sign_in(&client(tenant.issuer(), [pin_of_ca(), SPARE])).expect("the right one");
}

// ---- what the environment of a process says ----

/// An app in a process of its own, which is this test again: it signs in as its environment tells it and prints what came
/// of it.
#[test]
fn app() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("APP_ISSUER").is_empty() {
        let tenant = emulator().tenant();
        let outcome = run_app(&[("APP_ISSUER", &tenant.issuer()), ("APP_CA", &emulator().ca_pem())]);
        assert_eq!(outcome, "signed in", "an app without any of the options");
        return;
    }
    let mut client = Client::builder(variable("APP_ISSUER"), "0oaDemoNativeApp");
    client = match variable("APP_CA") {
        pem if pem.is_empty() => client.trust(Trust::Platform),
        pem => client.trust(Trust::from_pem(&pem).expect("a certificate")),
    };
    if variable("APP_PROXY") == "system" {
        client = client.proxy(Proxy::System);
    }
    if let Some((one, two)) = variable("APP_PINS").split_once(' ') {
        client = client.pins([one.parse().expect("a pin"), two.parse().expect("a pin")]);
    }
    let outcome = match sign_in(&client.build().expect("valid")) {
        Ok(_) => "signed in".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    println!("\noutcome: {outcome}");
}

/// What the app prints in an environment.
fn run_app(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["app", "--exact", "--nocapture"]);
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HTTP_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    let output = command.envs(variables.iter().copied()).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = text.lines().find_map(|line| line.strip_prefix("outcome: "));
    outcome.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

#[cfg(not(any(target_os = "android", target_vendor = "apple")))]
#[test]
fn the_environments_proxy_is_used_if_the_app_asks_for_it_and_only_then() {
    let tenant = emulator().tenant();
    let (issuer, ca) = (tenant.issuer(), emulator().ca_pem());
    let fixed = [("APP_ISSUER", issuer.as_str()), ("APP_CA", ca.as_str())];
    let proxy = ConnectProxy::start(Manner::Tunnel);
    let with_user = format!("http://Aladdin:open%20sesame@{}", proxy.address());
    let refuses = ConnectProxy::start(Manner::Say("HTTP/1.1 403 Forbidden\r\n\r\n"));
    let refuses = format!("http://{}", refuses.address());
    let unused = "{ kind: Proxy, maybe_sent: false }";
    let system = ("APP_PROXY", "system");
    for (what, variables, outcome, seen) in [
        (
            "not asked for",
            vec![("HTTPS_PROXY", &*refuses), ("ALL_PROXY", &refuses), ("https_proxy", &refuses)],
            "in",
            0,
        ),
        ("asked for", vec![system, ("HTTPS_PROXY", &with_user)], "in", 1),
        ("the first of them", vec![system, ("HTTPS_PROXY", &with_user), ("ALL_PROXY", &refuses)], "in", 1),
        ("for everything", vec![system, ("all_proxy", &refuses)], unused, 0),
        ("none there", vec![system, ("HTTP_PROXY", &refuses)], "in", 0),
        ("not for this host", vec![system, ("HTTPS_PROXY", &refuses), ("NO_PROXY", "example.com,localhost")], "in", 0),
        ("for this host", vec![system, ("HTTPS_PROXY", &refuses), ("NO_PROXY", "example.com")], unused, 0),
        ("of another kind", vec![system, ("HTTPS_PROXY", "socks5://127.0.0.1:1")], "{ what: Proxy }", 0),
    ] {
        let before = proxy.seen().len();
        let found = run_app(&[&fixed[..], &variables].concat());
        assert!(found.ends_with(outcome), "{what}: {found}");
        assert_eq!(proxy.seen().len() - before, seen, "{what}");
    }
    assert!(proxy.seen().iter().all(|seen| seen.head.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")));
}

/// The platform's verifier reads its authorities from a file that this variable names; so far on Linux only.
#[cfg(target_os = "linux")]
#[test]
fn the_platforms_trust_accepts_refuses_and_pins_the_leaf() {
    let tenant = emulator().tenant();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ca-{}.pem", std::process::id()));
    std::fs::write(&file, emulator().ca_pem()).expect("written");
    let authorities = ("SSL_CERT_FILE", file.to_str().expect("a name"));
    let app = |issuer: &str, pins: &str| run_app(&[authorities, ("APP_ISSUER", issuer), ("APP_PINS", pins)]);
    assert_eq!(app(&tenant.issuer(), ""), "signed in");
    for kind in BAD {
        let server = emulator().bad_tls(kind).expect("a listener");
        let outcome = app(&issuer_at(&tenant, &server.origin()), "");
        assert_eq!(outcome, "Network { kind: Tls, maybe_sent: false }", "row 1: {kind:?}");
    }
    assert_eq!(app(&tenant.issuer(), &format!("{} {SPARE}", pin_of_leaf())), "signed in");
    let requests = tenant.journal().len();
    // The platform does not tell its path, so an authority's pin is no help there.
    let mismatch = "Network { kind: Pin, maybe_sent: false }";
    assert_eq!(app(&tenant.issuer(), &format!("{} {SPARE}", pin_of_ca())), mismatch);
    assert_eq!(app(&tenant.issuer(), &format!("{OTHER_SPARE} {SPARE}")), mismatch);
    assert_eq!(tenant.journal().len(), requests);
    std::fs::remove_file(&file).expect("removed");
}

// ---- the header provider ----

type Given = Result<Vec<(String, String)>, HeaderProviderError>;

struct Provides<F>(F);

impl<F: Fn(&OutgoingRequest) -> Given + Send + Sync> HeaderProvider for Provides<F> {
    fn headers(&self, request: &OutgoingRequest) -> Given {
        (self.0)(request)
    }
}

#[derive(Default, Clone)]
struct Events(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditSink for Events {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().map_err(|_| SinkError)?.push(event.clone());
        Ok(())
    }
}

impl Events {
    fn problems(&self) -> Vec<HeaderProblem> {
        let events = self.0.lock().expect("events");
        let problem = |event: &AuditEvent| match event.kind {
            AuditKind::Security(SecurityEvent::HeaderProviderFailed { problem }) => Some(problem),
            _ => None,
        };
        events.iter().filter_map(problem).collect()
    }
}

/// A tenant and a client of it in simulated time, on the real network.
struct Scene {
    world: World,
    tenant: Tenant,
    client: Client,
    events: Events,
}

/// Blocking calls have threads of their own, so that one can hang.
fn scene(provider: impl Fn(&OutgoingRequest) -> Given + Send + Sync + 'static) -> Scene {
    let world = World::new();
    scene_with(&world, Threads(world.clone()), provider)
}

fn scene_with(
    world: &World,
    spawner: impl Spawner + 'static,
    provider: impl Fn(&OutgoingRequest) -> Given + Send + Sync + 'static,
) -> Scene {
    let (world, tenant, events) = (world.clone(), emulator().tenant(), Events::default());
    tenant.set_clock(Arc::new(world.clone()));
    let transport = HttpTransport::new(NetworkOptions { trust: trust(), ..NetworkOptions::default() });
    let environment = world.environment(Real::new(&world, transport));
    let environment = Environment { spawner: Arc::new(spawner), ..environment };
    let client = builder(&tenant).environment(environment).audit_sink(events.clone());
    let client = client.header_provider(Provides(provider)).build().expect("valid");
    Scene { world, tenant, client, events }
}

impl Scene {
    fn sign_in(&self) -> Session {
        match self.world.run(self.client.sign_in(USER).password(PASSWORD)) {
            Ok(Step::SignedIn(session)) => session,
            other => panic!("{other:?}"),
        }
    }

    fn problems(&self) -> Vec<HeaderProblem> {
        self.world.settle();
        self.events.problems()
    }

    /// The values of a header in all requests, in order.
    fn headers(&self, name: &str) -> Vec<Option<String>> {
        let Journal(entries) = self.tenant.journal();
        entries.iter().map(|entry| entry.header(name).map(str::to_owned)).collect()
    }
}

/// Something that lasts until the test lets it go.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        hangs();
        let open = self.0.0.lock().expect("nobody panics here");
        drop(self.0.1.wait_while(open, |open| !*open).expect("nobody panics here"));
    }

    fn open(&self) {
        *self.0.0.lock().expect("nobody panics here") = true;
        self.0.1.notify_all();
    }
}

fn named(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[test]
fn the_apps_headers_are_on_every_request_and_the_librarys_own_stay() {
    let scene = scene(|request| {
        Ok(vec![
            named("Host", "evil.example"),
            named("X-Sensor", format!("{} {}", request.method, request.path)),
            named("Authorization", "Bearer stolen"),
            named("user_agent", "other"),
            named("User-Agent", "other"),
            named("Content-Length", "0"),
            named("X-Split", "1\r\nX-Injected: 1"),
            named("X-Second", "2"),
        ])
    });
    let session = scene.sign_in();
    scene.world.run(session.refresh()).expect("refreshed");
    scene.world.run(session.user_info()).expect("told");
    scene.world.run(session.sign_out()).expect("signed out");
    let Journal(entries) = scene.tenant.journal();
    let operations: Vec<_> = entries.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, ["metadata", "keys", "token", "token", "userinfo", "revoke"]);
    for entry in &entries {
        let sensor = format!("{} {}", entry.method, entry.path);
        assert_eq!(entry.header("x-sensor"), Some(sensor.as_str()), "{entry:?}");
        assert_eq!(entry.header("x-second"), Some("2"));
        let only = |name: &str| entry.headers.iter().filter(|(known, _)| known == name).count();
        assert_eq!((only("host"), only("user-agent"), only("user_agent"), only("x-injected")), (1, 1, 0, 0));
        let host = format!("localhost:{}", emulator().port());
        assert_eq!(entry.header("host"), Some(host.as_str()));
        assert!(entry.header("user-agent").is_some_and(|agent| agent.starts_with("directauth/")));
        assert_eq!(entry.header("authorization").is_some(), entry.operation == "userinfo");
        assert_ne!(entry.header("authorization"), Some("Bearer stolen"));
    }
    assert_eq!(scene.problems(), vec![HeaderProblem::Refused; entries.len()]);
}

#[test]
fn the_app_is_asked_without_a_secret() {
    let asked: Arc<Mutex<Vec<OutgoingRequest>>> = Arc::default();
    let scene = {
        let asked = Arc::clone(&asked);
        scene(move |request| {
            asked.lock().expect("nobody panics").push(request.clone());
            Ok(vec![])
        })
    };
    scene.sign_in();
    let asked = asked.lock().expect("nobody panics");
    let base = scene.tenant.issuer().replace(&emulator().origin(), "");
    let asked: Vec<_> = asked.iter().map(|request| (request.method, request.path.clone())).collect();
    assert_eq!(
        asked,
        [
            (Method::Get, format!("{base}/.well-known/openid-configuration")),
            (Method::Get, format!("{base}/v1/keys")),
            (Method::Post, format!("{base}/v1/token")),
        ]
    );
    assert!(scene.problems().is_empty());
}

#[test]
fn a_provider_that_fails_or_panics_fails_no_sign_in() {
    // On this very thread: a panic that gets out would end the test.
    let failing = |world: &World| scene_with(world, world.clone(), |_| Err(HeaderProviderError));
    let panicking = |world: &World| scene_with(world, world.clone(), |_| panic!("the vendor's own defect"));
    for scene in [failing(&World::new()), panicking(&World::new())] {
        let session = scene.sign_in();
        scene.world.run(session.refresh()).expect("refreshed");
        assert_eq!(scene.problems(), [HeaderProblem::Failed; 4]);
    }
}

#[test]
fn a_provider_that_is_late_is_not_waited_for() {
    let (gate, first) = (Gate::default(), AtomicBool::new(true));
    let scene = {
        let gate = gate.clone();
        scene(move |_| {
            if first.swap(false, Ordering::SeqCst) {
                gate.pass();
            }
            Ok(vec![named("X-Sensor", "1")])
        })
    };
    let begun = scene.world.boot();
    scene.sign_in();
    assert_eq!(scene.world.boot().since(begun), Duration::from_secs(2), "the time that one call is given");
    let there = Some("1".to_owned());
    assert_eq!(scene.headers("x-sensor"), [None, there.clone(), there]);
    assert_eq!(scene.problems(), [HeaderProblem::Late]);
    gate.open();
}

#[test]
fn a_provider_that_never_answers_holds_a_bounded_number_of_threads() {
    let (gate, calls) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let scene = {
        let (gate, calls) = (gate.clone(), Arc::clone(&calls));
        scene(move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            gate.pass();
            Ok(vec![])
        })
    };
    // Metadata each time, and the keys once.
    for _ in 0..19 {
        scene.world.run(scene.client.warm_up());
    }
    assert_eq!((scene.tenant.journal().len(), calls.load(Ordering::SeqCst)), (20, 16));
    let expected = [vec![HeaderProblem::Late; 16], vec![HeaderProblem::Busy; 4]].concat();
    assert_eq!(scene.problems(), expected);
    gate.open();
}

#[test]
fn a_sign_in_that_was_left_while_the_provider_was_asked_sends_nothing() {
    let gate = Gate::default();
    let scene = {
        let gate = gate.clone();
        scene(move |request| {
            if request.path.ends_with("/token") {
                gate.pass();
            }
            Ok(vec![])
        })
    };
    let sign_in = scene.client.sign_in(USER);
    let attempt = Box::pin(sign_in.password(PASSWORD));
    // Time stands still until the provider hangs; one second later the user leaves.
    match scene.world.run(select(attempt, scene.world.sleep(Duration::from_secs(1)))) {
        Either::Right((_, attempt)) => drop(attempt),
        Either::Left((outcome, _)) => panic!("{outcome:?}"),
    }
    scene.world.run(scene.world.sleep(Duration::from_secs(10)));
    scene.world.settle();
    assert_eq!(scene.tenant.journal().operations(), ["metadata", "keys"]);
    assert_eq!(scene.problems(), [HeaderProblem::Late]);
    gate.open();
}
