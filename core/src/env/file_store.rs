//! Blobs as files of a folder, in plain text (docs/sessions.md §3–§4).

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::{Blob, BoxFuture, StorageKey, TokenStore};
use crate::error::StoreProblem;

/// Keeps blobs in **plain text**, one file each, in a folder: for desktop tools and tests.
///
/// The only protection is that folder and files are open to their owner alone: every program that the user runs can read
/// the sessions, and so can whoever gets a backup or the disk. The bytes of a deleted blob may stay on the disk. An app
/// uses the platform's secure storage instead.
///
/// Several processes may use one folder at once. Files with other names are left alone. The folder belongs on a local disk:
/// network file systems do not promise that a file is replaced whole, or is there after a crash.
///
/// A folder that was removed, or whose volume was unmounted, is [`StoreProblem::Transient`], never empty. So is a refused
/// permission, because neither says anything about the blob. [`StoreProblem::Corrupt`]: something other than a file is in a
/// blob's place, or the blob is larger than 1 MiB; such a blob is not stored either. An error of `store` after which the new
/// blob is there is possible: it may not be durable.
///
/// On Windows the permissions are those of the folder that this one is made in (the user's profile has the right ones), and
/// there is no way to wait until the folder itself is on the disk: a blob may be the old one again after a power failure.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
    volume: u64,
}

/// A blob's file is `directauth-<key>.blob`. Between two fixed parts a key is never a device's name (`nul`), a way up
/// (`..`) or a name whose last dot is dropped.
const PREFIX: &str = "directauth-";
const BLOB: &str = ".blob";
/// A blob that is being written: `directauth-<process>-<number>.new`.
const UNFINISHED: &str = ".new";
/// Nothing is written for so long: its process died.
const LEFT_OVER: Duration = Duration::from_secs(3600);
/// Twice of what the library writes.
const MAX_BLOB: usize = 1024 * 1024;
/// A name is taken only by a dead process of the same number, or by one that counts its processes apart from us.
const MAX_NAMES: usize = 1000;

impl FileStore {
    /// Opens the store in `folder`, which is created if it is not there, with the folders above it, for the owner alone.
    /// Files that dead processes left unfinished are removed.
    ///
    /// A folder that others can read is closed to them. One that others (the group included) can write to is refused, as
    /// are a symbolic link and a file: what is in it may be somebody else's, and the folder may be one that is meant to be
    /// shared. So let `open` create a folder of its own.
    ///
    /// # Errors
    /// [`StoreProblem::Foreign`]: the folder is refused. [`StoreProblem::Transient`]: it cannot be created or looked at.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreProblem> {
        // The same folder wherever the process goes. Its components, because a slash at the end would follow a link.
        let folder: PathBuf = std::path::absolute(folder.into()).map_err(problem)?.components().collect();
        create(&folder).map_err(problem)?;
        let found = close_to_others(&folder)?;
        let store = Self { folder, volume: volume(&found) };
        store.sweep();
        Ok(store)
    }

    fn read(&self, key: &StorageKey) -> Result<Option<Blob>, StoreProblem> {
        let path = self.path(key);
        let mut file = match private(OpenOptions::new().read(true)).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.is_there().map(|()| None),
            Err(error) => return Err(problem_at(&path, &error)),
        };
        let found = file.metadata().map_err(problem)?;
        let length = usize::try_from(found.len()).ok().filter(|length| *length <= MAX_BLOB && found.is_file());
        // Allocated once: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(vec![0; length.ok_or(StoreProblem::Corrupt)?]);
        file.read_exact(&mut bytes).map_err(problem)?;
        Ok(Some(Blob::new(core::mem::take(&mut *bytes))))
    }

    fn write(&self, key: &StorageKey, blob: &Blob) -> Result<(), StoreProblem> {
        if blob.expose().len() > MAX_BLOB {
            return Err(StoreProblem::Corrupt);
        }
        self.is_there()?;
        let path = self.path(key);
        let (unfinished, mut file) = self.unfinished()?;
        // EXPOSE: written to the file, in plain text as the type says.
        let written = file.write_all(blob.expose()).and_then(|()| file.sync_all());
        drop(file);
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            let _ = fs::remove_file(&unfinished);
            return Err(problem_at(&path, &error));
        }
        sync_folder(&self.folder).map_err(problem)
    }

    fn remove(&self, key: &StorageKey) -> Result<(), StoreProblem> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => self.is_there()?,
            Err(error) => return Err(problem_at(&path, &error)),
        }
        // Also if it was absent: who removed it may have died before this.
        sync_folder(&self.folder).map_err(problem)
    }

    fn list(&self) -> Result<Vec<StorageKey>, StoreProblem> {
        // A set: a file that is replaced meanwhile may be seen twice.
        let mut keys = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(problem)? {
            keys.extend(entry.map_err(problem)?.file_name().to_str().and_then(key_of));
        }
        self.is_there()?;
        Ok(keys.into_iter().collect())
    }

    fn path(&self, key: &StorageKey) -> PathBuf {
        self.folder.join(format!("{PREFIX}{}{BLOB}", key.as_str()))
    }

    /// Whether this is the folder that was opened: an empty place where a volume was mounted is not an empty store.
    fn is_there(&self) -> Result<(), StoreProblem> {
        let found = fs::symlink_metadata(&self.folder).map_err(problem)?;
        if found.is_dir() && volume(&found) == self.volume { Ok(()) } else { Err(StoreProblem::Transient) }
    }

    /// A new file under a name that no blob has, and no other process takes.
    fn unfinished(&self) -> Result<(PathBuf, File), StoreProblem> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        for _ in 0..MAX_NAMES {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.folder.join(format!("{PREFIX}{}-{number}{UNFINISHED}", std::process::id()));
            match private(OpenOptions::new().write(true).create_new(true)).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(problem(error)),
            }
        }
        Err(StoreProblem::Transient)
    }

    /// Removes what dead processes left unfinished; what cannot be removed now is left for the next time.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.map_while(Result::ok) {
            let age = || SystemTime::now().duration_since(entry.metadata().ok()?.modified().ok()?).ok();
            if entry.file_name().to_str().is_some_and(is_unfinished) && age().is_some_and(|age| age > LEFT_OVER) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl TokenStore for FileStore {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        Box::pin(async move { self.read(key) })
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async move { self.write(key, blob) })
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async move { self.remove(key) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(async move { self.list() })
    }
}

