//! What to refuse, and with which code (RFC 3261 §8.1.3, §8.2, §16.3; RFC 4475).
//!
//! Only what can be told from the message alone: 400, 416 and 505. Required extensions (420),
//! sizes (513), methods (405, 501) and hops (483) depend on who receives the message.

use crate::defects::Defects;
use crate::{Contact, HeaderName, Message, Method, NameAddr, Scheme, StartLine, StatusCode, Uri};

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code to answer a request with. A refused response is dropped.
    pub code: StatusCode,
    /// The reason phrase; says nothing about us.
    pub reason: &'static str,
}

/// How much of what RFC 4475 leaves open is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// What has one obvious meaning is let pass: spaces too many in the start line, LF alone as
    /// line end, headers in a Request-URI (they are to be ignored), white space between angle
    /// brackets and their URI.
    Lenient,
    /// Only what the grammar has. RFC 2543 messages are still let pass (RFC 4475 §3.4.1).
    Strict,
}

impl Message<'_> {
    /// Whether this request may be processed, leniently.
    pub fn validate_request(&self) -> Result<(), Rejection> {
        self.validate_request_as(Strictness::Lenient)
    }

    /// Whether this response may be processed, leniently.
    pub fn validate_response(&self) -> Result<(), Rejection> {
        self.validate_response_as(Strictness::Lenient)
    }

    /// Whether this request may be processed.
    pub fn validate_request_as(&self, strictness: Strictness) -> Result<(), Rejection> {
        let StartLine::Request { method, uri } = self.start() else {
            return Err(bad("Not A Request"));
        };
        self.validate_common(strictness)?;
        self.validate_request_uri(uri, strictness)?;
        self.max_forwards().map_err(|_| bad("Bad Max-Forwards"))?;
        if self.cseq().is_ok_and(|cseq| cseq.method != method) {
            return Err(bad("CSeq Method Mismatch"));
        }
        for contact in self.contacts() {
            match contact {
                Ok(Contact::Address(_)) => {}
                Ok(Contact::Wildcard) if method == Method::Register => {}
                _ => return Err(bad("Bad Contact")),
            }
        }
        Ok(())
    }

    /// Whether this response may be processed. One with more than one Via was meant for somebody
    /// else (RFC 3261 §8.1.3.3).
    pub fn validate_response_as(&self, strictness: Strictness) -> Result<(), Rejection> {
        if self.is_request() {
            return Err(bad("Not A Response"));
        }
        self.validate_common(strictness)?;
        if self.values(HeaderName::Via).nth(1).is_some() {
            return Err(bad("Too Many Vias"));
        }
        Ok(())
    }

    /// What requests and responses have in common.
    fn validate_common(&self, strictness: Strictness) -> Result<(), Rejection> {
        let defects = self.defects();
        if defects.contains(Defects::BAD_VERSION) {
            return Err(Rejection::default_for(505));
        }
        if let Some((_, reason)) = REFUSED
            .iter()
            .find(|(defect, _)| defects.intersects(*defect))
        {
            return Err(bad(reason));
        }
        if strictness == Strictness::Strict && defects.intersects(REFUSED_IF_STRICT) {
            return Err(bad("Bad Request"));
        }
        self.via().map_err(|_| bad("Bad Via"))?;
        let tidy = |address: &NameAddr<'_>| strictness == Strictness::Lenient || address.is_tidy();
        self.from().ok().filter(tidy).ok_or(bad("Bad From"))?;
        self.to().ok().filter(tidy).ok_or(bad("Bad To"))?;
        self.call_id().map_err(|_| bad("Bad Call-ID"))?;
        self.cseq().map_err(|_| bad("Bad CSeq"))?;
        Ok(())
    }

    fn validate_request_uri(&self, uri: &[u8], strictness: Strictness) -> Result<(), Rejection> {
        let uri = Uri::parse(uri).map_err(|_| bad("Bad Request-URI"))?;
        if matches!(uri.scheme, Scheme::Other(_)) && !uri.is_emergency_service() {
            return Err(Rejection::default_for(416));
        }
        if strictness == Strictness::Strict && uri.headers.is_some() {
            return Err(bad("Headers In Request-URI"));
        }
        Ok(())
    }
}

impl Rejection {
    /// That code with its usual reason.
    const fn default_for(code: u16) -> Rejection {
        let code = StatusCode::of(code);
        Rejection {
            code,
            reason: code.default_reason(),
        }
    }
}

const fn bad(reason: &'static str) -> Rejection {
    Rejection {
        code: StatusCode::of(400),
        reason,
    }
}

