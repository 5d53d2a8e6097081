//! Prescribed answers down to the byte: the rows of protocol.md §7.A and §7.B that are no fault of the connection, and
//! the errors of the catalogue.

use std::time::Duration;

use crate::common::*;
use data_encoding::BASE64;
use directauth_emulator::Envelope;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const CRLF: &str = "\r\n";

impl Bench {
    fn prescribe(&self, answer: Value) {
        self.tenant.script(serde_json::from_value(json!({"on": "token", "answer": answer})).unwrap());
    }

    async fn answered(&self, answer: Value) -> Answer {
        self.prescribe(answer);
        self.password(BEN).await
    }

    /// Ben's sign-in, written by hand on a connection.
    async fn ask(&self, stream: &mut TlsStream<TcpStream>) {
        let url = self.endpoint("token");
        let path = url.strip_prefix(&EMULATOR.origin()).unwrap();
        let form = format!(
            "client_id=0oaDemoNativeApp&grant_type=password&username={}&password=tr0ub4dor%263&scope=openid",
            BEN.0
        );
        let head = [
            &format!("POST {path} HTTP/1.1"),
            &format!("Host: localhost:{}", EMULATOR.port()),
            "Accept: application/json",
            "Content-Type: application/x-www-form-urlencoded",
            &format!("Content-Length: {}", form.len()),
        ];
        stream.write_all(format!("{}{CRLF}{CRLF}{form}", head.join(CRLF)).as_bytes()).await.unwrap();
    }

    /// All that comes until the connection ends.
    async fn raw_bytes(&self, answer: Value) -> Vec<u8> {
        self.prescribe(answer);
        let mut stream = self.client.connect(&self.endpoint("token")).await.unwrap();
        self.ask(&mut stream).await;
        let mut seen = Vec::new();
        // Not to hang where the connection should have ended.
        timeout(Duration::from_secs(30), stream.read_to_end(&mut seen)).await.unwrap().unwrap();
        seen
    }
}

#[tokio::test]
async fn headers_are_added_replaced_and_left_out() {
    let bench = Bench::new();
    let answer = bench
        .answered(json!({"real": {}, "headers": {
            "Content-Type": [], "Cache-Control": "max-age=3600", "Set-Cookie": ["sid=1", "DT=2"], "Alt-Svc": "h3=\":443\"",
            "Strict-Transport-Security": "max-age=1", "X-Unknown": "{repeat 3 ab}", "X-Rate-Limit-Reset": "{now+7}",
        }}))
        .await;
    answer.ok();
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), (None, Some("max-age=3600")));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
    assert_eq!((answer.header("x-unknown"), answer.header("alt-svc")), (Some("ababab"), Some("h3=\":443\"")));
    let reset = (bench.tenant.now().as_secs() + 7).to_string();
    assert_eq!(answer.header("x-rate-limit-reset"), Some(reset.as_str()));
    let bare =
        bench.answered(json!({"json": {}, "headers": {"Date": [], "X-Okta-Request-Id": [], "Content-Type": []}})).await;
    assert_eq!(bare.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["content-length"]);
}

