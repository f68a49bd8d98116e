//! RTP bleed and RTP inject (rtpengine ES2025-01 and its kin): before, during and after the latch.

use std::time::Duration;

use ringfence_media::{DropReason, LATCH_WINDOW, LatchPolicy, RELATCH_SILENCE, Side, SideConfig};

use crate::kit::{CARRIER, PACKET_TIME, PBX, STRANGER, Source, World, addr, config};

fn world(policy: LatchPolicy) -> World {
    World::described(
        SideConfig {
            latch: policy,
            ..config(CARRIER)
        },
        config(PBX),
    )
}

/// A phone behind NAT: it describes its private address, signals and sends from a public one.
const PHONE_DESCRIBED: &str = "192.168.1.50:5004";
const PHONE: &str = "198.51.100.77:61000";

fn phone(signalling_host: Option<&str>) -> SideConfig {
    SideConfig {
        latch: LatchPolicy::Symmetric,
        signalling_host: signalling_host.map(|host| host.parse().unwrap()),
        ..config(PHONE_DESCRIBED)
    }
}

/// Sends `count` packets of a source to the RTP port of side A; how many passed.
fn speak(world: &mut World, from: &str, source: &mut Source, count: usize) -> usize {
    (0..count)
        .filter(|_| {
            world.pass(PACKET_TIME);
            world.rtp(Side::A, from, &source.packet()).is_some()
        })
        .count()
}

#[test]
fn media_goes_to_the_described_address_until_a_source_latches() {
    let mut world = World::plain();
    let mut pbx = Source::new(2);
    assert_eq!(
        world.rtp_to(Side::B, PBX, &pbx.packet()).as_deref(),
        Some(CARRIER)
    );
    assert_eq!(world.latched(Side::A), None);
}

#[test]
fn a_carrier_may_send_from_another_port_of_its_host_and_is_answered_there() {
    let mut world = world(LatchPolicy::SameAddress);
    let elsewhere = "198.51.100.20:50000";
    assert_eq!(speak(&mut world, elsewhere, &mut Source::new(1), 1), 1);
    let to = world.rtp_to(Side::B, PBX, &Source::new(2).packet());
    assert_eq!(to.as_deref(), Some(elsewhere));
}

#[test]
fn the_described_address_takes_a_latch_over_from_another_port() {
    let mut world = world(LatchPolicy::SameAddress);
    assert_eq!(
        speak(&mut world, "198.51.100.20:50000", &mut Source::new(1), 5),
        5
    );
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(3), 5), 5);
    assert_eq!(world.latched(Side::A).as_deref(), Some(CARRIER));
    assert_eq!(
        speak(&mut world, "198.51.100.20:50000", &mut Source::new(1), 5),
        0
    );
}

#[test]
fn strict_takes_the_described_address_and_port_only() {
    let mut world = world(LatchPolicy::Strict);
    let mut source = Source::new(1);
    assert_eq!(speak(&mut world, "198.51.100.20:50000", &mut source, 5), 0);
    world.pass(10 * RELATCH_SILENCE);
    assert_eq!(speak(&mut world, CARRIER, &mut source, 5), 5);
    world.pass(10 * RELATCH_SILENCE);
    assert_eq!(speak(&mut world, "198.51.100.20:50000", &mut source, 5), 0);
}

/// A stranger who sprays before, during and after the latch is never heard and never answered.
#[track_caller]
fn check_stranger_is_deaf_and_dumb(outside: SideConfig, peer: &str) {
    let mut world = World::described(outside, config(PBX));
    let (mut peers, mut strangers, mut pbx) = (Source::new(1), Source::new(66), Source::new(2));
    for round in 0..200 {
        world.pass(PACKET_TIME / 2);
        // Three for one, and first.
        for _ in 0..3 {
            assert_eq!(world.rtp(Side::A, STRANGER, &strangers.packet()), None);
        }
        if round >= 5 {
            assert_eq!(
                world.rtp_to(Side::A, peer, &peers.packet()).as_deref(),
                Some(PBX)
            );
        }
        let to = world
            .rtp_to(Side::B, PBX, &pbx.packet())
            .expect("the PBX is heard");
        assert_ne!(to, STRANGER);
        world.pass(PACKET_TIME / 2);
    }
    // The peer falls silent: the stranger is still nobody.
    for _ in 0..200 {
        world.pass(PACKET_TIME);
        assert_eq!(world.rtp(Side::A, STRANGER, &strangers.packet()), None);
    }
    assert_eq!(world.drops(Side::A, DropReason::ForeignSource), 800);
    assert_eq!(world.latched(Side::A).as_deref(), Some(peer));
}

