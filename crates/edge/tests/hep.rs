//! The export of signalling by HEP 3, seen by a collector of the test's own and by tshark.

mod support;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use support::two_sides::{Far, answered, config, hang_up, v4_sides};
use support::{Net, PATIENCE, Setup};

const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

/// One packet: its chunks by type.
struct Packet {
    chunks: Vec<(u16, Vec<u8>)>,
}

impl Packet {
    #[track_caller]
    fn read(bytes: &[u8]) -> Packet {
        assert_eq!(&bytes[..4], b"HEP3");
        let length = u16::from_be_bytes([bytes[4], bytes[5]]);
        assert_eq!(usize::from(length), bytes.len());
        let (mut rest, mut chunks) = (&bytes[6..], Vec::new());
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            let kind = u16::from_be_bytes([rest[2], rest[3]]);
            chunks.push((kind, rest[6..length].to_vec()));
            rest = &rest[length..];
        }
        Packet { chunks }
    }

    fn chunk(&self, kind: u16) -> &[u8] {
        let found = self.chunks.iter().find(|(found, _)| *found == kind);
        &found.expect("the chunk").1
    }

    fn text(&self) -> String {
        String::from_utf8(self.chunk(15).to_vec()).unwrap()
    }
}

/// Makes a capture file of the datagrams that the packets tell of (pcap, raw IPv4).
fn write_pcap(file: &Path, packets: &[Packet]) {
    let mut out = Vec::new();
    for field in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 101] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for packet in packets {
        let payload = packet.chunk(15);
        let length = 28 + payload.len();
        for field in [1, 0, length as u32, length as u32] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&[0x45, 0]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 64, packet.chunk(2)[0], 0, 0]);
        for kind in [3, 4, 7, 8] {
            out.extend_from_slice(packet.chunk(kind));
        }
        out.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(payload);
    }
    std::fs::write(file, out).unwrap();
}

/// A call with media keys outside while a collector listens: what the collector got.
fn exported() -> (Net, Vec<Vec<u8>>) {
    let net = Net::new();
    let collector = UdpSocket::bind((net.edge, 9060)).unwrap();
    collector.set_read_timeout(Some(PATIENCE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("hep.secret");
    std::fs::write(&password, "collect\n").unwrap();
    let [outside, inside] = v4_sides(&net, "udp", "udp");
    let text = config(
        &outside.tables("outside", "trunk.carrier-a", "", "media = \"srtp\""),
        &inside.tables("inside", "pbx.main", "", ""),
    );
    let hep = format!(
        "[edge.hep]\ncollector = \"{}:9060\"\nid = 2001\npassword = {{ file = \"{}\" }}\n",
        net.edge,
        password.display()
    );
    let setup = Setup::with(net, &(text + &hep));
    let [mut carrier, mut pbx] = [outside, inside].map(|side| Far::new(side, None));
    let offer = carrier.agent.sdp().replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let answer = pbx.agent.sdp();
    let (call, _, _) = answered(
        (&mut carrier, &offer),
        (&mut pbx, &answer),
        "+13305550100",
        "exported",
    );
    hang_up(&mut carrier, &mut pbx, &call);
    // The end of the edge waits for the export.
    setup.edge.drain();
    setup.edge.join();
    collector.set_nonblocking(true).unwrap();
    let (mut packets, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while let Ok(length) = collector.recv(&mut buffer) {
        packets.push(buffer[..length].to_vec());
    }
    (net, packets)
}

#[test]
fn every_message_of_a_call_reaches_the_collector_without_its_keys() {
    let (net, packets) = exported();
    let packets: Vec<Packet> = packets.iter().map(|bytes| Packet::read(bytes)).collect();
    let starts: Vec<String> = packets
        .iter()
        .map(|packet| packet.text().lines().next().unwrap().to_owned())
        .collect();
    // INVITE, 200, ACK, BYE and its 200 on both legs, 100 towards the caller.
    let count = |start: &str| starts.iter().filter(|line| line.starts_with(start)).count();
    for (start, expected) in [("INVITE ", 2), ("ACK ", 2), ("BYE ", 2), ("SIP/2.0 200", 4)] {
        assert_eq!(count(start), expected, "{start}: {starts:#?}");
    }
    let invite = packets
        .iter()
        .find(|packet| packet.text().contains("a=crypto:1 "))
        .expect("the offer with its keys");
    let text = invite.text();
    assert!(
        text.contains(&format!("inline:{}\r\n", "x".repeat(KEY.len()))),
        "{text}"
    );
    assert!(packets.iter().all(|packet| !packet.text().contains(KEY)));
    let octets = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => unreachable!("the network is IPv4"),
    };
    assert_eq!(invite.chunk(3), octets(net.carrier), "from");
    assert_eq!(invite.chunk(4), octets(net.edge), "to");
    assert_eq!(invite.chunk(8), 5060u16.to_be_bytes());
    assert_eq!(invite.chunk(12), 2001u32.to_be_bytes());
    assert_eq!(invite.chunk(14), b"collect");
}

#[test]
#[allow(clippy::print_stdout)] // a skipped test says so
fn tshark_reads_the_sip_that_the_export_carries() {
    // No tshark of Debian knows HEP itself: what it is shown are the datagrams told of.
    let (net, packets) = exported();
    let packets: Vec<Packet> = packets.iter().map(|bytes| Packet::read(bytes)).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sip.pcap");
    write_pcap(&file, &packets);
    let run = Command::new("tshark")
        .arg("-r")
        .arg(&file)
        .args(["-n", "-d", "udp.port==5070,sip", "-T", "fields"])
        .args(["-e", "frame.protocols", "-e", "ip.src", "-e", "ip.dst"])
        .args(["-e", "sip.Method", "-e", "_ws.malformed"])
        .output();
    let output = match run {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: tshark is not installed");
            return;
        }
        run => run.unwrap(),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), packets.len());
    let all_sip = lines.iter().all(|line| line.contains("udp:sip"));
    assert!(all_sip && !text.contains("alformed"), "{text}");
    for (from, to) in [(net.carrier, net.edge), (net.edge, net.pbx)] {
        let way = format!("\t{from}\t{to}\tINVITE");
        assert_eq!(text.matches(&way).count(), 1, "{way}: {text}");
    }
}
