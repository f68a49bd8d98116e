//! Tones: made by an oscillator, found again by the Goertzel algorithm.
//!
//! For tests that compare audio by its content, for the simulator's callers, and for DTMF in the audio
//! (ITU-T Q.23 frequencies). Not a Q.24 receiver: it does not judge twist or talk-off, only which tones
//! dominate a block.

use std::f32::consts::TAU;

/// The low and the high DTMF frequencies, Hz (ITU-T Q.23).
pub const DTMF_LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// See [`DTMF_LOW_HZ`].
pub const DTMF_HIGH_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// Share of a block's power that both DTMF tones together must have.
const DTMF_MIN_SHARE: f32 = 0.7;
/// Either tone's own share: one alone is speech, or a call progress tone.
const DTMF_MIN_TONE_SHARE: f32 = 0.1;
/// Mean power of a block below which it is silence: -50 dBm0 or so.
const SILENCE_POWER: f32 = 2_500.0;
/// The keys by low and high frequency (ITU-T Q.23).
pub(crate) const KEYPAD: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// A sine oscillator: an endless iterator over samples.
#[derive(Clone, Debug)]
pub struct Tone {
    /// 0.0..1.0 of a turn.
    phase: f32,
    step: f32,
    amplitude: f32,
}

impl Tone {
    /// A tone of `frequency_hz` with a peak of `amplitude`, at `sample_rate_hz`.
    pub fn new(frequency_hz: f32, amplitude: i16, sample_rate_hz: u32) -> Tone {
        let step = frequency_hz / sample_rate_hz as f32;
        Tone {
            phase: 0.0,
            step,
            amplitude: f32::from(amplitude),
        }
    }

    /// The two tones of a DTMF digit, each with a peak of `amplitude`.
    pub fn dtmf(digit: char, amplitude: i16, sample_rate_hz: u32) -> Option<[Tone; 2]> {
        let digit = digit.to_ascii_uppercase();
        let (row, column) = (0..16)
            .map(|i| (i / 4, i % 4))
            .find(|&(r, c)| KEYPAD[r][c] == digit)?;
        let tone = |frequency_hz| Tone::new(frequency_hz, amplitude, sample_rate_hz);
        Some([tone(DTMF_LOW_HZ[row]), tone(DTMF_HIGH_HZ[column])])
    }
}

impl Iterator for Tone {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        let sample = self.amplitude * (self.phase * TAU).sin();
        self.phase = (self.phase + self.step).fract();
        Some(sample as i16)
    }
}

/// The share of a block's power at one frequency, 0.0 (none, or silence) to about 1.0 (a pure tone).
///
/// The block decides the resolution: frequencies closer than the sample rate over its length blur.
pub fn tone_share(samples: &[i16], frequency_hz: f32, sample_rate_hz: u32) -> f32 {
    let total: f32 = samples
        .iter()
        .map(|&sample| f32::from(sample).powi(2))
        .sum();
    if samples.is_empty() || total / samples.len() as f32 <= SILENCE_POWER {
        return 0.0;
    }
    2.0 * goertzel(samples, frequency_hz, sample_rate_hz) / (total * samples.len() as f32)
}

/// The DTMF digit that dominates a block, if one does. Blocks of 20 to 40 ms suit.
pub fn dtmf_digit(samples: &[i16], sample_rate_hz: u32) -> Option<char> {
    let strongest = |frequencies: &[f32; 4]| {
        let shares = frequencies.map(|hz| tone_share(samples, hz, sample_rate_hz));
        let best = (0..4)
            .max_by(|&a, &b| shares[a].total_cmp(&shares[b]))
            .unwrap_or(0);
        (best, shares[best])
    };
    let ((row, low), (column, high)) = (strongest(&DTMF_LOW_HZ), strongest(&DTMF_HIGH_HZ));
    let present = low.min(high) >= DTMF_MIN_TONE_SHARE && low + high >= DTMF_MIN_SHARE;
    present.then(|| KEYPAD[row][column])
}

/// The squared magnitude of the block's Fourier term at one frequency.
fn goertzel(samples: &[i16], frequency_hz: f32, sample_rate_hz: u32) -> f32 {
    let coefficient = 2.0 * (TAU * frequency_hz / sample_rate_hz as f32).cos();
    let (mut previous, mut before) = (0.0, 0.0);
    for &sample in samples {
        let current = f32::from(sample) + coefficient * previous - before;
        (before, previous) = (previous, current);
    }
    (previous * previous + before * before - coefficient * previous * before).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::g711;

    const RATE: u32 = 8_000;

    fn mixed(digit: char, len: usize) -> Vec<i16> {
        let [low, high] = Tone::dtmf(digit, 8_000, RATE).unwrap();
        low.zip(high)
            .map(|(low, high)| low + high)
            .take(len)
            .collect()
    }

    #[test]
    fn a_tone_is_found_at_its_frequency_only() {
        let samples: Vec<i16> = Tone::new(1_004.0, 10_000, RATE).take(800).collect();
        assert!(tone_share(&samples, 1_004.0, RATE) > 0.95);
        assert!(tone_share(&samples, 440.0, RATE) < 0.01);
        assert!(tone_share(&samples, 1_100.0, RATE) < 0.05);
    }

    #[test]
    fn a_tone_survives_g711() {
        let there_and_back = |sample| g711::decode_alaw(g711::encode_alaw(sample));
        let samples: Vec<i16> = Tone::new(440.0, 8_000, RATE)
            .map(there_and_back)
            .take(160)
            .collect();
        assert!(tone_share(&samples, 440.0, RATE) > 0.9);
    }

    #[test]
    fn the_oscillator_does_not_drift() {
        let hour = Tone::new(425.0, 10_000, RATE).skip(3_600 * RATE as usize);
        let samples: Vec<i16> = hour.take(800).collect();
        assert!(tone_share(&samples, 425.0, RATE) > 0.95);
    }

    #[test]
    fn each_digit_is_found_q23() {
        for digit in KEYPAD.concat() {
            assert_eq!(dtmf_digit(&mixed(digit, 320), RATE), Some(digit));
        }
        assert_eq!(Tone::dtmf('E', 8_000, RATE).map(|_| ()), None);
    }

    #[test]
    fn silence_and_single_tones_are_no_digits() {
        assert_eq!(dtmf_digit(&[], RATE), None);
        assert_eq!(dtmf_digit(&[0; 320], RATE), None);
        assert_eq!(dtmf_digit(&[8; 320], RATE), None);
        let single: Vec<i16> = Tone::new(697.0, 10_000, RATE).take(320).collect();
        assert_eq!(dtmf_digit(&single, RATE), None);
    }

    proptest! {
        #[test]
        fn any_samples_have_a_share(samples in prop::collection::vec(any::<i16>(), 0..400)) {
            let share = tone_share(&samples, 697.0, RATE);
            prop_assert!((0.0..=2.5).contains(&share), "{}", share);
            let _ = dtmf_digit(&samples, RATE);
        }
    }
}
