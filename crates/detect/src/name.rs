//! A short text that a peer wrote: a user, a number, a contact.
//!
//! Kept in place, so that an event allocates nothing and a queue of events is of one size. What is
//! longer is cut for people and told apart by its hash for machines.

use std::fmt;

use ringfence_base::HashKey;
use ringfence_base::text::Escaped;

/// Bytes of the text that are kept for people.
pub const NAME_TEXT_MAX: usize = 31;

/// A text of a peer: its keyed hash, and as much of it as a person needs. Two names are equal when
/// their hashes are. `Debug` does not print it: it is personal data; [`Name::shown`] does.
#[derive(Clone, Copy)]
pub struct Name {
    hash: u64,
    length: u8,
    text: [u8; NAME_TEXT_MAX],
}

impl Name {
    /// No text at all.
    pub const EMPTY: Name = Name {
        hash: 0,
        length: 0,
        text: [0; NAME_TEXT_MAX],
    };

    /// Notes `text`. All workers of a process use one key, so that a name is the same everywhere.
    pub fn new(key: HashKey, text: &[u8]) -> Name {
        if text.is_empty() {
            return Name::EMPTY;
        }
        let mut name = Name {
            // 0 is the empty name's.
            hash: key.hash64(text).max(1),
            ..Name::EMPTY
        };
        let kept = text.len().min(NAME_TEXT_MAX);
        if let (Some(to), Some(from)) = (name.text.get_mut(..kept), text.get(..kept)) {
            to.copy_from_slice(from);
            name.length = kept as u8;
        }
        name
    }

    /// The account `user` of a realm, as `user@realm`: two tenants may each have a phone 201, and what
    /// is known of one says nothing about the other.
    pub fn of_account(key: HashKey, user: &[u8], realm: &str) -> Name {
        if user.is_empty() {
            return Name::EMPTY;
        }
        Name::new(key, &[user, b"@", realm.as_bytes()].concat())
    }

    /// A name that was kept by its text and its hash. Of a text that is here as a whole the hash is
    /// made anew, under `key`; of a longer one the kept hash has to do.
    pub fn restored(key: HashKey, text: &[u8], hash: u64) -> Name {
        let name = Name::new(key, text);
        match text.len() < NAME_TEXT_MAX {
            true => name,
            false => Name {
                hash: hash.max(1),
                ..name
            },
        }
    }

    /// The hash that stands for the whole text; 0 for no text.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether there is no text.
    pub const fn is_empty(&self) -> bool {
        self.hash == 0
    }

    /// Its first [`NAME_TEXT_MAX`] bytes as they came. Personal data, written by a peer.
    pub fn reveal(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// The text made harmless, for an operator's screen or a record.
    pub fn shown(&self) -> String {
        Escaped(self.reveal()).to_string()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([1; 16]);

    #[test]
    fn accounts_of_two_realms_are_two() {
        let of = |realm| Name::of_account(KEY, b"201", realm);
        assert_eq!(of("a.example"), of("a.example"));
        assert_ne!(of("a.example"), of("b.example"));
        assert_eq!(of("a.example"), Name::new(KEY, b"201@a.example"));
        assert!(Name::of_account(KEY, b"", "a.example").is_empty());
    }

    #[test]
    fn long_texts_that_begin_alike_are_told_apart() {
        let long = [b'a'; 100];
        let longer = [b'a'; 101];
        let (a, b) = (Name::new(KEY, &long), Name::new(KEY, &longer));
        assert_ne!(a, b);
        assert_eq!(a.reveal(), b.reveal());
        assert_eq!(a, Name::new(KEY, &long));
    }

    #[test]
    fn a_name_is_not_printed_by_accident() {
        let name = Name::new(KEY, b"+13305550100");
        assert_eq!(format!("{name:?}"), "…");
        assert_eq!(name.shown(), "+13305550100");
        assert_eq!(Name::new(KEY, b"a\x1b[2J").shown(), "a\\x1b[2J");
    }

    #[test]
    fn no_text_is_the_empty_name() {
        assert!(Name::new(KEY, b"").is_empty());
        assert!(!Name::new(KEY, b"a").is_empty());
    }
}
