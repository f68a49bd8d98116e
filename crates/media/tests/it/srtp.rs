//! RTP and SRTP in every combination; what is not authentic changes nothing.

use ringfence_media::{
    ConfigureError, DropReason, Keying, LatchPolicy, PlaneError, REKEY_OVERLAP, RELATCH_SILENCE,
    Security, Side, SideConfig,
};
use ringfence_rtp::srtp::Suite;

use crate::kit::{
    CARRIER, PACKET_TIME, PBX, RTP_LEN, STRANGER, SUITES, SecurePeer, Source, World, config,
};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn secured(remote: &str, security: Security) -> SideConfig {
    SideConfig {
        security,
        ..config(remote)
    }
}

/// The carrier speaks SRTP, the PBX plain RTP.
fn world(policy: LatchPolicy) -> (World, SecurePeer) {
    world_under(SUITE, policy)
}

fn world_under(suite: Suite, policy: LatchPolicy) -> (World, SecurePeer) {
    let (peer, security) = SecurePeer::new(suite, 1);
    let outside = SideConfig {
        latch: policy,
        ..secured(CARRIER, security)
    };
    (World::described(outside, config(PBX)), peer)
}

#[test]
fn every_suite_is_bridged_to_plain_rtp_and_back() {
    for suite in SUITES {
        let (mut carrier, security) = SecurePeer::new(suite, 1);
        let mut world = World::described(secured(CARRIER, security), config(PBX));
        let (mut from_carrier, mut from_pbx) = (Source::new(1), Source::new(2));
        for _ in 0..100 {
            let plain = from_carrier.packet();
            let sent = world
                .rtp(Side::A, CARRIER, &carrier.protect(&plain))
                .unwrap();
            assert_eq!((sent.bytes, sent.to.to_string()), (plain, PBX.to_owned()));

            let plain = from_pbx.packet();
            let sent = world.rtp(Side::B, PBX, &plain).unwrap();
            assert_eq!(sent.bytes.len(), RTP_LEN + suite.rtp_tag_len());
            assert_eq!(carrier.unprotect(&sent.bytes), plain);
        }
        assert_eq!(
            world.plane.stats(world.stream).unwrap().a.suite,
            Some(suite)
        );
    }
}

#[test]
fn every_suite_is_bridged_to_every_other() {
    for (outer, inner) in SUITES.into_iter().flat_map(|a| SUITES.map(|b| (a, b))) {
        let (mut carrier, outside) = SecurePeer::new(outer, 1);
        let (mut pbx, inside) = SecurePeer::new(inner, 2);
        let mut world = World::described(secured(CARRIER, outside), secured(PBX, inside));
        let plain = Source::new(1).packet();
        let sent = world
            .rtp(Side::A, CARRIER, &carrier.protect(&plain))
            .unwrap();
        assert_eq!(pbx.unprotect(&sent.bytes), plain);
        let plain = Source::new(2).packet();
        let sent = world.rtp(Side::B, PBX, &pbx.protect(&plain)).unwrap();
        assert_eq!(carrier.unprotect(&sent.bytes), plain);
    }
}

#[test]
fn plain_rtp_and_forgeries_at_an_srtp_side_are_dropped_and_latch_nothing() {
    for policy in [
        LatchPolicy::SameAddress,
        LatchPolicy::Strict,
        LatchPolicy::Symmetric,
    ] {
        let (mut world, mut carrier) = world(policy);
        let (mut forger, _) = SecurePeer::new(SUITE, 99);
        let mut source = Source::new(1);
        for _ in 0..50 {
            assert_eq!(world.rtp(Side::A, CARRIER, &source.packet()), None);
            let forged = forger.protect(&source.packet());
            assert_eq!(world.rtp(Side::A, CARRIER, &forged), None);
        }
        assert_eq!(world.latched(Side::A), None);
        assert_eq!(world.plane.last_packet(world.stream, Side::A), None);
        assert_eq!(world.drops(Side::A, DropReason::AuthenticationFailed), 100);
        assert!(
            world
                .rtp(Side::A, CARRIER, &carrier.protect(&source.packet()))
                .is_some()
        );
    }
}

