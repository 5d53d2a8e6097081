//! What the store does: it cannot be read, written, deleted from or listed, for a while or for ever.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use directauth::audit::{AuditEvent, AuditKind, AuditSink, SecurityEvent, SinkError};
use directauth::env::Clock;
use directauth::error::{EndReason, StoreProblem};
use directauth::{DeviceSignOut, Kind, Remedy, ServerSignOut, WhenStorageFails};
use directauth_emulator::{Answer, Rule};

use super::device::{ANA, BEN, Call, DUE, Device, EXPIRED, Fault, PROBLEMS, Trouble, unavailable, word};

/// What an app is told to do about a store that cannot be read.
fn remedy(problem: StoreProblem) -> Remedy {
    if problem.is_temporary() { Remedy::Unlock } else { Remedy::ContactSupport }
}

#[test]
fn a_read_error_is_never_nobody_and_changes_nothing() {
    for problem in PROBLEMS {
        let device = Device::new();
        let id = device.left_signed_in(BEN);
        let before = device.store.content("");
        device.store.fails(Fault::on(&[Call::Load], Trouble::Says(problem)).of("session."));
        device.store.forget_calls();

        let client = device.start();
        let error = device.run(client.restore()).expect_err("not None");
        assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: problem });
        assert_eq!(error.remedy(), remedy(problem), "{problem:?}");
        assert_eq!(word(&client.state()), format!("{problem:?}"));
        assert_eq!(unavailable(device.run(client.sessions())), problem);
        assert_eq!(unavailable(device.run(client.session(&id))), problem);
        assert_eq!(unavailable(device.run(client.set_default(&id))), problem);
        assert_eq!(unavailable(device.run(client.sign_out())), problem);
        assert_eq!(unavailable(device.run(client.sign_out_all())), problem);
        device.rest(Duration::from_secs(3600));
        assert_eq!(device.store.content(""), before, "{problem:?}");
        let writes = device.store.calls(Call::Store, "") + device.store.calls(Call::Delete, "");
        assert_eq!(writes, 0, "{problem:?}: nothing was even tried");
        assert!(device.tenant.journal().is_empty(), "{problem:?}: nothing was sent");

        device.store.heals();
        client.notify_foreground();
        device.world.settle();
        assert_eq!(word(&client.state()), BEN, "{problem:?}: it is all there");
        let session = device.restored(&client).expect("signed in");
        assert_eq!(session.id(), id);
        device.token(&session).expect("usable");
    }
}

#[test]
fn an_error_while_listing_is_never_no_account() {
    for problem in PROBLEMS {
        let device = Device::new();
        let id = device.left_signed_in(BEN);
        device.store.fails(Fault::on(&[Call::List], Trouble::Says(problem)));
        let client = device.start();
        assert_eq!(unavailable(device.run(client.restore())), problem);
        assert_eq!(word(&client.state()), format!("{problem:?}"));
        assert_eq!(unavailable(device.run(client.sessions())), problem);
        assert_eq!(unavailable(device.run(client.sign_out())), problem);
        assert_eq!(unavailable(device.run(client.sign_out_all())), problem);
        assert_eq!(unavailable(device.run(client.discard_unreadable())), problem);
        device.store.heals();
        assert_eq!(device.restored(&client).expect("signed in").id(), id);
    }
}

#[test]
fn a_live_session_is_served_while_its_record_cannot_be_read() {
    for problem in PROBLEMS {
        let device = Device::new();
        let client = device.start();
        let session = device.signs_in(&client, BEN);
        let before = device.store.content("session.");
        let first = device.token(&session).expect("fresh");
        device.store.fails(Fault::on(&[Call::Load], Trouble::Says(problem)).of("session."));
        device.world.advance(DUE);
        assert_eq!(device.token(&session).expect("still valid"), first);
        assert_eq!(device.restored(&client).expect("it lives here").id(), session.id(), "{problem:?}");
        device.world.advance(EXPIRED - DUE);
        assert_eq!(unavailable(device.token(&session)), problem);
        assert_eq!(device.count("token"), 1, "{problem:?}: the prompt, or the failure, comes before the send");
        assert_eq!(device.store.content("session."), before, "{problem:?}");
        assert_eq!(word(&client.state()), BEN);

        device.store.heals();
        device.rest(Duration::from_secs(6));
        assert_ne!(device.token(&session).expect("refreshed"), first);
        assert!(session.is_persisted());
    }
}

