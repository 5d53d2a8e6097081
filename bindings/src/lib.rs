//! The library that apps load: the DirectAuth core (`directauth`) for Kotlin and Swift.
//!
//! It translates the core's API line by line and decides nothing. What only a whole library can keep is kept here:
//!
//! * [`WipingAllocator`] wipes heap memory before it is given back, so that what the HTTP and TLS libraries, a grown
//!   `String` or the buffers between the languages leave behind holds no secret;
//! * all work runs on this library's own threads (`runtime`), where a panic becomes `Internal` without its text;
//! * what the app's side implements (`platform`, `audit`, `logging`) may fail in any way, which costs what it says there and
//!   nothing else;
//! * what is printed holds no secret and no text of the server.
//!
//! The Kotlin and Swift layers, written by hand, are what apps see; the code that UniFFI generates from this crate is what they
//! are made of.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![expect(clippy::result_large_err, reason = "UniFFI lowers an error as it is, and errors are rare")]

mod allocator;
mod audit;
mod client;
mod config;
mod error;
mod events;
mod logging;
mod platform;
mod runtime;
mod session;
mod steps;

pub use allocator::WipingAllocator;
pub use audit::{Attempt, AuditEvent, AuditKind, AuditSink, HeaderProblem, SecurityEvent, SinkException};
pub use client::DirectAuthClient;
pub use config::{
    Accounts, ClientConfig, ClientSetup, DPoP, Factor, PasskeyStart, Profile, RecoveryRequest, RefreshPolicy, Trust,
    WhenStorageFails, WiderScopes,
};
pub use error::{
    AuthError, EndReason, ErrorDetails, Hint, KeyProblem, NetworkProblem, PasskeyProblem, Remedy, ServerText,
    StorageProblem,
};
pub use events::{AuditEvents, AuthState, StateEvents};
pub use logging::{LogLevel, LogSink, set_log_sink};
pub use platform::{
    CrossProcessLock, HeaderException, HeaderProvider, KeyException, LockException, SecureStorage, SigningKey,
    StorageException,
};
#[doc(hidden)]
pub use runtime::{finish, finish_now, runtime_handle};
pub use session::{
    Advice, AuthSession, AuthorizationHeaders, Claims, DeviceSignOut, HeaderField, Introspection, ServerSignOut,
    SessionInfo, SessionToken, SignOutResult,
};
pub use steps::{
    ApproveOnDevice, ChooseFactor, EnrolledPasskey, EnterCode, Recovery, ResetPassword, SignIn, SignInStep, UsePasskey,
};

uniffi::setup_scaffolding!("directauth");

/// The allocator of whatever links this crate.
#[global_allocator]
pub static ALLOCATOR: WipingAllocator = WipingAllocator::new();
