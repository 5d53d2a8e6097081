//! Prompts that leave the app: pushes, text messages, calls, e-mails. How they start, what the user does, what a poll
//! gets (protocol.md §1.4, §1.10, §2.5).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::policy::{Bound, Leg};
use super::request::Form;
use super::state::Random;
use super::{Call, State, catalogue};
use crate::config::{Factor, PushKind};

/// What `slow_down` adds to the interval, for good (RFC 8628 §3.5).
const SLOW_DOWN_STEP: u64 = 5;

/// A prompt that was started.
pub(crate) struct Prompt {
    oob_code: String,
    account: usize,
    bound: Bound,
    factor: Factor,
    /// Of the sign-in whose second factor it is.
    mfa_token: Option<String>,
    answer: Expected,
    created: Duration,
    pub(crate) ends: Duration,
    interval: u64,
    last_poll: Option<Duration>,
    polls: u32,
    reaction: Option<PushReaction>,
    decision: Option<Decision>,
    is_spent: bool,
}

/// What completes a prompt.
enum Expected {
    /// A tap on the device; with a number challenge, on this number among those.
    Tap { number: Option<String>, choices: Vec<String> },
    /// The code that was sent.
    Code(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Approved,
    Rejected,
}

/// A push that waits for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPush {
    /// Names it in the control API.
    pub id: u64,
    /// Whose device shows it.
    pub username: String,
    /// The number to tap, with a number challenge.
    pub number: Option<String>,
    /// The three numbers on the device, with a number challenge.
    pub choices: Vec<String>,
    /// When it was sent, since the Unix epoch.
    pub created: Duration,
    /// When it ends unanswered, since the Unix epoch.
    pub ends: Duration,
}

/// What the user does with a push that is yet to come, without anybody touching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PushReaction {
    /// Approves (taps the right number) after so many polls were answered "pending".
    Approve {
        /// How many polls find it pending.
        #[serde(default)]
        after_polls: u32,
    },
    /// Denies.
    Deny {
        /// How many polls find it pending.
        #[serde(default)]
        after_polls: u32,
    },
    /// Taps a wrong number, which is a denial.
    WrongNumber {
        /// How many polls find it pending.
        #[serde(default)]
        after_polls: u32,
    },
    /// Never looks at it.
    Ignore,
}

impl PushReaction {
    fn after(self, polls: u32) -> Option<Decision> {
        match self {
            Self::Approve { after_polls } if polls >= after_polls => Some(Decision::Approved),
            Self::Deny { after_polls } | Self::WrongNumber { after_polls } if polls >= after_polls => {
                Some(Decision::Rejected)
            }
            _ => None,
        }
    }
}

/// A code that was sent to a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// To whom.
    pub username: String,
    /// `sms`, `voice` or `email`.
    pub channel: String,
    /// The code.
    pub code: String,
    /// When, since the Unix epoch.
    pub at: Duration,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("username", &self.username)
            .field("channel", &self.channel)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// How a tap ends a push.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tap<'a> {
    Approve,
    Deny,
    Number(&'a str),
}

impl State {
    /// Starts a prompt and says how to go on with it.
    pub(crate) fn start_prompt(
        &mut self,
        call: &Call<'_>,
        account: usize,
        bound: Bound,
        factor: Factor,
        mfa_token: Option<String>,
    ) -> Result<Map<String, Value>, Refusal> {
        let channel = factor.channel().ok_or(catalogue::SERVER_ERROR)?;
        let oob_code = Random::token(20)?;
        let mut answer = Map::new();
        answer.insert("oob_code".to_owned(), json!(oob_code));
        answer.insert("channel".to_owned(), json!(channel));
        let expected = if factor == Factor::Push {
            let with_number = self.account(account)?.user.push == PushKind::Number;
            let (number, choices) = if with_number { number_challenge()? } else { (None, Vec::new()) };
            answer.insert("binding_method".to_owned(), json!(if with_number { "transfer" } else { "none" }));
            if let Some(number) = &number {
                let as_number = number.parse::<u32>().ok().filter(|_| self.settings.binding_code_as_number);
                answer.insert("binding_code".to_owned(), as_number.map_or(json!(number), |number| json!(number)));
            }
            Expected::Tap { number, choices }
        } else {
            self.count_send(account, factor, call.now)?;
            let code = format!("{:06}", Random::below(1_000_000)?);
            let username = self.account(account)?.user.username.clone();
            self.send(Message { username, channel: channel.to_owned(), code: code.clone(), at: call.now });
            answer.insert("binding_method".to_owned(), json!("prompt"));
            Expected::Code(code)
        };
        answer.insert("expires_in".to_owned(), self.settings.expires_in(self.settings.oob_lifetime));
        if factor == Factor::Push && self.settings.interval_in_answer {
            answer.insert("interval".to_owned(), json!(self.settings.interval));
        }
        let reaction = if factor == Factor::Push { self.reactions.pop_front() } else { None };
        let prompt = Prompt {
            oob_code,
            account,
            bound,
            factor,
            mfa_token,
            answer: expected,
            created: call.now,
            ends: call.now.saturating_add(Duration::from_secs(self.settings.oob_lifetime)),
            interval: self.settings.interval,
            last_poll: None,
            polls: 0,
            reaction,
            decision: None,
            is_spent: false,
        };
        self.add_prompt(prompt);
        Ok(answer)
    }

