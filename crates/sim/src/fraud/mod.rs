//! `ringfence sim fraud`: businesses that call, and fraudsters, before the very judge of the product
//! (`ringfence_detect::fraud::judge`), in virtual time.
//!
//! The judge sees what the edge would tell it: who calls whom when, and how long it lasted. What is
//! legitimate and what is not only the report knows. Calls cost what the table of destinations
//! estimates, for the judge and for the report. Fraudsters go on as planned whether they are
//! stopped or not, so that what they attempt does not depend on the judge.

mod attack;
mod business;
mod report;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, HashKey, UnixTime};
use ringfence_detect::fraud::destinations::{Country, Destination};
use ringfence_detect::fraud::judge::{Attempt, Judge};
use ringfence_detect::fraud::meter::Ticket;
use ringfence_detect::fraud::money::Money;
use ringfence_detect::fraud::policy::{Mode, Policy};
use ringfence_detect::fraud::verdict::Decision;

pub use attack::Style;
pub use report::{Detection, Legitimate, Report, StyleReport};

/// How often the edge looks at a call that costs.
const LOOK: Duration = Duration::from_secs(5);

/// Monday, 2026-11-02, 00:00 UTC.
const START: i64 = 1_793_577_600;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// How long.
    pub days: u32,
    /// How many businesses; each is attacked once.
    pub businesses: u32,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Attack(Style),
    Legitimate,
}

/// A call out that somebody will try to make.
#[derive(Clone, Debug)]
struct Call {
    /// Seconds from the start.
    at: u64,
    called: String,
    caller: u64,
    foreign_number: bool,
    /// How long it will last once answered; `None` is no answer.
    lasts: Option<Duration>,
    truth: Truth,
}

/// A call in.
#[derive(Clone, Debug)]
struct Inbound {
    at: u64,
    from: String,
    rang: Duration,
    talked: Option<Duration>,
}

/// All that happens to one business.
#[derive(Debug, Default)]
struct Story {
    calls: Vec<Call>,
    inbound: Vec<Inbound>,
}

/// Runs it.
pub fn run(options: &Options) -> Report {
    let mut report = Report::new(options);
    for number in 0..options.businesses {
        let mut entropy = SeededEntropy::new(options.seed);
        let seed = entropy.next_u64() ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut entropy = SeededEntropy::new(seed);
        let business = business::Business::draw(&mut entropy);
        let mut story = business.story(&mut entropy, options.days);
        let style = Style::ALL[number as usize % Style::ALL.len()];
        attack::plan(&mut entropy, style, options.days, &business, &mut story);
        let mut tenant = Tenant::new(&mut entropy, business.channels, &story);
        tenant.run(&mut report, style);
    }
    report.finish();
    report
}

/// What happens next to a call of the story, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Inbound(usize),
    Start(usize),
    Look(usize),
    End(usize),
}

/// One business and its judge.
struct Tenant<'s> {
    story: &'s Story,
    judge: Judge,
    steps: BinaryHeap<Reverse<(u64, Step)>>,
    up: Vec<Option<(Ticket, u64)>>,
    attack_began: Option<u64>,
    detected: Option<u64>,
}

