//! A resource wants more than the session's sign-in has shown.
//!
//! ```console
//! $ cargo run --example step_up
//! ```
//!
//! The emulator is the server, and plays the API that asks for two factors.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;

use directauth::{Advice, Client, Session, Step, Trust};
use directauth_emulator::Emulator;

const USER: &str = "ben@example.com";

fn main() -> Result<(), Box<dyn Error>> {
    // Any executor will do.
    futures_executor::block_on(step_up())
}

async fn step_up() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start()?;
    let server = emulator.root();
    let client = Client::builder(server.issuer(), server.client_id())
        .scopes(["openid", "profile", "offline_access"])
        .trust(Trust::from_pem(&emulator.ca_pem())?)
        .build()?;
    let Step::SignedIn(session) = client.sign_in(USER).password("tr0ub4dor&3").await? else {
        return Err("the policy wants more".into());
    };
    println!("signed in; the ID token says acr = {:?}", acr(&session));

    // The app's own HTTP client has sent the request; this is the answer.
    let used = session.authorize("POST", &server.resource_url()).await?;
    let answer =
        [("WWW-Authenticate", r#"Bearer error="insufficient_user_authentication", acr_values="urn:okta:loa:2fa:any""#)];
    let Advice::StepUp(demand) = session.advise(&used, 401, answer).await? else { return Err("no step-up".into()) };
    println!("the API wants {}", demand.acr_values.join(" or "));

    // The session's own user shows more. Until that has succeeded the session is what it was.
    let Step::ChooseFactor(choice) = session.step_up(&demand).password("tr0ub4dor&3").await? else {
        return Err("another step".into());
    };
    let code = server.totp(USER).ok_or("ben has an authenticator app")?;
    let Step::SignedIn(same) = choice.otp(code).await? else { return Err("another step".into()) };
    println!("the same session ({}), and now acr = {:?}", same.id() == session.id(), acr(&session));

    // Authorize anew, and send the request again. Should the API still say no, that is its answer.
    let used = session.authorize("POST", &server.resource_url()).await?;
    println!("advice if the API asks again all the same: {:?}", session.advise(&used, 401, answer).await?);
    Ok(())
}

fn acr(session: &Session) -> Option<String> {
    session.claims().and_then(|claims| claims.text("acr").map(str::to_owned))
}
