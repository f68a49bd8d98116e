//! Nanoseconds per packet inside the media plane: no sockets, one thread.
//!
//! `cargo run --release -p ringfence-media --example relay_bench`
//!
//! Each round prepares one 172-byte packet (20 ms of G.711) per stream outside the clock and
//! relays them inside it. With 1 stream everything is in the nearest cache; 1,000 streams are what a
//! busy worker sees. A measurement on a machine that does other work is worth nothing.
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // a program, and it owns the clock

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Instant, ListenerId};
use ringfence_media::{
    PayloadType, PayloadTypes, Plane, PortPair, Security, Side, SideConfig, SocketIndex, TAIL,
};
use ringfence_rtp::quality::Codec;
use ringfence_rtp::srtp::{Context, MasterKey, Suite};

const LISTENER: ListenerId = ListenerId::new(0);
const RTP_LEN: usize = 172;
const PACKETS: u32 = 400_000;
const PACKET_TIME: Duration = Duration::from_millis(20);

fn main() {
    println!(
        "{:<62}{:>10}{:>14}",
        "from side A to side B", "1 stream", "1,000 streams"
    );
    row("plain to plain", None, None);
    for suite in Suite::ALL {
        row(&format!("{} to plain", suite.name()), Some(suite), None);
        row(&format!("plain to {}", suite.name()), None, Some(suite));
        row(
            &format!("{0} to {0}, other key", suite.name()),
            Some(suite),
            Some(suite),
        );
    }
    println!(
        "\na stranger's packet at an open port{:>27.0} ns",
        stranger()
    );
}

fn row(name: &str, from: Option<Suite>, to: Option<Suite>) {
    let (one, many) = (best(1, from, to), best(1_000, from, to));
    println!("{name:<62}{one:>7.0} ns{many:>11.0} ns");
}

/// The best of three runs: the machine's noise only ever adds.
fn best(streams: u32, from: Option<Suite>, to: Option<Suite>) -> f64 {
    (0..3)
        .map(|_| relay(streams, from, to))
        .fold(f64::INFINITY, f64::min)
}

struct Talk {
    socket: SocketIndex,
    from: SocketAddr,
    sender: Option<Context>,
    buf: [u8; RTP_LEN + 2 * TAIL],
    len: usize,
}

fn relay(streams: u32, from: Option<Suite>, to: Option<Suite>) -> f64 {
    let (mut plane, mut talks) = open(streams, from, to);
    let mut now = Instant::ZERO;
    let mut spent = Duration::ZERO;
    let mut forwarded = 0;
    for round in 0..PACKETS / streams {
        now += PACKET_TIME;
        for talk in &mut talks {
            talk.prepare(round);
        }
        let start = std::time::Instant::now();
        for talk in &mut talks {
            let sent = plane.handle_packet(now, talk.socket, talk.from, &mut talk.buf, talk.len);
            forwarded += u32::from(sent.is_some());
        }
        spent += start.elapsed();
    }
    assert_eq!(forwarded, PACKETS / streams * streams, "all are relayed");
    // With one stream the clock itself weighs more than the packet.
    let clock = clock_cost() * f64::from(PACKETS / streams);
    (spent.as_nanos() as f64 - clock) / f64::from(forwarded)
}

fn stranger() -> f64 {
    let (mut plane, talks) = open(1_000, None, None);
    let stranger = SocketAddr::from(([203, 0, 113, 66], 6666));
    let mut buf = [0x80; RTP_LEN + TAIL];
    let start = std::time::Instant::now();
    for n in 0..PACKETS as usize {
        let socket = talks[n % talks.len()].socket;
        let sent = plane.handle_packet(Instant::ZERO, socket, stranger, &mut buf, RTP_LEN);
        assert_eq!(sent, None);
    }
    start.elapsed().as_nanos() as f64 / f64::from(PACKETS)
}

fn open(streams: u32, from: Option<Suite>, to: Option<Suite>) -> (Plane, Vec<Talk>) {
    let mut plane = Plane::new(&mut SeededEntropy::new(1));
    plane.add_ports(
        LISTENER,
        (0..2 * streams).map(|n| PortPair {
            rtp: SocketIndex::new(2 * n),
            rtcp: SocketIndex::new(2 * n + 1),
            addr: ([192, 0, 2, 1], 10_000 + 2 * n as u16).into(),
        }),
    );
    let talks = (0..streams).map(|n| {
        let stream = plane
            .open_stream(Instant::ZERO, LISTENER, LISTENER)
            .expect("ports");
        let remotes = [([198, 51, 100, 1], n), ([198, 51, 100, 2], n)]
            .map(|(ip, n)| SocketAddr::from((ip, 10_000 + 2 * n as u16)));
        let (sender, receive) = security(from, u64::from(n));
        let (_, send) = security(to, u64::from(n) + 1_000_000);
        let sides = [(Side::A, remotes[0], receive), (Side::B, remotes[1], send)];
        for (side, remote, security) in sides {
            let config = config(remote, security);
            plane
                .configure_side(Instant::ZERO, stream, side, config)
                .expect("configured");
        }
        Talk {
            socket: SocketIndex::new(4 * n),
            from: remotes[0],
            sender,
            buf: [0; RTP_LEN + 2 * TAIL],
            len: 0,
        }
    });
    let talks = talks.collect();
    (plane, talks)
}

fn security(suite: Option<Suite>, seed: u64) -> (Option<Context>, Security) {
    let Some(suite) = suite else {
        return (None, Security::Plain);
    };
    let key = MasterKey::generate(suite, &mut SeededEntropy::new(seed));
    let context = || Context::new(suite, &key).expect("a generated key fits");
    (Some(context()), Security::srtp(context(), context()))
}

fn config(remote: SocketAddr, security: Security) -> SideConfig {
    let g711 = PayloadType {
        number: 8,
        clock_rate: 8_000,
        codec: Some(Codec::G711),
    };
    let event = PayloadType {
        number: 101,
        clock_rate: 8_000,
        codec: None,
    };
    SideConfig {
        remote: Some(remote),
        security,
        payload_types: PayloadTypes::collect([g711, event]).expect("two are not too many"),
        ..SideConfig::default()
    }
}

impl Talk {
    fn prepare(&mut self, round: u32) {
        self.buf[..RTP_LEN].fill(0xd5);
        self.buf[0] = 0x80;
        self.buf[1] = 8;
        self.buf[2..4].copy_from_slice(&(round as u16).to_be_bytes());
        self.buf[4..8].copy_from_slice(&(round * 160).to_be_bytes());
        self.buf[8..12].copy_from_slice(&7u32.to_be_bytes());
        self.len = match &mut self.sender {
            None => RTP_LEN,
            Some(sender) => sender
                .protect_rtp(&mut self.buf, RTP_LEN)
                .expect("in order"),
        };
    }
}

/// What reading the clock twice costs, in nanoseconds.
fn clock_cost() -> f64 {
    const READINGS: u32 = 100_000;
    let mut spent = Duration::ZERO;
    for _ in 0..READINGS {
        spent += std::time::Instant::now().elapsed();
    }
    spent.as_nanos() as f64 / f64::from(READINGS)
}
