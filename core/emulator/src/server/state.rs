//! All that one tenant knows and remembers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::answer::Refusal;
use super::catalogue;
use super::grants::Grants;
use super::keys::KeyRing;
use super::oob::{Message, Prompt, PushReaction};
use super::policy::Transaction;
use super::totp::Totp;
use super::{Call, Operation};
use crate::clock::Clock;
use crate::config::{Config, Factor, Settings, Status, User};
use crate::journal::Recorder;
use crate::script::Script;

/// How many unfinished sign-ins and prompts are remembered before ended ones are forgotten.
const SWEEP_ABOVE: usize = 1_000;
/// How many sent codes are kept for reading; the oldest go first.
const OUTBOX: usize = 1_000;
/// What the rate-limit headers say when nothing is limited.
const SHOWN_LIMIT: u64 = 10_000;

/// One tenant.
pub(crate) struct State {
    pub(crate) client_id: String,
    pub(crate) other_client_ids: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: String,
    pub(crate) settings: Settings,
    pub(crate) accounts: Vec<Account>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How far the tenant is ahead of its clock.
    pub(crate) ahead: Duration,
    pub(crate) keys: KeyRing,
    pub(crate) transactions: HashMap<String, Transaction>,
    pub(crate) prompts: BTreeMap<u64, Prompt>,
    pub(crate) next_prompt: u64,
    pub(crate) reactions: VecDeque<PushReaction>,
    pub(crate) grants: Grants,
    pub(crate) outbox: VecDeque<Message>,
    /// When something was last sent to an address by a channel.
    pub(crate) sends: HashMap<(Factor, String), Duration>,
    pub(crate) script: Script,
    pub(crate) journal: Recorder,
    /// The account that a request named last, for prescribed tokens.
    pub(crate) last_account: usize,
    window_start: Duration,
    window_count: u64,
}

impl State {
    /// The tenant's time.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now().saturating_add(self.ahead)
    }

    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        let accounts = config.users.into_iter().enumerate().map(|(index, user)| Account::new(index, user)).collect();
        Self {
            client_id: config.client_id,
            other_client_ids: config.other_client_ids,
            scopes: config.scopes,
            audience: config.audience,
            settings: config.settings,
            accounts,
            clock,
            ahead: Duration::ZERO,
            keys: KeyRing::default(),
            transactions: HashMap::new(),
            prompts: BTreeMap::new(),
            next_prompt: 1,
            reactions: VecDeque::new(),
            grants: Grants::default(),
            outbox: VecDeque::new(),
            sends: HashMap::new(),
            script: Script::default(),
            journal: Recorder::default(),
            last_account: 0,
            window_start: Duration::ZERO,
            window_count: 0,
        }
    }

    pub(crate) fn knows_client(&self, client: &str) -> bool {
        self.client_id == client || self.other_client_ids.iter().any(|other| other == client)
    }

    /// The index of a user; the case of the name does not matter.
    pub(crate) fn find_account(&self, username: &str) -> Option<usize> {
        let wanted = username.to_lowercase();
        self.accounts.iter().position(|account| account.user.username.to_lowercase() == wanted)
    }

    pub(crate) fn account(&self, index: usize) -> Result<&Account, Refusal> {
        self.accounts.get(index).ok_or_else(|| catalogue::SERVER_ERROR.into())
    }

    pub(crate) fn account_mut(&mut self, index: usize) -> Result<&mut Account, Refusal> {
        self.accounts.get_mut(index).ok_or_else(|| catalogue::SERVER_ERROR.into())
    }

    pub(crate) fn send(&mut self, message: Message) {
        if self.outbox.len() == OUTBOX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(message);
    }

    /// Forgets what has ended, once there is much of it.
    pub(crate) fn sweep(&mut self, now: Duration) {
        if self.transactions.len() > SWEEP_ABOVE {
            self.transactions.retain(|_, transaction| transaction.ends > now);
        }
        if self.prompts.len() > SWEEP_ABOVE {
            self.prompts.retain(|_, prompt| prompt.ends > now);
        }
        if self.sends.len() > SWEEP_ABOVE {
            self.sends.retain(|_, at| at.saturating_add(Duration::from_secs(3600)) > now);
        }
        self.grants.sweep(now);
    }

    /// Counts a request in the running minute; keys and metadata are free.
    pub(crate) fn count_request(&mut self, call: &Call<'_>) -> Result<(), Refusal> {
        if matches!(call.place.operation, Operation::Metadata | Operation::Keys) {
            return Ok(());
        }
        if call.now >= self.window_end() || call.now < self.window_start {
            self.window_start = call.now;
            self.window_count = 0;
        }
        self.window_count += 1;
        let limit = u64::from(self.settings.requests_per_minute);
        if limit > 0 && self.window_count > limit {
            return Err(Refusal::RateLimited {
                limit,
                reset: self.window_end().as_secs(),
                code: "E0000047",
                summary: "API call exceeded rate limit due to too many requests.",
            });
        }
        Ok(())
    }

    /// Limit, what is left of it, and when the window ends, for the headers.
    pub(crate) fn rate_window(&self, now: Duration) -> (u64, u64, u64) {
        let limit = match self.settings.requests_per_minute {
            0 => SHOWN_LIMIT,
            limit => u64::from(limit),
        };
        (limit, limit.saturating_sub(self.window_count), self.window_end().max(now).as_secs())
    }

    fn window_end(&self) -> Duration {
        self.window_start.saturating_add(Duration::from_secs(60))
    }
}

/// A user and what the server remembers of them.
pub(crate) struct Account {
    pub(crate) user: User,
    /// The `sub` claim.
    pub(crate) subject: String,
    pub(crate) failures: u32,
    /// When codes were tried since the last right one.
    pub(crate) code_attempts: VecDeque<Duration>,
    pub(crate) token_requests: VecDeque<Duration>,
    pub(crate) totp: Totp,
}

impl Account {
    fn new(index: usize, mut user: User) -> Self {
        user.fill_in();
        Self {
            user,
            subject: format!("00uDemoUser{:04}", index + 1),
            failures: 0,
            code_attempts: VecDeque::new(),
            token_requests: VecDeque::new(),
            totp: Totp::default(),
        }
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.user.status == Status::Locked
    }
}

/// Unpredictable values.
pub(crate) struct Random;

impl Random {
    /// `bytes` random bytes in base64url.
    pub(crate) fn token(bytes: usize) -> Result<String, Refusal> {
        let mut buffer = vec![0; bytes];
        SystemRandom::new().fill(&mut buffer).map_err(|_| catalogue::SERVER_ERROR)?;
        Ok(BASE64URL_NOPAD.encode(&buffer))
    }

    /// A number below `bound`.
    pub(crate) fn below(bound: u32) -> Result<u32, Refusal> {
        let mut buffer = [0; 8];
        SystemRandom::new().fill(&mut buffer).map_err(|_| catalogue::SERVER_ERROR)?;
        let number = u64::from_be_bytes(buffer) % u64::from(bound.max(1));
        u32::try_from(number).map_err(|_| catalogue::SERVER_ERROR.into())
    }
}
