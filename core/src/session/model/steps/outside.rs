//! The server, the store and the life of a process, as the world has them.

use super::*;

impl Scope {
    pub(super) fn spend(&self, w: &mut World) {
        w.faults = w.faults.saturating_sub(1);
        w.used += 1;
    }

    /// Whether a rotation is lost by now as §1 words it.
    pub(super) fn judge(&self, w: &mut World) {
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
    pub(super) fn present(&self, w: &mut World, rt: u8) -> Option<u8> {
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
    pub(super) fn revoke(&self, w: &mut World, rt: u8) -> Result<(), Violation> {
        if rt == w.grant.newest && w.grant.live {
            let replaced = w.store.tombstone.is_some_and(|tombstone| !tombstone.revoke);
            invariants::revokes(w, replaced && !self.okta)?;
            w.grant.live = false;
        }
        Ok(())
    }

    // The store.

    pub(super) fn read(&self, w: &mut World, goes: Goes) -> Read {
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
    pub(super) fn write(&self, w: &mut World, p: usize, record: Record, goes: Goes) -> Result<bool, Violation> {
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

    pub(super) fn put(&self, w: &mut World, cell: Cell) {
        w.store.before = if self.store_faults { w.store.cell } else { cell };
        w.store.cell = cell;
        w.store.volatile = false;
    }

    pub(super) fn late(&self, w: &mut World, p: usize, lands: bool) -> Result<(), Violation> {
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

    pub(super) fn crash(&self, w: &mut World, p: usize) {
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

    pub(super) fn start(&self, w: &mut World, p: usize, delay: u32) {
        w.now += delay;
        self.judge(w);
        w.processes[p].life = Life::Runs;
    }
}
