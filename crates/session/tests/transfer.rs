//! Transfers by REFER (RFC 3515), handled at the edge: blind, and attended by Replaces (RFC 3891).

mod support;

use std::time::Duration;

use ringfence_session::methods::Transfers;
use ringfence_sip::HeaderName;
use support::*;

const TARGET: &str = "+15550002222";

/// A request of the PBX in the dialog of the INVITE that it got.
fn from_pbx(invite: &Sent, cseq: u32, method: &str, more: &str, body: Option<&str>) -> String {
    format!(
        "{method} sip:192.0.2.2:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx{cseq}x{}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:callee@{PBX}>\r\n{more}{}",
        invite.header(HeaderName::CallId),
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
        body_of(body),
    )
}

fn refer(invite: &Sent, cseq: u32, to: &str) -> String {
    let more = format!("Refer-To: <{to}>\r\nReferred-By: <sip:secretuser@192.0.2.11>\r\n");
    from_pbx(invite, cseq, "REFER", &more, None)
}

/// The PBX asked for a transfer of its call: the INVITE to the target.
fn referred(world: &mut World, invite: &Sent) -> Sent {
    let target = format!("sip:{TARGET}@192.0.2.2");
    world.deliver(PBX, &refer(invite, 1, &target));
    world.take(PBX, "202");
    notified(world, "100");
    world.take(CARRIER, &format!("INVITE sip:{TARGET}@"))
}

/// Takes and answers the NOTIFY about a transfer, which says `status`.
#[track_caller]
fn notified(world: &mut World, status: &str) {
    let notify = world.take(PBX, "NOTIFY");
    assert!(
        notify.body().starts_with(&format!("SIP/2.0 {status} ")),
        "{}",
        notify.text
    );
    assert_eq!(notify.header(HeaderName::Event), "refer;id=1");
    let ended = notify
        .header(HeaderName::SubscriptionState)
        .starts_with("terminated");
    assert_eq!(ended, status != "100" && status != "180", "{}", notify.text);
    world.deliver(PBX, &notify.answer("200 OK", PBX, None));
}

/// The target's answer, and the transferred caller's re-INVITE.
fn answered(world: &mut World, target: &Sent) -> Sent {
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = target.answer("200 OK", CARRIER, Some(&answer));
    world.deliver(CARRIER, &ok.replace("tag=callee1", "tag=target1"));
    let ack = world.take(CARRIER, "ACK");
    assert!(ack.text.contains("tag=target1"), "{}", ack.text);
    let shown = world.take(CARRIER, "INVITE");
    assert!(shown.text.contains("secrettag1"), "the caller's dialog");
    assert!(!shown.text.contains("198.51.100.31"), "{}", shown.text);
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &shown.answer("200 OK", CARRIER, Some(&answer)));
    world.take(CARRIER, "ACK");
    shown
}

