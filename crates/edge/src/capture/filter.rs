//! Which messages and packets a capture takes.
//!
//! A worker offers every message, and those media packets whose port the capture may want. What
//! was offered is judged here, on the capture's own thread. Which ports belong to the calls that
//! are wanted is learnt from the descriptions that the edge sends in their messages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ringfence_base::{HashKey, KeyedMap, KeyedSet, ListenerId};
use ringfence_session::plan::{Network, Peer};
use ringfence_session::view::{CallView, LegView};
use ringfence_sip::{HeaderName, Index, Message, NameAddr, Uri};

use super::Packet;

/// Calls that are known by their Call-ID at once, and media ports known at once. What is beyond
/// begins anew.
const KNOWN_MAX: usize = 65_536;
/// Digits from which on the end of a number stands for all of it.
const DIGITS_MIN: usize = 7;
const PORTS: usize = 1 << 16;

/// What is asked for; all of it must hold.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The Call-IDs of one call's legs.
    pub(crate) call_ids: Option<Vec<Vec<u8>>>,
    /// Digits of a number.
    pub(crate) number: Option<Vec<u8>>,
    /// A far side.
    pub(crate) address: Option<Network>,
    /// A peer.
    pub(crate) line: Option<Line>,
    /// A method.
    pub(crate) method: Option<Vec<u8>>,
    /// RTP and RTCP too.
    pub(crate) media: bool,
}

/// A peer, as packets tell of it.
pub(crate) struct Line {
    /// Its listener.
    pub(crate) listener: ListenerId,
    /// Its addresses.
    pub(crate) hosts: Vec<IpAddr>,
    /// Where it may send from.
    pub(crate) networks: Vec<Network>,
}

impl Line {
    pub(crate) fn new(peer: &Peer) -> Line {
        Line {
            listener: peer.listener,
            hosts: peer.addresses.iter().map(SocketAddr::ip).collect(),
            networks: peer.accept.clone(),
        }
    }

    fn has(&self, listener: ListenerId, far: IpAddr) -> bool {
        // Phones come from anywhere.
        let anywhere = self.hosts.is_empty() && self.networks.is_empty();
        listener == self.listener
            && (anywhere
                || self.hosts.contains(&far.to_canonical())
                || self.networks.iter().any(|network| network.contains(far)))
    }
}

impl Wanted {
    /// Whether every packet of media is wanted.
    fn all_media(&self) -> bool {
        self.media
            && self.call_ids.is_none()
            && self.number.is_none()
            && self.address.is_none()
            && self.line.is_none()
            && self.method.is_none()
    }

    /// Whether `call` in progress is wanted, on a leg that leads to `leg`.
    fn takes_leg(&self, listener: Option<ListenerId>, call: &CallView, leg: &LegView) -> bool {
        let id = leg.call_id.as_bytes();
        let number = self.number.as_ref().is_none_or(|number| {
            [&call.from, &call.to]
                .iter()
                .any(|text| is_number(text.as_bytes(), number))
        });
        let listener = listener.unwrap_or(ListenerId::new(u8::MAX));
        number
            && self
                .call_ids
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|known| known == id))
            && self
                .address
                .is_none_or(|network| network.contains(leg.remote.ip()))
            && self
                .line
                .as_ref()
                .is_none_or(|line| line.has(listener, leg.remote.ip()))
    }
}

/// Ports that the workers ask about before they copy a packet: one bit a port, by listener.
#[derive(Debug)]
pub(crate) struct PortSet {
    words: Vec<AtomicU64>,
}

impl PortSet {
    /// None, or all, of so many listeners.
    fn new(listeners: usize, all: bool) -> PortSet {
        let word = if all { u64::MAX } else { 0 };
        let count = listeners * PORTS / 64;
        PortSet {
            words: (0..count).map(|_| AtomicU64::new(word)).collect(),
        }
    }

