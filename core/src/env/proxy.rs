//! Which proxy a connection goes through, if any.
//!
//! DESIGN §8: none unless the app says so. The proxy is asked for a tunnel (`CONNECT`, RFC 9110 §9.3.6) to the server and
//! carries what it cannot read: TLS is with the server, the credentials of the proxy are in the `CONNECT` alone. What is
//! found in the environment is read here from a function, so that the rules can be tested without one.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use data_encoding::BASE64;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::error::ConfigurationProblem;
use crate::secret::Secret;

/// Whether the connections to the server go through an HTTP proxy.
///
/// The proxy learns the server's host and port, the time and the amount of traffic, and nothing that is sent: the TLS
/// session is between this library and the server, with the same certificate checks and pins as without a proxy. A proxy
/// that opens TLS is refused like any wrong certificate, unless the app trusts its authority ([`Trust`](crate::Trust)).
///
/// A server whose issuer names it by an IPv6 address cannot be reached through a proxy: the HTTP stack does not take such
/// a name after `CONNECT`. That too is [`NetworkProblem::Proxy`](crate::error::NetworkProblem::Proxy).
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// None, whatever the environment says.
    #[default]
    None,
    /// The one that the environment names: `HTTPS_PROXY`, else `ALL_PROXY`, and `NO_PROXY` for hosts to reach without it;
    /// each also in lower case, empty ones are as if missing. Read once, by the first connection.
    ///
    /// Not on Android and Apple systems, which keep their proxies elsewhere: there it is refused with
    /// [`ConfigurationProblem::SystemProxy`], and the platform layer looks the proxy up and passes [`Proxy::Http`].
    System,
    /// This one: `http://[user:password@]host:port`, with the port written out and what is special in user and password
    /// percent-encoded. They are sent as `Basic` credentials (RFC 7617), in the clear: the way to the proxy is plain HTTP.
    Http(String),
}

impl Proxy {
    /// Whether it can be used here, without touching the system.
    pub(crate) fn check(&self) -> Result<(), ConfigurationProblem> {
        self.check_where(!cfg!(any(target_os = "android", target_vendor = "apple")))
    }

    /// As [`check`](Proxy::check); `environment_tells`: whether the system's proxy is in environment variables.
    fn check_where(&self, environment_tells: bool) -> Result<(), ConfigurationProblem> {
        match self {
            Self::None => Ok(()),
            Self::System if environment_tells => Ok(()),
            Self::System => Err(ConfigurationProblem::SystemProxy),
            Self::Http(text) => Address::parse(text).map(drop),
        }
    }

    /// The way to go; `variable` gives an environment variable.
    pub(super) fn route(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Route>, ConfigurationProblem> {
        self.check()?;
        match self {
            Self::None => Ok(None),
            Self::Http(text) => Ok(Some(Route { proxy: Address::parse(text)?, without: Vec::new() })),
            Self::System => Route::of_environment(variable),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::System => f.write_str("System"),
            Self::Http(text) => match Address::parse(text) {
                Ok(address) => write!(f, "Http({})", address.url),
                // What cannot be read may hold a password anywhere.
                Err(_) => f.write_str("Http([unreadable])"),
            },
        }
    }
}

/// A proxy, and the hosts that are reached without it.
pub(super) struct Route {
    pub(super) proxy: Address,
    without: Vec<Exception>,
}

impl Route {
    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigurationProblem> {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let Some(text) = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else { return Ok(None) };
        // Only here may the scheme be missing; another one (socks5, https) is refused like everything else.
        let text = if text.contains("://") { text } else { format!("{SCHEME}{text}") };
        let exceptions = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Ok(Some(Self { proxy: Address::parse(&text)?, without: Exception::list(&exceptions) }))
    }

    /// Whether a connection to `url` goes through the proxy.
    pub(super) fn carries(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return true };
        !self.without.iter().any(|exception| exception.covers(&host, port))
    }
}

