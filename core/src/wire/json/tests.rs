use super::*;

fn parse(text: impl AsRef<[u8]>) -> Result<Object, JsonError> {
    parse_object(text.as_ref(), Limits::default())
}

#[test]
fn what_the_rows_refuse_is_refused() {
    let cases: &[(u16, &[u8], JsonError)] = &[
        (30, br#"{"a":1,}"#, JsonError::Syntax),
        (30, br#"{"a":[1,]}"#, JsonError::Syntax),
        (30, br#"{"a":1 /* one */}"#, JsonError::Syntax),
        (30, b"{'a':1}", JsonError::Syntax),
        (30, br#"{"a":NaN}"#, JsonError::Syntax),
        (31, br#"{"a":1}{"b":2}"#, JsonError::Syntax),
        (31, br#"{"a":1}x"#, JsonError::Syntax),
        (31, b"{\"a\":1}\0", JsonError::Syntax),
        (32, br#"{"access_token":"A","access_token":"B"}"#, JsonError::Duplicate),
        (34, br#"{"x":1,"x":2}"#, JsonError::Duplicate),
        (34, br#"{"x":1,"\u0078":2}"#, JsonError::Duplicate),
        (34, br#"{"a":[{"b":{"x":1,"y":2,"x":3}}]}"#, JsonError::Duplicate),
        (36, b"[]", JsonError::NotAnObject),
        (36, br#""text""#, JsonError::NotAnObject),
        (36, b"7", JsonError::NotAnObject),
        (36, b"null", JsonError::NotAnObject),
        (40, b"{\"a\":\"\xff\"}", JsonError::Encoding),
        (40, b"{\"a\":\"\xc0\xaf\"}", JsonError::Encoding),
        (40, b"{\"a\":\"\xed\xa0\x80\"}", JsonError::Encoding),
        (40, b"\xff\xfe{\0}\0", JsonError::Encoding),
        (40, br#"{"a":"\ud83d"}"#, JsonError::Encoding),
        (40, br#"{"a":"\ud83dx"}"#, JsonError::Encoding),
        (40, br#"{"a":"\ud83d\ud83d"}"#, JsonError::Encoding),
        (40, br#"{"a":"\ude00\ud83d"}"#, JsonError::Encoding),
        (40, br#"{"\udfff":1}"#, JsonError::Encoding),
    ];
    for (row, text, expected) in cases {
        assert_eq!(parse(text).err(), Some(*expected), "row {row}: {}", String::from_utf8_lossy(text));
    }
}

#[test]
fn one_byte_order_mark_is_skipped_and_no_second_one() {
    assert_eq!(parse("\u{feff}{\"a\":1}").unwrap().i64("a"), Some(1));
    assert_eq!(parse("\u{feff}\u{feff}{}").err(), Some(JsonError::Syntax));
    assert_eq!(parse("{\u{feff}}").err(), Some(JsonError::Syntax));
}

#[test]
fn members_are_found_by_their_decoded_names() {
    let mut object = parse(r#"{"zeta":"z","\u0061lpha":"a","mid":{"x":[1,"two",null,true]},"n":-12,"":0}"#).unwrap();
    assert_eq!(object.str("alpha"), Some("a"));
    assert_eq!(object.str("zeta"), Some("z"));
    assert_eq!(object.i64("n"), Some(-12));
    assert_eq!(object.i64(""), Some(0));
    assert_eq!((object.str("n"), object.i64("zeta"), object.str("absent")), (None, None, None));
    let mut names = object.iter().map(|(name, _)| name).collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names, ["", "alpha", "mid", "n", "zeta"]);
    let Some(Value::Object(mid)) = object.take("mid") else { panic!("an object") };
    assert_eq!(mid.get("x").unwrap().as_array().unwrap().len(), 4);
    assert!(object.take("mid").is_none() && !object.is_empty());
    assert!(parse("{}").unwrap().is_empty());
}

#[test]
fn escapes_stand_for_their_characters() {
    let object = parse(r#"{"a":"\"\\\/\b\f\n\r\t\u0000\u00e9\uD83D\uDE00é😀\\u0041"}"#).unwrap();
    assert_eq!(object.str("a"), Some("\"\\/\u{8}\u{c}\n\r\t\0é😀é😀\\u0041"));
    for bad in [r#"\x"#, r#"\'"#, r#"\u+041"#, r#"\u004"#, r#"\u00g0"#, r#"\uéa"#, r#"\é"#, "\\\n", "\\"] {
        assert_eq!(parse(format!("{{\"a\":\"{bad}\"}}")).err(), Some(JsonError::Syntax), "{bad}");
    }
}

#[test]
fn a_number_is_worth_what_its_reader_makes_of_it() {
    let cases: &[(&str, Option<i64>, f64)] = &[
        ("0", Some(0), 0.0),
        ("-0", Some(0), 0.0),
        ("95", Some(95), 95.0),
        ("9223372036854775807", Some(i64::MAX), 9_223_372_036_854_775_807.0),
        ("-9223372036854775808", Some(i64::MIN), -9_223_372_036_854_775_808.0),
        ("9223372036854775808", None, 9_223_372_036_854_775_808.0),
        ("3600.5", None, 3600.5),
        ("3600.0", None, 3600.0),
        ("1e3", None, 1000.0),
        ("1E+3", None, 1000.0),
        ("25e-1", None, 2.5),
        ("1e400", None, f64::INFINITY),
        ("-1e400", None, f64::NEG_INFINITY),
        ("1e-400", None, 0.0),
    ];
    for (text, integer, float) in cases {
        let object = parse(format!("{{\"n\":{text}}}")).unwrap();
        let Some(Value::Number(number)) = object.get("n") else { panic!("a number") };
        assert_eq!((number.text(), number.as_i64(), number.as_f64()), (*text, *integer, *float));
    }
    for bad in ["01", "-", "+1", ".5", "5.", "1e", "1e+", "0x1", "--1", "1_0", "Infinity", "1.e1"] {
        assert_eq!(parse(format!("{{\"n\":{bad}}}")).err(), Some(JsonError::Syntax), "{bad}");
    }
}

#[test]
fn depth_is_bounded_and_the_outermost_object_counts() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(parse(nested(16)).is_ok());
    assert_eq!(parse(nested(17)).err(), Some(JsonError::TooDeep));
    assert_eq!(parse("[".repeat(1_000_000)).err(), Some(JsonError::TooDeep));
    assert_eq!(parse("{\"a\":".repeat(1_000_000)).err(), Some(JsonError::TooDeep));
}

#[test]
fn the_number_of_values_is_bounded_and_every_value_counts() {
    let limits = |values| Limits { values, ..Limits::default() };
    let text = br#"{"a":[1,2],"b":{"c":null}}"#;
    assert!(parse_object(text, limits(6)).is_ok());
    assert_eq!(parse_object(text, limits(5)).err(), Some(JsonError::TooMany));
    assert_eq!(parse_object(b"{}", limits(0)).err(), Some(JsonError::TooMany));
}

#[test]
fn a_duplicate_is_found_among_as_many_members_as_there_may_be() {
    let mut members = (1..20_000).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>();
    assert_eq!(parse(format!("{{{}}}", members.join(","))).unwrap().iter().count(), 19_999);
    members[19_998] = members[0].clone();
    assert_eq!(parse(format!("{{{}}}", members.join(","))).err(), Some(JsonError::Duplicate));
}

#[test]
fn text_is_held_in_one_buffer_that_never_grew() {
    let object = parse(r#"{"plain":"abcdefghi","escaped":"\u0041\ud83d\ude00\n"}"#).unwrap();
    let capacity = |name: &str| match object.get(name) {
        Some(Value::String(Text(buffer))) => buffer.capacity(),
        _ => panic!("a string"),
    };
    assert_eq!(capacity("plain"), 9);
    assert_eq!(capacity("escaped"), r"\u0041\ud83d\ude00\n".len());
}

#[test]
fn a_token_becomes_a_secret_without_a_copy() {
    let mut object = parse(r#"{"access_token":"abc"}"#).unwrap();
    let Some(Value::String(text)) = object.take("access_token") else { panic!("a string") };
    let place = text.as_str().as_ptr();
    let secret = text.into_secret();
    assert_eq!((secret.expose(), secret.expose().as_ptr()), ("abc", place));
}

#[test]
fn printing_shows_no_content() {
    let object = parse(r#"{"secret-name":"hunter2","n":4711,"o":{"deep":"hunter3"},"a":["hunter4"]}"#).unwrap();
    assert_eq!(format!("{object:?}"), "[object of 4]");
    let printed = |name| format!("{:?}", object.get(name).unwrap());
    assert_eq!(["secret-name", "n"].map(printed), ["String([text])", "Number([number])"]);
    assert_eq!(["o", "a"].map(printed), ["Object([object of 1])", "Array([String([text])])"]);
}

/// Each difference to serde_json falls under a rule that `another.rs` names.
mod against_serde_json {
    use crate::testing::Random;
    use crate::wire::json::another::compare;

    pub(super) const SEEDS: &[&str] = &[
        r#"{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ.a-b_c","scope":"openid profile"}"#,
        r#"{"error":"mfa_required","error_description":"MFA is required","mfa_token":"x&%+ \u00fc"}"#,
        r#"{"errorCode":"E0000047","errorSummary":"…","errorCauses":[{"errorSummary":"é"}],"n":null}"#,
        r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig"},{"kty":"EC","x":"","y":"\n"}]}"#,
        "{ \"a\" : [ 1 , -2.5e+3 , 0 , true , false , null , \"\" , [ ] , { } ] }\r\n\t ",
        r#"{"a":{"b":{"c":{"d":[[[[[[{"e":0.1}]]]]]]}}},"😀":"\ud83d\ude00","\u0061b":1e5,"q":"\"\\\/"}"#,
    ];

    #[test]
    fn a_table_of_texts_has_only_known_differences() {
        let values = [
            "0",
            "-0",
            "1",
            "-1",
            "10",
            "01",
            "1.0",
            "1.",
            ".1",
            "1e1",
            "1E1",
            "1e",
            "1e400",
            "-1e400",
            "1e-400",
            "+1",
            "0.1",
            "123456789012345678901234567890",
            "18446744073709551615",
            "18446744073709551616",
            "2.2250738585072014e-308",
            "null",
            "nul",
            "Null",
            "true",
            "tru",
            "True",
            "false",
            "fals",
            "undefined",
            "NaN",
            "Infinity",
            "-Infinity",
            "-",
            "",
            "\"\"",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\\u0000\"",
            "\"\\u12\"",
            "\"\\uD800\"",
            "\"\\uDC00\"",
            "\"\\uD800\\uDC00\"",
            "\"\\uD800\\n\"",
            "\"\\uD800\\u0041\"",
            "\"\\uDBFF\\uDFFF\"",
            "\"\\v\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "\"\u{2028}\"",
            "\"\n\"",
            "\"\\/\"",
            "\"é\"",
            "\"\\U0041\"",
            "'a'",
            "[]",
            "[",
            "]",
            "[,]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,,2]",
            "[[]]",
            "[1,[2,[3,[4]]]]",
            "{}",
            "{",
            "}",
            "{,}",
            "{\"b\"}",
            "{\"b\":}",
            "{\"b\":1,}",
            "{b:1}",
            "{1:1}",
            "{\"b\":1 \"c\":2}",
            "{\"b\":1,\"b\":1}",
            "{\"b\":1,\"B\":1}",
            "{\"\":1}",
            "{\"\":1,\"\":2}",
            "{\"b\"::1}",
            "// x\n1",
            "/**/1",
            "1 // x",
            " 1 ",
            "\u{a0}1",
            "\u{c}1",
            "\u{b}1",
            "\r\n1\t",
            "\u{feff}1",
            "1;",
            "\"a\"\"b\"",
            "1 1",
            "0b1",
            "0x1",
            "1f",
            "-a",
        ];
        for value in values {
            for text in [format!("{{\"a\":{value}}}"), format!("{{\"a\":[{value},{value}]}}"), value.to_owned()] {
                if let Err(difference) = compare(text.as_bytes()) {
                    panic!("{text:?}: {difference}");
                }
            }
        }
        for seed in SEEDS {
            assert_eq!(compare(seed.as_bytes()), Ok("same"), "{seed}");
        }
    }

    #[test]
    fn mutations_have_only_known_differences() {
        const PIECES: &[&[u8]] = &[
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b"\\u",
            b"d83d",
            b"\\ude00",
            b"0",
            b"1",
            b"-",
            b".",
            b"e",
            b"E+",
            b" ",
            b"\n",
            b"\0",
            b"\x1f",
            b"\x7f",
            b"\x80",
            b"\xc3",
            b"\xa9",
            b"\xff",
            b"\xef\xbb\xbf",
            b"null",
            b"true",
            b"1e999",
            b"\"a\":1,",
            b"[[[[[[[[[[",
            b"]]]]]]]]]]",
            b"/",
        ];
        let mut random = Random::new(0x5eed);
        let mut outcomes = std::collections::BTreeMap::<&str, usize>::new();
        for _ in 0..30_000 {
            let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
            for _ in 0..=random.below(3) {
                let (from, length) = (random.below(bytes.len() + 1), random.below(4));
                let to = bytes.len().min(from + length);
                match random.below(3) {
                    0 => drop(bytes.drain(from..to)),
                    1 => drop(bytes.splice(from..from, PIECES[random.below(PIECES.len())].iter().copied())),
                    _ => bytes.extend_from_within(from..to),
                }
            }
            match compare(&bytes) {
                Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
                Err(difference) => panic!("{:?}: {difference}", String::from_utf8_lossy(&bytes)),
            }
        }
        for outcome in ["same", "both refuse", "duplicate", "large number"] {
            assert!(outcomes.get(outcome).is_some_and(|count| *count > 5), "too few of {outcome}: {outcomes:?}");
        }
    }
}
