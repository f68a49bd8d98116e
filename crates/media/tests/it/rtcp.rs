//! RTCP: on its own port or on the RTP port, where it goes, and that no name crosses.

use std::time::Duration;

use ringfence_media::{DropReason, LatchPolicy, Side, SideConfig};
use ringfence_rtp::Ssrc;
use ringfence_rtp::rtcp::Compound;
use ringfence_rtp::srtp::Suite;

use crate::kit::{
    CARRIER, PACKET_TIME, PBX, STRANGER, SecurePeer, Source, World, addr, config, rtcp_socket,
    rtp_socket,
};

const CARRIER_RTCP: &str = "198.51.100.20:40001";
const PBX_RTCP: &str = "192.0.2.10:12001";
const INSIDE_NAME: &[u8] = b"pbx@10.1.2.3";

/// What a report says of the stream it reports on.
#[derive(Clone, Copy, Default)]
struct Block {
    ssrc: u32,
    fraction_lost: u8,
    lost: u32,
    jitter: u32,
    last_sr: u32,
    delay: u32,
}

/// SR with one report block, and an SDES that tells too much.
fn sender_report(ssrc: u32, ntp: u64, block: Block) -> Vec<u8> {
    let mut packet = vec![0x81, 200, 0, 12];
    let ntp = [(ntp >> 32) as u32, ntp as u32];
    let sender = [ssrc, ntp[0], ntp[1], 160, 50, 8_000];
    let loss = u32::from(block.fraction_lost) << 24 | block.lost;
    let block = [
        block.ssrc,
        loss,
        0,
        block.jitter,
        block.last_sr,
        block.delay,
    ];
    for word in sender.into_iter().chain(block) {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet.extend_from_slice(&[0x81, 202, 0, 5]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[1, INSIDE_NAME.len() as u8]);
    packet.extend_from_slice(INSIDE_NAME);
    packet.extend_from_slice(&[0, 0]);
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    sender_report(ssrc, 1 << 40, Block::default())
}

/// Both sides have spoken: source 1 outside, source 2 inside.
fn speaking(outside: SideConfig, inside: SideConfig) -> World {
    let mut world = World::described(outside, inside);
    world
        .rtp(Side::A, CARRIER, &Source::new(1).packet())
        .unwrap();
    world.rtp(Side::B, PBX, &Source::new(2).packet()).unwrap();
    world
}

#[test]
fn rtcp_goes_from_port_to_port_without_names_rfc7022_4_2() {
    let mut world = speaking(config(CARRIER), config(PBX));
    let sent = world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap();
    assert_eq!(
        (sent.socket, sent.to),
        (rtcp_socket(Side::A), addr(CARRIER_RTCP))
    );
    assert!(Compound::parse(&sent.bytes).is_ok());
    assert!(
        !sent
            .bytes
            .windows(INSIDE_NAME.len())
            .any(|window| window == INSIDE_NAME)
    );

    let back = world.rtcp(Side::A, CARRIER_RTCP, &report(1)).unwrap();
    assert_eq!(
        (back.socket, back.to),
        (rtcp_socket(Side::B), addr(PBX_RTCP))
    );
    let cname = |bytes: &[u8]| bytes[bytes.len() - 18..bytes.len() - 2].to_vec();
    assert_ne!(cname(&sent.bytes), cname(&back.bytes), "a name per side");
    let again = world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap();
    assert_eq!(
        cname(&sent.bytes),
        cname(&again.bytes),
        "the same all the time"
    );
}

#[test]
fn rtcp_goes_where_its_attribute_says_rfc3605() {
    let elsewhere = "198.51.100.99:7777";
    let outside = SideConfig {
        remote_rtcp: Some(addr(elsewhere)),
        ..config(CARRIER)
    };
    let mut world = speaking(outside, config(PBX));
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to,
        addr(elsewhere)
    );
    assert!(world.rtcp(Side::A, elsewhere, &report(1)).is_some());
}

#[test]
fn rtcp_on_the_rtp_port_meets_rtcp_on_its_own_rfc5761() {
    let outside = SideConfig {
        rtcp_mux: true,
        ..config(CARRIER)
    };
    let mut world = speaking(outside, config(PBX));
    let sent = world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap();
    assert_eq!((sent.socket, sent.to), (rtp_socket(Side::A), addr(CARRIER)));
    let sent = world.rtp(Side::A, CARRIER, &report(1)).unwrap();
    assert_eq!(
        (sent.socket, sent.to),
        (rtcp_socket(Side::B), addr(PBX_RTCP))
    );
    assert_eq!(world.plane.counters().rtcp_forwarded, 2);
    assert_eq!(
        world.plane.stats(world.stream).unwrap().a.packets,
        1,
        "RTCP is not RTP"
    );
}

