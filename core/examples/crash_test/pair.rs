//! Two processes on one folder with a lock between them: both refresh at the same moment, again and again, and one of them
//! is sometimes killed while it holds the lock (docs/sessions.md §8).

use core::time::Duration;
use std::time::Instant;

use crate::chance::Chance;
use crate::place::{Place, Said, World, lost};
use crate::process::Process;
use crate::refreshes::Refreshes;
use crate::report::{self, Trouble};

/// In each so many rounds one of the two is killed.
const KILL: usize = 20;
/// A lock that nobody frees would be waited for longer.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn run(world: &World, chance: &mut Chance, rounds: usize, done: &mut usize) -> Result<(), Trouble> {
    let place = world.place("pair", Duration::from_secs(30));
    let mut pair = Pair::begin(&place)?;
    for number in 1..=rounds {
        report::progress("rounds of two processes", number, rounds);
        place.tenant.clear_journal();
        let kill = number % KILL == 0;
        let round = pair.round(chance, number % 2 == 0, kill);
        round
            .map_err(|trouble| trouble.at(format_args!("round {number}{}", if kill { ", with a kill" } else { "" })))?;
        *done = number;
    }
    let Counts { by_refreshes: [once, twice], kills, with_lock, longest } = pair.counts;
    report::line(format_args!(
        "{rounds} rounds of two processes: one refresh in {once}, two in {twice}; {kills} kills, {with_lock} of them while it \
         held the lock; the longest round took {longest:.0?}"
    ));
    Ok(())
}

#[derive(Default)]
struct Counts {
    by_refreshes: [usize; 2],
    kills: usize,
    with_lock: usize,
    longest: Duration,
}

struct Pair<'a> {
    place: &'a Place,
    /// The session.
    id: String,
    one: Member,
    other: Member,
    /// For how long a process holds the lock.
    holding: Duration,
    /// What the process that was killed in the last round had sent.
    left: Option<String>,
    counts: Counts,
}

impl<'a> Pair<'a> {
    fn begin(place: &'a Place) -> Result<Self, Trouble> {
        let id = place.sign_in()?;
        let (one, other) = (Member::start(place)?, Member::start(place)?);
        let (holding, counts) = (Duration::from_millis(10), Counts::default());
        Ok(Self { place, id, one, other, holding, left: None, counts })
    }

    /// Both refresh, at the same moment or the second one `later`, while the first one is at it.
    fn round(&mut self, chance: &mut Chance, later: bool, kill: bool) -> Result<(), Trouble> {
        if chance.coin() {
            core::mem::swap(&mut self.one, &mut self.other);
        }
        let began = Instant::now();
        self.one.process.tell("go")?;
        if later && !kill {
            std::thread::sleep(chance.within(self.holding * 3));
        }
        self.other.process.tell("go")?;
        let killed = if kill {
            Some(self.kill_one(chance.within(self.holding))?)
        } else {
            for member in [&mut self.one, &mut self.other] {
                let held = member.complete(&self.id)?.unwrap_or_default();
                // Whoever finds that the other one has refreshed gives it back at once.
                self.holding = held.max(self.holding * 9 / 10);
            }
            None
        };
        self.counts.longest = self.counts.longest.max(began.elapsed());
        self.check(killed)
    }

    /// Kills one of the two a while after it has got the lock. The other one goes on; a new one takes its place. Gives the
    /// run of the killed one.
    fn kill_one(&mut self, delay: Duration) -> Result<u32, Trouble> {
        let mut victim = core::mem::replace(&mut self.one, Member::start(self.place)?);
        loop {
            match victim.process.next()?.as_ref().map(|(_, line)| line.as_str()) {
                Some("locked") => break,
                Some("done") | None => return Err(Trouble::Wrong("a process never held the lock".to_owned())),
                Some(_) => {}
            }
        }
        std::thread::sleep(delay);
        let lines = victim.process.kill()?;
        self.counts.kills += 1;
        self.counts.with_lock += usize::from(!lines.iter().any(|line| line == "unlocked"));
        self.other.complete(&self.id)?;
        Ok(victim.run)
    }

    /// Whether the server is content, and nobody left a lost answer lost.
    fn check(&mut self, killed: Option<u32>) -> Result<(), Trouble> {
        self.place.is_in_order(1..=1)?;
        let seen = Refreshes::of(&self.place.tenant);
        let left = core::mem::replace(&mut self.left, killed.and_then(|killed| seen.left_by(killed, self.other.run)));
        if left.is_some_and(|left| seen.sends(&left)) {
            let what = "in the round before, the answer to the killed process was lost; the other one found its mark, and its \
                        refresh() gave Ok without asking for that answer again";
            return Err(Trouble::Wrong(what.to_owned()));
        }
        let count = seen.0.len().checked_sub(1).and_then(|index| self.counts.by_refreshes.get_mut(index));
        *count.ok_or_else(|| Trouble::Wrong(format!("{} refreshes reached the server", seen.0.len())))? += 1;
        Ok(())
    }
}

struct Member {
    run: u32,
    process: Process,
}

impl Member {
    fn start(place: &Place) -> Result<Self, Trouble> {
        let (run, process) = place.start("pair")?;
        Ok(Self { run, process })
    }

    /// A whole round of it. For how long it held the lock, if it said so in time.
    fn complete(&mut self, id: &str) -> Result<Option<Duration>, Trouble> {
        let (mut locked, mut held, mut lines) = (None, None, Vec::new());
        let began = Instant::now();
        loop {
            let (at, line) =
                self.process.next()?.ok_or_else(|| Trouble::Wrong("a process died by itself".to_owned()))?;
            match line.as_str() {
                "locked" => locked = Some(at),
                "unlocked" => held = locked.map(|locked| at.duration_since(locked)),
                "done" => break,
                _ => {
                    let is_over = line.starts_with("none") || line.starts_with("ended") || line.starts_with("failed");
                    lines.push(line);
                    if is_over {
                        break;
                    }
                }
            }
        }
        let said = Said { run: self.run, lines, took: began.elapsed() };
        lost(&said)?;
        if said.took > SOON {
            return Err(Trouble::Wrong(format!("a process needed {:?}", said.took)));
        }
        if said.lines != [format!("restored {id}"), "refreshed".to_owned(), "accepted".to_owned()] {
            return Err(Trouble::Wrong(format!("a process said {:?}", said.lines)));
        }
        Ok(held)
    }
}
