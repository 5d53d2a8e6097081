//! One refresh, stopped at every effect, with every single event: nothing of it may lose the session, except the losses
//! that no client can heal (docs/sessions.md §1, §11).
//!
//! The real library runs on a simulated device and server. `CASE='…'` replays the case that a violation names.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use directauth::env::Clock;
use directauth::{Client, Error, Kind, Session, Step};
use futures_util::FutureExt;
use support::simulator::{Device, Event, Fault, LIFE};

/// What the app does while the event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// The token has expired, and somebody asks for one.
    Expired,
    /// The token soon expires, and somebody asks for one: the refresh runs in the background.
    Early,
    /// The app refreshes by itself, twice.
    Twice,
    /// Three callers at once with an expired token.
    Callers,
    /// The first call of a process that was just started.
    Restored,
    /// Sign-out.
    SignOut,
}

const SCENARIOS: [Scenario; 6] =
    [Scenario::Expired, Scenario::Early, Scenario::Twice, Scenario::Callers, Scenario::Restored, Scenario::SignOut];

const EVENTS: [Event; 13] = [
    Event::Crash,
    Event::StoreFails(Fault::Locked),
    Event::StoreFails(Fault::Transient),
    Event::StoreFails(Fault::KeyMissing),
    Event::StoreFailsAfterEffect,
    Event::StoreLies,
    Event::StoreHangs,
    Event::RequestLost,
    Event::AnswerLost,
    Event::Answer(429),
    Event::Answer(503),
    Event::OtherProcess,
    Event::Act,
];

/// When the next process starts after this one.
const PAUSES: [u64; 4] = [0, 29, 31, 8 * 3600];
const NEXT_IF_ALIVE: [(u64, bool); 2] = [(0, false), (8 * 3600, true)];
const LEEWAYS: [u64; 3] = [0, 30, 60];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    scenario: Scenario,
    leeway: u64,
    event: Event,
    point: usize,
    pause: u64,
    reboot: bool,
}

#[test]
fn no_single_event_at_any_point_loses_a_session() {
    let only = std::env::var("CASE").ok();
    let (mut cases, mut points_seen, mut violations) = (0, 0, Vec::new());
    for scenario in SCENARIOS {
        for leeway in LEEWAYS {
            let points =
                play(Case { scenario, leeway, event: Event::Crash, point: usize::MAX, pause: 0, reboot: false });
            let points = points.expect("nothing happens, nothing is lost");
            points_seen += points;
            for event in EVENTS {
                // When the next process starts matters if this one died; otherwise two ways are enough.
                let all = PAUSES.into_iter().flat_map(|pause| [(pause, false), (pause, true)]);
                let next: Vec<_> = all.filter(|next| event == Event::Crash || NEXT_IF_ALIVE.contains(next)).collect();
                for (point, (pause, reboot)) in (0..points).flat_map(|p| next.iter().map(move |n| (p, *n))) {
                    let case = Case { scenario, leeway, event, point, pause, reboot };
                    if event == Event::OtherProcess && !may_meet(scenario, point) {
                        continue;
                    }
                    if only.as_ref().is_some_and(|only| *only != format!("{case:?}")) {
                        continue;
                    }
                    cases += 1;
                    if let Err(violation) = play(case) {
                        violations.push(format!("{violation}\n    CASE='{case:?}'"));
                    }
                }
            }
        }
    }
    println!("{cases} cases at {points_seen} points, {} violations", violations.len());
    assert!(cases > 0, "no case was played");
    let shown = violations.len().min(20);
    assert!(violations.is_empty(), "{} violations\n{}", violations.len(), violations[..shown].join("\n"));
}

/// Two processes that refresh the same session at once need the cross-process lock of a later version. Until then the
/// other one may refresh before this one has read the record.
fn may_meet(scenario: Scenario, point: usize) -> bool {
    point == 0 && scenario != Scenario::Early
}

/// Plays one case; gives the number of points, or the first violation.
fn play(case: Case) -> Result<usize, String> {
    let device = Device::new(case.leeway);
    let first = device.process(true);
    let mut client = first.clone();
    let mut session = device.sign_in(&first);
    device.settle();
    match case.scenario {
        Scenario::Expired | Scenario::Callers => device.world.advance(Duration::from_secs(LIFE + 1)),
        Scenario::Early => device.world.advance(Duration::from_secs(LIFE - 60)),
        Scenario::Twice | Scenario::SignOut => device.world.advance(Duration::from_secs(100)),
        Scenario::Restored => {
            drop(session);
            drop(first);
            device.restart(Duration::from_secs(LIFE + 1), false);
            client = device.process(true);
            session = restored(&device, &client)?.ok_or("nothing was restored")?;
        }
    }
    // Invariant 4: a token is handed out only after its set was read back, or as not persisted.
    let (asked, by) = (device.clone(), session.clone());
    device.on_act(move || {
        if let Some(Ok(token)) = by.access_token().now_or_never()
            && by.is_persisted()
            && !asked.was_stored(token.expose())
        {
            asked.violated("a token was handed out that is not stored");
        }
    });
    device.plan(case.point, case.event);
    let result = act(&device, case.scenario, &session);
    device.settle();
    let points = device.points().len();
    if let Some(result) = &result {
        judge_result(case, &device, result)?;
    }
    if case.scenario != Scenario::SignOut && !device.is_dead() {
        // The process lives on: half a minute later everything works again.
        device.world.run(device.world.sleep(Duration::from_secs(31)));
        let again = device.world.run(session.access_token());
        device.settle();
        judge_token(case, &device, again.map(|token| device.accepts(token.expose())))?;
    }
    // Then, or because it died, a new process.
    drop(session);
    drop(client);
    device.restart(Duration::from_secs(case.pause), case.reboot);
    let next = device.process(false);
    judge_next(case, &device, &next)?;
    judge_history(case, &device)?;
    Ok(points)
}