#[test]
fn a_blind_transfer_joins_the_caller_to_the_target_rfc3515_2_4() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let target = referred(&mut world, &invite);
    for secret in ["192.0.2", "secretuser", "198.51.100.21", "callee1"] {
        assert!(!target.text.contains(secret), "{secret} in {}", target.text);
    }
    let by = target.header(HeaderName::ReferredBy);
    assert_eq!(by, "<sip:+13305550100@203.0.113.10>");
    assert!(target.body().contains("a=sendrecv"), "{}", target.body());
    let ringing = target.answer("180 Ringing", CARRIER, None);
    world.deliver(CARRIER, &ringing);
    notified(&mut world, "180");
    answered(&mut world, &target);
    notified(&mut world, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
    assert_eq!(world.core.media().streams_open(), 1);
    assert_eq!(world.cdrs.len(), 1, "the first call has its record");
    // The caller's own requests now reach the target.
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(CARRIER, "BYE");
    assert!(bye.text.contains("tag=target1"), "{}", bye.text);
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    assert_eq!(world.cdrs.len(), 2);
    assert!(
        world.cdrs[1].rule.ends_with("(transfer)"),
        "{}",
        world.cdrs[1].rule
    );
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_referrer_that_hangs_up_at_once_leaves_the_caller_waiting_rfc3515_2_4() {
    let mut world = World::new();
    let (_caller, invite) = world.answered_call();
    let target = referred(&mut world, &invite);
    world.deliver(PBX, &from_pbx(&invite, 2, "BYE", "", None));
    world.take(PBX, "200");
    world.nothing_sent();
    answered(&mut world, &target);
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn a_target_that_is_busy_gives_the_call_back_to_the_referrer_rfc3515_2_4() {
    for gone in [false, true] {
        let mut world = World::new();
        let (mut caller, invite) = world.answered_call();
        let target = referred(&mut world, &invite);
        if gone {
            world.deliver(PBX, &from_pbx(&invite, 2, "BYE", "", None));
            world.take(PBX, "200");
        }
        world.deliver(CARRIER, &target.answer("486 Busy Here", CARRIER, None));
        world.take(CARRIER, "ACK");
        if gone {
            let bye = world.take(CARRIER, "BYE");
            world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
        } else {
            notified(&mut world, "486");
            world.nothing_sent();
            world.deliver(CARRIER, &caller.request("BYE", None));
            world.take(CARRIER, "200");
            world.take(PBX, "BYE");
        }
        world.sent.clear();
        world.all_over();
        assert_eq!(world.cdrs.len(), 2);
    }
}

#[test]
fn a_caller_that_hangs_up_meanwhile_takes_the_target_with_it() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let target = referred(&mut world, &invite);
    world.deliver(CARRIER, &target.answer("180 Ringing", CARRIER, None));
    notified(&mut world, "180");
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    world.take(PBX, "BYE");
    let cancel = world.take(CARRIER, "CANCEL");
    world.deliver(CARRIER, &cancel.answer("200 OK", CARRIER, None));
    world.deliver(
        CARRIER,
        &target.answer("487 Request Terminated", CARRIER, None),
    );
    world.sent.clear();
    world.all_over();
    assert_eq!(world.cdrs.len(), 2);
}

#[test]
fn a_transfer_has_the_routes_and_limits_of_a_new_call() {
    // Channels: the call itself has one of two.
    let mut world = World::with(|plan| {
        plan.sites[0].channels = 1;
    });
    let (_caller, invite) = world.answered_call();
    let target = format!("sip:{TARGET}@192.0.2.2");
    world.deliver(PBX, &refer(&invite, 1, &target));
    world.take(PBX, "503");
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn a_trunk_may_not_transfer_and_its_allow_says_so_rfc3515_2_4_2() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    assert!(invite.header(HeaderName::Allow).contains("REFER"));
    let line = format!("Refer-To: <sip:{TARGET}@203.0.113.10>\r\nUser-Agent");
    let refer = caller.request("REFER", None);
    world.deliver(CARRIER, &refer.replacen("User-Agent", &line, 1));
    world.take(CARRIER, "603");
    world.nothing_sent();
}

#[test]
fn a_bad_refer_is_400_and_a_second_one_491_rfc3515_2_1() {
    let mut world = World::new();
    let (_caller, invite) = world.answered_call();
    world.deliver(PBX, &from_pbx(&invite, 1, "REFER", "", None));
    world.take(PBX, "400");
    let target = format!("sip:{TARGET}@192.0.2.2");
    world.deliver(PBX, &refer(&invite, 2, &target));
    world.take(PBX, "202");
    world.take(PBX, "NOTIFY");
    world.take(CARRIER, "INVITE");
    world.deliver(PBX, &refer(&invite, 3, &target));
    world.take(PBX, "491");
}

#[test]
fn a_loop_of_transfers_ends_rfc3515_2_4() {
    let mut world = World::with(|plan| plan.peers[0].methods.transfer = Transfers::Handle);
    // The target of each transfer transfers on, from the PBX to the carrier and back.
    let (_caller, mut referrer) = world.answered_call();
    let mut at = PBX;
    for round in 1..=6 {
        let (to, ours, number) = match at {
            PBX => (CARRIER, "192.0.2.2", TARGET),
            _ => (PBX, "203.0.113.10", "+13305550101"),
        };
        let refer = refer(&referrer, 1, &format!("sip:{number}@{ours}"))
            .replace(PBX, at)
            .replace("z9hG4bK", &format!("z9hG4bK{round}"));
        world.deliver(at, &refer);
        if round == 6 {
            world.take(at, "482");
            break;
        }
        world.take(at, "202");
        world.sent.retain(|sent| !sent.is("NOTIFY"));
        let invite = world.take(to, "INVITE");
        let answer = sdp(to.split(':').next().unwrap(), 7100, "");
        world.deliver(to, &invite.answer("200 OK", to, Some(&answer)));
        world.take(to, "ACK");
        let shown = world.take(CARRIER, "INVITE");
        let answer = sdp("198.51.100.21", 7000, "");
        world.deliver(CARRIER, &shown.answer("200 OK", CARRIER, Some(&answer)));
        world.sent.clear();
        (referrer, at) = (invite, to);
    }
    assert_eq!(world.core.calls().len(), 1);
    assert_eq!(world.core.media().streams_open(), 1);
}

#[test]
fn an_attended_transfer_joins_the_two_far_sides_rfc3891_3() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    // The PBX consults somebody outside.
    let mut consulting = Caller::new(PBX, TARGET);
    let offer = sdp("192.0.2.11", 9100, "");
    world.deliver(PBX, &consulting.request("INVITE", Some(&offer)));
    world.take(PBX, "100");
    let target = world.take(CARRIER, "INVITE");
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = target.answer("200 OK", CARRIER, Some(&answer));
    world.deliver(CARRIER, &ok.replace("tag=callee1", "tag=target1"));
    world.take(CARRIER, "ACK");
    let ok = world.take(PBX, "200");
    consulting.learn(&ok);
    world.deliver(PBX, &consulting.request("ACK", None));
    let to = ok.header(HeaderName::To);
    let tag = to.split("tag=").nth(1).unwrap();
    let replaces = format!(
        "sip:{TARGET}@192.0.2.2?Replaces={}%3Bto-tag%3D{tag}%3Bfrom-tag%3Dsecrettag1",
        consulting.call_id.replace('@', "%40")
    );
    // A wrong tag names nothing, and nothing happens.
    let wrong = replaces.replace("secrettag1", "secrettag2");
    world.deliver(PBX, &refer(&invite, 1, &wrong));
    world.take(PBX, "603");
    world.deliver(PBX, &refer(&invite, 2, &replaces).replace("id=1", "id=2"));
    world.take(PBX, "202");
    for status in ["100", "200"] {
        let notify = world.take(PBX, "NOTIFY");
        assert!(
            notify.body().starts_with(&format!("SIP/2.0 {status} ")),
            "{}",
            notify.text
        );
        world.deliver(PBX, &notify.answer("200 OK", PBX, None));
    }
    for _ in 0..2 {
        let bye = world.take(PBX, "BYE");
        world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    }
    // The target is shown the caller's media first, then the caller the target's.
    for (tag, from) in [
        ("tag=target1", "198.51.100.31"),
        ("secrettag1", "198.51.100.21"),
    ] {
        let shown = world.take(CARRIER, "INVITE");
        assert!(shown.header(HeaderName::To).contains(tag), "{}", shown.text);
        assert!(
            shown.body().contains("c=IN IP4 203.0.113.10"),
            "{}",
            shown.text
        );
        let answer = sdp(from, 7100, "");
        world.deliver(CARRIER, &shown.answer("200 OK", CARRIER, Some(&answer)));
        world.take(CARRIER, "ACK");
    }
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
    assert_eq!(world.core.media().streams_open(), 1);
    assert_eq!(world.cdrs.len(), 2);
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(CARRIER, "BYE");
    assert!(bye.text.contains("tag=target1"));
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    assert_eq!(world.cdrs.len(), 3);
    world.all_over();
}