    /// Whether a packet at this port may be wanted.
    #[inline]
    pub(crate) fn has(&self, listener: ListenerId, port: u16) -> bool {
        let bit = listener.index() * PORTS + usize::from(port);
        let word = self.words.get(bit / 64).map(|word| word.load(Relaxed));
        word.is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Whether a packet at this port of some listener may be wanted.
    pub(crate) fn has_at_any(&self, port: u16) -> bool {
        let listeners = self.words.len() * 64 / PORTS;
        (0..listeners).any(|listener| self.has(ListenerId::new(listener as u8), port))
    }

    fn set(&self, listener: ListenerId, port: u16, wanted: bool) {
        let bit = listener.index() * PORTS + usize::from(port);
        if let Some(word) = self.words.get(bit / 64) {
            if wanted {
                word.fetch_or(1 << (bit % 64), Relaxed);
            } else {
                word.fetch_and(!(1 << (bit % 64)), Relaxed);
            }
        }
    }
}

/// Judges what was offered.
pub(crate) struct Filter {
    wanted: Wanted,
    all_media: bool,
    key: HashKey,
    /// Calls with the number, by a hash of their Call-ID.
    calls: KeyedSet<u128>,
    /// Ports of wanted calls.
    ports: KeyedMap<(ListenerId, u16), ()>,
    open: Arc<PortSet>,
    index: Index,
}

impl Filter {
    pub(crate) fn new(wanted: Wanted, listeners: usize, key: HashKey) -> Filter {
        let all_media = wanted.all_media();
        Filter {
            all_media,
            open: Arc::new(PortSet::new(listeners, all_media)),
            wanted,
            key,
            calls: key.set(),
            ports: key.map(),
            index: Index::default(),
        }
    }

    /// What workers ask before they copy a packet of media.
    pub(crate) fn open_ports(&self) -> Arc<PortSet> {
        Arc::clone(&self.open)
    }

    /// Whether media is asked for at all.
    pub(crate) fn has_media(&self) -> bool {
        self.wanted.media
    }

    /// Learns from a call that was there before the capture. `listener_of` tells where a peer is.
    pub(crate) fn know(
        &mut self,
        call: &CallView,
        listener_of: impl Fn(&str) -> Option<ListenerId>,
    ) {
        for leg in [&call.ingress, &call.egress] {
            let listener = listener_of(&leg.peer);
            if !self.wanted.takes_leg(listener, call, leg) {
                continue;
            }
            self.remember(leg.call_id.as_bytes());
            if let (Some(listener), true) = (listener, self.wanted.media) {
                for local in &leg.media_local {
                    self.want(listener, local.port());
                }
            }
        }
    }

    /// Whether `seen` belongs into the capture.
    pub(crate) fn takes(&mut self, seen: &Packet) -> bool {
        if seen.media {
            let local = if seen.sent { seen.from } else { seen.to };
            return self.all_media || self.ports.contains_key(&(seen.listener, local.port()));
        }
        let mut index = std::mem::take(&mut self.index);
        let taken = match index.parse(&seen.bytes) {
            Ok(message) => {
                let taken = self.takes_message(seen, &message);
                self.learn_ports(seen, &message, taken);
                taken
            }
            Err(_) => false,
        };
        self.index = index;
        taken
    }