#[tokio::test]
async fn a_body_is_written_anew_around_what_it_was() {
    let bench = Bench::new();
    for (text, is_json) in [
        ("{{members},}", false),
        ("{body}x", false),
        ("{body}{body}", false),
        ("\u{feff}{body}", false),
        ("[{body}]", true),
        (r#"{"access_token":"B",{members}}"#, true),
        (r#"{"x":1,"x":2,{members}}"#, true),
        (r#"{"x":1e400,{members}}"#, false),
        (r#"{"x":"{repeat 102400 a}",{members}}"#, true),
    ] {
        let answer = bench.answered(json!({"tokens": {}, "text": text})).await;
        let body = String::from_utf8(answer.body).unwrap();
        let (before, after) = text.split_once("{members}").or(text.split_once("{body}")).unwrap();
        assert!(body.starts_with(&before.replace("{repeat 102400 a}", &"a".repeat(102_400))), "{before}");
        assert!(body.ends_with(&after.replace("{body}", "}")), "{after}");
        assert!(body.contains("\"token_type\":\"Bearer\""), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&body).is_ok(), is_json, "{text}");
        assert_eq!(
            answer.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str()),
            Some("application/json; charset=UTF-8")
        );
    }
    let refused = bench.answered(json!({"error": "slow_down", "text": "{body} "})).await;
    refused.refused(400, "slow_down");
    assert!(refused.body.ends_with(b"} "));
    let bytes = bench.answered(json!({"body_base64": BASE64.encode(b"{\"a\":\"\xff\xc0\xaf\"}")})).await;
    assert_eq!(bytes.body, b"{\"a\":\"\xff\xc0\xaf\"}");
}

#[tokio::test]
async fn raw_bytes_come_as_they_stand_and_then_the_connection_ends() {
    let bench = Bench::new();
    let head = |lines: &[&str]| lines.iter().map(|line| format!("{line}{CRLF}")).collect::<String>();
    for (raw, begins) in [
        (head(&["HTTP/1.0 200 OK", "{headers}"]) + "{body}", "HTTP/1.0 200 OK"),
        (
            head(&["HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK", "Content-Length: {length}", "{headers}"]) + "{body}",
            "HTTP/1.1 100",
        ),
        (
            head(&["HTTP/1.1 200 OK", "Content-Length: {length}", "Content-Length: 3", "{headers}"]) + "{body}",
            "HTTP/1.1 200",
        ),
        (
            head(&["HTTP/1.1 200 OK", "Content-Length: 3", "Transfer-Encoding: chunked", "{headers}"]) + "{body}",
            "HTTP/1.1 200",
        ),
        (head(&["HTTP/1.1 200 OK", "X: {repeat 100000 x}", "{headers}"]) + "{body}", "HTTP/1.1 200"),
        (head(&["HTTP/1.1 {status} Fine", "Content-Length: 99999", "{headers}"]) + "{body}", "HTTP/1.1 200 Fine"),
    ] {
        let seen = String::from_utf8(bench.raw_bytes(json!({"real": {}, "raw": raw})).await).unwrap();
        assert!(seen.starts_with(begins), "{begins}");
        let (_, body) = seen.rsplit_once("\r\n\r\n").unwrap();
        let tokens: Value = serde_json::from_str(body).unwrap();
        assert!(tokens["access_token"].is_string(), "{begins}");
        assert!(seen.contains("Content-Type: application/json; charset=UTF-8\r\n"), "{begins}");
        assert!(!raw.contains("{length}") || seen.contains(&format!("Content-Length: {}\r\n", body.len())), "{begins}");
        assert!(!raw.contains("repeat") || seen.len() > 100_000);
    }
    assert_eq!(bench.tenant.live_grants(), 6, "the work was done");
    let alone = bench.raw_bytes(json!({"raw": "HTTP/1.1 204 No Content\r\n\r\nmore"})).await;
    assert_eq!(alone, b"HTTP/1.1 204 No Content\r\n\r\nmore");
    let bytes = bench.raw_bytes(json!({"body_base64": BASE64.encode(b"\xff"), "raw": "{body}-{body}"})).await;
    assert_eq!(bytes, b"\xff-\xff");
    let journal = bench.tenant.journal();
    let statuses: Vec<_> = journal.0.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses[5..], [Some(200), Some(204), None]);
    assert_eq!((journal.0[5].outcome.as_str(), journal.0[6].outcome.as_str()), ("ok", "scripted"));
}

#[tokio::test]
async fn a_connection_that_stays_open_after_raw_bytes_answers_the_next_request() {
    let bench = Bench::new();
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    bench.prescribe(json!({"raw": smuggled, "keep_open": true}));
    let mut stream = bench.client.connect(&bench.endpoint("token")).await.unwrap();
    bench.ask(&mut stream).await;
    let mut seen = vec![0; smuggled.len()];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), smuggled);
    bench.ask(&mut stream).await;
    let mut next = [0; 15];
    stream.read_exact(&mut next).await.unwrap();
    assert_eq!(&next, b"HTTP/1.1 200 OK");
    let journal = bench.tenant.journal();
    assert_eq!((journal.len(), journal.connections()), (2, 1));
}