/// Carries what two workers of one process say to each other.
fn exchange(workers: &mut [World; 2]) {
    loop {
        let mut carried = false;
        for from in [0, 1] {
            let within = |sent: &mut Sent| sent.to.ip().is_unspecified();
            let said: Vec<Sent> = workers[from].sent.extract_if(.., within).collect();
            for sent in said {
                carried = true;
                workers[1 - from].deliver_within(&sent.text);
            }
        }
        if !carried {
            return;
        }
    }
}

#[test]
fn an_attended_transfer_joins_calls_of_two_workers_rfc3891_3() {
    let plan = std::sync::Arc::new(plan());
    let mut workers = [0, 1].map(|number| World::worker(std::sync::Arc::clone(&plan), number, 2));
    let (mut caller, invite) = workers[0].answered_call();
    // The PBX consults somebody outside, by the other worker.
    let mut consulting = Caller::new(PBX, TARGET);
    let offer = sdp("192.0.2.11", 9100, "");
    let world = &mut workers[1];
    world.deliver(PBX, &consulting.request("INVITE", Some(&offer)));
    world.take(PBX, "100");
    let target = world.take(CARRIER, "INVITE");
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = target.answer("200 OK", CARRIER, Some(&answer));
    world.deliver(CARRIER, &ok.replace("tag=callee1", "tag=target1"));
    world.take(CARRIER, "ACK");
    let ok = world.take(PBX, "200");
    consulting.learn(&ok);
    world.deliver(PBX, &consulting.request("ACK", None));
    let to = ok.header(HeaderName::To);
    let tag = to.split("tag=").nth(1).unwrap();
    let replaces = format!(
        "sip:{TARGET}@192.0.2.2?Replaces={}%3Bto-tag%3D{tag}%3Bfrom-tag%3Dsecrettag1",
        consulting.call_id.replace('@', "%40")
    );
    // A wrong tag names nothing, and both calls go on.
    let wrong = replaces.replace("secrettag1", "secrettag2");
    workers[0].deliver(PBX, &refer(&invite, 1, &wrong));
    exchange(&mut workers);
    workers[0].take(PBX, "202");
    for status in ["100", "481"] {
        notified(&mut workers[0], status);
    }
    workers[0].nothing_sent();
    workers[1].nothing_sent();
    workers[0].deliver(PBX, &refer(&invite, 2, &replaces));
    exchange(&mut workers);
    workers[0].take(PBX, "202");
    // The target is shown the first worker's media.
    let shown = workers[1].take(CARRIER, "INVITE");
    assert!(
        shown.header(HeaderName::To).contains("tag=target1"),
        "{}",
        shown.text
    );
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = shown.answer("200 OK", CARRIER, Some(&answer));
    workers[1].deliver(CARRIER, &ok);
    exchange(&mut workers);
    workers[1].take(CARRIER, "ACK");
    for status in ["100", "200"] {
        let notify = workers[0].take(PBX, "NOTIFY");
        assert!(
            notify.body().starts_with(&format!("SIP/2.0 {status} ")),
            "{}",
            notify.text
        );
        workers[0].deliver(PBX, &notify.answer("200 OK", PBX, None));
    }
    // The referrer is let go by both.
    for world in &mut workers {
        let bye = world.take(PBX, "BYE");
        world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    }
    // The caller is shown media, too.
    let shown = workers[0].take(CARRIER, "INVITE");
    assert!(
        shown.header(HeaderName::To).contains("secrettag1"),
        "{}",
        shown.text
    );
    let answer = sdp("198.51.100.21", 7100, "");
    workers[0].deliver(CARRIER, &shown.answer("200 OK", CARRIER, Some(&answer)));
    workers[0].take(CARRIER, "ACK");
    exchange(&mut workers);
    for world in &workers {
        world.nothing_sent();
        assert_eq!(world.core.calls().len(), 1);
        assert_eq!(world.core.media().streams_open(), 1);
    }
    // The caller hangs up, and so does everybody.
    workers[0].deliver(CARRIER, &caller.request("BYE", None));
    exchange(&mut workers);
    workers[0].take(CARRIER, "200");
    let bye = workers[1].take(CARRIER, "BYE");
    assert!(bye.text.contains("tag=target1"));
    workers[1].deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    exchange(&mut workers);
    for world in &mut workers {
        world.all_over();
    }
    assert_eq!(workers[0].cdrs.len(), 3, "with the transfer that failed");
    assert_eq!(workers[1].cdrs.len(), 1);
}

