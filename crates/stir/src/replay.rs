//! Tokens that were used (RFC 8224 §12.1): a fresh token must not carry a second call.
//!
//! A carrier may send the same request again on another way, with the same Call-ID; that is no
//! replay. The signature is no part of the key: an ECDSA signature has a twin.

use std::collections::VecDeque;
use std::time::Duration;

use ringfence_base::{HashKey, KeyedMap, UnixTime};

use crate::verifier::later;
use crate::verify::FRESH_SECONDS;

/// The tokens that were used within the time that a token is fresh.
#[derive(Debug)]
pub struct Replays {
    key: HashKey,
    /// Token to Call-ID, both hashed.
    used: KeyedMap<u128, u128>,
    /// In order of use, with the time when it may be forgotten.
    order: VecDeque<(UnixTime, u128)>,
}

impl Replays {
    /// None used yet.
    pub fn new(key: HashKey) -> Replays {
        Replays {
            key,
            used: key.map(),
            order: VecDeque::new(),
        }
    }

    /// Uses the token whose signed text is `signed` for the call `call_id`; `false` if it was used
    /// for another one. The oldest of [`TOKENS_MAX`] is forgotten for a new one.
    pub fn take(&mut self, now: UnixTime, signed: &[u8], call_id: &[u8]) -> bool {
        while let Some(&(until, token)) = self.order.front() {
            if until > now && self.order.len() < TOKENS_MAX {
                break;
            }
            self.used.remove(&token);
            self.order.pop_front();
        }
        let token = self.key.hash128(&[b"token", signed]);
        let call = self.key.hash128(&[b"call", call_id]);
        if let Some(before) = self.used.get(&token) {
            return *before == call;
        }
        self.used.insert(token, call);
        self.order.push_back((later(now, KEPT), token));
        true
    }

    /// Gives back what the call `call_id` has just used: it was refused, and its carrier may try
    /// another way, with another Call-ID. Looks no further back than `GIVEN_BACK_WITHIN` tokens.
    pub fn give_back(&mut self, call_id: &[u8]) {
        let call = self.key.hash128(&[b"call", call_id]);
        for (_, token) in self.order.iter().rev().take(GIVEN_BACK_WITHIN) {
            if self.used.get(token) == Some(&call) {
                self.used.remove(token);
            }
        }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}

/// A token is fresh from a minute before `iat` to a minute after it.
const KEPT: Duration = Duration::from_secs(2 * FRESH_SECONDS + 1);
/// How many tokens may have been used since one that is given back.
const GIVEN_BACK_WITHIN: usize = 256;
/// The most tokens that are kept.
pub const TOKENS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::entropy::SeededEntropy;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_carries_one_call_within_its_time_rfc8224_12_1() {
        let mut replays = Replays::new(HashKey::generate(&mut SeededEntropy::new(1)));
        assert!(replays.take(at(0), b"token", b"call-1"));
        assert!(replays.take(at(1), b"token", b"call-1"), "another way");
        assert!(!replays.take(at(2), b"token", b"call-2"));
        assert!(replays.take(at(2), b"other", b"call-2"));
        assert!(!replays.take(at(120), b"token", b"call-3"));
        assert!(replays.take(at(124), b"third", b"call-3"));
        assert_eq!(replays.len(), 1);
    }

    #[test]
    fn a_token_of_a_refused_call_may_come_another_way() {
        let mut replays = Replays::new(HashKey::generate(&mut SeededEntropy::new(3)));
        assert!(replays.take(at(0), b"token", b"call-1"));
        assert!(replays.take(at(0), b"other", b"call-2"));
        replays.give_back(b"call-1");
        assert!(replays.take(at(1), b"token", b"call-3"));
        assert!(!replays.take(at(2), b"token", b"call-1"));
        assert!(!replays.take(at(2), b"other", b"call-1"));
    }

    #[test]
    fn a_flood_of_tokens_forgets_the_oldest() {
        let mut replays = Replays::new(HashKey::generate(&mut SeededEntropy::new(2)));
        for number in 0..TOKENS_MAX as u32 + 10 {
            assert!(replays.take(at(0), &number.to_be_bytes(), b"call"));
        }
        assert!(replays.len() <= TOKENS_MAX);
    }
}
