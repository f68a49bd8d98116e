//! Transactions by slot and generation: found without a hash, never mistaken for a successor.

use slab::Slab;

/// A bounded table whose entries are named by slot and generation.
pub(crate) struct Slots<T> {
    slab: Slab<Slot<T>>,
    capacity: usize,
    /// Numbers the entries; one that reuses a slot gets another number.
    generation: u32,
}

struct Slot<T> {
    generation: u32,
    value: T,
}

impl<T> Slots<T> {
    pub(crate) const fn new(capacity: usize) -> Slots<T> {
        Slots {
            slab: Slab::new(),
            capacity,
            generation: 0,
        }
    }

    /// Inserts, and returns slot and generation, or nothing if the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<(u32, u32)> {
        if self.slab.len() >= self.capacity {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slab.insert(Slot {
            generation: self.generation,
            value,
        });
        Some((slot as u32, self.generation))
    }

    pub(crate) fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        self.get(slot, generation)?;
        let removed = self.slab.remove(slot as usize);
        // A burst must not keep its memory for ever.
        if self.slab.is_empty() && self.slab.capacity() > IDLE_CAPACITY {
            self.slab.shrink_to_fit();
        }
        Some(removed.value)
    }

    pub(crate) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        let entry = self.slab.get_mut(slot as usize)?;
        (entry.generation == generation).then_some(&mut entry.value)
    }

    pub(crate) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        let entry = self.slab.get(slot as usize)?;
        (entry.generation == generation).then_some(&entry.value)
    }

    /// The generation that now has `slot`.
    pub(crate) fn generation_of(&self, slot: u32) -> Option<u32> {
        self.slab.get(slot as usize).map(|entry| entry.generation)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Slot, generation and entry, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        self.slab
            .iter()
            .map(|(slot, entry)| (slot as u32, entry.generation, &entry.value))
    }
}

/// An empty table keeps memory for this many entries.
const IDLE_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_in_the_same_slot_has_another_name() {
        let mut slots = Slots::new(1);
        let (slot, first) = slots.insert('a').unwrap();
        assert_eq!(slots.insert('b'), None, "full");
        assert_eq!(slots.remove(slot, first), Some('a'));
        let (again, second) = slots.insert('b').unwrap();
        assert_eq!(slot, again);
        assert_eq!(slots.get(slot, first), None);
        assert_eq!(slots.remove(slot, first), None);
        assert_eq!(slots.get_mut(slot, second), Some(&mut 'b'));
        assert_eq!((slots.len(), slots.generation_of(slot)), (1, Some(second)));
    }

    #[test]
    fn an_empty_table_gives_its_memory_back() {
        let mut slots = Slots::new(usize::MAX);
        let names: Vec<_> = (0..10_000).filter_map(|n| slots.insert(n)).collect();
        for (slot, generation) in names {
            slots.remove(slot, generation);
        }
        assert!(slots.slab.capacity() <= IDLE_CAPACITY);
    }
}
