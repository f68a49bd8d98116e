//! Digits out of sound at 8 kHz: two tones of Q.23 that stand out, for long enough (Q.24).
//!
//! Sound is looked at in blocks of [`BLOCK`] samples by the Goertzel algorithm. A block holds a
//! digit if one low and one high tone carry nearly all of its power, are of like strength (twist),
//! and stand out of their groups; a digit is told when two blocks running hold it, and is over when
//! three do not. So 40 ms of a digit suffice and a drop-out of 10 ms does not split it (Q.24), while
//! speech, which is never two tones alone for so long, is not taken for one.
//!
//! What it does not do is refuse tones that are off by no more than 3.5 %: for that the blocks would
//! have to be longer than the shortest digit.

use std::f32::consts::TAU;

use crate::tone::{DTMF_HIGH_HZ, DTMF_LOW_HZ, KEYPAD};

/// Samples of a block: 12.75 ms. All eight frequencies fall near the middle of a bin.
pub const BLOCK: usize = 102;

/// Sound is sampled so often a second.
const RATE_HZ: f32 = 8_000.0;
/// Least mean power of a block that is looked at, as a square of sample values: -36 dBm0 in each
/// tone.
const POWER_MIN: f32 = 180.0 * 180.0;
/// Share of a block's power that both tones together have at least.
const SHARE_MIN: f32 = 0.8;
/// How much stronger the low tone may be: 9 dB. Lines damp high tones more.
const LOW_OVER_HIGH_MAX: f32 = 7.94;
/// How much stronger the high tone may be: 6 dB.
const HIGH_OVER_LOW_MAX: f32 = 3.98;
/// How far a tone stands out of the others of its group: 8 dB.
const OVER_GROUP_MIN: f32 = 6.3;
/// Blocks running that begin a digit.
const BEGIN: u8 = 2;
/// Blocks running without it that end it: a drop-out of 10 ms spoils two.
const END: u8 = 3;

/// Reads digits out of sound.
#[derive(Clone, Debug)]
pub struct SoundReader {
    /// Goertzel states of the low and the high group.
    low: [Goertzel; 4],
    high: [Goertzel; 4],
    power: f32,
    samples: usize,
    /// What the last blocks held, and how many running.
    candidate: Option<char>,
    running: u8,
    /// The digit that is on.
    on: Option<char>,
}

#[derive(Clone, Copy, Debug)]
struct Goertzel {
    coefficient: f32,
    previous: f32,
    before: f32,
}

impl Default for SoundReader {
    fn default() -> SoundReader {
        SoundReader {
            low: DTMF_LOW_HZ.map(Goertzel::new),
            high: DTMF_HIGH_HZ.map(Goertzel::new),
            power: 0.0,
            samples: 0,
            candidate: None,
            running: 0,
            on: None,
        }
    }
}

impl SoundReader {
    /// The next sample: the digit that is sure with it.
    #[inline]
    pub fn read(&mut self, sample: i16) -> Option<char> {
        let sample = f32::from(sample);
        for tone in self.low.iter_mut().chain(&mut self.high) {
            tone.push(sample);
        }
        self.power += sample * sample;
        self.samples += 1;
        if self.samples < BLOCK {
            return None;
        }
        let held = self.take_block();
        self.note(held)
    }

    /// The digit that is on.
    pub const fn on(&self) -> Option<char> {
        self.on
    }

    /// Whether a digit is on, or the last block was like one that begins.
    pub const fn suspects(&self) -> bool {
        self.on.is_some() || self.candidate.is_some()
    }

    /// There is a gap in the sound: what was on is over.
    pub fn interrupt(&mut self) {
        *self = SoundReader::default();
    }

    /// What the block that is full holds; the next one begins.
    fn take_block(&mut self) -> Option<char> {
        let total = std::mem::take(&mut self.power);
        self.samples = 0;
        let low = self.low.each_mut().map(Goertzel::take);
        let high = self.high.each_mut().map(Goertzel::take);
        if total < POWER_MIN * BLOCK as f32 {
            return None;
        }
        let ((row, low_best), (column, high_best)) = (strongest(&low)?, strongest(&high)?);
        let twisted =
            low_best > high_best * LOW_OVER_HIGH_MAX || high_best > low_best * HIGH_OVER_LOW_MAX;
        // A tone of amplitude a has the squared magnitude (a·n/2)², and the power a²/2 a sample.
        let share = 2.0 * (low_best + high_best) / (total * BLOCK as f32);
        let clear = !twisted && share >= SHARE_MIN;
        if !clear || !stands_out(&low, row) || !stands_out(&high, column) {
            return None;
        }
        KEYPAD.get(row)?.get(column).copied()
    }

