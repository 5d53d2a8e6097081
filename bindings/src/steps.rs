//! The steps of a sign-in, and what each of them offers. The core's documentation of each holds here too.

use std::sync::Arc;
use std::time::SystemTime;

use directauth::{Secret, Step};

use crate::config::Factor;
use crate::error::AuthError;
use crate::runtime::{finish, finish_now};
use crate::session::AuthSession;

/// Where a sign-in stands. After an error the step in hand stays usable unless the error says otherwise.
#[derive(Clone, uniffi::Enum)]
pub enum SignInStep {
    /// Done. Dropping the session does not sign out.
    SignedIn {
        /// The session.
        session: Arc<AuthSession>,
    },
    /// The server wants a second factor; the user or the app chooses one.
    ChooseFactor {
        /// The choice.
        step: Arc<ChooseFactor>,
    },
    /// A prompt is on the user's device.
    ApproveOnDevice {
        /// The prompt.
        step: Arc<ApproveOnDevice>,
    },
    /// A code is on its way to the user.
    EnterCode {
        /// The code.
        step: Arc<EnterCode>,
    },
    /// The platform is to use a passkey.
    UsePasskey {
        /// The challenge.
        step: Arc<UsePasskey>,
    },
    /// The user may set a new password. Only after `recover`.
    ResetPassword {
        /// The right to do so.
        step: Arc<ResetPassword>,
    },
    /// The new password is set, and the recovery is over: sign in with it.
    PasswordChanged,
    /// The server wants something that this version or the declared capabilities cannot do.
    Unsupported {
        /// What, for a developer.
        what: String,
    },
}

impl From<Step> for SignInStep {
    fn from(step: Step) -> Self {
        match step {
            Step::SignedIn(session) => Self::SignedIn { session: AuthSession::of(session) },
            Step::ChooseFactor(step) => Self::ChooseFactor { step: Arc::new(ChooseFactor(step)) },
            Step::ApproveOnDevice(step) => Self::ApproveOnDevice { step: Arc::new(ApproveOnDevice(step)) },
            Step::EnterCode(step) => Self::EnterCode { step: Arc::new(EnterCode(step)) },
            Step::UsePasskey(step) => Self::UsePasskey { step: Arc::new(UsePasskey(step)) },
            Step::ResetPassword(step) => Self::ResetPassword { step: Arc::new(ResetPassword(step)) },
            Step::PasswordChanged => Self::PasswordChanged,
            Step::Unsupported(what) => Self::Unsupported { what: what.to_string() },
            _ => Self::Unsupported { what: "a step that is newer than this library's bindings".to_owned() },
        }
    }
}

/// Carries one action of the core to its end.
macro_rules! act {
    ($held:expr, $action:ident) => {{
        let held = Arc::clone($held);
        finish(async move { held.0.$action().await.map(SignInStep::from) }).await
    }};
    ($held:expr, $action:ident, $secret:expr) => {{
        let (held, secret) = (Arc::clone($held), Secret::new($secret));
        finish(async move { held.0.$action(secret).await.map(SignInStep::from) }).await
    }};
}

/// A user who is about to sign in: choose the first factor.
#[derive(uniffi::Object)]
pub struct SignIn(pub(crate) directauth::SignIn);

#[uniffi::export]
impl SignIn {
    /// With the password.
    pub async fn password(self: Arc<Self>, password: String) -> Result<SignInStep, AuthError> {
        act!(&self, password, password)
    }

    /// With a code from an authenticator app.
    pub async fn otp(self: Arc<Self>, code: String) -> Result<SignInStep, AuthError> {
        act!(&self, otp, code)
    }

    /// With a prompt on the user's device.
    pub async fn push(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, push)
    }

    /// With a code by text message.
    pub async fn sms(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, sms)
    }

    /// With a code by a phone call.
    pub async fn voice(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, voice)
    }

    /// With a code by e-mail.
    pub async fn email(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, email)
    }

    /// With a passkey.
    pub async fn passkey(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, passkey)
    }
}

/// A user who has forgotten the password: choose the factor that shows who they are.
#[derive(uniffi::Object)]
pub struct Recovery(pub(crate) directauth::Recovery);

#[uniffi::export]
impl Recovery {
    /// With a code from an authenticator app.
    pub async fn otp(self: Arc<Self>, code: String) -> Result<SignInStep, AuthError> {
        act!(&self, otp, code)
    }

    /// With a prompt on the user's device.
    pub async fn push(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, push)
    }

    /// With a code by text message.
    pub async fn sms(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, sms)
    }

    /// With a code by a phone call.
    pub async fn voice(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, voice)
    }

    /// With a code by e-mail.
    pub async fn email(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, email)
    }

    /// With a passkey.
    pub async fn passkey(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, passkey)
    }
}

/// The server wants a second factor.
#[derive(uniffi::Object)]
pub struct ChooseFactor(pub(crate) directauth::ChooseFactor);

#[uniffi::export]
impl ChooseFactor {
    /// Those that can be chosen.
    pub fn factors(&self) -> Vec<Factor> {
        self.0.factors().into_iter().map(Factor::from).collect()
    }

