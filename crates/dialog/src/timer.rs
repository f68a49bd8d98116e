//! The timers of RFC 3261 §17 (Table 4) with RFC 6026, by their names, and the table of their
//! durations.
//!
//! Timer C, the proxy's patience with a ringing branch, is absent: how long a call may ring is
//! the transaction user's own policy, which it ends with [`cancel`](crate::Transactions::cancel).

use std::time::Duration;

/// A transaction timer, by its RFC name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    /// INVITE client: request retransmission, unreliable transports only. T1, doubling.
    A,
    /// INVITE client: transaction timeout. 64·T1.
    B,
    /// INVITE client: wait for response retransmissions. Over 32 s; 0 if reliable.
    D,
    /// Non-INVITE client: request retransmission, unreliable only. T1, doubling up to T2.
    E,
    /// Non-INVITE client: transaction timeout. 64·T1.
    F,
    /// A large request over TCP: wait for any response before UDP is tried. 2·T1.
    Fallback,
    /// INVITE server: response retransmission, unreliable only. T1, doubling up to T2.
    G,
    /// INVITE server: wait for the ACK of a failure. 64·T1.
    H,
    /// INVITE server: wait for ACK retransmissions. T4; 0 if reliable.
    I,
    /// Non-INVITE server: wait for request retransmissions. 64·T1; 0 if reliable.
    J,
    /// Non-INVITE client: wait for response retransmissions. T4; 0 if reliable.
    K,
    /// INVITE server, RFC 6026: wait for INVITE retransmissions and the ACK after a 2xx. 64·T1.
    L,
    /// INVITE client, RFC 6026: wait for 2xx retransmissions and other forks' 2xx. 64·T1.
    M,
    /// INVITE client: wait for the final response to a cancelled INVITE (§9.1). 64·T1.
    Cancelled,
    /// INVITE server: 2xx retransmission over every transport (§13.3.1.4). T1, doubling up to T2.
    Success,
    /// Non-INVITE server: after this the client has given up and no answer is of use
    /// (RFC 4320 §4.2). 64·T1.
    Unanswered,
}

impl Timer {
    pub(crate) const fn is_client(self) -> bool {
        use Timer::*;
        matches!(self, A | B | D | E | F | Fallback | K | M | Cancelled)
    }
}

/// The durations from which every timer follows (RFC 3261 Table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerTable {
    /// T1: round-trip time estimate. Default 500 ms.
    pub t1: Duration,
    /// T2: longest retransmission interval for non-INVITE requests and INVITE responses.
    /// Default 4 s.
    pub t2: Duration,
    /// T4: longest time a message stays in the network. Default 5 s.
    pub t4: Duration,
    /// Timer D over unreliable transports. Default 32 s, the least the RFC allows.
    pub d: Duration,
}

impl Default for TimerTable {
    fn default() -> TimerTable {
        TimerTable {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
        }
    }
}

impl TimerTable {
    /// How long `timer` runs when it is first set; zero where it is not used or waits for nothing
    /// over a reliable transport.
    pub fn initial(&self, timer: Timer, reliable: bool) -> Duration {
        use Timer::*;
        match timer {
            A | D | E | G | I | J | K if reliable => Duration::ZERO,
            A | E | G | Success => self.t1,
            Fallback => self.t1.saturating_mul(2),
            B | F | H | J | L | M | Cancelled | Unanswered => self.transaction_timeout(),
            D => self.d,
            I | K => self.t4,
        }
    }

    /// 64·T1: when a transaction gives up.
    pub fn transaction_timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    pub(crate) fn duration(&self, interval: Interval) -> Duration {
        match interval {
            Interval::Doubled(times) => self.t1.saturating_mul(1 << times.min(MAX_DOUBLINGS)),
            Interval::T2 => self.t2,
            Interval::T4 => self.t4,
            Interval::TransactionTimeout => self.transaction_timeout(),
            Interval::D => self.d,
        }
    }

    /// The interval before the retransmission after `times` retransmissions: T1·2^times, at most
    /// T2.
    pub(crate) fn capped(&self, times: u8) -> Interval {
        let doubled = Interval::Doubled(times.min(MAX_DOUBLINGS));
        if self.duration(doubled) < self.t2 {
            doubled
        } else {
            Interval::T2
        }
    }
}

/// The few durations a timer can be set to. Each has its own queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    /// T1 doubled this many times.
    Doubled(u8),
    T2,
    T4,
    /// 64·T1.
    TransactionTimeout,
    D,
}

impl Interval {
    pub(crate) const COUNT: usize = MAX_DOUBLINGS as usize + 5;

    pub(crate) const fn index(self) -> usize {
        match self {
            Interval::Doubled(times) if times < MAX_DOUBLINGS => times as usize,
            Interval::Doubled(_) => MAX_DOUBLINGS as usize,
            Interval::T2 => MAX_DOUBLINGS as usize + 1,
            Interval::T4 => MAX_DOUBLINGS as usize + 2,
            Interval::TransactionTimeout => MAX_DOUBLINGS as usize + 3,
            Interval::D => MAX_DOUBLINGS as usize + 4,
        }
    }
}

/// Timer A doubles from T1 until timer B at 64·T1 ends it: six times at most.
pub(crate) const MAX_DOUBLINGS: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(timer: Timer, unreliable_ms: u64, reliable_ms: u64) {
        let table = TimerTable::default();
        assert_eq!(
            table.initial(timer, false),
            Duration::from_millis(unreliable_ms)
        );
        assert_eq!(
            table.initial(timer, true),
            Duration::from_millis(reliable_ms)
        );
    }

    #[test]
    fn defaults_are_those_of_rfc3261_table_4() {
        check(Timer::A, 500, 0);
        check(Timer::B, 32_000, 32_000);
        check(Timer::D, 32_000, 0);
        check(Timer::E, 500, 0);
        check(Timer::F, 32_000, 32_000);
        check(Timer::G, 500, 0);
        check(Timer::H, 32_000, 32_000);
        check(Timer::I, 5_000, 0);
        check(Timer::J, 32_000, 0);
        check(Timer::K, 5_000, 0);
    }

    #[test]
    fn timers_of_the_accepted_states_run_on_every_transport_rfc6026_8() {
        check(Timer::L, 32_000, 32_000);
        check(Timer::M, 32_000, 32_000);
        check(Timer::Success, 500, 500);
    }

    #[test]
    fn capped_intervals_double_up_to_t2() {
        let table = TimerTable::default();
        let intervals: Vec<_> = (0..7)
            .map(|times| table.duration(table.capped(times)).as_millis())
            .collect();
        assert_eq!(intervals, [500, 1000, 2000, 4000, 4000, 4000, 4000]);
    }
}
