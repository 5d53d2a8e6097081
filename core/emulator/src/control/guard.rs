//! Who may use the control port.
//!
//! On loopback everybody who can reach it may, as long as no web page of somebody else's is behind it. Beyond loopback a
//! token is asked for: of programs in the header `Authorization`, of a browser in a cookie, which it gets for opening
//! the page with the token in its address.

use std::net::IpAddr;

use super::problem;
use crate::server::{self, Reply, Request};

/// Decides about each request.
pub(crate) struct Guard {
    token: Option<String>,
    /// Browsers send a cookie to every port of its host: so its name is this port's own, and its value not the token.
    cookie_name: String,
    cookie: String,
}

impl Guard {
    /// Without a token only loopback names are answered. None if the system has no randomness.
    pub(crate) fn new(token: Option<String>, port: u16) -> Option<Self> {
        Some(Self { token, cookie_name: format!("__Host-directauth-control-{port}"), cookie: server::unguessable()? })
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What a request gets that may not go on.
    pub(crate) fn refuse(&self, request: &Request) -> Option<Reply> {
        // A web page that resolves its own name to loopback, or sends from elsewhere, must not get here.
        if request.header("origin").is_some_and(|origin| !is_own(origin, &request.host)) || is_of_another_site(request)
        {
            return Some(problem(403, "a page of another origin has no business here"));
        }
        let Some(token) = &self.token else {
            let is_here = is_loopback(&request.host);
            return (!is_here).then(|| problem(403, "the control API answers loopback only"));
        };
        let in_address = request.query.iter().any(|(name, value)| name == "token" && is_same(value, token));
        if request.method == "GET" && in_address {
            // Lax, because the address may be a link in a chat; what such a link could do is to look.
            // The token leaves the address bar, and so the history and what is shared of it.
            let cookie = format!("{}={}; Path=/; Secure; HttpOnly; SameSite=Lax", self.cookie_name, self.cookie);
            // With two slashes in front, of whichever kind, it would lead to another host.
            let path = format!("/{}", request.path.trim_start_matches(['/', '\\']));
            return Some(Reply::empty(303).header("Location", path).header("Set-Cookie", cookie));
        }
        if bearer(request).is_some_and(|offered| is_same(offered, token)) || self.has_cookie(request) {
            return None;
        }
        let reason = "the token is missing or wrong: open the address that the emulator printed, or send the token as \
                      Authorization: Bearer";
        Some(problem(401, reason).header("WWW-Authenticate", "Bearer"))
    }

    fn has_cookie(&self, request: &Request) -> bool {
        let mut cookies = request.header("cookie").unwrap_or_default().split(';');
        cookies.any(|pair| {
            pair.trim()
                .split_once('=')
                .is_some_and(|(name, value)| name == self.cookie_name && is_same(value, &self.cookie))
        })
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// What a browser says of a request that a page elsewhere has made. Somebody may follow a link to this page.
fn is_of_another_site(request: &Request) -> bool {
    let follows_a_link = request.method == "GET" && request.header("sec-fetch-mode") == Some("navigate");
    !follows_a_link && request.header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"))
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
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
        let guard = Guard::new(None, 1).unwrap();
        for (host, origin, refused) in [
            ("localhost:1", None, None),
            ("127.0.0.1:1", None, None),
            ("[::1]:1", None, None),
            ("127.0.0.2:1", None, None),
            ("Localhost:1", None, None),
            ("localhost", Some("https://localhost"), None),
            ("localhost:1", Some("https://LOCALHOST:1"), None),
            ("localhost:1", Some("https://localhost:2"), Some(403)),
            ("localhost:1", Some("http://localhost:1"), Some(403)),
            ("localhost:1", Some("null"), Some(403)),
            ("attacker.example:1", None, Some(403)),
            ("localhost.attacker.example:1", None, Some(403)),
            ("192.0.2.1:1", None, Some(403)),
            ("127.0.0.1.attacker.example:1", None, Some(403)),
        ] {
            let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
            assert_eq!(status(&guard, host, "/", &headers), refused, "{host} {origin:?}");
        }
    }

    #[test]
    fn what_a_page_elsewhere_has_loaded_is_refused_but_a_link_may_be_followed() {
        let guard = Guard::new(None, 1).unwrap();
        for (site, mode, refused) in [
            ("cross-site", "no-cors", Some(403)),
            ("same-site", "cors", Some(403)),
            ("cross-site", "navigate", None),
            ("same-origin", "cors", None),
            ("none", "navigate", None),
        ] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            assert_eq!(status(&guard, "localhost:1", "/users", &headers), refused, "{site} {mode}");
        }
    }

    #[test]
    fn with_a_token_every_name_is_answered_and_nobody_without_it() {
        let guard = Guard::new(Some("s3cret".to_owned()), 8444).unwrap();
        let (own, foreign) = (guard.cookie.clone(), Guard::new(None, 8444).unwrap().cookie);
        let cookie = |port: u16, value: &str| format!("other=1; __Host-directauth-control-{port}={value}");
        let with = |name, value: String| Some((name, value));
        for (target, header, refused) in [
            ("/", None, Some(401)),
            ("/users", with("authorization", "Bearer s3cret".to_owned()), None),
            ("/users", with("authorization", "bearer s3cret".to_owned()), None),
            ("/users", with("authorization", "Bearer s3creT".to_owned()), Some(401)),
            ("/users", with("authorization", "Bearer ".to_owned()), Some(401)),
            ("/users", with("authorization", "Basic s3cret".to_owned()), Some(401)),
            ("/users", with("authorization", format!("Bearer {own}")), Some(401)),
            ("/users", with("cookie", cookie(8444, &own)), None),
            ("/users", with("cookie", cookie(8444, "s3cret")), Some(401)),
            ("/users", with("cookie", cookie(8444, &foreign)), Some(401)),
            ("/users", with("cookie", cookie(8445, &own)), Some(401)),
            ("/users", with("cookie", cookie(8444, "")), Some(401)),
            ("/?token=s3cre", None, Some(401)),
            ("/?token=s3cret", None, Some(303)),
            ("/?token=s3cret", with("cookie", cookie(8444, &own)), Some(303)),
            ("/users", with("origin", "https://attacker.example".to_owned()), Some(403)),
        ] {
            let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(status(&guard, "192.0.2.1:1", target, &headers), refused, "{target} {header:?}");
        }
        for (target, leads_to) in [("/t/t1/?token=s3cret", "/t/t1/"), ("/\\//a.example/?token=s3cret", "/a.example/")] {
            let reply = ask(&guard, "192.0.2.1:1", target, &[]).unwrap();
            let header = |wanted: &str| reply.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
            assert_eq!(header("Location").map(String::as_str), Some(leads_to), "without the token");
            assert!(header("Set-Cookie").is_some_and(|cookie| cookie.contains("HttpOnly; SameSite=Lax")));
            assert!(header("Set-Cookie").is_some_and(|cookie| !cookie.contains("s3cret")));
        }
    }
}
