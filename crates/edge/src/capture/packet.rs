//! Packets as they might have looked on the wire, around what the edge sent or received: IPv4 or
//! IPv6, with UDP, or with TCP segments whose numbers add up. What TLS carried stands in plain
//! TCP segments between the true addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ringfence_base::{HashKey, KeyedMap};

/// Most payload of one packet: fits the length fields of IPv4 and IPv6.
const PAYLOAD_MAX: usize = 65_000;
/// Stream directions whose place is remembered. Beyond it all begin anew, which a reader sees as
/// gaps and nothing worse.
const STREAMS_MAX: usize = 4_096;
const UDP: u8 = 17;
const TCP: u8 = 6;
const HOPS: u8 = 64;

/// Makes packets.
pub(super) struct Packets {
    /// The next sequence number, by direction.
    places: KeyedMap<(SocketAddr, SocketAddr), u32>,
}

impl Packets {
    pub(super) fn new(key: HashKey) -> Packets {
        Packets { places: key.map() }
    }

    /// A datagram.
    pub(super) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let payload = payload.get(..PAYLOAD_MAX).unwrap_or(payload);
        let mut segment = Vec::with_capacity(8 + payload.len());
        segment.extend_from_slice(&from.port().to_be_bytes());
        segment.extend_from_slice(&to.port().to_be_bytes());
        segment.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        segment.extend_from_slice(&[0, 0]);
        segment.extend_from_slice(payload);
        around((from.ip(), to.ip()), UDP, 6, segment)
    }

    /// The segments of a message on a stream.
    pub(super) fn segments(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> Vec<Vec<u8>> {
        if self.places.len() >= STREAMS_MAX {
            self.places.clear();
        }
        let acknowledged = self.places.get(&(to, from)).copied().unwrap_or(1);
        let place = self.places.entry((from, to)).or_insert(1);
        let segments = payload.chunks(PAYLOAD_MAX).map(|chunk| {
            let mut segment = Vec::with_capacity(20 + chunk.len());
            segment.extend_from_slice(&from.port().to_be_bytes());
            segment.extend_from_slice(&to.port().to_be_bytes());
            segment.extend_from_slice(&place.to_be_bytes());
            segment.extend_from_slice(&acknowledged.to_be_bytes());
            // Five words of header; PSH and ACK; a full window; checksum and urgent pointer.
            segment.extend_from_slice(&[0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
            segment.extend_from_slice(chunk);
            *place = place.wrapping_add(chunk.len() as u32);
            around((from.ip(), to.ip()), TCP, 16, segment)
        });
        segments.collect()
    }
}

/// `segment` behind its IP header, its checksum written at `checksum_at`.
fn around(ends: (IpAddr, IpAddr), protocol: u8, checksum_at: usize, segment: Vec<u8>) -> Vec<u8> {
    let (from, to) = (ends.0.to_canonical(), ends.1.to_canonical());
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            let segment = with_checksum(&ends, protocol, checksum_at, segment);
            let mut packet = Vec::with_capacity(20 + segment.len());
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&((20 + segment.len()) as u16).to_be_bytes());
            // No fragments.
            packet.extend_from_slice(&[0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
            packet.extend_from_slice(&ends);
            let sum = checksum(&[&packet]);
            if let Some(place) = packet.get_mut(10..12) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
            packet.extend_from_slice(&segment);
            packet
        }
        _ => {
            let ends = [v6(from).octets(), v6(to).octets()].concat();
            let segment = with_checksum(&ends, protocol, checksum_at, segment);
            let mut packet = Vec::with_capacity(40 + segment.len());
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&(segment.len() as u16).to_be_bytes());
            packet.extend_from_slice(&[protocol, HOPS]);
            packet.extend_from_slice(&ends);
            packet.extend_from_slice(&segment);
            packet
        }
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// RFC 768, RFC 9293 §3.1: over a pseudo header, too.
fn with_checksum(ends: &[u8], protocol: u8, at: usize, mut segment: Vec<u8>) -> Vec<u8> {
    let length = (segment.len() as u32).to_be_bytes();
    let sum = checksum(&[ends, &[0, protocol], &length, &segment]);
    // Over UDP, 0 would say that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    if let Some(place) = segment.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    segment
}

/// RFC 1071, over parts of which only the last may be odd.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum = words.fold(0u32, |sum, word| {
        let high = word.first().copied().unwrap_or_default();
        let low = word.get(1).copied().unwrap_or_default();
        sum + u32::from(u16::from_be_bytes([high, low]))
    });
    let once = (sum & 0xffff) + (sum >> 16);
    !((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn checksums_add_up_rfc1071() {
        let (from, to) = (address("192.0.2.1:5060"), address("192.0.2.2:5070"));
        let packet = Packets::datagram(from, to, b"odd");
        assert_eq!(checksum(&[&packet[..20]]), 0);
        let pseudo = [&packet[12..20], &[0, UDP, 0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0);
        assert_eq!(&packet[28..], b"odd");
    }

    #[test]
    fn addresses_of_two_families_become_ipv6() {
        let packet = Packets::datagram(address("192.0.2.1:1"), address("[2001:db8::1]:2"), b"");
        assert_eq!((packet[0], packet.len()), (0x60, 48));
        let mapped =
            Packets::datagram(address("[::ffff:192.0.2.1]:1"), address("192.0.2.2:2"), b"");
        assert_eq!(mapped[0], 0x45);
    }

    #[test]
    fn segments_of_a_stream_follow_each_other() {
        let mut packets = Packets::new(HashKey::from_bytes([1; 16]));
        let (from, to) = (address("192.0.2.1:5061"), address("192.0.2.2:40000"));
        let place = |packet: &[u8]| u32::from_be_bytes(packet[24..28].try_into().unwrap());
        let first = packets.segments(from, to, &[b'x'; PAYLOAD_MAX + 10]);
        assert_eq!(first.len(), 2, "longer than a packet");
        assert_eq!(place(&first[1]), 1 + PAYLOAD_MAX as u32);
        let next = packets.segments(from, to, b"y");
        assert_eq!(place(&next[0]), 11 + PAYLOAD_MAX as u32);
        let back = packets.segments(to, from, b"z");
        let acknowledged = u32::from_be_bytes(back[0][28..32].try_into().unwrap());
        assert_eq!(
            (place(&back[0]), acknowledged),
            (1, 12 + PAYLOAD_MAX as u32)
        );
    }
}
