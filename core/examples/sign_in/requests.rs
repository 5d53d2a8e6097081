//! Counts the requests: the library takes its network from an [`Environment`], so one wrapper sees them all.
//!
//! An app needs none of this: `Client::builder(…).trust(…).build()` brings the same network.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use directauth::Trust;
use directauth::env::{
    BoxFuture, Conversation, Environment, HttpRequest, HttpResponse, NetworkOptions, Transport, TransportError,
};

/// The requests since somebody last asked. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    /// The real world, with every request counted here.
    pub(crate) fn environment(&self, trust: Trust) -> Environment {
        let real = Environment::system(NetworkOptions { trust, ..NetworkOptions::default() });
        Environment { transport: Arc::new(Counted { inner: real.transport, requests: self.clone() }), ..real }
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Cost {
        Cost(core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn note(&self, url: &str) {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let name = match path.rsplit('/').next() {
            Some("openid-configuration" | "oauth-authorization-server") => "metadata",
            Some(last) => last,
            None => path,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }
}

/// The requests that one step took, by the last segment of their paths.
pub(crate) struct Cost(Vec<String>);

impl Cost {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Cost {
    /// `no request`, `1 request: token`, `4 requests: challenge, token ×3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => return f.write_str("no request"),
            1 => f.write_str("1 request: ")?,
            n => write!(f, "{n} requests: ")?,
        }
        for (i, run) in self.0.chunk_by(|a, b| a == b).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let name = run.first().map_or("", String::as_str);
            match run.len() {
                1 => write!(f, "{comma}{name}")?,
                n => write!(f, "{comma}{name} ×{n}")?,
            }
        }
        Ok(())
    }
}

struct Counted<T> {
    inner: T,
    requests: Requests,
}

impl Transport for Counted<Arc<dyn Transport>> {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        let inner = Arc::from(self.inner.conversation()?);
        Ok(Box::new(Counted { inner, requests: self.requests.clone() }))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(Counted { inner: self.inner.background(), requests: self.requests.clone() })
    }
}

impl Conversation for Counted<Arc<dyn Conversation>> {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        self.requests.note(&request.url);
        self.inner.send(request)
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.inner.close()
    }
}
