//! The world of one session: the server's grant, the store's keys, up to two processes.

/// A moment on the boot clock; after a reboot, or with a wall clock that was set, another epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    pub(super) epoch: u8,
    pub(super) at: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Unknown,
    Static,
    Rotating,
}

/// A refresh is, or was, under way with this refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub(super) rt: u8,
    pub(super) first: Moment,
}

/// §2. The set is the number of the answer that it came with; a refresh token is its number in the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) generation: u8,
    pub(super) writer: u8,
    pub(super) set: u8,
    pub(super) rt: u8,
    pub(super) kind: Kind,
    pub(super) mark: Option<Mark>,
}

/// What is under the record's storage key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Absent,
    Torn,
    Record(Record),
}

/// That the session is ended; under a key of its own, written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tombstone {
    /// Whether its refresh tokens are to be revoked: not those of a replaced session in the Oidc profile.
    pub(super) revoke: bool,
    pub(super) since: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) cell: Cell,
    /// What a stale read gives, and what is left after a restart if the last write was not durable.
    pub(super) before: Cell,
    pub(super) volatile: bool,
    pub(super) tombstone: Option<Tombstone>,
    /// The revocation queue: one bit, and one storage key, for each refresh token.
    pub(super) queue: u8,
}

/// What the server says to the ID token of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Check {
    Good,
    /// The keys are out of reach until they are back.
    NotYet,
    Never,
    OtherSubject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) rt: u8,
    pub(super) sent: Moment,
    pub(super) check: Check,
}

pub(super) const ANSWERS: usize = 6;
/// The epoch of every moment that the clocks cannot place any more.
const UNKNOWN: u8 = u8::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) live: bool,
    pub(super) rotates: bool,
    /// The newest refresh token, and since when there is none newer.
    pub(super) newest: u8,
    pub(super) since: u32,
    pub(super) answers: [Answer; ANSWERS],
    pub(super) answered: u8,
    /// A request that its client gave up may still arrive.
    pub(super) wandering: Option<u8>,
}

/// The next effect of a refresh (§5) or of writing a record again (§4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pc {
    Idle,
    Lock,
    Read,
    Mark,
    MarkBack,
    Send,
    Await,
    Apply,
    Store,
    Back,
    EndRead,
    EndDelete,
    Save,
    Revoke,
    Clean,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) pc: Pc,
    /// Only writes what memory holds.
    pub(super) rewrite: bool,
    /// The refresh token that is presented; later the one to be saved.
    pub(super) rt: u8,
    pub(super) answer: Option<u8>,
    pub(super) refused: bool,
    /// An answer to this refresh token may have been lost.
    pub(super) unknown: bool,
    /// It began when the session was ended already.
    pub(super) began_ended: bool,
    /// The last look at the record failed.
    pub(super) unread: bool,
}

/// The next effect of a sign-out or a replacement (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EndPc {
    Idle,
    Tombstone,
    Look,
    Entry,
    Revoke,
    Remove,
    Recheck,
    Delete,
    Bury,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ending {
    pub(super) pc: EndPc,
    /// Not a sign-out, but the work on the queue.
    pub(super) worker: bool,
    pub(super) revoke: bool,
    pub(super) marked: bool,
    pub(super) rt: Option<u8>,
    /// What is still to be revoked.
    pub(super) todo: u8,
    /// What is queued or revoked.
    pub(super) safe: u8,
}

/// What a process knows of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Memory {
    pub(super) record: Record,
    /// The set that is handed out.
    pub(super) serving: u8,
    /// The newest set that was read, or read back.
    pub(super) confirmed: u8,
    /// The highest generation that was read, or read back.
    pub(super) seen: u8,
    pub(super) newest_rt_read: u8,
    pub(super) was_stored: bool,
    pub(super) persisted: bool,
    pub(super) ended: bool,
    /// Held back until its ID token is valid (§5.6), and since when.
    pub(super) held: Option<(u8, Moment)>,
    pub(super) retried: Option<u8>,
    pub(super) sends: (u8, u8),
    pub(super) tried: Option<Moment>,
    /// A store call has missed its deadline.
    pub(super) late: Option<Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Dead,
    Runs,
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) life: Life,
    /// Of each run of a process, the writer.
    pub(super) run: u8,
    pub(super) memory: Option<Memory>,
    pub(super) job: Job,
    pub(super) ending: Ending,
    /// It was suspended, or lost the lock, since it took it.
    pub(super) interrupted: bool,
    pub(super) worked: bool,
}

