//! The handle by which a test or a demo holds one authorization server: plays its users, sets its rules, reads its journal.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, Factor, Passkey, Status, User};
use crate::journal::{Entry, Journal};
use crate::script::Rule;
use crate::server::{
    Call, Message, PendingPush, Place, Plan, PushReaction, Request, Server, State, Tap, Totp, Troubles,
};
use crate::settings::Settings;

/// A hundred years.
const FURTHEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One isolated authorization server: its own users, tokens, clock, script and journal. Cheap to clone; all clones are
/// the same tenant.
#[derive(Clone)]
pub struct Tenant(Arc<Inner>);

struct Inner {
    name: String,
    /// Where it is for those who use the emulator's own name.
    base: String,
    config: Config,
    state: Mutex<State>,
    /// Counts the changes of the state.
    changes: watch::Sender<u64>,
}

/// The state, held; those who watch are told if it was changed.
struct Held<'a> {
    state: MutexGuard<'a, State>,
    changes: &'a watch::Sender<u64>,
    is_changed: bool,
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.is_changed = true;
        &mut self.state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

impl Tenant {
    pub(crate) fn new(name: String, origin: &str, config: Config, clock: Arc<dyn Clock>) -> Self {
        let base = format!("{origin}{}", prefix(&name));
        let state = Mutex::new(State::new(config.clone(), clock));
        Self(Arc::new(Inner { name, base, config, state, changes: watch::Sender::new(0) }))
    }

    /// The issuer of the custom authorization server `default`.
    pub fn issuer(&self) -> String {
        Server::Custom.issuer(&self.0.base)
    }

    /// The issuer of the org authorization server.
    pub fn org_issuer(&self) -> String {
        Server::Org.issuer(&self.0.base)
    }

    /// The id of the configured native app.
    pub fn client_id(&self) -> String {
        self.state().client_id.clone()
    }

    /// A protected resource: `GET` with a bearer token of either server tells who calls.
    pub fn resource_url(&self) -> String {
        format!("{}/api/me", self.0.base)
    }

    /// Tells the time by another clock from here on.
    pub fn set_clock(&self, clock: Arc<dyn Clock>) {
        self.state().clock = clock;
    }

    /// A code of the user's authenticator app that works now and was not used yet.
    pub fn totp(&self, username: &str) -> Option<String> {
        self.with_totp_key(username, |state, account, key, now| {
            state.accounts.get(account).map(|account| account.totp.current(key, now, state.settings.totp_skew))
        })
    }

    /// A code that is certainly wrong now.
    pub fn wrong_totp(&self, username: &str) -> Option<String> {
        self.with_totp_key(username, |state, _, key, now| Some(Totp::wrong(key, now, state.settings.totp_skew)))
    }

    /// The pushes that wait for their users, oldest first.
    pub fn pending_pushes(&self) -> Vec<PendingPush> {
        let state = self.state();
        state.pending_pushes(state.now())
    }

    /// Approves the user's newest push; with a number challenge, by tapping the right number. False when none waits.
    pub fn approve_push(&self, username: &str) -> bool {
        self.tap_newest(username, Tap::Approve)
    }

    /// Denies the user's newest push. False when none waits.
    pub fn deny_push(&self, username: &str) -> bool {
        self.tap_newest(username, Tap::Deny)
    }

    /// Taps a number on the user's newest push; any other is a denial. False when no push waits that asks for one.
    pub fn tap_number(&self, username: &str, number: &str) -> bool {
        self.tap_newest(username, Tap::Number(number))
    }

    /// What the user does with the next push that is started; further calls are for the pushes after it.
    pub fn on_next_push(&self, reaction: PushReaction) {
        self.state().expect_reaction(reaction);
    }

    /// Registers a passkey for a user, and the factor with it. False when there is no such user, or its public key is none
    /// on P-256.
    pub fn add_passkey(&self, username: &str, passkey: Passkey) -> bool {
        let mut state = self.state();
        let account = state.find_account(username).filter(|_| passkey.point().is_some());
        let Some(account) = account.and_then(|account| state.accounts.get_mut(account)) else { return false };
        account.user.factors.insert(Factor::Passkey);
        account.user.passkeys.retain(|known| known.id != passkey.id);
        account.user.passkeys.push(passkey);
        true
    }

    /// The codes that were sent, oldest first.
    pub fn outbox(&self) -> Vec<Message> {
        self.state().outbox.iter().cloned().collect()
    }

    /// The code that was last sent to a user, by whatever channel.
    pub fn last_code(&self, username: &str) -> Option<String> {
        let state = self.state();
        let mut newest_first = state.outbox.iter().rev();
        newest_first.find(|message| message.username.eq_ignore_ascii_case(username)).map(|message| message.code.clone())
    }

    /// Adds a prescribed answer. Rules are tried in the order they were added.
    pub fn script(&self, rule: Rule) {
        self.state().script.add(rule);
    }

    /// Forgets all prescribed answers.
    pub fn clear_script(&self) {
        self.state().script.clear();
    }

    /// The requests so far.
    pub fn journal(&self) -> Journal {
        self.state().journal.snapshot()
    }

    /// Forgets the requests so far.
    pub fn clear_journal(&self) {
        self.state().journal.clear();
    }

    /// Signs with a key from here on whose `kid` no client has seen; the one before it stays published. When the new one
    /// is published too is a matter of [`Settings::keys_lag`] and [`Settings::keys_lag_fetches`].
    pub fn rotate_keys(&self) {
        let mut state = self.state();
        let now = state.now();
        state.keys.rotate(now);
    }

