//! `Digest name=value, name="value"` (RFC 7616 §3.3, RFC 3261 §25.1): splitting, not judging.

use smallvec::SmallVec;

use crate::lex::{Cursor, is_param_value, is_token};
use crate::list::Values;

/// Longest value of a field that is taken, in bytes.
pub const VALUE_MAX: usize = 1024;

/// Most fields of one challenge or of one set of credentials.
const FIELDS_MAX: usize = 32;

/// Whether `text` can stand between quotes as it is: no quote, no backslash, no control character.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|&byte| byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7f))
}

/// The fields of one challenge or of one set of credentials.
pub(crate) struct Fields<'a> {
    /// The scheme: `Digest`, `Basic`, …
    pub(crate) scheme: &'a [u8],
    list: SmallVec<[(&'a [u8], &'a [u8]); 12]>,
    /// Something in them could not be read, or was there twice.
    pub(crate) broken: bool,
}

impl<'a> Fields<'a> {
    /// Whether the scheme is the one that we speak.
    pub(crate) fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }

    /// The value of a field, without its quotes.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.list
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    fn add(&mut self, item: &'a [u8]) {
        let Some((name, value)) = pair(item) else {
            self.broken = true;
            return;
        };
        let full = self.list.len() >= FIELDS_MAX;
        if full || value.len() > VALUE_MAX || self.get(name).is_some() {
            self.broken = true;
            return;
        }
        self.list.push((name, value));
    }
}

/// Splits a header line: a scheme with its fields, and maybe more of them, all with commas in
/// between. RFC 3261 §7.3.1 wants a line for each; proxies have been seen to join them.
pub(crate) fn schemes(line: &[u8]) -> impl Iterator<Item = Fields<'_>> {
    let mut values = Values::new(line).peekable();
    std::iter::from_fn(move || {
        let first = values.next()?;
        let (scheme, rest) = scheme_of(first).unwrap_or((b"", first));
        let mut fields = Fields {
            scheme,
            list: SmallVec::new(),
            broken: false,
        };
        if !rest.is_empty() {
            fields.add(rest);
        }
        while let Some(item) = values.next_if(|item| scheme_of(item).is_none()) {
            fields.add(item);
        }
        Some(fields)
    })
}

/// `Digest realm=…`: a token, white space, and not an equals sign.
fn scheme_of(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(item);
    let scheme = cursor.token()?;
    let apart = cursor.skip_lws();
    let fields = cursor.rest();
    (fields.is_empty() || apart && cursor.peek() != Some(b'=')).then_some((scheme, fields))
}

fn pair(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(item);
    let name = cursor.token()?;
    cursor.skip_lws();
    if !cursor.eat(b'=') {
        return None;
    }
    cursor.skip_lws();
    let value = match cursor.peek() {
        Some(b'"') => cursor
            .quoted()
            .and_then(|quoted| quoted.get(1..quoted.len().checked_sub(1)?))?,
        // A URI is quoted by the rules and bare with some.
        _ => cursor.take_while(|byte| is_param_value(byte) || is_token(byte) || byte == b';'),
    };
    cursor.skip_lws();
    cursor.is_empty().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_challenges_are_told_apart() {
        let line = b"Basic realm=\"a, b\", Digest realm=x , nonce = \"n\\\"1\"\r\n , qop=\"auth,auth-int\",Kerberos";
        let all: Vec<_> = schemes(line).collect();
        let names: Vec<_> = all.iter().map(|fields| fields.scheme).collect();
        assert_eq!(names, [&b"Basic"[..], b"Digest", b"Kerberos"]);
        assert_eq!(all[0].get(b"REALM"), Some(&b"a, b"[..]));
        assert_eq!(all[1].get(b"nonce"), Some(&b"n\\\"1"[..]));
        assert_eq!(all[1].get(b"qop"), Some(&b"auth,auth-int"[..]));
        assert!(all.iter().all(|fields| !fields.broken));
    }

    #[test]
    fn what_is_there_twice_or_unreadable_is_broken() {
        for line in [
            "Digest realm=\"a\", realm=\"b\"",
            "Digest realm=\"a\" x",
            "Digest realm",
            "Digest =a",
            "Digest realm=\"a",
        ] {
            // `Digest realm` reads as two schemes in a row, which is no challenge either.
            let readable = schemes(line.as_bytes())
                .any(|fields| !fields.broken && fields.get(b"realm").is_some());
            assert!(!readable, "{line}");
        }
    }
}
