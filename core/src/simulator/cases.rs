//! The cases: what the app does, what happens meanwhile, and what has to be true afterwards.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::App;
use super::device::{Device, Setup};
use super::events::{Act, Event, Place, Who};
use super::server::{LIFE, Manner, Special};
use crate::config::{Accounts, Profile};
use crate::env::Clock;
use crate::error::{Error, Kind};
use crate::session::test_access::foreign_record;
use crate::{EnterCode, ServerSignOut, Session, State, Step};

/// What the app does while the events happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
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
    /// The same, and the process before died during a refresh.
    Interrupted,
    /// Sign-out.
    SignOut,
    /// Another user signs in.
    SignIn,
    /// Another user enters the code that was sent.
    Code,
    /// The same user signs in again, with several accounts.
    SameUser,
    /// One of two accounts refreshes.
    OneOfTwo,
    /// One of two accounts signs out.
    OneLeaves,
    /// The one of two accounts that is not the default refreshes.
    NotDefault,
    /// The same, and the process before died during that refresh.
    NotDefaultInterrupted,
    /// The other of two accounts becomes the default.
    Default,
    /// A refresh token is taken over.
    Import,
    /// The app comes to the foreground after a sign-out that could not be told to the server.
    Foreground,
    /// The refreshed ID token is signed with a key that is published a minute later.
    HeldBack,
    /// The user shows more, and the session gets other tokens.
    StepUp,
}

pub(super) const SCENARIOS: [Scenario; 19] = [
    Scenario::Expired,
    Scenario::Early,
    Scenario::Twice,
    Scenario::Callers,
    Scenario::Restored,
    Scenario::Interrupted,
    Scenario::SignOut,
    Scenario::SignIn,
    Scenario::Code,
    Scenario::SameUser,
    Scenario::OneOfTwo,
    Scenario::OneLeaves,
    Scenario::NotDefault,
    Scenario::NotDefaultInterrupted,
    Scenario::Default,
    Scenario::Import,
    Scenario::Foreground,
    Scenario::HeldBack,
    Scenario::StepUp,
];

impl Scenario {
    /// Whether there are two accounts.
    fn has_two(self) -> bool {
        matches!(
            self,
            Self::SameUser
                | Self::OneOfTwo
                | Self::OneLeaves
                | Self::NotDefault
                | Self::NotDefaultInterrupted
                | Self::Default
        )
    }

    fn is_interrupted(self) -> bool {
        matches!(self, Self::Interrupted | Self::NotDefaultInterrupted)
    }
}

/// How server and clients are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Okta's defaults.
    Usual,
    /// With the cross-process lock, and tokens that are bound to a key.
    Lock,
    /// Another provider, with ID tokens, and tokens that are bound to a key.
    Oidc,
    /// Refresh tokens never change.
    Static,
}

pub(super) const VARIANTS: [Variant; 4] = [Variant::Usual, Variant::Lock, Variant::Oidc, Variant::Static];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) variant: Variant,
    pub(super) leeway: u64,
    pub(super) events: Vec<(usize, Event)>,
}

impl Case {
    pub(super) fn quiet(scenario: Scenario, variant: Variant) -> Self {
        Self { scenario, variant, leeway: 30, events: Vec::new() }
    }

    fn setup(&self) -> Setup {
        let accounts = if self.scenario.has_two() { Accounts::Many } else { Accounts::One };
        let usual = setup(self.variant, accounts, self.leeway);
        let openid = usual.manner.openid || matches!(self.scenario, Scenario::HeldBack | Scenario::StepUp);
        Setup { manner: Manner { openid, ..usual.manner }, ..usual }
    }
}

/// Several accounts are told apart by their ID tokens.
pub(super) fn setup(variant: Variant, accounts: Accounts, leeway: u64) -> Setup {
    let openid = variant == Variant::Oidc || accounts == Accounts::Many;
    Setup {
        manner: Manner {
            leeway,
            rotates: variant != Variant::Static,
            openid,
            any_token_ends: variant == Variant::Oidc,
            wants_nonces: matches!(variant, Variant::Lock | Variant::Oidc),
        },
        profile: if variant == Variant::Oidc { Profile::Oidc } else { Profile::Okta },
        accounts,
        lock: variant == Variant::Lock,
    }
}