/// What happened so far, as far as an invariant asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Past {
    /// A sign-out, a replacement or a revocation by the server.
    pub(super) ended: bool,
    /// The tombstone was acknowledged.
    pub(super) acknowledged: bool,
    /// One of the three losses of §1.
    pub(super) loss: bool,
    /// The newest answer of the server reached nobody, or died with whom it reached.
    pub(super) orphan: bool,
    /// The first send of a refresh token, or the first since its access token expired; the first ever.
    pub(super) first_send: Option<Mark>,
    pub(super) first_ever: Option<Mark>,
    /// A process that lived on knew that its answer may have been lost.
    pub(super) noted: bool,
    pub(super) store_fault: bool,
    pub(super) lied: bool,
    /// A refresh token of an ended session could be neither stored nor revoked.
    pub(super) unsaved: bool,
    pub(super) wrong_subject: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: u32,
    pub(super) epoch: u8,
    pub(super) grant: Grant,
    pub(super) store: Store,
    pub(super) lock: Option<u8>,
    pub(super) processes: [Process; 2],
    /// How often a clock may still be set.
    pub(super) clocks: u8,
    pub(super) keys: bool,
    pub(super) faults: u8,
    pub(super) used: u8,
    pub(super) waits: u8,
    pub(super) ends: u8,
    pub(super) past: Past,
}

/// One enumeration: which world, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) okta: bool,
    pub(super) leeway: u32,
    pub(super) processes: u8,
    pub(super) lock: bool,
    /// The second process has `RefreshPolicy::Never`.
    pub(super) second_never: bool,
    /// A refresh token that never changes, until the server's policy does.
    pub(super) rotates: bool,
    pub(super) faults: u8,
    pub(super) waits: &'static [u32],
    pub(super) wait_count: u8,
    pub(super) delays: &'static [u32],
    pub(super) ends: u8,
    pub(super) store_faults: bool,
    pub(super) net_faults: bool,
    pub(super) crashes: bool,
    pub(super) suspensions: bool,
    pub(super) checks: bool,
    pub(super) clock: bool,
    pub(super) wrong: super::rules::Wrong,
}

impl Job {
    pub(super) const IDLE: Self = Self {
        pc: Pc::Idle,
        rewrite: false,
        rt: 0,
        answer: None,
        refused: false,
        unknown: false,
        began_ended: false,
        unread: false,
    };
}

impl Ending {
    pub(super) const IDLE: Self =
        Self { pc: EndPc::Idle, worker: false, revoke: true, marked: false, rt: None, todo: 0, safe: 0 };
}

impl Memory {
    pub(super) fn of(record: Record) -> Self {
        Self {
            record,
            serving: record.set,
            confirmed: record.set,
            seen: record.generation,
            newest_rt_read: record.rt,
            was_stored: true,
            persisted: true,
            ended: false,
            held: None,
            retried: None,
            sends: (0, 0),
            tried: None,
            late: None,
        }
    }
}

impl Process {
    fn new(run: u8, life: Life, memory: Option<Memory>) -> Self {
        Self { life, run, memory, job: Job::IDLE, ending: Ending::IDLE, interrupted: false, worked: life == Life::Runs }
    }
}

impl World {
    /// One session, signed in and stored, whose access token is due and has 300 s to live.
    pub(super) fn new(scope: &Scope) -> Self {
        let now = 4000;
        let kind = if scope.rotates { Kind::Rotating } else { Kind::Static };
        let record = Record { generation: 1, writer: 0, set: 0, rt: 0, kind, mark: None };
        let none = Answer { rt: 0, sent: Moment::default(), check: Check::Good };
        let mut answers = [none; ANSWERS];
        answers[0].sent.at = now - 3300;
        let second = if scope.processes > 1 { Life::Runs } else { Life::Dead };
        Self {
            now,
            epoch: 0,
            grant: Grant {
                live: true,
                rotates: scope.rotates,
                newest: 0,
                since: 0,
                answers,
                answered: 1,
                wandering: None,
            },
            store: Store {
                cell: Cell::Record(record),
                before: Cell::Record(record),
                volatile: false,
                tombstone: None,
                queue: 0,
            },
            lock: None,
            processes: [
                Process::new(1, Life::Runs, Some(Memory::of(record))),
                Process::new(2, second, (scope.processes > 1).then(|| Memory::of(record))),
            ],
            clocks: 1,
            keys: true,
            faults: scope.faults,
            used: 0,
            waits: scope.wait_count,
            ends: scope.ends,
            past: Past {
                ended: false,
                acknowledged: false,
                loss: false,
                orphan: false,
                first_send: None,
                first_ever: None,
                noted: false,
                store_fault: false,
                lied: false,
                unsaved: false,
                wrong_subject: false,
            },
        }
    }

