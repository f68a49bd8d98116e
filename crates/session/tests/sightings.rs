//! What detection is told: outcomes, with what proves who it was. Judged by the very judge.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{HashKey, Instant};
use ringfence_detect::event::{
    CallStep, CredentialsOutcome, EndedBy, Event, Forgery, MethodKind, Principal, Proof, Refusal,
    What,
};
use ringfence_detect::finding::Kind;
use ringfence_detect::ladder::Modes;
use ringfence_detect::name::Name;
use ringfence_detect::watch::{Limits, Verdict, Watch, pair_of};
use ringfence_session::sighting::Measures;
use support::phone::*;
use support::*;

const KEY: HashKey = HashKey::from_bytes([3; 16]);

fn world() -> World {
    let mut world = World::with(with_phones);
    world.core.watch(KEY);
    world
}

fn seen(world: &mut World) -> Vec<Event> {
    std::iter::from_fn(|| world.core.poll_sighting()).collect()
}

#[test]
fn nothing_is_noted_while_nobody_watches() {
    let mut world = World::with(with_phones);
    let mut phone = Phone::registered(ALICE, "alice", &mut world);
    let request = phone.register_contact("3600");
    world.deliver("203.0.113.66:5060", &request);
    assert!(world.core.poll_sighting().is_none());
}

#[test]
fn a_good_phone_is_challenged_and_registers_with_our_nonce_echoed() {
    let mut world = world();
    Phone::registered(ALICE, "alice", &mut world);
    let seen = seen(&mut world);
    let [challenged, registered] = &seen[..] else {
        panic!("{seen:#?}")
    };
    let What::Challenged(asked) = challenged.what else {
        panic!("{challenged:#?}")
    };
    assert_eq!(asked.method, MethodKind::Register);
    assert_eq!(asked.target, Name::of_account(KEY, b"alice", REALM));
    assert_eq!(challenged.source.proof, Proof::None);
    let What::Registered {
        account, change, ..
    } = registered.what
    else {
        panic!("{registered:#?}")
    };
    assert_eq!(account, Name::of_account(KEY, b"alice", REALM));
    assert_eq!((change.before, change.after), (0, 1));
    assert_eq!(registered.source.proof, Proof::NonceEchoed);
    assert!(matches!(
        registered.source.principal,
        Principal::Phone { .. }
    ));
}

#[test]
fn a_wrong_password_proves_the_address_and_a_foreign_nonce_does_not() {
    let mut world = world();
    for (user, expected) in [
        ("alice", CredentialsOutcome::Wrong),
        ("mallory", CredentialsOutcome::WrongAccount),
    ] {
        let mut phone = Phone::new(ALICE, user);
        phone.password = "wrong".into();
        let request = phone.register_contact("3600");
        phone.send(&mut world, &request);
        let event = seen(&mut world).pop().unwrap();
        let What::Credentials { outcome, .. } = event.what else {
            panic!("{event:#?}")
        };
        assert_eq!(
            (outcome, event.source.proof),
            (expected, Proof::NonceEchoed)
        );
    }
    // The nonce was given to Alice's address; Bob's place has never echoed any.
    let mut phone = Phone::new(ALICE, "alice");
    phone.password = "wrong".into();
    let request = phone.register_contact("3600");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    let again = phone.answer(&request, &challenge, 1);
    world.deliver(BOB, &again);
    let event = seen(&mut world).pop().unwrap();
    let What::Credentials { outcome, .. } = event.what else {
        panic!("{event:#?}")
    };
    assert_eq!(outcome, CredentialsOutcome::WrongForgedNonce);
    assert_eq!(event.source.proof, Proof::None);
}

#[test]
fn a_guess_without_what_rfc7616_demands_is_one() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = phone.register_contact("3600");
    world.deliver(ALICE, &request);
    let challenge = world.take(ALICE, "401");
    let guess = phone.answer(&request, &challenge, 1);
    let (before, after) = guess.split_once("cnonce=").unwrap();
    let guess = format!("{before}{}", after.split_once(',').unwrap().1.trim_start());
    world.deliver(ALICE, &guess);
    world.take(ALICE, "401");
    let event = seen(&mut world).pop().unwrap();
    let What::Credentials { outcome, .. } = event.what else {
        panic!("{event:#?}")
    };
    let found = (outcome, event.source.proof);
    assert_eq!(found, (CredentialsOutcome::Wrong, Proof::NonceEchoed));
}

