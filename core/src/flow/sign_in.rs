//! The first factor.

use core::time::Duration;
use std::sync::Arc;

use super::input;
use super::registry::SignIns;
use super::steps::{self, Step};
use super::transaction::{Purpose, Start, Transaction};
use crate::audit::Attempt;
use crate::config::{Assurance, Factor, Profile};
use crate::context::Context;
use crate::error::{ConfigurationProblem, Error, Kind, Unsupported};
use crate::secret::Secret;
use crate::wire::answer::{Failure, Leg, Why};
use crate::wire::form::Body;
use crate::wire::requests::{self, Common};

/// A user who is about to sign in: choose the first factor.
///
/// Nothing is sent until one of its methods is called; each call begins a sign-in of its own and cancels an abandoned one
/// of the same user. Every method first probes the token store, then fetches metadata and keys unless they are known
/// (protocol.md §1.14), on connections that belong to this sign-in alone.
///
/// Errors that every method can give, besides its own: [`Kind::StorageUnavailable`] (nothing was sent),
/// [`Kind::Network`], [`Kind::Server`], [`Kind::Configuration`] (issuer, client id, grant or scopes are not what the
/// server has), [`Kind::InvalidResponse`], [`Kind::RateLimited`] (status 429, whatever its body says),
/// [`Kind::NotAllowed`] (`access_denied`), [`Kind::BrowserRequired`], [`Kind::TokenRejected`] (tokens came and did not
/// pass validation; they were revoked), [`Kind::Busy`] (a request of this user's other sign-in is on the wire, or too
/// many sign-ins run).
pub struct SignIn {
    context: Arc<Context>,
    sign_ins: Arc<SignIns>,
    /// What was typed; `None` if a passkey says who it is.
    username: Option<String>,
    acr_values: Vec<String>,
    max_age: Option<Duration>,
    purpose: Purpose,
}

impl SignIn {
    pub(crate) fn new(context: Arc<Context>, sign_ins: Arc<SignIns>, username: &str) -> Self {
        Self::with(context, sign_ins, Some(username), Purpose::Session)
    }

    pub(crate) fn of_anybody(context: Arc<Context>, sign_ins: Arc<SignIns>) -> Self {
        Self::with(context, sign_ins, None, Purpose::Session)
    }

    pub(super) fn with(
        context: Arc<Context>,
        sign_ins: Arc<SignIns>,
        username: Option<&str>,
        purpose: Purpose,
    ) -> Self {
        let username = username.map(str::to_owned);
        Self { context, sign_ins, username, acr_values: Vec::new(), max_age: None, purpose }
    }

    /// The context classes of which one has to be reached, the most wanted first, such as `phr` or `urn:okta:loa:2fa:any`
    /// (protocol.md §6.5). Sent as `acr_values` on every leg; the ID token must say one of them as its `acr`, because a server
    /// ignores classes that it does not know. Needs the scope `openid`.
    ///
    /// If it cannot be reached the methods below give [`Kind::NotAllowed`] with `unmet_authentication_requirements`, or
    /// [`Kind::TokenRejected`] with [`TokenCheck::Acr`](crate::error::TokenCheck::Acr): the tokens are revoked.
    #[must_use]
    pub fn acr_values<I: IntoIterator<Item = S>, S: Into<String>>(mut self, values: I) -> Self {
        self.acr_values = values.into_iter().map(Into::into).collect();
        self
    }

    /// How long ago the user may have been asked: the ID token's `auth_time` must be that recent. It is not sent, for no
    /// document of direct authentication has the parameter, and a sign-in asks the user anyway. Needs the scope `openid`.
    ///
    /// An older one gives [`Kind::TokenRejected`] with [`TokenCheck::AuthTime`](crate::error::TokenCheck::AuthTime).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// With the password.
    ///
    /// Sends `grant_type=password` to the token endpoint (protocol.md §1.2, RFC 6749 §4.3), once. The server answers with
    /// tokens ([`Step::SignedIn`]) or `mfa_required` ([`Step::ChooseFactor`]).
    ///
    /// # Errors
    /// [`Kind::Rejected`]: `invalid_grant`; it does not say whether the user is unknown, the password wrong or the account
    /// locked. [`Kind::RateLimited`] also locally, when three or more in a row were refused: each spends one of the user's
    /// attempts before the account locks (LIM-2). After [`Kind::Network`] with `maybe_sent` the attempt may have counted;
    /// the library never repeats it.
    pub async fn password(&self, password: impl Into<Secret>) -> Result<Step, Error> {
        let password = password.into();
        if !input::is_password(&password) {
            return Err(Kind::Rejected.into());
        }
        // EXPOSE: written into the request body, which wipes itself after its one send.
        self.entered(Attempt::Password, |common, user| requests::password(common, user, password.expose())).await
    }

