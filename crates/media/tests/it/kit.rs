//! A plane with two listeners, endpoints that send to it, and a clock.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Instant, ListenerId};
use ringfence_media::{
    DropReason, Forward, PayloadType, PayloadTypes, Plane, PortPair, Security, Side, SideConfig,
    SocketIndex, StreamId, TAIL,
};
use ringfence_rtp::quality::Codec;
use ringfence_rtp::srtp::{Context, MasterKey, Suite};

pub(crate) const OUTSIDE: ListenerId = ListenerId::new(0);
pub(crate) const INSIDE: ListenerId = ListenerId::new(1);
pub(crate) const PAIRS: u32 = 8;
pub(crate) const PACKET_TIME: Duration = Duration::from_millis(20);
/// A 20 ms packet of G.711.
pub(crate) const RTP_LEN: usize = 172;

pub(crate) const CARRIER: &str = "198.51.100.20:40000";
pub(crate) const PBX: &str = "192.0.2.10:12000";
pub(crate) const STRANGER: &str = "203.0.113.66:6666";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What arrived somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) socket: SocketIndex,
    pub(crate) bytes: Vec<u8>,
}

/// A plane with one open stream: side A outside, side B inside.
pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) stream: StreamId,
    pub(crate) now: Instant,
}

impl World {
    /// The stream's sides are not described yet.
    pub(crate) fn new() -> World {
        let mut plane = plane();
        let now = Instant::from_nanos(1_000_000_000);
        let stream = plane.open_stream(now, OUTSIDE, INSIDE).unwrap();
        World { plane, stream, now }
    }

    /// Both sides described: the carrier outside, the PBX inside.
    pub(crate) fn described(outside: SideConfig, inside: SideConfig) -> World {
        let mut world = World::new();
        world.configure(Side::A, outside);
        world.configure(Side::B, inside);
        world
    }

    /// Plain on both sides.
    pub(crate) fn plain() -> World {
        World::described(config(CARRIER), config(PBX))
    }

    pub(crate) fn configure(&mut self, side: Side, config: SideConfig) {
        self.plane
            .configure_side(self.now, self.stream, side, config)
            .unwrap();
    }

    /// Hands in a datagram for the RTP port of a side.
    pub(crate) fn rtp(&mut self, side: Side, from: &str, packet: &[u8]) -> Option<Sent> {
        let socket = rtp_socket(side);
        self.datagram(socket, from, packet)
    }

    /// Hands in a datagram for the RTCP port of a side.
    pub(crate) fn rtcp(&mut self, side: Side, from: &str, packet: &[u8]) -> Option<Sent> {
        let socket = rtcp_socket(side);
        self.datagram(socket, from, packet)
    }

    pub(crate) fn datagram(
        &mut self,
        socket: SocketIndex,
        from: &str,
        packet: &[u8],
    ) -> Option<Sent> {
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + TAIL, 0);
        let forward =
            self.plane
                .handle_packet(self.now, socket, addr(from), &mut buf, packet.len());
        let Forward { socket, to, len } = forward?;
        buf.truncate(len);
        Some(Sent {
            to,
            socket,
            bytes: buf,
        })
    }

    /// The address a datagram for a side's RTP port is sent on to, if any.
    pub(crate) fn rtp_to(&mut self, side: Side, from: &str, packet: &[u8]) -> Option<String> {
        self.rtp(side, from, packet).map(|sent| sent.to.to_string())
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn drops(&self, side: Side, reason: DropReason) -> u32 {
        self.plane.stats(self.stream).unwrap()[side]
            .drops
            .of(reason)
    }

    pub(crate) fn latched(&self, side: Side) -> Option<String> {
        self.plane.stats(self.stream).unwrap()[side]
            .latched
            .map(|addr| addr.to_string())
    }
}

/// A plane with [`PAIRS`] port pairs on each listener.
pub(crate) fn plane() -> Plane {
    let mut plane = Plane::new(&mut SeededEntropy::new(7));
    for (listener, ip) in [(OUTSIDE, [203, 0, 113, 10]), (INSIDE, [192, 0, 2, 2])] {
        let first = u32::from(listener.raw()) * 2 * PAIRS;
        plane.add_ports(
            listener,
            (0..PAIRS).map(|n| PortPair {
                rtp: SocketIndex::new(first + 2 * n),
                rtcp: SocketIndex::new(first + 2 * n + 1),
                addr: (ip, 30_000 + 2 * n as u16).into(),
            }),
        );
    }
    plane
}

/// The first stream's RTP socket on a side.
pub(crate) fn rtp_socket(side: Side) -> SocketIndex {
    match side {
        Side::A => SocketIndex::new(0),
        Side::B => SocketIndex::new(2 * PAIRS),
    }
}

/// The first stream's RTCP socket on a side.
pub(crate) fn rtcp_socket(side: Side) -> SocketIndex {
    SocketIndex::new(rtp_socket(side).raw() + 1)
}

/// G.711 and telephone events at this address.
pub(crate) fn config(remote: &str) -> SideConfig {
    let audio = |number| PayloadType {
        number,
        clock_rate: 8_000,
        codec: Some(Codec::G711),
    };
    let event = PayloadType {
        number: 101,
        clock_rate: 8_000,
        codec: None,
    };
    SideConfig {
        remote: Some(addr(remote)),
        payload_types: PayloadTypes::collect([audio(0), audio(8), event]).unwrap(),
        ..SideConfig::default()
    }
}

/// An endpoint's RTP: one source, numbered on.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload_type: u8,
}

impl Source {
    pub(crate) fn new(ssrc: u32) -> Source {
        Source {
            ssrc,
            sequence: 100,
            timestamp: 8_000,
            payload_type: 8,
        }
    }

    /// The next packet.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.resize(RTP_LEN, self.sequence as u8);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}

/// The peer's end of an SRTP side.
pub(crate) struct SecurePeer {
    pub(crate) send: Context,
    pub(crate) receive: Context,
}

impl SecurePeer {
    /// A peer, and the security of the side that faces it.
    pub(crate) fn new(suite: Suite, seed: u64) -> (SecurePeer, Security) {
        let mut entropy = SeededEntropy::new(seed);
        let (theirs, ours) = (
            MasterKey::generate(suite, &mut entropy),
            MasterKey::generate(suite, &mut entropy),
        );
        let context = |key| Context::new(suite, key).unwrap();
        let peer = SecurePeer {
            send: context(&theirs),
            receive: context(&ours),
        };
        (peer, Security::srtp(context(&theirs), context(&ours)))
    }

    pub(crate) fn protect(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + TAIL, 0);
        let len = self.send.protect_rtp(&mut buf, packet.len()).unwrap();
        buf.truncate(len);
        buf
    }

    pub(crate) fn protect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + TAIL, 0);
        let len = self.send.protect_rtcp(&mut buf, packet.len()).unwrap();
        buf.truncate(len);
        buf
    }

    pub(crate) fn unprotect(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buf = packet.to_vec();
        let len = self.receive.unprotect_rtp(&mut buf, packet.len()).unwrap();
        buf.truncate(len);
        buf
    }

    pub(crate) fn unprotect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buf = packet.to_vec();
        let len = self.receive.unprotect_rtcp(&mut buf, packet.len()).unwrap();
        buf.truncate(len);
        buf
    }
}

pub(crate) const SUITES: [Suite; 4] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];
