//! Calls that find their way past trunks that are silent, broken or full.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Flow};
use ringfence_session::cdr::{EndedBy, Outcome};
use ringfence_session::core::Input;
use ringfence_session::event::Event;
use ringfence_session::health::Fault;
use ringfence_session::plan::{MediaPolicy, Peer, PeerKind, Plan};
use ringfence_session::provider;
use ringfence_sip::HeaderName;
use support::*;

const CARRIER_B: &str = "198.51.100.60:5060";
const CALLED: &str = "+15550001111";

/// Summit's PBX with two trunks: `carrier-a`, then `carrier-b`.
fn two_trunks(change: impl FnOnce(&mut Plan)) -> World {
    World::with(|plan| {
        plan.peers.push(second_trunk());
        change(plan);
    })
}

fn second_trunk() -> Peer {
    let mut second = plan().peers.remove(0);
    second.key = "carrier-b".into();
    second.host = "198.51.100.60".into();
    second.addresses = vec![CARRIER_B.parse().unwrap()];
    second.failover.priority = 2;
    second
}

/// The PBX calls `to`; its INVITE is on its way to somebody.
fn call(world: &mut World, to: &str) -> Caller {
    let mut caller = Caller::new(PBX, to);
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    world.deliver(PBX, &invite);
    world.take(PBX, "100");
    caller
}

/// `carrier` answers, the PBX acknowledges, talks and hangs up.
#[track_caller]
fn answer_and_end(world: &mut World, mut caller: Caller, carrier: &str, invite: &Sent) {
    let answer = sdp("198.51.100.61", 9000, "");
    world.deliver(carrier, &invite.answer("200 OK", carrier, Some(&answer)));
    world.take(carrier, "ACK");
    caller.learn(&world.take(PBX, "200"));
    let ack = caller.request("ACK", None);
    world.deliver(PBX, &ack);
    let bye = caller.request("BYE", None);
    world.deliver(PBX, &bye);
    world.take(PBX, "200");
    let bye = world.take(carrier, "BYE");
    world.deliver(carrier, &bye.answer("200 OK", carrier, None));
}

#[test]
fn a_silent_trunk_is_left_within_two_seconds_and_the_caller_sees_one_call() {
    let mut world = two_trunks(|_| {});
    let caller = call(&mut world, CALLED);
    let first = world.take(CARRIER, "INVITE");
    world.pass(Duration::from_millis(1_799));
    world.sent.retain(|sent| sent.text != first.text);
    world.nothing_sent();
    world.pass(Duration::from_millis(1));
    let second = world.take(CARRIER_B, "INVITE");
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::Via] {
        assert_ne!(first.header(name), second.header(name), "a call of its own");
    }
    assert!(!second.text.contains("198.51.100.20"), "{}", second.text);
    answer_and_end(&mut world, caller, CARRIER_B, &second);
    let [cdr] = &world.cdrs[..] else {
        panic!("one record, not {:?}", world.cdrs)
    };
    assert_eq!(cdr.outcome, Outcome::Answered);
    assert_eq!(cdr.egress.as_ref().unwrap().peer, "carrier-b");
    assert_eq!(
        cdr.rule,
        "pbx main -> site summit -> trunk carrier-a (presents +13305550100) (no answer) \
         -> trunk carrier-b"
    );
    assert_eq!(world.core.counters().calls_failed_over, 1);
    world.all_over();
}

#[test]
fn a_trunk_that_says_trying_is_not_silent() {
    let mut world = two_trunks(|_| {});
    call(&mut world, CALLED);
    let invite = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &invite.answer("100 Trying", CARRIER, None));
    world.pass(Duration::from_secs(60));
    world.nothing_sent();
}

