//! Parameters: `;name`, `;name=value`, `;name="value"` (RFC 3261 §25.1 `generic-param`,
//! `uri-parameter`).
//!
//! [`Params`] has been checked as a whole when it exists, so reading it cannot fail. A value may
//! be any run of visible characters: peers put base64 and bare IPv6 addresses where the grammar
//! has a token, and nothing is gained by refusing those.

use crate::SyntaxError;
use crate::lex::{Cursor, is_param_name, is_param_value, trim};

/// The parameters of a header value or of a URI.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// Empty, or starting with `;`.
    raw: &'a [u8],
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as written.
    pub name: &'a [u8],
    /// The value as written, a quoted one with its quotes; `None` for a mere flag.
    pub value: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Checks and keeps parameters. `raw` is empty or starts with `;`.
    pub fn parse(raw: &'a [u8]) -> Result<Params<'a>, SyntaxError> {
        let raw = trim(raw);
        let mut cursor = Cursor::new(raw);
        while next_param(&mut cursor)?.is_some() {}
        Ok(Params { raw })
    }

    /// The value of the first parameter of that name, in any case: `None` if there is none,
    /// `Some(None)` for a flag.
    pub fn get(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .map(|param| param.value)
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.raw);
        std::iter::from_fn(move || next_param(&mut cursor).ok().flatten())
    }

    /// The parameters as received, from the first `;` on; empty if there are none.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}

/// Reads the next `;name[=value]`, white space around each part allowed.
fn next_param<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Param<'a>>, SyntaxError> {
    cursor.skip_lws();
    if cursor.is_empty() {
        return Ok(None);
    }
    if !cursor.eat(b';') {
        return Err(SyntaxError::Parameter);
    }
    cursor.skip_lws();
    let name = cursor.take_while(is_param_name);
    if name.is_empty() {
        return Err(SyntaxError::Parameter);
    }
    cursor.skip_lws();
    if !cursor.eat(b'=') {
        return Ok(Some(Param { name, value: None }));
    }
    cursor.skip_lws();
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted().ok_or(SyntaxError::Quotes)?,
        _ => cursor.take_while(is_param_value),
    };
    Ok(Some(Param {
        name,
        value: Some(value),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<&[(&str, Option<&str>)], SyntaxError>) {
        let parsed = Params::parse(input.as_bytes()).map(|params| {
            params
                .iter()
                .map(|param| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    (text(param.name), param.value.map(text))
                })
                .collect::<Vec<_>>()
        });
        let expected = expected.map(|list| {
            list.iter()
                .map(|(name, value)| (name.to_string(), value.map(str::to_string)))
                .collect::<Vec<_>>()
        });
        assert_eq!(parsed, expected, "{input:?}");
    }

    #[test]
    fn parameters_in_order() {
        check("", Ok(&[]));
        check(";lr", Ok(&[("lr", None)]));
        check(";\r\n tag = 98asjd8", Ok(&[("tag", Some("98asjd8"))]));
        check(
            ";a=\"x;y\\\"\" ;b=",
            Ok(&[("a", Some("\"x;y\\\"\"")), ("b", Some(""))]),
        );
        check(
            ";received=2001:db8::1;rport",
            Ok(&[("received", Some("2001:db8::1")), ("rport", None)]),
        );
        check(";tag=aGk=", Ok(&[("tag", Some("aGk="))]));
    }

    #[test]
    fn separators_without_a_parameter_are_refused_rfc4475_3_1_2_1() {
        for input in [
            ";;", ";", ";a;;b", "a", ";=b", ";a b", ";a=b c", ";a=\"b", ";a,;b",
        ] {
            assert!(Params::parse(input.as_bytes()).is_err(), "{input:?}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        let params = Params::parse(b";Transport=tls;LR").unwrap();
        assert_eq!(params.get(b"transport"), Some(Some(&b"tls"[..])));
        assert_eq!(params.get(b"lr"), Some(None));
        assert!(!params.has(b"maddr"));
    }
}