fn key_of(name: &str) -> Option<StorageKey> {
    StorageKey::parse(name.strip_prefix(PREFIX)?.strip_suffix(BLOB)?)
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(UNFINISHED)
}

/// What an error of the operating system says about a blob. Permanent problems invite the app to discard the blob, so
/// whatever may pass is temporary: a full or read-only disk, and a refused permission too (not [`StoreProblem::Locked`]:
/// no unlocking of the device gives it).
fn problem_of(kind: ErrorKind) -> StoreProblem {
    match kind {
        ErrorKind::IsADirectory | ErrorKind::InvalidData => StoreProblem::Corrupt,
        _ => StoreProblem::Transient,
    }
}

fn problem(error: io::Error) -> StoreProblem {
    problem_of(error.kind())
}

/// The same for a call on a blob's file: systems differ in what they say about a link or a folder in its place.
fn problem_at(path: &Path, error: &io::Error) -> StoreProblem {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => StoreProblem::Corrupt,
        _ => problem_of(error.kind()),
    }
}

/// Creates `folder` and those above it, for the owner alone, and waits until they are on the disk.
fn create(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| fs::symlink_metadata(above).is_err()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    for above in missing.iter().filter_map(|made| made.parent()) {
        // The outermost one is not ours, and may be closed to readers.
        let _ = sync_folder(above);
    }
    Ok(())
}

/// Looks at what is in the place of the folder, and closes it to readers.
fn close_to_others(folder: &Path) -> Result<Metadata, StoreProblem> {
    let found = fs::symlink_metadata(folder).map_err(problem)?;
    if !found.is_dir() {
        return Err(StoreProblem::Foreign);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open_to_others = |found: &Metadata| found.permissions().mode() & 0o077;
        if open_to_others(&found) & 0o022 != 0 {
            return Err(StoreProblem::Foreign);
        }
        if open_to_others(&found) != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|_| StoreProblem::Foreign)?;
            // Some file systems say yes and change nothing.
            let found = fs::symlink_metadata(folder).map_err(problem)?;
            return if open_to_others(&found) == 0 { Ok(found) } else { Err(StoreProblem::Foreign) };
        }
    }
    Ok(found)
}

/// Files for the owner alone. A link at the end of the path is not followed, and a pipe in a file's place does not block.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    options
}

#[cfg(unix)]
fn volume(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(found)
}

#[cfg(not(unix))]
fn volume(_: &Metadata) -> u64 {
    0
}

/// Waits until the names in `folder` are on the disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems cannot, and need not.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
