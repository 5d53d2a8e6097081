//! Why a run ends before its end, and how that is told.

use std::io::Write;
use std::process::ExitCode;

use directauth::Error;

use crate::page;

/// Everything that ends a run early.
pub(crate) enum Stop {
    /// The library refused, and there is no way on.
    Refused(Error),
    /// The user left (Ctrl-C, or the terminal is gone).
    Left,
    /// The input ended where this was needed, perhaps after a refusal.
    NoInput(&'static str, Option<Error>),
    /// The command line cannot be followed.
    Usage(String),
    /// Something around it failed: the terminal, the emulator.
    Failed(String),
}

impl Stop {
    /// Tells it on standard error, and gives the exit code that `--help` promises.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Refused(error) | Self::NoInput(_, Some(error)) => (refusal(error), 1),
            Self::Left => ("left: the sign-in is cancelled, nothing more is sent".to_owned(), 130),
            Self::NoInput(what, None) => (format!("the input has no line for {what}"), 1),
            Self::Usage(text) => (format!("{text}\n--help explains the options"), 2),
            Self::Failed(text) => (text.clone(), 1),
        };
        let _ = writeln!(std::io::stderr(), "sign_in: {text}");
        ExitCode::from(code)
    }
}

/// What happened, what to do next, and what helps to find it in a log.
fn refusal(error: &Error) -> String {
    let mut text = format!("{error}\n  → {}\n    {}", page::remedy(error), error.kind().name());
    if let Some(id) = error.request_id() {
        text.push_str(&format!(", request id {id}"));
    }
    if let Some(id) = error.transaction_id() {
        text.push_str(&format!(", transaction id {id}"));
    }
    if let Some(words) = error.server_text().and_then(directauth::ServerText::description) {
        text.push_str(&format!("\n    the server says: “{words}”"));
    }
    text
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<directauth::Kind> for Stop {
    fn from(kind: directauth::Kind) -> Self {
        Self::Refused(kind.into())
    }
}
