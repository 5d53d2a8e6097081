//! A client on the real network in the real time of this machine, for tests of TLS and of the shipped environment.

use std::time::Duration;

use directauth::{Client, ClientBuilder, Trust};
use directauth_emulator::Tenant;
use futures_util::task::noop_waker_ref;
use std::pin::pin;
use std::task::{Context, Poll};

pub fn builder(tenant: &Tenant) -> ClientBuilder {
    Client::builder(tenant.issuer(), tenant.client_id())
        .scopes(["openid", "profile", "offline_access"])
        .trust(super::trust())
        .request_timeout(Duration::from_secs(20))
}

pub fn client(tenant: &Tenant) -> Client {
    builder(tenant).build().expect("a valid configuration")
}

pub fn at(origin: &str, trust: Trust) -> Client {
    Client::builder(origin, "0oaDemoNativeApp").trust(trust).build().expect("a valid configuration")
}

/// Polls once, so that what a future does at its start is done.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(noop_waker_ref()))
}
