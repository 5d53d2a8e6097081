//! Long histories: whatever an app, its user and its device do one after another, with events in between, all by a seed.

use core::time::Duration;

use super::app::App;
use super::cases::{Variant, at_rest, judge, setup};
use super::device::Device;
use super::events::{Act, Event, Place, Who, events_at};
use crate::Session;
use crate::config::Accounts;
use crate::testing::Random;

/// What is done in a history.
const DEEDS: usize = 12;

struct Wanderer {
    random: Random,
    device: Device,
    app: App,
    other: App,
    session: Option<Session>,
}

/// Plays the history of a seed; what it violates.
pub(super) fn wander(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let variant = *random.pick(&[Variant::Usual, Variant::Usual, Variant::Lock, Variant::Oidc, Variant::Static]);
    let accounts = *random.pick(&[Accounts::One, Accounts::One, Accounts::Many]);
    let leeway = *random.pick(&[0, 30, 30, 60]);
    let device = Device::new(setup(variant, accounts, leeway));
    device.lock().history.begin(leeway, variant == Variant::Oidc);
    let (app, other) = (App::start(&device, true), App::start(&device, false));
    let mut wanderer = Wanderer { random, device: device.clone(), app, other, session: None };
    for _ in 0..DEEDS {
        wanderer.deed(variant);
    }
    device.calm_down();
    device.world.rest(Duration::from_secs(3600));
    device.kill(wanderer.app.process.pid);
    wanderer.session = None;
    device.lose();
    let next = App::start(&device, true);
    judge(&next, false);
    device.world.rest(Duration::from_secs(3 * 3600));
    at_rest(&device, variant, accounts, None);
    let inner = device.lock();
    inner.history.violations.clone()
}

impl Wanderer {
    /// One thing after another; in two of three nothing goes wrong.
    fn deed(&mut self, variant: Variant) {
        let device = self.device.clone();
        let event = self.random.once_in(3).then(|| {
            let place = *self.random.pick(&[Place::Read, Place::Write, Place::Sent, Place::After]);
            let event = *self.random.pick(&events_at(place, variant, true));
            (self.random.below(24), event)
        });
        let events: Vec<(usize, Event)> = event.into_iter().collect();
        for (_, event) in &events {
            let act = match event {
                Event::Act(act) => *act,
                Event::Suspend { freed: true, .. } => Act::Token(Who::Other),
                _ => continue,
            };
            let actor = match act.who() {
                Who::Same => self.app.clone(),
                Who::Second => self.app.second(),
                Who::Other => self.other.clone(),
            };
            device.on_act(act, move || actor.act(act));
        }
        device.plan(self.app.process.pid, &events);
        self.act();
        device.world.rest(Duration::from_secs(1));
        let crashed = device.lock().crashed.take();
        device.plan(usize::MAX, &[]);
        if let Some((pause, reboot)) = crashed {
            self.restart(pause, reboot);
        }
    }

    fn act(&mut self) {
        let (device, app) = (self.device.clone(), self.app.clone());
        let session = self.session.clone();
        match self.random.below(12) {
            0 | 1 => {
                let user = *self.random.pick(&["ana", "ben", "cleo"]);
                self.session = app.run(app.sign_in(user)).and_then(Result::ok).or(session);
            }
            2..=4 => {
                self.session = app.run(app.restore()).and_then(Result::ok).flatten().or(session);
                if let Some(session) = &self.session {
                    app.run(app.token(session));
                }
            }
            5 => drop(session.map(|session| app.run(session.refresh()))),
            6 => drop(session.map(|session| app.run(app.sign_out(&session)))),
            7 => self.other.act(*self.random.pick(&[Act::Token(Who::Other), Act::SignOut(Who::Other)])),
            8 => app.client.notify_foreground(),
            9 => {
                let (pause, reboot) = (*self.random.pick(&[0, 10, 29, 31, 8 * 3600]), self.random.once_in(3));
                device.crash(app.process.pid);
                device.lock().history.happened(Event::Crash { pause, reboot }, device.world.elapsed());
                self.restart(pause, reboot);
            }
            10 => {
                for _ in 0..3 {
                    let (app, session) = (app.clone(), session.clone());
                    app.clone().spawn(async move {
                        if let Some(session) = session {
                            let _ = app.token(&session).await;
                        }
                    });
                }
            }
            _ => device.world.rest(Duration::from_secs(*self.random.pick(&[1, 30, 600, 3540, 3700, 40_000]))),
        }
    }

    /// The process is gone; the next one begins later, perhaps after a reboot.
    fn restart(&mut self, pause: u64, reboot: bool) {
        let device = self.device.clone();
        self.session = None;
        if reboot {
            device.crash(self.other.process.pid);
        }
        device.pauses(pause, reboot);
        if reboot {
            self.other = App::start(&device, false);
        }
        self.app = App::start(&device, true);
    }
}
