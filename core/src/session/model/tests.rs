//! The enumerations. `DEEP` in the environment adds a fault to each; `VERBOSE` prints the states of a trace too.

use std::time::Instant;

use super::accounts::{self, Accounts};
use super::explore::{Outcome, Violation, explore};
use super::rules::Wrong;
use super::state::{Scope, World};

/// A store, a network, a process that dies, clocks that are set, a sign-out; one session.
fn one(okta: bool, leeway: u32) -> Scope {
    Scope {
        name: "one process",
        okta,
        leeway,
        processes: 1,
        lock: false,
        second_never: false,
        rotates: true,
        faults: 1,
        waits: &[31, 3700],
        wait_count: 1,
        delays: &[0, 31, 90_000],
        ends: 1,
        store_faults: true,
        net_faults: true,
        crashes: true,
        suspensions: false,
        checks: false,
        clock: true,
        wrong: Wrong::Nothing,
    }
}

/// Both refresh, under a lock.
fn two(okta: bool, leeway: u32) -> Scope {
    Scope {
        name: "two processes, a lock",
        processes: 2,
        lock: true,
        clock: false,
        ends: 0,
        delays: &[0, 31],
        ..one(okta, leeway)
    }
}

/// One refreshes, and both may sign out.
fn signer(okta: bool, leeway: u32) -> Scope {
    Scope { name: "two processes, a lock, sign-out", second_never: true, ends: 1, wait_count: 0, ..two(okta, leeway) }
}

/// Without a lock the second never refreshes.
fn never(okta: bool, leeway: u32) -> Scope {
    Scope { name: "two processes, no lock, sign-out", lock: false, ..signer(okta, leeway) }
}

/// Suspended at any point, with or without the loss of the lock.
fn suspended(okta: bool, leeway: u32) -> Scope {
    let quiet = Scope { store_faults: false, net_faults: false, crashes: false, ..two(okta, leeway) };
    Scope { name: "two processes, suspended", suspensions: true, ..quiet }
}

/// ID tokens that cannot be validated, now or ever.
fn held(okta: bool, leeway: u32) -> Scope {
    Scope { name: "held back", checks: true, ends: 0, waits: &[61, 3700], wait_count: 2, ..one(okta, leeway) }
}

fn held_two(okta: bool, leeway: u32) -> Scope {
    Scope {
        name: "held back, two processes",
        checks: true,
        store_faults: false,
        waits: &[61, 3700],
        ..two(okta, leeway)
    }
}

/// Refresh tokens that never change, until the policy does.
fn fixed(okta: bool, leeway: u32) -> Scope {
    Scope { name: "static", rotates: false, ends: 0, ..one(okta, leeway) }
}

/// Okta's leeways, and a server of the other column with and without one.
const SERVERS: [(bool, u32); 5] = [(true, 0), (true, 30), (true, 60), (false, 0), (false, 30)];

fn deeper(faults: u8) -> u8 {
    faults + u8::from(std::env::var_os("DEEP").is_some())
}

fn holds(scope: Scope) {
    check(Scope { faults: deeper(scope.faults), ..scope });
}

fn check(scope: Scope) {
    let server = if scope.okta { "Okta" } else { "Oidc" };
    let name = format!("{}, {server}, leeway {}, {} faults", scope.name, scope.leeway, scope.faults);
    report(&name, Instant::now(), explore(&scope, World::new(&scope)));
}

fn report(name: &str, began: Instant, out: Outcome) {
    let Outcome { states, transitions, rests, violation } = out;
    println!("{name}: {states} states, {transitions} steps, {rests} futures, {:?}", began.elapsed());
    if let Some((violation, trace)) = violation {
        panic!("{name}: {violation:?}\n{trace}");
    }
}

#[test]
fn one_process() {
    for (okta, leeway) in SERVERS {
        holds(Scope { faults: 3, ends: 0, wait_count: 0, ..one(okta, leeway) });
        holds(Scope { faults: 2, ends: 0, ..one(okta, leeway) });
    }
}

