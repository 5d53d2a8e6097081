//! What one refresh costs: in a process that runs, and in a new one that finds session, metadata and keys in the store.

use std::time::Duration;

use directauth::{MemoryStore, TokenStore};

use crate::counting::Counting;
use crate::process::{Ahead, Folder, start};
use crate::report::{Report, Row};
use crate::server::Server;
use crate::{bare, cpu_of_both, ours};

/// After a refresh that succeeded, another one is not sent for five seconds.
pub(crate) const NOT_AT_ONCE: Duration = Duration::from_secs(6);

pub(crate) fn requests(report: &mut Report, server: &Server) {
    let (folder, clock) = (Folder::new(), Ahead::default());
    let store = Counting::new(folder.store());
    drop(ours::sign_in(&start(server, &clock, store.clone(), |builder| builder)));
    // Metadata and keys are stored in the background.
    store.take();
    server.take_requests();
    restore_and_refresh(server, &clock, store.clone());
    store.take();
    let requests = server.take_requests();
    report.add(Row::count("restore() and refresh in a new process, files", "requests", requests, 1, Some(1)));
}

pub(crate) fn cpu_time(report: &mut Report, server: &Server) {
    let bare = bare::SignedIn::at(server);
    let clock = Ahead::default();
    let client = start(server, &clock, MemoryStore::new(), |builder| builder);
    let session = ours::sign_in(&client);
    let refresh = || {
        clock.pass(NOT_AT_ONCE);
        ours::refresh(&session);
    };
    report.add(Row::time("CPU of a refresh in a running process", cpu_of_both(refresh, || bare.refresh()), None));

    let folder = Folder::new();
    let in_memory = cpu_in_a_new_process(server, &bare, &MemoryStore::new());
    report.add(Row::time("CPU of restore() and refresh in a new process, memory", in_memory, Some(1.25)));
    // The other side writes nothing.
    let in_files = cpu_in_a_new_process(server, &bare, &folder.store());
    report.add(Row::time("CPU of restore() and refresh in a new process, files", in_files, None));
}

/// Beside a refresh on a new connection by somebody who knows the refresh token and the endpoint.
fn cpu_in_a_new_process<S>(server: &Server, bare: &bare::SignedIn, store: &S) -> (Duration, Duration)
where
    S: TokenStore + Clone + 'static,
{
    let clock = Ahead::default();
    let counted = Counting::new(store.clone());
    drop(ours::sign_in(&start(server, &clock, counted.clone(), |builder| builder)));
    counted.take();
    cpu_of_both(|| restore_and_refresh(server, &clock, store.clone()), || bare.cold_refresh(server))
}

fn restore_and_refresh(server: &Server, clock: &Ahead, store: impl TokenStore + 'static) {
    ours::refresh(&ours::restore(&start(server, clock, store, |builder| builder)));
}
