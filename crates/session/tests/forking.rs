//! A phone user with several contacts: which of them ring, and who has the call.

mod support;

use std::time::Duration;

use ringfence_session::cdr::Outcome;
use ringfence_session::plan::MediaPolicy;
use ringfence_sip::HeaderName;
use support::phone::*;
use support::*;

/// Places of Bob's phones.
const DESK: &str = "198.18.0.6:40002";
const MOBILE: &str = "198.18.0.7:40003";
const HOME: &str = "198.18.0.8:40004";

/// A world in which Bob's phones at these places have registered, each with its `q`.
fn world(phones: &[(&'static str, &str)]) -> World {
    let mut world = World::with(with_phones);
    for (place, q) in phones {
        let mut phone = Phone::new(place, "bob");
        phone.contact = format!("<sip:bob@{place}>;q={q}");
        let request = phone.register_contact("3600");
        send(&mut world, &mut phone, &request);
        world.pass(Duration::from_secs(1));
    }
    world
}

/// Sends a REGISTER, under a branch that no other phone has.
#[track_caller]
fn send(world: &mut World, phone: &mut Phone, request: &str) {
    let own = format!("z9hG4bK{}", phone.from.replace(['.', ':'], ""));
    let answer = phone.send(world, &request.replace("z9hG4bKphone", &own));
    assert!(answer.is("200"), "{answer:#?}");
}

/// The PBX calls Bob.
fn call(world: &mut World) -> Caller {
    let mut desk = Caller::new(PBX, "bob");
    let request = desk.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &request);
    world.take(PBX, "100");
    desk
}

/// A response of the phone at `place`, under a tag of its own.
fn answer(invite: &Sent, place: &str, status: &str, body: Option<&str>) -> String {
    let tag = format!("tag=at{}", place.replace(['.', ':'], ""));
    invite
        .answer(status, place, body)
        .replace("tag=callee1", &tag)
}

fn accept(world: &mut World, invite: &Sent, place: &str) {
    let body = sdp("10.9.8.7", 4000, "");
    world.deliver(place, &answer(invite, place, "200 OK", Some(&body)));
}

fn fail(world: &mut World, invite: &Sent, place: &str, status: &str) {
    world.deliver(place, &answer(invite, place, status, None));
    world.take(place, "ACK");
}

/// The phone at `place` is cancelled, and says so.
#[track_caller]
fn cancelled(world: &mut World, invite: &Sent, place: &str) -> Sent {
    let cancel = world.take(place, "CANCEL");
    world.deliver(place, &cancel.answer("200 OK", place, None));
    fail(world, invite, place, "487 Request Terminated");
    cancel
}

#[test]
fn all_contacts_ring_and_the_first_to_answer_has_the_call_rfc3261_16_7() {
    let mut world = world(&[(DESK, "1.0"), (MOBILE, "1.0"), (HOME, "1")]);
    let mut caller = call(&mut world);
    let invites = [DESK, MOBILE, HOME].map(|place| world.take(place, "INVITE"));
    for (invite, place) in invites.iter().zip([DESK, MOBILE, HOME]) {
        assert_eq!(invite.request_uri(), format!("sip:bob@{place}"));
        assert_eq!(
            invite.header(HeaderName::CallId),
            invites[0].header(HeaderName::CallId)
        );
        world.deliver(place, &answer(invite, place, "180 Ringing", None));
        world.take(PBX, "180");
    }
    accept(&mut world, &invites[1], MOBILE);
    let ack = world.take(MOBILE, "ACK");
    assert_eq!(ack.request_uri(), format!("sip:callee@{MOBILE}"));
    for (place, invite) in [(DESK, &invites[0]), (HOME, &invites[2])] {
        let cancel = cancelled(&mut world, invite, place);
        // RFC 3326 §3.1: no missed call in their lists.
        assert_eq!(
            cancel.header(HeaderName::Reason),
            "SIP;cause=200;text=\"Call completed elsewhere\""
        );
    }
    let ok = world.take(PBX, "200");
    caller.learn(&ok);
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    world.nothing_sent();
    let bye = caller.request("BYE", None);
    world.deliver(PBX, &bye);
    world.take(PBX, "200");
    let bye = world.take(MOBILE, "BYE");
    world.deliver(MOBILE, &bye.answer("200 OK", MOBILE, None));
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].outcome, Outcome::Answered);
}

