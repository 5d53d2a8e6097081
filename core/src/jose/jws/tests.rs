use super::*;

const HEADER: &str = r#"{"alg":"RS256","kid":"a"}"#;

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn parse_error(compact: &str) -> Option<TokenCheck> {
    parse(compact, &[Algorithm::Rs256, Algorithm::Es256]).err()
}

#[test]
fn the_three_parts_are_taken_apart() {
    let compact = format!("{}.{}.{}", encode(HEADER), encode(r#"{"sub":"x"}"#), encode("signature"));
    let jws = parse(&compact, &[Algorithm::Rs256]).ok().unwrap();
    assert_eq!((jws.kid.as_str(), jws.alg, jws.signature.as_slice()), ("a", Algorithm::Rs256, b"signature".as_slice()));
    assert_eq!(jws.signing_input, compact.rsplit_once('.').unwrap().0.as_bytes());
    assert_eq!(jws.into_payload().unwrap().str("sub"), Some("x"));
}

#[test]
fn only_three_parts_of_strict_base64url_are_a_token() {
    let (h, p) = (encode(HEADER), encode("{}"));
    let cases = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        h.clone(),
        format!("{h}.{p}"),
        format!("{h}.{p}.AAAA.AAAA"),
        // A JWE has five parts.
        format!("{h}.{p}.AAAA.AAAA.AAAA"),
        format!(".{h}.{p}.AAAA"),
        format!("{h}.{p}.AAAA "),
        format!(" {h}.{p}.AAAA"),
        format!("{h}.{p}.AA\nAA"),
        format!("{h}.{p}.AA=="),
        format!("{h}.{p}.AAA="),
        format!("{h}.{p}.A"),
        format!("{h}.{p}.AA+/"),
        // The last character has bits that belong to no byte.
        format!("{h}.{p}.AB"),
        format!("{h}.{p}.AAB"),
        format!("{h}.e30=.AAAA"),
        format!("{h}.e31.AAAA"),
        format!("{h}.{p}.\u{e9}"),
    ];
    for compact in cases {
        assert_eq!(parse_error(&compact), Some(TokenCheck::Malformed), "{compact}");
    }
    assert_eq!(parse_error(&format!("{h}.{p}.")), None);
}

#[test]
fn a_token_has_at_most_64_kib() {
    // One space more, so that the signature fills up in whole groups of four.
    let (h, p) = (encode(&format!("{HEADER} ")), encode("{}"));
    let fill = |total: usize| format!("{h}.{p}.{}", "A".repeat(total - h.len() - p.len() - 2));
    assert_eq!(parse_error(&fill(64 * 1024)), None);
    assert_eq!(parse_error(&fill(64 * 1024 + 4)), Some(TokenCheck::Malformed));
}

#[test]
fn a_key_id_has_at_most_1024_bytes() {
    let compact = |kid: &str| format!("{}.e30.AAAA", encode(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#)));
    assert_eq!(parse_error(&compact(&"k".repeat(1024))), None);
    assert_eq!(parse_error(&compact(&"k".repeat(1025))), Some(TokenCheck::KeyId));
}

#[test]
fn the_header_is_judged_in_the_order_of_the_rules() {
    let cases = [
        (r#"{"alg":"HS256","crit":["x"],"typ":"at+jwt"}"#, TokenCheck::Algorithm),
        (r#"{"alg":"RS256","crit":["x"],"typ":"at+jwt"}"#, TokenCheck::Critical),
        (r#"{"alg":"RS256","typ":"at+jwt"}"#, TokenCheck::Type),
        (r#"{"alg":"RS256","typ":"JWT"}"#, TokenCheck::KeyId),
    ];
    for (header, check) in cases {
        assert_eq!(parse_error(&format!("{}.e30.AAAA", encode(header))), Some(check), "{header}");
    }
}

#[test]
fn no_algorithm_is_allowed_by_default() {
    assert_eq!(parse(&format!("{}.e30.AAAA", encode(HEADER)), &[]).err(), Some(TokenCheck::Algorithm));
}