#[test]
fn a_write_error_after_a_sign_in_gives_a_session_in_memory_that_is_stored_later() {
    let device = Device::new();
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session."));
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    assert!(!session.is_persisted());
    assert_eq!(word(&client.state()), BEN);
    device.token(&session).expect("usable");
    device.world.advance(EXPIRED);
    device.token(&session).expect("and refreshed");
    assert!(!session.is_persisted());
    assert!(device.restored(&device.start()).is_none(), "another process cannot know it yet");

    device.store.heals();
    device.rest(Duration::from_secs(61));
    assert!(session.is_persisted());
    assert_eq!(device.restored(&device.start()).expect("stored").id(), session.id());
}

#[test]
fn a_store_that_cannot_be_written_refuses_the_sign_in_and_keeps_the_previous_session() {
    for problem in PROBLEMS {
        let device = Device::new();
        let client = device.start();
        let session = device.signs_in(&client, BEN);
        let before = device.store.content("session.");
        device.store.fails(Fault::on(&[Call::Store], Trouble::Says(problem)));
        assert_eq!(unavailable(device.try_sign_in(&client, ANA)), problem);
        assert_eq!(device.count("token"), 1, "{problem:?}: the password was not sent");
        assert_eq!(device.store.content("session."), before);
        assert_eq!(word(&client.state()), BEN);
        device.token(&session).expect("as before");
        assert_eq!(device.tenant.live_grants(), 1);
    }
}

#[test]
fn a_save_error_that_leaves_no_trace_in_the_store_keeps_the_previous_session() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let before = device.store.content("session.");
    for keys in ["session.", "ended."] {
        device.store.fails(Fault::on(&[Call::Store, Call::Delete], Trouble::Says(StoreProblem::Transient)).of(keys));
    }
    assert_eq!(unavailable(device.try_sign_in(&client, ANA)), StoreProblem::Transient);
    assert_eq!(device.tenant.live_grants(), 1, "the new tokens were given back");
    device.token(&session).expect("as before");
    assert_eq!(word(&client.state()), BEN);
    device.store.heals();
    device.rest(Duration::from_secs(120));
    assert_eq!(device.store.content("session."), before);
    assert_eq!(device.restored(&device.start()).expect("signed in").id(), session.id());
}

#[test]
fn a_sign_in_that_cannot_be_stored_yet_replaces_the_old_session_all_the_same() {
    let device = Device::new();
    let client = device.start();
    let old = device.signs_in(&client, BEN);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session."));
    let new = device.signs_in(&client, ANA);
    assert!(!new.is_persisted());
    let error = device.token(&old).expect_err("replaced");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::Replaced });
    assert!(device.restored(&device.start()).is_none(), "nor does it come back in another process");
    device.store.heals();
    device.rest(Duration::from_secs(61));
    assert!(new.is_persisted());
    assert_eq!(device.restored(&device.start()).expect("stored").id(), new.id());
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn a_refused_sign_in_touches_nothing() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let before = device.store.content("session.");
    let wrong = device.run(client.sign_in(ANA).password("a wrong password"));
    assert_eq!(wrong.expect_err("refused").kind(), &Kind::Rejected);
    assert_eq!(device.store.content("session."), before);
    assert_eq!(word(&client.state()), BEN);
    device.token(&session).expect("as before");
    assert_eq!(device.count("revoke"), 0);
}

#[test]
fn a_store_that_cannot_be_written_may_be_passed_over_if_the_app_says_so() {
    let device = Device::new();
    device.store.fails(Fault::all(StoreProblem::Locked));
    let careless = device.builder(&device.process()).when_storage_fails(WhenStorageFails::KeepInMemory);
    let session = device.signs_in(&careless.build().expect("valid"), BEN);
    assert!(!session.is_persisted());
    device.token(&session).expect("usable");
    device.store.heals();
    device.rest(Duration::from_secs(61));
    assert!(session.is_persisted());
    assert_eq!(device.restored(&device.start()).expect("stored").id(), session.id());
}

