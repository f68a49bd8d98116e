//! Captures of every kind, and broken ones.

use std::io::Cursor;

use proptest::prelude::*;
use ringfence_replay::container::{Capture, CaptureError};
use ringfence_replay::engine::{Replayed, Setting, replay};

const CAPTURE: &[u8] = include_bytes!("captures/vicious.pcapng");

type Frames = Vec<(u64, Vec<u8>)>;

/// The Ethernet frames of the real capture.
fn frames() -> Frames {
    let mut capture = Capture::open(CAPTURE).expect("a capture");
    let mut frames = Frames::new();
    while let Some(packet) = capture.next().expect("it is whole") {
        assert_eq!(packet.link, 1);
        frames.push((packet.at, packet.data.to_vec()));
    }
    frames
}

#[derive(Clone, Copy)]
struct Order {
    big: bool,
    nanos: bool,
}

const LITTLE: Order = Order {
    big: false,
    nanos: true,
};

/// A classic pcap of them, each frame changed by `change` into some.
fn pcap(link: u32, order: Order, change: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<u8> {
    let word = |value: u32| {
        if order.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let magic = if order.nanos {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    };
    let mut file = Vec::new();
    for value in [magic, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word(value));
    }
    for (at, frame) in frames() {
        for frame in change(&frame) {
            let part = (at % 1_000_000_000) as u32 / if order.nanos { 1 } else { 1_000 };
            let length = frame.len() as u32;
            for value in [(at / 1_000_000_000) as u32, part, length, length] {
                file.extend(word(value));
            }
            file.extend(frame);
        }
    }
    file
}

fn judged(file: &[u8]) -> Replayed {
    replay(Cursor::new(file), &Setting::default(), |_| {}).expect("it is read")
}

#[track_caller]
fn says_the_same(file: &[u8]) {
    let (replayed, original) = (judged(file), judged(CAPTURE));
    assert_eq!(replayed.skipped.total(), 0);
    assert_eq!(replayed.report, original.report);
}

fn whole(frame: &[u8]) -> Vec<Vec<u8>> {
    vec![frame.to_vec()]
}

fn after(head: &[u8], frame: &[u8]) -> Vec<Vec<u8>> {
    vec![[head, &frame[14..]].concat()]
}

#[test]
fn nanoseconds_and_either_byte_order_are_read() {
    says_the_same(&pcap(1, LITTLE, whole));
    says_the_same(&pcap(
        1,
        Order {
            big: true,
            nanos: true,
        },
        whole,
    ));
}

#[test]
fn microseconds_are_read() {
    let order = Order {
        big: false,
        nanos: false,
    };
    assert_eq!(
        judged(&pcap(1, order, whole)).report.messages,
        frames().len() as u64
    );
    let order = Order {
        big: true,
        nanos: false,
    };
    assert_eq!(
        judged(&pcap(1, order, whole)).report.messages,
        frames().len() as u64
    );
}

#[test]
fn raw_and_cooked_link_types_are_read() {
    for link in [12, 14, 101, 228] {
        says_the_same(&pcap(link, LITTLE, |frame| after(&[], frame)));
    }
    says_the_same(&pcap(0, LITTLE, |frame| after(&[2, 0, 0, 0], frame)));
    let cooked = [0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    says_the_same(&pcap(113, LITTLE, |frame| after(&cooked, frame)));
    let mut cooked2 = [0; 20];
    cooked2[0] = 8;
    says_the_same(&pcap(276, LITTLE, |frame| after(&cooked2, frame)));
}

#[test]
fn vlan_tags_are_read() {
    let tagged = |frame: &[u8]| {
        let tags = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 9];
        vec![[&frame[..12], &tags, &frame[12..]].concat()]
    };
    says_the_same(&pcap(1, LITTLE, tagged));
}

/// IPv4 datagrams in three fragments, the last one first.
#[test]
fn fragments_are_put_together_rfc791() {
    let cut = |frame: &[u8]| {
        let (head, payload) = (&frame[14..34], &frame[34..]);
        let count = payload.len();
        let part = |from: usize, to: usize| {
            let mut packet = head.to_vec();
            let length = (20 + to - from) as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            let more = if to < count { 0x2000 } else { 0 };
            let place = (from / 8) as u16 | more;
            packet[6..8].copy_from_slice(&place.to_be_bytes());
            packet.extend(&payload[from..to]);
            packet
        };
        vec![part(160, count), part(0, 80), part(80, 160)]
    };
    says_the_same(&pcap(101, LITTLE, cut));
}

/// The same messages over IPv6, behind a destination options header.
#[test]
fn ipv6_and_its_extension_headers_are_read_rfc8200() {
    let in_six = |frame: &[u8]| {
        let payload = &frame[34..];
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((payload.len() as u16 + 8).to_be_bytes());
        packet.extend([60, 64]);
        for address in [&frame[26..30], &frame[30..34]] {
            packet.extend([0; 10]);
            packet.extend([0xff, 0xff]);
            packet.extend(address);
        }
        packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(payload);
        vec![packet]
    };
    says_the_same(&pcap(229, LITTLE, in_six));
}

/// Datagrams as TCP segments of one connection for each pair of ports, cut in two and swapped.
#[test]
fn tcp_streams_are_put_together_and_prove_their_addresses() {
    let sequences = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let in_tcp = |frame: &[u8]| {
        let (ip, ports, data) = (&frame[14..34], &frame[34..38], &frame[42..]);
        let mut sequences = sequences.borrow_mut();
        let start = sequences.entry((ip[12..20].to_vec(), ports.to_vec()));
        let start = start.or_insert(u32::MAX - 700);
        let segment = |at: u32, data: &[u8]| {
            let mut packet = ip.to_vec();
            packet[9] = 6;
            packet[2..4].copy_from_slice(&(40 + data.len() as u16).to_be_bytes());
            packet.extend(ports);
            packet.extend(at.to_be_bytes());
            packet.extend([0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
            packet.extend(data);
            packet
        };
        let (first, second) = data.split_at(200);
        let begun = *start;
        *start = begun.wrapping_add(data.len() as u32);
        let swapped = begun != u32::MAX - 700;
        let mut both = vec![
            segment(begun, first),
            segment(begun.wrapping_add(200), second),
        ];
        if swapped {
            both.reverse();
        }
        both
    };
    let mut file = pcap(101, LITTLE, in_tcp);
    let replayed = judged(&file);
    assert_eq!(replayed.report.messages, judged(CAPTURE).report.messages);
    let enumeration = |replayed: &Replayed| {
        let mut findings = replayed.report.findings.iter();
        let found = findings.find(|finding| finding.kind == "enumeration");
        found.expect("it is found").why.clone()
    };
    assert!(enumeration(&replayed).ends_with("the source address is proved."));
    assert!(enumeration(&judged(CAPTURE)).contains("could be made up"));
    file.truncate(24);
    assert_eq!(judged(&file).report.messages, 0);
}

#[test]
fn a_broken_file_is_named_by_the_byte() {
    let said = |file: &[u8]| match replay(Cursor::new(file), &Setting::default(), |_| {}) {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(said(b"").contains("neither pcap nor pcapng"));
    assert!(said(b"PK\x03\x04 and so on").contains("neither pcap nor pcapng"));
    assert_eq!(
        said(&pcap(1, LITTLE, whole)[..30]),
        "byte 24: the file ends inside a packet's header"
    );
    assert_eq!(
        said(&pcap(1, LITTLE, whole)[..60]),
        "byte 24: the file ends inside a packet"
    );
    let mut long = pcap(1, LITTLE, whole);
    long[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        said(&long),
        "byte 24: a packet of 4294967295 bytes; at most 1048576 are read"
    );
    let end = CAPTURE.len() - 4;
    assert!(said(&CAPTURE[..end]).contains("the file ends inside a block"));
    let mut odd = CAPTURE.to_vec();
    odd[end] ^= 4;
    assert!(
        said(&odd).contains("a block whose two lengths differ"),
        "{}",
        said(&odd)
    );
}

#[test]
fn unreadable_packets_are_counted_and_the_rest_is_judged() {
    let cut = |frame: &[u8]| {
        vec![
            frame[..frame.len() - 1].to_vec(),
            frame.to_vec(),
            frame[..20].to_vec(),
        ]
    };
    let replayed = judged(&pcap(1, LITTLE, cut));
    assert_eq!(replayed.skipped.broken, 2 * frames().len() as u64);
    assert_eq!(replayed.report, judged(CAPTURE).report);
    let unknown = judged(&pcap(147, LITTLE, whole));
    assert_eq!(unknown.skipped.link_type, frames().len() as u64);
}

fn never_panics(file: &[u8]) {
    let read = replay(Cursor::new(file), &Setting::default(), |_| {});
    if let Err(CaptureError::Read { .. }) = read {
        panic!("a file in memory can be read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((0..CAPTURE.len(), any::<u8>()), 1..200)) {
        let mut file = CAPTURE.to_vec();
        for (at, byte) in changes {
            file[at] = byte;
        }
        never_panics(&file);
    }

    /// Files that are whole, with packets that are nonsense.
    #[test]
    fn changed_packets_never_panic(
        link in prop::sample::select(vec![0_u32, 1, 101, 113, 229, 276]),
        changes in prop::collection::vec((0_usize..60, any::<u8>()), 1..6),
        cut in 0_usize..400,
    ) {
        let change = |frame: &[u8]| {
            let from = if link == 1 { 0 } else { 14 };
            let mut frame = frame[from..].to_vec();
            for (at, byte) in &changes {
                if let Some(slot) = frame.get_mut(*at) {
                    *slot = *byte;
                }
            }
            let shorter = frame[..frame.len().saturating_sub(cut)].to_vec();
            vec![shorter, frame]
        };
        never_panics(&pcap(link, LITTLE, change));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), kind in 0..3) {
        let head: &[u8] = match kind {
            0 => &[],
            1 => &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0],
            _ => &CAPTURE[..200],
        };
        never_panics(&[head, &bytes].concat());
    }
}
