use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_executor::block_on;

use super::*;
use crate::env::MemoryStore;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    AbsentIsAnError,
    AbsentIsEmpty,
    EmptyIsRefused,
    EmptyIsAbsent,
    EndsAtZeroByte,
    KeepsAtMost4096,
    LoadTakesAway,
    KeepsTheTail,
    Appends,
    TheFirstStays,
    ListsNothing,
    ListsTwice,
    ListsDeleted,
    ListsWhatWasLookedFor,
    DeletesNothing,
    DeletesAll,
    DeletesForGood,
    DeletesAbsentWithError,
    DeletesByPrefix,
    ShortensKeys,
    MixesDotAndDash,
    RefusesDots,
    LivesInTheHandle,
    DeletesInTheHandle,
    CachesBlobs,
    CachesKeys,
    LosesUpdates,
    Tears,
    HasAGap,
    IsLate,
    LeavesSomething,
}

type Blobs = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Place {
    blobs: Mutex<Blobs>,
    /// Whatever else a broken store remembers.
    names: Mutex<BTreeSet<String>>,
}

/// A store over shared memory, broken in one way.
struct Broken {
    fault: Fault,
    place: Arc<Place>,
    cached_blobs: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    cached_keys: Mutex<Option<Vec<String>>>,
    hidden: Mutex<BTreeSet<String>>,
}

impl Broken {
    fn open(fault: Fault, place: &Arc<Place>) -> Self {
        let place = if fault == Fault::LivesInTheHandle { Arc::default() } else { Arc::clone(place) };
        Self { fault, place, cached_blobs: Mutex::default(), cached_keys: Mutex::default(), hidden: Mutex::default() }
    }

