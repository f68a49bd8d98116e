//! Reliable provisional responses (RFC 3262), on either side alone and on both.

mod support;

use std::time::Duration;

use ringfence_session::methods::ReliableProvisional;
use ringfence_sip::HeaderName;
use support::*;

/// An INVITE whose caller says `option: 100rel`.
fn invite_with(caller: &mut Caller, option: &str, body: Option<&str>) -> String {
    let line = format!("{option}: 100rel\r\nUser-Agent");
    caller
        .request("INVITE", body)
        .replacen("User-Agent", &line, 1)
}

/// A response with RSeq, as a callee sends it.
fn reliable(invite: &Sent, status: &str, rseq: u32, body: Option<&str>) -> String {
    let line = format!("Require: 100rel\r\nRSeq: {rseq}\r\nServer");
    invite
        .answer(status, PBX, body)
        .replacen("Server", &line, 1)
}

fn offer() -> String {
    sdp("198.51.100.21", 7000, "")
}

fn answer() -> String {
    sdp("192.0.2.11", 9000, "")
}

fn prack(caller: &mut Caller, response: &Sent, body: Option<&str>) -> String {
    let rseq = response.header(HeaderName::RSeq);
    let cseq = response.header(HeaderName::CSeq);
    let line = format!("RAck: {rseq} {cseq}\r\nUser-Agent");
    caller.learn(response);
    caller
        .request("PRACK", body)
        .replacen("User-Agent", &line, 1)
}

#[test]
fn a_reliable_callee_gets_its_prack_and_a_plain_caller_its_180_rfc3262_4() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer())));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    assert!(invite.header(HeaderName::Supported).contains("100rel"));
    assert!(invite.header(HeaderName::Allow).contains("PRACK"));
    let ringing = reliable(&invite, "180 Ringing", 5, None);
    world.deliver(PBX, &ringing);
    let acknowledgement = world.take(PBX, "PRACK sip:callee@192.0.2.10:5060");
    assert_eq!(acknowledgement.header(HeaderName::RAck), "5 1 INVITE");
    assert_eq!(acknowledgement.header(HeaderName::CSeq), "2 PRACK");
    let plain = world.take(CARRIER, "180");
    assert_eq!(plain.header(HeaderName::RSeq), "");
    // Again, and out of order: neither acknowledged nor passed on.
    world.deliver(PBX, &ringing);
    world.deliver(PBX, &reliable(&invite, "183 Progress", 7, Some(&answer())));
    world.nothing_sent();
    world.deliver(PBX, &acknowledgement.answer("200 OK", PBX, None));
    world.deliver(PBX, &reliable(&invite, "183 Progress", 6, Some(&answer())));
    let acknowledgement = world.take(PBX, "PRACK");
    assert_eq!(acknowledgement.header(HeaderName::RAck), "6 1 INVITE");
    world.deliver(PBX, &acknowledgement.answer("200 OK", PBX, None));
    let progress = world.take(CARRIER, "183");
    assert!(progress.body().contains("c=IN IP4 203.0.113.10"));
    // The answer was in the 183: the 200 says no more, and the caller hears it all the same.
    world.deliver(PBX, &invite.answer("200 OK", PBX, None));
    let ack = world.take(PBX, "ACK");
    assert_eq!(ack.header(HeaderName::CSeq), "1 ACK");
    let ok = world.take(CARRIER, "200");
    assert!(ok.body().contains("c=IN IP4 203.0.113.10"), "{}", ok.text);
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    assert_eq!(bye.header(HeaderName::CSeq), "4 BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.all_over();
}

#[test]
fn a_caller_that_requires_it_gets_a_reliable_183_of_a_plain_callee_rfc3262_3() {
    {
        let option = "Require";
        let mut world = World::new();
        let mut caller = Caller::new(CARRIER, "+13305550100");
        world.deliver(CARRIER, &invite_with(&mut caller, option, Some(&offer())));
        world.take(CARRIER, "100");
        let invite = world.take(PBX, "INVITE");
        world.deliver(PBX, &invite.answer("183 Progress", PBX, Some(&answer())));
        let first = world.take(CARRIER, "183");
        assert_eq!(first.header(HeaderName::Require), "100rel");
        // Repeated, doubling, until its PRACK.
        world.pass(Duration::from_millis(500));
        assert_eq!(world.take(CARRIER, "183").text, first.text);
        world.pass(Duration::from_millis(999));
        world.nothing_sent();
        world.pass(Duration::from_millis(1));
        world.take(CARRIER, "183");
        // What comes meanwhile waits, the 200 as well.
        world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
        world.nothing_sent();
        let wrong = prack(&mut caller, &first, None).replace("RAck: ", "RAck: 9");
        world.deliver(CARRIER, &wrong);
        world.take(CARRIER, "481");
        world.deliver(CARRIER, &prack(&mut caller, &first, None));
        world.take(CARRIER, "200");
        let second = world.take(CARRIER, "180");
        let number = |sent: &Sent| sent.header(HeaderName::RSeq).parse::<u32>().unwrap();
        assert_eq!(number(&second), number(&first) + 1);
        world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer())));
        world.nothing_sent();
        world.deliver(CARRIER, &prack(&mut caller, &second, None));
        world.take(PBX, "ACK");
        let prack_ok = world.take(CARRIER, "200");
        assert!(prack_ok.header(HeaderName::CSeq).contains("PRACK"));
        let ok = world.take(CARRIER, "200");
        assert_eq!(ok.body(), "", "the answer was in the 183");
        caller.cseq += 0;
        caller.learn(&ok);
        world.deliver(CARRIER, &caller.request("ACK", None));
        world.deliver(CARRIER, &caller.request("BYE", None));
        world.take(PBX, "BYE");
        world.sent.clear();
        world.all_over();
    }
}

