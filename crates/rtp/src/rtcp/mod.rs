//! RTCP compound packets, RFC 3550 §6 and RFC 4585 §6.1, read in place.
//!
//! [`Compound`] checks a datagram as RFC 3550 A.2 says, [`Packet`] is one packet of it, and [`sanitise`]
//! rewrites a compound packet so that nothing of one side shows on the other. Left out: the timing rules
//! of §6.3 (the relay passes the peers' reports on, it sends none of its own), and the contents of APP and XR.

mod report;
mod sanitise;

use thiserror::Error;

pub use report::{ReportBlock, ReportBlocks, RoundTrip, SenderInfo};
pub use sanitise::{MAX_CNAME_LEN, MAX_COMPOUND_LEN, sanitise};

use crate::header::Ssrc;

/// Bytes before the body of each packet: version, padding, count, type, length.
const COMMON_HEADER_LEN: usize = 4;

/// Why a datagram is not an RTCP compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// The first packet is neither SR nor RR.
    #[error("the first packet is no report")]
    FirstPacket,
    /// The packets' lengths do not add up to the datagram's.
    #[error("the lengths do not add up")]
    Length,
    /// Padding on another packet than the last, or more of it than the packet has.
    #[error("the padding is not valid")]
    Padding,
    /// A packet of another version.
    #[error("not RTCP version 2")]
    Version,
}

/// A datagram whose packets fit it exactly.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks a datagram by the rules of RFC 3550 A.2.
    pub fn parse(bytes: &'a [u8]) -> Result<Compound<'a>, RtcpError> {
        let compound = Compound::parse_reduced_size(bytes)?;
        match *bytes {
            // The first packet has no padding, unless it is also the last (then only the last rule holds).
            [
                first,
                packet_type::SENDER_REPORT | packet_type::RECEIVER_REPORT,
                ..,
            ] if first & 0x20 == 0 => Ok(compound),
            [
                _,
                packet_type::SENDER_REPORT | packet_type::RECEIVER_REPORT,
                ..,
            ] => Err(RtcpError::Padding),
            _ => Err(RtcpError::FirstPacket),
        }
    }

    /// The same without the rule that a report comes first, as RFC 5506 §3.4.1 allows.
    pub fn parse_reduced_size(bytes: &'a [u8]) -> Result<Compound<'a>, RtcpError> {
        if bytes.is_empty() {
            return Err(RtcpError::Length);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (packet, after) = split_packet(rest)?;
            if packet.padded && !after.is_empty() {
                return Err(RtcpError::Padding);
            }
            rest = after;
        }
        Ok(Compound { bytes })
    }

    /// The packets in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (raw, after) = split_packet(rest).ok()?;
            rest = after;
            Some(Packet::from_raw(raw))
        })
    }

    /// The SSRC of the first packet: who sent this.
    pub fn sender(&self) -> Option<Ssrc> {
        self.packets()
            .next()
            .and_then(|packet| ssrc_at(packet.body(), 0))
    }

    fn raw_packets(&self) -> impl Iterator<Item = RawPacket<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (raw, after) = split_packet(rest).ok()?;
            rest = after;
            Some(raw)
        })
    }
}

