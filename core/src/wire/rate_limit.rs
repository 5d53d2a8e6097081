//! How long a server asks us to wait.
//!
//! docs/protocol.md §5 and rows 315–320: the longer of `Retry-After` (RFC 9110 §10.2.3) and Okta's `X-Rate-Limit-Reset`,
//! both measured against the `Date` of the same answer and never against the device's clock. What is surfaced stays within
//! an hour; jitter and the shorter cap of automatic retries are added by whoever waits.

use core::time::Duration;

use super::http_date::parse_http_date;

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
mod tests;
