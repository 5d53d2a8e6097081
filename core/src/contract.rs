//! Checks an app's own [`TokenStore`] or [`CrossProcessLock`] against what the library relies on (docs/sessions.md §4, §8).
//!
//! Run it as a test of the app, on every platform that the store is made for; a place kept for tests is enough.
//!
//! ```
//! use directauth::MemoryStore;
//! use directauth::contract;
//!
//! let place = MemoryStore::new(); // yours: a folder, a keychain group, a preferences file
//! let report = futures_executor::block_on(contract::check_store(|| place.clone()))?;
//! println!("{report}");
//! # Ok::<(), contract::Violation>(())
//! ```
//!
//! # What no test can see from inside a process
//!
//! Two points of the contract have to be looked at in the code of the store:
//!
//! - **Durable when it returns.** After `store` or `delete` said `Ok`, a crash of the process, a power failure or the
//!   system's killing of the app must not bring back what was there before. A write that the platform does later (Android's
//!   `SharedPreferences.apply`, a file that was not flushed to the disk) loses the newest refresh token, and the session
//!   with it.
//! - **No effect after death.** A call must not take effect once its process is dead: nothing may be handed to a service that
//!   does it later. Otherwise a late write replaces what the next process has stored.
//!
//! A [`CrossProcessLock`] has one such point: **the operating system frees it when its holder dies**, however it dies. Kill a
//! process that holds it and see that another one gets it.
//!
//! Nor does it provoke failures: that a call which fails leaves the old blob, and that what cannot be read is an error and
//! not absent, only the store's own tests can show (a locked device, a full disk, a destroyed key).

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;

use futures_util::future::{join, join_all, join3};

use crate::env::{Blob, BoxFuture, CrossProcessLock, LockProblem, StorageKey, TokenStore};
use crate::error::StoreProblem;

/// One rule of the contract; its text says what holds where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// Not a rule for a store but for the test: it touches nothing where there is something already.
    #[error("the place is empty when the check begins")]
    StartsEmpty,
    /// A first start is no failure.
    #[error("what is absent is Ok(None), not an error")]
    AbsentIsNone,
    /// Any byte, any length from none to 512 KiB, which is the most that the library writes.
    #[error("what is loaded equals what was stored")]
    KeepsBytes,
    /// Nothing is left of a longer blob, nothing is appended to a shorter one.
    #[error("a stored blob replaces the old one wholly")]
    ReplacesWholly,
    /// A blob that is not listed is a session that nobody finds.
    #[error("keys lists exactly the blobs that are there, each once")]
    ListsExactly,
    /// What is gone is absent again, and all else stays.
    #[error("delete removes its blob and no other")]
    Deletes,
    /// The library deletes again after a restart.
    #[error("deleting what is absent is no error")]
    DeletesAbsent,
    /// The longest keys, keys that are the beginning of another, `..`, names of devices, trailing dots, numbers.
    #[error("every key has a blob of its own")]
    KeysAreDistinct,
    /// As far as one process can see it: through another store object, when the first is gone.
    #[error("what was stored is there after reopening")]
    SurvivesReopening,
    /// Otherwise a session that was signed out comes back.
    #[error("what was deleted stays absent after reopening")]
    DeletionSurvivesReopening,
    /// No store object may answer from what it remembers.
    #[error("two open stores of one place see each other's writes")]
    HandlesAgree,
    /// No write may undo another one's.
    #[error("blobs stored at the same time under different keys all arrive")]
    ConcurrentKeys,
    /// A reader never sees a half-written blob, nor none while one replaces another.
    #[error("a load during a store gives the old or the new blob whole")]
    ConcurrentReplacing,
    /// What [`TokenStore::may_block`] promises.
    #[error("a store that never blocks has every call ready at its first poll")]
    ReadyAtOnce,
    /// After a check, whether it succeeded or not, the place is as it was.
    #[error("the place is empty again after everything was deleted")]
    EndsEmpty,
    /// Also again after a release.
    #[error("a lock that nobody holds can be acquired")]
    Acquires,
    /// Also by another object in one process.
    #[error("a lock that is held cannot be acquired by another")]
    Excludes,
    /// Any other answer would be taken for a broken lock.
    #[error("who cannot have it in time is told TimedOut")]
    TimesOut,
    /// Of the object that holds it, and of no other.
    #[error("still_held is true from acquire to release, and at no other time")]
    KnowsWhetherHeld,
    /// The lock may have been lost before, and another process may have it.
    #[error("releasing what is not held does nothing")]
    ReleasesOnlyItsOwn,
}

