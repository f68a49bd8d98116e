//! Trunks that register, and the calls over them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::net::WorkerIndex;
use ringfence_base::time::WallAnchor;
use ringfence_base::{Flow, Secret, UnixTime};
use ringfence_session::account::{Account, Registering};
use ringfence_session::core::{Core, CoreConfig, Input};
use ringfence_session::plan::{Peer, Plan};
use ringfence_sip::{HeaderName, Index};
use support::*;

const CARRIER_B: &str = "198.51.100.60:5060";
const SECOND: Duration = Duration::from_secs(1);

fn register(peer: &mut Peer) {
    peer.account = Some(Arc::new(Account {
        username: "summit".into(),
        password: Secret::new(b"circle of life".to_vec()),
        realm: None,
        registration: Some(Registering {
            user: "summit".into(),
            domain: None,
            expires: Duration::from_secs(600),
            contact_user: None,
            bulk: false,
        }),
    }));
}

/// The first trunk registers, the second one knows us by our address.
fn two_trunks(plan: &mut Plan) {
    let mut second = support::plan().peers.remove(0);
    second.key = "carrier-b".into();
    second.host = "198.51.100.60".into();
    second.addresses = vec![CARRIER_B.parse().unwrap()];
    second.failover.priority = 2;
    register(&mut plan.peers[0]);
    plan.peers.push(second);
}

/// The registrar's yes, for 600 seconds.
fn granted(register: &Sent, more: &str) -> String {
    let contact = register.header(HeaderName::Contact);
    let answer = register.answer("200 OK", CARRIER, None);
    let ours = format!("Contact: {contact}\r\n{more}");
    answer.replace(&format!("Contact: <sip:callee@{CARRIER}>\r\n"), &ours)
}

/// Answers the first REGISTER.
#[track_caller]
fn registered(world: &mut World, more: &str) {
    world.pass(SECOND);
    let register = world.take(CARRIER, "REGISTER");
    world.sent.clear();
    world.deliver(CARRIER, &granted(&register, more));
    world.nothing_sent();
}

/// The PBX calls out.
#[track_caller]
fn call(world: &mut World, number: &str) -> Caller {
    let mut caller = Caller::new(PBX, number);
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    world.deliver(PBX, &invite);
    world.take(PBX, "100");
    caller
}

fn refused(invite: &Sent, status: &str) -> String {
    invite.answer(status, CARRIER, None)
}

#[test]
fn a_trunk_that_is_not_registered_is_routed_around() {
    let mut world = World::with(two_trunks);
    // Nothing is registered yet, but a call that nobody else takes is tried all the same.
    call(&mut world, "+15550001111");
    let invite = world.take(CARRIER_B, "INVITE");
    world.deliver(CARRIER_B, &refused(&invite, "503 Full"));
    world.take(CARRIER_B, "ACK");
    world.take(CARRIER, "INVITE");
    world.sent.clear();

    registered(&mut world, "");
    call(&mut world, "+15550001112");
    world.take(CARRIER, "INVITE");
    world.sent.clear();

    // The carrier says nothing to any refresh, until the binding has run out.
    world.pass(SECOND * 610);
    world.sent.clear();
    call(&mut world, "+15550001113");
    world.take(CARRIER_B, "INVITE");
}

#[test]
fn an_emergency_call_is_tried_at_a_trunk_that_is_not_registered() {
    let mut world = World::with(|plan| register(&mut plan.peers[0]));
    call(&mut world, "911");
    world.take(CARRIER, "INVITE");
}

#[test]
fn a_refused_call_makes_us_register_anew_but_not_all_the_time() {
    let mut world = World::with(two_trunks);
    registered(&mut world, "");
    world.pass(SECOND * 100);
    for round in 0..3 {
        call(&mut world, &format!("+1555000111{round}"));
        let invite = world.take(CARRIER, "INVITE");
        world.deliver(CARRIER, &refused(&invite, "403 Forbidden"));
        world.take(CARRIER, "ACK");
        world.sent.clear();
        if round == 0 {
            world.pass(SECOND * 3);
            let register = world.take(CARRIER, "REGISTER");
            world.deliver(CARRIER, &granted(&register, ""));
        } else {
            // It has just said yes.
            world.pass(SECOND * 3);
            assert!(!world.sent.iter().any(|sent| sent.is("REGISTER")));
        }
    }
    // It comes when the last one is half a minute old.
    world.pass(SECOND * 30);
    let register = world.take(CARRIER, "REGISTER");
    world.deliver(CARRIER, &granted(&register, ""));
    // What the callee does is no sign of it.
    world.pass(SECOND * 100);
    world.sent.clear();
    call(&mut world, "+15550001119");
    let invite = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &refused(&invite, "486 Busy Here"));
    world.pass(SECOND * 3);
    assert!(!world.sent.iter().any(|sent| sent.is("REGISTER")));
}

