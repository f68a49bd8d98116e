//! Request lines and status lines (RFC 3261 §7.1, §7.2).
//!
//! White space too many is tolerated and noted; what follows the version, the number of the
//! status code and the version's name are not.

use crate::defects::Defects;
use crate::index::Span;
use crate::lex::{is_token, is_wsp};
use crate::{FatalError, Method, StatusCode};

/// The first line of a message.
#[derive(Clone, Copy, Debug)]
pub enum StartLine<'a> {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method.
        method: Method<'a>,
        /// The Request-URI, unparsed.
        uri: &'a [u8],
    },
    /// `SIP/2.0 code reason`
    Response {
        /// The status code.
        code: StatusCode,
        /// The reason phrase, maybe empty.
        reason: &'a [u8],
    },
}

/// A start line as spans of the message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartSpans {
    Request { method: Span, uri: Span },
    Response { code: StatusCode, reason: Span },
}

impl StartSpans {
    /// Reads `line`, which is the beginning of a message up to its first line end.
    pub(crate) fn parse(line: &[u8]) -> Result<(StartSpans, Defects), FatalError> {
        match line.first_chunk::<4>() {
            Some(name) if name.eq_ignore_ascii_case(b"SIP/") => status_line(line),
            _ => request_line(line),
        }
    }
}

fn request_line(line: &[u8]) -> Result<(StartSpans, Defects), FatalError> {
    let mut defects = Defects::NONE;
    let method_end = position(line, 0, |byte| !is_token(byte));
    let uri_start = position(line, method_end, |byte| !is_wsp(byte));
    let version_end = line
        .iter()
        .rposition(|&byte| !is_wsp(byte))
        .map_or(0, |last| last + 1);
    let version_start = line
        .get(uri_start..version_end)
        .and_then(|rest| memchr::memrchr2(b' ', b'\t', rest))
        .map(|space| uri_start + space + 1)
        .ok_or(FatalError::NotSip)?;
    let version = line.get(version_start..version_end).unwrap_or_default();
    let uri_end = line
        .get(uri_start..version_start)
        .and_then(|uri| uri.iter().rposition(|&byte| !is_wsp(byte)))
        .map(|last| uri_start + last + 1)
        .ok_or(FatalError::NotSip)?;
    if method_end == 0 || uri_start == method_end {
        return Err(FatalError::NotSip);
    }
    match version_of(version) {
        Some(true) => {}
        Some(false) => defects |= Defects::BAD_VERSION,
        None => return Err(FatalError::NotSip),
    }
    let spaces = [uri_start - method_end, version_start - uri_end];
    if spaces != [1, 1] || version_end != line.len() || line.get(method_end) != Some(&b' ') {
        defects |= Defects::BAD_START_LINE;
    }
    let uri = Span::new(uri_start, uri_end);
    if memchr::memchr2(b' ', b'\t', uri.of(line)).is_some() {
        defects |= Defects::BAD_REQUEST_URI;
    }
    Ok((
        StartSpans::Request {
            method: Span::new(0, method_end),
            uri,
        },
        defects,
    ))
}

fn status_line(line: &[u8]) -> Result<(StartSpans, Defects), FatalError> {
    let mut defects = Defects::NONE;
    let version_end = position(line, 0, is_wsp);
    match version_of(line.get(..version_end).unwrap_or_default()) {
        Some(true) => {}
        Some(false) => defects |= Defects::BAD_VERSION,
        None => return Err(FatalError::NotSip),
    }
    let code_start = position(line, version_end, |byte| !is_wsp(byte));
    let code_end = position(line, code_start, |byte| !byte.is_ascii_digit());
    let code = match line.get(code_start..code_end) {
        Some(&[hundreds, tens, ones]) => {
            let digit = |byte: u8| u16::from(byte - b'0');
            digit(hundreds) * 100 + digit(tens) * 10 + digit(ones)
        }
        Some([]) | None => return Err(FatalError::NotSip),
        Some(_) => return Err(FatalError::StatusCode),
    };
    let code = StatusCode::new(code).ok_or(FatalError::StatusCode)?;
    let reason_start = match line.get(code_end) {
        Some(&byte) if is_wsp(byte) => code_end + 1,
        Some(_) => return Err(FatalError::NotSip),
        None => {
            defects |= Defects::BAD_START_LINE;
            code_end
        }
    };
    if code_start != version_end + 1 {
        defects |= Defects::BAD_START_LINE;
    }
    Ok((
        StartSpans::Response {
            code,
            reason: Span::new(reason_start, line.len()),
        },
        defects,
    ))
}

