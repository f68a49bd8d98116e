//! The gate under floods, crowds and quiet days.

use super::*;
use crate::tdos::offer::{Attestation, CallingNumber};

const KEY: HashKey = HashKey::from_bytes([3; 16]);

struct World {
    gate: Gate,
    now: Instant,
    next: u64,
}

impl World {
    fn new(channels: u32) -> World {
        World {
            gate: Gate::new(Profile::new(SiteRef::new(0), channels), KEY),
            now: Instant::ZERO + Duration::from_secs(36_000),
            next: 0,
        }
    }

    fn offer(&mut self, standing: Standing) -> (CallRef, Verdict) {
        self.next += 1;
        let call = CallRef::new(self.next);
        let ruling = self.gate.offer(&Offer {
            call,
            at: self.now,
            hour: HourOfWeek::default(),
            caller: Some(CallerKey::new(self.next)),
            standing,
            emergency: false,
            upstream: Upstream {
                attestation: Attestation::A,
                number: CallingNumber::Subscriber,
                ..Upstream::default()
            },
            elsewhere: 1.0,
        });
        assert!(!ruling.why.is_empty());
        (call, ruling.verdict)
    }

    fn pass(&mut self, seconds: u64) {
        self.pass_millis(seconds * 1_000);
    }

    fn pass_millis(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.gate.handle_timeout(self.now);
    }

    /// Strangers call until there is an alarm and no line is left but the reserve.
    fn flood(&mut self) {
        for _ in 0..20 {
            self.offer(Standing::Stranger);
            self.pass(1);
        }
        assert!(self.gate.alarm().is_some());
    }
}

#[test]
fn a_flood_raises_the_alarm_within_seconds_and_strangers_are_asked() {
    let mut world = World::new(8);
    world.flood();
    let alarm = world.gate.alarm().copied();
    assert!(alarm.is_some_and(|alarm| alarm.since <= Instant::ZERO + Duration::from_secs(36_020)));
    let finding = world.gate.poll_finding();
    assert!(finding.is_some_and(|finding| finding.kind == Kind::TelephonyDenial));
    world.pass(8);
    let (_, verdict) = world.offer(Standing::Stranger);
    assert_eq!(verdict, Verdict::Screen { kindly: false });
}

#[test]
fn an_attack_is_told_of_again_with_what_became_of_it() {
    let mut world = World::new(8);
    world.flood();
    let first = world.gate.poll_finding().expect("a finding");
    assert!(world.gate.poll_finding().is_none());
    for _ in 0..30 {
        world.pass(1);
        world.offer(Standing::Stranger);
    }
    let again = world.gate.poll_finding().expect("another one");
    assert_eq!((again.kind, again.subject), (first.kind, first.subject));
    assert_eq!(again.first, first.first, "one attack");
    assert!(again.expires > first.expires);
    assert!(
        again.explain().contains("asked by voice since"),
        "{}",
        again.explain()
    );
    world.pass(600);
    let last = std::iter::from_fn(|| world.gate.poll_finding()).last();
    let last = last.expect("a last one");
    assert!(world.gate.alarm().is_none() && last.expires <= world.now);
}

#[test]
fn known_callers_come_in_while_strangers_are_asked() {
    let mut world = World::new(8);
    world.flood();
    for _ in 0..2 {
        let (_, verdict) = world.offer(Standing::Known);
        assert_eq!(verdict, Verdict::Admit);
    }
}

#[test]
fn an_emergency_call_always_goes_out() {
    let mut world = World::new(8);
    world.flood();
    for _ in 0..20 {
        world.offer(Standing::Known);
    }
    assert_eq!(world.gate.busy(), 7, "one channel stays free");
    world.pass(1);
    world.next += 1;
    assert!(
        world
            .gate
            .outbound(CallRef::new(world.next), world.now, true)
    );
    world.next += 1;
    assert!(
        !world
            .gate
            .outbound(CallRef::new(world.next), world.now, false)
    );
}

