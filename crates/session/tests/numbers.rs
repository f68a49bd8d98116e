//! Numbers and identity through one core: what each side is told, and what is refused.

mod support;

use ringfence_session::numbering::{DialAction, DialPattern, DialRule, NumbersOut, numbering_plan};
use ringfence_session::plan::{NumberRange, PeerId, Plan};
use ringfence_session::policy::{CallingNumber, DiversionPolicy};
use ringfence_sip::HeaderName;
use support::*;

const TRUNK: usize = 0;
const MAIN: usize = 1;
/// How the callers of the tests present themselves.
const FROM: &str = "\"Alice\" <sip:+15551234567@";

/// An INVITE of the PBX with `uri` and, in the place of the usual From, `from` and more headers.
fn invite(uri: &str, from: &str, more: &str) -> String {
    let mut caller = Caller::new(PBX, "x");
    caller.target = uri.to_owned();
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    let text = text.replace(&format!("{FROM}{PBX}>"), from);
    text.replacen("Content-Type", &format!("{more}Content-Type"), 1)
}

/// What the carrier gets of it.
#[track_caller]
fn sent(change: impl FnOnce(&mut Plan), uri: &str, from: &str, more: &str) -> (World, Sent) {
    let mut world = World::with(change);
    world.deliver(PBX, &invite(uri, from, more));
    let sent = world.take(CARRIER, "INVITE");
    (world, sent)
}

const OWN: &str = "<sip:+13305550107@192.0.2.10>";

#[test]
fn a_number_is_written_as_the_carrier_wants_it() {
    for (form, expected, from) in [
        (NumbersOut::E164Plus, "+12125550123", "+13305550107"),
        (NumbersOut::E164, "12125550123", "13305550107"),
        (NumbersOut::National, "2125550123", "3305550107"),
        (NumbersOut::AsIs, "2125550123", "+13305550107"),
    ] {
        let change = |plan: &mut Plan| plan.peers[TRUNK].policy.numbers_out = form;
        let (_, invite) = sent(change, "sip:2125550123@192.0.2.2", OWN, "");
        assert_eq!(
            invite.request_uri(),
            format!("sip:{expected}@198.51.100.20")
        );
        assert!(
            invite
                .header(HeaderName::To)
                .contains(&format!("sip:{expected}@"))
        );
        assert!(
            invite
                .header(HeaderName::From)
                .contains(&format!("sip:{from}@"))
        );
        let asserted = invite.header(HeaderName::PAssertedIdentity);
        assert!(
            asserted.contains(&format!("sip:{from}@203.0.113.10")),
            "{asserted}"
        );
    }
}

#[test]
fn user_phone_is_said_of_numbers_only_rfc3261_19_1_1() {
    let change = |plan: &mut Plan| plan.peers[TRUNK].policy.user_phone = true;
    let (_, invite) = sent(change, "tel:+1-212-555-0123", OWN, "");
    assert_eq!(
        invite.request_uri(),
        "sip:+12125550123@198.51.100.20;user=phone"
    );
    assert!(
        invite
            .header(HeaderName::From)
            .contains("@203.0.113.10;user=phone>")
    );
    let (_, invite) = sent(change, "sip:bob@192.0.2.2", OWN, "");
    assert_eq!(invite.request_uri(), "sip:bob@198.51.100.20");
}

#[test]
fn a_called_number_is_the_sites_in_whatever_form_it_comes() {
    for uri in [
        "sip:+13305550100@203.0.113.10",
        "sip:13305550100@203.0.113.10",
        "sip:3305550100@203.0.113.10",
        "tel:+1-330-555-0100",
        "tel:5550100;phone-context=+1330",
    ] {
        let mut world = World::with(|plan| plan.peers[MAIN].policy.numbers_out = NumbersOut::E164);
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.target = uri.to_owned();
        let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
        world.deliver(CARRIER, &text);
        let invite = world.take(PBX, "INVITE");
        assert_eq!(invite.request_uri(), "sip:13305550100@192.0.2.10", "{uri}");
    }
}