#[test]
fn a_write_error_after_a_refresh_loses_no_rotated_token() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let old = device.token(&session).expect("fresh");
    device.world.advance(EXPIRED);
    // The mark is written, what the refresh brought is not.
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session.").after(1));
    let new = device.token(&session).expect("handed out all the same");
    assert_ne!(new, old);
    assert!(!session.is_persisted());
    assert_eq!(word(&client.state()), BEN);

    device.store.heals();
    device.rest(Duration::from_secs(61));
    assert!(session.is_persisted(), "written again without anybody's doing");
    drop((session, client));
    device.dies();
    device.world.advance(EXPIRED);
    let client = device.start();
    let session = device.restored(&client).expect("signed in");
    device.token(&session).expect("the rotated token was there");
    assert_eq!(device.tenant.live_grants(), 1);
    assert_eq!(device.count("token"), 1, "nor was an old one sent again");
}

#[test]
fn a_rotated_token_is_stored_however_soon_its_access_token_expires() {
    let device = Device::new();
    device.tenant.settings(|settings| settings.access_token_lifetime = 5);
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(Duration::from_secs(60));
    device.run(session.refresh()).expect("brings a token that is due at once");
    let newest = device.tenant.last_tokens()[1].clone();
    assert!(session.is_persisted());
    drop((session, client));
    device.dies();
    // Longer than the server would forgive the one before.
    device.world.advance(Duration::from_secs(300));
    let client = device.start();
    let session = device.restored(&client).expect("signed in");
    device.token(&session).expect("refreshed");
    assert_eq!(device.tenant.journal().of("token")[0].param("refresh_token"), Some(newest.as_str()));
}

#[test]
fn a_mark_that_cannot_be_written_sends_nothing_and_the_valid_token_is_served_on() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let token = device.token(&session).expect("fresh");
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session."));
    device.world.advance(DUE);
    assert_eq!(device.token(&session).expect("still valid"), token);
    device.world.advance(EXPIRED - DUE);
    assert_eq!(unavailable(device.token(&session)), StoreProblem::Transient);
    assert_eq!(device.count("token"), 1);
    device.store.heals();
    device.rest(Duration::from_secs(6));
    device.token(&session).expect("refreshed");
}

#[test]
fn a_write_that_lies_is_noticed_and_done_again() {
    for trouble in [Trouble::Lies, Trouble::Tears] {
        let device = Device::new();
        device.store.fails(Fault::on(&[Call::Store], trouble).of("session.").times(1));
        let client = device.start();
        let session = device.signs_in(&client, BEN);
        assert!(!session.is_persisted(), "{trouble:?}");
        device.rest(Duration::from_secs(61));
        match trouble {
            Trouble::Lies => assert!(session.is_persisted()),
            // What is damaged is not written over; memory serves, and the app may discard it.
            _ => {
                assert!(!session.is_persisted());
                device.token(&session).expect("usable");
                assert_eq!(device.run(client.discard_unreadable()).expect("memory"), 1);
                assert!(session.is_persisted());
            }
        }
        assert_eq!(device.restored(&device.start()).expect("stored").id(), session.id());
    }
}

#[test]
fn a_write_that_fails_after_its_effect_counts_as_done() {
    let device = Device::new();
    device.store.fails(Fault::on(&[Call::Store], Trouble::SaysAfterAll(StoreProblem::Transient)));
    let session = device.signs_in(&device.start(), BEN);
    assert!(session.is_persisted());
}

