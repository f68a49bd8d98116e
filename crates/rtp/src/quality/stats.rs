//! One stream's reception statistics, RFC 3550 A.1 (sequence numbers), A.3 (loss) and A.8 (jitter).
//!
//! Three departures from the RFC's sketch, each for what PBXs really send: a source needs no probation
//! (latching is `ringfence-media`'s), packets that repeat a timestamp (DTMF events, video frames) do not count
//! for jitter, and a clock that jumps by more than a second starts the measurement anew instead of poisoning it.

use std::time::Duration;

use ringfence_base::Instant;

use super::emodel::{self, Codec};
use crate::header::Ssrc;

/// A jump ahead that still counts as loss, RFC 3550 A.1: a minute of 20 ms packets.
const MAX_DROPOUT: i32 = 3_000;
/// How far back a late packet may be, RFC 3550 A.1 (MAX_MISORDER).
const OLDEST: i32 = -100;
/// Packets behind the highest in which repetitions are told from late ones.
const WINDOW_LEN: u32 = 64;
/// No sequence number: none is pending after a jump.
const NO_SEQ: u32 = u32::MAX;

/// Reception statistics of the packets of one direction. 88 bytes.
#[derive(Clone, Debug)]
pub struct StreamStats {
    packets: u64,
    bytes: u64,
    last_arrival: Instant,
    /// Bit n: `highest - n` was received.
    window: u64,
    ssrc: u32,
    /// First and highest sequence number of this run, with cycles.
    first: u32,
    highest: u32,
    /// Packets of this run without repetitions.
    received: u32,
    /// Lost in earlier runs: before a new source or a restart of the numbering.
    lost_before: u32,
    duplicates: u32,
    reordered: u32,
    ssrc_changes: u32,
    /// In 1/16 of the clock's unit, as A.8 keeps it.
    jitter: u32,
    transit: u32,
    timestamp: u32,
    clock_rate: u32,
    /// After a jump: the number that would confirm it.
    expected_restart: u32,
}

/// Where a count stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Highest sequence number, with cycles.
    pub highest: u32,
    /// Bit n: `highest - n` was received.
    pub window: u64,
    /// Interarrival jitter in 1/16 of the clock's unit, RFC 3550 A.8.
    pub jitter: u32,
}

/// What another place has counted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// Packets, repetitions included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets without repetitions.
    pub received: u32,
    /// Packets that came more than once.
    pub duplicates: u32,
    /// Packets that came after a later one.
    pub reordered: u32,
    /// When the last one came.
    pub last_arrival: Instant,
    /// Arrival and timestamp of the packet that jitter was last measured with.
    pub measured: Option<(Instant, u32)>,
    /// Where its count stands.
    pub progress: Progress,
}

impl Default for StreamStats {
    fn default() -> StreamStats {
        StreamStats {
            packets: 0,
            bytes: 0,
            last_arrival: Instant::ZERO,
            window: 0,
            ssrc: 0,
            first: 0,
            highest: 0,
            received: 0,
            lost_before: 0,
            duplicates: 0,
            reordered: 0,
            ssrc_changes: 0,
            jitter: 0,
            transit: 0,
            timestamp: 0,
            clock_rate: 0,
            expected_restart: NO_SEQ,
        }
    }
}

impl StreamStats {
    /// Counts a packet of `len` bytes that arrived `now`. `clock_rate` is in Hz; 0 if it is not known
    /// (then there is no jitter).
    #[inline]
    pub fn on_packet(
        &mut self,
        now: Instant,
        seq: u16,
        timestamp: u32,
        clock_rate: u32,
        ssrc: Ssrc,
        len: usize,
    ) {
        let is_first = self.packets == 0;
        self.packets += 1;
        self.bytes += len as u64;
        self.last_arrival = now;
        if is_first || ssrc.raw() != self.ssrc || clock_rate != self.clock_rate {
            let changed = !is_first && ssrc.raw() != self.ssrc;
            self.ssrc_changes = self.ssrc_changes.saturating_add(u32::from(changed));
            if is_first || changed {
                self.start_run(seq);
            } else {
                self.on_seq(seq);
            }
            (self.ssrc, self.clock_rate) = (ssrc.raw(), clock_rate);
            self.start_clock(now, timestamp);
            return;
        }
        if self.on_seq(seq) {
            self.on_timestamp(now, timestamp);
        }
    }

    /// Packets, repetitions included.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes, as given to [`StreamStats::on_packet`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets that should have come and did not, RFC 3550 A.3.
    pub fn lost(&self) -> u64 {
        u64::from(self.lost_before.saturating_add(self.lost_in_run()))
    }

