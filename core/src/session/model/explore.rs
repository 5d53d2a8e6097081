//! Visits every state that can be reached, once, breadth first.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What must not happen: the number of the invariant and what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) u8, pub(super) &'static str);

/// A world that events change.
pub(super) trait Model {
    type State: Copy + Eq + Hash + Debug;
    type Event: Copy + Debug;
    fn events(&self, state: &Self::State, into: &mut Vec<Self::Event>);
    fn step(&self, state: &Self::State, event: Self::Event) -> Result<Self::State, Violation>;
    /// A state whose future without faults must be good, if this is one; without what its past still allows.
    fn at_rest(&self, state: &Self::State) -> Option<Self::State>;
    fn check_rest(&self, state: &Self::State) -> Result<(), Violation>;
}

/// What an enumeration came to.
pub(super) struct Outcome {
    pub(super) states: usize,
    pub(super) transitions: usize,
    pub(super) rests: usize,
    pub(super) violation: Option<(Violation, String)>,
}

pub(super) fn explore<M: Model>(model: &M, start: M::State) -> Outcome {
    let mut seen: HashSet<u64, BuildHasherDefault<Same>> = HashSet::default();
    let mut rests: HashSet<u64, BuildHasherDefault<Same>> = HashSet::default();
    let mut history: Vec<(u32, Option<M::Event>)> = vec![(0, None)];
    let mut level = vec![(0_u32, start)];
    seen.insert(fingerprint(&start));
    let mut out = Outcome { states: 1, transitions: 0, rests: 0, violation: None };
    let mut events = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for (number, state) in level {
            if let Some(rest) = model.at_rest(&state)
                && rests.insert(fingerprint(&rest))
            {
                out.rests += 1;
                if let Err(violation) = model.check_rest(&rest) {
                    out.violation = Some((violation, trace(model, start, &history, number, None)));
                    return out;
                }
            }
            events.clear();
            model.events(&state, &mut events);
            for event in events.iter().copied() {
                out.transitions += 1;
                match model.step(&state, event) {
                    Err(violation) => {
                        out.violation = Some((violation, trace(model, start, &history, number, Some(event))));
                        return out;
                    }
                    Ok(after) => {
                        if seen.insert(fingerprint(&after)) {
                            out.states += 1;
                            history.push((number, Some(event)));
                            next.push((u32::try_from(history.len() - 1).unwrap(), after));
                        }
                    }
                }
            }
        }
        level = next;
    }
    out
}

/// The events that led there, and the state that each left.
fn trace<M: Model>(
    model: &M,
    start: M::State,
    history: &[(u32, Option<M::Event>)],
    last: u32,
    event: Option<M::Event>,
) -> String {
    let mut events: Vec<M::Event> = event.into_iter().collect();
    let mut number = last;
    while let (before, Some(event)) = history[number as usize] {
        events.push(event);
        number = before;
    }
    events.reverse();
    let mut state = start;
    let mut text = String::new();
    let verbose = std::env::var_os("VERBOSE").is_some();
    for (index, event) in events.into_iter().enumerate() {
        text.push_str(&format!("  {:2}. {event:?}\n", index + 1));
        if let Ok(after) = model.step(&state, event) {
            state = after;
            if verbose {
                text.push_str(&format!("      {state:?}\n"));
            }
        }
    }
    text
}

fn fingerprint<T: Hash>(value: &T) -> u64 {
    let mut hasher = Mix(0x9e37_79b9_7f4a_7c15);
    value.hash(&mut hasher);
    hasher.finish()
}

/// Two states in some millions share a fingerprint with a probability of about one in a million.
struct Mix(u64);

impl Mix {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.cast_unsigned() as u64);
    }
}

/// For what is a fingerprint already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
