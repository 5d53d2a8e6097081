//! How long a server asks us to wait.
//!
//! docs/protocol.md §5 and rows 315–321: the longer of `Retry-After` (RFC 9110 §10.2.3) and Okta's `X-Rate-Limit-Reset`,
//! both measured against the `Date` of the same answer and never against the device's clock. Where the server gives no time,
//! 1, 2, 4 … 60 seconds, by how often in a row it did so. Up to a quarter is added, so that many devices do not come back at
//! the same moment. What is surfaced stays within an hour.

use core::time::Duration;

use super::http_date::parse_http_date;
use crate::env::{BootInstant, HttpResponse};

/// The headers of one answer that speak about waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateHeaders<'a> {
    /// `Retry-After`
    pub(crate) retry_after: Option<&'a str>,
    /// `X-Rate-Limit-Limit`
    pub(crate) limit: Option<&'a str>,
    /// `X-Rate-Limit-Remaining`
    pub(crate) remaining: Option<&'a str>,
    /// `X-Rate-Limit-Reset`
    pub(crate) reset: Option<&'a str>,
    /// `Date`
    pub(crate) date: Option<&'a str>,
}

impl<'a> RateHeaders<'a> {
    pub(crate) fn of(response: &'a HttpResponse) -> Self {
        Self {
            retry_after: response.header("retry-after"),
            limit: response.header("x-rate-limit-limit"),
            remaining: response.header("x-rate-limit-remaining"),
            reset: response.header("x-rate-limit-reset"),
            date: response.header("date"),
        }
    }
}

/// How a client stands with the server's limits, by all answers that it got.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Answers in a row that said "too many" and no time.
    without_time: u32,
    /// When the last of them came.
    last: Option<BootInstant>,
    /// The server wants quiet until then; what nobody waits for is not sent (row 321).
    quiet_until: Option<BootInstant>,
}

/// The longest back-off.
const MAX_BACK_OFF: u64 = 60;
/// Work that nobody waits for is put off no longer than this: a wrong header must not stop it for good (row 317).
pub(crate) const MAX_AUTOMATIC: Duration = Duration::from_secs(120);

impl Standing {
    /// An answer came; `counted` if the request was one that servers count (keys and metadata are not: §5).
    pub(crate) fn heard(&mut self, status: u16, headers: &RateHeaders<'_>, counted: bool, now: BootInstant) {
        let delay = retry_delay(headers);
        let remaining = headers.remaining.and_then(whole_number);
        if self.last.is_some_and(|last| now.since(last) > MAX_AUTOMATIC) {
            self.without_time = 0;
        }
        match (status, delay) {
            (429, None) => {
                self.without_time = self.without_time.saturating_add(1);
                self.last = Some(now);
                self.quiet_for(self.back_off(), now);
            }
            (429, Some(delay)) => self.quiet_for(delay, now),
            _ if !counted => {}
            (_, Some(delay)) if remaining == Some(0) => {
                self.without_time = 0;
                self.quiet_for(delay, now);
            }
            // A failing server says nothing about its limits, and one bucket nothing about another: quiet ends by its time.
            _ if status < 500 => self.without_time = 0,
            _ => {}
        }
    }

    fn quiet_for(&mut self, delay: Duration, now: BootInstant) {
        self.quiet_until = Some(now.plus(delay.min(MAX_AUTOMATIC)));
    }

    /// How long to wait after a "too many" without a time: 1, 2, 4 … 60 seconds (rows 316, 320).
    pub(crate) fn back_off(&self) -> Duration {
        let doublings = self.without_time.saturating_sub(1).min(6);
        Duration::from_secs((1 << doublings).min(MAX_BACK_OFF))
    }

    /// Whether work that nobody waits for should wait (row 321).
    pub(crate) fn wants_quiet(&self, now: BootInstant) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }
}

/// What turns an answer's delay into the wait that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For an answer without a time.
    pub(crate) back_off: Duration,
    /// A random byte: the share of a quarter that is added.
    pub(crate) spread: u8,
}

impl Waits {
    /// At least `delay`, at most a quarter more, never more than an hour.
    pub(crate) fn wait(self, delay: Option<Duration>) -> Duration {
        let delay = delay.unwrap_or(self.back_off);
        let more = delay.saturating_mul(u32::from(self.spread)) / (4 * u32::from(u8::MAX));
        delay.saturating_add(more).min(MAX_DELAY)
    }
}

/// What is surfaced stays within an hour (row 317).
const MAX_DELAY: Duration = Duration::from_secs(3_600);

/// The delay before trying again makes sense, 1 second to 1 hour; `None` leaves it to the caller's own back-off.
pub(crate) fn retry_delay(headers: &RateHeaders<'_>) -> Option<Duration> {
    let date = headers.date.and_then(|text| parse_http_date(text.trim_ascii()));
    let after = headers.retry_after.and_then(|text| retry_after(text.trim_ascii(), date));
    let reset = headers.reset.and_then(whole_number).zip(date).map(|(reset, date)| reset.saturating_sub(date));
    // The reset of a concurrency limit is only a guess of the server (row 316).
    let reset = reset.filter(|_| !is_concurrency_limit(headers));
    let seconds = after.max(reset)?.clamp(1, 3_600);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

/// Seconds, or a date relative to the answer's own.
fn retry_after(text: &str, date: Option<i64>) -> Option<i64> {
    match whole_number(text) {
        Some(seconds) => (seconds >= 0).then_some(seconds),
        None => Some(parse_http_date(text)?.saturating_sub(date?)),
    }
}

fn is_concurrency_limit(headers: &RateHeaders<'_>) -> bool {
    let is_zero = |text: Option<&str>| text.and_then(whole_number) == Some(0);
    is_zero(headers.limit) && is_zero(headers.remaining)
}

/// A decimal number; the ends of `i64` stand for everything beyond them (row 317).
fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let beyond = if digits.len() < text.len() { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(beyond))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
