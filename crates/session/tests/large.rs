//! Requests that are too large for a datagram.

mod support;

use std::time::Duration;

use ringfence_base::Flow;
use ringfence_base::net::Transport;
use ringfence_session::core::Input;
use ringfence_session::large::LargeRequests;
use ringfence_session::plan::Plan;
use ringfence_sip::HeaderName;
use support::*;

/// The PBX calls out with a session description of more than 1300 bytes; the INVITE to the carrier.
fn large_call(change: impl FnOnce(&mut Plan)) -> (World, Caller, Sent) {
    let mut world = World::with(change);
    let mut caller = Caller::new(PBX, "+15550001111");
    let more = "a=fmtp:101 0-15,66,70,80,90,100\r\n".repeat(40);
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 7000, &more)));
    world.deliver(PBX, &invite);
    world.take(PBX, "100");
    let invite = world.take(CARRIER, "INVITE");
    assert!(invite.text.len() > 1300);
    (world, caller, invite)
}

fn via(sent: &Sent) -> String {
    sent.header(HeaderName::Via)
}

fn refuse_tcp(world: &mut World) {
    let flow = Flow {
        transport: Transport::Tcp,
        ..Flow::udp(OUTSIDE, CARRIER.parse().unwrap())
    };
    world.input(Input::TransportFailed { flow });
}

#[test]
fn a_request_over_1300_bytes_goes_over_tcp_and_the_dialog_stays_with_udp_rfc3261_18_1_1() {
    let (mut world, mut caller, invite) = large_call(|plan| {
        plan.listeners[0].tcp = Some("203.0.113.10:5070".parse().unwrap());
    });
    assert!(
        via(&invite).starts_with("SIP/2.0/TCP 203.0.113.10:5070;"),
        "{invite:?}"
    );
    let contact = invite.header(HeaderName::Contact);
    assert_eq!(contact, "<sip:203.0.113.10:5060>");
    let answer = sdp("198.51.100.21", 9000, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    let ack = world.take(CARRIER, "ACK");
    assert!(via(&ack).starts_with("SIP/2.0/UDP 203.0.113.10:5060;"));
    caller.learn(&world.take(PBX, "200"));
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    let bye = caller.request("BYE", None);
    world.deliver(PBX, &bye);
    world.take(PBX, "200");
    let bye = world.take(CARRIER, "BYE");
    assert!(
        via(&bye).starts_with("SIP/2.0/UDP"),
        "a small one is a datagram"
    );
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    assert_eq!(world.core.counters().large_requests, 1);
    world.all_over();
}

#[test]
fn a_refused_connection_brings_it_over_udp_and_is_remembered_rfc3261_18_1_1() {
    let (mut world, _, invite) = large_call(|_| {});
    refuse_tcp(&mut world);
    let again = world.take(CARRIER, "INVITE");
    let branch = |sent: &Sent| via(sent).split_once(";branch=").unwrap().1.to_owned();
    assert_eq!(branch(&again), branch(&invite));
    assert!(via(&again).starts_with("SIP/2.0/UDP 203.0.113.10:5060;"));
    world.deliver(CARRIER, &again.answer("486 Busy Here", CARRIER, None));
    world.take(CARRIER, "ACK");
    world.take(PBX, "486");

    let mut second = Caller::new(PBX, "+15550002222");
    let more = "a=fmtp:101 0-15,66,70,80,90,100\r\n".repeat(40);
    let invite = second.request("INVITE", Some(&sdp("192.0.2.11", 7100, &more)));
    world.deliver(PBX, &invite);
    assert!(via(&world.take(CARRIER, "INVITE")).starts_with("SIP/2.0/UDP"));
    let counters = world.core.counters();
    assert_eq!(
        (counters.large_requests, counters.large_requests_over_udp),
        (1, 1)
    );
}

#[test]
fn a_second_of_silence_over_tcp_brings_it_over_udp() {
    let (mut world, _, _) = large_call(|_| {});
    world.pass(Duration::from_millis(999));
    world.nothing_sent();
    world.pass(Duration::from_millis(1));
    assert!(via(&world.take(CARRIER, "INVITE")).starts_with("SIP/2.0/UDP"));
}

#[test]
fn policy_or_a_listener_without_tcp_keeps_it_in_datagrams() {
    let (_, _, invite) = large_call(|plan| {
        plan.peers[0].methods.large_requests = LargeRequests::Udp;
    });
    assert!(via(&invite).starts_with("SIP/2.0/UDP"));
    let (_, _, invite) = large_call(|plan| plan.listeners[0].tcp = None);
    assert!(via(&invite).starts_with("SIP/2.0/UDP"));
}
