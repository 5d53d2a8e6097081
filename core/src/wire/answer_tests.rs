use super::*;
use zeroize::Zeroizing;

fn response(status: u16, content_type: &str, body: &str) -> HttpResponse {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    HttpResponse { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) }
}

fn json(status: u16, body: &str) -> HttpResponse {
    response(status, "application/json", body)
}

fn reply(response: &HttpResponse) -> Reply {
    let response =
        HttpResponse { status: response.status, headers: response.headers.clone(), body: response.body.clone() };
    Reply { response, private: Private::of(["hunter2"]) }
}

/// A word for what an answer means, so that the table below reads like the specification.
fn word(response: &HttpResponse, leg: Leg) -> String {
    match read(&reply(response), leg).map_err(|failure| failure.why) {
        Ok(_) => "success".to_owned(),
        Err(Why::Pending) => "pending".to_owned(),
        Err(Why::SlowDown) => "slow down".to_owned(),
        Err(Why::MoreAssurance(mfa)) => format!("mfa {:?}", mfa.challenge_types),
        Err(Why::Refused) => "refused".to_owned(),
        Err(Why::Denied(code)) => format!("denied {code}"),
        Err(Why::Policy(code)) => format!("policy {code}"),
        Err(Why::Expired) => "expired".to_owned(),
        Err(Why::Proof(code)) => format!("proof {code}"),
        Err(Why::RateLimited(delay)) => format!("rate limited {delay:?}"),
        Err(Why::NoAnswer { kind, maybe_acted }) => format!("no answer ({kind}) acted:{maybe_acted}"),
        Err(Why::Fatal(kind)) => format!("fatal ({kind})"),
    }
}

