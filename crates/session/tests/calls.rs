//! Whole calls through one core, message by message.

mod support;

use std::time::Duration;

use ringfence_session::cdr::{EndedBy, Outcome};
use ringfence_session::core::Input;
use ringfence_session::event::Event;
use ringfence_session::plan::MediaPolicy;
use ringfence_sip::HeaderName;
use support::*;

#[test]
fn a_call_is_set_up_talks_and_ends() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    assert_eq!(world.core.calls().len(), 1);
    assert_eq!(world.core.media().streams_open(), 1);
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye);
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.nothing_sent();
    let [cdr] = &world.cdrs[..] else {
        panic!("one record, not {:?}", world.cdrs)
    };
    assert_eq!(
        (cdr.outcome, cdr.status, cdr.q850),
        (Outcome::Answered, 200, 16)
    );
    assert_eq!(cdr.ended_by, EndedBy::Caller);
    assert_eq!(cdr.ingress.peer, "carrier-a");
    assert_eq!(cdr.egress.as_ref().unwrap().remote_tag, "callee1");
    assert_eq!(cdr.ingress.media.as_ref().unwrap().codec, "PCMU");
    world.all_over();
}

#[test]
fn nothing_of_one_side_is_seen_on_the_other() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let offer = sdp(
        "198.51.100.21",
        7000,
        "a=candidate:1 1 UDP 1 198.51.100.21 7000 typ host\r\n",
    );
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(PBX, "INVITE");
    for secret in ["198.51.100", "secret", "Secret", "203.0.113", "SecretPhone"] {
        assert!(!invite.text.contains(secret), "{secret} in {}", invite.text);
    }
    assert!(invite.text.contains("+15551234567") && invite.text.contains("Alice"));
    assert_eq!(invite.request_uri(), "sip:+13305550100@192.0.2.10");
    assert_eq!(invite.header(HeaderName::MaxForwards), "69");
    let answer = invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &answer);
    let ok = world.take(CARRIER, "200");
    for secret in [
        "192.0.2",
        "callee1",
        "SecretPBX",
        "secretuser",
        "secret name",
    ] {
        assert!(!ok.text.contains(secret), "{secret} in {}", ok.text);
    }
    assert!(ok.body().contains("c=IN IP4 203.0.113.10"), "{}", ok.body());
}

#[test]
fn a_stranger_gets_silence() {
    let mut world = World::new();
    for method in ["INVITE", "OPTIONS", "REGISTER", "BYE"] {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        world.deliver(STRANGER, &caller.request(method, None));
    }
    world.nothing_sent();
    assert!(world.cdrs.is_empty());
}

#[test]
fn a_number_that_is_not_the_sites_is_404_and_recorded() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+19995550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(CARRIER, "404");
    assert_eq!(world.cdrs[0].status, 404);
    assert_eq!(
        world.cdrs[0].rule,
        "refused: the number is not one of the site's"
    );
    world.all_over();
}

#[test]
fn a_busy_callee_is_passed_on_and_acknowledged() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("486 Busy Here", PBX, None));
    world.take(PBX, "ACK");
    world.take(CARRIER, "486");
    assert_eq!(
        (world.cdrs[0].outcome, world.cdrs[0].q850),
        (Outcome::Busy, 17)
    );
    world.all_over();
}

#[test]
fn cancel_gets_200_and_487_and_cancels_the_other_leg_rfc3261_9() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.deliver(CARRIER, &caller.request("CANCEL", None));
    world.take(CARRIER, "200");
    world.take(CARRIER, "487");
    let cancel = world.take(PBX, "CANCEL");
    world.deliver(PBX, &cancel.answer("200 OK", PBX, None));
    world.deliver(PBX, &invite.answer("487 Request Terminated", PBX, None));
    world.take(PBX, "ACK");
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].outcome, Outcome::Cancelled);
    world.all_over();
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up_rfc3261_9_1() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.deliver(CARRIER, &caller.request("CANCEL", None));
    world.deliver(
        PBX,
        &invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, ""))),
    );
    world.take(PBX, "ACK");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    assert_eq!(world.cdrs.len(), 1);
    world.all_over();
}

#[test]
fn hold_and_resume_cross_and_the_session_survives_rfc3261_14() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    for direction in ["a=sendonly\r\n", "a=sendrecv\r\n"] {
        let offer = sdp("198.51.100.21", 7000, direction);
        world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
        world.take(CARRIER, "100");
        let invite = world.take(PBX, "INVITE");
        assert!(invite.body().contains(direction), "{}", invite.body());
        let answer = sdp("192.0.2.11", 9000, "");
        world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
        world.take(PBX, "ACK");
        world.take(CARRIER, "200");
        world.deliver(CARRIER, &caller.request("ACK", None));
        world.nothing_sent();
    }
    assert_eq!(world.core.media().streams_open(), 1);
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.all_over();
}

