//! The command line, and the experiments one after the other.

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::chance::Chance;
use crate::place::World;
use crate::report::{self, Counts, Trouble};
use crate::{ends, kills, losses, pair};

const HELP: &str = "\
Kills processes that refresh, sign in and sign out, at random moments, and looks whether their sessions survive.

  --quick      a tenth of it
  -h, --help   this text

SEED=NUMBER draws the same moments again; a run says which seed it had. The processes are never quite as fast as
the last time, so a rare failure may take several runs to come back. TIMES=NUMBER does so many times as much.
";

/// How much is done.
struct Size {
    kills: usize,
    allowed: usize,
    ends: usize,
    rounds: usize,
}

const FULL: Size = Size { kills: 300, allowed: 60, ends: 40, rounds: 1000 };
const QUICK: Size = Size { kills: 30, allowed: 12, ends: 6, rounds: 100 };

impl Size {
    fn times(&self, times: usize) -> Self {
        let Self { kills, allowed, ends, rounds } = self;
        Self { kills: kills * times, allowed: allowed * times, ends: ends * times, rounds: rounds * times }
    }
}

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let size = match arguments.as_slice() {
        [] => FULL,
        ["--quick"] => QUICK,
        ["-h" | "--help"] => {
            report::line(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        _ => {
            report::complain("usage: crash_test [--quick]");
            return ExitCode::from(2);
        }
    };
    let by_clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()));
    let seed = number("SEED", by_clock);
    let times =
        number("TIMES", 1).and_then(|times| usize::try_from(times).ok()).filter(|times| (1..=1000).contains(times));
    let (Some(seed), Some(times)) = (seed, times) else {
        report::complain("SEED is a number, and TIMES one from 1 to 1000");
        return ExitCode::from(2);
    };
    report::line(format_args!("seed {seed}"));
    let outcome = World::create().map_err(Failed::from).and_then(|world| {
        let outcome = all(&world, &size.times(times), seed);
        outcome.inspect_err(|_| report::complain(format_args!("the stores are kept in {}", world.keep().display())))
    });
    match outcome {
        Ok(counts) => {
            report::line(counts);
            ExitCode::SUCCESS
        }
        Err(Failed(troubles, counts)) => {
            for trouble in troubles {
                report::complain(format_args!("VIOLATION: {trouble}"));
            }
            let option = arguments.first().copied().unwrap_or_default();
            let replay = format!("SEED={seed} TIMES={times} scripts/crash-test {option}");
            report::complain(format_args!("to draw the same moments again: {}", replay.trim_end()));
            report::line(counts);
            ExitCode::FAILURE
        }
    }
}

/// A number from the environment; `usual` if it says nothing, none if it is no number.
fn number(name: &str, usual: u64) -> Option<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().ok(),
        Err(_) => Some(usual),
    }
}

struct Failed(Vec<Trouble>, Counts);

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self(vec![trouble], Counts::default())
    }
}

/// Each experiment has its own random numbers, and goes on when there is trouble in another.
fn all(world: &World, size: &Size, seed: u64) -> Result<Counts, Failed> {
    let began = Instant::now();
    let mut counts = Counts::default();
    let chance = |number| Chance::new(seed.wrapping_mul(8).wrapping_add(number));
    let outcomes = [
        kills::run(world, &mut chance(0), size.kills, &mut counts.kills),
        losses::run(world, &mut chance(1), size.allowed, &mut counts.allowed),
        ends::sign_outs(world, &mut chance(2), size.ends),
        ends::sign_ins(world, &mut chance(3), size.ends),
        pair::run(world, &mut chance(4), size.rounds, &mut counts.rounds),
    ];
    report::line(format_args!("{:.0} s", began.elapsed().as_secs_f64()));
    let troubles: Vec<Trouble> = outcomes.into_iter().filter_map(Result::err).collect();
    counts.lost = troubles.iter().filter(|trouble| matches!(trouble, Trouble::Lost(_))).count();
    if troubles.is_empty() { Ok(counts) } else { Err(Failed(troubles, counts)) }
}
