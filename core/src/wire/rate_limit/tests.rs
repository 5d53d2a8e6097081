use super::*;

/// 1_700_000_000
const DATE: Option<&str> = Some("Tue, 14 Nov 2023 22:13:20 GMT");

fn seconds(headers: RateHeaders<'_>) -> Option<u64> {
    retry_delay(&headers).map(|delay| delay.as_secs())
}

#[test]
fn the_rows_give_the_delay() {
    let none = RateHeaders { date: DATE, ..RateHeaders::default() };
    let reset = |reset| RateHeaders { reset: Some(reset), limit: Some("60"), remaining: Some("0"), ..none };
    let after = |after| RateHeaders { retry_after: Some(after), ..none };
    let concurrency = |reset| RateHeaders { reset: Some(reset), limit: Some("0"), remaining: Some("0"), ..none };
    let cases = [
        (315, "reset seven seconds after the date", reset("1700000007"), Some(7)),
        (315, "white space around it", reset(" 1700000007\t"), Some(7)),
        (315, "no date to measure against", RateHeaders { date: None, ..reset("1700000007") }, None),
        (315, "a date that is none", RateHeaders { date: Some("today"), ..reset("1700000007") }, None),
        (316, "concurrency limit", concurrency("1700000007"), None),
        (
            316,
            "concurrency limit with Retry-After",
            RateHeaders { retry_after: Some("3"), ..concurrency("1700000007") },
            Some(3),
        ),
        (
            316,
            "only one of the two is zero",
            RateHeaders { remaining: Some("1"), ..concurrency("1700000007") },
            Some(7),
        ),
        (317, "reset in the past", reset("1699999000"), Some(1)),
        (317, "reset now", reset("1700000000"), Some(1)),
        (317, "reset in the year 2106", reset("4294967295"), Some(3_600)),
        (317, "reset beyond i64", reset("99999999999999999999999999"), Some(3_600)),
        (317, "negative reset", reset("-7"), Some(1)),
        (317, "reset far below i64", reset("-99999999999999999999999999"), Some(1)),
        (317, "reset is text", reset("soon"), None),
        (317, "reset is a fraction", reset("1700000007.5"), None),
        (317, "reset is empty", reset(""), None),
        (317, "reset is a sign", reset("-"), None),
        (318, "delta", after("20"), Some(20)),
        (318, "delta without a date", RateHeaders { date: None, ..after("20") }, Some(20)),
        (318, "delta of zero", after("0"), Some(1)),
        (318, "delta of a day", after("86400"), Some(3_600)),
        (318, "delta beyond i64", after("99999999999999999999999999"), Some(3_600)),
        (318, "date", after("Tue, 14 Nov 2023 22:13:50 GMT"), Some(30)),
        (318, "date in the past", after("Tue, 14 Nov 2023 22:13:00 GMT"), Some(1)),
        (318, "date without a date", RateHeaders { date: None, ..after("Tue, 14 Nov 2023 22:13:50 GMT") }, None),
        (318, "negative delta", after("-5"), None),
        (318, "signed delta", after("+5"), None),
        (318, "text", after("later"), None),
        (318, "longer than reset", RateHeaders { retry_after: Some("20"), ..reset("1700000007") }, Some(20)),
        (318, "shorter than reset", RateHeaders { retry_after: Some("5"), ..reset("1700000007") }, Some(7)),
        (318, "unusable beside reset", RateHeaders { retry_after: Some("later"), ..reset("1700000007") }, Some(7)),
        (320, "no headers", none, None),
        (320, "nothing at all", RateHeaders::default(), None),
    ];
    for (row, what, headers, expected) in cases {
        assert_eq!(seconds(headers), expected, "row {row}: {what}");
    }
}
