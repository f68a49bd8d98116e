//! Toll fraud is stopped before the call leaves, and the fuse ends what is up.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{HashKey, Secret};
use ringfence_detect::finding::Kind;
use ringfence_detect::fraud::destinations::{Class, Country};
use ringfence_detect::fraud::money::Money;
use ringfence_detect::fraud::policy::{Mode, Policy};
use ringfence_detect::name::Name;
use ringfence_session::cdr::{EndedBy, Outcome};
use ringfence_session::core::Input;
use ringfence_session::event::Event;
use ringfence_session::line_guard::LinesMode;
use ringfence_session::plan::Plan;
use ringfence_session::refusal::RefusalReason;
use ringfence_session::sighting::Measures;
use ringfence_session::spend::{FUSE_CAUSE, Guard};
use ringfence_sip::HeaderName;
use support::phone::*;
use support::*;

const SATELLITE: &str = "+881612345678";
const BRITAIN: &str = "011442079460000";
const PIN: &str = "493817";

fn guard(change: impl FnOnce(&mut Policy)) -> Arc<Guard> {
    let mut policy = Policy::of_country(Country::new("US").unwrap());
    policy.mode = Mode::Enforce;
    change(&mut policy);
    Arc::new(Guard::new(policy, Some(Secret::new(PIN.into()))))
}

fn world(change: impl FnOnce(&mut Policy)) -> World {
    World::with(|plan| plan.tenants[0].spend = guard(change))
}

fn invite(world: &mut World, called: &str) -> Caller {
    let mut caller = Caller::new(PBX, called);
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    let text = text.replace("+15551234567", "+13305550101");
    world.deliver(PBX, &text);
    caller
}

/// A call of the PBX that the carrier answers.
fn answered(world: &mut World, called: &str) -> Sent {
    let mut caller = invite(world, called);
    world.take(PBX, "100");
    let out = world.take(CARRIER, "INVITE");
    let body = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &out.answer("200 OK", CARRIER, Some(&body)));
    world.take(CARRIER, "ACK");
    let ok = world.take(PBX, "200");
    caller.learn(&ok);
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    world.nothing_sent();
    out
}

#[track_caller]
fn refused(world: &mut World, status: &str) -> Sent {
    let answer = world.take(PBX, status);
    world.nothing_sent();
    answer
}

#[test]
fn a_dear_call_nobody_vouched_for_never_leaves_and_the_record_says_why() {
    let mut world = world(|_| {});
    invite(&mut world, SATELLITE);
    let answer = refused(&mut world, "603");
    assert!(answer.header(HeaderName::Warning).contains("*PIN*number"));
    let cdr = &world.cdrs[0];
    assert_eq!(
        (cdr.status, cdr.outcome, cdr.ended_by),
        (603, Outcome::Refused, EndedBy::Edge)
    );
    assert!(
        cdr.rule
            .starts_with("refused: a satellite number, about 5.00 USD a minute: nobody"),
        "{}",
        cdr.rule
    );
    assert!(cdr.egress.is_none());
    assert_eq!(world.plan.sites[0].usage.calls(), 0);
    let refused = world.core.counters().refused[RefusalReason::Spending as usize];
    assert_eq!(refused, 1);
    let told = world.events.iter().any(|event| {
        matches!(event, Event::SpendingStopped { tenant, verdict, .. }
            if tenant == "summit" && verdict.enforced)
    });
    assert!(told);
    world.all_over();
}

#[test]
fn a_refused_call_holds_no_line() {
    let mut world = World::with(|plan| {
        plan.tenants[0].spend = guard(|_| {});
        plan.sites[0].policy.lines.mode = LinesMode::Enforce;
    });
    let channels = world.plan.sites[0].channels;
    for number in 0..2 * channels {
        invite(&mut world, &format!("+8816123456{number:02}"));
        refused(&mut world, "603");
    }
    invite(&mut world, "+15550001111");
    world.take(CARRIER, "INVITE");
}

