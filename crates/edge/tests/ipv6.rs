//! Calls over IPv6, and between IPv6 and IPv4.

mod support;

use support::two_sides::{
    Far, Side, all_ended_well, answered, config, exchange, hang_up, v4_sides,
};
use support::{Net, Setup};

const NUMBER: &str = "+13305550100";
const ABROAD: &str = "+442079460000";

/// A call each way between two sides, with audio, and nothing of one seen on the other.
fn check(net: Net, outside: Side, inside: Side) {
    let text = config(
        &outside.tables("outside", "trunk.carrier-a", "", ""),
        &inside.tables("inside", "pbx.main", "", ""),
    );
    let setup = Setup::with(net, &text);
    for (number, inbound) in [(NUMBER, true), (ABROAD, false)] {
        let sides = if inbound {
            [outside, inside]
        } else {
            [inside, outside]
        };
        let [mut caller, mut callee] = sides.map(|side| Far::new(side, None));
        caller.connect();
        let (offer, answer) = (caller.agent.sdp(), callee.agent.sdp());
        let (call, invite, ok) = answered(
            (&mut caller, &offer),
            (&mut callee, &answer),
            number,
            &format!("call-to-{number}"),
        );
        // Both sides may be the one host; the ports tell them apart.
        for (side, seen) in [(sides[0], &invite), (sides[1], &ok)] {
            for address in [side.edge, side.peer, side.rtp] {
                assert!(!seen.contains(&address.to_string()), "{address} in {seen}");
            }
            assert!(!seen.contains(&format!("m=audio {} ", side.rtp.port())));
        }
        let family = |side: Side| if side.edge.is_ipv4() { "IP4" } else { "IP6" };
        assert!(
            invite.contains(&format!("c=IN {} ", family(sides[1]))),
            "{invite}"
        );
        assert!(ok.contains(&format!("c=IN {} ", family(sides[0]))), "{ok}");
        exchange(&caller, &callee, &ok, &invite);
        hang_up(&mut caller, &mut callee, &call);
    }
    all_ended_well(&setup.edge, 2);
}

#[test]
fn calls_pass_over_ipv6_by_udp() {
    check(Net::new(), Side::v6("udp"), Side::v6("udp"));
}

#[test]
fn calls_pass_over_ipv6_by_tcp() {
    check(Net::new(), Side::v6("tcp"), Side::v6("tcp"));
}

#[test]
fn calls_pass_from_ipv4_outside_to_ipv6_inside() {
    let net = Net::new();
    let [outside, _] = v4_sides(&net, "udp", "udp");
    check(net, outside, Side::v6("tcp"));
}

#[test]
fn calls_pass_from_ipv6_outside_to_ipv4_inside() {
    let net = Net::new();
    let [_, inside] = v4_sides(&net, "udp", "udp");
    check(net, Side::v6("udp"), inside);
}