#[test]
fn a_record_that_cannot_be_deleted_at_sign_out_is_ended_for_every_process() {
    let device = Device::new();
    let (client, other) = (device.start(), device.start());
    let session = device.signs_in(&client, BEN);
    device.store.fails(Fault::on(&[Call::Delete], Trouble::Says(StoreProblem::Transient)).of("session."));
    let out = device.run(session.sign_out()).expect("its end is noted");
    assert_eq!((out.server, out.device), (ServerSignOut::Revoked, DeviceSignOut::Tombstoned));
    assert_eq!(device.store.content("session.").len(), 1, "it is still there");
    assert_eq!(word(&client.state()), "SignedOut");
    assert!(device.restored(&client).is_none());
    assert!(device.restored(&other).is_none());
    assert_eq!(device.tenant.live_grants(), 0);
    device.store.heals();
    client.notify_foreground();
    device.world.settle();
    assert!(device.store.content("session.").is_empty(), "deleted when the store lets it be");
    assert!(device.store.content("owed.").is_empty());
}

#[test]
fn a_sign_out_that_the_store_refuses_wholly_is_an_error_and_can_be_repeated() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.store.fails(Fault::on(&[Call::Store, Call::Delete], Trouble::Says(StoreProblem::Transient)));
    assert_eq!(unavailable(device.run(session.sign_out())), StoreProblem::Transient);
    assert_eq!(device.tenant.live_grants(), 0, "revoked all the same");
    let error = device.token(&session).expect_err("over in this process");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    device.store.heals();
    let out = device.run(session.sign_out()).expect("now it works");
    assert_eq!(out.device, DeviceSignOut::Deleted);
    assert!(device.restored(&device.start()).is_none());
}

#[test]
fn a_session_that_cannot_be_read_can_be_signed_out() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.store.fails(Fault::on(&[Call::Load], Trouble::Says(StoreProblem::Locked)).of("session."));
    let out = device.run(session.sign_out()).expect("its end is noted");
    assert_eq!((out.server, out.device), (ServerSignOut::Revoked, DeviceSignOut::Tombstoned));
    device.store.heals();
    assert!(device.restored(&device.start()).is_none());
}

#[test]
fn before_the_first_unlock_nobody_is_signed_out_and_no_password_is_sent() {
    // Direct Boot looks the same.
    let device = Device::new();
    let id = device.left_signed_in(BEN);
    device.store.fails(Fault::all(StoreProblem::Locked));
    let client = device.start();
    let mut states = client.states();
    assert_eq!(word(&device.run(states.next())), "Restoring");
    assert_eq!(word(&device.run(states.next())), "Locked");
    let error = device.run(client.restore()).expect_err("not None");
    assert_eq!(error.remedy(), Remedy::Unlock);
    assert!(error.is_retryable());
    assert_eq!(unavailable(device.try_sign_in(&client, BEN)), StoreProblem::Locked);
    assert!(device.tenant.journal().is_empty());

    device.store.heals();
    client.notify_foreground();
    assert_eq!(word(&device.run(states.next())), BEN);
    assert_eq!(device.restored(&client).expect("signed in").id(), id);
}

