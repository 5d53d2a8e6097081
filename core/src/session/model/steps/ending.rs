//! A sign-out, a replacement, the queue: docs/sessions.md §6.

use super::*;

impl Scope {
    /// The next effect of a sign-out, a replacement or the worker. §6.
    pub(super) fn end(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
}
