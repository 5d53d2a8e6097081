//! A refresh, effect by effect: docs/sessions.md §5.

use super::*;

impl Scope {
    /// §5.2 and §5.3, or a rewrite's look at the record.
    pub(super) fn begin_refresh(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
    pub(super) fn send(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
    pub(super) fn not_acted(&self, w: &mut World, p: usize) -> Result<(), Violation> {
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
    pub(super) fn lost(&self, w: &mut World, p: usize) -> Result<(), Violation> {
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
    pub(super) fn keep_mark(&self, w: &mut World, p: usize) {
        let Process { run, memory, job, interrupted, .. } = w.processes[p];
        let memory = memory.expect("works on a session");
        if !job.unknown || interrupted || !self.rules().marks_after_loss(memory.record.kind) {
            return self.finish(w, p);
        }
        let record = self.next(&memory, run, |record| record.kind = Kind::Unknown);
        w.processes[p].memory.as_mut().expect("as above").record = record;
        w.processes[p].job = Job { rewrite: true, answer: None, pc: Pc::Apply, ..job };
    }

    pub(super) fn receive(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
    pub(super) fn apply_answer(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
    pub(super) fn refused(&self, w: &mut World, p: usize, goes: Goes) -> Result<(), Violation> {
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
}