    /// Whose prompt this is, when it is completed now. `mfa_token` is that of the leg.
    pub(crate) fn redeem(
        &mut self,
        call: &Call<'_>,
        leg: &Leg,
        form: &Form,
        mfa_token: Option<&str>,
    ) -> Result<(usize, Factor), Refusal> {
        let oob_code = form.required("oob_code")?;
        let expired = || Refusal::changed(catalogue::DIRECT_AUTH_EXPIRED_TOKEN, "oob_code", "oob_code");
        let (id, prompt) =
            self.prompts.iter_mut().find(|(_, prompt)| prompt.oob_code == oob_code).ok_or_else(expired)?;
        let id = *id;
        if prompt.mfa_token.as_deref() != mfa_token {
            return Err(catalogue::DIRECT_AUTH_OOB_CODE_NOT_FOR_MFA_TOKEN.into());
        }
        prompt.bound.check(leg)?;
        if prompt.is_spent || prompt.ends <= call.now {
            return Err(expired());
        }
        let account = prompt.account;
        let is_code = matches!(prompt.answer, Expected::Code(_));
        if self.account(account)?.is_locked() {
            // Locked meanwhile: looks like a wrong code, or like a no on the device.
            let refused = if is_code { catalogue::DIRECT_AUTH_INVALID_OTP } else { catalogue::DIRECT_AUTH_OOB_REJECT };
            return Err(refused.into());
        }
        let prompt = self.prompts.get(&id).ok_or(catalogue::SERVER_ERROR)?;
        match &prompt.answer {
            Expected::Code(code) => {
                let is_right = form.required("binding_code")? == code;
                self.count_code(account, call.now)?;
                if !is_right {
                    return Err(catalogue::DIRECT_AUTH_INVALID_OTP.into());
                }
                self.account_mut(account)?.code_attempts.clear();
            }
            // What goes with a push is shown to the user, never sent (protocol.md §2.5).
            Expected::Tap { .. } if form.first("binding_code").is_some() => {
                return Err(Refusal::out_of_place("binding_code"));
            }
            Expected::Tap { .. } => self.poll(call, id)?,
        }
        let prompt = self.prompts.get_mut(&id).ok_or(catalogue::SERVER_ERROR)?;
        prompt.is_spent = true;
        Ok((account, prompt.factor))
    }

    /// The sign-in whose second factor an `oob_code` is.
    pub(crate) fn sign_in_of(&self, oob_code: &str) -> Result<String, Refusal> {
        let prompt = self.prompts.values().find(|prompt| prompt.oob_code == oob_code);
        let prompt =
            prompt.ok_or_else(|| Refusal::changed(catalogue::DIRECT_AUTH_EXPIRED_TOKEN, "oob_code", "oob_code"))?;
        prompt.mfa_token.clone().ok_or_else(|| catalogue::DIRECT_AUTH_OOB_CODE_NOT_FOR_MFA_TOKEN.into())
    }

