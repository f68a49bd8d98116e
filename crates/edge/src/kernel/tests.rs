//! The program in the kernel that runs the tests. Without the right to load it each test says so
//! and ends.
#![allow(clippy::print_stderr)] // says why nothing was tested

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_media::{FastCount, FastKey, FastPath, FastRule};
use ringfence_rtp::Ssrc;
use ringfence_rtp::quality::StreamStats;

use super::{KernelError, KernelRelay};
use crate::clock::Clock;

const SSRC: u32 = 0xcafe;
const FIRST: u16 = 65_500;

/// A relay at the interfaces of these addresses, or `None` where this process may not load one.
fn relay(addresses: &[SocketAddr]) -> Option<KernelRelay> {
    match KernelRelay::start(addresses.iter().copied(), Clock::start()) {
        Ok(relay) => Some(relay),
        // SAFETY: has no preconditions.
        Err(KernelError::Load(why)) if unsafe { libc::geteuid() } != 0 => {
            eprintln!("not tested, this process may not load programs: {why}");
            None
        }
        Err(error) => panic!("root may not relay: {error:?}"),
    }
}

/// A sender, our two addresses and a receiver; from the first to the last by a rule.
struct Path {
    sender: UdpSocket,
    near: UdpSocket,
    far: UdpSocket,
    receiver: UdpSocket,
    relay: KernelRelay,
    key: FastKey,
}

impl Path {
    fn new(
        sender: UdpSocket,
        near: UdpSocket,
        far: UdpSocket,
        receiver: UdpSocket,
    ) -> Option<Path> {
        let of = |socket: &UdpSocket| socket.local_addr().unwrap();
        for socket in [&near, &receiver] {
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
        }
        let relay = relay(&[of(&near), of(&far)])?;
        let key = FastKey {
            local: of(&near),
            remote: of(&sender),
        };
        let mut path = Path {
            sender,
            near,
            far,
            receiver,
            relay,
            key,
        };
        let rule = path.rule();
        assert!(path.relay.install(&rule));
        Some(path)
    }

    fn on_loopback() -> Option<Path> {
        let bind = |address: &str| UdpSocket::bind(address).unwrap();
        Path::new(
            bind("127.77.0.1:0"),
            bind("127.77.0.2:0"),
            bind("127.77.0.3:0"),
            bind("127.77.0.4:0"),
        )
    }

    fn rule(&self) -> FastRule {
        // Where the plane would stand after the packet before the first.
        let mut stats = StreamStats::default();
        stats.on_packet(Instant::ZERO, FIRST - 1, 0, 8_000, Ssrc::new(SSRC), 172);
        FastRule {
            key: self.key,
            source: self.far.local_addr().unwrap(),
            destination: self.receiver.local_addr().unwrap(),
            ssrc: SSRC,
            payload_types: 1 << 8 | 1 << 101,
            clock_rate: 8_000,
            interval: Duration::from_millis(5),
            tolerance: Duration::from_secs(2),
            progress: stats.progress(),
        }
    }

    fn send(&self, packet: &[u8]) {
        self.sender.send_to(packet, self.key.local).unwrap();
    }

    /// What arrives at the receiver, and its source.
    fn received(&self) -> (Vec<u8>, SocketAddr) {
        receive(&self.receiver)
    }

    /// A packet that the kernel does not forward arrives at our own socket.
    fn check_goes_up(&self, packet: &[u8]) {
        self.send(packet);
        let (bytes, from) = receive(&self.near);
        assert_eq!((bytes.as_slice(), from), (packet, self.key.remote));
    }

    fn check_is_forwarded(&self, packet: &[u8]) {
        self.send(packet);
        let (bytes, from) = self.received();
        assert_eq!(
            (bytes.as_slice(), from),
            (packet, self.far.local_addr().unwrap())
        );
    }

    fn count(&self) -> FastCount {
        self.relay.read(self.key).unwrap()
    }
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a packet");
    (buffer[..length].to_vec(), from)
}

