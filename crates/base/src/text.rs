//! Making attacker-written text harmless to show.

use std::fmt::{self, Write};

/// Displays bytes from the network so that no terminal, log or table can be driven by them:
/// printable ASCII and printable non-ASCII letters stay, everything else (control characters,
/// escapes, bidirectional overrides, bytes that are not UTF-8) becomes `\xNN` or `\u{…}`.
///
/// ```
/// use ringfence_base::text::Escaped;
/// assert_eq!(Escaped(b"a\x1b[31m\n\xff").to_string(), r"a\x1b[31m\x0a\xff");
/// ```
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    f.write_str("\\\\")?;
                } else if c.is_ascii_control() {
                    write!(f, "\\x{:02x}", c as u32)?;
                } else if c.is_ascii() || c.is_alphanumeric() {
                    f.write_char(c)?;
                } else {
                    write!(f, "\\u{{{:x}}}", c as u32)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bidirectional_overrides_do_not_survive() {
        assert_eq!(
            Escaped("Zoë \u{202e}x".as_bytes()).to_string(),
            "Zoë \\u{202e}x"
        );
    }
}
