//! Sound of somebody else at the ports of a call.

mod support;

use std::time::Duration;

use ringfence_detect::finding::Kind;
use ringfence_media::SocketIndex;
use ringfence_session::event::Event;
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

/// Whether it was let through.
fn send(world: &mut World, from: &str, socket: u32, bytes: &[u8]) -> bool {
    let mut buf = bytes.to_vec();
    buf.resize(bytes.len() + TAIL, 0);
    let (now, from) = (world.now, from.parse().unwrap());
    let plane = world.core.media_mut();
    plane
        .handle_packet(now, SocketIndex::new(socket), from, &mut buf, bytes.len())
        .is_some()
}

/// A call of ten seconds, in which a stranger sends sound to the callee's port after each
/// `strangers`-th packet of the callee. What was found.
fn found(strangers: Option<u16>) -> Vec<Kind> {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let port = invite
        .body()
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))
        .and_then(|rest| rest.split(' ').next())
        .and_then(|port| port.parse::<u32>().ok())
        .expect("a port");
    let socket = 1_000 + port - 30_000;
    for number in 0..500 {
        world.pass(Duration::from_millis(20));
        send(&mut world, CALLEE, socket, &packet(7, number));
        if strangers.is_some_and(|each| number % each == 0) {
            assert!(!send(&mut world, STRANGER, socket, &packet(0, number)));
        }
    }
    world.deliver(CARRIER, &caller.request("BYE", None));
    let kinds = world.events.iter().filter_map(|event| match event {
        Event::MediaAttacked { finding, .. } => Some(finding.kind),
        _ => None,
    });
    kinds.collect()
}

#[test]
fn sound_of_a_stranger_beside_the_callees_own_is_told_and_none_passes() {
    assert_eq!(found(Some(2)), [Kind::MediaAttack]);
}

#[test]
fn a_call_by_itself_and_a_few_stray_packets_are_not_told() {
    assert_eq!(found(None), []);
    assert_eq!(found(Some(20)), []);
}
