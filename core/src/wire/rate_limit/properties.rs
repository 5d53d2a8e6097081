//! Rows 315–320 for headers that nobody foresaw.

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::testing::properties;

/// A header's text: numbers of any size, dates, and noise.
fn header() -> impl Strategy<Value = Option<String>> {
    option::weighted(
        0.8,
        prop_oneof![
            3 => any::<String>(),
            2 => "[ \t]?[-+]?[0-9]{0,30}[ \t]?",
            2 => any::<i64>().prop_map(|number| number.to_string()),
            3 => (1_700_000_000_i64 - 10..1_700_004_000).prop_map(|number| number.to_string()),
            3 => (0_u64..4_102_444_800).prop_map(date),
            3 => (1_700_000_000_u64 - 10..1_700_004_000).prop_map(date),
            1 => Just("0".to_owned()),
        ],
    )
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
}

proptest! {
    #![proptest_config(properties(4_096))]

    #[test]
    fn a_wait_is_between_a_second_and_an_hour(
        retry_after in header(), limit in header(), remaining in header(), reset in header(), date in header(),
    ) {
        let headers = RateHeaders {
            retry_after: retry_after.as_deref(),
            limit: limit.as_deref(),
            remaining: remaining.as_deref(),
            reset: reset.as_deref(),
            date: date.as_deref(),
        };
        if let Some(delay) = retry_delay(&headers) {
            prop_assert!((Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&delay), "{:?}", delay);
            prop_assert!(retry_after.is_some() || reset.is_some());
        }
        // Row 318: the longer of the two.
        let only_after = retry_delay(&RateHeaders { reset: None, ..headers });
        let only_reset = retry_delay(&RateHeaders { retry_after: None, ..headers });
        prop_assert_eq!(retry_delay(&headers), only_after.max(only_reset));
    }

    #[test]
    fn what_both_headers_say_is_measured_against_the_date(now in 0_u64..4_000_000_000, wait in 0_u64..10_000) {
        let (date_text, then) = (date(now), date(now + wait));
        let expected = Some(Duration::from_secs(wait.clamp(1, 3_600)));
        let (seconds, reset) = (wait.to_string(), (now + wait).to_string());
        let none = RateHeaders { date: Some(&date_text), ..RateHeaders::default() };
        prop_assert_eq!(retry_delay(&RateHeaders { retry_after: Some(&seconds), ..none }), expected);
        prop_assert_eq!(retry_delay(&RateHeaders { retry_after: Some(&then), ..none }), expected);
        prop_assert_eq!(retry_delay(&RateHeaders { reset: Some(&reset), ..none }), expected);
    }
}
