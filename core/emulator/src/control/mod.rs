//! The control port: what a person or a test in another language does with a running emulator. TLS like everything else.
//!
//! [`guard`] says who may, [`api`] is JSON for programs, [`page`] is for people, and [`events`] keeps the page up to date.
//! A path may start with `/t/NAME` to mean that tenant; otherwise it means the default one.

mod api;
mod events;
mod guard;
mod page;
mod view;

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use self::events::places;
pub(crate) use self::guard::Guard;
use crate::emulator::Shared;
use crate::server::{Reply, Request};

/// What a request to the control port gets.
pub(crate) enum Answer {
    /// One answer.
    Once(Reply),
    /// Events as they happen; the head of the answer, and what comes after it.
    Live(Reply, mpsc::Receiver<bytes::Bytes>),
}

/// Answers a request to the control port.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Answer {
    match route(shared, request) {
        Answer::Once(reply) => Answer::Once(guarded(reply)),
        Answer::Live(head, events) => Answer::Live(guarded(head), events),
    }
}

fn route(shared: &Shared, request: &Request) -> Answer {
    if let Some(refused) = shared.guard.refuse(request) {
        return Answer::Once(refused);
    }
    let (name, path) = match request.path.strip_prefix("/t/") {
        Some(rest) => match rest.split_once('/') {
            Some(found) => found,
            // The page's own addresses are relative to its folder.
            None => return Answer::Once(Reply::empty(308).header("Location", format!("/t/{rest}/"))),
        },
        None => ("", request.path.trim_start_matches('/')),
    };
    let Some(tenant) = shared.find_tenant(name) else { return Answer::Once(problem(404, "no such tenant")) };
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Answer::Once(match request.method.as_str() {
        "GET" => match *segments.as_slice() {
            [""] if wants_page(request) => page::whole(&tenant),
            ["page.css"] => page::style(),
            ["page.js"] => page::script(),
            ["journal", number] if wants_page(request) => match api::entry(&tenant, number) {
                Some(entry) => page::opened(&entry),
                None => api::no_entry(),
            },
            // Browsers ask for it unasked; the page has none.
            ["favicon.ico"] => Reply::empty(204),
            ["events"] => return events::live(shared, tenant),
            _ => api::look(shared, &tenant, &segments),
        },
        "POST" => api::act(shared, &tenant, &segments, &request.body),
        _ => problem(405, "GET to look, POST to act").header("Allow", "GET, POST"),
    })
}

/// Browsers ask for pages by name; programs that take anything get JSON.
fn wants_page(request: &Request) -> bool {
    request.header("accept").is_some_and(|accept| accept.contains("text/html"))
}

/// Nothing of this may be kept, guessed at, framed or told to others.
fn guarded(reply: Reply) -> Reply {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    reply
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", POLICY)
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn problem(status: u16, reason: &str) -> Reply {
    Reply::json(status, &json!({ "problem": reason }))
}

/// Percent-decoding; a form's decoder that leaves the plus sign alone.
fn decoded(segment: &str) -> String {
    let text = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}
