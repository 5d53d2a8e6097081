//! Keeps open pages up to date by server-sent events: each part of the page anew when it looks otherwise, requests as
//! they come, and what a screen reader should say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::page;
use super::view::View;
use super::{Answer, problem};
use crate::emulator::Shared;
use crate::server::Reply;
use crate::tenant::Tenant;

/// How many pages can be open.
const MOST_PAGES: usize = 64;
/// Events that a page has not taken yet; after that the page waits for them, and nobody else does.
const UNDERWAY: usize = 4;
/// At most that often, however much happens.
const PACE: Duration = Duration::from_millis(150);
/// Codes and prompts end without anybody's doing.
const TICK: Duration = Duration::from_secs(1);
/// How often the time is said again; a page that is gone is noticed by it.
const TIME: u64 = 15_000;

/// Events from now on, until the page goes away.
pub(super) fn live(shared: &Shared, tenant: Tenant) -> Answer {
    let Ok(place) = Arc::clone(&shared.pages).try_acquire_owned() else {
        return Answer::Once(problem(503, &format!("{MOST_PAGES} pages are open already")));
    };
    let (send, receive) = mpsc::channel(UNDERWAY);
    tokio::spawn(async move {
        let mut changes = tenant.watch();
        let mut page = Page::default();
        loop {
            let events = page.catch_up(&tenant);
            if !events.is_empty() && send.send(Bytes::from(events)).await.is_err() {
                break;
            }
            tokio::select! {
                () = send.closed() => break,
                () = sleep(TICK) => {}
                _ = changes.changed() => sleep(PACE).await,
            }
            changes.mark_unchanged();
        }
        drop(place);
    });
    Answer::Live(Reply::empty(200).header("Content-Type", "text/event-stream"), receive)
}

/// How many pages may be open at a time.
pub(crate) fn places() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(MOST_PAGES))
}

/// What an open page has been told.
#[derive(Default)]
struct Page {
    parts: HashMap<&'static str, String>,
    /// The newest request that it has, and how often the journal had been cleared by then.
    newest: u64,
    cleared: Option<u64>,
    /// The newest push that was announced, and how many messages were; nothing of what was there before.
    announced: Option<(u64, u64)>,
    time: Option<(u64, Duration)>,
}

impl Page {
    /// The events that bring it up to date.
    fn catch_up(&mut self, tenant: &Tenant) -> String {
        let view = View::of(tenant);
        let mut events = String::new();
        if self.time.is_none_or(|(at, ahead)| ahead != view.ahead || view.now.abs_diff(at) >= TIME) {
            self.time = Some((view.now, view.ahead));
            event(&mut events, "time", &view.now.to_string());
        }
        for (id, html) in page::parts(&view) {
            let html = html.into_string();
            if self.parts.get(id) != Some(&html) {
                event(&mut events, "part", &json!({ "id": id, "html": html }).to_string());
                self.parts.insert(id, html);
            }
        }
        if let Some(entries) = self.entries(tenant) {
            event(&mut events, "journal", &entries.to_string());
        }
        for news in self.news(&view) {
            event(&mut events, "say", &news);
        }
        events
    }

    /// The requests since the last time; all anew at first, and when the journal was cleared.
    fn entries(&mut self, tenant: &Tenant) -> Option<Value> {
        tenant.read(|state| {
            let journal = &state.journal;
            let begins = self.cleared.replace(journal.cleared()) != Some(journal.cleared());
            let after = if begins { 0 } else { self.newest };
            let html = page::entries(journal.newest(page::ENTRIES, after)).into_string();
            self.newest = journal.newest(1, 0).next().map_or(after, |entry| entry.number);
            (begins || !html.is_empty()).then(|| json!({ "html": html, "clear": begins }))
        })
    }

    fn news(&mut self, view: &View) -> Vec<String> {
        let newest = view.pushes.iter().map(|push| push.id).max().unwrap_or(0);
        let Some((push, sent)) = self.announced else {
            self.announced = Some((newest, view.sent));
            return Vec::new();
        };
        self.announced = Some((newest.max(push), view.sent));
        let pushes = view.pushes.iter().filter(|waiting| waiting.id > push);
        let pushes = pushes.map(|push| format!("New push for {}", view.name_of(&push.username)));
        let count = usize::try_from(view.sent.saturating_sub(sent)).unwrap_or(0);
        let messages = view.messages.iter().take(count);
        let messages = messages.map(|message| format!("New code for {}", view.name_of(&message.username)));
        pushes.chain(messages).collect()
    }
}

/// One event; JSON and numbers have no line break, names of users might.
fn event(out: &mut String, name: &str, data: &str) {
    let data = data.replace(['\r', '\n'], " ");
    out.push_str(&format!("event: {name}\ndata: {data}\n\n"));
}
