//! Real nftables in a network namespace of the test's own. Without root or `nft` it says so and
//! ends.
#![allow(clippy::print_stderr)] // says why nothing was tested

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ringfence_detect::own::Network;
use serde_json::Value;

use super::*;

const EDGE: &str = "127.0.0.1:5060";
const ELSEWHERE: &str = "127.0.0.1:5070";
const PACKETS: u64 = 3;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Runs `test` on a thread that is in a network namespace of its own; what it starts is too.
fn in_a_namespace(test: fn()) {
    // SAFETY: has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not tested, network namespaces need root");
        return;
    }
    if !Path::new("/usr/sbin/nft").exists() {
        eprintln!("not tested, there is no nft: install nftables");
        return;
    }
    let thread = std::thread::spawn(move || {
        // SAFETY: has no preconditions; it moves only this thread, which ends with the test.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let error = io::Error::last_os_error();
            eprintln!("not tested, this host gives no network namespace: {error}");
            return;
        }
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn send(from: &str, to: &str) {
    let sender = UdpSocket::bind(SocketAddr::new(ip(from), 0)).unwrap();
    for _ in 0..PACKETS {
        sender.send_to(from.as_bytes(), to).unwrap();
    }
}

/// The next packets are of this sender.
#[track_caller]
fn check_arrives(socket: &UdpSocket, from: &str) {
    let mut buffer = [0; 64];
    for _ in 0..PACKETS {
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], from.as_bytes());
    }
}

/// What a set's elements counted: address and packets.
fn counted(set: &str) -> Vec<(String, u64)> {
    let output = Command::new("nft")
        .args(["-j", "list", "set", "inet", rules::TABLE, set])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sets = listed["nftables"].as_array().unwrap();
    let elements = sets.iter().find_map(|part| part["set"]["elem"].as_array());
    let mut counted: Vec<_> = elements
        .into_iter()
        .flatten()
        .map(|element| {
            let element = &element["elem"];
            assert!(element["timeout"].as_u64().is_some(), "{element}");
            let packets = element["counter"]["packets"].as_u64().unwrap();
            (element["val"].as_str().unwrap().to_owned(), packets)
        })
        .collect();
    counted.sort();
    counted
}

fn table_stands() -> bool {
    let output = Command::new("nft")
        .args(["list", "table", "inet", rules::TABLE])
        .output();
    output.unwrap().status.success()
}

fn ports() -> Ports {
    let mut ports = Ports::default();
    ports.add(false, EDGE.parse().unwrap(), 5_060..=5_060);
    ports
}

#[test]
fn the_kernel_drops_and_counts_what_is_blocked_and_never_what_is_own() {
    in_a_namespace(|| {
        let (edge, elsewhere) = (bind(EDGE), bind(ELSEWHERE));
        let firewall = Firewall::start(&ports()).expect("root may");
        let blocked = ["127.0.0.9", "127.0.0.7", "127.0.5.5"].map(|text| (ip(text), 600));
        firewall.set(Wanted::new(
            std::iter::once(ip("127.0.0.7")),
            &[Network::new(ip("127.0.5.0"), 24)],
            blocked.into_iter(),
        ));
        firewall.settle();
        assert!(firewall.holds(ip("127.0.0.9")));
        assert!(!firewall.holds(ip("127.0.0.7")) && !firewall.holds(ip("127.0.5.5")));
        assert_eq!(counted("drop4"), [("127.0.0.9".to_owned(), 0)]);
        // As if all walls above had a hole: even then the allow sets come first.
        nft::run("add element inet ringfence drop4 { 127.0.0.7 timeout 600s }\n").unwrap();
        nft::run("add element inet ringfence drop4 { 127.0.5.5 timeout 600s }\n").unwrap();

        send("127.0.0.9", EDGE);
        for from in ["127.0.0.7", "127.0.5.5", "127.0.0.8"] {
            send(from, EDGE);
            check_arrives(&edge, from);
        }
        // The other ports of the host are none of ours.
        send("127.0.0.9", ELSEWHERE);
        check_arrives(&elsewhere, "127.0.0.9");
        let expected = [("127.0.0.7", 0), ("127.0.0.9", PACKETS), ("127.0.5.5", 0)];
        let expected = expected.map(|(address, packets)| (address.to_owned(), packets));
        assert_eq!(counted("drop4"), expected);

        firewall.set(Wanted::default());
        firewall.settle();
        assert!(!firewall.holds(ip("127.0.0.9")));
        send("127.0.0.9", EDGE);
        check_arrives(&edge, "127.0.0.9");
        drop(firewall);
        assert!(!table_stands(), "it is removed at the end");
    });
}

#[test]
fn a_table_of_a_dead_process_goes_and_one_of_a_living_process_stays() {
    in_a_namespace(|| {
        let edge = bind(EDGE);
        nft::run(&rules::create(&ports())).unwrap();
        nft::run("add element inet ringfence drop4 { 127.0.0.9 timeout 600s }\n").unwrap();
        let firewall = Firewall::start(&ports()).expect("nobody has it any more");
        send("127.0.0.9", EDGE);
        check_arrives(&edge, "127.0.0.9");

        let second = Firewall::start(&ports()).err();
        assert!(
            matches!(second, Some(FirewallError::Claimed(_))),
            "{second:?}"
        );
        assert!(table_stands());
        drop(firewall);
        assert!(Firewall::start(&ports()).is_ok());
    });
}

#[test]
fn a_firewall_that_somebody_else_empties_is_given_up_and_the_workers_go_on() {
    in_a_namespace(|| {
        let firewall = Firewall::start(&ports()).expect("root may");
        nft::run(&rules::remove()).unwrap();
        let blocked = std::iter::once((ip("127.0.0.9"), 600));
        firewall.set(Wanted::new(std::iter::empty(), &[], blocked));
        firewall.settle();
        assert!(!firewall.holds(ip("127.0.0.9")));
        assert!(!table_stands());
    });
}

#[test]
fn asking_whether_it_can_be_used_changes_nothing() {
    in_a_namespace(|| {
        check().expect("root may");
        assert!(!table_stands());
    });
}
