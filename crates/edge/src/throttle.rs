//! Bounds how much a hostile network can make us log.

use std::time::Duration;

use ringfence_base::Instant;

/// Lets a few through in each period and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    per_period: u32,
    period: Duration,
    began: Instant,
    passed: u32,
    suppressed: u64,
}

impl Throttle {
    /// Lets `per_period` through in each `period`.
    pub const fn new(per_period: u32, period: Duration) -> Throttle {
        Throttle {
            per_period,
            period,
            began: Instant::ZERO,
            passed: 0,
            suppressed: 0,
        }
    }

    /// Whether one may pass now: `Some(n)` when it may, with how many were held back since the
    /// last one that passed.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_since(self.began) >= self.period {
            self.began = now;
            self.passed = 0;
        }
        if self.passed >= self.per_period {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_a_flood_and_says_how_much() {
        let mut throttle = Throttle::new(2, Duration::from_secs(1));
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert_eq!(throttle.pass(at(2000)), Some(0));
        assert_eq!(throttle.pass(at(2001)), Some(0));
        assert_eq!(
            (2..102)
                .filter(|ms| throttle.pass(at(2000 + ms)).is_some())
                .count(),
            0
        );
        assert_eq!(throttle.pass(at(3000)), Some(100));
        assert_eq!(throttle.pass(at(3001)), Some(0));
    }
}
