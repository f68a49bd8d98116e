//! Directions, payload types, rate and size; ports, ids and reports.

use std::time::Duration;

use ringfence_media::{
    Direction, DropReason, NoPorts, PACKET_MAX, PlaneError, RateLimit, Side, SideConfig,
    SocketIndex, TAIL,
};
use ringfence_rtp::quality::Codec;

use crate::kit::{
    CARRIER, INSIDE, OUTSIDE, PACKET_TIME, PAIRS, PBX, RTP_LEN, STRANGER, Source, World, addr,
    config, plane, rtp_socket,
};

#[track_caller]
fn check_direction(outside: Direction, inside: Direction, inwards: bool, outwards: bool) {
    let mut world = World::described(
        SideConfig {
            direction: outside,
            ..config(CARRIER)
        },
        SideConfig {
            direction: inside,
            ..config(PBX)
        },
    );
    let passes_inwards = world
        .rtp(Side::A, CARRIER, &Source::new(1).packet())
        .is_some();
    let passes_outwards = world.rtp(Side::B, PBX, &Source::new(2).packet()).is_some();
    assert_eq!((passes_inwards, passes_outwards), (inwards, outwards));
    assert_eq!(
        world.drops(Side::A, DropReason::Direction),
        u32::from(!inwards)
    );
    assert_eq!(
        world.drops(Side::B, DropReason::Direction),
        u32::from(!outwards)
    );
    // It was heard all the same.
    assert!(world.plane.last_packet(world.stream, Side::A).is_some());
}

#[test]
fn media_against_its_direction_is_dropped_rfc3264_6_1() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    check_direction(SendRecv, SendRecv, true, true);
    check_direction(SendOnly, RecvOnly, true, false);
    check_direction(RecvOnly, SendOnly, false, true);
    check_direction(Inactive, Inactive, false, false);
    // Either side's word is enough.
    check_direction(SendRecv, SendOnly, false, true);
    check_direction(SendRecv, RecvOnly, true, false);
    check_direction(SendRecv, Inactive, false, false);
}

#[test]
fn payload_types_that_were_not_negotiated_are_dropped() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    for payload_type in [0, 8, 101, 3, 9, 18, 127] {
        source.payload_type = payload_type;
        let passed = world.rtp(Side::A, CARRIER, &source.packet()).is_some();
        assert_eq!(
            passed,
            [0, 8, 101].contains(&payload_type),
            "{payload_type}"
        );
    }
    assert_eq!(world.drops(Side::A, DropReason::PayloadType), 4);
}

#[test]
fn a_flood_from_the_peer_is_cut_and_a_stall_is_not() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    let flood = (0..10_000)
        .filter(|_| {
            world.pass(Duration::from_micros(100));
            world.rtp(Side::A, CARRIER, &source.packet()).is_some()
        })
        .count();
    assert!((290..=310).contains(&flood), "{flood}");
    world.pass(Duration::from_secs(2));
    assert!((0..100).all(|_| world.rtp(Side::A, CARRIER, &source.packet()).is_some()));
}

#[test]
fn a_limit_can_be_changed() {
    let mut world = World::plain();
    let fast = RateLimit::per_second(1_000, 10);
    world.configure(
        Side::A,
        SideConfig {
            rate: fast,
            ..config(CARRIER)
        },
    );
    let mut source = Source::new(1);
    let passed = (0..1_000)
        .filter(|_| {
            world.pass(Duration::from_millis(1));
            world.rtp(Side::A, CARRIER, &source.packet()).is_some()
        })
        .count();
    assert_eq!(passed, 1_000);
}

#[test]
fn packets_beyond_the_bound_are_dropped() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    let mut packet = source.packet();
    packet.resize(PACKET_MAX, 0);
    assert!(world.rtp(Side::A, CARRIER, &packet).is_some());
    packet.resize(PACKET_MAX + 1, 0);
    assert_eq!(world.rtp(Side::A, CARRIER, &packet), None);
    // No room for the tail: not sent either.
    let mut buf = [0x80; RTP_LEN + TAIL - 1];
    let from = addr(CARRIER);
    let forward =
        world
            .plane
            .handle_packet(world.now, rtp_socket(Side::A), from, &mut buf, RTP_LEN);
    assert_eq!(forward, None);
    assert_eq!(world.drops(Side::A, DropReason::Size), 2);
}

