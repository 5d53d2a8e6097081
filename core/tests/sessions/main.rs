//! What becomes of a session when something fails, as an app sees it: the real library through its public surface, real TLS
//! to the emulator, simulated time, and a store that fails as platforms do. docs/failure-matrix.md names these tests.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod at_once;
mod device;
mod locks;
mod network;
mod processes;
mod storage;
mod surface;

#[path = "../support/mod.rs"]
mod support;
