//! The steps of a sign-in, and what each of them offers.

use core::fmt;
use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::input;
use super::passkey::UsePasskey;
use super::poll::{Move, Schedule};
use super::recovery::ResetPassword;
use super::second_factor::MAX_ATTEMPTS;
use super::transaction::{Transaction, Turn};
use crate::audit::Attempt;
use crate::config::Factor;
use crate::context::Outcome;
use crate::env::BootInstant;
use crate::error::{Code, ConfigurationProblem, Error, Kind, ResponseDefect, Unsupported};
use crate::secret::Secret;
use crate::session::Session;
use crate::wire::answer::{Failure, Leg, Why};
use crate::wire::oob::{Binding, Challenge, Oob, parse_challenge, parse_oob};
use crate::wire::requests;

/// Where a sign-in stands. More may be added.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Done. Dropping the session does not sign out.
    SignedIn(Session),
    /// The server wants a second factor; the user or the app chooses one.
    ChooseFactor(ChooseFactor),
    /// A prompt is on the user's device.
    ApproveOnDevice(ApproveOnDevice),
    /// A code is on its way to the user.
    EnterCode(EnterCode),
    /// The platform is to use a passkey.
    UsePasskey(UsePasskey),
    /// The user may set a new password. Only after [`Client::recover`](crate::Client::recover).
    ResetPassword(ResetPassword),
    /// The new password is set, and the recovery is over: sign in with it. Nothing was signed in or out.
    PasswordChanged,
    /// The server wants something that this version or the declared capabilities cannot do.
    Unsupported(Unsupported),
}

impl Step {
    /// Where "back" leads: the choice of second factors that this step is, or came from. `None` if there is none.
    pub fn choice(&self) -> Option<ChooseFactor> {
        match self {
            Self::ChooseFactor(choice) => Some(choice.clone()),
            Self::ApproveOnDevice(step) => step.choice(),
            Self::EnterCode(step) => step.choice(),
            Self::UsePasskey(step) => step.choice(),
            Self::SignedIn(_) | Self::ResetPassword(_) | Self::PasswordChanged | Self::Unsupported(_) => None,
        }
    }
}

impl From<Step> for Error {
    /// For a step that the app has no screen for.
    fn from(step: Step) -> Self {
        match step {
            Step::Unsupported(what) => Kind::Unsupported { what }.into(),
            _ => Kind::Unsupported { what: Unsupported::Challenge }.into(),
        }
    }
}

/// The server asked for a second factor (`mfa_required`, protocol.md §1.1).
///
/// Usable again and again, also after a declined or expired attempt, until the server replaces its `mfa_token` or ten
/// minutes are over: going back never means typing the password again.
///
/// Errors that every method can give: [`Kind::Expired`] (the ten minutes, or a second `access_denied` in a row: start
/// over), [`Kind::NotAllowed`] (the first one: this factor is not allowed, others may be), [`Kind::Busy`] (another action
/// is under way, or the choice was replaced), [`Kind::Cancelled`], [`Kind::Network`], [`Kind::Server`],
/// [`Kind::RateLimited`], [`Kind::InvalidResponse`], [`Kind::TokenRejected`].
#[derive(Clone)]
pub struct ChooseFactor {
    transaction: Arc<Transaction>,
    leg: u8,
}

impl ChooseFactor {
    pub(super) fn new(transaction: &Arc<Transaction>, leg: u8) -> Self {
        Self { transaction: Arc::clone(transaction), leg }
    }

    /// What can be chosen: what the server hinted at, of what the client declared, without what the server denied.
    pub fn factors(&self) -> Vec<Factor> {
        if self.transaction.is_current(self.leg).is_ok() { self.transaction.factors() } else { Vec::new() }
    }

    /// A code from an authenticator app.
    ///
    /// Sends `mfa-otp` (protocol.md §1.5), once.
    ///
    /// # Errors
    /// [`Kind::Rejected`]: wrong code, ask again on the same step. [`Kind::TooManyAttempts`] after five.
    pub async fn otp(&self, code: impl Into<Secret>) -> Result<Step, Error> {
        let code = input::code(&code.into()).ok_or_else(|| self.transaction.error(Kind::Rejected))?;
        let turn = self.turn(Factor::Otp)?;
        submit_otp(&self.transaction, &turn, &code).await
    }

