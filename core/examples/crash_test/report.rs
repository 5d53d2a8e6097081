//! What is told: progress while somebody watches, one line for each experiment, the counts at the end.

use core::fmt;
use std::io::{IsTerminal, Write};

/// So many kills meet every moment that counts, unless the experiment misses its target.
pub(crate) const MANY: usize = 20;

/// Why an experiment ended early.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A session is gone that the contract keeps.
    Lost(String),
    /// Anything else that must not be.
    Wrong(String),
}

impl Trouble {
    /// Says where it happened.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Lost(what) => Self::Lost(format!("{place}: {what}")),
            Self::Wrong(what) => Self::Wrong(format!("{place}: {what}")),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "a session was lost: {what}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// What was done and what came of it.
#[derive(Default)]
pub(crate) struct Counts {
    /// Kills after which nothing may be lost.
    pub(crate) kills: usize,
    /// Of two processes at once.
    pub(crate) rounds: usize,
    pub(crate) lost: usize,
    /// Kills after which the contract allows a loss, and the losses, each of them typed and explained.
    pub(crate) allowed: (usize, usize),
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, rounds, lost, allowed: (allowed, gone) } = self;
        write!(
            f,
            "{kills} kills, {rounds} rounds, {lost} sessions lost (+ {allowed} kills where losses are allowed: "
        )?;
        write!(f, "{gone} lost, all typed and explained)")
    }
}

/// A line of the report.
pub(crate) fn line(text: impl fmt::Display) {
    clear();
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Told on standard error.
pub(crate) fn complain(text: impl fmt::Display) {
    clear();
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// How far it has come, drawn anew in its place.
pub(crate) fn progress(what: &str, done: usize, of: usize) {
    if std::io::stderr().is_terminal() {
        let mut out = std::io::stderr();
        let _ = write!(out, "\r\x1b[K  {what}: {done} of {of}").and_then(|()| out.flush());
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}