#[test]
fn a_phone_behind_nat_latches_with_its_first_authentic_packet() {
    let (mut world, mut phone) = world(LatchPolicy::Symmetric);
    let mut source = Source::new(1);
    let anywhere = "203.0.113.5:61000";
    for _ in 0..50 {
        world.pass(PACKET_TIME);
        assert_eq!(world.rtp(Side::A, STRANGER, &source.clone().packet()), None);
    }
    assert!(
        world
            .rtp(Side::A, anywhere, &phone.protect(&source.packet()))
            .is_some()
    );
    assert_eq!(
        world
            .rtp_to(Side::B, PBX, &Source::new(2).packet())
            .as_deref(),
        Some(anywhere)
    );
}

#[test]
fn a_captured_packet_replayed_from_elsewhere_does_not_move_the_latch() {
    let (mut world, mut phone) = world(LatchPolicy::Symmetric);
    let mut source = Source::new(1);
    let captured = phone.protect(&source.packet());
    assert!(world.rtp(Side::A, CARRIER, &captured).is_some());
    world.pass(10 * RELATCH_SILENCE);
    assert_eq!(world.rtp(Side::A, STRANGER, &captured), None);
    assert_eq!(world.drops(Side::A, DropReason::Replayed), 1);
    assert_eq!(world.latched(Side::A).as_deref(), Some(CARRIER));
}

#[test]
fn an_authentic_source_that_moved_is_followed_when_the_old_one_is_silent() {
    let (mut world, mut phone) = world(LatchPolicy::Symmetric);
    let mut source = Source::new(1);
    assert!(
        world
            .rtp(Side::A, CARRIER, &phone.protect(&source.packet()))
            .is_some()
    );
    let moved = "203.0.113.5:61000";
    assert_eq!(
        world.rtp(Side::A, moved, &phone.protect(&source.packet())),
        None
    );
    world.pass(RELATCH_SILENCE);
    assert!(
        world
            .rtp(Side::A, moved, &phone.protect(&source.packet()))
            .is_some()
    );
    assert_eq!(world.latched(Side::A).as_deref(), Some(moved));
}

#[test]
fn a_forger_costs_nothing_to_the_peers_rate() {
    let (mut world, mut carrier) = world(LatchPolicy::SameAddress);
    let (mut forger, _) = SecurePeer::new(SUITE, 99);
    let (mut source, mut forged) = (Source::new(1), Source::new(1));
    for _ in 0..200 {
        world.pass(PACKET_TIME);
        for _ in 0..20 {
            assert_eq!(
                world.rtp(Side::A, CARRIER, &forger.protect(&forged.packet())),
                None
            );
        }
        assert!(
            world
                .rtp(Side::A, CARRIER, &carrier.protect(&source.packet()))
                .is_some()
        );
    }
    assert_eq!(world.drops(Side::A, DropReason::Rate), 0);
}

#[test]
fn a_repeated_key_keeps_the_context_across_a_re_invite_rfc3711_9_1() {
    let (mut world, mut carrier) = world(LatchPolicy::SameAddress);
    let (mut from_carrier, mut from_pbx) = (Source::new(1), Source::new(2));
    from_carrier.sequence = 65_500;
    from_pbx.sequence = 65_500;
    let mut captured = Vec::new();
    let mut round = |world: &mut World| {
        for _ in 0..100 {
            world.pass(PACKET_TIME);
            let packet = carrier.protect(&from_carrier.packet());
            assert!(world.rtp(Side::A, CARRIER, &packet).is_some());
            captured = packet;
            let plain = from_pbx.packet();
            let sent = world.rtp(Side::B, PBX, &plain).unwrap();
            assert_eq!(carrier.unprotect(&sent.bytes), plain);
        }
    };
    round(&mut world);
    let keep = Security::Srtp {
        receive: Keying::Keep,
        send: Keying::Keep,
    };
    world.configure(Side::A, secured(CARRIER, keep));
    round(&mut world);
    assert_eq!(
        world.rtp(Side::A, CARRIER, &captured),
        None,
        "replays stay replays"
    );
}