#[test]
fn each_code_of_the_list_goes_on_and_the_callees_word_does_not() {
    let answers = [
        ("408 Request Timeout", true),
        ("500 Server Internal Error", true),
        ("502 Bad Gateway", true),
        ("503 Service Unavailable", true),
        ("504 Server Time-out", true),
        ("404 Not Found", false),
        ("480 Temporarily Unavailable", false),
        ("486 Busy Here", false),
        ("600 Busy Everywhere", false),
        ("603 Decline", false),
    ];
    for (answer, goes_on) in answers {
        let mut world = two_trunks(|_| {});
        let caller = call(&mut world, CALLED);
        let invite = world.take(CARRIER, "INVITE");
        world.deliver(CARRIER, &invite.answer(answer, CARRIER, None));
        world.take(CARRIER, "ACK");
        if goes_on {
            let second = world.take(CARRIER_B, "INVITE");
            answer_and_end(&mut world, caller, CARRIER_B, &second);
            let code = &answer[..3];
            let rule = &world.cdrs[0].rule;
            assert!(
                rule.contains(&format!(" (answered {code}) -> trunk carrier-b")),
                "{rule}"
            );
        } else {
            world.take(PBX, &answer[..3]);
        }
        world.nothing_sent();
        world.all_over();
    }
}

#[test]
fn a_list_of_ones_own_decides() {
    let mut world = two_trunks(|plan| plan.peers[0].failover.codes = vec![480]);
    call(&mut world, CALLED);
    let invite = world.take(CARRIER, "INVITE");
    let answer = invite.answer("480 Temporarily Unavailable", CARRIER, None);
    world.deliver(CARRIER, &answer);
    let second = world.take(CARRIER_B, "INVITE");
    world.deliver(
        CARRIER_B,
        &second.answer("503 Service Unavailable", CARRIER_B, None),
    );
    world.take(PBX, "503");
}

#[test]
fn a_late_200_of_the_branch_that_was_left_is_acknowledged_and_hung_up_rfc3261_13_2_2_4() {
    let mut world = two_trunks(|_| {});
    let caller = call(&mut world, CALLED);
    let first = world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(2));
    world.sent.retain(|sent| sent.text != first.text);
    let second = world.take(CARRIER_B, "INVITE");
    let late = first.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 9000, "")));
    world.deliver(CARRIER, &late);
    world.take(CARRIER, "ACK");
    let bye = world.take(CARRIER, "BYE");
    assert_eq!(
        bye.header(HeaderName::CallId),
        first.header(HeaderName::CallId)
    );
    world.deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    world.nothing_sent();
    answer_and_end(&mut world, caller, CARRIER_B, &second);
    world.all_over();
}

#[test]
fn a_late_200_after_the_whole_call_is_over_is_hung_up_too() {
    let mut world = two_trunks(|_| {});
    call(&mut world, CALLED);
    let first = world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(2));
    let second = world.take(CARRIER_B, "INVITE");
    world.deliver(CARRIER_B, &second.answer("486 Busy Here", CARRIER_B, None));
    world.take(PBX, "486");
    world.sent.clear();
    let late = first.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 9000, "")));
    world.deliver(CARRIER, &late);
    world.take(CARRIER, "ACK");
    world.take(CARRIER, "BYE");
    world.all_over();
}

#[test]
fn a_branch_that_was_left_is_cancelled_as_soon_as_it_says_anything_rfc3261_9_1() {
    let mut world = two_trunks(|_| {});
    call(&mut world, CALLED);
    let first = world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(2));
    world.take(CARRIER_B, "INVITE");
    world.sent.clear();
    world.deliver(CARRIER, &first.answer("180 Ringing", CARRIER, None));
    let cancel = world.take(CARRIER, "CANCEL");
    world.nothing_sent();
    world.deliver(CARRIER, &cancel.answer("200 OK", CARRIER, None));
    let terminated = first.answer("487 Request Terminated", CARRIER, None);
    world.deliver(CARRIER, &terminated);
    world.take(CARRIER, "ACK");
    world.nothing_sent();
}

