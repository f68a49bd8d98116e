//! Sender and receiver reports, RFC 3550 §6.4: what a peer says it hears.

use std::time::Duration;

use ringfence_base::Instant;

use super::{ssrc_at, u32_at};
use crate::header::Ssrc;

/// Bytes of an SR's body before its report blocks: SSRC and sender information.
pub(super) const SENDER_INFO_LEN: usize = 24;
const BLOCK_LEN: usize = 24;

/// What a sender says of its stream, RFC 3550 §6.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender.
    pub ssrc: Ssrc,
    /// NTP time of this report: seconds since 1900 in the upper half.
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of payload sent so far.
    pub octets: u32,
}

impl SenderInfo {
    pub(super) fn parse(body: &[u8]) -> Option<SenderInfo> {
        Some(SenderInfo {
            ssrc: ssrc_at(body, 0)?,
            ntp: u64::from(u32_at(body, 4)?) << 32 | u64::from(u32_at(body, 8)?),
            rtp_timestamp: u32_at(body, 12)?,
            packets: u32_at(body, 16)?,
            octets: u32_at(body, 20)?,
        })
    }

    /// The middle 32 bits of the NTP time: what a receiver echoes as [`ReportBlock::last_sr`].
    pub fn ntp_middle(&self) -> u32 {
        (self.ntp >> 16) as u32
    }
}

/// What a receiver says of one stream, RFC 3550 §6.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream reported on.
    pub ssrc: Ssrc,
    /// Packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of its cycles in the upper half.
    pub highest_seq: u32,
    /// Interarrival jitter in units of the stream's clock.
    pub jitter: u32,
    /// Middle of the NTP time of the last SR received, 0 if none.
    pub last_sr: u32,
    /// Time since that SR arrived, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn parse(block: &[u8; BLOCK_LEN]) -> Option<ReportBlock> {
        let lost = u32_at(block, 4)?;
        Some(ReportBlock {
            ssrc: ssrc_at(block, 0)?,
            fraction_lost: (lost >> 24) as u8,
            // Sign-extends the lower 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_seq: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            delay_since_last_sr: u32_at(block, 20)?,
        })
    }
}

/// The report blocks of one SR or RR: at most 31.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportBlocks<'a> {
    blocks: &'a [[u8; BLOCK_LEN]],
}

impl<'a> ReportBlocks<'a> {
    pub(super) fn parse(body: &'a [u8], at: usize, count: u8) -> Option<ReportBlocks<'a>> {
        let bytes = body.get(at..)?.get(..usize::from(count) * BLOCK_LEN)?;
        Some(ReportBlocks {
            blocks: bytes.as_chunks::<BLOCK_LEN>().0,
        })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (first, rest) = self.blocks.split_first()?;
        self.blocks = rest;
        ReportBlock::parse(first)
    }
}

/// Round-trip time to a peer from the SR that was passed to it and the report that came back,
/// RFC 3550 §6.4.1. It covers the path from here to the peer and back, not beyond.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    /// The last SR passed to the peer: its NTP middle, and when.
    sent: Option<(u32, Instant)>,
    last: Option<Duration>,
}

impl RoundTrip {
    /// Call for each SR that is passed to the peer.
    pub fn on_sender_info_sent(&mut self, now: Instant, info: &SenderInfo) {
        self.sent = Some((info.ntp_middle(), now));
    }

    /// Call for each report block that comes from the peer.
    pub fn on_report_block(&mut self, now: Instant, block: &ReportBlock) {
        let Some((middle, sent)) = self.sent else {
            return;
        };
        if block.last_sr != middle || middle == 0 {
            return;
        }
        let held =
            Duration::from_nanos((u64::from(block.delay_since_last_sr) * 1_000_000_000) >> 16);
        // A peer that claims to have held it longer than it was away has a broken clock, or lies.
        if let Some(round_trip) = (now - sent).checked_sub(held) {
            self.last = Some(round_trip);
        }
    }

    /// The last round-trip time.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    fn sender_report() -> Vec<u8> {
        let mut bytes = vec![0x81, 200, 0, 12];
        for word in [
            0x1111_1111,
            0xe000_0001,
            0x8000_0000,
            160,
            50,
            8_000,
            0x2222_2222,
            0x40ff_fffe,
            0x0001_0203,
            24,
            0x0001_8000,
            0x0000_8000u32,
        ] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn reads_a_sender_report_rfc3550_6_4_1() {
        let bytes = sender_report();
        let packet = Compound::parse(&bytes).unwrap().packets().next().unwrap();
        let Packet::SenderReport(info, blocks, _) = packet else {
            panic!("{packet:?}")
        };
        assert_eq!(info.ssrc, Ssrc::new(0x1111_1111));
        assert_eq!(info.ntp, 0xe000_0001_8000_0000);
        assert_eq!(
            (info.rtp_timestamp, info.packets, info.octets),
            (160, 50, 8_000)
        );
        let block = ReportBlock {
            ssrc: Ssrc::new(0x2222_2222),
            fraction_lost: 0x40,
            cumulative_lost: -2,
            highest_seq: 0x0001_0203,
            jitter: 24,
            last_sr: 0x0001_8000,
            delay_since_last_sr: 0x8000,
        };
        assert_eq!(blocks.collect::<Vec<_>>(), [block]);
        assert_eq!(info.ntp_middle(), 0x0001_8000);
    }

    #[test]
    fn a_report_too_short_for_its_count_is_unknown() {
        let mut bytes = sender_report();
        bytes[0] = 0x82;
        let packet = Compound::parse(&bytes).unwrap().packets().next().unwrap();
        assert!(matches!(packet, Packet::Unknown(_)));
        assert_eq!(packet.report_blocks().count(), 0);
    }

    #[test]
    fn measures_the_round_trip_rfc3550_6_4_1() {
        let bytes = sender_report();
        let packet = Compound::parse(&bytes).unwrap().packets().next().unwrap();
        let Packet::SenderReport(info, mut blocks, _) = packet else {
            panic!("{packet:?}")
        };
        let block = blocks.next().unwrap();
        let mut round_trip = RoundTrip::default();
        round_trip.on_report_block(Instant::from_nanos(5), &block);
        assert_eq!(round_trip.last(), None);

        round_trip.on_sender_info_sent(Instant::from_nanos(1_000_000_000), &info);
        round_trip.on_report_block(Instant::from_nanos(1_100_000_000), &block);
        assert_eq!(round_trip.last(), None, "held for longer than it was away");
        round_trip.on_report_block(Instant::from_nanos(1_540_000_000), &block);
        assert_eq!(round_trip.last(), Some(Duration::from_millis(40)));
    }
}