#[test]
fn a_site_presents_its_own_numbers_only() {
    let (world, invite) = sent(
        |_| {},
        "sip:2125550123@192.0.2.2",
        "<sip:101@192.0.2.10>",
        "",
    );
    let from = invite.header(HeaderName::From);
    assert!(
        from.starts_with("<sip:+13305550100@203.0.113.10>"),
        "{from}"
    );
    assert!(
        world.core.calls()[0].from == "101",
        "the record keeps the real one"
    );
    let (_, invite) = sent(
        |_| {},
        "sip:2125550123@192.0.2.2",
        "<sip:+15551234567@192.0.2.10>",
        "P-Preferred-Identity: <sip:3305550120@192.0.2.10>\r\n",
    );
    let from = invite.header(HeaderName::From);
    assert!(from.starts_with("<sip:3305550120@203.0.113.10>"), "{from}");
}

#[test]
fn a_foreign_calling_number_is_refused_or_passed_by_policy() {
    let refuse = |plan: &mut Plan| plan.peers[MAIN].policy.calling_number = CallingNumber::Refuse;
    let mut world = World::with(refuse);
    let foreign = "<sip:+15551234567@192.0.2.10>";
    world.deliver(PBX, &invite("sip:2125550123@192.0.2.2", foreign, ""));
    world.take(PBX, "403");
    assert_eq!(
        world.cdrs[0].rule,
        "refused: the calling number is not one of the site's"
    );
    let (_, own) = sent(refuse, "sip:2125550123@192.0.2.2", OWN, "");
    assert!(own.header(HeaderName::From).contains("+13305550107"));
    let (_, help) = sent(refuse, "sip:911@192.0.2.2", foreign, "");
    assert!(
        help.header(HeaderName::From).contains("+13305550100"),
        "never refused"
    );
    let any = |plan: &mut Plan| plan.peers[MAIN].policy.calling_number = CallingNumber::Any;
    let (_, passed) = sent(any, "sip:2125550123@192.0.2.2", foreign, "");
    assert!(passed.header(HeaderName::From).contains("+15551234567"));
    assert_eq!(passed.header(HeaderName::PAssertedIdentity), "");
}

#[test]
fn an_anonymous_caller_is_known_to_the_trusted_only_rfc3325_9() {
    let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let asserted = "P-Asserted-Identity: \"Bob\" <sip:+13305550107@192.0.2.10>\r\n";
    let (world, invite) = sent(|_| {}, "sip:2125550123@192.0.2.2", anonymous, asserted);
    let from = invite.header(HeaderName::From);
    assert!(from.contains("anonymous@anonymous.invalid"), "{from}");
    assert!(
        invite
            .header(HeaderName::PAssertedIdentity)
            .contains("+13305550107")
    );
    assert_eq!(invite.header(HeaderName::Privacy), "id");
    assert_eq!(world.core.calls()[0].from, "+13305550107");
    let untrusted = |plan: &mut Plan| plan.peers[TRUNK].policy.trust = false;
    let (_, invite) = sent(untrusted, "sip:2125550123@192.0.2.2", anonymous, asserted);
    assert!(!invite.text.contains("3305550107"), "{}", invite.text);
}

#[test]
fn privacy_makes_from_anonymous_rfc3323_5_3() {
    for word in ["id", "user", "header;critical"] {
        let privacy = format!("Privacy: {word}\r\n");
        let (_, invite) = sent(|_| {}, "sip:2125550123@192.0.2.2", OWN, &privacy);
        let from = invite.header(HeaderName::From);
        assert!(from.contains("anonymous@anonymous.invalid"), "{from}");
        assert!(invite.header(HeaderName::Privacy).starts_with("id"));
    }
    let forbidden = |plan: &mut Plan| plan.peers[MAIN].policy.anonymous = false;
    let (_, invite) = sent(
        forbidden,
        "sip:2125550123@192.0.2.2",
        OWN,
        "Privacy: id\r\n",
    );
    assert!(invite.header(HeaderName::From).contains("+13305550107"));
    assert_eq!(invite.header(HeaderName::Privacy), "");
}

