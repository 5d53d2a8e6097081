//! Every fault, seen from the other end of the connection.

use std::time::Duration;

use crate::common::*;
use directauth_emulator::{Answer as Prescribed, Fault, Rule};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

impl Bench {
    async fn broken(&self, fault: Fault) -> Result<Answer, Failure> {
        self.tenant.script(Rule::on("token").answer(Prescribed::fault(fault)));
        let form = [
            ("client_id", "0oaDemoNativeApp"),
            ("grant_type", "password"),
            ("username", BEN.0),
            ("password", BEN.1),
            ("scope", SCOPE),
        ];
        self.client.try_post(&self.endpoint("token"), &form).await
    }

    /// The first bytes of the answer to a request written by hand.
    async fn raw(&self, fault: Fault, bytes: usize) -> std::io::Result<Vec<u8>> {
        self.tenant.script(Rule::on("token").answer(Prescribed::fault(fault).delay(Duration::from_millis(1))));
        let mut stream = self.client.connect(&self.endpoint("token")).await?;
        let path = self.endpoint("token").replace(&EMULATOR.origin(), "");
        let body = "client_id=0oaDemoNativeApp&grant_type=password";
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost:{}\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            EMULATOR.port(),
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut seen = vec![0; bytes];
        let mut length = 0;
        while length < bytes {
            match stream.read(&mut seen[length..]).await {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if length == 0 => return Err(error),
                Err(_) => break,
            }
        }
        seen.truncate(length);
        Ok(seen)
    }
}

#[tokio::test]
async fn a_closed_connection_loses_the_answer_and_the_work_only_if_it_says_so() {
    let bench = Bench::new();
    bench.broken(Fault::Close).await.unwrap_err();
    assert_eq!(bench.tenant.live_grants(), 0);
    bench.broken(Fault::CloseAfterProcessing).await.unwrap_err();
    assert_eq!(bench.tenant.live_grants(), 1);
    let journal = bench.tenant.journal();
    assert!(journal.of("token").iter().all(|entry| entry.status.is_none()), "{journal:?}");
}

#[tokio::test]
async fn an_answer_that_is_late_is_worked_on_whether_the_client_waits_or_not() {
    let bench = Bench::new();
    bench.tenant.script(Rule::on("token").answer(Prescribed::real().delay(Duration::from_secs(600))));
    let (client, url) = (bench.client.clone(), bench.endpoint("token"));
    let asking = tokio::spawn(async move {
        let form = [
            ("client_id", "0oaDemoNativeApp"),
            ("grant_type", "password"),
            ("username", BEN.0),
            ("password", BEN.1),
            ("scope", SCOPE),
        ];
        client.try_post(&url, &form).await.map(|answer| answer.status)
    });
    while bench.tenant.journal().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!asking.is_finished());
    asking.abort();
    assert_eq!((bench.tenant.live_grants(), bench.tenant.journal().0[0].status), (1, Some(200)));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let bench = Bench::new();
    let error = bench.raw(Fault::Reset, 1).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn truncated_answers_have_their_first_part_and_no_end() {
    let bench = Bench::new();
    for fault in [Fault::Truncate, Fault::TruncateChunked] {
        bench.broken(fault).await.unwrap_err();
        let seen = String::from_utf8(bench.raw(fault, 100_000).await.unwrap()).unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(if fault == Fault::Truncate { "content-length: " } else { "transfer-encoding: chunked" }),
            "{head}"
        );
        assert!(body.contains("{\"error\"") && !body.ends_with("0\r\n\r\n"), "{body}");
        assert_eq!(body.contains("}\r\n"), fault == Fault::TruncateChunked, "{body}");
    }
    assert_eq!(bench.tenant.live_grants(), 2, "the work was done");
}

#[tokio::test]
async fn a_stalled_request_gets_nothing_and_a_dripping_one_a_blank_at_a_time() {
    let bench = Bench::new();
    let stalled = tokio::time::timeout(Duration::from_millis(50), bench.raw(Fault::Stall, 1)).await;
    stalled.unwrap_err();
    let seen = String::from_utf8(bench.raw(Fault::Drip, 200).await.unwrap()).unwrap();
    assert!(seen.split_once("\r\n\r\n").unwrap().1.starts_with("1\r\n \r\n1\r\n \r\n"), "{seen}");
}

