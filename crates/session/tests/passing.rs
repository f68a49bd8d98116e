//! INFO, MESSAGE and Reason: what crosses, and what does not.

mod support;

use std::time::Duration;

use ringfence_sip::HeaderName;
use support::*;

fn offer() -> String {
    sdp("198.51.100.21", 7000, "")
}

/// A request with a body of another type than SDP.
fn typed(caller: &mut Caller, method: &str, media_type: &str, body: &str) -> String {
    caller
        .request(method, Some(body))
        .replacen("application/sdp", media_type, 1)
}

#[test]
fn an_info_of_a_listed_type_crosses_and_no_other_rfc6086_4_2() {
    let mut world = World::with(|plan| {
        plan.peers[0].methods.info = vec!["application/media_control+xml".into()];
    });
    let (mut caller, _) = world.answered_call();
    let body = "<media_control>\u{fc}</media_control>\r\n";
    let listed = "Application/media_control+xml;charset=utf-8";
    let info = typed(&mut caller, "INFO", listed, body);
    world.deliver(CARRIER, &info);
    world.take(CARRIER, "200");
    let passed = world.take(PBX, "INFO");
    let media_type = passed.header(HeaderName::ContentType);
    assert_eq!(
        (media_type.as_str(), passed.body()),
        ("application/media_control+xml", body)
    );
    let info = typed(
        &mut caller,
        "INFO",
        "application/dtmf-relay",
        "Signal=1\r\n",
    );
    world.deliver(CARRIER, &info);
    let refusal = world.take(CARRIER, "415");
    assert_eq!(
        refusal.header(HeaderName::Accept),
        "application/media_control+xml"
    );
    // Nothing that names the other side.
    let info = typed(&mut caller, "INFO", listed, "at 198.51.100.20\r\n");
    world.deliver(CARRIER, &info);
    world.take(CARRIER, "403");
    world.nothing_sent();
}

#[test]
fn an_info_package_that_was_not_agreed_to_is_469_rfc6086_4_2_2() {
    let mut world = World::new();
    let (mut caller, _) = world.answered_call();
    let info = caller.request("INFO", None);
    let info = info.replacen("User-Agent", "Info-Package: foo\r\nUser-Agent", 1);
    world.deliver(CARRIER, &info);
    world.take(CARRIER, "469");
    world.nothing_sent();
}

#[test]
fn a_cancel_says_that_the_call_was_completed_elsewhere_rfc3326_2() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer())));
    let invite = world.take(PBX, "INVITE");
    let reason = "Reason: SIP;cause=200;text=\"phone 198.51.100.21\"\r\nUser-Agent";
    let cancel = caller.request("CANCEL", None);
    world.deliver(CARRIER, &cancel.replacen("User-Agent", reason, 1));
    // It waits for the first response.
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    let cancel = world.take(PBX, "CANCEL");
    assert_eq!(
        cancel.header(HeaderName::Reason),
        "SIP;cause=200;text=\"Call completed elsewhere\""
    );
}

#[test]
fn a_refusal_carries_the_q850_cause_and_not_its_text_rfc6432_3() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer())));
    let invite = world.take(PBX, "INVITE");
    let refusal = invite.answer("404 Not Found", PBX, None);
    let reason = "Reason: Q.850;cause=3;text=\"at 192.0.2.11\"\r\nServer";
    world.deliver(PBX, &refusal.replacen("Server", reason, 1));
    let refusal = world.take(CARRIER, "404");
    assert_eq!(refusal.header(HeaderName::Reason), "Q.850;cause=3");
    assert_eq!(world.cdrs[0].q850, 3);
}

/// Both peers may send MESSAGE.
fn texting() -> World {
    World::with(|plan| {
        for peer in &mut plan.peers {
            peer.methods.messages = true;
        }
    })
}

#[test]
fn a_message_goes_by_the_routes_of_calls_rfc3428_4() {
    let mut world = texting();
    let mut sender = Caller::new(CARRIER, "+13305550100");
    let text = "Gr\u{fc}\u{df}e, um acht.";
    let message = typed(&mut sender, "MESSAGE", "text/plain", text);
    world.deliver(CARRIER, &message);
    let passed = world.take(PBX, "MESSAGE sip:+13305550100@192.0.2.10");
    assert_eq!(passed.body(), text);
    for secret in ["198.51.100", "secret", "Secret", "203.0.113"] {
        assert!(!passed.text.contains(secret), "{secret} in {}", passed.text);
    }
    // Repeated meanwhile: absorbed.
    world.deliver(CARRIER, &message);
    world.nothing_sent();
    world.deliver(PBX, &passed.answer("200 OK", PBX, None));
    let ok = world.take(CARRIER, "200");
    assert!(!ok.text.contains("192.0.2"), "{}", ok.text);
    // To a number that is not the site's, and of a kind that is not carried.
    let mut other = Caller::new(CARRIER, "+19995550100");
    world.deliver(CARRIER, &typed(&mut other, "MESSAGE", "text/plain", text));
    world.take(CARRIER, "404");
    let html = typed(&mut sender, "MESSAGE", "text/html", "<b>");
    world.deliver(CARRIER, &html);
    world.take(CARRIER, "415");
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_message_without_answer_is_never_408_rfc4320_4_2() {
    let mut world = texting();
    let mut sender = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &typed(&mut sender, "MESSAGE", "text/plain", "hello"),
    );
    let passed = world.take(PBX, "MESSAGE");
    world.deliver(PBX, &passed.answer("100 Trying", PBX, None));
    world.pass(Duration::from_secs(40));
    world.sent.retain(|sent| !sent.is("MESSAGE"));
    world.nothing_sent();
    world.all_over();
}

#[test]
fn messages_are_off_unless_both_peers_have_them_rfc3428() {
    let mut world = World::with(|plan| plan.peers[0].methods.messages = true);
    let mut sender = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &typed(&mut sender, "MESSAGE", "text/plain", "hello"),
    );
    world.take(CARRIER, "405");
    let mut sender = Caller::new(PBX, "+15550001111");
    world.deliver(PBX, &typed(&mut sender, "MESSAGE", "text/plain", "hello"));
    let refusal = world.take(PBX, "405");
    assert!(!refusal.header(HeaderName::Allow).contains("MESSAGE"));
    world.nothing_sent();
}

#[test]
fn a_message_inside_a_call_crosses_it_rfc3428() {
    let mut world = texting();
    let (mut caller, _) = world.answered_call();
    world.deliver(
        CARRIER,
        &typed(&mut caller, "MESSAGE", "text/plain", "hello"),
    );
    world.take(CARRIER, "202");
    let passed = world.take(PBX, "MESSAGE");
    assert_eq!(passed.body(), "hello");
    world.deliver(PBX, &passed.answer("200 OK", PBX, None));
    world.nothing_sent();
}
