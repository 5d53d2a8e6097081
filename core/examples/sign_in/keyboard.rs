//! Keys one at a time, and lines with or without an echo.
//!
//! The terminal is switched over only while somebody is asked, and back when the [`Keyboard`] is dropped, however that
//! comes about. What was typed is wiped.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Instant;

use zeroize::{Zeroize, Zeroizing};

use crate::page::Page;
use crate::stop::Stop;
use crate::tty::Tty;

/// How often the keys are looked at; unnoticeable to a typist.
const LOOK: Duration = Duration::from_millis(20);
/// More than any password, and room from the start, so that the text never moves and leaves a copy behind.
const LONGEST_LINE: usize = 1024;

/// What was pressed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Backspace,
    ClearLine,
    /// Ctrl-C or Ctrl-D.
    Leave,
}

/// The keys, as they are pressed.
pub(crate) struct Keyboard {
    tty: Tty,
    /// Read, and not yet told as keys.
    bytes: VecDeque<u8>,
}

impl Keyboard {
    pub(crate) fn open() -> Result<Self, Stop> {
        let tty = Tty::open().map_err(|error| Stop::Failed(format!("the terminal cannot be used: {error}")))?;
        Ok(Self { tty, bytes: VecDeque::with_capacity(LONGEST_LINE) })
    }

    /// The next key, or `None` when `limit` is over.
    pub(crate) async fn key(&mut self, limit: Duration) -> Result<Option<Key>, Stop> {
        let start = Instant::now();
        loop {
            if let Some(key) = self.decode() {
                return Ok(Some(key));
            }
            if !self.read()? {
                if start.elapsed() >= limit {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// A line, shown as it is typed unless `hidden`.
    pub(crate) async fn line(&mut self, page: Page, prompt: &str, hidden: bool) -> Result<Zeroizing<String>, Stop> {
        page.show(prompt);
        let mut line = Zeroizing::new(String::with_capacity(LONGEST_LINE));
        loop {
            match self.key(Duration::MAX).await? {
                Some(Key::Enter) => break,
                Some(Key::Leave) => {
                    page.line("");
                    return Err(Stop::Left);
                }
                Some(Key::Char(c)) if line.len() + c.len_utf8() <= LONGEST_LINE => {
                    line.push(c);
                    if !hidden {
                        page.show(c.encode_utf8(&mut [0; 4]));
                    }
                }
                Some(Key::Backspace) => {
                    let erased = line.pop().is_some();
                    page.show(if erased && !hidden { "\u{8} \u{8}" } else { "" });
                }
                Some(Key::ClearLine) => {
                    if !hidden {
                        page.show(&"\u{8} \u{8}".repeat(line.chars().count()));
                    }
                    line.clear();
                }
                _ => {}
            }
        }
        page.line("");
        Ok(line)
    }

    /// Takes what the terminal has. False if there is nothing.
    fn read(&mut self) -> Result<bool, Stop> {
        let mut buffer = Zeroizing::new([0; 64]);
        match self.tty.read(buffer.as_mut_slice()) {
            Ok(None) => Ok(false),
            Ok(Some(0)) => Err(Stop::Left),
            Ok(Some(n)) => {
                self.bytes.extend(buffer.iter().take(n));
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(false),
            Err(_) => Err(Stop::Left),
        }
    }

    /// The next key of the bytes that were read; what means nothing here is skipped.
    fn decode(&mut self) -> Option<Key> {
        loop {
            let first = *self.bytes.front()?;
            let length = match first {
                0x1b => self.escape_sequence(),
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 1,
            };
            if self.bytes.len() < length {
                return None; // the rest of a character is on its way
            }
            let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(self.bytes.drain(..length).collect());
            match first {
                b'\r' | b'\n' => return Some(Key::Enter),
                0x03 | 0x04 => return Some(Key::Leave),
                0x08 | 0x7f => return Some(Key::Backspace),
                0x15 => return Some(Key::ClearLine),
                0..0x20 => {}
                _ => {
                    if let Some(c) = core::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()) {
                        return Some(Key::Char(c));
                    }
                }
            }
        }
    }

    /// The length of an arrow or function key at the front.
    fn escape_sequence(&self) -> usize {
        match self.bytes.get(1) {
            Some(b'[' | b'O') => {
                let end = self.bytes.iter().skip(2).position(|byte| (0x40..=0x7e).contains(byte));
                end.map_or(self.bytes.len(), |at| at + 3)
            }
            _ => 1,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.bytes.make_contiguous().zeroize();
    }
}