/// The rules that were checked and kept, in their order; [`Display`](fmt::Display) gives one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    kept: Vec<Rule>,
}

impl Report {
    /// The rules.
    pub fn kept(&self) -> &[Rule] {
        &self.kept
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.iter().try_for_each(|rule| writeln!(f, "kept: {rule}"))
    }
}

/// A rule that is broken, and what was seen instead. Never contains the bytes of a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken: {rule}; but {seen}")]
pub struct Violation {
    rule: Rule,
    seen: String,
}

impl Violation {
    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// What was seen.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

/// Checks a store. `reopen` opens the same place anew each time, as a new process would: nothing may be shared between what
/// it returns but the place itself. (A clone that shares its memory checks a store whose place *is* that memory.)
///
/// The place has to be empty, and is empty afterwards, also after a violation if its `delete` works. A call that never
/// returns is not noticed: give the test a deadline. A store that blocks does so in the thread that polls this.
///
/// # Errors
/// The first rule that is broken.
pub async fn check_store<S: TokenStore>(reopen: impl Fn() -> S) -> Result<Report, Violation> {
    let found = Handle(reopen()).keys(Rule::StartsEmpty).await?;
    Rule::StartsEmpty.holds(found.is_empty(), || format!("it has {} keys", found.len()))?;

    let kept = rules_of_a_store(&reopen).await;
    let cleaned = clean(&Handle(reopen())).await;
    let mut kept = kept?;
    cleaned?;
    kept.insert(0, Rule::StartsEmpty);
    kept.extend([Rule::ReadyAtOnce, Rule::EndsEmpty]);
    Ok(Report { kept })
}

async fn rules_of_a_store<S: TokenStore>(reopen: &impl Fn() -> S) -> Result<Vec<Rule>, Violation> {
    let store = Handle(reopen());
    absent_is_none(&store).await?;
    keeps_bytes(&store).await?;
    replaces_wholly(&store).await?;
    deletes(&store).await?;
    deletes_absent(&store).await?;
    lists_exactly(&store).await?;
    keys_are_distinct(&store).await?;
    drop(store);
    survives_reopening(reopen).await?;
    handles_agree(&Handle(reopen()), &Handle(reopen())).await?;
    concurrent_keys(&Handle(reopen()), &Handle(reopen())).await?;
    concurrent_replacing(&Handle(reopen()), &Handle(reopen())).await?;
    Ok(vec![
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
    ])
}

async fn absent_is_none<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    store.finds(Rule::AbsentIsNone, A, None).await
}

async fn keeps_bytes<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::KeepsBytes;
    let every_byte = (0..=u8::MAX).collect::<Vec<u8>>();
    let blobs = [pattern(1, 100), Vec::new(), every_byte, vec![0; 33], pattern(2, LARGEST), pattern(3, 7)];
    // Each under a key of its own: replacing is another rule.
    for (name, bytes) in SIX.iter().zip(&blobs) {
        store.put(rule, name, bytes).await?;
        store.finds(rule, name, Some(bytes)).await?;
    }
    // A load takes nothing away.
    for (name, bytes) in SIX.iter().zip(&blobs) {
        store.finds(rule, name, Some(bytes)).await?;
    }
    all(SIX.iter().map(|name| store.delete(rule, name))).await
}

async fn replaces_wholly<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::ReplacesWholly;
    for (seed, length) in [(4, 300), (5, 20), (6, 5000), (7, 4999), (8, 4999), (9, 0), (10, 1)] {
        let bytes = pattern(seed, length);
        store.put(rule, A, &bytes).await?;
        store.finds(rule, A, Some(&bytes)).await?;
    }
    Ok(())
}