#[test]
fn packets_on_the_wrong_port_are_dropped() {
    let mut world = speaking(
        SideConfig {
            rtcp_mux: true,
            ..config(CARRIER)
        },
        config(PBX),
    );
    assert_eq!(world.rtcp(Side::A, CARRIER_RTCP, &report(1)), None);
    assert_eq!(world.rtp(Side::B, PBX, &report(2)), None);
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &Source::new(2).packet()),
        None
    );
    assert_eq!(world.drops(Side::A, DropReason::Malformed), 1);
    assert_eq!(world.drops(Side::B, DropReason::Malformed), 2);
}

#[test]
fn rtcp_injection_fails() {
    let mut world = speaking(config(CARRIER), config(PBX));
    // From elsewhere, with the right source.
    assert_eq!(world.rtcp(Side::A, STRANGER, &report(1)), None);
    assert_eq!(world.drops(Side::A, DropReason::ForeignSource), 1);
    // From the right place by address spoofing, but the source must be guessed.
    let goodbye = [0x81, 203, 0, 1, 0, 0, 0, 9];
    assert_eq!(world.rtcp(Side::A, CARRIER_RTCP, &goodbye), None);
    assert_eq!(world.rtcp(Side::A, CARRIER_RTCP, &report(9)), None);
    assert_eq!(world.drops(Side::A, DropReason::RtcpContent), 2);
    // The answer never goes to the stranger.
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to,
        addr(CARRIER_RTCP)
    );
}

#[test]
fn rtcp_is_answered_where_it_comes_from() {
    let mut world = speaking(config(CARRIER), config(PBX));
    let elsewhere = "198.51.100.20:55555";
    assert!(world.rtcp(Side::A, elsewhere, &report(1)).is_some());
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to,
        addr(elsewhere)
    );
    assert_eq!(world.rtcp(Side::A, "198.51.100.20:55556", &report(1)), None);
    assert!(world.rtcp(Side::A, CARRIER_RTCP, &report(1)).is_some());
}

#[test]
fn rtcp_waits_for_a_phone_behind_nat_and_follows_its_host() {
    let phone = "203.0.113.5:61000";
    let outside = SideConfig {
        latch: LatchPolicy::Symmetric,
        ..config("192.168.1.50:5004")
    };
    let mut world = World::described(outside, config(PBX));
    let mut source = Source::new(1);
    world.rtp(Side::B, PBX, &Source::new(2).packet()).unwrap();
    for _ in 0..3 {
        world.pass(PACKET_TIME);
        world.rtp(Side::A, phone, &source.packet());
    }
    // Its private address is not a place to send to; the mapping of its RTCP is not known yet.
    assert_eq!(world.rtcp(Side::B, PBX_RTCP, &report(2)), None);
    assert_eq!(world.drops(Side::B, DropReason::NoDestination), 1);
    assert_eq!(world.rtcp(Side::A, STRANGER, &report(1)), None);
    assert!(
        world
            .rtcp(Side::A, "203.0.113.5:61001", &report(1))
            .is_some()
    );
    let to = world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to;
    assert_eq!(to, addr("203.0.113.5:61001"));
}

#[test]
fn rtcp_follows_a_phone_whose_nat_was_rebound() {
    let host: std::net::IpAddr = "203.0.113.5".parse().unwrap();
    let outside = SideConfig {
        latch: LatchPolicy::Symmetric,
        signalling_host: Some(host),
        ..config("192.168.1.50:5004")
    };
    let mut world = World::described(outside, config(PBX));
    let mut source = Source::new(1);
    world
        .rtp(Side::A, "203.0.113.5:61000", &source.packet())
        .unwrap();
    world
        .rtcp(Side::A, "203.0.113.5:61001", &report(1))
        .unwrap();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.rtcp(Side::A, "203.0.113.5:62001", &report(1)), None);
    world.pass(Duration::from_secs(2));
    world
        .rtp(Side::A, "203.0.113.5:62000", &source.packet())
        .unwrap();
    assert!(
        world
            .rtcp(Side::A, "203.0.113.5:62001", &report(1))
            .is_some()
    );
}

#[test]
fn a_phone_that_only_listens_latches_by_its_rtcp_rfc6263_4_6() {
    let phone = "203.0.113.5:61000";
    let outside = SideConfig {
        latch: LatchPolicy::Symmetric,
        signalling_host: Some("203.0.113.5".parse().unwrap()),
        rtcp_mux: true,
        ..config("192.168.1.50:5004")
    };
    let mut world = World::described(outside, config(PBX));
    assert_eq!(world.rtp(Side::A, STRANGER, &report(66)), None);
    assert!(world.rtp(Side::A, phone, &report(1)).is_some());
    assert_eq!(
        world
            .rtp_to(Side::B, PBX, &Source::new(2).packet())
            .as_deref(),
        Some(phone)
    );
}

