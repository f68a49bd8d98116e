//! The table's text for `nft -f -`. Everything in it is an address, a port, a prefix or a number
//! of seconds: nothing that a peer wrote as text ever comes here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ringfence_control::config::Config;
use ringfence_detect::ladder::IN_FORCE_MAX;
use ringfence_detect::own::{Network, PLACES_MAX};

/// Its own, in the family `inet`.
pub(crate) const TABLE: &str = "ringfence";
/// Before the host's own filters, so that a blocked source costs them nothing either.
const PRIORITY: i32 = -10;
/// A place of IPv6 is a /64.
const PLACE: &str = "ffff:ffff:ffff:ffff::";

/// The addresses and ports of the edge that a blocked source does not reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// By address and whether it is TCP.
    by_address: BTreeMap<(IpAddr, bool), BTreeSet<(u16, u16)>>,
}

impl Ports {
    /// The SIP and media ports of all listeners.
    pub fn of(config: &Config) -> Ports {
        let mut ports = Ports::default();
        for listen in &config.listeners {
            if let Some(address) = listen.udp {
                ports.add(false, address, address.port()..=address.port());
            }
            let streams = [listen.tcp, listen.tls, listen.ws, listen.wss];
            for address in streams.into_iter().flatten() {
                ports.add(true, address, address.port()..=address.port());
            }
            if let Some(media) = listen.media {
                let address = SocketAddr::new(media.address, media.first);
                ports.add(false, address, media.first..=media.last);
            }
        }
        ports
    }

    /// Adds `ports` of the host that `address` names.
    pub fn add(&mut self, tcp: bool, address: SocketAddr, ports: RangeInclusive<u16>) {
        let key = (address.ip().to_canonical(), tcp);
        let kept = self.by_address.entry(key).or_default();
        let (mut first, mut last) = ports.into_inner();
        // Neighbours become one range.
        let touching = |&&(low, high): &&(u16, u16)| {
            u32::from(low) <= u32::from(last) + 1 && u32::from(first) <= u32::from(high) + 1
        };
        let met: Vec<(u16, u16)> = kept.iter().filter(touching).copied().collect();
        for range in met {
            kept.remove(&range);
            (first, last) = (first.min(range.0), last.max(range.1));
        }
        kept.insert((first, last));
    }
}

/// What the sets hold. Whatever is blocked, nobody of the never-ban set is in the drop set: what
/// makes one ([`Wanted::new`]) leaves them out, and the rules ask the allow sets first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub(super) places: BTreeSet<IpAddr>,
    pub(super) networks: BTreeSet<(IpAddr, u8)>,
    /// Places, and for how many seconds.
    pub(super) blocked: BTreeMap<IpAddr, u64>,
}

impl Wanted {
    /// The never-ban set of `places` and `networks`, and what of `blocked` is in neither.
    pub fn new(
        places: impl Iterator<Item = IpAddr>,
        networks: &[Network],
        blocked: impl Iterator<Item = (IpAddr, u64)>,
    ) -> Wanted {
        let places: BTreeSet<IpAddr> = places.take(PLACES_MAX).collect();
        let blocked = blocked
            .filter(|(place, _)| !places.contains(place))
            .filter(|(place, _)| !networks.iter().any(|network| network.meets(*place)))
            .take(IN_FORCE_MAX)
            .map(|(place, seconds)| (place, seconds.max(1)))
            .collect();
        Wanted {
            places,
            networks: networks.iter().map(masked).collect(),
            blocked,
        }
    }

    /// The places that are dropped.
    pub fn blocked(&self) -> impl Iterator<Item = IpAddr> {
        self.blocked.keys().copied()
    }
}

/// A network as [`Network::meets`] reads it: never longer than a place, and without host bits.
fn masked(network: &Network) -> (IpAddr, u8) {
    let (address, prefix) = network.parts();
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let address = Ipv4Addr::from_bits(address.to_bits() & mask);
            (address.into(), prefix)
        }
        IpAddr::V6(address) => {
            let prefix = prefix.min(64);
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let address = Ipv6Addr::from_bits(address.to_bits() & mask);
            (address.into(), prefix)
        }
    }
}

/// Takes the table away, whether it is there or not.
pub(super) fn remove() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// Makes it anew, empty: the sets, and the rules in their order, the allow sets first.
pub(super) fn create(ports: &Ports) -> String {
    let mut text = remove();
    let _ = writeln!(text, "add table inet {TABLE}");
    for (version, sort) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
        let _ = writeln!(
            text,
            "add set inet {TABLE} own{version} {{ type {sort}; size {PLACES_MAX}; }}\n\
             add set inet {TABLE} peers{version} {{ type {sort}; flags interval; auto-merge; }}\n\
             add set inet {TABLE} drop{version} \
             {{ type {sort}; size {IN_FORCE_MAX}; flags timeout; counter; }}"
        );
    }
    let rule = format!("add rule inet {TABLE} input");
    let _ = writeln!(
        text,
        "add chain inet {TABLE} input \
         {{ type filter hook input priority {PRIORITY}; policy accept; }}\n\
         {rule} ip saddr @own4 counter accept\n\
         {rule} ip saddr @peers4 counter accept\n\
         {rule} ip6 saddr & {PLACE} @own6 counter accept\n\
         {rule} ip6 saddr @peers6 counter accept"
    );
    for ((address, tcp), ranges) in &ports.by_address {
        let ranges: Vec<String> = ranges
            .iter()
            .map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            })
            .collect();
        let transport = if *tcp { "tcp" } else { "udp" };
        let (here, from) = match address {
            IpAddr::V4(_) => ("ip", "ip saddr @drop4".to_owned()),
            IpAddr::V6(_) => ("ip6", format!("ip6 saddr & {PLACE} @drop6")),
        };
        let _ = writeln!(
            text,
            "{rule} {here} daddr {address} {transport} dport {{ {} }} {from} counter drop",
            ranges.join(", ")
        );
    }
    text
}