async fn deletes<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::Deletes;
    store.put(rule, A, &pattern(13, 40)).await?;
    store.put(rule, B, &pattern(14, 40)).await?;
    store.delete(rule, A).await?;
    store.finds(rule, A, None).await?;
    store.finds(rule, B, Some(&pattern(14, 40))).await?;
    // Not put into the grave for good.
    store.put(rule, A, &pattern(15, 40)).await?;
    store.finds(rule, A, Some(&pattern(15, 40))).await?;
    store.delete(rule, A).await?;
    store.delete(rule, B).await
}

async fn deletes_absent<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::DeletesAbsent;
    store.delete(rule, C).await?;
    store.put(rule, C, &pattern(16, 40)).await?;
    store.delete(rule, C).await?;
    store.delete(rule, C).await?;
    store.finds(rule, C, None).await
}

async fn lists_exactly<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::ListsExactly;
    store.lists(rule, &[]).await?;
    store.put(rule, A, &pattern(11, 50)).await?;
    store.lists(rule, &[A]).await?;
    store.put(rule, B, &[]).await?;
    store.put(rule, A, &pattern(12, 60)).await?;
    store.lists(rule, &[A, B]).await?;
    // Looking for what is absent does not create it.
    store.finds(rule, C, None).await?;
    store.lists(rule, &[A, B]).await?;
    store.delete(rule, A).await?;
    store.lists(rule, &[B]).await?;
    store.delete(rule, B).await?;
    store.lists(rule, &[]).await
}

async fn keys_are_distinct<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::KeysAreDistinct;
    let names = distinct_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (seed, name) in (20..).zip(&names) {
        store.put(rule, name, &pattern(seed, 30)).await?;
    }
    for (seed, name) in (20..).zip(&names) {
        store.finds(rule, name, Some(&pattern(seed, 30))).await?;
    }
    store.lists(rule, &names).await?;
    // One after the other, so that a delete that takes a neighbour along is seen.
    for (gone, name) in (1..).zip(&names) {
        store.delete(rule, name).await?;
        store.lists(rule, names.get(gone..).unwrap_or_default()).await?;
    }
    Ok(())
}

async fn survives_reopening<S: TokenStore>(reopen: &impl Fn() -> S) -> Result<(), Violation> {
    let first = Handle(reopen());
    // Whatever was deleted so far.
    first.lists(Rule::DeletionSurvivesReopening, &[]).await?;

    let rule = Rule::SurvivesReopening;
    first.put(rule, A, &pattern(70, 1000)).await?;
    first.put(rule, B, &pattern(71, 1000)).await?;
    first.put(rule, A, &pattern(72, 900)).await?;
    drop(first);
    let second = Handle(reopen());
    second.lists(rule, &[A, B]).await?;
    second.finds(rule, A, Some(&pattern(72, 900))).await?;
    second.finds(rule, B, Some(&pattern(71, 1000))).await?;

    let rule = Rule::DeletionSurvivesReopening;
    second.delete(rule, A).await?;
    drop(second);
    let third = Handle(reopen());
    third.finds(rule, A, None).await?;
    third.lists(rule, &[B]).await?;
    third.finds(rule, B, Some(&pattern(71, 1000))).await?;
    third.delete(rule, B).await
}

async fn handles_agree<S: TokenStore>(one: &Handle<S>, other: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::HandlesAgree;
    // Both look first, and then do not answer from what they saw.
    for handle in [one, other] {
        handle.finds(rule, A, None).await?;
        handle.lists(rule, &[]).await?;
    }
    for (seed, writer, reader) in [(73, one, other), (74, other, one)] {
        writer.put(rule, A, &pattern(seed, 200)).await?;
        reader.finds(rule, A, Some(&pattern(seed, 200))).await?;
        reader.lists(rule, &[A]).await?;
    }
    one.put(rule, B, &pattern(75, 200)).await?;
    other.put(rule, C, &pattern(76, 200)).await?;
    for handle in [one, other] {
        handle.lists(rule, &[A, B, C]).await?;
    }
    for (name, deleter, reader) in [(A, one, other), (B, other, one), (C, one, other)] {
        deleter.delete(rule, name).await?;
        reader.finds(rule, name, None).await?;
    }
    other.lists(rule, &[]).await
}