/// One packet of a compound packet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// BYE, RFC 3550 §6.6; the body starts with the leaving sources.
    Bye(&'a [u8]),
    /// Feedback of RFC 4585 §6 about the transport (RTPFB) or the payload (PSFB).
    Feedback(&'a [u8]),
    /// RR, RFC 3550 §6.4.2.
    ReceiverReport(ReportBlocks<'a>, &'a [u8]),
    /// SR, RFC 3550 §6.4.1.
    SenderReport(SenderInfo, ReportBlocks<'a>, &'a [u8]),
    /// SDES, RFC 3550 §6.5.
    SourceDescription(&'a [u8]),
    /// APP, XR, a type that is not known, or a report too short for its count.
    Unknown(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// The report blocks of an SR or RR; none for other packets.
    pub fn report_blocks(&self) -> ReportBlocks<'a> {
        match *self {
            Packet::ReceiverReport(blocks, _) | Packet::SenderReport(_, blocks, _) => blocks,
            _ => ReportBlocks::default(),
        }
    }

    /// The bytes after the common header, without padding.
    pub fn body(&self) -> &'a [u8] {
        match *self {
            Packet::Bye(body)
            | Packet::Feedback(body)
            | Packet::ReceiverReport(_, body)
            | Packet::SenderReport(_, _, body)
            | Packet::SourceDescription(body)
            | Packet::Unknown(body) => body,
        }
    }

    fn from_raw(raw: RawPacket<'a>) -> Packet<'a> {
        match raw.packet_type {
            packet_type::BYE => Packet::Bye(raw.body),
            packet_type::PAYLOAD_FEEDBACK | packet_type::TRANSPORT_FEEDBACK => {
                Packet::Feedback(raw.body)
            }
            packet_type::RECEIVER_REPORT => ReportBlocks::parse(raw.body, 4, raw.count)
                .map_or(Packet::Unknown(raw.body), |blocks| {
                    Packet::ReceiverReport(blocks, raw.body)
                }),
            packet_type::SENDER_REPORT => SenderInfo::parse(raw.body)
                .zip(ReportBlocks::parse(
                    raw.body,
                    report::SENDER_INFO_LEN,
                    raw.count,
                ))
                .map_or(Packet::Unknown(raw.body), |(info, blocks)| {
                    Packet::SenderReport(info, blocks, raw.body)
                }),
            packet_type::SOURCE_DESCRIPTION => Packet::SourceDescription(raw.body),
            _ => Packet::Unknown(raw.body),
        }
    }
}

/// A packet by its common header.
#[derive(Clone, Copy, Debug)]
struct RawPacket<'a> {
    packet_type: u8,
    /// Report count, source count or feedback format.
    count: u8,
    padded: bool,
    /// Everything after the common header, without padding.
    body: &'a [u8],
}

fn split_packet(bytes: &[u8]) -> Result<(RawPacket<'_>, &[u8]), RtcpError> {
    let Some(&[first, packet_type, words_hi, words_lo]) = bytes.first_chunk::<COMMON_HEADER_LEN>()
    else {
        return Err(RtcpError::Length);
    };
    if first >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    let len = COMMON_HEADER_LEN + usize::from(u16::from_be_bytes([words_hi, words_lo])) * 4;
    let (packet, after) = bytes.split_at_checked(len).ok_or(RtcpError::Length)?;
    let mut body = packet.get(COMMON_HEADER_LEN..).ok_or(RtcpError::Length)?;
    let padded = first & 0x20 != 0;
    if padded {
        let count = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        // RFC 3550 §6.4.1: a multiple of four.
        let kept = body
            .len()
            .checked_sub(count)
            .filter(|_| count > 0 && count % 4 == 0);
        body = kept
            .and_then(|len| body.get(..len))
            .ok_or(RtcpError::Padding)?;
    }
    Ok((
        RawPacket {
            packet_type,
            count: first & 0x1f,
            padded,
            body,
        },
        after,
    ))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map(|word| u32::from_be_bytes(*word))
}

fn ssrc_at(bytes: &[u8], at: usize) -> Option<Ssrc> {
    u32_at(bytes, at).map(Ssrc::new)
}

/// RTCP packet types, RFC 3550 §12.1 and RFC 4585 §9.
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];
    const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 7];

    #[track_caller]
    fn check(parts: &[&[u8]], expected: Result<usize, RtcpError>) {
        let bytes = parts.concat();
        let actual = Compound::parse(&bytes).map(|compound| compound.packets().count());
        assert_eq!(actual, expected);
    }

    #[test]
    fn checks_the_compound_packet_rfc3550_a_2() {
        check(&[&RR], Ok(1));
        check(&[&RR, &BYE], Ok(2));
        check(&[], Err(RtcpError::Length));
        check(&[&RR, &[0x80]], Err(RtcpError::Length));
        check(&[&RR[..4]], Err(RtcpError::Length));
        check(&[&RR, &[0x40, 203, 0, 0]], Err(RtcpError::Version));
        check(&[&BYE, &RR], Err(RtcpError::FirstPacket));
    }

    #[test]
    fn padding_is_on_the_last_packet_only_rfc3550_6_4_1() {
        let padded_bye = [0xa1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4];
        check(&[&RR, &padded_bye], Ok(2));
        check(&[&RR, &padded_bye, &BYE], Err(RtcpError::Padding));
        check(
            &[&RR, &[0xa1, 203, 0, 1, 0, 0, 0, 12]],
            Err(RtcpError::Padding),
        );
        check(
            &[&RR, &[0xa1, 203, 0, 1, 0, 0, 0, 3]],
            Err(RtcpError::Padding),
        );
        check(&[&RR, &[0xa0, 203, 0, 0]], Err(RtcpError::Padding));
        check(
            &[&[0xa0, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4]],
            Err(RtcpError::Padding),
        );
    }

    #[test]
    fn feedback_may_come_alone_rfc5506_3_4_1() {
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9];
        assert_eq!(Compound::parse(&pli).unwrap_err(), RtcpError::FirstPacket);
        let compound = Compound::parse_reduced_size(&pli).unwrap();
        assert_eq!(compound.sender(), Some(Ssrc::new(7)));
        assert!(matches!(
            compound.packets().next(),
            Some(Packet::Feedback(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(compound) = Compound::parse_reduced_size(&bytes) {
                prop_assert!(compound.packets().count() > 0);
                let blocks: usize = compound.packets().map(|p| p.report_blocks().count()).sum();
                prop_assert!(blocks * 24 <= bytes.len());
            }
        }
    }
}