#[tokio::test]
async fn a_huge_body_is_a_hundred_mebibytes_with_or_without_saying_so() {
    let bench = Bench::new();
    let said = String::from_utf8(bench.raw(Fault::Huge, 4_096).await.unwrap()).unwrap();
    assert!(said.contains("content-length: 104857600\r\n"), "{}", &said[..200]);
    let unsaid = String::from_utf8(bench.raw(Fault::HugeChunked, 4_096).await.unwrap()).unwrap();
    assert!(unsaid.contains("transfer-encoding: chunked\r\n"), "{}", &unsaid[..200]);
}

#[tokio::test]
async fn garbage_is_not_http() {
    let bench = Bench::new();
    bench.broken(Fault::Garbage).await.unwrap_err();
    assert!(!bench.raw(Fault::Garbage, 12).await.unwrap().starts_with(b"HTTP/"));
}

#[tokio::test]
async fn redirects_lead_elsewhere_and_the_other_host_counts_who_follows() {
    let bench = Bench::new();
    let other = bench.broken(Fault::Redirect307OtherHost).await.unwrap();
    assert_eq!(other.status, 307);
    let location = other.header("location").unwrap().to_owned();
    assert!(location.starts_with("https://127.0.0.1:") && location.ends_with("/token"), "{location}");
    let before = EMULATOR.second_host_requests();
    bench.client.post(&location, &[("password", "stolen")]).await.ok();
    assert_eq!(EMULATOR.second_host_requests(), before + 1);
    for (fault, status) in [(Fault::Redirect308SameHost, 308), (Fault::Redirect302Get, 302)] {
        let same = bench.broken(fault).await.unwrap();
        assert_eq!((same.status, same.header("location")), (status, Some(bench.endpoint("token").as_str())));
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_was_asked_for() {
    let bench = Bench::new();
    let portal = bench.broken(Fault::CaptivePortal).await.unwrap();
    assert_eq!((portal.status, portal.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let empty = bench.broken(Fault::Empty).await.unwrap();
    assert_eq!((empty.status, empty.header("content-type"), empty.body.len()), (200, Some("application/json"), 0));
    let zipped = bench.broken(Fault::Gzip).await.unwrap();
    assert_eq!((zipped.header("content-encoding"), &zipped.body[..2]), (Some("gzip"), &[0x1f, 0x8b][..]));
    let bomb = bench.broken(Fault::GzipBomb).await.unwrap();
    assert_eq!((bomb.header("content-encoding"), &bomb.body[..2]), (Some("gzip"), &[0x1f, 0x8b][..]));
    let unpacked = u32::from_le_bytes(bomb.body[bomb.body.len() - 4..].try_into().unwrap());
    assert!(bomb.body.len() < 200_000 && unpacked == 16 * 1024 * 1024, "{} {unpacked}", bomb.body.len());
}

#[tokio::test]
async fn an_informational_answer_comes_before_the_real_one() {
    let bench = Bench::new();
    bench.broken(Fault::InformationalFirst).await.unwrap().ok();
    let seen = String::from_utf8(bench.raw(Fault::InformationalFirst, 200).await.unwrap()).unwrap();
    assert!(seen.starts_with("HTTP/1.1 103 Early Hints\r\n") && seen.contains("HTTP/1.1 400 "), "{seen}");
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let bench = Bench::new();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = vec![b'a'; 256 * 1024 + 1];
    let answer = bench.client.send("POST", &bench.endpoint("token"), &headers, body).await.unwrap();
    assert_eq!(answer.status, 413);
    let long = "a".repeat(40 * 1024);
    let answer = bench.client.send("GET", &bench.endpoint("keys"), &[("x-long", &long)], Vec::new()).await.unwrap();
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn hosts_that_are_none_are_refused() {
    let bench = Bench::new();
    for host in ["", "a b", "host/path", "user@host"] {
        let answer = bench.client.send("GET", &bench.endpoint("keys"), &[("host", host)], Vec::new()).await.unwrap();
        assert_eq!(answer.status, 400, "{host:?}");
    }
    assert_eq!(json!(bench.tenant.journal().len()), json!(0));
}