/// Defects that make a message ambiguous or incomplete.
const REFUSED: [(Defects, &str); 11] = [
    (
        Defects::CONTENT_LENGTH_CONFLICT
            .union(Defects::CONTENT_LENGTH_INVALID)
            .union(Defects::CONTENT_LENGTH_TOO_LARGE),
        "Bad Content-Length",
    ),
    (Defects::MISSING_BLANK_LINE, "Incomplete Message"),
    (Defects::MISSING_CALL_ID, "Missing Call-ID"),
    (Defects::MISSING_CSEQ, "Missing CSeq"),
    (Defects::MISSING_FROM, "Missing From"),
    (Defects::MISSING_TO, "Missing To"),
    (Defects::MISSING_VIA, "Missing Via"),
    (Defects::BAD_REQUEST_URI, "Bad Request-URI"),
    (Defects::DUPLICATE_SINGLETON, "Duplicate Header"),
    (Defects::MALFORMED_HEADER, "Malformed Header"),
    (Defects::TOO_MANY_HEADERS, "Too Many Headers"),
];

const REFUSED_IF_STRICT: Defects = Defects::BAD_START_LINE
    .union(Defects::BARE_CR)
    .union(Defects::BARE_LF)
    .union(Defects::NON_UTF8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Index;

    const HEADERS: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";

    #[track_caller]
    fn check(input: &str, lenient: Option<(u16, &str)>, strict: Option<(u16, &str)>) {
        let mut index = Index::default();
        let message = index.parse(input.as_bytes()).unwrap();
        for (strictness, expected) in [(Strictness::Lenient, lenient), (Strictness::Strict, strict)]
        {
            let verdict = match message.is_request() {
                true => message.validate_request_as(strictness),
                false => message.validate_response_as(strictness),
            };
            let shown = verdict
                .err()
                .map(|rejection| (rejection.code.raw(), rejection.reason));
            assert_eq!(shown, expected, "{strictness:?}: {input}");
        }
    }

    #[test]
    fn sound_messages_pass() {
        check(
            &format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}\r\n"),
            None,
            None,
        );
        check(
            &format!("INVITE tel:+1330 SIP/2.0\r\n{HEADERS}m: <sip:a@h>\r\n\r\n"),
            None,
            None,
        );
        check(&format!("SIP/2.0 200 OK\r\n{HEADERS}\r\n"), None, None);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_code() {
        let both = |input: String, code, reason| {
            check(&input, Some((code, reason)), Some((code, reason)));
        };
        both(
            format!("INVITE c@d SIP/2.0\r\n{HEADERS}\r\n"),
            400,
            "Bad Request-URI",
        );
        both(
            format!("INVITE x:y SIP/2.0\r\n{HEADERS}\r\n"),
            416,
            "Unsupported URI Scheme",
        );
        both(
            format!("INVITE sip:c SIP/3.0\r\n{HEADERS}\r\n"),
            505,
            "Version Not Supported",
        );
        both(
            format!("BYE sip:c SIP/2.0\r\n{HEADERS}\r\n"),
            400,
            "CSeq Method Mismatch",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}m: *\r\n\r\n"),
            400,
            "Bad Contact",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}l: 9\r\n\r\n"),
            400,
            "Bad Content-Length",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}"),
            400,
            "Incomplete Message",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}i: y\r\n\r\n"),
            400,
            "Duplicate Header",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}no\r\n\r\n"),
            400,
            "Malformed Header",
        );
        both(
            format!("INVITE sip:c SIP/2.0\r\n{HEADERS}Max-Forwards: 256\r\n\r\n"),
            400,
            "Bad Max-Forwards",
        );
        both(
            "INVITE sip:c SIP/2.0\r\n\r\n".to_owned(),
            400,
            "Missing Call-ID",
        );
        both(
            format!("SIP/2.0 200 OK\r\n{HEADERS}v: SIP/2.0/UDP i\r\n\r\n"),
            400,
            "Too Many Vias",
        );
    }

    #[test]
    fn what_has_one_obvious_meaning_is_refused_only_if_strict() {
        let strict = |input: String, reason| check(&input, None, Some((400, reason)));
        strict(
            format!("INVITE  sip:c@d SIP/2.0\r\n{HEADERS}\r\n"),
            "Bad Request",
        );
        strict(
            format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}\n"),
            "Bad Request",
        );
        strict(
            format!("INVITE sip:c?a=b SIP/2.0\r\n{HEADERS}\r\n"),
            "Headers In Request-URI",
        );
    }

    #[test]
    fn requests_and_responses_are_not_taken_for_each_other() {
        let mut index = Index::default();
        assert!(
            index
                .parse(b"SIP/2.0 200 OK\r\n\r\n")
                .unwrap()
                .validate_request()
                .is_err()
        );
        assert!(
            index
                .parse(b"A a SIP/2.0\r\n\r\n")
                .unwrap()
                .validate_response()
                .is_err()
        );
    }
}
