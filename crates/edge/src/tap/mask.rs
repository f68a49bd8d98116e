//! Puts `x` in the place of secrets, byte for byte, so that lengths in a message stay true.
//!
//! Keys of media (RFC 4568 `a=crypto`, RFC 4567 `a=key-mgmt`, `k=`) and what digest proves a
//! password with (RFC 7616 `response`, `rspauth`), on folded lines too.

/// Masks every secret in `message`.
pub fn mask(message: &mut [u8]) {
    let mut kind = Kind::Open;
    for line in message.split_inclusive_mut(|&byte| byte == b'\n') {
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if !folded {
            kind = Kind::of(line);
        }
        match kind {
            Kind::Open => {}
            Kind::Value(start) => hide(line.get_mut(start..).unwrap_or_default()),
            Kind::Crypto => hide_after(line, b"inline:", |byte| byte == b' ' || byte == b'\t'),
            Kind::Digest => {
                for name in [&b"response="[..], b"rspauth="] {
                    hide_after(line, name, |byte| byte == b',');
                }
            }
        }
    }
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
        } else if [
            &b"authorization"[..],
            b"proxy-authorization",
            b"authentication-info",
            b"proxy-authentication-info",
        ]
        .into_iter()
        .any(begins)
        {
            Kind::Digest
        } else {
            Kind::Open
        }
    }
}

/// Hides from behind each `name` to before the byte that ends a value.
fn hide_after(line: &mut [u8], name: &[u8], ends: impl Fn(u8) -> bool) {
    let mut from = 0;
    while let Some(at) = find(line.get(from..).unwrap_or_default(), name) {
        let start = from + at + name.len();
        let rest = line.get_mut(start..).unwrap_or_default();
        let length = rest.iter().position(|&byte| ends(byte));
        let length = length.unwrap_or(rest.len());
        hide(rest.get_mut(..length).unwrap_or_default());
        from = start;
    }
}

fn hide(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| !b"\r\n\"".contains(byte)) {
        *byte = b'x';
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let mut message = input.as_bytes().to_vec();
        mask(&mut message);
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    }

    #[test]
    fn keys_of_media_are_masked_byte_for_byte() {
        check(
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31 KDR=0\r\na=ptime:20\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxxxxxxx KDR=0\r\na=ptime:20\r\n",
        );
        check(
            "k=base64:c2Vj\r\na=key-mgmt:mikey AQ\r\nv=0",
            "k=xxxxxxxxxxx\r\na=key-mgmt:xxxxxxxx\r\nv=0",
        );
    }

    #[test]
    fn digest_responses_are_masked_on_folded_lines_too() {
        check(
            "AUTHORIZATION: Digest username=\"a\",\r\n response=\"0123\", qop=auth\r\nTo: b\r\n",
            "AUTHORIZATION: Digest username=\"a\",\r\n response=\"xxxx\", qop=auth\r\nTo: b\r\n",
        );
        check(
            "Authentication-Info: rspauth=ab12,nc=1\n",
            "Authentication-Info: rspauth=xxxx,nc=1\n",
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "INVITE sip:a SIP/2.0\r\nSubject: response=1 inline:2\r\n\r\nv=0\r\n";
        check(text, text);
        check("", "");
    }
}
