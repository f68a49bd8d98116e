//! INVITE with Replaces (RFC 3891): another dialog of a peer takes over a call.

mod support;

use ringfence_sip::HeaderName;
use support::phone::*;
use support::*;

/// A second device of the PBX asks for the place of the first one in the call that `invite` began.
fn pickup(invite: &Sent, more: &str) -> (Caller, String) {
    let from = invite.header(HeaderName::From);
    let tag = from.split("tag=").nth(1).unwrap();
    let replaces = format!(
        "Replaces: {};to-tag={tag};from-tag=callee1{more}\r\nUser-Agent",
        invite.header(HeaderName::CallId)
    );
    let mut picker = Caller::new(PBX, "+13305550100");
    picker.call_id = "secret-pickup".into();
    let request = picker.request("INVITE", Some(&sdp("192.0.2.44", 9400, "")));
    let request = request.replacen("User-Agent", &replaces, 1);
    let request = request.replace("secrettag1", "secrettag7");
    (picker, request)
}

/// The far side's answer to the re-INVITE that shows it the new media.
#[track_caller]
fn agreed(world: &mut World) -> Sent {
    let shown = world.take(CARRIER, "INVITE");
    for secret in ["192.0.2", "secret-pickup", "secrettag7", "Replaces"] {
        assert!(!shown.text.contains(secret), "{secret} in {}", shown.text);
    }
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &shown.answer("200 OK", CARRIER, Some(&answer)));
    world.take(CARRIER, "ACK");
    shown
}

#[test]
fn a_call_is_taken_over_and_the_far_side_sees_a_re_invite_rfc3891_3() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let (mut picker, request) = pickup(&invite, "");
    world.deliver(PBX, &request);
    world.take(PBX, "100");
    let shown = agreed(&mut world);
    assert!(shown.header(HeaderName::CallId).contains("secret-call-id"));
    let ok = world.take(PBX, "200");
    assert!(ok.text.contains("secret-pickup"), "{}", ok.text);
    assert!(ok.body().contains("m=audio"));
    let bye = world.take(PBX, "BYE");
    assert_eq!(
        bye.header(HeaderName::CallId),
        invite.header(HeaderName::CallId)
    );
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    picker.learn(&ok);
    let ack = picker
        .request("ACK", None)
        .replace("secrettag1", "secrettag7");
    world.deliver(PBX, &ack);
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
    assert_eq!(world.core.media().streams_open(), 1);
    assert_eq!(world.cdrs.len(), 0, "it is the same call");
    // What the old leg says now is nobody's, what the new one says is.
    let bye = world_bye(&invite);
    world.deliver(PBX, &bye);
    world.take(PBX, "481");
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    assert!(bye.text.contains("secret-pickup"), "{}", bye.text);
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    assert_eq!(world.cdrs.len(), 1);
    world.nothing_sent();
    world.all_over();
}

/// A BYE of the PBX in the dialog of the INVITE that it got.
fn world_bye(invite: &Sent) -> String {
    format!(
        "BYE sip:192.0.2.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKoldbye\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 9 BYE\r\n\
         Content-Length: 0\r\n\r\n",
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
    )
}

#[test]
fn a_far_side_that_does_not_agree_keeps_the_call_as_it_was_rfc3261_14_1() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let (_, request) = pickup(&invite, "");
    world.deliver(PBX, &request);
    world.take(PBX, "100");
    let shown = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &shown.answer("488 Not Acceptable", CARRIER, None));
    world.take(CARRIER, "ACK");
    world.take(PBX, "488");
    world.nothing_sent();
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    assert_eq!(
        bye.header(HeaderName::CallId),
        invite.header(HeaderName::CallId)
    );
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_far_side_that_hangs_up_meanwhile_ends_both_of_them() {
    let mut world = World::new();
    let (mut caller, invite) = world.answered_call();
    let (_, request) = pickup(&invite, "");
    world.deliver(PBX, &request);
    world.take(PBX, "100");
    let shown = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    assert!(world.take(PBX, "487").text.contains("secret-pickup"));
    let bye = world.take(PBX, "BYE");
    assert_eq!(
        bye.header(HeaderName::CallId),
        invite.header(HeaderName::CallId)
    );
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.deliver(CARRIER, &shown.answer("487 Gone", CARRIER, None));
    world.sent.clear();
    world.all_over();
}

#[test]
fn who_gives_up_leaves_the_call_alone_rfc3261_9() {
    let mut world = World::new();
    let (_caller, invite) = world.answered_call();
    let (mut picker, request) = pickup(&invite, "");
    world.deliver(PBX, &request);
    world.take(PBX, "100");
    let shown = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &shown.answer("100 Trying", CARRIER, None));
    let cancel = picker.request("CANCEL", None);
    world.deliver(PBX, &cancel.replace("secrettag1", "secrettag7"));
    world.take(PBX, "200");
    world.take(CARRIER, "CANCEL");
    world.deliver(CARRIER, &shown.answer("487 Gone", CARRIER, None));
    world.take(CARRIER, "ACK");
    world.take(PBX, "487");
    assert_eq!(world.core.calls().len(), 1);
}

