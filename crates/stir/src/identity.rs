//! The Identity header of RFC 8224 §4: a token, `info`, and perhaps `alg` and `ppt`.

use crate::verify::VerifyError;

/// One Identity header, parsed in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Header and claims in base64url; `None` in the compact form (RFC 8224 §7).
    pub full: Option<(&'a str, &'a str)>,
    /// The signature in base64url.
    pub signature: &'a str,
    /// Where the certificate is.
    pub info: &'a str,
    /// The extension that the header names.
    pub ppt: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// Reads the value of one header.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] for what is no Identity header or longer than
    /// [`IDENTITY_BYTES_MAX`]; [`VerifyError::Algorithm`] for another `alg`.
    pub fn parse(value: &'a [u8]) -> Result<Identity<'a>, VerifyError> {
        if value.len() > IDENTITY_BYTES_MAX || !value.is_ascii() {
            return Err(VerifyError::Malformed);
        }
        let value = std::str::from_utf8(value).map_err(|_| VerifyError::Malformed)?;
        let (token, mut rest) = value.split_once(';').ok_or(VerifyError::Malformed)?;
        let mut parts = token.trim().split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifyError::Malformed);
        };
        let full = match (header.is_empty(), claims.is_empty()) {
            (true, true) => None,
            (false, false) => Some((header, claims)),
            _ => return Err(VerifyError::Malformed),
        };
        let (mut info, mut ppt, mut alg) = (None, None, None);
        while !rest.is_empty() {
            let (parameter, after) = next_parameter(rest);
            rest = after;
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim(), value.trim());
            let slot = if name.eq_ignore_ascii_case("info") {
                &mut info
            } else if name.eq_ignore_ascii_case("ppt") {
                &mut ppt
            } else if name.eq_ignore_ascii_case("alg") {
                &mut alg
            } else {
                continue;
            };
            // Two of one kind: whom to believe would be a choice, and the attacker's.
            if slot.replace(value).is_some() {
                return Err(VerifyError::Malformed);
            }
        }
        if alg.is_some_and(|alg| unquoted(alg) != "ES256") {
            return Err(VerifyError::Algorithm);
        }
        let info = info
            .and_then(|info| info.strip_prefix('<'))
            .and_then(|info| info.strip_suffix('>'))
            .ok_or(VerifyError::Malformed)?;
        Ok(Identity {
            full,
            signature,
            info,
            ppt: ppt.map(unquoted),
        })
    }
}

/// Prints nothing of the token: it holds numbers.
impl std::fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("compact", &self.full.is_none())
            .field("ppt", &self.ppt)
            .finish_non_exhaustive()
    }
}

/// Up to the next semicolon that is neither inside `<…>` nor quotes, and what follows it.
fn next_parameter(text: &str) -> (&str, &str) {
    let (mut angle, mut quote) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !angle => quote = !quote,
            b'<' if !quote => angle = true,
            b'>' if !quote => angle = false,
            b';' if !angle && !quote => {
                let after = text.get(at + 1..).unwrap_or("");
                return (text.get(..at).unwrap_or(""), after);
            }
            _ => {}
        }
    }
    (text, "")
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

/// The longest value of an Identity header, bytes.
pub const IDENTITY_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_full_and_the_compact_form_rfc8224_4() {
        let full =
            Identity::parse(b"a.b.c; info=<https://x.example/a;b.cer>;alg=ES256;ppt=\"shaken\"")
                .unwrap();
        assert_eq!(full.full, Some(("a", "b")));
        assert_eq!(full.info, "https://x.example/a;b.cer");
        assert_eq!(full.ppt, Some("shaken"));
        let compact = Identity::parse(b"..c;info=<https://x.example/a.cer>").unwrap();
        assert_eq!((compact.full, compact.signature), (None, "c"));
    }

    #[test]
    fn refuses_what_is_no_identity_header_rfc8224_4() {
        let long = vec![b'a'; IDENTITY_BYTES_MAX + 1];
        for value in [
            &b""[..],
            b"a.b.c",
            b"a.b;info=<https://x.example/>",
            b"a..c;info=<https://x.example/>",
            b"a.b.c.d;info=<https://x.example/>",
            b"a.b.c;info=https://x.example/",
            b"a.b.c;info=<https://x.example/>;info=<https://y.example/>",
            &long,
        ] {
            assert_eq!(Identity::parse(value), Err(VerifyError::Malformed));
        }
        let other = b"a.b.c;info=<https://x.example/>;alg=none";
        assert_eq!(Identity::parse(other), Err(VerifyError::Algorithm));
    }
}
