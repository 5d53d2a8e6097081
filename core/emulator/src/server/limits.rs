//! Rate limits (protocol.md §5): what is counted, for whom and how long, and what every answer says about it.

use std::collections::VecDeque;
use std::time::Duration;

use super::answer::Refusal;
use super::catalogue::{self, ApiRow};
use super::{Call, Operation, State};
use crate::config::Factor;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: u64 = 86_400;
/// What the headers say where nothing is limited.
const SHOWN_LIMIT: u64 = 10_000;

/// How much of a limit is left, and in which second since the epoch there is more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset: u64,
}

/// The running minute, and the tightest limit that the request in hand was counted under.
#[derive(Default)]
pub(crate) struct Counted {
    minute_began: Duration,
    in_minute: u64,
    tightest: Option<Bucket>,
}

impl Counted {
    fn note(&mut self, bucket: Bucket) {
        let is_tighter = self.tightest.is_none_or(|so_far| bucket.remaining < so_far.remaining);
        if is_tighter {
            self.tightest = Some(bucket);
        }
    }
}

impl State {
    /// Counts a request in the running minute; keys and metadata are free.
    pub(crate) fn count_request(&mut self, call: &Call<'_>) -> Result<(), Refusal> {
        let began = self.counted.minute_began;
        if call.now < began || call.now >= began.saturating_add(MINUTE) {
            (self.counted.minute_began, self.counted.in_minute) = (call.now, 0);
        }
        let is_free = matches!(call.place.operation, Operation::Metadata | Operation::Keys);
        let limit = u64::from(self.settings.requests_per_minute);
        if !is_free {
            self.counted.in_minute += 1;
            if limit > 0 && self.counted.in_minute > limit {
                let bucket = Bucket { remaining: 0, ..self.minute() };
                return Err(Refusal::RateLimited { bucket, row: catalogue::E0000047 });
            }
        }
        let bucket = self.minute();
        let unlimited = Bucket { limit: SHOWN_LIMIT, remaining: SHOWN_LIMIT, ..bucket };
        self.counted.tightest = Some(if is_free { unlimited } else { bucket });
        Ok(())
    }

    /// What the answer to the request in hand says about limits.
    pub(crate) fn bucket(&self) -> Bucket {
        self.counted.tightest.unwrap_or_else(|| self.minute())
    }

    fn minute(&self) -> Bucket {
        let limit = match self.settings.requests_per_minute {
            0 => SHOWN_LIMIT,
            limit => u64::from(limit),
        };
        let remaining = limit.saturating_sub(self.counted.in_minute);
        Bucket { limit, remaining, reset: rounded_up(self.counted.minute_began.saturating_add(MINUTE)) }
    }

    /// What a prescribed 429 says: the limit that the row is about is used up from now on.
    pub(crate) fn prescribed_bucket(&self, code: &str, now: Duration) -> Bucket {
        let (limit, wait) = match code {
            "E0000109" | "E0000133" => (1, self.settings.phone_send_interval),
            "E0000118" => (1, self.settings.email_send_interval),
            "E0000146" | "E0000147" => (self.minute().limit, DAY),
            _ => (self.minute().limit, MINUTE.as_secs()),
        };
        Bucket { limit, remaining: 0, reset: rounded_up(now.saturating_add(Duration::from_secs(wait))) }
    }

    /// Counts a request to `/token` for a user.
    pub(crate) fn count_token_request(&mut self, account: usize, now: Duration) -> Result<(), Refusal> {
        let limit = self.settings.token_requests_per_second;
        let requests = &mut self.account_mut(account)?.token_requests;
        if let Some(bucket) = count(requests, now, limit, Duration::from_secs(1))? {
            self.counted.note(bucket);
        }
        Ok(())
    }

    /// Counts a try of a code of any kind, before it is looked at.
    pub(crate) fn count_code(&mut self, account: usize, now: Duration) -> Result<(), Refusal> {
        let (limit, window) = (self.settings.otp_limit, Duration::from_secs(self.settings.otp_window));
        let attempts = &mut self.account_mut(account)?.code_attempts;
        count(attempts, now, limit, window).map(|_| ())
    }

    /// Counts a message to a user's telephone or e-mail address.
    pub(crate) fn count_send(&mut self, account: usize, factor: Factor, now: Duration) -> Result<(), Refusal> {
        let user = &self.account(account)?.user;
        let (address, wait, row): (&str, u64, &'static ApiRow) = match factor {
            Factor::Email => (&user.email, self.settings.email_send_interval, catalogue::E0000118),
            Factor::Voice => (&user.phone, self.settings.phone_send_interval, catalogue::E0000133),
            _ => (&user.phone, self.settings.phone_send_interval, catalogue::E0000109),
        };
        let address = if address.is_empty() { user.username.clone() } else { address.to_owned() };
        let last = self.sends.get(&(factor, address.clone()));
        let free = last.map(|last| last.saturating_add(Duration::from_secs(wait)));
        if let Some(free) = free.filter(|free| *free > now) {
            return Err(Refusal::RateLimited {
                bucket: Bucket { limit: 1, remaining: 0, reset: rounded_up(free) },
                row,
            });
        }
        self.sends.insert((factor, address), now);
        Ok(())
    }
}

/// Counts one more in a window that moves along; a limit of 0 is none.
fn count(
    times: &mut VecDeque<Duration>,
    now: Duration,
    limit: u32,
    window: Duration,
) -> Result<Option<Bucket>, Refusal> {
    if limit == 0 {
        return Ok(None);
    }
    while times.front().is_some_and(|first| first.saturating_add(window) <= now) {
        times.pop_front();
    }
    let limit = u64::from(limit);
    let used = u64::try_from(times.len()).unwrap_or(u64::MAX);
    let reset = rounded_up(times.front().unwrap_or(&now).saturating_add(window));
    if used >= limit {
        return Err(Refusal::RateLimited { bucket: Bucket { limit, remaining: 0, reset }, row: catalogue::E0000047 });
    }
    times.push_back(now);
    Ok(Some(Bucket { limit, remaining: limit - used - 1, reset }))
}

/// In whole seconds, and not too early: at the time that a 429 names it works again.
fn rounded_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}
