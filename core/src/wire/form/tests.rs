use super::*;

fn encode(pairs: &[(&'static str, &str)]) -> String {
    let mut form = Form::new();
    for (name, value) in pairs {
        form.push(name, value);
    }
    String::from_utf8(form.encode().as_ref().to_vec()).unwrap()
}

/// An independent reader: the one of the `url` crate.
fn decode(body: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

#[test]
fn parameters_are_sent_in_their_order() {
    assert_eq!(encode(&[]), "");
    assert_eq!(encode(&[("client_id", "0oa1")]), "client_id=0oa1");
    assert_eq!(encode(&[("b", "2"), ("a", ""), ("c", "x y")]), "b=2&a=&c=x+y");
}

#[test]
fn the_example_of_the_rfc_is_encoded_as_it_says() {
    // RFC 6749 appendix B.
    assert_eq!(encode(&[("a", "\u{20}\u{25}\u{26}\u{2b}\u{a3}\u{20ac}")]), "a=+%25%26%2B%C2%A3%E2%82%AC");
}

#[test]
fn exactly_letters_digits_and_four_marks_stay_as_they_are() {
    for byte in 0..=0x7f_u8 {
        let character = char::from(byte);
        let expected = match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '*' | '-' | '.' | '_' => character.to_string(),
            ' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        };
        assert_eq!(encode(&[("n", &character.to_string())]), format!("n={expected}"));
    }
}

#[test]
fn any_text_comes_back_and_fills_the_buffer_exactly() {
    let mut state = 7_u32;
    let mut next = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % bound
    };
    for _ in 0..2_000 {
        let highest = [0x80, 0x800, 0x1_0000, 0x11_0000][next(4) as usize];
        let text = (0..next(40)).filter_map(|_| char::from_u32(next(highest))).collect::<String>();
        let mut form = Form::new();
        form.push("mfa_token", &text);
        form.push("client_id", "0oa 1");
        let body = form.encode().into_parts().0;
        assert_eq!(body.len(), body.capacity());
        let expected =
            [("mfa_token", text.as_str()), ("client_id", "0oa 1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(decode(str::from_utf8(&body).unwrap()), expected);
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "the form already has scope")]
fn pushing_a_name_twice_stops_a_debug_build() {
    encode(&[("scope", "openid"), ("scope", "admin")]);
}

#[test]
#[cfg(not(debug_assertions))]
fn a_name_pushed_twice_is_sent_once_with_its_first_value() {
    assert_eq!(encode(&[("scope", "openid"), ("acr_values", "x"), ("scope", "admin")]), "scope=openid&acr_values=x");
}

#[test]
fn printing_shows_no_content() {
    let mut form = Form::new();
    form.push("password", "hunter2");
    assert_eq!(format!("{:?}", form.encode()), "[form]");
}
