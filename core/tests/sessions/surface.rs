//! What an app sees: who is signed in, and what it can ask and do. docs/sessions.md §10.

use std::task::Poll;
use std::time::Duration;

use directauth::error::{Code, EndReason, StoreProblem};
use directauth::{Accounts, Client, DeviceSignOut, Kind, ServerSignOut, Session};
use directauth_emulator::{Answer, Rule};
use serde_json::json;

use super::device::{ANA, BEN, Call, Device, EXPIRED, Fault, Trouble, unavailable, word};
use super::support::net::poll_once;

fn many(device: &Device) -> Client {
    device.builder(&device.process()).accounts(Accounts::Many).build().expect("valid")
}

/// Everybody, the default first.
fn everybody(device: &Device, client: &Client) -> Vec<String> {
    let found = device.run(client.sessions()).expect("readable");
    assert!(found.iter().enumerate().all(|(index, info)| info.is_default == (index == 0)));
    found.into_iter().map(|info| info.username).collect()
}

#[test]
fn the_state_is_restoring_at_first_then_who_is_there() {
    let device = Device::new();
    let client = device.start();
    assert_eq!(word(&client.state()), "Restoring");
    device.world.settle();
    assert_eq!(word(&client.state()), "SignedOut");

    device.left_signed_in(BEN);
    let client = device.start();
    assert_eq!(word(&client.state()), "Restoring");
    device.world.settle();
    assert_eq!(word(&client.state()), BEN);
    assert!(device.tenant.journal().is_empty(), "no request");

    device.store.fails(Fault::all(StoreProblem::Locked));
    let client = device.start();
    assert_eq!(word(&client.state()), "Restoring");
    device.world.settle();
    assert_eq!(word(&client.state()), "Locked");
}

#[test]
fn every_change_is_published_and_nothing_twice() {
    let device = Device::new();
    let client = device.start();
    let mut states = client.states();
    assert_eq!(word(&device.run(states.next())), "Restoring");
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    device.restored(&client);
    let session = device.signs_in(&client, BEN);
    assert_eq!(word(&device.run(states.next())), BEN);
    device.world.advance(EXPIRED);
    device.token(&session).expect("refreshed");
    device.restored(&client);
    assert!(poll_once(&mut Box::pin(states.next())).is_pending(), "a refresh changes nobody");
    device.run(session.sign_out()).expect("signed out");
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    let ana = device.signs_in(&client, ANA);
    assert_eq!(word(&device.run(states.next())), ANA);
    device.tenant.revoke_everything();
    device.world.advance(EXPIRED);
    device.token(&ana).expect_err("the server ended it");
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    assert!(poll_once(&mut Box::pin(states.next())).is_pending());
}

#[test]
fn the_newest_state_is_always_delivered() {
    let device = Device::new();
    let client = device.start();
    let mut states = client.states();
    device.signs_in(&client, BEN);
    device.run(client.sign_out()).expect("readable").expect("somebody");
    let last = device.signs_in(&client, BEN);
    let state = device.run(states.next());
    let directauth::State::SignedIn(session) = state else { panic!("{state:?}") };
    assert_eq!(session.id(), last.id());
    assert!(poll_once(&mut Box::pin(states.next())).is_pending(), "what came before is of no interest");
    // Who comes late gets the newest as well.
    assert_eq!(word(&device.run(client.states().next())), BEN);
}

#[test]
fn who_waits_for_a_state_is_woken() {
    let device = Device::new();
    let client = device.start();
    let mut states = client.states();
    device.run(states.next());
    device.run(states.next());
    let mut one = Box::pin(states.next());
    let mut second = client.states();
    device.run(second.next());
    let mut other = Box::pin(second.next());
    assert!(poll_once(&mut one).is_pending() && poll_once(&mut other).is_pending());
    let sign_in = client.sign_in(BEN);
    let (one, other, signed_in) = device.run(futures_util::future::join3(one, other, sign_in.password("tr0ub4dor&3")));
    signed_in.expect("signed in");
    assert_eq!((word(&one).as_str(), word(&other).as_str()), (BEN, BEN));
}

