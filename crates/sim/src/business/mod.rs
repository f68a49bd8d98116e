//! A business and its callers, in virtual time, from a seed: who gets through while an attack holds
//! the lines ([`tdos`]), and on a day without one ([`busy_day`]).
//!
//! The carrier's trunk has so many channels and not one more: a call that finds all in use is lost
//! before the edge hears of it. What the edge hears of goes to the product's own machines: known
//! callers ([`ringfence_detect::callers`]) and the admission machine ([`ringfence_detect::tdos`]).
//! They are told what the carrier's INVITE and the course of the call show, and nothing else; who
//! somebody is, only the tally knows.
//!
//! Left out on purpose: the SIP itself (the world of [`crate::world`] has it), and the audio of
//! challenges: people press their digits when people do.

mod line;
mod people;
mod report;

use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;

pub use people::Style;
pub use report::{Attack, BusyDay, CarrierBans, Legitimate, Milliseconds, Screening, Share, Tdos};

use line::Line;
use people::{Arrival, Who, day, ordinary_day, regular, strangers};

/// What may be chosen about an attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TdosParameters {
    /// Channels of the trunk.
    pub channels: u32,
    /// Attack calls in a minute.
    pub rate: f64,
    /// Until the attacker hangs up.
    pub hold: Duration,
    /// How long the attack goes on.
    pub length: Duration,
    /// How the calls are made.
    pub style: Style,
    /// How long it takes until there are so many calls in a minute; zero: they are from the start.
    pub ramp: Duration,
    /// Traffic of real callers, in Erlang.
    pub load: f64,
    /// Everything random follows from it.
    pub seed: u64,
    /// Whether the edge watches over the lines. Without it: first come, first served.
    pub guarded: bool,
    /// Days of ordinary business before the day of the attack, of which the edge knows what it has
    /// seen; none: it knows the callers of the last weeks and no hour's traffic.
    pub history: Option<u32>,
}

/// Plays an attack on a business and says who got through. Before it there is half an hour
/// without one, which is not counted.
pub fn tdos(parameters: &TdosParameters) -> Tdos {
    let TdosParameters {
        channels,
        rate,
        hold,
        length,
        style,
        ramp,
        load,
        seed,
        guarded,
        history,
    } = *parameters;
    let mut entropy = SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7d05);
    let first_day = DAY * history.unwrap_or(0);
    let morning = first_day + MORNING;
    let begin = morning + BEFORE;
    let end = begin + length;
    let mut arrivals = Vec::new();
    weeks(&mut arrivals, history.unwrap_or(0), load, &mut entropy);
    let per_second = load / people::TALK_MEAN.as_secs_f64();
    let known = per_second * people::KNOWN_SHARE;
    regular(
        &mut arrivals,
        (morning, end),
        known,
        Who::Known,
        &mut entropy,
    );
    let humans = per_second - known;
    regular(
        &mut arrivals,
        (morning, end),
        humans,
        Who::Human,
        &mut entropy,
    );
    regular(
        &mut arrivals,
        (begin, end),
        1.0 / 300.0,
        Who::Emergency,
        &mut entropy,
    );
    let first = arrivals.len();
    strangers(
        &mut arrivals,
        (begin, end),
        (rate, ramp),
        style,
        &mut entropy,
    );
    let attack_begins = arrivals.get(first).map(|arrival| arrival.at);
    let mut line = Line::new(channels, hold, guarded, begin, entropy);
    if history.is_none() {
        line.remember();
    }
    line.play(arrivals);
    let mut report = line.tdos_report(attack_begins);
    if matches!(style, Style::Human | Style::Backscatter) {
        let unknown = rate / 60.0 + humans;
        let challenge = ringfence_detect::tdos::gate::CHALLENGE.as_secs_f64();
        let bound = f64::from(channels) / challenge / unknown;
        report.bound = Some(bound.min(1.0));
    }
    report
}

/// A day of a business without an attack: with its hours, people who call again, an advert on the
/// radio at eleven, and an office that was cut off from two to half past, whose callers try again.
/// The same day is played with and without the edge.
pub fn busy_day(channels: u32, load: f64, seed: u64) -> BusyDay {
    let mut entropy = SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xb1d);
    let arrivals: Vec<Arrival> = day(load, &mut entropy);
    let play = |guarded| {
        let entropy = SeededEntropy::new(seed ^ 0x5eed);
        let mut line = Line::new(channels, Duration::ZERO, guarded, Duration::ZERO, entropy);
        line.remember();
        line.play(arrivals.clone());
        line
    };
    let (with, without) = (play(true), play(false));
    with.busy_day_report(&without)
}

/// The business's days before the attack's, Saturdays and Sundays without a call.
fn weeks(arrivals: &mut Vec<Arrival>, days: u32, load: f64, entropy: &mut SeededEntropy) {
    for day in (0..days).filter(|day| day % 7 < 5) {
        ordinary_day(arrivals, DAY * day, load, entropy);
    }
}

const DAY: Duration = Duration::from_secs(86_400);
/// Monday, 9:30.
const MORNING: Duration = Duration::from_secs(9 * 3600 + 1800);
/// Before the attack.
const BEFORE: Duration = Duration::from_secs(1800);
