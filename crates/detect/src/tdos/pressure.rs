//! Do more strangers call than ever do by themselves? Two tests together: a burst (the likelihood
//! ratio of the last few calls) and a slow ramp (a cumulative sum).
//!
//! Both work in nats of evidence against "strangers call as they use to". What else speaks for an
//! attack adds a little to each call, never enough alone.

use std::collections::VecDeque;

use ringfence_base::Instant;

/// Evidence for an attack in the calls of strangers.
#[derive(Clone, Debug)]
pub struct Pressure {
    /// The last calls: when, and what else speaks for an attack (nats).
    recent: VecDeque<(Instant, f64)>,
    /// The cumulative sum and when it was last brought up to date.
    ramp: f64,
    ramp_at: Instant,
}

/// What the tests say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rise {
    /// So many calls in so many seconds.
    Burst {
        /// Calls.
        calls: usize,
        /// Seconds from the first to the last of them.
        seconds: f64,
    },
    /// More calls for long.
    Ramp,
}

impl Default for Pressure {
    fn default() -> Pressure {
        Pressure {
            recent: VecDeque::with_capacity(WINDOW_CALLS),
            ramp: 0.0,
            ramp_at: Instant::ZERO,
        }
    }
}

impl Pressure {
    /// A stranger calls at `now`, where `per_second` are usual; `tells` is what else speaks for an
    /// attack, in nats.
    pub fn note(&mut self, now: Instant, per_second: f64, tells: f64) -> Option<Rise> {
        let tells = tells.clamp(-1.0, 2.0);
        if self.recent.len() >= WINDOW_CALLS {
            self.recent.pop_front();
        }
        self.recent.push_back((now, tells));
        // People call in clusters: a little more than usual is usual too.
        let usual = (per_second * CLUSTERS).max(1e-9);
        let passed = now.saturating_since(self.ramp_at).as_secs_f64();
        self.ramp_at = now;
        let idle = (RAMP_FACTOR - 1.0) * usual * passed;
        self.ramp = (self.ramp - idle).max(0.0) + RAMP_FACTOR.ln() + tells.max(0.0) * 0.25;
        self.ramp = self.ramp.min(RAMP_LIMIT * 2.0);
        self.burst(now, usual)
            .or_else(|| (self.ramp >= RAMP_LIMIT).then_some(Rise::Ramp))
    }

    /// Calls of strangers in a minute, over the last `calls`, of which 32 are remembered; none if
    /// there were fewer.
    pub fn per_minute(&self, now: Instant, calls: usize) -> Option<f64> {
        let (first, _) = self.recent.iter().rev().nth(calls.checked_sub(1)?)?;
        let minutes = now.saturating_since(*first).as_secs_f64() / 60.0;
        Some(calls as f64 / minutes.max(1.0 / 60.0))
    }

    /// Begins anew, after an alarm.
    pub fn reset(&mut self, now: Instant) {
        self.recent.clear();
        self.ramp = 0.0;
        self.ramp_at = now;
    }

    fn burst(&self, now: Instant, usual: f64) -> Option<Rise> {
        let mut tells = 0.0;
        for (place, (at, tell)) in self.recent.iter().rev().enumerate() {
            tells += tell;
            // The first call begins the window: the time before it was chosen by nobody.
            let calls = (place + 1) as f64;
            let seconds = now.saturating_since(*at).as_secs_f64();
            let expected = usual * (seconds + 1.0);
            let evidence = calls * (calls / expected).ln() - (calls - expected) + tells;
            if place + 1 >= BURST_CALLS_MIN && calls > expected && evidence >= BURST_LIMIT {
                let calls = place + 1;
                return Some(Rise::Burst { calls, seconds });
            }
        }
        None
    }
}

/// Calls that are looked back upon.
const WINDOW_CALLS: usize = 32;
/// Fewer calls are no burst.
const BURST_CALLS_MIN: usize = 3;
/// Nats for a burst: with some 20,000 calls of strangers a year and windows that overlap, less than
/// one false alarm in a year (`false_alarms_are_rarer_than_one_a_year`).
const BURST_LIMIT: f64 = 13.0;
/// A ramp is so many times what is usual.
const RAMP_FACTOR: f64 = 4.0;
/// Nats for a ramp.
const RAMP_LIMIT: f64 = 16.0;
/// So many times what is usual is still usual.
const CLUSTERS: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Entropy;
    use ringfence_base::entropy::SeededEntropy;
    use std::time::Duration;

    fn uniform(entropy: &mut dyn Entropy) -> f64 {
        (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 8 strangers an hour for 100 business years of 2,500 hours, as Poisson calls.
    #[test]
    fn false_alarms_are_rarer_than_one_a_year() {
        let mut entropy = SeededEntropy::new(1);
        let mut pressure = Pressure::default();
        let (mut now, mut alarms) = (Instant::ZERO, 0);
        let per_second = 8.0 / 3600.0;
        for _ in 0..100 * 2_500 * 8 {
            let gap = -(1.0 - uniform(&mut entropy)).ln() / per_second;
            now += Duration::from_secs_f64(gap);
            if pressure.note(now, per_second, 0.0).is_some() {
                alarms += 1;
                pressure.reset(now);
            }
        }
        assert!(alarms <= 90, "{alarms} alarms in 100 years");
    }

    #[test]
    fn four_calls_in_a_quarter_of_a_minute_are_a_burst() {
        let mut pressure = Pressure::default();
        let mut rise = None;
        for call in 0..4 {
            assert_eq!(rise, None);
            let now = Instant::ZERO + Duration::from_millis(4_600 * call);
            rise = pressure.note(now, 8.0 / 3600.0, 0.0);
        }
        assert!(matches!(rise, Some(Rise::Burst { calls: 4, .. })));
    }

    #[test]
    fn twelve_times_the_usual_is_a_ramp_within_half_an_hour() {
        let mut pressure = Pressure::default();
        let found = (0..60).find(|call| {
            let now = Instant::ZERO + Duration::from_secs(38 * call);
            pressure.note(now, 8.0 / 3600.0, 0.0).is_some()
        });
        assert!(found.is_some_and(|call| call < 47), "{found:?}");
    }
}
