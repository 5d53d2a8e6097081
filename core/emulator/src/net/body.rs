//! The bodies of answers: whole ones, and those that end too early, too late or never.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A body.
pub(crate) enum Body {
    /// All there is.
    Whole(Option<Bytes>),
    /// These bytes, then the connection breaks.
    Cut { bytes: Option<Bytes>, is_flushed: bool },
    /// The same chunk over and over.
    Repeat { chunk: Bytes, left: usize },
    /// A blank at a time.
    Drip { every: Duration, next: Pin<Box<Sleep>>, until: Instant },
}

impl Body {
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }

    pub(crate) fn cut(bytes: Vec<u8>) -> Self {
        Self::Cut { bytes: Some(Bytes::from(bytes)), is_flushed: false }
    }

    pub(crate) fn drip(every: Duration, during: Duration) -> Self {
        Self::Drip { every, next: Box::pin(sleep(every)), until: Instant::now() + during }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Cut { bytes, is_flushed } => {
                if let Some(bytes) = bytes.take() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                if !*is_flushed {
                    // One turn for the connection to send what it has, before the error throws that away.
                    *is_flushed = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
            }
            Self::Repeat { left: 0, .. } => Poll::Ready(None),
            Self::Repeat { chunk, left } => {
                let piece = chunk.slice(..chunk.len().min(*left));
                *left -= piece.len();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Drip { every, next, until } => {
                ready!(next.as_mut().poll(cx));
                if Instant::now() >= *until {
                    return Poll::Ready(None);
                }
                *next = Box::pin(sleep_until(Instant::now() + *every));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            _ => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}

/// Wraps bytes in gzip (RFC 1952) without making them smaller, which is all a test needs.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = plain.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(plain).to_le_bytes());
    out.extend(u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_repeated_chunk_adds_up_to_what_was_asked_for() {
        let body = Body::Repeat { chunk: Bytes::from_static(b"abcd"), left: 10 };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdabcdab");
    }

    #[test]
    fn the_check_value_of_crc_32_holds() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
