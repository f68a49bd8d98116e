//! A peer that refuses SRTP: who is called again with plain RTP, and who never is.

mod support;

use ringfence_base::net::Transport;
use ringfence_session::event::Event;
use ringfence_session::plan::MediaPolicy;
use support::*;

/// A PBX with plain RTP in front of a carrier over TLS.
fn world(media: MediaPolicy) -> (World, Caller, Sent) {
    let mut world = World::with(|plan| {
        plan.peers[0].transport = Transport::Tls;
        plan.peers[0].media = media;
    });
    let mut caller = Caller::new(PBX, "+15551234567");
    let offer = sdp("192.0.2.11", 7000, "");
    world.deliver(PBX, &caller.request("INVITE", Some(&offer)));
    world.take(PBX, "100");
    let invite = world.take(CARRIER, "INVITE");
    (world, caller, invite)
}

fn refuse(world: &mut World, invite: &Sent) {
    let refused = invite.answer("488 Not Acceptable Here", CARRIER, None);
    world.deliver_tls(&refused, &[]);
    world.take(CARRIER, "ACK");
}

#[test]
fn a_peer_that_may_is_called_again_with_plain_rtp_rfc3261_21_4_26() {
    let (mut world, mut caller, first) = world(MediaPolicy::Either);
    assert!(first.body().contains("RTP/SAVP") && first.body().contains("a=crypto:1"));
    refuse(&mut world, &first);
    let again = world.take(CARRIER, "INVITE");
    assert!(again.body().contains("m=audio") && again.body().contains("RTP/AVP"));
    assert!(!again.body().contains("crypto"), "{}", again.text);
    let name = ringfence_sip::HeaderName::CallId;
    assert_eq!(first.header(name), again.header(name));
    assert!(again.text.contains("CSeq: 2 INVITE"), "{}", again.text);
    world.nothing_sent();

    let told =
        |event: &Event| matches!(event, Event::SrtpRefused { key, .. } if key == "carrier-a");
    assert!(world.events.iter().any(told), "{:?}", world.events);
    assert_eq!(world.core.counters().calls_srtp_refused, 1);

    let answer = again.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 9000, "")));
    world.deliver_tls(&answer, &[]);
    let ack = world.take(CARRIER, "ACK");
    assert!(ack.text.contains("CSeq: 2 ACK"));
    caller.learn(&world.take(PBX, "200"));
    world.deliver(PBX, &caller.request("ACK", None));

    // What was agreed on stays: a re-INVITE does not try SRTP again.
    let hold = sdp("192.0.2.11", 7000, "a=sendonly\r\n");
    world.deliver(PBX, &caller.request("INVITE", Some(&hold)));
    world.take(PBX, "100");
    let hold = world.take(CARRIER, "INVITE");
    assert!(hold.body().contains("RTP/AVP") && !hold.body().contains("crypto"));
    refuse(&mut world, &hold);
    world.take(PBX, "488");
    world.deliver(PBX, &caller.request("ACK", None));
    world.nothing_sent();

    world.deliver(PBX, &caller.request("BYE", None));
    let media = |leg: &ringfence_session::cdr::LegRecord| {
        let media = leg.media.clone().unwrap();
        (media.srtp, media.srtp_refused)
    };
    let cdr = &world.cdrs[0];
    assert_eq!(media(cdr.egress.as_ref().unwrap()), (None, true));
    assert_eq!(media(&cdr.ingress), (None, false));
}

#[test]
fn a_peer_that_refuses_plain_rtp_too_is_not_called_a_third_time() {
    let (mut world, _, first) = world(MediaPolicy::Either);
    refuse(&mut world, &first);
    let again = world.take(CARRIER, "INVITE");
    refuse(&mut world, &again);
    world.take(PBX, "488");
    world.nothing_sent();
    assert_eq!(world.core.counters().calls_srtp_refused, 1);
}

#[test]
fn a_peer_with_srtp_only_is_never_called_in_the_clear() {
    let (mut world, _, first) = world(MediaPolicy::Srtp);
    refuse(&mut world, &first);
    world.take(PBX, "488");
    world.nothing_sent();
    assert_eq!(world.core.counters().calls_srtp_refused, 0);
    assert!(
        !world.cdrs[0]
            .egress
            .as_ref()
            .unwrap()
            .media
            .as_ref()
            .is_some_and(|m| m.srtp_refused)
    );
}

#[test]
fn other_refusals_are_what_they_are() {
    let (mut world, _, first) = world(MediaPolicy::Either);
    world.deliver_tls(&first.answer("486 Busy Here", CARRIER, None), &[]);
    world.take(CARRIER, "ACK");
    world.take(PBX, "486");
    world.nothing_sent();
}

#[test]
fn a_caller_who_hears_early_media_keeps_its_answer() {
    let (mut world, _, first) = world(MediaPolicy::Either);
    let crypto = first
        .body()
        .lines()
        .find(|line| line.starts_with("a=crypto"))
        .unwrap();
    let early = sdp("198.51.100.21", 9000, &format!("{crypto}\r\n")).replace("RTP/AVP", "RTP/SAVP");
    world.deliver_tls(
        &first.answer("183 Session Progress", CARRIER, Some(&early)),
        &[],
    );
    world.take(PBX, "183");
    refuse(&mut world, &first);
    world.take(PBX, "488");
    world.nothing_sent();
}
