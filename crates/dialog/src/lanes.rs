//! The timer store: a first-in first-out lane per duration.
//!
//! Transaction timers take one of a dozen durations, and time only moves forward, so each
//! duration's timers expire in the order in which they were set. A queue per duration makes
//! setting and expiring a timer O(1) whatever the load, where a heap would pay a walk through cold
//! memory for each of the 100,000 transactions that linger behind 1,000 calls/s.
//!
//! There is no cancel: an expired entry names its transaction by slot and generation, and the
//! transaction ignores a timer that means nothing in its state.

use std::collections::VecDeque;

use ringfence_base::Instant;

use crate::timer::{Interval, Timer, TimerTable};

/// Timers that wait, by duration.
pub(crate) struct TimerLanes {
    table: TimerTable,
    lanes: [VecDeque<Entry>; Interval::COUNT],
    len: usize,
}

/// Whose timer expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) timer: Timer,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

struct Entry {
    at: Instant,
    generation: u32,
    /// The slot in 24 bits, the timer in the other 8.
    slot_and_timer: u32,
}

impl TimerLanes {
    pub(crate) fn new(table: TimerTable) -> TimerLanes {
        TimerLanes {
            table,
            lanes: Default::default(),
            len: 0,
        }
    }

    pub(crate) fn schedule(&mut self, now: Instant, interval: Interval, expired: Expired) {
        let lane = &mut self.lanes[interval.index()];
        // A caller whose clock steps back must not disorder the lane.
        let at = (now + self.table.duration(interval))
            .max(lane.back().map_or(Instant::ZERO, |entry| entry.at));
        lane.push_back(Entry {
            at,
            generation: expired.generation,
            slot_and_timer: expired.slot << 8 | expired.timer as u32,
        });
        self.len += 1;
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.lanes
            .iter()
            .filter_map(|lane| lane.front())
            .map(|entry| entry.at)
            .min()
    }

    /// Takes a timer that is due at `now`: the earliest, and of several at one time the one of
    /// the first lane, so that a seed replays exactly.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Expired> {
        let (at, lane) = self
            .lanes
            .iter_mut()
            .filter_map(|lane| Some((lane.front()?.at, lane)))
            .min_by_key(|(at, _)| *at)?;
        if at > now {
            return None;
        }
        let entry = lane.pop_front()?;
        self.len -= 1;
        // A burst must not keep its memory for ever.
        if lane.capacity() > IDLE_LANE && lane.len() * 4 < lane.capacity() {
            lane.shrink_to(lane.len() * 2);
        }
        Some(Expired {
            timer: timer_from(entry.slot_and_timer as u8)?,
            slot: entry.slot_and_timer >> 8,
            generation: entry.generation,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn table(&self) -> &TimerTable {
        &self.table
    }
}

fn timer_from(raw: u8) -> Option<Timer> {
    use Timer::*;
    [
        A, B, D, E, F, Fallback, G, H, I, J, K, L, M, Cancelled, Success, Unanswered,
    ]
    .get(usize::from(raw))
    .copied()
}

/// A lane never shrinks below this many entries.
const IDLE_LANE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn expired(timer: Timer, slot: u32) -> Expired {
        Expired {
            timer,
            slot,
            generation: 9,
        }
    }

    #[test]
    fn pops_by_time_across_lanes() {
        let mut lanes = TimerLanes::new(TimerTable::default());
        lanes.schedule(at(0), Interval::TransactionTimeout, expired(Timer::B, 1));
        lanes.schedule(at(0), Interval::Doubled(1), expired(Timer::E, 0xff_ffff));
        lanes.schedule(at(600), Interval::Doubled(0), expired(Timer::Unanswered, 3));
        assert_eq!((lanes.len(), lanes.next_at()), (3, Some(at(1000))));
        assert_eq!(lanes.pop_due(at(999)), None);
        assert_eq!(lanes.pop_due(at(1100)), Some(expired(Timer::E, 0xff_ffff)));
        assert_eq!(lanes.pop_due(at(1100)), Some(expired(Timer::Unanswered, 3)));
        assert_eq!(lanes.pop_due(at(1100)), None);
        assert_eq!(lanes.pop_due(at(32_000)), Some(expired(Timer::B, 1)));
        assert_eq!((lanes.len(), lanes.next_at()), (0, None));
    }

    #[test]
    fn a_clock_that_steps_back_keeps_the_order() {
        let mut lanes = TimerLanes::new(TimerTable::default());
        lanes.schedule(at(100), Interval::T4, expired(Timer::I, 1));
        lanes.schedule(at(50), Interval::T4, expired(Timer::K, 2));
        assert_eq!(lanes.pop_due(at(5_099)), None);
        assert_eq!(lanes.pop_due(at(5_100)), Some(expired(Timer::I, 1)));
        assert_eq!(lanes.pop_due(at(5_100)), Some(expired(Timer::K, 2)));
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut lanes = TimerLanes::new(TimerTable::default());
        for slot in 0..100_000 {
            lanes.schedule(at(0), Interval::D, expired(Timer::D, slot));
        }
        while lanes.pop_due(Instant::MAX).is_some() {}
        assert!(lanes.lanes[Interval::D.index()].capacity() <= 2 * IDLE_LANE);
    }
}