#[test]
fn a_new_key_in_a_re_invite_shuts_the_old_one_out() {
    let (mut world, mut before) = world(LatchPolicy::SameAddress);
    let mut source = Source::new(1);
    assert!(
        world
            .rtp(Side::A, CARRIER, &before.protect(&source.packet()))
            .is_some()
    );
    let (mut after, security) = SecurePeer::new(SUITE, 2);
    world.configure(Side::A, secured(CARRIER, security));
    world.pass(REKEY_OVERLAP);
    assert_eq!(
        world.rtp(Side::A, CARRIER, &before.protect(&source.packet())),
        None
    );
    assert!(
        world
            .rtp(Side::A, CARRIER, &after.protect(&source.packet()))
            .is_some()
    );
    let sent = world.rtp(Side::B, PBX, &Source::new(2).packet()).unwrap();
    after.unprotect(&sent.bytes);
}

#[test]
fn one_key_may_change_and_the_other_stay() {
    let (mut world, mut before) = world(LatchPolicy::SameAddress);
    let (mut from_pbx, mut from_carrier) = (Source::new(2), Source::new(1));
    let sent = world.rtp(Side::B, PBX, &from_pbx.packet()).unwrap();
    before.unprotect(&sent.bytes);
    let (mut after, security) = SecurePeer::new(SUITE, 2);
    let Security::Srtp { receive, .. } = security else {
        panic!("it is SRTP")
    };
    world.configure(
        Side::A,
        secured(
            CARRIER,
            Security::Srtp {
                receive,
                send: Keying::Keep,
            },
        ),
    );
    assert!(
        world
            .rtp(Side::A, CARRIER, &after.protect(&from_carrier.packet()))
            .is_some()
    );
    let sent = world.rtp(Side::B, PBX, &from_pbx.packet()).unwrap();
    before.unprotect(&sent.bytes);
}

#[test]
fn there_must_be_a_key_to_keep() {
    let mut world = World::plain();
    for security in [
        Security::Srtp {
            receive: Keying::Keep,
            send: Keying::Keep,
        },
        {
            let (_, security) = SecurePeer::new(SUITE, 2);
            let Security::Srtp { receive, .. } = security else {
                panic!("it is SRTP")
            };
            Security::Srtp {
                receive,
                send: Keying::Keep,
            }
        },
    ] {
        let config = secured(CARRIER, security);
        assert_eq!(
            world
                .plane
                .configure_side(world.now, world.stream, Side::A, config),
            Err(PlaneError::Configure(ConfigureError::NoKeyToKeep))
        );
    }
}

#[test]
fn going_from_plain_to_srtp_forgets_who_latched_in_the_clear() {
    let plain = SideConfig {
        latch: LatchPolicy::Symmetric,
        ..config(CARRIER)
    };
    let mut world = World::described(plain, config(PBX));
    let mut stranger = Source::new(66);
    for _ in 0..2 {
        world.rtp(Side::A, STRANGER, &stranger.packet());
    }
    assert_eq!(world.latched(Side::A).as_deref(), Some(STRANGER));
    let (_, security) = SecurePeer::new(SUITE, 1);
    let secure = SideConfig {
        latch: LatchPolicy::Symmetric,
        ..secured(CARRIER, security)
    };
    world.configure(Side::A, secure);
    assert_eq!(world.latched(Side::A), None);
    assert_eq!(
        world
            .rtp_to(Side::B, PBX, &Source::new(2).packet())
            .as_deref(),
        Some(CARRIER)
    );
}

