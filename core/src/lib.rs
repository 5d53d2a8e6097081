//! Sign users in without a browser, and keep their session.
//!
//! An app collects a username and factors; this library exchanges them at the authorization server's token endpoint
//! ("direct authentication"), follows every "more assurance required" answer, validates what it gets, stores it, refreshes
//! it, attaches it to requests, and gives it up at sign-out.
//!
//! ```no_run
//! # async fn ask(_: &str) -> String { String::new() }
//! # async fn platform_passkey(_: &str) -> String { String::new() }
//! # fn show(_: Option<&str>) {}
//! # async fn example(password: String) -> Result<(), directauth::Error> {
//! use directauth::{Client, Step};
//!
//! let client = Client::builder("https://acme.okta.com/oauth2/default", "0oa1b2c3")
//!     .scopes(["openid", "profile", "offline_access"])
//!     .build()?; // no network yet
//! client.warm_up().await; // optional, while the user types
//! let mut step = client.sign_in("ana@acme.com").password(password).await?;
//! let session = loop {
//!     step = match step {
//!         Step::SignedIn(session) => break session,
//!         Step::ChooseFactor(choice) => choice.otp(ask("code").await).await?,
//!         Step::ApproveOnDevice(push) => {
//!             show(push.number());
//!             push.approved().await?
//!         }
//!         Step::EnterCode(code) => code.submit(ask("code").await).await?,
//!         Step::UsePasskey(passkey) => passkey.answer(&platform_passkey(passkey.request_json()).await).await?,
//!         other => return Err(other.into()),
//!     }
//! };
//! let headers = session.authorize("GET", "https://acme.okta.com/me").await?;
//! # drop(headers);
//! # Ok(())
//! # }
//! ```
//!
//! Where to look: [`Client`] → [`SignIn`] → [`Step`] → [`Session`]; every failure is an [`Error`] whose [`Kind`] says what
//! the server did and whose [`Remedy`] says what the app should do. Futures run on any executor.

#![forbid(unsafe_code)]

/// `false`, except in the test that plants this defect (`planted`).
macro_rules! planted {
    ($plant:ident) => {{
        #[cfg(test)]
        {
            crate::planted::is(crate::planted::Plant::$plant)
        }
        #[cfg(not(test))]
        {
            false
        }
    }};
}

pub mod audit;
mod client;
mod config;
mod context;
pub mod contract;
mod discovery;
pub mod env;
mod envelope;
pub mod error;
mod flow;
mod gate;
mod headers;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod jose;
#[cfg(test)]
mod planted;
mod proof;
mod secret;
mod session;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod testing;
mod validation;
mod wire;

pub use client::{Client, ClientBuilder};
pub use config::{
    Accounts, DPoP, Factor, Issuer, PasskeyStart, Profile, RecoveryRequest, RefreshPolicy, WhenStorageFails,
    WiderScopes,
};
pub use env::{CrossProcessLock, FileLock, FileStore, MemoryStore, Pin, Proxy, SigningKey, TokenStore, Trust};
pub use error::{Error, Hint, Kind, Remedy, ServerText};
pub use flow::{
    ApproveOnDevice, ChooseFactor, EnrolledPasskey, EnterCode, Recovery, ResetPassword, SignIn, Step, UsePasskey,
};
pub use headers::{HeaderProvider, HeaderProviderError, OutgoingRequest};
pub use secret::Secret;
pub use session::{
    Advice, AuthorizationHeaders, Claims, DeviceSignOut, IntrospectedToken, Introspection, ServerSignOut, Session,
    SessionInfo, SignOut, State, States, StepUpDemand,
};
