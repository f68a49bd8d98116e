//! Who may hold a stream connection.
//!
//! Configured peers and strangers are bounded apart, so that no number of strangers can keep a
//! carrier out. A stranger's address has a bound of its own, IPv6 by its /64.

use std::net::{IpAddr, Ipv6Addr};

use ringfence_base::{HashKey, KeyedMap};

/// Most connections of one worker, both directions, peers and strangers.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Most connections of strangers in one worker.
pub const STRANGERS_MAX: usize = 2_048;
/// Most connections of one stranger's address in one worker.
pub const STRANGER_ADDRESS_MAX: u32 = 32;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address of a configured peer.
    Peer,
    /// Anybody else.
    Stranger,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// This address has its share.
    Address,
    /// Strangers have theirs.
    Strangers,
    /// The worker has all it can hold.
    Worker,
}

/// Counts connections of one worker.
pub(super) struct Admission {
    total: usize,
    strangers: usize,
    by_address: KeyedMap<IpAddr, u32>,
}

impl Admission {
    /// Nobody is connected yet.
    pub(super) fn new(key: HashKey) -> Admission {
        Admission {
            total: 0,
            strangers: 0,
            by_address: key.map(),
        }
    }

    /// Takes a place for a connection from or to `address`. Give it back with
    /// [`Admission::release`].
    pub(super) fn admit(&mut self, address: IpAddr, source: Source) -> Result<(), Full> {
        if self.total >= CONNECTIONS_MAX {
            return Err(Full::Worker);
        }
        if source == Source::Stranger {
            if self.strangers >= STRANGERS_MAX {
                return Err(Full::Strangers);
            }
            let count = self.by_address.entry(block(address)).or_insert(0);
            if *count >= STRANGER_ADDRESS_MAX {
                return Err(Full::Address);
            }
            *count += 1;
            self.strangers += 1;
        }
        self.total += 1;
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, address: IpAddr, source: Source) {
        self.total = self.total.saturating_sub(1);
        if source == Source::Stranger {
            self.strangers = self.strangers.saturating_sub(1);
            let block = block(address);
            if let Some(count) = self.by_address.get_mut(&block) {
                *count -= 1;
                if *count == 0 {
                    self.by_address.remove(&block);
                }
            }
        }
    }

    /// Connections now.
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

/// One subscriber: an IPv4 address, or the /64 that an IPv6 address lies in.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::entropy::SeededEntropy;

    fn admission() -> Admission {
        Admission::new(HashKey::generate(&mut SeededEntropy::new(1)))
    }

    #[test]
    fn one_stranger_gets_its_share_and_no_more() {
        let mut admission = admission();
        let (one, other) = (
            "198.51.100.1".parse().unwrap(),
            "198.51.100.2".parse().unwrap(),
        );
        for _ in 0..STRANGER_ADDRESS_MAX {
            assert_eq!(admission.admit(one, Source::Stranger), Ok(()));
        }
        assert_eq!(admission.admit(one, Source::Stranger), Err(Full::Address));
        assert_eq!(admission.admit(other, Source::Stranger), Ok(()));
        admission.release(one, Source::Stranger);
        assert_eq!(admission.admit(one, Source::Stranger), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_stranger() {
        let mut admission = admission();
        for host in 0..STRANGER_ADDRESS_MAX {
            let address = format!("2001:db8::{host:x}").parse().unwrap();
            assert_eq!(admission.admit(address, Source::Stranger), Ok(()));
        }
        let next = "2001:db8::ffff:1".parse().unwrap();
        assert_eq!(admission.admit(next, Source::Stranger), Err(Full::Address));
    }

    #[test]
    fn strangers_never_take_a_peers_place() {
        let mut admission = admission();
        let all = (0u32..).map(|index| IpAddr::from(index.to_be_bytes()));
        let taken = all
            .map(|ip| admission.admit(ip, Source::Stranger))
            .take_while(Result::is_ok);
        assert_eq!(taken.count(), STRANGERS_MAX);
        let peer = "192.0.2.10".parse().unwrap();
        for _ in STRANGERS_MAX..CONNECTIONS_MAX {
            assert_eq!(admission.admit(peer, Source::Peer), Ok(()));
        }
        assert_eq!(admission.admit(peer, Source::Peer), Err(Full::Worker));
        assert_eq!(admission.total(), CONNECTIONS_MAX);
    }
}