/// Those who are being refused hold channels too, which the gate does not see.
#[test]
fn a_call_for_help_clears_as_many_channels_as_a_storm_of_refused_calls_may_take() {
    let mut world = World::new(8);
    world.flood();
    while world.gate.busy() < 7 {
        world.offer(Standing::Known);
    }
    let mut refused = 0;
    for _ in 0..17 {
        world.pass_millis(58);
        let (_, verdict) = world.offer(Standing::Stranger);
        refused += u32::from(matches!(verdict, Verdict::Shed { .. }));
    }
    assert_eq!(refused, 17);
    world.next += 1;
    assert!(
        world
            .gate
            .outbound(CallRef::new(world.next), world.now, true)
    );
    // 3.4 at once with those who found the lines full, 7 in the worst of moments; and the call itself.
    assert_eq!(world.gate.busy(), 1);
    let (_, verdict) = world.offer(Standing::Stranger);
    // Busy, which a person may try again.
    assert_eq!(verdict, Verdict::Shed { status: 486 });
    world.pass(2);
    let (_, verdict) = world.offer(Standing::Stranger);
    assert!(!matches!(verdict, Verdict::Shed { .. }), "{verdict:?}");
}

/// Two calls for help at once: the second finds the channel that was kept in use.
#[test]
fn every_further_emergency_call_ends_the_youngest_call_that_matters_least() {
    let mut world = World::new(8);
    let (known, _) = world.offer(Standing::Known);
    let strangers: Vec<_> = (0..6)
        .map(|_| {
            world.pass(3_600);
            world.offer(Standing::Stranger).0
        })
        .collect();
    let mut orders = Vec::new();
    for _ in 0..9 {
        world.next += 1;
        let call = CallRef::new(world.next);
        assert!(world.gate.outbound(call, world.now, true));
        assert!(world.gate.busy() <= 9);
        orders.extend(std::iter::from_fn(|| world.gate.poll_order()));
    }
    let mut expected: Vec<_> = strangers.into_iter().rev().collect();
    expected.push(known);
    let expected: Vec<_> = expected.into_iter().map(Order::EndForEmergency).collect();
    assert_eq!(orders, expected, "and no emergency call is ever ended");
    assert_eq!(world.gate.counts().ended_for_emergency, 7);
}

#[test]
fn a_number_that_nobody_can_have_is_not_asked_during_an_attack() {
    let mut world = World::new(8);
    let offer = |world: &mut World, number| {
        world.next += 1;
        let offer = Offer {
            call: CallRef::new(world.next),
            at: world.now,
            hour: HourOfWeek::default(),
            caller: Some(CallerKey::new(world.next)),
            standing: Standing::Stranger,
            emergency: false,
            upstream: Upstream {
                number,
                ..Upstream::default()
            },
            elsewhere: 1.0,
        };
        world.gate.offer(&offer).verdict
    };
    assert_eq!(offer(&mut world, CallingNumber::Impossible), Verdict::Admit);
    world.flood();
    let verdict = offer(&mut world, CallingNumber::Impossible);
    assert_eq!(verdict, Verdict::Shed { status: 608 });
    world.pass(5);
    let verdict = offer(&mut world, CallingNumber::Hidden);
    assert_eq!(verdict, Verdict::Screen { kindly: false });
}

#[test]
fn who_passes_is_let_in_and_never_asked_again() {
    let mut world = World::new(8);
    world.flood();
    world.pass(8);
    let (call, verdict) = world.offer(Standing::Stranger);
    assert_eq!(verdict, Verdict::Screen { kindly: false });
    assert!(world.gate.challenged(call, Challenge::Passed, world.now));
    world
        .gate
        .ended(call, Some(Duration::from_secs(60)), world.now);
    world.next = call.raw() - 1;
    assert_eq!(world.offer(Standing::Stranger).1, Verdict::Admit);
}

#[test]
fn no_input_is_left_to_a_call_back_and_not_punished_at_once() {
    let mut world = World::new(8);
    world.flood();
    world.pass(8);
    while world.gate.poll_order().is_some() {}
    let (call, _) = world.offer(Standing::Stranger);
    world.pass(8);
    assert_eq!(world.gate.poll_order(), Some(Order::LeaveToCallBack(call)));
    world.next = call.raw() - 1;
    let (_, again) = world.offer(Standing::Stranger);
    assert_eq!(again, Verdict::Screen { kindly: false });
}

