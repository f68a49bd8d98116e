//! What of the inside must never be seen outside, and a search for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The inside's secrets, known to the simulated PBX and looked for by everybody outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    words: Arc<Mutex<BTreeSet<Vec<u8>>>>,
}

/// Most words kept: a demo that runs for days must not grow. Old calls' words stay valid.
const WORDS_MAX: usize = 20_000;

impl Secrets {
    /// Adds an address, as text and as the bytes of a packet.
    pub(super) fn address(&self, address: IpAddr) {
        self.word(address.to_string().as_bytes());
    }

    /// Adds a name, a Call-ID, a tag.
    pub(super) fn word(&self, word: &[u8]) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if !word.is_empty() && words.len() < WORDS_MAX {
            words.insert(word.to_vec());
        }
    }

    /// How many of them occur in `bytes`.
    pub(super) fn found_in(&self, bytes: &[u8]) -> u64 {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words
            .iter()
            .filter(|word| {
                bytes
                    .windows(word.len())
                    .any(|window| window == word.as_slice())
            })
            .count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands() {
        let secrets = Secrets::default();
        secrets.address("127.0.1.20".parse().unwrap());
        secrets.word(b"HoldenPBX");
        assert_eq!(secrets.found_in(b"o=- 1 1 IN IP4 127.0.1.20\r\n"), 1);
        assert_eq!(secrets.found_in(b"Server: HoldenPBX/7 at 127.0.1.20"), 2);
        assert_eq!(secrets.found_in(b"127.0.0.20"), 0);
    }
}
