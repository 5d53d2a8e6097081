//! Kills while a session begins or ends: it is there wholly or not at all, and a sign-out that said so is one.
//! docs/sessions.md §6.

use core::time::Duration;

use crate::chance::Chance;
use crate::place::{Place, Said, World, lost};
use crate::process::Process;
use crate::report::{self, Trouble};

const LEEWAY: Duration = Duration::from_secs(30);

pub(crate) fn sign_outs(world: &World, chance: &mut Chance, kills: usize) -> Result<(), Trouble> {
    let place = world.place("sign-out", LEEWAY);
    let undisturbed = || place.sign_in().and_then(|_| sign_out(&place));
    // Their tombstones stay for a day: the queue has more of them than the library works at a time (in a full run).
    for _ in 0..kills * 2 {
        undisturbed()?;
    }
    // Only now: with so many of them it takes longer.
    let took = place.time_of(undisturbed)?;
    let mut counts = Counts::default();
    for number in 1..=kills {
        report::progress("kills during a sign-out", number, kills);
        let id = place.sign_in()?;
        let killed = place.killed("sign-out", chance.within(took * 13 / 10))?;
        after_sign_out(&place, &killed, &id, &mut counts).map_err(|trouble| {
            trouble
                .at(format_args!("kill {number} in a sign-out, at {:?} of {took:?}, {:?}", killed.took, killed.lines))
        })?;
    }
    let Counts { there, gone, said } = counts;
    if kills >= report::MANY && (there == 0 || gone == 0) {
        return Err(Trouble::Wrong(format!("no kill met a sign-out: there {there} times, over {gone} times")));
    }
    report::line(format_args!(
        "{kills} kills during a sign-out of {took:.0?}: the session was there {there} times and over {gone} times, {said} of \
         them with an answer"
    ));
    Ok(())
}

#[derive(Default)]
struct Counts {
    there: usize,
    gone: usize,
    said: usize,
}

/// Signs out, undisturbed.
fn sign_out(place: &Place) -> Result<Duration, Trouble> {
    let said = place.whole("sign-out")?;
    if said.after("signed-out") != Some("Revoked Deleted") {
        return Err(Trouble::Wrong(format!("a sign-out said {:?}", said.lines)));
    }
    place.is_in_order(0..=0)?;
    Ok(said.took)
}

fn after_sign_out(place: &Place, killed: &Said, id: &str, counts: &mut Counts) -> Result<(), Trouble> {
    lost(killed)?;
    let (looker, found) = look(place)?;
    match found {
        Some(_) if killed.after("signed-out").is_some() => Err(Trouble::Wrong("it came back".to_owned())),
        Some(found) if found != *id => Err(Trouble::Wrong(format!("{found} is there instead of {id}"))),
        Some(_) => {
            counts.there += 1;
            looker.finish()?;
            place.refresh(id, 1..=1)?;
            sign_out(place).map(drop)
        }
        None => {
            counts.gone += 1;
            counts.said += usize::from(killed.after("signed-out").is_some());
            // What the killed one could not tell the server, this one does.
            place.until_live(0)?;
            looker.finish()?;
            Ok(())
        }
    }
}

pub(crate) fn sign_ins(world: &World, chance: &mut Chance, kills: usize) -> Result<(), Trouble> {
    let mut place = world.place("sign-in", LEEWAY);
    let mut folder = 0;
    let took = place.time_of(|| Ok(place.whole("sign-in")?.took))?;
    let (mut old, mut new, mut none) = (0, 0, 0);
    for number in 1..=kills {
        report::progress("kills during a sign-in", number, kills);
        // By turns in the place of another session, and in an empty folder.
        folder += 1;
        place = place.with_store(&format!("sign-in-{folder}"));
        place.tenant.revoke_everything();
        let before = if number % 2 == 0 { Some(place.sign_in()?) } else { None };
        let killed = place.killed("sign-in", chance.within(took * 13 / 10))?;
        let found = after_sign_in(&place, &killed, before.as_deref()).map_err(|trouble| {
            trouble.at(format_args!("kill {number} in a sign-in, at {:?} of {took:?}, {:?}", killed.took, killed.lines))
        })?;
        *(match &found {
            None => &mut none,
            found if *found == before => &mut old,
            Some(_) => &mut new,
        }) += 1;
    }
    report::line(format_args!(
        "{kills} kills during a sign-in of {took:.0?}: {new} times the new session was there, {old} times the one before it, \
         {none} times none where there was none"
    ));
    Ok(())
}

/// The session that is there.
fn after_sign_in(place: &Place, killed: &Said, before: Option<&str>) -> Result<Option<String>, Trouble> {
    lost(killed)?;
    let (looker, found) = look(place)?;
    let is_old = found.as_deref() == before;
    let signed_in = killed.after("signed-in");
    if signed_in.is_some() && signed_in != found.as_deref() {
        return Err(Trouble::Lost(format!("a sign-in was told, and then {found:?} was there")));
    }
    if found.is_none() && before.is_some() {
        return Err(Trouble::Lost("neither the session before nor the new one is there".to_owned()));
    }
    // The grant of a sign-in whose answer died with its process stays; one that was replaced is revoked.
    let most = if is_old { 2 } else { 1 };
    place.until_live(most)?;
    looker.finish()?;
    if let Some(id) = &found {
        place.refresh(id, 1..=most)?;
    }
    Ok(found)
}

/// The session that a new process finds. The process goes on with what is left to do.
fn look(place: &Place) -> Result<(Process, Option<String>), Trouble> {
    let (_, mut looker) = place.start("look")?;
    let mut line = || Ok(looker.next()?.map(|(_, line)| line).unwrap_or_default());
    let (sessions, found) = (line()?, line()?);
    match (sessions.as_str(), found.strip_prefix("restored ")) {
        ("sessions 1", Some(id)) => Ok((looker, Some(id.to_owned()))),
        ("sessions 0", None) if found == "none" => Ok((looker, None)),
        _ => Err(Trouble::Wrong(format!("a process found {sessions:?}, {found:?}"))),
    }
}
