//! Calls that come back: what the edge sends to one side returns to it from the other.

mod support;

use ringfence_media::{PortPair, SocketIndex};
use ringfence_session::cdr::Outcome;
use ringfence_sip::HeaderName;
use support::*;

/// What a far side makes of an INVITE of ours when it sends the call straight back: a call of its
/// own, one hop further.
fn sent_back(invite: &Sent, by: &'static str, number: u32) -> Option<String> {
    let hops: u32 = invite.header(HeaderName::MaxForwards).parse().unwrap();
    let mut caller = Caller::new(by, "+13305550100");
    caller.call_id = format!("round-{number}");
    caller.branch = number * 10;
    let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    let further = hops.checked_sub(1)?;
    Some(text.replace("Max-Forwards: 70", &format!("Max-Forwards: {further}")))
}

/// The status of the final response that the edge gave to the call `number` of a far side.
fn refusal(world: &mut World, to: &str, number: u32) -> Option<String> {
    let to = to.parse().unwrap();
    let call_id = format!("round-{number}");
    let at = world.sent.iter().position(|sent| {
        sent.to == to
            && sent.start().starts_with("SIP/2.0 ")
            && !sent.is("100")
            && sent.header(HeaderName::CallId) == call_id
    })?;
    let start = world.sent.remove(at).start().to_owned();
    Some(start.trim_start_matches("SIP/2.0 ").to_owned())
}

/// Lets a call of the carrier go round until the edge refuses it, and the refusal all the way
/// back; the status of the refusal, and how many calls the edge had at most.
fn go_round(world: &mut World) -> (String, usize) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    caller.call_id = "round-0".to_owned();
    let first = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &first);
    let mut under_way: Vec<(&str, Sent)> = Vec::new();
    let (mut side, mut number) = (PBX, 0);
    let mut status = loop {
        let from = if side == PBX { CARRIER } else { PBX };
        if let Some(status) = refusal(world, from, number) {
            break status;
        }
        let invite = world.take(side, "INVITE");
        number += 1;
        assert!(number < 100, "it goes round for ever");
        let again = sent_back(&invite, side, number).expect("a hop that we should have refused");
        under_way.push((side, invite));
        world.deliver(side, &again);
        side = from;
    };
    let most = world.core.calls().len();
    while let Some((side, invite)) = under_way.pop() {
        world.deliver(side, &invite.answer(&status, side, None));
        number -= 1;
        let from = if side == PBX { CARRIER } else { PBX };
        status = refusal(world, from, number).expect("the refusal passed on");
    }
    assert_eq!(number, 0, "it is back at the first caller");
    (status, most)
}

#[test]
fn a_call_that_goes_round_ends_with_483_rfc3261_8_1_1_6() {
    let mut world = World::with(|plan| plan.sites[0].channels = 0);
    // Media ports for more calls than there are hops.
    for (listener, host, base) in [(OUTSIDE, "203.0.113.10", 2000), (INSIDE, "192.0.2.2", 3000)] {
        let pairs = (0..100u32).map(|n| PortPair {
            rtp: SocketIndex::new(base + 2 * n),
            rtcp: SocketIndex::new(base + 2 * n + 1),
            addr: format!("{host}:{}", 40_000 + 2 * n).parse().unwrap(),
        });
        world.core.media_mut().add_ports(listener, pairs);
    }
    let (status, most) = go_round(&mut world);
    assert!(status.starts_with("483"), "{status}");
    assert!(most <= 35, "{most} calls: each round takes two hops");
    world.all_over();
    assert!(
        world
            .cdrs
            .iter()
            .all(|cdr| cdr.outcome != Outcome::Answered)
    );
    assert!(world.cdrs.len() <= 36);
}

#[test]
fn a_call_that_goes_round_takes_no_more_than_the_sites_channels() {
    let mut world = World::with(|plan| plan.sites[0].channels = 8);
    let (status, most) = go_round(&mut world);
    assert!(most <= 8, "{most} calls at a site with 8 channels");
    assert!(!status.starts_with("200"), "{status}");
    world.all_over();
    // The site is free again.
    world.sent.clear();
    world.answered_call();
}
