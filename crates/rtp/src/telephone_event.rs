//! Telephone events: DTMF digits as RTP payload, RFC 4733 §2.3 and §3.2.
//!
//! Only the payload and the digits: when to send which packet is the media plane's.

use thiserror::Error;

/// Bytes of a payload.
pub const PAYLOAD_LEN: usize = 4;
/// Event codes up to this are the sixteen DTMF digits; 16 is a hook flash.
pub const LAST_DTMF: u8 = 15;

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// One telephone-event payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code, RFC 4733 §3.2: 0..=15 for DTMF.
    pub event: u8,
    /// Whether the event ends here. Repeated packets of one end share their RTP timestamp.
    pub end: bool,
    /// Power in -dBm0, 0..=63: larger is softer.
    pub volume: u8,
    /// How long the event has lasted so far, in units of the RTP clock.
    pub duration: u16,
}

/// Why a payload is not a telephone event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a telephone event has {PAYLOAD_LEN} bytes at least")]
pub struct TooShort;

impl TelephoneEvent {
    /// Reads a payload. Bytes after the first event are ignored, as is the reserved bit.
    pub fn parse(payload: &[u8]) -> Result<TelephoneEvent, TooShort> {
        let &[event, flags, duration_hi, duration_lo] =
            payload.first_chunk::<PAYLOAD_LEN>().ok_or(TooShort)?;
        Ok(TelephoneEvent {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([duration_hi, duration_lo]),
        })
    }

    /// The payload. A volume beyond 63 is written as 63.
    pub fn to_bytes(self) -> [u8; PAYLOAD_LEN] {
        let flags = u8::from(self.end) << 7 | self.volume.min(0x3f);
        let [duration_hi, duration_lo] = self.duration.to_be_bytes();
        [self.event, flags, duration_hi, duration_lo]
    }

    /// The digit, if it is one: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn digit(self) -> Option<char> {
        DIGITS
            .get(usize::from(self.event))
            .map(|&digit| char::from(digit))
    }
}

/// The event code of a digit.
pub fn event_of_digit(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    DIGITS
        .iter()
        .position(|&known| char::from(known) == digit)
        .map(|event| event as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_payload_rfc4733_2_3() {
        let event = TelephoneEvent::parse(&[5, 0x8a, 0x03, 0x20]).unwrap();
        let expected = TelephoneEvent {
            event: 5,
            end: true,
            volume: 10,
            duration: 800,
        };
        assert_eq!(event, expected);
        assert_eq!(event.digit(), Some('5'));
        assert_eq!(TelephoneEvent::parse(&[5, 0x8a, 0x03]), Err(TooShort));
    }

    #[test]
    fn digits_have_codes_rfc4733_3_2() {
        for event in 0..=LAST_DTMF {
            let digit = TelephoneEvent {
                event,
                end: false,
                volume: 0,
                duration: 0,
            }
            .digit();
            assert_eq!(event_of_digit(digit.unwrap()), Some(event));
        }
        assert_eq!(event_of_digit('d'), Some(15));
        assert_eq!(event_of_digit('x'), None);
        let flash = TelephoneEvent {
            event: 16,
            end: false,
            volume: 0,
            duration: 0,
        };
        assert_eq!(flash.digit(), None);
    }

    proptest! {
        #[test]
        fn writes_what_it_reads(event: u8, end: bool, volume in 0u8..64, duration: u16) {
            let event = TelephoneEvent { event, end, volume, duration };
            prop_assert_eq!(TelephoneEvent::parse(&event.to_bytes()), Ok(event));
        }
    }
}