    fn note(&mut self, held: Option<char>) -> Option<char> {
        if held == self.candidate {
            self.running = self.running.saturating_add(1);
        } else {
            (self.candidate, self.running) = (held, 1);
        }
        let least = if held.is_some() { BEGIN } else { END };
        if self.running < least || self.on == held {
            return None;
        }
        self.on = held;
        held
    }
}

impl Goertzel {
    fn new(frequency_hz: f32) -> Goertzel {
        Goertzel {
            coefficient: 2.0 * (TAU * frequency_hz / RATE_HZ).cos(),
            previous: 0.0,
            before: 0.0,
        }
    }

    #[inline]
    fn push(&mut self, sample: f32) {
        let current = sample + self.coefficient * self.previous - self.before;
        (self.before, self.previous) = (self.previous, current);
    }

    /// The squared magnitude, and back to the start.
    fn take(&mut self) -> f32 {
        let (one, two) = (
            std::mem::take(&mut self.previous),
            std::mem::take(&mut self.before),
        );
        (one * one + two * two - self.coefficient * one * two).max(0.0)
    }
}

fn strongest(group: &[f32; 4]) -> Option<(usize, f32)> {
    let indexed = group.iter().copied().enumerate();
    indexed.max_by(|one, other| one.1.total_cmp(&other.1))
}

fn stands_out(group: &[f32; 4], place: usize) -> bool {
    let best = group.get(place).copied().unwrap_or_default();
    let others = group
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != place);
    others
        .into_iter()
        .all(|(_, other)| other * OVER_GROUP_MIN <= best)
}

#[cfg(test)]
mod tests {
    use ringfence_base::Entropy;
    use ringfence_base::entropy::SeededEntropy;

    use super::*;
    use crate::g711;

    /// Two tones with a peak each, for so many milliseconds.
    fn pair(low_hz: f32, high_hz: f32, peaks: (f32, f32), milliseconds: usize) -> Vec<i16> {
        let sample = |place: usize| {
            let turn = TAU * place as f32 / RATE_HZ;
            (peaks.0 * (turn * low_hz).sin() + peaks.1 * (turn * high_hz).sin()) as i16
        };
        (0..milliseconds * 8).map(sample).collect()
    }

    fn tones(digit: char) -> (f32, f32) {
        let mut keys = (0..16).map(|key| (key / 4, key % 4));
        let (row, column) = keys
            .find(|(row, column)| KEYPAD[*row][*column] == digit)
            .unwrap();
        (DTMF_LOW_HZ[row], DTMF_HIGH_HZ[column])
    }

    fn press(digit: char, milliseconds: usize) -> Vec<i16> {
        let (low, high) = tones(digit);
        pair(low, high, (6_000.0, 6_000.0), milliseconds)
    }

    fn pause(milliseconds: usize) -> Vec<i16> {
        vec![0; milliseconds * 8]
    }

    fn told(samples: &[i16]) -> String {
        let mut reader = SoundReader::default();
        samples
            .iter()
            .filter_map(|sample| reader.read(*sample))
            .collect()
    }

    #[track_caller]
    fn check(parts: &[Vec<i16>], expected: &str) {
        assert_eq!(told(&parts.concat()), expected);
    }

    #[test]
    fn each_digit_is_told_once_q23() {
        for digit in KEYPAD.concat() {
            check(&[press(digit, 80), pause(80)], &digit.to_string());
        }
        let spelled = "0123456789*#ABCD".chars();
        let keys: Vec<_> = spelled
            .flat_map(|digit| [press(digit, 60), pause(60)])
            .collect();
        check(&keys, "0123456789*#ABCD");
        check(&[press('7', 3_000)], "7");
    }

    #[test]
    fn forty_milliseconds_suffice_wherever_they_begin_and_twenty_are_none_q24() {
        for offset in 0..BLOCK {
            let before = vec![0; offset];
            check(&[before.clone(), press('5', 40), pause(60)], "5");
            check(&[before, press('5', 20), pause(60)], "");
        }
    }

    #[test]
    fn a_short_drop_out_does_not_split_a_digit_and_a_pause_does_q24() {
        for offset in 0..BLOCK {
            let before = vec![0; offset];
            check(
                &[before.clone(), press('5', 60), pause(10), press('5', 60)],
                "5",
            );
            check(&[before, press('5', 60), pause(40), press('5', 60)], "55");
        }
    }

