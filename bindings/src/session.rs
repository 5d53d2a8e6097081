//! A signed-in user.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use directauth::{IntrospectedToken, Session};

use crate::error::{AuthError, likeness};
use crate::runtime::{finish, finish_now};
use crate::steps::SignIn;

/// A signed-in user. Dropping it ends nothing.
#[derive(uniffi::Object)]
#[uniffi::export(Debug)]
pub struct AuthSession(Session);

impl AuthSession {
    pub(crate) fn of(session: Session) -> Arc<Self> {
        Arc::new(Self(session))
    }
}

#[uniffi::export]
impl AuthSession {
    /// The session's random id; it says nothing about the user.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The username that was typed.
    pub fn username(&self) -> String {
        self.0.username()
    }

    /// The claims of the newest validated ID token.
    pub fn claims(&self) -> Option<Arc<Claims>> {
        self.0.claims().map(Claims::of)
    }

    /// The scopes that the server granted.
    pub fn granted_scopes(&self) -> Vec<String> {
        self.0.granted_scopes()
    }

    /// When the access token expires, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at()
    }

    /// Whether the newest tokens are in the storage.
    pub fn is_persisted(&self) -> bool {
        self.0.is_persisted()
    }

    /// Whether the server gave a refresh token.
    pub fn can_refresh(&self) -> bool {
        self.0.can_refresh()
    }

    /// Whether its tokens are bound to a key, so that they are of no use to whoever steals them.
    pub fn is_dpop_bound(&self) -> bool {
        self.0.is_dpop_bound()
    }

    /// The access token, refreshed first if it has expired. Prefer `authorize`.
    pub async fn access_token(&self) -> Result<String, AuthError> {
        let session = self.0.clone();
        // EXPOSE: asked for; the copy that crosses is freed by this library, which wipes it.
        finish(async move { session.access_token().await.map(|token| token.expose().to_owned()) }).await
    }

    /// The newest validated ID token in its compact form.
    pub fn id_token(&self) -> Option<String> {
        // EXPOSE: as above.
        self.0.id_token().map(|token| token.expose().to_owned())
    }

    /// Refreshes now, or waits for the refresh that is under way.
    pub async fn refresh(&self) -> Result<(), AuthError> {
        let session = self.0.clone();
        finish(async move { session.refresh().await }).await
    }

    /// The headers that authorize one request. Refreshes when due; ask anew for each send.
    pub async fn authorize(&self, method: String, url: String) -> Result<Arc<AuthorizationHeaders>, AuthError> {
        let session = self.0.clone();
        finish(async move { Ok(Arc::new(AuthorizationHeaders(session.authorize(&method, &url).await?))) }).await
    }

    /// What to do with a resource server's answer to a request that carried `used`. Of `headers` only `WWW-Authenticate` and
    /// `DPoP-Nonce` matter; a field that came several times is given as often.
    pub async fn advise(
        &self,
        used: Arc<AuthorizationHeaders>,
        status: i32,
        headers: Vec<HeaderField>,
    ) -> Result<Advice, AuthError> {
        let session = self.0.clone();
        finish(async move {
            let fields = headers.iter().map(|field| (field.name.as_str(), field.value.as_str()));
            // A status that is none says nothing about the token.
            let status = u16::try_from(status).unwrap_or_default();
            session.advise(&used.0, status, fields).await.map(Advice::from)
        })
        .await
    }

    /// A sign-in of this session's user that reaches what a resource demands. Sends nothing yet.
    pub fn step_up(&self, acr_values: Vec<String>, max_age: Option<Duration>) -> Arc<SignIn> {
        Arc::new(SignIn(self.0.step_up(&directauth::StepUpDemand::new(acr_values, max_age))))
    }

    /// What the server's userinfo endpoint says of the user.
    pub async fn user_info(&self) -> Result<Arc<Claims>, AuthError> {
        let session = self.0.clone();
        finish(async move { session.user_info().await.map(Claims::of) }).await
    }

    /// Asks the server whether a token still works.
    pub async fn introspect(&self, token: SessionToken) -> Result<Introspection, AuthError> {
        let session = self.0.clone();
        finish(async move {
            let token = match token {
                SessionToken::Access => IntrospectedToken::Access,
                SessionToken::Refresh => IntrospectedToken::Refresh,
            };
            let answer = session.introspect(token).await?;
            Ok(Introspection { is_active: answer.is_active, claims: answer.claims.map(Claims::of) })
        })
        .await
    }

    /// Signs out, also offline.
    pub async fn sign_out(&self) -> Result<SignOutResult, AuthError> {
        let session = self.0.clone();
        finish(async move { session.sign_out().await.map(SignOutResult::from) }).await
    }
}

impl fmt::Debug for AuthSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSession").field("id", &self.0.id()).finish_non_exhaustive()
    }
}