#[test]
fn what_is_not_media_is_dropped() {
    let mut world = World::plain();
    for packet in [
        &b""[..],
        b"\r\n\r\n",
        &[0, 1, 0, 0],
        &[22, 254, 253],
        &[0x80, 8],
        &[0x80; 11],
    ] {
        assert_eq!(world.rtp(Side::A, CARRIER, packet), None);
    }
    // Padding longer than the payload.
    let mut packet = Source::new(1).packet();
    packet[0] |= 0x20;
    *packet.last_mut().unwrap() = 250;
    assert_eq!(world.rtp(Side::A, CARRIER, &packet), None);
    assert_eq!(world.drops(Side::A, DropReason::Malformed), 7);
    assert_eq!(world.latched(Side::A), None);
}

#[test]
fn streams_take_ports_from_both_listeners_until_there_are_none() {
    let mut plane = plane();
    let now = ringfence_base::Instant::ZERO;
    let streams: Vec<_> = (0..PAIRS)
        .map(|_| plane.open_stream(now, OUTSIDE, INSIDE).unwrap())
        .collect();
    assert_eq!(
        plane.open_stream(now, OUTSIDE, INSIDE),
        Err(NoPorts { listener: OUTSIDE })
    );
    assert_eq!(
        (plane.ports_free(OUTSIDE), plane.streams_open()),
        (0, PAIRS as usize)
    );

    plane.close_stream(streams[3]).unwrap();
    // Two of the outside are more than there are; what was taken is given back.
    assert_eq!(
        plane.open_stream(now, OUTSIDE, OUTSIDE),
        Err(NoPorts { listener: OUTSIDE })
    );
    assert_eq!(plane.ports_free(OUTSIDE), 1);
    assert_eq!(plane.ports_free(INSIDE), 1);
    assert_eq!(plane.counters().streams_refused, 2);
}

#[test]
fn the_longest_unused_ports_are_used_first() {
    let mut plane = plane();
    let now = ringfence_base::Instant::ZERO;
    let mut seen = Vec::new();
    for _ in 0..PAIRS {
        let stream = plane.open_stream(now, OUTSIDE, INSIDE).unwrap();
        seen.push(plane.local_addr(stream, Side::A).unwrap());
        plane.close_stream(stream).unwrap();
    }
    seen.dedup();
    assert_eq!(seen.len(), PAIRS as usize);
}

#[test]
fn packets_where_no_call_is_are_told_unless_they_are_late() {
    let mut world = World::plain();
    let probe = [&[0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0; 24]].concat();
    let strays = |world: &mut World| {
        let strays = std::iter::from_fn(|| world.plane.take_stray());
        strays.map(|stray| stray.is_probe).collect::<Vec<_>>()
    };
    assert!(
        world
            .rtp(Side::A, CARRIER, &Source::new(1).packet())
            .is_some()
    );
    assert!(world.plane.close_stream(world.stream).is_some());
    assert_eq!(world.rtp(Side::A, CARRIER, &probe), None);
    assert_eq!(
        strays(&mut world),
        [false; 0],
        "the call was over a moment ago"
    );
    world.now += std::time::Duration::from_secs(61);
    assert_eq!(world.rtp(Side::A, STRANGER, &probe), None);
    assert_eq!(world.rtp(Side::A, STRANGER, &Source::new(1).packet()), None);
    assert_eq!(world.rtp(Side::A, STRANGER, b"hello"), None);
    assert_eq!(strays(&mut world), [true, false, false]);
    // More than there is room for are dropped as ever.
    for _ in 0..1_000 {
        assert_eq!(world.rtp(Side::A, STRANGER, &probe), None);
    }
    assert!(strays(&mut world).len() < 100);
}