/// Whether `version` is SIP/2.0; `None` if it is no SIP version at all.
fn version_of(version: &[u8]) -> Option<bool> {
    let (name, number) = version.split_at_checked(4)?;
    if !name.eq_ignore_ascii_case(b"SIP/") {
        return None;
    }
    if number == b"2.0" {
        return Some(true);
    }
    let dot = memchr::memchr(b'.', number)?;
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    (digits(number.get(..dot)?) && digits(number.get(dot + 1..)?)).then_some(false)
}

fn position(line: &[u8], from: usize, found: impl Fn(u8) -> bool) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|&byte| found(byte))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<(&str, Defects), FatalError>) {
        let parsed = StartSpans::parse(line.as_bytes()).map(|(spans, defects)| {
            let text = |span: Span| String::from_utf8_lossy(span.of(line.as_bytes()));
            let shown = match spans {
                StartSpans::Request { method, uri } => format!("{}|{}", text(method), text(uri)),
                StartSpans::Response { code, reason } => format!("{code}|{}", text(reason)),
            };
            (shown, defects)
        });
        assert_eq!(
            parsed,
            expected.map(|(shown, defects)| (shown.to_owned(), defects)),
            "{line}"
        );
    }

    #[test]
    fn request_lines() {
        check("INVITE sip:a SIP/2.0", Ok(("INVITE|sip:a", Defects::NONE)));
        check("INVITE sip:a sip/2.0", Ok(("INVITE|sip:a", Defects::NONE)));
        check(
            "INVITE  sip:a  SIP/2.0",
            Ok(("INVITE|sip:a", Defects::BAD_START_LINE)),
        );
        check(
            "INVITE sip:a SIP/2.0  ",
            Ok(("INVITE|sip:a", Defects::BAD_START_LINE)),
        );
        check(
            "INVITE\tsip:a SIP/2.0",
            Ok(("INVITE|sip:a", Defects::BAD_START_LINE)),
        );
        check(
            "INVITE sip:a; lr SIP/2.0",
            Ok(("INVITE|sip:a; lr", Defects::BAD_REQUEST_URI)),
        );
        check(
            "OPTIONS sip:a SIP/7.0",
            Ok(("OPTIONS|sip:a", Defects::BAD_VERSION)),
        );
    }

    #[test]
    fn status_lines() {
        check("SIP/2.0 200 OK", Ok(("200|OK", Defects::NONE)));
        check("SIP/2.0 100 ", Ok(("100|", Defects::NONE)));
        check("SIP/2.0 100", Ok(("100|", Defects::BAD_START_LINE)));
        check("SIP/2.0  180 R", Ok(("180|R", Defects::BAD_START_LINE)));
        check("SIP/3.0 200 OK", Ok(("200|OK", Defects::BAD_VERSION)));
    }

    #[test]
    fn other_lines() {
        for line in [
            "",
            "INVITE",
            "INVITE sip:a",
            "INVITE SIP/2.0",
            " INVITE sip:a SIP/2.0",
            "IN<ITE sip:a SIP/2.0",
            "GET / HTTP/1.1",
            "INVITE sip:a SIP/2",
            "INVITE sip:a SIP/x.y",
            "SIP/2.0",
            "SIP/2.0 OK",
            "SIP/2.0 200OK",
            "SIP/two 200 OK",
        ] {
            check(line, Err(FatalError::NotSip));
        }
        check(
            "SIP/2.0 4294967301 better not break",
            Err(FatalError::StatusCode),
        );
        check("SIP/2.0 99 x", Err(FatalError::StatusCode));
        check("SIP/2.0 700 x", Err(FatalError::StatusCode));
        check("SIP/2.0 099 x", Err(FatalError::StatusCode));
    }
}