#[test]
fn a_background_start_while_the_device_is_locked_refreshes_after_the_unlock() {
    let device = Device::new();
    device.left_signed_in(BEN);
    device.world.advance(EXPIRED);
    let until = device.world.boot().since_boot() + Duration::from_secs(600);
    device.store.fails(Fault::all(StoreProblem::Locked).until(until));
    let client = device.start();
    assert_eq!(unavailable(device.run(client.restore())), StoreProblem::Locked);
    device.world.advance(Duration::from_secs(600));
    let session = device.restored(&client).expect("signed in");
    device.token(&session).expect("refreshed");
    assert_eq!(device.count("token"), 1);
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
fn what_was_restored_from_another_device_is_left_alone_until_the_app_discards_it() {
    let device = Device::new();
    let id = device.left_signed_in(BEN);
    let key = format!("session.{id}");
    let before = device.store.content(&key);
    let foreign = Fault::on(&[Call::Load], Trouble::Says(StoreProblem::Foreign));
    device.store.fails(foreign.of(key.as_str()).until_deleted());
    let events = Events::default();
    let client = device.builder(&device.process()).audit_sink(events.clone()).build().expect("valid");
    assert_eq!(unavailable(device.run(client.restore())), StoreProblem::Foreign);
    assert!(device.tenant.journal().is_empty());

    let session = device.signs_in(&client, ANA);
    assert!(session.is_persisted(), "a new sign-in is always allowed");
    assert_eq!(device.store.content(&key), before, "and leaves it alone");
    let told = |event: &AuditEvent| event.kind == AuditKind::Security(SecurityEvent::NotReplaced);
    assert!(events.0.lock().expect("events").iter().any(told));
    assert_eq!(word(&client.state()), ANA);
    assert_eq!(device.restored(&device.start()).expect("it hides nobody").id(), session.id());
    assert_eq!(device.run(client.discard_unreadable()).expect("memory"), 1);
    assert!(device.store.content(&key).is_empty());
    device.token(&session).expect("untouched");
}

#[test]
fn a_reinstalled_app_finds_the_session_that_the_platform_kept() {
    let device = Device::new();
    let id = device.left_signed_in(BEN);
    device.world.advance(Duration::from_secs(24 * 3600));
    let client = device.start();
    assert_eq!(device.restored(&client).expect("signed in").id(), id);
    assert_eq!(word(&client.state()), BEN);
}

#[test]
fn a_changed_biometric_enrolment_costs_a_live_session_nothing_but_its_record() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let key = format!("session.{}", session.id());
    let destroyed = Fault::on(&[Call::Load, Call::Store], Trouble::Says(StoreProblem::KeyDestroyed));
    device.store.fails(destroyed.of(key.as_str()).until_deleted());
    device.token(&session).expect("valid");
    device.world.advance(EXPIRED);
    let error = device.run(session.access_token()).expect_err("no mark can be written");
    assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: StoreProblem::KeyDestroyed });
    assert_eq!(error.remedy(), Remedy::ContactSupport);
    assert_eq!(device.count("token"), 1);
    assert!(device.store.content(&key).contains_key(&key), "nothing was deleted");

    assert_eq!(device.run(client.discard_unreadable()).expect("memory"), 1);
    assert!(session.is_persisted(), "written anew from memory, with a new key");
    device.rest(Duration::from_secs(6));
    device.token(&session).expect("refreshed");
}

#[test]
fn a_removed_lock_screen_leads_to_the_sign_in_screen() {
    let device = Device::new();
    let key = format!("session.{}", device.left_signed_in(BEN));
    let destroyed = Fault::on(&[Call::Load, Call::Store], Trouble::Says(StoreProblem::KeyDestroyed));
    device.store.fails(destroyed.of(key.as_str()).until_deleted());
    let client = device.start();
    assert_eq!(unavailable(device.run(client.restore())), StoreProblem::KeyDestroyed);
    assert_eq!(word(&client.state()), "KeyDestroyed");
    let session = device.signs_in(&client, BEN);
    assert_eq!(word(&client.state()), BEN);
    assert_eq!(device.run(client.discard_unreadable()).expect("memory"), 1);
    let found = device.run(device.start().sessions()).expect("readable");
    assert_eq!(found.iter().map(|info| info.id.clone()).collect::<Vec<_>>(), [session.id()]);
}

#[test]
fn a_damaged_record_is_never_half_believed() {
    let device = Device::new();
    let key = format!("session.{}", device.left_signed_in(BEN));
    let whole = device.store.content(&key)[&key].clone();
    let torn = [0, 1, 8, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
    let flipped = [0, whole.len() / 3, whole.len() / 2, whole.len() - 1].map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    });
    for damaged in torn.into_iter().chain(flipped).chain([[whole.clone(), vec![0]].concat()]) {
        device.store.put(&key, &damaged);
        let client = device.start();
        assert_eq!(unavailable(device.run(client.restore())), StoreProblem::Corrupt, "{} bytes", damaged.len());
        assert_eq!(device.store.content(&key)[&key], damaged, "not written over, not deleted");
    }
    assert!(device.tenant.journal().is_empty());
    assert_eq!(device.run(device.start().discard_unreadable()).expect("memory"), 1);
    assert!(device.restored(&device.start()).is_none());
}

