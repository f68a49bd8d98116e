//! What was said of a caller's number by somebody before us: no `verstat` crosses from either side.

mod support;

use ringfence_session::plan::Plan;
use ringfence_session::policy::CallingNumber;
use ringfence_sip::HeaderName;
use support::*;

/// The caller of the tests, as support writes it.
const FROM: &str = "\"Alice\" <sip:+15551234567@";

/// The carrier's INVITE to the site with another From and more headers, as the phone system gets it.
#[track_caller]
fn inbound(from: &str, more: &str) -> Sent {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 9000, "")));
    let text = text.replace(&format!("{FROM}{CARRIER}>"), from);
    assert!(text.contains(from), "{text}");
    world.deliver(
        CARRIER,
        &text.replacen("Content-Type", &format!("{more}Content-Type"), 1),
    );
    world.take(PBX, "INVITE")
}

#[track_caller]
fn says_no_verstat(sent: &Sent) {
    let text = sent.text.to_ascii_lowercase();
    for word in ["verstat", "validation"] {
        assert!(!text.contains(word), "{}", sent.text);
    }
}

#[test]
fn a_verstat_in_from_does_not_cross_but_the_number_does() {
    for from in [
        "<sip:+15551234567;verstat=TN-Validation-Passed@198.51.100.20;user=phone>",
        "<sip:+15551234567@198.51.100.20;user=phone;verstat=TN-Validation-Passed>",
        "<sip:+15551234567@198.51.100.20>;verstat=TN-Validation-Passed",
        "<tel:+15551234567;verstat=TN-Validation-Passed>",
    ] {
        let sent = inbound(from, "");
        says_no_verstat(&sent);
        let shown = sent.header(HeaderName::From);
        assert!(shown.contains("sip:+15551234567@"), "{from}: {shown}");
    }
}

#[test]
fn an_escaped_verstat_does_not_cross_but_the_number_does_rfc3261_19_1_2() {
    for escaped in [
        "%3Bverstat=TN-Validation-Passed",
        "%3bverstat%3DTN-Validation-Passed",
        "%3B%76erstat=TN-Validation-Passed",
    ] {
        for from in [
            format!("<sip:+15551234567{escaped}@198.51.100.20>"),
            format!("<sip:%2B15551234567{escaped}@198.51.100.20;user=phone>"),
        ] {
            let sent = inbound(&from, "");
            says_no_verstat(&sent);
            let shown = sent.header(HeaderName::From);
            assert!(shown.contains("sip:+15551234567@"), "{from}: {shown}");
            assert!(!shown.contains("%3"), "{from}: {shown}");
        }
    }
}

#[test]
fn a_caller_with_parameters_and_no_number_is_nobody() {
    let sent = inbound("<sip:%3Bverstat=TN-Validation-Passed@198.51.100.20>", "");
    says_no_verstat(&sent);
}

#[test]
fn a_verstat_in_an_assertion_or_a_diversion_does_not_cross() {
    let from = "<sip:+15551234567@198.51.100.20>";
    for number in [
        "sip:+12125550123;verstat=TN-Validation-Passed@198.51.100.20",
        "sip:+12125550123%3Bverstat=TN-Validation-Passed@198.51.100.20",
        "tel:+12125550123;verstat=TN-Validation-Passed",
    ] {
        for name in ["P-Asserted-Identity", "Diversion", "History-Info"] {
            says_no_verstat(&inbound(from, &format!("{name}: <{number}>\r\n")));
        }
    }
    let asserted = inbound(
        from,
        "P-Asserted-Identity: <sip:+12125550123%3Bverstat=TN-Validation-Passed@198.51.100.20>\r\n",
    );
    let asserted = asserted.header(HeaderName::PAssertedIdentity);
    assert!(asserted.contains("sip:+12125550123@"), "{asserted}");
}

#[test]
fn what_another_verifier_said_does_not_cross() {
    let sent = inbound(
        "<sip:+15551234567@198.51.100.20>",
        "P-Attestation-Indicator: A\r\nP-Origination-ID: 123e4567-e89b-12d3-a456-426655440000\r\n\
         Identity: a.b.c;info=<https://cert.example.org/a.pem>;alg=ES256\r\n",
    );
    for text in ["Attestation", "123e4567", "cert.example.org"] {
        assert!(!sent.text.contains(text), "{}", sent.text);
    }
}

#[test]
fn a_phone_system_cannot_claim_a_verstat_towards_the_carrier() {
    let mut world = World::with(|plan: &mut Plan| {
        for peer in &mut plan.peers {
            peer.policy.calling_number = CallingNumber::Any;
        }
    });
    let mut caller = Caller::new(PBX, "x");
    caller.target = "sip:2125550123@192.0.2.2".to_owned();
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    let from = "<sip:+15551234567%3Bverstat=TN-Validation-Passed@192.0.2.10>";
    world.deliver(PBX, &text.replace(&format!("{FROM}{PBX}>"), from));
    let sent = world.take(CARRIER, "INVITE");
    says_no_verstat(&sent);
    assert!(sent.header(HeaderName::From).contains("5551234567@"));
}