/// The headers that authorize one request.
#[derive(uniffi::Object)]
#[uniffi::export(Debug)]
pub struct AuthorizationHeaders(directauth::AuthorizationHeaders);

#[uniffi::export]
impl AuthorizationHeaders {
    /// By name: `authorization`, and `dpop` if the token is bound to a key. Do not log the values.
    pub fn values(&self) -> Result<HashMap<String, String>, AuthError> {
        finish_now(|| Ok(self.0.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl fmt::Debug for AuthorizationHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationHeaders([secret])")
    }
}

/// One field of a resource server's answer.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct HeaderField {
    /// Its name, in any case.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl fmt::Debug for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [not printed]", self.name)
    }
}

impl fmt::Display for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an app does with a resource server's answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Advice {
    /// It is the app's.
    Proceed,
    /// Send the same request once more, with the headers of another `authorize`.
    Retry,
    /// The resource wants the user to show more, or again: `step_up` with this, then send the request again.
    StepUp {
        /// One of these, the most wanted first; any if empty.
        acr_values: Vec<String>,
        /// How long ago the user may have been asked.
        max_age: Option<Duration>,
    },
    /// The session is over, or cannot be renewed without the user.
    SignInAgain,
}

impl From<directauth::Advice> for Advice {
    fn from(advice: directauth::Advice) -> Self {
        match advice {
            directauth::Advice::Retry => Self::Retry,
            directauth::Advice::StepUp(demand) => {
                Self::StepUp { acr_values: demand.acr_values, max_age: demand.max_age }
            }
            directauth::Advice::SignInAgain => Self::SignInAgain,
            _ => Self::Proceed,
        }
    }
}

/// Which token of a session the server is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SessionToken {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
}

/// What the server says of a token.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Introspection {
    /// Whether the token works now.
    pub is_active: bool,
    /// What else it says, of an active token. **Untrusted** text.
    pub claims: Option<Arc<Claims>>,
}

/// Validated claims. Their text comes from the server's directory: show it as text, never as markup.
#[derive(uniffi::Object)]
#[uniffi::export(Debug)]
pub struct Claims(directauth::Claims);

impl Claims {
    fn of(claims: directauth::Claims) -> Arc<Self> {
        Arc::new(Self(claims))
    }
}

#[uniffi::export]
impl Claims {
    /// `sub`: the user's identifier at the issuer; the only claim to recognise a user by.
    pub fn subject(&self) -> String {
        self.0.subject().to_owned()
    }

    /// Any claim that is text, such as `name`, `email`, `preferred_username`.
    pub fn text(&self, name: String) -> Option<String> {
        self.0.text(&name).map(str::to_owned)
    }

    /// Any claim that is a whole number, such as `auth_time`.
    pub fn integer(&self, name: String) -> Option<i64> {
        self.0.integer(&name)
    }

    /// Any claim that is true or false, such as `email_verified`.
    pub fn flag(&self, name: String) -> Option<bool> {
        self.0.flag(&name)
    }

    /// Any claim that is a list of texts, such as `amr`.
    pub fn texts(&self, name: String) -> Vec<String> {
        self.0.texts(&name).into_iter().map(str::to_owned).collect()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the signed-in users, for a list to choose from.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct SessionInfo {
    /// The session's random id.
    pub id: String,
    /// The username that was typed.
    pub username: String,
    /// Whether it is the one that `restore` gives.
    pub is_default: bool,
}

/// Without the user's name, which is personal data.
impl fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionInfo({}{})", self.id, if self.is_default { ", the default" } else { "" })
    }
}

impl fmt::Display for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<directauth::SessionInfo> for SessionInfo {
    fn from(info: directauth::SessionInfo) -> Self {
        Self { id: info.id, username: info.username, is_default: info.is_default }
    }
}

/// What became of a session at sign-out, in both places. Either way nothing of it is used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SignOutResult {
    /// What the server was told.
    pub server: ServerSignOut,
    /// What the storage holds.
    pub device: DeviceSignOut,
}

impl From<directauth::SignOut> for SignOutResult {
    fn from(done: directauth::SignOut) -> Self {
        Self { server: done.server.into(), device: done.device.into() }
    }
}

likeness! {
    /// What the server was told at sign-out.
    ServerSignOut of directauth::ServerSignOut, else Failed {
        /// It revoked the tokens.
        Revoked,
        /// It could not be reached; it is told later, for up to 24 hours.
        Pending,
        /// It refused, or nothing could be noted for later; its tokens end by themselves.
        Failed,
        /// It has no revocation endpoint; its tokens end by themselves.
        Unsupported,
    }
}

likeness! {
    /// What the storage holds after a sign-out.
    DeviceSignOut of directauth::DeviceSignOut, else Tombstoned {
        /// The record is deleted.
        Deleted,
        /// The record could not be deleted yet; a tombstone beside it says that it is ended.
        Tombstoned,
    }
}