#[test]
fn the_id_of_a_closed_stream_names_nothing() {
    let mut world = World::plain();
    let old = world.stream;
    assert!(world.plane.close_stream(old).is_some());
    assert_eq!(world.rtp(Side::A, CARRIER, &Source::new(1).packet()), None);
    assert_eq!(world.plane.counters().dropped(DropReason::NoStream), 1);

    let new = world.plane.open_stream(world.now, OUTSIDE, INSIDE).unwrap();
    assert_ne!(old, new);
    assert_eq!(world.plane.close_stream(old), None);
    assert_eq!(world.plane.stats(old), None);
    assert_eq!(world.plane.local_addr(old, Side::A), None);
    assert_eq!(world.plane.last_packet(old, Side::A), None);
    let refused = world
        .plane
        .configure_side(world.now, old, Side::A, config(CARRIER));
    assert_eq!(refused, Err(PlaneError::UnknownStream));
    assert!(world.plane.close_stream(new).is_some());
}

#[test]
fn late_media_of_a_closed_stream_is_not_heard_in_the_next() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    assert!(world.rtp(Side::A, CARRIER, &source.packet()).is_some());
    world.plane.close_stream(world.stream).unwrap();
    // The next streams until the same port is used again.
    for _ in 0..PAIRS {
        world.stream = world.plane.open_stream(world.now, OUTSIDE, INSIDE).unwrap();
        world.configure(Side::A, config("198.51.100.99:4444"));
        world.configure(Side::B, config("192.0.2.11:4444"));
        assert_eq!(world.rtp(Side::A, CARRIER, &source.packet()), None);
        world.plane.close_stream(world.stream).unwrap();
    }
}

#[test]
fn the_report_says_what_came_and_how_well() {
    let mut world = World::plain();
    let (mut carrier, mut pbx) = (Source::new(1), Source::new(2));
    for n in 0..1_000 {
        world.pass(PACKET_TIME);
        let packet = carrier.packet();
        if n % 100 != 50 {
            world.rtp(Side::A, CARRIER, &packet).unwrap();
        }
        world.rtp(Side::B, PBX, &pbx.packet()).unwrap();
    }
    let last = world.now;
    world.pass(Duration::from_secs(5));
    let report = world.plane.close_stream(world.stream).unwrap();
    assert_eq!(
        (report.a.packets, report.a.lost, report.a.bytes),
        (990, 10, 990 * 172)
    );
    assert_eq!((report.b.packets, report.b.lost), (1_000, 0));
    assert_eq!((report.a.sent_packets, report.b.sent_packets), (1_000, 990));
    assert_eq!(report.a.codec, Some(Codec::G711));
    assert!(report.a.jitter < Duration::from_millis(1));
    assert!(
        (4.30..4.36).contains(&report.a.mos.unwrap()),
        "{:?}",
        report.a.mos
    );
    assert!(report.b.mos.unwrap() > 4.4);
    assert_eq!(report.a.latched, Some(addr(CARRIER)));
    assert_eq!(report.a.last_packet, Some(last));
}

#[test]
fn a_stream_without_media_has_no_score() {
    let world = World::plain();
    let report = world.plane.stats(world.stream).unwrap();
    assert_eq!(
        (report.a.packets, report.a.mos, report.a.codec),
        (0, None, None)
    );
    assert_eq!((report.a.last_packet, report.a.latched), (None, None));
}

#[test]
fn events_alone_make_no_score_and_a_codec_before_stays() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    source.payload_type = 101;
    world.rtp(Side::A, CARRIER, &source.packet()).unwrap();
    assert_eq!(world.plane.stats(world.stream).unwrap().a.mos, None);
    source.payload_type = 8;
    world.rtp(Side::A, CARRIER, &source.packet()).unwrap();
    source.payload_type = 101;
    world.rtp(Side::A, CARRIER, &source.packet()).unwrap();
    assert_eq!(
        world.plane.stats(world.stream).unwrap().a.codec,
        Some(Codec::G711)
    );
}

#[test]
fn a_socket_nobody_has_is_counted() {
    let mut plane = plane();
    let now = ringfence_base::Instant::ZERO;
    for socket in [0, 31, 32, u32::MAX] {
        let socket = SocketIndex::new(socket);
        let mut buf = [0x80; 300];
        assert_eq!(
            plane.handle_packet(now, socket, addr(CARRIER), &mut buf, 172),
            None
        );
    }
    assert_eq!(plane.counters().dropped(DropReason::NoStream), 4);
}
