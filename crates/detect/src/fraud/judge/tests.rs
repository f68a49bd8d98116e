//! What the judge says, story by story.

use super::*;
use crate::feed::NumberList;
use std::sync::Arc;

/// Monday, 2026-11-23, 15:00 UTC.
const MONDAY_15: i64 = 1_795_392_000 + 15 * 3600;
const SOMALIA: &str = "+25261234567";
const JAMAICA: &str = "+18765550100";
const BRITAIN: &str = "+442079460000";
const SATELLITE: &str = "+881612345678";

struct Tenant {
    judge: Judge,
    /// Seconds since the epoch.
    now: i64,
}

impl Tenant {
    fn new() -> Tenant {
        let mut policy = Policy::of_country(Country::new("US").unwrap());
        policy.mode = Mode::Enforce;
        policy.has_pin = true;
        Tenant {
            judge: Judge::new(policy, HashKey::from_bytes([3; 16])),
            now: MONDAY_15,
        }
    }

    fn at(&self) -> UnixTime {
        UnixTime::from_micros(self.now * 1_000_000)
    }

    fn attempt<'a>(&self, called: &'a str) -> Attempt<'a> {
        Attempt {
            at: self.at(),
            called,
            caller: 7,
            foreign_number: false,
            pin: false,
            suspect: false,
            emergency: false,
        }
    }

    fn ask(&mut self, called: &str) -> Verdict {
        let attempt = self.attempt(called);
        self.judge.judge(&attempt)
    }

    fn with_pin(&mut self, called: &str) -> Verdict {
        let attempt = Attempt {
            pin: true,
            ..self.attempt(called)
        };
        self.judge.judge(&attempt)
    }

    /// Sets the call up, if it may be, and talks.
    #[track_caller]
    fn call(&mut self, called: &str, seconds: i64) -> Decision {
        let verdict = self.ask(called);
        if let Some(ticket) = verdict.ticket {
            self.judge.answered(ticket, self.at());
            self.now += seconds;
            self.judge.ended(ticket, self.at());
        }
        verdict.decision
    }
}

#[track_caller]
fn first(called: &str, expected: (Decision, Option<&str>)) {
    let verdict = Tenant::new().ask(called);
    assert_eq!(
        (verdict.decision, verdict.why.map(Why::as_str)),
        expected,
        "{called}"
    );
}

#[test]
fn the_first_day_has_its_priors() {
    first("+13305550100", (Decision::Allow, None));
    first("+18005550100", (Decision::Allow, None));
    first(BRITAIN, (Decision::Allow, None));
    first(JAMAICA, (Decision::Allow, None));
    first(SOMALIA, (Decision::AskPin, Some("new")));
    first(SATELLITE, (Decision::AskPin, Some("paid")));
    first("+19005550100", (Decision::AskPin, Some("paid")));
    first("+9991234567", (Decision::AskPin, Some("paid")));
}

#[test]
fn a_caller_whose_password_may_be_stolen_needs_the_pin_for_what_costs() {
    let mut tenant = Tenant::new();
    let stolen = |tenant: &Tenant, called: &'static str, pin| Attempt {
        suspect: true,
        pin,
        ..tenant.attempt(called)
    };
    for (called, pin, decision) in [
        (BRITAIN, false, Decision::AskPin),
        (BRITAIN, true, Decision::Allow),
        ("+13305550100", false, Decision::Allow),
    ] {
        let attempt = stolen(&tenant, called, pin);
        let verdict = tenant.judge.judge(&attempt);
        assert_eq!(verdict.decision, decision, "{called}");
        if decision == Decision::AskPin {
            assert_eq!(verdict.why, Some(Why::Suspect));
            assert!(verdict.sentence.contains("in other hands"));
        }
    }
    assert_eq!(tenant.ask(BRITAIN).decision, Decision::Allow, "the others");
}

/// A list makes a call dearer to make, and decides nothing by itself: what is known, vouched for,
/// domestic or for help passes however long the list is.
#[test]
fn a_listed_number_is_a_tell_and_no_verdict() {
    let listed = |tenant: &mut Tenant| {
        let mut policy = tenant.judge.policy().clone();
        let numbers = [BRITAIN, JAMAICA, "+13305550100"];
        let digits = numbers
            .iter()
            .filter_map(|number| NumberList::digits(number));
        policy.listed = vec![Arc::new(NumberList::new("sentrypeer", digits))];
        tenant.judge.set_policy(policy);
    };
    let mut tenant = Tenant::new();
    listed(&mut tenant);
    assert_eq!(
        tenant.ask("+13305550100").decision,
        Decision::Allow,
        "domestic"
    );
    assert_eq!(
        tenant.with_pin(JAMAICA).decision,
        Decision::Allow,
        "the PIN"
    );
    // As many calls to it as an unlisted number would have been let make are not.
    let allowed = |listed_too: bool| {
        let mut tenant = Tenant::new();
        if listed_too {
            listed(&mut tenant);
        }
        let calls = (0..50).take_while(|_| tenant.call(BRITAIN, 600) == Decision::Allow);
        calls.count()
    };
    let (with, without) = (allowed(true), allowed(false));
    assert!(with < without, "{with} {without}");
    let verdict = (0..50)
        .map(|_| tenant.ask(BRITAIN))
        .find(|it| it.why.is_some());
    let verdict = verdict.expect("stopped at last");
    assert!(verdict.tells.contains(Tells::LISTED));
    assert!(
        verdict.sentence.contains("attackers elsewhere"),
        "{}",
        verdict.sentence
    );
}

