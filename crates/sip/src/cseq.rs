//! CSeq (RFC 3261 §20.16).

use crate::lex::{Cursor, is_token_string, number};
use crate::{Method, SyntaxError};

/// A CSeq: the number and the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The request's method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Parses a header value.
    pub fn parse(value: &'a [u8]) -> Result<CSeq<'a>, SyntaxError> {
        let mut cursor = Cursor::new(value);
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        let number = number(digits)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|&number| number < 1 << 31)
            .ok_or(SyntaxError::Number)?;
        if !cursor.skip_lws() || !is_token_string(cursor.rest()) {
            return Err(SyntaxError::Method);
        }
        Ok(CSeq {
            number,
            method: Method::new(cursor.rest()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_method() {
        let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    }

    #[test]
    fn what_is_no_cseq() {
        for value in [
            &b""[..],
            b"INVITE",
            b"1",
            b"1INVITE",
            b"1 IN VITE",
            b"-1 INVITE",
        ] {
            assert!(CSeq::parse(value).is_err());
        }
        assert_eq!(CSeq::parse(b"2147483648 ACK"), Err(SyntaxError::Number));
        assert_eq!(
            CSeq::parse(b"36893488147419103232 ACK"),
            Err(SyntaxError::Number)
        );
        assert!(CSeq::parse(b"2147483647 ACK").is_ok());
    }
}
