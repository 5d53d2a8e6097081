use super::*;

#[test]
fn the_three_forms_name_the_same_second() {
    // RFC 9110 §5.6.7.
    for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse_http_date(text), Some(784_111_777), "{text}");
    }
}

#[test]
fn the_calendar_is_right_at_its_edges() {
    let cases = [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Friday, 31-Dec-69 23:59:59 GMT", 3_155_759_999),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Tue Nov 14 22:13:20 2023", 1_700_000_000),
    ];
    for (text, seconds) in cases {
        assert_eq!(parse_http_date(text), Some(seconds), "{text}");
    }
}

#[test]
fn each_day_of_four_centuries_follows_the_one_before() {
    let mut expected = 0;
    for year in 1970..2370 {
        for (number, month) in (1..).zip(MONTHS) {
            for day in 1..=days_in_month(year, number) {
                let text = format!("Mon, {day:02} {month} {year} 00:00:00 GMT");
                assert_eq!(parse_http_date(&text), Some(expected), "{text}");
                expected += 86_400;
            }
        }
    }
    // 400 years of the Gregorian calendar.
    assert_eq!(expected, 146_097 * 86_400);
}

#[test]
fn anything_else_is_no_date() {
    let cases = [
        "",
        " ",
        "0",
        "-1",
        "soon",
        "Sun,",
        "Sun, ",
        "2023-11-14T22:13:20Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Mon, 29 Feb 2100 00:00:00 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT x",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  06 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08:49:37\u{a0}GMT",
        "Sun, é6 Nov 1994 08:49:37 GMT",
    ];
    for text in cases {
        assert_eq!(parse_http_date(text), None, "{text:?}");
    }
}
