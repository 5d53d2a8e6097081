//! docs/sessions.md §11, as far as one session of the model can break it. §11.7 is in `accounts`.

use super::explore::Violation;
use super::rules::{Freshness, LIFE, Rules};
use super::state::{Cell, Check, Kind, Life, Pc, Record, Scope, World};

/// 1: the server refused a refresh token, or the session ended by itself, for a cause that §1 lists.
pub(super) fn refused(world: &World) -> Result<(), Violation> {
    let past = world.past;
    if past.ended || past.loss || past.lied || past.wrong_subject {
        return Ok(());
    }
    Err(Violation(1, "a refresh token was refused for no cause of §1"))
}

/// 1 and 10: a process takes the session for ended.
pub(super) fn ended(world: &World) -> Result<(), Violation> {
    if !world.grant.live {
        return refused(world);
    }
    let past = world.past;
    if past.ended || past.lied || past.wrong_subject {
        return Ok(());
    }
    Err(Violation(10, "the session ended for no cause of §1"))
}

/// 1 and 10: `invalid_grant` is about to end the session.
pub(super) fn ends_refused(world: &World, p: usize, unread: bool) -> Result<(), Violation> {
    if unread {
        return Err(Violation(10, "an unreadable record ended the session"));
    }
    match world.store.cell {
        Cell::Record(there) if there.rt > world.processes[p].job.rt && !world.past.lied => {
            Err(Violation(1, "ended though the store holds a newer refresh token"))
        }
        _ => Ok(()),
    }
}

/// 2, 5, 8, 9: a refresh token is about to be sent.
pub(super) fn sends(world: &World, scope: &Scope, p: usize) -> Result<(), Violation> {
    let process = &world.processes[p];
    let memory = process.memory.expect("sends from memory");
    let (rt, rules) = (process.job.rt, Rules { okta: scope.okta, wrong: super::rules::Wrong::Nothing });
    if memory.newest_rt_read > rt {
        return Err(Violation(2, "sent after its successor was read"));
    }
    let sent = world.grant.answers[usize::from(memory.record.set)].sent;
    let valid = rules.freshness(sent, world.moment()) != Freshness::Expired;
    let most = if scope.okta { 2 } else { 1 };
    if valid && memory.sends.0 == rt && memory.sends.1 >= most {
        return Err(Violation(2, "sent too often while its access token is valid"));
    }
    let first = world.past.first_send.filter(|mark| mark.rt == rt && mark.first.epoch == world.epoch);
    // A static token is not marked before its send; a death right then leaves no word of it.
    let known = !world.past.store_fault && (world.past.noted || memory.record.kind != Kind::Static);
    let late = |from: u32| world.now.saturating_sub(from) >= rules.window().max(1);
    if valid && known && first.is_some_and(|mark| late(mark.first.at)) {
        return Err(Violation(2, "sent again beyond the window while its access token is valid"));
    }
    if world.past.acknowledged && process.job.began_ended && !world.past.lied {
        return Err(Violation(5, "a refresh began and sent after the tombstone"));
    }
    if process.job.unread {
        return Err(Violation(8, "sent although the record could not be read"));
    }
    if scope.second_never && p == 1 {
        return Err(Violation(9, "a process that never refreshes did"));
    }
    let other = &world.processes[1 - p];
    if other.life == Life::Runs && other.job.pc == Pc::Await && !other.interrupted {
        return Err(Violation(9, "two refreshes in flight"));
    }
    if scope.lock && world.lock != Some(p as u8) {
        return Err(Violation(9, "sent without the lock"));
    }
    Ok(())
}

/// 3, 5, 8: a record is about to be written.
pub(super) fn writes(world: &World, p: usize, record: &Record) -> Result<(), Violation> {
    let process = &world.processes[p];
    let memory = process.memory.expect("writes from memory");
    if record.set > 0 && world.grant.answers[usize::from(record.set)].rt > record.rt {
        return Err(Violation(3, "a set with an older refresh token"));
    }
    if record.set < memory.confirmed && !world.past.lied {
        return Err(Violation(3, "a set older than the one that was read"));
    }
    if memory.late.is_some() {
        return Err(Violation(8, "two writes outstanding"));
    }
    if process.job.unread {
        return Err(Violation(8, "written although the record could not be read"));
    }
    if world.past.acknowledged && process.job.began_ended && !world.past.lied {
        return Err(Violation(5, "an ended session's record was written"));
    }
    displaces(world, p, record)
}

