//! The library against a server that nobody here has written: any OpenID provider with the password grant.
//!
//! `scripts/interop-keycloak` starts one and runs this; it is no example for an app. Each line says what was tried and what
//! came of it; the last line is the count.
//!
//! ```sh
//! cargo run --example interop -- --issuer https://id.example/realms/demo --ca ca.pem \
//!     --client app --bound-client bound-app --user ana --password secret --hook ./hook
//! ```
//!
//! `--hook PROGRAM` is called with `rotate-keys`, `restart` and `end-sessions`, and does that to the server.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use directauth::env::{Environment, NetworkOptions, SessionTable};
use directauth::error::EndReason;
use directauth::{Client, DPoP, Error, FileStore, Kind, Profile, ServerSignOut, Session, Step, Trust};

type Outcome = Result<String, Box<dyn StdError>>;

struct Desk {
    options: BTreeMap<String, String>,
    folder: PathBuf,
    ca: String,
    passed: u32,
    failed: u32,
}

impl Desk {
    fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }

    /// A process of its own: a session table of its own, and its sessions in `folder`.
    fn client(&self, folder: &Path, client_id: &str, dpop: DPoP) -> Result<Client, Box<dyn StdError>> {
        let trust = Trust::from_pem(&self.ca)?;
        let system = Environment::system(NetworkOptions { trust, ..NetworkOptions::default() });
        let client = Client::builder(self.option("issuer"), client_id)
            .profile(Profile::Oidc)
            .scopes(["openid", "profile"])
            .dpop(dpop)
            .store(FileStore::open(folder)?)
            .environment(Environment { sessions: SessionTable::new(), ..system });
        Ok(client.build()?)
    }

    fn app(&self, name: &str) -> Result<Client, Box<dyn StdError>> {
        self.client(&self.folder.join(name), self.option("client"), DPoP::Off)
    }

    async fn sign_in(&self, client: &Client) -> Result<Session, Box<dyn StdError>> {
        match client.sign_in(self.option("user")).password(self.option("password").to_owned()).await? {
            Step::SignedIn(session) => Ok(session),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn server(&self, what: &str) -> Result<(), Box<dyn StdError>> {
        let status = Command::new(self.option("hook")).arg(what).status()?;
        if status.success() { Ok(()) } else { Err(format!("the hook failed to do {what}").into()) }
    }

    async fn case(&mut self, name: &str, case: impl AsyncFnOnce(&Self) -> Outcome) {
        match case(self).await {
            Ok(seen) => {
                self.passed += 1;
                println!("ok      {name:<48} {seen}");
            }
            Err(problem) => {
                self.failed += 1;
                println!("FAILED  {name:<48} {problem}");
            }
        }
    }
}

/// A second of the server's own is the least that its times can tell apart.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(5_200)).await;
}

fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn ended(result: Result<(), Error>) -> Outcome {
    match result {
        Err(error) => match error.kind() {
            Kind::SessionEnded {
                reason: reason @ (EndReason::RefreshTokenRefused | EndReason::RefreshInterrupted),
            } => Ok(reason.to_string()),
            _ => Err(error.into()),
        },
        Ok(()) => Err("it was accepted".into()),
    }
}

async fn token(session: &Session) -> Result<String, Error> {
    Ok(session.access_token().await?.expose().to_owned())
}

