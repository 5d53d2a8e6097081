//! What the network and the server do: nothing but `invalid_grant` for the newest refresh token, or another user's ID token,
//! ends a session.

use std::collections::BTreeSet;
use std::time::Duration;

use directauth::error::{EndReason, TokenCheck};
use directauth::{DeviceSignOut, Error, Kind, Profile, Remedy, ServerSignOut, Session, Step};
use directauth_emulator::{Answer, Fault as NetFault, Rule};
use serde_json::json;

use super::device::{ANA, BEN, DUE, Device, EXPIRED, word};
use super::support::net::poll_once;

fn ended(session: &Session, device: &Device) -> EndReason {
    match device.token(session).expect_err("over").kind() {
        Kind::SessionEnded { reason } => *reason,
        other => panic!("{other:?}"),
    }
}

/// The tokens that the server was asked to revoke.
fn revoked(device: &Device) -> BTreeSet<String> {
    let journal = device.tenant.journal();
    journal.of("revoke").iter().filter_map(|entry| entry.param("token").map(str::to_owned)).collect()
}

#[test]
fn a_refresh_that_fails_on_the_way_never_ends_or_revokes_a_session() {
    let answers = [
        ("offline", Answer::fault(NetFault::Close)),
        ("reset", Answer::fault(NetFault::Reset)),
        ("503", Answer::status(503)),
        ("500", Answer::json(500, json!({"error": "server_error"}))),
        ("429", Answer::json(429, json!({"error": "invalid_grant"}))),
        ("captive portal", Answer::fault(NetFault::CaptivePortal)),
        ("garbage", Answer::fault(NetFault::Garbage)),
        ("invalid_client", Answer::json(401, json!({"error": "invalid_client"}))),
        ("access_denied", Answer::json(403, json!({"error": "access_denied"}))),
        ("invalid_dpop_proof", Answer::json(400, json!({"error": "invalid_dpop_proof"}))),
        ("something new", Answer::json(400, json!({"error": "something_new"}))),
        ("redirect", Answer::fault(NetFault::Redirect307OtherHost)),
    ];
    for (name, answer) in answers {
        let device = Device::new();
        let client = device.start();
        let session = device.signs_in(&client, BEN);
        device.world.advance(EXPIRED);
        device.tenant.script(Rule::on("token").times(0).answer(answer));
        for _ in 0..3 {
            let error = device.run(session.access_token()).expect_err(name);
            assert!(!matches!(error.kind(), Kind::SessionEnded { .. }), "{name}: {error:?}");
            device.rest(Duration::from_secs(120));
        }
        assert_eq!(word(&client.state()), BEN, "{name}");
        assert_eq!(device.count("revoke"), 0, "{name}");
        assert_eq!(device.store.content("session.").len(), 1, "{name}");
        device.tenant.clear_script();
        device.rest(Duration::from_secs(3700));
        device.token(&session).expect(name);
        assert_eq!(device.tenant.live_grants(), 1, "{name}");
    }
}

#[test]
fn a_401_of_a_resource_ends_nothing() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.tenant.script(Rule::on("userinfo").times(0).answer(Answer::json(401, json!({"error": "invalid_token"}))));
    let error = device.run(session.user_info()).expect_err("refused");
    assert!(!matches!(error.kind(), Kind::SessionEnded { .. }), "{error:?}");
    assert_eq!(word(&client.state()), BEN);
    assert_eq!((device.count("userinfo"), device.count("revoke")), (2, 0), "one refresh, one more try");
    device.tenant.clear_script();
    device.run(session.user_info()).expect("the session goes on");
    assert_eq!(device.restored(&device.start()).expect("stored").id(), session.id());
}

#[test]
fn a_refusal_of_the_newest_refresh_token_ends_the_session_and_says_so() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let mut states = client.states();
    assert_eq!(word(&device.run(states.next())), BEN);
    device.tenant.revoke_everything();
    device.world.advance(EXPIRED);
    let error = device.run(session.access_token()).expect_err("an administrator ended it");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::RefreshTokenRefused });
    assert_eq!(error.remedy(), Remedy::SignInAgain);
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    assert!(device.store.content("session.").is_empty());
    assert!(device.restored(&device.start()).is_none());
}

#[test]
fn a_refresh_that_answers_for_another_user_ends_the_session() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let rule = json!({"on": "token", "answer": {"tokens": {"id_token": {"claims": {"sub": "somebody else"}}}}});
    device.tenant.script(serde_json::from_value(rule).expect("a rule"));
    assert_eq!(ended(&session, &device), EndReason::SubjectChanged);
    assert_eq!(word(&client.state()), "SignedOut");
    assert_eq!(device.tenant.live_grants(), 0, "what came was revoked");
}

#[test]
fn tokens_that_do_not_pass_validation_are_not_released_and_end_nothing() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let rule = json!({"on": "token", "answer": {"tokens": {"id_token": {"signature": "flip"}}}});
    device.tenant.script(serde_json::from_value(rule).expect("a rule"));
    let error = device.run(session.access_token()).expect_err("not released");
    assert_eq!(error.kind(), &Kind::TokenRejected { check: TokenCheck::Signature });
    assert_eq!(word(&client.state()), BEN);
    device.rest(Duration::from_secs(60));
    device.token(&session).expect("the next refresh brings others");
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn tokens_that_were_rejected_are_not_used_by_the_next_process_either() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let rule = json!({"on": "token", "answer": {"tokens": {"id_token": {"signature": "flip"}}}});
    device.tenant.script(serde_json::from_value(rule).expect("a rule"));
    device.token(&session).expect_err("not released");
    let rejected = device.tenant.last_tokens()[0].clone();
    drop((session, client));
    device.dies();
    let session = device.restored(&device.start()).expect("signed in");
    assert_ne!(device.token(&session).expect("refreshed"), rejected);
    assert_eq!(device.count("token"), 1, "with the refresh token that came along");
}