    fn takes_message(&mut self, seen: &Packet, message: &Message<'_>) -> bool {
        let far = if seen.sent { seen.to } else { seen.from }.ip();
        let wanted = &self.wanted;
        let here = wanted.address.is_none_or(|network| network.contains(far))
            && wanted
                .line
                .as_ref()
                .is_none_or(|line| line.has(seen.listener, far));
        let id = message.call_id().unwrap_or_default();
        let call = wanted
            .call_ids
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|known| known == id));
        if !here || !call {
            return false;
        }
        if let Some(number) = &wanted.number {
            let known = self.calls.contains(&self.key.hash128(&[id]));
            if !known && !has_number(message, number) {
                return false;
            }
            if !known {
                self.remember(id);
            }
        }
        self.wanted.method.as_ref().is_none_or(|method| {
            let of = message
                .method()
                .or_else(|| message.cseq().ok().map(|cseq| cseq.method));
            of.is_some_and(|of| of.as_bytes().eq_ignore_ascii_case(method))
        })
    }

    /// What we describe in a wanted message is ours and wanted; what we describe in another one
    /// has passed on to another call.
    fn learn_ports(&mut self, seen: &Packet, message: &Message<'_>, taken: bool) {
        if !self.wanted.media || self.all_media || !seen.sent {
            return;
        }
        for port in described_ports(message.body()) {
            if taken {
                self.want(seen.listener, port);
            } else {
                for port in [port, port.saturating_add(1)] {
                    if self.ports.remove(&(seen.listener, port)).is_some() {
                        self.open.set(seen.listener, port, false);
                    }
                }
            }
        }
    }

    /// RTP at `port`, RTCP at the next one.
    fn want(&mut self, listener: ListenerId, port: u16) {
        if self.ports.len() >= KNOWN_MAX {
            self.ports.clear();
        }
        for port in [port, port.saturating_add(1)] {
            self.ports.insert((listener, port), ());
            self.open.set(listener, port, true);
        }
    }

    fn remember(&mut self, call_id: &[u8]) {
        if self.calls.len() >= KNOWN_MAX {
            self.calls.clear();
        }
        self.calls.insert(self.key.hash128(&[call_id]));
    }
}

/// Ports of the m-lines in a body, of one part or of many.
fn described_ports(body: &[u8]) -> impl Iterator<Item = u16> {
    let lines = body.split(|&byte| byte == b'\n');
    lines.filter_map(|line| {
        let port = line
            .strip_prefix(b"m=")?
            .split(|&byte| byte == b' ')
            .nth(1)?;
        let port = port.split(|&byte| byte == b'/').next()?;
        std::str::from_utf8(port)
            .ok()?
            .parse()
            .ok()
            .filter(|&port| port != 0)
    })
}

/// Whether a message names `number` as its caller or callee.
fn has_number(message: &Message<'_>, number: &[u8]) -> bool {
    let user = |name_addr: &NameAddr<'_>| {
        name_addr
            .uri
            .user
            .is_some_and(|user| is_number(user, number))
    };
    let in_request_uri = || {
        let uri = message.request_uri().and_then(|uri| Uri::parse(uri).ok());
        uri.and_then(|uri| uri.user)
            .is_some_and(|user| is_number(user, number))
    };
    let in_identity = || {
        let mut values = message.values(HeaderName::PAssertedIdentity);
        values.any(|value| NameAddr::parse(value).is_ok_and(|value| user(&value)))
    };
    message.from().is_ok_and(|from| user(&from))
        || message.to().is_ok_and(|to| user(&to))
        || in_request_uri()
        || in_identity()
}

/// Whether `user` is the number whose digits are `number`, with or without its prefixes.
fn is_number(user: &[u8], number: &[u8]) -> bool {
    let user = digits(user);
    if user == number {
        return true;
    }
    let (long, short) = if user.len() > number.len() {
        (&user[..], number)
    } else {
        (number, &user[..])
    };
    short.len() >= DIGITS_MIN && long.ends_with(short)
}