const SCHEME: &str = "http://";

/// Where a proxy is, and what it wants to be told.
pub(super) struct Address {
    /// `http://host:port/`
    pub(super) url: Url,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<Secret>,
}

impl Address {
    fn parse(text: &str) -> Result<Self, ConfigurationProblem> {
        Self::read(text).ok_or(ConfigurationProblem::Proxy)
    }

    fn read(text: &str) -> Option<Self> {
        // By hand: a URL parser repairs what it reads, and the HTTP stack must read the result exactly as this does.
        let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if !scheme.eq_ignore_ascii_case(SCHEME) || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let (user_info, authority) = match rest.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info), authority),
            None => (None, rest),
        };
        let (host, port) = authority.rsplit_once(':')?;
        let is_host = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        let port = number::<u16>(port).filter(|port| *port > 0)?;
        let authorization = match user_info {
            Some(user_info) => Some(basic(user_info)?),
            None => None,
        };
        let url = is_host.then(|| Url::parse(&format!("{SCHEME}{host}:{port}/")).ok())??;
        Some(Self { url, authorization })
    }
}

/// `Basic` credentials of a URL's user information (RFC 7617 §2: no colon in the user, no control characters at all).
fn basic(user_info: &str) -> Option<Secret> {
    const AUTHENTICATION: &str = "Basic ";
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut pair = Zeroizing::new(Vec::with_capacity(user_info.len().saturating_add(1)));
    decode(user, &mut pair)?;
    if pair.contains(&b':') || user_info.is_empty() {
        return None;
    }
    pair.push(b':');
    decode(password, &mut pair)?;
    if pair.iter().any(u8::is_ascii_control) {
        return None;
    }
    let length = AUTHENTICATION.len().saturating_add(BASE64.encode_len(pair.len()));
    let mut value = Zeroizing::new(String::with_capacity(length));
    value.push_str(AUTHENTICATION);
    BASE64.encode_append(&pair, &mut value);
    Some(Secret::from(value))
}

/// Percent-decodes (RFC 3986 §2.1) what may stand in user information (§3.2.1); `None` if anything else does.
fn decode(text: &str, into: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        into.push(match byte {
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                (digit(bytes.next())? << 4) | digit(bytes.next())?
            }
            b'@' | b'/' | b'?' | b'#' | b'[' | b']' | b'\\' => return None,
            plain => plain,
        });
    }
    Some(())
}

/// What an entry of `NO_PROXY` stands for.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    /// `*`
    Everything,
    /// A host and all below it, on one port or all.
    Name { name: String, port: Option<u16> },
    /// An address or a network, on one port or all.
    Network { address: IpAddr, prefix: u8, port: Option<u16> },
}

impl Exception {
    /// The entries are separated by commas or white space. One that cannot be understood excepts nothing.
    fn list(text: &str) -> Vec<Self> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        entries.filter_map(Self::parse).collect()
    }

    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, prefix)) = entry.split_once('/') {
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, number::<u8>(prefix)?);
            return (prefix <= bits(address).1).then_some(Self::Network { address, prefix, port: None });
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return Some(Self::Network { address, prefix: bits(address).1, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(number::<u16>(port)?)),
            None => (entry, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network { address, prefix: bits(address).1, port });
        }
        let name = host.strip_prefix('*').unwrap_or(host).trim_matches('.').to_ascii_lowercase();
        let is_name = !name.is_empty() && !name.contains(['*', ':', '[', ']']);
        is_name.then_some(Self::Name { name, port })
    }

    fn covers(&self, host: &Host<&str>, to_port: u16) -> bool {
        let is_port = |port: &Option<u16>| port.is_none_or(|port| port == to_port);
        match (self, host) {
            (Self::Everything, _) => true,
            (Self::Name { name, port }, Host::Domain(host)) => {
                let host = host.trim_end_matches('.');
                let below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                is_port(port) && (host == name || below())
            }
            (Self::Network { address, prefix, port }, Host::Ipv4(host)) => {
                is_port(port) && within(IpAddr::V4(*host), *address, *prefix)
            }
            (Self::Network { address, prefix, port }, Host::Ipv6(host)) => {
                is_port(port) && within(IpAddr::V6(*host), *address, *prefix)
            }
            _ => false,
        }
    }
}

