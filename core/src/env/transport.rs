//! What the library asks of the network: requests in, bounded answers out, each sign-in on connections of its own.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{BoxFuture, Pins, Proxy, Trust};
use crate::error::{ConfigurationProblem, Kind, NetworkProblem, ResponseDefect};
use crate::secret::Secret;

/// HTTP methods that the library uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST with a form body.
    Post,
    /// PUT with a JSON body.
    Put,
}

impl Method {
    /// As it is written in a request: `GET`, `POST` or `PUT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of a request header.
pub enum HeaderValue {
    /// May be logged.
    Plain(&'static str),
    /// Must not be: it holds a token, or what the app's header provider gave.
    Secret(Secret),
}

/// One request.
pub struct HttpRequest {
    /// GET, POST or PUT.
    pub method: Method,
    /// An absolute https URL.
    pub url: String,
    /// Headers besides `Host`, `Content-Length` and `User-Agent`; names in lower case, each once.
    pub headers: Vec<(Cow<'static, str>, HeaderValue)>,
    /// The body; its buffer wipes itself after the last send.
    pub body: Option<Zeroizing<Vec<u8>>>,
    /// Largest acceptable answer, in bytes of its body.
    pub max_response: usize,
    /// From the start of the call to the last byte of the answer.
    pub deadline: Duration,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

/// One complete answer.
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, values as they came; values that are not visible ASCII are left out.
    pub headers: Vec<(String, String)>,
    /// The whole body, wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
}

impl HttpResponse {
    /// The only value of the header `name` (given in lower case); `None` if it is missing or repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        values.next().filter(|_| values.next().is_none())
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// No complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// What went wrong.
    pub problem: TransportProblem,
    /// Whether the server may have seen the request.
    pub maybe_sent: bool,
}

/// Why there is no complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportProblem {
    /// The network failed.
    Network(NetworkProblem),
    /// The answer is one that is not read to its end.
    Defect(ResponseDefect),
    /// The network options cannot be used here.
    Configuration(ConfigurationProblem),
    /// As many sign-ins as allowed have their connections open already.
    TooManyConversations,
}

impl From<TransportError> for Kind {
    fn from(error: TransportError) -> Self {
        match error.problem {
            TransportProblem::Network(kind) => Self::Network { kind, maybe_sent: error.maybe_sent },
            TransportProblem::Defect(what) => Self::InvalidResponse { what },
            TransportProblem::Configuration(what) => Self::Configuration { what },
            TransportProblem::TooManyConversations => Self::Busy,
        }
    }
}

/// The network.
pub trait Transport: Send + Sync {
    /// Connections for one sign-in, shared with nothing else. Dropping it ends them and whatever was in their buffers.
    /// Opens nothing yet. Fails with [`TransportProblem::TooManyConversations`] when too many are open.
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError>;
    /// The connections that background requests share (refresh, revocation, keys).
    fn background(&self) -> Arc<dyn Conversation>;
}

/// Sends requests, one after another.
pub trait Conversation: Send + Sync {
    /// Sends once, follows nothing, and returns within the request's deadline. A caller that goes away does not stop a
    /// request that was begun.
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>>;
    /// Takes no further request, from the call on; completes when the one that is under way has ended and the connections
    /// and their buffers are gone.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// How the shipped transport connects.
///
/// ```
/// use directauth::env::NetworkOptions;
/// use directauth::{Proxy, Trust};
///
/// let options = NetworkOptions { trust: Trust::Bundled, ..NetworkOptions::default() };
/// assert_eq!(options.proxy, Proxy::None);
/// ```
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Which certificates are accepted.
    pub trust: Trust,
    /// Which keys the server must have besides; none in particular if missing.
    pub pins: Option<Pins>,
    /// The proxy to go through.
    pub proxy: Proxy,
    /// Limit for name resolution, TCP, the proxy's tunnel and TLS together.
    pub connect_timeout: Duration,
}

impl Default for NetworkOptions {
    /// The platform's usual trust, no pins, no proxy, 10 s.
    fn default() -> Self {
        Self { trust: Trust::default(), pins: None, proxy: Proxy::None, connect_timeout: Duration::from_secs(10) }
    }
}