    /// A prompt on the user's device; gives [`Step::ApproveOnDevice`]. Sends `/challenge` (protocol.md §1.11).
    ///
    /// # Errors
    /// [`Kind::RateLimited`] also locally: at most five pushes in ten minutes, five seconds apart.
    pub async fn push(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Push).await
    }

    /// A code by text message; gives [`Step::EnterCode`]. Sends `/challenge`.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] also locally: 30 seconds apart.
    pub async fn sms(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Sms).await
    }

    /// A code by a phone call; as [`sms`](ChooseFactor::sms).
    ///
    /// # Errors
    /// As [`sms`](ChooseFactor::sms).
    pub async fn voice(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Voice).await
    }

    /// A code by e-mail; as [`sms`](ChooseFactor::sms).
    ///
    /// # Errors
    /// As [`sms`](ChooseFactor::sms).
    pub async fn email(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Email).await
    }

    /// A passkey; gives [`Step::UsePasskey`]. Sends `/challenge`, or what
    /// [`passkey_start`](crate::ClientBuilder::passkey_start) says.
    ///
    /// # Errors
    /// [`Kind::InvalidResponse`]: the challenge is for a relying party that is neither the issuer nor configured, or cannot be
    /// used. [`Kind::Unsupported`]: the server wants another kind of credential.
    pub async fn passkey(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Passkey).await
    }

    /// Ends the sign-in: nothing more is sent, its secrets are wiped, and tokens that still arrive are revoked. If its
    /// session is being stored at this moment, it is signed in, and the call that waits gives the session.
    pub fn cancel(&self) {
        self.transaction.cancel();
    }

    /// The right to act, then whether this choice still is the sign-in's: in between nobody else can act.
    fn turn(&self, factor: Factor) -> Result<Arc<Turn>, Error> {
        let turn = self.transaction.turn()?;
        self.transaction.is_current(self.leg)?;
        if self.transaction.common.capabilities.contains(&factor) {
            Ok(turn)
        } else {
            Err(self.transaction.error(Kind::Configuration { what: ConfigurationProblem::Capability }))
        }
    }

    async fn out_of_band(&self, factor: Factor) -> Result<Step, Error> {
        let turn = self.turn(factor)?;
        start(&self.transaction, &turn, factor, Some(self.leg)).await
    }
}

async fn submit_otp(transaction: &Arc<Transaction>, turn: &Arc<Turn>, code: &Secret) -> Result<Step, Error> {
    transaction.pace().await?;
    // EXPOSE: written into the request body, which wipes itself after its one send.
    let body = transaction.with_mfa_token(|token| requests::mfa_otp(&transaction.common, token, code.expose()));
    let body = body.map_err(|failure| transaction.failed(failure))?;
    transaction.count_otp()?;
    match transaction.exchange(turn, Leg::Entered, Attempt::SecondFactorOtp, body).await {
        Ok(step) => Ok(step),
        Err(Failure { why: Why::MoreAssurance(asked), .. }) => transaction.more_assurance(asked),
        Err(failure) => Err(transaction.second_factor_failed(Factor::Otp, true, failure)),
    }
}

/// Sends a prompt or code to the user, as the first factor or, with the leg of its choice, as a second.
pub(super) async fn start(
    transaction: &Arc<Transaction>,
    turn: &Arc<Turn>,
    factor: Factor,
    leg: Option<u8>,
) -> Result<Step, Error> {
    let now = transaction.context.env.clock.boot();
    transaction
        .sign_ins
        .may_send(&transaction.context, &transaction.username, factor)
        .map_err(|k| transaction.error(k))?;
    if factor != Factor::Passkey {
        transaction.sign_ins.sends().remember(&transaction.username, factor, now);
    }
    let answer = transaction.send_prompt(turn, factor, leg.is_some()).await.map_err(|failure| {
        if failure.surely_nothing_sent() {
            transaction.sign_ins.sends().forget(&transaction.username, factor, now);
        }
        match leg {
            Some(_) => transaction.second_factor_failed(factor, false, failure),
            None => transaction.failed(failure),
        }
    })?;
    transaction.heard_from();
    if factor == Factor::Passkey {
        let challenge = transaction.passkey_challenge(answer).map_err(|kind| transaction.error(kind))?;
        return Ok(Step::UsePasskey(UsePasskey::new(transaction, leg, challenge)));
    }
    let challenge = match leg {
        Some(_) => parse_challenge(answer, factor),
        None => parse_oob(answer, factor).map(Challenge::Oob),
    };
    let challenge = challenge.map_err(|kind| {
        if kind == (Kind::InvalidResponse { what: ResponseDefect::ChannelMismatch }) {
            // A weaker channel than the one asked for is no misunderstanding (row 114).
            transaction.end();
        }
        transaction.error(kind)
    })?;
    Ok(match challenge {
        Challenge::Otp => {
            Step::EnterCode(EnterCode { prompt: Prompt::new(transaction, Factor::Otp, leg, None, OTP_LIFE) })
        }
        Challenge::Oob(oob) => {
            let Oob { oob_code, binding, expires_in } = oob;
            let prompt = Prompt::new(transaction, factor, leg, Some(oob_code), expires_in);
            match binding {
                Binding::None { interval } => Step::ApproveOnDevice(ApproveOnDevice::new(prompt, None, interval)),
                Binding::Transfer { number, interval } => {
                    Step::ApproveOnDevice(ApproveOnDevice::new(prompt, Some(number), interval))
                }
                Binding::Prompt => Step::EnterCode(EnterCode { prompt }),
            }
        }
    })
}

