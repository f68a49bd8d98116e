//! How many TLS handshakes a stranger's address may begin.
//!
//! A handshake costs us a signature and the stranger next to nothing, so that who may begin as
//! many as it likes can keep a core busy. Each address (IPv6 by its /64) has an allowance that
//! comes back with time. Configured peers are never asked: the caller sees to that.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap};

use super::admission::block;

/// Handshakes that an address may begin at once.
pub(super) const HANDSHAKES_BURST: u32 = 20;
/// Time in which the allowance comes back by one handshake.
pub(super) const HANDSHAKE_EVERY: Duration = Duration::from_millis(500);
/// Most addresses remembered by one worker.
pub(super) const ADDRESSES_MAX: usize = 4_096;

/// The allowances of one worker.
pub(super) struct Handshakes {
    /// When an address will have its whole allowance again: a generic cell rate, one number each.
    whole_at: KeyedMap<IpAddr, Instant>,
    /// The allowance that all share for whom there was no room, as large as one address's.
    rest_whole_at: Instant,
    /// Before this, forgetting what is over would find nothing new.
    next_sweep: Instant,
}

impl Handshakes {
    /// Everybody has a whole allowance.
    pub(super) fn new(key: HashKey) -> Handshakes {
        Handshakes {
            whole_at: key.map(),
            rest_whole_at: Instant::ZERO,
            next_sweep: Instant::ZERO,
        }
    }

    /// Takes one handshake of the allowance of `address`; whether there was one.
    pub(super) fn admit(&mut self, now: Instant, address: IpAddr) -> bool {
        let address = block(address);
        if self.whole_at.len() >= ADDRESSES_MAX && !self.whole_at.contains_key(&address) {
            self.sweep(now);
            if self.whole_at.len() >= ADDRESSES_MAX {
                return take(now, &mut self.rest_whole_at);
            }
        }
        take(now, self.whole_at.entry(address).or_insert(now))
    }

    /// Forgets who has a whole allowance again, at most once in [`HANDSHAKE_EVERY`].
    fn sweep(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.next_sweep = now + HANDSHAKE_EVERY;
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
    }
}

fn take(now: Instant, whole_at: &mut Instant) -> bool {
    let next = (*whole_at).max(now) + HANDSHAKE_EVERY;
    let allowed = next.saturating_since(now) <= HANDSHAKE_EVERY * HANDSHAKES_BURST;
    if allowed {
        *whole_at = next;
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::entropy::SeededEntropy;

    const START: Instant = Instant::ZERO;

    fn handshakes() -> Handshakes {
        Handshakes::new(HashKey::generate(&mut SeededEntropy::new(1)))
    }

    fn begun(handshakes: &mut Handshakes, now: Instant, address: &str) -> usize {
        let address = address.parse().unwrap();
        (0..100).filter(|_| handshakes.admit(now, address)).count()
    }

    #[test]
    fn an_address_begins_a_burst_and_then_one_by_one_as_time_passes() {
        let mut handshakes = handshakes();
        let burst = HANDSHAKES_BURST as usize;
        assert_eq!(begun(&mut handshakes, START, "198.51.100.1"), burst);
        assert_eq!(begun(&mut handshakes, START, "198.51.100.2"), burst);
        let later = START + HANDSHAKE_EVERY;
        assert_eq!(begun(&mut handshakes, later, "198.51.100.1"), 1);
        let much_later = later + HANDSHAKE_EVERY * HANDSHAKES_BURST;
        assert_eq!(begun(&mut handshakes, much_later, "198.51.100.1"), burst);
    }

    #[test]
    fn an_ipv6_network_has_one_allowance() {
        let mut handshakes = handshakes();
        let burst = HANDSHAKES_BURST as usize;
        assert_eq!(begun(&mut handshakes, START, "2001:db8::1"), burst);
        assert_eq!(begun(&mut handshakes, START, "2001:db8::2"), 0);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_shares_one_allowance() {
        let mut handshakes = handshakes();
        let addresses = |from: u32| (from..).map(|index| IpAddr::from(index.to_be_bytes()));
        let known = addresses(0).take(ADDRESSES_MAX);
        assert!(known.into_iter().all(|ip| handshakes.admit(START, ip)));
        let more = addresses(ADDRESSES_MAX as u32).take(1_000);
        let admitted = more.filter(|ip| handshakes.admit(START, *ip)).count();
        assert_eq!(admitted, HANDSHAKES_BURST as usize);
        assert_eq!(handshakes.whole_at.len(), ADDRESSES_MAX);
        // Those who came before keep theirs, and in time there is room again.
        assert!(handshakes.admit(START, IpAddr::from([0, 0, 0, 1])));
        let later = START + HANDSHAKE_EVERY * HANDSHAKES_BURST;
        assert_eq!(
            begun(&mut handshakes, later, "203.0.113.7"),
            HANDSHAKES_BURST as usize
        );
    }
}
