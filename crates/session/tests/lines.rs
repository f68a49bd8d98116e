//! A site's lines under a telephony denial of service: strangers are kept from the reserve, known
//! callers and emergency calls are not.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_session::core::Input;
use ringfence_session::event::Event;
use ringfence_session::line_guard::LinesMode;
use ringfence_session::plan::{NumberRange, Plan, SiteId, TenantId};
use support::*;

fn guarded(mode: LinesMode) -> World {
    World::with(|plan| plan.sites[0].policy.lines.mode = mode)
}

/// The carrier offers a call under a number: whether it reaches the PBX, else the status.
fn offer(world: &mut World, number: &str) -> Result<(), String> {
    offer_to(world, (CARRIER, "+13305550100"), number)
}

/// The same for a called number and its carrier.
fn offer_to(
    world: &mut World,
    (carrier, called): (&'static str, &str),
    number: &str,
) -> Result<(), String> {
    let mut caller = Caller::new(carrier, called);
    caller.call_id = format!("call-of-{number}-at-{:?}", world.now);
    caller.branch = number.bytes().map(u32::from).sum::<u32>() * 1_000 + world.sent.len() as u32;
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    let invite = invite.replace("+15551234567", number).replace(
        "secretbranch",
        &format!("branch{}", number.trim_start_matches('+')),
    );
    world.deliver(carrier, &invite);
    let sent: Vec<String> = world
        .sent
        .iter()
        .map(|sent| sent.start().to_owned())
        .collect();
    world.sent.clear();
    match sent.iter().any(|start| start.starts_with("INVITE")) {
        true => Ok(()),
        false => Err(sent.join(" ")),
    }
}

/// Strangers call each second.
fn flood(world: &mut World) -> Vec<Result<(), String>> {
    let call = |number| {
        let outcome = offer(world, &format!("+1212555{number:04}"));
        world.pass(Duration::from_secs(1));
        world.sent.clear();
        outcome
    };
    (1_000..1_020).map(call).collect()
}

#[test]
fn a_flood_fills_the_strangers_lines_only_and_hears_busy() {
    let mut world = guarded(LinesMode::Enforce);
    let outcomes = flood(&mut world);
    let through = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((3..=6).contains(&through), "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(refused.contains("486"), "{refused}");
    }
    let alarm = |event: &&Event| matches!(event, Event::LinesUnderAttack { enforced: true, .. });
    assert_eq!(world.events.iter().filter(alarm).count(), 1);
    let last = world.cdrs.last().map(|cdr| cdr.rule.clone());
    assert!(last.is_some_and(|rule| rule.contains("an attack fills the lines")));
}

#[test]
fn a_known_caller_gets_through_a_flood() {
    let mut world = guarded(LinesMode::Enforce);
    // The site called this number this morning.
    let mut pbx = Caller::new(PBX, "+13125550123");
    let invite = pbx.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    world.deliver(PBX, &invite);
    let invite = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &invite.answer("486 Busy Here", CARRIER, None));
    world.sent.clear();
    flood(&mut world);
    assert!(offer(&mut world, "+12125559999").is_err());
    assert_eq!(offer(&mut world, "+13125550123"), Ok(()));
}

#[test]
fn who_is_known_to_one_worker_is_known_to_all() {
    let mut plan = plan();
    plan.sites[0].policy.lines.mode = LinesMode::Enforce;
    let plan = Arc::new(plan);
    let mut workers = [0, 1].map(|number| World::worker(Arc::clone(&plan), number, 2));
    let [first, second] = &mut workers;
    let mut pbx = Caller::new(PBX, "+13125550123");
    let invite = pbx.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    first.deliver(PBX, &invite);
    let invite = first.take(CARRIER, "INVITE");
    first.deliver(CARRIER, &invite.answer("486 Busy Here", CARRIER, None));
    flood(second);
    assert!(offer(second, "+12125559999").is_err());
    assert_eq!(offer(second, "+13125550123"), Ok(()));
}

#[test]
fn an_emergency_call_goes_out_of_a_flood_and_ends_of_calls_free_lines() {
    let mut world = guarded(LinesMode::Enforce);
    flood(&mut world);
    let mut pbx = Caller::new(PBX, "911");
    let invite = pbx.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    world.deliver(PBX, &invite);
    world.take(CARRIER, "INVITE");
    world.sent.clear();
    // Nobody answers the strangers: they are gone after the longest ringing, and the alarm with
    // them.
    world.pass(Duration::from_secs(700));
    world.sent.clear();
    assert_eq!(offer(&mut world, "+12125559999"), Ok(()));
}

