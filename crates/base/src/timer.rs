//! A queue of timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// Timers in order of time. There is no cancel: the owner of a popped key checks whether it still
/// means anything (a generation in the key makes that safe), which is cheaper than a search.
#[derive(Debug)]
pub struct TimerQueue<K> {
    heap: BinaryHeap<Reverse<Entry<K>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry<K> {
    at: Instant,
    /// Breaks ties by order of insertion, so that a seed replays exactly.
    sequence: u64,
    key: K,
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl<K> Eq for Entry<K> {}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<K> Default for TimerQueue<K> {
    fn default() -> Self {
        TimerQueue {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<K> TimerQueue<K> {
    /// Sets a timer.
    pub fn schedule(&mut self, at: Instant, key: K) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry {
            at,
            sequence: self.sequence,
            key,
        }));
    }

    /// When the next timer is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes a timer that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next_at()? > now {
            return None;
        }
        let entry = self.heap.pop().map(|Reverse(entry)| entry.key);
        // A burst must not keep its memory for ever.
        if self.heap.capacity() > 1024 && self.heap.len() * 4 < self.heap.capacity() {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        entry
    }

    /// How many timers wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pops_by_time_then_by_order_of_insertion() {
        let mut timers = TimerQueue::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        timers.schedule(at(20), 'b');
        timers.schedule(at(10), 'a');
        timers.schedule(at(20), 'c');
        assert_eq!(timers.next_at(), Some(at(10)));
        assert_eq!(timers.pop_due(at(5)), None);
        let order: String = std::iter::from_fn(|| timers.pop_due(at(20))).collect();
        assert_eq!(order, "abc");
    }
}
