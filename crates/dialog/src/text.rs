//! Several texts in one allocation.

use std::fmt;

/// `N` texts in one allocation of their exact length.
#[derive(Clone)]
pub(crate) struct Text<const N: usize> {
    bytes: Box<[u8]>,
    ends: [u16; N],
}

/// Together the texts are longer than [`MAX_TEXT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextTooLong;

impl<const N: usize> Text<N> {
    pub(crate) fn new(parts: [&[u8]; N]) -> Result<Text<N>, TextTooLong> {
        let total = parts.iter().map(|part| part.len()).sum();
        if total > MAX_TEXT {
            return Err(TextTooLong);
        }
        let mut bytes = Vec::with_capacity(total);
        let mut ends = [0; N];
        for (end, part) in ends.iter_mut().zip(parts) {
            bytes.extend_from_slice(part);
            *end = bytes.len() as u16;
        }
        Ok(Text {
            bytes: bytes.into_boxed_slice(),
            ends,
        })
    }

    /// The same with another text in one place.
    pub(crate) fn with(&self, place: usize, part: &[u8]) -> Result<Text<N>, TextTooLong> {
        Text::new(std::array::from_fn(|at| {
            if at == place { part } else { self.get(at) }
        }))
    }

    pub(crate) fn get(&self, place: usize) -> &[u8] {
        let end = self.ends.get(place).copied().unwrap_or_default();
        let start = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        self.bytes
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }
}

/// How long, not what: the texts are personal data.
impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.bytes.len())
    }
}

/// The longest a dialog's texts may be together.
const MAX_TEXT: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_and_replaces_texts() {
        let text = Text::new([b"ab".as_slice(), b"", b"cde"]).unwrap();
        assert_eq!(
            (text.get(0), text.get(1), text.get(2)),
            (&b"ab"[..], &b""[..], &b"cde"[..])
        );
        let text = text.with(1, b"xyz").unwrap();
        assert_eq!(
            (text.get(0), text.get(1), text.get(2)),
            (&b"ab"[..], &b"xyz"[..], &b"cde"[..])
        );
        assert_eq!(text.get(3), b"");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(
            Text::new([&[0; MAX_TEXT + 1][..]]).unwrap_err(),
            TextTooLong
        );
        assert!(Text::new([&[0; MAX_TEXT][..]]).is_ok());
    }
}
