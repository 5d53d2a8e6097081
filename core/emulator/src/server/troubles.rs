//! The common troubles of a server, by a switch each: what a person turns on to see how an app takes it. A script
//! ([`crate::Rule`]) can do all of it, and more, for one request; a trouble lasts until it is turned off.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::{Call, Operation, Plan, State, catalogue, with_date_and_id};
use crate::script::{Fault, JwtMutation, Signature};

const SLOWEST_MS: u64 = 300_000;

/// What is wrong with one authorization server. All of it is off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Troubles {
    /// The next answer is 429, whatever was asked for except keys and metadata; that turns it off.
    pub rate_limit_next: bool,
    /// Every answer takes so many milliseconds longer; being offline does not.
    pub slow_ms: u64,
    /// Connections are reset without an answer. With the default tenant none is accepted either.
    pub offline: bool,
    /// ID tokens have a signature that does not verify.
    pub wrong_signature: bool,
}

impl Troubles {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.slow_ms {
            0..=SLOWEST_MS => Ok(()),
            _ => Err(format!("slow_ms is more than {SLOWEST_MS}")),
        }
    }

    /// How much longer an answer takes.
    pub(super) fn slow(&self) -> Duration {
        if self.offline { Duration::ZERO } else { Duration::from_millis(self.slow_ms) }
    }
}

impl State {
    /// What a request gets instead of an answer because of a trouble, and which.
    pub(super) fn trouble(&mut self, call: &Call<'_>) -> Option<(Plan, &'static str)> {
        if self.troubles.offline {
            return Some((Plan::Break(Fault::Reset, None, None), "offline"));
        }
        let is_free = matches!(call.place.operation, Operation::Metadata | Operation::Keys);
        if self.troubles.rate_limit_next && !is_free {
            self.troubles.rate_limit_next = false;
            let row = catalogue::E0000047;
            let bucket = self.prescribed_bucket(row.code, call.now);
            let refused = Refusal::RateLimited { bucket, row }.into_reply(&self.settings, call.place.operation);
            return Some((Plan::Send(with_date_and_id(refused, call.now), None), "rate_limit_next"));
        }
        None
    }

    /// How ID tokens are signed when no script says so.
    pub(super) fn signing(&self) -> JwtMutation {
        let signature = if self.troubles.wrong_signature { Signature::Flip } else { Signature::default() };
        JwtMutation { signature, ..JwtMutation::default() }
    }
}

/// A plan that takes so much longer.
pub(super) fn slowed(plan: Plan, more: Duration) -> Plan {
    if more.is_zero() {
        return plan;
    }
    let longer = |delay: Option<Duration>| Some(delay.unwrap_or_default().saturating_add(more));
    match plan {
        Plan::Send(reply, delay) => Plan::Send(reply, longer(delay)),
        Plan::Raw { bytes, keep_open, status, outcome, delay } => {
            Plan::Raw { bytes, keep_open, status, outcome, delay: longer(delay) }
        }
        // Here the delay may mean the time between two bytes.
        Plan::Break(Fault::Drip, ..) => plan,
        Plan::Break(fault, reply, delay) => Plan::Break(fault, reply, longer(delay)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reply;
    use super::*;

    #[test]
    fn slow_is_on_top_of_a_prescribed_delay_and_of_nothing_else() {
        let second = Duration::from_secs(1);
        let delay_of = |plan| match plan {
            Plan::Send(_, delay) | Plan::Raw { delay, .. } | Plan::Break(_, _, delay) => delay,
        };
        let raw = |delay| Plan::Raw { bytes: vec![], keep_open: false, status: None, outcome: String::new(), delay };
        for (plan, expected) in [
            (Plan::Send(Reply::empty(200), None), Some(second)),
            (Plan::Send(Reply::empty(200), Some(second)), Some(second * 2)),
            (raw(None), Some(second)),
            (Plan::Break(Fault::Close, None, Some(second)), Some(second * 2)),
            (Plan::Break(Fault::Drip, None, Some(second)), Some(second)),
        ] {
            assert_eq!(delay_of(slowed(plan, second)), expected);
        }
        assert_eq!(delay_of(slowed(Plan::Send(Reply::empty(200), None), Duration::ZERO)), None);
        let slow = Troubles { slow_ms: 1_000, ..Troubles::default() };
        assert_eq!(slow.slow(), second);
        assert_eq!(Troubles { offline: true, ..slow }.slow(), Duration::ZERO);
    }
}