#[test]
fn people_who_pass_make_it_a_crowd_and_nobody_is_asked_while_lines_are_free() {
    let mut world = World::new(8);
    world.flood();
    let held: Vec<CallRef> = world.gate.calls.keys().copied().collect();
    for call in held {
        world.gate.ended(call, None, world.now);
    }
    world.pass(61);
    for _ in 0..12 {
        let (call, verdict) = world.offer(Standing::Stranger);
        if matches!(verdict, Verdict::Screen { .. }) {
            world.gate.challenged(call, Challenge::Passed, world.now);
        }
        world
            .gate
            .ended(call, Some(Duration::from_secs(100)), world.now);
        world.pass(20);
    }
    assert!(world.gate.alarm().is_some_and(|alarm| alarm.crowd));
    assert_eq!(world.offer(Standing::Stranger).1, Verdict::Admit);
}

#[test]
fn the_alarm_ends_when_it_is_quiet_and_never_learns_from_itself() {
    let mut world = World::new(8);
    let before = world.gate.baseline.per_second(HourOfWeek::default());
    world.flood();
    world.pass(301);
    assert!(world.gate.alarm().is_none());
    assert_eq!(
        world.gate.baseline.per_second(HourOfWeek::default()),
        before
    );
}

#[test]
fn attack_mode_holds_until_it_ends() {
    let mut world = World::new(8);
    let until = world.now + Duration::from_secs(3_600);
    world
        .gate
        .set_attack_mode(Some(AttackMode { until }), world.now);
    assert!(matches!(
        world.offer(Standing::Stranger).1,
        Verdict::Screen { .. }
    ));
    world.pass(3_000);
    assert!(world.gate.alarm().is_some());
    world.pass(901);
    assert!(world.gate.alarm().is_none());
}

#[test]
fn without_voice_strangers_keep_some_of_the_lines() {
    let mut world = World::new(8);
    world.gate.profile.voice = false;
    world.flood();
    assert!(world.gate.busy() <= 6);
    assert_eq!(
        world.offer(Standing::Stranger).1,
        Verdict::Shed { status: 486 }
    );
    assert_eq!(world.offer(Standing::Known).1, Verdict::Admit);
}

proptest::proptest! {
    /// Never 408, 480, 503 or 504; a call back to an emergency call passes; one channel stays free.
    #[test]
    fn no_verdict_makes_a_carrier_fail_over(
        steps in proptest::collection::vec((0u8..6, 0u64..30), 1..200),
        channels in 2u32..40,
    ) {
        let mut world = World::new(channels);
        let mut calls: Vec<CallRef> = Vec::new();
        let mut emergencies = 0;
        for (kind, seconds) in steps {
            world.pass(seconds);
            match kind {
                0..=2 => {
                    let (call, verdict) = world.offer(Standing::Stranger);
                    if let Verdict::Shed { status } = verdict {
                        proptest::prop_assert!([486, 608].contains(&status));
                    }
                    calls.push(call);
                }
                3 => calls.push(world.offer(Standing::Known).0),
                4 => {
                    world.next += 1;
                    emergencies += 1;
                    let call = CallRef::new(world.next);
                    proptest::prop_assert!(world.gate.outbound(call, world.now, true));
                }
                _ => if let Some(call) = calls.pop() {
                    world.gate.ended(call, None, world.now);
                }
            }
            proptest::prop_assert!(world.gate.busy() < channels + emergencies);
        }
    }
}

/// How many strangers, two minutes apart at night, raise the alarm, where the calls before them were heard or not.
fn until_alarm(heard: bool) -> u32 {
    let mut world = World::new(8);
    for _ in 0..6 {
        let (call, verdict) = world.offer(Standing::Stranger);
        assert_eq!(verdict, Verdict::Admit);
        world.gate.note_heard(call, heard);
        world
            .gate
            .ended(call, Some(Duration::from_secs(20)), world.now);
        // As rare as usual: they raise nothing by themselves.
        world.pass(900);
    }
    assert!(world.gate.alarm().is_none());
    for calls in 1..20 {
        let (call, _) = world.offer(Standing::Stranger);
        if world.gate.alarm().is_some() {
            let finding = world.gate.poll_finding().expect("told");
            assert_eq!(finding.explain().contains("say nothing"), !heard);
            return calls;
        }
        world.gate.ended(call, None, world.now);
        world.pass(120);
    }
    panic!("no alarm");
}

#[test]
fn callers_who_say_nothing_are_an_attack_sooner() {
    let (silent, heard) = (until_alarm(false), until_alarm(true));
    assert!(silent < heard, "{silent} and {heard} calls");
}
