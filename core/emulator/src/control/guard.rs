//! Who may use the control port.
//!
//! On loopback everybody who can reach it may, as long as no web page of somebody else's is behind it. Beyond loopback a
//! token is asked for: of programs in the header `Authorization`, of a browser in a cookie, which it gets for opening
//! the page with the token in its address.

use super::problem;
use crate::server::{Reply, Request};

const COOKIE: &str = "directauth_control";

/// Decides about each request.
pub(crate) struct Guard {
    token: Option<String>,
}

impl Guard {
    /// Without a token only loopback names are answered.
    pub(crate) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What a request gets that may not go on.
    pub(crate) fn refuse(&self, request: &Request) -> Option<Reply> {
        // A web page that resolves its own name to loopback, or posts from elsewhere, must not get here.
        if request.header("origin").is_some_and(|origin| !is_own(origin, &request.host)) {
            return Some(problem(403, "a page of another origin has no business here"));
        }
        let Some(token) = &self.token else {
            let is_here = is_loopback(&request.host);
            return (!is_here).then(|| problem(403, "the control API answers loopback only"));
        };
        if offered(request).any(|offered| is_same(offered, token)) {
            return None;
        }
        let in_address = request.query.iter().any(|(name, value)| name == "token" && is_same(value, token));
        if request.method == "GET" && in_address {
            // The token leaves the address bar, and so the history and what is shared of it.
            let cookie = format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
            // With two slashes in front it would lead to another host.
            let path = format!("/{}", request.path.trim_start_matches('/'));
            return Some(Reply::empty(303).header("Location", path).header("Set-Cookie", cookie));
        }
        let reason = "the token is missing or wrong: open the address that the emulator printed, or send the token as \
                      Authorization: Bearer";
        Some(problem(401, reason).header("WWW-Authenticate", "Bearer"))
    }
}

/// The tokens that a request carries.
fn offered(request: &Request) -> impl Iterator<Item = &str> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let cookies = request.header("cookie").unwrap_or_default().split(';');
    let cookies = cookies.filter_map(|pair| pair.trim().split_once('=').filter(|(name, _)| *name == COOKIE));
    bearer.into_iter().chain(cookies.map(|(_, value)| value))
}

/// Takes as long for a nearly right token as for a wrong one.
fn is_same(offered: &str, token: &str) -> bool {
    let difference = |sum: u8, (one, other): (u8, u8)| sum | (one ^ other);
    offered.len() == token.len() && offered.bytes().zip(token.bytes()).fold(0, difference) == 0
}

fn is_own(origin: &str, host: &str) -> bool {
    origin.strip_prefix("https://").is_some_and(|named| named.eq_ignore_ascii_case(host))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Guard, host: &str, target: &str, headers: &[(&str, &str)]) -> Option<Reply> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        guard.refuse(&Request {
            connection: 1,
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Vec::new(),
        })
    }

    fn status(guard: &Guard, host: &str, target: &str, headers: &[(&str, &str)]) -> Option<u16> {
        ask(guard, host, target, headers).map(|reply| reply.status)
    }

    #[test]
    fn on_loopback_only_its_own_names_and_pages_get_in() {
        let guard = Guard::new(None);
        for (host, origin, refused) in [
            ("localhost:1", None, None),
            ("127.0.0.1:1", None, None),
            ("[::1]:1", None, None),
            ("localhost", Some("https://localhost"), None),
            ("localhost:1", Some("https://LOCALHOST:1"), None),
            ("localhost:1", Some("https://localhost:2"), Some(403)),
            ("localhost:1", Some("http://localhost:1"), Some(403)),
            ("localhost:1", Some("null"), Some(403)),
            ("attacker.example:1", None, Some(403)),
            ("localhost.attacker.example:1", None, Some(403)),
            ("192.0.2.1:1", None, Some(403)),
        ] {
            let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
            assert_eq!(status(&guard, host, "/", &headers), refused, "{host} {origin:?}");
        }
    }

    #[test]
    fn with_a_token_every_name_is_answered_and_nobody_without_it() {
        let guard = Guard::new(Some("s3cret".to_owned()));
        for (target, header, refused) in [
            ("/", None, Some(401)),
            ("/users", Some(("authorization", "Bearer s3cret")), None),
            ("/users", Some(("authorization", "Bearer s3creT")), Some(401)),
            ("/users", Some(("authorization", "Bearer ")), Some(401)),
            ("/users", Some(("authorization", "Basic s3cret")), Some(401)),
            ("/users", Some(("cookie", "other=1; directauth_control=s3cret")), None),
            ("/users", Some(("cookie", "directauth_control=")), Some(401)),
            ("/users", Some(("cookie", "other=s3cret")), Some(401)),
            ("/?token=s3cre", None, Some(401)),
            ("/?token=s3cret", None, Some(303)),
            ("/users", Some(("origin", "https://attacker.example")), Some(403)),
        ] {
            let headers: Vec<_> = header.into_iter().collect();
            assert_eq!(status(&guard, "192.0.2.1:1", target, &headers), refused, "{target} {header:?}");
        }
        let reply = ask(&guard, "192.0.2.1:1", "/t/t1/?token=s3cret", &[]).unwrap();
        let header = |wanted: &str| reply.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        assert_eq!(header("Location").map(String::as_str), Some("/t/t1/"), "without the token");
        assert!(header("Set-Cookie").is_some_and(|cookie| cookie.contains("HttpOnly; SameSite=Strict")));
    }
}
