//! Lists of addresses that others saw attack, as [APIBAN](https://apiban.org) publishes one.
//!
//! A listed source is a score and never a verdict: lists age, addresses change hands, and whoever
//! keeps a list is nobody the customer answers to. So a listing counts only beside something that the
//! source did here itself, and by no more than [`LISTED_SCORE`](crate::watch::LISTED_SCORE), however
//! many lists it stands on. Reading the files is done by `control::feed`.

use std::net::IpAddr;

use crate::own::Network;

/// Lists that are asked.
pub const LISTS_MAX: usize = 16;
/// Addresses and networks in one list.
pub const ENTRIES_MAX: usize = 1_000_000;

/// A list of addresses and networks: sorted ranges that do not meet, 8 bytes each for IPv4 and 32 for
/// IPv6. A look-up takes some twenty steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    name: String,
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl AddressList {
    /// The list `name` of `networks`; those after the first [`ENTRIES_MAX`] are left out. Host bits of
    /// a network may be set.
    pub fn new(name: &str, networks: impl IntoIterator<Item = Network>) -> AddressList {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks.into_iter().take(ENTRIES_MAX) {
            let (address, prefix) = network.parts();
            let prefix = u32::from(prefix);
            match address {
                IpAddr::V4(address) => {
                    let rest = u32::MAX.checked_shr(prefix).unwrap_or(0);
                    let address = address.to_bits();
                    v4.push((address & !rest, address | rest));
                }
                IpAddr::V6(address) => {
                    let rest = u128::MAX.checked_shr(prefix).unwrap_or(0);
                    let address = address.to_bits();
                    v6.push((address & !rest, address | rest));
                }
            }
        }
        AddressList {
            name: name.to_owned(),
            v4: joined(v4),
            v6: joined(v6),
        }
    }

    /// What the user calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `address` is on it. An IPv4 address may be written as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }

    /// Ranges that it takes: entries that meet are one.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6) + self.name.capacity()
    }
}

/// A list of telephone numbers that attackers were seen to call, as honeypots collect them: 8 bytes
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberList {
    name: String,
    numbers: Box<[u64]>,
}

impl NumberList {
    /// The list `name` of international numbers, as their digits; those after the first
    /// [`ENTRIES_MAX`] are left out.
    pub fn new(name: &str, numbers: impl IntoIterator<Item = u64>) -> NumberList {
        let mut numbers: Vec<u64> = numbers.into_iter().take(ENTRIES_MAX).collect();
        numbers.sort_unstable();
        numbers.dedup();
        NumberList {
            name: name.to_owned(),
            numbers: numbers.into_boxed_slice(),
        }
    }

    /// The digits of a written number: `+442079460000`, `00442079460000`, `011442079460000` or without
    /// a prefix. `None`: it is no international number (ITU-T E.164 §6: at most 15 digits).
    pub fn digits(written: &str) -> Option<u64> {
        let prefixes = ["+", "00", "011"];
        let rest = prefixes
            .iter()
            .find_map(|prefix| written.strip_prefix(prefix));
        let digits = rest.unwrap_or(written);
        let good = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        good.then(|| digits.parse().ok())?
    }

    /// What the user calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the number of these digits is on it.
    pub fn contains(&self, digits: u64) -> bool {
        self.numbers.binary_search(&digits).is_ok()
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Sorted, and ranges that overlap made one.
fn joined<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let meets = next.0 <= kept.1;
        if meets {
            kept.1 = kept.1.max(next.1);
        }
        meets
    });
    ranges.into_boxed_slice()
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], wanted: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= wanted);
    let before = after.checked_sub(1).and_then(|place| ranges.get(place));
    before.is_some_and(|(_, last)| wanted <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "128"));
        Network::new(address.parse().unwrap(), prefix.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_found() {
        let texts = [
            "192.0.2.7",
            "198.51.100.9/24",
            "198.51.100.128/25",
            "2001:db8::/32",
        ];
        let list = AddressList::new("apiban", texts.map(network));
        assert_eq!(list.len(), 3, "what overlaps is one");
        for (address, on_it) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.6", false),
            ("192.0.2.8", false),
            ("198.51.100.0", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), on_it, "{address}");
        }
    }

    #[test]
    fn numbers_are_found_however_they_are_written() {
        let written = [
            "+442079460000",
            "00442079460001",
            "011442079460002",
            "442079460000",
        ];
        let list = NumberList::new(
            "sentrypeer",
            written.iter().filter_map(|it| NumberList::digits(it)),
        );
        assert_eq!(list.len(), 3);
        assert!(list.contains(442_079_460_002) && !list.contains(442_079_460_003));
        for bad in [
            "",
            "100",
            "+44x079460000",
            "1234567890123456",
            "0000000",
            "+",
            "4420794600\u{661}0",
        ] {
            assert_eq!(NumberList::digits(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_of_everything_is_one_range_of_each_family() {
        let list = AddressList::new("all", ["0.0.0.0/0", "::/0", "192.0.2.1"].map(network));
        assert_eq!(list.len(), 2);
        assert!(list.contains("255.255.255.255".parse().unwrap()));
        assert!(list.contains("::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_look_up_says_what_asking_each_network_would_say(
            entries in proptest::collection::vec((any::<u16>(), 16_u8..=32), 0..40),
            asked in any::<u16>(),
        ) {
            let address = |low: u16| IpAddr::from([10, 0, (low >> 8) as u8, low as u8]);
            let networks: Vec<Network> =
                entries.iter().map(|(low, prefix)| Network::new(address(*low), *prefix)).collect();
            let list = AddressList::new("some", networks.iter().copied());
            let expected = networks.iter().any(|network| network.meets(address(asked)));
            prop_assert_eq!(list.contains(address(asked)), expected);
        }
    }
}
