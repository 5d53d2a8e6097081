use super::*;

const CHALLENGE: &str = "MDEyMzQ1Njc4OWFiY2RlZg";

fn parse_with(json: &str, configured: &[String]) -> Result<PasskeyChallenge, Kind> {
    let parties = RelyingParties { issuer_host: "id.acme.com", configured };
    parse_passkey(parse(json.as_bytes()).unwrap(), &parties)
}

fn parsed(json: &str) -> Result<PasskeyChallenge, Kind> {
    parse_with(json, &[])
}

/// A challenge with these members.
fn with(members: &str) -> Result<PasskeyChallenge, Kind> {
    parsed(&format!(r#"{{"publicKey":{{"challenge":"{CHALLENGE}"{members}}}}}"#))
}

#[test]
fn relying_parties() {
    let acme = "acme.com".to_owned();
    for (row, members, configured, expected) in [
        (170, r#","rpId":"id.acme.com""#, vec![], Ok("id.acme.com")),
        (171, "", vec![], Ok("id.acme.com")),
        (171, r#","rpId":null"#, vec![], Ok("id.acme.com")),
        (171, r#","extensions":{"appid":"https://acme.com"}"#, vec![acme.clone()], Ok("acme.com")),
        (171, r#","extensions":{"appid":"https://evil.example"}"#, vec![], Ok("id.acme.com")),
        (172, r#","rpId":"acme.com""#, vec![acme.clone()], Ok("acme.com")),
        (172, r#","rpId":"acme.com""#, vec![], Err(member("rpId"))),
        (172, r#","rpId":"evil.example""#, vec![acme.clone()], Err(member("rpId"))),
        (172, r#","rpId":"ID.acme.com""#, vec![], Err(member("rpId"))),
        (172, r#","rpId":"""#, vec![], Err(member("rpId"))),
        (172, r#","rpId":7"#, vec![], Err(member("rpId"))),
        (173, r#","rpId":"com""#, vec![acme], Err(member("rpId"))),
    ] {
        let json = format!(r#"{{"publicKey":{{"challenge":"{CHALLENGE}"{members}}}}}"#);
        let found = parse_with(&json, &configured).map(|challenge| challenge.rp_id);
        assert_eq!(found.as_deref(), expected.as_ref().copied(), "row {row}: {members}");
    }
}

#[test]
fn challenges() {
    for (row, text, good) in [
        (170, CHALLENGE, true),
        (174, "", false),
        (174, "MDEyMzQ1Njc4OWFiY2Rl", false),
        (174, "not base64url!", false),
        (175, "MDEyMzQ1Njc4OWFiY2RlZg==", true),
        (175, "-_-_MDEyMzQ1Njc4OWFiY2Rl", true),
        (175, "+/+/MDEyMzQ1Njc4OWFiY2Rl", false),
    ] {
        let json = format!(r#"{{"publicKey":{{"challenge":"{text}"}}}}"#);
        assert_eq!(parsed(&json).is_ok(), good, "row {row}: {text}");
    }
    for (json, expected) in [
        (r#"{"publicKey":{}}"#, member("challenge")),
        (r#"{"publicKey":{"challenge":7}}"#, member("challenge")),
        (r#"{"publicKey":[]}"#, member("publicKey")),
        ("{}", member("publicKey")),
        (r#"{"challenge_type":"http://auth0.com/oauth/grant-type/mfa-otp"}"#, unsupported()),
        (r#"{"challengeType":"urn:new","publicKey":{}}"#, unsupported()),
    ] {
        assert_eq!(parsed(json).unwrap_err(), expected, "{json}");
    }
}

fn unsupported() -> Kind {
    Kind::Unsupported { what: Unsupported::Challenge }
}

#[test]
fn what_the_platform_is_handed() {
    let json = |members: &str| with(members).unwrap().request_json();
    let plain = r#""userVerification":"preferred","allowCredentials":[]"#;
    let head = format!(r#"{{"challenge":"{CHALLENGE}","rpId":"id.acme.com","timeout":"#);
    for (row, members, rest) in [
        (176, "", format!("300000,{plain}}}")),
        (176, r#","allowCredentials":[]"#, format!("300000,{plain}}}")),
        (179, r#","timeout":-1"#, format!("15000,{plain}}}")),
        (179, r#","timeout":0"#, format!("15000,{plain}}}")),
        (179, r#","timeout":60000"#, format!("60000,{plain}}}")),
        (179, r#","timeout":1e12"#, format!("300000,{plain}}}")),
        (179, r#","timeout":"60000""#, format!("300000,{plain}}}")),
        (177, r#","timeout":60000,"userVerification":"maybe""#, format!("60000,{plain}}}")),
        (
            177,
            r#","timeout":60000,"userVerification":"required","hints":["new"],"allowCredentials":[{"type":"public-key","id":"AQI=","transports":["internal","hybrid","smart-card","future"]},{"type":"otp-key","id":"Aw"}]"#,
            r#"60000,"userVerification":"required","allowCredentials":[{"type":"public-key","id":"AQI","transports":["smart-card","hybrid","internal"]}]}"#.to_owned(),
        ),
        (
            170,
            r#","timeout":60000,"extensions":{"appid":"https://id.acme.com/app","credBlob":true}"#,
            format!(r#"60000,{plain},"extensions":{{"appid":"https://id.acme.com/app"}}}}"#),
        ),
        (170, r#","timeout":60000,"extensions":{"appid":"https://id.acme.com/\""}"#, format!("60000,{plain}}}")),
    ] {
        assert_eq!(json(members), format!("{head}{rest}"), "row {row}: {members}");
        assert!(parse(json(members).as_bytes()).is_ok());
    }
}

#[test]
fn credentials() {
    for (row, list, expected) in [
        (178, r#"[{"type":"otp-key","id":"Aw"}]"#, Kind::Unsupported { what: Unsupported::Credential }),
        (174, r#"[{"type":"public-key","id":"!"}]"#, member("allowCredentials")),
        (174, r#"[{"type":"public-key"}]"#, member("allowCredentials")),
        (174, r#"[7]"#, member("allowCredentials")),
        (174, r#"{}"#, member("allowCredentials")),
    ] {
        assert_eq!(with(&format!(r#","allowCredentials":{list}"#)).unwrap_err(), expected, "row {row}: {list}");
    }
    let many = vec![r#"{"type":"public-key","id":"AQ"}"#; 65].join(",");
    assert_eq!(with(&format!(r#","allowCredentials":[{many}]"#)).unwrap_err(), member("allowCredentials"));
}

#[test]
fn names_of_passkeys_are_bounded() {
    let long = "x".repeat(10_000);
    let json = format!(
        r#"{{"publicKey":{{"challenge":"{CHALLENGE}"}},"authenticatorEnrollments":[{{"credentialId":"AQ","displayName":"<b>My\nKey</b>"}},{{"credentialId":"Ag","displayName":"{long}"}},{{"credentialId":"!"}},7,{{"credentialId":"Aw"}}]}}"#
    );
    let enrolled = parsed(&json).unwrap().enrolled;
    let expected = [("AQ", "<b>MyKey</b>"), ("Ag", &long[..256]), ("Aw", "")];
    assert_eq!(enrolled, expected.map(|(id, name)| (id.to_owned(), name.to_owned())), "row 185");
}

/// An answer of a platform that has signed nothing.
fn answer(id: &str, kind: &str, challenge: &str, party: &str, flags: u8) -> String {
    let client = format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"https://id.acme.com"}}"#);
    let mut data = digest::digest(&digest::SHA256, party.as_bytes()).as_ref().to_vec();
    data.extend([flags, 0, 0, 0, 1]);
    let [client, data] = [client.as_bytes(), &data].map(|bytes| BASE64URL_NOPAD.encode(bytes));
    format!(
        r#"{{"id":"{id}","rawId":"{id}","type":"public-key","response":{{"clientDataJSON":"{client}","authenticatorData":"{data}","signature":"c2ln","userHandle":"dXNlcg"}},"clientExtensionResults":{{}}}}"#
    )
}

#[test]
fn assertions() {
    use PasskeyProblem::*;
    let challenge = with(r#","allowCredentials":[{"type":"public-key","id":"AQ"}]"#).unwrap();
    let read = |json: &str| parse_assertion(json, &challenge).map(|_| ());
    let host = "id.acme.com";
    for (json, expected) in [
        (answer("AQ", "webauthn.get", CHALLENGE, host, 5), Ok(())),
        (answer("AQ", "webauthn.get", &format!("{CHALLENGE}=="), host, 1), Ok(())),
        (answer("Ag", "webauthn.get", CHALLENGE, host, 5), Err(OtherCredential)),
        (answer("AQ", "webauthn.create", CHALLENGE, host, 5), Err(Malformed)),
        (answer("AQ", "webauthn.get", "QUJDREVGR0hJSktMTU5PUA", host, 5), Err(OtherChallenge)),
        (answer("AQ", "webauthn.get", CHALLENGE, "acme.com", 5), Err(OtherRelyingParty)),
        (answer("AQ", "webauthn.get", CHALLENGE, host, 4), Err(Malformed)),
        (answer("", "webauthn.get", CHALLENGE, host, 5), Err(Malformed)),
        ("{}".to_owned(), Err(Malformed)),
        ("nonsense".to_owned(), Err(Malformed)),
        (format!(r#"{{"x":"{}"}}"#, "x".repeat(70_000)), Err(Malformed)),
    ] {
        assert_eq!(read(&json), expected, "{json}");
    }
    for name in ["clientDataJSON", "authenticatorData", "signature"] {
        let json = answer("AQ", "webauthn.get", CHALLENGE, host, 5).replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(read(&json), Err(Malformed), "{name}");
    }
    let any = with("").unwrap();
    assert!(parse_assertion(&answer("Ag", "webauthn.get", CHALLENGE, host, 5), &any).is_ok(), "row 176");
    let app = with(r#","extensions":{"appid":"https://id.acme.com/app"}"#).unwrap();
    let by_app = answer("AQ", "webauthn.get", CHALLENGE, "https://id.acme.com/app", 5);
    assert!(parse_assertion(&by_app, &app).is_ok());
    assert_eq!(parse_assertion(&by_app, &any).err(), Some(OtherRelyingParty));
}

#[test]
fn what_is_sent_is_base64url_without_padding() {
    let challenge = with("").unwrap();
    let json = answer("AQ", "webauthn.get", CHALLENGE, "id.acme.com", 5).replace("\"c2ln\"", "\"c2lnbg==\"");
    let assertion = parse_assertion(&json, &challenge).unwrap();
    assert_eq!(assertion.signature.expose(), "c2lnbg", "row 182");
    assert_eq!(assertion.user_handle.unwrap().expose(), "dXNlcg");
}
