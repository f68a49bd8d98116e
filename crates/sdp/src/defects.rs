//! What was wrong with a description that could be understood nevertheless.

use std::fmt;

/// A set of defects. The parser mended or dropped what they name.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Defects(u32);

macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Defects {
            $($(#[$doc])* pub const $name: Defects = Defects(1 << $bit);)*
        }

        const NAMES: &[(Defects, &str)] = &[$((Defects::$name, stringify!($name)),)*];
    };
}

defects! {
    /// The `IP4` or `IP6` of an `o=` or `c=` line contradicts its address; the address counts.
    ADDRESS_TYPE_MISMATCH = 0;
    /// An `a=` line without a token as its name; dropped.
    BAD_ATTRIBUTE = 1;
    /// A `b=` line without a colon or without a number; dropped.
    BAD_BANDWIDTH = 2;
    /// A `c=` line that cannot be read; dropped.
    BAD_CONNECTION = 3;
    /// An `o=` line that cannot be read in full; what was read is kept.
    BAD_ORIGIN = 4;
    /// NUL, or CR inside a line; each became a space.
    CONTROL_BYTES = 5;
    /// A second `v=`, `o=`, `s=` or `c=` line where there may be one; dropped.
    DUPLICATE_LINE = 6;
    /// A line without `x=`, or an empty one; dropped.
    LINE_WITHOUT_TYPE = 7;
    /// Lines that end with LF alone, or no line end after the last.
    LINE_ENDS = 8;
    /// Lines out of the order of RFC 8866 §5.
    MISORDERED = 9;
    /// A session-level line inside a media description; dropped.
    MISPLACED_LINE = 10;
    /// No `o=` line.
    MISSING_ORIGIN = 11;
    /// No `s=` line.
    MISSING_SESSION_NAME = 12;
    /// No `t=` line.
    MISSING_TIME = 13;
    /// No `v=` line.
    MISSING_VERSION = 14;
    /// An `m=` line that lists no format.
    NO_FORMATS = 15;
    /// Bytes that are not UTF-8; kept.
    NON_UTF8 = 16;
    /// A line of a type that RFC 8866 does not know; dropped.
    UNKNOWN_LINE = 17;
}

impl Defects {
    /// No defect.
    pub const NONE: Defects = Defects(0);

    /// Adds the defects of `other`.
    pub const fn insert(&mut self, other: Defects) {
        self.0 |= other.0;
    }

    /// Whether all of `other` are present.
    pub const fn contains(self, other: Defects) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those present, for logs and counters.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(bit, _)| self.contains(*bit))
            .map(|(_, name)| *name)
    }
}

impl fmt::Debug for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