#[test]
fn a_refused_re_invite_leaves_the_call_as_it_was_rfc3261_14_1() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    let offer = sdp("198.51.100.21", 7000, "a=sendonly\r\n");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("488 Not Acceptable Here", PBX, None));
    world.take(PBX, "ACK");
    world.take(CARRIER, "488");
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn glare_is_answered_491_rfc3261_14_2() {
    let mut world = World::new();
    let (mut caller, first) = world.answered_call();
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(PBX, "INVITE");
    let from_pbx = format!(
        "INVITE sip:192.0.2.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx1\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:callee@{PBX}>\r\n{}",
        first.header(HeaderName::To),
        first.header(HeaderName::From),
        first.header(HeaderName::CallId),
        body_of(Some(&sdp("192.0.2.11", 9000, "a=sendonly\r\n"))),
    );
    world.deliver(PBX, &from_pbx);
    world.take(PBX, "491");
}

#[test]
fn an_offerless_invite_carries_the_answer_in_the_ack_rfc3264_4() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", None));
    let invite = world.take(PBX, "INVITE");
    assert_eq!(invite.body(), "");
    let offer = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&offer)));
    let ok = world.take(CARRIER, "200");
    assert!(ok.body().contains("m=audio 30000"), "{}", ok.body());
    assert!(
        !world.sent.iter().any(|sent| sent.is("ACK")),
        "the answer is not known yet"
    );
    caller.learn(&ok);
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &caller.request("ACK", Some(&answer)));
    let ack = world.take(PBX, "ACK");
    assert!(ack.body().contains("c=IN IP4 192.0.2.2"), "{}", ack.body());
}

#[test]
fn a_secure_trunk_gets_keys_and_a_plain_offer_from_it_is_488() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(CARRIER, "488");
    let mut caller = Caller::new(PBX, "+15550001111");
    world.deliver(
        PBX,
        &caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, ""))),
    );
    let invite = world.take(CARRIER, "INVITE");
    assert!(invite.body().contains("RTP/SAVP"), "{}", invite.body());
    let key = invite
        .body()
        .lines()
        .find(|line| line.starts_with("a=crypto:1 "))
        .unwrap();
    assert!(key.contains("AES_CM_128_HMAC_SHA1_80 inline:"), "{key}");
    assert_eq!(key.matches("inline:").count(), 1, "{key}");
    let answer = sdp("198.51.100.21", 7000, "").replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
           inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    let ok = world.take(PBX, "200");
    assert!(
        ok.body().contains("RTP/AVP") && !ok.body().contains("crypto"),
        "{}",
        ok.body()
    );
}

#[test]
fn an_answer_without_keys_from_a_secure_trunk_is_never_accepted() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let mut caller = Caller::new(PBX, "+15550001111");
    world.deliver(
        PBX,
        &caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, ""))),
    );
    let invite = world.take(CARRIER, "INVITE");
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    world.take(CARRIER, "ACK");
    world.take(CARRIER, "BYE");
    world.take(PBX, "488");
    world.all_over();
}

#[test]
fn a_silent_callee_ends_in_504_and_frees_the_channel() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(CARRIER, "100");
    world.pass(Duration::from_secs(33));
    world.take(CARRIER, "504");
    assert_eq!(world.cdrs.len(), 1);
    world.sent.clear();
    world.all_over();
}

#[test]
fn ringing_for_too_long_is_cancelled() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.pass(Duration::from_secs(181));
    world.take(PBX, "CANCEL");
    world.take(CARRIER, "480");
    assert_eq!(
        (world.cdrs[0].outcome, world.cdrs[0].q850),
        (Outcome::NoAnswer, 19)
    );
    world.all_over();
}

#[test]
fn a_call_in_which_nobody_is_heard_is_ended() {
    let mut world = World::new();
    let _call = world.answered_call();
    world.pass(Duration::from_secs(121));
    world.take(PBX, "BYE");
    world.take(CARRIER, "BYE");
    assert_eq!(world.cdrs[0].ended_by, EndedBy::Edge);
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_drain_refuses_new_calls_but_emergency_and_ends_the_rest_in_time() {
    let mut world = World::new();
    let _call = world.answered_call();
    world.input(Input::Drain);
    let mut caller = Caller::new(CARRIER, "+13305550101");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, ""))),
    );
    world.take(CARRIER, "503");
    let mut caller = Caller::new(PBX, "911");
    world.deliver(
        PBX,
        &caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, ""))),
    );
    world.take(CARRIER, "INVITE sip:911@");
    world.pass(Duration::from_secs(61));
    world.take(PBX, "BYE");
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_bye_with_a_wrong_tag_or_from_elsewhere_changes_nothing() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye.replace("secrettag1", "wrongtag99"));
    world.take(CARRIER, "481");
    world.deliver(STRANGER, &bye);
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn options_of_a_peer_is_answered_without_state() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "ping");
    let options = caller.request("OPTIONS", None);
    world.deliver(CARRIER, &options);
    world.deliver(CARRIER, &options);
    let (first, second) = (world.take(CARRIER, "200"), world.take(CARRIER, "200"));
    assert_eq!(
        first.text, second.text,
        "a retransmission gets the same answer"
    );
    assert_eq!(world.core.transactions().server_count(), 0);
}