fn within(host: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let ((host, length), (network, network_length)) = (bits(host), bits(network));
    let beyond = u32::from(length.saturating_sub(prefix));
    length == network_length && (host ^ network).checked_shr(beyond).unwrap_or(0) == 0
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// Decimal digits only; `str::parse` alone takes a sign too.
fn number<T: core::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<(String, Option<String>)> {
        let address = Address::parse(text).ok()?;
        Some((address.url.to_string(), address.authorization.map(|value| value.expose().to_owned())))
    }

    #[test]
    fn a_proxy_is_an_http_url_with_a_port() {
        for (text, url, authorization) in [
            ("http://proxy.example:3128", "http://proxy.example:3128/", None),
            ("HTTP://proxy.example:3128/", "http://proxy.example:3128/", None),
            ("http://proxy.example:80", "http://proxy.example/", None),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080/", None),
            ("http://[::1]:8080", "http://[::1]:8080/", None),
            ("http://my_proxy:1", "http://my_proxy:1/", None),
            ("http://Aladdin:open%20sesame@p:1", "http://p:1/", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://u:p:q@p:1", "http://p:1/", Some("Basic dTpwOnE=")),
            ("http://u:p%40%3A%2F@p:1", "http://p:1/", Some("Basic dTpwQDov")),
            ("http://u@p:1", "http://p:1/", Some("Basic dTo=")),
            ("http://:p@p:1", "http://p:1/", Some("Basic OnA=")),
        ] {
            assert_eq!(address(text), Some((url.to_owned(), authorization.map(str::to_owned))), "{text}");
        }
        for bad in [
            "",
            "http://",
            "proxy.example:3128",
            "https://proxy.example:3128",
            "socks5://proxy.example:1080",
            "http:/proxy.example:3128",
            "http://proxy.example",
            "http://proxy.example:",
            "http://proxy.example:0",
            "http://proxy.example:65536",
            "http://proxy.example:+80",
            "http://proxy.example:3128/path",
            "http://proxy.example:3128?x",
            "http://proxy.example:3128#x",
            "http://proxy.example:3128//",
            "http://:3128",
            "http://::1:3128",
            "http://[::1:3128",
            "http://[zz]:3128",
            "http://pro xy:3128",
            "http://prö.xy:3128",
            "http://pro%78y:3128",
            "http://a,b:3128",
            "http://256.0.0.1:3128",
            "http://proxy.example:3128\r\n",
            "http://@p:1",
            "http://u:p@w@p:1",
            "http://u:p/w@p:1",
            "http://u:p%@p:1",
            "http://u:p%4@p:1",
            "http://u:p%zz@p:1",
            "http://u:p%0d%0aX@p:1",
            "http://u%3ax:p@p:1",
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
            assert_eq!(Proxy::Http(bad.to_owned()).check(), Err(ConfigurationProblem::Proxy), "{bad:?}");
        }
    }

    #[test]
    fn user_and_password_are_never_printed() {
        for text in ["http://ana:hunter2@p:1", "http://ana:hunter2@p", "ana:hunter2@p:1", "http://ana:hunter2@p:1/x"] {
            let printed = format!("{:?} {:#?}", Proxy::Http(text.to_owned()), Some(Proxy::Http(text.to_owned())));
            assert!(!printed.contains("ana") && !printed.contains("hunter2"), "{printed}");
        }
        assert_eq!(format!("{:?}", Proxy::Http("http://ana:hunter2@p:1".to_owned())), "Http(http://p:1/)");
    }

    #[test]
    fn the_systems_proxy_is_only_asked_for_where_the_environment_tells_it() {
        assert_eq!(Proxy::System.check_where(true), Ok(()));
        assert_eq!(Proxy::System.check_where(false), Err(ConfigurationProblem::SystemProxy));
        assert_eq!(Proxy::None.check_where(false), Ok(()));
        assert_eq!(Proxy::Http("http://p:1".to_owned()).check_where(false), Ok(()));
    }

    fn environment(variables: &[(&str, &str)]) -> Result<Option<String>, ConfigurationProblem> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Ok(Route::of_environment(variable)?.map(|route| route.proxy.url.to_string()))
    }

    #[test]
    fn the_environment_names_the_proxy() {
        let all = ("ALL_PROXY", "http://all:1");
        for (variables, expected) in [
            (&[][..], None),
            (&[("HTTP_PROXY", "http://plain:1"), ("http_proxy", "http://plain:1")], None),
            (&[("HTTPS_PROXY", "http://up:1"), ("https_proxy", "http://low:1"), all], Some("http://up:1/")),
            (&[("https_proxy", "http://low:1"), all], Some("http://low:1/")),
            (&[("HTTPS_PROXY", ""), all], Some("http://all:1/")),
            (&[("all_proxy", "low.example:3128")], Some("http://low.example:3128/")),
            (&[("HTTPS_PROXY", "u:p@p.example:3128")], Some("http://p.example:3128/")),
        ] {
            assert_eq!(environment(variables), Ok(expected.map(str::to_owned)), "{variables:?}");
        }
        for bad in ["socks5://p:1080", "https://p:443", "http://p", "p", "http://p:\u{fffd}"] {
            assert_eq!(environment(&[("HTTPS_PROXY", bad), all]), Err(ConfigurationProblem::Proxy), "{bad}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_networks_and_ports() {
        for (list, url, carried) in [
            ("", "https://acme.example/", true),
            ("*", "https://acme.example/", false),
            ("acme.example", "https://acme.example/", false),
            ("ACME.example", "https://acme.example:8443/", false),
            ("acme.example", "https://id.acme.example/", false),
            (".acme.example", "https://id.acme.example/", false),
            (".acme.example", "https://acme.example/", false),
            ("*.acme.example", "https://id.acme.example/", false),
            ("acme.example", "https://notacme.example/", true),
            ("acme.example", "https://acme.example.evil/", true),
            ("a.example, acme.example", "https://acme.example/", false),
            ("a.example acme.example", "https://acme.example/", false),
            ("acme.example:8443", "https://acme.example:8443/", false),
            ("acme.example:8443", "https://acme.example/", true),
            ("acme.example:443", "https://acme.example/", false),
            ("acme.example:x", "https://acme.example/", true),
            ("*acme*", "https://acme.example/", true),
            ("127.0.0.1", "https://127.0.0.1:1/", false),
            ("127.0.0.1:2", "https://127.0.0.1:1/", true),
            ("10.0.0.0/8", "https://10.1.2.3/", false),
            ("10.0.0.0/8", "https://11.1.2.3/", true),
            ("10.0.0.0/33", "https://10.0.0.0/", true),
            ("0.0.0.0/0", "https://11.1.2.3/", false),
            ("0.0.0.0/0", "https://[::1]/", true),
            ("::1", "https://[::1]/", false),
            ("[::1]:443", "https://[::1]/", false),
            ("fd00::/8", "https://[fd12::1]/", false),
            ("::/0", "https://[fd12::1]/", false),
            ("fd00::/8", "https://[fe12::1]/", true),
            ("127.0.0.1", "https://localhost/", true),
        ] {
            let variables = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", list)];
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let route = Route::of_environment(variable).unwrap().unwrap();
            assert_eq!(route.carries(&Url::parse(url).unwrap()), carried, "{list:?} {url}");
        }
    }
}
