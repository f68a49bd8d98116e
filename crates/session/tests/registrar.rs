//! Phones that register (RFC 3261 §10, RFC 3327, RFC 5626, RFC 5627, RFC 7616), in virtual time.

mod support;

use std::time::Duration;

use ringfence_session::core::Input;
use ringfence_session::event::Event;
use ringfence_session::refusal::RefusalReason;
use ringfence_sip::HeaderName;
use ringfence_sip::digest::Algorithm;
use support::phone::*;
use support::*;

fn world() -> World {
    World::with(with_phones)
}

fn refused(world: &World, reason: RefusalReason) -> u64 {
    world.core.counters().refused[reason as usize]
}

/// A REGISTER with right credentials gets `status`; what was registered before stays.
#[track_caller]
fn check(more: &str, status: &str) -> Sent {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let before = bindings(&mut world, &mut phone);
    let request = phone.register(more);
    let answer = phone.send(&mut world, &request);
    assert!(answer.is(status), "{answer:#?}");
    if !status.starts_with('2') {
        assert_eq!(
            bindings(&mut world, &mut phone),
            before,
            "nothing was changed"
        );
        assert_eq!(refused(&world, RefusalReason::Registration), 1);
    }
    answer
}

/// Asks for the bindings: the contacts' URIs.
#[track_caller]
fn bindings(world: &mut World, phone: &mut Phone) -> Vec<String> {
    let request = phone.register("");
    let answer = phone.send(world, &request);
    assert!(answer.is("200"), "{answer:#?}");
    contacts(&answer)
        .iter()
        .map(|contact| contact.split('>').next().unwrap().to_owned())
        .collect()
}

fn contacts(answer: &Sent) -> Vec<String> {
    let lines = answer.text.lines();
    lines
        .filter_map(|line| line.strip_prefix("Contact: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_phone_registers_after_a_challenge_rfc3261_10_3() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let long = format!("Subject: {}\r\nVia", "long enough for both ".repeat(10));
    let request = phone.register_contact("600").replacen("Via", &long, 1);
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    assert!(challenge.text.contains("algorithm=SHA-256"));
    assert!(challenge.text.contains("algorithm=MD5"));
    assert_eq!(
        world.core.transactions().server_count(),
        0,
        "no state before proof"
    );
    let again = phone.answer(&request, &challenge, 1);
    world.deliver(ALICE, &again);
    let ok = world.take(ALICE, "200");
    assert_eq!(contacts(&ok), ["<sip:alice@10.9.8.7:5062>;expires=600"]);
    let registered = world.events.iter().any(|event| {
        matches!(event, Event::Registered { user, bindings, .. }
            if user == "alice" && bindings.len() == 1)
    });
    assert!(registered);
    // The network lost the answer: the retransmission is answered, not asked again.
    world.deliver(ALICE, &again);
    world.take(ALICE, "200");
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_phone_is_asked_for_md5_unless_the_group_says_more() {
    let algorithms = ringfence_session::registrar::group::Bounds::default().algorithms;
    assert_eq!(algorithms, [Algorithm::Md5]);
}

#[test]
fn md5_alone_is_enough_for_an_old_phone_rfc8760_2() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("600");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    let again = phone.answer_with(&request, &challenge, 1, Some(Algorithm::Md5));
    world.deliver(ALICE, &again);
    world.take(ALICE, "200");
}

#[test]
fn an_unknown_user_is_answered_byte_for_byte_like_a_known_one() {
    let mut world = world();
    let mut answers = Vec::new();
    for user in ["alice", "malle"] {
        for with_password in [false, true] {
            let mut phone = Phone::new(ALICE, user);
            phone.call_id = "same".to_owned();
            phone.password = "guess".to_owned();
            let request = phone.register_contact("600");
            world.deliver(ALICE, &request);
            let mut answer = world.take(ALICE, "401");
            if with_password {
                let again = phone.answer(&request, &answer, 1);
                world.deliver(ALICE, &again);
                answer = world.take(ALICE, "401");
            }
            let nonce = answer.text.split("nonce=\"").nth(1).unwrap();
            let nonce = nonce.split('"').next().unwrap().to_owned();
            let tag = answer.header(HeaderName::To);
            let tag = tag.split(";tag=").nth(1).unwrap().to_owned();
            let text = answer.text.replace(&nonce, "N").replace(&tag, "T");
            answers.push(text.replace(user, "user"));
        }
    }
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[3]);
    assert_eq!(refused(&world, RefusalReason::Credentials), 2);
}

#[test]
fn an_empty_password_opens_nothing() {
    // A user without a password cannot even be made (RFC 7616 §3.4.2 would hash an empty one).
    let made = ringfence_session::registrar::group::Digests::new("carol", REALM, b"");
    assert!(made.is_err());
    for user in ["", "alice", "nobody"] {
        let mut world = world();
        let mut phone = Phone::new(ALICE, "alice");
        let request = phone.register_contact("600").replace("alice", user);
        world.deliver(ALICE, &request);
        if world.sent.is_empty() {
            continue; // `sip:@realm` is malformed, and too small an answer to matter.
        }
        let challenge = world.sent.remove(0);
        if !challenge.is("401") {
            continue;
        }
        let empty = Phone::new(ALICE, "alice").answer_empty(&request, &challenge, user);
        world.deliver(ALICE, &empty);
        assert!(world.sent.remove(0).is("401"), "{user}");
    }
}

#[test]
fn a_captured_register_cannot_be_sent_again_rfc7616_3_4_5() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("600");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    let again = phone.answer(&request, &challenge, 1);
    world.deliver(ALICE, &again);
    world.take(ALICE, "200");
    world.pass(Duration::from_secs(40)); // its transaction is over
    let replayed = again.replace("10.9.8.7:5062>", "203.0.113.99:5060>");
    world.deliver(ALICE, &replayed);
    let asked = world.take(ALICE, "401");
    assert!(asked.text.contains("stale=true"), "{asked:#?}");
    // Nor by anybody else, nor after the nonce's time.
    world.deliver(STRANGER, &replayed);
    world.take(STRANGER, "401");
    world.pass(Duration::from_secs(600));
    world.deliver(ALICE, &replayed);
    world.take(ALICE, "401");
    assert_eq!(
        bindings(&mut world, &mut phone).len(),
        0,
        "the 600 s are over"
    );
}