    /// With a code from an authenticator app.
    pub async fn otp(self: Arc<Self>, code: String) -> Result<SignInStep, AuthError> {
        act!(&self, otp, code)
    }

    /// With a prompt on the user's device.
    pub async fn push(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, push)
    }

    /// With a code by text message.
    pub async fn sms(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, sms)
    }

    /// With a code by a phone call.
    pub async fn voice(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, voice)
    }

    /// With a code by e-mail.
    pub async fn email(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, email)
    }

    /// With a passkey.
    pub async fn passkey(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, passkey)
    }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    pub fn cancel(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.0.cancel();
            Ok(())
        })
    }
}

/// A prompt is on the user's device.
#[derive(uniffi::Object)]
pub struct ApproveOnDevice(pub(crate) directauth::ApproveOnDevice);

#[uniffi::export]
impl ApproveOnDevice {
    /// The number to show, which the user taps there.
    pub fn number(&self) -> Option<String> {
        self.0.number().map(str::to_owned)
    }

    /// When it ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// Waits until the user has answered. May be cancelled and called again.
    pub async fn approved(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, approved)
    }

    /// Sends another prompt.
    pub async fn resend(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, resend)
    }

    /// Where "back" leads: the choice of second factors that this step came from.
    pub fn choice(&self) -> Option<Arc<ChooseFactor>> {
        self.0.choice().map(|choice| Arc::new(ChooseFactor(choice)))
    }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    pub fn cancel(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.0.cancel();
            Ok(())
        })
    }
}

/// A code is on its way to the user.
#[derive(uniffi::Object)]
pub struct EnterCode(pub(crate) directauth::EnterCode);

#[uniffi::export]
impl EnterCode {
    /// By which way.
    pub fn channel(&self) -> Factor {
        self.0.channel().into()
    }

    /// When it ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// From when on another code may be sent.
    pub fn resend_at(&self) -> SystemTime {
        self.0.resend_at()
    }

    /// How many codes may still be entered.
    pub fn attempts_left(&self) -> i32 {
        i32::from(self.0.attempts_left())
    }

    /// The code that came.
    pub async fn submit(self: Arc<Self>, code: String) -> Result<SignInStep, AuthError> {
        act!(&self, submit, code)
    }

    /// Sends another code; the old one works until that has succeeded.
    pub async fn resend(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, resend)
    }

    /// Where "back" leads: the choice of second factors that this step came from.
    pub fn choice(&self) -> Option<Arc<ChooseFactor>> {
        self.0.choice().map(|choice| Arc::new(ChooseFactor(choice)))
    }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    pub fn cancel(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.0.cancel();
            Ok(())
        })
    }
}

/// The platform is to use a passkey.
#[derive(uniffi::Object)]
pub struct UsePasskey(pub(crate) directauth::UsePasskey);

#[uniffi::export]
impl UsePasskey {
    /// `PublicKeyCredentialRequestOptionsJSON`, for one ceremony of the platform.
    pub fn request_json(&self) -> String {
        self.0.request_json().to_owned()
    }

    /// The user's passkeys, if the server lists them.
    pub fn enrolled(&self) -> Vec<EnrolledPasskey> {
        let enrolled = self.0.enrolled().iter();
        enrolled.map(|one| EnrolledPasskey { id: one.id.clone(), name: one.name.clone() }).collect()
    }

    /// When it ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// The platform's `AuthenticationResponseJSON`.
    pub async fn answer(self: Arc<Self>, response_json: String) -> Result<SignInStep, AuthError> {
        let (held, response) = (Arc::clone(&self), Secret::new(response_json));
        // EXPOSE: parsed and sent, by the core, which keeps nothing of it.
        finish(async move { held.0.answer(response.expose()).await.map(SignInStep::from) }).await
    }

    /// Another challenge, for another ceremony.
    pub async fn renew(self: Arc<Self>) -> Result<SignInStep, AuthError> {
        act!(&self, renew)
    }

    /// Where "back" leads: the choice of second factors that this step came from.
    pub fn choice(&self) -> Option<Arc<ChooseFactor>> {
        self.0.choice().map(|choice| Arc::new(ChooseFactor(choice)))
    }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    pub fn cancel(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.0.cancel();
            Ok(())
        })
    }
}

/// One of the user's passkeys, as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct EnrolledPasskey {
    /// The credential id, base64url.
    pub id: String,
    /// What the user called it. **Untrusted** text.
    pub name: String,
}

/// The user may set a new password.
#[derive(uniffi::Object)]
pub struct ResetPassword(pub(crate) directauth::ResetPassword);

#[uniffi::export]
impl ResetPassword {
    /// When it ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// Sets it. A password that the policy refuses leaves the step usable.
    pub async fn set(self: Arc<Self>, new_password: String) -> Result<SignInStep, AuthError> {
        act!(&self, set, new_password)
    }

    /// Ends the sign-in: nothing new is sent, and tokens that still come are given back.
    pub fn cancel(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.0.cancel();
            Ok(())
        })
    }
}
