//! What happens to processes: they die at a bad moment, others come and go, the device starts anew, clocks are set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use directauth::env::{Clock, Environment, HttpTransport, NetworkOptions, SessionTable};
use directauth::error::{Code, EndReason, StoreProblem};
use directauth::{Client, FileLock, FileStore, Kind, RefreshPolicy, Remedy, Session, Step};
use directauth_emulator::Tenant;
use futures_executor::block_on;

use super::device::{ANA, BEN, Call, DUE, Device, EXPIRED, Fault, Trouble, unavailable, word};
use super::support::world::Threads;
use super::support::{emulator, net, trust};

/// A process that dies during its refresh, when the server has replaced the refresh token and nothing is written yet.
fn dies_after_the_rotation(device: &Device) -> String {
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let id = session.id();
    device.world.advance(EXPIRED);
    let before = device.tenant.last_tokens();
    let rotated = || device.tenant.last_tokens() != before;
    assert!(device.world.try_run(session.access_token(), rotated).is_none(), "the answer was read");
    assert_eq!(device.store.content("session.").len(), 1, "nothing is deleted before the new set is there");
    drop((session, client));
    device.world.kill();
    id
}

#[test]
fn a_process_killed_between_rotation_and_write_loses_nothing_if_the_next_one_comes_in_time() {
    let device = Device::new();
    let id = dies_after_the_rotation(&device);
    device.world.advance(Duration::from_secs(20));
    let client = device.start();
    let session = device.restored(&client).expect("signed in");
    assert_eq!(session.id(), id);
    assert_eq!(device.count("token"), 3, "a sign-in, a refresh, and its repetition, for which nobody had to ask");
    device.token(&session).expect("the server repeated its answer");
    assert_eq!(device.count("token"), 3);
    assert_eq!(word(&client.state()), BEN);
    assert!(session.is_persisted());
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn a_process_killed_between_rotation_and_write_for_too_long_ends_the_session_by_name() {
    let device = Device::new();
    dies_after_the_rotation(&device);
    device.world.advance(EXPIRED);
    let client = device.start();
    let session = device.restored(&client).expect("nobody knows yet");
    let error = device.token(&session).expect_err("the new refresh token died with the process");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::RefreshInterrupted });
    assert_eq!(error.remedy(), Remedy::SignInAgain);
    assert_eq!(word(&client.state()), "SignedOut");
    assert!(device.store.content("session.").is_empty());
}

#[test]
fn a_set_that_could_not_be_written_before_its_process_died_ends_the_session_by_name() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    device.store.fails(Fault::on(&[Call::Store], Trouble::Says(StoreProblem::Transient)).of("session.").after(1));
    device.token(&session).expect("from memory");
    assert!(!session.is_persisted(), "and announced");
    drop((session, client));
    device.world.kill();
    device.store.heals();
    device.world.advance(EXPIRED);
    let session = device.restored(&device.start()).expect("nobody knows yet");
    let error = device.token(&session).expect_err("the new refresh token died with the process");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::RefreshInterrupted });
}

#[test]
fn a_process_killed_before_its_refresh_was_sent_loses_nothing() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    device.world.advance(EXPIRED);
    device.store.forget_calls();
    let marked = || device.store.calls(Call::Store, "session.") > 0;
    assert!(device.world.try_run(session.access_token(), marked).is_none());
    assert_eq!(device.count("token"), 1);
    drop((session, client));
    device.world.kill();
    device.world.advance(EXPIRED);
    let session = device.restored(&device.start()).expect("signed in");
    device.token(&session).expect("refreshed");
}

#[test]
fn a_process_killed_during_a_sign_out_leaves_nobody_signed_in() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let noted = || !device.store.content("ended.").is_empty();
    assert!(device.world.try_run(session.sign_out(), noted).is_none());
    drop((session, client));
    device.world.kill();
    assert_eq!((device.tenant.live_grants(), device.store.content("session.").len()), (1, 1), "half of it is done");
    let client = device.start();
    assert!(device.restored(&client).is_none());
    assert_eq!(device.tenant.live_grants(), 0, "the next process tells the server");
    assert!(device.store.content("session.").is_empty(), "and clears up");
    assert!(device.store.content("owed.").is_empty());
}

#[test]
fn a_process_killed_while_a_sign_in_replaces_a_session_leaves_the_new_one() {
    let device = Device::new();
    let client = device.start();
    device.signs_in(&client, BEN);
    let both = || device.store.content("session.").len() > 1;
    let sign_in = client.sign_in(ANA);
    assert!(device.world.try_run(sign_in.password("correct horse battery"), both).is_none());
    drop((sign_in, client));
    device.world.kill();
    let client = device.start();
    assert_eq!(device.restored(&client).expect("signed in").username(), ANA);
    assert_eq!(word(&client.state()), ANA);
    assert_eq!(device.store.content("session.").len(), 1);
    assert_eq!(device.tenant.live_grants(), 1);
}

