//! A received message: typed access to what the index found.

use std::fmt;

use crate::defects::Defects;
use crate::index::{Entry, Index};
use crate::lex::number;
use crate::list::Values;
use crate::start_line::{StartLine, StartSpans};
use crate::{CSeq, HeaderError, HeaderName, Method, NameAddr, StatusCode, SyntaxError, Via};

/// A message: the received bytes and the index over them. Copying it copies two pointers.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which header.
    pub name: HeaderName,
    /// The name as written.
    pub raw_name: &'a [u8],
    /// The value, outer white space trimmed, folds kept.
    pub value: &'a [u8],
}

/// One value of a Contact header.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a borrowed view that nobody keeps"
)]
pub enum Contact<'a> {
    /// An address.
    Address(NameAddr<'a>),
    /// `*`, which only a REGISTER may have (RFC 3261 §10.2.2).
    Wildcard,
}

impl<'a> Message<'a> {
    pub(crate) const fn new(bytes: &'a [u8], index: &'a Index) -> Message<'a> {
        Message { bytes, index }
    }

    /// Exactly this message: from its start line to the end of its body.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The start line.
    pub fn start(&self) -> StartLine<'a> {
        match self.index.start {
            StartSpans::Request { method, uri } => StartLine::Request {
                method: Method::new(method.of(self.bytes)),
                uri: uri.of(self.bytes),
            },
            StartSpans::Response { code, reason } => StartLine::Response {
                code,
                reason: reason.of(self.bytes),
            },
        }
    }

    /// The method, of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start() {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The Request-URI as received, of a request.
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start() {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// The status code, of a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self.index.start {
            StartSpans::Request { .. } => None,
            StartSpans::Response { code, .. } => Some(code),
        }
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.index.start, StartSpans::Request { .. })
    }

    /// The first header of that name: its value with outer white space trimmed and folds kept.
    pub fn header(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.index
            .entries_from(name)
            .first()
            .map(|entry| entry.value.of(self.bytes))
    }

    /// Each header of that name, in order.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.index
            .entries_from(name)
            .iter()
            .filter(move |entry| entry.header == name)
            .map(move |entry| entry.value.of(bytes))
    }

    /// Each comma-separated value of each header of that name, in order. For headers that are
    /// lists: Via, Route, Contact, Allow, …
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.headers(name).flat_map(Values::new)
    }

    /// Whether a list header of names (Supported, Require, Allow, …) holds `token`, in any case.
    pub fn lists(&self, name: HeaderName, token: &[u8]) -> bool {
        self.values(name)
            .any(|value| value.eq_ignore_ascii_case(token))
    }

    /// The first header that this crate has no name for and that is called `raw_name`.
    pub fn other(&self, raw_name: &[u8]) -> Option<&'a [u8]> {
        self.fields()
            .find(|field| {
                field.name == HeaderName::Other && field.raw_name.eq_ignore_ascii_case(raw_name)
            })
            .map(|field| field.value)
    }

    /// All headers in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let bytes = self.bytes;
        self.index.entries().iter().map(
            move |&Entry {
                      header,
                      name,
                      value,
                  }| Field {
                name: header,
                raw_name: name.of(bytes),
                value: value.of(bytes),
            },
        )
    }

    /// The body, maybe empty.
    pub fn body(&self) -> &'a [u8] {
        self.index.body.of(self.bytes)
    }

    /// What is wrong with the message.
    pub const fn defects(&self) -> Defects {
        self.index.defects
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'a>, HeaderError> {
        let line = self.required(HeaderName::Via)?;
        let value = Values::new(line).next().unwrap_or_default();
        Via::parse(value).map_err(malformed(HeaderName::Via))
    }

    /// The From.
    pub fn from(&self) -> Result<NameAddr<'a>, HeaderError> {
        NameAddr::parse(self.required(HeaderName::From)?).map_err(malformed(HeaderName::From))
    }

    /// The To.
    pub fn to(&self) -> Result<NameAddr<'a>, HeaderError> {
        NameAddr::parse(self.required(HeaderName::To)?).map_err(malformed(HeaderName::To))
    }

    /// The first Contact, which must be an address.
    pub fn contact(&self) -> Result<Option<NameAddr<'a>>, HeaderError> {
        match self.contacts().next().transpose()? {
            None => Ok(None),
            Some(Contact::Address(address)) => Ok(Some(address)),
            Some(Contact::Wildcard) => Err(malformed(HeaderName::Contact)(SyntaxError::Scheme)),
        }
    }

    /// Every Contact value.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, HeaderError>> + use<'a> {
        self.values(HeaderName::Contact).map(|value| match value {
            b"*" => Ok(Contact::Wildcard),
            address => NameAddr::parse(address)
                .map(Contact::Address)
                .map_err(malformed(HeaderName::Contact)),
        })
    }

    /// The CSeq.
    pub fn cseq(&self) -> Result<CSeq<'a>, HeaderError> {
        CSeq::parse(self.required(HeaderName::CSeq)?).map_err(malformed(HeaderName::CSeq))
    }

    /// The Call-ID: never empty, no white space in it.
    pub fn call_id(&self) -> Result<&'a [u8], HeaderError> {
        let call_id = self.required(HeaderName::CallId)?;
        if call_id.is_empty() || !call_id.iter().all(u8::is_ascii_graphic) {
            return Err(malformed(HeaderName::CallId)(SyntaxError::Character));
        }
        Ok(call_id)
    }

    /// The Max-Forwards; a request of RFC 2543 has none.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.header(HeaderName::MaxForwards)
            .map(|value| {
                number(value)
                    .and_then(|hops| u8::try_from(hops).ok())
                    .ok_or_else(|| malformed(HeaderName::MaxForwards)(SyntaxError::Number))
            })
            .transpose()
    }

    /// The number that a header of seconds or of a count starts with: Expires, Min-SE,
    /// Session-Expires, RSeq, Retry-After, … Beyond 32 bits it is the largest (RFC 3261 §20.19).
    pub fn number(&self, name: HeaderName) -> Result<Option<u32>, HeaderError> {
        let Some(value) = self.header(name) else {
            return Ok(None);
        };
        let digits = value
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(value.len());
        let (digits, rest) = value.split_at(digits);
        if digits.is_empty()
            || !matches!(
                rest.first(),
                None | Some(b';' | b' ' | b'\t' | b'\r' | b'(')
            )
        {
            return Err(malformed(name)(SyntaxError::Number));
        }
        Ok(Some(
            number(digits)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(u32::MAX),
        ))
    }

    fn required(&self, name: HeaderName) -> Result<&'a [u8], HeaderError> {
        self.header(name).ok_or(HeaderError::Missing(name))
    }
}