#[test]
fn an_emergency_call_is_not_judged() {
    let mut tenant = Tenant::new();
    let attempt = Attempt {
        emergency: true,
        ..tenant.attempt(SATELLITE)
    };
    assert_eq!(tenant.judge.judge(&attempt).decision, Decision::Allow);
    assert_eq!(tenant.judge.counts(), Counts::default());
}

#[test]
fn the_sentence_says_what_why_and_what_to_do() {
    let mut tenant = Tenant::new();
    tenant.now = MONDAY_15 + 12 * 3600;
    assert_eq!(
        tenant.ask(SOMALIA).sentence,
        "a wangiri-prone number of SO, about 0.75 USD a minute: nobody here is known to call \
         there; nobody is usually at work at this hour (Tuesday 03:00). Dial *PIN*number to call \
         all the same"
    );
}

#[test]
fn a_pin_lets_a_call_through_and_vouches_for_the_number() {
    let mut tenant = Tenant::new();
    assert_eq!(tenant.ask(SATELLITE).decision, Decision::AskPin);
    assert_eq!(tenant.with_pin(SATELLITE).decision, Decision::Allow);
    assert_eq!(tenant.ask(SATELLITE).decision, Decision::Allow);
    assert_eq!(tenant.ask("+881612345699").decision, Decision::AskPin);
}

#[test]
fn a_denied_place_needs_no_pin_and_an_allowed_one_none_either() {
    use super::super::policy::Rule;
    let mut tenant = Tenant::new();
    let mut policy = tenant.judge.policy().clone();
    policy.deny = vec![
        Rule::parse("premium").unwrap(),
        Rule::parse("+1212").unwrap(),
    ];
    policy.allow = vec![Rule::parse("SO").unwrap()];
    tenant.judge.set_policy(policy);
    assert_eq!(tenant.ask(SOMALIA).decision, Decision::Allow);
    let denied = tenant.with_pin("+19005550100");
    assert_eq!(
        (denied.decision, denied.why),
        (Decision::Refuse, Some(Why::Policy))
    );
    assert_eq!(tenant.ask("+12125550100").decision, Decision::Refuse);
}

#[test]
fn a_test_call_and_then_a_burst_is_stopped_early() {
    let mut tenant = Tenant::new();
    tenant.now = MONDAY_15 + 10 * 3600;
    let mut allowed = 0;
    for number in 0..100 {
        let verdict = tenant.ask(&format!("+3712{:07}", number * 7919));
        allowed += u32::from(verdict.decision == Decision::Allow);
        tenant.now += 6;
    }
    assert_eq!(allowed, 0, "a dear country at night");
    assert!(tenant.judge.is_alarmed(tenant.at()));
    assert_eq!(tenant.judge.counts().asked, 100);
}

#[test]
fn by_day_a_burst_to_a_dear_country_stops_at_the_budget() {
    let mut tenant = Tenant::new();
    let mut allowed = 0;
    for number in 0..100 {
        let verdict = tenant.ask(&format!("+1876{:07}", 5_550_000 + number * 101));
        allowed += u32::from(verdict.decision == Decision::Allow);
        tenant.now += 6;
    }
    assert!(allowed <= 4, "{allowed}");
}

#[test]
fn numbers_in_a_row_are_no_customers() {
    let mut tenant = Tenant::new();
    for number in 0..3 {
        assert_eq!(
            tenant.call(&format!("+1876555010{number}"), 30),
            Decision::Allow
        );
        tenant.now += 1200;
    }
    let verdict = tenant.ask("+18765550104");
    assert_eq!(verdict.decision, Decision::AskPin);
    assert!(verdict.tells.contains(Tells::SEQUENTIAL));
}

#[test]
fn habits_are_learned_in_days_and_not_in_an_attack() {
    let mut tenant = Tenant::new();
    for _ in 0..8 {
        tenant.call(JAMAICA, 240);
        tenant.now += 86_400 - 240;
    }
    // Now a habit: the number also at night, also when an alarm is on.
    tenant.now += 12 * 3600;
    for number in 0..5 {
        tenant.ask(&format!("+2526{:07}", number * 7919));
    }
    assert!(tenant.judge.is_alarmed(tenant.at()));
    assert_eq!(tenant.ask(JAMAICA).decision, Decision::Allow);
    assert_eq!(tenant.ask("+12425550100").decision, Decision::AskPin);
    tenant.now += 12 * 3600;
    assert_eq!(
        tenant.ask("+18765559999").decision,
        Decision::Allow,
        "a known country"
    );
}

