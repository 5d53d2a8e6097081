//! A world for tests: simulated clocks, tasks run one at a time on this thread, and a network that is real TLS to the
//! emulator or wholly simulated. Time passes only when everything waits for it.
#![expect(unreachable_pub, reason = "shared by test binaries that each use their own part")]
#![allow(dead_code, reason = "as above")]

pub mod authenticator;
pub mod keys;
pub mod line;
pub mod net;
pub mod proxy;
pub mod world;

use std::sync::OnceLock;

use directauth::Trust;
use directauth_emulator::Emulator;

/// One emulator for the whole test binary; each test has a tenant of its own.
pub fn emulator() -> &'static Emulator {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    EMULATOR.get_or_init(|| Emulator::start().expect("the emulator starts on a free loopback port"))
}

pub fn trust() -> Trust {
    Trust::Custom(vec![emulator().ca_der()])
}
