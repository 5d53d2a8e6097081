//! The screens of a terminal. With the emulator, the user's phone is in it too.

use core::time::Duration;
use std::time::{Instant, SystemTime};

use directauth::{ApproveOnDevice, Error, Factor, Secret, Step};
use directauth_emulator::Tenant;

use crate::flow::{Button, Screen, Typed};
use crate::keyboard::{Key, Keyboard};
use crate::page::{Ink, Page};
use crate::requests::Requests;
use crate::stop::Stop;
use crate::words;

pub(crate) struct Terminal {
    page: Page,
    requests: Requests,
    /// The user's devices, if the emulator plays them.
    phone: Option<Tenant>,
    username: String,
    /// From the command line or the environment; used up by their first use.
    password: Option<Secret>,
    chosen: std::vec::IntoIter<Factor>,
    /// What was last asked of the user.
    trying: &'static str,
    /// The push that waits: when it ends, and whether there is a way back.
    waiting: (SystemTime, bool),
}

impl Terminal {
    pub(crate) fn new(
        page: Page,
        requests: Requests,
        phone: Option<Tenant>,
        password: Option<Secret>,
        chosen: Vec<Factor>,
    ) -> Self {
        Self {
            page,
            requests,
            phone,
            username: String::new(),
            password,
            chosen: chosen.into_iter(),
            trying: "the sign-in",
            waiting: (SystemTime::UNIX_EPOCH, false),
        }
    }

    /// Asks for the username; Enter alone takes `usual`.
    pub(crate) async fn username(&mut self, given: Option<String>, usual: Option<&str>) -> Result<String, Stop> {
        self.username = match given {
            Some(given) => given,
            None => loop {
                let prompt = usual.map_or_else(|| "  Username: ".to_owned(), |usual| format!("  Username [{usual}]: "));
                let line = Keyboard::open()?.line(self.page, &prompt, false).await?;
                match (line.trim(), usual) {
                    ("", Some(usual)) => break usual.to_owned(),
                    ("", None) => {}
                    (typed, _) => break typed.to_owned(),
                }
            },
        };
        Ok(self.username.clone())
    }

    /// A key beside a waiting push that is the phone's.
    fn on_phone(&self, key: Key, typed: &mut String) {
        let Some(phone) = &self.phone else { return };
        let say = |text: &str| {
            self.clear_line();
            self.page.emulator(text);
        };
        match key {
            Key::Char('a') if phone.approve_push(&self.username) => say("approved on the phone"),
            Key::Char('d') if phone.deny_push(&self.username) => say("denied on the phone"),
            Key::Char(digit) if digit.is_ascii_digit() && typed.len() < 4 => typed.push(digit),
            Key::Backspace => drop(typed.pop()),
            Key::Enter if !typed.is_empty() => {
                let number = core::mem::take(typed);
                let shown = phone.pending_pushes().pop().is_some_and(|push| push.choices.contains(&number));
                if shown && phone.tap_number(&self.username, &number) {
                    say(&format!("{number} tapped on the phone"));
                } else {
                    say(&format!("{number} is not on the phone"));
                }
            }
            _ => {}
        }
    }

    fn clear_line(&self) {
        if self.page.moves() {
            self.page.show("\r\x1b[K");
        }
    }

    fn spin(&self, frame: usize, typed: &str) {
        let wheel = ['|', '/', '-', '\\'].get(frame % 4).copied().unwrap_or('|');
        let left = self.waiting.0.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        let wait = self.page.ink(Ink::Dim, &format!("waiting for the device, {}:{:02} left", left / 60, left % 60));
        self.page.show(&format!("\r\x1b[K  {wheel} {wait}  {typed}"));
    }
}

impl Screen for Terminal {
    fn reached(&mut self, step: &Step) {
        let cost = self.requests.take();
        let Some(text) = words::reached(step, cost.count()) else { return };
        self.clear_line();
        self.page.done(&text, &cost);
    }

    fn problem(&mut self, error: Error) -> Result<(), Stop> {
        self.clear_line();
        self.page.refused(self.trying, &error, None, &self.requests.take());
        Ok(())
    }