async fn concurrent_keys<S: TokenStore>(one: &Handle<S>, other: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::ConcurrentKeys;
    let names = names_at_once();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let both = || [one, other].into_iter().cycle();
    all(names
        .iter()
        .zip(80..)
        .zip(both())
        .map(async |((name, seed), handle)| handle.put(rule, name, &pattern(seed, 3000)).await))
    .await?;
    one.lists(rule, &names).await?;
    for (name, seed) in names.iter().zip(80..) {
        other.finds(rule, name, Some(&pattern(seed, 3000))).await?;
    }
    all(names.iter().zip(both()).map(async |(name, handle)| handle.delete(rule, name).await)).await?;
    other.lists(rule, &[]).await
}

/// Stores with loads beside them, which begin a little later each time, to meet a gap wherever it is.
const REPLACEMENTS: u8 = 40;

async fn concurrent_replacing<S: TokenStore>(one: &Handle<S>, other: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::ConcurrentReplacing;
    let blob = |number: u8| pattern(100 + number, 2000 + 1500 * usize::from(number % 3));
    one.put(rule, A, &blob(0)).await?;
    for number in 1..=REPLACEMENTS {
        let (old, new) = (blob(number - 1), blob(number));
        let loads = join(later(number % 5, one.load(rule, A)), later(number % 8, other.load(rule, A)));
        let listed = later(number % 7, other.keys(rule));
        let (stored, (mine, theirs), listed) = join3(one.put(rule, A, &new), loads, listed).await;
        stored?;
        for loaded in [mine?, theirs?] {
            let seen = || match &loaded {
                None => "none was there".to_owned(),
                Some(blob) => format!("{}, and not the old one", difference(blob.expose(), &new)),
            };
            let whole = loaded.as_ref().is_some_and(|blob| [&old[..], &new[..]].contains(&blob.expose()));
            rule.holds(whole, seen)?;
        }
        let listed = listed?;
        rule.holds(listed == [A], || format!("keys lists {listed:?} meanwhile"))?;
        other.finds(rule, A, Some(&new)).await?;
    }
    // Two writers: one of them is the last, and nothing is mixed.
    let (left, right) = (pattern(98, 6000), pattern(99, 2000));
    let (stored, also_stored) = join(one.put(rule, A, &left), other.put(rule, A, &right)).await;
    stored.and(also_stored)?;
    let last = one.load(rule, A).await?;
    let whole = last.as_ref().is_some_and(|blob| [&left[..], &right[..]].contains(&blob.expose()));
    rule.holds(whole, || "after two stores at once it is neither's blob".to_owned())?;
    other.finds(rule, A, last.as_ref().map(Blob::expose)).await?;
    one.delete(rule, A).await
}

