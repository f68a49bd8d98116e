//! Ends of calls that cross with other messages. Found by seeds of the simulated world.

mod support;

use std::time::Duration;

use ringfence_session::core::Input;
use ringfence_session::event::Event;
use support::*;

/// A call that the PBX has answered, and the caller has not acknowledged.
fn unacknowledged_call(world: &mut World) -> (Caller, Sent) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &invite);
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let answer = invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &answer);
    world.take(PBX, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    (caller, invite)
}

fn hang_up(world: &mut World) {
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
}

#[test]
fn a_caller_gets_no_bye_before_its_ack_rfc3261_15_seed_0x3f() {
    let mut world = World::new();
    let (mut caller, _) = unacknowledged_call(&mut world);
    hang_up(&mut world);
    world.nothing_sent();
    assert_eq!(world.cdrs.len(), 1, "recorded at once");
    assert_eq!(world.core.media().streams_open(), 0);
    // The 200 was lost: it comes again.
    world.pass(Duration::from_millis(600));
    world.take(CARRIER, "200");
    let ack = caller.request("ACK", None);
    world.deliver(CARRIER, &ack);
    let bye = world.take(CARRIER, "BYE");
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
    assert!(world.core.calls().is_empty());
}

#[test]
fn a_caller_that_never_acknowledges_gets_its_bye_in_the_end() {
    let mut world = World::new();
    unacknowledged_call(&mut world);
    hang_up(&mut world);
    world.pass(Duration::from_secs(33));
    world.take(CARRIER, "BYE");
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_caller_that_hangs_up_meanwhile_ends_the_wait() {
    let mut world = World::new();
    let (mut caller, _) = unacknowledged_call(&mut world);
    hang_up(&mut world);
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye);
    world.take(CARRIER, "200");
    assert!(world.core.is_idle());
    world.pass(Duration::from_secs(40));
    world.nothing_sent();
    let panicked = |event: &Event| matches!(event, Event::CallPanicked { .. });
    assert!(!world.events.iter().any(panicked));
}

#[test]
fn each_phone_that_answers_a_cancelled_call_gets_its_bye_rfc3261_13_2_2_4_seed_0x4() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &invite);
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let cancel = caller.request("CANCEL", None);
    world.deliver(CARRIER, &cancel);
    world.take(CARRIER, "200");
    world.take(CARRIER, "487");
    for tag in ["tag=phone1", "tag=phone2"] {
        let answer = invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, "")));
        world.deliver(PBX, &answer.replace("tag=callee1", tag));
        let ack = world.take(PBX, "ACK");
        let bye = world.take(PBX, "BYE");
        assert!(
            ack.text.contains(tag) && bye.text.contains(tag),
            "{}",
            bye.text
        );
        world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    }
    assert_eq!(world.cdrs.len(), 1);
    world.all_over();
}

#[test]
fn a_cancel_that_crosses_the_final_answer_is_no_second_end_seed_0x305() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &invite);
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    world.take(CARRIER, "480");
    world.take(PBX, "CANCEL");
    let cancel = caller.request("CANCEL", None);
    world.deliver(CARRIER, &cancel);
    world.take(CARRIER, "200");
    assert_eq!(world.cdrs.len(), 1);
    world.deliver(PBX, &invite.answer("487 Request Terminated", PBX, None));
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_fork_that_answers_after_the_call_is_over_gets_its_bye_rfc3261_13_2_2_4() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    assert!(world.core.calls().is_empty());
    let late = invite
        .answer("200 OK", PBX, Some(&sdp("192.0.2.12", 9100, "")))
        .replace("tag=callee1", "tag=phone2");
    world.deliver(PBX, &late);
    let ack = world.take(PBX, "ACK");
    assert!(ack.text.contains("tag=phone2"), "{}", ack.text);
    assert!(ack.text.contains("CSeq: 1 ACK"), "{}", ack.text);
    let bye = world.take(PBX, "BYE");
    assert!(bye.text.contains("tag=phone2"), "{}", bye.text);
    // Its ACK was lost: the 200 comes again.
    world.deliver(PBX, &late);
    world.take(PBX, "ACK");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.nothing_sent();
    world.all_over();
}

/// A call without an offer that the PBX has answered with one; the caller has not acknowledged.
fn late_offer_call(world: &mut World) -> (Caller, Sent) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", None));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let offer = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&offer)));
    caller.learn(&world.take(CARRIER, "200"));
    world.nothing_sent();
    (caller, invite)
}

/// The PBX has its ACK, with an answer that refuses what it offered, and its BYE.
#[track_caller]
fn acknowledged_and_hung_up(world: &mut World) {
    let ack = world.take(PBX, "ACK");
    assert!(ack.body().contains("m=audio 0 "), "{}", ack.text);
    assert!(!ack.body().contains("192.0.2.11"), "{}", ack.text);
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
}

#[test]
fn a_late_offer_call_that_ends_before_its_ack_is_acknowledged_rfc3261_13_2_2_4() {
    let mut world = World::new();
    let (mut caller, _) = late_offer_call(&mut world);
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    acknowledged_and_hung_up(&mut world);
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &caller.request("ACK", Some(&answer)));
    let bye = world.take(CARRIER, "BYE");
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.nothing_sent();
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_late_offer_call_whose_caller_never_acknowledges_is_acknowledged_rfc3261_13_2_2_4() {
    let mut world = World::new();
    late_offer_call(&mut world);
    world.pass(Duration::from_secs(33));
    acknowledged_and_hung_up(&mut world);
    world.take(CARRIER, "BYE");
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_late_offer_call_whose_caller_hangs_up_instead_is_acknowledged_rfc3261_13_2_2_4() {
    let mut world = World::new();
    let (mut caller, _) = late_offer_call(&mut world);
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    acknowledged_and_hung_up(&mut world);
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_200_to_a_re_invite_whose_call_has_ended_is_acknowledged_rfc3261_15() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    let offer = sdp("198.51.100.21", 7000, "a=sendonly\r\n");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    world.take(CARRIER, "487");
    let bye = world.take(PBX, "BYE");
    let answer = sdp("192.0.2.11", 9000, "a=recvonly\r\n");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    let ack = world.take(PBX, "ACK");
    let number = invite
        .header(ringfence_sip::HeaderName::CSeq)
        .replace("INVITE", "ACK");
    assert!(ack.text.contains(&number), "{}", ack.text);
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    // One BYE ended the dialog: there is nothing to hang up again.
    world.nothing_sent();
    world.all_over();
}
