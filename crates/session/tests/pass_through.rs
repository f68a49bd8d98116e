//! Phones whose registrations are passed on to the phone system.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Secret;
use ringfence_session::account::Account;
use ringfence_session::core::Input;
use ringfence_session::refusal::RefusalReason;
use ringfence_sip::HeaderName;
use support::phone::*;
use support::*;

fn world() -> World {
    World::with(|plan| {
        with_phones(plan);
        plan.phones[0].passes = true;
    })
}

/// A REGISTER of Alice as the PBX gets it.
#[track_caller]
fn passed_on(world: &mut World, phone: &mut Phone, request: &str) -> Sent {
    world.deliver(phone.from, request);
    let challenge = world.take(phone.from, "401");
    let again = phone.answer(request, &challenge, 1);
    world.deliver(phone.from, &again);
    let sent = world.take(PBX, "REGISTER");
    world.nothing_sent();
    sent
}

/// The PBX's yes: its contact for this many seconds, and somebody else's.
fn granted(register: &Sent, seconds: u32) -> String {
    let contact = register.header(HeaderName::Contact);
    let place = contact.split(";expires").next().unwrap();
    let answer = register.answer("200 OK", PBX, None);
    answer.replace(
        &format!("Contact: <sip:callee@{PBX}>"),
        &format!("Contact: <sip:alice@192.0.2.99>;expires=9, {place};expires={seconds}"),
    )
}

/// Alice registers through; the contact that the PBX has of her.
#[track_caller]
fn registered(world: &mut World, phone: &mut Phone, seconds: u32) -> String {
    let request = phone.register_contact("3600");
    let sent = passed_on(world, phone, &request);
    world.deliver(PBX, &granted(&sent, seconds));
    let answer = world.take(phone.from, "200");
    let contact = answer.header(HeaderName::Contact);
    assert!(
        contact.ends_with(&format!(">;expires={seconds}")),
        "{contact}"
    );
    let contact = sent.header(HeaderName::Contact);
    let uri = contact.trim_start_matches('<').split('>').next().unwrap();
    uri.to_owned()
}

/// The PBX calls this URI.
fn pbx_calls(world: &mut World, uri: &str) -> Caller {
    let user = uri.trim_start_matches("sip:").split('@').next().unwrap();
    let mut caller = Caller::new(PBX, user);
    caller.target = uri.to_owned();
    let request = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &request);
    caller
}

#[test]
fn a_phone_is_registered_at_the_pbx_under_our_address_and_nothing_of_it_is_shown() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("3600");
    let sent = passed_on(&mut world, &mut phone, &request);
    assert_eq!(sent.request_uri(), "sip:192.0.2.10");
    assert_eq!(sent.header(HeaderName::To), "<sip:alice@192.0.2.10>");
    let contact = sent.header(HeaderName::Contact);
    assert!(contact.starts_with("<sip:alice~"), "{contact}");
    assert!(
        contact.ends_with("@192.0.2.2:5060>;expires=3600"),
        "{contact}"
    );
    for secret in [
        "10.9.8.7",
        "198.18.0.5",
        "203.0.113",
        "register-alice",
        "phonetag",
        "Authorization",
        "nonce",
        "Phone 1.0",
        REALM,
    ] {
        assert!(!sent.text.contains(secret), "{secret} in {sent:#?}");
    }
    // It is registered when the PBX says so, for as long as the PBX says so.
    world.deliver(PBX, &granted(&sent, 120));
    let answer = world.take(ALICE, "200");
    assert_eq!(
        answer.header(HeaderName::Contact),
        "<sip:alice@10.9.8.7:5062>;expires=120"
    );
    for secret in ["192.0.2", "SecretPBX", "callee1"] {
        assert!(!answer.text.contains(secret), "{secret} in {answer:#?}");
    }
}

