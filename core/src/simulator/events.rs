//! What can happen at a point, and which of it is played where.

use super::cases::Variant;
use super::server::Special;
use crate::error::StoreProblem;

/// What happens at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The process dies; the next one starts after so many seconds, perhaps after a reboot.
    Crash {
        pause: u64,
        reboot: bool,
    },
    /// The process is suspended for so long. `freed`: the system takes its lock away, and another process refreshes.
    Suspend {
        secs: u64,
        freed: bool,
    },
    Store(StoreFault),
    Net(NetFault),
    /// Somebody does something at the same time.
    Act(Act),
    /// Somebody sets the wall clock by so many seconds.
    SetClock(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreFault {
    Fails(Reason),
    /// It says so, and has done it.
    FailsAfterEffect,
    /// It says that it has, and has not.
    Lies,
    /// It takes 8 s, which is not too long; a read says what was there when it began.
    Slow,
    /// It takes 20 s, and has its effect then.
    Hangs,
    /// It takes ten minutes, and has its effect then.
    HangsLong,
    /// It gives what was there before the last write.
    Stale,
    /// From here on it fails for two hours.
    Unavailable,
    /// What was written is damaged when a later process reads it.
    Torn,
    /// What was written is gone when a later process reads it.
    Gone,
}

impl Event {
    /// Whether another process does something, of which this one hears when it looks.
    pub(super) fn is_of_another(self) -> bool {
        match self {
            Self::Act(act) => act.who() == Who::Other,
            Self::Suspend { freed, .. } => freed,
            _ => false,
        }
    }
}

impl StoreFault {
    /// How long a call takes that is late.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Self::Slow => 8,
            Self::Hangs => 20,
            _ => 600,
        }
    }
}

/// The reasons of docs/sessions.md §3, in a form that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Locked,
    NeedsUser,
    UserCancelled,
    Transient,
    Foreign,
    Corrupt,
    KeyMissing,
    KeyDestroyed,
    NewerVersion,
}

pub(super) const REASONS: [Reason; 9] = [
    Reason::Locked,
    Reason::NeedsUser,
    Reason::UserCancelled,
    Reason::Transient,
    Reason::Foreign,
    Reason::Corrupt,
    Reason::KeyMissing,
    Reason::KeyDestroyed,
    Reason::NewerVersion,
];

