//! How a message is built: what tells one program from another whatever it calls itself.
//!
//! The fingerprint takes in the order and spelling of headers, the shape of branch, tag and
//! Call-ID (which characters, about how long), the form of From, To and Contact, and the lines of
//! the session description. It takes in no value that a user sets: not User-Agent or Server, no
//! name, number or address. Credentials are left out too, so that a request is built alike before
//! and after its challenge.
//!
//! [`Tells`] are marks of known tools. They raise a suspicion sooner; alone they convict nobody,
//! for phones of flesh and blood have one or the other of them.

use ringfence_sip::{BRANCH_COOKIE, HeaderName, Message, Method, NameAddr, Params, Via};

use crate::event::{Fingerprint, Shape, Tells};

/// Headers that are taken in; the rest is not looked at.
const HEADERS_MAX: usize = 48;
/// Lines of a body that are taken in.
const LINES_MAX: usize = 64;
/// Bytes of an attribute's name that are taken in.
const ATTRIBUTE_MAX: usize = 32;

/// Reads how `message` is built. Allocates nothing; the work is bounded by the message's headers.
pub fn shape(message: &Message<'_>) -> Shape {
    let mut mix = Mix::new();
    let mut tells = Tells::NONE;
    mix.add(message.method().map_or(0, |method| {
        1 + u64::from(crate::event::MethodKind::from(method) as u8)
    }));
    let mut to_before_from = None;
    for field in message.fields().take(HEADERS_MAX) {
        match field.name {
            // Not of the program itself: added by the way, or by a challenge.
            HeaderName::Authorization
            | HeaderName::ProxyAuthorization
            | HeaderName::RecordRoute
            | HeaderName::Route => continue,
            HeaderName::To if to_before_from.is_none() => to_before_from = Some(true),
            HeaderName::From if to_before_from.is_none() => to_before_from = Some(false),
            _ => {}
        }
        mix.add(field.name as u64);
        match field.name {
            HeaderName::Other => mix.lower(field.raw_name),
            name => mix.add(spelling(name, field.raw_name)),
        }
    }
    if to_before_from == Some(true) {
        tells = tells.with(Tells::TO_BEFORE_FROM);
    }
    let via = message.via().ok();
    if let Some(via) = &via {
        tells = tells.with(read_via(&mut mix, via));
    }
    let (from, to) = (message.from().ok(), message.to().ok());
    if let Some(from) = &from {
        mix.add(address_form(from));
        let tag = from.tag().unwrap_or_default();
        mix.add(token_shape(tag));
        if hides_address(tag) {
            tells = tells.with(Tells::TAG_HIDES_ADDRESS);
        } else if hides_text(tag) {
            tells = tells.with(Tells::TAG_HIDES_TEXT);
        }
        if from.uri.host.and_then(|host| host.ip()).is_some_and(|ip| {
            ip.is_unspecified() || ip.is_multicast() || ip == std::net::Ipv4Addr::from([1; 4])
        }) {
            tells = tells.with(Tells::IMPOSSIBLE_FROM);
        }
    }
    if let Some(to) = &to {
        mix.add(address_form(to));
    }
    if let (Some(from), Some(to), Some(method)) = (&from, &to, message.method())
        && method != Method::Register
        && from.raw_uri() == to.raw_uri()
        && to.tag().is_none()
    {
        tells = tells.with(Tells::FROM_EQUALS_TO);
    }
    if let Ok(call_id) = message.call_id() {
        let local = call_id.split(|byte| *byte == b'@').next();
        mix.add(u64::from(call_id.contains(&b'@')));
        mix.add(token_shape(local.unwrap_or_default()));
        if call_id.iter().all(u8::is_ascii_digit) && call_id.len() >= 12 {
            tells = tells.with(Tells::DECIMAL_CALL_ID);
        }
    }
    if let Ok(Some(contact)) = message.contact() {
        mix.add(address_form(&contact));
        parameters(&mut mix, contact.params);
    }
    if let Some(uri) = message.request_uri() {
        mix.add(u64::from(uri.contains(&b'@')));
        if !uri.contains(&b'@') && message.method() == Some(Method::Invite) {
            tells = tells.with(Tells::BARE_REQUEST_URI);
        }
    }
    read_body(&mut mix, message.body());
    Shape {
        fingerprint: Fingerprint(mix.finish()),
        tells,
    }
}

