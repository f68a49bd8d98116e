//! Dial-plan rules: what people at a site dial, and what it means.
//!
//! A pattern is a few characters, not a regular expression, so that matching takes a step for each
//! character and no input can make it take longer.

use std::fmt;

use crate::plan::PeerId;

/// Most rules of a site.
pub const DIAL_RULES_MAX: usize = 256;

/// Most characters of a pattern, and digits of what is put in front.
pub const PATTERN_MAX: usize = 32;

/// What a dialled number looks like: digits, `*`, `#` and `+` stand for themselves, `X` for any
/// digit, `Z` for 1 to 9, `N` for 2 to 9, and `.` at the end for one character or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialPattern {
    text: String,
}

impl DialPattern {
    /// A pattern; `None` when it is empty, too long or holds anything else.
    pub fn new(text: &str) -> Option<DialPattern> {
        let fixed = text.strip_suffix('.').unwrap_or(text);
        let legal = |byte: u8| byte.is_ascii_digit() || b"*#+XZN".contains(&byte);
        let good = !text.is_empty() && text.len() <= PATTERN_MAX && fixed.bytes().all(legal);
        good.then(|| DialPattern {
            text: text.to_owned(),
        })
    }

    /// Whether `dialled` is what the pattern means, from its first character to its last.
    pub fn matches(&self, dialled: &str) -> bool {
        let one = |pattern: u8, byte: u8| match pattern {
            b'X' => byte.is_ascii_digit(),
            b'Z' => (b'1'..=b'9').contains(&byte),
            b'N' => (b'2'..=b'9').contains(&byte),
            other => other == byte,
        };
        let (fixed, open) = match self.text.strip_suffix('.') {
            Some(fixed) => (fixed, true),
            None => (self.text.as_str(), false),
        };
        let length = match open {
            true => dialled.len() > fixed.len(),
            false => dialled.len() == fixed.len(),
        };
        length
            && fixed
                .bytes()
                .zip(dialled.bytes())
                .all(|(pattern, byte)| one(pattern, byte))
    }

    /// Fewest characters of what it matches.
    pub fn shortest(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Display for DialPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One rule (`[[site.NAME.dial]]`). The first that matches is used, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRule {
    /// What was dialled.
    pub pattern: DialPattern,
    /// What to do.
    pub action: DialAction,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialAction {
    /// 403. No emergency number is asked of the rules, so none is refused by them.
    Refuse,
    /// Another number, perhaps by a trunk of its own.
    Rewrite {
        /// Characters taken from the front; fewer than the pattern has.
        strip: usize,
        /// What is put in front then.
        prepend: String,
        /// The trunk that the call must take; `None` is the site's.
        trunk: Option<PeerId>,
    },
}

impl DialAction {
    /// The number after [`DialAction::Rewrite`]. A pattern matches ASCII up to `strip`.
    pub(crate) fn rewrite(strip: usize, prepend: &str, dialled: &str) -> String {
        format!("{prepend}{}", dialled.get(strip..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, dialled: &str, expected: bool) {
        let pattern = DialPattern::new(pattern).unwrap();
        assert_eq!(pattern.matches(dialled), expected, "{pattern} {dialled}");
    }

    #[test]
    fn a_pattern_matches_from_end_to_end() {
        check("9.", "911", true);
        check("9.", "9", false);
        check("NXXXXXX", "5550100", true);
        check("NXXXXXX", "1550100", false);
        check("NXXXXXX", "55501000", false);
        check("Z", "0", false);
        check("*72", "*72", true);
        check(".", "bob", true);
        check("9.", "9é", true);
    }

    #[test]
    fn a_pattern_is_short_and_has_known_characters_only() {
        for bad in ["", "9(.*)", "9.1", "abc", &"1".repeat(33)] {
            assert_eq!(DialPattern::new(bad), None, "{bad}");
        }
    }
}