#[test]
fn with_both_silent_the_caller_hears_so_in_the_end() {
    let mut world = two_trunks(|_| {});
    call(&mut world, CALLED);
    world.pass(Duration::from_secs(40));
    world.take(CARRIER_B, "INVITE");
    world.take(PBX, "504");
    let cdr = &world.cdrs[0];
    assert_eq!((cdr.status, cdr.ended_by), (504, EndedBy::Edge));
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_trunk_that_cannot_be_reached_is_left_at_once() {
    let mut world = two_trunks(|plan| {
        plan.peers[0].transport = ringfence_base::Transport::Tcp;
    });
    let caller = call(&mut world, CALLED);
    world.take(CARRIER, "INVITE");
    let flow = Flow {
        transport: ringfence_base::Transport::Tcp,
        ..Flow::udp(OUTSIDE, CARRIER.parse().unwrap())
    };
    world.input(Input::TransportFailed { flow });
    let second = world.take(CARRIER_B, "INVITE");
    answer_and_end(&mut world, caller, CARRIER_B, &second);
    assert!(world.cdrs[0].rule.contains(" (no connection) -> trunk"));
    world.all_over();
}

#[test]
fn after_ringing_only_the_trunks_own_faults_go_on() {
    for (answer, goes_on) in [
        ("503 Service Unavailable", true),
        ("408 Request Timeout", false),
    ] {
        let mut world = two_trunks(|_| {});
        call(&mut world, CALLED);
        let invite = world.take(CARRIER, "INVITE");
        world.deliver(CARRIER, &invite.answer("180 Ringing", CARRIER, None));
        world.take(PBX, "180");
        world.pass(Duration::from_secs(30));
        world.nothing_sent();
        world.deliver(CARRIER, &invite.answer(answer, CARRIER, None));
        world.take(CARRIER, "ACK");
        match goes_on {
            true => world.take(CARRIER_B, "INVITE"),
            false => world.take(PBX, &answer[..3]),
        };
    }
}

#[test]
fn after_early_media_nothing_goes_on() {
    let mut world = two_trunks(|_| {});
    call(&mut world, CALLED);
    let invite = world.take(CARRIER, "INVITE");
    let early = sdp("198.51.100.21", 9000, "");
    let progress = invite.answer("183 Session Progress", CARRIER, Some(&early));
    world.deliver(CARRIER, &progress);
    world.take(PBX, "183");
    let answer = invite.answer("503 Service Unavailable", CARRIER, None);
    world.deliver(CARRIER, &answer);
    world.take(CARRIER, "ACK");
    world.take(PBX, "503");
    world.nothing_sent();
    world.all_over();
}

#[test]
fn a_caller_who_gives_up_cancels_the_branch_in_use() {
    let mut world = two_trunks(|_| {});
    let mut caller = call(&mut world, CALLED);
    world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(2));
    let second = world.take(CARRIER_B, "INVITE");
    world.deliver(CARRIER_B, &second.answer("180 Ringing", CARRIER_B, None));
    world.take(PBX, "180");
    world.sent.clear();
    let cancel = caller.request("CANCEL", None);
    world.deliver(PBX, &cancel);
    world.take(PBX, "487");
    world.take(CARRIER_B, "CANCEL");
    world.sent.clear();
    world.all_over();
}

#[test]
fn a_full_trunk_sends_the_call_to_the_next() {
    let mut world = two_trunks(|plan| plan.peers[0].channels = 1);
    let mut callers = Vec::new();
    for (n, carrier) in [CARRIER, CARRIER_B, CARRIER_B].into_iter().enumerate() {
        callers.push(call(&mut world, &format!("+1555000222{n}")));
        world.take(carrier, "INVITE");
        world.nothing_sent();
    }
    assert_eq!(world.core.calls().len(), 3);
}

#[test]
fn a_call_that_goes_on_gives_the_channel_back_and_takes_the_new_one() {
    let mut usage = None;
    let mut world = two_trunks(|plan| {
        usage = Some([0, 2].map(|index: usize| plan.peers[index].usage.clone()));
    });
    let [first, second] = usage.unwrap();
    call(&mut world, CALLED);
    assert_eq!((first.calls(), second.calls()), (1, 0));
    world.pass(Duration::from_secs(2));
    assert_eq!((first.calls(), second.calls()), (0, 1));
    world.pass(Duration::from_secs(60));
    assert_eq!((first.calls(), second.calls()), (0, 0));
}