    fn blobs(&self) -> MutexGuard<'_, Blobs> {
        self.place.blobs.lock().unwrap()
    }

    fn name(&self, key: &StorageKey) -> String {
        match self.fault {
            Fault::ShortensKeys => key.as_str().chars().take(63).collect(),
            Fault::MixesDotAndDash => key.as_str().replace('.', "-"),
            _ => key.as_str().to_owned(),
        }
    }

    async fn read(&self, key: &StorageKey) -> Result<Option<Vec<u8>>, StoreProblem> {
        let name = self.name(key);
        if self.fault == Fault::IsLate {
            later(1, async {}).await;
        }
        if self.hidden.lock().unwrap().contains(&name) {
            return Ok(None);
        }
        let mut found = self.blobs().get(&name).cloned();
        match self.fault {
            Fault::AbsentIsAnError if found.is_none() => return Err(StoreProblem::KeyMissing),
            Fault::AbsentIsEmpty if found.is_none() => found = Some(Vec::new()),
            Fault::EmptyIsAbsent => found = found.filter(|bytes| !bytes.is_empty()),
            Fault::EndsAtZeroByte => {
                found = found.map(|bytes| bytes.into_iter().take_while(|byte| *byte != 0).collect());
            }
            Fault::LoadTakesAway => drop(self.blobs().remove(&name)),
            Fault::ListsWhatWasLookedFor => drop(self.place.names.lock().unwrap().insert(name)),
            Fault::CachesBlobs => found = self.cached_blobs.lock().unwrap().entry(name).or_insert(found).clone(),
            _ => {}
        }
        Ok(found)
    }

    async fn write(&self, key: &StorageKey, bytes: &[u8]) -> Result<(), StoreProblem> {
        let (name, mut bytes) = (self.name(key), bytes.to_vec());
        let old = self.blobs().get(&name).cloned();
        match self.fault {
            Fault::EmptyIsRefused if bytes.is_empty() => return Err(StoreProblem::Corrupt),
            Fault::RefusesDots if [".", ".."].contains(&key.as_str()) => return Err(StoreProblem::Transient),
            Fault::DeletesForGood if self.place.names.lock().unwrap().contains(&name) => return Ok(()),
            Fault::TheFirstStays if old.is_some() => return Ok(()),
            Fault::KeepsAtMost4096 => bytes.truncate(4096),
            Fault::KeepsTheTail => bytes.extend(old.iter().flatten().skip(bytes.len()).copied().collect::<Vec<_>>()),
            Fault::Appends => bytes = [old.unwrap_or_default(), bytes].concat(),
            Fault::CachesBlobs => drop(self.cached_blobs.lock().unwrap().insert(name.clone(), Some(bytes.clone()))),
            Fault::ListsDeleted => drop(self.place.names.lock().unwrap().insert(name.clone())),
            Fault::DeletesInTheHandle => drop(self.hidden.lock().unwrap().remove(&name)),
            Fault::LosesUpdates => {
                let mut all = self.blobs().clone();
                later(1, async {}).await;
                all.insert(name.clone(), bytes.clone());
                *self.blobs() = all;
            }
            Fault::Tears => {
                let (head, tail) = bytes.split_at(bytes.len() / 2);
                self.blobs().insert(name.clone(), head.to_vec());
                later(1, async {}).await;
                self.blobs().entry(name).or_default().extend(tail);
                return Ok(());
            }
            Fault::HasAGap => {
                later(3, async {}).await;
                self.blobs().remove(&name);
                later(1, async {}).await;
            }
            _ => {}
        }
        self.blobs().insert(name, bytes);
        Ok(())
    }

    fn remove(&self, key: &StorageKey) -> Result<(), StoreProblem> {
        let name = self.name(key);
        let mut blobs = self.blobs();
        match self.fault {
            Fault::DeletesNothing => return Ok(()),
            Fault::DeletesAll => blobs.clear(),
            Fault::DeletesForGood => drop(self.place.names.lock().unwrap().insert(name.clone())),
            Fault::DeletesAbsentWithError if !blobs.contains_key(&name) => return Err(StoreProblem::KeyMissing),
            Fault::DeletesByPrefix => blobs.retain(|other, _| !other.starts_with(&name)),
            Fault::DeletesInTheHandle => {
                self.hidden.lock().unwrap().insert(name);
                return Ok(());
            }
            Fault::CachesBlobs => drop(self.cached_blobs.lock().unwrap().insert(name.clone(), None)),
            // Of those sizes are the last blobs of all.
            Fault::LeavesSomething if matches!(blobs.get(&name).map(Vec::len), Some(2000 | 6000)) => {
                blobs.insert("left".to_owned(), Vec::new());
            }
            _ => {}
        }
        blobs.remove(&name);
        Ok(())
    }

    fn list(&self) -> Vec<StorageKey> {
        let hidden = self.hidden.lock().unwrap();
        let mut names: Vec<String> = self.blobs().keys().filter(|name| !hidden.contains(*name)).cloned().collect();
        match self.fault {
            Fault::ListsNothing => names.clear(),
            Fault::ListsTwice => names.extend(names.first().cloned()),
            Fault::ListsDeleted | Fault::ListsWhatWasLookedFor => {
                names.extend(self.place.names.lock().unwrap().iter().cloned());
                names.sort();
                names.dedup();
            }
            Fault::CachesKeys => names = self.cached_keys.lock().unwrap().get_or_insert(names).clone(),
            _ => {}
        }
        names.iter().filter_map(|name| StorageKey::parse(name)).collect()
    }
}

impl TokenStore for Broken {
    fn load<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<Blob>, StoreProblem>> {
        Box::pin(async move { Ok(self.read(key).await?.map(Blob::new)) })
    }