#[test]
fn a_sign_out_at_any_point() {
    for (okta, leeway) in [(true, 30), (true, 60), (false, 0)] {
        holds(one(okta, leeway));
    }
    holds(Scope { faults: 2, wait_count: 0, clock: false, ..one(true, 30) });
    holds(Scope { faults: 2, wait_count: 0, clock: false, net_faults: false, ..one(false, 0) });
}

#[test]
fn tokens_that_begin_to_rotate() {
    for (okta, leeway) in SERVERS {
        holds(Scope { faults: 2, ..fixed(okta, leeway) });
    }
}

#[test]
fn two_processes_with_a_lock() {
    for (okta, leeway) in SERVERS {
        holds(Scope { wait_count: 0, ..two(okta, leeway) });
    }
    holds(two(true, 30));
    holds(signer(true, 30));
}

#[test]
fn two_processes_that_are_suspended() {
    for (okta, leeway) in SERVERS {
        holds(Scope { wait_count: 0, ..suspended(okta, leeway) });
    }
    holds(Scope { store_faults: true, net_faults: true, crashes: true, wait_count: 0, ..suspended(true, 30) });
    // Every two suspensions; a third is too much for one machine.
    check(Scope { faults: 2, wait_count: 0, ..suspended(true, 30) });
    if std::env::var_os("DEEP").is_some() {
        let quiet = Scope { store_faults: false, net_faults: false, crashes: false, ..signer(true, 30) };
        holds(Scope { name: "two processes, suspended, sign-out", suspensions: true, ..quiet });
    }
}

#[test]
fn two_processes_without_a_lock() {
    for (okta, leeway) in [(true, 30), (false, 0)] {
        holds(never(okta, leeway));
    }
}

#[test]
fn sets_that_are_held_back() {
    for (okta, leeway) in SERVERS {
        holds(held(okta, leeway));
        holds(held_two(okta, leeway));
    }
    holds(Scope { faults: 2, ..held(true, 30) });
    holds(Scope { faults: 2, wait_count: 1, ..held_two(true, 30) });
}

#[test]
fn several_accounts() {
    for (many, okta, import) in ACCOUNTS {
        let (actions, faults) = (3, deeper(2));
        let scope = Accounts { many, okta, import, actions, faults, wrong: accounts::Wrong::Nothing };
        let name = format!("many {many}, Okta {okta}, import {import}, {actions} calls, {faults} faults");
        report(&name, Instant::now(), explore(&scope, scope.start()));
    }
}

const ACCOUNTS: [(bool, bool, bool); 6] = [
    (false, true, false),
    (false, false, false),
    (true, true, false),
    (true, false, false),
    (false, true, true),
    (true, true, true),
];

