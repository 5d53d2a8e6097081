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

fn at(seconds: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(seconds))
}

#[test]
fn without_a_time_the_wait_doubles_until_the_server_takes_a_request() {
    let mut standing = Standing::default();
    assert_eq!(standing.back_off().as_secs(), 1);
    let concurrency = RateHeaders {
        limit: Some("0"),
        remaining: Some("0"),
        reset: Some("1700000007"),
        date: DATE,
        retry_after: None,
    };
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        standing.heard(429, &concurrency, true, at(0));
        // What is not counted says nothing about what is.
        standing.heard(200, &RateHeaders::default(), false, at(0));
        assert_eq!(standing.back_off().as_secs(), expected, "row 316");
    }
    assert!(standing.wants_quiet(at(59)) && !standing.wants_quiet(at(60)));
    standing.heard(503, &RateHeaders::default(), true, at(0));
    assert_eq!(standing.back_off().as_secs(), 60, "a failing server says nothing about its limits");
    standing.heard(400, &RateHeaders::default(), true, at(0));
    standing.heard(429, &RateHeaders::default(), true, at(0));
    assert_eq!(standing.back_off().as_secs(), 1, "row 320");
    standing.heard(429, &RateHeaders::default(), true, at(100));
    standing.heard(429, &RateHeaders::default(), true, at(300));
    assert_eq!(standing.back_off().as_secs(), 1, "long ago is not in a row");
}

#[test]
fn quiet_is_kept_for_what_nobody_waits_for() {
    let mut standing = Standing::default();
    let empty = |reset| RateHeaders {
        remaining: Some("0"),
        reset: Some(reset),
        limit: Some("60"),
        date: DATE,
        retry_after: None,
    };
    standing.heard(200, &empty("1700000010"), true, at(5));
    assert!(standing.wants_quiet(at(14)) && !standing.wants_quiet(at(15)), "row 321");
    standing.heard(200, &empty("1800000000"), true, at(5));
    assert!(standing.wants_quiet(at(124)) && !standing.wants_quiet(at(125)), "row 317");
    standing.heard(200, &RateHeaders::default(), true, at(6));
    standing.heard(200, &empty("1700000001"), false, at(6));
    assert!(standing.wants_quiet(at(124)), "an answer that says nothing about the bucket does not fill it");
    standing.heard(200, &RateHeaders { remaining: Some("3"), ..empty("1700000010") }, true, at(7));
    assert!(standing.wants_quiet(at(124)), "nor does another bucket");
    let mut standing = Standing::default();
    standing.heard(429, &RateHeaders { retry_after: Some("90"), ..RateHeaders::default() }, true, at(10));
    assert!(standing.wants_quiet(at(99)) && !standing.wants_quiet(at(100)), "row 318");
}

#[test]
fn up_to_a_quarter_is_added() {
    let waits = |spread| Waits { back_off: Duration::from_secs(2), spread };
    for (spread, delay, expected) in [
        (0, Some(8_000), 8_000),
        (255, Some(8_000), 10_000),
        (51, Some(8_000), 8_400),
        (255, None, 2_500),
        (255, Some(3_600_000), 3_600_000),
    ] {
        let wait = waits(spread).wait(delay.map(Duration::from_millis));
        assert_eq!(wait.as_millis(), expected, "row 315");
    }
}