/// What leads from `held` to `wanted`, as one transaction: packets meet the one or the other.
pub(super) fn change(held: &Wanted, wanted: &Wanted) -> String {
    let mut text = String::new();
    if held.places != wanted.places {
        let places = wanted.places.iter();
        fill(&mut text, "own", places.map(|place| (*place, None)));
    }
    if held.networks != wanted.networks {
        let networks = wanted.networks.iter();
        let elements = networks.map(|(address, prefix)| (*address, Some(format!("/{prefix}"))));
        fill(&mut text, "peers", elements);
    }
    if held.blocked != wanted.blocked {
        let blocked = wanted.blocked.iter();
        let elements = blocked.map(|(place, left)| (*place, Some(format!(" timeout {left}s"))));
        fill(&mut text, "drop", elements);
    }
    text
}

/// Empties the two sets of a name and fills them again.
fn fill(text: &mut String, set: &str, elements: impl Iterator<Item = (IpAddr, Option<String>)>) {
    let mut of_four = Vec::new();
    let mut of_six = Vec::new();
    for (address, more) in elements {
        let element = format!("{address}{}", more.unwrap_or_default());
        match address {
            IpAddr::V4(_) => of_four.push(element),
            IpAddr::V6(_) => of_six.push(element),
        }
    }
    for (version, elements) in [(4, of_four), (6, of_six)] {
        let _ = writeln!(text, "flush set inet {TABLE} {set}{version}");
        if !elements.is_empty() {
            let elements = elements.join(", ");
            let _ = writeln!(
                text,
                "add element inet {TABLE} {set}{version} {{ {elements} }}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn allow_sets_are_asked_before_any_drop() {
        let mut ports = Ports::default();
        ports.add(false, "203.0.113.1:0".parse().unwrap(), 5060..=5060);
        ports.add(true, "[2001:db8::1]:0".parse().unwrap(), 5061..=5061);
        let text = create(&ports);
        let rules: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" rule "))
            .collect();
        let first_drop = rules.iter().position(|rule| rule.ends_with("drop"));
        let last_accept = rules.iter().rposition(|rule| rule.ends_with("accept"));
        assert!(last_accept < first_drop, "{text}");
        assert_eq!(rules.len(), 6);
        let dropping = "ip daddr 203.0.113.1 udp dport { 5060 } ip saddr @drop4 counter drop";
        assert!(rules.iter().any(|rule| rule.contains(dropping)), "{text}");
    }

    #[test]
    fn neighbouring_ports_are_one_range() {
        let mut ports = Ports::default();
        let here = "203.0.113.1:0".parse().unwrap();
        for port in [30_002, 30_000, 30_004, 65_534] {
            ports.add(false, here, port..=port + 1);
        }
        assert!(create(&ports).contains("dport { 30000-30005, 65534-65535 }"));
    }

    #[test]
    fn only_what_differs_is_written() {
        let blocked = [(ip("203.0.113.9"), 60), (ip("2001:db8:1:2::"), 0)];
        let network = [Network::new(ip("198.51.100.77"), 24)];
        let own = || std::iter::once(ip("192.0.2.1"));
        let held = Wanted::new(own(), &network, std::iter::empty());
        let wanted = Wanted::new(own(), &network, blocked.into_iter());
        assert_eq!(change(&held, &held), "");
        assert_eq!(
            change(&held, &wanted),
            "flush set inet ringfence drop4\n\
             add element inet ringfence drop4 { 203.0.113.9 timeout 60s }\n\
             flush set inet ringfence drop6\n\
             add element inet ringfence drop6 { 2001:db8:1:2:: timeout 1s }\n"
        );
        let all = change(&Wanted::default(), &wanted);
        assert!(all.contains("own4 { 192.0.2.1 }"), "{all}");
        assert!(all.contains("peers4 { 198.51.100.0/24 }"), "{all}");
    }

    proptest! {
        /// Whatever flood of sources, spoofed ones of the customer's included, is to be blocked:
        /// no address of the customer's is ever written into a drop set.
        #[test]
        fn an_own_address_is_never_in_the_drop_set(
            blocked in proptest::collection::vec((0_u8..=80, any::<bool>(), 0_u64..90_000), 0..120),
            networks in proptest::collection::vec((0_u8..=80, any::<bool>(), 20_u8..=128), 0..6),
            places in proptest::collection::vec((0_u8..=80, any::<bool>()), 0..12),
        ) {
            let address = |number: u8, six: bool| if six {
                IpAddr::from([0x2001, 0xdb8, 0, u16::from(number), 0, 0, 0, 0])
            } else {
                IpAddr::from([198, 51, 100 + number / 32, number])
            };
            let networks: Vec<Network> = networks
                .into_iter()
                .map(|(number, six, prefix)| Network::new(address(number, six), prefix))
                .collect();
            let own: Vec<IpAddr> = places.into_iter().map(|(n, six)| address(n, six)).collect();
            let flood = blocked.iter().map(|(n, six, left)| (address(*n, *six), *left));
            let wanted = Wanted::new(own.iter().copied(), &networks, flood);
            for place in wanted.blocked() {
                prop_assert!(!own.contains(&place), "{place}");
                prop_assert!(!networks.iter().any(|network| network.meets(place)), "{place}");
            }
            let text = change(&Wanted::default(), &wanted);
            for line in text.lines().filter(|line| line.contains("drop")) {
                for own in &own {
                    prop_assert!(!line.contains(&format!(" {own} ")), "{line}");
                }
            }
        }
    }
}
