//! What a user meets when the network or the set-up is wrong, with the shipped environment: real TLS, real threads, any
//! executor. Each failure has its own error, in bounded time, and nothing else breaks.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use directauth::audit::{AuditEvent, AuditKind, AuditSink, SecurityEvent, SinkError};
use directauth::env::{Blob, BoxFuture, HttpTransport, NetworkOptions, StorageKey};
use directauth::error::{ConfigurationProblem, EndReason, IssuerProblem, NetworkProblem, StoreProblem};
use directauth::{
    Client, DeviceSignOut, Error, Kind, MemoryStore, Remedy, ServerSignOut, Step, TokenStore, Trust, WhenStorageFails,
};
use directauth_emulator::{Answer, BadTlsKind, Fault, PushReaction, Rule};
use futures_executor::block_on;
use support::net::{at, builder, client};
use support::world::{Real, World};
use support::{emulator, trust};

const PASSWORD: &str = "tr0ub4dor&3";

fn configuration(result: Result<impl std::fmt::Debug, Error>) -> ConfigurationProblem {
    match result.expect_err("a mistake").kind() {
        Kind::Configuration { what } => what.clone(),
        other => panic!("{other:?}"),
    }
}

fn network(result: Result<Step, Error>) -> (NetworkProblem, bool) {
    match result.expect_err("no network").kind() {
        Kind::Network { kind, maybe_sent } => (*kind, *maybe_sent),
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_in_the_configuration_are_told_at_once() {
    for (issuer, problem) in [
        ("http://acme.okta.com", IssuerProblem::NotHttps),
        ("acme.okta.com", IssuerProblem::NotAUrl),
        ("https://ana@acme.okta.com", IssuerProblem::UserInfo),
        ("https://acme.okta.com/?x", IssuerProblem::QueryOrFragment),
        ("https://Acme.okta.com", IssuerProblem::NotCanonical),
    ] {
        let result = Client::builder(issuer, "id").build();
        assert_eq!(configuration(result), ConfigurationProblem::Issuer(problem), "{issuer}");
    }
    let good = || Client::builder("https://acme.okta.com", "id");
    assert_eq!(configuration(Client::builder("https://acme.okta.com", " ").build()), ConfigurationProblem::ClientId);
    assert_eq!(configuration(good().scopes(["a b"]).build()), ConfigurationProblem::Scope);
    assert_eq!(configuration(good().scopes([""; 0]).build()), ConfigurationProblem::Scope);
    assert_eq!(configuration(good().request_timeout(Duration::ZERO).build()), ConfigurationProblem::TimeLimit);
    let origin = good().resource_origins(["http://api.example"]).build();
    assert_eq!(configuration(origin), ConfigurationProblem::ResourceOrigin);
    let empty = good().trust(Trust::Custom(vec![])).build();
    assert_eq!(configuration(empty), ConfigurationProblem::Certificate);
    assert_eq!(
        configuration(good().trust(Trust::Custom(vec![vec![1, 2, 3]])).build()),
        ConfigurationProblem::Certificate
    );
    assert_eq!(
        configuration(Trust::from_pem("nothing").map_err(|what| Kind::Configuration { what }.into())),
        ConfigurationProblem::Certificate
    );
    assert!(Trust::from_pem(&emulator().ca_pem()).is_ok());
}

#[test]
fn a_certificate_that_is_not_right_sends_no_byte_of_the_credential() {
    for kind in [BadTlsKind::Expired, BadTlsKind::WrongHost, BadTlsKind::SelfSigned, BadTlsKind::UnknownCa] {
        let server = emulator().bad_tls(kind).expect("a listener");
        let result = block_on(at(&server.origin(), trust()).sign_in("ben@example.com").password(PASSWORD));
        assert_eq!(network(result), (NetworkProblem::Tls, false), "row 1: {kind:?}");
    }
    // The emulator's own certificate is good, but not for who trusts others.
    let tenant = emulator().tenant();
    for trust in [Trust::Bundled, Trust::Platform] {
        let client = builder(&tenant).trust(trust.clone()).build().expect("valid");
        let result = block_on(client.sign_in("ben@example.com").password(PASSWORD));
        assert_eq!(network(result), (NetworkProblem::Tls, false), "{trust:?}");
    }
    assert!(tenant.journal().is_empty());
}

#[test]
fn nobody_at_the_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let client = at(&format!("https://127.0.0.1:{port}"), trust());
    let error = block_on(client.sign_in("ben").password("x")).expect_err("nobody there");
    assert_eq!(error.remedy(), Remedy::CheckConnection);
    assert_eq!(network(Err(error)), (NetworkProblem::Connect, false));
}

#[test]
fn a_server_that_accepts_and_says_nothing_ends_at_the_connect_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let client = Client::builder(format!("https://127.0.0.1:{port}"), "id")
        .trust(trust())
        .connect_timeout(Duration::from_millis(200))
        .build()
        .expect("valid");
    let result = block_on(client.sign_in("ben").password("x"));
    assert_eq!(network(result), (NetworkProblem::Timeout, false));
}

