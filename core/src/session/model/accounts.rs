//! Several sessions in one store: sign-in, replacement, the default account, import (docs/sessions.md §2, §6, §10).
//!
//! A process, its death, and every call of the store and the server that may fail. After each event the question is what a
//! restore would say now, in this process and in a new one.

use super::explore::{Model, Violation};

pub(super) const SLOTS: usize = 4;

/// A rule that somebody might have written instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// The old session is ended before the new one is stored.
    EndsBeforeStoring,
    /// The new record does not list what it replaces.
    ListsNothing,
    /// It lists only what could be read.
    ListsReadable,
    /// That the keys could not be listed counts as there being none.
    FailedListIsNone,
    /// The tombstone does not take over the list of its record.
    TombstoneForgetsList,
    /// Nor the hash of what was imported.
    TombstoneForgetsImport,
    /// The use counter is the wall clock.
    ClockAlone,
    /// The use counter is above those that could be read, and nothing else is kept.
    ReadableAlone,
    /// Two of one account stay if the older could not be read at the sign-in.
    KeepsTwoOfOne,
    /// A high use counter outweighs another record's list.
    CounterBeatsList,
    /// What cannot be read is left out of the choice of the default.
    UnreadableIsNone,
    /// An imported refresh token is sent although a record came from it.
    ImportsTwice,
    /// Cancelled after the store call has begun, it is revoked.
    RevokesAfterStore,
    /// Cancelled before the store call, nothing is revoked.
    CancelForgets,
    /// A cancelled import is revoked like a cancelled sign-in, though its old refresh token is spent.
    CancelRevokesImport,
    /// A refused store call ends the sign-in, and the old session stays beside the new one.
    KeepsOldUnstored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    counter: u8,
    /// The keys that it replaces.
    replaces: u8,
    account: u8,
    grant: u8,
    rt: u8,
    imported: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    record: Option<Record>,
    locked: bool,
    /// The tombstone, and what its record replaced.
    tombstone: Option<u8>,
    /// What is ended came of an import, by the hash of what was imported.
    imported: bool,
    /// The grant that is still to be revoked.
    queued: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    live: bool,
    rt: u8,
    /// The leeway of the last rotation is over.
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pc {
    Probe,
    Credential,
    Store,
    Tombstones,
    Return,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pc: Pc,
    slot: u8,
    account: u8,
    import: bool,
    listed: u8,
    stored: bool,
    ended_old: bool,
    todo: u8,
    cancelled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    slots: [Slot; SLOTS],
    grants: [Grant; SLOTS],
    /// The highest use counter that was ever given, under its own key.
    highest: u8,
    wall: u8,
    alive: bool,
    /// What lives in memory only.
    unstored: [Option<Record>; SLOTS],
    ended: u8,
    /// Ids are random: none comes twice.
    used: u8,
    job: Option<Job>,
    actions: u8,
    faults: u8,
    /// The app holds a refresh token to import until a session came of it.
    imports: u8,
    // What happened.
    latest: Option<u8>,
    replaced: u8,
    signed_out: u8,
    died: u8,
    loss: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Accounts {
    pub(super) many: bool,
    pub(super) okta: bool,
    pub(super) import: bool,
    pub(super) actions: u8,
    pub(super) faults: u8,
    pub(super) wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    SignIn(u8),
    Import,
    Step(Pc, bool),
    Cancel,
    SetDefault(u8, bool),
    /// The tombstone was written; the revocation reached the server.
    SignOut(u8, bool, bool),
    /// Whoever reads both finishes a replacement.
    Finish(u8, bool),
    /// What lives in memory only is stored.
    Rewrite(u8),
    Revoke(u8),
    Crash,
    Start,
    Lock(u8),
    Unlock(u8),
    ClockBack,
    LeewayPasses,
}

/// What a restore says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restored {
    Nobody,
    Slot(u8),
    Unavailable,
}

const LEGACY: usize = 3;