/// What the scenario's calls gave: accepted tokens, or the first error. `None` if the process died.
fn act(device: &Device, scenario: Scenario, session: &Session) -> Option<Result<bool, Error>> {
    match scenario {
        Scenario::Expired | Scenario::Early | Scenario::Restored => {
            let token = device.run(session.access_token())?;
            device.settle();
            if device.is_dead() {
                return None;
            }
            Some(token.map(|token| device.accepts(token.expose())))
        }
        Scenario::Callers => {
            let calls = [session.access_token(), session.access_token(), session.access_token()];
            let results = device.run(futures_util::future::join_all(calls))?;
            let tokens: Result<Vec<_>, _> = results.into_iter().collect();
            Some(tokens.map(|tokens| tokens.iter().all(|token| device.accepts(token.expose()))))
        }
        Scenario::Twice => {
            let first = device.run(session.refresh())?;
            device.settle();
            let second = device.run(session.refresh())?;
            Some(first.and(second).map(|()| true))
        }
        Scenario::SignOut => Some(device.run(session.sign_out())?.map(|_| true)),
    }
}

fn judge_result(case: Case, device: &Device, result: &Result<bool, Error>) -> Result<(), String> {
    match result {
        Ok(false) => Err("a token was handed out that the server refuses".to_owned()),
        Ok(true) => Ok(()),
        Err(error) if !device.happened() => Err(format!("nothing happened, yet: {error:?}")),
        Err(error) if case.scenario == Scenario::SignOut => match error.kind() {
            Kind::StorageUnavailable { .. } => Ok(()),
            other => Err(format!("sign-out: {other:?}")),
        },
        Err(error) => judge_error(case, device, error),
    }
}

fn judge_token(case: Case, device: &Device, result: Result<bool, Error>) -> Result<(), String> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err("later: a token was handed out that the server refuses".to_owned()),
        Err(error) if loss_is_named(case, device) => judge_error(case, device, &error),
        Err(error) => Err(format!("later: {error:?}")),
    }
}

/// An end needs a cause that docs/sessions.md §1 names; any other error leaves the session alone.
fn judge_error(case: Case, device: &Device, error: &Error) -> Result<(), String> {
    match error.kind() {
        Kind::SessionEnded { .. } if loss_is_named(case, device) => Ok(()),
        Kind::SessionEnded { .. } => Err(format!("the session ended: {error:?}")),
        _ => Ok(()),
    }
}

/// The losses that no client can heal, as docs/sessions.md §1 words them, for a single event: a rotation whose answer was
/// lost, or died with its process, and could not be asked for again within 25 s; at leeway 0 any lost answer.
fn loss_is_named(case: Case, device: &Device) -> bool {
    match case.event {
        Event::AnswerLost => device.happened() && case.leeway == 0,
        Event::Crash => device.lost() && (case.leeway == 0 || case.pause >= 25 || case.reboot),
        _ => false,
    }
}

/// The next process: the session is there and works, unless it was signed out or a named loss took it.
fn judge_next(case: Case, device: &Device, next: &Client) -> Result<(), String> {
    let session = restored(device, next)?;
    if case.scenario == Scenario::SignOut {
        return judge_signed_out(case, device, session.as_ref());
    }
    let Some(session) = session else {
        return if loss_is_named(case, device) { Ok(()) } else { Err("the next process found no session".to_owned()) };
    };
    // Once the access token has expired, one call gives a usable session or a named end.
    let first = device.world.run(session.access_token());
    if let Ok(token) = &first
        && !device.accepts(token.expose())
        && !loss_is_named(case, device)
    {
        return Err("the next process got a token that the server refuses".to_owned());
    }
    device.settle();
    device.world.advance(Duration::from_secs(LIFE + 31));
    let later = device.world.run(session.access_token());
    device.settle();
    judge_token(case, device, later.map(|token| device.accepts(token.expose()))).map_err(|v| format!("next: {v}"))?;
    if device.server(|server| server.grants.iter().filter(|grant| grant.alive).count()) == 1 && device.records() != 1 {
        return Err(format!("{} records for a live grant", device.records()));
    }
    Ok(())
}