#[test]
fn a_sign_in_has_a_connection_of_its_own_and_uses_it_for_everything() {
    let tenant = emulator().tenant();
    let client = client(&tenant);
    tenant.on_next_push(PushReaction::Approve { after_polls: 1 });
    let session = block_on(async {
        client.warm_up().await;
        let step = client.sign_in("ana@example.com").password("correct horse battery").await?;
        let Step::ChooseFactor(choice) = step else { panic!("{step:?}") };
        let step = choice.push().await?;
        let Step::ApproveOnDevice(push) = step else { panic!("{step:?}") };
        match push.approved().await? {
            Step::SignedIn(session) => Ok::<_, Error>(session),
            other => panic!("{other:?}"),
        }
    });
    let session = session.expect("signed in");
    assert_eq!(tenant.journal().connections(), 1, "warm-up and sign-in: {:?}", tenant.journal().operations());
    block_on(session.refresh()).expect("refreshed");
    assert_eq!(tenant.journal().connections(), 2, "a refresh has nothing to do with a sign-in's connection");
    let cookies = tenant.journal().0.iter().filter(|entry| entry.header("cookie").is_some()).count();
    assert_eq!(cookies, 0, "row 25");
}

#[test]
fn a_dropped_sign_in_is_never_signed_in_and_gives_its_tokens_back() {
    let tenant = emulator().tenant();
    let client = client(&tenant);
    block_on(client.warm_up());
    tenant.script(Rule::on("token").answer(Answer::real().delay(Duration::from_millis(300))));
    let sign_in = client.sign_in("ben@example.com");
    let mut attempt = Box::pin(sign_in.password(PASSWORD));
    // Until the request is on the wire, then the user leaves.
    let until = Instant::now() + Duration::from_secs(20);
    while tenant.journal().count("token") == 0 {
        let _ = support::net::poll_once(&mut attempt);
        assert!(Instant::now() < until, "the request never came");
        std::thread::yield_now();
    }
    drop(attempt);
    while tenant.journal().count("revoke") == 0 || tenant.live_grants() > 0 {
        assert!(Instant::now() < until, "the tokens were not given back");
        std::thread::yield_now();
    }
    assert!(block_on(client.restore()).expect("readable").is_none());
    assert_eq!(tenant.journal().count("token"), 1);
}

#[test]
fn a_step_that_is_busy_says_so_and_a_new_sign_in_waits_for_the_wire() {
    let tenant = emulator().tenant();
    let client = client(&tenant);
    let choice = match block_on(client.sign_in("ana@example.com").password("correct horse battery")) {
        Ok(Step::ChooseFactor(choice)) => choice,
        other => panic!("{other:?}"),
    };
    let code = tenant.totp("ana@example.com").expect("enrolled");
    tenant.script(Rule::on("token").grant("mfa-otp").answer(Answer::real().delay(Duration::from_millis(300))));
    let (first, second, another) = block_on(async {
        let another_sign_in = client.sign_in("ana@example.com");
        let first = choice.otp(code.as_str());
        let second = async { choice.otp("123456").await };
        let third = another_sign_in.password("correct horse battery");
        futures_util::future::join3(first, second, third).await
    });
    assert!(matches!(first, Ok(Step::SignedIn(_))), "{first:?}");
    assert_eq!(second.expect_err("one at a time").kind(), &Kind::Busy, "row 167");
    assert_eq!(another.expect_err("on the wire").kind(), &Kind::Busy);
    assert_eq!(tenant.journal().of("token").len(), 2);
}

#[test]
fn the_number_of_sign_ins_is_bounded() {
    let tenant = emulator().tenant();
    let client = client(&tenant);
    tenant.script(Rule::on("token").times(0).answer(Answer::fault(Fault::Stall)));
    let client = &client;
    let names: Vec<String> = (0..20).map(|n| format!("user{n}@example.com")).collect();
    let mut attempts: Vec<_> =
        names.iter().map(|name| Box::pin(async move { client.sign_in(name).password("x").await })).collect();
    let until = Instant::now() + Duration::from_secs(20);
    let mut refused = 0;
    while tenant.journal().count("token") < 16 || refused < 4 {
        attempts.retain_mut(|attempt| match support::net::poll_once(attempt) {
            std::task::Poll::Ready(result) => {
                assert_eq!(result.expect_err("too many").kind(), &Kind::Busy);
                refused += 1;
                false
            }
            std::task::Poll::Pending => true,
        });
        assert!(Instant::now() < until, "{} requests, {refused} refused", tenant.journal().count("token"));
        std::thread::yield_now();
    }
    assert_eq!((tenant.journal().count("token"), refused), (16, 4));
}

