//! The future without faults: what has to be true in the end.

use super::*;

impl Scope {
    /// §11.10 and §11.6: once faults stop, one restore and one authorize give a usable session or an end of §1, and
    /// nothing is left behind.
    pub(super) fn recovers(&self, w: &mut World) -> Result<(), Violation> {
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

    pub(super) fn settle(&self, w: &mut World) -> Result<(), Violation> {
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
