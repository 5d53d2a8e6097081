//! Headers that the app adds to the library's requests, for a bot protection or firewall in front of the server.
//!
//! DESIGN §8. The app's code is asked before each request to the issuer's origin, away from every other task, with a time
//! limit and a bound on the calls that are under way. Whatever it does, the request is sent: without its headers if they
//! did not come in time, and an audit event tells. Which headers are sent is decided in `wire::extra_headers`.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::{Either, select};

use crate::audit::HeaderProblem;
use crate::env::{Environment, Method};
use crate::secret::Secret;
use crate::wire::extra_headers::{Extra, sort_out};

/// Gives headers for requests to the issuer's origin.
///
/// ```
/// use directauth::{Client, HeaderProvider, HeaderProviderError, OutgoingRequest};
///
/// struct Sensor;
///
/// impl HeaderProvider for Sensor {
///     fn headers(&self, request: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError> {
///         # let measure = |_: &str| Some("2,i,…".replace('…', "1"));
///         let data = measure(&request.path).ok_or(HeaderProviderError)?; // the vendor's SDK
///         Ok(vec![("X-acf-sensor-data".to_owned(), data)])
///     }
/// }
///
/// let client = Client::builder("https://acme.okta.com/oauth2/default", "0oa1b2c3").header_provider(Sensor).build()?;
/// # Ok::<(), directauth::Error>(())
/// ```
///
/// **Never sent**, in any case and with `_` for `-`: `Host`, `Connection`, `Keep-Alive`, `TE`, `Trailer`,
/// `Transfer-Encoding`, `Upgrade`, `Expect`, `Max-Forwards`, `Via`, `HTTP2-Settings`, `Alt-Used`, `Accept`,
/// `Accept-Charset`, `Accept-Encoding`, `Range`, `X-HTTP-Method`, `X-HTTP-Method-Override`, `X-Method-Override`,
/// `X-Original-URL`, `X-Rewrite-URL`, `Authorization`, `Cookie`, `Cookie2`, `DPoP`, `Date`, `User-Agent`, `Origin`,
/// `Referer`, `Forwarded`, `X-Real-IP`, and everything that begins with `Content-`, `If-`, `Proxy-`, `Sec-` or
/// `X-Forwarded-`. Nor names that are no token (RFC 9110 §5.6.2), values with anything but visible ASCII, blanks and tabs
/// inside, a name for the second time, more than 16 headers, or more than 8 KiB of them. The others are sent all the same.
///
/// What goes wrong is told by [`SecurityEvent::HeaderProviderFailed`](crate::audit::SecurityEvent::HeaderProviderFailed).
pub trait HeaderProvider: Send + Sync {
    /// The headers for one request, as names and values. Called on a background thread, possibly on several at once, and
    /// given 2 s, which do not count towards the request's own time limit. Values are treated as secrets.
    ///
    /// # Errors
    /// An error, like a panic or a late answer, means that the request goes without them.
    fn headers(&self, request: &OutgoingRequest) -> Result<Vec<(String, String)>, HeaderProviderError>;
}

/// A request that is about to be sent to the issuer's origin: no body, no query, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingRequest {
    /// How.
    pub method: Method,
    /// Where: the URL's path, such as `/oauth2/default/v1/token`.
    pub path: String,
}

/// The provider has no headers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header provider has no headers to give")]
pub struct HeaderProviderError;

/// A provider that needs longer has failed this time.
const DEADLINE: Duration = Duration::from_secs(2);
/// Calls under way at once, late ones included; each holds a thread.
const MAX_CALLS: usize = 16;

/// The app's provider, and how it is asked.
#[derive(Clone)]
pub(crate) struct Provider {
    hook: Arc<dyn HeaderProvider>,
    /// Counted by its clones: the calls that are under way.
    calls: Arc<()>,
}

impl Provider {
    pub(crate) fn new(hook: Arc<dyn HeaderProvider>) -> Self {
        Self { hook, calls: Arc::default() }
    }

    /// The headers for a request, in time, and what went wrong.
    pub(crate) async fn ask(
        &self,
        env: &Environment,
        method: Method,
        path: String,
    ) -> (Vec<(String, Secret)>, Option<HeaderProblem>) {
        let nothing = |problem| (Vec::new(), Some(problem));
        if Arc::strong_count(&self.calls) > MAX_CALLS {
            return nothing(HeaderProblem::Busy);
        }
        let (hook, under_way) = (Arc::clone(&self.hook), Arc::clone(&self.calls));
        let request = OutgoingRequest { method, path };
        let (done, result) = oneshot::channel();
        env.spawner.spawn_blocking(Box::pin(async move {
            // A panic of the app's code is an error of it, and no reason to lose a thread or a sign-in.
            let given = catch_unwind(AssertUnwindSafe(|| hook.headers(&request)));
            drop(under_way);
            let _ = done.send(given.ok().and_then(Result::ok).map(sort_out));
        }));
        match select(result, env.clock.sleep(DEADLINE)).await {
            Either::Left((Ok(Some(Extra { headers, refused })), _)) => {
                (headers, (refused > 0).then_some(HeaderProblem::Refused))
            }
            Either::Left(_) => nothing(HeaderProblem::Failed),
            Either::Right(_) => nothing(HeaderProblem::Late),
        }
    }
}
