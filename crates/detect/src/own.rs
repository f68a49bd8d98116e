//! What is the customer's own, and so is never banned: configured trunks and PBXs, and places where
//! somebody registered well in the last 30 days.
//!
//! The set answers two questions. "May this address be shut out?" ([`OwnSet::is_own`]), which is
//! asked when a ban is decided and again when it is carried out; and "whom would it meet?"
//! ([`OwnSet::harm`]), which goes into every decision.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedSet};

use crate::decision::Harm;
use crate::event::PeerRef;
use crate::sketch::{Distinct, Tier, Tiered};

/// How long a good registration protects its place.
pub const PROTECTED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most places that are remembered.
pub const PLACES_MAX: usize = 65_536;

/// The place of an address: an IPv4 address, or the /64 of an IPv6 one, whose holder has all of it.
pub fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u64::MAX as u128)))
        }
    }
}

/// A network of a configured peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// All addresses that share the first `prefix` bits with `address`.
    pub fn new(address: IpAddr, prefix: u8) -> Network {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Network {
            address,
            prefix: prefix.min(bits),
        }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Network {
        Network::new(address, 128)
    }

    /// Its address, as it was given, and its prefix in bits.
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// Whether a place and this network have an address in common.
    pub fn meets(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix));
                (own.to_bits() ^ other.to_bits()) & mask.unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                // A ban takes the whole /64: a longer prefix is met by any address of it.
                let prefix = u32::from(self.prefix.min(64));
                let mask = u128::MAX.checked_shl(128 - prefix);
                (own.to_bits() ^ other.to_bits()) & mask.unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// The last good registration.
    registered: Option<Instant>,
    accounts: Distinct,
    calls: u32,
}

impl Place {
    fn is_protected(&self, now: Instant) -> bool {
        self.registered
            .is_some_and(|at| now.saturating_since(at) < PROTECTED_FOR)
    }
}

/// The customer's own.
#[derive(Clone, Debug)]
pub struct OwnSet {
    key: HashKey,
    peers: Vec<(Network, PeerRef)>,
    places: Tiered<IpAddr, Place>,
}

impl OwnSet {
    /// A set that knows nobody yet.
    pub fn new(key: HashKey) -> OwnSet {
        OwnSet {
            key,
            peers: Vec::new(),
            places: Tiered::new(key, PLACES_MAX),
        }
    }

    /// The configured trunks and PBXs, at start and after each change of the configuration.
    pub fn set_peers(&mut self, peers: Vec<(Network, PeerRef)>) {
        self.peers = peers;
    }

    /// Somebody registered well from `address`.
    pub fn note_registration(&mut self, at: Instant, address: IpAddr, account: u64) {
        if let Some(place) = self.places.touch(place_of(address), Tier::Own) {
            if !place.is_protected(at) {
                *place = Place::default();
            }
            place.registered = place.registered.max(Some(at));
            place.accounts.insert(account);
        }
    }

    /// A call of somebody who had proved who he is was answered.
    pub fn note_call(&mut self, address: IpAddr) {
        if let Some(place) = self.places.get_mut(&place_of(address)) {
            place.calls = place.calls.saturating_add(1);
        }
    }