#[test]
fn a_caller_that_never_sends_its_prack_is_refused_rfc3262_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &invite_with(&mut caller, "Require", Some(&offer())),
    );
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.pass(Duration::from_secs(10));
    let repeated = world.sent.iter().filter(|sent| sent.is("180")).count();
    assert_eq!(repeated, 5);
    // The callee answers in vain: it is acknowledged and hung up.
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer())));
    world.pass(Duration::from_secs(23));
    world.take(CARRIER, "504");
    world.take(PBX, "ACK");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.sent.clear();
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn an_offer_in_a_reliable_183_is_answered_from_prack_to_prack_rfc3262_5() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &invite_with(&mut caller, "Supported", None));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &reliable(&invite, "183 Progress", 1, Some(&answer())));
    let progress = world.take(CARRIER, "183");
    assert!(progress.body().contains("c=IN IP4 203.0.113.10"));
    assert!(
        !world.sent.iter().any(|sent| sent.is("PRACK")),
        "the answer is not known yet"
    );
    world.deliver(CARRIER, &prack(&mut caller, &progress, Some(&offer())));
    world.take(CARRIER, "200");
    let acknowledgement = world.take(PBX, "PRACK");
    assert!(acknowledgement.body().contains("c=IN IP4 192.0.2.2"));
    world.deliver(PBX, &acknowledgement.answer("200 OK", PBX, None));
    world.deliver(PBX, &invite.answer("200 OK", PBX, None));
    let ack = world.take(PBX, "ACK");
    assert_eq!(ack.body(), "");
    let ok = world.take(CARRIER, "200");
    assert_eq!(ok.body(), "");
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.nothing_sent();
    assert_eq!(world.core.media().streams_open(), 1);
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.sent.clear();
    world.all_over();
}

#[test]
fn reliability_is_not_offered_where_a_late_offer_could_not_be_answered() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", None));
    let invite = world.take(PBX, "INVITE");
    assert!(!invite.header(HeaderName::Supported).contains("100rel"));
}

#[test]
fn policy_refuses_and_requires_reliability_rfc3261_8_2_2_3() {
    let mut world = World::with(|plan| {
        plan.peers[0].methods.reliable_provisional = ReliableProvisional::Off;
        plan.peers[1].methods.reliable_provisional = ReliableProvisional::Required;
    });
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &invite_with(&mut caller, "Require", Some(&offer())),
    );
    let refusal = world.take(CARRIER, "420");
    assert_eq!(refusal.header(HeaderName::Unsupported), "100rel");
    let mut caller = Caller::new(CARRIER, "+13305550101");
    world.deliver(
        CARRIER,
        &invite_with(&mut caller, "Supported", Some(&offer())),
    );
    let invite = world.take(PBX, "INVITE");
    assert_eq!(invite.header(HeaderName::Require), "100rel");
    world.deliver(PBX, &reliable(&invite, "180 Ringing", 1, None));
    world.take(PBX, "PRACK");
    let ringing = world.take(CARRIER, "180");
    assert_eq!(ringing.header(HeaderName::RSeq), "");
    assert!(!ringing.header(HeaderName::Allow).contains("PRACK"));
    let mut caller = Caller::new(PBX, "+15550001111");
    world.deliver(PBX, &caller.request("INVITE", Some(&answer())));
    let refusal = world.take(PBX, "421");
    assert_eq!(refusal.header(HeaderName::Require), "100rel");
}

#[test]
fn a_cancel_while_a_200_waits_for_the_prack_hangs_up_the_callee_rfc3262_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &invite_with(&mut caller, "Require", Some(&offer())),
    );
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.take(CARRIER, "180");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer())));
    world.nothing_sent();
    world.deliver(CARRIER, &caller.request("CANCEL", None));
    world.take(CARRIER, "200");
    world.take(CARRIER, "487");
    world.take(PBX, "ACK");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.all_over();
}

#[test]
fn a_caller_that_only_supports_it_need_not_send_a_prack_rfc3262_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = invite_with(&mut caller, "Supported", Some(&offer()));
    world.deliver(CARRIER, &invite);
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &reliable(&invite, "183 Progress", 1, Some(&answer())));
    world.take(PBX, "PRACK");
    let progress = world.take(CARRIER, "183");
    assert_eq!(progress.header(HeaderName::RSeq), "");
}
