//! A bound on the packets per second that a side may send.
//!
//! The generic cell rate algorithm: one number, the earliest time at which the packet would be on
//! schedule. It behaves as a token bucket that is never refilled by a timer. It is charged only
//! for packets from the source that holds the latch, so that a stranger cannot use it up.

use std::time::Duration;

use ringfence_base::Instant;

/// How many times faster than the packet time a side may send for ever: redundancy, telephone
/// events and a packet time below the one described all stay below this.
pub const RATE_FACTOR: u32 = 4;

/// How much media may arrive at once, after a stall of the network, before packets are dropped.
pub const BURST: Duration = Duration::from_secs(2);

const PACKET_TIME_DEFAULT: Duration = Duration::from_millis(20);
const PACKET_TIME_MIN: Duration = Duration::from_millis(1);
const PACKET_TIME_MAX: Duration = Duration::from_millis(200);

/// A rate: so many packets per second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval_ns: u32,
    burst_packets: u32,
}

impl RateLimit {
    /// For audio with this packet time (`a=ptime`, RFC 8866 §6.4): [`RATE_FACTOR`] times its
    /// rate, and [`BURST`] of media at once. `None` means 20 ms.
    pub fn for_packet_time(packet_time: Option<Duration>) -> RateLimit {
        let packet_time = packet_time
            .unwrap_or(PACKET_TIME_DEFAULT)
            .clamp(PACKET_TIME_MIN, PACKET_TIME_MAX);
        let burst = BURST.as_nanos() / packet_time.as_nanos();
        RateLimit {
            interval_ns: packet_time.subsec_nanos() / RATE_FACTOR,
            burst_packets: u32::try_from(burst).unwrap_or(u32::MAX),
        }
    }

    /// At most `packets` per second, and `burst_packets` at once. At least one of each.
    pub const fn per_second(packets: u32, burst_packets: u32) -> RateLimit {
        let packets = if packets == 0 { 1 } else { packets };
        let burst_packets = if burst_packets == 0 { 1 } else { burst_packets };
        RateLimit {
            interval_ns: 1_000_000_000 / packets,
            burst_packets,
        }
    }
}

impl Default for RateLimit {
    /// Audio with a packet time of 20 ms.
    fn default() -> RateLimit {
        RateLimit::for_packet_time(None)
    }
}

/// The state of a limit.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    limit: RateLimit,
    on_schedule_at: Instant,
}

impl Rate {
    /// Nothing charged yet.
    pub(crate) fn new(limit: RateLimit) -> Rate {
        Rate {
            limit,
            on_schedule_at: Instant::ZERO,
        }
    }

    /// Changes the limit; what was charged stays charged.
    pub(crate) fn set(&mut self, limit: RateLimit) {
        self.limit = limit;
    }

    /// The limit as time between packets, and how far ahead of it a burst may be.
    pub(crate) fn limit(&self) -> (Duration, Duration) {
        let interval = Duration::from_nanos(u64::from(self.limit.interval_ns));
        (interval, interval * (self.limit.burst_packets - 1))
    }

    /// Charges one packet, or says that it is too many.
    #[inline]
    pub(crate) fn charge(&mut self, now: Instant) -> bool {
        let interval = u64::from(self.limit.interval_ns);
        let tolerance = interval * u64::from(self.limit.burst_packets - 1);
        let now = now.as_nanos();
        let due = self.on_schedule_at.as_nanos().max(now);
        if due - now > tolerance {
            return false;
        }
        self.on_schedule_at = Instant::from_nanos(due.saturating_add(interval));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(limit: RateLimit, packets: u32, every: Duration) -> u32 {
        let mut rate = Rate::new(limit);
        let mut now = Instant::from_nanos(1_000_000_000);
        let mut passed = 0;
        for _ in 0..packets {
            passed += u32::from(rate.charge(now));
            now += every;
        }
        passed
    }

    #[test]
    fn the_described_rate_always_passes() {
        assert_eq!(
            passed(RateLimit::default(), 10_000, Duration::from_millis(20)),
            10_000
        );
        assert_eq!(
            passed(RateLimit::default(), 10_000, Duration::from_millis(5)),
            10_000
        );
    }

    #[test]
    fn a_flood_passes_the_burst_and_then_four_times_the_rate() {
        // 100 at once (2 s of 20 ms packets), then 200 a second for 10 s.
        let passed = passed(RateLimit::default(), 100_000, Duration::from_micros(100));
        assert!((2_090..=2_110).contains(&passed), "{passed}");
    }

    #[test]
    fn a_stall_of_two_seconds_arrives_at_once() {
        assert_eq!(passed(RateLimit::default(), 100, Duration::ZERO), 100);
        assert_eq!(passed(RateLimit::default(), 101, Duration::ZERO), 100);
    }

    #[test]
    fn any_packet_time_gives_a_usable_limit() {
        for ms in [0, 1, 10, 30, 60, 200, 100_000] {
            let limit = RateLimit::for_packet_time(Some(Duration::from_millis(ms)));
            assert!(limit.interval_ns > 0 && limit.burst_packets > 0, "{ms}");
        }
        assert_eq!(passed(RateLimit::per_second(0, 0), 2, Duration::ZERO), 1);
    }
}