/// The packet of this place after [`FIRST`], 20 ms of G.711.
fn packet(place: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&FIRST.wrapping_add(place).to_be_bytes());
    packet.extend_from_slice(&(160 * u32::from(place)).to_be_bytes());
    packet.extend_from_slice(&SSRC.to_be_bytes());
    packet.resize(172, place as u8);
    packet
}

#[test]
fn what_a_rule_names_is_forwarded_and_the_rest_goes_up() {
    let Some(mut path) = Path::on_loopback() else {
        return;
    };
    path.check_is_forwarded(&packet(0));
    let changed = |at: usize, to: u8| {
        let mut packet = packet(1);
        packet[at] = to;
        packet
    };
    path.check_goes_up(&changed(11, 9)); // another source
    path.check_goes_up(&changed(1, 0)); // a payload type that was not negotiated
    path.check_goes_up(&changed(0, 0x40)); // not RTP
    path.check_goes_up(&changed(0, 0xa0)); // padded
    path.check_goes_up(&changed(2, 0x10)); // a jump
    path.check_goes_up(&changed(0, 0x8f)[..60]); // sources that are not there
    path.check_goes_up(b"\x80");
    let stranger = UdpSocket::bind("127.77.0.9:0").unwrap();
    stranger.send_to(&packet(1), path.key.local).unwrap();
    assert_eq!(receive(&path.near).1, stranger.local_addr().unwrap());
    path.check_is_forwarded(&packet(1));
    assert_eq!(path.count().passed.packets, 2);

    let count = path.relay.remove(path.key).unwrap();
    assert_eq!((count.passed.packets, count.passed.bytes), (2, 344));
    path.check_goes_up(&packet(2));
    assert_eq!(path.relay.read(path.key), None);
}

#[test]
fn it_counts_as_the_plane_counts() {
    let Some(path) = Path::on_loopback() else {
        return;
    };
    let mut expected = StreamStats::default();
    let mut expect = |place: u16| {
        let seq = FIRST.wrapping_add(place);
        expected.on_packet(Instant::ZERO, seq, 0, 0, Ssrc::new(SSRC), 172);
    };
    // Across the turn of the numbers: lost, late, repeated, and a gap wider than the window.
    for place in [0, 1, 2, 5, 4, 4, 6, 6, 8, 7, 60, 61, 200, 150, 201, 138] {
        path.check_is_forwarded(&packet(place));
        expect(place);
    }
    let passed = path.count().passed;
    assert_eq!(passed.packets, expected.packets());
    assert_eq!(u64::from(passed.duplicates), expected.duplicates());
    assert_eq!(u64::from(passed.reordered), expected.reordered());
    assert_eq!(
        passed.progress.highest as u16,
        expected.highest_seq().unwrap() as u16
    );
    let mut merged = StreamStats::default();
    merged.on_packet(Instant::ZERO, FIRST - 1, 0, 8_000, Ssrc::new(SSRC), 172);
    merged.absorb(&passed);
    assert_eq!(merged.lost(), expected.lost());
    assert_eq!(merged.packets(), expected.packets() + 1);
}

#[test]
fn a_flood_is_dropped_below() {
    let Some(mut path) = Path::on_loopback() else {
        return;
    };
    path.relay.remove(path.key);
    // One packet in four seconds, and no burst.
    let tight = FastRule {
        interval: Duration::from_secs(4),
        tolerance: Duration::ZERO,
        ..path.rule()
    };
    assert!(path.relay.install(&tight));
    path.check_is_forwarded(&packet(0));
    // However slowly this test runs: not fifty times four seconds.
    for place in 1..=50 {
        path.send(&packet(place));
    }
    // The socket above is in order: had a packet gone up, it would be first.
    let mut other = packet(51);
    other[11] = 9;
    path.check_goes_up(&other);
    let count = path.count();
    assert!(count.over_rate > 0);
    assert_eq!(count.passed.packets + u64::from(count.over_rate), 51);
}

