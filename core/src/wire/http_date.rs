//! The date of an HTTP header, as seconds since 1970.
//!
//! RFC 9110 §5.6.7: IMF-fixdate, and the two obsolete forms that a recipient must accept. The library compares times of
//! the server with the server's own `Date`, never with the device's clock (docs/protocol.md §5 and §6.2 step 9).

/// Seconds since 1970-01-01T00:00:00Z; years 1970 to 9999. The name of the day must be one, but need not be the right one.
pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    let (day_name, rest) = text.split_once(' ')?;
    match day_name.strip_suffix(',') {
        Some(day_name) if DAYS.contains(&day_name) => imf_fixdate(rest),
        Some(day_name) if LONG_DAYS.contains(&day_name) => rfc850_date(rest),
        None if DAYS.contains(&day_name) => asctime_date(rest),
        _ => None,
    }
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &str) -> Option<i64> {
    let [day, month, year, time] = fields(text.strip_suffix(" GMT")?, ' ')?;
    unix_seconds(digits(year, 4)?, month, digits(day, 2)?, time)
}

/// `06-Nov-94 08:49:37 GMT`
fn rfc850_date(text: &str) -> Option<i64> {
    let [date, time] = fields(text.strip_suffix(" GMT")?, ' ')?;
    let [day, month, year] = fields(date, '-')?;
    let year = digits(year, 2)?;
    // A fixed pivot instead of "50 years from now": no clock here, and no server had a date before 1970.
    let century = if year < 70 { 2000 } else { 1900 };
    unix_seconds(century + year, month, digits(day, 2)?, time)
}

/// `Nov  6 08:49:37 1994`
fn asctime_date(text: &str) -> Option<i64> {
    let (month, rest) = text.split_once(' ')?;
    let (width, rest) = rest.strip_prefix(' ').map_or((2, rest), |rest| (1, rest));
    let [day, time, year] = fields(rest, ' ')?;
    unix_seconds(digits(year, 4)?, month, digits(day, width)?, time)
}

fn unix_seconds(year: i64, month: &str, day: i64, time: &str) -> Option<i64> {
    let month = (1..).zip(MONTHS).find_map(|(number, name)| (name == month).then_some(number))?;
    let is_date = (1970..=9999).contains(&year) && (1..=days_in_month(year, month)).contains(&day);
    let [hour, minute, second] = fields(time, ':')?;
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // Second 60 is a leap second.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_time).then(|| days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    const DAYS_BEFORE_1970: i64 = 719_469;
    year * 365 + leap_days + days_before_month + day - DAYS_BEFORE_1970
}

/// Exactly `N` fields.
fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    text.split(separator).collect::<Vec<_>>().try_into().ok()
}

/// A number of exactly `width` digits.
fn digits(text: &str, width: usize) -> Option<i64> {
    let is_number = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