    fn store<'a>(&'a self, key: &'a StorageKey, blob: &'a Blob) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(self.write(key, blob.expose()))
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<(), StoreProblem>> {
        Box::pin(async move { self.remove(key) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<StorageKey>, StoreProblem>> {
        Box::pin(async move { Ok(self.list()) })
    }

    fn may_block(&self) -> bool {
        self.fault != Fault::IsLate
    }
}

/// Each way to be broken, and the rule that says so.
const FAULTS: &[(Fault, Rule)] = &[
    (Fault::AbsentIsAnError, Rule::AbsentIsNone),
    (Fault::AbsentIsEmpty, Rule::AbsentIsNone),
    (Fault::EmptyIsRefused, Rule::KeepsBytes),
    (Fault::EmptyIsAbsent, Rule::KeepsBytes),
    (Fault::EndsAtZeroByte, Rule::KeepsBytes),
    (Fault::KeepsAtMost4096, Rule::KeepsBytes),
    (Fault::LoadTakesAway, Rule::KeepsBytes),
    (Fault::KeepsTheTail, Rule::ReplacesWholly),
    (Fault::Appends, Rule::ReplacesWholly),
    (Fault::TheFirstStays, Rule::ReplacesWholly),
    (Fault::DeletesNothing, Rule::Deletes),
    (Fault::DeletesAll, Rule::Deletes),
    (Fault::DeletesForGood, Rule::Deletes),
    (Fault::DeletesAbsentWithError, Rule::DeletesAbsent),
    (Fault::ListsNothing, Rule::ListsExactly),
    (Fault::ListsTwice, Rule::ListsExactly),
    (Fault::ListsDeleted, Rule::ListsExactly),
    (Fault::ListsWhatWasLookedFor, Rule::ListsExactly),
    (Fault::CachesKeys, Rule::ListsExactly),
    (Fault::DeletesByPrefix, Rule::KeysAreDistinct),
    (Fault::ShortensKeys, Rule::KeysAreDistinct),
    (Fault::MixesDotAndDash, Rule::KeysAreDistinct),
    (Fault::RefusesDots, Rule::KeysAreDistinct),
    (Fault::LivesInTheHandle, Rule::SurvivesReopening),
    (Fault::DeletesInTheHandle, Rule::DeletionSurvivesReopening),
    (Fault::CachesBlobs, Rule::HandlesAgree),
    (Fault::LosesUpdates, Rule::ConcurrentKeys),
    (Fault::Tears, Rule::ConcurrentReplacing),
    (Fault::HasAGap, Rule::ConcurrentReplacing),
    (Fault::IsLate, Rule::ReadyAtOnce),
    (Fault::LeavesSomething, Rule::EndsEmpty),
];

/// The rules of [`check_store`], in the order of its report.
const OF_A_STORE: [Rule; 15] = [
    Rule::StartsEmpty,
    Rule::AbsentIsNone,
    Rule::KeepsBytes,
    Rule::ReplacesWholly,
    Rule::Deletes,
    Rule::DeletesAbsent,
    Rule::ListsExactly,
    Rule::KeysAreDistinct,
    Rule::SurvivesReopening,
    Rule::DeletionSurvivesReopening,
    Rule::HandlesAgree,
    Rule::ConcurrentKeys,
    Rule::ConcurrentReplacing,
    Rule::ReadyAtOnce,
    Rule::EndsEmpty,
];

#[test]
fn the_memory_store_keeps_the_contract() {
    let place = MemoryStore::new();
    let report = block_on(check_store(|| place.clone())).unwrap();
    assert_eq!(report.kept(), OF_A_STORE);
    assert_eq!(report.to_string().lines().count(), OF_A_STORE.len());
    assert_eq!(block_on(place.keys()).unwrap(), []);
}

#[test]
fn a_store_without_fault_passes_so_it_is_the_fault_that_is_found() {
    let place = Arc::default();
    block_on(check_store(|| Broken::open(Fault::None, &place))).unwrap();
}

#[test]
fn each_fault_is_found_by_the_rule_that_it_breaks() {
    for (fault, rule) in FAULTS {
        let place = Arc::default();
        let violation = block_on(check_store(|| Broken::open(*fault, &place))).expect_err(&format!("{fault:?}"));
        assert_eq!(violation.rule(), *rule, "{fault:?}: {violation}");
    }
}

#[test]
fn each_rule_of_a_store_has_a_fault_that_breaks_it() {
    for rule in OF_A_STORE.iter().filter(|rule| **rule != Rule::StartsEmpty) {
        assert!(FAULTS.iter().any(|(_, broken)| broken == rule), "{rule:?}");
    }
}

#[test]
fn a_place_that_is_not_empty_is_not_touched() {
    let place = MemoryStore::new();
    let (key, blob) = (StorageKey::parse("session.1").unwrap(), Blob::new(b"a session".to_vec()));
    block_on(place.store(&key, &blob)).unwrap();
    let violation = block_on(check_store(|| place.clone())).unwrap_err();
    assert_eq!(violation.rule(), Rule::StartsEmpty);
    assert_eq!(block_on(place.load(&key)).unwrap(), Some(blob));
    assert_eq!(block_on(place.keys()).unwrap(), [key]);
}

#[test]
fn after_a_violation_the_place_is_empty_again() {
    for fault in [Fault::TheFirstStays, Fault::ListsNothing, Fault::ShortensKeys, Fault::CachesBlobs, Fault::Tears] {
        let place = Arc::<Place>::default();
        block_on(check_store(|| Broken::open(fault, &place))).unwrap_err();
        assert!(place.blobs.lock().unwrap().is_empty(), "{fault:?}");
    }
}

#[test]
fn a_violation_says_what_is_broken_and_no_bytes() {
    let place = Arc::default();
    let violation = block_on(check_store(|| Broken::open(Fault::KeepsAtMost4096, &place))).unwrap_err();
    assert_eq!(
        violation.to_string(),
        "broken: what is loaded equals what was stored; but 4096 bytes came instead of 524288, the first 4096 of them right"
    );
    assert_eq!(violation.seen(), "4096 bytes came instead of 524288, the first 4096 of them right");
}

#[test]
fn the_keys_of_the_check_are_keys_and_all_different() {
    let names = [names_at_once(), distinct_names(), [A, B, C].iter().chain(&SIX).map(|n| (*n).to_owned()).collect()];
    let names = names.concat();
    assert!(names.iter().all(|name| StorageKey::parse(name).is_some()));
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.iter().any(|name| name.len() == 64));
}

/// What is wrong with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockFault {
    None,
    NeverFree,
    ReleaseKeepsIt,
    ExcludesNobody,
    CountsReleases,
    FailsInTime,
    HeldFromTheStart,
    NeverHeld,
    HeldByAnybody,
    HeldAfterRelease,
    HeldAfterTimeout,
    ReleasesForOthers,
}