/// All channels are in calls, the carrier says so, and somebody calls for help.
#[test]
fn an_emergency_call_that_finds_every_channel_in_use_ends_one_and_is_sent_again() {
    let mut world = guarded(LinesMode::Enforce);
    let call = |world: &mut World, number: &str, name: &str| {
        let mut pbx = Caller::new(PBX, number);
        pbx.call_id = name.to_owned();
        pbx.branch = name.bytes().map(u32::from).sum();
        let invite = pbx.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
        world.deliver(PBX, &invite.replace("secretbranch", name));
        let invite = world.take(CARRIER, "INVITE");
        world.sent.clear();
        invite
    };
    for number in 0..7 {
        call(&mut world, "+13125550123", &format!("talk{number}"));
    }
    let mut helps = Vec::new();
    for number in 0..2 {
        helps.push(call(&mut world, "911", &format!("help{number}")));
    }
    let gives_way = world.events.iter().find_map(|event| match event {
        Event::EmergencyNeedsLine { id } => Some(*id),
        _ => None,
    });
    let gives_way = gives_way.expect("a call that gives way");
    world.input(Input::MakeWay(gives_way));
    let ended = world.cdrs.iter().find(|cdr| cdr.id == gives_way).unwrap();
    assert!(
        ended.rule.contains("an emergency call gets through"),
        "{}",
        ended.rule
    );
    let busy = helps[1].answer("486 Busy Here", CARRIER, None);
    world.deliver(CARRIER, &busy);
    let again = world.take(CARRIER, "INVITE");
    assert!(again.text.starts_with("INVITE sip:911@"), "{}", again.text);
}

#[test]
fn observing_notes_and_refuses_nobody() {
    let mut world = guarded(LinesMode::Observe);
    let outcomes = flood(&mut world);
    let through = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(through, 8, "all channels: {outcomes:?}");
    let noted = |event: &&Event| {
        matches!(
            event,
            Event::LinesUnderAttack {
                enforced: false,
                ..
            }
        )
    };
    assert_eq!(world.events.iter().filter(noted).count(), 1);
    world.pass(Duration::from_secs(300));
    let would = world
        .cdrs
        .iter()
        .filter(|cdr| cdr.rule.contains("(would be refused: "));
    assert!(would.count() >= 2);
}

#[test]
fn nothing_is_watched_unless_asked_for() {
    let mut world = World::new();
    let through = flood(&mut world)
        .iter()
        .filter(|outcome| outcome.is_ok())
        .count();
    assert_eq!(through, 8);
    assert!(
        world
            .events
            .iter()
            .all(|event| !matches!(event, Event::LinesUnderAttack { .. }))
    );
}

/// The business of [`plan`] again under other names, with lines that are watched.
fn another(number: usize) -> Plan {
    let mut plan = plan();
    for tenant in &mut plan.tenants {
        tenant.key = format!("tenant-{number}");
    }
    for site in &mut plan.sites {
        site.key = format!("site-{number}");
        site.tenant = TenantId::new(number as u16);
        site.numbers = vec![NumberRange::new(&called(number), &called(number)).unwrap()];
        site.policy.lines.mode = LinesMode::Enforce;
    }
    let pbx = format!("192.0.2.{}:5060", 50 + number);
    for (peer, address) in plan.peers.iter_mut().zip([CARRIERS[number], &pbx]) {
        peer.key = format!("{}-{number}", peer.key);
        peer.site = SiteId::new(number as u16);
        peer.host = address.split(':').next().unwrap().into();
        peer.addresses = vec![address.parse().unwrap()];
    }
    plan
}

fn called(site: usize) -> String {
    match site {
        0 => "+13305550100".to_owned(),
        site => format!("+1330555{:04}", 1_000 + site),
    }
}

const CARRIERS: [&str; 7] = [
    CARRIER,
    "198.51.100.51:5060",
    "198.51.100.52:5060",
    "198.51.100.53:5060",
    "198.51.100.54:5060",
    "198.51.100.55:5060",
    "198.51.100.56:5060",
];

/// Two strangers a minute call each of `sites` businesses for a quarter of an hour: alarms.
fn alarms_of(sites: usize) -> usize {
    let mut world = World::with(|plan| {
        plan.sites[0].policy.lines.mode = LinesMode::Enforce;
        for another in (1..sites).map(another) {
            plan.tenants.extend(another.tenants);
            plan.sites.extend(another.sites);
            plan.peers.extend(another.peers);
        }
    });
    for minute in 0..30 {
        for (site, carrier) in CARRIERS.into_iter().enumerate().take(sites) {
            let stranger = format!("+1212{:03}{:04}", 200 + site, 1_000 + minute);
            let _ = offer_to(&mut world, (carrier, &called(site)), &stranger);
        }
        world.pass(Duration::from_secs(30));
        world.sent.clear();
    }
    let alarm = |event: &&Event| matches!(event, Event::LinesUnderAttack { .. });
    world.events.iter().filter(alarm).count()
}

#[test]
fn an_advert_for_a_whole_trade_is_no_attack_on_each_business() {
    assert!(alarms_of(1) > 0);
    assert_eq!(alarms_of(7), 0);
}