    /// Takes a place out: what was registered there was not the customer's.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(place) = self.places.get_mut(&place_of(address)) {
            *place = Place::default();
        }
    }

    /// Whether an address is of a configured trunk or PBX.
    pub fn is_peer(&self, address: IpAddr) -> bool {
        self.peers.iter().any(|(network, _)| network.meets(address))
    }

    /// Whether somebody registered well from there in the last 30 days.
    pub fn is_place(&self, now: Instant, address: IpAddr) -> bool {
        self.places
            .get(&place_of(address))
            .is_some_and(|place| place.is_protected(now))
    }

    /// Whether an address may never be banned.
    pub fn is_own(&self, now: Instant, address: IpAddr) -> bool {
        self.is_peer(address) || self.is_place(now, address)
    }

    /// Whom shutting `address` out would meet.
    pub fn harm(&self, now: Instant, address: IpAddr) -> Harm {
        let met = self.peers.iter().filter(|(net, _)| net.meets(address));
        let mut peers: Vec<PeerRef> = met.map(|(_, peer)| *peer).collect();
        peers.sort_unstable();
        peers.dedup();
        let place = self
            .places
            .get(&place_of(address))
            .filter(|place| place.is_protected(now));
        Harm {
            peers: peers.len() as u32,
            accounts: place.map_or(0, |place| (place.accounts.count() as u32).max(1)),
            calls: place.map_or(0, |place| place.calls),
        }
    }

    /// The set as it stands, to check against where bans are carried out.
    pub fn snapshot(&self, now: Instant) -> NeverBan {
        let mut places = self.key.set();
        let protected = self
            .places
            .iter()
            .filter(|(_, place)| place.is_protected(now));
        places.extend(protected.map(|(address, _)| *address));
        NeverBan {
            networks: self.peers.iter().map(|(network, _)| *network).collect(),
            places,
        }
    }

    /// Bytes on the heap, about.
    pub fn memory(&self) -> usize {
        self.places.memory() + self.peers.capacity() * size_of::<(Network, PeerRef)>()
    }
}

/// A copy of the never-ban set for whoever carries bans out.
#[derive(Clone, Debug)]
pub struct NeverBan {
    networks: Vec<Network>,
    places: KeyedSet<IpAddr>,
}

impl NeverBan {
    /// Whether a ban of `address` must not be carried out, whoever decided it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.places.contains(&place_of(address))
            || self.networks.iter().any(|network| network.meets(address))
    }

    /// The networks of trunks and PBXs.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// The places of good registrations.
    pub fn places(&self) -> impl Iterator<Item = IpAddr> {
        self.places.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([1; 16]);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(network: (&str, u8), address: &str, expected: bool) {
        let network = Network::new(ip(network.0), network.1);
        assert_eq!(network.meets(ip(address)), expected);
    }

    #[test]
    fn a_network_meets_its_addresses() {
        check(("192.0.2.0", 24), "192.0.2.255", true);
        check(("192.0.2.0", 24), "::ffff:192.0.2.1", true);
        check(("192.0.2.0", 24), "192.0.3.0", false);
        check(("192.0.2.7", 32), "192.0.2.7", true);
        check(("192.0.2.7", 32), "192.0.2.6", false);
        check(("0.0.0.0", 0), "198.51.100.1", true);
        check(("0.0.0.0", 0), "2001:db8::1", false);
        check(("2001:db8::", 32), "2001:db8:1::1", true);
        check(("2001:db8:0:1::5", 128), "2001:db8:0:1::9", true);
        check(("2001:db8:0:1::5", 128), "2001:db8:0:2::5", false);
    }

    #[test]
    fn a_good_registration_protects_its_place_for_30_days() {
        let mut own = OwnSet::new(KEY);
        own.note_registration(Instant::ZERO, ip("198.51.100.7"), 1);
        own.note_registration(Instant::ZERO, ip("198.51.100.7"), 2);
        assert_eq!(
            own.harm(Instant::ZERO + 29 * DAY, ip("198.51.100.7"))
                .accounts,
            2
        );
        assert!(own.snapshot(Instant::ZERO).contains(ip("198.51.100.7")));
        assert!(!own.is_own(Instant::ZERO + 31 * DAY, ip("198.51.100.7")));
        assert!(!own.is_own(Instant::ZERO, ip("198.51.100.8")));
        own.forget(ip("198.51.100.7"));
        assert!(!own.is_own(Instant::ZERO, ip("198.51.100.7")));
    }

    #[test]
    fn a_peer_is_counted_once_however_often_it_is_met() {
        let mut own = OwnSet::new(KEY);
        let peer = PeerRef::new(3);
        own.set_peers(vec![
            (Network::host(ip("203.0.113.5")), peer),
            (Network::new(ip("203.0.113.0"), 24), peer),
        ]);
        assert_eq!(own.harm(Instant::ZERO, ip("203.0.113.5")).peers, 1);
        assert!(own.is_own(Instant::ZERO, ip("203.0.113.77")));
    }
}