/// What a case came to.
pub(super) struct Outcome {
    pub(super) places: Vec<Place>,
    pub(super) violations: Vec<String>,
    pub(super) longest: BTreeMap<&'static str, Duration>,
}

/// The record of another client stays as it is.
const FOREIGN: &str = "session.0a1b";

/// Plays one case.
pub(super) fn play(case: &Case) -> Outcome {
    let device = Device::new(case.setup());
    device.lock().history.begin(case.leeway, case.variant == Variant::Oidc);
    let stage = Stage::set(case, &device);
    let app = stage.app.clone();
    for (_, event) in &case.events {
        let act = match event {
            Event::Act(act) => *act,
            Event::Suspend { freed: true, .. } => Act::Token(Who::Other),
            _ => continue,
        };
        if let (Act::Cancel, Some(code)) = (act, stage.code.clone()) {
            device.on_act(act, move || code.cancel());
            continue;
        }
        let actor = match act.who() {
            Who::Same => app.clone(),
            Who::Second => app.second(),
            Who::Other => stage.other.clone(),
        };
        device.on_act(act, move || actor.act(act));
    }
    let untouched = stage.untouched();
    device.plan(app.process.pid, &case.events);
    if case.scenario == Scenario::HeldBack {
        device.lock().server.next = Some(Special::NewKey);
    }
    let left = device.clone();
    let main = unless(stage.main(case.scenario), move || left.has_left());
    let result = app.run(main).flatten();
    // What was begun in the background meets its points too.
    device.world.rest(Duration::from_secs(1));
    let places = device.places();
    stage.after(case, result);
    let mut violations = device.lock().history.violations.clone();
    if untouched.iter().any(|(key, blob)| device.blobs().get(key) != Some(blob)) {
        violations.push("7: another session's record has changed".to_owned());
    }
    let longest = device.lock().history.longest.clone();
    Outcome { places, violations, longest }
}

/// Ends early, without a result, when the caller has left.
async fn unless<T>(main: impl Future<Output = T>, left: impl Fn() -> bool) -> Option<T> {
    let mut main = core::pin::pin!(main);
    core::future::poll_fn(|context| match main.as_mut().poll(context) {
        core::task::Poll::Ready(value) => core::task::Poll::Ready(Some(value)),
        core::task::Poll::Pending if left() => core::task::Poll::Ready(None),
        core::task::Poll::Pending => core::task::Poll::Pending,
    })
    .await
}

/// A device with somebody signed in, up to the moment when the case begins.
struct Stage {
    device: Device,
    app: App,
    /// Another process of the device.
    other: App,
    session: Option<Session>,
    /// The other of two accounts.
    sibling: Option<Session>,
    /// Of a session that an earlier process had.
    id: Option<String>,
    /// The step of somebody who was sent a code.
    code: Option<Arc<EnterCode>>,
}