#[test]
fn a_carriers_assertion_is_believed_if_it_is_trusted_rfc3325_9() {
    for trust in [true, false] {
        let mut world = World::with(|plan| plan.peers[TRUNK].policy.trust = trust);
        let mut caller = Caller::new(CARRIER, "+13305550100");
        let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
        let more = "P-Asserted-Identity: <sip:+12125550199@carrier.example>\r\nContent-Type";
        world.deliver(CARRIER, &text.replacen("Content-Type", more, 1));
        let invite = world.take(PBX, "INVITE");
        let asserted = invite.header(HeaderName::PAssertedIdentity);
        assert_eq!(
            asserted.contains("+12125550199@192.0.2.2"),
            trust,
            "{asserted}"
        );
    }
}

fn rule(pattern: &str, action: DialAction) -> DialRule {
    DialRule {
        pattern: DialPattern::new(pattern).unwrap(),
        action,
    }
}

fn rewrite(strip: usize, prepend: &str, trunk: Option<u16>) -> DialAction {
    DialAction::Rewrite {
        strip,
        prepend: prepend.to_owned(),
        trunk: trunk.map(PeerId::new),
    }
}

/// Nine for an outside line, local numbers, a forbidden range.
fn dial(plan: &mut Plan) {
    plan.sites[0].policy.dial = vec![
        rule("9900.", DialAction::Refuse),
        rule("9.", rewrite(1, "", None)),
        rule("NXXXXXX", rewrite(0, "+1330", None)),
        rule(".", DialAction::Refuse),
    ];
}

#[test]
fn dial_rules_strip_prepend_and_refuse() {
    let (_, invite) = sent(dial, "sip:92125550123@192.0.2.2", OWN, "");
    assert_eq!(invite.request_uri(), "sip:2125550123@198.51.100.20");
    let (world, invite) = sent(dial, "sip:5550123@192.0.2.2", OWN, "");
    assert_eq!(invite.request_uri(), "sip:+13305550123@198.51.100.20");
    assert!(
        world.core.calls()[0].to == "5550123",
        "the record keeps what was dialled"
    );
    for refused in ["sip:99001@192.0.2.2", "sip:123@192.0.2.2"] {
        let mut world = World::with(dial);
        world.deliver(PBX, &self::invite(refused, OWN, ""));
        world.take(PBX, "403");
        assert_eq!(
            world.cdrs[0].rule,
            "refused: the dial plan refuses the number"
        );
    }
}

#[test]
fn a_rule_may_name_the_trunk() {
    let mut plan_of_two = support::plan();
    let second = plan_of_two.peers.remove(TRUNK);
    let change = |plan: &mut Plan| {
        plan.peers.push(second);
        plan.peers[2].key = "carrier-b".into();
        plan.peers[2].addresses = vec!["198.51.100.99:5060".parse().unwrap()];
        plan.sites[0].policy.dial = vec![rule("8.", rewrite(1, "", Some(2)))];
    };
    let mut world = World::with(change);
    world.deliver(PBX, &invite("sip:82125550123@192.0.2.2", OWN, ""));
    let invite = world.take("198.51.100.99:5060", "INVITE");
    assert!(invite.request_uri().starts_with("sip:2125550123@"));
}

