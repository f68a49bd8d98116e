//! Counts that fade: after one horizon half of a count is left.

use std::time::Duration;

use ringfence_base::Instant;

/// How fast a count fades. Several beside each other see a burst and a year-long trickle alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Horizon {
    /// 10 seconds: bursts.
    Burst,
    /// 5 minutes: what a person would call now.
    Minutes,
    /// 6 hours: low and slow.
    Hours,
    /// 7 days: slower than anybody watches.
    Days,
}

/// All horizons, shortest first.
pub const HORIZONS: [Horizon; 4] = [
    Horizon::Burst,
    Horizon::Minutes,
    Horizon::Hours,
    Horizon::Days,
];

impl Horizon {
    /// The time after which half is left.
    pub const fn half_life(self) -> Duration {
        Duration::from_secs(match self {
            Horizon::Burst => 10,
            Horizon::Minutes => 5 * 60,
            Horizon::Hours => 6 * 3600,
            Horizon::Days => 7 * 24 * 3600,
        })
    }

    /// What is left of 1 after `passed`.
    pub fn left(self, passed: Duration) -> f32 {
        let halves = passed.as_secs_f32() / self.half_life().as_secs_f32();
        (-halves).exp2()
    }
}

/// One count that fades. 12 bytes of content.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decaying {
    value: f32,
    at: Instant,
}

impl Decaying {
    /// Adds `amount`, which may be negative (a refund); never below zero. The count after it.
    pub fn add(&mut self, now: Instant, horizon: Horizon, amount: f32) -> f32 {
        self.value = (self.get(now, horizon) + amount).max(0.0);
        // Events of two workers may come a little out of order: time never goes back.
        self.at = self.at.max(now);
        self.value
    }

    /// The count at `now`.
    pub fn get(&self, now: Instant, horizon: Horizon) -> f32 {
        if self.value == 0.0 {
            return 0.0;
        }
        self.value * horizon.left(now.saturating_since(self.at))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Decaying::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_left_after_a_horizon() {
        for horizon in HORIZONS {
            let mut count = Decaying::default();
            count.add(Instant::ZERO, horizon, 8.0);
            let later = Instant::ZERO + horizon.half_life();
            assert!((count.get(later, horizon) - 4.0).abs() < 1e-3);
            assert!((count.add(later, horizon, 1.0) - 5.0).abs() < 1e-3);
        }
    }

    #[test]
    fn a_refund_never_makes_credit() {
        let mut count = Decaying::default();
        count.add(Instant::ZERO, Horizon::Minutes, 1.0);
        assert_eq!(count.add(Instant::ZERO, Horizon::Minutes, -5.0), 0.0);
    }
}
