//! Who is signed in on this device: found, listed, chosen, signed out. docs/sessions.md §2, §3, §10.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine::{Committed, Engine, Written};
use super::owed::Owed;
use super::reading::{self, Survey, survey};
use super::record::Record;
use super::tombstone::Tombstone;
use super::{Session, SignOut, State, counter, ending, queue, rules};
use crate::context::{Context, in_background, storage};
use crate::env::BoxFuture;
use crate::error::{Code, EndReason, Error, Kind, StoreProblem, Unsupported};

/// One of the signed-in users, for a list to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's random id, for [`Client::session`](crate::Client::session).
    pub id: String,
    /// The username that was typed.
    pub username: String,
    /// Whether it is the one that [`Client::restore`](crate::Client::restore) gives.
    pub is_default: bool,
}

/// The live sessions that were opened by this very client.
pub(super) fn live(context: &Arc<Context>) -> Vec<Arc<Engine>> {
    let mut live = context.env.sessions.live::<Engine>();
    // One whose first write is under way is nobody's yet.
    live.retain(|engine| engine.is_of(context) && engine.is_there());
    live
}

/// The engine of a stored record: the live one, or a new one.
pub(super) fn open(context: &Arc<Context>, record: Record) -> Arc<Engine> {
    let mut writer = [0; 16];
    if !context.env.randomness.fill(&mut writer) {
        // Without randomness another record's writer is taken for a stranger, which is safe.
        writer = [0xFF; 16];
    }
    let id = record.id.clone();
    if let Some(live) = context.env.sessions.get::<Engine>(id.as_str()) {
        live.learns(record);
        return live;
    }
    context.env.sessions.get_or_insert(id.as_str(), || Engine::new(context, record, None, true, writer))
}

/// The sessions that live in this client, and those that were found in the store; each once.
pub(super) fn live_or(context: &Arc<Context>, found: impl IntoIterator<Item = Record>) -> Vec<Arc<Engine>> {
    let mut all = live(context);
    for engine in found.into_iter().map(|record| open(context, record)) {
        if !all.iter().any(|known| Arc::ptr_eq(known, &engine)) {
            all.push(engine);
        }
    }
    all
}

/// The sessions that are not over: those of the store, and those that it does not hold yet. The default first.
struct All {
    engines: Vec<Arc<Engine>>,
    problem: Option<StoreProblem>,
    /// Whether a session ended while the store was read: perhaps another took its place that was not seen.
    has_changed: bool,
}

/// A store that never comes to rest is not read without end.
const MAX_LOOKS: usize = 3;

async fn all(context: &Arc<Context>) -> All {
    let mut all = look_at_all(context).await;
    for _ in 1..MAX_LOOKS {
        if !all.has_changed {
            break;
        }
        all = look_at_all(context).await;
    }
    all
}

async fn look_at_all(context: &Arc<Context>) -> All {
    let live = live(context).into_iter().filter(|engine| engine.alive().is_ok());
    let (found, mut problem) = match survey(context).await {
        Ok(found) => {
            let problem = found.problem();
            (found, problem)
        }
        Err(problem) => (Survey::default(), Some(problem)),
    };
    let Survey { records, replaced, ended, vanished, .. } = found;
    let mut engines: Vec<Arc<Engine>> = records.into_iter().map(|record| open(context, record)).collect();
    let opened: HashSet<_> = engines.iter().map(Arc::as_ptr).collect();
    for engine in live {
        if ended.contains(engine.id()) {
            // Another process, or another client of this one, ended it.
            engine.end(EndReason::SignedOut);
        } else if !opened.contains(&Arc::as_ptr(&engine)) {
            engines.push(engine);
        }
    }
    finish_replacing(context, &engines, replaced);
    let was_replaced = |engine: &Arc<Engine>| engine.snapshot().ended == Some(EndReason::Replaced);
    let has_changed = vanished || engines.iter().any(was_replaced);
    // One that was ended and could not be deleted is none.
    engines.retain(|engine| engine.alive().is_ok());
    engines.sort_by_key(|engine| {
        let record = engine.record();
        core::cmp::Reverse((record.use_counter, record.id.as_str().to_owned()))
    });
    if planted!(WrongDefault) {
        engines.reverse();
    }
    if !engines.is_empty() && problem.is_some_and(|problem| !problem.is_temporary()) {
        // What can never be read again is not waited for.
        problem = None;
    }
    All { engines, problem, has_changed }
}

