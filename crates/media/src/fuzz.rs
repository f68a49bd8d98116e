//! The body of the fuzz target: a plain function that any build compiles. Its corpus is in
//! `fuzz/corpus/media/` and is replayed by this crate's tests; its property tests call it too.
//!
//! The input is a script for one stream: descriptions, packets from friend and foe, time. What the
//! plane does is compared with a model that knows the rules but none of the machinery.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Instant, ListenerId};
use ringfence_rtp::quality::Codec;
use ringfence_rtp::srtp::{Context, MasterKey, Suite};

use crate::{
    Direction, Forward, Keying, LatchPolicy, PayloadType, PayloadTypes, Plane, PortPair, Security,
    Side, SideConfig, SocketIndex, StreamId, TAIL,
};

const LISTENER: ListenerId = ListenerId::new(0);

/// Where peers and strangers are. The first two of each side's three share a host.
const PLACES: [&str; 8] = [
    "192.0.2.10:4000",
    "192.0.2.10:4001",
    "192.0.2.10:7000",
    "198.51.100.20:4000",
    "[2001:db8::1]:4000",
    "[2001:db8::1]:4002",
    "203.0.113.66:6666",
    "0.0.0.0:4000",
];

/// Runs a script of four-byte steps: what, on which side, and two arguments.
///
/// # Panics
/// If a packet is believed or sent where it must not be, or is lost from the counters.
pub fn relay(data: &[u8]) {
    let mut model = Model::new();
    let mut rest = data;
    while let Some((&[step, who, a, b], after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let (side, place) = (Side::BOTH[usize::from(who >> 7)], who & 7);
        let mux = who & 8 != 0;
        match step % 8 {
            0 | 1 => model.rtp(
                side,
                place,
                Packet {
                    ssrc: a & 3,
                    ahead: b,
                    authentic: false,
                },
            ),
            2 | 3 => model.rtp(
                side,
                place,
                Packet {
                    ssrc: a & 3,
                    ahead: b,
                    authentic: true,
                },
            ),
            4 => model.rtcp(
                side,
                place,
                mux,
                Packet {
                    ssrc: a & 3,
                    ahead: b,
                    authentic: a > 127,
                },
            ),
            5 => {
                let (datagram, after) = rest.split_at(rest.len().min(usize::from(b)));
                rest = after;
                model.datagram(SocketIndex::new(u32::from(a & 15)), place, datagram, false);
            }
            6 => model.describe(side, place, mux, a, b),
            _ => model.now += Duration::from_millis(u64::from(a) * u64::from(b)),
        }
    }
    model.close();
}

struct Model {
    plane: Plane,
    stream: StreamId,
    now: Instant,
    handled: u64,
    sides: [Peer; 2],
}

/// What the model knows of a side.
#[derive(Default)]
struct Peer {
    described: Option<SocketAddr>,
    policy: LatchPolicy,
    mux: bool,
    keys: Option<Keys>,
    /// Places that have sent something, by bit; and something authentic.
    seen: u8,
    proved: u8,
    sequence: u16,
}

/// The peer's own contexts.
struct Keys {
    choice: u8,
    send: Context,
    receive: Context,
}

#[derive(Clone, Copy)]
struct Packet {
    ssrc: u8,
    ahead: u8,
    authentic: bool,
}

impl Model {
    fn new() -> Model {
        let mut plane = Plane::new(&mut SeededEntropy::new(1));
        plane.add_ports(
            LISTENER,
            (0..3).map(|n| PortPair {
                rtp: SocketIndex::new(2 * n),
                rtcp: SocketIndex::new(2 * n + 1),
                addr: ([192, 0, 2, 1], 30_000 + 2 * n as u16).into(),
            }),
        );
        let now = Instant::from_nanos(1_000_000_000);
        let stream = plane
            .open_stream(now, LISTENER, LISTENER)
            .expect("there are ports");
        Model {
            plane,
            stream,
            now,
            handled: 0,
            sides: Default::default(),
        }
    }

    fn describe(&mut self, side: Side, place: u8, mux: bool, a: u8, b: u8) {
        let peer = &mut self.sides[side as usize];
        let policy = [
            LatchPolicy::SameAddress,
            LatchPolicy::Strict,
            LatchPolicy::Symmetric,
        ][usize::from(a % 3)];
        let direction = [
            Direction::SendRecv,
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
        ][usize::from(a >> 6)];
        let choice = b % 6;
        let was_secured = peer.keys.is_some();
        let security = match &peer.keys {
            _ if choice == 0 => {
                peer.keys = None;
                Security::Plain
            }
            Some(keys) if choice == 5 || keys.choice == choice => Security::Srtp {
                receive: Keying::Keep,
                send: Keying::Keep,
            },
            _ => {
                let (keys, security) = Keys::new(choice, side);
                peer.keys = Some(keys);
                security
            }
        };
        let described = Some(at(place)).filter(|addr| !addr.ip().is_unspecified());
        let is_same = peer.described == described && peer.policy == policy;
        if !is_same || was_secured != peer.keys.is_some() {
            (peer.seen, peer.proved) = (0, 0);
        }
        (peer.described, peer.policy, peer.mux) = (described, policy, mux);
        let config = SideConfig {
            remote: Some(at(place)),
            rtcp_mux: mux,
            latch: policy,
            security,
            payload_types: PayloadTypes::collect([PayloadType {
                number: 8,
                clock_rate: 8_000,
                codec: Some(Codec::G711),
            }])
            .expect("one is not too many"),
            direction,
            ..SideConfig::default()
        };
        self.plane
            .configure_side(self.now, self.stream, side, config)
            .expect("nothing is amiss");
    }

    fn rtp(&mut self, side: Side, place: u8, packet: Packet) {
        let peer = &mut self.sides[side as usize];
        peer.sequence = peer.sequence.wrapping_add(u16::from(packet.ahead));
        let mut buf = vec![0x80, 8];
        buf.extend_from_slice(&peer.sequence.to_be_bytes());
        buf.extend_from_slice(&[0, 0, 0, 160, 0, 0, 0, packet.ssrc]);
        buf.resize(32, packet.ahead);
        let authentic = packet.authentic && peer.protect(&mut buf, Context::protect_rtp);
        self.datagram(socket(side, false), place, &buf, authentic);
    }

    fn rtcp(&mut self, side: Side, place: u8, mux: bool, packet: Packet) {
        let mut buf = vec![0x80, 201, 0, 1, 0, 0, 0, packet.ssrc];
        let peer = &mut self.sides[side as usize];
        let authentic = packet.authentic && peer.protect(&mut buf, Context::protect_rtcp);
        self.datagram(socket(side, !mux), place, &buf, authentic);
    }

    fn datagram(&mut self, socket: SocketIndex, place: u8, datagram: &[u8], authentic: bool) {
        let mut buf = datagram.to_vec();
        buf.resize(datagram.len() + TAIL, 0);
        let from = at(place);
        let near = Side::BOTH
            .into_iter()
            .find(|side| socket.raw() / 2 == *side as u32);
        if let Some(near) = near {
            let peer = &mut self.sides[near as usize];
            peer.seen |= 1 << place;
            peer.proved |= u8::from(authentic) << place;
        }
        self.handled += 1;
        let forward = self
            .plane
            .handle_packet(self.now, socket, from, &mut buf, datagram.len());
        if let Some(forward) = forward {
            let near = near.expect("a socket without a stream relays nothing");
            self.check(near, from, authentic, forward, &mut buf);
        }
        let counters = self.plane.counters();
        let forwarded = counters.rtp_forwarded + counters.rtcp_forwarded;
        assert_eq!(
            forwarded + counters.dropped_total(),
            self.handled,
            "each is counted once"
        );
    }

    fn check(
        &mut self,
        near: Side,
        from: SocketAddr,
        authentic: bool,
        forward: Forward,
        buf: &mut [u8],
    ) {
        let from_peer = &self.sides[near as usize];
        assert!(
            authentic || from_peer.keys.is_none(),
            "a forgery was believed"
        );
        assert!(from_peer.lets_in(from), "a stranger was believed");

        let peer = &mut self.sides[near.other() as usize];
        assert!(peer.is_theirs(forward.to), "media was sent to a stranger");
        assert_eq!(
            forward.socket.raw() / 2,
            near.other() as u32,
            "from the far side's ports"
        );
        let is_rtcp = (192..=223).contains(&buf[1]);
        assert_eq!(
            forward.socket.raw() % 2 == 1,
            is_rtcp && !peer.mux,
            "from the right port"
        );
        if let Some(keys) = &mut peer.keys {
            let plain = match is_rtcp {
                true => keys.receive.unprotect_rtcp(buf, forward.len),
                false => keys.receive.unprotect_rtp(buf, forward.len),
            };
            assert!(
                plain.is_ok(),
                "the peer cannot read what it is sent: {plain:?}"
            );
        }
    }

    fn close(&mut self) {
        let report = self.plane.close_stream(self.stream).expect("it is open");
        let counters = self.plane.counters();
        let dropped = report.a.drops.total() + report.b.drops.total();
        assert!(dropped <= counters.dropped_total());
        assert!(report.a.sent_packets + report.b.sent_packets == counters.rtp_forwarded);
        for side in [&report.a, &report.b] {
            assert!((0.0..=1.0).contains(&side.loss));
            assert!(side.mos.is_none_or(|mos| (1.0..=4.5).contains(&mos)));
        }
        assert_eq!(self.plane.ports_free(LISTENER), 3);
    }
}

impl Peer {
    /// Protects a packet as the peer would. False if the side is not secured, or the peer must
    /// not send this packet again.
    fn protect(
        &mut self,
        buf: &mut Vec<u8>,
        protect: fn(
            &mut Context,
            &mut [u8],
            usize,
        ) -> Result<usize, ringfence_rtp::srtp::SrtpError>,
    ) -> bool {
        let Some(keys) = &mut self.keys else {
            return false;
        };
        let (len, plain) = (buf.len(), buf.clone());
        buf.resize(len + TAIL, 0);
        match protect(&mut keys.send, buf, len) {
            Ok(len) => {
                buf.truncate(len);
                true
            }
            Err(_) => {
                *buf = plain;
                false
            }
        }
    }

    /// Whether the policy may let this source in at all.
    fn lets_in(&self, from: SocketAddr) -> bool {
        match self.policy {
            LatchPolicy::Strict => self.is_described(from),
            LatchPolicy::SameAddress => self
                .described
                .is_some_and(|described| described.ip() == from.ip()),
            LatchPolicy::Symmetric => true,
        }
    }

    /// Whether media may be sent there: the described address, or one that was let in.
    fn is_theirs(&self, to: SocketAddr) -> bool {
        let bit = PLACES.iter().position(|place| *place == to.to_string());
        let heard = if self.keys.is_some() {
            self.proved
        } else {
            self.seen
        };
        let was_heard = bit.is_some_and(|bit| heard & 1 << bit != 0);
        self.is_described(to) || (was_heard && self.lets_in(to))
    }

    fn is_described(&self, addr: SocketAddr) -> bool {
        self.described.is_some_and(|described| {
            let rtcp = SocketAddr::new(described.ip(), described.port() + 1);
            addr == described || addr == rtcp
        })
    }
}

impl Keys {
    /// The peer's contexts, and ours that face it.
    fn new(choice: u8, side: Side) -> (Keys, Security) {
        let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
        let mut entropy = SeededEntropy::new(u64::from(choice) * 2 + side as u64);
        let (theirs, ours) = (
            MasterKey::generate(suite, &mut entropy),
            MasterKey::generate(suite, &mut entropy),
        );
        let context = |key| Context::new(suite, key).expect("as long as the suite wants");
        let keys = Keys {
            choice,
            send: context(&theirs),
            receive: context(&ours),
        };
        (keys, Security::srtp(context(&theirs), context(&ours)))
    }
}

fn at(place: u8) -> SocketAddr {
    PLACES[usize::from(place) % PLACES.len()]
        .parse()
        .expect("an address")
}

fn socket(side: Side, rtcp: bool) -> SocketIndex {
    SocketIndex::new(side as u32 * 2 + u32::from(rtcp))
}
