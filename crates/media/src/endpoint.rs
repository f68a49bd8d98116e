//! A socket address in 20 bytes, so that a stream remembers eight of them cheaply.
//!
//! IPv4 is kept IPv4-mapped (RFC 4291 §2.5.5.2) and port 0 means "none": RTP never goes to or
//! comes from port 0. Left out: the IPv6 flow label, and interface indexes above 65,535.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address that media may come from or go to, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Endpoint {
    ip: PackedIp,
    port: u16,
    scope: u16,
}

/// An IP address in 16 bytes. The unspecified address stands for "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct PackedIp([u8; 16]);

impl Endpoint {
    /// No address.
    pub(crate) const NONE: Endpoint = Endpoint {
        ip: PackedIp([0; 16]),
        port: 0,
        scope: 0,
    };

    /// Packs an address as it came from a socket.
    #[inline]
    pub(crate) fn new(addr: SocketAddr) -> Endpoint {
        match addr {
            SocketAddr::V4(v4) => Endpoint {
                ip: PackedIp::v4(*v4.ip()),
                port: v4.port(),
                scope: 0,
            },
            SocketAddr::V6(v6) => Endpoint {
                ip: PackedIp(v6.ip().octets()),
                port: v6.port(),
                scope: v6.scope_id() as u16,
            },
        }
    }

    /// Packs an address as a session description gave it: `NONE` unless media can be sent there.
    /// The unspecified address is the old way to hold (RFC 3264 §8.4), port 0 refuses the stream,
    /// and nobody is made to multicast or broadcast.
    pub(crate) fn destination(addr: Option<SocketAddr>) -> Endpoint {
        match addr {
            Some(addr) if addr.port() != 0 && is_unicast(addr.ip()) => Endpoint::new(addr),
            _ => Endpoint::NONE,
        }
    }

    /// The same host, next port: where RTCP is by default (RFC 3550 §11). `NONE` has no next.
    pub(crate) fn next_port(self) -> Endpoint {
        match self.port {
            0 | u16::MAX => Endpoint::NONE,
            port => Endpoint {
                port: port + 1,
                ..self
            },
        }
    }

    /// Whether there is no address.
    #[inline]
    pub(crate) const fn is_none(self) -> bool {
        self.port == 0
    }

    /// The host.
    #[inline]
    pub(crate) const fn ip(self) -> PackedIp {
        self.ip
    }

    /// Unpacks, `None` for `NONE`.
    #[inline]
    pub(crate) fn addr(self) -> Option<SocketAddr> {
        if self.port == 0 {
            return None;
        }
        let v6 = Ipv6Addr::from(self.ip.0);
        Some(match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), self.port),
            None => SocketAddr::V6(SocketAddrV6::new(v6, self.port, 0, u32::from(self.scope))),
        })
    }
}

impl PackedIp {
    /// No address.
    pub(crate) const NONE: PackedIp = PackedIp([0; 16]);

    /// Packs an address; `None` and the unspecified addresses give `NONE`.
    pub(crate) fn new(ip: Option<IpAddr>) -> PackedIp {
        match ip {
            Some(ip) if ip.is_unspecified() => PackedIp::NONE,
            Some(IpAddr::V4(v4)) => PackedIp::v4(v4),
            Some(IpAddr::V6(v6)) => PackedIp(v6.octets()),
            None => PackedIp::NONE,
        }
    }

    /// Whether there is no address.
    pub(crate) fn is_none(self) -> bool {
        self == PackedIp::NONE
    }

    #[inline]
    fn v4(v4: Ipv4Addr) -> PackedIp {
        PackedIp(v4.to_ipv6_mapped().octets())
    }
}

fn is_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let addr: SocketAddr = text.parse().unwrap();
        assert_eq!(Endpoint::new(addr).addr(), Some(addr));
    }

    #[test]
    fn addresses_survive_packing() {
        check("192.0.2.1:40000");
        check("[2001:db8::1]:1");
        check("[fe80::1%3]:65535");
    }

    #[test]
    fn an_endpoint_is_20_bytes() {
        assert_eq!(size_of::<Endpoint>(), 20);
    }

    #[test]
    fn what_cannot_be_sent_to_is_none_rfc3264_8_4() {
        for text in [
            "0.0.0.0:9",
            "192.0.2.1:0",
            "224.0.0.1:9",
            "255.255.255.255:9",
            "[::]:9",
        ] {
            assert!(
                Endpoint::destination(Some(text.parse().unwrap())).is_none(),
                "{text}"
            );
        }
        assert!(Endpoint::destination(None).is_none());
    }

    #[test]
    fn rtcp_is_at_the_next_port_rfc3550_11() {
        let next = |text: &str| Endpoint::new(text.parse().unwrap()).next_port().addr();
        assert_eq!(
            next("192.0.2.1:4000"),
            Some("192.0.2.1:4001".parse().unwrap())
        );
        assert_eq!(next("192.0.2.1:65535"), None);
        assert!(Endpoint::NONE.next_port().is_none());
    }

    #[test]
    fn an_ipv4_mapped_source_equals_its_ipv4_address() {
        let mapped = Endpoint::new("[::ffff:192.0.2.1]:5".parse().unwrap());
        assert!(mapped == Endpoint::new("192.0.2.1:5".parse().unwrap()));
    }
}