    /// Rotates in an emergency: no key that was published before is published any more, so tokens that were signed
    /// before do not verify.
    pub fn replace_keys(&self) {
        let mut state = self.state();
        let now = state.now();
        state.keys.replace(now);
    }

    /// Takes the signing key out of the published set while tokens are still signed with it; [`Tenant::rotate_keys`]
    /// ends that.
    pub fn withdraw_key(&self) {
        self.state().keys.withdraw();
    }

    /// Changes what is configured of a user; `false` if there is none of that name.
    pub fn change_user(&self, username: &str, change: impl FnOnce(&mut User)) -> bool {
        let mut state = self.state();
        let account = state.find_account(username).and_then(|account| state.accounts.get_mut(account));
        account.map(|account| change(&mut account.user)).is_some()
    }

    /// Locks a user out, or lets them in again; `false` if there is none of that name. What they hold goes on working.
    pub fn lock_user(&self, username: &str, locked: bool) -> bool {
        let mut state = self.state();
        let account = state.find_account(username).and_then(|account| state.accounts.get_mut(account));
        let Some(account) = account else { return false };
        account.user.status = match (locked, account.user.status) {
            (true, _) => Status::Locked,
            (false, Status::Locked) => Status::Active,
            (false, other) => other,
        };
        account.failures = 0;
        account.code_attempts.clear();
        true
    }

    /// Ends every grant, as an administrator would: no token works any more.
    pub fn revoke_everything(&self) {
        self.state().grants.end_all();
    }

    /// Grants under which some token still works.
    pub fn live_grants(&self) -> usize {
        let state = self.state();
        state.grants.live(state.now())
    }

    /// Changes timings and switches, for what happens from here on.
    pub fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state().settings);
    }

    /// Turns troubles on or off, for what happens from here on.
    pub fn troubles(&self, change: impl FnOnce(&mut Troubles)) {
        change(&mut self.state().troubles);
    }

    /// The troubles that are on.
    pub fn current_troubles(&self) -> Troubles {
        self.state().troubles.clone()
    }

    /// The time on the tenant's clock.
    pub fn now(&self) -> Duration {
        self.state().now()
    }

    /// Its name in the path; empty for the default tenant.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Back to the configuration: forgets all else, and how far its clock was moved on.
    pub fn reset(&self) {
        self.state().reset(self.0.config.clone());
    }

    /// Time goes on at once, on top of the tenant's clock; false if that is further than dates have years for.
    pub(crate) fn advance(&self, by: Duration) -> bool {
        let mut state = self.state();
        let ahead = state.ahead.saturating_add(by);
        let is_near = ahead <= FURTHEST;
        if is_near {
            state.ahead = ahead;
        }
        is_near
    }

    /// How many prescribed answers are not used up.
    pub(crate) fn rules(&self) -> usize {
        self.state().script.len()
    }

    /// The access token, refresh token and ID token that were given out last, each empty if there was none.
    pub fn last_tokens(&self) -> [String; 3] {
        let state = self.state();
        [&state.previous.access_token, &state.previous.refresh_token, &state.previous.id_token].map(Clone::clone)
    }

    /// The prescribed answers that were not given as often as they say.
    pub fn unused_rules(&self) -> Vec<String> {
        self.state().script.unused()
    }

    pub(crate) fn entry(&self, number: u64) -> Option<Entry> {
        self.state().journal.find(number).cloned()
    }

    pub(crate) fn current_settings(&self) -> Settings {
        self.state().settings.clone()
    }

    pub(crate) fn dropped_entries(&self) -> u64 {
        self.state().journal.dropped()
    }

    /// The users as the control API shows them.
    pub(crate) fn users(&self) -> Value {
        let state = self.state();
        let user = |account: &crate::server::Account| {
            json!({
                "username": account.user.username, "name": account.user.name, "assurance": account.user.assurance,
                "factors": account.user.factors, "push": account.user.push, "status": account.user.status,
            })
        };
        state.accounts.iter().map(user).collect()
    }

    pub(crate) fn tap(&self, id: u64, tap: Tap<'_>) -> bool {
        let mut state = self.state();
        let now = state.now();
        state.tap(id, tap, now)
    }

    /// Takes a request that is for this tenant.
    pub(crate) fn take(&self, request: &Request, place: Place, evil_origin: String) -> Plan {
        let mut state = self.state();
        let origin = format!("https://{}", request.host);
        let base = format!("{origin}{}", prefix(&self.0.name));
        let call = Call { request, place, now: state.now(), origin, base, evil_origin };
        state.take(&call)
    }

    fn tap_newest(&self, username: &str, tap: Tap<'_>) -> bool {
        let pushes = self.pending_pushes();
        let newest = pushes.iter().rev().find(|push| push.username.eq_ignore_ascii_case(username));
        newest.is_some_and(|push| self.tap(push.id, tap))
    }

    fn with_totp_key<T>(&self, username: &str, read: impl FnOnce(&State, usize, &[u8], u64) -> Option<T>) -> Option<T> {
        let state = self.state();
        let account = state.find_account(username)?;
        let key = state.accounts.get(account)?.user.totp_key()?;
        read(&state, account, &key, state.now().as_secs())
    }

    /// Reads the state as one.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// Tells of changes from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn state(&self) -> Held<'_> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        Held { state, changes: &self.0.changes, is_changed: false }
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("issuer", &self.issuer())
            .field("journal", &self.journal())
            .finish_non_exhaustive()
    }
}

fn prefix(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("/t/{name}") }
}