    #[test]
    fn digits_survive_g711_and_noise() {
        let mut noise = SeededEntropy::new(4);
        for digit in KEYPAD.concat() {
            let noisy: Vec<i16> = press(digit, 80)
                .into_iter()
                .map(|sample| sample + noise.below(1_601) as i16 - 800)
                .collect();
            let ulaw = noisy
                .iter()
                .map(|it| g711::decode_ulaw(g711::encode_ulaw(*it)));
            assert_eq!(told(&ulaw.collect::<Vec<_>>()), digit.to_string());
            let alaw = noisy
                .iter()
                .map(|it| g711::decode_alaw(g711::encode_alaw(*it)));
            assert_eq!(told(&alaw.collect::<Vec<_>>()), digit.to_string());
        }
    }

    #[test]
    fn soft_digits_are_heard_and_whispers_are_not_q24() {
        // -26 dBm0 and -46 dBm0 in each tone.
        let (low, high) = tones('8');
        check(&[pair(low, high, (1_150.0, 1_150.0), 80)], "8");
        check(&[pair(low, high, (115.0, 115.0), 80)], "");
    }

    #[test]
    fn tones_of_like_strength_are_a_digit_and_twisted_ones_are_none_q24() {
        for digit in KEYPAD.concat() {
            let (low, high) = tones(digit);
            let twist = |decibels: f32| 10_f32.powf(decibels / 20.0);
            let told = |low_db: f32| told(&pair(low, high, (1_500.0 * twist(low_db), 1_500.0), 80));
            for accepted in [-4.0, 0.0, 4.0, 8.0] {
                assert_eq!(told(accepted), digit.to_string(), "{digit} {accepted} dB");
            }
            for refused in [-8.0, 11.0] {
                assert_eq!(told(refused), "", "{digit} {refused} dB");
            }
        }
    }

    #[test]
    fn frequencies_may_be_off_by_a_little_and_not_by_much_q24() {
        for digit in KEYPAD.concat() {
            let (low, high) = tones(digit);
            for off in [0.985, 1.0, 1.015] {
                let sound = pair(low * off, high * off, (6_000.0, 6_000.0), 80);
                assert_eq!(told(&sound), digit.to_string(), "{digit} by {off}");
            }
            for off in [0.94, 1.06] {
                let sound = pair(low * off, high, (6_000.0, 6_000.0), 80);
                assert_eq!(told(&sound), "", "{digit} by {off}");
            }
        }
    }

    #[test]
    fn single_tones_progress_tones_and_hum_are_no_digits() {
        let loud = 9_000.0;
        for hertz in (50..3_400).step_by(10) {
            check(&[pair(hertz as f32, 0.0, (loud, 0.0), 200)], "");
        }
        for (low, high) in [
            (440.0, 480.0),
            (480.0, 620.0),
            (350.0, 440.0),
            (425.0, 450.0),
        ] {
            check(&[pair(low, high, (loud, loud), 500)], "");
        }
    }

    /// Talk-off: vowels are a harmonic series under formants, with breath in it. Two and a half
    /// minutes of nothing but vowels, at pitches that are worst for it.
    #[test]
    fn vowels_are_hardly_ever_taken_for_a_digit() {
        let mut chance = SeededEntropy::new(11);
        let mut reader = SoundReader::default();
        let mut told = 0;
        let mut turn = 0.0_f32;
        for _ in 0..1_500 {
            let pitch = 80.0 + chance.below(170) as f32;
            let formants = [
                (300.0 + chance.below(600) as f32, 1.0),
                (900.0 + chance.below(1_500) as f32, 0.6),
                (2_300.0 + chance.below(700) as f32, 0.3),
            ];
            let strengths: Vec<f32> = (1..=20_u8)
                .map(|harmonic| {
                    let hertz = pitch * f32::from(harmonic);
                    let near = |(formant, strength): &(f32, f32)| {
                        strength / (1.0 + ((hertz - formant) / 90.0).powi(2))
                    };
                    formants.iter().map(near).sum()
                })
                .collect();
            for _ in 0..400 * 2 {
                turn = (turn + pitch / RATE_HZ).fract();
                let harmonics = strengths.iter().zip(1_u8..);
                let voiced: f32 = harmonics
                    .map(|(strength, harmonic)| strength * (TAU * turn * f32::from(harmonic)).sin())
                    .sum();
                let breath = chance.below(1_001) as f32 - 500.0;
                told += usize::from(reader.read((voiced * 5_000.0 + breath) as i16).is_some());
            }
        }
        assert!(told <= 3, "{told}");
    }

    #[test]
    fn a_gap_in_the_sound_begins_anew() {
        let mut reader = SoundReader::default();
        let one = press('5', 60);
        let first: String = one.iter().filter_map(|it| reader.read(*it)).collect();
        reader.interrupt();
        let second: String = one.iter().filter_map(|it| reader.read(*it)).collect();
        assert_eq!((first.as_str(), second.as_str()), ("5", "5"));
    }
}