#[test]
fn the_fuse_refuses_new_calls_and_ends_those_in_progress() {
    let mut tenant = Tenant::new();
    let pinned = tenant.with_pin(SATELLITE).ticket.unwrap();
    tenant.judge.answered(pinned, tenant.at());
    let mut policy = tenant.judge.policy().clone();
    policy.allow = vec![super::super::policy::Rule::parse("GB").unwrap()];
    policy.limits[Class::International.index()] = Money::from_cents(10);
    tenant.judge.set_policy(policy);
    let other = tenant.ask("+4915112345678").ticket.unwrap();
    tenant.judge.answered(other, tenant.at());
    assert_eq!(tenant.judge.check(other, tenant.at()), None);
    tenant.now += 240;
    let cut = tenant.judge.check(other, tenant.at()).unwrap();
    assert_eq!(cut.class, Class::International);
    assert!(
        cut.sentence.starts_with("the money fuse"),
        "{}",
        cut.sentence
    );
    assert_eq!(
        tenant.judge.check(pinned, tenant.at()),
        None,
        "another class"
    );
    let refused = tenant.ask(BRITAIN);
    assert_eq!(
        refused.decision,
        Decision::Refuse,
        "allowed places have a fuse too"
    );
    assert_eq!(tenant.with_pin(BRITAIN).decision, Decision::Allow);
    // A PIN that somebody else has found must not cost everything.
    tenant.now += 3600;
    assert!(tenant.judge.check(pinned, tenant.at()).is_some());
    assert_eq!(tenant.with_pin(SATELLITE).decision, Decision::Refuse);
    tenant.judge.ended(other, tenant.at());
    tenant.judge.ended(pinned, tenant.at());
    tenant.now += 86_400;
    assert_eq!(tenant.ask(BRITAIN).decision, Decision::Allow, "a new day");
}

#[test]
fn calling_back_whoever_rang_once_is_warned_of() {
    let mut tenant = Tenant::new();
    let (ring, at) = (Duration::from_secs(3), tenant.at());
    tenant.judge.inbound(JAMAICA, at, ring, None);
    tenant.judge.inbound(BRITAIN, at, ring, None);
    tenant.now += 3600;
    let verdict = tenant.ask(JAMAICA);
    assert_eq!(
        (verdict.decision, verdict.why),
        (Decision::AskPin, Some(Why::Wangiri))
    );
    assert_eq!(tenant.ask(BRITAIN).decision, Decision::Allow);
    assert!(
        !tenant.judge.is_alarmed(tenant.at()),
        "that is no attack by the tenant"
    );
    tenant.now += 49 * 3600;
    assert_eq!(tenant.ask(JAMAICA).decision, Decision::Allow);
}

#[test]
fn observing_stops_nothing_and_says_what_it_would() {
    let mut tenant = Tenant::new();
    let mut policy = tenant.judge.policy().clone();
    policy.mode = Mode::Observe;
    tenant.judge.set_policy(policy);
    let verdict = tenant.ask(SOMALIA);
    assert!(verdict.goes_on() && verdict.decision == Decision::AskPin);
    assert!(verdict.ticket.is_some());
    let status = tenant.judge.status(tenant.at());
    assert_eq!((status.counts.observed, status.noted.len()), (1, 1));
}

#[test]
fn a_foreign_calling_number_is_a_takeover() {
    use crate::finding::{Kind, Subject};
    let mut tenant = Tenant::new();
    let attempt = Attempt {
        foreign_number: true,
        ..tenant.attempt(JAMAICA)
    };
    let verdict = tenant.judge.judge(&attempt);
    assert_eq!(verdict.decision, Decision::AskPin);
    let finding = verdict
        .finding(Subject::Edge, ringfence_base::Instant::ZERO)
        .unwrap();
    assert_eq!(finding.kind, Kind::PbxTakeover);
    assert!(
        finding.explain().contains("the calling number"),
        "{}",
        finding.explain()
    );
}

#[test]
fn a_call_that_fails_costs_nothing() {
    let mut tenant = Tenant::new();
    for _ in 0..9 {
        let verdict = tenant.ask(JAMAICA);
        assert_eq!(verdict.decision, Decision::Allow);
        tenant.judge.ended(verdict.ticket.unwrap(), tenant.at());
        tenant.now += 1200;
    }
    let status = tenant.judge.status(tenant.at());
    assert_eq!(status.total.0, Money::ZERO);
}

proptest::proptest! {
    #[test]
    fn no_number_panics_and_emergency_always_passes(
        called: String,
        times: Vec<(i32, bool, bool)>,
    ) {
        let mut tenant = Tenant::new();
        for (step, pin, emergency) in times {
            tenant.now = tenant.now.saturating_add(step.into());
            let attempt = Attempt { pin, emergency, ..tenant.attempt(&called) };
            let verdict = tenant.judge.judge(&attempt);
            if emergency {
                proptest::prop_assert!(verdict.goes_on());
            }
            if let Some(ticket) = verdict.ticket {
                tenant.judge.answered(ticket, tenant.at());
                let _ = tenant.judge.check(ticket, tenant.at());
            }
        }
    }
}