#[test]
fn a_stranger_where_no_phones_are_is_refused() {
    let mut world = World::with(|_| {});
    world.core.watch(KEY);
    let request = Phone::new("203.0.113.66:5060", "100").register_contact("60");
    world.deliver("203.0.113.66:5060", &request);
    let event = seen(&mut world).pop().unwrap();
    let What::Refused { reason, asked } = event.what else {
        panic!("{event:#?}")
    };
    assert_eq!(reason, Refusal::Stranger);
    assert_eq!(asked.target, Name::new(KEY, b"100"));
}

#[test]
fn a_bye_with_right_tags_from_another_address_is_a_forgery() {
    let mut world = world();
    let (mut caller, _) = world.answered_call();
    seen(&mut world);
    let bye = caller.request("BYE", None);
    world.deliver(STRANGER, &bye);
    let forged = seen(&mut world)
        .into_iter()
        .find_map(|event| match event.what {
            What::Forged { forgery, call, .. } => Some((forgery, call.is_some())),
            _ => None,
        });
    assert_eq!(forged, Some((Forgery::Source, true)));
}

#[test]
fn a_call_under_the_sites_own_number_from_the_carrier_is_marked() {
    let mut world = world();
    world.answered_call();
    let own = seen(&mut world)
        .into_iter()
        .find_map(|event| match event.what {
            What::Call {
                step: CallStep::Offered { calling_is_own, .. },
                ..
            } => Some(calling_is_own),
            _ => None,
        });
    assert_eq!(own, Some(false));
}

#[test]
fn the_judge_finds_a_guesser_and_his_tries_are_limited() {
    let mut world = world();
    let mut watch = Watch::new(KEY, Limits::default(), Modes::default());
    let mut found = Vec::new();
    let mut phone = Phone::new(BOB, "alice");
    for number in 0..8 {
        phone.password = format!("guess{number}");
        let request = phone.register_contact("3600");
        phone.send(&mut world, &request);
        for event in seen(&mut world) {
            watch.handle_event(Instant::ZERO.max(event.at), &event);
        }
        while let Some(verdict) = watch.poll_verdict() {
            if let Verdict::Incident(incident) = verdict {
                found.push(incident.kind);
            }
        }
    }
    assert!(found.contains(&Kind::Guessing), "{found:?}");
    // Carried out: no further credentials of this pair are even looked at.
    let mut measures = Measures::none(KEY);
    let place = BOB.parse::<std::net::SocketAddr>().unwrap().ip();
    let account = Name::of_account(KEY, b"alice", REALM);
    measures.limited.insert(pair_of(KEY, account, place), 1);
    world.core.set_measures(Arc::new(measures));
    phone.password = password("alice");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let request = phone.register_contact("3600");
        world.deliver(BOB, &request);
        let challenge = world.take(BOB, "401");
        let again = phone.answer(&request, &challenge, 1);
        world.deliver(BOB, &again);
        answers.push(world.sent.len());
        world.sent.clear();
    }
    assert_eq!(answers, [1, 0, 0]);
    // The owner elsewhere is not locked out.
    Phone::registered(ALICE, "alice", &mut world);
}

fn steps(world: &mut World) -> Vec<CallStep> {
    let steps = seen(world)
        .into_iter()
        .filter_map(|event| match event.what {
            What::Call { step, .. } => {
                assert!(matches!(event.source.principal, Principal::Trunk(_)));
                assert_eq!(event.source.remote, CARRIER.parse().unwrap());
                Some(step)
            }
            _ => None,
        });
    steps.collect()
}

#[test]
fn a_call_that_is_answered_and_ended_is_told_with_its_length_and_who_ended_it() {
    let mut world = world();
    let (mut caller, _) = world.answered_call();
    world.pass(Duration::from_secs(7));
    let bye = caller.request("BYE", None);
    world.deliver(CARRIER, &bye);
    let steps = steps(&mut world);
    let [
        CallStep::Offered { .. },
        CallStep::Answered,
        CallStep::Ended {
            by,
            talked,
            heard_caller,
            ..
        },
    ] = &steps[..]
    else {
        panic!("{steps:#?}")
    };
    assert_eq!((*by, *heard_caller), (EndedBy::Caller, 0));
    assert_eq!(talked.as_secs(), 7);
}

#[test]
fn a_call_that_rings_once_and_is_given_up_is_told_with_how_long_it_rang() {
    let mut world = world();
    let mut caller = support::Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &invite);
    let out = world.take(PBX, "INVITE");
    world.deliver(PBX, &out.answer("180 Ringing", PBX, None));
    world.pass(Duration::from_millis(1_500));
    world.deliver(PBX, &out.answer("486 Busy Here", PBX, None));
    let steps = steps(&mut world);
    let [CallStep::Offered { .. }, CallStep::Failed { status, rang }] = &steps[..] else {
        panic!("{steps:#?}")
    };
    assert_eq!((*status, rang.as_millis()), (486, 1_500));
}
