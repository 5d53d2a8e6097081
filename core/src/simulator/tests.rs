use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cases::{Case, Outcome, SCENARIOS, Scenario, VARIANTS, Variant, play};
use super::events::{Event, events_at, paired_events_at};
use super::wander::wander;
use super::world::lock;
use crate::planted::{self, Plant};

/// Leeways matter where an answer can be lost, or its process.
fn leeways(variant: Variant, event: Event) -> &'static [u64] {
    match event {
        Event::Crash { .. } | Event::Net(_) if is_deep() || variant == Variant::Usual => &[0, 30, 60],
        _ => &[30],
    }
}

/// `DEEP=1`: everything, for as long as it takes.
fn is_deep() -> bool {
    std::env::var_os("DEEP").is_some()
}

/// A panic is a violation as well.
fn run(case: &Case) -> Result<Outcome, String> {
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(case)));
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panicked: {}", text.unwrap_or_default())
    })
}

/// A defect is found by an invariant that it breaks, in a scenario where it matters.
#[test]
fn each_planted_defect_is_found() {
    use Plant::*;
    use Scenario as S;
    use Variant::{Lock, Oidc, Usual};
    let plants: [(Plant, &str, Variant, Scenario); 23] = [
        (NoRetry, "1", Usual, S::Expired),
        (EndsOnAnyRefusal, "1", Usual, S::Expired),
        (ResumesOne, "1", Usual, S::NotDefaultInterrupted),
        (RetriesLate, "2", Oidc, S::Early),
        (IgnoresNewer, "2", Lock, S::Expired),
        (MixesSets, "3", Usual, S::Expired),
        (HandsOutUnvalidated, "3", Usual, S::HeldBack),
        (ServesFirst, "4", Usual, S::Callers),
        (IgnoresTombstones, "5", Usual, S::SignOut),
        (DropsReceived, "6", Usual, S::Expired),
        (RevokesFirst, "6", Usual, S::SignOut),
        (ForgetsOwed, "6", Usual, S::SignOut),
        (DeletesBlindly, "6", Usual, S::SignOut),
        (LeavesGrant, "6", Usual, S::StepUp),
        (LeavesFirst, "6", Usual, S::StepUp),
        (WrongDefault, "7", Usual, S::Default),
        (ReplacesNothing, "7", Usual, S::SignIn),
        (WritesBlindly, "8", Usual, S::Expired),
        (KeepsLostLock, "8", Lock, S::Expired),
        (RefreshesTwice, "9", Usual, S::Callers),
        (WaitsForStore, "9", Usual, S::Expired),
        (ErrorIsAbsent, "10", Usual, S::Restored),
        (TellsNobody, "11", Usual, S::SignOut),
    ];
    let missed = Mutex::new(Vec::new());
    let only = std::env::var("PLANT").ok();
    let plants: Vec<_> = plants
        .into_iter()
        .filter(|(plant, ..)| only.as_ref().is_none_or(|only| *only == format!("{plant:?}")))
        .collect();
    in_parallel(&plants, |(plant, invariant, variant, scenario)| {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        // Its points are those of the defective library.
        planted::with(*plant, || {
            each_single_event(*scenario, *variant, |case| {
                if found.contains_key(*invariant) {
                    return;
                }
                for violation in violations(case) {
                    let number = violation.split(':').next().unwrap().to_owned();
                    found.entry(number).or_insert(violation);
                }
            })
        });
        match found.get(*invariant) {
            Some(violation) => println!("{plant:?}: {violation}"),
            None => lock(&missed).push(format!("{plant:?} breaks no {invariant}: {found:?}")),
        }
    });
    let missed = lock(&missed);
    println!("{} planted defects, {} found", plants.len(), plants.len() - missed.len());
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What a case violates.
fn violations(case: &Case) -> Vec<String> {
    named(case, run(case))
}

fn named(case: &Case, outcome: Result<Outcome, String>) -> Vec<String> {
    let found = match outcome {
        Ok(outcome) => outcome.violations,
        Err(panic) => vec![panic],
    };
    found.into_iter().map(|violation| format!("{violation}\n    CASE='{case:?}'")).collect()
}

/// Every single event at every point of one scenario; the number of points, and what `look` gives of each case.
fn each_single_event(scenario: Scenario, variant: Variant, mut look: impl FnMut(&Case)) -> usize {
    let quiet = Case::quiet(scenario, variant);
    look(&quiet);
    let Ok(outcome) = run(&quiet) else { return 0 };
    let all = is_deep() || (variant == Variant::Usual && matches!(scenario, Scenario::Expired | Scenario::SignOut));
    for (point, place) in outcome.places.iter().enumerate() {
        for event in events_at(*place, variant, all) {
            for leeway in leeways(variant, event) {
                look(&Case { leeway: *leeway, events: vec![(point, event)], ..quiet.clone() });
            }
        }
    }
    outcome.places.len()
}

/// Plays jobs on all processors.
fn in_parallel<J: Sync>(jobs: &[J], play: impl Fn(&J) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    play(job);
                }
            });
        }
    });
}

/// What was found, by kind of violation.
#[derive(Default)]
struct Findings {
    cases: usize,
    points: usize,
    by_kind: BTreeMap<String, (usize, String)>,
    /// The longest call of each kind, in seconds.
    longest: BTreeMap<&'static str, u64>,
}

