//! The RTP header, RFC 3550 §5.1 and §5.3.1, read in place.
//!
//! [`Header`] reads what is in the clear in both RTP and SRTP; [`RtpView`] adds the payload and
//! therefore checks the padding, which only means something once a packet is decrypted. CSRCs and
//! the header extension are stepped over, not interpreted.

use std::fmt;

use thiserror::Error;

/// A synchronisation source, RFC 3550 §3.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(u32);

impl Ssrc {
    /// Wraps the number.
    pub const fn new(raw: u32) -> Ssrc {
        Ssrc(raw)
    }

    /// The number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssrc({:#010x})", self.0)
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The padding count is zero or reaches into the header.
    #[error("the padding does not fit the packet")]
    Padding,
    /// Shorter than its header says.
    #[error("the packet ends within its header")]
    TooShort,
    /// Not RTP version 2.
    #[error("not RTP version 2")]
    Version,
}

/// The header fields of an RTP or SRTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The source of the stream.
    pub ssrc: Ssrc,
    /// RTP timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Sequence number.
    pub seq: u16,
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Whether the last byte of the (decrypted) packet counts padding.
    pub padding: bool,
    /// Bytes of header including CSRCs and the extension: where the payload starts. At most the
    /// length of the packet that was parsed.
    pub header_len: u16,
}

/// Bytes of header without CSRCs and extension.
const FIXED_HEADER_LEN: usize = 12;

impl Header {
    /// Reads the header of an RTP or SRTP packet. The padding is not looked at.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Header, HeaderError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<FIXED_HEADER_LEN>() else {
            return Err(HeaderError::TooShort);
        };
        let [
            first,
            second,
            seq_hi,
            seq_lo,
            t0,
            t1,
            t2,
            t3,
            s0,
            s1,
            s2,
            s3,
        ] = *fixed;
        if first >> 6 != 2 {
            return Err(HeaderError::Version);
        }
        let header_len = if first & 0x1f == 0 {
            FIXED_HEADER_LEN
        } else {
            FIXED_HEADER_LEN + variable_len(first, rest)?
        };
        if header_len > packet.len() {
            return Err(HeaderError::TooShort);
        }
        Ok(Header {
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            seq: u16::from_be_bytes([seq_hi, seq_lo]),
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            padding: first & 0x20 != 0,
            header_len: u16::try_from(header_len).map_err(|_| HeaderError::TooShort)?,
        })
    }
}

/// A whole RTP packet in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpView<'a> {
    header: Header,
    payload: &'a [u8],
}

impl<'a> RtpView<'a> {
    /// Reads a packet in the clear: header and padding.
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<RtpView<'a>, HeaderError> {
        let header = Header::parse(packet)?;
        let payload = packet
            .get(usize::from(header.header_len)..)
            .ok_or(HeaderError::TooShort)?;
        let payload = if header.padding {
            without_padding(payload)?
        } else {
            payload
        };
        Ok(RtpView { header, payload })
    }

    /// The header fields.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The source of the stream.
    pub fn ssrc(&self) -> Ssrc {
        self.header.ssrc
    }

    /// Sequence number.
    pub fn seq(&self) -> u16 {
        self.header.seq
    }

    /// RTP timestamp, in units of the payload's clock.
    pub fn timestamp(&self) -> u32 {
        self.header.timestamp
    }

    /// Payload type, 0..=127.
    pub fn payload_type(&self) -> u8 {
        self.header.payload_type
    }

    /// The marker bit.
    pub fn marker(&self) -> bool {
        self.header.marker
    }

    /// The payload without padding.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Bytes of CSRCs and header extension after the fixed header.
#[cold]
fn variable_len(first: u8, rest: &[u8]) -> Result<usize, HeaderError> {
    let csrcs = usize::from(first & 0x0f) * 4;
    if first & 0x10 == 0 {
        return Ok(csrcs);
    }
    let extension = rest.get(csrcs..).and_then(|rest| rest.first_chunk::<4>());
    let [_, _, words_hi, words_lo] = *extension.ok_or(HeaderError::TooShort)?;
    Ok(csrcs + 4 + usize::from(u16::from_be_bytes([words_hi, words_lo])) * 4)
}

fn without_padding(payload: &[u8]) -> Result<&[u8], HeaderError> {
    let count = usize::from(*payload.last().ok_or(HeaderError::Padding)?);
    match payload.len().checked_sub(count) {
        Some(len) if count > 0 => payload.get(..len).ok_or(HeaderError::Padding),
        _ => Err(HeaderError::Padding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(first: u8, tail: &[u8]) -> Vec<u8> {
        let mut packet = vec![
            first,
            0x80 | 8,
            0x12,
            0x34,
            0,
            0,
            0,
            160,
            0xde,
            0xad,
            0xbe,
            0xef,
        ];
        packet.extend_from_slice(tail);
        packet
    }

    #[track_caller]
    fn check(first: u8, tail: &[u8], expected: Result<&[u8], HeaderError>) {
        let packet = packet(first, tail);
        assert_eq!(RtpView::parse(&packet).map(|view| view.payload()), expected);
    }

    #[test]
    fn reads_the_fixed_header_rfc3550_5_1() {
        let packet = packet(0x80, b"voice");
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(view.ssrc(), Ssrc::new(0xdead_beef));
        assert_eq!((view.seq(), view.timestamp()), (0x1234, 160));
        assert_eq!((view.payload_type(), view.marker()), (8, true));
        assert_eq!(view.payload(), b"voice");
    }

    #[test]
    fn steps_over_csrcs_and_the_extension_rfc3550_5_3_1() {
        check(0x82, b"csrccsrcvoice", Ok(b"voice"));
        check(0x90, b"\xbe\xde\x00\x01extnvoice", Ok(b"voice"));
        check(0x91, b"csrc\xbe\xde\x00\x00voice", Ok(b"voice"));
        check(0x90, b"\xbe\xde\x00\x02extn", Err(HeaderError::TooShort));
        check(0x90, b"\xbe\xde\x00", Err(HeaderError::TooShort));
        check(0x9f, b"csrc", Err(HeaderError::TooShort));
    }

    #[test]
    fn takes_padding_off_rfc3550_5_1() {
        check(0xa0, b"voice\0\0\x03", Ok(b"voice"));
        check(0xa0, b"\x01", Ok(b""));
        check(0xa0, b"", Err(HeaderError::Padding));
        check(0xa0, b"voice\0", Err(HeaderError::Padding));
        check(0xa0, b"voice\xff", Err(HeaderError::Padding));
    }

    #[test]
    fn refuses_other_versions_and_stumps() {
        check(0x40, b"", Err(HeaderError::Version));
        assert_eq!(Header::parse(&[0x80; 11]), Err(HeaderError::TooShort));
        assert_eq!(Header::parse(&[]), Err(HeaderError::TooShort));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(view) = RtpView::parse(&bytes) {
                let start = usize::from(view.header().header_len);
                prop_assert!(bytes[start..].starts_with(view.payload()));
            }
        }
    }
}
