//! `directauth-ffi` as a library for tests in Kotlin and Swift: all of it, and beside it a world that a test controls. No app loads
//! this.
//!
//! * [`TestWorld`]: an emulator in this process and a client in the same simulated time, so that no test waits;
//! * [`TestBench`]: the same calls from this side of the boundary;
//! * [`TestDefects`]: panics wherever work of the library runs, and results that are counted while somebody holds them.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![expect(clippy::result_large_err, reason = "UniFFI lowers an error as it is, and errors are rare")]
#![expect(clippy::panic, reason = "on purpose, to see what becomes of it")]

mod bench;
mod clock;
mod defects;
mod runtime;
mod world;

pub use bench::TestBench;
pub use defects::{Counted, TestDefects};
pub use world::TestWorld;

uniffi::setup_scaffolding!("directauth_test");

// Its exports become this library's.
directauth_ffi::uniffi_reexport_scaffolding!();
