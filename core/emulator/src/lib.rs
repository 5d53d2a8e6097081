//! An authorization server for direct authentication ("direct auth" in Okta's words) to develop and test against: real TLS,
//! real checks, real tokens, and users who answer their pushes when you say so.
//!
//! ```
//! use directauth_emulator::{Emulator, PushReaction};
//!
//! let emulator = Emulator::start()?;
//! let tenant = emulator.tenant(); // one for each test: its own users, tokens, clock and journal
//! println!("{} {} {}", tenant.issuer(), tenant.client_id(), emulator.ca_pem());
//!
//! tenant.on_next_push(PushReaction::Approve { after_polls: 1 });
//! // … sign ana@example.com in with password "correct horse battery" and a push …
//! assert_eq!(tenant.journal().count("token"), 0);
//! # Ok::<(), directauth_emulator::StartError>(())
//! ```
//!
//! * [`Emulator`] is a running server; [`Tenant`] is one authorization server on it.
//! * [`Config`] has users, factors and rules, from TOML; [`Config::demo`] is built in.
//! * [`Rule`] prescribes answers and faults, down to the byte; [`Journal`] shows what came in.
//! * [`Clock`] decides what time it is, so that nothing needs to be waited for.
//!
//! It keeps to what Okta documents and is nobody's production server: passwords are compared as they stand, and the
//! signing keys are public.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod clock;
mod config;
mod control;
mod emulator;
mod journal;
mod net;
mod script;
mod server;
mod settings;
mod tenant;

pub use clock::{Clock, SystemClock, VirtualClock};
pub use config::{Assurance, Config, ConfigError, Factor, Passkey, PushKind, Status, User};
pub use emulator::{BadTls, Emulator, EmulatorBuilder, OtherAuthority, StartError};
pub use journal::{Entry, Journal};
pub use net::tls::BadTlsKind;
pub use script::{Answer, Edit, Fault, JwtMutation, Rule, Signature, TokenMutation};
pub use server::{Message, PendingPush, PushReaction, Troubles};
pub use settings::{
    Descriptions, DpopPolicy, Envelope, RecoveryRequest, Rotation, SecondFactorAt, Settings, UserVerification,
};
pub use tenant::Tenant;