    /// With a code from an authenticator app, without a password.
    ///
    /// Sends the grant `urn:okta:params:oauth:grant-type:otp` (protocol.md §1.3), once. Spaces, dashes and other digits
    /// than ASCII are normalised.
    ///
    /// # Errors
    /// [`Kind::Rejected`]: the code is wrong or used up, or has other characters than digits (then nothing was sent).
    pub async fn otp(&self, code: impl Into<Secret>) -> Result<Step, Error> {
        let code = input::code(&code.into()).ok_or(Kind::Rejected)?;
        // EXPOSE: written into the request body, which wipes itself after its one send.
        self.entered(Attempt::Otp, |common, user| requests::otp(common, user, code.expose())).await
    }

    /// With a prompt on the user's device.
    ///
    /// Sends `/primary-authenticate` with `channel_hint=push` (protocol.md §1.10). Gives [`Step::ApproveOnDevice`].
    ///
    /// # Errors
    /// [`Kind::RateLimited`] also locally: at most five pushes in ten minutes, five seconds apart.
    pub async fn push(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Push).await
    }

    /// With a code by text message. As [`push`](SignIn::push), gives [`Step::EnterCode`]; 30 seconds apart.
    ///
    /// # Errors
    /// As [`push`](SignIn::push).
    pub async fn sms(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Sms).await
    }

    /// With a code by a phone call. As [`sms`](SignIn::sms).
    ///
    /// # Errors
    /// As [`push`](SignIn::push).
    pub async fn voice(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Voice).await
    }

    /// With a code by e-mail. As [`sms`](SignIn::sms).
    ///
    /// # Errors
    /// As [`push`](SignIn::push).
    pub async fn email(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Email).await
    }

    /// With a passkey.
    ///
    /// Sends `/primary-authenticate` with `challenge_hint=webauthn` (protocol.md §1.10). Gives [`Step::UsePasskey`].
    ///
    /// # Errors
    /// [`Kind::Rejected`]: the server does not know the user. [`Kind::InvalidResponse`]: the challenge is for a relying party
    /// that is neither the issuer nor configured ([`relying_parties`](crate::ClientBuilder::relying_parties)), or cannot be
    /// used. [`Kind::Unsupported`]: the server wants another kind of credential.
    pub async fn passkey(&self) -> Result<Step, Error> {
        self.out_of_band(Factor::Passkey).await
    }

    async fn entered(&self, attempt: Attempt, body: impl FnOnce(&Common, &str) -> Body) -> Result<Step, Error> {
        if attempt != Attempt::Password {
            self.is_direct()?;
        }
        self.assurance()?;
        // Before the sign-in in hand is cancelled for nothing.
        self.sign_ins.may_try(&self.context, &self.typed()?)?;
        let transaction = self.begin().await?;
        let turn = transaction.turn()?;
        transaction.pace_first_factor().await?;
        transaction.pace().await?;
        let body = body(&transaction.common, &transaction.username);
        match transaction.exchange(&turn, Leg::Entered, attempt, body).await {
            Ok(step) => Ok(step),
            Err(Failure { why: Why::MoreAssurance(asked), .. }) => transaction.more_assurance(asked),
            Err(failure) => Err(transaction.failed(failure)),
        }
    }

    async fn out_of_band(&self, factor: Factor) -> Result<Step, Error> {
        self.is_direct()?;
        if !self.context.config.capabilities.contains(&factor) {
            return Err(Kind::Configuration { what: ConfigurationProblem::Capability }.into());
        }
        self.assurance()?;
        // Before the sign-in in hand, whose code is on its way, is cancelled for nothing.
        let username = if factor == Factor::Passkey { self.username()? } else { self.typed()? };
        self.sign_ins.may_send(&self.context, &username, factor)?;
        let transaction = self.begin().await?;
        let turn = transaction.turn()?;
        steps::start(&transaction, &turn, factor, None).await
    }

    async fn begin(&self) -> Result<Arc<Transaction>, Error> {
        let start = Start { username: self.username()?, assurance: self.assurance()?, purpose: self.purpose.clone() };
        Transaction::begin(&self.context, &self.sign_ins, start).await
    }

    fn assurance(&self) -> Result<Assurance, Kind> {
        let what = ConfigurationProblem::AcrValues;
        let assurance =
            Assurance::parse(&self.acr_values, self.max_age).map_err(|what| Kind::Configuration { what })?;
        if assurance.is_asked_for() && !self.context.config.scopes.contains("openid") {
            return Err(Kind::Configuration { what });
        }
        Ok(assurance)
    }

    /// Other providers than Okta take a password and nothing else.
    fn is_direct(&self) -> Result<(), Kind> {
        let what = Unsupported::Factor;
        if self.context.config.profile == Profile::Okta { Ok(()) } else { Err(Kind::Unsupported { what }) }
    }

    /// What only a passkey can do without.
    fn typed(&self) -> Result<String, Kind> {
        if self.username.is_some() { self.username() } else { Err(Kind::Rejected) }
    }

    /// Empty if a passkey says who it is.
    fn username(&self) -> Result<String, Kind> {
        let Some(typed) = &self.username else { return Ok(String::new()) };
        input::username(typed, self.context.config.trim_usernames).ok_or(Kind::Rejected)
    }
}
