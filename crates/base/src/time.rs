//! Time as an argument.
//!
//! [`Instant`] is monotonic nanoseconds since an origin that only the caller knows (process start
//! at the edge, zero in simulation). [`UnixTime`] is wall-clock time, for records that people
//! read. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Monotonic time in nanoseconds since the caller's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Instant = Instant(0);
    /// Later than every timer: "never".
    pub const MAX: Instant = Instant(u64::MAX);

    /// An instant from nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    /// Saturates at [`Instant::MAX`].
    fn add(self, duration: Duration) -> Instant {
        Instant(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    /// Saturates at zero.
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> UnixTime {
        UnixTime(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

/// Ties monotonic time to wall-clock time, so that a machine which is only told monotonic time
/// can stamp its records. The edge renews it when the host's clock steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallAnchor {
    /// A moment on the monotonic clock.
    pub instant: Instant,
    /// The same moment on the wall clock.
    pub unix: UnixTime,
}

impl WallAnchor {
    /// The wall-clock time of `instant`, before or after the anchor.
    pub fn unix_time(&self, instant: Instant) -> UnixTime {
        let micros = if instant >= self.instant {
            ((instant.as_nanos() - self.instant.as_nanos()) / 1_000) as i64
        } else {
            -(((self.instant.as_nanos() - instant.as_nanos()) / 1_000) as i64)
        };
        UnixTime(self.unix.0.saturating_add(micros))
    }
}

impl fmt::Display for Instant {
    /// Seconds with microseconds: `12.000345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000 / 1_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Instant::from_nanos(5), Duration::ZERO);
    }

    #[test]
    fn the_anchor_reaches_both_ways() {
        let anchor = WallAnchor {
            instant: Instant::from_nanos(5_000_000),
            unix: UnixTime::from_micros(1_000_000),
        };
        assert_eq!(
            anchor.unix_time(Instant::from_nanos(6_000_000)).as_micros(),
            1_001_000
        );
        assert_eq!(
            anchor.unix_time(Instant::from_nanos(4_000_000)).as_micros(),
            999_000
        );
    }
}
