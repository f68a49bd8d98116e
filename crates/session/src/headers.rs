//! What of one leg may appear on the other: the header policy of topology hiding.
//!
//! Nothing is copied that is not on a list. Numbers and display names pass, because they are what
//! a call is about; hosts, addresses, tags, Call-IDs, Via, Contact, Record-Route, User-Agent,
//! Server, Warning and everything unknown do not.

use std::net::IpAddr;

use ringfence_base::Flow;
use ringfence_sip::{HeaderName, Message, NameAddr, Uri};

use crate::causes::q850_of_reason;
use crate::plan::{Listener, Peer, PeerKind, Plan};

/// Longest user part, display name or passed header value.
pub(crate) const TEXT_MAX: usize = 256;

/// The number or user of a URI, as dialled: the user part of a SIP URI without its parameters
/// (`;phone-context=`), the number of a `tel` URI. `None` if empty, too long, or with a character
/// that RFC 3261 §25.1 does not allow there.
pub(crate) fn user_of<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    let user = uri.user?;
    let user = user.split(|&byte| byte == b';').next()?;
    let text = std::str::from_utf8(user).ok()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,?/%#".contains(c);
    (!text.is_empty() && text.len() <= TEXT_MAX && text.chars().all(legal)).then_some(text)
}

/// The display name of a name-addr if it may cross: printable, not too long, and without a trace
/// of the other side's addresses.
pub(crate) fn display_of<'a>(name: &NameAddr<'a>, forbidden: &Forbidden) -> Option<&'a [u8]> {
    let display = name.display?;
    let printable = std::str::from_utf8(display)
        .is_ok_and(|text| !text.is_empty() && !text.chars().any(char::is_control));
    (printable && display.len() <= TEXT_MAX && !forbidden.occurs_in(display)).then_some(display)
}

/// The addresses of one side, as text, that must never be seen on the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forbidden {
    texts: smallvec::SmallVec<[String; 3]>,
}

impl Forbidden {
    /// Forbids `address` in its usual spelling.
    pub(crate) fn address(&mut self, address: IpAddr) {
        let text = address.to_canonical().to_string();
        if !address.is_unspecified() && !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// Forbids what is known of a peer that speaks over `flow`: its hosts, and our own addresses there.
    pub(crate) fn peer(&mut self, plan: &Plan, peer: &Peer, flow: &Flow) {
        self.address(flow.remote.ip());
        for address in &peer.addresses {
            self.address(address.ip());
        }
        for network in &peer.accept {
            if let Some(host) = network.single_host() {
                self.address(host);
            }
        }
        if let Some(listener) = plan.listener(flow.listener) {
            self.listener(listener);
        }
        if peer.kind != PeerKind::Phones {
            self.text(peer.host.as_bytes());
        }
    }

    /// Forbids all addresses of a listener.
    pub(crate) fn listener(&mut self, listener: &Listener) {
        let addresses = [
            listener.udp,
            listener.tcp,
            listener.tls,
            listener.ws,
            listener.wss,
        ];
        for address in addresses.into_iter().flatten() {
            self.address(address.ip());
        }
        if let Some(media) = listener.media {
            self.address(media);
        }
    }

    /// Forbids a Call-ID, tag or host.
    pub(crate) fn text(&mut self, text: &[u8]) {
        // A short tag would occur by chance.
        if let Ok(text) = std::str::from_utf8(text)
            && text.len() >= 6
        {
            self.texts.push(text.to_owned());
        }
    }

    /// `value` with `instead` where any of them occurs.
    pub(crate) fn replaced(&self, value: &[u8], instead: &[u8]) -> Vec<u8> {
        let mut rest = value;
        let mut out = Vec::with_capacity(value.len());
        while let Some((first, after)) = rest.split_first() {
            let occurs = |text: &&String| {
                let head = rest.get(..text.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()))
            };
            match self.texts.iter().find(occurs) {
                Some(text) => {
                    out.extend_from_slice(instead);
                    rest = rest.get(text.len()..).unwrap_or_default();
                }
                None => {
                    out.push(*first);
                    rest = after;
                }
            }
        }
        out
    }

    /// Whether any of them occurs in `value`.
    pub(crate) fn occurs_in(&self, value: &[u8]) -> bool {
        self.texts.iter().any(|text| memmem(value, text.as_bytes()))
    }
}