#[test]
fn help_is_called_from_any_state_and_in_any_spelling_rfc5031_4_2() {
    for uri in [
        "sip:911@192.0.2.2",
        "sip:911@192.0.2.2;user=phone",
        "sip:9911@192.0.2.2",
        "tel:911",
        "tel:911;phone-context=+1",
        "urn:service:sos",
        "urn:service:sos.police",
    ] {
        let full = |plan: &mut Plan| {
            dial(plan);
            plan.limits.calls_max = 0;
            plan.sites[0]
                .policy
                .dial
                .insert(0, rule("911", DialAction::Refuse));
            plan.peers[TRUNK].policy.numbers_out = NumbersOut::E164Plus;
            plan.peers[MAIN].policy.calling_number = CallingNumber::Refuse;
        };
        let (world, invite) = sent(full, uri, "<sip:101@192.0.2.10>", "Privacy: id\r\n");
        assert_eq!(invite.request_uri(), "sip:911@198.51.100.20", "{uri}");
        let from = invite.header(HeaderName::From);
        assert!(from.contains("+13305550100"), "can be called back: {from}");
        assert!(world.core.calls()[0].emergency);
    }
}

#[test]
fn another_country_reads_its_own_numbers() {
    let mut world = World::with(|plan| {
        plan.sites[0].policy.numbering = numbering_plan("GB");
        plan.sites[0].numbers = vec![NumberRange::new("+442079460000", "+442079460099").unwrap()];
        plan.peers[MAIN].policy.numbers_out = NumbersOut::National;
    });
    let mut caller = Caller::new(CARRIER, "+442079460000");
    let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &text);
    let invite = world.take(PBX, "INVITE");
    assert_eq!(invite.request_uri(), "sip:02079460000@192.0.2.10");
    let from = invite.header(HeaderName::From);
    assert!(from.contains("sip:0015551234567@"), "{from}");
}

#[test]
fn diversions_are_told_by_policy_and_never_with_an_inside_address_rfc5806_rfc7044() {
    let diversion = "Diversion: <sip:+13305550120@192.0.2.10>;reason=no-answer;counter=2\r\n\
                     Diversion: \"Bob\" <sip:3305550107@192.0.2.10>;reason=unconditional\r\n\
                     Diversion: <sip:bob@192.0.2.10>;reason=user-busy\r\n";
    let history = "History-Info: <sip:3305550107@192.0.2.10>;index=1\r\n\
                   History-Info: <sip:+13305550120@192.0.2.10;cause=302>;index=1.1\r\n\
                   History-Info: <sip:2125550123@192.0.2.10;cause=408>;index=1.2\r\n";
    for (policy, expected) in [
        (DiversionPolicy::Drop, &[][..]),
        (
            DiversionPolicy::Diversion,
            &[
                "Diversion: <sip:+13305550120@203.0.113.10>;reason=no-answer;privacy=off",
                "Diversion: <sip:+13305550107@203.0.113.10>;reason=unconditional;privacy=off",
            ],
        ),
        (
            DiversionPolicy::HistoryInfo,
            &[
                "History-Info: <sip:+13305550107@203.0.113.10>;index=1",
                "History-Info: <sip:+13305550120@203.0.113.10;cause=302>;index=1.1",
                "History-Info: <sip:+12125550123@203.0.113.10;cause=408>;index=1.1.1;mp=1.1",
            ],
        ),
    ] {
        for received in [diversion, history] {
            let change = |plan: &mut Plan| {
                plan.peers[TRUNK].policy.diversion = policy;
                plan.peers[TRUNK].policy.numbers_out = NumbersOut::E164Plus;
            };
            let (_, invite) = sent(change, "sip:2125550123@192.0.2.2", OWN, received);
            let told: Vec<&str> = invite
                .text
                .lines()
                .filter(|line| line.starts_with("Diversion") || line.starts_with("History"))
                .collect();
            assert_eq!(told, expected, "{policy:?} of {received}");
            assert!(!invite.text.contains("192.0.2"), "{}", invite.text);
        }
    }
}

#[test]
fn a_private_diversion_is_kept_from_an_untrusted_peer_rfc5806_5() {
    let change = |plan: &mut Plan| {
        plan.peers[TRUNK].policy.diversion = DiversionPolicy::Pass;
        plan.peers[TRUNK].policy.trust = false;
    };
    let private = "Diversion: <sip:+13305550120@192.0.2.10>;reason=no-answer;privacy=full\r\n";
    let (_, invite) = sent(change, "sip:2125550123@192.0.2.2", OWN, private);
    assert!(!invite.text.contains("Diversion"), "{}", invite.text);
}

