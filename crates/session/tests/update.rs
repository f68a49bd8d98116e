//! UPDATE (RFC 3311) and session timers (RFC 4028).

mod support;

use std::time::Duration;

use ringfence_session::cdr::EndedBy;
use ringfence_sip::HeaderName;
use support::*;

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK";

fn offer(more: &str) -> String {
    sdp("198.51.100.21", 7000, more)
}

fn answer(more: &str) -> String {
    sdp("192.0.2.11", 9000, more)
}

/// `text` with one more header line.
fn with(text: &str, line: &str) -> String {
    text.replacen("\r\nCSeq:", &format!("\r\n{line}\r\nCSeq:"), 1)
}

/// A request of the PBX in the dialog of the INVITE that it got.
fn from_pbx(invite: &Sent, cseq: u32, method: &str, body: Option<&str>) -> String {
    format!(
        "{method} sip:192.0.2.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:callee@{PBX}>\r\n{}",
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
        body_of(body),
    )
}

/// An answered call whose sides say these lines in INVITE and 200.
fn call(world: &mut World, caller_says: &str, callee_says: &str) -> (Caller, Sent, Sent) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = with(&caller.request("INVITE", Some(&offer(""))), caller_says);
    world.deliver(CARRIER, &invite);
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let ok = invite.answer("200 OK", PBX, Some(&answer("")));
    world.deliver(PBX, &with(&ok, callee_says));
    world.take(PBX, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.nothing_sent();
    (caller, invite, ok)
}

fn hang_up(world: &mut World, caller: &mut Caller) {
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.nothing_sent();
    world.all_over();
}

#[test]
fn an_update_with_an_offer_goes_on_as_update_or_re_invite_rfc3311_5_2() {
    for (allow, method) in [(ALLOW, "UPDATE"), ("Allow: INVITE, ACK, BYE", "INVITE")] {
        let mut world = World::new();
        let (mut caller, ..) = call(&mut world, ALLOW, allow);
        let hold = offer("a=sendonly\r\n");
        world.deliver(CARRIER, &caller.request("UPDATE", Some(&hold)));
        let sent = world.take(PBX, method);
        assert!(sent.body().contains("a=sendonly"), "{}", sent.text);
        assert!(!sent.text.contains("198.51.100"), "{}", sent.text);
        world.nothing_sent();
        let held = answer("a=recvonly\r\n");
        world.deliver(PBX, &sent.answer("200 OK", PBX, Some(&held)));
        if method == "INVITE" {
            world.take(PBX, "ACK");
        }
        let ok = world.take(CARRIER, "200");
        assert!(ok.header(HeaderName::CSeq).contains("UPDATE"));
        assert!(ok.body().contains("a=recvonly"), "{}", ok.text);
        assert!(ok.header(HeaderName::Allow).contains("UPDATE"));
        hang_up(&mut world, &mut caller);
    }
}

#[test]
fn an_update_without_an_offer_is_the_legs_own_rfc3311_5_2() {
    let mut world = World::new();
    let (mut caller, ..) = call(&mut world, ALLOW, ALLOW);
    world.deliver(CARRIER, &caller.request("UPDATE", None));
    let ok = world.take(CARRIER, "200");
    assert!(ok.header(HeaderName::Contact).contains("203.0.113.10"));
    world.nothing_sent();
    hang_up(&mut world, &mut caller);
}

#[test]
fn a_refused_update_leaves_the_call_as_it_was_rfc3311_5_3() {
    let mut world = World::new();
    let (mut caller, ..) = call(&mut world, ALLOW, ALLOW);
    world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
    let update = world.take(PBX, "UPDATE");
    world.deliver(PBX, &update.answer("488 Not Acceptable Here", PBX, None));
    world.take(CARRIER, "488");
    assert_eq!(world.core.calls().len(), 1);
    hang_up(&mut world, &mut caller);
}

#[test]
fn offers_that_cross_are_491_and_those_too_soon_500_rfc3311_5_2() {
    let mut world = World::new();
    let (mut caller, invite, _) = call(&mut world, ALLOW, ALLOW);
    world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
    let update = world.take(PBX, "UPDATE");
    let crossing = from_pbx(&invite, 7, "UPDATE", Some(&answer("")));
    world.deliver(PBX, &crossing);
    world.take(PBX, "491");
    let re_invite = from_pbx(&invite, 8, "INVITE", Some(&answer("")));
    world.deliver(PBX, &re_invite);
    world.take(PBX, "491");
    world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
    let refusal = world.take(CARRIER, "500");
    assert_ne!(refusal.header(HeaderName::RetryAfter), "");
    world.deliver(PBX, &update.answer("200 OK", PBX, Some(&answer(""))));
    world.take(CARRIER, "200");
    world.sent.clear();
    world.pass(Duration::from_secs(40));
    world.sent.clear();
    hang_up(&mut world, &mut caller);
}

