//! Redirections (RFC 3261 §8.1.3.4), several ringing phones, and loops.

mod support;

use ringfence_session::methods::Redirects;
use ringfence_sip::HeaderName;
use support::*;

fn offer() -> String {
    sdp("198.51.100.21", 7000, "")
}

/// A call from the carrier that the PBX redirects to `contacts`.
fn redirected(world: &mut World, contacts: &str) -> Caller {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer())));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let moved = invite.answer("302 Moved Temporarily", PBX, None);
    let contact = format!("Contact: <sip:callee@{PBX}>");
    assert!(moved.contains(&contact));
    world.deliver(
        PBX,
        &moved.replace(&contact, &format!("Contact: {contacts}")),
    );
    world.take(PBX, "ACK");
    caller
}

#[test]
fn a_redirection_is_refused_unless_policy_follows_it_rfc3261_8_1_3_4() {
    let mut world = World::new();
    redirected(&mut world, "<sip:+15550002222@203.0.113.99>");
    world.take(CARRIER, "480");
    world.nothing_sent();
    assert_eq!(world.cdrs.len(), 1);
    world.all_over();
}

#[test]
fn a_redirection_is_followed_through_routing_only_rfc3261_8_1_3_4() {
    let mut world = World::with(|plan| plan.peers[1].methods.redirects = Redirects::Follow);
    let contacts = "<sip:evil.example>, <sip:+15550003333@203.0.113.99>;q=0.2, \
                    <sip:+15550002222@203.0.113.99>;q=0.8";
    let mut caller = redirected(&mut world, contacts);
    // To the carrier of the route, whatever host the Contact names.
    let invite = world.take(CARRIER, "INVITE sip:+15550002222@198.51.100.20");
    assert!(!invite.text.contains("192.0.2"), "{}", invite.text);
    let answer = sdp("198.51.100.31", 7100, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    world.take(CARRIER, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    assert_eq!(world.core.media().streams_open(), 1);
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(CARRIER, "BYE");
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.nothing_sent();
    assert!(
        world.cdrs[0].rule.contains("(redirected)"),
        "{}",
        world.cdrs[0].rule
    );
    world.all_over();
}

#[test]
fn a_loop_of_redirections_ends_rfc3261_8_1_3_4() {
    let mut world = World::with(|plan| {
        for peer in &mut plan.peers {
            peer.methods.redirects = Redirects::Follow;
        }
    });
    redirected(&mut world, "<sip:+15550002222@203.0.113.99>");
    let mut rounds = 0;
    loop {
        let at = [CARRIER, PBX].into_iter().find(|at| {
            let at: std::net::SocketAddr = at.parse().unwrap();
            world
                .sent
                .iter()
                .any(|sent| sent.is("INVITE") && sent.to == at)
        });
        let Some(at) = at else { break };
        rounds += 1;
        let invite = world.take(at, "INVITE");
        let (from, to) = match at {
            CARRIER => (CARRIER, "<sip:+13305550100@203.0.113.10>"),
            _ => (PBX, "<sip:+15550002222@192.0.2.2>"),
        };
        let moved = invite.answer("302 Moved Temporarily", from, None);
        let contact = format!("<sip:callee@{from}>");
        world.deliver(at, &moved.replace(&contact, to));
    }
    assert_eq!(rounds, 5);
    world.take(CARRIER, "480");
    world.sent.clear();
    world.all_over();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn several_phones_that_ring_are_one_to_the_caller_rfc3261_13_2_2_4() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer())));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let mut tags = Vec::new();
    for tag in ["tag=phone1", "tag=phone2"] {
        let ringing = invite.answer("180 Ringing", PBX, None);
        world.deliver(PBX, &ringing.replace("tag=callee1", tag));
        tags.push(world.take(CARRIER, "180").header(HeaderName::To));
    }
    let ok = invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &ok.replace("tag=callee1", "tag=phone2"));
    assert!(world.take(PBX, "ACK").text.contains("tag=phone2"));
    tags.push(world.take(CARRIER, "200").header(HeaderName::To));
    tags.dedup();
    assert_eq!(tags.len(), 1, "{tags:?}");
}

#[test]
fn a_call_that_comes_round_has_one_hop_less_each_time_rfc5393_4() {
    let mut world = World::new();
    for (hops, expected) in [("2", "1"), ("1", "0")] {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.call_id += hops;
        caller.branch = hops.parse().unwrap();
        let invite = caller.request("INVITE", Some(&offer()));
        let invite = invite.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"));
        world.deliver(CARRIER, &invite);
        let sent = world.take(PBX, "INVITE");
        assert_eq!(sent.header(HeaderName::MaxForwards), expected);
    }
    let mut caller = Caller::new(CARRIER, "+13305550101");
    let invite = caller.request("INVITE", Some(&offer()));
    world.deliver(
        CARRIER,
        &invite.replace("Max-Forwards: 70", "Max-Forwards: 0"),
    );
    world.take(CARRIER, "483");
}
