//! Signs a user in with a passkey, then without even a name.
//!
//! ```console
//! $ cargo run --example passkey
//! ```
//!
//! The emulator is the server. On a phone the platform makes the answer: the CredentialManager on Android, AuthenticationServices
//! on Apple systems. Here a software authenticator (passkey-rs) stands in for it.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

#[path = "../tests/support/authenticator.rs"]
mod authenticator;

use std::error::Error;

use authenticator::Platform;
use directauth::{Client, Step, Trust};
use directauth_emulator::Emulator;

const USER: &str = "ana@example.com";

fn main() -> Result<(), Box<dyn Error>> {
    // Any executor will do.
    futures_executor::block_on(passkey())
}

async fn passkey() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start()?;
    let server = emulator.root();
    // Her phone has a passkey that the server knows.
    let mut platform = Platform::at(&server.org_issuer());
    platform.registers(&server, USER);

    let client = Client::builder(server.issuer(), server.client_id())
        .scopes(["openid", "profile", "offline_access"])
        // If passkeys were registered for a domain above the issuer's host, it is named here:
        // .relying_parties(["acme.com"])
        .trust(Trust::from_pem(&emulator.ca_pem())?)
        .build()?;

    // 1. With a name: the server lists her passkeys.
    let step = client.sign_in(USER).passkey().await?;
    println!("signed in as {}", finish(step, &mut platform).await?);

    // 2. Without: the platform shows what it has, and the passkey says whose it is.
    let step = client.sign_in_with_passkey().await?;
    println!("signed in as {}", finish(step, &mut platform).await?);
    Ok(())
}

/// From the challenge to the session. The server may ask for more: then the step is another one.
async fn finish(step: Step, platform: &mut Platform) -> Result<String, Box<dyn Error>> {
    let Step::UsePasskey(passkey) = step else { return Err(directauth::Error::from(step).into()) };
    // The platform's sheet. If the user dismisses it nothing was sent, and the step can be used again;
    // `passkey.choice()` leads to another factor where this is the second one.
    let answer = platform.asked(passkey.request_json())?;
    // A challenge is answered once. If the server refuses: `passkey.renew()`, and another ceremony.
    match passkey.answer(&answer).await? {
        Step::SignedIn(session) => Ok(session.username()),
        other => Err(directauth::Error::from(other).into()),
    }
}
