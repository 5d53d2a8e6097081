//! Signs a user in without a browser, calls an API, refreshes, and signs out again.
//!
//! ```console
//! $ cargo run --example sign_in                # with an emulated server; you are the user
//! $ cargo run --example sign_in -- --auto      # a tour that plays by itself
//! $ cargo run --example sign_in -- --help
//! ```
//!
//! Where to look: `flow.rs` is the sign-in, as an app writes it. `visit.rs` makes the client and uses the session,
//! `kept.rs` keeps it for the next run; `tour.rs` and `trouble.rs` show what can happen, call by call. The rest is the terminal.

mod api;
#[path = "../../tests/support/authenticator.rs"]
mod authenticator;
mod flow;
mod kept;
mod keyboard;
mod lines;
mod options;
mod page;
mod requests;
mod stop;
mod terminal;
mod tour;
mod trouble;
mod tty;
mod visit;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;

use directauth::Factor;
use options::Task;
use page::Page;
use stop::Stop;

/// The factors that a terminal has a screen for: it has no platform that uses passkeys.
pub(crate) const SCREENS: [Factor; 5] = [Factor::Otp, Factor::Push, Factor::Sms, Factor::Voice, Factor::Email];

/// What the app asks for: who the user is, and a refresh token.
pub(crate) const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(),
    }
}

fn run() -> Result<(), Stop> {
    let interactive = cfg!(unix) && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let task = options::parse(std::env::args_os().skip(1), interactive).map_err(Stop::Usage)?;
    let page = Page::of_this_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::Failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        let work = async {
            match task {
                Task::Help => page.show(options::HELP),
                Task::Version => page.line(concat!("sign_in, an example of directauth ", env!("CARGO_PKG_VERSION"))),
                Task::Tour => tour::play(page).await?,
                Task::SignIn(options) => visit::visit(page, options, interactive).await?,
            }
            Ok(())
        };
        // Leaving drops the sign-in in the middle: that cancels it.
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Err(Stop::Left),
        }
    });
    // Does not wait for somebody who still reads a line.
    runtime.shutdown_background();
    outcome
}
