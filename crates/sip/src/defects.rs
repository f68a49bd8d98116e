//! What is wrong with a message that could be read all the same.
//!
//! Defects are found while indexing, cost nothing to carry, and feed two readers:
//! [`validate_request`](crate::Message::validate_request), which refuses what must be refused, and
//! detection, which learns what kind of sender this is.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of defects.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Defects(u32);

macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Defects {
            $($(#[$doc])* pub const $name: Defects = Defects(1 << $bit);)*
            const NAMES: &'static [(Defects, &'static str)] =
                &[$((Defects::$name, stringify!($name))),*];
        }
    };
}

defects! {
    /// A carriage return that ends no line.
    BARE_CR = 0;
    /// A line that ends in LF without CR.
    BARE_LF = 1;
    /// A start line with white space too many, or a status line that lacks the space before its
    /// reason phrase (RFC 4475 §3.1.2.9, §3.1.2.10).
    BAD_START_LINE = 2;
    /// A version other than SIP/2.0.
    BAD_VERSION = 3;
    /// White space inside the Request-URI (RFC 4475 §3.1.2.8).
    BAD_REQUEST_URI = 4;
    /// A Content-Length that is no number.
    CONTENT_LENGTH_INVALID = 5;
    /// Two Content-Length headers that differ.
    CONTENT_LENGTH_CONFLICT = 6;
    /// A Content-Length beyond the end of the datagram.
    CONTENT_LENGTH_TOO_LARGE = 7;
    /// Two headers where the standard allows one.
    DUPLICATE_SINGLETON = 8;
    /// A line among the headers that is no header. It is left out; the rest is kept.
    MALFORMED_HEADER = 9;
    /// No blank line after the headers.
    MISSING_BLANK_LINE = 10;
    /// No Call-ID.
    MISSING_CALL_ID = 11;
    /// No CSeq.
    MISSING_CSEQ = 12;
    /// No From.
    MISSING_FROM = 13;
    /// No To.
    MISSING_TO = 14;
    /// No Via.
    MISSING_VIA = 15;
    /// Bytes among the headers that are not UTF-8.
    NON_UTF8 = 16;
    /// A zero byte among the headers. Legal as a quoted pair (RFC 4475 §3.1.1.2).
    NUL = 17;
    /// More than [`MAX_HEADERS`](crate::MAX_HEADERS) headers; those beyond are not indexed.
    TOO_MANY_HEADERS = 18;
    /// Bytes after the end of the body in a datagram; dropped (RFC 3261 §18.3).
    TRAILING_BYTES = 19;
}

impl Defects {
    /// No defect.
    pub const NONE: Defects = Defects(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in here.
    pub const fn contains(self, other: Defects) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in here.
    pub const fn intersects(self, other: Defects) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    pub const fn union(self, other: Defects) -> Defects {
        Defects(self.0 | other.0)
    }

    /// The bits, for counters.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that has these [bits](Defects::bits); bits that stand for no defect are left out.
    pub fn from_bits(bits: u32) -> Defects {
        let known = Defects::NAMES.iter();
        let known = known.fold(0, |known, (defect, _)| known | defect.0);
        Defects(bits & known)
    }

    /// The defects' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Defects::NAMES
            .iter()
            .filter(move |(defect, _)| self.contains(*defect))
            .map(|(_, name)| *name)
    }
}

impl BitOr for Defects {
    type Output = Defects;

    fn bitor(self, other: Defects) -> Defects {
        self.union(other)
    }
}

impl BitOrAssign for Defects {
    fn bitor_assign(&mut self, other: Defects) {
        *self = self.union(other);
    }
}

impl fmt::Debug for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_names() {
        assert_eq!(
            format!("{:?}", Defects::NUL | Defects::BARE_LF),
            r#"{"BARE_LF", "NUL"}"#
        );
        assert!(Defects::NONE.is_empty());
    }

    #[test]
    fn each_defect_has_its_own_bit() {
        let all = Defects::NAMES
            .iter()
            .fold(0, |bits, (defect, _)| bits | defect.bits());
        assert_eq!(all.count_ones() as usize, Defects::NAMES.len());
    }
}
