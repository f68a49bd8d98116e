//! Streams that are forwarded below us.
//!
//! Once both sides of a plain stream are latched, what is left to do for a packet is always the
//! same, and a kernel can do it at a tenth of the cost. A [`FastPath`] is that kernel. It is given a
//! [`FastRule`] for each direction and forwards only what this plane would forward as a matter of
//! course; all else still arrives here and is judged here, by the same rules as ever. It counts
//! as RFC 3550 says, and what it has counted is taken over before anybody looks at the stream, so
//! that records, scores and the search for silent calls see no difference.
//!
//! The rules are withdrawn before a side is described anew or the stream is closed, and as soon as
//! a source, an address or a synchronisation source is no longer the one that the rules name.
//!
//! Left in user space: SRTP, RTCP, IPv6, streams that are held, payload types of several clock
//! rates, and everything that is not yet or no longer as expected.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::quality::{Continuation, Progress};

/// Packets of a stream in user space before it is offered to the fast path, and between offers.
const PACKETS_BEFORE: u8 = 16;
/// How old the taken-over counts may be when a packet of the stream arrives in user space: it
/// bounds what a stranger's packets cost.
const SYNC_EVERY: Duration = Duration::from_millis(10);

/// Forwards established plain RTP without us.
pub trait FastPath: Send {
    /// Forwards by `rule` from now on; `false` if this rule is not one it can carry out.
    fn install(&mut self, rule: &FastRule) -> bool;
    /// What it has counted under the rule of `key` since it was installed.
    fn read(&self, key: FastKey) -> Option<FastCount>;
    /// Ends the rule of `key`, and what it had counted in the end.
    fn remove(&mut self, key: FastKey) -> Option<FastCount>;
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FastKey {
    /// Our address, where they arrive.
    pub local: SocketAddr,
    /// The source that holds the latch.
    pub remote: SocketAddr,
}

/// One direction of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct FastRule {
    /// Which packets.
    pub key: FastKey,
    /// Our address on the far side, which they leave from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
    /// The synchronisation source; packets of another are not forwarded.
    pub ssrc: u32,
    /// Payload types that pass: bit n for number n.
    pub payload_types: u128,
    /// Their clock, in Hz.
    pub clock_rate: u32,
    /// The packet rate, as time between packets.
    pub interval: Duration,
    /// How far ahead of that rate a burst may be.
    pub tolerance: Duration,
    /// Where our own count stands.
    pub progress: Progress,
}

/// What was counted under a rule since it was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastCount {
    /// Packets forwarded and their quality. Counts are since the rule was installed.
    pub passed: Continuation,
    /// Packets dropped because they were too many.
    pub over_rate: u32,
}

impl FastCount {
    /// When the last packet came, if there was one.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        (self.passed.packets > 0).then_some(self.passed.last_arrival)
    }

    /// What has come since `before`.
    fn since(&self, before: &FastCount) -> FastCount {
        let (now, then) = (&self.passed, &before.passed);
        FastCount {
            passed: Continuation {
                packets: now.packets.saturating_sub(then.packets),
                bytes: now.bytes.saturating_sub(then.bytes),
                received: now.received.saturating_sub(then.received),
                duplicates: now.duplicates.saturating_sub(then.duplicates),
                reordered: now.reordered.saturating_sub(then.reordered),
                measured: now.measured.filter(|_| now.measured != then.measured),
                ..*now
            },
            over_rate: self.over_rate.saturating_sub(before.over_rate),
        }
    }

    /// Adds what has come since.
    fn add(&mut self, since: &FastCount) {
        let (sum, more) = (&mut self.passed, &since.passed);
        *sum = Continuation {
            packets: sum.packets + more.packets,
            bytes: sum.bytes + more.bytes,
            received: sum.received.saturating_add(more.received),
            duplicates: sum.duplicates.saturating_add(more.duplicates),
            reordered: sum.reordered.saturating_add(more.reordered),
            measured: more.measured.or(sum.measured),
            ..*more
        };
        self.over_rate = self.over_rate.saturating_add(since.over_rate);
    }
}

/// How a stream stands to the fast path.
#[derive(Default)]
pub(crate) struct Lowering {
    /// Packets that passed in user space since the last offer.
    packets: u8,
    /// The fast path cannot carry the stream as it is described now.
    is_refused: bool,
    lowered: Option<Box<Lowered>>,
}

/// The rules of a stream that is forwarded below, and what was taken over so far.
struct Lowered {
    /// By the side that the packets come from.
    rules: [FastRule; 2],
    taken: [FastCount; 2],
    synced_at: Instant,
}

impl Lowering {
    /// Whether another packet in user space makes it time for an offer.
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.packets += 1;
        if self.packets < PACKETS_BEFORE {
            return false;
        }
        self.packets = 0;
        self.lowered.is_none() && !self.is_refused
    }

    /// The rules, if the stream is forwarded below.
    #[inline]
    pub(crate) fn rules(&self) -> Option<&[FastRule; 2]> {
        self.lowered.as_ref().map(|lowered| &lowered.rules)
    }

    /// Installs both rules, or none.
    pub(crate) fn install(&mut self, now: Instant, rules: [FastRule; 2], fast: &mut dyn FastPath) {
        let [a, b] = &rules;
        self.is_refused = !fast.install(a);
        if self.is_refused {
            return;
        }
        self.is_refused = !fast.install(b);
        if self.is_refused {
            fast.remove(a.key);
            return;
        }
        self.lowered = Some(Box::new(Lowered {
            rules,
            taken: [FastCount::default(); 2],
            synced_at: now,
        }));
    }

    /// What was forwarded below and is not taken over, by the side it came from.
    pub(crate) fn pending(&self, fast: Option<&dyn FastPath>) -> [FastCount; 2] {
        let (Some(lowered), Some(fast)) = (&self.lowered, fast) else {
            return [FastCount::default(); 2];
        };
        std::array::from_fn(|side| {
            let taken = &lowered.taken[side];
            let count = fast.read(lowered.rules[side].key);
            count.unwrap_or(*taken).since(taken)
        })
    }

    /// The same, to be taken over; `None` if that was done a moment ago.
    pub(crate) fn sync(&mut self, now: Instant, fast: &dyn FastPath) -> Option<[FastCount; 2]> {
        let pending = {
            let lowered = self.lowered.as_ref()?;
            if now - lowered.synced_at < SYNC_EVERY {
                return None;
            }
            self.pending(Some(fast))
        };
        let lowered = self.lowered.as_mut()?;
        lowered.synced_at = now;
        for (taken, since) in lowered.taken.iter_mut().zip(&pending) {
            taken.add(since);
        }
        Some(pending)
    }

    /// Withdraws the rules; what is still to be taken over.
    pub(crate) fn withdraw(&mut self, fast: &mut dyn FastPath) -> Option<[FastCount; 2]> {
        (self.packets, self.is_refused) = (0, false);
        let lowered = self.lowered.take()?;
        Some(std::array::from_fn(|side| {
            let taken = &lowered.taken[side];
            let count = fast.remove(lowered.rules[side].key);
            count.unwrap_or(*taken).since(taken)
        }))
    }
}