fn read_via(mix: &mut Mix, via: &Via<'_>) -> Tells {
    let mut tells = Tells::NONE;
    mix.add(u64::from(via.transport.iter().any(u8::is_ascii_lowercase)));
    mix.add(u64::from(via.host.ip().is_some()));
    mix.add(u64::from(via.port.is_some()));
    parameters(mix, via.params);
    let branch = via.branch.unwrap_or_default();
    match branch.strip_prefix(BRANCH_COOKIE) {
        None => {
            tells = tells.with(Tells::BRANCH_WITHOUT_COOKIE);
            mix.add(token_shape(branch));
        }
        Some(rest) => {
            mix.add(1);
            mix.add(token_shape(rest));
            // A hyphen as if the number were signed is what sets the tool apart from phones.
            if let Some(number) = rest.strip_prefix(b"-")
                && (1..=11).contains(&number.len())
                && number.iter().all(u8::is_ascii_digit)
            {
                tells = tells.with(Tells::DECIMAL_BRANCH);
            }
        }
    }
    tells
}

/// Names of parameters in their order, no values.
fn parameters(mix: &mut Mix, params: Params<'_>) {
    for param in params.iter().take(16) {
        mix.lower(param.name);
    }
}

/// How a header's name is written: in its usual case, short, or otherwise.
fn spelling(name: HeaderName, raw: &[u8]) -> u64 {
    if raw == name.as_str().as_bytes() {
        0
    } else if raw.len() == 1 {
        1
    } else if raw.iter().any(u8::is_ascii_uppercase) {
        2
    } else {
        3
    }
}

/// Whether an address has a display name, quotes, brackets, a user, a port, an IP address.
fn address_form(address: &NameAddr<'_>) -> u64 {
    let quoted = address.display.is_some_and(|name| name.starts_with(b"\""));
    let spaced = address.display.is_some() && address.raw.windows(2).any(|pair| pair == b" <");
    [
        address.display.is_some(),
        quoted,
        spaced,
        address.raw.contains(&b'<'),
        address.uri.user.is_some(),
        address.uri.port.is_some(),
        address.uri.host.is_some_and(|host| host.ip().is_some()),
        !address.uri.params.is_empty(),
    ]
    .into_iter()
    .fold(1, |bits, bit| bits << 1 | u64::from(bit))
}

/// Which characters a token is made of, and about how long it is. A token of digits has no length
/// here: programs print numbers without leading zeros.
fn token_shape(token: &[u8]) -> u64 {
    let mut classes = 0_u64;
    for byte in token.iter().take(128) {
        classes |= match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'f' => 1 << 1,
            b'A'..=b'F' => 1 << 2,
            b'g'..=b'z' => 1 << 3,
            b'G'..=b'Z' => 1 << 4,
            b'-' => 1 << 5,
            b'.' => 1 << 6,
            b'_' => 1 << 7,
            _ => 1 << 8,
        };
    }
    let numeric = classes & !(1 | 1 << 5) == 0;
    let length = if numeric { 0 } else { token.len() / 8 };
    classes | (length as u64) << 16
}

fn read_body(mix: &mut Mix, body: &[u8]) {
    for line in body.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let (Some(letter), Some(b'=')) = (line.first(), line.get(1)) else {
            continue;
        };
        mix.add(u64::from(*letter));
        if *letter == b'a' {
            let name = line.get(2..).unwrap_or_default();
            let end = name.iter().position(|byte| matches!(byte, b':' | b'\r'));
            let end = end.unwrap_or(name.len()).min(ATTRIBUTE_MAX);
            mix.lower(name.get(..end).unwrap_or_default());
        }
    }
}