#[test]
fn a_silent_carrier_is_registered_with_anew() {
    let mut world = World::with(two_trunks);
    registered(&mut world, "");
    world.pass(SECOND * 100);
    call(&mut world, "+15550001111");
    world.pass(SECOND * 6);
    world.take(CARRIER_B, "INVITE");
    assert!(world.sent.iter().any(|sent| sent.is("REGISTER")));
}

#[test]
fn a_sign_seen_by_one_worker_reaches_the_one_that_registers() {
    for number in 0..2 {
        let mut plan = support::plan();
        register(&mut plan.peers[0]);
        let plan = Arc::new(plan);
        let mut now = ringfence_base::Instant::ZERO + SECOND;
        let config = CoreConfig {
            worker: WorkerIndex::new(number),
            workers: 2,
            secret: [7; 16],
            anchor: WallAnchor {
                instant: now,
                unix: UnixTime::from_micros(1_795_000_000_000_000),
            },
            timers: Default::default(),
        };
        let entropy = Box::new(SeededEntropy::new(1));
        let mut core = Core::new(config, Arc::clone(&plan), entropy);
        let mut registers = |core: &mut Core, time: Duration| {
            let end = now + time;
            while let Some(at) = core.poll_timeout().filter(|at| *at <= end) {
                now = now.max(at);
                core.handle_timeout(now);
            }
            now = end;
            let first = core.poll_transmit();
            while core.poll_transmit().is_some() {}
            (first, now)
        };
        let (Some(sent), now) = registers(&mut core, SECOND) else {
            // It is the other one's.
            continue;
        };
        let register = Sent {
            to: sent.flow.remote,
            text: String::from_utf8(sent.bytes.to_vec()).unwrap(),
        };
        let text = granted(&register, "");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let flow = Flow::udp(OUTSIDE, CARRIER.parse().unwrap());
        let tls_names = &[];
        let (flow, message) = (flow, &message);
        core.handle_input(
            now,
            Input::Message {
                flow,
                message,
                tls_names,
            },
        );
        assert!(registers(&mut core, SECOND * 100).0.is_none());
        plan.peers[0].usage.suspect();
        assert!(registers(&mut core, SECOND * 10).0.is_some());
        return;
    }
    panic!("nobody registers");
}

#[test]
fn a_service_route_is_in_what_begins_something_and_it_goes_to_the_trunk_rfc3608_5() {
    let mut world = World::with(|plan| register(&mut plan.peers[0]));
    let routes =
        "Service-Route: <sip:p1.carrier.example;lr>\r\nService-Route: <sip:203.0.113.99;lr>\r\n";
    registered(&mut world, routes);
    let mut caller = call(&mut world, "+15550001111");
    let invite = world.take(CARRIER, "INVITE");
    assert_eq!(
        invite.header(HeaderName::Route),
        "<sip:p1.carrier.example;lr>, <sip:203.0.113.99;lr>"
    );
    assert!(invite.request_uri().ends_with("@198.51.100.20"));
    // The CANCEL takes the same way (RFC 3261 §9.1).
    world.deliver(CARRIER, &invite.answer("100 Trying", CARRIER, None));
    world.deliver(PBX, &caller.request("CANCEL", None));
    let cancel = world.take(CARRIER, "CANCEL");
    assert_eq!(
        cancel.header(HeaderName::Route),
        invite.header(HeaderName::Route)
    );
}

#[test]
fn a_service_route_that_cannot_be_followed_is_left_out_and_counted_rfc3608_5() {
    let many = "Service-Route: <sip:p.carrier.example;lr>\r\n".repeat(5);
    let long = format!("Service-Route: <sip:{}.example;lr>\r\n", "p".repeat(300));
    for routes in [
        "Service-Route: <sip:p1.carrier.example>\r\n",
        "Service-Route: <sip:p1.carrier.example;lr>, nonsense\r\n",
        &many,
        &long,
    ] {
        let mut world = World::with(|plan| register(&mut plan.peers[0]));
        registered(&mut world, routes);
        call(&mut world, "+15550001111");
        let invite = world.take(CARRIER, "INVITE");
        assert_eq!(invite.header(HeaderName::Route), "", "{routes}");
        let view = world.plan.peers[0].usage.registration().unwrap();
        assert_eq!((view.oddities, &view.service_route), (1, &None));
    }
}
