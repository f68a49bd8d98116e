//! Comma-separated header values (RFC 3261 §7.3.1).

use crate::lex::{quoted_length, trim};

/// The values of one header line. Commas inside quotes and inside angle brackets separate
/// nothing; empty values are skipped.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    /// The values in `line`.
    pub const fn new(line: &'a [u8]) -> Values<'a> {
        Values { rest: Some(line) }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(line) = self.rest {
            let comma = value_end(line);
            let (value, rest) = line.split_at_checked(comma)?;
            self.rest = rest.get(1..);
            let value = trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// Where the first value ends: at a comma or at the end of the line. A quote or a bracket that
/// is never closed takes the rest of the line with it.
fn value_end(line: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = line
        .get(at..)
        .and_then(|rest| memchr::memchr3(b',', b'"', b'<', rest))
    {
        let here = at + found;
        let rest = line.get(here..).unwrap_or_default();
        let skipped = match rest.first() {
            Some(b'"') => quoted_length(rest),
            Some(b'<') => memchr::memchr(b'>', rest).map(|close| close + 1),
            _ => return here,
        };
        match skipped {
            Some(length) => at = here + length,
            None => return line.len(),
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let values: Vec<_> = Values::new(line.as_bytes())
            .map(|value| std::str::from_utf8(value).unwrap())
            .collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn splits_at_commas_outside_quotes_and_brackets() {
        check("a, b\r\n ,c", &["a", "b", "c"]);
        check(
            "\"Bell, A\" <sip:a,b@c>;x=\",\", <sip:d>",
            &["\"Bell, A\" <sip:a,b@c>;x=\",\"", "<sip:d>"],
        );
        check(",, a ,,", &["a"]);
        check("", &[]);
    }

    #[test]
    fn what_is_never_closed_takes_the_rest() {
        check("\"a, b", &["\"a, b"]);
        check("<a, b", &["<a, b"]);
    }
}