#[test]
fn a_reboot_or_a_clock_that_was_set_means_a_refresh_and_no_sign_out() {
    type Deed = fn(&Device);
    let deeds: [(&str, Deed); 3] = [
        ("a reboot", |device| device.world.reboot()),
        ("a year ahead", |device| device.world.set_wall(365 * 86_400_000)),
        ("a year back", |device| device.world.set_wall(-365 * 86_400_000)),
    ];
    for (name, deed) in deeds {
        let device = Device::new();
        // The server's clock is its own.
        let server = Arc::new(directauth_emulator::VirtualClock::new(device.tenant.now()));
        device.tenant.set_clock(server);
        let id = device.left_signed_in(BEN);
        deed(&device);
        let client = device.start();
        let session = device.restored(&client).expect(name);
        assert_eq!(session.id(), id);
        device.token(&session).expect(name);
        assert_eq!(device.count("token"), 1, "{name}");
        assert_eq!(word(&client.state()), BEN, "{name}");
    }
}

#[test]
fn two_clients_of_a_process_share_one_engine() {
    let device = Device::new();
    let process = device.process();
    let one = device.builder(&process).build().expect("valid");
    let other = device.builder(&process).build().expect("valid");
    let first = device.signs_in(&one, BEN);
    let second = device.restored(&other).expect("the same");
    assert_eq!(first.id(), second.id());
    device.world.advance(EXPIRED);
    let calls = [first.access_token(), second.access_token(), first.access_token(), second.access_token()];
    let tokens: Vec<_> = device.run(futures_util::future::join_all(calls));
    let tokens: Vec<_> = tokens.into_iter().map(|token| token.expect("refreshed").expose().to_owned()).collect();
    assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(device.count("token"), 2, "one request");
}

/// The process that refreshes, and one that never does.
fn with_a_widget(device: &Device) -> (Client, Client) {
    let app = device.builder(&device.process()).shared_store(true).build().expect("valid");
    let widget = device.builder(&device.process()).refresh_policy(RefreshPolicy::Never).build().expect("valid");
    (app, widget)
}

#[test]
fn a_process_that_never_refreshes_uses_what_the_other_one_renews() {
    let device = Device::new();
    let (app, widget) = with_a_widget(&device);
    let session = device.signs_in(&app, BEN);
    let seen = device.restored(&widget).expect("signed in");
    let token = device.token(&session).expect("fresh");
    assert_eq!(device.token(&seen).expect("valid"), token);
    device.world.advance(DUE);
    assert_eq!(device.token(&seen).expect("valid"), token);
    device.world.advance(EXPIRED - DUE);
    let error = device.run(seen.access_token()).expect_err("expired");
    assert_eq!(error.kind(), &Kind::ReauthRequired { reason: Code::parse("refreshed_elsewhere").expect("a code") });
    assert_eq!(device.run(seen.refresh()).expect_err("never").kind(), error.kind());
    assert_eq!(word(&widget.state()), BEN, "the session is there");
    assert_eq!(device.count("token"), 1, "nothing was sent");
    let renewed = device.token(&session).expect("refreshed");
    assert_eq!(device.token(&seen).expect("read again"), renewed);
    assert_eq!(device.count("token"), 2);
}

#[test]
fn a_shared_store_that_cannot_be_read_keeps_the_valid_token_in_use() {
    let device = Device::new();
    let (app, widget) = with_a_widget(&device);
    let session = device.signs_in(&app, BEN);
    let seen = device.restored(&widget).expect("signed in");
    let token = device.token(&session).expect("fresh");
    device.store.fails(Fault::all(StoreProblem::Locked));
    assert_eq!(device.token(&session).expect("valid"), token);
    assert_eq!(device.token(&seen).expect("valid"), token);
}

#[test]
fn a_sign_out_in_one_process_ends_the_session_in_the_other() {
    let device = Device::new();
    let (app, widget) = with_a_widget(&device);
    let session = device.signs_in(&app, BEN);
    let seen = device.restored(&widget).expect("signed in");
    device.run(session.sign_out()).expect("signed out");
    let error = device.token(&seen).expect_err("over");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert_eq!(word(&widget.state()), "SignedOut");
    assert!(device.store.content("session.").is_empty(), "and nobody wrote it again");
}

