//! What a packet carries: link layer, VLAN tags, IP. Payloads of UDP and TCP come out, with their
//! addresses; fragments go through [`crate::fragments`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// VLAN tags on one packet.
const TAGS_MAX: usize = 4;
/// Extension headers of IPv6 (RFC 8200 §4).
const EXTENSIONS_MAX: usize = 10;

/// An IP packet, or a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// From.
    pub from: IpAddr,
    /// To.
    pub to: IpAddr,
    /// 17 UDP, 6 TCP.
    pub protocol: u8,
    /// The part of a larger packet that it is.
    pub fragment: Option<Fragment>,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Which part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Tells packets of one sender apart.
    pub id: u32,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Others follow.
    pub more: bool,
}

/// Why nothing was read in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not IP: ARP, and whatever else is on a wire. Nothing is missed.
    NotIp,
    /// A link type that is not known here.
    LinkType,
    /// Cut short, or headers that make no sense.
    Broken,
}

/// The IP packet in a frame of this link type.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn ip_of(link: u32, frame: &[u8]) -> Result<Ip<'_>, Unread> {
    let broken = Unread::Broken;
    match link {
        // Ethernet.
        1 => ethertype(
            half(frame, 12).ok_or(broken)?,
            frame.get(14..).ok_or(broken)?,
        ),
        // BSD loopback, in the byte order of whoever wrote it or of the network.
        0 | 108 => ip(frame.get(4..).ok_or(broken)?),
        // Raw IP; 12 and 14 are what some systems write for it.
        12 | 14 | 101 | 228 | 229 => ip(frame),
        // Linux cooked, versions 1 and 2.
        113 => ethertype(
            half(frame, 14).ok_or(broken)?,
            frame.get(16..).ok_or(broken)?,
        ),
        276 => ethertype(
            half(frame, 0).ok_or(broken)?,
            frame.get(20..).ok_or(broken)?,
        ),
        _ => Err(Unread::LinkType),
    }
}

fn ethertype(mut kind: u16, mut rest: &[u8]) -> Result<Ip<'_>, Unread> {
    for _ in 0..=TAGS_MAX {
        match kind {
            0x0800 | 0x86dd => return ip(rest),
            0x8100 | 0x88a8 | 0x9100 => {
                kind = half(rest, 2).ok_or(Unread::Broken)?;
                rest = rest.get(4..).ok_or(Unread::Broken)?;
            }
            _ => return Err(Unread::NotIp),
        }
    }
    Err(Unread::Broken)
}

fn ip(packet: &[u8]) -> Result<Ip<'_>, Unread> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => v4(packet).ok_or(Unread::Broken),
        Some(6) => v6(packet).ok_or(Unread::Broken),
        Some(_) => Err(Unread::NotIp),
        None => Err(Unread::Broken),
    }
}

fn v4(packet: &[u8]) -> Option<Ip<'_>> {
    let head = usize::from(packet.first()? & 0x0f) * 4;
    let length = usize::from(half(packet, 2)?);
    // What a network card segments later says 0.
    let length = if length == 0 { packet.len() } else { length };
    let payload = packet.get(head..length)?;
    let flags = half(packet, 6)?;
    let fragment = (flags & 0x3fff != 0).then_some(Fragment {
        id: half(packet, 4)?.into(),
        offset: u32::from(flags & 0x1fff) * 8,
        more: flags & 0x2000 != 0,
    });
    (head >= 20).then_some(Ip {
        from: Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into(),
        to: Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into(),
        protocol: *packet.get(9)?,
        fragment,
        payload,
    })
}

fn v6(packet: &[u8]) -> Option<Ip<'_>> {
    let length = usize::from(half(packet, 4)?);
    let mut payload = match length {
        0 => packet.get(40..)?,
        length => packet.get(40..40 + length)?,
    };
    let mut protocol = *packet.get(6)?;
    let mut fragment = None;
    for _ in 0..EXTENSIONS_MAX {
        let head = match protocol {
            0 | 43 | 60 => (usize::from(*payload.get(1)?) + 1) * 8,
            51 => (usize::from(*payload.get(1)?) + 2) * 4,
            44 => {
                let place = half(payload, 2)?;
                fragment = Some(Fragment {
                    id: u32::from_be_bytes(*payload.get(4..)?.first_chunk()?),
                    offset: u32::from(place & 0xfff8),
                    more: place & 1 != 0,
                });
                8
            }
            _ => break,
        };
        protocol = *payload.first()?;
        payload = payload.get(head..)?;
        if fragment.is_some_and(|fragment| fragment.offset > 0) {
            break;
        }
    }
    Some(Ip {
        from: canonical(packet, 8)?,
        to: canonical(packet, 24)?,
        protocol,
        // An atomic fragment (RFC 6946) is a whole packet.
        fragment: fragment.filter(|fragment| fragment.more || fragment.offset > 0),
        payload,
    })
}

fn canonical(packet: &[u8], at: usize) -> Option<IpAddr> {
    let bytes = packet.get(at..)?.first_chunk::<16>()?;
    Some(IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical())
}

/// Ports and payload of a UDP datagram; `None` if it is cut short.
pub fn udp(payload: &[u8]) -> Option<(u16, u16, &[u8])> {
    let length = usize::from(half(payload, 4)?);
    let data = match length {
        0 => payload.get(8..)?,
        length => payload.get(8..length)?,
    };
    Some((half(payload, 0)?, half(payload, 2)?, data))
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Ports.
    pub ports: (u16, u16),
    /// The number of its first byte.
    pub sequence: u32,
    /// It opens a connection.
    pub syn: bool,
    /// Nothing follows.
    pub ends: bool,
    /// Its bytes.
    pub data: &'a [u8],
}

/// The segment; `None` if it is cut short.
pub fn tcp(payload: &[u8]) -> Option<Segment<'_>> {
    let head = usize::from(payload.get(12)? >> 4) * 4;
    let flags = *payload.get(13)?;
    (head >= 20).then_some(Segment {
        ports: (half(payload, 0)?, half(payload, 2)?),
        sequence: u32::from_be_bytes(*payload.get(4..)?.first_chunk()?),
        syn: flags & 2 != 0,
        ends: flags & 5 != 0,
        data: payload.get(head..)?,
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
