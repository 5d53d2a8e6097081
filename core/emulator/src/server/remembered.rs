//! What a server remembers under unguessable names, with a bound: beyond it the oldest is forgotten.

use std::collections::{HashMap, VecDeque};

/// So that few entries are not looked through at each turn.
const SLACK: usize = 64;

/// Values by name, at most `most` of them.
pub(crate) struct Remembered<T> {
    most: usize,
    entries: HashMap<String, T>,
    /// Names by age; some may be forgotten already.
    order: VecDeque<String>,
}

impl<T> Remembered<T> {
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, entries: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers a value under a name that was never used before.
    pub(crate) fn add(&mut self, name: String, value: T) {
        while self.entries.len() >= self.most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.entries.remove(&oldest);
        }
        // Names that were removed wait here for no more than as many that were not.
        if self.order.len() > self.entries.len().saturating_mul(2).saturating_add(SLACK) {
            let entries = &self.entries;
            self.order.retain(|name| entries.contains_key(name));
        }
        self.order.push_back(name.clone());
        self.entries.insert(name, value);
    }

    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        self.entries.get(name)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut T> {
        self.entries.get_mut(name)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.entries.remove(name)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_nothing_grows_beyond_the_bound() {
        let mut remembered = Remembered::at_most(3);
        for n in 0..100 {
            remembered.add(n.to_string(), n);
            if n % 2 == 0 {
                assert_eq!(remembered.remove(&n.to_string()), Some(n));
            }
        }
        assert_eq!(remembered.find("93"), None);
        assert_eq!([95, 97, 99].map(|n| remembered.find(&n.to_string()).copied()), [Some(95), Some(97), Some(99)]);
        let mut emptied = Remembered::at_most(3);
        for n in 0..100 {
            emptied.add(n.to_string(), n);
            emptied.remove(&n.to_string());
        }
        assert!(remembered.order.len() <= 7 + SLACK, "{}", remembered.order.len());
        assert!(emptied.order.len() <= 1 + SLACK, "{}", emptied.order.len());
    }

    #[test]
    fn what_was_removed_leaves_nothing_behind_however_high_the_bound() {
        let mut remembered = Remembered::at_most(1_000_000);
        for n in 0..10_000 {
            remembered.add(n.to_string(), n);
            if n >= 100 {
                remembered.remove(&(n - 100).to_string());
            }
        }
        assert_eq!(remembered.entries.len(), 100);
        assert!(remembered.order.len() <= 200 + SLACK + 1, "{}", remembered.order.len());
    }
}
