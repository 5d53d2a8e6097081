//! Tokens that only this device can use (DPoP, RFC 9449).
//!
//! ```console
//! $ cargo run --example dpop
//! ```
//!
//! The emulator is the server, and plays the API.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::time::Duration;

use directauth::env::{Environment, HeaderValue, HttpRequest, Method, NetworkOptions};
use directauth::{Advice, AuthorizationHeaders, Client, DPoP, Step, Trust};
use directauth_emulator::Emulator;

const USER: &str = "ben@example.com";

fn main() -> Result<(), Box<dyn Error>> {
    // Any executor will do.
    futures_executor::block_on(dpop())
}

async fn dpop() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::start()?;
    let server = emulator.root();
    // The API wants nonces of its own in the proofs.
    server.settings(|settings| settings.dpop_resource_nonce = true);
    let trust = Trust::from_pem(&emulator.ca_pem())?;
    let network = Environment::system(NetworkOptions { trust, ..NetworkOptions::default() });
    let client = Client::builder(server.issuer(), server.client_id())
        .scopes(["openid", "profile", "offline_access"])
        .dpop(DPoP::Required)
        // On a phone: .signing_key(keys of the Secure Enclave or the Keystore). Here the key is in software, beside the tokens.
        .environment(network.clone())
        .build()?;
    let Step::SignedIn(session) = client.sign_in(USER).password("tr0ub4dor&3").await? else {
        return Err("the policy wants more".into());
    };
    println!("signed in; bound to a key of this device: {}", session.is_dpop_bound());

    // A proof names method and URL and works once: ask for headers for each send.
    let url = server.resource_url();
    let api = network.transport.background();
    let send = async |headers: &AuthorizationHeaders| {
        let headers = headers.iter().map(|(name, value)| (name.into(), HeaderValue::Secret(value.into())));
        let request = HttpRequest {
            method: Method::Get,
            url: url.clone(),
            headers: headers.collect(),
            body: None,
            max_response: 65_536,
            deadline: Duration::from_secs(10),
        };
        api.send(request).await.map_err(|error| format!("{error:?}"))
    };
    let used = session.authorize("GET", &url).await?;
    let answer = send(&used).await?;
    println!("the API answers {}", answer.status);
    // Give every answer to `advise`: it keeps the API's nonce, and says whether once more makes sense.
    let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    if session.advise(&used, answer.status, headers).await? == Advice::Retry {
        let answer = send(&session.authorize("GET", &url).await?).await?;
        println!("with its nonce in the proof it answers {}", answer.status);
    }

    // Whoever has the token alone has nothing.
    let stolen = session.access_token().await?;
    // EXPOSE: to show that it is worthless without the key.
    let bearer = format!("Bearer {}", stolen.expose());
    let request = HttpRequest {
        method: Method::Get,
        url: url.clone(),
        headers: vec![("authorization".into(), HeaderValue::Secret(bearer.into()))],
        body: None,
        max_response: 65_536,
        deadline: Duration::from_secs(10),
    };
    let answer = api.send(request).await.map_err(|error| format!("{error:?}"))?;
    println!("to the stolen token alone it answers {}", answer.status);
    session.refresh().await?;
    println!("refreshed, by the same key");
    Ok(())
}