#[test]
fn a_caller_that_stops_polling_holds_nobody_up() {
    let tenant = emulator().tenant();
    let client = client(&tenant);
    let left = client.sign_in("ana@example.com");
    let mut left = Box::pin(left.password("correct horse battery"));
    let until = Instant::now() + Duration::from_secs(20);
    // Until it fetches the metadata, then never again.
    while tenant.journal().is_empty() {
        assert!(support::net::poll_once(&mut left).is_pending());
        assert!(Instant::now() < until, "the request never came");
        std::thread::yield_now();
    }
    let step = block_on(client.sign_in("ben@example.com").password(PASSWORD));
    assert!(matches!(step, Ok(Step::SignedIn(_))), "{step:?}");
}

#[test]
fn who_waited_for_a_document_that_the_server_cannot_give_does_not_try_in_turn() {
    let tenant = emulator().tenant();
    let world = World::new();
    tenant.set_clock(Arc::new(world.clone()));
    tenant.script(Rule::on("metadata").times(0).answer(Answer::status(503)));
    let options = NetworkOptions { trust: trust(), ..NetworkOptions::default() };
    let environment = world.environment(Real::new(&world, HttpTransport::new(options)));
    let client = &builder(&tenant).environment(environment).build().expect("valid");
    let names: Vec<String> = (0..5).map(|n| format!("user{n}@example.com")).collect();
    let attempts = names.iter().map(|name| async move { client.sign_in(name).password("x").await });
    for result in world.run(futures_util::future::join_all(attempts)) {
        assert!(matches!(result.expect_err("failing").kind(), Kind::Server { status: 503, .. }));
    }
    assert_eq!(tenant.journal().operations(), ["metadata"; 3], "row 202: three tries, for all of them");
}

/// A store that never works.
struct Broken;

impl TokenStore for Broken {
    fn load<'a>(&'a self, _: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        Box::pin(std::future::ready(Err(StoreProblem::Locked)))
    }
    fn store<'a>(&'a self, _: &'a StorageKey, _: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(std::future::ready(Err(StoreProblem::Locked)))
    }
    fn delete<'a>(&'a self, _: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(std::future::ready(Err(StoreProblem::Locked)))
    }
    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(std::future::ready(Err(StoreProblem::Locked)))
    }
}

#[test]
fn a_store_that_cannot_be_written_refuses_the_sign_in_before_the_password_is_sent() {
    let tenant = emulator().tenant();
    let client = builder(&tenant).store(Broken).build().expect("valid");
    let error = block_on(client.sign_in("ben@example.com").password(PASSWORD)).expect_err("locked");
    assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: StoreProblem::Locked });
    assert_eq!(error.remedy(), Remedy::Unlock);
    assert!(tenant.journal().is_empty(), "{:?}", tenant.journal().operations());

    let careless = builder(&tenant).store(Broken).when_storage_fails(WhenStorageFails::KeepInMemory);
    let client = careless.build().expect("valid");
    let Ok(Step::SignedIn(session)) = block_on(client.sign_in("ben@example.com").password(PASSWORD)) else { panic!() };
    assert!(!session.is_persisted());
    block_on(session.refresh()).expect("works from memory");
    let same = block_on(client.restore()).expect("it lives here").expect("a session");
    assert_eq!(same.id(), session.id());
    let error = block_on(session.sign_out()).expect_err("the record may still be there");
    assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: StoreProblem::Locked });
    assert_eq!(tenant.live_grants(), 0, "revoked all the same");
    assert!(block_on(session.access_token()).is_err());
}

/// Deletes only when it is allowed to.
#[derive(Clone, Default)]
struct Sticky(MemoryStore, Arc<AtomicBool>);

impl TokenStore for Sticky {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        self.0.load(key)
    }
    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        self.0.store(key, blob)
    }
    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        if key.as_str().starts_with("session.") && self.1.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(StoreProblem::Transient)));
        }
        self.0.delete(key)
    }
    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        self.0.keys()
    }
}