#[test]
fn an_update_whose_other_side_is_silent_is_not_408_rfc4320_4_2() {
    let mut world = World::new();
    let (mut caller, ..) = call(&mut world, ALLOW, ALLOW);
    world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
    world.pass(Duration::from_secs(33));
    assert!(!world.sent.iter().any(|sent| sent.is("408")));
    world.take(CARRIER, "BYE");
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_call_that_ends_answers_the_update_on_its_way() {
    let mut world = World::new();
    let (mut caller, ..) = call(&mut world, ALLOW, "Allow: INVITE, ACK, BYE");
    world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
    let invite = world.take(PBX, "INVITE");
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "487");
    world.take(CARRIER, "200");
    world.take(PBX, "BYE");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer(""))));
    world.take(PBX, "ACK");
    world.sent.clear();
    world.all_over();
}

#[test]
fn an_early_update_is_passed_or_answered_by_the_edge_rfc3311_5_1() {
    for caller_allows in [true, false] {
        let mut world = World::new();
        let mut caller = Caller::new(CARRIER, "+13305550100");
        let says = match caller_allows {
            true => format!("{ALLOW}\r\nRequire: 100rel"),
            false => "Allow: INVITE, ACK, BYE".to_owned(),
        };
        let invite = with(&caller.request("INVITE", Some(&offer(""))), &says);
        world.deliver(CARRIER, &invite);
        world.take(CARRIER, "100");
        let invite = world.take(PBX, "INVITE");
        // Nothing was answered for sure.
        world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
        let ringing = world.take(CARRIER, "180");
        let rack = |sent: &Sent| {
            let rseq = sent.header(HeaderName::RSeq);
            format!("RAck: {rseq} 1 INVITE")
        };
        caller.learn(&ringing);
        if caller_allows {
            let prack = with(&caller.request("PRACK", None), &rack(&ringing));
            world.deliver(CARRIER, &prack);
            world.take(CARRIER, "200");
            world.deliver(CARRIER, &caller.request("UPDATE", Some(&offer(""))));
            world.take(CARRIER, "500");
        }
        let progress = invite.answer("183 Progress", PBX, Some(&answer("")));
        let progress = with(&progress, "Require: 100rel\r\nRSeq: 1");
        world.deliver(PBX, &progress);
        let prack = world.take(PBX, "PRACK");
        world.deliver(PBX, &prack.answer("200 OK", PBX, None));
        let progress = world.take(CARRIER, "183");
        if caller_allows {
            let prack = with(&caller.request("PRACK", None), &rack(&progress));
            world.deliver(CARRIER, &prack);
            world.take(CARRIER, "200");
        }
        let hold = answer("a=sendonly\r\n");
        world.deliver(PBX, &from_pbx(&invite, 1, "UPDATE", Some(&hold)));
        if caller_allows {
            let update = world.take(CARRIER, "UPDATE");
            let held = offer("a=recvonly\r\n");
            world.deliver(CARRIER, &update.answer("200 OK", CARRIER, Some(&held)));
        }
        let ok = world.take(PBX, "200");
        assert!(ok.body().contains("a=recvonly"), "{}", ok.text);
        world.nothing_sent();
        world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer(""))));
        world.take(PBX, "ACK");
        let ok = world.take(CARRIER, "200");
        assert_eq!(ok.body().is_empty(), caller_allows, "{}", ok.text);
        caller.learn(&ok);
        world.deliver(CARRIER, &caller.request("ACK", None));
        hang_up(&mut world, &mut caller);
    }
}

#[test]
fn an_offer_in_the_prack_goes_on_as_an_update_rfc3262_5() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let says = format!("{ALLOW}\r\nRequire: 100rel");
    let invite = with(&caller.request("INVITE", Some(&offer(""))), &says);
    world.deliver(CARRIER, &invite);
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let progress = invite.answer("183 Progress", PBX, Some(&answer("")));
    let says = format!("{ALLOW}\r\nRequire: 100rel\r\nRSeq: 1");
    world.deliver(PBX, &with(&progress, &says));
    let prack = world.take(PBX, "PRACK");
    world.deliver(PBX, &prack.answer("200 OK", PBX, None));
    let progress = world.take(CARRIER, "183");
    caller.learn(&progress);
    let rack = format!("RAck: {} 1 INVITE", progress.header(HeaderName::RSeq));
    let prack = caller.request("PRACK", Some(&offer("a=sendonly\r\n")));
    world.deliver(CARRIER, &with(&prack, &rack));
    let update = world.take(PBX, "UPDATE");
    assert_eq!(update.header(HeaderName::CSeq), "3 UPDATE");
    let held = answer("a=recvonly\r\n");
    world.deliver(PBX, &update.answer("200 OK", PBX, Some(&held)));
    let ok = world.take(CARRIER, "200");
    assert!(ok.header(HeaderName::CSeq).contains("PRACK"));
    assert!(ok.body().contains("a=recvonly"), "{}", ok.text);
}