#[test]
fn what_does_not_name_a_call_of_the_same_peer_is_refused_rfc3891_3() {
    let mut world = World::new();
    let (_caller, invite) = world.answered_call();
    let (_, request) = pickup(&invite, "");
    let mut branch = 0;
    let mut ask = |world: &mut World, from: &str, request: &str| {
        branch += 1;
        let branch = format!("secretbranchx{branch}x");
        world.deliver(from, &request.replace("secretbranch", &branch));
        let sent = world.sent.remove(0);
        world.sent.clear();
        sent.start().split(' ').nth(1).unwrap().to_owned()
    };
    let wrong = request.replace("from-tag=callee1", "from-tag=callee2");
    assert_eq!(ask(&mut world, PBX, &wrong), "481");
    let none = request.replace(";from-tag=callee1", "");
    assert_eq!(ask(&mut world, PBX, &none), "400");
    let two = request.replace(
        "User-Agent",
        "Replaces: a;to-tag=b;from-tag=c\r\nUser-Agent",
    );
    assert_eq!(ask(&mut world, PBX, &two), "400");
    // RFC 3891 §3: it is answered already.
    let early = request.replace("from-tag=callee1", "from-tag=callee1;early-only");
    assert_eq!(ask(&mut world, PBX, &early), "486");
    let extension = request.replace("User-Agent", "Require: replaces, magic\r\nUser-Agent");
    assert_eq!(ask(&mut world, PBX, &extension), "420");
    // A carrier may not at all: its header is one that is not known.
    assert_eq!(ask(&mut world, CARRIER, &request), "100");
    assert_eq!(world.core.calls().len(), 2);
}

#[test]
fn a_call_is_not_handed_on_for_ever() {
    let mut world = World::new();
    let (_caller, mut invite) = world.answered_call();
    for round in 0..6 {
        let (mut picker, request) = pickup(&invite, "");
        let unique = |text: String| {
            text.replace("secretbranch", &format!("branch{round}x"))
                .replace("secrettag7", &format!("picktag{round}"))
                .replace("secret-pickup", &format!("pickup-{round}"))
        };
        let request = unique(request);
        let request = match round {
            0 => request,
            _ => request.replace(
                "from-tag=callee1",
                &format!("from-tag=picktag{}", round - 1),
            ),
        };
        world.deliver(PBX, &request);
        if round == 5 {
            world.take(PBX, "482");
            break;
        }
        world.take(PBX, "100");
        agreed(&mut world);
        let ok = world.take(PBX, "200");
        let bye = world.take(PBX, "BYE");
        world.deliver(PBX, &bye.answer("200 OK", PBX, None));
        picker.learn(&ok);
        let ack = picker
            .request("ACK", None)
            .replace("secrettag1", "secrettag7");
        world.deliver(PBX, &unique(ack));
        // Seen from the picker: our tag is in the To of the answer.
        let from = ok.header(HeaderName::To);
        invite.text = format!(
            "INVITE x SIP/2.0\r\nFrom: {from}\r\nCall-ID: {}\r\n\r\n",
            ok.header(HeaderName::CallId)
        );
    }
    world.nothing_sent();
}

#[test]
fn a_phone_takes_over_the_call_of_another_phone_and_strangers_do_not() {
    let mut world = World::with(with_phones);
    Phone::registered(BOB, "bob", &mut world);
    let mut alice = Phone::new(ALICE, "alice");
    // Bob is called by the PBX.
    let mut caller = Caller::new(PBX, "bob");
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &invite);
    world.take(PBX, "100");
    let invite = world.take(BOB, "INVITE");
    let answer = sdp("10.9.8.6", 7000, "");
    world.deliver(
        BOB,
        &invite.answer("200 OK", "10.9.8.6:5062", Some(&answer)),
    );
    world.take(BOB, "ACK");
    caller.learn(&world.take(PBX, "200"));
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    world.nothing_sent();
    // Alice takes it from him, with her password.
    let from = invite.header(HeaderName::From);
    let more = format!(
        "Contact: {}\r\nRequire: replaces\r\nReplaces: {};to-tag={};from-tag=callee1\r\n",
        alice.contact,
        invite.header(HeaderName::CallId),
        from.split("tag=").nth(1).unwrap()
    );
    let uri = format!("sip:bob@{REALM}");
    let body = sdp("10.9.8.7", 7400, "");
    let request = alice.request("INVITE", &uri, &format!("<{uri}>"), &more, Some(&body));
    assert!(alice.send(&mut world, &request).is("100"));
    let shown = world.take(PBX, "INVITE");
    assert!(!shown.text.contains("10.9.8"), "{}", shown.text);
    let answer = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &shown.answer("200 OK", PBX, Some(&answer)));
    world.take(PBX, "ACK");
    world.take(ALICE, "200");
    let bye = world.take(BOB, "BYE");
    world.deliver(BOB, &bye.answer("200 OK", "10.9.8.6", None));
    world.nothing_sent();
    assert_eq!(world.core.calls().len(), 1);
}