/// Runs `call` after others had so many turns.
async fn later<T>(turns: u8, call: impl Future<Output = T>) -> T {
    for _ in 0..turns {
        let mut waited = false;
        poll_fn(|context| {
            if core::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    call.await
}

/// Deletes what the check may have left; only its own keys, whatever else may have come meanwhile.
async fn clean<S: TokenStore>(store: &Handle<S>) -> Result<(), Violation> {
    let rule = Rule::EndsEmpty;
    let mut names = [names_at_once(), distinct_names()].concat();
    names.extend([A, B, C].iter().chain(&SIX).map(|name| (*name).to_owned()));
    for name in &names {
        store.delete(rule, name).await?;
    }
    store.lists(rule, &[]).await
}

/// Checks a lock. `another` makes one more lock on the same thing, as another process would. Takes a moment, because one of
/// them has to wait in vain.
///
/// ```no_run
/// use directauth::{FileLock, contract};
///
/// futures_executor::block_on(contract::check_lock(|| FileLock::new("shared/directauth.lock")))?;
/// # Ok::<(), contract::Violation>(())
/// ```
///
/// Nobody else may hold the lock meanwhile. It is free afterwards, also after a violation. A call that never returns is not
/// noticed: give the test a deadline.
///
/// # Errors
/// The first rule that is broken.
pub async fn check_lock<L: CrossProcessLock>(another: impl Fn() -> L) -> Result<Report, Violation> {
    let locks = [another(), another(), another()];
    let kept = rules_of_a_lock(&locks).await;
    for lock in &locks {
        lock.release().await;
    }
    kept?;
    let kept = vec![Rule::Acquires, Rule::Excludes, Rule::TimesOut, Rule::KnowsWhetherHeld, Rule::ReleasesOnlyItsOwn];
    Ok(Report { kept })
}

async fn rules_of_a_lock<L: CrossProcessLock>([one, other, third]: &[L; 3]) -> Result<(), Violation> {
    says(one, false, "before it was acquired")?;
    acquires(one, "for the first time").await?;
    says(one, true, "while it is held")?;
    waits_in_vain(other).await?;
    says(other, false, "after it timed out")?;
    says(one, true, "after another one timed out")?;

    one.release().await;
    says(one, false, "after release")?;
    acquires(other, "after another one released it").await?;
    says(other, true, "while it is held")?;
    says(one, false, "while another one holds it")?;

    one.release().await;
    let rule = Rule::ReleasesOnlyItsOwn;
    rule.holds(other.still_held(), || "still_held became false when another one released".to_owned())?;
    let stolen = third.acquire(IN_VAIN).await.is_ok();
    rule.holds(!stolen, || "another one could acquire what a third one holds".to_owned())?;

    other.release().await;
    other.release().await;
    acquires(other, "after it was released twice").await?;
    other.release().await;
    acquires(one, "once more").await?;
    says(one, true, "while it is held once more")?;
    waits_in_vain(third).await?;
    one.release().await;
    says(one, false, "after its last release")
}

/// Nobody holds it: more than enough.
const IN_TIME: Duration = Duration::from_secs(10);
/// Short, because it is waited for.
const IN_VAIN: Duration = Duration::from_millis(100);

async fn acquires<L: CrossProcessLock>(lock: &L, when: &str) -> Result<(), Violation> {
    let answer = lock.acquire(IN_TIME).await;
    Rule::Acquires.holds(answer.is_ok(), || format!("the answer was {answer:?} when acquired {when}"))
}

async fn waits_in_vain<L: CrossProcessLock>(lock: &L) -> Result<(), Violation> {
    let answer = lock.acquire(IN_VAIN).await;
    Rule::Excludes.holds(answer.is_err(), || "two objects held it at once".to_owned())?;
    Rule::TimesOut.holds(answer == Err(LockProblem::TimedOut), || format!("the answer was {answer:?}"))
}

fn says<L: CrossProcessLock>(lock: &L, expected: bool, when: &str) -> Result<(), Violation> {
    Rule::KnowsWhetherHeld.holds(lock.still_held() == expected, || format!("it says {} {when}", !expected))
}

impl Rule {
    fn holds(self, kept: bool, seen: impl FnOnce() -> String) -> Result<(), Violation> {
        if kept { Ok(()) } else { Err(self.broken(seen())) }
    }

    fn broken(self, seen: String) -> Violation {
        Violation { rule: self, seen }
    }
}

/// A store whose every answer is looked at.
struct Handle<S>(S);

impl<S: TokenStore> Handle<S> {
    async fn load(&self, rule: Rule, name: &str) -> Result<Option<Blob>, Violation> {
        let key = key(name)?;
        self.call(rule, "load", name, self.0.load(&key)).await
    }

    async fn put(&self, rule: Rule, name: &str, bytes: &[u8]) -> Result<(), Violation> {
        let (key, blob) = (key(name)?, Blob::new(bytes.to_vec()));
        self.call(rule, "store", name, self.0.store(&key, &blob)).await
    }

    async fn delete(&self, rule: Rule, name: &str) -> Result<(), Violation> {
        let key = key(name)?;
        self.call(rule, "delete", name, self.0.delete(&key)).await
    }

    /// All keys, sorted, repeated ones repeated.
    async fn keys(&self, rule: Rule) -> Result<Vec<String>, Violation> {
        let keys = self.call(rule, "keys", "", self.0.keys()).await?;
        let mut names: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn call<T>(
        &self,
        rule: Rule,
        call: &str,
        name: &str,
        mut answer: BoxFuture<'_, Result<T, StoreProblem>>,
    ) -> Result<T, Violation> {
        let answer = poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending if self.0.may_block() => Poll::Pending,
            Poll::Pending => Poll::Ready(Err(Rule::ReadyAtOnce.broken(format!("{call} was not")))),
        });
        answer.await?.map_err(|problem| rule.broken(format!("{call} of {name:?} failed: {problem}")))
    }

    async fn finds(&self, rule: Rule, name: &str, expected: Option<&[u8]>) -> Result<(), Violation> {
        let loaded = self.load(rule, name).await?;
        match (&loaded, expected) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(rule.broken(format!("{name:?} is there"))),
            (None, Some(_)) => Err(rule.broken(format!("{name:?} is absent"))),
            (Some(blob), Some(bytes)) => rule.holds(blob.expose() == bytes, || difference(blob.expose(), bytes)),
        }
    }

    async fn lists(&self, rule: Rule, expected: &[&str]) -> Result<(), Violation> {
        let listed = self.keys(rule).await?;
        let there: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let (missing, more) = (expected.difference(&there), there.difference(&expected));
        rule.holds(listed.len() == there.len() && there == expected, || {
            // A few say enough.
            let (missing, more): (Vec<_>, Vec<_>) = (missing.take(3).collect(), more.take(3).collect());
            let (found, expected) = (listed.len(), expected.len());
            format!("keys lists {found} instead of {expected}; missing: {missing:?}, too many: {more:?}")
        })
    }
}

/// How two blobs differ, without what they are.
fn difference(found: &[u8], expected: &[u8]) -> String {
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    format!("{} bytes came instead of {}, the first {same} of them right", found.len(), expected.len())
}

async fn all(calls: impl Iterator<Item = impl Future<Output = Result<(), Violation>>>) -> Result<(), Violation> {
    join_all(calls).await.into_iter().collect()
}

const A: &str = "contract-a";
const B: &str = "contract-b";
const C: &str = "contract-c";
const SIX: [&str; 6] = ["contract-1", "contract-2", "contract-3", "contract-4", "contract-5", "contract-6"];
/// The most that the library writes.
const LARGEST: usize = 512 * 1024;

fn names_at_once() -> Vec<String> {
    (0..16).map(|number| format!("contract-at-once-{number}")).collect()
}

/// Keys that a careless store takes for one another, or for something else than a name.
fn distinct_names() -> Vec<String> {
    let (long, longer) = ("0".repeat(63), "z".repeat(64));
    let mut names: Vec<String> = ["", "0", "1", "-", "."].iter().map(|last| format!("{long}{last}")).collect();
    names.extend([longer, format!("{}-a.9", "x.".repeat(30))]);
    let short = [
        "a", "aa", "ab", "ba", "b", "a.", ".a", "a-", "-a", "a.a", "a-a", "a..a", ".", "..", "...", "-", "--", "0",
        "00", "1", "01", "1.0", "1.00", "-1", "nul", "con.txt", "a.tmp", "a.blob", "null", "true",
    ];
    names.extend(short.map(str::to_owned));
    names
}

/// Bytes that are others for each seed, and at each place.
fn pattern(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    core::iter::repeat_with(next).take(length).collect()
}

/// The names here are keys; the error is for the compiler.
fn key(name: &str) -> Result<StorageKey, Violation> {
    StorageKey::parse(name).ok_or_else(|| Rule::KeysAreDistinct.broken(format!("{name:?} is no key")))
}

#[cfg(test)]
mod tests;
