use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use futures_executor::block_on;

use super::*;
use crate::contract;

/// A folder of one test, removed afterwards.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("directauth-file-lock-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn lock(&self) -> FileLock {
        FileLock::new(self.path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(30);

fn acquire(lock: &FileLock, timeout: Duration) -> Result<(), LockProblem> {
    block_on(lock.acquire(timeout))
}

fn release(lock: &FileLock) {
    block_on(lock.release());
}

#[test]
fn it_keeps_the_contract() {
    let place = Place::new();
    block_on(contract::check_lock(|| place.lock())).unwrap();
    assert!(place.path().exists(), "the file is never deleted");
    assert_eq!(fs::read(place.path()).unwrap(), b"");
}

#[test]
fn nothing_is_touched_before_it_is_acquired() {
    let place = Place::new();
    let lock = place.lock();
    drop(lock.acquire(LONG));
    release(&lock);
    assert!(!lock.still_held());
    assert!(!place.path().exists());
}

#[test]
fn two_on_one_file_exclude_each_other_until_one_is_released_or_dropped() {
    let place = Place::new();
    let (one, other) = (place.lock(), place.lock());
    assert_eq!(acquire(&one, Duration::ZERO), Ok(()), "a free lock needs no time");
    assert_eq!(acquire(&other, Duration::ZERO), Err(LockProblem::TimedOut));
    assert_eq!(acquire(&other, SHORT), Err(LockProblem::TimedOut));
    drop(one);
    assert_eq!(acquire(&other, SHORT), Ok(()));
}

#[test]
fn who_waits_gets_it_when_it_is_released() {
    let place = Place::new();
    let (one, other) = (place.lock(), place.lock());
    acquire(&one, LONG).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| acquire(&other, LONG));
        thread::sleep(SHORT);
        assert!(!waiting.is_finished());
        release(&one);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    });
    assert!(other.still_held());
    assert!(!one.still_held());
}

#[test]
fn acquiring_what_it_holds_itself_times_out_and_takes_nothing_away() {
    let place = Place::new();
    let lock = place.lock();
    acquire(&lock, LONG).unwrap();
    assert_eq!(acquire(&lock, SHORT), Err(LockProblem::TimedOut));
    assert!(lock.still_held());
}

#[test]
fn a_timeout_without_end_is_none() {
    let place = Place::new();
    assert_eq!(acquire(&place.lock(), Duration::MAX), Ok(()));
}

#[test]
fn a_folder_that_is_not_there_fails_at_once() {
    let place = Place::new();
    let lock = FileLock::new(place.0.join("nowhere").join("lock"));
    assert_eq!(acquire(&lock, LONG), Err(LockProblem::Failed));
    assert!(!lock.still_held());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_lock_whose_file_was_deleted_or_replaced_is_lost() {
        let place = Place::new();
        let (one, other) = (place.lock(), place.lock());
        acquire(&one, LONG).unwrap();
        fs::remove_file(place.path()).unwrap();
        assert!(!one.still_held(), "another process may lock a new file");
        acquire(&other, SHORT).unwrap();
        assert!(!one.still_held());
        assert!(other.still_held());
        release(&one);
        assert!(other.still_held(), "it releases the old file");
        assert_eq!(acquire(&place.lock(), SHORT), Err(LockProblem::TimedOut));
    }

    #[test]
    fn a_file_that_was_replaced_while_it_was_locked_does_not_count() {
        let place = Place::new();
        let opened = OpenOptions::new().write(true).create_new(true).open(place.path()).unwrap();
        assert!(is_at(&opened, &place.path()));
        fs::remove_file(place.path()).unwrap();
        assert!(!is_at(&opened, &place.path()));
        fs::write(place.path(), b"").unwrap();
        assert!(!is_at(&opened, &place.path()));
    }

    #[test]
    fn a_link_is_not_followed() {
        let place = Place::new();
        let target = place.0.join("target");
        symlink(&target, place.path()).unwrap();
        assert_eq!(acquire(&place.lock(), LONG), Err(LockProblem::Failed));
        assert!(!target.exists());
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        let place = Place::new();
        acquire(&place.lock(), LONG).unwrap();
        assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_forked_child_that_lives_on_does_not_keep_what_was_released() {
        let place = Place::new();
        let lock = place.lock();
        acquire(&lock, LONG).unwrap();
        // What a child that was forked has: another name for the same open file.
        let copy = lock.with(|held| held.as_ref().unwrap().try_clone().unwrap());
        release(&lock);
        assert_eq!(acquire(&place.lock(), SHORT), Ok(()));
        drop(copy);
    }
}

/// Names the file that the other process is to lock.
const PATH: &str = "DIRECTAUTH_TEST_LOCK";

/// Not a test of its own but the other process of the next one: holds the lock until it is killed.
#[test]
fn the_other_process() {
    let Ok(path) = std::env::var(PATH) else { return };
    let lock = FileLock::new(&path);
    acquire(&lock, LONG).unwrap();
    fs::write(format!("{path}.held"), b"").unwrap();
    thread::sleep(LONG);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_excludes_this_one_until_it_dies() {
    let place = Place::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "env::file_lock::tests::the_other_process"]).env(PATH, place.path());
    let other = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    while !place.0.join("lock.held").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    let lock = place.lock();
    assert_eq!(acquire(&lock, SHORT), Err(LockProblem::TimedOut));
    drop(other);
    assert_eq!(acquire(&lock, LONG), Ok(()));
}
