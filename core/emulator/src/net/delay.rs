//! Distance: bytes arrive half a round trip after they were sent, in both directions, whatever they are.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const BUFFER: usize = 64 * 1024;
const CHUNKS_UNDERWAY: usize = 64;

/// The server's end of a connection whose other end is far away.
pub(crate) fn far_away(socket: TcpStream, rtt: Duration) -> DuplexStream {
    let (here, there) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        let (from_client, to_client) = socket.into_split();
        let (from_server, to_server) = tokio::io::split(there);
        let inbound = async {
            carry(from_client, to_server, rtt / 2).await;
            std::future::pending::<()>().await;
        };
        // Once the server has closed and the client has all of it, nothing is left to carry.
        tokio::select! {
            () = carry(from_server, to_client, rtt / 2) => {}
            () = inbound => {}
        }
    });
    here
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_UNDERWAY);
    let read = async move {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            if send.send((Instant::now() + delay, chunk)).await.is_err() {
                break;
            }
        }
        drop(send);
        std::future::pending::<()>().await;
    };
    let write = async move {
        while let Some((due, chunk)) = receive.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