#[test]
fn an_ordinary_call_and_an_emergency_call_leave() {
    let mut world = world(|policy| policy.limit = Money::ZERO);
    invite(&mut world, "911");
    world.take(CARRIER, "INVITE");
    world.take(PBX, "100");
    invite(&mut world, "+15550001111");
    world.take(CARRIER, "INVITE");
    world.take(PBX, "100");
    invite(&mut world, BRITAIN);
    refused(&mut world, "603");
}

#[test]
fn the_pin_lets_it_through_and_is_seen_by_nobody() {
    let mut world = world(|_| {});
    invite(&mut world, &format!("*{PIN}*{SATELLITE}"));
    world.take(PBX, "100");
    let out = world.take(CARRIER, "INVITE");
    assert!(out.request_uri().starts_with(&format!("sip:{SATELLITE}@")));
    assert!(!out.text.contains(PIN), "{}", out.text);
    let id = world.core.calls()[0].id;
    for entry in world.core.ladder(id) {
        let text = String::from_utf8_lossy(&entry.text).into_owned();
        let dialled = text.lines().filter(|line| line.contains("sip:*"));
        for line in dialled {
            assert!(!line.contains(PIN), "{line}");
        }
    }
    world.input(Input::HangUp(id));
    let cdr = &world.cdrs[0];
    assert_eq!(cdr.to, SATELLITE);
    assert!(!cdr.rule.contains(PIN));
}

#[test]
fn a_wrong_pin_is_refused_and_help_needs_none() {
    let mut world = world(|_| {});
    invite(&mut world, "*000000*+15550001111");
    refused(&mut world, "403");
    assert_eq!(
        world.cdrs[0].rule,
        "refused: the PIN is wrong, or too many were"
    );
    assert_eq!(world.cdrs[0].to, "+15550001111");
    invite(&mut world, "*000000*911");
    assert!(
        world
            .take(CARRIER, "INVITE")
            .request_uri()
            .starts_with("sip:911@")
    );
}

#[test]
fn without_a_pin_stars_are_feature_codes() {
    let mut world = World::with(|plan| {
        plan.tenants[0].spend = Arc::new(Guard::new(
            Policy::of_country(Country::new("US").unwrap()),
            None,
        ));
    });
    invite(&mut world, "*0000*15550001111");
    let out = world.take(CARRIER, "INVITE");
    assert!(out.request_uri().starts_with("sip:*0000*15550001111@"));
}

#[test]
fn observing_stops_nothing_and_the_record_says_what_it_would() {
    let mut world = world(|policy| policy.mode = Mode::Observe);
    answered(&mut world, SATELLITE);
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    assert!(
        world.cdrs[0].rule.contains("(observed: a satellite number"),
        "{}",
        world.cdrs[0].rule
    );
    assert_eq!(world.core.counters().spending_observed, 1);
}

#[test]
fn the_fuse_ends_a_call_in_progress_with_its_own_cause() {
    let mut world = world(|policy| {
        policy.limits[Class::International.index()] = Money::from_cents(4);
    });
    answered(&mut world, BRITAIN);
    world.pass(Duration::from_secs(70));
    world.nothing_sent();
    assert!(world.cdrs.is_empty(), "three cents and a half");
    world.pass(Duration::from_secs(30));
    let bye = world.take(CARRIER, "BYE");
    assert_eq!(
        bye.header(HeaderName::Reason),
        format!("Q.850;cause={FUSE_CAUSE}")
    );
    world.take(PBX, "BYE");
    let cdr = &world.cdrs[0];
    assert_eq!((cdr.q850, cdr.ended_by), (FUSE_CAUSE, EndedBy::Edge));
    assert!(
        cdr.rule
            .contains("(ended by the money fuse: international calls"),
        "{}",
        cdr.rule
    );
    assert_eq!(world.core.counters().spending_cut, 1);
    let told = world.events.iter().any(|event| {
        matches!(event, Event::SpendingCut { call, finding }
            if *call == cdr.id && finding.kind == Kind::TollFraud)
    });
    assert!(told, "the judge is told");
    world.pass(Duration::from_secs(60));
    world.sent.clear();
    invite(&mut world, BRITAIN);
    refused(&mut world, "603");
}

