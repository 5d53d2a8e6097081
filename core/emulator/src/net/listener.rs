//! Accepts connections and speaks TLS and HTTP/1.1 on them.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::delay::far_away;
use super::line::{Line, Wire};
use super::serve::{MOST_HEADER_BYTES, serve};
use crate::emulator::Shared;

const MOST_CONNECTIONS: usize = 1_024;
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Also how long a connection may be idle.
const HEADERS: Duration = Duration::from_secs(120);

/// What a listener is there for.
#[derive(Clone)]
pub(crate) enum Role {
    /// The tenants.
    Tenants,
    /// The control API.
    Control,
    /// The host that a client must never be led to; counts what arrives.
    Evil(Arc<AtomicUsize>),
}

/// One place to connect to.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: TlsAcceptor,
    role: Role,
    rtt: Duration,
    places: Arc<Semaphore>,
}

/// How many connections one role may have, on all its sockets.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST_CONNECTIONS))
}

impl Listener {
    pub(crate) fn new(
        socket: TcpListener,
        tls: Arc<ServerConfig>,
        role: Role,
        rtt: Duration,
        places: Arc<Semaphore>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls: TlsAcceptor::from(tls), role, rtt, places })
    }

    /// Serves until dropped.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let Ok(socket) = tokio::net::TcpListener::from_std(self.socket) else { return };
        loop {
            let Ok((connection, _)) = socket.accept().await else {
                // Out of descriptors, most likely: let some go first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if matches!(self.role, Role::Tenants) && shared.is_offline() {
                let _ = socket2::SockRef::from(&connection).set_linger(Some(Duration::ZERO));
                continue;
            }
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { continue };
            let (shared, tls, role, rtt) = (Arc::clone(&shared), self.tls.clone(), self.role.clone(), self.rtt);
            tokio::spawn(async move {
                // A connection that fails is the client's affair; the journal has its requests.
                let _ = converse(connection, shared, tls, role, rtt).await;
                drop(place);
            });
        }
    }
}

async fn converse(
    socket: TcpStream,
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    role: Role,
    rtt: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    socket.set_nodelay(true)?;
    let socket = socket.into_std()?;
    let line = Arc::new(Line::new(socket.try_clone().ok()));
    let socket = TcpStream::from_std(socket)?;
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    if rtt.is_zero() {
        let secured = timeout(HANDSHAKE, tls.accept(socket)).await??;
        requests(secured, line, number, shared, role).await
    } else {
        let secured = timeout(HANDSHAKE + rtt * 4, tls.accept(far_away(socket, rtt))).await??;
        requests(secured, line, number, shared, role).await
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    line: Arc<Line>,
    number: u64,
    shared: Arc<Shared>,
    role: Role,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&line)));
    let service =
        service_fn(move |request| serve(request, Arc::clone(&shared), Arc::clone(&line), role.clone(), number));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MOST_HEADER_BYTES)
        .auto_date_header(false)
        .serve_connection(wire, service)
        .await?;
    Ok(())
}