#[test]
fn rtp_inject_fails_before_during_and_after_the_latch_es2025_01() {
    check_stranger_is_deaf_and_dumb(config(CARRIER), CARRIER);
    check_stranger_is_deaf_and_dumb(config(CARRIER), "198.51.100.20:50000");
    let strict = SideConfig {
        latch: LatchPolicy::Strict,
        ..config(CARRIER)
    };
    check_stranger_is_deaf_and_dumb(strict, CARRIER);
}

#[test]
fn a_bleed_probe_learns_nothing_from_any_port() {
    let mut world = World::plain();
    let mut probe = Source {
        ssrc: 0,
        sequence: 0,
        timestamp: 0,
        payload_type: 0,
    };
    for socket in 0..64 {
        let socket = ringfence_media::SocketIndex::new(socket);
        assert_eq!(world.datagram(socket, STRANGER, &probe.packet()), None);
    }
    let counters = *world.plane.counters();
    // Two RTP ports of the stream, two RTCP ports of it, and 60 ports without one.
    assert_eq!(counters.dropped(DropReason::ForeignSource), 2);
    assert_eq!(counters.dropped(DropReason::Malformed), 2);
    assert_eq!(counters.dropped(DropReason::NoStream), 60);
}

#[test]
fn a_probe_does_not_latch_by_its_host_alone() {
    let mut world = world(LatchPolicy::SameAddress);
    let mut probe = Source {
        ssrc: 0,
        sequence: 0,
        timestamp: 0,
        payload_type: 0,
    };
    assert_eq!(speak(&mut world, "198.51.100.20:50000", &mut probe, 10), 0);
    assert_eq!(world.latched(Side::A), None);
    // From the described address SSRC 0 is as good as any.
    assert_eq!(speak(&mut world, CARRIER, &mut probe, 10), 10);
}

#[test]
fn nothing_is_accepted_before_a_side_is_described() {
    let mut world = World::new();
    world.configure(Side::B, config(PBX));
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(1), 5), 0);
    assert_eq!(world.drops(Side::A, DropReason::NoStream), 5);
    // And the described side has nowhere to send to.
    assert_eq!(world.rtp(Side::B, PBX, &Source::new(2).packet()), None);
    assert_eq!(world.drops(Side::B, DropReason::NoDestination), 1);
}

#[test]
fn a_phone_behind_nat_latches_after_two_packets_in_sequence_rfc3550_a_1() {
    let mut world = World::described(phone(None), config(PBX));
    assert_eq!(speak(&mut world, PHONE, &mut Source::new(1), 10), 9);
    assert_eq!(world.drops(Side::A, DropReason::Probation), 1);
    let to = world.rtp_to(Side::B, PBX, &Source::new(2).packet());
    assert_eq!(to.as_deref(), Some(PHONE));
}

#[test]
fn single_packets_from_many_places_never_latch() {
    let mut world = World::described(phone(None), config(PBX));
    for port in 1..500 {
        let from = format!("203.0.113.66:{port}");
        assert_eq!(world.rtp(Side::A, &from, &Source::new(66).packet()), None);
        let mut probe = Source {
            ssrc: 0,
            sequence: 0,
            timestamp: 0,
            payload_type: 0,
        };
        assert_eq!(speak(&mut world, &from, &mut probe, 0), 0);
    }
    assert_eq!(world.latched(Side::A), None);
}

