//! A table of large entries that grows without moving them.

use slab::Slab;

/// A slab of boxes. A table of large entries that doubles keeps up to half of itself empty, and copies
/// all of them when it grows; here only pointers are copied and kept in reserve.
///
/// ```
/// use ringfence_base::BoxedSlab;
///
/// let mut calls = BoxedSlab::new();
/// let place = calls.insert([0_u8; 1500]);
/// assert_eq!(calls.get(place).map(|call| call.len()), Some(1500));
/// ```
#[derive(Debug)]
pub struct BoxedSlab<T>(Slab<Box<T>>);

impl<T> BoxedSlab<T> {
    /// An empty table.
    pub const fn new() -> BoxedSlab<T> {
        BoxedSlab(Slab::new())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the next entry will go.
    pub fn vacant_key(&self) -> usize {
        self.0.vacant_key()
    }

    /// Puts an entry in, and says where.
    pub fn insert(&mut self, value: T) -> usize {
        self.0.insert(Box::new(value))
    }

    /// The entry at `place`, if there is one.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place).map(|entry| &**entry)
    }

    /// The entry at `place`, if there is one.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place).map(|entry| &mut **entry)
    }

    /// Takes the entry at `place` out, if there is one.
    pub fn remove(&mut self, place: usize) -> Option<Box<T>> {
        self.0.try_remove(place)
    }

    /// All entries with their places.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().map(|(place, entry)| (place, &**entry))
    }

    /// All entries, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.0
            .iter_mut()
            .map(|(place, entry)| (place, &mut **entry))
    }
}

impl<T> Default for BoxedSlab<T> {
    fn default() -> BoxedSlab<T> {
        BoxedSlab::new()
    }
}
