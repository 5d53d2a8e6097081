//! Whatever is typed: what comes out can be sent, and coming in again it stays what it is. VAL-2 and row 142.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::properties;

/// The decimal digits that a keyboard may produce, zero first; written out, not computed.
const KEYBOARDS: [&str; 6] = [
    "0123456789",
    "\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\u{ff16}\u{ff17}\u{ff18}\u{ff19}",
    "\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}\u{668}\u{669}",
    "\u{6f0}\u{6f1}\u{6f2}\u{6f3}\u{6f4}\u{6f5}\u{6f6}\u{6f7}\u{6f8}\u{6f9}",
    "\u{966}\u{967}\u{968}\u{969}\u{96a}\u{96b}\u{96c}\u{96d}\u{96e}\u{96f}",
    "\u{9e6}\u{9e7}\u{9e8}\u{9e9}\u{9ea}\u{9eb}\u{9ec}\u{9ed}\u{9ee}\u{9ef}",
];

fn normalised(typed: &str) -> Option<String> {
    code(&Secret::from(typed)).map(|code| code.expose().to_owned())
}

/// Any text, with a liking for what no field yields.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![2 => any::<String>(), 1 => "[a-z\u{e9} \0-\u{1f}\u{7f}-\u{a0}]{0,4}", 1 => "[a-z ]{0,12}"]
}

/// Around the characters that matter in a code.
fn typed() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[0-9 \\-\u{660}-\u{66a}\u{ff0f}-\u{ff1a}\u{2010}-\u{2016}\u{a0}a]{0,12}"]
}

proptest! {
    #![proptest_config(properties(4_096))]

    #[test]
    fn a_code_is_ascii_digits_and_stays_what_it_is(typed in typed()) {
        if let Some(code) = normalised(&typed) {
            prop_assert!(!code.is_empty() && code.len() <= MAX_CODE);
            prop_assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{:?}", code);
            prop_assert_eq!(normalised(&code), Some(code.clone()));
            // Nothing but digits counts, and each of them does.
            let digits = typed.chars().filter(|c| KEYBOARDS.concat().contains(*c)).count();
            prop_assert_eq!(digits, code.len());
        }
    }

    #[test]
    fn a_code_is_the_same_on_every_keyboard(
        digits in vec((0_usize..10, 0_usize..6, "[ \u{a0}\u{2011}-]{0,1}"), 1..9),
    ) {
        let typed = digits.iter().map(|(digit, keyboard, gap)| {
            let key = KEYBOARDS[*keyboard].chars().nth(*digit).unwrap();
            format!("{key}{gap}")
        }).collect::<String>();
        let expected = digits.iter().map(|(digit, ..)| digit.to_string()).collect::<String>();
        prop_assert_eq!(normalised(&typed), Some(expected), "{:?}", typed);
    }

    #[test]
    fn a_letter_in_a_code_is_never_dropped(
        before in "[0-9]{0,6}", letter in "[^\\p{White_Space}\\p{Nd}\\-\u{2010}-\u{2015}]", after in "[0-9]{0,6}",
    ) {
        prop_assert_eq!(normalised(&format!("{before}{letter}{after}")), None);
    }

    #[test]
    fn a_username_is_a_part_of_what_was_typed_and_stays_what_it_is(typed in text(), space in "[ \t\u{a0}\u{2003}]{0,3}") {
        let typed = format!("{space}{typed}{space}");
        let trimmed = username(&typed, true);
        let has_controls = typed.trim().chars().any(|c| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'));
        let is_name = (1..=1024).contains(&typed.trim().len()) && !has_controls;
        prop_assert_eq!(trimmed.as_deref(), is_name.then_some(typed.trim()));
        if let Some(name) = trimmed {
            prop_assert_eq!([username(&name, true), username(&name, false)], [Some(name.clone()), Some(name)]);
        }
        if let Some(name) = username(&typed, false) {
            prop_assert_eq!(name, typed);
        }
    }

    #[test]
    fn a_password_can_be_sent_unless_it_is_empty_long_or_has_what_no_field_yields(
        typed in text(), long in 4_090_usize..4_103,
    ) {
        let can = |text: &str| is_password(&Secret::from(text));
        let has_breaks = typed.chars().any(|c| c == '\0' || c == '\r' || c == '\n');
        prop_assert_eq!(can(&typed), !typed.is_empty() && !has_breaks);
        prop_assert_eq!(can(&"p".repeat(long)), long <= 4_096);
    }
}