#[test]
fn an_srtp_sender_on_hold_keeps_its_packet_index_rfc3711_3_3_1() {
    use ringfence_media::Direction;
    let (mut world, mut carrier) = world_under(Suite::AeadAes128Gcm, LatchPolicy::SameAddress);
    let mut source = Source::new(1);
    let keep = || Security::Srtp {
        receive: Keying::Keep,
        send: Keying::Keep,
    };
    let hold = SideConfig {
        direction: Direction::RecvOnly,
        ..secured(CARRIER, keep())
    };
    world.configure(Side::A, hold);
    // More than a whole cycle of sequence numbers while on hold.
    for _ in 0..70_000 {
        world.pass(PACKET_TIME);
        assert_eq!(
            world.rtp(Side::A, CARRIER, &carrier.protect(&source.packet())),
            None
        );
    }
    world.configure(Side::A, secured(CARRIER, keep()));
    assert!(
        world
            .rtp(Side::A, CARRIER, &carrier.protect(&source.packet()))
            .is_some()
    );
}

#[test]
fn a_plain_sender_that_starts_its_numbers_again_is_heard_on_the_srtp_side() {
    let (mut world, mut carrier) = world(LatchPolicy::SameAddress);
    let mut heard = 0;
    for _ in 0..3 {
        let mut source = Source::new(2);
        for _ in 0..500 {
            world.pass(PACKET_TIME);
            if let Some(sent) = world.rtp(Side::B, PBX, &source.packet()) {
                carrier.unprotect(&sent.bytes);
                heard += 1;
            }
        }
    }
    assert_eq!(
        heard + world.drops(Side::B, DropReason::Unprotectable),
        1_500
    );
    assert!(heard >= 1_486, "{heard}");
}

#[test]
fn what_is_on_its_way_under_the_old_key_is_taken_for_a_while_rfc3711_8() {
    for suite in SUITES {
        let (mut world, mut old) = world_under(suite, LatchPolicy::SameAddress);
        let mut source = Source::new(1);
        assert!(
            world
                .rtp(Side::A, CARRIER, &old.protect(&source.packet()))
                .is_some()
        );
        let late = old.protect(&source.packet());
        let later = old.protect(&source.packet());
        let too_late = old.protect(&source.packet());

        let (mut new, security) = SecurePeer::new(suite, 2);
        world.configure(Side::A, secured(CARRIER, security));
        let plain = source.packet();
        let sent = world.rtp(Side::A, CARRIER, &new.protect(&plain)).unwrap();
        assert_eq!(sent.bytes, plain);
        assert!(world.rtp(Side::A, CARRIER, &late).is_some());
        // Not twice, under either key.
        assert!(world.rtp(Side::A, CARRIER, &late).is_none());
        world.pass(REKEY_OVERLAP / 2);
        assert!(world.rtp(Side::A, CARRIER, &later).is_some());
        world.pass(REKEY_OVERLAP / 2);
        assert!(world.rtp(Side::A, CARRIER, &too_late).is_none());
        assert!(
            world
                .rtp(Side::A, CARRIER, &new.protect(&source.packet()))
                .is_some()
        );

        // What the peer is sent is under the new key at once.
        let plain = Source::new(2).packet();
        let sent = world.rtp(Side::B, PBX, &plain).unwrap();
        assert_eq!(new.unprotect(&sent.bytes), plain);
    }
}

#[test]
fn whoever_leaves_with_the_old_key_does_not_come_back_with_it() {
    let (mut world, mut old) = world_under(SUITE, LatchPolicy::Symmetric);
    let mut source = Source::new(1);
    assert!(
        world
            .rtp(Side::A, CARRIER, &old.protect(&source.packet()))
            .is_some()
    );
    let (_, security) = SecurePeer::new(SUITE, 2);
    let elsewhere = SideConfig {
        latch: LatchPolicy::Symmetric,
        ..secured(STRANGER, security)
    };
    world.configure(Side::A, elsewhere);
    assert!(
        world
            .rtp(Side::A, CARRIER, &old.protect(&source.packet()))
            .is_none()
    );
    assert_eq!(world.drops(Side::A, DropReason::AuthenticationFailed), 1);
}
