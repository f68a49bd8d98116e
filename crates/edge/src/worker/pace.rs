//! Gathering work under load.
//!
//! A thread that is woken for every packet spends more on waking than on the packet. From a
//! certain rate on, a worker therefore rests for a moment before it looks for readiness, and then
//! finds many packets at once. The rest is far below what a jitter buffer or a SIP timer notices,
//! and there is none at all while little happens.

use std::time::Duration;

use ringfence_base::Instant;

/// How long a worker rests between turns under load.
pub(crate) const REST: Duration = Duration::from_micros(500);
/// Packets a second from which it rests: some two gather in one rest.
const BUSY_RATE: u64 = 4_000;
/// How long the rate is measured.
const WINDOW: Duration = Duration::from_millis(10);
/// A turn with more than this has a backlog: no rest before the next one.
const BACKLOG: u64 = 128;

/// Measures the rate of packets of one worker.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    at_beginning: u64,
    last: u64,
    busy: bool,
    backlog: bool,
}

impl Pace {
    pub(crate) const fn new() -> Pace {
        Pace {
            began: Instant::ZERO,
            at_beginning: 0,
            last: 0,
            busy: false,
            backlog: false,
        }
    }

    /// Notes the end of a turn: how many packets the worker has received since its start.
    pub(crate) fn note(&mut self, now: Instant, packets: u64) {
        self.backlog = packets - self.last > BACKLOG;
        self.last = packets;
        let passed = now - self.began;
        if passed >= WINDOW {
            let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
            let received = packets - self.at_beginning;
            self.busy = received.saturating_mul(1_000_000_000) / nanos >= BUSY_RATE;
            (self.began, self.at_beginning) = (now, packets);
        }
    }

    /// How long to rest before the next turn, when the next timer is due in `timeout`.
    pub(crate) fn rest(&self, timeout: Option<Duration>) -> Option<Duration> {
        let due = timeout.is_some_and(|timeout| timeout < REST);
        (self.busy && !self.backlog && !due).then_some(REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rate: u64, turns: u64) -> Pace {
        let mut pace = Pace::new();
        for turn in 1..=turns {
            pace.note(
                Instant::ZERO + Duration::from_millis(turn),
                turn * rate / 1_000,
            );
        }
        pace
    }

    #[test]
    fn rests_under_load_and_only_then() {
        assert_eq!(after(1_000, 50).rest(None), None);
        assert_eq!(after(20_000, 50).rest(None), Some(REST));
        assert_eq!(
            after(20_000, 50).rest(Some(Duration::from_micros(100))),
            None,
            "a timer is due"
        );
        assert_eq!(after(1_000_000, 50).rest(None), None, "a backlog");
    }

    #[test]
    fn stops_resting_when_the_load_is_over() {
        let mut pace = after(20_000, 50);
        for turn in 51..100 {
            pace.note(Instant::ZERO + Duration::from_millis(turn), 1_000);
        }
        assert_eq!(pace.rest(None), None);
    }
}
