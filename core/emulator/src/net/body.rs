//! The bodies of answers: whole ones, and those that end too early, too late or never.

use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;
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
    /// What comes, as it comes.
    Live(mpsc::Receiver<Bytes>),
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
            Self::Live(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
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
    let mut out = GZIP_HEADER.to_vec();
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
    out.extend(crc32(plain.iter().copied()).to_le_bytes());
    out.extend(u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

/// How many blanks a bomb is.
const BOMB: usize = 16 * 1024 * 1024;
static BOMB_BYTES: OnceLock<Vec<u8>> = OnceLock::new();

/// 16 MiB of blanks in gzip, which takes some 100 KiB. Made when it is first asked for.
pub(crate) fn gzip_bomb() -> &'static [u8] {
    BOMB_BYTES.get_or_init(|| gzip_of_blanks(BOMB))
}

/// Blanks compressed as far as one block with fixed codes goes (RFC 1951 §3.2.6): a blank, then copies of 258 bytes from
/// one byte before, then the rest one by one.
fn gzip_of_blanks(count: usize) -> Vec<u8> {
    // Huffman codes go in with their first bit first: written here from left to right.
    const LAST_FIXED_BLOCK: &[u8] = &[1, 1, 0];
    const BLANK: &[u8] = &[0, 1, 0, 1, 0, 0, 0, 0];
    const COPY_258_FROM_1_BEFORE: &[u8] = &[1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    const END: &[u8] = &[0; 7];
    let after_first = count.saturating_sub(1);
    let blanks = 1 + after_first % 258;
    let codes = std::iter::once(LAST_FIXED_BLOCK)
        .chain(std::iter::repeat_n(BLANK, blanks.min(count)))
        .chain(std::iter::repeat_n(COPY_258_FROM_1_BEFORE, after_first / 258))
        .chain(std::iter::once(END));
    let mut out = GZIP_HEADER.to_vec();
    let (mut byte, mut filled) = (0u8, 0u32);
    for bit in codes.flatten() {
        byte |= bit << filled;
        filled += 1;
        if filled == 8 {
            out.push(byte);
            (byte, filled) = (0, 0);
        }
    }
    if filled > 0 {
        out.push(byte);
    }
    out.extend(crc32(std::iter::repeat_n(b' ', count)).to_le_bytes());
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    out
}

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
    let table: [u32; 256] =
        std::array::from_fn(|index| (0..8).fold(u32::try_from(index).unwrap_or(0), |crc, _| step(crc)));
    !bytes.fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ table.get(usize::from(low ^ byte)).copied().unwrap_or_default()
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

    /// Each was unpacked by another program.
    #[test]
    fn blanks_are_packed_as_the_format_has_it() {
        for (count, packed) in [
            (1, "1f8b08000000000000ff53000045cf6ce901000000"),
            (2, "1f8b08000000000000ff53500000951633ef02000000"),
            (259, "1f8b08000000000000ff5318050081a850b903010000"),
            (260, "1f8b08000000000000ff53501805005b2c6a7304010000"),
            (517, "1f8b08000000000000ff531805a300007e88aef905020000"),
        ] {
            assert_eq!(data_encoding::HEXLOWER.encode(&gzip_of_blanks(count)), packed, "{count}");
        }
    }

    #[test]
    fn the_check_value_of_crc_32_holds() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
    }
}
