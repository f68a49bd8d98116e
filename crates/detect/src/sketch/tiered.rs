//! The state of each key while there is room. When there is none, who proved nothing goes first.
//!
//! A flood from made-up addresses can push out nobody but other made-up addresses: each tier has
//! its list by age, and a full table takes the oldest of the lowest tier that has any.

use std::hash::Hash;

use ringfence_base::{HashKey, KeyedMap};

/// How much a key is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// It proved nothing.
    Unproven,
    /// It proved its address.
    Proven,
    /// It is the customer's own.
    Own,
}

const TIERS: usize = 3;
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Entry<K, V> {
    key: K,
    tier: Tier,
    older: u32,
    newer: u32,
    value: V,
}

#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
}

/// A table of bounded size.
#[derive(Clone, Debug)]
pub struct Tiered<K, V> {
    capacity: usize,
    places: KeyedMap<K, u32>,
    entries: Vec<Entry<K, V>>,
    lists: [List; TIERS],
    evicted: [u64; TIERS],
}

impl<K: Copy + Eq + Hash, V: Default> Tiered<K, V> {
    /// A table of at most `capacity` keys.
    pub fn new(key: HashKey, capacity: usize) -> Tiered<K, V> {
        Tiered {
            capacity: capacity.clamp(1, NONE as usize - 1),
            places: key.map(),
            entries: Vec::new(),
            lists: [List {
                oldest: NONE,
                newest: NONE,
            }; TIERS],
            evicted: [0; TIERS],
        }
    }

    /// The state of `key`, made if it is new, as the youngest of its tier. A key rises in tier and
    /// never falls. `None` when the table is full of keys of higher tiers.
    pub fn touch(&mut self, key: K, tier: Tier) -> Option<&mut V> {
        let place = match self.places.get(&key).copied() {
            Some(place) => {
                self.unlink(place);
                let entry = self.entries.get_mut(place as usize)?;
                entry.tier = entry.tier.max(tier);
                place
            }
            None => self.make(key, tier)?,
        };
        self.link(place);
        self.entries
            .get_mut(place as usize)
            .map(|entry| &mut entry.value)
    }

    /// The state of `key`, if it is there.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = *self.places.get(key)?;
        self.entries.get(place as usize).map(|entry| &entry.value)
    }

    /// The state of `key`, if it is there. Its age stays.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.entries
            .get_mut(place as usize)
            .map(|entry| &mut entry.value)
    }

    /// The tier of `key`, if it is there.
    pub fn tier(&self, key: &K) -> Option<Tier> {
        let place = *self.places.get(key)?;
        self.entries.get(place as usize).map(|entry| entry.tier)
    }

    /// All keys and their states.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|entry| (&entry.key, &entry.value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys that had to go, by tier.
    pub const fn evicted(&self) -> [u64; TIERS] {
        self.evicted
    }

    /// Bytes on the heap, about; what values hold there is not in it.
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K, V>>()
            + self.places.capacity() * (size_of::<(K, u32)>() + 1)
    }

    fn make(&mut self, key: K, tier: Tier) -> Option<u32> {
        let fresh = Entry {
            key,
            tier,
            older: NONE,
            newer: NONE,
            value: V::default(),
        };
        if self.entries.len() < self.capacity {
            let place = self.entries.len() as u32;
            self.entries.push(fresh);
            self.places.insert(key, place);
            return Some(place);
        }
        let lowest = self.lists.iter().position(|list| list.oldest != NONE)?;
        if lowest > tier as usize {
            return None;
        }
        let place = self.lists.get(lowest)?.oldest;
        self.unlink(place);
        if let Some(count) = self.evicted.get_mut(lowest) {
            *count += 1;
        }
        let entry = self.entries.get_mut(place as usize)?;
        self.places.remove(&entry.key);
        *entry = fresh;
        self.places.insert(key, place);
        Some(place)
    }

    fn link(&mut self, place: u32) {
        let Some(entry) = self.entries.get_mut(place as usize) else {
            return;
        };
        let Some(list) = self.lists.get_mut(entry.tier as usize) else {
            return;
        };
        entry.older = list.newest;
        entry.newer = NONE;
        let before = std::mem::replace(&mut list.newest, place);
        if before == NONE {
            list.oldest = place;
        } else if let Some(before) = self.entries.get_mut(before as usize) {
            before.newer = place;
        }
    }

    fn unlink(&mut self, place: u32) {
        let Some(entry) = self.entries.get(place as usize) else {
            return;
        };
        let (tier, older, newer) = (entry.tier as usize, entry.older, entry.newer);
        if let Some(entry) = self.entries.get_mut(older as usize) {
            entry.newer = newer;
        } else if let Some(list) = self.lists.get_mut(tier) {
            list.oldest = newer;
        }
        if let Some(entry) = self.entries.get_mut(newer as usize) {
            entry.older = older;
        } else if let Some(list) = self.lists.get_mut(tier) {
            list.newest = older;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(capacity: usize) -> Tiered<u64, u64> {
        Tiered::new(HashKey::from_bytes([1; 16]), capacity)
    }

    #[test]
    fn a_flood_of_the_unproven_pushes_out_none_but_the_unproven() {
        let mut table = table(100);
        for key in 0..20 {
            let tier = if key % 2 == 0 {
                Tier::Own
            } else {
                Tier::Proven
            };
            *table.touch(key, tier).unwrap() = key;
        }
        for key in 1_000..100_000 {
            table.touch(key, Tier::Unproven);
        }
        assert!((0..20).all(|key| table.get(&key) == Some(&key)));
        assert_eq!(table.len(), 100);
        assert_eq!(table.evicted(), [99_000 - 80, 0, 0]);
    }

    #[test]
    fn the_youngest_stay() {
        let mut table = table(3);
        for key in [1, 2, 3, 1, 4] {
            table.touch(key, Tier::Unproven);
        }
        assert!(table.get(&2).is_none() && table.get(&1).is_some());
    }

    #[test]
    fn a_table_full_of_better_ones_takes_nobody_in() {
        let mut table = table(2);
        table.touch(1, Tier::Own);
        table.touch(2, Tier::Own);
        assert!(table.touch(3, Tier::Proven).is_none());
        assert!(table.touch(4, Tier::Own).is_some());
        assert_eq!(table.evicted(), [0, 0, 1]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(steps in proptest::collection::vec((0_u64..12, 0_u8..3), 1..200)) {
            let mut table = table(5);
            let mut model: Vec<(u64, Tier)> = Vec::new();
            for (key, tier) in steps {
                let tier = [Tier::Unproven, Tier::Proven, Tier::Own][usize::from(tier)];
                let found = model.iter().position(|(other, _)| *other == key);
                let entry = found.map(|place| model.remove(place));
                let tier = entry.map_or(tier, |(_, old)| old.max(tier));
                let mut takes = true;
                if entry.is_none() && model.len() == 5 {
                    let lowest = model.iter().map(|(_, tier)| *tier).min().unwrap();
                    takes = lowest <= tier;
                    if takes {
                        let place = model.iter().position(|(_, tier)| *tier == lowest).unwrap();
                        model.remove(place);
                    }
                }
                if takes {
                    model.push((key, tier));
                }
                prop_assert_eq!(table.touch(key, tier).is_some(), takes);
                prop_assert_eq!(table.len(), model.len());
                for (key, tier) in &model {
                    prop_assert_eq!(table.tier(key), Some(*tier));
                }
            }
        }
    }
}
