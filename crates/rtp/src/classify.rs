//! Which protocol a datagram on a media port speaks: RFC 7983 by its first byte, RFC 5761 §4 for
//! RTP against RTCP.
//!
//! Only the class is decided here; whether the packet is well-formed is its parser's business.

/// What a datagram on a media port claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// A DTLS record (first byte 20..=63).
    Dtls,
    /// RTCP: version 2 and a payload type that RFC 5761 keeps for it (192..=223).
    Rtcp,
    /// RTP: version 2 and any other payload type.
    Rtp,
    /// STUN (first byte 0..=3).
    Stun,
    /// ZRTP, TURN channels, QUIC, an empty datagram: nothing that is served here.
    Unknown,
}

/// Classifies a datagram by its first two bytes.
pub fn classify(datagram: &[u8]) -> PacketKind {
    match *datagram {
        [0..=3, ..] => PacketKind::Stun,
        [20..=63, ..] => PacketKind::Dtls,
        [128..=191, 192..=223, ..] => PacketKind::Rtcp,
        [128..=191, _, ..] => PacketKind::Rtp,
        _ => PacketKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(datagram: &[u8], expected: PacketKind) {
        assert_eq!(classify(datagram), expected);
    }

    #[test]
    fn classifies_by_the_first_byte_rfc7983_7() {
        check(&[0x00, 0x01], PacketKind::Stun);
        check(&[3], PacketKind::Stun);
        check(&[4], PacketKind::Unknown);
        check(&[16], PacketKind::Unknown); // ZRTP
        check(&[20], PacketKind::Dtls);
        check(&[63, 1], PacketKind::Dtls);
        check(&[64, 1], PacketKind::Unknown); // TURN channel
        check(&[0x80, 0], PacketKind::Rtp);
        check(&[0xbf, 0x80 | 8], PacketKind::Rtp);
        check(&[0xc0, 0], PacketKind::Unknown); // version 3
    }

    #[test]
    fn tells_rtcp_by_its_payload_type_rfc5761_4() {
        check(&[0x80, 191], PacketKind::Rtp);
        check(&[0x81, 192], PacketKind::Rtcp);
        check(&[0x81, 200], PacketKind::Rtcp);
        check(&[0x81, 223], PacketKind::Rtcp);
        check(&[0x81, 224], PacketKind::Rtp);
    }

    #[test]
    fn too_short_for_either_is_unknown() {
        check(&[], PacketKind::Unknown);
        check(&[0x80], PacketKind::Unknown);
    }
}
