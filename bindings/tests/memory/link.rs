//! The pipes between parent and child.
//!
//! Secrets go down in frames that the child reads without a buffer in between; questions, news and tokens come up.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use directauth::Secret;

use crate::Failure;

/// The argument by which the test knows that it is the child.
pub(crate) const CHILD: &str = "--child";
/// A child that says nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(60);

const ASK: u8 = 1;
const REACHED: u8 = 2;
const TELL: u8 = 3;

/// What a child says.
pub(crate) enum News {
    /// It wants this from the user.
    Ask(String),
    /// It stands still here until [`Watched::go_on`].
    Reached(String),
    /// A token that it got.
    Tell(String),
    /// It ended, perhaps with words.
    Ended(String),
}

/// The child's end.
pub(crate) struct Link {
    down: File,
    up: File,
}

impl Link {
    pub(crate) fn open() -> io::Result<Self> {
        let down = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let up = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { down, up })
    }

    /// Gets one thing; it is read straight into the buffer that the secret then owns.
    pub(crate) fn ask(&self, what: &str) -> Result<Secret, Failure> {
        self.say(ASK, what)?;
        let mut length = [0; 4];
        (&self.down).read_exact(&mut length)?;
        let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(length))?];
        (&self.down).read_exact(&mut bytes)?;
        Ok(Secret::new(String::from_utf8(bytes).map_err(|_| "not UTF-8")?))
    }

    /// Stands still until the parent has looked.
    pub(crate) fn reached(&self, place: &str) -> Result<(), Failure> {
        self.announce(place)?;
        self.wait_for_go()
    }

    pub(crate) fn announce(&self, place: &str) -> Result<(), Failure> {
        self.say(REACHED, place)
    }

    pub(crate) fn wait_for_go(&self) -> Result<(), Failure> {
        Ok((&self.down).read_exact(&mut [0])?)
    }

    pub(crate) fn tell(&self, token: &Secret) -> Result<(), Failure> {
        self.say(TELL, token.expose())
    }

    fn say(&self, tag: u8, text: &str) -> Result<(), Failure> {
        let [a, b, c, d] = u32::try_from(text.len())?.to_le_bytes();
        (&self.up).write_all(&[tag, a, b, c, d])?;
        Ok((&self.up).write_all(text.as_bytes())?)
    }
}

/// The parent's end. The child does not outlive it.
pub(crate) struct Watched {
    child: Child,
    down: ChildStdin,
    news: Receiver<News>,
}

impl Watched {
    pub(crate) fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let down = child.stdin.take().ok_or("no pipe")?;
        let mut up = child.stdout.take().ok_or("no pipe")?;
        let (send, news) = channel();
        std::thread::spawn(move || {
            loop {
                let next = hear(&mut up);
                let is_last = matches!(next, News::Ended(_));
                if send.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { child, down, news })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn next(&self) -> Result<News, Failure> {
        self.news.recv_timeout(SILENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("the child says nothing for {SILENCE:?}").into(),
            RecvTimeoutError::Disconnected => "the child is gone".into(),
        })
    }

    /// Reads on until the child stands still at `place`.
    pub(crate) fn until(&self, place: &str) -> Result<(), Failure> {
        match self.next()? {
            News::Reached(here) if here == place => Ok(()),
            News::Reached(other) => Err(format!("reached {other} instead of {place}").into()),
            News::Ended(words) => Err(format!("the child ended: {words}").into()),
            News::Ask(_) | News::Tell(_) => Err(format!("asked or told something before {place}").into()),
        }
    }

    pub(crate) fn answer(&mut self, text: &str) -> Result<(), Failure> {
        self.down.write_all(&u32::try_from(text.len())?.to_le_bytes())?;
        Ok(self.down.write_all(text.as_bytes())?)
    }

    pub(crate) fn go_on(&mut self) -> Result<(), Failure> {
        Ok(self.down.write_all(&[1])?)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next frame, or whatever else the child printed until its end.
fn hear(up: &mut impl Read) -> News {
    let mut head = [0; 5];
    if up.read_exact(&mut head).is_err() {
        return News::Ended(String::new());
    }
    let [tag, a, b, c, d] = head;
    let make: fn(String) -> News = match tag {
        ASK => News::Ask,
        REACHED => News::Reached,
        TELL => News::Tell,
        _ => {
            let mut words = head.to_vec();
            let _ = up.read_to_end(&mut words);
            return News::Ended(String::from_utf8_lossy(&words).trim().to_owned());
        }
    };
    let mut text = vec![0; usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0)];
    if up.read_exact(&mut text).is_err() {
        return News::Ended(String::new());
    }
    make(String::from_utf8_lossy(&text).into_owned())
}