    /// Lost packets as a share of the expected, 0.0..=1.0.
    pub fn loss(&self) -> f32 {
        let received = self.packets - u64::from(self.duplicates);
        let expected = received + self.lost();
        if expected == 0 {
            0.0
        } else {
            self.lost() as f32 / expected as f32
        }
    }

    /// Packets that came more than once.
    pub fn duplicates(&self) -> u64 {
        u64::from(self.duplicates)
    }

    /// Packets that came after a later one.
    pub fn reordered(&self) -> u64 {
        u64::from(self.reordered)
    }

    /// How often the source changed.
    pub fn ssrc_changes(&self) -> u32 {
        self.ssrc_changes
    }

    /// The current source, if there was a packet.
    pub fn ssrc(&self) -> Option<Ssrc> {
        (self.packets > 0).then(|| Ssrc::new(self.ssrc))
    }

    /// The highest sequence number of the current source with its cycles, if there was a packet.
    pub fn highest_seq(&self) -> Option<u32> {
        (self.packets > 0).then_some(self.highest)
    }

    /// When the last packet came, if there was one.
    pub fn last_arrival(&self) -> Option<Instant> {
        (self.packets > 0).then_some(self.last_arrival)
    }

    /// Interarrival jitter, RFC 3550 A.8; zero without a clock rate.
    pub fn jitter(&self) -> Duration {
        let nanos = u64::from(self.jitter >> 4) * 1_000_000_000;
        Duration::from_nanos(nanos.checked_div(u64::from(self.clock_rate)).unwrap_or(0))
    }

    /// The opinion score (ITU-T G.107) that this stream earns, 1.0..=4.5, if there was a packet.
    ///
    /// `one_way_delay` is the network's, half of a round trip. A jitter buffer of twice the jitter is
    /// assumed on top, and the codec's own delay.
    pub fn mos(&self, codec: Codec, one_way_delay: Duration) -> Option<f32> {
        let delay = one_way_delay
            .saturating_add(2 * self.jitter())
            .saturating_add(codec.delay());
        (self.packets > 0).then(|| emodel::mos(codec, delay, self.loss()))
    }

    /// Where the count stands, for another place that goes on counting from here.
    pub fn progress(&self) -> Progress {
        Progress {
            highest: self.highest,
            window: self.window,
            jitter: self.jitter,
        }
    }

    /// Takes over what another place has counted of the same source since [`Self::progress`] or
    /// since it was last taken over. Nothing changes if that is no packet.
    pub fn absorb(&mut self, since: &Continuation) {
        if since.packets == 0 {
            return;
        }
        self.packets += since.packets;
        self.bytes += since.bytes;
        self.received = self.received.saturating_add(since.received);
        self.duplicates = self.duplicates.saturating_add(since.duplicates);
        self.reordered = self.reordered.saturating_add(since.reordered);
        self.last_arrival = self.last_arrival.max(since.last_arrival);
        if since.progress.highest.wrapping_sub(self.highest) as i32 > 0 {
            (self.highest, self.window) = (since.progress.highest, since.progress.window);
            self.expected_restart = NO_SEQ;
        }
        self.jitter = since.progress.jitter;
        if let Some((at, timestamp)) = since.measured {
            self.start_clock(at, timestamp);
        }
    }

    fn lost_in_run(&self) -> u32 {
        let expected = self.highest.wrapping_sub(self.first).saturating_add(1);
        if self.received == 0 {
            0
        } else {
            expected.saturating_sub(self.received)
        }
    }

    /// A new run of sequence numbers.
    #[cold]
    fn start_run(&mut self, seq: u16) {
        self.lost_before = self.lost_before.saturating_add(self.lost_in_run());
        // One cycle up, so that packets from before the first one have a number too.
        let start = 0x1_0000 | u32::from(seq);
        (self.first, self.highest, self.received, self.window) = (start, start, 1, 1);
        self.expected_restart = NO_SEQ;
    }

    /// Places a sequence number. False for a repetition, a late packet and an unconfirmed jump.
    #[inline]
    fn on_seq(&mut self, seq: u16) -> bool {
        let ahead = i32::from(seq.wrapping_sub(self.highest as u16) as i16);
        match ahead {
            1..=MAX_DROPOUT => {
                self.highest = self.highest.wrapping_add(ahead as u32);
                self.window = self.window.checked_shl(ahead as u32).unwrap_or(0) | 1;
                self.received = self.received.saturating_add(1);
                true
            }
            OLDEST..=0 => {
                self.on_late(ahead.unsigned_abs());
                false
            }
            _ => self.on_jump(seq),
        }
    }

