//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, P-Asserted-Identity, …
//! (RFC 3261 §20.10, §25.1).

use std::borrow::Cow;

use crate::lex::{Cursor, is_lws, is_token, trim};
use crate::{Params, SyntaxError, Uri};

/// An address with its display name and the header's parameters.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, a quoted one with its quotes.
    pub display: Option<&'a [u8]>,
    /// The URI.
    pub uri: Uri<'a>,
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
    /// The tag, never empty.
    tag: Option<&'a [u8]>,
    /// White space stood inside the angle brackets.
    spaced: bool,
    /// The whole value as received.
    pub raw: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Parses one value: `"Name" <uri>;params`, `<uri>;params` or `uri;params`. In the last form
    /// parameters are the header's, and `?` and `,` may not be in the URI (RFC 3261 §20.10).
    /// White space around the URI inside the brackets is ignored (RFC 4475 §3.1.2.14).
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, SyntaxError> {
        let raw = trim(value);
        let (display, uri, params) = match display_length(raw)? {
            Some(length) => {
                let (display, rest) = raw.split_at(length);
                let close = memchr::memchr(b'>', rest).ok_or(SyntaxError::Brackets)?;
                let uri = rest.get(1..close).ok_or(SyntaxError::Brackets)?;
                let params = rest.get(close + 1..).unwrap_or_default();
                (
                    Some(trim(display)).filter(|display| !display.is_empty()),
                    uri,
                    params,
                )
            }
            None => {
                let mut cursor = Cursor::new(raw);
                let uri = cursor.take_while(|byte| !is_lws(byte) && !matches!(byte, b';' | b','));
                if uri.contains(&b'?') {
                    return Err(SyntaxError::Brackets);
                }
                (None, uri, cursor.rest())
            }
        };
        let mut name_addr = NameAddr {
            display,
            uri: Uri::parse(trim(uri))?,
            params: Params::parse(params)?,
            tag: None,
            spaced: trim(uri).len() != uri.len(),
            raw,
        };
        name_addr.read_tag()?;
        Ok(name_addr)
    }

    /// The URI as received.
    pub const fn raw_uri(&self) -> &'a [u8] {
        self.uri.raw
    }

    /// The tag parameter of a From or To.
    pub const fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// Whether the grammar has this form, which wants the brackets close around the URI.
    pub(crate) const fn is_tidy(&self) -> bool {
        !self.spaced
    }

    /// The display name without its quotes and escapes, folds read as one space.
    pub fn display_unquoted(&self) -> Option<Cow<'a, [u8]>> {
        let display = self.display?;
        let [b'"', quoted @ .., b'"'] = display else {
            return Some(Cow::Borrowed(display));
        };
        if memchr::memchr3(b'\\', b'\r', b'\n', quoted).is_none() {
            return Some(Cow::Borrowed(quoted));
        }
        let mut text = Vec::with_capacity(quoted.len());
        let mut bytes = quoted.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => text.extend(bytes.next()),
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        Some(Cow::Owned(text))
    }

    fn read_tag(&mut self) -> Result<(), SyntaxError> {
        for param in self
            .params
            .iter()
            .filter(|param| param.name.eq_ignore_ascii_case(b"tag"))
        {
            let value = param.value.filter(|value| !value.is_empty());
            if self
                .tag
                .replace(value.ok_or(SyntaxError::Parameter)?)
                .is_some()
            {
                return Err(SyntaxError::Parameter);
            }
        }
        Ok(())
    }
}