impl Stage {
    fn set(case: &Case, device: &Device) -> Self {
        device.plant(FOREIGN, &foreign_record());
        let mut app = App::start(device, true);
        let rest = |secs| device.world.rest(Duration::from_secs(secs));
        let mut session = None;
        let mut sibling = None;
        let mut id = None;
        let mut code = None;
        let signs_in = |user| app.run(app.sign_in(user)).unwrap().unwrap();
        match case.scenario {
            Scenario::Import => device.lock().server.grant_elsewhere("ana", device.world.elapsed()),
            scenario if scenario.has_two() => {
                sibling = Some(signs_in("ben"));
                rest(60);
                session = Some(signs_in("ana"));
                // From here on they count anew.
                device.lock().history.sign_ins_called = 1;
                if matches!(case.scenario, Scenario::NotDefault | Scenario::NotDefaultInterrupted) {
                    core::mem::swap(&mut session, &mut sibling);
                }
            }
            _ => session = Some(signs_in("ana")),
        }
        match case.scenario {
            Scenario::Expired | Scenario::Callers | Scenario::OneOfTwo | Scenario::NotDefault | Scenario::HeldBack => {
                rest(LIFE + 1)
            }
            Scenario::Early => rest(LIFE - 60),
            Scenario::Restored | Scenario::Interrupted | Scenario::NotDefaultInterrupted => {
                rest(LIFE + 1);
                id = session.as_ref().map(Session::id);
                if case.scenario.is_interrupted() {
                    // The answer to its refresh was lost, and so was the process.
                    app.spawn({
                        let (app, session) = (app.clone(), session.clone().unwrap());
                        async move { drop(app.token(&session).await) }
                    });
                    // The server has acted, and its answer is on the way.
                    let rotated = || device.lock().server.grants.iter().any(|grant| grant.newest() > 0);
                    while !rotated() {
                        device.world.rest(Duration::from_millis(10));
                        assert!(device.world.elapsed() < Duration::from_secs(LIFE + 120), "it was never sent");
                    }
                }
                (session, sibling) = (None, None);
                device.crash(app.process.pid);
                device.lock().history.died_before = true;
                app = App::start(device, true);
                rest(3);
            }
            Scenario::Foreground => {
                device.plan(app.process.pid, &[]);
                let session = session.take().unwrap();
                device.go_offline(Duration::from_secs(30));
                let out = app.run(app.sign_out(&session)).unwrap().unwrap();
                assert_eq!(out.server, ServerSignOut::Pending);
            }
            Scenario::Code => {
                rest(100);
                let Step::EnterCode(step) = app.run(app.client.sign_in("ben").sms()).unwrap().unwrap() else {
                    panic!()
                };
                code = Some(Arc::new(step));
            }
            _ => rest(100),
        }
        let other = App::start(device, false);
        Self { device: device.clone(), app, other, session, sibling, id, code }
    }

    /// Records that nothing in this case may change.
    fn untouched(&self) -> Vec<(crate::env::StorageKey, Vec<u8>)> {
        let key = |text: &str| crate::env::StorageKey::parse(text).unwrap();
        let blobs = self.device.blobs();
        vec![(key(FOREIGN), blobs[&key(FOREIGN)].clone())]
    }

    /// What the app does; the session that it then has in hand.
    async fn main(&self, scenario: Scenario) -> Result<Option<Session>, Error> {
        let app = &self.app;
        let session = self.session.clone();
        match scenario {
            Scenario::HeldBack => {
                let session = session.unwrap();
                let _ = app.token(&session).await;
                app.process.sleep(Duration::from_secs(200)).await;
                app.token(&session).await?;
                Ok(Some(session))
            }
            Scenario::Expired | Scenario::Early | Scenario::OneOfTwo | Scenario::NotDefault => {
                let session = session.unwrap();
                app.token(&session).await?;
                if scenario == Scenario::Early {
                    // The refresh runs without anybody waiting; half a minute later the token is still good.
                    app.process.sleep(Duration::from_secs(32)).await;
                    app.token(&session).await?;
                    app.process.sleep(Duration::from_secs(1)).await;
                }
                Ok(Some(session))
            }
            Scenario::Twice => {
                let session = session.unwrap();
                session.refresh().await?;
                app.process.sleep(Duration::from_secs(6)).await;
                session.refresh().await?;
                app.token(&session).await?;
                Ok(Some(session))
            }
            Scenario::Callers => {
                let session = session.unwrap();
                // More than a store is given calls at once.
                let calls = (0..40).map(|_| app.token(&session));
                for result in futures_util::future::join_all(calls).await {
                    result?;
                }
                Ok(Some(session))
            }
            Scenario::Restored | Scenario::Interrupted => {
                let Some(session) = app.restore().await? else { return Ok(None) };
                app.token(&session).await?;
                Ok(Some(session))
            }
            Scenario::NotDefaultInterrupted => {
                // The app shows the default account, and comes to this one much later.
                app.restore().await?;
                app.process.sleep(Duration::from_secs(60)).await;
                let Some(session) = app.client.session(self.id.as_deref().unwrap()).await? else { return Ok(None) };
                app.token(&session).await?;
                Ok(Some(session))
            }
            Scenario::SignOut | Scenario::OneLeaves => {
                app.sign_out(&session.unwrap()).await?;
                Ok(self.sibling.clone())
            }
            Scenario::SignIn => app.sign_in("ben").await.map(Some),
            Scenario::Code => {
                let code = self.code.clone().unwrap();
                app.enter(&code, "ben").await.map(Some)
            }
            Scenario::SameUser => app.sign_in("ana").await.map(Some),
            Scenario::StepUp => {
                let session = session.unwrap();
                app.step_up(&session).await?;
                app.token(&session).await?;
                Ok(Some(session))
            }
            Scenario::Default => {
                let sibling = self.sibling.clone().unwrap();
                let session = app.client.set_default(&sibling.id()).await?;
                Ok(Some(session))
            }
            Scenario::Import => app.import().await.map(Some),
            Scenario::Foreground => {
                app.process.sleep(Duration::from_secs(31)).await;
                app.client.notify_foreground();
                app.process.sleep(Duration::from_secs(1)).await;
                Ok(None)
            }
        }
    }

