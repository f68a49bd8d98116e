//! The one place of the product that reads clocks.
//!
//! Machines below the edge are told the time as [`Instant`], nanoseconds since the origin of one
//! [`Clock`]. All workers of an edge share one clock, so their instants can be compared.

use std::time::Duration;

use ringfence_base::time::WallAnchor;
use ringfence_base::{Instant, UnixTime};

/// Reads monotonic and wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
    /// The same on `CLOCK_MONOTONIC`.
    origin_since_boot: Duration,
}

impl Clock {
    /// A clock whose origin is now.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Clock {
        // An origin a little in the past: no live instant equals `Instant::ZERO`.
        let now = std::time::Instant::now();
        let origin = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let origin_since_boot = since_boot().saturating_sub(now - origin);
        Clock {
            origin,
            origin_since_boot,
        }
    }

    /// Monotonic time now.
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> Instant {
        let passed = std::time::Instant::now().saturating_duration_since(self.origin);
        Instant::ZERO + passed
    }

    /// The instant at which the host's monotonic clock (`CLOCK_MONOTONIC`), which the kernel
    /// counts by, stood at `since_boot`.
    pub fn of_monotonic(&self, since_boot: Duration) -> Instant {
        Instant::ZERO + since_boot.saturating_sub(self.origin_since_boot)
    }

    /// Ties this clock to the wall clock, as it stands now.
    pub fn anchor(&self) -> WallAnchor {
        WallAnchor {
            instant: self.now(),
            unix: unix_now(),
        }
    }
}

/// `CLOCK_MONOTONIC` now.
fn since_boot() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the kernel to write one `timespec` to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Wall-clock time now.
#[allow(clippy::disallowed_methods)]
pub fn unix_now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    });
    UnixTime::from_micros(micros)
}

/// How far the wall clock may move against the monotonic one before the anchor is renewed.
pub const WALL_STEP: Duration = Duration::from_millis(500);

/// Whether `anchor` no longer tells the wall-clock time (the host's clock was set).
pub fn anchor_is_off(clock: &Clock, anchor: &WallAnchor) -> bool {
    let told = anchor.unix_time(clock.now()).as_micros();
    told.abs_diff(unix_now().as_micros()) > WALL_STEP.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_the_anchor_tells_the_wall_clock() {
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(first > Instant::ZERO && second >= first);
        let mut anchor = clock.anchor();
        assert!(!anchor_is_off(&clock, &anchor));
        anchor.unix = UnixTime::from_micros(anchor.unix.as_micros() - 3_600_000_000);
        assert!(anchor_is_off(&clock, &anchor), "a step of an hour is seen");
    }
}
