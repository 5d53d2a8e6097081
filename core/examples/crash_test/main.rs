//! Kills processes that refresh, sign in and sign out, at random moments, and looks whether their sessions survive.
//!
//! ```console
//! $ scripts/crash-test --quick
//! ```
//!
//! Everything is real: processes, SIGKILL, files of a `FileStore`, a `FileLock`, TLS to the emulator. This program is both
//! the parent, which holds the emulator, kills and checks, and the child (`child.rs`), which is the app. `kills.rs`,
//! `losses.rs`, `ends.rs` and `pair.rs` are the four experiments; what may be lost is what docs/sessions.md §1 says.

#[cfg(unix)]
mod chance;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod ends;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod losses;
#[cfg(unix)]
mod pair;
#[cfg(unix)]
mod place;
#[cfg(unix)]
mod plan;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod refreshes;
#[cfg(unix)]
mod report;

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "child" => child::run(rest),
        _ => plan::run(&arguments),
    }
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "crash_test needs unix: it kills processes with SIGKILL");
    ExitCode::FAILURE
}