#[test]
fn a_growing_nonce_count_needs_no_new_challenge_rfc7616_3_4() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("600");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    for nc in 1..4 {
        let request = phone.register_contact("600");
        let again = phone.answer(&request, &challenge, nc);
        world.deliver(ALICE, &again);
        world.take(ALICE, "200");
    }
}

#[test]
fn no_answer_to_an_unproven_source_is_larger_than_its_request() {
    let mut world = world();
    let mut phone = Phone::new(STRANGER, "alice");
    let full = phone.register_contact("600");
    let short = full.replace(FEATURES, "");
    let tiny = short.replace("Contact: <sip:alice@10.9.8.7:5062>\r\nExpires: 600\r\n", "");
    for request in [full, short, tiny] {
        world.deliver(STRANGER, &request);
        for sent in world.sent.drain(..) {
            assert!(sent.text.len() <= request.len(), "{sent:#?}");
        }
    }
}

#[test]
fn lifetimes_are_bounded_and_absurd_ones_refused_rfc3261_10_3() {
    let contact = |expires: &str| format!("Contact: <sip:a@10.0.0.1>\r\nExpires: {expires}\r\n");
    let too_short = check(&contact("30"), "423");
    assert_eq!(too_short.header(HeaderName::MinExpires), "60");
    check(&contact("0.1"), "400");
    check(&contact("315360000"), "400");
    check(&contact("99999999999999999999"), "400");
    check("Contact: <sip:a@10.0.0.1>;expires=-1\r\n", "400");
    let shortened = check(&contact("86400"), "200");
    assert!(
        contacts(&shortened)
            .iter()
            .any(|c| c == "<sip:a@10.0.0.1>;expires=3600")
    );
    let own = check(
        "Contact: <sip:a@10.0.0.1>;expires=61\r\nExpires: 900\r\n",
        "200",
    );
    assert!(
        contacts(&own)
            .iter()
            .any(|c| c == "<sip:a@10.0.0.1>;expires=61")
    );
}

#[test]
fn a_thousand_contacts_are_refused_and_explained() {
    let mut more = String::new();
    for number in 0..100 {
        more.push_str(&format!("Contact: <sip:a{number}@10.0.0.1>\r\n"));
    }
    let answer = check(&more, "403");
    assert!(answer.text.contains("too many contacts"), "{answer:#?}");
    // One at a time is no way around it.
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    for number in 0..4 {
        phone.contact = format!("<sip:a{number}@10.0.0.1>");
        let request = phone.register_contact("600");
        let answer = phone.send(&mut world, &request);
        assert!(
            answer.is(if number < 3 { "200" } else { "403" }),
            "{answer:#?}"
        );
    }
    assert_eq!(bindings(&mut world, &mut phone).len(), 3);
}

