//! Which keys are the most frequent: space saving (Metwally et al.) over decaying counts.

use std::hash::Hash;

use ringfence_base::{HashKey, Instant, KeyedMap};

use super::{Decaying, Horizon};

/// One of the most frequent keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heavy<K> {
    /// The key.
    pub key: K,
    /// At most so often, faded.
    pub count: f32,
    /// Of which so much may be another's, whose place it took.
    pub error: f32,
}

#[derive(Clone, Copy, Debug)]
struct Slot<K> {
    key: K,
    count: Decaying,
    error: Decaying,
}

/// Keeps the `capacity` most frequent keys. A new key takes the place, and the count, of the least
/// frequent one.
#[derive(Clone, Debug)]
pub struct TopK<K> {
    horizon: Horizon,
    capacity: usize,
    slots: Vec<Slot<K>>,
    places: KeyedMap<K, usize>,
}

/// Finding the least frequent one looks at all: keep it cheap.
const CAPACITY_MAX: usize = 256;

impl<K: Copy + Eq + Hash> TopK<K> {
    /// A table of at most `capacity` keys, and of 256 in any case.
    pub fn new(key: HashKey, capacity: usize, horizon: Horizon) -> TopK<K> {
        let capacity = capacity.clamp(1, CAPACITY_MAX);
        TopK {
            horizon,
            capacity,
            slots: Vec::with_capacity(capacity),
            places: key.map(),
        }
    }

    /// Adds `amount` to `key`.
    pub fn add(&mut self, now: Instant, key: K, amount: f32) {
        if let Some(slot) = self
            .places
            .get(&key)
            .and_then(|place| self.slots.get_mut(*place))
        {
            slot.count.add(now, self.horizon, amount);
            return;
        }
        let mut slot = Slot {
            key,
            count: Decaying::default(),
            error: Decaying::default(),
        };
        slot.count.add(now, self.horizon, amount);
        if self.slots.len() < self.capacity {
            self.places.insert(key, self.slots.len());
            self.slots.push(slot);
            return;
        }
        let horizon = self.horizon;
        let least = self
            .slots
            .iter_mut()
            .enumerate()
            .map(|(place, slot)| (place, slot.count.get(now, horizon), slot))
            .min_by(|(_, a, _), (_, b, _)| a.total_cmp(b));
        if let Some((place, count, old)) = least {
            slot.count.add(now, horizon, count);
            slot.error.add(now, horizon, count);
            self.places.remove(&old.key);
            *old = slot;
            self.places.insert(key, place);
        }
    }

    /// The keys, most frequent first.
    pub fn heaviest(&self, now: Instant) -> Vec<Heavy<K>> {
        let mut all: Vec<_> = self
            .slots
            .iter()
            .map(|slot| Heavy {
                key: slot.key,
                count: slot.count.get(now, self.horizon),
                error: slot.error.get(now, self.horizon),
            })
            .collect();
        all.sort_by(|a, b| b.count.total_cmp(&a.count));
        all
    }

    /// Bytes on the heap, about.
    pub fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<K>>()
            + self.places.capacity() * size_of::<(K, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Entropy;
    use ringfence_base::entropy::SeededEntropy;

    #[test]
    fn the_frequent_stay_through_a_flood_of_single_ones() {
        let mut entropy = SeededEntropy::new(3);
        let mut top = TopK::new(HashKey::from_bytes([1; 16]), 64, Horizon::Minutes);
        for round in 0..5_000_u64 {
            top.add(Instant::ZERO, entropy.next_u64(), 1.0);
            if round % 10 == 0 {
                top.add(Instant::ZERO, 7, 1.0);
            }
        }
        let heaviest = top.heaviest(Instant::ZERO);
        assert_eq!(heaviest[0].key, 7);
        assert!(heaviest[0].count >= 500.0 && heaviest.len() == 64);
        assert!(heaviest.iter().all(|heavy| heavy.count >= heavy.error));
    }
}