/// The tag is the hexadecimal form of text that SIPVicious hides in it: `…\x01` and a number.
fn hides_text(tag: &[u8]) -> bool {
    decoded(tag).is_some_and(|(text, length)| {
        let text = text.get(..length).unwrap_or_default();
        let Some(mark) = text.iter().position(|byte| *byte == 1) else {
            return false;
        };
        let number = text.get(mark + 1..).unwrap_or_default();
        !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

/// The tag is the hexadecimal form of text that begins with an IPv4 address in hexadecimal, as
/// svmap notes whom it asked.
fn hides_address(tag: &[u8]) -> bool {
    hides_text(tag)
        && decoded(tag).is_some_and(|(text, length)| {
            let text = text.get(..length).unwrap_or_default();
            text.iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count()
                >= 8
                && text
                    .get(..12)
                    .is_some_and(|start| start.iter().all(u8::is_ascii_hexdigit))
        })
}

/// What hexadecimal digits stand for, if the tag is nothing else.
fn decoded(tag: &[u8]) -> Option<([u8; 48], usize)> {
    if tag.len() < 8 || tag.len() > 96 || !tag.len().is_multiple_of(2) {
        return None;
    }
    let mut text = [0; 48];
    for (byte, pair) in text.iter_mut().zip(tag.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |digit: u8| (digit as char).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some((text, tag.len() / 2))
}

/// A fast mixer. Not keyed: whoever wants the fingerprint of another program can send what it
/// sends. Tables that are filled by fingerprints hash them again under a key.
struct Mix(u64);

impl Mix {
    const fn new() -> Mix {
        Mix(0x5249_4e47_4645_4e43)
    }

    const fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Adds a name in any case.
    fn lower(&mut self, name: &[u8]) {
        for byte in name.iter().take(64) {
            self.add(u64::from(byte.to_ascii_lowercase()));
        }
        self.add(name.len() as u64);
    }

    const fn finish(self) -> u64 {
        let value = (self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        value ^ value >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    fn of(text: &str) -> Shape {
        let bytes = text.replace('\n', "\r\n");
        shape(&Index::default().parse(bytes.as_bytes()).unwrap())
    }

    fn vicious(agent: &str, call_id: &str, tag: &str, branch: &str) -> String {
        format!(
            "OPTIONS sip:100@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch={branch};rport\n\
             Max-Forwards: 70\nTo: \"x\"<sip:100@1.1.1.1>\nFrom: \"x\"<sip:100@1.1.1.1>;tag={tag}\n\
             User-Agent: {agent}\nCall-ID: {call_id}\nContact: sip:100@127.0.0.1:5060\n\
             CSeq: 1 OPTIONS\nAccept: application/sdp\nContent-Length: 0\n\n"
        )
    }

    const TAG: &str = "376630303030303136316534013230383838343934";

    fn phone(instance: &str, tag: &str, more: &str) -> String {
        format!(
            "REGISTER sip:example.org SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK{tag}ff;rport\n\
             Max-Forwards: 70\nFrom: <sip:{instance}@example.org>;tag={tag}\n\
             To: <sip:{instance}@example.org>\nCall-ID: {tag}ab\nCSeq: 1 REGISTER\n\
             Contact: <sip:{instance}@10.0.0.5:5060>;expires=300\nUser-Agent: A/{tag}\n{more}\
             Content-Length: 0\n\n"
        )
    }

    #[test]
    fn sipvicious_is_known_under_any_name() {
        let named = of(&vicious(
            "friendly-scanner",
            "920735420329431034676860",
            TAG,
            "z9hG4bK-146493354",
        ));
        let renamed = of(&vicious(
            "Yealink SIP-T46S 66.85.0.5",
            "37720943287643298764329",
            "376630303030303136316534013131313131",
            "z9hG4bK-2118273",
        ));
        assert_eq!(named.fingerprint, renamed.fingerprint);
        for tell in [
            Tells::FROM_EQUALS_TO,
            Tells::TO_BEFORE_FROM,
            Tells::DECIMAL_BRANCH,
            Tells::TAG_HIDES_ADDRESS,
            Tells::DECIMAL_CALL_ID,
        ] {
            assert!(renamed.tells.contains(tell), "{tell:?} in {renamed:?}");
        }
    }

    #[test]
    fn the_tag_of_an_extension_scan_hides_its_name() {
        // "100\x01" and a number, as svwar writes it.
        let tag = "3130300131323334353637383930";
        let tells = of(&vicious("x", "1", tag, "z9hG4bK-1")).tells;
        assert!(tells.contains(Tells::TAG_HIDES_TEXT) && !tells.contains(Tells::TAG_HIDES_ADDRESS));
    }

    #[test]
    fn a_branch_without_the_cookie_is_told() {
        let tells = of(&vicious("x", "a", "b", "8f3a9c")).tells;
        assert!(tells.contains(Tells::BRANCH_WITHOUT_COOKIE));
    }

    #[test]
    fn a_phone_has_no_tell_and_one_build() {
        let first = of(&phone("alice", "a8f3b2c1", ""));
        let other = of(&phone("bob", "c1d2e3f4", ""));
        let credentials = "Authorization: Digest username=\"bob\"\n";
        let again = of(&phone("bob", "0a1b2c3d", credentials));
        assert_eq!(first.tells, Tells::NONE);
        assert_eq!(first.fingerprint, other.fingerprint);
        assert_eq!(
            first.fingerprint, again.fingerprint,
            "credentials change nothing"
        );
    }

    #[test]
    fn order_spelling_and_description_make_another_build() {
        let plain = phone("alice", "a8f3b2c1", "");
        let base = of(&plain).fingerprint;
        for other in [
            plain.replace("Max-Forwards", "max-forwards"),
            plain.replace("Call-ID", "i"),
            plain
                .replace("CSeq: 1 REGISTER\n", "")
                .replace("Via:", "CSeq: 1 REGISTER\nVia:"),
            plain.replace(";rport", ""),
            phone("alice", "a8f3b2c1", "Supported: path\n"),
            plain.replace("0\n\n", "8\n\nv=0\ns=-\n"),
        ] {
            assert_ne!(of(&other).fingerprint, base, "{other}");
        }
    }
}
