//! What an app calls, and what a process does by itself: docs/sessions.md §3–§4.

use super::*;

impl Scope {
    pub(super) fn begin_end(&self, w: &mut World, p: usize, revoke: bool) {
        w.ends = w.ends.saturating_sub(1);
        w.past.ended = true;
        let process = &mut w.processes[p];
        let memory = process.memory.as_mut().expect("a session is there");
        memory.ended = true;
        let pc = if self.is(Wrong::NoTombstone) { EndPc::Look } else { EndPc::Tombstone };
        process.ending = Ending { pc, revoke, rt: Some(memory.record.rt), ..Ending::IDLE };
    }

    /// A call of the app: the session if memory has none, else its access token.
    pub(super) fn call(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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

    pub(super) fn restore(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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

    pub(super) fn begin(&self, w: &mut World, p: usize, rewrite: bool) {
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
    pub(super) fn finish(&self, w: &mut World, p: usize) {
        let process = &mut w.processes[p];
        w.past.noted |= process.job.unknown;
        process.job = Job::IDLE;
        self.unlock(w, p);
    }

    /// §5.8: kept until a late call has returned, and while the newest refresh token is only in memory.
    pub(super) fn unlock(&self, w: &mut World, p: usize) {
        let process = &w.processes[p];
        let keeps = process.memory.is_some_and(|memory| memory.late.is_some() || !memory.ended && !memory.persisted);
        let works = process.job.pc != Pc::Idle || process.ending.pc != EndPc::Idle;
        if w.lock == Some(p as u8) && !works && (!keeps || self.is(Wrong::ReleasesUnstored)) {
            w.lock = None;
            w.processes[p].interrupted = false;
        }
    }

    /// What a look at the record changes; `false` if the session is over.
    pub(super) fn look(&self, w: &mut World, p: usize, found: Found) -> Result<bool, Violation> {
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
    pub(super) fn save(&self, w: &mut World, p: usize, rt: u8) {
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
    pub(super) fn over(&self, w: &mut World, p: usize) {
        let memory = w.processes[p].memory.expect("it was there");
        if memory.persisted { self.finish(w, p) } else { self.save(w, p, memory.record.rt) }
    }

    /// The next effect of a refresh or a rewrite.
    pub(super) fn work(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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

    pub(super) fn next(&self, memory: &Memory, run: u8, change: impl FnOnce(&mut Record)) -> Record {
        let mut next =
            Record { generation: memory.seen.max(memory.record.generation) + 1, writer: run, ..memory.record };
        change(&mut next);
        next
    }
}