/// A lock in memory, broken in one way: how many may still take it, and whether this one did.
struct BrokenLock {
    fault: LockFault,
    free: Arc<Mutex<i32>>,
    held: Mutex<bool>,
}

impl CrossProcessLock for BrokenLock {
    fn acquire(&self, _: Duration) -> BoxFuture<'_, Result<(), LockProblem>> {
        let mut free = self.free.lock().unwrap();
        let answer = match self.fault {
            LockFault::NeverFree => Err(LockProblem::TimedOut),
            LockFault::FailsInTime if *free < 1 => Err(LockProblem::Failed),
            LockFault::ExcludesNobody => Ok(()),
            _ if *free < 1 => Err(LockProblem::TimedOut),
            _ => {
                *free -= 1;
                Ok(())
            }
        };
        *self.held.lock().unwrap() |= answer.is_ok() || self.fault == LockFault::HeldAfterTimeout;
        Box::pin(core::future::ready(answer))
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        let mut held = self.held.lock().unwrap();
        let mut free = self.free.lock().unwrap();
        match self.fault {
            LockFault::ReleaseKeepsIt => {}
            LockFault::CountsReleases => *free += 1,
            LockFault::ReleasesForOthers => *free = 1,
            _ if *held => *free = 1,
            _ => {}
        }
        *held = *held && self.fault == LockFault::HeldAfterRelease;
        Box::pin(core::future::ready(()))
    }

    fn still_held(&self) -> bool {
        match self.fault {
            LockFault::HeldFromTheStart => true,
            LockFault::NeverHeld => false,
            LockFault::HeldByAnybody => *self.free.lock().unwrap() < 1,
            _ => *self.held.lock().unwrap(),
        }
    }
}

fn check(fault: LockFault) -> Result<Report, Violation> {
    let free = Arc::new(Mutex::new(1));
    block_on(check_lock(|| BrokenLock { fault, free: Arc::clone(&free), held: Mutex::default() }))
}

const LOCK_FAULTS: &[(LockFault, Rule)] = &[
    (LockFault::NeverFree, Rule::Acquires),
    (LockFault::ReleaseKeepsIt, Rule::Acquires),
    (LockFault::ExcludesNobody, Rule::Excludes),
    (LockFault::FailsInTime, Rule::TimesOut),
    (LockFault::HeldFromTheStart, Rule::KnowsWhetherHeld),
    (LockFault::NeverHeld, Rule::KnowsWhetherHeld),
    (LockFault::HeldByAnybody, Rule::KnowsWhetherHeld),
    (LockFault::HeldAfterRelease, Rule::KnowsWhetherHeld),
    (LockFault::HeldAfterTimeout, Rule::KnowsWhetherHeld),
    (LockFault::CountsReleases, Rule::ReleasesOnlyItsOwn),
    (LockFault::ReleasesForOthers, Rule::ReleasesOnlyItsOwn),
];

#[test]
fn each_fault_of_a_lock_is_found_and_each_rule_has_one() {
    let kept = check(LockFault::None).unwrap();
    for rule in kept.kept() {
        assert!(LOCK_FAULTS.iter().any(|(_, broken)| broken == rule), "{rule:?}");
    }
    for (fault, rule) in LOCK_FAULTS {
        let violation = check(*fault).expect_err(&format!("{fault:?}"));
        assert_eq!(violation.rule(), *rule, "{fault:?}: {violation}");
    }
}
