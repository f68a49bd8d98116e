//! Why packets are dropped, and how many were.
//!
//! Every packet given to the plane is either forwarded or counted under exactly one reason.

use crate::stream::Component;

/// Why a packet was not forwarded. Those from [`DropReason::NoStream`] on belong to no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// SRTP or SRTCP authentication failed: forged, damaged, or under an old key.
    AuthenticationFailed,
    /// The negotiated direction forbids it (RFC 3264 §6.1): the sender must not send, or the
    /// receiver must not be sent to.
    Direction,
    /// From a source that does not hold the latch and has no claim to it: injection, bleed probe,
    /// or media of a call before.
    ForeignSource,
    /// Not RTP or RTCP by RFC 3550, or not of the kind that belongs on its port.
    Malformed,
    /// The far side has no address to send to: not described yet, on hold by address, or behind a
    /// NAT and not heard from.
    NoDestination,
    /// A payload type that was not negotiated.
    PayloadType,
    /// From an unknown source that has not yet shown enough packets in sequence.
    Probation,
    /// Faster than the packet time allows.
    Rate,
    /// An SRTP packet that was received before, or is older than the replay window.
    Replayed,
    /// RTCP that names a synchronisation source which the side does not use, or carries nothing
    /// that may pass.
    RtcpContent,
    /// Larger than [`PACKET_MAX`](crate::PACKET_MAX), or the buffer has no room for the SRTP tail.
    Size,
    /// The far side's SRTP context refused it: its packet index was already used.
    Unprotectable,

    /// To a socket without a stream, or whose side is not described yet: a bleed probe, or late
    /// media of a call before.
    NoStream,
}

impl DropReason {
    /// All reasons, in order.
    pub const ALL: [DropReason; 13] = [
        DropReason::AuthenticationFailed,
        DropReason::Direction,
        DropReason::ForeignSource,
        DropReason::Malformed,
        DropReason::NoDestination,
        DropReason::PayloadType,
        DropReason::Probation,
        DropReason::Rate,
        DropReason::Replayed,
        DropReason::RtcpContent,
        DropReason::Size,
        DropReason::Unprotectable,
        DropReason::NoStream,
    ];

    /// How many reasons there are.
    pub const COUNT: usize = DropReason::ALL.len();

    /// A name for metrics and records: `foreign_source`.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::AuthenticationFailed => "authentication_failed",
            DropReason::Direction => "direction",
            DropReason::ForeignSource => "foreign_source",
            DropReason::Malformed => "malformed",
            DropReason::NoDestination => "no_destination",
            DropReason::PayloadType => "payload_type",
            DropReason::Probation => "probation",
            DropReason::Rate => "rate",
            DropReason::Replayed => "replayed",
            DropReason::RtcpContent => "rtcp_content",
            DropReason::Size => "size",
            DropReason::Unprotectable => "unprotectable",
            DropReason::NoStream => "no_stream",
        }
    }
}

/// Dropped packets by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u32; DropReason::COUNT]);

impl Drops {
    /// Packets dropped for `reason`. Stops at `u32::MAX`.
    pub fn of(&self, reason: DropReason) -> u32 {
        self.0[reason as usize]
    }

    /// Reasons with at least one packet, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u32)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|r| (r, self.of(r)))
            .filter(|(_, count)| *count > 0)
    }

    /// Packets dropped for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        self.count_many(reason, 1);
    }

    pub(crate) fn count_many(&mut self, reason: DropReason, packets: u32) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(packets);
    }
}

/// What a plane has done since it was made. For metrics: none ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP packets forwarded.
    pub rtp_forwarded: u64,
    /// RTCP packets forwarded.
    pub rtcp_forwarded: u64,
    /// Bytes forwarded, UDP payload as sent.
    pub bytes_forwarded: u64,
    /// RTP packets of these that a fast path forwarded.
    pub rtp_fast: u64,
    /// Streams opened.
    pub streams_opened: u64,
    /// Streams refused for want of ports.
    pub streams_refused: u64,
    drops: [u64; DropReason::COUNT],
}

impl Counters {
    /// Packets dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Packets dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    #[inline]
    pub(crate) fn count_forward(&mut self, component: Component, len: usize) {
        match component {
            Component::Rtp => self.rtp_forwarded += 1,
            Component::Rtcp => self.rtcp_forwarded += 1,
        }
        self.bytes_forwarded += len as u64;
    }

    /// Counts what a fast path did.
    pub(crate) fn count_fast(&mut self, packets: u64, bytes: u64, over_rate: u32) {
        self.rtp_forwarded += packets;
        self.rtp_fast += packets;
        self.bytes_forwarded += bytes;
        self.drops[DropReason::Rate as usize] += u64::from(over_rate);
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_index_their_counts() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn drops_are_listed_by_reason() {
        let mut drops = Drops::default();
        drops.count(DropReason::Rate);
        drops.count(DropReason::Rate);
        drops.count(DropReason::Size);
        let listed: Vec<_> = drops.iter().collect();
        assert_eq!(listed, [(DropReason::Rate, 2), (DropReason::Size, 1)]);
        assert_eq!(drops.total(), 3);
    }
}
