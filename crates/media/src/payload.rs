//! The payload types a side may send, with their clocks.
//!
//! Kept in five bytes each: every side carries a list and every packet searches one.

use std::fmt;

use ringfence_rtp::quality::Codec;
use thiserror::Error;

/// Payload types per side. More than any carrier or PBX negotiates for audio.
pub const PAYLOAD_TYPES_MAX: usize = 16;

/// One negotiated payload type (`a=rtpmap`, RFC 8866 §6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// The number, 0..=127.
    pub number: u8,
    /// Ticks of the RTP timestamp per second; 0 if not known, and so is what needs 25 bits.
    pub clock_rate: u32,
    /// The codec, for the opinion score. `None` for what is not the codec's own audio: telephone
    /// events (RFC 4733) and comfort noise (RFC 3389).
    pub codec: Option<Codec>,
}

/// Why a payload type was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadTypeError {
    /// The number is above 127, or one of 64..=95, which RTCP takes from RTP (RFC 5761 §4).
    #[error("{0} is not a payload type")]
    Number(u8),
    /// There are [`PAYLOAD_TYPES_MAX`] already.
    #[error("more than {PAYLOAD_TYPES_MAX} payload types")]
    TooMany,
}

/// The payload types a side may send: at most [`PAYLOAD_TYPES_MAX`].
#[derive(Clone, Copy, Default)]
pub struct PayloadTypes {
    numbers: [u8; PAYLOAD_TYPES_MAX],
    codecs: [Option<Codec>; PAYLOAD_TYPES_MAX],
    clock_rates: [[u8; 3]; PAYLOAD_TYPES_MAX],
    len: u8,
}

impl PayloadTypes {
    /// Adds one. A number that is there already keeps its first meaning.
    pub fn push(&mut self, payload_type: PayloadType) -> Result<(), PayloadTypeError> {
        let PayloadType {
            number,
            clock_rate,
            codec,
        } = payload_type;
        if number > 127 || (64..=95).contains(&number) {
            return Err(PayloadTypeError::Number(number));
        }
        let at = usize::from(self.len);
        if at >= PAYLOAD_TYPES_MAX {
            return Err(PayloadTypeError::TooMany);
        }
        self.numbers[at] = number;
        self.codecs[at] = codec;
        self.clock_rates[at] = match clock_rate.to_be_bytes() {
            [0, a, b, c] => [a, b, c],
            _ => [0; 3],
        };
        self.len += 1;
        Ok(())
    }

    /// All of these; for lists that are written down.
    pub fn collect(
        payload_types: impl IntoIterator<Item = PayloadType>,
    ) -> Result<PayloadTypes, PayloadTypeError> {
        let mut list = PayloadTypes::default();
        for payload_type in payload_types {
            list.push(payload_type)?;
        }
        Ok(list)
    }

    /// The payload type of this number.
    #[inline]
    pub fn find(&self, number: u8) -> Option<PayloadType> {
        let mut numbers = self.numbers.iter().take(usize::from(self.len));
        numbers
            .position(|candidate| *candidate == number)
            .map(|at| self.at(at))
    }

    /// All, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = PayloadType> + '_ {
        (0..usize::from(self.len)).map(|at| self.at(at))
    }

    #[inline]
    fn at(&self, at: usize) -> PayloadType {
        let [a, b, c] = self.clock_rates[at];
        PayloadType {
            number: self.numbers[at],
            clock_rate: u32::from_be_bytes([0, a, b, c]),
            codec: self.codecs[at],
        }
    }
}

impl fmt::Debug for PayloadTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pcma(number: u8) -> PayloadType {
        PayloadType {
            number,
            clock_rate: 8_000,
            codec: Some(Codec::G711),
        }
    }

    #[test]
    fn finds_what_was_added_and_nothing_else() {
        let event = PayloadType {
            number: 101,
            clock_rate: 48_000,
            codec: None,
        };
        let list = PayloadTypes::collect([pcma(8), event]).unwrap();
        assert_eq!(list.find(8), Some(pcma(8)));
        assert_eq!(list.find(101), Some(event));
        assert_eq!(list.find(0), None);
        assert_eq!(list.iter().count(), 2);
    }

    #[test]
    fn the_first_meaning_of_a_number_stays() {
        let again = PayloadType {
            clock_rate: 16_000,
            ..pcma(8)
        };
        let list = PayloadTypes::collect([pcma(8), again]).unwrap();
        assert_eq!(list.find(8), Some(pcma(8)));
    }

    #[test]
    fn there_is_room_for_sixteen() {
        let mut list = PayloadTypes::collect((96..112).map(pcma)).unwrap();
        assert_eq!(list.push(pcma(0)), Err(PayloadTypeError::TooMany));
        assert!((96..112).all(|number| list.find(number).is_some()));
    }

    #[test]
    fn numbers_that_rtcp_takes_are_refused_rfc5761_4() {
        for number in [64, 72, 95, 128, 255] {
            let refused = PayloadTypes::default().push(pcma(number));
            assert_eq!(refused, Err(PayloadTypeError::Number(number)));
        }
    }

    #[test]
    fn a_clock_beyond_24_bits_is_unknown() {
        let fast = PayloadType {
            clock_rate: 1 << 24,
            ..pcma(8)
        };
        assert_eq!(
            PayloadTypes::collect([fast])
                .unwrap()
                .find(8)
                .unwrap()
                .clock_rate,
            0
        );
    }
}
