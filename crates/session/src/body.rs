//! The session description in a message's body.
//!
//! A body is SDP, or a multipart (RFC 2046 §5.1) with SDP in it, as emergency calls that carry a
//! location have it (RFC 6442 §3.2). What else is in a multipart does not cross.

use ringfence_sip::{HeaderName, Message};

/// The body is of a kind that is not served: 415 (RFC 3261 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnsupportedBody;

/// Parts that are looked at.
const PARTS_MAX: usize = 8;
/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;

/// The session description of `message`; empty if it has no body.
pub(crate) fn description<'a>(message: &Message<'a>) -> Result<&'a [u8], UnsupportedBody> {
    let body = message.body();
    if body.is_empty() {
        return Ok(body);
    }
    let plain = message
        .header(HeaderName::ContentEncoding)
        .is_none_or(|value| value.trim_ascii().eq_ignore_ascii_case(b"identity"));
    let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
    if !plain {
        return Err(UnsupportedBody);
    }
    if is_sdp(content_type) {
        return Ok(body);
    }
    part_of(body, content_type, b"application/sdp").ok_or(UnsupportedBody)
}

/// The body of `message` with another session description in place of the one that is in it.
pub(crate) fn replaced(message: &Message<'_>, new: &[u8]) -> Option<Vec<u8>> {
    let (body, old) = (message.body(), description(message).ok()?);
    let at = find(body, old).filter(|_| !old.is_empty())?;
    let (before, rest) = body.split_at_checked(at)?;
    Some([before, new, rest.get(old.len()..)?].concat())
}

/// The location document of `message` (PIDF-LO, RFC 6442 §3.2), alone or in a multipart.
pub(crate) fn location<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    const PIDF: &[u8] = b"application/pidf+xml";
    let content_type = message.header(HeaderName::ContentType)?;
    match media_type(content_type).eq_ignore_ascii_case(PIDF) {
        true => Some(message.body()),
        false => part_of(message.body(), content_type, PIDF),
    }
}

/// The first part of a multipart that is of the type `wanted`.
fn part_of<'a>(body: &'a [u8], content_type: &[u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let boundary = boundary(content_type)?;
    parts(body, boundary).take(PARTS_MAX).find_map(|part| {
        let (head, content) = split_head(part)?;
        let content_type = head.split(|&byte| byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked(13)?;
            name.eq_ignore_ascii_case(b"content-type:").then_some(value)
        })?;
        let same = media_type(content_type).eq_ignore_ascii_case(wanted);
        same.then_some(content)
    })
}

fn is_sdp(content_type: &[u8]) -> bool {
    media_type(content_type).eq_ignore_ascii_case(b"application/sdp")
}

fn media_type(content_type: &[u8]) -> &[u8] {
    content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let (kind, _) = media_type(content_type).split_at_checked(10)?;
    if !kind.eq_ignore_ascii_case(b"multipart/") {
        return None;
    }
    content_type
        .split(|&byte| byte == b';')
        .skip(1)
        .find_map(|parameter| {
            let (name, value) = parameter.trim_ascii().split_at_checked(9)?;
            let value = value.trim_ascii();
            let value = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""))
                .unwrap_or(value);
            let fits = !value.is_empty() && value.len() <= BOUNDARY_MAX;
            (name.eq_ignore_ascii_case(b"boundary=") && fits).then_some(value)
        })
}

/// What stands between the boundaries, without the line ends that belong to them.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let delimiter = [b"--", boundary].concat();
    let mut marks = Vec::new();
    let mut at = 0;
    while let Some(found) = find(body.get(at..).unwrap_or_default(), &delimiter) {
        if marks.len() > PARTS_MAX {
            break;
        }
        marks.push(at + found);
        at += found + delimiter.len();
    }
    let length = delimiter.len();
    (1..marks.len()).filter_map(move |index| {
        let part = body.get(marks[index - 1] + length..marks[index])?;
        let part = part
            .strip_prefix(b"\r\n")
            .or_else(|| part.strip_prefix(b"\n"))?;
        Some(
            part.strip_suffix(b"\r\n")
                .or_else(|| part.strip_suffix(b"\n"))
                .unwrap_or(part),
        )
    })
}

fn split_head(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let (at, length) = match (find(part, b"\r\n\r\n"), find(part, b"\n\n")) {
        (Some(at), _) => (at, 4),
        (None, Some(at)) => (at, 2),
        (None, None) => return None,
    };
    Some((part.get(..at)?, part.get(at + length..)?))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Result<&str, UnsupportedBody>) {
        let text = format!(
            "INVITE sip:911@b SIP/2.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n\
             {body}",
            body.len()
        );
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        assert_eq!(description(&message), expected.map(str::as_bytes));
    }

    #[test]
    fn sdp_is_found_alone_and_in_a_multipart_rfc2046_5_1() {
        check("application/sdp", "v=0\r\n", Ok("v=0\r\n"));
        check("Application/SDP; charset=utf-8", "v=0\r\n", Ok("v=0\r\n"));
        let body = "--b1\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--b1\r\n\
                    Content-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n--b1--\r\n";
        check("multipart/mixed; boundary=b1", body, Ok("v=0\r\ns=-"));
        check("multipart/mixed;boundary=\"b1\"", body, Ok("v=0\r\ns=-"));
    }

    #[test]
    fn anything_else_is_unsupported() {
        check("text/plain", "hello", Err(UnsupportedBody));
        check("multipart/mixed", "--b1\r\n", Err(UnsupportedBody));
        check(
            "multipart/mixed;boundary=b1",
            "--b1\r\n\r\n--b1--",
            Err(UnsupportedBody),
        );
        check("multipart/mixed;boundary=", "--", Err(UnsupportedBody));
    }
}