#[test]
fn an_end_by_another_client_of_the_process_is_published() {
    let device = Device::new();
    let process = device.process();
    let one = device.builder(&process).build().expect("valid");
    let other = device.builder(&process).build().expect("valid");
    let session = device.signs_in(&one, BEN);
    let mut states = other.states();
    let seen = device.restored(&other).expect("signed in");
    assert_eq!(word(&device.run(states.next())), BEN);
    device.run(session.sign_out()).expect("signed out");
    assert_eq!(word(&other.state()), "SignedOut");
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    let error = device.token(&seen).expect_err("over");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
}

#[test]
fn an_end_by_another_process_is_published_when_the_app_comes_to_the_foreground() {
    let device = Device::new();
    let (one, other) = (device.start(), device.start());
    let session = device.signs_in(&one, BEN);
    let mut states = other.states();
    device.restored(&other).expect("signed in");
    assert_eq!(word(&device.run(states.next())), BEN);
    device.run(session.sign_out()).expect("signed out");
    assert_eq!(word(&other.state()), BEN, "it cannot know yet");
    other.notify_foreground();
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    let again = device.signs_in(&one, ANA);
    other.notify_foreground();
    let state = device.run(states.next());
    let directauth::State::SignedIn(found) = state else { panic!("{state:?}") };
    assert_eq!(found.id(), again.id());
}

#[test]
fn a_sign_out_of_nobody_is_no_error() {
    let device = Device::new();
    let client = device.start();
    assert!(device.run(client.sign_out()).expect("readable").is_none());
    assert!(device.run(client.sign_out_all()).expect("readable").is_empty());
    assert_eq!(word(&client.state()), "SignedOut");
    device.signs_in(&client, BEN);
    let out = device.run(client.sign_out()).expect("readable").expect("somebody");
    assert_eq!((out.server, out.device), (ServerSignOut::Revoked, DeviceSignOut::Deleted));
    assert!(device.run(client.sign_out()).expect("readable").is_none());
}

#[test]
fn a_second_sign_out_of_the_same_session_says_that_it_is_over() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.run(session.sign_out()).expect("signed out");
    let error = device.run(session.sign_out()).expect_err("over");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert_eq!(device.count("revoke"), 1);
    assert!(session.claims().is_none() && session.id_token().is_none(), "nothing of it is handed out");
}

#[test]
fn with_one_account_a_sign_in_replaces_whoever_was_there() {
    let device = Device::new();
    let client = device.start();
    let old = device.signs_in(&client, BEN);
    device.signs_in(&client, ANA);
    assert_eq!(everybody(&device, &client), [ANA]);
    assert!(device.run(client.session(&old.id())).expect("readable").is_none());
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn with_many_accounts_each_has_a_session_of_its_own() {
    let device = Device::new();
    let client = many(&device);
    assert!(everybody(&device, &client).is_empty());
    let ben = device.signs_in(&client, BEN);
    device.world.advance(Duration::from_secs(60));
    let ana = device.signs_in(&client, ANA);
    assert_eq!(everybody(&device, &client), [ANA, BEN], "who signed in last is the default");
    assert_eq!(word(&client.state()), ANA);
    let found = |id: &str| device.run(client.session(id)).expect("readable").map(|session| session.username());
    assert_eq!(found(&ben.id()).as_deref(), Some(BEN));
    assert_eq!(found("0123456789abcdef0123456789abcdef"), None);
    assert_eq!(found("no id at all"), None);

    let record = |session: &Session| device.store.content(&format!("session.{}", session.id()));
    let untouched = record(&ben);
    device.world.advance(EXPIRED);
    device.token(&ana).expect("refreshed");
    device.run(ana.sign_out()).expect("signed out");
    assert_eq!(record(&ben), untouched, "one user's affairs leave the other's record as it was");
    assert_eq!(word(&client.state()), BEN, "the next one is the default");
    assert_eq!(found(&ana.id()), None);
    device.token(&ben).expect("usable");
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn with_many_accounts_a_user_who_signs_in_again_replaces_only_himself() {
    let device = Device::new();
    let client = many(&device);
    let first = device.signs_in(&client, BEN);
    let ana = device.signs_in(&client, ANA);
    let second = device.signs_in(&client, BEN);
    assert_eq!(everybody(&device, &client), [BEN, ANA]);
    let error = device.token(&first).expect_err("replaced");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::Replaced });
    device.token(&ana).expect("as before");
    device.token(&second).expect("the new one");
    assert_eq!(device.tenant.live_grants(), 2);
}

