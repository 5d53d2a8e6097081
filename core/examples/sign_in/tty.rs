//! The terminal behind standard input, switched to single keys without an echo for as long as a [`Tty`] lives.

pub(crate) use system::Tty;

#[cfg(unix)]
mod system {
    use std::io;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::stdio::stdin;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    pub(crate) struct Tty {
        before: Termios,
    }

    impl Tty {
        /// Ctrl-C is a key like any other from here on.
        pub(crate) fn open() -> io::Result<Self> {
            let before = tcgetattr(stdin())?;
            let mut now = before.clone();
            now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
            tcsetattr(stdin(), OptionalActions::Now, &now)?;
            Ok(Self { before })
        }

        /// What was typed, without waiting for more: `None` if nothing was, 0 bytes if the terminal is gone.
        pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            match poll(&mut [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)], Some(&at_once)) {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some(rustix::io::read(stdin(), buffer)?)),
                Err(error) => Err(error.into()),
            }
        }
    }

    impl Drop for Tty {
        fn drop(&mut self) {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    /// There is none here; answers come as lines.
    pub(crate) enum Tty {}

    impl Tty {
        pub(crate) fn open() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn read(&self, _: &mut [u8]) -> io::Result<Option<usize>> {
            match *self {}
        }
    }
}
