//! The same dates by another parser and another calendar: the `httpdate` crate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::*;
use crate::testing::properties;

/// 9999-12-31T23:59:59Z
const LAST: i64 = 253_402_300_799;

fn rendered(seconds: i64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()))
}

fn theirs(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// A date in one of the three forms of RFC 9110 §5.6.7. The name of the day is right, and the fields are those of their
/// rendering.
fn in_form(form: u8, seconds: i64) -> String {
    let imf = rendered(seconds);
    let (day, year, time) = (&imf[5..7], &imf[12..16], &imf[17..25]);
    let (month, name) = (&imf[8..11], &imf[..3]);
    match form {
        0 => imf.clone(),
        1 => {
            let long = LONG_DAYS.iter().find(|long| long.starts_with(name)).unwrap();
            format!("{long}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        _ => format!("{name} {month} {:>2} {time} {year}", day.trim_start_matches('0')),
    }
}

proptest! {
    #![proptest_config(properties(4_096))]

    #[test]
    fn a_rendered_date_is_the_second_it_was(seconds in 0..=LAST, near in 0..4_102_444_800_i64) {
        for seconds in [seconds, near] {
            prop_assert_eq!(parse_http_date(&in_form(0, seconds)), Some(seconds));
            prop_assert_eq!(parse_http_date(&in_form(2, seconds)), Some(seconds));
        }
        // Two digits of a year are enough from 1970 to 2069.
        let near = near % 3_155_760_000;
        prop_assert_eq!(parse_http_date(&in_form(1, near)), Some(near));
    }

    #[test]
    fn no_text_makes_it_panic(
        text: String, like_a_date in "(Sun|Sunday|Mon)?,?( |-|:|[0-9]{1,2}|Nov|Feb|GMT|\u{e9}){0,12}",
    ) {
        for text in [text, like_a_date] {
            if let Some(seconds) = parse_http_date(&text) {
                prop_assert!((0..=LAST + 1).contains(&seconds), "{}: {}", text, seconds);
            }
        }
    }
}

/// A text of one of the three forms whose fields are what they like, at the edges of the calendar and beyond.
fn fields() -> impl Strategy<Value = String> {
    let year = prop_oneof![1968_u32..2072, prop::sample::select(&[1600, 1900, 2000, 2100, 2400, 9999][..])];
    let month = prop_oneof![3 => prop::sample::select(&MONTHS[..]), 2 => Just("Feb"), 1 => Just("May")];
    let day = prop_oneof![0_u32..33, 28_u32..32];
    let time = prop_oneof![(0_u32..26, 0_u32..62, 57_u32..63), (0_u32..24, 0_u32..60, 0_u32..60)];
    (0_u8..3, 0_usize..7, year, month, day, time).prop_map(|(form, name, year, month, day, (hour, minute, second))| {
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        match form {
            0 => format!("{}, {day:02} {month} {year} {time} GMT", DAYS[name]),
            1 => format!("{}, {day:02}-{month}-{:02} {time} GMT", LONG_DAYS[name], year % 100),
            _ => format!("{} {month} {day:>2} {time} {year}", DAYS[name]),
        }
    })
}

/// Where the two disagree, and why. `None` is not a known reason.
fn rule(text: &str) -> Option<&'static str> {
    match (parse_http_date(text), theirs(text)) {
        (None, None) => Some("both refuse"),
        (Some(ours), Some(theirs)) => (ours == theirs).then_some("same"),
        (Some(ours), None) if text.contains(":60") => {
            let the_one_before = theirs_whatever_the_day(&text.replace(":60", ":59"));
            (the_one_before == Some(ours - 1)).then_some("a leap second")
        }
        (Some(ours), None) => (theirs_whatever_the_day(text) == Some(ours)).then_some("the name of another day"),
        (None, Some(_)) if text.trim() != text => Some("white space around it"),
        (None, Some(theirs)) => {
            let is_unseen = |right: String| {
                let mut bytes = right.bytes().zip(text.bytes());
                right != text
                    && right.len() == text.len()
                    && bytes.all(|(right, wrong)| right == wrong || right == b' ')
            };
            (0..3).any(|form| is_unseen(in_form(form, theirs))).then_some("a separator that httpdate does not look at")
        }
    }
}

/// The date under whichever name of a day makes it right.
fn theirs_whatever_the_day(text: &str) -> Option<i64> {
    let (name, rest) = text.split_at(text.find([',', ' '])?);
    let names = if LONG_DAYS.contains(&name) { LONG_DAYS } else { DAYS };
    names.iter().find_map(|name| theirs(&format!("{name}{rest}")))
}

#[test]
fn an_odd_date_is_read_as_the_other_parser_reads_it() {
    let seen = RefCell::new(BTreeMap::<&str, u32>::new());
    // A byte of the text, which has at most 33, or one of its ends.
    let place = prop_oneof![6 => 0_usize..33, 1 => Just(0), 1 => Just(33)];
    let damage = ("[ -~]?| |:60|0|[A-Z][a-z]{2}", place, 0_usize..4);
    let rendered = (0_u8..3, 0..3_155_760_000_i64).prop_map(|(form, seconds)| in_form(form, seconds));
    let damaged = (rendered, damage).prop_map(|(mut text, (piece, at, length))| {
        let at = text.len().min(at);
        text.replace_range(at..text.len().min(at + length), &piece);
        text
    });
    let result = TestRunner::new(properties(30_000)).run(&prop_oneof![damaged, fields()], |text| {
        let Some(rule) = rule(&text) else {
            let (ours, theirs) = (parse_http_date(&text), theirs(&text));
            return Err(TestCaseError::fail(format!("{text:?}: ours {ours:?}, theirs {theirs:?}")));
        };
        *seen.borrow_mut().entry(rule).or_default() += 1;
        Ok(())
    });
    let seen = seen.into_inner();
    println!("{seen:?}");
    result.unwrap();
    let rules = [
        "same",
        "both refuse",
        "a leap second",
        "the name of another day",
        "white space around it",
        "a separator that httpdate does not look at",
    ];
    for rule in rules {
        assert!(seen.contains_key(rule), "no case of {rule}: {seen:?}");
    }
}
