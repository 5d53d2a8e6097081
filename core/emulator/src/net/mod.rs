//! From sockets to requests and back: TLS, the simulated distance, HTTP/1.1, and everything that can break.

pub(crate) mod body;
pub(crate) mod delay;
pub(crate) mod line;
pub(crate) mod listener;
pub(crate) mod names;
pub(crate) mod serve;
pub(crate) mod tls;