#[test]
fn with_many_accounts_each_refreshes_for_itself() {
    let device = Device::new();
    let client = many(&device);
    let sessions = [device.signs_in(&client, BEN), device.signs_in(&client, ANA)];
    device.world.advance(EXPIRED);
    let calls = sessions.iter().map(Session::access_token);
    let tokens = device.run(futures_util::future::join_all(calls));
    let tokens: Vec<_> = tokens.into_iter().map(|token| token.expect("refreshed").expose().to_owned()).collect();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(device.count("token"), 4, "two sign-ins, two refreshes");
    for (session, user) in sessions.iter().zip([BEN, ANA]) {
        let claims = device.run(session.user_info()).expect("told");
        assert_eq!(claims.preferred_username(), Some(user));
    }
}

#[test]
fn the_default_can_be_chosen_and_is_the_same_for_every_process() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    device.signs_in(&client, ANA);
    let mut states = client.states();
    assert_eq!(word(&device.run(states.next())), ANA);
    let chosen = device.run(client.set_default(&ben.id())).expect("stored");
    assert_eq!(chosen.id(), ben.id());
    assert_eq!(word(&device.run(states.next())), BEN);
    assert_eq!(everybody(&device, &client), [BEN, ANA]);
    assert_eq!(device.restored(&many(&device)).expect("somebody").username(), BEN);
    let error = device.run(client.set_default("no id at all")).expect_err("nobody");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert_eq!(everybody(&device, &client), [BEN, ANA]);
}

#[test]
fn a_default_that_cannot_be_stored_yet_holds_here_and_is_stored_later() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    device.signs_in(&client, ANA);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session."));
    assert_eq!(unavailable(device.run(client.set_default(&ben.id()))), StoreProblem::Transient);
    assert_eq!(everybody(&device, &client), [BEN, ANA]);
    device.store.heals();
    device.rest(Duration::from_secs(61));
    assert_eq!(device.restored(&many(&device)).expect("somebody").username(), BEN);
}

#[test]
fn everybody_can_be_signed_out_at_once() {
    let device = Device::new();
    let client = many(&device);
    let sessions = [device.signs_in(&client, BEN), device.signs_in(&client, ANA)];
    let out = device.run(client.sign_out_all()).expect("signed out");
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|one| (one.server, one.device) == (ServerSignOut::Revoked, DeviceSignOut::Deleted)));
    assert!(sessions.iter().all(|session| device.token(session).is_err()));
    assert_eq!(word(&client.state()), "SignedOut");
    assert!(device.restored(&many(&device)).is_none());
    assert_eq!(device.tenant.live_grants(), 0);
}

#[test]
fn a_sign_out_of_everybody_that_fails_for_one_is_loud_and_tried_for_all() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    let ana = device.signs_in(&client, ANA);
    let fails = Fault::on(&[Call::Store, Call::Delete], Trouble::Says(StoreProblem::Transient));
    device.store.fails(fails.clone().of(format!("session.{}", ana.id())));
    device.store.fails(fails.of(format!("ended.{}", ana.id())));
    assert_eq!(unavailable(device.run(client.sign_out_all())), StoreProblem::Transient);
    assert!(device.token(&ben).is_err() && device.token(&ana).is_err());
    assert_eq!(device.tenant.live_grants(), 0);
    assert_eq!(device.store.content("session.").len(), 1);
}

#[test]
fn a_sign_out_of_everybody_takes_who_can_be_read_and_says_that_others_cannot() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    let ana = device.signs_in(&client, ANA);
    let locked = Fault::on(&[Call::Load], Trouble::Says(StoreProblem::Locked));
    device.store.fails(locked.of(format!("session.{}", ben.id())));
    assert_eq!(unavailable(device.run(client.sign_out_all())), StoreProblem::Locked);
    let _ =
        (device.token(&ana).expect_err("signed out"), device.token(&ben).expect_err("it lives here, so it is known"));
    device.store.heals();
    assert_eq!(device.run(client.sign_out_all()).expect("nobody is left").len(), 0);
    assert_eq!(device.tenant.live_grants(), 0);
    assert_eq!(word(&client.state()), "SignedOut");
}

