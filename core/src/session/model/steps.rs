//! Which events may happen in a state of the world, and what they do: docs/sessions.md §3–§8 and the events of its §11.

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

    fn spend(&self, w: &mut World) {
        w.faults = w.faults.saturating_sub(1);
        w.used += 1;
    }

    /// Whether a rotation is lost by now as §1 words it.
    fn judge(&self, w: &mut World) {
        if !w.past.orphan || w.past.loss {
            return;
        }
        let since = w.past.first_ever.map_or(u32::MAX, |mark| {
            if mark.first.epoch == w.epoch { w.now.saturating_sub(mark.first.at) } else { u32::MAX }
        });
        let running = |p: usize| w.processes[p].life == Life::Runs;
        let all_run = (0..usize::from(self.processes)).all(running);
        w.past.loss = !self.okta || self.leeway < 25 || (since >= 25 && (!all_run || w.used >= 2));
    }

    // The server.

    /// A refresh token is presented. Gives the number of the answer, or nothing: refused.
    fn present(&self, w: &mut World, rt: u8) -> Option<u8> {
        let now = w.moment();
        let grant = &mut w.grant;
        if !grant.live {
            return None;
        }
        let again = rt + 1 == grant.newest && w.now <= grant.since + self.leeway;
        if rt != grant.newest && !again {
            grant.live = false;
            return None;
        }
        if again {
            return Some(grant.answered - 1);
        }
        if grant.rotates {
            grant.newest += 1;
            grant.since = w.now;
        }
        let answer = Answer { rt: grant.newest, sent: now, check: Check::Good };
        grant.answers[usize::from(grant.answered)] = answer;
        grant.answered += 1;
        w.past.orphan = grant.rotates;
        Some(grant.answered - 1)
    }

    /// Revoking what is not the newest does nothing (the stricter reading).
    fn revoke(&self, w: &mut World, rt: u8) -> Result<(), Violation> {
        if rt == w.grant.newest && w.grant.live {
            let replaced = w.store.tombstone.is_some_and(|tombstone| !tombstone.revoke);
            invariants::revokes(w, replaced && !self.okta)?;
            w.grant.live = false;
        }
        Ok(())
    }

    // The store.

    fn read(&self, w: &mut World, goes: Goes) -> Read {
        match goes {
            Goes::Well => Read::Found(w.store.cell, w.store.tombstone),
            Goes::Stale => {
                self.spend(w);
                (w.past.store_fault, w.past.lied) = (true, true);
                Read::Found(w.store.before, w.store.tombstone)
            }
            _ => {
                self.spend(w);
                w.past.store_fault = true;
                Read::Unavailable
            }
        }
    }

    /// `false`: the deadline was missed.
    fn write(&self, w: &mut World, p: usize, record: Record, goes: Goes) -> Result<bool, Violation> {
        invariants::writes(w, p, &record)?;
        if goes != Goes::Well {
            self.spend(w);
            w.past.store_fault = true;
        }
        let before = w.store.cell;
        match goes {
            Goes::Well => self.put(w, Cell::Record(record)),
            Goes::Torn => {
                w.past.lied = true;
                self.put(w, Cell::Torn);
            }
            Goes::Volatile => {
                w.past.lied = true;
                self.put(w, Cell::Record(record));
                w.store.before = before;
                w.store.volatile = true;
            }
            Goes::Hangs => {
                w.now += 10;
                w.processes[p].memory.as_mut().expect("writes").late = Some(record);
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn put(&self, w: &mut World, cell: Cell) {
        w.store.before = if self.store_faults { w.store.cell } else { cell };
        w.store.cell = cell;
        w.store.volatile = false;
    }

    fn late(&self, w: &mut World, p: usize, lands: bool) -> Result<(), Violation> {
        let memory = w.processes[p].memory.as_mut().expect("it wrote");
        let record = memory.late.take().expect("it is late");
        if lands {
            if self.lock && w.lock != Some(p as u8) {
                // It outlived the lock: nothing in a process can call it back.
                w.past.lied = true;
            }
            invariants::displaces(w, p, &record)?;
            self.put(w, Cell::Record(record));
        }
        self.unlock(w, p);
        Ok(())
    }

    // Processes.

    fn crash(&self, w: &mut World, p: usize) {
        let process = &mut w.processes[p];
        if process.life == Life::Dead {
            return;
        }
        if let Some(memory) = process.memory {
            let received = process.job.answer.is_some() && process.job.pc != Pc::Await || process.job.pc == Pc::Revoke;
            let saved = matches!(w.store.cell, Cell::Record(record) if record.rt == w.grant.newest)
                || w.store.queue & (1 << w.grant.newest) != 0;
            let newest = memory.record.rt == w.grant.newest;
            let received = received || process.ending.rt == Some(w.grant.newest);
            if !saved && (received || newest && !memory.persisted) {
                // §1: a set that could not be written before the process died; or that was about to be.
                w.past.orphan |= w.grant.rotates;
                w.past.loss |= !memory.persisted && w.past.store_fault;
            }
        }
        *process = Process {
            life: Life::Dead,
            run: process.run,
            memory: None,
            job: Job::IDLE,
            ending: Ending::IDLE,
            interrupted: false,
            worked: false,
        };
        if w.lock == Some(p as u8) {
            w.lock = None;
        }
        if w.store.volatile {
            w.store.cell = w.store.before;
            w.store.volatile = false;
        }
    }

    fn start(&self, w: &mut World, p: usize, delay: u32) {
        w.now += delay;
        self.judge(w);
        w.processes[p].life = Life::Runs;
    }

    fn begin_end(&self, w: &mut World, p: usize, revoke: bool) {
        w.ends = w.ends.saturating_sub(1);
        w.past.ended = true;
        let process = &mut w.processes[p];
        let memory = process.memory.as_mut().expect("a session is there");
        memory.ended = true;
        let pc = if self.is(Wrong::NoTombstone) { EndPc::Look } else { EndPc::Tombstone };
        process.ending = Ending { pc, revoke, rt: Some(memory.record.rt), ..Ending::IDLE };
    }

    /// A call of the app: the session if memory has none, else its access token.
    fn call(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        let Some(memory) = w.processes[p].memory else { return self.restore(w, p, goes) };
        if memory.ended {
            return Ok(());
        }
        // One that ended a session knows it without a look.
        let mut has_read = self.processes == 1;
        if self.processes > 1 && memory.was_stored {
            let read = self.read(w, goes);
            has_read = read != Read::Unavailable;
            let run = w.processes[p].run;
            if !self.look(w, p, rules.compare(&memory, run, read))? {
                self.over(w, p);
                return Ok(());
            }
        }
        let memory = w.processes[p].memory.expect("as above");
        let sent = w.grant.answers[usize::from(memory.serving)].sent;
        let access = rules.freshness(sent, w.moment());
        if access != Freshness::Expired {
            invariants::serves(w, self, p, has_read)?;
        }
        if access != Freshness::Fresh && (!self.never(p as u8) || self.is(Wrong::NeverRefreshes)) {
            let spaced = rules.is_spaced(memory.tried, access, w.moment());
            let held = memory.held.is_none_or(|(_, since)| rules.may_refresh_while_held(since, access, w.moment()));
            if spaced && held && (memory.late.is_none() || self.is(Wrong::WritesWhileLate)) {
                self.begin(w, p, false);
            }
        }
        Ok(())
    }

    fn restore(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        match self.read(w, goes) {
            Read::Unavailable if self.is(Wrong::ErrorIsAbsent) => invariants::restored_nothing(w, false),
            Read::Unavailable | Read::Found(Cell::Torn, None) => Ok(()),
            Read::Found(_, Some(_)) | Read::Found(Cell::Absent, _) => {
                invariants::restored_nothing(w, goes == Goes::Stale)
            }
            Read::Found(Cell::Record(record), None) => {
                let memory = Memory::of(record);
                w.processes[p].memory = Some(memory);
                let now = w.moment();
                let access = rules.freshness(w.grant.answers[usize::from(record.set)].sent, now);
                let young = record.mark.is_some()
                    && rules.may_send(record.mark, record.rt, None, access, now) == MaySend::Again
                    && !self.is(Wrong::DoesNotResume);
                if young && !self.never(p as u8) {
                    self.begin(w, p, false);
                }
                Ok(())
            }
        }
    }

    fn begin(&self, w: &mut World, p: usize, rewrite: bool) {
        let holds = w.lock == Some(p as u8);
        let now = w.moment();
        let acknowledged = w.past.acknowledged;
        let process = &mut w.processes[p];
        let memory = process.memory.as_mut().expect("a session is there");
        if !rewrite {
            memory.tried = Some(now);
        }
        process.interrupted &= holds;
        let pc = if self.lock && !holds { Pc::Lock } else { Pc::Read };
        process.job = Job { pc, rewrite, rt: memory.record.rt, began_ended: acknowledged, ..Job::IDLE };
    }

    /// The refresh or rewrite is over; §5.8.
    fn finish(&self, w: &mut World, p: usize) {
        let process = &mut w.processes[p];
        w.past.noted |= process.job.unknown;
        process.job = Job::IDLE;
        self.unlock(w, p);
    }

    /// §5.8: kept until a late call has returned, and while the newest refresh token is only in memory.
    fn unlock(&self, w: &mut World, p: usize) {
        let process = &w.processes[p];
        let keeps = process.memory.is_some_and(|memory| memory.late.is_some() || !memory.ended && !memory.persisted);
        let works = process.job.pc != Pc::Idle || process.ending.pc != EndPc::Idle;
        if w.lock == Some(p as u8) && !works && (!keeps || self.is(Wrong::ReleasesUnstored)) {
            w.lock = None;
            w.processes[p].interrupted = false;
        }
    }

    /// What a look at the record changes; `false` if the session is over.
    fn look(&self, w: &mut World, p: usize, found: Found) -> Result<bool, Violation> {
        let memory = w.processes[p].memory.as_mut().expect("it compared");
        match found {
            Found::Same | Found::Unreadable => Ok(true),
            Found::OthersMark(record) => {
                memory.seen = record.generation;
                memory.record.mark = record.mark;
                memory.record.generation = record.generation;
                Ok(true)
            }
            Found::Newer(record) => {
                // The held-back set of an older refresh token is not released any more.
                let held = memory.held.filter(|_| record.rt == memory.record.rt || self.is(Wrong::ReleasesOverNewer));
                *memory =
                    Memory { held, tried: memory.tried, sends: memory.sends, late: memory.late, ..Memory::of(record) };
                Ok(true)
            }
            Found::Ended => {
                memory.ended = true;
                Ok(false)
            }
            Found::Gone => {
                memory.ended = true;
                invariants::ended(w)?;
                Ok(false)
            }
        }
    }

    /// §5.5: the session is over, and only this process may know its newest refresh token.
    fn save(&self, w: &mut World, p: usize, rt: u8) {
        let by_tombstone = w.store.tombstone.map(|tombstone| tombstone.revoke);
        let process = &mut w.processes[p];
        let own = process.ending.revoke || process.ending.pc == EndPc::Idle;
        let revokes = by_tombstone.unwrap_or(own) || self.is(Wrong::RevokesReplaced);
        if self.is(Wrong::DropsReceived) || !revokes {
            return self.finish(w, p);
        }
        process.job.rt = rt;
        process.job.pc = Pc::Save;
        if self.is(Wrong::QueuesBeforeTombstone) {
            return;
        }
        // An entry stands beside a tombstone or it is none.
        match process.ending.pc {
            EndPc::Tombstone | EndPc::Look => {
                // The sign-out has not yet asked which is the newest.
                let memory = process.memory.as_mut().expect("it received");
                (memory.record.rt, memory.persisted) = (rt, false);
                process.ending.rt = process.ending.rt.max(Some(rt));
                self.finish(w, p);
            }
            EndPc::Idle if by_tombstone.is_none() && w.store.cell == Cell::Absent => {}
            _ if by_tombstone.is_none() => process.job.pc = Pc::Revoke,
            _ => {}
        }
    }

    /// Over, and nothing was received.
    fn over(&self, w: &mut World, p: usize) {
        let memory = w.processes[p].memory.expect("it was there");
        if memory.persisted { self.finish(w, p) } else { self.save(w, p, memory.record.rt) }
    }

    /// The next effect of a refresh or a rewrite.
    fn work(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        let me = p as u8;
        let Process { run, memory, job, interrupted, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        // §5.2: nothing more is sent or written before the lock is taken again and the record read again.
        let touches = matches!(job.pc, Pc::Mark | Pc::Send | Pc::Store | Pc::EndDelete | Pc::Clean);
        if interrupted && touches && !self.is(Wrong::GoesOnAfterSuspension) {
            w.processes[p].job.pc = match (self.lock, job.answer, job.refused) {
                (true, _, _) if w.lock != Some(me) => Pc::Lock,
                (_, Some(_), _) => Pc::Apply,
                (_, None, true) => Pc::EndRead,
                _ => Pc::Read,
            };
            w.processes[p].interrupted = self.lock && w.lock != Some(me);
            return Ok(());
        }
        match job.pc {
            Pc::Idle => {}
            Pc::Lock => {
                w.lock = Some(me);
                w.processes[p].interrupted = false;
                w.processes[p].job.pc = match (job.answer, job.refused) {
                    (Some(_), _) => Pc::Apply,
                    (None, true) => Pc::EndRead,
                    (None, false) => Pc::Read,
                };
            }
            Pc::Read => return self.begin_refresh(w, p, goes),
            Pc::Mark => {
                if memory.ended {
                    self.over(w, p);
                    return Ok(());
                }
                let mark = Mark { rt: job.rt, first: w.moment() };
                let sent = w.grant.answers[usize::from(memory.record.set)].sent;
                if self.rules().freshness(sent, w.moment()) == Freshness::Expired {
                    // Like a first send.
                    w.past.first_send = w.past.first_send.map(|_| mark);
                }
                let next = self.next(&memory, run, |record| record.mark = Some(mark));
                if !self.write(w, p, next, goes)? {
                    // Not sent; the valid access token is served on.
                    self.finish(w, p);
                    return Ok(());
                }
                let memory = w.processes[p].memory.as_mut().expect("as above");
                memory.record = next;
                w.processes[p].job.pc = Pc::MarkBack;
            }
            Pc::MarkBack => {
                let read = self.read(w, goes);
                match read {
                    Read::Found(_, Some(_)) => {
                        w.processes[p].memory.as_mut().expect("as above").ended = true;
                        self.over(w, p);
                    }
                    Read::Found(Cell::Record(there), None) if there == memory.record => {
                        let memory = w.processes[p].memory.as_mut().expect("as above");
                        (memory.seen, memory.was_stored) = (there.generation, true);
                        memory.retried = None;
                        // The whole record was written, the set with it.
                        (memory.persisted, memory.confirmed, memory.serving) = (true, there.set, there.set);
                        memory.held = memory.held.filter(|(set, _)| *set != there.set);
                        w.processes[p].job.pc = Pc::Send;
                    }
                    _ => {
                        // Nothing was sent under this mark.
                        let before = memory.record.mark.filter(|_| job.unknown);
                        w.processes[p].memory.as_mut().expect("as above").record.mark = before;
                        self.finish(w, p);
                    }
                }
            }
            Pc::Send => return self.send(w, p, goes),
            Pc::Await => return self.receive(w, p, goes),
            Pc::Apply => return self.apply_answer(w, p, goes),
            Pc::Store => {
                if memory.ended && !self.is(Wrong::AppliesAfterEnd) {
                    self.save(w, p, memory.record.rt);
                    return Ok(());
                }
                if !self.write(w, p, memory.record, goes)? {
                    self.finish(w, p);
                    return Ok(());
                }
                if self.is(Wrong::TrustsTheStore) {
                    let memory = w.processes[p].memory.as_mut().expect("as above");
                    (memory.persisted, memory.was_stored) = (true, true);
                    self.finish(w, p);
                    return Ok(());
                }
                w.processes[p].job.pc = Pc::Back;
            }
            Pc::Back => {
                let read = self.read(w, goes);
                match read {
                    Read::Found(_, Some(_)) if !self.is(Wrong::AppliesAfterEnd) => {
                        w.processes[p].memory.as_mut().expect("as above").ended = true;
                        self.save(w, p, memory.record.rt);
                    }
                    Read::Found(Cell::Record(there), _) if there == memory.record => {
                        let memory = w.processes[p].memory.as_mut().expect("as above");
                        (memory.seen, memory.was_stored, memory.persisted) = (there.generation, true, true);
                        memory.confirmed = there.set;
                        memory.newest_rt_read = memory.newest_rt_read.max(there.rt);
                        memory.serving = there.set;
                        memory.held = memory.held.filter(|(set, _)| *set != there.set);
                        self.finish(w, p);
                    }
                    read => {
                        if let Found::Newer(there) = rules.compare(&memory, run, read) {
                            self.look(w, p, Found::Newer(there))?;
                        }
                        self.finish(w, p);
                    }
                }
            }
            Pc::EndRead => return self.refused(w, p, goes),
            Pc::EndDelete => {
                if goes == Goes::Well {
                    self.put(w, Cell::Absent);
                } else {
                    self.spend(w);
                    w.past.store_fault = true;
                }
                self.finish(w, p);
            }
            Pc::Save => {
                if goes == Goes::Well {
                    w.store.queue |= 1 << job.rt;
                    w.processes[p].job.pc = Pc::Clean;
                } else {
                    self.spend(w);
                    w.past.store_fault = true;
                    w.processes[p].job.pc = Pc::Revoke;
                }
            }
            Pc::Revoke => {
                if goes == Goes::Well {
                    self.revoke(w, job.rt)?;
                } else {
                    self.spend(w);
                    w.past.unsaved = true;
                }
                w.processes[p].job.pc = Pc::Clean;
            }
            Pc::Clean => {
                // What this process wrote beside the tombstone; the worker does it otherwise.
                if goes != Goes::Well {
                    self.spend(w);
                    w.past.store_fault = true;
                } else if memory.late.is_none() && w.store.tombstone.is_some() {
                    // Only what is saved; another process's newer one is the worker's.
                    let ours = matches!(w.store.cell, Cell::Record(there) if there.rt <= job.rt);
                    if ours && (!self.lock || w.lock == Some(me)) {
                        self.put(w, Cell::Absent);
                    }
                }
                self.finish(w, p);
            }
        }
        Ok(())
    }

    fn next(&self, memory: &Memory, run: u8, change: impl FnOnce(&mut Record)) -> Record {
        let mut next =
            Record { generation: memory.seen.max(memory.record.generation) + 1, writer: run, ..memory.record };
        change(&mut next);
        next
    }

    /// §5.2 and §5.3, or a rewrite's look at the record.
    fn begin_refresh(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        let Process { run, memory, job, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        if memory.ended {
            self.over(w, p);
            return Ok(());
        }
        let skips = (job.rewrite && self.is(Wrong::WritesWithoutReading))
            || (!job.rewrite && self.is(Wrong::SendsWithoutReading));
        let found = if !memory.was_stored || skips {
            Found::Same
        } else {
            let read = self.read(w, goes);
            rules.compare(&memory, run, read)
        };
        if !self.look(w, p, found)? {
            self.over(w, p);
            return Ok(());
        }
        if found == Found::Unreadable {
            if !self.is(Wrong::WritesOverUnreadable) {
                self.finish(w, p);
                return Ok(());
            }
            w.processes[p].job.unread = true;
        }
        let memory = w.processes[p].memory.expect("as above");
        let now = w.moment();
        if job.rewrite {
            let valid = |set: u8| w.grant.answers[usize::from(set)].check == Check::NotYet && w.keys;
            let held = memory.held.filter(|(set, _)| valid(*set)).map(|(set, _)| set);
            if memory.persisted && held.is_none() && !matches!(memory.record.kind, Kind::Unknown) {
                self.finish(w, p);
                return Ok(());
            }
            if let Some(set) = held {
                w.grant.answers[usize::from(set)].check = Check::Good;
            }
            let next = self.next(&memory, run, |record| record.set = held.unwrap_or(record.set));
            let memory = w.processes[p].memory.as_mut().expect("as above");
            memory.record = next;
            memory.persisted = false;
            w.processes[p].job.pc = Pc::Store;
            return Ok(());
        }
        let access = rules.freshness(w.grant.answers[usize::from(memory.record.set)].sent, now);
        if matches!(found, Found::Newer(_)) && access == Freshness::Fresh {
            self.finish(w, p);
            return Ok(());
        }
        let rt = memory.record.rt;
        let marked = memory.record.mark.is_some_and(|mark| mark.rt == rt);
        let job = &mut w.processes[p].job;
        job.rt = rt;
        job.unknown |= marked;
        match rules.may_send(memory.record.mark, rt, memory.retried, access, now) {
            MaySend::NotNow => self.finish(w, p),
            MaySend::Again => {
                job.pc = Pc::Send;
                w.processes[p].memory.as_mut().expect("as above").retried = Some(rt);
            }
            MaySend::First if rules.writes_mark(memory.record.kind) && memory.was_stored => job.pc = Pc::Mark,
            MaySend::First => {
                job.pc = Pc::Send;
                let memory = w.processes[p].memory.as_mut().expect("as above");
                memory.record.mark = Some(Mark { rt, first: now });
                memory.retried = None;
            }
        }
        Ok(())
    }

    /// §5.4.
    fn send(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let memory = w.processes[p].memory.expect("works on a session");
        let job = w.processes[p].job;
        if memory.ended {
            self.over(w, p);
            return Ok(());
        }
        // Limits are checked at the send itself.
        let mark = memory.record.mark;
        let again = memory.retried == Some(job.rt);
        let too_late = mark.is_some_and(|mark| {
            let age = self.rules().age(mark.first, w.moment());
            again && age.is_none_or(|age| age >= self.rules().window())
        });
        let access = self.rules().freshness(w.grant.answers[usize::from(memory.record.set)].sent, w.moment());
        if too_late && access != Freshness::Expired && !self.is(Wrong::OidcRetries) {
            self.finish(w, p);
            return Ok(());
        }
        invariants::sends(w, self, p)?;
        if goes == Goes::Unsent || goes == Goes::Limited {
            self.spend(w);
            return self.not_acted(w, p);
        }
        let memory = w.processes[p].memory.as_mut().expect("as above");
        memory.sends = if memory.sends.0 == job.rt { (job.rt, memory.sends.1 + 1) } else { (job.rt, 1) };
        // A static token is not marked: what a dead process sent is unknown to the next.
        let is_static = memory.record.kind == Kind::Static;
        let unmarked = is_static && !w.past.noted;
        let now = w.moment();
        if unmarked && !again || w.past.first_send.is_none_or(|mark| mark.rt != job.rt) {
            w.past.first_send = Some(Mark { rt: job.rt, first: now });
            w.past.noted = false;
        }
        if w.past.first_ever.is_none_or(|mark| mark.rt != job.rt) {
            w.past.first_ever = w.past.first_send;
        }
        match goes {
            Goes::Well => {
                let answer = self.present(w, job.rt);
                if answer.is_none() {
                    invariants::refused(w)?;
                }
                let job = &mut w.processes[p].job;
                (job.answer, job.refused, job.pc) = (answer, answer.is_none(), Pc::Await);
                Ok(())
            }
            _ => {
                self.spend(w);
                if goes == Goes::Wanders {
                    w.grant.wandering = Some(job.rt);
                }
                self.lost(w, p)
            }
        }
    }

    /// 429, another 4xx, or bytes that never left.
    fn not_acted(&self, w: &mut World, p: usize) -> Result<(), Violation> {
        let unknown = w.processes[p].job.unknown;
        if self.rules().clears_mark(unknown) {
            let run = w.processes[p].run;
            let memory = w.processes[p].memory.as_mut().expect("works on a session");
            if memory.record.kind == Kind::Static {
                // It was in memory only.
                memory.record.mark = None;
            } else if memory.record.mark.is_some() {
                memory.record = self.next(memory, run, |record| record.mark = None);
                w.processes[p].job.rewrite = true;
                w.processes[p].job.answer = None;
                w.processes[p].job.pc = Pc::Apply;
                return Ok(());
            }
        }
        self.keep_mark(w, p);
        Ok(())
    }

    /// §5.4: a lost answer.
    fn lost(&self, w: &mut World, p: usize) -> Result<(), Violation> {
        let rules = self.rules();
        w.now += rules.answer_wait();
        let now = w.moment();
        let Process { memory, job, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        let job = Job { answer: None, refused: false, unknown: true, ..job };
        w.processes[p].job = job;
        if memory.ended {
            self.over(w, p);
            return Ok(());
        }
        let first = memory.record.mark.map_or(now, |mark| mark.first);
        if rules.retries_at_once(first, now, memory.retried == Some(job.rt)) {
            let memory = w.processes[p].memory.as_mut().expect("as above");
            memory.retried = Some(job.rt);
            w.processes[p].job.pc = Pc::Send;
            return Ok(());
        }
        self.keep_mark(w, p);
        Ok(())
    }

    /// §5.3, mended: an answer may be lost, and the mark stays; that of a static token is written now.
    fn keep_mark(&self, w: &mut World, p: usize) {
        let Process { run, memory, job, interrupted, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        if !job.unknown || interrupted || !self.rules().marks_after_loss(memory.record.kind) {
            return self.finish(w, p);
        }
        let record = self.next(&memory, run, |record| record.kind = Kind::Unknown);
        w.processes[p].memory.as_mut().expect("as above").record = record;
        w.processes[p].job = Job { rewrite: true, answer: None, pc: Pc::Apply, ..job };
    }

    fn receive(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        if goes == Goes::LostAfter {
            self.spend(w);
            w.past.orphan |= w.grant.rotates && w.processes[p].job.answer.is_some();
            self.judge(w);
            return self.lost(w, p);
        }
        let job = w.processes[p].job;
        let Some(answer) = job.answer else {
            w.processes[p].job.pc = Pc::EndRead;
            return Ok(());
        };
        // The newest is in somebody's hands.
        w.past.orphan &= w.grant.answers[usize::from(answer)].rt != w.grant.newest;
        let check = match goes {
            Goes::KeysAway => Check::NotYet,
            Goes::NeverValid => Check::Never,
            Goes::OtherSubject => Check::OtherSubject,
            // The same answer again is no better.
            _ => w.grant.answers[usize::from(answer)].check,
        };
        if goes != Goes::Well {
            self.spend(w);
            w.keys &= check != Check::NotYet;
            w.grant.answers[usize::from(answer)].check = check;
        }
        if check == Check::OtherSubject {
            w.past.wrong_subject = true;
            w.processes[p].memory.as_mut().expect("works on a session").ended = true;
            let received = w.grant.answers[usize::from(answer)].rt;
            if w.processes[p].ending.pc != EndPc::Idle {
                self.save(w, p, received);
                return Ok(());
            }
            // It ends like a sign-out, so that every process knows.
            w.processes[p].ending = Ending { pc: EndPc::Tombstone, rt: Some(received), ..Ending::IDLE };
            self.finish(w, p);
            return Ok(());
        }
        w.processes[p].job.pc = Pc::Apply;
        Ok(())
    }

    /// §5.5 and §5.6; also the look before a mark is cleared or kept, when there is no answer.
    fn apply_answer(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        let Process { run, memory, job, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        let received = job.answer.map(|answer| w.grant.answers[usize::from(answer)]);
        if memory.ended && !self.is(Wrong::AppliesAfterEnd) {
            match received {
                Some(received) => self.save(w, p, received.rt),
                None => self.over(w, p),
            }
            return Ok(());
        }
        let found = if memory.was_stored && !self.is(Wrong::WritesWithoutReading) {
            let read = match self.read(w, goes) {
                Read::Found(cell, _) if self.is(Wrong::AppliesAfterEnd) => Read::Found(cell, None),
                read => read,
            };
            rules.compare(&memory, run, read)
        } else {
            Found::Same
        };
        match found {
            Found::Ended | Found::Gone => {
                self.look(w, p, found)?;
                match received {
                    Some(received) => self.save(w, p, received.rt),
                    None => self.over(w, p),
                }
                return Ok(());
            }
            Found::Newer(there) if there.rt != job.rt => {
                self.look(w, p, found)?;
                self.finish(w, p);
                return Ok(());
            }
            Found::OthersMark(_) if self.is(Wrong::DropsForAMark) => {
                self.look(w, p, found)?;
                self.finish(w, p);
                return Ok(());
            }
            Found::Newer(there) | Found::OthersMark(there) => {
                let memory = w.processes[p].memory.as_mut().expect("as above");
                memory.seen = there.generation;
            }
            Found::Same | Found::Unreadable => {}
        }
        let Some((answer, received)) = job.answer.zip(received) else {
            // A mark is cleared, or a static token's kind is in doubt.
            if found == Found::Unreadable {
                self.finish(w, p);
                return Ok(());
            }
            let memory = w.processes[p].memory.as_mut().expect("as above");
            memory.record.generation = memory.record.generation.max(memory.seen + 1);
            memory.persisted = false;
            w.processes[p].job.pc = Pc::Store;
            return Ok(());
        };
        let good = received.check == Check::Good || self.is(Wrong::ReleasesHeld);
        if !good && self.is(Wrong::DropsUnvalidated) {
            self.finish(w, p);
            return Ok(());
        }
        let now = w.moment();
        let memory = w.processes[p].memory.as_mut().expect("as above");
        memory.record = self.next(memory, run, |record| {
            record.kind = rules.kind_after(job.rt, received.rt, record.kind);
            record.rt = received.rt;
            record.set = if good { answer } else { record.set };
            record.mark = None;
        });
        memory.held = (!good).then_some((answer, now));
        (memory.persisted, memory.retried) = (false, None);
        memory.ended &= !self.is(Wrong::AppliesAfterEnd);
        if good {
            memory.serving = answer;
        }
        if found == Found::Unreadable && !self.is(Wrong::WritesOverUnreadable) {
            // From memory, announced, and written again.
            self.finish(w, p);
            return Ok(());
        }
        w.processes[p].job.unread = found == Found::Unreadable;
        w.processes[p].job.pc = Pc::Store;
        Ok(())
    }

    /// §5.7.
    fn refused(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let rules = self.rules();
        let Process { run, memory, job, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        if memory.ended {
            self.over(w, p);
            return Ok(());
        }
        let found = if self.is(Wrong::EndsWithoutReading) {
            Found::Same
        } else {
            let read = self.read(w, goes);
            rules.compare(&memory, run, read)
        };
        match found {
            Found::Unreadable if !self.is(Wrong::EndsUnread) => self.finish(w, p),
            Found::Newer(there) if there.rt != job.rt => {
                self.look(w, p, found)?;
                self.finish(w, p);
            }
            Found::Ended | Found::Gone => {
                self.look(w, p, found)?;
                self.over(w, p);
            }
            _ if memory.record.rt != job.rt => self.finish(w, p),
            _ => {
                invariants::ends_refused(w, p, found == Found::Unreadable)?;
                w.processes[p].memory.as_mut().expect("as above").ended = true;
                w.processes[p].job.pc = Pc::EndDelete;
            }
        }
        Ok(())
    }

    /// The next effect of a sign-out, a replacement or the worker. §6.
    fn end(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
        let Process { memory, ending, job, .. } = w.processes[p];
        let me = p as u8;
        let well = goes == Goes::Well;
        if !well && !matches!(ending.pc, EndPc::Look | EndPc::Recheck | EndPc::Bury) {
            self.spend(w);
            w.past.store_fault |= ending.pc != EndPc::Revoke;
        }
        match ending.pc {
            EndPc::Idle => {}
            EndPc::Tombstone => {
                if well {
                    let since = w.now;
                    w.store.tombstone.get_or_insert(Tombstone { revoke: ending.revoke, since });
                    w.past.acknowledged = true;
                }
                let ending = &mut w.processes[p].ending;
                (ending.marked, ending.pc) = (well, EndPc::Look);
            }
            EndPc::Look => {
                let read = self.read(w, goes);
                let beside = match read {
                    Read::Found(Cell::Record(there), _) => Some(there.rt),
                    _ => None,
                };
                let beside = beside.filter(|_| !(ending.worker && self.is(Wrong::WorkerIgnoresRecord)));
                let ending = &mut w.processes[p].ending;
                ending.rt = ending.rt.max(beside);
                // An entry without a tombstone is nobody's record.
                if ending.worker && w.store.tombstone.is_none() {
                    ending.rt = None;
                }
                ending.todo = if ending.revoke { w.store.queue } else { 0 };
                ending.safe = ending.todo;
                ending.pc = match (ending.revoke, ending.rt) {
                    (true, Some(_)) => EndPc::Entry,
                    (true, None) if ending.todo != 0 => EndPc::Revoke,
                    _ => EndPc::Recheck,
                };
            }
            EndPc::Entry => {
                let rt = ending.rt.expect("it was found");
                let queued = well && ending.marked;
                if queued {
                    w.store.queue |= 1 << rt;
                }
                let ending = &mut w.processes[p].ending;
                ending.safe |= u8::from(queued) << rt;
                ending.todo |= 1 << rt;
                ending.pc = EndPc::Revoke;
            }
            EndPc::Revoke => {
                let rt = 7 - u8::try_from(ending.todo.leading_zeros()).unwrap();
                if goes != Goes::Fails {
                    self.revoke(w, rt)?;
                }
                let beside = matches!(w.store.cell, Cell::Record(there) if there.rt == rt);
                w.past.unsaved |= !well && ending.safe & (1 << rt) == 0 && !beside;
                let ending = &mut w.processes[p].ending;
                ending.safe |= u8::from(well) << rt;
                ending.pc = if well { EndPc::Remove } else { EndPc::Recheck };
            }
            EndPc::Remove => {
                let rt = 7 - u8::try_from(ending.todo.leading_zeros()).unwrap();
                if well && self.is(Wrong::QueueInOneBlob) {
                    w.store.queue = ending.todo & !(1 << rt);
                } else if well {
                    w.store.queue &= !(1 << rt);
                }
                let ending = &mut w.processes[p].ending;
                ending.todo &= !(1 << rt);
                ending.pc = if ending.todo == 0 { EndPc::Recheck } else { EndPc::Revoke };
            }
            EndPc::Recheck => {
                let holder = w.lock.filter(|holder| *holder != p as u8);
                let running = job.pc != Pc::Idle || memory.is_some_and(|memory| memory.late.is_some());
                let unlocked = self.is(Wrong::DeletesUnlocked);
                // Only who may refresh deletes, alone, and after a look; the worker comes back otherwise.
                if running || (holder.is_some() || self.never(me) && !self.lock) && !unlocked {
                    w.processes[p].ending.pc = EndPc::Bury;
                    return Ok(());
                }
                if self.lock && !unlocked {
                    w.lock = Some(me);
                }
                let read = self.read(w, goes);
                let ending = &mut w.processes[p].ending;
                ending.pc = match read {
                    Read::Unavailable if !self.is(Wrong::DeletesUnseen) => EndPc::Bury,
                    _ if unlocked || self.is(Wrong::NoTombstone) => EndPc::Delete,
                    Read::Found(Cell::Record(there), tombstone) => {
                        let safe = !ending.revoke || ending.safe & (1 << there.rt) != 0;
                        match (safe, ending.rt == Some(there.rt), tombstone) {
                            // An entry without a tombstone, and a live record.
                            (_, _, None) if ending.worker => EndPc::Bury,
                            (true, _, _) => EndPc::Delete,
                            (false, false, _) if !self.is(Wrong::WorkerIgnoresRecord) => {
                                ending.rt = Some(there.rt);
                                EndPc::Entry
                            }
                            (false, false, _) => EndPc::Delete,
                            // It carries what is neither queued nor revoked.
                            (false, true, _) => EndPc::Bury,
                        }
                    }
                    _ => EndPc::Delete,
                };
            }
            EndPc::Delete => {
                if well {
                    self.put(w, Cell::Absent);
                }
                w.processes[p].ending.pc = EndPc::Bury;
            }
            EndPc::Bury => {
                let read = self.read(w, goes);
                let free = (!self.lock || w.lock.is_none_or(|holder| holder == me)) && (self.lock || !self.never(me));
                if let Some(tombstone) = w.store.tombstone
                    && free
                    && self.rules().may_bury(tombstone, w.now, read, w.store.queue)
                {
                    invariants::buried(w)?;
                    w.store.tombstone = None;
                }
                w.processes[p].ending = Ending::IDLE;
                self.unlock(w, p);
            }
        }
        Ok(())
    }

    // The future without faults.

    /// §11.10 and §11.6: once faults stop, one restore and one authorize give a usable session or an end of §1, and
    /// nothing is left behind.
    fn recovers(&self, w: &mut World) -> Result<(), Violation> {
        if w.processes[0].life == Life::Dead {
            self.start(w, 0, 0);
        }
        self.settle(w)?;
        invariants::at_rest(w, self)?;
        for wait in [0, 3700, 100] {
            w.now += wait;
            self.judge(w);
            // A restore, then an authorize, then the one that gets what it started.
            for _ in 0..3 {
                if w.processes[0].job.pc == Pc::Idle {
                    self.call(w, 0, Goes::Well)?;
                    self.settle(w)?;
                }
            }
        }
        let fresh = w.processes[0].memory.is_some_and(|memory| {
            let sent = w.grant.answers[usize::from(memory.serving)].sent;
            !memory.ended && self.rules().freshness(sent, w.moment()) != Freshness::Expired
        });
        let past = w.past;
        let over = past.ended || past.loss || past.lied || past.wrong_subject;
        let blocked = w.processes[1].life == Life::Runs && w.lock == Some(1);
        if !fresh && !over && !blocked {
            return Err(Violation(10, "no usable session though the faults are over"));
        }
        // The queue, at the next first use, and a day later.
        for _ in 0..3 {
            w.now += DAY;
            for p in 0..usize::from(self.processes) {
                w.processes[p].worked = false;
            }
            self.settle(w)?;
        }
        if w.store.tombstone.is_some() && past.ended && w.store.cell == Cell::Absent && w.store.queue == 0 {
            return Err(Violation(6, "the tombstone stays for ever"));
        }
        invariants::at_rest(w, self)
    }

    fn settle(&self, w: &mut World) -> Result<(), Violation> {
        w.keys = true;
        w.grant.wandering = None;
        for round in 0..400 {
            assert!(round < 399, "it does not come to rest: {w:?}");
            let mut moved = false;
            for p in 0..usize::from(self.processes) {
                let process = &w.processes[p];
                if process.life != Life::Runs {
                    continue;
                }
                let me = p as u8;
                let waits = process.job.pc == Pc::Lock && w.lock.is_some_and(|holder| holder != me);
                let event = if process.ending.pc != EndPc::Idle {
                    Event::End(me, process.ending.pc, Goes::Well)
                } else if process.memory.is_some_and(|memory| memory.late.is_some()) && process.job.pc == Pc::Idle {
                    Event::Late(me, false)
                } else if waits && w.processes[1 - p].job.pc != Pc::Idle {
                    continue;
                } else if waits {
                    Event::LockTimeout(me)
                } else if process.job.pc != Pc::Idle {
                    Event::Step(me, process.job.pc, Goes::Well)
                } else if !process.worked && (w.store.tombstone.is_some() || w.store.queue != 0) {
                    Event::Work(me)
                } else if process.memory.is_some_and(|memory| !memory.ended && !memory.persisted)
                    && !self.never(me)
                    && w.store.cell != Cell::Torn
                    && (w.lock.is_none() || w.lock == Some(me))
                {
                    Event::Rewrite(me)
                } else {
                    continue;
                };
                self.apply(w, event)?;
                self.judge(w);
                *w = w.normal();
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
        Ok(())
    }
}
