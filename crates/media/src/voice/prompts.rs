//! What the edge says: the shipped prompts, and files in their place.

use std::f32::consts::TAU;
use std::sync::{Arc, OnceLock};

use ringfence_rtp::g711::{ULAW_SILENCE, encode_ulaw};

use super::wav::{self, WavError};

/// Sound as µ-law at 8 kHz. Cheap to copy.
pub type Sound = Arc<[u8]>;

/// The languages that prompts are shipped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// German.
    De,
    /// English.
    #[default]
    En,
}

impl Language {
    /// The language of a country (two letters of ISO 3166): German where it is spoken, else English.
    pub fn of_country(country: &str) -> Language {
        match country {
            "AT" | "CH" | "DE" | "LI" => Language::De,
            _ => Language::En,
        }
    }

    /// Two letters of ISO 639.
    pub const fn as_str(self) -> &'static str {
        match self {
            Language::De => "de",
            Language::En => "en",
        }
    }
}

/// The names of all prompts: that of a file is `NAME.wav`.
pub const PROMPTS: [&str; 17] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "ask",
    "ask-kindly",
    "thanks",
    "callback",
    "pin-ask",
    "pin-again",
    "pin-refused",
];

/// All that the edge can say, in one language.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompts {
    sounds: [Sound; PROMPTS.len()],
}

impl std::fmt::Debug for Prompts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompts(…)")
    }
}

macro_rules! shipped {
    ($language:literal) => {
        [
            include_bytes!(concat!("../../prompts/", $language, "/0.wav")).as_slice(),
            include_bytes!(concat!("../../prompts/", $language, "/1.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/2.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/3.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/4.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/5.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/6.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/7.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/8.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/9.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/ask.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/ask-kindly.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/thanks.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/callback.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/pin-ask.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/pin-again.wav")),
            include_bytes!(concat!("../../prompts/", $language, "/pin-refused.wav")),
        ]
    };
}

impl Prompts {
    /// The shipped prompts. All who have them share them.
    pub fn shipped(language: Language) -> Prompts {
        static SHIPPED: [OnceLock<Prompts>; 2] = [OnceLock::new(), OnceLock::new()];
        let [german, english] = &SHIPPED;
        // A test reads them all.
        let read = |files: [&[u8]; PROMPTS.len()]| Prompts {
            sounds: files.map(|file| wav::read(file).unwrap_or_default().into()),
        };
        match language {
            Language::De => german.get_or_init(|| read(shipped!("de"))).clone(),
            Language::En => english.get_or_init(|| read(shipped!("en"))).clone(),
        }
    }

    /// Puts a WAV file in the place of the prompt `name`; a name that is none changes nothing.
    ///
    /// # Errors
    /// The file is no prompt.
    pub fn replace(&mut self, name: &str, file: &[u8]) -> Result<(), WavError> {
        let sound = wav::read(file)?;
        let place = PROMPTS.iter().position(|known| *known == name);
        if let Some(place) = place.and_then(|place| self.sounds.get_mut(place)) {
            *place = sound.into();
        }
        Ok(())
    }

    /// The prompt `name`; silence if there is none.
    pub fn sound(&self, name: &str) -> Sound {
        let place = PROMPTS.iter().position(|known| *known == name);
        let sound = place.and_then(|place| self.sounds.get(place));
        sound.cloned().unwrap_or_default()
    }

    /// A digit that is said.
    pub fn digit(&self, digit: u8) -> Sound {
        let sound = self.sounds.get(usize::from(digit % 10));
        sound.cloned().unwrap_or_default()
    }
}

/// One period of the ringing tone of a country (ITU-T E.180): North America's, the British one, else
/// that of most of the world. All who have it share it.
pub fn ringback(country: &str) -> Sound {
    static RINGING: [OnceLock<Sound>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    let [american, british, other] = &RINGING;
    let (ringing, tones, on, off) = match country {
        "US" | "CA" => (american, [440.0, 480.0], 2, 4),
        "GB" | "IE" | "AU" | "NZ" => (british, [400.0, 450.0], 1, 2),
        _ => (other, [425.0, 425.0], 1, 4),
    };
    let sample = |place: usize| {
        let turn = TAU * place as f32 / 8_000.0;
        let sum: f32 = tones.iter().map(|hertz| (turn * hertz).sin()).sum();
        encode_ulaw((sum * LOUDNESS) as i16)
    };
    let silence = std::iter::repeat_n(ULAW_SILENCE, off * 8_000);
    let period = || (0..on * 8_000).map(sample).chain(silence).collect();
    Sound::clone(ringing.get_or_init(period))
}

/// Peak of each tone of the ringing: about -20 dBm0.
const LOUDNESS: f32 = 1_800.0;

#[cfg(test)]
mod tests {
    use ringfence_rtp::dtmf::SoundReader;
    use ringfence_rtp::g711::decode_ulaw;

    use super::*;

    #[test]
    fn the_shipped_prompts_are_there_and_leave_time_to_answer() {
        for language in [Language::De, Language::En] {
            let prompts = Prompts::shipped(language);
            for name in PROMPTS {
                let seconds = prompts.sound(name).len() as f32 / 8_000.0;
                // Whoever is asked for a PIN holds no line.
                let most = if name.starts_with("pin-") { 8.0 } else { 5.0 };
                assert!((0.3..most).contains(&seconds), "{name}: {seconds} s");
            }
            let digits: usize = (0..10)
                .map(|digit| prompts.digit(digit).len())
                .max()
                .unwrap();
            for ask in ["ask", "ask-kindly"] {
                let seconds = (prompts.sound(ask).len() + 2 * digits) as f32 / 8_000.0;
                assert!(seconds < 5.0, "{ask}: {seconds} s of the 7.8");
            }
        }
    }

    /// Talk-off by real words: an echo of what we say is no key.
    #[test]
    fn no_prompt_sounds_like_a_key() {
        for language in [Language::De, Language::En] {
            let prompts = Prompts::shipped(language);
            for name in PROMPTS {
                let mut reader = SoundReader::default();
                let sound = prompts.sound(name);
                let told = sound
                    .iter()
                    .find_map(|byte| reader.read(decode_ulaw(*byte)));
                assert_eq!(told, None, "{name}");
            }
        }
    }

    #[test]
    fn a_file_takes_the_place_of_a_prompt() {
        let mut prompts = Prompts::shipped(Language::En);
        let german = include_bytes!("../../prompts/de/4.wav");
        prompts.replace("4", german).unwrap();
        assert_eq!(prompts.digit(4), Prompts::shipped(Language::De).digit(4));
        assert_eq!(prompts.digit(5), Prompts::shipped(Language::En).digit(5));
        assert!(prompts.replace("4", b"no wave").is_err());
    }

    #[test]
    fn ringing_sounds_as_in_the_country_e180() {
        assert_eq!(ringback("US").len(), 6 * 8_000);
        assert_eq!(ringback("DE").len(), 5 * 8_000);
        assert!(
            ringback("DE")[8_000..]
                .iter()
                .all(|byte| *byte == ULAW_SILENCE)
        );
    }
}
