//! SIP messages out of packets: link, IP, fragments, UDP, TCP, framing.

use std::net::SocketAddr;

use ringfence_base::{HashKey, Transport};
use ringfence_sip::{Index, Message};

use crate::fragments::Fragments;
use crate::outcomes::Way;
use crate::packet::{self, Unread};
use crate::streams::Streams;
use crate::wire::{PORTS, is_keep_alive, looks_like_sip};

/// What was not read, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Packets whose headers make no sense or that are cut short.
    pub broken: u64,
    /// Packets of an unknown link type.
    pub link_type: u64,
    /// Packets whose fragments did not all come, or overlap.
    pub fragments: u64,
    /// TCP streams that ceased to be SIP.
    pub streams: u64,
}

impl Skipped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.broken + self.link_type + self.fragments + self.streams
    }
}

/// What is found in a packet.
pub enum Seen<'a> {
    /// A message.
    Message(Message<'a>),
    /// Bytes at a port of SIP of which nothing can be made.
    Unparseable(usize),
}

/// Takes packets apart.
pub struct Dissector {
    fragments: Fragments,
    streams: Streams,
    index: Index,
    skipped: Skipped,
}

impl Dissector {
    /// Nothing seen yet.
    pub fn new(key: HashKey) -> Dissector {
        Dissector {
            fragments: Fragments::new(key),
            streams: Streams::new(key),
            index: Index::default(),
            skipped: Skipped::default(),
        }
    }

    /// What was not read so far.
    pub fn skipped(&self) -> Skipped {
        Skipped {
            fragments: self.fragments.incomplete(),
            streams: self.streams.broken(),
            ..self.skipped
        }
    }

    /// Takes a packet; `each` is called for what it completes.
    pub fn push(&mut self, link: u32, frame: &[u8], mut each: impl FnMut(Way, Seen<'_>)) {
        let ip = match packet::ip_of(link, frame) {
            Ok(ip) => ip,
            Err(Unread::NotIp) => return,
            Err(Unread::LinkType) => return self.skipped.link_type += 1,
            Err(Unread::Broken) => return self.skipped.broken += 1,
        };
        let whole;
        let payload = match ip.fragment {
            None => ip.payload,
            Some(fragment) => match self.fragments.push(&ip, fragment) {
                None => return,
                Some(packet) => {
                    whole = packet;
                    &whole
                }
            },
        };
        match ip.protocol {
            17 => {
                let Some((from, to, data)) = packet::udp(payload) else {
                    return self.skipped.broken += 1;
                };
                let way = Way {
                    from: SocketAddr::new(ip.from, from),
                    to: SocketAddr::new(ip.to, to),
                    transport: Transport::Udp,
                    established: false,
                };
                self.datagram(way, data, each);
            }
            6 => {
                let Some(segment) = packet::tcp(payload) else {
                    return self.skipped.broken += 1;
                };
                let from = SocketAddr::new(ip.from, segment.ports.0);
                let to = SocketAddr::new(ip.to, segment.ports.1);
                let way = Way {
                    from,
                    to,
                    transport: Transport::Tcp,
                    established: self.streams.has(to, from),
                };
                let is_known = self.streams.has(from, to);
                let at_port = PORTS.contains(&to.port()) || PORTS.contains(&from.port());
                // Other streams are not followed beyond the first bytes that are no SIP.
                if !is_known && !at_port && !segment.syn && !looks_like_sip(segment.data) {
                    return;
                }
                self.streams
                    .push((from, to), &segment, |message| match message {
                        Some(message) => each(way, Seen::Message(message)),
                        None if PORTS.contains(&to.port()) => {
                            each(way, Seen::Unparseable(segment.data.len()));
                        }
                        None => {}
                    });
            }
            _ => {}
        }
    }

    fn datagram(&mut self, way: Way, data: &[u8], mut each: impl FnMut(Way, Seen<'_>)) {
        let is_sip = looks_like_sip(data);
        if !is_sip && (!PORTS.contains(&way.to.port()) || is_keep_alive(data)) {
            return;
        }
        match self.index.parse(data) {
            Ok(message) => each(way, Seen::Message(message)),
            Err(_) => each(way, Seen::Unparseable(data.len())),
        }
    }
}
