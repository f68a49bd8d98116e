//! Who calls, when, under which number, and what they do when they are asked for a digit.

use std::time::Duration;

use ringfence_base::Entropy;
use ringfence_detect::tdos::offer::{Attestation, CallingNumber, Upstream};

/// How an attack's calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Machines in step, made-up numbers, one gateway; they redial.
    Flood,
    /// Valid numbers, poorly vouched for, each call a little after the last: never a burst.
    Slow,
    /// Valid numbers never seen before, fully vouched for by the carriers that everybody has, spaced
    /// like people. They listen and speak, and cannot pass the challenge.
    Human,
    /// Real people who return calls they never got: they can pass the challenge.
    Backscatter,
}

/// Who somebody is. The product never sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Attacker(Style),
    Emergency,
    Human,
    Known,
    Outbound,
}

/// Somebody begins to call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    pub(super) who: Who,
    pub(super) number: String,
    pub(super) upstream: Upstream,
}

/// What somebody does when asked for a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Presses it after so long.
    Presses(Duration),
    /// Understands, and hangs up.
    Leaves(Duration),
    /// Nothing that helps.
    Nothing,
}

/// Mean length of a talk.
pub(super) const TALK_MEAN: Duration = Duration::from_secs(180);
/// Share of real callers who have called before.
pub(super) const KNOWN_SHARE: f64 = 0.6;
/// People who have called before.
pub(super) const REGULARS: u64 = 150;

/// Callers at a steady rate, spaced by chance.
pub(super) fn regular(
    arrivals: &mut Vec<Arrival>,
    (from, to): (Duration, Duration),
    per_second: f64,
    who: Who,
    entropy: &mut dyn Entropy,
) {
    if per_second <= 0.0 {
        return;
    }
    let mut at = from;
    loop {
        at += exponential(1.0 / per_second, entropy);
        if at >= to {
            break;
        }
        arrivals.push(arrival(at, who, entropy));
    }
}

/// An attack of `per_minute` calls, to which it grows from one in twenty during `ramp`.
pub(super) fn strangers(
    arrivals: &mut Vec<Arrival>,
    (from, to): (Duration, Duration),
    (per_minute, ramp): (f64, Duration),
    style: Style,
    entropy: &mut dyn Entropy,
) {
    let mut at = from;
    while per_minute > 0.0 && at < to {
        let mut next = arrival(at, Who::Attacker(style), entropy);
        // Machines of a flood redial, one time in three.
        let last = arrivals
            .last()
            .filter(|last| last.who == Who::Attacker(Style::Flood));
        if let (Some(last), 0) = (last, entropy.below(3)) {
            next = Arrival { at, ..last.clone() };
        }
        arrivals.push(next);
        let grown = match ramp.as_secs_f64() {
            ramp if ramp > 0.0 => ((at - from).as_secs_f64() / ramp).clamp(0.05, 1.0),
            _ => 1.0,
        };
        let mean = 60.0 / per_minute / grown;
        at += match style {
            Style::Flood => seconds(mean * (0.9 + 0.2 * uniform(entropy))),
            Style::Slow => seconds(mean * (0.7 + 0.6 * uniform(entropy))),
            Style::Human | Style::Backscatter => exponential(mean, entropy),
        };
    }
}

/// A working day from midnight to midnight, with an advert and an outage.
pub(super) fn day(load: f64, entropy: &mut dyn Entropy) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    ordinary_day(&mut arrivals, Duration::ZERO, load, entropy);
    let busiest = load / TALK_MEAN.as_secs_f64();
    // The advert: ten times the strangers of a busy hour, fading over 20 minutes.
    for step in 0..20u64 {
        let begin = seconds(11.0 * 3600.0 + step as f64 * 60.0);
        let rate = busiest * (1.0 - KNOWN_SHARE) * 10.0 * (-(step as f64) / 7.0).exp();
        regular(
            &mut arrivals,
            (begin, begin + seconds(60.0)),
            rate,
            Who::Human,
            entropy,
        );
    }
    // The outage: who called from 14:00 to 14:30 tries again when it is over.
    for arrival in &mut arrivals {
        let (from, to) = (seconds(14.0 * 3600.0), seconds(14.5 * 3600.0));
        if (from..to).contains(&arrival.at) && arrival.who != Who::Emergency {
            arrival.at = to + exponential(300.0, entropy);
        }
    }
    arrivals
}

