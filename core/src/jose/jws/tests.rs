use super::*;
use crate::jose::jwks::{Found, parse_keys};

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

/// RFC 7515 appendices A.2 and A.3. Their headers have no `kid`, so they come in below the header rules.
#[test]
fn the_vectors_of_rfc_7515_verify() {
    const PAYLOAD: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const A2_KEY: &str = r#"{"kty":"RSA","kid":"A.2","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const A3_KEY: &str = r#"{"kty":"EC","kid":"A.3","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const A3_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    let keys = format!(r#"{{"keys":[{A2_KEY},{A3_KEY}]}}"#);
    let keys = parse_keys(&parse_object(keys.as_bytes(), Limits::default()).unwrap()).unwrap();
    let vectors = [
        ("A.2", Algorithm::Rs256, r#"{"alg":"RS256"}"#, A2_SIGNATURE),
        ("A.3", Algorithm::Es256, r#"{"alg":"ES256"}"#, A3_SIGNATURE),
    ];
    for (kid, alg, header, signature) in vectors {
        let signing_input = format!("{}.{PAYLOAD}", encode(header));
        let verify = |signing_input: &str, signature: &str| {
            let signature = decode(signature).unwrap();
            let payload = Zeroizing::new(decode(PAYLOAD).unwrap());
            let jws = Jws { kid: kid.to_owned(), alg, signing_input: signing_input.as_bytes(), signature, payload };
            let Found::One(key) = keys.find(kid, alg) else { panic!("{kid}") };
            key.verify(&jws).and_then(|()| jws.into_payload())
        };
        assert_eq!(verify(&signing_input, signature).unwrap().i64("exp"), Some(1_300_819_380), "{kid}");
        assert_eq!(verify(&signing_input.replacen("eyJ", "eyK", 1), signature).err(), Some(TokenCheck::Signature));
        assert_eq!(verify(&signing_input, &signature.replacen('x', "y", 1)).err(), Some(TokenCheck::Signature));
    }
}
