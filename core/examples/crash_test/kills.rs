//! A process that refreshes, killed at a random moment and started again at once or within 24 s: with a leeway at the
//! server, nothing is ever lost (docs/sessions.md §1).

use core::fmt;
use core::time::Duration;

use crate::chance::Chance;
use crate::place::{Place, Said, World, lost};
use crate::refreshes::Refreshes;
use crate::report::{self, Trouble};

/// Each so many kills one child comes to its end and is looked at from all sides.
const WHOLE: usize = 10;
/// After every other kill the next child comes so late at most, by the clocks of server and device, and comes to its end.
const LATE: Duration = Duration::from_secs(24);

pub(crate) fn run(world: &World, chance: &mut Chance, kills: usize, done: &mut usize) -> Result<(), Trouble> {
    let place = world.place("kills", Duration::from_secs(30));
    let id = place.sign_in()?;
    let took = place.time_of(|| Ok(place.refresh(&id, 1..=1)?.took))?;
    let (mut moments, mut killed) = (Moments::default(), Vec::new());
    for number in 1..=kills {
        report::progress("kills during a refresh", number, kills);
        let said = place.killed("refresh", chance.within(took * 13 / 10))?;
        *done = number;
        lost(&said).map_err(|trouble| trouble.at(format_args!("kill {number}, at {:?} of {took:?}", said.took)))?;
        killed.push(said);
        if number % 2 == 0 {
            let late = chance.within(LATE);
            place.wait(late);
            let found = place.refresh(&id, 1..=1);
            found.map_err(|trouble| trouble.at(format_args!("{late:.0?} after kill {number}")))?;
        }
        if number % WHOLE == 0 || number == kills {
            let checked = place.refresh(&id, 1..=1).and_then(|_| place.is_in_order(1..=1));
            checked.map_err(|trouble| trouble.at(format_args!("the whole run after kill {number}")))?;
            moments.add(&place, &killed);
            killed.clear();
            place.tenant.clear_journal();
        }
    }
    if kills >= report::MANY && moments.lost == 0 {
        return Err(Trouble::Wrong("no kill fell between an answer and its storage".to_owned()));
    }
    report::line(format_args!("kills during a refresh of {took:.0?}: {moments}"));
    Ok(())
}

/// Where the kills fell, by what the children had said and what the server saw.
#[derive(Default)]
struct Moments {
    at_start: usize,
    unsent: usize,
    lost: usize,
    stored: usize,
    done: usize,
}

impl Moments {
    /// After a whole run: it has shown which answers were lost.
    fn add(&mut self, place: &Place, killed: &[Said]) {
        let seen = Refreshes::of(&place.tenant);
        for said in killed {
            let moment = match seen.last_of(said.run) {
                _ if said.after("accepted").is_some() => &mut self.done,
                Some(refresh) if seen.is_lost(refresh) => &mut self.lost,
                Some(_) => &mut self.stored,
                None if said.after("restored").is_some() => &mut self.unsent,
                None => &mut self.at_start,
            };
            *moment += 1;
        }
    }
}

impl fmt::Display for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_start, unsent, lost, stored, done } = self;
        write!(f, "{at_start} before the session was read, {unsent} before the server had the refresh, ")?;
        write!(
            f,
            "{lost} after it had answered and before the answer was stored, {stored} just after, {done} at the end"
        )
    }
}
