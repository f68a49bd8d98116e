//! Calls of phones that register here: to and from the trunk, the phone system, each other.

mod support;

use std::time::Duration;

use ringfence_base::{ConnectionId, Flow, Transport, WorkerIndex};
use ringfence_session::cdr::Direction;
use ringfence_session::core::Input;
use ringfence_session::refusal::RefusalReason;
use ringfence_sip::{HeaderName, Index};
use support::phone::*;
use support::*;

fn world() -> World {
    World::with(with_phones)
}

/// A phone's INVITE, not yet with credentials.
fn invite(phone: &mut Phone, called: &str) -> String {
    phone.call_id = format!("call-{called}");
    let uri = format!("sip:{called}@{REALM}");
    let more = format!("Contact: {}\r\n", phone.contact);
    let body = sdp("10.9.8.7", 4000, "");
    phone.request("INVITE", &uri, &format!("<{uri}>"), &more, Some(&body))
}

/// Calls, answers the challenge with its ACK, and expects 100.
#[track_caller]
fn call(world: &mut World, phone: &mut Phone, called: &str) {
    let request = invite(phone, called);
    let trying = phone.send(world, &request);
    assert!(trying.is("100"), "{trying:#?}");
}

/// Calls and expects a refusal.
#[track_caller]
fn check_refused(called: &str, status: &str, reason: RefusalReason) {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, called);
    let answer = phone.send(&mut world, &request);
    assert!(answer.is(status), "{answer:#?}");
    assert_eq!(world.core.counters().refused[reason as usize], 1);
}

/// What a callee was sent shows nothing of the phone but its number.
#[track_caller]
fn hides_the_phone(sent: &Sent) {
    for secret in [
        "10.9.8.7",
        "198.18.0.5",
        "phonetag",
        "call-",
        "Phone 1.0",
        "summit.example",
    ] {
        assert!(!sent.text.contains(secret), "{secret} in {sent:#?}");
    }
}

#[test]
fn a_phone_calls_out_through_the_trunk_with_a_number_of_its_site() {
    for (from, user, number) in [
        (ALICE, "alice", "+13305550107"),
        (BOB, "bob", "+13305550100"),
    ] {
        let mut world = world();
        let mut phone = Phone::registered(from, user, &mut world);
        call(&mut world, &mut phone, "+15550001111");
        let sent = world.take(CARRIER, "INVITE");
        let from_header = sent.header(HeaderName::From);
        assert!(
            from_header.contains(&format!("<sip:{number}@203.0.113.10>")),
            "{from_header}"
        );
        let asserted = sent.header(HeaderName::PAssertedIdentity);
        assert_eq!(asserted, format!("<sip:{number}@203.0.113.10>"));
        hides_the_phone(&sent);
        let answer = sent.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 7000, "")));
        world.deliver(CARRIER, &answer);
        world.take(CARRIER, "ACK");
        let ok = world.take(from, "200");
        assert!(ok.body().contains("203.0.113.10"));
        assert_eq!(world.core.calls()[0].direction, Direction::Outbound);
    }
}

#[test]
fn what_a_phone_claims_to_be_does_not_cross_rfc3325_5() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "+15550001111").replace(
        "Contact:",
        "P-Asserted-Identity: <sip:+19998887777@evil.example>\r\nContact:",
    );
    let request = request.replace("From: <sip:alice@", "From: <sip:+19998887777@");
    phone.send(&mut world, &request);
    let sent = world.take(CARRIER, "INVITE");
    assert!(!sent.text.contains("9998887777"), "{sent:#?}");
}

#[test]
fn the_trunk_reaches_the_phone_that_has_the_number_over_its_flow() {
    let mut world = world();
    Phone::registered(ALICE, "alice", &mut world);
    let mut caller = Caller::new(CARRIER, "+13305550107");
    let request = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &request);
    world.take(CARRIER, "100");
    // To the address that the REGISTER came from, with the URI that it named (RFC 3581, §10.3).
    let sent = world.take(ALICE, "INVITE");
    assert_eq!(sent.request_uri(), "sip:alice@10.9.8.7:5062");
    assert!(!sent.text.contains("198.51.100"), "{sent:#?}");
    let body = sdp("10.9.8.7", 4000, "");
    world.deliver(ALICE, &sent.answer("200 OK", "10.9.8.7:5062", Some(&body)));
    let ack = world.take(ALICE, "ACK");
    assert_eq!(ack.request_uri(), "sip:callee@10.9.8.7:5062");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    let ack = caller.request("ACK", None);
    world.deliver(CARRIER, &ack);
    assert_eq!(world.core.calls()[0].direction, Direction::Inbound);
    // The phone hangs up, from another port of its NAT.
    let bye = format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.8.7:5062;branch=z9hG4bKbye1;rport\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        sent.header(HeaderName::Contact).trim_matches(['<', '>']),
        sent.header(HeaderName::To),
        sent.header(HeaderName::From),
        sent.header(HeaderName::CallId),
    );
    // From another house the same BYE is nobody's.
    world.deliver(STRANGER, &bye);
    assert!(world.sent.drain(..).all(|sent| sent.is("481")));
    world.deliver("198.18.0.5:40999", &bye);
    world.take("198.18.0.5:40999", "200");
    world.take(CARRIER, "BYE");
    assert_eq!(world.core.calls().len(), 0);
}

