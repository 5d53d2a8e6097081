//! Kills after which the contract allows a loss: the server has no leeway, or the app comes back later than it.
//!
//! An answer that was lost cannot be asked for again then (docs/sessions.md §1). The session ends with a reason, the
//! journal explains it, and a new sign-in works; where no answer was lost, nothing ends.

use core::time::Duration;

use crate::chance::Chance;
use crate::place::{Place, Said, World};
use crate::refreshes::Refreshes;
use crate::report::{self, Trouble};

const LEEWAY: Duration = Duration::from_secs(30);

/// `done`: the kills, and the losses among them that were in order.
pub(crate) fn run(world: &World, chance: &mut Chance, kills: usize, done: &mut (usize, usize)) -> Result<(), Trouble> {
    let (at_once, later) = (world.place("no-leeway", Duration::ZERO), world.place("late", LEEWAY));
    // So that a child that is late finds an expired access token: until then it would live on that.
    later.tenant.settings(|settings| settings.access_token_lifetime = LEEWAY.as_secs());
    let mut ids = (at_once.sign_in()?, later.sign_in()?);
    let took = at_once.time_of(|| Ok(at_once.refresh(&ids.0, 1..=1)?.took))?;
    for number in 1..=kills {
        report::progress("kills where losses are allowed", number, kills);
        let is_late = number % 2 == 0;
        let (place, id) = if is_late { (&later, &mut ids.1) } else { (&at_once, &mut ids.0) };
        let killed = place.killed("refresh", chance.within(took * 13 / 10))?;
        let whereabouts = format!(
            "kill {number} where losses are allowed, at {:?} of {took:?}, {}",
            killed.took,
            circumstances(is_late)
        );
        let lost = after(place, &killed, id, is_late).map_err(|trouble| trouble.at(whereabouts))?;
        done.0 = number;
        if let Some(explanation) = lost {
            done.1 += 1;
            report::line(format_args!("  kill {number}, {}: {explanation}", circumstances(is_late)));
        }
        place.tenant.clear_journal();
    }
    Ok(())
}

fn circumstances(is_late: bool) -> &'static str {
    if is_late { "restarted 36 s later, leeway 30 s" } else { "restarted at once, leeway 0" }
}

/// What became of the session; if it was lost, why. Afterwards there is one again.
fn after(place: &Place, killed: &Said, id: &mut String, is_late: bool) -> Result<Option<String>, Trouble> {
    if is_late {
        place.wait(LEEWAY + Duration::from_secs(6));
    }
    let said = place.whole("refresh")?;
    let Some(reason) = said.after("ended") else {
        return place.check(&said, id, 1..=1).map(|()| None);
    };
    if !matches!(reason, "RefreshInterrupted" | "RefreshTokenRefused") {
        return Err(Trouble::Wrong(format!("it ended: {reason}")));
    }
    let explanation = explain(place, killed, &said)?;
    if place.tenant.live_grants() > 0 {
        return Err(Trouble::Wrong("the server ended nothing".to_owned()));
    }
    place.tenant.clear_journal();
    *id = place.sign_in()?;
    place.refresh(id, 1..=1).map_err(|trouble| trouble.at("after the new sign-in"))?;
    Ok(Some(format!("{reason}: {explanation}")))
}

fn explain(place: &Place, killed: &Said, said: &Said) -> Result<String, Trouble> {
    let seen = Refreshes::of(&place.tenant);
    let refused = seen.last_of(said.run).filter(|refresh| !refresh.answered);
    let cause = refused.and_then(|refused| seen.cause_of(refused)).filter(|cause| cause.run == killed.run);
    match (refused, cause) {
        (Some(refused), Some(cause)) => Ok(format!(
            "run {} was killed after the server had answered its refresh; its answer was lost, and run {} could send only \
             the same refresh token, {} s later ({})",
            cause.run,
            refused.run,
            refused.at.saturating_sub(cause.at).as_secs(),
            refused.outcome,
        )),
        _ => Err(Trouble::Lost(format!("nothing explains it: {:?}, then {:?}", killed.lines, said.lines))),
    }
}