#[test]
fn what_may_come_back_is_not_discarded() {
    for problem in PROBLEMS {
        let device = Device::new();
        let id = device.left_signed_in(BEN);
        device.store.fails(Fault::on(&[Call::Load], Trouble::Says(problem)).of("session.").until_deleted());
        let is_lost = matches!(problem, StoreProblem::Foreign | StoreProblem::Corrupt | StoreProblem::KeyDestroyed);
        let discarded = device.run(device.start().discard_unreadable()).expect("listed");
        assert_eq!(discarded, usize::from(is_lost), "{problem:?}");
        device.store.heals();
        assert_eq!(device.restored(&device.start()).map(|session| session.id()), (!is_lost).then_some(id));
    }
}

#[test]
fn a_discard_that_fails_is_an_error_and_nothing_is_half_gone() {
    let device = Device::new();
    let key = format!("session.{}", device.left_signed_in(BEN));
    device.store.put(&key, b"rubbish");
    device.store.fails(Fault::on(&[Call::Delete], Trouble::Says(StoreProblem::Transient)));
    assert_eq!(unavailable(device.run(device.start().discard_unreadable())), StoreProblem::Transient);
    assert_eq!(device.store.content(&key)[&key], b"rubbish");
}

#[test]
fn a_key_that_is_corrupt_for_ever_keeps_nobody_from_signing_in_again() {
    let device = Device::new();
    let key = format!("session.{}", device.left_signed_in(BEN));
    let corrupt = Fault::on(&[Call::Load, Call::Store, Call::Delete], Trouble::Says(StoreProblem::Corrupt));
    device.store.fails(corrupt.of(key.as_str()));
    let client = device.start();
    assert_eq!(unavailable(device.run(client.restore())), StoreProblem::Corrupt);
    let session = device.signs_in(&client, BEN);
    assert!(session.is_persisted());
    device.world.advance(EXPIRED);
    device.token(&session).expect("refreshed");
    drop((session, client));
    device.dies();
    let client = device.start();
    let session = device.restored(&client).expect("signed in");
    device.world.advance(EXPIRED);
    device.token(&session).expect("refreshed");
}

#[test]
fn a_call_that_fails_once_is_not_taken_for_a_lost_key() {
    // A keystore that is busy, or whose call was interrupted.
    let device = Device::new();
    let id = device.left_signed_in(BEN);
    let before = device.store.content("session.");
    let client = device.start();
    let once = |call| Fault::on(&[call], Trouble::Says(StoreProblem::Transient)).times(1);
    device.store.fails(once(Call::Load).of("session."));
    assert_eq!(unavailable(device.run(client.restore())), StoreProblem::Transient);
    assert_eq!(device.store.content("session."), before);
    let session = device.restored(&client).expect("the next call works");
    assert_eq!(session.id(), id);

    device.world.advance(EXPIRED);
    device.store.fails(once(Call::Store).of("session."));
    assert_eq!(unavailable(device.token(&session)), StoreProblem::Transient);
    device.rest(Duration::from_secs(6));
    device.token(&session).expect("refreshed");
    assert!(session.is_persisted());
    device.store.fails(once(Call::Delete).of("session."));
    assert_eq!(device.run(session.sign_out()).expect("noted").device, DeviceSignOut::Tombstoned);
}

#[test]
fn a_call_that_hangs_is_given_up_and_a_prompt_has_its_own_time() {
    let limits = [
        (Duration::from_secs(10), Duration::from_secs(20), Err(10)),
        (Duration::from_secs(60), Duration::from_secs(20), Ok(20)),
        (Duration::from_secs(3600), Duration::from_secs(900), Err(300)),
    ];
    for (deadline, hangs, expected) in limits {
        let device = Device::new();
        let id = device.left_signed_in(BEN);
        device.store.says_deadline(deadline);
        device.store.fails(Fault::on(&[Call::Load], Trouble::Hangs(hangs)).of("session.").times(1));
        let client = device.start();
        let began = device.world.boot();
        let found = device.run(client.restore());
        let took = device.world.boot().since(began).as_secs();
        match expected {
            Ok(seconds) => {
                assert_eq!(found.expect("in time").expect("signed in").id(), id);
                assert_eq!(took, seconds);
            }
            Err(seconds) => {
                assert_eq!(unavailable(found), StoreProblem::Transient);
                assert_eq!(took, seconds);
                assert_eq!(device.restored(&client).expect("the next call is quick").id(), id);
            }
        }
    }
}

