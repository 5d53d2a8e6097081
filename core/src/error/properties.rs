//! What may become a [`Code`]: it is shown and logged, so nothing else of the server's text may slip through.

use proptest::prelude::*;

use super::Code;
use crate::testing::properties;

const ALLOWED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-";

proptest! {
    #![proptest_config(properties(4_096))]

    #[test]
    fn a_short_identifier_is_kept_as_it_is(text in "[A-Za-z0-9_.:-]{1,64}") {
        let code = Code::parse(&text);
        prop_assert_eq!(code.as_ref().map(Code::as_str), Some(text.as_str()));
        prop_assert_eq!(code.map(|code| format!("{code} {code:?}")), Some(format!("{text} {text}")));
    }

    #[test]
    fn one_other_character_or_one_too_many_is_refused(
        text in "[A-Za-z0-9_.:-]{1,63}", other in "[^A-Za-z0-9_.:-]", at: prop::sample::Index,
    ) {
        prop_assert!(!ALLOWED.contains(&other));
        let mut with = text.clone();
        with.insert_str(at.index(text.len() + 1), &other);
        prop_assert_eq!(Code::parse(&with), None);
        prop_assert_eq!(Code::parse(&format!("{text:x>65}")), None);
    }

    #[test]
    fn any_text_is_an_identifier_or_nothing(text: String) {
        let is_identifier = (1..=64).contains(&text.len()) && text.chars().all(|c| ALLOWED.contains(c));
        prop_assert_eq!(Code::parse(&text).is_some(), is_identifier);
    }
}
