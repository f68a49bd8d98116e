//! Hash maps for keys that a peer chooses.
//!
//! SipHash-1-3 under a key that is random in production and fixed in simulation, so that nobody
//! outside can aim at one bucket and a seed replays the same iteration order.

use std::hash::{BuildHasher, Hash};

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13x128};

use crate::entropy::Entropy;

/// A hash map keyed by what a peer sends. Make one with [`HashKey::map`].
#[allow(clippy::disallowed_types)] // this is the keyed map the ban points to
pub type KeyedMap<K, V> = std::collections::HashMap<K, V, HashKey>;

/// A hash set keyed by what a peer sends. Make one with [`HashKey::set`].
#[allow(clippy::disallowed_types)] // this is the keyed set the ban points to
pub type KeyedSet<K> = std::collections::HashSet<K, HashKey>;

/// The secret key of keyed hashes.
#[derive(Clone, Copy)]
pub struct HashKey {
    k0: u64,
    k1: u64,
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl HashKey {
    /// Draws a key.
    pub fn generate(entropy: &mut dyn Entropy) -> HashKey {
        HashKey {
            k0: entropy.next_u64(),
            k1: entropy.next_u64(),
        }
    }

    /// The key that all workers of one process share, from their common secret.
    pub const fn from_bytes(secret: [u8; 16]) -> HashKey {
        let number = u128::from_le_bytes(secret);
        HashKey {
            k0: number as u64,
            k1: (number >> 64) as u64,
        }
    }

    /// An empty map under this key.
    pub fn map<K, V>(self) -> KeyedMap<K, V> {
        KeyedMap::with_hasher(self)
    }

    /// An empty set under this key.
    pub fn set<K>(self) -> KeyedSet<K> {
        KeyedSet::with_hasher(self)
    }

    /// 64-bit keyed hash of one value.
    pub fn hash64<T: Hash + ?Sized>(self, value: &T) -> u64 {
        self.hash_one(value)
    }

    /// A message authentication code: SipHash-2-4, whose rounds are meant for exactly this, where
    /// the maps' SipHash-1-3 is not. For tokens that a peer hands back to us.
    pub fn mac64(self, message: &[u8]) -> u64 {
        SipHasher24::new_with_keys(self.k0, self.k1).hash(message)
    }

    /// 128-bit keyed hash of byte strings. Each part's length is hashed too, so `["ab", "c"]` and
    /// `["a", "bc"]` differ. Wide enough to stand for the strings themselves as a map key.
    pub fn hash128(self, parts: &[&[u8]]) -> u128 {
        use std::hash::Hasher;
        let mut hasher = SipHasher13x128::new_with_keys(self.k0, self.k1);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.k0, self.k1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn parts_are_delimited() {
        let key = HashKey::generate(&mut SeededEntropy::new(1));
        assert_ne!(key.hash128(&[b"ab", b"c"]), key.hash128(&[b"a", b"bc"]));
    }

    #[test]
    fn the_same_secret_gives_the_same_code() {
        let key = |secret| HashKey::from_bytes([secret; 16]);
        assert_eq!(key(1).mac64(b"x"), key(1).mac64(b"x"));
        assert_ne!(key(1).mac64(b"x"), key(2).mac64(b"x"));
        assert_ne!(key(1).mac64(b"x"), key(1).mac64(b"y"));
    }

    #[test]
    fn another_key_gives_another_hash() {
        let mut entropy = SeededEntropy::new(1);
        let (a, b) = (
            HashKey::generate(&mut entropy),
            HashKey::generate(&mut entropy),
        );
        assert_ne!(a.hash64("x"), b.hash64("x"));
    }
}