/// Whoever finds a session and the one that took its place ends it (docs/sessions.md §6).
fn finish_replacing(context: &Arc<Context>, engines: &[Arc<Engine>], replaced: Vec<Record>) {
    let mut over: Vec<Arc<Engine>> = replaced.into_iter().map(|record| open(context, record)).collect();
    let records: Vec<_> = engines.iter().map(|engine| engine.record()).collect();
    let replaced = rules::replaced_among(&records.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    over.extend(engines.iter().zip(replaced).filter(|(_, replaced)| *replaced).map(|(engine, _)| Arc::clone(engine)));
    if over.is_empty() {
        return;
    }
    // At once in memory, so that none of them is handed out.
    for engine in &over {
        engine.end(EndReason::Replaced);
    }
    let background = Arc::clone(context);
    in_background(&context.env, async move {
        ending::end_all(&background, over, EndReason::Replaced, true).await;
    });
}

/// The default session of this issuer and client, or `None` if there certainly is none. Refreshes that were interrupted a
/// moment ago, whosever they are, are taken up in the background. Runs to its end whoever waits.
pub(crate) async fn restore(context: &Arc<Context>) -> Result<Option<Session>, Error> {
    let looking = Arc::clone(context);
    let done = context.detached(move |_| async move { look_who(&looking).await });
    done.await.unwrap_or_else(|| Err(Kind::Internal.into()))
}

async fn look_who(context: &Arc<Context>) -> Result<Option<Session>, Error> {
    queue::first_use(context);
    let ticket = context.ticket();
    // Before the store is read: what is opened from there lives too.
    let live = live(context);
    let All { engines, problem, .. } = all(context).await;
    engines.iter().take(if planted!(ResumesOne) { 1 } else { usize::MAX }).for_each(Engine::resume);
    let is_live = |engine: &Arc<Engine>| live.iter().any(|known| Arc::ptr_eq(known, engine));
    let found = match (engines.into_iter().next(), problem) {
        // What cannot be read now may be newer than what can, but not than what this process has signed in.
        (Some(engine), Some(problem)) if !is_live(&engine) => Err(problem),
        (Some(engine), _) => Ok(Some(engine)),
        (None, Some(problem)) => Err(problem),
        (None, None) => Ok(None),
    };
    match found {
        Ok(found) => {
            let session = found.map(|engine| handle(context, engine));
            context.publish(session.clone().map_or(State::SignedOut, State::SignedIn), ticket);
            Ok(session)
        }
        Err(problem) => {
            context.publish(State::Unavailable(problem), ticket);
            look_later(context, problem);
            Err(storage(problem).into())
        }
    }
}

/// What is shown as unavailable may become readable without anybody's doing.
fn look_later(context: &Arc<Context>, problem: StoreProblem) {
    const FIRST: Duration = Duration::from_secs(1);
    const LAST: Duration = Duration::from_secs(60);
    if !rules::may_work_by_itself(problem) || context.looks_later.swap(true, Ordering::SeqCst) {
        return;
    }
    let (client, env) = (Arc::downgrade(context), context.env.clone());
    in_background(&context.env, async move {
        let mut pause = FIRST;
        loop {
            env.clock.sleep(pause).await;
            pause = pause.saturating_mul(2).min(LAST);
            let Some(context) = client.upgrade() else { return };
            if !context.shows_nothing() {
                context.looks_later.store(false, Ordering::SeqCst);
                // Unless it has just become so again.
                if !context.shows_nothing() || context.looks_later.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
            let look: BoxFuture<'_, _> = Box::pin(look_who(&context));
            drop(look.await);
        }
    });
}

pub(super) fn handle(context: &Arc<Context>, engine: Arc<Engine>) -> Session {
    Session { engine, context: Arc::clone(context) }
}

/// Looks again who is signed in, in the background, and publishes it.
pub(crate) fn read_again(context: &Arc<Context>) {
    let background = Arc::clone(context);
    in_background(&context.env, async move { drop(look_who(&background).await) });
}

/// Something has changed: the clients of this process that show it look again.
pub(crate) fn tell_all(context: &Arc<Context>) {
    for client in context.env.sessions.clients::<Context>() {
        if client.shows_the_same(context) {
            read_again(&client);
        }
    }
}

/// As [`tell_all`], for one who knows already.
pub(crate) fn tell_others(context: &Arc<Context>) {
    for client in context.env.sessions.clients::<Context>() {
        if client.shows_the_same(context) && !Arc::ptr_eq(&client, context) && !planted!(TellsNobody) {
            read_again(&client);
        }
    }
}

/// The app is there again: what could not be done is tried now.
pub(crate) fn notify_foreground(context: &Arc<Context>) {
    live(context).iter().for_each(Engine::persist_at_once);
    let background = Arc::clone(context);
    in_background(&context.env, async move {
        let _ = look_who(&background).await;
        queue::work(&background).await;
    });
}

/// Every session, the default first.
async fn complete(context: &Arc<Context>) -> Result<Vec<Arc<Engine>>, Error> {
    queue::first_use(context);
    let All { engines, problem, .. } = all(context).await;
    engines.iter().for_each(Engine::resume);
    match problem {
        None => Ok(engines),
        Some(problem) => Err(storage(problem).into()),
    }
}

pub(crate) async fn sessions(context: &Arc<Context>) -> Result<Vec<SessionInfo>, Error> {
    let engines = complete(context).await?;
    let info = |(index, engine): (usize, &Arc<Engine>)| {
        let record = engine.record();
        SessionInfo { id: record.id.as_str().to_owned(), username: record.username.clone(), is_default: index == 0 }
    };
    Ok(engines.iter().enumerate().map(info).collect())
}

/// One session by its id.
pub(crate) async fn session(context: &Arc<Context>, id: &str) -> Result<Option<Session>, Error> {
    let found = complete(context).await?.into_iter().find(|engine| engine.id().as_str() == id);
    Ok(found.map(|engine| handle(context, engine)))
}

/// Makes a session the default one, in the store too. Runs to its end whoever waits: what is stored is shown.
pub(crate) async fn set_default(context: &Arc<Context>, id: &str) -> Result<Session, Error> {
    let (choosing, id) = (Arc::clone(context), id.to_owned());
    let done = context.detached(move |_| async move { choose(&choosing, &id).await });
    done.await.unwrap_or_else(|| Err(Kind::Internal.into()))
}

async fn choose(context: &Arc<Context>, id: &str) -> Result<Session, Error> {
    // Not beside a sign-in: whichever of the two comes later is the default.
    let _establishing = context.establishing().await;
    let engines = complete(context).await?;
    let chosen = engines.iter().find(|engine| engine.id().as_str() == id).cloned();
    let ended = || Kind::SessionEnded { reason: EndReason::SignedOut };
    let chosen = chosen.ok_or_else(ended)?;
    let counters =
        engines.iter().filter(|engine| !Arc::ptr_eq(engine, &chosen)).map(|engine| engine.record().use_counter);
    let is_default = engines.first().is_some_and(|first| Arc::ptr_eq(first, &chosen));
    let mut raised = Ok(());
    if !is_default {
        if !context.may_write_others() {
            return Err(Kind::Unsupported { what: Unsupported::DefaultHere }.into());
        }
        let counter = counter::next(context, counters).await;
        raised = chosen.raise(counter).await;
    }
    if let Err(error) = &raised
        && !matches!(error.kind(), Kind::StorageUnavailable { .. })
    {
        return Err(error.clone());
    }
    // Stored or not.
    let session = handle(context, chosen);
    session.engine.alive()?;
    show(context, &session);
    raised.map(|()| session)
}

/// Publishes who is signed in now, unless the session has ended meanwhile.
pub(super) fn show(context: &Arc<Context>, session: &Session) {
    // Before the look: whoever ends it later looks again later.
    let ticket = context.ticket();
    if session.engine.alive().is_ok() {
        context.publish(State::SignedIn(session.clone()), ticket);
        tell_others(context);
    } else {
        tell_all(context);
    }
}

impl Engine {
    /// Stores a higher use counter. What another process writes meanwhile takes nothing of it away.
    async fn raise(self: &Arc<Self>, counter: i64) -> Result<(), Error> {
        let raise = |record: &Record| Record { use_counter: counter.max(record.use_counter), ..record.duplicate() };
        // Until memory has it.
        let mut error: Error = Kind::Busy.into();
        for _ in 0..MAX_LOOKS {
            match self.commit(self.record().refresh_hash(), raise) {
                Committed::Yes => error = storage(StoreProblem::Transient).into(),
                Committed::Ended(reason) => return Err(Kind::SessionEnded { reason }.into()),
                Committed::OtherToken => continue,
            }
            match self.persist_alone().await {
                Written::Stored => return Ok(()),
                Written::Superseded => {}
                Written::Ended(_) => return Err(self.ended_elsewhere()),
                Written::Kept(problem) => {
                    error = storage(problem).into();
                    break;
                }
            }
        }
        self.rewrite_later();
        Err(error)
    }
}

/// Signs every session out that can be read. Gives what became of each, or the first error after all were tried.
pub(crate) async fn sign_out_all(context: &Arc<Context>) -> Result<Vec<SignOut>, Error> {
    queue::first_use(context);
    let All { engines, problem, .. } = all(context).await;
    let (mut done, mut error) = (Vec::new(), problem.map(|problem| storage(problem).into()));
    for engine in engines {
        match handle(context, engine).sign_out().await {
            Ok(result) => done.push(result),
            // It ended along with an earlier one of them.
            Err(problem) if matches!(problem.kind(), Kind::SessionEnded { .. }) => {}
            Err(problem) => error = error.or(Some(problem)),
        }
    }
    error.map_or(Ok(done), Err)
}

/// With one account at a time, whatever else is stored of this client ends with it: it must not come back now.
pub(super) async fn end_others(context: &Arc<Context>, own: &Arc<Engine>) {
    // Not beside a sign-in that is being stored.
    let _establishing = context.establishing().await;
    let counter = own.record().use_counter;
    let found = survey(context).await.unwrap_or_default();
    let mut others = live_or(context, found.records.into_iter().chain(found.replaced));
    // A sign-in that came after this sign-out began stays.
    others.retain(|other| !Arc::ptr_eq(other, own) && other.record().use_counter < counter);
    ending::end_all(context, others, EndReason::SignedOut, true).await;
}

/// Deletes the records that no later call can ever read. Gives how many.
pub(crate) async fn discard_unreadable(context: &Arc<Context>) -> Result<usize, Error> {
    let mut discarded = 0;
    for key in &context.stored_keys().await.map_err(storage)? {
        let is_hopeless =
            |problem| matches!(problem, StoreProblem::Corrupt | StoreProblem::KeyDestroyed | StoreProblem::Foreign);
        if let Some(id) = Record::id_of(key) {
            if reading::record(context, key).await.is_err_and(is_hopeless) {
                discard(context, &id).await.map_err(storage)?;
                discarded += 1;
            }
        } else if let Some(id) = Tombstone::id_of(key)
            && reading::tombstone(context, key).await.is_err_and(is_hopeless)
        {
            // First what it is the end of.
            context.delete_and_check(&Record::key(&id), ()).await.map_err(storage)?;
            context.delete_and_check(key, ()).await.map_err(storage)?;
        } else if Owed::is_key(key) && reading::owed(context, key).await.is_err_and(is_hopeless) {
            context.delete_and_check(key, ()).await.map_err(storage)?;
        }
    }
    if discarded > 0 {
        tell_all(context);
    }
    Ok(discarded)
}

async fn discard(context: &Arc<Context>, id: &Code) -> Result<(), StoreProblem> {
    // Of whatever client of this process.
    let live = context.env.sessions.live::<Engine>();
    match live.into_iter().find(|engine| engine.id() == id && engine.alive().is_ok()) {
        // Memory has what the store has lost: it is written anew.
        Some(engine) => engine.discard_stored().await,
        None => context.delete_and_check(&Record::key(id), ()).await,
    }
}