#[test]
fn a_phone_is_believed_at_once_from_where_it_signals() {
    let mut world = World::described(phone(Some("198.51.100.77")), config(PBX));
    assert_eq!(speak(&mut world, PHONE, &mut Source::new(1), 10), 10);
}

#[test]
fn a_phone_takes_its_latch_back_from_a_stranger_who_was_first() {
    let mut world = World::described(phone(Some("198.51.100.77")), config(PBX));
    let mut stranger = Source::new(66);
    assert_eq!(speak(&mut world, STRANGER, &mut stranger, 10), 9);
    assert_eq!(speak(&mut world, PHONE, &mut Source::new(1), 10), 10);
    assert_eq!(speak(&mut world, STRANGER, &mut stranger, 10), 0);
    let to = world.rtp_to(Side::B, PBX, &Source::new(2).packet());
    assert_eq!(to.as_deref(), Some(PHONE));
}

#[test]
fn after_the_window_no_stranger_latches_but_the_phones_host_does() {
    let mut world = World::described(phone(Some("198.51.100.77")), config(PBX));
    world.pass(LATCH_WINDOW);
    assert_eq!(speak(&mut world, STRANGER, &mut Source::new(66), 50), 0);
    assert_eq!(speak(&mut world, PHONE, &mut Source::new(1), 50), 50);
}

#[test]
fn the_window_opens_when_both_sides_are_described_and_not_while_it_rings() {
    let mut world = World::new();
    world.configure(Side::A, phone(None));
    assert_eq!(speak(&mut world, STRANGER, &mut Source::new(66), 50), 0);
    world.pass(Duration::from_secs(60));
    world.configure(Side::B, config(PBX));
    assert_eq!(speak(&mut world, PHONE, &mut Source::new(1), 50), 49);
}

#[test]
fn a_latched_phone_is_not_displaced_by_a_stranger_in_the_window() {
    let mut world = World::described(phone(None), config(PBX));
    let (mut source, mut stranger) = (Source::new(1), Source::new(66));
    assert_eq!(speak(&mut world, PHONE, &mut source, 5), 4);
    for _ in 0..500 {
        assert_eq!(speak(&mut world, STRANGER, &mut stranger, 1), 0);
        assert_eq!(speak(&mut world, PHONE, &mut source, 1), 1);
    }
}

#[test]
fn a_new_description_moves_the_media_and_shuts_the_old_source_out_rfc3264_8_3_1() {
    let mut world = World::plain();
    let mut source = Source::new(1);
    assert_eq!(speak(&mut world, CARRIER, &mut source, 10), 10);

    let moved = "198.51.100.21:44000";
    world.configure(Side::A, config(moved));
    let to = world.rtp_to(Side::B, PBX, &Source::new(2).packet());
    assert_eq!(to.as_deref(), Some(moved));
    assert_eq!(speak(&mut world, CARRIER, &mut source, 10), 0);
    assert_eq!(speak(&mut world, moved, &mut Source::new(3), 10), 10);
    assert_eq!(world.plane.stats(world.stream).unwrap().a.ssrc_changes, 1);
}

#[test]
fn a_description_repeated_keeps_the_latch() {
    let mut world = World::described(phone(None), config(PBX));
    let mut source = Source::new(1);
    assert_eq!(speak(&mut world, PHONE, &mut source, 10), 9);
    world.configure(Side::A, phone(None));
    assert_eq!(speak(&mut world, PHONE, &mut source, 10), 10);
    assert_eq!(speak(&mut world, STRANGER, &mut Source::new(66), 10), 0);
}

#[test]
fn a_rebound_nat_is_followed_after_a_second_if_the_numbering_goes_on() {
    let mut world = World::described(phone(Some("198.51.100.77")), config(PBX));
    let mut source = Source::new(1);
    assert_eq!(speak(&mut world, PHONE, &mut source, 400), 400);

    let rebound = "198.51.100.77:62000";
    let passed = speak(&mut world, rebound, &mut source, 100);
    assert_eq!(passed, 51, "refused for a second, then heard");
    let to = world.rtp_to(Side::B, PBX, &Source::new(2).packet());
    assert_eq!(to.as_deref(), Some(rebound));
}