#[test]
fn the_edge_refreshes_at_half_the_interval_rfc4028_10() {
    for (allow, method) in [(ALLOW, "UPDATE"), ("Allow: INVITE", "INVITE")] {
        let mut world = World::with(|plan| plan.limits.silence_timeout = Duration::ZERO);
        let says = format!("{allow}\r\nSession-Expires: 600;refresher=uac\r\nRequire: timer");
        let (mut caller, invite, ok) = call(&mut world, "Allow: INVITE", &says);
        assert!(invite.header(HeaderName::Supported).contains("timer"));
        assert_eq!(invite.header(HeaderName::SessionExpires), "1800");
        assert_eq!(invite.header(HeaderName::MinSe), "90");
        assert_eq!(
            ok.header(HeaderName::SessionExpires),
            "",
            "a leg of its own"
        );
        for _ in 0..3 {
            world.pass(Duration::from_secs(299));
            world.nothing_sent();
            world.pass(Duration::from_secs(1));
            let refresh = world.take(PBX, method);
            let session = refresh.header(HeaderName::SessionExpires);
            assert_eq!(session, "600;refresher=uac");
            let body = (method == "INVITE").then(|| answer(""));
            assert_eq!(refresh.body().is_empty(), body.is_none());
            let ok = refresh.answer("200 OK", PBX, body.as_deref());
            world.deliver(PBX, &with(&ok, "Session-Expires: 600;refresher=uac"));
            if method == "INVITE" {
                world.take(PBX, "ACK");
            }
            world.nothing_sent();
        }
        hang_up(&mut world, &mut caller);
    }
}

#[test]
fn a_leg_that_nobody_refreshes_ends_the_call_rfc4028_10() {
    let mut world = World::with(|plan| plan.limits.silence_timeout = Duration::ZERO);
    let asks = "Supported: timer\r\nSession-Expires: 120;refresher=uac";
    let (mut caller, _, ok) = call(&mut world, asks, ALLOW);
    let session = ok.header(HeaderName::SessionExpires);
    assert_eq!(session, "120;refresher=uac");
    assert_eq!(ok.header(HeaderName::Require), "timer");
    world.pass(Duration::from_secs(80));
    let refresh = with(&caller.request("UPDATE", None), asks);
    world.deliver(CARRIER, &refresh);
    let ok = world.take(CARRIER, "200");
    assert_eq!(ok.header(HeaderName::SessionExpires), "120;refresher=uac");
    world.pass(Duration::from_secs(87));
    world.nothing_sent();
    world.pass(Duration::from_secs(2));
    let bye = world.take(PBX, "BYE");
    assert_eq!(bye.header(HeaderName::Reason), "Q.850;cause=102");
    world.take(CARRIER, "BYE");
    assert_eq!(world.cdrs[0].ended_by, EndedBy::Edge);
    assert_eq!(world.cdrs[0].q850, 102);
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_refresh_without_answer_ends_the_call_rfc4028_10() {
    let mut world = World::with(|plan| plan.limits.silence_timeout = Duration::ZERO);
    let says = format!("{ALLOW}\r\nSession-Expires: 600;refresher=uac");
    call(&mut world, "Allow: INVITE", &says);
    world.pass(Duration::from_secs(333));
    world.take(PBX, "BYE");
    world.take(CARRIER, "BYE");
    assert_eq!(world.cdrs[0].q850, 102);
    world.sent.clear();
    world.all_over();
}

#[test]
fn an_interval_that_is_too_short_is_422_both_ways_rfc4028_7_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let short = "Supported: timer\r\nSession-Expires: 89";
    let invite = with(&caller.request("INVITE", Some(&offer(""))), short);
    world.deliver(CARRIER, &invite);
    let refusal = world.take(CARRIER, "422");
    assert_eq!(refusal.header(HeaderName::MinSe), "90");
    let mut caller = Caller::new(CARRIER, "+13305550101");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer(""))));
    let invite = world.take(PBX, "INVITE");
    let refusal = invite.answer("422 Session Interval Too Small", PBX, None);
    world.deliver(PBX, &with(&refusal, "Min-SE: 3600"));
    world.take(PBX, "ACK");
    let again = world.take(PBX, "INVITE");
    assert_eq!(again.header(HeaderName::CSeq), "2 INVITE");
    assert_eq!(again.header(HeaderName::SessionExpires), "3600");
    assert_eq!(again.header(HeaderName::MinSe), "3600");
    assert_eq!(again.body(), invite.body());
    world.deliver(PBX, &again.answer("200 OK", PBX, Some(&answer(""))));
    let ack = world.take(PBX, "ACK");
    assert_eq!(ack.header(HeaderName::CSeq), "2 ACK");
    world.take(CARRIER, "200");
}
