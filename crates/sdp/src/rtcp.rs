//! `a=rtcp` (RFC 3605): where RTCP goes if not to the next port.

use crate::address::Address;
use crate::text::{small_number, words};

/// The value of an `a=rtcp` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// The address, if it is not the media's.
    pub address: Option<Address>,
}

impl Rtcp {
    /// Reads `53020` or `53020 IN IP4 192.0.2.1`.
    pub(crate) fn parse(value: &[u8]) -> Option<Rtcp> {
        let mut parts = words(value);
        let port = small_number(parts.next()?)?;
        let Some(net) = parts.next() else {
            return Some(Rtcp {
                port,
                address: None,
            });
        };
        if !net.eq_ignore_ascii_case(b"IN") {
            return None;
        }
        let (address, _) = Address::parse(parts.next()?, parts.next()?)?;
        Some(Rtcp {
            port,
            address: Some(address),
        })
    }
}
