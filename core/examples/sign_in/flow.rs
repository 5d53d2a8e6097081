//! The sign-in, as an app writes it: a loop over the steps, with the app's screens behind [`Screen`].
//!
//! This is the part to copy. Three rules make it complete:
//!
//! * a step says what may come next; the loop only follows;
//! * after an error the step in hand stays usable, and the error's remedy says whether to ask again or to choose anew;
//! * dropping it (the user leaves the screen) cancels the sign-in: nothing more is sent.

use core::time::Duration;

use directauth::{
    ApproveOnDevice, ChooseFactor, Client, EnterCode, Error, Factor, Kind, Remedy, Secret, Session, Step,
};

use crate::stop::Stop;

/// Signs `username` in. Asks again as often as the server allows, and ends with a session or a reason.
pub(crate) async fn sign_in(
    client: &Client,
    username: &str,
    first: First,
    screen: &mut impl Screen,
) -> Result<Session, Stop> {
    let mut step = first_factor(client, username, first, screen).await?;
    screen.reached(&step);
    loop {
        let next = match &step {
            Step::SignedIn(session) => return Ok(session.clone()),
            Step::ChooseFactor(choice) => second_factor(choice, screen).await,
            Step::ApproveOnDevice(push) => approve(push, screen).await,
            Step::EnterCode(entry) => enter_code(entry, screen).await,
            _ => return Err(Stop::Refused(step.into())), // a step of a newer version: no screen for it
        };
        step = match next {
            Ok(next) => {
                screen.reached(&next);
                next
            }
            Err(Stop::Refused(error)) => match after(step, &error) {
                Some(step) => {
                    screen.problem(error)?;
                    step
                }
                None => return Err(Stop::Refused(error)),
            },
            Err(stop) => return Err(stop),
        };
    }
}

/// Where to go on after an error: the same step for another try, the choice for another factor, nowhere if it is over.
fn after(step: Step, error: &Error) -> Option<Step> {
    match error.remedy() {
        Remedy::AskAgain | Remedy::Wait(_) | Remedy::CheckConnection => Some(step),
        // Also `Busy`: a request that was given up has not ended yet.
        Remedy::ChooseAnother | Remedy::StartOver | Remedy::Ignore => {
            let choice = match step {
                Step::ChooseFactor(choice) => choice,
                Step::ApproveOnDevice(push) => push.choice()?,
                Step::EnterCode(entry) => entry.choice()?,
                _ => return None,
            };
            (!choice.factors().is_empty()).then_some(Step::ChooseFactor(choice))
        }
        _ => None,
    }
}

/// The password, or another factor alone.
async fn first_factor(client: &Client, username: &str, first: First, screen: &mut impl Screen) -> Result<Step, Stop> {
    let sign_in = client.sign_in(username);
    loop {
        let answer = match first {
            First::Password => {
                // The server is looked up while the user types.
                let (password, ()) = tokio::join!(screen.password(), client.warm_up());
                sign_in.password(password?).await
            }
            First::Factor(Factor::Otp) => match screen.code(Factor::Otp).await? {
                Typed::Code(code) => sign_in.otp(code).await,
                Typed::Resend | Typed::Back => continue,
            },
            First::Factor(Factor::Push) => return Ok(sign_in.push().await?),
            First::Factor(Factor::Sms) => return Ok(sign_in.sms().await?),
            First::Factor(Factor::Voice) => return Ok(sign_in.voice().await?),
            First::Factor(_) => return Ok(sign_in.email().await?),
        };
        match answer {
            Err(error) if error.remedy() == Remedy::AskAgain => screen.problem(error)?,
            answer => return Ok(answer?),
        }
    }
}

/// One of the factors that the server accepts now.
async fn second_factor(choice: &ChooseFactor, screen: &mut impl Screen) -> Result<Step, Stop> {
    match screen.factor(&choice.factors()).await? {
        Factor::Push => Ok(choice.push().await?),
        Factor::Sms => Ok(choice.sms().await?),
        Factor::Voice => Ok(choice.voice().await?),
        Factor::Email => Ok(choice.email().await?),
        _ => loop {
            let Typed::Code(code) = screen.code(Factor::Otp).await? else {
                return Ok(Step::ChooseFactor(choice.clone()));
            };
            match choice.otp(code).await {
                Err(error) if error.remedy() == Remedy::AskAgain => screen.problem(error)?,
                answer => return Ok(answer?),
            }
        },
    }
}

/// A push: the library polls until the user has answered on the device, or presses a button here.
async fn approve(push: &ApproveOnDevice, screen: &mut impl Screen) -> Result<Step, Stop> {
    screen.push(push);
    tokio::select! {
        answer = push.approved() => Ok(answer?),
        button = screen.button() => match button? {
            Button::Resend => resend(push).await,
            Button::Back => push.choice().map(Step::ChooseFactor).ok_or(Stop::Left),
        },
    }
}

/// Another push. A poll that was given up half way keeps the step busy until its request has ended.
async fn resend(push: &ApproveOnDevice) -> Result<Step, Stop> {
    let mut tries = 50;
    loop {
        match push.resend().await {
            Err(error) if *error.kind() == Kind::Busy && tries > 0 => tries -= 1,
            answer => return Ok(answer?),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A code from a message or a call.
async fn enter_code(entry: &EnterCode, screen: &mut impl Screen) -> Result<Step, Stop> {
    match screen.code(entry.channel()).await? {
        Typed::Code(code) => Ok(entry.submit(code).await?),
        Typed::Resend => Ok(entry.resend().await?),
        Typed::Back => entry.choice().map(Step::ChooseFactor).ok_or(Stop::Left),
    }
}

/// How a sign-in begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Password,
    Factor(Factor),
}

/// What the user typed where a code is asked for.
pub(crate) enum Typed {
    Code(Secret),
    Resend,
    Back,
}

/// What the user pressed while a push waits.
pub(crate) enum Button {
    Resend,
    Back,
}

/// The app's screens. An error from one of them ends the sign-in.
pub(crate) trait Screen {
    /// The sign-in has come to this step.
    fn reached(&mut self, step: &Step);
    /// Something was refused and can be tried again.
    fn problem(&mut self, error: Error) -> Result<(), Stop>;
    /// Asks for the password.
    async fn password(&mut self) -> Result<Secret, Stop>;
    /// Asks which factor to use.
    async fn factor(&mut self, offered: &[Factor]) -> Result<Factor, Stop>;
    /// Asks for a code that came this way.
    async fn code(&mut self, way: Factor) -> Result<Typed, Stop>;
    /// Shows that a push waits, and the number to tap.
    fn push(&mut self, push: &ApproveOnDevice);
    /// Waits for a button beside the waiting push; may be dropped at any time.
    async fn button(&mut self) -> Result<Button, Stop>;
}
