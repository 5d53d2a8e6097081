//! The screens of a script: answers come as lines from standard input, in the order in which they are asked for.

use std::io::{BufRead, IsTerminal, Read};

use directauth::{ApproveOnDevice, Error, Factor, Kind, Secret, Step};
use zeroize::Zeroizing;

use crate::flow::{Button, Screen, Typed};
use crate::page::Page;
use crate::requests::Requests;
use crate::stop::Stop;
use crate::words;

const LONGEST_LINE: u64 = 4096;

pub(crate) struct Lines {
    page: Page,
    requests: Requests,
    password: Option<Secret>,
    chosen: std::vec::IntoIter<Factor>,
    trying: &'static str,
    /// The last refusal: the outcome, should the input end before something better comes.
    refused: Option<Error>,
}

impl Lines {
    pub(crate) fn new(page: Page, requests: Requests, password: Option<Secret>, chosen: Vec<Factor>) -> Self {
        Self { page, requests, password, chosen: chosen.into_iter(), trying: "the sign-in", refused: None }
    }

    async fn next(&mut self, what: &'static str) -> Result<Zeroizing<String>, Stop> {
        let read = || {
            let mut line = Zeroizing::new(String::with_capacity(128));
            let read = std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
            read.ok().filter(|read| *read > 0).map(|_| line)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Some(line)) => Ok(line),
            _ => Err(Stop::NoInput(what, self.refused.take())),
        }
    }
}

impl Screen for Lines {
    fn reached(&mut self, step: &Step) {
        let cost = self.requests.take();
        if let Some(text) = words::reached(step, cost.count()) {
            self.page.done(&text, &cost);
        }
    }

    /// Only a code is asked for again; nothing else in the input could be meant for a second try.
    fn problem(&mut self, error: Error) -> Result<(), Stop> {
        if self.trying != words::THE_CODE || *error.kind() != Kind::Rejected {
            return Err(Stop::Refused(error));
        }
        self.page.refused(self.trying, &error, None, &self.requests.take());
        self.refused = Some(error);
        Ok(())
    }

    async fn password(&mut self) -> Result<Secret, Stop> {
        self.trying = words::THE_PASSWORD;
        match self.password.take() {
            Some(password) => Ok(password),
            // It would be shown.
            None if std::io::stdin().is_terminal() => Err(Stop::NoInput("the password", None)),
            None => {
                let line = self.next("the password").await?;
                Ok(Secret::from(line.strip_suffix('\n').map_or(line.as_str(), |line| line.trim_end_matches('\r'))))
            }
        }
    }

    async fn factor(&mut self, offered: &[Factor]) -> Result<Factor, Stop> {
        self.trying = words::THE_FACTOR;
        if let Some(factor) = self.chosen.next() {
            return Ok(factor);
        }
        let names: Vec<&str> = offered.iter().map(|factor| factor.name()).collect();
        self.page.note(&format!("one of: {}", names.join(" ")));
        let line = self.next("the next factor").await?;
        let factor = crate::SCREENS.into_iter().find(|factor| factor.name() == line.trim());
        factor.ok_or(Stop::NoInput("the next factor", None))
    }

    async fn code(&mut self, _: Factor) -> Result<Typed, Stop> {
        self.trying = words::THE_CODE;
        Ok(Typed::Code(Secret::from(self.next("the code").await?.trim())))
    }

    fn push(&mut self, push: &ApproveOnDevice) {
        self.trying = words::THE_PUSH;
        match push.number() {
            Some(number) => self.page.note(&format!("on the device, tap the number {number}")),
            None => self.page.note("approve the sign-in on the device"),
        }
    }

    /// A script presses nothing.
    async fn button(&mut self) -> Result<Button, Stop> {
        core::future::pending().await
    }
}
