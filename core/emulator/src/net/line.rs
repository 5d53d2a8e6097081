//! A connection's bytes, with two things that HTTP does not offer: saying something before or instead of the answer, and
//! resetting the connection.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The handle on a connection that the code for an answer has.
pub(crate) struct Line {
    say: Mutex<Option<Say>>,
    socket: Option<TcpStream>,
}

struct Say {
    bytes: Bytes,
    mute: Mute,
}

/// What of HTTP's own bytes is swallowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mute {
    Nothing,
    /// What is written until the next flush: one answer without a body.
    ThisAnswer,
    Everything,
}

impl Line {
    /// A handle; `socket` is a second descriptor of the connection's socket.
    pub(crate) fn new(socket: Option<TcpStream>) -> Self {
        Self { say: Mutex::new(None), socket }
    }

    /// Puts bytes before the answer.
    pub(crate) fn say_first(&self, bytes: impl Into<Bytes>) {
        self.say(bytes.into(), Mute::Nothing);
    }

    /// Sends bytes instead of the answer, which must have no body.
    pub(crate) fn say_instead_of_answer(&self, bytes: impl Into<Bytes>) {
        self.say(bytes.into(), Mute::ThisAnswer);
    }

    /// Sends bytes instead of the answer and of all that follows.
    pub(crate) fn say_instead(&self, bytes: impl Into<Bytes>) {
        self.say(bytes.into(), Mute::Everything);
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset_at_end(&self) {
        if let Some(socket) = &self.socket {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }

    fn say(&self, bytes: Bytes, mute: Mute) {
        *self.say.lock().unwrap_or_else(PoisonError::into_inner) = Some(Say { bytes, mute });
    }
}

/// The byte stream under HTTP.
pub(crate) struct Wire<S> {
    inner: S,
    line: Arc<Line>,
    pending: Bytes,
    mute: Mute,
}

impl<S> Wire<S> {
    pub(crate) fn new(inner: S, line: Arc<Line>) -> Self {
        Self { inner, line, pending: Bytes::new(), mute: Mute::Nothing }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(say) = this.line.say.lock().unwrap_or_else(PoisonError::into_inner).take() {
            this.pending = say.bytes;
            this.mute = say.mute;
        }
        while !this.pending.is_empty() {
            let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.pending))?;
            this.pending.advance(written);
        }
        if this.mute != Mute::Nothing {
            return Poll::Ready(Ok(buffer.len()));
        }
        Pin::new(&mut this.inner).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.mute == Mute::ThisAnswer {
            self.mute = Mute::Nothing;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