fn memmem(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}

/// The `Reason` values that may cross (RFC 3326): `Q.850;cause=N` only, without its text.
pub(crate) fn reason_cause(message: &Message<'_>) -> Option<u8> {
    message.values(HeaderName::Reason).find_map(q850_of_reason)
}

/// `Retry-After` in seconds, if it is a plain number below a day.
pub(crate) fn retry_after(message: &Message<'_>) -> Option<u32> {
    let value = message.header(HeaderName::RetryAfter)?;
    let digits = value.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits)
        .ok()?
        .parse()
        .ok()
        .filter(|&seconds| seconds <= 86_400)
}

/// `Privacy` if it is made of known words (RFC 3323 §4.2), e.g. `id;critical`.
pub(crate) fn privacy<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    const WORDS: [&str; 6] = ["header", "session", "user", "none", "critical", "id"];
    let value = message.header(HeaderName::Privacy)?;
    value
        .split(|byte| b";,".contains(byte))
        .all(|word| {
            WORDS
                .iter()
                .any(|known| word.trim_ascii().eq_ignore_ascii_case(known.as_bytes()))
        })
        .then_some(value)
}

/// Headers that the configuration lets pass from this peer, by lower-case name. What belongs to
/// the dialog, the transaction or the transport never passes, whatever the configuration says.
pub(crate) fn passed<'a>(
    message: &Message<'a>,
    names: &[String],
    forbidden: &Forbidden,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    message.fields().filter_map(move |field| {
        let listed = names
            .iter()
            .any(|name| field.raw_name.eq_ignore_ascii_case(name.as_bytes()));
        let ours = field.name != HeaderName::Other && !may_be_passed(field.name);
        let fits = field.value.len() <= TEXT_MAX && !forbidden.occurs_in(field.value);
        (listed && !ours && fits).then_some((field.raw_name, field.value))
    })
}

/// Known headers that a configuration may let pass.
fn may_be_passed(name: HeaderName) -> bool {
    matches!(
        name,
        HeaderName::AlertInfo
            | HeaderName::CallInfo
            | HeaderName::Date
            | HeaderName::Organization
            | HeaderName::Priority
            | HeaderName::Subject
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[track_caller]
    fn check_user(uri: &str, expected: Option<&str>) {
        assert_eq!(
            Uri::parse(uri.as_bytes())
                .ok()
                .and_then(|uri| user_of(&uri)),
            expected
        );
    }

    #[test]
    fn the_user_is_the_dialled_number_without_parameters() {
        check_user("sip:+13305550100@example.com", Some("+13305550100"));
        check_user(
            "sip:+13305550100;npdi;rn=1@example.com",
            Some("+13305550100"),
        );
        check_user("sip:911@192.0.2.1:5060", Some("911"));
        check_user("sip:example.com", None);
    }

    #[test]
    fn privacy_of_unknown_words_does_not_cross() {
        let text = b"INVITE sip:a@b SIP/2.0\r\nPrivacy: id;critical\r\n\r\n";
        let mut index = Index::default();
        assert_eq!(
            privacy(&index.parse(text).unwrap()),
            Some(&b"id;critical"[..])
        );
        let text = b"INVITE sip:a@b SIP/2.0\r\nPrivacy: id;10.0.0.1\r\n\r\n";
        assert_eq!(privacy(&index.parse(text).unwrap()), None);
    }

    #[test]
    fn a_listed_header_passes_unless_it_carries_the_other_side() {
        let text = b"INVITE sip:a@b SIP/2.0\r\nX-Account: 42\r\nX-Where: pbx 10.0.0.1\r\n\
            Via: SIP/2.0/UDP 10.0.0.1\r\nX-Other: 1\r\n\r\n";
        let mut index = Index::default();
        let message = index.parse(text).unwrap();
        let mut forbidden = Forbidden::default();
        forbidden.address("10.0.0.1".parse().unwrap());
        let names = [
            "x-account".to_owned(),
            "x-where".to_owned(),
            "via".to_owned(),
        ];
        let passed: Vec<_> = passed(&message, &names, &forbidden).collect();
        assert_eq!(passed, [(&b"X-Account"[..], &b"42"[..])]);
    }
}