    /// The events are over: what is there works, and nothing is left behind.
    fn after(&self, case: &Case, result: Option<Result<Option<Session>, Error>>) {
        let (device, app) = (&self.device, &self.app);
        // Other providers than Okta do not repeat an answer.
        let may_be_lost = case.scenario.is_interrupted() && case.variant == Variant::Oidc;
        if let (Some(Err(error)), true) = (&result, case.events.is_empty() && !may_be_lost) {
            device.lock().history.violated(format!("nothing happened, yet: {error:?}"));
        }
        let crashed = device.lock().crashed;
        let expects = self.expects(case);
        let session = result.and_then(Result::ok).flatten().or_else(|| self.session.clone());
        if let Some(crash) = crashed {
            drop(session);
            self.restart(crash);
            let next = App::start(device, true);
            if device.goes_on_with(next.process.pid) {
                // The second event is the next process's.
                next.run(async {
                    if let Ok(Some(session)) = next.restore().await {
                        let _ = next.token(&session).await;
                    }
                });
                device.world.rest(Duration::from_secs(1));
                let crashed = device.lock().crashed;
                if let Some(crash) = crashed {
                    self.restart(crash);
                } else {
                    device.world.rest(Duration::from_secs(900));
                }
            }
            device.kill(next.process.pid);
            device.calm_down();
        } else {
            // A quarter of an hour later the trouble is over, and the same process goes on.
            device.world.rest(Duration::from_secs(900));
            device.calm_down();
            device.world.rest(Duration::from_secs(8 * 3600));
            let shown = app.client.state();
            device.world.rest(Duration::from_secs(1));
            app.run(async {
                let found = app.restore().await;
                let is_known = case.events.iter().all(|(_, event)| !event.is_of_another());
                self.state_is_right(is_known, &shown, &found);
                if let Ok(Some(session)) = found {
                    let _ = app.token(&session).await;
                }
            });
            drop((session, shown));
            device.kill(app.process.pid);
            device.lose();
        }
        let next = App::start(device, true);
        judge(&next, expects == Expects::Somebody);
        device.world.rest(Duration::from_secs(3 * 3600));
        let imported = (case.scenario == Scenario::Import).then_some(0);
        at_rest(device, case.variant, case.setup().accounts, imported);
    }

    /// The process is dead; the next one begins later, perhaps after a reboot.
    fn restart(&self, (pause, reboot): (u64, bool)) {
        if reboot {
            self.device.crash(self.other.process.pid);
        }
        self.device.pauses(pause, reboot);
    }

    /// 11: what the app shows is who is signed in.
    fn state_is_right(&self, is_known: bool, shown: &State, found: &Result<Option<Session>, Error>) {
        let is_right = match (shown, found) {
            (State::Restoring, _) | (_, Err(_)) => true,
            (State::SignedIn(shown), Ok(Some(found))) => shown.id() == found.id(),
            (State::SignedOut, Ok(None)) => true,
            // The store could not be read, and the app did not look again.
            (State::Unavailable(_), _) => self.device.lock().history.has_store_fault(),
            _ => false,
        };
        let mut inner = self.device.lock();
        if is_known && !is_right && !inner.history.has_lost_data() && !inner.history.has_healed() {
            inner.history.violated(format!("11: {shown:?} is shown, and {found:?} is there"));
        }
    }