/// 8: a set that another process stored and this one has not read.
pub(super) fn displaces(world: &World, p: usize, record: &Record) -> Result<(), Violation> {
    let process = &world.processes[p];
    let seen = process.memory.map_or(0, |memory| memory.seen);
    match world.store.cell {
        Cell::Record(there)
            if there.writer != process.run && there.generation > seen && there.set > record.set && !world.past.lied =>
        {
            Err(Violation(8, "a write displaced another process's set"))
        }
        _ => Ok(()),
    }
}

/// 3, 4, 5: an access token is handed out. `read`: this call has read the store.
pub(super) fn serves(world: &World, scope: &Scope, p: usize, read: bool) -> Result<(), Violation> {
    let memory = world.processes[p].memory.expect("serves from memory");
    let answer = world.grant.answers[usize::from(memory.serving)];
    let valid = answer.check == Check::Good || (answer.check == Check::NotYet && world.keys);
    if !valid {
        return Err(Violation(3, "an unvalidated set was released"));
    }
    if memory.confirmed < memory.serving && (memory.persisted || !world.past.store_fault) {
        return Err(Violation(4, "released as stored before it was read back"));
    }
    let rules = Rules { okta: scope.okta, wrong: super::rules::Wrong::Nothing };
    if rules.age(answer.sent, world.moment()).is_none_or(|age| age >= LIFE) {
        return Err(Violation(4, "an access token was released whose life is over or unknown"));
    }
    if world.past.acknowledged && read && !world.past.lied {
        return Err(Violation(5, "an ended session's token was handed out"));
    }
    Ok(())
}

/// 6: a refresh token is revoked while its record is live.
pub(super) fn revokes(world: &World, replaced_in_oidc: bool) -> Result<(), Violation> {
    if replaced_in_oidc {
        return Err(Violation(6, "a replaced refresh token was revoked in the Oidc profile"));
    }
    if world.past.ended || world.past.wrong_subject || world.past.lied {
        return Ok(());
    }
    Err(Violation(6, "a live session's grant was revoked"))
}

/// 10: a restore that found nothing.
pub(super) fn restored_nothing(world: &World, stale: bool) -> Result<(), Violation> {
    let nothing = world.store.cell == Cell::Absent || world.store.tombstone.is_some();
    if nothing || stale {
        return Ok(());
    }
    Err(Violation(10, "a read failure became None"))
}

/// 5: the tombstone was deleted.
pub(super) fn buried(world: &World) -> Result<(), Violation> {
    if world.store.cell != Cell::Absent && world.past.acknowledged {
        return Err(Violation(5, "an ended session came back when its tombstone went"));
    }
    if world.store.queue != 0 && world.grant.live {
        return Err(Violation(6, "the queue entry went before its grant"));
    }
    Ok(())
}

/// 6: everything has come to rest, with a healthy network and store.
pub(super) fn at_rest(world: &World, scope: &Scope) -> Result<(), Violation> {
    let grant = &world.grant;
    let past = world.past;
    if !grant.live || past.orphan || past.unsaved || past.lied {
        return Ok(());
    }
    if world.store.tombstone.is_some_and(|tombstone| !tombstone.revoke) || (past.ended && !scope.okta) {
        // A replaced grant of the Oidc profile is left to its server.
        return Ok(());
    }
    let live = match world.store.cell {
        Cell::Record(record) => world.store.tombstone.is_none() && record.rt == grant.newest,
        _ => false,
    };
    let in_memory = world.processes.iter().any(|process| {
        process.life == Life::Runs
            && process.memory.is_some_and(|memory| !memory.ended && memory.record.rt == grant.newest)
    });
    let queued = world.store.queue & (1 << grant.newest) != 0;
    // Beside its tombstone the record is its own entry.
    let carried = world.store.tombstone.is_some()
        && matches!(world.store.cell, Cell::Record(record) if record.rt == grant.newest);
    if live && queued {
        return Err(Violation(6, "a live record's grant is queued"));
    }
    if live || queued || carried || (in_memory && past.store_fault) {
        return Ok(());
    }
    Err(Violation(6, "a live grant is in no record and no queue entry"))
}
