//! Defects on purpose, to show that the simulator finds them: compiled for the tests only, and asleep in all of them but the
//! one that wakes them.

use core::cell::Cell;

/// One defect in one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A lost answer is not asked for again.
    NoRetry,
    /// A refresh token is sent again however much later.
    RetriesLate,
    /// What another process stored is not taken over.
    IgnoresNewer,
    /// The old access token is kept beside the new refresh token.
    MixesSets,
    /// Tokens that did not pass validation are handed out.
    HandsOutUnvalidated,
    /// A set is handed out before it is stored.
    ServesFirst,
    /// Nobody looks for tombstones.
    IgnoresTombstones,
    /// The token that came for an ended session is dropped.
    DropsReceived,
    /// The server is told before the tombstone is written.
    RevokesFirst,
    /// What a sign-out could not tell the server is forgotten.
    ForgetsOwed,
    /// What the record of an ended session holds is not looked at before it is deleted.
    DeletesBlindly,
    /// Other clients of the process do not hear of a change.
    TellsNobody,
    /// Only the default account's interrupted refresh is taken up.
    ResumesOne,
    /// The first account is the default, not the last.
    WrongDefault,
    /// What a new session replaces is left alone.
    ReplacesNothing,
    /// The grant that a step-up leaves is left alone.
    LeavesGrant,
    /// It is revoked before the store holds what takes its place.
    LeavesFirst,
    /// A record is written without a look at it.
    WritesBlindly,
    /// A lock that was lost is taken for held.
    KeepsLostLock,
    /// Every caller refreshes for itself.
    RefreshesTwice,
    /// What cannot be read is absent.
    ErrorIsAbsent,
    /// Any refusal ends the session.
    EndsOnAnyRefusal,
    /// A call waits for a store that never answers.
    WaitsForStore,
}

thread_local! {
    static AWAKE: Cell<Option<Plant>> = const { Cell::new(None) };
}

pub(crate) fn is(plant: Plant) -> bool {
    AWAKE.get() == Some(plant)
}

/// Wakes a defect on this thread while `work` runs.
pub(crate) fn with<T>(plant: Plant, work: impl FnOnce() -> T) -> T {
    AWAKE.set(Some(plant));
    let result = work();
    AWAKE.set(None);
    result
}