#[test]
fn a_number_without_a_phone_goes_to_the_phone_system() {
    let mut world = world();
    let mut caller = Caller::new(CARRIER, "+13305550101");
    let request = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &request);
    world.take(PBX, "INVITE");
}

#[test]
fn a_trunk_reaches_phones_by_number_never_by_name() {
    let mut world = world();
    Phone::registered(ALICE, "alice", &mut world);
    let mut caller = Caller::new(CARRIER, "alice");
    let request = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &request);
    world.take(CARRIER, "404");
}

#[test]
fn phones_call_each_other_and_the_phone_system_and_it_calls_them() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let mut bob = Phone::registered(BOB, "bob", &mut world);
    call(&mut world, &mut alice, "bob");
    let sent = world.take(BOB, "INVITE");
    assert!(
        sent.header(HeaderName::From)
            .contains("<sip:alice@203.0.113.10>")
    );
    for secret in ["10.9.8.7:4000", "198.18.0.5", "phonetagalice", "call-bob"] {
        assert!(!sent.text.contains(secret), "{secret} in {sent:#?}");
    }
    assert_eq!(world.core.calls()[0].direction, Direction::Internal);
    call(&mut world, &mut bob, "201");
    let sent = world.take(PBX, "INVITE");
    assert!(sent.request_uri().starts_with("sip:201@"));
    let mut desk = Caller::new(PBX, "bob");
    let request = desk.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &request);
    assert_eq!(
        world.take(BOB, "INVITE").request_uri(),
        "sip:bob@10.9.8.7:5062"
    );
    assert_eq!(world.core.calls().len(), 3);
}

#[test]
fn who_is_not_registered_is_480_and_who_is_nobody_404() {
    check_refused("bob", "480", RefusalReason::Unregistered);
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.peers
            .retain(|peer| peer.kind != ringfence_session::plan::PeerKind::Pbx);
        plan.phones.clear();
        plan.peers.truncate(1);
        with_phones(plan);
    });
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "carol");
    assert!(phone.send(&mut world, &request).is("404"));
}

#[test]
fn a_registration_that_ended_rings_no_more() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let mut bob = Phone::registered(BOB, "bob", &mut world);
    world.pass(Duration::from_secs(3601));
    let request = invite(&mut alice, "bob");
    assert!(alice.send(&mut world, &request).is("480"));
    let again = bob.register_contact("600").replace("call-", "register-");
    bob.send(&mut world, &again);
    call(&mut world, &mut alice, "bob");
    world.take(BOB, "INVITE");
}

#[test]
fn an_emergency_call_of_a_phone_passes_every_limit() {
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.sites[0].channels = 1;
        plan.peers[0].channels = 1;
        plan.peers[2].channels = 1;
    });
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    call(&mut world, &mut phone, "+15550001111");
    world.take(CARRIER, "INVITE");
    let request = invite(&mut phone, "+15550002222");
    assert!(phone.send(&mut world, &request).is("503"));
    world.input(Input::Drain);
    call(&mut world, &mut phone, "911");
    let sent = world.take(CARRIER, "INVITE");
    assert!(sent.request_uri().starts_with("sip:911@"), "{sent:#?}");
}

#[test]
fn a_phone_that_hides_its_number_shows_it_to_whoever_helps() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    for (called, hidden) in [("+15550001111", true), ("911", false)] {
        let request = invite(&mut phone, called).replacen("CSeq:", "Privacy: id\r\nCSeq:", 1);
        phone.send(&mut world, &request);
        let sent = world.take(CARRIER, "INVITE");
        let from = sent.header(HeaderName::From);
        assert_eq!(from.contains("anonymous.invalid"), hidden, "{from}");
    }
}

#[test]
fn a_to_tag_opens_no_way_around_the_challenge() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "+15550001111");
    let tagged = request.replacen(
        &format!("To: <sip:+15550001111@{REALM}>"),
        &format!("To: <sip:+15550001111@{REALM}>;tag=000000000000000000000000"),
        1,
    );
    world.deliver(ALICE, &tagged);
    world.take(ALICE, "481");
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 0);
}

#[test]
fn a_registered_flow_does_not_excuse_an_invite_from_its_credentials() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "+15550001111");
    world.deliver(ALICE, &request);
    world.take(ALICE, "407");
    // Its ACK belongs to nothing that we keep.
    let ack = request.replace("INVITE", "ACK");
    world.deliver(ALICE, &ack);
    world.nothing_sent();
}

#[test]
fn credentials_for_one_number_do_not_call_another_rfc7616_3_4_6() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "+15550001111");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "407");
    let again = phone.answer(&request, &challenge, 1);
    let aimed = again.replacen("INVITE sip:+15550001111@", "INVITE sip:+19001234567@", 1);
    world.deliver(ALICE, &aimed);
    world.take(ALICE, "407");
    assert_eq!(world.core.calls().len(), 0);
}

