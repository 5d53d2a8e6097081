//! Two things at once: what one of them knows or holds never undoes, ends or holds up the other.

use std::time::Duration;

use directauth::env::Clock;
use directauth::error::{StoreProblem, TokenCheck};
use directauth::{Accounts, Kind, RefreshPolicy, ServerSignOut};
use directauth_emulator::{Answer, Fault as NetFault, Rule};
use futures_util::future::{join, join_all};

use super::device::{ANA, BEN, Call, DUE, Device, EXPIRED, Fault, Trouble, many, unavailable, word};

/// Whether the store has the newest refresh token.
fn has_newest(device: &Device) -> bool {
    let [_, refresh, _] = device.tenant.last_tokens();
    let records = device.store.content("session.");
    records.values().any(|blob| blob.windows(refresh.len()).any(|window| window == refresh.as_bytes()))
}

// --- a refresh

#[test]
fn a_rotated_token_is_stored_before_anything_is_fetched_to_validate_it() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(DUE);
    device.tenant.rotate_keys();
    device.tenant.clear_journal();
    let before = device.tenant.last_tokens();
    let asks = || device.tenant.last_tokens() != before && device.count("keys") > 0;
    assert!(device.world.try_run(session.refresh(), asks).is_none(), "the keys came before they were asked for");
    assert!(has_newest(&device), "a process that dies now has lost its session");
    drop((session, client));
    device.world.kill();
    device.world.advance(EXPIRED);
    let session = device.restored(&device.start()).expect("signed in");
    device.token(&session).expect("refreshed");
}

#[test]
fn an_answer_that_needs_other_keys_is_released_by_the_same_call() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(DUE);
    device.tenant.rotate_keys();
    device.run(session.refresh()).expect("with the new key");
    assert_eq!(device.token(&session).expect("fresh"), device.tenant.last_tokens()[0]);
    assert!(session.is_persisted());
    assert_eq!(device.count("token"), 2);
}

#[test]
fn an_answer_that_needs_keys_which_cannot_be_fetched_is_held_back() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(DUE);
    device.tenant.rotate_keys();
    device.tenant.script(Rule::on("keys").times(0).answer(Answer::fault(NetFault::Close)));
    let error = device.run(session.refresh()).expect_err("not validated");
    assert_eq!(error.kind(), &Kind::TokenRejected { check: TokenCheck::KeysUnreachable });
    assert!(has_newest(&device));
    device.tenant.clear_script();
    device.rest(Duration::from_secs(70));
    assert_eq!(device.token(&session).expect("validated since"), device.tenant.last_tokens()[0]);
    assert_eq!(device.count("token"), 2);
}

#[test]
fn a_choice_of_the_default_beside_a_refresh_stays() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    device.world.advance(Duration::from_secs(10));
    let ana = device.signs_in(&client, ANA);
    device.world.advance(EXPIRED);
    device.line.hold_next();
    let choose = async {
        device.until(|| device.line.holds()).await;
        let chosen = client.set_default(&ben.id()).await;
        device.line.let_go();
        chosen
    };
    let (token, chosen) = device.run(join(ben.access_token(), choose));
    token.expect("refreshed");
    assert_eq!(chosen.expect("chosen").id(), ben.id());
    assert_eq!(device.restored(&many(&device)).expect("somebody").id(), ben.id(), "for every process");
    assert_eq!(device.restored(&client).expect("somebody").id(), ben.id());
    drop(ana);
}

#[test]
fn an_interrupted_refresh_of_any_account_is_taken_up_again() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    let id = ben.id();
    device.world.advance(Duration::from_secs(10));
    let ana = device.signs_in(&client, ANA);
    device.world.advance(EXPIRED);
    let before = device.tenant.last_tokens();
    let rotated = || device.tenant.last_tokens() != before;
    assert!(device.world.try_run(ben.access_token(), rotated).is_none(), "the answer was read");
    drop((ben, ana, client));
    device.world.kill();
    device.world.advance(Duration::from_secs(10));
    let client = many(&device);
    assert_eq!(device.restored(&client).expect("somebody").username(), ANA, "the default is another");
    device.world.advance(EXPIRED);
    let ben = device.run(client.session(&id)).expect("readable").expect("there");
    device.token(&ben).expect("the server repeated its answer in time");
}

#[test]
fn more_callers_than_a_store_takes_calls_are_all_served() {
    let device = Device::new();
    let client = device.builder(&device.process()).shared_store(true).build().expect("valid");
    let session = device.signs_in(&client, BEN);
    device.store.forget_calls();
    let answers = device.run(join_all((0..100).map(|_| session.access_token())));
    for answer in answers {
        answer.expect("valid, and the store works");
    }
    assert!(device.store.calls(Call::Load, "session.") <= 2, "one look is enough for who came before it began");
    device.world.advance(EXPIRED);
    for answer in device.run(join_all((0..100).map(|_| session.access_token()))) {
        answer.expect("refreshed");
    }
    assert_eq!(device.count("token"), 2, "by one request");
}

