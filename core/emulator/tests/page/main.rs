//! The control page in a real browser, while the library signs in on the other side.
//!
//! Needs `chromium` and `chromedriver` (`scripts/setup` installs them), so it is no part of `cargo test`:
//! `scripts/test emulator` runs it. Pictures of what it looks like go to `target/page`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod browser;
mod connection;
mod desk;
mod journal;
mod looks;
mod people;
mod troubles;
