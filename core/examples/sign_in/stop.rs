//! Why a run ends early.

use directauth::Error;

/// Everything that ends a run before its end.
pub(crate) enum Stop {
    /// The library refused, and there is no way on.
    Refused(Error),
    /// The user left (Ctrl-C, or the terminal is gone).
    Left,
    /// The input ended where a line was needed.
    NoInput(&'static str),
    /// Something around it failed: a file, the terminal, the emulator.
    Failed(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