#[test]
fn a_neighbour_of_a_silent_phone_cannot_guess_its_numbering() {
    let mut world = World::described(phone(None), config(PBX));
    let mut source = Source::new(0xdead_beef);
    assert_eq!(speak(&mut world, PHONE, &mut source, 400), 399);
    world.pass(10 * RELATCH_SILENCE);

    let neighbour = "198.51.100.77:1024";
    let other_source = Source {
        ssrc: 66,
        ..source.clone()
    };
    let other_number = Source {
        sequence: source.sequence.wrapping_add(20_000),
        ..source.clone()
    };
    let old_number = Source {
        sequence: source.sequence.wrapping_sub(50),
        ..source.clone()
    };
    for mut guess in [other_source, other_number, old_number] {
        assert_eq!(speak(&mut world, neighbour, &mut guess, 40), 0);
    }
    // Not even with the right numbers from another host.
    assert_eq!(speak(&mut world, STRANGER, &mut source.clone(), 40), 0);
    assert_eq!(speak(&mut world, PHONE, &mut source, 5), 5);
}

#[test]
fn a_silent_latch_goes_back_to_the_described_address() {
    let mut world = world(LatchPolicy::SameAddress);
    assert_eq!(
        speak(&mut world, "198.51.100.20:50000", &mut Source::new(1), 400),
        400
    );
    world.pass(LATCH_WINDOW);
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(3), 5), 5);
}

#[test]
fn the_source_may_change_its_ssrc_and_it_is_counted() {
    let mut world = World::plain();
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(1), 5), 5);
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(3), 5), 5);
    assert_eq!(world.plane.stats(world.stream).unwrap().a.ssrc_changes, 1);
}

#[test]
fn a_hold_by_address_sends_nothing_anywhere_rfc3264_8_4() {
    let mut world = World::plain();
    assert_eq!(speak(&mut world, CARRIER, &mut Source::new(1), 5), 5);
    world.configure(Side::A, config("0.0.0.0:40000"));
    assert_eq!(world.rtp(Side::B, PBX, &Source::new(2).packet()), None);
    assert_eq!(world.drops(Side::B, DropReason::NoDestination), 1);
    assert_eq!(speak(&mut world, STRANGER, &mut Source::new(66), 5), 0);
}

#[test]
fn a_description_that_names_our_own_ports_is_refused() {
    let mut world = World::plain();
    for side in Side::BOTH {
        let own = world.plane.local_addr(world.stream, side).unwrap();
        for port in [own.port(), own.port() + 1] {
            let config = SideConfig {
                remote: Some((own.ip(), port).into()),
                ..config(CARRIER)
            };
            let refused = world
                .plane
                .configure_side(world.now, world.stream, Side::A, config);
            assert!(refused.is_err(), "{own} {port}");
        }
    }
    // Another stream's ports are a call that comes back through us: fine.
    let other = world
        .plane
        .open_stream(world.now, crate::kit::OUTSIDE, crate::kit::INSIDE);
    let other = world.plane.local_addr(other.unwrap(), Side::A).unwrap();
    world.configure(
        Side::A,
        SideConfig {
            remote: Some(other),
            ..config(CARRIER)
        },
    );
    assert_eq!(
        world
            .rtp(Side::B, PBX, &Source::new(2).packet())
            .unwrap()
            .to,
        other
    );
}

#[test]
fn ipv6_and_ipv4_are_bridged() {
    let six = "[2001:db8::20]:40000";
    let mut world = World::described(config(six), config(PBX));
    assert_eq!(
        world
            .rtp_to(Side::A, six, &Source::new(1).packet())
            .as_deref(),
        Some(PBX)
    );
    assert_eq!(
        world
            .rtp(Side::B, PBX, &Source::new(2).packet())
            .unwrap()
            .to,
        addr(six)
    );
    assert_eq!(
        speak(&mut world, "[2001:db8::66]:40000", &mut Source::new(66), 5),
        0
    );
}