impl Accounts {
    pub(super) fn start(&self) -> State {
        let record =
            |counter, account| Record { counter, replaces: 0, account, grant: account, rt: 0, imported: false };
        let mut slots = [Slot::default(); SLOTS];
        let mut grants = [Grant::default(); SLOTS];
        slots[0].record = Some(record(8, 0));
        grants[0].live = true;
        if self.many {
            slots[1].record = Some(record(9, 1));
            grants[1].live = true;
        }
        grants[LEGACY].live = self.import;
        State {
            slots,
            grants,
            highest: 9,
            wall: 10,
            alive: true,
            unstored: [None; SLOTS],
            ended: 0,
            used: if self.many { 3 } else { 1 },
            job: None,
            actions: self.actions,
            faults: self.faults,
            imports: if self.import { 2 } else { 0 },
            latest: Some(u8::from(self.many)),
            replaced: 0,
            signed_out: 0,
            died: 0,
            loss: false,
        }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    // The rules.

    /// §2, mended: above the highest that was ever given, whatever the clock and unreadable records say.
    fn next_counter(&self, state: &State) -> u8 {
        let readable = state.slots.iter().filter(|slot| !slot.locked).filter_map(|slot| slot.record);
        let highest_read = readable.map(|record| record.counter).max().unwrap_or(0);
        match self.wrong {
            Wrong::ClockAlone => state.wall,
            Wrong::ReadableAlone => state.wall.max(highest_read + 1),
            _ => state.wall.max(state.highest + 1),
        }
    }

    /// §6, mended: one account replaces every key that is there, readable or not; many, the same account.
    fn replaces(&self, state: &State, account: u8) -> u8 {
        let mut mask = 0;
        for (index, slot) in state.slots.iter().enumerate() {
            let same = |record: Record| !slot.locked && record.account == account;
            let listed = match (slot.record.or(state.unstored[index]), self.many) {
                (Some(record), false) => !(self.is(Wrong::ListsReadable) && slot.locked) && record.counter > 0,
                (Some(record), true) => same(record),
                (None, _) => false,
            };
            mask |= u8::from(listed && slot.tombstone.is_none()) << index;
        }
        mask
    }

    /// What is ended by its own tombstone, or by the list of a record or tombstone that can be read.
    fn ended(&self, state: &State, memory: bool) -> u8 {
        let mut ended = if memory { state.ended } else { 0 };
        for (index, slot) in state.slots.iter().enumerate() {
            if let Some(list) = slot.tombstone {
                ended |= 1 << index | list;
            }
            if let Some(record) = slot.record.filter(|_| !slot.locked) {
                let mut list = record.replaces;
                if self.is(Wrong::CounterBeatsList) {
                    for other in 0..SLOTS {
                        let higher = state.slots[other].record.is_some_and(|other| other.counter > record.counter);
                        list &= !(u8::from(higher) << other);
                    }
                }
                ended |= list;
            }
            if let Some(record) = state.unstored[index].filter(|_| memory) {
                ended |= record.replaces;
            }
        }
        // Mended: of two of one account the older is replaced, listed or not; it may have been unreadable at the time.
        for index in 0..SLOTS {
            let of = |at: usize| state.slots[at].record.filter(|_| !state.slots[at].locked && ended & (1 << at) == 0);
            let newer = |other: usize| match (of(index), of(other)) {
                (Some(one), Some(other)) => one.account == other.account && one.counter < other.counter,
                _ => false,
            };
            let older = self.many && !self.is(Wrong::KeepsTwoOfOne) && (0..SLOTS).any(newer);
            ended |= u8::from(older) << index;
        }
        ended
    }

    /// §2 and §3: the default account.
    fn default_of(&self, state: &State, memory: bool) -> Restored {
        let ended = self.ended(state, memory);
        let mut best: Option<(u8, u8)> = None;
        let mut unreadable = false;
        for (index, slot) in state.slots.iter().enumerate() {
            if ended & (1 << index) != 0 {
                continue;
            }
            unreadable |= slot.record.is_some() && slot.locked;
            let stored = slot.record.filter(|_| !slot.locked);
            let record = if memory { state.unstored[index].or(stored) } else { stored };
            if let Some(record) = record {
                best = best.max(Some((record.counter, index as u8)));
            }
        }
        match best {
            // It may be the one.
            _ if unreadable && !self.is(Wrong::UnreadableIsNone) => Restored::Unavailable,
            Some((_, slot)) => Restored::Slot(slot),
            None => Restored::Nobody,
        }
    }

    // The invariants.

    fn check(&self, state: &State) -> Result<(), Violation> {
        for memory in [false, true] {
            if memory && (!state.alive || state.job.is_some()) {
                continue;
            }
            let live_or_locked = |index: usize| {
                let bit = 1 << index;
                state.slots[index].record.is_some()
                    && state.slots[index].tombstone.is_none()
                    && (state.replaced | state.signed_out) & bit == 0
                    && !(memory && state.ended & bit != 0)
            };
            match self.default_of(state, memory) {
                Restored::Slot(slot) => {
                    let bit = 1 << slot;
                    if state.signed_out & bit != 0 {
                        return Err(Violation(5, "a session that was signed out is the default"));
                    }
                    if state.replaced & bit != 0 {
                        return Err(Violation(7, "a replaced session is the default"));
                    }
                    let expected = state.latest.filter(|latest| live_or_locked(usize::from(*latest)));
                    if state.job.is_none() && expected.is_some_and(|latest| latest != slot) {
                        return Err(Violation(7, "an older account is the default"));
                    }
                }
                Restored::Nobody if (0..SLOTS).any(live_or_locked) && state.job.is_none() => {
                    return Err(Violation(10, "there is a session, and the restore finds none"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn revoke(&self, state: &mut State, grant: u8, of: u8) -> Result<(), Violation> {
        let ended = self.ended(state, false);
        let live = |index: usize| {
            let other = 1 << index;
            let record = state.slots[index].record.or(state.unstored[index]);
            index != usize::from(of) && ended & other == 0 && record.is_some_and(|record| record.grant == grant)
        };
        if state.grants[usize::from(grant)].live && (0..SLOTS).any(live) {
            return Err(Violation(6, "a live session's grant was revoked"));
        }
        state.grants[usize::from(grant)].live = false;
        Ok(())
    }

    // The events.

    fn act(&self, w: &mut State, event: Event) -> Result<(), Violation> {
        match event {
            Event::SignIn(account) => {
                w.actions -= 1;
                self.begin(w, account, false);
            }
            Event::Import => {
                w.actions -= 1;
                self.begin(w, 2, true);
            }
            Event::Step(_, well) => {
                w.faults -= u8::from(!well);
                self.work(w, well)?;
            }
            Event::Cancel => {
                w.faults -= 1;
                let job = w.job.as_mut().expect("it runs");
                job.cancelled = true;
            }
            Event::SetDefault(slot, well) => {
                w.actions -= 1;
                w.faults -= u8::from(!well);
                if well {
                    let counter = self.next_counter(w);
                    w.highest = w.highest.max(counter);
                    if let Some(record) = &mut w.slots[usize::from(slot)].record {
                        record.counter = counter;
                    }
                    if w.replaced & (1 << slot) == 0 {
                        w.latest = Some(slot);
                    }
                }
            }
            Event::SignOut(slot, marked, reached) => {
                w.actions -= 1;
                w.faults -= u8::from(!marked) + u8::from(!reached);
                w.ended |= 1 << slot;
                let at = usize::from(slot);
                w.loss |= w.slots[at].record.or(w.unstored[at]).is_some_and(|record| record.imported);
                let stored = w.slots[at].record;
                let record = w.unstored[at].take().or(stored).expect("it is there");
                if marked {
                    let list = if self.is(Wrong::TombstoneForgetsList) { 0 } else { record.replaces };
                    w.slots[at].tombstone = Some(list);
                    w.slots[at].imported = record.imported && !self.is(Wrong::TombstoneForgetsImport);
                    w.slots[at].record = None;
                    w.slots[at].queued = (!reached).then_some(record.grant);
                    w.signed_out |= 1 << slot;
                }
                if reached {
                    self.revoke(w, record.grant, slot)?;
                } else if !marked && stored.is_none() {
                    w.died |= 1 << record.grant;
                }
            }
            Event::Finish(slot, well) => {
                w.faults -= u8::from(!well);
                if well {
                    self.end_replaced(w, slot, true)?;
                }
            }
            Event::Rewrite(slot) => {
                let at = usize::from(slot);
                w.slots[at].record = w.unstored[at].take();
            }
            Event::Revoke(slot) => {
                if let Some(grant) = w.slots[usize::from(slot)].queued.take() {
                    self.revoke(w, grant, slot)?;
                }
            }
            Event::Crash => {
                w.faults -= 1;
                if let Some(job) = w.job.filter(|job| job.stored) {
                    w.latest = Some(job.slot);
                    w.replaced |= job.listed;
                }
                if let Some(job) = w.job.filter(|job| job.pc == Pc::Store) {
                    if w.slots
                        .iter()
                        .enumerate()
                        .any(|(old, slot)| job.listed & (1 << old) != 0 && slot.tombstone.is_some())
                    {
                        return Err(Violation(1, "a session was replaced by none"));
                    }
                    w.died |= 1 << self.grant_of(w, job.slot);
                    w.loss |= job.import;
                }
                for index in 0..SLOTS {
                    if let Some(record) = w.unstored[index].take() {
                        w.died |= 1 << record.grant;
                        w.loss |= record.imported;
                        // §1: a set that could not be written before the process died.
                        w.latest = w.latest.filter(|latest| usize::from(*latest) != index);
                    }
                }
                w.job = None;
                w.alive = false;
                w.ended = 0;
            }
            Event::Start => w.alive = true,
            Event::Lock(slot) => {
                w.faults -= 1;
                w.slots[usize::from(slot)].locked = true;
            }
            Event::Unlock(slot) => w.slots[usize::from(slot)].locked = false,
            Event::ClockBack => {
                w.faults -= 1;
                w.wall = 2;
            }
            Event::LeewayPasses => {
                for grant in &mut w.grants {
                    grant.over |= grant.rt > 0;
                }
            }
        }
        Ok(())
    }

    /// Each slot but the legacy one has a grant of its number; an imported session has the legacy one.
    fn grant_of(&self, w: &State, slot: u8) -> u8 {
        let at = usize::from(slot);
        let imports = w.job.is_some_and(|job| job.slot == slot && job.import);
        let record = w.slots[at].record.or(w.unstored[at]);
        match record {
            Some(record) => record.grant,
            None if imports => LEGACY as u8,
            None => slot,
        }
    }

    fn begin(&self, w: &mut State, account: u8, import: bool) {
        let free = |slot: &u8| {
            let at = usize::from(*slot);
            w.used & (1 << at) == 0
        };
        let last = if self.import { LEGACY as u8 } else { SLOTS as u8 };
        let Some(slot) = (0..last).find(free) else { return };
        w.used |= 1 << slot;
        let job = Job {
            pc: Pc::Probe,
            slot,
            account,
            import,
            listed: 0,
            stored: false,
            ended_old: false,
            todo: 0,
            cancelled: false,
        };
        w.job = Some(job);
    }

    fn work(&self, w: &mut State, well: bool) -> Result<(), Violation> {
        let mut job = w.job.expect("it runs");
        let at = usize::from(job.slot);
        match job.pc {
            Pc::Probe => {
                // Mended: what is there is listed before a credential is sent; it fails here or not at all.
                if !well && !self.is(Wrong::FailedListIsNone) {
                    w.job = None;
                    return Ok(());
                }
                job.listed = if well { self.replaces(w, job.account) } else { 0 };
                let known =
                    w.slots.iter().filter_map(|slot| slot.record).chain(w.unstored.iter().filter_map(|record| *record));
                if job.import && !self.is(Wrong::ImportsTwice) {
                    let unreadable = w.slots.iter().any(|slot| slot.record.is_some() && slot.locked);
                    if w.slots.iter().any(|slot| slot.imported) {
                        // It was signed out or replaced.
                        (w.imports, w.job) = (0, None);
                        return Ok(());
                    }
                    let there = known.into_iter().any(|record| record.imported);
                    if there || unreadable {
                        // The session that came of it; or nobody can say, and nothing is sent.
                        w.imports -= u8::from(there);
                        w.job = None;
                        return Ok(());
                    }
                }
                job.pc = Pc::Credential;
                w.job = Some(job);
            }
            Pc::Credential => {
                if job.cancelled {
                    w.job = None;
                    return Ok(());
                }
                if job.import {
                    let grant = &mut w.grants[LEGACY];
                    let fresh = grant.rt == 0 || (grant.rt == 1 && !grant.over);
                    if !grant.live || !fresh {
                        let unjust = grant.live && !w.loss;
                        grant.live = false;
                        w.job = None;
                        w.imports = 0;
                        if unjust {
                            return Err(Violation(1, "an imported refresh token was sent again and refused"));
                        }
                        return Ok(());
                    }
                    grant.rt = 1;
                } else {
                    w.grants[at].live = true;
                }
                if !well {
                    // The answer was lost.
                    let grant = self.grant_of(w, job.slot);
                    w.died |= 1 << grant;
                    w.loss |= job.import;
                    w.job = None;
                    return Ok(());
                }
                job.pc = Pc::Store;
                if self.is(Wrong::EndsBeforeStoring) {
                    job.todo = job.listed;
                    w.job = Some(job);
                    for old in 0..SLOTS as u8 {
                        if job.todo & (1 << old) != 0 {
                            self.end_replaced(w, old, true)?;
                        }
                    }
                }
                w.job = Some(job);
            }
            Pc::Store => {
                let grant = self.grant_of(w, job.slot);
                // Mended: an import's point of no return is its send.
                if job.cancelled && (!job.import || self.is(Wrong::CancelRevokesImport)) {
                    if !self.is(Wrong::CancelForgets) {
                        if well {
                            self.revoke(w, grant, job.slot)?;
                        } else {
                            // The revocation failed; the queue has it.
                            w.slots[at].tombstone = Some(0);
                            w.slots[at].queued = Some(grant);
                        }
                    }
                    w.job = None;
                    return Ok(());
                }
                let replaces = match self.wrong {
                    Wrong::ListsNothing => 0,
                    _ => job.listed,
                };
                let counter = self.next_counter(w);
                w.highest = w.highest.max(counter);
                let rt = w.grants[usize::from(grant)].rt;
                let record = Record { counter, replaces, account: job.account, grant, rt, imported: job.import };
                if well {
                    w.slots[at].record = Some(record);
                } else {
                    w.unstored[at] = Some(record);
                }
                job.stored = well;
                job.todo = if self.is(Wrong::KeepsOldUnstored) && !well { 0 } else { job.listed };
                job.pc = if job.todo == 0 { Pc::Return } else { Pc::Tombstones };
                w.job = Some(job);
            }
            Pc::Tombstones => {
                // Mended: the newest first; its tombstone has the whole list, and so ends the others with it.
                let old = 7 - job.todo.leading_zeros() as u8;
                let is_first = job.todo == job.listed;
                w.ended |= 1 << old;
                if well {
                    self.end_replaced(w, old, true)?;
                    if !self.is(Wrong::TombstoneForgetsList)
                        && let Some(list) = &mut w.slots[usize::from(old)].tombstone
                    {
                        *list |= job.listed;
                    }
                    if is_first {
                        // With or without the new one stored.
                        (job.ended_old, w.replaced) = (true, w.replaced | job.listed);
                    }
                } else if w.unstored[usize::from(old)].is_some() && job.stored {
                    // Only this process has it: no tombstone is needed, and its token is given back at once.
                    let grant = self.grant_of(w, old);
                    w.unstored[usize::from(old)] = None;
                    self.revoke(w, grant, old)?;
                }
                job.todo &= !(1 << old);
                if job.todo == 0 || (!job.stored && !job.ended_old) {
                    job.pc = Pc::Return;
                }
                w.job = Some(job);
            }
            Pc::Return => {
                w.job = None;
                if job.cancelled && self.is(Wrong::RevokesAfterStore) {
                    let grant = self.grant_of(w, job.slot);
                    w.grants[usize::from(grant)].live = false;
                    if w.slots[at].record.is_some() {
                        return Err(Violation(6, "a live session's grant was revoked"));
                    }
                }
                // Neither stored nor the old ended: it fails, and is given back.
                if !job.stored && !job.ended_old && job.listed != 0 && !self.is(Wrong::KeepsOldUnstored) {
                    let grant = self.grant_of(w, job.slot);
                    w.unstored[at] = None;
                    w.ended &= !job.listed;
                    return self.revoke(w, grant, job.slot);
                }
                w.imports -= u8::from(job.import && w.imports > 0);
                w.latest = Some(job.slot);
                w.replaced |= job.listed;
            }
        }
        Ok(())
    }

    /// The tombstone of a replaced session, which goes on to its queue.
    fn end_replaced(&self, w: &mut State, old: u8, reached: bool) -> Result<(), Violation> {
        let at = usize::from(old);
        let grant = self.grant_of(w, old);
        let record = w.unstored[at].or(w.slots[at].record);
        w.slots[at].tombstone = Some(record.map_or(0, |record| record.replaces));
        let imported = record.is_some_and(|record| record.imported);
        w.slots[at].imported = imported && !self.is(Wrong::TombstoneForgetsImport);
        if w.slots[at].locked {
            // Its record stays until it can be read; the worker looks at it then.
            return Ok(());
        }
        w.slots[at].record = None;
        w.unstored[at] = None;
        if self.okta && reached {
            self.revoke(w, grant, old)?;
        } else {
            w.died |= 1 << grant;
        }
        Ok(())
    }
}

impl Model for Accounts {
    type State = State;
    type Event = Event;

    fn events(&self, w: &State, into: &mut Vec<Event>) {
        let faults = w.faults > 0;
        if !w.alive {
            into.push(Event::Start);
        } else if let Some(job) = w.job {
            into.push(Event::Step(job.pc, true));
            if faults && job.pc != Pc::Return {
                into.push(Event::Step(job.pc, false));
                if !job.cancelled {
                    into.push(Event::Cancel);
                }
            }
            if faults && job.pc == Pc::Return && !job.cancelled {
                into.push(Event::Cancel);
            }
        } else {
            if w.actions > 0 {
                into.push(Event::SignIn(0));
                into.push(Event::SignIn(1));
                if w.imports > 0 {
                    into.push(Event::Import);
                }
            }
            let ended = self.ended(w, true);
            for slot in 0..SLOTS as u8 {
                let at = usize::from(slot);
                let stored = w.slots[at].record.is_some() && !w.slots[at].locked;
                if ended & (1 << slot) == 0 && w.actions > 0 && (stored || w.unstored[at].is_some()) {
                    if stored {
                        into.push(Event::SetDefault(slot, true));
                    }
                    into.push(Event::SignOut(slot, true, true));
                    if faults {
                        into.push(Event::SignOut(slot, true, false));
                        into.push(Event::SignOut(slot, false, true));
                    }
                }
                if stored && ended & (1 << slot) != 0 && self.ended(w, false) & (1 << slot) != 0 {
                    into.push(Event::Finish(slot, true));
                }
                if w.unstored[at].is_some() && ended & (1 << slot) == 0 {
                    into.push(Event::Rewrite(slot));
                }
                if w.slots[at].queued.is_some() {
                    into.push(Event::Revoke(slot));
                }
            }
        }
        for slot in 0..SLOTS as u8 {
            let at = usize::from(slot);
            if w.slots[at].locked {
                into.push(Event::Unlock(slot));
            } else if faults && w.slots[at].record.is_some() {
                into.push(Event::Lock(slot));
            }
        }
        if faults {
            if w.alive {
                into.push(Event::Crash);
            }
            if w.wall > 2 {
                into.push(Event::ClockBack);
            }
        }
        if w.job.is_none() && w.grants.iter().any(|grant| grant.rt > 0 && !grant.over) {
            into.push(Event::LeewayPasses);
        }
    }

    fn step(&self, state: &State, event: Event) -> Result<State, Violation> {
        let mut after = *state;
        self.act(&mut after, event)?;
        if after.alive {
            // What was read is remembered, also if the record that said so cannot be read any more.
            after.ended |= self.ended(&after, false);
        }
        if let Event::SetDefault(slot, _) = event {
            let others = |w: &State| {
                let mut slots = w.slots;
                slots[usize::from(slot)] = Slot::default();
                slots
            };
            if others(state) != others(&after) {
                return Err(Violation(7, "another session's record was touched"));
            }
        }
        self.check(&after)?;
        Ok(after)
    }

    fn at_rest(&self, state: &State) -> Option<State> {
        (state.job.is_none()).then_some(State { faults: 0, actions: 0, ..*state })
    }

    /// §11.6: every live grant is in exactly one live record or queue entry, or nobody can know it.
    fn check_rest(&self, state: &State) -> Result<(), Violation> {
        let mut w = *state;
        for slot in &mut w.slots {
            slot.locked = false;
        }
        w.alive = true;
        for slot in 0..SLOTS as u8 {
            let at = usize::from(slot);
            if w.unstored[at].is_some() && self.ended(&w, true) & (1 << slot) == 0 {
                self.act(&mut w, Event::Rewrite(slot))?;
            }
        }
        for slot in 0..SLOTS as u8 {
            let at = usize::from(slot);
            if w.slots[at].record.is_some() && self.ended(&w, false) & (1 << slot) != 0 {
                self.end_replaced(&mut w, slot, true)?;
            }
            if w.slots[at].queued.is_some() {
                self.act(&mut w, Event::Revoke(slot))?;
            }
        }
        self.check(&w)?;
        for (number, grant) in w.grants.iter().enumerate() {
            let of_app = number == LEGACY && self.import && grant.rt == 0;
            let holders = w.slots.iter().filter(|slot| {
                slot.tombstone.is_none() && slot.record.is_some_and(|record| usize::from(record.grant) == number)
            });
            let count = holders.count();
            if count > 1 {
                return Err(Violation(6, "a grant is in two live records"));
            }
            if grant.live && count == 0 && w.died & (1 << number) == 0 && !of_app {
                return Err(Violation(6, "a live grant is in no record and no queue entry"));
            }
        }
        let live = w.slots.iter().filter(|slot| slot.record.is_some() && slot.tombstone.is_none()).count();
        let same = |one: &Slot, other: &Slot| match (one.record, other.record) {
            (Some(one), Some(other)) => one.account == other.account,
            _ => false,
        };
        let slots = &w.slots;
        if (0..SLOTS).any(|one| (0..one).any(|other| same(&slots[one], &slots[other]))) {
            return Err(Violation(7, "two sessions of one account"));
        }
        if !self.many && live > 1 {
            return Err(Violation(7, "two sessions where one is kept"));
        }
        Ok(())
    }
}
