//! Sound of somebody else at the ports of a call.

mod support;

use std::time::Duration;

use ringfence_detect::finding::{Finding, Kind};
use ringfence_media::SocketIndex;
use ringfence_session::event::Event;
use ringfence_session::plan::MediaPolicy;
use support::*;

const TAIL: usize = 256;
const CALLEE: &str = "192.0.2.11:9000";
const STRANGER: &str = "203.0.113.66:4000";

fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xff; 160]);
    packet
}

/// Whether it was listened to.
fn send(world: &mut World, from: &str, socket: u32, bytes: &[u8]) -> bool {
    let mut buf = bytes.to_vec();
    buf.resize(bytes.len() + TAIL, 0);
    let (now, from) = (world.now, from.parse().unwrap());
    let plane = world.core.media_mut();
    plane
        .handle_packet(now, SocketIndex::new(socket), from, &mut buf, bytes.len())
        .is_some()
}

/// An answered call, and the socket that the callee sends its sound to.
fn answered(world: &mut World) -> (Caller, u32) {
    let (caller, invite) = world.answered_call();
    let port = invite
        .body()
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))
        .and_then(|rest| rest.split(' ').next())
        .and_then(|port| port.parse::<u32>().ok())
        .expect("a port");
    (caller, 1_000 + port - 30_000)
}

fn told(world: &World) -> impl Iterator<Item = &Finding> {
    world.events.iter().filter_map(|event| match event {
        Event::MediaAttacked { finding, .. } => Some(&**finding),
        _ => None,
    })
}

/// A call of ten seconds, in which the callee sends sound as long as `callee` says, and a stranger, to
/// the same port, whenever `stranger` says. What was found.
fn found(callee: impl Fn(u16) -> bool, stranger: impl Fn(u16) -> bool) -> Vec<Kind> {
    let mut world = World::new();
    let (mut caller, socket) = answered(&mut world);
    for number in 0..500 {
        world.pass(Duration::from_millis(20));
        if callee(number) {
            assert!(send(&mut world, CALLEE, socket, &packet(7, number)));
        }
        if stranger(number) {
            send(&mut world, STRANGER, socket, &packet(0, number));
        }
    }
    world.deliver(CARRIER, &caller.request("BYE", None));
    told(&world).map(|finding| finding.kind).collect()
}

#[test]
fn a_stranger_who_sends_sound_beside_the_callee_is_told() {
    assert_eq!(
        found(|_| true, |number| number % 2 == 0),
        [Kind::MediaAttack]
    );
}

#[test]
fn a_call_by_itself_stray_packets_and_a_callee_that_moves_are_not_told() {
    assert_eq!(found(|_| true, |_| false), []);
    assert_eq!(found(|_| true, |number| number % 20 == 0), []);
    for moved_at in [150, 250, 450] {
        let before = move |number| number < moved_at;
        assert_eq!(
            found(before, move |number| !before(number)),
            [],
            "{moved_at}"
        );
    }
}

#[test]
fn it_is_told_while_the_call_goes_on_and_the_callee_is_heard_throughout() {
    let mut world = World::new();
    let (_, socket) = answered(&mut world);
    for number in 0..1_000 {
        world.pass(Duration::from_millis(20));
        assert!(send(&mut world, CALLEE, socket, &packet(7, number)));
        assert!(!send(&mut world, STRANGER, socket, &packet(0, number)));
    }
    let finding = told(&world).next().expect("told before anybody hung up");
    let words = finding.explain();
    assert!(words.contains("of others at the same time"), "{words}");
}

#[test]
fn packets_written_into_a_stream_under_its_own_address_are_told_and_music_on_hold_is_not() {
    let changes_each = |packets: u16| {
        let mut world = World::new();
        let (mut caller, socket) = answered(&mut world);
        for number in 0..600 {
            world.pass(Duration::from_millis(20));
            let source = 7 + u32::from(number / packets % 2);
            send(&mut world, CALLEE, socket, &packet(source, number));
        }
        world.deliver(CARRIER, &caller.request("BYE", None));
        told(&world).map(Finding::explain).collect::<Vec<_>>()
    };
    let words = changes_each(2).join("; ");
    assert!(words.contains("synchronisation source"), "{words}");
    assert!(changes_each(200).is_empty());
}

