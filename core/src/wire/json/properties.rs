//! Documents nobody wrote down: generated values in random spelling, damaged ones, plain noise, and documents around the
//! bounds. Rows 30–40 and 45.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value as Json;

use super::another::{compare, compare_within, same_object, shape};
use super::spelling::write;
use super::*;
use crate::testing::properties;

/// Any text, with a liking for what JSON has to escape.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        2 => r#"["\\/\x00-\x20a\u{7f}\u{e9}\u{2028}\u{d7ff}\u{e000}\u{fffd}\u{feff}\u{1f600}\u{10ffff}]{0,12}"#,
        2 => "[a-c]{0,2}",
    ]
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-10_i64..10).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| prop_oneof![vec(inner.clone(), 0..6).prop_map(Json::from), object(inner)])
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    btree_map(text(), value, 0..6).prop_map(|members| Json::Object(members.into_iter().collect()))
}

/// A document and the choices of whoever writes it down.
fn document() -> impl Strategy<Value = (Json, Vec<u8>)> {
    (object(value()), vec(any::<u8>(), 1..64))
}

proptest! {
    #![proptest_config(properties(512))]

    #[test]
    fn a_document_is_worth_the_same_however_it_is_written((document, choices) in document(), marked: bool) {
        let text = write(&document, &choices);
        let parsed = parse_object(text.as_bytes(), Limits::default());
        prop_assert!(parsed.is_ok_and(|parsed| same_object(&parsed, &document)), "{}", text);
        // Row 39.
        let (mark, rule) = if marked { ("\u{feff}", "byte order mark") } else { ("", "same") };
        prop_assert_eq!(compare(format!("{mark}{text}").as_bytes()), Ok(rule));
    }

    #[test]
    fn a_document_is_refused_exactly_beyond_its_limits(
        (document, choices) in document(), depth in 0_usize..12, values in 0_usize..60,
    ) {
        let text = write(&document, &choices);
        let (limits, shape) = (Limits { depth, values }, shape(text.as_bytes()).unwrap());
        let is_within = shape.depth <= depth && shape.values <= values;
        prop_assert_eq!(parse_object(text.as_bytes(), limits).is_ok(), is_within);
        let compared = compare_within(text.as_bytes(), limits);
        prop_assert!(compared.is_ok(), "{}: {:?}", text, compared);
    }

    #[test]
    fn nothing_is_nested_deeper_than_16(brackets in vec(any::<bool>(), 0..40)) {
        // The outermost object is one, what is inside comes on top.
        let open = brackets.iter().map(|array| if *array { "[" } else { "{\"a\":" }).collect::<String>();
        let close = brackets.iter().rev().map(|array| if *array { "]" } else { "}" }).collect::<String>();
        let text = format!("{{\"a\":{open}0{close}}}");
        let expected = if brackets.len() < 16 { None } else { Some(JsonError::TooDeep) };
        prop_assert_eq!(parse_object(text.as_bytes(), Limits::default()).err(), expected);
        prop_assert!(compare(text.as_bytes()).is_ok());
    }
}

proptest! {
    #![proptest_config(properties(4_096))]

    #[test]
    fn noise_is_read_as_serde_json_reads_it(
        bytes in vec(any::<u8>(), 0..64),
        like_json in r#"[{}\[\],:"\\u0-9a-f.eE+\- \n\x00-\x1f\u{a0}\u{e9}\u{feff}]{0,24}"#,
        like_number in r"-{0,2}[0-2]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?",
        like_text in r#"[a-z\u{e9}]{0,3}(\\?[\x00-\x7f]|\\u[0-9A-Fa-f]{4}){1,2}[a-z\u{1f511}]{0,3}"#,
    ) {
        let values = [&like_json, &like_number, &format!("\"{like_text}\"")];
        let values = values.map(|value| format!("{{\"a\":{value}}}").into_bytes());
        for bytes in values.into_iter().chain([bytes, like_json.into_bytes()]) {
            let compared = compare(&bytes);
            prop_assert!(compared.is_ok(), "{:?}: {:?}", String::from_utf8_lossy(&bytes), compared);
        }
    }
}

