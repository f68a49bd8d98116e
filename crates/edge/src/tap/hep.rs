//! Export to a collector by HEP version 3 (Homer Encapsulation Protocol, revision 32): one
//! datagram a message, written by a thread of its own.
//!
//! Secrets are masked. Left out on purpose: HEP over TCP and TLS, and reports of media.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_base::{Secret, Transport};

use super::mask::mask;
use super::{Sighting, TapCounters, TapSender, WAITING_MAX};

/// Where copies go, and what is said about ourselves.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its address.
    pub address: SocketAddr,
    /// The number of this edge at the collector (chunk 12).
    pub id: u32,
    /// The password that it asks for (chunk 14), if any.
    pub password: Option<Secret>,
}

/// Longest datagram: what UDP over IPv4 takes.
const DATAGRAM_MAX: usize = 65_507;
/// How long a full socket may hold the thread up before a message is given up.
const SEND_MAX: Duration = Duration::from_millis(100);

/// Opens the socket and starts the thread. It ends when every sender is gone and what waits is
/// sent.
pub fn start(collector: Collector) -> io::Result<(TapSender, JoinHandle<()>)> {
    let counters = Arc::new(TapCounters::default());
    let any: IpAddr = match collector.address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(collector.address)?;
    socket.set_write_timeout(Some(SEND_MAX))?;
    let (queue, waiting) = sync_channel(WAITING_MAX);
    let sender = TapSender {
        queue,
        counters: Arc::clone(&counters),
    };
    let thread = std::thread::Builder::new()
        .name("rf-hep".to_owned())
        .spawn(move || export(&waiting, &socket, &collector, &counters))?;
    Ok((sender, thread))
}

fn export(
    waiting: &Receiver<Sighting>,
    socket: &UdpSocket,
    collector: &Collector,
    counters: &TapCounters,
) {
    let mut packet = Vec::with_capacity(4_096);
    while let Ok(mut sighting) = waiting.recv() {
        mask(&mut sighting.bytes);
        packet.clear();
        let fits = write_packet(&mut packet, &sighting, collector);
        // A collector that is not there is told of by an error of the next send.
        if fits && socket.send(&packet).is_ok() {
            counters.sent.fetch_add(1, Relaxed);
        } else {
            counters.lost.fetch_add(1, Relaxed);
        }
    }
}

/// One message as a packet of HEP 3; `false` when it is too long for a datagram.
fn write_packet(out: &mut Vec<u8>, sighting: &Sighting, collector: &Collector) -> bool {
    out.extend_from_slice(b"HEP3\0\0");
    let (from, to) = (sighting.from, sighting.to);
    let (family, protocol) = (
        if from.is_ipv4() { 2u8 } else { 10 },
        match sighting.transport {
            Transport::Udp => 17u8,
            _ => 6,
        },
    );
    chunk(out, IP_FAMILY, &[family]);
    chunk(out, IP_PROTOCOL, &[protocol]);
    address(out, (SOURCE_V4, SOURCE_V6), from.ip());
    address(out, (DESTINATION_V4, DESTINATION_V6), to.ip());
    chunk(out, SOURCE_PORT, &from.port().to_be_bytes());
    chunk(out, DESTINATION_PORT, &to.port().to_be_bytes());
    let micros = sighting.at.as_micros().max(0) as u64;
    let seconds = u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX);
    chunk(out, SECONDS, &seconds.to_be_bytes());
    let rest = (micros % 1_000_000) as u32;
    chunk(out, MICROSECONDS, &rest.to_be_bytes());
    chunk(out, PROTOCOL_TYPE, &[TYPE_SIP]);
    chunk(out, AGENT_ID, &collector.id.to_be_bytes());
    if let Some(password) = &collector.password {
        chunk(out, PASSWORD, password.expose());
    }
    if out.len() + CHUNK_HEAD + sighting.bytes.len() > DATAGRAM_MAX {
        return false;
    }
    chunk(out, PAYLOAD, &sighting.bytes);
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(4..6) {
        place.copy_from_slice(&length);
    }
    true
}

fn address(out: &mut Vec<u8>, (v4, v6): (u16, u16), ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => chunk(out, v4, &ip.octets()),
        IpAddr::V6(ip) => chunk(out, v6, &ip.octets()),
    }
}

/// Vendor 0 (the protocol's own), type, length with this head, value.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(CHUNK_HEAD + value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

/// Bytes of a chunk before its value.
const CHUNK_HEAD: usize = 6;
const IP_FAMILY: u16 = 1;
const IP_PROTOCOL: u16 = 2;
const SOURCE_V4: u16 = 3;
const DESTINATION_V4: u16 = 4;
const SOURCE_V6: u16 = 5;
const DESTINATION_V6: u16 = 6;
const SOURCE_PORT: u16 = 7;
const DESTINATION_PORT: u16 = 8;
const SECONDS: u16 = 9;
const MICROSECONDS: u16 = 10;
const PROTOCOL_TYPE: u16 = 11;
const AGENT_ID: u16 = 12;
const PASSWORD: u16 = 14;
const PAYLOAD: u16 = 15;
const TYPE_SIP: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::UnixTime;

    fn sighting(length: usize) -> Sighting {
        Sighting {
            at: UnixTime::from_micros(1_700_000_000_123_456),
            transport: Transport::Udp,
            from: "192.0.2.1:5060".parse().unwrap(),
            to: "192.0.2.2:5070".parse().unwrap(),
            bytes: vec![b'x'; length].into(),
        }
    }

    fn collector() -> Collector {
        Collector {
            address: "127.0.0.1:9060".parse().unwrap(),
            id: 2001,
            password: Some(Secret::new(b"pw".to_vec())),
        }
    }

    #[test]
    fn a_packet_says_its_length_and_holds_every_chunk() {
        let mut packet = Vec::new();
        assert!(write_packet(&mut packet, &sighting(10), &collector()));
        assert_eq!(&packet[..4], b"HEP3");
        let said = u16::from_be_bytes([packet[4], packet[5]]);
        assert_eq!(usize::from(said), packet.len());
        let (mut rest, mut kinds) = (&packet[6..], Vec::new());
        while let [_, _, kind_high, kind_low, high, low, ..] = *rest {
            kinds.push(u16::from_be_bytes([kind_high, kind_low]));
            rest = &rest[usize::from(u16::from_be_bytes([high, low]))..];
        }
        assert_eq!(kinds, [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 14, 15]);
    }

    #[test]
    fn a_message_that_no_datagram_holds_is_left_out() {
        assert!(!write_packet(
            &mut Vec::new(),
            &sighting(65_500),
            &collector()
        ));
    }
}
