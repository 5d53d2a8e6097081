//! The control page as a browser gets it: what is sent, to whom, and how it is kept up to date.

use std::net::Ipv4Addr;

use crate::common::*;
use bytes::Bytes;
use directauth_emulator::Emulator;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;

const HTML: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

fn desk() -> (Emulator, Client) {
    let emulator = Emulator::builder().control(true).start().unwrap();
    let client = Client::trusting(&emulator.ca_der());
    (emulator, client)
}

async fn sign_in(emulator: &Emulator, client: &Client, user: (&str, &str), channel: &str) {
    let tenant = emulator.root();
    let id = tenant.client_id();
    let form = [
        ("client_id", id.as_str()),
        ("grant_type", "password"),
        ("scope", SCOPE),
        ("username", user.0),
        ("password", user.1),
    ];
    let mfa = client.post(&format!("{}/v1/token", tenant.issuer()), &form).await.text("mfa_token");
    let form = [("client_id", id.as_str()), ("mfa_token", &mfa), ("channel_hint", channel)];
    client.post(&format!("{}/v1/challenge", tenant.issuer()), &form).await.ok();
}

#[tokio::test]
async fn a_browser_gets_the_page_and_programs_get_json() {
    let (emulator, client) = desk();
    let url = emulator.control_page().unwrap();
    let page = client.get(&url, &[HTML]).await;
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("Ana Ibarra"), "{text}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && policy.contains("frame-ancestors 'none'"));
    assert!(!text.contains("style=") && !text.contains("http://") && !text.contains("onclick"), "{text}");
    assert_eq!(client.get(&url, &[]).await.ok()["client_id"], json!("0oaDemoNativeApp"));
    for (asset, kind) in [("page.css", "text/css; charset=utf-8"), ("page.js", "text/javascript; charset=utf-8")] {
        assert_eq!(client.get(&format!("{url}{asset}"), &[]).await.header("content-type"), Some(kind));
    }
    let pem = client.get(&format!("{url}ca.pem"), &[]).await;
    assert_eq!(String::from_utf8(pem.body).unwrap(), emulator.ca_pem());
}

#[tokio::test]
async fn what_users_and_requests_are_called_is_text_and_never_markup() {
    let evil = "<script>alert(1)</script>";
    let toml = format!("[[users]]\nusername = \"{evil}\"\nname = '\"><img src=x>'\npassword = '{evil}'\n");
    let config = directauth_emulator::Config::from_toml(&toml).unwrap();
    let emulator = Emulator::builder().config(config).control(true).start().unwrap();
    let client = Client::trusting(&emulator.ca_der());
    let form = [("grant_type", evil), (evil, evil)];
    client.post(&format!("{}/v1/token?{}", emulator.root().issuer(), "a=%3Cscript%3E"), &form).await;
    let page = client.get(&emulator.control_page().unwrap(), &[HTML]).await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("<script>") && !text.contains("<img"), "{text}");
    assert!(text.contains("&lt;script&gt;alert(1)"), "{text}");
}

#[tokio::test]
async fn the_page_never_says_which_number_is_right() {
    let (emulator, client) = desk();
    sign_in(&emulator, &client, ANA, "push").await;
    let push = emulator.root().pending_pushes().remove(0);
    let page = client.get(&emulator.control_page().unwrap(), &[HTML]).await;
    let text = String::from_utf8(page.body).unwrap();
    let shape = |number: &String| {
        let from = text.find(&format!("id=\"push-{}-{number}\"", push.id)).unwrap();
        text[from..].split("</button>").next().unwrap().replace(number, "NN")
    };
    let shapes: Vec<_> = push.choices.iter().map(shape).collect();
    assert!(shapes.len() == 3 && shapes.windows(2).all(|pair| pair[0] == pair[1]), "{shapes:?}");
}

