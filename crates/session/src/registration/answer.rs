//! What a registrar's 200 says (RFC 3261 §10.2.4, §10.3): our binding, and those of others.

use std::net::SocketAddr;

use ringfence_sip::{HeaderName, Message, NameAddr};

use super::view::{OTHER_URI_MAX, OTHERS_MAX, OtherContact};

/// Contacts of one answer that are looked at, at most.
const CONTACTS_MAX: usize = 1024;

/// Service-Routes that are followed, at most.
const ROUTES_MAX: usize = 4;

/// A lifetime in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Whole seconds; more than the number holds is its most.
    Seconds(u32),
    /// More than none and less than a second.
    Moment,
    /// There, and no number.
    Nonsense,
}

/// The bindings that an answer lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    /// Whether ours is among them.
    pub(super) ours: bool,
    /// How long ours lasts: its own parameter, or else the Expires header (§10.2.4).
    pub(super) lifetime: Option<Lifetime>,
    pub(super) others: Vec<OtherContact>,
    pub(super) others_total: u32,
    /// Contacts that cannot be read.
    pub(super) unreadable: u64,
}

/// Reads the bindings of `message`. Ours is the one with this user at this address.
pub(super) fn bindings(message: &Message<'_>, user: &str, address: SocketAddr) -> Bindings {
    let mut found = Bindings::default();
    let general = message.header(HeaderName::Expires).map(lifetime);
    for value in message.values(HeaderName::Contact).take(CONTACTS_MAX) {
        let Ok(contact) = NameAddr::parse(value) else {
            found.unreadable += 1;
            continue;
        };
        let own = contact
            .params
            .get(b"expires")
            .flatten()
            .map(|expires| lifetime(unquoted(expires)));
        if is_ours(&contact, user, address) {
            found.ours = true;
            found.lifetime = own.or(general);
            continue;
        }
        found.others_total = found.others_total.saturating_add(1);
        if found.others.len() < OTHERS_MAX {
            let uri = contact.raw_uri();
            let uri = uri.get(..OTHER_URI_MAX).unwrap_or(uri);
            found.others.push(OtherContact {
                uri: String::from_utf8_lossy(uri).into_owned(),
                expires: match own {
                    Some(Lifetime::Seconds(seconds)) => Some(seconds),
                    _ => None,
                },
            });
        }
    }
    if !found.ours {
        found.lifetime = general;
    }
    found
}

/// Without a user (bulk registration, RFC 6140 §5.2) the address alone is ours.
fn is_ours(contact: &NameAddr<'_>, user: &str, address: SocketAddr) -> bool {
    let uri = &contact.uri;
    let host = uri.host.as_ref().and_then(|host| host.ip());
    let same_user = uri.user.unwrap_or_default() == user.as_bytes();
    let same_host = host.is_some_and(|host| host == address.ip())
        && uri.port.is_none_or(|port| port == address.port());
    // Our user is a word of our own making: a registrar that writes another address beside it
    // (the one it saw us at) still means us.
    same_user && (same_host || !user.is_empty())
}

/// A route that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

/// The routes that our requests shall take (RFC 3608 §5), as a Route header has them: all of them, or
/// none if one cannot be followed.
pub(super) fn service_route(message: &Message<'_>) -> Result<Option<String>, Unfit> {
    let mut routes = String::new();
    for (place, value) in message.values(HeaderName::ServiceRoute).enumerate() {
        let route = NameAddr::parse(value).map_err(|_| Unfit)?;
        let text = std::str::from_utf8(value).map_err(|_| Unfit)?;
        let uri = &route.uri;
        // RFC 3608 §5: each routes loosely.
        let fits = uri.host.is_some() && uri.param(b"lr").is_some();
        let printable = !text.chars().any(char::is_control);
        if place >= ROUTES_MAX || !fits || !printable || text.len() > OTHER_URI_MAX {
            return Err(Unfit);
        }
        if !routes.is_empty() {
            routes.push_str(", ");
        }
        routes.push_str(text);
    }
    Ok((!routes.is_empty()).then_some(routes))
}

/// Reads `delta-seconds` (RFC 3261 §25.1), and what some send in its place.
pub(super) fn lifetime(text: &[u8]) -> Lifetime {
    let text = text.trim_ascii();
    let whole = text.split(|&byte| byte == b'.').next().unwrap_or_default();
    if whole.is_empty() || !whole.iter().all(u8::is_ascii_digit) {
        return Lifetime::Nonsense;
    }
    let seconds = whole.iter().fold(0u32, |seconds, digit| {
        seconds
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    match seconds {
        0 if whole.len() < text.len() => Lifetime::Moment,
        seconds => Lifetime::Seconds(seconds),
    }
}

/// Without the quotes that some put around a number.
fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[track_caller]
    fn check(headers: &str, expected: (bool, Option<Lifetime>, u32, u64)) {
        let text = format!("SIP/2.0 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let found = bindings(&message, "tuser", "203.0.113.10:5060".parse().unwrap());
        let got = (
            found.ours,
            found.lifetime,
            found.others_total,
            found.unreadable,
        );
        assert_eq!(got, expected, "{headers}");
        assert!(found.others.len() <= OTHERS_MAX);
    }

    #[test]
    fn ours_is_told_from_others_rfc3261_10_2_4() {
        use Lifetime::Seconds;
        check(
            "Contact: <sip:tuser@203.0.113.10:5060>;expires=600\r\n",
            (true, Some(Seconds(600)), 0, 0),
        );
        check(
            "Contact: <sip:x@203.0.113.66>;expires=9, <sip:tuser@203.0.113.10>\r\nExpires: 300\r\n",
            (true, Some(Seconds(300)), 1, 0),
        );
        check(
            "Contact: <sip:tuser@198.51.100.9:1024>;expires=\"60\"\r\n",
            (true, Some(Seconds(60)), 0, 0),
        );
        check(
            "Contact: <sip:x@203.0.113.66>\r\nContact: <\r\n",
            (false, None, 1, 1),
        );
        check("", (false, None, 0, 0));
    }

    #[test]
    fn a_thousand_contacts_are_counted_and_a_few_kept() {
        let many: Vec<String> = (0..1000)
            .map(|n| format!("<sip:x{n}@203.0.113.66>"))
            .collect();
        check(
            &format!("Contact: {}\r\n", many.join(",")),
            (false, None, 1000, 0),
        );
    }

    #[test]
    fn lifetimes_are_read_however_absurd() {
        assert_eq!(lifetime(b"600"), Lifetime::Seconds(600));
        assert_eq!(lifetime(b"0"), Lifetime::Seconds(0));
        assert_eq!(lifetime(b"0.1"), Lifetime::Moment);
        assert_eq!(lifetime(b"315360000"), Lifetime::Seconds(315_360_000));
        assert_eq!(lifetime(b"99999999999999"), Lifetime::Seconds(u32::MAX));
        for nonsense in [&b""[..], b"soon", b"-1", b".5", b"\xff"] {
            assert_eq!(lifetime(nonsense), Lifetime::Nonsense);
        }
    }
}
