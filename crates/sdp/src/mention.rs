//! Finding addresses and names in free text, however they are written.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether the text holds a literal address: four dotted numbers, leading zeros allowed, or an
/// IPv6 address in any of its forms. The unspecified `::` is none.
pub(crate) fn has_address(text: &[u8]) -> bool {
    (memchr::memchr_iter(b'.', text).nth(2).is_some() && has_v4(text))
        || (memchr::memchr_iter(b':', text).nth(1).is_some() && has_v6(text))
}

/// Whether `name` is in `text`, whatever its case, with no letter or digit right beside it.
pub(crate) fn contains_name(text: &[u8], name: &[u8]) -> bool {
    let Some(first) = name.first() else {
        return false;
    };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    memchr::memchr2_iter(lower, upper, text).any(|start| {
        let end = start + name.len();
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        text.get(start..end)
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
            && !is_alphanumeric(before)
            && !is_alphanumeric(text.get(end))
    })
}

/// `10-0-0-1`: how hosts named after their address write it.
pub(crate) struct Dashed {
    text: [u8; MAX_DASHED],
    len: usize,
}

impl Dashed {
    pub(crate) fn new(ip: Ipv4Addr) -> Dashed {
        let mut dashed = Dashed {
            text: [0; MAX_DASHED],
            len: 0,
        };
        let [a, b, c, d] = ip.octets();
        let mut room = &mut dashed.text[..];
        // An address with dashes is never longer than the room for it.
        let _ = write!(room, "{a}-{b}-{c}-{d}");
        dashed.len = MAX_DASHED - room.len();
        dashed
    }

    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        memchr::memchr(b'-', text).is_some() && contains_name(text, &self.text[..self.len])
    }
}

fn has_v4(text: &[u8]) -> bool {
    text.split(|b| !matches!(b, b'0'..=b'9' | b'.')).any(|run| {
        let run = run.trim_ascii_dots();
        let mut parts = 0;
        let octets = run.split(|&b| b == b'.').all(|part| {
            parts += 1;
            crate::text::number(part).is_some_and(|octet| octet <= 255)
        });
        octets && parts == 4
    })
}

fn has_v6(text: &[u8]) -> bool {
    let mut rest = text;
    let mut before = None;
    while let Some(start) = rest.iter().position(|&b| is_v6_byte(b)) {
        if start > 0 {
            before = rest.get(start - 1);
        }
        let run = &rest[start..];
        let end = run
            .iter()
            .position(|&b| !is_v6_byte(b))
            .unwrap_or(run.len());
        let after = run.get(end);
        if run_has_v6(&run[..end], is_alphanumeric(before), is_alphanumeric(after)) {
            return true;
        }
        before = run[..end].last();
        rest = &run[end..];
    }
    false
}

/// Whether an address begins at the run's start, at one of its colons or after it, and ends at the
/// run's end or before a port. A start or end that touches a letter is none.
///
/// The work is bounded by [`MAX_COLONS`] times [`MAX_V6_TEXT`].
fn run_has_v6(run: &[u8], glued_before: bool, glued_after: bool) -> bool {
    let colons = || {
        run.iter()
            .enumerate()
            .filter(|(_, b)| **b == b':')
            .map(|(at, _)| at)
    };
    if colons().nth(1).is_none() {
        return false;
    }
    if colons().nth(MAX_COLONS).is_some() {
        return true;
    }
    let mut starts = (!glued_before)
        .then_some(0)
        .into_iter()
        .chain(colons().flat_map(|colon| [colon, colon + 1]));
    starts.any(|start| {
        let ends = (!glued_after)
            .then_some(run.len())
            .into_iter()
            .chain(run.iter().rposition(|b| matches!(b, b':' | b'.')));
        ends.into_iter().any(|end| {
            run.get(start..end)
                .filter(|text| text.len() <= MAX_V6_TEXT)
                .and_then(|text| str::from_utf8(text).ok())
                .and_then(|text| text.parse::<Ipv6Addr>().ok())
                .is_some_and(|ip| !ip.is_unspecified())
        })
    })
}

trait TrimDots {
    fn trim_ascii_dots(&self) -> &[u8];
}

impl TrimDots for [u8] {
    fn trim_ascii_dots(&self) -> &[u8] {
        let start = self.iter().position(|&b| b != b'.').unwrap_or(self.len());
        let end = self
            .iter()
            .rposition(|&b| b != b'.')
            .map_or(start, |last| last + 1);
        &self[start..end]
    }
}

fn is_v6_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

fn is_alphanumeric(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphanumeric)
}

/// `255-255-255-255`.
const MAX_DASHED: usize = 15;

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const MAX_V6_TEXT: usize = 45;

/// A run with more colons than that is not searched but taken for an address.
const MAX_COLONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_address(text: &str, expected: bool) {
        assert_eq!(has_address(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn finds_addresses_in_all_their_forms() {
        for text in [
            "10.0.0.1",
            "x 10.0.0.1:5060",
            "sip:a@10.0.0.1;lr",
            "host-10.0.0.1.",
            "010.000.000.001",
            "fd00::1",
            "[fd00::1]:5060",
            "FD00:0:0:0:0:0:0:1",
            "raddr:fd00::1",
            "::ffff:10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "1::2.",
            "tea 2001:db8::8 x",
        ] {
            check_address(text, true);
        }
    }

    #[test]
    fn no_run_is_too_long_to_hide_an_address_in() {
        check_address(&format!("{}fd00::1", "a:".repeat(MAX_COLONS)), true);
        check_address(&"0:".repeat(10_000), true);
    }

    #[test]
    fn leaves_what_only_looks_like_one() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "12:30:45",
            "std::vector",
            "::",
            "0-15",
            "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "aa:bb:cc:dd:ee:ff",
            "npt=10:00:00.000-",
            "telephone-event/8000",
            "....",
            ":::::::",
            "1..2.3.4",
        ] {
            check_address(text, false);
        }
    }

    #[test]
    fn addresses_with_dashes_are_found() {
        let dashed = Dashed::new(Ipv4Addr::new(255, 255, 255, 255));
        assert!(dashed.is_in(b"ip-255-255-255-255.internal"));
        assert!(!dashed.is_in(b"255-255-255-2551") && !dashed.is_in(b"255.255.255.255"));
    }

    #[test]
    fn names_stand_alone() {
        for text in ["pbx", "a PBX b", "sip:pbx:5060", "pbx.example", "my-pbx"] {
            assert!(contains_name(text.as_bytes(), b"pbx"), "{text}");
        }
        for text in ["", "pb", "pbx1", "xpbx", "pbxpbx"] {
            assert!(!contains_name(text.as_bytes(), b"pbx"), "{text}");
        }
    }
}
