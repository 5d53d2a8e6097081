//! One session in a store, and a thousand: what each of them costs.

use std::cell::Cell;
use std::time::Duration;

use directauth::{Accounts, Client, MemoryStore, TokenStore};
use futures_executor::block_on;

use crate::process::{Ahead, Folder, start};
use crate::refreshes::NOT_AT_ONCE;
use crate::report::{Report, Row};
use crate::server::{Server, user};
use crate::unlisted::Unlisted;
use crate::{alternate, ours};

const FEW: u32 = 100;
const MANY: u32 = 1_000;
const TIMES: usize = 11;

pub(crate) fn measure(report: &mut Report) {
    let server = Server::with_users(Duration::ZERO, 2 * MANY);
    in_store(report, &server, "memory", |_| MemoryStore::new());
    let folders = [(); 3].map(|()| Folder::new());
    in_store(report, &server, "files", |number| folders[number].store());
}

/// What reads them all.
fn in_store<S>(report: &mut Report, server: &Server, kind: &str, store: impl Fn(usize) -> S)
where
    S: TokenStore + Clone + 'static,
{
    let [one, few, many] =
        [(0, 1), (1, FEW), (2, MANY)].map(|(number, sessions)| Device::with(server, store(number), sessions));
    // What the first one costs hides what the others add.
    for (name, fewer) in [("1", &one), ("100", &few)] {
        let mut add = |what: &str, work: fn(&Client)| {
            let times =
                alternate(TIMES, || many.client(), |client| work(&client), || fewer.client(), |client| work(&client));
            let for_each = (times.0 / many.sessions.get(), times.1 / fewer.sessions.get());
            report.add(Row::time(&format!("{name} → 1,000 sessions, {kind}: {what}, for each"), for_each, Some(1.2)));
        };
        add("restore()", |client| drop(ours::restore(client)));
        add("sessions()", |client| assert!(list(client) > 0));
    }
    of_one(report, kind, &one, &many);
}

/// A device where so many users are signed in, with a store that all of its processes share.
struct Device<'a, S> {
    server: &'a Server,
    clock: Ahead,
    store: S,
    sessions: Cell<u32>,
}

impl<'a, S: TokenStore + Clone + 'static> Device<'a, S> {
    fn with(server: &'a Server, store: S, sessions: u32) -> Self {
        let device = Self { server, clock: Ahead::default(), store, sessions: Cell::new(0) };
        let client = device.client_on(Unlisted(device.store.clone()));
        (0..sessions).for_each(|_| device.sign_in(&client));
        assert_eq!(list(&device.client()), sessions, "everybody is signed in");
        device
    }

    /// In a new process.
    fn client(&self) -> Client {
        self.client_on(self.store.clone())
    }

    fn client_on(&self, store: impl TokenStore + 'static) -> Client {
        start(self.server, &self.clock, store, |builder| builder.accounts(Accounts::Many))
    }

    /// One more user.
    fn sign_in(&self, client: &Client) {
        let number = self.sessions.get();
        drop(ours::sign_in_as(client, &user(number)));
        self.sessions.set(number + 1);
    }
}

/// What is about one of them.
fn of_one<S>(report: &mut Report, kind: &str, one: &Device<'_, S>, many: &Device<'_, S>)
where
    S: TokenStore + Clone + 'static,
{
    let mut add = |what: &str, times, limit| {
        report.add(Row::time(&format!("1 → 1,000 sessions, {kind}: {what}"), times, limit));
    };
    let clients = [many.client(), one.client()];
    let [in_many, in_one] = [&clients[0], &clients[1]].map(ours::restore);
    let later = |device: &Device<'_, S>| device.clock.pass(NOT_AT_ONCE);
    let refresh =
        alternate(4 * TIMES, || later(many), |()| ours::refresh(&in_many), || later(one), |()| ours::refresh(&in_one));
    add("refresh of one", refresh, Some(1.2));

    // These read the whole store: how much that is, is told and not judged.
    let ids = [in_many.id(), in_one.id()];
    let open = |id: &str| {
        let id = id.to_owned();
        move |client: Client| assert!(block_on(client.session(&id)).expect("a store that works").is_some())
    };
    let opened = alternate(TIMES, || many.client(), open(&ids[0]), || one.client(), open(&ids[1]));
    add("session(id)", opened, None);
    let signed_in = alternate(TIMES, || (), |()| many.sign_in(&clients[0]), || (), |()| one.sign_in(&clients[1]));
    add("sign-in of another user", signed_in, None);
}

/// How many are signed in.
fn list(client: &Client) -> u32 {
    u32::try_from(block_on(client.sessions()).expect("a store that works").len()).expect("not that many")
}
