//! The app: a new process, one client, one job. It says each thing that it has come to as a line, at once.

use core::time::Duration;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use directauth::env::{
    BootInstant, BoxFuture, Clock, CrossProcessLock, Environment, LockProblem, NetworkOptions, SessionTable,
    SystemClock, WallTime,
};
use directauth::{
    Client, Error, FileLock, FileStore, HeaderProvider, HeaderProviderError, Kind, OutgoingRequest, Session, Step,
    Trust,
};
use futures_executor::block_on;

use crate::refreshes::RUN;

/// A user for whom the password is enough.
const USER: &str = "ben@example.com";
const PASSWORD: &str = "tr0ub4dor&3";

/// Runs one role. Its arguments are those of `Place::start`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [role, store, issuer, client_id, authority, run, ahead] = arguments else {
        say("failed: not for you; run scripts/crash-test");
        return ExitCode::from(2);
    };
    let setup = Setup { store, issuer, client_id, authority, run, ahead: ahead.parse().unwrap_or(0) };
    let outcome = match role.as_str() {
        "sign-in" => block_on(sign_in(&setup)),
        "refresh" => block_on(refresh(&setup)),
        "sign-out" => block_on(sign_out(&setup)),
        "look" => block_on(look(&setup)),
        _ => beside_another(&setup),
    };
    match outcome {
        Ok(_client) => stay(),
        Err(Stop(what)) => say(&what),
    }
    ExitCode::SUCCESS
}

/// What has to be said before the child ends.
struct Stop(String);

fn failed(what: &'static str) -> impl Fn(Error) -> Stop {
    move |error| match error.kind() {
        Kind::SessionEnded { reason } => Stop(format!("ended {reason:?}")),
        kind => Stop(format!("failed {what}: {kind:?}")),
    }
}

async fn sign_in(setup: &Setup<'_>) -> Result<Client, Stop> {
    let client = setup.client(None)?;
    match client.sign_in(USER).password(PASSWORD).await.map_err(failed("sign-in"))? {
        Step::SignedIn(session) if session.is_persisted() => {
            say(&format!("signed-in {}", session.id()));
            session.user_info().await.map_err(failed("user info"))?;
            say("accepted");
        }
        step => return Err(Stop(format!("failed sign-in: {step:?}"))),
    }
    Ok(client)
}

async fn refresh(setup: &Setup<'_>) -> Result<Client, Stop> {
    let client = setup.client(None)?;
    let session = found(&client).await?;
    use_it(&session).await?;
    // Nothing but what is in the folder counts: a second look without any memory of the first.
    let again = found_quietly(&setup.client(None)?).await?;
    let is_readable = session.is_persisted() && again.is_some_and(|again| again.id() == session.id());
    say(if is_readable { "readable" } else { "failed: the record cannot be read" });
    Ok(client)
}

async fn sign_out(setup: &Setup<'_>) -> Result<Client, Stop> {
    let client = setup.client(None)?;
    let session = found(&client).await?;
    let done = session.sign_out().await.map_err(failed("sign-out"))?;
    say(&format!("signed-out {:?} {:?}", done.server, done.device));
    Ok(client)
}

/// Who is signed in? The first use of the client does in the background what earlier ones left to do.
async fn look(setup: &Setup<'_>) -> Result<Client, Stop> {
    let client = setup.client(None)?;
    let sessions = client.sessions().await.map_err(failed("sessions"))?;
    say(&format!("sessions {}", sessions.len()));
    match found_quietly(&client).await? {
        Some(session) => say(&format!("restored {}", session.id())),
        None => say("none"),
    }
    Ok(client)
}

/// Part of a pair: at each line of its input it does all of it as if it had just been started.
fn beside_another(setup: &Setup<'_>) -> Result<Client, Stop> {
    let lock = setup.lock();
    for line in std::io::stdin().lines() {
        if line.is_err() {
            break;
        }
        let round = async {
            let client = setup.client(Some(Telling(FileLock::new(&lock))))?;
            use_it(&found(&client).await?).await
        };
        match block_on(round) {
            Ok(()) => say("done"),
            Err(Stop(what)) => say(&what),
        }
    }
    setup.client(None)
}

async fn use_it(session: &Session) -> Result<(), Stop> {
    session.refresh().await.map_err(failed("refresh"))?;
    say("refreshed");
    session.user_info().await.map_err(failed("user info"))?;
    say("accepted");
    Ok(())
}

async fn found(client: &Client) -> Result<Session, Stop> {
    let session = found_quietly(client).await?.ok_or_else(|| Stop("none".to_owned()))?;
    say(&format!("restored {}", session.id()));
    Ok(session)
}

async fn found_quietly(client: &Client) -> Result<Option<Session>, Stop> {
    client.restore().await.map_err(failed("restore"))
}

/// Until the parent lets go, or kills.
fn stay() {
    let _ = std::io::stdin().read(&mut [0]);
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Setup<'a> {
    store: &'a str,
    issuer: &'a str,
    client_id: &'a str,
    authority: &'a str,
    run: &'a str,
    ahead: u64,
}

impl Setup<'_> {
    /// A client that shares nothing but the folder with any other, as in a process of its own.
    fn client(&self, lock: Option<Telling>) -> Result<Client, Stop> {
        let wrong = |what: &dyn core::fmt::Debug| Stop(format!("failed to begin: {what:?}"));
        let authority = std::fs::read_to_string(self.authority).map_err(|error| wrong(&error))?;
        let trust = Trust::from_pem(&authority).map_err(|problem| wrong(&problem))?;
        let system = Environment::system(NetworkOptions { trust, ..NetworkOptions::default() });
        let clock = Arc::new(Later(Duration::from_secs(self.ahead)));
        let environment = Environment { clock, sessions: SessionTable::new(), ..system };
        let store = FileStore::open(self.store).map_err(|problem| wrong(&problem))?;
        let client = Client::builder(self.issuer, self.client_id)
            .scopes(["openid", "profile", "offline_access"])
            .store(store)
            .header_provider(Name(self.run.to_owned()))
            .environment(environment);
        let client = match lock {
            Some(lock) => client.cross_process_lock(lock),
            None => client,
        };
        client.build().map_err(|error| wrong(&error))
    }

    /// The store leaves files of other names alone.
    fn lock(&self) -> std::path::PathBuf {
        std::path::Path::new(self.store).join("lock")
    }
}

/// The device's clocks, some time later.
struct Later(Duration);

impl Clock for Later {
    fn wall(&self) -> WallTime {
        SystemClock.wall().plus(self.0)
    }

    fn boot(&self) -> BootInstant {
        SystemClock.boot().plus(self.0)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(duration)
    }
}

/// Says in each request which child it comes from.
struct Name(String);

impl HeaderProvider for Name {
    fn headers(&self, _: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
        Ok(vec![(RUN.to_owned(), self.0.clone())])
    }
}

/// A file lock that says when it is held.
struct Telling(FileLock);

impl CrossProcessLock for Telling {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        Box::pin(async move {
            self.0.acquire(timeout).await?;
            say("locked");
            Ok(())
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            say("unlocked");
            self.0.release().await;
        })
    }

    fn still_held(&self) -> bool {
        self.0.still_held()
    }
}
