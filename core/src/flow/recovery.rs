//! A forgotten password: another factor opens the way to a new one. protocol.md §2.6, rows 326–335.

use core::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::input;
use super::registry::SignIns;
use super::sign_in::SignIn;
use super::steps::Step;
use super::transaction::{Purpose, Transaction};
use crate::config::{Profile, RecoveryRequest, Scopes};
use crate::context::Context;
use crate::error::{Error, Kind, Unsupported};
use crate::secret::Secret;
use crate::wire::answer::Why;
use crate::wire::new_password;

/// The client at the organisation's own server, made when it is first needed.
pub(crate) type Organization = OnceLock<Arc<Context>>;

/// A user who has forgotten the password: choose the factor that shows who they are.
///
/// It runs at the organisation's own authorization server (`https://acme.okta.com` for the issuer
/// `https://acme.okta.com/oauth2/default`), with the scope `okta.myAccount.password.manage` alone, which an administrator has to
/// grant to the app. The steps are those of a sign-in; the last one is [`Step::ResetPassword`]. It signs nobody in, and nothing
/// of it is stored.
///
/// Each method begins a recovery of its own and cancels an abandoned sign-in or recovery of the same user. Errors that every
/// method can give are those of [`SignIn`], and: [`Kind::NotAllowed`] (the recovery policy does not allow it, row 329),
/// [`Kind::Configuration`] (the scope is not granted to the app, row 328), [`Kind::Unsupported`] (no Okta server).
pub struct Recovery {
    sign_in: Result<SignIn, Unsupported>,
}

impl Recovery {
    pub(crate) fn new(
        context: Arc<Context>,
        sign_ins: Arc<SignIns>,
        organization: Arc<Organization>,
        username: &str,
    ) -> Self {
        let context = at_organization(&context, &organization).ok_or(Unsupported::Recovery);
        Self { sign_in: context.map(|context| SignIn::with(context, sign_ins, Some(username), Purpose::Recovery)) }
    }

    /// With a code from an authenticator app; as [`SignIn::otp`].
    ///
    /// # Errors
    /// As [`SignIn::otp`].
    pub async fn otp(&self, code: impl Into<Secret>) -> Result<Step, Error> {
        self.sign_in()?.otp(code).await
    }

    /// With a prompt on the user's device; as [`SignIn::push`].
    ///
    /// # Errors
    /// As [`SignIn::push`].
    pub async fn push(&self) -> Result<Step, Error> {
        self.sign_in()?.push().await
    }

    /// With a code by text message; as [`SignIn::sms`].
    ///
    /// # Errors
    /// As [`SignIn::push`].
    pub async fn sms(&self) -> Result<Step, Error> {
        self.sign_in()?.sms().await
    }

    /// With a code by a phone call; as [`SignIn::voice`].
    ///
    /// # Errors
    /// As [`SignIn::push`].
    pub async fn voice(&self) -> Result<Step, Error> {
        self.sign_in()?.voice().await
    }

    /// With a code by e-mail; as [`SignIn::email`].
    ///
    /// # Errors
    /// As [`SignIn::push`].
    pub async fn email(&self) -> Result<Step, Error> {
        self.sign_in()?.email().await
    }

    /// With a passkey; as [`SignIn::passkey`].
    ///
    /// # Errors
    /// As [`SignIn::passkey`].
    pub async fn passkey(&self) -> Result<Step, Error> {
        self.sign_in()?.passkey().await
    }

    fn sign_in(&self) -> Result<&SignIn, Error> {
        self.sign_in.as_ref().map_err(|what| Kind::Unsupported { what: *what }.into())
    }
}

fn at_organization(context: &Arc<Context>, organization: &Organization) -> Option<Arc<Context>> {
    if context.config.profile != Profile::Okta {
        return None;
    }
    let issuer = context.config.issuer.organization()?;
    if issuer == context.config.issuer {
        return Some(Arc::clone(context));
    }
    Some(Arc::clone(organization.get_or_init(|| Arc::new(context.at(issuer)))))
}

/// What every leg of a recovery says (X1), and the scope that it asks for.
pub(super) fn asked(request: RecoveryRequest) -> (&'static str, &'static str) {
    match request {
        RecoveryRequest::Intent => ("intent", "recovery"),
        RecoveryRequest::Prompt => ("prompt", "recover_authenticator"),
    }
}

/// The scope of a recovery.
pub(super) fn scopes() -> Result<Scopes, Kind> {
    Scopes::parse([new_password::SCOPE]).map_err(|what| Kind::Configuration { what })
}

/// The user has shown who they are, and may set a new password.
///
/// The access token behind this step is good for nothing else; it is in memory only, and is revoked when the password is set,
/// when the step is dropped or cancelled, and when its time is over.
pub struct ResetPassword {
    transaction: Arc<Transaction>,
    expires_at: SystemTime,
    is_done: AtomicBool,
}

impl ResetPassword {
    pub(super) fn new(transaction: &Arc<Transaction>, expires_at: SystemTime) -> Self {
        Self { transaction: Arc::clone(transaction), expires_at, is_done: AtomicBool::new(false) }
    }

    /// Until when the password can be set, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Sets the new password, by `PUT /idp/myaccount/password` (protocol.md §1.14), once. Gives [`Step::PasswordChanged`]; sign
    /// in with it then.
    ///
    /// # Errors
    /// [`Kind::Rejected`]: the password does not meet the server's requirements, which
    /// [`server_text`](Error::server_text)`().causes()` has in the server's words; ask for another one, on the same step. Also if
    /// it is empty or cannot be a password (nothing was sent). [`Kind::Network`] with `maybe_sent`, [`Kind::Server`]: it may
    /// have been set; let the user try to sign in with it before anything else (row 334). [`Kind::Expired`]: start over.
    /// [`Kind::NotAllowed`]: the user may not set a password; this is the end (row 332). [`Kind::RateLimited`],
    /// [`Kind::Cancelled`], [`Kind::Busy`] (under way, or done already).
    pub async fn set(&self, new_password: impl Into<Secret>) -> Result<Step, Error> {
        let (transaction, password) = (&self.transaction, new_password.into());
        let turn = transaction.turn().map_err(|error| {
            let is_over = transaction.is_over() && !self.is_done.load(Ordering::SeqCst);
            if is_over && error.kind() == &Kind::Busy { transaction.error(Kind::Expired) } else { error }
        })?;
        if !input::is_password(&password) {
            return Err(transaction.error(Kind::Rejected));
        }
        // EXPOSE: written into the request body, which wipes itself after its one send.
        let body = new_password::body(password.expose());
        drop(password);
        match transaction.put_password(&turn, body).await {
            Ok(()) => {
                self.is_done.store(true, Ordering::SeqCst);
                Ok(Step::PasswordChanged)
            }
            Err(failure) => {
                if matches!(failure.why, Why::Expired | Why::Denied(_)) {
                    transaction.end();
                }
                Err(transaction.failed(failure))
            }
        }
    }

    /// Ends the recovery: the password stays what it was, unless a request is on its way.
    pub fn cancel(&self) {
        self.transaction.cancel();
    }
}

impl Drop for ResetPassword {
    fn drop(&mut self) {
        // A request that is on its way keeps what it needs.
        self.transaction.end();
    }
}

impl fmt::Debug for ResetPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetPassword").finish_non_exhaustive()
    }
}
