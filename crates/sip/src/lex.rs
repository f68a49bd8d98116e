//! Characters and a cursor: the few lexical rules of RFC 3261 §25.1 that every header shares.
//!
//! Linear white space includes line folds (CRLF followed by white space): the index keeps folds
//! in the values, and everything here reads over them.

/// Whether `byte` is a `token` character (RFC 3261 §25.1).
pub(crate) const fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Whether `byte` can stand in a URI: visible ASCII but for what delimits a URI from outside.
pub(crate) const fn is_uri(byte: u8) -> bool {
    CLASSES[byte as usize] & URI != 0
}

/// Whether `byte` can stand in a host name.
pub(crate) const fn is_host(byte: u8) -> bool {
    CLASSES[byte as usize] & HOST != 0
}

/// Whether `byte` can stand in the name of a parameter.
pub(crate) const fn is_param_name(byte: u8) -> bool {
    CLASSES[byte as usize] & PARAM_NAME != 0
}

/// Whether `byte` can stand in the value of a parameter, unquoted.
pub(crate) const fn is_param_value(byte: u8) -> bool {
    CLASSES[byte as usize] & (PARAM_NAME | EQUALS) != 0
}

/// Whether all of `bytes` is one `token`.
pub(crate) fn is_token_string(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token(byte))
}

/// Whether `byte` is a space or a tab.
pub(crate) const fn is_wsp(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether `byte` can be part of linear white space inside a header value.
pub(crate) const fn is_lws(byte: u8) -> bool {
    CLASSES[byte as usize] & LWS != 0
}

/// `bytes` without linear white space at either end.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Parses `1*DIGIT`, any number of leading zeros; `None` for anything else and on overflow.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// Reads a header value from left to right.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips linear white space; says whether there was any.
    pub(crate) fn skip_lws(&mut self) -> bool {
        !self.take_while(is_lws).is_empty()
    }

    /// Reads `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads the longest run of bytes that satisfy `accept`, maybe none.
    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self
            .rest
            .iter()
            .position(|&byte| !accept(byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Reads a non-empty `token`.
    pub(crate) fn token(&mut self) -> Option<&'a [u8]> {
        let token = self.take_while(is_token);
        (!token.is_empty()).then_some(token)
    }

    /// Reads a `quoted-string`, its quotes included; `None`, and nothing read, when the closing
    /// quote is missing.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let length = quoted_length(self.rest)?;
        let (quoted, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(quoted)
    }
}

/// The length of the `quoted-string` that `bytes` starts with, both quotes counted.
pub(crate) fn quoted_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        let found = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(at + found)? {
            b'"' => return Some(at + found + 1),
            _ => at += found + 2,
        }
    }
}

const TOKEN: u8 = 1;
const URI: u8 = 1 << 1;
const HOST: u8 = 1 << 2;
const PARAM_NAME: u8 = 1 << 3;
const EQUALS: u8 = 1 << 4;
const LWS: u8 = 1 << 5;

/// What each byte can be part of.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                TOKEN | URI | HOST | PARAM_NAME
            }
            b'!' | b'%' | b'*' | b'+' | b'`' | b'\'' | b'~' => TOKEN | URI | PARAM_NAME,
            b'=' => URI | EQUALS,
            b';' | b',' => URI,
            b'"' | b'<' | b'>' => 0,
            b' ' | b'\t' | b'\r' | b'\n' => LWS,
            0x21..=0x7e => URI | PARAM_NAME,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_grammar() {
        for byte in 0..=u8::MAX {
            let visible = byte.is_ascii_graphic();
            let among = |set: &str| byte.is_ascii() && set.contains(char::from(byte));
            let word = byte.is_ascii_alphanumeric();
            assert_eq!(is_token(byte), word || among("-.!%*_+`'~"));
            assert_eq!(is_host(byte), word || among("-._"));
            assert_eq!(is_uri(byte), visible && !among("\"<>"));
            assert_eq!(is_param_name(byte), visible && !among("\"<>;,="));
            assert_eq!(is_param_value(byte), visible && !among("\"<>;,"));
            assert_eq!(is_lws(byte), among(" \t\r\n"));
        }
    }

    #[test]
    fn trims_folds() {
        assert_eq!(trim(b"\r\n  a b\r\n "), b"a b");
        assert_eq!(trim(b" \t"), b"");
    }

    #[test]
    fn numbers_may_lead_with_zeros_but_not_overflow() {
        assert_eq!(number(b"0068"), Some(68));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
    }

    #[test]
    fn a_quoted_string_ends_at_its_unescaped_quote() {
        assert_eq!(quoted_length(br#""a\"b" c"#), Some(6));
        assert_eq!(quoted_length(br#""\\" c"#), Some(4));
        assert_eq!(quoted_length(br#""open"#), None);
        assert_eq!(quoted_length(br#""open\"#), None);
        assert_eq!(quoted_length(b""), None);
    }
}
