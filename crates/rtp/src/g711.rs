//! G.711: A-law and µ-law (ITU-T G.711), by table for decoding and by segment for encoding.
//!
//! Samples are linear 16-bit at 8 kHz. A-law's even bits are inverted on the wire as §2 asks.

/// RTP payload type of µ-law, RFC 3551 §6.
pub const PCMU: u8 = 0;
/// RTP payload type of A-law, RFC 3551 §6.
pub const PCMA: u8 = 8;
/// Samples a second, and RTP clock rate.
pub const CLOCK_RATE: u32 = 8_000;
/// µ-law of silence.
pub const ULAW_SILENCE: u8 = 0xff;
/// A-law of silence.
pub const ALAW_SILENCE: u8 = 0xd5;

/// Added before µ-law's segments are cut, so that each starts at a power of two.
const ULAW_BIAS: i32 = 0x84;
const ULAW_CLIP: i32 = 32_635;
const ULAW_TABLE: [i16; 256] = ulaw_table();
const ALAW_TABLE: [i16; 256] = alaw_table();

/// The sample of a µ-law byte.
pub fn decode_ulaw(byte: u8) -> i16 {
    ULAW_TABLE[usize::from(byte)]
}

/// The sample of an A-law byte.
pub fn decode_alaw(byte: u8) -> i16 {
    ALAW_TABLE[usize::from(byte)]
}

/// The µ-law byte nearest to a sample.
pub fn encode_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(ULAW_CLIP) + ULAW_BIAS;
    // The bias makes bit 7 the lowest that can lead: segment 0.
    let segment = 24 - magnitude.leading_zeros();
    let mantissa = magnitude >> (segment + 3) & 0x0f;
    !(sign | (segment << 4) as u8 | mantissa as u8)
}

/// The A-law byte nearest to a sample.
pub fn encode_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 {
        (0, !sample)
    } else {
        (0x80, sample)
    };
    // 12 bits of magnitude; the first two segments are one line.
    let magnitude = u32::from(magnitude.unsigned_abs()) >> 4;
    let segment = 28u32.saturating_sub(magnitude.leading_zeros()).min(7);
    let segment = if magnitude < 0x10 { 0 } else { segment };
    let mantissa = magnitude >> segment.saturating_sub(1) & 0x0f;
    (sign | (segment << 4) as u8 | mantissa as u8) ^ 0x55
}

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let bits = !(byte as u8);
        let magnitude = ((((bits & 0x0f) as i32) << 3) + ULAW_BIAS) << ((bits >> 4) & 7);
        let sample = magnitude - ULAW_BIAS;
        table[byte] = if bits & 0x80 != 0 { -sample } else { sample } as i16;
        byte += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let bits = byte as u8 ^ 0x55;
        let (segment, mantissa) = ((bits >> 4) & 7, (bits & 0x0f) as i32);
        // The middle of the step.
        let sample = match segment {
            0 => (mantissa << 4) + 8,
            _ => ((mantissa << 4) + 0x108) << (segment - 1),
        };
        table[byte] = if bits & 0x80 != 0 { sample } else { -sample } as i16;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_g711_tables_1_and_2() {
        assert_eq!(
            [0xff, 0x7f, 0x80, 0x00].map(decode_ulaw),
            [0, 0, 32_124, -32_124]
        );
        assert_eq!(
            [0xd5, 0x55, 0xaa, 0x2a].map(decode_alaw),
            [8, -8, 32_256, -32_256]
        );
        assert_eq!([0, 32_767, -32_768].map(encode_ulaw), [0xff, 0x80, 0x00]);
        assert_eq!([0, 32_767, -32_768].map(encode_alaw), [0xd5, 0xaa, 0x2a]);
        assert_eq!(
            (encode_ulaw(0), encode_alaw(0)),
            (ULAW_SILENCE, ALAW_SILENCE)
        );
    }

    #[test]
    fn each_byte_decodes_and_encodes_back() {
        for byte in 0..=255 {
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
            // µ-law has two zeros; the negative one comes back as the positive.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(encode_ulaw(decode_ulaw(byte)), expected);
        }
    }

    #[test]
    fn no_sample_is_further_off_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let clipped = i32::from(sample).clamp(-32_635, 32_635);
            let ulaw = (i32::from(decode_ulaw(encode_ulaw(sample))) - clipped).abs();
            let alaw = (i32::from(decode_alaw(encode_alaw(sample))) - i32::from(sample)).abs();
            let magnitude = i32::from(sample).abs();
            assert!(ulaw <= 4.max((magnitude + 132) / 32), "{sample}: {ulaw}");
            assert!(alaw <= 8.max(magnitude / 32 + 1), "{sample}: {alaw}");
        }
    }

    #[test]
    fn louder_samples_never_get_a_softer_code() {
        for sample in i16::MIN..i16::MAX {
            assert!(decode_ulaw(encode_ulaw(sample)) <= decode_ulaw(encode_ulaw(sample + 1)));
            assert!(decode_alaw(encode_alaw(sample)) <= decode_alaw(encode_alaw(sample + 1)));
        }
    }
}