/// What the waiting steps have in common.
pub(super) struct Prompt {
    pub(super) transaction: Arc<Transaction>,
    factor: Factor,
    pub(super) leg: Option<u8>,
    /// The number under which the sign-in keeps its `oob_code`; `None` if there is none: an authenticator app's code or a
    /// passkey is asked for.
    number: Option<u32>,
    deadline: BootInstant,
    pub(super) expires_at: SystemTime,
    resend_at: SystemTime,
    spent: AtomicBool,
}

/// How long an authenticator-app code may be waited for when `/challenge` asks for one after all (row 154).
const OTP_LIFE: Duration = Duration::from_secs(300);

impl Prompt {
    pub(super) fn new(
        transaction: &Arc<Transaction>,
        factor: Factor,
        leg: Option<u8>,
        oob_code: Option<Secret>,
        life: Duration,
    ) -> Self {
        let clock = &transaction.context.env.clock;
        let (now, wall) = (clock.boot(), clock.wall());
        let resend = transaction.sign_ins.sends().allowed_at(&transaction.username, factor, now);
        Self {
            transaction: Arc::clone(transaction),
            factor,
            leg,
            number: oob_code.map(|code| transaction.keep_prompt(code, life)),
            deadline: now.plus(life),
            expires_at: wall.plus(life).to_system_time(),
            resend_at: wall.plus(resend.since(now)).to_system_time(),
            spent: AtomicBool::new(false),
        }
    }

    /// The right to act on this step, if it is not spent.
    pub(super) fn turn(&self) -> Result<Arc<Turn>, Error> {
        let turn = self.turn_anew()?;
        if self.spent.load(Ordering::SeqCst) {
            return Err(self.transaction.error(Kind::Busy));
        }
        Ok(turn)
    }

    /// The right to begin what this step is about anew, spent or not.
    pub(super) fn turn_anew(&self) -> Result<Arc<Turn>, Error> {
        let turn = self.transaction.turn()?;
        if let Some(leg) = self.leg {
            self.transaction.is_current(leg)?;
        }
        Ok(turn)
    }

    pub(super) fn spend(&self) {
        self.spent.store(true, Ordering::SeqCst);
        self.forget();
    }

    fn forget(&self) {
        if let Some(number) = self.number {
            self.transaction.forget_prompt(number);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.transaction.context.env.clock.boot() >= self.deadline
    }

    /// Sends the prompt's code, with the received one if the user typed one.
    async fn exchange(
        &self,
        turn: &Arc<Turn>,
        leg: Leg,
        attempt: Attempt,
        binding_code: Option<&str>,
    ) -> Result<Step, Failure> {
        let (transaction, common) = (&self.transaction, &self.transaction.common);
        let number = self.number.ok_or_else(|| Failure::local(Kind::Internal))?;
        let body = transaction.with_oob_code(number, |oob_code| match self.leg {
            Some(_) => transaction.with_mfa_token(|token| requests::oob(common, oob_code, binding_code, Some(token))),
            None => Ok(requests::oob(common, oob_code, binding_code, None)),
        })?;
        self.transaction.exchange(turn, leg, attempt, body).await
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        match self.leg {
            Some(_) => self.transaction.second_factor_failed(self.factor, false, failure),
            None => self.transaction.failed(failure),
        }
    }

    pub(super) fn choice(&self) -> Option<ChooseFactor> {
        self.leg.map(|leg| ChooseFactor::new(&self.transaction, leg))
    }

    async fn resend(&self) -> Result<Step, Error> {
        let turn = self.turn()?;
        if self.number.is_none() {
            // A code of an authenticator app is not sent by anybody.
            return Err(self.transaction.error(Kind::Unsupported { what: Unsupported::Challenge }));
        }
        let step = start(&self.transaction, &turn, self.factor, self.leg).await?;
        // Until here the old code stayed valid.
        self.spend();
        Ok(step)
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.forget();
    }
}

/// A prompt is on the user's device (protocol.md §2.5, RFC 8628 §3.4–3.5).
pub struct ApproveOnDevice {
    prompt: Prompt,
    number: Option<String>,
    schedule: Mutex<Schedule>,
}

impl ApproveOnDevice {
    fn new(prompt: Prompt, number: Option<String>, interval: Duration) -> Self {
        let now = prompt.transaction.context.env.clock.boot();
        let schedule = Mutex::new(Schedule::new(interval, prompt.deadline, now));
        Self { prompt, number, schedule }
    }