/// The digits of a number up to its parameters, without its visual separators (RFC 3966 §5.1.1).
pub(crate) fn digits(text: &[u8]) -> Vec<u8> {
    let number = text.split(|&byte| byte == b';').next().unwrap_or_default();
    number.iter().copied().filter(u8::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::{Transport, UnixTime};

    fn filter(wanted: Wanted) -> Filter {
        Filter::new(wanted, 2, HashKey::from_bytes([3; 16]))
    }

    fn message(sent: bool, listener: u8, far: &str, text: &str) -> Packet {
        let (ours, far) = ("192.0.2.1:5060".parse().unwrap(), far.parse().unwrap());
        let (from, to) = if sent { (ours, far) } else { (far, ours) };
        Packet {
            at: UnixTime::from_micros(0),
            transport: Transport::Udp,
            listener: ListenerId::new(listener),
            from,
            to,
            sent,
            media: false,
            bytes: text.as_bytes().into(),
        }
    }

    fn invite(id: &str, to: &str, port: u16) -> String {
        format!(
            "INVITE sip:{to}@192.0.2.1 SIP/2.0\r\nFrom: <sip:+13125550001@a>;tag=1\r\n\
             To: <sip:{to}@b>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\r\n\
             v=0\r\nm=audio {port} RTP/AVP 0\r\n"
        )
    }

    fn media(listener: u8, port: u16) -> Packet {
        Packet {
            media: true,
            to: ([192, 0, 2, 1], port).into(),
            ..message(false, listener, "198.51.100.9:4000", "")
        }
    }

    #[test]
    fn without_a_wish_every_message_is_taken_and_media_only_when_asked_for() {
        let mut plain = filter(Wanted::default());
        assert!(plain.takes(&message(
            false,
            0,
            "198.51.100.1:5060",
            &invite("a", "1", 9)
        )));
        assert!(!plain.open_ports().has(ListenerId::new(0), 30_000));
        let mut all = filter(Wanted {
            media: true,
            ..Wanted::default()
        });
        assert!(all.open_ports().has(ListenerId::new(1), 65_535));
        assert!(all.takes(&media(1, 30_000)));
        assert!(
            !all.open_ports().has(ListenerId::new(2), 1),
            "no such listener"
        );
    }

    #[test]
    fn a_number_is_found_however_it_is_written_and_keeps_its_call() {
        let wanted = Wanted {
            number: Some(digits(b"+1 (330) 555-0100")),
            ..Wanted::default()
        };
        let mut filter = filter(wanted);
        let mut check = |id: &str, to: &str, expected: bool| {
            let seen = message(false, 0, "198.51.100.1:5060", &invite(id, to, 9));
            assert_eq!(filter.takes(&seen), expected, "{to}");
        };
        check("a", "+13305550100", true);
        check("b", "3305550100;phone-context=x", true);
        check("c", "+13305550101", false);
        check("c", "100", false);
        check("a", "anonymous", true);
    }

    #[test]
    fn media_of_a_wanted_call_is_taken_until_its_ports_are_another_call_s() {
        let mut filter = filter(Wanted {
            number: Some(digits(b"3305550100")),
            media: true,
            ..Wanted::default()
        });
        let open = filter.open_ports();
        let sent =
            |id: &str, to: &str| message(true, 1, "198.51.100.1:5060", &invite(id, to, 31_000));
        assert!(!filter.takes(&media(1, 31_000)));
        assert!(filter.takes(&sent("a", "+13305550100")));
        assert!(open.has(ListenerId::new(1), 31_001) && !open.has(ListenerId::new(0), 31_000));
        assert!(filter.takes(&media(1, 31_000)) && filter.takes(&media(1, 31_001)));
        assert!(!filter.takes(&media(0, 31_000)));
        assert!(!filter.takes(&sent("b", "+13305550199")));
        assert!(!open.has(ListenerId::new(1), 31_000) && !filter.takes(&media(1, 31_000)));
    }

    #[test]
    fn a_method_is_that_of_the_request_that_a_response_is_for() {
        let mut filter = filter(Wanted {
            method: Some(b"OPTIONS".to_vec()),
            ..Wanted::default()
        });
        let far = "198.51.100.1:5060";
        let answer = "SIP/2.0 200 OK\r\nCSeq: 7 OPTIONS\r\nCall-ID: x\r\n\r\n";
        assert!(filter.takes(&message(false, 0, far, answer)));
        assert!(!filter.takes(&message(false, 0, far, &invite("x", "1", 9))));
    }

    #[test]
    fn a_line_is_its_addresses_at_its_listener() {
        let mut filter = filter(Wanted {
            line: Some(Line {
                listener: ListenerId::new(0),
                hosts: vec!["198.51.100.1".parse().unwrap()],
                networks: vec![Network::new("203.0.113.0".parse().unwrap(), 24).unwrap()],
            }),
            ..Wanted::default()
        });
        let mut check = |listener, far: &str, expected| {
            let seen = message(true, listener, far, &invite("a", "1", 9));
            assert_eq!(filter.takes(&seen), expected, "{far}");
        };
        check(0, "198.51.100.1:9", true);
        check(0, "203.0.113.7:5060", true);
        check(0, "198.51.100.2:5060", false);
        check(1, "198.51.100.1:5060", false);
    }
}
