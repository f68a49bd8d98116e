//! `rtpmap` (RFC 8866 §6.6) and the static payload types of RFC 3551 §6.

use crate::text::{first_word, small_number};

/// What a payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codec<'a> {
    /// 0 to 127.
    pub payload_type: u8,
    /// The encoding name as written: `PCMU`, `opus`, `telephone-event`.
    pub encoding: &'a str,
    /// Timestamp units per second.
    pub clock_rate: u32,
    /// Audio channels; 1 if not written.
    pub channels: u8,
}

impl Codec<'_> {
    /// Whether the encoding is this one, case apart.
    pub fn is(&self, encoding: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
    }

    /// Whether both mean the same encoding, whatever their payload types.
    pub fn same_encoding(&self, other: &Codec<'_>) -> bool {
        self.is(other.encoding)
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }

    /// What a static payload type means without an `rtpmap`.
    pub fn of_static(payload_type: u8) -> Option<Codec<'static>> {
        STATIC
            .iter()
            .find(|(number, ..)| *number == payload_type)
            .map(|&(payload_type, encoding, clock_rate, channels)| Codec {
                payload_type,
                encoding,
                clock_rate,
                channels,
            })
    }

    /// Reads the value of an `rtpmap`: `97 L16/44100/2`, whatever follows after a blank.
    pub(crate) fn parse(value: &[u8]) -> Option<Codec<'_>> {
        let (payload_type, rest) = first_word(value);
        let payload_type = payload_type_number(payload_type)?;
        let mut parts = first_word(rest).0.split(|&b| b == b'/');
        let encoding = str::from_utf8(parts.next()?)
            .ok()
            .filter(|name| !name.is_empty())?;
        let clock_rate = small_number(parts.next()?).filter(|&rate| rate > 0)?;
        let channels = parts
            .next()
            .and_then(small_number)
            .filter(|&channels| channels > 0);
        let channels = channels.unwrap_or(1);
        Some(Codec {
            payload_type,
            encoding,
            clock_rate,
            channels,
        })
    }
}

/// A payload type: 0 to 127.
pub(crate) fn payload_type_number(bytes: &[u8]) -> Option<u8> {
    small_number::<u8>(bytes).filter(|&number| number < 128)
}

/// RFC 3551 §6, tables 4 and 5.
const STATIC: &[(u8, &str, u32, u8)] = &[
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44100, 2),
    (11, "L16", 44100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11025, 1),
    (17, "DVI4", 22050, 1),
    (18, "G729", 8000, 1),
    (25, "CelB", 90000, 1),
    (26, "JPEG", 90000, 1),
    (28, "nv", 90000, 1),
    (31, "H261", 90000, 1),
    (32, "MPV", 90000, 1),
    (33, "MP2T", 90000, 1),
    (34, "H263", 90000, 1),
];
