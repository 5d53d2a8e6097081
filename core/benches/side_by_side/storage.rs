//! How often the store is called: each call of a platform's secure storage may take milliseconds.

use std::time::Duration;

use directauth::{ClientBuilder, FileLock};
use futures_executor::block_on;

use crate::counting::{Calls, Counting};
use crate::ours;
use crate::process::{Ahead, Folder, start};
use crate::report::{Report, Row};
use crate::server::Server;

pub(crate) fn measure(report: &mut Report, server: &Server) {
    of_a_life(report, server);
    of_access_token(report, server, "own store", |_, builder| builder);
    of_access_token(report, server, "shared store", |folder, builder| {
        builder.cross_process_lock(FileLock::new(folder.path("lock")))
    });
}

/// From the first sign-in to the sign-out.
fn of_a_life(report: &mut Report, server: &Server) {
    let (folder, clock) = (Folder::new(), Ahead::default());
    let store = Counting::new(folder.store());
    let new_process = || start(server, &clock, store.clone(), |builder| builder);
    let client = new_process();
    drop(ours::sign_in(&client));
    add(report, "first sign-in", store.take());
    let client = new_process();
    let session = ours::restore(&client);
    add(report, "restore()", store.take());
    block_on(session.sign_out()).expect("signed out");
    add(report, "sign-out", store.take());
}

/// With a token that has expired, which is one refresh, and with a fresh one.
fn of_access_token(
    report: &mut Report,
    server: &Server,
    kind: &str,
    configure: impl FnOnce(&Folder, ClientBuilder) -> ClientBuilder,
) {
    const LIFE: u64 = 60;
    let (folder, clock) = (Folder::new(), Ahead::default());
    let store = Counting::new(folder.store());
    let client = start(server, &clock, store.clone(), |builder| configure(&folder, builder));
    server.set_token_lifetime(LIFE);
    let session = ours::sign_in(&client);
    server.set_token_lifetime(3600);
    clock.pass(Duration::from_secs(LIFE + 1));
    store.take();
    block_on(session.access_token()).expect("refreshed");
    add(report, &format!("access_token() that refreshes, {kind}"), store.take());
    block_on(session.access_token()).expect("a fresh token");
    let Calls { load, store, delete, keys } = store.take();
    let all = load + store + delete + keys;
    report.add(Row::number(&format!("storage, access_token() of a fresh token, {kind}: all kinds"), "calls", all));
}

fn add(report: &mut Report, of: &str, calls: Calls) {
    let Calls { load, store, delete, keys } = calls;
    for (kind, calls) in [("load", load), ("store", store), ("delete", delete), ("keys", keys)] {
        report.add(Row::number(&format!("storage, {of}: {kind}"), "calls", calls));
    }
}
