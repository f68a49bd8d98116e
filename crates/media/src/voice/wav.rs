//! WAV files (RIFF): what a prompt is read from.
//!
//! One channel of 8,000 samples a second, as 16-bit or 8-bit PCM, µ-law or A-law. Nothing is
//! resampled: a file that does not fit is refused with what it has.

use ringfence_rtp::g711::{decode_alaw, encode_ulaw};
use thiserror::Error;

/// Longest prompt, in samples: half a minute.
pub const SAMPLES_MAX: usize = 30 * 8_000;

/// Why a file is no prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WavError {
    /// It has more than one channel.
    #[error("it has {0} channels and must have one")]
    Channels(u16),
    /// Its samples are of a kind that is not read.
    #[error(
        "its samples are of format {format} with {bits} bits; 16-bit PCM, µ-law and A-law are read"
    )]
    Format {
        /// The number of the format.
        format: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// There is no sound in it.
    #[error("there is no sound in it")]
    Empty,
    /// It lasts for too long.
    #[error("it lasts longer than 30 seconds")]
    TooLong,
    /// It ends too early, or is something else.
    #[error("it is no WAV file")]
    NotWav,
    /// Its rate is another one.
    #[error("it has {0} samples a second and must have 8000")]
    Rate(u32),
}

const PCM: u16 = 1;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
/// The format stands in the extension.
const EXTENSIBLE: u16 = 0xfffe;

/// Reads a file: its sound as µ-law.
///
/// # Errors
/// The file is no prompt; the error says why.
pub fn read(file: &[u8]) -> Result<Vec<u8>, WavError> {
    let head = file.first_chunk::<12>().ok_or(WavError::NotWav)?;
    if !head.starts_with(b"RIFF") || !head.ends_with(b"WAVE") {
        return Err(WavError::NotWav);
    }
    let mut rest = file.get(12..).unwrap_or_default();
    let mut format = None;
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, size @ ..] = *head;
        let length = u32::from_le_bytes(size) as usize;
        // A recorder that was stopped leaves a length that is too large.
        let chunk = after.get(..length.min(after.len())).unwrap_or_default();
        match &[a, b, c, d] {
            b"fmt " => format = Some(Format::read(chunk)?),
            b"data" => return format.ok_or(WavError::NotWav)?.sound(chunk),
            _ => {}
        }
        // Chunks begin at even places.
        rest = after
            .get(length.saturating_add(length & 1)..)
            .unwrap_or_default();
    }
    Err(WavError::NotWav)
}

struct Format {
    format: u16,
    bits: u16,
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Format, WavError> {
        let fields = chunk.first_chunk::<16>().ok_or(WavError::NotWav)?;
        let [f0, f1, c0, c1, r0, r1, r2, r3, .., b0, b1] = *fields;
        let mut format = u16::from_le_bytes([f0, f1]);
        if format == EXTENSIBLE {
            let inner = chunk.get(24..26).and_then(<[u8]>::first_chunk);
            format = u16::from_le_bytes(*inner.ok_or(WavError::NotWav)?);
        }
        let channels = u16::from_le_bytes([c0, c1]);
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        if channels != 1 {
            return Err(WavError::Channels(channels));
        }
        if rate != 8_000 {
            return Err(WavError::Rate(rate));
        }
        let bits = u16::from_le_bytes([b0, b1]);
        Ok(Format { format, bits })
    }

    fn sound(&self, data: &[u8]) -> Result<Vec<u8>, WavError> {
        let wide = self.bits == 16;
        let samples = if wide { data.len() / 2 } else { data.len() };
        if samples == 0 {
            return Err(WavError::Empty);
        }
        if samples > SAMPLES_MAX {
            return Err(WavError::TooLong);
        }
        let (pairs, _) = data.as_chunks::<2>();
        Ok(match (self.format, self.bits) {
            (PCM, 16) => pairs
                .iter()
                .map(|pair| encode_ulaw(i16::from_le_bytes(*pair)))
                .collect(),
            // 8-bit PCM is without sign.
            (PCM, 8) => {
                let widen = |byte: &u8| (i16::from(*byte) - 128) << 8;
                data.iter().map(|byte| encode_ulaw(widen(byte))).collect()
            }
            (MU_LAW, 8) => data.to_vec(),
            (A_LAW, 8) => data
                .iter()
                .map(|byte| encode_ulaw(decode_alaw(*byte)))
                .collect(),
            (format, bits) => return Err(WavError::Format { format, bits }),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_rtp::g711::{decode_ulaw, encode_alaw};

    use super::*;

    fn file(format: u16, bits: u16, channels: u16, rate: u32, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        file.extend(format.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend([0; 6]);
        file.extend(bits.to_le_bytes());
        file.extend(b"LIST\x03\0\0\0abc\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn pcm_and_both_laws_are_read() {
        let ramp: Vec<i16> = (-100..100).map(|sample| sample * 300).collect();
        let expected: Vec<u8> = ramp.iter().map(|sample| encode_ulaw(*sample)).collect();
        let bytes: Vec<u8> = ramp
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        assert_eq!(read(&file(1, 16, 1, 8_000, &bytes)), Ok(expected.clone()));
        assert_eq!(read(&file(7, 8, 1, 8_000, &expected)), Ok(expected));
        let alaw: Vec<u8> = ramp.iter().map(|sample| encode_alaw(*sample)).collect();
        let from_alaw = read(&file(6, 8, 1, 8_000, &alaw)).unwrap();
        for (sample, byte) in ramp.iter().zip(from_alaw) {
            let off = i32::from(*sample) - i32::from(decode_ulaw(byte));
            assert!(
                off.abs() <= 20.max(i32::from(*sample).abs() / 8),
                "{sample}"
            );
        }
        assert_eq!(read(&file(1, 8, 1, 8_000, &[128])), Ok(vec![0xff]));
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_with_what_it_has() {
        assert_eq!(read(b"ID3"), Err(WavError::NotWav));
        assert_eq!(read(&file(1, 16, 1, 8_000, &[])), Err(WavError::Empty));
        assert_eq!(
            read(&file(1, 16, 2, 8_000, &[0; 8])),
            Err(WavError::Channels(2))
        );
        assert_eq!(
            read(&file(1, 16, 1, 44_100, &[0; 8])),
            Err(WavError::Rate(44_100))
        );
        let format = WavError::Format {
            format: 3,
            bits: 32,
        };
        assert_eq!(read(&file(3, 32, 1, 8_000, &[0; 8])), Err(format));
        let long = vec![0; SAMPLES_MAX + 1];
        assert_eq!(read(&file(7, 8, 1, 8_000, &long)), Err(WavError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            format in prop_oneof![Just(1_u16), Just(7), Just(EXTENSIBLE)],
        ) {
            let _ = read(&bytes);
            let mut whole = file(format, 16, 1, 8_000, &[]);
            whole.truncate(12 + bytes.len() % 40);
            whole.append(&mut bytes);
            let _ = read(&whole);
        }
    }
}