    fn poll(&mut self, call: &Call<'_>, id: u64) -> Result<(), Refusal> {
        let tolerance = Duration::from_millis(self.settings.poll_tolerance_ms);
        let prompt = self.prompts.get_mut(&id).ok_or(catalogue::SERVER_ERROR)?;
        let last = prompt.last_poll.replace(call.now);
        if last.is_some_and(|last| {
            call.now.saturating_add(tolerance) < last.saturating_add(Duration::from_secs(prompt.interval))
        }) {
            prompt.interval = prompt.interval.saturating_add(SLOW_DOWN_STEP);
            return Err(catalogue::SLOW_DOWN.into());
        }
        if prompt.decision.is_none() {
            prompt.decision = prompt.reaction.and_then(|reaction| reaction.after(prompt.polls));
        }
        prompt.polls += 1;
        match prompt.decision {
            None => Err(catalogue::DIRECT_AUTH_AUTHORIZATION_PENDING.into()),
            Some(Decision::Approved) => Ok(()),
            Some(Decision::Rejected) => {
                prompt.is_spent = true;
                if let Some(mfa_token) = &prompt.mfa_token
                    && !self.settings.mfa_token_survives_decline
                {
                    self.transactions.remove(mfa_token);
                }
                Err(catalogue::DIRECT_AUTH_OOB_REJECT.into())
            }
        }
    }

    /// The pushes that nobody has answered and that have not ended, oldest first.
    pub(crate) fn pending_pushes(&self, now: Duration) -> Vec<PendingPush> {
        let pending = self.prompts.iter().filter(|(_, prompt)| prompt.is_pending(now));
        pending
            .filter_map(|(id, prompt)| {
                let Expected::Tap { number, choices } = &prompt.answer else { return None };
                Some(PendingPush {
                    id: *id,
                    username: self.accounts.get(prompt.account)?.user.username.clone(),
                    number: number.clone(),
                    choices: choices.clone(),
                    created: prompt.created,
                    ends: prompt.ends,
                })
            })
            .collect()
    }

    /// The user answers a push; false when there is none that waits, or it asks for no number.
    pub(crate) fn tap(&mut self, id: u64, tap: Tap<'_>, now: Duration) -> bool {
        let Some(prompt) = self.prompts.get_mut(&id).filter(|prompt| prompt.is_pending(now)) else { return false };
        let Expected::Tap { number, .. } = &prompt.answer else { return false };
        prompt.decision = match tap {
            Tap::Approve => Some(Decision::Approved),
            Tap::Deny => Some(Decision::Rejected),
            Tap::Number(tapped) if number.as_deref() == Some(tapped) => Some(Decision::Approved),
            Tap::Number(_) if number.is_some() => Some(Decision::Rejected),
            Tap::Number(_) => return false,
        };
        true
    }
}

impl Prompt {
    fn is_pending(&self, now: Duration) -> bool {
        self.factor == Factor::Push && self.decision.is_none() && !self.is_spent && self.ends > now
    }
}

/// A number of two digits, and the three that the device shows.
fn number_challenge() -> Result<(Option<String>, Vec<String>), Refusal> {
    let mut choices: Vec<String> = Vec::new();
    while choices.len() < 3 {
        let number = (10 + Random::below(90)?).to_string();
        if !choices.contains(&number) {
            choices.push(number);
        }
    }
    let right = usize::try_from(Random::below(3)?).unwrap_or(0);
    Ok((choices.get(right).cloned(), choices))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::state::PROMPTS;
    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::server::Server;

    #[test]
    fn prompts_are_remembered_up_to_a_bound() {
        let mut state = State::new(Config::demo(), Arc::new(SystemClock));
        let now = Duration::ZERO;
        for n in 0..=PROMPTS {
            let leg = Leg::of("client", Server::Custom);
            state.add_prompt(Prompt {
                oob_code: n.to_string(),
                account: 0,
                bound: Bound::by(&leg),
                factor: Factor::Push,
                mfa_token: None,
                answer: Expected::Tap { number: None, choices: Vec::new() },
                created: now,
                ends: Duration::MAX,
                interval: 1,
                last_poll: None,
                polls: 0,
                reaction: None,
                decision: None,
                is_spent: false,
            });
        }
        let pending = state.pending_pushes(now);
        assert_eq!((pending.len(), pending[0].id), (PROMPTS, 2), "the first is forgotten");
    }
}