#[test]
fn a_trunk_that_is_silent_three_times_comes_last_until_it_has_proved_itself() {
    let mut world = two_trunks(|_| {});
    for n in 0..3 {
        call(&mut world, &format!("+1555000333{n}"));
        world.take(CARRIER, "INVITE");
        world.pass(Duration::from_secs(2));
        let second = world.take(CARRIER_B, "INVITE");
        world.deliver(CARRIER_B, &second.answer("486 Busy Here", CARRIER_B, None));
        world.sent.clear();
    }
    assert!(world.events.contains(&Event::LineQuarantined {
        kind: PeerKind::Trunk,
        key: "carrier-a".into(),
        fault: Fault::Silent,
        failures: 3,
    }));
    let said = |key, fault| {
        let found = provider::trouble(world.core.plan(), world.now, key, (fault, 3));
        found.map(|found| found.explain())
    };
    let silent = said("carrier-a", Fault::Silent).expect("a finding");
    assert!(silent.contains("calls go over the others"), "{silent}");
    let refused = said("carrier-b", Fault::Status(503)).expect("a finding");
    assert!(
        refused.contains("503") && refused.contains("ask the carrier"),
        "{refused}"
    );
    assert!(said("main", Fault::Silent).is_none(), "no trunk");
    let relief = provider::relief(world.core.plan(), world.now, "carrier-a");
    assert!(
        relief.is_some_and(|found| found.expires <= world.now),
        "over at once"
    );
    call(&mut world, "+15550003334");
    let direct = world.take(CARRIER_B, "INVITE");
    world.deliver(CARRIER_B, &direct.answer("486 Busy Here", CARRIER_B, None));
    world.pass(Duration::from_secs(40));
    world.sent.clear();
    let caller = call(&mut world, "+15550003335");
    let probe = world.take(CARRIER, "INVITE");
    answer_and_end(&mut world, caller, CARRIER, &probe);
    let returned = |event: &Event| matches!(event, Event::LineReturned { .. });
    assert_eq!(world.events.iter().filter(|e| returned(e)).count(), 1);
    world.sent.clear();
    call(&mut world, "+15550003336");
    world.take(CARRIER, "INVITE");
}

#[test]
fn an_emergency_call_tries_every_trunk_whatever_it_answers() {
    let mut world = two_trunks(|plan| {
        plan.peers[0].channels = 1;
        plan.peers[2].channels = 1;
    });
    call(&mut world, "+15550004440");
    call(&mut world, "+15550004441");
    world.sent.clear();
    call(&mut world, "911");
    let invite = world.take(CARRIER, "INVITE");
    let answer = invite.answer("403 Forbidden", CARRIER, None);
    world.deliver(CARRIER, &answer);
    let second = world.take(CARRIER_B, "INVITE");
    assert!(second.request_uri().starts_with("sip:911@"));
}

#[test]
fn the_next_trunk_gets_an_offer_under_its_own_policy_and_keys() {
    let mut world = two_trunks(|plan| {
        plan.peers[0].media = MediaPolicy::Srtp;
        plan.peers[2].media = MediaPolicy::Rtp;
    });
    call(&mut world, CALLED);
    let first = world.take(CARRIER, "INVITE");
    assert!(first.body().contains("RTP/SAVP"), "{}", first.body());
    world.pass(Duration::from_secs(2));
    let second = world.take(CARRIER_B, "INVITE");
    assert!(second.body().contains("RTP/AVP") && !second.body().contains("a=crypto"));
    assert_eq!(world.core.media().streams_open(), 1);
}

#[test]
fn several_addresses_of_one_trunk_are_tried_in_turn_rfc3263_4_3() {
    let mut world = World::with(|plan| {
        plan.peers[0].addresses.push(CARRIER_B.parse().unwrap());
    });
    call(&mut world, CALLED);
    world.take(CARRIER, "INVITE");
    world.pass(Duration::from_secs(2));
    let second = world.take(CARRIER_B, "INVITE");
    world.deliver(CARRIER_B, &second.answer("486 Busy Here", CARRIER_B, None));
    world.sent.clear();
    call(&mut world, "+15550001112");
    world.take(CARRIER_B, "INVITE");
}

