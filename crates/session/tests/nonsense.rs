//! Peers that misbehave: each ends in a counted refusal, and no other call is touched.

mod support;

use std::time::Duration;

use ringfence_base::Flow;
use ringfence_session::core::Input;
use ringfence_session::plan::Network;
use ringfence_session::refusal::RefusalReason;
use ringfence_sip::HeaderName;
use support::*;

fn refused(world: &World, reason: RefusalReason) -> u64 {
    world.core.counters().refused[reason as usize]
}

/// The call that was up before still is: it ends by its BYE and nothing else.
#[track_caller]
fn is_untouched(world: &mut World, mut caller: Caller) {
    assert_eq!(world.core.counters().calls_active, 1);
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye);
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.nothing_sent();
    world.all_over();
}

#[test]
fn datagrams_of_nonsense_from_a_trunks_address_do_not_silence_the_trunk() {
    let mut world = World::new();
    let flow = Flow::udp(OUTSIDE, CARRIER.parse().unwrap());
    for _ in 0..5_000 {
        world.input(Input::Unparseable { flow });
    }
    assert_eq!(refused(&world, RefusalReason::Unparseable), 5_000);
    let (caller, _) = world.answered_call();
    is_untouched(&mut world, caller);
}

#[test]
fn answers_of_nonsense_are_counted_and_touch_no_other_call() {
    let mut world = World::new();
    let (caller, invite) = world.answered_call();
    let forged = invite.answer("200 OK", PBX, None);
    for nonsense in [
        // No CSeq, a CSeq of another method, a To without end, a branch of nobody, and a
        // whole answer that belongs to nothing.
        forged.replace("CSeq: ", "X-CSeq: "),
        forged.replace("INVITE\r\n", "SUBSCRIBE\r\n"),
        forged.replace("To: <sip:", "To: <<sip:"),
        forged.replace("branch=z9hG4bK", "branch=z9hG4bKx"),
        forged.replace("Call-ID: ", "Call-ID: x"),
    ] {
        world.deliver(PBX, &nonsense);
    }
    world.sent.clear();
    assert!(refused(&world, RefusalReason::Malformed) >= 2);
    is_untouched(&mut world, caller);
}

#[test]
fn a_peer_at_another_address_is_a_stranger_until_the_configuration_says_so() {
    let mut world = World::new();
    let (caller, _) = world.answered_call();
    let mut moved = Caller::new(CARRIER, "+13305550101");
    moved.from = "203.0.113.99:5060";
    let invite = moved.request("INVITE", Some(&sdp("203.0.113.99", 7000, "")));
    world.deliver("203.0.113.99:5060", &invite);
    world.nothing_sent();
    assert_eq!(refused(&world, RefusalReason::Stranger), 1);
    is_untouched(&mut world, caller);
}

#[test]
fn a_bye_for_the_call_from_another_address_of_its_peer_is_no_strangers() {
    let mut world = World::with(|plan| {
        let block = Network::new("198.51.100.0".parse().unwrap(), 24);
        plan.peers[0].accept = vec![block.unwrap()];
    });
    let (mut caller, _) = world.answered_call();
    let bye = caller.request("BYE", None);
    world.deliver(STRANGER, &bye);
    world.nothing_sent();
    assert_eq!(refused(&world, RefusalReason::Stranger), 1);
    // The carrier's block is its own: another of its servers may end the call.
    world.deliver("198.51.100.77:5060", &bye);
    world.take("198.51.100.77:5060", "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.all_over();
}

#[test]
fn a_hundred_transfers_at_once_are_refused_and_the_call_goes_on() {
    let mut world = World::new();
    let (caller, invite) = world.answered_call();
    let tag = invite.answer("200 OK", PBX, None);
    let to = tag.lines().find(|line| line.starts_with("To: ")).unwrap();
    let (from, to) = (invite.header(HeaderName::From), to[4..].to_owned());
    let call_id = invite.header(HeaderName::CallId);
    let mut answers = Vec::new();
    for number in 1..=100 {
        let refer = format!(
            "REFER sip:edge@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKr{number}\r\n\
             Max-Forwards: 70\r\nFrom: {to}\r\nTo: {from}\r\nCall-ID: {call_id}\r\n\
             CSeq: {number} REFER\r\nContact: <sip:callee@{PBX}>\r\n\
             Refer-To: <sip:nobody-{number}@192.0.2.2>\r\nContent-Length: 0\r\n\r\n"
        );
        world.deliver(PBX, &refer);
        answers.extend(world.sent.iter().filter(|sent| sent.is("SIP/2.0")).cloned());
        world.sent.retain(|sent| !sent.is("SIP/2.0"));
        assert!(
            world.core.counters().calls_active <= 2,
            "one new call at a time"
        );
    }
    assert_eq!(answers.len(), 100, "each has its answer");
    assert!(answers.iter().filter(|answer| answer.is("202")).count() < 100);
    world.pass(Duration::from_secs(1));
    world.sent.clear();
    let mut caller = caller;
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye);
    world.take(CARRIER, "200");
}

#[test]
fn a_header_of_a_kilobyte_kills_nothing() {
    let mut world = World::new();
    let (caller, _) = world.answered_call();
    let long = format!("Message-Account: sip:{}@{CARRIER}\r\n", "a".repeat(1024));
    let notify = Caller::new(CARRIER, "+13305550101").request("NOTIFY", None);
    world.deliver(
        CARRIER,
        &notify.replace("Max-Forwards", &format!("{long}Max-Forwards")),
    );
    let answered = world.sent.drain(..).count();
    assert!(answered <= 1);
    is_untouched(&mut world, caller);
}