    fn expects(&self, case: &Case) -> Expects {
        match case.scenario {
            Scenario::SignOut | Scenario::Import | Scenario::Foreground => Expects::Perhaps,
            _ => Expects::Somebody,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// Somebody is signed in, unless history says otherwise.
    Somebody,
    Perhaps,
}

/// A new process on a healthy device: one restore and one call give a usable session, or an end that has a cause.
pub(super) fn judge(next: &App, expects_somebody: bool) {
    let device = &next.device;
    let found = next.run(next.restore()).unwrap();
    let may_be_over = |device: &Device| device.note(|history, facts| history.may_be_over(facts));
    let session = match found {
        Err(error) => {
            let torn = device.lock().history.has_torn();
            if !torn {
                device.lock().history.violated(format!("10: the next process cannot restore: {error:?}"));
            }
            return;
        }
        Ok(None) => {
            if expects_somebody && !may_be_over(device) {
                device.lock().history.violated("10: the next process found no session".to_owned());
            }
            return;
        }
        Ok(Some(session)) => session,
    };
    let usable = |result: Result<crate::Secret, Error>| match result {
        Ok(token) => {
            let (now, inner) = (device.world.elapsed(), device.lock());
            let accepted = inner.server.accepts(token.expose(), now);
            drop(inner);
            if accepted || may_be_over(device) { None } else { Some("a token that the server refuses".to_owned()) }
        }
        Err(error) if matches!(error.kind(), Kind::SessionEnded { .. }) && may_be_over(device) => None,
        Err(error) => Some(format!("{error:?}")),
    };
    // Not only the default one.
    let all = next.run(next.client.sessions()).unwrap().unwrap_or_default();
    let others = all.iter().filter(|info| info.id != session.id());
    let others = others.filter_map(|info| next.run(next.client.session(&info.id)).unwrap().ok().flatten());
    let sessions: Vec<Session> = core::iter::once(session.clone()).chain(others).collect();
    // A mark may stand, so the first call may have to wait until the access token has expired.
    for session in &sessions {
        if let Ok(token) = next.run(next.token(session)).unwrap()
            && let Some(problem) = usable(Ok(token))
        {
            device.lock().history.violated(format!("10: the next process got {problem}"));
        }
    }
    device.world.rest(Duration::from_secs(LIFE + 31));
    for session in &sessions {
        if let Some(problem) = usable(next.run(next.token(session)).unwrap()) {
            device.lock().history.violated(format!("10: the next process got {problem}"));
        }
    }
}

/// 6: each live grant is somebody's.
pub(super) fn at_rest(device: &Device, variant: Variant, accounts: Accounts, imported: Option<usize>) {
    device.note(|history, facts| {
        let records = facts.live_records();
        if accounts == Accounts::One && records.len() > 1 && !history.has_store_fault() {
            history.violated(format!("7: {} sessions where there is one account", records.len()));
        }
        for grant in facts.server.live() {
            let of = |token: Option<&str>| token.and_then(super::server::Issue::parse).map(|issue| issue.grant);
            let held = records.iter().filter(|(_, session)| of(session.refresh.as_deref()) == Some(grant)).count();
            let owed = facts.owed().iter().filter(|issue| issue.grant == grant).count();
            let holders = held + owed;
            let user = &facts.server.grants[grant].user;
            if holders > 1 {
                history.violated(format!("6: {user}'s grant {grant} is in {held} records and {owed} queue entries"));
            }
            // Other providers are not told of what was replaced; of an import that failed, the other library knows.
            let is_replaced = variant == Variant::Oidc && (history.sign_ins_called > 1 || history.was_left(grant));
            let is_left = is_replaced || (imported == Some(grant) && !history.was_stored(grant));
            if holders == 0 && !history.newest_is_lost(grant, facts) && !history.refused_to_revoke(grant) && !is_left {
                history.violated(format!("6: {user}'s grant {grant} is alive and nobody's"));
            }
        }
    });
}
