//! Finding addresses and names in free text, however they are written.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether the text holds a literal address: four dotted numbers, leading zeros allowed, or an
/// IPv6 address in any of its forms. The unspecified `::` is none.
pub(crate) fn has_address(text: &[u8]) -> bool {
    (memchr::memchr(b'.', text).is_some() && has_v4(text))
        || (memchr::memchr(b':', text).is_some() && has_v6(text))
}

/// Whether `name` is in `text`, whatever its case, with no letter or digit right beside it.
pub(crate) fn contains_name(text: &[u8], name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    text.windows(name.len()).enumerate().any(|(start, window)| {
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(start + name.len());
        window.eq_ignore_ascii_case(name) && !is_alphanumeric(before) && !is_alphanumeric(after)
    })
}

/// `10-0-0-1`: how hosts named after their address write it.
pub(crate) fn dashed(ip: Ipv4Addr) -> String {
    ip.to_string().replace('.', "-")
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
    let starts = (!glued_before)
        .then_some(0)
        .into_iter()
        .chain(colons().flat_map(|colon| [colon, colon + 1]));
    starts.take(MAX_STARTS).any(|start| {
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

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const MAX_V6_TEXT: usize = 45;

/// More colons than that in one run of hexadecimal digits are no address with a port beside it.
const MAX_STARTS: usize = 64;

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
    fn names_stand_alone() {
        for text in ["pbx", "a PBX b", "sip:pbx:5060", "pbx.example", "my-pbx"] {
            assert!(contains_name(text.as_bytes(), b"pbx"), "{text}");
        }
        for text in ["", "pb", "pbx1", "xpbx", "pbxpbx"] {
            assert!(!contains_name(text.as_bytes(), b"pbx"), "{text}");
        }
    }
}