    /// The same world in fewer words: moments by their age as far as a rule asks for it, numbers counted from the oldest that
    /// anybody still holds. Worlds with the same future become the same state.
    pub(super) fn normal(mut self) -> Self {
        const NOW: u32 = 200_000;
        let (now, epoch) = (self.now, self.epoch);
        let aged = |moment: &mut Moment, most: u32| {
            *moment = if moment.epoch == epoch && moment.epoch != UNKNOWN {
                Moment { epoch: 0, at: NOW - now.saturating_sub(moment.at).min(most) }
            } else {
                Moment { epoch: UNKNOWN, at: NOW - now.saturating_sub(moment.at).min(most) }
            };
        };
        let since = |at: u32, most: u32| NOW - now.saturating_sub(at).min(most);
        // The oldest numbers.
        let (mut set, mut rt, mut generation) = (u8::MAX, self.grant.newest.saturating_sub(1), u8::MAX);
        let mut queue = self.store.queue;
        while queue != 0 {
            rt = rt.min(queue.trailing_zeros() as u8);
            queue &= queue - 1;
        }
        rt = self.grant.wandering.map_or(rt, |wandering| rt.min(wandering));
        self.each_record(|record| {
            (set, rt, generation) = (set.min(record.set), rt.min(record.rt), generation.min(record.generation));
        });
        for process in &self.processes {
            if let Some(memory) = &process.memory {
                set = set.min(memory.serving).min(memory.held.map_or(u8::MAX, |(held, _)| held));
            }
            set = process.job.answer.map_or(set, |answer| set.min(answer));
            if process.job.pc != Pc::Idle {
                rt = rt.min(process.job.rt);
            }
            if let Some(ending) = process.ending.rt.filter(|_| process.ending.pc != EndPc::Idle) {
                rt = rt.min(ending);
            }
            if process.ending.todo != 0 {
                rt = rt.min(process.ending.todo.trailing_zeros() as u8);
            }
        }
        set = set.min(self.grant.answered - 1);
        generation = if generation == u8::MAX { 0 } else { generation - 1 };
        let runs = [self.processes[0].run, self.processes[1].run];
        let alive = [self.processes[0].life, self.processes[1].life];
        self.each_record(|record| {
            record.set -= set;
            record.rt -= rt;
            record.generation -= generation;
            record.writer = match record.writer {
                writer if writer == runs[0] && alive[0] != Life::Dead => 1,
                writer if writer == runs[1] && alive[1] != Life::Dead => 2,
                _ => 0,
            };
            record.mark = record.mark.filter(|mark| mark.rt >= rt).map(|mut mark| {
                mark.rt -= rt;
                aged(&mut mark.first, 3600);
                mark
            });
        });
        for (index, process) in self.processes.iter_mut().enumerate() {
            process.run = index as u8 + 1;
            if let Some(memory) = &mut process.memory {
                memory.serving -= set;
                memory.confirmed = memory.confirmed.saturating_sub(set);
                memory.seen = memory.seen.saturating_sub(generation);
                memory.newest_rt_read = memory.newest_rt_read.saturating_sub(rt);
                memory.retried = memory.retried.filter(|retried| *retried >= rt).map(|retried| retried - rt);
                memory.sends = if memory.sends.0 >= rt { (memory.sends.0 - rt, memory.sends.1) } else { (0, 0) };
                memory.tried = memory.tried.filter(|tried| tried.epoch == epoch && now - tried.at < 30);
                if let Some(tried) = &mut memory.tried {
                    aged(tried, 30);
                }
                if let Some((held, since)) = &mut memory.held {
                    *held -= set;
                    aged(since, 60);
                }
            }
            let job = &mut process.job;
            job.answer = job.answer.map(|answer| answer - set);
            job.rt = job.rt.saturating_sub(rt);
            process.ending.rt = process.ending.rt.map(|ending| ending.saturating_sub(rt));
            process.ending.todo >>= rt;
            process.ending.safe >>= rt;
        }
        self.store.queue >>= rt;
        if let Some(tombstone) = &mut self.store.tombstone {
            tombstone.since = since(tombstone.since, 86_400);
        }
        let grant = &mut self.grant;
        grant.newest -= rt;
        grant.since = since(grant.since, 100);
        grant.wandering = grant.wandering.map(|wandering| wandering - rt);
        grant.answers.rotate_left(usize::from(set));
        grant.answered -= set;
        for (index, answer) in grant.answers.iter_mut().enumerate() {
            if index < usize::from(grant.answered) {
                aged(&mut answer.sent, 3600);
                answer.rt = answer.rt.saturating_sub(rt);
            } else {
                *answer = Answer { rt: 0, sent: Moment::default(), check: Check::Good };
            }
        }
        for first in [&mut self.past.first_send, &mut self.past.first_ever] {
            *first = first.filter(|mark| mark.rt >= rt).map(|mut mark| {
                mark.rt -= rt;
                aged(&mut mark.first, 3600);
                mark
            });
        }
        self.used = self.used.min(2);
        (self.now, self.epoch) = (NOW, 0);
        self
    }

    fn each_record(&mut self, mut each: impl FnMut(&mut Record)) {
        for cell in [&mut self.store.cell, &mut self.store.before] {
            if let Cell::Record(record) = cell {
                each(record);
            }
        }
        for memory in self.processes.iter_mut().filter_map(|process| process.memory.as_mut()) {
            each(&mut memory.record);
            if let Some(late) = &mut memory.late {
                each(late);
            }
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { epoch: self.epoch, at: self.now }
    }
}