#[tokio::test]
async fn every_kind_of_catalogued_error_can_be_prescribed() {
    let bench = Bench::new();
    for (code, status, error) in [
        ("direct_auth_policy_denied", 403, "access_denied"),
        ("dpop_proof_already_used", 400, "invalid_dpop_proof"),
        ("server_error", 500, "server_error"),
        ("too_many_groups_in_groups_claim", 400, "server_error"),
    ] {
        bench.answered(json!({ "error": code })).await.refused(status, error);
    }
    for (code, status, summary) in [
        ("E0000001", 400, "Api validation failed: sample"),
        ("E0000010", 503, "Service is in read only mode"),
        ("E0000022", 405, "The endpoint does not support the provided HTTP method"),
        ("E0000150", 403, "You have reached the limit of sms requests, please try again later."),
        ("E0000155", 423, "User is not currently active."),
    ] {
        let answer = bench.answered(json!({ "error": code })).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["errorCode"], &body["errorLink"]), (status, &json!(code), &json!(code)));
        assert_eq!((&body["errorSummary"], &body["errorCauses"]), (&json!(summary), &json!([])));
        assert!(
            body["errorId"].is_string() && body["error"].is_null() && answer.header("x-rate-limit-limit").is_none()
        );
    }
    let summary = bench.answered(json!({"error": "E0000007"})).await.text("errorSummary");
    assert!(summary.starts_with("Not found: Resource not found: /t/") && summary.ends_with("/v1/token (Endpoint)"));
    let filled = bench.answered(json!({"error": "direct_auth_invalid_challenge_hint"})).await.text("error_description");
    assert_eq!(filled, "'sample' is not supported as a 'challenge_hint'. Try again with another value.");
    let listed = bench.answered(json!({"error": "unauthorized_client"})).await.text("error_description");
    assert!(listed.ends_with("Configured grant types: [sample]."), "{listed}");
}

#[tokio::test]
async fn a_prescribed_429_says_when_it_ends_unless_told_not_to() {
    let bench = Bench::new();
    bench.tenant.settings(|settings| settings.rate_limit_envelope = Envelope::Api);
    let now = bench.tenant.now().as_secs();
    for (code, limit, seconds) in [
        ("user_rate_limited", "10000", 60),
        ("too_many_user_codes", "10000", 60),
        ("E0000047", "10000", 60),
        ("E0000109", "1", 30),
        ("E0000118", "1", 5),
        ("E0000133", "1", 30),
        ("E0000146", "10000", 86_400),
    ] {
        let answer = bench.answered(json!({ "error": code })).await;
        assert_eq!(answer.status, 429, "{code}");
        assert_eq!(answer.json()["errorCode"].is_string(), code.starts_with('E'), "the code says which envelope");
        assert_eq!(
            (answer.header("x-rate-limit-limit"), answer.header("x-rate-limit-remaining")),
            (Some(limit), Some("0"))
        );
        let reset: u64 = answer.header("x-rate-limit-reset").unwrap().parse().unwrap();
        assert!((now + seconds..=now + seconds + 1).contains(&reset), "{code}: {}", reset - now);
    }
    let headers = json!({"X-Rate-Limit-Limit": [], "X-Rate-Limit-Remaining": [], "X-Rate-Limit-Reset": []});
    let bare = bench.answered(json!({"error": "E0000109", "headers": headers})).await;
    assert!(bare.status == 429 && bare.headers.iter().all(|(name, _)| !name.starts_with("x-rate")), "{bare:?}");
}