    /// The number that the user has to tap on the device, to be shown large; `None` if there is just yes and no.
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }

    /// When the prompt ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.prompt.expires_at
    }

    /// Waits for the user's answer.
    ///
    /// Polls the token endpoint (protocol.md §1.4, §2.4): first after one interval, more slowly when the server says so or
    /// cannot be reached, until [`expires_at`](ApproveOnDevice::expires_at). It never sends another push. Dropping the
    /// future stops at once; the step stays usable, and a later call goes on where it was.
    ///
    /// # Errors
    /// [`Kind::Declined`]: the user said no or tapped a wrong number. [`Kind::Expired`]: nobody answered, or the answer to
    /// a poll that got lost cannot be had again. After both, [`choice`](ApproveOnDevice::choice) leads to another factor.
    /// [`Kind::Cancelled`], [`Kind::Busy`] (somebody waits already, or the step is spent), [`Kind::TokenRejected`],
    /// [`Kind::Server`], [`Kind::Configuration`], [`Kind::InvalidResponse`], [`Kind::Network`] (only for a certificate
    /// that is not accepted, or web pages in a row: the step stays usable).
    pub async fn approved(&self) -> Result<Step, Error> {
        let turn = self.prompt.turn()?;
        let result = self.answer(&turn).await;
        if let Err(error) = &result {
            // Whatever ended the wait, if no answer did.
            self.prompt.transaction.polls_end(Outcome::named(error.kind().name()));
        }
        result
    }

    async fn answer(&self, turn: &Arc<Turn>) -> Result<Step, Error> {
        let prompt = &self.prompt;
        let clock = &prompt.transaction.context.env.clock;
        loop {
            let pause = self.schedule().wait(clock.boot());
            if !pause.is_zero() {
                prompt.transaction.sleep(pause).await?;
            }
            if self.schedule().is_over(clock.boot()) {
                prompt.spend();
                return Err(prompt.transaction.error(Kind::Expired));
            }
            prompt.transaction.pace().await?;
            self.schedule().begin(clock.boot());
            let failure = match prompt.exchange(turn, Leg::Poll, Attempt::Approval, None).await {
                Ok(step) => {
                    prompt.spend();
                    return Ok(step);
                }
                Err(failure) => failure,
            };
            let said = failure.said.clone();
            match failure.why {
                Why::Pending | Why::SlowDown => prompt.transaction.heard_from(),
                // Counted, so that a dead `mfa_token` is recognised as such by the second one.
                Why::Denied(_) => {
                    drop(prompt.failed(Failure { why: Why::Denied(Code::of("access_denied")), ..failure }))
                }
                _ => {}
            }
            let next = self.schedule().after(failure.why, clock.boot());
            match next {
                Move::Wait => {}
                Move::Choose(asked) => {
                    prompt.spend();
                    return prompt.transaction.more_assurance(asked);
                }
                Move::Stop(kind) => {
                    if !kind.is_retryable() {
                        prompt.spend();
                    }
                    return Err(prompt.transaction.error(kind).with(said));
                }
            }
        }
    }

    /// Sends the prompt anew; this step is spent when that succeeded, the new one replaces it.
    ///
    /// # Errors
    /// As the method that led here.
    pub async fn resend(&self) -> Result<Step, Error> {
        self.prompt.resend().await
    }

    /// Back to the choice of factors, if this is a second factor.
    pub fn choice(&self) -> Option<ChooseFactor> {
        self.prompt.choice()
    }

    /// Ends the sign-in: whoever waits hears of it at once, nothing more is sent, its secrets are wiped, and tokens that still
    /// arrive are revoked. If its session is being stored at this moment, it is signed in, and the call that waits gives the
    /// session.
    pub fn cancel(&self) {
        self.prompt.transaction.cancel();
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A code is on its way to the user by SMS, voice or e-mail (or the server asks for one of an authenticator app).
pub struct EnterCode {
    prompt: Prompt,
}

impl EnterCode {
    /// How the code comes.
    pub fn channel(&self) -> Factor {
        self.prompt.factor
    }

    /// When the code ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.prompt.expires_at
    }

    /// The earliest time for a [`resend`](EnterCode::resend), on the device's wall clock.
    pub fn resend_at(&self) -> SystemTime {
        self.prompt.resend_at
    }

    /// How many codes may still be sent.
    pub fn attempts_left(&self) -> u8 {
        match self.prompt.number {
            Some(_) => MAX_ATTEMPTS.saturating_sub(self.prompt.transaction.codes.load(Ordering::SeqCst)),
            // A code of an authenticator app counts with the choice that it belongs to.
            None => self.prompt.transaction.otp_attempts_left(),
        }
    }

    /// Sends the code that the user typed, once (protocol.md §1.4: `binding_code`).
    ///
    /// Spaces, dashes and other digits than ASCII are normalised.
    ///
    /// # Errors
    /// [`Kind::Rejected`]: wrong code, ask again on the same step; or other characters than digits (nothing was sent).
    /// [`Kind::TooManyAttempts`] with the fifth wrong code. [`Kind::Expired`]: choose again or start over. Otherwise as
    /// [`ChooseFactor`].
    pub async fn submit(&self, code: impl Into<Secret>) -> Result<Step, Error> {
        let prompt = &self.prompt;
        let turn = prompt.turn()?;
        if self.attempts_left() == 0 {
            return Err(prompt.transaction.error(Kind::TooManyAttempts));
        }
        if prompt.is_over() {
            prompt.spend();
            return Err(prompt.transaction.error(Kind::Expired));
        }
        let code = input::code(&code.into()).ok_or_else(|| prompt.transaction.error(Kind::Rejected))?;
        if prompt.number.is_none() {
            return submit_otp(&prompt.transaction, &turn, &code).await.inspect(|_| prompt.spend());
        }
        let attempt = Attempt::Code(prompt.factor);
        prompt.transaction.pace().await?;
        // Counted before it is sent: a caller that goes away must not get one for nothing.
        prompt.transaction.codes.fetch_add(1, Ordering::SeqCst);
        // EXPOSE: written into the request body, which wipes itself after its one send.
        match prompt.exchange(&turn, Leg::Entered, attempt, Some(code.expose())).await {
            Ok(step) => {
                prompt.spend();
                Ok(step)
            }
            Err(Failure { why: Why::MoreAssurance(asked), .. }) => {
                prompt.spend();
                prompt.transaction.more_assurance(asked)
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Counts a wrong code; an end that the server announced ends this step (protocol.md §2.2, S4 and S8).
    fn failed(&self, failure: Failure) -> Error {
        let prompt = &self.prompt;
        match failure.why {
            Why::Refused => {
                if self.attempts_left() == 0 {
                    prompt.spend();
                    return prompt.transaction.error(Kind::TooManyAttempts).with(failure.said);
                }
            }
            Why::Denied(_) | Why::Expired => {
                prompt.spend();
                let said = failure.said.clone();
                drop(prompt.failed(failure));
                return prompt.transaction.error(Kind::Expired).with(said);
            }
            _ => {
                prompt.transaction.codes.fetch_sub(1, Ordering::SeqCst);
            }
        }
        prompt.failed(failure)
    }

    /// Sends a new code; the old one stays valid until that succeeded, then this step is spent and the new one replaces it.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] before [`resend_at`](EnterCode::resend_at) (nothing was sent); [`Kind::Unsupported`] for a code of
    /// an authenticator app, which nobody sends; otherwise as the method that led here.
    pub async fn resend(&self) -> Result<Step, Error> {
        self.prompt.resend().await
    }

    /// Back to the choice of factors, if this is a second factor.
    pub fn choice(&self) -> Option<ChooseFactor> {
        self.prompt.choice()
    }

    /// Ends the sign-in: nothing more is sent, its secrets are wiped, and tokens that still arrive are revoked. If its
    /// session is being stored at this moment, it is signed in, and the call that waits gives the session.
    pub fn cancel(&self) {
        self.prompt.transaction.cancel();
    }
}

impl fmt::Debug for ChooseFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChooseFactor").field("factors", &self.factors()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ApproveOnDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApproveOnDevice").finish_non_exhaustive()
    }
}

impl fmt::Debug for EnterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterCode").field("channel", &self.channel()).finish_non_exhaustive()
    }
}