impl Reason {
    pub(super) fn problem(self) -> StoreProblem {
        match self {
            Self::Locked => StoreProblem::Locked,
            Self::NeedsUser => StoreProblem::NeedsUser,
            Self::UserCancelled => StoreProblem::UserCancelled,
            Self::Transient => StoreProblem::Transient,
            Self::Foreign => StoreProblem::Foreign,
            Self::Corrupt => StoreProblem::Corrupt,
            Self::KeyMissing => StoreProblem::KeyMissing,
            Self::KeyDestroyed => StoreProblem::KeyDestroyed,
            Self::NewerVersion => StoreProblem::NewerVersion,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NetFault {
    /// The connection is refused.
    NotSent,
    /// The server never hears of it.
    RequestLost,
    /// The server acts, and the answer never comes.
    AnswerLost,
    /// The server acts at once, and the answer takes so long.
    Slow(u64),
    /// It reaches the server after so long, when nobody waits any more.
    Late(u64),
    /// The server answers so, and does nothing.
    Answer(u16, &'static str),
    /// The server acts, and answers in a special way.
    Special(Special),
    /// The grant is over, by an administrator's doing.
    Over,
    /// Neither this nor any other request is answered for so long.
    Offline(u64),
    /// The keys cannot be fetched for a minute.
    NoKeys,
}

/// Who does what at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// The caller goes away.
    Leave,
    /// The sign-in is cancelled.
    Cancel,
    Token(Who),
    SignOut(Who),
    SignIn(Who, &'static str),
    /// The account that is not the default becomes it.
    Choose(Who),
    /// What can never be read is discarded.
    Discard(Who),
    /// The same refresh token is taken over as by the app.
    Import(Who),
    Foreground,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// The same client.
    Same,
    /// Another client of the same process.
    Second,
    /// Another process.
    Other,
}

impl Act {
    pub(super) fn who(self) -> Who {
        match self {
            Self::Leave | Self::Cancel | Self::Foreground => Who::Same,
            Self::Token(who)
            | Self::SignOut(who)
            | Self::SignIn(who, _)
            | Self::Choose(who)
            | Self::Discard(who)
            | Self::Import(who) => who,
        }
    }
}

/// Which kind of effect a point belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Read,
    Write,
    Sent,
    Answered,
    Locking,
    After,
}

/// The events that may happen at a point of this kind. Of what hardly differs everything only if `all`.
pub(super) fn events_at(place: Place, variant: Variant, all: bool) -> Vec<Event> {
    let mut events = Vec::new();
    for pause in [0, 29, 31, 8 * 3600] {
        events.push(Event::Crash { pause, reboot: false });
        if pause == 0 || pause > 60 {
            events.push(Event::Crash { pause, reboot: true });
        }
    }
    for secs in [3, 40, 8 * 3600] {
        events.push(Event::Suspend { secs, freed: false });
        // A call that has begun is not taken back; whoever takes the lock away waits for it.
        if variant == Variant::Lock && !matches!(place, Place::Write | Place::Sent) {
            events.push(Event::Suspend { secs, freed: true });
        }
    }
    events.extend([Event::SetClock(86_400), Event::SetClock(-86_400)]);
    for who in [Who::Same, Who::Second, Who::Other] {
        events.extend([Act::Token(who), Act::SignOut(who), Act::SignIn(who, "cleo")].map(Event::Act));
    }
    events.extend([Act::SignIn(Who::Same, "ana"), Act::Leave, Act::Cancel, Act::Foreground].map(Event::Act));
    events.extend([Act::Discard(Who::Second), Act::Choose(Who::Same), Act::Import(Who::Second)].map(Event::Act));
    let reasons = REASONS.into_iter().filter(|reason| all || matches!(reason, Reason::Locked | Reason::KeyMissing));
    let fails = reasons.map(|reason| Event::Store(StoreFault::Fails(reason)));
    match place {
        Place::Read => {
            events.extend(fails);
            let faults = [
                StoreFault::FailsAfterEffect,
                StoreFault::Slow,
                StoreFault::Hangs,
                StoreFault::HangsLong,
                StoreFault::Stale,
                StoreFault::Unavailable,
            ];
            events.extend(faults.map(Event::Store));
        }
        Place::Write => {
            events.extend(fails);
            let faults = [
                StoreFault::FailsAfterEffect,
                StoreFault::Lies,
                StoreFault::Slow,
                StoreFault::Hangs,
                StoreFault::HangsLong,
                StoreFault::Unavailable,
                StoreFault::Torn,
                StoreFault::Gone,
            ];
            events.extend(faults.map(Event::Store));
        }
        Place::Sent => {
            let faults = [
                NetFault::NotSent,
                NetFault::RequestLost,
                NetFault::AnswerLost,
                NetFault::Slow(11),
                NetFault::Slow(13),
                NetFault::Slow(40),
                NetFault::Late(13),
                NetFault::Offline(15),
                NetFault::Offline(3600),
                NetFault::Over,
                NetFault::NoKeys,
                NetFault::Answer(429, "too_many"),
                NetFault::Answer(500, "server_error"),
                NetFault::Answer(503, "unavailable"),
                NetFault::Answer(400, "invalid_request"),
                NetFault::Answer(401, "invalid_client"),
                NetFault::Answer(400, "unauthorized_client"),
                NetFault::Answer(400, "invalid_scope"),
                NetFault::Answer(400, "unsupported_grant_type"),
                NetFault::Answer(400, "invalid_dpop_proof"),
                NetFault::Answer(403, "access_denied"),
                NetFault::Answer(400, "something_new"),
                NetFault::Special(Special::BadSignature),
                NetFault::Special(Special::NewKey),
                NetFault::Special(Special::OtherSubject),
                NetFault::Special(Special::SameToken),
                NetFault::Special(Special::NoToken),
                NetFault::Special(Special::Rubbish),
                NetFault::Special(Special::Short),
            ];
            events.extend(faults.map(Event::Net));
        }
        Place::Answered | Place::Locking | Place::After => {}
    }
    events
}

/// The events of which two happen in one case.
pub(super) fn paired_events_at(place: Place) -> Vec<Event> {
    let mut events = vec![
        Event::Crash { pause: 0, reboot: false },
        Event::Crash { pause: 31, reboot: false },
        Event::Act(Act::SignOut(Who::Same)),
        Event::Act(Act::SignIn(Who::Same, "cleo")),
    ];
    match place {
        Place::Read | Place::Write => {
            let faults = [StoreFault::Fails(Reason::Locked), StoreFault::FailsAfterEffect, StoreFault::Hangs];
            events.extend(faults.map(Event::Store));
        }
        Place::Sent => {
            let faults = [NetFault::NotSent, NetFault::AnswerLost, NetFault::Answer(429, "too_many")];
            events.extend(faults.map(Event::Net));
        }
        Place::Answered | Place::Locking | Place::After => {}
    }
    events
}