#[test]
fn nonsense_in_a_contact_is_refused_whole() {
    let good = "<sip:good@10.0.0.1>";
    check(
        &format!("Contact: {good}, <sip:bad@10.0.0.1;x>;reg-id=0\r\n"),
        "400",
    );
    check(&format!("Contact: {good}, <tel:+15551234567>\r\n"), "400");
    check(
        &format!("Contact: {good}, <sip:a@10.0.0.1?Route=%3Csip:b%3E>\r\n"),
        "400",
    );
    check(
        &format!("Contact: <sip:{}@10.0.0.1>\r\n", "a".repeat(700)),
        "400",
    );
    check(&format!("Contact: {good}\r\nRequire: sec-agree\r\n"), "420");
}

#[test]
fn a_wildcard_takes_all_contacts_away_and_stands_alone_rfc3261_10_2_2() {
    check("Contact: *\r\n", "400");
    check("Contact: *\r\nExpires: 60\r\n", "400");
    check("Contact: *, <sip:a@10.0.0.1>\r\nExpires: 0\r\n", "400");
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    phone.contact = "<sip:second@10.0.0.1>".to_owned();
    let request = phone.register_contact("600");
    phone.send(&mut world, &request);
    assert_eq!(bindings(&mut world, &mut phone).len(), 2);
    let request = phone.register("Contact: *\r\nExpires: 0\r\n");
    assert!(contacts(&phone.send(&mut world, &request)).is_empty());
    assert!(bindings(&mut world, &mut phone).is_empty());
}

#[test]
fn an_older_register_of_the_same_call_id_changes_nothing_rfc3261_10_3() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    phone.cseq = 0;
    let request = phone
        .register("Contact: *\r\nExpires: 0\r\n")
        .replace("CSeq: 1 ", "CSeq: 0 ");
    phone.cseq = 0;
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    let again = phone.answer(&request, &challenge, 1);
    let again = again.replace("CSeq: 1 ", "CSeq: 0 ");
    world.deliver(ALICE, &again);
    assert!(world.sent.remove(0).is("500"));
    phone.cseq = 50;
    assert_eq!(bindings(&mut world, &mut phone).len(), 1);
}

#[test]
fn the_same_device_replaces_its_flow_and_gets_a_gruu_rfc5626_6_rfc5627_5_2() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let instance = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let contact = |port: u16| {
        format!(
            "Contact: <sip:alice@10.9.8.7:{port}>;reg-id=1;+sip.instance=\"<{instance}>\"\r\n\
             Expires: 600\r\nSupported: path, outbound, gruu\r\n\
             Path: <sip:proxy.example;lr;ob>\r\n"
        )
    };
    for port in [5062, 5070] {
        let request = phone.register(&contact(port));
        let answer = phone.send(&mut world, &request);
        let expected = format!(
            "<sip:alice@10.9.8.7:{port}>;expires=600;+sip.instance=\"<{instance}>\";\
             pub-gruu=\"sip:alice@{REALM};gr={instance}\";reg-id=1"
        );
        assert_eq!(contacts(&answer), [expected]);
        assert_eq!(answer.header(HeaderName::Path), "<sip:proxy.example;lr;ob>");
        assert_eq!(answer.header(HeaderName::Require), "outbound");
    }
}

#[test]
fn a_user_registers_itself_only() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("600");
    let request = request.replace("To: <sip:alice@", "To: <sip:bob@");
    assert!(phone.send(&mut world, &request).is("403"));
    assert_eq!(refused(&world, RefusalReason::Registration), 1);
}

#[test]
fn a_reload_keeps_registrations() {
    let mut world = world();
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let mut next = plan();
    with_phones(&mut next);
    next.adopt_usage(world.core.plan());
    world.input(Input::Plan(&std::sync::Arc::new(next)));
    assert_eq!(bindings(&mut world, &mut phone).len(), 1);
}

#[test]
fn a_stranger_makes_no_state_on_a_listener_with_phones() {
    let mut world = world();
    let mut phone = Phone::new(STRANGER, "alice");
    for method in [
        "REGISTER",
        "INVITE",
        "OPTIONS",
        "CANCEL",
        "ACK",
        "BYE",
        "SUBSCRIBE",
    ] {
        for to in [
            "<sip:bob@summit.example>",
            "<sip:bob@summit.example>;tag=abc",
        ] {
            let request = phone.request(method, "sip:bob@summit.example", to, "", None);
            world.deliver(STRANGER, &request);
        }
    }
    assert_eq!(world.core.transactions().server_count(), 0);
    let fine = ["SIP/2.0 401", "SIP/2.0 407", "SIP/2.0 481"];
    for sent in &world.sent {
        assert!(
            fine.iter().any(|start| sent.text.starts_with(start)),
            "{sent:#?}"
        );
    }
}
