//! Where an experiment happens: a tenant of the emulator, a folder for the store, children that use both.

use core::cell::Cell;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use directauth_emulator::{Clock, Emulator, SystemClock, Tenant};

use crate::process::{LIMIT, Process};
use crate::refreshes::{Refreshes, run_of};
use crate::report::Trouble;

/// The emulator and a temporary folder, which is removed at the end unless it is to be looked at.
pub(crate) struct World {
    emulator: Emulator,
    folder: PathBuf,
    keep: Cell<bool>,
}

impl World {
    pub(crate) fn create() -> Result<Self, Trouble> {
        let wrong = |what: String| Trouble::Wrong(what);
        let emulator = Emulator::start().map_err(|error| wrong(error.to_string()))?;
        let folder = std::env::temp_dir().join(format!("directauth-crash-{}", std::process::id()));
        let created = DirBuilder::new().mode(0o700).create(&folder);
        let created = created.and_then(|()| std::fs::write(authority(&folder), emulator.ca_pem()));
        created.map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
        Ok(Self { emulator, folder, keep: Cell::new(false) })
    }

    /// A tenant of its own, by a clock of its own.
    pub(crate) fn place(&self, name: &str, leeway: Duration) -> Place {
        let (tenant, clock) = (self.emulator.tenant(), Arc::new(Ahead::default()));
        tenant.set_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        tenant.settings(|settings| settings.leeway = leeway.as_secs());
        let folder = self.folder.join(name);
        Place { tenant, clock, store: folder, authority: authority(&self.folder), runs: Cell::new(0) }
    }

    /// The folder is to be looked at.
    pub(crate) fn keep(&self) -> &Path {
        self.keep.set(true);
        &self.folder
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.keep.get() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn authority(folder: &Path) -> PathBuf {
    folder.join("authority.pem")
}

/// The computer's clock, some time ahead.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Duration {
        SystemClock.now().saturating_add(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }
}

pub(crate) struct Place {
    pub(crate) tenant: Tenant,
    clock: Arc<Ahead>,
    store: PathBuf,
    authority: PathBuf,
    runs: Cell<u32>,
}

/// What one child said.
pub(crate) struct Said {
    pub(crate) run: u32,
    pub(crate) lines: Vec<String>,
    pub(crate) took: Duration,
}

impl Said {
    /// What follows `word` on the line that begins with it.
    pub(crate) fn after(&self, word: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(word)).map(str::trim_start)
    }
}

impl Place {
    /// Another folder for the store, empty.
    pub(crate) fn with_store(self, name: &str) -> Self {
        let store = self.store.with_file_name(name);
        Self { store, ..self }
    }

    /// Time goes on, for the server and for the children that are started from now on.
    pub(crate) fn wait(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// Starts a child in one of the roles of `child.rs`.
    pub(crate) fn start(&self, role: &str) -> Result<(u32, Process), Trouble> {
        self.runs.set(self.runs.get().saturating_add(1));
        let path = |path: &Path| path.display().to_string();
        let ahead = self.clock.0.load(Ordering::SeqCst);
        let arguments = [
            role.to_owned(),
            path(&self.store),
            self.tenant.issuer(),
            self.tenant.client_id(),
            path(&self.authority),
            self.runs.get().to_string(),
            ahead.to_string(),
        ];
        Ok((self.runs.get(), Process::start(&arguments)?))
    }

    /// A child that comes to its end.
    pub(crate) fn whole(&self, role: &str) -> Result<Said, Trouble> {
        let (run, process) = self.start(role)?;
        let (lines, took) = process.finish()?;
        Ok(Said { run, lines, took })
    }

    /// A child that is killed `delay` after its start.
    pub(crate) fn killed(&self, role: &str, delay: Duration) -> Result<Said, Trouble> {
        let (run, process) = self.start(role)?;
        Ok(Said { run, lines: process.kill_after(delay)?, took: delay })
    }

    /// How long an undisturbed child takes, the middle of five.
    pub(crate) fn time_of(&self, mut work: impl FnMut() -> Result<Duration, Trouble>) -> Result<Duration, Trouble> {
        let mut times = (0..5).map(|_| work()).collect::<Result<Vec<_>, _>>()?;
        times.sort_unstable();
        Ok(times.get(2).copied().unwrap_or_default())
    }

    /// Signs in, undisturbed: the session's id.
    pub(crate) fn sign_in(&self) -> Result<String, Trouble> {
        let said = self.whole("sign-in")?;
        match (said.after("signed-in"), said.after("accepted")) {
            (Some(id), Some(_)) => Ok(id.to_owned()),
            _ => Err(Trouble::Wrong(format!("a sign-in said {:?}", said.lines))),
        }
    }

    /// A child that refreshes and comes to its end, looked at from all sides.
    pub(crate) fn refresh(&self, id: &str, live: RangeInclusive<usize>) -> Result<Said, Trouble> {
        let said = self.whole("refresh")?;
        self.check(&said, id, live)?;
        Ok(said)
    }

    /// Whether a child that came to its end found its session `id`, could refresh and use it, and left all in order.
    pub(crate) fn check(&self, said: &Said, id: &str, live: RangeInclusive<usize>) -> Result<(), Trouble> {
        lost(said)?;
        let expected = [format!("restored {id}"), "refreshed".to_owned(), "accepted".to_owned(), "readable".to_owned()];
        if said.lines != expected {
            return Err(Trouble::Wrong(format!("a whole run said {:?} instead of {expected:?}", said.lines)));
        }
        self.is_content(live, said.run)
    }

    /// Whether the server refused nothing, and keeps as many grants as it should.
    pub(crate) fn is_in_order(&self, live: RangeInclusive<usize>) -> Result<(), Trouble> {
        self.is_content(live, 0)
    }

    /// The same for the children from `run` on. What a dead one has sent may arrive after time went on.
    fn is_content(&self, live: RangeInclusive<usize>, run: u32) -> Result<(), Trouble> {
        let (refused, turned_away) = (Refreshes::of(&self.tenant).refused(), self.turned_away(run));
        if refused + turned_away > 0 {
            let what = format!("the server refused {refused} refresh tokens and {turned_away} access tokens");
            return Err(Trouble::Wrong(what));
        }
        match self.tenant.live_grants() {
            grants if live.contains(&grants) => Ok(()),
            grants => Err(Trouble::Wrong(format!("{grants} grants are live at the server instead of {live:?}"))),
        }
    }

    /// How often an access token was not accepted, from `run` on.
    fn turned_away(&self, run: u32) -> usize {
        let journal = self.tenant.journal();
        let uses = journal.of("userinfo").into_iter().filter(|entry| run_of(entry) >= run);
        uses.filter(|entry| entry.status != Some(200)).count()
    }

    /// Waits until the server has no more than `most` live grants: a child tells it in the background.
    pub(crate) fn until_live(&self, most: usize) -> Result<(), Trouble> {
        let began = Instant::now();
        while self.tenant.live_grants() > most {
            if began.elapsed() > LIMIT {
                let live = self.tenant.live_grants();
                return Err(Trouble::Wrong(format!("{live} grants are still live at the server instead of {most}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// A child that had to find a working session has to, however far it came.
pub(crate) fn lost(said: &Said) -> Result<(), Trouble> {
    match (said.after("none"), said.after("ended"), said.after("failed")) {
        (Some(_), _, _) => Err(Trouble::Lost("there is none".to_owned())),
        (_, Some(reason), _) => Err(Trouble::Lost(format!("it ended: {reason}"))),
        (_, _, Some(error)) => Err(Trouble::Wrong(format!("a child failed: {error}"))),
        _ => Ok(()),
    }
}