#[test]
fn a_second_phone_that_answers_in_the_same_moment_is_hung_up_rfc3261_13_2_2_4() {
    let mut world = world(&[(DESK, "1.0"), (MOBILE, "1.0")]);
    let mut caller = call(&mut world);
    let [desk, mobile] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    accept(&mut world, &desk, DESK);
    world.take(DESK, "ACK");
    let ok = world.take(PBX, "200");
    accept(&mut world, &mobile, MOBILE);
    world.take(MOBILE, "ACK");
    let bye = world.take(MOBILE, "BYE");
    assert_eq!(bye.request_uri(), format!("sip:callee@{MOBILE}"));
    world.deliver(MOBILE, &bye.answer("200 OK", MOBILE, None));
    caller.learn(&ok);
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn contacts_of_a_lower_q_ring_when_the_better_ones_have_failed_rfc3261_16_6() {
    let mut world = world(&[(HOME, "0.25"), (DESK, "0.9"), (MOBILE, "0.9")]);
    call(&mut world);
    let [desk, mobile] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    world.nothing_sent();
    fail(&mut world, &desk, DESK, "486 Busy Here");
    world.nothing_sent();
    fail(&mut world, &mobile, MOBILE, "480 Nobody");
    let home = world.take(HOME, "INVITE");
    assert_ne!(
        home.header(HeaderName::CallId),
        desk.header(HeaderName::CallId)
    );
    accept(&mut world, &home, HOME);
    world.take(HOME, "ACK");
    world.take(PBX, "200");
}

#[test]
fn contacts_of_a_lower_q_ring_when_the_better_ones_have_rung_for_their_time() {
    let mut world = world(&[(HOME, "0.5"), (DESK, "0.9"), (MOBILE, "0.9")]);
    call(&mut world);
    let [desk, mobile] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    for (place, invite) in [(DESK, &desk), (MOBILE, &mobile)] {
        world.deliver(place, &answer(invite, place, "180 Ringing", None));
        world.take(PBX, "180");
    }
    world.pass(Duration::from_secs(21));
    let home = world.take(HOME, "INVITE");
    cancelled(&mut world, &desk, DESK);
    // One that answers all the same is hung up.
    world.take(MOBILE, "CANCEL");
    accept(&mut world, &mobile, MOBILE);
    world.take(MOBILE, "ACK");
    world.take(MOBILE, "BYE");
    world.deliver(HOME, &answer(&home, HOME, "180 Ringing", None));
    accept(&mut world, &home, HOME);
    world.take(HOME, "ACK");
    assert!(world.take(PBX, "200").body().contains("192.0.2.2"));
}

#[test]
fn when_all_fail_the_caller_gets_the_best_of_the_answers_rfc3261_16_7() {
    let mut world = world(&[(DESK, "1"), (MOBILE, "1"), (HOME, "0.1")]);
    call(&mut world);
    let [desk, mobile] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    fail(&mut world, &desk, DESK, "503 Overloaded");
    fail(&mut world, &mobile, MOBILE, "486 Busy Here");
    let home = world.take(HOME, "INVITE");
    fail(&mut world, &home, HOME, "500 Broken");
    world.take(PBX, "486");
    assert_eq!(world.cdrs[0].outcome, Outcome::Busy);
    assert_eq!(world.core.calls().len(), 0);
}

#[test]
fn a_phone_that_is_silent_does_not_outweigh_one_that_answered() {
    let mut world = world(&[(DESK, "1"), (MOBILE, "1")]);
    call(&mut world);
    let [desk, _silent] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    fail(&mut world, &desk, DESK, "486 Busy Here");
    world.pass(Duration::from_secs(40));
    world.sent.retain(|sent| sent.to == PBX.parse().unwrap());
    world.take(PBX, "486");
    world.all_over();
}

#[test]
fn a_6xx_of_one_phone_ends_the_call_for_all_of_them_rfc3261_16_7() {
    let mut world = world(&[(DESK, "1"), (MOBILE, "1"), (HOME, "0.1")]);
    call(&mut world);
    let [desk, mobile] = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    world.deliver(DESK, &answer(&desk, DESK, "180 Ringing", None));
    world.take(PBX, "180");
    fail(&mut world, &mobile, MOBILE, "603 Decline");
    cancelled(&mut world, &desk, DESK);
    world.take(PBX, "603");
    world.nothing_sent();
}

#[test]
fn a_caller_who_gives_up_cancels_all_of_them_with_its_reason_rfc3326() {
    let mut world = world(&[(DESK, "1"), (MOBILE, "1"), (HOME, "0.1")]);
    let mut caller = call(&mut world);
    let invites = [DESK, MOBILE].map(|place| world.take(place, "INVITE"));
    for (place, invite) in [DESK, MOBILE].into_iter().zip(&invites) {
        world.deliver(place, &answer(invite, place, "180 Ringing", None));
        world.take(PBX, "180");
    }
    let cancel = caller.request("CANCEL", None);
    let cancel = cancel.replace(
        "User-Agent:",
        "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\nUser-Agent:",
    );
    world.deliver(PBX, &cancel);
    world.take(PBX, "200");
    world.take(PBX, "487");
    for (place, invite) in [DESK, MOBILE].into_iter().zip(&invites) {
        let cancel = cancelled(&mut world, invite, place);
        assert!(cancel.header(HeaderName::Reason).contains("cause=200"));
    }
    world.nothing_sent();
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn one_call_rings_at_no_more_than_ten_contacts() {
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.phones[0].contacts_max = 100;
    });
    for port in 40_000..40_030u32 {
        let mut phone = Phone::new(DESK, "bob");
        phone.call_id = format!("register-{port}");
        phone.contact = format!("<sip:bob@10.9.8.7:{port}>");
        let request = phone.register_contact("3600");
        // Each under a branch of its own.
        let request = request.replace("z9hG4bKphone", &format!("z9hG4bKphone{port}"));
        let answer = phone.send(&mut world, &request);
        assert!(answer.is("200"), "{answer:#?}");
    }
    call(&mut world);
    assert_eq!(world.sent.len(), 10);
    assert!(world.sent.iter().all(|sent| sent.is("INVITE")));
}

