//! A call to the app's own API with the session's token.

use core::time::Duration;

use directauth::env::{HeaderValue, HttpRequest, Method, Transport};
use directauth::error::Kind;
use directauth::{AuthorizationHeaders, Error, Secret, Session};

/// Calls the API for the user: `authorize` refreshes the token when it is due.
pub(crate) async fn call(network: &dyn Transport, session: &Session, url: &str) -> Result<(u16, String), Error> {
    let headers = session.authorize("GET", url).await?;
    get(network, url, &headers).await
}

/// A plain GET: the status and the text of the answer.
///
/// An app uses its own HTTP client here; this one borrows the library's, because requests on it are counted.
pub(crate) async fn get(
    network: &dyn Transport,
    url: &str,
    headers: &AuthorizationHeaders,
) -> Result<(u16, String), Error> {
    let headers = headers.iter().map(|(name, value)| (name.into(), HeaderValue::Secret(Secret::from(value)))).collect();
    let request = HttpRequest {
        method: Method::Get,
        url: url.to_owned(),
        headers,
        body: None,
        max_response: 64 * 1024,
        deadline: Duration::from_secs(10),
    };
    let response = network.background().send(request).await.map_err(Kind::from)?;
    Ok((response.status, String::from_utf8_lossy(&response.body).into_owned()))
}