    async fn password(&mut self) -> Result<Secret, Stop> {
        self.trying = words::THE_PASSWORD;
        match self.password.take() {
            Some(password) => Ok(password),
            None => {
                let prompt = format!("  Password of {} (hidden): ", self.username);
                Ok(Keyboard::open()?.line(self.page, &prompt, true).await?.into())
            }
        }
    }

    async fn factor(&mut self, offered: &[Factor]) -> Result<Factor, Stop> {
        self.trying = words::THE_FACTOR;
        if let Some(factor) = self.chosen.next().filter(|factor| offered.contains(factor)) {
            return Ok(factor);
        }
        for (number, factor) in (1..).zip(offered) {
            self.page.line(&format!("    {number}  {}", words::describe(*factor)));
        }
        loop {
            let line = Keyboard::open()?.line(self.page, "  Which one? ", false).await?;
            let typed = line.trim();
            let by_number = typed.parse::<usize>().ok().and_then(|number| offered.get(number.checked_sub(1)?));
            match by_number.or_else(|| offered.iter().find(|factor| factor.name() == typed)) {
                Some(factor) => return Ok(*factor),
                None => self.page.note(&format!("a number from 1 to {}, or Ctrl-C to leave", offered.len())),
            }
        }
    }

    async fn code(&mut self, from: Factor) -> Result<Typed, Stop> {
        self.trying = words::THE_CODE;
        if let Some(phone) = &self.phone {
            let code = if from == Factor::Otp { phone.totp(&self.username) } else { phone.last_code(&self.username) };
            match code {
                Some(code) => self.page.emulator(&format!("{} for {}: {code}", words::way(from), self.username)),
                None => self.page.emulator(&format!("{} has no {}", self.username, words::way(from))),
            }
        }
        let prompt = match from {
            Factor::Otp => "  Code (b: another method): ",
            _ => "  Code (r: send another, b: another method): ",
        };
        let line = Keyboard::open()?.line(self.page, prompt, false).await?;
        Ok(match line.trim() {
            "b" => Typed::Back,
            "r" if from != Factor::Otp => Typed::Resend,
            code => Typed::Code(Secret::from(code)),
        })
    }

    fn push(&mut self, push: &ApproveOnDevice) {
        self.trying = words::THE_PUSH;
        self.waiting = (push.expires_at(), push.choice().is_some());
        match push.number() {
            Some(number) => {
                self.page.line("  On your device, tap the number");
                self.page.large(number);
            }
            None => self.page.line("  Approve the sign-in on your device."),
        }
        if let Some(phone) = &self.phone {
            let choices = phone.pending_pushes().pop().map(|push| push.choices).unwrap_or_default();
            match push.number() {
                Some(_) => self.page.emulator(&format!(
                    "the phone shows  {}  (type one and Enter, or a: approve, d: deny)",
                    choices.join("  ")
                )),
                None => self.page.emulator("the phone asks for yes or no (a: approve, d: deny)"),
            }
        }
        let back = if self.waiting.1 { "  b: another method" } else { "" };
        self.page.note(&format!("r: send another push{back}  Ctrl-C: leave"));
        if !self.page.moves() {
            self.page.line("  waiting for the device");
        }
    }

    async fn button(&mut self) -> Result<Button, Stop> {
        let mut keyboard = Keyboard::open()?;
        let (start, mut typed) = (Instant::now(), String::new());
        loop {
            if self.page.moves() {
                self.spin(usize::try_from(start.elapsed().as_millis() / 120).unwrap_or(0), &typed);
            }
            let Some(key) = keyboard.key(Duration::from_millis(120)).await? else { continue };
            match key {
                Key::Leave => {
                    self.clear_line();
                    return Err(Stop::Left);
                }
                Key::Char('r') => return Ok(Button::Resend),
                Key::Char('b') if self.waiting.1 => return Ok(Button::Back),
                key => self.on_phone(key, &mut typed),
            }
        }
    }
}