/// How much stands before the `<`; `None` if this is the form without brackets. An unquoted
/// display name is tokens; bytes beyond ASCII are let pass, phones send them.
fn display_length(raw: &[u8]) -> Result<Option<usize>, SyntaxError> {
    let mut cursor = Cursor::new(raw);
    let quoted = cursor.peek() == Some(b'"');
    if quoted {
        cursor.quoted().ok_or(SyntaxError::Quotes)?;
        cursor.skip_lws();
    } else {
        cursor.take_while(|byte| is_token(byte) || is_lws(byte) || !byte.is_ascii());
    }
    match cursor.peek() {
        Some(b'<') => Ok(Some(raw.len() - cursor.rest().len())),
        _ if quoted => Err(SyntaxError::Quotes),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<(&str, &str, &str, &str), SyntaxError>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parsed = NameAddr::parse(input.as_bytes()).map(|address| {
            (
                address.display.map(text).unwrap_or_default(),
                text(address.raw_uri()),
                text(address.params.raw()),
                address.tag().map(text).unwrap_or_default(),
            )
        });
        let expected = expected.map(|(a, b, c, d)| (a.into(), b.into(), c.into(), d.into()));
        assert_eq!(parsed, expected, "{input}");
    }

    #[test]
    fn the_three_forms() {
        check("sip:a@b;tag=1", Ok(("", "sip:a@b", ";tag=1", "1")));
        check("<sip:a@b;lr>;tag=1", Ok(("", "sip:a@b;lr", ";tag=1", "1")));
        check("caller<sip:a@b>", Ok(("caller", "sip:a@b", "", "")));
        check(
            "A. G. Bell  <sip:a@b>",
            Ok(("A. G. Bell", "sip:a@b", "", "")),
        );
        check(
            "\"a, <b\" <sip:a@b> ; x",
            Ok(("\"a, <b\"", "sip:a@b", "; x", "")),
        );
        check(
            "\r\n sip:a@b ;\r\n   tag    = 19n",
            Ok(("", "sip:a@b", ";\r\n   tag    = 19n", "19n")),
        );
        check("Zoë <sip:a@b>", Ok(("Zoë", "sip:a@b", "", "")));
        check("isbn:2983792873", Ok(("", "isbn:2983792873", "", "")));
        check(
            "<tel:+1;phone-context=x>",
            Ok(("", "tel:+1;phone-context=x", "", "")),
        );
    }

    #[test]
    fn spaces_around_the_uri_are_ignored_and_known_rfc4475_3_1_2_14() {
        check("< sip:a@b >;x", Ok(("", "sip:a@b", ";x", "")));
        assert!(!NameAddr::parse(b"< sip:a@b >").unwrap().is_tidy());
        assert!(NameAddr::parse(b"<sip:a@b>").unwrap().is_tidy());
    }

    #[test]
    fn what_is_no_address() {
        check("", Err(SyntaxError::Scheme));
        check(
            "\"Mr. J. User <sip:j.user@example.com>",
            Err(SyntaxError::Quotes),
        );
        check("\"A\" x <sip:a@b>", Err(SyntaxError::Quotes));
        check("\"A\"", Err(SyntaxError::Quotes));
        check("<sip:a@b", Err(SyntaxError::Brackets));
        check("Bell, A <sip:a@b>", Err(SyntaxError::Scheme));
        check("<sip:a @b>", Err(SyntaxError::Character));
        check("sip:a@b?Route=x", Err(SyntaxError::Brackets));
        check("sip:a@b, sip:c@d", Err(SyntaxError::Parameter));
        check("<sip:a@b>;;;;", Err(SyntaxError::Parameter));
        check("<sip:a@b>;tag=1;tag=2", Err(SyntaxError::Parameter));
        check("<sip:a@b>;tag", Err(SyntaxError::Parameter));
        check("<sip:a@b>;tag=", Err(SyntaxError::Parameter));
        check("<sip:a@b>x", Err(SyntaxError::Parameter));
    }

    #[test]
    fn display_names_without_their_quotes() {
        let display = |value: &'static [u8]| {
            let address = NameAddr::parse(value).unwrap();
            address
                .display_unquoted()
                .map(|d| String::from_utf8(d.into_owned()).unwrap())
        };
        assert_eq!(display(b"<sip:a@b>"), None);
        assert_eq!(display(b"Ann Lee <sip:a@b>").as_deref(), Some("Ann Lee"));
        assert_eq!(
            display(b"\"J \\\\\\\"\" <sip:a@b>").as_deref(),
            Some("J \\\"")
        );
        assert_eq!(display(b"\"J\r\n R\" <sip:a@b>").as_deref(), Some("J R"));
    }
}
