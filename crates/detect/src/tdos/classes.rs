//! What became of the challenges, by where calls come from: outcomes are counted, not calls.
//!
//! A class is one upstream as the carrier shows it: who vouches for the number (`origid`), how far,
//! by what program the call came, and whether the number can be one at all. All of these are weak:
//! a class alone condemns nobody, but of two silent callers the one of the class that never
//! passed a challenge goes first.

use ringfence_base::{HashKey, KeyedMap};

use super::offer::Upstream;

/// Outcomes of challenges by class, of one alarm.
#[derive(Debug)]
pub struct Classes {
    outcomes: KeyedMap<Upstream, Outcomes>,
}

/// Outcomes of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Challenges passed.
    pub passed: u32,
    /// Challenges failed.
    pub failed: u32,
}

impl Outcomes {
    /// Whether next to nobody of the class passes.
    pub const fn is_bad(self) -> bool {
        self.failed >= 5 && self.passed * 20 <= self.failed
    }
}

impl Classes {
    /// No outcomes.
    pub fn new(key: HashKey) -> Classes {
        Classes {
            outcomes: key.map(),
        }
    }

    /// A challenge of a call of `upstream` ended.
    pub fn note(&mut self, upstream: Upstream, passed: bool) {
        // What comes when the table is full is judged like what has no history.
        if self.outcomes.len() >= CLASSES_MAX && !self.outcomes.contains_key(&upstream) {
            return;
        }
        let outcomes = self.outcomes.entry(upstream).or_default();
        match passed {
            true => outcomes.passed = outcomes.passed.saturating_add(1),
            false => outcomes.failed = outcomes.failed.saturating_add(1),
        }
    }

    /// What is known of `upstream`.
    pub fn of(&self, upstream: Upstream) -> Outcomes {
        self.outcomes.get(&upstream).copied().unwrap_or_default()
    }

    /// Forgets all, after an alarm.
    pub fn clear(&mut self) {
        self.outcomes.clear();
    }
}

/// Classes that are told apart.
const CLASSES_MAX: usize = 256;