const PIDF: &str = "<presence entity=\"pres:alice@pbx.example\"><geopriv/></presence>";

/// An INVITE with a location by value and one by reference.
fn located(uri: &str) -> String {
    let body = format!(
        "--b1\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b1\r\nContent-Type: \
         application/pidf+xml\r\nContent-ID: <loc1@192.0.2.10>\r\n\r\n{PIDF}\r\n--b1--\r\n",
        sdp("192.0.2.11", 9000, "")
    );
    let text = invite(uri, OWN, "");
    let (head, _) = text.split_once("Content-Type").unwrap();
    format!(
        "{head}Geolocation: <cid:loc1@192.0.2.10>, <https://lis.example/abc>\r\n\
         Geolocation: <https://192.0.2.10/inside>\r\nGeolocation-Routing: yes\r\n\
         Content-Type: multipart/mixed;boundary=b1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_location_of_an_emergency_call_is_passed_rfc6442_3_2() {
    let mut world = World::new();
    world.deliver(PBX, &located("sip:911@192.0.2.2"));
    let invite = world.take(CARRIER, "INVITE");
    assert!(invite.body().contains(PIDF), "{}", invite.text);
    assert!(invite.body().contains("m=audio 30000"), "{}", invite.text);
    let kind = invite.header(HeaderName::ContentType);
    assert!(kind.starts_with("multipart/mixed;boundary="), "{kind}");
    let references: Vec<&str> = invite
        .text
        .lines()
        .filter(|line| line.starts_with("Geo"))
        .collect();
    let [by_value, by_reference, routing] = references[..] else {
        panic!("{references:?}")
    };
    let id = by_value
        .strip_prefix("Geolocation: <cid:")
        .unwrap()
        .trim_end_matches('>');
    assert!(id.ends_with("@203.0.113.10"));
    assert!(invite.body().contains(&format!("Content-ID: <{id}>")));
    assert_eq!(by_reference, "Geolocation: <https://lis.example/abc>");
    assert_eq!(routing, "Geolocation-Routing: yes");
    assert!(!invite.text.contains("192.0.2"), "{}", invite.text);
}

#[test]
fn the_location_of_any_other_call_stays_inside() {
    let mut world = World::new();
    world.deliver(PBX, &located("sip:2125550123@192.0.2.2"));
    let invite = world.take(CARRIER, "INVITE");
    for never in ["geopriv", "Geolocation", "lis.example"] {
        assert!(!invite.text.contains(never), "{}", invite.text);
    }
}

#[test]
fn a_peer_that_knows_us_by_name_never_sees_an_address() {
    let change = |plan: &mut Plan| {
        plan.peers[TRUNK].policy.contact_host = Some("sbc.summit.example".into());
    };
    let (mut world, invite) = sent(change, "sip:2125550123@192.0.2.2", OWN, "");
    assert_eq!(
        invite.header(HeaderName::Contact),
        "<sip:sbc.summit.example:5060>"
    );
    assert!(
        invite
            .header(HeaderName::From)
            .contains("@sbc.summit.example>")
    );
    assert!(
        invite
            .header(HeaderName::Via)
            .contains("/UDP sbc.summit.example:5060;")
    );
    let head = invite.text.split_once("\r\n\r\n").unwrap().0;
    assert!(!head.contains("203.0.113.10"), "{head}");
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    let ack = world.take(CARRIER, "ACK");
    assert!(
        ack.header(HeaderName::Via)
            .contains("sbc.summit.example:5060")
    );
    let mut world = World::with(change);
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &text);
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    let ringing = world.take(CARRIER, "180");
    assert_eq!(
        ringing.header(HeaderName::Contact),
        "<sip:sbc.summit.example:5060>"
    );
}
