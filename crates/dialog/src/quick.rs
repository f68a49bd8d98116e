//! Two parameters found without reading the whole header that has them, for the paths that every
//! response takes. Whatever is unusual is left to the full parsers.

use ringfence_sip::{HeaderName, Message};

/// The branch of a response's topmost Via. Sloppy reading is safe: the branch must open as a
/// cookie of ours.
pub(crate) fn branch<'a>(response: &Message<'a>) -> Option<&'a [u8]> {
    let via = response.header(HeaderName::Via)?;
    match param(via, b"branch=") {
        Some(branch) => Some(branch),
        None => response.via().ok()?.branch,
    }
}

/// The To tag; empty if there is none.
pub(crate) fn to_tag<'a>(message: &Message<'a>) -> &'a [u8] {
    let to = message.header(HeaderName::To).unwrap_or_default();
    let bracket = to.iter().rposition(|&byte| byte == b'>');
    let params = to.get(bracket.unwrap_or_default()..).unwrap_or_default();
    match param(params, b"tag=") {
        Some(tag) if !params.contains(&b'"') => tag,
        _ => message
            .to()
            .ok()
            .and_then(|to| to.tag())
            .unwrap_or_default(),
    }
}

/// The value of the first `;name=value` that is written without white space around the `=`.
fn param<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header
        .split(|&byte| byte == b';')
        .skip(1)
        .find_map(|param| {
            let param = param.trim_ascii_start();
            let (start, value) = param.split_at_checked(name.len())?;
            if !start.eq_ignore_ascii_case(name) {
                return None;
            }
            let end = value
                .iter()
                .position(|&byte| byte.is_ascii_whitespace() || byte == b',');
            value
                .get(..end.unwrap_or(value.len()))
                .filter(|value| !value.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[track_caller]
    fn check(header: &str, expected: &str) {
        let text = format!("SIP/2.0 200 OK\r\n{header}\r\n\r\n");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let found = match header.starts_with('V') {
            true => branch(&message).unwrap_or_default(),
            false => to_tag(&message),
        };
        assert_eq!(String::from_utf8_lossy(found), expected, "{header}");
    }

    #[test]
    fn finds_the_branch_however_it_is_written() {
        check(
            "Via: SIP/2.0/UDP h:5060;rport=5;branch=z9hG4bKx;received=192.0.2.1",
            "z9hG4bKx",
        );
        check(
            "Via: SIP/2.0/UDP h;Branch=z9hG4bKx , SIP/2.0/UDP g;branch=y",
            "z9hG4bKx",
        );
        check("Via: SIP/2.0/UDP h ;\r\n branch = z9hG4bKx", "z9hG4bKx");
        check("Via: SIP/2.0/UDP h", "");
        check("Via: ;;;", "");
    }

    #[test]
    fn finds_the_to_tag_however_it_is_written() {
        check("To: \"A;tag=no\" <sip:a@b;tag=no>;x=1;tag=yes", "yes");
        check("To: <sip:a@b>;TAG=yes ;y", "yes");
        check("To: sip:a@b;tag=yes", "yes");
        check("To: <sip:a@b>;x=\";tag=no\";tag=yes", "yes");
        check("To: <sip:a@b>; tag = yes", "yes");
        check("To: <sip:a@b;tag=no>", "");
        check("To: <", "");
    }
}
