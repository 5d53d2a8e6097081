//! One request and its answer on the connection, faults included.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::body::{Body, gzip, gzip_bomb};
use super::line::Line;
use super::listener::Role;
use crate::control;
use crate::emulator::Shared;
use crate::script::Fault;
use crate::server::{Plan, Reply, Request};

pub(crate) const MOST_HEADER_BYTES: usize = 32 * 1024;
/// Room for the longest token that a client keeps, percent-encoded.
const MOST_BODY_BYTES: usize = 256 * 1024;
const BODY: Duration = Duration::from_secs(30);
/// How long a fault that never ends lasts.
const FOR_EVER: Duration = Duration::from_secs(600);
const HUGE: usize = 100 * 1024 * 1024;
const DRIP: Duration = Duration::from_millis(100);

const GARBAGE: &[u8] = b"\x16\x03\x01\x00SSH-2.0-not-http\r\n\x00\xff\xfe\r\n\r\n";
const EARLY_HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
const CAPTIVE_PORTAL: &str = "<!DOCTYPE html><html><head><title>Airport Wi-Fi</title></head>\
    <body><form action=\"/login\"><input name=\"username\"><input name=\"password\"></form></body></html>";

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was broken on purpose")]
pub(crate) struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Answers one request.
pub(crate) async fn serve(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
    line: Arc<Line>,
    role: Role,
    connection: u64,
) -> Result<Response<Body>, Broken> {
    let request = match read(request, connection).await {
        Ok(request) => request,
        Err(refused) => return Ok(response(refused)),
    };
    match role {
        Role::Control => Ok(match control::answer(&shared, &request) {
            control::Answer::Once(reply) => response(reply),
            control::Answer::Live(head, pieces) => with_body(&head, None, Body::Live(pieces)),
        }),
        Role::Evil(count) => {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(response(Reply::json(
                200,
                &json!({ "access_token": "evil", "token_type": "Bearer", "expires_in": 3600 }),
            )))
        }
        Role::Tenants => match shared.take(&request) {
            Plan::Send(reply, delay) => {
                sleep(delay.unwrap_or_default()).await;
                Ok(response(reply))
            }
            Plan::Raw { bytes, keep_open, delay, .. } => {
                sleep(delay.unwrap_or_default()).await;
                let unseen = Reply::empty(200);
                if keep_open {
                    line.say_instead_of_answer(bytes);
                    return Ok(response(unseen));
                }
                line.say_instead(bytes);
                Ok(response(unseen.header("Connection", "close")))
            }
            Plan::Break(fault, reply, delay) => {
                if fault != Fault::Drip {
                    sleep(delay.unwrap_or_default()).await;
                }
                broken(fault, reply, delay, &request, &shared, &line).await
            }
        },
    }
}

async fn broken(
    fault: Fault,
    reply: Option<Reply>,
    delay: Option<Duration>,
    request: &Request,
    shared: &Shared,
    line: &Line,
) -> Result<Response<Body>, Broken> {
    let reply = reply.unwrap_or_else(|| Reply::empty(200).header("Content-Type", "application/json"));
    let moved = |status, to: String| response(Reply::empty(status).header("Location", to));
    let same_place = format!("https://{}{}", request.host, request.path);
    match fault {
        Fault::Close | Fault::CloseAfterProcessing => Err(Broken),
        Fault::Reset => {
            line.reset_at_end();
            Err(Broken)
        }
        Fault::Stall => {
            sleep(FOR_EVER).await;
            Err(Broken)
        }
        Fault::Truncate => {
            let length = reply.body.len().to_string();
            let half = reply.body.get(..reply.body.len() / 2).unwrap_or_default().to_vec();
            Ok(with_body(&reply, Some(&length), Body::cut(half)))
        }
        Fault::TruncateChunked => Ok(with_body(&reply, None, Body::cut(reply.body.clone()))),
        Fault::Drip => Ok(with_body(&reply, None, Body::drip(delay.unwrap_or(DRIP), FOR_EVER))),
        Fault::Huge | Fault::HugeChunked => {
            let length = (fault == Fault::Huge).then(|| HUGE.to_string());
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            Ok(with_body(&reply, length.as_deref(), Body::Repeat { chunk, left: HUGE }))
        }
        Fault::Garbage => {
            line.say_instead(GARBAGE);
            Ok(response(reply.header("Connection", "close")))
        }
        Fault::Redirect307OtherHost => Ok(moved(307, format!("{}{}", shared.evil_origin(), request.path))),
        Fault::Redirect308SameHost => Ok(moved(308, same_place)),
        Fault::Redirect302Get => Ok(moved(302, same_place)),
        Fault::CaptivePortal => {
            let page = Reply { body: CAPTIVE_PORTAL.as_bytes().to_vec(), ..Reply::empty(200) };
            Ok(response(page.header("Content-Type", "text/html; charset=utf-8")))
        }
        Fault::Empty => Ok(response(reply)),
        Fault::Gzip => {
            let body = gzip(&reply.body);
            Ok(response(Reply { body, ..reply }.header("Content-Encoding", "gzip")))
        }
        Fault::GzipBomb => {
            let bomb = Reply { body: gzip_bomb().to_vec(), ..reply };
            Ok(response(bomb.header("Content-Encoding", "gzip")))
        }
        Fault::InformationalFirst => {
            line.say_first(EARLY_HINTS);
            Ok(response(reply))
        }
    }
}

/// Reads a request, bounded in size and time.
async fn read(request: hyper::Request<Incoming>, connection: u64) -> Result<Request, Reply> {
    let refused = |status| Reply::empty(status).header("Connection", "close");
    let (head, body) = request.into_parts();
    let body = match timeout(BODY, Limited::new(body, MOST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(refused(413)),
        Ok(Err(_)) => return Err(refused(400)),
        Err(_) => return Err(refused(408)),
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    // The buffer that HTTP reads into may have taken somewhat more.
    if headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() > MOST_HEADER_BYTES {
        return Err(refused(431));
    }
    let mut hosts = headers.iter().filter(|(name, _)| name == "host").map(|(_, value)| value);
    let (Some(host), None) = (hosts.next().filter(|host| is_authority(host)).cloned(), hosts.next()) else {
        return Err(refused(400));
    };
    let query = head.uri.query().unwrap_or_default();
    Ok(Request {
        connection,
        method: head.method.as_str().to_owned(),
        host,
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers,
        body,
    })
}

/// A host with or without a port; it becomes part of issuers.
fn is_authority(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(allowed)
}

fn response(reply: Reply) -> Response<Body> {
    let body = Body::whole(reply.body.clone());
    with_body(&reply, None, body)
}

fn with_body(reply: &Reply, length: Option<&str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let length = length.map(|length| ("content-length", length));
    let headers = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in headers.filter(|(name, _)| !frames_the_message(name)).chain(length) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Length and framing are ours to say; a script that wants them wrong uses a fault.
fn frames_the_message(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
}