proptest! {
    #![proptest_config(properties(16))]

    #[test]
    fn nothing_has_more_than_20_000_values(more in 0_usize..12, per_list in 1_usize..300) {
        // 19,995 to 20,006 values: the object, the lists and what is in them.
        let total = 19_995 + more;
        let (lists, rest) = ((total - 1) / (per_list + 1), (total - 1) % (per_list + 1));
        let list = |length: usize| format!("[{}]", vec!["0"; length].join(","));
        let mut members = vec![list(per_list); lists];
        members.extend((rest > 0).then(|| list(rest - 1)));
        let members = members.iter().enumerate().map(|(n, value)| format!("\"{n}\":{value}")).collect::<Vec<_>>();
        let text = format!("{{{}}}", members.join(","));
        prop_assert_eq!(shape(text.as_bytes()).unwrap().values, total);
        let expected = if total <= 20_000 { None } else { Some(JsonError::TooMany) };
        prop_assert_eq!(parse_object(text.as_bytes(), Limits::default()).err(), expected);
        prop_assert!(compare(text.as_bytes()).is_ok());
    }
}

/// One change to a document: what is put in, after how much of it, in place of how many bytes.
#[derive(Clone, Debug)]
struct Damage {
    piece: String,
    at: prop::sample::Index,
    /// Behind the next of these, if there is one: where a piece is likely to fit.
    behind: Option<u8>,
    length: usize,
}

impl Damage {
    fn apply(&self, document: &mut Vec<u8>) {
        let at = self.at.index(document.len() + 1);
        let find = |from: usize| document[from..].iter().position(|byte| Some(*byte) == self.behind);
        let from = match self.behind {
            None => at,
            Some(_) => match (find(at), find(0)) {
                (Some(offset), _) => at + offset + 1,
                (None, Some(first)) => first + 1,
                (None, None) => return,
            },
        };
        let to = document.len().min(from + self.length);
        document.splice(from..to, self.piece.bytes());
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let anywhere = prop_oneof![
        4 => "",
        8 => r#"[{}\[\],:"\\/ 0-9eE.+-]{1,3}"#,
        2 => any::<char>().prop_map(String::from),
        1 => "[\0-\u{1f}\u{7f}\u{a0}\u{2028}]",
        2 => r"\\u(d[89a-f][0-9a-f]{2}|[0-9a-f]{1,4})",
        1 => Just("\u{feff}".to_owned()),
    ];
    let value = prop_oneof![
        4 => "(1e999|-1E+400|0|null|\"\"),",
        1 => Just(format!("{}{},", "[".repeat(17), "]".repeat(17))),
        1 => Just(format!("[0{}],", ",0".repeat(20_000))),
    ];
    let member = r#"("[ab]":(0|1e400|\[\]),){1,2}"#;
    let at = any::<prop::sample::Index>;
    let behind = |bracket| move |(piece, at)| Damage { piece, at, behind: Some(bracket), length: 0 };
    prop_oneof![
        4 => (anywhere, at(), 0_usize..3).prop_map(|(piece, at, length)| Damage { piece, at, behind: None, length }),
        3 => (member, at()).prop_map(behind(b'{')),
        2 => (value, at()).prop_map(behind(b'[')),
    ]
}

#[test]
fn a_damaged_document_differs_only_by_a_named_rule() {
    let seen = RefCell::new(BTreeMap::<&str, u32>::new());
    let damaged = (document(), vec(damage(), 1..3), 0_u8..8, any::<prop::sample::Index>());
    let result = TestRunner::new(properties(2_000)).run(&damaged, |((document, choices), damages, more, byte)| {
        let mut bytes = write(&document, &choices).into_bytes();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        match more {
            0 => drop(bytes.splice(0..0, "\u{feff}".bytes())),
            1 => bytes = [b"[", bytes.as_slice(), b"]"].concat(),
            // One bit, which may end the UTF-8.
            2 if !bytes.is_empty() => {
                let at = byte.index(bytes.len());
                bytes[at] ^= 1 << (choices[0] % 8);
            }
            _ => (),
        }
        let rule = compare(&bytes).map_err(|difference| {
            TestCaseError::fail(format!("{:?}: {difference}", String::from_utf8_lossy(&bytes)))
        })?;
        *seen.borrow_mut().entry(rule).or_default() += 1;
        Ok(())
    });
    let seen = seen.into_inner();
    println!("{seen:?}");
    result.unwrap();
    let rules =
        ["same", "both refuse", "byte order mark", "large number", "duplicate", "not an object", "deep", "many"];
    for rule in rules {
        assert!(seen.contains_key(rule), "no case of {rule}: {seen:?}");
    }
}
