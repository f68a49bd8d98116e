//! The TNAuthList of RFC 8226 §9: for which numbers a certificate may speak.
//!
//! ```text
//! TNAuthorizationList ::= SEQUENCE SIZE (1..MAX) OF TNEntry
//! TNEntry ::= CHOICE { spc [0] IA5String, range [1] TelephoneNumberRange, one [2] IA5String }
//! TelephoneNumberRange ::= SEQUENCE { start IA5String, count INTEGER (2..MAX) }
//! ```
//!
//! The module has explicit tags. A certificate that names a service provider speaks for all its
//! numbers; which those are no certificate says, so such an entry covers every number.

/// For which numbers a certificate may speak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TnAuthList {
    entries: Vec<Entry>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A service provider code.
    Provider(String),
    /// So many consecutive numbers.
    Range {
        /// The first, in canonical digits.
        start: String,
        /// How many; at least 2.
        count: u64,
    },
    /// One number.
    One(String),
}

impl TnAuthList {
    /// Reads the value of the extension. `None` for what is not DER of the type above, or has more
    /// than [`ENTRIES_MAX`] entries.
    pub fn parse(der: &[u8]) -> Option<TnAuthList> {
        let (mut rest, after) = element(der, SEQUENCE)?;
        let mut entries = Vec::new();
        while !rest.is_empty() && entries.len() < ENTRIES_MAX {
            let tag = *rest.first()?;
            let (inner, next) = element(rest, tag)?;
            entries.push(entry(tag, inner)?);
            rest = next;
        }
        (after.is_empty() && rest.is_empty() && !entries.is_empty())
            .then_some(TnAuthList { entries })
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it covers `number` (canonical digits).
    pub fn covers(&self, number: &str) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Provider(_) => true,
            Entry::One(one) => one == number,
            Entry::Range { start, count } => {
                let digits = number.len() == start.len() && is_digits(number) && is_digits(start);
                match (digits, number.parse::<u64>(), start.parse()) {
                    (true, Ok(number), Ok(start)) => number
                        .checked_sub(start)
                        .is_some_and(|place| place < *count),
                    _ => false,
                }
            }
        })
    }
}

fn entry(tag: u8, inner: &[u8]) -> Option<Entry> {
    match tag {
        0xa0 => {
            let (code, rest) = element(inner, IA5_STRING)?;
            let good = rest.is_empty() && !code.is_empty() && code.len() <= CODE_BYTES_MAX;
            let text = std::str::from_utf8(code)
                .ok()
                .filter(|code| code.is_ascii());
            Some(Entry::Provider(text.filter(|_| good)?.to_owned()))
        }
        0xa1 => {
            let (range, rest) = element(inner, SEQUENCE)?;
            let (start, count) = element(range, IA5_STRING)?;
            let (count, after) = element(count, INTEGER)?;
            let count = unsigned(count).filter(|count| *count >= 2)?;
            let start = number(start)?;
            (rest.is_empty() && after.is_empty()).then_some(Entry::Range { start, count })
        }
        0xa2 => {
            let (one, rest) = element(inner, IA5_STRING)?;
            rest.is_empty().then(|| number(one))?.map(Entry::One)
        }
        _ => None,
    }
}

/// One element of definite length with `tag`: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let long = bytes
                .iter()
                .fold(0, |value, byte| value << 8 | usize::from(*byte));
            // DER has one way to write a length.
            let least = if bytes.len() == 1 { 0x80 } else { 0x100 };
            (Some(long).filter(|long| *long >= least)?, rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    let negative = bytes.first().is_none_or(|byte| byte & 0x80 != 0);
    let value = || {
        bytes
            .iter()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    (!negative && bytes.len() <= 8).then(value)
}

fn number(bytes: &[u8]) -> Option<String> {
    let good = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
    let fits = (1..=NUMBER_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(good);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

const SEQUENCE: u8 = 0x30;
const IA5_STRING: u8 = 0x16;
const INTEGER: u8 = 0x02;
/// `TelephoneNumber ::= IA5String (SIZE (1..15))`.
const NUMBER_BYTES_MAX: usize = 15;
/// The longest service provider code that is taken, bytes.
const CODE_BYTES_MAX: usize = 64;
/// The most entries of a list.
pub const ENTRIES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &[u8] = b"\x30\x08\xa0\x06\x16\x04709J";

    #[test]
    fn a_provider_code_covers_its_numbers_whichever_they_are_rfc8226_9() {
        let list = TnAuthList::parse(PROVIDER).unwrap();
        assert_eq!(list.entries(), [Entry::Provider("709J".to_owned())]);
        assert!(list.covers("12155551212"));
    }

    #[test]
    fn ranges_and_numbers_cover_no_more_than_they_name_rfc8226_9() {
        let der =
            b"\x30\x22\xa1\x12\x30\x10\x16\x0b12155551200\x02\x01\x0a\xa2\x0c\x16\x0a3305550100";
        let list = TnAuthList::parse(der).unwrap();
        for (number, covered) in [
            ("12155551200", true),
            ("12155551209", true),
            ("12155551210", false),
            ("12155551199", false),
            ("3305550100", true),
            ("3305550101", false),
            ("012155551200", false),
            ("1215555120*", false),
        ] {
            assert_eq!(list.covers(number), covered, "{number}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_rfc8226_9() {
        for der in [
            &b""[..],
            b"\x30\x00",
            b"\x30\x08\xa0\x06\x16\x04709",
            b"\x30\x08\xa0\x06\x16\x04709J\x00",
            b"\x30\x08\xa3\x06\x16\x04709J",
            b"\x30\x81\x08\xa0\x06\x16\x04709J",
            b"\x30\x80\xa0\x06\x16\x04709J\x00\x00",
            b"\x30\x0b\xa1\x09\x30\x07\x16\x0212\x02\x01\x01",
            b"\x30\x07\xa2\x05\x16\x031a2",
        ] {
            assert_eq!(TnAuthList::parse(der), None, "{der:?}");
        }
    }
}
