//! A person's ear: the digits that are said, found in nothing but the sound that came.
//!
//! The listener knows the language, which is to say what each digit sounds like, as people do. It is
//! not told which ones are said.

use ringfence_media::voice::{Language, Prompts};

/// Bytes of a digit's middle that must be heard to understand it: 50 ms.
const HEARD_MIN: usize = 400;

/// What was heard so far, and the digits in it.
pub(super) struct Ear {
    heard: Vec<u8>,
    digits: [Vec<u8>; 10],
    understood: Vec<(usize, u8)>,
}

impl Ear {
    /// Understands English.
    pub(super) fn new() -> Ear {
        let prompts = Prompts::shipped(Language::En);
        let middle = |digit: u8| {
            let sound = prompts.digit(digit);
            let from = sound.len().saturating_sub(HEARD_MIN) / 2;
            let middle = sound.iter().skip(from).take(HEARD_MIN);
            middle.copied().collect()
        };
        Ear {
            heard: Vec::new(),
            digits: std::array::from_fn(|digit| middle(digit as u8)),
            understood: Vec::new(),
        }
    }

    /// Hears a packet of µ-law.
    pub(super) fn hear(&mut self, sound: &[u8]) {
        let from = self.heard.len().saturating_sub(HEARD_MIN - 1);
        self.heard.extend_from_slice(sound);
        let fresh = self.heard.get(from..).unwrap_or_default();
        for (digit, pattern) in self.digits.iter().enumerate() {
            let found = fresh
                .windows(HEARD_MIN)
                .position(|window| window == pattern.as_slice());
            if let Some(place) = found {
                self.understood.push((from + place, digit as u8));
            }
        }
        self.understood.sort_unstable();
    }

    /// The first digit, once it was said.
    pub(super) fn first_digit(&self) -> Option<u8> {
        self.understood.first().map(|(_, digit)| *digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_understood_however_the_packets_fall() {
        let prompts = Prompts::shipped(Language::En);
        for (digit, lead) in [(7, 1), (0, 77), (3, 159)] {
            let mut said = vec![0xff; lead];
            said.extend_from_slice(&prompts.sound("ask"));
            said.extend_from_slice(&[0xff; 480]);
            said.extend_from_slice(&prompts.digit(digit));
            said.extend_from_slice(&[0xff; 320]);
            let mut ear = Ear::new();
            for packet in said.chunks(160) {
                ear.hear(packet);
            }
            assert_eq!(ear.first_digit(), Some(digit));
        }
    }

    #[test]
    fn silence_holds_no_digit() {
        let mut ear = Ear::new();
        for _ in 0..500 {
            ear.hear(&[0xff; 160]);
        }
        assert_eq!(ear.first_digit(), None);
    }
}