#[test]
fn a_call_of_the_pbx_finds_the_contact_that_it_knows_and_no_other() {
    let mut world = world();
    let mut desk = Phone::new(ALICE, "alice");
    let contact = registered(&mut world, &mut desk, 600);
    let mut mobile = Phone::new(BOB, "alice");
    mobile.call_id = "register-mobile".into();
    mobile.contact = "<sip:alice@10.9.8.9:5062>".into();
    let other = registered(&mut world, &mut mobile, 600);
    assert_ne!(contact, other);
    let mut caller = pbx_calls(&mut world, &contact);
    world.take(PBX, "100");
    let sent = world.take(ALICE, "INVITE");
    world.nothing_sent();
    assert_eq!(sent.request_uri(), "sip:alice@10.9.8.7:5062");
    assert!(
        !sent.text.contains('~') && !sent.text.contains("192.0.2"),
        "{sent:#?}"
    );
    let body = sdp("10.9.8.7", 4000, "");
    world.deliver(ALICE, &sent.answer("200 OK", "10.9.8.7:5062", Some(&body)));
    world.take(ALICE, "ACK");
    let ok = world.take(PBX, "200");
    caller.learn(&ok);
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    let bye = caller.request("BYE", None);
    world.deliver(PBX, &bye);
    assert_eq!(world.cdrs[0].to, "alice");
}

#[test]
fn the_same_contact_has_the_same_name_after_a_refresh_and_a_restart() {
    let mut first = world();
    let mut phone = Phone::new(ALICE, "alice");
    let before = registered(&mut first, &mut phone, 600);
    first.pass(Duration::from_secs(300));
    assert_eq!(registered(&mut first, &mut phone, 600), before);
    let mut second = world();
    let mut phone = Phone::new(ALICE, "alice");
    assert_eq!(registered(&mut second, &mut phone, 600), before);
}

#[test]
fn a_phone_that_leaves_leaves_the_pbx() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let contact = registered(&mut world, &mut phone, 600);
    let request = phone.register("Contact: *\r\nExpires: 0\r\n");
    let sent = passed_on(&mut world, &mut phone, &request);
    assert_eq!(
        sent.header(HeaderName::Contact),
        format!("<{contact}>;expires=0")
    );
    world.deliver(PBX, &sent.answer("200 OK", PBX, None));
    let answer = world.take(ALICE, "200");
    assert_eq!(answer.header(HeaderName::Contact), "");
    pbx_calls(&mut world, &contact);
    world.take(PBX, "480");
}

#[test]
fn what_the_pbx_refuses_the_phone_is_told_and_has_no_contact() {
    for (status, told) in [
        ("404 Unknown", "403"),
        ("403 No", "403"),
        (
            "401 Who\r\nWWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\"",
            "503",
        ),
        ("423 Brief\r\nMin-Expires: 7200", "423"),
        ("500 Broken", "503"),
        ("603 Never", "503"),
    ] {
        let mut world = world();
        let mut phone = Phone::new(ALICE, "alice");
        let request = phone.register_contact("3600");
        let sent = passed_on(&mut world, &mut phone, &request);
        world.deliver(PBX, &sent.answer(status, PBX, None));
        let answer = world.take(ALICE, told);
        assert!(!answer.text.contains("nonce"), "{answer:#?}");
        if told == "423" {
            assert_eq!(answer.header(HeaderName::MinExpires), "7200");
        }
        let count = world.core.counters().refused[RefusalReason::Registration as usize];
        assert_eq!(count, 1, "{status}");
        pbx_calls(&mut world, "sip:alice@192.0.2.2:5060");
        assert!(
            world
                .sent
                .iter()
                .all(|sent| !sent.is("INVITE") || sent.to.port() == 5060)
        );
    }
}

#[test]
fn a_pbx_that_is_silent_or_keeps_nothing_is_503_or_500_and_what_was_there_stays() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let contact = registered(&mut world, &mut phone, 600);
    let request = phone.register_contact("3600");
    let sent = passed_on(&mut world, &mut phone, &request);
    world.pass(Duration::from_secs(11));
    let answer = world.take(ALICE, "503");
    assert_eq!(answer.header(HeaderName::RetryAfter), "30");
    // Its late answer is nobody's.
    world.sent.clear();
    world.deliver(PBX, &granted(&sent, 600));
    world.nothing_sent();
    let request = phone.register_contact("3600");
    let sent = passed_on(&mut world, &mut phone, &request);
    world.deliver(PBX, &granted(&sent, 0));
    world.take(ALICE, "500");
    pbx_calls(&mut world, &contact);
    world.take(PBX, "100");
    world.take(ALICE, "INVITE");
}