impl Findings {
    fn played(&mut self, case: &Case, outcome: Result<Outcome, String>) {
        self.cases += 1;
        for (call, time) in outcome.iter().flat_map(|outcome| &outcome.longest) {
            let longest = self.longest.entry(call).or_default();
            *longest = (*longest).max(time.as_secs());
        }
        named(case, outcome).into_iter().take(1).for_each(|violation| self.add(violation));
    }

    fn add(&mut self, violation: String) {
        let kind: String = violation.lines().next().unwrap().chars().filter(|c| !c.is_ascii_digit()).collect();
        let kind = format!("{}{kind}", violation.chars().next().unwrap());
        self.by_kind.entry(kind).or_insert_with(|| (0, violation)).0 += 1;
    }

    fn report(&self, what: &str) {
        let violations: usize = self.by_kind.values().map(|(count, _)| count).sum();
        println!("{what}: {} cases at {} points, {violations} violations", self.cases, self.points);
        let longest: Vec<String> = self.longest.iter().map(|(call, secs)| format!("{call} {secs} s")).collect();
        println!("longest calls: {}", longest.join(", "));
        let lines: Vec<String> = self.by_kind.values().map(|(count, first)| format!("{count} times {first}")).collect();
        assert!(lines.is_empty(), "{violations} violations, the first of each kind:\n{}", lines.join("\n"));
    }
}

/// The one scenario that `CASE` names.
fn is_wanted(scenario: Scenario, variant: Variant, only: Option<&str>) -> bool {
    let name = format!("Case {{ scenario: {scenario:?}, variant: {variant:?},");
    only.is_none_or(|only| only.starts_with(&name))
}

/// Every scenario in every variant; other providers than Okta send no codes.
fn jobs() -> Vec<(Variant, Scenario)> {
    let all = VARIANTS.into_iter().flat_map(|variant| SCENARIOS.into_iter().map(move |scenario| (variant, scenario)));
    all.filter(|job| *job != (Variant::Oidc, Scenario::Code)).collect()
}

#[test]
fn no_single_event_at_any_point_breaks_an_invariant() {
    let only = std::env::var("CASE").ok();
    let findings = Mutex::new(Findings::default());
    let jobs: Vec<_> =
        jobs().into_iter().filter(|(variant, scenario)| is_wanted(*scenario, *variant, only.as_deref())).collect();
    in_parallel(&jobs, |(variant, scenario)| {
        let points = each_single_event(*scenario, *variant, |case| {
            if only.as_ref().is_some_and(|only| *only != format!("{case:?}")) {
                return;
            }
            let outcome = run(case);
            lock(&findings).played(case, outcome);
        });
        lock(&findings).points += points;
    });
    lock(&findings).report("single events");
}

/// Two events, the second at one of the next points of the same process, or of the next one if the first was a crash.
#[test]
fn no_pair_of_events_breaks_an_invariant() {
    let only = std::env::var("CASE").ok();
    // `REACH=20`: the second event up to so many points later.
    let reach: usize = std::env::var("REACH").map_or(7, |reach| reach.parse().unwrap());
    let mut jobs = vec![
        (Variant::Usual, Scenario::Expired),
        (Variant::Usual, Scenario::SignOut),
        (Variant::Usual, Scenario::SignIn),
        (Variant::Usual, Scenario::Default),
        (Variant::Usual, Scenario::HeldBack),
        (Variant::Usual, Scenario::StepUp),
        (Variant::Usual, Scenario::Import),
        (Variant::Lock, Scenario::Expired),
        (Variant::Lock, Scenario::Default),
    ];
    if is_deep() {
        jobs = self::jobs();
    }
    let jobs: Vec<_> = jobs
        .into_iter()
        .filter(|(variant, scenario)| is_wanted(*scenario, *variant, only.as_deref()))
        .flat_map(|(variant, scenario)| {
            let quiet = Case::quiet(scenario, variant);
            let places = play(&quiet).places;
            (0..places.len()).map(move |first| (quiet.clone(), places.clone(), first))
        })
        .collect();
    let findings = Mutex::new(Findings::default());
    in_parallel(&jobs, |(quiet, places, first)| {
        lock(&findings).points += 1;
        for one in paired_events_at(places[*first]) {
            for (second, place) in places.iter().enumerate().skip(first + 1).take(reach) {
                for other in paired_events_at(*place) {
                    let case = Case { events: vec![(*first, one), (second, other)], ..quiet.clone() };
                    if only.as_ref().is_some_and(|only| *only != format!("{case:?}")) {
                        continue;
                    }
                    let outcome = run(&case);
                    lock(&findings).played(&case, outcome);
                }
            }
        }
    });
    lock(&findings).report("pairs of events");
}

/// Long histories by a seed: `SEED=7` plays that one alone, `TIMES=25` so many times as many.
#[test]
fn no_history_breaks_an_invariant() {
    let only: Option<u64> = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let times: u64 = std::env::var("TIMES").map_or(1, |times| times.parse().unwrap());
    let seeds: Vec<u64> = only.map_or_else(|| (0..HISTORIES * times).collect(), |seed| vec![seed]);
    let findings = Mutex::new(Findings::default());
    in_parallel(&seeds, |seed| {
        let played = std::panic::catch_unwind(|| wander(*seed));
        let found = played.unwrap_or_else(|_| vec!["panicked".to_owned()]);
        let mut findings = lock(&findings);
        findings.cases += 1;
        found.into_iter().take(1).for_each(|violation| findings.add(format!("{violation}\n    SEED={seed}")));
    });
    lock(&findings).report("histories");
}

/// How many, where nobody asks for more.
const HISTORIES: u64 = 1000;