#[test]
fn a_quarantined_trunk_is_asked_by_options_and_returns_after_two_answers() {
    let mut world = two_trunks(|plan| plan.peers[0].failover.quarantine_after = 1);
    call(&mut world, CALLED);
    world.pass(Duration::from_secs(2));
    world.sent.clear();
    for _ in 0..2 {
        world.pass(Duration::from_secs(10));
        let options = world.take(CARRIER, "OPTIONS");
        world.deliver(CARRIER, &options.answer("200 OK", CARRIER, None));
        world.sent.clear();
    }
    let returned = |event: &Event| matches!(event, Event::LineReturned { .. });
    assert_eq!(world.events.iter().filter(|e| returned(e)).count(), 1);
    world.pass(Duration::from_secs(60));
    assert!(world.sent.iter().all(|sent| !sent.is("OPTIONS")));
}

#[test]
fn a_trunk_that_answers_options_with_503_is_quarantined_and_one_that_never_answers_is_not() {
    let mut world = two_trunks(|plan| {
        for peer in [0, 2] {
            plan.peers[peer].options_interval = Duration::from_secs(20);
        }
    });
    for _ in 0..4 {
        world.pass(Duration::from_secs(20));
        let options = world.take(CARRIER, "OPTIONS");
        let answer = options.answer("503 Service Unavailable", CARRIER, None);
        world.deliver(CARRIER, &answer);
        world.sent.clear();
    }
    let quarantined: Vec<&str> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::LineQuarantined { key, .. } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(quarantined, ["carrier-a"]);
}

/// What a trunk does to each call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Answers,
    Fails,
    Silent,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever the first trunk does and when it does it, a call that the second one would
    /// carry is carried.
    #[test]
    fn no_call_is_lost_that_the_second_trunk_could_carry(
        moods in proptest::collection::vec(0u8..3, 1..12),
        channels in 0u32..3,
        seed: u64,
    ) {
        let mut world = two_trunks(|plan| {
            plan.peers[0].channels = channels;
            plan.peers[2].failover.priority = 1;
        });
        let mut entropy = SeededEntropy::new(seed);
        for (n, mood) in moods.into_iter().enumerate() {
            let mood = [Mood::Answers, Mood::Fails, Mood::Silent][usize::from(mood)];
            let caller = call(&mut world, &format!("+155500055{n:02}"));
            let answered = carry(&mut world, mood);
            let Some((carrier, invite)) = answered else {
                panic!("call {n} was lost")
            };
            answer_and_end(&mut world, caller, carrier, &invite);
            world.sent.clear();
            world.pass(Duration::from_millis(entropy.below(20_000)));
            world.sent.clear();
        }
        prop_assert!(world.cdrs.iter().all(|cdr| cdr.outcome == Outcome::Answered));
        // Else a quarantined trunk is asked for ever whether it works again.
        world.input(Input::Drain);
        world.all_over();
    }
}

/// Lets the first trunk be in its mood until somebody is to answer.
fn carry(world: &mut World, mood: Mood) -> Option<(&'static str, Sent)> {
    for _ in 0..3 {
        let second = CARRIER_B.parse().unwrap();
        if let Some(at) = world
            .sent
            .iter()
            .position(|sent| sent.to == second && sent.is("INVITE"))
        {
            return Some((CARRIER_B, world.sent.remove(at)));
        }
        let first = world.take(CARRIER, "INVITE");
        match mood {
            Mood::Answers => return Some((CARRIER, first)),
            Mood::Fails => {
                let answer = first.answer("503 Service Unavailable", CARRIER, None);
                world.deliver(CARRIER, &answer);
            }
            Mood::Silent => world.pass(Duration::from_millis(1_900)),
        }
    }
    None
}
