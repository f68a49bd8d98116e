//! What detection is told when calls are sent elsewhere, when somebody asks for our credentials, and
//! when calls come in the name of others.

mod support;

use ringfence_base::HashKey;
use ringfence_detect::event::{Diversion, MethodKind, Principal, Refusal, What};
use ringfence_detect::name::Name;
use ringfence_session::plan::Plan;
use ringfence_session::policy::CallingNumber;
use support::*;

const KEY: HashKey = HashKey::from_bytes([7; 16]);
const OWN: &str = "+13305550100";

fn world() -> World {
    let mut world = World::new();
    world.core.watch(KEY);
    world
}

fn name(text: &str) -> Name {
    Name::new(KEY, text.as_bytes())
}

fn seen(world: &mut World) -> Vec<(Principal, What)> {
    std::iter::from_fn(|| world.core.poll_sighting())
        .map(|event| (event.source.principal, event.what))
        .filter(|(_, what)| !matches!(what, What::Call { .. }))
        .collect()
}

/// What was said of a call that is sent on, without the site.
fn diverted(world: &mut World) -> Vec<(Name, Name, Diversion)> {
    let all = seen(world).into_iter();
    all.filter_map(|(_, what)| match what {
        What::Diverted { by, to, way, .. } => Some((by, to, way)),
        _ => None,
    })
    .collect()
}

#[test]
fn a_phone_system_that_answers_a_call_with_another_number_is_told() {
    let mut world = world();
    let mut caller = Caller::new(CARRIER, OWN);
    let offer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(PBX, "INVITE");
    let moved = invite.answer("302 Moved Temporarily", PBX, None);
    let contact = format!("<sip:callee@{PBX}>");
    world.deliver(
        PBX,
        &moved.replace(&contact, "<sip:+15550002222@203.0.113.99>"),
    );
    let told = (name(OWN), name("+15550002222"), Diversion::Redirected);
    assert_eq!(diverted(&mut world), [told]);
}

#[test]
fn a_call_that_a_phone_system_makes_for_another_one_is_told() {
    for header in [
        "Diversion: <sip:+13305550100@192.0.2.11>;reason=unconditional",
        "History-Info: <sip:+13305550100@192.0.2.11>;index=1, <sip:+15550002222@x>;index=1.1",
    ] {
        let mut world = world();
        let mut caller = Caller::new(PBX, "+15550002222");
        let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
        let text = text.replace("+15551234567", OWN);
        let text = text.replace("Contact:", &format!("{header}\r\nContact:"));
        world.deliver(PBX, &text);
        let told = (name(OWN), name("+15550002222"), Diversion::Forwarded);
        assert_eq!(diverted(&mut world), [told], "{header}");
    }
}

#[test]
fn an_ordinary_call_out_is_no_diversion() {
    let mut world = world();
    let mut caller = Caller::new(PBX, "+15550002222");
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &text.replace("+15551234567", OWN));
    assert_eq!(diverted(&mut world), []);
}

#[test]
fn a_bye_that_is_answered_with_a_challenge_gives_nothing_away_and_is_told() {
    let mut world = world();
    let (mut caller, _) = world.answered_call();
    seen(&mut world);
    // The phone system hangs up, and whoever called asks for its password.
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    let challenge = bye.answer("407 Proxy Authentication Required", PBX, None);
    let more = "Proxy-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\nContent-Length:";
    world.deliver(PBX, &challenge.replace("Content-Length:", more));
    world.nothing_sent();
    let asked = What::AskedForCredentials {
        method: MethodKind::Bye,
        within: true,
    };
    let all = seen(&mut world);
    assert!(
        matches!(all[..], [(Principal::Pbx(_), what)] if what == asked),
        "{all:?}"
    );
}

#[test]
fn a_call_in_the_name_of_others_is_told_where_it_is_refused() {
    let refuse = |plan: &mut Plan| plan.peers[1].policy.calling_number = CallingNumber::Refuse;
    let mut world = World::with(refuse);
    world.core.watch(KEY);
    let mut caller = Caller::new(PBX, "+15550002222");
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &text.replace("+15551234567", "+442079460000"));
    let all = seen(&mut world);
    let [(Principal::Pbx(_), What::Refused { reason, asked })] = all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(reason, Refusal::CallingNumber);
    assert_eq!(asked.target, name("+15550002222"));
}