async fn run(desk: &mut Desk) {
    desk.case("sign-in with a password", async |desk| {
        let client = desk.app("first")?;
        let session = desk.sign_in(&client).await?;
        let claims = session.claims().ok_or("no ID token")?;
        Ok(format!("{} is {}", claims.preferred_username().unwrap_or("?"), claims.subject()))
    })
    .await;
    desk.case("a wrong password", async |desk| {
        let client = desk.app("wrong")?;
        match client.sign_in(desk.option("user")).password("not the password").await {
            Err(error) if error.kind() == &Kind::Rejected => Ok("Rejected".to_owned()),
            other => Err(format!("{other:?}").into()),
        }
    })
    .await;
    desk.case("restored by the next run of the app, refreshed", async |desk| {
        let session = desk.app("first")?.restore().await?.ok_or("nobody is signed in")?;
        let before = token(&session).await?;
        session.refresh().await?;
        let after = token(&session).await?;
        if before == after { Err("the same access token".into()) } else { Ok("another access token".to_owned()) }
    })
    .await;
    desk.case("userinfo", async |desk| {
        let session = desk.app("first")?.restore().await?.ok_or("nobody is signed in")?;
        let claims = session.user_info().await?;
        Ok(format!("of {}", claims.subject()))
    })
    .await;
    desk.case("rotation: a copy of the store is refused later", async |desk| {
        let (first, copy) = (desk.folder.join("rotating"), desk.folder.join("copy"));
        let client = desk.client(&first, desk.option("client"), DPoP::Off)?;
        let session = desk.sign_in(&client).await?;
        copied(&first, &copy)?;
        session.refresh().await?;
        a_moment().await;
        session.refresh().await?;
        let thief = desk.client(&copy, desk.option("client"), DPoP::Off)?;
        let stolen = thief.restore().await?.ok_or("nothing was copied")?;
        ended(stolen.refresh().await)
    })
    .await;
    desk.case("keys rotated on the server", async |desk| {
        let client = desk.app("keys")?;
        let session = desk.sign_in(&client).await?;
        desk.server("rotate-keys")?;
        session.refresh().await?;
        Ok("an ID token by the new key is believed".to_owned())
    })
    .await;
    desk.case("the server restarts in the middle of a session", async |desk| {
        let client = desk.app("restart")?;
        let session = desk.sign_in(&client).await?;
        desk.server("restart")?;
        session.refresh().await?;
        Ok("refreshed".to_owned())
    })
    .await;
    desk.case("signed out: a copy of the store is worth nothing", async |desk| {
        let (first, copy) = (desk.folder.join("leaving"), desk.folder.join("left"));
        let client = desk.client(&first, desk.option("client"), DPoP::Off)?;
        let session = desk.sign_in(&client).await?;
        copied(&first, &copy)?;
        let done = session.sign_out().await?;
        if done.server != ServerSignOut::Revoked {
            return Err(format!("{done:?}").into());
        }
        let thief = desk.client(&copy, desk.option("client"), DPoP::Off)?;
        ended(thief.restore().await?.ok_or("nothing was copied")?.refresh().await)
    })
    .await;
    desk.case("sessions ended by an administrator", async |desk| {
        let client = desk.app("ended")?;
        let session = desk.sign_in(&client).await?;
        desk.server("end-sessions")?;
        ended(session.refresh().await)
    })
    .await;
    desk.case("a client that must show a key, without one", async |desk| {
        let client = desk.client(&desk.folder.join("bearer"), desk.option("bound-client"), DPoP::Off)?;
        match desk.sign_in(&client).await {
            Err(problem) => Ok(problem.to_string()),
            Ok(_) => Err("signed in".into()),
        }
    })
    .await;
    desk.case("DPoP: sign-in, refresh, restored, sign-out", async |desk| {
        let folder = desk.folder.join("bound");
        let client = desk.client(&folder, desk.option("bound-client"), DPoP::Required)?;
        let session = desk.sign_in(&client).await?;
        if !session.is_dpop_bound() {
            return Err("the session is not bound".into());
        }
        session.user_info().await?;
        session.refresh().await?;
        let next = desk.client(&folder, desk.option("bound-client"), DPoP::Required)?;
        let session = next.restore().await?.ok_or("nobody is signed in")?;
        session.refresh().await?;
        let claims = session.user_info().await?;
        let done = session.sign_out().await?;
        if done.server != ServerSignOut::Revoked {
            return Err(format!("{done:?}").into());
        }
        Ok(format!("bound, of {}", claims.subject()))
    })
    .await;
    desk.case("DPoP preferred at a client that need not", async |desk| {
        let client = desk.client(&desk.folder.join("preferred"), desk.option("client"), DPoP::Preferred)?;
        let session = desk.sign_in(&client).await?;
        session.user_info().await?;
        session.refresh().await?;
        Ok(format!("bound: {}", session.is_dpop_bound()))
    })
    .await;
    desk.case("another factor than a password", async |desk| {
        match desk.app("factor")?.sign_in(desk.option("user")).push().await {
            Err(error) if matches!(error.kind(), Kind::Unsupported { .. }) => Ok(error.to_string()),
            other => Err(format!("{other:?}").into()),
        }
    })
    .await;
}

fn main() -> ExitCode {
    let mut options = BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options.insert(name.trim_start_matches("--").to_owned(), value);
    }
    let ca = std::fs::read_to_string(options.get("ca").map_or("", String::as_str));
    let (Ok(ca), Some(_), Some(_)) = (ca, options.get("issuer"), options.get("hook")) else {
        eprintln!("see the first lines of core/examples/interop.rs");
        return ExitCode::from(2);
    };
    let folder = std::env::temp_dir().join(format!("directauth-interop-{}", std::process::id()));
    let mut desk = Desk { options, folder, ca, passed: 0, failed: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(&mut desk)),
        Err(problem) => eprintln!("{problem}"),
    }
    let _ = std::fs::remove_dir_all(&desk.folder);
    println!("{} passed, {} failed", desk.passed, desk.failed);
    if desk.failed == 0 && desk.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
