//! Where a message holds secrets: keys of media (RFC 4568 `a=crypto`, RFC 4567 `a=key-mgmt`,
//! `k=`) and what digest proves a password with (RFC 7616 `response`, `rspauth`), on folded lines
//! (RFC 3261 §7.3.1) too; and the digit in the body of an INFO, which may be of a PIN. One rule for every sink, so that none forgets what another knows.
//!
//! Left out on purpose: what a nonce or a user name may tell; neither proves a password.

use std::ops::Range;

/// The places of all secrets in `message`, in order, without their quotes.
pub fn secrets(message: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let headers = std::iter::from_fn(move || {
        let rest = message.get(at..).filter(|rest| !rest.is_empty())?;
        let found = (at, rest.get(..logical_line(rest))?);
        at += found.1.len();
        Some(found)
    });
    headers
        .flat_map(|(at, line)| {
            let kind = Kind::of(line);
            let marks = Marks {
                line,
                kind,
                from: 0,
            };
            marks.map(move |place| at + place.start..at + place.end)
        })
        .chain(dialled(message))
}

/// The body, if it is a digit that is dialled: `application/dtmf`, `application/dtmf-relay`.
fn dialled(message: &[u8]) -> Option<Range<usize>> {
    let is_digit = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = name.trim_ascii();
        let named = name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"c");
        let value = value.get(1..)?.trim_ascii_start();
        let kind = value.get(..DIALLED.len())?;
        (named && kind.eq_ignore_ascii_case(DIALLED)).then_some(())
    };
    let mut at = 0;
    let mut found = false;
    while let Some(rest) = message.get(at..).filter(|rest| !rest.is_empty()) {
        let line = rest.get(..logical_line(rest))?;
        at += line.len();
        if line.trim_ascii().is_empty() {
            return (found && at < message.len()).then_some(at..message.len());
        }
        found |= is_digit(line).is_some();
    }
    None
}

/// How the type of a body begins that is a digit.
const DIALLED: &[u8] = b"application/dtmf";

/// The length of the first line of `text` with those that it is folded into.
fn logical_line(text: &[u8]) -> usize {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut ends = ends.map(|(at, _)| at + 1);
    let whole = ends.find(|end| !matches!(text.get(*end), Some(b' ' | b'\t')));
    whole.unwrap_or(text.len())
}

/// What a line may hold.
#[derive(Clone, Copy)]
enum Kind {
    Crypto,
    Digest,
    Open,
    /// A secret from this place on.
    Value(usize),
}

impl Kind {
    fn of(line: &[u8]) -> Kind {
        let begins = |start: &[u8]| {
            line.get(..start.len())
                .is_some_and(|have| have.eq_ignore_ascii_case(start))
        };
        if begins(b"a=crypto:") {
            Kind::Crypto
        } else if begins(b"a=key-mgmt:") {
            Kind::Value(b"a=key-mgmt:".len())
        } else if begins(b"k=") {
            Kind::Value(b"k=".len())
        } else if DIGEST_HEADERS.into_iter().any(begins) {
            Kind::Digest
        } else {
            Kind::Open
        }
    }
}

const DIGEST_HEADERS: [&[u8]; 4] = [
    b"authorization",
    b"proxy-authorization",
    b"authentication-info",
    b"proxy-authentication-info",
];

/// The secrets of one line, folds and all.
struct Marks<'a> {
    line: &'a [u8],
    kind: Kind,
    from: usize,
}

impl Iterator for Marks<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let (start, end) = match self.kind {
            Kind::Open => return None,
            Kind::Value(_) if self.from > 0 => return None,
            Kind::Value(start) => (start, self.line.len()),
            Kind::Crypto => self.behind(&[b"inline:"], b" \t")?,
            Kind::Digest => self.behind(&[b"response", b"rspauth"], b",")?,
        };
        self.from = end.max(1);
        let value = self.line.get(start..end)?;
        let bare = |byte: &u8| !b"\r\n\"= \t".contains(byte);
        let first = value.iter().position(bare).unwrap_or(value.len());
        let past = value.iter().rposition(bare).map_or(first, |last| last + 1);
        Some(start + first..start + past)
    }
}

impl Marks<'_> {
    /// From behind the next of `names` to before a byte of `ends`.
    fn behind(&self, names: &[&[u8]], ends: &[u8]) -> Option<(usize, usize)> {
        let rest = self.line.get(self.from..)?;
        let found = names.iter().filter_map(|name| {
            let at = rest
                .windows(name.len())
                .position(|window| window.eq_ignore_ascii_case(name))?;
            Some(self.from + at + name.len())
        });
        let start = found.min()?;
        let value = self.line.get(start..)?;
        let length = value.iter().position(|byte| ends.contains(byte));
        Some((start, start + length.unwrap_or(value.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &[&str]) {
        let found: Vec<&str> = secrets(message.as_bytes())
            .map(|place| &message[place])
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_the_keys_of_media_rfc4568() {
        check(
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2Vj|2^31;inline:AA KDR=0\r\na=ptime:20\r\n",
            &["c2Vj|2^31;inline:AA"],
        );
        check(
            "k=base64:c2Vj\r\na=key-mgmt:mikey AQ\r\nv=0",
            &["base64:c2Vj", "mikey AQ"],
        );
    }

    #[test]
    fn finds_digest_responses_on_folded_lines_too_rfc3261_7_3_1() {
        check(
            "AUTHORIZATION: Digest username=\"a\",\r\n\tresponse=\"0123\", qop=auth\r\nTo: b\r\n",
            &["0123"],
        );
        check("Authorization: Digest response = \"01\"\r\n", &["01"]);
        check(
            "Authorization: Digest response=\r\n \"0123\"\r\n",
            &["0123"],
        );
        check(
            "Authentication-Info: rspauth=ab12,nc=1\nProxy-Authorization: response=cd",
            &["ab12", "cd"],
        );
    }

    #[test]
    fn finds_the_digit_that_an_info_carries() {
        let relay = "INFO x SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\n";
        check(relay, &["Signal=7\r\n"]);
        check("INFO x SIP/2.0\r\nc:Application/DTMF;a=b\r\n\r\n7", &["7"]);
        check("INFO x SIP/2.0\r\nContent-Type: text/plain\r\n\r\n7", &[]);
        check(
            "INFO x SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n",
            &[],
        );
        check("INFO x SIP/2.0\r\nContent-Type: application/dtmf", &[]);
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        check(
            "INVITE sip:a SIP/2.0\r\nSubject: response=1 inline:2\r\n\r\nv=0\r\n",
            &[],
        );
        check("", &[]);
        check(" folded at once response=1", &[]);
    }
}