/// A refresh whose answer is held back on the way, and what happens meanwhile. Gives what both came to, and the refresh token
/// that came late.
fn meanwhile<T>(device: &Device, session: &Session, deed: impl Future<Output = T>) -> (Error, T, String) {
    device.world.advance(EXPIRED);
    device.line.hold_next();
    let deed = async {
        device.until(|| device.line.holds()).await;
        let late = device.tenant.last_tokens()[1].clone();
        let done = deed.await;
        device.line.let_go();
        (done, late)
    };
    let (refreshed, (done, late)) = device.run(futures_util::future::join(session.access_token(), deed));
    (refreshed.expect_err("over"), done, late)
}

#[test]
fn a_late_answer_for_a_replaced_session_is_not_applied() {
    let device = Device::new();
    let client = device.start();
    let old = device.signs_in(&client, BEN);
    let sign_in = client.sign_in(ANA);
    let (error, new, late) = meanwhile(&device, &old, sign_in.password("correct horse battery"));
    let Ok(Step::SignedIn(new)) = new else { panic!("{new:?}") };
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::Replaced });
    assert!(revoked(&device).contains(&late));
    assert_eq!(device.tenant.live_grants(), 1);
    assert_eq!(word(&client.state()), ANA);
    let stored = device.store.content("session.");
    assert_eq!(stored.into_keys().collect::<Vec<_>>(), [format!("session.{}", new.id())]);
    assert_eq!(device.restored(&device.start()).expect("signed in").username(), ANA);
}

#[test]
fn a_late_answer_after_a_sign_out_is_revoked() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let (error, out, late) = meanwhile(&device, &session, session.sign_out());
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert_eq!(out.expect("signed out").device, DeviceSignOut::Deleted);
    assert!(revoked(&device).contains(&late));
    assert_eq!(device.tenant.live_grants(), 0);
    assert!(device.store.content("session.").is_empty());
    assert!(device.restored(&client).is_none());
}

#[test]
fn a_caller_that_goes_away_stops_no_refresh() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let mut call = Box::pin(session.access_token());
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    device.world.settle();
    assert_eq!(device.count("token"), 2);
    assert!(session.is_persisted());
    device.token(&session).expect("there already");
    assert_eq!(device.count("token"), 2);
}

#[test]
fn a_valid_token_is_served_while_the_server_is_down_and_refreshes_begin_again_when_it_is_back() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let token = device.token(&session).expect("fresh");
    device.tenant.script(Rule::on("token").times(0).answer(Answer::status(503)));
    device.world.advance(Duration::from_secs(3300));
    for _ in 0..4 {
        assert_eq!(device.token(&session).expect("valid"), token);
        device.rest(Duration::from_secs(60));
    }
    assert!(device.count("token") > 1, "it was tried meanwhile");
    device.tenant.clear_script();
    device.world.advance(EXPIRED);
    assert_ne!(device.token(&session).expect("refreshed"), token);
}

#[test]
fn a_sign_out_without_network_is_told_to_the_server_later() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.tenant.script(Rule::on("revoke").times(0).answer(Answer::fault(NetFault::Close)));
    let out = device.run(session.sign_out()).expect("signed out");
    assert_eq!(out.server, ServerSignOut::Pending);
    assert!(device.restored(&client).is_none());
    assert_eq!(device.tenant.live_grants(), 1);
    drop((session, client));
    device.dies();
    device.tenant.clear_script();
    device.world.advance(Duration::from_secs(3600));
    assert!(device.restored(&device.start()).is_none());
    assert_eq!(device.tenant.live_grants(), 0, "by the next process");
    assert!(device.store.content("owed.").is_empty());
}

#[test]
fn a_lost_answer_is_asked_for_again_at_once() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    device.tenant.script(Rule::on("token").answer(Answer::fault(NetFault::CloseAfterProcessing)));
    device.token(&session).expect("the server repeats it");
    assert_eq!(device.count("token"), 3);
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn a_lost_answer_is_not_asked_for_again_at_a_server_that_may_not_repeat_it() {
    let device = Device::new();
    let client = device.builder(&device.process()).profile(Profile::Oidc).build().expect("valid");
    let session = device.signs_in(&client, BEN);
    let token = device.token(&session).expect("fresh");
    device.world.advance(DUE);
    device.tenant.script(Rule::on("token").answer(Answer::fault(NetFault::CloseAfterProcessing)));
    for _ in 0..4 {
        assert_eq!(device.token(&session).expect("valid"), token);
        device.rest(Duration::from_secs(40));
    }
    assert_eq!(device.count("token"), 2, "a sign-in, and one refresh whose answer was lost");
    device.world.advance(EXPIRED - DUE);
    assert_eq!(ended(&session, &device), EndReason::RefreshInterrupted, "this server did not wait that long");
    assert_eq!(device.count("token"), 3);
}