/// A refresh token that another library has.
fn from_another_library(device: &Device) -> String {
    let elsewhere = device.builder(&device.process()).store(directauth::MemoryStore::new()).build().expect("valid");
    device.signs_in(&elsewhere, BEN);
    device.tenant.last_tokens()[1].clone()
}

#[test]
fn a_session_of_another_library_is_taken_over_once() {
    let device = Device::new();
    let token = from_another_library(&device);
    let client = device.start();
    let mut states = client.states();
    let session = device.run(client.import_session(token.clone())).expect("taken over");
    assert_eq!(session.username(), BEN);
    assert!(session.is_persisted() && session.can_refresh());
    assert_eq!(word(&device.run(states.next())), BEN);
    assert_eq!(device.tenant.live_grants(), 1);
    let before = device.count("token");
    let again = device.run(client.import_session(token.clone())).expect("the same");
    assert_eq!(again.id(), session.id());
    assert_eq!(device.count("token"), before, "the old token is not sent a second time");
    device.run(session.sign_out()).expect("signed out");
    let error = device.run(device.start().import_session(token)).expect_err("it was signed out");
    assert_eq!(error.kind(), &Kind::ReauthRequired { reason: Code::parse("imported_before").expect("a code") });
    assert_eq!(device.count("token"), before);
}

#[test]
fn a_take_over_that_fails_changes_nothing() {
    let device = Device::new();
    let token = from_another_library(&device);
    let client = device.start();
    let session = device.signs_in(&client, ANA);
    let before = device.store.content("session.");
    let bad = json!({"on": "token", "answer": {"tokens": {"id_token": {"signature": "flip"}}}});
    let failures: [(&str, Option<Rule>); 4] = [
        ("ReauthRequired", Some(Rule::on("token").answer(Answer::json(400, json!({"error": "invalid_grant"}))))),
        ("Server", Some(Rule::on("token").times(2).answer(Answer::status(503)))),
        ("TokenRejected", Some(serde_json::from_value(bad).expect("a rule"))),
        ("StorageUnavailable", None),
    ];
    for (name, rule) in failures {
        match rule {
            Some(rule) => device.tenant.script(rule),
            None => device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Locked))),
        }
        let sent = device.count("token");
        let error = device.run(client.import_session(token.clone())).expect_err(name);
        assert_eq!(error.kind().name(), name);
        assert_eq!(device.count("token") == sent, name == "StorageUnavailable");
        device.store.heals();
        assert_eq!(device.store.content("session."), before, "{name}");
        assert_eq!(word(&client.state()), ANA, "{name}");
        assert_eq!(device.count("revoke"), 0, "{name}: it may still be used elsewhere");
    }
    device.token(&session).expect("as before");
}

#[test]
fn the_foreground_stores_what_waited_for_the_user() {
    let device = Device::new();
    let client = device.start();
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::NeedsUser)).of("session."));
    let session = device.signs_in(&client, ANA);
    device.rest(Duration::from_secs(300));
    device.store.heals();
    device.rest(Duration::from_secs(300));
    assert!(!session.is_persisted(), "a prompt is for a user who is there");
    client.notify_foreground();
    device.world.settle();
    assert!(session.is_persisted());
    assert_eq!(device.restored(&device.start()).expect("stored").id(), session.id());
}

#[test]
fn a_dropped_session_ends_nothing() {
    let device = Device::new();
    let client = device.start();
    let id = device.signs_in(&client, BEN).id();
    assert_eq!(device.restored(&client).expect("signed in").id(), id);
    drop(client);
    device.world.settle();
    assert_eq!(device.count("revoke"), 0);
    assert_eq!(device.restored(&device.start()).expect("signed in").id(), id);
}

#[test]
fn many_callers_of_many_clones_cost_one_request() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let clones: Vec<Session> = (0..50).map(|_| session.clone()).collect();
    let results = device.run(futures_util::future::join_all(clones.iter().map(Session::access_token)));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(device.count("token"), 2);
    assert!(matches!(poll_once(&mut Box::pin(session.access_token())), Poll::Ready(Ok(_))));
}