// --- who is signed in

#[test]
fn a_sign_in_that_may_be_stored_does_not_fail_and_come_back_later() {
    let device = Device::new();
    let client = device.start();
    device.signs_in(&client, BEN);
    device.world.advance(Duration::from_secs(60));
    // The record is written, and nobody hears of it; nor can the old session be ended.
    let locked = Trouble::Says(StoreProblem::Locked);
    device.store.fails(Fault::on(&[Call::Store], Trouble::SaysAfterAll(StoreProblem::Locked)).of("session."));
    device.store.fails(Fault::on(&[Call::Load], locked).of("session.").after(3));
    device.store.fails(Fault::on(&[Call::Load], locked).of("ended.").after(1));
    device.store.fails(Fault::on(&[Call::Store], locked).of("ended."));
    device.store.fails(Fault::on(&[Call::Delete], locked).of("session."));
    let ana = device.try_sign_in(&client, ANA);
    device.store.heals();
    device.rest(Duration::from_secs(3600));
    let next = device.start();
    let found = device.restored(&next).expect("somebody");
    match ana {
        Ok(ana) => assert_eq!(found.id(), ana.id(), "it stands"),
        Err(_) => assert_eq!(found.username(), BEN, "the old one goes on"),
    }
    device.token(&found).expect("usable");
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn an_older_look_does_not_undo_a_newer_state() {
    let device = Device::new();
    let client = device.start();
    let locked = Trouble::SaysLate(Duration::from_secs(5), StoreProblem::Locked);
    device.store.fails(Fault::on(&[Call::List], locked).times(1));
    let sign_in = async {
        device.world.sleep(Duration::from_millis(1)).await;
        client.sign_in(BEN).password("tr0ub4dor&3").await
    };
    let (found, step) = device.run(join(client.restore(), sign_in));
    assert_eq!(unavailable(found), StoreProblem::Locked, "it has looked before anybody was signed in");
    step.expect("signed in");
    assert_eq!(word(&client.state()), BEN);
}

#[test]
fn a_sign_in_by_another_client_of_the_process_is_published() {
    let device = Device::new();
    let process = device.process();
    let client = || device.builder(&process).build().expect("valid");
    let (one, other) = (client(), client());
    let mut states = one.states();
    device.rest(Duration::ZERO);
    assert_eq!(word(&device.run(states.next())), "SignedOut");
    let session = device.signs_in(&other, BEN);
    assert_eq!(word(&device.run(states.next())), BEN);
    device.run(session.sign_out()).expect("signed out");
    assert_eq!(word(&device.run(states.next())), "SignedOut");
}

#[test]
fn a_state_that_may_become_known_by_itself_does() {
    let device = Device::new();
    device.left_signed_in(BEN);
    for (problem, becomes) in [
        (StoreProblem::Transient, BEN),
        (StoreProblem::Locked, BEN),
        (StoreProblem::NeedsUser, "NeedsUser"),
        (StoreProblem::KeyMissing, "KeyMissing"),
    ] {
        device.store.fails(Fault::on(&[Call::List], Trouble::Says(problem)));
        let client = device.start();
        client.state();
        device.rest(Duration::from_secs(300));
        assert_eq!(word(&client.state()), format!("{problem:?}"));
        device.store.heals();
        device.rest(Duration::from_secs(61));
        assert_eq!(word(&client.state()), becomes, "{problem:?}");
    }
}

#[test]
fn a_default_that_another_process_chose_is_the_default_here() {
    let device = Device::new();
    let (here, there) = (many(&device), many(&device));
    let ben = device.signs_in(&here, BEN);
    device.world.advance(Duration::from_secs(10));
    let ana = device.signs_in(&here, ANA);
    device.run(there.set_default(&ben.id())).expect("chosen");
    assert_eq!(device.restored(&here).expect("somebody").id(), ben.id());
    assert_eq!(device.run(here.sessions()).expect("readable")[0].id, ben.id());
    drop(ana);
}

#[test]
fn who_signs_out_of_a_session_that_another_has_replaced_does_not_hide_the_other() {
    let device = Device::new();
    let (here, there) = (device.start(), device.start());
    let ben = device.signs_in(&here, BEN);
    device.world.advance(Duration::from_secs(10));
    let ana = device.signs_in(&there, ANA);
    let _ = device.run(ben.sign_out());
    assert_eq!(word(&here.state()), ANA, "she is signed in");
    device.token(&ana).expect("and stays so");
}

#[test]
fn what_another_client_of_the_process_has_in_memory_is_not_lost_by_a_discard() {
    let device = Device::new();
    let process = device.process();
    let (one, other) =
        (device.builder(&process).build().expect("valid"), device.builder(&process).build().expect("valid"));
    let session = device.signs_in(&one, BEN);
    let key = format!("session.{}", session.id());
    device.store.put(&key, b"damaged");
    assert_eq!(device.run(other.discard_unreadable()).expect("discarded"), 1);
    device.token(&session).expect("alive");
    device.world.advance(EXPIRED);
    device.token(&session).expect("alive");
    assert_eq!(device.restored(&device.start()).expect("written anew").id(), session.id());
}

#[test]
fn a_process_that_may_not_refresh_chooses_no_default() {
    let device = Device::new();
    let app = many(&device);
    let ben = device.signs_in(&app, BEN);
    device.world.advance(Duration::from_secs(10));
    device.signs_in(&app, ANA);
    let widget = device.builder(&device.process()).accounts(Accounts::Many).refresh_policy(RefreshPolicy::Never);
    let widget = widget.build().expect("valid");
    let before = device.store.content("session.");
    device.run(widget.set_default(&ben.id())).expect_err("it would write the set of another process");
    assert_eq!(device.store.content("session."), before);
}

// --- imports

#[test]
fn a_token_that_is_imported_twice_at_once_is_sent_once() {
    let device = Device::new();
    let elsewhere = {
        let client = device.start();
        device.signs_in(&client, BEN);
        let [_, refresh, _] = device.tenant.last_tokens();
        device.store.clear();
        device.world.kill();
        refresh
    };
    device.tenant.clear_journal();
    let process = device.process();
    let (one, other) =
        (device.builder(&process).build().expect("valid"), device.builder(&process).build().expect("valid"));
    let both = join(one.import_session(elsewhere.as_str()), other.import_session(elsewhere.as_str()));
    let (first, second) = device.run(both);
    assert_eq!(first.expect("taken over").id(), second.expect("the same one").id());
    assert_eq!(device.count("token"), 1);
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn a_token_that_was_imported_and_could_not_be_stored_is_not_sent_again_by_another_client() {
    let device = Device::new();
    let elsewhere = {
        let client = device.start();
        device.signs_in(&client, BEN);
        let [_, refresh, _] = device.tenant.last_tokens();
        device.store.clear();
        device.world.kill();
        refresh
    };
    device.tenant.clear_journal();
    let process = device.process();
    let client = || device.builder(&process).build().expect("valid");
    let (one, other) = (client(), client());
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session."));
    let first = device.run(one.import_session(elsewhere.as_str())).expect("taken over");
    assert!(!first.is_persisted());
    let second = device.run(other.import_session(elsewhere.as_str())).expect("the same one");
    assert_eq!(first.id(), second.id());
    assert_eq!(device.count("token"), 1);
}

// --- the queue

#[test]
fn a_store_error_does_not_stop_the_queue() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.tenant.script(Rule::on("revoke").times(0).answer(Answer::status(503)));
    assert_eq!(device.run(session.sign_out()).expect("signed out").server, ServerSignOut::Pending);
    device.store.fails(Fault::all(StoreProblem::Locked).times(3));
    device.rest(Duration::from_secs(40));
    device.store.heals();
    device.tenant.clear_script();
    device.rest(Duration::from_secs(2 * 3600));
    assert_eq!(device.tenant.live_grants(), 0);
}

#[test]
fn a_revocation_that_waits_long_does_not_keep_another_from_its_turn() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    let ana = device.signs_in(&client, ANA);
    let busy = Answer::status(503).header("retry-after", "3000");
    device.tenant.script(Rule::on("revoke").times(0).answer(busy));
    device.run(ben.sign_out()).expect("signed out");
    device.rest(Duration::from_secs(40));
    device.tenant.clear_script();
    device.tenant.script(Rule::on("revoke").answer(Answer::status(503)));
    device.run(ana.sign_out()).expect("signed out");
    device.rest(Duration::from_secs(60));
    assert_eq!(device.tenant.live_grants(), 1, "hers is revoked, his waits as the server asked");
}

#[test]
fn two_stores_do_not_wait_for_each_other() {
    let device = Device::new();
    let process = device.process();
    let one = device.builder(&process).build().expect("valid");
    let ben = device.signs_in(&one, BEN);
    let second = super::device::Flaky::new(&device.world);
    let other = device.builder(&process).store(second).build().expect("valid");
    let ana = device.signs_in(&other, ANA);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Hangs(Duration::from_secs(60))).of("ended."));
    let (_, (took, out)) = device.run(join(ben.sign_out(), async {
        let began = device.world.boot().since_boot();
        device.world.sleep(Duration::from_secs(1)).await;
        let out = ana.sign_out().await;
        ((device.world.boot().since_boot() - began).as_secs(), out)
    }));
    out.expect("its store works");
    assert!(took <= 2, "{took} s");
}