#[test]
fn a_write_that_hangs_holds_up_no_caller_for_longer_than_its_deadline() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let hangs = Trouble::Hangs(Duration::from_secs(30));
    device.store.fails(Fault::on(&[Call::Store], hangs).of("session.").after(1).times(1));
    let began = device.world.boot();
    device.token(&session).expect("handed out, stored or not");
    assert_eq!(device.world.boot().since(began).as_secs(), 10);
    assert!(!session.is_persisted());
    device.rest(Duration::from_secs(120));
    assert!(session.is_persisted());
}

#[test]
fn a_new_token_is_handed_out_only_when_it_is_stored() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let old = device.token(&session).expect("fresh");
    device.world.advance(DUE);
    let hangs = Trouble::Hangs(Duration::from_secs(8));
    device.store.fails(Fault::on(&[Call::Store], hangs).of("session.").after(1).times(1));
    assert_eq!(device.token(&session).expect("valid"), old, "it is refreshed meanwhile");
    device.rest(Duration::from_secs(1));
    assert_eq!(device.count("token"), 2, "the new one is there");
    assert_eq!(device.token(&session).expect("valid"), old, "and not stored");
    device.rest(Duration::from_secs(8));
    assert_ne!(device.token(&session).expect("fresh"), old);
    assert!(session.is_persisted());
}

#[test]
fn a_prompt_that_is_dismissed_comes_before_the_send() {
    for problem in [StoreProblem::UserCancelled, StoreProblem::NeedsUser] {
        let device = Device::new();
        device.left_signed_in(BEN);
        let client = device.start();
        let session = device.restored(&client).expect("signed in");
        device.world.advance(EXPIRED);
        device.store.fails(Fault::on(&[Call::Load, Call::Store], Trouble::Says(problem)).of("session."));
        let error = device.run(session.access_token()).expect_err("dismissed");
        assert_eq!(error.kind(), &Kind::StorageUnavailable { reason: problem });
        assert_eq!(error.remedy(), Remedy::Unlock);
        assert!(device.tenant.journal().of("token").is_empty());
        device.store.heals();
        device.rest(Duration::from_secs(6));
        device.token(&session).expect("the next prompt was answered");
    }
}

#[test]
fn a_refused_refresh_token_ends_nothing_while_the_store_cannot_be_read() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let body = serde_json::json!({"error": "invalid_grant"});
    device.tenant.script(Rule::on("token").answer(Answer::json(400, body)));
    // The three reads before the send work: the first look, the one before the mark is written, and the mark read back.
    device.store.fails(Fault::on(&[Call::Load], Trouble::Says(StoreProblem::Locked)).of("session.").after(3));
    assert_eq!(unavailable(device.token(&session)), StoreProblem::Locked);
    assert_eq!(device.count("token"), 2, "it was sent, and refused");
    assert_eq!(word(&client.state()), BEN);
    device.store.heals();
    device.rest(Duration::from_secs(6));
    device.token(&session).expect("the server takes it");
}

#[test]
fn a_store_that_somebody_cleared_ends_the_session_and_is_not_written_again() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.store.clear();
    device.world.advance(EXPIRED);
    let error = device.run(session.access_token()).expect_err("over");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert_eq!(word(&client.state()), "SignedOut");
    device.rest(Duration::from_secs(120));
    assert!(device.store.content("session.").is_empty());
    assert_eq!(device.count("token"), 1, "nothing was sent");
}

#[test]
fn the_foreground_writes_at_once_what_a_locked_store_had_refused() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Locked)).of("session.").after(1));
    device.token(&session).expect("from memory");
    device.rest(Duration::from_secs(4));
    device.store.heals();
    client.notify_foreground();
    device.world.settle();
    assert!(session.is_persisted(), "unlocked, and the app is there");
}
