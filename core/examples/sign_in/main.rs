//! Signs a user in.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod api;
mod page;
mod requests;
mod stop;
mod tour;
mod trouble;

use std::process::ExitCode;
pub(crate) const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(tour::play(page::Page::of_this_process())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop::Stop::Refused(error)) => {
            page::Page::of_this_process().refused("the tour", &error, None, &requests::Requests::default().take());
            ExitCode::from(1)
        }
        Err(stop::Stop::Failed(text)) => {
            eprintln!("{text}");
            ExitCode::from(1)
        }
        Err(_) => ExitCode::from(1),
    }
}