    fn on_late(&mut self, age: u32) {
        let bit = 1u64.checked_shl(age).unwrap_or(0);
        if age == 0 || self.window & bit != 0 {
            self.duplicates = self.duplicates.saturating_add(1);
            return;
        }
        debug_assert!(age >= WINDOW_LEN || bit != 0);
        self.window |= bit;
        self.reordered = self.reordered.saturating_add(1);
        self.received = self.received.saturating_add(1);
        self.first = self.first.min(self.highest.saturating_sub(age));
    }

    /// Two packets in a row are a restart; one alone is a stray, RFC 3550 A.1.
    #[cold]
    fn on_jump(&mut self, seq: u16) -> bool {
        if u32::from(seq) == self.expected_restart {
            self.start_run(seq);
            // The packet that announced the jump was received too.
            self.first -= 1;
            self.received = self.received.saturating_add(1);
            return true;
        }
        self.expected_restart = u32::from(seq.wrapping_add(1));
        false
    }

    #[inline]
    fn on_timestamp(&mut self, now: Instant, timestamp: u32) {
        if timestamp == self.timestamp || self.clock_rate == 0 {
            return;
        }
        let transit = self.clock(now).wrapping_sub(timestamp);
        let change = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        (self.transit, self.timestamp) = (transit, timestamp);
        if change <= self.clock_rate {
            // In 64 bits: a peer may claim any clock rate.
            let jitter = u64::from(self.jitter);
            let next = jitter + u64::from(change) - ((jitter + 8) >> 4);
            self.jitter = u32::try_from(next).unwrap_or(u32::MAX);
        }
    }

    fn start_clock(&mut self, now: Instant, timestamp: u32) {
        self.transit = self.clock(now).wrapping_sub(timestamp);
        self.timestamp = timestamp;
    }

