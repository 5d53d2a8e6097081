//! A forgotten password: another factor opens the way to a new one.
//!
//! ```console
//! $ cargo run --example recovery
//! ```
//!
//! The emulator is the server.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;

use directauth::{Client, Kind, Step, Trust};
use directauth_emulator::Emulator;

const USER: &str = "ben@example.com";

fn main() -> Result<(), Box<dyn Error>> {
    // Any executor will do.
    futures_executor::block_on(recovery())
}

async fn recovery() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start()?;
    let server = emulator.root();
    let client = Client::builder(server.issuer(), server.client_id())
        .scopes(["openid", "profile", "offline_access"])
        .trust(Trust::from_pem(&emulator.ca_pem())?)
        .build()?;

    // 1. Who are they? Any factor but the password; the steps are those of a sign-in, second factors included.
    let code = server.totp(USER).ok_or("ben has an authenticator app")?;
    let Step::ResetPassword(reset) = client.recover(USER).otp(code).await? else {
        return Err("the server wants more than one factor".into());
    };

    // 2. A new password. The step stays usable until one is taken: show what the server says of it, as plain text.
    let new_password = match reset.set("short").await {
        Err(error) if error.kind() == &Kind::Rejected => {
            let causes = error.server_text().map(|text| text.causes().to_vec()).unwrap_or_default();
            println!("the server does not take it: {}", causes.join(" "));
            "a longer horse battery"
        }
        other => return Err(format!("{other:?}").into()),
    };
    let Step::PasswordChanged = reset.set(new_password).await? else { return Err("another step".into()) };
    println!("the password is changed; nobody is signed in by that");

    // 3. Sign in with it, as always.
    match client.sign_in(USER).password(new_password).await? {
        Step::SignedIn(session) => println!("signed in as {}", session.username()),
        other => return Err(directauth::Error::from(other).into()),
    }
    Ok(())
}
