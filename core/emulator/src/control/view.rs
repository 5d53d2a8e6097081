//! What the page shows of a tenant at one moment, taken under one lock.

use std::time::Duration;

use super::millis;
use crate::config::{Assurance, Factor, Status};
use crate::server::{Message, PendingPush, State, Totp, Troubles};
use crate::tenant::Tenant;

/// How many pushes and messages the page shows.
pub(super) const SHOWN: usize = 20;

/// A moment.
pub(super) struct View {
    /// On the tenant's clock, in milliseconds since the epoch.
    pub(super) now: u64,
    /// How far that clock was moved on.
    pub(super) ahead: Duration,
    pub(super) client_id: String,
    /// The newest first.
    pub(super) pushes: Vec<PendingPush>,
    pub(super) more_pushes: usize,
    /// The newest first.
    pub(super) messages: Vec<Message>,
    /// How many were sent so far.
    pub(super) sent: u64,
    pub(super) users: Vec<UserView>,
    pub(super) troubles: Troubles,
    pub(super) key: String,
    pub(super) sessions: usize,
}

/// A user at one moment.
pub(super) struct UserView {
    pub(super) username: String,
    pub(super) name: String,
    pub(super) password: Option<String>,
    pub(super) assurance: Assurance,
    pub(super) factors: Vec<Factor>,
    pub(super) status: Status,
    pub(super) totp: Option<TotpView>,
}

/// What a user's authenticator app shows.
pub(super) struct TotpView {
    pub(super) code: String,
    /// When it shows another one, in milliseconds since the epoch.
    pub(super) until: u64,
}

impl View {
    pub(super) fn of(tenant: &Tenant) -> Self {
        tenant.read(Self::of_state)
    }

    fn of_state(state: &State) -> Self {
        let now = state.now();
        let mut pushes = state.pending_pushes(now);
        let more_pushes = pushes.len().saturating_sub(SHOWN);
        pushes.reverse();
        pushes.truncate(SHOWN);
        let user = |account: &crate::server::Account| {
            let user = &account.user;
            let code = |key: Vec<u8>| TotpView {
                code: account.totp.current(&key, now.as_secs(), state.settings.totp_skew),
                until: (now.as_secs() / Totp::STEP).saturating_add(1).saturating_mul(Totp::STEP * 1_000),
            };
            UserView {
                username: user.username.clone(),
                name: user.name.clone(),
                password: user.password.clone(),
                assurance: user.assurance,
                factors: user.factors.iter().copied().collect(),
                status: user.status,
                totp: user.totp_key().filter(|_| user.factors.contains(&Factor::Totp)).map(code),
            }
        };
        Self {
            now: millis(now),
            ahead: state.ahead,
            client_id: state.client_id.clone(),
            pushes,
            more_pushes,
            messages: state.outbox.iter().rev().take(SHOWN).cloned().collect(),
            sent: state.sent,
            users: state.accounts.iter().map(user).collect(),
            troubles: state.troubles.clone(),
            key: state.keys.current().map(|key| key.kid).unwrap_or_default(),
            sessions: state.grants.live(now),
        }
    }

    /// The name of a user who is shown somewhere else too.
    pub(super) fn name_of(&self, username: &str) -> &str {
        self.users.iter().find(|user| user.username == username).map_or("", |user| user.name.as_str())
    }
}