/// Each wrong rule is caught, by this invariant.
#[test]
fn a_wrong_rule_is_caught() {
    let single = one(true, 30);
    let quiet = Scope { ends: 0, ..single };
    let pairs = Scope { faults: 2, ..quiet };
    let ended = Scope { faults: 2, wait_count: 0, clock: false, ..single };
    let oidc = one(false, 30);
    let suspended = suspended(true, 30);
    let died = Scope { faults: 2, wait_count: 0, crashes: true, ..suspended };
    let unstored = Scope { store_faults: true, net_faults: true, ..suspended };
    let (signer, never) = (signer(true, 30), never(true, 30));
    let (held, held_two) = (held(true, 30), held_two(true, 30));
    let fixed = Scope { faults: 2, ..fixed(true, 30) };
    for (wrong, scope, by) in [
        (Wrong::NoMark, single, 2),
        (Wrong::LateRetry, single, 2),
        (Wrong::NoRetry, single, 1),
        (Wrong::OidcRetries, oidc, 2),
        (Wrong::ClearsMarkAfterLoss, pairs, 2),
        (Wrong::StaticStaysUnmarked, fixed, 2),
        (Wrong::DoesNotResume, single, 1),
        (Wrong::GoesOnAfterSuspension, suspended, 9),
        (Wrong::SendsWithoutReading, suspended, 8),
        (Wrong::WritesWithoutReading, never, 5),
        (Wrong::ErrorIsAbsent, single, 10),
        (Wrong::WritesOverUnreadable, single, 8),
        (Wrong::DropsForAMark, died, 6),
        (Wrong::TrustsTheStore, single, 4),
        (Wrong::WritesWhileLate, single, 8),
        (Wrong::AppliesAfterEnd, single, 5),
        (Wrong::DropsReceived, single, 6),
        (Wrong::QueuesBeforeTombstone, ended, 6),
        (Wrong::RevokesReplaced, oidc, 6),
        (Wrong::ReleasesHeld, held, 3),
        (Wrong::ReleasesOverNewer, held_two, 3),
        (Wrong::HoldsForever, held, 10),
        (Wrong::DropsUnvalidated, held, 6),
        (Wrong::EndsWithoutReading, died, 1),
        (Wrong::EndsUnread, pairs, 10),
        (Wrong::ReleasesUnstored, unstored, 1),
        (Wrong::NoTombstone, single, 6),
        (Wrong::QueueInOneBlob, never, 6),
        (Wrong::BuriesByHours, ended, 5),
        (Wrong::WorkerIgnoresRecord, signer, 6),
        (Wrong::DeletesUnseen, Scope { faults: 3, net_faults: false, ..ended }, 6),
        (Wrong::DeletesUnlocked, signer, 6),
        (Wrong::CountsOverReboot, single, 4),
        (Wrong::NeverRefreshes, never, 9),
        (Wrong::CancelStops, single, 1),
    ] {
        let scope = Scope { wrong, ..scope };
        caught(&format!("{wrong:?}"), by, explore(&scope, World::new(&scope)).violation);
    }
}

#[test]
fn a_wrong_rule_about_accounts_is_caught() {
    use accounts::Wrong;
    let base = |many, import, faults| Accounts { many, okta: true, import, actions: 3, faults, wrong: Wrong::Nothing };
    for (wrong, scope, by) in [
        (Wrong::EndsBeforeStoring, base(false, false, 1), 1),
        (Wrong::ListsNothing, base(false, false, 1), 7),
        (Wrong::ListsReadable, base(false, false, 1), 7),
        (Wrong::FailedListIsNone, base(false, false, 1), 7),
        (Wrong::TombstoneForgetsList, base(false, false, 1), 7),
        (Wrong::TombstoneForgetsImport, base(false, true, 1), 6),
        (Wrong::ClockAlone, base(true, false, 1), 7),
        (Wrong::ReadableAlone, base(true, false, 2), 7),
        (Wrong::CounterBeatsList, base(true, false, 2), 7),
        (Wrong::KeepsTwoOfOne, base(true, false, 1), 7),
        (Wrong::UnreadableIsNone, base(false, false, 1), 10),
        (Wrong::ImportsTwice, base(false, true, 1), 1),
        (Wrong::RevokesAfterStore, base(false, false, 1), 6),
        (Wrong::CancelForgets, base(false, false, 1), 6),
        (Wrong::CancelRevokesImport, base(false, true, 2), 1),
        (Wrong::KeepsOldUnstored, base(false, false, 1), 7),
    ] {
        let scope = Accounts { wrong, ..scope };
        caught(&format!("{wrong:?}"), by, explore(&scope, scope.start()).violation);
    }
}

fn caught(wrong: &str, by: u8, violation: Option<(Violation, String)>) {
    let Some((violation, trace)) = violation else { panic!("{wrong} was not caught") };
    println!("{wrong}: {violation:?} after {} events", trace.lines().count());
    assert_eq!(violation.0, by, "{wrong}\n{trace}");
}