#[test]
fn two_flows_of_one_device_ring_once_and_the_other_if_the_first_is_dead_rfc5626_7() {
    let mut world = World::with(with_phones);
    for (place, reg_id) in [(DESK, 1), (MOBILE, 2)] {
        let mut phone = Phone::new(place, "bob");
        let contact = format!(
            "Contact: <sip:bob@{place}>;+sip.instance=\"<urn:uuid:one>\";reg-id={reg_id}\r\n"
        );
        let request = phone.register(&contact);
        send(&mut world, &mut phone, &request);
        world.pass(Duration::from_secs(1));
    }
    call(&mut world);
    let newest = world.take(MOBILE, "INVITE");
    world.nothing_sent();
    fail(&mut world, &newest, MOBILE, "430 Flow Failed");
    let older = world.take(DESK, "INVITE");
    fail(&mut world, &older, DESK, "486 Busy Here");
    world.take(PBX, "486");
}

#[test]
fn phones_at_tls_are_not_offered_what_others_take_by_whatever_media_is_allowed() {
    use ringfence_base::{Flow, Transport};
    use ringfence_session::core::Input;
    use ringfence_sip::Index;
    for (policy, together) in [(MediaPolicy::Either, false), (MediaPolicy::Srtp, true)] {
        let mut world = World::with(|plan| {
            with_phones(plan);
            plan.peers[2].media = policy;
        });
        let flow = Flow {
            transport: Transport::Tls,
            ..Flow::udp(OUTSIDE, DESK.parse().unwrap())
        };
        let over = |world: &mut World, text: &str| {
            let mut index = Index::default();
            let message = index.parse(text.as_bytes()).unwrap();
            world.input(Input::Message {
                flow,
                message: &message,
                tls_names: &[],
            });
        };
        let mut desk = Phone::new(DESK, "bob");
        desk.contact = format!("<sip:bob@{DESK};transport=tls>");
        let request = desk.register_contact("600");
        over(&mut world, &request);
        let challenge = world.take(DESK, "401");
        let again = desk.answer(&request, &challenge, 1);
        over(&mut world, &again);
        world.take(DESK, "200");
        let mut mobile = Phone::new(MOBILE, "bob");
        let request = mobile.register_contact("600");
        send(&mut world, &mut mobile, &request);
        call(&mut world);
        assert!(world.take(DESK, "INVITE").body().contains("RTP/SAVP"));
        assert_eq!(world.sent.len(), usize::from(together), "{policy:?}");
    }
}
