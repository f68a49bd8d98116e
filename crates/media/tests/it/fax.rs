//! Fax: UDPTL datagrams (ITU-T T.38) relayed as they are.

use ringfence_media::{DropReason, Framing, LatchPolicy, RateLimit, Side, SideConfig, UDPTL_MAX};

use crate::kit::{CARRIER, PBX, STRANGER, Source, World, config};

fn fax(remote: &str) -> SideConfig {
    SideConfig {
        framing: Framing::Udptl,
        ..config(remote)
    }
}

/// A datagram of this number: one byte of primary packet, no recovery.
fn datagram(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![high, low, 1, 6, 0, 0]
}

#[test]
fn datagrams_pass_both_ways_as_they_are() {
    let mut world = World::described(fax(CARRIER), fax(PBX));
    for number in 0..100 {
        let sent = world.rtp(Side::A, CARRIER, &datagram(number)).unwrap();
        assert_eq!(
            (sent.bytes, sent.to.to_string()),
            (datagram(number), PBX.to_owned())
        );
        let sent = world.rtp(Side::B, PBX, &datagram(number)).unwrap();
        assert_eq!(
            (sent.bytes, sent.to.to_string()),
            (datagram(number), CARRIER.to_owned())
        );
    }
    let report = world.plane.stats(world.stream).unwrap();
    assert_eq!((report.a.packets, report.b.sent_packets), (100, 100));
    assert_eq!(
        report.a.latched.map(|at| at.to_string()),
        Some(CARRIER.to_owned())
    );
}

#[test]
fn there_is_no_rtcp_beside_it() {
    let mut world = World::described(fax(CARRIER), fax(PBX));
    assert!(world.rtcp(Side::A, CARRIER, &datagram(0)).is_none());
    assert_eq!(world.drops(Side::A, DropReason::Malformed), 1);
}

#[test]
fn sizes_that_fax_does_not_have_are_dropped() {
    let mut world = World::described(fax(CARRIER), fax(PBX));
    assert!(world.rtp(Side::A, CARRIER, &[0; 4]).is_none());
    assert!(world.rtp(Side::A, CARRIER, &[0; UDPTL_MAX + 1]).is_none());
    assert!(world.rtp(Side::A, CARRIER, &[0; UDPTL_MAX]).is_some());
    assert_eq!(world.drops(Side::A, DropReason::Size), 2);
}

#[test]
fn a_flood_of_fax_is_cut() {
    let outside = SideConfig {
        rate: RateLimit::per_second(250, 250),
        ..fax(CARRIER)
    };
    let mut world = World::described(outside, fax(PBX));
    let passed =
        (0..1_000).filter(|number| world.rtp(Side::A, CARRIER, &datagram(*number)).is_some());
    assert!(passed.count() <= 251);
}

#[test]
fn no_stranger_ever_latches_by_fax() {
    for policy in [
        LatchPolicy::SameAddress,
        LatchPolicy::Strict,
        LatchPolicy::Symmetric,
    ] {
        let outside = SideConfig {
            latch: policy,
            ..fax(CARRIER)
        };
        let mut world = World::described(outside, fax(PBX));
        for number in 0..50 {
            assert!(world.rtp(Side::A, STRANGER, &datagram(number)).is_none());
        }
        let sent = world.rtp(Side::B, PBX, &datagram(0)).unwrap();
        assert_eq!(sent.to.to_string(), CARRIER);
    }
}

#[test]
fn a_call_goes_from_sound_to_fax_and_back() {
    let mut world = World::plain();
    let mut source = Source::new(7);
    assert!(world.rtp(Side::A, CARRIER, &source.packet()).is_some());
    world.configure(Side::A, fax(CARRIER));
    // In between, only what both sides speak passes.
    assert!(world.rtp(Side::A, CARRIER, &datagram(0)).is_none());
    world.configure(Side::B, fax(PBX));
    assert!(world.rtp(Side::A, CARRIER, &datagram(0)).is_some());
    world.configure(Side::A, config(CARRIER));
    world.configure(Side::B, config(PBX));
    assert!(world.rtp(Side::A, CARRIER, &datagram(1)).is_none());
    assert!(world.rtp(Side::A, CARRIER, &source.packet()).is_some());
    let report = world.plane.stats(world.stream).unwrap();
    assert_eq!(report.a.packets, 3);
}