#[test]
fn an_unsupported_extension_is_420_with_its_name_rfc3261_8_2_2_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller
        .request("INVITE", None)
        .replace("User-Agent", "Require: 100rel, answermode\r\nX-A");
    world.deliver(CARRIER, &invite);
    let refusal = world.take(CARRIER, "420");
    assert_eq!(refusal.header(HeaderName::Unsupported), "answermode");
}

#[test]
fn an_emergency_call_with_its_location_goes_out_at_full_channels_rfc6442_3_2() {
    let mut world = World::with(|plan| plan.sites[0].channels = 1);
    let _other = world.answered_call();
    let mut caller = Caller::new(PBX, "911");
    let body = format!(
        "--b\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--b\r\n\
         Content-Type: application/sdp\r\n\r\n{}\r\n--b--\r\n",
        sdp("192.0.2.11", 9100, "")
    );
    let invite = caller.request("INVITE", Some(&body)).replacen(
        "Content-Type: application/sdp",
        "Content-Type: multipart/mixed;boundary=b",
        1,
    );
    world.deliver(PBX, &invite);
    let sent = world.take(CARRIER, "INVITE sip:911@");
    assert!(sent.body().contains("m=audio "), "{}", sent.text);
}

#[test]
fn a_peer_with_a_client_certificate_is_known_by_it_in_every_message() {
    use ringfence_base::net::Transport;
    let mut world = World::with(|plan| {
        plan.peers[0].transport = Transport::Tls;
        plan.peers[0].tls_names = vec!["sbc.carrier.example".into()];
    });
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver_tls(&invite, &[]);
    world.nothing_sent();
    let names = ["sbc.carrier.example".to_owned()];
    world.deliver_tls(&invite, &names);
    let invite = world.take(PBX, "INVITE");
    world.deliver(
        PBX,
        &invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, ""))),
    );
    caller.learn(&world.take(CARRIER, "200"));
    world.deliver_tls(&caller.request("ACK", None), &names);
    world.sent.clear();
    world.pass(Duration::from_secs(40));
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1, "the ACK was its own");
}

#[test]
fn a_panic_in_one_call_ends_that_call_and_no_other() {
    let mut world = World::new();
    let (mut first, _) = world.answered_call();
    let mut second = Caller::new(CARRIER, "+13305550101");
    world.deliver(
        CARRIER,
        &second.request("INVITE", Some(&sdp("198.51.100.21", 7002, ""))),
    );
    let invite = world.take(PBX, "INVITE");
    world
        .core
        .danger_panic_when(|message| message.method() == Some(ringfence_sip::Method::Info));
    world.sent.clear();
    world.deliver(CARRIER, &first.request("INFO", None));
    world.take(PBX, "BYE");
    world.take(CARRIER, "BYE");
    assert_eq!(world.core.counters().calls_panicked, 1);
    let dump = world.events.iter().find_map(|event| match event {
        Event::CallPanicked { dump, .. } => Some(String::from_utf8_lossy(dump).into_owned()),
        _ => None,
    });
    assert!(
        dump.is_some_and(|dump| dump.contains("INFO sip:")),
        "the last inputs are dumped"
    );
    assert_eq!(world.cdrs.len(), 1);
    let answer = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    let ok = world.take(CARRIER, "200");
    second.learn(&ok);
    assert_eq!(world.core.calls().len(), 1, "the other call goes on");
}

#[test]
fn the_ladder_has_every_message_of_both_legs() {
    let mut world = World::new();
    let _call = world.answered_call();
    let id = world.core.calls()[0].id;
    let ladder = world.core.ladder(id);
    let lines: Vec<String> = ladder
        .iter()
        .map(|entry| {
            let text = String::from_utf8_lossy(&entry.text);
            let start: Vec<_> = text.split([' ', '\r']).take(2).collect();
            format!(
                "{:?} {} {}",
                entry.leg,
                if entry.sent { ">" } else { "<" },
                start.join(" ")
            )
        })
        .collect();
    let expected = [
        "Ingress < INVITE sip:+13305550100@203.0.113.10",
        "Ingress > SIP/2.0 100",
        "Egress > INVITE sip:+13305550100@192.0.2.10",
        "Egress < SIP/2.0 180",
        "Ingress > SIP/2.0 180",
        "Egress < SIP/2.0 200",
        "Egress > ACK sip:callee@192.0.2.10:5060",
        "Ingress > SIP/2.0 200",
        "Ingress < ACK sip:203.0.113.10:5060",
    ];
    assert_eq!(lines, expected);
}
