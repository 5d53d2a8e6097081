//! Which events may happen in a state of the world, and what they do: docs/sessions.md §3–§8 and the events of its §11.

mod calls;
mod ending;
mod future;
mod outside;
mod refresh;

use super::explore::{Model, Violation};
use super::invariants;
use super::rules::{DAY, Found, Freshness, MaySend, Read, Rules, Wrong};
use super::state::*;

/// How an effect goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    Well,
    /// An error, and no effect; a read that hangs is given up.
    Fails,
    /// The value before the last write.
    Stale,
    /// `Ok`, and no effect.
    Ignored,
    /// Half written.
    Torn,
    /// Done, and undone by the death of the process.
    Volatile,
    /// Beyond the deadline; it may still take effect.
    Hangs,
    /// The bytes never left.
    Unsent,
    /// Lost on the way there.
    LostBefore,
    /// Given up, and it arrives later.
    Wanders,
    /// 429 or another 4xx.
    Limited,
    /// The server acted, the answer was lost, was a 5xx or could not be used.
    LostAfter,
    /// The ID token cannot be validated yet.
    KeysAway,
    NeverValid,
    OtherSubject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The app restores, or asks for the access token.
    Call(u8, Goes),
    /// The next effect of a refresh or rewrite.
    Step(u8, Pc, Goes),
    LockTimeout(u8),
    /// The next effect of a sign-out, a replacement or the queue.
    End(u8, EndPc, Goes),
    SignOut(u8),
    Replace(u8),
    Work(u8),
    /// What memory holds is written again.
    Rewrite(u8),
    /// The held-back set is validated again.
    Validate(u8),
    KeysBack,
    Crash(u8),
    Start(u8, u32),
    Reboot,
    ClockSet,
    /// Whether its lock goes with it.
    Suspend(u8, bool),
    Wake(u8, u32),
    /// A late store call returns; whether it took effect.
    Late(u8, bool),
    /// A request that was given up arrives.
    Arrives,
    Wait(u32),
    RotationBegins,
    CallerGoes(u8),
}

impl Model for Scope {
    type State = World;
    type Event = Event;

    fn events(&self, w: &World, into: &mut Vec<Event>) {
        for p in 0..self.processes {
            self.events_of(w, p, into);
        }
        // An app restores when it starts: §1 counts on it.
        let unrestored = w.store.tombstone.is_none() && matches!(w.store.cell, Cell::Record(_));
        let idle = |p: &Process| {
            p.life != Life::Runs
                || p.ending.pc == EndPc::Idle
                    && (p.job.pc == Pc::Idle || p.job.pc == Pc::Lock && w.lock.is_some())
                    && !(p.memory.is_none() && unrestored)
        };
        if w.processes.iter().all(idle) && w.processes.iter().any(|p| p.life == Life::Runs) && w.waits > 0 {
            into.extend(self.waits.iter().map(|wait| Event::Wait(*wait)));
        }
        if !w.keys {
            into.push(Event::KeysBack);
        }
        if let Some(_rt) = w.grant.wandering {
            into.push(Event::Arrives);
        }
        if w.faults > 0 {
            if self.clock && w.clocks > 0 {
                into.push(Event::ClockSet);
                if self.crashes {
                    into.push(Event::Reboot);
                }
            }
            if !self.rotates && !w.grant.rotates {
                into.push(Event::RotationBegins);
            }
        }
    }

    fn step(&self, w: &World, event: Event) -> Result<World, Violation> {
        let mut after = *w;
        self.apply(&mut after, event)?;
        self.judge(&mut after);
        Ok(after.normal())
    }

    fn at_rest(&self, w: &World) -> Option<World> {
        let rests = |p: &Process| {
            p.life == Life::Dead || p.life == Life::Runs && p.job.pc == Pc::Idle && p.ending.pc == EndPc::Idle
        };
        w.processes.iter().all(rests).then_some(World { faults: 0, waits: 0, ends: 0, clocks: 0, ..*w })
    }

    fn check_rest(&self, w: &World) -> Result<(), Violation> {
        let w = &mut { *w };
        // The same with a new process, and with the one that lives.
        if w.processes[0].life == Life::Runs && self.processes == 1 {
            let mut again = *w;
            self.crash(&mut again, 0);
            self.judge(&mut again);
            again = again.normal();
            self.recovers(&mut again)?;
        }
        self.recovers(w)
    }
}