#[test]
fn a_cancel_and_its_retransmission_are_both_answered_200_rfc3261_9_2() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = invite(&mut phone, "+15550001111");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "407");
    let again = phone.answer(&request, &challenge, 1);
    world.deliver(ALICE, &again);
    world.take(ALICE, "100");
    let out = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &out.answer("180 Ringing", CARRIER, None));
    world.take(ALICE, "180");
    let head = again.split("Content-Type").next().unwrap();
    let cancel = format!(
        "{}Content-Length: 0\r\n\r\n",
        head.replace("INVITE", "CANCEL")
    );
    let cancel = cancel.replace("Allow: CANCEL", "Allow: INVITE");
    world.deliver(ALICE, &cancel);
    world.take(ALICE, "200");
    world.take(ALICE, "487");
    world.take(CARRIER, "CANCEL");
    world.deliver(ALICE, &cancel);
    world.take(ALICE, "200");
    world.nothing_sent();
}

#[test]
fn a_call_goes_over_the_connection_that_registered_and_not_over_a_closed_one_rfc5626_5_3() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let connection = ConnectionId {
        worker: WorkerIndex::new(0),
        slot: 3,
        generation: 9,
    };
    let flow = Flow {
        transport: Transport::Tls,
        connection: Some(connection),
        ..Flow::udp(OUTSIDE, BOB.parse().unwrap())
    };
    let mut bob = Phone::new(BOB, "bob");
    let request = bob.register_contact("600");
    let over = |world: &mut World, text: &str| {
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        world.input(Input::Message {
            flow,
            message: &message,
            tls_names: &[],
        });
    };
    over(&mut world, &request);
    let challenge = world.take(BOB, "401");
    let again = bob.answer(&request, &challenge, 1);
    over(&mut world, &again);
    world.take(BOB, "200");
    call(&mut world, &mut alice, "bob");
    let sent = world.take(BOB, "INVITE");
    assert!(
        sent.header(HeaderName::Via).starts_with("SIP/2.0/TLS "),
        "{sent:#?}"
    );
    assert!(
        sent.body().contains("RTP/SAVP"),
        "keys go over TLS only, and there they do"
    );
    world.input(Input::ConnectionClosed { connection });
    world.sent.clear();
    let request = invite(&mut alice, "bob").replace("call-bob", "call-again");
    assert!(alice.send(&mut world, &request).is("480"));
}

#[test]
fn a_gruu_rings_the_one_device_that_it_names_rfc5627_5_1() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let mut first = Phone::new(BOB, "bob");
    let with = |instance: &str, port: u16| {
        format!("Contact: <sip:bob@10.9.8.7:{port}>;+sip.instance=\"<urn:uuid:{instance}>\"\r\n")
    };
    let request = first.register(&with("one", 5062));
    assert!(first.send(&mut world, &request).is("200"));
    world.pass(Duration::from_secs(1));
    let request = first.register(&with("two", 5063));
    assert!(first.send(&mut world, &request).is("200"));
    call(&mut world, &mut alice, "bob");
    let both = [(); 2].map(|()| world.take(BOB, "INVITE"));
    assert_eq!(both[0].request_uri(), "sip:bob@10.9.8.7:5063");
    world.nothing_sent();
    let request = invite(&mut alice, "bob");
    let request = request
        .replacen(
            &format!("bob@{REALM}"),
            &format!("bob@{REALM};gr=urn:uuid:one"),
            1,
        )
        .replace("call-bob", "call-gruu");
    assert!(alice.send(&mut world, &request).is("100"));
    assert_eq!(
        world.take(BOB, "INVITE").request_uri(),
        "sip:bob@10.9.8.7:5062"
    );
}

#[test]
fn a_phone_transfers_its_call_by_its_own_routes_rfc3515() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    Phone::registered(BOB, "bob", &mut world);
    call(&mut world, &mut alice, "+15550001111");
    let out = world.take(CARRIER, "INVITE");
    let answer = out.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &answer);
    let ok = world.take(ALICE, "200");
    world.sent.clear();
    let inside = |method: &str, cseq: u32, more: &str| {
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.8.7:5062;branch=z9hG4bKin{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             {more}Content-Length: 0\r\n\r\n",
            ok.header(HeaderName::Contact).trim_matches(['<', '>']),
            ok.header(HeaderName::From),
            ok.header(HeaderName::To),
            ok.header(HeaderName::CallId),
        )
    };
    world.deliver(ALICE, &inside("ACK", alice.cseq, ""));
    let more = format!(
        "Contact: {}\r\nRefer-To: <sip:bob@{REALM}>\r\n",
        alice.contact
    );
    world.deliver(ALICE, &inside("REFER", alice.cseq + 1, &more));
    world.take(ALICE, "202");
    let to_bob = world.take(BOB, "INVITE");
    assert_eq!(to_bob.request_uri(), "sip:bob@10.9.8.7:5062");
}