impl<'s> Tenant<'s> {
    fn new(entropy: &mut dyn Entropy, channels: u32, story: &'s Story) -> Tenant<'s> {
        let mut policy = Policy::of_country(Country::new("US").unwrap_or_default());
        policy.mode = Mode::Enforce;
        policy.has_pin = true;
        policy.size = channels;
        let calls = story.calls.iter().enumerate();
        let inbound = story.inbound.iter().enumerate();
        Tenant {
            story,
            judge: Judge::new(policy, HashKey::generate(entropy)),
            steps: calls
                .map(|(index, call)| Reverse((call.at, Step::Start(index))))
                .chain(inbound.map(|(index, call)| Reverse((call.at, Step::Inbound(index)))))
                .collect(),
            up: vec![None; story.calls.len()],
            attack_began: None,
            detected: None,
        }
    }

    fn run(&mut self, report: &mut Report, style: Style) {
        while let Some(Reverse((at, step))) = self.steps.pop() {
            match step {
                Step::Inbound(index) => {
                    if let Some(call) = self.story.inbound.get(index) {
                        let ended = at + call.rang.as_secs();
                        let when = unix(ended + call.talked.unwrap_or_default().as_secs());
                        self.judge.inbound(&call.from, when, call.rang, call.talked);
                    }
                }
                Step::Start(index) => self.start(report, at, index),
                Step::Look(index) => self.look(report, at, index),
                Step::End(index) => self.end(report, at, index),
            }
        }
        if let Some(began) = self.attack_began {
            report.detection(style, self.detected.map(|detected| detected - began));
        }
    }

    fn start(&mut self, report: &mut Report, at: u64, index: usize) {
        let story = self.story;
        let Some(call) = story.calls.get(index) else {
            return;
        };
        let mut attempt = Attempt {
            at: unix(at),
            called: &call.called,
            caller: call.caller,
            foreign_number: call.foreign_number,
            pin: false,
            suspect: false,
            emergency: false,
        };
        let mut verdict = self.judge.judge(&attempt);
        let planned = verdict
            .destination
            .per_minute
            .for_time(call.lasts.unwrap_or_default());
        let touched = verdict.decision != Decision::Allow;
        match call.truth {
            Truth::Legitimate => {
                if touched {
                    // Whoever has a reason to call knows the PIN.
                    attempt.pin = true;
                    verdict = self.judge.judge(&attempt);
                }
                let passed = verdict.decision == Decision::Allow;
                report.legitimate(&verdict.destination, touched, passed);
            }
            Truth::Attack(style) => {
                self.attack_began.get_or_insert(at);
                report.attempted(style, planned, touched);
                if touched {
                    self.detected.get_or_insert(at);
                }
            }
        }
        let (true, Some(ticket)) = (verdict.goes_on(), verdict.ticket) else {
            return;
        };
        let Some(lasts) = call.lasts else {
            return self.judge.ended(ticket, unix(at + 30));
        };
        self.judge.answered(ticket, unix(at));
        if let Some(up) = self.up.get_mut(index) {
            *up = Some((ticket, at));
        }
        self.steps
            .push(Reverse((at + lasts.as_secs(), Step::End(index))));
        self.steps
            .push(Reverse((at + LOOK.as_secs(), Step::Look(index))));
    }

    fn look(&mut self, report: &mut Report, at: u64, index: usize) {
        let Some(Some((ticket, _))) = self.up.get(index).copied() else {
            return;
        };
        if self.judge.check(ticket, unix(at)).is_none() {
            return self
                .steps
                .push(Reverse((at + LOOK.as_secs(), Step::Look(index))));
        }
        match self.story.calls.get(index).map(|call| call.truth) {
            Some(Truth::Attack(_)) => {
                self.detected.get_or_insert(at);
            }
            Some(Truth::Legitimate) => report.legitimate_cut(),
            None => {}
        }
        self.end(report, at, index);
    }

    fn end(&mut self, report: &mut Report, at: u64, index: usize) {
        let Some((ticket, since)) = self.up.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.judge.ended(ticket, unix(at));
        if let Some(call) = self.story.calls.get(index)
            && let Truth::Attack(style) = call.truth
        {
            let cost = self.destination(&call.called).per_minute;
            let leaked = cost.for_time(Duration::from_secs(at - since));
            let planned = cost.for_time(call.lasts.unwrap_or_default());
            report.leaked(style, leaked, planned.minus(leaked));
        }
    }

    fn destination(&self, called: &str) -> Destination {
        let policy = self.judge.policy();
        policy.destinations.find(called, policy.home)
    }
}

fn unix(seconds: u64) -> UnixTime {
    let seconds = START.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX / 4));
    UnixTime::from_micros(seconds.saturating_mul(1_000_000))
}

/// A number in `[0, 1)`.
fn fraction(entropy: &mut dyn Entropy) -> f64 {
    entropy.below(1 << 52) as f64 / (1u64 << 52) as f64
}

/// A number of `from` to `to`, both included.
fn between(entropy: &mut dyn Entropy, from: u64, to: u64) -> u64 {
    from + entropy.below(to.saturating_sub(from) + 1)
}

/// `prefix` and random digits, `length` in all.
fn number(entropy: &mut dyn Entropy, prefix: &str, length: usize) -> String {
    let mut digits = prefix.to_owned();
    while digits.len() < length {
        digits.push(char::from(b'0' + entropy.below(10) as u8));
    }
    digits
}

/// Sum of money as a number for reports.
fn units(money: Money) -> f64 {
    (money.as_units() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let options = Options {
            seed: 5,
            days: 4,
            businesses: 3,
        };
        assert_eq!(run(&options), run(&options));
    }

    #[test]
    fn the_bars_hold() {
        let report = run(&Options {
            seed: 11,
            days: 14,
            businesses: 16,
        });
        assert!(report.money.stopped_before_share >= 0.98, "{report:#?}");
        assert!(
            report.legitimate.international_touched_share <= 0.001,
            "{report:#?}"
        );
        assert_eq!(report.legitimate.not_overridable, 0, "{report:#?}");
        assert_eq!(report.detected_after_s.undetected, 0, "{report:#?}");
    }
}
