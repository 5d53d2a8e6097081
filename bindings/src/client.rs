//! The client.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use directauth::{Client, Secret};

use crate::error::AuthError;
use crate::events::{AuditEvents, AuthState, Listeners, StateEvents};
use crate::runtime::{finish, finish_now};
use crate::session::{AuthSession, SessionInfo, SignOutResult};
use crate::steps::{Recovery, SignIn, SignInStep};

/// A client of one authorization server.
#[derive(uniffi::Object)]
pub struct DirectAuthClient {
    client: Client,
    listeners: Listeners,
}

impl DirectAuthClient {
    pub(crate) fn of(client: Client, listeners: Listeners) -> Self {
        Self { client, listeners }
    }
}

#[uniffi::export]
impl DirectAuthClient {
    /// A user who is about to sign in. Sends nothing yet. `acr_values`: what it has to reach, the most wanted first; `max_age`:
    /// how long ago the user may have been asked.
    #[uniffi::method(default(acr_values = [], max_age = None))]
    pub fn sign_in(&self, username: String, acr_values: Vec<String>, max_age: Option<Duration>) -> Arc<SignIn> {
        let mut sign_in = self.client.sign_in(&username);
        if !acr_values.is_empty() {
            sign_in = sign_in.acr_values(acr_values);
        }
        if let Some(age) = max_age {
            sign_in = sign_in.max_age(age);
        }
        Arc::new(SignIn(sign_in))
    }

    /// A passkey that says itself whose it is: no username is typed.
    pub async fn sign_in_with_passkey(&self) -> Result<SignInStep, AuthError> {
        let client = self.client.clone();
        finish(async move { client.sign_in_with_passkey().await.map(SignInStep::from) }).await
    }

    /// A user who has forgotten the password. Sends nothing yet.
    pub fn recover(&self, username: String) -> Arc<Recovery> {
        Arc::new(Recovery(self.client.recover(&username)))
    }

    /// Fetches metadata and keys and opens a connection for the next sign-in, while the user is still typing.
    pub async fn warm_up(&self) -> Result<(), AuthError> {
        let client = self.client.clone();
        finish(async move {
            client.warm_up().await;
            Ok(())
        })
        .await
    }

    /// Who is signed in, as far as is known now. The first call starts the restore.
    pub fn state(&self) -> Result<AuthState, AuthError> {
        finish_now(|| Ok(self.client.state().into()))
    }

    /// The state from now on: the current one at first, then each newer one.
    pub fn states(&self) -> Result<Arc<StateEvents>, AuthError> {
        finish_now(|| Ok(StateEvents::of(self.client.states())))
    }

    /// What happens from now on.
    pub fn audit_events(&self) -> Result<Arc<AuditEvents>, AuthError> {
        finish_now(|| Ok(self.listeners.listen()))
    }

    /// The session that is signed in, with several accounts the default one.
    pub async fn restore(&self) -> Result<Option<Arc<AuthSession>>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(client.restore().await?.map(AuthSession::of)) }).await
    }

    /// Everybody who is signed in, the default first.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(client.sessions().await?.into_iter().map(SessionInfo::from).collect()) }).await
    }

    /// One session by its id.
    pub async fn session(&self, id: String) -> Result<Option<Arc<AuthSession>>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(client.session(&id).await?.map(AuthSession::of)) }).await
    }

    /// Makes a session the default one.
    pub async fn set_default(&self, id: String) -> Result<Arc<AuthSession>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(AuthSession::of(client.set_default(&id).await?)) }).await
    }

    /// Signs the default session out; null if there is none.
    pub async fn sign_out(&self) -> Result<Option<SignOutResult>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(client.sign_out().await?.map(SignOutResult::from)) }).await
    }

    /// Signs every session out.
    pub async fn sign_out_all(&self) -> Result<Vec<SignOutResult>, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(client.sign_out_all().await?.into_iter().map(SignOutResult::from).collect()) }).await
    }

    /// Takes over a session from another library by its refresh token.
    pub async fn import_session(&self, refresh_token: String) -> Result<Arc<AuthSession>, AuthError> {
        let (client, token) = (self.client.clone(), Secret::new(refresh_token));
        finish(async move { Ok(AuthSession::of(client.import_session(token).await?)) }).await
    }

    /// To be called when the app comes to the foreground or the device is unlocked.
    pub fn notify_foreground(&self) -> Result<(), AuthError> {
        finish_now(|| {
            self.client.notify_foreground();
            Ok(())
        })
    }

    /// Deletes stored sessions that can never be read again; gives how many.
    pub async fn discard_unreadable(&self) -> Result<i32, AuthError> {
        let client = self.client.clone();
        finish(async move { Ok(i32::try_from(client.discard_unreadable().await?).unwrap_or(i32::MAX)) }).await
    }
}

impl fmt::Debug for DirectAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}