/// A working day that begins at `midnight`.
pub(super) fn ordinary_day(
    arrivals: &mut Vec<Arrival>,
    midnight: Duration,
    load: f64,
    entropy: &mut dyn Entropy,
) {
    let busiest = load / TALK_MEAN.as_secs_f64();
    for hour in 0..24u64 {
        let share = match hour {
            8 | 12 | 17 => 0.7,
            9..=11 | 13..=16 => 1.0,
            7 | 18..=20 => 0.25,
            _ => 0.03,
        };
        let span = (
            midnight + seconds(hour as f64 * 3600.0),
            midnight + seconds((hour + 1) as f64 * 3600.0),
        );
        let rate = busiest * share;
        regular(arrivals, span, rate * KNOWN_SHARE, Who::Known, entropy);
        regular(
            arrivals,
            span,
            rate * (1.0 - KNOWN_SHARE),
            Who::Human,
            entropy,
        );
        regular(arrivals, span, rate * 0.3, Who::Outbound, entropy);
        regular(arrivals, span, 0.2 / 3600.0, Who::Emergency, entropy);
    }
}

/// What `who` does when asked. `heard` is from the answer until the digit was said.
pub(super) fn reaction(
    who: Who,
    (kindly, heard): (bool, Duration),
    entropy: &mut dyn Entropy,
) -> Reaction {
    let presses = |entropy: &mut dyn Entropy| {
        // The digit is heard; then the phone comes down from the ear.
        let reaction = 1.8 * (0.4 * normal(entropy)).exp();
        Reaction::Presses(heard + seconds(reaction))
    };
    match who {
        // One in a hundred does not understand, or cannot.
        Who::Human if uniform(entropy) < 0.01 => Reaction::Nothing,
        Who::Human => presses(entropy),
        Who::Attacker(Style::Backscatter) if kindly && uniform(entropy) < 0.8 => {
            // That the number was forged is said first.
            Reaction::Leaves(heard + seconds(uniform(entropy)))
        }
        Who::Attacker(Style::Backscatter) => presses(entropy),
        _ => Reaction::Nothing,
    }
}

/// How long `who` holds the line once through.
pub(super) fn talk(who: Who, hold: Duration, entropy: &mut dyn Entropy) -> Duration {
    match who {
        Who::Attacker(Style::Flood | Style::Slow) => hold,
        Who::Attacker(Style::Human | Style::Backscatter) => {
            seconds(hold.as_secs_f64() * (0.6 + 0.8 * uniform(entropy)))
        }
        Who::Emergency => seconds(60.0 + 120.0 * uniform(entropy)),
        Who::Human | Who::Known | Who::Outbound => exponential(TALK_MEAN.as_secs_f64(), entropy),
    }
}

/// The number of a regular caller.
pub(super) fn regular_number(index: u64) -> String {
    format!("+1330555{:04}", 2_000 + index)
}

fn arrival(at: Duration, who: Who, entropy: &mut dyn Entropy) -> Arrival {
    let number = match who {
        Who::Known => regular_number(entropy.below(REGULARS)),
        // Half of a flood's numbers can be nobody's.
        Who::Attacker(Style::Flood) if entropy.below(2) == 0 => {
            format!(
                "+1{:03}{:07}",
                entropy.below(200),
                entropy.below(10_000_000)
            )
        }
        _ => subscriber(entropy),
    };
    let upstream = Upstream {
        // All comes by one carrier.
        fingerprint: 1,
        number: CallingNumber::read(Some(&number)),
        ..upstream(who, entropy)
    };
    Arrival {
        at,
        who,
        number,
        upstream,
    }
}

/// Who vouches for a call of `who`.
fn upstream(who: Who, entropy: &mut dyn Entropy) -> Upstream {
    let (attestation, origid) = match (who, entropy.below(10)) {
        (Who::Attacker(Style::Flood), 0..=6) => (Attestation::C, 900),
        (Who::Attacker(Style::Slow), 0..=4) => (Attestation::B, 901 + entropy.below(3)),
        (Who::Attacker(Style::Flood | Style::Slow), _) => (Attestation::None, 0),
        // The carriers that everybody has.
        (_, 0..=6) => (Attestation::A, 1 + entropy.below(6)),
        (_, 7) => (Attestation::B, 7 + entropy.below(3)),
        (..) => (Attestation::None, 0),
    };
    Upstream {
        attestation,
        origid,
        ..Upstream::default()
    }
}

fn subscriber(entropy: &mut dyn Entropy) -> String {
    let area = loop {
        let area = 200 + entropy.below(800);
        if area % 100 != 11 {
            break area;
        }
    };
    let exchange = 200 + entropy.below(800);
    format!("+1{area}{exchange}{:04}", entropy.below(10_000))
}

/// A number from 0 (in) to 1 (out).
pub(super) fn uniform(entropy: &mut dyn Entropy) -> f64 {
    (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn exponential(mean: f64, entropy: &mut dyn Entropy) -> Duration {
    seconds(-(1.0 - uniform(entropy)).ln() * mean)
}

/// By Box and Muller.
fn normal(entropy: &mut dyn Entropy) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(entropy)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(entropy)).cos()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 1e9))
}