impl Scope {
    fn rules(&self) -> Rules {
        Rules { okta: self.okta, wrong: self.wrong }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    fn events_of(&self, w: &World, p: u8, into: &mut Vec<Event>) {
        use Goes::*;
        let process = &w.processes[usize::from(p)];
        let faults = w.faults > 0;
        let other = &w.processes[1 - usize::from(p)];
        // Time passes while nothing else is under way.
        let quiet = other.life != Life::Runs
            || other.ending.pc == EndPc::Idle
                && (other.job.pc == Pc::Idle || other.job.pc == Pc::Lock && w.lock.is_some());
        let may_pass = |delay: &&u32| quiet || **delay == 0;
        match process.life {
            Life::Dead if self.processes == 1 || w.processes[usize::from(p)].run != 0 => {
                into.extend(self.delays.iter().filter(may_pass).map(|delay| Event::Start(p, *delay)));
                return;
            }
            Life::Dead => return,
            Life::Suspended => {
                let delays = [0, self.leeway + 1, 3700];
                into.extend(delays.iter().filter(may_pass).map(|delay| Event::Wake(p, *delay)));
                return;
            }
            Life::Runs => {}
        }
        let reads: &[Goes] = if faults && self.store_faults { &[Well, Fails, Stale] } else { &[Well] };
        let writes: &[Goes] = match (faults && self.store_faults, self.processes) {
            (false, _) => &[Well],
            (true, 1) => &[Well, Fails, Ignored, Torn, Volatile, Hangs],
            // What one process sees of these is above.
            (true, _) => &[Well, Fails, Hangs],
        };
        let deletes: &[Goes] = if faults && self.store_faults { &[Well, Fails] } else { &[Well] };
        let stale_differs = w.store.before != w.store.cell;
        let possible = |goes: &&Goes| **goes != Stale || stale_differs;
        let busy = process.job.pc != Pc::Idle;
        if busy {
            let pc = process.job.pc;
            let ways: &[Goes] = match pc {
                Pc::Idle | Pc::Lock => &[Well],
                Pc::Read | Pc::MarkBack | Pc::Apply | Pc::Back | Pc::EndRead => reads,
                Pc::Mark | Pc::Store => writes,
                Pc::EndDelete | Pc::Clean | Pc::Save => deletes,
                Pc::Revoke if faults && self.net_faults => &[Well, Fails],
                Pc::Send if faults && self.net_faults => &[Well, Unsent, LostBefore, Wanders, Limited],
                Pc::Await if faults && self.net_faults && process.job.refused => &[Well, LostAfter],
                Pc::Await if faults && self.checks && !process.job.refused => match (self.net_faults, self.processes) {
                    (true, 1) => &[Well, LostAfter, KeysAway, NeverValid, OtherSubject],
                    (true, _) => &[Well, LostAfter, KeysAway, NeverValid],
                    (false, _) => &[Well, KeysAway, NeverValid, OtherSubject],
                },
                Pc::Await if faults && self.net_faults => &[Well, LostAfter],
                Pc::Revoke | Pc::Send | Pc::Await => &[Well],
            };
            let other = w.lock.filter(|holder| *holder != p);
            match (pc, other) {
                (Pc::Lock, Some(holder)) => {
                    let holder = &w.processes[usize::from(holder)];
                    let stuck = holder.life == Life::Suspended || holder.job.pc == Pc::Idle;
                    if stuck {
                        into.push(Event::LockTimeout(p));
                    }
                }
                _ => into.extend(ways.iter().filter(possible).map(|goes| Event::Step(p, pc, *goes))),
            }
            if self.is(Wrong::CancelStops) && faults {
                into.push(Event::CallerGoes(p));
            }
        } else {
            self.idle_events(w, p, reads, into);
        }
        let pc = process.ending.pc;
        if pc != EndPc::Idle {
            let ways: &[Goes] = match pc {
                EndPc::Revoke if faults && self.net_faults => &[Well, Fails, LostAfter],
                EndPc::Revoke => &[Well],
                EndPc::Look | EndPc::Recheck | EndPc::Bury => reads,
                _ => deletes,
            };
            into.extend(ways.iter().filter(possible).map(|goes| Event::End(p, pc, *goes)));
        }
        if let Some(memory) = &process.memory {
            if !memory.ended && w.ends > 0 && pc == EndPc::Idle {
                into.push(Event::SignOut(p));
                if !self.okta {
                    into.push(Event::Replace(p));
                }
            }
            if memory.late.is_some() {
                into.push(Event::Late(p, true));
                into.push(Event::Late(p, false));
            }
        }
        if faults {
            if self.crashes {
                into.push(Event::Crash(p));
            }
            if self.suspensions && busy {
                into.push(Event::Suspend(p, false));
                if w.lock == Some(p) {
                    into.push(Event::Suspend(p, true));
                }
            }
        }
    }

    fn idle_events(&self, w: &World, p: u8, reads: &[Goes], into: &mut Vec<Event>) {
        let process = &w.processes[usize::from(p)];
        let reads = if process.memory.is_none() || self.processes > 1 { reads } else { &[Goes::Well] };
        let stale_differs = w.store.before != w.store.cell;
        into.extend(
            reads.iter().filter(|goes| **goes != Goes::Stale || stale_differs).map(|goes| Event::Call(p, *goes)),
        );
        if process.ending.pc == EndPc::Idle && !process.worked && (w.store.tombstone.is_some() || w.store.queue != 0) {
            into.push(Event::Work(p));
        }
        let Some(memory) = &process.memory else { return };
        let free = !memory.ended && (memory.late.is_none() || self.is(Wrong::WritesWhileLate));
        if free && !memory.persisted && !self.never(p) {
            into.push(Event::Rewrite(p));
        }
        if free
            && w.keys
            && memory.held.is_some_and(|(set, _)| w.grant.answers[usize::from(set)].check == Check::NotYet)
        {
            into.push(Event::Validate(p));
        }
    }

    fn never(&self, p: u8) -> bool {
        self.second_never && p == 1
    }

    fn apply(&self, w: &mut World, event: Event) -> Result<(), Violation> {
        match event {
            Event::Call(p, goes) => self.call(w, usize::from(p), goes)?,
            Event::Step(p, _, goes) => self.work(w, usize::from(p), goes)?,
            Event::End(p, _, goes) => self.end(w, usize::from(p), goes)?,
            Event::LockTimeout(p) => {
                w.now += 45;
                let process = &mut w.processes[usize::from(p)];
                // An answer in hand is kept in memory until the lock is there.
                if process.job.answer.is_some() {
                    process.job.pc = Pc::Lock;
                } else {
                    process.job = Job::IDLE;
                }
            }
            Event::SignOut(p) => self.begin_end(w, usize::from(p), true),
            Event::Replace(p) => self.begin_end(w, usize::from(p), self.rules().revokes_replaced()),
            Event::Work(p) => {
                let process = &mut w.processes[usize::from(p)];
                process.worked = true;
                process.ending = Ending { pc: EndPc::Look, worker: true, marked: true, ..Ending::IDLE };
                process.ending.revoke = w.store.tombstone.is_none_or(|tombstone| tombstone.revoke);
            }
            Event::Rewrite(p) => {
                self.begin(w, usize::from(p), true);
            }
            Event::Validate(p) => {
                self.begin(w, usize::from(p), true);
            }
            Event::KeysBack => w.keys = true,
            Event::Crash(p) => {
                self.spend(w);
                self.crash(w, usize::from(p));
            }
            Event::Start(p, delay) => self.start(w, usize::from(p), delay),
            Event::Reboot => {
                self.spend(w);
                for p in 0..usize::from(self.processes) {
                    self.crash(w, p);
                }
                w.epoch += 1;
                w.clocks -= 1;
            }
            Event::ClockSet => {
                self.spend(w);
                w.epoch += 1;
                w.clocks -= 1;
            }
            Event::Suspend(p, with_lock) => {
                self.spend(w);
                let unstored = w.processes[usize::from(p)].memory.is_some_and(|memory| !memory.persisted);
                let job = w.processes[usize::from(p)].job;
                let in_hand = job.answer.is_some() && job.pc != Pc::Await;
                // Nor before another one was, that held the lock which this one had lost.
                let other = &w.processes[1 - usize::from(p)];
                let waits = self.lock && other.interrupted | (other.job.pc == Pc::Lock) && other.job.answer.is_some();
                w.past.loss |= waits;
                if with_lock {
                    w.lock = None;
                }
                if self.lock && w.lock != Some(p) {
                    // §1: a set that could not be written before the process was suspended.
                    w.past.loss |= unstored || in_hand;
                }
                let process = &mut w.processes[usize::from(p)];
                process.life = Life::Suspended;
                process.interrupted = true;
            }
            Event::Wake(p, delay) => {
                w.now += delay;
                self.judge(w);
                w.processes[usize::from(p)].life = Life::Runs;
            }
            Event::Late(p, lands) => self.late(w, usize::from(p), lands)?,
            Event::Arrives => {
                if let Some(rt) = w.grant.wandering.take() {
                    let was_live = w.grant.live;
                    if self.present(w, rt).is_none() && was_live && w.grant.live {
                        unreachable!("refused, so the grant is dead");
                    }
                    // Beyond the leeway nobody can help.
                    if was_live && !w.grant.live {
                        w.past.loss = true;
                    }
                }
            }
            Event::Wait(wait) => {
                w.waits -= 1;
                w.now += wait;
            }
            Event::RotationBegins => {
                self.spend(w);
                w.grant.rotates = true;
            }
            Event::CallerGoes(p) => {
                self.spend(w);
                let process = &mut w.processes[usize::from(p)];
                process.job = Job::IDLE;
                if w.lock == Some(p) {
                    w.lock = None;
                }
            }
        }
        Ok(())
    }
}
