//! Audio by its content: tones written to and found in 16-bit WAV files.
//!
//! A call is proved by what was heard, not by counters: one side plays 440 Hz, the other 1,000,
//! and each recording must hold the other's tone and next to nothing else.

use std::f64::consts::TAU;
use std::path::Path;

use anyhow::{Context, bail};

/// Samples a second of everything here: that of G.711.
pub const RATE: u32 = 8_000;

/// Left out at the start: buffers fill, paths are cut through.
const SETTLE_MS: usize = 500;

/// Left out at the end: the hang-up cuts a packet.
const LEAVE_MS: usize = 200;

/// Mono 16-bit samples with their rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Samples a second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Audio {
    /// A tone of `hertz` for `seconds`.
    pub fn tone(hertz: u32, seconds: u32) -> Audio {
        let step = TAU * f64::from(hertz) / f64::from(RATE);
        let sample = |index: u32| ((f64::from(index) * step).sin() * 12_000.0) as i16;
        Audio {
            rate: RATE,
            samples: (0..RATE * seconds).map(sample).collect(),
        }
    }

    /// Writes a WAV file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let length = u32::try_from(self.samples.len() * 2).context("too long")?;
        let mut out = Vec::with_capacity(44 + self.samples.len() * 2);
        out.extend_from_slice(b"RIFF");
        out.extend_from_slice(&(36 + length).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&self.rate.to_le_bytes());
        out.extend_from_slice(&(self.rate * 2).to_le_bytes());
        out.extend_from_slice(b"\x02\0\x10\0data");
        out.extend_from_slice(&length.to_le_bytes());
        for sample in &self.samples {
            out.extend_from_slice(&sample.to_le_bytes());
        }
        std::fs::write(path, out).with_context(|| path.display().to_string())
    }

    /// Reads a WAV file; of several channels, the first. A length that its writer had no time to
    /// correct is taken as "to the end of the file".
    ///
    /// # Errors
    /// When it is not 16-bit PCM.
    pub fn read(path: &Path) -> anyhow::Result<Audio> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
            bail!("{} is not a WAV file", path.display());
        }
        let number = |at: usize, len: usize| {
            let bytes = bytes.get(at..at + len).unwrap_or_default();
            bytes
                .iter()
                .rev()
                .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (mut at, mut rate, mut channels) = (12, RATE, 1);
        while at + 8 <= bytes.len() {
            let length = number(at + 4, 4);
            let body = at + 8;
            match &bytes[at..at + 4] {
                b"fmt " => {
                    (channels, rate) = (number(body + 2, 2).max(1), number(body + 4, 4) as u32);
                    if number(body + 14, 2) != 16 {
                        bail!("{} is not 16-bit PCM", path.display());
                    }
                }
                b"data" => {
                    let end = if length == 0 {
                        bytes.len()
                    } else {
                        bytes.len().min(body + length)
                    };
                    let pairs = bytes[body..end].chunks_exact(2);
                    let all = pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                    return Ok(Audio {
                        rate,
                        samples: all.step_by(channels).collect(),
                    });
                }
                _ => {}
            }
            at = body + length + length % 2;
        }
        bail!("{} holds no samples", path.display())
    }

    /// Seconds of sound.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// The share of the energy at `hertz`, 0 to 1, over windows of 100 ms between the settling at
    /// the start and the cut at the end. A silent window counts as 0.
    pub fn share_at(&self, hertz: u32) -> f64 {
        let per_ms = self.rate as usize / 1_000;
        let end = self.samples.len().saturating_sub(LEAVE_MS * per_ms);
        let heard = self
            .samples
            .get(SETTLE_MS * per_ms..end)
            .unwrap_or_default();
        let windows: Vec<f64> = heard
            .chunks_exact(100 * per_ms)
            .map(|window| share(window, f64::from(hertz) / f64::from(self.rate)))
            .collect();
        if windows.is_empty() {
            0.0
        } else {
            windows.iter().sum::<f64>() / windows.len() as f64
        }
    }
}

/// Goertzel's algorithm: energy at `frequency` (of the sampling rate) over energy.
fn share(window: &[i16], frequency: f64) -> f64 {
    let coefficient = 2.0 * (TAU * frequency).cos();
    let (mut last, mut before, mut energy) = (0.0, 0.0, 0.0);
    for sample in window.iter().map(|sample| f64::from(*sample)) {
        (last, before) = (sample + coefficient * last - before, last);
        energy += sample * sample;
    }
    if energy == 0.0 {
        return 0.0;
    }
    let power = last * last + before * before - coefficient * last * before;
    power * 2.0 / window.len() as f64 / energy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_frequency_only() {
        let audio = Audio::tone(440, 2);
        assert!(audio.share_at(440) > 0.99);
        assert!(audio.share_at(1_000) < 0.01);
        assert!(
            Audio {
                rate: RATE,
                samples: vec![0; 16_000]
            }
            .share_at(440)
                < 0.01
        );
        assert!(
            Audio {
                rate: RATE,
                samples: vec![]
            }
            .share_at(440)
                < 0.01
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tone.wav");
        let audio = Audio::tone(1_000, 1);
        audio.write(&path).expect("written");
        assert_eq!(Audio::read(&path).expect("read"), audio);
    }
}
