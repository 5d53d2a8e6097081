//! The emulator driven over the network by an independent client. No test waits: tenants have clocks that stand still.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bytes;
mod checks;
mod common;
mod control;
mod dpop;
mod faults;
mod fuzz;
mod keys;
mod limits;
mod page;
mod program;
mod recovery;
mod refresh;
mod script;
mod sign_in;
mod switches;
mod tls;
mod tokens;
mod troubles;
