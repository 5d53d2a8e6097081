//! The whole log of one day of one user, held against a file that was read by a person: what an app's log gets, word by
//! word, and so also what it does not get.
//!
//! `UPDATE_GOLDEN=1 cargo test -p directauth --test audit` writes the file anew; read the difference before you keep it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use directauth::audit::{AuditEvent, AuditSink, SinkError};
use directauth::env::{HttpTransport, NetworkOptions};
use directauth::{Client, Step};
use directauth_emulator::{Answer, Fault, PushReaction, Rule};
use support::world::{Real, World};

#[derive(Default, Clone)]
struct Log(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditSink for Log {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().map_err(|_| SinkError)?.push(event.clone());
        Ok(())
    }
}

const START: u64 = 1_790_000_000;

#[test]
fn the_log_of_a_day() {
    let world = World::starting_at(1_790_000_000_000);
    let tenant = support::emulator().tenant();
    tenant.set_clock(Arc::new(world.clone()));
    let log = Log::default();
    let options = NetworkOptions { trust: support::trust(), ..NetworkOptions::default() };
    let client = Client::builder(tenant.issuer(), tenant.client_id())
        .scopes(["openid", "profile", "offline_access"])
        .audit_sink(log.clone())
        .audit_users("a key that only the reader of the log has")
        .environment(world.environment(Real::new(&world, HttpTransport::new(options))))
        .build()
        .expect("a valid configuration");

    world.run(client.sign_in("cleo@example.com").password("a typo")).expect_err("refused");
    let step = world.run(client.sign_in("cleo@example.com").password("cleo-password"));
    let Ok(Step::ChooseFactor(choice)) = step else { panic!("{step:?}") };
    tenant.on_next_push(PushReaction::Approve { after_polls: 2 });
    let step = world.run(choice.push());
    let Ok(Step::ApproveOnDevice(push)) = step else { panic!("{step:?}") };
    let step = world.run(push.approved());
    let Ok(Step::SignedIn(session)) = step else { panic!("{step:?}") };
    world.advance(Duration::from_secs(3600));
    tenant.script(Rule::on("token").answer(Answer::fault(Fault::CloseAfterProcessing)));
    world.run(session.access_token()).expect("the retry brings it");
    let bad = r#"{"on":"token","answer":{"tokens":{"id_token":{"signature":"flip"}}}}"#;
    tenant.script(serde_json::from_str(bad).expect("a rule"));
    world.advance(Duration::from_secs(60));
    world.run(session.refresh()).expect_err("not released");
    world.run(session.sign_out()).expect("signed out");
    world.settle();

    let events = log.0.lock().expect("nobody panics with it");
    let found = text(&events, &tenant.issuer());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).expect("written");
    }
    let golden = std::fs::read_to_string(&file).expect("the file is there");
    assert_eq!(found, golden, "\n{found}");
}

/// One line for each event; random ids are numbered, the port is left out.
fn text(events: &[AuditEvent], issuer: &str) -> String {
    let mut ids = BTreeMap::new();
    let mut text = String::new();
    for event in events {
        let at = event.at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs() - START;
        assert_eq!((&*event.issuer, event.dropped_before), (issuer, 0));
        let kind = format!("{:?}", event.kind);
        let user = event.user.as_ref().map_or("nobody", |_| "a user");
        let next = ids.len() + 1;
        let id = ids.entry(event.transaction_id.as_str().to_owned()).or_insert(next);
        let kind = without_ids(&kind);
        writeln!(text, "{at:>5} s  {}  #{id}  {user}  {kind}", event.client_id).expect("memory");
    }
    text
}

/// Request and session ids are random.
fn without_ids(kind: &str) -> String {
    let mut kind = kind.to_owned();
    for (before, after) in [("request_id: Some(", ")"), ("session_id: ", ",")] {
        if let Some((head, rest)) = kind.split_once(before) {
            let end = rest.find([after.chars().next().expect("one"), ' ', '}']).expect("an end");
            kind = format!("{head}{before}…{}", &rest[end..]);
        }
    }
    kind
}