#[tokio::test]
async fn events_bring_what_happens_and_nothing_secret() {
    let (emulator, client) = desk();
    let stream = client.connect(&emulator.control_url().unwrap()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("/events").header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut seen = String::new();
    let mut until = async |wanted: &str| {
        while !seen.contains(wanted) {
            let frame = answer.frame().await.expect("the stream goes on").unwrap();
            seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
        core::mem::take(&mut seen)
    };
    let first = until("event: journal").await;
    for id in ["pushes", "inbox", "users", "troubles", "ahead"] {
        assert!(first.contains(&format!("\"id\":\"{id}\"")), "{id}: {first}");
    }
    assert!(!first.contains("event: say"), "nothing is news at first");

    sign_in(&emulator, &client, CLEO, "sms").await;
    let code = emulator.root().last_code(CLEO.0).unwrap();
    let news = until("New code for Cleo Lindqvist").await;
    assert!(news.contains(&format!("data-copy=\\\"{code}\\\"")) && news.contains("mfa_required"), "{news}");
    assert!(!news.contains(CLEO.1), "the password is masked");

    emulator.root().clear_journal();
    assert!(until("\"clear\":true").await.contains("\"html\":\"\""));
    emulator.root().troubles(|troubles| troubles.offline = true);
    assert!(until("aria-checked=\\\"true\\\"").await.contains("1 on"));
}

#[tokio::test]
async fn an_answer_is_shown_without_its_secrets() {
    let (emulator, client) = desk();
    sign_in(&emulator, &client, CLEO, "push").await;
    let url = emulator.control_url().unwrap();
    let shown = client.get(&format!("{url}/journal/1"), &[]).await.ok();
    assert_eq!((&shown["answer"]["error"], &shown["answer"]["mfa_token"]), (&json!("mfa_required"), &json!("***")));
    assert_eq!(client.get(&format!("{url}/journal/2"), &[]).await.ok()["answer"]["oob_code"], json!("***"));
    assert_eq!(client.get(&format!("{url}/journal/9"), &[]).await.status, 404);

    let rule = json!({"on": "token", "answer": {"fault": "close_after_processing"}});
    emulator.root().script(serde_json::from_value(rule).unwrap());
    let form = [("client_id", "0oaDemoNativeApp"), ("grant_type", "password"), ("scope", SCOPE)];
    let form = [&form[..], &[("username", BEN.0), ("password", BEN.1)]].concat();
    client.try_post(&format!("{}/v1/token", emulator.root().issuer()), &form).await.unwrap_err();
    let shown = client.get(&format!("{url}/journal/3"), &[]).await.ok();
    assert_eq!((&shown["answer"], &shown["answer_note"]), (&json!(null), &json!("No answer was given.")));
}

#[tokio::test]
async fn what_strangers_send_makes_the_page_no_heavier() {
    let (emulator, client) = desk();
    let url = format!("{}/v1/token?{}=1", emulator.root().issuer(), "q".repeat(1_000));
    for _ in 0..40 {
        // Each of them becomes six in HTML.
        let form = [("grant_type", "\"".repeat(200_000 / 3)), ("scope", "<".repeat(10_000))];
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.post(&url, &form).await;
    }
    let page = client.get(&emulator.control_page().unwrap(), &[HTML]).await;
    assert!(page.body.len() < 200_000, "{}", page.body.len());
    let url = format!("{}/journal/40", emulator.control_url().unwrap());
    let opened = client.get(&url, &[HTML]).await;
    let text = String::from_utf8(opened.body).unwrap();
    assert!(text.contains("… (66666 bytes)") && text.len() < 100_000, "{}", text.len());
    assert!(text.contains("<pre>{") && !text.contains("<html"), "the request and its answer, to put in place");
    assert_eq!(client.get(&url.replace("40", "41"), &[HTML]).await.status, 404);
}

#[tokio::test]
async fn beyond_loopback_a_token_is_asked_for() {
    let somewhere = (Ipv4Addr::UNSPECIFIED, 0).into();
    let emulator = Emulator::builder().control_at(somewhere).start().unwrap();
    let client = Client::trusting(&emulator.ca_der());
    let (url, token) = (emulator.control_url().unwrap(), emulator.control_token().unwrap());
    assert_eq!(client.get(&format!("{url}/users"), &[]).await.status, 401);
    let bearer = format!("Bearer {token}");
    assert_eq!(client.get(&format!("{url}/users"), &[("authorization", &bearer)]).await.status, 200);
    let opened = client.get(&emulator.control_page().unwrap(), &[HTML]).await;
    assert_eq!((opened.status, opened.header("location")), (303, Some("/")));
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(client.get(&format!("{url}/"), &[HTML, ("cookie", &cookie)]).await.status, 200);
    let other = Emulator::builder().control_at(somewhere).start().unwrap();
    assert_ne!(other.control_token(), Some(token), "made anew each time");
    for bad in ["a b", "too-short", "with a blank in it", ""] {
        assert!(Emulator::builder().control_token(bad).start().is_err(), "{bad}");
    }
}
