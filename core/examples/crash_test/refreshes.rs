//! What the server saw of the refreshes: which child sent which refresh token, and what became of the answer.

use core::time::Duration;

use directauth_emulator::{Entry, Tenant};

/// The header by which the server's journal tells the children apart.
pub(crate) const RUN: &str = "x-run";

/// The child that a request came from.
pub(crate) fn run_of(entry: &Entry) -> u32 {
    entry.header(RUN).and_then(|run| run.parse().ok()).unwrap_or(0)
}

/// One refresh at the server.
pub(crate) struct Refresh {
    /// The child that sent it.
    pub(crate) run: u32,
    token: String,
    pub(crate) answered: bool,
    pub(crate) outcome: String,
    /// On the tenant's clock.
    pub(crate) at: Duration,
}

/// All refreshes in the journal, in order.
pub(crate) struct Refreshes(pub(crate) Vec<Refresh>);

impl Refreshes {
    pub(crate) fn of(tenant: &Tenant) -> Self {
        let journal = tenant.journal();
        let sent = journal.of("token").into_iter().filter(|entry| entry.grant() == Some("refresh_token"));
        let refresh = |entry: &Entry| Refresh {
            run: run_of(entry),
            token: entry.param("refresh_token").unwrap_or_default().to_owned(),
            answered: entry.status == Some(200),
            outcome: entry.outcome.clone(),
            at: entry.at,
        };
        Self(sent.map(refresh).collect())
    }

    /// The last refresh of a child.
    pub(crate) fn last_of(&self, run: u32) -> Option<&Refresh> {
        self.0.iter().rev().find(|refresh| refresh.run == run)
    }

    /// Whether the answer to a child's refresh was lost: a later child sent the same refresh token again.
    pub(crate) fn is_lost(&self, lost: &Refresh) -> bool {
        lost.answered && self.0.iter().any(|later| later.run > lost.run && later.token == lost.token)
    }

    /// The refresh that made `refused` a reuse: another child's, of the same token, whose answer was lost.
    pub(crate) fn cause_of(&self, refused: &Refresh) -> Option<&Refresh> {
        self.0.iter().find(|earlier| earlier.run != refused.run && earlier.token == refused.token && earlier.answered)
    }

    /// The refresh token of a child that was killed, unless the other one had refreshed before it: whoever gets the lock
    /// after it finds its mark and sends that token at once, so nobody has to later.
    pub(crate) fn left_by(&self, killed: u32, other: u32) -> Option<String> {
        let before = self.0.iter().take_while(|refresh| refresh.run != killed);
        let is_first = before.filter(|refresh| refresh.run == other).count() == 0;
        self.last_of(killed).filter(|_| is_first).map(|refresh| refresh.token.clone())
    }

    pub(crate) fn sends(&self, token: &str) -> bool {
        self.0.iter().any(|refresh| refresh.token == token)
    }

    pub(crate) fn refused(&self) -> usize {
        self.0.iter().filter(|refresh| !refresh.answered).count()
    }
}