#[test]
fn a_re_invite_that_crosses_the_joined_legs_own_is_tried_again_rfc3261_14_1() {
    let mut world = World::new();
    let (_caller, invite) = world.answered_call();
    let target = referred(&mut world, &invite);
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = target.answer("200 OK", CARRIER, Some(&answer));
    world.deliver(CARRIER, &ok.replace("tag=callee1", "tag=target1"));
    world.take(CARRIER, "ACK");
    let shown = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &shown.answer("491 Request Pending", CARRIER, None));
    world.take(CARRIER, "ACK");
    world.sent.clear();
    world.pass(Duration::from_millis(2_200));
    let again = world.take(CARRIER, "INVITE");
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &again.answer("200 OK", CARRIER, Some(&answer)));
    world.take(CARRIER, "ACK");
    assert_eq!(world.core.calls().len(), 1);
}

/// The PBX's transfers go to the carrier.
fn passing() -> World {
    World::with(|plan| plan.peers[1].methods.transfer = Transfers::Pass)
}

/// A NOTIFY of the carrier about the REFER that it got.
fn carrier_notifies(caller: &mut Caller, state: &str, line: &str) -> String {
    let more = format!("Event: refer\r\nSubscription-State: {state}\r\nUser-Agent");
    let notify = caller.request("NOTIFY", Some(line));
    notify
        .replacen("User-Agent", &more, 1)
        .replace("application/sdp", "message/sipfrag")
}

