//! Hosts and ports (RFC 3261 §25.1 `host`, `hostport`; RFC 5118 for IPv6).
//!
//! A host is an address when it reads as one and a name otherwise; names are not looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::SyntaxError;
use crate::lex::is_host;

/// The host of a URI or of a Via.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A domain name, as it was written.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Parses a host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(bytes: &'a [u8]) -> Result<Host<'a>, SyntaxError> {
        if let [b'[', address @ .., b']'] = bytes {
            return ascii(address)
                .and_then(|text| text.parse().ok())
                .map(Host::V6)
                .ok_or(HOST);
        }
        if bytes.is_empty() || !bytes.iter().all(|&byte| is_host(byte)) {
            return Err(HOST);
        }
        if bytes.first().is_some_and(u8::is_ascii_digit)
            && let Some(address) = ascii(bytes).and_then(|text| text.parse().ok())
        {
            return Ok(Host::V4(address));
        }
        Ok(Host::Name(bytes))
    }

    /// Parses `host [":" port]` without white space.
    pub(crate) fn parse_with_port(bytes: &'a [u8]) -> Result<(Host<'a>, Option<u16>), SyntaxError> {
        let host_end = match bytes.first() {
            Some(b'[') => memchr::memchr(b']', bytes).ok_or(HOST)? + 1,
            _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
        };
        let (host, rest) = bytes.split_at_checked(host_end).ok_or(HOST)?;
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return Err(HOST),
        };
        Ok((Host::parse(host)?, port))
    }

    /// The address, if the host is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match *self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(address)),
            Host::V6(address) => Some(IpAddr::V6(address)),
        }
    }
}

/// Addresses compare as addresses, names without regard to case.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

/// As it goes on the wire: an IPv6 address in brackets.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Only ASCII gets into a name.
            Host::Name(name) => f.write_str(ascii(name).unwrap_or_default()),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Parses a port within 1 to 65535.
pub(crate) fn port(digits: &[u8]) -> Result<u16, SyntaxError> {
    crate::lex::number(digits)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port != 0)
        .ok_or(SyntaxError::Port)
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

const HOST: SyntaxError = SyntaxError::Host;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<(&str, Option<u16>), SyntaxError>) {
        let parsed = Host::parse_with_port(input.as_bytes());
        let shown = parsed.map(|(host, port)| (host.to_string(), port));
        assert_eq!(shown, expected.map(|(host, port)| (host.to_owned(), port)));
    }

    #[test]
    fn hosts_and_ports() {
        check("example.com", Ok(("example.com", None)));
        check("example.com:5060", Ok(("example.com", Some(5060))));
        check("192.0.2.1:65535", Ok(("192.0.2.1", Some(65535))));
        check("[2001:DB8::1]:5061", Ok(("[2001:db8::1]", Some(5061))));
        check("[::1]", Ok(("[::1]", None)));
        check("[::1", Err(SyntaxError::Host));
        check("[::1]x", Err(SyntaxError::Host));
        check("2001:db8::1", Err(SyntaxError::Port));
        check("host:", Err(SyntaxError::Port));
        check("host:0", Err(SyntaxError::Port));
        check("host:65536", Err(SyntaxError::Port));
        check("", Err(SyntaxError::Host));
        check("ho st", Err(SyntaxError::Host));
    }

    #[test]
    fn names_compare_without_case() {
        assert_eq!(Host::parse(b"A.example"), Host::parse(b"a.EXAMPLE"));
        assert_ne!(Host::parse(b"192.0.2.1"), Host::parse(b"192.0.2.2"));
        assert!(matches!(Host::parse(b"192.0.2.999"), Ok(Host::Name(_))));
    }
}
