//! A lock on a file, which the operating system frees when its holder dies (docs/sessions.md §8).

use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::file_store::private;
use super::{BoxFuture, CrossProcessLock, LockProblem};

/// A lock on a file that all processes of one store name alike, in a folder that they share.
///
/// Two of them on one path exclude each other, in one process too. The file is created when it is first needed, stays
/// empty and is never deleted. Should somebody else delete or replace it, [`still_held`](CrossProcessLock::still_held) says
/// no from then on, because another process may have locked the new one. A symbolic link is not followed.
///
/// The folder has to be on a local disk, and other users must not be able to write to it. Network file systems lock each
/// machine for itself, or lose locks. A child process that was forked and runs no other program keeps the lock of a parent
/// that died.
///
/// **iOS** kills an app that is suspended while it holds a lock on a file in a shared container. There an app wraps this in
/// a lock of its own: `acquire` begins `performExpiringActivity`, and its expiry calls `release`, before the process is
/// suspended. `release` does not stop an `acquire` that is still waiting.
///
/// `acquire` blocks the thread that polls it, until it has the lock or its time is over.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    held: Mutex<Option<File>>,
}

/// Between two looks at a lock that another process holds, which it does for a whole refresh.
const PAUSE: Duration = Duration::from_millis(10);

impl FileLock {
    /// The lock on the file at `path`, whose folder has to be there when it is acquired. Touches no file yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // The same file wherever the process goes; if that cannot be known, as it was given.
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, held: Mutex::default() }
    }

    fn take(&self, timeout: Duration) -> Result<(), LockProblem> {
        let start = Instant::now();
        loop {
            if let Some(file) = locked(&self.path).map_err(|_| LockProblem::Failed)? {
                self.with(|held| *held = Some(file));
                return Ok(());
            }
            match timeout.checked_sub(start.elapsed()) {
                None | Some(Duration::ZERO) => return Err(LockProblem::TimedOut),
                Some(left) => std::thread::sleep(left.min(PAUSE)),
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<File>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CrossProcessLock for FileLock {
    fn acquire(&self, timeout: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        Box::pin(async move { self.take(timeout) })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(file) = self.with(Option::take) {
                // Closing alone would leave it to a child process that was forked meanwhile.
                let _ = unlock(&file);
            }
        })
    }

    fn still_held(&self) -> bool {
        self.with(|held| held.as_ref().is_some_and(|file| is_at(file, &self.path)))
    }
}

/// The file, locked; `None` if somebody else has it. Opened anew each time: what was at the path may have been replaced.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // On Windows, not to be deleted while it is open: read and write are shared, deleting is not.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0x1 | 0x2);
    let file = private(&mut options).open(path)?;
    // A file that was deleted before it was locked excludes nobody.
    Ok((try_lock(&file)? && is_at(&file, path)).then_some(file))
}

/// Whether `file` is what others find at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Not the standard library's, which does nothing on Android before Rust 1.98.
#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?)
}

#[cfg(not(unix))]
fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

#[cfg(test)]
mod tests;