#[test]
fn a_transfer_is_passed_to_the_far_side_which_makes_the_call_rfc3515_2_4() {
    let mut world = passing();
    let (mut caller, invite) = world.answered_call();
    let target = format!("sip:{TARGET}@192.0.2.2");
    world.deliver(PBX, &refer(&invite, 1, &target));
    let passed = world.take(CARRIER, "REFER");
    world.nothing_sent();
    assert_eq!(
        passed.header(HeaderName::ReferTo),
        format!("<sip:{TARGET}@198.51.100.20>")
    );
    assert_eq!(
        passed.header(HeaderName::ReferredBy),
        "<sip:+13305550100@203.0.113.10>"
    );
    for secret in ["192.0.2", "secretuser", "callee1"] {
        assert!(!passed.text.contains(secret), "{secret} in {}", passed.text);
    }
    world.deliver(CARRIER, &passed.answer("202 Accepted", CARRIER, None));
    world.take(PBX, "202");
    notified(&mut world, "100");
    for (state, line, told) in [
        ("active;expires=60", "SIP/2.0 100 Trying", None),
        (
            "active;expires=60",
            "SIP/2.0 180 at 198.51.100.31",
            Some("180"),
        ),
        (
            "terminated;reason=noresource",
            "SIP/2.0 200 OK",
            Some("200"),
        ),
    ] {
        world.deliver(CARRIER, &carrier_notifies(&mut caller, state, line));
        world.take(CARRIER, "200");
        if let Some(told) = told {
            assert!(!world.sent[0].text.contains("198.51.100"));
            notified(&mut world, told);
        }
    }
    world.nothing_sent();
    // Nobody has subscribed to anything any more.
    let late = carrier_notifies(&mut caller, "active", "SIP/2.0 180 Ringing");
    world.deliver(CARRIER, &late);
    world.take(CARRIER, "481");
    // The referrer hangs up, and so ends the call.
    world.deliver(PBX, &from_pbx(&invite, 2, "BYE", "", None));
    world.take(PBX, "200");
    let bye = world.take(CARRIER, "BYE");
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_far_side_that_makes_no_transfers_leaves_the_call_as_it_is() {
    let mut world = passing();
    let (mut caller, invite) = world.answered_call();
    let target = format!("sip:{TARGET}@192.0.2.2");
    for (round, status) in ["405 No", "603 Decline", "401 Who"].into_iter().enumerate() {
        let cseq = 1 + round as u32;
        world.deliver(PBX, &refer(&invite, cseq, &target));
        let passed = world.take(CARRIER, "REFER");
        world.deliver(CARRIER, &passed.answer(status, CARRIER, None));
        let told = if round == 2 { "403" } else { &status[..3] };
        world.take(PBX, told);
        world.nothing_sent();
    }
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    world.take(PBX, "BYE");
}

#[test]
fn a_passed_transfer_is_to_a_number_that_the_referrer_may_call() {
    use ringfence_session::numbering::{DialAction, DialPattern, DialRule};
    let mut world = World::with(|plan| {
        plan.peers[1].methods.transfer = Transfers::Pass;
        plan.sites[0].policy.dial.push(DialRule {
            pattern: DialPattern::new("1900NXXXXXX").unwrap(),
            action: DialAction::Refuse,
        });
    });
    let (_caller, invite) = world.answered_call();
    world.deliver(PBX, &refer(&invite, 1, "sip:19005550100@192.0.2.2"));
    world.take(PBX, "403");
    world.nothing_sent();
    // Who calls for help is put through here.
    world.deliver(PBX, &refer(&invite, 2, "sip:911@192.0.2.2"));
    world.take(PBX, "202");
    world.take(CARRIER, "INVITE sip:911@");
}