#[test]
fn the_table_of_the_specification() {
    use Leg::*;
    let cases: &[(&str, &[Leg], &str)] = &[
        (r#"{"error":"authorization_pending"}"#, &[Poll], "pending"),
        (
            r#"{"error":"authorization_pending"}"#,
            &[Entered, Start, Refresh, Elsewhere, Metadata],
            "fatal (the server's answer cannot be used: an answer that does not belong here)",
        ),
        (r#"{"error":"slow_down"}"#, &[Poll], "slow down"),
        (r#"{"error":"slow_down"}"#, &[Entered, Start, Refresh], "rate limited Some(5s)"),
        (r#"{"error":"mfa_required","mfa_token":"m"}"#, &[Poll, Entered], "mfa None"),
        (
            r#"{"error":"mfa_required","mfa_token":"m","supported_challenge_types":"a b"}"#,
            &[Poll, Entered],
            r#"mfa Some(["a", "b"])"#,
        ),
        (
            r#"{"error":"mfa_required","mfa_token":"m","supported_challenge_types":["a",1]}"#,
            &[Entered],
            r#"mfa Some(["a"])"#,
        ),
        (
            r#"{"error":"mfa_required","mfa_token":"m"}"#,
            &[Refresh],
            "fatal (the server asks the user to sign in again (mfa_required))",
        ),
        (
            r#"{"error":"mfa_required","mfa_token":""}"#,
            &[Poll, Entered],
            "fatal (the server's answer cannot be used: the member mfa_token is missing or unusable)",
        ),
        (
            r#"{"error":"mfa_required"}"#,
            &[Poll, Entered],
            "fatal (the server's answer cannot be used: the member mfa_token is missing or unusable)",
        ),
        (r#"{"error":"invalid_grant"}"#, &[Poll, Entered, Start, Refresh], "refused"),
        (r#"{"error":"invalid_grant","error_description":"Password has expired."}"#, &[Entered], "refused"),
        (r#"{"error":"access_denied"}"#, &[Poll, Entered, Start, Elsewhere], "denied access_denied"),
        (
            r#"{"error":"access_denied"}"#,
            &[Refresh],
            "fatal (the server asks the user to sign in again (access_denied))",
        ),
        (r#"{"error":"expired_token"}"#, &[Poll, Entered, Start], "expired"),
        (
            r#"{"error":"invalid_client"}"#,
            &[Poll, Entered, Start, Refresh, Elsewhere, Metadata],
            "fatal (configuration: the server does not accept the client id)",
        ),
        (
            r#"{"errorCode":"invalid_client"}"#,
            &[Metadata],
            "fatal (configuration: the server does not accept the client id)",
        ),
        (
            r#"{"error":"unauthorized_client"}"#,
            &[Entered, Start, Refresh],
            "fatal (configuration: the sign-in method is not enabled for this client at the server)",
        ),
        (
            r#"{"error":"unsupported_grant_type"}"#,
            &[Entered],
            "fatal (configuration: the sign-in method is not enabled for this client at the server)",
        ),
        (
            r#"{"error":"invalid_scope"}"#,
            &[Entered, Refresh],
            "fatal (configuration: the server refuses the requested scopes)",
        ),
        (
            r#"{"error":"invalid_request"}"#,
            &[Entered, Poll],
            "fatal (configuration: the server refuses the request as malformed (invalid_request))",
        ),
        (
            r#"{"error":"server_error"}"#,
            &[Poll, Entered, Refresh],
            "no answer (the server answered with an error (status 400, server_error)) acted:false",
        ),
        (
            r#"{"error":"temporarily_unavailable"}"#,
            &[Entered],
            "no answer (the server answered with an error (status 400, temporarily_unavailable)) acted:false",
        ),
        (r#"{"error":"consent_required"}"#, &[Entered], "fatal (the server asks for a browser (consent_required))"),
        (r#"{"error":"unmet_authentication_requirements"}"#, &[Entered], "policy unmet_authentication_requirements"),
        (
            r#"{"error":"brand_new_code"}"#,
            &[Poll, Entered, Start, Refresh, Elsewhere],
            "fatal (the server answered with an error (status 400, brand_new_code))",
        ),
        // A code with characters that must not reach a log loses its text, not its meaning.
        (r#"{"error":"ev\u001bil"}"#, &[Entered], "fatal (the server answered with an error (status 400))"),
        (r#"{"errorCode":"E0000001"}"#, &[Entered], "fatal (the server answered with an error (status 400, E0000001))"),
        (r#"{"error":"invalid_grant","errorCode":"E0000001"}"#, &[Entered], "refused"),
        ("{}", &[Entered], "fatal (the server's answer cannot be used: an error without a code)"),
        (r#"{"error":null}"#, &[Entered], "fatal (the server's answer cannot be used: an error without a code)"),
        (r#"{"error":42}"#, &[Entered], "fatal (the server's answer cannot be used: an error without a code)"),
        (r#"{"error":""}"#, &[Entered], "fatal (the server's answer cannot be used: an error without a code)"),
        (
            r#"{"error":42,"errorCode":"E0000001"}"#,
            &[Entered],
            "fatal (the server's answer cannot be used: an error without a code)",
        ),
        ("[]", &[Entered], "fatal (the server's answer cannot be used: malformed JSON)"),
        ("", &[Entered], "fatal (the server's answer cannot be used: malformed JSON)"),
    ];
    for (body, legs, expected) in cases {
        for leg in *legs {
            assert_eq!(word(&json(400, body), *leg), *expected, "{body} on {leg:?}");
        }
    }
}

#[test]
fn the_status_decides_before_the_body() {
    let body = r#"{"error":"invalid_grant"}"#;
    for leg in [Leg::Entered, Leg::Start, Leg::Poll, Leg::Refresh] {
        assert_eq!(word(&json(429, body), leg), "rate limited None", "row 66, 161, 297");
        assert_eq!(
            word(&json(503, body), leg),
            "no answer (the server answered with an error (status 503, invalid_grant)) acted:true"
        );
        assert_eq!(
            word(&json(307, body), leg),
            "fatal (the server's answer cannot be used: a redirect)",
            "rows 2 to 5"
        );
        for status in [201, 204, 206, 226] {
            assert_eq!(
                word(&json(status, "{}"), leg),
                "fatal (the server's answer cannot be used: an unexpected status)",
                "row 23"
            );
        }
    }
    // Row 147 and 125: the code decides, whatever the 4xx.
    for status in [400, 401, 403, 428] {
        assert_eq!(word(&json(status, r#"{"error":"authorization_pending"}"#), Leg::Poll), "pending");
        assert_eq!(word(&json(status, r#"{"error":"mfa_required","mfa_token":"m"}"#), Leg::Entered), "mfa None");
    }
}

#[test]
fn the_media_type_decides_before_the_envelope() {
    let body = r#"{"error":"invalid_grant"}"#;
    for (content_type, expected) in [
        ("APPLICATION/JSON; charset=UTF-8", "refused"),
        ("application/problem+json", "refused"),
        ("text/plain", "fatal (the server's answer cannot be used: not JSON)"),
        ("text/html", "fatal (the server's answer cannot be used: not JSON)"),
        ("", "fatal (the server's answer cannot be used: not JSON)"),
    ] {
        assert_eq!(word(&response(400, content_type, body), Leg::Entered), expected, "{content_type}");
    }
    for (content_type, expected) in [
        ("application/json;charset=utf-8", "success"),
        ("application/vnd.as+json", "fatal (the server's answer cannot be used: not JSON)"),
        (
            "text/html",
            "no answer (the network failed: a web page answered instead of the server (captive portal?)) acted:true",
        ),
    ] {
        assert_eq!(word(&response(200, content_type, "{}"), Leg::Entered), expected, "{content_type}");
    }
    assert_eq!(word(&json(200, ""), Leg::Entered), "fatal (the server's answer cannot be used: empty)", "row 21");
}

#[test]
fn a_typo_in_the_issuer_is_told_as_such() {
    for answer in [response(404, "text/html", "<p>"), json(404, r#"{"errorCode":"E0000007"}"#), json(404, "")] {
        assert!(word(&answer, Leg::Metadata).contains("check the issuer for typos"));
    }
    assert!(word(&json(404, r#"{"errorCode":"E0000007"}"#), Leg::Entered).contains("check the issuer"), "row 83");
}

#[test]
fn a_rate_limit_says_until_when() {
    let mut limited = json(429, r#"{"errorCode":"E0000109"}"#);
    assert_eq!(word(&limited, Leg::Start), "rate limited Some(30s)", "row 324");
    limited.headers.push(("retry-after".to_owned(), "7".to_owned()));
    assert_eq!(word(&limited, Leg::Start), "rate limited Some(7s)", "row 318");
}

#[test]
fn an_empty_revocation_answer_is_success() {
    let empty = HttpResponse { status: 200, headers: vec![], body: Zeroizing::new(vec![]) };
    assert!(read_empty(&reply(&empty), Leg::Elsewhere).is_ok(), "row 22");
    assert!(read_empty(&reply(&json(401, r#"{"error":"invalid_client"}"#)), Leg::Elsewhere).is_err());
}

#[test]
fn what_was_sent_is_in_no_code_of_an_error() {
    for (body, expected) in [
        (r#"{"error":"hunter2"}"#, "fatal (the server answered with an error (status 400))"),
        (r#"{"error":"x.hunter2.y"}"#, "fatal (the server answered with an error (status 400))"),
        (r#"{"error":"invalid_grant","errorCode":"hunter2"}"#, "refused"),
    ] {
        assert_eq!(word(&json(400, body), Leg::Entered), expected, "{body}");
    }
    let failure = read(&reply(&json(500, r#"{"errorCode":"hunter2","errorSummary":"hunter2?"}"#)), Leg::Entered);
    let failure = failure.unwrap_err();
    assert!(matches!(failure.why, Why::NoAnswer { kind: Kind::Server { code: None, .. }, .. }));
    assert_eq!(failure.said.text.unwrap().description(), Some("[masked]?"));
}
