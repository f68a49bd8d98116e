//! The `byte-string` of RFC 8866 §9: any bytes but NUL, CR and LF.
//!
//! Received text need not be UTF-8 and is passed on byte by byte. A value of this type cannot end
//! its line, so no text from one side can forge a line towards the other.

use std::fmt;

use ringfence_base::text::Escaped;
use smallvec::SmallVec;

/// Bytes that fit on one line; up to 24 of them are stored in place.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(SmallVec<[u8; INLINE]>);

impl Text {
    /// Copies the bytes; each NUL, CR or LF becomes a space.
    pub fn new(bytes: &[u8]) -> Text {
        let mut text = SmallVec::from_slice(bytes);
        if memchr::memchr3(0, b'\r', b'\n', bytes).is_some() {
            text.iter_mut().for_each(|byte| *byte = blanked(*byte));
        }
        Text(text)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, or `None` if it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends bytes; each NUL, CR or LF becomes a space.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().copied().map(blanked));
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::new(text.as_bytes())
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// Prints what is not UTF-8 as U+FFFD.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

/// What a line cannot hold becomes a space.
const fn blanked(byte: u8) -> u8 {
    match byte {
        0 | b'\r' | b'\n' => b' ',
        other => other,
    }
}

/// Fits `rtpmap:8 PCMA/8000` and most of what telephony writes without an allocation.
const INLINE: usize = 24;

/// The tokens between blanks and what [`Text::new`] makes blank, empty ones left out.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0))
        .filter(|word| !word.is_empty())
}

/// The first word and the rest after it, both trimmed.
pub(crate) fn first_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii();
    match bytes.iter().position(|b| matches!(b, b' ' | b'\t')) {
        Some(end) => (&bytes[..end], bytes[end..].trim_ascii()),
        None => (bytes, b""),
    }
}

/// Decimal digits only, no sign; `None` on anything else or overflow.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// [`number`] that also fits the smaller type.
pub(crate) fn small_number<T: TryFrom<u64>>(bytes: &[u8]) -> Option<T> {
    number(bytes).and_then(|value| T::try_from(value).ok())
}

/// RFC 8866 §9 `token`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|b| {
            matches!(b, 0x21 | 0x23..=0x27 | 0x2a | 0x2b | 0x2d | 0x2e | b'0'..=b'9'
                | b'A'..=b'Z' | 0x5e..=0x7e)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_line() {
        assert_eq!(
            Text::new(b"a\r\nc=IN IP4 192.0.2.1\0"),
            "a  c=IN IP4 192.0.2.1 "
        );
    }

    #[test]
    fn numbers_are_digits_and_fit() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "+1", "-1", "1 ", "18446744073709551616", "0x1"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(small_number::<u16>(b"65536"), None);
    }

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"X-foo.bar~"));
        for bad in ["", "a b", "a:b", "a/b", "a\"b", "a=b"] {
            assert!(!is_token(bad.as_bytes()), "{bad}");
        }
    }
}
