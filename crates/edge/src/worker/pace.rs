//! Gathering work under load.
//!
//! A thread that is woken for every packet spends more on waking than on the packet. From a
//! certain rate on, a worker therefore rests for a moment before it looks for readiness, and then
//! finds many packets at once. The rest is far below what a jitter buffer or a SIP timer notices,
//! and there is none at all while little happens. A timer that falls due in it runs right after.

use std::time::Duration;

use ringfence_base::Instant;

/// How long a worker rests between turns while it relays media.
const MEDIA_REST: Duration = Duration::from_micros(500);
/// Packets a second, SIP messages with them, from which it rests: some two gather in one rest.
const MEDIA_RATE: u64 = 4_000;
/// How long a worker rests between turns when it has only signalling.
const MESSAGES_REST: Duration = Duration::from_millis(2);
/// SIP messages a second from which it rests: below, most rests would find nothing. Not higher,
/// since messages come in pairs and bursts, and a worker that gets its share from another one is
/// woken by a system call of that one whenever it does not rest.
const MESSAGES_RATE: u64 = 500;
/// How long it rests when there are many messages: still far below the timers of SIP, and each
/// turn saved is worth as much as a message.
const MANY_MESSAGES_REST: Duration = Duration::from_millis(4);
/// SIP messages a second that are many.
const MANY_MESSAGES_RATE: u64 = 3_000;
/// How long the rates are measured.
const WINDOW: Duration = Duration::from_millis(20);
/// A turn with more than this has a backlog: no rest before the next one.
const BACKLOG: u64 = 128;

/// Measures the rates of one worker.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    at_beginning: Counts,
    last: Counts,
    rest: Option<Duration>,
    backlog: bool,
}

/// What a worker has received since its start.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages: u64,
    media: u64,
}

impl Pace {
    pub(crate) const fn new() -> Pace {
        const NONE: Counts = Counts {
            messages: 0,
            media: 0,
        };
        Pace {
            began: Instant::ZERO,
            at_beginning: NONE,
            last: NONE,
            rest: None,
            backlog: false,
        }
    }

    /// Notes the end of a turn: how many SIP messages and media packets the worker has received
    /// since its start.
    pub(crate) fn note(&mut self, now: Instant, messages: u64, media: u64) {
        let counts = Counts { messages, media };
        self.backlog = (messages - self.last.messages) + (media - self.last.media) > BACKLOG;
        self.last = counts;
        let passed = now - self.began;
        if passed < WINDOW {
            return;
        }
        let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        let rate = |received: u64| received.saturating_mul(1_000_000_000) / nanos;
        let begin = self.at_beginning;
        let (messages_rate, media_rate) =
            (rate(messages - begin.messages), rate(media - begin.media));
        self.rest = if media_rate == 0 {
            match messages_rate {
                MANY_MESSAGES_RATE.. => Some(MANY_MESSAGES_REST),
                MESSAGES_RATE.. => Some(MESSAGES_REST),
                _ => None,
            }
        } else {
            (messages_rate + media_rate >= MEDIA_RATE).then_some(MEDIA_REST)
        };
        (self.began, self.at_beginning) = (now, counts);
    }

    /// How long to rest before the next turn.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.rest.filter(|_| !self.backlog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace after so many turns of a millisecond, with these rates a second.
    fn after(messages: u64, media: u64, turns: u64) -> Pace {
        let mut pace = Pace::new();
        for turn in 1..=turns {
            pace.note(at(turn), turn * messages / 1_000, turn * media / 1_000);
        }
        pace
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn rests_under_load_and_only_then() {
        assert_eq!(after(400, 0, 50).rest(), None);
        assert_eq!(after(2_000, 0, 50).rest(), Some(MESSAGES_REST));
        assert_eq!(after(5_000, 0, 50).rest(), Some(MANY_MESSAGES_REST));
        assert_eq!(after(0, 3_000, 50).rest(), None);
        assert_eq!(after(0, 20_000, 50).rest(), Some(MEDIA_REST));
        assert_eq!(after(0, 1_000_000, 50).rest(), None, "a backlog");
    }

    #[test]
    fn a_load_that_swings_around_a_thousand_messages_a_second_keeps_it_resting() {
        let mut pace = after(1_000, 0, 40);
        let mut messages = 40;
        for turn in 41..=200 {
            // Windows of 28 messages and of 12.
            let quiet = (turn - 1) / 20 % 2 == 1;
            messages += match (quiet, turn % 5) {
                (true, 0..2) => 0,
                (false, 0..2) => 2,
                _ => 1,
            };
            pace.note(at(turn), messages, 0);
            assert!(pace.rest().is_some(), "turn {turn}");
        }
    }

    #[test]
    fn media_never_waits_as_long_as_signalling_alone() {
        assert_eq!(after(3_000, 100, 50).rest(), None);
        assert_eq!(after(3_000, 20_000, 50).rest(), Some(MEDIA_REST));
    }

    #[test]
    fn stops_resting_when_the_load_is_over() {
        let mut pace = after(20_000, 0, 50);
        for turn in 51..100 {
            pace.note(at(turn), 1_000, 0);
        }
        assert_eq!(pace.rest(), None);
    }
}