#[test]
fn a_client_that_is_configured_otherwise_touches_nothing() {
    let device = Device::new();
    let client = device.start();
    let session = device.signs_in(&client, BEN);
    let before = device.store.content("session.");
    let other = Client::builder(device.tenant.issuer(), "0oaDemoOtherApp")
        .scopes(["openid", "offline_access"])
        .store(device.store.clone())
        .environment(device.process())
        .build()
        .expect("valid");
    assert!(device.restored(&other).is_none());
    assert!(device.run(other.sign_out()).expect("nobody").is_none());
    assert!(device.run(other.sign_out_all()).expect("nobody").is_empty());
    let theirs = device.signs_in(&other, ANA);
    device.run(theirs.sign_out()).expect("signed out");
    assert_eq!(device.store.content("session."), before);
    device.token(&session).expect("as before");
    assert_eq!(device.tenant.live_grants(), 1);
}

/// A folder of one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sessions-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// A client on a folder, with the lock beside it.
fn on_files(folder: &PathBuf, tenant: &Tenant, process: &Environment) -> Client {
    let store = FileStore::open(folder).expect("a folder of one's own");
    net::builder(tenant)
        .store(store)
        .cross_process_lock(FileLock::new(folder.join("refresh.lock")))
        .environment(process.clone())
        .build()
        .expect("valid")
}

#[test]
fn two_processes_on_one_folder_refresh_once_and_sign_out_together() {
    let device = Device::new();
    let folder = folder("in-turn");
    // Locks and files may block.
    let process = || Environment { spawner: Arc::new(Threads(device.world.clone())), ..device.process() };
    let one = on_files(&folder, &device.tenant, &process());
    let other = on_files(&folder, &device.tenant, &process());
    let first = device.signs_in(&one, BEN);
    let second = device.restored(&other).expect("signed in");
    assert_eq!(first.id(), second.id());
    device.world.advance(EXPIRED);
    let calls = [first.access_token(), second.access_token()];
    let tokens = device.run(futures_util::future::join_all(calls));
    let tokens: Vec<_> = tokens.into_iter().map(|token| token.expect("refreshed").expose().to_owned()).collect();
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(device.count("token"), 2, "one of them refreshed, the other read what it wrote");

    device.run(second.sign_out()).expect("signed out");
    let error = device.token(&first).expect_err("over");
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::SignedOut });
    assert!(device.restored(&on_files(&folder, &device.tenant, &process())).is_none());
    assert_eq!(device.tenant.live_grants(), 0);
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn two_processes_that_refresh_in_the_same_moment_send_one_request() {
    let folder = folder("at-once");
    let tenant = emulator().tenant();
    let process = || {
        let options = NetworkOptions { trust: trust(), ..NetworkOptions::default() };
        let system = Environment::system(options.clone());
        Environment { transport: Arc::new(HttpTransport::new(options)), sessions: SessionTable::new(), ..system }
    };
    let one = on_files(&folder, &tenant, &process());
    let other = on_files(&folder, &tenant, &process());
    let step = block_on(one.sign_in(BEN).password("tr0ub4dor&3")).expect("signed in");
    let Step::SignedIn(first) = step else { panic!("{step:?}") };
    let second: Session = block_on(other.restore()).expect("readable").expect("signed in");
    let (one, other) = block_on(futures_util::future::join(first.refresh(), second.refresh()));
    one.expect("refreshed");
    other.expect("refreshed, by itself or by the other");
    assert_eq!(tenant.journal().count("token"), 2);
    let tokens = [&first, &second].map(|session| block_on(session.access_token()).expect("fresh").expose().to_owned());
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(tenant.live_grants(), 1);
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn a_folder_that_is_gone_is_no_empty_store() {
    let device = Device::new();
    let folder = folder("gone");
    let process = device.process();
    let store = FileStore::open(&folder).expect("a folder of one's own");
    let client = device.builder(&process).store(store).build().expect("valid");
    let session = device.signs_in(&client, BEN);
    let aside = folder.with_extension("aside");
    std::fs::rename(&folder, &aside).expect("ours");
    let began = device.world.boot();
    assert_eq!(unavailable(device.run(client.sessions())), StoreProblem::Transient);
    assert!(device.world.boot().since(began) < Duration::from_secs(1));
    std::fs::rename(&aside, &folder).expect("ours");
    assert_eq!(device.restored(&client).expect("back").id(), session.id());
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn a_widget_that_meets_a_locked_store_signs_nobody_out() {
    let device = Device::new();
    let (app, widget) = with_a_widget(&device);
    let session = device.signs_in(&app, BEN);
    let before = device.store.content("session.");
    device.store.fails(Fault::on(&[Call::Load, Call::List], Trouble::Says(StoreProblem::KeyMissing)));
    assert_eq!(unavailable(device.run(widget.restore())), StoreProblem::KeyMissing);
    assert_eq!(unavailable(device.run(widget.sign_out_all())), StoreProblem::KeyMissing);
    device.store.heals();
    assert_eq!(device.store.content("session."), before);
    assert_eq!(device.restored(&app).expect("signed in").id(), session.id());
}
