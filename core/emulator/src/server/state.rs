//! All that one tenant knows and remembers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::answer::Refusal;
use super::catalogue;
use super::dpop::Proofs;
use super::grants::Grants;
use super::keys::KeyRing;
use super::limits::Counted;
use super::mint::Previous;
use super::oob::{Message, Prompt, PushReaction};
use super::passkey::PasskeyChallenge;
use super::policy::Transaction;
use super::remembered::Remembered;
use super::totp::Totp;
use super::troubles::Troubles;
use crate::clock::Clock;
use crate::config::{Config, Factor, Status, User};
use crate::journal::Recorder;
use crate::script::Script;
use crate::settings::Settings;

/// How many sign-ins may wait for their second factor; the oldest are forgotten first, like everything below.
const TRANSACTIONS: usize = 10_000;
/// How many prompts are remembered, answered or not.
pub(super) const PROMPTS: usize = 4_000;
/// How many sent codes are kept for reading.
const OUTBOX: usize = 1_000;
/// How many reactions to coming pushes can be said beforehand.
const REACTIONS: usize = 1_000;

/// One tenant.
pub(crate) struct State {
    pub(crate) client_id: String,
    pub(crate) other_client_ids: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: String,
    pub(crate) settings: Settings,
    pub(crate) troubles: Troubles,
    pub(crate) accounts: Vec<Account>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How far the tenant is ahead of its clock.
    pub(crate) ahead: Duration,
    pub(crate) keys: KeyRing,
    pub(crate) transactions: Remembered<Transaction>,
    pub(crate) prompts: BTreeMap<u64, Prompt>,
    next_prompt: u64,
    pub(crate) reactions: VecDeque<PushReaction>,
    /// By the challenge itself.
    pub(crate) passkey_challenges: Remembered<PasskeyChallenge>,
    pub(crate) grants: Grants,
    pub(crate) previous: Previous,
    pub(crate) outbox: VecDeque<Message>,
    /// How many codes were sent so far.
    pub(crate) sent: u64,
    /// When something was last sent to an address by a channel.
    pub(crate) sends: HashMap<(Factor, String), Duration>,
    pub(crate) script: Script,
    pub(crate) journal: Recorder,
    /// The account that a request named last, for prescribed tokens.
    pub(crate) last_account: usize,
    pub(crate) counted: Counted,
    pub(crate) proofs: Proofs,
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
            troubles: Troubles::default(),
            accounts,
            clock,
            ahead: Duration::ZERO,
            keys: KeyRing::default(),
            transactions: Remembered::at_most(TRANSACTIONS),
            prompts: BTreeMap::new(),
            next_prompt: 1,
            reactions: VecDeque::new(),
            passkey_challenges: Remembered::at_most(PROMPTS),
            grants: Grants::default(),
            previous: Previous::default(),
            outbox: VecDeque::new(),
            sent: 0,
            sends: HashMap::new(),
            script: Script::default(),
            journal: Recorder::default(),
            last_account: 0,
            counted: Counted::default(),
            proofs: Proofs::default(),
        }
    }

    /// Forgets everything, how far the clock was moved on too. What is counted goes on, so that no number means two things.
    pub(crate) fn reset(&mut self, config: Config) {
        self.journal.clear();
        let fresh = Self::new(config, Arc::clone(&self.clock));
        let old = core::mem::replace(self, fresh);
        (self.journal, self.next_prompt, self.sent) = (old.journal, old.next_prompt, old.sent);
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
        if self.outbox.len() >= OUTBOX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(message);
        self.sent += 1;
    }

    pub(crate) fn add_prompt(&mut self, prompt: Prompt) {
        if self.prompts.len() >= PROMPTS {
            self.prompts.pop_first();
        }
        self.prompts.insert(self.next_prompt, prompt);
        self.next_prompt += 1;
    }

    pub(crate) fn expect_reaction(&mut self, reaction: PushReaction) {
        if self.reactions.len() >= REACTIONS {
            self.reactions.pop_front();
        }
        self.reactions.push_back(reaction);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn codes_and_reactions_are_kept_up_to_a_bound() {
        let mut state = State::new(Config::demo(), Arc::new(SystemClock));
        for n in 0..=OUTBOX {
            let (username, channel) = (String::new(), String::new());
            state.send(Message { username, channel, code: n.to_string(), at: Duration::ZERO });
        }
        assert_eq!((state.outbox.len(), state.outbox[0].code.as_str()), (OUTBOX, "1"));
        state.expect_reaction(PushReaction::Deny { after_polls: 7 });
        for _ in 0..REACTIONS {
            state.expect_reaction(PushReaction::Ignore);
        }
        assert_eq!((state.reactions.len(), state.reactions[0]), (REACTIONS, PushReaction::Ignore));
    }
}
