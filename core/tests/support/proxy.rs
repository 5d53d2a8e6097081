//! An HTTP proxy for tests: it answers `CONNECT` in one way and writes down every byte that a client sends to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a proxy answers.
#[derive(Clone, Copy)]
pub enum Manner {
    /// It opens the tunnel.
    Tunnel,
    /// It says this, and closes.
    Say(&'static str),
}

/// A running proxy.
pub struct ConnectProxy {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What came on one connection.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The request to the proxy.
    pub head: String,
    /// What was sent after it.
    pub sent: Vec<u8>,
}

impl Seen {
    /// The headers of the request to the proxy, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
    }

    /// Whether `text` is anywhere in what came.
    pub fn holds(&self, text: &str) -> bool {
        let all = [self.head.as_bytes(), &self.sent].concat();
        all.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl ConnectProxy {
    /// Runs until the process ends.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                // A connection that breaks is the client's affair.
                std::thread::spawn(move || drop(serve(client, manner, &all)));
            }
        });
        Self { port, seen }
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

fn serve(mut client: TcpStream, manner: Manner, all: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let number = {
        let mut all = lock(all);
        all.push(Seen { head: head.clone(), sent: Vec::new() });
        all.len() - 1
    };
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    match (manner, target) {
        (Manner::Say(text), _) => client.write_all(text.as_bytes()),
        (Manner::Tunnel, None) => client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n"),
        (Manner::Tunnel, Some(target)) => {
            let mut server = TcpStream::connect(target)?;
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
            let mut buffer = [0; 4096];
            loop {
                match client.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => {
                        lock(all)[number].sent.extend_from_slice(&buffer[..length]);
                        server.write_all(&buffer[..length])?;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            server.shutdown(Shutdown::Both)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
