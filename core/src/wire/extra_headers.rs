//! Which headers of the app's header provider may be sent with a request.
//!
//! DESIGN §8. They are for a firewall in front of the server, so they may say anything but what the request is, who sends
//! it, and how it is framed: those headers are the library's own. Header lines are RFC 9110 §5; what is not exactly a name
//! and a value of it is refused, because something between here and the server would read it in another way.

use crate::secret::Secret;

/// At most this many headers,
const MAX_HEADERS: usize = 16;
/// and this many bytes with their `: ` and line ends.
const MAX_BYTES: usize = 8 * 1024;
const PER_LINE: usize = 4;

/// Names that are not the provider's to give, in lower case.
const RESERVED: &[&str] = &[
    // The connection and the framing of the message.
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "max-forwards",
    "via",
    "http2-settings",
    "alt-used",
    // What is asked for and what may come back.
    "accept",
    "accept-charset",
    "accept-encoding",
    "range",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    // Who sends it, and when.
    "authorization",
    "cookie",
    "cookie2",
    "dpop",
    "date",
    "user-agent",
    "origin",
    "referer",
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    // What a gateway says of the connection, or what a server reads as a variable of its own.
    "client-cert",
    "client-cert-chain",
    "early-data",
    "proxy",
    "set-cookie",
];

/// Beginnings of such names.
const RESERVED_FAMILIES: &[&str] =
    &["content-", "if-", "proxy-", "sec-", "x-forwarded-", "x-http-method", "x-original-"];

/// What was offered, sorted out.
pub(crate) struct Extra {
    /// Names in lower case, each once, in the order in which they came.
    pub(crate) headers: Vec<(String, Secret)>,
    /// How many were refused.
    pub(crate) refused: usize,
}

/// Sorts out what a provider offers; one bad header does not spoil the others.
pub(crate) fn sort_out(offered: Vec<(String, String)>) -> Extra {
    let mut extra = Extra { headers: Vec::new(), refused: 0 };
    let mut bytes = 0_usize;
    for (name, value) in offered {
        // Wiped also if it is refused.
        let (name, value) = (name.to_ascii_lowercase(), Secret::new(value));
        let line = name.len().saturating_add(value.len()).saturating_add(PER_LINE);
        let is_new = extra.headers.iter().all(|(known, _)| *known != name);
        let fits = extra.headers.len() < MAX_HEADERS && bytes.saturating_add(line) <= MAX_BYTES;
        // EXPOSE: only looked at.
        if is_new && fits && is_token(&name) && !is_reserved(&name) && is_value(value.expose()) {
            bytes = bytes.saturating_add(line);
            extra.headers.push((name, value));
        } else {
            extra.refused = extra.refused.saturating_add(1);
        }
    }
    extra
}

/// Some servers read `_` as `-` (RFC 3875 §4.1.18), so here both are the same.
fn is_reserved(name: &str) -> bool {
    let name = name.replace('_', "-");
    RESERVED.contains(&name.as_str()) || RESERVED_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// RFC 9110 §5.5 without its obsolete parts: visible ASCII, with blanks and tabs inside only.
fn is_value(value: &str) -> bool {
    const BLANKS: [char; 2] = [' ', '\t'];
    let is_trimmed = value.trim_matches(BLANKS).len() == value.len();
    is_trimmed && value.chars().all(|c| c.is_ascii_graphic() || BLANKS.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(offered: &[(&str, &str)]) -> (Vec<(String, String)>, usize) {
        let offered = offered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let extra = sort_out(offered.collect());
        (extra.headers.iter().map(|(n, v)| (n.clone(), v.expose().to_owned())).collect(), extra.refused)
    }

    #[test]
    fn a_vendors_own_headers_are_sent() {
        for (name, value) in [
            ("X-acf-sensor-data", "2,i,abc==,1;2"),
            ("x-px-authorization", "3:a1b2"),
            ("X-D-Token", ""),
            ("x-datadome-clientid", "a b\tc"),
            ("Accept-Language", "de-CH, de;q=0.9"),
            ("x_custom_name", "~!@#$%^&*()"),
            ("X-Content-Id", "1"),
            ("Iffy", "1"),
            ("secret-sauce", "1"),
        ] {
            let (headers, refused) = sorted(&[(name, value)]);
            assert_eq!((headers, refused), (vec![(name.to_ascii_lowercase(), value.to_owned())], 0));
        }
    }

    #[test]
    fn what_is_the_librarys_own_is_refused_in_every_spelling() {
        let families =
            ["Content-Length", "Content-Type", "content-encoding", "If-Match", "if-none-match", "Sec-Fetch-Mode"];
        let families = families.into_iter().chain(["Proxy-Authorization", "proxy-connection", "X-Forwarded-For"]);
        let spelled =
            ["Content_Length", "x_forwarded_host", "TRANSFER_ENCODING", "User_Agent", "X-HTTP-Method_Override"];
        for name in RESERVED.iter().copied().chain(families).chain(spelled) {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(sorted(&[(&name, "1")]), (vec![], 1), "{name}");
            }
        }
        assert!(RESERVED.iter().chain(RESERVED_FAMILIES).all(|name| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn what_is_no_header_line_is_refused() {
        for (name, value) in [
            ("", "1"),
            ("a b", "1"),
            ("a:", "1"),
            ("host ", "1"),
            (" host", "1"),
            ("a\r\nhost", "1"),
            ("a\0", "1"),
            ("ä", "1"),
            ("a(b)", "1"),
            ("a", "1\r\nhost: evil"),
            ("a", "1\n"),
            ("a", "1\r"),
            ("a", "\0"),
            ("a", "\u{7f}"),
            ("a", "ü"),
            ("a", " 1"),
            ("a", "1 "),
            ("a", "\t1"),
            ("a", " "),
        ] {
            assert_eq!(sorted(&[(name, value)]), (vec![], 1), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn the_good_ones_are_sent_without_the_bad_ones_and_a_name_only_once() {
        let (headers, refused) = sorted(&[("a", "1"), ("Host", "evil"), ("b", "2"), ("A", "3")]);
        assert_eq!((headers, refused), (vec![("a".into(), "1".into()), ("b".into(), "2".into())], 2));
    }

    #[test]
    fn their_number_and_size_are_bounded() {
        let many: Vec<(String, String)> = (0..20).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
        let extra = sort_out(many);
        assert_eq!((extra.headers.len(), extra.refused), (16, 4));

        let exactly = "v".repeat(MAX_BYTES - 1 - PER_LINE);
        assert_eq!(sorted(&[("a", &exactly)]).1, 0);
        assert_eq!(sorted(&[("a", &format!("{exactly}v"))]), (vec![], 1));
        let (headers, refused) = sorted(&[("a", &"v".repeat(5000)), ("b", &"v".repeat(5000)), ("c", "small")]);
        assert_eq!((headers.len(), headers[1].0.as_str(), refused), (2, "c", 1));
    }
}
