//! The lock between processes: what is waited for, what a lock that is lost or hangs costs, and what nobody sends twice under it.
//! docs/sessions.md §8.

use std::sync::Arc;
use std::time::Duration;

use directauth::env::{BoxFuture, Clock, CrossProcessLock, LockProblem};
use directauth::error::StoreProblem;
use directauth::{Accounts, Client, Kind, ServerSignOut, Session};
use directauth_emulator::{Answer, Fault as NetFault, Rule};
use futures_util::future::{join, join_all};

use super::device::{ANA, BEN, Call, DUE, Device, EXPIRED, Fault, Trouble, many, unavailable, word};

/// A lock that another process has.
#[derive(Clone)]
struct Taken(Arc<Device>);

impl CrossProcessLock for Taken {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        Box::pin(async move {
            self.0.world.sleep(timeout).await;
            Err(LockProblem::TimedOut)
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn still_held(&self) -> bool {
        false
    }
}

/// A client whose lock is taken, with somebody signed in by another process.
fn behind_a_lock(device: &Arc<Device>) -> (Client, Session) {
    device.left_signed_in(BEN);
    let locked = device.builder(&device.process()).cross_process_lock(Taken(Arc::clone(device)));
    let client = locked.build().expect("valid");
    let session = device.restored(&client).expect("signed in");
    (client, session)
}

fn seconds<T>(device: &Device, work: impl Future<Output = T>) -> (u64, T) {
    let began = device.world.boot().since_boot();
    let result = device.run(work);
    ((device.world.boot().since_boot() - began).as_secs(), result)
}

#[test]
fn a_sign_out_does_not_wait_for_another_process() {
    let device = Arc::new(Device::new());
    let (_client, session) = behind_a_lock(&device);
    device.world.advance(DUE);
    // A refresh waits for the lock in the background.
    device.token(&session).expect("still good");
    let (took, out) = seconds(&device, session.sign_out());
    assert_eq!(out.expect("signed out").server, ServerSignOut::Revoked);
    assert_eq!(took, 0, "s");
}

#[test]
fn waits_for_the_lock_do_not_add_up() {
    let device = Arc::new(Device::new());
    let earlier = many(&device);
    let ids = [device.signs_in(&earlier, BEN).id(), device.signs_in(&earlier, ANA).id()];
    drop(earlier);
    device.dies();
    let locked = device.builder(&device.process()).accounts(Accounts::Many);
    let client = locked.cross_process_lock(Taken(Arc::clone(&device))).build().expect("valid");
    let sessions = ids.map(|id| device.run(client.session(&id)).expect("readable").expect("there"));
    device.world.advance(EXPIRED);
    let (took, tokens) = seconds(&device, join_all(sessions.iter().map(Session::access_token)));
    for token in tokens {
        assert_eq!(unavailable(token), StoreProblem::Transient);
    }
    assert!(took <= 50, "{took} s");
}

/// A lock whose release never ends.
#[derive(Clone, Default)]
struct Stuck(Counting);

impl CrossProcessLock for Stuck {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        self.0.acquire(timeout)
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn still_held(&self) -> bool {
        self.0.still_held()
    }
}

#[test]
fn a_release_that_hangs_holds_up_nobody_without_end() {
    let device = Device::new();
    let client = device.builder(&device.process()).cross_process_lock(Stuck::default()).build().expect("valid");
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let (took, token) = seconds(&device, session.access_token());
    assert_eq!(unavailable(token), StoreProblem::Transient);
    assert!(took <= 50, "{took} s");
    let (took, out) = seconds(&device, session.sign_out());
    out.expect("signed out");
    assert!(took <= 50, "{took} s");
}

/// A lock whose attempts end when they are told to, and without it; it counts what is given back.
#[derive(Clone, Default)]
struct Late(Arc<std::sync::Mutex<(Vec<futures_channel::oneshot::Sender<()>>, usize)>>);

impl CrossProcessLock for Late {
    fn acquire(&self, _: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        let (end, ended) = futures_channel::oneshot::channel();
        self.0.lock().expect("whole").0.push(end);
        Box::pin(async move {
            let _ = ended.await;
            Err(LockProblem::TimedOut)
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        self.0.lock().expect("whole").1 += 1;
        Box::pin(async {})
    }

    fn still_held(&self) -> bool {
        false
    }
}

#[test]
fn an_attempt_that_fails_late_gives_nothing_back() {
    let device = Device::new();
    let lock = Late::default();
    let client = device.builder(&device.process()).cross_process_lock(lock.clone()).build().expect("valid");
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    let (_, token) = seconds(&device, session.access_token());
    assert_eq!(unavailable(token), StoreProblem::Transient);
    let ends = std::mem::take(&mut lock.0.lock().expect("whole").0);
    assert!(!ends.is_empty());
    for end in ends {
        let _ = end.send(());
    }
    // Another attempt of this process, or another process, may have it by now.
    let (_, token) = seconds(&device, session.access_token());
    assert_eq!(unavailable(token), StoreProblem::Transient);
    assert_eq!(lock.0.lock().expect("whole").1, 0);
}

#[test]
fn the_lock_is_not_held_while_the_server_s_documents_are_fetched() {
    let device = Device::new();
    device.left_signed_in(BEN);
    for key in device.store.content("public.").keys() {
        device.store.put(key, b"damaged");
    }
    device.world.advance(EXPIRED);
    let lock = Counting::default();
    let client = device.builder(&device.process()).cross_process_lock(lock.clone()).build().expect("valid");
    let session = device.restored(&client).expect("signed in");
    device.tenant.script(Rule::on("metadata").times(0).answer(Answer::status(503)));
    device.token(&session).expect_err("no metadata");
    assert_eq!(lock.taken(), 0);
}

/// A lock that counts how often it is taken.
#[derive(Clone, Default)]
struct Counting(Arc<std::sync::Mutex<(usize, bool)>>);

impl Counting {
    fn taken(&self) -> usize {
        self.0.lock().expect("whole").0
    }
}

impl CrossProcessLock for Counting {
    fn acquire(&self, _timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        let mut state = self.0.lock().expect("whole");
        *state = (state.0 + 1, true);
        Box::pin(std::future::ready(Ok(())))
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        self.0.lock().expect("whole").1 = false;
        Box::pin(std::future::ready(()))
    }

    fn still_held(&self) -> bool {
        self.0.lock().expect("whole").1
    }
}

/// A lock that can be lost, as one process has it.
#[derive(Clone)]
struct Lease {
    device: Arc<Device>,
    holder: Arc<std::sync::Mutex<Option<u8>>>,
    process: u8,
}

impl Lease {
    fn client(device: &Arc<Device>, holder: &Arc<std::sync::Mutex<Option<u8>>>, process: u8) -> Client {
        let lease = Self { device: Arc::clone(device), holder: Arc::clone(holder), process };
        let builder = device.builder(&device.process()).accounts(Accounts::Many);
        builder.cross_process_lock(lease).build().expect("valid")
    }
}

impl CrossProcessLock for Lease {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        Box::pin(async move {
            for _ in 0..timeout.as_secs().max(1) {
                {
                    let mut holder = self.holder.lock().expect("whole");
                    if holder.is_none_or(|holder| holder == self.process) {
                        *holder = Some(self.process);
                        return Ok(());
                    }
                }
                self.device.world.sleep(Duration::from_secs(1)).await;
            }
            Err(LockProblem::TimedOut)
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        let mut holder = self.holder.lock().expect("whole");
        *holder = holder.filter(|holder| *holder != self.process);
        Box::pin(std::future::ready(()))
    }

    fn still_held(&self) -> bool {
        *self.holder.lock().expect("whole") == Some(self.process)
    }
}

#[test]
fn who_loses_the_lock_to_another_s_first_send_does_not_send_as_if_it_were_the_first() {
    let device = Arc::new(Device::new());
    device.left_signed_in(BEN);
    let holder = Arc::default();
    let (one, other) = (Lease::client(&device, &holder, 1), Lease::client(&device, &holder, 2));
    let first = device.restored(&one).expect("signed in");
    let second = device.restored(&other).expect("signed in");
    device.world.advance(EXPIRED);
    // The last look before the mark is written.
    device
        .store
        .fails(Fault::on(&[Call::Load], Trouble::Hangs(Duration::from_secs(8))).of("session.").after(2).times(1));
    let lost = NetFault::CloseAfterProcessing;
    device.tenant.script(Rule::on("token").times(0).answer(Answer::fault(lost)));
    let meanwhile = async {
        device.world.sleep(Duration::from_secs(2)).await;
        *holder.lock().expect("whole") = None;
        second.access_token().await.expect_err("both answers are lost")
    };
    let (token, _) = device.run(join(first.access_token(), meanwhile));
    token.expect_err("the other one has sent it");
    assert_eq!(device.count("token"), 2, "first and once more");
    device.tenant.clear_script();
}

#[test]
fn who_sends_nothing_does_not_take_another_s_mark_away() {
    let device = Arc::new(Device::new());
    device.left_signed_in(BEN);
    let holder = Arc::default();
    let (one, other) = (Lease::client(&device, &holder, 1), Lease::client(&device, &holder, 2));
    let first = device.restored(&one).expect("signed in");
    let second = device.restored(&other).expect("signed in");
    device.world.advance(DUE);
    let load = |trouble| Fault::on(&[Call::Load], trouble).of("session.").times(1);
    // The last look before its mark is written; then, after the other one's three looks and one more of its own, the look
    // that tells whether it was written.
    device.store.fails(load(Trouble::Hangs(Duration::from_secs(8))).after(2));
    device.store.fails(load(Trouble::Says(StoreProblem::Transient)).after(5));
    device.tenant.script(Rule::on("token").times(0).answer(Answer::fault(NetFault::CloseAfterProcessing)));
    let meanwhile = async {
        device.world.sleep(Duration::from_secs(2)).await;
        *holder.lock().expect("whole") = None;
        second.refresh().await.expect_err("both answers are lost")
    };
    let (refreshed, _) = device.run(join(first.refresh(), meanwhile));
    assert_eq!(unavailable(refreshed), StoreProblem::Transient, "it could not be noted");
    assert_eq!(device.count("token"), 2);
    device.tenant.clear_script();
    device.store.heals();
    device.rest(Duration::from_secs(60));
    let error = device.run(first.refresh()).expect_err("too late to be sent again, and the access token is good");
    assert!(matches!(error.kind(), Kind::Network { maybe_sent: true, .. }), "{error:?}");
    assert_eq!(device.count("token"), 2, "a spent token is not sent as if it were new");
}

#[test]
fn a_mark_that_nothing_was_sent_under_does_not_stay() {
    let device = Arc::new(Device::new());
    device.left_signed_in(BEN);
    let holder = Arc::default();
    let (one, other) = (Lease::client(&device, &holder, 1), Lease::client(&device, &holder, 2));
    let first = device.restored(&one).expect("signed in");
    let second = device.restored(&other).expect("signed in");
    device.world.advance(DUE);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Hangs(Duration::from_secs(8))).of("session.").times(1));
    let meanwhile = async {
        device.world.sleep(Duration::from_secs(2)).await;
        *holder.lock().expect("whole") = None;
    };
    let (refreshed, ()) = device.run(join(first.refresh(), meanwhile));
    refreshed.expect_err("the lock is lost");
    assert_eq!(device.count("token"), 0);
    device.rest(Duration::from_secs(60));
    device.run(second.refresh()).expect("nothing was ever sent");
}

#[test]
fn a_look_that_found_nothing_does_not_end_what_was_stored_meanwhile() {
    let device = Device::new();
    let client = device.builder(&device.process()).shared_store(true).build().expect("valid");
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session.").times(1));
    let session = device.signs_in(&client, BEN);
    assert!(!session.is_persisted());
    // The look sees no record, then waits; the record is written a second later.
    device.store.fails(Fault::on(&[Call::Load], Trouble::Hangs(Duration::from_secs(8))).of("ended.").times(1));
    device.token(&session).expect("it lives");
    assert!(session.is_persisted());
    device.token(&session).expect("it lives");
    assert_eq!(word(&client.state()), BEN);
}

#[test]
fn a_record_that_is_certainly_there_gets_its_mark() {
    let device = Device::new();
    let client = device.start();
    // It is written and read back, but whether it has a tombstone cannot be read.
    let fails = Fault::on(&[Call::Load], Trouble::Says(StoreProblem::Transient)).of("ended.");
    device.store.fails(fails.after(1).times(1));
    let session = device.signs_in(&client, BEN);
    assert_eq!(device.store.content("session.").len(), 1);
    let before = device.tenant.last_tokens();
    let rotated = || device.tenant.last_tokens() != before;
    assert!(device.world.try_run(session.refresh(), rotated).is_none(), "the answer was read");
    drop((session, client));
    device.world.kill();
    device.world.advance(Duration::from_secs(10));
    let client = device.start();
    let session = device.restored(&client).expect("signed in");
    device.world.advance(EXPIRED);
    device.token(&session).expect("the server repeated its answer in time");
}

#[test]
fn an_import_that_loses_the_lock_does_not_send_the_token_again() {
    let device = Arc::new(Device::new());
    device.left_signed_in(BEN);
    let [_, elsewhere, _] = device.tenant.last_tokens();
    device.store.clear();
    let holder: Arc<std::sync::Mutex<Option<u8>>> = Arc::default();
    let client = Lease::client(&device, &holder, 1);
    device.tenant.script(Rule::on("token").answer(Answer::fault(NetFault::CloseAfterProcessing)));
    device.line.hold_next();
    let meanwhile = async {
        device.until(|| device.line.holds()).await;
        *holder.lock().expect("whole") = None;
        device.line.let_go();
    };
    let (imported, ()) = device.run(join(client.import_session(elsewhere.as_str()), meanwhile));
    let error = imported.expect_err("no answer");
    assert!(matches!(error.kind(), Kind::Network { maybe_sent: true, .. }), "{error:?}");
    assert_eq!(device.count("token"), 1, "another process may have sent it since");
}

#[test]
fn a_choice_of_one_who_signs_out_meanwhile_is_not_shown() {
    let device = Device::new();
    let client = many(&device);
    let ben = device.signs_in(&client, BEN);
    device.world.advance(Duration::from_secs(10));
    device.signs_in(&client, ANA);
    let hangs = Fault::on(&[Call::Load], Trouble::Hangs(Duration::from_secs(20)));
    // The look for his tombstone after his record was written.
    device.store.fails(hangs.of(format!("ended.{}", ben.id())).after(1).times(1));
    let leave = async {
        device.world.sleep(Duration::from_secs(1)).await;
        ben.sign_out().await
    };
    let id = ben.id();
    let (chosen, out) = device.run(join(client.set_default(&id), leave));
    out.expect("signed out");
    let error = chosen.expect_err("he is gone");
    assert!(matches!(error.kind(), Kind::SessionEnded { .. }), "{error:?}");
    device.rest(Duration::from_secs(60));
    assert_eq!(word(&client.state()), ANA);
    assert_eq!(device.restored(&client).expect("she is there").username(), ANA);
}

#[test]
fn a_choice_that_is_not_stored_yet_outlives_what_another_process_writes() {
    for deed in ["a refresh", "a mark"] {
        let device = Arc::new(Device::new());
        let earlier = many(&device);
        let ben = device.signs_in(&earlier, BEN).id();
        device.world.advance(Duration::from_secs(10));
        device.signs_in(&earlier, ANA);
        drop(earlier);
        device.dies();
        let holder = Arc::default();
        let (one, other) = (Lease::client(&device, &holder, 1), Lease::client(&device, &holder, 2));
        let theirs = device.run(other.session(&ben)).expect("readable").expect("there");
        let _ours = device.run(one.session(&ben)).expect("readable").expect("there");
        device.world.advance(EXPIRED);
        let until = device.world.boot().since_boot() + Duration::from_secs(1);
        let record = format!("session.{ben}");
        device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Locked)).of(record).until(until));
        assert_eq!(unavailable(device.run(one.set_default(&ben))), StoreProblem::Locked);
        device.store.heals();
        if deed == "a mark" {
            device.tenant.script(Rule::on("token").times(0).answer(Answer::fault(NetFault::Close)));
            device.token(&theirs).expect_err("no answer");
            device.tenant.clear_script();
        } else {
            device.token(&theirs).expect("refreshed");
        }
        device.rest(Duration::from_secs(300));
        assert_eq!(word(&one.state()), BEN, "{deed}");
        assert_eq!(device.restored(&one).expect("somebody").id(), ben, "{deed}");
        assert_eq!(device.restored(&other).expect("somebody").id(), ben, "{deed}");
    }
}