#[test]
fn srtcp_is_bridged_and_forgeries_are_dropped() {
    for suite in crate::kit::SUITES {
        let (mut carrier, security) = SecurePeer::new(suite, 1);
        let mut world = World::described(
            SideConfig {
                security,
                ..config(CARRIER)
            },
            config(PBX),
        );
        world.rtp(Side::B, PBX, &Source::new(2).packet()).unwrap();
        let sent = world
            .rtcp(Side::A, CARRIER_RTCP, &carrier.protect_rtcp(&report(1)))
            .unwrap();
        assert_eq!(sent.to, addr(PBX_RTCP));
        assert_eq!(
            Compound::parse(&sent.bytes).unwrap().sender(),
            Some(Ssrc::new(1))
        );
        assert!(
            !sent
                .bytes
                .windows(INSIDE_NAME.len())
                .any(|window| window == INSIDE_NAME)
        );

        let sent = world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap();
        let plain = carrier.unprotect_rtcp(&sent.bytes);
        assert_eq!(
            Compound::parse(&plain).unwrap().sender(),
            Some(Ssrc::new(2))
        );

        let (mut forger, _) = SecurePeer::new(suite, 99);
        for forged in [report(1), forger.protect_rtcp(&report(1))] {
            assert_eq!(world.rtcp(Side::A, CARRIER_RTCP, &forged), None);
        }
    }
}

#[test]
fn srtcp_from_elsewhere_never_latches_unauthenticated() {
    let (mut phone, security) = SecurePeer::new(Suite::AeadAes128Gcm, 1);
    let outside = SideConfig {
        latch: LatchPolicy::Symmetric,
        security,
        ..config(CARRIER)
    };
    let mut world = World::described(outside, config(PBX));
    assert_eq!(world.rtcp(Side::A, STRANGER, &report(1)), None);
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to,
        addr(CARRIER_RTCP)
    );
    assert!(
        world
            .rtcp(Side::A, "203.0.113.5:7", &phone.protect_rtcp(&report(1)))
            .is_some()
    );
    assert_eq!(
        world.rtcp(Side::B, PBX_RTCP, &report(2)).unwrap().to,
        addr("203.0.113.5:7")
    );
}

#[test]
fn reads_what_the_peers_say_and_how_far_they_are_rfc3550_6_4_1() {
    let mut world = speaking(config(CARRIER), config(PBX));
    // The PBX's report passes to the carrier; the carrier's comes back 80 ms later, 30 of which
    // it held it.
    let ntp = 0x0000_1234_5678_0000;
    world
        .rtcp(Side::B, PBX_RTCP, &sender_report(2, ntp, Block::default()))
        .unwrap();
    world.pass(Duration::from_millis(80));
    let block = Block {
        ssrc: 2,
        fraction_lost: 64,
        lost: 10,
        jitter: 80,
        last_sr: 0x1234_5678,
        delay: 65_536 * 30 / 1_000,
    };
    world
        .rtcp(Side::A, CARRIER_RTCP, &sender_report(1, ntp, block))
        .unwrap();

    let report = world.plane.stats(world.stream).unwrap();
    let said = report.a.peer_reported.unwrap();
    assert_eq!((said.lost, said.recent_loss), (10, 0.25));
    assert_eq!(said.jitter, Duration::from_millis(10));
    let round_trip = report.a.round_trip.unwrap().as_secs_f32();
    assert!((round_trip - 0.050).abs() < 0.001, "{round_trip}");
    assert_eq!(report.b.peer_reported, None);
}

#[test]
fn reports_on_another_source_are_not_believed() {
    let mut world = speaking(config(CARRIER), config(PBX));
    let block = Block {
        ssrc: 77,
        fraction_lost: 255,
        lost: 999,
        ..Block::default()
    };
    world
        .rtcp(Side::A, CARRIER_RTCP, &sender_report(1, 1, block))
        .unwrap();
    assert_eq!(
        world.plane.stats(world.stream).unwrap().a.peer_reported,
        None
    );
}

#[test]
fn what_may_not_pass_is_dropped_whole() {
    let mut world = speaking(config(CARRIER), config(PBX));
    let application = b"\x80\xcc\x00\x02\x00\x00\x00\x01host";
    assert_eq!(world.rtcp(Side::A, CARRIER_RTCP, application), None);
    assert_eq!(world.drops(Side::A, DropReason::RtcpContent), 1);
    assert_eq!(
        world.rtcp(Side::A, CARRIER_RTCP, &[0x81, 200, 0, 99, 0, 0, 0, 1]),
        None
    );
    assert_eq!(world.drops(Side::A, DropReason::Malformed), 1);
}

#[test]
fn a_flood_of_rtcp_is_bounded() {
    let mut world = speaking(config(CARRIER), config(PBX));
    let passed = (0..10_000)
        .filter(|_| {
            world.pass(Duration::from_micros(100));
            world.rtcp(Side::A, CARRIER_RTCP, &report(1)).is_some()
        })
        .count();
    assert!(passed <= 310, "{passed}");
}