/// What it is and how long, nothing of what it says.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.bytes.len();
        match self.start() {
            StartLine::Request { method, .. } => write!(f, "{method} ({length} bytes)"),
            StartLine::Response { code, .. } => write!(f, "{code} ({length} bytes)"),
        }
    }
}

fn malformed(header: HeaderName) -> impl Fn(SyntaxError) -> HeaderError {
    move |fault| HeaderError::Malformed { header, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"REGISTER sip:r SIP/2.0\r\n\
        v: SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/TCP b\r\n\
        Via: SIP/2.0/TLS c\r\n\
        f: \"A\" <sip:a@b>;tag=1\r\nt: sip:a@b\r\ni: x@y\r\nCSeq: 7 REGISTER\r\n\
        Max-Forwards: 0070\r\nm: <sip:1@h>, *\r\nX-Thing: one\r\nExpires: 99999999999\r\n\
        Session-Expires: 1800;refresher=uac\r\nMin-SE: soon\r\nk: timer, 100REL\r\n\r\n";

    fn with(test: impl FnOnce(Message<'_>)) {
        test(Index::default().parse(REQUEST).unwrap());
    }

    #[test]
    fn typed_headers() {
        with(|message| {
            assert_eq!(message.method(), Some(Method::Register));
            assert_eq!(message.via().unwrap().transport, b"UDP");
            assert_eq!(message.values(HeaderName::Via).count(), 3);
            assert_eq!(message.from().unwrap().tag(), Some(&b"1"[..]));
            assert_eq!(message.to().unwrap().tag(), None);
            assert_eq!(message.call_id().unwrap(), b"x@y");
            assert_eq!(message.cseq().unwrap().number, 7);
            assert_eq!(message.max_forwards(), Ok(Some(70)));
            assert_eq!(message.contact().unwrap().unwrap().raw_uri(), b"sip:1@h");
            assert!(matches!(
                message.contacts().nth(1),
                Some(Ok(Contact::Wildcard))
            ));
            assert_eq!(message.other(b"x-thing"), Some(&b"one"[..]));
            assert!(message.lists(HeaderName::Supported, b"100rel"));
        });
    }

    #[test]
    fn numbers_that_overflow_are_the_largest_rfc3261_20_19() {
        with(|message| {
            assert_eq!(message.number(HeaderName::Expires), Ok(Some(u32::MAX)));
            assert_eq!(message.number(HeaderName::SessionExpires), Ok(Some(1800)));
            assert!(message.number(HeaderName::MinSe).is_err());
            assert_eq!(message.number(HeaderName::RSeq), Ok(None));
        });
    }

    #[test]
    fn says_which_header_is_missing_or_malformed() {
        let mut index = Index::default();
        let message = index
            .parse(b"A a SIP/2.0\r\nTo: <\r\nCall-ID: a b\r\nv: ,\r\nm: *\r\n\r\n")
            .unwrap();
        assert_eq!(
            message.from().unwrap_err(),
            HeaderError::Missing(HeaderName::From)
        );
        assert_eq!(message.to().unwrap_err().to_string(), "To is malformed");
        assert_eq!(message.call_id().unwrap_err().header(), HeaderName::CallId);
        assert!(message.via().is_err() && message.contact().is_err());
    }

    #[test]
    fn debug_output_holds_nothing_of_the_content() {
        with(|message| {
            assert_eq!(
                format!("{message:?}"),
                format!("REGISTER ({} bytes)", REQUEST.len())
            );
        });
    }
}
