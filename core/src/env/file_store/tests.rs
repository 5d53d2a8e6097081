use std::sync::atomic::AtomicBool;
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
        let folder = std::env::temp_dir().join(format!("directauth-file-store-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn folder(&self) -> PathBuf {
        self.0.join("sessions")
    }

    fn open(&self) -> FileStore {
        FileStore::open(self.folder()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> StorageKey {
    StorageKey::parse(name).unwrap()
}

fn blob(bytes: &[u8]) -> Blob {
    Blob::new(bytes.to_vec())
}

fn load(store: &FileStore, name: &str) -> Result<Option<Blob>, StoreProblem> {
    block_on(store.load(&key(name)))
}

fn store(store: &FileStore, name: &str, bytes: &[u8]) -> Result<(), StoreProblem> {
    block_on(store.store(&key(name), &blob(bytes)))
}

fn delete(store: &FileStore, name: &str) -> Result<(), StoreProblem> {
    block_on(store.delete(&key(name)))
}

fn keys(store: &FileStore) -> Vec<String> {
    block_on(store.keys()).unwrap().iter().map(|key| key.as_str().to_owned()).collect()
}

#[test]
fn it_keeps_the_contract() {
    let place = Place::new();
    block_on(contract::check_store(|| place.open())).unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn two_threads_never_read_a_blob_that_is_half_of_one_and_half_of_another() {
    let place = Place::new();
    let first = place.open();
    store(&first, "a", &[0; 4000]).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 1..=2_u8 {
            let (place, done) = (&place, &done);
            scope.spawn(move || {
                let own = place.open();
                for round in 0..40_u8 {
                    let byte = round * 2 + writer;
                    store(&own, "a", &vec![byte; 4000 + 100 * usize::from(byte)]).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        while !done.load(Ordering::Relaxed) {
            let found = load(&first, "a").unwrap().unwrap();
            let byte = found.expose()[0];
            assert!(found.expose().iter().all(|other| *other == byte));
            assert!(byte == 0 || found.expose().len() == 4000 + 100 * usize::from(byte));
            assert_eq!(keys(&first), ["a"]);
        }
    });
    assert_eq!(place.names(), ["directauth-a.blob"]);
}

#[test]
fn files_of_others_and_unfinished_ones_are_not_listed_and_stay() {
    let place = Place::new();
    let opened = place.open();
    store(&opened, "session.1", b"x").unwrap();
    let others = [
        "session.2.blob",
        "directauth-.blob",
        "directauth-session.3",
        "directauth-SESSION.blob",
        "directauth-a b.blob",
        "directauth-session.4.blob.new",
        "directauth-1-2.new",
        "README",
    ];
    for name in others {
        fs::write(place.folder().join(name), b"not ours").unwrap();
    }
    fs::create_dir(place.folder().join("folder")).unwrap();
    assert_eq!(keys(&opened), ["session.1"]);
    delete(&opened, "session.1").unwrap();
    assert_eq!(keys(&place.open()), Vec::<String>::new());
    assert_eq!(place.names().len(), others.len() + 1);
}

#[test]
fn what_a_dead_process_left_unfinished_is_removed_after_an_hour() {
    let place = Place::new();
    store(&place.open(), "a", b"x").unwrap();
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let files = [
        ("directauth-1-1.new", now - hour - Duration::from_secs(60)),
        ("directauth-1-2.new", now - hour + Duration::from_secs(60)),
        ("directauth-1-3.new", now + hour + hour),
        ("somebody-elses.new", now - hour - hour),
        ("directauth-a.blob", now - hour - hour),
    ];
    for (name, changed) in files {
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(place.folder().join(name));
        options.unwrap().set_modified(changed).unwrap();
    }
    let opened = place.open();
    let left = ["directauth-1-2.new", "directauth-1-3.new", "directauth-a.blob", "somebody-elses.new"];
    assert_eq!(place.names(), left);
    assert_eq!(load(&opened, "a"), Ok(Some(blob(b"x"))));
}

#[test]
fn a_name_that_a_dead_process_has_taken_is_passed_over() {
    let place = Place::new();
    let opened = place.open();
    let (first, file) = opened.unfinished().unwrap();
    drop(file);
    let name = first.file_name().unwrap().to_str().unwrap();
    let number: u64 = name.rsplit_once('-').unwrap().1.strip_suffix(UNFINISHED).unwrap().parse().unwrap();
    let taken: Vec<PathBuf> = (1..=20)
        .map(|next| place.folder().join(format!("{PREFIX}{}-{}{UNFINISHED}", std::process::id(), number + next)))
        .collect();
    for path in &taken {
        fs::write(path, b"theirs").unwrap();
    }
    store(&opened, "a", b"ours").unwrap();
    assert_eq!(load(&opened, "a"), Ok(Some(blob(b"ours"))));
    assert!(taken.iter().all(|path| fs::read(path).unwrap() == b"theirs"));
}

#[test]
fn a_write_that_fails_leaves_the_old_blob_and_no_unfinished_file() {
    let place = Place::new();
    let opened = place.open();
    store(&opened, "old", b"stays").unwrap();
    // Something else in the blob's place: the rename fails, whoever runs this.
    fs::create_dir_all(place.folder().join("directauth-a.blob").join("in it")).unwrap();
    assert_eq!(store(&opened, "a", b"new"), Err(StoreProblem::Corrupt));
    assert_eq!(load(&opened, "a"), Err(StoreProblem::Corrupt), "not absent");
    assert_eq!(delete(&opened, "a"), Err(StoreProblem::Corrupt));
    assert_eq!(keys(&opened), ["a", "old"], "what cannot be read is listed");
    assert_eq!(load(&opened, "old"), Ok(Some(blob(b"stays"))));
    assert_eq!(place.names(), ["directauth-a.blob", "directauth-old.blob"]);
}

#[test]
fn a_blob_of_more_than_a_mebibyte_is_neither_stored_nor_read() {
    let place = Place::new();
    let opened = place.open();
    store(&opened, "a", &vec![7; MAX_BLOB]).unwrap();
    assert_eq!(load(&opened, "a").unwrap().unwrap().expose().len(), MAX_BLOB);
    assert_eq!(store(&opened, "a", &vec![8; MAX_BLOB + 1]), Err(StoreProblem::Corrupt));
    assert_eq!(load(&opened, "a").unwrap().unwrap().expose()[0], 7, "the old one is there");

    // Larger than memory, had it been read.
    let huge = OpenOptions::new().write(true).open(place.folder().join("directauth-a.blob")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(load(&opened, "a"), Err(StoreProblem::Corrupt));
    delete(&opened, "a").unwrap();
    assert_eq!(load(&opened, "a"), Ok(None));
}

#[test]
fn a_folder_that_is_gone_is_not_an_empty_one() {
    let place = Place::new();
    let opened = place.open();
    store(&opened, "a", b"x").unwrap();
    let aside = place.0.join("aside");
    fs::rename(place.folder(), &aside).unwrap();
    let gone = || {
        assert_eq!(load(&opened, "a"), Err(StoreProblem::Transient));
        assert_eq!(load(&opened, "b"), Err(StoreProblem::Transient));
        assert_eq!(store(&opened, "b", b"y"), Err(StoreProblem::Transient));
        assert_eq!(delete(&opened, "a"), Err(StoreProblem::Transient));
        assert_eq!(block_on(opened.keys()), Err(StoreProblem::Transient));
    };
    gone();
    fs::write(place.folder(), b"a file").unwrap();
    gone();
    fs::remove_file(place.folder()).unwrap();
    fs::rename(&aside, place.folder()).unwrap();
    assert_eq!(load(&opened, "a"), Ok(Some(blob(b"x"))));
}

#[test]
fn an_empty_place_where_a_volume_was_mounted_is_not_an_empty_store() {
    let place = Place::new();
    let mut opened = place.open();
    opened.volume = opened.volume.wrapping_add(1);
    assert_eq!(load(&opened, "a"), Err(StoreProblem::Transient));
    assert_eq!(store(&opened, "a", b"x"), Err(StoreProblem::Transient));
    assert_eq!(delete(&opened, "a"), Err(StoreProblem::Transient));
    assert_eq!(block_on(opened.keys()), Err(StoreProblem::Transient));
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_file_in_the_folders_place_is_refused() {
    let place = Place::new();
    fs::write(place.folder(), b"a file").unwrap();
    assert_eq!(FileStore::open(place.folder()).unwrap_err(), StoreProblem::Foreign);
    assert_eq!(fs::read(place.folder()).unwrap(), b"a file");
}

#[test]
fn what_errors_say_about_a_blob() {
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::AlreadyExists,
        ErrorKind::WouldBlock,
        ErrorKind::NotADirectory,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::StaleNetworkFileHandle,
        ErrorKind::InvalidInput,
        ErrorKind::TimedOut,
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
        ErrorKind::ResourceBusy,
        ErrorKind::Interrupted,
        ErrorKind::UnexpectedEof,
        ErrorKind::OutOfMemory,
        ErrorKind::Other,
    ] {
        assert_eq!(problem_of(kind), StoreProblem::Transient, "{kind:?}");
    }
    for kind in [ErrorKind::IsADirectory, ErrorKind::InvalidData] {
        assert_eq!(problem_of(kind), StoreProblem::Corrupt, "{kind:?}");
    }
}

#[test]
fn calls_may_block_and_are_ready_at_their_first_poll() {
    let place = Place::new();
    let opened = place.open();
    assert!(opened.may_block());
    let (key, blob) = (key("a"), blob(b"x"));
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(opened.store(&key, &blob).as_mut().poll(&mut context).is_ready());
    assert!(opened.load(&key).as_mut().poll(&mut context).is_ready());
    assert!(opened.keys().as_mut().poll(&mut context).is_ready());
    // Nothing happens to a call that is not polled: the library polls it where it may block.
    drop(opened.delete(&key));
    assert_eq!(place.names(), ["directauth-a.blob"]);
    assert!(opened.delete(&key).as_mut().poll(&mut context).is_ready());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_and_files_are_for_their_owner_alone() {
        let place = Place::new();
        let (outer, inner) = (place.0.join("outer"), place.0.join("outer/inner"));
        let opened = FileStore::open(&inner).unwrap();
        store(&opened, "a", b"x").unwrap();
        assert_eq!((mode(&outer), mode(&inner)), (0o700, 0o700));
        assert_eq!(mode(&inner.join("directauth-a.blob")), 0o600);
        let (path, _file) = opened.unfinished().unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_folder_that_others_can_read_is_closed_and_one_that_they_can_write_is_refused() {
        for (before, after) in [(0o700, Some(0o700)), (0o755, Some(0o700)), (0o750, Some(0o700)), (0o701, Some(0o700))]
        {
            let place = Place::new();
            fs::create_dir(place.folder()).unwrap();
            set_mode(&place.folder(), before);
            assert_eq!(FileStore::open(place.folder()).ok().map(|opened| mode(&opened.folder)), after, "{before:o}");
        }
        for before in [0o770, 0o775, 0o777, 0o1777, 0o702, 0o720] {
            let place = Place::new();
            fs::create_dir(place.folder()).unwrap();
            set_mode(&place.folder(), before);
            assert_eq!(FileStore::open(place.folder()).unwrap_err(), StoreProblem::Foreign, "{before:o}");
            assert_eq!(mode(&place.folder()), before, "it may be meant to be shared");
        }
    }

    #[test]
    fn a_link_in_the_folders_place_is_refused_however_it_is_written() {
        let place = Place::new();
        let target = place.0.join("target");
        fs::create_dir(&target).unwrap();
        set_mode(&target, 0o755);
        symlink(&target, place.folder()).unwrap();
        symlink(place.0.join("nowhere"), place.0.join("dangling")).unwrap();
        let with_slash = format!("{}/", place.folder().display());
        let with_dot = format!("{}/.", place.folder().display());
        for path in [place.folder(), with_slash.into(), with_dot.into(), place.0.join("dangling")] {
            assert_eq!(FileStore::open(&path).unwrap_err(), StoreProblem::Foreign, "{path:?}");
        }
        assert_eq!(mode(&target), 0o755);
        assert!(!place.0.join("nowhere").exists());
    }

    #[test]
    fn a_link_in_a_blobs_place_is_not_followed_and_a_store_replaces_it() {
        let place = Place::new();
        let opened = place.open();
        let target = place.0.join("target");
        fs::write(&target, b"not a blob").unwrap();
        symlink(&target, place.folder().join("directauth-a.blob")).unwrap();
        assert_eq!(load(&opened, "a"), Err(StoreProblem::Corrupt));
        store(&opened, "a", b"x").unwrap();
        assert_eq!(load(&opened, "a"), Ok(Some(blob(b"x"))));
        assert_eq!(fs::read(&target).unwrap(), b"not a blob");
    }

    #[test]
    fn a_pipe_in_a_blobs_place_does_not_block() {
        let place = Place::new();
        let opened = place.open();
        let pipe = place.folder().join("directauth-a.blob");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(load(&opened, "a"), Err(StoreProblem::Corrupt));
        delete(&opened, "a").unwrap();
        assert_eq!(load(&opened, "a"), Ok(None));
    }

    #[test]
    fn a_blob_is_replaced_by_another_file_never_written_in_place() {
        let place = Place::new();
        let opened = place.open();
        store(&opened, "a", b"old").unwrap();
        let path = place.folder().join("directauth-a.blob");
        // Held open: its number is not given to another file meanwhile.
        let (mut old, number) = (File::open(&path).unwrap(), fs::metadata(&path).unwrap().ino());
        store(&opened, "a", b"new").unwrap();
        assert_ne!(fs::metadata(&path).unwrap().ino(), number);
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
    }
}