fn judge_signed_out(case: Case, device: &Device, session: Option<&Session>) -> Result<(), String> {
    let store_fault = !matches!(case.event, Event::RequestLost | Event::AnswerLost | Event::Answer(_));
    match session {
        None => Ok(()),
        // Without tombstones (a later version) a death or a store fault before the deletion leaves the record.
        Some(_) if device.happened() && store_fault => Ok(()),
        Some(_) => Err("a signed-out session came back".to_owned()),
    }
}

/// What the server saw over the whole case.
fn judge_history(case: Case, device: &Device) -> Result<(), String> {
    if let Some(violation) = device.violations().first() {
        return Err(violation.clone());
    }
    let allowed = loss_is_named(case, device);
    device.server(|server| {
        if server.grants.iter().any(|grant| grant.reuse_detected) && !allowed {
            return Err("the server detected reuse of a refresh token".to_owned());
        }
        // Invariant 2: a process sends a refresh token at most twice within 25 s; the next process once more.
        for (at, token) in &server.sent {
            let near = |other: &Duration| other.abs_diff(*at) < Duration::from_secs(25);
            let count = server.sent.iter().filter(|(other, t)| t == token && near(other)).count();
            if count > 3 {
                return Err(format!("{token} was sent {count} times within 25 s"));
            }
        }
        Ok(())
    })
}

/// A sign-in, cancelled or dropped at every point, or its process dying there.
#[test]
fn a_sign_in_that_is_given_up_is_signed_in_wholly_or_not_at_all() {
    let mut cases = 0;
    for event in [Event::Act, Event::Drop, Event::Crash, Event::StoreFails(Fault::Locked), Event::StoreLies] {
        let points = sign_in(event, usize::MAX).expect("nothing happens");
        for point in 0..points {
            cases += 1;
            if let Err(violation) = sign_in(event, point) {
                panic!("{event:?} at point {point} of {points}: {violation}");
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 50, "{cases}");
}

fn sign_in(event: Event, point: usize) -> Result<usize, String> {
    let device = Device::new(30);
    // Somebody else is signed in: a sign-in replaces that session or leaves it alone.
    drop(device.sign_in(&device.process(false)));
    device.settle();
    device.world.advance(Duration::from_secs(1));
    let client = device.process(true);
    let step = device.world.run(client.sign_in("cleo").sms());
    let Ok(Step::EnterCode(code)) = step else { panic!("{step:?}") };
    let code = Arc::new(code);
    let cancel = Arc::clone(&code);
    device.on_act(move || cancel.cancel());
    device.plan(point, event);
    let result = device.world.try_run(code.submit("123456"), || device.is_dead() || device.was_dropped());
    let result = if device.is_dead() { None } else { result };
    drop(code);
    device.settle();
    let points = device.points().len();
    let stored = |device: &Device| {
        let next = device.process(false);
        let found = device.world.run(next.restore()).map_err(|error| format!("restore: {error:?}"));
        device.settle();
        found.map(|session| session.map(|session| session.username()))
    };
    if device.is_dead() {
        device.restart(Duration::ZERO, false);
        return match stored(&device)?.as_deref() {
            Some("ana" | "cleo") => Ok(points),
            other => Err(format!("after the crash {other:?} is signed in")),
        };
    }
    let told = matches!(result, Some(Ok(Step::SignedIn(_))));
    let store_fault = !matches!(event, Event::Act | Event::Drop);
    if store_fault {
        // In this process what was told is the truth, stored or not.
        if let (true, Ok(found)) = (told, device.world.run(client.restore()))
            && found.as_ref().map(Session::username).as_deref() != Some("cleo")
        {
            return Err(format!("in the same process: {found:?}"));
        }
        // Refused before the credential, or signed in, perhaps from memory; rewritten meanwhile.
        device.world.run(device.world.sleep(Duration::from_secs(5)));
        device.settle();
    }
    drop(client);
    let stored = stored(&device)?;
    if store_fault && told && stored.as_deref() == Some("cleo") {
        // The other session may still be there; it must not come back when this one is signed out.
        let next = device.process(false);
        let session = restored(&device, &next)?.ok_or("gone")?;
        let out = device.world.run(session.sign_out());
        device.settle();
        let left = (restored(&device, &device.process(false))?.is_some(), device.live_grants());
        return if left == (false, 0) { Ok(points) } else { Err(format!("after {out:?}: {left:?} is left")) };
    }
    match (told, stored.as_deref()) {
        (true, Some("cleo")) if device.live_grants() == 1 => Ok(points),
        (false, Some("cleo")) if event == Event::Drop && device.live_grants() == 1 => Ok(points),
        (false, Some("ana")) if device.live_grants() == 1 => Ok(points),
        other => Err(format!("told and stored: {other:?}, {} live grants, {result:?}", device.live_grants())),
    }
}

fn restored(device: &Device, client: &Client) -> Result<Option<Session>, String> {
    device.world.run(client.restore()).map_err(|error| format!("restore: {error:?}"))
}