#[test]
fn a_rule_is_not_replaced_and_ipv6_is_left_above() {
    let Some(mut path) = Path::on_loopback() else {
        return;
    };
    let rule = path.rule();
    assert!(!path.relay.install(&rule), "one is there");
    let v6 = FastRule {
        key: FastKey {
            local: "[::1]:30000".parse().unwrap(),
            remote: "[::1]:4000".parse().unwrap(),
        },
        ..rule
    };
    assert!(!path.relay.install(&v6));
}

/// Names of namespaces and links are the whole machine's.
static NAMES: AtomicU32 = AtomicU32::new(0);

/// Network namespaces with a host each, joined to this one.
struct Hosts(Vec<String>);

impl Hosts {
    /// For each of `addresses`, (ours, theirs) with the length of the prefix.
    fn new(addresses: &[(&str, &str)]) -> Hosts {
        let mut hosts = Hosts(Vec::new());
        for (ours, theirs) in addresses {
            let unique = NAMES.fetch_add(1, Relaxed);
            let name = format!("rfk{}n{unique}", std::process::id());
            let link = format!("k{}n{unique}", std::process::id());
            hosts.0.push(name.clone());
            ip(&format!("netns add {name}"));
            ip(&format!(
                "link add {link} type veth peer name net0 netns {name}"
            ));
            ip(&format!("addr add {ours} dev {link}"));
            ip(&format!("link set {link} up"));
            ip(&format!("-n {name} addr add {theirs} dev net0"));
            ip(&format!("-n {name} link set net0 up"));
        }
        hosts
    }

    /// A socket of the host of this number.
    fn bind(&self, number: usize, address: &'static str) -> UdpSocket {
        let namespace = File::open(format!("/run/netns/{}", self.0[number])).unwrap();
        let bound = std::thread::spawn(move || {
            // SAFETY: `namespace` is open; only this thread changes its network.
            let done = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            UdpSocket::bind(address).unwrap()
        });
        bound.join().unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.0 {
            // The pair of links goes with it.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
}

#[test]
fn between_two_hosts_it_goes_out_by_the_right_interface() {
    // SAFETY: has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not tested, network namespaces need root");
        return;
    }
    let hosts = Hosts::new(&[
        ("10.177.1.1/24", "10.177.1.2/24"),
        ("10.177.2.1/24", "10.177.2.2/24"),
    ]);
    let bind = |address: &str| UdpSocket::bind(address).unwrap();
    let path = Path::new(
        hosts.bind(0, "10.177.1.2:0"),
        bind("10.177.1.1:0"),
        bind("10.177.2.1:0"),
        hosts.bind(1, "10.177.2.2:0"),
    )
    .expect("root may");
    for place in 0..50 {
        path.check_is_forwarded(&packet(place));
    }
    assert_eq!(path.count().passed.packets, 50);
}

#[test]
fn a_stream_between_this_host_and_another_is_left_above() {
    // SAFETY: has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not tested, network namespaces need root");
        return;
    }
    let hosts = Hosts::new(&[("10.177.3.1/24", "10.177.3.2/24")]);
    let bind = |address: &str| UdpSocket::bind(address).unwrap();
    let (near, far) = (bind("10.177.3.1:0"), bind("127.77.0.3:0"));
    let sender = hosts.bind(0, "10.177.3.2:0");
    let receiver = bind("127.77.0.4:0");
    let addresses = [near.local_addr().unwrap(), far.local_addr().unwrap()];
    let mut relay = relay(&addresses).expect("root may");
    let rule = FastRule {
        key: FastKey {
            local: addresses[0],
            remote: sender.local_addr().unwrap(),
        },
        source: addresses[1],
        destination: receiver.local_addr().unwrap(),
        ssrc: SSRC,
        payload_types: 1 << 8,
        clock_rate: 8_000,
        interval: Duration::from_millis(5),
        tolerance: Duration::from_secs(2),
        progress: StreamStats::default().progress(),
    };
    assert!(!relay.install(&rule));
}