#[test]
fn a_reload_keeps_what_was_spent_and_takes_the_new_limits() {
    let mut world = world(|_| {});
    answered(&mut world, BRITAIN);
    world.pass(Duration::from_secs(119));
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    world.sent.clear();
    let mut next: Plan = plan();
    next.tenants[0].spend = guard(|policy| {
        policy.limits[Class::International.index()] = Money::from_cents(1);
    });
    next.adopt_usage(&world.plan);
    let next = Arc::new(next);
    world.input(Input::Plan(&next));
    invite(&mut world, BRITAIN);
    refused(&mut world, "603");
    let status = next.tenants[0].spend.status(world.core_time()).unwrap();
    assert!(status.total.0 > Money::from_cents(1), "{}", status.total.0);
}

#[test]
fn a_call_that_is_not_answered_costs_nothing() {
    let mut world = world(|_| {});
    invite(&mut world, BRITAIN);
    world.take(PBX, "100");
    let out = world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(20));
    world.sent.clear();
    world.deliver(CARRIER, &out.answer("486 Busy Here", CARRIER, None));
    world.take(PBX, "486");
    let status = world.plan.tenants[0]
        .spend
        .status(world.core_time())
        .unwrap();
    assert_eq!(status.total.0, Money::ZERO);
}

#[test]
fn whoever_rings_once_from_a_dear_place_is_not_called_back_unwarned() {
    let mut world = world(|_| {});
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let ring = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    let ring = ring.replace("+15551234567", "+18765550100");
    world.deliver(CARRIER, &ring);
    let inside = world.take(PBX, "INVITE");
    world.deliver(PBX, &inside.answer("180 Ringing", PBX, None));
    world.pass(Duration::from_secs(2));
    let cancel = caller
        .request("CANCEL", None)
        .replace("+15551234567", "+18765550100");
    world.deliver(CARRIER, &cancel);
    world.sent.clear();
    invite(&mut world, "+18765550100");
    refused(&mut world, "603");
    let cdr = world.cdrs.last().unwrap();
    assert!(
        cdr.rule.contains("it rang here without talking"),
        "{}",
        cdr.rule
    );
}

#[test]
fn a_phone_whose_password_may_be_stolen_cannot_call_abroad_and_the_others_can() {
    let key = HashKey::from_bytes([7; 16]);
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.tenants[0].spend = guard(|_| {});
    });
    world.core.watch(key);
    let mut measures = Measures::none(key);
    let stolen = Name::of_account(key, b"alice", REALM);
    measures.restricted.insert(stolen.hash());
    world.core.set_measures(Arc::new(measures));
    for (from, user, status) in [(ALICE, "alice", "603"), (BOB, "bob", "100")] {
        let mut phone = Phone::registered(from, user, &mut world);
        let body = sdp("10.9.8.7", 4000, "");
        let more = format!("Contact: {}\r\n", phone.contact);
        let mut call = |world: &mut World, called: &str| {
            let uri = format!("sip:{called}@{REALM}");
            let request = phone.request("INVITE", &uri, &format!("<{uri}>"), &more, Some(&body));
            phone.call_id.push('x');
            let answer = phone.send(world, &request);
            world.sent.clear();
            answer
        };
        let answer = call(&mut world, "+442079460000");
        assert!(answer.is(status), "{user}: {answer:#?}");
        // Help, and ordinary calls, are nobody's to take.
        for called in ["+15550001111", "911"] {
            let answer = call(&mut world, called);
            assert!(answer.is("100"), "{user} {called}: {answer:#?}");
        }
    }
}
