//! `c=` (RFC 8866 §5.7) and the address that it shares with `o=`.

use std::net::{IpAddr, Ipv4Addr};

use crate::text::{Text, small_number, words};

/// Where something is: an address, or a name that nobody here resolves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A domain name, or anything else that was in its place.
    Name {
        /// The name as written.
        name: Text,
        /// Whether it was written after `IP6`.
        v6: bool,
    },
}

impl Address {
    /// The address if it is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(ip) => Some(*ip),
            Address::Name { .. } => None,
        }
    }

    /// The word after `IN`.
    pub(crate) const fn family(&self) -> &'static str {
        match self {
            Address::Ip(IpAddr::V4(_)) | Address::Name { v6: false, .. } => "IP4",
            Address::Ip(IpAddr::V6(_)) | Address::Name { v6: true, .. } => "IP6",
        }
    }

    /// Reads `IN IP4 192.0.2.1`'s last two words. The flag says that they contradict each other.
    pub(crate) fn parse(family: &[u8], address: &[u8]) -> Option<(Address, bool)> {
        if address.is_empty() {
            return None;
        }
        let v6 = match family {
            f if f.eq_ignore_ascii_case(b"IP4") => false,
            f if f.eq_ignore_ascii_case(b"IP6") => true,
            _ => return None,
        };
        match str::from_utf8(address)
            .ok()
            .and_then(|text| text.parse::<IpAddr>().ok())
        {
            Some(ip) => Some((Address::Ip(ip), ip.is_ipv6() != v6)),
            None => Some((
                Address::Name {
                    name: Text::new(address),
                    v6,
                },
                false,
            )),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        Address::Ip(ip)
    }
}

/// A `c=` line: where media is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The address.
    pub address: Address,
    /// Time to live of an IPv4 multicast group.
    pub ttl: Option<u8>,
    /// Number of consecutive multicast addresses.
    pub count: Option<u16>,
}

impl Connection {
    /// Whether this is the `0.0.0.0` (or `::`) that RFC 2543 phones put a call on hold with
    /// (RFC 3264 §8.4).
    pub fn is_unspecified(&self) -> bool {
        self.address.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// An address that media may be sent to: not unspecified, not a group, not a broadcast, so
    /// that nobody can aim our packets at our own host's wildcard or at a whole network.
    pub fn unicast(&self) -> Option<IpAddr> {
        let ip = self.address.ip()?.to_canonical();
        let unusable =
            ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        (!unusable).then_some(ip)
    }

    /// Reads the value of a `c=` line. The flag says that address type and address disagree.
    pub(crate) fn parse(value: &[u8]) -> Option<(Connection, bool)> {
        let mut parts = words(value);
        let net = parts.next()?;
        if !net.eq_ignore_ascii_case(b"IN") {
            return None;
        }
        let family = parts.next()?;
        let mut pieces = parts.next()?.split(|&b| b == b'/');
        let (address, mismatch) = Address::parse(family, pieces.next()?)?;
        let first = pieces.next();
        let second = pieces.next();
        let (ttl, count) = match address {
            Address::Ip(IpAddr::V6(_)) | Address::Name { v6: true, .. } => {
                (None, first.and_then(small_number))
            }
            _ => match first.and_then(small_number) {
                Some(ttl) => (Some(ttl), second.and_then(small_number)),
                // A count without a time to live would be read as one.
                None => (None, None),
            },
        };
        let connection = Connection {
            address,
            ttl,
            count,
        };
        Some((connection, mismatch))
    }
}

impl From<IpAddr> for Connection {
    fn from(ip: IpAddr) -> Connection {
        Connection {
            address: Address::Ip(ip),
            ttl: None,
            count: None,
        }
    }
}