#[test]
fn a_record_that_cannot_be_deleted_is_ended_all_the_same_and_no_newer_one_with_it() {
    let tenant = emulator().tenant();
    let store = Sticky::default();
    let client = builder(&tenant).store(store.clone()).build().expect("valid");
    let sign_in = || match block_on(client.sign_in("ben@example.com").password(PASSWORD)) {
        Ok(Step::SignedIn(session)) => session,
        other => panic!("{other:?}"),
    };
    let first = sign_in();
    store.1.store(true, Ordering::SeqCst);
    let out = block_on(first.sign_out()).expect("its end is noted");
    assert_eq!((out.server, out.device), (ServerSignOut::Revoked, DeviceSignOut::Tombstoned));
    assert!(block_on(client.restore()).expect("readable").is_none(), "signed out, deleted or not");
    let second = sign_in();
    assert_ne!(first.id(), second.id());
    let again = block_on(first.sign_out()).expect_err("over");
    assert_eq!(again.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    store.1.store(false, Ordering::SeqCst);
    client.notify_foreground();
    let until = Instant::now() + Duration::from_secs(20);
    let records = || {
        let keys = block_on(store.keys()).expect("memory");
        keys.iter().filter(|key| key.as_str().starts_with("session.")).count()
    };
    while records() > 1 {
        assert!(Instant::now() < until, "the record is deleted when the store lets it be");
        std::thread::yield_now();
    }
    block_on(second.refresh()).expect("the newer session is untouched");
    let here = block_on(client.restore()).expect("readable").expect("signed in");
    assert_eq!(here.id(), second.id());
    assert_eq!(tenant.live_grants(), 1);
}

#[test]
fn what_can_never_be_read_again_is_told_and_discarded_by_wish_only() {
    let tenant = emulator().tenant();
    let store = MemoryStore::new();
    let key = StorageKey::parse("session.0").expect("a key");
    block_on(store.store(&key, &Blob::new(b"rubbish".to_vec()))).expect("memory");
    let client = builder(&tenant).store(store.clone()).build().expect("valid");
    let error = block_on(client.restore()).expect_err("not None");
    assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: StoreProblem::Corrupt });
    let Ok(Step::SignedIn(session)) = block_on(client.sign_in("ben@example.com").password(PASSWORD)) else { panic!() };
    assert!(session.is_persisted(), "a new sign-in is always allowed");
    assert!(block_on(store.load(&key)).expect("memory").is_some(), "and leaves it alone");
    assert_eq!(block_on(client.discard_unreadable()).expect("memory"), 1);
    assert_eq!(block_on(client.discard_unreadable()).expect("memory"), 0);

    // The live session's own record is damaged: memory has what the store has lost.
    let own = StorageKey::parse(&format!("session.{}", session.id())).expect("a key");
    block_on(store.store(&own, &Blob::new(b"rubbish".to_vec()))).expect("memory");
    assert_eq!(block_on(client.discard_unreadable()).expect("memory"), 1);
    assert!(session.is_persisted());
    block_on(session.refresh()).expect("the session goes on");
    assert!(block_on(client.restore()).expect("readable").is_some());
}

#[derive(Default, Clone)]
struct Events(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditSink for Events {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().map_err(|_| SinkError)?.push(event.clone());
        Ok(())
    }
}

#[test]
fn what_happened_is_told_without_secrets_and_user_names() {
    let tenant = emulator().tenant();
    let events = Events::default();
    let client = builder(&tenant).audit_sink(events.clone()).build().expect("valid");
    let wrong = block_on(client.sign_in("ben@example.com").password("a wrong password"));
    let error = wrong.expect_err("refused");
    tenant.script(
        serde_json::from_str(r#"{"on":"token","answer":{"tokens":{"id_token":{"signature":"flip"}}}}"#)
            .expect("a rule"),
    );
    block_on(client.sign_in("ben@example.com").password(PASSWORD)).expect_err("a bad signature");
    let Ok(Step::SignedIn(session)) = block_on(client.sign_in("ben@example.com").password(PASSWORD)) else { panic!() };
    let token = block_on(session.access_token()).expect("fresh");
    let until = Instant::now() + Duration::from_secs(20);
    let count = |events: &Events| events.0.lock().expect("events").len();
    while count(&events) < 7 {
        assert!(Instant::now() < until, "{:?}", events.0.lock());
        std::thread::yield_now();
    }
    let events = events.0.lock().expect("events");
    let text = format!("{events:?} {error:?} {session:?} {:?} {client:?}", session.claims());
    for secret in ["a wrong password", PASSWORD, "ben@example.com", token.expose()] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let first = error.transaction_id().expect("an id");
    let finished = events.iter().find(|event| {
        event.transaction_id.as_str() == first
            && matches!(
                &event.kind,
                AuditKind::AttemptFinished { outcome: "Refused", status: Some(400), request_id: Some(_), .. }
            )
    });
    assert!(finished.is_some(), "{events:?}");
    assert!(error.request_id().is_some());
    let rejected =
        events.iter().any(|event| matches!(event.kind, AuditKind::Security(SecurityEvent::TokenRejected { .. })));
    assert!(rejected, "{events:?}");
}