    /// `now` in units of the stream's clock; wraps as timestamps do.
    #[inline]
    fn clock(&self, now: Instant) -> u32 {
        const SECOND: u64 = 1_000_000_000;
        let (seconds, nanos) = (now.as_nanos() / SECOND, now.as_nanos() % SECOND);
        let rate = u64::from(self.clock_rate);
        // 2^32 Hz * 10^9 fits 64 bits.
        seconds
            .wrapping_mul(rate)
            .wrapping_add(nanos * rate / SECOND) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SSRC: Ssrc = Ssrc::new(7);

    /// Packets of 20 ms at their due times.
    fn stream(seqs: &[u16]) -> StreamStats {
        let mut stats = StreamStats::default();
        for (i, &seq) in seqs.iter().enumerate() {
            let now = Instant::from_nanos(i as u64 * 20_000_000);
            stats.on_packet(now, seq, i as u32 * 160, 8_000, SSRC, 172);
        }
        stats
    }

    #[track_caller]
    fn check(seqs: &[u16], lost: u64, duplicates: u64, reordered: u64) {
        let stats = stream(seqs);
        assert_eq!(stats.packets(), seqs.len() as u64);
        assert_eq!(
            (stats.lost(), stats.duplicates(), stats.reordered()),
            (lost, duplicates, reordered)
        );
    }

    #[test]
    fn is_small() {
        assert!(
            size_of::<StreamStats>() <= 96,
            "{}",
            size_of::<StreamStats>()
        );
    }

    #[test]
    fn counts_loss_by_sequence_numbers_rfc3550_a_3() {
        check(&[], 0, 0, 0);
        check(&[1, 2, 3], 0, 0, 0);
        check(&[1, 2, 5], 2, 0, 0);
        check(&[65_534, 65_535, 0, 2], 1, 0, 0);
    }

    #[test]
    fn late_packets_are_not_lost() {
        check(&[1, 3, 2, 4], 0, 0, 1);
        check(&[5, 4], 0, 0, 1);
        check(&[0, 65_535, 1], 0, 0, 1);
    }

    #[test]
    fn repetitions_hide_no_loss() {
        check(&[1, 1, 1, 3], 1, 2, 0);
        check(&[1, 3, 2, 2], 0, 1, 1);
    }

    #[test]
    fn a_restart_needs_two_packets_rfc3550_a_1() {
        check(&[1, 2, 4, 30_000, 30_001, 30_003], 2, 0, 0);
        check(&[1, 2, 30_000, 3], 0, 0, 0);
    }

    #[test]
    fn a_new_source_starts_anew_and_keeps_the_count() {
        let mut stats = stream(&[1, 3]);
        stats.on_packet(Instant::ZERO, 40_000, 5, 8_000, Ssrc::new(8), 172);
        stats.on_packet(Instant::ZERO, 40_002, 5, 8_000, Ssrc::new(8), 172);
        assert_eq!(
            (stats.ssrc_changes(), stats.lost(), stats.packets()),
            (1, 2, 4)
        );
        assert_eq!((stats.ssrc(), stats.bytes()), (Some(Ssrc::new(8)), 4 * 172));
        assert_eq!(stats.loss(), 2.0 / 6.0);
    }

    #[test]
    fn measures_jitter_rfc3550_a_8() {
        let mut stats = StreamStats::default();
        for i in 0..500u64 {
            // Each second packet 5 ms late: transit times differ by 40 units each time.
            let now = Instant::from_nanos(i * 20_000_000 + (i % 2) * 5_000_000);
            stats.on_packet(now, i as u16, i as u32 * 160, 8_000, SSRC, 172);
        }
        assert!(stats.jitter().abs_diff(Duration::from_millis(5)) < Duration::from_micros(130));
        assert_eq!(stream(&[1, 2, 3, 4]).jitter(), Duration::ZERO);
    }

    #[test]
    fn a_held_timestamp_is_no_jitter_rfc4733_2_3() {
        let mut stats = stream(&[0, 1, 2]);
        for i in 3..20u16 {
            let now = Instant::from_nanos(u64::from(i) * 20_000_000);
            stats.on_packet(now, i, 3 * 160, 8_000, SSRC, 16);
        }
        stats.on_packet(
            Instant::from_nanos(400_000_000),
            20,
            20 * 160,
            8_000,
            SSRC,
            172,
        );
        assert_eq!(stats.jitter(), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_jumps_does_not_poison_the_jitter() {
        let mut stats = stream(&[0, 1, 2]);
        stats.on_packet(
            Instant::from_nanos(60_000_000),
            3,
            0x8000_0000,
            8_000,
            SSRC,
            172,
        );
        stats.on_packet(
            Instant::from_nanos(80_000_000),
            4,
            0x8000_0000 + 160,
            8_000,
            SSRC,
            172,
        );
        assert_eq!(stats.jitter(), Duration::ZERO);
    }

    #[test]
    fn a_clock_rate_that_a_peer_made_up_overflows_nothing() {
        let mut stats = StreamStats::default();
        for i in 0..200u16 {
            let now = Instant::from_nanos(u64::from(i % 2) * 499_000_000);
            stats.on_packet(now, i, u32::from(i), u32::MAX, SSRC, 172);
        }
        assert!(stats.jitter() < Duration::from_secs(1));
    }

    #[test]
    fn the_score_falls_with_loss() {
        let score = |stats: StreamStats| stats.mos(Codec::G711, Duration::ZERO);
        assert_eq!(score(StreamStats::default()), None);
        let (clean, lossy) = (score(stream(&[1, 2, 3])), score(stream(&[1, 2, 4])));
        assert!(
            clean > Some(4.3) && lossy < Some(3.0),
            "{clean:?} {lossy:?}"
        );
    }

    proptest! {
        #[test]
        fn nothing_overflows(
            packets in prop::collection::vec(
                (any::<u64>(), any::<u16>(), any::<u32>(), any::<u32>(), 0u32..3), 0..200),
        ) {
            let mut stats = StreamStats::default();
            for (now, seq, timestamp, clock, ssrc) in packets {
                let now = Instant::from_nanos(now);
                stats.on_packet(now, seq, timestamp, clock, Ssrc::new(ssrc), 172);
                let mos = stats.mos(Codec::Opus, Duration::from_secs(9)).unwrap();
                prop_assert!((1.0..=4.5).contains(&mos));
            }
        }

        #[test]
        fn counts_what_a_network_does(
            kept in prop::collection::vec(any::<bool>(), 2..300),
            start: u16,
        ) {
            let mut stats = StreamStats::default();
            let mut seqs: Vec<usize> = (0..kept.len()).filter(|&i| kept[i]).collect();
            seqs.insert(0, 0);
            seqs.dedup();
            for &i in &seqs {
                stats.on_packet(Instant::ZERO, start.wrapping_add(i as u16), 0, 8_000, SSRC, 1);
            }
            let span = seqs.last().unwrap() + 1;
            prop_assert_eq!(stats.lost(), (span - seqs.len()) as u64);
        }
    }
}