#[test]
fn types_that_nobody_negotiated_are_told() {
    let mut world = World::new();
    let (mut caller, socket) = answered(&mut world);
    for number in 0..400 {
        world.pass(Duration::from_millis(20));
        send(&mut world, CALLEE, socket, &packet(7, number));
        let mut other = packet(7, number);
        other[1] = 77;
        assert!(!send(&mut world, CALLEE, socket, &other));
    }
    world.deliver(CARRIER, &caller.request("BYE", None));
    let words: Vec<String> = told(&world).map(Finding::explain).collect();
    assert!(
        words
            .iter()
            .any(|words| words.contains("of types nobody negotiated 400")),
        "{words:?}"
    );
}

#[test]
fn a_re_invite_that_would_drop_the_encryption_is_refused_and_told() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let plain = sdp("198.51.100.21", 7000, "");
    let keyed = plain.replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
           inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    world.deliver(CARRIER, &caller.request("INVITE", Some(&keyed)));
    let invite = world.take(PBX, "INVITE");
    let answer = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    caller.learn(&world.take(CARRIER, "200"));
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.take(PBX, "ACK");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&plain)));
    world.take(CARRIER, "488");
    let words: Vec<String> = told(&world).map(Finding::explain).collect();
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(words[0].contains("dropped by the caller"), "{words:?}");
}

/// A call out, of six seconds, of which the carrier's packets are lost that `lost` says.
fn call_out(world: &mut World, number: u16, lost: impl Fn(u16) -> bool) {
    let mut caller = Caller::new(PBX, "+15550001111");
    caller.call_id = format!("out-{number}");
    let offer = sdp("192.0.2.11", 9000, "");
    let unique = |text: String| text.replace("secretbranch", &format!("secretbranch{number}x"));
    world.deliver(PBX, &unique(caller.request("INVITE", Some(&offer))));
    let invite = world.take(CARRIER, "INVITE");
    let port = |message: &Sent| {
        let media = message
            .body()
            .lines()
            .find_map(|line| line.strip_prefix("m=audio "));
        let port = media.and_then(|rest| rest.split(' ').next());
        port.and_then(|port| port.parse::<u32>().ok())
            .expect("a port")
    };
    let answer = sdp("198.51.100.31", 7100, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    let ok = world.take(PBX, "200");
    caller.learn(&ok);
    world.deliver(PBX, &unique(caller.request("ACK", None)));
    world.take(CARRIER, "ACK");
    // Ports of the outside listener come first.
    let (outside, inside) = (port(&invite) - 30_000, 1_000 + port(&ok) - 30_000);
    for sequence in 0..300 {
        world.pass(Duration::from_millis(20));
        if !lost(sequence) {
            send(world, "198.51.100.31:7100", outside, &packet(9, sequence));
        }
        send(world, "192.0.2.11:9000", inside, &packet(7, sequence));
    }
    world.deliver(PBX, &unique(caller.request("BYE", None)));
    let bye = world.take(CARRIER, "BYE");
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.take(PBX, "200");
}

#[test]
fn a_trunk_whose_calls_have_holes_in_their_sound_is_told_and_one_bad_call_is_not() {
    let mut world = World::new();
    let mut said = Vec::new();
    for number in 0..16 {
        let bad = number == 0 || (4..9).contains(&number);
        call_out(&mut world, number, |sequence| bad && sequence % 5 == 4);
        said.extend(world.events.drain(..).filter_map(|event| match event {
            Event::TrunkSounds { trunk, finding } => Some((number, trunk, finding.explain())),
            _ => None,
        }));
    }
    assert_eq!(said.len(), 2, "{said:?}");
    let [(bad, trunk, why), (good, _, relief)] = &said[..] else {
        unreachable!()
    };
    // The first call, and four more: five of the last eight.
    assert_eq!((*bad, trunk.as_str()), (7, "carrier-a"));
    assert!(why.contains("sound is lost on its way here"), "{why}");
    assert!(
        *good > 10 && relief.contains("it works again"),
        "{good} {relief}"
    );
}