#[test]
fn an_answer_of_ten_years_is_a_day_and_one_without_a_word_is_what_was_asked() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("600");
    let sent = passed_on(&mut world, &mut phone, &request);
    world.deliver(PBX, &granted(&sent, 315_360_000));
    let answer = world.take(ALICE, "200");
    assert!(
        answer
            .header(HeaderName::Contact)
            .ends_with(";expires=86400")
    );
    let request = phone.register_contact("600");
    let sent = passed_on(&mut world, &mut phone, &request);
    let silent = sent.answer("200 OK", PBX, None);
    world.deliver(PBX, &silent.replace("Contact:", "X-Contact:"));
    let answer = world.take(ALICE, "200");
    assert!(answer.header(HeaderName::Contact).ends_with(";expires=600"));
}

#[test]
fn the_pbx_challenges_and_gets_the_edges_own_credentials() {
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.phones[0].passes = true;
        plan.peers[1].account = Some(Arc::new(Account {
            username: "edge".into(),
            password: Secret::new(b"between-us".to_vec()),
            realm: None,
            registration: None,
        }));
    });
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("3600");
    let sent = passed_on(&mut world, &mut phone, &request);
    let challenge = "401 Who\r\nWWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"";
    world.deliver(PBX, &sent.answer(challenge, PBX, None));
    let again = world.take(PBX, "REGISTER");
    assert!(again.text.contains("username=\"edge\""), "{again:#?}");
    world.nothing_sent();
    world.deliver(PBX, &granted(&again, 600));
    world.take(ALICE, "200");
}

#[test]
fn a_phone_of_the_pbx_dials_by_the_pbx_and_the_trunk_calls_it_by_the_pbx() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    registered(&mut world, &mut phone, 600);
    let mut caller = Caller::new(CARRIER, "+13305550107");
    let request = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &request);
    world.take(PBX, "INVITE");
    world.sent.clear();
    for (called, place) in [
        ("+15550001111", PBX),
        ("*97", PBX),
        ("bob", PBX),
        ("911", CARRIER),
    ] {
        phone.call_id = format!("call-{called}");
        let uri = format!("sip:{called}@{REALM}");
        let more = format!("Contact: {}\r\n", phone.contact);
        let body = sdp("10.9.8.7", 4000, "");
        let request = phone.request("INVITE", &uri, &format!("<{uri}>"), &more, Some(&body));
        assert!(phone.send(&mut world, &request).is("100"));
        let sent = world.take(place, "INVITE");
        let start = format!("sip:{called}@");
        assert!(sent.request_uri().starts_with(&start), "{sent:#?}");
        if place == PBX {
            assert!(
                sent.header(HeaderName::From)
                    .contains("<sip:alice@192.0.2.2>")
            );
        }
    }
}

#[test]
fn who_is_nobody_is_asked_for_credentials_like_everybody_and_the_pbx_hears_of_neither() {
    let mut world = world();
    let ask = |world: &mut World, user: &'static str| {
        let mut phone = Phone::new(ALICE, user);
        phone.password = "wrong".into();
        let request = phone.register_contact("3600");
        world.deliver(ALICE, &request);
        let challenge = world.take(ALICE, "401");
        let again = phone.answer(&request, &challenge, 1);
        world.deliver(ALICE, &again);
        let answer = world.take(ALICE, "401");
        world.nothing_sent();
        let shape = |sent: &Sent| -> Vec<String> {
            let lines = sent.text.lines().map(|line| line.replace(user, "USER"));
            lines
                .filter(|line| !line.contains("nonce") && !line.starts_with("To:"))
                .collect()
        };
        (shape(&challenge), shape(&answer).len())
    };
    let known = ask(&mut world, "alice");
    assert_eq!(ask(&mut world, "carol"), known);
}

#[test]
fn a_drain_forgets_no_register_that_waits_for_the_pbx() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("3600");
    let sent = passed_on(&mut world, &mut phone, &request);
    world.input(Input::Drain);
    world.deliver(PBX, &granted(&sent, 600));
    world.take(ALICE, "200");
    world.all_over();
}
